//! The rules of an agenix tree: `secrets.nix`, or its export `nix eval --json -f secrets.nix`.

use std::collections::BTreeMap;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use age::armor::{ArmoredWriter, Format};
use clap::Args;
use contract::Pointer;
use serde_json::{Map, Value as Json, json};
use zeroize::Zeroizing;

use crate::keys::Recipient;
use crate::{Error, files};

/// Where the rules of an agenix tree are.
#[derive(Debug, Clone, Default, Args)]
pub(crate) struct AgenixFlags {
    /// Rules of an agenix tree: secrets.json (nix eval --json -f secrets.nix), or secrets.nix itself where Nix is installed
    #[arg(long, value_name = "FILE")]
    pub agenix: Option<PathBuf>,
}

impl AgenixFlags {
    /// The rules, if they are named.
    ///
    /// # Errors
    /// As [`AgenixRules::read`].
    pub(crate) fn load(&self) -> Result<Option<AgenixRules>, Error> {
        self.agenix.as_deref().map(AgenixRules::read).transpose()
    }
}

/// For whom one file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Who can read it.
    pub recipients: Vec<Recipient>,
    /// Whether it is written as text.
    pub armor: bool,
}

/// The rules of a tree.
#[derive(Debug)]
pub(crate) struct AgenixRules {
    /// Where they stand.
    pub path: PathBuf,
    /// By path relative to the rules.
    pub entries: BTreeMap<String, Entry>,
}

impl AgenixRules {
    /// Reads exported rules, or evaluates `secrets.nix`.
    ///
    /// # Errors
    /// Where they cannot be read, or an entry is no good.
    pub(crate) fn read(path: &Path) -> Result<Self, Error> {
        let place = path.display().to_string();
        let bad = |pointer: Pointer, reason: String| Error::BadConfig {
            place: place.clone(),
            reason: if pointer.as_str().is_empty() { reason } else { format!("{pointer}: {reason}") },
        };
        let bytes = if path.extension().is_some_and(|extension| extension == "nix") {
            evaluate(path)?
        } else {
            files::read(path)?
        };
        let text = std::str::from_utf8(&bytes).map_err(|_| bad(Pointer::root(), "it is no UTF-8 text".into()))?;
        let mut values = cli::parse_json(text)
            .map_err(|error| bad(Pointer::root(), format!("line {}: {}", error.line, error.message)))?;
        let Some((_, Json::Object(map))) = values.pop().filter(|_| values.is_empty()) else {
            return Err(bad(Pointer::root(), "it is no object from files to {\"publicKeys\": [...]}".into()));
        };
        let mut entries = BTreeMap::new();
        for (name, entry) in map {
            let pointer = Pointer::root().join(&name);
            let keys = entry.get("publicKeys").and_then(Json::as_array).filter(|keys| !keys.is_empty());
            let keys = keys.ok_or_else(|| bad(pointer.clone(), "it names no publicKeys".into()))?;
            let mut recipients: Vec<Recipient> = Vec::new();
            for (index, key) in keys.iter().enumerate() {
                let at = pointer.join("publicKeys").join(index);
                let text = key.as_str().ok_or_else(|| bad(at.clone(), "a key is no text".into()))?;
                let recipient = text.parse().map_err(|error: Error| bad(at, error.to_string()))?;
                if !recipients.contains(&recipient) {
                    recipients.push(recipient);
                }
            }
            let armor = entry.get("armor").and_then(Json::as_bool).unwrap_or(false);
            entries.insert(name, Entry { recipients, armor });
        }
        Ok(Self { path: path.to_owned(), entries })
    }

    /// The directory that names in rules are relative to.
    pub(crate) fn directory(&self) -> &Path {
        files::directory_of(&self.path)
    }

    /// Every file that the rules name, in order.
    pub(crate) fn files(&self) -> impl Iterator<Item = (PathBuf, &Entry)> {
        self.entries.iter().map(|(name, entry)| {
            let path = self.directory().join(name);
            (path.strip_prefix("./").map(Path::to_owned).unwrap_or(path), entry)
        })
    }

    /// For whom a file is; `None` if the rules do not name it.
    pub(crate) fn entry(&self, file: &Path) -> Option<&Entry> {
        let file = files::absolute(file).ok()?;
        let directory = files::absolute(self.directory()).ok()?;
        self.entries.get(file.strip_prefix(&directory).ok()?.to_str()?)
    }

    /// The rules as JSON, in the form that Nix exports.
    pub(crate) fn to_json(&self) -> String {
        let entry = |entry: &Entry| {
            let keys: Vec<_> = entry.recipients.iter().map(Recipient::text).collect();
            let mut value = json!({"publicKeys": keys});
            if entry.armor {
                value["armor"] = json!(true);
            }
            value
        };
        let map: Map<String, Json> = self.entries.iter().map(|(name, own)| (name.clone(), entry(own))).collect();
        serde_json::to_string_pretty(&Json::Object(map)).unwrap_or_default() + "\n"
    }
}

impl Entry {
    /// An age file for the recipients.
    ///
    /// # Errors
    /// Where a recipient cannot be used.
    pub(crate) fn encrypt(&self, plain: &[u8]) -> Result<Zeroizing<Vec<u8>>, Error> {
        let recipients = self.recipients.iter().map(Recipient::to_age).collect::<Result<Vec<_>, _>>()?;
        let failed = |reason: String| Error::Unsupported(format!("the age file cannot be written: {reason}"));
        let encryptor = age::Encryptor::with_recipients(
            recipients.iter().map(|recipient| recipient.as_ref() as &dyn age::Recipient),
        )
        .map_err(|error| failed(error.to_string()))?;
        let format = if self.armor { Format::AsciiArmor } else { Format::Binary };
        let mut bytes = Vec::new();
        let done: Result<(), std::io::Error> = (|| {
            let armored = ArmoredWriter::wrap_output(&mut bytes, format)?;
            let mut writer = encryptor.wrap_output(armored)?;
            writer.write_all(plain)?;
            writer.finish()?.finish()?;
            Ok(())
        })();
        done.map_err(|error| failed(error.to_string()))?;
        Ok(Zeroizing::new(bytes))
    }
}

/// Asks Nix, as agenix does.
fn evaluate(path: &Path) -> Result<Zeroizing<Vec<u8>>, Error> {
    let hint = || "export the rules where Nix is: nix eval --json -f secrets.nix > secrets.json".to_owned();
    let path = files::absolute(path)?;
    let output = Command::new("nix-instantiate")
        .args(["--json", "--eval", "--strict"])
        .arg(&path)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .map_err(|_| Error::Program {
            message: "secrets.nix needs nix-instantiate, which is not there".into(),
            hint: hint(),
        })?;
    if !output.status.success() {
        return Err(Error::Program { message: "nix-instantiate cannot read secrets.nix".into(), hint: hint() });
    }
    Ok(Zeroizing::new(output.stdout))
}
