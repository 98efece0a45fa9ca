//! `cfg-render explain`: which lines of the fleet made a file of a host, and what would go with a service.

use std::collections::{BTreeMap, BTreeSet};

use clap::Args;
use cli::{Failure, Session, Source, did_you_mean};
use contract::document::HostItem;
use contract::{Exit, Pointer};
use serde_json::Value;

use super::fleet_input::FleetInput;
use crate::derive::{self, Vantage};
use crate::fleet::Fleet;
use crate::host::{Rendered, render};
use crate::model::Model;

/// `explain`
#[derive(Debug, Clone, Args)]
pub struct ExplainArgs {
    /// A file or item of a host, such as web1:/etc/nginx/nginx.conf or web1:unit:nginx.service; left out with --service
    #[arg(value_name = "HOST:PATH", required_unless_present = "service")]
    target: Option<String>,
    /// What would go with this service
    #[arg(long, value_name = "SERVICE")]
    service: Option<String>,
    #[command(flatten)]
    fleet: FleetInput,
}

/// Does it.
pub(super) fn run(args: ExplainArgs, session: &Session) -> Result<Exit, Failure> {
    let text = match (args.target, &args.service) {
        // With --service the first word is the fleet.
        (Some(file), Some(_)) if !args.fleet.is_stdin() => {
            return Err(Failure::new(Exit::Usage, "usage", format!("\"{file}\" and --service are two questions"))
                .hint("ask for HOST:PATH or for --service, one at a time"));
        }
        (file, Some(service)) => {
            let fleet = file.map_or(args.fleet.clone(), |file| args.fleet.at(file)).read(session)?;
            explain_service(&fleet.document, service)?
        }
        (Some(target), None) => {
            let fleet = args.fleet.read(session)?;
            explain_file(&fleet.document, &fleet.source, &target)?
        }
        (None, None) => String::new(),
    };
    session.print_bytes(text.as_bytes())?;
    Ok(Exit::Done)
}

fn explain_file(fleet: &Fleet, source: &Source, target: &str) -> Result<String, Failure> {
    let Some((host, path)) = target.split_once(':') else {
        return Err(Failure::new(Exit::Usage, "usage", format!("\"{target}\" is not HOST:PATH"))
            .hint("such as web1:/etc/nginx/nginx.conf"));
    };
    let resolved = fleet.resolved();
    let model = Model::new(fleet, &resolved);
    let rendered = render(&model, super::find_host(&model, host)?);
    let mut text = String::new();
    if let Some(tree) = &rendered.tree {
        let name = path.trim_start_matches('/');
        if let Some(entry) = tree.entries.get(name) {
            text.push_str(&format!("{host}:{name} (a file of the flake)\n"));
            if let Some(source) = &entry.file.source {
                text.push_str(&format!("  a file of yours: {source}\n"));
            }
            places(&mut text, source, entry.from.iter());
            let before = entry.file.content.as_deref();
            changed_by(&mut text, fleet, source, host, &entry.from.iter().cloned().collect::<Vec<_>>(), |rendered| {
                rendered.tree.as_ref().and_then(|tree| tree.entries.get(name)?.file.content.as_deref()) != before
            });
            return Ok(text);
        }
    }
    let wanted = |item: &&HostItem| item.id == path || item.file.as_ref().is_some_and(|file| file.path == path);
    let Some(item) = rendered.desired.items.iter().find(wanted) else {
        let known = names_of(&rendered);
        let hint = match did_you_mean(path, known.iter().map(String::as_str)) {
            Some(near) => format!("did you mean {host}:{near}?"),
            None => format!("it has {}", known.into_iter().take(20).collect::<Vec<_>>().join(", ")),
        };
        return Err(Failure::new(Exit::Usage, "unknown_file", format!("nothing on host \"{host}\" is called {path}"))
            .hint(hint));
    };
    text.push_str(&format!("{host}:{path} ({})\n", item.id));
    places(&mut text, source, item.from.iter());
    changed_by(&mut text, fleet, source, host, &item.from, |rendered| {
        let other = rendered.desired.items.iter().find(|other| other.id == item.id);
        other.map(|other| HostItem { from: item.from.clone(), ..other.clone() }).as_ref() != Some(item)
    });
    if let Some(file) = &item.file {
        if !file.validate.is_empty() {
            text.push_str(&format!("  checked by {}\n", file.validate.join(" ")));
        }
        for check in file.set.iter().filter_map(|set| rendered.desired.sets.get(set)).flat_map(|set| &set.check) {
            text.push_str(&format!("  checked with its set by {}\n", check.join(" ")));
        }
    }
    for handler in &item.notify {
        text.push_str(&format!("  after a change {}\n", handler.0));
    }
    Ok(text)
}

