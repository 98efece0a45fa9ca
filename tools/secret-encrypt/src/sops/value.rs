//! A value in clear: its kind and its canonical bytes, which are what is encrypted and what enters the MAC.

use zeroize::Zeroizing;

/// What a value is; the `type:` of an encrypted one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Kind {
    /// Text, or raw bytes in a binary file.
    Str,
    /// A whole number that fits 64 bits with sign.
    Int,
    /// Any other number.
    Float,
    /// `True` or `False`.
    Bool,
    /// A point in time (RFC 3339 with nanoseconds).
    Time,
    /// Bytes; written by old versions only.
    Bytes,
    /// The text of a comment, without its mark.
    Comment,
    /// Nothing: never encrypted and no part of the MAC.
    Null,
}

impl Kind {
    /// The word in `type:`.
    pub(crate) fn word(self) -> &'static str {
        match self {
            Kind::Str | Kind::Null => "str",
            Kind::Int => "int",
            Kind::Float => "float",
            Kind::Bool => "bool",
            Kind::Time => "time",
            Kind::Bytes => "bytes",
            Kind::Comment => "comment",
        }
    }

    /// The kind behind a `type:`.
    pub(crate) fn from_word(word: &str) -> Option<Kind> {
        [Kind::Str, Kind::Int, Kind::Float, Kind::Bool, Kind::Time, Kind::Bytes, Kind::Comment]
            .into_iter()
            .find(|kind| kind.word() == word)
    }
}

/// A value in clear. Its bytes are overwritten when it goes, and `{:?}` does not show them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Value {
    /// What it is.
    pub kind: Kind,
    /// Its canonical bytes: decimal numbers without exponent, `True`/`False`, text as it is.
    pub bytes: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for Value {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Value({:?}, ..)", self.kind)
    }
}

impl Value {
    /// A value from its kind and canonical bytes.
    pub(crate) fn new(kind: Kind, bytes: impl Into<Vec<u8>>) -> Self {
        Self { kind, bytes: Zeroizing::new(bytes.into()) }
    }

    /// Text.
    pub(crate) fn text(text: &str) -> Self {
        Self::new(Kind::Str, text)
    }

    /// A comment.
    pub(crate) fn comment(text: &str) -> Self {
        Self::new(Kind::Comment, text)
    }

    /// A whole number.
    pub(crate) fn int(number: i64) -> Self {
        Self::new(Kind::Int, number.to_string())
    }

    /// A number, written as Go's `strconv.FormatFloat(f, 'f', -1, 64)` does.
    pub(crate) fn float(number: f64) -> Self {
        let text = if number.is_nan() {
            "NaN".into()
        } else if number.is_infinite() {
            (if number > 0.0 { "+Inf" } else { "-Inf" }).into()
        } else {
            number.to_string()
        };
        Self::new(Kind::Float, text)
    }

    /// A truth value, written as sops does.
    pub(crate) fn bool(value: bool) -> Self {
        Self::new(Kind::Bool, if value { "True" } else { "False" })
    }

    /// Nothing.
    pub(crate) fn null() -> Self {
        Self::new(Kind::Null, Vec::new())
    }

    /// The bytes as text, if they are text.
    pub(crate) fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.bytes).ok()
    }

    /// The bytes that a program gets: truth values as YAML and JSON write them.
    pub(crate) fn for_programs(&self) -> Zeroizing<Vec<u8>> {
        match self.kind {
            Kind::Bool => Zeroizing::new(self.bytes.to_ascii_lowercase()),
            _ => self.bytes.clone(),
        }
    }

    /// The value of decrypted bytes: brought into canonical form, because that is what enters the MAC.
    pub(crate) fn decrypted(kind: Kind, bytes: Vec<u8>) -> Option<Self> {
        let raw = Self::new(kind, bytes);
        match kind {
            Kind::Str | Kind::Bytes | Kind::Comment | Kind::Null => Some(raw),
            Kind::Int => raw.as_text()?.parse().ok().map(Self::int),
            Kind::Float => raw.as_text()?.parse().ok().map(Self::float),
            Kind::Bool => match raw.as_text()? {
                "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(Self::bool(true)),
                "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(Self::bool(false)),
                _ => None,
            },
            Kind::Time => {
                raw.as_text()?;
                Some(raw)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn numbers_are_written_as_go_does() {
        for (number, text) in
            [(1e21, "1000000000000000000000"), (2.0, "2"), (1.5, "1.5"), (-0.0, "-0"), (f64::INFINITY, "+Inf")]
        {
            assert_eq!(Value::float(number).as_text().unwrap(), text);
        }
        assert_eq!(Value::decrypted(Kind::Bool, b"t".to_vec()).unwrap().as_text(), Some("True"));
        assert!(Value::decrypted(Kind::Int, b"x".to_vec()).is_none());
        assert_eq!(format!("{:?}", Value::text("hunter2")), "Value(Str, ..)");
    }
}
