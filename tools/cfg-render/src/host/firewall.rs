//! The firewall: one nftables table that drops what the fleet does not declare.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use contract::document::{Handler, Stage};
use contract::{Pointer, places};

use super::HostBuilder;
use super::sources::{Networks, Source};
use crate::fleet::{ANY, BackendTls, Edge, LOCAL, NameService, PUBLIC, PortRange, Proto, Through, TlsMode};
use crate::format::nftables::{self, Chain, Rule, Set, one_or_set};
use crate::model::{HostView, Model};

const FILE: &str = "/etc/nftables.conf";

/// A hole in a host's firewall.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hole {
    /// From where.
    pub(crate) from: Source,
    /// Transport protocol (never both).
    pub(crate) proto: &'static str,
    /// Which ports.
    pub(crate) ports: PortRange,
    /// What for.
    pub(crate) why: String,
    /// Where that stands.
    pub(crate) pointer: Pointer,
    /// The service that comes through it, if that stands elsewhere.
    pub(crate) client: Option<Pointer>,
}

/// Everything that a host's firewall lets in, but for sshd.
pub(crate) fn holes(model: &Model<'_>, host: &HostView) -> Vec<Hole> {
    let mut found = BTreeSet::new();
    let mut open = |networks: &[String], proto: Proto, ports: PortRange, why: &str, pointer: &Pointer| {
        let protos: &[&'static str] = match proto {
            Proto::Tcp => &["tcp"],
            Proto::Udp => &["udp"],
            Proto::Both => &["tcp", "udp"],
        };
        let public = networks.iter().any(|network| network == PUBLIC || network == ANY);
        let sources: Vec<_> = if public {
            vec![Source::Public]
        } else {
            networks
                .iter()
                .filter(|network| *network != LOCAL)
                .map(|network| Source::Network(network.clone()))
                .collect()
        };
        for from in sources {
            for proto in protos {
                let (why, pointer) = (why.to_owned(), pointer.clone());
                found.insert(Hole { from: from.clone(), proto, ports, why, pointer, client: None });
            }
        }
    };
    let proxy = host.proxy();
    let mut from_hosts: Vec<(IpAddr, u16, String, Pointer, Option<Pointer>)> = Vec::new();
    // Over UDP, the same.
    let mut datagrams: Vec<(IpAddr, u16, String, Pointer)> = Vec::new();
    for served in model.routes_at(&host.name) {
        let Edge::Host(edge) = served.edge else { continue };
        let (name, route) = (served.service, served.route);
        if edge == host.name {
            open(&route.from, Proto::Tcp, PortRange::one(proxy.http_port), name, &served.place);
            if served.names.iter().any(|name| name.tls != TlsMode::None) {
                open(&route.from, Proto::Tcp, PortRange::one(proxy.https_port), name, &served.place);
                if route.http3.unwrap_or(proxy.http3) {
                    open(&route.from, Proto::Udp, PortRange::one(proxy.https_port), name, &served.place);
                }
            }
        } else if served.hosts.contains(&host.name.as_str())
            && let Some(edge) = model.host(edge)
        {
            // An edge on another host needs a way in.
            let (target, port) = match (route.backend.through, served.port) {
                (Through::Port, Some((_, port))) => (model.address_of_port(edge, host, port, route), port.port),
                (Through::Port, None) => continue,
                (Through::Proxy, _) => {
                    let port =
                        if route.backend.tls == BackendTls::Internal { proxy.https_port } else { proxy.http_port };
                    (model.address_of_other_proxy(edge, host, route), port)
                }
            };
            for address in target.map(|target| model.sources_to(edge, host, target)).unwrap_or_default() {
                from_hosts.push((address, port, format!("{name} from {}", edge.name), served.place.clone(), None));
            }
        }
    }
    for (name, service) in model.exposing_at(&host.name) {
        let at = Model::service_at(name);
        for (index, expose) in service.expose.iter().enumerate() {
            let Some((_, port)) = service.port(expose.port.as_deref()) else { continue };
            let at = at.join("expose").join(index);
            let via = expose.via.as_deref();
            let own = service.host.iter().any(|own| *own == host.name);
            if via == Some(&host.name) || (via.is_none() && own) {
                let outer = if via.is_some() || own { expose.on_port.unwrap_or(port.port) } else { port.port };
                open(&expose.from, port.proto, PortRange::one(outer), name, &at);
            } else if let (Some(via), true) = (via.and_then(|via| model.host(via)), own)
                && !service.host.iter().any(|own| *own == via.name)
                && let Some(target) = model.address_between(Some(via), host, &port.bind)
            {
                for address in model.sources_to(via, host, target) {
                    let why = format!("{name} from {}", via.name);
                    if port.proto != Proto::Tcp {
                        datagrams.push((address, port.port, why.clone(), at.clone()));
                    }
                    if port.proto != Proto::Udp {
                        from_hosts.push((address, port.port, why, at.clone(), None));
                    }
                }
            }
        }
    }
    for (index, allow) in host.spec.allow.iter().enumerate() {
        let why = allow.reason.as_deref().unwrap_or("allowed");
        open(&allow.from, allow.proto, allow.port, why, &host.at("allow").join(index));
    }
    for name in model.networks_naming(host, NameService::Mdns) {
        let at = Pointer::root().join("networks").join(name).join("names");
        open(&[name.to_owned()], Proto::Udp, PortRange::one(super::names::MDNS_PORT), "multicast DNS", &at);
    }
    for (name, network) in &model.fleet.networks {
        if let (Some(tailscale), true) = (&network.tailscale, host.address(name).is_some()) {
            let at = Pointer::root().join("networks").join(name).join("tailscale");
            open(&[PUBLIC.into()], Proto::Udp, PortRange::one(tailscale.port.unwrap_or(41641)), "overlay", &at);
        }
    }
    if let Some((prometheus, watcher)) = model.prometheus().filter(|(prometheus, _)| prometheus.name != host.name) {
        for scrape in model.scrapes_at(&host.name) {
            let target = scrape.target.parse().map(|target: std::net::SocketAddr| target.ip());
            let (Some((_, port)), Ok(target)) = (&scrape.on, target) else { continue };
            for address in model.sources_to(prometheus, host, target) {
                let why = format!("metrics of {}", scrape.job);
                from_hosts.push((address, *port, why, scrape.pointer.clone(), Some(Model::service_at(watcher))));
            }
        }
    }
    for (client, port, why, pointer, service) in watched(model, host) {
        for address in Model::addresses_towards(client, host) {
            from_hosts.push((address, port, why.clone(), pointer.clone(), Some(service.clone())));
        }
    }
    for cluster in model.clusters().filter(|cluster| cluster.spec.host.as_deref() == Some(&host.name)) {
        for database in model.databases_in(cluster.name) {
            for client in model.hosts_of(database.service).filter(|client| client.name != host.name) {
                let (port, networks) = cluster.entrance(database.spec);
                let networks = model.networks_between(client, host, networks);
                for address in networks.into_iter().filter_map(|network| client.address(network)) {
                    let why = format!("{} of {}", cluster.name, database.service_name);
                    from_hosts.push((address, port, why, database.pointer.clone(), None));
                }
            }
        }
    }
    for (address, port, why, pointer) in datagrams {
        let (from, ports) = (Source::Address(address), PortRange::one(port));
        found.insert(Hole { from, proto: "udp", ports, why, pointer, client: None });
    }
    for (address, port, why, pointer, client) in from_hosts {
        let (from, ports) = (Source::Address(address), PortRange::one(port));
        found.insert(Hole { from, proto: "tcp", ports, why, pointer, client });
    }
    found.into_iter().collect()
}

