//! Zones and what is in them.

use std::collections::{BTreeMap, BTreeSet};

use contract::document::DnsRecord;
use contract::{Finding, Pointer};

use super::context::{Context, place};
use super::hostnames::ascii_name;
use super::shapes::kinds_of;
use crate::fleet::{Edge, NameService, Zone, dns_name, is_multicast, is_special_use};

/// `dns-collision`, `bad-hostname`, `name-without-zone`, `name-nowhere`, `outside-zone`, `no-address`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let zones = &context.fleet.dns.zones;
    for (name, zone) in zones {
        let at = place([&"dns", &"zones", name]);
        if ascii_name(name).is_none() || name.ends_with('.') || name.starts_with("*.") {
            let message = format!("\"{name}\" is no name of a zone");
            found.push(Finding::error("bad-hostname", at.clone(), message).fix("write it as \"example.org\""));
        }
        own_records(name, &zone.records, &at.join("records"), found);
        for (network, view) in &zone.views {
            own_records(name, &view.records, &at.join("views").join(network).join("records"), found);
        }
    }
    derived(context, found);
    nowhere(context, found);
}

/// Names that are for a network only, and that nobody there can look up.
fn nowhere(context: &Context<'_>, found: &mut Vec<Finding>) {
    let public: BTreeSet<&str> = context
        .routes
        .iter()
        .filter(|route| route.is_public())
        .flat_map(|route| route.names.iter().map(|name| name.name.as_str()))
        .collect();
    for route in context.routes.iter().filter(|route| route.route.dns && !route.is_public()) {
        // Devices of a network on which the edge has no address come over the internet, and have its names.
        let Edge::Host(edge) = route.edge else { continue };
        if route.route.from.iter().all(|network| !context.on_network(edge, network)) {
            continue;
        }
        let known = |name: &str| {
            let zone = zone_of(context, name);
            let own = |(zone_name, zone): (&str, &Zone)| {
                zone.records
                    .iter()
                    .chain(zone.views.values().flat_map(|view| &view.records))
                    .any(|record| full_name(zone_name, record) == name)
            };
            let on = |network: &String| {
                let ways =
                    context.fleet.networks.get(network).map(|network| network.names.as_slice()).unwrap_or_default();
                let in_zone = |(_, zone): (&str, &Zone)| {
                    zone.views.contains_key(network) || zone.network.as_ref() == Some(network)
                };
                ways.contains(&NameService::Hosts)
                    || (ways.contains(&NameService::Mdns) && is_multicast(name))
                    || zone.is_some_and(in_zone)
            };
            public.contains(name) || zone.is_some_and(own) || route.route.from.iter().any(on)
        };
        // A name that is in no zone of ours may well be known elsewhere.
        let ours = |name: &str| zone_of(context, name).is_some() || is_multicast(name);
        let mut names = route.names.iter().map(|name| name.name.as_str());
        if let Some(first) =
            names.clone().find(|name| ours(name)).filter(|_| !names.any(|name| known(name) || !ours(name)))
        {
            let network = route.route.from.first().map_or("", String::as_str);
            let message = format!("{first} is for network {network} only, and nothing there knows the name");
            let fix = if is_multicast(first) {
                format!("add \"names\": [\"mdns\"] to network {network}, or \"dns\": false to the proxy entry")
            } else {
                format!(
                    "give its zone a view for {network}, add \"names\": [\"hosts\"] to the network, or \"dns\": false to the proxy entry"
                )
            };
            found.push(Finding::warning("name-nowhere", route.place.clone(), message).fix(fix));
        }
    }
}

/// The zone that a name is in: the longest that it ends with.
pub(crate) fn zone_of<'a>(context: &Context<'a>, name: &str) -> Option<(&'a str, &'a Zone)> {
    let name = name.trim_start_matches("*.");
    let starts = std::iter::once(0).chain(name.match_indices('.').map(|(index, _)| index + 1));
    starts.filter_map(|start| name.get(start..)).find_map(|suffix| {
        let zones = &context.fleet.dns.zones;
        // A zone may be written in its own script.
        let own = || zones.get_key_value(&idna::domain_to_unicode(suffix).0).filter(|_| suffix.contains("xn--"));
        let (name, zone) = zones.get_key_value(suffix).or_else(own)?;
        Some((name.as_str(), zone))
    })
}

/// The full name of a record.
fn full_name(zone: &str, record: &DnsRecord) -> String {
    match record.name.as_str() {
        "@" | "" => zone.to_owned(),
        name => name.strip_suffix('.').map_or_else(|| format!("{name}.{zone}"), str::to_owned),
    }
    .to_lowercase()
}

fn types(record: &DnsRecord) -> Vec<String> {
    kinds_of(record, &["name", "ttl", "proxied", "comment", "when", "from"])
}

