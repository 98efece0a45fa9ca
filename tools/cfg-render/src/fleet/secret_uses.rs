//! Who uses which secret.

use std::collections::{BTreeMap, BTreeSet};

use contract::{Pointer, SecretName, placeholders};

use super::{Acme, AcmeChallenge, Edge, Fleet, ResolvedRoute, RouteName, Step, TlsMode, Value, visit_texts};

/// That a secret is mentioned somewhere, and who gets it because of that.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct SecretUse {
    /// The secret.
    pub secret: SecretName,
    /// Who gets it.
    pub holder: Holder,
    /// The service that uses it, if one does.
    pub service: Option<String>,
    /// Where it is mentioned.
    pub place: Pointer,
}

/// Who gets a secret.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Holder {
    /// A host.
    Host(String),
    /// The machine from which the fleet is managed.
    Controller,
}

impl Fleet {
    /// Every place that mentions a secret, once for each holder. Found by walking the document, so that no place can be
    /// forgotten when a type grows. To be asked of the resolved fleet.
    pub fn secret_uses(&self) -> Vec<SecretUse> {
        self.secret_uses_with(&self.routes())
    }

    /// The same for whoever knows the proxy entries already.
    pub(crate) fn secret_uses_with(&self, routes: &[ResolvedRoute<'_>]) -> Vec<SecretUse> {
        let users = Users::of(self);
        let mut found = Vec::new();
        for (path, name) in mentions(self) {
            let place = path.iter().fold(Pointer::root(), |place, key| place.join(key));
            let mut add = |holder, service: Option<&str>| {
                let service = service.map(str::to_owned);
                found.push(SecretUse { secret: name.clone(), holder, service, place: place.clone() });
            };
            let keys: Vec<&str> = path.iter().map(String::as_str).collect();
            match keys.as_slice() {
                ["services", service, "proxy", index, ..] => {
                    for edge in self.edges_of(service, index) {
                        add(Holder::Host(edge.into()), Some(service));
                    }
                }
                ["services", service, rest @ ..] => {
                    for host in self.hosts_of(service) {
                        add(Holder::Host(host.into()), Some(service));
                    }
                    match rest {
                        // Whoever makes the roles sets their passwords.
                        ["databases", index, ..] => {
                            let database =
                                self.services.get(*service).and_then(|s| s.databases.get(index.parse::<usize>().ok()?));
                            let named = database.and_then(|database| database.cluster.as_deref());
                            add(self.manager_of(self.cluster_name(named)), None);
                        }
                        ["health", ..] => add(Holder::Controller, None),
                        // The provider knows the secrets of its clients.
                        ["sso", ..] => {
                            let sso = self.services.get(*service).and_then(|service| service.sso.as_ref());
                            let provider = sso.and_then(|sso| self.sso.get(&sso.provider));
                            for host in provider.iter().flat_map(|provider| self.hosts_of(&provider.service)) {
                                add(Holder::Host(host.into()), Some(service));
                            }
                        }
                        // Whoever asks for the metrics shows the token.
                        ["metrics", ..] => {
                            let prometheus = self.monitoring.prometheus.as_ref();
                            for host in prometheus.iter().flat_map(|role| self.hosts_of(&role.service)) {
                                add(Holder::Host(host.into()), Some(service));
                            }
                        }
                        _ => {}
                    }
                }
                ["hosts", host, rest @ ..] => {
                    add(Holder::Host((*host).into()), None);
                    match rest {
                        ["agents", "postgres_exporter", ..] => {
                            let agents = self.hosts.get(*host).and_then(|host| host.agents.as_ref());
                            let exporter = agents.and_then(|agents| agents.postgres_exporter.as_ref());
                            add(self.manager_of(exporter.map(|exporter| exporter.cluster.as_str())), None);
                        }
                        ["health", ..] => add(Holder::Controller, None),
                        _ => {}
                    }
                }
                ["dns", "providers", provider, ..] => {
                    add(Holder::Controller, None);
                    for (host, service) in self.proving_by(provider, routes) {
                        add(Holder::Host(host.into()), Some(service));
                    }
                }
                _ => {
                    for (host, service) in users.of_place(self, &keys) {
                        match host {
                            Some(host) => add(Holder::Host(host), service.as_deref()),
                            None => add(Holder::Controller, None),
                        }
                    }
                }
            }
        }
        for (name, secret) in &self.secrets {
            let place = Pointer::root().join("secrets").join(name).join("hosts");
            found.extend(secret.hosts.iter().enumerate().map(|(index, host)| SecretUse {
                secret: name.clone(),
                holder: Holder::Host(host.clone()),
                service: None,
                place: place.join(index),
            }));
        }
        found.sort();
        found.dedup();
        found
    }

    /// Who manages a cluster's roles and databases.
    pub fn manager_of(&self, cluster: Option<&str>) -> Holder {
        let cluster = cluster.and_then(|name| self.databases.get(name));
        let host = cluster.and_then(|cluster| cluster.run_on.as_ref().or(cluster.host.as_ref()));
        host.map_or(Holder::Controller, |host| Holder::Host(host.clone()))
    }

    /// The hosts that take the requests of a proxy entry.
    fn edges_of(&self, service: &str, index: &str) -> Vec<&str> {
        let Some(service) = self.services.get(service) else { return Vec::new() };
        let via = index.parse::<usize>().ok().and_then(|index| service.proxy.get(index)?.via.as_deref());
        via.map_or_else(|| service.host.iter().map(String::as_str).collect(), |via| vec![via])
    }

    /// Hosts whose proxy proves names of a service through this DNS provider with the provider's own token.
    fn proving_by<'r>(&self, provider: &str, routes: &'r [ResolvedRoute<'_>]) -> BTreeSet<(&'r str, &'r str)> {
        let mut proving = BTreeSet::new();
        for route in routes {
            let Edge::Host(edge) = route.edge else { continue };
            let acme = self.hosts.get(edge).and_then(|host| host.proxy.as_ref()?.acme.as_ref());
            let always = acme.is_some_and(|acme| acme.challenge == AcmeChallenge::Dns01);
            let by_dns = |name: &&RouteName| name.tls == TlsMode::AcmeDns || (always && name.tls == TlsMode::Acme);
            let own = acme.is_some_and(|acme| acme.token.is_some());
            let named = route.names.iter().find(by_dns).filter(|_| !own);
            if named.is_some_and(|name| self.acme_provider(acme, &name.name) == Some(provider)) {
                proving.insert((edge, route.service));
            }
        }
        proving
    }

    /// The DNS provider through which a name is proven: the one that the proxy names, that of the name's zone, or the only
    /// one.
    pub(crate) fn acme_provider<'a>(&'a self, acme: Option<&'a Acme>, name: &str) -> Option<&'a str> {
        let only = || self.dns.providers.keys().next().filter(|_| self.dns.providers.len() == 1).map(String::as_str);
        let name = name.trim_start_matches("*.");
        let zones = self.dns.zones.iter().filter(|(zone, _)| super::name_in_zone(name, zone).is_some());
        let of_zone = zones.max_by_key(|(zone, _)| zone.len()).and_then(|(_, zone)| zone.provider.as_deref());
        acme.and_then(|acme| acme.provider.as_deref()).or(of_zone).or_else(only)
    }

    fn hosts_of(&self, service: &str) -> impl Iterator<Item = &str> {
        self.services.get(service).into_iter().flat_map(|service| service.host.iter().map(String::as_str))
    }
}

/// Finds `{"secret": NAME}`, names in lists of secrets, and placeholders, each with the keys of its place.
fn mentions(fleet: &Fleet) -> Vec<(Vec<String>, SecretName)> {
    let mut found = Vec::new();
    visit_texts(fleet, |way, text| {
        // The top-level map says what secrets are, not who uses them.
        if way.first().and_then(Step::key) == Some("secrets") {
            return;
        }
        let direct = way.last().and_then(Step::key) == Some("secret");
        let listed =
            matches!(way, [_, .., Step::Key(key, _), Step::Index(_)] if key == "secrets" || key == "env_secrets");
        if !direct && !listed && !text.contains(contract::PLACEHOLDER_START) {
            return;
        }
        let names: Vec<&str> =
            if listed || direct { vec![text] } else { placeholders(text).map(|(_, name)| name).collect() };
        // `{"secret": NAME}` is one thing: its place is the object.
        let place = if direct { &way[..way.len() - 1] } else { way };
        let place: Vec<String> = place.iter().map(ToString::to_string).collect();
        found.extend(names.into_iter().filter_map(|name| Some((place.clone(), name.parse().ok()?))));
    });
    found
}

/// Who uses the things that stand outside of hosts and services: a host with the service, or `None` for the controller.
struct Users<'a> {
    buckets: BTreeMap<&'a str, BTreeSet<User>>,
    mailers: BTreeMap<&'a str, BTreeSet<User>>,
    people: BTreeMap<&'a str, BTreeSet<String>>,
}

