//! The first contact with a fresh server: who it is, a key instead of a password, the identity by which it opens its
//! secrets. Everything that can be refused is refused before the server is touched.

use std::io::{Read, Write};
use std::path::PathBuf;
use std::process::Stdio;
use std::time::{Duration, Instant};

use cli::{Consents, Failure, Session};
use contract::Exit;
use contract::document::HostFacts;

use crate::controller::Controller;
use crate::target::{Current, Link, Password, Place, PublicKey, Root, SshHost, TargetFlags, Transport, connect};
use crate::wire::{Reply, Request};

/// Arguments of bootstrap.
#[derive(Debug, Clone, clap::Args)]
pub struct BootstrapArgs {
    /// A name in the inventory, or ssh://USER@ADDRESS:PORT
    host: String,
    /// File with the password of the login user; else SSHPASS in the environment, else it is asked for on the terminal
    #[arg(long, value_name = "FILE")]
    password_file: Option<PathBuf>,
    /// File with public keys that may log in from now on (default: the public half of -i)
    #[arg(long, value_name = "FILE")]
    authorize: Vec<PathBuf>,
    #[command(flatten)]
    age: AgeKeyFlags,
    /// Where files named by the manifest lie
    #[arg(long, value_name = "DIR", default_value = ".")]
    base: PathBuf,
    /// How long the server may take to answer, and its cloud-init to end
    #[arg(long, value_name = "DURATION", default_value = "5m")]
    wait: contract::Duration,
    #[command(flatten)]
    consents: Consents,
    /// Where it is and who it is
    #[command(flatten)]
    pub target: TargetFlags,
}

/// The key by which a host opens its secrets.
#[derive(Debug, Clone, clap::Args)]
pub struct AgeKeyFlags {
    /// Private age key by which the host opens its secrets, to be brought there; needs --manifest
    #[arg(long, value_name = "FILE", requires = "manifest")]
    age_key: Option<PathBuf>,
    /// Where the age key lies on the host (default: /var/lib/plumbline/age.key, on NixOS /var/lib/sops-nix/key.txt)
    #[arg(long, value_name = "PATH")]
    age_key_path: Option<String>,
    /// The host's secrets.manifest/v1: the age key must open every file that it names
    #[arg(long, value_name = "FILE")]
    manifest: Option<PathBuf>,
}

impl AgeKeyFlags {
    /// The program that knows secrets says whether the key opens all that the host needs.
    ///
    /// # Errors
    /// 76 where it does not, 69 where the program is not there.
    pub(crate) fn prove(&self, base: &std::path::Path) -> Result<(), Failure> {
        let (Some(key), Some(manifest)) = (&self.age_key, &self.manifest) else { return Ok(()) };
        if let Some(path) = &self.age_key_path {
            plain_path(path)?;
        }
        let program = secret_encrypt();
        let output = crate::target::child(&program)
            .args(["check", "--output", "json", "--can-open", "--manifest"])
            .arg(manifest)
            .arg("--base")
            .arg(base)
            .arg("--identity")
            .arg(key)
            // The tree around is not asked about.
            .arg(manifest)
            .stdin(Stdio::null())
            .output()
            .map_err(|_| {
                Failure::new(
                    Exit::Unavailable,
                    "program_missing",
                    "secret-encrypt is not there, which proves the age key",
                )
                .place(program.display().to_string())
                .hint("install it beside this program, or name it in SECRET_ENCRYPT")
            })?;
        if output.status.success() {
            return Ok(());
        }
        let failure = Failure::new(Exit::Refused, "key_opens_not", "the age key does not open every secret that the host needs")
            .place(key.display().to_string())
            .hint("add its recipient to .sops.yaml and run `secret-encrypt rekey`, or give the right key; the server is untouched");
        let findings: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let causes = findings["findings"].as_array().cloned().unwrap_or_default();
        if causes.is_empty() {
            return Err(failure.cause(String::from_utf8_lossy(&output.stderr).trim().replace('\n', "; ")));
        }
        Err(causes.iter().fold(failure, |failure, finding| {
            let word = |key: &str| finding[key].as_str().unwrap_or_default().to_owned();
            failure.cause(format!("{}: {}", word("file"), word("message")))
        }))
    }

