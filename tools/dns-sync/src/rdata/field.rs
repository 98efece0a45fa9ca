//! The kinds of fields in RDATA, each read from text and wire and written as text.

use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{RdataError, loc, svc_params};
use crate::name::{Name, expand};
use crate::token::{Token, quote};

/// A kind of field.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Field {
    U8,
    U16,
    U32,
    /// A number of seconds, in text also with units (`1h30m`).
    Seconds,
    Ipv4,
    Ipv6,
    Name,
    /// One string of at most 255 octets.
    Str,
    /// All strings to the end, which mean their concatenation.
    Strings,
    /// A word of letters and digits, compared without case (RFC 8659 section 4.1).
    Tag,
    /// Bytes to the end, in text as one string.
    Rest,
    /// Bytes to the end, in text hexadecimal; at least one.
    Hex,
    /// Bytes to the end, in text base64; at least one.
    Base64,
    SvcParams,
    Location,
}

/// The words of one RDATA that are not read yet.
pub(super) struct Words<'a, 'b> {
    tokens: &'b [Token<'a>],
    origin: &'b Name,
}

impl<'a, 'b> Words<'a, 'b> {
    pub(super) fn new(tokens: &'b [Token<'a>], origin: &'b Name) -> Self {
        Self { tokens, origin }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    fn next(&mut self, what: &'static str) -> Result<Token<'a>, RdataError> {
        let (first, rest) = self.tokens.split_first().ok_or(RdataError::Missing(what))?;
        self.tokens = rest;
        Ok(*first)
    }

    fn rest(&mut self, what: &'static str) -> Result<&'b [Token<'a>], RdataError> {
        if self.tokens.is_empty() { Err(RdataError::Missing(what)) } else { Ok(std::mem::take(&mut self.tokens)) }
    }
}

/// The bytes of one RDATA that are not read yet, inside the message that compressed names point into.
pub(super) struct Reader<'a> {
    message: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Reader<'a> {
    pub(super) fn new(message: &'a [u8], at: usize, length: usize) -> Option<Self> {
        let end = at.checked_add(length)?;
        // What lies behind this RDATA is not seen, so that a name cannot run over its end.
        Some(Self { message: message.get(..end)?, at, end })
    }

    pub(super) fn is_empty(&self) -> bool {
        self.at == self.end
    }

    fn take(&mut self, count: usize) -> Option<&'a [u8]> {
        let bytes = self.message.get(self.at..self.at.checked_add(count)?)?;
        self.at += count;
        Some(bytes)
    }

    fn rest(&mut self) -> &'a [u8] {
        let bytes = &self.message[self.at..];
        self.at = self.end;
        bytes
    }

    fn string(&mut self) -> Option<&'a [u8]> {
        let length = *self.take(1)?.first()?;
        self.take(usize::from(length))
    }

    fn name(&mut self) -> Option<Vec<u8>> {
        let (name, end) = expand(self.message, self.at).ok()?;
        self.at = end;
        Some(name)
    }
}

