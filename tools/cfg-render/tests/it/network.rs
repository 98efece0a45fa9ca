//! The network of a Debian host, as systemd-networkd takes it: in a network namespace of its own it gives addresses and routes.

use std::fs;
use std::process::Command;

use serde_json::{Value, json};

use crate::run::{document, files, files_of, is_root, peer, say};

/// Runs networkd on a veth pair `eth0` with the files of a folder, and prints what the kernel then has, and what networkd said.
const SCRIPT: &str = r#"
set -eu
files=$1
mount --make-rprivate /
mount -t tmpfs tmpfs /etc/systemd/network
cp "$files"/*.network /etc/systemd/network/
mkdir -p /run/systemd
mount -t tmpfs tmpfs /run/systemd
mkdir -p /run/systemd/netif/links /run/systemd/netif/leases /run/systemd/netif/lldp
chown -R systemd-network:systemd-network /run/systemd/netif
# Without a writable /sys there is no udev to wait for.
mount -t sysfs -o ro sysfs /sys
ip link set lo up
ip link add eth0 type veth peer name far0
ip link set far0 up
SYSTEMD_LOG_TARGET=console SYSTEMD_LOG_LEVEL=info "$2" 2>"$files/log" &
pid=$!
for _ in $(seq 80); do grep -q 'eth0: Gained carrier' "$files/log" && break; sleep 0.1; done
for _ in $(seq 30); do ip route show default | grep -q . && break; [ -e "$files/dhcp" ] && break; sleep 0.1; done
sleep 0.3
ip -o addr show dev eth0 | awk '{print $3, $4}'
ip route show default; ip -6 route show default; ip route show | grep 'scope link' || true
kill "$pid"; wait "$pid" 2>/dev/null || true
cat "$files/log"
"#;

fn fleet(network: &Value) -> Value {
    json!({
        "schema": "fleet/v1", "name": "net",
        "hosts": {"a": {"os": "debian-12", "addresses": {"public": ["192.0.2.10"]}, "network": network, "timezone": "Etc/UTC",
            "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}}}
    })
}

/// What networkd makes of a network, and what it says.
fn runs(network: &Value) -> Option<String> {
    let networkd = std::path::Path::new("/lib/systemd/systemd-networkd");
    peer("unshare", "apt-get install util-linux")?;
    peer("ip", "apt-get install iproute2")?;
    if !is_root() || !networkd.exists() {
        eprintln!("skipped: a namespace of its own is made as root, with systemd installed");
        return None;
    }
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files(&fleet(network), "a").iter().filter(|(path, _)| path.starts_with("/etc/systemd/network/"))
    {
        fs::write(folder.path().join(path.rsplit('/').next().unwrap()), text).unwrap();
    }
    if network.get("dhcp").is_some() {
        fs::write(folder.path().join("dhcp"), "").unwrap();
    }
    let (good, said) = say(Command::new("unshare")
        .args(["--net", "--mount", "--", "bash", "-c", SCRIPT, "try"])
        .arg(folder.path())
        .arg(networkd));
    assert!(good, "{said}");
    // A key or value that it does not know is a line with the place of the file.
    assert!(!said.contains(".network:"), "{said}");
    assert!(said.contains("eth0: Configuring with /etc/systemd/network/05-plumbline.network."), "{said}");
    Some(said)
}

#[test]
fn fixed_addresses_and_routes_are_those_of_the_fleet() {
    let fixed = json!({"static": {"interface": "eth0", "addresses": ["192.0.2.10/24", "2001:db8::10/64"],
        "gateways": ["192.0.2.1", "2001:db8::1"], "nameservers": ["9.9.9.9"]}});
    let Some(said) = runs(&fixed) else { return };
    for line in [
        "inet 192.0.2.10/24",
        "inet6 2001:db8::10/64",
        "default via 192.0.2.1 dev eth0",
        "default via 2001:db8::1 dev eth0",
    ] {
        assert!(said.contains(line), "{line}\n{said}");
    }
    // A single address of a hoster, whose gateway is outside of it.
    let single = json!({"static": {"interface": "eth0", "addresses": ["192.0.2.10/32"], "gateways": ["172.31.1.1"]}});
    let said = runs(&single).unwrap();
    assert!(said.contains("default via 172.31.1.1 dev eth0") && said.contains("onlink"), "{said}");
}

#[test]
fn networkd_takes_dhcp_as_it_is_written() {
    for dhcp in [json!({"dhcp": {}}), json!({"dhcp": {"interface": "eth*", "nameservers": ["9.9.9.9", "2620:fe::fe"]}})]
    {
        if runs(&dhcp).is_none() {
            return;
        }
    }
}

#[test]
fn nobody_else_configures_it_at_the_next_boot() {
    let desired = document(&["host", "--host", "a"], &fleet(&json!({"dhcp": {}})));
    let items = desired["items"].as_array().unwrap();
    let unit = |name: &str| items.iter().filter_map(|item| item.get("unit")).find(|unit| unit["name"] == name);
    assert_eq!(unit("systemd-networkd.service").unwrap()["state"], "started");
    assert_eq!(unit("systemd-resolved.service").unwrap()["enabled"], true);
    // What runs is not stopped: that would take the addresses away.
    let old = unit("networking.service").unwrap();
    assert_eq!((&old["enabled"], old.get("state")), (&json!(false), None));
    let all = files_of(&desired);
    assert!(all.iter().any(|(path, text)| path == "/etc/cloud/cloud.cfg.d/99-plumbline-network.cfg"
        && text.ends_with("network: {config: disabled}\n")));
    let none = files(&fleet(&json!({"unmanaged": {}})), "a");
    assert!(none.iter().all(|(path, _)| !path.starts_with("/etc/systemd/network")));
}
