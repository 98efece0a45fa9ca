//! A child with the uid of the cluster's owner: it holds the connection, because peer authentication asks who that is.
//!
//! The parent (root) reads the secrets and hands them over a pipe, never in arguments or the environment. The child gives up
//! root before it reads a byte, so that nothing that comes from the document or the server is ever read with root's rights.

use std::io::{Read, Write};
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use cli::{Failure, Signals};
use contract::Exit;
use rustix::process::{Gid, Pid, Signal, Uid};

use crate::error::Error;
use crate::job::{Answer, Job};

/// The hidden verb of the child.
pub(crate) const VERB: &str = "serve-as";

/// Whether a job needs a child: we are root, and the cluster is behind a socket.
pub(crate) fn needed(job: &Job) -> bool {
    job.desired.cluster.socket.as_ref().is_some_and(|socket| socket.user != "root")
        && rustix::process::geteuid().is_root()
}

/// Has a job done by a child.
///
/// # Errors
/// Where the child cannot be started or does not answer.
pub(crate) fn run(job: &Job, signals: Option<&Signals>) -> Result<Answer, Failure> {
    let user = job.desired.cluster.socket.as_ref().map(|socket| socket.user.clone()).unwrap_or_default();
    let (uid, gid) = ids_of(&user)?;
    let failed = |what: String| Failure::from(Error::Child { what });
    let mut child = Command::new("/proc/self/exe")
        .arg0("pg-ensure")
        .args([VERB, &uid.to_string(), &gid.to_string()])
        // Signals of a terminal come to us alone, and we pass them on: the child would else count each of them twice.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|error| failed(format!("cannot be started: {error}")))?;
    let text = serde_json::to_vec(job).map_err(|error| failed(format!("cannot be handed its job: {error}")))?;
    let written = child.stdin.take().map(|mut stdin| stdin.write_all(&text));
    let answer = read_answer(&mut child, signals);
    let status = child.wait().map_err(|error| failed(format!("cannot be waited for: {error}")))?;
    serde_json::from_slice(&answer).map_err(|_| match written {
        Some(Err(error)) => failed(format!("did not take its job: {error}")),
        _ => failed(format!("ended without an answer ({status})")),
    })
}

/// Reads what the child says, passing signals on meanwhile.
fn read_answer(child: &mut Child, signals: Option<&Signals>) -> Vec<u8> {
    let Some(mut stdout) = child.stdout.take() else { return Vec::new() };
    let reader = std::thread::spawn(move || {
        let mut answer = Vec::new();
        // What has been read is judged by whether it parses.
        let _ = stdout.read_to_end(&mut answer);
        answer
    });
    let mut passed_on = false;
    while !reader.is_finished() {
        if let (Some(exit), false) = (signals.and_then(Signals::requested), passed_on) {
            passed_on = true;
            let signal = if exit == Exit::Interrupted { Signal::INT } else { Signal::TERM };
            if let Some(pid) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
                // The child may have ended just now.
                let _ = rustix::process::kill_process(pid, signal);
            }
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    reader.join().unwrap_or_default()
}

/// Gives up root for these ids. Called first thing in the child, while it has one thread.
///
/// # Errors
/// 77 where the system refuses, or where root could be had back.
pub(crate) fn become_user(uid: u32, gid: u32) -> Result<(), Failure> {
    let refused = |error: rustix::io::Errno| {
        Failure::new(Exit::Permission, "setuid", "the uid of the cluster's owner cannot be taken")
            .cause(std::io::Error::from(error).kind())
    };
    // We end with our parent, after the current change.
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).map_err(refused)?;
    let (uid, gid) = (Uid::from_raw(uid), Gid::from_raw(gid));
    rustix::thread::set_thread_groups(&[gid]).map_err(refused)?;
    rustix::thread::set_thread_res_gid(gid, gid, gid).map_err(refused)?;
    rustix::thread::set_thread_res_uid(uid, uid, uid).map_err(refused)?;
    // Changing ids takes the signal of the line above away again (prctl(2), PR_SET_PDEATHSIG).
    rustix::process::set_parent_process_death_signal(Some(Signal::TERM)).map_err(refused)?;
    if uid.is_root() || rustix::thread::set_thread_uid(Uid::ROOT).is_ok() {
        return Err(Failure::new(Exit::Permission, "setuid", "root was not given up"));
    }
    Ok(())
}

/// uid and gid of a system user, by name or number. Only /etc/passwd is read: a static program has no other sources.
fn ids_of(user: &str) -> Result<(u32, u32), Failure> {
    let text = std::fs::read_to_string("/etc/passwd")
        .map_err(|error| Failure::io(Exit::NotSetUp, "read the users", "/etc/passwd", &error))?;
    text.lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let (uid, gid) = (fields.nth(1)?, fields.next()?);
            if name == user || uid == user { Some((uid.parse().ok()?, gid.parse().ok()?)) } else { None }
        })
        .ok_or_else(|| Error::NoUser { user: user.into() }.into())
}
