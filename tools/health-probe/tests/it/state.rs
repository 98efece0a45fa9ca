use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use serde_json::{Value, json};

use crate::server::{answer, head, serve};
use crate::tool::{Output, run};

/// A server that is healthy when the flag says so.
fn moody() -> (u16, Arc<AtomicBool>) {
    let good = Arc::new(AtomicBool::new(true));
    let mood = Arc::clone(&good);
    let port = serve(move |mut stream| {
        head(&mut stream);
        let status = if mood.load(Ordering::Relaxed) { "200 OK" } else { "404 No" };
        let _ = stream.write_all(answer(status, "").as_bytes());
    });
    (port, good)
}

fn look(port: u16, state: &Path, more: &[&str]) -> Output {
    let args: Vec<&str> =
        ["run", "--no-second-look", "--state", state.to_str().unwrap()].iter().chain(more).copied().collect();
    run(&args, json!([{"id": "x", "http": {"url": format!("http://127.0.0.1:{port}/")}}]))
}

#[test]
fn one_odd_run_changes_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state.json");
    let (port, good) = moody();
    let mut seen = Vec::new();
    for mood in [true, false, false, false, true, true] {
        good.store(mood, Ordering::Relaxed);
        let output = look(port, &state, &["--soft"]);
        let check = output.check("x");
        seen.push((check["state"] == "up", check["soft"] == "up", output.code));
    }
    // Three bad runs in a row bring it down, two good ones up again; with --soft the gate goes by that.
    assert_eq!(
        seen,
        [(true, true, 0), (false, true, 0), (false, true, 0), (false, false, 1), (true, false, 1), (true, true, 0)]
    );
    // Without --soft it goes by what was seen now.
    good.store(false, Ordering::Relaxed);
    let output = look(port, &state, &[]);
    assert_eq!((output.code, output.check("x")["soft"].as_str()), (1, Some("up")));
    assert_eq!(std::fs::metadata(&state).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn what_changes_all_the_time_flaps() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state.json");
    let (port, good) = moody();
    let mut last = Value::Null;
    for at in 0..8 {
        good.store(at % 2 == 0, Ordering::Relaxed);
        last = look(port, &state, &[]).check("x");
    }
    assert_eq!(last["flapping"], true, "{last}");
    let kept: Value = serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
    assert_eq!(kept["checks"]["x"]["samples"], "10101010");
}

#[test]
fn a_memory_that_is_lost_or_held_is_said() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state.json");
    let (port, _) = moody();
    std::fs::write(&state, "{\"format\": 1, \"checks\": {").unwrap();
    let output = look(port, &state, &[]);
    assert_eq!(output.code, 0);
    assert!(output.stderr.contains("begun anew"), "{}", output.stderr);
    assert_eq!(look(port, &state, &[]).stderr, "");
    let nowhere = directory.path().join("no/such/directory/state.json");
    let output = look(port, &nowhere, &[]);
    assert_eq!((output.code, output.stdout.as_str()), (73, ""));
}

#[test]
fn several_runs_write_one_after_another() {
    let directory = tempfile::tempdir().unwrap();
    let state = directory.path().join("state.json");
    let (port, _) = moody();
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| assert_eq!(look(port, &state, &[]).code, 0));
        }
    });
    let kept: Value = serde_json::from_slice(&std::fs::read(&state).unwrap()).unwrap();
    assert_eq!(kept["checks"]["x"]["samples"], "111111");
}
