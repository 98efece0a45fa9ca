//! What is encrypted comes back as it was, byte for byte, and a second encryption writes nothing.

use proptest::prelude::*;

use crate::program::Program;

const PRETTY: &str = "# head a\na: # after a\n  # head b\n  b: |  # on the header\n\n    line1\n     line2\n\n  c: >-\n    folded\n  # foot of c\n\n\
    # head d\nd:\n- x # inline x\n# before y\n- y\n  # deeper\n- k: v\n  # head l\n  l: \"q\"\n-\n  - nested\n\
    f: &anc plain\nh: {a: 1, b: [\"y\", z]} # flow\ni:\nj: ~\nk: |+\n  keep\n\n\nm: 2.5\nü: \"ünï\\tcode 🦀\"\nbool: true\n'q': 'it''s'\n\
    x_unencrypted:   clear # here too\nmulti: \"a\\nb\"\nurl: http://h:80/p?q#f\n\n# tail\n";

#[test]
fn formatting_is_kept() {
    let program = Program::new();
    for text in [
        PRETTY,
        "a: 1",
        "a: b\n\n\n",
        "---\na: b\n...\n",
        "---\n# c\na: b\n---\nc: d\n",
        "{a: 1, b: \"x\"}\n",
        "{}\n",
        "  a: b\n  c:\n      d: e\n",
        "a: b\r\nc: d\r\n",
    ] {
        program.write("x.yaml", text);
        program.encrypt("x.yaml");
        assert_eq!(program.decrypt("x.yaml"), text);
    }
}

#[test]
fn a_second_encryption_writes_nothing_and_a_change_only_itself() {
    let program = Program::new();
    program.write("plain.yaml", PRETTY);
    program.write("x.yaml", PRETTY);
    program.encrypt("x.yaml");
    let before = program.read("x.yaml");
    let result = program.run(&["encrypt", "--to", "x.yaml", "plain.yaml"]).ok().json();
    assert_eq!((&result["changed"], program.read("x.yaml")), (&serde_json::json!(false), before.clone()));
    program.write("plain.yaml", PRETTY.replace("k: v", "k: w").replace("# tail", "# the tail"));
    assert_eq!(program.run(&["encrypt", "--to", "x.yaml", "plain.yaml"]).ok().json()["changed"], true);
    let after = program.read("x.yaml");
    let differing = before.lines().zip(after.lines()).filter(|(a, b)| a != b).count();
    assert!(differing == 4 || differing == 3, "a value, a comment, the MAC and, a second later, the time");
    assert!(program.decrypt("x.yaml").contains("k: w"));
}

/// Blocks in lists, whose headers end in a dash once they are encrypted: comments behind those belong to the list.
#[test]
fn blocks_in_lists_keep_their_ciphertext_and_their_place() {
    let program = Program::new();
    for text in [
        "d:\n- | # inline\n  x\nc: 1\n",
        "d:\n  - |\n    x\n    y\n  - >-\n    z\n",
        "d:\n- - |+ # c\n    x\n\n  - y\n",
    ] {
        program.write("x.yaml", text);
        program.write("plain.yaml", text);
        program.encrypt("x.yaml");
        assert_eq!(program.decrypt("x.yaml"), text);
        assert_eq!(program.run(&["encrypt", "--to", "x.yaml", "plain.yaml"]).ok().json()["changed"], false, "{text}");
    }
    program.write("x.yaml", "d:\n  - | # c\n    x\nc: 1\n");
    program.encrypt("x.yaml");
    program.run_with(&["set", "x.yaml", "/d/-"], "new").ok();
    program.run_with(&["set", "x.yaml", "/d/0"], "other").ok();
    assert_eq!(program.decrypt("x.yaml"), "d:\n  - other # c\n  - new\nc: 1\n");
}

/// Lines of a mapping at a depth, in many styles.
fn document() -> impl Strategy<Value = String> {
    let word = "[a-zA-Zé/_.!-]{0,3}[a-z][a-zA-Z0-9 é:#',\\[\\]{}&*@/_.!-]{0,12}[a-z]";
    let scalar = prop_oneof![
        "[a-z][a-z0-9/:.@+-]{0,14}[a-z]",
        word.prop_map(|text| format!("\"{text}\"")),
        word.prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
        any::<i32>().prop_map(|number| number.to_string()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("\"\"".to_owned()),
        Just(String::new()),
        "[a-z]{1,5}".prop_map(|text| format!("[\"{text}\", 1, {text}x]")),
    ];
    let line = (
        scalar,
        prop::option::of(" # ?[a-z ü:]{0,8}[a-z]"),
        prop::option::of("# ?[a-z: #\"']{0,10}[a-z]"),
        any::<bool>(),
    );
    let block = ("[a-z][a-z #:-]{0,8}[a-z]", "[a-z ]{0,6}[a-z]", prop_oneof![Just("|"), Just("|-")]);
    let entry = prop_oneof![
        4 => line.prop_map(|(scalar, inline, above, blank)| (Some((scalar, inline, above, blank)), None)),
        1 => block.prop_map(|block| (None, Some(block))),
    ];
    (prop::collection::vec((entry, 0..3_usize), 1..12), any::<bool>()).prop_map(|(entries, end)| {
        let mut out = String::new();
        let mut depth = 0;
        for (index, ((line, block), wanted)) in entries.into_iter().enumerate() {
            let indent = "  ".repeat(depth);
            match (line, block) {
                (Some((scalar, inline, above, blank)), _) => {
                    if blank {
                        out.push('\n');
                    }
                    if let Some(above) = above {
                        out.push_str(&format!("{indent}{above}\n"));
                    }
                    out.push_str(&format!("{indent}k{index}: {scalar}{}\n", inline.unwrap_or_default()));
                }
                (None, Some((first, second, header))) => {
                    out.push_str(&format!("{indent}k{index}: {header}\n{indent}    {first}\n\n{indent}    {second}\n"));
                }
                (None, None) => {}
            }
            match wanted {
                1 if depth < 3 => {
                    out.push_str(&format!("{indent}m{index}:\n"));
                    depth += 1;
                    out.push_str(&format!("{}first: x\n", "  ".repeat(depth)));
                }
                2 if depth > 0 => depth -= 1,
                _ => {}
            }
        }
        if end { out } else { out.trim_end().to_owned() }
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]
    #[test]
    fn any_document_comes_back(text in document()) {
        let program = Program::new();
        program.write("x.yaml", &text);
        program.encrypt("x.yaml");
        let sealed = program.read("x.yaml");
        prop_assert!(!sealed.lines().take_while(|line| *line != "sops:").any(|line| line.contains(": x")), "{}", sealed);
        prop_assert_eq!(program.decrypt("x.yaml"), text.clone());
        program.write("plain.yaml", &text);
        program.run(&["encrypt", "--to", "x.yaml", "plain.yaml"]).ok();
        prop_assert_eq!(program.read("x.yaml"), sealed);
    }
}
