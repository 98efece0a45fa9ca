//! `set`: values into an encrypted file, without their ever standing in an argument.

use std::path::PathBuf;

use clap::Args;
use cli::{Failure, Session, parse_json};
use contract::document::{Generator, SecretsResult};
use contract::{Exit, Pointer};
use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::set_many::SetMany;
use super::{RuleFlags, describe};
use crate::document::OpenDocument;
use crate::generate::{generate, parse_generator};
use crate::keys::IdentityFlags;
use crate::{Error, files};

/// Put values into an encrypted file. All others keep their ciphertext, so that the change is a few lines.
///
/// With --many standard input is JSON Lines of {"file": "secrets/web1.yaml", "set": {"/pointer": "value"}}; files that are
/// missing are made by the rules of .sops.yaml, and all files are written or none.
///
/// With a POINTER the value is standard input as it is (one newline at its end is left off), JSON with --json, or generated
/// with --generate. Without a POINTER standard input is a JSON object from pointers to values.
#[derive(Debug, Clone, Args)]
pub struct Set {
    /// The encrypted file
    #[arg(value_name = "FILE", required_unless_present = "many", conflicts_with = "many")]
    file: Option<PathBuf>,
    /// Where the value goes (RFC 6901), such as /database/password; what is missing on the way is made
    #[arg(value_name = "POINTER")]
    pointer: Option<String>,
    /// The value on standard input is JSON
    #[arg(long, conflicts_with = "generate")]
    json: bool,
    /// Make a new value: hex=BYTES, base64=BYTES, password=LENGTH, ed25519, secp256k1, ssh-key or uuid
    #[arg(long, value_name = "FORM", requires = "pointer", value_parser = parse_generator)]
    generate: Option<Generator>,
    /// Several files in one go, from requests on standard input
    #[arg(long)]
    many: bool,
    /// Directory that files of --many are relative to; else the working directory
    #[arg(long, value_name = "DIR", requires = "many")]
    base: Option<PathBuf>,
    /// Leave a value that is there as it is
    #[arg(long)]
    if_missing: bool,
    /// Print the result that would be, write nothing
    #[arg(long)]
    dry_run: bool,
    #[command(flatten)]
    rules: RuleFlags,
    #[command(flatten)]
    identities: IdentityFlags,
}

impl Set {
    pub(super) fn run(self, session: &mut Session) -> Result<Exit, Failure> {
        let Some(file) = &self.file else {
            let many = SetMany { base: self.base.as_deref(), if_missing: self.if_missing, dry_run: self.dry_run };
            return many.run(session, &self.rules, &self.identities);
        };
        let place = file.display().to_string();
        crate::agenix::refuse_age_file(file)?;
        let puts = self.values()?;
        files::finish_interrupted(session, std::slice::from_ref(file))?;
        let _lock = files::Lock::of([file.as_path()])?;
        let opened =
            OpenDocument::read(file, &self.identities.load(session)?).map_err(|error| error.in_file(&place))?;
        let mut puts = puts;
        let exists = |pointer: &Pointer| !matches!(opened.value(pointer), Err(Error::NoSuchValue { .. }));
        if self.if_missing {
            puts.retain(|(pointer, _)| !exists(pointer));
        }
        let edited = opened.edited(&puts, &[]).map_err(|error| error.in_file(&place))?;
        let mut result = SecretsResult { changed: edited.is_some(), ..SecretsResult::default() };
        if let Some(bytes) = edited {
            for (pointer, _) in &puts {
                let names = if exists(pointer) { &mut result.updated } else { &mut result.added };
                names.push(pointer.to_string());
            }
            if !self.dry_run {
                files::write(file, &bytes, 0o644)?;
            }
            result.files.push(place);
        }
        session.print(&result, describe)?;
        Ok(Exit::Done)
    }

    fn values(&self) -> Result<Vec<(Pointer, Json)>, Failure> {
        if let (Some(generator), Some(pointer)) = (&self.generate, &self.pointer) {
            return Ok(vec![(checked(pointer)?, Json::String(generate(generator)?.to_string()))]);
        }
        let bytes = files::read_stdin()?;
        let text = std::str::from_utf8(&bytes).map_err(|_| {
            Failure::new(Exit::BadDocument, "not_utf8", "the value is no UTF-8 text").place("standard input")
        })?;
        let json = || -> Result<Json, Failure> {
            let wrong =
                |code: &str, message: &str| Failure::new(Exit::BadDocument, code, message).place("standard input");
            // The parser's own words could repeat a part of a secret.
            let mut values = parse_json(text).map_err(|error| wrong(error.code, "the input is no good JSON"))?;
            match values.len() {
                0 => Err(wrong("empty_input", "the input is empty, a value was expected")),
                1 => Ok(values.remove(0).1),
                _ => Err(wrong("trailing_text", "something follows the value")),
            }
        };
        if let Some(pointer) = &self.pointer {
            let pointer = checked(pointer)?;
            if self.json {
                return Ok(vec![(pointer, json()?)]);
            }
            let value = Zeroizing::new(text.strip_suffix('\n').unwrap_or(text).to_owned());
            if value.is_empty() {
                return Err(Failure::new(Exit::BadDocument, "empty_input", "the input is empty, a value was expected")
                    .place("standard input")
                    .hint("did the previous step fail? an empty text is set with --json and \"\""));
            }
            return Ok(vec![(pointer, Json::String(value.to_string()))]);
        }
        match json()? {
            Json::Object(map) => {
                map.into_iter().map(|(pointer, value)| Ok((checked(&pointer)?, value))).collect::<Result<_, Failure>>()
            }
            _ => Err(Failure::new(
                Exit::BadDocument,
                "wrong_type",
                "the input is no JSON object from pointers to values",
            )
            .place("standard input")
            .hint("give a POINTER to set one value")),
        }
    }
}

/// A pointer from the command line or from input.
pub(super) fn checked(text: &str) -> Result<Pointer, Failure> {
    let pointer = Pointer::parse(text);
    let top = pointer.keys().next();
    let good = text.starts_with('/') && top.as_deref() != Some("sops");
    if good {
        return Ok(pointer);
    }
    Err(Failure::new(Exit::Usage, "bad_pointer", "a pointer begins with / and does not lead into the sops block")
        .hint("such as /database/password (RFC 6901)"))
}
