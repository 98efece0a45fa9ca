//! Against the real sops, both directions.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::program::{Program, finish, sops};

/// Every kind of value and placement that both can hold.
const YAML: &str = "# first\nstring: hello\nempty: \"\"\nnumber: 8080\noctal: 0777\nfloat: 1.5\nwhole: 2.0\nbig: 1e21\nyes: true\n\
    nothing: null\ntilde: ~\nwhen: 2001-12-14\nquoted: 'it''s'\ndouble: \"a\\tb \\\"c\\\"\"\nunicode: \"ünï 🦀\"\n\n\
    # about the block\nblock: |\n  line one\n    line two\n\n  line three\nkeep: |+\n  kept\n\n\nfolded: >-\n  some\n  text\n\
    nested:\n  # inside\n  deep:\n    deeper: value # at the end\n  list:\n    - one\n    # between\n    - 2\n    - three: 3\n      four: x\n\
    flow: {a: 1, b: [x, \"y\", 'z']}\nanchor: &a shared\nalias: *a\nclear_unencrypted: 42\nport: \"8080\"\ndashes: '---'\n\
    pem: |\n  -----BEGIN X-----\n  abc\n  -----END X-----\n# last\n";

fn as_json(yaml: &str, program: &Program) -> Value {
    program.write("plain.enc.yaml", yaml);
    program.encrypt("plain.enc.yaml");
    program.run(&["decrypt", "--json", "plain.enc.yaml"]).ok().json()
}

#[test]
fn real_sops_reads_our_yaml() {
    let Some(sops) = sops() else { return };
    let program = Program::new();
    program.write("x.yaml", YAML);
    program.encrypt("x.yaml");
    let text = program.read("x.yaml");
    for value in ["hello", "line one", "first", "inside", "shared"] {
        assert!(!text.contains(value), "{value} in clear");
    }
    let ran = finish(program.command(&sops).args(["decrypt", "--output-type", "json", "x.yaml"]), "").ok();
    assert!(!ran.stderr.contains("unencrypted comment"), "{}", ran.stderr);
    let real = ran.json();
    assert_eq!(real["nested"]["list"], json!(["one", 2, {"three": 3, "four": "x"}]));
    assert_eq!(real["block"], "line one\n  line two\n\nline three\n");
    assert_eq!(real["keep"], "kept\n\n\n");
    assert_eq!(real["port"], "8080");
    assert_eq!(real["octal"], 511);
    assert_eq!(real["alias"], "shared");
    assert_eq!(real["clear_unencrypted"], 42);
    let comments = finish(program.command(&sops).args(["decrypt", "x.yaml"]), "").ok().text();
    for comment in ["# first", "# about the block", "# inside", "# at the end", "# between", "# last"] {
        assert!(comments.contains(comment), "{comment} in {comments}");
    }
}

#[test]
fn we_read_the_yaml_of_real_sops() {
    let Some(sops) = sops() else { return };
    let program = Program::new();
    program.write("x.yaml", YAML);
    finish(program.command(&sops).args(["encrypt", "--in-place", "--age", &program.recipient, "x.yaml"]), "").ok();
    let ours = program.run(&["decrypt", "x.yaml"]).ok();
    assert!(!ours.text().contains("ENC["), "{}", ours.text());
    let theirs = finish(program.command(&sops).args(["decrypt", "x.yaml"]), "").ok().text();
    let whole = |mut json: Value| {
        // Real sops writes 2.0 as 2; ours stays a fraction.
        assert_eq!(json["whole"].as_f64(), Some(2.0));
        json["whole"] = Value::Null;
        json
    };
    assert_eq!(whole(as_json(&ours.text(), &program)), whole(as_json(&theirs, &program)));
    // To the real program a comment in a list is an element with an index.
    for (pointer, path) in [
        ("/block", "[\"block\"]"),
        ("/keep", "[\"keep\"]"),
        ("/double", "[\"double\"]"),
        ("/nested/list/2/four", "[\"nested\"][\"list\"][3][\"four\"]"),
    ] {
        let ours = program.run(&["decrypt", "x.yaml", "--pointer", pointer]).ok().text();
        let theirs = finish(program.command(&sops).args(["decrypt", "--extract", path, "x.yaml"]), "").ok();
        assert_eq!(ours, theirs.text(), "{pointer}");
    }
}

