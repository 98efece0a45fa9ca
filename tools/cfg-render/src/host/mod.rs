//! Everything on a Debian or Ubuntu host, as `host.desired`. One file a part of the host; each part adds its items.
//!
//! Invariants: every item names the places in the fleet that made it; no item holds the value or the placeholder of a
//! secret; what the fleet says and no part renders is named in a finding.

mod access;
mod acme;
mod backup;
mod bans;
mod block_lists;
mod builder;
pub(crate) mod caddy;
pub(crate) mod certificates;
mod containers;
mod exporters;
mod firewall;
mod forwards;
mod gate;
mod headers;
pub(crate) mod logins;
mod machine;
mod mail;
mod merge_patch;
mod missing;
pub(crate) mod monitoring;
mod names;
mod network;
pub(crate) mod nginx;
pub(crate) mod operations;
pub(crate) mod pgbouncer;
mod portal;
mod postgres;
pub(crate) mod prometheus;
mod secrets;
pub(crate) mod services;
mod side_by_side;
pub(crate) mod single_sign_on;
mod sources;
mod tailscale;
pub(crate) mod traefik;
mod tunnel;
mod updates;
pub(crate) mod user_units;
mod users;

use contract::Finding;
use contract::document::HostDesired;

use crate::fleet::ProxyKind;
use crate::model::{HostView, Model};

pub(crate) use builder::HostBuilder;
pub(crate) use firewall::holes;
pub(crate) use missing::several_hosts;
pub(crate) use names::{announced, announcer, known_names};
pub(crate) use pgbouncer::UNIT as PGBOUNCER_UNIT;
pub(crate) use postgres::{client_authentication, listen_addresses};
pub(crate) use secrets::manifest;
pub use side_by_side::render_each;
pub(crate) use sources::{Beginning, Source};

/// Who owns what is made from a fleet.
pub const OWNER: &str = "fleet";

/// A host's document, and what could not be put into it.
#[derive(Debug, Clone)]
pub struct Rendered {
    /// The document.
    pub desired: HostDesired,
    /// What a person should know about it: errors for texts that a format cannot hold, warnings for what is left out.
    pub findings: Vec<Finding>,
    /// Templates that the secrets unit fills.
    pub(crate) templates: Vec<contract::document::ManifestTemplate>,
    /// The files of its flake, for a NixOS host.
    pub tree: Option<crate::nixos::Tree>,
}

/// Makes the document of a host.
pub fn render(model: &Model<'_>, host: &HostView) -> Rendered {
    if host.os.is_nixos() {
        return crate::nixos::render(model, host);
    }
    let mut builder = HostBuilder::new(model, host);
    missing::report(&mut builder);
    if host.is_debian_like() {
        machine::add(&mut builder);
        network::add(&mut builder);
        names::add(&mut builder);
        users::add(&mut builder);
        access::add(&mut builder);
        logins::add(&mut builder);
        firewall::add(&mut builder);
        bans::add(&mut builder);
        updates::add(&mut builder);
        tailscale::add(&mut builder);
        postgres::add(&mut builder);
        pgbouncer::add(&mut builder);
        services::add(&mut builder);
        containers::add(&mut builder);
        match host.proxy().kind {
            ProxyKind::Nginx => nginx::add(&mut builder),
            ProxyKind::Caddy => caddy::add(&mut builder),
            ProxyKind::Traefik => traefik::add(&mut builder),
        }
        exporters::add(&mut builder);
        prometheus::add(&mut builder);
        monitoring::add(&mut builder);
        single_sign_on::add(&mut builder);
        portal::add(&mut builder);
        tunnel::add(&mut builder);
        forwards::add(&mut builder);
        operations::add(&mut builder);
        backup::add(&mut builder);
        machine::add_files_of_the_user(&mut builder);
        // Last, because every other part may ask for secrets.
        secrets::add(&mut builder);
    }
    builder.finish()
}
