//! `lock`: makes or renews the flake.lock of a NixOS host and brings it to where the fleet keeps it.

use std::path::PathBuf;

use cli::{Failure, Input, Session};
use contract::document::HostDesired;
use contract::{Exit, SchemaId};

use super::flake::{item_of, stage};
use super::nix::{Mount, NixFlags, below, path_flake};

/// The lock of a flake without inputs, which nix itself does not write down.
const EMPTY: &str = "{\n  \"nodes\": {\n    \"root\": {}\n  },\n  \"root\": \"root\",\n  \"version\": 7\n}\n";

/// Arguments of lock.
#[derive(Debug, Clone, clap::Args)]
pub struct LockArgs {
    #[command(flatten)]
    input: Input,
    /// Where files named by "source" lie
    #[arg(long, value_name = "DIR", default_value = ".")]
    base: PathBuf,
    /// Take the newest revision of every input instead of keeping those that are locked
    #[arg(long)]
    update: bool,
    /// Where the lock is written (default: where the document takes it from, below --base)
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    #[command(flatten)]
    nix: NixFlags,
}

impl LockArgs {
    /// Does it, and says where the lock is.
    ///
    /// # Errors
    /// 65 for a document without a flake, 69 without nix or where nix refuses.
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let raw = session.read_raw(&self.input, &[SchemaId::HOST_DESIRED])?;
        let desired = raw.read::<HostDesired>()?.document;
        let nixos = item_of(&desired)?;
        if !nixos.files.contains_key("flake.nix") {
            return Err(Failure::new(Exit::BadDocument, "no_flake", "the document has no flake.nix to be locked")
                .hint("a flake that the host fetches is locked where it is kept"));
        }
        let staged = stage(nixos, &|path, source| match crate::work::read_source(&self.base, source) {
            // It is what is made here.
            Err(_) if path == "flake.lock" => Ok(None),
            Ok(bytes) => Ok(Some(bytes)),
            Err(refusal) => Err(refusal.into_failure(&self.base, source)),
        })?;
        let lock = staged.path().join("flake.lock");
        if self.update && lock.exists() {
            std::fs::remove_file(&lock).map_err(|error| Failure::io(Exit::Io, "take away", lock.display(), &error))?;
        }
        let nix = self.nix.find()?;
        let mount = Mount { here: staged.path().to_owned(), there: "/flake", writable: true };
        let flake = path_flake(&nix.seen(&mount));
        nix.output(&["flake".into(), "lock".into(), flake], &[mount], "lock the flake")?;
        let after = if lock.exists() {
            std::fs::read(&lock).map_err(|error| Failure::io(Exit::Unreadable, "read", lock.display(), &error))?
        } else {
            EMPTY.into()
        };
        let source = nixos.files.get("flake.lock").and_then(|file| file.source.clone());
        let place = match (&self.out, source) {
            (Some(out), _) => out.clone(),
            (None, Some(source)) => below(&self.base, &source),
            (None, None) => self.base.join("flake.lock"),
        };
        let there = std::fs::read(&place).unwrap_or_default();
        if there == after {
            session.note(&format!("{} is as it should be", place.display()));
        } else {
            cli::write_atomically(&place, &after, 0o644)
                .map_err(|error| Failure::io(Exit::CannotCreate, "write", place.display(), &error))?;
            session.warn(&format!("{} was written; look at it and commit it", place.display()));
        }
        session.print_bytes(format!("{}\n", place.display()).as_bytes())?;
        Ok(Exit::Done)
    }
}