    /// The key and where it lies on the host.
    ///
    /// # Errors
    /// 66 where it cannot be read.
    pub(crate) fn bytes(&self, usual: &str) -> Result<Option<(String, Vec<u8>)>, Failure> {
        let Some(path) = &self.age_key else { return Ok(None) };
        let bytes =
            std::fs::read(path).map_err(|error| Failure::io(Exit::Unreadable, "read", path.display(), &error))?;
        Ok(Some((self.age_key_path.clone().unwrap_or_else(|| usual.to_owned()), bytes)))
    }
}

/// What was learnt of a server.
pub struct Bootstrapped {
    /// What it is.
    pub facts: HostFacts,
}

impl BootstrapArgs {
    /// Does it.
    ///
    /// # Errors
    /// 76 where the key would not open the secrets or another one lies there, 77 where nobody is let in, 75 where the
    /// server does not answer in time.
    pub fn run(self, session: &Session, controller: &Controller<'_>) -> Result<Bootstrapped, Failure> {
        self.age.prove(&self.base)?;
        let Place::Ssh(mut host) = controller.places.find(&self.host)? else {
            return Err(Failure::new(Exit::Usage, "usage", "only a host behind SSH is bootstrapped"));
        };
        let replaces: Vec<String> = controller.places.pinned(&self.host);
        if self.target.accept_new || self.target.host_key.is_some() {
            host.keys = host.keys.made_anew();
        }
        let given = self.keys_to_authorize()?;
        let (mut transport, way) = self.enter(session, &mut host)?;
        // Who came in by a key has one there already.
        let by_password = host.password.is_some() && transport.login_key().is_none();
        let authorize = if by_password || !self.authorize.is_empty() { given } else { Vec::new() };
        let key = transport.host_key();
        if let Some(key) = &key {
            host.keys = host.keys.pinned_to(key.clone());
        }
        // A user who logs in by a password gives the same to sudo.
        host.root_password = host.root_password.clone().or(host.password.as_ref());
        self.await_cloud_init(session, &mut *transport)?;
        if !authorize.is_empty() {
            let text = authorize.join("\n") + "\n";
            let said = perform(&mut *transport, &Root::none(), AUTHORIZE, text.as_bytes())?;
            said.good("authorise the keys")?;
        }
        drop(transport);
        // From here on by key alone: what is left behind must be enough to come back.
        host.password = None;
        host.addresses = vec![way.clone()];
        let (mut transport, _) = connect(session, &host, &host.addresses).map_err(|failure| {
            failure.hint("the server takes the password but no key; see --authorize and its sshd_config")
        })?;
        if let Some((path, bytes)) = self.age.bytes("/var/lib/plumbline/age.key")? {
            let mut root = Root::open(&mut *transport, &host, &way)?;
            root.settle(&mut *transport)?;
            self.install_age_key(&path, &bytes, &mut *transport, &root)?;
        }
        drop(transport);
        let place = Place::Ssh(host.clone());
        let mut link = Link::open(session, &controller.shelf, &place, None, &|_, _| Ok(Request::Facts))?;
        let Reply::Facts(facts) = link.reply(&())? else {
            return Err(Failure::new(
                Exit::Bug,
                "unexpected_reply",
                "the helper answers something else than it was asked",
            ));
        };
        if !matches!(facts.os_id.as_str(), "debian" | "ubuntu") {
            session.warn(&format!("{} is no Debian or Ubuntu but {}", self.host, facts.os_id));
        }
        self.remember(session, key.as_ref(), replaces)?;
        Ok(Bootstrapped { facts })
    }

