//! Domain names in canonical form.

use std::fmt;

/// A domain name as lower-case wire bytes without compression (RFC 4034 section 6.2), so that equal names are equal bytes.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Name(Box<[u8]>);

/// Why a text or wire is no name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NameError {
    #[error("a name is empty")]
    Empty,
    #[error("a label is empty")]
    EmptyLabel,
    #[error("a label is longer than 63 octets")]
    LongLabel,
    #[error("the name is longer than 255 octets")]
    LongName,
    #[error("an escape is not \\DDD or \\X")]
    Escape,
    #[error("the name cannot be converted to ASCII (IDNA)")]
    Idna,
    #[error("the name's bytes are cut off or wrong")]
    Wire,
}

/// The longest name in octets, with its length octets and the root (RFC 1035 section 2.3.4).
const LONGEST: usize = 255;

impl Name {
    /// The root.
    pub(crate) fn root() -> Self {
        Self(Box::new([0]))
    }

    /// A name from canonical wire bytes that come from another `Name`.
    fn from_bytes(bytes: Vec<u8>) -> Result<Self, NameError> {
        if bytes.len() > LONGEST { Err(NameError::LongName) } else { Ok(Self(bytes.into())) }
    }

    /// Reads a name in zone-file text. `@` and names without a final dot are completed with `origin`; UTF-8 is converted
    /// as UTS #46 says (non-transitional), while `_` and `*` pass.
    pub(crate) fn parse(text: &str, origin: &Name) -> Result<Self, NameError> {
        match text {
            "" => return Err(NameError::Empty),
            "@" => return Ok(origin.clone()),
            "." => return Ok(Self::root()),
            _ => {}
        }
        let ascii;
        let text = if text.is_ascii() {
            text
        } else {
            ascii = idna::domain_to_ascii_cow(text.as_bytes(), idna::AsciiDenyList::EMPTY)
                .map_err(|_| NameError::Idna)?
                .into_owned();
            &ascii
        };
        let mut bytes = Vec::with_capacity(text.len() + 2);
        let mut label: Vec<u8> = Vec::new();
        let mut rest = text.bytes();
        let mut absolute = false;
        while let Some(byte) = rest.next() {
            absolute = false;
            let byte = match byte {
                b'.' => {
                    push_label(&mut bytes, &label)?;
                    label.clear();
                    absolute = true;
                    continue;
                }
                b'\\' => unescape(&mut rest).ok_or(NameError::Escape)?,
                other => other,
            };
            label.push(byte.to_ascii_lowercase());
        }
        if absolute {
            bytes.push(0);
        } else {
            push_label(&mut bytes, &label)?;
            bytes.extend_from_slice(&origin.0);
        }
        Self::from_bytes(bytes)
    }

    /// Reads an absolute name, with or without its final dot.
    pub(crate) fn absolute(text: &str) -> Result<Self, NameError> {
        Self::parse(text, &Self::root())
    }

    /// Reads a name, possibly compressed (RFC 1035 section 4.1.4), at `at` of a message, and the place behind it.
    pub(crate) fn from_message(message: &[u8], at: usize) -> Result<(Self, usize), NameError> {
        let (mut bytes, end) = expand(message, at)?;
        // Length octets are below 64, so no letter.
        bytes.make_ascii_lowercase();
        Ok((Self(bytes.into()), end))
    }

    /// The bytes on the wire.
    pub(crate) fn wire(&self) -> &[u8] {
        &self.0
    }

    /// The labels, from the leftmost.
    pub(crate) fn labels(&self) -> impl Iterator<Item = &[u8]> {
        let mut rest: &[u8] = &self.0;
        std::iter::from_fn(move || {
            let (length, tail) = rest.split_first()?;
            let label = tail.get(..usize::from(*length)).filter(|label| !label.is_empty())?;
            rest = &tail[label.len()..];
            Some(label)
        })
    }

    /// Where the labels begin (a name has at most 127), and how many there are. On the stack: sorting a zone calls it often.
    fn label_places(&self) -> ([u8; 128], usize) {
        let mut places = [0; 128];
        let (mut at, mut count) = (0, 0);
        while self.0.get(at).is_some_and(|length| *length > 0) && count < places.len() {
            places[count] = at as u8;
            count += 1;
            at += 1 + usize::from(self.0[at]);
        }
        (places, count)
    }

