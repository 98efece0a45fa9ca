//! Which secret goes from which file to which host and service.

use std::collections::{BTreeMap, BTreeSet};

use super::some_of;
use crate::docs::{Diagram, Kind, Line, Meanings, Node};
use crate::fleet::{AgeKey, Fleet, SecretBackend};
use crate::model::Model;

pub(super) fn draw(fleet: &Fleet) -> Diagram {
    let mut diagram = Diagram::new(
        format!("{}: secrets", fleet.name),
        "encrypted files in git, who decrypts them, and which services read what; values lie in RAM only",
    )
    .meaning(Meanings {
        kinds: &[(Kind::Storage, "encrypted file"), (Kind::Paper, "secret"), (Kind::External, "controller")],
        ..Meanings::default()
    });
    let model = Model::new(fleet, fleet);
    let holders = std::iter::once(None).chain(fleet.hosts.keys().map(|host| Some(host.as_str())));
    let mut files: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut deliveries: BTreeMap<(String, Option<&str>), BTreeSet<String>> = BTreeMap::new();
    let mut readers: BTreeMap<(&str, String), BTreeSet<String>> = BTreeMap::new();
    for holder in holders {
        for (name, used) in model.secrets_of(holder) {
            let reference = fleet.secrets.get(name).and_then(|secret| secret.reference.as_ref());
            let file = match reference.and_then(|reference| reference.split_once(':')) {
                Some((kind, _)) => format!("{kind}: references"),
                None => model.secret_file(name).file,
            };
            files.entry(file.clone()).or_default().insert(name.to_string());
            deliveries.entry((file, holder)).or_default().insert(name.to_string());
            let Some(host) = holder else { continue };
            for place in &used.from {
                let keys: Vec<String> = place.keys().take(2).collect();
                let [section, owner] = keys.as_slice() else { continue };
                if section == "services" || section == "databases" {
                    readers.entry((host, owner.clone())).or_default().insert(name.to_string());
                }
            }
        }
    }
    for (file, names) in &files {
        let mut node = Node::new(Kind::Storage, file).line(if file.ends_with("references") {
            "resolved on the controller"
        } else {
            "encrypted, in git"
        });
        for name in names {
            node.part(Kind::Paper, name, "");
        }
        diagram.node(format!("file:{file}"), node);
    }
    for holder in deliveries.keys().map(|(_, holder)| *holder).collect::<BTreeSet<_>>() {
        let mut node = match holder {
            None => Node::new(Kind::External, "controller")
                .line("opened with an administrator's key")
                .line("in RAM, for one command"),
            Some(name) => Node::new(Kind::Host, name).line(opened_with(fleet, name)).line("/run/secrets, in RAM"),
        };
        for ((_, owner), names) in readers.iter().filter(|((host, _), _)| Some(*host) == holder) {
            let kind = if fleet.databases.contains_key(owner) { Kind::Database } else { Kind::Service };
            let names: Vec<&String> = names.iter().collect();
            node.part(kind, owner, some_of(&names, 1));
        }
        diagram.node(format!("holder:{}", holder.unwrap_or("")), node);
    }
    for ((file, holder), names) in &deliveries {
        let ends = (diagram.find(&format!("file:{file}")), diagram.find(&format!("holder:{}", holder.unwrap_or(""))));
        if let (Some(from), Some(to)) = ends {
            diagram.edge(from, to, &super::plural(names.len(), "secret"), Line::Solid);
        }
    }
    diagram
}

fn opened_with(fleet: &Fleet, host: &str) -> String {
    let secrets = fleet.hosts.get(host).and_then(|host| host.secrets.clone()).unwrap_or_default();
    let backend = match secrets.backend {
        SecretBackend::Sops => "",
        SecretBackend::Agenix => " (agenix)",
        SecretBackend::None => " (takes none)",
    };
    match &secrets.key {
        AgeKey::SshHostKey => format!("opened with its SSH host key{backend}"),
        AgeKey::File(file) => format!("opened with {}{backend}", file.path),
    }
}
