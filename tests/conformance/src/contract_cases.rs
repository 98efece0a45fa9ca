//! The cases of the contract, which are the same for every tool: made from what its descriptor says.

use serde_json::{Value, json};

use crate::{Case, Descriptor, Expectation, Output};

/// A text that must never be seen again.
const CANARY: &str = "CANARY-7f3a9c";

/// The cases of one tool.
pub(crate) fn of(tool: &Descriptor) -> Vec<Case> {
    let mut cases = Vec::new();
    cases.extend(about_the_tool(tool));
    cases.extend(bad_documents(tool));
    cases.extend(good_documents(tool));
    cases.extend(streams(tool));
    cases
}

struct Maker<'a> {
    tool: &'a Descriptor,
}

impl Maker<'_> {
    fn case(&self, name: &str, about: &str, args: &[&str], stdin: Option<String>, expect: Expectation) -> Case {
        Case::made(format!("{}/contract/{name}", self.tool.tool), about, args, stdin, expect)
    }

    /// Runs the descriptor's verb with JSON errors.
    fn reads(&self, name: &str, about: &str, stdin: String, expect: Expectation) -> Case {
        let mut args = vec!["--log-format", "json"];
        args.extend(self.tool.args.iter().map(String::as_str));
        self.case(name, about, &args, Some(stdin), expect)
    }

    /// Runs the descriptor's verb with a document that must be refused.
    fn refuses(&self, name: &str, about: &str, stdin: String, error: Value) -> Case {
        let expect = Expectation {
            exit: 65,
            stdout_empty: true,
            error: Some(error),
            stderr_is_json: true,
            ..Expectation::default()
        };
        self.reads(name, about, stdin, expect)
    }
}

fn about_the_tool(tool: &Descriptor) -> Vec<Case> {
    let make = Maker { tool };
    let usage = || Expectation { exit: 2, stdout_empty: true, ..Expectation::default() };
    let json_usage =
        Expectation { error: Some(json!({"exit": 2, "tool": tool.tool})), stderr_is_json: true, ..usage() };
    let mut cases = vec![
        make.case("usage", "an unknown flag is a usage error", &["--no-such-flag"], None, usage()),
        make.case(
            "usage-json",
            "usage errors are JSON too",
            &["--log-format", "json", "--no-such-flag"],
            None,
            json_usage,
        ),
        make.case("no-verb", "a missing verb is a usage error", &[], None, usage()),
        make.case(
            "help",
            "--help holds the table of exit codes",
            &["--help"],
            None,
            Expectation {
                stdout_contains: ["0", "65", "74", "75", "76", "78", "130"].map(String::from).into(),
                ..Expectation::default()
            },
        ),
        make.case(
            "version",
            "--version names the program",
            &["--version"],
            None,
            Expectation { stdout_contains: vec![tool.tool.clone()], ..Expectation::default() },
        ),
        make.case(
            "schemas",
            "--schema lists the documents",
            &["--schema"],
            None,
            Expectation { stdout_contains: tool.documents.clone(), ..Expectation::default() },
        ),
        make.case(
            "schema-unknown",
            "--schema of an unknown kind is a usage error",
            &["--schema", "no.such/v1"],
            None,
            usage(),
        ),
    ];
    for kind in &tool.documents {
        let expect = Expectation { stdout_is_schema: true, ..Expectation::default() };
        cases.push(make.case(
            &format!("schema-{}", kind.replace('/', "-")),
            "--schema prints a JSON Schema",
            &["--schema", kind],
            None,
            expect,
        ));
    }
    cases
}

