//! Nix on the controller: its own, or one in a container where there is none.

use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use clap::ValueEnum;
use cli::Failure;
use contract::Exit;

/// Where nix comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub(super) enum NixChoice {
    /// This machine's own where there is one, else a container
    #[default]
    Auto,
    /// This machine's own
    Local,
    /// A container (docker, or podman)
    Container,
}

/// The flags of it.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct NixFlags {
    /// Which nix is used
    #[arg(long, value_name = "WHICH", default_value = "auto", value_enum)]
    nix: NixChoice,
    /// The image of the container; it must hold nix and git
    #[arg(long, value_name = "IMAGE", default_value = "docker.io/nixos/nix:2.31.2")]
    image: String,
}

/// A way to run nix.
#[derive(Debug, Clone)]
pub(super) enum Nix {
    Local,
    Container { engine: String, image: String },
}

/// A path of this machine that nix has to see.
#[derive(Debug, Clone)]
pub(super) struct Mount {
    /// Here.
    pub(super) here: PathBuf,
    /// In the container.
    pub(super) there: &'static str,
    /// Nix writes to it.
    pub(super) writable: bool,
}

fn is_there(program: &str) -> bool {
    crate::target::child(program)
        .arg("--version")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

impl NixFlags {
    /// Finds it.
    ///
    /// # Errors
    /// 69 where there is neither nix nor a container engine.
    pub(super) fn find(&self) -> Result<Nix, Failure> {
        if self.nix != NixChoice::Container && is_there("nix") {
            return Ok(Nix::Local);
        }
        let engine = ["docker", "podman"].into_iter().find(|engine| is_there(engine));
        match engine.filter(|_| self.nix != NixChoice::Local) {
            Some(engine) => Ok(Nix::Container { engine: engine.into(), image: self.image.clone() }),
            None => {
                Err(Failure::new(Exit::Unavailable, "no_nix", "neither nix nor a container engine is on this machine")
                    .hint("install nix, docker or podman; hosts themselves need nothing for this"))
            }
        }
    }
}

impl Nix {
    /// How a mounted path is called where nix runs.
    pub(super) fn seen(&self, mount: &Mount) -> String {
        match self {
            Self::Local => mount.here.to_string_lossy().into_owned(),
            Self::Container { .. } => mount.there.to_owned(),
        }
    }

    /// A command line of nix.
    pub(super) fn command(&self, args: &[String], mounts: &[Mount]) -> Command {
        let features = ["--extra-experimental-features", "nix-command flakes"];
        match self {
            Self::Local => {
                let mut command = crate::target::child("nix");
                command.args(features).args(args);
                command
            }
            Self::Container { engine, image } => {
                let mut command = crate::target::child(engine);
                command.args(["run", "--rm", "-i"]);
                for mount in mounts {
                    let mode = if mount.writable { "" } else { ":ro" };
                    command.arg("-v").arg(format!("{}:{}{mode}", mount.here.display(), mount.there));
                }
                command.arg(image).arg("nix").args(features).args(args);
                command
            }
        }
    }

    /// Runs it and takes what it prints.
    ///
    /// # Errors
    /// 69 where it fails.
    pub(super) fn output(&self, args: &[String], mounts: &[Mount], doing: &str) -> Result<Output, Failure> {
        let output = self
            .command(args, mounts)
            .stdin(Stdio::null())
            .stderr(Stdio::piped())
            .stdout(Stdio::piped())
            .output()
            .map_err(|error| Failure::io(Exit::Unavailable, "run", "nix", &error))?;
        if output.status.success() {
            return Ok(output);
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = said.trim().lines().collect();
        let words = lines[lines.len().saturating_sub(8)..].join("; ");
        Err(Failure::new(Exit::Unavailable, "nix_failed", format!("nix cannot {doing}")).cause(words))
    }
}

/// A flake in a directory, as nix wants it named: only what lies there is taken.
pub(super) fn path_flake(path: &str) -> String {
    format!("path:{path}")
}

/// Where a file of the flake lies below the base.
pub(super) fn below(base: &Path, source: &str) -> PathBuf {
    base.join(source)
}
