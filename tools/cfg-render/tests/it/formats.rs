//! Every file is read by the program that will read it on a host.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

use crate::run::{files, fleet, is_root, peer, say};
use crate::{rich, run};

/// Hosts whose files are read: those of every fleet of the pipelines, and those of one that uses everything.
fn hosts() -> Vec<(String, Vec<(String, String)>)> {
    let mut all = Vec::new();
    let rich = rich::fleet("nginx");
    for host in ["edge", "back"] {
        all.push((format!("rich {host}"), files(&rich, host)));
    }
    let mut names: Vec<_> = fs::read_dir(run::fleets()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    for name in names
        .iter()
        .filter_map(|name| name.to_str())
        .filter(|name| Path::new(name).extension().is_some_and(|end| end == "json"))
    {
        for line in run::text(&["host", "--all"], &fleet(name)).lines() {
            let desired: Value = serde_json::from_str(line).unwrap();
            // NixOS makes its files itself; what we write for it is read by Nix (see nixos.rs).
            if desired["items"].as_array().unwrap().iter().any(|item| item["nixos"].is_object()) {
                continue;
            }
            let files = run::files_of(&desired);
            all.push((format!("{name} {}", desired["host"]), files));
        }
    }
    assert!(all.len() > 3);
    all
}

fn put(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// A self-signed certificate wherever a file names one.
pub(crate) fn certificates(text: &str, folder: &Path) {
    for word in text.split(|c: char| c.is_whitespace() || c == ';') {
        if word.starts_with(folder.to_str().unwrap()) && word.ends_with("fullchain.pem") {
            let made = rcgen::generate_simple_self_signed(["x.test".to_owned()]).unwrap();
            let directory = Path::new(word).parent().unwrap();
            fs::create_dir_all(directory).unwrap();
            fs::write(word, made.cert.pem()).unwrap();
            fs::write(directory.join("key.pem"), made.signing_key.serialize_pem()).unwrap();
        }
    }
}

#[test]
fn nginx_reads_its_files() {
    let Some(nginx) = peer("nginx", "apt-get install nginx-light=1.22.1-9+deb12u10") else { return };
    for (name, files) in hosts() {
        if !files.iter().any(|(path, _)| path == "/etc/nginx/nginx.conf") {
            continue;
        }
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().to_str().unwrap();
        fs::create_dir_all(folder.path().join("log")).unwrap();
        for (path, text) in files.iter().filter(|(path, _)| path.starts_with("/etc/nginx/")) {
            let text = text
                .replace("/etc/nginx/plumbline.d", &format!("{root}/etc/nginx/plumbline.d"))
                .replace("/var/lib/plumbline", &format!("{root}/lib"))
                .replace("/var/log/nginx", &format!("{root}/log"))
                .replace("/run/nginx.pid", &format!("{root}/pid"));
            certificates(&text, folder.path());
            put(folder.path(), path.trim_start_matches('/'), &text);
        }
        let conf = folder.path().join("etc/nginx/nginx.conf");
        let (good, said) = say(Command::new(&nginx).args(["-t", "-q", "-c"]).arg(&conf));
        // A warning, too, is a fault of ours (a name twice, a directive that has gone).
        assert!(good && !said.contains("[warn]"), "{name}: {said}");
    }
}

#[test]
fn caddy_reads_its_file_and_would_not_format_it() {
    let Some(caddy) = peer("caddy", "apt-get install caddy=2.6.2-5") else { return };
    let files = files(&rich::fleet("caddy"), "edge");
    let (_, text) = files.iter().find(|(path, _)| path == "/etc/caddy/Caddyfile").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap();
    let text = text.replace("/var/lib/plumbline", &format!("{root}/lib"));
    certificates(&text, folder.path());
    let path = put(folder.path(), "Caddyfile", &text);
    let home = |command: &mut Command| {
        command.env("HOME", root).env("XDG_DATA_HOME", root).env("XDG_CONFIG_HOME", root);
    };
    let mut validate = Command::new(&caddy);
    validate.args(["validate", "--adapter", "caddyfile", "--config", &path]);
    home(&mut validate);
    let (good, said) = say(&mut validate);
    assert!(good && said.contains("Valid configuration"), "{said}\n{text}");
    let mut fmt = Command::new(&caddy);
    fmt.args(["fmt", &path]);
    home(&mut fmt);
    let (_, formatted) = say(&mut fmt);
    assert_eq!(formatted, text);
}

#[test]
fn nft_reads_the_firewall() {
    let Some(nft) = peer("nft", "apt-get install nftables") else { return };
    if !is_root() {
        eprintln!("skipped: nft needs a network namespace (run as root)");
        return;
    }
    for (name, files) in hosts() {
        let (_, text) = files.iter().find(|(path, _)| path == "/etc/nftables.conf").unwrap();
        let folder = tempfile::tempdir().unwrap();
        let path = put(folder.path(), "nftables.conf", text);
        // Loaded twice for real, in a namespace of its own: the second time over the first.
        let script = format!("{0} -f {path} && {0} -f {path} && {0} list table inet plumbline", nft.display());
        let (good, said) = say(Command::new("unshare").args(["-n", "sh", "-c", &script]));
        assert!(good && said.contains("ssh_ports"), "{name}: {said}\n{text}");
    }
}

#[test]
fn sshd_reads_the_drop_in() {
    let Some(sshd) = peer("sshd", "apt-get install openssh-server") else { return };
    let Some(keygen) = peer("ssh-keygen", "apt-get install openssh-client") else { return };
    let _ = fs::create_dir_all("/run/sshd");
    for (name, files) in hosts() {
        let (_, text) = files.iter().find(|(path, _)| path.starts_with("/etc/ssh/")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let key = folder.path().join("key");
        assert!(say(Command::new(&keygen).args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key)).0);
        let path = put(folder.path(), "sshd_config", &format!("{text}HostKey {}\n", key.display()));
        let (good, said) = say(Command::new(&sshd).args(["-T", "-f", &path]));
        assert!(good, "{name}: {said}");
        let port = text.lines().find(|line| line.starts_with("Port ")).unwrap().to_lowercase();
        for line in [
            port.as_str(),
            "passwordauthentication no",
            "permitrootlogin without-password",
            "kbdinteractiveauthentication no",
        ] {
            assert!(said.lines().any(|said| said == line), "{name}: {line}\n{said}");
        }
    }
}

#[test]
fn fail2ban_reads_its_jails() {
    let Some(client) = peer("fail2ban-client", "apt-get install fail2ban=1.0.2-2 python3-systemd") else { return };
    for (name, files) in hosts() {
        let (_, text) = files.iter().find(|(path, _)| path.starts_with("/etc/fail2ban/")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let conf = folder.path().join("fail2ban");
        assert!(say(Command::new("cp").args(["-r", "/etc/fail2ban"]).arg(&conf)).0);
        let log = put(folder.path(), "error.log", "");
        put(&conf, "jail.d/10-plumbline.local", &text.replace("/var/log/nginx/error.log", &log));
        let (good, said) = say(Command::new(&client).arg("-c").arg(&conf).args(["-t"]));
        assert!(good, "{name}: {said}\n{text}");
        let (good, said) = say(Command::new(&client).arg("-c").arg(&conf).args(["-d"]));
        let port = text.lines().find_map(|line| line.strip_prefix("port = ")).unwrap();
        let both = format!("['port', '{port}']");
        assert!(good && said.contains(&both) && said.contains("'nftables-multiport'"), "{name}: {said}");
    }
}

#[test]
fn promtool_reads_configuration_and_rules() {
    let Some(promtool) = peer("promtool", "apt-get install prometheus=2.42.0+ds-5+deb12u1") else { return };
    for (name, files) in hosts() {
        let Some((_, config)) = files.iter().find(|(path, _)| path == "/etc/prometheus/prometheus.yml") else {
            continue;
        };
        let (_, rules) = files.iter().find(|(path, _)| path.starts_with("/etc/prometheus/rules/")).unwrap();
        let folder = tempfile::tempdir().unwrap();
        let rules_path = put(folder.path(), "rules/plumbline.yml", rules);
        let config = config.replace("/etc/prometheus/rules", folder.path().join("rules").to_str().unwrap());
        let config_path = put(folder.path(), "prometheus.yml", &config);
        let (good, said) = say(Command::new(&promtool).args(["check", "config", &config_path]));
        assert!(good, "{name}: {said}\n{config}");
        let (good, said) =
            say(Command::new(&promtool).args(["check", "rules", "--lint=all", "--lint-fatal", &rules_path]));
        assert!(good, "{name}: {said}\n{rules}");
    }
}

/// Programs of units that are not installed where tests run.
const NOT_HERE: [&str; 5] =
    ["/usr/local/lib/plumbline/", "/usr/bin/docker", "/usr/bin/tailscale", "/usr/bin/cloudflared", "/usr/bin/podman"];

#[test]
fn systemd_reads_units_without_a_word() {
    let Some(analyze) = peer("systemd-analyze", "apt-get install systemd") else { return };
    for (name, files) in hosts() {
        let folder = tempfile::tempdir().unwrap();
        let mut units = Vec::new();
        for (path, text) in files.iter().filter(|(path, _)| path.starts_with("/etc/systemd/system/")) {
            let unit = path.trim_start_matches("/etc/systemd/system/");
            // Tools of the box are not installed where tests run.
            let text = text
                .lines()
                .map(|line| {
                    let (key, command) = line.split_once('=').unwrap_or(("", line));
                    let command = command.trim_start_matches('+');
                    if key.starts_with("Exec") && NOT_HERE.iter().any(|place| command.starts_with(place)) {
                        format!("{key}=/bin/true")
                    } else {
                        line.to_owned()
                    }
                })
                .collect::<Vec<_>>()
                .join("\n");
            let file = put(folder.path(), unit, &(text + "\n"));
            if !unit.contains('/') {
                units.push(file);
            }
        }
        assert!(!units.is_empty());
        let path = format!("{}:", folder.path().display());
        let (good, said) = say(Command::new(&analyze)
            .env("SYSTEMD_UNIT_PATH", path)
            .args(["verify", "--man=no", "--recursive-errors=no"])
            .args(&units));
        assert!(good && said.trim().is_empty(), "{name}: {said}");
    }
}

#[test]
fn visudo_and_apt_read_their_files() {
    for (name, files) in hosts() {
        let folder = tempfile::tempdir().unwrap();
        for (path, text) in &files {
            if path.starts_with("/etc/sudoers.d/") {
                let Some(visudo) = peer("visudo", "apt-get install sudo") else { continue };
                let file = put(folder.path(), "sudoers", text);
                fs::set_permissions(&file, fs::Permissions::from_mode(0o440)).unwrap();
                let (good, said) = say(Command::new(visudo).args(["-c", "-f", &file]));
                assert!(good, "{name}: {said}");
            }
            if path.starts_with("/etc/apt/apt.conf.d/") {
                let Some(config) = peer("apt-config", "apt-get install apt") else { continue };
                let file = put(folder.path(), "apt.conf", text);
                let (good, said) = say(Command::new(config).args(["-c", &file, "dump"]));
                assert!(good && said.contains("Unattended-Upgrade"), "{name}: {said}");
            }
        }
    }
}

#[test]
fn postgres_reads_settings_and_rules() {
    let Some(postgres) = peer("postgres", "apt-get install postgresql-15") else { return };
    if !is_root() {
        eprintln!("skipped: a private cluster is made as the user postgres (run as root)");
        return;
    }
    let initdb = postgres.with_file_name("initdb");
    let all = [("first", fleet("first.json"), "web1"), ("rich", rich::fleet("nginx"), "back")];
    for (name, fleet, host) in all {
        let files = files(&fleet, host);
        let of = |end: &str| &files.iter().find(|(path, _)| path.ends_with(end)).unwrap().1;
        let folder = tempfile::tempdir().unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let data = folder.path().join("data");
        let as_postgres = |program: &Path| {
            let mut command = Command::new("runuser");
            command.args(["-u", "postgres", "--"]).arg(program).current_dir("/");
            command
        };
        let (good, said) = say(as_postgres(&initdb).args(["-A", "peer", "-D"]).arg(&data));
        assert!(good, "{said}");
        put(&data, "conf.d/plumbline.conf", of("conf.d/plumbline.conf"));
        put(&data, "pg_hba.conf", of("pg_hba.conf"));
        let conf = data.join("postgresql.conf");
        let text = fs::read_to_string(&conf).unwrap() + "include_dir = 'conf.d'\n";
        fs::write(&conf, text).unwrap();
        let (good, said) = say(as_postgres(&postgres).arg("-D").arg(&data).args(["-C", "port"]));
        assert!(good && said.trim() == "5432", "{name}: {said}");
        let query = data.join("query");
        fs::write(&query, "select 'rules', count(*), count(error) from pg_hba_file_rules\n").unwrap();
        let output = as_postgres(&postgres)
            .args(["--single", "-D"])
            .arg(&data)
            .arg("postgres")
            .stdin(fs::File::open(&query).unwrap())
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        let rules = of("pg_hba.conf").lines().filter(|line| !line.starts_with('#')).count();
        assert!(said.contains(&format!("count = \"{rules}\"")) && said.contains("count = \"0\""), "{name}: {said}");
    }
}

#[test]
fn a_rendered_file_names_no_value_twice() {
    // The whole of a host is one line of JSON, and every path of it is there once.
    let fleet: Value = rich::fleet("nginx");
    for host in ["edge", "back"] {
        let mut paths: Vec<_> = run::files(&fleet, host).into_iter().map(|(path, _)| path).collect();
        let count = paths.len();
        paths.sort();
        paths.dedup();
        assert_eq!(paths.len(), count);
    }
}

#[test]
fn the_start_page_holds_what_people_wrote() {
    let hostile = [
        "plain",
        "say \"hi\"",
        "it's: a #map",
        "- list",
        "no",
        "{{x}}",
        "back\\slash",
        "ümläut €",
        "100%",
        "&a *b !c",
        "line\u{85}end",
        "tab\tend",
    ];
    let mut fleet = serde_json::json!({
        "schema": "fleet/v1", "name": "start", "domain": "start.test",
        "hosts": {"web": {"os": "debian-13", "addresses": {"public": ["192.0.2.1"]}, "containers": {"engine": "docker"},
            "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}}},
        "portal": {"service": "home", "title": hostile[1]},
        "services": {"home": {"host": "web", "run": {"container": {"image": "ghcr.io/gethomepage/homepage:v1.5.0"}}, "ports": {"http": 3000}, "backup": {"none": "a test"}}}
    });
    for (index, text) in hostile.iter().enumerate() {
        fleet["services"][format!("s{index}")] = serde_json::json!({"host": "web", "run": {"systemd": {"exec": ["/bin/true"]}}, "backup": {"none": "a test"},
            "dashboard": {"name": text, "group": text, "description": text, "icon": text, "href": format!("https://start.test/{index}")}});
    }
    let all = files(&fleet, "web");
    let read = |name: &str| {
        let path = format!("/etc/homepage/{name}.yaml");
        crate::traefik::yaml(&all.iter().find(|(known, _)| *known == path).unwrap_or_else(|| panic!("{path}")).1)
    };
    let Some(services) = read("services") else { return };
    assert_eq!(read("settings").unwrap()["title"], hostile[1]);
    for name in ["bookmarks", "widgets", "docker", "kubernetes", "proxmox"] {
        assert!(read(name).is_some());
    }
    for (index, text) in hostile.iter().enumerate() {
        let group =
            services.as_array().unwrap().iter().find_map(|group| group.get(text)).unwrap_or_else(|| panic!("{text}"));
        let tile = &group[0][text];
        assert_eq!((&tile["description"], &tile["icon"]), (&Value::from(*text), &Value::from(*text)));
        assert_eq!(tile["href"], format!("https://start.test/{index}"));
    }
}

#[test]
fn the_overlay_is_joined_with_what_the_fleet_says() {
    let fleet = serde_json::json!({
        "schema": "fleet/v1", "name": "overlay", "domain": "overlay.test",
        "networks": {"tailnet": {"cidrs": ["100.64.0.0/10"], "tailscale": {"login_server": "https://head.overlay.test", "auth_key": {"secret": "join"}, "tags": ["tag:server"],
            "routes": {"web": ["10.7.0.0/16"]}}}},
        "hosts": {"web": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"], "tailnet": ["100.64.0.1"]},
            "apt_repositories": [], "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}}},
        "secrets": {"join": {}}
    });
    let all = files(&fleet, "web");
    let of = |path: &str| all.iter().find(|(known, _)| known == path).unwrap_or_else(|| panic!("{path}")).1.clone();
    let unit = of("/etc/systemd/system/plumbline-tailscale.service");
    let exec = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/tailscale ")).unwrap();
    let words: Vec<_> = exec.split(' ').collect();
    for word in [
        "up",
        "--hostname=web",
        "--accept-dns=false",
        "--login-server=https://head.overlay.test",
        "--auth-key=file:/run/secrets/join",
        "--advertise-tags=tag:server",
        "--advertise-routes=10.7.0.0/16",
    ] {
        assert!(words.contains(&word), "{word}\n{unit}");
    }
    // It waits for its key, and the firewall lets the overlay's own packets in and no forged ones.
    assert!(
        of("/etc/systemd/system/plumbline-tailscale.service.d/10-plumbline-secrets.conf")
            .contains("plumbline-secrets.service")
    );
    let kernel = of("/etc/sysctl.d/61-plumbline-tailscale.conf");
    assert!(kernel.contains("net.ipv4.ip_forward = 1"));
    assert!(kernel.contains("net.ipv4.ip_nonlocal_bind = 1"), "servers may start before the address is there");
    let rules = of("/etc/nftables.conf");
    assert!(
        rules.contains("udp dport 41641 accept")
            && rules.contains("iifname != \"tailscale0\" ip saddr 100.64.0.0/10 drop"),
        "{rules}"
    );
}
