//! The reading of a tree as a type.

use serde::de::{
    Deserialize, DeserializeSeed, Deserializer, EnumAccess, Error as _, MapAccess, SeqAccess, Unexpected,
    VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::{Entry, Misfit, Tree};

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
    use serde_json::{Value, json};

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

    proptest! {
        #[test]
        fn what_fits_is_what_fits_serde_json(value in any_json(), key in "list|map|two|any") {
            let value = json!({"list": [], key: value});
            let ours = read(&value).ok();
            prop_assert_eq!(ours, serde_json::from_value::<Odd>(value).ok());
        }
    }
}
