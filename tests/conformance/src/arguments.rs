//! The command line of the runner.

use std::path::{Path, PathBuf};

use clap::Parser;

use crate::{Case, Descriptor, Level, contract_cases};

/// Run the conformance cases against the tools, or against a replacement of one
#[derive(Debug, Clone, Parser)]
#[command(name = "conformance")]
pub struct Arguments {
    /// Directory with the tools as built
    #[arg(long, value_name = "DIR")]
    pub built: Option<PathBuf>,
    /// A program to test in place of a tool; then only that tool's cases are run
    #[arg(long = "bin", value_name = "NAME=PATH")]
    pub programs: Vec<String>,
    /// Only the contract (documents, errors, exits, pipes), or the behaviour as well
    #[arg(long, default_value = "full", value_enum)]
    pub level: Level,
    /// Only cases whose name contains this; given several times, one of them
    #[arg(long, value_name = "TEXT")]
    pub only: Vec<String>,
    /// Where `tools` and `cases` lie
    #[arg(long, value_name = "DIR", default_value = concat!(env!("CARGO_MANIFEST_DIR")))]
    pub cases_in: PathBuf,
}

impl Arguments {
    /// The cases to run, each with the program to run it against.
    ///
    /// # Errors
    /// A text for people where a case cannot be read or no program is given for a tool.
    pub fn cases(&self) -> Result<Vec<(Case, PathBuf)>, String> {
        let mut chosen = Vec::new();
        for (name, program) in self.chosen_programs()? {
            let descriptor = Descriptor::read(&self.cases_in.join("tools").join(format!("{name}.json")))?;
            let mut cases = contract_cases::of(&descriptor);
            if self.level == Level::Full {
                cases.extend(behaviour(&self.cases_in.join("cases").join(&name), &name)?);
            }
            cases.retain(|case| self.only.is_empty() || self.only.iter().any(|text| case.name.contains(text)));
            chosen.extend(cases.into_iter().map(|case| (case, program.clone())));
        }
        Ok(chosen)
    }

    fn chosen_programs(&self) -> Result<Vec<(String, PathBuf)>, String> {
        if !self.programs.is_empty() {
            let split = |text: &String| {
                let (name, path) = text.split_once('=').ok_or_else(|| format!("expected NAME=PATH, not {text}"))?;
                let path = Path::new(path).canonicalize().map_err(|error| format!("{path}: {error}"))?;
                Ok((name.to_owned(), path))
            };
            return self.programs.iter().map(split).collect();
        }
        let built = self.built.as_ref().ok_or("give --built DIR or --bin NAME=PATH")?;
        let built = built.canonicalize().map_err(|error| format!("{}: {error}", built.display()))?;
        let mut names: Vec<String> = list(&self.cases_in.join("tools"))?
            .iter()
            .filter_map(|path| path.file_stem().and_then(|stem| stem.to_str()).map(str::to_owned))
            .collect();
        names.sort();
        Ok(names.into_iter().map(|name| (name.clone(), built.join(name))).collect())
    }
}

fn behaviour(folder: &Path, tool: &str) -> Result<Vec<Case>, String> {
    if !folder.exists() {
        return Ok(Vec::new());
    }
    let mut files = list(folder)?;
    files.retain(|path| path.extension().is_some_and(|extension| extension == "json"));
    files.sort();
    files.iter().map(|path| Case::read(path, tool)).collect()
}

fn list(folder: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(folder).map_err(|error| format!("{}: {error}", folder.display()))?;
    Ok(entries.filter_map(|entry| entry.ok().map(|entry| entry.path())).collect())
}
