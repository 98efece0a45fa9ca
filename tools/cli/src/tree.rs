//! A JSON value as it was read, and the reading of it as a type: what does not fit is told with its place.
//!
//! It takes a third of the memory of serde_json's own tree (an object is a list of exactly its entries), and it knows where it is
//! when something does not fit, which otherwise takes a second layer around the whole reading of every type.

mod misfit;
mod parse;
mod read;

use serde::de::DeserializeOwned;
use serde_json::{Number, Value};

pub(crate) use misfit::Misfit;

/// A JSON value in which no object holds a key twice.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Tree {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(Number),
    /// A string.
    Text(Box<str>),
    /// An array.
    List(Box<[Tree]>),
    /// An object, its keys in the order in which they were written.
    Object(Box<[Entry]>),
}

/// A key of an object and what stands there.
pub(crate) type Entry = (Box<str>, Tree);

impl Tree {
    /// Takes the value of a key out of an object.
    pub(crate) fn remove(&mut self, wanted: &str) -> Option<Tree> {
        let Tree::Object(entries) = self else { return None };
        let place = entries.iter().position(|(key, _)| &**key == wanted)?;
        let mut all = std::mem::take(entries).into_vec();
        let (_, value) = all.remove(place);
        *entries = all.into_boxed_slice();
        Some(value)
    }

    /// Takes out what all readers ignore: `x-*` keys and the comment `//` everywhere, `$schema` at the root.
    pub(crate) fn strip_extensions(&mut self) {
        self.remove("$schema");
        self.strip_comments();
    }

    /// The same below the root.
    pub(crate) fn strip_comments(&mut self) {
        match self {
            Tree::Object(entries) => {
                if entries.iter().any(|(key, _)| is_ignored(key)) {
                    let mut all = std::mem::take(entries).into_vec();
                    all.retain(|(key, _)| !is_ignored(key));
                    *entries = all.into_boxed_slice();
                }
                entries.iter_mut().for_each(|(_, value)| value.strip_comments());
            }
            Tree::List(items) => items.iter_mut().for_each(Tree::strip_comments),
            _ => {}
        }
    }

    /// Reads it as a type.
    ///
    /// # Errors
    /// The first thing that does not fit, with its place.
    pub(crate) fn read<T: DeserializeOwned>(self) -> Result<T, Misfit> {
        T::deserialize(self)
    }
}

/// Whether all readers ignore what stands at a key.
fn is_ignored(key: &str) -> bool {
    key == "//" || key.starts_with("x-")
}

impl From<Tree> for Value {
    fn from(tree: Tree) -> Self {
        match tree {
            Tree::Null => Value::Null,
            Tree::Bool(value) => Value::Bool(value),
            Tree::Number(number) => Value::Number(number),
            Tree::Text(text) => Value::String(text.into()),
            Tree::List(items) => items.into_vec().into_iter().map(Value::from).collect(),
            Tree::Object(entries) => {
                let entries = entries.into_vec().into_iter();
                entries.map(|(key, value)| (String::from(key), Value::from(value))).collect()
            }
        }
    }
}

impl From<Value> for Tree {
    fn from(value: Value) -> Self {
        match value {
            Value::Null => Tree::Null,
            Value::Bool(value) => Tree::Bool(value),
            Value::Number(number) => Tree::Number(number),
            Value::String(text) => Tree::Text(text.into()),
            Value::Array(items) => Tree::List(items.into_iter().map(Tree::from).collect()),
            Value::Object(entries) => {
                Tree::Object(entries.into_iter().map(|(key, value)| (key.into(), Tree::from(value))).collect())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;
    use crate::json::parse_trees;
    use crate::json::tests::any_json;

    proptest! {
        #[test]
        fn it_holds_what_was_written(value in any_json()) {
            let tree = parse_trees(&value.to_string()).unwrap().remove(0).1;
            prop_assert_eq!(Value::from(tree.clone()), value.clone());
            prop_assert_eq!(Value::from(Tree::from(value.clone())), value.clone());
            prop_assert_eq!(tree.read::<Value>().unwrap(), value);
        }
    }
}
