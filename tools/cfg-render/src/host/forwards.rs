//! Ports of services on other hosts that this host takes connections for: bytes are passed on by systemd's own proxy, which
//! starts with the first connection and holds no rights.

use contract::Finding;
use contract::document::{Handler, Stage};

use super::HostBuilder;
use crate::fleet::{ANY, LOCAL, PUBLIC, Proto};
use crate::format::systemd::UnitFile;
use crate::model::Model;

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    for (name, service) in model.exposing_at(&host.name) {
        for (index, expose) in service.expose.iter().enumerate() {
            let here = service.host.iter().any(|own| *own == host.name);
            if expose.via.as_deref() != Some(&host.name) || here {
                continue;
            }
            let at = Model::service_at(name).join("expose").join(index);
            let Some((port_name, port)) = service.port(expose.port.as_deref()) else { continue };
            if port.proto != Proto::Tcp {
                builder.missing(at.clone(), "the forwarding of UDP through another host");
                if port.proto == Proto::Udp {
                    continue;
                }
            }
            let target = model.hosts_of(service).next();
            let address = target.and_then(|target| model.address_between(Some(host), target, &port.bind));
            let Some(address) = address else {
                let message = format!("host \"{}\" has no way to service \"{name}\"", host.name);
                let finding = Finding::error("unreachable-upstream", at, message);
                builder.findings.push(finding.fix("bind the port to a network that both hosts share"));
                continue;
            };
            let outer = expose.on_port.unwrap_or(port.port);
            let stem = format!("forward-{name}-{port_name}");
            let from = [at];
            let mut socket =
                UnitFile::new().set("Unit", "Description", format!("Connections for {name} on another host"));
            // Only where they may come from: a name for the overlay must not open the port to the internet.
            let everywhere = expose.from.iter().any(|network| network == PUBLIC || network == ANY);
            if everywhere {
                socket.push("Socket", "ListenStream", outer.to_string());
            } else {
                for network in expose.from.iter().filter(|network| *network != LOCAL) {
                    for address in host.spec.addresses.get(network).into_iter().flatten() {
                        socket.push("Socket", "ListenStream", std::net::SocketAddr::new(*address, outer).to_string());
                    }
                }
                // An overlay's address may come after us.
                socket.push("Socket", "FreeBind", "yes");
            }
            let socket = socket.set("Socket", "NoDelay", "yes").set("Install", "WantedBy", "sockets.target");
            let target = std::net::SocketAddr::new(address, port.port);
            let service = UnitFile::new()
                .set("Unit", "Description", format!("Bytes to {name} on another host"))
                .set("Unit", "Requires", format!("{stem}.socket"))
                .set("Unit", "After", format!("{stem}.socket network-online.target"))
                .set("Service", "Type", "notify")
                .set("Service", "ExecStart", format!("/usr/lib/systemd/systemd-socket-proxyd {target}"))
                .set("Service", "DynamicUser", "yes")
                .set("Service", "NoNewPrivileges", "yes")
                .set("Service", "ProtectSystem", "strict")
                .set("Service", "ProtectHome", "yes")
                .set("Service", "PrivateTmp", "yes")
                .set("Service", "PrivateDevices", "yes")
                .set("Service", "CapabilityBoundingSet", "")
                .set("Service", "RestrictAddressFamilies", "AF_UNIX AF_INET AF_INET6");
            for (end, unit, restarts) in [("socket", socket, true), ("service", service, false)] {
                let unit_name = format!("{stem}.{end}");
                let text = builder.header("#", &from) + &unit.write();
                let mut file = builder.file(Stage::Services, &format!("/etc/systemd/system/{unit_name}"), text, &from);
                if restarts {
                    file = file.notify(Handler::restart(&unit_name));
                }
                file.add(builder);
            }
            builder.unit(Stage::Services, &format!("{stem}.socket"), &from);
        }
    }
}
