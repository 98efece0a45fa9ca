//! `unit`: the state of a systemd unit (org.freedesktop.systemd1(5)).

use std::collections::BTreeMap;
use std::process::Stdio;

use contract::document::UnitCheck;
use tokio::process::Command;

use super::{Dial, Preparing, quoted};
use crate::net::Endpoint;
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

const PROPERTIES: &str = "LoadState,ActiveState,SubState,Result,Type,NRestarts,ExecMainStatus";

/// A systemd unit of this machine.
#[derive(Debug)]
pub(crate) struct Probe {
    name: String,
    user: Option<String>,
}

impl Probe {
    pub(super) fn prepare(check: &UnitCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        let plain = |text: &str| text.bytes().all(|b| b.is_ascii_alphanumeric() || b":-_.\\@".contains(&b));
        if !check.name.contains('.') || check.name.starts_with('-') || !plain(&check.name) {
            let message = "expected the full name of a unit, such as nginx.service or backup.timer";
            preparing.wrong("name", "bad-unit", message);
            return None;
        }
        let user = match check.scope.as_deref() {
            None | Some("system") => None,
            Some(scope) => match scope.strip_prefix("user:").filter(|user| !user.is_empty() && plain(user)) {
                Some(user) => Some(user.to_owned()),
                None => {
                    preparing.wrong("scope", "bad-scope", "expected system or user:NAME");
                    return None;
                }
            },
        };
        Some(Self { name: check.name.clone(), user })
    }

    pub(super) fn target(&self) -> String {
        self.user.as_ref().map_or(self.name.clone(), |user| format!("{} of {user}", self.name))
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        None
    }

    pub(super) async fn look(&self, _dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        trace.step = Step::Answer;
        let mut command = Command::new("systemctl");
        if let Some(user) = &self.user {
            command.args(["--user", &format!("--machine={user}@.host")]);
        }
        command.args(["show", "--property", PROPERTIES, "--", &self.name]);
        command.env("LC_ALL", "C").stdin(Stdio::null()).kill_on_drop(true);
        let output =
            command.output().await.map_err(|_| Problem::error(Reason::Unsupported, "this machine has no systemctl"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            let said = quoted(said.lines().next().unwrap_or_default(), &[]);
            return Err(Problem::error(Reason::Unsupported, format!("systemctl cannot ask systemd: {said}")));
        }
        judge(&self.name, &String::from_utf8_lossy(&output.stdout), trace)
    }
}

fn judge(name: &str, shown: &str, trace: &mut Trace) -> Verdict {
    let properties: BTreeMap<&str, &str> = shown.lines().filter_map(|line| line.split_once('=')).collect();
    let property = |key: &str| properties.get(key).copied().unwrap_or_default();
    if let Ok(restarts) = property("NRestarts").parse() {
        trace.figures.insert("restarts".into(), restarts);
    }
    let state = format!("{} ({})", property("ActiveState"), property("SubState"));
    match (property("LoadState"), property("ActiveState")) {
        ("not-found", _) => Err(Problem::fail(Reason::UnitMissing, format!("there is no unit {name}"))),
        ("masked", _) => Err(Problem::fail(Reason::UnitInactive, format!("{name} is masked"))),
        (_, "active" | "reloading") => Ok(state),
        (_, "activating") => Err(Problem::fail(Reason::Starting, format!("{name} is {state}"))),
        (_, "failed") => {
            let result = format!("result {}, status {}", property("Result"), property("ExecMainStatus"));
            Err(Problem::fail(Reason::UnitFailed, format!("{name} failed: {result}")))
        }
        // A oneshot without RemainAfterExit is inactive when it is done.
        (_, "inactive") if property("Type") == "oneshot" && property("Result") == "success" => {
            Ok("inactive, its last run was a success".into())
        }
        _ => Err(Problem::fail(Reason::UnitInactive, format!("{name} is {state}"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn states_mean_what_they_mean() {
        let look = |shown: &str| judge("x.service", shown, &mut Trace::default()).map_err(|problem| problem.reason);
        assert!(look("LoadState=loaded\nActiveState=active\nSubState=running\nNRestarts=2").is_ok());
        assert_eq!(look("LoadState=not-found\nActiveState=inactive"), Err(Reason::UnitMissing));
        assert_eq!(look("LoadState=loaded\nActiveState=failed"), Err(Reason::UnitFailed));
        assert_eq!(look("LoadState=loaded\nActiveState=activating"), Err(Reason::Starting));
        assert_eq!(
            look("LoadState=loaded\nActiveState=inactive\nType=simple\nResult=success"),
            Err(Reason::UnitInactive)
        );
        assert!(look("LoadState=loaded\nActiveState=inactive\nType=oneshot\nResult=success").is_ok());
    }
}
