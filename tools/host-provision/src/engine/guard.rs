//! The rollback that fires by itself, also after a reboot, unless the owner's access is proven.

use std::path::Path;

use contract::places;

use super::host::Host;
use super::process::Process;
use super::programs::starting;
use super::run::Run;
use crate::fault::{Fault, Outcome};

/// The unit that puts back what was not confirmed when the host went down.
const RECOVER: &str = "plumbline-recover.service";

fn pending(run: &Run) -> String {
    format!("{}/{}", places::PENDING, run.record.id)
}

/// Milliseconds since the host came up: a clock that nobody sets.
pub fn uptime() -> u64 {
    let text = std::fs::read_to_string("/proc/uptime").unwrap_or_default();
    let seconds: f64 = text.split(' ').next().and_then(|word| word.parse().ok()).unwrap_or_default();
    (seconds * 1000.0) as u64
}

/// From here on a run that is cut off goes back: by whoever finds its worker dead, or at the next boot.
///
/// # Errors
/// Those of the system: without a way back nothing may begin.
pub fn enter(host: &Host, run: &Run, helper: &Path) -> Outcome<()> {
    make_durable(helper)?;
    install_recovery(host, helper)?;
    host.tree.make_state_directory(places::PENDING, 0o700)?;
    host.write_state(&pending(run), run.record.id.as_bytes())
}

/// The way back leads through the helper, which a loss of power must not take half of.
fn make_durable(helper: &Path) -> Outcome<()> {
    let mut both = helper.ancestors().take(2);
    both.try_for_each(|path| std::fs::File::open(path)?.sync_all())
        .map_err(|error| Fault::io("make durable", helper.display(), &error))
}

fn boot_id(host: &Host) -> String {
    host.text("/proc/sys/kernel/random/boot_id").trim().to_owned()
}

/// Arms the rollback, or arms it anew with the full time.
///
/// # Errors
/// Those of the system: without a rollback nothing dangerous may begin.
pub fn arm(host: &Host, run: &mut Run, helper: Option<&Path>, seconds: u64) -> Outcome<()> {
    let Some(helper) = helper else { return Ok(()) };
    let first = !run.record.armed;
    if first {
        if host.has_systemd() {
            run.record.listener = super::access::listener();
        }
        let backup = super::access::save_firewall(host, run)?;
        if let Some(backup) = backup {
            run.note(&super::undo::Undo::Firewall { backup })?;
        }
        run.sync()?;
    }
    run.record.armed = true;
    run.record.window = seconds;
    run.save()?;
    host.write_state(
        &format!("{}/{}/deadline", places::RUNS, run.record.id),
        format!("{} {}", uptime() + seconds * 1000, boot_id(host)).as_bytes(),
    )?;
    start_timer(host, run, helper, seconds)
}

fn start_timer(host: &Host, run: &Run, helper: &Path, seconds: u64) -> Outcome<()> {
    let id = &run.record.id;
    let start = starting(helper);
    if host.has_systemd() {
        stop_timer(run);
        // A name of its own each time: the service of the one before may wait for the lock that we hold.
        let unit = format!("{}rollback-{id}-{}", places::UNIT_PREFIX, uptime());
        let mut argv = vec![
            "systemd-run".to_owned(),
            "--quiet".into(),
            "--collect".into(),
            format!("--unit={unit}"),
            format!("--on-active={seconds}"),
            "--timer-property=AccuracySec=100ms".into(),
            // Killed, it comes again: nobody else may be there to do it.
            "--property=Restart=on-failure".into(),
            "--property=RestartSec=1".into(),
            "--property=KillMode=process".into(),
        ];
        argv.extend(start);
        argv.extend(["expire".into(), id.clone()]);
        return Process::new(argv).succeed().map(drop);
    }
    // Without systemd a process of its own waits.
    std::process::Command::new("setsid")
        .args(start)
        .args(["expire", id, &seconds.to_string()])
        .stdin(std::process::Stdio::null())
        .stdout(std::process::Stdio::null())
        .stderr(std::process::Stdio::null())
        .spawn()
        .map(drop)
        .map_err(|error| Fault::io("arm the rollback", "setsid", &error))
}

fn stop_timer(run: &Run) {
    let unit = format!("{}rollback-{}", places::UNIT_PREFIX, run.record.id);
    // It may have ended by itself. The service is not stopped: it may be us.
    let _ = Process::new(["systemctl", "stop", &format!("{unit}*.timer")]).run();
    let _ = Process::new(["systemctl", "reset-failed", &format!("{unit}*")]).run();
}

/// Whether the time of an armed rollback is over.
pub fn is_over(host: &Host, run: &Run) -> bool {
    let text = host.text(&format!("{}/{}/deadline", places::RUNS, run.record.id));
    let (deadline, boot) = text.split_once(' ').unwrap_or((&text, ""));
    // After a reboot nobody waits any more. Half a second early is on time: the timer is not exact either.
    boot != boot_id(host) || deadline.parse::<u64>().is_ok_and(|deadline| uptime() + 500 >= deadline)
}

/// The owner has access, or everything is back: no rollback is due any more.
pub fn disarm(host: &Host, run: &Run) {
    if host.sandbox {
        return;
    }
    // Not there is as good.
    let _ = std::fs::remove_file(host.tree.real(&pending(run)));
    if run.record.armed && host.has_systemd() {
        stop_timer(run);
    }
}

/// Runs that wait for a proof, or that were cut off.
pub fn pending_runs(host: &Host) -> Vec<String> {
    let entries = std::fs::read_dir(host.tree.real(places::PENDING));
    let mut ids: Vec<String> =
        entries.into_iter().flatten().flatten().filter_map(|entry| entry.file_name().into_string().ok()).collect();
    ids.retain(|id| super::run::is_id(id));
    ids.sort();
    ids
}

/// Makes sure that a reboot inside the window ends in the state from before.
fn install_recovery(host: &Host, helper: &Path) -> Outcome<()> {
    // A NixOS host boots the system from before by itself, and lets nobody write its units.
    if !host.has_systemd() || host.exists("/etc/NIXOS") {
        return Ok(());
    }
    let unit = format!(
        "[Unit]\nDescription=Put back what was not confirmed before the host went down\nDefaultDependencies=no\n\
         RequiresMountsFor={state}\nAfter=local-fs.target systemd-remount-fs.service\n\
         Before=network-pre.target nftables.service ssh.service ssh.socket sshd.service sysinit.target shutdown.target\n\
         Conflicts=shutdown.target\nConditionDirectoryNotEmpty={pending}\n\n\
         [Service]\nType=oneshot\nExecStart={start} recover\n\n[Install]\nWantedBy=sysinit.target\n",
        state = places::STATE,
        pending = places::PENDING,
        start = starting(helper).join(" ")
    );
    let path = format!("/etc/systemd/system/{RECOVER}");
    if host.text(&path) == unit {
        return Ok(());
    }
    let real = host.tree.real(&path);
    super::host::write_durably(&real, unit.as_bytes())
        .and_then(|()| std::fs::set_permissions(&real, std::os::unix::fs::PermissionsExt::from_mode(0o644)))
        .map_err(|error| Fault::io("write", &path, &error))?;
    let wants = host.tree.real("/etc/systemd/system/sysinit.target.wants");
    std::fs::create_dir_all(&wants).map_err(|error| Fault::io("make the directory", wants.display(), &error))?;
    // The boot reads it; systemd that runs now need not know.
    match std::os::unix::fs::symlink(&path, wants.join(RECOVER)) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(Fault::io("enable", RECOVER, &error)),
        _ => Ok(()),
    }
}
