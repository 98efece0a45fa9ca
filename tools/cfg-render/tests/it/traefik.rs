//! Traefik's files: read as YAML, and judged by the published JSON schemas. Traefik itself runs in `every_proxy`.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::run::{self, document, files, say_with};

/// Published test data, which is no part of the project.
pub(crate) fn schema(name: &str) -> Option<Value> {
    let given = std::env::var_os("PLUMBLINE_VECTORS").map(PathBuf::from);
    let guess = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let path = given.unwrap_or(guess).join("schemas").join(name);
    let Ok(text) = std::fs::read_to_string(&path) else {
        eprintln!("skipped: the schema {name} is not there (set PLUMBLINE_VECTORS to a directory with schemas/)");
        return None;
    };
    Some(serde_json::from_str(&text).unwrap())
}

/// A YAML document as a parser of others reads it. Tags of others become objects with the tag as their key.
pub(crate) fn yaml(text: &str) -> Option<Value> {
    let python = run::peer("python3", "apt-get install python3 python3-yaml")?;
    let script = "import json,sys,yaml\n\
        def tag(loader, suffix, node):\n\
        \x20   build = {yaml.ScalarNode: loader.construct_scalar, yaml.SequenceNode: lambda n: loader.construct_sequence(n, deep=True)}\n\
        \x20   return {'!' + suffix: build[type(node)](node)}\n\
        yaml.SafeLoader.add_multi_constructor('!', tag)\n\
        print(json.dumps(yaml.safe_load(sys.stdin.read())))\n";
    let found = std::process::Command::new(&python).args(["-c", "import yaml"]).status().unwrap().success();
    if !found {
        run::absent("python3-yaml", "apt-get install python3-yaml", true);
        return None;
    }
    let (good, said) = say_with(std::process::Command::new(python).args(["-c", script]), text);
    assert!(good, "{said}\n{text}");
    Some(serde_json::from_str(&said).unwrap())
}

fn judge(schema: &Value, value: &Value, what: &str) {
    let validator = jsonschema::validator_for(schema).unwrap();
    let problems: Vec<_> =
        validator.iter_errors(value).map(|error| format!("{}: {error}", error.instance_path())).collect();
    assert!(problems.is_empty(), "{what}: {problems:#?}\n{value:#}");
}

