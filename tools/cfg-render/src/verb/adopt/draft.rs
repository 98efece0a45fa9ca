//! What runs on a host, as the first draft of services, databases and backups. Nothing here decides: what only a person can know is a
//! question under "//".

use std::collections::{BTreeMap, BTreeSet};

use contract::document::{ContainerFacts, RunningFacts, SiteFacts};
use serde_json::{Map, Value, json};

/// Units that the fleet writes itself, or that say nothing about what a host is for.
const OURS: [&str; 22] = [
    "ssh",
    "sshd",
    "nginx",
    "caddy",
    "apache2",
    "postgresql",
    "cron",
    "anacron",
    "rsyslog",
    "networking",
    "nftables",
    "fail2ban",
    "docker",
    "containerd",
    "podman",
    "tailscaled",
    "cloudflared",
    "unattended-upgrades",
    "dbus",
    "getty",
    "console-setup",
    "keyboard-setup",
];

/// Whether a unit is one of those, such as `postgresql@15-main.service`.
fn is_ours(unit: &str) -> bool {
    let stem = unit.split(['@', '.']).next().unwrap_or_default();
    OURS.contains(&stem)
}

/// The parts of a fleet that one host fills.
#[derive(Debug, Default)]
pub(super) struct Draft {
    /// Keys of the host.
    pub(super) host: Map<String, Value>,
    /// Services by name.
    pub(super) services: Map<String, Value>,
    /// Clusters by name.
    pub(super) databases: Map<String, Value>,
    /// Repositories of backups by name.
    pub(super) repositories: Map<String, Value>,
    /// Names of secrets that must be there.
    pub(super) secrets: BTreeSet<String>,
    /// What only a person knows.
    pub(super) questions: Vec<String>,
}

/// Drafts what runs on the host of this name.
pub(super) fn draft(host: &str, facts: &RunningFacts) -> Draft {
    let mut draft = Draft::default();
    if !facts.packages.is_empty() {
        draft.host.insert("packages".into(), json!(facts.packages));
        draft.questions.push("packages: which of these did you want, and which came with the installation?".into());
    }
    for what in &facts.unseen {
        draft.questions.push(format!("{what}: this could not be looked at; what is there?"));
    }
    draft.containers(host, &facts.containers);
    draft.units(host, facts);
    draft.sites(host, &facts.sites);
    draft.clusters(host, facts);
    draft.jobs(host, facts);
    draft
}

/// A name as the fleet writes names.
pub(super) fn name_of(text: &str) -> String {
    let name: String =
        text.to_ascii_lowercase().chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    let name = name.trim_matches('-');
    let name = if name.starts_with(|c: char| c.is_ascii_lowercase()) { name.to_owned() } else { format!("x-{name}") };
    name.chars().take(63).collect::<String>().trim_end_matches('-').to_owned()
}

impl Draft {
    /// Takes what another host fills. A service that two hosts have is two services.
    pub(super) fn take(&mut self, host: &str, other: Draft) {
        for (name, service) in other.services {
            let name = if self.services.contains_key(&name) { format!("{name}-{host}") } else { name };
            self.services.insert(name, service);
        }
        self.databases.extend(other.databases);
        for (name, repository) in other.repositories {
            if self.repositories.values().all(|known| known["uri"] != repository["uri"]) {
                let name = if self.repositories.contains_key(&name) { format!("{name}-{host}") } else { name };
                self.repositories.insert(name, repository);
            }
        }
        self.secrets.extend(other.secrets);
    }

    /// A service of this name that is not there yet.
    fn add(&mut self, wanted: &str, service: Value) -> String {
        let mut name = name_of(wanted);
        while self.services.contains_key(&name) {
            name.push_str("-2");
        }
        self.services.insert(name.clone(), service);
        name
    }

