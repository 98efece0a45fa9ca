//! Where a tool finds the values of secrets: `--secrets-dir`, then `CREDENTIALS_DIRECTORY`, then (root only) `/run/secrets`.

use std::fmt;
use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use clap::Args;
use contract::{Exit, SecretName, SecretRef, places};

use crate::Failure;

/// The largest value of a secret that is read.
const LARGEST: u64 = 1024 * 1024;

/// The flag that says where secrets are.
#[derive(Debug, Clone, Default, Args)]
pub struct SecretStore {
    /// Directory with one file a secret; else $CREDENTIALS_DIRECTORY, else (root only) /run/secrets
    #[arg(long, value_name = "DIR")]
    pub secrets_dir: Option<PathBuf>,
}

/// The value of a secret. It is not shown by `{:?}` and is overwritten when it goes.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Vec<u8>);

impl Secret {
    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text, if it is one.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl From<Vec<u8>> for Secret {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes)
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

impl Drop for Secret {
    fn drop(&mut self) {
        self.0.fill(0);
        // Keeps the compiler from leaving the loop above out.
        std::hint::black_box(&self.0);
    }
}

impl SecretStore {
    /// The directory that secrets are read from.
    ///
    /// # Errors
    /// 78 where none is given.
    pub fn directory(&self) -> Result<PathBuf, Failure> {
        if let Some(directory) = &self.secrets_dir {
            return Ok(directory.clone());
        }
        if let Some(directory) = std::env::var_os(places::CREDENTIALS_VARIABLE).filter(|value| !value.is_empty()) {
            return Ok(directory.into());
        }
        if rustix::process::geteuid().is_root() {
            return Ok(places::SECRETS.into());
        }
        Err(Failure::new(
            Exit::NotSetUp,
            "no_secrets_directory",
            "a secret is needed and no place for secrets is given",
        )
        .hint("run it under `secret-encrypt exec`, or give --secrets-dir DIR"))
    }

    /// The value of a secret. One newline at its end, as editors leave it, is taken off.
    ///
    /// # Errors
    /// 78 where the secret is not there, 77 where it may not be read or anybody may read it, 74 where reading fails.
    pub fn get(&self, secret: &SecretRef) -> Result<Secret, Failure> {
        let directory = self.directory()?;
        read_secret(&directory, &secret.secret)
    }
}

fn read_secret(directory: &Path, name: &SecretName) -> Result<Secret, Failure> {
    let path = directory.join(name.as_str());
    let failed = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::NotFound => {
            Failure::new(Exit::NotSetUp, "secret_missing", format!("the secret {name} is not there"))
                .place(path.display().to_string())
                .hint("name it in the manifest, put its value into the SOPS file, and materialise again")
        }
        std::io::ErrorKind::PermissionDenied => {
            Failure::new(Exit::Permission, "secret_unreadable", format!("the secret {name} may not be read"))
                .place(path.display().to_string())
        }
        _ => Failure::io(Exit::Io, "read the secret", path.display(), error),
    };
    let file = File::open(&path).map_err(|error| failed(&error))?;
    let metadata = file.metadata().map_err(|error| failed(&error))?;
    if metadata.mode() & 0o007 != 0 {
        return Err(Failure::new(Exit::Permission, "secret_exposed", format!("everybody may read the secret {name}"))
            .place(path.display().to_string())
            .hint("its mode must give nothing to others, such as 0400"));
    }
    let mut bytes = Vec::new();
    file.take(LARGEST + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > LARGEST {
        return Err(Failure::new(
            Exit::BadDocument,
            "secret_too_large",
            format!("the secret {name} is larger than 1 MiB"),
        )
        .place(path.display().to_string()));
    }
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    if bytes.is_empty() {
        return Err(Failure::new(Exit::BadDocument, "secret_empty", format!("the secret {name} is empty"))
            .place(path.display().to_string()));
    }
    Ok(Secret(bytes))
}
