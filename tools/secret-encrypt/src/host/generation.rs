//! Generations of secrets: each a directory of its own, one link that names the current one.

use std::collections::BTreeMap;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use contract::Exit;
use zeroize::Zeroizing;

use crate::Error;

/// A file of a generation.
pub(crate) struct Entry {
    /// Its path inside the generation: `NAME` or `rendered/NAME`.
    pub name: String,
    /// Its content.
    pub bytes: Zeroizing<Vec<u8>>,
    /// Its owner.
    pub uid: u32,
    /// Its group.
    pub gid: u32,
    /// Its permission bits.
    pub mode: u32,
}

/// A place with generations and the link to the current one.
pub(crate) struct Tree {
    /// The directory of generations, such as `/run/secrets.d`.
    pub generations: PathBuf,
    /// The link, such as `/run/secrets`.
    pub link: PathBuf,
    /// What the link says: the path of the generations as programs on the host see it.
    pub target: PathBuf,
}

/// What a new generation would change.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Generation {
    /// Its number; that of the present one if nothing changes.
    pub number: u64,
    /// Names that were not there.
    pub added: Vec<String>,
    /// Names whose content, owner or mode is different.
    pub updated: Vec<String>,
    /// Names that are gone.
    pub removed: Vec<String>,
}

impl Generation {
    /// Whether anything is different.
    pub(crate) fn changes(&self) -> bool {
        !(self.added.is_empty() && self.updated.is_empty() && self.removed.is_empty())
    }
}

impl Tree {
    fn current(&self) -> Option<(u64, PathBuf)> {
        let target = fs::read_link(&self.link).ok()?;
        let number = target.file_name()?.to_str()?.parse().ok()?;
        Some((number, self.generations.join(target.file_name()?))).filter(|(_, path)| path.is_dir())
    }

    /// Compares the entries with the present generation.
    ///
    /// # Errors
    /// Where that cannot be read.
    pub(crate) fn compare(&self, entries: &[Entry]) -> Result<Generation, Error> {
        let Some((number, path)) = self.current() else {
            let added = entries.iter().map(|entry| entry.name.clone()).collect();
            return Ok(Generation { number: self.next_number()?, added, ..Generation::default() });
        };
        let mut old = BTreeMap::new();
        list(&path, "", &mut old)?;
        let mut generation = Generation { number, ..Generation::default() };
        for entry in entries {
            match old.remove(&entry.name) {
                None => generation.added.push(entry.name.clone()),
                Some(file) if !same(&file, entry)? => generation.updated.push(entry.name.clone()),
                Some(_) => {}
            }
        }
        generation.removed = old.into_keys().collect();
        if generation.changes() {
            generation.number = self.next_number()?;
        }
        Ok(generation)
    }

    /// One above every number there is, also above that of a generation which a killed process left half made.
    fn next_number(&self) -> Result<u64, Error> {
        let mut highest = 0;
        if self.generations.is_dir() {
            let failed = |error| Error::io(Exit::Io, "read the directory", self.generations.display(), error);
            for entry in fs::read_dir(&self.generations).map_err(failed)? {
                let name = entry.map_err(failed)?.file_name();
                highest = highest.max(name.to_str().and_then(|name| name.parse().ok()).unwrap_or(0));
            }
        }
        Ok(highest + 1)
    }

    /// Writes a generation in full, then makes it the current one with one rename, then removes the older ones but for
    /// `keep`.
    ///
    /// # Errors
    /// Where anything cannot be written; the current generation is then as it was.
    pub(crate) fn write(&self, generation: &Generation, entries: &[Entry], keep: usize) -> Result<(), Error> {
        make_directory(&self.generations, 0o751)?;
        let name = generation.number.to_string();
        let directory = self.generations.join(&name);
        let written = (|| {
            make_directory(&directory, 0o751)?;
            for entry in entries {
                write_entry(&directory, entry)?;
            }
            Ok(())
        })();
        let written = written.and_then(|()| self.switch(&name));
        if let Err(error) = written {
            let _ = fs::remove_dir_all(&directory);
            return Err(error);
        }
        self.prune(generation.number, keep);
        Ok(())
    }