#[test]
fn json_both_ways() {
    let Some(sops) = sops() else { return };
    let program = Program::new();
    let plain = json!({"s": "ünï \"q\" <&>", "i": -7, "f": 1.25, "b": false, "n": null, "e": "", "l": [1, "a", {"k": []}], "o": {"p": {}}});
    for text in [serde_json::to_string_pretty(&plain).unwrap() + "\n", plain.to_string()] {
        program.write("x.json", &text);
        program.encrypt("x.json");
        assert_eq!(finish(program.command(&sops).args(["decrypt", "x.json"]), "").ok().json(), plain);
        assert_eq!(program.decrypt("x.json"), text);
    }
    program.write("y.json", plain.to_string());
    finish(program.command(&sops).args(["encrypt", "--in-place", "--age", &program.recipient, "y.json"]), "").ok();
    assert_eq!(program.run(&["decrypt", "y.json"]).ok().json(), plain);
}

#[test]
fn dotenv_and_binary_both_ways() {
    let Some(sops) = sops() else { return };
    let program = Program::new();
    let bytes: Vec<u8> = (0..=255).collect();
    for (name, content) in [("x.env", b"# about\nA=1\nB= two words \nC=a\\nb\n\nD=\n".to_vec()), ("x.bin", bytes)] {
        program.write(name, &content);
        program.encrypt(name);
        let theirs = finish(program.command(&sops).args(["decrypt", name]), "").ok().stdout;
        // Real sops drops blank lines of dotenv.
        let squeezed = |bytes: &[u8]| String::from_utf8_lossy(bytes).replace("\n\n", "\n");
        if name == "x.env" {
            assert_eq!(squeezed(&theirs), squeezed(&content));
        } else {
            assert_eq!(theirs, content);
        }
        assert_eq!(program.run(&["decrypt", name]).ok().stdout, content);
        program.write("y", &content);
        let kind = if name == "x.env" { "dotenv" } else { "binary" };
        let sealed = finish(
            program.command(&sops).args([
                "encrypt",
                "--age",
                &program.recipient,
                "--input-type",
                kind,
                "--output-type",
                kind,
                "y",
            ]),
            "",
        );
        program.write(name, &sealed.ok().stdout);
        let ours = program.run(&["decrypt", name]).ok().stdout;
        if name == "x.env" { assert_eq!(squeezed(&ours), squeezed(&content)) } else { assert_eq!(ours, content) }
    }
}

#[test]
fn rules_of_the_tree_both_ways() {
    let Some(sops) = sops() else { return };
    let rules = [
        "encrypted_regex: ^(data|token)$",
        "unencrypted_regex: ^meta$",
        "encrypted_suffix: _secret",
        "unencrypted_suffix: _clear",
        "encrypted_comment_regex: seal",
        "unencrypted_comment_regex: leave",
        "encrypted_regex: ^data$\n    mac_only_encrypted: true",
    ];
    let text = "meta: one\ndata:\n  inner: two\ntoken: 3\na_secret: four\nb_clear: five\n# seal this\nsealed: six\n# leave this\nleft: seven\n";
    for rule in rules {
        let program = Program::new();
        program.write(
            ".sops.yaml",
            format!(
                "keys:\n  - &me {}\ncreation_rules:\n  - key_groups:\n      - age: [*me]\n    {rule}\n",
                program.recipient
            ),
        );
        program.write("x.yaml", text);
        program.run(&["encrypt", "--in-place", "x.yaml"]).ok();
        program.write("y.yaml", text);
        finish(program.command(&sops).args(["encrypt", "--in-place", "y.yaml"]), "").ok();
        let covered = |name: &str| {
            let text = program.read(name);
            text.lines().take_while(|line| *line != "sops:").map(|line| line.contains("ENC[")).collect::<Vec<_>>()
        };
        assert_eq!(covered("x.yaml"), covered("y.yaml"), "{rule}");
        assert_eq!(
            finish(program.command(&sops).args(["decrypt", "x.yaml"]), "").ok().text().replace("    inner", "  inner"),
            text,
            "{rule}"
        );
        assert_eq!(program.decrypt("y.yaml").replace("    inner", "  inner"), text, "{rule}");
    }
}

