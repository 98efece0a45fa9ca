//! What must be true of the body of an answer.

use cli::Secret;
use contract::Finding;
use contract::document::BodyCondition;
use regex::Regex;
use serde_json::{Number, Value};

use super::{Preparing, quoted};
use crate::observation::Problem;
use crate::profile::Expect;
use crate::reason::Reason;

/// A condition on a body.
#[derive(Debug)]
pub(super) enum Condition {
    /// This text is in it.
    Contains(String),
    /// This text is not in it.
    NotContains(String),
    /// This expression matches it.
    Matches(Regex),
    /// It is JSON, and a value in it is as it must be.
    Json(String, Box<JsonTest>),
}

/// What a value in JSON must be. An empty test asks for any value but null.
#[derive(Debug, Default)]
pub(super) struct JsonTest {
    equals: Option<Value>,
    not_equals: Option<Value>,
    one_of: Vec<Value>,
    contains: Option<Value>,
    absent: bool,
    min_length: Option<u64>,
    matches: Option<Regex>,
    at_least: Option<Number>,
    at_most: Option<Number>,
}

/// Prepares the conditions of a check.
pub(super) fn prepare(conditions: &[BodyCondition], preparing: &mut Preparing<'_>) -> Vec<Condition> {
    let mut prepared = Vec::new();
    for (at, condition) in conditions.iter().enumerate() {
        let place = preparing.at.join("body").join(at);
        let given = [
            condition.contains.is_some(),
            condition.not_contains.is_some(),
            condition.matches.is_some(),
            condition.json.is_some(),
        ];
        if given.iter().filter(|given| **given).count() != 1 {
            let message = "a condition is exactly one of contains, not_contains, matches and json";
            preparing.findings.push(Finding::error("one-condition", place, message));
            continue;
        }
        if let Some(text) = &condition.contains {
            prepared.push(Condition::Contains(text.clone()));
        }
        if let Some(text) = &condition.not_contains {
            prepared.push(Condition::NotContains(text.clone()));
        }
        if let Some(text) = &condition.matches {
            prepared.extend(preparing.regex(&place.join("matches"), text).map(Condition::Matches));
        }
        if let Some(json) = &condition.json {
            let pointer = json.pointer.as_str();
            let place = place.join("json");
            if !(pointer.is_empty() || pointer.starts_with('/')) {
                let message = "a JSON pointer begins with / (RFC 6901)";
                preparing.findings.push(Finding::error("bad-pointer", place.join("pointer"), message));
            }
            let matches = json.matches.as_deref().map(|text| preparing.regex(&place.join("matches"), text));
            if let Some(None) = matches {
                continue;
            }
            let given = json.equals.is_some() || json.not_equals.is_some() || !json.one_of.is_empty();
            if json.absent && (given || json.contains.is_some() || json.min_length.is_some() || json.matches.is_some())
            {
                let message = "what must be absent has no value";
                preparing.findings.push(Finding::error("contradiction", place.join("absent"), message));
            }
            let test = JsonTest {
                not_equals: json.not_equals.clone(),
                one_of: json.one_of.clone(),
                contains: json.contains.clone(),
                absent: json.absent,
                min_length: json.min_length,
                equals: json.equals.clone(),
                matches: matches.flatten(),
                at_least: json.at_least.clone(),
                at_most: json.at_most.clone(),
            };
            prepared.push(Condition::Json(pointer.to_owned(), Box::new(test)));
        }
    }
    prepared
}

impl Condition {
    /// A condition of a profile.
    pub(super) fn of_profile(expect: &Expect) -> Self {
        let equal = |pointer: &str, value: Value| {
            Condition::Json(pointer.to_owned(), Box::new(JsonTest { equals: Some(value), ..JsonTest::default() }))
        };
        match expect {
            Expect::Contains(text) => Condition::Contains((*text).to_owned()),
            Expect::Lacks(text) => Condition::NotContains((*text).to_owned()),
            Expect::Text(pointer, text) => equal(pointer, Value::from(*text)),
            Expect::Flag(pointer, flag) => equal(pointer, Value::from(*flag)),
            Expect::Present(pointer) => Condition::Json((*pointer).to_owned(), Box::default()),
        }
    }

    /// Whether the body must be read as JSON.
    pub(super) fn wants_json(&self) -> bool {
        matches!(self, Condition::Json(..))
    }

