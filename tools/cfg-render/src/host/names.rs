//! Names that no zone holds: `/etc/hosts`, and multicast DNS by Avahi.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use contract::Pointer;
use contract::document::{Handler, Stage};

use super::HostBuilder;
use crate::fleet::{NameService, is_multicast};
use crate::format::systemd::UnitFile;
use crate::model::{HostView, Model};

const HOSTS: &str = "/etc/hosts";
const AVAHI: &str = "avahi-daemon.service";

/// The port of multicast DNS (RFC 6762).
pub(crate) const MDNS_PORT: u16 = 5353;

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    hosts_file(builder);
    multicast(builder);
}

/// Names by address, and what made them, for `/etc/hosts` of a host. Its own names lead to loopback anyway.
pub(crate) fn known_names(
    model: &Model<'_>,
    host: &HostView,
) -> (BTreeMap<IpAddr, BTreeSet<String>>, BTreeSet<Pointer>) {
    let mut by_address: BTreeMap<IpAddr, BTreeSet<String>> = BTreeMap::new();
    let mut from = BTreeSet::new();
    for network in model.networks_naming(host, NameService::Hosts) {
        from.insert(Pointer::root().join("networks").join(network).join("names"));
        for (name, found) in model.names_on(network) {
            if name == host.hostname() {
                continue;
            }
            from.extend(found.from);
            for address in found.addresses {
                by_address.entry(address).or_default().insert(name.clone());
            }
        }
    }
    (by_address, from)
}

fn hosts_file(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let (by_address, from) = known_names(model, host);
    if from.is_empty() {
        return;
    }
    let from: Vec<Pointer> = from.into_iter().collect();
    let full = model.domain_of(host).map(|domain| format!("{}.{domain} ", host.hostname())).unwrap_or_default();
    // What the installer writes stays: without the second line sudo waits for a name server.
    let mut text = builder.header("#", &from)
        + &format!("127.0.0.1 localhost\n127.0.1.1 {full}{}\n", host.hostname())
        + "::1 localhost ip6-localhost ip6-loopback\nff02::1 ip6-allnodes\nff02::2 ip6-allrouters\n";
    for (address, names) in by_address {
        for name in names {
            text.push_str(&format!("{address} {name}\n"));
        }
    }
    builder.file(Stage::Base, HOSTS, text, &from).add(builder);
}

/// The names that a host announces by multicast: those under `.local` whose requests it takes.
pub(crate) fn announced(model: &Model<'_>, host: &HostView) -> Vec<(String, IpAddr, BTreeSet<Pointer>)> {
    let mut all = Vec::new();
    for network in model.networks_naming(host, NameService::Mdns) {
        for (name, found) in model.names_on(network) {
            // Avahi itself announces the host's own name.
            let own = name.strip_suffix(".local") == Some(host.hostname());
            if !is_multicast(&name) || own || !found.hosts.contains(&host.name) {
                continue;
            }
            let addresses = host.spec.addresses.get(network).into_iter().flatten();
            all.extend(addresses.map(|address| (name.clone(), *address, found.from.clone())));
        }
    }
    all
}

/// The unit that announces a name; one address family of a name has one.
pub(crate) fn announcer(name: &str, address: IpAddr) -> String {
    format!("mdns-{}-{}", name.trim_end_matches(".local"), if address.is_ipv4() { 4 } else { 6 })
}

fn multicast(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let networks: Vec<&str> = model.networks_naming(host, NameService::Mdns).collect();
    let Some(first) = networks.first() else { return };
    let at = Pointer::root().join("networks").join(first).join("names");
    builder.packages(Stage::Base, &["avahi-daemon", "avahi-utils", "libnss-mdns"], &at);
    builder.unit(Stage::Base, AVAHI, std::slice::from_ref(&at));
    for (name, address, from) in announced(model, host) {
        let mut from: Vec<Pointer> = from.into_iter().collect();
        from.push(at.clone());
        // The reverse record of the address is the host's own name and can be there only once.
        let command = format!("/usr/bin/avahi-publish --address --no-reverse {name} {address}");
        let unit = UnitFile::new()
            .set("Unit", "Description", format!("Announces {name} on the local network"))
            .set("Unit", "BindsTo", AVAHI)
            .set("Unit", "After", AVAHI)
            .set("Service", "Type", "exec")
            .set("Service", "ExecStart", command)
            .set("Service", "Restart", "on-failure")
            .set("Service", "RestartSec", "5s")
            .set("Service", "DynamicUser", "yes")
            .without_rights()
            .set("Service", "RestrictAddressFamilies", "AF_UNIX AF_NETLINK")
            .set("Install", "WantedBy", AVAHI);
        let unit_name = format!("{}.service", announcer(&name, address));
        let text = builder.header("#", &from) + &unit.write();
        builder
            .file(Stage::Base, &format!("/etc/systemd/system/{unit_name}"), text, &from)
            .notify(Handler::restart(&unit_name))
            .add(builder);
        builder.unit(Stage::Base, &unit_name, &from);
    }
}