#[test]
fn key_groups_need_their_threshold() {
    let Some(sops) = sops() else { return };
    let program = Program::new();
    let others: Vec<String> = ["b", "c"]
        .iter()
        .map(|name| {
            program.run(&["keygen", &format!("{name}.key")]).ok().json()["recipients"][0].as_str().unwrap().to_owned()
        })
        .collect();
    let groups = format!("[{{age: [{}]}}, {{age: [{}]}}, {{age: [{}]}}]", program.recipient, others[0], others[1]);
    program.write(".sops.yaml", format!("creation_rules:\n  - shamir_threshold: 2\n    key_groups: {groups}\n"));
    let two = program.read("age.key") + &program.read("c.key");
    program.write("two.key", two);
    program.write("x.yaml", "a: secret\n");
    program.run(&["encrypt", "--in-place", "x.yaml"]).ok();
    let with = |key: &str| {
        finish(program.command(&sops).env("SOPS_AGE_KEY_FILE", program.path(key)).args(["decrypt", "x.yaml"]), "")
    };
    assert_eq!(with("two.key").ok().text(), "a: secret\n");
    assert_ne!(with("age.key").code, 0);
    program.write("x.yaml", "a: secret\n");
    finish(program.command(&sops).args(["encrypt", "--in-place", "x.yaml"]), "").ok();
    assert_eq!(program.run(&["decrypt", "-i", "two.key", "x.yaml"]).ok().text(), "a: secret\n");
    program.run(&["decrypt", "-i", "b.key", "x.yaml"]).fails(77);
}

#[test]
fn real_sops_reads_what_we_edit() {
    let Some(sops) = sops() else { return };
    let program = Program::new();
    program.write("x.yaml", YAML);
    finish(program.command(&sops).args(["encrypt", "--in-place", "--age", &program.recipient, "x.yaml"]), "").ok();
    let before = program.read("x.yaml");
    program.run_with(&["set", "x.yaml", "/nested/deep/deeper"], "changed\n").ok();
    let after = program.read("x.yaml");
    let differing = before.lines().zip(after.lines()).filter(|(a, b)| a != b).count();
    assert!(differing == 3 || differing == 2, "the value, the MAC and, a second later, the time: {differing}");
    assert_eq!(before.lines().count(), after.lines().count());
    program
        .run_with(
            &["set", "x.yaml"],
            r#"{"/new/a": "multi\nline\n", "/new/b": [1, {"c": true}], "/nested/list/-": "last"}"#,
        )
        .ok();
    program.run(&["unset", "x.yaml", "/flow/a", "/folded"]).ok();
    let real = finish(program.command(&sops).args(["decrypt", "--output-type", "json", "x.yaml"]), "").ok().json();
    assert_eq!(real["nested"]["deep"]["deeper"], "changed");
    assert_eq!(real["new"], json!({"a": "multi\nline\n", "b": [1, {"c": true}]}));
    assert_eq!(real["nested"]["list"][3], "last");
    assert!(real.get("folded").is_none() && real["flow"].get("a").is_none());
}

