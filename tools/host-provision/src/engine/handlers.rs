//! What follows changes: reloads, restarts, commands, secrets. Each once, in the order of first mention.

use contract::document::{Handler, HostItem, SecretsResult};
use contract::{Exit, places};

use super::apply::Apply;
use super::host::Host;
use super::item::run_command;
use super::process::Process;
use super::units::{UnitKey, failed, last_log, show};
use crate::fault::{Fault, Outcome};

/// Adds handlers that are not in the list yet.
pub(super) fn add(due: &mut Vec<(Handler, String)>, handlers: &[Handler], item: &str) {
    for handler in handlers {
        if !due.iter().any(|(known, _)| known == handler) {
            due.push((handler.clone(), item.to_owned()));
        }
    }
}

/// The unit that a handler reloads or restarts, and which of both.
pub(super) fn unit_of(handler: &Handler) -> Option<(&str, UnitKey)> {
    let (verb, unit) = handler.0.split_once(':')?;
    matches!(verb, "reload" | "restart").then(|| (verb, UnitKey::system(unit)))
}

/// The same, in the scope of the unit that the document declares by this name: the manager of a user, where it is one's.
pub(super) fn unit_in<'a>(handler: &'a Handler, items: &[HostItem]) -> Option<(&'a str, UnitKey)> {
    let (verb, key) = unit_of(handler)?;
    let declared = items.iter().filter_map(|item| item.unit.as_ref());
    let mut keys =
        declared.map(|unit| UnitKey::scoped(&unit.name, unit.scope.as_deref())).filter(|unit| unit.name == key.name);
    let first = keys.next();
    let is_system = first.iter().chain(&keys.collect::<Vec<_>>()).any(|unit| unit.user.is_none());
    Some((verb, if is_system { key } else { first.unwrap_or(key) }))
}

/// Whether a handler is for hosts with systemd only.
pub(super) fn needs_systemd(handler: &Handler) -> bool {
    handler.0 == "secrets" || unit_of(handler).is_some()
}

/// What became of a handler.
pub(super) enum Handled {
    Done,
    /// The unit was started in this run and has read all files.
    Covered,
    /// It had nothing to do, for this reason.
    Skipped(String),
}

/// Runs one handler; `removal` says that something that was removed asked for it.
pub(super) fn run(apply: &mut Apply<'_>, handler: &Handler, removal: bool) -> Outcome<Handled> {
    if let Some((verb, key)) = unit_in(handler, &apply.view().work.desired.items) {
        if apply.was_started(&key) {
            return Ok(Handled::Covered);
        }
        let known = show(std::slice::from_ref(&key))?.first().is_some_and(super::units::UnitStatus::is_known);
        if removal && !known {
            return Ok(Handled::Skipped("the unit is gone too".into()));
        }
        let handled = act(verb, &key)?;
        if matches!(handled, Handled::Done) {
            // Behind a socket the service runs only while somebody is there.
            let by_socket = is_sshd(&key) && socket_listens();
            apply.acted(&if by_socket { UnitKey::system(SOCKET) } else { key.clone() });
        }
        apply.hold_firewall(&key.name)?;
        return Ok(handled);
    }
    if let Some(id) = handler.0.strip_prefix("run:") {
        let items = &apply.view().work.desired.items;
        let command = items.iter().find(|item| item.id == id).and_then(|item| item.command.as_ref());
        let Some(command) = command else {
            return Err(Fault::new(Exit::BadDocument, "unknown_handler", format!("there is no command item \"{id}\"")));
        };
        run_command(command)?;
        apply.host.forget_packages();
        return Ok(Handled::Done);
    }
    if handler.0 == "secrets" {
        for key in secrets(apply.host)? {
            apply.acted(&key);
        }
        return Ok(Handled::Done);
    }
    Err(Fault::new(Exit::BadDocument, "unknown_handler", format!("\"{}\" is no handler", handler.0)))
}

