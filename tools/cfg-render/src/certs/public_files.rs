//! Certificates as files beside the fleet.

use std::fs;
use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};

use cli::{Failure, write_atomically};
use contract::Exit;

use super::{CertsError, Seen};

/// The directory that the files of a fleet are relative to.
#[derive(Debug, Clone)]
pub struct PublicFiles {
    base: PathBuf,
}

impl PublicFiles {
    /// Files below this directory.
    pub fn new(base: impl Into<PathBuf>) -> Self {
        Self { base: base.into() }
    }

    /// Whether a file is there.
    ///
    /// # Errors
    /// 65 for a path that leads out.
    pub fn exists(&self, file: &str) -> Result<bool, Failure> {
        Ok(self.path(file)?.exists())
    }

    /// The text of a certificate file, if it is there.
    ///
    /// # Errors
    /// 65 for a path that leads out and what is no text, 66 for what cannot be read.
    pub fn read(&self, file: &str) -> Result<Option<String>, Failure> {
        let path = self.path(file)?;
        match fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) if error.kind() == ErrorKind::InvalidData => {
                Err(CertsError::BadCertificate { file: file.into() }.into())
            }
            Err(error) => Err(Failure::io(Exit::Unreadable, "read the certificate", path.display(), &error)),
        }
    }

    /// What a certificate file says, if it is there.
    ///
    /// # Errors
    /// As [`PublicFiles::read`]; 65 for what is no certificate.
    pub fn see(&self, file: &str) -> Result<Option<Seen>, Failure> {
        self.read(file)?.map(|text| Seen::parse(&text, file).map_err(Failure::from)).transpose()
    }

    /// Writes a certificate, for all to read.
    ///
    /// # Errors
    /// 65 for a path that leads out, 73 for what cannot be written.
    pub fn write(&self, file: &str, pem: &str) -> Result<(), Failure> {
        let path = self.path(file)?;
        let failed = |error| Failure::io(Exit::CannotCreate, "write the certificate", path.display(), &error);
        if let Some(directory) = path.parent() {
            fs::create_dir_all(directory).map_err(failed)?;
        }
        write_atomically(&path, pem.as_bytes(), 0o644).map_err(failed)
    }

    /// The path of a file. Neither its text nor a link on the way may lead out of the base directory.
    fn path(&self, file: &str) -> Result<PathBuf, Failure> {
        let outside = || Failure::from(CertsError::Outside { file: file.to_owned() });
        let relative = Path::new(file);
        if file.is_empty()
            || !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir))
        {
            return Err(outside());
        }
        let path = self.base.join(relative);
        let base = fs::canonicalize(&self.base)
            .map_err(|error| Failure::io(Exit::Unreadable, "find the base directory", self.base.display(), &error))?;
        // The nearest directory that is already there decides where a new one comes to lie.
        let there = path.ancestors().find_map(|ancestor| fs::canonicalize(ancestor).ok());
        if there.is_some_and(|there| there.starts_with(&base)) { Ok(path) } else { Err(outside()) }
    }
}