/// Who brings logs to a host, who asks its Zabbix agent, and whose agents report to its Zabbix server: other hosts, the port, why, and the service that watches.
fn watched<'m>(model: &'m Model<'_>, host: &HostView) -> Vec<(&'m HostView, u16, String, Pointer, Pointer)> {
    let monitoring = &model.fleet.monitoring;
    let mut found = Vec::new();
    let loki = monitoring.loki.as_ref().and_then(|role| model.service(&role.service));
    if let Some(service) = loki.filter(|service| service.host.iter().any(|own| *own == host.name)) {
        let port = service.port(None).map_or(3100, |(_, port)| port.port);
        let senders = model.hosts().filter(|other| {
            other.name != host.name && other.spec.agents.as_ref().is_some_and(|agents| agents.alloy.is_some())
        });
        let at = monitoring.loki.as_ref().map_or_else(Pointer::root, |role| Model::service_at(&role.service));
        found.extend(
            senders.map(|sender| (sender, port, "logs".to_owned(), sender.at("agents").join("alloy"), at.clone())),
        );
    }
    let agent = host.spec.agents.as_ref().and_then(|agents| agents.zabbix_agent.as_ref());
    let server = monitoring.zabbix.as_ref().and_then(|role| Some((&role.server, model.service(&role.server)?)));
    if let (Some(agent), Some((name, server))) = (agent, server) {
        let port = agent.port.unwrap_or(10050);
        let askers = model.hosts_of(server).filter(|asker| asker.name != host.name);
        let (own, at) = (host.at("agents").join("zabbix_agent"), Model::service_at(name));
        found.extend(askers.map(|asker| (asker, port, "zabbix".to_owned(), own.clone(), at.clone())));
    }
    if let Some((name, server)) = server.filter(|(_, server)| server.host.iter().any(|own| *own == host.name)) {
        let port = server.port(Some("server")).or_else(|| server.port(None)).map_or(10051, |(_, port)| port.port);
        let agents = model.hosts().filter(|other| {
            other.name != host.name && other.spec.agents.as_ref().is_some_and(|agents| agents.zabbix_agent.is_some())
        });
        let at = Model::service_at(name);
        found.extend(
            agents.map(|agent| (agent, port, "zabbix".to_owned(), agent.at("agents").join("zabbix_agent"), at.clone())),
        );
    }
    found
}

