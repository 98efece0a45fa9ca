//! A host that brings itself to its document now and then: the timer of pull mode, which on NixOS is a part of the
//! configuration. `host-provision pull` places the programs and the document that it applies, and prints the same module for
//! configurations that no fleet makes (`--module`).

use contract::{Duration, places};

use super::builder::NixosBuilder;
use crate::format::nix::Nix;
use crate::host::OWNER;

const MODULE: &str = "pull";

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let host = builder.host;
    let Some(every) = host.spec.nixos.as_ref().and_then(|nixos| nixos.pull) else { return };
    let at = host.at("nixos");
    let from = [at.clone()];
    let folder = format!("{}/pull", places::STATE);
    let document = format!("{folder}/{OWNER}.json");
    let unit = format!("{}pull-{OWNER}", places::UNIT_PREFIX);
    // What fetches a flake from git.
    builder.option(MODULE, "environment.systemPackages", Nix::List(vec![Nix::package("gitMinimal")]), &at);
    let config = Nix::set([
        ("Type", Nix::text("oneshot")),
        ("ExecStart", Nix::text(format!("{folder}/lib/host-provision apply --target local --output json {document}"))),
        ("Environment", Nix::texts([format!("{}={folder}/lib", places::LIB_VARIABLE)])),
    ]);
    let service = Nix::set([
        ("description", Nix::text("Bring this host to its document")),
        ("after", Nix::texts(["network-online.target"])),
        ("wants", Nix::texts(["network-online.target"])),
        // It is this service that switches the system: the switch must neither restart nor end it.
        ("restartIfChanged", Nix::Bool(false)),
        ("unitConfig", Nix::set([("X-StopOnRemoval", Nix::Bool(false)), ("ConditionPathExists", Nix::text(document))])),
        ("serviceConfig", config),
    ]);
    builder.set(MODULE, &["systemd", "services", &unit], service, &from);
    let timer = Nix::set([
        ("OnActiveSec", seconds(every)),
        ("OnUnitActiveSec", seconds(every)),
        ("RandomizedDelaySec", Nix::number(every.as_secs() / 10)),
    ]);
    let value = Nix::set([
        ("description", Nix::text("Bring this host to its document now and then")),
        ("wantedBy", Nix::texts(["timers.target"])),
        ("timerConfig", timer),
    ]);
    builder.set(MODULE, &["systemd", "timers", &unit], value, &from);
}

fn seconds(every: Duration) -> Nix {
    Nix::number(every.as_secs())
}
