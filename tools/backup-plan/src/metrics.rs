//! Metrics for node_exporter's textfile collector (Prometheus text format).

use contract::document::{BackupPlan, BackupResult};

use crate::state::History;

/// The text after a run.
pub(crate) fn render(plan: &BackupPlan, result: &BackupResult, history: &History, now: i64) -> String {
    let mut text = String::new();
    let mut gauge = |name: &str, help: &str, rows: Vec<(String, String)>| {
        if !rows.is_empty() {
            text.push_str(&format!("# HELP {name} {help}\n# TYPE {name} gauge\n"));
            for (labels, value) in rows {
                text.push_str(&format!("{name}{{{labels}}} {value}\n"));
            }
        }
    };
    let labels = format!("plan=\"{}\",host=\"{}\"", plan.plan, plan.host);
    let ok = u8::from(result.outcome.is_done() && result.error.is_none());
    gauge("backup_last_run_timestamp_seconds", "When the last run ended.", vec![(labels.clone(), now.to_string())]);
    gauge("backup_last_run_ok", "Whether the last run ended well.", vec![(labels.clone(), ok.to_string())]);
    let success = history.success.map(|time| (labels.clone(), time.to_string())).into_iter().collect();
    gauge("backup_last_success_timestamp_seconds", "When a run last ended well.", success);
    let mut rows = |name: &str, help: &str, value: fn(&contract::document::BackupStepResult) -> Option<u64>| {
        let rows = result
            .steps
            .iter()
            .filter(|step| step.kind == "backup")
            .filter_map(|step| {
                let repository = step.repository.clone().unwrap_or_default();
                Some((format!("{labels},repository=\"{repository}\""), value(step)?.to_string()))
            })
            .collect();
        gauge(name, help, rows);
    };
    rows("backup_files", "Files in the newest snapshot.", |step| step.files);
    rows("backup_bytes", "Bytes in the newest snapshot.", |step| step.bytes);
    rows("backup_added_bytes", "Bytes that the newest snapshot added.", |step| step.added_bytes);
    text
}
