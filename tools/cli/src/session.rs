//! One run of one verb: what it reads, what it prints, and what it says on the side.

use std::io::{IsTerminal, Read, Write};

use contract::{Document, ErrorObject, Exit, SchemaId};
use serde::Serialize;
use serde_json::{Value, json};

use crate::flags::{ColorChoice, CommonFlags, LogFormat, OutputFormat};
use crate::json::canonical_json_listed;
use crate::listed::Listed;
use crate::source::RawDocument;
use crate::{Failure, Input, Progress, Signals, Sourced, Style, Tool, canonical, canonical_json, write_atomically};

/// The largest document that is read.
const LARGEST: u64 = 256 * 1024 * 1024;

/// One run of one verb.
#[derive(Debug)]
pub struct Session {
    tool: &'static Tool,
    flags: CommonFlags,
    applying: bool,
}

impl Session {
    pub(crate) fn new(tool: &'static Tool, flags: CommonFlags) -> Result<Self, Failure> {
        for report in &flags.reports {
            let known = ["json", "text"].iter().chain(tool.reports).any(|format| *format == report.format);
            if !known {
                let formats: Vec<_> = ["json", "text"].iter().chain(tool.reports).copied().collect();
                return Err(Failure::new(Exit::Usage, "usage", format!("unknown report format \"{}\"", report.format))
                    .hint(format!("{} knows {}", tool.name, formats.join(", "))));
            }
        }
        if let OutputFormat::Report(format) = &flags.output
            && !tool.reports.contains(&format.as_str())
        {
            let formats: Vec<_> = ["auto", "json", "text"].iter().chain(tool.reports).copied().collect();
            return Err(Failure::new(Exit::Usage, "usage", format!("unknown output format \"{format}\""))
                .hint(format!("{} knows {}", tool.name, formats.join(", "))));
        }
        Ok(Self { tool, flags, applying: false })
    }

    /// A session of which nothing is known but how errors are written.
    pub(crate) fn bare(tool: &'static Tool, log_format: LogFormat) -> Self {
        let flags = CommonFlags {
            output: OutputFormat::Auto,
            reports: Vec::new(),
            log_format,
            color: ColorChoice::Auto,
            quiet: false,
            verbose: false,
        };
        Self { tool, flags, applying: false }
    }

