//! The firewall as it filters: from every network to every port, in network namespaces, is open what the fleet opens and
//! nothing else. Ports of containers, too, which an engine publishes by changing where packets go.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use serde_json::json;

use crate::run::{files, is_root, peer, say};

/// Namespaces for the host, for somebody on each of its networks, and for a container behind a bridge. It prints a line for
/// each port that opens.
const SCRIPT: &str = r#"
set -eu
rules=$1; shift
n=plm$$
cleanup() {
  for space in "$n-h" "$n-c" "$n-b"; do
    for pid in $(ip netns pids "$space" 2>/dev/null); do kill "$pid" 2>/dev/null || true; done
    ip netns del "$space" 2>/dev/null || true
  done
}
trap cleanup EXIT
for space in "$n-h" "$n-c" "$n-b"; do ip netns add "$space"; ip -n "$space" link set lo up; done
link() { # in-the-host address peer-space peer-address
  ip link add "$1" netns "$n-h" type veth peer name "$1" netns "$3"
  ip -n "$n-h" addr add "$2" dev "$1"; ip -n "$n-h" link set "$1" up
  ip -n "$3" addr add "$4" dev "$1"; ip -n "$3" link set "$1" up
}
link pub 203.0.113.1/24 "$n-c" 203.0.113.66/24
link lan 10.1.0.1/16 "$n-c" 10.1.0.66/16
link br-x 172.30.0.1/24 "$n-b" 172.30.0.2/24
ip -n "$n-b" route add default via 172.30.0.1
ip netns exec "$n-h" sysctl -qw net.ipv4.ip_forward=1
ip netns exec "$n-h" nft -f "$rules"
# What an engine does for "8090:80" and "8091:80".
ip netns exec "$n-h" nft add table ip engine
ip netns exec "$n-h" nft 'add chain ip engine pre { type nat hook prerouting priority dstnat; }'
ip netns exec "$n-h" nft 'add rule ip engine pre tcp dport { 8090, 8091 } dnat to 172.30.0.2:80'
listen='
import socket, sys, time
held = []
for port in sys.argv[1:]:
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.bind(("0.0.0.0", int(port))); s.listen(16); held.append(s)
print("up", flush=True)
time.sleep(60)
'
ip netns exec "$n-h" python3 -c "$listen" 22 80 443 3000 5432 9100 >"$rules.h" &
ip netns exec "$n-b" python3 -c "$listen" 80 >"$rules.b" &
for file in "$rules.h" "$rules.b"; do
  for _ in $(seq 100); do grep -q up "$file" 2>/dev/null && break; sleep 0.05; done
done
ip netns exec "$n-c" python3 -c '
import socket
for name, source, target in (("public", "203.0.113.66", "203.0.113.1"), ("lan", "10.1.0.66", "10.1.0.1")):
    for port in (22, 80, 443, 3000, 5432, 8090, 8091, 9100):
        s = socket.socket(); s.settimeout(0.5); s.bind((source, 0))
        try:
            s.connect((target, port)); print(name, port)
        except OSError:
            pass
        finally:
            s.close()
'
"#;

