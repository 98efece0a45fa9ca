//! Plans: what is found before anything runs.

use serde_json::{Value, json};

use crate::house::House;

fn codes(stderr: &str) -> Vec<String> {
    let line = |line: &str| serde_json::from_str::<Value>(line).unwrap()["code"].as_str().unwrap().to_owned();
    stderr.lines().map(line).collect()
}

#[test]
fn a_plan_is_the_same_twice_and_counts_as_restic_does() {
    let Some(house) = House::build() else { return };
    let sources = house.sources(|_| {});
    let state = house.text("state");
    let planned = house.run(&["plan", "--state", &state], &sources).ends(0);
    assert_eq!(planned.stdout, house.run(&["plan", "--state", &state], &sources).stdout);
    let plan = planned.json();
    let app = &plan["roots"][0];
    assert_eq!((&app["files"], &app["bytes"]), (&json!(2), &json!(10)));
    assert_eq!(plan["excludes"], json!([format!("{}/**/*.log", house.text("data/app"))]));
    assert!(!planned.stdout.contains("canary"));
    // Sizes are not part of the digest.
    house.put("data/app/c.txt", "more");
    let again = house.run(&["plan", "--state", &state], &sources).ends(0).json();
    assert_eq!((&again["digest"], &again["roots"][0]["files"]), (&plan["digest"], &json!(3)));
    // A plan that was changed by hand is no plan.
    let changed = planned.stdout.replace("\"--json\"", "\"--quiet\"");
    house.run(&["emit", "--to", "argv"], &changed).ends(65);
}

#[test]
fn the_readme_is_true() {
    let Some(house) = House::build() else { return };
    let readme = include_str!("../../README.md");
    let document = readme.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    // The document is good; its paths are not there.
    let refused = house.run(&["plan", "--log-format", "json"], document).ends(76);
    assert!(codes(&refused.stderr).iter().all(|code| code == "root_missing"), "{refused:?}");
    let mut args = vec!["plan"];
    args.extend(["--allow", "root-missing:/var/lib/app", "--allow", "root-missing:/var/lib/knot"]);
    let plan = house.run(&args, document).ends(0).json();
    // What is stopped for the backup is not stopped for longer than was said.
    let backup = plan["steps"].as_array().unwrap().iter().find(|step| step["kind"] == "backup").unwrap();
    assert_eq!(backup["timeout"], "2m");
    for code in ["root-symlink", "root-excluded", "root-in-cache", "live-database", "repository-inside-root"] {
        assert!(readme.contains(&format!("| `{code}` |")), "{code}");
    }
}

#[test]
fn what_would_be_backed_up_in_name_only_is_refused() {
    let Some(house) = House::build() else { return };
    std::os::unix::fs::symlink(house.at("data/app"), house.at("data/link")).unwrap();
    house.put("data/pg/PG_VERSION", "15");
    std::fs::create_dir_all(house.at("data/pg/global")).unwrap();
    house.put("data/lite/x.db", &format!("SQLite format 3\0{}", "x".repeat(100)));
    house.put("data/lite/x.db-wal", "wal");
    house.put("data/cache/CACHEDIR.TAG", "Signature: 8a477f597d28d172789f06886806bc55\n");
    house.put("data/cache/inner/f", "x");
    let sources = house.sources(|sources| {
        let service = |name: &str| json!({"name": name, "paths": [house.text(&format!("data/{name}"))]});
        sources["services"] = json!([
            service("link"), service("gone"), service("pg"), service("lite"),
            {"name": "inner", "paths": [house.text("data/cache/inner")]},
            {"name": "holder", "paths": [house.text("holder")], "exclude": [house.text("holder")]},
        ]);
        sources["repositories"][0]["uri"] = json!(house.text("holder/repo"));
    });
    std::fs::create_dir_all(house.at("holder")).unwrap();
    let refused = house.run(&["plan", "--log-format", "json"], &sources).ends(76);
    let mut found = codes(&refused.stderr);
    found.sort();
    assert_eq!(
        found,
        [
            "live_database",
            "live_database",
            "repository_inside_root",
            "root_excluded",
            "root_in_cache",
            "root_missing",
            "root_symlink"
        ]
    );
    assert!(refused.stderr.contains(&format!("--allow root-missing:{}", house.text("data/gone"))));
    // Consent turns it into a warning.
    let one =
        house.sources(|sources| sources["services"] = json!([{"name": "gone", "paths": [house.text("data/gone")]}]));
    let allow = format!("root-missing:{}", house.text("data/gone"));
    let plan = house.run(&["plan", "--allow", &allow], &one).ends(0).json();
    assert!(plan["findings"].as_array().unwrap().iter().any(|finding| finding["code"] == "root-missing"));
}

