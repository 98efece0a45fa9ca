//! The fleets of `pipelines/fleets`: good, and complete against lists made by hand from the texts of the five set-ups.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use cfg_render::check::check;
use cfg_render::fleet::{Edge, Fleet, Node, Owner, Strength};
use contract::schema_of;

use crate::fleet::fleet;

const FLEETS: [&str; 6] = ["first", "seed-000", "seed-001", "seed-002", "seed-003", "seed-004"];

fn text(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/fleets").join(format!("{name}.json"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn load(name: &str) -> Fleet {
    fleet(serde_json::from_str(&text(name)).unwrap_or_else(|error| panic!("{name}: {error}")))
}

#[test]
fn all_are_good_and_fit_the_schema() {
    let schema = schema_of::<Fleet>();
    let validator = jsonschema::validator_for(&schema).unwrap();
    for name in FLEETS {
        let value: serde_json::Value = serde_json::from_str(&text(name)).unwrap();
        let problems: Vec<String> =
            validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(problems.is_empty(), "{name}: {problems:#?}");
        // Not even a warning: these are what people copy from.
        let found = check(&load(name)).into_iter();
        let found: Vec<String> =
            found.map(|f| format!("{:?} {} {} {} ({:?})", f.level, f.code, f.pointer, f.message, f.fix)).collect();
        assert!(found.is_empty(), "{name}: {found:#?}");
    }
}

/// What runs where on which port, as the texts draw it: the port on which the program itself listens.
fn ports(fleet: &Fleet) -> BTreeSet<(String, String, u16)> {
    let services = fleet.services.iter().flat_map(|(name, service)| {
        let pairs = service.host.iter().flat_map(|host| service.ports.values().map(move |port| (host, port)));
        pairs.map(|(host, port)| (host.clone(), name.clone(), port.inner()))
    });
    let agents = fleet.hosts.iter().flat_map(|(name, host)| {
        let agents = host.agents.iter().flat_map(cfg_render::fleet::Agents::list);
        agents.map(|(agent, port, _)| (name.clone(), agent.to_owned(), port))
    });
    let clusters =
        fleet.databases.iter().filter_map(|(name, cluster)| Some((cluster.host.clone()?, name.clone(), cluster.port)));
    services.chain(agents).chain(clusters).collect()
}

/// What is on the list and not in the fleet.
fn missing<'a>(list: &[(&'a str, &'a str, u16)], fleet: &Fleet) -> Vec<(&'a str, &'a str, u16)> {
    let ports = ports(fleet);
    list.iter()
        .filter(|(host, name, port)| !ports.contains(&((*host).into(), (*name).into(), *port)))
        .copied()
        .collect()
}

/// What runs on no host of the fleet, or has no port: by name.
fn without_ports(fleet: &Fleet) -> Vec<&str> {
    let services = fleet.services.iter().filter(|(_, service)| service.ports.is_empty());
    services.map(|(name, _)| name.as_str()).collect()
}

/// Everything that a service cannot do without, also through others.
fn all_needs(fleet: &Fleet) -> BTreeMap<String, BTreeSet<String>> {
    let hard: Vec<_> = fleet.dependencies().into_iter().filter(|d| d.strength == Strength::Needs).collect();
    let mut needs: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for _ in 0..fleet.services.len() {
        for dependency in &hard {
            let further = needs.get(dependency.on.name()).cloned().unwrap_or_default();
            let own = needs.entry(dependency.service.clone()).or_default();
            own.insert(dependency.on.name().to_owned());
            own.extend(further);
        }
    }
    needs
}

/// The name of a proxy entry and the host whose proxy takes it, or the tunnel in brackets.
fn names(fleet: &Fleet) -> BTreeMap<String, Vec<String>> {
    let mut names: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for route in fleet.routes() {
        let edge = match route.edge {
            Edge::Host(host) => host.to_owned(),
            Edge::Tunnel(tunnel) => format!("[{tunnel}]"),
        };
        for name in route.names {
            names.entry(name.name).or_default().push(edge.clone());
        }
    }
    names
}

/// What the internet reaches on a host.
fn open_to_all(fleet: &Fleet, host: &str) -> BTreeSet<u16> {
    let listeners = fleet.listeners().into_iter().filter(|listener| listener.host == host);
    let open = listeners.filter(|listener| matches!(listener.owner, Owner::Sshd | Owner::Proxy | Owner::Forward(_)));
    let holes = fleet.hosts[host].allow.iter().map(|allow| allow.port.first);
    open.map(|listener| listener.port).chain(holes).collect()
}

