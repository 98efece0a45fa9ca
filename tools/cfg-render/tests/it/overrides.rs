//! What a person says against what is generated, from weak to strong, on Debian and on NixOS; and that `explain` names it.

use serde_json::{Value, json};

use crate::fleet::merged;
use crate::run::{cfg_render, document, files};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me";
const SYSTEMS: [&str; 2] = ["debian-12", "nixos-25.11"];

fn fleet(os: &str) -> Value {
    let nixos = os.starts_with("nixos");
    let run = |name: &str| {
        if nixos {
            json!({"nixos": {"module": format!("services.{name}")}})
        } else {
            json!({"package": {"packages": [name]}})
        }
    };
    json!({
        "schema": "fleet/v1", "name": "strong", "domain": "strong.test",
        "defaults": {"host": {"os": os, "ssh": {"port": 2201, "keys": [KEY]}}},
        "hosts": {
            "base": {"addresses": {"public": ["192.0.2.2"]}},
            "box": {"addresses": {"public": ["192.0.2.1"]}, "proxy": {"kind": "nginx", "max_body": "1M"}}
        },
        "services": {
            "app": {"host": "box", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": 8080},
                "proxy": [{"names": ["app.strong.test"], "tls": "internal"}], "backup": {"none": "a test"}},
            "prometheus": {"host": "box", "run": run("prometheus"), "ports": {"http": 9090}, "backup": {"none": "a test"}}
        },
        "monitoring": {"prometheus": {}}
    })
}

/// All that is written for the host, by path: the files themselves, or the modules.
fn written(fleet: &Value) -> Vec<(String, String)> {
    let desired = document(&["host", "--host", "box"], fleet);
    let nixos = desired["items"].as_array().unwrap().iter().find_map(|item| item.get("nixos"));
    let Some(nixos) = nixos else { return files(fleet, "box") };
    let all = nixos["files"].as_object().unwrap().iter();
    all.filter_map(|(path, file)| Some((path.clone(), file["content"].as_str()?.to_owned()))).collect()
}

fn of<'a>(all: &'a [(String, String)], path: &str) -> &'a str {
    all.iter()
        .find(|(known, _)| known == path)
        .unwrap_or_else(|| panic!("{path} among {:?}", all.iter().map(|(path, _)| path).collect::<Vec<_>>()))
        .1
        .as_str()
}

/// Which overrides `explain` says have changed a file.
fn changed_by(fleet: &Value, path: &str) -> Vec<String> {
    let output = cfg_render(&["explain", &format!("box:{path}"), "-"], &fleet.to_string());
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    let lines = text.lines().filter_map(|line| line.trim().strip_prefix("changed by "));
    lines.map(|line| line.split_whitespace().last().unwrap().to_owned()).collect()
}

/// Where each of three things is written: the port of SSH, the size of a body, how often Prometheus asks.
fn places(os: &str) -> [&'static str; 3] {
    if os.starts_with("nixos") {
        ["hosts/box/access.nix", "hosts/box/services/app.nix", "hosts/box/services/prometheus.nix"]
    } else {
        [
            "/etc/ssh/sshd_config.d/00-plumbline.conf",
            "/etc/nginx/plumbline.d/app.strong.test.conf",
            "/etc/prometheus/prometheus.yml",
        ]
    }
}

#[test]
fn what_all_hosts_have_yields_to_another_host_and_that_to_the_host_itself() {
    for os in SYSTEMS {
        let [path, _, _] = places(os);
        let mut fleet = fleet(os);
        let port = |fleet: &Value| {
            let all = written(fleet);
            let text = of(&all, path);
            ["2201", "2202", "2203", "2204"]
                .into_iter()
                .filter(|port| text.contains(port))
                .collect::<Vec<_>>()
                .join(" ")
        };
        assert_eq!(port(&fleet), "2201", "{os}");
        assert_eq!(changed_by(&fleet, path), ["/defaults/host/ssh"], "{os}");
        fleet["hosts"]["base"]["ssh"] = json!({"port": 2202, "keys": [KEY]});
        fleet["hosts"]["box"]["like"] = json!("base");
        assert_eq!(port(&fleet), "2202", "{os}");
        assert!(changed_by(&fleet, path).contains(&"/hosts/box/like".to_owned()), "{os}");
        fleet["hosts"]["box"]["ssh"] = json!({"port": 2203, "keys": [KEY]});
        assert_eq!(port(&fleet), "2203", "{os}");
        assert_eq!(changed_by(&fleet, path), Vec::<String>::new(), "{os}: nothing of it is left");
        // Text of a person at its fixed point is stronger than all of these.
        fleet["hosts"]["box"]["extra"] = json!({"sshd": ["MaxAuthTries 9"]});
        let all = written(&fleet);
        let text = of(&all, path);
        assert_eq!(text.matches("MaxAuthTries").count(), 1, "{os}: it takes the place of ours\n{text}");
        assert!(text.contains('9'), "{text}");
        assert_eq!(changed_by(&fleet, path), ["/hosts/box/extra/sshd"], "{os}");
    }
}

