//! Documents that are good or bad, without a network.

use std::path::Path;

use serde_json::{Value, json};

use crate::program::{desired, run};

fn zonefile(records: Value) -> String {
    desired(&json!({"zonefile": {"directory": "zones"}}), "owned", records)
}

fn check(document: &str) -> crate::program::Run {
    run(Path::new("/"), &["check"], document)
}

#[test]
fn every_mistake_is_found_in_one_run() {
    let document = zonefile(json!([
        {"name": "www.example.org", "A": ["192.0.2.1"]},
        {"name": "out.example.net.", "A": ["192.0.2.1"]},
        {"name": "@", "CNAME": "www"},
        {"name": "both", "CNAME": "x.example.net."},
        {"name": "both", "A": ["192.0.2.1"]},
        {"name": "l1", "CNAME": "l2"},
        {"name": "l2", "CNAME": "l1"},
        {"name": "ttl", "ttl": 60, "A": ["192.0.2.1"]},
        {"name": "ttl", "ttl": 90, "A": ["192.0.2.2"]},
        {"name": "none"},
        {"name": "two", "A": ["192.0.2.1"], "TXT": ["x"]},
        {"name": "empty", "A": []},
        {"name": "@", "NS": ["ns"]},
        {"name": "soa", "OTHER": {"type": "SOA", "values": ["a b 1 2 3 4 5"]}},
        {"name": "type", "OTHER": {"type": "TXTT", "values": ["x"]}},
        {"name": "a.*.b", "A": ["192.0.2.1"]},
        {"name": "_plumbline", "TXT": ["x"]},
        {"name": "mx", "MX": [{"preference": 1, "exchange": "192.0.2.1"}]},
        {"name": "null", "MX": [{"preference": 0, "exchange": "."}, {"preference": 1, "exchange": "mail.example.net."}]},
        {"name": "ssh", "SSHFP": [{"algorithm": 4, "hash": 2, "fingerprint": "abcd"}]},
        {"name": "caa", "CAA": [{"tag": "is sue", "value": "x"}]},
        {"name": "_acme-challenge", "TXT": ["x"]},
        {"name": "alias", "ALIAS": "www.example.net."},
        {"name": "edge", "A": ["192.0.2.1"], "proxied": true},
        {"name": "x".repeat(64), "A": ["192.0.2.1"]},
        {"name": "big", "ttl": 4_000_000_000_u32, "A": ["192.0.2.1"]},
        {"name": "https", "HTTPS": ["1 . port=x"]},
        {"name": "dup", "A": ["192.0.2.1", "192.0.2.1"]},
        {"name": "srv", "SRV": [{"priority": 0, "weight": 0, "port": 1, "target": "nowhere"}]},
        {"name": "mx2", "MX": [{"preference": 1, "exchange": "l1"}]},
    ]));
    let findings = check(&document).json(1);
    let mut found: Vec<(&str, &str)> = findings["findings"]
        .as_array()
        .unwrap()
        .iter()
        .map(|finding| (finding["code"].as_str().unwrap(), finding["pointer"].as_str().unwrap()))
        .collect();
    found.sort_unstable();
    let mut wanted = vec![
        ("name-without-dot", "/zones/0/records/0/name"),
        ("out-of-zone", "/zones/0/records/1/A"),
        ("cname-at-apex", "/zones/0/records/2/CNAME"),
        ("dangling-target", "/zones/0/records/2/CNAME"),
        ("cname-not-alone", "/zones/0/records/3/CNAME"),
        ("cname-loop", "/zones/0/records/5/CNAME"),
        ("cname-loop", "/zones/0/records/6/CNAME"),
        ("ttl-clash", "/zones/0/records/8/A"),
        ("no-type", "/zones/0/records/9"),
        ("several-types", "/zones/0/records/10"),
        ("no-values", "/zones/0/records/11/A"),
        ("apex-ns", "/zones/0/records/12/NS"),
        ("protected-type", "/zones/0/records/13/OTHER"),
        ("unknown-type", "/zones/0/records/14/OTHER/type"),
        ("bad-wildcard", "/zones/0/records/15/A"),
        ("reserved-name", "/zones/0/records/16/TXT"),
        ("target-is-address", "/zones/0/records/17/MX/0/exchange"),
        ("null-mx-not-alone", "/zones/0/records/18/MX"),
        ("bad-digest", "/zones/0/records/19/SSHFP/0/fingerprint"),
        ("bad-value", "/zones/0/records/20/CAA/0"),
        ("declared-but-ignored", "/zones/0/records/21/TXT"),
        ("no-alias", "/zones/0/records/22/ALIAS"),
        ("no-proxy", "/zones/0/records/23/proxied"),
        ("bad-name", "/zones/0/records/24/name"),
        ("bad-ttl", "/zones/0/records/25/ttl"),
        ("bad-value", "/zones/0/records/26/HTTPS/0"),
        ("duplicate-value", "/zones/0/records/27/A"),
        ("dangling-target", "/zones/0/records/28/SRV"),
        ("service-name", "/zones/0/records/28/SRV"),
        ("target-is-cname", "/zones/0/records/29/MX"),
    ];
    wanted.sort_unstable();
    assert_eq!(found, wanted);
    // The same stops a plan, and every error names its line.
    let plan = run(Path::new("/"), &["plan"], &document);
    plan.expect(65);
    assert!(plan.stdout.is_empty() && plan.stderr.lines().count() > 20);
    assert!(plan.stderr.lines().all(|line| line.contains("\"line\":1")), "{}", plan.stderr);
}

