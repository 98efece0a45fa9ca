//! The verbs around a fleet: putting it together, asking about it, comparing, beginning one.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::run::{cfg_render, document, fleet, text};

fn write(home: &Path, file: &str, text: &str) {
    let path = home.join(file);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, text).unwrap();
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A fleet of the pipelines as a directory: a file a host, a file a service.
fn directory(name: &str) -> (tempfile::TempDir, Value) {
    let whole = fleet(name);
    let home = tempfile::tempdir().unwrap();
    let mut rest = whole.clone();
    for kind in ["hosts", "services"] {
        let Some(Value::Object(entries)) = rest.as_object_mut().unwrap().remove(kind) else { continue };
        for (key, value) in entries {
            write(
                home.path(),
                &format!("{kind}/{key}.json"),
                &format!(
                    "{{\n  \"//\": \"mine\",\n  \"x-note\": 1,\n{}",
                    &serde_json::to_string_pretty(&value).unwrap()[1..]
                ),
            );
        }
    }
    write(home.path(), "fleet.json", &serde_json::to_string_pretty(&rest).unwrap());
    (home, whole)
}

#[test]
fn a_directory_is_the_same_fleet() {
    for name in ["first.json", "seed-000.json", "seed-004.json"] {
        let (home, whole) = directory(name);
        let path = home.path().to_str().unwrap();
        let joined: Value = serde_json::from_slice(&cfg_render(&["join", path], "").stdout).unwrap();
        let plain = |value: &Value| document(&["hosts"], value);
        assert_eq!(plain(&joined), plain(&whole), "{name}");
        for verb in [vec!["check"], vec!["dns"], vec!["host", "--all"], vec!["docs"]] {
            let from_directory = cfg_render(&[verb.as_slice(), &[path]].concat(), "");
            let from_file = cfg_render(&verb, &whole.to_string());
            let said = String::from_utf8_lossy(&from_directory.stdout).replace(&format!("{path}/"), "");
            // Findings name the file of the directory in which their place is; all else is the same.
            let same: String =
                said.split_inclusive('\n').filter(|line| !line.starts_with("      \"file\": ")).collect();
            let (left, right) =
                if verb == ["check"] { (same, said.contains("\"file\": \"services/")) } else { (said, true) };
            assert_eq!(left, String::from_utf8_lossy(&from_file.stdout), "{verb:?} of {name}");
            assert!(right || !left.contains("\"pointer\": \"/services/"), "{verb:?} of {name} names no file");
        }
    }
}

#[test]
fn errors_of_a_directory_name_the_file_and_the_place_in_it() {
    let (home, _) = directory("first.json");
    let path = home.path().to_str().unwrap().to_owned();
    let join = || cfg_render(&["join", &path], "");
    // A key that there is not.
    write(
        home.path(),
        "services/extra.json",
        "{\n  \"host\": \"web1\",\n  \"run\": {\"static\": {\"root\": \"/x\"}},\n  \"portz\": {}\n}\n",
    );
    let output = join();
    assert_eq!(output.status.code(), Some(65));
    assert!(output.stdout.is_empty());
    assert!(
        stderr(&output).contains("services/extra.json:4:") && stderr(&output).contains("/portz: unknown key \"portz\""),
        "{}",
        stderr(&output)
    );
    // A meaning that is wrong.
    write(
        home.path(),
        "services/extra.json",
        "{\n  \"host\": \"web1\",\n  \"run\": {\"static\": {\"root\": \"/x\"}},\n  \"needs\": [\"nobody\"]\n}\n",
    );
    let output = join();
    assert!(
        stderr(&output).contains("services/extra.json:4:") && stderr(&output).contains(": /needs/0: "),
        "{}",
        stderr(&output)
    );
    let findings: Value = serde_json::from_slice(&cfg_render(&["check", &path], "").stdout).unwrap();
    let finding =
        findings["findings"].as_array().unwrap().iter().find(|finding| finding["code"] == "unknown-ref").unwrap();
    assert!(finding["file"].as_str().unwrap().ends_with("services/extra.json"));
    assert_eq!(finding["pointer"], "/services/extra/needs/0");
    // Something that is no JSON, in two files at once.
    write(home.path(), "services/extra.json", "{");
    write(home.path(), "services/more.json", "{\"a\": 1, \"a\": 2}");
    let said = stderr(&join());
    assert!(said.contains("services/extra.json") && said.contains("services/more.json"), "{said}");
    // Two owners of one service.
    std::fs::remove_file(home.path().join("services/more.json")).unwrap();
    write(home.path(), "services/extra.json", "{\"run\": {\"external\": {}}}");
    let mut main: Value =
        serde_json::from_str(&std::fs::read_to_string(home.path().join("fleet.json")).unwrap()).unwrap();
    main["services"] = json!({"extra": {"run": {"external": {}}}});
    write(home.path(), "fleet.json", &main.to_string());
    let said = stderr(&join());
    assert!(
        said.contains("services/extra.json") && said.contains("is already in") && said.contains("one file owns it"),
        "{said}"
    );
    // Nothing at all.
    let empty = tempfile::tempdir().unwrap();
    assert_eq!(cfg_render(&["join", empty.path().to_str().unwrap()], "").status.code(), Some(66));
}