#[test]
fn a_service_s_own_word_yields_to_text_at_a_fixed_point() {
    for os in SYSTEMS {
        let [_, path, _] = places(os);
        let mut fleet = fleet(os);
        let size = |fleet: &Value| {
            let all = written(fleet);
            let mut found = all
                .iter()
                .flat_map(|(_, text)| text.lines())
                .filter_map(|line| line.trim().strip_prefix("client_max_body_size "));
            found.next_back().map(|value| value.trim_end_matches(';').to_lowercase())
        };
        fleet["services"]["app"]["proxy"][0]["max_body"] = json!("2M");
        assert!(size(&fleet).is_some_and(|size| size.starts_with('2')), "{os}: {:?}", size(&fleet));
        fleet["services"]["app"]["extra"] = json!({"nginx": {"location": ["client_max_body_size 3m"]}});
        let all = written(&fleet);
        let text = of(&all, path);
        assert!(
            text.contains("client_max_body_size 3m;") && !text.to_lowercase().contains("client_max_body_size 2m"),
            "{os}: {text}"
        );
        assert_eq!(changed_by(&fleet, path), ["/services/app/extra/nginx"], "{os}");
    }
}

#[test]
fn a_merge_patch_changes_structured_files_and_explain_says_so() {
    for os in SYSTEMS {
        let [_, _, path] = places(os);
        let mut fleet = fleet(os);
        assert_eq!(changed_by(&fleet, path).iter().filter(|place| place.contains("extra")).count(), 0);
        fleet["services"]["prometheus"]["extra"] = json!({"prometheus": {"global": {"scrape_interval": "7s"}, "remote_write": [{"url": "https://store.strong.test/push"}]}});
        let all = written(&fleet);
        let text = of(&all, path);
        assert!(text.contains("\"7s\"") && text.contains("https://store.strong.test/push"), "{os}: {text}");
        assert_eq!(changed_by(&fleet, path), ["/services/prometheus/extra/prometheus"], "{os}");
    }
}

