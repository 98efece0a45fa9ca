//! A JSON value as it was read, and the reading of it as a type: what does not fit is told with its place.
//!
//! It takes a third of the memory of serde_json's own tree (an object is a list of exactly its entries), and it knows where it is
//! when something does not fit, which otherwise takes a second layer around the whole reading of every type.

use std::collections::HashSet;
use std::fmt;

use contract::Pointer;
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer, MapAccess,
    SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::{Number, Value};

use crate::json::{inside, twice};

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

/// From how many keys on they are hashed to find one that stands twice.
const MANY: usize = 24;

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
    pub(crate) fn read<T: de::DeserializeOwned>(self) -> Result<T, Misfit> {
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

/// What does not fit, and where.
#[derive(Debug)]
pub(crate) struct Misfit(Box<Inner>);

#[derive(Debug)]
struct Inner {
    /// The keys that lead there, the innermost first.
    path: Vec<String>,
    error: serde_json::Error,
}

impl Misfit {
    /// The place of what does not fit.
    pub(crate) fn pointer(&self) -> Pointer {
        self.0.path.iter().rev().fold(Pointer::root(), |place, key| place.join(key))
    }

    #[cold]
    fn below(mut self, key: impl Into<String>) -> Self {
        self.0.path.push(key.into());
        self
    }
}

impl From<serde_json::Error> for Misfit {
    #[cold]
    fn from(error: serde_json::Error) -> Self {
        Self(Box::new(Inner { path: Vec::new(), error }))
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.error.fmt(f)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        serde_json::Error::custom(message).into()
    }

    // serde_json knows what JSON calls things: `null` and not "unit value".
    #[cold]
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        serde_json::Error::invalid_type(found, expected).into()
    }

    #[cold]
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        serde_json::Error::invalid_value(found, expected).into()
    }
}

impl<'de> Deserializer<'de> for Tree {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self {
            Tree::Null => visitor.visit_unit(),
            Tree::Bool(value) => visitor.visit_bool(value),
            Tree::Number(number) => Ok(number.deserialize_any(visitor)?),
            Tree::Text(text) => visitor.visit_string(text.into()),
            Tree::List(items) => {
                let length = items.len();
                let mut items = Items { rest: items.into_vec().into_iter(), at: 0 };
                let value = visitor.visit_seq(&mut items)?;
                match items.rest.len() {
                    0 => Ok(value),
                    _ => Err(Misfit::invalid_length(length, &"fewer elements in array")),
                }
            }
            Tree::Object(entries) => {
                let length = entries.len();
                let mut entries = Entries { rest: entries.into_vec().into_iter(), value: None };
                let value = visitor.visit_map(&mut entries)?;
                match entries.rest.len() {
                    0 => Ok(value),
                    _ => Err(Misfit::invalid_length(length, &"fewer elements in map")),
                }
            }
        }
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self {
            Tree::Null => visitor.visit_none(),
            value => visitor.visit_some(value),
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let found = match self {
            Tree::Text(variant) => return visitor.visit_enum(Variant { variant, value: None }),
            Tree::Object(entries) => {
                let mut entries = entries.into_vec().into_iter();
                match (entries.next(), entries.next()) {
                    (Some((variant, value)), None) => {
                        return visitor.visit_enum(Variant { variant, value: Some(value) });
                    }
                    _ => return Err(Misfit::invalid_value(Unexpected::Map, &"map with a single key")),
                }
            }
            Tree::Null => Unexpected::Unit,
            Tree::Bool(value) => Unexpected::Bool(value),
            Tree::Number(_) => Unexpected::Other("number"),
            Tree::List(_) => Unexpected::Seq,
        };
        Err(Misfit::invalid_type(found, &"string or map"))
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_unit()
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier
    }
}

impl<'de> IntoDeserializer<'de, Misfit> for Tree {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

struct Items {
    rest: std::vec::IntoIter<Tree>,
    at: usize,
}

impl<'de> SeqAccess<'de> for Items {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        let Some(item) = self.rest.next() else { return Ok(None) };
        let at = self.at;
        self.at += 1;
        seed.deserialize(item).map(Some).map_err(|error| error.below(at.to_string()))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

struct Entries {
    rest: std::vec::IntoIter<Entry>,
    value: Option<Entry>,
}

impl<'de> MapAccess<'de> for Entries {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        let Some((key, value)) = self.rest.next() else { return Ok(None) };
        let read = seed.deserialize(Key(&key));
        let read = read.map_err(|error| error.below(&*key))?;
        self.value = Some((key, value));
        Ok(Some(read))
    }

    fn next_value_seed<V: DeserializeSeed<'de>>(&mut self, seed: V) -> Result<V::Value, Misfit> {
        match self.value.take() {
            Some((key, value)) => seed.deserialize(value).map_err(|error| error.below(key)),
            None => Err(Misfit::custom("a value is asked for before its key")),
        }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.rest.len())
    }
}

/// The key of an object.
struct Key<'k>(&'k str);

impl<'de> Deserializer<'de> for Key<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_str(self.0)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_enum(Variant { variant: self.0.into(), value: None })
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map struct identifier ignored_any
    }
}

/// One of the words of an enum, with what it holds.
struct Variant {
    variant: Box<str>,
    value: Option<Tree>,
}

impl<'de> EnumAccess<'de> for Variant {
    type Error = Misfit;
    type Variant = Self;

    fn variant_seed<V: DeserializeSeed<'de>>(self, seed: V) -> Result<(V::Value, Self), Misfit> {
        let read = seed.deserialize(Key(&self.variant))?;
        Ok((read, self))
    }
}

