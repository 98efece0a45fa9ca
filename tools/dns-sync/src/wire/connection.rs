//! A TCP connection to a name server (RFC 1035 section 4.2.2, RFC 7766).

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use super::tsig::is_tsig_failure;
use super::{Message, Rcode, TsigExchange, TsigKey};
use crate::error::DnsError;

/// A connection with a limit on the time of every exchange.
#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// The other side.
    pub(crate) server: SocketAddr,
    timeout: Duration,
    deadline: Instant,
}

impl Connection {
    /// Connects. `timeout` bounds this and, anew, every request with its answer.
    pub(crate) fn open(server: SocketAddr, timeout: Duration) -> Result<Self, DnsError> {
        let stream = TcpStream::connect_timeout(&server, timeout)
            .and_then(|stream| stream.set_nodelay(true).map(|()| stream))
            .map_err(|cause| DnsError::Connect { server, cause })?;
        Ok(Self { stream, server, timeout, deadline: Instant::now() + timeout })
    }

    /// Sends a request as it is.
    pub(crate) fn send(&mut self, message: &[u8]) -> Result<(), DnsError> {
        self.deadline = Instant::now() + self.timeout;
        let length = u16::try_from(message.len())
            .map_err(|_| DnsError::Protocol { server: self.server, what: "the request is too long" })?;
        let mut bytes = Vec::with_capacity(message.len() + 2);
        bytes.extend(length.to_be_bytes());
        bytes.extend_from_slice(message);
        let sent = self.stream.set_write_timeout(Some(self.timeout)).and_then(|()| self.stream.write_all(&bytes));
        sent.map_err(|cause| self.lost(cause))
    }

    /// Receives one message.
    pub(crate) fn receive(&mut self) -> Result<Vec<u8>, DnsError> {
        let mut length = [0; 2];
        self.fill(&mut length)?;
        let mut message = vec![0; usize::from(u16::from_be_bytes(length))];
        self.fill(&mut message)?;
        Ok(message)
    }

    fn fill(&mut self, buffer: &mut [u8]) -> Result<(), DnsError> {
        let mut filled = 0;
        while filled < buffer.len() {
            let left = self.deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return Err(DnsError::Timeout { server: self.server });
            }
            let read = self.stream.set_read_timeout(Some(left)).and_then(|()| self.stream.read(&mut buffer[filled..]));
            match read {
                Ok(0) => return Err(self.lost(ErrorKind::UnexpectedEof.into())),
                Ok(count) => filled += count,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(self.lost(error)),
            }
        }
        Ok(())
    }

    fn lost(&self, cause: std::io::Error) -> DnsError {
        match cause.kind() {
            ErrorKind::WouldBlock | ErrorKind::TimedOut => DnsError::Timeout { server: self.server },
            _ => DnsError::Broken { server: self.server, cause },
        }
    }

    /// Sends a signed request and hands every message of the answer, checked, to `take` until that says that it was the last.
    pub(crate) fn exchange(
        &mut self,
        key: &TsigKey,
        mut request: Vec<u8>,
        mut take: impl FnMut(&Message<'_>) -> Result<bool, DnsError>,
    ) -> Result<(), DnsError> {
        let server = self.server;
        let bad = |what| DnsError::Protocol { server, what };
        let refused = |cause| DnsError::Tsig { server, key: key.name.without_dot(), cause };
        let mut signatures = TsigExchange::sign(key, &mut request);
        let id = u16::from_be_bytes([request[0], request[1]]);
        self.send(&request)?;
        loop {
            let bytes = self.receive()?;
            let message = Message::parse(&bytes).ok_or_else(|| bad("it cannot be read"))?;
            if message.id != id || !message.response {
                return Err(bad("it belongs to another request"));
            }
            // A server that fails before it has looked at the key answers without a signature; that only ends the run.
            let unsigned_failure = message.rcode != Rcode::NOERROR && !is_tsig_failure(&message);
            match signatures.verify(&message) {
                Ok(()) => {}
                Err(super::TsigError::Unsigned) if unsigned_failure => {}
                Err(cause) => return Err(refused(cause)),
            }
            if take(&message)? {
                return signatures.end().or_else(|cause| if unsigned_failure { Ok(()) } else { Err(refused(cause)) });
            }
        }
    }
}
