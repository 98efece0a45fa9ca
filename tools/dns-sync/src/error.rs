//! Everything that can go wrong, with its exit code, stable code and remedy.

use std::net::SocketAddr;

use cli::Failure;
use contract::Exit;

use crate::wire::{Rcode, TsigError};

/// Why a zone could not be read, planned or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DnsError {
    #[error("the provider kind \"{kind}\" is not supported yet by this build")]
    UnsupportedProvider { provider: String, kind: &'static str },
    #[error("{what} are not supported yet by this build")]
    UnsupportedPart { what: &'static str },
    #[error("cannot connect to {server}")]
    Connect { server: SocketAddr, cause: std::io::Error },
    #[error("{server} did not answer in time")]
    Timeout { server: SocketAddr },
    #[error("the connection to {server} broke")]
    Broken { server: SocketAddr, cause: std::io::Error },
    #[error("{server} answered {doing} with {rcode}")]
    Rcode { server: SocketAddr, doing: &'static str, rcode: Rcode },
    #[error("{server} answered with something that is no good answer: {what}")]
    Protocol { server: SocketAddr, what: &'static str },
    #[error("{server} and the key \"{key}\": {cause}")]
    Tsig { server: SocketAddr, key: String, cause: TsigError },
    #[error("the secret {name} is no base64")]
    KeyText { name: String },
    #[error("{name} {record_type} is not as it was when the plan was made")]
    Stale { name: String, record_type: String },
    #[error("something else was written to the zone at the same moment ({rcode})")]
    Raced { rcode: Rcode },
    #[error("the changes of {name} do not fit into one message")]
    TooLarge { name: String },
    #[error("{} not show, although the server took {}", plural(*.count, "change does", "changes do"), if *.count == 1 { "it" } else { "them" })]
    NotEffective { count: usize },
    #[error("line {line}: {what}")]
    ZoneFile { path: String, line: usize, what: String },
    #[error("the path leads out of the base directory")]
    PathLeadsOut { path: String },
    #[error("the zone file has no SOA record")]
    NoSoa { path: String },
    #[error("the file was changed while this ran")]
    FileChanged { path: String },
    #[error("the zone is not in the document of the plan")]
    UnknownZone,
    #[error("{}", .0.first().map_or("", String::as_str))]
    Refused(Vec<String>),
    #[error("no authoritative server is known for the zone")]
    NoServers,
    #[error("a name server has no address: {name}")]
    NoAddress { name: String },
    /// What `cli` has said already: secrets, files.
    #[error("{}", .0.errors().first().map_or("", |error| error.message.as_str()))]
    Failure(Box<Failure>),
}

/// `1 change`, `2 changes`.
pub(crate) fn plural(count: usize, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

impl DnsError {
    fn exit(&self) -> Exit {
        match self {
            Self::UnsupportedProvider { .. }
            | Self::UnsupportedPart { .. }
            | Self::Connect { .. }
            | Self::Broken { .. }
            | Self::Protocol { .. }
            | Self::NoServers
            | Self::NoAddress { .. }
            | Self::NotEffective { .. } => Exit::Unavailable,
            Self::Rcode { rcode, .. } if *rcode == Rcode::REFUSED => Exit::Permission,
            Self::Rcode { .. } => Exit::Unavailable,
            Self::Timeout { .. } | Self::Stale { .. } | Self::Raced { .. } | Self::FileChanged { .. } => Exit::TryAgain,
            Self::Tsig { .. } => Exit::Permission,
            Self::KeyText { .. } => Exit::NotSetUp,
            Self::TooLarge { .. }
            | Self::ZoneFile { .. }
            | Self::PathLeadsOut { .. }
            | Self::NoSoa { .. }
            | Self::UnknownZone => Exit::BadDocument,
            Self::Refused(_) => Exit::Refused,
            Self::Failure(failure) => failure.exit(),
        }
    }

    fn code(&self) -> &'static str {
        match self {
            Self::UnsupportedProvider { .. } => "unsupported_provider",
            Self::UnsupportedPart { .. } => "unsupported_part",
            Self::Connect { .. } => "cannot_connect",
            Self::Timeout { .. } => "timeout",
            Self::Broken { .. } => "connection_lost",
            Self::Rcode { rcode, .. } if *rcode == Rcode::REFUSED => "refused_by_server",
            Self::Rcode { rcode, .. } if *rcode == Rcode::NOTAUTH => "not_authoritative",
            Self::Rcode { .. } => "server_failed",
            Self::Protocol { .. } => "bad_answer",
            Self::Tsig { .. } => "tsig_failed",
            Self::KeyText { .. } => "bad_key",
            Self::Stale { .. } => "stale_plan",
            Self::Raced { .. } => "zone_moved",
            Self::TooLarge { .. } => "too_large",
            Self::NotEffective { .. } => "not_effective",
            Self::ZoneFile { .. } => "bad_zone_file",
            Self::PathLeadsOut { .. } => "path_leads_out",
            Self::NoSoa { .. } => "no_soa",
            Self::FileChanged { .. } => "zone_moved",
            Self::UnknownZone => "unknown_zone",
            Self::Refused(_) => "refused",
            Self::NoServers => "no_servers",
            Self::NoAddress { .. } => "no_address",
            Self::Failure(_) => "failure",
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::UnsupportedProvider { .. } => "this build writes to zonefile and rfc2136",
            Self::UnsupportedPart { .. } => "take them out of the document, or use a build that has them",
            Self::Connect { .. } => "is the name server running, and does it listen on TCP there?",
            Self::Timeout { .. } => "run it again; --timeout gives it longer",
            Self::Broken { .. } => "make a new plan: it shows what was done and what was not",
            Self::Rcode { rcode, .. } if *rcode == Rcode::REFUSED => {
                "the server must allow transfer and update of this zone to this key; BIND also refuses a name server without an address"
            }
            Self::Rcode { rcode, .. } if *rcode == Rcode::NOTAUTH => {
                "the server does not have this zone as its primary; zones are never created"
            }
            Self::Tsig { cause, .. } => return Some(cause.hint().into()),
            Self::KeyText { .. } => "the secret is the key's base64 text, as tsig-keygen or keymgr print it",
            Self::Stale { .. } | Self::Raced { .. } => "make a new plan and look at it",
            Self::TooLarge { .. } => "a message holds 60000 octets; put fewer or shorter values at one name",
            Self::NotEffective { .. } => {
                "name servers drop an update silently where it breaks a rule of DNS, such as a CNAME beside other records"
            }
            Self::PathLeadsOut { .. } => "zone files lie below --base; no .., and no link that leads out",
            Self::NoSoa { .. } => "is it the right file? a zone begins with its SOA record",
            Self::FileChanged { .. } => "run it again",
            Self::UnknownZone => "make a new plan",
            Self::Refused(reasons) => {
                let others: Vec<_> = reasons.iter().skip(1).map(String::as_str).collect();
                return (!others.is_empty()).then(|| format!("also: {}", others.join("; ")));
            }
            Self::NoServers => "name them with --server NAME=ADDRESS:PORT",
            Self::NoAddress { .. } => "give it with --server NAME=ADDRESS:PORT",
            _ => return None,
        };
        Some(text.into())
    }
}

impl From<DnsError> for Failure {
    fn from(error: DnsError) -> Self {
        let mut failure = Failure::new(error.exit(), error.code(), error.to_string());
        if let Some(hint) = error.hint() {
            failure = failure.hint(hint);
        }
        match error {
            DnsError::Failure(failure) => *failure,
            DnsError::Connect { cause, .. } | DnsError::Broken { cause, .. } => {
                let text = cause.to_string();
                failure.cause(text.split(" (os error").next().unwrap_or(&text).to_lowercase())
            }
            DnsError::ZoneFile { path, .. }
            | DnsError::PathLeadsOut { path }
            | DnsError::NoSoa { path }
            | DnsError::FileChanged { path } => failure.place(path),
            DnsError::UnsupportedProvider { provider, .. } => {
                failure.at(contract::Pointer::root().join("providers").join(provider))
            }
            _ => failure,
        }
    }
}

impl From<Failure> for DnsError {
    fn from(failure: Failure) -> Self {
        Self::Failure(Box::new(failure))
    }
}