#[test]
fn a_file_is_explained_by_the_lines_that_made_it() {
    let (home, _) = directory("first.json");
    let path = home.path().to_str().unwrap();
    let output = cfg_render(&["explain", "web1:/etc/nginx/nginx.conf", path], "");
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(said.contains("hosts/web1.json:") && said.contains("/hosts/web1/proxy"), "{said}");
    assert!(said.contains("checked with its set by /usr/sbin/nginx -t"), "{said}");
    assert!(said.contains("after a change reload:nginx.service"), "{said}");
    let output = cfg_render(&["explain", "web1:/etc/nginx/ngnix.conf", path], "");
    assert_eq!(output.status.code(), Some(2));
    assert!(stderr(&output).contains("did you mean web1:/etc/nginx/nginx.conf?"), "{}", stderr(&output));
    let said = text(&["explain", "vps-x86:hosts/vps-x86/disk.nix"], &fleet("seed-001.json"));
    assert!(said.contains("/hosts/vps-x86/disk"), "{said}");
}

#[test]
fn a_service_is_explained_by_what_would_go_with_it() {
    let said = text(&["explain", "--service", "site"], &fleet("first.json"));
    for line in [
        "on web1: file:/etc/nginx/plumbline.d/www.lab.test.conf",
        "on web1: backup of site",
        "on web1: file:/etc/nftables.conf",
    ] {
        assert!(said.contains(line), "{line}:\n{said}");
    }
    let said = text(&["explain", "--service", "forgejo"], &fleet("seed-002.json"));
    for line in [
        "on vps-pacman: hosts/vps-pacman/services/forgejo.nix of the flake",
        "in zone alienzj.org: git",
        "on lab-matrix: secret forgejo-smtp-pass",
        "in cluster main: database forgejo (kept as an orphan",
    ] {
        assert!(said.contains(line), "{line}:\n{said}");
    }
    let said = text(&["explain", "--service", "relay-firehose"], &fleet("seed-000.json"));
    assert!(said.contains("jetstream (cannot work without it)"), "{said}");
    let output = cfg_render(&["explain", "--service", "sitte"], &fleet("first.json").to_string());
    assert!(stderr(&output).contains("did you mean \"site\"?"));
    // The fleet may be a file or a directory, and one question is asked at a time.
    let (home, _) = directory("first.json");
    let path = home.path().to_str().unwrap();
    let output = cfg_render(&["explain", "--service", "site", path], "");
    assert!(output.status.success(), "{}", stderr(&output));
    let output = cfg_render(&["explain", "--service", "site", "web1:/etc/nftables.conf", path], "");
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(cfg_render(&["explain"], "").status.code(), Some(2));
}