#[test]
fn a_path_that_a_format_does_not_have_is_an_error_with_the_nearest_name() {
    let find = |fleet: &Value, pointer: &str, fix: &str| {
        let output = cfg_render(&["check", "--output", "json"], &fleet.to_string());
        assert_eq!(output.status.code(), Some(1), "{}", String::from_utf8_lossy(&output.stderr));
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = found["findings"].as_array().unwrap();
        let one = all.iter().find(|one| one["pointer"] == pointer).unwrap_or_else(|| panic!("{pointer}: {all:#?}"));
        assert_eq!((&one["code"], &one["level"]), (&json!("override-target-missing"), &json!("error")));
        assert!(one["fix"].as_str().unwrap().contains(fix), "{one}");
        // Nothing is written with it either.
        let output = cfg_render(&["host", "--host", "box"], &fleet.to_string());
        assert_eq!(output.status.code(), Some(65));
        assert!(String::from_utf8_lossy(&output.stderr).contains(pointer));
    };
    for os in SYSTEMS {
        let patched =
            |patch: Value| merged(fleet(os), json!({"services": {"prometheus": {"extra": {"prometheus": patch}}}}));
        let at = "/services/prometheus/extra/prometheus";
        find(&patched(json!({"globl": {"scrape_interval": "7s"}})), &format!("{at}/globl"), "did you mean \"global\"?");
        let wrong = json!({"global": {"scrape_intervall": "7s"}});
        let mut absent = fleet(os);
        absent["services"]["prometheus"]["extra"] = json!({"prometheus": {"global": {"external_labels": null}}});
        find(&patched(wrong), &format!("{at}/global/scrape_intervall"), "did you mean \"scrape_interval\"?");
        let deep = json!({"scrape_configs": [{"job_name": "x", "static_configs": [{"target": ["a:1"]}]}]});
        find(&patched(deep), &format!("{at}/scrape_configs/0/static_configs/0/target"), "did you mean \"targets\"?");
        // What is not there cannot be taken away.
        find(&absent, &format!("{at}/global/external_labels"), "");
    }
    // A key that Prometheus has and NixOS' module of it has not.
    let storage = json!({"services": {"prometheus": {"extra": {"prometheus": {"storage": {"tsdb": {"out_of_order_time_window": "1h"}}}}}}});
    find(
        &merged(fleet("nixos-25.11"), storage.clone()),
        "/services/prometheus/extra/prometheus/storage",
        "extra.nixos",
    );
    assert!(cfg_render(&["host", "--host", "box"], &merged(fleet("debian-12"), storage).to_string()).status.success());

    let container = |extra: Value| {
        let mut fleet = fleet("debian-12");
        fleet["hosts"]["box"]["containers"] = json!({"engine": "docker"});
        fleet["services"]["app"]["run"] = json!({"container": {"image": "docker.io/library/x:1"}});
        fleet["services"]["app"]["extra"] = extra;
        fleet
    };
    let at = "/services/app/extra/compose/services";
    find(
        &container(json!({"compose": {"services": {"ap": {"mem_limit": "1g"}}}})),
        &format!("{at}/ap"),
        "did you mean \"app\"?",
    );
    find(
        &container(json!({"compose": {"services": {"app": {"mem_limits": "1g"}}}})),
        &format!("{at}/app/mem_limits"),
        "did you mean \"mem_limit\"?",
    );
    find(
        &container(json!({"compose": {"services": {"app": {"healthcheck": {"intervall": "5s"}}}}})),
        &format!("{at}/app/healthcheck/intervall"),
        "did you mean \"interval\"?",
    );
    find(
        &container(json!({"compose": {"services": {"app": {"mem_limit": {"max": "1g"}}}}})),
        &format!("{at}/app/mem_limit/max"),
        "mem_limit takes no keys",
    );
    let good = container(
        json!({"compose": {"services": {"app": {"mem_limit": "1g"}, "side": {"image": "docker.io/library/y:1"}}}}),
    );
    let all = files(&good, "box");
    let compose = of(&all, "/opt/app/compose.yaml");
    assert!(compose.contains("mem_limit: \"1g\"") && compose.contains("side:"), "{compose}");
    assert_eq!(changed_by(&good, "/opt/app/compose.yaml"), ["/services/app/extra/compose"]);

    let mut traefik = container(json!({"traefik": {"http": {"midlewares": {}}}}));
    traefik["hosts"]["box"]["proxy"] = json!({"kind": "traefik", "image": "docker.io/library/traefik:v3.5"});
    find(&traefik, "/services/app/extra/traefik/http/midlewares", "did you mean \"middlewares\"?");
    traefik["services"]["app"]["extra"] =
        json!({"traefik": {"http": {"middlewares": {"slow": {"rateLimit": {"avarage": 3}}}}}});
    let at = "/services/app/extra/traefik/http/middlewares/slow/rateLimit/avarage";
    find(&traefik, at, "did you mean \"average\"?");
}

#[test]
fn a_patch_for_a_file_that_is_not_made_is_an_error() {
    let patch = json!({"compose": {"services": {"app": {"mem_limit": "1g"}}}});
    for (os, engine) in [("debian-12", "podman"), ("debian-13", "podman"), ("nixos-25.11", "docker")] {
        let mut fleet = fleet(os);
        fleet["hosts"]["box"]["containers"] = json!({"engine": engine});
        fleet["services"]["app"]["run"] = json!({"container": {"image": "docker.io/library/x:1"}});
        fleet["services"]["app"]["extra"] = patch.clone();
        let output = cfg_render(&["check", "--output", "json"], &fleet.to_string());
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let one =
            found["findings"].as_array().unwrap().iter().find(|one| one["pointer"] == "/services/app/extra/compose");
        assert_eq!(one.unwrap_or_else(|| panic!("{os} {engine}: {found:#}"))["code"], "override-target-missing");
    }
}

