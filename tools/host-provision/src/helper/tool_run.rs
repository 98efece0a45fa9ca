//! A tool of the box on the host, detached, with its output in files that a connection reads. Its input is handed through
//! while it runs.

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use contract::{Exit, places};

use super::connection::Wire;
use super::kept_tool::keep_tool;
use super::tool_input::Input;
use crate::engine::Host;
use crate::engine::programs::programs;
use crate::engine::run::{is_id, new_id};
use crate::fault::{Fault, Outcome};
use crate::wire::{self, Frame, PIECE, PIECES, Reply, ToolRun, read_frame, write_frame};

/// Where streams lie: in RAM, because a tool may print a secret.
const TOOLS: &str = "/run/plumbline/tools";
/// How many ended tools keep their output.
const KEPT: usize = 10;
/// How often a controller hears of us while it may have input for us: it looks for some then.
const NUDGE: Duration = Duration::from_millis(50);
/// How often it hears of us otherwise.
const HEARTBEAT: Duration = Duration::from_secs(2);

pub(super) fn directory(id: &str) -> PathBuf {
    PathBuf::from(format!("{TOOLS}/{id}"))
}

/// Whether this is the run of a tool.
pub(super) fn is_known(id: &str) -> bool {
    is_id(id) && directory(id).join("tool.json").exists()
}

/// Starts a tool and follows it.
pub(super) fn start(host: &Host, wire: &mut Wire<'_>, tool: &ToolRun) -> Outcome<()> {
    if tool.name.is_empty() || tool.name.contains('/') {
        return Err(Fault::new(Exit::Usage, "bad_tool", "a tool is named without a path").place(&tool.name));
    }
    let kept = |hash: &String| host.exists(&format!("{}/{hash}/{}", programs(), tool.name));
    let binary = tool.sha256.clone().filter(|hash| !kept(hash));
    wire.fetch(binary.into_iter().collect(), |hash, bytes| keep_tool(host, &tool.name, hash, &bytes))?;
    host.tree.make_state_directory(places::RUN, 0o755)?;
    host.tree.make_state_directory(TOOLS, 0o700)?;
    prune();
    let id = new_id();
    let place = directory(&id);
    host.tree.make_state_directory(&format!("{TOOLS}/{id}"), 0o700)?;
    let write = |name: &str, bytes: &[u8]| {
        let path = place.join(name);
        let file = std::fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        file.and_then(|mut file| std::io::Write::write_all(&mut file, bytes))
            .map_err(|error| Fault::io("write", path.display(), &error))
    };
    write("stdout", b"")?;
    write("stderr", b"")?;
    write("tool.json", &serde_json::to_vec(tool).unwrap_or_default())?;
    let input = if tool.input {
        let path = place.join("stdin");
        make_pipe(&path).map_err(|error| Fault::io("make the pipe", path.display(), &error))?;
        Some(Input::open(&place)?)
    } else {
        None
    };
    super::detach(host, &format!("{}tool-{id}", places::UNIT_PREFIX), &["tool", &id])?;
    wire.say(&Reply::Started { run: id.clone() })?;
    if input.is_some() {
        wire.say(&Reply::Want(PIECES))?;
    }
    follow(wire, &id, input)
}

#[cfg(target_os = "linux")]
fn make_pipe(path: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, FileType, Mode, mknodat};
    Ok(mknodat(CWD, path, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?)
}

/// Hosts are Linux machines; controllers need not be, and never come here.
#[cfg(not(target_os = "linux"))]
fn make_pipe(_path: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

fn prune() {
    let entries = std::fs::read_dir(TOOLS).into_iter().flatten().flatten();
    let mut ended: Vec<PathBuf> = entries.map(|entry| entry.path()).filter(|path| path.join("exit").exists()).collect();
    ended.sort();
    ended.truncate(ended.len().saturating_sub(KEPT));
    for path in ended {
        // Old output; what cannot be taken away now is taken away at the next reboot.
        let _ = std::fs::remove_dir_all(path);
    }
}

/// Sends what a tool writes and hands on what it shall read, until it ends.
pub(super) fn follow(wire: &mut Wire<'_>, id: &str, mut input: Option<Input>) -> Outcome<()> {
    let place = directory(id);
    let mut offsets = [0_u64; 2];
    let mut told = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        // Asked first: what was written before the end is then read after it.
        let ended = std::fs::read_to_string(place.join("exit")).ok();
        let mut quiet = true;
        for (index, (name, kind)) in [("stdout", wire::STDOUT), ("stderr", wire::STDERR)].into_iter().enumerate() {
            // One piece at a time while it runs: the controller may be waiting for us to take its input.
            while let Some(piece) = read_piece(&place.join(name), offsets[index])? {
                quiet = false;
                offsets[index] += piece.len() as u64;
                write_frame(wire.output, kind, &piece)
                    .map_err(|error| Fault::io("talk to", "the controller", &error))?;
                if ended.is_none() {
                    break;
                }
            }
        }
        if let Some(code) = ended {
            return wire.say(&Reply::Exited { code: code.trim().parse().unwrap_or(i32::from(Exit::Bug.code())) });
        }
        let mut rhythm = HEARTBEAT;
        if let Some(open) = &mut input {
            match open.hand_on(&place) {
                0 => {}
                taken => {
                    quiet = false;
                    wire.say(&Reply::Want(taken))?;
                }
            }
            if open.is_open() {
                rhythm = NUDGE;
            }
        }
        if told.elapsed() > rhythm {
            told = Instant::now();
            wire.say(&Reply::Alive)?;
        }
        pause = if quiet { (pause * 2).min(Duration::from_millis(20)) } else { Duration::ZERO };
        if Wire::is_heard(pause, None) {
            match (read_frame(wire.input).map_err(|error| Fault::io("talk to", "the controller", &error))?, &mut input)
            {
                (Frame::Good(wire::STDIN, piece), Some(input)) => input.take(piece),
                (Frame::Good(..), _) => {}
                _ => return Err(Fault::new(Exit::Io, "gone", "the controller is gone")),
            }
        }
        pause = pause.max(Duration::from_millis(1));
    }
}

fn read_piece(path: &Path, offset: u64) -> Outcome<Option<Vec<u8>>> {
    let mut piece = Vec::new();
    std::fs::File::open(path)
        .and_then(|mut file| {
            file.seek(SeekFrom::Start(offset))?;
            file.take(PIECE as u64).read_to_end(&mut piece)
        })
        .map_err(|error| Fault::io("read", path.display(), &error))?;
    Ok((!piece.is_empty()).then_some(piece))
}