/// Under which key path a comment is encrypted depends on what it belongs to. Real sops says so where it does not agree.
#[test]
fn comments_belong_to_what_real_sops_thinks() {
    let Some(sops) = sops() else { return };
    let documents = [
        "l3:\n- it0 # ii\n# e1\n- it1\n# foot of the list\n\nk4: x\n",
        "m3:\n  m4:\n    l7: # il7\n      # e0\n      - it0\n  # back out\n# c8\nm8: # im8\n  # c9\n  k9: x\n",
        "m9:\n  l12:\n    - it0\n  # foot12\n# c13\n\n# d13\nk13: abc\n# foot13\n\nk14:\n",
        "d:\n- y\n  # deeper\n- k: v\n  # deeper again\nz: x\n",
        "l1: # il1\n- a0: x\n  b: y\n# at the end\n",
        "l5:\n- it0\n# e\n- it2 # ii\n# at the end\n",
        "a:\n  b: {c: 1} # flow\n  d: [x,\n    z]\n\n  # apart\n\nz: |\n  text\n# after a block\n",
    ];
    for text in documents {
        let program = Program::new();
        program.write("x.yaml", text);
        program.encrypt("x.yaml");
        let ran = finish(program.command(&sops).args(["decrypt", "x.yaml"]), "").ok();
        assert!(!ran.stderr.contains("unencrypted comment"), "{text}\n{}", ran.text());
        assert_eq!(program.decrypt("x.yaml"), text);
    }
}

/// What a fuzzer found once: anchors and tags on keys, commas at the end, folded text in brackets, blocks of blank lines.
#[test]
fn real_sops_reads_odd_yaml() {
    let Some(sops) = sops() else { return };
    let program = Program::new();
    let corpus = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus/secrets-yaml");
    let mut count = 0;
    for entry in std::fs::read_dir(corpus).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        program.write("x.yaml", &text);
        if text.contains("ENC[") {
            continue;
        }
        // What sops does not read is refused.
        if text.contains("\r-") || text.contains("\n\t#") || text.contains("e:}") {
            program.run(&["encrypt", "--in-place", "-r", &program.recipient, "x.yaml"]).fails(65);
            assert_eq!(program.read("x.yaml"), text);
            continue;
        }
        program.encrypt("x.yaml");
        let theirs =
            finish(program.command(&sops).args(["decrypt", "--output-type", "json", "x.yaml"]), "").ok().json();
        assert_eq!(program.run(&["decrypt", "--json", "x.yaml"]).ok().json(), theirs, "{}", path.display());
        count += 1;
    }
    assert!(count >= 9, "{count}");
}

/// YAML 1.2 allows tabs in the indentation of comments and blank lines; sops reads the file only where go-yaml does.
#[test]
fn tabs_are_taken_where_real_sops_takes_them() {
    let Some(sops) = sops() else { return };
    let program = Program::new();
    let read = [
        "a: b \t# c\n",
        "a:\tb\n",
        "a: b\n \t# c\nd: e\n",
        "a:\n- b\n  \t# c\n- d\n",
        "{\n\ta: b\n}\n",
        "a: |\n  x\n  \t\nd: e\n",
        "a: b\n  \n  \t# x\n  \t# y\nd: e\n",
        "a: b\n \tc\n",
        "# x\n\t# y\na: b\n",
        "a: b\n  \t",
    ];
    let refused = [
        "a: b\n\t\nc: d\n",
        "a: \"b\"\n \t# c\nd: e\n",
        "a: |\n  x\n\t# c\nd: e\n",
        "a:\n  - b\n  -\tc\n",
        "a:\n\t\n  b: c\n",
        "\t# x\na: b\n",
        "a: b\n\t",
        "a: b\n# c\n\t",
    ];
    for (text, good) in read.map(|text| (text, true)).into_iter().chain(refused.map(|text| (text, false))) {
        program.write("x.yaml", text);
        let theirs = finish(program.command(&sops).args(["encrypt", "--age", &program.recipient, "x.yaml"]), "");
        assert_eq!(theirs.code == 0, good, "{text:?} {}", theirs.stderr);
        let ours = program.run(&["encrypt", "--in-place", "-r", &program.recipient, "x.yaml"]);
        if good {
            ours.ok();
            let json = ["decrypt", "--output-type", "json", "x.yaml"];
            let theirs = finish(program.command(&sops).args(json), "").ok().json();
            assert_eq!(program.run(&["decrypt", "--json", "x.yaml"]).ok().json(), theirs, "{text:?}");
        } else {
            assert!(ours.fails(65).stderr.contains("a tab stands in the indentation"), "{text:?}");
        }
    }
}

