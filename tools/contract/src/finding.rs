//! `findings/v1`: what a `check` verb found in a document, all of it in one run.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::{Document, Pointer, SchemaId};

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    /// The document cannot be used as it is.
    Error,
    /// It can be used, but a person should look.
    Warning,
    /// Worth knowing.
    Note,
}

/// One thing that is wrong or doubtful in a document.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Finding {
    /// How bad it is.
    pub level: Level,
    /// Stable name in kebab-case, such as `port-clash`.
    pub code: String,
    /// Where it is.
    pub pointer: Pointer,
    /// The file that holds that place, where a document is joined from several or several files were checked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Other places that belong to it, such as the second service on the same port.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub related: Vec<Pointer>,
    /// What is wrong. Never holds the value of a secret.
    pub message: String,
    /// What to do about it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fix: Option<String>,
}

impl Finding {
    /// An error at `pointer`.
    pub fn error(code: &str, pointer: Pointer, message: impl Into<String>) -> Self {
        Self {
            level: Level::Error,
            code: code.into(),
            pointer,
            file: None,
            related: Vec::new(),
            message: message.into(),
            fix: None,
        }
    }

    /// A warning at `pointer`.
    pub fn warning(code: &str, pointer: Pointer, message: impl Into<String>) -> Self {
        Self { level: Level::Warning, ..Self::error(code, pointer, message) }
    }

    /// A note at `pointer`.
    pub fn note(code: &str, pointer: Pointer, message: impl Into<String>) -> Self {
        Self { level: Level::Note, ..Self::error(code, pointer, message) }
    }

    /// The same with a remedy.
    #[must_use]
    pub fn fix(mut self, fix: impl Into<String>) -> Self {
        self.fix = Some(fix.into());
        self
    }

    /// The same with another place that belongs to it.
    #[must_use]
    pub fn related(mut self, pointer: Pointer) -> Self {
        self.related.push(pointer);
        self
    }

    /// The same, naming the file that holds the place.
    #[must_use]
    pub fn in_file(mut self, file: impl Into<String>) -> Self {
        self.file = Some(file.into());
        self
    }
}

/// Everything that a `check` found. Empty findings mean that the document is good.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
pub struct Findings {
    /// The findings, sorted by level, file and pointer.
    pub findings: Vec<Finding>,
}

impl Findings {
    /// Sorted and without repetitions.
    pub fn new(mut findings: Vec<Finding>) -> Self {
        findings.sort_by(|a, b| {
            (a.level, &a.file, &a.pointer, &a.code, &a.message)
                .cmp(&(b.level, &b.file, &b.pointer, &b.code, &b.message))
        });
        findings.dedup();
        Self { findings }
    }

    /// Whether one of them is an error.
    pub fn has_errors(&self) -> bool {
        self.findings.iter().any(|finding| finding.level == Level::Error)
    }

    /// How many there are of a level.
    pub fn count(&self, level: Level) -> usize {
        self.findings.iter().filter(|finding| finding.level == level).count()
    }
}

impl Document for Findings {
    const ID: SchemaId = SchemaId::FINDINGS;
}
