//! `unit`: the state of a systemd unit (org.freedesktop.systemd1(5)).

use contract::document::UnitCheck;

use super::units::{Properties, Scope, is_plain};
use super::{Dial, Preparing};
use crate::net::Endpoint;
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

/// A systemd unit of this machine.
#[derive(Debug)]
pub(crate) struct Probe {
    name: String,
    scope: Scope,
}

impl Probe {
    pub(super) fn prepare(check: &UnitCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        if !check.name.contains('.') || !is_plain(&check.name) {
            let message = "expected the full name of a unit, such as nginx.service or backup.timer";
            preparing.wrong("name", "bad-unit", message);
            return None;
        }
        let Some(scope) = Scope::parse(check.scope.as_deref()) else {
            preparing.wrong("scope", "bad-scope", "expected system or user:NAME");
            return None;
        };
        Some(Self { name: check.name.clone(), scope })
    }

    /// Whom to ask, and for what.
    pub(crate) fn unit(&self) -> (Scope, String) {
        (self.scope.clone(), self.name.clone())
    }

    pub(super) fn target(&self) -> String {
        match &self.scope {
            Scope::System => self.name.clone(),
            Scope::User(user) => format!("{} of {user}", self.name),
        }
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        None
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        trace.step = Step::Answer;
        let properties = dial.context.units.of(&self.scope, &self.name).await?;
        judge(&self.name, &properties, trace)
    }
}

fn judge(name: &str, properties: &Properties, trace: &mut Trace) -> Verdict {
    let property = |key: &str| properties.get(key).map(String::as_str).unwrap_or_default();
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
        let look = |shown: &str| {
            let pairs = shown.lines().filter_map(|line| line.split_once('='));
            let properties = pairs.map(|(key, value)| (key.to_owned(), value.to_owned())).collect();
            judge("x.service", &properties, &mut Trace::default()).map_err(|problem| problem.reason)
        };
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
