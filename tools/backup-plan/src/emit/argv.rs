//! Command lines, as a person would type them into a shell.

use contract::document::{BackupPlan, BackupStep};

/// All steps, one a line, with what a run does besides as comments.
pub(crate) fn render(plan: &BackupPlan) -> String {
    let mut text = format!(
        "# plan {} of {}; each repository needs RESTIC_PASSWORD_FILE in the environment\n\
         # roots.raw and excludes.txt come from: backup-plan emit --to files --out {}\n",
        plan.plan, plan.host, plan.state
    );
    for step in &plan.steps {
        text.push_str(&line(step));
        text.push('\n');
        if let Some(file) = &step.file {
            text.push_str(&format!("mv {} {}\n", quoted(&format!("{file}.part")), quoted(file)));
        }
    }
    text
}

fn line(step: &BackupStep) -> String {
    let words: Vec<_> = step.argv.iter().map(|word| quoted(word)).collect();
    let mut line = words.join(" ");
    if let Some(user) = &step.user {
        line = format!("runuser -u {} -- {line}", quoted(user));
    }
    if let Some(stdout) = &step.stdout {
        line.push_str(&format!(" > {}", quoted(stdout)));
    }
    if step.kind == "prune" {
        line = format!("# weekly, never in the same run as a backup: {line}");
    }
    line
}

/// A word as sh(1) reads it.
fn quoted(word: &str) -> String {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_./:=,@+%".contains(&b);
    if !word.is_empty() && word.bytes().all(plain) { word.into() } else { format!("'{}'", word.replace('\'', "'\\''")) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_survive_a_shell() {
        assert_eq!(quoted("it's"), "'it'\\''s'");
        assert_eq!(quoted(""), "''");
        assert_eq!(quoted("/a/b"), "/a/b");
        assert_eq!(quoted("$x"), "'$x'");
    }
}