/// Most new connections from one address: the sets that count, and the rules that drop what is over.
pub(crate) fn new_connections(limits: &crate::fleet::Limits) -> (Vec<Set>, Vec<Rule>) {
    let unit = if limits.rate.seconds == 1 { "second" } else { "minute" };
    let (mut sets, mut rules) = (Vec::new(), Vec::new());
    for (name, family, kind) in [("new_4", "ip", "ipv4_addr"), ("new_6", "ip6", "ipv6_addr")] {
        sets.push(Set { name: name.into(), kind, interval: false, dynamic: true, elements: Vec::new() });
        let rate = format!("limit rate over {}/{unit} burst {} packets", limits.rate.requests, limits.burst.max(1));
        let rule = format!("tcp flags syn ct state new add @{name} {{ {family} saddr {rate} }} counter drop");
        rules.push(Rule::new(rule).comment("too many new connections"));
    }
    (sets, rules)
}

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let host = builder.host;
    let firewall = host.spec.firewall.clone().unwrap_or_default();
    if !firewall.enable {
        return;
    }
    let ssh = host.ssh();
    let mut from = vec![host.at("firewall"), host.at("ssh")];
    let holes = holes(builder.model, host);
    from.extend(holes.iter().flat_map(|hole| hole.client.iter().chain([&hole.pointer])).cloned());
    let mut networks = Networks::default();
    let mut rules = vec![
        Rule::new("iifname \"lo\" accept"),
        Rule::new("ct state vmap { invalid : drop, established : accept, related : accept }"),
        // Without neighbour discovery there is no IPv6.
        Rule::new(
            "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert, nd-router-advert, packet-too-big, destination-unreachable, time-exceeded, parameter-problem, mld-listener-query } accept",
        ),
        Rule::new("icmp type { destination-unreachable, time-exceeded, parameter-problem } accept"),
    ];
    let mut sets = vec![Set {
        name: places::NFT_SSH_PORTS.into(),
        kind: "inet_service",
        interval: false,
        dynamic: false,
        elements: vec![ssh.port.to_string()],
    }];
    if let Some(limits) = &firewall.new_connections {
        let (of_limits, found) = new_connections(limits);
        sets.extend(of_limits);
        rules.extend(found);
    }
    if firewall.ping {
        rules.push(Rule::new("icmp type echo-request limit rate 20/second accept"));
        rules.push(Rule::new("icmpv6 type echo-request limit rate 20/second accept"));
    }
    for (name, network) in &builder.model.fleet.networks {
        let Some(interface) = network.interface().filter(|_| host.address(name).is_some()) else { continue };
        if network.tailscale.is_some() {
            for range in network.ranges() {
                let family = if range.0.addr().is_ipv4() { "ip" } else { "ip6" };
                rules.push(
                    Rule::new(format!("iifname != \"{interface}\" {family} saddr {range} drop"))
                        .comment(format!("{name}: forged address")),
                );
            }
        }
    }
    for source in ssh_sources(&ssh.from) {
        for prefix in networks.prefixes(builder, &source) {
            rules.push(Rule::new(format!("{prefix}tcp dport @{} accept", places::NFT_SSH_PORTS)).comment("ssh"));
        }
    }
    rules.extend(rules_of(builder, &mut networks, &holes, "dport"));
    let guard = container_guard(builder, &mut networks, &holes);
    if let Some(extra) = &host.spec.extra {
        for (index, line) in extra.nftables.iter().enumerate() {
            let at = host.at("extra").join("nftables").join(index);
            if line.chars().any(|c| c.is_control() || c == '{' || c == '}')
                && (line.matches('{').count() != line.matches('}').count() || line.chars().any(char::is_control))
            {
                builder.findings.push(contract::Finding::error(
                    "unrepresentable",
                    at,
                    "a rule is one line with balanced braces",
                ));
                continue;
            }
            rules.push(Rule::new(line.trim()));
            from.push(at);
        }
    }
    if firewall.log {
        rules.push(Rule::new("limit rate 10/minute log prefix \"dropped: \""));
    }
    rules.push(Rule::new("counter drop"));
    let forwards = super::forwards::chains(builder, &mut networks);
    sets.extend(networks.sets.into_values());
    let chain =
        Chain { name: "input".into(), hook: "type filter hook input priority filter; policy drop;".into(), rules };
    let mut chains = vec![chain];
    if super::containers::used(builder) {
        chains.push(Chain {
            name: "container_ports".into(),
            hook: "type filter hook forward priority filter - 1; policy accept;".into(),
            rules: guard,
        });
    }
    chains.extend(forwards);
    let text = format!("#!/usr/sbin/nft -f\n{}\n", builder.header("#", &from))
        + &nftables::write(places::NFT_TABLE, &sets, &chains)
        + &super::block_lists::write(builder);
    builder.packages(Stage::Base, &["nftables"], &from[0]);
    builder
        .file(Stage::Base, FILE, text, &from)
        .mode(0o755)
        .validate(&["/usr/sbin/nft", "-c", "-f", "%s"])
        .notify(Handler::reload("nftables.service"))
        .add(builder);
    builder.unit(Stage::Base, "nftables.service", &[host.at("firewall")]);
}

