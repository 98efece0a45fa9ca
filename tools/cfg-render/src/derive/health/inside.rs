//! What a host sees of itself: units, ports on loopback, databases, metrics, space.

use std::collections::BTreeSet;
use std::net::IpAddr;

use contract::document::{
    DiskCheck, HealthCheck, HttpCheck, MailCheck, PostgresCheck, RedisCheck, TcpCheck, TlsCheck, TlsExpectation,
    UnitCheck, WebSocketCheck,
};
use contract::{Pointer, places};

use super::{Checks, socket};
use crate::fleet::{CheckSpec, Run, Service};
use crate::model::{ClusterView, HostView, Model};

impl Checks<'_, '_> {
    /// What a host sees of itself.
    pub(super) fn see_from_host(&mut self, host: &HostView) {
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
            disk: Some(DiskCheck { path: "/".into(), ..DiskCheck::default() }),
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
        self.clusters_elsewhere(host);
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
            let server = format!("{}.{}.postgres", host.name, cluster.name);
            let pooler = format!("{}.{}.pgbouncer", host.name, cluster.name);
            if cluster.spec.pgbouncer.is_some() {
                self.add(HealthCheck {
                    id: pooler.clone(),
                    group: Some(cluster.name.to_owned()),
                    tags: vec!["unit".into()],
                    needs: vec![server.clone()],
                    critical: true,
                    from: vec![cluster.pointer().join("pgbouncer")],
                    unit: Some(UnitCheck { name: crate::host::PGBOUNCER_UNIT.into(), scope: None }),
                    ..HealthCheck::default()
                });
            }
            for found in self.model.databases_in(cluster.name) {
                let Some(password) = found.spec.password.clone() else { continue };
                let database = found.spec.name_or(found.service_name);
                // Behind a pooler the login through it proves both.
                let needed = if found.spec.pool.is_some() { &pooler } else { &server };
                self.add(HealthCheck {
                    id: format!("{}.{}.database.{database}", host.name, cluster.name),
                    group: Some(found.service_name.to_owned()),
                    tags: vec!["database".into()],
                    needs: vec![needed.clone()],
                    critical: found.service.critical,
                    from: vec![found.pointer.clone()],
                    postgres: Some(PostgresCheck {
                        address: socket(IpAddr::from([127, 0, 0, 1]), cluster.entrance(found.spec).0),
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

    /// Managed clusters that services of the host use. They have one name from wherever they are seen, so that reports of several
    /// hosts speak of the same thing.
    fn clusters_elsewhere(&mut self, host: &HostView) {
        let used: BTreeSet<String> = self
            .model
            .services_on(&host.name)
            .flat_map(|(_, service)| &service.databases)
            .filter_map(|database| self.model.cluster_of(database))
            .map(|cluster| cluster.name.to_owned())
            .collect();
        for cluster in used.iter().filter_map(|name| self.model.cluster(name)) {
            let Some(external) = &cluster.spec.external else { continue };
            let address = match external.address.parse() {
                Ok(address) => socket(address, cluster.spec.port),
                Err(_) => format!("{}:{}", external.address, cluster.spec.port),
            };
            self.add(HealthCheck {
                id: database_of(&cluster),
                group: Some(cluster.name.to_owned()),
                tags: vec!["database".into()],
                critical: true,
                from: vec![cluster.pointer()],
                // Asked without a password: an answer of any kind shows that it takes connections.
                postgres: Some(PostgresCheck { address, user: "health".into(), ..PostgresCheck::default() }),
                ..HealthCheck::default()
            });
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
                    found.push(database_of(&cluster));
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
        let sign_on = service.sso.iter().filter_map(|sso| self.model.fleet.sso.get(&sso.provider));
        let wants =
            edges(&service.wants.iter().cloned().chain(sign_on.map(|sso| sso.service.clone())).collect::<Vec<_>>());
        let mut units = self.model.units_on(host, name, service);
        units.retain(|_| !is_timed(service));
        let mut unit_ids = Vec::new();
        for (container, unit) in units {
            let id = format!("{}.{name}.{}unit", host.name, container.map_or_else(String::new, |name| name + "."));
            self.add(HealthCheck {
                id: id.clone(),
                group: Some(name.to_owned()),
                tags: vec!["unit".into()],
                needs: needs.clone(),
                wants: wants.clone(),
                critical,
                from: vec![at.clone()],
                unit: Some(UnitCheck { name: unit, scope: self.model.scope_of(service) }),
                ..HealthCheck::default()
            });
            unit_ids.push(id);
        }
        // What the unit wants, the unit says.
        let (inner, wants) = if unit_ids.is_empty() { (needs, wants) } else { (unit_ids, Vec::new()) };
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
                wants: wants.clone(),
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
                check.wants.clone_from(&wants);
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
                response_headers: http.response_headers.clone(),
                ..HttpCheck::default()
            });
        }
        if let Some(tcp) = &spec.tcp {
            let (send, banner) = (tcp.send.clone(), tcp.banner.clone());
            check.tcp = Some(TcpCheck { address: target.clone()?, send, banner, ..TcpCheck::default() });
        }
        if spec.tls.is_some() {
            check.tls = Some(TlsCheck { address: target.clone()?, ..TlsCheck::default() });
        }
        if let Some(redis) = &spec.redis {
            let password = redis.password.clone();
            check.redis = Some(RedisCheck { address: target.clone()?, password, ..RedisCheck::default() });
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
}

fn is_timed(service: &Service) -> bool {
    matches!(&service.run, Run::Systemd(run) if run.calendar.is_some() || run.start == crate::fleet::StartKind::Oneshot)
}

/// The name of the check of a cluster: below its host, or its own where it is managed elsewhere.
pub(super) fn database_of(cluster: &ClusterView<'_>) -> String {
    match &cluster.spec.host {
        Some(host) => format!("{host}.{}.postgres", cluster.name),
        None => format!("{}.postgres", cluster.name),
    }
}
