//! The fleet as a document: its schema is fresh, short forms are read, errors keep their place.

use std::path::Path;

use cfg_render::fleet::{Fleet, Port, Run, SshKey, TlsMode, Value};
use cli::{RawDocument, Source};
use contract::{Document, published_schema, schema_of};
use serde_json::json;

/// The fleet that the README begins with.
pub(crate) const EIGHT_LINES: &str = r#"{
  "schema": "fleet/v1", "name": "home", "domain": "home.test",
  "hosts": {
    "web1": { "os": "debian-12", "addresses": { "public": ["192.0.2.10"] }, "ssh": { "keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me@laptop"] } }
  },
  "services": {
    "site": { "host": "web1", "run": { "static": { "root": "/srv/site" } }, "proxy": [{ "names": ["home.test"] }] }
  } }"#;

/// Reads a fleet as the tool does, or gives the place of what is wrong and what is said about it.
pub(crate) fn read(value: serde_json::Value) -> Result<Fleet, (String, String)> {
    let document = RawDocument::joined(value, Source::new("fleet.json", ""), &[Fleet::ID]).and_then(RawDocument::read);
    document.map(|read| read.document).map_err(|failure| {
        let error = &failure.errors()[0];
        let place = error.pointer.as_ref().map(ToString::to_string);
        (place.unwrap_or_default(), format!("{} {}", error.message, error.hint.as_deref().unwrap_or_default()))
    })
}

/// A good fleet from JSON.
pub(crate) fn fleet(value: serde_json::Value) -> Fleet {
    read(value).unwrap_or_else(|(path, message)| panic!("{path}: {message}"))
}

/// A document with a merge patch (RFC 7396) on top.
pub(crate) fn merged(mut value: serde_json::Value, patch: serde_json::Value) -> serde_json::Value {
    use serde_json::Value;
    fn merge(target: &mut Value, patch: Value) {
        match (target, patch) {
            (Value::Object(target), Value::Object(patch)) => {
                for (key, value) in patch {
                    if value.is_null() {
                        target.remove(&key);
                    } else {
                        merge(target.entry(key).or_insert(Value::Null), value);
                    }
                }
            }
            (target, Value::Object(patch)) => {
                *target = Value::Object(serde_json::Map::new());
                merge(target, Value::Object(patch));
            }
            (target, patch) => *target = patch,
        }
    }
    merge(&mut value, patch);
    value
}

/// The eight lines with a patch on top.
pub(crate) fn patched(patch: serde_json::Value) -> serde_json::Value {
    merged(serde_json::from_str(EIGHT_LINES).unwrap(), patch)
}

#[test]
fn schema_is_fresh() {
    let text = serde_json::to_string_pretty(&schema_of::<Fleet>()).unwrap() + "\n";
    if published_schema("fleet/v1") != Some(text.as_str()) {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../contract/schemas").join(Fleet::ID.file_name());
        assert!(std::env::var_os("UPDATE_SCHEMAS").is_some(), "stale schema, run `just schemas`: {}", path.display());
        std::fs::write(path, text).unwrap();
    }
}

#[test]
fn eight_lines_are_a_fleet_and_fit_the_schema() {
    let value: serde_json::Value = serde_json::from_str(EIGHT_LINES).unwrap();
    let schema = schema_of::<Fleet>();
    let validator = jsonschema::validator_for(&schema).unwrap();
    let problems: Vec<String> = validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
    assert!(problems.is_empty(), "{problems:#?}");
    let fleet = fleet(value);
    assert!(matches!(&fleet.services["site"].run, Run::Static(site) if site.root == "/srv/site"));
    let routes = fleet.routes();
    assert_eq!(routes[0].names[0].name, "home.test");
    assert_eq!(routes[0].names[0].tls, TlsMode::Internal, "no public authority certifies .test");
}

