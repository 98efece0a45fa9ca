//! Writes canonical JSON straight from what is serialized, without a tree in between: entries of an object are put in order when it
//! ends.

mod key;
mod text;

use std::borrow::Cow;
use std::fmt::Display;

use contract::SchemaId;
use serde::ser::{self, Error as _, Impossible, Serialize};
use serde_json::Error;

use key::Key;
pub(crate) use text::push_text;

/// The bytes of a document: sorted keys, `schema` first; indented, or on one line for JSON Lines. Ends with a newline.
///
/// # Errors
/// A value that JSON cannot hold, such as a map whose keys are no texts.
pub fn canonical<T: Serialize + ?Sized>(schema: SchemaId, value: &T, one_line: bool) -> Result<String, Error> {
    let mut writer = Canonical::new(String::new(), one_line, 0, Some(schema));
    value.serialize(&mut writer)?;
    writer.text.push('\n');
    Ok(writer.text)
}

/// A value inside a document, as it is written `depth` levels deep.
///
/// # Errors
/// As [`canonical`].
pub(crate) fn write_inner<T: Serialize + ?Sized>(
    text: &mut String,
    value: &T,
    one_line: bool,
    depth: usize,
) -> Result<(), Error> {
    let mut writer = Canonical::new(std::mem::take(text), one_line, depth, None);
    let written = value.serialize(&mut writer);
    *text = writer.text;
    written
}

/// Begins a line, where there are lines.
#[inline]
pub(crate) fn push_line(out: &mut String, one_line: bool, depth: usize) {
    if !one_line {
        out.push('\n');
        for _ in 0..depth {
            out.push_str("  ");
        }
    }
}

struct Canonical {
    text: String,
    one_line: bool,
    depth: usize,
    /// What the outermost object begins with.
    schema: Option<SchemaId>,
    /// The entries so far of all objects that are open, those of the innermost last. One list for all: there are as many objects as
    /// a large document has lines.
    entries: Vec<Entry>,
    /// Where entries are put in order.
    spare: String,
}

/// An entry of an object: its key, and where it stands in the text.
struct Entry {
    key: Cow<'static, str>,
    start: usize,
    end: usize,
}

impl Canonical {
    fn new(text: String, one_line: bool, depth: usize, schema: Option<SchemaId>) -> Self {
        Self { text, one_line, depth, schema, entries: Vec::new(), spare: String::new() }
    }

    #[inline]
    fn line(&mut self) {
        push_line(&mut self.text, self.one_line, self.depth);
    }

    fn number(&mut self, number: impl Display) {
        use std::fmt::Write;
        // Writing to a string does not fail.
        let _ = write!(self.text, "{number}");
    }

    #[inline]
    fn key(&mut self, key: &str) {
        self.line();
        push_text(&mut self.text, key);
        self.text.push_str(if self.one_line { ":" } else { ": " });
    }

    fn open(&mut self, bracket: char) {
        self.text.push(bracket);
        self.depth += 1;
    }

    fn close(&mut self, bracket: char, empty: bool) {
        self.depth -= 1;
        if !empty {
            // The comma after the last one.
            self.text.pop();
            self.line();
        }
        self.text.push(bracket);
    }

    fn object(&mut self) -> Object<'_> {
        let schema = self.schema.take().filter(|_| self.depth == 0);
        self.open('{');
        if let Some(schema) = schema {
            self.key("schema");
            push_text(&mut self.text, schema.as_str());
            self.text.push(',');
        }
        let (start, first) = (self.text.len(), self.entries.len());
        Object { writer: self, start, first, key: None, sorted: true, headed: schema.is_some() }
    }

    fn list(&mut self) -> List<'_> {
        self.schema = None;
        self.open('[');
        List { writer: self, empty: true, variant: false }
    }

    /// `{"VARIANT": ` of an externally tagged variant.
    fn variant(&mut self, variant: &str) {
        self.schema = None;
        self.open('{');
        self.key(variant);
    }

    fn end_variant(&mut self) {
        self.text.push(',');
        self.close('}', false);
    }
}

