//! NixOS hosts: what is written is read by Nix, sets only options that there are, and comes to what the fleet says.

mod parity;
mod rich;
mod text;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use cfg_render::host::render;
use cfg_render::model::Model;
use cfg_render::nixos::TreeFile;
use serde_json::{Value, json};

use crate::documents::shuffled;
use crate::run::{cfg_render, document, fleet, peer, say};
use rich::rich;

const SEEDS: [&str; 4] = ["seed-000.json", "seed-001.json", "seed-002.json", "seed-003.json"];

/// Nix' evaluator. It gets a store of its own, so that it needs neither root nor an installation.
fn evaluator(store: &Path) -> Option<Command> {
    let mut command = Command::new(peer("nix-instantiate", "apt install nix-bin")?);
    for (variable, folder) in
        [("NIX_STORE_DIR", "store"), ("NIX_STATE_DIR", "var"), ("NIX_LOG_DIR", "log"), ("NIX_CONF_DIR", "conf")]
    {
        command.env(variable, store.join(folder));
    }
    command.env("NIX_REMOTE", "");
    Some(command)
}

/// The value of an expression, as JSON.
fn evaluate(store: &Path, expression: &str) -> Option<Result<Value, String>> {
    let mut command = evaluator(store)?;
    let output = command.args(["--eval", "--strict", "--json", "--expr", expression]).output().unwrap();
    if !output.status.success() {
        return Some(Err(String::from_utf8_lossy(&output.stderr).into_owned()));
    }
    Some(Ok(serde_json::from_slice(&output.stdout).unwrap()))
}

/// A directory with the fleet, stand-ins for the files that it names, and in `tree` what `host --all --out` writes.
pub(crate) fn written(fleet: &Value) -> (tempfile::TempDir, PathBuf) {
    let home = tempfile::tempdir().unwrap();
    let path = home.path().join("fleet.json");
    std::fs::write(&path, fleet.to_string()).unwrap();
    let output = cfg_render(&["host", "--all", path.to_str().unwrap()], "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    for line in String::from_utf8(output.stdout).unwrap().lines() {
        let host: Value = serde_json::from_str(line).unwrap();
        let nixos = host["items"].as_array().unwrap().iter().filter_map(|item| item.get("nixos"));
        for source in nixos
            .flat_map(|nixos| nixos["files"].as_object().unwrap().values())
            .filter_map(|file| file["source"].as_str())
        {
            let file = home.path().join(source);
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            let text = if Path::new(source).extension().is_some_and(|ending| ending == "nix") {
                "{ ... }: { }\n"
            } else {
                "stands in\n"
            };
            std::fs::write(file, text).unwrap();
        }
    }
    let tree = home.path().join("tree");
    let output = cfg_render(&["host", "--all", "--out", tree.to_str().unwrap(), path.to_str().unwrap()], "");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    (home, tree)
}

/// What the hosts of a tree come to.
pub(crate) fn come_to(fleet: &Value, store: &Path, tree: &Path) -> Option<Result<Value, String>> {
    let services = fleet["services"].as_object().unwrap().values();
    let modules: BTreeSet<&str> = services.filter_map(|service| service["run"]["nixos"]["module"].as_str()).collect();
    let words = |words: &BTreeSet<&str>| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" ");
    let stub = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nixos/eval.nix");
    evaluate(
        store,
        &format!(
            "import {} {{ tree = {}; modulesOfUser = [ {} ]; packages = [ \"htop\" \"backrest\" ]; }}",
            stub.display(),
            tree.display(),
            words(&modules)
        ),
    )
}

fn nix_files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut open = vec![folder.to_owned()];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                open.push(path);
            } else if path.extension().is_some_and(|ending| ending == "nix") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn every_file_is_read_by_nix() {
    let store = tempfile::tempdir().unwrap();
    for seed in SEEDS {
        let (_home, tree) = written(&fleet(seed));
        let files = nix_files(&tree);
        assert!(files.len() > 8, "{seed}: {files:?}");
        let Some(mut command) = evaluator(store.path()) else { return };
        let (good, said) = say(command.arg("--parse").args(&files));
        assert!(good, "{seed}: {said}");
    }
}