    /// The program.
    pub fn tool(&self) -> &'static Tool {
        self.tool
    }

    /// The common flags.
    pub fn flags(&self) -> &CommonFlags {
        &self.flags
    }

    /// Whether stdout carries text for people.
    pub fn prints_text(&self) -> bool {
        match &self.flags.output {
            OutputFormat::Auto => std::io::stdout().is_terminal(),
            OutputFormat::Json | OutputFormat::Report(_) => false,
            OutputFormat::Text => true,
        }
    }

    /// Whether stdout carries this format of `--report`.
    pub fn prints_report(&self, format: &str) -> bool {
        matches!(&self.flags.output, OutputFormat::Report(chosen) if chosen == format)
    }

    /// Colours of stdout.
    pub fn style(&self) -> Style {
        Style { color: self.colors(std::io::stdout().is_terminal()) }
    }

    fn colors(&self, terminal: bool) -> bool {
        match self.flags.color {
            ColorChoice::Always => true,
            ColorChoice::Never => false,
            ColorChoice::Auto => {
                let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
                terminal && !refused && std::env::var_os("TERM").is_none_or(|term| term != "dumb")
            }
        }
    }

    /// Reads the one document of an input.
    ///
    /// # Errors
    /// 2 for a terminal, 65 for a document that is not good, 66 for a file that cannot be read.
    pub fn read<D: Document>(&self, input: &Input) -> Result<Sourced<D>, Failure> {
        self.read_raw(input, &[D::ID])?.read()
    }

    /// Reads the one document of an input, of which one list is long: its elements are given out one after another.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub fn read_listed<D: Document>(&self, input: &Input, list: &'static str) -> Result<Listed<D>, Failure> {
        Listed::read(&name_of(input), self.read_text(input)?, list)
    }

    /// Reads the one document of an input, which may be of several kinds.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub fn read_raw(&self, input: &Input, expected: &[SchemaId]) -> Result<RawDocument, Failure> {
        RawDocument::parse_one(&name_of(input), self.read_text(input)?, expected)
    }

    /// Reads all documents of an input (JSON Lines, or one after another); at least one.
    ///
    /// # Errors
    /// As [`Session::read`].
    pub fn read_all_raw(&self, input: &Input, expected: &[SchemaId]) -> Result<Vec<RawDocument>, Failure> {
        RawDocument::parse_all(&name_of(input), self.read_text(input)?, expected)
    }

    /// Reads an input as it is.
    ///
    /// # Errors
    /// 2 for a terminal, 65 for what is no UTF-8 or too large, 66 for a file that cannot be read.
    pub fn read_text(&self, input: &Input) -> Result<String, Failure> {
        let name = name_of(input);
        let mut bytes = Vec::new();
        let read = if input.is_stdin() {
            let stdin = std::io::stdin();
            if stdin.is_terminal() {
                return Err(Failure::new(
                    Exit::Usage,
                    "usage",
                    "a document is expected on standard input, which is a terminal",
                )
                .hint(format!("give a FILE, or pipe it in; {} --help has examples", self.tool.name)));
            }
            stdin.lock().take(LARGEST + 1).read_to_end(&mut bytes)
        } else {
            std::fs::File::open(&input.file).and_then(|file| file.take(LARGEST + 1).read_to_end(&mut bytes))
        };
        read.map_err(|error| Failure::io(Exit::Unreadable, "read the document", &name, &error))?;
        if bytes.len() as u64 > LARGEST {
            return Err(Failure::new(Exit::BadDocument, "too_large", "the document is larger than 256 MiB").place(name));
        }
        let text = String::from_utf8(bytes)
            .map_err(|_| Failure::new(Exit::BadDocument, "not_utf8", "the document is no UTF-8").place(&name))?;
        // Editors of another system put a byte order mark there; it says nothing.
        match text.strip_prefix('\u{feff}') {
            Some(rest) => Ok(rest.to_owned()),
            None => Ok(text),
        }
    }

    /// From now on a closed pipe must not stop the work, and the first SIGINT or SIGTERM lets the current change end.
    pub fn begin_apply(&mut self) -> Signals {
        self.applying = true;
        Signals::catch()
    }

    /// Prints the one document of this run, as JSON or as the text that `text` makes of it, and writes the reports.
    ///
    /// # Errors
    /// 74 where stdout cannot be written; a closed pipe is no error for a reader.
    pub fn print<D: Document>(&self, document: &D, text: impl Fn(&D, Style) -> String) -> Result<(), Failure> {
        let json = || canonical(D::ID, document, false).map_err(unwritable);
        for report in &self.flags.reports {
            let bytes = match report.format.as_str() {
                "json" => json()?,
                "text" => text(document, Style::PLAIN),
                _ => continue,
            };
            Self::write_report(&report.path, bytes.as_bytes())?;
        }
        if matches!(self.flags.output, OutputFormat::Report(_)) {
            return Ok(());
        }
        let bytes = if self.prints_text() { text(document, self.style()) } else { json()? };
        self.print_bytes(bytes.as_bytes())
    }

    /// Whether JSON on stdout is all that is wanted.
    pub fn prints_only_json(&self) -> bool {
        let other = self.prints_text() || matches!(self.flags.output, OutputFormat::Report(_));
        !other && self.flags.reports.is_empty()
    }

    /// Prints the one document of this run as JSON, with a long list whose elements are made and written one after another.
    ///
    /// # Errors
    /// As [`Session::print`].
    pub fn print_listed<D: Document, E: Serialize>(
        &self,
        head: &D,
        list: &str,
        elements: impl Iterator<Item = E>,
    ) -> Result<(), Failure> {
        let head = to_value(head)?;
        let elements = elements.map(|element| serde_json::to_value(element).unwrap_or_default());
        canonical_json_listed(D::ID, &head, list, elements, |part| self.print_bytes(part.as_bytes()))
    }

    /// Prints one document of several, as one line of JSON or as text.
    ///
    /// # Errors
    /// As [`Session::print`].
    pub fn print_line<D: Document>(&self, document: &D, text: impl Fn(&D, Style) -> String) -> Result<(), Failure> {
        self.print_bytes(self.line(document, text)?.as_bytes())
    }

    /// What [`Session::print_line`] prints, for whoever must know first that all of the documents are good.
    ///
    /// # Errors
    /// 70 for what cannot be written as JSON.
    pub fn line<D: Document>(&self, document: &D, text: impl Fn(&D, Style) -> String) -> Result<String, Failure> {
        if self.prints_text() {
            return Ok(text(document, self.style()));
        }
        canonical(D::ID, document, true).map_err(unwritable)
    }

    /// Writes a report in a format of the tool to every `--report FORMAT=PATH` that asks for it, and to stdout with
    /// `--output FORMAT`.
    ///
    /// # Errors
    /// 73 where a file cannot be made, 74 where stdout cannot be written.
    pub fn print_report(&self, format: &str, make: impl Fn() -> String) -> Result<(), Failure> {
        for report in self.flags.reports.iter().filter(|report| report.format == format) {
            Self::write_report(&report.path, make().as_bytes())?;
        }
        if self.prints_report(format) { self.print_bytes(make().as_bytes()) } else { Ok(()) }
    }

    fn write_report(path: &std::path::Path, bytes: &[u8]) -> Result<(), Failure> {
        write_atomically(path, bytes, 0o644)
            .map_err(|error| Failure::io(Exit::CannotCreate, "write the report", path.display(), &error))
    }

    /// Writes bytes to stdout, for output that is no document (a rendered file, a decrypted value).
    ///
    /// # Errors
    /// As [`Session::print`].
    pub fn print_bytes(&self, bytes: &[u8]) -> Result<(), Failure> {
        let mut stdout = std::io::stdout().lock();
        match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::BrokenPipe && !self.applying => {
                Err(Failure::closed_pipe())
            }
            Err(error) => Err(Failure::io(Exit::Io, "write", "standard output", &error)),
        }
    }

    /// Says something that a person should know, on stderr.
    pub fn warn(&self, message: &str) {
        if !self.flags.quiet {
            self.remark("warning", message);
        }
    }

    /// Says what is going on, on stderr, with `--verbose`.
    pub fn note(&self, message: &str) {
        if self.flags.verbose {
            self.remark("note", message);
        }
    }

    fn remark(&self, level: &str, message: &str) {
        let line = match self.flags.log_format {
            LogFormat::Json => json!({"level": level, "tool": self.tool.name, "message": message}).to_string(),
            LogFormat::Text => format!("{}: {level}: {message}", self.tool.name),
        };
        Self::stderr(&line);
    }

    /// Says why the run failed, on stderr.
    pub fn report(&self, failure: &Failure) {
        for error in failure.errors() {
            self.report_error(error);
        }
    }

    /// Says one error, on stderr.
    pub fn report_error(&self, error: &ErrorObject) {
        let mut error = error.clone();
        if error.tool.is_empty() {
            error.tool = self.tool.name.into();
            error.version = self.tool.version.into();
        }
        if self.flags.log_format == LogFormat::Json {
            let value = serde_json::to_value(&error).unwrap_or_default();
            Self::stderr(canonical_json(ErrorObject::ID, &value, true).trim_end());
            return;
        }
        let style = Style { color: self.colors(std::io::stderr().is_terminal()) };
        let mut line = format!("{}: {}: ", error.tool, style.red("error"));
        if let Some(place) = &error.place {
            line.push_str(place);
            if let (Some(row), Some(column)) = (error.line, error.column) {
                line.push_str(&format!(":{row}:{column}"));
            }
            line.push_str(": ");
        }
        if let Some(pointer) = error.pointer.as_ref().filter(|pointer| !pointer.as_str().is_empty()) {
            line.push_str(&format!("{pointer}: "));
        }
        line.push_str(&error.message);
        for cause in &error.causes {
            line.push_str(&format!("\n  because: {cause}"));
        }
        if let Some(hint) = &error.hint {
            line.push_str(&format!("\n  hint: {hint}"));
        }
        Self::stderr(&line);
    }

    fn stderr(line: &str) {
        // Nobody can be told that stderr is gone.
        let _ = writeln!(std::io::stderr().lock(), "{line}");
    }

    /// Progress of `total` steps of long work; shows itself only on a terminal.
    pub fn progress(&self, total: u64, what: &str) -> Progress {
        let visible = std::io::stderr().is_terminal() && !self.flags.quiet && self.flags.log_format == LogFormat::Text;
        Progress::new(visible, total, what)
    }
}

fn name_of(input: &Input) -> String {
    if input.is_stdin() { "standard input".into() } else { input.to_string() }
}

fn to_value<D: Document>(document: &D) -> Result<Value, Failure> {
    serde_json::to_value(document).map_err(unwritable)
}

fn unwritable(error: serde_json::Error) -> Failure {
    Failure::new(Exit::Bug, "internal", "a document cannot be written").cause(error)
}
