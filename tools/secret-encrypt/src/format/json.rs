//! JSON, kept as its author formatted it.

use contract::Pointer;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::json_text::{self, Data, Node};
use super::splice::{Edit, Splice, remove_blocks, rendered, splice};
use super::{Block, Format, Layout, Parsed, PlaceBudget, Put, Side, Slot, Text, json_of, text_of, value_of};
use crate::Error;
use crate::sops::{Kind, Metadata, Value};

const BLOCK_KEY: &str = "sops";

/// JSON files.
pub(super) struct JsonFormat;

impl Format for JsonFormat {
    fn name(&self) -> &'static str {
        "json"
    }

    fn matches(&self, file_name: &str) -> bool {
        file_name.ends_with(".json")
    }

    fn parse(&self, bytes: &[u8], _: Side) -> Result<Parsed, Error> {
        parse(text_of(bytes)?)
    }

    fn render(&self, bytes: &[u8], parsed: &Parsed, puts: &[(usize, Put)], block: &Block) -> Result<Text, Error> {
        rendered(self, bytes, parsed, puts, block)
    }

    fn put(&self, bytes: &[u8], pointer: &Pointer, value: &Json) -> Result<Text, Error> {
        let text = text_of(bytes)?;
        let root = json_text::parse(text)?;
        let keys: Vec<String> = pointer.keys().collect();
        let (node, at) = descend(&root, &keys);
        let missing = &keys[at..];
        if missing.is_empty() && !keys.is_empty() {
            return Ok(splice(text, vec![(node.span.clone(), Zeroizing::new(value.to_string()))]));
        }
        let nowhere = || Error::nothing_at(pointer);
        let inner = missing[1.min(missing.len())..]
            .iter()
            .rev()
            .fold(value.clone(), |inner, key| Json::Object([(key.clone(), inner)].into_iter().collect()));
        let (prefix, last, open) = match &node.data {
            Data::Object(members) => {
                let last = members.iter().rfind(|member| !(at == 0 && member.key == BLOCK_KEY));
                let key = missing.first().ok_or_else(nowhere)?;
                (
                    format!("{}: ", Json::from(key.as_str())),
                    last.map(|member| (member.key_span.start, member.value.span.end)),
                    node.span.start + 1,
                )
            }
            Data::Array(items) if missing.first().is_some_and(|key| key == "-" || *key == items.len().to_string()) => {
                (String::new(), items.last().map(|item| (item.span.start, item.span.end)), node.span.start + 1)
            }
            _ => return Err(nowhere()),
        };
        let edit = match last {
            Some((start, end)) => (end..end, format!(",{}{prefix}{inner}", lead_of(text, start))),
            None => {
                let more = text[open..].trim_start().starts_with('"');
                (open..open, format!("{prefix}{inner}{}", if more { "," } else { "" }))
            }
        };
        Ok(splice(text, vec![(edit.0, Zeroizing::new(edit.1))]))
    }

    fn remove(&self, bytes: &[u8], pointer: &Pointer) -> Result<Text, Error> {
        let text = text_of(bytes)?;
        let root = json_text::parse(text)?;
        let keys: Vec<String> = pointer.keys().collect();
        let nowhere = || Error::nothing_at(pointer);
        let (last, parents) = keys.split_last().ok_or_else(nowhere)?;
        let (holder, at) = descend(&root, parents);
        if at < parents.len() {
            return Err(nowhere());
        }
        let spans: Vec<_> = match &holder.data {
            Data::Object(members) => members
                .iter()
                .map(|member| (member.key == *last, member.key_span.start..member.value.span.end))
                .collect(),
            Data::Array(items) => {
                items.iter().enumerate().map(|(index, item)| (index.to_string() == *last, item.span.clone())).collect()
            }
            Data::Scalar => return Err(nowhere()),
        };
        let position = spans.iter().position(|(wanted, _)| *wanted).ok_or_else(nowhere)?;
        let spans: Vec<_> = spans.into_iter().map(|(_, span)| span).collect();
        Ok(splice(text, vec![(member_range(&spans, position), Zeroizing::default())]))
    }

    fn write_new(&self, json: &Json) -> Result<Text, Error> {
        Ok(Zeroizing::new((pretty(json, "") + "\n").into_bytes()))
    }

    fn read_json(&self, bytes: &[u8]) -> Result<Json, Error> {
        json_text::check(text_of(bytes)?)
    }
}

