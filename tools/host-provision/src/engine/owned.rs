//! What each owner placed on the host, with what was there before.

use std::collections::BTreeMap;

use contract::document::{HostOwned, Original, OwnedThing, SavedOriginal};
use contract::{Exit, FileMode, places};
use serde_json::Value;

use super::hash::sha256;
use super::host::Host;
use super::tree::{Live, Place};
use crate::fault::{Fault, Outcome};

/// Where the bytes of originals lie, by hash.
const ORIGINALS: &str = "/var/lib/plumbline/owned/originals";

/// The things of one owner, and the paths of the others.
#[derive(Debug, Clone, Default)]
pub struct Owned {
    owner: String,
    things: BTreeMap<(String, String), OwnedThing>,
    others: BTreeMap<String, String>,
    changed: bool,
}

impl Owned {
    /// Reads what is remembered.
    ///
    /// # Errors
    /// 74 for a document that cannot be read: without it nothing may be removed or taken over.
    pub fn load(host: &Host, owner: &str) -> Outcome<Self> {
        let mut owned = Self { owner: owner.into(), ..Self::default() };
        let directory = host.tree.real(places::OWNED);
        let Ok(entries) = std::fs::read_dir(&directory) else { return Ok(owned) };
        for entry in entries.flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "json") {
                continue;
            }
            let bytes = std::fs::read(&path).map_err(|error| Fault::io("read", path.display(), &error))?;
            let document: HostOwned = serde_json::from_slice(&bytes).map_err(|error| {
                Fault::new(Exit::Io, "bad_owned", "what is owned cannot be read")
                    .place(path.display().to_string())
                    .cause(error)
            })?;
            if document.owner == owner {
                owned.things = document
                    .things
                    .into_iter()
                    .map(|thing| ((thing.kind.clone(), thing.name.clone()), thing))
                    .collect();
            } else {
                let paths = document.things.into_iter().map(|thing| thing.name).filter(|name| name.starts_with('/'));
                owned.others.extend(paths.map(|path| (path, document.owner.clone())));
            }
        }
        Ok(owned)
    }

    /// The other owner of a path, if there is one.
    pub fn other_owner(&self, path: &str) -> Option<&str> {
        self.others.get(path).map(String::as_str)
    }

    /// What the owner placed.
    pub fn things(&self) -> impl Iterator<Item = &OwnedThing> {
        self.things.values()
    }

    /// Whether the owner placed this.
    pub fn get(&self, kind: &str, name: &str) -> Option<&OwnedThing> {
        self.things.get(&(kind.to_owned(), name.to_owned()))
    }

    /// Remembers a thing. What was there before us stays as it was remembered the first time.
    pub fn add(&mut self, mut thing: OwnedThing) {
        let key = (thing.kind.clone(), thing.name.clone());
        if let Some(old) = self.things.get(&key) {
            thing.original = old.original.clone();
            if *old == thing {
                return;
            }
        }
        self.things.insert(key, thing);
        self.changed = true;
    }

    /// Forgets a thing.
    pub fn remove(&mut self, kind: &str, name: &str) {
        self.changed |= self.things.remove(&(kind.to_owned(), name.to_owned())).is_some();
    }

    /// Writes it down if it is different from what was read. Called before the things themselves change: after a crash
    /// they are then known as ours.
    ///
    /// # Errors
    /// Those of the system.
    pub fn save(&mut self, host: &Host) -> Outcome<()> {
        if !self.changed {
            return Ok(());
        }
        let document = HostOwned { owner: self.owner.clone(), things: self.things.values().cloned().collect() };
        let mut value = serde_json::to_value(&document).unwrap_or_default();
        if let Value::Object(object) = &mut value {
            object.insert("schema".into(), contract::SchemaId::HOST_OWNED.as_str().into());
        }
        host.write_state(&format!("{}/{}.json", places::OWNED, self.owner), value.to_string().as_bytes())?;
        self.changed = false;
        Ok(())
    }
}

/// What is at a place now, saved so that it can be given back when we leave.
///
/// # Errors
/// Those of the system.
pub fn original(host: &Host, place: Option<&Place>) -> Outcome<Original> {
    let Some(place) = place else { return Ok(absent()) };
    Ok(match place.look()? {
        Live::Absent => absent(),
        Live::File(attributes) => {
            let bytes = place.read()?.unwrap_or_default();
            let hash = keep(host, &bytes)?;
            let (mode, uid, gid) = (FileMode::new(attributes.mode), attributes.uid, attributes.gid);
            Original { saved: Some(SavedOriginal { sha256: hash, mode, uid, gid }), ..Original::default() }
        }
        Live::Symlink(target) => Original { link: Some(target), ..Original::default() },
        Live::Directory(_) | Live::Other => existed(),
    })
}

/// Keeps bytes that shall be given back when we leave, and tells their hash.
///
/// # Errors
/// Those of the system.
pub fn keep(host: &Host, bytes: &[u8]) -> Outcome<String> {
    let hash = sha256(bytes);
    host.write_state(&format!("{ORIGINALS}/{hash}"), bytes)?;
    Ok(hash)
}

/// The bytes of a saved original.
///
/// # Errors
/// Those of the system.
pub fn original_bytes(host: &Host, sha256: &str) -> Outcome<Vec<u8>> {
    let path = host.tree.real(&format!("{ORIGINALS}/{sha256}"));
    std::fs::read(&path).map_err(|error| Fault::io("read the original", path.display(), &error))
}

/// Nothing was there.
pub fn absent() -> Original {
    Original { absent: Some(contract::document::EmptyObject::default()), ..Original::default() }
}

/// Something was there that needs no bytes to be kept.
pub fn existed() -> Original {
    Original { existed: Some(contract::document::EmptyObject::default()), ..Original::default() }
}