#[test]
fn seed_000_is_complete() {
    let fleet = load("seed-000").resolved();
    assert_eq!(fleet.hosts.keys().collect::<Vec<_>>(), ["cobh", "nixos", "snek"]);
    let list = [
        ("snek", "pds", 2583),
        ("snek", "knot", 5555),
        ("snek", "grafana", 3001),
        ("snek", "spindle", 6555),
        ("snek", "spacedust", 9998),
        ("snek", "slingshot", 3000),
        ("snek", "lycan", 3100),
        ("snek", "quickdid", 8080),
        ("snek", "prometheus", 9090),
        ("snek", "node_exporter", 9100),
        ("snek", "postgres", 5432),
        ("nixos", "constellation", 6795),
        ("nixos", "indigo-relay", 2470),
        ("cobh", "radicle", 8776),
        ("cobh", "radicle-httpd", 8081),
    ];
    assert_eq!(missing(&list, &fleet), []);
    assert_eq!(without_ports(&fleet), ["appview", "jetstream", "lets-encrypt", "other-pds", "plc", "relay-firehose"]);
    assert_eq!(open_to_all(&fleet, "snek"), BTreeSet::from([22, 80, 443, 8776]));
    assert_eq!(fleet.hosts["nixos"].addresses["tailnet"][0].to_string(), "100.113.12.42");
    assert_eq!(fleet.hosts["cobh"].addresses["tailnet"][0].to_string(), "100.112.12.44");
    assert_eq!(fleet.networks["tailnet"].ranges()[0].to_string(), "100.64.0.0/10");
    assert_eq!(fleet.dns.zones.keys().collect::<Vec<_>>(), ["snek.cc"]);
    let names = names(&fleet);
    for name in ["knot.snek.cc", "pds.snek.cc", "*.pds.snek.cc"] {
        assert_eq!(names[name], ["snek"], "{name}");
    }
    let jwt = fleet.secrets.iter().find(|(name, _)| name.as_str() == "pds-jwt-secret").unwrap().1;
    assert_eq!(jwt.file.as_deref(), Some("secrets/pds.yaml"));
    let paths: BTreeSet<&str> =
        fleet.services.values().flat_map(|s| s.backup.iter().flat_map(|b| b.paths.iter())).map(|p| &**p).collect();
    for path in ["/var/lib/pds", "/var/lib/tangled-knot", "/var/lib/grafana", "/var/lib/prometheus2"] {
        assert!(paths.contains(path), "{path}");
    }
    let proxy = fleet.hosts["snek"].proxy.as_ref().unwrap();
    assert_eq!(proxy.limits.as_ref().map(|l| (l.rate.to_string(), l.burst)), Some(("10r/s".into(), 20)));
    assert!(proxy.on_demand.is_some());
    // "Firewall Filters (Rate Limiting, IP Blocks)"
    let firewall = fleet.hosts["snek"].firewall.as_ref().unwrap();
    assert!(firewall.new_connections.is_some() && !firewall.block.is_empty());
    // Each port that the text names is one that the module is told of: by us, or by its options.
    let untold: Vec<&String> = fleet
        .services
        .iter()
        .filter(|(_, service)| match &service.run {
            cfg_render::fleet::Run::Nixos(run) => {
                let known = ["bluesky-pds", "grafana", "prometheus", "radicle", "radicle.httpd"];
                let port = service.ports.values().next().unwrap().inner().to_string();
                !known.iter().any(|known| run.module == format!("services.{known}"))
                    && !serde_json::to_string(&run.options).unwrap().contains(&port)
            }
            _ => false,
        })
        .map(|(name, _)| name)
        .collect();
    assert_eq!(untold, Vec::<&String>::new());
}

