//! The helper on its way to a host. One command starts it, or asks for it, takes it and starts it then: a shipment costs no
//! connection and no channel of its own.
//!
//! The command says `need MACHINE [gzip]`; `HASH COUNT SIZE [PROGRAM]` and COUNT bytes go there, which PROGRAM unpacks to SIZE
//! bytes. If they are as many they are run, see whether they are those of the hash (faster than a program of the host would),
//! put themselves in place, say `sent` and wait for the request; `failed` means that there is no room for them. With a large
//! request the command says `ready` before it starts what is there. All of that are small letters, which begin no frame.
//!
//! A host that is another machine than it is believed to be is told so in the same way, before anything was sent to it.

use std::io::{self, Read, Write};
use std::time::Duration;

use cli::{Failure, Session};
use contract::document::Arch;
use contract::{Exit, places};

use super::Shelf;
use super::shelf::Program;
use super::transport::Channel;
use crate::engine::programs::{AT_HOME, IN_OWN_MOUNTS, PROGRAMS, SPOILT, STARTER};
use crate::wire::{Frame, is_kind, read_frame};

/// The name of the helper's binary.
pub(super) const HELPER: &str = "host-provision-helper";

/// What the command says where the host lets no program of ours start.
pub(super) const NOWHERE: &str = "plumbline-nowhere";

/// The longest line that the command says.
const LONGEST_LINE: u64 = 4096;

/// What the helper ends with where its connection broke, or it could not be put in place.
const IO: u8 = Exit::Io.code();

/// What a shell ends with where a program may not be run, or is none (127 and above: it died).
pub(super) const FORBIDDEN: i32 = 126;

/// The largest request that is sent before anybody reads: less than what a channel takes.
const LARGE: usize = 512 * 1024;

/// A round trip from which on a compressed helper is there earlier than a plain one. Not less: what is measured grows with
/// the load of this machine, on which compressing takes longer then too.
const FAR: Duration = Duration::from_millis(20);

/// A start of the helper.
pub(super) struct Start<'a> {
    pub(super) session: &'a Session,
    pub(super) shelf: &'a Shelf,
    /// The host, as messages name it.
    pub(super) host: &'a str,
    /// What it is taken for.
    pub(super) arch: Arch,
    /// Whether what lies there is passed by: it was tried and did not answer.
    pub(super) anew: bool,
    /// The first request, as a frame.
    pub(super) request: &'a [u8],
    /// How long a round trip takes, where that is known.
    pub(super) round_trip: Option<Duration>,
}

/// What came of it.
pub(super) enum Started {
    /// It answers.
    Answer(u8, Vec<u8>),
    /// The host is another machine, for which another helper may be there already, and other tools are sent.
    Other(Arch),
    /// The command ended, or something else spoke: its words, if it had any.
    Silent(String),
}

