//! What can go wrong, and what it means to the caller.

use cli::Failure;
use contract::Exit;

/// An error of this program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// A program is not installed.
    #[error("the program {program} is not there")]
    NoProgram { program: String },
    /// A system user is unknown.
    #[error("there is no system user \"{user}\"")]
    NoUser { user: String },
    /// A step needs another user than the one we are.
    #[error("the step {step} runs as {user}, which only root can do")]
    NotRoot { step: String, user: String },
    /// Another run is under way.
    #[error("another run of this plan is under way")]
    Busy { place: String },
    /// A step took too long.
    #[error("{step} was ended after {limit}")]
    Timeout { step: String, limit: String },
    /// restic does not accept the password.
    #[error("the repository {repository} does not accept the password")]
    Password { repository: String },
    /// There is no repository.
    #[error("there is no repository {repository} at {uri}")]
    NoRepository { repository: String, uri: String },
    /// Somebody else has it locked.
    #[error("the repository {repository} is locked")]
    Locked { repository: String, detail: String },
    /// No space left.
    #[error("no space is left for {step}")]
    Full { step: String, detail: String },
    /// A command failed.
    #[error("{step} failed with exit code {code}")]
    Command { step: String, code: i32, detail: String },
    /// A command ended well but said something else than it should.
    #[error("{step} did not say what was expected")]
    Unexpected { step: String, detail: String },
    /// A file or directory cannot be used.
    #[error("cannot {doing} {path}")]
    Files { doing: &'static str, path: String, cause: String, full: bool },
    /// The repository holds no snapshot of the plan.
    #[error("the repository {repository} holds no snapshot of the plan {plan}")]
    NoSnapshot { repository: String, plan: String },
    /// What restic printed cannot be read.
    #[error("what restic said of {what} cannot be read")]
    Answer { what: String, cause: String },
    /// A root is not as the plan found it.
    #[error("{path}: {message}")]
    Root { path: String, message: String },
    /// The retention would take everything.
    #[error("forget would leave no snapshot of the plan in {repository}")]
    KeepsNothing { repository: String },
    /// It was interrupted.
    #[error("interrupted")]
    Interrupted(Exit),
}

impl Error {
    /// From an error of the system.
    pub(crate) fn files(doing: &'static str, path: impl AsRef<std::path::Path>, error: &std::io::Error) -> Self {
        let text = error.to_string();
        let cause = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
        let full = matches!(error.kind(), std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded);
        Self::Files { doing, path: path.as_ref().display().to_string(), cause, full }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        let fail = |exit, code: &str| Failure::new(exit, code, message.clone());
        match error {
            Error::NoProgram { program } => fail(Exit::Unavailable, "no_program")
                .hint(format!("install it, such as with: apt-get install {}", package_of(&program))),
            Error::NoUser { .. } => fail(Exit::NotSetUp, "no_such_user").hint("install what brings the user along, or name another"),
            Error::NotRoot { .. } => fail(Exit::Permission, "not_root").hint("run it as root"),
            Error::Busy { place } => fail(Exit::TryAgain, "busy").place(place).hint("wait for it to end"),
            Error::Timeout { .. } => fail(Exit::TryAgain, "timeout"),
            Error::Password { .. } => fail(Exit::Permission, "wrong_password")
                .hint("the repository was made with another password: find the right one, there is no other way in"),
            Error::NoRepository { .. } => fail(Exit::Unavailable, "no_repository")
                .hint("if it shall be made, let `init` of the repository be true; if it was there before, find out where it went"),
            Error::Locked { detail, .. } => fail(Exit::TryAgain, "locked")
                .cause(detail)
                .hint("another restic works on it; locks of processes that are gone are taken away by themselves"),
            Error::Full { detail, .. } => {
                fail(Exit::Io, "disk_full").cause(detail).hint("free some space and run it again; what was there before is kept")
            }
            Error::Command { detail, .. } => fail(Exit::Unavailable, "command_failed").cause(detail),
            Error::Unexpected { detail, .. } => fail(Exit::Unavailable, "command_failed").cause(detail),
            Error::Files { cause, full, .. } => {
                let failure = fail(Exit::Io, if full { "disk_full" } else { "io" }).cause(cause);
                if full { failure.hint("free some space and run it again; what was there before is kept") } else { failure }
            }
            Error::NoSnapshot { .. } => fail(Exit::Unavailable, "no_snapshot").hint("run the plan first"),
            Error::Answer { cause, .. } => fail(Exit::Unavailable, "answer").cause(cause),
            Error::Root { .. } => fail(Exit::Unavailable, "root").hint("put it right, or make a new plan"),
            Error::KeepsNothing { .. } => fail(Exit::Refused, "keeps_nothing").hint("look at `policy.retention`"),
            Error::Interrupted(exit) => Failure::new(exit, "interrupted", message),
        }
    }
}

fn package_of(program: &str) -> &str {
    match program {
        "pg_dump" | "pg_dumpall" | "pg_restore" => "postgresql-client",
        other => other,
    }
}
