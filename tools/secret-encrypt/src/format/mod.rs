//! File formats, one a file. A format finds the values of a text and puts others in their place; everything between the
//! values (comments, blank lines, indentation, quotes) stays as the person wrote it.

#![allow(clippy::case_sensitive_file_extension_comparisons, reason = "sops compares them so")]

mod binary;
mod comments;
mod dotenv;
mod ini;
mod ini_continued;
mod ini_edit;
mod ini_text;
mod ini_walk;
mod json;
mod json_text;
mod splice;
mod yaml;
mod yaml_comments;
mod yaml_edit;
mod yaml_lines;
mod yaml_scalar;
mod yaml_tabs;
mod yaml_tree;
mod yaml_walk;

use contract::Pointer;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use crate::Error;
use crate::sops::{EncText, Kind, Metadata, Value};

pub(crate) use binary::Binary;
pub(crate) use comments::Comments;
pub(crate) use yaml_tree::to_json as yaml_to_json;

/// A value or comment of a file, and where it is.
#[derive(Debug, Clone)]
pub(crate) struct Slot {
    /// Where it is, with list indexes; for a comment the place of what encloses it.
    pub pointer: Pointer,
    /// The keys from the top to it, without list indexes.
    pub path: Vec<String>,
    /// Other key paths that a comment may have been encrypted under by another writer.
    pub elsewhere: Vec<Vec<String>>,
    /// The comments that are in force here; for a comment itself it is the last.
    pub comments: Comments,
    /// What stands there.
    pub value: Value,
    /// Where that is in the text, in bytes. What is replaced besides (a tag, a header) only the format knows.
    pub span: std::ops::Range<usize>,
    /// The format's own note on how it is written.
    pub(crate) style: Style,
    /// Encrypted whatever the rule says (binary files).
    pub always: bool,
    /// Seen through an alias, so that it cannot be replaced here.
    pub fixed: bool,
}

/// How a value is written, where a format has several ways.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Style {
    /// Without quotes.
    #[default]
    Plain,
    /// Without quotes and tagged `!!str`: how a word that old readers take for a truth value is told from the same word in
    /// quotes, once it is encrypted.
    Tagged,
    /// In single quotes.
    Single,
    /// In double quotes.
    Double,
    /// A literal block, and whether its header carries an indentation digit.
    Literal(bool),
    /// A folded block.
    Folded,
    /// Without quotes, inside brackets or braces.
    PlainInFlow,
    /// In single quotes, inside brackets or braces.
    SingleInFlow,
    /// In double quotes, inside brackets or braces.
    DoubleInFlow,
    /// In three double quotes, which hold several lines (INI).
    Triple,
    /// In backquotes (INI).
    Back,
    /// On several lines, each but the last with a backslash at its end (INI).
    Continued,
    /// `#` and text.
    Comment,
    /// An element of a list that is an encrypted comment (`- ENC[...,type:comment]`).
    CommentElement,
}

impl Slot {
    /// A value without quotes; what else is to be said of it the format adds.
    fn new(pointer: Pointer, path: Vec<String>, value: Value, span: std::ops::Range<usize>) -> Self {
        Self {
            pointer,
            path,
            elsewhere: Vec::new(),
            comments: Comments::default(),
            value,
            span,
            style: Style::Plain,
            always: false,
            fixed: false,
        }
    }

    /// Whether it is a comment.
    pub(crate) fn is_comment(&self) -> bool {
        matches!(self.style, Style::Comment)
    }

    /// The additional data of an encrypted value here.
    pub(crate) fn additional(&self) -> String {
        crate::sops::additional(&self.path)
    }

    /// The text of the encrypted value here, if it is one.
    pub(crate) fn enc_text(&self) -> Option<String> {
        let text = self.value.as_text()?;
        EncText::parse(text).map(|_| text.trim_end().to_owned())
    }
}

/// A file taken apart.
pub(crate) struct Parsed {
    /// Its values and comments, in document order.
    pub slots: Vec<Slot>,
    /// Its `sops` block, if it has one.
    pub metadata: Option<Metadata>,
    /// What the format has to know of the text to change it.
    pub(crate) layout: Layout,
}