    /// Whether a body is as it must be.
    ///
    /// # Errors
    /// It is not.
    pub(super) fn test(&self, text: &str, json: Option<&Value>, secrets: &[Secret]) -> Result<(), Problem> {
        let fail = |message: String| Err(Problem::fail(Reason::BodyMismatch, message));
        match self {
            Condition::Contains(wanted) if !text.contains(wanted.as_str()) => {
                fail(format!("the body does not contain {}", quoted(wanted, secrets)))
            }
            Condition::NotContains(unwanted) if text.contains(unwanted.as_str()) => {
                fail(format!("the body contains {}", quoted(unwanted, secrets)))
            }
            Condition::Matches(regex) if !regex.is_match(text) => fail(format!("the body does not match {regex}")),
            Condition::Contains(_) | Condition::NotContains(_) | Condition::Matches(_) => Ok(()),
            Condition::Json(pointer, test) => {
                let Some(json) = json else {
                    return Err(Problem::fail(Reason::BodyNotJson, "the body is no JSON"));
                };
                match json.pointer(pointer) {
                    None if test.absent => Ok(()),
                    Some(value) if test.absent => {
                        let shown = quoted(value.to_string().trim_matches('"'), secrets);
                        fail(format!("{pointer} in the body is {shown}, but must not be there"))
                    }
                    None => fail(format!("the body holds nothing at {pointer}")),
                    Some(value) => match test.unmet(value) {
                        None => Ok(()),
                        Some(wanted) => {
                            let shown = quoted(value.to_string().trim_matches('"'), secrets);
                            fail(format!("{pointer} in the body is {shown}, wanted {wanted}"))
                        }
                    },
                }
            }
        }
    }
}

impl JsonTest {
    /// What is wanted instead of the value, if it is not good.
    fn unmet(&self, value: &Value) -> Option<String> {
        let number = value.as_f64();
        if let Some(wanted) = &self.equals
            && !same(wanted, value)
        {
            return Some(wanted.to_string());
        }
        if let Some(regex) = &self.matches
            && !value.as_str().is_some_and(|text| regex.is_match(text))
        {
            return Some(format!("a text that matches {regex}"));
        }
        if let Some(limit) = &self.at_least
            && !number.zip(limit.as_f64()).is_some_and(|(number, limit)| number >= limit)
        {
            return Some(format!("at least {limit}"));
        }
        if let Some(limit) = &self.at_most
            && !number.zip(limit.as_f64()).is_some_and(|(number, limit)| number <= limit)
        {
            return Some(format!("at most {limit}"));
        }
        if let Some(unwanted) = &self.not_equals
            && same(unwanted, value)
        {
            return Some("anything else".to_owned());
        }
        if !self.one_of.is_empty() && !self.one_of.iter().any(|wanted| same(wanted, value)) {
            let wanted: Vec<_> = self.one_of.iter().map(Value::to_string).collect();
            return Some(format!("one of {}", wanted.join(", ")));
        }
        if let Some(part) = &self.contains
            && !contains(value, part)
        {
            return Some(format!("something with {part} in it"));
        }
        if let Some(least) = self.min_length
            && length(value).is_none_or(|length| length < least)
        {
            return Some(format!("something with a length of at least {least}"));
        }
        let any = self.equals.is_none()
            && self.not_equals.is_none()
            && self.one_of.is_empty()
            && self.contains.is_none()
            && self.min_length.is_none()
            && self.matches.is_none()
            && self.at_least.is_none()
            && self.at_most.is_none();
        (any && value.is_null()).then(|| "any value".to_owned())
    }
}

/// Whether a text holds a text, an array an element, or an object a key.
fn contains(value: &Value, part: &Value) -> bool {
    match (value, part) {
        (Value::String(text), Value::String(part)) => text.contains(part.as_str()),
        (Value::Array(elements), part) => elements.iter().any(|element| same(part, element)),
        (Value::Object(object), Value::String(key)) => object.contains_key(key),
        _ => false,
    }
}

/// Characters of a text, elements of an array, keys of an object.
fn length(value: &Value) -> Option<u64> {
    match value {
        Value::String(text) => Some(text.chars().count() as u64),
        Value::Array(elements) => Some(elements.len() as u64),
        Value::Object(object) => Some(object.len() as u64),
        _ => None,
    }
}

/// Whether two values are the same; 1 and 1.0 are.
fn same(wanted: &Value, value: &Value) -> bool {
    match (wanted.as_f64(), value.as_f64()) {
        (Some(wanted), Some(value)) => wanted.to_bits() == value.to_bits() || (wanted - value).abs() == 0.0,
        _ => wanted == value,
    }
}

