//! A program of the box, and the one way in which all of them start and end.

use std::ffi::OsString;
use std::io::{IsTerminal, Write};
use std::process::ExitCode;

use clap::{Arg, ArgAction, ColorChoice as ClapColor, Command, FromArgMatches, Subcommand};
use contract::{ErrorObject, Exit, SchemaId};

use crate::flags::{CommonFlags, LogFormat};
use crate::{Failure, Session, did_you_mean};

/// What a program is called and which documents it reads and writes.
#[derive(Debug, Clone, Copy)]
pub struct Tool {
    /// Its name, as typed.
    pub name: &'static str,
    /// Its version.
    pub version: &'static str,
    /// One line on what it does.
    pub about: &'static str,
    /// Command lines with a word on each, as shown by `--help`.
    pub examples: &'static str,
    /// The documents that it reads and writes, for `--schema`.
    pub documents: &'static [SchemaId],
    /// Formats of `--report FMT=PATH` besides `json` and `text`.
    pub reports: &'static [&'static str],
}

/// Runs one verb of a tool and ends the process as the contract says.
pub fn main<V: Subcommand>(tool: &'static Tool, run: fn(V, &mut Session) -> Result<Exit, Failure>) -> ExitCode {
    install_panic_hook(tool);
    let args: Vec<OsString> = std::env::args_os().collect();
    let exit = match start::<V>(tool, &args) {
        Ok((verb, mut session)) => match run(verb, &mut session) {
            Ok(exit) => exit,
            Err(failure) => {
                session.report(&failure);
                failure.exit()
            }
        },
        Err(exit) => exit,
    };
    ExitCode::from(exit.code())
}

/// The complete command line of a tool, from which help, completions and man pages come.
pub fn command<V: Subcommand>(tool: &Tool) -> Command {
    let schema = Arg::new("schema")
        .long("schema")
        .value_name("KIND")
        .num_args(0..=1)
        .default_missing_value("")
        .exclusive(true)
        .help("Print the JSON Schema of a document, or the kinds there are")
        .help_heading("About the tool");
    let completions = Arg::new("completions")
        .long("completions")
        .value_name("SHELL")
        .value_parser(clap::builder::EnumValueParser::<clap_complete::Shell>::new())
        .exclusive(true)
        .help("Print completions for a shell")
        .help_heading("About the tool");
    let man = Arg::new("man")
        .long("man")
        .action(ArgAction::SetTrue)
        .exclusive(true)
        .help("Print the manual page (roff)")
        .help_heading("About the tool");
    let command = Command::new(tool.name)
        .version(tool.version)
        .about(tool.about)
        .args([schema, completions, man])
        .disable_help_subcommand(true)
        .infer_long_args(false)
        .after_long_help(after_help(tool));
    let command = <CommonFlags as clap::Args>::augment_args(command);
    // Last, because the verbs bring a description of their own along.
    V::augment_subcommands(command)
        .about(tool.about)
        .long_about(None::<&str>)
        .subcommand_value_name("VERB")
        .subcommand_help_heading("Verbs")
}

fn after_help(tool: &Tool) -> String {
    let mut text = String::from("Examples:\n");
    for line in tool.examples.trim().lines() {
        text.push_str(&format!("  {}\n", line.trim_end()));
    }
    text.push_str("\nDocuments:\n");
    for id in tool.documents {
        text.push_str(&format!("  {id}\n"));
    }
    text.push_str("\nExit codes:\n");
    for (exit, meaning) in Exit::TABLE {
        text.push_str(&format!("  {:>3}  {meaning}\n", exit.code()));
    }
    text
}

