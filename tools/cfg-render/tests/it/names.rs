//! Names as networks see them: zones and their views, hosts files, multicast; overlays; tunnels of either management.

use std::fs;
use std::net::IpAddr;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::fleet::merged;
use crate::run::{cfg_render, document, files, is_root, peer, say};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me";

/// An edge on the internet, a server at home, and names for both sides.
fn fleet() -> Value {
    json!({
        "schema": "fleet/v1", "name": "views", "domain": "views.example.net", "email": "ops@example.net",
        "networks": {"lan": {"cidrs": ["10.1.0.0/16"]}, "vpn": {"tailscale": {}}},
        "defaults": {"host": {"os": "debian-12", "ssh": {"keys": [KEY]}, "proxy": {"kind": "nginx"}}},
        "hosts": {
            "edge": {"addresses": {"public": ["203.0.113.1"], "vpn": ["100.64.0.1"]}},
            "home": {"addresses": {"lan": ["10.1.0.2"], "vpn": ["100.64.0.2"]}, "ssh": {"keys": [KEY], "from": ["vpn"]}},
            "desk": {"addresses": {"lan": ["10.1.0.3"]}, "ssh": {"keys": [KEY], "from": ["lan"]}}
        },
        "services": {
            "shop": {
                "host": "home", "run": {"systemd": {"exec": ["/usr/bin/true"]}}, "ports": {"http": {"port": 3000, "bind": "vpn"}},
                "proxy": [
                    {"names": ["shop.views.example.net"], "via": "edge"},
                    {"names": ["shop.views.example.net", "shop.home.local"], "from": ["lan"], "tls": "internal"}
                ],
                "backup": {"none": "test"}
            },
            "wiki": {
                "host": "home", "run": {"static": {"root": "/srv/wiki"}},
                "proxy": [{"names": ["wiki.views.example.net"], "from": ["lan"], "tls": "internal"}], "backup": {"none": "test"}
            }
        },
        "dns": {
            "providers": {"out": {"desec": {"token": {"secret": "out"}}}, "in": {"powerdns": {"url": "http://10.1.0.3:8081", "key": {"secret": "in"}}}},
            "zones": {"views.example.net": {"provider": "out", "views": {"lan": {"provider": "in"}}}}
        },
        "secrets": {"out": {}, "in": {}}
    })
}

fn findings(fleet: &Value) -> Vec<(String, String)> {
    let output = cfg_render(&["check"], &fleet.to_string());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let found = found["findings"].as_array().unwrap().iter().map(|one| (text(&one["code"]), text(&one["pointer"])));
    // Where Tailscale's package comes from is no question here.
    found.filter(|(code, _)| code != "no-package-source").collect()
}

/// The addresses of names in each view of a zone, by its provider.
fn addresses(fleet: &Value, provider: &str) -> Vec<(String, String)> {
    let desired = document(&["dns"], fleet);
    let zone = desired["zones"].as_array().unwrap().iter().find(|zone| zone["provider"] == provider).unwrap().clone();
    let records = zone["records"].as_array().unwrap().iter().filter(|record| record["A"].is_array());
    records
        .map(|record| (record["name"].as_str().unwrap().to_owned(), record["A"][0].as_str().unwrap().to_owned()))
        .collect()
}

fn pairs(list: &[(&str, &str)]) -> Vec<(String, String)> {
    list.iter().map(|(name, address)| ((*name).to_owned(), (*address).to_owned())).collect()
}

#[test]
fn each_view_has_what_it_may_reach_at_the_address_that_it_can_reach() {
    let fleet = fleet();
    assert_eq!(findings(&fleet), []);
    // What is for the LAN alone is no business of the internet.
    assert_eq!(addresses(&fleet, "out"), pairs(&[("edge", "203.0.113.1"), ("shop", "203.0.113.1")]));
    assert_eq!(
        addresses(&fleet, "in"),
        pairs(&[("desk", "10.1.0.3"), ("home", "10.1.0.2"), ("shop", "10.1.0.2"), ("wiki", "10.1.0.2")])
    );
    // A zone may be for a network altogether.
    let inner = merged(fleet, json!({"dns": {"zones": {"views.example.net": {"network": "vpn", "views": null}}}}));
    assert_eq!(
        addresses(&inner, "out"),
        pairs(&[("edge", "100.64.0.1"), ("home", "100.64.0.2"), ("shop", "100.64.0.1")])
    );
}