/// What a format remembers of a text.
#[derive(Debug, Clone, Default)]
pub(crate) struct Layout {
    /// Where the block is, with everything that would be left over without it. Several in a stream of documents.
    pub(crate) blocks: Vec<std::ops::Range<usize>>,
    /// The blocks alone, where a comma goes with them (YAML in braces).
    pub(crate) pairs: Vec<std::ops::Range<usize>>,
    /// Where a block goes.
    pub(crate) insert_at: usize,
    /// Column of the top-level keys.
    pub(crate) indent: usize,
    /// The top is in braces.
    pub(crate) flow: bool,
    /// Nothing stands before the block in its braces.
    pub(crate) empty: bool,
    /// What is left where the block goes: an empty mapping in words, where the block is all that YAML has.
    pub(crate) rest: &'static str,
    /// Where `mac` and `lastmodified` are, to replace them alone.
    pub(crate) stamps: Vec<(&'static str, std::ops::Range<usize>)>,
    /// Columns or indentation of values, one a slot, where the format needs them.
    pub(crate) columns: Vec<usize>,
    /// What is replaced with each slot: its tag or block header too.
    pub(crate) extents: Vec<std::ops::Range<usize>>,
    /// The second part of what is replaced, where something that stays lies between.
    pub(crate) tails: Vec<Option<std::ops::Range<usize>>>,
    /// Collections without values, so that a pointer to one is known, and what each is.
    pub(crate) collections: Vec<(Pointer, &'static str)>,
}

/// Which side of encryption a text is on. Only binary files look different.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    /// In clear.
    Plain,
    /// Encrypted.
    Sealed,
}

/// What is put into a slot.
pub(crate) enum Put {
    /// A value in clear.
    Plain(Value),
    /// The text of an encrypted value.
    Enc(String),
}

/// What happens to the block.
pub(crate) enum Block<'a> {
    /// It goes.
    Remove,
    /// It is written anew, or for the first time.
    Write(&'a Metadata),
    /// Only the MAC and the time in it are replaced.
    Stamp(&'a Metadata),
}

/// The bytes of a document, which are overwritten when they are freed.
pub(crate) type Text = Zeroizing<Vec<u8>>;

/// A file format.
pub(crate) trait Format: Sync {
    /// Its name, as `--format` takes it.
    fn name(&self) -> &'static str;

    /// Whether files of this name are of the format.
    fn matches(&self, file_name: &str) -> bool;

    /// Takes a text apart.
    ///
    /// # Errors
    /// Where it is not well formed, or holds what SOPS cannot carry.
    fn parse(&self, bytes: &[u8], side: Side) -> Result<Parsed, Error>;

    /// The text with some slots replaced and the block changed.
    ///
    /// # Errors
    /// Where a value cannot be written in this format.
    fn render(&self, bytes: &[u8], parsed: &Parsed, puts: &[(usize, Put)], block: &Block) -> Result<Text, Error>;

    /// As [`Format::render`], with what is read in the text then.
    ///
    /// # Errors
    /// As [`Format::render`], and where nothing can be read there.
    fn render_and_read(
        &self,
        bytes: &[u8],
        parsed: &Parsed,
        puts: &[(usize, Put)],
        block: &Block,
    ) -> Result<(Text, Parsed), Error> {
        let text = self.render(bytes, parsed, puts, block)?;
        let read = self.parse(&text, Side::Sealed).map_err(|_| Error::RoundTrip(None))?;
        Ok((text, read))
    }

    /// As [`Format::render`], by formats that read what they wrote there: without that.
    ///
    /// # Errors
    /// As [`Format::render`].
    fn spliced(&self, bytes: &[u8], parsed: &Parsed, puts: &[(usize, Put)], block: &Block) -> Result<Text, Error> {
        self.render(bytes, parsed, puts, block)
    }

    /// The text with this value (any JSON) at a pointer; collections on the way are made. Callers go through `proof`, which
    /// looks whether anything else was changed.
    ///
    /// # Errors
    /// Where the format or the place cannot hold it.
    fn put(&self, bytes: &[u8], pointer: &Pointer, value: &Json) -> Result<Text, Error>;

    /// The text without what is at a pointer; also through `proof`.
    ///
    /// # Errors
    /// Where nothing is there.
    fn remove(&self, bytes: &[u8], pointer: &Pointer) -> Result<Text, Error>;

    /// Whether something is taken out of the text in clear, because it shares an encrypted text with what stays.
    fn removes_in_clear(&self) -> bool {
        false
    }

    /// A new text that holds a JSON object.
    ///
    /// # Errors
    /// Where the format cannot hold it.
    fn write_new(&self, json: &Json) -> Result<Text, Error>;

    /// A text in clear as JSON.
    ///
    /// # Errors
    /// Where JSON cannot hold it.
    fn read_json(&self, bytes: &[u8]) -> Result<Json, Error>;
}

/// Every format. A name that no other claims is binary.
pub(crate) static FORMATS: [&dyn Format; 5] =
    [&yaml::Yaml, &json::JsonFormat, &dotenv::Dotenv, &ini::IniFormat, &binary::Binary];

/// The format of a file, by its name.
pub(crate) fn format_of(file_name: &str) -> &'static dyn Format {
    FORMATS.into_iter().find(|format| format.matches(file_name)).unwrap_or(&binary::Binary)
}

/// The format of a name that `--format` gives.
pub(crate) fn format_named(name: &str) -> Option<&'static dyn Format> {
    FORMATS.into_iter().find(|format| format.name() == name)
}