#[test]
fn what_is_open_is_what_the_fleet_opens() {
    if peer("nft", "apt-get install nftables").is_none() || peer("ip", "apt-get install iproute2").is_none() {
        return;
    }
    if peer("python3", "apt-get install python3").is_none() {
        return;
    }
    if !is_root() {
        eprintln!("skipped: network namespaces are made by root");
        return;
    }
    let container = |port: u16| json!({"port": port, "container_port": 80, "bind": "any"});
    let fleet = json!({
        "schema": "fleet/v1", "name": "matrix", "domain": "matrix.example.org", "email": "ops@example.org",
        "networks": {"lan": {"cidrs": ["10.1.0.0/16"]}},
        "hosts": {"a": {"os": "debian-13", "addresses": {"public": ["203.0.113.1"], "lan": ["10.1.0.1"]}, "containers": {"engine": "docker"},
            "ssh": {"from": ["lan"], "keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}}},
        "services": {
            "site": {"host": "a", "run": {"static": {"root": "/srv/site"}}, "proxy": [{"names": ["matrix.example.org"]}], "backup": {"none": "a test"}},
            "app": {"host": "a", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": {"port": 3000, "bind": "any"}},
                "expose": [{"from": ["lan"]}], "backup": {"none": "a test"}},
            "box": {"host": "a", "run": {"container": {"image": "docker.io/example/box:1"}}, "ports": {"http": container(8090)},
                "expose": [{"from": ["lan"]}], "backup": {"none": "a test"}},
            "hidden": {"host": "a", "run": {"container": {"image": "docker.io/example/hidden:1"}}, "ports": {"http": container(8091)}, "backup": {"none": "a test"}}
        }
    });
    let text = &files(&fleet, "a").into_iter().find(|(path, _)| path == "/etc/nftables.conf").unwrap().1;
    let folder = tempfile::tempdir().unwrap();
    let (rules, script) = (folder.path().join("rules"), folder.path().join("script"));
    fs::write(&rules, text).unwrap();
    fs::write(&script, SCRIPT).unwrap();
    let (good, said) = say(Command::new("bash").arg(&script).arg(&rules));
    assert!(good, "{said}");
    let open: BTreeSet<&str> = said.lines().collect();
    let declared = BTreeSet::from(["public 80", "public 443", "lan 22", "lan 80", "lan 443", "lan 3000", "lan 8090"]);
    assert_eq!(open, declared, "{text}");
}

#[test]
fn lists_keep_what_was_put_into_them() {
    let Some(nft) = peer("nft", "apt-get install nftables") else { return };
    if !is_root() {
        eprintln!("skipped: nft needs a network namespace (run as root)");
        return;
    }
    let fleet = json!({
        "schema": "fleet/v1", "name": "lists",
        "hosts": {"a": {"os": "debian-12", "addresses": {"public": ["203.0.113.1"]},
            "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]},
            "firewall": {"new_connections": {"rate": "20r/s", "burst": 50}, "block": {"bad": ["198.51.100.0/24", "2001:db8:bad::/48"]}}}}
    });
    let text = &files(&fleet, "a").into_iter().find(|(path, _)| path == "/etc/nftables.conf").unwrap().1;
    let folder = tempfile::tempdir().unwrap();
    let rules = folder.path().join("rules");
    fs::write(&rules, text).unwrap();
    let (nft, rules) = (nft.display(), rules.display());
    let script = format!(
        "set -e; {nft} -f {rules}; {nft} add element inet plumbline_lists block_bad_4 '{{ 192.0.2.99 }}'; {nft} -f {rules}; {nft} list ruleset"
    );
    let (good, said) = say(Command::new("unshare").args(["-n", "sh", "-c", &script]));
    assert!(good, "{said}\n{text}");
    assert!(
        said.contains("192.0.2.99") && said.contains("198.51.100.0/24") && said.contains("2001:db8:bad::/48"),
        "{said}"
    );
    assert_eq!(said.matches("ip saddr @block_bad_4").count(), 1, "{said}");
    assert!(said.contains("limit rate over 20/second burst 50 packets"), "{said}");
}

/// What makes the network namespaces `$spaces`, which end with the shell, and links between them.
const LAB: &str = r#"
set -eu
cleanup() {
  for space in $spaces; do
    for pid in $(ip netns pids "$space" 2>/dev/null); do kill "$pid" 2>/dev/null || true; done
    ip netns del "$space" 2>/dev/null || true
  done
}
make_spaces() {
  trap cleanup EXIT
  for space in $spaces; do ip netns add "$space"; ip -n "$space" link set lo up; done
}
link() { # name space address space address
  ip link add "$1" netns "$2" type veth peer name "$1" netns "$4"
  ip -n "$2" addr add "$3" dev "$1"; ip -n "$2" link set "$1" up
  ip -n "$4" addr add "$5" dev "$1"; ip -n "$4" link set "$1" up
}
"#;

/// A client, an edge, and a host behind it that the edge reaches over an overlay. It prints what arrives, and who sent it as
/// the host behind sees it.
const FORWARD: &str = r#"
edge_rules=$1; back_rules=$2; listen=$3; target=$4
n=plf$$
spaces="$n-c $n-e $n-b"
make_spaces
link pub "$n-e" 203.0.113.1/24 "$n-c" 203.0.113.66/24
link lan "$n-e" 10.1.0.1/16 "$n-c" 10.1.0.66/16
link wan "$n-b" 198.51.100.2/24 "$n-c" 198.51.100.66/24
link tailscale0 "$n-e" 100.64.0.1/24 "$n-b" 100.64.0.2/24
# Somebody near the edge tries to use it as a router.
ip -n "$n-c" route add 100.64.0.0/24 via 203.0.113.1
ip -n "$n-b" route add 203.0.113.0/24 via 100.64.0.1
ip netns exec "$n-e" sysctl -qw net.ipv4.ip_forward=1
ip netns exec "$n-e" nft -f "$edge_rules"
ip netns exec "$n-b" nft -f "$back_rules"
ip netns exec "$n-b" python3 -c '
import socket, threading
def tcp(port):
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("0.0.0.0", port)); s.listen(16)
    while True:
        c, who = s.accept(); c.sendall(who[0].encode()); c.close()
def udp(port):
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", port))
    while True:
        data, who = s.recvfrom(100); s.sendto(who[0].encode(), who)
for port in (8776, 8777):
    for kind in (tcp, udp): threading.Thread(target=kind, args=(port,), daemon=True).start()
print("up", flush=True)
threading.Event().wait(60)
' >"$edge_rules.b" &
ip netns exec "$n-e" systemd-socket-activate -l "$listen" /usr/lib/systemd/systemd-socket-proxyd "$target" 2>"$edge_rules.e" &
for _ in $(seq 100); do grep -q up "$edge_rules.b" 2>/dev/null && grep -qi listening "$edge_rules.e" 2>/dev/null && break; sleep 0.05; done
ip netns exec "$n-c" python3 -c '
import socket
for name, source, target in (("public", "203.0.113.66", "203.0.113.1"), ("lan", "10.1.0.66", "10.1.0.1"), ("wan", "198.51.100.66", "198.51.100.2"), ("routed", "203.0.113.66", "100.64.0.2")):
    for kind in ("tcp", "udp"):
        for port in (8776, 8777, 9000):
            s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
            s.settimeout(0.7); s.bind((source, 0))
            try:
                s.connect((target, port))
                if kind == "udp": s.send(b"x")
                seen = s.recv(100).decode()
                if seen: print(name, kind, port, seen)
            except OSError:
                pass
            finally:
                s.close()
'
"#;

#[test]
fn what_is_passed_on_arrives_over_the_overlay_and_nowhere_else() {
    for (program, package) in
        [("nft", "nftables"), ("ip", "iproute2"), ("python3", "python3"), ("systemd-socket-activate", "systemd")]
    {
        if peer(program, &format!("apt-get install {package}")).is_none() {
            return;
        }
    }
    if !is_root() {
        eprintln!("skipped: network namespaces are made by root");
        return;
    }
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me";
    let fleet = json!({
        "schema": "fleet/v1", "name": "forward", "domain": "forward.example.org",
        "networks": {"tailnet": {"cidrs": ["100.64.0.0/10"], "tailscale": {}}, "lan": {"cidrs": ["10.1.0.0/16"]}},
        "hosts": {
            "edge": {"os": "debian-13", "addresses": {"public": ["203.0.113.1"], "lan": ["10.1.0.1"], "tailnet": ["100.64.0.1"]}, "ssh": {"keys": [key]}},
            "back": {"os": "debian-13", "addresses": {"public": ["198.51.100.2"], "tailnet": ["100.64.0.2"]}, "ssh": {"keys": [key]}}
        },
        "services": {
            "radicle": {"host": "back", "run": {"systemd": {"exec": ["/bin/true"]}}, "backup": {"none": "a test"},
                "ports": {"p2p": {"port": 8776, "bind": "tailnet", "proto": "both"}, "own": {"port": 8777, "bind": "tailnet", "proto": "udp"}},
                "expose": [{"port": "p2p", "from": ["public"], "via": "edge"}, {"port": "own", "from": ["lan"], "via": "edge", "on_port": 9000}]}
        }
    });
    let edge = files(&fleet, "edge");
    let of = |path: &str| edge.iter().find(|(known, _)| known == path).unwrap_or_else(|| panic!("{path}")).1.clone();
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let rules = of("/etc/nftables.conf");
    let back = files(&fleet, "back").into_iter().find(|(path, _)| path == "/etc/nftables.conf").unwrap().1;
    assert!(of("/etc/sysctl.d/61-plumbline-forward.conf").contains("net.ipv4.ip_forward = 1\n"));
    // Only bytes have a unit; datagrams are the firewall's.
    assert!(edge.iter().all(|(path, _)| !path.contains("forward-radicle-own")));
    let socket = of("/etc/systemd/system/forward-radicle-p2p.socket");
    let listen = socket.lines().find_map(|line| line.strip_prefix("ListenStream=")).unwrap();
    let service = of("/etc/systemd/system/forward-radicle-p2p.service");
    let target = service
        .lines()
        .find_map(|line| line.strip_prefix("ExecStart=/usr/lib/systemd/systemd-socket-proxyd "))
        .unwrap();
    let script = place("script", &format!("{LAB}{FORWARD}"));
    let (edge_rules, back_rules) = (place("edge", &rules), place("back", &back));
    let (good, said) = say(Command::new("bash").arg(&script).args([&edge_rules, &back_rules]).args([listen, target]));
    assert!(good, "{said}\n{rules}");
    let arrived: BTreeSet<&str> = said.lines().collect();
    // The host behind sees the edge, so that its answers go back that way.
    let declared = BTreeSet::from([
        "public tcp 8776 100.64.0.1",
        "public udp 8776 100.64.0.1",
        "lan tcp 8776 100.64.0.1",
        "lan udp 8776 100.64.0.1",
        "lan udp 9000 100.64.0.1",
    ]);
    assert_eq!(arrived, declared, "{rules}\n{back}");
}

/// A client, an edge, and two hosts behind it. It prints how often each of the two has answered, over TCP and UDP.
const SHARE: &str = r#"
edge_rules=$1; one_rules=$2; two_rules=$3; shift 3
n=pls$$
spaces="$n-c $n-e $n-1 $n-2"
make_spaces
link pub "$n-e" 203.0.113.1/24 "$n-c" 203.0.113.66/24
link one "$n-e" 10.1.0.1/32 "$n-1" 10.1.0.2/32
link two "$n-e" 10.1.0.1/32 "$n-2" 10.1.0.3/32
ip -n "$n-e" route add 10.1.0.2 dev one; ip -n "$n-1" route add 10.1.0.1 dev one
ip -n "$n-e" route add 10.1.0.3 dev two; ip -n "$n-2" route add 10.1.0.1 dev two
ip netns exec "$n-e" sysctl -qw net.ipv4.ip_forward=1
ip netns exec "$n-e" nft -f "$edge_rules"
ip netns exec "$n-1" nft -f "$one_rules"
ip netns exec "$n-2" nft -f "$two_rules"
for who in 1 2; do
  ip netns exec "$n-$who" python3 -c '
import socket, sys, threading
def tcp():
    s = socket.socket(); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1); s.bind(("0.0.0.0", 8776)); s.listen(64)
    while True:
        c, _ = s.accept(); c.sendall(sys.argv[1].encode()); c.close()
def udp():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM); s.bind(("0.0.0.0", 8776))
    while True:
        _, who = s.recvfrom(100); s.sendto(sys.argv[1].encode(), who)
