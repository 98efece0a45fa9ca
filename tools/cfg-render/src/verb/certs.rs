//! `cfg-render certs`: the internal CA and its leaves.

use std::fs::File;
use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use clap::{Args, Subcommand};
use cli::{Consents, Failure, Input, SecretStore, Session, Sourced, Style};
use contract::{Exit, Findings, Level, SecretRef};

use super::text::count;
use crate::certs::{Certs, CertsError, Instant, KeyRequest, PublicFiles, Work};
use crate::fleet::Fleet;
use crate::model::{CA_KEY, Model};

/// What to do about certificates.
#[derive(Debug, Clone, Subcommand)]
pub enum CertsVerb {
    /// Make the CA: its certificate as a file, its key into the pipe
    ///
    /// The certificate (10 years, limited to the fleet's domains) is written below the base directory, at `certificates.certificate`
    /// (ca.pem). Its private key is printed as a request of `secret-encrypt set --many` for `certificates.key_file`
    /// (secrets/ca.yaml), which only administrators should be able to decrypt. Where a CA is there, nothing happens,
    /// unless it is about to expire or the fleet has new domains: then, under `secret-encrypt exec`, it gets a new
    /// certificate for the same key, so that all leaves stay good.
    Ca(CaArgs),
    /// Make every leaf that is missing, wrong, or past two thirds of its life
    ///
    /// Chains are written below the base directory (tls/HOST/NAME.pem), private keys are printed as requests of
    /// `secret-encrypt set --many`, one line a SOPS file. Needs the CA's key as the secret ca-key, so run it under `secret-encrypt
    /// exec`; only where there is no CA at all, it is made here too.
    Renew(RenewArgs),
    /// Say which certificates are missing, wrong, expired or about to expire (exit 1 with errors)
    Check(CheckArgs),
}

/// Where certificates lie, and what time it is.
#[derive(Debug, Clone, Args)]
pub(crate) struct Common {
    /// Directory that the fleet's files are relative to; the fleet's own if not given
    #[arg(long, value_name = "DIR")]
    base: Option<PathBuf>,
    /// The moment to decide by, such as 2026-01-31T12:00:00Z; the clock's if not given
    #[arg(long, value_name = "RFC3339")]
    now: Option<String>,
    #[command(flatten)]
    input: Input,
}

/// `certs ca`
#[derive(Debug, Clone, Args)]
pub struct CaArgs {
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    secrets: SecretStore,
    #[command(flatten)]
    consents: Consents,
}

/// `certs renew`
#[derive(Debug, Clone, Args)]
pub struct RenewArgs {
    /// Make all leaves, due or not, such as after a key became known
    #[arg(long)]
    all: bool,
    #[command(flatten)]
    common: Common,
    #[command(flatten)]
    secrets: SecretStore,
}

/// `certs check`
#[derive(Debug, Clone, Args)]
pub struct CheckArgs {
    #[command(flatten)]
    common: Common,
}

/// Does it.
pub(crate) fn run(verb: &CertsVerb, session: &mut Session) -> Result<Exit, Failure> {
    match verb {
        CertsVerb::Ca(args) => {
            let replace = args.consents.allows("replace", "ca");
            make(&args.common, session, |certs| certs.make_authority(&|| ca_key(&args.secrets), replace))
        }
        CertsVerb::Renew(args) => make(&args.common, session, |certs| certs.renew(&|| ca_key(&args.secrets), args.all)),
        CertsVerb::Check(args) => check(&args.common, session),
    }
}

impl Common {
    fn read(&self, session: &Session) -> Result<(Sourced<Fleet>, PublicFiles, Instant), Failure> {
        let now = match &self.now {
            Some(text) => text.parse().map_err(Failure::from)?,
            None => Instant::now(),
        };
        let beside =
            || self.input.file.parent().filter(|parent| !self.input.is_stdin() && !parent.as_os_str().is_empty());
        let base = self.base.as_deref().or_else(beside).unwrap_or(Path::new("."));
        Ok((session.read(&self.input)?, PublicFiles::new(base), now))
    }
}

fn make(
    common: &Common,
    session: &Session,
    work: impl FnOnce(&Certs<'_>) -> Result<Work, Failure>,
) -> Result<Exit, Failure> {
    let (fleet, files, now) = common.read(session)?;
    let resolved = fleet.document.resolved();
    let model = Model::new(&fleet.document, &resolved);
    let certs = Certs::new(&model, &files, now);
    let work = work(&certs).map_err(|failure| fleet.source.located(failure))?;
    if !work.keys.is_empty() {
        if !stdout_is_pipe() {
            return Err(CertsError::NoPipe.into());
        }
        // Keys first: a certificate without its key would break a host, a key without its certificate is made again.
        session.print_bytes(KeyRequest::lines(&work.keys).bytes())?;
    }
    for (file, pem) in &work.files {
        files.write(file, pem)?;
    }
    for warning in &work.warnings {
        session.warn(warning);
    }
    for remark in &work.remarks {
        session.note(remark);
    }
    Ok(Exit::Done)
}

fn check(common: &Common, session: &Session) -> Result<Exit, Failure> {
    let (fleet, files, now) = common.read(session)?;
    let resolved = fleet.document.resolved();
    let model = Model::new(&fleet.document, &resolved);
    let findings = Findings::new(Certs::new(&model, &files, now).findings()?);
    session.print(&findings, text)?;
    Ok(if findings.has_errors() { Exit::No } else { Exit::Done })
}

fn text(findings: &Findings, style: Style) -> String {
    let mut text = String::new();
    for finding in &findings.findings {
        let level = match finding.level {
            Level::Error => style.red("error"),
            Level::Warning => style.yellow("warning"),
            Level::Note => style.dim("note"),
        };
        text.push_str(&format!("{level}: {}: {}\n", finding.file.as_deref().unwrap_or_default(), finding.message));
        if let Some(fix) = finding.fix.as_ref().filter(|_| finding.level != Level::Note) {
            text.push_str(&format!("  fix: {fix}\n"));
        }
    }
    let (errors, warnings) = (count(findings, Level::Error), count(findings, Level::Warning));
    text.push_str(&format!("Certificates: {errors}, {warnings}, {} due.\n", findings.count(Level::Note)));
    text
}

fn ca_key(secrets: &SecretStore) -> Result<cli::Secret, Failure> {
    let name =
        CA_KEY.parse().map_err(|_| Failure::new(Exit::Bug, "internal", "the name of the CA's secret is none"))?;
    secrets.get(&SecretRef::new(name))
}

/// Whether stdout is read by another program. A terminal would show the keys, a file would keep them, /dev/null would
/// lose them.
fn stdout_is_pipe() -> bool {
    use std::os::unix::fs::FileTypeExt;
    let stdout = std::io::stdout();
    let kind =
        stdout.as_fd().try_clone_to_owned().and_then(|fd| File::from(fd).metadata()).map(|data| data.file_type());
    !stdout.is_terminal() && kind.is_ok_and(|kind| kind.is_fifo() || kind.is_socket())
}
