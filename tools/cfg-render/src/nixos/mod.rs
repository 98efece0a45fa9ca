//! A NixOS host, as the files of a flake: one module a part of the host, and one a service, so that each owns what is its.
//! `host.desired` carries them in its one `nixos` item; `host --out` writes the same tree for git.
//!
//! Invariants: as for other hosts, every file names the places in the fleet that made it and none holds a secret. Nothing
//! opens the firewall but what the fleet declares.

mod access;
mod adapter;
mod agents;
mod backup;
mod builder;
mod compose;
mod containers;
mod disk;
mod files;
mod firewall;
mod flake;
mod forwards;
mod home;
mod logins;
mod missing;
mod monitoring;
mod names;
mod operations;
mod overlay;
mod portal;
mod postgres;
mod program;
mod proxy;
mod pull;
mod secrets;
mod services;
mod single_sign_on;
mod system;
mod tree;
mod unit;
mod users;

use contract::Pointer;
use contract::document::{HostDesired, HostItem, Nixos, Stage, ToolLink};

use crate::host::{OWNER, Rendered};
use crate::model::{HostView, Model};

use builder::NixosBuilder;
pub use tree::{Tree, TreeFile};

/// Where the tools' stable links lie, which units name. NixOS has no `/usr/local`.
const TOOLS: &str = "/var/lib/plumbline/tools";

/// Makes the document of a NixOS host.
pub(crate) fn render(model: &Model<'_>, host: &HostView) -> Rendered {
    let mut builder = NixosBuilder::new(model, host);
    missing::report(&mut builder);
    system::add(&mut builder);
    disk::add(&mut builder);
    users::add(&mut builder);
    access::add(&mut builder);
    firewall::add(&mut builder);
    names::add(&mut builder);
    overlay::add(&mut builder);
    postgres::add(&mut builder);
    services::add(&mut builder);
    forwards::add(&mut builder);
    containers::add(&mut builder);
    home::add(&mut builder);
    proxy::add(&mut builder);
    monitoring::add(&mut builder);
    agents::add(&mut builder);
    single_sign_on::add(&mut builder);
    operations::add(&mut builder);
    logins::add(&mut builder);
    portal::add(&mut builder);
    backup::add(&mut builder);
    pull::add(&mut builder);
    files::add(&mut builder);
    // Last, because every other part may ask for secrets.
    secrets::add(&mut builder);
    flake::add(&mut builder);
    let access = builder.access.take();
    let tools = std::mem::take(&mut builder.tools);
    let nixos = host.spec.nixos.clone().unwrap_or_default();
    let (tree, findings, templates) = builder.finish();
    let mut items: Vec<HostItem> = tools
        .into_iter()
        .map(|(name, from)| HostItem {
            id: format!("tool:{name}"),
            stage: Stage::Base,
            from: vec![from],
            tool: Some(ToolLink { path: format!("{TOOLS}/{name}"), name }),
            ..HostItem::default()
        })
        .collect();
    items.push(HostItem {
        id: "nixos".into(),
        stage: Stage::Base,
        from: tree.from(),
        nixos: Some(Nixos {
            attr: nixos.attr.clone().unwrap_or_else(|| host.name.clone()),
            directory: nixos.directory.clone(),
            // What the host fetches itself nobody sends.
            files: if nixos.remote.is_some() { std::collections::BTreeMap::new() } else { tree.files() },
            flake: nixos.remote.clone(),
            switch: nixos.switch,
        }),
        ..HostItem::default()
    });
    let desired = HostDesired {
        host: host.name.clone(),
        owner: OWNER.into(),
        partial: false,
        access,
        sets: std::collections::BTreeMap::new(),
        items,
    };
    Rendered { desired, findings, templates, tree: Some(tree) }
}

/// The place of a part of the fleet.
fn place(keys: &[&str]) -> Pointer {
    keys.iter().fold(Pointer::root(), |at, key| at.join(key))
}