#[test]
fn zones_and_providers_are_looked_at() {
    let document = json!({
        "schema": "dns.desired/v1", "owner": "a owner",
        "providers": {"ns": {}, "two": {"zonefile": {"directory": "z"}, "rfc2136": {"server": "ns1:53",
            "tsig": {"name": "a..b", "secret": {"secret": "x"}}}}},
        "zones": [
            {"name": "example.org", "provider": "nss", "records": []},
            {"name": "Example.ORG.", "provider": "ns", "records": []},
            {"name": ".", "provider": "ns", "records": []},
        ],
    });
    let findings = check(&document.to_string()).json(1);
    let codes: Vec<&str> =
        findings["findings"].as_array().unwrap().iter().map(|finding| finding["code"].as_str().unwrap()).collect();
    let wanted = [
        "bad-owner",
        "provider-kind",
        "provider-kind",
        "bad-address",
        "bad-name",
        "unknown-provider",
        "duplicate-zone",
        "bad-name",
    ];
    assert_eq!(codes, wanted);
    assert!(findings.to_string().contains("did you mean \\\"ns\\\"?"), "{findings}");
}

#[test]
fn good_documents_have_no_findings() {
    let document = zonefile(json!([
        {"name": "@", "A": ["192.0.2.1"]},
        {"name": "*", "CNAME": "@"},
        {"name": "anything.below", "MX": [{"preference": 1, "exchange": "mail"}]},
        {"name": "_sip._udp", "SRV": [{"priority": 0, "weight": 0, "port": 5060, "target": "sip.example.net."}]},
        {"name": "_acme-challenge", "CNAME": "challenges.example.net."},
    ]));
    assert_eq!(check(&document).json(0)["findings"], json!([]));
}

#[test]
fn what_this_build_does_not_do_is_said() {
    for kind in ["cloudflare", "hetzner", "desec", "scaleway"] {
        let document = desired(&json!({kind: {"token": {"secret": "t"}}}), "owned", json!([]));
        for verb in ["check", "plan", "apply", "verify"] {
            let error = run(Path::new("/"), &[verb], &document).fails(69, "unsupported_provider");
            assert_eq!(error["pointer"], "/providers/p");
            assert!(error["message"].as_str().unwrap().contains(kind));
        }
    }
    let mut document: Value = serde_json::from_str(&zonefile(json!([]))).unwrap();
    document["tunnels"] = json!([{"name": "t", "provider": "p", "routes": []}]);
    check(&document.to_string()).fails(69, "unsupported_part");
}

#[test]
fn mistakes_of_form_are_refused() {
    let good = zonefile(json!([{"name": "www", "A": ["192.0.2.1"]}]));
    let go = |document: &str| run(Path::new("/"), &["plan"], document);
    go("").fails(65, "empty_input");
    go(&good.replace("records", "recrods")).fails(65, "unknown_field");
    go(&good.replace("dns.desired/v1", "dns.plan/v1")).fails(65, "wrong_schema");
    go(&good.replace("192.0.2.1", "192.0.2.256")).fails(65, "invalid_value");
    go(&format!("{good} {good}")).fails(65, "trailing_text");
    run(Path::new("/"), &["plan", "--zone", "exmple.org"], &good).fails(2, "usage");
    let secret = desired(
        &json!({"rfc2136": {"server": "192.0.2.53:53", "tsig": {"name": "k", "secret": "canary-value"}}}),
        "owned",
        json!([]),
    );
    let refused = go(&secret);
    refused.expect(65);
    assert!(!refused.stderr.contains("canary"), "{}", refused.stderr);
}

/// The README's document is a good one, and its command lines are those of the program.
#[test]
fn the_readme_is_true() {
    let readme = include_str!("../../README.md");
    let block = |kind: &str| readme.split(&format!("```{kind}\n")).nth(1).unwrap().split("```").next().unwrap();
    assert_eq!(check(block("json")).json(0)["findings"], json!([]));
    for line in block("sh").lines() {
        let words: Vec<&str> =
            line.split('#').next().unwrap().split('>').next().unwrap().split_whitespace().skip(1).collect();
        // A file that is not there: the command line was understood.
        let run = run(Path::new("/nonexistent").parent().unwrap(), &words, "");
        assert_eq!(run.code, 66, "{line}: {}", run.stderr);
    }
}
