//! The reading of a text as a tree, in which no object holds a key twice.

use std::collections::HashSet;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::Number;

use super::{Entry, Tree};
use crate::json::{inside, twice};

/// From how many keys on they are hashed to find one that stands twice.
const MANY: usize = 24;

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(TreeVisitor)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Tree;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Tree, E> {
        Ok(Tree::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Tree, E> {
        Ok(Tree::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Tree, E> {
        Ok(Tree::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Tree, E> {
        Ok(Number::from_f64(value).map_or(Tree::Null, Tree::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Tree, E> {
        Ok(Tree::Text(value.into()))
    }

    fn visit_string<E>(self, value: String) -> Result<Tree, E> {
        Ok(Tree::Text(value.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Tree, A::Error> {
        let mut items = Vec::new();
        loop {
            match seq.next_element::<Tree>() {
                Ok(Some(item)) => items.push(item),
                Ok(None) => return Ok(Tree::List(items.into())),
                Err(error) => return Err(inside(&items.len().to_string(), error)),
            }
        }
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut entries: Vec<Entry> = Vec::new();
        let mut known: HashSet<Box<str>> = HashSet::new();
        while let Some(key) = map.next_key::<Box<str>>()? {
            if entries.len() == MANY {
                known.extend(entries.iter().map(|(key, _)| key.clone()));
            }
            let again = if entries.len() < MANY {
                entries.iter().any(|(known, _)| *known == key)
            } else {
                !known.insert(key.clone())
            };
            if again {
                return Err(twice(&key));
            }
            match map.next_value::<Tree>() {
                Ok(value) => entries.push((key, value)),
                Err(error) => return Err(inside(&key, error)),
            }
        }
        Ok(Tree::Object(entries.into()))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::MANY;
    use crate::json::parse_trees;

    #[test]
    fn a_key_that_stands_twice_is_found_among_many() {
        for count in [1, MANY - 1, MANY, MANY + 1, 3 * MANY] {
            for again in [0, count / 2, count - 1] {
                let keys: Vec<String> = (0..count).map(|n| format!("\"k{n}\":{n}")).collect();
                let text = format!("{{{},\"k{again}\":[]}}", keys.join(","));
                let error = parse_trees(&text).unwrap_err();
                assert_eq!(error.pointer.unwrap().to_string(), format!("/k{again}"));
                assert!(parse_trees(&format!("{{{}}}", keys.join(","))).is_ok());
            }
        }
    }
}
