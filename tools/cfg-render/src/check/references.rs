//! Names that lead somewhere: those that hosts and services mention.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;
use std::net::IpAddr;

use contract::{Finding, Pointer, SecretName};

use super::context::{Context, place};
use crate::fleet::{ANY, Auth, Cidr, Fleet, Host, LOCAL, PUBLIC, Reference, Route, Run, Service, Value};

/// `unknown-ref`, `disabled-ref`, `like-cycle`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let mut names = Names { written: context.written, fleet: context.fleet, found };
    for (name, host) in &context.written.hosts {
        if let Some(like) = &host.like {
            names.like(name, like);
        }
    }
    for (name, host) in &context.fleet.hosts {
        names.of_host(name, host);
    }
    for (name, service) in &context.fleet.services {
        names.of_service(name, service);
    }
    for used in context.uses {
        names.secret(&used.secret, &used.place);
    }
}

/// Looks names up and complains about those that are not there.
pub(crate) struct Names<'a, 'f> {
    pub(crate) written: &'a Fleet,
    pub(crate) fleet: &'a Fleet,
    pub(crate) found: &'f mut Vec<Finding>,
}

impl Names<'_, '_> {
    pub(crate) fn unknown<'n>(&mut self, what: &str, name: &str, known: impl Iterator<Item = &'n str>, at: Pointer) {
        let known: Vec<&str> = known.collect();
        let fix = match cli::did_you_mean(name, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if known.is_empty() => format!("no {what} is declared: declare it, or take this out"),
            None if known.len() <= 8 => format!("declared are {}", known.join(", ")),
            None => format!("declare a {what} of this name, or take this out"),
        };
        self.found.push(Finding::error("unknown-ref", at, format!("there is no {what} \"{name}\"")).fix(fix));
    }

    fn in_map<T>(&mut self, what: &str, name: &str, map: &BTreeMap<String, T>, at: Pointer) {
        if !map.contains_key(name) {
            self.unknown(what, name, map.keys().map(String::as_str), at);
        }
    }

    fn switched_off(&mut self, what: &str, name: &str, at: Pointer) {
        let message = format!("{what} \"{name}\" is switched off");
        self.found.push(Finding::error("disabled-ref", at, message).fix("switch it on, or take this out"));
    }

    pub(crate) fn host(&mut self, name: &str, at: Pointer) {
        if self.written.hosts.contains_key(name) && !self.fleet.hosts.contains_key(name) {
            self.switched_off("host", name, at);
        } else {
            self.in_map("host", name, &self.written.hosts, at);
        }
    }

    pub(crate) fn service(&mut self, name: &str, at: Pointer) {
        if self.written.services.contains_key(name) && !self.fleet.services.contains_key(name) {
            self.switched_off("service", name, at);
        } else {
            self.in_map("service", name, &self.written.services, at);
        }
    }

    pub(crate) fn cluster(&mut self, name: &str, at: Pointer) {
        self.in_map("database cluster", name, &self.written.databases, at);
    }

    /// A service or a cluster.
    fn node(&mut self, name: &str, at: Pointer) {
        let written = self.written;
        if written.databases.contains_key(name) {
            return;
        }
        if written.services.contains_key(name) {
            self.service(name, at);
        } else {
            let known = written.services.keys().chain(written.databases.keys()).map(String::as_str);
            self.unknown("service or database cluster", name, known, at);
        }
    }

    /// A network or one of the words that stand for one.
    pub(crate) fn network(&mut self, name: &str, words: &[&str], at: Pointer) {
        let written = self.written;
        if !words.contains(&name) && !written.networks.contains_key(name) {
            let known = written.networks.keys().map(String::as_str).chain(words.iter().copied());
            self.unknown("network", name, known, at);
        }
    }

    /// Networks from which something is reached.
    pub(crate) fn networks(&mut self, names: &[String], at: &Pointer) {
        for (index, name) in names.iter().enumerate() {
            self.network(name, &[PUBLIC], at.join(index));
        }
    }

    /// Hosts, networks, addresses or ranges.
    fn sources(&mut self, names: &[String], at: &Pointer) {
        for (index, name) in names.iter().enumerate() {
            let address = name.parse::<IpAddr>().is_ok() || name.parse::<Cidr>().is_ok();
            let written = self.written;
            if !address && !written.hosts.contains_key(name) && !written.networks.contains_key(name) {
                let known = written.networks.keys().chain(written.hosts.keys()).map(String::as_str);
                self.unknown("host, network or range", name, known, at.join(index));
            }
        }
    }

    pub(crate) fn people(&mut self, people: &[String], groups: &[String], at: &Pointer, group_key: &str) {
        for (index, person) in people.iter().enumerate() {
            self.in_map("person", person, &self.written.people, at.join("people").join(index));
        }
        let known: BTreeSet<&str> =
            self.written.people.values().flat_map(|p| p.groups.iter().map(String::as_str)).collect();
        for (index, group) in groups.iter().enumerate().filter(|(_, group)| !known.contains(group.as_str())) {
            self.unknown("group of people", group, known.iter().copied(), at.join(group_key).join(index));
        }
    }

    pub(crate) fn bucket(&mut self, name: &str, at: Pointer) {
        self.in_map("bucket", name, &self.written.buckets, at);
    }

    pub(crate) fn mailer(&mut self, name: &str, at: Pointer) {
        self.in_map("mailer", name, &self.written.mailers, at);
    }

    pub(crate) fn provider(&mut self, name: &str, at: Pointer) {
        self.in_map("DNS provider", name, &self.written.dns.providers, at);
    }

    fn secret(&mut self, name: &SecretName, at: &Pointer) {
        let written = self.written;
        if !written.secrets.contains_key(name) {
            let near = cli::did_you_mean(name.as_str(), written.secrets.keys().map(contract::SecretName::as_str));
            let fix = near.map_or_else(
                || format!("add \"{name}\": {{}} to \"secrets\""),
                |near| format!("did you mean \"{near}\"? else add \"{name}\": {{}} to \"secrets\""),
            );
            let message = format!("there is no secret \"{name}\"");
            self.found.push(Finding::error("unknown-ref", at.clone(), message).fix(fix));
        }
    }

    /// A host that is like another, up to a circle.
    fn like(&mut self, name: &str, like: &str) {
        let at = place([&"hosts", &name, &"like"]);
        self.in_map("host", like, &self.written.hosts, at.clone());
        let mut seen = BTreeSet::new();
        let mut next = Some(like);
        while let Some(current) = next.filter(|current| seen.insert(*current)) {
            if current == name {
                let message = format!("host {name} is like itself in the end");
                self.found.push(Finding::error("like-cycle", at, message).fix("let one of them give its keys itself"));
                return;
            }
            next = self.written.hosts.get(current).and_then(|host| host.like.as_deref());
        }
    }

    fn of_host(&mut self, name: &str, host: &Host) {
        let at = place([&"hosts", &name]);
        for network in host.addresses.keys() {
            self.network(network, &[PUBLIC], at.join("addresses").join(network));
        }
        if let Some(ssh) = &host.ssh {
            let at = at.join("ssh");
            self.networks(&ssh.from, &at.join("from"));
            self.networks(&ssh.networks, &at.join("networks"));
            self.people(&ssh.people, &ssh.groups, &at, "groups");
            if let Some(via) = &ssh.via {
                self.host(via, at.join("via"));
            }
        }
        for (user_name, user) in &host.users {
            self.people(&user.people, &user.people_groups, &at.join("users").join(user_name), "people_groups");
        }
        for (index, allow) in host.allow.iter().enumerate() {
            self.networks(&allow.from, &at.join("allow").join(index).join("from"));
        }
        if let Some(fail2ban) = &host.fail2ban {
            self.sources(&fail2ban.ignore, &at.join("fail2ban").join("ignore"));
        }
        if let Some(proxy) = &host.proxy {
            let at = at.join("proxy");
            self.networks(&proxy.listen, &at.join("listen"));
            self.sources(&proxy.real_ip_from, &at.join("real_ip_from"));
            if let Some(provider) = proxy.acme.as_ref().and_then(|acme| acme.provider.as_ref()) {
                self.provider(provider, at.join("acme").join("provider"));
            }
        }
        if let Some(agents) = &host.agents {
            let at = at.join("agents");
            for (agent, _, bind) in agents.list() {
                if let Some(bind) = bind {
                    self.network(bind, &[LOCAL, ANY, PUBLIC], at.join(agent).join("bind"));
                }
            }
            if let Some(exporter) = &agents.postgres_exporter {
                self.cluster(&exporter.cluster, at.join("postgres_exporter").join("cluster"));
            }
        }
        if let Some(plan) = host.backup.as_ref().and_then(|backup| backup.plan.as_ref()) {
            self.in_map("backup plan", plan, &self.written.backups.plans, at.join("backup").join("plan"));
        }
        for (timer_name, timer) in &host.timers {
            self.values(timer.env.iter(), None, &at.join("timers").join(timer_name).join("env"));
        }
    }

    fn of_service(&mut self, name: &str, service: &Service) {
        let at = place([&"services", &name]);
        // The written list still has the hosts that are switched off; only unknown ones are wrong.
        for (index, host) in
            self.written.services.get(name).into_iter().flat_map(|service| service.host.iter().enumerate())
        {
            let at = if service.host.is_one() { at.join("host") } else { at.join("host").join(index) };
            self.in_map("host", host, &self.written.hosts, at);
        }
        for (port_name, port) in &service.ports {
            let at = at.join("ports").join(port_name);
            self.network(&port.bind, &[LOCAL, ANY, PUBLIC], at.join("bind"));
            self.container(service, port.container.as_deref(), &at);
        }
        for (index, route) in service.proxy.iter().enumerate() {
            self.of_route(service, route, &at.join("proxy").join(index));
        }
        for (index, expose) in service.expose.iter().enumerate() {
            let at = at.join("expose").join(index);
            self.networks(&expose.from, &at.join("from"));
            self.port(service, expose.port.as_deref(), &at);
            if let Some(via) = &expose.via {
                self.host(via, at.join("via"));
            }
        }
        for (key, nodes) in [("needs", &service.needs), ("wants", &service.wants)] {
            for (index, node) in nodes.iter().enumerate() {
                self.node(node, at.join(key).join(index));
            }
        }
        for (group, nodes) in service.needs_any.iter().enumerate() {
            for (index, node) in nodes.iter().enumerate() {
                self.node(node, at.join("needs_any").join(group).join(index));
            }
        }
        for (index, database) in service.databases.iter().enumerate() {
            let at = at.join("databases").join(index);
            match (&database.cluster, self.fleet.cluster_name(database.cluster.as_deref())) {
                (Some(cluster), _) => self.cluster(cluster, at.join("cluster")),
                (None, Some(_)) => {}
                (None, None) => {
                    let message = "the database does not say in which cluster it is, and there is not exactly one";
                    self.found.push(Finding::error("missing-key", at, message).fix("add \"cluster\""));
                }
            }
        }
        for (index, bucket) in service.buckets.iter().enumerate() {
            self.bucket(bucket, at.join("buckets").join(index));
        }
        if let Some(mailer) = &service.mailer {
            self.mailer(mailer, at.join("mailer"));
        }
        if let Some(sso) = &service.sso {
            self.in_map("single sign-on provider", &sso.provider, &self.written.sso, at.join("sso").join("provider"));
        }
        for (index, check) in service.health.iter().enumerate() {
            if check.port.is_some() {
                self.port(service, check.port.as_deref(), &at.join("health").join(index));
            }
        }
        for (index, metrics) in service.metrics.iter().enumerate() {
            let named = metrics.port.as_deref().or_else(|| service.ports.contains_key("metrics").then_some("metrics"));
            self.port(service, named, &at.join("metrics").join(index));
        }
        self.values(service.env.iter(), Some((name, service)), &at.join("env"));
        self.of_containers(name, service, &at);
    }

    fn of_route(&mut self, service: &Service, route: &Route, at: &Pointer) {
        self.networks(&route.from, &at.join("from"));
        if let Some(via) = &route.via {
            self.host(via, at.join("via"));
        }
        if let Some(tunnel) = &route.tunnel {
            self.in_map("tunnel", tunnel, &self.written.tunnels, at.join("tunnel"));
        }
        if let Some(network) = &route.backend.network {
            self.network(network, &[PUBLIC], at.join("backend").join("network"));
        }
        match &route.auth {
            Auth::Forward(forward) => {
                let at = at.join("auth").join("forward").join("provider");
                self.in_map("single sign-on provider", &forward.provider, &self.written.sso, at);
            }
            Auth::Access(policy) => {
                self.in_map("access policy", policy, &self.written.access, at.join("auth").join("access"));
            }
            Auth::None | Auth::Basic(_) => {}
        }
        let by_socket = route.fastcgi.as_ref().is_some_and(|spec| spec.socket.is_some());
        let passes_on = !matches!(service.run, Run::Static(_)) && route.redirect.is_none() && !by_socket;
        if passes_on || route.port.is_some() {
            self.port(service, route.port.as_deref(), at);
        }
    }

    /// A port of a service by its name, or the only one.
    fn port(&mut self, service: &Service, name: Option<&str>, at: &Pointer) {
        if service.port(name).is_some() || (name.is_none() && service.is_external() && service.ports.is_empty()) {
            return;
        }
        if let Some(name) = name {
            self.unknown("port", name, service.ports.keys().map(String::as_str), at.join("port"));
        } else {
            let fix = if service.ports.is_empty() {
                "add \"ports\": {\"http\": NUMBER} to the service".to_owned()
            } else {
                format!("add \"port\", one of {}", service.ports.keys().cloned().collect::<Vec<_>>().join(", "))
            };
            let message =
                "the service has no port \"http\" and not exactly one port, so it is not clear which is meant";
            self.found.push(Finding::error("unknown-ref", at.clone(), message).fix(fix));
        }
    }

    fn container(&mut self, service: &Service, name: Option<&str>, at: &Pointer) {
        let Run::Containers(containers) = &service.run else { return };
        match name {
            Some(name) => self.in_map("container", name, containers, at.join("container")),
            None if containers.len() > 1 => {
                let message = "the service has several containers, and the port does not say which listens";
                let names = containers.keys().cloned().collect::<Vec<_>>().join(", ");
                let fix = format!("add \"container\", one of {names}");
                self.found.push(Finding::error("missing-key", at.clone(), message).fix(fix));
            }
            None => {}
        }
    }

    fn of_containers(&mut self, service_name: &str, service: &Service, at: &Pointer) {
        let Run::Containers(containers) = &service.run else {
            if let Run::Container(container) = &service.run {
                let at = at.join("run").join("container").join("env");
                self.values(container.env.iter(), Some((service_name, service)), &at);
            }
            return;
        };
        for (name, container) in containers {
            let at = at.join("run").join("containers").join(name);
            for (index, other) in container.needs.iter().enumerate() {
                self.in_map("container", other, containers, at.join("needs").join(index));
            }
            self.values(container.env.iter(), Some((service_name, service)), &at.join("env"));
        }
    }

    /// What an environment refers to. What is of the service itself must be declared by it, so that it gets the secrets.
    fn values<'v>(
        &mut self,
        values: impl Iterator<Item = (&'v String, &'v Value)>,
        service: Option<(&str, &Service)>,
        at: &Pointer,
    ) {
        for (key, value) in values {
            let Value::Reference(reference) = value else { continue };
            let at = at.join(key);
            let Reference { service: other, database, bucket, mailer, sso, host, port, network, .. } = &**reference;
            if let Some(other) = other {
                self.service(other, at.join("service"));
                if let Some(service) = self.fleet.services.get(other).filter(|_| port.is_some()) {
                    self.port(service, port.as_deref(), &at);
                }
            }
            if let Some(host) = host {
                self.host(host, at.join("host"));
            }
            if let Some(network) = network {
                self.network(network, &[PUBLIC], at.join("network"));
            }
            let Some((service_name, service)) = service else { continue };
            let mut own = |what: &dyn Display, key: &str, name: &Option<String>, known: Vec<&str>| {
                if let Some(name) = name.as_deref().filter(|name| !known.contains(name)) {
                    let what = format!("{what} of this service");
                    self.unknown(&what, name, known.into_iter(), at.join(key));
                }
            };
            let databases: Vec<String> =
                service.databases.iter().map(|database| database.name_or(service_name)).collect();
            own(&"database", "database", database, databases.iter().map(String::as_str).collect());
            own(&"bucket", "bucket", bucket, service.buckets.iter().map(String::as_str).collect());
            own(&"mailer", "mailer", mailer, service.mailer.iter().map(String::as_str).collect());
            own(&"single sign-on provider", "sso", sso, service.sso.iter().map(|sso| sso.provider.as_str()).collect());
        }
    }
}