for kind in (tcp, udp): threading.Thread(target=kind, daemon=True).start()
print("up", flush=True)
threading.Event().wait(60)
' "$who" >"$edge_rules.$who" &
done
# What systemd does for a socket with ReusePort=yes: one for each unit, handed to its program.
for target in "$@"; do
  ip netns exec "$n-e" python3 -c '
import os, socket, sys
s = socket.socket(socket.AF_INET6); s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0); s.bind(("::", 8776)); s.listen(64)
if s.fileno() != 3: os.dup2(s.fileno(), 3)
os.set_inheritable(3, True)
os.environ.update(LISTEN_FDS="1", LISTEN_PID=str(os.getpid()))
print("up", flush=True)
os.execv("/usr/lib/systemd/systemd-socket-proxyd", ["systemd-socket-proxyd", sys.argv[1]])
' "$target" >"$edge_rules.p.$target" &
done
for _ in $(seq 100); do [ "$(cat "$edge_rules".1 "$edge_rules".2 "$edge_rules".p.* 2>/dev/null | grep -c up)" = 4 ] && break; sleep 0.05; done
ip netns exec "$n-c" python3 -c '
import socket
for kind in ("tcp", "udp"):
    seen = {}
    for _ in range(40):
        s = socket.socket(socket.AF_INET, socket.SOCK_STREAM if kind == "tcp" else socket.SOCK_DGRAM)
        s.settimeout(2)
        s.connect(("203.0.113.1", 8776))
        if kind == "udp": s.send(b"x")
        who = s.recv(100).decode(); seen[who] = seen.get(who, 0) + 1
        s.close()
    print(kind, seen.get("1", 0), seen.get("2", 0))