impl Field {
    /// Reads the field from text and appends its canonical bytes.
    pub(super) fn parse(self, what: &'static str, words: &mut Words, wire: &mut Vec<u8>) -> Result<(), RdataError> {
        let wrong = |kind| RdataError::Wrong { what, kind };
        match self {
            Self::U8 => wire.push(words.next(what)?.text.parse().map_err(|_| wrong("number from 0 to 255"))?),
            Self::U16 => {
                let number: u16 = words.next(what)?.text.parse().map_err(|_| wrong("number from 0 to 65535"))?;
                wire.extend(number.to_be_bytes());
            }
            Self::U32 => {
                let number: u32 = words.next(what)?.text.parse().map_err(|_| wrong("number from 0 to 4294967295"))?;
                wire.extend(number.to_be_bytes());
            }
            Self::Seconds => {
                let number = seconds(words.next(what)?.text).ok_or_else(|| wrong("number of seconds"))?;
                wire.extend(number.to_be_bytes());
            }
            Self::Ipv4 => {
                let address: Ipv4Addr = words.next(what)?.text.parse().map_err(|_| wrong("IPv4 address"))?;
                wire.extend(address.octets());
            }
            Self::Ipv6 => {
                let address: Ipv6Addr = words.next(what)?.text.parse().map_err(|_| wrong("IPv6 address"))?;
                wire.extend(address.octets());
            }
            Self::Name => wire.extend_from_slice(Name::parse(words.next(what)?.text, words.origin)?.wire()),
            Self::Str => push_string(&words.next(what)?.bytes().ok_or_else(|| wrong("string"))?, wire)?,
            Self::Strings => {
                let mut bytes = Vec::new();
                for token in words.rest(what)? {
                    bytes.extend(token.bytes().ok_or_else(|| wrong("string"))?);
                }
                push_strings(&bytes, wire);
            }
            Self::Tag => {
                let tag = words.next(what)?.text.to_ascii_lowercase();
                if tag.is_empty() || !tag.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    return Err(wrong("word of letters and digits"));
                }
                push_string(tag.as_bytes(), wire)?;
            }
            Self::Rest => wire.extend(words.next(what)?.bytes().ok_or_else(|| wrong("string"))?),
            Self::Hex => {
                let text: String = words.rest(what)?.iter().map(|token| token.text).collect();
                wire.extend(from_hex(&text).filter(|bytes| !bytes.is_empty()).ok_or_else(|| wrong("hexadecimal"))?);
            }
            Self::Base64 => {
                let text: String = words.rest(what)?.iter().map(|token| token.text).collect();
                wire.extend(STANDARD.decode(text).map_err(|_| wrong("base64"))?);
            }
            Self::SvcParams => svc_params::parse(std::mem::take(&mut words.tokens), wire)?,
            Self::Location => wire.extend(loc::parse(words.rest(what)?)?),
        }
        Ok(())
    }

    /// Reads the field from a message and appends its canonical and its stored bytes; `None` where the bytes are no such field.
    pub(super) fn read(self, reader: &mut Reader, canonical: &mut Vec<u8>, stored: &mut Vec<u8>) -> Option<()> {
        let fixed = match self {
            Self::U8 => 1,
            Self::U16 => 2,
            Self::U32 | Self::Seconds | Self::Ipv4 => 4,
            Self::Ipv6 | Self::Location => 16,
            Self::Name => {
                let mut name = reader.name()?;
                stored.extend_from_slice(&name);
                name.make_ascii_lowercase();
                canonical.extend(name);
                return Some(());
            }
            Self::Str | Self::Tag => {
                let string = reader.string()?;
                stored.push(string.len() as u8);
                stored.extend_from_slice(string);
                canonical.push(string.len() as u8);
                let start = canonical.len();
                canonical.extend_from_slice(string);
                if self == Self::Tag {
                    canonical[start..].make_ascii_lowercase();
                }
                return Some(());
            }
            Self::Strings => {
                let from = reader.at;
                let mut bytes = Vec::new();
                while !reader.is_empty() {
                    bytes.extend_from_slice(reader.string()?);
                }
                let all = reader.message.get(from..reader.end).filter(|all| !all.is_empty())?;
                stored.extend_from_slice(all);
                push_strings(&bytes, canonical);
                return Some(());
            }
            Self::Rest | Self::Hex | Self::Base64 => {
                let bytes = reader.rest();
                stored.extend_from_slice(bytes);
                canonical.extend_from_slice(bytes);
                return Some(());
            }
            Self::SvcParams => {
                let bytes = reader.rest();
                stored.extend_from_slice(bytes);
                canonical.extend(svc_params::canonical(bytes)?);
                return Some(());
            }
        };
        let bytes = reader.take(fixed)?;
        stored.extend_from_slice(bytes);
        canonical.extend_from_slice(bytes);
        Some(())
    }

    /// The text of the field; `None` where the bytes are no such field.
    pub(super) fn text(self, reader: &mut Reader) -> Option<String> {
        Some(match self {
            Self::U8 => reader.take(1)?.first()?.to_string(),
            Self::U16 => u16::from_be_bytes(reader.take(2)?.try_into().ok()?).to_string(),
            Self::U32 | Self::Seconds => u32::from_be_bytes(reader.take(4)?.try_into().ok()?).to_string(),
            Self::Ipv4 => Ipv4Addr::from(<[u8; 4]>::try_from(reader.take(4)?).ok()?).to_string(),
            Self::Ipv6 => Ipv6Addr::from(<[u8; 16]>::try_from(reader.take(16)?).ok()?).to_string(),
            Self::Name => Name::from_message(&reader.name()?, 0).ok()?.0.to_string(),
            Self::Str => quote(reader.string()?),
            Self::Strings => {
                let mut strings = Vec::new();
                while !reader.is_empty() {
                    strings.push(quote(reader.string()?));
                }
                if strings.is_empty() {
                    return None;
                }
                strings.join(" ")
            }
            Self::Tag => {
                let tag = reader.string()?;
                if tag.is_empty() || !tag.iter().all(u8::is_ascii_alphanumeric) {
                    return None;
                }
                String::from_utf8_lossy(tag).into_owned()
            }
            Self::Rest => quote(reader.rest()),
            Self::Hex => Some(to_hex(reader.rest())).filter(|text| !text.is_empty())?,
            Self::Base64 => Some(STANDARD.encode(reader.rest())).filter(|text| !text.is_empty())?,
            Self::SvcParams => svc_params::text(reader.rest())?,
            Self::Location => loc::text(reader.take(16)?)?,
        })
    }
}

