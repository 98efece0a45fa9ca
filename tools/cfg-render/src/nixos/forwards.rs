//! Ports of services on other hosts that this host takes connections for: TCP by systemd's own proxy, which starts with the
//! first connection, UDP by socat.

use std::net::{IpAddr, SocketAddr};

use super::builder::NixosBuilder;
use super::services::module;
use crate::fleet::Proto;
use crate::format::nix::{Nix, Part};
use crate::model::Forward;

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let (forwards, findings) = builder.model.forwards(builder.host);
    builder.shared.findings.extend(findings);
    for forward in &forwards {
        if forward.proto != Proto::Udp {
            tcp(builder, forward);
        }
        if forward.proto != Proto::Tcp {
            udp(builder, forward);
        }
    }
}

fn tcp(builder: &mut NixosBuilder<'_, '_>, forward: &Forward) {
    let Forward { service, port, outer, listen, target, at, .. } = forward;
    let unit = format!("plumbline-forward-{service}-{port}");
    let file = module(service);
    let from = [at.clone()];
    let mut streams: Vec<String> = listen.iter().map(|address| SocketAddr::new(*address, *outer).to_string()).collect();
    let everywhere = streams.is_empty();
    if everywhere {
        streams.push(outer.to_string());
    }
    let mut keys = vec![
        ("description", Nix::text(format!("Port {outer} for {service}"))),
        ("wantedBy", Nix::texts(["sockets.target"])),
        ("listenStreams", Nix::texts(streams)),
    ];
    let mut socket = vec![("NoDelay", Nix::Bool(true))];
    if !everywhere {
        // An overlay's address may come after us.
        socket.push(("FreeBind", Nix::Bool(true)));
    }
    keys.push(("socketConfig", Nix::set(socket)));
    builder.set(&file, &["systemd", "sockets", &unit], Nix::set(keys), &from);
    let start = Nix::Text(vec![
        Part::Expression("config.systemd.package".into()),
        Part::Plain(format!("/lib/systemd/systemd-socket-proxyd {target}")),
    ]);
    builder.set(&file, &["systemd", "services", &unit], passer(service, *outer, start), &from);
    let requires = Nix::texts([format!("{unit}.socket")]);
    builder.set(&file, &["systemd", "services", &unit, "requires"], requires, &from);
}

fn udp(builder: &mut NixosBuilder<'_, '_>, forward: &Forward) {
    let Forward { service, port, outer, listen, target, at, .. } = forward;
    let file = module(service);
    let from = [at.clone()];
    // One program an address; on all of them one socket takes both families.
    let places: Vec<(String, String)> = if listen.is_empty() {
        vec![(String::new(), format!("UDP6-LISTEN:{outer},ipv6only=0"))]
    } else {
        let one = |(index, address): (usize, &IpAddr)| {
            let listen = match address {
                IpAddr::V4(address) => format!("UDP4-LISTEN:{outer},bind={address}"),
                IpAddr::V6(address) => format!("UDP6-LISTEN:{outer},bind=[{address}]"),
            };
            (if index == 0 { String::new() } else { format!("-{}", index + 1) }, listen)
        };
        listen.iter().enumerate().map(one).collect()
    };
    let to = if target.is_ipv4() { "UDP4" } else { "UDP6" };
    for (end, listen) in places {
        let unit = format!("plumbline-forward-{service}-{port}-udp{end}");
        let start = Nix::Text(vec![
            Part::Expression("pkgs.socat".into()),
            Part::Plain(format!("/bin/socat -T 120 {listen},fork,reuseaddr {to}:{target}")),
        ]);
        builder.set(&file, &["systemd", "services", &unit], passer(service, *outer, start), &from);
        let wanted = Nix::texts(["multi-user.target"]);
        builder.set(&file, &["systemd", "services", &unit, "wantedBy"], wanted, &from);
    }
}

fn passer(name: &str, port: u16, start: Nix) -> Nix {
    Nix::set([
        ("description", Nix::text(format!("Passes port {port} on to {name}"))),
        ("after", Nix::texts(["network-online.target"])),
        ("wants", Nix::texts(["network-online.target"])),
        (
            "serviceConfig",
            Nix::set([
                ("ExecStart", start),
                ("DynamicUser", Nix::Bool(true)),
                ("PrivateTmp", Nix::Bool(true)),
                ("ProtectSystem", Nix::text("strict")),
                ("Restart", Nix::text("on-failure")),
                // An address of an overlay may come after it.
                ("RestartSec", Nix::text("5s")),
            ]),
        ),
    ])
}
