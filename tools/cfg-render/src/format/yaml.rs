//! YAML in block style from JSON values. Every string is quoted as in JSON, so that none is taken for a number, a truth
//! value or a date.

use std::borrow::Cow;
use std::iter::repeat_n;

use serde_json::Value;

/// The text of a value.
pub fn write(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::Object(map) if !map.is_empty() => write_map(&mut out, map, 0),
        Value::Array(items) if !items.is_empty() => write_list(&mut out, items, 0),
        scalar => {
            out.push_str(&scalar_text(scalar));
            out.push('\n');
        }
    }
    out
}

fn write_map(out: &mut String, map: &serde_json::Map<String, Value>, depth: usize) {
    for (index, (key, value)) in map.iter().enumerate() {
        // The first key of a map in a list stands behind the dash.
        if index > 0 || !out.ends_with("- ") {
            out.extend(repeat_n("  ", depth));
        }
        out.push_str(&key_text(key));
        out.push(':');
        write_value(out, value, depth);
    }
}

fn write_value(out: &mut String, value: &Value, depth: usize) {
    match value {
        Value::Object(map) if !map.is_empty() && tagged(value).is_none() => {
            out.push('\n');
            write_map(out, map, depth + 1);
        }
        Value::Array(items) if !items.is_empty() => {
            out.push('\n');
            write_list(out, items, depth + 1);
        }
        scalar => {
            out.push(' ');
            out.push_str(&scalar_text(scalar));
            out.push('\n');
        }
    }
}

fn write_list(out: &mut String, items: &[Value], depth: usize) {
    for item in items {
        out.extend(repeat_n("  ", depth));
        out.push_str("- ");
        match item {
            Value::Object(map) if !map.is_empty() && tagged(item).is_none() => write_map(out, map, depth + 1),
            Value::Array(inner) if !inner.is_empty() => {
                out.push('\n');
                write_list(out, inner, depth + 1);
            }
            scalar => {
                out.push_str(&scalar_text(scalar));
                out.push('\n');
            }
        }
    }
}

fn key_text(key: &str) -> Cow<'_, str> {
    let plain = !key.is_empty()
        && key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '-')
        && key.starts_with(|c: char| c.is_ascii_alphabetic())
        && !WORDS.iter().any(|word| key.eq_ignore_ascii_case(word));
    if plain { key.into() } else { string_text(key).into() }
}

/// Words that mean something else than their letters.
const WORDS: [&str; 9] = ["y", "n", "yes", "no", "on", "off", "true", "false", "null"];

/// Tags of Authentik's blueprints: an object with one of them as its only key is a value of that tag.
const TAGS: [&str; 2] = ["!Find", "!KeyOf"];

/// A value of a tag, and the tag.
fn tagged(value: &Value) -> Option<(&str, &Value)> {
    let Value::Object(map) = value else { return None };
    let (key, inner) = map.iter().next().filter(|_| map.len() == 1)?;
    TAGS.contains(&key.as_str()).then_some((key.as_str(), inner))
}

fn scalar_text(value: &Value) -> String {
    if let Some((tag, inner)) = tagged(value) {
        // JSON is YAML in flow style.
        return format!("{tag} {inner}");
    }
    match value {
        Value::String(text) => string_text(text),
        other => other.to_string(),
    }
}

/// JSON's quoting, with those characters escaped that YAML does not take raw (YAML 1.2 section 5.1).
fn string_text(text: &str) -> String {
    if text.bytes().all(|byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\') {
        return format!("\"{text}\"");
    }
    let json = Value::String(text.to_owned()).to_string();
    let mut out = String::with_capacity(json.len());
    for c in json.chars() {
        match c {
            '\u{7f}'..='\u{9f}' | '\u{2028}' | '\u{2029}' | '\u{feff}' | '\u{fffe}' | '\u{ffff}' => {
                out.push_str(&format!("\\u{:04x}", c as u32));
            }
            c => out.push(c),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn writes_block_style() {
        let value = json!({"a": {"b": [1, "no", {"c": true, "d": []}]}, "e": {}, "on": "x\u{7f}"});
        assert_eq!(
            write(&value),
            "a:\n  b:\n    - 1\n    - \"no\"\n    - c: true\n      d: []\ne: {}\n\"on\": \"x\\u007f\"\n"
        );
    }
}
