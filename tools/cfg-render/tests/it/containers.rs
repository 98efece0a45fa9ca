//! Containers: what Compose and Podman read, and what comes back of hostile texts.

use std::fs;
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};

use crate::run::{built_peer, document, files_of, is_root, say};

/// A host with one service of each kind, under an engine.
fn fleet(os: &str, engine: &str) -> Value {
    json!({
        "schema": "fleet/v1", "name": "boxes", "domain": "boxes.test", "email": "ops@boxes.test",
        "networks": {"lan": {"cidrs": ["10.1.0.0/16"]}},
        "hosts": {"a": {"os": os, "addresses": {"public": ["203.0.113.1"], "lan": ["10.1.0.1"]},
            "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]},
            "containers": {"engine": engine}}},
        "databases": {"main": {"host": "a"}},
        "services": {
            "wiki": {
                "host": "a", "description": "A wiki: 100% \"ours\"",
                "run": {"container": {"image": "docker.io/example/wiki:1.2", "command": ["serve", "--title", "$HOME 100% \"x\""],
                    "volumes": ["./data:/data", "cache:/cache"], "tmpfs": ["/tmp"], "user": "1000:1000", "read_only": true,
                    "capabilities": ["NET_BIND_SERVICE"], "memory": "512m", "health_command": ["/bin/check", "a b"]}},
                "ports": {"http": {"port": 3000, "container_port": 80}, "lan": {"port": 3001, "bind": "lan", "proto": "both"}},
                "databases": [{"password": {"secret": "wiki-db"}}],
                "env": {"PLAIN": "a$b 'c' \"d\" #e", "TOKEN": {"secret": "token"}, "URL": {"database": "wiki", "attr": "url"},
                    "MIXED": {"template": "x'@@secret:token@@'y"}},
                "secrets": ["token"], "backup": {"none": "a test"}
            },
            "stack": {
                "host": "a",
                "run": {"containers": {
                    "app": {"image": "ghcr.io/example/app@sha256:0000000000000000000000000000000000000000000000000000000000000000", "needs": ["db"]},
                    "db": {"image": "docker.io/library/postgres:17.5", "env": {"POSTGRES_PASSWORD": {"secret": "stack-db"}}, "health_command": ["pg_isready"]}
                }},
                "ports": {"http": {"port": 4000, "container": "app"}, "db": {"port": 5432, "container": "db", "publish": false}},
                "env_file": "/srv/stack/.env", "env": {"KEY": {"secret": "token"}}, "backup": {"none": "a test"}
            }
        },
        "secrets": {"token": {}, "wiki-db": {}, "stack-db": {}}
    })
}

fn desired(fleet: &Value) -> Value {
    document(&["host", "--host", "a"], fleet)
}

fn file(desired: &Value, path: &str) -> String {
    let files = files_of(desired);
    files.iter().find(|(known, _)| known == path).map_or_else(|| panic!("{path}"), |(_, text)| text.clone())
}

/// The templates of a host's manifest by name.
fn templates(fleet: &Value) -> Vec<Value> {
    use base64::Engine as _;
    let desired = desired(fleet);
    let items = desired["items"].as_array().unwrap().iter();
    let manifest = items
        .filter_map(|item| item.get("file"))
        .find(|file| file["path"].as_str().unwrap().ends_with("/manifest.json"));
    let bytes = base64::engine::general_purpose::STANDARD.decode(manifest.unwrap()["content_base64"].as_str().unwrap());
    let manifest: Value = serde_json::from_slice(&bytes.unwrap()).unwrap();
    manifest["templates"].as_array().unwrap().clone()
}

fn template(fleet: &Value, name: &str) -> Value {
    let all = templates(fleet);
    all.iter().find(|template| template["name"] == name).cloned().unwrap_or_else(|| panic!("{name}: {all:#?}"))
}

