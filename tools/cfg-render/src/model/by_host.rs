//! What concerns a host, found once for all of them: a fleet of many hosts is asked the same for each.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use super::{Model, Scrape};
use crate::fleet::{Edge, Fleet, ResolvedRoute, Service};

type Named<'f> = (&'f str, &'f Service);

/// Services by the hosts that they concern, and proxy entries likewise.
#[derive(Debug)]
pub(super) struct ByHost<'f> {
    running: BTreeMap<&'f str, Vec<Named<'f>>>,
    exposing: BTreeMap<&'f str, Vec<Named<'f>>>,
    routes: OnceLock<Vec<ResolvedRoute<'f>>>,
    routes_at: OnceLock<BTreeMap<&'f str, Vec<usize>>>,
    scrapes_at: OnceLock<BTreeMap<String, Vec<usize>>>,
}

impl<'f> ByHost<'f> {
    pub(super) fn of(fleet: &'f Fleet) -> Self {
        let mut running: BTreeMap<&str, Vec<Named<'f>>> = BTreeMap::new();
        let mut exposing: BTreeMap<&str, Vec<Named<'f>>> = BTreeMap::new();
        for (name, service) in &fleet.services {
            let named = (name.as_str(), &**service);
            for host in &service.host {
                add(&mut running, host, named);
            }
            for expose in &service.expose {
                for host in service.host.iter().chain(&expose.via) {
                    add(&mut exposing, host, named);
                }
            }
        }
        Self { running, exposing, routes: OnceLock::new(), routes_at: OnceLock::new(), scrapes_at: OnceLock::new() }
    }
}

/// Services come by name, so that one that is there already is the last.
fn add<'f>(map: &mut BTreeMap<&'f str, Vec<Named<'f>>>, host: &'f str, named: Named<'f>) {
    let list = map.entry(host).or_default();
    if list.last().is_none_or(|(last, _)| *last != named.0) {
        list.push(named);
    }
}

impl<'f> Model<'f> {
    /// The services of a host.
    pub fn services_on(&self, host: &str) -> impl Iterator<Item = (&'f str, &'f Service)> + '_ {
        self.by_host.running.get(host).into_iter().flatten().copied()
    }

    /// The services with raw ports that are open on a host, on which they run or which passes them on.
    pub fn exposing_at(&self, host: &str) -> impl Iterator<Item = (&'f str, &'f Service)> + '_ {
        self.by_host.exposing.get(host).into_iter().flatten().copied()
    }

    /// All proxy entries.
    pub fn routes(&self) -> &[ResolvedRoute<'f>] {
        self.by_host.routes.get_or_init(|| self.fleet.routes())
    }

    /// The proxy entries that a host takes, and those of its services that another takes.
    pub fn routes_at(&self, host: &str) -> impl Iterator<Item = &ResolvedRoute<'f>> {
        let routes = self.routes();
        let all = self.by_host.routes_at.get_or_init(|| {
            let mut at: BTreeMap<&'f str, Vec<usize>> = BTreeMap::new();
            for (index, route) in routes.iter().enumerate() {
                let edge = if let Edge::Host(edge) = route.edge { Some(edge) } else { None };
                for host in route.hosts.iter().copied().chain(edge) {
                    let list = at.entry(host).or_default();
                    if list.last() != Some(&index) {
                        list.push(index);
                    }
                }
            }
            at
        });
        all.get(host).into_iter().flatten().filter_map(|index| routes.get(*index))
    }

    /// What Prometheus asks of a host.
    pub fn scrapes_at(&self, host: &str) -> impl Iterator<Item = &Scrape> {
        let scrapes = self.scrapes();
        let all = self.by_host.scrapes_at.get_or_init(|| {
            let mut at: BTreeMap<String, Vec<usize>> = BTreeMap::new();
            for (index, scrape) in scrapes.iter().enumerate() {
                if let Some((host, _)) = &scrape.on {
                    at.entry(host.clone()).or_default().push(index);
                }
            }
            at
        });
        all.get(host).into_iter().flatten().filter_map(|index| scrapes.get(*index))
    }
}
