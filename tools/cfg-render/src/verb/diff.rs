//! `cfg-render diff`: what a fleet would make now, against an earlier render.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use cli::{Failure, Input, Session};
use contract::document::HostDesired;
use contract::{Document, Exit};
use similar::TextDiff;

use super::fleet_input::FleetInput;
use crate::host::{Rendered, render, render_each};
use crate::model::Model;

/// `diff`
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// The earlier render: what `host` printed (JSON or JSON Lines), or the directory of `host --out`
    #[arg(long, value_name = "FILE|DIR")]
    against: PathBuf,
    /// Exit 1 if anything differs
    #[arg(long)]
    check: bool,
    /// Only this host
    #[arg(long, value_name = "HOST")]
    host: Option<String>,
    #[command(flatten)]
    fleet: FleetInput,
}

/// Items by `host: id`, each as text.
type Items = BTreeMap<String, String>;

/// Does it.
pub(super) fn run(args: &DiffArgs, session: &Session) -> Result<Exit, Failure> {
    let fleet = args.fleet.read(session)?;
    let resolved = fleet.document.resolved();
    let model = Model::new(&fleet.document, &resolved);
    let rendered: Vec<Rendered> = match &args.host {
        Some(name) => vec![render(&model, super::find_host(&model, name)?)],
        None => render_each(&model, &model.hosts().collect::<Vec<_>>(), |rendered| rendered),
    };
    let (old, new) = if args.against.is_dir() {
        let new = super::out::texts(&rendered);
        (on_disk(&args.against, &new, args.host.is_none())?, new)
    } else {
        let documents = session.read_all_raw(&Input::file(&args.against), &[HostDesired::ID])?;
        let mut old = Items::new();
        let hosts: BTreeSet<&str> = rendered.iter().map(|rendered| rendered.desired.host.as_str()).collect();
        for document in documents {
            let document: HostDesired = document.read()?.document;
            if args.host.is_none() || hosts.contains(document.host.as_str()) {
                items(&document, &mut old);
            }
        }
        let mut new = Items::new();
        for rendered in &rendered {
            items(&rendered.desired, &mut new);
        }
        (old, new)
    };
    let text = compare(&old, &new);
    let differs = !text.is_empty();
    session.print_bytes(text.as_bytes())?;
    Ok(if differs && args.check { Exit::No } else { Exit::Done })
}

/// The items of a host: texts of files as they are, everything else as JSON.
fn items(document: &HostDesired, all: &mut Items) {
    for item in &document.items {
        let host = &document.host;
        if let Some(nixos) = &item.nixos {
            for (path, file) in &nixos.files {
                let text =
                    file.content.clone().or_else(|| Some(format!("a file of yours: {}\n", file.source.as_ref()?)));
                all.insert(format!("{host}:{path}"), text.unwrap_or_default());
            }
            continue;
        }
        let name = item.file.as_ref().map_or_else(|| item.id.clone(), |file| file.path.clone());
        let text = match item.file.as_ref().and_then(|file| file.content.clone()) {
            Some(content) => content,
            None => {
                let plain = contract::document::HostItem { from: Vec::new(), ..item.clone() };
                serde_json::to_string_pretty(&plain).unwrap_or_default() + "\n"
            }
        };
        all.insert(format!("{host}:{name}"), text);
    }
}

/// What lies in a directory under the names of a render, and generated files there that are no longer made.
fn on_disk(directory: &Path, new: &Items, all: bool) -> Result<Items, Failure> {
    let mut old = Items::new();
    for name in new.keys() {
        if let Ok(text) = fs::read_to_string(directory.join(name)) {
            old.insert(name.clone(), text);
        }
    }
    if all {
        for name in super::out::generated(directory)? {
            if !new.contains_key(&name) {
                let text = fs::read_to_string(directory.join(&name)).unwrap_or_default();
                old.insert(name, text);
            }
        }
    }
    Ok(old)
}

/// Unified differences of everything that is not the same.
fn compare(old: &Items, new: &Items) -> String {
    let mut text = String::new();
    for name in old.keys().chain(new.keys()).collect::<BTreeSet<_>>() {
        let (before, after) = (old.get(name), new.get(name));
        if before == after {
            continue;
        }
        let head = |there: Option<&String>| if there.is_some() { name.as_str() } else { "/dev/null" };
        let (a, b) = (before.map_or("", String::as_str), after.map_or("", String::as_str));
        let diff = TextDiff::from_lines(a, b);
        text.push_str(&diff.unified_diff().context_radius(3).header(head(before), head(after)).to_string());
        if a == b {
            text.push_str(&format!("--- {}\n+++ {}\n", head(before), head(after)));
        }
    }
    text
}