/// Seconds as zone files write them: a number, or numbers with the units s, m, h, d, w.
pub(crate) fn seconds(text: &str) -> Option<u32> {
    if text.is_empty() || !text.is_ascii() {
        return None;
    }
    let mut sum: u32 = 0;
    let mut number: Option<u32> = None;
    let mut unit_seen = false;
    for byte in text.bytes() {
        if byte.is_ascii_digit() {
            number = Some(number.unwrap_or(0).checked_mul(10)?.checked_add(u32::from(byte - b'0'))?);
            continue;
        }
        let factor = match byte.to_ascii_lowercase() {
            b's' => 1,
            b'm' => 60,
            b'h' => 3600,
            b'd' => 86_400,
            b'w' => 604_800,
            _ => return None,
        };
        sum = sum.checked_add(number.take()?.checked_mul(factor)?)?;
        unit_seen = true;
    }
    match (number, unit_seen) {
        (Some(_), true) | (None, false) => None,
        (number, _) => sum.checked_add(number.unwrap_or(0)),
    }
}

fn push_string(bytes: &[u8], wire: &mut Vec<u8>) -> Result<(), RdataError> {
    wire.push(u8::try_from(bytes.len()).map_err(|_| RdataError::LongString)?);
    wire.extend_from_slice(bytes);
    Ok(())
}

/// A text as strings of 255 octets, the last one shorter; an empty text is one empty string.
pub(super) fn push_strings(bytes: &[u8], wire: &mut Vec<u8>) {
    if bytes.is_empty() {
        wire.push(0);
    }
    for chunk in bytes.chunks(255) {
        wire.push(chunk.len() as u8);
        wire.extend_from_slice(chunk);
    }
}

pub(super) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digit = |byte: u8| char::from(byte).to_digit(16).map(|digit| digit as u8);
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs.iter().map(|[high, low]| Some(digit(*high)? << 4 | digit(*low)?)).collect()
}

pub(super) fn to_hex(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() * 2);
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            text.push(char::from_digit(u32::from(digit), 16).unwrap_or('0'));
        }
    }
    text
}
