//! JSON (RFC 8259) as a tree that knows where everything stands in the text.

use std::collections::HashSet;
use std::ops::Range;

use crate::Error;

/// How deep objects and arrays may lie in each other.
const DEPTH: usize = 128;

#[derive(Debug)]
pub(super) struct Node {
    pub(super) data: Data,
    pub(super) span: Range<usize>,
}

#[derive(Debug)]
pub(super) enum Data {
    /// Text, number, `true`, `false` or `null`: read from its span by serde.
    Scalar,
    Array(Vec<Node>),
    Object(Vec<Member>),
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) key: String,
    pub(super) key_span: Range<usize>,
    pub(super) value: Node,
}

/// Reads the one value of a text.
pub(super) fn parse(text: &str) -> Result<Node, Error> {
    let mut reader = Reader { text, bytes: text.as_bytes(), at: 0 };
    let node = reader.value(0)?;
    reader.blank();
    if reader.at < text.len() {
        return Err(reader.wrong("something follows the document"));
    }
    Ok(node)
}

/// The value of a text, with no key twice.
///
/// # Errors
/// Where it is no JSON.
pub(crate) fn check(text: &str) -> Result<serde_json::Value, Error> {
    parse(text)?;
    serde_json::from_str(text).map_err(|_| Error::syntax("no JSON"))
}

struct Reader<'a> {
    text: &'a str,
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn wrong(&self, message: &str) -> Error {
        let line =
            String::from_utf8_lossy(&self.bytes[..self.at.min(self.bytes.len())]).matches('\n').count() as u64 + 1;
        Error::Syntax { message: format!("no JSON: {message}"), line: Some(line) }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn blank(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn value(&mut self, depth: usize) -> Result<Node, Error> {
        if depth > DEPTH {
            return Err(self.wrong("it is nested too deeply"));
        }
        self.blank();
        let start = self.at;
        let data = match self.peek() {
            Some(b'{') => self.object(depth)?,
            Some(b'[') => self.array(depth)?,
            Some(b'"') => {
                self.string()?;
                Data::Scalar
            }
            Some(b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                while self.peek().is_some_and(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte)) {
                    self.at += 1;
                }
                if serde_json::from_str::<serde_json::Value>(&self.text[start..self.at]).is_err() {
                    return Err(self.wrong("a value is no number and no word of JSON"));
                }
                Data::Scalar
            }
            Some(_) => return Err(self.wrong("a value was expected")),
            None => return Err(self.wrong("the document ends in the middle")),
        };
        Ok(Node { data, span: start..self.at })
    }

    fn string(&mut self) -> Result<String, Error> {
        let start = self.at;
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => break,
                Some(b'\\') => self.at += 2,
                Some(_) => self.at += 1,
                None => return Err(self.wrong("the document ends in the middle")),
            }
        }
        self.at += 1;
        self.text
            .get(start..self.at)
            .and_then(|text| serde_json::from_str(text).ok())
            .ok_or_else(|| self.wrong("a string is not well formed"))
    }

    fn array(&mut self, depth: usize) -> Result<Data, Error> {
        self.at += 1;
        let mut items = Vec::new();
        self.blank();
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(Data::Array(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            if self.ends(b']')? {
                return Ok(Data::Array(items));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Result<Data, Error> {
        self.at += 1;
        let mut members = Vec::new();
        let mut seen = HashSet::new();
        self.blank();
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(Data::Object(members));
        }
        loop {
            self.blank();
            let start = self.at;
            if self.peek() != Some(b'"') {
                return Err(self.wrong("a key in double quotes was expected"));
            }
            let key = self.string()?;
            let key_span = start..self.at;
            if !seen.insert(key.clone()) {
                return Err(self.wrong(&format!("the key \"{key}\" stands twice")));
            }
            self.blank();
            if self.peek() != Some(b':') {
                return Err(self.wrong("a colon was expected"));
            }
            self.at += 1;
            let value = self.value(depth + 1)?;
            members.push(Member { key, key_span, value });
            if self.ends(b'}')? {
                return Ok(Data::Object(members));
            }
        }
    }

    /// Passes a comma (false) or the closing bracket (true).
    fn ends(&mut self, close: u8) -> Result<bool, Error> {
        self.blank();
        match self.peek() {
            Some(b',') => {
                self.at += 1;
                Ok(false)
            }
            Some(byte) if byte == close => {
                self.at += 1;
                Ok(true)
            }
            _ => Err(self.wrong("a comma or a closing bracket was expected")),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn refuses_what_is_no_json() {
        for text in [
            "",
            "{",
            "{a:1}",
            "{\"a\":1,}",
            "[1,]",
            "{\"a\":01}",
            "{\"a\":1} x",
            "\"a",
            "\"\\",
            "{\"a\":1,\"a\":2}",
            "tru",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse(&"[".repeat(10_000)).is_err());
    }

    proptest! {
        #[test]
        fn agrees_with_serde(text in "[\\[\\]{}\",:0-9a-z\\\\ \\n.eE+-]{0,24}") {
            let ours = parse(&text).is_ok();
            let theirs = serde_json::from_str::<serde_json::Value>(&text).is_ok();
            // Only duplicate keys are refused by one and not the other.
            prop_assert!(ours == theirs || (!ours && text.matches('"').count() >= 4), "{}", text);
        }
    }
}