    fn containers(&mut self, host: &str, containers: &[ContainerFacts]) {
        let mut projects: BTreeMap<&str, Vec<&ContainerFacts>> = BTreeMap::new();
        for container in containers {
            projects.entry(container.project.as_deref().unwrap_or(&container.name)).or_default().push(container);
        }
        if let Some(first) = containers.first() {
            self.host.insert("containers".into(), json!({"engine": first.engine}));
        }
        for (project, members) in projects {
            let mut ports = Map::new();
            let mut images = Map::new();
            for container in &members {
                let short = container.name.strip_prefix(&format!("{project}-")).unwrap_or(&container.name);
                let short = name_of(short.trim_end_matches("-1"));
                for (bind, port, inner, proto) in container.ports.iter().filter_map(|text| published(text)) {
                    let mut spec = json!({"port": port, "container_port": inner});
                    if let Value::Object(spec) = &mut spec {
                        if bind != "local" {
                            spec.insert("bind".into(), json!(bind));
                        }
                        if proto != "tcp" {
                            spec.insert("proto".into(), json!(proto));
                        }
                        if members.len() > 1 {
                            spec.insert("container".into(), json!(short));
                        }
                    }
                    ports.insert(if ports.is_empty() { "http".into() } else { format!("{short}-{port}") }, spec);
                }
                images.insert(short, json!({"image": container.image}));
            }
            let run = match images.values().next() {
                Some(image) if images.len() == 1 => json!({"container": image}),
                _ => json!({"containers": images}),
            };
            let question = "which volumes hold its data (\"volumes\", \"backup\"), and which settings does it need (\"env\")? The fleet makes it anew";
            self.add(project, json!({"//": question, "host": host, "run": run, "ports": ports}));
        }
    }

    fn units(&mut self, host: &str, facts: &RunningFacts) {
        let mut by_unit: BTreeMap<&str, BTreeSet<(u16, &str, &str)>> = BTreeMap::new();
        for port in &facts.ports {
            match port.unit.as_deref() {
                Some(unit) if !is_ours(unit) => {
                    by_unit.entry(unit).or_default().insert((port.port, &port.proto, bind_of(&port.address)));
                }
                Some(_) => {}
                None if port.program.is_none() && bind_of(&port.address) != "local" => {
                    self.questions
                        .push(format!("services: something listens on {} port {}; what is it?", port.proto, port.port));
                }
                None => {}
            }
        }
        let own = facts.units.iter().filter(|unit| unit.own && unit.name.ends_with(".service") && !is_ours(&unit.name));
        for unit in own {
            by_unit.entry(&unit.name).or_default();
        }
        for (unit, listens) in by_unit {
            let mut ports = Map::new();
            let mut expose = Vec::new();
            // The same port of both families is one port.
            let mut seen = BTreeMap::new();
            for (port, proto, bind) in listens {
                let widest = seen.entry((port, proto)).or_insert(bind);
                if bind == "any" {
                    *widest = bind;
                }
            }
            for ((port, proto), bind) in seen {
                let key = if ports.is_empty() { "http".to_owned() } else { format!("port-{port}-{proto}") };
                if bind == "any" {
                    expose
                        .push(json!({"port": key, "from": ["public"], "reason": "was open when the host was adopted"}));
                }
                let mut spec = json!({"port": port});
                if let Value::Object(spec) = &mut spec {
                    if bind != "local" {
                        spec.insert("bind".into(), json!(bind));
                    }
                    if proto != "tcp" {
                        spec.insert("proto".into(), json!(proto));
                    }
                }
                ports.insert(key, spec);
            }
            let known = facts.units.iter().find(|known| known.name == unit);
            let exec = known.and_then(|unit| unit.exec.as_deref());
            let mut questions = Vec::new();
            if let (Some(exec), true) = (exec, known.is_some_and(|unit| unit.own)) {
                questions.push(format!(
                    "run: you wrote its unit, which starts {exec}; shall the fleet write it (\"systemd\")?"
                ));
            }
            questions.push("backup: which of its paths cannot be made again?".into());
            if !expose.is_empty() {
                questions.push("expose: who must reach it? Everybody could".into());
            }
            let mut service = json!({"//": questions, "host": host, "run": {"external": {"unit": unit}}});
            if let Value::Object(service) = &mut service {
                if !ports.is_empty() {
                    service.insert("ports".into(), Value::Object(ports));
                }
                if !expose.is_empty() {
                    service.insert("expose".into(), Value::Array(expose));
                }
            }
            self.add(unit.trim_end_matches(".service"), service);
        }
    }

