//! A conversation with the helper on a host, which is sent there first if it is not there yet.

use std::collections::VecDeque;
use std::io;

use cli::{Failure, Session};
use contract::Exit;
use contract::document::{Arch, InventoryAddress};

use super::host_key::PublicKey;
use super::local::Local;
use super::root::{Root, explain};
use super::shelf::own_arch;
use super::shipment::{FORBIDDEN, HELPER, NOWHERE, Start, Started};
use super::transport::{Channel, Transport, connect};
use super::{Place, Shelf, SshHost, describe};
use crate::engine::programs::PROGRAMS;
use crate::fault::Fault;
use crate::wire::{self, BLOB, Frame, Login, Reply, Request, read_frame, write_frame, write_json};

/// What a host may ask for: bytes by their hash.
pub trait Supplies {
    /// The bytes of a hash.
    fn bytes(&self, sha256: &str) -> Option<std::sync::Arc<[u8]>>;
}

/// Nothing to supply.
impl Supplies for () {
    fn bytes(&self, _sha256: &str) -> Option<std::sync::Arc<[u8]>> {
        None
    }
}

impl Supplies for Shelf {
    fn bytes(&self, sha256: &str) -> Option<std::sync::Arc<[u8]>> {
        self.found(sha256)
    }
}

impl Supplies for crate::blobs::Blobs {
    fn bytes(&self, sha256: &str) -> Option<std::sync::Arc<[u8]>> {
        self.get(sha256)
    }
}

/// What came from the host.
#[derive(Debug)]
pub enum Said {
    /// A reply.
    Reply(Reply),
    /// Standard output of a tool.
    Stdout(Vec<u8>),
    /// Standard error of a tool.
    Stderr(Vec<u8>),
}

/// The first question, which may depend on the way that answered and on the host's processor.
pub type Ask<'a> = &'a dyn Fn(Option<&InventoryAddress>, Arch) -> Result<Request, Failure>;

/// A conversation.
pub struct Link {
    channel: Box<dyn Channel>,
    /// Kept open as long as its channel.
    transport: Box<dyn Transport>,
    /// The way that answered; none for this machine.
    pub way: Option<InventoryAddress>,
    /// The host's processor.
    pub arch: Arch,
    waiting: VecDeque<Said>,
}

impl Link {
    /// Connects, starts the helper and asks the first question, all in one go where the helper is there already.
    ///
    /// # Errors
    /// Those of [`connect`], and 69 where the helper does not start.
    pub fn open(
        session: &Session,
        shelf: &Shelf,
        place: &Place,
        ways: Option<&[InventoryAddress]>,
        request: Ask<'_>,
    ) -> Result<Self, Failure> {
        match place {
            Place::Local => {
                let arch = own_arch().ok_or_else(|| {
                    Failure::new(Exit::Unavailable, "unknown_arch", "this machine's processor is not known")
                })?;
                let helper = shelf.find(HELPER, arch)?.path;
                let mut transport: Box<dyn Transport> = Box::new(Local { helper });
                let channel = transport.exec("")?;
                let mut link = Self { channel, transport, way: None, arch, waiting: VecDeque::new() };
                link.ask(&request(None, arch)?)?;
                Ok(link)
            }
            Place::Sandbox(_) => Err(Failure::new(Exit::Usage, "usage", "a sandbox is only for plan and apply")),
            Place::Ssh(host) => Self::open_ssh(session, shelf, host, ways, request),
        }
    }

    fn open_ssh(
        session: &Session,
        shelf: &Shelf,
        host: &SshHost,
        ways: Option<&[InventoryAddress]>,
        request: Ask<'_>,
    ) -> Result<Self, Failure> {
        // As long as nobody says otherwise a host is what we are; it tells if it is not.
        let mut arch = host.arch.or_else(own_arch).unwrap_or(Arch::X86_64);
        shelf.warm(HELPER, arch);
        let (mut transport, way) = connect(session, host, ways.unwrap_or(&host.addresses))?;
        let place = format!("{} ({})", host.name, describe(&way));
        let key = transport.login_key().map(|key| key.line());
        let login = Login { user: way.user.clone(), port: way.port, key };
        let first = |arch: Arch| {
            let mut frame = Vec::new();
            let request = request(Some(&way), arch)?.from_login(login.clone());
            write_json(&mut frame, &request).map_err(|error| lost(&error))?;
            Ok::<_, Failure>(frame)
        };
        let mut frame = first(arch)?;
        let mut root = Root::open(&mut *transport, host, &way).map_err(|failure| failure.place(&place))?;
        let mut anew = false;
        loop {
            let round_trip = transport.round_trip();
            let start = Start { session, shelf, host: &host.name, arch, anew, request: &frame, round_trip };
            let mut channel = root.exec(&mut *transport, &start.script())?;
            let started = start.converse(&mut *channel).map_err(|error| lost(&error).place(&place))?;
            let noise = match started.map_err(|failure| failure.place(&place))? {
                Started::Answer(kind, payload) => {
                    let way = Some(way.clone());
                    let mut link = Self { channel, transport, way, arch, waiting: VecDeque::new() };
                    link.waiting.extend(said(kind, &payload)?);
                    return Ok(link);
                }
                Started::Other(other) => {
                    channel.close_input();
                    channel.finish();
                    tell_other(session, host, other);
                    arch = other;
                    frame = first(arch)?;
                    continue;
                }
                Started::Silent(noise) => noise,
            };
            let (code, words) = channel.finish();
            if root.is_asked(&words) {
                root.settle(&mut *transport).map_err(|failure| failure.place(&place))?;
                continue;
            }
            // What lies there may be half of one, from a loss of power, or may not be run from there.
            if anew || !noise.is_empty() || (code != 0 && code < FORBIDDEN) || explain(&words).is_some() {
                return Err(did_not_start(code, &format!("{noise}\n{words}")).place(place));
            }
            anew = true;
        }
    }

