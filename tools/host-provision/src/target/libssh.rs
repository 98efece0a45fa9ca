//! SSH by libssh2.

use std::io::{self, Cursor, Read, Write};
use std::net::{TcpStream, ToSocketAddrs};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use cli::{Failure, Session};
use contract::Exit;
use contract::document::InventoryAddress;
use ssh2::MethodType;

use super::host_key::{KnownHosts, PublicKey, Verdict};
use super::transport::{Channel, Transport};
use super::{SshHost, describe};

/// Types of host keys, best first.
const KEY_TYPES: [&str; 6] = [
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
];

/// How much of a channel is read at once: the largest packet.
const PACKET: usize = 32 * 1024;

/// How long the other side has for a last word.
const FAREWELL: u32 = 1_000;

struct Libssh {
    session: ssh2::Session,
    stream: TcpStream,
    key: Option<PublicKey>,
    round_trip: Duration,
}

/// A connection, and how long its first round trip took.
fn open(way: &InventoryAddress, patience: Duration) -> Result<(TcpStream, Duration), Failure> {
    let unreachable = |error: &io::Error| {
        let text = error.to_string();
        let text = text.split(" (os error").next().unwrap_or(&text).to_lowercase();
        Failure::new(Exit::TryAgain, "unreachable", format!("the host does not answer: {text}"))
            .hint("check that it is up, its address and port, and that a firewall lets you through")
    };
    let addresses = (way.address.as_str(), way.port).to_socket_addrs().map_err(|error| unreachable(&error))?;
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for address in addresses {
        let begun = Instant::now();
        match TcpStream::connect_timeout(&address, patience) {
            Ok(stream) => {
                // Small messages both ways: waiting to fill packets would double every round trip.
                let round_trip = begun.elapsed();
                let _ = stream.set_nodelay(true);
                watch(&stream);
                return Ok((stream, round_trip));
            }
            Err(error) => last = error,
        }
    }
    Err(unreachable(&last))
}

/// Lets the kernel find out that the other side is gone, also while nothing is said.
fn watch(stream: &TcpStream) {
    use rustix::net::sockopt;
    // Without these a dead peer is noticed later.
    let _ = sockopt::set_socket_keepalive(stream, true);
    #[cfg(target_os = "linux")]
    {
        let _ = sockopt::set_tcp_keepidle(stream, Duration::from_secs(10));
        let _ = sockopt::set_tcp_keepintvl(stream, Duration::from_secs(5));
        let _ = sockopt::set_tcp_keepcnt(stream, 3);
        let _ = sockopt::set_tcp_user_timeout(stream, 25_000);
    }
}

fn handshake(
    way: &InventoryAddress,
    key_types: &[String],
    patience: Duration,
) -> Result<(ssh2::Session, TcpStream, Duration), Failure> {
    let (stream, round_trip) = open(way, patience)?;
    let failed = |error: ssh2::Error| {
        Failure::new(Exit::TryAgain, "handshake", format!("no SSH connection came about: {}", error.message()))
    };
    let mut session = ssh2::Session::new().map_err(failed)?;
    session.set_timeout(patience.as_millis() as u32);
    let own = stream.try_clone().map_err(|error| Failure::io(Exit::TryAgain, "connect to", describe(way), &error))?;
    session.set_tcp_stream(stream);
    if has_aes() {
        // The library begins with ChaCha20, which it has in plain C. A processor that does AES by itself is three times as fast
        // with that; the others stay as they are.
        for direction in [MethodType::CryptCs, MethodType::CryptSc] {
            let mut ciphers = session.supported_algs(direction).map_err(failed)?;
            ciphers.sort_by_key(|name| !name.contains("-gcm@"));
            session.method_pref(direction, &ciphers.join(",")).map_err(failed)?;
        }
    }
    if !key_types.is_empty() {
        session.method_pref(MethodType::HostKey, &key_types.join(",")).map_err(failed)?;
    }
    session.handshake().map_err(failed)?;
    Ok((session, own, round_trip))
}

/// Whether this processor does AES by itself.
fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        std::arch::is_x86_feature_detected!("aes") && std::arch::is_x86_feature_detected!("pclmulqdq")
    }
    #[cfg(target_arch = "aarch64")]
    {
        std::arch::is_aarch64_feature_detected!("aes") && std::arch::is_aarch64_feature_detected!("pmull")
    }
    #[cfg(not(any(target_arch = "x86_64", target_arch = "aarch64")))]
    {
        false
    }
}

fn key_of(session: &ssh2::Session) -> Option<PublicKey> {
    session.host_key().map(|(bytes, _)| PublicKey::from_wire(bytes))
}

