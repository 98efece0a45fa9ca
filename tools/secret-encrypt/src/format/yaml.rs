//! YAML, kept as its author formatted it: values and comments are replaced where they stand, and nothing else is touched.

use contract::Pointer;
use serde_json::{Map, Value as Json};
use zeroize::Zeroizing;

use super::yaml_scalar::{write, write_enc};
use super::yaml_tree::{self};
use super::yaml_walk::parse;
use super::{Block, Format, Parsed, Put, Side, Style, splice, text_of, yaml_edit};
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

    fn parse(&self, bytes: &[u8], _: Side) -> Result<Parsed, Error> {
        parse(text_of(bytes)?)
    }

    fn render(
        &self,
        bytes: &[u8],
        parsed: &Parsed,
        puts: &[(usize, Put)],
        block: &Block,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let text = text_of(bytes)?;
        let first = render(text, parsed, puts, block, &[]);
        let wrong = misread(&first, parsed, puts)?;
        if wrong.is_empty() {
            return Ok(first);
        }
        // A value that does not read back where it stands is put into double quotes, which hold everything.
        let second = render(text, parsed, puts, block, &wrong);
        if misread(&second, parsed, puts)?.is_empty() { Ok(second) } else { Err(Error::RoundTrip) }
    }

    fn put(&self, bytes: &[u8], pointer: &Pointer, value: &Json) -> Result<Zeroizing<Vec<u8>>, Error> {
        yaml_edit::put(text_of(bytes)?, pointer, value)
    }

    fn remove(&self, bytes: &[u8], pointer: &Pointer) -> Result<Zeroizing<Vec<u8>>, Error> {
        yaml_edit::remove(text_of(bytes)?, pointer)
    }

    fn write_new(&self, json: &Json) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut text = Zeroizing::new(String::new());
        yaml_edit::write_block(json, 0, 2, &mut text);
        Ok(Zeroizing::new(text.as_bytes().to_vec()))
    }

    fn read_json(&self, bytes: &[u8]) -> Result<Json, Error> {
        yaml_tree::to_json(text_of(bytes)?)
    }
}

fn render(text: &str, parsed: &Parsed, puts: &[(usize, Put)], block: &Block, careful: &[usize]) -> Zeroizing<Vec<u8>> {
    let mut edits = Vec::with_capacity(puts.len() + 4);
    for (index, put) in puts {
        let slot = &parsed.slots[*index];
        let column = parsed.layout.columns[*index];
        let new = match put {
            Put::Enc(enc) => Zeroizing::new(write_enc(enc, slot.style, column)),
            Put::Plain(value) => {
                let style = match slot.style {
                    Style::PlainInFlow | Style::SingleInFlow if careful.contains(index) => Style::DoubleInFlow,
                    Style::Comment | Style::CommentElement => slot.style,
                    _ if careful.contains(index) => Style::Double,
                    style => style,
                };
                write(value, style, Some(column))
            }
        };
        let extent = parsed.layout.extents[*index].clone();
        match &parsed.layout.tails[*index] {
            // A comment behind the header of a block stays between header and content.
            Some(tail) => {
                let at = new.find('\n').unwrap_or(new.len());
                edits.push((extent, Zeroizing::new(new[..at].to_owned())));
                edits.push((tail.clone(), Zeroizing::new(new[at..].to_owned())));
            }
            None => edits.push((extent, new)),
        }
    }
    match block {
        Block::Remove => edits.extend(parsed.layout.blocks.iter().map(|range| (range.clone(), Zeroizing::default()))),
        Block::Write(metadata) => {
            let at = parsed.layout.insert_at;
            match parsed.layout.blocks.first() {
                Some(old) => {
                    // The old block may carry a line break before it that belongs to the document.
                    let lead = text[old.clone()].len() - text[old.clone()].trim_start_matches(['\r', '\n']).len();
                    let mut new = block_text(metadata, parsed, parsed.layout.flow);
                    if old.end == text.len() && !text.ends_with('\n') && !parsed.layout.flow {
                        new.truncate(new.trim_end().len());
                    }
                    edits.push((old.start + lead..old.end, Zeroizing::new(new)));
                }
                None => edits.push((at..at, Zeroizing::new(new_block(text, parsed, metadata)))),
            }
        }
        Block::Stamp(metadata) => {
            for (key, range) in &parsed.layout.stamps {
                let value = metadata.raw.get(*key).and_then(Json::as_str).unwrap_or_default();
                let new = match text[range.clone()].chars().next() {
                    Some('\'') => format!("'{value}'"),
                    Some('"') => format!("\"{value}\""),
                    // Without quotes this would be a point in time, which the real program refuses.
                    _ if *key == "lastmodified" => format!("\"{value}\""),
                    _ => value.to_owned(),
                };
                edits.push((range.clone(), Zeroizing::new(new)));
            }
        }
    }
    splice(text, edits)
}

/// The block of a file that has none, with the line breaks that it needs around it.
fn new_block(text: &str, parsed: &Parsed, metadata: &Metadata) -> String {
    let at = parsed.layout.insert_at;
    let block = block_text(metadata, parsed, parsed.layout.flow);
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

fn block_text(metadata: &Metadata, parsed: &Parsed, flow: bool) -> String {
    if flow {
        return format!("{BLOCK_KEY}: {}", Json::Object(metadata.raw.clone()));
    }
    let mut out = String::new();
    let mut root = Map::new();
    root.insert(BLOCK_KEY.into(), Json::Object(metadata.raw.clone()));
    yaml_edit::write_block(&Json::Object(root), parsed.layout.indent, 4, &mut out);
    out
}

/// Which of the replaced slots do not read back as what was put there. Anything else that differs is an error.
fn misread(bytes: &[u8], parsed: &Parsed, puts: &[(usize, Put)]) -> Result<Vec<usize>, Error> {
    let Ok(read) = text_of(bytes).and_then(parse) else {
        return Ok(puts.iter().map(|(index, _)| *index).collect());
    };
    if read.slots.len() != parsed.slots.len() {
        return Ok(puts.iter().map(|(index, _)| *index).collect());
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
            None => return Err(Error::RoundTrip),
        }
    }
    Ok(wrong)
}

fn same_value(read: &Value, put: &Value) -> bool {
    let kind = |kind| if kind == Kind::Bytes { Kind::Str } else { kind };
    // A comment's line breaks were taken out; a number may be whole by type and not by text.
    put.kind == Kind::Comment || read.bytes == put.bytes && (kind(read.kind) == kind(put.kind))
}
