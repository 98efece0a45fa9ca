//! NixOS hosts: what is written is read by Nix, sets only options that there are, and comes to what the fleet says.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;

use cfg_render::format::nix::{self, Nix, Part};
use cfg_render::host::render;
use cfg_render::model::Model;
use cfg_render::nixos::TreeFile;
use proptest::prelude::*;
use serde_json::{Value, json};

use crate::documents::shuffled;
use crate::run::{cfg_render, document, fleet, peer, say};

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
fn written(fleet: &Value) -> (tempfile::TempDir, PathBuf) {
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
fn come_to(fleet: &Value, store: &Path, tree: &Path) -> Option<Result<Value, String>> {
    let services = fleet["services"].as_object().unwrap().values();
    let modules: BTreeSet<&str> = services.filter_map(|service| service["run"]["nixos"]["module"].as_str()).collect();
    let words = |words: &BTreeSet<&str>| words.iter().map(|word| format!("\"{word}\"")).collect::<Vec<_>>().join(" ");
    let stub = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/nixos/eval.nix");
    evaluate(
        store,
        &format!(
            "import {} {{ tree = {}; modulesOfUser = [ {} ]; packages = [ \"htop\" ]; }}",
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
        assert_eq!(host["home-manager"]["users"]["openclaw"]["programs"]["openclaw"]["enable"], true);
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

/// A host with something of everything that the seeds have not.
fn rich() -> Value {
    let key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me@laptop";
    json!({
        "schema": "fleet/v1", "name": "rich", "domain": "example.net", "email": "ops@example.net",
        "networks": {"lan": {"cidrs": ["10.1.0.0/24", "fd00:1::/48"], "interface": "enp1s0"}},
        "hosts": {"box": {
            "os": "nixos-25.11", "addresses": {"public": ["192.0.2.1"], "lan": ["10.1.0.1"]}, "hostname": "box1", "timezone": "Etc/UTC",
            "ssh": {"keys": [key], "from": ["lan"], "user": "ann", "become": "sudo", "root": "no"},
            "network": {"static": {"interface": "eth0", "addresses": ["192.0.2.1/24", "2001:db8::1/64"], "gateways": ["192.0.2.254", "2001:db8::fe"], "nameservers": ["9.9.9.9"]}},
            "packages": ["htop"], "sysctl": {"vm.swappiness": "10"}, "kernel_modules": ["wireguard"],
            "users": {"ann": {"admin": true, "groups": ["media"], "uid": 1001}, "bot": {"system": true, "home": "/srv/bot"}},
            "groups": {"media": {"gid": 2000}},
            "disk": {"device": "/dev/vda", "layout": "efi", "swap": "2G", "filesystem": "btrfs"}, "bootloader": "systemd-boot",
            "updates": {"reboot": "04:30", "scope": "all"},
            "timers": {"tidy": {"calendar": "weekly", "exec": ["/run/current-system/sw/bin/true", "50%"], "user": "bot", "jitter": "10m"}},
            "units": {"getty@tty1.service": {"masked": true}},
            "directories": {"/srv/media": {"mode": "0775", "group": "media"}},
            "files": {
                "/etc/motd": {"content": "hello ${world} ''quoted''\n"},
                "/srv/x y": {"content": "x", "mode": "0600", "owner": "bot", "restart": ["worker.service"]},
                "/etc/secret.conf": {"template": "key=@@secret:token@@\n", "restart": ["worker.service"]}
            },
            "containers": {"engine": "podman"},
            "proxy": {"kind": "nginx", "limits": {"rate": "10r/s", "burst": 20}, "listen": ["public"]},
            "extra": {"sshd": ["MaxSessions 5"], "nftables": ["tcp dport 7 drop"], "nginx": {"http": ["map_hash_bucket_size 128"]}, "nixos": "{ environment.etc.x.text = \"y\"; }"},
            "fail2ban": {"ignore": ["lan", "198.51.100.7"], "jails": {"nginx-http-auth": {"maxretry": 3}}}
        }},
        "services": {
            "site": {"host": "box", "run": {"static": {"root": "/srv/site"}}, "proxy": [{"names": ["example.net", "www.example.net"]}]},
            "worker": {
                "host": "box", "run": {"systemd": {"exec": ["/run/current-system/sw/bin/worker", "--flag=$HOME", "a b"], "packages": ["htop"], "writable": ["/srv/media"]}},
                "ports": {"http": {"port": 8000}}, "proxy": [{"names": ["app.example.net"], "path": "/app", "streaming": true, "timeout": "5m"}],
                "env": {"A": "x\"y\\z", "TOKEN": {"secret": "token"}}, "env_secrets": ["envs"], "secrets": ["token"],
                "extra": {"systemd": {"Service": {"MemoryMax": ["1G"]}}, "nginx": {"server": ["error_page 404 /x"], "location": ["proxy_buffers 8 16k"]}},
                "backup": {"none": "nothing"}
            },
            "nightly": {"host": "box", "run": {"systemd": {"exec": ["/run/current-system/sw/bin/true"], "calendar": "daily"}}, "needs": ["worker"], "backup": {"none": "nothing"}},
            "two": {
                "host": "box", "run": {"containers": {
                    "web": {"image": "docker.io/library/x:1", "needs": ["db"], "volumes": ["./data:/data", "vol:/v:ro"], "env": {"B": "1"}, "memory": "512m"},
                    "db": {"image": "docker.io/library/y:1", "env": {"PASSWORD": {"secret": "token"}}, "capabilities": ["CHOWN"]}
                }},
                "ports": {"http": {"port": 8100, "container_port": 80, "container": "web", "bind": "lan"}},
                "needs": ["worker"], "proxy": [{"names": ["two.example.net"], "from": ["lan"]}], "backup": {"none": "nothing"}
            },
            "mine": {"host": "box", "run": {"nixos": {"module": "services.mine", "options": {"a.b": [1, {"c": null}], "token": {"secret": "token"}, "pkg": {"$nix": "pkgs.htop"}}, "system": {"boot.kernelModules": ["fuse"]}}}, "backup": {"none": "nothing"}}
        },
        "secrets": {"token": {}, "envs": {"file": "secrets/envs.env"}}
    })
}

#[test]
fn a_rich_host_comes_to_what_it_says() {
    let store = tempfile::tempdir().unwrap();
    let (_home, tree) = written(&rich());
    let Some(found) = come_to(&rich(), store.path(), &tree) else { return };
    let host = found.unwrap_or_else(|error| panic!("{error}"))["box"].clone();
    assert_eq!(host["environment"]["etc"]["motd"]["text"], "hello ${world} ''quoted''\n");
    assert_eq!(host["services"]["openssh"]["settings"]["MaxSessions"], "5");
    assert_eq!(host["services"]["openssh"]["settings"]["PermitRootLogin"], "no");
    assert_eq!(host["users"]["users"]["ann"]["extraGroups"], json!(["media", "wheel"]));
    assert_eq!(host["users"]["users"]["worker"]["isSystemUser"], true);
    assert_eq!(
        host["networking"]["interfaces"]["eth0"]["ipv4"]["addresses"],
        json!([{"address": "192.0.2.1", "prefixLength": 24}])
    );
    assert_eq!(host["networking"]["defaultGateway6"]["address"], "2001:db8::fe");
    assert_eq!(host["boot"]["kernelModules"], json!(["wireguard", "fuse"]));
    let worker = &host["systemd"]["services"]["worker"];
    assert_eq!(worker["serviceConfig"]["ExecStart"], "/run/current-system/sw/bin/worker \"--flag=$$HOME\" \"a b\"");
    assert_eq!(worker["serviceConfig"]["MemoryMax"], "1G");
    assert_eq!(
        worker["serviceConfig"]["EnvironmentFile"],
        json!(["/run/secrets/rendered/worker.env", "/run/secrets/envs"])
    );
    assert_eq!(host["sops"]["templates"]["worker.env"]["content"], "TOKEN=\"<placeholder of token>\"\n");
    assert_eq!(host["sops"]["secrets"]["envs"]["format"], "dotenv");
    assert_eq!(host["systemd"]["services"]["nightly"]["after"], json!(["network-online.target", "worker.service"]));
    assert_eq!(host["systemd"]["timers"]["nightly"]["timerConfig"]["OnCalendar"], "daily");
    let web = &host["virtualisation"]["oci-containers"]["containers"]["two-web"];
    assert_eq!(web["ports"], json!(["10.1.0.1:8100:80"]));
    assert_eq!(web["volumes"], json!(["/opt/two/data:/data", "vol:/v:ro"]));
    assert_eq!(web["dependsOn"], json!(["two-db"]));
    let unit = &host["systemd"]["services"]["podman-two-web"];
    assert_eq!(unit["after"], json!(["worker.service", "podman-network-two.service"]));
    let mine = &host["services"]["mine"];
    assert_eq!(
        mine,
        &json!({"enable": true, "a": {"b": [1, {"c": null}]}, "token": "/run/secrets/token", "pkg": "/stub/htop"})
    );
    let site = &host["services"]["nginx"]["virtualHosts"]["app.example.net"];
    assert!(site["extraConfig"].as_str().unwrap().contains("error_page 404 /x;"));
    assert!(site["locations"]["/app"]["extraConfig"].as_str().unwrap().contains("proxy_buffering off;"));
    assert_eq!(host["services"]["nginx"]["defaultListenAddresses"], json!(["192.0.2.1"]));
    assert_eq!(host["system"]["autoUpgrade"]["rebootWindow"], json!({"lower": "04:30", "upper": "05:30"}));
    assert_eq!(
        host["systemd"]["tmpfiles"]["settings"]["10-plumbline"]["/etc/secret.conf"]["L+"]["argument"],
        "/run/secrets/rendered/file-etc-secret.conf"
    );
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
    assert_eq!(units(&fleet("seed-000.json"), "snek")["snek.postgres.unit"], "postgresql.service");
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

/// Every text comes back equal from Nix, whatever it holds.
fn come_back(texts: &[String]) {
    let store = tempfile::tempdir().unwrap();
    let mut list: Vec<Nix> = texts.iter().map(Nix::text).collect();
    // Before an expression a dollar sign or a quote means something else again.
    list.extend(texts.iter().map(|text| {
        Nix::Text(vec![Part::Plain(text.clone()), Part::Expression("\"|\"".into()), Part::Plain(text.clone())])
    }));
    list.extend(texts.iter().map(|text| Nix::set([(text.clone(), Nix::text(text))])));
    let written = nix::write(&Nix::List(list)).unwrap();
    let Some(found) = evaluate(store.path(), &written) else { return };
    let found = found.unwrap_or_else(|error| panic!("{error}\n{written}"));
    let mut expected: Vec<Value> = texts.iter().map(|text| json!(text)).collect();
    expected.extend(texts.iter().map(|text| json!(format!("{text}|{text}"))));
    expected.extend(texts.iter().map(|text| json!({text: text})));
    for (found, expected) in found.as_array().unwrap().iter().zip(&expected) {
        assert_eq!(found, expected);
    }
}

#[test]
fn hostile_texts_come_back() {
    let hard = [
        "",
        "$",
        "$$",
        "${",
        "$${",
        "$$${x}",
        "\\${x}",
        "''",
        "'''",
        "''${x}",
        "'",
        "\"",
        "\\",
        "\\n",
        "a\nb\n",
        "  a\n b\n",
        "a\n  b\n",
        "a''\n",
        "a'\n${x}\n",
        "\t\n",
        " \n",
        "\n",
        "a\n\n",
        "a\r\nb\n",
        "${builtins.readFile \"/etc/shadow\"}\n",
        "x'${y}\n",
        "$\n",
        "a$\n",
        "''\\n\n",
        "日本語\n",
        "\u{7f}",
        "# no comment\n",
        "if",
        "a-b",
        "1a",
        "or",
        "'' + builtins.abort \"x\" + ''\n",
        "a\u{1}\n",
        "$${a}\n",
        "''$\n",
        "'$\n",
    ];
    come_back(&hard.map(str::to_owned));
    assert!(nix::write(&Nix::text("a\0b")).is_err(), "no string of Nix holds NUL");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 4, ..ProptestConfig::default() })]
    #[test]
    fn random_texts_come_back(texts in prop::collection::vec("([ \\\\$'\"{}\n\tab]|\\$\\{|'')*", 200)) {
        come_back(&texts);
    }
}

#[test]
fn numbers_come_back() {
    let store = tempfile::tempdir().unwrap();
    let value = json!([0, -1, 9_223_372_036_854_775_807_i64, -9_223_372_036_854_775_808_i64, 1.5, -0.25, 1e300, 1e-7, 100.0, {"a": -1, "b": [[-2]]}, null, true]);
    let written = nix::write(&Nix::from_json(&value).unwrap()).unwrap();
    let Some(found) = evaluate(store.path(), &written) else { return };
    // Nix prints a float without its point where nothing stands behind it.
    let found = found.unwrap();
    let numbers = |value: &Value| -> Vec<f64> { value.as_array().unwrap().iter().filter_map(Value::as_f64).collect() };
    assert_eq!(numbers(&found), numbers(&value));
    assert_eq!(found[9], value[9]);
    assert!(Nix::from_json(&json!(u64::MAX)).is_err());
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