/// Within braces go-yaml ends a word at a question mark, and takes a colon for a letter where no blank follows; names of anchors
/// are letters and digits to it. What it reads in another way, or not at all, is refused.
#[test]
fn what_real_sops_reads_otherwise_is_refused() {
    let program = Program::new();
    for text in ["{?a: 1}\n", "{a: http://x?y}\n", "a: [b?]\n", "{a:, b: 1}\n", "{a:}\n", "a: &b# c\n"] {
        program.write("x.yaml", text);
        program.run(&["encrypt", "--in-place", "-r", &program.recipient, "x.yaml"]).fails(65);
    }
    let text = "{\"?a\": 1, ? b : '?c', d : , e: &f-1 'http://x?y', \"g\":2}\n";
    program.write("x.yaml", text);
    program.encrypt("x.yaml");
    assert_eq!(program.decrypt("x.yaml"), text);
    let json = json!({"?a": 1, "b": "?c", "d": null, "e": "http://x?y", "g": 2});
    assert_eq!(program.run(&["decrypt", "--json", "x.yaml"]).ok().json(), json);
    if let Some(sops) = sops() {
        let theirs = finish(program.command(&sops).args(["decrypt", "--output-type", "json", "x.yaml"]), "").ok();
        assert_eq!(theirs.json(), json);
    }
}

/// A document in braces, whose block is written anew: the comma beside it stays.
#[test]
fn documents_in_braces_get_other_recipients() {
    let program = Program::new();
    let other = program.run(&["keygen", "other.key"]).ok().json()["recipients"][0].as_str().unwrap().to_owned();
    for (text, more) in
        [("{a: 1, b: \"x\"}\n", ""), ("{}\n", ""), ("{a: 1}", ""), ("{\n  a: 1, # one\n}\n", "--rotate")]
    {
        program.write("x.yaml", text);
        program.encrypt("x.yaml");
        let args = ["rekey", "-r", &program.recipient, "-r", &other, "x.yaml", more];
        program.run(&args[..6 + usize::from(!more.is_empty())]).ok();
        assert_eq!(program.run(&["decrypt", "-i", "other.key", "x.yaml"]).ok().text(), text);
        if text != "{}\n" {
            program.run_with(&["set", "x.yaml", "/a", "--json"], "2").ok();
            assert_eq!(program.run(&["decrypt", "--pointer", "/a", "x.yaml"]).ok().text(), "2");
        }
        if let Some(sops) = sops() {
            finish(program.command(&sops).args(["decrypt", "x.yaml"]), "").ok();
        }
    }
    // With the block first, as another program may write it.
    program.write("x.yaml", "{a: 1, b: 2}\n");
    program.encrypt("x.yaml");
    let sealed = program.read("x.yaml");
    let (values, block) =
        sealed.trim_end().trim_end_matches('}').trim_start_matches('{').split_once(", sops: ").unwrap();
    program.write("x.yaml", format!("{{sops: {block}}}, {values}}}\n"));
    program.run(&["rekey", "-r", &program.recipient, "-r", &other, "x.yaml"]).ok();
    assert_eq!(program.run(&["decrypt", "-i", "other.key", "x.yaml"]).ok().text(), "{a: 1, b: 2}\n");
}
