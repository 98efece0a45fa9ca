//! Secrets on a machine: a manifest's values into RAM, with owners, modes, links and filled templates.

mod accounts;
mod generation;
mod links;
mod manifest;
mod pipes;
mod ram;
mod template;

pub(crate) use accounts::Accounts;
pub(crate) use generation::{Entry, Tree};
pub(crate) use links::{place_links, refuse_others};
pub(crate) use manifest::{FOR_USERS, Manifest, Values, base_of};
pub(crate) use pipes::serve;
pub(crate) use ram::{guard_process, pipe_directory, private_directory, refuse_disk};
pub(crate) use template::fill;
