//! Standard input of a tool on its way from the connection into the pipe that the tool's keeper reads.

use std::collections::VecDeque;
use std::fs::File;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use crate::fault::{Fault, Outcome};

/// The input, as far as it came.
#[derive(Debug)]
pub(super) struct Input {
    pipe: Option<File>,
    waiting: VecDeque<Vec<u8>>,
    written: usize,
    whole: bool,
    /// The tool reads no more: what still comes is thrown away.
    unread: bool,
}

impl Input {
    /// Opens the pipe for both directions: so it is there before its reader is, and a write never waits.
    pub(super) fn open(place: &Path) -> Outcome<Self> {
        let path = place.join("stdin");
        let pipe = std::fs::OpenOptions::new()
            .read(true)
            .write(true)
            .custom_flags(rustix::fs::OFlags::NONBLOCK.bits().cast_signed())
            .open(&path)
            .map_err(|error| Fault::io("open the pipe", path.display(), &error))?;
        // Larger steps; the default does as well.
        #[cfg(target_os = "linux")]
        let _ = rustix::pipe::fcntl_setpipe_size(&pipe, crate::wire::PIECE);
        Ok(Self { pipe: Some(pipe), waiting: VecDeque::new(), written: 0, whole: false, unread: false })
    }

    /// Whether more may come.
    pub(super) fn is_open(&self) -> bool {
        self.pipe.is_some() && !self.whole
    }

    /// Takes a piece from the connection; an empty one is the end.
    pub(super) fn take(&mut self, piece: Vec<u8>) {
        self.whole |= piece.is_empty();
        if !piece.is_empty() {
            self.waiting.push_back(piece);
        }
    }

    /// Writes what the pipe takes, and tells how many pieces were used up. At the end, and once the tool's keeper is
    /// there to see it, the pipe is closed.
    pub(super) fn hand_on(&mut self, place: &Path) -> u32 {
        let mut taken = 0;
        if place.join("unread").exists() {
            self.unread = true;
        }
        while let (Some(pipe), Some(piece)) = (&mut self.pipe, self.waiting.front()) {
            if !self.unread {
                match pipe.write(&piece[self.written..]) {
                    Ok(count) => self.written += count,
                    Err(error) if error.kind() == ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                    Err(_) => self.unread = true,
                }
            }
            if self.unread || self.written == piece.len() {
                self.waiting.pop_front();
                self.written = 0;
                taken += 1;
            }
        }
        if self.whole && self.waiting.is_empty() && self.pipe.is_some() && place.join("open").exists() {
            // Without this mark the end of the pipe means that the connection broke.
            let _ = std::fs::write(place.join("eof"), "");
            self.pipe = None;
        }
        if self.whole { 0 } else { taken }
    }
}
