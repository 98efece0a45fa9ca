//! INI, kept as its author formatted it: values stand in their quotes, a comment of several lines is one encrypted comment.

use contract::Pointer;
use serde_json::{Map, Value as Json};
use zeroize::Zeroizing;

use super::ini_continued::{plain_lines, sealed_lines};
use super::ini_text::{self, DEFAULT, bom, quote, write_value};
use super::ini_walk::{BEHIND_HEADER, comment_lines, parse};
use super::splice::{Edit, Splice, line_end, line_start, rendered, replace_lines};
use super::{Block, Format, Parsed, Put, Side, Style, Text, ini_edit, text_of};
use crate::Error;
use crate::sops::{Metadata, flatten};

/// The section of the block.
pub(super) const BLOCK: &str = "sops";

/// INI files.
pub(super) struct IniFormat;

impl Format for IniFormat {
    fn name(&self) -> &'static str {
        "ini"
    }

    fn matches(&self, file_name: &str) -> bool {
        file_name.ends_with(".ini")
    }

    fn parse(&self, bytes: &[u8], _: Side) -> Result<Parsed, Error> {
        parse(text_of(bytes)?)
    }

    fn render(&self, bytes: &[u8], parsed: &Parsed, puts: &[(usize, Put)], block: &Block) -> Result<Text, Error> {
        rendered(self, bytes, parsed, puts, block)
    }

    fn put(&self, bytes: &[u8], pointer: &Pointer, value: &Json) -> Result<Text, Error> {
        ini_edit::put(text_of(bytes)?, pointer, value)
    }

    fn remove(&self, bytes: &[u8], pointer: &Pointer) -> Result<Text, Error> {
        ini_edit::remove(text_of(bytes)?, pointer)
    }

    /// The comment above a key, which stays, and the one behind its value, which goes, are one encrypted text.
    fn removes_in_clear(&self) -> bool {
        true
    }

    fn write_new(&self, json: &Json) -> Result<Text, Error> {
        let mut bytes = Zeroizing::new(Vec::new());
        let members = || json.as_object().into_iter().flatten();
        for (key, value) in members().filter(|(_, value)| !value.is_object()) {
            bytes = self.put(&bytes, &Pointer::root().join(DEFAULT).join(key), value)?;
        }
        for (key, value) in members().filter(|(_, value)| value.is_object()) {
            bytes = self.put(&bytes, &Pointer::root().join(key), value)?;
        }
        Ok(bytes)
    }

    fn read_json(&self, bytes: &[u8]) -> Result<Json, Error> {
        let ini = ini_text::parse(text_of(bytes)?)?;
        let mut out = Map::new();
        for section in &ini.sections {
            let keys = section.keys.iter().map(|key| (key.name.clone(), Json::String(key.value.clone())));
            out.insert(section.in_pointer(), Json::Object(keys.collect()));
        }
        Ok(Json::Object(out))
    }
}

impl Splice for IniFormat {
    fn put_slot(
        &self,
        text: &str,
        parsed: &Parsed,
        index: usize,
        put: &Put,
        edits: &mut Vec<Edit>,
    ) -> Result<(), Error> {
        let slot = &parsed.slots[index];
        let tail = parsed.layout.tails.get(index).cloned().flatten();
        let source = &text[slot.span.clone()];
        match put {
            Put::Enc(enc) => {
                // A comment that stands behind a header alone gets a line of its own: the header ends at the last bracket of
                // its line, and an encrypted comment has one.
                let begins_line = [line_start(text, slot.span.start), bom(text)].contains(&slot.span.start);
                let new = if slot.is_comment() && slot.span.is_empty() && begins_line {
                    format!("; {enc}\n")
                } else {
                    let continued = (slot.style == Style::Continued).then(|| sealed_lines(source, slot, enc)).flatten();
                    continued.unwrap_or_else(|| quote(enc, slot.style))
                };
                edits.push((slot.span.clone(), Zeroizing::new(new)));
                edits.extend(tail.map(|range| (range, Zeroizing::default())));
            }
            Put::Plain(value) if slot.is_comment() => {
                let (own, behind) = comment_lines(text, slot, value, tail.is_some());
                let alone = own.is_empty() && !behind.is_empty() && value.bytes.starts_with(BEHIND_HEADER);
                let line = line_start(text, slot.span.start).max(bom(text))..line_end(text, slot.span.end);
                edits.push((if alone { line } else { slot.span.clone() }, own));
                edits.extend(tail.map(|range| (range, behind)));
            }
            Put::Plain(value) => {
                let unfit = || Error::Unsupported("a value is no text and cannot stand in INI".into());
                let value = value.as_text().ok_or_else(unfit)?;
                let continued = (slot.style == Style::Continued).then(|| plain_lines(source, value)).flatten();
                let new = continued.map_or_else(|| write_value(value, slot.style), Ok)?;
                edits.push((slot.span.clone(), Zeroizing::new(new)));
            }
        }
        Ok(())
    }

    fn stamp(&self, _: &str, value: &str, _: &str) -> Result<String, Error> {
        write_value(value, Style::Plain)
    }

    fn write_block(
        &self,
        text: &str,
        parsed: &Parsed,
        metadata: &Metadata,
        edits: &mut Vec<Edit>,
    ) -> Result<(), Error> {
        let body = block_text(metadata)?;
        let at = parsed.layout.insert_at;
        edits.push(match parsed.layout.blocks.first() {
            Some(old) => replace_lines(text, old.clone(), &body),
            None => (at..at, Zeroizing::new(new_block(&text[..at], &body))),
        });
        Ok(())
    }
}

/// The block: keys in order, aligned as go-ini does.
fn block_text(metadata: &Metadata) -> Result<String, Error> {
    let mut pairs = flatten(&metadata.raw);
    pairs.sort();
    let width = pairs.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
    let mut out = format!("[{BLOCK}]\n");
    for (key, value) in &pairs {
        out.push_str(&format!("{key:width$} = {}\n", write_value(value, Style::Plain)?));
    }
    Ok(out)
}

/// A first block with the line breaks around it that its removal takes away again.
fn new_block(before: &str, body: &str) -> String {
    if before.is_empty() || before == "\u{feff}" {
        return body.into();
    }
    if before.ends_with('\n') {
        return format!("\n{body}");
    }
    format!("\n\n{}", body.trim_end())
}
