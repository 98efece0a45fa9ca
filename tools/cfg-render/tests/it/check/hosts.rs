//! Checks of hosts: ports, ways in, keys, certificates, proxies, addresses.

use serde_json::{Value, json};

use super::{bad, good};
use crate::fleet::merged;

#[test]
fn ports() {
    let clash = |port: Value| json!({ "services": { "worker": { "ports": { "http": port } } } });
    bad("port-clash", "/services/worker/ports/http", clash(json!({ "port": 8000, "bind": "vpn" })));
    bad("port-clash", "/services/worker/ports/http", clash(json!({ "port": 8000, "bind": "any", "proto": "both" })));
    bad("port-clash", "/services/worker/ports/http", clash(json!(22)));
    bad("port-clash", "/services/worker/ports/http", clash(json!(9100)));
    bad("port-clash", "/services/worker/ports/http", clash(json!(5432)));
    bad("port-clash", "/services/site/ports/x", json!({ "services": { "site": { "ports": { "x": 443 } } } }));
    good("port-clash", clash(json!(8000)));
    good("port-clash", clash(json!({ "port": 8000, "bind": "vpn", "proto": "udp" })));
    good("port-clash", clash(json!({ "port": 22, "publish": false })));
    // What is not ours may describe the host's own sshd.
    good(
        "port-clash",
        json!({ "services": { "sh": { "host": "back", "run": { "external": {} }, "ports": { "ssh": 22 } } } }),
    );
}

#[test]
fn access() {
    bad("lockout", "/defaults/host/ssh/keys", json!({ "defaults": { "host": { "ssh": { "groups": [] } } } }));
    bad(
        "lockout",
        "/hosts/edge/ssh/from",
        json!({ "hosts": { "edge": { "ssh": { "groups": ["admins"], "from": [] } } } }),
    );
    bad(
        "lockout",
        "/hosts/edge/ssh/root",
        json!({ "hosts": { "edge": { "ssh": { "groups": ["admins"], "root": "no" } } } }),
    );
    bad(
        "lockout",
        "/hosts/edge/ssh/user",
        json!({ "hosts": { "edge": { "ssh": { "groups": ["admins"], "user": "ann", "become": "sudo" } } } }),
    );
    bad(
        "lockout",
        "/hosts/edge/ssh/user",
        json!({ "hosts": { "edge": { "ssh": { "groups": ["admins"], "user": "ann" }, "users": { "ann": { "admin": true } } } } }),
    );
    bad(
        "lockout",
        "/hosts/edge/ssh/from",
        json!({ "networks": { "far": { "tailscale": {} } }, "hosts": { "edge": { "ssh": { "groups": ["admins"], "from": ["far"] } } } }),
    );
    bad("lockout", "/hosts/edge", json!({ "hosts": { "edge": { "addresses": null } } }));
    good(
        "lockout",
        json!({ "hosts": { "edge": { "ssh": { "groups": ["admins"], "user": "ann", "become": "sudo", "root": "no" }, "users": { "ann": { "admin": true } } } } }),
    );
    let ssh = |via: &str| json!({ "ssh": { "groups": ["admins"], "via": via } });
    bad("via-cycle", "/hosts/edge/ssh/via", json!({ "hosts": { "edge": ssh("back"), "back": ssh("edge") } }));
}

#[test]
fn keys() {
    let blob = "AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv";
    let host = |key: String| json!({ "hosts": { "edge": { "host_keys": [key] } } });
    bad("bad-host-key", "/hosts/edge/host_keys/0", host(format!("SHA256:{blob}")));
    bad("bad-host-key", "/hosts/edge/host_keys/0", host(format!("ssh-ed25519 {}", &blob[..40])));
    bad("bad-host-key", "/hosts/edge/host_keys/0", host(format!("ssh-rsa {blob}")));
    good("bad-host-key", host(format!("ssh-ed25519 {blob}")));
    let person = |key: String| json!({ "people": { "ann": { "ssh_keys": [key] } } });
    bad("bad-ssh-key", "/people/ann/ssh_keys/0", person("ssh-ed25519".into()));
    bad("bad-ssh-key", "/people/ann/ssh_keys/0", person(format!("ssh-dss {blob}")));
    good("bad-ssh-key", person(format!("restrict,pty ssh-ed25519 {blob} ann@desk")));
    let recipient = |key: &str| json!({ "hosts": { "edge": { "secrets": { "recipient": key } } } });
    bad("bad-recipient", "/hosts/edge/secrets/recipient", recipient("age1short"));
    good("bad-recipient", recipient("age1qyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqszqgpqyqs3290gq"));
    good("bad-recipient", recipient(&format!("ssh-ed25519 {blob}")));
}