    fn switch(&self, name: &str) -> Result<(), Error> {
        let failed = |error| Error::io(Exit::CannotCreate, "make the link", self.link.display(), error);
        if fs::symlink_metadata(&self.link).is_ok_and(|metadata| !metadata.file_type().is_symlink()) {
            return Err(Error::Refused {
                code: "in_the_way",
                message: "something that is no link of ours lies where the current secrets belong".into(),
                place: self.link.display().to_string(),
                hint: "move it away".into(),
            });
        }
        let temporary = self.generations.join(format!(".link.{}", std::process::id()));
        let _ = fs::remove_file(&temporary);
        symlink(self.target.join(name), &temporary).map_err(failed)?;
        fs::rename(&temporary, &self.link).map_err(failed)
    }

    fn prune(&self, current: u64, keep: usize) {
        let numbers = fs::read_dir(&self.generations).into_iter().flatten().flatten();
        let mut numbers: Vec<u64> = numbers
            .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
            .filter(|number| *number != current)
            .collect();
        numbers.sort_unstable();
        let gone = numbers.len().saturating_sub(keep.saturating_sub(1));
        for number in &numbers[..gone] {
            // What cannot be removed now is removed the next time.
            let _ = fs::remove_dir_all(self.generations.join(number.to_string()));
        }
    }
}

/// Makes a directory of exactly this mode, with its parents.
pub(super) fn make_directory(path: &Path, mode: u32) -> Result<(), Error> {
    let failed = |error| Error::io(Exit::CannotCreate, "make the directory", path.display(), error);
    if path.is_dir() {
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        fs::create_dir_all(parent).map_err(failed)?;
    }
    DirBuilder::new().mode(mode).create(path).map_err(failed)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).map_err(failed)
}

fn write_entry(directory: &Path, entry: &Entry) -> Result<(), Error> {
    let path = directory.join(&entry.name);
    if let Some(parent) = path.parent() {
        make_directory(parent, 0o751)?;
    }
    let failed = |error| Error::io(Exit::CannotCreate, "write the secret", path.display(), error);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path).map_err(failed)?;
    file.write_all(&entry.bytes).map_err(failed)?;
    let own = file.metadata().map_err(failed)?;
    if (own.uid(), own.gid()) != (entry.uid, entry.gid) {
        std::os::unix::fs::fchown(&file, Some(entry.uid), Some(entry.gid)).map_err(failed)?;
    }
    // Last, so that nobody else can read it while it has another owner; chown also takes special bits away.
    file.set_permissions(fs::Permissions::from_mode(entry.mode)).map_err(failed)
}

fn list(directory: &Path, prefix: &str, found: &mut BTreeMap<String, PathBuf>) -> Result<(), Error> {
    let failed = |error| Error::io(Exit::Io, "read the directory", directory.display(), error);
    for entry in fs::read_dir(directory).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        if entry.file_type().map_err(failed)?.is_dir() {
            list(&entry.path(), &format!("{name}/"), found)?;
        } else {
            found.insert(name, entry.path());
        }
    }
    Ok(())
}

fn same(path: &Path, entry: &Entry) -> Result<bool, Error> {
    use std::io::Read;
    let failed = |error| Error::io(Exit::Io, "read the secret", path.display(), error);
    let mut file = File::open(path).map_err(failed)?;
    let metadata = file.metadata().map_err(failed)?;
    let like = metadata.mode() & 0o7777 == entry.mode
        && (metadata.uid(), metadata.gid()) == (entry.uid, entry.gid)
        && metadata.len() == entry.bytes.len() as u64;
    if !like {
        return Ok(false);
    }
    let mut bytes = Zeroizing::new(Vec::with_capacity(entry.bytes.len() + 1));
    file.read_to_end(&mut bytes).map_err(failed)?;
    Ok(*bytes == *entry.bytes)
}