fn places<'p>(text: &mut String, source: &Source, from: impl Iterator<Item = &'p Pointer>) {
    for pointer in from {
        let (file, line, _) = source.line_at(pointer);
        text.push_str(&format!("  made by {file}:{line}  {pointer}\n"));
    }
}

/// Which overrides made it what it is: what would be otherwise without them. Every one is taken out in turn, so that none is
/// named that changes nothing here, and none is left out, whichever its strength.
fn changed_by(
    text: &mut String,
    fleet: &Fleet,
    source: &Source,
    host: &str,
    from: &[Pointer],
    differs: impl Fn(&Rendered) -> bool,
) {
    let Ok(whole) = serde_json::to_value(fleet) else { return };
    for pointer in overrides(&whole, host, from) {
        let mut less = whole.clone();
        let keys: Vec<String> = pointer.keys().collect();
        let Some((last, above)) = keys.split_last() else { continue };
        let above = above.iter().fold(Pointer::root(), |at, key| at.join(key));
        let Some(Value::Object(object)) = less.pointer_mut(above.as_str()) else { continue };
        object.remove(last);
        // Without it the fleet may say nothing that could be rendered; then it is no override but the thing itself.
        let Ok(less) = serde_json::from_value::<Fleet>(less) else { continue };
        let resolved = less.resolved();
        let model = Model::new(&less, &resolved);
        let Some(host) = model.host(host) else { continue };
        if differs(&render(&model, host)) {
            let (file, line, _) = source.line_at(&pointer);
            text.push_str(&format!("  changed by {file}:{line}  {pointer}\n"));
        }
    }
}

/// What might change something of a host, from weak to strong: what all hosts have, what it takes over from another, text at
/// fixed points and merge patches, whole files.
fn overrides(whole: &Value, host: &str, from: &[Pointer]) -> Vec<Pointer> {
    let host = Pointer::root().join("hosts").join(host);
    let services: BTreeSet<String> = from
        .iter()
        .filter_map(|pointer| {
            let mut keys = pointer.keys();
            (keys.next().as_deref() == Some("services")).then(|| keys.next())?
        })
        .collect();
    let inside = |at: Pointer| {
        let keys = whole.pointer(at.as_str()).and_then(Value::as_object).into_iter().flat_map(serde_json::Map::keys);
        keys.map(|key| at.join(key)).collect::<Vec<_>>()
    };
    let mut all = inside(Pointer::root().join("defaults").join("host"));
    // Without its system a host is another thing altogether.
    all.retain(|at| at.keys().last().as_deref() != Some("os"));
    all.extend(Some(host.join("like")).filter(|at| whole.pointer(at.as_str()).is_some_and(|like| !like.is_null())));
    all.extend(inside(host.join("extra")));
    for service in services {
        let at = Model::service_at(&service);
        all.extend([at.join("extra"), at.join("files")].into_iter().flat_map(&inside));
    }
    all.extend(inside(host.join("files")));
    all
}

/// What can be asked for on a host.
fn names_of(rendered: &Rendered) -> Vec<String> {
    let items = rendered.desired.items.iter();
    let files = rendered.tree.iter().flat_map(|tree| tree.entries.keys().cloned());
    items
        .map(|item| item.file.as_ref().map_or_else(|| item.id.clone(), |file| file.path.clone()))
        .chain(files)
        .collect()
}

