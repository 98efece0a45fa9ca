//! The merge driver, in a real git repository.

use std::process::Command;

use crate::program::{Program, Ran, finish};

const CANARY: &str = "canary-hunter2";

/// A repository whose merges of encrypted files go through us.
struct Repository(Program);

impl Repository {
    fn new(text: &str) -> Self {
        let repository = Self(Program::new());
        let driver = format!("{} merge %O %A %B %P", env!("CARGO_BIN_EXE_secret-encrypt"));
        repository.git(&["init", "--quiet", "--initial-branch=main"]);
        repository.git(&["config", "merge.sops.driver", &driver]);
        repository.0.write(".gitattributes", "secrets/** merge=sops\n");
        repository.0.write(".gitignore", "*.key\n");
        repository.0.write("secrets/x.yaml", text);
        repository.0.encrypt("secrets/x.yaml");
        repository.commit();
        repository.git(&["branch", "other"]);
        repository
    }

    fn try_git(&self, args: &[&str]) -> Ran {
        let mut command: Command = self.0.command("git");
        for who in ["AUTHOR", "COMMITTER"] {
            command.env(format!("GIT_{who}_NAME"), "t").env(format!("GIT_{who}_EMAIL"), "t@example.org");
        }
        finish(command.args(args), "")
    }

    #[track_caller]
    fn git(&self, args: &[&str]) -> String {
        self.try_git(args).ok().text()
    }

    fn commit(&self) {
        self.git(&["add", "."]);
        self.git(&["commit", "--quiet", "--message", "x"]);
    }

    /// Does something on one branch and commits it.
    fn on(&self, branch: &str, work: impl FnOnce(&Program)) {
        self.git(&["checkout", "--quiet", branch]);
        work(&self.0);
        self.commit();
    }

    fn set(&self, branch: &str, pointer: &str, value: &str) {
        self.on(branch, |program| {
            program.run_with(&["set", "secrets/x.yaml", pointer], value).ok();
        });
    }

    fn merge(&self) -> Ran {
        self.git(&["checkout", "--quiet", "main"]);
        self.try_git(&["merge", "--quiet", "--no-edit", "other"])
    }

    fn value(&self, pointer: &str) -> String {
        self.0.run(&["decrypt", "secrets/x.yaml", "--pointer", pointer]).ok().text()
    }

    /// No value in clear lies in the tree or in git.
    fn nothing_in_clear(&self) {
        let objects = self.git(&["cat-file", "--batch-all-objects", "--batch"]);
        assert!(!objects.contains(CANARY));
        let found = finish(self.0.command("grep").args(["--recursive", "--files-with-matches", CANARY, "."]), "");
        assert_eq!(found.text(), "");
    }
}

fn line(text: &str, key: &str) -> String {
    text.lines().find(|line| line.starts_with(key)).unwrap_or_default().to_owned()
}

