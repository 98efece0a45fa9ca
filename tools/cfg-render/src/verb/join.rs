//! `cfg-render join DIR`, and a fleet that is a directory: `fleet.json`, and one file a host and a service.

use std::fs;
use std::path::{Path, PathBuf};

use clap::Args;
use cli::{Failure, RawDocument, Session, Source, Sourced, other_format, parse_json, strip_extensions};
use contract::{Document, Exit, Level, Pointer, SchemaId};
use serde_json::{Map, Value};

use crate::fleet::Fleet;

/// The file with everything that has no file of its own.
const FLEET: &str = "fleet.json";
/// What may have files of its own: the key in the fleet, which is also the directory.
const KINDS: [&str; 2] = ["hosts", "services"];

/// `join`
#[derive(Debug, Clone, Args)]
pub struct JoinArgs {
    /// Directory with fleet.json, hosts/*.json and services/*.json
    #[arg(value_name = "DIR")]
    directory: PathBuf,
}

/// Does it.
pub(super) fn run(args: &JoinArgs, session: &Session) -> Result<Exit, Failure> {
    if args.directory.is_file() {
        return Err(Failure::new(Exit::Unreadable, "not_a_directory", "this is a file, and a directory was expected")
            .place(args.directory.display().to_string())
            .hint("name the directory that holds fleet.json, hosts/ and services/"));
    }
    let (value, source) = put_together(&args.directory)?;
    let fleet: Sourced<Fleet> = RawDocument::joined(value.clone(), source, &[Fleet::ID])?.read()?;
    let findings = crate::check::check(&fleet.document);
    if findings.iter().any(|finding| finding.level == Level::Error) {
        return Err(fleet.source.failure(findings));
    }
    let mut value = value;
    if let Value::Object(keys) = &mut value {
        keys.remove("schema");
    }
    session.print_bytes(cli::canonical_json(SchemaId::FLEET, &value, false).as_bytes())?;
    Ok(Exit::Done)
}

/// Reads a fleet that is a directory, without judging it.
pub(super) fn read(directory: &Path) -> Result<Sourced<Fleet>, Failure> {
    let (value, source) = put_together(directory)?;
    RawDocument::joined(value, source, &[Fleet::ID])?.read()
}

fn put_together(directory: &Path) -> Result<(Value, Source), Failure> {
    let main = directory.join(FLEET);
    let (mut value, text) = read_file(&main)?;
    let name = main.display().to_string();
    let mut source = Source::new(&name, &text);
    strip_extensions(&mut value);
    let mut failures = Vec::new();
    for kind in KINDS {
        for (key, path) in files(&directory.join(kind))? {
            let (mut part, text) = match read_file(&path) {
                Ok(found) => found,
                // The others are read too, so that all errors come at once.
                Err(failure) => {
                    failures.push(failure);
                    continue;
                }
            };
            strip_extensions(&mut part);
            let file = path.display().to_string();
            let Value::Object(whole) = &mut value else { break };
            let entries = whole.entry(kind).or_insert_with(|| Value::Object(Map::new()));
            let Value::Object(entries) = entries else { continue };
            if entries.contains_key(&key) {
                let at = Pointer::root().join(kind).join(&key);
                let (_, line, _) = source.line_at(&at);
                failures.push(
                    Failure::new(
                        Exit::BadDocument,
                        "two_owners",
                        format!("\"{key}\" of {kind} is already in {name}:{line}"),
                    )
                    .place(&file)
                    .hint("one file owns it: take the other one away"),
                );
                continue;
            }
            entries.insert(key.clone(), part);
            source = source.with_part(Pointer::root().join(kind).join(&key), &file, text);
        }
    }
    match Failure::join(failures) {
        Some(failure) => Err(failure),
        None => Ok((value, source)),
    }
}

/// The `*.json` of a directory by what they are called, in the order of their names. One that is not there has none.
fn files(directory: &Path) -> Result<Vec<(String, PathBuf)>, Failure> {
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Failure::io(Exit::Unreadable, "read the directory", directory.display(), &error)),
    };
    let mut found = Vec::new();
    for entry in entries {
        let entry =
            entry.map_err(|error| Failure::io(Exit::Unreadable, "read the directory", directory.display(), &error))?;
        let path = entry.path();
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // What people mean to be read and is not would be missed without a word.
        let other = [".yaml", ".yml", ".toml", ".jsonc", ".json5"].iter().any(|ending| name.ends_with(ending));
        if other && !name.starts_with('.') {
            return Err(Failure::new(
                Exit::BadDocument,
                "other_format",
                "the files of a fleet are JSON, and this is not read",
            )
            .place(path.display().to_string())
            .hint("write it as NAME.json (`yq --output-format json` turns YAML into JSON), or move it away"));
        }
        if let Some(key) = name.strip_suffix(".json").filter(|key| !key.is_empty() && !key.starts_with('.')) {
            // A pipe would be waited for without end.
            if path.metadata().is_ok_and(|what| !what.is_file()) {
                return Err(Failure::new(Exit::Unreadable, "not_a_file", "this is no file, and one was expected")
                    .place(path.display().to_string())
                    .hint("move it away: each host and each service is a file"));
            }
            found.push((key.to_owned(), path.clone()));
        }
    }
    found.sort();
    Ok(found)
}

/// The one JSON document of a file, and its text.
fn read_file(path: &Path) -> Result<(Value, String), Failure> {
    let name = path.display().to_string();
    let text = fs::read_to_string(path).map_err(|error| {
        let failure = Failure::io(Exit::Unreadable, "read the document", &name, &error);
        if path.ends_with(FLEET) { failure.hint("a fleet that is a directory has a fleet.json") } else { failure }
    })?;
    let source = Source::new(&name, &text);
    let documents = parse_json(&text).map_err(|error| {
        let (line, column) = (error.line, error.column);
        let failure =
            Failure::new(Exit::BadDocument, error.code, format!("{} (line {line}, column {column})", error.message))
                .place(&name);
        let failure = match other_format(&text).filter(|_| error.pointer.is_none()) {
            Some(hint) => failure.hint(hint),
            None => failure,
        };
        match error.pointer {
            Some(pointer) => failure.at(pointer),
            None => failure,
        }
    })?;
    let mut documents = documents.into_iter().map(|(_, value)| value);
    match (documents.next(), documents.next()) {
        (Some(value @ Value::Object(_)), None) => Ok((value, text)),
        (Some(_), None) => Err(source.located(
            Failure::new(Exit::BadDocument, "wrong_type", "a file of a fleet holds one object").at(Pointer::root()),
        )),
        (None, _) => Err(Failure::new(Exit::BadDocument, "empty_input", "the file is empty").place(name)),
        (Some(_), Some(_)) => {
            Err(Failure::new(Exit::BadDocument, "trailing_text", "something follows the document").place(name))
        }
    }
}