#[test]
fn the_same_name_in_two_views_is_no_clash_and_in_one_view_is() {
    let codes = |patch: Value| -> Vec<String> {
        findings(&merged(fleet(), patch))
            .into_iter()
            .map(|(code, _)| code)
            .filter(|code| code.ends_with("collision"))
            .collect()
    };
    assert!(codes(json!({})).is_empty());
    let twice = json!({"services": {"wiki": {"proxy": [{"names": ["shop.views.example.net"], "from": ["lan"], "via": "desk", "tls": "internal"}]}}});
    assert_eq!(codes(twice), ["dns-collision"]);
}

#[test]
fn names_that_nobody_can_look_up_are_found() {
    let without = merged(fleet(), json!({"dns": {"zones": {"views.example.net": {"views": null}}}}));
    let place = "/services/wiki/proxy/0".to_owned();
    assert_eq!(findings(&without), [("name-nowhere".to_owned(), place.clone())]);
    let told = merged(without.clone(), json!({"networks": {"lan": {"names": ["hosts"]}}}));
    assert_eq!(findings(&told), []);
    let quiet = merged(
        without.clone(),
        json!({"services": {"wiki": {"proxy": [{"names": ["wiki.views.example.net"], "from": ["lan"], "tls": "internal", "dns": false}]}}}),
    );
    assert_eq!(findings(&quiet), []);
    let local = json!({"services": {"wiki": {"proxy": [{"names": ["wiki.home.local"], "from": ["lan"]}]}}});
    assert_eq!(findings(&merged(without.clone(), local.clone())), [("name-nowhere".to_owned(), place)]);
    let mdns = merged(merged(without, local), json!({"networks": {"lan": {"names": ["mdns"]}}}));
    assert_eq!(findings(&mdns), []);
}

#[test]
fn no_authority_is_asked_for_a_local_name() {
    let wanted = |tls: Value| {
        merged(
            fleet(),
            json!({"services": {"wiki": {"proxy": [{"names": ["wiki.home.local"], "from": ["lan"], "dns": false, "tls": tls}]}}}),
        )
    };
    for tls in ["acme", "acme-dns"] {
        let codes: Vec<String> = findings(&wanted(json!(tls))).into_iter().map(|(code, _)| code).collect();
        assert_eq!(codes, ["cert-impossible"], "{tls}");
    }
    // Said by nobody it is the internal CA's, and no client of ACME is there for it.
    let fleet = wanted(json!(null));
    assert_eq!(findings(&fleet), []);
    assert!(files(&fleet, "home").iter().all(|(path, _)| !path.contains("acme-wiki")));
}

#[test]
fn hosts_files_have_the_names_of_the_network() {
    let fleet = merged(fleet(), json!({"networks": {"lan": {"names": ["hosts"]}}}));
    let all = files(&fleet, "desk");
    let text = &all.iter().find(|(path, _)| path == "/etc/hosts").unwrap().1;
    let lines: Vec<&str> = text.lines().filter(|line| !line.starts_with('#')).collect();
    let expected = [
        "127.0.0.1 localhost",
        "127.0.1.1 desk.views.example.net desk",
        "::1 localhost ip6-localhost ip6-loopback",
        "ff02::1 ip6-allnodes",
        "ff02::2 ip6-allrouters",
        "10.1.0.2 home",
        "10.1.0.2 home.views.example.net",
        "10.1.0.2 shop.home.local",
        "10.1.0.2 shop.views.example.net",
        "10.1.0.2 wiki.views.example.net",
        "10.1.0.3 desk.views.example.net",
    ];
    assert_eq!(lines, expected);
    // A host that is not on it does not learn of it.
    assert!(files(&fleet, "edge").iter().all(|(path, _)| path != "/etc/hosts"));
    // A program that reads the file as the system does finds them.
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("hosts"), text).unwrap();
    if !is_root() {
        eprintln!("skipped: a private /etc/hosts needs a mount of its own (run as root)");
        return;
    }
    let script = format!(
        "mount --bind {}/hosts /etc/hosts && getent -s files ahostsv4 shop.home.local",
        folder.path().display()
    );
    let (good, said) = say(Command::new("unshare").args(["--mount", "sh", "-c", &script]));
    assert!(good && said.starts_with("10.1.0.2"), "{said}");
}

