//! Documents of this program for people.

use cli::Style;
use contract::Level;
use contract::document::{BackupPlan, BackupProof, BackupResult, BackupVerdict};

/// A number of bytes for people.
fn size(bytes: u64) -> String {
    let units = ["B", "KiB", "MiB", "GiB", "TiB"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < units.len() {
        value /= 1024.0;
        unit += 1;
    }
    if unit == 0 { format!("{bytes} B") } else { format!("{value:.1} {}", units[unit]) }
}

/// A plan.
pub(crate) fn plan(plan: &BackupPlan, style: Style) -> String {
    let mut text =
        format!("{} of {}, digest {}\n", style.bold(&plan.plan), plan.host, &plan.digest[..12.min(plan.digest.len())]);
    let width = plan.roots.iter().map(|root| root.path.chars().count()).max().unwrap_or_default().min(60);
    for root in &plan.roots {
        let counts = match (root.files, root.bytes) {
            (Some(files), Some(bytes)) => format!("{files:>9} files {:>11}", size(bytes)),
            _ => String::new(),
        };
        let line = format!("{} {:width$}  {counts:>27}  {}", style.green("+"), root.path, root.owners.join(", "));
        text.push_str(line.trim_end());
        text.push('\n');
    }
    for pattern in &plan.excludes {
        text.push_str(&format!("{} {pattern}\n", style.dim("-")));
    }
    for omission in &plan.omit {
        text.push_str(&format!("{} {}  left out: {}\n", style.yellow("-"), omission.path, omission.reason));
    }
    for step in plan.steps.iter().filter(|step| step.kind == "dump") {
        text.push_str(&format!("{} {}\n", style.green("+"), step.id));
    }
    for repository in &plan.repositories {
        text.push_str(&format!("> {}  {}\n", repository.id, repository.uri));
    }
    for path in &plan.uncovered {
        text.push_str(&format!("{} {path}  nobody backs this up\n", style.yellow("?")));
    }
    for finding in &plan.findings {
        let level = if finding.level == Level::Warning { style.yellow("warning:") } else { style.dim("note:") };
        text.push_str(&format!("{level} {}\n", finding.message));
    }
    let files: u64 = plan.roots.iter().filter_map(|root| root.files).sum();
    let bytes: u64 = plan.roots.iter().filter_map(|root| root.bytes).sum();
    let dumps = plan.steps.iter().filter(|step| step.kind == "dump").count();
    let counted = plan.roots.iter().any(|root| root.files.is_some());
    let counts = if counted { format!("{files} files, {}, ", size(bytes)) } else { String::new() };
    text.push_str(&format!(
        "Plan: {} roots, {counts}{dumps} dumps, to {} repositories at {}.\n",
        plan.roots.len(),
        plan.repositories.len(),
        plan.policy.schedule
    ));
    text
}

/// A result.
pub(crate) fn result(result: &BackupResult, style: Style) -> String {
    let mut text = String::new();
    let width = result.steps.iter().map(|step| step.id.chars().count()).max().unwrap_or_default().min(40);
    for step in &result.steps {
        let state = match step.state.as_str() {
            "done" => style.green("done   "),
            "failed" => style.red("failed "),
            "partial" => style.yellow("partial"),
            _ => style.dim("skipped"),
        };
        let mut line = format!("{:width$}  {state}  {:>7.1} s", step.id, step.ms as f64 / 1000.0);
        if let Some(snapshot) = &step.snapshot {
            line.push_str(&format!("  snapshot {}", snapshot.chars().take(8).collect::<String>()));
        }
        if let (Some(files), Some(bytes)) = (step.files, step.bytes) {
            line.push_str(&format!(", {files} files, {}", size(bytes)));
        } else if let Some(bytes) = step.bytes {
            line.push_str(&format!("  {}", size(bytes)));
        }
        if let Some(added) = step.added_bytes {
            line.push_str(&format!(", {} new", size(added)));
        }
        if let Some(message) = &step.message {
            line.push_str(&format!("  {message}"));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    let failed = result.steps.iter().filter(|step| step.state == "failed").count();
    let done = result.steps.iter().filter(|step| step.state == "done").count();
    text.push_str(&format!("{} of {}: {done} steps done, {failed} failed.\n", result.plan, result.host));
    text
}

/// A verdict.
pub(crate) fn verdict(verdict: &BackupVerdict, style: Style) -> String {
    let mut text = String::new();
    for repository in &verdict.repositories {
        let mark = if repository.ok { style.green("good") } else { style.red("bad ") };
        let age = repository.age_secs.map(|age| format!("{} old", contract::Duration::from_secs(age - age % 60)));
        let bytes = repository.bytes.map(size);
        let facts: Vec<_> =
            [age, bytes, Some(format!("{} snapshots", repository.snapshots))].into_iter().flatten().collect();
        text.push_str(&format!("{mark}  {}  {}\n", repository.id, facts.join(", ")));
        for problem in &repository.problems {
            text.push_str(&format!("      {problem}\n"));
        }
    }
    for problem in &verdict.problems {
        text.push_str(&format!("{}  {problem}\n", style.red("bad ")));
    }
    let word = if verdict.ok { style.green("good") } else { style.red("bad") };
    text.push_str(&format!("{} of {}: {word}.\n", verdict.plan, verdict.host));
    text
}

/// A proof.
pub(crate) fn proof(proof: &BackupProof, style: Style) -> String {
    let mut text = String::new();
    for mismatch in &proof.mismatches {
        text.push_str(&format!("{} {mismatch}\n", style.red("not as it was:")));
    }
    let word = if proof.ok { style.green("proven") } else { style.red("not proven") };
    text.push_str(&format!(
        "Restore from {} (snapshot {}): {word}; {} files and {} dumps compared, {}, {} had changed meanwhile.\n",
        proof.repository,
        proof.snapshot.chars().take(8).collect::<String>(),
        proof.files - proof.dumps.min(proof.files),
        proof.dumps,
        size(proof.bytes),
        proof.changed
    ));
    text
}
