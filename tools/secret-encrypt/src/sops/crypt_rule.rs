//! Which values of a file are encrypted: the six rules of SOPS, of which a file has one.

use regex::Regex;

use crate::Error;
use crate::format::Slot;

/// The rule of a file.
#[derive(Debug, Clone)]
pub(crate) enum CryptRule {
    /// Everything but what lies under a key with this ending.
    UnencryptedSuffix(String),
    /// Only what lies under a key with this ending.
    EncryptedSuffix(String),
    /// Everything but what lies under a matching key.
    UnencryptedRegex(Regex),
    /// Only what lies under a matching key.
    EncryptedRegex(Regex),
    /// Everything but what a matching comment precedes.
    UnencryptedCommentRegex(Regex),
    /// Only what a matching comment precedes.
    EncryptedCommentRegex(Regex),
}

impl CryptRule {
    /// The names of the six keys, in metadata and in `.sops.yaml`.
    pub(crate) const KEYS: [&'static str; 6] = [
        "unencrypted_suffix",
        "encrypted_suffix",
        "unencrypted_regex",
        "encrypted_regex",
        "unencrypted_comment_regex",
        "encrypted_comment_regex",
    ];

    /// What holds where a file or rule says nothing.
    pub(crate) fn usual() -> Self {
        CryptRule::UnencryptedSuffix("_unencrypted".into())
    }

    /// A rule from one of [`CryptRule::KEYS`] and its value.
    ///
    /// # Errors
    /// For a key that is no rule and a pattern that is no regular expression.
    pub(crate) fn new(key: &str, value: &str) -> Result<Self, Error> {
        let regex = || {
            Regex::new(value).map_err(|error| Error::BadRegex {
                key: key.into(),
                cause: error.to_string().lines().last().unwrap_or_default().to_owned(),
            })
        };
        Ok(match key {
            "unencrypted_suffix" => CryptRule::UnencryptedSuffix(value.into()),
            "encrypted_suffix" => CryptRule::EncryptedSuffix(value.into()),
            "unencrypted_regex" => CryptRule::UnencryptedRegex(regex()?),
            "encrypted_regex" => CryptRule::EncryptedRegex(regex()?),
            "unencrypted_comment_regex" => CryptRule::UnencryptedCommentRegex(regex()?),
            "encrypted_comment_regex" => CryptRule::EncryptedCommentRegex(regex()?),
            _ => return Err(Error::BadMetadata(format!("{key} is no rule"))),
        })
    }

    /// The key and value of this rule.
    pub(crate) fn entry(&self) -> (&'static str, String) {
        match self {
            CryptRule::UnencryptedSuffix(suffix) => (Self::KEYS[0], suffix.clone()),
            CryptRule::EncryptedSuffix(suffix) => (Self::KEYS[1], suffix.clone()),
            CryptRule::UnencryptedRegex(regex) => (Self::KEYS[2], regex.to_string()),
            CryptRule::EncryptedRegex(regex) => (Self::KEYS[3], regex.to_string()),
            CryptRule::UnencryptedCommentRegex(regex) => (Self::KEYS[4], regex.to_string()),
            CryptRule::EncryptedCommentRegex(regex) => (Self::KEYS[5], regex.to_string()),
        }
    }

    /// Whether the value or comment in this slot is encrypted. Every key on the way to it counts; list indexes are no keys.
    pub(crate) fn covers(&self, slot: &Slot) -> bool {
        let under = |test: &dyn Fn(&str) -> bool| slot.path.iter().any(|key| test(key));
        match self {
            CryptRule::UnencryptedSuffix(suffix) => !under(&|key| key.ends_with(suffix.as_str())),
            CryptRule::EncryptedSuffix(suffix) => under(&|key| key.ends_with(suffix.as_str())),
            CryptRule::UnencryptedRegex(regex) => !under(&|key| regex.is_match(key)),
            CryptRule::EncryptedRegex(regex) => under(&|key| regex.is_match(key)),
            CryptRule::UnencryptedCommentRegex(regex) => !slot.comments.iter().any(|text| regex.is_match(text)),
            CryptRule::EncryptedCommentRegex(regex) => {
                // The comment that switches encryption on stays readable itself; it is the last of its own list.
                let own = usize::from(slot.is_comment());
                slot.comments.iter().skip(own).any(|text| regex.is_match(text))
            }
        }
    }
}