/// Ends a program with the test.
struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn avahi_answers_for_the_names_that_a_host_announces() {
    let fleet = merged(fleet(), json!({"networks": {"lan": {"names": ["mdns"]}}}));
    let rendered = files(&fleet, "home");
    let unit = &rendered.iter().find(|(path, _)| path == "/etc/systemd/system/mdns-shop.home-4.service").unwrap().1;
    let exec = unit.lines().find_map(|line| line.strip_prefix("ExecStart=")).unwrap();
    // Its own name is Avahi's business, and other hosts announce nothing of it.
    assert_eq!(rendered.iter().filter(|(path, _)| path.contains("/mdns-")).count(), 1);
    assert!(files(&fleet, "desk").iter().all(|(path, _)| !path.contains("/mdns-")));
    let firewall = &rendered.iter().find(|(path, _)| path == "/etc/nftables.conf").unwrap().1;
    assert!(firewall.contains("ip saddr @net_lan_4 udp dport 5353 accept"), "{firewall}");
    let Some(avahi) = peer("avahi-daemon", "apt-get install avahi-daemon avahi-utils dbus") else { return };
    if !is_root() {
        eprintln!("skipped: a network of its own for Avahi (run as root)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    fs::write(at("avahi.conf"), "[server]\nhost-name=home\nuse-ipv6=no\nallow-interfaces=mdns0\nenable-dbus=yes\n[publish]\npublish-workstation=no\n").unwrap();
    let bus = format!(
        "<!DOCTYPE busconfig PUBLIC \"-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN\" \"http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd\">\n\
         <busconfig><type>system</type><listen>unix:path={}</listen><auth>EXTERNAL</auth><policy context=\"default\">\
         <allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/></policy></busconfig>\n",
        at("bus")
    );
    fs::write(at("bus.conf"), bus).unwrap();
    // A network of its own with an address of the LAN, a bus and a run directory of its own: nothing of this machine is touched.
    let script = format!(
        "mount -t tmpfs none /run && mkdir -p /run/avahi-daemon && ip link set lo up && ip link add mdns0 type veth peer name mdns1 && ip link set mdns1 up \
         && ip addr add 10.1.0.2/16 dev mdns0 && ip link set mdns0 up \
         && export DBUS_SYSTEM_BUS_ADDRESS=unix:path={bus} && {{ dbus-daemon --config-file={bus}.conf --nofork --nopidfile & b=$!; }} && sleep 0.5 \
         && {{ {avahi} --no-drop-root --no-chroot --no-rlimits -f {conf} & a=$!; }} && sleep 1 && {{ {exec} & p=$!; }} \
         && for i in 1 2 3 4 5 6 7 8 9 10; do avahi-resolve -4 -n shop.home.local && break; sleep 1; done; kill $p $a $b; wait",
        bus = at("bus"),
        avahi = avahi.display(),
        conf = at("avahi.conf"),
    );
    let log = fs::File::create(at("log")).unwrap();
    let child = Command::new("unshare")
        .args(["--mount", "--net", "--pid", "--fork", "--kill-child", "sh", "-c", &script])
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap();
    let mut child = Running(child);
    let start = Instant::now();
    while child.0.try_wait().unwrap().is_none() && start.elapsed() < Duration::from_secs(40) {
        std::thread::sleep(Duration::from_millis(200));
    }
    let said = fs::read_to_string(at("log")).unwrap();
    let answer = said.lines().find_map(|line| line.strip_prefix("shop.home.local\t")).map(str::parse::<IpAddr>);
    assert_eq!(answer, Some("10.1.0.2".parse()), "{said}");
}

#[test]
fn a_host_that_only_the_overlay_reaches_is_reached() {
    // The home server has no address on the internet: its proxy's edge, its inventory and its upstream go over the overlay.
    let fleet = merged(
        fleet(),
        json!({"hosts": {"home": {"addresses": {"lan": null}}, "desk": null}, "services": {"wiki": null}, "networks": {"lan": null}}),
    );
    let fleet = merged(
        fleet,
        json!({"dns": {"providers": {"in": null}, "zones": {"views.example.net": {"views": null}}}, "secrets": {"in": null}}),
    );
    let fleet =
        merged(fleet, json!({"services": {"shop": {"proxy": [{"names": ["shop.views.example.net"], "via": "edge"}]}}}));
    assert_eq!(findings(&fleet), []);
    let hosts = document(&["hosts"], &fleet);
    let home = hosts["hosts"].as_array().unwrap().iter().find(|host| host["name"] == "home").unwrap().clone();
    assert_eq!(home["addresses"][0]["address"], "100.64.0.2", "{home}");
    let site = files(&fleet, "edge").into_iter().find(|(path, _)| path.contains("plumbline.d/shop.views")).unwrap().1;
    assert!(site.contains("proxy_pass http://100.64.0.2:3000;"), "{site}");
    // And without a network in common it is not.
    let apart = merged(fleet, json!({"hosts": {"edge": {"addresses": {"vpn": null}}}}));
    assert!(findings(&apart).iter().any(|(code, _)| code == "unreachable-upstream"));
}

#[test]
fn a_tunnel_is_the_provider_s_or_the_host_s_and_never_both() {
    let id = "6ff42ae2-765d-4adf-8112-31c55c1551ef";
    let of = |tunnel: Value| {
        merged(
            fleet(),
            json!({
                "dns": {"providers": {"cf": {"cloudflare": {"token": {"secret": "cf"}, "account": "0123456789abcdef0123456789abcdef"}}}, "zones": {"views.example.net": {"provider": "cf"}}},
                "tunnels": {"main": tunnel}, "people": {"me": {"emails": ["me@example.net"], "groups": ["us"]}}, "access": {"us": {"provider": "cf", "groups": ["us"]}},
                "services": {"shop": {"ports": {"http": {"bind": "local"}}, "proxy": [{"names": ["shop.views.example.net"], "tunnel": "main", "auth": {"access": "us"}}]}},
                "secrets": {"cf": {}, "tunnel": {}, "out": null}
            }),
        )
    };
    let of = |tunnel: Value| merged(of(tunnel), json!({"dns": {"providers": {"out": null}}}));
    let record = |dns: &Value| {
        let records = dns["zones"].as_array().unwrap().iter().flat_map(|zone| zone["records"].as_array().unwrap());
        records
            .filter(|record| record["CNAME"].is_string())
            .map(|record| record["CNAME"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let remote = of(json!({"host": "home", "managed": "remote", "id": id, "credentials": {"secret": "tunnel"}}));
    let dns = document(&["dns"], &remote);
    assert_eq!(dns["tunnels"][0]["routes"][0]["service"], "http://127.0.0.1:3000");
    let home = files(&remote, "home");
    assert!(home.iter().all(|(path, _)| !path.starts_with("/etc/cloudflared")), "the provider has the routes");
    let unit = |files: &[(String, String)]| {
        files.iter().find(|(path, _)| path.ends_with("/cloudflared-main.service")).unwrap().1.clone()
    };
    assert!(unit(&home).contains("cloudflared --no-autoupdate tunnel run\n"));
    let local = of(json!({"host": "home", "managed": "local", "id": id, "credentials": {"secret": "tunnel"}}));
    let dns = document(&["dns"], &local);
    assert_eq!(dns["tunnels"], Value::Null, "dns-sync is told nothing that it could change");
    assert_eq!(record(&dns), [format!("{id}.cfargotunnel.com.")]);
    assert_eq!(dns["access"][0]["hostnames"], json!(["shop.views.example.net"]));
    let home = files(&local, "home");
    let config = &home.iter().find(|(path, _)| path == "/etc/cloudflared/main.yml").unwrap().1;
    assert!(config.contains("\"shop.views.example.net\"") && config.contains("\"http://127.0.0.1:3000\""), "{config}");
    assert!(unit(&home).contains("--config /etc/cloudflared/main.yml"));
}
