//! An error that can travel from the host to the controller.

use std::fmt::Display;
use std::io;

use contract::{ErrorObject, Exit};

/// Why something on a host could not be done. It is an `error/v1` from the start, because it crosses a connection.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", .0.message)]
pub struct Fault(Box<ErrorObject>);

/// The usual result on a host.
pub type Outcome<T> = Result<T, Fault>;

impl Fault {
    /// A fault with its exit, its stable code and what is wrong (lower case, no final dot, never a secret).
    pub fn new(exit: Exit, code: &str, message: impl Into<String>) -> Self {
        Self(Box::new(ErrorObject {
            tool: "host-provision".into(),
            version: env!("CARGO_PKG_VERSION").into(),
            code: code.into(),
            exit: exit.code(),
            message: message.into(),
            ..ErrorObject::default()
        }))
    }

    /// An error of the system while doing something to a path.
    pub fn io(doing: &str, path: impl Display, error: &io::Error) -> Self {
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
        let exit = match error.kind() {
            io::ErrorKind::PermissionDenied => Exit::Permission,
            _ => Exit::Io,
        };
        let fault = Self::new(exit, "io", format!("cannot {doing}: {text}")).place(path.to_string());
        match error.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => fault.hint("free some space on the host"),
            io::ErrorKind::ReadOnlyFilesystem => fault.hint("the file system is mounted read-only"),
            io::ErrorKind::PermissionDenied => fault.hint(
                "log in as root, or give the host \"become\" in the inventory; on this machine itself run it as root",
            ),
            _ => fault,
        }
    }

    /// The same, from an error number.
    pub fn errno(doing: &str, path: impl Display, error: rustix::io::Errno) -> Self {
        Self::io(doing, path, &io::Error::from(error))
    }

    /// The same, at this place, if none is known yet.
    #[must_use]
    pub fn place(mut self, place: impl Into<String>) -> Self {
        self.0.place.get_or_insert(place.into());
        self
    }

    /// The same, at this place of the document that asked for it.
    #[must_use]
    pub fn at(mut self, pointer: contract::Pointer) -> Self {
        self.0.pointer.get_or_insert(pointer);
        self
    }

    /// The same with a remedy.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.0.hint = Some(hint.into());
        self
    }

    /// The same with an underlying cause.
    #[must_use]
    pub fn cause(mut self, cause: impl Display) -> Self {
        self.0.causes.push(cause.to_string());
        self
    }

    /// The exit that the process ends with if nothing was changed.
    pub fn exit(&self) -> Exit {
        Exit::from_code(self.0.exit).unwrap_or(Exit::Bug)
    }

    /// The stable code.
    pub fn code(&self) -> &str {
        &self.0.code
    }

    /// The error as it stands in documents.
    pub fn object(&self) -> &ErrorObject {
        &self.0
    }

    /// The error as it stands in documents.
    pub fn into_object(self) -> ErrorObject {
        *self.0
    }
}

impl From<ErrorObject> for Fault {
    fn from(error: ErrorObject) -> Self {
        Self(Box::new(error))
    }
}

#[cfg(feature = "controller")]
impl From<Fault> for cli::Failure {
    fn from(fault: Fault) -> Self {
        let error = fault.into_object();
        let exit = Exit::from_code(error.exit).unwrap_or(Exit::Bug);
        let mut failure = cli::Failure::new(exit, &error.code, error.message);
        if let Some(place) = error.place {
            failure = failure.place(place);
        }
        if let Some(pointer) = error.pointer {
            failure = failure.at(pointer);
        }
        if let Some(hint) = error.hint {
            failure = failure.hint(hint);
        }
        error.causes.into_iter().fold(failure, cli::Failure::cause)
    }
}