/// An object whose entries are written as they come.
struct Object<'w> {
    writer: &'w mut Canonical,
    start: usize,
    /// Where its entries begin among those of all open objects.
    first: usize,
    key: Option<String>,
    sorted: bool,
    headed: bool,
}

impl Object<'_> {
    fn entry<T: Serialize + ?Sized>(&mut self, key: Cow<'static, str>, value: &T) -> Result<(), Error> {
        let writer = &mut *self.writer;
        self.sorted &= writer.entries[self.first..].last().is_none_or(|last| last.key < key);
        let start = writer.text.len();
        writer.key(&key);
        let place = writer.entries.len();
        writer.entries.push(Entry { key, start, end: start });
        value.serialize(&mut *writer)?;
        writer.text.push(',');
        writer.entries[place].end = writer.text.len();
        Ok(())
    }

    #[inline]
    fn finish(self) {
        let writer = self.writer;
        let entries = &mut writer.entries[self.first..];
        let empty = entries.is_empty() && !self.headed;
        if !self.sorted {
            entries.sort_by(|a, b| a.key.cmp(&b.key));
            // Those that stand where they belong stay there.
            let mut end = self.start;
            writer.spare.clear();
            for entry in entries {
                if writer.spare.is_empty() && entry.start == end {
                    end = entry.end;
                } else {
                    writer.spare.push_str(&writer.text[entry.start..entry.end]);
                }
            }
            writer.text.truncate(end);
            writer.text.push_str(&writer.spare);
        }
        writer.entries.truncate(self.first);
        writer.close('}', empty);
    }
}

struct List<'w> {
    writer: &'w mut Canonical,
    empty: bool,
    /// It stands inside an object of one variant.
    variant: bool,
}

impl List<'_> {
    fn element<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        self.empty = false;
        self.writer.line();
        value.serialize(&mut *self.writer)?;
        self.writer.text.push(',');
        Ok(())
    }

    fn finish(self) {
        self.writer.close(']', self.empty);
        if self.variant {
            self.writer.end_variant();
        }
    }
}

impl<'w> ser::Serializer for &'w mut Canonical {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = List<'w>;
    type SerializeTuple = List<'w>;
    type SerializeTupleStruct = List<'w>;
    type SerializeTupleVariant = List<'w>;
    type SerializeMap = Object<'w>;
    type SerializeStruct = Object<'w>;
    type SerializeStructVariant = Impossible<(), Error>;

    fn serialize_bool(self, value: bool) -> Result<(), Error> {
        self.text.push_str(if value { "true" } else { "false" });
        Ok(())
    }

    fn serialize_i8(self, value: i8) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i16(self, value: i16) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i32(self, value: i32) -> Result<(), Error> {
        self.serialize_i64(value.into())
    }

    fn serialize_i64(self, value: i64) -> Result<(), Error> {
        self.number(value);
        Ok(())
    }

    fn serialize_u8(self, value: u8) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u16(self, value: u16) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u32(self, value: u32) -> Result<(), Error> {
        self.serialize_u64(value.into())
    }

    fn serialize_u64(self, value: u64) -> Result<(), Error> {
        self.number(value);
        Ok(())
    }

    fn serialize_f32(self, value: f32) -> Result<(), Error> {
        self.text.push_str(&serde_json::to_string(&value)?);
        Ok(())
    }

    fn serialize_f64(self, value: f64) -> Result<(), Error> {
        self.text.push_str(&serde_json::to_string(&value)?);
        Ok(())
    }

