//! First drafts from the facts of running hosts.

use serde_json::{Value, json};

use crate::run::cfg_render;

fn facts(running: Value) -> Value {
    json!({
        "schema": "host.facts/v1", "hostname": "Old.example.net", "os_id": "debian", "os_version": "12", "arch": "x86_64", "kernel": "6.1.0", "init": "systemd",
        "addresses": ["192.0.2.7"], "ssh_ports": [22], "memory_bytes": 2_147_483_648_u64, "free_bytes": 1, "running": running
    })
}

fn adopt(facts: &Value) -> Value {
    let output = cfg_render(&["adopt", "--name", "old"], &facts.to_string());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|_| panic!("{output:?}"))
}

fn errors(draft: &Value) -> Vec<String> {
    let found: Value = serde_json::from_slice(&cfg_render(&["check"], &draft.to_string()).stdout).unwrap();
    let errors = found["findings"].as_array().unwrap().iter().filter(|finding| finding["level"] == "error");
    errors
        .map(|finding| format!("{} {}", finding["code"].as_str().unwrap(), finding["pointer"].as_str().unwrap()))
        .collect()
}

#[test]
fn what_runs_becomes_services_databases_and_questions() {
    let port = |port: u16, address: &str, unit: &str| json!({"proto": "tcp", "port": port, "address": address, "program": "x", "unit": unit});
    let mut draft = adopt(&facts(json!({
        "packages": ["htop", "nginx"],
        "units": [
            {"name": "shop.service", "own": true, "exec": "/usr/local/bin/shop --port 3000"},
            {"name": "nginx.service", "exec": "/usr/sbin/nginx"},
            {"name": "tidy.timer", "own": true, "calendar": "daily"}, {"name": "tidy.service", "own": true, "exec": "/usr/local/bin/tidy"}
        ],
        "ports": [
            port(22, "0.0.0.0", "ssh.service"), port(80, "0.0.0.0", "nginx.service"), port(3000, "127.0.0.1", "shop.service"),
            port(7000, "0.0.0.0", "game.service"), port(7000, "::", "game.service"), port(5432, "127.0.0.1", "postgresql@15-main.service")
        ],
        "sites": [
            {"server": "nginx", "file": "/etc/nginx/sites-enabled/shop", "names": ["shop.example.net"], "upstream": "http://127.0.0.1:3000"},
            {"server": "nginx", "file": "/etc/nginx/sites-enabled/shop", "names": ["shop.example.net"]},
            {"server": "nginx", "file": "/etc/nginx/sites-enabled/www", "names": ["www.example.net", "~^x"], "root": "/srv/www"},
            {"server": "nginx", "file": "/etc/nginx/sites-enabled/far", "names": ["far.example.net"], "upstream": "http://10.0.0.9:80"}
        ],
        "databases": [{"engine": "postgresql", "version": 15, "port": 5432, "name": "shop", "owner": "shop"}],
        "cron": [
            {"file": "/etc/cron.d/backup", "user": "root", "schedule": "0 3 * * *", "command": "/usr/bin/restic -r sftp:box:/r backup /srv/shop /etc"},
            {"file": "/etc/cron.d/x", "user": "www-data", "schedule": "*/5 * * * *", "command": "/usr/bin/php cron.php"}
        ],
        "containers": [
            {"engine": "docker", "name": "wiki-app-1", "image": "outline:1", "ports": ["127.0.0.1:8080->3000/tcp"], "project": "wiki"},
            {"engine": "docker", "name": "wiki-redis-1", "image": "redis:7", "project": "wiki"},
            {"engine": "docker", "name": "vault", "image": "vaultwarden:1", "ports": ["0.0.0.0:8222->80/tcp", "[::]:8222->80/tcp"]}
        ],
        "unseen": ["containers of podman: permission denied"]
    })));
    let services = &draft["services"];
    assert_eq!(services["shop"]["run"], json!({"external": {"unit": "shop.service"}}));
    assert_eq!(services["shop"]["ports"]["http"]["port"], 3000);
    assert_eq!(
        services["shop"]["proxy"],
        json!([{"names": ["shop.example.net"]}]),
        "once, though the name is served twice"
    );
    assert_eq!(services["example-net"]["run"], json!({"static": {"root": "/srv/www"}}));
    assert_eq!(services["example-net"]["proxy"][0]["names"], json!(["www.example.net"]));
    assert_eq!(services["game"]["ports"]["http"], json!({"port": 7000, "bind": "any"}));
    assert_eq!(services["game"]["expose"][0]["from"], json!(["public"]));
    assert_eq!(
        services["wiki"]["run"]["containers"],
        json!({"app": {"image": "outline:1"}, "redis": {"image": "redis:7"}})
    );
    assert_eq!(services["wiki"]["ports"]["http"], json!({"port": 8080, "container_port": 3000, "container": "app"}));
    assert_eq!(services["vault"]["run"], json!({"container": {"image": "vaultwarden:1"}}));
    let names: Vec<&String> = services.as_object().unwrap().keys().collect();
    assert_eq!(
        names,
        ["example-net", "game", "shop", "tidy", "vault", "wiki"],
        "sshd, nginx and PostgreSQL are the fleet's own"
    );
    let host = &draft["hosts"]["old"];
    assert_eq!(
        (&host["packages"], &host["proxy"]["kind"], &host["containers"]["engine"]),
        (&json!(["htop", "nginx"]), &json!("nginx"), &json!("docker"))
    );
    assert_eq!(draft["databases"]["pg-old"]["databases"], json!([{"name": "shop", "owner": "shop"}]));
    assert_eq!(draft["backups"]["repositories"]["restic"]["uri"], "sftp:box:/r");
    let questions =
        host["//"].as_array().unwrap().iter().map(|question| question.as_str().unwrap()).collect::<Vec<_>>();
    for start in [
        "packages:",
        "email:",
        "containers of podman: permission denied",
        "services: /etc/nginx/sites-enabled/far leads far.example.net to http://10.0.0.9:80",
        "backup: /etc/cron.d/backup (root, 0 3 * * *) runs restic of /srv/shop /etc",
        "timers: /etc/cron.d/x (www-data, */5 * * * *) runs /usr/bin/php cron.php",
        "timers: tidy.timer (root, daily) runs /usr/local/bin/tidy",
    ] {
        assert!(questions.iter().any(|question| question.starts_with(start)), "{start}: {questions:#?}");
    }
    // It is good once its owner has a key and certificates have a contact: every other question may wait.
    draft["people"]["admin"]["ssh_keys"] =
        json!(["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ6bqTzRdqvFyTXGYJQBkTHNw1MfUmgCbTL0UxkNU9pC me"]);
    draft["email"] = json!("me@example.net");
    assert_eq!(errors(&draft), Vec::<String>::new());
}