/// Reloads or restarts a unit.
fn act(verb: &str, key: &UnitKey) -> Outcome<Handled> {
    if key.user.is_some() {
        // The manager of a user does not hear of changed files through the system's.
        key.systemctl(&["daemon-reload"]).run()?;
    }
    let status = show(std::slice::from_ref(key))?.pop().unwrap_or_default();
    if !status.is_known() {
        return Err(Fault::new(Exit::Unavailable, "unknown_unit", format!("the host has no unit {}", key.name))
            .hint("correct the \"notify\" of the item, or add the package that brings the unit"));
    }
    if verb == "reload" && !status.is_active() {
        return Ok(Handled::Skipped("it does not run".into()));
    }
    let by_socket = socket_listens();
    if key.name == SOCKET && !by_socket {
        return Ok(Handled::Skipped("sshd listens by itself".into()));
    }
    let ended = if by_socket && (key.name == SOCKET || is_sshd(key)) {
        restart_socket().run()?
    } else {
        match verb {
            "restart" => key.start(&[verb])?,
            _ => key.systemctl(&[verb, "--", &key.name]).run()?,
        }
    };
    if ended.good() {
        return Ok(Handled::Done);
    }
    let fault = failed(&format!("{verb} {}", key.name), &ended);
    let log = last_log(key);
    Err(if log.is_empty() { fault } else { fault.cause(log) })
}

pub(super) fn is_sshd(key: &UnitKey) -> bool {
    matches!(key.name.as_str(), "ssh.service" | "sshd.service")
}

/// The socket by which systemd starts sshd (Ubuntu since 22.10).
pub(super) const SOCKET: &str = "ssh.socket";

/// systemd refuses to restart the socket while the service runs, and leaves it stopped then: nobody would listen. Open
/// sessions are processes of their own and stay. A port that moves restarts it more often than systemd allows within ten seconds.
pub(super) fn restart_socket() -> Process {
    Process::new([
        "sh",
        "-c",
        "systemctl stop ssh.service; systemctl reset-failed ssh.service ssh.socket; systemctl restart ssh.socket",
    ])
}

/// Whether sshd is started by its socket.
pub(super) fn socket_listens() -> bool {
    show(&[UnitKey::system(SOCKET)]).is_ok_and(|found| found.first().is_some_and(super::units::UnitStatus::is_active))
}

/// Materialises secrets, and lets their consumers know.
fn secrets(host: &Host) -> Outcome<Vec<UnitKey>> {
    let unit = UnitKey::system(places::SECRETS_UNIT);
    super::units::systemctl(None, &["daemon-reload"]).succeed()?;
    // Consumers require the unit, and a plain restart of it would restart all of them, not only those whose secrets changed.
    let ended = unit.start(&["restart", "--job-mode=ignore-dependencies"])?;
    if !ended.good() {
        return Err(failed("materialise the secrets of the host", &ended)
            .place(places::SECRETS_UNIT)
            .cause(last_log(&unit)));
    }
    let text = host.text(places::SECRETS_RESULT);
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let result: SecretsResult = serde_json::from_str(&text).map_err(|error| {
        Fault::new(Exit::Io, "bad_secrets_result", "the result of the secrets unit cannot be read")
            .place(places::SECRETS_RESULT)
            .cause(error)
    })?;
    let mut acted = Vec::new();
    for (verb, units) in [("restart", &result.units), ("reload", &result.reload_units)] {
        for name in units {
            let key = UnitKey::system(name);
            // A consumer that is not there or not running yet reads the new secrets when it starts.
            let active = show(std::slice::from_ref(&key))?.first().is_some_and(super::units::UnitStatus::is_active);
            if active && matches!(act(verb, &key)?, Handled::Done) {
                acted.push(key);
            }
        }
    }
    Ok(acted)
}

/// Runs handlers again after files went back, as far as they can be.
pub(super) fn run_again(host: &Host, handlers: &[String], items: &[HostItem]) -> Vec<Fault> {
    let mut faults = Vec::new();
    for handler in handlers {
        let handler = Handler(handler.clone());
        let done = if let Some((verb, key)) = unit_in(&handler, items) {
            match show(std::slice::from_ref(&key)) {
                Ok(found) if found.first().is_some_and(|status| !status.is_known()) => Ok(()),
                _ => act(verb, &key).map(drop),
            }
        } else if handler.0 == "secrets" {
            if host.exists(places::SECRETS_MANIFEST) { secrets(host).map(drop) } else { Ok(()) }
        } else {
            let id = handler.0.strip_prefix("run:").unwrap_or_default();
            let command = items.iter().find(|item| item.id == id).and_then(|item| item.command.as_ref());
            command.map_or(Ok(()), run_command)
        };
        faults.extend(done.err());
    }
    faults
}