    /// Asks something.
    ///
    /// # Errors
    /// 75 where the connection broke.
    pub fn ask(&mut self, request: &Request) -> Result<(), Failure> {
        write_json(&mut *self.channel, request).map_err(|error| lost(&error))
    }

    /// Sends bytes that the host waits for.
    ///
    /// # Errors
    /// 75 where the connection broke.
    pub fn send(&mut self, bytes: &[u8]) -> Result<(), Failure> {
        write_frame(&mut *self.channel, BLOB, bytes).map_err(|error| lost(&error))
    }

    /// Sends a piece of a tool's standard input; an empty one is its end.
    ///
    /// # Errors
    /// 75 where the connection broke.
    pub fn send_input(&mut self, piece: &[u8]) -> Result<(), Failure> {
        write_frame(&mut *self.channel, wire::STDIN, piece).map_err(|error| lost(&error))
    }

    /// What comes next. Blobs that the host asks for are sent on the way; its errors become ours.
    ///
    /// # Errors
    /// The host's own, and 75 where the connection broke.
    pub fn next(&mut self, supplies: &dyn Supplies) -> Result<Said, Failure> {
        loop {
            let next = match self.waiting.pop_front() {
                Some(next) => next,
                None => match read_frame(&mut *self.channel) {
                    Ok(Frame::Good(kind, payload)) => match said(kind, &payload)? {
                        Some(next) => next,
                        None => continue,
                    },
                    Ok(Frame::End | Frame::Noise(_)) => return Err(lost(&io::ErrorKind::UnexpectedEof.into())),
                    Err(error) => return Err(lost(&error)),
                },
            };
            match next {
                Said::Reply(Reply::Need(hashes)) => {
                    for hash in hashes {
                        let bytes = supplies.bytes(&hash).ok_or_else(|| {
                            Failure::new(Exit::Bug, "no_supply", "the host asks for bytes that nobody named")
                        })?;
                        self.send(&bytes)?;
                    }
                }
                Said::Reply(Reply::Error(error)) => return Err(Fault::from(*error).into()),
                next => return Ok(next),
            }
        }
    }

    /// The next reply that is more than a sign of life.
    ///
    /// # Errors
    /// As [`Link::next`].
    pub fn reply(&mut self, supplies: &dyn Supplies) -> Result<Reply, Failure> {
        loop {
            match self.next(supplies)? {
                Said::Reply(Reply::Alive | Reply::Progress(_)) | Said::Stdout(_) | Said::Stderr(_) => {}
                Said::Reply(reply) => return Ok(reply),
            }
        }
    }

    /// The key that the host showed.
    pub fn host_key(&self) -> Option<PublicKey> {
        self.transport.host_key()
    }

    /// What documents say for this way.
    pub fn describe(&self) -> String {
        self.way.as_ref().map_or_else(|| "local".into(), describe)
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // All is said. A channel of its own would still wait for the other side to end it.
        self.transport.hang_up();
    }
}

/// A host of which the inventory says something else.
fn tell_other(session: &Session, host: &SshHost, other: Arch) {
    let (Some(arch), Some(at)) = (host.arch, &host.inventory_at) else { return };
    session.warn(&format!(
        "{}: the inventory is wrong at {}: the processor is not {} but {}, and what is sent is for that; correct \"arch\" of \
         the host in the fleet and render it anew",
        host.name,
        at.clone().join("arch"),
        arch.as_str(),
        other.as_str()
    ));
}

fn said(kind: u8, payload: &[u8]) -> Result<Option<Said>, Failure> {
    Ok(Some(match kind {
        wire::STDOUT => Said::Stdout(payload.to_vec()),
        wire::STDERR => Said::Stderr(payload.to_vec()),
        wire::JSON => Said::Reply(wire::parse(payload).map_err(|error| lost(&error))?),
        _ => return Ok(None),
    }))
}

fn lost(error: &io::Error) -> Failure {
    Failure::new(Exit::TryAgain, "connection_lost", "the connection to the host broke").cause(error)
}

/// Whether a failure means that the connection broke, so that another one may go on.
pub fn is_lost(failure: &Failure) -> bool {
    failure.errors().iter().any(|error| error.code == "connection_lost")
}

fn did_not_start(code: i32, words: &str) -> Failure {
    let words = words.trim().replace('\n', "; ");
    let failure = if let Some(failure) = explain(&words) {
        failure
    } else if words.contains(NOWHERE) {
        let message = format!(
            "the host lets programs start in none of {}, nor root in mounts of its own (unshare)",
            PROGRAMS.join(", ")
        );
        return Failure::new(Exit::Unavailable, "no_place_for_programs", message)
            .hint("mount one of them so that root may write there and start programs (without noexec)");
    } else if words.contains("No space left") {
        Failure::new(Exit::Io, "disk_full", "the disk of the host is full").hint("free some space on the host")
    } else if words.contains("Permission denied") || words.contains("Operation not permitted") {
        Failure::new(Exit::Permission, "not_root", "the login user may not write to the host's state directory")
            .hint("log in as root, or give the host \"become\" (--become sudo)")
    } else {
        Failure::new(Exit::Unavailable, "helper", format!("the helper does not start on the host (exit {code})")).hint(
            "the login shell must be a POSIX shell that prints nothing by itself, and the host must let programs start",
        )
    };
    if words.is_empty() { failure } else { failure.cause(words.chars().take(400).collect::<String>()) }
}
