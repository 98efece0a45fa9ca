//! Against BIND and Knot.

use serde_json::{Value, json};

use crate::peer::{Kind, Server, free_port, have, private};
use crate::program::counts;

macro_rules! on_both {
    ($($name:ident),* $(,)?) => {
        mod bind { $(#[test] fn $name() { if let Some(server) = super::Server::start(super::Kind::Bind) { super::$name(&server); } })* }
        mod knot { $(#[test] fn $name() { if let Some(server) = super::Server::start(super::Kind::Knot) { super::$name(&server); } })* }
    };
}

on_both!(
    records_come_change_and_go,
    every_type_is_equal_to_itself,
    a_thousand_records,
    the_wrong_key_is_refused,
    a_plan_of_yesterday_is_stale,
    foreign_sets_stay,
    what_has_no_effect_is_reported,
    servers_are_verified,
    an_apply_can_be_taken_back,
    apex_name_servers_can_be_managed,
    two_owners_share_a_zone,
    many_deletions_take_consent,
);

fn records_come_change_and_go(server: &Server) {
    let with = |records: Value| server.desired("owned", records);
    let first = with(json!([
        {"name": "www", "ttl": 300, "A": ["192.0.2.1", "192.0.2.2"]},
        {"name": "@", "ttl": 600, "TXT": ["v=spf1 -all"]},
        {"name": "alias", "CNAME": "www"},
    ]));
    let plan = server.run(&["plan"], &first).json(0);
    assert_eq!(counts(&plan), (3, 0, 0));
    assert_eq!(server.dig(&["www.example.org", "A"]), Vec::<String>::new(), "a plan changes nothing");
    server.run(&["plan", "--check"], &first).json(1);
    assert_eq!(server.converge(&first), (3, 0, 0));
    assert_eq!(server.dig(&["www.example.org", "A"]), ["192.0.2.1", "192.0.2.2"]);
    assert_eq!(server.dig(&["alias.example.org", "CNAME"]), ["www.example.org."]);
    // Values, a TTL alone, and a CNAME that becomes addresses.
    let second = with(json!([
        {"name": "www", "ttl": 300, "A": ["192.0.2.2", "192.0.2.3"]},
        {"name": "@", "ttl": 60, "TXT": ["v=spf1 -all"]},
        {"name": "alias", "AAAA": ["2001:db8::1"]},
    ]));
    assert_eq!(server.converge(&second), (1, 2, 1));
    assert_eq!(server.dig(&["www.example.org", "A"]), ["192.0.2.2", "192.0.2.3"]);
    assert_eq!(server.ttl("example.org", "TXT"), Some(60));
    assert_eq!(server.dig(&["alias.example.org", "AAAA"]), ["2001:db8::1"]);
    // And back to a CNAME.
    let third = with(json!([{"name": "alias", "CNAME": "ns1"}]));
    assert_eq!(server.converge(&third), (1, 0, 3));
    assert_eq!(server.dig(&["alias.example.org", "CNAME"]), ["ns1.example.org."]);
    let nothing = with(json!([]));
    server.run(&["apply"], &nothing).fails(76, "refused");
    server.run(&["apply", "--allow", "empty:example.org"], &nothing).json(0);
    assert_eq!(server.dig(&["_plumbline.example.org", "TXT"]), Vec::<String>::new(), "the marks go too");
    assert_eq!(server.dig(&["foreign.example.org", "MX"]).len(), 1);
}

/// One record of every type, and what is special about it.
fn all_types() -> Value {
    let long = "x".repeat(300);
    json!([
        {"name": "a", "A": ["192.0.2.1"]},
        {"name": "a", "AAAA": ["2001:db8::1", "::1"]},
        {"name": "cname", "CNAME": "WWW.Example.NET."},
        {"name": "sub", "NS": ["ns1", "ns.example.net."]},
        {"name": "mx", "MX": [{"preference": 10, "exchange": "ns1"}, {"preference": 10, "exchange": "MX.example.net."}]},
        {"name": "nomail", "MX": [{"preference": 0, "exchange": "."}]},
        {"name": "txt", "TXT": ["", "a;b \"quoted\" \\ back", " spaces ", "ööö", long, "x".repeat(255), "x".repeat(256)]},
        {"name": "_sip._tcp", "SRV": [{"priority": 1, "weight": 2, "port": 5060, "target": "ns1"}]},
        {"name": "_none._tcp", "SRV": [{"priority": 0, "weight": 0, "port": 0, "target": "."}]},
        {"name": "caa", "CAA": [{"tag": "ISSUE", "value": "ca.example.net; policy=x"}, {"flags": 128, "tag": "issuewild", "value": ";"}]},
        {"name": "4.3.2.1", "PTR": ["ns1"]},
        {"name": "ssh", "SSHFP": [{"algorithm": 4, "hash": 2, "fingerprint": "AB".repeat(32)}]},
        {"name": "_443._tcp.www", "TLSA": [{"usage": 3, "selector": 1, "matching": 1, "data": "Cd".repeat(32)}]},
        {"name": "https", "HTTPS": ["1 . port=8443 alpn=\"h2,h3\" ipv4hint=192.0.2.1", "2 ns1 key667=hello"]},
        {"name": "httpsalias", "HTTPS": ["0 cdn.example.net."]},
        {"name": "_8443._foo.svc", "SVCB": ["1 ns1 mandatory=alpn,port alpn=h2 port=53"]},
        {"name": "naptr", "OTHER": {"type": "NAPTR", "values": ["100 50 \"s\" \"SIP+D2T\" \"\" _sip._tcp"]}},
        {"name": "ds", "NS": ["ns1"]},
        {"name": "ds", "OTHER": {"type": "DS", "values": [format!("60485 13 2 {}", "2B".repeat(32))]}},
        {"name": "loc", "OTHER": {"type": "LOC", "values": ["51 30 12.748 N 0 7 39.612 W 0.00m"]}},
        {"name": "uri", "OTHER": {"type": "URI", "values": ["10 1 \"https://example.org/\""]}},
        {"name": "dname", "OTHER": {"type": "DNAME", "values": ["example.net."]}},
        {"name": "rp", "OTHER": {"type": "RP", "values": ["Admin.example.org. txt"]}},
        {"name": "hinfo", "OTHER": {"type": "HINFO", "values": ["PC Linux"]}},
        {"name": "key", "OTHER": {"type": "OPENPGPKEY", "values": ["AQIDBAUGBwgJ"]}},
        {"name": "smime", "OTHER": {"type": "SMIMEA", "values": [format!("3 1 1 {}", "ef".repeat(32))]}},
        {"name": "generic", "OTHER": {"type": "TYPE65280", "values": ["\\# 3 AbcdEF"]}},
        {"name": "*", "A": ["192.0.2.9"]},
        {"name": "*.Mixed.Case", "TXT": ["wild"]},
        {"name": "ööö", "CNAME": "中文.example.net."},
        {"name": "under_score", "A": ["192.0.2.1"]},
    ])
}

fn every_type_is_equal_to_itself(server: &Server) {
    let document = server.desired("owned", all_types());
    assert_eq!(server.converge(&document).0, 31);
    assert_eq!(server.dig(&["xn--ndaaa.example.org", "CNAME"]), ["xn--fiq228c.example.net."]);
    // The dump declares the same: nothing is to be done but for what is not ours.
    let dump = server.run(&["dump", "example.org"], &document).expect(0).stdout.clone();
    let plan = server.run(&["plan"], &dump).json(0);
    assert_eq!(counts(&plan), (0, 0, 0), "{plan}");
    // As a zone file it passes the checkers of both servers.
    let text = server.run(&["dump", "example.org", "--output", "text"], &document).expect(0).stdout.clone();
    crate::zone_files::accepted(&text);
    // Every set changes its TTL, and every value goes.
    let mut records = all_types();
    for record in records.as_array_mut().unwrap() {
        record["ttl"] = json!(120);
    }
    let updated = server.converge(&server.desired("owned", records));
    assert_eq!(updated, (0, 31, 0));
}

fn a_thousand_records(server: &Server) {
    let records = |count: u32, address: u32| -> Value {
        (0..count)
            .map(|number| json!({"name": format!("host-{number}.sub"), "A": [format!("10.0.{}.{}", number / 250, number % 250 + address)]}))
            .collect()
    };
    let document = server.desired("owned", records(1000, 1));
    assert_eq!(server.converge(&document), (1000, 0, 0));
    assert_eq!(server.dig(&["host-999.sub.example.org", "A"]), ["10.0.3.250"]);
    let marks = server.dig(&["_4._plumbline.example.org", "TXT"]);
    assert!(marks.len() == 1 && marks[0].contains("owner=fleet"), "{marks:?}");
    let changed = server.desired("owned", records(1000, 2));
    server.run(&["apply"], &changed).fails(76, "refused");
    let result = server.run(&["apply", "--allow", "updates:1000"], &changed).json(0);
    assert_eq!(counts(&result), (0, 1000, 0));
    let few = server.desired("owned", records(10, 2));
    let result = server.run(&["apply", "--allow", "deletes:990"], &few).json(0);
    assert_eq!(counts(&result), (0, 0, 990));
    let result = server
        .run(&["apply", "--allow", "deletes:10", "--allow", "empty:example.org"], &server.desired("owned", json!([])));
    assert_eq!(counts(&result.json(0)), (0, 0, 10));
    for marks in ["_plumbline", "_2._plumbline", "_4._plumbline"] {
        assert_eq!(server.dig(&[&format!("{marks}.example.org"), "TXT"]), Vec::<String>::new());
    }
}

fn the_wrong_key_is_refused(server: &Server) {
    let document = server.desired("owned", json!([{"name": "www", "A": ["192.0.2.1"]}]));
    let secrets = server.directory.path().join("others");
    std::fs::create_dir(&secrets).unwrap();
    std::fs::write(secrets.join("tsig"), "YW5vdGhlcg==\n").unwrap();
    private(&secrets.join("tsig"));
    let run =
        |document: &str| crate::program::run(server.directory.path(), &["plan", "--secrets-dir", "others"], document);
    run(&document).fails(77, "tsig_failed");
    let error = server.run(&["plan"], &document.replace("\"sync\"", "\"stranger\"")).fails(77, "tsig_failed");
    assert!(error["message"].as_str().unwrap().contains("BADKEY"), "{error}");
    server.run(&["plan"], &document.replace("example.org", "example.net")).fails(69, "not_authoritative");
    std::fs::write(secrets.join("tsig"), "not base64!\n").unwrap();
    run(&document).fails(78, "bad_key");
    std::fs::remove_file(secrets.join("tsig")).unwrap();
    run(&document).fails(78, "secret_missing");
}

#[test]
fn a_server_that_is_down() {
    let directory = tempfile::TempDir::new().unwrap();
    std::fs::write(directory.path().join("tsig"), "YW5vdGhlcg==").unwrap();
    private(&directory.path().join("tsig"));
    let provider = json!({"rfc2136": {"server": format!("127.0.0.1:{}", free_port()),
        "tsig": {"name": "sync", "secret": {"secret": "tsig"}}}});
    let document = crate::program::desired(&provider, "owned", json!([{"name": "www", "A": ["192.0.2.1"]}]));
    for verb in ["plan", "apply"] {
        crate::program::run(directory.path(), &[verb, "--secrets-dir", "."], &document).fails(69, "cannot_connect");
    }
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let provider = json!({"rfc2136": {"server": silent.local_addr().unwrap().to_string(),
        "tsig": {"name": "sync", "secret": {"secret": "tsig"}}}});
    let document = crate::program::desired(&provider, "owned", json!([]));
    let args = ["plan", "--secrets-dir", ".", "--timeout", "300ms"];
    crate::program::run(directory.path(), &args, &document).fails(75, "timeout");
}

fn a_plan_of_yesterday_is_stale(server: &Server) {
    let document = server.desired("owned", json!([{"name": "www", "A": ["192.0.2.1"]}, {"name": "c", "CNAME": "www"}]));
    let plan = server.run(&["plan"], &document).expect(0).stdout.clone();
    assert_eq!(plan, server.run(&["plan"], &document).stdout, "the same bytes");
    server.nsupdate("update add www.example.org 60 A 192.0.2.7");
    server.run(&["apply"], &plan).fails(75, "stale_plan");
    server.nsupdate("update delete www.example.org A\nupdate add c.example.org 60 TXT other");
    server.run(&["apply"], &plan).fails(75, "stale_plan");
    server.nsupdate("update delete c.example.org TXT\nupdate add unrelated.example.org 60 A 192.0.2.7");
    let result = server.run(&["apply"], &plan).json(0);
    assert_eq!(counts(&result), (2, 0, 0));
    server.run(&["apply"], &plan).fails(75, "stale_plan");
}

fn foreign_sets_stay(server: &Server) {
    server.nsupdate(
        "update add www.example.org 60 A 192.0.2.7\nupdate add same.example.org 60 A 192.0.2.8\n\
         update add _acme-challenge.www.example.org 60 TXT token",
    );
    let document = server.desired(
        "owned",
        json!([{"name": "www", "A": ["192.0.2.1"]}, {"name": "same", "ttl": 60, "A": ["192.0.2.8"]}, {"name": "mine", "A": ["192.0.2.1"]}]),
    );
    let plan = server.run(&["plan"], &document).json(0);
    assert_eq!(counts(&plan), (1, 1, 0));
    assert_eq!(plan["zones"][0]["refusals"][0]["consent"], "takeover:www.example.org/A");
    let reasons: Vec<_> =
        plan["zones"][0]["kept"].as_array().unwrap().iter().map(|kept| kept["reason"].as_str().unwrap()).collect();
    assert!(reasons.contains(&"a challenge of ACME") && reasons.contains(&"as declared, but not ours"), "{reasons:?}");
    server.run(&["apply"], &document).fails(76, "refused");
    assert_eq!(server.dig(&["mine.example.org", "A"]).len(), 0, "the zone was not touched");
    let takeover = ["--allow", "takeover:www.example.org/A", "--allow", "takeover:same.example.org/A"];
    let result = server.run(&[&["apply"][..], &takeover].concat(), &document).json(0);
    assert_eq!(counts(&result), (1, 2, 0));
    server.run(&["plan", "--check"], &document).json(0);
    let less = server.desired("owned", json!([{"name": "mine", "A": ["192.0.2.1"]}]));
    assert_eq!(server.converge(&less), (0, 0, 2), "what was taken over is ours now");
    assert_eq!(server.dig(&["foreign.example.org", "MX"]).len(), 1);
    assert_eq!(server.dig(&["_acme-challenge.www.example.org", "TXT"]), ["\"token\""]);
    // A whole zone loses the rest, but neither challenges nor marks. BIND refuses to lose the address of a name server.
    let whole = server
        .desired("whole-zone", json!([{"name": "mine", "A": ["192.0.2.1"]}, {"name": "ns1", "A": ["127.0.0.1"]}]));
    assert_eq!(server.converge(&whole), (0, 0, 1));
    assert_eq!(server.dig(&["foreign.example.org", "MX"]).len(), 0);
    assert_eq!(server.dig(&["_acme-challenge.www.example.org", "TXT"]), ["\"token\""]);
    let additive = server.desired("additive", json!([{"name": "more", "A": ["192.0.2.1"]}]));
    assert_eq!(server.converge(&additive), (1, 0, 0));
    assert_eq!(server.dig(&["mine.example.org", "A"]).len(), 1);
}

fn what_has_no_effect_is_reported(server: &Server) {
    // Name servers take the deletion of the last NS record of a zone and do not do it (RFC 2136 section 3.4.2.4).
    let document = server.desired("owned", json!([{"name": "www", "A": ["192.0.2.1"]}]));
    let mut plan = server.run(&["plan"], &document).json(0);
    let zone = &mut plan["desired"]["zones"][0];
    zone["manage_apex_ns"] = json!(true);
    plan["zones"][0]["changes"].as_array_mut().unwrap().push(json!({
        "op": "delete", "name": "example.org.", "type": "NS", "before": {"ttl": 3600, "values": ["ns1.example.org."]},
    }));
    let run = server.run(&["apply", "--allow", "takeover:example.org/NS"], &plan.to_string());
    let result = run.json(3);
    assert_eq!(result["outcome"], "partial");
    assert_eq!(result["zones"][0]["not_effective"][0]["type"], "NS");
    assert_eq!(result["zones"][0]["applied"][0]["name"], "www.example.org.");
    assert!(run.stderr.contains("not_effective"), "{}", run.stderr);
}

fn servers_are_verified(server: &Server) {
    let big: Vec<String> = (0..40).map(|number| format!("{number} {}", "y".repeat(100))).collect();
    let document = server.desired("owned", json!([{"name": "www", "A": ["192.0.2.1"]}, {"name": "big", "TXT": big}]));
    server.converge(&document);
    let good = format!("ns1=127.0.0.1:{}", server.port);
    let verify = server.run(&["verify", "--wait", "0s", "--server", &good], &document).json(0);
    assert_eq!(verify["zones"][0]["servers"][0]["state"], "match");
    server.nsupdate("update delete www.example.org A\nupdate add www.example.org 60 A 192.0.2.7");
    let bad = format!("127.0.0.1:{}", free_port());
    let args = ["verify", "--wait", "600ms", "--timeout", "300ms", "--server", &good, "--server", &bad];
    let verify = server.run(&args, &document).json(1);
    let servers = &verify["zones"][0]["servers"];
    assert_eq!(servers[0]["state"], "stale");
    assert_eq!(servers[0]["different"], json!(["www.example.org. A"]));
    assert_eq!(servers[1]["state"], "timeout");
    let other = document.replace("example.org", "example.net");
    let verify = server.run(&["verify", "--wait", "0s", "--server", &good], &other).json(1);
    assert_eq!(verify["zones"][0]["servers"][0]["state"], "lame");
    // Waits until somebody else has put it right.
    std::thread::scope(|scope| {
        scope.spawn(|| {
            std::thread::sleep(std::time::Duration::from_millis(700));
            server.nsupdate("update delete www.example.org A\nupdate add www.example.org 3600 A 192.0.2.1");
        });
        server.run(&["verify", "--wait", "20s", "--server", &good], &document).json(0);
    });
}

fn an_apply_can_be_taken_back(server: &Server) {
    let first = server.desired("owned", json!([{"name": "a", "A": ["192.0.2.1"]}, {"name": "b", "CNAME": "a"}]));
    server.converge(&first);
    let before = server.run(&["dump", "example.org"], &first).stdout.clone();
    let second = server.desired("owned", json!([{"name": "a", "A": ["192.0.2.2"]}, {"name": "b", "A": ["192.0.2.3"]}, {"name": "c", "A": ["192.0.2.4"]}]));
    server.run(&["apply", "--report", "inverse=back.json"], &second).json(0);
    let result = server.run(&["apply", "back.json"], "").json(0);
    assert_eq!(counts(&result), (1, 1, 2));
    assert_eq!(server.run(&["dump", "example.org"], &first).stdout, before);
    server.run(&["plan", "--check"], &first).json(0);
}

fn apex_name_servers_can_be_managed(server: &Server) {
    let document = |servers: Value| {
        let mut document: Value =
            serde_json::from_str(&server.desired("owned", json!([{"name": "@", "NS": servers}]))).unwrap();
        document["zones"][0]["manage_apex_ns"] = json!(true);
        document.to_string()
    };
    let two = document(json!(["ns1", "ns2.example.net."]));
    server.run(&["apply", "--allow", "takeover:example.org/NS"], &two).json(0);
    assert_eq!(server.dig(&["example.org", "NS"]), ["ns1.example.org.", "ns2.example.net."]);
    let other = document(json!(["ns1", "ns3.example.net."]));
    assert_eq!(server.converge(&other), (0, 1, 0));
    assert_eq!(server.dig(&["example.org", "NS"]), ["ns1.example.org.", "ns3.example.net."]);
}

fn two_owners_share_a_zone(server: &Server) {
    let ours = server.desired("owned", json!([{"name": "a", "A": ["192.0.2.1"]}]));
    let theirs = ours.replace("\"fleet\"", "\"other\"").replace("\"a\"", "\"b\"");
    server.converge(&ours);
    server.converge(&theirs);
    server.run(&["plan", "--check"], &ours).json(0);
    assert_eq!(server.dig(&["_plumbline.example.org", "TXT"]).len(), 2);
    let both = server.desired("whole-zone", json!([{"name": "a", "A": ["192.0.2.1"]}]));
    let plan = server.run(&["plan"], &both).json(0);
    let kept = plan["zones"][0]["kept"].as_array().unwrap();
    assert!(kept.iter().any(|kept| kept["reason"] == "belongs to other"), "{kept:?}");
}

fn many_deletions_take_consent(server: &Server) {
    let records = |count: u32| -> Value {
        (0..count).map(|number| json!({"name": format!("h{number}"), "A": ["192.0.2.1"]})).collect()
    };
    server.converge(&server.desired("owned", records(12)));
    let error = server.run(&["apply"], &server.desired("owned", records(8))).fails(76, "refused");
    assert!(error["message"].as_str().unwrap().contains("--allow deletes:4"), "{error}");
    server.run(&["apply", "--allow", "deletes:3"], &server.desired("owned", records(8))).fails(76, "refused");
    server.run(&["apply", "--allow", "deletes:4"], &server.desired("owned", records(8))).json(0);
    let mut partial: Value = serde_json::from_str(&server.desired("owned", records(1))).unwrap();
    partial["partial"] = json!(true);
    let plan = server.run(&["plan"], &partial.to_string()).json(0);
    assert_eq!(counts(&plan), (0, 0, 0), "part of the records removes nothing");
}

#[test]
fn one_zone_that_fails_does_not_stop_others() {
    let Some(server) = Server::start(Kind::Knot) else { return };
    let mut document: Value =
        serde_json::from_str(&server.desired("owned", json!([{"name": "www", "A": ["192.0.2.1"]}]))).unwrap();
    let mut other = document["zones"][0].clone();
    other["name"] = json!("example.net");
    document["zones"].as_array_mut().unwrap().insert(0, other);
    let run = server.run(&["apply"], &document.to_string());
    let result = run.json(3);
    assert_eq!(result["outcome"], "partial");
    assert_eq!(result["zones"][0]["status"], "failed");
    assert_eq!(result["zones"][0]["error"]["code"], "not_authoritative");
    assert_eq!(result["zones"][1]["status"], "done");
    // Without the other change nothing is different from before: the failure's own code.
    server.run(&["apply"], &document.to_string()).fails(69, "not_authoritative");
    server.run(&["apply", "--zone", "example.org"], &document.to_string()).json(0);
}

#[test]
fn names_and_addresses_come_from_the_zone() {
    // Discovery asks port 53; nobody listens there in a test, so that silence is the right answer.
    let Some(server) = Server::start(Kind::Knot) else { return };
    if !have("dig", "apt-get install bind9-dnsutils") || std::net::UdpSocket::bind("127.0.0.1:53").is_err() {
        return;
    }
    let document = server.desired("owned", json!([{"name": "www", "A": ["192.0.2.1"]}]));
    let verify = server.run(&["verify", "--wait", "0s", "--timeout", "300ms"], &document).json(1);
    let first = &verify["zones"][0]["servers"][0];
    assert_eq!((&first["name"], &first["address"]), (&json!("ns1.example.org"), &json!("127.0.0.1:53")));
}
