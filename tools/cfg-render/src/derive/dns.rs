//! `dns.desired`: zones with the records that follow from the fleet, and those of the user.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use contract::document::{DnsDesired, DnsRecord, DnsZone, RecordPhase, Sshfp};
use contract::{Finding, Pointer};

use crate::fleet::{AcmeChallenge, Edge, PUBLIC, ResolvedRoute, TlsMode, Zone, name_in_zone};
use crate::model::{HostView, Model};

/// The zones of a fleet, and what is left out of them.
pub fn dns(model: &Model<'_>) -> (DnsDesired, Vec<Finding>) {
    let fleet = model.fleet;
    let findings = Vec::new();
    let providers = &fleet.dns.providers;
    let only = || providers.keys().next().filter(|_| providers.len() == 1).cloned();
    let mut zones = Vec::new();
    for (name, zone) in &fleet.dns.zones {
        let at = Pointer::root().join("dns").join("zones").join(name);
        let Some(provider) = zone.provider.clone().or_else(only) else { continue };
        zones.push(DnsZone {
            name: name.clone(),
            provider,
            mode: zone.mode,
            default_ttl: zone.default_ttl,
            manage_apex_ns: zone.manage_apex_ns,
            ignore: zone.ignore.clone(),
            records: records(model, name, zone, &at),
        });
        for (view, spec) in &zone.views {
            let at = at.join("views").join(view);
            let mut records = derived(model, name, zone, view);
            add_wildcard(model, &mut records, spec.wildcard.as_deref(), view, &at);
            zones.push(DnsZone {
                name: name.clone(),
                provider: spec.provider.clone(),
                mode: spec.mode,
                default_ttl: spec.default_ttl,
                manage_apex_ns: false,
                ignore: Vec::new(),
                records: with_own(records, &spec.records, &at),
            });
        }
    }
    let tunnels = super::tunnel::tunnels(model);
    let access = super::tunnel::access(model);
    let mut used: BTreeSet<&str> = zones.iter().map(|zone| zone.provider.as_str()).collect();
    used.extend(tunnels.iter().map(|tunnel| tunnel.provider.as_str()));
    used.extend(access.iter().map(|access| access.provider.as_str()));
    let providers = providers
        .iter()
        .filter(|(name, _)| used.contains(name.as_str()))
        .map(|(name, provider)| (name.clone(), provider.clone()));
    let desired = DnsDesired {
        owner: fleet.name.clone(),
        partial: false,
        providers: providers.collect(),
        zones,
        tunnels,
        access,
    };
    (desired, findings)
}

fn records(model: &Model<'_>, name: &str, zone: &Zone, at: &Pointer) -> Vec<DnsRecord> {
    let network = zone.network.as_deref().unwrap_or(PUBLIC);
    let mut records = derived(model, name, zone, network);
    add_wildcard(model, &mut records, zone.wildcard.as_deref(), network, at);
    if !zone.caa.is_empty() {
        let record = DnsRecord {
            name: "@".into(),
            caa: Some(zone.caa.clone()),
            when: RecordPhase::Before,
            from: vec![at.join("caa")],
            ..DnsRecord::default()
        };
        records.insert(("@".into(), "CAA"), record);
    }
    with_own(records, &zone.records, at)
}

