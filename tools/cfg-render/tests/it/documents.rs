//! The documents as such: they fit their schemas, are the same for the same fleet, and hold no secret.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

use crate::rich;
use crate::run::{cfg_render, document, fleet, text};

/// Every verb that prints documents for these hosts and clusters.
fn verbs<'a>(hosts: &'a [&'a str]) -> Vec<Vec<&'a str>> {
    let mut all = vec![
        vec!["hosts"],
        vec!["dns"],
        vec!["postgres", "--cluster", "main"],
        vec!["health", "--from", "controller"],
        vec!["secrets", "--controller"],
    ];
    for host in hosts {
        all.push(vec!["host", "--host", host]);
        all.push(vec!["health", "--from", host]);
        all.push(vec!["health", "--from", "controller", "--with", host]);
        all.push(vec!["secrets", "--host", host]);
    }
    all
}

#[test]
fn documents_fit_their_published_schemas() {
    let mut all = vec![(fleet("first.json"), vec!["backup", "--host", "web1"])];
    for verb in verbs(&["web1"]) {
        all.push((fleet("first.json"), verb));
    }
    for verb in verbs(&["edge", "back"]) {
        all.push((rich::fleet("nginx"), verb));
    }
    for seed in ["seed-000.json", "seed-001.json", "seed-002.json", "seed-003.json", "seed-004.json"] {
        for verb in
            [vec!["hosts"], vec!["dns"], vec!["health", "--from", "controller"], vec!["secrets", "--controller"]]
        {
            all.push((fleet(seed), verb));
        }
    }
    for (fleet, verb) in all {
        let document = document(&verb, &fleet);
        let schema = contract::published_schema(document["schema"].as_str().unwrap()).unwrap();
        let schema: Value = serde_json::from_str(schema).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<_> =
            validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{verb:?}: {errors:#?}");
    }
}

#[test]
fn checks_of_health_lead_to_checks_that_are_there() {
    for (fleet, hosts) in [(fleet("first.json"), vec!["web1"]), (rich::fleet("nginx"), vec!["edge", "back"])] {
        let mut known: BTreeSet<String> = BTreeSet::new();
        let mut all = Vec::new();
        let mut args = vec!["health", "--from", "controller"];
        for host in &hosts {
            args.extend(["--with", host]);
            all.push(document(&["health", "--from", host], &fleet));
        }
        all.push(document(&args, &fleet));
        for report in &all {
            for check in report["checks"].as_array().unwrap() {
                assert!(known.insert(check["id"].as_str().unwrap().to_owned()), "{} stands twice", check["id"]);
            }
        }
        for check in all.iter().flat_map(|report| report["checks"].as_array().unwrap()) {
            for need in check["needs"].as_array().into_iter().flatten() {
                assert!(known.contains(need.as_str().unwrap()), "{check}");
            }
        }
    }
}

/// The check of this name.
fn check<'a>(report: &'a Value, id: &str) -> &'a Value {
    report["checks"].as_array().unwrap().iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id}"))
}

