//! Types that people may also write in a short form: a port as a number, a host as a string.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// A type with a full form (an object) and short ones. Unlike an untagged enum it keeps the place of an error.
pub(crate) trait Shorthand: Sized {
    /// What may stand here, for messages.
    const EXPECTING: &'static str;
    /// The type of the object form.
    type Full: for<'de> Deserialize<'de>;

    /// From the object form.
    fn from_full(full: Self::Full) -> Result<Self, String>;

    /// From a string.
    fn from_text(_: &str) -> Result<Self, String> {
        Err(format!("expected {}", Self::EXPECTING))
    }

    /// From a whole number.
    fn from_number(_: u64) -> Result<Self, String> {
        Err(format!("expected {}", Self::EXPECTING))
    }

    /// From `true` or `false`.
    fn from_bool(_: bool) -> Result<Self, String> {
        Err(format!("expected {}", Self::EXPECTING))
    }

    /// From a list of strings.
    fn from_list(_: Vec<String>) -> Result<Self, String> {
        Err(format!("expected {}", Self::EXPECTING))
    }
}

/// Reads any of the forms of `T`.
pub(crate) fn read<'de, T: Shorthand, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    deserializer.deserialize_any(AnyForm(PhantomData))
}

struct AnyForm<T>(PhantomData<T>);

impl<'de, T: Shorthand> Visitor<'de> for AnyForm<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(T::EXPECTING)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        T::from_text(text).map_err(E::custom)
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<T, E> {
        T::from_number(number).map_err(E::custom)
    }

    fn visit_bool<E: de::Error>(self, value: bool) -> Result<T, E> {
        T::from_bool(value).map_err(E::custom)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<T, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        T::from_list(items).map_err(de::Error::custom)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        let full = T::Full::deserialize(de::value::MapAccessDeserializer::new(map))?;
        T::from_full(full).map_err(de::Error::custom)
    }
}
