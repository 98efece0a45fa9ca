//! A tool of the box on the host, detached, with its streams in files that a connection reads.

use std::io::{Read, Seek, SeekFrom};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use contract::{Exit, places};

use super::serve::{Wire, keep_tool};
use crate::engine::Host;
use crate::engine::process::PATH;
use crate::engine::run::{is_id, new_id};
use crate::fault::{Fault, Outcome};
use crate::wire::{self, Reply, ToolRun, write_frame};

/// Where streams lie: in RAM, because a tool may be given a secret on its standard input.
const TOOLS: &str = "/run/plumbline/tools";
/// How many ended tools keep their output.
const KEPT: usize = 10;

fn directory(id: &str) -> PathBuf {
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
    let kept = |hash: &String| host.exists(&format!("{}/{hash}/{}", places::BIN, tool.name));
    let binary = tool.sha256.clone().filter(|hash| !kept(hash));
    let mut stdin = Vec::new();
    wire.fetch(binary.iter().chain(&tool.stdin).cloned().collect(), |hash, bytes| {
        if tool.stdin.as_deref() == Some(hash) {
            stdin = bytes;
            return Ok(());
        }
        keep_tool(host, &tool.name, hash, &bytes)
    })?;
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
    write("stdin", &stdin)?;
    write("stdout", b"")?;
    write("stderr", b"")?;
    write("tool.json", &serde_json::to_vec(tool).unwrap_or_default())?;
    super::detach(host, &format!("{}tool-{id}", places::UNIT_PREFIX), &["tool", &id])?;
    wire.say(&Reply::Started { run: id.clone() })?;
    follow(wire, &id)
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

/// Runs the tool of a run to its end, as the process that nothing disturbs.
pub(super) fn supervise(id: &str) -> u8 {
    if !is_known(id) {
        return Exit::Unreadable.code();
    }
    let place = directory(id);
    let code = spawn(&place).unwrap_or_else(|error| {
        let missing = error.kind() == std::io::ErrorKind::NotFound;
        let message = format!("the tool cannot be started on the host: {error}\n");
        // The one who waits reads it there.
        let _ = std::fs::write(place.join("stderr"), message);
        i32::from(if missing { Exit::Unavailable.code() } else { Exit::Io.code() })
    });
    // The input may hold secrets; nobody reads it again.
    let _ = std::fs::remove_file(place.join("stdin"));
    let written = std::fs::write(place.join("exit.new"), code.to_string())
        .and_then(|()| std::fs::rename(place.join("exit.new"), place.join("exit")));
    u8::from(written.is_err())
}

fn spawn(place: &std::path::Path) -> std::io::Result<i32> {
    use std::os::unix::process::ExitStatusExt;
    let tool: ToolRun = serde_json::from_slice(&std::fs::read(place.join("tool.json"))?)?;
    let program = match &tool.sha256 {
        Some(hash) => format!("{}/{hash}/{}", places::BIN, tool.name),
        None => tool.name.clone(),
    };
    let append = |name: &str| std::fs::OpenOptions::new().append(true).open(place.join(name));
    // Found here and not in the environment of systemd.
    let program =
        match PATH.split(':').map(|directory| PathBuf::from(directory).join(&program)).find(|path| path.exists()) {
            Some(path) if !program.starts_with('/') => path,
            _ => PathBuf::from(program),
        };
    let status = Command::new(program)
        .args(&tool.args)
        .env("PATH", PATH)
        .env("HOME", "/root")
        .env("LC_ALL", "C.UTF-8")
        .current_dir("/")
        .stdin(Stdio::from(std::fs::File::open(place.join("stdin"))?))
        .stdout(Stdio::from(append("stdout")?))
        .stderr(Stdio::from(append("stderr")?))
        .status()?;
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

/// Sends what a tool writes, until it ends.
pub(super) fn follow(wire: &mut Wire<'_>, id: &str) -> Outcome<()> {
    let place = directory(id);
    let mut offsets = [0_u64; 2];
    let mut told = Instant::now();
    let mut pause = Duration::from_millis(1);
    loop {
        // Asked first: what was written before the end is then read after it.
        let ended = std::fs::read_to_string(place.join("exit")).ok();
        let mut quiet = true;
        for (index, (name, kind)) in [("stdout", wire::STDOUT), ("stderr", wire::STDERR)].into_iter().enumerate() {
            loop {
                let mut chunk = Vec::new();
                let path = place.join(name);
                std::fs::File::open(&path)
                    .and_then(|mut file| {
                        file.seek(SeekFrom::Start(offsets[index]))?;
                        file.take(256 * 1024).read_to_end(&mut chunk)
                    })
                    .map_err(|error| Fault::io("read", path.display(), &error))?;
                if chunk.is_empty() {
                    break;
                }
                quiet = false;
                offsets[index] += chunk.len() as u64;
                write_frame(wire.output, kind, &chunk)
                    .map_err(|error| Fault::io("talk to", "the controller", &error))?;
            }
        }
        if let Some(code) = ended {
            return wire.say(&Reply::Exited { code: code.trim().parse().unwrap_or(i32::from(Exit::Bug.code())) });
        }
        if told.elapsed() > Duration::from_secs(2) {
            told = Instant::now();
            wire.say(&Reply::Alive)?;
        }
        pause = if quiet { (pause * 2).min(Duration::from_millis(20)) } else { Duration::from_millis(1) };
        std::thread::sleep(pause);
    }
}