#[test]
fn values_of_both_branches_are_taken_with_their_ciphertext() {
    let repository = Repository::new("# about a\na: one\nb: two\nc: three\nnested:\n  d: four\nlist:\n  - x\n  - y\n");
    let base = repository.0.read("secrets/x.yaml");
    repository.set("main", "/a", "ours");
    let ours = repository.0.read("secrets/x.yaml");
    repository.on("other", |program| {
        program
            .run_with(
                &["set", "secrets/x.yaml"],
                format!(r#"{{"/b": "{CANARY}", "/nested/e": "new", "/list/1": "z"}}"#),
            )
            .ok();
        program.run(&["unset", "secrets/x.yaml", "/c"]).ok();
    });
    let theirs = repository.0.read("secrets/x.yaml");
    let ran = repository.merge();
    assert_eq!(ran.code, 0, "{} {}", ran.text(), ran.stderr);
    assert_eq!(
        repository.0.decrypt("secrets/x.yaml"),
        format!("# about a\na: ours\nb: {CANARY}\nnested:\n  d: four\n  e: new\nlist:\n  - x\n  - z\n")
    );
    let merged = repository.0.read("secrets/x.yaml");
    assert_eq!(line(&merged, "a:"), line(&ours, "a:"));
    assert_eq!(line(&merged, "b:"), line(&theirs, "b:"));
    assert_eq!(line(&merged, "  d:"), line(&base, "  d:"));
    repository.nothing_in_clear();
    // Without the driver the same merge is a conflict: MAC and time differ on both sides.
    repository.git(&["config", "--unset", "merge.sops.driver"]);
    repository.git(&["reset", "--quiet", "--hard", "HEAD~1"]);
    assert_ne!(repository.try_git(&["merge", "--quiet", "--no-edit", "other"]).code, 0);
    assert!(repository.0.run(&["check", "secrets"]).fails(1).text().contains("merge-conflict"));
}

#[test]
fn a_conflict_keeps_ours_and_a_good_file() {
    let repository = Repository::new("a: one\nb: two\nc: three\n");
    repository.set("main", "/a", "ours");
    repository.on("main", |program| {
        program.run(&["unset", "secrets/x.yaml", "/c"]).ok();
    });
    repository.on("other", |program| {
        program
            .run_with(&["set", "secrets/x.yaml"], format!(r#"{{"/a": "{CANARY}", "/b": "theirs", "/c": "changed"}}"#))
            .ok();
    });
    let ran = repository.merge();
    assert_eq!(ran.code, 1, "{}", ran.stderr);
    let said = ran.text() + &ran.stderr;
    assert!(
        said.contains("/a: conflict: both sides changed it") && said.contains("/c: conflict: ours took it away"),
        "{said}"
    );
    assert!(!said.contains(CANARY), "{said}");
    assert_eq!(repository.git(&["status", "--short", "secrets"]), "UU secrets/x.yaml\n", "git keeps the path unmerged");
    assert_eq!(repository.0.decrypt("secrets/x.yaml"), "a: ours\nb: theirs\n", "what did not conflict is merged");
    repository.nothing_in_clear();
    // What the message says to do.
    let command = said.lines().find_map(|line| line.split_once("to take theirs: ")).unwrap().1.to_owned();
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_secret-encrypt")).parent().unwrap().to_owned();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
    finish(repository.0.command("bash").env("PATH", path).args(["-euo", "pipefail", "-c", &command]), "").ok();
    assert_eq!(repository.value("/a"), CANARY);
    repository.commit();
    repository.0.run(&["check", "secrets"]).ok();
    repository.nothing_in_clear();
}

#[test]
fn recipients_and_a_new_data_key_survive_a_merge() {
    let repository = Repository::new("a: one\nb: two\n");
    let keys: Vec<String> = ["one", "two"]
        .iter()
        .map(|name| {
            let made = repository.0.run(&["keygen", &format!("{name}.key")]).ok().json();
            made["recipients"][0].as_str().unwrap().to_owned()
        })
        .collect();
    let own = repository.0.recipient.clone();
    repository.on("main", |program| {
        program.run(&["rekey", "-r", &own, "-r", &keys[0], "secrets/x.yaml"]).ok();
        program.run_with(&["set", "secrets/x.yaml", "/a"], "ours").ok();
    });
    repository.on("other", |program| {
        program.run(&["rekey", "--rotate", "-r", &own, "-r", &keys[1], "secrets/x.yaml"]).ok();
        program.run_with(&["set", "secrets/x.yaml", "/b"], "theirs").ok();
    });
    let rotated = repository.0.read("secrets/x.yaml");
    let ran = repository.merge();
    assert_eq!(ran.code, 0, "{} {}", ran.text(), ran.stderr);
    for key in ["age", "one", "two"] {
        let text = repository.0.run(&["decrypt", "-i", &format!("{key}.key"), "secrets/x.yaml"]).ok().text();
        assert_eq!(text, "a: ours\nb: theirs\n", "{key}");
    }
    assert_eq!(line(&repository.0.read("secrets/x.yaml"), "b:"), line(&rotated, "b:"), "the new data key is kept");
    // Somebody whom one branch took off is off.
    repository.git(&["branch", "--force", "other"]);
    repository.on("other", |program| {
        program.run(&["rekey", "-r", &own, "-r", &keys[1], "secrets/x.yaml"]).ok();
    });
    repository.set("main", "/a", "again");
    let ran = repository.merge();
    assert_eq!(ran.code, 0, "{}", ran.stderr);
    repository.0.run(&["decrypt", "-i", "one.key", "secrets/x.yaml"]).fails(77);
    assert_eq!(repository.value("/a"), "again");
}

#[test]
fn comments_of_both_sides_and_other_formats() {
    let repository = Repository::new("a: one\n\n# middle\nb: two\n\nc: three\n");
    repository.on("main", |program| {
        program.write("plain.key", "a: one # ours\n\n# middle\nb: two\n\nc: three\n");
        program.run(&["encrypt", "--to", "secrets/x.yaml", "--format", "yaml", "plain.key"]).ok();
        program.write("secrets/new.env", "A=1\n");
        program.encrypt("secrets/new.env");
    });
    repository.on("other", |program| {
        program.write("plain.key", "a: one\n\n# the middle\nb: two\n\nc: 3 # theirs\n");
        program.run(&["encrypt", "--to", "secrets/x.yaml", "--format", "yaml", "plain.key"]).ok();
        program.write("secrets/new.env", "B=2\n");
        program.encrypt("secrets/new.env");
    });
    let ran = repository.merge();
    assert_eq!(repository.0.decrypt("secrets/x.yaml"), "a: one # ours\n\n# the middle\nb: two\n\nc: 3 # theirs\n");
    // Both branches made a file of the same name: its values are put together.
    assert_eq!(ran.code, 0, "{} {}", ran.text(), ran.stderr);
    let json = repository.0.run(&["decrypt", "--json", "secrets/new.env"]).ok().json();
    assert_eq!(json, serde_json::json!({"A": "1", "B": "2"}));
}

#[test]
fn binary_files_conflict_as_a_whole_and_no_key_is_no_harm() {
    let program = Program::new();
    for (name, text) in [("base.bin", "one"), ("theirs.bin", "two"), ("ours.bin", "three")] {
        program.write(name, text);
        program.encrypt(name);
    }
    let ours = program.read("ours.bin");
    let ran = program.run(&["merge", "base.bin", "ours.bin", "theirs.bin", "x.bin"]).fails(1);
    assert_eq!(ran.json()["conflicts"], serde_json::json!([""]));
    program.run(&["merge", "--favor", "theirs", "--dry-run", "base.bin", "ours.bin", "theirs.bin"]);
    program.run(&["keygen", "other.key"]).ok();
    program.run(&["merge", "-i", "other.key", "base.bin", "ours.bin", "theirs.bin"]).fails(77);
    assert_eq!(program.read("ours.bin"), ours);
    // One side alone changed it: no key is needed.
    program.write("same.bin", program.read("base.bin"));
    program.run(&["merge", "-i", "nowhere.key", "base.bin", "same.bin", "theirs.bin"]).ok();
    assert_eq!(program.read("same.bin"), program.read("theirs.bin"));
}
