//! The connection to a controller, as the helper sees it.

use std::io::{self, Read, Write};
use std::os::fd::BorrowedFd;
use std::time::Duration;

use contract::Exit;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use crate::fault::{Fault, Outcome};
use crate::wire::{BLOB, Frame, Reply, read_frame, write_json};

/// Two ways in one: requests come in, replies go out.
pub(super) struct Wire<'a> {
    pub(super) input: &'a mut dyn Read,
    pub(super) output: &'a mut dyn Write,
}

impl Wire<'_> {
    pub(super) fn say(&mut self, reply: &Reply) -> Outcome<()> {
        write_json(self.output, reply).map_err(lost)
    }

    /// Asks for blobs and takes them.
    pub(super) fn fetch(
        &mut self,
        wanted: Vec<String>,
        mut take: impl FnMut(&str, Vec<u8>) -> Outcome<()>,
    ) -> Outcome<()> {
        if wanted.is_empty() {
            return Ok(());
        }
        self.say(&Reply::Need(wanted.clone()))?;
        for hash in wanted {
            match read_frame(self.input).map_err(lost)? {
                Frame::Good(BLOB, bytes) if crate::engine::sha256(&bytes) == hash => take(&hash, bytes)?,
                _ => {
                    return Err(Fault::new(
                        Exit::Io,
                        "bad_blob",
                        "the bytes that came are not those that were asked for",
                    ));
                }
            }
        }
        Ok(())
    }

    /// Whether the controller's end of the pipe is closed.
    pub(super) fn is_gone() -> bool {
        let stdin = io::stdin();
        let mut ready = [PollFd::new(&stdin, PollFlags::empty())];
        let hung_up = poll(&mut ready, Some(&Timespec::default())).is_ok_and(|count| count > 0);
        hung_up && ready[0].revents().contains(PollFlags::HUP)
    }

    /// Whether the controller says something, or is gone, within this time, or until the bell rings.
    pub(super) fn is_heard(within: Duration, bell: Option<BorrowedFd<'_>>) -> bool {
        let stdin = io::stdin();
        let limit = Timespec::try_from(within).unwrap_or_default();
        let mut ready = vec![PollFd::new(&stdin, PollFlags::IN)];
        ready.extend(bell.as_ref().map(|bell| PollFd::new(bell, PollFlags::IN)));
        poll(&mut ready, Some(&limit)).is_ok_and(|count| count > 0) && !ready[0].revents().is_empty()
    }
}

/// The fault of a connection that broke.
pub(super) fn lost(error: io::Error) -> Fault {
    Fault::io("talk to", "the controller", &error)
}
