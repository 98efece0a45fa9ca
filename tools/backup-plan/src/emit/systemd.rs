//! A service and a timer as host.desired of the owner `backup`.

use cli::Failure;
use contract::document::{BackupPlan, HostDesired};
use contract::{Exit, places};
use serde_json::{Value, json};

/// Where the program is linked to on the host.
const TOOL: &str = "/usr/local/lib/plumbline/backup-plan";

/// The items that run a plan at its times.
///
/// # Errors
/// 70 where the document's type does not take what is made here.
pub(crate) fn render(plan: &BackupPlan) -> Result<HostDesired, Failure> {
    let plan_file = format!("{}/plan.json", plan.state);
    // Values of `%` would be taken for specifiers.
    let text = |text: &str| text.replace('%', "%%");
    let service = format!(
        "[Unit]\n\
         Description=Backup {plan} of {host}\n\
         Wants=network-online.target\n\
         After=network-online.target {secrets}\n\
         ConditionPathExists={plan_file}\n\
         \n\
         [Service]\n\
         Type=oneshot\n\
         ExecStart={TOOL} run {plan_file}\n\
         ExecStopPost={TOOL} run --only resume {plan_file}\n\
         Nice=19\n\
         IOSchedulingClass=idle\n\
         KillMode=mixed\n\
         TimeoutStopSec=5min\n\
         UMask=0077\n",
        plan = text(&plan.plan),
        host = text(&plan.host),
        secrets = places::SECRETS_UNIT,
        plan_file = text(&plan_file),
    );
    let timer = format!(
        "[Unit]\n\
         Description=Times of backup {plan}\n\
         \n\
         [Timer]\n\
         OnCalendar={schedule}\n\
         RandomizedDelaySec={jitter}s\n\
         FixedRandomDelay=true\n\
         Persistent=true\n\
         \n\
         [Install]\n\
         WantedBy=timers.target\n",
        plan = text(&plan.plan),
        schedule = text(&plan.policy.schedule),
        jitter = plan.policy.jitter.as_secs(),
    );
    let unit = |name: &str, content: &str| -> Value {
        json!({
            "id": format!("file-{name}"),
            "notify": [],
            "file": {"path": format!("/etc/systemd/system/{name}"), "mode": "0644", "content": content}
        })
    };
    let items = json!([
        {"id": "backup-tool", "tool": {"name": "backup-plan", "path": TOOL}},
        {"id": "backup-staging", "directory": {"path": plan.staging, "mode": "0700"}},
        unit("plumbline-backup.service", &service),
        unit("plumbline-backup.timer", &timer),
        {"id": "backup-timer", "unit": {"name": "plumbline-backup.timer", "enabled": true, "state": "started"}},
    ]);
    let items = serde_json::from_value(items)
        .map_err(|error| Failure::new(Exit::Bug, "internal", "the items are not those of host.desired").cause(error))?;
    Ok(HostDesired { host: plan.host.clone(), owner: "backup".into(), items, ..HostDesired::default() })
}
