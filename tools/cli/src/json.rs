//! JSON as the contract wants it: duplicate keys are errors, comments and extensions are taken out, output is canonical.

use contract::{Pointer, SchemaId};
use serde::de;
use serde_json::Value;

use crate::canonical::{canonical, push_line, push_text, write_inner};
use crate::tree::Tree;

/// Why a text is no good JSON document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JsonError {
    /// Stable name of the error.
    pub code: &'static str,
    /// What is wrong.
    pub message: String,
    /// Where it is, if that is known as a place in the document.
    pub pointer: Option<Pointer>,
    /// Line from 1, in the whole text.
    pub line: u64,
    /// Column from 1.
    pub column: u64,
}

/// Reads the JSON values of a text, one after another, each with the byte at which it begins.
///
/// # Errors
/// The first thing that is no JSON, or a key that stands twice in one object.
pub fn parse_json(text: &str) -> Result<Vec<(usize, Value)>, JsonError> {
    Ok(parse_trees(text)?.into_iter().map(|(start, tree)| (start, tree.into())).collect())
}

/// The same as they were read.
pub(crate) fn parse_trees(text: &str) -> Result<Vec<(usize, Tree)>, JsonError> {
    let mut stream = serde_json::Deserializer::from_str(text).into_iter::<Tree>();
    let mut trees = Vec::new();
    loop {
        let start = stream.byte_offset();
        match stream.next() {
            None => return Ok(trees),
            Some(Ok(tree)) => {
                let blank = text[start..].len() - text[start..].trim_start().len();
                trees.push((start + blank, tree));
            }
            Some(Err(error)) => return Err(describe(&error)),
        }
    }
}

/// What separates the path that duplicate keys collect on their way out from the message.
const MARK: char = '\u{1}';

fn describe(error: &serde_json::Error) -> JsonError {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(head, _)| head);
    let (line, column) = (error.line() as u64, error.column() as u64);
    if let Some((path, message)) = text.strip_prefix(MARK).and_then(|rest| rest.split_once(MARK)) {
        return JsonError {
            code: "duplicate_key",
            message: message.into(),
            pointer: Some(Pointer::parse(path)),
            line,
            column,
        };
    }
    let message = match error.classify() {
        serde_json::error::Category::Eof => "the document ends in the middle".to_owned(),
        _ => format!("no JSON: {text}"),
    };
    JsonError { code: "syntax", message, pointer: None, line, column }
}

/// The error of a key that stands twice in an object, with the beginning of its path.
pub(crate) fn twice<E: de::Error>(key: &str) -> E {
    let place = Pointer::root().join(key);
    E::custom(format_args!("{MARK}{place}{MARK}the key \"{key}\" stands twice"))
}

/// Puts a key before the path of a duplicate key that lies deeper; leaves every other error as it is.
pub(crate) fn inside<E: de::Error>(key: &str, error: E) -> E {
    let text = error.to_string();
    match text.strip_prefix(MARK) {
        Some(rest) => E::custom(format_args!("{MARK}{}{rest}", Pointer::root().join(key))),
        None => error,
    }
}

/// Takes out what all readers ignore: `x-*` keys and the comment `//` everywhere, `$schema` at the root.
pub fn strip_extensions(value: &mut Value) {
    let mut tree = Tree::from(value.take());
    tree.strip_extensions();
    *value = tree.into();
}

/// The bytes of a document: sorted keys, `schema` first; indented, or on one line for JSON Lines. Ends with a newline.
pub fn canonical_json(schema: SchemaId, value: &Value, one_line: bool) -> String {
    // A tree holds nothing that JSON cannot.
    canonical(schema, value, one_line).unwrap_or_default()
}