/// The stubs in tests/nixos are of exactly the options that we set; a wrong name or type fails there.
#[test]
fn the_seeds_come_to_what_they_say() {
    let store = tempfile::tempdir().unwrap();
    let value = |seed: &str| -> Option<Value> {
        let fleet = fleet(seed);
        let (_home, tree) = written(&fleet);
        Some(come_to(&fleet, store.path(), &tree)?.unwrap_or_else(|error| panic!("{seed}: {error}")))
    };
    let Some(snek) = value("seed-000.json").map(|all| all["snek"].clone()) else { return };
    assert_eq!(
        snek["services"]["caddy"]["virtualHosts"].as_object().unwrap().len(),
        9,
        "four names twice, and the sinkhole"
    );
    let ask = snek["services"]["caddy"]["globalConfig"].as_str().unwrap();
    assert!(ask.contains("ask http://127.0.0.1:2583/tls-check"), "{ask}");
    assert_eq!(snek["services"]["caddy"]["package"], "/stub/caddy-with-1");
    assert_eq!(snek["systemd"]["sockets"]["plumbline-forward-radicle-p2p"]["listenStreams"], json!(["8776"]));
    assert_eq!(snek["sops"]["secrets"]["pds-jwt-secret"]["key"], "PDS_JWT_SECRET");
    assert_eq!(snek["services"]["prometheus"]["exporters"]["node"]["port"], 9100);
    let rules = snek["networking"]["firewall"]["extraInputRules"].as_str().unwrap();
    for port in [22, 80, 443, 8776] {
        assert!(rules.contains(&format!("tcp dport {port} accept")), "{rules}");
    }
    for port in [2583, 5555, 3001, 9090] {
        assert!(!rules.contains(&port.to_string()), "{port} stays inside: {rules}");
    }

    let all = value("seed-001.json").unwrap();
    for (host, platform) in [("vps-x86", "x86_64-linux"), ("vps-arm", "aarch64-linux")] {
        let host = &all[host];
        assert_eq!(host["nixpkgs"]["hostPlatform"], platform);
        assert_eq!(host["services"]["openssh"]["ports"], json!([2222]));
        assert_eq!(host["services"]["openssh"]["openFirewall"], false);
        assert_eq!(host["services"]["fail2ban"]["bantime-increment"]["enable"], true);
        assert_eq!(host["services"]["fail2ban"]["maxretry"], 5);
        assert_eq!(host["system"]["autoUpgrade"]["dates"], "daily");
        assert_eq!(host["sops"]["age"], json!({"keyFile": "/var/lib/sops-nix/key.txt", "sshKeyPaths": []}));
        assert_eq!(host["sops"]["secrets"]["ssh-public-key"]["neededForUsers"], true);
        let content = host["sops"]["templates"]["authorized_keys.root"]["content"].as_str().unwrap();
        assert_eq!(content, "<placeholder of ssh-public-key.text>\n");
        let partitions = host["disko"]["devices"]["disk"]["main"]["content"]["partitions"].as_object().unwrap();
        assert_eq!(partitions.keys().collect::<Vec<_>>(), ["boot", "esp", "root"]);
        let home = &host["home-manager"]["users"]["openclaw"];
        assert_eq!(home["programs"]["openclaw"]["enable"], true);
        // Its token, from a file that is filled in RAM and is its own.
        let filled = &home["systemd"]["user"]["services"]["openclaw-gateway"]["Service"]["EnvironmentFile"];
        assert_eq!(filled, &json!(["/run/secrets/rendered/openclaw-gateway.env"]));
        let template = &host["sops"]["templates"]["openclaw-gateway.env"];
        assert_eq!(template["owner"], "openclaw");
        assert!(template["content"].as_str().unwrap().starts_with("OPENCLAW_GATEWAY_TOKEN="), "{template}");
        let rules = host["networking"]["firewall"]["extraInputRules"].as_str().unwrap();
        assert_eq!(rules.matches("accept").count(), 2, "2222 and 443 only: {rules}");
    }

    let all = value("seed-002.json").unwrap();
    let edge = &all["vps-pacman"]["services"]["nginx"];
    assert_eq!(
        edge["virtualHosts"]["_"],
        json!({"default": true, "extraConfig": "return 444;\n", "quic": true, "rejectSSL": true, "reuseport": true})
    );
    let site = &edge["virtualHosts"]["git.alienzj.org"];
    assert_eq!((&site["http3"], &site["kTLS"], &site["forceSSL"]), (&json!(true), &json!(true), &json!(true)));
    assert!(edge["commonHttpConfig"].as_str().unwrap().contains("ssl_early_data on;"));
    assert!(site["extraConfig"].as_str().unwrap().contains("return 425;"), "the guard of early data");
    assert!(
        site["locations"]["/"]["extraConfig"]
            .as_str()
            .unwrap()
            .contains("proxy_set_header X-Forwarded-For $remote_addr;")
    );
    let behind = all["lab-matrix"]["services"]["nginx"]["commonHttpConfig"].as_str().unwrap();
    assert!(behind.contains("set_real_ip_from 100.64.0.1;"), "{behind}");
    assert_eq!(all["lab-matrix"]["services"]["postgresql"]["package"], "/stub/postgresql_18");
    assert_eq!(all["lab-matrix"]["services"]["forgejo"]["settings"]["mailer"]["SMTP_ADDR"], "in-v3.mailjet.com");
    assert_eq!(all["vps-pacman"]["security"]["acme"]["certs"]["git.alienzj.org"]["dnsProvider"], "cloudflare");
    for host in ["vps-pacman", "lab-matrix", "id3-eniac"] {
        let sysctl = &all[host]["boot"]["kernel"]["sysctl"];
        assert_eq!(sysctl["net.ipv4.ip_nonlocal_bind"], 1, "{host}: nginx starts before Tailscale has an address");
    }
    let script = all["id3-eniac"]["system"]["activationScripts"]["plumbline-templates"]["text"].as_str().unwrap();
    assert!(script.contains("replace-secret '@@secret:vaultwarden-db@@' /run/secrets/vaultwarden-db"), "{script}");

    let home = value("seed-003.json").unwrap()["nixos"].clone();
    assert_eq!(home["services"]["homepage-dashboard"]["services"].as_array().unwrap().len(), 4, "groups of tiles");
    let jellyfin = &home["services"]["nginx"]["virtualHosts"]["jellyfin-home.javiersc.com"];
    assert!(jellyfin["locations"]["/"]["extraConfig"].as_str().unwrap().contains("deny all;"), "private networks only");
    assert!(
        home["systemd"]["services"]["cloudflared-tunnel-main"]["serviceConfig"]["ExecStart"]
            .as_str()
            .unwrap()
            .contains("--token-file %d/token")
    );
    let cockpit = &home["services"]["cockpit"];
    assert_eq!(cockpit["allowed-origins"], json!(["https://cockpit-home.javiersc.com"]), "else nobody gets in by name");
    let router = &home["services"]["openthread-border-router"];
    assert_eq!((&router["web"]["enable"], &router["web"]["listenPort"]), (&json!(true), &json!(8086)));
    assert_eq!(
        home["systemd"]["services"]["home-assistant"]["after"],
        json!([
            "mosquitto.service",
            "matter-server.service",
            "otbr-agent.service",
            "wyoming-faster-whisper-main.service",
            "wyoming-piper-main.service"
        ])
    );
    assert_eq!(home["services"]["wyoming"]["piper"]["servers"]["main"]["uri"], "tcp://127.0.0.1:10200");
}