#[test]
fn a_whole_file_is_the_last_word() {
    let mine = "# mine\nglobal: {}\n";
    let mut debian = fleet("debian-12");
    debian["services"]["prometheus"]["extra"] = json!({"prometheus": {"global": {"scrape_interval": "7s"}}});
    debian["hosts"]["box"]["files"] = json!({"/etc/prometheus/prometheus.yml": {"content": mine}});
    let all = files(&debian, "box");
    assert_eq!(of(&all, "/etc/prometheus/prometheus.yml"), mine);
    assert_eq!(
        changed_by(&debian, "/etc/prometheus/prometheus.yml"),
        ["/hosts/box/files/~1etc~1prometheus~1prometheus.yml"]
    );

    let mut nixos = fleet("nixos-25.11");
    nixos["hosts"]["box"]["agents"] = json!({"alloy": {}});
    nixos["services"]["loki"] = json!({"host": "box", "run": {"nixos": {"module": "services.loki"}}, "ports": {"http": 3100}, "backup": {"none": "a test"}});
    nixos["monitoring"]["loki"] = json!({});
    nixos["hosts"]["box"]["files"] = json!({"/etc/alloy/config.alloy": {"content": "// mine\n"}});
    let all = written(&nixos);
    let (path, _) = all.iter().find(|(_, text)| text.contains("// mine")).unwrap();
    assert_eq!(changed_by(&nixos, path), ["/hosts/box/files/~1etc~1alloy~1config.alloy"]);
    // Nix has the last word about which is the last.
    let store = tempfile::tempdir().unwrap();
    let (_home, tree) = crate::nixos::written(&nixos);
    let Some(found) = crate::nixos::come_to(&nixos, store.path(), &tree) else { return };
    let host = found.unwrap_or_else(|error| panic!("{error}"))["box"].clone();
    assert_eq!(host["environment"]["etc"]["alloy/config.alloy"]["text"], "// mine\n");
}

/// A value that has every key of a schema, and the places of it at which no other key may be.
fn whole(root: &Value, schema: &Value, at: &str, closed: &mut Vec<String>) -> Value {
    if let Some(place) = schema["$ref"].as_str() {
        return whole(root, root.pointer(place.trim_start_matches('#')).unwrap(), at, closed);
    }
    let mut all = serde_json::Map::new();
    for (key, inner) in schema["properties"].as_object().into_iter().flatten() {
        all.insert(key.clone(), whole(root, inner, &format!("{at}/{key}"), closed));
    }
    for inner in schema["patternProperties"].as_object().into_iter().flatten().filter(|(key, _)| *key != "^x-") {
        all.insert("any".into(), whole(root, inner.1, &format!("{at}/any"), closed));
    }
    if schema["additionalProperties"].is_object() {
        let inner = &schema["additionalProperties"];
        all.insert("any".into(), whole(root, inner, &format!("{at}/any"), closed));
    }
    if schema["additionalProperties"] == false
        && schema["patternProperties"].get("^.+$").is_none()
        && !all.is_empty()
        && !all.contains_key("any")
    {
        closed.push(at.to_owned());
    }
    if !all.is_empty() {
        return all.into();
    }
    if schema["items"].is_object() {
        return json!([whole(root, &schema["items"], &format!("{at}/0"), closed)]);
    }
    let branches = ["oneOf", "anyOf", "allOf"].iter().flat_map(|key| schema[*key].as_array().into_iter().flatten());
    branches.map(|branch| whole(root, branch, at, closed)).reduce(both).unwrap_or(json!("x"))
}

/// What has the keys of two values.
fn both(one: Value, other: Value) -> Value {
    match (one, other) {
        (Value::Object(mut one), Value::Object(other)) => {
            for (key, value) in other {
                let known = one.remove(&key);
                one.insert(key, known.into_iter().fold(value, both));
            }
            one.into()
        }
        (Value::Array(one), Value::Array(other)) => one.into_iter().chain(other).reduce(both).into_iter().collect(),
        (one @ Value::Object(_), _) | (_, one @ Value::Object(_)) => one,
        (one @ Value::Array(_), _) | (_, one @ Value::Array(_)) => one,
        (one, _) => one,
    }
}

/// The schema that comes with the Compose program, as source.
fn compose_schema() -> Option<Value> {
    let go = std::process::Command::new("go").args(["env", "GOMODCACHE"]).output().ok()?;
    let cache =
        std::path::PathBuf::from(String::from_utf8(go.stdout).ok()?.trim()).join("github.com/compose-spec/compose-go");
    let path = std::fs::read_dir(cache)
        .ok()?
        .flatten()
        .map(|entry| entry.path().join("schema/compose-spec.json"))
        .find(|path| path.is_file())?;
    serde_json::from_str(&std::fs::read_to_string(path).ok()?).ok()
}

