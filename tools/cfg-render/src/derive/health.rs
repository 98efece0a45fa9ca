//! `health.checks`: what can be seen of the fleet from somewhere, and what depends on what.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use contract::Pointer;
use contract::document::{
    DiskCheck, HealthCheck, HealthChecks, HttpCheck, MailCheck, PostgresCheck, RedisCheck, SshCheck, TcpCheck,
    TlsCheck, TlsExpectation, UnitCheck, WebSocketCheck,
};
use contract::places;

use crate::fleet::{Auth, CheckSpec, PUBLIC, Run, Service, TlsMode};
use crate::host::holes;
use crate::model::{HostView, Model, tls_of};

/// From where one looks.
#[derive(Debug, Clone, Copy)]
pub enum Vantage<'m> {
    /// From where the pipelines run.
    Controller,
    /// From a host of the fleet.
    Host(&'m HostView),
}

/// What can be seen from there. `ca` is the certificate of the internal CA. `along` are hosts whose own reports are read
/// along with this one, so that edges may lead to what they see.
pub fn health(model: &Model<'_>, vantage: Vantage<'_>, ca: Option<&str>, along: &[&HostView]) -> HealthChecks {
    let mut elsewhere = BTreeSet::new();
    for host in along {
        elsewhere.extend(health(model, Vantage::Host(host), None, &[]).checks.into_iter().map(|check| check.id));
    }
    let mut checks = Checks { model, ca, elsewhere, all: BTreeMap::new() };
    match vantage {
        Vantage::Controller => checks.from_outside(),
        Vantage::Host(host) => checks.from_host(host),
    }
    let name = match vantage {
        Vantage::Controller => "controller".to_owned(),
        Vantage::Host(host) => host.name.clone(),
    };
    let mut all: Vec<_> = checks.all.into_values().collect();
    if matches!(vantage, Vantage::Controller) {
        all.extend(model.fleet.health.checks.iter().cloned());
    }
    all.sort_by(|a, b| a.id.cmp(&b.id));
    HealthChecks { vantage: Some(name), defaults: model.fleet.health.defaults.clone(), checks: all }
}

struct Checks<'m, 'f> {
    model: &'m Model<'f>,
    ca: Option<&'m str>,
    elsewhere: BTreeSet<String>,
    all: BTreeMap<String, HealthCheck>,
}

impl<'m, 'f> Checks<'m, 'f> {
    fn add(&mut self, check: HealthCheck) {
        self.all.entry(check.id.clone()).or_insert(check);
    }