    fn label_at(&self, place: u8) -> &[u8] {
        let at = usize::from(place);
        &self.0[at + 1..at + 1 + usize::from(self.0[at])]
    }

    /// The name without its leftmost label; `None` for the root.
    pub(crate) fn parent(&self) -> Option<Name> {
        let length = usize::from(*self.0.first().filter(|length| **length > 0)?);
        self.0.get(length + 1..).map(|rest| Self(rest.into()))
    }

    /// The name with a label put before it.
    pub(crate) fn child(&self, label: &str) -> Result<Self, NameError> {
        let mut bytes = Vec::with_capacity(self.0.len() + label.len() + 1);
        push_label(&mut bytes, label.to_ascii_lowercase().as_bytes())?;
        bytes.extend_from_slice(&self.0);
        Self::from_bytes(bytes)
    }

    /// Whether it is `zone` or lies below it.
    pub(crate) fn is_in(&self, zone: &Name) -> bool {
        let Some(start) = self.0.len().checked_sub(zone.0.len()) else { return false };
        if self.0[start..] != *zone.0 {
            return false;
        }
        let mut at = 0;
        while at < start {
            at += 1 + usize::from(self.0[at]);
        }
        at == start
    }

    /// Whether its leftmost label is `*`.
    pub(crate) fn is_wildcard(&self) -> bool {
        self.labels().next() == Some(b"*")
    }

    /// The text relative to `zone`: `@` for the zone itself, without a final dot below it, absolute elsewhere.
    pub(crate) fn relative(&self, zone: &Name) -> String {
        if self == zone {
            return "@".into();
        }
        let text = self.to_string();
        if self.is_in(zone) && zone.0.len() > 1 {
            let suffix = zone.to_string().len() + 1;
            text[..text.len() - suffix].to_owned()
        } else {
            text
        }
    }

    /// The text without its final dot, as names stand in consents and file names.
    pub(crate) fn without_dot(&self) -> String {
        let text = self.to_string();
        text.strip_suffix('.').filter(|rest| !rest.is_empty()).unwrap_or(&text).to_owned()
    }
}

/// A name at `at` of a message without compression but in the case in which it is stored, and the place behind it.
pub(crate) fn expand(message: &[u8], at: usize) -> Result<(Vec<u8>, usize), NameError> {
    let mut bytes = Vec::with_capacity(32);
    let mut at = at;
    let mut end = None;
    loop {
        let length = *message.get(at).ok_or(NameError::Wire)?;
        match length {
            0 => {
                bytes.push(0);
                return if bytes.len() > LONGEST {
                    Err(NameError::LongName)
                } else {
                    Ok((bytes, end.unwrap_or(at + 1)))
                };
            }
            1..=63 => {
                let next = at + 1 + usize::from(length);
                bytes.extend_from_slice(message.get(at..next).ok_or(NameError::Wire)?);
                if bytes.len() > LONGEST {
                    return Err(NameError::LongName);
                }
                at = next;
            }
            192.. => {
                let low = *message.get(at + 1).ok_or(NameError::Wire)?;
                let target = usize::from(length & 63) << 8 | usize::from(low);
                // Only backwards, and the name only grows: so it ends.
                if target >= at {
                    return Err(NameError::Wire);
                }
                end.get_or_insert(at + 2);
                at = target;
            }
            _ => return Err(NameError::Wire),
        }
    }
}

fn push_label(bytes: &mut Vec<u8>, label: &[u8]) -> Result<(), NameError> {
    match label.len() {
        0 => Err(NameError::EmptyLabel),
        length @ 1..=63 => {
            bytes.push(length as u8);
            bytes.extend_from_slice(label);
            Ok(())
        }
        _ => Err(NameError::LongLabel),
    }
}