#[test]
fn a_render_is_compared_with_an_earlier_one() {
    let home = tempfile::tempdir().unwrap();
    for (name, place, value, line) in [
        ("first.json", "/hosts/web1/ssh/port", json!(2022), "+Port 2022"),
        ("seed-001.json", "/hosts/vps-x86/ssh/port", json!(2022), "+    tcp dport 2022 accept comment \"ssh\""),
    ] {
        let whole = fleet(name);
        let old = home.path().join("old.jsonl");
        std::fs::write(&old, cfg_render(&["host", "--all"], &whole.to_string()).stdout).unwrap();
        let old = old.to_str().unwrap();
        let same = cfg_render(&["diff", "--against", old, "--check"], &whole.to_string());
        assert!(same.status.success() && same.stdout.is_empty(), "{}", String::from_utf8_lossy(&same.stdout));
        let mut changed = whole.clone();
        *changed.pointer_mut(place).unwrap() = value;
        let output = cfg_render(&["diff", "--against", old], &changed.to_string());
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        assert!(String::from_utf8_lossy(&output.stdout).contains(line), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(cfg_render(&["diff", "--against", old, "--check"], &changed.to_string()).status.code(), Some(1));
        // And with a directory.
        let out = home.path().join(name);
        let out = out.to_str().unwrap();
        assert!(cfg_render(&["host", "--all", "--out", out], &whole.to_string()).status.success());
        let same = cfg_render(&["diff", "--against", out, "--check"], &whole.to_string());
        assert!(same.status.success(), "{}", String::from_utf8_lossy(&same.stdout));
        let output = cfg_render(&["diff", "--against", out, "--check"], &changed.to_string());
        assert_eq!(output.status.code(), Some(1));
        assert!(String::from_utf8_lossy(&output.stdout).contains(line));
    }
}

#[test]
fn a_new_fleet_is_good_and_nothing_is_overwritten() {
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("id_ed25519.pub");
    std::fs::write(
        &key,
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me@laptop\n",
    )
    .unwrap();
    let key = key.to_str().unwrap();
    for os in ["debian-12", "ubuntu-24.04", "nixos-25.11"] {
        let place = home.path().join(os);
        let place = place.to_str().unwrap();
        let args = [
            "new",
            place,
            "--address",
            "192.0.2.9",
            "--os",
            os,
            "--ssh-key",
            key,
            "--domain",
            "example.net",
            "--email",
            "me@example.net",
        ];
        let output = cfg_render(&args, "");
        assert!(output.status.success(), "{os}: {}", stderr(&output));
        let findings: Value = serde_json::from_slice(&cfg_render(&["check", place], "").stdout).unwrap();
        let errors: Vec<&Value> =
            findings["findings"].as_array().unwrap().iter().filter(|finding| finding["level"] == "error").collect();
        assert!(errors.is_empty(), "{os}: {errors:#?}");
        for file in [".sops.yaml", ".gitignore", ".github/workflows/fleet.yml", "fleet.schema.json"] {
            assert!(Path::new(place).join(file).exists(), "{file}");
        }
        let rules = std::fs::read_to_string(Path::new(place).join(".sops.yaml")).unwrap();
        assert!(
            rules.contains("path_regex: ^secrets/web1\\.yaml$") && rules.contains("age: ssh-ed25519 AAAA"),
            "{rules}"
        );
        // An editor finds the schema that the fleet names, and the fleet fits it.
        let read = |file: &str| -> Value {
            serde_json::from_str(&std::fs::read_to_string(Path::new(place).join(file)).unwrap()).unwrap()
        };
        let fleet = read("fleet.json");
        let schema = read(fleet["$schema"].as_str().unwrap().trim_start_matches("./"));
        assert!(jsonschema::validator_for(&schema).unwrap().is_valid(&fleet), "{fleet}");
        // What it says comes next works as it stands, as far as it is ours.
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        let steps: Vec<&str> = said.lines().filter_map(|line| line.strip_prefix("  cfg-render ")).collect();
        assert_eq!(steps.len(), 2, "{said}");
        for step in steps {
            let words: Vec<&str> = step.split(" | ").next().unwrap().split(' ').collect();
            let output = cfg_render(&words, "");
            assert!(output.status.success(), "{step}: {}", stderr(&output));
        }
        // The host gets a document.
        assert!(cfg_render(&["host", "--host", "web1", &format!("{place}/fleet.json")], "").status.success());
        let before = std::fs::read(Path::new(place).join("fleet.json")).unwrap();
        let again = cfg_render(&["new", place, "--address", "192.0.2.10", "--ssh-key", key], "");
        assert_eq!(again.status.code(), Some(73), "{}", stderr(&again));
        assert_eq!(std::fs::read(Path::new(place).join("fleet.json")).unwrap(), before);
    }
    // One file in the way: none of the others is made either.
    let place = home.path().join("half");
    write(&place, ".gitignore", "mine\n");
    let output = cfg_render(&["new", place.to_str().unwrap(), "--address", "192.0.2.9", "--ssh-key", key], "");
    assert_eq!(output.status.code(), Some(73));
    assert!(!place.join("fleet.json").exists());
    // A private key is not read into a fleet.
    write(home.path(), "id", "-----BEGIN OPENSSH PRIVATE KEY-----\n");
    let output = cfg_render(
        &[
            "new",
            place.to_str().unwrap(),
            "--address",
            "192.0.2.9",
            "--ssh-key",
            home.path().join("id").to_str().unwrap(),
        ],
        "",
    );
    assert_eq!(output.status.code(), Some(76));
}

#[test]
fn a_running_host_becomes_a_draft_with_questions() {
    let facts = json!({
        "schema": "host.facts/v1", "hostname": "Web.example.net", "os_id": "debian", "os_version": "12", "arch": "x86_64", "kernel": "6.1.0", "init": "systemd",
        "addresses": ["192.0.2.7", "10.3.4.5", "100.101.1.2", "fe80::1"], "ssh_ports": [2222], "memory_bytes": 2_147_483_648_u64, "free_bytes": 1
    });
    let mut draft: Value =
        serde_json::from_slice(&cfg_render(&["adopt", "--name", "old"], &facts.to_string()).stdout).unwrap();
    assert_eq!(
        draft["hosts"]["web"]["addresses"],
        json!({"public": ["192.0.2.7"], "lan": ["10.3.4.5"], "tailnet": ["100.101.1.2"]})
    );
    assert_eq!(draft["hosts"]["web"]["ssh"]["port"], 2222);
    assert!(
        draft["hosts"]["web"]["//"]
            .as_array()
            .unwrap()
            .iter()
            .any(|question| question.as_str().unwrap().starts_with("services:"))
    );
    // It is not good before its questions are answered, and good afterwards.
    let codes = |draft: &Value| -> Vec<String> {
        let findings: Value = serde_json::from_slice(&cfg_render(&["check"], &draft.to_string()).stdout).unwrap();
        let errors = findings["findings"].as_array().unwrap().iter().filter(|finding| finding["level"] == "error");
        errors.map(|finding| finding["code"].as_str().unwrap().to_owned()).collect()
    };
    assert!(!codes(&draft).is_empty());
    draft["people"]["admin"]["ssh_keys"] =
        json!(["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]);
    assert_eq!(codes(&draft), Vec::<String>::new());
    let output = cfg_render(&["adopt"], &fleet("first.json").to_string());
    assert_eq!(output.status.code(), Some(65));
}

/// Four hosts, a service on each; that of `b` needs that of `a`.
fn four_hosts() -> Value {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me";
    let mut fleet = json!({
        "schema": "fleet/v1", "name": "four", "domain": "example.net", "email": "ops@example.net",
        "defaults": {"host": {"os": "debian-12", "ssh": {"keys": [key]}}}, "hosts": {}, "services": {}
    });
    for (at, name) in ["a", "b", "c", "d"].into_iter().enumerate() {
        fleet["hosts"][name] = json!({"addresses": {"public": [format!("192.0.2.{}", at + 1)]}});
        fleet["services"][format!("site-{name}")] = json!({
            "host": name, "run": {"static": {"root": "/srv/site"}}, "proxy": [{"names": [format!("{name}.example.net")]}]
        });
    }
    fleet["services"]["site-b"]["needs"] = json!(["site-a"]);
    fleet
}

fn documents_by_host(output: &Output) -> Vec<(String, Value)> {
    let lines = String::from_utf8_lossy(&output.stdout);
    let documents = lines.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    documents.map(|value| (value["host"].as_str().unwrap().to_owned(), value)).collect()
}

#[test]
fn one_bad_service_stops_only_the_hosts_that_it_concerns() {
    let whole = documents_by_host(&cfg_render(&["host", "--all", "--keep-going"], &four_hosts().to_string()));
    assert_eq!(whole, documents_by_host(&cfg_render(&["host", "--all"], &four_hosts().to_string())));
    assert_eq!(whole.len(), 4);

    // Served in the clear, which is refused. Whoever needs it stays as it is too.
    let mut fleet = four_hosts();
    fleet["services"]["site-a"]["proxy"][0]["tls"] = json!("none");
    assert!(cfg_render(&["host", "--all"], &fleet.to_string()).stdout.is_empty());
    let output = cfg_render(&["host", "--all", "--keep-going"], &fleet.to_string());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(65), "{said}");
    assert!(said.contains("/services/site-a/proxy/0"), "{said}");
    assert!(said.contains("host \"a\" is left out: one of services \"site-a\", \"site-b\" concerns it"), "{said}");
    let kept = documents_by_host(&output);
    assert_eq!(kept.iter().map(|(host, _)| host.as_str()).collect::<Vec<_>>(), ["c", "d"]);
    for (host, mut document) in kept {
        // Nothing is taken away because of what is not there.
        assert_eq!(document["partial"], json!(true), "{host}");
        document.as_object_mut().unwrap().remove("partial");
        assert!(whole.contains(&(host.clone(), document)), "{host} is not what it would be");
    }

    // The service has a name on the edge of another host.
    let mut fleet = four_hosts();
    fleet["services"]["site-d"]["proxy"][0]["tls"] = json!("none");
    fleet["services"]["site-d"]["ports"] = json!({"web": {"port": 8080, "bind": "public"}});
    fleet["services"]["site-d"]["proxy"][0]["via"] = json!("c");
    let kept = documents_by_host(&cfg_render(&["host", "--all", "--keep-going"], &fleet.to_string()));
    assert_eq!(kept.iter().map(|(host, _)| host.as_str()).collect::<Vec<_>>(), ["a", "b"]);
}

#[test]
fn nothing_is_kept_going_where_an_error_may_concern_any_host() {
    let printed = |patch: &dyn Fn(&mut Value)| {
        let mut fleet = four_hosts();
        patch(&mut fleet);
        let output = cfg_render(&["host", "--all", "--keep-going"], &fleet.to_string());
        assert_eq!(output.status.code(), Some(65), "{}", stderr(&output));
        assert!(!stderr(&output).is_empty());
        output.stdout.len()
    };
    assert_eq!(printed(&|fleet| fleet["services"]["site-a"]["host"] = json!("z")), 0);
    assert_eq!(printed(&|fleet| fleet["hosts"]["a"]["addresses"]["public"] = json!(["300.1.1.1"])), 0);
    assert_eq!(printed(&|fleet| fleet["services"]["site-a"]["proxi"] = json!([])), 0);
    // A flake is one thing: half of it is not written.
    let output = cfg_render(&["host", "--all", "--keep-going", "--out", "x"], &four_hosts().to_string());
    assert_eq!(output.status.code(), Some(2));
}

/// What a person who is new to it does wrong: the message says in plain words what is there and what to do.
#[test]
fn mistakes_are_named_in_plain_words() {
    let mine = json!({
        "schema": "fleet/v1", "name": "mine",
        "hosts": {"web1": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"]}, "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}}},
        "services": {"site": {"host": "web1", "run": {"static": {"root": "/srv/site"}}, "proxy": [{"names": ["a.test"]}]}}
    });
    let good = |patch: Value| crate::fleet::merged(mine.clone(), patch).to_string();
    let said = |text: &str| {
        let output = cfg_render(&["check", "--output", "text"], text);
        (output.status.code().unwrap(), stderr(&output) + &String::from_utf8_lossy(&output.stdout))
    };
    for (text, words) in [
        ("schema: fleet/v1\nname: a\n".to_owned(), "hint: it looks like YAML"),
        ("{ // mine\n\"schema\": \"fleet/v1\"}".to_owned(), "hint: JSON has no such comments"),
        (good(json!({"services": {"site": {"proxy": {"names": ["a.test"]}}}})), "expected a list, found an object"),
        (good(json!({"hosts": {"web1": {"addresses": {"public": 7}}}})), "expected"),
        (
            good(json!({"services": {"site": {"run": {"static": {"root": "/x"}, "external": {}}}}})),
            "expected an object with exactly one key, found an object",
        ),
    ] {
        let (code, said) = said(&text);
        assert!(code == 65 && said.contains(words), "{code} {words}: {said}");
        assert!(!said.contains("sequence") && !said.contains("invalid type"), "no words of a program: {said}");
    }
    let fleet = good(json!({"services": {"site": {"proxy": {"names": ["a.test"]}}}}));
    let error = stderr(&cfg_render(&["dns", "--log-format", "json"], &fleet));
    assert!(error.contains("\"code\":\"wrong_type\""), "the words change, the code stays: {error}");
    // A name that would control the terminal is shown, and does nothing.
    let (code, said) = said(&good(json!({"services": {"site": {"proxy": [{"names": ["a\u{1b}[2J\nb.test"]}]}}})));
    assert!(code == 1 && !said.contains('\u{1b}') && said.contains("\\u{1b}[2j\\nb.test"), "{said}");
    assert!(said.contains("Check: 1 error, "), "{said}");
    let output = cfg_render(&["postgres", "--cluster", "x"], &good(json!({})));
    assert!(stderr(&output).contains("it has none"), "{}", stderr(&output));
}

/// What lies in the directory of a fleet and is not read would be missed without a word.
#[test]
fn a_directory_says_what_it_does_not_read() {
    let (home, _) = directory("first.json");
    let path = home.path().to_str().unwrap().to_owned();
    let check = || cfg_render(&["check", &path], "");
    assert!(check().status.success());
    write(home.path(), "services/README.md", "mine");
    write(home.path(), "services/.site.json.swp", "x");
    assert!(check().status.success(), "notes and editors' files are left alone");
    write(home.path(), "services/more.yaml", "host: web1");
    assert!(stderr(&check()).contains("services/more.yaml: the files of a fleet are JSON"), "{}", stderr(&check()));
    std::fs::remove_file(home.path().join("services/more.yaml")).unwrap();
    let fifo = home.path().join("services/pipe.json");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    assert_eq!(check().status.code(), Some(66), "a pipe is not waited for");
    std::fs::remove_file(fifo).unwrap();
    let output = cfg_render(&["join", &format!("{path}/fleet.json")], "");
    assert!(stderr(&output).contains("this is a file") && output.status.code() == Some(66), "{}", stderr(&output));
}
