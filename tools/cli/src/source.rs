//! A document together with the text that it came from, so that every error can name its line.

use std::sync::Arc;

use contract::{Document, Exit, Finding, Pointer, SchemaId};
use serde_json::Value;

use crate::json::parse_trees;
use crate::locate::locate;
use crate::tree::{Misfit, Tree};
use crate::{Failure, did_you_mean};

/// The text of an input and what it is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    name: String,
    /// Shared by all documents of one input.
    text: Arc<String>,
    start: usize,
    /// Files that hold parts of the document, where it was put together from several.
    parts: Vec<Part>,
}

/// A file that holds one part of a document.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Part {
    prefix: Pointer,
    name: String,
    text: String,
}

/// A document and where it came from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sourced<D> {
    /// The document.
    pub document: D,
    /// Its text.
    pub source: Source,
}

/// A document that says what it is but has not been read as that yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RawDocument {
    /// The schema id that it carries.
    pub schema: String,
    value: Tree,
    source: Source,
}

impl Source {
    /// The text of a document that is put together from several files: this one holds everything that no part holds.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self::shared(name, Arc::new(text.into()), 0)
    }

    fn shared(name: impl Into<String>, text: Arc<String>, start: usize) -> Self {
        Self { name: name.into(), text, start, parts: Vec::new() }
    }

    /// The same with a file that holds what is at `prefix`.
    #[must_use]
    pub fn with_part(mut self, prefix: Pointer, name: impl Into<String>, text: impl Into<String>) -> Self {
        self.parts.push(Part { prefix, name: name.into(), text: text.into() });
        self
    }

    /// The file that holds a place, and the place in it. `None` where the whole document is one file.
    pub fn file_of(&self, pointer: &Pointer) -> Option<(&str, Pointer)> {
        if self.parts.is_empty() {
            return None;
        }
        let found = self.parts.iter().find_map(|part| Some((part, part.inside(pointer)?)));
        Some(found.map_or_else(|| (self.name.as_str(), pointer.clone()), |(part, rest)| (part.name.as_str(), rest)))
    }

    /// File, line and column of a place, for people.
    pub fn line_at(&self, pointer: &Pointer) -> (&str, u64, u64) {
        for part in &self.parts {
            if let Some(rest) = part.inside(pointer) {
                let (line, column) = locate(&part.text, &rest);
                return (&part.name, line, column);
            }
        }
        let (line, column) = self.line_of(pointer);
        (&self.name, line, column)
    }

    /// What the input is called.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The text of the input.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// The failure of a document whose meaning is wrong, with the line of every finding.
    pub fn failure(&self, findings: impl IntoIterator<Item = Finding>) -> Failure {
        self.located(Failure::bad_document(findings))
    }

    /// Fills in line and column of every error that has a pointer, and the name of the input.
    pub fn located(&self, mut failure: Failure) -> Failure {
        for error in failure.errors_mut() {
            if let (Some(pointer), None) = (&error.pointer, error.line) {
                let (name, line, column) = self.line_at(pointer);
                error.place.get_or_insert_with(|| name.to_owned());
                error.line = Some(line);
                error.column = Some(column);
                if let Some((_, rest)) = self.file_of(pointer) {
                    error.pointer = Some(rest);
                }
            }
            error.place.get_or_insert_with(|| self.name.clone());
        }
        failure
    }

    fn line_of(&self, pointer: &Pointer) -> (u64, u64) {
        let before = self.text.get(..self.start).unwrap_or_default();
        let (line, column) = locate(self.text.get(self.start..).unwrap_or_default(), pointer);
        let offset = before.rsplit('\n').next().unwrap_or_default().chars().count() as u64;
        (before.matches('\n').count() as u64 + line, if line == 1 { column + offset } else { column })
    }
}

impl Part {
    /// A place of the whole document as one of this file.
    fn inside(&self, pointer: &Pointer) -> Option<Pointer> {
        let rest = pointer.as_str().strip_prefix(self.prefix.as_str())?;
        (rest.is_empty() || rest.starts_with('/')).then(|| Pointer::parse(rest))
    }
}

impl RawDocument {
    /// A document that was put together from several files.
    ///
    /// # Errors
    /// 65 for a document that does not say what it is, or something else than was expected.
    pub fn joined(value: Value, source: Source, expected: &[SchemaId]) -> Result<Self, Failure> {
        Self::open(source, value.into(), expected)
    }

    /// Splits a text into its documents and reads what each says it is. `name` is what the input is called in errors.
    pub(crate) fn parse_all(name: &str, text: String, expected: &[SchemaId]) -> Result<Vec<RawDocument>, Failure> {
        let values = parse_trees(&text).map_err(|error| {
            let mut failure = Failure::new(Exit::BadDocument, error.code, error.message).place(name);
            for object in failure.errors_mut() {
                object.pointer.clone_from(&error.pointer);
                object.line = Some(error.line);
                object.column = Some(error.column);
            }
            failure
        })?;
        if values.is_empty() {
            return Err(Failure::new(Exit::BadDocument, "empty_input", "the input is empty, a document was expected")
                .place(name)
                .hint(format!("did the previous step fail? it should have printed {}", list(expected))));
        }
        let text = Arc::new(text);
        values
            .into_iter()
            .map(|(start, value)| Self::open(Source::shared(name, Arc::clone(&text), start), value, expected))
            .collect()
    }