type User = (Option<String>, Option<String>);

impl<'a> Users<'a> {
    fn of(fleet: &'a Fleet) -> Self {
        let mut users = Self { buckets: BTreeMap::new(), mailers: BTreeMap::new(), people: BTreeMap::new() };
        for (name, service) in &fleet.services {
            let pairs = || service.host.iter().map(|host| (Some(host.clone()), Some(name.clone())));
            for bucket in &service.buckets {
                users.buckets.entry(bucket).or_default().extend(pairs());
            }
            if let Some(mailer) = &service.mailer {
                users.mailers.entry(mailer).or_default().extend(pairs());
            }
            let containers = service.run.containers().into_iter().flat_map(|(_, container)| container.env.values());
            for value in service.env.values().chain(containers) {
                let Value::Reference(reference) = value else { continue };
                if let Some(bucket) = &reference.bucket {
                    users.buckets.entry(bucket).or_default().extend(pairs());
                }
                if let Some(mailer) = &reference.mailer {
                    users.mailers.entry(mailer).or_default().extend(pairs());
                }
            }
        }
        let alerts = fleet.monitoring.alertmanager.iter();
        for (mailer, service) in alerts.filter_map(|role| Some((role.mailer.as_ref()?, &role.service))) {
            let pairs = fleet.hosts_of(service).map(|host| (Some(host.to_owned()), Some(service.clone())));
            users.mailers.entry(mailer).or_default().extend(pairs);
        }
        let loki = fleet.monitoring.loki.iter();
        for (bucket, service) in loki.filter_map(|role| Some((role.bucket.as_ref()?, &role.service))) {
            let pairs = fleet.hosts_of(service).map(|host| (Some(host.to_owned()), Some(service.clone())));
            users.buckets.entry(bucket).or_default().extend(pairs);
        }
        for (name, repository) in &fleet.backups.repositories {
            if let Some(bucket) = &repository.bucket {
                let hosts = fleet.hosts_backed_up_to(name).into_iter().map(|host| (Some(host.to_owned()), None));
                users.buckets.entry(bucket).or_default().extend(hosts);
            }
        }
        users.add_people(fleet);
        users
    }

