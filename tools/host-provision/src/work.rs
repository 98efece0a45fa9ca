//! From a document on the controller to the work of a host: cut to what was asked for, with the bytes it names.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cli::{Failure, Source};
use contract::document::{Arch, HostDesired, HostItem, Stage};
use contract::{Exit, Finding, Pointer};

use crate::blobs::Blobs;
use crate::lint::lint;
use crate::lockout::lockouts;
use crate::target::{Shelf, Supplies};
use crate::wire::Work;

/// The largest file that a document may name.
const LARGEST: u64 = 64 * 1024 * 1024;

/// Which part of a document is meant, and where its files are.
#[derive(Debug, Clone, Default)]
pub struct Cut {
    /// The last stage.
    pub through: Option<Stage>,
    /// Items by id; all if none.
    pub only: Vec<String>,
    /// Where files named by `source` lie.
    pub base: PathBuf,
    /// Consents.
    pub allow: Vec<String>,
}

/// The work of a host with the bytes that it may ask for.
#[derive(Debug, Clone)]
pub struct Prepared {
    /// The work.
    pub work: Work,
    /// Bytes of files, by hash.
    pub blobs: Blobs,
    /// Where its tools are.
    pub shelf: Shelf,
}

impl Prepared {
    /// The work for a host with this processor.
    ///
    /// # Errors
    /// 69 for tools that are not there.
    pub fn work_for(&self, arch: Arch) -> Result<Work, Failure> {
        let mut work = self.work.clone();
        for (name, hash) in &mut work.tools {
            *hash = self.shelf.find(name, arch)?.sha256;
        }
        Ok(work)
    }
}

impl Supplies for Prepared {
    fn bytes(&self, sha256: &str) -> Option<Arc<[u8]>> {
        self.blobs.get(sha256).or_else(|| self.shelf.found(sha256))
    }
}

/// Checks a document and makes it the work of a host.
///
/// # Errors
/// 65 with everything that is wrong with it, 66 for files that cannot be read, 69 for tools that are not there.
pub fn prepare(
    mut desired: HostDesired,
    source: &Source,
    cut: &Cut,
    shelf: &Shelf,
    arch: Option<Arch>,
) -> Result<Prepared, Failure> {
    let mut findings = lint(&desired);
    let mut blobs = Blobs::default();
    for (index, item) in desired.items.iter_mut().enumerate() {
        let at = Pointer::root().join("items").join(index).join("file");
        let Some(file) = &mut item.file else { continue };
        let Some(name) = &file.source else { continue };
        match read_source(&cut.base, name) {
            Ok(bytes) => {
                let hash = blobs.add(bytes);
                if file.sha256.as_ref().is_some_and(|planned| *planned != hash) {
                    let failure =
                        Failure::new(Exit::TryAgain, "stale_plan", "the file is not as it was when the plan was made");
                    return Err(source.located(failure.at(at.join("source")).hint("make a new plan and look at it")));
                }
                file.sha256 = Some(hash);
            }
            Err(Refusal::Unsafe(why, fix)) => {
                findings.push(Finding::error("unsafe-source", at.join("source"), format!("{name} {why}")).fix(fix));
            }
            Err(Refusal::Io(error)) => {
                let path = cut.base.join(name);
                return Err(source.located(
                    Failure::io(Exit::Unreadable, "read the file", path.display(), &error).at(at.join("source")),
                ));
            }
        }
    }
    for (index, item) in desired.items.iter_mut().enumerate() {
        let Some(nixos) = &mut item.nixos else { continue };
        for (path, file) in &mut nixos.files {
            let at = Pointer::root().join("items").join(index).join("nixos").join("files").join(path);
            let Some(name) = &file.source else { continue };
            match read_source(&cut.base, name) {
                Ok(bytes) => {
                    let hash = blobs.add(bytes);
                    if file.sha256.as_ref().is_some_and(|planned| *planned != hash) {
                        let failure = Failure::new(
                            Exit::TryAgain,
                            "stale_plan",
                            "the file is not as it was when the plan was made",
                        );
                        return Err(
                            source.located(failure.at(at.join("source")).hint("make a new plan and look at it"))
                        );
                    }
                    file.sha256 = Some(hash);
                }
                Err(Refusal::Unsafe(why, fix)) => {
                    findings.push(Finding::error("unsafe-source", at.join("source"), format!("{name} {why}")).fix(fix));
                }
                Err(Refusal::Io(error)) => {
                    let path = cut.base.join(name);
                    return Err(source.located(
                        Failure::io(Exit::Unreadable, "read the file", path.display(), &error).at(at.join("source")),
                    ));
                }
            }
        }
    }
    for id in &cut.only {
        let ids: Vec<&str> = desired.items.iter().map(|item| item.id.as_str()).collect();
        if !ids.contains(&id.as_str()) {
            let failure =
                Failure::new(Exit::Usage, "unknown_item", format!("no item of {} is called \"{id}\"", desired.host));
            return Err(match cli::did_you_mean(id, ids) {
                Some(near) => failure.hint(format!("did you mean \"{near}\"?")),
                None => failure,
            });
        }
    }
    if !findings.is_empty() {
        return Err(source.failure(findings));
    }
    let refused = lockouts(&desired).into_iter().filter(|lockout| !lockout.is_allowed(&cut.allow)).map(|lockout| {
        let hint = lockout.hint();
        source.located(Failure::new(Exit::Refused, "lockout", lockout.message).at(lockout.at).hint(hint))
    });
    if let Some(failure) = Failure::join(refused) {
        return Err(failure);
    }
    cut_items(&mut desired, cut);
    let mut tools = BTreeMap::new();
    for tool in desired.items.iter().filter_map(|item| item.tool.as_ref()) {
        let arch = arch.or_else(crate::target::own_arch).unwrap_or(Arch::X86_64);
        tools.insert(tool.name.clone(), shelf.find(&tool.name, arch)?.sha256);
    }
    let work = Work { desired, allow: cut.allow.clone(), tools, login: None };
    Ok(Prepared { work, blobs, shelf: shelf.clone() })
}

