//! `.sops.yaml`: for whom files are encrypted, and which of their values.

use std::path::{Path, PathBuf};

use contract::Exit;
use regex::Regex;
use serde_json::{Map, Value as Json};

use crate::Error;
use crate::format::yaml_to_json;
use crate::keys::Recipient;
use crate::sops::CryptRule;

/// The name of the file with the rules.
pub(crate) const NAME: &str = ".sops.yaml";
/// How far up it is looked for.
const LEVELS: usize = 100;
/// Keys of recipients that only other programs can encrypt for.
const FOREIGN: [&str; 7] = ["pgp", "kms", "gcp_kms", "hckms", "azure_keyvault", "azure_kv", "hc_vault_transit_uri"];

/// The rules of a tree.
#[derive(Debug)]
pub(crate) struct CreationRules {
    /// Where they stand.
    pub path: PathBuf,
    /// Whether they were named, and so hold for files anywhere.
    pub named: bool,
    rules: Vec<CreationRule>,
}

/// One rule.
#[derive(Debug, Clone)]
pub(crate) struct CreationRule {
    path_regex: Option<Regex>,
    /// Key groups; one group is the usual case.
    pub groups: Vec<Vec<Recipient>>,
    /// How many groups are needed to decrypt.
    pub threshold: Option<usize>,
    /// What is encrypted.
    pub crypt: CryptRule,
    /// Whether only encrypted values enter the MAC.
    pub mac_only_encrypted: bool,
    /// Kinds of recipients that only other programs can encrypt for.
    pub foreign: Vec<&'static str>,
}

impl CreationRules {
    /// The rules at `config`, at `$SOPS_CONFIG`, or in the nearest `.sops.yaml` from `from` upwards; `None` if there are none.
    ///
    /// # Errors
    /// Where the file cannot be read or is no good.
    pub(crate) fn find(config: Option<&Path>, from: &Path) -> Result<Option<Self>, Error> {
        let named = config.map(Path::to_owned);
        let named =
            named.or_else(|| std::env::var_os("SOPS_CONFIG").filter(|value| !value.is_empty()).map(PathBuf::from));
        if let Some(path) = named {
            return Self::read(&path).map(|rules| Some(Self { named: true, ..rules }));
        }
        let from = std::path::absolute(from)
            .map_err(|error| Error::io(Exit::Io, "find the directory", from.display(), error))?;
        let found = from.ancestors().take(LEVELS).map(|directory| directory.join(NAME)).find(|path| path.is_file());
        found.map(|path| Self::read(&path)).transpose()
    }

    fn read(path: &Path) -> Result<Self, Error> {
        let place = path.display().to_string();
        let bad = |reason: String| Error::BadConfig { place: place.clone(), reason };
        let text = std::fs::read_to_string(path)
            .map_err(|error| Error::io(Exit::Unreadable, "read the rules", &place, error))?;
        let json = yaml_to_json(&text).map_err(|error| bad(error.to_string()))?;
        let rules = match json.get("creation_rules") {
            None | Some(Json::Null) => &[],
            Some(Json::Array(list)) => list.as_slice(),
            Some(_) => return Err(bad("creation_rules is no list".into())),
        };
        let rules = rules
            .iter()
            .enumerate()
            .map(|(index, rule)| CreationRule::read(rule).map_err(|error| bad(format!("rule {}: {error}", index + 1))));
        let path = std::path::absolute(path).map_err(|error| Error::io(Exit::Io, "find the rules", &place, error))?;
        Ok(Self { rules: rules.collect::<Result<_, _>>()?, path, named: false })
    }

    /// The directory that paths in rules are relative to.
    pub(crate) fn directory(&self) -> &Path {
        self.path.parent().unwrap_or(Path::new("/"))
    }

    /// The first rule that matches a file.
    pub(crate) fn rule_for(&self, file: &Path) -> Option<&CreationRule> {
        let file = std::path::absolute(file).unwrap_or_else(|_| file.to_owned());
        let relative = file.strip_prefix(self.directory()).unwrap_or(&file).to_string_lossy().into_owned();
        self.rules.iter().find(|rule| rule.path_regex.as_ref().is_none_or(|regex| regex.is_match(&relative)))
    }

    /// Whether a rule names this file by a pattern, so that it is meant to be encrypted.
    pub(crate) fn names(&self, file: &Path) -> bool {
        self.rule_for(file).is_some_and(|rule| rule.path_regex.is_some())
    }
}

impl CreationRule {
    /// A rule out of flags: these recipients, the usual rule.
    pub(crate) fn of(recipients: Vec<Recipient>) -> Self {
        Self {
            path_regex: None,
            groups: vec![recipients],
            threshold: None,
            crypt: CryptRule::usual(),
            mac_only_encrypted: false,
            foreign: Vec::new(),
        }
    }

    /// The same rule for other recipients.
    pub(crate) fn with_recipients(self, recipients: Vec<Recipient>) -> Self {
        Self { groups: vec![recipients], threshold: None, foreign: Vec::new(), ..self }
    }