    fn serialize_char(self, value: char) -> Result<(), Error> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    fn serialize_str(self, value: &str) -> Result<(), Error> {
        push_text(&mut self.text, value);
        Ok(())
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Error> {
        self.collect_seq(value)
    }

    fn serialize_none(self) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Error> {
        self.text.push_str("null");
        Ok(())
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<(), Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Error> {
        self.variant(variant);
        value.serialize(&mut *self)?;
        self.end_variant();
        Ok(())
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<List<'w>, Error> {
        Ok(self.list())
    }

    fn serialize_tuple(self, _: usize) -> Result<List<'w>, Error> {
        Ok(self.list())
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<List<'w>, Error> {
        Ok(self.list())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<List<'w>, Error> {
        self.variant(variant);
        Ok(List { variant: true, ..self.list() })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Object<'w>, Error> {
        Ok(self.object())
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Object<'w>, Error> {
        Ok(self.object())
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Impossible<(), Error>, Error> {
        Err(Error::custom(format_args!("the variant \"{variant}\" has named fields, which no document has")))
    }
}

/// All kinds of lists are written alike.
macro_rules! lists {
    ($($kind:ident: $method:ident),*) => {
        $(impl ser::$kind for List<'_> {
            type Ok = ();
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.element(value)
            }

            fn end(self) -> Result<(), Error> {
                self.finish();
                Ok(())
            }
        })*
    };
}

lists!(SerializeSeq: serialize_element, SerializeTuple: serialize_element, SerializeTupleStruct: serialize_field, SerializeTupleVariant: serialize_field);

impl ser::SerializeMap for Object<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        // Whatever a map's key is, JSON has a text there; serde_json knows which of them have one.
        let mut holder = Key(None);
        key.serialize(&mut holder)?;
        self.key = holder.0;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let key = self.key.take().unwrap_or_default();
        self.entry(Cow::Owned(key), value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish();
        Ok(())
    }
}

impl ser::SerializeStruct for Object<'_> {
    type Ok = ();
    type Error = Error;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.entry(Cow::Borrowed(key), value)
    }

    fn end(self) -> Result<(), Error> {
        self.finish();
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeMap;

    use serde_json::{Value, json};

    use super::*;

    #[derive(serde::Serialize)]
    struct Odd {
        zeta: Option<u8>,
        alpha: Kind,
        list: Vec<Kind>,
        #[serde(skip_serializing_if = "Option::is_none")]
        none: Option<u8>,
        map: BTreeMap<u16, (i8, char, f64)>,
        empty: BTreeMap<String, u8>,
    }

    #[derive(serde::Serialize)]
    #[serde(rename_all = "kebab-case")]
    enum Kind {
        Plain,
        With(String),
        Two(bool, Vec<u8>),
    }

    fn odd() -> Odd {
        Odd {
            zeta: None,
            alpha: Kind::With("a\u{1}\u{7f}\u{8}\u{c}\"\\/é\n\r\t".into()),
            list: vec![Kind::Plain, Kind::Two(true, vec![1, 2]), Kind::Two(false, Vec::new())],
            none: None,
            map: BTreeMap::from([(10, (-1, 'x', 0.1)), (9, (1, '"', 1e300))]),
            empty: BTreeMap::new(),
        }
    }

    #[test]
    fn it_is_what_a_tree_would_be() {
        let tree = serde_json::to_value(odd()).unwrap();
        for one_line in [true, false] {
            let direct = canonical(SchemaId::FINDINGS, &odd(), one_line).unwrap();
            assert_eq!(direct, canonical(SchemaId::FINDINGS, &tree, one_line).unwrap());
            let read: Value = serde_json::from_str(&direct).unwrap();
            let mut expected = tree.clone();
            expected["schema"] = json!("findings/v1");
            assert_eq!(read, expected);
        }
        // Without line ends it is serde_json's own compact form, whose keys are sorted in a tree.
        let inner = canonical(SchemaId::FINDINGS, &json!([tree]), true).unwrap();
        assert_eq!(inner.trim_end(), serde_json::to_string(&json!([tree])).unwrap());
        assert!(canonical(SchemaId::FINDINGS, &BTreeMap::from([((1, 2), 3)]), true).is_err());
    }
}