    fn from_outside(&mut self) {
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
                ssh: Some(SshCheck { address: socket(address, ssh.port) }),
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
        for (index, route) in service.proxy.iter().enumerate() {
            let at = Model::service_at(name).join("proxy").join(index);
            // Who comes from elsewhere is not let in: that is no fault.
            let Some(edge) = self.model.edges_of(service, route).into_iter().next() else { continue };
            let Some(address) = edge_address(edge, &route.from) else { continue };
            let guarded = !matches!(route.auth, Auth::None);
            let names = self.model.names_of(name, route, edge);
            let tls = tls_of(route, &names);
            for (position, full) in names.iter().filter(|full| !full.starts_with("*.")).enumerate() {
                let path = route.path.as_deref().unwrap_or("").trim_end_matches('/');
                let path = format!("{path}{}", route.health_path.as_deref().unwrap_or("/"));
                let secure = tls != TlsMode::None;
                let port = if secure { edge.proxy().https_port } else { edge.proxy().http_port };
                let (scheme, usual) = if secure { ("https", 443) } else { ("http", 80) };
                let authority = if port == usual { full.clone() } else { format!("{full}:{port}") };
                let mut status = Vec::new();
                if guarded {
                    status = vec![200, 302, 303, 307, 401, 403];
                } else if route.redirect.is_some() {
                    status = vec![301, 302, 307, 308];
                }
                let mut needs = vec![format!("{}.ssh", edge.name), format!("{}.proxy", edge.name)];
                needs.extend(self.services_behind(name, service));
                self.add(HealthCheck {
                    id: format!(
                        "{name}.{}",
                        if position == 0 && index == 0 { scheme.to_owned() } else { format!("{scheme}.{full}") }
                    ),
                    group: Some(name.to_owned()),
                    tags: vec!["public".into()],
                    needs,
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

    /// What a host's own report says about a service, which is read along with this one.
    fn services_behind(&self, name: &str, service: &Service) -> Vec<String> {
        let hosts = self.model.hosts_of(service);
        hosts
            .filter(|_| self.model.unit_of(name, service).is_some())
            .map(|host| format!("{}.{name}.unit", host.name))
            .collect()
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

    /// What a host sees of itself.
    fn from_host(&mut self, host: &HostView) {
        let unit = |id: String, name: &str, group: &str, from: Pointer, critical: bool| HealthCheck {
            id,
            group: Some(group.to_owned()),
            tags: vec!["unit".into()],
            critical,
            from: vec![from],
            unit: Some(UnitCheck { name: name.into(), scope: None }),
            ..HealthCheck::default()
        };
        let h = &host.name;
        self.add(HealthCheck {
            id: format!("{h}.disk"),
            group: Some(h.clone()),
            tags: vec!["host".into()],
            critical: true,
            from: vec![host.pointer()],
            disk: Some(DiskCheck { path: "/".into(), warn_percent: 85, fail_percent: 95 }),
            ..HealthCheck::default()
        });
        if host.is_debian_like() {
            if host.spec.firewall.clone().unwrap_or_default().enable {
                self.add(unit(format!("{h}.firewall"), "nftables.service", h, host.at("firewall"), true));
            }
            if host.spec.fail2ban.clone().unwrap_or_default().enable {
                self.add(unit(format!("{h}.fail2ban"), "fail2ban.service", h, host.at("fail2ban"), false));
            }
            if !self.model.secrets_of(Some(h)).is_empty() {
                self.add(unit(format!("{h}.secrets"), places::SECRETS_UNIT, h, host.at("secrets"), true));
            }
            let sites = self.model.sites(host);
            if !sites.is_empty() {
                let kind = host.proxy().kind;
                let mut check =
                    unit(format!("{h}.proxy"), &format!("{}.service", kind.as_str()), h, host.at("proxy"), true);
                check.needs = vec![format!("{h}.secrets")];
                self.add(check);
            }
        }
        self.clusters_on(host);
        self.agents_on(host);
        let services: Vec<_> = self.model.services_on(h).collect();
        for (name, service) in services {
            self.service_on(host, name, service);
        }
        self.backup_on(host);
        for (index, spec) in host.spec.health.iter().enumerate() {
            let id = spec.id.clone().unwrap_or_else(|| format!("check-{index}"));
            let at = host.at("health").join(index);
            if let Some(check) = self.declared(spec, host, None, format!("{h}.{id}"), h, &at, true) {
                self.add(check);
            }
        }
        self.keep_known_edges();
    }

    fn clusters_on(&mut self, host: &HostView) {
        let clusters: Vec<_> =
            self.model.clusters().filter(|cluster| cluster.spec.host.as_deref() == Some(&host.name)).collect();
        for cluster in clusters {
            let id = format!("{}.{}.unit", host.name, cluster.name);
            self.add(HealthCheck {
                id: id.clone(),
                group: Some(cluster.name.to_owned()),
                tags: vec!["unit".into()],
                needs: vec![format!("{}.disk", host.name)],
                critical: true,
                from: vec![cluster.pointer()],
                unit: Some(UnitCheck { name: cluster.unit(host), scope: None }),
                ..HealthCheck::default()
            });
            self.add(HealthCheck {
                id: format!("{}.{}.postgres", host.name, cluster.name),
                group: Some(cluster.name.to_owned()),
                tags: vec!["database".into()],
                needs: vec![id],
                critical: true,
                from: vec![cluster.pointer()],
                // Asked for a password, so that no right to log in is needed to see that the server takes connections.
                postgres: Some(PostgresCheck {
                    address: socket(IpAddr::from([127, 0, 0, 1]), cluster.spec.port),
                    user: "health".into(),
                    ..PostgresCheck::default()
                }),
                ..HealthCheck::default()
            });
            let databases: Vec<_> = self.model.databases_in(cluster.name);
            for found in databases {
                let Some(password) = found.spec.password.clone() else { continue };
                let database = found.spec.name_or(found.service_name);
                self.add(HealthCheck {
                    id: format!("{}.{}.database.{database}", host.name, cluster.name),
                    group: Some(found.service_name.to_owned()),
                    tags: vec!["database".into()],
                    needs: vec![format!("{}.{}.postgres", host.name, cluster.name)],
                    critical: found.service.critical,
                    from: vec![found.pointer.clone()],
                    postgres: Some(PostgresCheck {
                        address: socket(IpAddr::from([127, 0, 0, 1]), cluster.spec.port),
                        user: found.spec.owner_or(found.service_name),
                        database,
                        password: Some(password),
                        ..PostgresCheck::default()
                    }),
                    ..HealthCheck::default()
                });
            }
        }
    }

    fn agents_on(&mut self, host: &HostView) {
        for agent in self.model.agents(host) {
            let Some(address) = agent.address else { continue };
            let mut needs = vec![format!("{}.disk", host.name)];
            let mut body = Vec::new();
            if agent.name == "postgres" {
                let exporter = host.spec.agents.as_ref().and_then(|agents| agents.postgres_exporter.as_ref());
                if let Some(exporter) = exporter {
                    needs = vec![format!("{}.{}.postgres", host.name, exporter.cluster)];
                }
                // The exporter answers also where it cannot log in.
                body = vec![contract::document::BodyCondition {
                    matches: Some("(?m)^pg_up 1$".into()),
                    ..Default::default()
                }];
            }
            self.add(HealthCheck {
                id: format!("{}.{}.metrics", host.name, agent.name),
                group: Some(host.name.clone()),
                tags: vec!["metrics".into()],
                needs,
                critical: false,
                from: vec![agent.pointer.clone()],
                http: Some(HttpCheck {
                    url: format!("http://{}/metrics", socket(address, agent.port)),
                    body,
                    ..HttpCheck::default()
                }),
                ..HealthCheck::default()
            });
        }
    }

    fn service_on(&mut self, host: &HostView, name: &str, service: &Service) {
        let at = Model::service_at(name);
        let critical = service.critical && !service.is_external();
        let edges = |names: &[String]| -> Vec<String> {
            let mut found = Vec::new();
            for other in names {
                if let Some(cluster) = self.model.cluster(other) {
                    found.push(format!("{}.{}.postgres", cluster.spec.host.as_deref().unwrap_or(other), cluster.name));
                } else if let Some(needed) = self.model.service(other) {
                    found.extend(self.model.hosts_of(needed).map(|host| format!("{}.{other}", host.name)));
                }
            }
            found
        };
        let databases: Vec<String> = service
            .databases
            .iter()
            .filter_map(|database| self.model.cluster_of(database))
            .map(|cluster| cluster.name.to_owned())
            .collect();
        let needs = edges(&service.needs.iter().cloned().chain(databases).collect::<Vec<_>>());
        let wants = edges(&service.wants);
        let unit_id = format!("{}.{name}.unit", host.name);
        let unit = self.model.unit_of(name, service).filter(|_| !is_timed(service));
        if let Some(unit) = &unit {
            self.add(HealthCheck {
                id: unit_id.clone(),
                group: Some(name.to_owned()),
                tags: vec!["unit".into()],
                needs: needs.clone(),
                wants: wants.clone(),
                critical,
                from: vec![at.clone()],
                unit: Some(UnitCheck { name: unit.clone(), scope: None }),
                ..HealthCheck::default()
            });
        }
        let inner: Vec<String> = if unit.is_some() { vec![unit_id] } else { needs };
        let declared: BTreeSet<&str> =
            service.health.iter().map(|spec| service.port(spec.port.as_deref()).map_or("", |(port, _)| port)).collect();
        for (port_name, port) in
            service.ports.iter().filter(|(_, port)| port.publish && port.proto != crate::fleet::Proto::Udp)
        {
            // A declared check of the port says more than that it is open.
            if declared.contains(port_name.as_str()) || is_timed(service) {
                continue;
            }
            let Some(address) = self.model.address_between(Some(host), host, &port.bind) else { continue };
            self.add(HealthCheck {
                id: format!("{}.{name}.{port_name}", host.name),
                group: Some(name.to_owned()),
                tags: vec!["port".into()],
                needs: inner.clone(),
                critical,
                from: vec![at.join("ports").join(port_name)],
                tcp: Some(TcpCheck { address: socket(address, port.port), ..TcpCheck::default() }),
                ..HealthCheck::default()
            });
        }
        for (index, spec) in service.health.iter().enumerate() {
            let id = spec.id.clone().unwrap_or_else(|| format!("check-{index}"));
            let at = at.join("health").join(index);
            if let Some(mut check) =
                self.declared(spec, host, Some(service), format!("{}.{name}.{id}", host.name), name, &at, critical)
            {
                check.needs.clone_from(&inner);
                self.add(check);
            }
        }
    }

    /// A check as the fleet declares it, aimed at the service's port.
    #[allow(clippy::too_many_arguments)]
    fn declared(
        &self,
        spec: &CheckSpec,
        host: &HostView,
        service: Option<&Service>,
        id: String,
        group: &str,
        at: &Pointer,
        critical: bool,
    ) -> Option<HealthCheck> {
        let target = service
            .and_then(|service| service.port(spec.port.as_deref()))
            .and_then(|(_, port)| Some(socket(self.model.address_between(Some(host), host, &port.bind)?, port.port)));
        let mut check = HealthCheck {
            id,
            group: Some(group.to_owned()),
            tags: spec.tags.clone(),
            critical: spec.critical.unwrap_or(true) && critical,
            timeout: spec.timeout,
            warn_above: spec.warn_above,
            profile: spec.profile.clone(),
            from: vec![at.clone()],
            unit: spec.unit.clone(),
            disk: spec.disk.clone(),
            mount: spec.mount.clone(),
            freshness: spec.freshness.clone(),
            exec: spec.exec.clone(),
            ..HealthCheck::default()
        };
        if let Some(http) = &spec.http {
            let scheme = if http.tls { "https" } else { "http" };
            check.http = Some(HttpCheck {
                url: format!("{scheme}://{}{}", target.clone()?, http.path),
                headers: http.headers.clone(),
                status: http.status.clone(),
                body: http.body.clone(),
                ..HttpCheck::default()
            });
        }
        if let Some(tcp) = &spec.tcp {
            check.tcp = Some(TcpCheck { address: target.clone()?, banner: tcp.banner.clone(), ..TcpCheck::default() });
        }
        if spec.tls.is_some() {
            check.tls = Some(TlsCheck { address: target.clone()?, ..TlsCheck::default() });
        }
        if let Some(redis) = &spec.redis {
            check.redis = Some(RedisCheck { address: target.clone()?, password: redis.password.clone() });
        }
        if let Some(websocket) = &spec.websocket {
            let scheme = if websocket.tls { "wss" } else { "ws" };
            let path = websocket.path.as_deref().unwrap_or("/");
            check.websocket = Some(WebSocketCheck {
                url: format!("{scheme}://{}{path}", target.clone()?),
                first_message: websocket.first_message,
                ..WebSocketCheck::default()
            });
        }
        if let Some(mail) = &spec.mail {
            check.mail = Some(MailCheck {
                address: target.clone()?,
                protocol: mail.protocol,
                starttls: mail.starttls,
                tls: TlsExpectation::default(),
            });
        }
        if let Some(dns) = &spec.dns {
            let mut dns = dns.clone();
            dns.server = dns.server.or(target);
            check.dns = Some(dns);
        }
        Some(check)
    }

    fn backup_on(&mut self, host: &HostView) {
        let Some((name, _)) = self.model.backup_plan(host) else { return };
        let at = Pointer::root().join("backups").join("plans").join(name);
        self.add(HealthCheck {
            id: format!("{}.backup.timer", host.name),
            group: Some(host.name.clone()),
            tags: vec!["backup".into()],
            critical: false,
            from: vec![at],
            unit: Some(UnitCheck { name: "plumbline-backup.timer".into(), scope: None }),
            ..HealthCheck::default()
        });
    }

    /// Edges lead only to checks that exist, seen from here or told by a host.
    fn keep_known_edges(&mut self) {
        let known: BTreeSet<String> = self.all.keys().chain(&self.elsewhere).cloned().collect();
        for check in self.all.values_mut() {
            let prefix = |name: &String| {
                known
                    .contains(name)
                    .then(|| vec![name.clone()])
                    .unwrap_or_else(|| known.iter().filter(|id| id.starts_with(&format!("{name}."))).cloned().collect())
            };
            let expand = |edges: &[String], own: &str| -> Vec<String> {
                let all: BTreeSet<String> = edges.iter().flat_map(prefix).filter(|id| id != own).collect();
                all.into_iter().collect()
            };
            check.needs = expand(&check.needs, &check.id);
            check.wants = expand(&check.wants, &check.id);
        }
    }
}

fn is_timed(service: &Service) -> bool {
    matches!(&service.run, Run::Systemd(run) if run.calendar.is_some() || run.start == crate::fleet::StartKind::Oneshot)
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

fn socket(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}
