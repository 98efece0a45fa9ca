//! What is read as JSON is what serde_json reads, but for keys that stand twice; and what is written is read again, byte for byte.
#![no_main]

use cli::{canonical_json, parse_json};
use contract::SchemaId;
use serde_json::Value;

libfuzzer_sys::fuzz_target!(|text: &str| {
    let ours = parse_json(text);
    let theirs: Result<Vec<Value>, _> = serde_json::Deserializer::from_str(text).into_iter().collect();
    let values = match (ours, theirs) {
        (Ok(ours), Ok(theirs)) => {
            assert!(ours.iter().map(|(_, value)| value).eq(theirs.iter()), "another value was read");
            theirs
        }
        (Err(error), Ok(_)) => return assert_eq!(error.code, "duplicate_key"),
        (Ok(_), Err(error)) => panic!("read what is no JSON: {error}"),
        (Err(_), Err(_)) => return,
    };
    for value in values.iter().filter(|value| !has_schema(value)) {
        for one_line in [true, false] {
            let written = canonical_json(SchemaId::FINDINGS, value, one_line);
            let mut read: Value = serde_json::from_str(&written).expect("what is written is JSON");
            if let Value::Object(keys) = &mut read {
                assert_eq!(keys.remove("schema"), Some("findings/v1".into()));
                assert_eq!(canonical_json(SchemaId::FINDINGS, &read, one_line), written);
            }
            assert_eq!(&read, value);
        }
    }
});

fn has_schema(value: &Value) -> bool {
    value.get("schema").is_some()
}