type Derived = BTreeMap<(String, &'static str), DnsRecord>;

/// Records of proxy entries, exposed ports and hosts, with addresses on a network.
fn derived(model: &Model<'_>, zone_name: &str, zone: &Zone, network: &str) -> Derived {
    let mut records = Derived::new();
    if zone.derive.proxies {
        // What a network cannot reach it need not know.
        for route in model.routes().iter().filter(|route| route.route.dns && model.sees(network, route)) {
            let edge = match route.edge {
                Edge::Host(edge) => edge,
                Edge::Tunnel(tunnel) => {
                    if network == PUBLIC {
                        add_tunnel(model, &mut records, zone_name, tunnel, route);
                    }
                    continue;
                }
            };
            let Some(edge) = model.host(edge) else { continue };
            let proxied = route.route.proxied.or_else(|| zone.proxied.then_some(true));
            let proxied = proxied.filter(|_| network == PUBLIC);
            for name in &route.names {
                let phase = phase(edge, &name.tls);
                add(&mut records, zone_name, &name.name, edge, network, proxied, phase, &route.place);
            }
        }
        for (name, service) in model.services() {
            for (index, expose) in service.expose.iter().enumerate() {
                let at = Model::service_at(name).join("expose").join(index);
                let host =
                    expose.via.as_deref().and_then(|via| model.host(via)).or_else(|| model.hosts_of(service).next());
                let Some(host) = host else { continue };
                for full in &expose.names {
                    // Raw bytes do not pass an edge that speaks HTTP.
                    let proxied = (network == PUBLIC && zone.proxied).then_some(false);
                    add(&mut records, zone_name, full, host, network, proxied, RecordPhase::After, &at);
                }
            }
        }
    }
    if zone.derive.hosts {
        for host in model.hosts() {
            if model.domain_of(host) != Some(zone_name) {
                continue;
            }
            let full = format!("{}.{zone_name}", host.hostname());
            let proxied = (network == PUBLIC && zone.proxied).then_some(false);
            add(&mut records, zone_name, &full, host, network, proxied, RecordPhase::Before, &host.at("addresses"));
            if zone.derive.sshfp {
                add_sshfp(&mut records, host, zone_name, &full);
            }
        }
    }
    records
}

/// A name of a tunnel is an alias of the tunnel itself, at the provider's edge.
fn add_tunnel(model: &Model<'_>, records: &mut Derived, zone: &str, tunnel: &str, route: &ResolvedRoute<'_>) {
    let Some(id) = model.fleet.tunnels.get(tunnel).and_then(|tunnel| tunnel.id.as_ref()) else { return };
    for name in route.names.iter().filter_map(|name| name_in_zone(&name.name, zone)) {
        let record = records.entry((name.clone(), "CNAME")).or_insert_with(|| DnsRecord {
            name,
            cname: Some(format!("{id}.cfargotunnel.com.")),
            proxied: Some(true),
            when: RecordPhase::After,
            ..DnsRecord::default()
        });
        if !record.from.contains(&route.place) {
            record.from.push(route.place.clone());
        }
    }
}

/// ACME by HTTP needs the address before there is a certificate; everything else may wait for the gate.
fn phase(edge: &HostView, tls: &TlsMode) -> RecordPhase {
    let challenge = edge.proxy().acme.unwrap_or_default().challenge;
    match tls {
        TlsMode::Acme if challenge != AcmeChallenge::Dns01 => RecordPhase::Before,
        _ => RecordPhase::After,
    }
}

#[allow(clippy::too_many_arguments)]
fn add(
    records: &mut Derived,
    zone: &str,
    full: &str,
    host: &HostView,
    network: &str,
    proxied: Option<bool>,
    when: RecordPhase,
    at: &Pointer,
) {
    let Some(name) = name_in_zone(full, zone) else { return };
    let addresses = host.spec.addresses.get(network).map(Vec::as_slice).unwrap_or_default();
    let mut entry = |kind: &'static str, address: IpAddr| {
        let record = records.entry((name.clone(), kind)).or_insert_with(|| DnsRecord {
            name: name.clone(),
            proxied,
            when,
            ..DnsRecord::default()
        });
        // Of two reasons the earlier phase counts.
        record.when = record.when.min(when);
        record.proxied = record.proxied.or(proxied);
        if !record.from.contains(at) {
            record.from.push(at.clone());
        }
        match address {
            IpAddr::V4(address) => push(record.a.get_or_insert_default(), address),
            IpAddr::V6(address) => push(record.aaaa.get_or_insert_default(), address),
        }
    };
    for address in addresses {
        entry(if address.is_ipv4() { "A" } else { "AAAA" }, *address);
    }
}

fn push<T: PartialEq>(list: &mut Vec<T>, item: T) {
    if !list.contains(&item) {
        list.push(item);
    }
}

fn add_wildcard(model: &Model<'_>, records: &mut Derived, wildcard: Option<&str>, network: &str, at: &Pointer) {
    let Some(host) = wildcard.and_then(|name| model.host(name)) else { return };
    // Any zone will do: the name is relative to it again.
    add(records, "zone", "*.zone", host, network, None, RecordPhase::Before, &at.join("wildcard"));
}

/// Fingerprints of host keys (RFC 4255), SHA-256 only.
fn add_sshfp(records: &mut Derived, host: &HostView, zone: &str, full: &str) {
    use base64::Engine as _;
    use sha2::{Digest, Sha256};
    let Some(name) = name_in_zone(full, zone) else { return };
    let prints: Vec<_> = host
        .spec
        .host_keys
        .iter()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            let algorithm = match words.next()? {
                "ssh-rsa" => 1,
                kind if kind.starts_with("ecdsa-") => 3,
                "ssh-ed25519" => 4,
                _ => return None,
            };
            let key = base64::engine::general_purpose::STANDARD.decode(words.next()?).ok()?;
            let fingerprint = crate::model::hex(&Sha256::digest(&key));
            Some(Sshfp { algorithm, hash: 2, fingerprint })
        })
        .collect();
    if !prints.is_empty() {
        let record = DnsRecord {
            name: name.clone(),
            sshfp: Some(prints),
            when: RecordPhase::Before,
            from: vec![host.at("host_keys")],
            ..DnsRecord::default()
        };
        records.insert((name, "SSHFP"), record);
    }
}

/// Records of the user beat derived ones of the same name and type; a CNAME beats all of its name.
fn with_own(mut derived: Derived, own: &[DnsRecord], at: &Pointer) -> Vec<DnsRecord> {
    for record in own {
        let name = record.name.trim_end_matches('.').to_ascii_lowercase();
        if record.cname.is_some() || record.alias.is_some() {
            derived.retain(|(known, _), _| *known != name);
        }
        if record.a.is_some() {
            derived.remove(&(name.clone(), "A"));
        }
        if record.aaaa.is_some() {
            derived.remove(&(name.clone(), "AAAA"));
        }
        if record.caa.is_some() {
            derived.remove(&(name.clone(), "CAA"));
        }
        if record.sshfp.is_some() {
            derived.remove(&(name, "SSHFP"));
        }
    }
    let mut all: Vec<_> = derived.into_values().collect();
    for (index, record) in own.iter().enumerate() {
        all.push(DnsRecord { from: vec![at.join("records").join(index)], ..record.clone() });
    }
    all
}
