//! A flake in a directory of its own: its declared files and nothing else. Nix copies a flake as a whole into its store,
//! where everybody may read it, so that a key which lies beside the files must never be in that directory.

use std::collections::BTreeMap;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use cli::Failure;
use contract::Exit;
use contract::document::{HostDesired, Nixos};

/// A directory that is gone when it is dropped.
#[derive(Debug)]
pub(super) struct Staging(PathBuf);

impl Staging {
    /// A new one, for this user alone.
    ///
    /// # Errors
    /// 73 where it cannot be made.
    pub(super) fn new() -> Result<Self, Failure> {
        let name = format!("plumbline-{}-{}", std::process::id(), crate::engine::run::new_id());
        // Docker on a Mac shares the home and the temporary directory with its machine.
        let path = std::env::temp_dir().join(name);
        std::fs::DirBuilder::new()
            .mode(0o700)
            .create(&path)
            .map_err(|error| Failure::io(Exit::CannotCreate, "make the directory", path.display(), &error))?;
        Ok(Self(path))
    }

    pub(super) fn path(&self) -> &Path {
        &self.0
    }

    /// A directory in it with exactly this mode, and with 0755 those that lead there: tar carries the modes along, and
    /// a private directory on the way would close it on the host.
    pub(super) fn directory(&self, relative: &str, mode: u32) -> Result<PathBuf, Failure> {
        let mut path = self.0.clone();
        let names: Vec<&str> = relative.split('/').filter(|name| !name.is_empty()).collect();
        for (index, name) in names.iter().enumerate() {
            path.push(name);
            let mode = if index + 1 == names.len() { mode } else { 0o755 };
            let failed =
                |error: std::io::Error| Failure::io(Exit::CannotCreate, "make the directory", path.display(), &error);
            if !path.is_dir() {
                std::fs::create_dir(&path).map_err(failed)?;
                std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).map_err(failed)?;
            }
        }
        Ok(path)
    }

    /// A file in it.
    pub(super) fn file(&self, relative: &str, bytes: &[u8], mode: u32) -> Result<PathBuf, Failure> {
        if let Some((parent, _)) = relative.trim_start_matches('/').rsplit_once('/') {
            self.directory(parent, 0o755)?;
        }
        let path = self.0.join(relative.trim_start_matches('/'));
        cli::write_atomically(&path, bytes, mode)
            .map_err(|error| Failure::io(Exit::CannotCreate, "write", path.display(), &error))?;
        Ok(path)
    }
}

impl Drop for Staging {
    fn drop(&mut self) {
        // It may hold the copy of a key; what cannot be taken away lies where only this user comes.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// The one NixOS item of a document.
///
/// # Errors
/// 65 where there is none.
pub(super) fn item_of(desired: &HostDesired) -> Result<&Nixos, Failure> {
    desired.items.iter().find_map(|item| item.nixos.as_ref()).ok_or_else(|| {
        Failure::new(Exit::BadDocument, "no_nixos_item", format!("{} is no NixOS host in this document", desired.host))
            .hint("give the document of a host whose os is nixos (cfg-render host --host NAME)")
    })
}

/// Finds the bytes of a file, by its path in the flake and its source on the controller; none for one to be left out.
pub(super) type Bytes<'a> = &'a dyn Fn(&str, &str) -> Result<Option<Vec<u8>>, Failure>;

/// Writes the declared files of a flake; `bytes` finds those that lie on the controller.
pub(super) fn stage(nixos: &Nixos, bytes: Bytes<'_>) -> Result<Staging, Failure> {
    let staging = Staging::new()?;
    let mut files: BTreeMap<&str, Vec<u8>> = BTreeMap::new();
    for (path, file) in &nixos.files {
        let content = match (&file.content, &file.source) {
            (Some(text), _) => Some(text.clone().into_bytes()),
            (None, Some(source)) => bytes(path, source)?,
            (None, None) => None,
        };
        if let Some(content) = content {
            files.insert(path, content);
        }
    }
    for (path, content) in files {
        staging.file(path, &content, 0o644)?;
    }
    Ok(staging)
}