#[test]
fn seed_001_is_complete() {
    let fleet = load("seed-001").resolved();
    assert_eq!(fleet.hosts.keys().collect::<Vec<_>>(), ["vps-arm", "vps-x86"]);
    let archs: Vec<_> = fleet.hosts.values().map(|host| host.arch.unwrap().as_str()).collect();
    assert_eq!(archs, ["aarch64", "x86_64"]);
    for (name, host) in &fleet.hosts {
        assert_eq!(open_to_all(&fleet, name), BTreeSet::from([2222, 443]), "{name}");
        assert_eq!(host.disk.as_ref().map(|disk| &*disk.device), Some("/dev/sda"));
        assert_eq!(host.fail2ban.as_ref().map(|bans| (bans.maxretry, bans.increment)), Some((5, true)));
        assert_eq!(host.updates.as_ref().map(|updates| &*updates.schedule), Some("daily"));
    }
    assert_eq!(fleet.services.keys().collect::<Vec<_>>(), ["openclaw-gateway"]);
    assert_eq!(fleet.services["openclaw-gateway"].host.0, ["vps-x86", "vps-arm"]);
    let secrets: Vec<_> =
        fleet.secrets.iter().map(|(n, s)| (n.as_str(), s.owner.as_deref(), s.needed_for_users)).collect();
    assert_eq!(secrets, [("gateway-token", Some("openclaw"), false), ("ssh-public-key", None, true)]);
    let uses: BTreeSet<String> =
        fleet.secret_uses().iter().map(|used| format!("{} {:?}", used.secret, used.holder)).collect();
    assert_eq!(uses.len(), 4, "both hosts get both: {uses:?}");
    assert!(fleet.dns.zones.is_empty());
}

#[test]
fn seed_002_is_complete() {
    let fleet = load("seed-002").resolved();
    assert_eq!(fleet.hosts.keys().collect::<Vec<_>>(), ["id3-eniac", "lab-matrix", "vps-pacman"]);
    let edge = fleet.hosts["vps-pacman"].proxy.as_ref().unwrap();
    assert!(edge.http3 && edge.ktls && edge.early_data && edge.sinkhole);
    for name in ["lab-matrix", "id3-eniac"] {
        assert_eq!(fleet.hosts[name].proxy.as_ref().unwrap().real_ip_from, ["vps-pacman"], "{name}");
    }
    for name in ["forgejo", "vaultwarden", "headscale"] {
        let database = &fleet.services[name].databases[0];
        assert_eq!((database.name_or(name), database.owner_or(name)), (name.into(), name.into()));
    }
    assert_eq!(fleet.databases["main"].version, Some(18));
    assert_eq!(fleet.mailers["stalwart"].host, "mail.alienzj.org");
    assert_eq!(fleet.mailers["stalwart"].port, 587);
    assert!(fleet.secrets.keys().any(|name| name.as_str() == "forgejo-smtp-pass"));
    assert_eq!(fleet.dns.zones.keys().collect::<Vec<_>>(), ["alienzj.org"]);
    assert!(names(&fleet).values().all(|edges| edges == &["vps-pacman"]));
}

