//! What the outside sees: names at their edges, sshd, and ports that must be closed.

use std::collections::BTreeSet;
use std::net::IpAddr;

use contract::Pointer;
use contract::document::{HealthCheck, HttpCheck, SshCheck, StatusRange, TcpCheck, TlsExpectation, WebSocketCheck};

use super::inside::database_of;
use super::{Checks, socket};
use crate::fleet::{Auth, Edge, Node, PUBLIC, RouteName, Run, Service, Strength, TlsMode};
use crate::host::holes;
use crate::model::{HostView, Model};

impl Checks<'_, '_> {
    pub(super) fn see_from_outside(&mut self) {
        for host in self.model.hosts() {
            self.outside_of(host);
        }
        for (name, service) in self.model.services() {
            self.names_of(name, service);
            if service.is_external() {
                self.external(name, service);
            }
        }
        self.keep_known_edges();
    }

    /// What the outside sees of a host itself: sshd where it belongs, and nothing where it does not.
    fn outside_of(&mut self, host: &HostView) {
        let Some(address) = reachable(host) else { return };
        let ssh = host.ssh();
        if ssh.via.is_none() {
            self.add(HealthCheck {
                id: format!("{}.ssh", host.name),
                group: Some(host.name.clone()),
                tags: vec!["host".into()],
                critical: true,
                from: vec![host.at("ssh")],
                ssh: Some(SshCheck { address: socket(address, ssh.port), ..SshCheck::default() }),
                ..HealthCheck::default()
            });
        }
        self.sinkhole_of(host, address);
        let firewall = host.spec.firewall.clone().unwrap_or_default();
        if !firewall.enable {
            return;
        }
        let open: BTreeSet<u16> = holes(self.model, host)
            .iter()
            .filter(|hole| hole.ports.first == hole.ports.last)
            .map(|hole| hole.ports.first)
            .collect();
        let mut shut: Vec<(u16, String, Pointer)> = Vec::new();
        if ssh.port != 22 {
            shut.push((22, "ssh-22".into(), host.at("ssh")));
        }
        for agent in self.model.agents(host) {
            shut.push((agent.port, agent.name.to_owned(), agent.pointer));
        }
        for cluster in self.model.clusters().filter(|cluster| cluster.spec.host.as_deref() == Some(&host.name)) {
            shut.push((cluster.spec.port, cluster.name.to_owned(), cluster.pointer()));
        }
        for (name, service) in self.model.services_on(&host.name) {
            for (port_name, port) in service.ports.iter().filter(|(_, port)| port.publish) {
                let at = Model::service_at(name).join("ports").join(port_name);
                shut.push((port.port, format!("{name}-{port_name}"), at));
            }
        }
        for (port, what, at) in shut {
            let inside = host.spec.allow.iter().any(|allow| allow.port.contains(port));
            if open.contains(&port) || inside || port == ssh.port {
                continue;
            }
            self.add(HealthCheck {
                id: format!("{}.closed.{what}", host.name),
                group: Some(host.name.clone()),
                tags: vec!["closed".into()],
                needs: vec![format!("{}.ssh", host.name)],
                critical: true,
                from: vec![at],
                tcp: Some(TcpCheck { address: socket(address, port), closed: true, ..TcpCheck::default() }),
                ..HealthCheck::default()
            });
        }
    }

    /// A name that nobody serves gets no answer.
    fn sinkhole_of(&mut self, host: &HostView, address: IpAddr) {
        let proxy = host.proxy();
        let public = self.model.sites(host).iter().any(|site| site.entries.iter().any(crate::model::Entry::is_public));
        if !public || !proxy.sinkhole || !host.is_debian_like() || proxy.kind == crate::fleet::ProxyKind::Traefik {
            return;
        }
        self.add(HealthCheck {
            id: format!("{}.sinkhole", host.name),
            group: Some(host.name.clone()),
            tags: vec!["closed".into()],
            needs: vec![format!("{}.ssh", host.name), format!("{}.proxy", host.name)],
            critical: false,
            from: vec![host.at("proxy")],
            http: Some(HttpCheck {
                url: "http://unknown.invalid/".into(),
                connect: Some(socket(address, proxy.http_port)),
                closes: true,
                ..HttpCheck::default()
            }),
            ..HealthCheck::default()
        });
    }

