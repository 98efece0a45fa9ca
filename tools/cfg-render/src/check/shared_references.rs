//! Names that lead somewhere: those that stand outside of hosts and services.

use contract::Finding;

use super::context::{Context, place};
use super::references::Names;
use crate::fleet::{ANY, LOCAL, Monitoring, PUBLIC};

/// `unknown-ref`, `disabled-ref` in everything that hosts and services share.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let mut names = Names { written: context.written, fleet: context.fleet, found };
    names.of_databases();
    names.of_dns();
    names.of_tunnels_and_access();
    names.of_backups();
    names.of_monitoring(&context.fleet.monitoring);
    names.of_the_rest();
}

impl Names<'_, '_> {
    fn of_databases(&mut self) {
        for (name, cluster) in &self.fleet.databases {
            let at = place([&"databases", name]);
            for (key, host) in [("host", &cluster.host), ("run_on", &cluster.run_on)] {
                if let Some(host) = host {
                    self.host(host, at.join(key));
                }
            }
            for (index, network) in cluster.bind.iter().enumerate() {
                self.network(network, &[LOCAL, ANY, PUBLIC], at.join("bind").join(index));
            }
            for (index, network) in cluster.pgbouncer.iter().flat_map(|pooler| &pooler.bind).enumerate() {
                self.network(network, &[LOCAL, ANY, PUBLIC], at.join("pgbouncer").join("bind").join(index));
            }
            self.networks(&cluster.hba.networks, &at.join("hba").join("networks"));
            if let Some(network) = cluster.external.as_ref().and_then(|external| external.network.as_ref()) {
                self.network(network, &[PUBLIC], at.join("external").join("network"));
            }
        }
    }

    fn of_dns(&mut self) {
        for (name, zone) in &self.fleet.dns.zones {
            let at = place([&"dns", &"zones", name]);
            match &zone.provider {
                Some(provider) => self.provider(provider, at.join("provider")),
                None if self.fleet.dns.providers.len() == 1 => {}
                None => {
                    let message =
                        format!("zone {name} does not say who keeps it, and there is not exactly one provider");
                    self.found.push(Finding::error("missing-key", at.clone(), message).fix("add \"provider\""));
                }
            }
            if let Some(network) = &zone.network {
                self.network(network, &[PUBLIC], at.join("network"));
            }
            if let Some(host) = &zone.wildcard {
                self.host(host, at.join("wildcard"));
            }
            for (network, view) in &zone.views {
                let at = at.join("views").join(network);
                self.network(network, &[], at.clone());
                self.provider(&view.provider, at.join("provider"));
                if let Some(host) = &view.wildcard {
                    self.host(host, at.join("wildcard"));
                }
            }
        }
    }

    fn of_tunnels_and_access(&mut self) {
        for (name, tunnel) in &self.fleet.tunnels {
            let at = place([&"tunnels", name]);
            self.host(&tunnel.host, at.join("host"));
            if let Some(provider) = &tunnel.provider {
                self.provider(provider, at.join("provider"));
            }
        }
        for (name, policy) in &self.fleet.access {
            let at = place([&"access", name]);
            self.people(&policy.people, &policy.groups, &at, "groups");
            if let Some(provider) = &policy.provider {
                self.provider(provider, at.join("provider"));
            }
        }
    }

    fn of_backups(&mut self) {
        for (name, plan) in &self.fleet.backups.plans {
            let at = place([&"backups", &"plans", name, &"repositories"]);
            for (index, repository) in plan.repositories.iter().enumerate() {
                if !self.fleet.backups.repositories.contains_key(repository) {
                    let known = self.fleet.backups.repositories.keys().map(String::as_str);
                    self.unknown("repository", repository, known, at.join(index));
                }
            }
        }
        for (name, repository) in &self.fleet.backups.repositories {
            if let Some(bucket) = &repository.bucket {
                self.bucket(bucket, place([&"backups", &"repositories", name, &"bucket"]));
            }
        }
    }

    fn of_monitoring(&mut self, monitoring: &Monitoring) {
        let at = place([&"monitoring"]);
        if let Some(network) = &monitoring.network {
            self.network(network, &[LOCAL, PUBLIC], at.join("network"));
        }
        let roles = [
            ("prometheus", "service", monitoring.prometheus.as_ref().map(|role| &role.service)),
            ("alertmanager", "service", monitoring.alertmanager.as_ref().map(|role| &role.service)),
            ("grafana", "service", monitoring.grafana.as_ref().map(|role| &role.service)),
            ("loki", "service", monitoring.loki.as_ref().map(|role| &role.service)),
            ("zabbix", "server", monitoring.zabbix.as_ref().map(|role| &role.server)),
            ("zabbix", "web", monitoring.zabbix.as_ref().and_then(|role| role.web.as_ref())),
        ];
        for (role, key, service) in roles {
            if let Some(service) = service {
                self.service(service, at.join(role).join(key));
            }
        }
        if let Some(role) = &monitoring.alertmanager {
            let at = at.join("alertmanager");
            self.people(&role.people, &role.groups, &at, "groups");
            if let Some(mailer) = &role.mailer {
                self.mailer(mailer, at.join("mailer"));
            }
        }
        if let Some(bucket) = monitoring.loki.as_ref().and_then(|role| role.bucket.as_ref()) {
            self.bucket(bucket, at.join("loki").join("bucket"));
        }
    }

    fn of_the_rest(&mut self) {
        let fleet = self.fleet;
        for (name, provider) in &fleet.sso {
            self.service(&provider.service, place([&"sso", name, &"service"]));
        }
        for (name, mailer) in &fleet.mailers {
            if let Some(service) = &mailer.service {
                self.service(service, place([&"mailers", name, &"service"]));
            }
        }
        if let Some(portal) = &fleet.portal {
            self.service(&portal.service, place([&"portal", &"service"]));
        }
        for (name, operation) in &fleet.operations {
            let at = place([&"operations", name]);
            if let Some(host) = &operation.host {
                self.host(host, at.join("host"));
            }
            for (key, service) in
                [("restart", &operation.restart), ("status", &operation.status), ("logs", &operation.logs)]
            {
                if let Some(service) = service {
                    self.service(service, at.join(key));
                }
            }
        }
        for (step, hosts) in fleet.rollout.order.iter().enumerate() {
            for (index, host) in hosts.iter().enumerate() {
                // A host that is switched off keeps its place.
                if !self.written.hosts.contains_key(host) {
                    self.host(host, place([&"rollout", &"order", &step, &index]));
                }
            }
        }
        for (name, secret) in &fleet.secrets {
            for (index, host) in secret.hosts.iter().enumerate() {
                self.host(host, place([&"secrets", name, &"hosts", &index]));
            }
        }
    }
}
