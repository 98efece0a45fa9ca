//! Why a run failed: an exit code and one or more errors, each with its place and its remedy.

use std::fmt::Display;

use contract::{ErrorObject, Exit, Finding, Level, Pointer};

/// A run that did not do what it was asked. Tools turn their own errors into this one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Failure {
    exit: Exit,
    errors: Vec<ErrorObject>,
}

impl Failure {
    /// A failure with one error. `code` is its stable name in snake_case; `message` is lower case without a final dot and
    /// never holds the value of a secret.
    pub fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        let error =
            ErrorObject { code: code.into(), exit: exit.code(), message: message.into(), ..ErrorObject::default() };
        Self { exit, errors: vec![error] }
    }

    /// The reader of our output is gone: nothing to say, and no failure either.
    pub fn closed_pipe() -> Self {
        Self { exit: Exit::Done, errors: Vec::new() }
    }

    /// A bad document, from the errors among its findings.
    pub fn bad_document(findings: impl IntoIterator<Item = Finding>) -> Self {
        let errors = findings.into_iter().filter(|finding| finding.level == Level::Error).map(|finding| ErrorObject {
            code: finding.code.replace('-', "_"),
            exit: Exit::BadDocument.code(),
            message: finding.message,
            place: finding.file,
            pointer: Some(finding.pointer),
            hint: finding.fix,
            ..ErrorObject::default()
        });
        Self { exit: Exit::BadDocument, errors: errors.collect() }
    }

    /// Several failures as one; the exit is that of the first.
    pub fn join(failures: impl IntoIterator<Item = Failure>) -> Option<Self> {
        failures.into_iter().reduce(|mut first, next| {
            first.errors.extend(next.errors);
            first
        })
    }

    /// An error of the operating system while doing something to a file. The exit is the one given, but a full disk, a
    /// missing permission or a missing file is named as such.
    pub fn io(exit: Exit, doing: &str, path: impl Display, error: &std::io::Error) -> Self {
        use std::io::ErrorKind;
        let failure = Self::new(exit, "io", format!("cannot {doing}: {}", describe_io(error))).place(path.to_string());
        match error.kind() {
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                failure.hint("free some space and run it again; nothing was lost")
            }
            ErrorKind::PermissionDenied => failure.hint("check the owner and mode of the path, or run as another user"),
            ErrorKind::ReadOnlyFilesystem => failure.hint("the file system is mounted read-only"),
            _ => failure,
        }
    }

    /// The same, in this file, host or unit.
    #[must_use]
    pub fn place(mut self, place: impl Into<String>) -> Self {
        let place = place.into();
        for error in &mut self.errors {
            error.place.get_or_insert_with(|| place.clone());
        }
        self
    }

    /// The same, at this place in the document.
    #[must_use]
    pub fn at(mut self, pointer: Pointer) -> Self {
        for error in &mut self.errors {
            error.pointer.get_or_insert_with(|| pointer.clone());
        }
        self
    }

    /// The same with a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        if let Some(error) = self.errors.last_mut() {
            error.hint = Some(hint.into());
        }
        self
    }

    /// The same with an underlying cause.
    #[must_use]
    pub fn cause(mut self, cause: impl Display) -> Self {
        if let Some(error) = self.errors.last_mut() {
            error.causes.push(cause.to_string());
        }
        self
    }

    /// The exit code that the process ends with.
    pub fn exit(&self) -> Exit {
        self.exit
    }

    /// The errors, in order.
    pub fn errors(&self) -> &[ErrorObject] {
        &self.errors
    }

    /// The errors, to fill in what only the reader of the document knows.
    pub(crate) fn errors_mut(&mut self) -> &mut [ErrorObject] {
        &mut self.errors
    }

    /// The first error, as it goes into a result document.
    pub fn into_error(mut self, tool: &crate::Tool) -> ErrorObject {
        let mut error = if self.errors.is_empty() { ErrorObject::default() } else { self.errors.swap_remove(0) };
        error.tool = tool.name.into();
        error.version = tool.version.into();
        error
    }
}

/// What the system said, without Rust's `(os error N)`.
fn describe_io(error: &std::io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut chars = text.chars();
    chars.next().map(|first| first.to_lowercase().chain(chars).collect()).unwrap_or_default()
}
