//! A tool of the box run on a host, as if it ran here: standard streams and exit code.

use std::io::{IsTerminal, Read, Write};
use std::sync::mpsc::{Receiver, RecvTimeoutError, sync_channel};
use std::time::Duration;

use cli::{Failure, Session};
use contract::Exit;
use contract::document::{Arch, HostResult};

use crate::controller::Controller;
use crate::target::{Link, Place, Said, Supplies, own_arch};
use crate::wire::{PIECE, Reply, Request, ToolRun};

/// How long we look for input when the host asks for some; it asks again.
const LOOK: Duration = Duration::from_millis(20);

/// How what was followed ended.
pub(crate) enum Ended {
    /// A tool, with its exit code.
    Tool(i32),
    /// A run.
    Result(Box<HostResult>),
    /// A run that waits for the proof of access.
    Waits,
}

/// Pieces of standard input; the empty one is the end.
pub(crate) type Pieces = Receiver<std::io::Result<Vec<u8>>>;

/// Reads standard input on the side, as far ahead as the host takes it.
fn read_input() -> Pieces {
    let (sender, receiver) = sync_channel(2);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        loop {
            let mut piece = vec![0; PIECE];
            let read = stdin.read(&mut piece).map(|length| {
                piece.truncate(length);
                piece
            });
            let over = !matches!(&read, Ok(piece) if !piece.is_empty());
            if matches!(&read, Err(error) if error.kind() == std::io::ErrorKind::Interrupted) {
                continue;
            }
            if sender.send(read).is_err() || over {
                break;
            }
        }
    });
    receiver
}

/// Hands the streams of a tool through until it ends.
///
/// # Errors
/// 75 where the connection broke, 74 where standard input cannot be read; the tool is ended then.
pub(crate) fn stream(
    session: &Session,
    mut link: Link,
    supplies: &dyn Supplies,
    mut input: Option<Pieces>,
) -> Result<Ended, Failure> {
    let mut owed = 0;
    loop {
        let mut look = Duration::ZERO;
        match link.next(supplies)? {
            Said::Stdout(bytes) => session.print_bytes(&bytes)?,
            Said::Stderr(bytes) => {
                // Nobody can be told that stderr is gone.
                let _ = std::io::stderr().lock().write_all(&bytes);
            }
            Said::Reply(Reply::Exited { code }) => return Ok(Ended::Tool(code)),
            Said::Reply(Reply::Result(result)) => return Ok(Ended::Result(result)),
            Said::Reply(Reply::ProveAccess { .. }) => return Ok(Ended::Waits),
            Said::Reply(Reply::Started { run }) => session.note(&format!("run {run}")),
            Said::Reply(Reply::Want(pieces)) => {
                owed += pieces;
                look = LOOK;
            }
            Said::Reply(_) => look = LOOK,
        }
        while let (1.., Some(pieces)) = (owed, &input) {
            match pieces.recv_timeout(look) {
                Ok(Ok(piece)) => {
                    link.send_input(&piece)?;
                    owed -= 1;
                    if piece.is_empty() {
                        input = None;
                    }
                }
                Ok(Err(error)) => return Err(Failure::io(Exit::Io, "read", "standard input", &error)),
                Err(RecvTimeoutError::Timeout) => break,
                Err(RecvTimeoutError::Disconnected) => input = None,
            }
        }
    }
}

/// The exit of a tool as it was, also where it is not in the table.
pub(crate) fn tool_exit(code: i32) -> Exit {
    let known = u8::try_from(code).ok().and_then(Exit::from_code);
    #[allow(clippy::exit, reason = "the exit of the tool is handed through as it is")]
    known.unwrap_or_else(|| std::process::exit(code))
}

/// Runs a tool on a host.
///
/// # Errors
/// Those of the way to the host, and 69 for a tool that is not there.
pub(crate) fn run(
    controller: &Controller<'_>,
    host: &str,
    installed: bool,
    command: &[String],
) -> Result<Exit, Failure> {
    let session = controller.session;
    let place = controller.places.find(host)?;
    let (name, args) = command.split_first().map(|(name, rest)| (name.clone(), rest.to_vec())).unwrap_or_default();
    let input = !std::io::stdin().is_terminal();
    let shelf = &controller.shelf;
    let tool = |arch: Arch| -> Result<Request, Failure> {
        let sha256 = if installed { None } else { Some(shelf.find(&name, arch)?.sha256) };
        Ok(Request::Tool(ToolRun { name: name.clone(), args: args.clone(), sha256, input }))
    };
    let known = match &place {
        Place::Ssh(host) => host.arch,
        _ => own_arch(),
    };
    let link = match known.filter(|arch| tool(*arch).is_ok()) {
        Some(_) => Link::open(session, shelf, &place, None, &|_, arch| tool(arch))?,
        // The host is asked what it is first: nothing is known of it, or there is no such tool for what it is said to be.
        None => {
            let mut link = Link::open(session, shelf, &place, None, &|_, _| Ok(Request::Facts))?;
            let Reply::Facts(facts) = link.reply(&())? else {
                return Err(Failure::new(
                    Exit::Bug,
                    "unexpected_reply",
                    "the helper answers something else than it was asked",
                ));
            };
            let request = tool(facts.arch)?;
            link.ask(&request)?;
            link
        }
    };
    match stream(session, link, shelf, input.then(read_input))? {
        Ended::Tool(code) => Ok(tool_exit(code)),
        _ => Err(Failure::new(Exit::Bug, "unexpected_reply", "the helper answers something else than it was asked")),
    }
}