#[test]
fn seed_003_is_complete() {
    let written = load("seed-003");
    let fleet = written.resolved();
    assert_eq!(fleet.hosts.keys().collect::<Vec<_>>(), ["nixos"]);
    // The text's list without Cloudflared, Nginx and Tailscale, which are a tunnel, a proxy and a network, and without the
    // shared media storage, which is a directory.
    let list = [
        "backrest",
        "cockpit",
        "docs",
        "flaresolverr",
        "home-assistant",
        "homelab-ssh-mcp",
        "homepage",
        "jackett",
        "jellyfin",
        "litellm",
        "matter-server",
        "mosquitto",
        "ollama",
        "openclaw",
        "otbr",
        "picoclaw",
        "piper",
        "prowlarr",
        "radarr",
        "sonarr",
        "ssh",
        "transmission",
        "whisper",
    ];
    assert_eq!(fleet.services.keys().collect::<Vec<_>>(), list);
    assert!(!written.services["zigbee2mqtt"].enable);
    assert_eq!(fleet.tunnels["main"].host, "nixos");
    assert!(fleet.hosts["nixos"].proxy.is_some() && fleet.hosts["nixos"].directories.contains_key("/srv/media"));
    assert_eq!(fleet.hosts["nixos"].addresses["tailnet"][0].to_string(), "100.82.100.68");
    assert_eq!(missing(&[("nixos", "home-assistant", 8123), ("nixos", "ssh", 22)], &fleet), []);
    assert_eq!(open_to_all(&fleet, "nixos"), BTreeSet::from([22, 80, 443]));
    let names = names(&fleet);
    assert_eq!(names["jellyfin-home.javiersc.com"], ["nixos", "[main]"]);
    assert_eq!(names["jellyfin.nixos.local"], ["nixos"]);
    assert_eq!(names["ssh-home.javiersc.com"], ["[main]"]);
    assert!(fleet.routes().iter().all(|route| !route.is_public() || matches!(route.edge, Edge::Tunnel(_))));
    assert_eq!(fleet.backups.repositories["b2"].uri, "b2:javiersc-backup:restic");
    let omitted: Vec<&str> = fleet.hosts["nixos"].backup.iter().flat_map(|b| b.omit.iter()).map(|o| &*o.path).collect();
    assert!(omitted.contains(&"/var/lib/cloudflare-infrastructure"));
    assert_eq!(fleet.dns.zones.keys().collect::<Vec<_>>(), ["javiersc.com"]);
    assert!(fleet.secrets.values().all(|secret| secret.reference.as_ref().is_some_and(|r| r.starts_with("op://"))));
    assert_eq!(fleet.operations.len(), 4);
    let host = &fleet.hosts["nixos"];
    // "main user"; agents come over SSH and have a shell for it.
    assert!(host.users["javier"].admin && !host.users["mcp"].keys.is_empty());
    let nixos = host.nixos.as_ref().unwrap();
    assert!(nixos.modules.contains(&"home-manager/home.nix".to_owned()) && nixos.inputs.contains_key("home-manager"));
    // What is behind a login of the tunnel is behind the tunnel.
    let dns = crate::run::document(&["dns"], &crate::run::fleet("seed-003.json"));
    let routes: Vec<&serde_json::Value> =
        dns["tunnels"][0]["routes"].as_array().unwrap().iter().map(|route| &route["hostname"]).collect();
    assert_eq!(dns["access"][0]["hostnames"].as_array().unwrap().iter().collect::<Vec<_>>(), routes);
    // What writes to the shared media storage belongs to its group.
    for name in ["jellyfin", "radarr", "sonarr", "transmission"] {
        let cfg_render::fleet::Run::Nixos(run) = &fleet.services[name].run else { panic!("{name}") };
        assert_eq!(run.options["group"], "media", "{name}");
    }
}

#[test]
fn seed_004_is_complete() {
    let fleet = load("seed-004").resolved();
    let addresses: Vec<_> =
        fleet.hosts.iter().map(|(name, host)| (name.as_str(), host.addresses["vpc"][0].to_string())).collect();
    let expected = [("authentik-prod", "10.0.0.2"), ("management", "10.0.0.5"), ("tools-prod", "10.0.0.3")]
        .map(|(n, a)| (n, a.to_owned()));
    assert_eq!(addresses, expected);
    let list = [
        ("tools-prod", "decidim", 3000),
        ("tools-prod", "outline", 3000),
        ("tools-prod", "nextcloud", 80),
        ("tools-prod", "espocrm", 80),
        ("tools-prod", "leantime", 80),
        ("tools-prod", "onlyoffice", 8000),
        ("tools-prod", "node_exporter", 9100),
        ("tools-prod", "cadvisor", 8080),
        ("management", "grafana", 3000),
        ("management", "zabbix", 8080),
        ("management", "wobbler", 5000),
        ("management", "prometheus", 9090),
        ("management", "loki", 3100),
        ("management", "n8n", 5678),
        ("management", "zabbix-server", 10051),
        ("management", "node_exporter", 9100),
        ("authentik-prod", "authentik", 9000),
        ("authentik-prod", "authentik", 6379),
        ("authentik-prod", "node_exporter", 9100),
        ("authentik-prod", "cadvisor", 8080),
    ];
    assert_eq!(missing(&list, &fleet), []);
    // Alloy has a page of its own on the two hosts that have it; nothing else has a port.
    assert_eq!(ports(&fleet).len(), list.len() + 2);
    assert_eq!(fleet.services.len(), 15, "fourteen that run, and the website");
    assert_eq!(without_ports(&fleet), ["website"]);
    let containers: Vec<&str> = fleet.services["authentik"].run.containers().iter().map(|(name, _)| *name).collect();
    assert_eq!(containers, ["redis", "server", "worker"]);
    for (name, host) in &fleet.hosts {
        assert_eq!(open_to_all(&fleet, name), BTreeSet::from([22, 80, 443]), "{name}");
        assert_eq!(host.proxy.as_ref().map(|proxy| proxy.kind.as_str()), Some("traefik"), "{name}");
        let alloy = host.agents.as_ref().is_some_and(|agents| agents.alloy.is_some());
        assert_eq!(alloy, name != "management", "{name}");
    }
    assert_eq!(fleet.buckets.len(), 3);
}

