//! Keys of objects: what JSON can name an entry by.

use serde::ser::{self, Error as _, Impossible, Serialize};
use serde_json::Error;

/// Takes the text of a key.
pub(super) struct Key(pub(super) Option<String>);

macro_rules! numbers {
    ($($method:ident: $type:ty),*) => {
        $(fn $method(self, value: $type) -> Result<(), Error> {
            self.0 = Some(value.to_string());
            Ok(())
        })*
    };
}

macro_rules! no_key {
    ($($method:ident($($name:ident: $type:ty),*) -> $answer:ty;)*) => {
        $(fn $method(self, $($name: $type),*) -> Result<$answer, Error> {
            $(let _ = $name;)*
            Err(Error::custom("the key of an object is a text"))
        })*
    };
}

type No = Impossible<(), Error>;

impl ser::Serializer for &mut Key {
    type Ok = ();
    type Error = Error;
    type SerializeSeq = No;
    type SerializeTuple = No;
    type SerializeTupleStruct = No;
    type SerializeTupleVariant = No;
    type SerializeMap = No;
    type SerializeStruct = No;
    type SerializeStructVariant = No;

    numbers!(serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_u8: u8, serialize_u16: u16, serialize_u32: u32,
        serialize_u64: u64, serialize_bool: bool, serialize_char: char, serialize_str: &str);

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Error> {
        self.serialize_str(variant)
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _: &'static str, value: &T) -> Result<(), Error> {
        value.serialize(self)
    }

    fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<(), Error> {
        Err(Error::custom("the key of an object is a text"))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<(), Error> {
        Err(Error::custom("the key of an object is a text"))
    }

    no_key! {
        serialize_f32(value: f32) -> ();
        serialize_f64(value: f64) -> ();
        serialize_bytes(value: &[u8]) -> ();
        serialize_none() -> ();
        serialize_unit() -> ();
        serialize_unit_struct(name: &'static str) -> ();
        serialize_seq(length: Option<usize>) -> No;
        serialize_tuple(length: usize) -> No;
        serialize_tuple_struct(name: &'static str, length: usize) -> No;
        serialize_tuple_variant(name: &'static str, index: u32, variant: &'static str, length: usize) -> No;
        serialize_map(length: Option<usize>) -> No;
        serialize_struct(name: &'static str, length: usize) -> No;
        serialize_struct_variant(name: &'static str, index: u32, variant: &'static str, length: usize) -> No;
    }
}
