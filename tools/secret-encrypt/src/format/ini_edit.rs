//! Changing the sections and keys of an INI text by pointer.

use contract::Pointer;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::Style;
use super::Text;
use super::ini::BLOCK;
use super::ini_text::{self, DEFAULT, Ini, Section, bom, write_before, write_key, write_value};
use super::splice::{line_end, line_start, splice};
use crate::Error;
use crate::sops::{Kind, Value};

/// The text with a value at a pointer; a section that is not there is made.
pub(super) fn put(text: &str, pointer: &Pointer, value: &Json) -> Result<Text, Error> {
    let keys: Vec<String> = pointer.keys().collect();
    match (keys.as_slice(), value) {
        ([_], Json::Object(members)) => {
            let mut out = Zeroizing::new(text.as_bytes().to_vec());
            for (key, value) in members {
                out = put(super::text_of(&out)?, &pointer.join(key), value)?;
            }
            Ok(out)
        }
        (_, Json::Object(_) | Json::Array(_)) => {
            Err(Error::Unsupported("INI holds sections of keys with text, nothing deeper".into()))
        }
        ([section, key], _) if section != BLOCK => put_key(text, section, key, value),
        _ => Err(Error::nothing_at(pointer)),
    }
}

/// The text without the section or key at a pointer.
pub(super) fn remove(text: &str, pointer: &Pointer) -> Result<Text, Error> {
    let ini = ini_text::parse(text)?;
    let keys: Vec<String> = pointer.keys().collect();
    let nowhere = || Error::nothing_at(pointer);
    let name = keys.first().filter(|name| *name != BLOCK).ok_or_else(nowhere)?;
    let section = ini.sections.iter().find(|section| section.in_pointer() == *name).ok_or_else(nowhere)?;
    let range = match keys.as_slice() {
        [_] => {
            let start = first_line(text, section);
            // The blank line before a section goes with it.
            let blank = text[..start].ends_with("\n\n");
            start - usize::from(blank)..section.end
        }
        [_, key] => {
            let key = section.keys.iter().find(|found| found.name == *key).ok_or_else(nowhere)?;
            // Its line alone, as in every other format: sops too keeps a comment of which the key goes.
            key.start..key.end
        }
        _ => return Err(nowhere()),
    };
    Ok(splice(text, vec![(range, Zeroizing::default())]))
}

/// Where a section begins with the comments that belong to it.
fn first_line(text: &str, section: &Section) -> usize {
    let comment = section.comment.iter().find(|piece| !piece.inline);
    comment.map_or(section.start, |piece| line_start(text, piece.range.start))
}

fn put_key(text: &str, name: &str, key: &str, value: &Json) -> Result<Text, Error> {
    let ini = ini_text::parse(text)?;
    let value = super::value_of(value).unwrap_or_else(Value::null);
    let raw = match value.as_text() {
        Some("True") if value.kind == Kind::Bool => "true",
        Some("False") if value.kind == Kind::Bool => "false",
        other => other.unwrap_or_default(),
    };
    let section = ini.sections.iter().find(|section| section.in_pointer() == name);
    if let Some(found) = section.and_then(|section| section.keys.iter().find(|found| found.name == key)) {
        let behind = text[found.span.end..line_end(text, found.span.end)].trim_end();
        let mut written = Zeroizing::new(write_before(raw, found.style, behind)?);
        // A key without a value may end in its equals sign.
        let before = &text[..found.span.start];
        if found.value.is_empty() && [" =", " :", ":"].iter().any(|end| before.ends_with(end)) {
            written.insert(0, ' ');
        }
        return Ok(splice(text, vec![(found.span.clone(), written)]));
    }
    let unfit = |what: &str| Error::Unsupported(format!("INI cannot hold a {what} of this name"));
    let written = Zeroizing::new(write_value(raw, Style::Plain)?);
    let key = write_key(key).ok_or_else(|| unfit("key"))?;
    let equals = equals_of(text, &ini, section);
    let line = Zeroizing::new(format!("{key}{equals}{}", &*written));
    let (at, new) = match section {
        Some(section) => (section.end, format!("{}\n", &*line)),
        None if name == DEFAULT => {
            // Only before every header is a key in no section.
            let first = ini.sections.first().map_or(bom(text), |section| first_line(text, section));
            (first, format!("{}\n\n", &*line))
        }
        None => {
            if name.is_empty() || name.contains('\n') || name.contains(']') && name.contains(['#', ';']) {
                return Err(unfit("section"));
            }
            let at =
                ini.sections.iter().rfind(|section| section.name != BLOCK).map_or(bom(text), |section| section.end);
            let blank = if at == bom(text) { "" } else { "\n" };
            (at, format!("{blank}[{name}]\n{}\n", &*line))
        }
    };
    let mut new = Zeroizing::new(new);
    if at > bom(text) && !text[..at].ends_with('\n') {
        // No line break at the end before, none after.
        let body = Zeroizing::new(new.trim_end_matches('\n').to_owned());
        *new = format!("\n{}", &*body);
    } else if at == text.len() && name == DEFAULT && section.is_none() {
        new.pop();
    }
    Ok(splice(text, vec![(at..at, new)]))
}

/// How the file writes its equals signs.
fn equals_of(text: &str, ini: &Ini, section: Option<&Section>) -> String {
    let mut keys = section.into_iter().chain(ini.sections.iter().rev()).filter(|section| section.name != BLOCK);
    let first = keys.find_map(|section| section.keys.first());
    let Some(key) = first else { return " = ".into() };
    let line = &text[key.start..key.span.start];
    let tight = !line.trim_end().trim_end_matches(['=', ':']).ends_with([' ', '\t']);
    match (tight, line.trim_end().ends_with(':')) {
        (true, false) => "=".into(),
        (true, true) => ": ".into(),
        (false, true) => " : ".into(),
        (false, false) => " = ".into(),
    }
}