#[test]
fn certificates() {
    let site = |route: Value| json!({ "services": { "site": { "proxy": [route] } } });
    let at = "/services/site/proxy/0";
    let tls = "/services/site/proxy/0/tls";
    let code = "cert-impossible";
    bad(code, at, site(json!({ "names": ["*.example.net"] })));
    bad(code, tls, site(json!({ "names": ["x.test"], "tls": "acme" })));
    bad(code, tls, site(json!({ "names": ["x.example.net"], "from": ["vpn"], "tls": "acme" })));
    bad(code, tls, site(json!({ "names": ["x.example.net"], "tls": "tunnel" })));
    bad(code, tls, site(json!({ "names": ["x.elsewhere.net"], "tls": "acme-dns" })));
    bad(code, tls, site(json!({ "names": ["x.example.net"], "tls": "on-demand" })));
    bad(
        code,
        at,
        merged(
            site(json!({ "names": ["x.example.net"] })),
            json!({ "hosts": { "edge": { "proxy": { "http_port": 8080 } } } }),
        ),
    );
    bad(
        code,
        at,
        merged(site(json!({ "names": ["x.test"] })), json!({ "certificates": { "domains": ["lab.internal"] } })),
    );
    good(code, site(json!({ "names": ["*.example.net"], "tls": "acme-dns" })));
    good(code, site(json!({ "names": ["x.test"] })));
    good(code, site(json!({ "names": ["x.example.net"], "from": ["vpn"] })));
}

#[test]
fn proxies() {
    let edge = |proxy: Value| json!({ "hosts": { "edge": { "proxy": proxy } } });
    let code = "unsupported-feature";
    let cases = [
        ("http3", json!({ "http3": true, "version": "1.22.1" })),
        ("ktls", json!({ "kind": "caddy", "ktls": true })),
        ("early_data", json!({ "kind": "caddy", "early_data": true })),
        ("limits", json!({ "kind": "caddy", "limits": { "rate": "10r/s" } })),
        ("acme", json!({ "kind": "caddy", "acme": { "challenge": "dns-01" } })),
        ("on_demand", json!({ "on_demand": { "ask": "http://127.0.0.1:1/" } })),
        ("image", json!({ "kind": "traefik" })),
    ];
    for (key, proxy) in cases {
        bad(code, &format!("/hosts/edge/proxy/{key}"), edge(proxy));
    }
    good(code, edge(json!({ "http3": true, "ktls": true, "early_data": true })));
    good(
        code,
        edge(json!({ "kind": "caddy", "limits": { "rate": "10r/s" }, "modules": ["http.handlers.rate_limit"] })),
    );
    bad(
        code,
        "/hosts/edge/proxy/http3",
        merged(edge(json!({ "http3": true })), json!({ "hosts": { "edge": { "os": "debian-12" } } })),
    );
    bad(
        code,
        "/services/app/proxy/0/scheme",
        json!({ "services": { "app": { "proxy": [{ "names": ["app.example.net"], "via": "edge", "scheme": "ssh" }] } } }),
    );
    bad(code, "/services/app/run/container", json!({ "hosts": { "back": { "containers": null } } }));
    bad(
        code,
        "/services/worker/run/nixos",
        json!({ "services": { "worker": { "run": { "systemd": null, "nixos": { "module": "services.x" } } } } }),
    );
    bad(code, "/hosts/edge/disk", json!({ "hosts": { "edge": { "disk": { "device": "/dev/sda" } } } }));
    let code = "unreachable-upstream";
    let port = |bind: &str| json!({ "services": { "app": { "ports": { "http": { "bind": bind } } } } });
    bad(code, "/services/app/proxy/0", port("local"));
    bad(code, "/services/app/proxy/0", port("lan"));
    good(code, port("any"));
    bad(code, "/services/app/proxy/0", json!({ "hosts": { "edge": { "addresses": { "vpn": null } } } }));
    bad(
        code,
        "/services/app/expose/0",
        merged(port("local"), json!({ "services": { "app": { "proxy": [], "expose": [{ "from": ["lan"] }] } } })),
    );
    bad(
        code,
        "/services/app/expose/0",
        merged(port("lan"), json!({ "services": { "app": { "proxy": [], "expose": [{ "via": "edge" }] } } })),
    );
}