#[test]
fn a_managed_database_is_one_thing_from_wherever_it_is_seen() {
    let fleet = fleet("seed-004.json");
    let hosts = ["tools-prod", "management", "authentik-prod"];
    let mut args = vec!["health", "--from", "controller"];
    for host in hosts {
        let seen = document(&["health", "--from", host], &fleet);
        assert_eq!(check(&seen, "pg.postgres")["postgres"]["address"], "10.0.0.9:5432");
        args.extend(["--with", host]);
    }
    let app = document(&["health", "--from", "tools-prod"], &fleet);
    // What the program answers stands on its unit, and that on the database: a failure leads to it from either.
    assert_eq!(check(&app, "tools-prod.outline.check-0")["needs"], json!(["tools-prod.outline.unit"]));
    assert!(check(&app, "tools-prod.outline.unit")["needs"].as_array().unwrap().contains(&json!("pg.postgres")));
    // Its name needs the app and the database behind it, and wants the sign-on of another host.
    let outside = document(&args, &fleet);
    let name = check(&outside, "outline.https");
    for need in ["pg.postgres", "tools-prod.outline.unit", "tools-prod.outline.check-0", "tools-prod.proxy"] {
        assert!(name["needs"].as_array().unwrap().contains(&json!(need)), "{need}: {name}");
    }
    assert!(name["wants"].as_array().unwrap().contains(&json!("authentik.https")), "{name}");
    assert!(check(&outside, "espocrm.https")["wants"].is_null());
    // Those who want each other do not wait for each other.
    let mut both = fleet;
    both["services"]["espocrm"]["wants"] = json!(["leantime"]);
    both["services"]["leantime"]["wants"] = json!(["espocrm"]);
    let outside = document(&["health", "--from", "controller"], &both);
    let wants = |id: &str| check(&outside, id)["wants"].to_string();
    assert!(!(wants("espocrm.https").contains("leantime") && wants("leantime.https").contains("espocrm")));
}

/// The same document with its keys in another order.
pub(crate) fn shuffled(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let members: Vec<_> =
                map.iter().rev().map(|(key, value)| format!("{}:{}", json!(key), shuffled(value))).collect();
            format!("{{{}}}", members.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(shuffled).collect::<Vec<_>>().join(",\n")),
        other => other.to_string(),
    }
}

#[test]
fn the_order_of_keys_does_not_matter() {
    for (fleet, hosts) in [(fleet("first.json"), vec!["web1"]), (rich::fleet("caddy"), vec!["edge", "back"])] {
        for verb in verbs(&hosts) {
            let one = cfg_render(&verb, &fleet.to_string());
            let other = cfg_render(&verb, &shuffled(&fleet));
            assert!(one.status.success(), "{}", String::from_utf8_lossy(&one.stderr));
            assert_eq!(String::from_utf8_lossy(&one.stdout), String::from_utf8_lossy(&other.stdout), "{verb:?}");
        }
    }
}

#[test]
fn no_file_holds_a_placeholder() {
    let line = text(&["host", "--all"], &rich::fleet("nginx"));
    assert!(!line.contains("@@secret:"));
    // Only the manifest's templates do.
    let manifest = document(&["secrets", "--host", "back"], &rich::fleet("nginx"));
    let templates = manifest["templates"].as_array().unwrap();
    let of = |name: &str| templates.iter().find(|template| template["name"] == name).unwrap();
    assert_eq!(of("app.env")["text"], "TOKEN=\"@@secret:app-token@@\"\n");
    assert_eq!(of("app.env")["escape"], "systemd_env");
    assert_eq!(of("app.url.env")["text"], "DATABASE_URL=\"postgresql://app:@@secret:app-db@@@127.0.0.1:5432/app\"\n");
    assert_eq!(of("app.url.env")["escape"], "url");
}

fn items(fleet: &Value, host: &str) -> BTreeMap<String, Value> {
    let desired = document(&["host", "--host", host], fleet);
    desired["items"]
        .as_array()
        .unwrap()
        .iter()
        .map(|item| (item["id"].as_str().unwrap().to_owned(), item.clone()))
        .collect()
}

/// Whether an item is the same on the host, whatever it is made from: a file of secrets may come to hold one more.
fn same(before: Option<&Value>, after: Option<&Value>) -> bool {
    let bare = |item: Option<&Value>| {
        item.cloned().map(|mut item| {
            item["from"] = Value::Null;
            item
        })
    };
    bare(before) == bare(after)
}

