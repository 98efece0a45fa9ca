//! A connection to a host, whatever speaks SSH.

use std::io::{Read, Write};

use cli::{Failure, Session};
use contract::Exit;
use contract::document::InventoryAddress;

use super::host_key::{KnownHosts, PublicKey};
use super::ssh_config::needs_openssh;
use super::{SshHost, TransportChoice, describe, libssh, openssh};

/// A connection on which commands can be run.
pub trait Transport: Send {
    /// Starts a command.
    ///
    /// # Errors
    /// 75 where the connection does not hold.
    fn exec(&mut self, command: &str) -> Result<Box<dyn Channel>, Failure>;

    /// The key that the host showed, where it is known here.
    fn host_key(&self) -> Option<PublicKey> {
        None
    }

    /// How long a round trip takes, where that is known here.
    fn round_trip(&self) -> Option<std::time::Duration> {
        None
    }

    /// Ends the connection, with all that still goes on in it, without waiting for the other side.
    fn hang_up(&mut self) {}

    /// The public key by which we logged in, where it is known here.
    fn login_key(&self) -> Option<PublicKey> {
        None
    }
}

/// The streams of one command.
pub trait Channel: Read + Write + Send {
    /// Ends its standard input.
    fn close_input(&mut self);

    /// Waits for its end: exit code and what it said on standard error.
    fn finish(self: Box<Self>) -> (i32, String);
}

/// Connects to a host by the first way that answers. What kept the others from it is in the failure.
///
/// # Errors
/// 75 where no way answers, 77 where the host's key or the login is refused.
pub fn connect(
    session: &Session,
    host: &SshHost,
    ways: &[InventoryAddress],
) -> Result<(Box<dyn Transport>, InventoryAddress), Failure> {
    let known_hosts = KnownHosts::of_user();
    let openssh = |way: &InventoryAddress| match host.transport {
        TransportChoice::Ssh2 => None,
        TransportChoice::Openssh => Some("it was asked for"),
        TransportChoice::Auto => needs_openssh(host, way, &known_hosts),
    };
    match host.transport {
        TransportChoice::Ssh2 if host.via.is_some() => {
            return Err(Failure::new(Exit::Usage, "usage", "a host behind another one needs --transport openssh")
                .place(&host.name));
        }
        _ => {}
    }
    let mut failures: Vec<Failure> = Vec::new();
    for way in ways {
        session.note(&format!("{}: trying {}", host.name, describe(way)));
        let connected = match openssh(way) {
            Some(why) => {
                session.note(&format!("{}: by the system's ssh: {why}", host.name));
                openssh::connect(host, way)
            }
            None => match libssh::connect(session, host, way, &known_hosts) {
                // Certificates and hardware keys of the agent are beyond the library.
                Err(failure) if host.transport == TransportChoice::Auto && libssh::left_keys(&failure) => {
                    openssh::connect(host, way)
                }
                connected => connected,
            },
        };
        match connected {
            Ok(transport) => return Ok((transport, way.clone())),
            Err(failure) => {
                let failure = failure.place(format!("{} ({})", host.name, describe(way)));
                // A wrong key is the end: the next way might be the same impostor, less careful.
                let is_key = failure.errors().iter().any(|error| error.code.starts_with("host_key_"));
                if is_key {
                    return Err(failure);
                }
                failures.push(failure);
            }
        }
    }
    // The most telling one first: a refused login says more than a closed port.
    failures.sort_by_key(|failure| failure.exit() != Exit::Permission);
    let mut failures = failures.into_iter();
    let first = failures
        .next()
        .unwrap_or_else(|| Failure::new(Exit::BadDocument, "no_address", "the host has no address").place(&host.name));
    Ok(failures.fold(first, |first, other| match other.errors().first() {
        Some(error) => first.cause(format!("{}: {}", error.place.clone().unwrap_or_default(), error.message)),
        None => first,
    }))
    .and_then(Err)
}

/// The keys that a host shows at an address, one of each type, without trusting any.
///
/// # Errors
/// 75 where nothing answers.
pub fn keyscan(way: &InventoryAddress) -> Result<Vec<PublicKey>, Failure> {
    libssh::scan(way)
}