impl Splice for JsonFormat {
    fn put_slot(&self, _: &str, parsed: &Parsed, index: usize, put: &Put, edits: &mut Vec<Edit>) -> Result<(), Error> {
        let new = match put {
            Put::Enc(enc) => Json::from(enc.as_str()).to_string(),
            Put::Plain(value) => scalar_text(value)?,
        };
        edits.push((parsed.slots[index].span.clone(), Zeroizing::new(new)));
        Ok(())
    }

    fn stamp(&self, _: &str, value: &str, _: &str) -> Result<String, Error> {
        Ok(Json::from(value).to_string())
    }

    fn write_block(
        &self,
        text: &str,
        parsed: &Parsed,
        metadata: &Metadata,
        edits: &mut Vec<Edit>,
    ) -> Result<(), Error> {
        remove_blocks(&parsed.layout, edits);
        edits.push(new_block(text, parsed, metadata)?);
        Ok(())
    }
}

/// A member with the comma that goes with it.
fn member_range(spans: &[std::ops::Range<usize>], position: usize) -> std::ops::Range<usize> {
    let own = &spans[position];
    match (position, spans.get(position + 1)) {
        (0, Some(next)) => own.start..next.start,
        (0, None) => own.clone(),
        _ => spans[position - 1].end..own.end,
    }
}

/// The blanks before something, if it begins a line: what comes next to it begins a line too.
fn lead_of(text: &str, start: usize) -> String {
    let before = &text[..start];
    let blanks = before.len() - before.trim_end().len();
    let lead = &before[before.len() - blanks..];
    match lead.rfind('\n') {
        Some(newline) => lead[newline..].to_owned(),
        None if lead.is_empty() => String::new(),
        None => " ".into(),
    }
}

/// Goes as far along the keys as there is something; how many it went.
fn descend<'n>(root: &'n Node, keys: &[String]) -> (&'n Node, usize) {
    let mut node = root;
    for (at, key) in keys.iter().enumerate() {
        let next = match &node.data {
            Data::Object(members) => members.iter().find(|member| member.key == *key).map(|member| &member.value),
            Data::Array(items) => key.parse::<usize>().ok().and_then(|index| items.get(index)),
            Data::Scalar => None,
        };
        match next {
            Some(next) => node = next,
            None => return (node, at),
        }
    }
    (node, keys.len())
}

fn scalar_text(value: &Value) -> Result<String, Error> {
    if value.kind == Kind::Float {
        // The canonical text, not serde's: older versions wrote whole numbers as floats.
        let text = value.as_text().unwrap_or_default();
        if text.bytes().all(|byte| byte.is_ascii_digit() || b".-".contains(&byte)) {
            return Ok(text.to_owned());
        }
    }
    Ok(json_of(value)?.to_string())
}

fn new_block(text: &str, parsed: &Parsed, metadata: &Metadata) -> Result<Edit, Error> {
    let at = parsed.layout.insert_at;
    let root = json_text::parse(text)?;
    let Data::Object(members) = &root.data else { return Err(Error::Unsupported("the top is no object".into())) };
    let block = Json::Object(metadata.raw.clone());
    let first = members.iter().find(|member| member.key != BLOCK_KEY);
    let lead = first.map_or_else(String::new, |member| lead_of(text, member.key_span.start));
    let body = if lead.contains('\n') {
        let indent = lead.trim_start_matches('\n').to_owned();
        format!("\"{BLOCK_KEY}\": {}", pretty(&block, &indent))
    } else {
        format!("\"{BLOCK_KEY}\":{block}")
    };
    let comma = if first.is_some() { "," } else { "" };
    Ok((at..at, Zeroizing::new(format!("{comma}{lead}{body}"))))
}

