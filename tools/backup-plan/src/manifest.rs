//! What a drill will expect: a sample of files with their hashes, and every dump, written at backup time into the staging
//! directory, so that it travels in the snapshot that it describes.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use contract::document::BackupPlan;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use walkdir::WalkDir;

use crate::error::Error;
use crate::pattern::Patterns;
use crate::state::write_private;

/// The file's name in the staging directory.
pub(crate) const NAME: &str = "manifest.jsonl";
/// How many files are in a sample.
const SAMPLE: usize = 200;
/// Larger files are not sampled: a drill must not take as long as a restore.
const LARGEST: u64 = 64 * 1024 * 1024;

/// One file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Entry {
    pub path: String,
    pub size: u64,
    /// Nanoseconds since 1970.
    pub mtime_ns: i128,
    pub sha256: String,
    /// It is a dump.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub dump: bool,
}

impl Entry {
    /// What a file is now.
    ///
    /// # Errors
    /// Those of the system.
    pub(crate) fn of(path: &Path, dump: bool) -> std::io::Result<Self> {
        let mut file = File::open(path)?;
        let metadata = file.metadata()?;
        Ok(Self {
            path: path.to_string_lossy().into_owned(),
            size: metadata.len(),
            mtime_ns: i128::from(metadata.mtime()) * 1_000_000_000 + i128::from(metadata.mtime_nsec()),
            sha256: hash(&mut file)?,
            dump,
        })
    }
}

fn hash(file: &mut impl Read) -> std::io::Result<String> {
    let mut hasher = Sha256::new();
    let mut buffer = vec![0_u8; 128 * 1024];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(hasher.finalize().iter().fold(String::new(), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    }))
}

/// Writes the manifest of a run. `seed` makes every run take another sample.
///
/// # Errors
/// Where the staging directory cannot be written.
pub(crate) fn write(plan: &BackupPlan, seed: &str) -> Result<(), Error> {
    let mut text = String::new();
    let dumps = plan.steps.iter().filter_map(|step| step.file.as_deref());
    let entries = dumps
        .map(|dump| Entry::of(Path::new(dump), true))
        .chain(sample(plan, seed).into_iter().map(|path| Entry::of(Path::new(&path), false)));
    // A file that went away meanwhile is no part of the sample.
    for entry in entries.flatten() {
        text.push_str(&serde_json::to_string(&entry).unwrap_or_default());
        text.push('\n');
    }
    write_private(&Path::new(&plan.staging).join(NAME), text.as_bytes())
}

/// Reads a manifest; lines that do not read are left out.
pub(crate) fn parse(text: &str) -> Vec<Entry> {
    text.lines().filter_map(|line| serde_json::from_str(line).ok()).collect()
}

/// The files whose salted hash of their names is smallest: every file has the same chance, whatever directory it is in.
fn sample(plan: &BackupPlan, seed: &str) -> Vec<String> {
    let lines: Vec<String> = plan.excludes.iter().map(|line| line.replace("$$", "$")).collect();
    let patterns = Patterns::parse(lines.iter().map(String::as_str)).unwrap_or_default();
    let mut smallest: BTreeMap<[u8; 8], String> = BTreeMap::new();
    for root in plan.roots.iter().filter(|root| root.path != plan.staging) {
        let device = fs::symlink_metadata(&root.path).map(|metadata| metadata.dev()).ok();
        let mut entries = WalkDir::new(&root.path).into_iter();
        while let Some(entry) = entries.next() {
            let Ok(entry) = entry else { continue };
            let directory = entry.file_type().is_dir();
            let other = plan.policy.one_file_system
                && directory
                && entry.metadata().is_ok_and(|metadata| Some(metadata.dev()) != device);
            let cache = plan.policy.exclude_caches && directory && entry.path().join("CACHEDIR.TAG").is_file();
            if patterns.exclude(entry.path()) || other || cache {
                if directory {
                    entries.skip_current_dir();
                }
                continue;
            }
            let Some(path) = entry.path().to_str().filter(|_| entry.file_type().is_file()) else { continue };
            let digest = Sha256::new().chain_update(seed).chain_update(path).finalize();
            let mut key = [0_u8; 8];
            key.copy_from_slice(&digest[..8]);
            let full = smallest.len() >= SAMPLE;
            if full && smallest.last_key_value().is_some_and(|(largest, _)| *largest < key) {
                continue;
            }
            if entry.metadata().is_ok_and(|metadata| metadata.len() <= LARGEST) {
                smallest.insert(key, path.to_owned());
                if full {
                    smallest.pop_last();
                }
            }
        }
    }
    smallest.into_values().collect()
}