    /// People whose keys may log in to a host.
    fn add_people(&mut self, fleet: &'a Fleet) {
        for (name, host) in &fleet.hosts {
            let ssh = host.ssh.iter().map(|ssh| (&ssh.people, &ssh.groups));
            let logins = host.users.values().map(|user| (&user.people, &user.people_groups));
            for (people, groups) in ssh.chain(logins) {
                for (person, entry) in &fleet.people {
                    if people.contains(person) || entry.groups.iter().any(|group| groups.contains(group)) {
                        self.people.entry(person).or_default().insert(name.clone());
                    }
                }
            }
        }
    }

    fn of_place(&self, fleet: &Fleet, keys: &[&str]) -> Vec<User> {
        let pairs = |map: &BTreeMap<&str, BTreeSet<User>>, name: &str| -> Vec<User> {
            map.get(name).into_iter().flatten().cloned().collect()
        };
        let of_service = |service: &str| -> Vec<User> {
            fleet.hosts_of(service).map(|host| (Some(host.to_owned()), Some(service.to_owned()))).collect()
        };
        let hosts =
            |hosts: Vec<&str>| -> Vec<User> { hosts.into_iter().map(|host| (Some(host.to_owned()), None)).collect() };
        let monitoring = &fleet.monitoring;
        match keys {
            ["buckets", name, ..] => pairs(&self.buckets, name),
            ["mailers", name, ..] => pairs(&self.mailers, name),
            ["people", name, ..] => {
                let hosts = self.people.get(name).into_iter().flatten();
                hosts.map(|host| (Some(host.clone()), None)).collect()
            }
            ["networks", name, ..] => {
                let members = fleet.hosts.iter().filter(|(_, host)| host.addresses.contains_key(*name));
                hosts(members.map(|(name, _)| name.as_str()).collect())
            }
            ["databases", name, ..] => {
                vec![match fleet.manager_of(Some(*name)) {
                    Holder::Host(host) => (Some(host), None),
                    Holder::Controller => (None, None),
                }]
            }
            ["tunnels", name, ..] => {
                hosts(fleet.tunnels.get(*name).map(|tunnel| tunnel.host.as_str()).into_iter().collect())
            }
            ["backups", "repositories", name, ..] => hosts(fleet.hosts_backed_up_to(name)),
            ["monitoring", "prometheus", ..] => {
                monitoring.prometheus.as_ref().map_or_else(Vec::new, |role| of_service(&role.service))
            }
            ["monitoring", "alertmanager", ..] => {
                monitoring.alertmanager.as_ref().map_or_else(Vec::new, |role| of_service(&role.service))
            }
            ["monitoring", "grafana", ..] => {
                monitoring.grafana.as_ref().map_or_else(Vec::new, |role| of_service(&role.service))
            }
            ["monitoring", "loki", ..] => {
                monitoring.loki.as_ref().map_or_else(Vec::new, |role| of_service(&role.service))
            }
            _ => vec![(None, None)],
        }
    }
}

impl Fleet {
    /// The plan of a host: the one that it names, or the only one. None where nothing of it is backed up.
    pub fn backup_plan_of(&self, host: &str) -> Option<&str> {
        let plans = &self.backups.plans;
        let backup = self.hosts.get(host)?.backup.as_ref();
        if backup.is_some_and(|backup| backup.none.is_some()) {
            return None;
        }
        let only = plans.keys().next().filter(|_| plans.len() == 1);
        backup.and_then(|backup| backup.plan.as_deref()).or(only.map(String::as_str))
    }

    /// The repositories of a plan: those that it names, or all.
    pub fn repositories_of(&self, plan: &str) -> Vec<&str> {
        match self.backups.plans.get(plan) {
            Some(plan) if !plan.repositories.is_empty() => plan.repositories.iter().map(String::as_str).collect(),
            Some(_) => self.backups.repositories.keys().map(String::as_str).collect(),
            None => Vec::new(),
        }
    }

    fn hosts_backed_up_to(&self, repository: &str) -> Vec<&str> {
        let hosts = self.hosts.keys().map(String::as_str);
        hosts
            .filter(|host| {
                self.backup_plan_of(host).is_some_and(|plan| self.repositories_of(plan).contains(&repository))
            })
            .collect()
    }
}
