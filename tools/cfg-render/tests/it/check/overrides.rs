//! Text of the user for files that nobody makes, and programs that are too old.

use serde_json::json;

use super::{bad, good};

#[test]
fn what_would_change_nothing_is_an_error() {
    let code = "override-target-missing";
    let service = |extra: serde_json::Value| json!({ "services": { "worker": { "extra": extra } } });
    bad(code, "/services/worker/extra/nginx", service(json!({ "nginx": { "server": ["error_page 404 /x"] } })));
    bad(code, "/services/worker/extra/caddy", service(json!({ "caddy": { "site": ["encode gzip"] } })));
    bad(code, "/services/worker/extra/traefik", service(json!({ "traefik": { "http": {} } })));
    bad(code, "/services/worker/extra/prometheus", service(json!({ "prometheus": { "global": {} } })));
    bad(code, "/services/worker/extra/compose", service(json!({ "compose": { "services": {} } })));
    bad(code, "/services/worker/extra/nixos", service(json!({ "nixos": "{ }" })));
    bad(code, "/services/worker/extra/sshd", service(json!({ "sshd": ["MaxSessions 5"] })));
    bad(
        code,
        "/services/site/extra/systemd",
        json!({ "services": { "site": { "extra": { "systemd": { "Service": { "Nice": ["5"] } } } } } }),
    );
    bad(
        code,
        "/hosts/edge/extra/caddy",
        json!({ "hosts": { "edge": { "extra": { "caddy": { "global": ["debug"] } } } } }),
    );
    bad(code, "/hosts/edge/extra/nixos", json!({ "hosts": { "edge": { "extra": { "nixos": "{ }" } } } }));
    good(code, json!({ "services": { "site": { "extra": { "nginx": { "server": ["error_page 404 /x"] } } } } }));
    good(code, service(json!({ "systemd": { "Service": { "Nice": ["5"] } } })));
}

#[test]
fn ports_of_containers_on_every_address() {
    let patch = |more: serde_json::Value| json!({ "services": { "app": { "ports": { "http": { "bind": "any" } } }, "more": more } });
    let mut all = patch(json!({ "run": { "external": {} } }));
    bad("oci-published-any", "/services/app/ports/http/bind", all.clone());
    all["services"]["app"]["expose"] = json!([{ "port": "http", "from": ["vpn"] }]);
    good("oci-published-any", all);
}

#[test]
fn old_programs() {
    bad("old-version", "/hosts/edge/os", json!({ "hosts": { "edge": { "os": "debian-11" } } }));
    bad(
        "old-version",
        "/hosts/edge/proxy/version",
        json!({ "hosts": { "edge": { "proxy": { "version": "1.14.2" } } } }),
    );
    bad("old-version", "/databases/main/version", json!({ "databases": { "main": { "version": 11 } } }));
    good("old-version", json!({ "hosts": { "edge": { "os": "nixos-25.11" }, "back": { "os": "ubuntu-24.04" } } }));
    good("old-version", json!({ "hosts": { "edge": { "os": "debian-11", "accept_risk": ["old-version"] } } }));
}

#[test]
fn a_tunnel_that_its_host_manages_has_an_id() {
    let tunnel = |more: serde_json::Value| {
        let mut tunnel = json!({ "host": "back", "managed": "local", "credentials": { "secret": "cf-token" } });
        tunnel.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!({ "tunnels": { "main": tunnel } })
    };
    bad("missing-key", "/tunnels/main/id", tunnel(json!({})));
    good("missing-key", tunnel(json!({ "id": "6ff42ae2-765d-4adf-8112-31c55c1551ef" })));
}
