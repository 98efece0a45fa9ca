//! The Nix language (nix.dev/manual/nix/latest/language): written from a tree of values.
//!
//! Two forms of strings exist. The indented one (`''`) reads well but has rules of its own about white space and quotes, so it
//! is taken only where none of them bites; every other text goes into the quoted form.

mod json;
mod options;
mod write;

use std::collections::BTreeMap;

use serde_json::Value;

use super::Written;

pub use json::is_balanced;
pub use options::Options;
pub use write::{attribute, write};

const NIX: &str = "the Nix language";

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nix {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A text, with expressions inside it.
    Text(Vec<Part>),
    /// A file beside the one that is written, such as `./disk.nix` or `../../secrets/web1.yaml`.
    Path(String),
    /// An expression of ours.
    Expression(String),
    /// A function, applied to values.
    Call(&'static str, Vec<Nix>),
    /// A list.
    List(Vec<Nix>),
    /// An attribute set.
    Set(BTreeMap<String, Nix>),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it is.
    Plain(String),
    /// The value of an expression of ours.
    Expression(String),
}

impl Nix {
    /// A text as it is.
    pub fn text(text: impl Into<String>) -> Self {
        Nix::Text(vec![Part::Plain(text.into())])
    }

    /// A whole number.
    pub fn number(number: impl Into<u64>) -> Self {
        Nix::Number(number.into().into())
    }

    /// An expression of ours, such as `pkgs.hello`.
    pub fn expression(text: impl Into<String>) -> Self {
        Nix::Expression(text.into())
    }

    /// A list of texts.
    pub fn texts<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Self {
        Nix::List(texts.into_iter().map(|text| Nix::text(text.as_ref())).collect())
    }

    /// An attribute set.
    pub fn set<K: Into<String>>(keys: impl IntoIterator<Item = (K, Nix)>) -> Self {
        Nix::Set(keys.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// A package of nixpkgs by its attribute path.
    pub fn package(path: &str) -> Self {
        let mut text = String::from("pkgs");
        for part in path.split('.') {
            text.push('.');
            text.push_str(&attribute(part));
        }
        Nix::Expression(text)
    }

    /// What JSON says, in Nix. A key `$nix` alone in an object holds an expression: `{"$nix": "pkgs.hello"}`.
    ///
    /// # Errors
    /// An expression whose brackets or quotes do not balance, and what Nix has no way to write.
    pub fn from_json(value: &Value) -> Written<Self> {
        json::from_json(value, 0)
    }

    /// Whether it is an attribute set without attributes, or a list without elements.
    pub fn is_empty(&self) -> bool {
        match self {
            Nix::List(list) => list.is_empty(),
            Nix::Set(set) => set.is_empty(),
            _ => false,
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sets_are_written_as_people_write_them() {
        let value =
            Nix::from_json(&json!({"services": {"openssh": {"enable": true}}, "a b": [1, -2, "x${y}"], "n": 1.5e300}))
                .unwrap();
        assert_eq!(
            write(&value).unwrap(),
            "{\n  \"a b\" = [ 1 (-2) \"x\\${y}\" ];\n  n = 1.5e300;\n  services.openssh.enable = true;\n}\n"
        );
    }

    #[test]
    fn lines_are_indented_where_that_is_safe() {
        assert_eq!(write(&Nix::text("a ${b}\n  c\n")).unwrap(), "''\n  a ''${b}\n    c\n''\n");
        for text in ["  all indented\n", "no end", "it's ''quoted''\n", "a\r\n", "'${x}\n", "$${x}\n", " \nx\n"] {
            assert!(write(&Nix::text(text)).unwrap().starts_with('"'), "{text:?}");
        }
    }

    #[test]
    fn expressions_of_the_user_balance() {
        for good in ["pkgs.hello", "{ a = ''}''; }", "x: \"}\" + x", "[ 1 /* ] */ ]", "''a '''b''"] {
            assert!(is_balanced(good), "{good}");
        }
        for bad in ["", "}", "{ a = 1; ", "\"", "a # b", "''", "/* x", "); evil = (1"] {
            assert!(!is_balanced(bad), "{bad}");
        }
    }
}