/// The same bytes for a document of which one list is long: the elements are made and written one after another.
///
/// # Errors
/// Whatever `write` answers.
pub(crate) fn canonical_json_listed<E>(
    schema: SchemaId,
    head: &Value,
    list: &str,
    elements: impl Iterator<Item = Value>,
    mut write: impl FnMut(&str) -> Result<(), E>,
) -> Result<(), E> {
    let mut text = String::from("{");
    let entry = |text: &mut String, key: &str| {
        push_line(text, false, 1);
        push_text(text, key);
        text.push_str(": ");
    };
    let inner = |text: &mut String, value: &Value, depth| {
        // A tree holds nothing that JSON cannot.
        let _ = write_inner(text, value, false, depth);
    };
    entry(&mut text, "schema");
    push_text(&mut text, schema.as_str());
    let mut keys: Vec<&str> = head.as_object().into_iter().flatten().map(|(key, _)| key.as_str()).collect();
    keys.retain(|key| *key != list);
    keys.push(list);
    keys.sort_unstable();
    let mut elements = Some(elements);
    for key in keys {
        text.push(',');
        entry(&mut text, key);
        if key != list {
            inner(&mut text, &head[key], 1);
            continue;
        }
        text.push('[');
        let mut count = 0;
        for element in elements.take().into_iter().flatten() {
            if count > 0 {
                text.push(',');
            }
            push_line(&mut text, false, 2);
            inner(&mut text, &element, 2);
            count += 1;
            if text.len() > CHUNK {
                write(&text)?;
                text.clear();
            }
        }
        if count > 0 {
            push_line(&mut text, false, 1);
        }
        text.push(']');
    }
    push_line(&mut text, false, 0);
    text.push_str("}\n");
    write(&text)
}

/// How much is written at once.
const CHUNK: usize = 32 * 1024;

#[cfg(test)]
pub(crate) mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn duplicate_keys_name_their_place() {
        let error = parse_json(r#"{"zones":[{"a/b":{"ttl":1,"ttl":2}}]}"#).unwrap_err();
        assert_eq!(error.code, "duplicate_key");
        assert_eq!(error.pointer, Some(Pointer::parse("/zones/0/a~1b/ttl")));
        assert_eq!(error.line, 1);
    }

    #[test]
    fn several_documents_and_their_places() {
        let values = parse_json("{\"a\":1}\n\n {\"b\":2}\n").unwrap();
        assert_eq!(values.iter().map(|(at, _)| *at).collect::<Vec<_>>(), [0, 10]);
        assert_eq!(parse_json("{\"a\":1} x").unwrap_err().code, "syntax");
        assert_eq!(parse_json("{\"a\":").unwrap_err().message, "the document ends in the middle");
        assert!(parse_json(&"[".repeat(100_000)).is_err());
    }

    #[test]
    fn comments_and_extensions_are_ignored() {
        let mut value =
            json!({"$schema": "x", "//": "why", "x-mine": 1, "a": [{"//": 1, "b": {"x-y": 2, "$schema": "kept"}}]});
        strip_extensions(&mut value);
        assert_eq!(value, json!({"a": [{"b": {"$schema": "kept"}}]}));
    }

    #[test]
    fn the_schema_is_first_and_keys_are_sorted() {
        let text = canonical_json(SchemaId::FINDINGS, &json!({"b": [], "a": {"d": {}, "c": "é\""}}), true);
        assert_eq!(text, "{\"schema\":\"findings/v1\",\"a\":{\"c\":\"é\\\"\",\"d\":{}},\"b\":[]}\n");
        let text = canonical_json(SchemaId::FINDINGS, &json!({"a": [1, 2]}), false);
        assert_eq!(text, "{\n  \"schema\": \"findings/v1\",\n  \"a\": [\n    1,\n    2\n  ]\n}\n");
    }

    #[test]
    fn a_list_written_in_parts_is_the_same() {
        for list in [json!([]), json!([{"b": 1, "a": []}]), json!([1, {"x": {"y": 2}}, "z"])] {
            let whole = json!({"list": list, "a": 1, "z": {"k": [true]}});
            let head = json!({"a": 1, "z": {"k": [true]}, "list": []});
            let mut text = String::new();
            let elements = list.as_array().unwrap().clone().into_iter();
            let written = canonical_json_listed(SchemaId::FINDINGS, &head, "list", elements, |part| {
                text.push_str(part);
                Ok::<_, ()>(())
            });
            assert!(written.is_ok());
            assert_eq!(text, canonical_json(SchemaId::FINDINGS, &whole, false));
        }
    }

    pub(crate) fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i64>().prop_map(|number| json!(number)),
            "\\PC{0,12}".prop_map(Value::String)
        ];
        leaf.prop_recursive(4, 64, 6, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..6).prop_map(Value::Array),
                prop::collection::btree_map("[a-z\"\\\\/~ ]{0,6}", inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(value in any_json(), one_line: bool) {
            let text = canonical_json(SchemaId::FINDINGS, &json!({"inner": value}), one_line);
            let mut read = parse_json(&text).unwrap().remove(0).1;
            read.as_object_mut().unwrap().remove("schema");
            prop_assert_eq!(read, json!({"inner": value}));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,64}") {
            let _ = parse_json(&text);
        }
    }
}
