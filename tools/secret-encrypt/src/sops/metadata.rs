//! The `sops` block of a file. What we do not know (PGP, KMS, Vault, keys of the future) is kept as it is.

use jiff::Timestamp;
use serde_json::{Map, Value as Json, json};

use super::shamir;
use super::{CryptRule, DataKey};
use crate::Error;
use crate::keys::{Identities, Recipient};

/// Written into new files. Readers want three numbers, and refuse what is newer than they are only in its major.
const VERSION: &str = "3.13.3";
/// Lists of recipients of other kinds: we cannot open them and never drop them.
const FOREIGN: [&str; 6] = ["pgp", "kms", "gcp_kms", "hckms", "azure_kv", "hc_vault"];

/// The metadata of a file, with every key that it came with.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Metadata {
    /// The block as it stands in the file. Values may be strings where the file's format knows only strings.
    pub raw: Map<String, Json>,
}

/// The data key (or a share of it) for one age recipient.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AgeEntry {
    /// Whom it is for.
    pub recipient: String,
    /// The armored age file; `None` where the entry lacks it.
    pub enc: String,
}

impl Metadata {
    /// How many of its key groups the file needs; `None` if it has none.
    pub(crate) fn needed_groups(&self) -> Option<usize> {
        let groups = self.groups().len();
        let given = match self.raw.get("shamir_threshold") {
            Some(Json::Number(number)) => number.as_u64().map(|number| number as usize),
            Some(Json::String(text)) => text.parse().ok(),
            _ => None,
        };
        (groups > 1).then(|| given.filter(|given| *given > 0).unwrap_or(groups))
    }

    /// Metadata of a new file: the rule and nothing else yet.
    pub(crate) fn new(rule: &CryptRule, mac_only_encrypted: bool) -> Self {
        let mut metadata = Self::default();
        let (key, value) = rule.entry();
        metadata.raw.insert(key.into(), json!(value));
        if mac_only_encrypted {
            metadata.raw.insert("mac_only_encrypted".into(), json!(true));
        }
        metadata.raw.insert("version".into(), json!(VERSION));
        metadata
    }

    fn text(&self, key: &str) -> Option<&str> {
        self.raw.get(key).and_then(Json::as_str).filter(|text| !text.is_empty())
    }

    /// The encrypted MAC.
    pub(crate) fn mac(&self) -> Option<&str> {
        self.text("mac")
    }

    /// When the file was last changed, as it is bound to the MAC: RFC 3339 in whole seconds.
    pub(crate) fn lastmodified(&self) -> Option<&str> {
        self.text("lastmodified")
    }

    /// Whether only encrypted values enter the MAC.
    pub(crate) fn mac_only_encrypted(&self) -> bool {
        match self.raw.get("mac_only_encrypted") {
            Some(Json::Bool(value)) => *value,
            Some(Json::String(text)) => text == "true",
            _ => false,
        }
    }

    /// The rule of the file.
    ///
    /// # Errors
    /// Where it has two, or one that is no regular expression.
    pub(crate) fn rule(&self) -> Result<CryptRule, Error> {
        let mut given = CryptRule::KEYS.iter().filter_map(|key| self.text(key).map(|value| (*key, value)));
        match (given.next(), given.next()) {
            (None, _) => Ok(CryptRule::usual()),
            (Some((key, value)), None) => CryptRule::new(key, value),
            (Some((one, _)), Some((other, _))) => {
                Err(Error::BadMetadata(format!("it has two rules, {one} and {other}; a file has one")))
            }
        }
    }

    /// The age entries of each key group; a file without groups is one group.
    pub(crate) fn groups(&self) -> Vec<Vec<AgeEntry>> {
        match self.raw.get("key_groups").and_then(Json::as_array).filter(|groups| !groups.is_empty()) {
            Some(groups) => groups.iter().map(|group| age_entries(group.get("age"))).collect(),
            None => vec![age_entries(self.raw.get("age"))],
        }
    }

    /// Every age recipient, in order.
    pub(crate) fn recipients(&self) -> Vec<String> {
        self.groups().into_iter().flatten().map(|entry| entry.recipient).collect()
    }

