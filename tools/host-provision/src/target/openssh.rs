//! SSH by the system's own program: for hosts behind another one, certificates, hardware keys, and the user's own
//! configuration.

use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Stdio};
use std::sync::mpsc::{Sender, channel};

use cli::Failure;
use contract::Exit;
use contract::document::InventoryAddress;

use super::SshHost;
use super::transport::{Channel, Transport};

struct Openssh {
    options: Vec<String>,
    /// Hold the pinned keys; taken away with the connection.
    known_hosts: Vec<PathBuf>,
}

/// Prepares the options. The connection is made by each command.
pub(super) fn connect(host: &SshHost, way: &InventoryAddress) -> Result<Box<dyn Transport>, Failure> {
    let (mut options, file) = options(host, way)?;
    let mut known_hosts: Vec<PathBuf> = file.into_iter().collect();
    if let Some(jump) = &host.via {
        let jump_way = jump.addresses.first().ok_or_else(|| {
            Failure::new(Exit::BadDocument, "no_address", "the host on the way has no address").place(&jump.name)
        })?;
        let (jump_options, file) = self::options(jump, jump_way)?;
        known_hosts.extend(file);
        // `-J` would not hand the pinned keys on, so the jump is spelled out.
        let words: Vec<String> = jump_options.iter().map(|word| quote(word)).collect();
        options.splice(0..0, ["-o".to_owned(), format!("ProxyCommand=ssh -W [%h]:%p {}", words.join(" "))]);
    }
    let mut transport = Openssh { options, known_hosts };
    // Nothing is known of the connection until something ran on it.
    let mut channel = transport.exec("exit 0")?;
    channel.close_input();
    let mut rest = Vec::new();
    let _ = channel.read_to_end(&mut rest);
    match channel.finish() {
        (0, _) => Ok(Box::new(transport)),
        (_, said) => Err(explain(&said)),
    }
}

fn options(host: &SshHost, way: &InventoryAddress) -> Result<(Vec<String>, Option<PathBuf>), Failure> {
    let mut options: Vec<String> = ["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", "-o", "ControlPath=none"]
        .into_iter()
        .chain(["-o", "ServerAliveInterval=10", "-o", "ServerAliveCountMax=2"])
        .map(str::to_owned)
        .collect();
    for identity in &host.identities {
        options.extend(["-i".into(), identity.display().to_string(), "-o".into(), "IdentitiesOnly=yes".into()]);
    }
    let mut file = None;
    if host.keys.fingerprint().is_some() {
        return Err(Failure::new(
            Exit::Usage,
            "usage",
            "--host-key needs the built-in transport; pin the key in the inventory instead",
        )
        .place(&host.name));
    }
    if host.keys.pinned().is_empty() {
        let strict = if host.keys.accepts_new() { "accept-new" } else { "yes" };
        options.extend(["-o".into(), format!("StrictHostKeyChecking={strict}")]);
    } else {
        let path =
            std::env::temp_dir().join(format!("plumbline-{}-{}-{}.known", std::process::id(), host.name, way.port));
        let name = if way.port == 22 { way.address.clone() } else { format!("[{}]:{}", way.address, way.port) };
        let lines: Vec<String> = host.keys.pinned().iter().map(|key| format!("{name} {}", key.line())).collect();
        let text = lines.join("\n") + "\n";
        cli::write_atomically(&path, text.as_bytes(), 0o600)
            .map_err(|error| Failure::io(Exit::CannotCreate, "write", path.display(), &error))?;
        options.extend(["-o".into(), format!("UserKnownHostsFile={}", path.display())]);
        options.extend(["-o", "GlobalKnownHostsFile=/dev/null", "-o", "StrictHostKeyChecking=yes"].map(str::to_owned));
        file = Some(path);
    }
    // Of options that are given twice ssh takes the first: what is pinned goes before the user's own files.
    options.extend(super::ssh_config::elsewhere());
    options.extend(["-p".into(), way.port.to_string(), format!("{}@{}", way.user, way.address)]);
    Ok((options, file))
}

fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn explain(said: &str) -> Failure {
    let words = said.trim().lines().last().unwrap_or("ssh ended without a word").trim().to_owned();
    if said.contains("HOST IDENTIFICATION HAS CHANGED") {
        return Failure::new(
            Exit::Permission,
            "host_key_mismatch",
            "the host shows another key than the one that is known",
        )
        .cause(words);
    }
    if said.contains("Host key verification failed") || said.contains("host key is known for") {
        return Failure::new(Exit::Permission, "host_key_unknown", "nothing is known of the host's key")
            .hint("pin it in the fleet: keyscan prints the line")
            .cause(words);
    }
    if said.contains("Permission denied") || said.contains("Too many authentication failures") {
        return Failure::new(Exit::Permission, "login_refused", "the login is refused").cause(words);
    }
    Failure::new(Exit::TryAgain, "unreachable", "no SSH connection came about").cause(words)
}

impl Transport for Openssh {
    fn exec(&mut self, command: &str) -> Result<Box<dyn Channel>, Failure> {
        let spawned = super::child("ssh")
            .args(&self.options)
            .args(["--", command])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let mut child = spawned.map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => Failure::new(Exit::Unavailable, "no_ssh", "the program ssh is not there")
                .hint("install the OpenSSH client, or use --transport ssh2"),
            _ => Failure::io(Exit::Io, "start", "ssh", &error),
        })?;
        let (input, output) = (child.stdin.take().map(writer), child.stdout.take());
        let errors = child.stderr.take().map(|mut pipe| {
            std::thread::spawn(move || {
                let mut said = String::new();
                let _ = pipe.read_to_string(&mut said);
                said
            })
        });
        Ok(Box::new(ProcessChannel { child, input, output, errors }))
    }
}

impl Drop for Openssh {
    fn drop(&mut self) {
        for path in &self.known_hosts {
            // In the directory for such files; it holds nothing secret.
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Writes from a thread of its own: a pipe is small, and the one at its other end may wait for us to read.
pub(super) fn writer(mut pipe: impl Write + Send + 'static) -> Sender<Vec<u8>> {
    let (sender, receiver) = channel::<Vec<u8>>();
    std::thread::spawn(move || {
        for bytes in receiver {
            if pipe.write_all(&bytes).and_then(|()| pipe.flush()).is_err() {
                // The next write is told so.
                break;
            }
        }
    });
    sender
}

/// The streams of a process, be it ssh or the helper itself.
pub(super) struct ProcessChannel {
    pub(super) child: Child,
    pub(super) input: Option<Sender<Vec<u8>>>,
    pub(super) output: Option<ChildStdout>,
    pub(super) errors: Option<std::thread::JoinHandle<String>>,
}

impl Read for ProcessChannel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.output.as_mut().map_or(Ok(0), |output| output.read(buffer))
    }
}

impl Write for ProcessChannel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let sent = self.input.as_ref().is_some_and(|input| input.send(bytes.to_vec()).is_ok());
        if sent { Ok(bytes.len()) } else { Err(io::ErrorKind::BrokenPipe.into()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Channel for ProcessChannel {
    fn close_input(&mut self) {
        self.input = None;
    }

    fn finish(mut self: Box<Self>) -> (i32, String) {
        self.input = None;
        let status = self.child.wait().ok().and_then(|status| status.code());
        let said = self.errors.take().and_then(|errors| errors.join().ok()).unwrap_or_default();
        (status.unwrap_or(-1), said)
    }
}