/// How much the places of all values of a text may take together. Every value names its whole way from the top, which in a
/// file made for it would be a thousand times the file.
pub(crate) struct PlaceBudget(usize);

impl PlaceBudget {
    /// That of a text of this length.
    pub(crate) fn new(length: usize) -> Self {
        Self(length.saturating_mul(4) + (1 << 20))
    }

    /// Takes a place out of it.
    ///
    /// # Errors
    /// Where nothing is left.
    pub(crate) fn spend(&mut self, pointer: &Pointer) -> Result<(), Error> {
        let left = self.0.checked_sub(pointer.as_str().len());
        self.0 = left.ok_or_else(|| Error::Unsupported("its keys are too long for how deep they lie".into()))?;
        Ok(())
    }
}

/// The bytes as text.
pub(crate) fn text_of(bytes: &[u8]) -> Result<&str, Error> {
    std::str::from_utf8(bytes).map_err(|_| Error::syntax("the file is no UTF-8 text"))
}

/// The string or literal that a value is in JSON.
pub(crate) fn json_of(value: &Value) -> Result<Json, Error> {
    let text = value.as_text().ok_or_else(|| Error::Unsupported("a value is no text and cannot stand here".into()))?;
    Ok(match value.kind {
        Kind::Null => Json::Null,
        Kind::Bool => Json::Bool(text == "True"),
        Kind::Int => text.parse::<i64>().map(Json::from).unwrap_or_default(),
        Kind::Float => text
            .parse::<f64>()
            .ok()
            .and_then(serde_json::Number::from_f64)
            .map(Json::Number)
            .ok_or_else(|| Error::Unsupported("a number is infinite, which JSON cannot hold".into()))?,
        Kind::Str | Kind::Time | Kind::Bytes | Kind::Comment => Json::String(text.into()),
    })
}

/// The value that a JSON scalar is; `None` for objects and arrays.
pub(crate) fn value_of(json: &Json) -> Option<Value> {
    Some(match json {
        Json::Null => Value::null(),
        Json::Bool(value) => Value::bool(*value),
        Json::String(text) => Value::text(text),
        Json::Number(number) => match number.as_i64() {
            Some(int) => Value::int(int),
            None => Value::float(number.as_f64()?),
        },
        Json::Object(_) | Json::Array(_) => return None,
    })
}