    fn sites(&mut self, host: &str, sites: &[SiteFacts]) {
        let Some(first) = sites.first() else { return };
        if first.server == "apache" {
            self.questions.push("proxy: Apache serves its sites now; nginx or Caddy will?".into());
        } else {
            self.host.insert("proxy".into(), json!({"kind": first.server}));
        }
        self.questions.push("email: who is written to about certificates? Say it as \"email\" of the fleet".into());
        // A name is served once for each way in (port 80 and 443).
        let mut seen = BTreeSet::new();
        for site in sites {
            let plain = |name: &&String| crate::check::is_hostname(name) && name.contains('.');
            let names: Vec<&String> =
                site.names.iter().filter(plain).filter(|name| seen.insert((*name).clone())).collect();
            if names.is_empty() {
                continue;
            }
            let entry = json!({"names": names});
            let port = site.upstream.as_deref().and_then(port_of);
            let known = port.and_then(|port| {
                self.services.iter_mut().find(|(_, service)| {
                    let ports = service["ports"].as_object();
                    ports.is_some_and(|ports| ports.values().any(|spec| spec["port"] == port))
                })
            });
            if let Some((_, Value::Object(service))) = known {
                let list = service.entry("proxy").or_insert_with(|| json!([]));
                if let Value::Array(list) = list {
                    list.push(entry);
                }
                continue;
            }
            let service = match (port, &site.upstream, &site.root) {
                (Some(port), Some(upstream), _) => json!({
                    "//": format!("run: {} passes on to {upstream}; which program is that?", site.server),
                    "host": host, "run": {"external": {}}, "ports": {"http": port}, "proxy": [entry],
                }),
                (None, None, Some(root)) => json!({
                    "//": "backup: is it made from elsewhere?", "host": host, "run": {"static": {"root": root}}, "proxy": [entry],
                }),
                (_, upstream, _) => {
                    let to = upstream.as_deref().unwrap_or("somewhere");
                    self.questions.push(format!(
                        "services: {} leads {} to {to}; what is that?",
                        site.file,
                        site.names.join(", ")
                    ));
                    continue;
                }
            };
            let wanted = names[0].strip_prefix("www.").unwrap_or(names[0]).to_owned();
            self.add(&wanted, service);
        }
    }

    fn clusters(&mut self, host: &str, facts: &RunningFacts) {
        let mut clusters: BTreeMap<u16, Vec<&contract::document::DatabaseFacts>> = BTreeMap::new();
        for database in &facts.databases {
            clusters.entry(database.port).or_default().push(database);
        }
        let several = clusters.len() > 1;
        for (port, databases) in clusters {
            let name = if several { format!("pg-{host}-{port}") } else { format!("pg-{host}") };
            let owners: BTreeSet<&str> =
                databases.iter().map(|database| database.owner.as_str()).filter(|owner| *owner != "postgres").collect();
            let roles: Vec<Value> = owners.iter().map(|owner| json!({"name": owner, "login": true})).collect();
            let list: Vec<Value> =
                databases.iter().map(|database| json!({"name": database.name, "owner": database.owner})).collect();
            self.databases.insert(
                name,
                json!({
                    "//": "which service owns which database? Move each into the \"databases\" of its service, with its password as a secret",
                    "host": host, "version": databases[0].version, "port": port, "databases": list, "roles": roles,
                }),
            );
        }
    }