fn fleet() -> Value {
    json!({
        "schema": "fleet/v1", "name": "way", "domain": "way.test", "email": "ops@way.test",
        "networks": {"lan": {"cidrs": ["10.1.0.0/16"]}},
        "hosts": {
            "edge": {"os": "debian-13", "addresses": {"public": ["203.0.113.1"], "lan": ["10.1.0.1"]},
                "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]},
                "containers": {"engine": "docker"},
                "proxy": {"kind": "traefik", "image": "docker.io/library/traefik:v3.5.3", "http3": true, "metrics_port": 8082,
                    "acme": {"challenge": "http-01"}, "real_ip_from": ["198.51.100.0/24"]}},
            "back": {"os": "debian-13", "addresses": {"lan": ["10.1.0.2"]}, "containers": {"engine": "docker"}, "ssh": {"from": ["lan"],
                "keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}}
        },
        "services": {
            "authentik": {"host": "edge", "run": {"container": {"image": "ghcr.io/goauthentik/server:2025.8.4", "command": ["server"]}},
                "ports": {"http": 9000}, "proxy": [{"names": ["gate.example.org"]}], "backup": {"none": "a test"}},
            "app": {"host": "edge", "run": {"container": {"image": "docker.io/example/app:1"}}, "ports": {"http": 3000},
                "proxy": [
                    {"names": ["app.example.org", "www.example.org"], "limits": {"rate": "10r/s", "burst": 20}, "max_body": "100m", "timeout": "5m", "streaming": true,
                     "headers": [{"name": "X-Note", "value": "{{ x }} \"q\" $y"}]},
                    {"names": ["app.example.org", "www.example.org"], "path": "/admin", "from": ["lan"], "auth": {"basic": {"users": {"secret": "users"}}}},
                    {"names": ["old.example.org"], "redirect": "https://app.example.org/$x"},
                    {"names": ["in.way.test"], "tls": "internal", "auth": {"forward": {"provider": "gate", "except": ["/open"]}}},
                    {"names": ["*.apps.example.org"], "tls": "acme-dns"}
                ],
                "backup": {"none": "a test"}},
            "deep": {"host": "back", "run": {"container": {"image": "docker.io/example/deep:1"}}, "ports": {"http": {"port": 3000, "bind": "lan"}},
                "proxy": [{"names": ["deep.example.org"], "via": "edge", "backend": {"through": "proxy", "tls": "internal"}}], "backup": {"none": "a test"}}
        },
        "sso": {"gate": {"service": "authentik"}},
        "dns": {"providers": {"cf": {"cloudflare": {"token": {"secret": "cf"}}}}, "zones": {"example.org": {"provider": "cf"}}},
        "secrets": {"users": {}, "cf": {}}
    })
}

#[test]
fn the_published_schemas_take_its_files() {
    let fleet = fleet();
    let files = files(&fleet, "edge");
    let (Some(fixed), Some(dynamic)) = (schema("traefik-v3.json"), schema("traefik-v3-file-provider.json")) else {
        return;
    };
    let mut count = 0;
    for (path, text) in files.iter().filter(|(path, _)| path.starts_with("/etc/traefik/")) {
        // Templates are filled before the text is read.
        let text = text.replace("{{`{{`}}", "{{");
        let Some(value) = yaml(&text) else { return };
        judge(if path.ends_with("/traefik.yaml") { &fixed } else { &dynamic }, &value, path);
        count += 1;
    }
    assert!(count >= 7, "{count}");
}

#[test]
fn a_site_is_what_the_fleet_says() {
    let files = files(&fleet(), "edge");
    let read = |name: &str| {
        let path = format!("/etc/traefik/dynamic/{name}.yaml");
        let text = &files.iter().find(|(known, _)| *known == path).unwrap_or_else(|| panic!("{path}")).1;
        yaml(&text.replace("{{`{{`}}", "{{"))
    };
    let Some(app) = read("app.example.org") else { return };
    let http = &app["http"];
    assert_eq!(http["routers"]["app-example-org-1"]["rule"], "Host(`app.example.org`) || Host(`www.example.org`)");
    let admin = "(Host(`app.example.org`) || Host(`www.example.org`)) && PathPrefix(`/admin`)";
    assert_eq!(http["routers"]["app-example-org-0"]["rule"], admin);
    assert_eq!(
        http["middlewares"]["app-example-org-0-from"]["ipAllowList"]["sourceRange"],
        json!(["10.1.0.0/16", "127.0.0.1/32"])
    );
    // Behind a trusted proxy a client is who that one saw.
    let behind = json!({"excludedIPs": ["198.51.100.0/24"]});
    assert_eq!(http["middlewares"]["app-example-org-0-from"]["ipAllowList"]["ipStrategy"], behind);
    assert_eq!(http["middlewares"]["app-example-org-0-login"]["basicAuth"]["usersFile"], "/run/secrets/users");
    let limit = &http["middlewares"]["app-example-org-1-limit"]["rateLimit"];
    let criterion = json!({"ipStrategy": behind});
    assert_eq!(*limit, json!({"average": 10, "period": "1s", "burst": 21, "sourceCriterion": criterion}));
    assert_eq!(
        http["middlewares"]["app-example-org-1-headers"]["headers"]["customResponseHeaders"]["X-Note"],
        "{{ x }} \"q\" $y"
    );
    assert_eq!(http["routers"]["app-example-org-http"]["middlewares"], json!(["app-example-org-https"]));
    let gate = read("in.way.test").unwrap();
    let login = &gate["http"]["middlewares"]["in-way-test-0-login"]["forwardAuth"];
    assert_eq!(login["address"], "http://127.0.0.1:9000/outpost.goauthentik.io/auth/traefik");
    assert!(
        gate["http"]["routers"]["in-way-test-0-open-0"]["middlewares"]
            .as_array()
            .unwrap()
            .iter()
            .all(|name| !name.as_str().unwrap().ends_with("-login"))
    );
    assert_eq!(gate["tls"]["certificates"][0]["keyFile"], "/var/lib/plumbline/tls/in.way.test/key.pem");
    // Behind the edge its certificate is verified, by its name.
    let deep = read("deep.example.org").unwrap();
    let transport = &deep["http"]["serversTransports"]["deep-example-org-0"];
    assert_eq!(
        (&transport["serverName"], &transport["rootCAs"][0]),
        (&json!("deep.example.org"), &json!("/var/lib/plumbline/tls/ca.pem"))
    );
    let wild = read("_wildcard.apps.example.org").unwrap();
    assert_eq!(
        wild["http"]["routers"]["any-apps-example-org-0"]["rule"],
        "HostRegexp(`^[^.]+\\.apps\\.example\\.org$`)"
    );
    assert_eq!(wild["http"]["routers"]["any-apps-example-org-0"]["tls"]["certResolver"], "acme-dns");
    let old = read("old.example.org").unwrap();
    assert_eq!(
        old["http"]["middlewares"]["old-example-org-0-redirect"]["redirectRegex"]["replacement"],
        "https://app.example.org/$$x/${1}"
    );
}

#[test]
fn its_certificates_are_backed_up() {
    let mut fleet = fleet();
    fleet["backups"] = json!({"repositories": {"r": {"uri": "/srv/restic", "password": {"secret": "restic"}}}, "plans": {"nightly": {}}});
    fleet["secrets"]["restic"] = json!({});
    let sources = document(&["backup", "--host", "edge"], &fleet);
    let services = sources["services"].as_array().unwrap();
    let traefik = services.iter().find(|service| service["name"] == "traefik").unwrap();
    assert_eq!(traefik["paths"], json!(["/var/lib/traefik"]));
}

#[test]
fn it_runs_on_the_host_network_with_its_token_as_a_file() {
    let fleet = fleet();
    let files = files(&fleet, "edge");
    let compose = &files.iter().find(|(path, _)| path == "/opt/traefik/compose.yaml").unwrap().1;
    assert!(
        compose.contains("network_mode: \"host\"") && compose.contains("CF_DNS_API_TOKEN_FILE: \"/run/secrets/cf\""),
        "{compose}"
    );
    let manifest = document(&["secrets", "--host", "edge"], &fleet);
    let names: Vec<_> =
        manifest["secrets"].as_array().unwrap().iter().map(|secret| secret["name"].as_str().unwrap()).collect();
    assert!(names.contains(&"cf") && names.contains(&"users"), "{names:?}");
}