impl Start<'_> {
    /// The command of the host's shell. It holds no single quotes.
    pub(super) fn script(&self) -> String {
        let (state, bin, others) = (places::STATE, places::BIN, PROGRAMS[1..].join(" "));
        let in_own_mounts = IN_OWN_MOUNTS.replace('$', "\\$");
        let look = match self.shelf.find(HELPER, self.arch) {
            Ok(program) if !self.anew => {
                let ready = if self.is_large() { "echo ready; " } else { "" };
                let name = format!("{}/{HELPER}", program.sha256);
                let starter = format!("{bin}/{}/{STARTER}", program.sha256);
                format!(
                    "for d in {bin} {others}; do p=$d/{name}; if [ -x $p ]; then {ready}exec $p serve; fi; done; \
                     if [ -f {starter} ]; then {ready}exec sh {starter} serve; fi; "
                )
            }
            _ => String::new(),
        };
        // The request is on its way already. Whoever reads too much of it takes nothing else: we wait to be asked.
        let skip = if self.is_large() { String::new() } else { format!("head -c {} >/dev/null; ", self.request.len()) };
        // Of the programs that this starts each takes its time on a busy host: what the helper can do itself it does itself.
        format!(
            "{look}{skip}umask 022; z=; if command -v gzip >/dev/null; then z=gzip; fi; \
             {{ read m </proc/sys/kernel/arch; }} 2>/dev/null || m=$(uname -m); echo need $m $z; read h n s z || exit 1; m=; [ -d {bin} ] || m={state}; t={bin}/.incoming.$$; w=; \
             trap \"rm -f \\$t\" EXIT; trap \"exit 1\" HUP INT PIPE TERM; \
             install -D -m 755 /dev/null $t 2>/dev/null || {{ mkdir -p {bin} && true >$t && chmod 755 $t; }} || w=no; \
             [ $w ] || if [ \"$z\" ]; then head -c $n | $z >$t || w=no; else head -c $n >$t || w=no; fi; \
             if [ $w ]; then echo failed; cat >/dev/null; exit 1; fi; set -e; \
             [ $(wc -c <$t) = $s ] || {{ echo {SPOILT} >&2; exit 1; }}; \
             r=0; $t place $t {bin}/$h $m || r=$?; if [ $r != {FORBIDDEN} ]; then exit $r; fi; s=$t; \
             for d in {others}; do t=$d/.incoming.$$; \
             if mkdir -p $d 2>/dev/null && cp $s $t 2>/dev/null; then r=0; $t place $t $d/$h $m || r=$?; \
             if [ $r != {FORBIDDEN} ]; then rm -f $s; exit $r; fi; fi; \
             rm -f $t; rmdir $d ${{d%/bin}} 2>/dev/null || :; done; t=$s; \
             if {AT_HOME} && exec 9<$t; then r=0; \
             unshare --mount sh -c \"{in_own_mounts}\" sh {bin} {bin}/$h/{HELPER} place $t {bin}/$h $m || r=$?; \
             if [ $r = 0 ] || [ $r = {IO} ]; then exit $r; fi; fi; echo {NOWHERE} >&2; exit 1"
        )
    }

    fn is_large(&self) -> bool {
        self.request.len() > LARGE
    }

    /// Talks to the command until the helper answers.
    ///
    /// # Errors
    /// Those of the connection, and 69 for a processor for which there is no helper.
    pub(super) fn converse(self, channel: &mut dyn Channel) -> io::Result<Result<Started, Failure>> {
        if !self.is_large() {
            // Not an error yet: the one at the other end may have ended with words for it.
            let _ = channel.write_all(self.request);
        }
        loop {
            let line = match hear(channel)? {
                Heard::Frame(kind, payload) => return Ok(Ok(Started::Answer(kind, payload))),
                Heard::Line(line) => line,
            };
            match line.split_ascii_whitespace().collect::<Vec<_>>()[..] {
                ["ready" | "sent"] => channel.write_all(self.request)?,
                // The rest of what we send is thrown away, until it ends.
                ["failed"] => channel.close_input(),
                ["need", machine, ref rest @ ..] => {
                    let program = match known(machine) {
                        Ok(arch) if arch != self.arch => return Ok(Ok(Started::Other(arch))),
                        Ok(arch) => self.shelf.find(HELPER, arch),
                        Err(failure) => Err(failure),
                    };
                    match program {
                        Ok(program) => self.ship(channel, &program, rest.contains(&"gzip"))?,
                        Err(failure) => return Ok(Err(failure)),
                    }
                }
                _ => return Ok(Ok(Started::Silent(line))),
            }
        }
    }

    fn ship(&self, channel: &mut dyn Channel, program: &Program, has_gzip: bool) -> io::Result<()> {
        // Near hosts are reached faster than anything is compressed.
        let packed = match self.round_trip {
            Some(time) if time < FAR => None,
            _ if has_gzip => Some(pack(&program.bytes)?),
            _ => None,
        };
        let (bytes, unpack) = packed.as_ref().map_or((&*program.bytes, ""), |packed| (packed, "gzip -dc"));
        self.session.note(&format!("{}: sending the helper ({} bytes)", self.host, bytes.len()));
        let header = format!("{} {} {} {unpack}\n", program.sha256, bytes.len(), program.bytes.len());
        channel.write_all(header.as_bytes())?;
        channel.write_all(bytes)
    }
}

fn known(machine: &str) -> Result<Arch, Failure> {
    Arch::from_uname(machine).ok_or_else(|| {
        Failure::new(Exit::Unavailable, "unknown_arch", format!("the tools do not run on {machine} processors"))
    })
}

fn pack(bytes: &[u8]) -> io::Result<Vec<u8>> {
    let mut packed = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    packed.write_all(bytes)?;
    packed.finish()
}

enum Heard {
    Frame(u8, Vec<u8>),
    /// A line, without its end; empty at the end of everything.
    Line(String),
}

fn hear(channel: &mut dyn Channel) -> io::Result<Heard> {
    let mut first = [0_u8; 1];
    match channel.read_exact(&mut first) {
        Ok(()) => {}
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Heard::Line(String::new())),
        Err(error) => return Err(error),
    }
    if is_kind(first[0]) {
        return match read_frame(&mut (&first[..]).chain(channel))? {
            Frame::Good(kind, payload) => Ok(Heard::Frame(kind, payload)),
            Frame::End | Frame::Noise(_) => Err(io::ErrorKind::UnexpectedEof.into()),
        };
    }
    let mut line = first.to_vec();
    while line.last() != Some(&b'\n') && (line.len() as u64) < LONGEST_LINE {
        if channel.read(&mut first)? == 0 {
            break;
        }
        line.push(first[0]);
    }
    Ok(Heard::Line(String::from_utf8_lossy(&line).trim_end().to_owned()))
}
