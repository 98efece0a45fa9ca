//! Units that systemd makes and starts for us, asked for over its own socket, as systemctl does it: systemd-run would do the same,
//! and takes longer to start than systemd to answer.
//!
//! Formats: <https://dbus.freedesktop.org/doc/dbus-specification.html> (authentication, messages, marshalling) and
//! org.freedesktop.systemd1(5) (StartTransientUnit, JobRemoved).

use std::collections::BTreeMap;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

/// Where systemd itself listens, for root alone and without a bus between.
const SOCKET: &str = "/run/systemd/private";

/// How long systemd has for an answer.
const PATIENCE: Duration = Duration::from_secs(60);

/// The largest message that we take from it.
const LARGEST: u32 = 1 << 20;

/// The number of our one call.
const SERIAL: u32 = 1;

const METHOD_RETURN: u8 = 2;
const ERROR: u8 = 3;
const SIGNAL: u8 = 4;

/// How systemd answered.
pub(super) enum Answer {
    /// The unit is started.
    Started,
    /// It says no, or cannot be asked: nothing was begun.
    Refused,
}

/// A service that is gone once it has ended, whose command may leave others behind.
pub(super) struct Service<'a> {
    pub(super) name: &'a str,
    pub(super) start: &'a [String],
    /// What runs once it has ended, however it ended; nothing if empty.
    pub(super) stop_post: &'a [String],
}

impl Service<'_> {
    /// Makes it and waits until it is started.
    ///
    /// # Errors
    /// A connection that broke after systemd was asked.
    pub(super) fn launch(&self) -> io::Result<Answer> {
        let Ok(mut systemd) = UnixStream::connect(SOCKET) else { return Ok(Answer::Refused) };
        systemd.set_read_timeout(Some(PATIENCE))?;
        // Root is 0, in hexadecimal digits of the letter.
        let mut said = b"\0AUTH EXTERNAL 30\r\nBEGIN\r\n".to_vec();
        said.extend(self.call());
        systemd.write_all(&said)?;
        if !read_line(&mut systemd)?.starts_with("OK ") {
            return Ok(Answer::Refused);
        }
        let (mut job, mut ends) = (None, BTreeMap::new());
        loop {
            let message = Message::read(&mut systemd)?;
            match message.kind {
                METHOD_RETURN => job = message.strings(0).pop(),
                ERROR => return Ok(Answer::Refused),
                // The number of a job, then its path, its unit and how it ended. Other signals have other bodies.
                SIGNAL => {
                    if let [path, _, end] = &message.strings(4)[..] {
                        ends.insert(path.clone(), end == "done");
                    }
                }
                _ => {}
            }
            if let Some(is_done) = job.as_ref().and_then(|job: &String| ends.get(job)) {
                return Ok(if *is_done { Answer::Started } else { Answer::Refused });
            }
        }
    }

    fn call(&self) -> Vec<u8> {
        let mut body = Words::default();
        body.string(&format!("{}.service", self.name));
        body.string("fail");
        body.array(8, |properties| {
            let text = |properties: &mut Words, name: &str, value: &str| {
                properties.property(name, "s");
                properties.string(value);
            };
            text(properties, "Description", &self.start.join(" "));
            text(properties, "CollectMode", "inactive-or-failed");
            text(properties, "KillMode", "process");
            for (name, argv) in [("ExecStart", self.start), ("ExecStopPost", self.stop_post)] {
                let Some(program) = argv.first() else { continue };
                properties.property(name, "a(sasb)");
                properties.array(8, |commands| {
                    commands.align(8);
                    commands.string(program);
                    commands.array(4, |words| argv.iter().for_each(|word| words.string(word)));
                    // A failure is one.
                    commands.number(0);
                });
            }
        });
        // No other units.
        body.array(8, |_| {});
        let mut message = Words(vec![b'l', 1, 0, 1]);
        message.number(body.0.len() as u32);
        message.number(SERIAL);
        message.array(8, |fields| {
            for (code, kind, value) in [
                (1, "o", "/org/freedesktop/systemd1"),
                (2, "s", "org.freedesktop.systemd1.Manager"),
                (3, "s", "StartTransientUnit"),
                (6, "s", "org.freedesktop.systemd1"),
                (8, "g", "ssa(sv)a(sa(sv))"),
            ] {
                fields.align(8);
                fields.0.push(code);
                fields.signature(kind);
                if kind == "g" { fields.signature(value) } else { fields.string(value) }
            }
        });
        message.align(8);
        message.0.extend(body.0);
        message.0
    }
}

