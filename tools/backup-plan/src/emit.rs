//! The plan for others: command lines, restic's files, systemd units. Pure: nothing is observed or run.

use clap::ValueEnum;

pub(crate) mod argv;
pub(crate) mod files;
pub(crate) mod systemd;

/// What a plan is written as. One file in this folder each.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Target {
    /// Command lines, ready to be read and pasted
    Argv,
    /// restic's input files in a directory: roots.raw, excludes.txt, env.keys
    Files,
    /// host.desired with a service and a timer, for host-provision
    Systemd,
}
