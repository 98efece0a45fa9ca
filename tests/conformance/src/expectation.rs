//! What must come out of a run, and whether it did. JSON is compared by meaning, never by bytes.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde_json::Value;

/// What must come out.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Expectation {
    /// The exit code.
    pub exit: i32,
    /// Nothing is on stdout.
    #[serde(default)]
    pub stdout_empty: bool,
    /// stdout is one document of this kind and fits its published schema.
    #[serde(default)]
    pub stdout_schema: Option<String>,
    /// What the document on stdout holds at least.
    #[serde(default)]
    pub stdout_subset: Option<Value>,
    /// Texts that are on stdout.
    #[serde(default)]
    pub stdout_contains: Vec<String>,
    /// stdout is a JSON Schema of draft 2020-12.
    #[serde(default)]
    pub stdout_is_schema: bool,
    /// What the last line of stderr holds at least, which is an error object.
    #[serde(default)]
    pub error: Option<Value>,
    /// Texts that are on stderr.
    #[serde(default)]
    pub stderr_contains: Vec<String>,
    /// Texts that are neither on stdout nor on stderr.
    #[serde(default)]
    pub absent: Vec<String>,
    /// Every line of stderr is JSON.
    #[serde(default)]
    pub stderr_is_json: bool,
    /// Files afterwards, by path below the directory; `null` is one that is not there.
    #[serde(default)]
    pub files: BTreeMap<String, Option<String>>,
}

/// What a program did.
#[derive(Debug, Clone, Default)]
pub(crate) struct Observation {
    pub(crate) exit: Option<i32>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
}

impl Expectation {
    /// Everything that is not as expected, in words.
    pub(crate) fn judge(&self, seen: &Observation, directory: &Path) -> Vec<String> {
        let stdout = String::from_utf8_lossy(&seen.stdout);
        let stderr = String::from_utf8_lossy(&seen.stderr);
        let mut why = Vec::new();
        if seen.exit != Some(self.exit) {
            why.push(format!("exit {:?}, expected {}", seen.exit, self.exit));
        }
        if self.stdout_empty && !stdout.is_empty() {
            why.push("stdout is not empty".into());
        }
        if let Some(kind) = &self.stdout_schema {
            why.extend(fits_schema(&stdout, kind));
        }
        if let Some(subset) = &self.stdout_subset {
            match serde_json::from_str::<Value>(&stdout) {
                Ok(value) => missing(subset, &value, "", &mut why),
                Err(error) => why.push(format!("stdout is no JSON: {error}")),
            }
        }
        if self.stdout_is_schema {
            match serde_json::from_str::<Value>(&stdout) {
                Ok(schema) => {
                    if !jsonschema::draft202012::meta::is_valid(&schema) {
                        why.push("stdout is no JSON Schema of draft 2020-12".into());
                    }
                }
                Err(error) => why.push(format!("stdout is no JSON: {error}")),
            }
        }
        if let Some(error) = &self.error {
            match stderr.lines().last().and_then(|line| serde_json::from_str::<Value>(line).ok()) {
                Some(value) => {
                    why.extend(fits_schema(&value.to_string(), "error/v1"));
                    missing(error, &value, "", &mut why);
                }
                None => why.push("the last line of stderr is no error object".into()),
            }
        }
        if self.stderr_is_json {
            for line in stderr.lines().filter(|line| serde_json::from_str::<Value>(line).is_err()) {
                why.push(format!("a line of stderr is no JSON: {line}"));
            }
        }
        why.extend(
            self.stdout_contains
                .iter()
                .filter(|text| !stdout.contains(*text))
                .map(|text| format!("stdout does not say {text:?}")),
        );
        why.extend(
            self.stderr_contains
                .iter()
                .filter(|text| !stderr.contains(*text))
                .map(|text| format!("stderr does not say {text:?}")),
        );
        for text in self.absent.iter().map(String::as_str).chain(["panicked"]) {
            if stdout.contains(text) || stderr.contains(text) {
                why.push(format!("the output holds {text:?}"));
            }
        }
        for (path, content) in &self.files {
            let found = std::fs::read_to_string(directory.join(path)).ok();
            if found != *content {
                why.push(format!("{path} is {found:?}, expected {content:?}"));
            }
        }
        if !why.is_empty() {
            why.extend(stdout.lines().take(5).map(|line| format!("stdout | {line}")));
            why.extend(stderr.lines().take(8).map(|line| format!("stderr | {line}")));
        }
        why
    }
}

fn fits_schema(text: &str, kind: &str) -> Vec<String> {
    let Ok(value) = serde_json::from_str::<Value>(text) else {
        return vec!["stdout is not one JSON document".into()];
    };
    let mut why = Vec::new();
    if value.get("schema").and_then(Value::as_str) != Some(kind) {
        why.push(format!("\"schema\" is {:?}, expected {kind}", value.get("schema")));
    }
    if !text.trim_start().trim_start_matches('{').trim_start().starts_with("\"schema\"") && kind != "error/v1" {
        why.push("\"schema\" is not the first key".into());
    }
    let Some(schema) = contract::published_schema(kind).and_then(|text| serde_json::from_str::<Value>(text).ok())
    else {
        why.push(format!("no schema is published for {kind}"));
        return why;
    };
    match jsonschema::draft202012::new(&schema) {
        Ok(validator) => {
            why.extend(
                validator.iter_errors(&value).take(5).map(|error| format!("{}: {error}", error.instance_path())),
            );
        }
        Err(error) => why.push(format!("the published schema of {kind} is bad: {error}")),
    }
    why
}

/// What of `subset` is not in `value`: objects may hold more keys, arrays must be as long.
fn missing(subset: &Value, value: &Value, place: &str, why: &mut Vec<String>) {
    match (subset, value) {
        (Value::Object(wanted), Value::Object(found)) => {
            for (key, inner) in wanted {
                match found.get(key) {
                    Some(value) => missing(inner, value, &format!("{place}/{key}"), why),
                    None => why.push(format!("{place}/{key} is not there, expected {inner}")),
                }
            }
        }
        (Value::Array(wanted), Value::Array(found)) if wanted.len() == found.len() => {
            for (index, (inner, value)) in wanted.iter().zip(found).enumerate() {
                missing(inner, value, &format!("{place}/{index}"), why);
            }
        }
        _ if subset == value => {}
        _ => why.push(format!("{place} is {value}, expected {subset}")),
    }
}
