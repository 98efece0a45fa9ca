//! What the host looks like: roots that would silently store nothing, live databases, and how large it all is.

use std::collections::BTreeSet;
use std::fs::{self, Metadata};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use walkdir::WalkDir;

use crate::pattern::Patterns;

/// The header of a valid CACHEDIR.TAG (bford.info/cachedir).
const CACHE_TAG: &[u8; 43] = b"Signature: 8a477f597d28d172789f06886806bc55";
/// How deep below a root a live database is looked for where nothing is counted.
const SHALLOW: usize = 3;

/// Something about a path that makes a backup of it worthless or doubtful.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Problem {
    /// Stable name, also of the consent that turns it into a warning.
    pub code: &'static str,
    /// The path.
    pub path: String,
    /// What is wrong.
    pub message: String,
    /// What to do.
    pub fix: String,
}

/// What a walk found below one root.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Tree {
    /// Regular files.
    pub files: u64,
    /// Their bytes as restic counts them: apparent size, every hard link again.
    pub bytes: u64,
    /// Directories of running PostgreSQL clusters.
    pub clusters: BTreeSet<PathBuf>,
    /// SQLite files with a write-ahead log beside them.
    pub sqlite: BTreeSet<PathBuf>,
    /// Paths that could not be read.
    pub unreadable: Vec<String>,
}

/// How a tree is walked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Walk<'a> {
    pub excludes: &'a Patterns,
    pub one_file_system: bool,
    pub exclude_caches: bool,
    /// Count everything; else only look for live databases near the root.
    pub sizes: bool,
}

/// What is wrong with a root itself. `None` also for an optional one that is missing.
pub(crate) fn root_problem(path: &str, optional: bool) -> Option<Problem> {
    let problem = |code, message: String, fix: String| Some(Problem { code, path: path.into(), message, fix });
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && optional => None,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => problem(
            "root-missing",
            "it is not there; restic would back up the others and say nothing".into(),
            "make it, take it out, or say \"optional\": true".into(),
        ),
        Err(error) => problem("root-unreadable", format!("it cannot be looked at: {error}"), "run plan as root".into()),
        Ok(metadata) if metadata.is_symlink() => {
            let target = fs::read_link(path).unwrap_or_default();
            problem(
                "root-symlink",
                "it is a symbolic link; restic would store the link and none of the data".into(),
                format!(
                    "declare where it leads: {}",
                    Path::new(path).parent().unwrap_or(Path::new("/")).join(target).display()
                ),
            )
        }
        Ok(_) => through_link(path).and_then(|(link, real)| {
            problem(
                "root-symlink",
                format!(
                    "{link} on its way is a symbolic link, so that the path in the backup is not where the data is"
                ),
                format!("declare {real}"),
            )
        }),
    }
}

/// The first component of a path that is a symbolic link, and where the whole path really is.
fn through_link(path: &str) -> Option<(String, String)> {
    let link = Path::new(path).ancestors().skip(1).find(|p| fs::symlink_metadata(p).is_ok_and(|m| m.is_symlink()))?;
    Some((link.display().to_string(), fs::canonicalize(path).ok()?.display().to_string()))
}

/// A root inside a directory that is tagged as a cache: restic before 0.19 would leave it out.
pub(crate) fn tagged_parent(path: &str) -> Option<PathBuf> {
    Path::new(path).parent().filter(|parent| is_cache(parent)).map(Path::to_path_buf)
}

fn is_cache(directory: &Path) -> bool {
    let mut header = [0_u8; 43];
    let tag = directory.join("CACHEDIR.TAG");
    fs::symlink_metadata(&tag).is_ok_and(|metadata| metadata.is_file())
        && fs::File::open(tag).and_then(|mut file| file.read_exact(&mut header)).is_ok()
        && header == *CACHE_TAG
}

/// Walks below a root as restic would.
pub(crate) fn walk(root: &str, how: Walk<'_>) -> Tree {
    let mut tree = Tree::default();
    let device = fs::symlink_metadata(root).map(|metadata| metadata.dev()).ok();
    let depth = if how.sizes { usize::MAX } else { SHALLOW };
    let mut entries = WalkDir::new(root).max_depth(depth).follow_links(false).into_iter();
    let mut caches: BTreeSet<PathBuf> = BTreeSet::new();
    while let Some(entry) = entries.next() {
        let entry = match entry {
            Ok(entry) => entry,
            Err(error) => {
                let path = error.path().map(|path| path.display().to_string()).unwrap_or_default();
                tree.unreadable.push(path);
                continue;
            }
        };
        let path = entry.path();
        let kind = entry.file_type();
        let in_cache = path.parent().is_some_and(|parent| caches.contains(parent));
        let excluded = how.excludes.exclude(path) || (in_cache && entry.file_name() != "CACHEDIR.TAG");
        if excluded && entry.depth() > 0 {
            if kind.is_dir() {
                entries.skip_current_dir();
            }
            continue;
        }
        if kind.is_dir() {
            if how.exclude_caches && is_cache(path) {
                caches.insert(path.to_path_buf());
            }
            if path.join("PG_VERSION").is_file() && path.join("global").is_dir() {
                tree.clusters.insert(path.to_path_buf());
            }
            // The mount point itself stays, empty.
            if how.one_file_system && entry.metadata().is_ok_and(|metadata| Some(metadata.dev()) != device) {
                entries.skip_current_dir();
            }
        } else if kind.is_file() {
            if let Ok(metadata) = entry.metadata() {
                tree.files += 1;
                tree.bytes += metadata.len();
                look_at_sqlite(path, &metadata, &mut tree);
            } else {
                tree.unreadable.push(path.display().to_string());
            }
        }
    }
    tree
}

fn look_at_sqlite(path: &Path, metadata: &Metadata, tree: &mut Tree) {
    let Some(database) = path.to_str().and_then(|path| path.strip_suffix("-wal")) else { return };
    let mut magic = [0_u8; 16];
    let is_sqlite = metadata.len() > 0
        && fs::File::open(database).and_then(|mut file| file.read_exact(&mut magic)).is_ok()
        && &magic == b"SQLite format 3\0";
    if is_sqlite {
        tree.sqlite.insert(database.into());
    }
}

/// Directories directly below `place` that no root, omission or staging directory covers.
pub(crate) fn uncovered(place: &Path, covered: &[&str]) -> Vec<String> {
    let Ok(entries) = fs::read_dir(place) else { return Vec::new() };
    let mut found: Vec<String> = entries
        .filter_map(|entry| entry.ok()?.path().to_str().map(str::to_owned))
        .filter(|path| {
            !covered.iter().any(|known| crate::check::is_inside(path, known) || crate::check::is_inside(known, path))
        })
        .filter(|path| fs::read_dir(path).is_ok_and(|mut inside| inside.next().is_some()))
        .collect();
    found.sort();
    found
}