#[test]
fn a_compose_project_is_one_unit_that_waits_for_the_secrets() {
    let fleet = fleet("debian-13", "docker");
    let desired = desired(&fleet);
    let unit = file(&desired, "/etc/systemd/system/wiki.service");
    assert!(unit.contains("Requires=docker.service") && unit.contains("RemainAfterExit=yes"), "{unit}");
    let up = "ExecStart=/usr/bin/docker compose --project-name wiki --project-directory /opt/wiki --file /opt/wiki/compose.yaml up";
    assert!(unit.contains(up), "{unit}");
    let drop_in = file(&desired, "/etc/systemd/system/wiki.service.d/10-plumbline-secrets.conf");
    assert!(drop_in.contains("After=plumbline-secrets.service"), "{drop_in}");
    let compose = file(&desired, "/opt/wiki/compose.yaml");
    // The engine starts nothing by itself at boot, when there are no secrets yet.
    assert!(compose.contains("restart: \"on-failure\""), "{compose}");
    assert!(
        compose.contains("\"127.0.0.1:3000:80/tcp\"") && compose.contains("\"10.1.0.1:3001:3001/udp\""),
        "{compose}"
    );
    // The image is there before anything that uses it changes.
    let ids: Vec<_> = desired["items"].as_array().unwrap().iter().map(|item| item["id"].as_str().unwrap()).collect();
    let place = |id: &str| ids.iter().position(|known| *known == id).unwrap_or_else(|| panic!("{id}: {ids:?}"));
    assert!(place("image:docker.io/example/wiki:1.2") < place("unit:wiki.service"));
    assert_eq!(ids.iter().filter(|id| id.starts_with("unit:stack")).count(), 1);
}

#[test]
fn values_of_secrets_come_in_by_the_env_file_or_as_files() {
    let fleet = fleet("debian-13", "docker");
    let desired = desired(&fleet);
    let env = template(&fleet, "wiki.env");
    assert_eq!(env["link"], "/opt/wiki/.env");
    assert_eq!(env["escape"], "compose_env");
    assert_eq!(env["text"], "MIXED='x\\'@@secret:token@@\\'y'\nTOKEN='@@secret:token@@'\n");
    let url = template(&fleet, "wiki.url.env");
    assert_eq!((&url["escape"], &url["link"]), (&json!("url"), &json!("/opt/wiki/.env.url")));
    assert_eq!(template(&fleet, "stack.env")["link"], "/srv/stack/.env");
    let compose = file(&desired, "/opt/wiki/compose.yaml");
    assert!(compose.contains("\"/run/secrets/token:/run/secrets/token:ro\""), "{compose}");
    // An image that can read a file gets one.
    let stack = file(&desired, "/opt/stack/compose.yaml");
    assert!(stack.contains("POSTGRES_PASSWORD_FILE: \"/run/secrets/stack-db\""), "{stack}");
    assert!(templates(&fleet).iter().all(|template| !template["text"].as_str().unwrap().contains("stack-db")));
    let output = crate::run::cfg_render(&["check"], &fleet.to_string());
    let found = String::from_utf8(output.stdout).unwrap();
    assert!(found.contains("secret-in-environment") && found.contains("/var/lib/docker/containers"), "{found}");
}

