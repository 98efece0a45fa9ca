//! Ports of services on other hosts that a host takes connections for.

use std::net::{IpAddr, SocketAddr};

use contract::{Finding, Pointer};

use super::{HostView, Model};
use crate::fleet::{ANY, LOCAL, PUBLIC, Proto};

/// A port that a host passes on to another.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// The service behind it.
    pub service: String,
    /// The port's name.
    pub port: String,
    /// What is passed on.
    pub proto: Proto,
    /// The port on this host.
    pub outer: u16,
    /// Addresses of this host on which it listens; empty for all of them.
    pub listen: Vec<IpAddr>,
    /// Where the service is.
    pub target: SocketAddr,
    /// Where it stands in the fleet.
    pub at: Pointer,
}

impl Model<'_> {
    /// What a host passes on, and what it cannot.
    pub fn forwards(&self, host: &HostView) -> (Vec<Forward>, Vec<Finding>) {
        let (mut all, mut findings) = (Vec::new(), Vec::new());
        for (name, service) in self.exposing_at(&host.name) {
            for (index, expose) in service.expose.iter().enumerate() {
                let here = service.host.iter().any(|own| *own == host.name);
                if expose.via.as_deref() != Some(&host.name) || here {
                    continue;
                }
                let at = Self::service_at(name).join("expose").join(index);
                let Some((port_name, port)) = service.port(expose.port.as_deref()) else { continue };
                let target = self.hosts_of(service).next();
                let Some(address) = target.and_then(|target| self.address_between(Some(host), target, &port.bind))
                else {
                    let message = format!("host \"{}\" has no way to service \"{name}\"", host.name);
                    let finding = Finding::error("unreachable-upstream", at, message);
                    findings.push(finding.fix("bind the port to a network that both hosts share"));
                    continue;
                };
                // Only where they may come from: a name for the overlay must not open the port to the internet.
                let everywhere = expose.from.iter().any(|network| network == PUBLIC || network == ANY);
                let networks = expose.from.iter().filter(|network| *network != LOCAL && !everywhere);
                let listen = networks
                    .flat_map(|network| host.spec.addresses.get(network).into_iter().flatten())
                    .copied()
                    .collect();
                all.push(Forward {
                    service: name.to_owned(),
                    port: port_name.to_owned(),
                    proto: port.proto,
                    outer: expose.on_port.unwrap_or(port.port),
                    listen,
                    target: SocketAddr::new(address, port.port),
                    at,
                });
            }
        }
        (all, findings)
    }
}