fn read_line(stream: &mut UnixStream) -> io::Result<String> {
    let mut line = Vec::new();
    let mut byte = [0];
    while !line.ends_with(b"\r\n") && line.len() < 256 {
        stream.read_exact(&mut byte)?;
        line.push(byte[0]);
    }
    Ok(String::from_utf8_lossy(&line).into_owned())
}

/// Values in the order of bytes of a message that begins with `l`.
#[derive(Default)]
struct Words(Vec<u8>);

impl Words {
    fn align(&mut self, to: usize) {
        self.0.resize(self.0.len().next_multiple_of(to), 0);
    }

    fn number(&mut self, value: u32) {
        self.align(4);
        self.0.extend(value.to_le_bytes());
    }

    fn string(&mut self, text: &str) {
        self.number(text.len() as u32);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    fn signature(&mut self, text: &str) {
        self.0.push(text.len() as u8);
        self.0.extend(text.as_bytes());
        self.0.push(0);
    }

    /// The beginning of a pair of a name and a value of any type.
    fn property(&mut self, name: &str, kind: &str) {
        self.align(8);
        self.string(name);
        self.signature(kind);
    }

    /// An array whose elements begin at multiples of this; its length does not count what comes before the first.
    fn array(&mut self, to: usize, fill: impl FnOnce(&mut Self)) {
        self.number(0);
        let length_at = self.0.len() - 4;
        self.align(to);
        let begin = self.0.len();
        fill(self);
        let length = (self.0.len() - begin) as u32;
        self.0[length_at..length_at + 4].copy_from_slice(&length.to_le_bytes());
    }
}

struct Message {
    kind: u8,
    body: Vec<u8>,
}

impl Message {
    fn read(stream: &mut UnixStream) -> io::Result<Self> {
        let mut head = [0; 16];
        stream.read_exact(&mut head)?;
        let number = |at: usize| head.get(at..at + 4).map_or(0, u32_of);
        let (body, fields) = (number(4), number(12));
        if head[0] != b'l' || body > LARGEST || fields > LARGEST {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "systemd says something that is no message"));
        }
        let mut rest = vec![0; fields.next_multiple_of(8) as usize];
        stream.read_exact(&mut rest)?;
        let mut bytes = vec![0; body as usize];
        stream.read_exact(&mut bytes)?;
        Ok(Self { kind: head[1], body: bytes })
    }

    /// The strings that follow each other from here on.
    fn strings(&self, mut at: usize) -> Vec<String> {
        let mut found = Vec::new();
        while let Some(four) = self.body.get(at..at + 4) {
            let Some(text) = self.body.get(at + 4..at + 4 + u32_of(four) as usize) else { break };
            found.push(String::from_utf8_lossy(text).into_owned());
            at = (at + 4 + text.len() + 1).next_multiple_of(4);
        }
        found
    }
}

fn u32_of(four: &[u8]) -> u32 {
    four.iter().rev().fold(0, |value, byte| (value << 8) | u32::from(*byte))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_call_is_marshalled() {
        let service = Service { name: "u", start: &["/h".into(), "work".into()], stop_post: &["/h".into()] };
        let bytes = service.call();
        let body = u32_of(&bytes[4..8]) as usize;
        let fields = u32_of(&bytes[12..16]) as usize;
        assert_eq!(bytes.len(), (16 + fields).next_multiple_of(8) + body);
        let message = Message { kind: 1, body: bytes[bytes.len() - body..].to_vec() };
        assert_eq!(message.strings(0)[..2], ["u.service", "fail"]);
        let text = String::from_utf8_lossy(&message.body).into_owned();
        for part in ["KillMode\0\x01s\0", "ExecStart\0\x07a(sasb)\0", "ExecStopPost\0\x07a(sasb)\0", "work\0"] {
            assert!(text.contains(part), "{part}");
        }
        assert!(message.body.ends_with(&[0; 4]));
    }

    #[test]
    fn no_bytes_of_an_answer_panic() {
        for body in [&b""[..], &b"\xff\xff\xff\xff"[..], &b"\x02\0\0\0ab"[..], &b"\x02\0\0\0ab\0\0\x01\0\0\0c"[..]] {
            let message = Message { kind: 2, body: body.to_vec() };
            assert!(message.strings(0).len() <= 2 && message.strings(4).len() <= 2);
        }
    }
}