    /// The kinds of recipients that only other programs can open.
    pub(crate) fn foreign(&self) -> Vec<&'static str> {
        let has = |holder: &Map<String, Json>, kind: &str| {
            holder.get(kind).and_then(Json::as_array).is_some_and(|list| !list.is_empty())
        };
        let groups = self.raw.get("key_groups").and_then(Json::as_array);
        let in_groups =
            |kind: &str| groups.into_iter().flatten().filter_map(Json::as_object).any(|group| has(group, kind));
        FOREIGN.into_iter().filter(|kind| has(&self.raw, kind) || in_groups(kind)).collect()
    }

    fn threshold(&self, groups: usize) -> usize {
        let given = match self.raw.get("shamir_threshold") {
            Some(Json::Number(number)) => number.as_u64().map(|number| number as usize),
            Some(Json::String(text)) => text.parse().ok(),
            _ => None,
        };
        given.filter(|threshold| *threshold > 0).unwrap_or(groups)
    }

    /// The data key, opened with the first identity that fits.
    ///
    /// # Errors
    /// Where no identity fits, or too few key groups can be opened.
    pub(crate) fn open_key(&self, identities: &Identities) -> Result<DataKey, Error> {
        let groups = self.groups();
        let no_key = || {
            identities.trouble().unwrap_or_else(|| Error::NoKey {
                recipients: self.recipients(),
                foreign: self.foreign(),
                tried: identities.names(),
            })
        };
        let open = |entries: &[AgeEntry]| {
            identities.open_any(entries.iter().map(|entry| (entry.recipient.as_str(), entry.enc.as_str())))
        };
        if let [entries] = groups.as_slice() {
            let key = open(entries).ok_or_else(no_key)?;
            return DataKey::from_bytes(&key)
                .ok_or_else(|| Error::BadMetadata("the data key has the wrong length".into()));
        }
        let needed = self.threshold(groups.len());
        let shares: Vec<_> = groups.iter().filter_map(|entries| open(entries)).collect();
        if shares.is_empty() {
            return Err(no_key());
        }
        if shares.len() < needed {
            return Err(Error::TooFewGroups { opened: shares.len(), needed, recipients: self.recipients() });
        }
        shamir::combine(&shares)
            .and_then(|key| DataKey::from_bytes(&key))
            .ok_or_else(|| Error::BadMetadata("the shares of the data key do not fit together".into()))
    }

    /// Wraps the data key anew for these groups of recipients. Entries of recipients that stay are kept as they are if the
    /// file has no groups; recipients of other kinds are kept.
    ///
    /// # Errors
    /// Where a recipient's program fails, or groups would change while there are recipients of other kinds in them.
    pub(crate) fn wrap_key(
        &mut self,
        key: &DataKey,
        groups: &[Vec<Recipient>],
        threshold: Option<usize>,
    ) -> Result<(), Error> {
        let had_groups = self.raw.get("key_groups").and_then(Json::as_array).is_some_and(|list| !list.is_empty());
        if groups.len() < 2 && !had_groups {
            let old = self.groups().into_iter().flatten().collect::<Vec<_>>();
            let wanted: &[Recipient] = groups.first().map_or(&[], Vec::as_slice);
            self.raw.insert("age".into(), wrapped(key.bytes(), wanted, &old)?);
            return Ok(());
        }
        if !self.foreign().is_empty() {
            return Err(Error::ForeignGroups(self.foreign()));
        }
        if groups.len() < 2 {
            self.raw.remove("key_groups");
            self.raw.remove("shamir_threshold");
            self.raw.insert("age".into(), wrapped(key.bytes(), groups.first().map_or(&[], Vec::as_slice), &[])?);
            return Ok(());
        }
        let needed = threshold.unwrap_or(groups.len()).clamp(2, groups.len());
        let shares = shamir::split(key.bytes(), groups.len(), needed)?;
        let list = groups.iter().zip(&shares).map(|(group, share)| Ok(json!({"age": wrapped(share, group, &[])?})));
        let list: Vec<Json> = list.collect::<Result<_, Error>>()?;
        self.raw.remove("age");
        self.raw.insert("key_groups".into(), Json::Array(list));
        self.raw.insert("shamir_threshold".into(), json!(needed));
        Ok(())
    }

    /// Sets the MAC and the time that is bound to it.
    pub(crate) fn set_mac(&mut self, mac: String, lastmodified: String) {
        self.raw.insert("mac".into(), Json::String(mac));
        self.raw.insert("lastmodified".into(), Json::String(lastmodified));
        if self.text("version").is_none() {
            // The real program fails on a file without one.
            self.raw.insert("version".into(), json!(VERSION));
        }
    }

    /// Now, in the form that `lastmodified` has.
    pub(crate) fn now() -> String {
        Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    }
}