/// Everything that a fleet comes to, by a name that people know, with what it holds.
fn everything(fleet: &Fleet) -> BTreeMap<String, String> {
    let resolved = fleet.resolved();
    let model = Model::new(fleet, &resolved);
    let mut all = BTreeMap::new();
    let json = |value: &dyn erased::Json| value.text();
    for host in model.hosts() {
        let rendered = render(&model, host);
        for item in &rendered.desired.items {
            if item.nixos.is_none() {
                let plain = HostItem { from: Vec::new(), ..item.clone() };
                all.insert(format!("on {}: {}", host.name, item.id), json(&plain));
            }
        }
        for (path, entry) in rendered.tree.iter().flat_map(|tree| &tree.entries) {
            all.insert(format!("on {}: {path} of the flake", host.name), json(&entry.file));
        }
        for (name, found) in model.secrets_of(Some(&host.name)) {
            all.insert(format!("on {}: secret {name}", host.name), format!("{:?}", found.owner));
        }
        for service in derive::backup(&model, host).into_iter().flat_map(|sources| sources.services) {
            all.insert(format!("on {}: backup of {}", host.name, service.name), json(&service));
        }
    }
    for zone in derive::dns(&model).0.zones {
        for record in zone.records {
            let plain = contract::document::DnsRecord { from: Vec::new(), ..record.clone() };
            all.insert(format!("in zone {}: {}", zone.name, record.name), json(&plain));
        }
    }
    for cluster in model.clusters() {
        for found in model.databases_in(cluster.name) {
            let name = found.spec.name_or(found.service_name);
            all.insert(
                format!(
                    "in cluster {}: database {name} (kept as an orphan until you allow drop:database/{name})",
                    cluster.name
                ),
                String::new(),
            );
        }
    }
    for check in derive::health(&model, Vantage::Controller, None, &[]).checks {
        all.insert(format!("health check {}", check.id), json(&check));
    }
    for scrape in model.scrapes() {
        all.insert(format!("metrics of {} at {}", scrape.job, scrape.target), String::new());
    }
    all
}

/// Documents of all kinds as text, to compare them.
mod erased {
    pub(super) trait Json {
        fn text(&self) -> String;
    }

    impl<T: serde::Serialize> Json for T {
        fn text(&self) -> String {
            serde_json::to_string(self).unwrap_or_default()
        }
    }
}

fn explain_service(fleet: &Fleet, name: &str) -> Result<String, Failure> {
    if !fleet.services.contains_key(name) {
        return Err(super::unknown("service", name, fleet.services.keys().map(String::as_str), "services"));
    }
    let mut without = fleet.clone();
    without.services.remove(name);
    let (before, after) = (everything(fleet), everything(&without));
    let gone: Vec<&String> = before.keys().filter(|key| !after.contains_key(*key)).collect();
    let changed: Vec<&String> = before
        .iter()
        .filter(|(key, text)| after.get(*key).is_some_and(|new| new != *text))
        .map(|(key, _)| key)
        .collect();
    let needing: BTreeSet<String> = fleet
        .resolved()
        .dependencies()
        .into_iter()
        .filter(|dependency| dependency.on.name() == name && dependency.service != name)
        .map(|dependency| {
            format!(
                "{} ({})",
                dependency.service,
                if dependency.strength == crate::fleet::Strength::Needs {
                    "cannot work without it"
                } else {
                    "works less well without it"
                }
            )
        })
        .collect();
    let mut text = format!("Without the service {name}\n");
    let mut part = |title: &str, lines: Vec<String>| {
        if !lines.is_empty() {
            text.push_str(&format!("\n{title}\n"));
            text.extend(lines.iter().map(|line| format!("  {line}\n")));
        }
    };
    part("would go:", gone.into_iter().cloned().collect());
    part("would change:", changed.into_iter().cloned().collect());
    part("would miss it:", needing.into_iter().collect());
    Ok(text)
}
