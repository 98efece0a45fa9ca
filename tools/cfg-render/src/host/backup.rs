//! The host's own backup: program, unit and timer. The plan itself is placed by the backup pipeline.

use contract::document::{HostItem, Stage, ToolLink};
use contract::{Pointer, places};

use super::HostBuilder;
use crate::fleet::BackupTool;
use crate::format::systemd::{self, UnitFile};

const TOOL: &str = "/usr/local/lib/plumbline/backup-plan";
const SERVICE: &str = "plumbline-backup.service";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let Some((name, plan)) = model.backup_plan(host) else { return };
    let at = Pointer::root().join("backups").join("plans").join(name);
    if plan.tool != BackupTool::Systemd {
        builder.missing(at.join("tool"), "Backrest");
        return;
    }
    let from = [at.clone()];
    builder.packages(Stage::Services, &["restic"], &at);
    builder.push(HostItem {
        id: "tool:backup-plan".into(),
        stage: Stage::Services,
        from: from.to_vec(),
        tool: Some(ToolLink { name: "backup-plan".into(), path: TOOL.into() }),
        ..HostItem::default()
    });
    builder.directory(Stage::Services, places::BACKUP, 0o700, "root", "root", &from);
    let staging = plan.staging.as_deref().unwrap_or("/var/backups/plumbline");
    builder.directory(Stage::Services, staging, 0o700, "root", "root", &from);
    let Some(exec) = builder.fit(systemd::exec(&[TOOL, "run", places::BACKUP_PLAN]), &at) else { return };
    let unit = UnitFile::new()
        .set("Unit", "Description", "Backup of this host")
        .set("Unit", "ConditionPathExists", places::BACKUP_PLAN)
        .set("Unit", "Wants", "network-online.target")
        .set("Unit", "After", "network-online.target")
        .set("Service", "Type", "oneshot")
        .set("Service", "ExecStart", exec)
        .set("Service", "UMask", "0077")
        // A backup gives way to everything else.
        .set("Service", "Nice", "10")
        .set("Service", "IOSchedulingClass", "idle")
        .set("Service", "CacheDirectory", "restic")
        .set("Service", "Environment", "RESTIC_CACHE_DIR=/var/cache/restic");
    let text = builder.header("#", &from) + &unit.write();
    builder.file(Stage::Services, &format!("/etc/systemd/system/{SERVICE}"), text, &from).add(builder);
    builder.wait_for_secrets(Stage::Services, SERVICE, &from);
    let Some(calendar) = builder.fit(systemd::text(&plan.policy.schedule), &at.join("policy").join("schedule")) else {
        return;
    };
    super::machine::write_timer(
        builder,
        "plumbline-backup",
        "Backup of this host",
        &calendar,
        true,
        Some(plan.policy.jitter),
        &from,
    );
}