/// What stands behind a backslash: three digits, or one character that means itself (RFC 1035 section 5.1).
pub(crate) fn unescape(rest: &mut impl Iterator<Item = u8>) -> Option<u8> {
    let first = rest.next()?;
    if !first.is_ascii_digit() {
        return Some(first);
    }
    let (second, third) = (rest.next()?, rest.next()?);
    let digits = [first, second, third];
    if !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    let number = digits.iter().fold(0_u16, |sum, digit| sum * 10 + u16::from(digit - b'0'));
    u8::try_from(number).ok()
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0.len() == 1 {
            return f.write_str(".");
        }
        let mut text = String::with_capacity(self.0.len());
        for label in self.labels() {
            for byte in label {
                match byte {
                    b'.' | b'\\' | b'"' | b'(' | b')' | b';' | b'@' | b'$' => {
                        text.push('\\');
                        text.push(char::from(*byte));
                    }
                    0x21..=0x7e => text.push(char::from(*byte)),
                    other => text.push_str(&format!("\\{other:03}")),
                }
            }
            text.push('.');
        }
        f.write_str(&text)
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Canonical order (RFC 4034 section 6.1): label by label from the right, so that a zone sorts as a tree.
impl Ord for Name {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        let (mine, count) = self.label_places();
        let (theirs, their_count) = other.label_places();
        let (mut left, mut right) = (count, their_count);
        while left > 0 && right > 0 {
            left -= 1;
            right -= 1;
            let order = self.label_at(mine[left]).cmp(other.label_at(theirs[right]));
            if order.is_ne() {
                return order;
            }
        }
        count.cmp(&their_count)
    }
}

impl PartialOrd for Name {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn name(text: &str) -> Name {
        Name::absolute(text).unwrap()
    }

    #[test]
    fn texts_and_their_names() {
        let zone = name("Example.ORG");
        assert_eq!(zone.to_string(), "example.org.");
        assert_eq!(Name::parse("www", &zone).unwrap().to_string(), "www.example.org.");
        assert_eq!(Name::parse("@", &zone).unwrap(), zone);
        assert_eq!(Name::parse("ööö", &zone).unwrap().to_string(), "xn--ndaaa.example.org.");
        assert_eq!(Name::parse("*._tcp", &zone).unwrap().relative(&zone), "*._tcp");
        assert_eq!(Name::parse("a\\.b", &zone).unwrap().labels().count(), 3);
        assert_eq!(Name::parse("a\\.b", &zone).unwrap().relative(&zone), "a\\.b");
        assert_eq!(Name::parse("a..b", &zone), Err(NameError::EmptyLabel));
        assert_eq!(Name::parse(&"x".repeat(64), &zone), Err(NameError::LongLabel));
        assert_eq!(Name::parse(&"abcdefg.".repeat(32), &zone), Err(NameError::LongName));
        assert_eq!(Name::parse("a\\2", &zone), Err(NameError::Escape));
    }

    #[test]
    fn a_suffix_of_a_label_is_not_the_zone() {
        assert!(!name("notexample.org").is_in(&name("example.org")));
        assert!(name("www.example.org").is_in(&name("example.org")));
        assert!(name("example.org").is_in(&Name::root()));
    }

    #[test]
    fn compression_loops_end() {
        assert_eq!(Name::from_message(&[0xc0, 0x00], 0), Err(NameError::Wire));
        assert_eq!(Name::from_message(&[1, b'a', 0xc0, 0x00], 0), Err(NameError::LongName));
        let message = [3, b'o', b'r', b'g', 0, 1, b'A', 0xc0, 0x00];
        assert_eq!(Name::from_message(&message, 5).unwrap(), (name("a.org"), 9));
    }

    proptest! {
        #[test]
        fn text_and_wire_round_trip(labels in prop::collection::vec(prop::collection::vec(any::<u8>(), 1..12), 0..8)) {
            let mut wire = Vec::new();
            for label in &labels {
                wire.push(label.len() as u8);
                wire.extend(label.iter().map(u8::to_ascii_lowercase));
            }
            wire.push(0);
            let (name, end) = Name::from_message(&wire, 0).unwrap();
            prop_assert_eq!(end, wire.len());
            prop_assert_eq!(name.wire(), &wire[..]);
            prop_assert_eq!(Name::absolute(&name.to_string()).unwrap(), name);
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,40}") {
            let _ = Name::absolute(&text);
        }
    }
}
