//! The firewall: NixOS' own table of nftables, which drops what no rule lets in. Every service brings its own rules.
//!
//! Invariant: what turns away stands in a module of its own, before all rules that let in. The module system puts the rules of
//! several modules together in no order that one could rely on (in fact the last of `imports` first).

use contract::{Finding, Pointer};

use super::builder::NixosBuilder;
use crate::fleet::{ANY, Firewall, PUBLIC};
use crate::format::nftables::{self, Rule};
use crate::format::nix::{Nix, Part};
use crate::host::{Beginning, Source, block_lists, holes, new_connections};

const MODULE: &str = "firewall";
/// What turns away, before everything that lets in.
const REFUSED: &str = "refused";
/// The user's own rules, behind ours as on other hosts.
const EXTRA: &str = "firewall-extra";
const TABLE: &str = "plumbline_limits";
const LISTS: &str = "plumbline-block-lists";

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
    refuse(builder);
    limit(builder, &firewall);
    block(builder);
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
    own_rules(builder);
}

/// The user's own rules.
fn own_rules(builder: &mut NixosBuilder<'_, '_>) {
    let host = builder.host;
    let mut text = String::new();
    let mut from = Vec::new();
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
        text.push_str(line.trim());
        text.push('\n');
        from.push(at);
    }
    if !from.is_empty() {
        let value = Nix::Call("lib.mkAfter", vec![Nix::text(text)]);
        builder.set(EXTRA, &["networking", "firewall", "extraInputRules"], value, &from);
    }
}

/// Addresses of an overlay that come from elsewhere are forged.
fn refuse(builder: &mut NixosBuilder<'_, '_>) {
    let mut text = String::new();
    let mut from = Vec::new();
    for (name, network) in &builder.model.fleet.networks {
        let Some(interface) = network.interface().filter(|_| builder.host.address(name).is_some()) else { continue };
        if network.tailscale.is_none() {
            continue;
        }
        for range in network.ranges() {
            let family = if range.0.addr().is_ipv4() { "ip" } else { "ip6" };
            text.push_str(&format!(
                "iifname != \"{interface}\" {family} saddr {range} drop comment \"{name}: forged address\"\n"
            ));
        }
        from.push(super::place(&["networks", name]));
    }
    if !from.is_empty() {
        let value = Nix::Call("lib.mkBefore", vec![Nix::text(text)]);
        builder.set(REFUSED, &["networking", "firewall", "extraInputRules"], value, &from);
    }
}

/// Most new connections from one address: in a table of ours, which is asked before that of NixOS.
fn limit(builder: &mut NixosBuilder<'_, '_>, firewall: &Firewall) {
    let Some(limits) = &firewall.new_connections else { return };
    let at = builder.host.at("firewall").join("new_connections");
    let (sets, rules) = new_connections(limits);
    let mut all = vec![Rule::new("iifname \"lo\" accept")];
    all.extend(rules);
    let chain = nftables::Chain {
        name: "limits".into(),
        hook: "type filter hook input priority filter - 1; policy accept;".into(),
        rules: all,
    };
    // Without the tabs of a table, so that it is written as lines.
    let mut text = String::new();
    for line in nftables::body(&sets, &[chain]).lines() {
        text.push_str(line.strip_prefix('\t').unwrap_or(line));
        text.push('\n');
    }
    let table = Nix::set([("family", Nix::text("inet")), ("content", Nix::text(text))]);
    builder.set(REFUSED, &["networking", "nftables", "tables", TABLE], table, &[at]);
}

/// Named lists of addresses, in a table that NixOS does not make anew whenever its rules change: what was added on the host
/// stays.
fn block(builder: &mut NixosBuilder<'_, '_>) {
    let text = block_lists::write(&builder.shared);
    if text.is_empty() {
        return;
    }
    let at = builder.host.at("firewall").join("block");
    let file = Nix::Call("pkgs.writeText", vec![Nix::text("block-lists"), Nix::text(text.trim_start())]);
    let load = Nix::Text(vec![
        Part::Expression("pkgs.nftables".into()),
        Part::Plain("/bin/nft -f /etc/plumbline/block-lists.nft".into()),
    ]);
    let drop = Nix::Text(vec![
        Part::Plain("-".into()),
        Part::Expression("pkgs.nftables".into()),
        Part::Plain(format!("/bin/nft delete table {}", block_lists::TABLE)),
    ]);
    let unit = Nix::set([
        ("description", Nix::text("Lists of addresses that are turned away")),
        ("wantedBy", Nix::texts(["sysinit.target"])),
        ("wants", Nix::texts(["network-pre.target"])),
        ("after", Nix::texts(["nftables.service"])),
        ("before", Nix::texts(["network-pre.target", "shutdown.target"])),
        // Loading adds to the lists; a start anew would empty them.
        ("reloadIfChanged", Nix::Bool(true)),
        ("reloadTriggers", Nix::List(vec![file.clone()])),
        (
            "unitConfig",
            Nix::set([("DefaultDependencies", Nix::Bool(false)), ("Conflicts", Nix::text("shutdown.target"))]),
        ),
        (
            "serviceConfig",
            Nix::set([
                ("Type", Nix::text("oneshot")),
                ("RemainAfterExit", Nix::Bool(true)),
                ("ExecStart", load.clone()),
                ("ExecReload", load),
                ("ExecStop", drop),
            ]),
        ),
    ]);
    let from = std::slice::from_ref(&at);
    builder.set(REFUSED, &["environment", "etc", "plumbline/block-lists.nft", "source"], file, from);
    builder.set(REFUSED, &["systemd", "services", LISTS], unit, from);
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
