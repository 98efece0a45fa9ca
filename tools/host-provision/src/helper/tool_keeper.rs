//! The process that a tool runs under. Nothing of a connection reaches it but the input.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use contract::Exit;

use super::tool_run::{directory, is_known};
use crate::engine::process::PATH;
use crate::engine::programs::programs;
use crate::wire::ToolRun;

/// Runs the tool of a run to its end.
pub(super) fn keep(id: &str) -> u8 {
    if !is_known(id) {
        return Exit::Unreadable.code();
    }
    let place = directory(id);
    let code = run(&place).unwrap_or_else(|error| {
        let missing = error.kind() == ErrorKind::NotFound;
        say(&place, &format!("the tool cannot be started on the host: {error}"));
        i32::from(if missing { Exit::Unavailable.code() } else { Exit::Io.code() })
    });
    // Nobody writes into it any more.
    let _ = std::fs::remove_file(place.join("stdin"));
    let written = std::fs::write(place.join("exit.new"), code.to_string())
        .and_then(|()| std::fs::rename(place.join("exit.new"), place.join("exit")));
    u8::from(written.is_err())
}

/// The one who waits reads it as the tool's own words.
fn say(place: &Path, message: &str) {
    let file = std::fs::OpenOptions::new().append(true).open(place.join("stderr"));
    let _ = file.and_then(|mut file| writeln!(file, "{message}"));
}

fn run(place: &Path) -> std::io::Result<i32> {
    let tool: ToolRun = serde_json::from_slice(&std::fs::read(place.join("tool.json"))?)?;
    // Opened before the tool starts, so that a broken connection is never taken for an end of input.
    let pipe = tool.input.then(|| open_pipe(place)).transpose()?;
    let mut child = spawn(place, &tool, pipe.is_some())?;
    let cut = Arc::new(AtomicBool::new(false));
    if let (Some(pipe), Some(stdin)) = (pipe, child.stdin.take()) {
        let (pid, place, cut) = (child.id(), place.to_owned(), cut.clone());
        // A thread that still waits for input ends with this process.
        std::thread::spawn(move || pass_on(pipe, stdin, pid, &place, &cut));
    }
    let status = child.wait()?;
    if cut.load(Ordering::SeqCst) {
        say(place, "the connection broke before all of the input had come; the tool was ended");
        return Ok(i32::from(Exit::TryAgain.code()));
    }
    Ok(status.code().unwrap_or_else(|| 128 + status.signal().unwrap_or(0)))
}

fn open_pipe(place: &Path) -> std::io::Result<File> {
    // Without waiting for a writer: one that is gone already will not come back.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let pipe = std::fs::OpenOptions::new().read(true).custom_flags(flags).open(place.join("stdin"))?;
    let flags = rustix::fs::fcntl_getfl(&pipe)?;
    rustix::fs::fcntl_setfl(&pipe, flags - rustix::fs::OFlags::NONBLOCK)?;
    std::fs::write(place.join("open"), "")?;
    Ok(pipe)
}

/// Hands input on until its end. Where it is cut off the tool is ended: it must not take half of its input for all of it.
fn pass_on(mut pipe: File, mut stdin: impl Write, pid: u32, place: &Path, cut: &AtomicBool) {
    let mut piece = vec![0_u8; 64 * 1024];
    loop {
        match pipe.read(&mut piece) {
            Ok(0) => break,
            Ok(length) => {
                if stdin.write_all(&piece[..length]).is_err() {
                    // The tool reads no more, as `head` does. What still comes is thrown away.
                    let _ = std::fs::write(place.join("unread"), "");
                    return;
                }
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(_) => break,
        }
    }
    if place.join("eof").exists() {
        return;
    }
    cut.store(true, Ordering::SeqCst);
    if let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) {
        // It may have ended by itself.
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
    }
}

fn spawn(place: &Path, tool: &ToolRun, input: bool) -> std::io::Result<Child> {
    let program = match &tool.sha256 {
        Some(hash) => PathBuf::from(format!("{}/{hash}/{}", programs(), tool.name)),
        // Found here and not in the environment of systemd.
        None => PATH
            .split(':')
            .map(|directory| Path::new(directory).join(&tool.name))
            .find(|path| path.exists())
            .unwrap_or_else(|| PathBuf::from(&tool.name)),
    };
    let start = |program: &Path| {
        let append = |name: &str| std::fs::OpenOptions::new().append(true).open(place.join(name));
        Command::new(program)
            .arg0(&tool.name)
            .args(&tool.args)
            .env("PATH", PATH)
            .env("HOME", "/root")
            .env("LC_ALL", "C.UTF-8")
            .current_dir("/")
            .stdin(if input { Stdio::piped() } else { Stdio::null() })
            .stdout(Stdio::from(append("stdout")?))
            .stderr(Stdio::from(append("stderr")?))
            .spawn()
    };
    match start(&program) {
        // Where mounts forbid programs: from memory.
        Err(error) if error.kind() == ErrorKind::PermissionDenied && tool.sha256.is_some() => {
            let memory = in_memory(&program)?;
            use std::os::fd::AsRawFd;
            start(Path::new(&format!("/proc/self/fd/{}", memory.as_raw_fd())))
        }
        started => started,
    }
}

#[cfg(not(target_os = "linux"))]
fn in_memory(_program: &Path) -> std::io::Result<File> {
    Err(ErrorKind::PermissionDenied.into())
}

#[cfg(target_os = "linux")]
fn in_memory(program: &Path) -> std::io::Result<File> {
    use rustix::fs::{MemfdFlags, memfd_create};
    // Newer kernels may be set up to want it said that programs are meant; older ones do not know the word.
    let memory = memfd_create("tool", MemfdFlags::CLOEXEC | MemfdFlags::EXEC)
        .or_else(|_| memfd_create("tool", MemfdFlags::CLOEXEC))?;
    let mut memory = File::from(memory);
    std::io::copy(&mut File::open(program)?, &mut memory)?;
    Ok(memory)
}