    fn read(json: &Json) -> Result<Self, Error> {
        let Json::Object(rule) = json else { return Err(Error::syntax("it is no mapping")) };
        let text = |key: &str| rule.get(key).and_then(Json::as_str).filter(|text| !text.is_empty());
        let path_regex = text("path_regex")
            .map(|pattern| {
                Regex::new(pattern).map_err(|error| Error::BadRegex {
                    key: "path_regex".into(),
                    cause: error.to_string().lines().last().unwrap_or_default().to_owned(),
                })
            })
            .transpose()?;
        let given: Vec<_> = CryptRule::KEYS.into_iter().filter_map(|key| text(key).map(|value| (key, value))).collect();
        let crypt = match given.as_slice() {
            [] => CryptRule::usual(),
            [(key, value)] => CryptRule::new(key, value)?,
            _ => return Err(Error::BadMetadata("it has two crypt rules; a file has one".into())),
        };
        let mut foreign = Vec::new();
        let groups = match rule.get("key_groups") {
            Some(Json::Array(groups)) if !groups.is_empty() => {
                groups.iter().map(|group| group_of(group, &mut foreign)).collect::<Result<_, _>>()?
            }
            _ => {
                note_foreign(rule, &mut foreign);
                vec![recipients(rule.get("age"))?]
            }
        };
        Ok(Self {
            path_regex,
            groups,
            threshold: rule
                .get("shamir_threshold")
                .and_then(Json::as_u64)
                .filter(|number| *number > 0)
                .map(|number| number as usize),
            crypt,
            mac_only_encrypted: rule.get("mac_only_encrypted").and_then(Json::as_bool).unwrap_or(false),
            foreign,
        })
    }
}

fn note_foreign(group: &Map<String, Json>, foreign: &mut Vec<&'static str>) {
    let given = |key: &&&str| match group.get(**key) {
        Some(Json::String(text)) => !text.is_empty(),
        Some(Json::Array(list)) => !list.is_empty(),
        _ => false,
    };
    foreign.extend(FOREIGN.iter().filter(given).copied());
    foreign.dedup();
}

fn group_of(json: &Json, foreign: &mut Vec<&'static str>) -> Result<Vec<Recipient>, Error> {
    let Json::Object(group) = json else { return Err(Error::syntax("a key group is no mapping")) };
    note_foreign(group, foreign);
    if group.contains_key("hc_vault") {
        foreign.push("hc_vault");
    }
    let mut list = recipients(group.get("age"))?;
    for merged in group.get("merge").and_then(Json::as_array).into_iter().flatten() {
        for recipient in group_of(merged, foreign)? {
            if !list.contains(&recipient) {
                list.push(recipient);
            }
        }
    }
    Ok(list)
}

/// Recipients as a text with commas or line breaks, or as a list (of lists, where aliases hold lists).
fn recipients(json: Option<&Json>) -> Result<Vec<Recipient>, Error> {
    fn walk(json: &Json, out: &mut Vec<Recipient>) -> Result<(), Error> {
        match json {
            Json::String(text) => {
                for part in text.split([',', '\n']).map(str::trim).filter(|part| !part.is_empty()) {
                    let recipient = part.parse()?;
                    if !out.contains(&recipient) {
                        out.push(recipient);
                    }
                }
                Ok(())
            }
            Json::Array(list) => list.iter().try_for_each(|item| walk(item, out)),
            Json::Null => Ok(()),
            _ => Err(Error::syntax("age is no text and no list of texts")),
        }
    }
    let mut out = Vec::new();
    json.map_or(Ok(()), |json| walk(json, &mut out))?;
    Ok(out)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn anchors_lists_groups_and_the_first_match() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(NAME);
        let text = "keys:\n  - &one age1a8pk4akrdamj7nvqy3zywgtny8dxz7t5xzu7u8v9mhrayp9freqsqatyrs\n  - &two age1yt3tfqlfrwdwx0z0ynwplcr6qxcxfaqycuprpmy89nr83ltx74tqdpszlw\n\
            creation_rules:\n  - path_regex: secrets/a\\.yaml$\n    key_groups:\n      - age: [*one, *two]\n    encrypted_regex: ^data$\n\
            \x20 - path_regex: ^shared/\n    age: >-\n      age1a8pk4akrdamj7nvqy3zywgtny8dxz7t5xzu7u8v9mhrayp9freqsqatyrs,\n      age1yt3tfqlfrwdwx0z0ynwplcr6qxcxfaqycuprpmy89nr83ltx74tqdpszlw\n\
            \x20 - age: *two\n    pgp: ABC\n    mac_only_encrypted: true\n";
        std::fs::write(&path, text).unwrap();
        let rules = CreationRules::find(None, directory.path()).unwrap().unwrap();
        let rule = |name: &str| rules.rule_for(&directory.path().join(name)).unwrap();
        assert_eq!(rule("secrets/a.yaml").groups[0].len(), 2);
        assert_eq!(rule("secrets/a.yaml").crypt.entry(), ("encrypted_regex", "^data$".into()));
        assert_eq!(rule("shared/x").groups[0].len(), 2);
        assert_eq!(rule("other").foreign, ["pgp"]);
        assert!(rule("other").mac_only_encrypted);
        assert!(rules.names(&directory.path().join("shared/x")) && !rules.names(&directory.path().join("other")));
    }
}
