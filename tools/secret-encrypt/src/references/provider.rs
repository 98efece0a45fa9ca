//! The programs that know the values: 1Password's `op`, Scaleway's `scw`, others by a declared command.
//!
//! A program gets the reference as an argument and gives the value on its standard output. No shell runs it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io::IsTerminal;
use std::process::{Command, Stdio};
use std::str::FromStr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::Reference;
use crate::{Error, LARGEST};

/// A provider out of the command line: `vault=vault kv get -field=value {}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Declared {
    /// What stands before the colon of its references.
    pub scheme: String,
    /// Its words; `{}` stands for what is behind the colon.
    pub words: Vec<String>,
}

impl FromStr for Declared {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected =
            || "expected SCHEME=COMMAND with {} in it, such as 'vault=vault kv get -field=value {}'".to_owned();
        let (scheme, command) = text.split_once('=').ok_or_else(expected)?;
        let words: Vec<String> = command.split_whitespace().map(str::to_owned).collect();
        let good = !scheme.is_empty()
            && scheme.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-')
            && words.len() > 1
            && words.iter().skip(1).any(|word| word.contains("{}"));
        if !good {
            return Err(expected());
        }
        if ["op", "scw"].contains(&scheme) {
            return Err(format!("{scheme} is built in"));
        }
        Ok(Self { scheme: scheme.into(), words })
    }
}

/// Values that were asked for once are not asked for again.
#[derive(Default)]
pub(crate) struct Providers {
    declared: Vec<Declared>,
    known: BTreeMap<Reference, Zeroizing<Vec<u8>>>,
}

impl Providers {
    /// The built-in providers and these.
    pub(crate) fn new(declared: Vec<Declared>) -> Self {
        Self { declared, known: BTreeMap::new() }
    }

    /// The schemes of the command line.
    pub(crate) fn schemes(&self) -> Vec<String> {
        self.declared.iter().map(|declared| declared.scheme.clone()).collect()
    }

    /// The value that a reference stands for.
    ///
    /// # Errors
    /// Where the program is not there, fails, or gives nothing.
    pub(crate) fn resolve(&mut self, reference: &Reference) -> Result<Zeroizing<Vec<u8>>, Error> {
        if let Some(value) = self.known.get(reference) {
            return Ok(value.clone());
        }
        let words = self.words(reference);
        let output = run(&words, &reference.text())?;
        let value = match reference {
            Reference::Scaleway { field, .. } => payload(&output, field.as_deref(), &reference.text())?,
            Reference::OnePassword { .. } => output,
            // Most programs end their output with a newline that is no part of the value.
            Reference::Declared { .. } => {
                let end = output.strip_suffix(b"\n").map_or(output.len(), <[u8]>::len);
                Zeroizing::new(output[..end].to_vec())
            }
        };
        if value.is_empty() {
            return Err(failed(&words[0], &reference.text(), "it gave an empty value"));
        }
        self.known.insert(reference.clone(), value.clone());
        Ok(value)
    }

    fn words(&self, reference: &Reference) -> Vec<String> {
        let words: Vec<String> = match reference {
            Reference::OnePassword { text } => vec!["op".into(), "read".into(), "--no-newline".into(), text.clone()],
            Reference::Scaleway { name, folder, revision, .. } => vec![
                "scw".into(),
                "secret".into(),
                "version".into(),
                "access-by-path".into(),
                format!("secret-name={name}"),
                format!("secret-path={folder}"),
                format!("revision={revision}"),
                "--output=json".into(),
            ],
            Reference::Declared { scheme, rest } => self
                .declared
                .iter()
                .find(|declared| declared.scheme == *scheme)
                .map(|declared| declared.words.iter().map(|word| word.replace("{}", rest)).collect())
                .unwrap_or_default(),
        };
        words
    }
}

/// Runs the program of a provider. What it says on standard error is passed on as the cause, never what it prints.
fn run(words: &[String], reference: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let (program, arguments) = words.split_first().map_or(("", &[][..]), |(program, rest)| (program.as_str(), rest));
    // A program that asks somebody to sign in needs the terminal; a document on our standard input is not for it.
    let stdin = if std::io::stdin().is_terminal() { Stdio::inherit() } else { Stdio::null() };
    let output = Command::new(OsString::from(program)).args(arguments).stdin(stdin).stderr(Stdio::piped()).output();
    let output = output.map_err(|_| Error::Program {
        message: format!("{reference} needs the program {program}, which is not there"),
        hint: match program {
            "op" => "install the 1Password CLI and sign in (op signin, or OP_SERVICE_ACCOUNT_TOKEN)".into(),
            "scw" => "install the Scaleway CLI and set it up (scw init, or SCW_ACCESS_KEY and SCW_SECRET_KEY)".into(),
            _ => format!("install {program}"),
        },
    })?;
    let bytes = Zeroizing::new(output.stdout);
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        let last = said.lines().rev().find(|line| !line.trim().is_empty()).unwrap_or("it said nothing");
        let last: String = last.chars().filter(|c| !c.is_control()).take(300).collect();
        return Err(failed(program, reference, &last));
    }
    if bytes.len() as u64 > LARGEST {
        return Err(Error::TooLarge);
    }
    Ok(bytes)
}

fn failed(program: &str, reference: &str, said: &str) -> Error {
    Error::Provider { message: format!("{program} cannot resolve {reference}: {said}") }
}

/// The `data` of what `scw` prints, in base64, or one field of it.
fn payload(output: &[u8], field: Option<&str>, reference: &str) -> Result<Zeroizing<Vec<u8>>, Error> {
    let odd = |what: &str| failed("scw", reference, what);
    let json: Json = serde_json::from_slice(output).map_err(|_| odd("it printed no JSON"))?;
    let data = json.get("data").and_then(Json::as_str).ok_or_else(|| odd("it printed no data"))?;
    let data = Zeroizing::new(STANDARD.decode(data).map_err(|_| odd("its data is no base64"))?);
    let Some(field) = field else { return Ok(data) };
    let json: Json =
        serde_json::from_slice(&data).map_err(|_| odd("the secret is no JSON object, and a field is wanted"))?;
    match json.get(field) {
        Some(Json::String(text)) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
        _ => Err(odd(&format!("the secret has no text in a field {field}"))),
    }
}
