//! Runs one case in a fresh directory and judges what came out.

use std::collections::BTreeMap;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::expectation::Observation;
use crate::{Case, Output};

/// The longest that a program may take.
const LONGEST: Duration = Duration::from_secs(60);

/// How a case ended.
pub(crate) enum Verdict {
    Passed,
    Failed(Vec<String>),
    Skipped(String),
}

/// Runs a case against a program.
pub(crate) fn run(case: &Case, program: &Path) -> Verdict {
    if let Some(missing) = case.needs.iter().find(|name| !on_path(name)) {
        return Verdict::Skipped(format!("install: {missing}"));
    }
    // All runs of a case see the same directory: what is observed is part of the input.
    let fresh = match tempfile::tempdir() {
        Ok(fresh) => fresh,
        Err(error) => return Verdict::Failed(vec![error.to_string()]),
    };
    let mut first: Option<Vec<u8>> = None;
    for _ in 0..case.runs {
        match attempt(case, program, fresh.path()) {
            Ok((why, _)) if !why.is_empty() => return Verdict::Failed(why),
            Ok((_, stdout)) => {
                if first.get_or_insert_with(|| stdout.clone()) != &stdout {
                    return Verdict::Failed(vec!["two runs print different bytes".into()]);
                }
            }
            Err(message) => return Verdict::Failed(vec![message]),
        }
    }
    Verdict::Passed
}

fn attempt(case: &Case, program: &Path, directory: &Path) -> Result<(Vec<String>, Vec<u8>), String> {
    let text = |error: std::io::Error| error.to_string();
    let mut names = BTreeMap::from([("dir".to_owned(), directory.display().to_string())]);
    for (name, service) in &case.serve {
        names.insert(name.clone(), service.start()?);
    }
    let fill = |template: &str| {
        names.iter().fold(template.to_owned(), |text, (name, value)| text.replace(&format!("{{{name}}}"), value))
    };
    for (path, content) in &case.files {
        let path = directory.join(path);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent).map_err(text)?;
        }
        fs::write(&path, fill(content)).map_err(text)?;
        if path.parent().is_some_and(|parent| parent.ends_with("secrets")) {
            fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).map_err(text)?;
        }
    }
    let stdin = match (&case.stdin, &case.stdin_text) {
        (Some(value), _) => fill(&value.to_string()),
        (None, Some(text)) => fill(text),
        (None, None) => String::new(),
    };
    let mut command = Command::new(program);
    command.args(case.args.iter().map(|arg| fill(arg))).current_dir(directory).env_clear();
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default()).env("HOME", directory).env("TZ", "UTC");
    command.envs(case.env.iter().map(|(name, value)| (name, fill(value))));
    command.stdin(Stdio::piped()).stderr(Stdio::piped());
    match case.output {
        Output::FullDevice => {
            command.stdout(OpenOptions::new().write(true).open("/dev/full").map_err(text)?);
        }
        Output::Pipe | Output::ClosedPipe => {
            command.stdout(Stdio::piped());
        }
    }
    let child = command.spawn().map_err(|error| format!("{}: {error}", program.display()))?;
    let seen = observe(child, stdin, case.output)?;
    Ok((case.expect.judge(&seen, directory), seen.stdout))
}

fn observe(mut child: Child, stdin: String, output: Output) -> Result<Observation, String> {
    let mut out = child.stdout.take();
    if output == Output::ClosedPipe {
        out = None;
    }
    let reader = std::thread::spawn(move || read_all(out));
    let err = child.stderr.take();
    let errors = std::thread::spawn(move || read_all(err));
    let pipe = child.stdin.take();
    let writer = std::thread::spawn(move || {
        // A program that does not read its input is no failure of the case.
        pipe.map(|mut pipe| pipe.write_all(stdin.as_bytes()))
    });
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait().map_err(|error| error.to_string())? {
            break status;
        }
        if started.elapsed() > LONGEST {
            let _ = child.kill();
            let _ = child.wait();
            return Err(format!("it did not end within {} s", LONGEST.as_secs()));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let _ = writer.join();
    let stdout = reader.join().unwrap_or_default();
    let stderr = errors.join().unwrap_or_default();
    Ok(Observation { exit: status.code(), stdout, stderr })
}

fn read_all(pipe: Option<impl Read>) -> Vec<u8> {
    let mut bytes = Vec::new();
    if let Some(mut pipe) = pipe {
        let _ = pipe.read_to_end(&mut bytes);
    }
    bytes
}

fn on_path(name: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).chain(["/usr/sbin".into()]).any(|folder| File::open(folder.join(name)).is_ok())
}