fn bad_documents(tool: &Descriptor) -> Vec<Case> {
    let make = Maker { tool };
    let good = tool.document.to_string();
    let with = |key: &str, value: Value| {
        edited(&tool.document, |document| {
            document.insert(key.into(), value.clone());
        })
    };
    let own = tool.document.get("schema").cloned().unwrap_or_default();
    let other = json!({"schema": "someone.elses/v1"}).to_string();
    let mut cases = vec![
        make.refuses(
            "empty",
            "empty input is an error, since the step before may have failed",
            String::new(),
            json!({"code": "empty_input"}),
        ),
        make.refuses("no-json", "what is no JSON is refused", "fleet: yes\n".into(), json!({"code": "syntax"})),
        make.refuses(
            "cut",
            "a document that ends in the middle is refused",
            good[..good.len() - 1].into(),
            json!({"code": "syntax"}),
        ),
        make.refuses("no-object", "a document is an object", "[]".into(), json!({})),
        make.refuses("trailing-text", "text after the document is an error", format!("{good}\nx"), json!({})),
        make.refuses(
            "wrong-schema",
            "the wrong document in the pipe is refused",
            other,
            json!({"code": "wrong_schema", "pointer": "/schema"}),
        ),
        make.refuses(
            "no-schema",
            "a document says what it is",
            without(&tool.document, "schema"),
            json!({"code": "missing_schema"}),
        ),
        make.refuses(
            "unknown-key",
            "unknown keys are refused with their place",
            with("zzz", json!(1)),
            json!({"code": "unknown_field", "pointer": "/zzz"}),
        ),
        make.refuses(
            "duplicate-key",
            "a key that stands twice is refused",
            format!("{{\"schema\":{own},{}", good.trim_start().trim_start_matches('{')),
            json!({"code": "duplicate_key", "pointer": "/schema"}),
        ),
    ];
    let mut both_ids = make.refuses(
        "wrong-schema-names",
        "both ids are named",
        json!({"schema": "someone.elses/v1"}).to_string(),
        json!({}),
    );
    both_ids.expect.stderr_contains = vec!["someone.elses/v1".into(), own.as_str().unwrap_or_default().into()];
    cases.push(both_ids);
    let misspelt = edited(&tool.document, |_| {});
    if let Some(document) = renamed(&misspelt, tool) {
        let pointer = format!("{}/{}", tool.misspelt.inside, tool.misspelt.written);
        let mut case = make.refuses(
            "did-you-mean",
            "a misspelt key is met with the right one",
            document,
            json!({"code": "unknown_field", "pointer": pointer}),
        );
        case.expect.stderr_contains = vec![tool.misspelt.key.clone()];
        cases.push(case);
    }
    if let Some(pointer) = &tool.canary {
        let mut document = tool.canary_document.clone().unwrap_or_else(|| tool.document.clone());
        if let Some(place) = document.pointer_mut(pointer) {
            *place = json!(CANARY);
            let mut case = make.refuses(
                "canary",
                "a literal where a secret belongs is refused and not repeated",
                document.to_string(),
                json!({"pointer": pointer}),
            );
            case.expect.absent = vec![CANARY.into()];
            cases.push(case);
        }
    }
    let mut args: Vec<&str> = tool.args.iter().map(String::as_str).collect();
    args.push("{dir}/no-such-file.json");
    cases.push(make.case(
        "unreadable",
        "a file that is not there is 66",
        &args,
        None,
        Expectation { exit: 66, stdout_empty: true, ..Expectation::default() },
    ));
    cases
}

fn good_documents(tool: &Descriptor) -> Vec<Case> {
    let make = Maker { tool };
    let expect = || Expectation {
        exit: i32::from(tool.exit),
        stdout_schema: Some(tool.prints.clone()),
        ..Expectation::default()
    };
    let extended = edited(&tool.document, |document| {
        document.insert("$schema".into(), json!("https://example.org/schema.json"));
        document.insert("//".into(), json!("why this is so"));
        document.insert("x-mine".into(), json!({"anything": [1, 2]}));
    });
    // The same document with "schema" at its end, as a sorting editor would leave it.
    let mut keys: Vec<String> =
        tool.document.as_object().map(|object| object.keys().cloned().collect()).unwrap_or_default();
    keys.sort_by_key(|key| key == "schema");
    let reordered: Vec<String> = keys.iter().map(|key| format!("{}:{}", json!(key), tool.document[key])).collect();
    let mut same =
        make.reads("deterministic", "the same input gives the same bytes", tool.document.to_string(), expect());
    same.runs = if tool.deterministic { 3 } else { 1 };
    vec![
        make.reads(
            "good",
            "a good document is read, and what is printed fits its schema",
            tool.document.to_string(),
            expect(),
        ),
        make.reads("extensions", "comments, x-* keys and $schema are ignored", extended, expect()),
        make.reads("schema-last", "\"schema\" is accepted anywhere", format!("{{{}}}", reordered.join(",")), expect()),
        same,
    ]
}

fn streams(tool: &Descriptor) -> Vec<Case> {
    let make = Maker { tool };
    let good = tool.document.to_string();
    let mut full = make.reads(
        "full-device",
        "a full device is 74",
        good.clone(),
        Expectation { exit: 74, ..Expectation::default() },
    );
    full.output = Output::FullDevice;
    let mut closed =
        make.case("closed-pipe", "a closed pipe ends a reader quietly", &["--schema"], None, Expectation::default());
    closed.output = Output::ClosedPipe;
    let args: Vec<&str> = ["--output", "text"].into_iter().chain(tool.args.iter().map(String::as_str)).collect();
    let text = make.case(
        "text",
        "--output text is for people",
        &args,
        Some(good),
        Expectation { exit: i32::from(tool.exit), absent: vec!["\u{1b}[".into()], ..Expectation::default() },
    );
    vec![full, closed, text]
}

fn edited(document: &Value, edit: impl Fn(&mut serde_json::Map<String, Value>)) -> String {
    let mut document = document.clone();
    if let Some(object) = document.as_object_mut() {
        edit(object);
    }
    document.to_string()
}

fn without(document: &Value, key: &str) -> String {
    edited(document, |object| {
        object.remove(key);
    })
}

fn renamed(document: &str, tool: &Descriptor) -> Option<String> {
    let mut document: Value = serde_json::from_str(document).ok()?;
    let object = document.pointer_mut(&tool.misspelt.inside)?.as_object_mut()?;
    let value = object.remove(&tool.misspelt.key)?;
    object.insert(tool.misspelt.written.clone(), value);
    Some(document.to_string())
}
