//! What listens on which port of which host.

use contract::Pointer;

use super::{ANY, Agents, Fleet, LOCAL, NameService, Proto};

/// Something that listens on a port of a host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    /// The host.
    pub host: String,
    /// The port.
    pub port: u16,
    /// Transport protocol.
    pub proto: Proto,
    /// `local`, `any`, or a network.
    pub bind: String,
    /// What it is.
    pub owner: Owner,
    /// Where it stands in the fleet.
    pub place: Pointer,
}

/// What listens on a port.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Owner {
    /// sshd.
    Sshd,
    /// The reverse proxy.
    Proxy,
    /// A service's port, by the names of both.
    Service(String, String),
    /// A port of something that is not ours but runs on the host, by the names of service and port.
    External(String, String),
    /// A port that is passed on to a service on another host, by the service's name.
    Forward(String),
    /// A database cluster.
    Database(String),
    /// The pooler before a database cluster.
    Pooler(String),
    /// A program that watches the host.
    Agent(&'static str),
    /// An overlay network.
    Network(String),
}

impl std::fmt::Display for Owner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Owner::Sshd => f.write_str("sshd"),
            Owner::Proxy => f.write_str("the reverse proxy"),
            Owner::Service(service, port) | Owner::External(service, port) => {
                write!(f, "port {port} of service {service}")
            }
            Owner::Forward(service) => write!(f, "the forwarding to service {service}"),
            Owner::Database(cluster) => write!(f, "database cluster {cluster}"),
            Owner::Pooler(cluster) => write!(f, "PgBouncer before database cluster {cluster}"),
            Owner::Agent(agent) => f.write_str(agent),
            Owner::Network(network) => write!(f, "network {network}"),
        }
    }
}

impl Listener {
    /// Whether both cannot listen at once: the same host, port and protocol, and places that overlap.
    pub fn clashes(&self, other: &Listener) -> bool {
        self.host == other.host
            && self.port == other.port
            && self.proto.overlaps(other.proto)
            && (self.bind == other.bind || self.bind == ANY || other.bind == ANY)
    }
}

impl Fleet {
    /// Everything that listens, in the order of hosts and ports. To be asked of the resolved fleet.
    pub fn listeners(&self) -> Vec<Listener> {
        let mut found = Vec::new();
        self.host_listeners(&mut found);
        self.service_listeners(&mut found);
        self.cluster_listeners(&mut found);
        found.sort_by(|a, b| (&a.host, a.port, &a.owner).cmp(&(&b.host, b.port, &b.owner)));
        found
    }

    fn host_listeners(&self, found: &mut Vec<Listener>) {
        let edges = self.edges();
        for (name, host) in &self.hosts {
            let place = Pointer::root().join("hosts").join(name);
            let mut add = |port, proto, bind: &str, owner, key: &str| {
                let place = place.join(key);
                found.push(Listener { host: name.clone(), port, proto, bind: bind.into(), owner, place });
            };
            let port = host.ssh.as_ref().map_or(22, |ssh| ssh.port);
            add(port, Proto::Tcp, ANY, Owner::Sshd, "ssh");
            let proxy = host.proxy.clone().unwrap_or_default();
            if edges.contains(name.as_str()) {
                let bind = match proxy.listen.as_slice() {
                    [one] => one.as_str(),
                    _ => ANY,
                };
                add(proxy.http_port, Proto::Tcp, bind, Owner::Proxy, "proxy");
                add(proxy.https_port, if proxy.http3 { Proto::Both } else { Proto::Tcp }, bind, Owner::Proxy, "proxy");
                if let Some(port) = proxy.metrics_port {
                    add(port, Proto::Tcp, LOCAL, Owner::Proxy, "proxy");
                }
            }
            for (agent, port, bind) in host.agents.iter().flat_map(Agents::list) {
                let usual = self.monitoring.network.as_deref().filter(|network| host.addresses.contains_key(*network));
                add(port, Proto::Tcp, bind.or(usual).unwrap_or(LOCAL), Owner::Agent(agent), "agents");
            }
            for network in host.addresses.keys() {
                let spec = self.networks.get(network);
                if spec.is_some_and(|network| network.names.contains(&NameService::Mdns)) {
                    add(5353, Proto::Udp, ANY, Owner::Network(network.clone()), "addresses");
                }
                if let Some(tailscale) = spec.and_then(|network| network.tailscale.as_ref()) {
                    add(tailscale.port.unwrap_or(41641), Proto::Udp, ANY, Owner::Network(network.clone()), "addresses");
                }
            }
        }
    }

