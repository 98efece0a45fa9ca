//! How a new key is handed on to be encrypted.

use cli::Secret;
use contract::Pointer;
use serde_json::json;

/// A request to put a value into a SOPS file, as `secret-encrypt set --many` reads them: JSON Lines of
/// `{"file": "secrets/web1.yaml", "set": {"/tls-web1-www-lab-test": "-----BEGIN PRIVATE KEY-----\n..."}}`, the file
/// relative to the same base directory. One line a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyRequest {
    /// The SOPS file, relative to the base directory.
    pub file: String,
    /// Places in it and their new values.
    pub set: Vec<(Pointer, Secret)>,
}

impl KeyRequest {
    /// Adds a key to the request for its file.
    pub fn add(requests: &mut Vec<KeyRequest>, file: &str, pointer: &Pointer, key: Secret) {
        match requests.iter_mut().find(|request| request.file == file) {
            Some(request) => request.set.push((pointer.clone(), key)),
            None => requests.push(KeyRequest { file: file.to_owned(), set: vec![(pointer.clone(), key)] }),
        }
    }

    /// All requests as they go into the pipe. The caller hands the text over and drops it.
    pub fn lines(requests: &[KeyRequest]) -> Secret {
        let mut text = String::new();
        for request in requests {
            let set: serde_json::Map<_, _> = request
                .set
                .iter()
                .map(|(pointer, key)| (pointer.as_str().to_owned(), key.text().unwrap_or_default().into()))
                .collect();
            text.push_str(&json!({ "file": request.file, "set": set }).to_string());
            text.push('\n');
        }
        Secret::from(text.into_bytes())
    }
}
