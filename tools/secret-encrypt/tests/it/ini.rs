//! INI files: what go-ini reads, in the form that a person gave it.

use serde_json::json;

use crate::program::{Program, finish, sops};

/// Every kind of value and comment that INI has.
const INI: &str = "; above everything\n; in two lines\ntop = level\nempty =\n\n# about the section\n\n# apart\n[server] ; behind it\nhost=example.org\n\
    port : 8080 ; a port\n  ; two\n  ;;  lines\nname   = two words   # behind\nquoted = \"  spaced  \"\nsingle = 'it''\nsq = 'word'\n\
    hash = `a#b;c`\nmulti = \"\"\"first\nsecond\n  third\"\"\"\nnone = \"\"\n\n[clear_unencrypted]\nkey = seen\n\n[server]\nhost = again\n\n[empty]\n; the end\n";

#[test]
fn formatting_is_kept() {
    let program = Program::new();
    for text in [
        INI,
        "a = 1",
        "a = 1\n",
        "\n\na = 1\n\n\n",
        "[a]",
        "[a]\nb = c ; d",
        "[a] ; d\nb = c\n\n[e]\t# f\n",
        "[a]\r\n; x\r\n;\r\n; y\r\nb = c\r\n",
        ";\n; x\n\n;\n[a]\nb = c\n",
        "; only\n",
        "\n; only\n\n; two",
        "\u{feff}[a]\nb = c\n",
        "a=1\n# x\n\t# y\n  \n# z\nb: 2 # i\n",
        "x = `b` ; unread\n; next\ny = 1\n",
        "[a]\nb = one \\\n   two \\\n\t# three\nc = x\\\n\n",
        "a = \\\n  y\u{e9}\u{e9}s \\\r\n\\\n  \"level\" \\",
        "a = \"b'c\"\n[Service]\nExecStart=/bin/sh -c \"echo 1\"\nExec=\"a\" \"b\"\n",
    ] {
        program.write("x.ini", text);
        program.encrypt("x.ini");
        let sealed = program.read("x.ini");
        assert_eq!(program.decrypt("x.ini"), text, "{sealed}");
        for secret in ["above", "two lines", "level", "about", "apart", "behind", "example.org", "second", "unread"] {
            assert!(!sealed.contains(secret), "{secret} in {sealed}");
        }
        program.write("plain.ini", text);
        assert_eq!(program.run(&["encrypt", "--to", "x.ini", "plain.ini"]).ok().json()["changed"], false);
        assert_eq!(program.read("x.ini"), sealed);
    }
    assert!(program.run(&["decrypt", "x.ini", "--pointer", "/Service/Exec"]).ok().text() == "\"a\" \"b\"");
}

#[test]
fn real_sops_reads_ours() {
    let Some(sops) = sops() else { return };
    let program = Program::new();
    program.write("x.ini", INI);
    program.encrypt("x.ini");
    let theirs = finish(program.command(&sops).args(["decrypt", "--output-type", "json", "x.ini"]), "").ok();
    assert!(!theirs.stderr.contains("unencrypted comment"), "{}", theirs.stderr);
    let theirs = theirs.json();
    assert_eq!(theirs["DEFAULT"], json!({"top": "level", "empty": ""}));
    assert_eq!(theirs["clear_unencrypted"]["key"], "seen");
    // Of two sections of one name JSON keeps the last.
    assert_eq!(theirs["server"], json!({"host": "again"}));
    let text = finish(program.command(&sops).args(["decrypt", "x.ini"]), "").ok();
    assert!(!text.stderr.contains("unencrypted comment"), "{}", text.stderr);
    for (pointer, path) in [("/server/hash", "hash"), ("/server/multi", "multi"), ("/server/quoted", "quoted")] {
        let extract = format!("[\"server\"][\"{path}\"]");
        let theirs = finish(program.command(&sops).args(["decrypt", "--extract", &extract, "x.ini"]), "").ok().text();
        assert_eq!(program.run(&["decrypt", "x.ini", "--pointer", pointer]).ok().text(), theirs);
    }
    let text = text.text();
    for comment in
        ["; above everything\n; in two lines\n", "; a port", "two", "lines", "behind", "; about the section", "# apart"]
    {
        assert!(text.contains(comment), "{comment} in {text}");
    }
}

