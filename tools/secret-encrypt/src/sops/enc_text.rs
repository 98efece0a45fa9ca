//! `ENC[AES256_GCM,data:...,iv:...,tag:...,type:...]`: the text of an encrypted value.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::Kind;

/// The parts of an encrypted value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EncText {
    /// The ciphertext, as long as the plaintext.
    pub data: Vec<u8>,
    /// The initialisation vector; 32 bytes where sops or we wrote it.
    pub iv: Vec<u8>,
    /// The authentication tag, 16 bytes.
    pub tag: Vec<u8>,
    /// What the plaintext is.
    pub kind: Kind,
}

/// What every encrypted value begins with.
const START: &str = "ENC[AES256_GCM,data:";

impl EncText {
    /// Whether a text means to be an encrypted value, well formed or not.
    pub(crate) fn is_meant(text: &str) -> bool {
        text.starts_with("ENC[")
    }

    /// Reads the text. `None` if it is no encrypted value or a malformed one.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        let inner = text.trim_end().strip_prefix(START)?.strip_suffix(']')?;
        let (data, rest) = inner.split_once(",iv:")?;
        let (iv, rest) = rest.split_once(",tag:")?;
        let (tag, kind) = rest.split_once(",type:")?;
        Some(Self {
            data: STANDARD.decode(data).ok().filter(|data| !data.is_empty())?,
            iv: STANDARD.decode(iv).ok().filter(|iv| !iv.is_empty())?,
            tag: STANDARD.decode(tag).ok().filter(|tag| tag.len() == 16)?,
            kind: Kind::from_word(kind)?,
        })
    }
}

impl fmt::Display for EncText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (data, iv, tag) = (STANDARD.encode(&self.data), STANDARD.encode(&self.iv), STANDARD.encode(&self.tag));
        write!(f, "{START}{data},iv:{iv},tag:{tag},type:{}]", self.kind.word())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_text_panics(text in "(ENC\\[AES256_GCM,data:)?[A-Za-z0-9+/=,:\\[\\]]{0,80}(,type:str\\])?") {
            if let Some(enc) = EncText::parse(&text) {
                prop_assert_eq!(EncText::parse(&enc.to_string()).unwrap(), enc);
            }
        }

        #[test]
        fn what_is_written_reads_back(data in prop::collection::vec(any::<u8>(), 1..40), iv in any::<[u8; 32]>(), tag in any::<[u8; 16]>()) {
            let enc = EncText { data, iv: iv.to_vec(), tag: tag.to_vec(), kind: Kind::Float };
            prop_assert_eq!(EncText::parse(&enc.to_string()).unwrap(), enc);
        }
    }
}
