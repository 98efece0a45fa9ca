//! `report`: a stored report in another format.

use cli::{Failure, Input, Session};
use contract::Exit;
use contract::document::{HealthReport, HealthStatus};

use crate::format;

/// Reads a report and writes it as it is asked for. Nothing is looked at.
pub(super) fn report(input: &Input, session: &Session) -> Result<Exit, Failure> {
    let report = session.read::<HealthReport>(input)?.document;
    format::print(&report, session)?;
    if session.prints_report("nagios") {
        return Ok(format::nagios::exit(&report));
    }
    let good = report.status != HealthStatus::Down && !report.deadline_exceeded;
    Ok(if good { Exit::Done } else { Exit::No })
}