/// Indented with the document's own unit, which is the indentation of its top-level keys.
fn pretty(json: &Json, indent: &str) -> String {
    let unit = if indent.is_empty() { "  " } else { indent };
    let text = {
        let mut bytes = Vec::new();
        let formatter = serde_json::ser::PrettyFormatter::with_indent(unit.as_bytes());
        let mut writer = serde_json::Serializer::with_formatter(&mut bytes, formatter);
        match serde::Serialize::serialize(json, &mut writer) {
            Ok(()) => String::from_utf8(bytes).unwrap_or_default(),
            Err(_) => json.to_string(),
        }
    };
    text.replace('\n', &format!("\n{indent}"))
}

fn parse(text: &str) -> Result<Parsed, Error> {
    let root = json_text::parse(text)?;
    let Data::Object(members) = &root.data else {
        return Err(Error::Unsupported("the top of the file is no object: SOPS encrypts values that have keys".into()));
    };
    let mut parsed = Parsed { slots: Vec::new(), metadata: None, layout: Layout::default() };
    let spans: Vec<_> = members.iter().map(|member| member.key_span.start..member.value.span.end).collect();
    let mut last = root.span.start + 1;
    for (position, member) in members.iter().enumerate() {
        if member.key != BLOCK_KEY {
            last = member.value.span.end;
            continue;
        }
        parsed.layout.blocks.push(member_range(&spans, position));
        let json: Json = serde_json::from_str(&text[member.value.span.clone()])
            .map_err(|_| Error::BadMetadata("it is no JSON".into()))?;
        let Json::Object(raw) = json else { return Err(Error::BadMetadata("it is no object".into())) };
        parsed.metadata = Some(Metadata { raw });
        if let Data::Object(inner) = &member.value.data {
            for key in ["mac", "lastmodified"] {
                let stamp = inner.iter().find(|member| member.key == key);
                parsed.layout.stamps.extend(stamp.map(|member| (key, member.value.span.clone())));
            }
        }
    }
    parsed.layout.insert_at = last;
    walk(text, &root, &[], &Pointer::root(), &mut parsed, &mut PlaceBudget::new(text.len()))?;
    Ok(parsed)
}

fn walk(
    text: &str,
    node: &Node,
    path: &[String],
    pointer: &Pointer,
    parsed: &mut Parsed,
    budget: &mut PlaceBudget,
) -> Result<(), Error> {
    budget.spend(pointer)?;
    match &node.data {
        Data::Object(members) => {
            if members.is_empty() {
                parsed.layout.collections.push((pointer.clone(), "a mapping"));
            }
            for member in members
                .iter()
                .filter(|member| !(path.is_empty() && pointer.as_str().is_empty() && member.key == BLOCK_KEY))
            {
                let path: Vec<String> = path.iter().cloned().chain([member.key.clone()]).collect();
                walk(text, &member.value, &path, &pointer.join(&member.key), parsed, budget)?;
            }
        }
        Data::Array(items) => {
            if items.is_empty() {
                parsed.layout.collections.push((pointer.clone(), "a list"));
            }
            for (index, item) in items.iter().enumerate() {
                walk(text, item, path, &pointer.join(index), parsed, budget)?;
            }
        }
        Data::Scalar => {
            let json: Json = serde_json::from_str(&text[node.span.clone()]).unwrap_or_default();
            let value = value_of(&json).ok_or_else(|| Error::Unsupported("a number is too large".into()))?;
            parsed.slots.push(Slot::new(pointer.clone(), path.to_vec(), value, node.span.clone()));
        }
    }
    Ok(())
}