    fn jobs(&mut self, host: &str, facts: &RunningFacts) {
        let timers = facts.units.iter().filter_map(|unit| {
            let calendar = unit.calendar.as_deref()?;
            let service = format!("{}.service", unit.name.trim_end_matches(".timer"));
            let exec = facts.units.iter().find(|known| known.name == service).and_then(|known| known.exec.clone());
            unit.own.then(|| (unit.name.clone(), "root".to_owned(), calendar.to_owned(), exec.unwrap_or_default()))
        });
        let cron = facts
            .cron
            .iter()
            .map(|job| (job.file.clone(), job.user.clone(), job.schedule.clone(), job.command.clone()));
        for (file, user, schedule, command) in timers.chain(cron) {
            let backup = ["restic", "borg", "rsync", "rclone", "pg_dump", "duplicity"]
                .into_iter()
                .find(|program| command.contains(program));
            match backup {
                Some(program) => {
                    let paths: Vec<&str> = command.split_whitespace().filter(|word| word.starts_with('/')).skip(usize::from(command.starts_with('/'))).collect();
                    let paths = if paths.is_empty() { String::new() } else { format!(" of {}", paths.join(" ")) };
                    self.questions.push(format!(
                        "backup: {file} ({user}, {schedule}) runs {program}{paths}: {command}. Say it with \"backups\" and the \"backup\" of the services, then take the job out"
                    ));
                    if program == "restic" {
                        self.repository(&command);
                    }
                }
                None => self.questions.push(format!(
                    "timers: {file} ({user}, {schedule}) runs {command}; it goes on as it is, or becomes one of the \"timers\" of host {host}"
                )),
            }
        }
    }

    /// The repository that a command of restic names.
    fn repository(&mut self, command: &str) {
        let words: Vec<&str> = command.split_whitespace().collect();
        let after =
            words.iter().position(|word| *word == "-r" || *word == "--repo").and_then(|at| words.get(at + 1).copied());
        let uri = after.or_else(|| words.iter().find_map(|word| word.strip_prefix("--repo=")));
        let Some(uri) = uri else { return };
        if self.repositories.values().all(|known| known["uri"] != uri) {
            let name = if self.repositories.is_empty() {
                "restic".to_owned()
            } else {
                format!("restic-{}", self.repositories.len() + 1)
            };
            let question = "its password as a secret; is it away from the host (\"offsite\")? A login that was in the address was left out";
            self.repositories.insert(
                name.clone(),
                json!({"//": question, "uri": uri, "password": {"secret": format!("{name}-password")}}),
            );
            self.secrets.insert(format!("{name}-password"));
        }
    }
}

/// `local` for loopback, `any` for all addresses and for one that the draft has no name for.
fn bind_of(address: &str) -> &'static str {
    match address.parse::<std::net::IpAddr>() {
        Ok(address) if address.is_loopback() => "local",
        _ => "any",
    }
}

/// `127.0.0.1:8080->80/tcp`: bind, port, port inside, protocol.
fn published(text: &str) -> Option<(&'static str, u16, u16, &str)> {
    let (outer, inner) = text.split_once("->")?;
    let (inner, proto) = inner.split_once('/').unwrap_or((inner, "tcp"));
    let (address, port) = outer.rsplit_once(':')?;
    // Docker names both families; one is enough.
    if address.starts_with('[') {
        return None;
    }
    Some((bind_of(address), port.parse().ok()?, inner.parse().ok()?, proto))
}

/// The port of an address on this machine.
fn port_of(upstream: &str) -> Option<u16> {
    let (scheme, rest) = upstream.split_once("://").unwrap_or(("http", upstream));
    let authority = rest.split('/').next().unwrap_or_default();
    let (host, port) = authority.rsplit_once(':').unwrap_or((authority, if scheme == "https" { "443" } else { "80" }));
    let here = host == "localhost"
        || host.trim_matches(['[', ']']).parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback());
    here.then(|| port.parse().ok()).flatten()
}
