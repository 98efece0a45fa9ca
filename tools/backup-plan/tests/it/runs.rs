//! Runs, verdicts, drills and restores with real restic.

use serde_json::{Value, json};

use crate::house::{House, exists, step};

#[test]
fn a_run_stores_what_the_plan_says_and_the_second_is_incremental() {
    let Some(house) = House::build() else { return };
    let plan = house.plan(&house.sources(|_| {}));
    let first = house.run(&["run", &plan], "").ends(0);
    assert!(!first.stdout.contains("canary") && !first.stderr.contains("canary"));
    let first = first.json();
    assert_eq!(first["outcome"], "done");
    assert_eq!(step(&first, "check/local")["state"], "done");
    let stored = house.stored();
    for path in ["data/app/a.txt", "data/app/deep/b.txt", "data/other/x.log", "staging/manifest.jsonl"] {
        assert!(stored.iter().any(|s| s == path), "{path} is not in {stored:?}");
    }
    assert!(!stored.iter().any(|s| s == "data/app/x.log"), "{stored:?}");
    // app: 2, other: 1, the manifest.
    assert_eq!(step(&first, "backup/local")["files"], 4);
    house.put("data/app/big", &"x".repeat(300_000));
    house.run(&["run", &plan], "").ends(0);
    let third = house.run(&["run", &plan], "").ends(0).json();
    assert!(step(&third, "backup/local")["added_bytes"].as_u64().unwrap() < 50_000, "{third:#}");
    assert_eq!(step(&third, "check/local")["message"], "not due yet");
    // Three runs on one day: the retention keeps the newest of a day.
    let snapshots: Value = serde_json::from_str(&house.restic(&["snapshots", "--json"])).unwrap();
    assert_eq!(snapshots.as_array().unwrap().len(), 1);
    assert_eq!(snapshots[0]["tags"], json!(["plan:snek", "created-by:snek"]));
    let metrics = std::fs::read_to_string(house.at("state/metrics.prom")).unwrap();
    assert!(metrics.contains("backup_last_run_ok{plan=\"snek\",host=\"snek\"} 1"), "{metrics}");
    assert!(metrics.contains("backup_files{plan=\"snek\",host=\"snek\",repository=\"local\"} 5"), "{metrics}");
    house.run(&["run", "--only", "prune", &plan], "").ends(0);
    house.restic(&["check", "--read-data"]);
}

#[test]
fn a_verdict_is_good_then_stale_then_suspicious() {
    let Some(house) = House::build() else { return };
    let plan = house.plan(&house.sources(|sources| sources["policy"]["retention"] = json!({"last": 10})));
    let nothing = house.run(&["judge", &plan], "").ends(1).json();
    assert!(nothing["repositories"][0]["problems"][0].as_str().unwrap().contains("there is no repository"));
    house.put("data/app/big", &"x".repeat(300_000));
    house.run(&["run", &plan], "").ends(0);
    let good = house.run(&["judge", &plan], "").ends(0).json();
    assert_eq!((&good["ok"], &good["repositories"][0]["snapshots"]), (&json!(true), &json!(1)));
    let stale = house.run(&["judge", "--now", "2099-01-01T00:00:00Z", &plan], "").ends(1).json();
    let problems = stale["repositories"][0]["problems"].to_string();
    assert!(problems.contains("the limit is 1d2h"), "{problems}");
    assert!(stale["problems"].to_string().contains("no restore has been proven"), "{stale:#}");
    std::fs::remove_file(house.at("data/app/big")).unwrap();
    house.run(&["run", &plan], "").ends(0);
    let small = house.run(&["judge", &plan], "").ends(1).json();
    assert!(small["repositories"][0]["problems"][0].as_str().unwrap().contains("the one before it"), "{small:#}");
    let text = house.run(&["judge", "--output", "text", &plan], "").ends(1).stdout;
    assert!(text.ends_with("snek of snek: bad.\n"), "{text}");
}