#[test]
fn every_key_of_the_published_schemas_is_known_and_no_other_at_any_depth() {
    let mut fleet = fleet("debian-12");
    fleet["hosts"]["box"]["containers"] = json!({"engine": "docker"});
    fleet["hosts"]["box"]["proxy"] = json!({"kind": "traefik", "image": "docker.io/library/traefik:v3.5"});
    fleet["services"]["app"]["run"] = json!({"container": {"image": "docker.io/library/x:1"}});
    for (schema, service, key, places) in [
        (crate::traefik::schema("prometheus.json"), "prometheus", "prometheus", 50),
        (crate::traefik::schema("traefik-v3-file-provider.json"), "app", "traefik", 50),
        (compose_schema(), "app", "compose", 40),
    ] {
        let Some(schema) = schema else {
            eprintln!("skipped: there is no schema for {key}");
            continue;
        };
        let mut closed = Vec::new();
        let mut patch = whole(&schema, &schema, "", &mut closed);
        // Where a schema lets a thing be written in several ways, the richest of them stands.
        closed.retain(|place| patch.pointer(place).is_some_and(Value::is_object));
        closed.sort();
        closed.dedup();
        assert!(closed.len() > places, "{key}: {} {closed:?}", closed.len());
        let wrong = |patch: &Value| {
            let mut fleet = fleet.clone();
            fleet["services"][service]["extra"] = json!({key: patch});
            let output = cfg_render(&["check", "--output", "json"], &fleet.to_string());
            let found: Value = serde_json::from_slice(&output.stdout).unwrap();
            let all = found["findings"].as_array().unwrap().iter();
            let mut all: Vec<_> = all
                .filter(|one| one["code"] == "override-target-missing")
                .map(|one| {
                    one["pointer"]
                        .as_str()
                        .unwrap()
                        .trim_start_matches(&format!("/services/{service}/extra/{key}"))
                        .to_owned()
                })
                .collect();
            all.sort();
            all.dedup();
            all
        };
        assert_eq!(wrong(&patch), Vec::<String>::new(), "{key}");
        for place in &closed {
            patch.pointer_mut(place).unwrap().as_object_mut().unwrap().insert("zzz".into(), json!("x"));
        }
        let mut expected: Vec<_> = closed.iter().map(|place| format!("{place}/zzz")).collect();
        expected.sort();
        assert_eq!(wrong(&patch), expected, "{key}");
    }
}

/// A service with several names has several files for Traefik: a patch reaches the one that has what it names.
#[test]
fn a_patch_for_traefik_finds_the_file_that_it_is_for() {
    let mut fleet = fleet("debian-13");
    fleet["hosts"]["box"]["containers"] = json!({"engine": "docker"});
    fleet["hosts"]["box"]["proxy"] = json!({"kind": "traefik", "image": "docker.io/library/traefik:v3.5"});
    fleet["services"]["app"]["proxy"] = json!([
        {"names": ["one.strong.test"], "tls": "internal"}, {"names": ["two.strong.test"], "path": "/x", "tls": "internal"}
    ]);
    fleet["services"]["app"]["extra"] = json!({"traefik": {"http": {
        "routers": {"two-strong-test-0": {"priority": 77}, "more": {"rule": "Host(`more.strong.test`)", "service": "one-strong-test-0"}}
    }}});
    let all = files(&fleet, "box");
    let (one, two) =
        (of(&all, "/etc/traefik/dynamic/one.strong.test.yaml"), of(&all, "/etc/traefik/dynamic/two.strong.test.yaml"));
    assert!(two.contains("priority: 77") && !one.contains("priority: 77"), "{one}\n{two}");
    assert!(one.contains("more.strong.test") && !two.contains("more.strong.test"), "{one}\n{two}");
    // What is in none of them is an error, once.
    fleet["services"]["app"]["extra"] =
        json!({"traefik": {"http": {"routers": {"three-strong-test-0": {"priority": 77}}}}});
    let output = cfg_render(&["check", "--output", "json"], &fleet.to_string());
    let found: Value = serde_json::from_slice(&output.stdout).unwrap();
    let all = found["findings"].as_array().unwrap().iter().filter(|one| one["code"] == "override-target-missing");
    let found: Vec<_> = all.map(|one| one["pointer"].clone()).collect();
    assert_eq!(found, ["/services/app/extra/traefik/http/routers/three-strong-test-0"]);
}
