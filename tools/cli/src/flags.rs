//! Flags that every tool has.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

/// Flags that every tool has, before or after the verb.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Common flags")]
pub struct CommonFlags {
    /// What stdout carries: auto (text on a terminal, JSON in a pipe), json, text, or a format of --report
    #[arg(long, value_name = "FORMAT", default_value = "auto", global = true, value_parser = OutputFormat::parse)]
    pub output: OutputFormat,
    /// Write a further report to a file, such as --report json=result.json
    #[arg(long = "report", value_name = "FMT=PATH", global = true, value_parser = Report::parse)]
    pub reports: Vec<Report>,
    /// How errors and remarks are written to stderr
    #[arg(long, value_name = "FORMAT", default_value = "text", global = true, value_enum)]
    pub log_format: LogFormat,
    /// When to use colours (NO_COLOR is honoured)
    #[arg(long, value_name = "WHEN", default_value = "auto", global = true, value_enum)]
    pub color: ColorChoice,
    /// Only errors on stderr
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// More remarks on stderr
    #[arg(short, long, global = true, conflicts_with = "quiet")]
    pub verbose: bool,
}

/// What stdout carries.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum OutputFormat {
    /// Text on a terminal, JSON otherwise
    #[default]
    Auto,
    /// The document
    Json,
    /// The same for people
    Text,
    /// A format of the tool, as in `--report`
    Report(String),
}

impl OutputFormat {
    /// Which formats a tool has is known to its session only.
    #[allow(clippy::unnecessary_wraps, reason = "the form that clap wants")]
    fn parse(text: &str) -> Result<Self, std::convert::Infallible> {
        Ok(match text {
            "auto" => Self::Auto,
            "json" => Self::Json,
            "text" => Self::Text,
            other => Self::Report(other.into()),
        })
    }
}

/// How errors and remarks are written to stderr.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum LogFormat {
    /// For people
    #[default]
    Text,
    /// One JSON object a line
    Json,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum ColorChoice {
    /// On a terminal
    #[default]
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// A further report: its format and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// `json`, `text`, or a format of the tool.
    pub format: String,
    /// The file, replaced as a whole.
    pub path: PathBuf,
}

impl Report {
    fn parse(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((format, path)) if !format.is_empty() && !path.is_empty() => {
                Ok(Self { format: format.into(), path: path.into() })
            }
            _ => Err("expected FMT=PATH, such as json=result.json".into()),
        }
    }
}
