//! The firewall: NixOS' own table of nftables, which drops what no rule lets in. Every service brings its own rules.

use contract::{Finding, Pointer};

use super::builder::NixosBuilder;
use crate::fleet::{ANY, PUBLIC};
use crate::format::nftables;
use crate::format::nix::{Nix, Part};
use crate::host::{Beginning, Source, holes};

const MODULE: &str = "firewall";

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let host = builder.host;
    let firewall = host.spec.firewall.clone().unwrap_or_default();
    let at = host.at("firewall");
    builder.option(MODULE, "networking.firewall.enable", Nix::Bool(firewall.enable), &at);
    if !firewall.enable {
        return;
    }
    builder.option(MODULE, "networking.nftables.enable", Nix::Bool(true), &at);
    builder.option(MODULE, "networking.firewall.allowPing", Nix::Bool(firewall.ping), &at);
    builder.option(MODULE, "networking.firewall.logRefusedConnections", Nix::Bool(firewall.log), &at);
    let fleet = builder.model.fleet;
    for (name, network) in &fleet.networks {
        let Some(interface) = network.interface().filter(|_| host.address(name).is_some()) else { continue };
        if network.tailscale.is_none() {
            continue;
        }
        let at = super::place(&["networks", name]);
        for range in network.ranges() {
            let family = if range.0.addr().is_ipv4() { "ip" } else { "ip6" };
            rule(
                builder,
                MODULE,
                &format!("iifname != \"{interface}\" {family} saddr {range} drop comment \"{name}: forged address\""),
                &at,
            );
        }
    }
    for hole in holes(builder.model, host) {
        let module = module_of(&hole.pointer);
        let sources = std::slice::from_ref(&hole.from);
        for text in rules(builder, sources, hole.proto, &hole.ports.to_string(), &hole.why, &hole.pointer) {
            rule(builder, &module, &text, &hole.pointer);
            if let Some(client) = &hole.client {
                builder.also_from(&module, client);
            }
        }
    }
    for (index, line) in host.spec.extra.iter().flat_map(|extra| extra.nftables.iter()).enumerate() {
        let at = host.at("extra").join("nftables").join(index);
        if line.chars().any(char::is_control) || line.matches('{').count() != line.matches('}').count() {
            builder.shared.findings.push(Finding::error(
                "unrepresentable",
                at,
                "a rule is one line with balanced braces",
            ));
            continue;
        }
        rule(builder, MODULE, line.trim(), &at);
    }
}

/// A service's own module, else the firewall's.
fn module_of(pointer: &Pointer) -> String {
    let keys: Vec<String> = pointer.keys().take(2).collect();
    match keys.as_slice() {
        [services, name] if services == "services" => format!("services/{name}"),
        _ => MODULE.into(),
    }
}

/// From where a list of networks lets in.
pub(super) fn sources(from: &[String]) -> Vec<Source> {
    if from.iter().any(|network| network == PUBLIC || network == ANY) {
        vec![Source::Public]
    } else {
        from.iter().map(|network| Source::Network(network.clone())).collect()
    }
}

/// Adds a rule to the chain of what comes in.
pub(super) fn rule(builder: &mut NixosBuilder<'_, '_>, module: &str, text: &str, from: &Pointer) {
    // Two entries of a service may need the same hole.
    if builder.rules.insert((module.to_owned(), text.to_owned())) {
        let lines = Nix::Text(vec![Part::Plain(format!("{text}\n"))]);
        builder.option(module, "networking.firewall.extraInputRules", lines, from);
    }
}

/// The rules that let in what comes from these sources: one a family of addresses.
pub(super) fn rules(
    builder: &mut NixosBuilder<'_, '_>,
    sources: &[Source],
    proto: &str,
    ports: &str,
    why: &str,
    at: &Pointer,
) -> Vec<String> {
    let why = match nftables::comment(why) {
        Ok(_) => why,
        Err(error) => {
            let finding =
                Finding::error("unrepresentable", at.clone(), error.to_string()).fix("shorten or rephrase the reason");
            builder.shared.findings.push(finding);
            return Vec::new();
        }
    };
    let mut all = Vec::new();
    for source in sources {
        for prefix in prefixes(builder, source) {
            all.push(format!("{prefix}{proto} dport {ports} accept comment \"{why}\""));
        }
    }
    all
}

fn prefixes(builder: &NixosBuilder<'_, '_>, source: &Source) -> Vec<String> {
    let (network, interface) = match source.beginning(builder.model.fleet) {
        Beginning::Texts(texts) => return texts,
        Beginning::Ranges { network, interface, .. } => (network, interface),
    };
    let mut prefixes = Vec::new();
    for (family, v4) in [("ip", true), ("ip6", false)] {
        let ranges: Vec<String> =
            network.ranges().iter().filter(|range| range.0.addr().is_ipv4() == v4).map(ToString::to_string).collect();
        match ranges.as_slice() {
            [] => {}
            [one] => prefixes.push(format!("{interface}{family} saddr {one} ")),
            several => prefixes.push(format!("{interface}{family} saddr {{ {} }} ", several.join(", "))),
        }
    }
    prefixes
}
