//! YAML, kept as its author formatted it: values and comments are replaced where they stand, and nothing else is touched.

use contract::Pointer;
use serde_json::{Map, Value as Json};
use zeroize::Zeroizing;

use super::splice::{Edit, Splice, rendered, replace_lines};
use super::yaml_scalar::{write, write_enc};
use super::yaml_tree;
use super::yaml_walk::parse;
use super::{Block, Format, Parsed, Put, Side, Style, Text, text_of, yaml_edit};
use crate::Error;
use crate::sops::{Kind, Metadata, Value};

/// The key of the block.
pub(super) const BLOCK_KEY: &str = "sops";

/// YAML files.
pub(super) struct Yaml;

impl Format for Yaml {
    fn name(&self) -> &'static str {
        "yaml"
    }

    fn matches(&self, file_name: &str) -> bool {
        file_name.ends_with(".yaml") || file_name.ends_with(".yml")
    }

    fn parse(&self, bytes: &[u8], side: Side) -> Result<Parsed, Error> {
        parse(text_of(bytes)?, side)
    }

    fn render(&self, bytes: &[u8], parsed: &Parsed, puts: &[(usize, Put)], block: &Block) -> Result<Text, Error> {
        self.render_and_read(bytes, parsed, puts, block).map(|(text, _)| text)
    }

    fn render_and_read(
        &self,
        bytes: &[u8],
        parsed: &Parsed,
        puts: &[(usize, Put)],
        block: &Block,
    ) -> Result<(Text, Parsed), Error> {
        let first = self.spliced(bytes, parsed, puts, block)?;
        let wrong = match read_again(&first, parsed, puts, block)? {
            Ok(read) => return Ok((first, read)),
            Err(wrong) => wrong,
        };
        let second = rendered(&Careful(&wrong), bytes, parsed, puts, block)?;
        match read_again(&second, parsed, puts, block)? {
            Ok(read) => Ok((second, read)),
            Err(wrong) => {
                let first = wrong.first().and_then(|index| parsed.slots.get(*index));
                Err(Error::RoundTrip(first.map(|slot| slot.pointer.clone())))
            }
        }
    }

    fn spliced(&self, bytes: &[u8], parsed: &Parsed, puts: &[(usize, Put)], block: &Block) -> Result<Text, Error> {
        rendered(&Careful(&[]), bytes, parsed, puts, block)
    }

    fn put(&self, bytes: &[u8], pointer: &Pointer, value: &Json) -> Result<Text, Error> {
        yaml_edit::put(text_of(bytes)?, pointer, value)
    }

    fn remove(&self, bytes: &[u8], pointer: &Pointer) -> Result<Text, Error> {
        yaml_edit::remove(text_of(bytes)?, pointer)
    }

    fn write_new(&self, json: &Json) -> Result<Text, Error> {
        let mut text = Zeroizing::new(String::new());
        yaml_edit::write_block(json, 0, 2, &mut text);
        Ok(Zeroizing::new(text.as_bytes().to_vec()))
    }

    fn read_json(&self, bytes: &[u8]) -> Result<Json, Error> {
        yaml_tree::to_json(text_of(bytes)?)
    }
}

/// Writes YAML; these slots, which did not read back where they stand, in double quotes, which hold everything.
struct Careful<'a>(&'a [usize]);

impl Splice for Careful<'_> {
    fn put_slot(&self, _: &str, parsed: &Parsed, index: usize, put: &Put, edits: &mut Vec<Edit>) -> Result<(), Error> {
        let slot = &parsed.slots[index];
        let column = parsed.layout.columns[index];
        let new = match put {
            Put::Enc(enc) => Zeroizing::new(write_enc(enc, slot.style, column)),
            Put::Plain(value) => {
                let style = match slot.style {
                    Style::PlainInFlow | Style::SingleInFlow if self.0.contains(&index) => Style::DoubleInFlow,
                    Style::Comment | Style::CommentElement => slot.style,
                    _ if self.0.contains(&index) => Style::Double,
                    style => style,
                };
                write(value, style, Some(column))
            }
        };
        let extent = parsed.layout.extents[index].clone();
        match &parsed.layout.tails[index] {
            // A comment behind the header of a block stays between header and content.
            Some(tail) => {
                let at = new.find('\n').unwrap_or(new.len());
                edits.push((extent, Zeroizing::new(new[..at].to_owned())));
                edits.push((tail.clone(), Zeroizing::new(new[at..].to_owned())));
            }
            None => edits.push((extent, new)),
        }
        Ok(())
    }

    fn stamp(&self, key: &str, value: &str, old: &str) -> Result<String, Error> {
        Ok(match old.chars().next() {
            Some('\'') => format!("'{value}'"),
            Some('"') => format!("\"{value}\""),
            // Without quotes this would be a point in time, which the real program refuses.
            _ if key == "lastmodified" => format!("\"{value}\""),
            _ => value.to_owned(),
        })
    }

    fn write_block(
        &self,
        text: &str,
        parsed: &Parsed,
        metadata: &Metadata,
        edits: &mut Vec<Edit>,
    ) -> Result<(), Error> {
        let at = parsed.layout.insert_at;
        let blocks = if parsed.layout.flow { &parsed.layout.pairs } else { &parsed.layout.blocks };
        edits.push(match blocks.first() {
            Some(old) if parsed.layout.flow => (old.clone(), Zeroizing::new(block_text(metadata, parsed))),
            Some(old) => replace_lines(text, old.clone(), &block_text(metadata, parsed)),
            None => (at..at, Zeroizing::new(new_block(text, parsed, metadata))),
        });
        Ok(())
    }
}

