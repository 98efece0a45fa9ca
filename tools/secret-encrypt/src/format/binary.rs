//! Anything else: the whole content is one value, in the JSON envelope that sops uses.

use contract::Pointer;
use serde_json::{Map, Value as Json, json};
use zeroize::Zeroizing;

use super::json::JsonFormat;
use super::{Block, Format, Layout, Parsed, Put, Side, Slot, Text};
use crate::Error;
use crate::sops::{Kind, Value};

/// Files of any content.
pub(crate) struct Binary;

const KEY: &str = "data";

impl Format for Binary {
    fn name(&self) -> &'static str {
        "binary"
    }

    fn matches(&self, _: &str) -> bool {
        true
    }

    fn parse(&self, bytes: &[u8], side: Side) -> Result<Parsed, Error> {
        if side == Side::Plain {
            let value = Value::new(Kind::Str, bytes);
            return Ok(Parsed { slots: vec![slot(value, 0..bytes.len())], metadata: None, layout: Layout::default() });
        }
        let parsed = JsonFormat.parse(bytes, side).map_err(|_| Error::NotEncrypted)?;
        let mut slots = parsed.slots;
        match slots.as_slice() {
            [only] if only.pointer.as_str() == "/data" => {
                let slot = slot(only.value.clone(), only.span.clone());
                slots = vec![slot];
            }
            _ => return Err(Error::NotEncrypted),
        }
        Ok(Parsed { slots, ..parsed })
    }

    fn render(&self, bytes: &[u8], parsed: &Parsed, puts: &[(usize, Put)], block: &Block) -> Result<Text, Error> {
        match (puts.first(), block) {
            (Some((_, Put::Plain(value))), Block::Remove) => Ok(value.bytes.clone()),
            // An empty file is not encrypted: there is nothing in it.
            (None, Block::Remove) => Ok(parsed.slots.first().map(|slot| slot.value.bytes.clone()).unwrap_or_default()),
            (_, Block::Stamp(_)) if parsed.metadata.is_some() => JsonFormat.render(bytes, parsed, puts, block),
            (put, Block::Write(metadata) | Block::Stamp(metadata)) => {
                let data = match put {
                    Some((_, Put::Enc(enc))) => enc.clone(),
                    _ => parsed.slots.first().and_then(|slot| slot.value.as_text()).unwrap_or_default().to_owned(),
                };
                let mut map = Map::new();
                map.insert(KEY.into(), json!(data));
                map.insert("sops".into(), Json::Object(metadata.raw.clone()));
                let mut text = serde_json::to_string_pretty(&Json::Object(map))
                    .map_err(|_| Error::Unsupported("the metadata cannot be written".into()))?;
                text.push('\n');
                Ok(Zeroizing::new(text.into_bytes()))
            }
            (Some((_, Put::Enc(_))), Block::Remove) => Err(Error::RoundTrip(None)),
        }
    }

    fn put(&self, _: &[u8], pointer: &Pointer, _: &Json) -> Result<Text, Error> {
        Err(Error::nothing_at(pointer))
    }

    fn remove(&self, _: &[u8], pointer: &Pointer) -> Result<Text, Error> {
        Err(Error::nothing_at(pointer))
    }

    fn write_new(&self, _: &Json) -> Result<Text, Error> {
        Err(Error::Unsupported("a binary file has no places; name it .yaml, .json or .env".into()))
    }

    fn read_json(&self, _: &[u8]) -> Result<Json, Error> {
        Err(Error::Unsupported("a binary file cannot be shown as JSON".into()))
    }
}

fn slot(value: Value, span: std::ops::Range<usize>) -> Slot {
    Slot { always: true, ..Slot::new(Pointer::root(), vec![KEY.into()], value, span) }
}