/// Parts that a health page calls unhealthy: `{"database":"failing"}`, `{"checks":{"cache:ping":[{"status":"fail"}]}}`.
pub(super) fn failing_parts(json: &Value) -> Vec<String> {
    const GOOD: [&str; 8] = ["ok", "pass", "healthy", "up", "ready", "connected", "true", "running"];
    const PARTS: [&str; 9] =
        ["database", "db", "redis", "cache", "queue", "storage", "postgres", "postgresql", "search"];
    let bad = |value: &Value| -> Option<String> {
        let status = value.get("status").unwrap_or(value);
        let word = status.as_str().map(str::to_owned).or_else(|| status.as_bool().map(|flag| flag.to_string()))?;
        let plain = word.len() <= 24 && word.chars().all(|c| c.is_ascii_alphanumeric() || " _-".contains(c));
        (plain && !GOOD.contains(&word.to_ascii_lowercase().as_str())).then_some(word)
    };
    let plain_name =
        |name: &str| name.len() <= 40 && name.chars().all(|c| c.is_ascii_alphanumeric() || "_:.-".contains(c));
    let mut parts = Vec::new();
    let groups = ["checks", "components", "services", "dependencies"];
    for (name, value) in groups.iter().filter_map(|group| json.get(group)?.as_object()).flatten() {
        let values = value.as_array().map_or(std::slice::from_ref(value), Vec::as_slice);
        if let Some(word) = values.iter().find_map(bad)
            && plain_name(name)
        {
            parts.push(format!("{name}: {word}"));
        }
    }
    for part in PARTS {
        if let Some(word) = json.get(part).and_then(bad) {
            parts.push(format!("{part}: {word}"));
        }
    }
    for name in json.get("failing").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
        if plain_name(name) {
            parts.push(format!("{name}: failing"));
        }
    }
    parts.truncate(8);
    parts
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    #[test]
    fn numbers_texts_and_absence() {
        let test = |value: Value, test: JsonTest| test.unmet(&value).is_none();
        assert!(test(json!(1), JsonTest { equals: Some(json!(1.0)), ..JsonTest::default() }));
        assert!(!test(json!("1"), JsonTest { equals: Some(json!(1)), ..JsonTest::default() }));
        assert!(test(json!(5), JsonTest { at_least: Some(5.into()), ..JsonTest::default() }));
        assert!(!test(json!(5), JsonTest { at_most: Some(4.into()), ..JsonTest::default() }));
        assert!(!test(json!(null), JsonTest::default()));
        assert!(test(json!(false), JsonTest::default()));
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::Bool),
            any::<i32>().prop_map(Value::from),
            any::<f32>().prop_map(Value::from),
            "[a-z]{0,4}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::Array),
                prop::collection::btree_map("[a-z]{1,3}", inner, 0..4)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn opposites_are_opposites(value in any_json(), other in any_json()) {
            let met = |test: JsonTest| test.unmet(&value).is_none();
            let itself = met(JsonTest { equals: Some(value.clone()), ..JsonTest::default() });
            prop_assert!(itself);
            let equals = met(JsonTest { equals: Some(other.clone()), ..JsonTest::default() });
            prop_assert_eq!(equals, !met(JsonTest { not_equals: Some(other.clone()), ..JsonTest::default() }));
            prop_assert_eq!(equals, met(JsonTest { one_of: vec![other.clone()], ..JsonTest::default() }));
            if let Some(length) = length(&value) {
                let reaches = |length| met(JsonTest { min_length: Some(length), ..JsonTest::default() });
                prop_assert!(reaches(length) && !reaches(length + 1));
            }
            if let Value::Array(elements) = &value {
                for element in elements {
                    let contained = met(JsonTest { contains: Some(element.clone()), ..JsonTest::default() });
                    prop_assert!(contained);
                }
            }
            let _ = failing_parts(&value);
        }
    }

    #[test]
    fn parts_that_fail_are_named() {
        let forgejo = json!({"status": "fail", "checks": {"database:ping": [{"status": "fail"}], "cache:ping": [{"status": "pass"}]}});
        assert_eq!(failing_parts(&forgejo), ["database:ping: fail"]);
        assert_eq!(failing_parts(&json!({"database": "failing", "version": "1"})), ["database: failing"]);
        assert_eq!(failing_parts(&json!({"ready": false, "failing": ["telegram"]})), ["telegram: failing"]);
        assert!(failing_parts(&json!({"database": "ok"})).is_empty());
        // Nothing that could be anything goes into a report.
        assert!(failing_parts(&json!({"database": "s3cr3t/with+everything=="})).is_empty());
    }
}
