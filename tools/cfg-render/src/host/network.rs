//! The network of a host: systemd-networkd on Debian and on Ubuntu, where netplan's own files give way to it by their order.
//!
//! Everything here could cut the owner off. The paths and units are among those for which whoever applies the document
//! arms its rollback, so that a mistake is taken back when nobody comes in any more.

use contract::Pointer;
use contract::document::{Handler, HostItem, Stage, Unit};
use ipnet::IpNet;

use super::HostBuilder;
use crate::fleet::{DhcpNetwork, HostNetwork, OsFamily, StaticNetwork};
use crate::format::systemd::UnitFile;
use crate::format::{Unrepresentable, Written};

/// The first file that fits an interface counts (systemd.network(5)): it sorts before those of cloud-init and netplan.
const FILE: &str = "/etc/systemd/network/05-plumbline.network";

/// Wired interfaces, by the names that kernels and udev give them.
const WIRED: &str = "en* eth*";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let host = builder.host;
    let at = host.at("network");
    let from = [at.clone()];
    let unit = match &host.spec.network {
        None | Some(HostNetwork::Unmanaged(_)) => return,
        Some(HostNetwork::Dhcp(spec)) => dhcp(builder, spec, &at),
        Some(HostNetwork::Static(spec)) => fixed(builder, spec, &at),
    };
    let Some(unit) = unit else { return };
    let text = builder.header("#", &from) + &unit.write();
    builder.file(Stage::Base, FILE, text, &from).notify(Handler::restart("systemd-networkd.service")).add(builder);
    // Name servers are resolved's matter: without it those of a DHCP server go nowhere.
    if host.os.family == OsFamily::Debian && host.os.release != "11" {
        builder.packages(Stage::Base, &["systemd-resolved"], &at);
    }
    builder.unit(Stage::Base, "systemd-resolved.service", &from);
    builder.unit(Stage::Base, "systemd-networkd.service", &from);
    others_give_way(builder, &from);
}

/// At the next boot nobody else configures the interfaces. What runs now is left alone: to stop it would take the
/// addresses away.
fn others_give_way(builder: &mut HostBuilder<'_, '_>, from: &[Pointer]) {
    for folder in ["/etc/cloud", "/etc/cloud/cloud.cfg.d"] {
        builder.directory(Stage::Base, folder, 0o755, "root", "root", from);
    }
    let text = builder.header("#", from) + "network: {config: disabled}\n";
    builder.file(Stage::Base, "/etc/cloud/cloud.cfg.d/99-plumbline-network.cfg", text, from).add(builder);
    if builder.host.os.family == OsFamily::Debian {
        builder.push(HostItem {
            id: "unit:networking.service".into(),
            stage: Stage::Base,
            from: from.to_vec(),
            unit: Some(Unit { name: "networking.service".into(), enabled: Some(false), ..Unit::default() }),
            ..HostItem::default()
        });
    }
}

fn dhcp(builder: &mut HostBuilder<'_, '_>, spec: &DhcpNetwork, at: &Pointer) -> Option<UnitFile> {
    let name = match &spec.interface {
        Some(interface) => builder.fit(interface_name(interface), &at.join("dhcp").join("interface"))?.to_owned(),
        None => WIRED.to_owned(),
    };
    let mut unit =
        UnitFile::new().set("Match", "Name", name).set("Match", "Type", "ether").set("Network", "DHCP", "yes");
    for server in &spec.nameservers {
        unit.push("Network", "DNS", server.to_string());
    }
    if !spec.nameservers.is_empty() {
        for section in ["DHCPv4", "DHCPv6", "IPv6AcceptRA"] {
            unit.push(section, "UseDNS", "no");
        }
    }
    Some(unit)
}

fn fixed(builder: &mut HostBuilder<'_, '_>, spec: &StaticNetwork, at: &Pointer) -> Option<UnitFile> {
    let at = at.join("static");
    let name = builder.fit(interface_name(&spec.interface), &at.join("interface"))?.to_owned();
    let mut unit = UnitFile::new().set("Match", "Name", name);
    let mut networks: Vec<IpNet> = Vec::new();
    for (index, address) in spec.addresses.iter().enumerate() {
        let parsed: Written<IpNet> = address
            .parse()
            .map_err(|_| Unrepresentable::new("an address", "a text that is no address with a prefix length"));
        let network = builder.fit(parsed, &at.join("addresses").join(index))?;
        unit.push("Network", "Address", network.to_string());
        networks.push(network);
    }
    for server in &spec.nameservers {
        unit.push("Network", "DNS", server.to_string());
    }
    if spec.gateways.iter().any(std::net::IpAddr::is_ipv6) {
        // A router's announcements would add a second way out and further addresses.
        unit.push("Network", "IPv6AcceptRA", "no");
    }
    let mut routes = Vec::new();
    for gateway in &spec.gateways {
        let link_local = matches!(gateway, std::net::IpAddr::V6(address) if address.is_unicast_link_local());
        if link_local || networks.iter().any(|network| network.contains(gateway)) {
            unit.push("Network", "Gateway", gateway.to_string());
        } else {
            routes.push(gateway.to_string());
        }
    }
    for gateway in routes {
        // Hosters give single addresses whose gateway is outside: it is on the link all the same.
        unit.section("Route", &[("Gateway", &gateway), ("GatewayOnLink", "yes")]);
    }
    Some(unit)
}

/// The name of an interface, or a pattern of names.
fn interface_name(name: &str) -> Written<&str> {
    let good =
        !name.is_empty() && name.len() <= 15 && name.chars().all(|c| c.is_ascii_alphanumeric() || "._-*?".contains(c));
    if good { Ok(name) } else { Err(Unrepresentable::new("a file of systemd-networkd", "such a name of an interface")) }
}