#[test]
fn the_stubs_refuse_what_there_is_not() {
    let store = tempfile::tempdir().unwrap();
    let mut bad = fleet("seed-001.json");
    bad["hosts"]["vps-x86"]["extra"] = json!({"nixos": "{ services.openssh.openFirewal = true; }"});
    let (_home, tree) = written(&bad);
    let Some(found) = come_to(&bad, store.path(), &tree) else { return };
    assert!(found.unwrap_err().contains("openFirewal' does not exist"));
    bad["hosts"]["vps-x86"]["extra"] = json!({"nixos": "{ services.openssh.ports = \"22\"; }"});
    let (_home, tree) = written(&bad);
    assert!(come_to(&bad, store.path(), &tree).unwrap().unwrap_err().contains("is not of type"));
}

#[test]
fn health_asks_for_the_units_that_nixos_has() {
    let units = |fleet: &Value, host: &str| -> BTreeMap<String, String> {
        let report = document(&["health", "--from", host], fleet);
        let checks = report["checks"].as_array().unwrap().iter().filter(|check| check["unit"].is_object());
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        checks.map(|check| (text(&check["id"]), text(&check["unit"]["name"]))).collect()
    };
    let found = units(&rich(), "box");
    assert_eq!(found["box.two.web.unit"], "podman-two-web.service");
    assert_eq!(found["box.two.db.unit"], "podman-two-db.service");
    assert_eq!(found["box.worker.unit"], "worker.service");
    // One server, whatever its version; a cluster's name is Debian's.
    let snek = fleet("seed-000.json");
    assert_eq!(units(&snek, "snek")["snek.postgres.unit"], "postgresql.service");
    // Units that are not called after their module.
    assert_eq!(units(&snek, "snek")["snek.knot.unit"], "knot.service");
    assert_eq!(units(&snek, "cobh")["cobh.radicle.unit"], "radicle-node.service");
    let home = units(&fleet("seed-003.json"), "nixos");
    assert_eq!(home["nixos.cockpit.unit"], "cockpit.socket");
    assert_eq!(home["nixos.otbr.unit"], "otbr-agent.service");
}