#[test]
fn what_is_written_comes_back() {
    let value = patched(json!({
        "services": { "app": {
            "host": ["web1"], "run": { "container": { "image": "app:1" } }, "ports": { "http": 8080, "p2p": { "port": 1, "proto": "both" } },
            "env": { "A": "text", "B": 3, "C": true, "D": { "secret": "d" }, "E": { "service": "site", "attr": "url" } }
        } },
        "secrets": { "d": {} }
    }));
    let first = fleet(value);
    assert_eq!(first.services["app"].ports["http"], Port::local(8080));
    assert_eq!(first.services["app"].env["B"], Value::text("3"));
    let again: Fleet = serde_json::from_value(serde_json::to_value(&first).unwrap()).unwrap();
    assert_eq!(first, again);
}

/// Every field that an editor completes says what it is: itself, by what it refers to, or by the form that it stands in.
#[test]
fn every_field_of_the_schema_is_described() {
    use serde_json::Value;
    fn walk(value: &Value, root: &Value, place: &str, described: bool, found: &mut Vec<String>) {
        let has = |value: &Value| {
            let target = value["$ref"].as_str().and_then(|target| root.pointer(target.trim_start_matches('#')));
            value["description"].is_string() || target.is_some_and(|target| target["description"].is_string())
        };
        match value {
            Value::Object(keys) => {
                // One form of several may be described as a whole, where it has one key.
                let one = keys.get("properties").and_then(Value::as_object).is_some_and(|fields| fields.len() == 1);
                let whole = described && one;
                for (name, field) in keys.get("properties").and_then(Value::as_object).into_iter().flatten() {
                    if !has(field) && !whole && name != "schema" {
                        found.push(format!("{place}/{name}"));
                    }
                }
                for (key, inner) in keys {
                    walk(inner, root, &format!("{place}/{key}"), has(value), found);
                }
            }
            Value::Array(list) => {
                for (index, inner) in list.iter().enumerate() {
                    walk(inner, root, &format!("{place}/{index}"), has(inner), found);
                }
            }
            _ => {}
        }
    }
    let schema = schema_of::<Fleet>();
    let schema = serde_json::to_value(&schema).unwrap();
    let mut found = Vec::new();
    walk(&schema, &schema, "", false, &mut found);
    assert_eq!(found, Vec::<String>::new());
    let named = schema["$defs"].as_object().unwrap();
    let bare: Vec<&String> =
        named.iter().filter(|(_, def)| !def["description"].is_string()).map(|(name, _)| name).collect();
    assert_eq!(bare, Vec::<&String>::new());
}

#[test]
fn comments_and_extensions_are_ignored() {
    let value = patched(json!({ "//": "mine", "hosts": { "web1": { "x-rack": 3, "ssh": { "//": ["a", "b"] } } } }));
    assert_eq!(fleet(value).hosts.len(), 1);
}

#[test]
fn errors_keep_their_place() {
    let cases = [
        (json!({ "hosts": { "web1": { "osx": 1 } } }), "/hosts/web1/osx", "unknown key"),
        (json!({ "hosts": { "web1": { "os": "plan9" } } }), "/hosts/web1/os", "debian-12"),
        (json!({ "hosts": { "web1": { "ssh": { "port": 70000 } } } }), "/hosts/web1/ssh/port", "u16"),
        (
            json!({ "services": { "site": { "run": { "static": null, "systemd": { "exe": [] } } } } }),
            "/services/site/run/systemd/exe",
            "unknown key",
        ),
        (
            json!({ "services": { "site": { "run": { "static": null, "docker": {} } } } }),
            "/services/site/run",
            "not one of the words",
        ),
        (json!({ "services": { "site": { "ports": { "http": 0 } } } }), "/services/site/ports/http", "1 to 65535"),
        (
            json!({ "services": { "site": { "ports": { "http": { "port": 80, "bnd": "local" } } } } }),
            "/services/site/ports/http/bnd",
            "unknown key",
        ),
        (
            json!({ "services": { "site": { "env": { "A": { "secrt": "x" } } } } }),
            "/services/site/env/A/secrt",
            "unknown key",
        ),
        (
            json!({ "services": { "site": { "proxy": [{ "limits": { "rate": "10/s" } }] } } }),
            "/services/site/proxy/0/limits/rate",
            "10r/s",
        ),
        (json!({ "networks": { "lan": { "cidrs": ["10.0.0.1/24"] } } }), "/networks/lan/cidrs/0", "10.0.0.0/24"),
        (json!({ "secrets": { "Bad Name": {} } }), "/secrets/Bad Name", "secret's name"),
    ];
    for (patch, place, message) in cases {
        let (path, text) = read(patched(patch)).unwrap_err();
        assert_eq!(path, place, "{text}");
        assert!(text.contains(message), "{path}: {text}");
    }
}