#[test]
fn seed_004_has_its_zones() {
    let fleet = load("seed-004").resolved();
    assert_eq!(fleet.dns.zones.keys().collect::<Vec<_>>(), ["example.cc", "example.org"]);
    let names = names(&fleet);
    for (name, host) in [
        ("gateway.example.org", "authentik-prod"),
        ("cloud.example.org", "tools-prod"),
        ("wiki.example.org", "tools-prod"),
        ("voting.example.org", "tools-prod"),
        ("espo.example.org", "tools-prod"),
        ("grafana.example.cc", "management"),
        ("zabbix.example.cc", "management"),
        ("wobbler.example.cc", "management"),
    ] {
        assert_eq!(names[name], [host], "{name}");
    }
    let zone = &fleet.dns.zones["example.org"];
    assert_eq!(zone.wildcard.as_deref(), Some("tools-prod"));
    for name in ["@", "www"] {
        assert!(zone.records.iter().any(|record| record.name == name), "{name}");
    }
    assert!(zone.records.iter().any(|record| record.mx.is_some()), "mail");
}

#[test]
fn seed_004_has_its_dependencies() {
    let fleet = load("seed-004").resolved();
    let needs = all_needs(&fleet);
    // "If PostgreSQL down: All apps fail"
    for app in [
        "authentik",
        "decidim",
        "espocrm",
        "grafana",
        "leantime",
        "n8n",
        "nextcloud",
        "onlyoffice",
        "outline",
        "wobbler",
        "zabbix",
        "zabbix-server",
    ] {
        assert!(needs[app].contains("pg"), "{app}");
    }
    // The arrows from Authentik.
    for app in ["grafana", "outline", "decidim"] {
        assert!(needs[app].contains("authentik"), "{app}");
    }
    // "If Traefik down: No web access"
    assert!(fleet.routes().iter().all(cfg_render::fleet::ResolvedRoute::is_at_home));
    let watched: BTreeSet<Node> = fleet
        .dependencies()
        .into_iter()
        .filter(|d| d.service == "grafana" && d.strength == Strength::Wants)
        .map(|d| d.on)
        .collect();
    assert_eq!(watched, BTreeSet::from([Node::Service("loki".into()), Node::Service("prometheus".into())]));
}

#[test]
fn seed_004_has_its_secrets() {
    let fleet = load("seed-004").resolved();
    // Each container reads /opt/APP/.env, whose secrets come from Scaleway's Secret Manager.
    assert!(fleet.secrets.values().all(|secret| secret.reference.as_ref().is_some_and(|r| r.starts_with("scw:"))));
    let uses = fleet.secret_uses();
    let mut count = 0;
    for (name, service) in &fleet.services {
        let Some(path) = &service.env_file else { continue };
        assert_eq!(path, &format!("/opt/{name}/.env"));
        assert!(uses.iter().any(|used| used.service.as_deref() == Some(name)), "{name}");
        count += 1;
    }
    assert_eq!(count, 12, "all apps but Prometheus and Loki, which have no secret");
    // Programs that have a user of their own choice in mind are told ours.
    for (app, user) in [
        ("authentik", "AUTHENTIK_POSTGRESQL__USER"),
        ("espocrm", "ESPOCRM_DATABASE_USER"),
        ("grafana", "GF_DATABASE_USER"),
        ("leantime", "LEAN_DB_USER"),
        ("n8n", "DB_POSTGRESDB_USER"),
        ("nextcloud", "POSTGRES_USER"),
        ("onlyoffice", "DB_USER"),
        ("zabbix", "POSTGRES_USER"),
        ("zabbix-server", "POSTGRES_USER"),
    ] {
        assert!(fleet.services[app].env.contains_key(user), "{app}");
    }
    let expected: BTreeMap<&str, usize> = BTreeMap::from([
        ("authentik", 2),
        ("decidim", 3),
        ("espocrm", 2),
        ("grafana", 3),
        ("leantime", 2),
        ("n8n", 2),
        ("nextcloud", 1),
        ("onlyoffice", 2),
        ("outline", 4),
        ("wobbler", 1),
        ("zabbix", 1),
    ]);
    let mut found: BTreeMap<&str, usize> = BTreeMap::new();
    for name in fleet.secrets.keys() {
        let app = name.as_str().split('-').next().unwrap();
        if expected.contains_key(app) {
            *found.entry(app).or_default() += 1;
        }
    }
    assert_eq!(found, expected);
    assert_eq!(
        fleet.secrets.len(),
        expected.values().sum::<usize>() + 6,
        "and those of PostgreSQL, S3, DNS, mail, backups"
    );
}