    /// The one document of a text.
    pub(crate) fn parse_one(name: &str, text: String, expected: &[SchemaId]) -> Result<RawDocument, Failure> {
        let mut documents = Self::parse_all(name, text, expected)?;
        if documents.len() > 1 {
            return Err(Failure::new(Exit::BadDocument, "trailing_text", "something follows the document")
                .place(name)
                .hint("this verb reads one document; take the rest away"));
        }
        Ok(documents.remove(0))
    }

    fn open(source: Source, mut value: Tree, expected: &[SchemaId]) -> Result<Self, Failure> {
        value.strip_extensions();
        let wanted = list(expected);
        if !matches!(value, Tree::Object(_)) {
            let failure = Failure::new(Exit::BadDocument, "wrong_type", "a document is a JSON object")
                .hint(format!("expected {wanted}"));
            return Err(source.located(failure.at(Pointer::root())));
        }
        let failure = match value.remove("schema") {
            Some(Tree::Text(schema)) if expected.iter().any(|id| id.as_str() == &*schema) => {
                return Ok(Self { schema: schema.into(), value, source });
            }
            Some(Tree::Text(schema)) => {
                let hint = match did_you_mean(&schema, expected.iter().map(|id| id.as_str())) {
                    Some(near) if !SchemaId::NAMES.contains(&&*schema) => format!("did you mean {near}?"),
                    _ => format!("this verb reads {wanted}; is the right step before it in the pipe?"),
                };
                Failure::new(Exit::BadDocument, "wrong_schema", format!("the document is {schema}, expected {wanted}"))
                    .at(Pointer::root().join("schema"))
                    .hint(hint)
            }
            Some(_) => Failure::new(
                Exit::BadDocument,
                "wrong_schema",
                format!("\"schema\" must be a string, expected {wanted}"),
            )
            .at(Pointer::root().join("schema")),
            None => Failure::new(Exit::BadDocument, "missing_schema", "the document does not say what it is")
                .at(Pointer::root())
                .hint(format!("add \"schema\": \"{}\"", expected.first().map_or("", |id| id.as_str()))),
        };
        Err(source.located(failure))
    }

    /// Reads the document as what it says it is.
    ///
    /// # Errors
    /// 65 with the place of the first thing that does not fit.
    pub fn read<D: Document>(self) -> Result<Sourced<D>, Failure> {
        match self.value.read() {
            Ok(document) => Ok(Sourced { document, source: self.source }),
            Err(error) => Err(self.source.located(describe(&error))),
        }
    }
}

fn list(expected: &[SchemaId]) -> String {
    expected.iter().map(|id| id.as_str()).collect::<Vec<_>>().join(" or ")
}

/// Turns serde's message into ours: a pointer, a stable code, "did you mean", and no values.
fn describe(error: &Misfit) -> Failure {
    let mut pointer = error.pointer();
    let text = error.to_string();
    let text = without_values(text.rsplit_once(" at line ").map_or(text.as_str(), |(head, _)| head));
    let mut names = text.split('`').skip(1).step_by(2);
    let failure = |code: &str, message: String| Failure::new(Exit::BadDocument, code, message);
    if text.starts_with("unknown field") || text.starts_with("unknown variant") {
        let written = names.next().unwrap_or_default().to_owned();
        let known: Vec<&str> = names.collect();
        let field = text.starts_with("unknown field");
        let message = if field {
            format!("unknown key \"{written}\"")
        } else {
            format!("\"{written}\" is not one of the words allowed here")
        };
        let hint = match did_you_mean(&written, known.iter().copied()) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None if known.is_empty() => "no keys are allowed here".into(),
            None => format!("allowed: {}", known.join(", ")),
        };
        if field && pointer.keys().last().as_deref() != Some(&written) {
            pointer = pointer.join(&written);
        }
        return failure(if field { "unknown_field" } else { "unknown_word" }, message).at(pointer).hint(hint);
    }
    if text.starts_with("missing field") {
        let name = names.next().unwrap_or_default();
        return failure("missing_field", format!("the key \"{name}\" is missing")).at(pointer);
    }
    let code = if text.starts_with("invalid type") { "wrong_type" } else { "invalid_value" };
    failure(code, text).at(pointer)
}

/// Takes the value out of serde's `invalid type: string "VALUE", expected ...`: it may be a secret in the wrong place.
fn without_values(text: &str) -> String {
    for kind in ["invalid type: ", "invalid value: "] {
        if let Some(rest) = text.strip_prefix(kind) {
            let expected = rest.rfind(", expected ").unwrap_or(rest.len());
            let what = rest[..expected].split([' ', '`']).next().unwrap_or_default();
            return format!("{kind}{what}{}", &rest[expected..]);
        }
    }
    text.to_owned()
}
