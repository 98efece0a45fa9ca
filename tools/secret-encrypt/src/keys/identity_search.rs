//! Where identities are looked for: the flag, then every place that sops looks at, then the key of the host.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use clap::Args;
use cli::Session;
use contract::Exit;
use zeroize::Zeroizing;

use super::Identities;
use crate::Error;

/// The largest identity file that is read.
const LARGEST: u64 = 16 * 1024 * 1024;
/// The key of a host, as sops-nix uses it; looked at by root only, because nobody else may read it.
const HOST_KEY: &str = "/etc/ssh/ssh_host_ed25519_key";

/// Which private keys to use.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct IdentityFlags {
    /// File with age identities or an SSH private key (may be repeated); else the places of sops, and as root the host's SSH key
    #[arg(short, long = "identity", value_name = "FILE")]
    pub identities: Vec<PathBuf>,
}

impl IdentityFlags {
    /// Loads them. With the flag these alone are used; else every place that exists, in the order of sops.
    ///
    /// # Errors
    /// Where a named file cannot be read or holds no identity. A usual place that is not there is no error.
    pub(crate) fn load(&self, session: &Session) -> Result<Identities, Error> {
        let mut found = Identities::default();
        if !self.identities.is_empty() {
            for path in &self.identities {
                add_file(&mut found, session, path)?;
            }
            return Ok(found);
        }
        let home = variable("HOME").map(PathBuf::from);
        if let Some(path) = variable("SOPS_AGE_SSH_PRIVATE_KEY_FILE") {
            add_file(&mut found, session, Path::new(&path))?;
        }
        if let Some(command) = variable("SOPS_AGE_SSH_PRIVATE_KEY_CMD") {
            found.add_command("SOPS_AGE_SSH_PRIVATE_KEY_CMD", &command);
        }
        for name in [".ssh/id_ed25519", ".ssh/id_rsa"] {
            add_usual(&mut found, session, home.as_ref().map(|home| home.join(name)));
        }
        if let Some(text) = variable("SOPS_AGE_KEY") {
            let text = Zeroizing::new(text.split_whitespace().collect::<Vec<_>>().join("\n"));
            found.add("SOPS_AGE_KEY", &text)?;
        }
        if let Some(path) = variable("SOPS_AGE_KEY_FILE") {
            add_file(&mut found, session, Path::new(&path))?;
        }
        if let Some(command) = variable("SOPS_AGE_KEY_CMD") {
            found.add_command("SOPS_AGE_KEY_CMD", &command);
        }
        let config = variable("XDG_CONFIG_HOME").map(PathBuf::from).or_else(|| home.map(|home| home.join(".config")));
        add_usual(&mut found, session, config.map(|config| config.join("sops/age/keys.txt")));
        if rustix::process::geteuid().is_root() {
            add_usual(&mut found, session, Some(HOST_KEY.into()));
        }
        Ok(found)
    }
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

fn add_file(found: &mut Identities, session: &Session, path: &Path) -> Result<(), Error> {
    use std::os::unix::fs::MetadataExt;
    let place = path.display().to_string();
    let failed = |error| Error::io(Exit::Unreadable, "read the identity", &place, error);
    let file = File::open(path).map_err(failed)?;
    let mode = file.metadata().map_err(failed)?.mode();
    if mode & 0o077 != 0 {
        session.warn(&format!("{place} can be read by others (mode {:04o}): chmod 600 it", mode & 0o7777));
    }
    // Room for all of it: a buffer that grows leaves copies of keys behind.
    let size = file.metadata().map_err(failed)?.len().min(LARGEST);
    let mut bytes = Zeroizing::new(Vec::with_capacity(size as usize + 1));
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(failed)?;
    if bytes.len() as u64 > LARGEST {
        return Err(Error::BadIdentity { place, reason: "it is larger than 16 MiB".into() });
    }
    found.add_bytes(&place, &bytes)
}

/// A usual place: what is not there or cannot be used is passed over, as sops does.
fn add_usual(found: &mut Identities, session: &Session, path: Option<PathBuf>) {
    if let Some(path) = path.filter(|path| path.is_file())
        && let Err(error) = add_file(found, session, &path)
    {
        session.note(&format!("{} is passed over: {error}", path.display()));
    }
}
