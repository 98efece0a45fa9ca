//! Every text of a document with the way to it, without a copy of the document in between.

use std::borrow::Cow;
use std::fmt::{self, Display};

use serde::ser::{self, Impossible, Serialize};

/// A step on the way to a text. An index is written out only where something is found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Step {
    /// The key of an object, and how many keys that has.
    Key(Cow<'static, str>, usize),
    /// The place in a list.
    Index(usize),
}

impl Step {
    /// The key; none for a place in a list.
    pub(crate) fn key(&self) -> Option<&str> {
        match self {
            Self::Key(key, _) => Some(key),
            Self::Index(_) => None,
        }
    }
}

impl Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Key(key, _) => f.write_str(key),
            Self::Index(index) => write!(f, "{index}"),
        }
    }
}

/// Shows every text of a document, and the way to it.
pub(crate) fn visit_texts(document: &impl Serialize, visit: impl FnMut(&[Step], &str)) {
    let mut texts = Texts { way: Vec::with_capacity(16), visit };
    // A walk refuses nothing.
    let _ = document.serialize(&mut texts);
}

struct Texts<V> {
    way: Vec<Step>,
    visit: V,
}

/// What cannot happen.
#[derive(Debug)]
struct Never;

impl Display for Never {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a document was refused")
    }
}

impl std::error::Error for Never {}

impl ser::Error for Never {
    fn custom<T: Display>(_: T) -> Self {
        Self
    }
}

impl<V: FnMut(&[Step], &str)> Texts<V> {
    fn inside<T: Serialize + ?Sized>(&mut self, step: Step, value: &T) -> Result<(), Never> {
        self.way.push(step);
        let walked = value.serialize(&mut *self);
        self.way.pop();
        walked
    }
}

macro_rules! silent {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, _: $type) -> Result<(), Never> {
            Ok(())
        })*
    };
}

impl<'t, V: FnMut(&[Step], &str)> ser::Serializer for &'t mut Texts<V> {
    type Ok = ();
    type Error = Never;
    type SerializeSeq = Inside<'t, V>;
    type SerializeTuple = Inside<'t, V>;
    type SerializeTupleStruct = Impossible<(), Never>;
    type SerializeTupleVariant = Impossible<(), Never>;
    type SerializeMap = Inside<'t, V>;
    type SerializeStruct = Inside<'t, V>;
    type SerializeStructVariant = Impossible<(), Never>;

    silent!(serialize_bool: bool, serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_u8: u8,
        serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_f32: f32, serialize_f64: f64, serialize_char: char,
        serialize_bytes: &[u8], serialize_unit_struct: &'static str);

    fn serialize_str(self, value: &str) -> Result<(), Never> {
        (self.visit)(&self.way, value);
        Ok(())
    }

    fn serialize_none(self) -> Result<(), Never> {
        Ok(())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Never> {
        Ok(())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Never> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Never> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Never> {
        self.inside(Step::Key(Cow::Borrowed(variant), 1), value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Inside<'t, V>, Never> {
        Ok(Inside { texts: self, count: 0, key: None })
    }

    fn serialize_tuple(self, _: usize) -> Result<Inside<'t, V>, Never> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Impossible<(), Never>, Never> {
        Err(Never)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Never>, Never> {
        Err(Never)
    }

    fn serialize_map(self, length: Option<usize>) -> Result<Inside<'t, V>, Never> {
        Ok(Inside { texts: self, count: length.unwrap_or_default(), key: None })
    }

    fn serialize_struct(self, _: &'static str, length: usize) -> Result<Inside<'t, V>, Never> {
        self.serialize_map(Some(length))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Never>, Never> {
        Err(Never)
    }
}

/// Inside a list (`count` elements so far) or an object (of `count` keys).
struct Inside<'t, V> {
    texts: &'t mut Texts<V>,
    count: usize,
    key: Option<String>,
}

impl<V: FnMut(&[Step], &str)> Inside<'_, V> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        let index = self.count;
        self.count += 1;
        self.texts.inside(Step::Index(index), value)
    }
}

impl<V: FnMut(&[Step], &str)> ser::SerializeSeq for Inside<'_, V> {
    type Ok = ();
    type Error = Never;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.element(value)
    }

    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

impl<V: FnMut(&[Step], &str)> ser::SerializeTuple for Inside<'_, V> {
    type Ok = ();
    type Error = Never;

    fn serialize_element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        self.element(value)
    }

    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

impl<V: FnMut(&[Step], &str)> ser::SerializeMap for Inside<'_, V> {
    type Ok = ();
    type Error = Never;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Never> {
        let mut text = String::new();
        visit_texts(&Transparent(key), |_, found| found.clone_into(&mut text));
        self.key = Some(text);
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Never> {
        let key = self.key.take().unwrap_or_default();
        self.texts.inside(Step::Key(Cow::Owned(key), self.count), value)
    }

    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

impl<V: FnMut(&[Step], &str)> ser::SerializeStruct for Inside<'_, V> {
    type Ok = ();
    type Error = Never;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Never> {
        self.texts.inside(Step::Key(Cow::Borrowed(key), self.count), value)
    }

    fn end(self) -> Result<(), Never> {
        Ok(())
    }
}

/// Something of unknown size, to be walked through by reference.
struct Transparent<'a, T: ?Sized>(&'a T);

impl<T: Serialize + ?Sized> Serialize for Transparent<'_, T> {
    fn serialize<S: ser::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    /// The same walk over a tree.
    fn walk(value: &serde_json::Value, way: &str, found: &mut Vec<(String, String)>) {
        match value {
            serde_json::Value::String(text) => found.push((way.to_owned(), text.clone())),
            serde_json::Value::Array(list) => {
                list.iter().enumerate().for_each(|(index, item)| walk(item, &format!("{way}/{index}"), found));
            }
            serde_json::Value::Object(object) => {
                object.iter().for_each(|(key, item)| walk(item, &format!("{way}/{key}"), found));
            }
            _ => {}
        }
    }

    #[test]
    fn it_sees_what_a_tree_has() {
        let fleet: crate::fleet::Fleet = serde_json::from_value(json!({
            "name": "x", "people": {"a": {"groups": ["b", "c"]}},
            "hosts": {"h": {"os": "debian-12", "addresses": {"lan": ["10.0.0.1"]}, "secrets": {"key": {"file": {"path": "/k"}}}}},
            "services": {"s": {"host": "h", "run": {"nixos": {"module": "services.x", "options": {"a": {"b": [1, "t", null]}}}}, "env": {"A": "1", "B": {"secret": "p"}}}},
            "secrets": {"p": {"mode": "0400"}}
        }))
        .unwrap();
        let mut expected = Vec::new();
        walk(&serde_json::to_value(&fleet).unwrap(), "", &mut expected);
        let mut found = Vec::new();
        visit_texts(&fleet, |way, text| {
            found.push((way.iter().map(|step| format!("/{step}")).collect::<Vec<_>>().concat(), text.to_owned()));
        });
        expected.sort();
        found.sort();
        assert_eq!(found, expected);
        let mut lengths = Vec::new();
        visit_texts(&json!({"a": {"secret": "x"}, "b": {"secret": "y", "c": 1}}), |way, text| {
            lengths.push((text.to_owned(), way[1].clone()));
        });
        let key = |length| Step::Key("secret".into(), length);
        assert_eq!(lengths, [("x".to_owned(), key(1)), ("y".to_owned(), key(2))]);
    }
}