#[test]
fn a_drill_proves_a_restore_and_finds_damage() {
    let Some(house) = House::build() else { return };
    let plan = house.plan(&house.sources(|_| {}));
    house.run(&["drill", &plan], "").ends(69);
    house.run(&["run", &plan], "").ends(0);
    // The live data does not matter for the proof.
    house.put("data/app/a.txt", "changed after the backup");
    let proof = house.run(&["drill", &plan], "").ends(0).json();
    assert_eq!((&proof["ok"], &proof["files"]), (&json!(true), &json!(3)));
    assert!(!exists(&house.at("state/drill")), "the restored files are left behind");
    assert!(exists(&house.at("state/proof.json")));
    let old = house.run(&["judge", "--now", "2099-01-01T00:00:00Z", &plan], "").ends(1).json();
    assert!(old["problems"][0].as_str().unwrap().contains("the proof of a restore is"), "{old:#}");
    // A manifest that says otherwise than the data: what bit rot in the source looks like.
    let manifest = std::fs::read_to_string(house.at("staging/manifest.jsonl")).unwrap();
    let mut entry: Value = serde_json::from_str(manifest.lines().find(|line| line.contains("b.txt")).unwrap()).unwrap();
    entry["sha256"] = json!("00");
    house.put("staging/manifest.jsonl", &format!("{entry}\n"));
    let roots = house.text("state/roots.raw");
    house.restic(&[
        "backup",
        "-q",
        "--host",
        "snek",
        "--tag",
        "plan:snek",
        "--tag",
        "created-by:snek",
        "--files-from-raw",
        &roots,
    ]);
    let broken = house.run(&["drill", &plan], "").ends(1).json();
    assert!(broken["mismatches"][0].as_str().unwrap().contains("b.txt: its content is another"), "{broken:#}");
    let judged = house.run(&["judge", &plan], "").ends(1).json();
    assert!(judged["problems"][0].as_str().unwrap().contains("the last drill"), "{judged:#}");
}

#[test]
fn a_restore_fills_an_empty_directory_only() {
    let Some(house) = House::build() else { return };
    let plan = house.plan(&house.sources(|_| {}));
    house.run(&["run", &plan], "").ends(0);
    let (target, path) = (house.text("restored"), house.text("data/app/deep"));
    house.run(&["restore", &plan, "--target", &target, "--path", &path], "").ends(0);
    let restored = house.at("restored").join(path.trim_start_matches('/')).join("b.txt");
    assert_eq!(std::fs::read_to_string(restored).unwrap(), "world");
    house.run(&["restore", &plan, "--target", &target], "").ends(76);
    let other = house.text("restored2");
    house.run(&["restore", &plan, "--target", &other, "--path", "/no/such"], "").ends(69);
}

#[test]
fn quiesced_services_are_started_again_whatever_happens() {
    let Some(house) = House::build() else { return };
    let (stopped, log) = (house.text("stopped"), house.text("quiesce.log"));
    let plan = house.plan(&house.sources(|sources| {
        sources["services"][0]["quiesce"] = json!({"max": "1m",
            "stop": [["touch", stopped]], "start": [["rm", stopped], ["sh", "-c", format!("echo started >> {log}")]]});
    }));
    house.run(&["run", &plan], "").ends(0);
    assert!(!exists(&house.at("stopped")));
    // Also where the backup fails.
    house.secret("restic-password", "another");
    house.run(&["run", &plan], "").ends(3);
    assert!(!exists(&house.at("stopped")));
    assert_eq!(std::fs::read_to_string(house.at("quiesce.log")).unwrap(), "started\nstarted\n");
    // What a killed run left stopped is started by the next, whatever that is asked for.
    let history = std::fs::read_to_string(house.at("state/history.json")).unwrap();
    assert!(history.contains(r#""stopped":[]"#), "{history}");
    house.put("state/history.json", &history.replace(r#""stopped":[]"#, r#""stopped":["app"]"#));
    house.put("stopped", "");
    let resumed = house.run(&["run", "--only", "resume", &plan], "").ends(0).json();
    assert_eq!(step(&resumed, "resume/app/0")["state"], "done");
    assert!(!exists(&house.at("stopped")));
    house.run(&["run", "--only", "resume", &plan], "").ends(0);
    assert_eq!(std::fs::read_to_string(house.at("quiesce.log")).unwrap(), "started\nstarted\nstarted\n");
}

#[test]
fn names_that_restic_would_misread_are_stored() {
    let Some(house) = House::build() else { return };
    let odd = "data/odd [x]*?$HOME {a} é";
    for name in ["# a", " lead", "trail ", "$HOME", "x[1]", "*s", "back\\slash", "!n", "new\nline", "keep.tmp"] {
        house.put(&format!("{odd}/{name}"), name);
    }
    house.put("data/odd x/keep.tmp", "neighbour");
    let plan = house.plan(&house.sources(|sources| {
        sources["services"] = json!([
            {"name": "odd", "paths": [house.text(odd)], "exclude": ["*.tmp", "$HOME", "# a"]},
            {"name": "neighbour", "paths": [house.text("data/odd x")]},
        ]);
    }));
    house.run(&["run", &plan], "").ends(0);
    let stored = house.stored();
    let has = |name: &str| stored.iter().any(|s| *s == format!("{odd}/{name}"));
    for name in [" lead", "trail ", "x[1]", "*s", "back\\slash", "!n", "new\nline"] {
        assert!(has(name), "{name:?} is not in {stored:?}");
    }
    for name in ["keep.tmp", "$HOME", "# a"] {
        assert!(!has(name), "{name:?} is in {stored:?}");
    }
    assert!(stored.iter().any(|s| s == "data/odd x/keep.tmp"));
    house.run(&["drill", &plan], "").ends(0);
}