fn ssh_sources(from: &[String]) -> Vec<Source> {
    if from.iter().any(|network| network == PUBLIC || network == ANY) {
        vec![Source::Public]
    } else {
        from.iter().map(|network| Source::Network(network.clone())).collect()
    }
}

/// Ports, and what they are for.
type Group<'h> = (BTreeSet<PortRange>, BTreeSet<&'h str>);

/// A published port of a container is no port of the host: its packets are sent on before the input chain sees them. They
/// may come from where the fleet says, by the port that was asked for.
fn container_guard(builder: &mut HostBuilder<'_, '_>, networks: &mut Networks, holes: &[Hole]) -> Vec<Rule> {
    let mut rules = vec![Rule::new("ct state established,related accept")];
    // Containers among themselves and on their way out.
    rules.extend(
        ["docker*", "br-*", "podman*", "veth*"].map(|interface| Rule::new(format!("iifname \"{interface}\" accept"))),
    );
    rules.extend(rules_of(builder, networks, holes, "ct status dnat ct original proto-dst"));
    rules.push(Rule::new("ct status dnat counter drop").comment("ports of containers that are not declared"));
    rules
}

/// One rule for all ports of the same origin and protocol, and a comment that names what they are for. `port` is what the
/// rule looks at.
fn rules_of(builder: &mut HostBuilder<'_, '_>, networks: &mut Networks, holes: &[Hole], port: &str) -> Vec<Rule> {
    let mut grouped: BTreeMap<(&Source, &str), Group<'_>> = BTreeMap::new();
    for hole in holes {
        if let Err(error) = nftables::comment(&hole.why) {
            builder.findings.push(
                contract::Finding::error("unrepresentable", hole.pointer.clone(), error.to_string())
                    .fix("shorten or rephrase the reason"),
            );
            continue;
        }
        let entry = grouped.entry((&hole.from, hole.proto)).or_default();
        entry.0.insert(hole.ports);
        entry.1.insert(&hole.why);
    }
    let mut rules = Vec::new();
    for ((source, proto), (ports, why)) in grouped {
        let ports: Vec<_> = ports.into_iter().collect();
        let comment = comment_of(&why.into_iter().collect::<Vec<_>>());
        for prefix in networks.prefixes(builder, source) {
            // Only the header of a packet names its protocol by itself.
            let what = if port == "dport" { format!("{proto} dport") } else { format!("meta l4proto {proto} {port}") };
            rules.push(Rule::new(format!("{prefix}{what} {} accept", one_or_set(&ports))).comment(&comment));
        }
    }
    rules
}

/// As many names as a comment holds.
fn comment_of(names: &[&str]) -> String {
    let mut text = String::new();
    for (index, name) in names.iter().enumerate() {
        let more = format!(" and {} more", names.len() - index);
        let separator = if index == 0 { "" } else { ", " };
        if text.len() + separator.len() + name.len() + more.len() > 127 {
            text.push_str(&more);
            break;
        }
        text.push_str(separator);
        text.push_str(name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_comment_names_what_fits() {
        assert_eq!(comment_of(&["a", "b"]), "a, b");
        let long = "x".repeat(60);
        let text = comment_of(&[&long, &long, &long]);
        assert!(text.len() <= 127, "{text}");
        assert!(text.ends_with("and 2 more") || text.ends_with("and 1 more"), "{text}");
    }
}
