//! Units of systemd: enabled, running, masked.

use contract::Exit;
use contract::document::{Op, Unit, UnitState};

use super::{Kind, Thing, View};
use crate::engine::apply::Apply;
use crate::engine::entry::Difference;
use crate::engine::owned::{absent, existed};
use crate::engine::undo::Undo;
use crate::engine::units::{UnitKey, UnitStatus, failed, last_log, no_systemd, start_manager, systemctl};
use crate::fault::{Fault, Outcome};

pub(super) struct UnitKind<'a>(pub(super) &'a Unit);

impl UnitKind<'_> {
    fn key(&self) -> UnitKey {
        UnitKey::scoped(&self.0.name, self.0.scope.as_deref())
    }

    fn differences(&self, status: &UnitStatus) -> Vec<&'static str> {
        let unit = self.0;
        if unit.masked {
            return if status.is_masked() { Vec::new() } else { vec!["masked"] };
        }
        let mut why = Vec::new();
        if status.is_masked() {
            why.push("unmasked");
        }
        match unit.enabled {
            Some(true) if !status.is_enabled() => why.push("enabled"),
            Some(false) if matches!(status.file.as_str(), "enabled" | "enabled-runtime") => why.push("disabled"),
            _ => {}
        }
        match unit.state {
            Some(UnitState::Started) if !status.is_active() => why.push("started"),
            Some(UnitState::Stopped) if status.is_active() => why.push("stopped"),
            _ => {}
        }
        why
    }
}

impl Kind for UnitKind<'_> {
    fn label(&self) -> &'static str {
        "unit"
    }

    fn name(&self) -> String {
        match &self.0.scope {
            Some(scope) if scope != "system" => format!("{} ({scope})", self.key().name),
            _ => self.key().name,
        }
    }

    fn needs_system(&self) -> bool {
        true
    }

    fn things(&self, _view: View<'_>) -> Outcome<Vec<Thing>> {
        Ok(vec![Thing { kind: "unit", name: self.name() }])
    }

    fn observe(&self, view: View<'_>) -> Outcome<Difference> {
        if !view.host.has_systemd() {
            return Err(no_systemd());
        }
        let key = self.key();
        let status = view.host.units(std::slice::from_ref(&key))?.pop().unwrap_or_default();
        let why: Vec<String> = self.differences(&status).into_iter().map(str::to_owned).collect();
        let op = (!why.is_empty()).then_some(Op::Update);
        let observed = format!("unit {} {} {}", status.load, status.active, status.file);
        Ok(Difference { op, why, observed, ..Difference::default() })
    }

    fn converge(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        apply.barrier()?;
        apply.reload_manager()?;
        apply.host.forget_units();
        let key = self.key();
        if let Some(user) = &key.user {
            let accounts = apply.host.accounts();
            let account = accounts.user(user).ok_or_else(|| {
                Fault::new(
                    Exit::BadDocument,
                    "unknown_account",
                    format!("the user \"{user}\" does not exist on the host"),
                )
                .hint("declare the user in an item before this one, with \"linger\": true")
            })?;
            start_manager(account.uid)?;
            key.systemctl(&["daemon-reload"]).succeed()?;
        }
        let before = apply.host.units(std::slice::from_ref(&key))?.pop().unwrap_or_default();
        let why = self.differences(&before);
        if !before.is_known()
            && !self.0.masked
            && (self.0.enabled == Some(true) || self.0.state == Some(UnitState::Started))
        {
            let hint = if apply.host.exists("/etc/NIXOS") {
                "declare it in the NixOS configuration and apply that first (the timer of pull mode: host-provision pull --module)"
            } else {
                "add its package or its file to an item before this one"
            };
            return Err(
                Fault::new(Exit::Unavailable, "unknown_unit", format!("the host has no unit {}", key.name)).hint(hint)
            );
        }
        apply.own(
            "unit",
            &self.name(),
            None,
            false,
            // A unit that cannot be enabled or not (static) is not there before us for that.
            if before.file.starts_with("enabled") || before.is_active() { existed() } else { absent() },
        );
        apply.save_owned()?;
        apply.run.note(&Undo::Unit { key: key.clone(), before })?;
        apply.run.sync()?;
        for word in why {
            let verb = match word {
                "masked" => "mask",
                "unmasked" => "unmask",
                "enabled" => "enable",
                "disabled" => "disable",
                "started" => "start",
                _ => "stop",
            };
            let mut args = vec![verb];
            if verb == "mask" {
                args.push("--now");
            }
            args.extend(["--", &key.name]);
            let ended = if verb == "start" { key.start(&args[..1])? } else { key.systemctl(&args).run()? };
            if !ended.good() {
                let log = last_log(&key);
                let fault = failed(&format!("{verb} {}", key.name), &ended);
                return Err(if log.is_empty() { fault } else { fault.cause(log) });
            }
            if verb == "start" {
                apply.started(&key);
            }
        }
        apply.host.forget_units();
        apply.hold_firewall(&key.name)
    }

    fn remember(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        apply.own("unit", &self.name(), None, false, existed());
        Ok(())
    }
}