/// Connects and logs in.
pub(super) fn connect(
    session: &Session,
    host: &SshHost,
    way: &InventoryAddress,
    known_hosts: &KnownHosts,
) -> Result<Box<dyn Transport>, Failure> {
    let mut kinds: Vec<String> = Vec::new();
    for kind in host.keys.kinds(known_hosts, &way.address, way.port) {
        // An RSA key signs in two ways that have names of their own.
        if kind == "ssh-rsa" {
            kinds.extend(["rsa-sha2-512".to_owned(), "rsa-sha2-256".into()]);
        } else {
            kinds.push(kind);
        }
    }
    let known = kinds.clone();
    // The known types first; the others too, so that an exchanged key is seen and named.
    kinds.extend(KEY_TYPES.iter().map(|kind| (*kind).to_owned()).filter(|kind| !known.contains(kind)));
    let (connection, stream, round_trip) = handshake(way, &kinds, host.patience)?;
    let key = key_of(&connection)
        .ok_or_else(|| Failure::new(Exit::Permission, "host_key_unknown", "the host shows no key"))?;
    if host.keys.judge(&key, known_hosts, &way.address, way.port)? == Verdict::New {
        session.warn(&format!(
            "{}: the key {} was taken as new; commit it to the fleet: \"host_keys\": [\"{}\"]",
            host.name,
            key.fingerprint(),
            key.line()
        ));
    }
    let key = log_in(&connection, host, way)?;
    // From here on commands may take their time; the kernel watches the connection.
    connection.set_timeout(0);
    Ok(Box::new(Libssh { session: connection, stream, key, round_trip }))
}

/// Logs in, and says with which key as far as that is known.
fn log_in(connection: &ssh2::Session, host: &SshHost, way: &InventoryAddress) -> Result<Option<PublicKey>, Failure> {
    let mut tried = Vec::new();
    for path in &host.identities {
        tried.push(path.display().to_string());
        if let Err(error) = connection.userauth_pubkey_file(&way.user, None, path, None) {
            if is_broken(&error) {
                return Err(Failure::new(Exit::TryAgain, "handshake", "the connection broke during the login")
                    .cause(error.message()));
            }
            if !path.exists() {
                return Err(Failure::new(Exit::Unreadable, "no_identity", "the private key is not there")
                    .place(path.display().to_string()));
            }
            tried.push(error.message().to_owned());
        }
        if connection.authenticated() {
            return Ok(PublicKey::of_identity(path));
        }
    }
    if host.identities.is_empty() {
        if let Some(key) = try_agent(connection, &way.user, &mut tried) {
            return Ok(Some(key));
        }
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        for name in ["id_ed25519", "id_ecdsa", "id_rsa"] {
            let path = home.join(".ssh").join(name);
            if path.exists() {
                tried.push(path.display().to_string());
                // A key with a passphrase belongs into the agent.
                let _ = connection.userauth_pubkey_file(&way.user, None, &path, None);
                if connection.authenticated() {
                    return Ok(PublicKey::of_identity(&path));
                }
            }
        }
    }
    if let Some(password) = &host.password {
        tried.push("a password".into());
        // Some servers ask for it in a dialogue.
        if connection.userauth_password(&way.user, &password.0).is_err() {
            let _ = connection.userauth_keyboard_interactive(&way.user, &mut Answer(&password.0));
        }
        if connection.authenticated() {
            return Ok(None);
        }
    }
    let tried = if tried.is_empty() { "no key was found".into() } else { format!("tried: {}", tried.join(", ")) };
    Err(Failure::new(Exit::Permission, "login_refused", format!("{} refuses the login ({tried})", describe(way)))
        .hint("give the right key with -i; a key with a passphrase is used through the agent (ssh-add)"))
}

/// How a key of the agent is called that only the system's ssh can use.
const LEFT: &str = "left to ssh:";

/// Whether the agent has keys that were not tried.
pub(super) fn left_keys(failure: &Failure) -> bool {
    failure.errors().iter().any(|error| error.code == "login_refused" && error.message.contains(LEFT))
}

/// Whether the connection itself is gone (libssh2.h: send, timeout, disconnect, timeout of the socket, receive).
fn is_broken(error: &ssh2::Error) -> bool {
    // A connection that breaks while an answer is awaited is reported as a key that was not verified.
    let unanswered = error.message().starts_with("Waiting for");
    unanswered || matches!(error.code(), ssh2::ErrorCode::Session(-7 | -9 | -13 | -30 | -43))
}

/// Gives a password wherever it is asked for.
struct Answer<'a>(&'a str);