/// Of two hosts the one that lacks the address is named, also where it is the one behind.
#[test]
fn the_host_that_is_not_on_the_network_is_named() {
    let host = |addresses: Value| json!({"os": "debian-12", "addresses": addresses, "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}});
    let fleet = json!({
        "schema": "fleet/v1", "name": "two", "domain": "two.test", "networks": {"lan": {"cidrs": ["10.9.0.0/24"]}},
        "hosts": {
            "web": host(json!({"public": ["192.0.2.1"], "lan": ["10.9.0.1"]})),
            "one": host(json!({"public": ["192.0.2.2"], "lan": ["10.9.0.2"]})),
            "two": host(json!({"public": ["192.0.2.3"]})),
        },
        "services": {"app": {"host": ["one", "two"], "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": {"port": 8000, "bind": "lan"}},
            "backup": {"none": "a test"}, "proxy": [{"names": ["app.two.test"], "via": "web"}]}}
    });
    let output = crate::run::cfg_render(&["check", "--output", "json"], &fleet.to_string());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let found: Vec<_> = found["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["code"] == "unreachable-upstream")
        .collect();
    assert_eq!(found.len(), 1, "{found:#?}");
    assert_eq!(found[0]["fix"], "give host two an address on lan", "{found:#?}");
    assert!(found[0]["message"].as_str().unwrap().ends_with("network lan, where host two is not"), "{found:#?}");
}

#[test]
fn addresses_and_paths() {
    bad(
        "address-outside-network",
        "/hosts/edge/addresses/vpn/0",
        json!({ "hosts": { "edge": { "addresses": { "vpn": ["10.0.0.1"] } } } }),
    );
    bad(
        "address-outside-network",
        "/hosts/edge/addresses/public/0",
        json!({ "hosts": { "edge": { "addresses": { "public": ["127.0.0.1"] } } } }),
    );
    bad(
        "duplicate-address",
        "/hosts/edge/addresses/vpn/0",
        json!({ "hosts": { "edge": { "addresses": { "vpn": ["100.64.0.2"] } } } }),
    );
    let file = json!({ "content": "x" });
    bad(
        "file-clash",
        "/services/site/files/~1etc~1x",
        json!({ "hosts": { "edge": { "files": { "/etc/x": file } } }, "services": { "site": { "files": { "/etc/x": file } } } }),
    );
    good(
        "file-clash",
        json!({ "hosts": { "back": { "files": { "/etc/x": file } } }, "services": { "site": { "files": { "/etc/x": file } } } }),
    );
    bad(
        "bad-path",
        "/services/site/run/static/root",
        json!({ "services": { "site": { "run": { "static": { "root": "srv" } } } } }),
    );
    bad(
        "bad-path",
        "/services/app/backup/paths/0",
        json!({ "services": { "app": { "backup": { "paths": ["/var/../etc"] } } } }),
    );
}

#[test]
fn networks_of_hosts() {
    let host = |network: Value| json!({ "hosts": { "edge": { "network": { "static": network } } } });
    let good_one = json!({ "interface": "eth0", "addresses": ["192.0.2.1/24"], "gateways": ["192.0.2.254"] });
    let with = |key: &str, value: Value| {
        let mut network = good_one.clone();
        network[key] = value;
        host(network)
    };
    for code in ["lockout", "bad-address", "unconfigured-address"] {
        good(code, host(good_one.clone()));
    }
    let at = |rest: &str| format!("/hosts/edge/network/static/{rest}");
    bad("lockout", &at("addresses"), with("addresses", json!([])));
    bad("bad-address", &at("addresses/0"), with("addresses", json!(["192.0.2.1"])));
    bad("bad-address", &at("addresses/0"), with("addresses", json!(["192.0.2.0/24"])));
    bad("bad-address", &at("addresses/1"), with("addresses", json!(["192.0.2.1/24", "127.0.0.2/8"])));
    bad("lockout", &at("gateways"), with("gateways", json!([])));
    bad("lockout", &at("gateways/0"), with("gateways", json!(["192.0.2.1"])));
    bad("bad-address", &at("gateways/1"), with("gateways", json!(["192.0.2.254", "192.0.2.253"])));
    bad("bad-address", &at("gateways/1"), with("gateways", json!(["192.0.2.254", "2001:db8::1"])));
    bad("unconfigured-address", "/hosts/edge/addresses/public/0", with("addresses", json!(["10.0.0.5/24"])));
    let mut translated = with("addresses", json!(["10.0.0.5/24"]));
    translated["hosts"]["edge"]["accept_risk"] = json!(["unconfigured-address"]);
    good("unconfigured-address", translated);
    good("lockout", json!({ "hosts": { "edge": { "network": { "dhcp": {} } } } }));
}

#[test]
fn units_of_users() {
    let unit = |user: Value, users: Value| {
        json!({
            "hosts": { "back": { "users": users } },
            "services": { "worker": { "user": user, "databases": null, "run": { "systemd": { "exec": ["/usr/bin/worker"], "user_unit": true } } } }
        })
    };
    bad("missing-key", "/services/worker", unit(Value::Null, json!({})));
    bad("unknown-ref", "/services/worker/user", unit(json!("ann"), json!({})));
    bad("no-linger", "/services/worker/user", unit(json!("ann"), json!({ "ann": {} })));
    good("no-linger", unit(json!("ann"), json!({ "ann": { "linger": true } })));
}

/// It passes requests on to a port, or the route would be left out without a word.
#[test]
fn tunnels_lead_to_a_port() {
    let tunnel = json!({ "cf-tunnel": {} });
    let with = |services: Value| {
        json!({
            "tunnels": { "main": { "host": "edge", "provider": "cf", "credentials": { "secret": "cf-tunnel" } } },
            "secrets": tunnel, "services": services
        })
    };
    let open = json!([{ "names": ["t.example.net"], "tunnel": "main" }]);
    bad(
        "unsupported-feature",
        "/services/site/proxy/1",
        with(
            json!({ "site": { "proxy": [{ "names": ["example.net"] }, { "names": ["t.example.net"], "tunnel": "main" }] } }),
        ),
    );
    bad(
        "unsupported-feature",
        "/services/app/proxy/0",
        with(
            json!({ "app": { "proxy": [{ "names": ["t.example.net"], "tunnel": "main", "redirect": "https://example.net" }] } }),
        ),
    );
    good("unsupported-feature", with(json!({ "app": { "proxy": open } })));
}