fn age_entries(list: Option<&Json>) -> Vec<AgeEntry> {
    let text = |entry: &Json, key: &str| entry.get(key).and_then(Json::as_str).unwrap_or_default().to_owned();
    let entry = |entry: &Json| AgeEntry { recipient: text(entry, "recipient"), enc: text(entry, "enc") };
    list.and_then(Json::as_array).into_iter().flatten().map(entry).collect()
}

fn wrapped(secret: &[u8], recipients: &[Recipient], old: &[AgeEntry]) -> Result<Json, Error> {
    let mut list = Vec::new();
    for recipient in recipients {
        let enc = match old.iter().find(|entry| entry.recipient == recipient.text() && !entry.enc.is_empty()) {
            Some(entry) => entry.enc.clone(),
            None => recipient.wrap(secret)?,
        };
        list.push(json!({"enc": enc, "recipient": recipient.text()}));
    }
    Ok(Json::Array(list))
}

/// The block as flat keys, for formats without structure: `age__list_0__map_enc`. Newlines become `\n`.
pub(crate) fn flatten(raw: &Map<String, Json>) -> Vec<(String, String)> {
    fn walk(prefix: &str, value: &Json, out: &mut Vec<(String, String)>) {
        match value {
            Json::Object(map) => map.iter().for_each(|(key, value)| walk(&format!("{prefix}__map_{key}"), value, out)),
            Json::Array(list) => {
                list.iter().enumerate().for_each(|(index, value)| walk(&format!("{prefix}__list_{index}"), value, out));
            }
            Json::Null => {}
            Json::String(text) => out.push((prefix.into(), text.replace('\n', "\\n"))),
            other => out.push((prefix.into(), other.to_string())),
        }
    }
    let mut out = Vec::new();
    raw.iter().for_each(|(key, value)| walk(key, value, &mut out));
    out
}

/// The block from flat keys. `None` where keys contradict each other.
pub(crate) fn unflatten(pairs: &[(String, String)]) -> Option<Map<String, Json>> {
    let mut root = Json::Object(Map::new());
    for (key, text) in pairs {
        let mut place = &mut root;
        let mut steps = Vec::new();
        let mut rest = key.as_str();
        // `a__list_0__map_b` is the steps `map a`, `list 0`, `map b`.
        let mut kind = "map_";
        loop {
            let next = [rest.find("__list_"), rest.find("__map_")].into_iter().flatten().min();
            steps.push((kind, next.map_or(rest, |at| &rest[..at])));
            let Some(at) = next else { break };
            kind = if rest[at..].starts_with("__list_") { "list_" } else { "map_" };
            rest = &rest[at + 2 + kind.len()..];
        }
        for (kind, name) in steps {
            if kind == "map_" {
                if place.is_null() {
                    *place = Json::Object(Map::new());
                }
                place = place.as_object_mut()?.entry(name).or_insert(Json::Null);
            } else {
                if place.is_null() {
                    *place = Json::Array(Vec::new());
                }
                let index: usize = name.parse().ok().filter(|index| *index < 1000)?;
                let list = place.as_array_mut()?;
                while list.len() <= index {
                    list.push(Json::Null);
                }
                place = list.get_mut(index)?;
            }
        }
        *place = Json::String(text.replace("\\n", "\n"));
    }
    match root {
        Json::Object(map) => Some(map),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn flat_keys_and_back() {
        let raw = json!({"age": [{"enc": "a\nb", "recipient": "age1x"}, {"enc": "c", "recipient": "age1y"}], "mac": "m",
            "key_groups": [{"age": [{"enc": "d"}]}]});
        let flat = flatten(raw.as_object().unwrap());
        assert!(flat.contains(&("key_groups__list_0__map_age__list_0__map_enc".into(), "d".into())), "{flat:?}");
        assert!(flat.contains(&("age__list_0__map_enc".into(), "a\\nb".into())));
        assert_eq!(Json::Object(unflatten(&flat).unwrap()), raw);
        assert!(unflatten(&[("a".into(), "x".into()), ("a__map_b".into(), "y".into())]).is_none());
    }

    #[test]
    fn two_rules_are_refused() {
        let raw = json!({"encrypted_regex": "^x$", "unencrypted_suffix": "_y"});
        assert!(Metadata { raw: raw.as_object().unwrap().clone() }.rule().is_err());
    }
}