/// Parses the command line and answers what needs no verb. `Err` is the exit of a process that is already done.
fn start<V: Subcommand>(tool: &'static Tool, args: &[OsString]) -> Result<(V, Session), Exit> {
    let color = if std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty()) {
        ClapColor::Never
    } else {
        ClapColor::Auto
    };
    let mut command = command::<V>(tool).color(color);
    let matches = match command.try_get_matches_from_mut(args) {
        Ok(matches) => matches,
        Err(error) => return Err(clap_ended(tool, args, &error)),
    };
    let usage = |message: &str, hint: &str| {
        let failure = Failure::new(Exit::Usage, "usage", message).hint(hint);
        Session::bare(tool, log_format_of(args)).report(&failure);
        Exit::Usage
    };
    if let Some(kind) = matches.get_one::<String>("schema") {
        return Err(print_schema(tool, kind).unwrap_or_else(|hint| usage("no such kind of document", &hint)));
    }
    if let Some(shell) = matches.get_one::<clap_complete::Shell>("completions") {
        let mut text = Vec::new();
        clap_complete::generate(*shell, &mut command, tool.name, &mut text);
        return Err(print_raw(&text));
    }
    if matches.get_flag("man") {
        let mut text = Vec::new();
        return Err(match clap_mangen::Man::new(command).render(&mut text) {
            Ok(()) => print_raw(&text),
            Err(_) => Exit::Io,
        });
    }
    if matches.subcommand_name().is_none() {
        let verbs: Vec<_> = command.get_subcommands().map(Command::get_name).collect();
        return Err(usage("a verb is missing", &format!("one of {}; see {} --help", verbs.join(", "), tool.name)));
    }
    let parsed = CommonFlags::from_arg_matches(&matches).and_then(|flags| Ok((V::from_arg_matches(&matches)?, flags)));
    let (verb, flags) = parsed.map_err(|error| clap_ended(tool, args, &error))?;
    let session = Session::new(tool, flags).map_err(|failure| {
        Session::bare(tool, log_format_of(args)).report(&failure);
        failure.exit()
    })?;
    Ok((verb, session))
}

/// Help and version go to stdout; everything else that clap says is a usage error in our form.
fn clap_ended(tool: &'static Tool, args: &[OsString], error: &clap::Error) -> Exit {
    use clap::error::ErrorKind;
    if matches!(error.kind(), ErrorKind::DisplayHelp | ErrorKind::DisplayVersion) {
        let text = error.render();
        let text = if std::io::stdout().is_terminal() { text.ansi().to_string() } else { text.to_string() };
        return print_raw(text.as_bytes());
    }
    let text = error.render().to_string();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
    let message = lines.next().unwrap_or("wrong usage").trim_start_matches("error: ").to_owned();
    let detail: Vec<_> = lines.filter(|line| !line.starts_with("For more information")).collect();
    let hint = if detail.is_empty() { format!("see {} --help", tool.name) } else { detail.join("; ") };
    Session::bare(tool, log_format_of(args)).report(&Failure::new(Exit::Usage, "usage", message).hint(hint));
    Exit::Usage
}

/// The log format is needed for errors of the command line itself, so it is looked for before that is parsed.
fn log_format_of(args: &[OsString]) -> LogFormat {
    let json = args.windows(2).any(|pair| pair[0] == "--log-format" && pair[1] == "json")
        || args.iter().any(|arg| arg == "--log-format=json");
    if json { LogFormat::Json } else { LogFormat::Text }
}

/// Prints one schema or, without a kind, the list of kinds. `Err` is a hint for an unknown kind.
fn print_schema(tool: &Tool, kind: &str) -> Result<Exit, String> {
    if kind.is_empty() {
        let list: String = tool.documents.iter().flat_map(|id| [id.as_str(), "\n"]).collect();
        return Ok(print_raw(list.as_bytes()));
    }
    match tool.documents.iter().find(|id| id.is_called(kind)) {
        Some(id) => Ok(print_raw(id.schema().as_bytes())),
        None => {
            let known: Vec<&str> = tool.documents.iter().map(|id| id.as_str()).collect();
            let near = did_you_mean(kind, known.iter().copied())
                .map(|near| format!("did you mean {near}? "))
                .unwrap_or_default();
            Err(format!("{near}{} knows {}", tool.name, known.join(", ")))
        }
    }
}

fn print_raw(bytes: &[u8]) -> Exit {
    let mut stdout = std::io::stdout().lock();
    match stdout.write_all(bytes).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Exit::Io,
        _ => Exit::Done,
    }
}

/// A panic is our bug: it says so in the same form as every error and ends with 70, also where panics abort.
fn install_panic_hook(tool: &'static Tool) {
    std::panic::set_hook(Box::new(move |info| {
        let place = info.location().map(|location| format!("{}:{}", location.file(), location.line()));
        // The text of the panic is left out: it may hold a value of a document.
        let error = ErrorObject {
            tool: tool.name.into(),
            version: tool.version.into(),
            code: "internal".into(),
            exit: Exit::Bug.code(),
            message: format!("internal error at {}", place.as_deref().unwrap_or("an unknown place")),
            hint: Some(
                "this is a bug of ours: please report it with the command line and the document, secrets taken out"
                    .into(),
            ),
            ..ErrorObject::default()
        };
        Session::bare(tool, log_format_of(&std::env::args_os().collect::<Vec<_>>())).report_error(&error);
        #[allow(clippy::exit, reason = "the only way to end with 70 where a panic would abort")]
        std::process::exit(i32::from(Exit::Bug.code()));
    }));
}
