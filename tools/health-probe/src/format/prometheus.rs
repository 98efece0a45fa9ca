//! Metrics for node_exporter's textfile collector, named as blackbox_exporter names them.
//!
//! The labels are `check` and `target`, never `instance` or `job`: those belong to whoever scrapes.

use contract::document::{CheckReport, CheckState, HealthReport, RawResult};

use super::state_word;

/// One family of metrics under way.
struct Family<'a> {
    text: &'a mut String,
    name: &'static str,
    begun: bool,
    help: &'static str,
}

impl Family<'_> {
    fn add(&mut self, labels: &[(&str, &str)], value: f64) {
        if !self.begun {
            self.text.push_str(&format!("# HELP {} {}\n# TYPE {} gauge\n", self.name, self.help, self.name));
            self.begun = true;
        }
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}=\"{}\"", escape(value))).collect();
        let labels = if labels.is_empty() { String::new() } else { format!("{{{}}}", labels.join(",")) };
        self.text.push_str(&format!("{}{labels} {value}\n", self.name));
    }
}

/// Writes it.
pub(super) fn write(report: &HealthReport) -> String {
    let mut text = String::new();
    let mut family = |name, help, fill: &dyn Fn(&mut Family<'_>)| {
        fill(&mut Family { text: &mut text, name, begun: false, help });
    };
    let looked = || {
        let looked = |check: &&CheckReport| !matches!(check.raw, Some(RawResult::None | RawResult::Skip));
        report.checks.iter().filter(looked)
    };
    let target = |check: &CheckReport| check.target.clone().unwrap_or_default();
    family("probe_success", "Whether the probe itself passed.", &|family| {
        for check in looked() {
            let good = match check.raw {
                Some(raw) => matches!(raw, RawResult::Pass | RawResult::Warn),
                None => matches!(check.state, CheckState::Up | CheckState::Degraded),
            };
            family.add(&[("check", &check.id), ("target", &target(check))], f64::from(u8::from(good)));
        }
    });
    family("probe_duration_seconds", "How long the probe took.", &|family| {
        for check in looked() {
            family.add(&[("check", &check.id), ("target", &target(check))], check.ms as f64 / 1000.0);
        }
    });
    family("probe_http_status_code", "Status of the answer.", &|family| {
        for check in looked() {
            if let Some(status) = check.http_status {
                family.add(&[("check", &check.id), ("target", &target(check))], f64::from(status));
            }
        }
    });
    family("probe_http_duration_seconds", "How long each phase of a request took.", &|family| {
        for check in looked().filter(|check| check.kind == "http") {
            let Some(phases) = &check.phases else { continue };
            let phases = [
                ("resolve", phases.resolve),
                ("connect", phases.connect),
                ("tls", phases.tls),
                ("processing", phases.processing),
                ("transfer", phases.transfer),
            ];
            for (phase, ms) in phases {
                if let Some(ms) = ms {
                    family.add(&[("check", &check.id), ("phase", phase), ("target", &target(check))], ms / 1000.0);
                }
            }
        }
    });
    family("probe_failed_due_to_regex", "Whether what the answer holds is why it failed.", &|family| {
        for check in looked().filter(|check| check.kind == "http" && check.http_status.is_some()) {
            let content = matches!(check.reason.as_deref(), Some("body_mismatch" | "header_mismatch"));
            family.add(&[("check", &check.id), ("target", &target(check))], f64::from(u8::from(content)));
        }
    });
    family("probe_ip_protocol", "The IP protocol of the connection, 4 or 6.", &|family| {
        for check in looked() {
            let address = check.address.as_deref().and_then(|address| address.parse::<std::net::SocketAddr>().ok());
            if let Some(address) = address {
                let version = if address.is_ipv4() { 4.0 } else { 6.0 };
                family.add(&[("check", &check.id), ("target", &target(check))], version);
            }
        }
    });
    let time = |text: &str| text.parse::<jiff::Timestamp>().ok().map(|time| time.as_second() as f64);
    family(
        "probe_ssl_earliest_cert_expiry",
        "When the first certificate expires, also of a chain that is refused.",
        &|family| {
            for check in looked() {
                let Some(certificate) = &check.certificate else { continue };
                let sent = certificate.sent_expires_at.as_deref().and_then(time);
                let times = [sent, time(&certificate.expires_at), time(&certificate.chain_expires_at)];
                if let Some(until) = times.into_iter().flatten().min_by(f64::total_cmp) {
                    family.add(&[("check", &check.id), ("target", &target(check))], until);
                }
            }
        },
    );
    family("probe_ssl_last_chain_expiry_timestamp_seconds", "When the chain that was verified expires.", &|family| {
        for check in looked() {
            let certificate = check.certificate.as_ref().filter(|certificate| certificate.verified);
            if let Some(until) = certificate.and_then(|certificate| time(&certificate.chain_expires_at)) {
                family.add(&[("check", &check.id), ("target", &target(check))], until);
            }
        }
    });
    family("health_check_figure", "What a check measured: percents used, restarts, lost packets.", &|family| {
        for check in looked() {
            for (name, value) in &check.figures {
                family.add(&[("check", &check.id), ("figure", name)], *value);
            }
        }
    });
    family("health_check_state", "The state of a check: 1 for the one that it is in.", &|family| {
        let states = [
            CheckState::Up,
            CheckState::Degraded,
            CheckState::Down,
            CheckState::Unreachable,
            CheckState::Unknown,
            CheckState::Skipped,
        ];
        for check in &report.checks {
            for state in states {
                let value = f64::from(u8::from(check.state == state));
                family.add(&[("check", &check.id), ("state", state_word(state))], value);
            }
        }
    });
    family("health_check_flapping", "A check that changes its mind too often.", &|family| {
        for check in report.checks.iter().filter(|check| check.flapping) {
            family.add(&[("check", &check.id)], 1.0);
        }
    });
    family("health_failure_reason", "Why a check is not healthy.", &|family| {
        for check in &report.checks {
            if let Some(reason) = &check.reason {
                family.add(&[("check", &check.id), ("reason", reason)], 1.0);
            }
        }
    });
    family("health_root_cause", "A check that is broken in itself.", &|family| {
        for cause in &report.root_causes {
            family.add(&[("check", &cause.id)], 1.0);
        }
    });
    family("health_blocked_by", "What a check is blocked by.", &|family| {
        for check in &report.checks {
            for root in &check.blocked_by {
                family.add(&[("check", &check.id), ("root", root)], 1.0);
            }
        }
    });
    family("health_run_timestamp_seconds", "When the run began.", &|family| {
        if let Ok(time) = report.started_at.parse::<jiff::Timestamp>() {
            family.add(&[], time.as_second() as f64);
        }
    });
    family("health_run_duration_seconds", "How long the run took.", &|family| {
        family.add(&[], report.ms as f64 / 1000.0);
    });
    text
}

fn escape(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}
