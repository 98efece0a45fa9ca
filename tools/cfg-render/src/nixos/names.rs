//! Names that no zone holds: `networking.hosts`, and multicast DNS by Avahi.

use contract::Pointer;

use super::builder::NixosBuilder;
use crate::fleet::NameService;
use crate::format::nix::{Nix, Part};
use crate::host::{announced, announcer, known_names};

const MODULE: &str = "names";

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let (by_address, from) = known_names(model, host);
    let from: Vec<Pointer> = from.into_iter().collect();
    for (address, names) in by_address {
        builder.set(MODULE, &["networking", "hosts", &address.to_string()], Nix::texts(names), &from);
    }
    let networks: Vec<&str> = model.networks_naming(host, NameService::Mdns).collect();
    let Some(first) = networks.first() else { return };
    let at = super::place(&["networks", first, "names"]);
    for option in ["enable", "nssmdns4", "nssmdns6"] {
        builder.option(MODULE, &format!("services.avahi.{option}"), Nix::Bool(true), &at);
    }
    builder.option(MODULE, "services.avahi.openFirewall", Nix::Bool(false), &at);
    builder.option(MODULE, "services.avahi.publish.enable", Nix::Bool(true), &at);
    builder.option(MODULE, "services.avahi.publish.addresses", Nix::Bool(true), &at);
    // Others than root may announce names.
    builder.option(MODULE, "services.avahi.publish.userServices", Nix::Bool(true), &at);
    for (name, address, from) in announced(model, host) {
        let start = Nix::Text(vec![
            Part::Expression("pkgs.avahi".into()),
            Part::Plain(format!("/bin/avahi-publish --address --no-reverse {name} {address}")),
        ]);
        let unit = Nix::set([
            ("description", Nix::text(format!("Announces {name} on the local network"))),
            ("after", Nix::texts(["avahi-daemon.service"])),
            ("wantedBy", Nix::texts(["avahi-daemon.service"])),
            ("unitConfig", Nix::set([("BindsTo", Nix::text("avahi-daemon.service"))])),
            (
                "serviceConfig",
                Nix::set([
                    ("ExecStart", start),
                    ("DynamicUser", Nix::Bool(true)),
                    ("Restart", Nix::text("on-failure")),
                    ("RestartSec", Nix::text("5s")),
                ]),
            ),
        ]);
        let from: Vec<Pointer> = from.into_iter().chain([at.clone()]).collect();
        builder.set(MODULE, &["systemd", "services", &announcer(&name, address)], unit, &from);
    }
}