#[test]
fn removing_a_service_changes_only_what_names_it() {
    let whole = rich::fleet("nginx");
    for service in ["site", "app", "moved", "job"] {
        let mut less = whole.clone();
        let services = less["services"].as_object_mut().unwrap();
        services.remove(service);
        if service == "app" {
            services.remove("job");
        }
        for host in ["edge", "back"] {
            let before = items(&whole, host);
            let after = items(&less, host);
            let all: BTreeSet<_> = before.keys().chain(after.keys()).collect();
            for id in all {
                if same(before.get(id), after.get(id)) {
                    continue;
                }
                let from = before.get(id).map(|item| item["from"].clone()).unwrap_or_default();
                let names = from.as_array().into_iter().flatten().filter_map(Value::as_str);
                let named = names.into_iter().any(|place| {
                    [service, "job"].iter().any(|service| {
                        place == format!("/services/{service}") || place.starts_with(&format!("/services/{service}/"))
                    })
                });
                assert!(named, "without {service}, {id} of {host} changes, but it comes from {from}");
            }
        }
    }
}

#[test]
fn removing_a_container_changes_only_what_names_it() {
    let whole = fleet("seed-004.json");
    // All but those that others name as their role (single sign-on, monitoring, the start page).
    let mut taken = 0;
    for service in whole["services"].as_object().unwrap().keys() {
        let mut less = whole.clone();
        less["services"].as_object_mut().unwrap().remove(service);
        // Whose own text says that it needs the service changes with it, and is named by its own files.
        let mut changed = vec![format!("/services/{service}")];
        for (name, other) in less["services"].as_object_mut().unwrap() {
            for key in ["needs", "wants"] {
                if let Some(list) = other.get_mut(key).and_then(Value::as_array_mut) {
                    let before = list.len();
                    list.retain(|name| name != service);
                    if list.len() != before {
                        changed.push(format!("/services/{name}"));
                    }
                }
            }
        }
        if !cfg_render(&["host", "--all"], &less.to_string()).status.success() {
            continue;
        }
        taken += 1;
        for host in ["tools-prod", "management", "authentik-prod"] {
            let (before, after) = (items(&whole, host), items(&less, host));
            for id in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
                if same(before.get(id), after.get(id)) {
                    continue;
                }
                let from = before.get(id).map(|item| item["from"].clone()).unwrap_or_default();
                let mut places = from.as_array().into_iter().flatten().filter_map(Value::as_str);
                let named =
                    places.any(|place| changed.iter().any(|own| place == own || place.starts_with(&format!("{own}/"))));
                assert!(named, "without {service}, {id} of {host} changes, but it comes from {from}");
            }
        }
    }
    assert!(taken > 5, "{taken} services could be taken out");
}

#[test]
fn every_item_says_where_it_comes_from() {
    let fleet = rich::fleet("nginx");
    for host in ["edge", "back"] {
        for (id, item) in items(&fleet, host) {
            let from = item["from"].as_array().cloned().unwrap_or_default();
            assert!(!from.is_empty(), "{id}");
            for place in from {
                // Places of defaults that nobody wrote are those of their host.
                assert!(fleet.pointer(place.as_str().unwrap()).is_some(), "{id}: {place} is not in the fleet");
            }
        }
    }
}

#[test]
fn what_is_not_rendered_is_named() {
    let mut all = rich::fleet("nginx");
    all["hosts"]["new"] = json!({"os": "nixos-25.11", "addresses": {"lan": ["10.1.0.3"]}});
    all["databases"]["one"] = json!({"host": "new"});
    all["databases"]["two"] = json!({"host": "new", "port": 5433});
    all["services"]["app"]["databases"][0]["cluster"] = json!("main");
    let output = cfg_render(&["check"], &all.to_string());
    let findings: Value = serde_json::from_slice(&output.stdout).unwrap();
    let missing: Vec<_> = findings["findings"]
        .as_array()
        .unwrap()
        .iter()
        .filter(|finding| finding["code"] == "not-rendered-yet")
        .collect();
    {
        let place = "/databases/two";
        assert!(
            missing.iter().any(|finding| finding["pointer"] == place && finding["level"] == "warning"),
            "{place}: {findings:#}"
        );
    }
}

