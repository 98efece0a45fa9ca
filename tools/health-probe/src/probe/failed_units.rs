//! `failed_units`: no systemd unit of a manager has failed.

use contract::document::FailedUnitsCheck;
use serde_json::Value;

use super::units::{Scope, is_plain};
use super::{Dial, Preparing, quoted};
use crate::net::Endpoint;
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

/// All units of a manager.
#[derive(Debug)]
pub(crate) struct Probe {
    scope: Scope,
    except: Vec<String>,
}

impl Probe {
    pub(super) fn prepare(check: &FailedUnitsCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        let scope = Scope::parse(check.scope.as_deref());
        if scope.is_none() {
            preparing.wrong("scope", "bad-scope", "expected system or user:NAME");
        }
        if check.except.iter().any(|name| !name.contains('.') || !is_plain(name)) {
            preparing.wrong("except", "bad-unit", "expected full names of units, such as nginx.service");
        }
        Some(Self { scope: scope?, except: check.except.clone() })
    }

    pub(super) fn target(&self) -> String {
        match &self.scope {
            Scope::System => "all units".into(),
            Scope::User(user) => format!("all units of {user}"),
        }
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        None
    }

    pub(super) async fn look(&self, _dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        trace.step = Step::Answer;
        let listed = self.scope.ask(&["list-units", "--failed", "--no-legend", "--output", "json"]).await?;
        let failed = self.judge(&listed)?;
        trace.figures.insert("failed_units".into(), failed.len() as f64);
        if failed.is_empty() {
            return Ok("no unit has failed".into());
        }
        let more = if failed.len() > 8 { format!(" and {} more", failed.len() - 8) } else { String::new() };
        let shown = failed.iter().take(8).map(|name| quoted(name, &[]).trim_matches('"').to_owned());
        let shown = shown.collect::<Vec<_>>().join(", ");
        Err(Problem::fail(Reason::UnitFailed, format!("failed: {shown}{more}")))
    }

    fn judge(&self, listed: &str) -> Result<Vec<String>, Problem> {
        // systemd prints nothing at all, or an empty array, where there are none.
        if listed.trim().is_empty() {
            return Ok(Vec::new());
        }
        let units: Option<Vec<Value>> = serde_json::from_str(listed).ok();
        let units = units
            .ok_or_else(|| Problem::error(Reason::Unsupported, "systemctl prints no JSON (systemd before 246)"))?;
        let names = units.iter().filter_map(|unit| unit.get("unit")?.as_str().map(str::to_owned));
        Ok(names.filter(|name| !self.except.contains(name)).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failed_ones_are_named_but_for_the_exceptions() {
        let probe = Probe { scope: Scope::System, except: vec!["b.service".into()] };
        let listed = r#"[{"unit":"a.service","load":"loaded"},{"unit":"b.service"}]"#;
        assert_eq!(probe.judge(listed).ok(), Some(vec!["a.service".to_owned()]));
        assert_eq!(probe.judge("").ok(), Some(Vec::new()));
        assert!(probe.judge("UNIT LOAD").is_err());
    }
}