/// A unit file of systemd: what goes on on the next line stays there, encrypted, decrypted and with a new data key.
#[test]
fn continued_values_stay_on_their_lines() {
    let text = "[Service]\nExecStart = /bin/app \\\n    --token hunter2 \\\n    --port 8080\nUser = app\n";
    let program = Program::new();
    program.write("x.ini", text);
    program.encrypt("x.ini");
    let sealed = program.read("x.ini");
    assert_eq!(sealed.lines().take_while(|line| !line.is_empty()).count(), text.lines().count(), "{sealed}");
    assert!(sealed.contains("\\\n    ") && !sealed.contains("hunter2"), "{sealed}");
    let value = program.run(&["decrypt", "x.ini", "--pointer", "/Service/ExecStart"]).ok().text();
    assert_eq!(value, "/bin/app --token hunter2 --port 8080");
    program.run(&["rekey", "--rotate", "-r", &program.recipient, "x.ini"]).ok();
    assert_ne!(program.read("x.ini"), sealed);
    assert_eq!(program.decrypt("x.ini"), text);
    if let Some(sops) = sops() {
        let extract = "[\"Service\"][\"ExecStart\"]";
        let theirs = finish(program.command(&sops).args(["decrypt", "--extract", extract, "x.ini"]), "").ok();
        assert_eq!(theirs.text(), value);
    }
    // Another value has no lines to go by.
    program.run_with(&["set", "x.ini", "/Service/ExecStart"], "/bin/other").ok();
    assert_eq!(program.decrypt("x.ini"), "[Service]\nExecStart = /bin/other\nUser = app\n");
    // A line break that somebody moved loses its place, and nothing of the value.
    program.write("y.ini", "a = \u{e9}\u{e9}\u{e9}\u{e9} \\\n  b\n");
    program.encrypt("y.ini");
    let sealed = program.read("y.ini");
    let (head, tail) = sealed.split_once("\\\n  ").unwrap();
    let (head, moved) = head.split_at(head.len() - 4);
    program.write("y.ini", format!("{head}\\\n  {moved}{tail}"));
    assert_eq!(program.run(&["decrypt", "y.ini", "--pointer", "/DEFAULT/a"]).ok().text(), "\u{e9}\u{e9}\u{e9}\u{e9} b");
    program.decrypt("y.ini");
}

#[test]
fn we_read_what_real_sops_writes() {
    let Some(sops) = sops() else { return };
    let program = Program::new();
    program.write("x.ini", INI);
    finish(program.command(&sops).args(["encrypt", "--in-place", "--age", &program.recipient, "x.ini"]), "").ok();
    let theirs = finish(program.command(&sops).args(["decrypt", "x.ini"]), "").ok().text();
    // Sops puts a blank into `;;`, which is no more than how it writes a comment.
    assert_eq!(program.decrypt("x.ini"), theirs.replace("; ;  lines", ";;  lines"));
    let ours = program.run(&["decrypt", "--json", "x.ini"]).ok().json();
    assert_eq!(ours["server"]["multi"], "first\nsecond\n  third");
    assert_eq!(ours["server#2"]["host"], "again");
    assert_eq!(ours["DEFAULT"]["top"], "level");
    // A change by us is read by sops, and leaves every other line alone.
    let before = program.read("x.ini");
    program.run_with(&["set", "x.ini", "/server/host"], "else#where").ok();
    let after = program.read("x.ini");
    let differing = before.lines().zip(after.lines()).filter(|(a, b)| a != b).count();
    assert!(before.lines().count() == after.lines().count() && (2..=3).contains(&differing), "{differing}");
    let extract = "[\"server\"][\"host\"]";
    let theirs = finish(program.command(&sops).args(["decrypt", "--extract", extract, "x.ini"]), "").ok();
    assert_eq!(theirs.text(), "else#where");
}

