//! What controller and helper say to each other: frames of one byte (the kind), four bytes (the length, big endian) and
//! the payload. Kinds are capital letters, so that a helper that is not there cannot be taken for one.

use std::collections::BTreeMap;
use std::io::{self, Read, Write};

use contract::ErrorObject;
use contract::document::{HostDesired, HostFacts, HostPlan, HostResult};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// JSON: a request or a reply.
pub const JSON: u8 = b'J';
/// Bytes that the other side asked for.
pub const BLOB: u8 = b'B';
/// Standard input of a tool; empty at its end.
pub const STDIN: u8 = b'I';
/// Standard output of a tool.
pub const STDOUT: u8 = b'O';
/// Standard error of a tool.
pub const STDERR: u8 = b'R';

/// The largest piece of a stream in one frame, and how many of them may be on their way to the host: together less than
/// what a channel takes before anybody reads, so that neither side ever waits for the other.
pub const PIECE: usize = 256 * 1024;
/// See [`PIECE`].
pub const PIECES: u32 = 4;

/// The largest payload that is accepted.
const LARGEST: u32 = 512 * 1024 * 1024;

/// What shall be done to a host, with all that is needed for it.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Work {
    /// The desired state, already cut to the stages and items asked for.
    pub desired: HostDesired,
    /// Consents, as `what:name`.
    pub allow: Vec<String>,
    /// Hash of each tool that an item names.
    pub tools: BTreeMap<String, String>,
    /// How the controller came in; none on this machine itself.
    #[serde(default)]
    pub login: Option<Login>,
}

/// How a controller came in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Login {
    /// As whom.
    pub user: String,
    /// By which port.
    pub port: u16,
    /// The public key, as `TYPE BASE64`, where it is known.
    pub key: Option<String>,
}

/// How an apply behaves.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct ApplyOptions {
    /// Fingerprint of every change of the plan, in order; none for "converge now".
    pub expected: Option<Vec<(String, String)>>,
    /// Seconds until an apply that touches access rolls itself back.
    pub confirm_timeout: u64,
    /// Seconds to wait for another run to end.
    pub lock_wait: u64,
    /// There is somebody who can prove access (not in a sandbox).
    pub can_prove: bool,
    /// The name of the run, so that it is found again also where the connection breaks before it is told.
    #[serde(default)]
    pub run: Option<String>,
    /// Port by which the controller came in.
    pub came_by: Option<u16>,
}

/// What the controller asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Request {
    /// What is this host?
    Facts,
    /// What is this host, and what runs there?
    Survey,
    /// What would change?
    Plan(Box<Work>),
    /// Change it.
    Apply(Box<Work>, ApplyOptions),
    /// Tell how a run goes or went.
    Attach {
        /// The run; the latest if none is named.
        run: Option<String>,
    },
    /// Stop after the current change.
    Stop {
        /// The run.
        run: String,
    },
    /// This connection came in over the final way: the owner has access.
    Prove {
        /// The run; the one that waits if none is named.
        run: Option<String>,
        /// Nobody from outside tells: the host must still be able to fetch what it follows.
        #[serde(default)]
        alone: bool,
    },
    /// Put everything back.
    Rollback {
        /// The run; the latest if none is named.
        run: Option<String>,
        /// Why, for the result.
        reason: Option<String>,
        /// Not if access was proven meanwhile, by somebody else.
        #[serde(default)]
        unless_done: bool,
    },
    /// Run a tool of the box.
    Tool(ToolRun),
}

impl Request {
    /// The request of a controller that came in like this.
    #[must_use]
    pub fn from_login(mut self, login: Login) -> Self {
        if let Self::Plan(work) | Self::Apply(work, _) = &mut self {
            work.login = Some(login);
        }
        self
    }
}

/// A tool to be run on the host.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToolRun {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub args: Vec<String>,
    /// Hash of its binary; none runs the one that is installed on the host.
    pub sha256: Option<String>,
    /// Its standard input comes in frames; otherwise it has none.
    pub input: bool,
}