/// The block of a file that has none, with the line breaks that it needs around it.
fn new_block(text: &str, parsed: &Parsed, metadata: &Metadata) -> String {
    let at = parsed.layout.insert_at;
    let block = block_text(metadata, parsed);
    if parsed.layout.flow {
        // go-yaml takes a colon for a letter of the key where a comma follows at once.
        let comma = if text[..at].ends_with(':') { " , " } else { ", " };
        return if parsed.layout.empty { block } else { format!("{comma}{block}") };
    }
    if text[..at].is_empty() || text[..at].ends_with('\n') {
        return block;
    }
    // The document ends without a line break: so does the file then, and decryption takes both away again.
    format!("\n{}", block.trim_end())
}

fn block_text(metadata: &Metadata, parsed: &Parsed) -> String {
    if parsed.layout.flow {
        return format!("{BLOCK_KEY}: {}", Json::Object(metadata.raw.clone()));
    }
    let mut out = String::new();
    let mut root = Map::new();
    root.insert(BLOCK_KEY.into(), Json::Object(metadata.raw.clone()));
    yaml_edit::write_block(&Json::Object(root), parsed.layout.indent, 4, &mut out);
    out
}

/// What was written, or which of the replaced slots do not read back as what was put there. Anything else that differs is an
/// error.
fn read_again(
    bytes: &[u8],
    parsed: &Parsed,
    puts: &[(usize, Put)],
    block: &Block,
) -> Result<Result<Parsed, Vec<usize>>, Error> {
    let read = text_of(bytes).and_then(|text| parse(text, Side::Sealed)).ok();
    let Some(read) = read.filter(|read| read.slots.len() == parsed.slots.len()) else {
        // Any of them may be what breaks the text; if there is none, it is the block.
        return if puts.is_empty() {
            Err(Error::RoundTrip(None))
        } else {
            Ok(Err(puts.iter().map(|(index, _)| *index).collect()))
        };
    };
    let same_block = match (block, &read.metadata) {
        (Block::Remove, found) => found.is_none(),
        (Block::Write(wanted) | Block::Stamp(wanted), Some(found)) => {
            found.mac() == wanted.mac()
                && found.lastmodified() == wanted.lastmodified()
                && found.recipients() == wanted.recipients()
        }
        (_, None) => false,
    };
    if !same_block {
        return Err(Error::RoundTrip(None));
    }
    let mut wrong = Vec::new();
    let mut puts = puts.iter().peekable();
    for (index, (new, old)) in read.slots.iter().zip(&parsed.slots).enumerate() {
        match puts.next_if(|(put, _)| *put == index) {
            Some((_, put)) => {
                let same = match put {
                    Put::Enc(enc) => new.value.as_text() == Some(enc.as_str()),
                    Put::Plain(value) => same_value(&new.value, value),
                };
                if !same {
                    wrong.push(index);
                }
            }
            None if new.value == old.value => {}
            None => return Err(Error::RoundTrip(Some(old.pointer.clone()))),
        }
    }
    Ok(if wrong.is_empty() { Ok(read) } else { Err(wrong) })
}

fn same_value(read: &Value, put: &Value) -> bool {
    let kind = |kind| if kind == Kind::Bytes { Kind::Str } else { kind };
    // A comment's line breaks were taken out; a number may be whole by type and not by text.
    put.kind == Kind::Comment || read.bytes == put.bytes && (kind(read.kind) == kind(put.kind))
}
