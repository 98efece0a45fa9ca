//! `health.checks`: what can be seen of the fleet from somewhere, and what depends on what.

mod inside;
mod outside;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

use contract::document::{HealthCheck, HealthChecks};

use crate::model::{HostView, Model};

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
        Vantage::Controller => checks.see_from_outside(),
        Vantage::Host(host) => checks.see_from_host(host),
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

impl Checks<'_, '_> {
    pub(super) fn add(&mut self, check: HealthCheck) {
        self.all.entry(check.id.clone()).or_insert(check);
    }
    /// Edges lead only to checks that exist, seen from here or told by a host.
    pub(super) fn keep_known_edges(&mut self) {
        let known: BTreeSet<String> = self.all.keys().chain(&self.elsewhere).cloned().collect();
        for check in self.all.values_mut() {
            let prefix = |name: &String| {
                if known.contains(name) {
                    vec![name.clone()]
                } else {
                    known.iter().filter(|id| id.starts_with(&format!("{name}."))).cloned().collect()
                }
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
fn socket(address: IpAddr, port: u16) -> String {
    SocketAddr::new(address, port).to_string()
}
