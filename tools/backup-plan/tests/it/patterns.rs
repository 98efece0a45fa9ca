//! Our reading of restic's patterns against restic itself: the same files and bytes for lists of odd patterns.

use serde_json::{Value, json};

use crate::house::House;

const LISTS: &[&[&str]] = &[
    &["*.log"],
    &["deep"],
    &["deep/*"],
    &["**/b.txt"],
    &["a*", "!a.txt"],
    &["!a.txt", "a*"],
    &["x[12]"],
    &["x[^1]"],
    &["x\\[1\\]"],
    &["?"],
    &["é"],
    &["*"],
    &["*", "!*.txt"],
    &["deep/**/c"],
    &["deep//er/"],
    &["./a.txt"],
    &["[a-c].txt"],
    &["\\*s"],
    &[".hidden", "no such"],
    &["a b", " lead"],
    &["$HOME", "#c"],
    &["**"],
    &["**/**/c"],
    &["d*/e*/c", "!c"],
];

#[test]
fn restic_stores_what_we_count() {
    let Some(house) = House::build() else { return };
    for name in ["x1", "x2", "x[1]", "é", "*s", "\\e", "!n", "a b", " lead", ".hidden", "$HOME", "#c", "b.txt", "c"] {
        house.put(&format!("data/app/{name}"), name);
        house.put(&format!("data/app/deep/er/{name}"), &name.repeat(3));
    }
    house.restic(&["init", "-q"]);
    for list in LISTS {
        let sources = house.sources(|sources| {
            sources["services"] = json!([{"name": "app", "paths": [house.text("data/app")], "exclude": list}]);
        });
        let state = house.text("state");
        let planned = house.run(&["plan", "--state", &state], &sources);
        let plan = planned.ends(0).json();
        let (out, path) = (house.text("files"), house.text("p.json"));
        std::fs::write(&path, plan.to_string()).unwrap();
        house.run(&["emit", "--to", "files", "--out", &out, &path], "").ends(0);
        let excludes = house.text("files/excludes.txt");
        let said = house.restic(&["backup", "-n", "--json", "--exclude-file", &excludes, &house.text("data/app")]);
        let summary: Value = serde_json::from_str(said.lines().last().unwrap()).unwrap();
        let root = plan["roots"].as_array().unwrap().iter().find(|root| root["owners"] == json!(["app"])).unwrap();
        assert_eq!(
            (&root["files"], &root["bytes"]),
            (&summary["total_files_processed"], &summary["total_bytes_processed"]),
            "{list:?}"
        );
    }
}
