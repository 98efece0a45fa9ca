//! Bytes that a document names by their hash.

use std::collections::BTreeMap;
use std::sync::Arc;

/// Bytes by their SHA-256 in hexadecimal.
#[derive(Debug, Clone, Default)]
pub struct Blobs(BTreeMap<String, Arc<[u8]>>);

impl Blobs {
    /// Adds bytes and tells their hash.
    pub fn add(&mut self, bytes: impl Into<Arc<[u8]>>) -> String {
        let bytes = bytes.into();
        let hash = crate::engine::sha256(&bytes);
        self.0.insert(hash.clone(), bytes);
        hash
    }

    /// The bytes of a hash.
    pub fn get(&self, sha256: &str) -> Option<Arc<[u8]>> {
        self.0.get(sha256).cloned()
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(hash, bytes)| (hash.as_str(), &**bytes))
    }
}