#[test]
fn a_module_may_not_open_the_firewall_itself() {
    for run in [
        json!({"nixos": {"module": "services.mine", "options": {"openFirewall": true}}}),
        json!({"nixos": {"module": "services.mine", "options": {"a": {"openFirewall": true}}}}),
        json!({"nixos": {"module": "services.mine", "system": {"services.other.openFirewall": true}}}),
        json!({"nixos": {"module": "services.mine", "system": {"networking.firewall.allowedTCPPorts": [1]}}}),
    ] {
        let mut fleet = rich();
        fleet["services"]["mine"]["run"] = run;
        let output = cfg_render(&["host", "--host", "box"], &fleet.to_string());
        assert_eq!(output.status.code(), Some(65));
        assert!(String::from_utf8_lossy(&output.stderr).contains("/services/mine/run/nixos/"), "{output:?}");
    }
}

/// Each file of a host's tree, with what made it.
fn tree_of(value: &Value, host: &str) -> BTreeMap<String, TreeFile> {
    let fleet = crate::fleet::fleet(value.clone());
    let resolved = fleet.resolved();
    let model = Model::new(&fleet, &resolved);
    render(&model, model.host(host).unwrap()).tree.unwrap().entries
}

#[test]
fn removing_a_service_changes_only_files_that_name_it() {
    let cases = [
        (fleet("seed-000.json"), vec!["snek", "cobh", "nixos"]),
        (fleet("seed-002.json"), vec!["vps-pacman", "lab-matrix"]),
        (fleet("seed-003.json"), vec!["nixos"]),
        (rich(), vec!["box"]),
        (parity::fleet(&json!({"kind": "nginx"})), vec!["box", "back"]),
        (parity::fleet(&json!({"kind": "caddy"})), vec!["box"]),
        (parity::fleet(&json!({"kind": "traefik"})), vec!["box"]),
        (parity::with_agenix(), vec!["box"]),
    ];
    for (whole, hosts) in cases {
        for service in whole["services"].as_object().unwrap().keys() {
            let mut less = whole.clone();
            less["services"].as_object_mut().unwrap().remove(service);
            for host in &hosts {
                let (before, after) = (tree_of(&whole, host), tree_of(&less, host));
                for path in before.keys().chain(after.keys()).collect::<BTreeSet<_>>() {
                    let same = before.get(path).map(|entry| &entry.file) == after.get(path).map(|entry| &entry.file);
                    let own = format!("/services/{service}");
                    let named = before.get(path).is_some_and(|entry| {
                        entry
                            .from
                            .iter()
                            .any(|place| place.as_str() == own || place.as_str().starts_with(&format!("{own}/")))
                    });
                    assert!(
                        same || named,
                        "without {service}, {path} of {host} changes, but it comes from {:?}",
                        before.get(path).map(|entry| &entry.from)
                    );
                }
            }
        }
    }
}