impl Variant {
    fn within<T>(self, read: impl FnOnce(Tree) -> Result<T, Misfit>, expected: &str) -> Result<T, Misfit> {
        match self.value {
            Some(value) => read(value).map_err(|error| error.below(self.variant)),
            None => Err(Misfit::invalid_type(Unexpected::UnitVariant, &expected)),
        }
    }
}

impl<'de> VariantAccess<'de> for Variant {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        match self.value {
            None => Ok(()),
            Some(value) => <()>::deserialize(value).map_err(|error| error.below(self.variant)),
        }
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, Misfit> {
        self.within(|value| seed.deserialize(value), "newtype variant")
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, Misfit> {
        self.within(
            |value| match value {
                Tree::List(_) => value.deserialize_any(visitor),
                _ => Err(Misfit::invalid_type(Unexpected::NewtypeVariant, &"tuple variant")),
            },
            "tuple variant",
        )
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, Misfit> {
        self.within(
            |value| match value {
                Tree::Object(_) => value.deserialize_any(visitor),
                _ => Err(Misfit::invalid_type(Unexpected::NewtypeVariant, &"struct variant")),
            },
            "struct variant",
        )
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::json::parse_trees;
    use crate::json::tests::any_json;

    #[derive(Debug, PartialEq, serde::Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Odd {
        list: Vec<Kind>,
        #[serde(default)]
        map: BTreeMap<Kind, Option<f64>>,
        #[serde(default)]
        two: Option<(i8, Name)>,
        #[serde(default)]
        any: Value,
    }

    #[derive(Debug, PartialEq, Eq, PartialOrd, Ord, serde::Deserialize)]
    #[serde(rename_all = "kebab-case")]
    enum Kind {
        Plain,
        With(String),
        Two(bool, Vec<u8>),
        Named { port: u16 },
    }

    #[derive(Debug, PartialEq, serde::Deserialize)]
    struct Name(String);

    fn read(value: &Value) -> Result<Odd, (String, String)> {
        let tree = parse_trees(&value.to_string()).unwrap().remove(0).1;
        tree.read().map_err(|misfit: Misfit| (misfit.pointer().to_string(), misfit.to_string()))
    }

    #[test]
    fn types_are_read_as_serde_json_reads_them() {
        let value = json!({
            "list": ["plain", {"with": "é\"\n"}, {"two": [true, [1, 255]]}, {"named": {"port": 1}}, {"plain": null}],
            "map": {"plain": 1, "with": null}, "two": [-1, "x"], "any": {"b": [1.5, {}], "a": null}
        });
        let odd = read(&value);
        assert_eq!(odd.is_err(), serde_json::from_value::<Odd>(value.clone()).is_err());
        let mut value = value;
        value["map"] = json!({"plain": 1});
        assert_eq!(read(&value).unwrap(), serde_json::from_value(value).unwrap());
    }

    #[test]
    fn what_does_not_fit_has_its_place() {
        for (value, place, text) in [
            (json!({"list": ["plain", 5]}), "/list/1", "invalid type: number, expected string or map"),
            (json!({"list": ["plan"]}), "/list/0", "unknown variant `plan`"),
            (json!({"list": [{"plan": 1}]}), "/list/0", "unknown variant `plan`"),
            (json!({"list": [{"with": 1, "two": 2}]}), "/list/0", "map with a single key"),
            (json!({"list": ["with"]}), "/list/0", "expected newtype variant"),
            (json!({"list": [{"with": null}]}), "/list/0/with", "invalid type: null, expected a string"),
            (json!({"list": [{"two": [true, [1, 256]]}]}), "/list/0/two/1/1", "expected u8"),
            (json!({"list": [{"two": [true]}]}), "/list/0/two", "invalid length 1"),
            (json!({"list": [{"two": [true, [], 3]}]}), "/list/0/two", "invalid length 3"),
            (json!({"list": [{"named": {"port": "x"}}]}), "/list/0/named/port", "expected u16"),
            (json!({"list": [{"named": {}}]}), "/list/0/named", "missing field `port`"),
            (json!({"list": [{"plain": 1}]}), "/list/0/plain", "expected unit"),
            (json!({"list": [], "map": {"plan": 1}}), "/map/plan", "unknown variant `plan`"),
            (json!({"list": [], "map": {"plain": "x"}}), "/map/plain", "expected f64"),
            (json!({"list": [], "two": [1, 2]}), "/two/1", "invalid type: integer `2`, expected a string"),
            (json!({"list": [], "a/b~": 1}), "/a~1b~0", "unknown field `a/b~`"),
            (json!({}), "", "missing field `list`"),
            (json!(3), "", "invalid type: integer `3`, expected struct Odd"),
        ] {
            let (at, said) = read(&value).unwrap_err();
            assert_eq!(at, place, "{value}: {said}");
            assert!(said.contains(text), "{value}: {said}");
        }
    }

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

    proptest! {
        #[test]
        fn it_holds_what_was_written(value in any_json()) {
            let tree = parse_trees(&value.to_string()).unwrap().remove(0).1;
            prop_assert_eq!(Value::from(tree.clone()), value.clone());
            prop_assert_eq!(Value::from(Tree::from(value.clone())), value.clone());
            prop_assert_eq!(tree.read::<Value>().unwrap(), value);
        }

        #[test]
        fn what_fits_is_what_fits_serde_json(value in any_json(), key in "list|map|two|any") {
            let value = json!({"list": [], key: value});
            let ours = read(&value).ok();
            prop_assert_eq!(ours, serde_json::from_value::<Odd>(value).ok());
        }
    }
}