#[test]
fn values_are_put_and_taken_away() {
    let program = Program::new();
    program.write("x.ini", "; head\n\n; about a\na=1\n[s]\nb = 2\n\n; about t\n[t]\nc = 3\n; end\n");
    program.encrypt("x.ini");
    program
        .run_with(
            &["set", "x.ini"],
            r#"{"/s/b": "two", "/s/d": "x#y", "/u/e": "multi\nline", "/DEFAULT/z": 5, "/t": {"f": true}}"#,
        )
        .ok();
    assert_eq!(
        program.decrypt("x.ini"),
        "; head\n\n; about a\na=1\nz=5\n[s]\nb = two\nd = `x#y`\n\n; about t\n[t]\nc = 3\nf = true\n\n[u]\ne = \"\"\"multi\nline\"\"\"\n; end\n"
    );
    // A section goes with what stands above it; what stands above a key stays.
    program.run(&["unset", "x.ini", "/DEFAULT/a", "/t"]).ok();
    assert_eq!(
        program.decrypt("x.ini"),
        "; head\n\n; about a\nz=5\n[s]\nb = two\nd = `x#y`\n\n[u]\ne = \"\"\"multi\nline\"\"\"\n; end\n"
    );
    // As with sops, which keeps it as well (and counts it to the key before).
    program.write("z.ini", "[s]\ny = 0\n; about a\na = 1 ; behind\n\n[t]\nb = 2\n");
    program.encrypt("z.ini");
    std::fs::copy(program.path("z.ini"), program.path("theirs.ini")).unwrap();
    program.run(&["unset", "z.ini", "/s/a"]).ok();
    assert_eq!(program.decrypt("z.ini"), "[s]\ny = 0\n; about a\n\n[t]\nb = 2\n");
    if let Some(sops) = sops() {
        finish(program.command(&sops).args(["unset", "theirs.ini", "[\"s\"][\"a\"]"]), "").ok();
        let theirs = finish(program.command(&sops).args(["decrypt", "theirs.ini"]), "").ok().text();
        assert!(theirs.contains("; about a") && !theirs.contains("a = 1"), "{theirs}");
        let ours = finish(program.command(&sops).args(["decrypt", "z.ini"]), "").ok().text();
        assert!(ours.contains("; about a") && !ours.contains("a = 1"), "{ours}");
    }
    for (pointer, value) in [("/s/b/c", "x"), ("/only", "x"), ("/s/n", "[1]")] {
        program
            .run_with(&["set", "x.ini", pointer, "--json"], format!("{value:?}").replace("\"[1]\"", "[1]"))
            .fails(65);
    }
    program.run_with(&["set", "x.ini", "/sops/mac"], "x").fails(2);
    // A quote in a comment behind the value is none of the value's.
    program.write("c.ini", "[s_unencrypted]\na = 1 # it`s\n");
    program.encrypt("c.ini");
    program.run_with(&["set", "c.ini", "/s_unencrypted/a"], "x;y").ok();
    assert!(program.read("c.ini").contains("a = \"\"\"x;y\"\"\" # it`s\n"), "{}", program.read("c.ini"));
    if let Some(sops) = sops() {
        let theirs = finish(program.command(&sops).args(["decrypt", "c.ini"]), "").ok().text();
        assert!(theirs.contains("a = `x;y`"), "{theirs}");
    }
    program.run_with(&["set", "c.ini", "/s_unencrypted/a"], "z").ok();
    assert_eq!(program.run(&["decrypt", "c.ini", "--pointer", "/s_unencrypted/a"]).ok().text(), "z");
    for text in ["[a]\nb = 1\nb = 2\n", "[a\n", "word\n", "[sops]\nmac = x\n", "a = `x\n", "a = \"\"\""] {
        program.write("y.ini", text);
        program.run(&["encrypt", "--in-place", "-r", &program.recipient, "y.ini"]).fails(65);
        assert_eq!(program.read("y.ini"), text);
    }
}
