//! What can go wrong with a cluster, and what it means to the caller.

use cli::Failure;
use contract::Exit;
use tokio_postgres::error::SqlState;

/// An error of this program.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Error {
    /// Nothing listens there.
    #[error("no PostgreSQL server answers")]
    Unreachable { place: String, cause: String },
    /// The server is starting, stopping, or has no connection left.
    #[error("the server takes no connection now")]
    Busy { place: String, cause: String },
    /// It does not let us in.
    #[error("the server refuses the login of role \"{role}\"")]
    Login { place: String, role: String, cause: String },
    /// A time limit.
    #[error("the server did not answer in time")]
    Timeout { place: String },
    /// TLS cannot be set up from what is given.
    #[error("TLS cannot be set up")]
    Tls { place: String, cause: String },
    /// A statement failed.
    #[error("{doing} failed: {message}")]
    Statement { doing: String, message: String, code: String },
    /// Another run holds the lock.
    #[error("another run works on this cluster")]
    Locked { place: String },
    /// The cluster is a standby.
    #[error("the server is a standby and takes no changes")]
    Standby { place: String },
    /// What was observed when the plan was made is no more.
    #[error("the cluster has moved since the plan was made: {}", ids.join(", "))]
    Stale { ids: Vec<String> },
    /// The plan is for another cluster.
    #[error("the plan was made for server version {planned}, this one is {found}")]
    OtherVersion { planned: u32, found: u32 },
    /// The system user that owns the cluster is unknown.
    #[error("there is no system user \"{user}\"")]
    NoUser { user: String },
    /// The child with that uid did not do its job.
    #[error("the process that holds the connection {what}")]
    Child { what: String },
    /// The server's answer does not read.
    #[error("the answer of the server to {doing} cannot be read")]
    Answer { doing: String, cause: String },
}

impl Error {
    /// From what the client library says about a connection attempt.
    pub(crate) fn connecting(place: &str, role: &str, error: &tokio_postgres::Error) -> Self {
        let place = place.to_owned();
        let cause = describe(error);
        let Some(code) = error.code() else {
            // Passwords that are wrong on our side of SCRAM come without a code.
            let text = error.to_string();
            return if text.contains("authentication") || text.contains("password missing") {
                Self::Login { place, role: role.into(), cause }
            } else if text.contains("TLS handshake") {
                Self::Tls { place, cause }
            } else {
                Self::Unreachable { place, cause }
            };
        };
        if *code == SqlState::CANNOT_CONNECT_NOW || *code == SqlState::TOO_MANY_CONNECTIONS {
            Self::Busy { place, cause }
        } else if code.code().starts_with("28") || *code == SqlState::INSUFFICIENT_PRIVILEGE {
            Self::Login { place, role: role.into(), cause }
        } else {
            Self::Unreachable { place, cause }
        }
    }

    /// From what the server says to a statement.
    pub(crate) fn statement(doing: &str, error: &tokio_postgres::Error) -> Self {
        let code = error.code().map(|code| code.code().to_owned()).unwrap_or_default();
        Self::Statement { doing: doing.into(), message: describe(error), code }
    }
}

/// What an error says, without the statement (which may hold a verifier).
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    match error.as_db_error() {
        Some(server) => {
            let mut text = server.message().to_owned();
            if let Some(detail) = server.detail() {
                text.push_str(&format!(" ({})", detail.replace('\n', "; ")));
            }
            format!("{text} [{}]", server.code().code())
        }
        None => {
            let mut text = error.to_string();
            let mut source = std::error::Error::source(error);
            while let Some(inner) = source {
                let inner_text = inner.to_string();
                if !text.contains(&inner_text) {
                    text.push_str(&format!(": {inner_text}"));
                }
                source = inner.source();
            }
            text
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        let message = error.to_string();
        match error {
            Error::Unreachable { place, cause } => Failure::new(Exit::Unavailable, "server_unreachable", message)
                .place(place)
                .cause(cause)
                .hint("is the server running, and is `cluster` in the document right?"),
            Error::Busy { place, cause } => {
                Failure::new(Exit::TryAgain, "server_busy", message).place(place).cause(cause).hint("run it again later")
            }
            Error::Login { place, cause, .. } => Failure::new(Exit::Permission, "login_refused", message)
                .place(place)
                .cause(cause)
                .hint("over a socket, run it as root or as the cluster's owner; over TCP, check the password's secret and pg_hba.conf"),
            Error::Timeout { place } => Failure::new(Exit::TryAgain, "timeout", message).place(place),
            Error::Tls { place, cause } => Failure::new(Exit::Permission, "tls", message)
                .place(place)
                .cause(cause)
                .hint("give the authority's certificate in `cluster.tcp.ca`, and a `host` that the server's certificate names"),
            Error::Statement { code, .. } => {
                // SQLSTATEs: PostgreSQL manual, appendix A.
                let exit = match code.as_str() {
                    "42704" | "3F000" | "22023" | "42602" | "42P01" | "0LP01" => Exit::BadDocument,
                    "2BP01" | "55000" => Exit::Refused,
                    "42501" => Exit::Permission,
                    "40001" | "40P01" | "55P03" | "55006" | "57P01" | "57P03" => Exit::TryAgain,
                    "53100" => Exit::Io,
                    _ => Exit::Unavailable,
                };
                let failure = Failure::new(exit, "statement_failed", message);
                match code.as_str() {
                    "2BP01" => failure.hint("other objects depend on it; give them to another role, or remove them first"),
                    "55006" => failure.hint("somebody is connected to it; run it again when nobody is"),
                    "42501" => failure.hint("connect as a role that may do this"),
                    _ => failure,
                }
            }
            Error::Locked { place } => Failure::new(Exit::TryAgain, "locked", message)
                .place(place)
                .hint("wait for the other run, or give it longer with --lock-timeout"),
            Error::Standby { place } => Failure::new(Exit::Unavailable, "standby", message)
                .place(place)
                .hint("name the primary in `cluster`"),
            Error::Stale { .. } => {
                Failure::new(Exit::TryAgain, "stale_plan", message).hint("make a new plan; nothing was changed")
            }
            Error::OtherVersion { .. } => {
                Failure::new(Exit::TryAgain, "stale_plan", message).hint("make a new plan; nothing was changed")
            }
            Error::NoUser { .. } => Failure::new(Exit::NotSetUp, "no_such_user", message)
                .hint("install the server, or name its user in `cluster.socket.user`"),
            Error::Child { .. } => Failure::new(Exit::Bug, "child", message),
            Error::Answer { cause, .. } => Failure::new(Exit::Unavailable, "answer", message).cause(cause),
        }
    }
}
