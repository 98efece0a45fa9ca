//! `cfg-render host --out DIR`: the files themselves, for git or for a look at them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path, PathBuf};

use cli::{Failure, Session, write_atomically};
use contract::Exit;

use super::fleet_input::FleetInput;
use crate::host::Rendered;

/// How every generated file begins, so that what a fleet no longer makes can be told from what a person wrote.
const MARK: &str = "# Made from the fleet ";
/// Belongs to the user; only `nix flake lock` and `nix flake update` change it.
const LOCK: &str = "flake.lock";

/// What a file of the tree is made of.
enum Content {
    Text(String, u32),
    Source(String),
}

/// Generated texts of these hosts by their path below a directory.
pub(super) fn texts(hosts: &[Rendered]) -> BTreeMap<String, String> {
    let texts = contents(hosts).into_iter().filter_map(|(path, content)| match content {
        Content::Text(text, _) => Some((path, text)),
        Content::Source(_) => None,
    });
    texts.collect()
}

fn contents(hosts: &[Rendered]) -> BTreeMap<String, Content> {
    let mut files: BTreeMap<String, Content> = BTreeMap::new();
    for host in hosts {
        if let Some(tree) = &host.tree {
            for (path, entry) in &tree.entries {
                let content = match (&entry.file.content, &entry.file.source) {
                    (Some(text), _) => Content::Text(text.clone(), 0o644),
                    (None, Some(source)) => Content::Source(source.clone()),
                    (None, None) => continue,
                };
                files.insert(path.clone(), content);
            }
            continue;
        }
        for file in host.desired.items.iter().filter_map(|item| item.file.as_ref()) {
            let path = format!("{}{}", host.desired.host, file.path);
            match (&file.content, &file.source) {
                (Some(text), _) => files.insert(path, Content::Text(text.clone(), file.mode.bits())),
                (None, Some(source)) => files.insert(path, Content::Source(source.clone())),
                (None, None) => None,
            };
        }
    }
    files
}

/// Writes the files of these hosts below a directory, and takes away generated files of theirs that are no longer made.
pub(super) fn write(
    input: &FleetInput,
    directory: &Path,
    hosts: &[Rendered],
    all: bool,
    session: &Session,
) -> Result<Exit, Failure> {
    let files = contents(hosts);
    let mut changed = BTreeSet::new();
    for (path, content) in &files {
        let target = inside(directory, path)?;
        let (bytes, mode) = match content {
            Content::Text(text, mode) => (text.clone().into_bytes(), *mode),
            // A lock that is there is the user's; so is a file that lies where it came from.
            Content::Source(_) if path == LOCK && target.exists() => continue,
            Content::Source(source) => match input.companion_bytes(source)? {
                Some(bytes) => (bytes, 0o644),
                None => {
                    session.warn(&format!("there is no {source} beside the fleet; {path} is left out"));
                    continue;
                }
            },
        };
        if fs::read(&target).is_ok_and(|old| old == bytes) {
            continue;
        }
        let parent = target.parent().unwrap_or(directory);
        fs::create_dir_all(parent)
            .map_err(|error| Failure::io(Exit::CannotCreate, "make the directory", parent.display(), &error))?;
        write_atomically(&target, &bytes, mode)
            .map_err(|error| Failure::io(Exit::CannotCreate, "write the file", target.display(), &error))?;
        changed.insert(format!("wrote {path}"));
    }
    for path in stale(directory, hosts, all, &files)? {
        let target = inside(directory, &path)?;
        fs::remove_file(&target).map_err(|error| Failure::io(Exit::Io, "remove the file", target.display(), &error))?;
        changed.insert(format!("removed {path}, which the fleet no longer makes"));
    }
    let mut text: String = changed.iter().fold(String::new(), |text, line| text + line + "\n");
    if text.is_empty() {
        text = format!("nothing to do: {} files are as they should be\n", files.len());
    }
    session.print_bytes(text.as_bytes())?;
    Ok(Exit::Done)
}

/// A path below the directory, on whose way is no symbolic link: another tree could lie behind it.
fn inside(directory: &Path, path: &str) -> Result<PathBuf, Failure> {
    let relative = Path::new(path);
    let refuse = |what: &str| {
        Failure::new(Exit::Refused, "outside", format!("{path}: {what}")).place(directory.display().to_string())
    };
    if !relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir)) {
        return Err(refuse("it would lie outside of the directory"));
    }
    let mut place = directory.to_owned();
    for part in relative.components() {
        place.push(part);
        if fs::symlink_metadata(&place).is_ok_and(|found| found.file_type().is_symlink()) {
            return Err(
                refuse("there is a symbolic link on the way").hint("take the link away, or choose another directory")
            );
        }
    }
    Ok(place)
}

/// Generated files below `hosts/` that nothing makes any more. Of hosts that are not written now only with `--all`.
fn stale(
    directory: &Path,
    hosts: &[Rendered],
    all: bool,
    files: &BTreeMap<String, Content>,
) -> Result<Vec<String>, Failure> {
    let ours: BTreeSet<String> =
        hosts.iter().filter(|host| host.tree.is_some()).map(|host| format!("hosts/{}/", host.desired.host)).collect();
    let mut found = generated(directory)?;
    found.retain(|path| !files.contains_key(path) && (all || ours.iter().any(|prefix| path.starts_with(prefix))));
    Ok(found)
}

/// Generated modules below `hosts/` of a directory.
pub(super) fn generated(directory: &Path) -> Result<Vec<String>, Failure> {
    let mut found = Vec::new();
    let mut open = vec!["hosts".to_owned()];
    while let Some(folder) = open.pop() {
        let Ok(entries) = fs::read_dir(inside(directory, &folder)?) else { continue };
        for entry in entries.filter_map(Result::ok) {
            let Some(name) = entry.file_name().to_str().map(str::to_owned) else { continue };
            let path = format!("{folder}/{name}");
            let Ok(kind) = entry.file_type() else { continue };
            if kind.is_dir() {
                open.push(path);
            } else if kind.is_file()
                && Path::new(&path).extension().is_some_and(|ending| ending == "nix")
                && fs::read_to_string(entry.path()).is_ok_and(|text| text.starts_with(MARK))
            {
                found.push(path);
            }
        }
    }
    found.sort();
    Ok(found)
}