    fn remember(&self, session: &Session, key: Option<&PublicKey>, replaces: Vec<String>) -> Result<(), Failure> {
        let host_keys: Vec<String> = key.iter().map(|key| key.line()).collect();
        if host_keys.iter().all(|key| replaces.contains(key)) && self.target.address.is_none() {
            return Ok(());
        }
        for key in host_keys.iter().filter(|key| !replaces.contains(key)) {
            session.warn(&format!("commit the key of {} to the fleet: \"host_keys\": [\"{key}\"]", self.host));
        }
        let current = Current { address: self.target.address.clone(), host_keys, replaces };
        if !self.host.contains("://") && !current.remember(&self.host)? {
            session.warn("STATE_DIR is not set: the address and the key are not remembered for later calls");
        }
        Ok(())
    }

    fn keys_to_authorize(&self) -> Result<Vec<String>, Failure> {
        let mut lines = Vec::new();
        for path in &self.authorize {
            let text = std::fs::read_to_string(path)
                .map_err(|error| Failure::io(Exit::Unreadable, "read", path.display(), &error))?;
            if crate::private_key::is_one(text.as_bytes()) {
                return Err(Failure::new(Exit::Refused, "private_key", "this is a private key; name its public half")
                    .place(path.display().to_string()));
            }
            lines.extend(
                text.lines()
                    .map(str::trim)
                    .filter(|line| !line.is_empty() && !line.starts_with('#'))
                    .map(str::to_owned),
            );
        }
        if lines.is_empty() {
            lines.extend(self.target.identities.iter().filter_map(|path| Some(PublicKey::of_identity(path)?.line())));
        }
        Ok(lines)
    }

    /// Connects by key, or by password where no key is taken yet, as soon as the server answers.
    fn enter(
        &self,
        session: &Session,
        host: &mut SshHost,
    ) -> Result<(Box<dyn Transport>, contract::document::InventoryAddress), Failure> {
        let end = Instant::now() + Duration::from_secs(self.wait.as_secs());
        host.password = self.given_password()?;
        loop {
            match connect(session, host, &host.addresses) {
                Ok(connected) => return Ok(connected),
                Err(failure) => {
                    let codes: Vec<&str> = failure.errors().iter().map(|error| error.code.as_str()).collect();
                    let refused = codes.contains(&"login_refused");
                    if refused
                        && host.password.is_none()
                        && let Some(password) = Password::ask(&format!("password for {}", host.name))?
                    {
                        host.password = Some(password);
                        continue;
                    }
                    let waits = !refused && codes.iter().all(|code| matches!(*code, "unreachable" | "handshake"));
                    if !waits || Instant::now() >= end {
                        return Err(failure);
                    }
                    session.note("the server does not answer yet");
                    std::thread::sleep(Duration::from_secs(2));
                }
            }
        }
    }

    fn given_password(&self) -> Result<Option<Password>, Failure> {
        match &self.password_file {
            Some(path) => Password::of_file(path),
            None => Ok(Password::of_variable("SSHPASS")),
        }
    }

    /// What a provider's image still does at its first boot would undo or lock what we do.
    fn await_cloud_init(&self, session: &Session, transport: &mut dyn Transport) -> Result<(), Failure> {
        let script = format!(
            "command -v cloud-init >/dev/null 2>&1 || exit 0; timeout {} cloud-init status --wait >/dev/null 2>&1",
            self.wait.as_secs().max(1)
        );
        session.note("waiting for cloud-init");
        let said = perform(transport, &Root::none(), &script, b"")?;
        match said.code {
            0 => Ok(()),
            // Since 23.4: done, with something to complain about.
            2 => {
                session.warn("cloud-init ended with recoverable errors (cloud-init status --long tells which)");
                Ok(())
            }
            124 => Err(Failure::new(Exit::TryAgain, "cloud_init", "cloud-init does not come to its end")
                .hint("look with `cloud-init status --long`, or give it longer with --wait")),
            _ => Err(Failure::new(Exit::Unavailable, "cloud_init", "cloud-init failed on the server")
                .hint("look with `cloud-init status --long`; a server that is half made is better made anew")),
        }
    }