'
"#;

#[test]
fn a_port_that_is_passed_on_to_several_hosts_is_shared_among_them() {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me";
    let back = |address: &str| json!({"os": "debian-13", "addresses": {"lan": [address]}, "ssh": {"keys": [key], "from": ["lan"]}});
    let fleet = json!({
        "schema": "fleet/v1", "name": "share", "domain": "share.example.org", "networks": {"lan": {"cidrs": ["10.1.0.0/16"]}},
        "hosts": {
            "edge": {"os": "debian-13", "addresses": {"public": ["203.0.113.1"], "lan": ["10.1.0.1"]}, "ssh": {"keys": [key]}},
            "one": back("10.1.0.2"), "two": back("10.1.0.3")
        },
        "services": {
            "seed": {"host": ["one", "two"], "run": {"systemd": {"exec": ["/bin/true"]}}, "backup": {"none": "a test"},
                "ports": {"p2p": {"port": 8776, "bind": "lan", "proto": "both"}}, "expose": [{"via": "edge"}]}
        }
    });
    let edge = files(&fleet, "edge");
    let of = |path: &str| edge.iter().find(|(known, _)| known == path).unwrap_or_else(|| panic!("{path}")).1.clone();
    let mut targets = Vec::new();
    for host in ["one", "two"] {
        let socket = of(&format!("/etc/systemd/system/forward-seed-p2p-{host}.socket"));
        assert!(socket.contains("ListenStream=8776\n") && socket.contains("ReusePort=yes\n"), "{socket}");
        let service = of(&format!("/etc/systemd/system/forward-seed-p2p-{host}.service"));
        let start = service.lines().find_map(|line| line.strip_prefix("ExecStart="));
        targets.push(start.unwrap().rsplit(' ').next().unwrap().to_owned());
    }
    assert_eq!(targets, ["10.1.0.2:8776", "10.1.0.3:8776"]);
    for (program, package) in [("nft", "nftables"), ("ip", "iproute2"), ("python3", "python3")] {
        if peer(program, &format!("apt-get install {package}")).is_none() {
            return;
        }
    }
    if !is_root() {
        eprintln!("skipped: network namespaces are made by root");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let place = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path
    };
    let rules = of("/etc/nftables.conf");
    let of_host =
        |host: &str| files(&fleet, host).into_iter().find(|(path, _)| path == "/etc/nftables.conf").unwrap().1;
    let script = place("script", &format!("{LAB}{SHARE}"));
    let places = [place("edge", &rules), place("one", &of_host("one")), place("two", &of_host("two"))];
    let (good, said) = say(Command::new("bash").arg(&script).args(&places).args(&targets));
    assert!(good, "{said}\n{rules}");
    let counts: Vec<(&str, u32, u32)> = said
        .lines()
        .filter_map(|line| {
            let mut words = line.split(' ');
            Some((words.next()?, words.next()?.parse().ok()?, words.next()?.parse().ok()?))
        })
        .collect();
    let [("tcp", one, two), udp] = counts.as_slice() else { panic!("{said}") };
    // The kernel chooses a socket by a hash of the connection: of 40 each gets some; flows of datagrams go in turn.
    assert!(*one >= 5 && *two >= 5 && one + two == 40, "{said}");
    assert_eq!(*udp, ("udp", 20, 20), "{rules}");
}