/// A CNAME beside other data, two CNAMEs, a name of another zone.
fn own_records(zone: &str, records: &[DnsRecord], at: &Pointer, found: &mut Vec<Finding>) {
    let mut first: BTreeMap<String, (usize, bool)> = BTreeMap::new();
    for (index, record) in records.iter().enumerate() {
        let name = full_name(zone, record);
        let at_record = at.join(index);
        if name != zone && !name.ends_with(&format!(".{zone}")) {
            let message = format!("{name} is not in zone {zone}");
            let fix = "take the final dot away, or put the record into its own zone";
            found.push(Finding::error("outside-zone", at_record.join("name"), message).fix(fix));
        }
        let is_cname = record.cname.is_some();
        if is_cname && name == zone {
            let message = format!("the zone {zone} itself cannot be a CNAME");
            found.push(Finding::error("dns-collision", at_record.clone(), message).fix("use ALIAS, or A and AAAA"));
        }
        match first.get(&name) {
            Some((other, other_is_cname)) if is_cname || *other_is_cname => {
                let message = format!("{name} is a CNAME and has other records, which DNS does not allow");
                found.push(
                    Finding::error("dns-collision", at_record, message)
                        .related(at.join(other))
                        .fix("take the CNAME or the others out"),
                );
            }
            Some(_) => {}
            None => {
                first.insert(name, (index, is_cname));
            }
        }
    }
}

/// What derived records would collide with: one another, and records of one's own.
fn derived(context: &Context<'_>, found: &mut Vec<Finding>) {
    let mut targets: BTreeMap<(String, &str), (Edge<'_>, &str, Pointer)> = BTreeMap::new();
    let mut complained: BTreeSet<String> = BTreeSet::new();
    let mut own: BTreeMap<(&str, String), Vec<(usize, &DnsRecord)>> = BTreeMap::new();
    for (name, zone) in &context.fleet.dns.zones {
        for (index, record) in zone.records.iter().enumerate() {
            own.entry((name, dns_name(&full_name(name, record)).into_owned())).or_default().push((index, record));
        }
    }
    for route in context.routes.iter().filter(|route| route.route.dns) {
        for name in &route.names {
            let Some((zone_name, zone)) = zone_of(context, &name.name) else {
                let missing = !context.fleet.dns.zones.is_empty() && !is_special_use(&name.name);
                if missing && complained.insert(name.name.clone()) {
                    let message = format!("{} is in no zone of the fleet, so that no record is made for it", name.name);
                    found.push(
                        Finding::warning("name-without-zone", route.place.clone(), message)
                            .fix("add its zone, or \"dns\": false to the proxy entry"),
                    );
                }
                continue;
            };
            if !zone.derive.proxies {
                continue;
            }
            let records = own.get(&(zone_name, name.name.clone()));
            own_against_derived(zone_name, records.map_or(&[], Vec::as_slice), &name.name, route, found);
            no_address(context, zone, route, &name.name, found);
            // Two edges may have the same name in different views, one for a network and one for the internet.
            let view = if route.is_public() { "" } else { route.route.from.first().map_or("", String::as_str) };
            match targets.get(&(name.name.clone(), view)) {
                Some((edge, service, first)) if *edge != route.edge && *service != route.service => {
                    let message =
                        format!("{} would lead to two edges, of services {service} and {}", name.name, route.service);
                    found.push(
                        Finding::error("dns-collision", route.place.clone(), message)
                            .related(first.clone())
                            .fix("use one edge (\"via\"), or \"dns\": false for one of them"),
                    );
                }
                Some(_) => {}
                None => {
                    targets.insert((name.name.clone(), view), (route.edge, route.service, route.place.clone()));
                }
            }
        }
    }
}

fn own_against_derived(
    zone_name: &str,
    records: &[(usize, &DnsRecord)],
    name: &str,
    route: &crate::fleet::ResolvedRoute<'_>,
    found: &mut Vec<Finding>,
) {
    // A record of one's own beats a derived one of the same type; a CNAME cannot stand beside any.
    let tunnel = matches!(route.edge, Edge::Tunnel(_));
    for (index, record) in records {
        let same_type = if tunnel { record.cname.is_some() } else { record.a.is_some() || record.aaaa.is_some() };
        if same_type || (!tunnel && record.cname.is_none()) {
            continue;
        }
        let kind = types(record).join(", ");
        let derived = if tunnel { "CNAME of a tunnel" } else { "address of its edge" };
        let message = format!("{name} has a record of type {kind}, which cannot stand beside the derived {derived}");
        found.push(
            Finding::error("dns-collision", place([&"dns", &"zones", &zone_name, &"records", index]), message)
                .related(route.place.clone())
                .fix("take the record out, or add \"dns\": false to the proxy entry"),
        );
    }
}

/// An edge without an address that the record could carry.
fn no_address(
    context: &Context<'_>,
    zone: &Zone,
    route: &crate::fleet::ResolvedRoute<'_>,
    name: &str,
    found: &mut Vec<Finding>,
) {
    let Edge::Host(host) = route.edge else { return };
    if zone.proxied || route.route.proxied == Some(true) || !context.hosts().contains_key(host) {
        return;
    }
    let network = zone.network.as_deref().unwrap_or(crate::fleet::PUBLIC);
    if route.is_public() && !context.on_network(host, network) {
        let message = format!("host {host} has no address on network {network} that {name} could lead to");
        found.push(
            Finding::error("no-address", route.place.clone(), message)
                .related(place([&"hosts", &host, &"addresses"]))
                .fix(format!(
                    "add \"{network}\" to the host's addresses, name an edge with \"via\", or set \"dns\": false"
                )),
        );
    }
}