#[test]
fn errors_stop_every_other_verb() {
    let mut bad = fleet("first.json");
    bad["services"]["site"]["needs"] = json!(["nobody"]);
    let output = cfg_render(&["check"], &bad.to_string());
    assert_eq!(output.status.code(), Some(1));
    for verb in verbs(&["web1"]) {
        let output = cfg_render(&verb, &bad.to_string());
        assert_eq!(output.status.code(), Some(65), "{verb:?}");
        assert!(output.stdout.is_empty());
        assert!(String::from_utf8_lossy(&output.stderr).contains("/services/site/needs/0"));
    }
}

#[test]
fn a_host_that_is_not_there_is_a_usage_error() {
    let output = cfg_render(&["host", "--host", "web2"], &fleet("first.json").to_string());
    assert_eq!(output.status.code(), Some(2));
    assert!(String::from_utf8_lossy(&output.stderr).contains("did you mean \"web1\"?"));
    let output = cfg_render(&["host"], &fleet("first.json").to_string());
    assert_eq!(output.status.code(), Some(2));
}

#[test]
fn the_story_gets_its_documents() {
    let first = fleet("first.json");
    let hosts = document(&["hosts"], &first);
    let ways: Vec<_> =
        hosts["hosts"][0]["addresses"].as_array().unwrap().iter().map(|way| way["port"].as_u64().unwrap()).collect();
    assert_eq!(ways, [2222, 22]);
    assert_eq!(hosts["databases"]["main"]["run_on"], "web1");
    assert_eq!(text(&["postgres", "--list", "--run-on", "web1"], &first), "main\n");
    assert_eq!(text(&["postgres", "--list", "--run-on", "controller"], &first), "");
    let cluster = document(&["postgres", "--cluster", "main"], &first);
    let exporter =
        cluster["roles"].as_array().unwrap().iter().find(|role| role["name"] == "postgres_exporter").unwrap();
    assert_eq!(exporter["member_of"][0]["role"], "pg_monitor");
    assert_eq!(exporter["password"], json!({"secret": "postgres-exporter-password"}));
    let desired = document(&["host", "--host", "web1"], &first);
    assert_eq!(desired["access"]["ssh_ports"], json!([2222]));
    let stages: Vec<_> =
        desired["items"].as_array().unwrap().iter().map(|item| item["stage"].as_str().unwrap()).collect();
    let mut sorted = stages.clone();
    sorted.sort_by_key(|stage| ["base", "data", "services"].iter().position(|known| known == stage));
    assert_eq!(stages, sorted, "items stand in the order of stages");
    let backup = document(&["backup", "--host", "web1"], &first);
    let dumps: BTreeSet<_> = backup["services"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|service| service["dumps"].as_array().cloned().unwrap_or_default())
        .map(|dump| dump["id"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(dumps, BTreeSet::from(["main-globals".into(), "main-inventory".into()]));
    let zone = document(&["dns"], &first);
    let names: Map<String, Value> = zone["zones"][0]["records"]
        .as_array()
        .unwrap()
        .iter()
        .map(|record| (record["name"].as_str().unwrap().to_owned(), record["A"].clone()))
        .collect();
    assert_eq!(names.keys().collect::<Vec<_>>(), ["@", "prometheus", "web1", "www"]);
}

#[test]
fn the_fleet_of_the_manual_is_good_and_its_hosts_say_why() {
    let manual = include_str!("../../README.md");
    let example = manual.split("```json\n").nth(1).and_then(|rest| rest.split("```").next()).unwrap();
    let example: Value = serde_json::from_str(example).unwrap();
    let findings = document(&["check"], &example);
    assert_eq!(findings["findings"], json!([]));
    let text = text(&["host", "--host", "web1", "--output", "text"], &example);
    let line = text.lines().find(|line| line.contains("/etc/nginx/plumbline.d/www.small.test.conf")).unwrap();
    assert!(line.ends_with("(for site)"), "{line}");
    assert!(text.trim_end().ends_with(")."), "{text}");
}