#[test]
fn the_order_of_keys_does_not_matter_and_no_secret_is_in_a_file() {
    for (fleet, host) in [(fleet("seed-000.json"), "snek"), (fleet("seed-002.json"), "id3-eniac"), (rich(), "box")] {
        let args = ["host", "--host", host];
        let one = cfg_render(&args, &fleet.to_string());
        let other = cfg_render(&args, &shuffled(&fleet));
        assert!(one.status.success(), "{}", String::from_utf8_lossy(&one.stderr));
        assert_eq!(String::from_utf8_lossy(&one.stdout), String::from_utf8_lossy(&other.stdout));
        for (path, entry) in tree_of(&fleet, host) {
            let text = entry.file.content.unwrap_or_default();
            // agenix has no templates: the script that fills them has the marks, which are no values.
            assert!(!text.contains("@@secret:") || text.contains("replace-secret"), "{path}: {text}");
            assert!(!entry.from.is_empty(), "{path} does not say where it comes from");
        }
    }
}

#[test]
fn the_document_fits_its_schema() {
    for (fleet, host) in [(fleet("seed-001.json"), "vps-arm"), (rich(), "box")] {
        let document = document(&["host", "--host", host], &fleet);
        let schema: Value = serde_json::from_str(contract::published_schema("host.desired/v1").unwrap()).unwrap();
        let validator = jsonschema::validator_for(&schema).unwrap();
        let errors: Vec<_> =
            validator.iter_errors(&document).map(|error| format!("{}: {error}", error.instance_path())).collect();
        assert!(errors.is_empty(), "{errors:#?}");
        let kinds: BTreeSet<&str> = document["items"]
            .as_array()
            .unwrap()
            .iter()
            .map(|item| if item.get("nixos").is_some() { "nixos" } else { "tool" })
            .collect();
        assert!(kinds.contains("nixos"));
        assert_eq!(document["access"]["ssh_ports"].as_array().unwrap().len(), 1);
    }
}

#[test]
fn a_tree_in_git_keeps_what_is_the_users() {
    let (home, tree) = written(&fleet("seed-001.json"));
    let fleet_file = home.path().join("fleet.json");
    let out = |args: &[&str]| {
        cfg_render(&[&["host", "--out", tree.to_str().unwrap()], args, &[fleet_file.to_str().unwrap()]].concat(), "")
    };
    std::fs::write(tree.join("flake.lock"), "mine").unwrap();
    std::fs::write(tree.join("hosts/vps-x86/own.nix"), "{ }\n").unwrap();
    std::fs::write(tree.join("hosts/vps-x86/old.nix"), "# Made from the fleet \"x\". Changes\n{ }\n").unwrap();
    let said = out(&["--all"]);
    assert_eq!(
        String::from_utf8_lossy(&said.stdout),
        "removed hosts/vps-x86/old.nix, which the fleet no longer makes\n"
    );
    assert_eq!(std::fs::read_to_string(tree.join("flake.lock")).unwrap(), "mine");
    assert!(tree.join("hosts/vps-x86/own.nix").exists());
    let said = out(&["--all"]);
    assert!(String::from_utf8_lossy(&said.stdout).starts_with("nothing to do"));
    std::fs::remove_dir_all(tree.join("hosts/vps-arm")).unwrap();
    std::os::unix::fs::symlink(home.path(), tree.join("hosts/vps-arm")).unwrap();
    let said = out(&["--all"]);
    assert_eq!(said.status.code(), Some(76), "{}", String::from_utf8_lossy(&said.stderr));
    assert!(!home.path().join("system.nix").exists());
}

#[test]
fn a_flake_of_the_user_keeps_its_own_files() {
    let mut fleet = rich();
    fleet["hosts"]["box"]["nixos"] =
        json!({"flake": "nix", "modules": ["nix/extra/gpu.nix"], "files": ["nix/lib.nix"]});
    let document = document(&["host", "--host", "box"], &fleet);
    let item = document["items"].as_array().unwrap().iter().find(|item| item.get("nixos").is_some()).unwrap();
    let files = &item["nixos"]["files"];
    assert_eq!(files["flake.nix"]["source"], "nix/flake.nix");
    assert_eq!(files["flake.lock"]["source"], "nix/flake.lock");
    assert_eq!(files["extra/gpu.nix"]["source"], "nix/extra/gpu.nix");
    assert_eq!(files["lib.nix"]["source"], "nix/lib.nix");
    assert!(files["hosts/box/default.nix"]["content"].as_str().unwrap().contains("../../extra/gpu.nix"));
}
