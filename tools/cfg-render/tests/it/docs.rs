//! Pictures from outside: everything is in them, nothing in a name breaks them, and they are always the same.

use std::io::Write;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::run::{cfg_render, fleet, fleets, peer, text};

const VIEWS: [&str; 6] = ["network", "dependencies", "zones", "secrets", "backup", "dns"];

/// Names and texts that mean something in Mermaid, XML, HTML, YAML or a terminal.
fn hostile() -> Value {
    let text =
        "\"quo'te\" <script>alert(1)</script> & #35; `tick` ]]> --> %% {a} | end;\u{1b}[31m\u{0}\nnext 漢字 \u{202e}";
    json!({
        "schema": "fleet/v1",
        "name": text,
        "domain": "x.test",
        "networks": { "end": { "description": text, "cidrs": ["10.0.0.0/8"] } },
        "hosts": {
            "end": { "description": text, "addresses": { "public": ["192.0.2.1"], "end": ["10.0.0.1"] } },
            "subgraph": { "addresses": { "end": ["10.0.0.2"] } }
        },
        "buckets": { "graph": { "purpose": text } },
        "services": {
            "class": { "description": text, "host": "end", "run": { "static": { "root": "/x" } }, "proxy": [{ "reason": text }], "needs": ["style"], "buckets": ["graph"], "backup": { "none": text } },
            "style": { "host": "subgraph", "run": { "package": {} }, "ports": { "http": 80 }, "wants": ["class"], "backup": { "paths": [text] } }
        },
        "dns": { "zones": { "x.test": {} } },
        "backups": { "repositories": { "end": { "uri": text, "password": { "secret": "p" } } }, "plans": { "end": {} } }
    })
}

fn all_fleets() -> Vec<Value> {
    let mut names: Vec<_> =
        std::fs::read_dir(fleets()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    let fleets = names
        .iter()
        .filter(|name| std::path::Path::new(name).extension().is_some_and(|extension| extension == "json"))
        .map(|name| fleet(name));
    fleets.chain([hostile(), json!({ "schema": "fleet/v1", "name": "empty" })]).collect()
}

fn views(fleet: &Value) -> Vec<String> {
    let services = fleet["services"].as_object().into_iter().flatten().map(|(name, _)| format!("request:{name}"));
    VIEWS.iter().map(|view| (*view).to_owned()).chain(services.take(3)).collect()
}

fn draw(fleet: &Value, format: &str, view: &str) -> String {
    text(&["docs", "--format", format, "--view", view], fleet)
}

#[test]
fn everything_declared_is_in_the_pictures() {
    for fleet in all_fleets() {
        let of = |key: &str| -> Vec<String> {
            let entries = fleet[key].as_object().into_iter().flatten();
            entries.filter(|(_, entry)| entry["enable"] != false).map(|(name, _)| name.clone()).collect()
        };
        for format in ["mermaid", "ascii", "svg", "html"] {
            let network = draw(&fleet, format, "network");
            let dependencies = draw(&fleet, format, "dependencies");
            for name in of("hosts").iter().chain(&of("services")).chain(&of("networks")) {
                let name = if format == "mermaid" { name.replace('_', "#95;") } else { name.clone() };
                assert!(network.contains(&name), "{format}: {name} is missing in {network}");
            }
            for name in of("services").iter().chain(&of("databases")) {
                assert!(dependencies.contains(name), "{format}: {name} is missing in {dependencies}");
            }
        }
    }
}

#[test]
fn the_same_fleet_gives_the_same_bytes() {
    for fleet in all_fleets() {
        for view in views(&fleet) {
            for format in ["mermaid", "ascii", "svg", "html"] {
                assert_eq!(draw(&fleet, format, &view), draw(&fleet, format, &view));
            }
        }
    }
}

#[test]
fn svg_is_well_formed_and_html_has_no_scripts() {
    let xmllint = peer("xmllint", "apt-get install libxml2-utils");
    for fleet in all_fleets() {
        for view in views(&fleet) {
            let svg = draw(&fleet, "svg", &view);
            assert!(svg.contains("<title") && svg.contains("<desc") && svg.contains("prefers-color-scheme:dark"));
            assert!(!svg.contains("<script") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            let Some(xmllint) = &xmllint else { continue };
            let output = feed(Command::new(xmllint).args(["--noout", "--nonet", "-"]), &svg);
            assert!(output.status.success(), "{view}: {}\n{svg}", String::from_utf8_lossy(&output.stderr));
        }
        let html = draw(&fleet, "html", "network");
        for never in ["<script", "http-equiv", "<link", "<img", "@import"] {
            assert!(!html.contains(never), "{never}");
        }
        assert!(!html.replace("http://www.w3.org/2000/svg", "").contains("url(http"));
    }
}

#[test]
fn text_holds_no_control_characters() {
    for view in views(&hostile()) {
        let drawn = draw(&hostile(), "ascii", &view);
        assert!(drawn.chars().all(|c| c == '\n' || !c.is_control()), "{drawn:?}");
    }
}

#[test]
fn boxes_line_up() {
    let drawn = draw(&fleet("first.json"), "ascii", "network");
    for line in drawn.lines().filter(|line| line.starts_with('│')) {
        assert!(line.ends_with('│') || line.contains("Internet"), "{drawn}");
    }
    let tops = drawn.matches('┌').count();
    assert!(tops >= 3 && drawn.matches('▼').count() >= 1, "{drawn}");
}

#[test]
fn an_unknown_service_is_named_with_the_nearest() {
    let output = cfg_render(&["docs", "--view", "request:sit"], &fleet("first.json").to_string());
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(2));
    assert!(error.contains("did you mean request:site?"), "{error}");
    let output = cfg_render(&["docs", "--view", "nonsense"], "");
    assert_eq!(output.status.code(), Some(2));
}

/// Mermaid itself reads every diagram. It is looked for in the directory that `MERMAID_HOME` names.
#[test]
#[allow(clippy::print_stderr)]
fn mermaid_reads_every_diagram() {
    let install = "mkdir m && npm --prefix m install mermaid@11 jsdom@26, then MERMAID_HOME=$PWD/m";
    let home = std::env::var("MERMAID_HOME").unwrap_or_default();
    if !std::path::Path::new(&home).join("node_modules/mermaid").exists() {
        assert!(
            std::env::var("PLUMBLINE_REQUIRE_PEERS").as_deref() != Ok("1"),
            "mermaid is missing (install: {install})"
        );
        eprintln!("skipped: mermaid's own parser (install: {install})");
        return;
    }
    let mut diagrams = Vec::new();
    for fleet in all_fleets() {
        diagrams.extend(views(&fleet).iter().map(|view| draw(&fleet, "mermaid", view)));
    }
    let script = "
        const { JSDOM } = await import('jsdom');
        const dom = new JSDOM('');
        for (const name of ['window', 'document', 'Element', 'Node', 'DocumentFragment']) globalThis[name] = name === 'window' ? dom.window : dom.window[name];
        const { default: mermaid } = await import('mermaid');
        let text = '';
        for await (const part of process.stdin) text += part;
        for (const diagram of JSON.parse(text)) {
            try { await mermaid.parse(diagram); } catch (error) { console.error(diagram, String(error)); process.exitCode = 1; }
        }";
    let mut node = Command::new("node");
    let output = feed(
        node.args(["--input-type=module", "-e", script]).current_dir(&home),
        &serde_json::to_string(&diagrams).unwrap(),
    );
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

fn feed(command: &mut Command, text: &str) -> std::process::Output {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(text.as_bytes()).unwrap();
    child.wait_with_output().unwrap()
}