impl ssh2::KeyboardInteractivePrompt for Answer<'_> {
    fn prompt(&mut self, _user: &str, _instructions: &str, prompts: &[ssh2::Prompt<'_>]) -> Vec<String> {
        prompts.iter().map(|_| self.0.to_owned()).collect()
    }
}

/// The agent's keys one after another: the library's own way tries only the first.
fn try_agent(connection: &ssh2::Session, user: &str, tried: &mut Vec<String>) -> Option<PublicKey> {
    let mut agent = connection.agent().ok()?;
    if agent.connect().is_err() || agent.list_identities().is_err() {
        return None;
    }
    for identity in agent.identities().unwrap_or_default() {
        let kind = PublicKey::from_wire(identity.blob()).kind().unwrap_or_default().to_owned();
        if kind.starts_with("sk-") || kind.contains("-cert-v01@") {
            tried.push(format!("{LEFT}{}", identity.comment()));
            continue;
        }
        tried.push(format!("agent:{}", identity.comment()));
        if agent.userauth(user, &identity).is_ok() && connection.authenticated() {
            return Some(PublicKey::from_wire(identity.blob()));
        }
    }
    None
}

/// The keys of a host, one of each type.
pub(super) fn scan(way: &InventoryAddress) -> Result<Vec<PublicKey>, Failure> {
    let mut keys: Vec<PublicKey> = Vec::new();
    let mut last = None;
    for kinds in [&KEY_TYPES[..1], &KEY_TYPES[1..4], &KEY_TYPES[4..]] {
        let kinds: Vec<String> = kinds.iter().map(|kind| (*kind).to_owned()).collect();
        match handshake(way, &kinds, super::PATIENCE) {
            Ok((connection, ..)) => keys.extend(key_of(&connection).filter(|key| !keys.contains(key))),
            // A host need not have a key of every type; but without a connection at all there is nothing to scan.
            Err(failure) if failure.errors().iter().any(|error| error.code == "unreachable") => return Err(failure),
            Err(failure) => last = Some(failure),
        }
    }
    match last {
        Some(failure) if keys.is_empty() => Err(failure),
        _ => Ok(keys),
    }
}

impl Transport for Libssh {
    fn round_trip(&self) -> Option<Duration> {
        Some(self.round_trip)
    }

    fn login_key(&self) -> Option<PublicKey> {
        self.key.clone()
    }

    fn host_key(&self) -> Option<PublicKey> {
        key_of(&self.session)
    }

    fn hang_up(&mut self) {
        self.session.set_timeout(FAREWELL);
        // A connection that broke is as good. The end of the stream ends whatever would still wait for an answer.
        let _ = self.session.disconnect(None, "done", None);
        let _ = self.stream.shutdown(std::net::Shutdown::Both);
    }

    fn exec(&mut self, command: &str) -> Result<Box<dyn Channel>, Failure> {
        let failed = |error: ssh2::Error| {
            Failure::new(
                Exit::TryAgain,
                "connection_lost",
                format!("the connection does not hold: {}", error.message()),
            )
        };
        let mut channel = self.session.channel_session().map_err(failed)?;
        channel.exec(command).map_err(failed)?;
        Ok(Box::new(LibsshChannel { channel, ahead: Cursor::default() }))
    }
}

struct LibsshChannel {
    channel: ssh2::Channel,
    /// What was read but not taken yet: frames are taken in small pieces, and the library looks at the socket for each.
    ahead: Cursor<Vec<u8>>,
}

impl Read for LibsshChannel {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.ahead.position() < self.ahead.get_ref().len() as u64 {
            return self.ahead.read(buffer);
        }
        if buffer.len() >= PACKET {
            return self.channel.read(buffer);
        }
        let mut packet = std::mem::take(&mut self.ahead).into_inner();
        packet.resize(PACKET, 0);
        let read = self.channel.read(&mut packet);
        packet.truncate(*read.as_ref().unwrap_or(&0));
        self.ahead = Cursor::new(packet);
        read?;
        self.ahead.read(buffer)
    }
}

impl Write for LibsshChannel {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.channel.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        // The library writes through; its own flush throws away what waits to be read.
        Ok(())
    }
}

impl Channel for LibsshChannel {
    fn close_input(&mut self) {
        // A channel that is closed already is as good.
        let _ = self.channel.send_eof();
    }

    fn finish(mut self: Box<Self>) -> (i32, String) {
        let mut said = String::new();
        // What cannot be read is not there to be shown.
        let _ = self.channel.stderr().take(64 * 1024).read_to_string(&mut said);
        let _ = self.channel.close().and_then(|()| self.channel.wait_close());
        (self.channel.exit_status().unwrap_or(-1), said)
    }
}
