//! `cfg-render adopt`: the first draft of a fleet from what a running host says of itself.

mod draft;

use std::collections::BTreeMap;
use std::net::IpAddr;

use clap::Args;
use cli::{Failure, Input, Session};
use contract::document::HostFacts;
use contract::{Exit, SchemaId};
use serde_json::{Value, json};

use draft::{Draft, draft};

/// `adopt`
#[derive(Debug, Clone, Args)]
pub struct AdoptArgs {
    /// Name of the fleet
    #[arg(long, value_name = "NAME", default_value = "home")]
    name: String,
    #[command(flatten)]
    facts: Input,
}

/// Does it.
pub(super) fn run(args: &AdoptArgs, session: &Session) -> Result<Exit, Failure> {
    let documents = session.read_all_raw(&args.facts, &[SchemaId::HOST_FACTS])?;
    let mut hosts = serde_json::Map::new();
    let mut networks = serde_json::Map::new();
    let mut whole = Draft::default();
    for document in documents {
        let facts: HostFacts = document.read()?.document;
        let (name, host, running) = host(&facts, &mut networks);
        whole.take(&name, running);
        if hosts.insert(name.clone(), host).is_some() {
            return Err(Failure::new(Exit::BadDocument, "two_hosts", format!("two hosts call themselves \"{name}\""))
                .hint("give one of them another name first"));
        }
    }
    let mut fleet = json!({
        "//": "A draft. Each \"//\" is a question that only you can answer: answer it and take the mark away, then run cfg-render check.",
        "name": args.name,
        "people": {"admin": {"//": "your public SSH key, or nobody gets in", "groups": ["admins"], "ssh_keys": []}},
        "hosts": hosts,
        "services": whole.services,
    });
    if let Value::Object(fleet) = &mut fleet {
        for (key, value) in [("networks", networks), ("databases", whole.databases)] {
            if !value.is_empty() {
                fleet.insert(key.into(), Value::Object(value));
            }
        }
        if !whole.repositories.is_empty() {
            fleet.insert("backups".into(), json!({"repositories": whole.repositories, "plans": {"nightly": {}}}));
            let secrets = whole.secrets.into_iter().map(|name| (name, json!({})));
            fleet.insert("secrets".into(), Value::Object(secrets.collect()));
        }
    }
    session.print_bytes(cli::canonical_json(SchemaId::FLEET, &fleet, false).as_bytes())?;
    Ok(Exit::Done)
}

/// The host of these facts, its name, and what runs on it. Private networks that it is on are added to those of the fleet.
fn host(facts: &HostFacts, networks: &mut serde_json::Map<String, Value>) -> (String, Value, Draft) {
    let name = draft::name_of(facts.hostname.split('.').next().unwrap_or_default());
    let mut running = facts.running.as_deref().map(|running| draft(&name, running)).unwrap_or_default();
    let mut host = json!({
        "description": format!("{} MiB of memory, kernel {}", facts.memory_bytes / (1024 * 1024), facts.kernel),
        "arch": facts.arch,
        "hostname": facts.hostname.split('.').next().unwrap_or_default(),
    });
    let Value::Object(keys) = &mut host else { return (name, host, running) };
    let mut questions = Vec::new();
    let known = matches!(facts.os_id.as_str(), "debian" | "ubuntu" | "nixos");
    match (&facts.os_version, known) {
        (Some(version), true) => {
            keys.insert("os".into(), json!(format!("{}-{version}", facts.os_id)));
        }
        _ => questions.push(format!(
            "os: it says {} {}; which of debian-12, ubuntu-24.04, nixos-25.11 is that nearest to?",
            facts.os_id,
            facts.os_version.as_deref().unwrap_or("")
        )),
    }
    let mut addresses: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for text in &facts.addresses {
        let Some(address) = text.split('/').next().and_then(|text| text.parse::<IpAddr>().ok()) else { continue };
        match kind_of(address) {
            Kind::Nowhere => {}
            Kind::Public => {
                addresses.entry("public".into()).or_default().push(text.split('/').next().unwrap_or_default());
            }
            Kind::Overlay => {
                networks.entry("tailnet").or_insert_with(|| json!({"tailscale": {}}));
                addresses.entry("tailnet".into()).or_default().push(text.split('/').next().unwrap_or_default());
            }
            Kind::Private(range) => {
                networks.entry("lan").or_insert_with(|| json!({"//": "is this really its range?", "cidrs": [range]}));
                addresses.entry("lan".into()).or_default().push(text.split('/').next().unwrap_or_default());
            }
        }
    }
    if addresses.is_empty() {
        questions.push("addresses: none can be seen from inside; how is it reached?".into());
    }
    keys.insert("addresses".into(), json!(addresses));
    let port = facts.ssh_ports.first().copied().unwrap_or(22);
    if facts.ssh_ports.len() != 1 {
        questions.push(format!("ssh.port: sshd listens on {:?}; which one stays?", facts.ssh_ports));
    }
    keys.insert("ssh".into(), json!({"port": port, "groups": ["admins"], "initial": {"port": port}}));
    questions.push("services: what runs here that shall be kept, on which ports, with which data? Nothing that is not declared is touched, but the firewall closes what is not declared".into());
    if facts.running.is_none() {
        questions.push("these facts do not say what runs here: host-provision facts --running does".into());
    }
    questions.push("backup: which of its paths cannot be made again?".into());
    questions.append(&mut running.questions);
    keys.append(&mut running.host);
    keys.insert("//".into(), json!(questions));
    (name, host, running)
}

enum Kind {
    Public,
    Private(String),
    Overlay,
    Nowhere,
}

fn kind_of(address: IpAddr) -> Kind {
    match address {
        IpAddr::V4(v4) => {
            let [a, b, c, _] = v4.octets();
            if v4.is_loopback() || v4.is_link_local() || v4.is_unspecified() {
                Kind::Nowhere
            } else if a == 100 && (64..128).contains(&b) {
                Kind::Overlay
            } else if v4.is_private() {
                Kind::Private(format!("{a}.{b}.{c}.0/24"))
            } else {
                Kind::Public
            }
        }
        IpAddr::V6(v6) => {
            let [first, second, third, ..] = v6.segments();
            if v6.is_loopback() || v6.is_unspecified() || (first & 0xffc0) == 0xfe80 {
                Kind::Nowhere
            } else if (first, second, third) == (0xfd7a, 0x115c, 0xa1e0) {
                Kind::Overlay
            } else if (first & 0xfe00) == 0xfc00 {
                Kind::Private(format!("{first:x}:{second:x}:{third:x}::/48"))
            } else {
                Kind::Public
            }
        }
    }
}