fn cut_items(desired: &mut HostDesired, cut: &Cut) {
    if cut.through.is_none() && cut.only.is_empty() {
        return;
    }
    let wanted = |item: &HostItem| {
        cut.through.is_none_or(|last| item.stage <= last) && (cut.only.is_empty() || cut.only.contains(&item.id))
    };
    // Commands that wanted items notify come along; they do nothing by themselves.
    let notified: BTreeSet<String> = desired
        .items
        .iter()
        .filter(|item| wanted(item))
        .flat_map(|item| item.notify.iter().filter_map(|handler| handler.0.strip_prefix("run:").map(str::to_owned)))
        .collect();
    let before = desired.items.len();
    desired.items.retain(|item| {
        let follows = notified.contains(&item.id) && item.command.as_ref().is_some_and(|command| command.notified_only);
        wanted(item) || follows
    });
    // A prefix that is the whole document is no part of it.
    desired.partial |= desired.items.len() < before;
}

/// Why a file of the fleet is not read.
pub(crate) enum Refusal {
    Unsafe(&'static str, &'static str),
    Io(std::io::Error),
}

impl Refusal {
    /// The same as an error of its own.
    pub(crate) fn into_failure(self, base: &Path, name: &str) -> Failure {
        match self {
            Self::Unsafe(why, fix) => {
                Failure::new(Exit::BadDocument, "unsafe_source", format!("{name} {why}")).hint(fix)
            }
            Self::Io(error) => Failure::io(Exit::Unreadable, "read the file", base.join(name).display(), &error),
        }
    }
}

/// Reads a file of the fleet: below the base, also after links are followed, and no private key.
pub(crate) fn read_source(base: &Path, name: &str) -> Result<Vec<u8>, Refusal> {
    use std::path::Component;
    let relative = Path::new(name);
    if relative.components().any(|part| !matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(Refusal::Unsafe("leads out of the base", "name a file below --base, without .. and not absolute"));
    }
    let base = base.canonicalize().map_err(Refusal::Io)?;
    let path = base.join(relative).canonicalize().map_err(Refusal::Io)?;
    if !path.starts_with(&base) {
        return Err(Refusal::Unsafe("is a link that leads out of the base", "put the file itself below --base"));
    }
    let size = std::fs::metadata(&path).map_err(Refusal::Io)?.len();
    if size > LARGEST {
        return Err(Refusal::Unsafe("is larger than 64 MiB", "let the host fetch it, or make it smaller"));
    }
    let bytes = std::fs::read(&path).map_err(Refusal::Io)?;
    if crate::private_key::is_one(&bytes) {
        return Err(Refusal::Unsafe("is a private key", "make it a secret: it must not lie readable beside the fleet"));
    }
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn sources_stay_below_the_base() {
        let root = tempfile::tempdir().unwrap();
        let base = root.path().join("base");
        std::fs::create_dir_all(base.join("in")).unwrap();
        std::fs::write(base.join("in/file"), "text").unwrap();
        std::fs::write(root.path().join("out"), "text").unwrap();
        std::fs::write(base.join("key"), "-----BEGIN OPENSSH PRIVATE KEY-----\n").unwrap();
        std::os::unix::fs::symlink("../out", base.join("link")).unwrap();
        assert!(matches!(read_source(&base, "in/file"), Ok(bytes) if bytes == b"text"));
        assert!(read_source(&base, "./in/file").is_ok());
        for name in ["../out", "/etc/passwd", "link", "key", "in/../../out"] {
            assert!(matches!(read_source(&base, name), Err(Refusal::Unsafe(..))), "{name}");
        }
        assert!(matches!(read_source(&base, "nothing"), Err(Refusal::Io(_))));
    }
}