#[test]
fn a_literal_where_a_secret_belongs_is_refused_and_not_repeated() {
    let patch = json!({ "databases": { "main": { "host": "web1", "admin": { "password": "hunter2-canary" } } } });
    let (path, text) = read(patched(patch)).unwrap_err();
    assert_eq!(path, "/databases/main/admin/password");
    assert!(text.contains("secret") && !text.contains("canary"), "{text}");
}

#[test]
fn hosts_take_keys_over() {
    let fleet = fleet(patched(json!({
        "defaults": { "host": { "timezone": "Europe/Berlin", "os": "debian-13" } },
        "hosts": {
            "web2": { "like": "web1", "addresses": { "public": ["192.0.2.11"] } },
            "web3": { "like": "web2", "timezone": "UTC", "os": "debian-12" },
            "web4": { "like": "web5" }, "web5": { "like": "web4" },
            "off": { "enable": false, "like": "web1" }
        },
        "services": { "gone": { "host": "off", "run": { "static": { "root": "/" } } }, "off": { "enable": false, "host": "web1", "run": { "external": {} } } }
    })));
    let resolved = fleet.resolved();
    assert_eq!(resolved.hosts["web2"].os, fleet.hosts["web1"].os);
    assert_eq!(resolved.hosts["web2"].timezone.as_deref(), Some("Europe/Berlin"));
    assert_eq!(resolved.hosts["web3"].timezone.as_deref(), Some("UTC"));
    assert!(resolved.hosts["web3"].addresses.is_empty());
    assert!(matches!(resolved.hosts["web3"].ssh.as_ref().unwrap().keys[0], SshKey::Line(_)));
    assert!(
        !resolved.hosts.contains_key("off")
            && !resolved.services.contains_key("gone")
            && !resolved.services.contains_key("off")
    );
    assert_eq!(fleet.host_key("web3", "ssh").as_str(), "/hosts/web1/ssh");
    assert_eq!(fleet.host_key("web3", "timezone").as_str(), "/hosts/web3/timezone");
    assert_eq!(fleet.host_key("web2", "timezone").as_str(), "/defaults/host/timezone");
    assert_eq!(fleet.host_key("web2", "disk").as_str(), "/hosts/web2");
    assert_eq!(resolved.resolved(), resolved);
}

#[test]
fn secrets_reach_those_who_use_them() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/fleets/first.json");
    let fleet = fleet(serde_json::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()).resolved();
    let uses = fleet.secret_uses();
    let uses: Vec<String> = uses.iter().map(|u| format!("{} {:?} {}", u.secret, u.holder, u.place)).collect();
    assert_eq!(
        uses,
        [
            "inventory-db-password Host(\"web1\") /databases/main/roles/0/password",
            "lab-tsig Controller /dns/providers/lab/rfc2136/tsig/secret",
            "postgres-exporter-password Host(\"web1\") /hosts/web1/agents/postgres_exporter/password",
            "restic-password Host(\"web1\") /backups/repositories/local/password",
        ]
    );
}
