//! RDATA: from zone-file text and from the wire into one canonical form, and back.
//!
//! Every type that the tool understands is a line in `layout`; every other one is bytes (RFC 3597).

mod field;
mod layout;
mod loc;
mod svc_params;

use std::fmt;

use crate::name::{Name, NameError};
use crate::record_type::RecordType;
use crate::token::{Token, TokenError, words};
pub(crate) use field::seconds;
use field::{Reader, Words};

/// RDATA as canonical wire bytes: names lower-case and not compressed (RFC 4034 section 6.2), texts in strings of 255 octets,
/// service parameters in the order of their keys. Equal values are equal bytes.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Rdata(Box<[u8]>);

/// Why a text is no RDATA of its type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum RdataError {
    #[error("{0}")]
    Token(#[from] TokenError),
    #[error("{0}")]
    Name(#[from] NameError),
    #[error("{0} is missing")]
    Missing(&'static str),
    #[error("{what} is no {kind}")]
    Wrong { what: &'static str, kind: &'static str },
    #[error("something follows the value")]
    Trailing,
    #[error("a string is longer than 255 octets")]
    LongString,
    #[error("the value is longer than 65535 octets")]
    TooLong,
    #[error("the length behind \\# is not that of the data")]
    GenericLength,
    #[error("the data behind \\# is no value of this type")]
    GenericData,
    #[error("the type {0} can only be written as \\# LENGTH HEX")]
    GenericOnly(RecordType),
    #[error("{0}")]
    Other(&'static str),
}

/// The longest RDATA that a record holds.
const LONGEST: usize = 65_535;

impl Rdata {
    /// Reads zone-file text. Names without a final dot are completed with `origin`.
    pub(crate) fn parse(record_type: RecordType, text: &str, origin: &Name) -> Result<Self, RdataError> {
        Self::from_tokens(record_type, &words(text)?, origin)
    }

    /// Reads the words of zone-file text.
    pub(crate) fn from_tokens(
        record_type: RecordType,
        tokens: &[Token<'_>],
        origin: &Name,
    ) -> Result<Self, RdataError> {
        if tokens.first().is_some_and(|token| token.text == "\\#" && !token.quoted) {
            return Self::generic(record_type, &tokens[1..]);
        }
        let layout = layout::of(record_type).ok_or(RdataError::GenericOnly(record_type))?;
        let mut words = Words::new(tokens, origin);
        let mut wire = Vec::new();
        for (what, field) in layout {
            field.parse(what, &mut words, &mut wire)?;
        }
        if !words.is_empty() {
            return Err(RdataError::Trailing);
        }
        Self::bounded(wire)
    }

    /// `\# LENGTH HEX` (RFC 3597 section 5), which every type may be written as.
    fn generic(record_type: RecordType, tokens: &[Token<'_>]) -> Result<Self, RdataError> {
        let (length, hex) = tokens.split_first().ok_or(RdataError::Missing("the length behind \\#"))?;
        let hex: String = hex.iter().map(|token| token.text).collect();
        let bytes =
            field::from_hex(&hex).ok_or(RdataError::Wrong { what: "the data behind \\#", kind: "hexadecimal" })?;
        if length.text.parse() != Ok(bytes.len()) {
            return Err(RdataError::GenericLength);
        }
        if layout::of(record_type).is_none() {
            return Self::bounded(bytes);
        }
        let (canonical, _) = Self::read(record_type, &bytes, 0, bytes.len()).ok_or(RdataError::GenericData)?;
        Ok(canonical)
    }

    /// A value from its canonical bytes, as this file and `declared` make them.
    pub(crate) fn bounded(wire: Vec<u8>) -> Result<Self, RdataError> {
        if wire.len() > LONGEST { Err(RdataError::TooLong) } else { Ok(Self(wire.into())) }
    }

    /// A text of any length (TXT, SPF).
    pub(crate) fn text(bytes: &[u8]) -> Result<Self, RdataError> {
        let mut wire = Vec::with_capacity(bytes.len() + bytes.len() / 255 + 1);
        field::push_strings(bytes, &mut wire);
        Self::bounded(wire)
    }

    /// Reads RDATA of a message: the canonical form, and the form that is stored where it is another one (names in their case,
    /// texts in their strings), which a comparison by the server needs. What is no value of its type stays as it is.
    pub(crate) fn from_message(
        record_type: RecordType,
        message: &[u8],
        at: usize,
        length: usize,
    ) -> Option<(Self, Option<Box<[u8]>>)> {
        let bytes = message.get(at..at + length)?;
        Some(Self::read(record_type, message, at, length).unwrap_or_else(|| (Self(bytes.into()), None)))
    }

    fn read(record_type: RecordType, message: &[u8], at: usize, length: usize) -> Option<(Self, Option<Box<[u8]>>)> {
        let Some(layout) = layout::of(record_type) else {
            return Some((Self(message.get(at..at + length)?.into()), None));
        };
        let mut reader = Reader::new(message, at, length)?;
        let (mut canonical, mut stored) = (Vec::with_capacity(length), Vec::with_capacity(length));
        for (_, field) in layout {
            field.read(&mut reader, &mut canonical, &mut stored)?;
        }
        if !reader.is_empty() {
            return None;
        }
        let stored = (canonical != stored).then(|| stored.into());
        Some((Self(canonical.into()), stored))
    }

    /// Zone-file text in one fixed form, with absolute names.
    pub(crate) fn to_text(&self, record_type: RecordType) -> String {
        self.typed_text(record_type).unwrap_or_else(|| {
            let space = if self.0.is_empty() { "" } else { " " };
            format!("\\# {}{space}{}", self.0.len(), field::to_hex(&self.0))
        })
    }

    fn typed_text(&self, record_type: RecordType) -> Option<String> {
        let layout = layout::of(record_type)?;
        let mut reader = Reader::new(&self.0, 0, self.0.len())?;
        let mut text = String::new();
        for (_, field) in layout {
            let part = field.text(&mut reader)?;
            if !part.is_empty() && !text.is_empty() {
                text.push(' ');
            }
            text.push_str(&part);
        }
        reader.is_empty().then_some(text)
    }

    /// The canonical bytes.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.0
    }

    /// The name that a value points at, for types whose last or only field is a host (CNAME, DNAME, NS, PTR, MX, SRV).
    pub(crate) fn target(&self, record_type: RecordType) -> Option<Name> {
        let at = match record_type {
            RecordType::CNAME | RecordType::DNAME | RecordType::NS | RecordType::PTR => 0,
            RecordType::MX => 2,
            RecordType::SRV => 6,
            _ => return None,
        };
        Name::from_message(&self.0, at).ok().map(|(name, _)| name)
    }
}

impl fmt::Debug for Rdata {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rdata({})", field::to_hex(&self.0))
    }
}

#[cfg(test)]
mod tests;
