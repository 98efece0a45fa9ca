//! `set --many`: values for several files in one go, all of them or none.

use std::path::Path;

use cli::{Failure, Session, parse_json};
use contract::document::SecretsResult;
use contract::{Exit, Pointer};
use serde_json::Value as Json;

use super::create::new_file;
use super::set::checked;
use super::{RuleFlags, describe};
use crate::Error;
use crate::document::OpenDocument;
use crate::files::{self, Batch};
use crate::keys::IdentityFlags;

/// How the requests are carried out.
pub(super) struct SetMany<'a> {
    /// Directory that files are relative to.
    pub(super) base: Option<&'a Path>,
    /// Values that are there stay.
    pub(super) if_missing: bool,
    /// Nothing is written.
    pub(super) dry_run: bool,
}

/// Values for one file.
struct Request {
    file: String,
    puts: Vec<(Pointer, Json)>,
}

impl SetMany<'_> {
    pub(super) fn run(
        &self,
        session: &mut Session,
        rules: &RuleFlags,
        identities: &IdentityFlags,
    ) -> Result<Exit, Failure> {
        let mut result = SecretsResult::default();
        let mut batch = Batch::default();
        let mut failures = Vec::new();
        let requests = requests()?;
        let paths: Vec<_> = requests.iter().map(|request| self.place(request)).collect();
        let mut _lock = None;
        if !self.dry_run {
            files::finish_interrupted(session, &paths)?;
            _lock = Some(files::Lock::of(paths.iter().map(std::path::PathBuf::as_path))?);
        }
        for request in requests {
            if let Err(failure) = self.stage(session, &request, rules, identities, &mut batch, &mut result) {
                failures.push(failure.place(request.file));
            }
        }
        if let Some(failure) = Failure::join(failures) {
            return Err(failure.hint("no file was changed"));
        }
        session.begin_apply();
        batch.commit()?;
        result.changed = !result.files.is_empty();
        session.print(&result, describe)?;
        Ok(Exit::Done)
    }

    fn stage(
        &self,
        session: &Session,
        request: &Request,
        rules: &RuleFlags,
        identities: &IdentityFlags,
        batch: &mut Batch,
        result: &mut SecretsResult,
    ) -> Result<(), Failure> {
        let path = self.place(request);
        let mut puts = request.puts.clone();
        let bytes = if std::fs::symlink_metadata(&path).is_ok() {
            let opened = OpenDocument::read(&path, &identities.load(session)?)?;
            let exists = |pointer: &Pointer| !matches!(opened.value(pointer), Err(Error::NoSuchValue { .. }));
            if self.if_missing {
                puts.retain(|(pointer, _)| !exists(pointer));
            }
            for (pointer, _) in &puts {
                let names = if exists(pointer) { &mut result.updated } else { &mut result.added };
                names.push(format!("{}{pointer}", request.file));
            }
            opened.edited(&puts, &[])?
        } else {
            result.added.extend(puts.iter().map(|(pointer, _)| format!("{}{pointer}", request.file)));
            Some(new_file(rules, &path, &puts)?)
        };
        let Some(bytes) = bytes else { return Ok(()) };
        result.files.push(path.display().to_string());
        if !self.dry_run {
            batch.add(&path, &bytes)?;
        }
        Ok(())
    }

    fn place(&self, request: &Request) -> std::path::PathBuf {
        self.base.unwrap_or(Path::new("")).join(&request.file)
    }
}

/// The requests on standard input. No input at all is no request: certificates that are all good ask for nothing.
fn requests() -> Result<Vec<Request>, Failure> {
    let wrong = |message: &str| {
        Failure::new(Exit::BadDocument, "bad_request", message)
            .place("standard input")
            .hint("one line a file: {\"file\": \"secrets/web1.yaml\", \"set\": {\"/pointer\": \"value\"}}")
    };
    let bytes = files::read_stdin()?;
    let text = std::str::from_utf8(&bytes).map_err(|_| wrong("the input is no UTF-8 text"))?;
    // The parser's own words could repeat a part of a secret.
    let values = parse_json(text).map_err(|_| wrong("the input is no good JSON"))?;
    values.into_iter().map(|(_, value)| request(value).ok_or_else(|| wrong("a request is not as expected"))?).collect()
}

fn request(value: Json) -> Option<Result<Request, Failure>> {
    let Json::Object(mut object) = value else { return None };
    let (Some(Json::String(file)), Some(Json::Object(set)), true) =
        (object.remove("file"), object.remove("set"), object.is_empty())
    else {
        return None;
    };
    // A request comes out of a pipe: it must not reach outside of the base directory.
    let inside = Path::new(&file).components().all(|part| matches!(part, std::path::Component::Normal(_)));
    if !inside {
        return None;
    }
    let puts: Result<Vec<_>, Failure> =
        set.into_iter().map(|(pointer, value)| Ok((checked(&pointer)?, value))).collect();
    Some(puts.map(|puts| Request { file, puts }))
}