    /// The names of a service, asked of the edge itself, so that its DNS need not lead there yet.
    fn names_of(&mut self, name: &str, service: &Service) {
        let mut seen = std::collections::BTreeSet::new();
        for resolved in self.model.fleet.routes_of(name) {
            let (at, route) = (resolved.place, resolved.route);
            let Edge::Host(edge) = resolved.edge else { continue };
            let Some(edge) = self.model.host(edge) else { continue };
            // Of several hosts that serve the same names the first stands for all.
            let index = service.proxy.iter().position(|own| std::ptr::eq(own, route)).unwrap_or_default();
            if !seen.insert(index) {
                continue;
            }
            // Who comes from elsewhere is not let in: that is no fault.
            let Some(address) = edge_address(edge, &route.from) else { continue };
            let guarded = !matches!(route.auth, Auth::None);
            let names = resolved.names.into_iter().filter(|name| !name.name.starts_with("*.")).enumerate();
            for (position, RouteName { name: full, tls }) in names {
                let path = route.path.as_deref().unwrap_or("").trim_end_matches('/');
                let path = format!("{path}{}", route.health_path.as_deref().unwrap_or("/"));
                let secure = tls != TlsMode::None;
                let port = if secure { edge.proxy().https_port } else { edge.proxy().http_port };
                let (scheme, usual) = if secure { ("https", 443) } else { ("http", 80) };
                let authority = if port == usual { full.clone() } else { format!("{full}:{port}") };
                let mut status = Vec::new();
                if guarded {
                    status = [200, 302, 303, 307, 401, 403].map(StatusRange::Code).to_vec();
                } else if route.redirect.is_some() {
                    status = [301, 302, 307, 308].map(StatusRange::Code).to_vec();
                }
                let mut needs = vec![format!("{}.ssh", edge.name), format!("{}.proxy", edge.name)];
                needs.extend(self.services_behind(name, service));
                let (more, wants) = self.edges_of_names(name);
                needs.extend(more);
                self.add(HealthCheck {
                    id: format!(
                        "{name}.{}",
                        if position == 0 && index == 0 { scheme.to_owned() } else { format!("{scheme}.{full}") }
                    ),
                    group: Some(name.to_owned()),
                    tags: vec!["public".into()],
                    needs,
                    wants,
                    critical: service.critical,
                    from: vec![at.clone()],
                    http: Some(HttpCheck {
                        url: format!("{scheme}://{authority}{path}"),
                        connect: Some(socket(address, port)),
                        status,
                        tls: self.expectation(&tls),
                        ..HttpCheck::default()
                    }),
                    ..HealthCheck::default()
                });
            }
        }
    }

    /// What a host's own report says about a service, which is read along with this one: its unit, and what it answers. Units that
    /// run and programs that answer are two things, and either stands behind a name.
    fn services_behind(&self, name: &str, service: &Service) -> Vec<String> {
        self.model.hosts_of(service).map(|host| format!("{}.{name}", host.name)).collect()
    }

    /// What the names of a service need and want of other services, on whatever host: only from here can that be said.
    fn edges_of_names(&self, name: &str) -> (Vec<String>, Vec<String>) {
        let (mut needs, mut wants) = (Vec::new(), Vec::new());
        // Two that want each other may both be declared; as edges of checks they would wait for each other.
        let leads_back = |other: &str| {
            let mut open = vec![other];
            let mut seen = BTreeSet::new();
            while let Some(service) = open.pop() {
                if service == name {
                    return true;
                }
                if seen.insert(service) {
                    open.extend(self.model.dependencies_of(service).iter().map(|one| one.on.name()));
                }
            }
            false
        };
        for dependency in self.model.dependencies_of(name) {
            if leads_back(dependency.on.name()) {
                continue;
            }
            // Without its sign-on a service still answers; a proxy that asks for every request lets nobody through.
            let login = dependency.place.keys().last().is_some_and(|key| key == "sso");
            let edges = if dependency.strength == Strength::Needs && !login { &mut needs } else { &mut wants };
            match &dependency.on {
                Node::Database(cluster) => {
                    edges.extend(self.model.cluster(cluster).map(|cluster| database_of(&cluster)));
                }
                Node::Service(other) => {
                    let Some(service) = self.model.service(other) else { continue };
                    edges.extend(self.services_behind(other, service));
                    edges.push(format!("{other}.https"));
                }
            }
        }
        (needs, wants)
    }

    fn external(&mut self, name: &str, service: &Service) {
        let Run::External(external) = &service.run else { return };
        let at = Model::service_at(name).join("run").join("external");
        let Some(url) = &external.url else { return };
        let mut check = HealthCheck {
            id: format!("{name}.https"),
            group: Some(name.to_owned()),
            tags: vec!["external".into()],
            critical: false,
            from: vec![at],
            ..HealthCheck::default()
        };
        if url.starts_with("ws") {
            check.websocket = Some(WebSocketCheck { url: url.clone(), ..WebSocketCheck::default() });
        } else {
            check.http = Some(HttpCheck { url: url.clone(), redirects: 3, ..HttpCheck::default() });
        }
        self.add(check);
    }

    fn expectation(&self, tls: &TlsMode) -> TlsExpectation {
        let internal = matches!(tls, TlsMode::Internal | TlsMode::Acme | TlsMode::AcmeDns);
        // A leaf of the internal CA may stand in for one of ACME.
        TlsExpectation { ca: self.ca.filter(|_| internal).map(str::to_owned), ..TlsExpectation::default() }
    }
}

/// The address at which the controller is expected to reach a host.
fn reachable(host: &HostView) -> Option<IpAddr> {
    let ssh = host.ssh();
    let first = ssh.networks.iter().find_map(|network| host.address(network));
    first.or_else(|| host.address(PUBLIC)).or_else(|| host.any_address())
}

/// The address of an edge on the first network from which an entry may be reached.
fn edge_address(edge: &HostView, from: &[String]) -> Option<IpAddr> {
    if from.iter().any(|network| network == PUBLIC) {
        return edge.any_address();
    }
    from.iter().find_map(|network| edge.address(network)).or_else(|| edge.any_address())
}
