//! Saying and hearing a few bytes.

use std::io::{Error, ErrorKind};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::net::{Stream, classify};
use crate::observation::Problem;

/// A peer that speaks in lines, with what it said and nobody took yet.
pub(super) struct Talk<'a, S> {
    stream: &'a mut S,
    peer: String,
    heard: Vec<u8>,
}

/// The longest line, and the most that is heard where an expression is waited for.
const LONGEST: usize = 4096;

impl<'a, S: Stream> Talk<'a, S> {
    /// A talk with a peer of this name.
    pub(super) fn new(stream: &'a mut S, peer: &str) -> Self {
        Self { stream, peer: peer.to_owned(), heard: Vec::new() }
    }

    /// Says something.
    ///
    /// # Errors
    /// The connection is gone.
    pub(super) async fn say(&mut self, bytes: &[u8]) -> Result<(), Problem> {
        let said = async {
            self.stream.write_all(bytes).await?;
            self.stream.flush().await
        };
        said.await.map_err(|error| classify(&self.peer, &error))
    }

    /// Hears one line, without its end. A line longer than 4 KiB is cut there.
    ///
    /// # Errors
    /// The connection is gone before the line ends.
    pub(super) async fn line(&mut self) -> Result<String, Problem> {
        loop {
            if let Some(end) = self.heard.iter().position(|byte| *byte == b'\n') {
                let line: Vec<u8> = self.heard.drain(..=end).collect();
                return Ok(String::from_utf8_lossy(&line).trim_end_matches(['\r', '\n']).to_owned());
            }
            if self.heard.len() >= LONGEST {
                let line: Vec<u8> = self.heard.drain(..).collect();
                return Ok(String::from_utf8_lossy(&line).into_owned());
            }
            if !self.more().await? {
                return Err(classify(&self.peer, &Error::from(ErrorKind::UnexpectedEof)));
            }
        }
    }

    /// Hears exactly so many bytes.
    ///
    /// # Errors
    /// The connection is gone before they are there.
    pub(super) async fn exactly(&mut self, length: usize) -> Result<Vec<u8>, Problem> {
        while self.heard.len() < length {
            if !self.more().await? {
                return Err(classify(&self.peer, &Error::from(ErrorKind::UnexpectedEof)));
            }
        }
        Ok(self.heard.drain(..length).collect())
    }

    /// Hears until `enough` says so, the peer ends, or 4 KiB are there.
    ///
    /// # Errors
    /// The connection broke.
    pub(super) async fn until(&mut self, enough: impl Fn(&[u8]) -> bool) -> Result<Vec<u8>, Problem> {
        while !enough(&self.heard) && self.heard.len() < LONGEST {
            if !self.more().await? {
                break;
            }
        }
        Ok(std::mem::take(&mut self.heard))
    }

    async fn more(&mut self) -> Result<bool, Problem> {
        let mut buffer = [0; 1024];
        let read = self.stream.read(&mut buffer).await.map_err(|error| classify(&self.peer, &error))?;
        self.heard.extend_from_slice(&buffer[..read]);
        Ok(read > 0)
    }
}