#[test]
fn facts_without_what_runs_say_how_to_get_it() {
    let mut plain = facts(Value::Null);
    plain.as_object_mut().unwrap().remove("running");
    let draft = adopt(&plain);
    let questions = draft["hosts"]["old"]["//"].as_array().unwrap();
    assert!(questions.iter().any(|question| question.as_str().unwrap().contains("facts --running")), "{questions:?}");
}

#[test]
fn odd_facts_make_a_draft_all_the_same() {
    let draft = adopt(&facts(json!({
        "sites": [{"server": "apache", "file": "/x", "names": ["a b", "*", ""], "upstream": "unix:/run/x"}, {"server": "nginx", "file": "/y", "names": ["ok.example.net"], "upstream": "http://[::1]:9"}],
        "ports": [{"proto": "udp", "port": 1, "address": "nonsense"}],
        "containers": [{"engine": "docker", "name": "---", "image": "", "ports": ["->", ":->", "1.2.3.4:x->y"]}],
        "units": [{"name": ".service", "own": true}],
        "cron": [{"file": "/c", "user": "u", "schedule": "@daily", "command": "restic --repo="}],
        "databases": [{"engine": "postgresql", "version": 15, "port": 5433, "name": "a", "owner": "postgres"}]
    })));
    assert_eq!(draft["services"]["ok-example-net"]["ports"]["http"], 9);
    assert_eq!(draft["databases"]["pg-old"]["port"], 5433);
}
