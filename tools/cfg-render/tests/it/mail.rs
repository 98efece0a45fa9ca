//! Mail: services with a mailer get the settings that their programs read.

use serde_json::{Value, json};

use crate::run::{document, files};
use crate::traefik::yaml;

fn fleet(tls: &str) -> Value {
    let service = |image: &str| json!({"host": "web", "run": {"container": {"image": image}}, "mailer": "out", "backup": {"none": "a test"}});
    json!({
        "schema": "fleet/v1", "name": "post", "domain": "post.test",
        "hosts": {"web": {"os": "debian-13", "addresses": {"public": ["192.0.2.1"]}, "containers": {"engine": "docker"},
            "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}}},
        "mailers": {"out": {"host": "smtp.example.org", "port": 2525, "tls": tls, "from": "tools@example.org", "user": "tools", "password": {"secret": "smtp"}}},
        "secrets": {"smtp": {}},
        "services": {
            "forgejo": service("codeberg.org/forgejo/forgejo:12"),
            "grafana": service("docker.io/grafana/grafana:12.1.1"),
            "outline": service("docker.io/outlinewiki/outline:0.87.4"),
            "decidim": service("ghcr.io/decidim/decidim:0.30.1"),
            "vault": service("docker.io/vaultwarden/server:1.34.3"),
            "cloud": service("docker.io/library/nextcloud:31"),
            "unknown": service("docker.io/example/app:1"),
            "authentik": {"host": "web", "mailer": "out", "backup": {"none": "a test"}, "env": {"AUTHENTIK_EMAIL__FROM": "own@example.org"},
                "run": {"containers": {"server": {"image": "ghcr.io/goauthentik/server:2025.8.4", "command": ["server"]}, "worker": {"image": "ghcr.io/goauthentik/server:2025.8.4", "command": ["worker"]}}}}
        }
    })
}

/// What a service's containers get: clear variables, and lines that are filled on the host.
fn environment(fleet: &Value, service: &str) -> Option<String> {
    let path = format!("/opt/{service}/compose.yaml");
    let text = files(fleet, "web").into_iter().find(|(known, _)| *known == path).unwrap().1;
    let compose = yaml(&text)?;
    let mut all = String::new();
    for (_, container) in compose["services"].as_object().unwrap() {
        for (key, value) in container["environment"].as_object().into_iter().flatten() {
            all.push_str(&format!("{key}={}\n", value.as_str().unwrap()));
        }
    }
    let manifest = document(&["secrets", "--host", "web"], fleet);
    for template in manifest["templates"].as_array().into_iter().flatten() {
        if template["name"].as_str().unwrap().starts_with(&format!("{service}.env")) {
            all.push_str(&template["text"].as_str().unwrap().replace(['"', '\''], ""));
        }
    }
    Some(all)
}

#[test]
fn programs_read_their_mailer_in_their_own_words() {
    let fleet = fleet("starttls");
    for (service, lines) in [
        (
            "forgejo",
            [
                "FORGEJO__mailer__PROTOCOL=smtp+starttls",
                "FORGEJO__mailer__SMTP_ADDR=smtp.example.org",
                "FORGEJO__mailer__PASSWD=@@secret:smtp@@",
            ],
        ),
        (
            "grafana",
            [
                "GF_SMTP_HOST=smtp.example.org:2525",
                "GF_SMTP_STARTTLS_POLICY=MandatoryStartTLS",
                "GF_SMTP_PASSWORD=@@secret:smtp@@",
            ],
        ),
        ("outline", ["SMTP_PORT=2525", "SMTP_SECURE=false", "SMTP_FROM_EMAIL=tools@example.org"]),
        ("decidim", ["SMTP_ADDRESS=smtp.example.org", "SMTP_DOMAIN=example.org", "SMTP_PASSWORD=@@secret:smtp@@"]),
        ("vault", ["SMTP_SECURITY=starttls", "SMTP_FROM=tools@example.org", "SMTP_USERNAME=tools"]),
        ("cloud", ["MAIL_FROM_ADDRESS=tools", "MAIL_DOMAIN=example.org", "SMTP_PASSWORD_FILE=/run/secrets/smtp"]),
        // What the fleet says itself stays.
        (
            "authentik",
            [
                "AUTHENTIK_EMAIL__USE_TLS=true",
                "AUTHENTIK_EMAIL__FROM=own@example.org",
                "AUTHENTIK_EMAIL__PASSWORD=@@secret:smtp@@",
            ],
        ),
    ] {
        let Some(environment) = environment(&fleet, service) else { return };
        for line in lines {
            assert!(environment.lines().any(|known| known == line), "{service}: {line}\n{environment}");
        }
    }
    assert_eq!(environment(&fleet, "unknown").unwrap(), "");
    let implicit = self::fleet("implicit");
    assert!(environment(&implicit, "forgejo").unwrap().contains("FORGEJO__mailer__PROTOCOL=smtps\n"));
    assert!(environment(&implicit, "outline").unwrap().contains("SMTP_SECURE=true\n"));
    assert!(environment(&implicit, "authentik").unwrap().contains("AUTHENTIK_EMAIL__USE_SSL=true\n"));
}

/// A name before the address goes where the program has a place for it: Grafana does not even start with both in one.
#[test]
fn a_sender_with_a_name_is_taken_apart_where_the_program_wants_an_address() {
    let mut fleet = fleet("starttls");
    for (from, name) in [("\"Ops, \\\"Team\\\"\" <ops@example.net>", "Ops, \"Team\""), ("Ops <ops@example.net>", "Ops")]
    {
        fleet["mailers"]["out"]["from"] = json!(from);
        for (service, lines) in [
            ("grafana", vec!["GF_SMTP_FROM_ADDRESS=ops@example.net".to_owned(), format!("GF_SMTP_FROM_NAME={name}")]),
            ("vault", vec!["SMTP_FROM=ops@example.net".to_owned(), format!("SMTP_FROM_NAME={name}")]),
            ("cloud", vec!["MAIL_FROM_ADDRESS=ops".to_owned(), "MAIL_DOMAIN=example.net".to_owned()]),
            ("decidim", vec!["SMTP_DOMAIN=example.net".to_owned()]),
            ("forgejo", vec![format!("FORGEJO__mailer__FROM={from}")]),
        ] {
            let Some(environment) = environment(&fleet, service) else { return };
            for line in lines {
                assert!(environment.lines().any(|known| known == line), "{service}: {line}\n{environment}");
            }
        }
    }
}

#[test]
fn a_sender_is_one_address() {
    let bad = |from: &str, port: u16| {
        let mut fleet = fleet("starttls");
        fleet["mailers"]["out"]["from"] = json!(from);
        fleet["mailers"]["out"]["port"] = json!(port);
        let output = crate::run::cfg_render(&["check", "--output", "json"], &fleet.to_string());
        let found: Value = serde_json::from_slice(&output.stdout).unwrap();
        let all = found["findings"].as_array().unwrap().iter().filter(|one| one["code"] == "bad-mailer");
        all.map(|one| one["pointer"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    for from in ["nobody", "@example.org", "a@b.example, c@d.example", "Ops <nobody>", "a b@example.org", ""] {
        assert_eq!(bad(from, 587), ["/mailers/out/from"], "{from}");
    }
    for from in
        ["ops@example.org", "Ops <ops@example.org>", "\"Ops, Team\" <o.p+s@b\u{fc}cher.example>", "root@localhost"]
    {
        assert_eq!(bad(from, 587), Vec::<String>::new(), "{from}");
    }
    assert_eq!(bad("ops@example.org", 0), ["/mailers/out/port"]);
}
