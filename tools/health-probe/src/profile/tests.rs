//! The table is whole: names, sources, every service that the five set-ups name, and the page that is printed from it.

use super::*;

/// How a service is looked at.
enum By {
    /// With a profile.
    Profile(&'static str),
    /// With a kind of check that knows its protocol.
    Kind(&'static str),
}

use By::{Kind as K, Profile as P};

/// Every service that a seed names, in its order.
const SEEDS: &[(&str, &[(&str, By)])] = &[
    (
        "000, a VPS with AT Protocol services",
        &[
            ("Caddy", P("caddy")),
            ("SSH", K("ssh")),
            ("PDS", P("pds")),
            ("Knot", P("knot")),
            ("Spindle", P("spindle")),
            ("Spacedust", P("spacedust")),
            ("Slingshot", P("slingshot")),
            ("Lycan", P("lycan")),
            ("QuickDID", P("quickdid")),
            ("Grafana", P("grafana")),
            ("Prometheus", P("prometheus")),
            ("Node Exporter", P("node_exporter")),
            ("PostgreSQL", K("postgres")),
            ("Tailscale", K("unit")),
            ("sops-nix", K("unit")),
            ("Nix Store", K("disk")),
            ("Constellation", P("constellation")),
            ("Indigo Relay", P("indigo-relay")),
            ("Radicle node", P("radicle-node")),
            ("Radicle HTTPD", P("radicle-httpd")),
            ("Let's Encrypt", P("acme")),
            ("Bluesky AppView", P("appview")),
            ("PLC Directory", P("plc")),
            ("Other PDSs", P("pds")),
            ("Relay, firehose (bsky.network)", P("firehose")),
            ("Jetstream", P("jetstream")),
            ("Identity of a host", P("did-web")),
        ],
    ),
    (
        "001, a NixOS VPS",
        &[
            ("SSH on 2222", K("ssh")),
            ("fail2ban", K("unit")),
            ("Auto-updates", K("unit")),
            ("openclaw-gateway", P("openclaw")),
        ],
    ),
    (
        "002, an edge and backends",
        &[
            ("nginx", K("http")),
            ("Sinkhole", K("http")),
            ("ACME", P("acme")),
            ("PostgreSQL", K("postgres")),
            ("Vaultwarden", P("vaultwarden")),
            ("Headscale", P("headscale")),
            ("Forgejo", P("forgejo")),
            ("Mail submission (Mailjet)", K("mail")),
            ("Stalwart", P("stalwart")),
            ("Tailscale", P("tailscaled")),
        ],
    ),
    (
        "003, a homelab behind a tunnel",
        &[
            ("Cloudflared", P("cloudflared")),
            ("Cockpit", P("cockpit")),
            ("Documentation", K("http")),
            ("FlareSolverr", P("flaresolverr")),
            ("Home Assistant", P("home-assistant")),
            ("Jackett", P("jackett")),
            ("Jellyfin", P("jellyfin")),
            ("LiteLLM", P("litellm")),
            ("Matter Server", P("matter-server")),
            ("Shared media storage", K("mount")),
            ("Mosquitto", P("mosquitto")),
            ("Ollama", P("ollama")),
            ("OpenThread Border Router", P("otbr")),
            ("OpenClaw", P("openclaw")),
            ("PicoClaw", P("picoclaw")),
            ("Piper", P("piper")),
            ("Homepage", P("homepage")),
            ("Prowlarr", P("prowlarr")),
            ("nginx", K("http")),
            ("Radarr", P("radarr")),
            ("Backrest", P("backrest")),
            ("Restic", K("freshness")),
            ("Sonarr", P("sonarr")),
            ("Tailscale", K("unit")),
            ("Transmission", P("transmission")),
            ("Whisper", P("whisper")),
            ("Homelab SSH MCP", P("mcp")),
            ("Zigbee2MQTT", P("zigbee2mqtt")),
        ],
    ),
    (
        "004, three Debian servers",
        &[
            ("Traefik", P("traefik")),
            ("Decidim", P("decidim")),
            ("Outline", P("outline")),
            ("Nextcloud", P("nextcloud")),
            ("EspoCRM", P("espocrm")),
            ("Leantime", P("leantime")),
            ("OnlyOffice", P("onlyoffice")),
            ("Node Exporter", P("node_exporter")),
            ("cAdvisor", P("cadvisor")),
            ("Alloy", P("alloy")),
            ("Grafana", P("grafana")),
            ("Zabbix", P("zabbix-web")),
            ("Zabbix server", P("zabbix-server")),
            ("Zabbix agent", P("zabbix-agent")),
            ("Wobbler", P("wobbler")),
            ("Prometheus", P("prometheus")),
            ("Loki", P("loki")),
            ("n8n", P("n8n")),
            ("Authentik server", P("authentik")),
            ("Authentik worker", K("unit")),
            ("Redis", K("redis")),
            ("PostgreSQL, managed", K("postgres")),
            ("S3 storage", P("s3")),
            ("Website", K("http")),
            ("Mail records", K("dns")),
        ],
    ),
];

#[test]
fn names_are_unique_and_facts_have_a_source() {
    let mut names: Vec<_> = Profile::names().collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count, "a name stands twice");
    assert_eq!(Profile::find("grafana").map(|profile| profile.path), Some("/api/health"));
    for profile in Profile::all() {
        assert!(profile.path.starts_with('/'), "{}", profile.name);
        assert!(profile.source.len() > 20, "{} has no source", profile.name);
        assert!(profile.talk.is_none_or(|talk| regex::bytes::Regex::new(talk.banner).is_ok()), "{}", profile.name);
        // What says nothing must say why.
        let silent = profile.kind == Kind::Tcp && profile.talk.is_none();
        assert_eq!(silent, profile.source.starts_with("TCP only"), "{}", profile.name);
    }
}

#[test]
fn every_service_of_the_five_set_ups_is_covered() {
    for (seed, services) in SEEDS {
        for (service, by) in *services {
            match by {
                P(name) => assert!(Profile::find(name).is_some(), "{seed}: {service}: there is no profile {name}"),
                K(kind) => {
                    assert!(crate::probe::Probe::KEYS.contains(kind), "{seed}: {service}: there is no kind {kind}");
                }
            }
        }
    }
}

/// What a profile asks, in words.
fn asks(profile: &Profile) -> String {
    match (profile.kind, profile.talk) {
        (Kind::Http, _) => format!("`{}`", profile.path),
        (Kind::WebSocket, _) => format!("WebSocket `{}`", profile.path),
        (Kind::Tcp, Some(_)) => "a few words over TCP".to_owned(),
        (Kind::Tcp, None) => "a connection".to_owned(),
    }
}

/// What must be answered, in words.
fn healthy(profile: &Profile) -> String {
    let mut parts = Vec::new();
    if profile.kind == Kind::Http {
        parts.push(profile.status.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or "));
    }
    for expect in profile.expect {
        parts.push(match expect {
            Expect::Contains(text) => format!("contains `{}`", text.trim()),
            Expect::Lacks(text) => format!("lacks `{}`", text.trim()),
            Expect::Text(pointer, text) => format!("`{pointer}` is `{text}`"),
            Expect::Flag(pointer, flag) => format!("`{pointer}` is {flag}"),
            Expect::Present(pointer) => format!("has `{pointer}`"),
        });
    }
    match (profile.kind, profile.talk) {
        (Kind::WebSocket, _) => parts.push("a first message".into()),
        (Kind::Tcp, Some(_)) => parts.push("the answer of its protocol".into()),
        (Kind::Tcp, None) => parts.push("taken".into()),
        (Kind::Http, _) => {}
    }
    parts.join(", ")
}

fn page() -> String {
    let mut page = String::from(
        "# Profiles\n\nWhat healthy means for each program, and where that stands. `\"profile\": \"NAME\"` in a check fills in the path, the \
         status and the conditions that the check itself does not give. Printed from `src/profile/` by a test.\n\n\
         **deep**: it asks its own database, cache or disk before it answers. **ready**: it has finished starting. **shallow**: it \
         answers; what it needs may be dead.\n",
    );
    for (group, profiles) in GROUPS {
        page.push_str(&format!(
            "\n## {group}\n| profile | asks | healthy | proves | source |\n|---|---|---|---|---|\n"
        ));
        for profile in *profiles {
            let proves = match profile.depth {
                Depth::Deep => "deep",
                Depth::Ready => "ready",
                Depth::Shallow => "shallow",
            };
            page.push_str(&format!(
                "| `{}` | {} | {} | {proves} | {} |\n",
                profile.name,
                asks(profile),
                healthy(profile),
                profile.source
            ));
        }
    }
    page.push_str("\n## The five set-ups\nEvery service that one of them names, and the profile or the kind of check that looks at it.\n\n| set-up | service: looked at by |\n|---|---|\n");
    for (seed, services) in SEEDS {
        let services: Vec<_> = services
            .iter()
            .map(|(service, by)| match by {
                P(name) => format!("{service}: `{name}`"),
                K(kind) => format!("{service}: kind `{kind}`"),
            })
            .collect();
        page.push_str(&format!("| {seed} | {} |\n", services.join(" · ")));
    }
    page
}

#[test]
fn the_printed_table_is_true() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("PROFILES.md");
    if std::env::var_os("UPDATE_PROFILES").is_some() {
        std::fs::write(&path, page()).expect("PROFILES.md is written");
    }
    let written = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(written == page(), "PROFILES.md is old; run with UPDATE_PROFILES=1");
}