/// The unit that a plan calls by this name.
pub fn key_of(name: &str) -> UnitKey {
    match name.split_once(" (") {
        Some((unit, scope)) => UnitKey::scoped(unit, Some(scope.trim_end_matches(')'))),
        None => UnitKey::system(name),
    }
}

/// Stops and disables a unit that is no longer declared.
///
/// # Errors
/// 69 where systemd refuses.
pub fn disable(apply: &mut Apply<'_>, name: &str) -> Outcome<()> {
    let key = key_of(name);
    let before = apply.host.units(std::slice::from_ref(&key))?.pop().unwrap_or_default();
    if !before.is_known() {
        return Ok(());
    }
    apply.run.note(&Undo::Unit { key: key.clone(), before })?;
    apply.run.sync()?;
    let ended = key.systemctl(&["disable", "--now", "--", &key.name]).run()?;
    if !ended.good() {
        // A unit without [Install] cannot be disabled, but stopped.
        let stopped = key.systemctl(&["stop", "--", &key.name]).run()?;
        if !stopped.good() {
            return Err(failed(&format!("stop {}", key.name), &stopped));
        }
    }
    apply.host.forget_units();
    Ok(())
}

/// Brings a unit back to a state from before.
///
/// # Errors
/// 69 where systemd refuses.
pub fn restore(key: &UnitKey, before: &UnitStatus) -> Outcome<()> {
    let now = crate::engine::units::show(std::slice::from_ref(key))?.pop().unwrap_or_default();
    let mut verbs = Vec::new();
    if before.is_masked() != now.is_masked() {
        verbs.push(if before.is_masked() { "mask" } else { "unmask" });
    }
    if before.file == "enabled" && now.file != "enabled" {
        verbs.push("enable");
    } else if before.file != "enabled" && now.file == "enabled" {
        verbs.push("disable");
    }
    if before.is_active() && !now.is_active() {
        verbs.push("start");
    } else if !before.is_active() && now.is_active() {
        verbs.push("stop");
    }
    for verb in verbs {
        let ended =
            if verb == "start" { key.start(&[verb])? } else { key.systemctl(&[verb, "--", &key.name]).run()? };
        if !ended.good() && now.is_known() {
            return Err(failed(&format!("{verb} {}", key.name), &ended));
        }
    }
    Ok(())
}

/// Lets a unit be started at boot, or not, as it was before. Works without a manager.
///
/// # Errors
/// 69 where systemctl refuses.
pub fn restore_enablement(key: &UnitKey, before: &UnitStatus) -> Outcome<()> {
    let verb = match before.file.as_str() {
        "enabled" => "enable",
        "masked" => "mask",
        "disabled" | "" => "disable",
        _ => return Ok(()),
    };
    let ended = systemctl(None, &["--root=/", verb, "--", &key.name]).run()?;
    // A unit whose file went back to nothing cannot be disabled, and need not be.
    if ended.good() || verb == "disable" { Ok(()) } else { Err(failed(&format!("{verb} {}", key.name), &ended)) }
}
