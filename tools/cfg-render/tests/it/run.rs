//! Runs the built program, and the programs that read what it writes.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::Value;

/// The fleets of the pipelines.
pub(crate) fn fleets() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../pipelines/fleets")
}

/// A fleet of the pipelines as JSON.
pub(crate) fn fleet(name: &str) -> Value {
    let text = std::fs::read_to_string(fleets().join(name)).unwrap();
    serde_json::from_str(&text).unwrap()
}

/// Runs the program with a document on its standard input.
pub(crate) fn cfg_render(args: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(env!("CARGO_BIN_EXE_cfg-render"))
        .args(args)
        .env_remove("NO_COLOR")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // A program that refuses its command line does not wait for a document.
    let _ = child.stdin.take().unwrap().write_all(stdin.as_bytes());
    child.wait_with_output().unwrap()
}

/// The document that a verb prints, which must succeed.
pub(crate) fn document(args: &[&str], fleet: &Value) -> Value {
    let text = text(args, fleet);
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{args:?}: {error}"))
}

/// What a verb prints, which must succeed.
pub(crate) fn text(args: &[&str], fleet: &Value) -> String {
    let output = cfg_render(args, &fleet.to_string());
    assert!(output.status.success(), "{args:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

/// The files of a host by path, with what they hold.
pub(crate) fn files(fleet: &Value, host: &str) -> Vec<(String, String)> {
    files_of(&document(&["host", "--host", host], fleet))
}

/// The files of a host's document.
pub(crate) fn files_of(desired: &Value) -> Vec<(String, String)> {
    let items = desired["items"].as_array().unwrap();
    let files = items.iter().filter_map(|item| item.get("file"));
    files.filter_map(|file| Some((file["path"].as_str()?.to_owned(), file["content"].as_str()?.to_owned()))).collect()
}

/// A program that a test needs. Without it the test says what to install and ends, or fails where all must be there.
pub(crate) fn peer(program: &str, install: &str) -> Option<PathBuf> {
    let folders = ["/usr/sbin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/lib/postgresql/15/bin"];
    let found = folders.iter().map(|folder| Path::new(folder).join(program)).find(|path| path.exists());
    found.or_else(|| absent(program, install, true))
}

/// A peer that `tests/peers` builds from source, which takes minutes: needed in the full tier only.
pub(crate) fn built_peer(name: &str) -> Option<PathBuf> {
    let homes = [std::env::var_os("PLUMBLINE_PEERS"), Some("/var/cache/plumbline/peers".into())];
    let places = homes.into_iter().flatten().map(PathBuf::from);
    let found = places.flat_map(|home| [home.join("bin").join(name), home.join(name)]).find(|path| path.exists());
    found.or_else(|| absent(name, &format!("tests/peers {name}"), full_tier()))
}

/// A program that no package registry has, by the variable that names its path. Without it the test says how to get it.
pub(crate) fn given_peer(variable: &str, how: &str) -> Option<PathBuf> {
    let given = std::env::var_os(variable).map(PathBuf::from).filter(|path| path.exists());
    given.or_else(|| absent(variable, &format!("{how}; then set {variable} to its path"), false))
}

/// Whether everything is to be tested, however long it takes.
pub(crate) fn full_tier() -> bool {
    std::env::var_os("PLUMBLINE_TIER").is_some_and(|tier| tier == "full")
}

pub(crate) fn absent(program: &str, install: &str, needed: bool) -> Option<PathBuf> {
    let message = format!("skipped: {program} is not there (install: {install})");
    let required = std::env::var_os("PLUMBLINE_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!(needed && required), "{message}");
    eprintln!("{message}");
    None
}

/// Runs a program to its end and returns its exit and everything that it said.
pub(crate) fn say(command: &mut Command) -> (bool, String) {
    let output = command.stdin(Stdio::null()).output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

/// The same with a text on its standard input.
pub(crate) fn say_with(command: &mut Command, input: &str) -> (bool, String) {
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

/// Whether the tests run as root, which some programs need.
pub(crate) fn is_root() -> bool {
    rustix::process::getuid().is_root()
}
