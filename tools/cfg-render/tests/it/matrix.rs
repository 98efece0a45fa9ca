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
  for _ in $(seq 100); do grep -q up "$file" && break; sleep 0.05; done
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
