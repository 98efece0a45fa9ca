//! The backup of the host: a timer that runs the plan which the backup pipeline places.

use contract::places;

use super::TOOLS;
use super::builder::NixosBuilder;
use super::services::directory;
use crate::fleet::BackupTool;
use crate::format::nix::Nix;

const MODULE: &str = "backup";
const UNIT: &str = "plumbline-backup";

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let Some((name, plan)) = builder.model.backup_plan(builder.host) else { return };
    let at = super::place(&["backups", "plans", name]);
    if plan.tool != BackupTool::Systemd {
        // backup-plan writes Backrest's own configuration (`emit`); the service that runs it is one of the fleet.
        return;
    }
    let from = [at.clone()];
    builder.tools.insert("backup-plan".into(), at.clone());
    builder.option(MODULE, "environment.systemPackages", Nix::List(vec![Nix::package("restic")]), &at);
    directory(builder, MODULE, places::BACKUP, "0700", "root", "root", &at);
    let staging = plan.staging.as_deref().unwrap_or("/var/backups/plumbline");
    directory(builder, MODULE, staging, "0700", "root", "root", &at);
    let argv = [format!("{TOOLS}/backup-plan"), "run".into(), places::BACKUP_PLAN.into()];
    let Some(exec) = super::unit::exec(builder, &argv, &at) else { return };
    let config = Nix::set([
        ("Type", Nix::text("oneshot")),
        ("ExecStart", exec),
        ("UMask", Nix::text("0077")),
        // A backup gives way to everything else.
        ("Nice", Nix::number(10_u8)),
        ("IOSchedulingClass", Nix::text("idle")),
        ("CacheDirectory", Nix::text("restic")),
        ("Environment", Nix::texts(["RESTIC_CACHE_DIR=/var/cache/restic"])),
    ]);
    let service = Nix::set([
        ("description", Nix::text("Backup of this host")),
        ("wants", Nix::texts(["network-online.target"])),
        ("after", Nix::texts(["network-online.target"])),
        ("path", Nix::List(vec![Nix::package("restic")])),
        ("unitConfig", Nix::set([("ConditionPathExists", Nix::text(places::BACKUP_PLAN))])),
        ("serviceConfig", config),
    ]);
    builder.set(MODULE, &["systemd", "services", UNIT], service, &from);
    let mut timer = vec![("OnCalendar", Nix::text(&plan.policy.schedule)), ("Persistent", Nix::Bool(true))];
    let jitter = plan.policy.jitter;
    if jitter.as_secs() > 0 {
        timer.push(("RandomizedDelaySec", Nix::text(format!("{}s", jitter.as_secs()))));
        timer.push(("FixedRandomDelay", Nix::Bool(true)));
    }
    let value = Nix::set([("wantedBy", Nix::texts(["timers.target"])), ("timerConfig", Nix::set(timer))]);
    builder.set(MODULE, &["systemd", "timers", UNIT], value, &from);
}