    fn install_age_key(
        &self,
        place: &str,
        bytes: &[u8],
        transport: &mut dyn Transport,
        root: &Root,
    ) -> Result<(), Failure> {
        let replace = u8::from(self.consents.allows("replace", "age-key"));
        let directory = place.rsplit_once('/').map_or("/", |(directory, _)| directory);
        let script = format!(
            "set -e; umask 077; test -d {directory} || mkdir -p -m 700 {directory}; t={directory}/.age.$$; trap \"rm -f $t\" EXIT; \
             cat >$t; if [ -e {place} ] && ! cmp -s $t {place}; then [ {replace} = 1 ] || exit 76; fi; \
             chmod 400 $t; sync $t 2>/dev/null || sync; mv $t {place}"
        );
        let said = perform(transport, root, &script, bytes)?;
        if said.code == 76 {
            return Err(Failure::new(Exit::Refused, "other_age_key", "another age key lies on the host already")
                .place(place)
                .hint("if it shall be replaced, consent with --allow replace:age-key"));
        }
        said.good("install the age key")
    }
}

const AUTHORIZE: &str = "set -e; umask 077; cd; mkdir -p .ssh; f=.ssh/authorized_keys; touch $f; \
     [ -z \"$(tail -c 1 $f)\" ] || echo >>$f; while IFS= read -r line; do grep -qxF -- \"$line\" $f || printf \"%s\\n\" \"$line\" >>$f; done";

/// A path that needs no quotes in a shell.
fn plain_path(path: &str) -> Result<(), Failure> {
    let plain = path.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"/._-".contains(&byte));
    if path.starts_with('/') && plain && !path.split('/').any(|name| name == "..") {
        return Ok(());
    }
    Err(Failure::new(Exit::Usage, "usage", "the path of the age key must be absolute and plain").place(path))
}

/// The program of the box that knows secrets: as the recipes name it, beside this one, or wherever the shell finds it.
fn secret_encrypt() -> PathBuf {
    if let Some(named) = std::env::var_os("SECRET_ENCRYPT") {
        return named.into();
    }
    let beside = std::env::current_exe().ok().map(|own| own.with_file_name("secret-encrypt"));
    beside.filter(|path| path.is_file()).unwrap_or_else(|| "secret-encrypt".into())
}

/// How a command on the server ended.
pub(crate) struct Performed {
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Performed {
    pub(crate) fn good(&self, doing: &str) -> Result<(), Failure> {
        if self.code == 0 {
            return Ok(());
        }
        let words = self.stderr.trim().replace('\n', "; ");
        let failure = Failure::new(Exit::Io, "remote", format!("cannot {doing}: it ended with {}", self.code));
        let failure = if words.contains("password has expired") || words.contains("Password change required") {
            failure.hint("the provider wants the password changed: log in once by hand")
        } else if words.contains("sudo:") || words.contains("doas:") {
            failure.hint(
                "the login user must be able to become root (--become, --become-password-file), or log in as root",
            )
        } else {
            failure
        };
        Err(if words.is_empty() { failure } else { failure.cause(words.chars().take(400).collect::<String>()) })
    }
}

/// Runs a script on the server with this on its standard input.
pub(crate) fn perform(
    transport: &mut dyn Transport,
    root: &Root,
    script: &str,
    input: &[u8],
) -> Result<Performed, Failure> {
    let mut channel = root.exec(transport, script)?;
    // A script that does not read its input is told by its exit.
    let _ = channel.write_all(input);
    channel.close_input();
    let mut stdout = String::new();
    let _ = channel.read_to_string(&mut stdout);
    let (code, stderr) = channel.finish();
    Ok(Performed { code, stdout, stderr })
}