#[test]
fn documents_that_contradict_themselves_are_refused_in_one_run() {
    let Some(house) = House::build() else { return };
    let sources = house.sources(|sources| {
        sources["services"] = json!([
            {"name": "a", "paths": ["relative", "/srv/x/../y", "/proc/x"], "exclude": ["x[", "/etc/passwd"]},
            {"name": "a", "paths": [house.text("data/app")], "dumps": [{"id": "d"}, {"id": "d", "sqlite": {"path": "/x"}}]},
        ]);
        sources["omit"] = json!([{"path": house.text("data"), "reason": " "}]);
        sources["repositories"][0]["uri"] = json!("rest:https://u:p@host/x");
        sources["policy"]["retention"] = json!({"daily": 0, "weekly": 0, "monthly": 0});
    });
    let refused = house.run(&["plan", "--log-format", "json"], &sources).ends(65);
    let found = codes(&refused.stderr);
    for code in [
        "bad_path",
        "bad_pattern",
        "exclude_crosses_owner",
        "duplicate_name",
        "dump_kind",
        "omit_against_claim",
        "no_reason",
        "secret_in_uri",
        "empty_retention",
    ] {
        assert!(found.iter().any(|f| f == code), "{code} is not in {found:?}");
    }
    assert_eq!(found.iter().filter(|code| *code == "bad_path").count(), 3);
    assert!(refused.stdout.is_empty());
}

#[test]
fn nested_roots_are_one_and_coverage_names_what_nobody_claims() {
    let Some(house) = House::build() else { return };
    let sources = house.sources(|sources| {
        sources["services"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "inner", "paths": [house.text("data/app/deep")]}));
        sources["services"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "later", "optional": true, "paths": [house.text("data/later")]}));
    });
    house.put("data/nobody/x", "x");
    let plan = house.run(&["plan", "--coverage", &house.text("data")], &sources).ends(0).json();
    assert_eq!(plan["roots"][0]["owners"], json!(["app", "inner"]));
    assert_eq!(plan["uncovered"], json!([house.text("data/nobody")]));
    assert!(plan["roots"].as_array().unwrap().iter().any(|root| root["optional"] == true));
}

#[test]
fn a_plan_is_emitted_for_others() {
    let Some(house) = House::build() else { return };
    let plan = house.plan(&house.sources(|_| {}));
    let lines = house.run(&["emit", "--to", "argv", &plan], "").ends(0).stdout;
    assert!(lines.contains("restic -r ") && lines.contains("--files-from-raw"), "{lines}");
    let out = house.text("files");
    house.run(&["emit", "--to", "files", "--out", &out, &plan], "").ends(0);
    let roots = std::fs::read(house.at("files/roots.raw")).unwrap();
    assert_eq!(roots.split(|byte| *byte == 0).count(), 4);
    assert_eq!(std::fs::read_to_string(house.at("files/env.keys")).unwrap(), "RESTIC_PASSWORD_FILE\n");
    let desired = house.run(&["emit", "--to", "systemd", &plan], "").ends(0).json();
    assert_eq!(desired["owner"], "backup");
    if !crate::house::has("systemd-analyze", "apt-get install -y systemd") {
        return;
    }
    for item in desired["items"].as_array().unwrap().iter().filter(|item| !item["file"].is_null()) {
        let name = item["file"]["path"].as_str().unwrap().rsplit('/').next().unwrap();
        let content =
            item["file"]["content"].as_str().unwrap().replace("/usr/local/lib/plumbline/backup-plan", "/bin/true");
        house.put(&format!("units/{name}"), &content);
    }
    let checked = std::process::Command::new("systemd-analyze")
        .arg("verify")
        .args([house.at("units/plumbline-backup.timer"), house.at("units/plumbline-backup.service")])
        .env("SYSTEMD_LOG_LEVEL", "warning")
        .output()
        .unwrap();
    // It ends with 0 even for keys that it does not know, and says so on stderr.
    let said = String::from_utf8(checked.stderr).unwrap();
    let ours: Vec<_> = said.lines().filter(|line| line.contains("plumbline-backup")).collect();
    assert!(ours.is_empty(), "{said}");
}