    fn service_listeners(&self, found: &mut Vec<Listener>) {
        for (name, service) in &self.services {
            let place = Pointer::root().join("services").join(name);
            for (port_name, port) in service.ports.iter().filter(|(_, port)| port.publish) {
                let (service_name, port_name) = (name.clone(), port_name.clone());
                let owner = if service.is_external() { Owner::External } else { Owner::Service };
                let owner = owner(service_name, port_name.clone());
                found.extend(service.host.iter().map(|host| Listener {
                    host: host.clone(),
                    port: port.port,
                    proto: port.proto,
                    bind: port.bind.clone(),
                    owner: owner.clone(),
                    place: place.join("ports").join(&port_name),
                }));
            }
            for (index, expose) in service.expose.iter().enumerate() {
                let Some(via) = expose.via.as_ref().filter(|via| !service.host.iter().any(|host| host == *via)) else {
                    continue;
                };
                if let Some((_, port)) = service.port(expose.port.as_deref()) {
                    found.push(Listener {
                        host: via.clone(),
                        port: expose.on_port.unwrap_or(port.port),
                        proto: port.proto,
                        bind: ANY.into(),
                        owner: Owner::Forward(name.clone()),
                        place: place.join("expose").join(index),
                    });
                }
            }
        }
    }

    fn cluster_listeners(&self, found: &mut Vec<Listener>) {
        for (name, cluster) in &self.databases {
            let Some(host) = &cluster.host else { continue };
            let place = Pointer::root().join("databases").join(name);
            let mut add = |port, networks: &[String], owner: Owner, place: &Pointer| {
                let others = networks.iter().map(String::as_str).filter(|bind| *bind != LOCAL);
                let binds: Vec<&str> = if networks.iter().any(|bind| bind == ANY) {
                    vec![ANY]
                } else {
                    std::iter::once(LOCAL).chain(others).collect()
                };
                found.extend(binds.into_iter().map(|bind| Listener {
                    host: host.clone(),
                    port,
                    proto: Proto::Tcp,
                    bind: bind.into(),
                    owner: owner.clone(),
                    place: place.clone(),
                }));
            };
            add(cluster.port, &cluster.bind, Owner::Database(name.clone()), &place);
            if let Some(pooler) = &cluster.pgbouncer {
                let networks = if pooler.bind.is_empty() { &cluster.bind } else { &pooler.bind };
                add(pooler.port, networks, Owner::Pooler(name.clone()), &place.join("pgbouncer"));
            }
        }
    }
}

impl Agents {
    /// The agents that are on: name, port, and where they listen if they say so.
    pub fn list(&self) -> Vec<(&'static str, u16, Option<&str>)> {
        let plain = [
            ("node_exporter", 9100, &self.node_exporter),
            ("cadvisor", 8080, &self.cadvisor),
            ("alloy", 12345, &self.alloy),
            ("zabbix_agent", 10050, &self.zabbix_agent),
        ];
        let plain = plain.into_iter().filter_map(|(name, usual, agent)| {
            let agent = agent.as_ref()?;
            // Alloy pushes; its own page is for the host itself.
            let bind = agent.bind.as_deref().or((name == "alloy").then_some(LOCAL));
            Some((name, agent.port.unwrap_or(usual), bind))
        });
        let postgres = self.postgres_exporter.iter();
        let postgres = postgres.map(|agent| ("postgres_exporter", agent.port.unwrap_or(9187), agent.bind.as_deref()));
        plain.chain(postgres).collect()
    }
}