/// What the helper answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Reply {
    /// Send these blobs (by hash), in this order.
    Need(Vec<String>),
    /// What the host is.
    Facts(HostFacts),
    /// What would change. `target` and `through` are filled in by the controller.
    Plan(Box<HostPlan>),
    /// The run has begun and goes on without us.
    Started {
        /// The run.
        run: String,
    },
    /// It goes on.
    Progress(String),
    /// The owner's access must be proven over a new connection, or everything goes back.
    ProveAccess {
        /// The run.
        run: String,
        /// Ports of which the first that answers is enough.
        ports: Vec<u16>,
        /// Seconds left.
        window: u64,
    },
    /// The end of a run.
    Result(Box<HostResult>),
    /// So many more pieces of standard input may come.
    Want(u32),
    /// A tool ended.
    Exited {
        /// Its exit code, 128 and more for a signal.
        code: i32,
    },
    /// It did not work.
    Error(Box<ErrorObject>),
    /// Still there.
    Alive,
}

/// Writes one frame.
///
/// # Errors
/// Those of the writer.
pub fn write_frame(writer: &mut (impl Write + ?Sized), kind: u8, payload: &[u8]) -> io::Result<()> {
    let length = u32::try_from(payload.len()).map_err(|_| io::Error::other("the frame is too large"))?;
    // One write: a header of its own would be a packet of its own.
    let mut frame = Vec::with_capacity(payload.len() + 5);
    frame.push(kind);
    frame.extend_from_slice(&length.to_be_bytes());
    frame.extend_from_slice(payload);
    writer.write_all(&frame)?;
    writer.flush()
}

/// Writes a request or a reply.
///
/// # Errors
/// Those of the writer.
pub fn write_json(writer: &mut (impl Write + ?Sized), message: &impl Serialize) -> io::Result<()> {
    let payload = serde_json::to_vec(message).map_err(io::Error::other)?;
    write_frame(writer, JSON, &payload)
}

/// One frame, or what came instead of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Frame {
    /// A frame and its kind.
    Good(u8, Vec<u8>),
    /// The other side is gone.
    End,
    /// No frame: the first bytes of what came.
    Noise(Vec<u8>),
}

/// Whether a byte begins a frame.
pub fn is_kind(byte: u8) -> bool {
    [JSON, BLOB, STDIN, STDOUT, STDERR].contains(&byte)
}

/// Reads one frame.
///
/// # Errors
/// Those of the reader, and an end in the middle of a frame.
pub fn read_frame(reader: &mut (impl Read + ?Sized)) -> io::Result<Frame> {
    let mut kind = [0_u8; 1];
    loop {
        match reader.read(&mut kind) {
            Ok(0) => return Ok(Frame::End),
            Ok(_) => break,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    if !is_kind(kind[0]) {
        let mut noise = vec![kind[0]];
        reader.take(4096).read_to_end(&mut noise)?;
        return Ok(Frame::Noise(noise));
    }
    let mut length = [0_u8; 4];
    reader.read_exact(&mut length)?;
    let length = u32::from_be_bytes(length);
    if length > LARGEST {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "the frame is too large"));
    }
    let mut payload = Vec::new();
    // Not allocated ahead: a length alone must not cost memory.
    if reader.take(u64::from(length)).read_to_end(&mut payload)? < length as usize {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Frame::Good(kind[0], payload))
}

/// Reads the payload of a JSON frame.
///
/// # Errors
/// Data that is no such message.
pub fn parse<T: DeserializeOwned>(payload: &[u8]) -> io::Result<T> {
    serde_json::from_slice(payload).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_missing_helper_is_no_frame() {
        assert_eq!(read_frame(&mut &b"x86_64\n"[..]).unwrap(), Frame::Noise(b"x86_64\n".to_vec()));
        assert_eq!(read_frame(&mut &b""[..]).unwrap(), Frame::End);
        assert!(read_frame(&mut &b"J\xff\xff\xff\xff"[..]).is_err());
        assert!(read_frame(&mut &b"J\0\0\0\x09abc"[..]).is_err());
    }

    proptest! {
        #[test]
        fn frames_come_back(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..200), 0..5)) {
            let mut bytes = Vec::new();
            for payload in &payloads {
                write_frame(&mut bytes, BLOB, payload).unwrap();
            }
            let mut reader = &bytes[..];
            for payload in payloads {
                prop_assert_eq!(read_frame(&mut reader).unwrap(), Frame::Good(BLOB, payload));
            }
            prop_assert_eq!(read_frame(&mut reader).unwrap(), Frame::End);
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let _ = read_frame(&mut &bytes[..]);
        }
    }
}