/// Every document of every fleet is made, and nothing of it is left out.
#[test]
fn all_render_and_nothing_that_they_need_is_left_out() {
    for name in FLEETS {
        let fleet: serde_json::Value = serde_json::from_str(&text(name)).unwrap();
        let output = crate::run::cfg_render(&["check"], &fleet.to_string());
        let found: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
        let left_out: Vec<&str> = found["findings"]
            .as_array()
            .unwrap()
            .iter()
            .filter(|finding| finding["level"] == "error" || finding["code"] == "not-rendered-yet")
            .map(|finding| finding["pointer"].as_str().unwrap())
            .collect();
        assert!(left_out.is_empty(), "{name}: {left_out:?}\n{found:#}");
        let hosts: Vec<String> = fleet["hosts"].as_object().unwrap().keys().cloned().collect();
        let lines = crate::run::text(&["host", "--all"], &fleet);
        assert_eq!(lines.lines().count(), hosts.len(), "{name}");
        for host in &hosts {
            crate::run::document(&["health", "--from", host], &fleet);
        }
        for verb in [
            &["hosts"][..],
            &["dns"],
            &["health", "--from", "controller"],
            &["secrets", "--controller"],
            &["docs", "--format", "mermaid", "--view", "network"],
        ] {
            assert!(!crate::run::text(verb, &fleet).is_empty(), "{name} {verb:?}");
        }
    }
}

/// Counted by hand in the five texts: what each names, and where it stands in its fleet.
#[test]
fn the_counts_are_those_of_the_texts() {
    // hosts, services that run on them, services elsewhere, networks, zones, secrets that the text names
    let counts = [
        // Caddy, SSH and Tailscale are a proxy, sshd and a network; "PostgreSQL :5432 (Lycan)" a cluster; Node-Exporter an agent.
        ("seed-000", 3, 13, 6, 1, 1, 1),
        ("seed-001", 2, 1, 0, 0, 0, 2),
        // Nginx is a proxy, PostgreSQL a cluster; Mailjet and Stalwart are mailers, the latter also runs here.
        ("seed-002", 3, 4, 0, 1, 1, 1),
        ("seed-003", 1, 23, 0, 2, 1, 0),
        ("seed-004", 3, 14, 1, 1, 2, 0),
    ];
    for (name, hosts, here, elsewhere, networks, zones, named) in counts {
        let fleet = load(name).resolved();
        assert_eq!(fleet.hosts.len(), hosts, "{name}");
        let (away, on): (Vec<_>, Vec<_>) = fleet.services.values().partition(|service| service.host.is_empty());
        assert_eq!((on.len(), away.len()), (here, elsewhere), "{name}");
        assert_eq!((fleet.networks.len(), fleet.dns.zones.len()), (networks, zones), "{name}");
        let of_text = ["pds-jwt-secret", "gateway-token", "ssh-public-key", "forgejo-smtp-pass"];
        let count = fleet.secrets.keys().filter(|secret| of_text.contains(&secret.as_str())).count();
        assert_eq!(count, named, "{name}");
    }
    // The arrows of the first set-up: what asks what.
    let needs = all_needs(&load("seed-000").resolved());
    for (service, on) in
        [("lycan", "postgres"), ("grafana", "prometheus"), ("spindle", "knot"), ("radicle-httpd", "radicle")]
    {
        assert!(needs[service].contains(on), "{service} needs {on}");
    }
    // Backrest and Restic's plan: every service of the fourth that keeps something says so, or why not.
    let fleet = load("seed-003").resolved();
    let silent: Vec<&String> = fleet
        .services
        .iter()
        .filter(|(_, service)| service.backup.is_none() && !service.is_external())
        .map(|(name, _)| name)
        .collect();
    assert_eq!(silent, Vec::<&String>::new());
    // "Cloudflare Tunnel routes public hostnames": all of them need a person of the policy.
    let open = fleet.routes().into_iter().filter(|route| matches!(route.edge, Edge::Tunnel(_)));
    assert!(
        open.clone().count() > 10
            && open.into_iter().all(|route| matches!(route.route.auth, cfg_render::fleet::Auth::Access(_)))
    );
}