#[test]
fn compose_reads_every_text_as_it_was() {
    let Some(compose) = built_peer("compose") else { return };
    let hostile = [
        "plain",
        "",
        " a ",
        "$HOME",
        "${X:-y}",
        "$$",
        "a#b",
        "it's",
        "say \"hi\"",
        "back\\slash",
        "ends\\",
        "a: b",
        "{{x}}",
        "- x",
        "ümläut €",
        "two\nlines",
        "yes",
        "0x10",
        "!!str",
    ];
    let mut fleet = fleet("debian-13", "docker");
    for (index, value) in hostile.iter().enumerate() {
        fleet["services"]["wiki"]["env"][format!("V{index}")] = json!(value);
    }
    fleet["services"]["wiki"]["run"]["container"]["command"] = json!(hostile);
    let desired = desired(&fleet);
    let folder = tempfile::tempdir().unwrap();
    for name in ["wiki", "stack"] {
        let mut text = file(&desired, &format!("/opt/{name}/compose.yaml"));
        // What the secrets unit fills on a host.
        for (index, path) in ["/opt/wiki/.env.url", "/opt/wiki/.env", "/srv/stack/.env"].iter().enumerate() {
            let env = folder.path().join(format!("env{index}"));
            fs::write(&env, "FILLED='it\\'s $x'\n").unwrap();
            text = text.replace(path, env.to_str().unwrap());
        }
        let path = folder.path().join("compose.yaml");
        fs::write(&path, &text).unwrap();
        let mut command = Command::new(&compose);
        command.args(["--project-name", name, "--file"]).arg(&path).args(["config", "--format", "json"]);
        command.env("HOME", folder.path());
        let (good, said) = say(&mut command);
        assert!(good, "{said}\n{text}");
        if name != "wiki" {
            continue;
        }
        let read: Value = serde_json::from_str(&said[said.find('{').unwrap()..]).unwrap();
        let wiki = &read["services"]["wiki"];
        // What it prints it could read again: dollars are doubled there, too.
        let plain = |value: &Value| value.as_str().unwrap().replace("$$", "$");
        for (index, value) in hostile.iter().enumerate() {
            assert_eq!(plain(&wiki["environment"][format!("V{index}")]), *value);
            assert_eq!(plain(&wiki["command"][index]), *value);
        }
        assert_eq!(plain(&wiki["environment"]["FILLED"]), "it's $x");
        assert_eq!(wiki["ports"].as_array().unwrap().len(), 3);
    }
}

#[test]
fn podman_reads_its_quadlets() {
    let fleet = fleet("debian-13", "podman");
    let desired = desired(&fleet);
    let wiki = file(&desired, "/etc/containers/systemd/wiki.container");
    assert!(
        wiki.contains("Image=docker.io/example/wiki:1.2") && wiki.contains("PublishPort=127.0.0.1:3000:80/tcp"),
        "{wiki}"
    );
    assert_eq!(template(&fleet, "wiki.env")["escape"], "raw_env");
    let app = file(&desired, "/etc/containers/systemd/stack-app.container");
    assert!(app.contains("Requires=stack-db.service") && app.contains("PartOf=stack.service"), "{app}");
    if !is_root() {
        eprintln!("skipped: the newer Debian is entered by chroot (run as root)");
        return;
    }
    let Some(root) = built_peer("trixie") else { return };
    let folder = tempfile::tempdir_in(root.join("tmp")).unwrap();
    let inside = Path::new("/tmp").join(folder.path().file_name().unwrap());
    for (path, text) in files_of(&desired).iter().filter(|(path, _)| path.starts_with("/etc/containers/systemd/")) {
        fs::write(folder.path().join(Path::new(path).file_name().unwrap()), text).unwrap();
    }
    let mut generator = Command::new("chroot");
    generator.arg(&root).args([
        "/usr/bin/env",
        &format!("QUADLET_UNIT_DIRS={}", inside.display()),
        "/usr/libexec/podman/quadlet",
        "-dryrun",
    ]);
    let (good, said) = say(&mut generator);
    assert!(good, "{said}");
    assert!(said.contains("---stack-app.service---") && said.contains("---wiki.service---"), "{said}");
    let start = said.lines().find(|line| line.starts_with("ExecStart=") && line.contains("example/wiki")).unwrap();
    // The check inside is run as it was given, without a shell.
    assert!(start.contains("--health-cmd \"[\\\"/bin/check\\\",\\\"a b\\\"]\""), "{start}");
    // systemd makes one sign of two again.
    assert!(
        start.contains("$$HOME 100%% ")
            && start.contains("--read-only")
            && start.to_uppercase().contains("NET_BIND_SERVICE"),
        "{start}"
    );
}

#[test]
fn podman_of_debian_12_is_refused() {
    let output = crate::run::cfg_render(&["host", "--host", "a"], &fleet("debian-12", "podman").to_string());
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(65), "{said}");
    assert!(said.contains("quadlets") && said.contains("/hosts/a/containers"), "{said}");
}
