//! dotenv as sops reads it: the first `=` of a line splits, nothing is trimmed or unquoted, `\n` stands for a line break.

use contract::Pointer;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::splice::{Edit, Splice, line_end, line_start, remove_blocks, rendered, splice};
use super::{Block, Comments, Format, Layout, Parsed, Put, Side, Slot, Style, Text, text_of};
use crate::Error;
use crate::sops::{Metadata, Value, flatten, unflatten};

/// `.env` files.
pub(super) struct Dotenv;

const PREFIX: &str = "sops_";

impl Format for Dotenv {
    fn name(&self) -> &'static str {
        "dotenv"
    }

    fn matches(&self, file_name: &str) -> bool {
        file_name.ends_with(".env")
    }

    fn parse(&self, bytes: &[u8], _: Side) -> Result<Parsed, Error> {
        parse(text_of(bytes)?)
    }

    fn render(&self, bytes: &[u8], parsed: &Parsed, puts: &[(usize, Put)], block: &Block) -> Result<Text, Error> {
        rendered(self, bytes, parsed, puts, block)
    }

    fn put(&self, bytes: &[u8], pointer: &Pointer, value: &Json) -> Result<Text, Error> {
        let text = text_of(bytes)?;
        let parsed = parse(text)?;
        let value = super::value_of(value)
            .ok_or_else(|| Error::Unsupported("dotenv holds text only, no lists or mappings".into()))?;
        let new = Zeroizing::new(line_text(&value)?);
        if let Some(slot) = parsed.slots.iter().find(|slot| !slot.is_comment() && slot.pointer == *pointer) {
            return Ok(splice(text, vec![(slot.span.clone(), new)]));
        }
        let keys: Vec<String> = pointer.keys().collect();
        let good = |key: &str| !key.is_empty() && !key.contains(['=', '\n', '#']) && !key.starts_with(PREFIX);
        let [key] = keys.as_slice() else { return Err(Error::nothing_at(pointer)) };
        if !good(key) {
            return Err(Error::Unsupported("dotenv cannot hold a key of this name".into()));
        }
        let at = parsed.layout.insert_at;
        let lead = if at > 0 && !text[..at].ends_with('\n') { "\n" } else { "" };
        let tail = if lead.is_empty() { "\n" } else { "" };
        Ok(splice(text, vec![(at..at, Zeroizing::new(format!("{lead}{key}={}{tail}", &*new)))]))
    }

    fn remove(&self, bytes: &[u8], pointer: &Pointer) -> Result<Text, Error> {
        let text = text_of(bytes)?;
        let parsed = parse(text)?;
        let slot = parsed.slots.iter().find(|slot| !slot.is_comment() && slot.pointer == *pointer);
        let slot = slot.ok_or_else(|| Error::nothing_at(pointer))?;
        let line = line_start(text, slot.span.start)..line_end(text, slot.span.end);
        Ok(splice(text, vec![(line, Zeroizing::default())]))
    }

    fn write_new(&self, json: &Json) -> Result<Text, Error> {
        let mut bytes = Zeroizing::new(Vec::new());
        for (key, value) in json.as_object().into_iter().flatten() {
            bytes = self.put(&bytes, &Pointer::root().join(key), value)?;
        }
        Ok(bytes)
    }

    fn read_json(&self, bytes: &[u8]) -> Result<Json, Error> {
        let parsed = parse(text_of(bytes)?)?;
        let values = parsed.slots.iter().filter(|slot| !slot.is_comment());
        values
            .map(|slot| Ok((slot.path.concat(), super::json_of(&slot.value)?)))
            .collect::<Result<_, _>>()
            .map(Json::Object)
    }
}

impl Splice for Dotenv {
    fn put_slot(&self, _: &str, parsed: &Parsed, index: usize, put: &Put, edits: &mut Vec<Edit>) -> Result<(), Error> {
        let slot = &parsed.slots[index];
        let new = match put {
            Put::Enc(enc) => enc.clone(),
            // In a comment sops leaves a backslash as it is.
            Put::Plain(value) if slot.is_comment() => value.as_text().unwrap_or_default().replace('\n', "\\n"),
            Put::Plain(value) => line_text(value)?,
        };
        edits.push((slot.span.clone(), Zeroizing::new(new)));
        Ok(())
    }

    fn stamp(&self, _: &str, value: &str, _: &str) -> Result<String, Error> {
        Ok(value.to_owned())
    }

    fn write_block(
        &self,
        text: &str,
        parsed: &Parsed,
        metadata: &Metadata,
        edits: &mut Vec<Edit>,
    ) -> Result<(), Error> {
        remove_blocks(&parsed.layout, edits);
        let mut pairs = flatten(&metadata.raw);
        pairs.sort();
        let lines: Vec<String> = pairs.iter().map(|(key, value)| format!("{PREFIX}{key}={value}")).collect();
        let lines = lines.join("\n");
        // As in YAML: no line break at the end of the document, none at the end of the file.
        let open = !text.is_empty() && !text.ends_with('\n');
        let lines = if open { format!("\n{lines}") } else { lines + "\n" };
        edits.push((text.len()..text.len(), Zeroizing::new(lines)));
        Ok(())
    }
}

fn line_text(value: &Value) -> Result<String, Error> {
    let text =
        value.as_text().ok_or_else(|| Error::Unsupported("a value is no text and cannot stand in dotenv".into()))?;
    if text.contains("\\n") {
        return Err(Error::Unsupported(
            "a value holds a backslash and an n, which dotenv would read as a line break".into(),
        ));
    }
    Ok(text.replace('\n', "\\n"))
}

fn parse(text: &str) -> Result<Parsed, Error> {
    let mut parsed =
        Parsed { slots: Vec::new(), metadata: None, layout: Layout { insert_at: text.len(), ..Layout::default() } };
    let mut pairs = Vec::new();
    let mut seen = std::collections::HashSet::new();
    let mut at = 0;
    let mut active = Comments::default();
    for (number, line) in text.split('\n').enumerate() {
        let start = at;
        at += line.len() + 1;
        let wrong = |message: String| Error::Syntax { message, line: Some(number as u64 + 1) };
        if line.is_empty() {
            continue;
        }
        let mut slot = Slot::new(Pointer::root(), Vec::new(), Value::null(), start..start + line.len());
        if let Some(comment) = line.strip_prefix('#') {
            slot.span.start += 1;
            slot.value = Value::comment(comment);
            slot.style = Style::Comment;
            active.push(comment);
            slot.comments = active.clone();
            parsed.slots.push(slot);
            continue;
        }
        let (key, value) = line.split_once('=').ok_or_else(|| wrong("no dotenv: a line has no equals sign".into()))?;
        slot.span.start += key.len() + 1;
        if let Some(name) = key.strip_prefix(PREFIX) {
            let block = start..at.min(text.len());
            if let Some(stamp) = ["mac", "lastmodified"].into_iter().find(|stamp| *stamp == name) {
                parsed.layout.stamps.push((stamp, slot.span.clone()));
            }
            parsed.layout.insert_at = parsed.layout.insert_at.min(start);
            pairs.push((name.to_owned(), value.to_owned()));
            parsed.layout.blocks.push(block);
            continue;
        }
        if !seen.insert(key.to_owned()) {
            return Err(wrong(format!("the key \"{key}\" stands twice")));
        }
        slot.pointer = Pointer::root().join(key);
        slot.path = vec![key.to_owned()];
        slot.comments = std::mem::take(&mut active);
        slot.value = Value::text(&value.replace("\\n", "\n"));
        parsed.slots.push(slot);
    }
    // No line break at the end of the file: the one before the block is ours too.
    if let (Some(first), Some(last)) = (parsed.layout.blocks.first().cloned(), parsed.layout.blocks.last())
        && last.end == text.len()
        && !text.ends_with('\n')
        && first.start > 0
        && let Some(block) = parsed.layout.blocks.first_mut()
    {
        block.start -= 1;
    }
    if !pairs.is_empty() {
        let raw = unflatten(&pairs).ok_or_else(|| Error::BadMetadata("its keys contradict each other".into()))?;
        parsed.metadata = Some(Metadata { raw });
    }
    Ok(parsed)
}
