//! agenix trees: one age file a secret, and rules (`secrets.nix`) that say who can read each.

mod age_file;
mod rules;

pub(crate) use age_file::{Fit, Header, is_age_file, read, refuse_age_file};
pub(crate) use rules::{AgenixFlags, AgenixRules, Entry};
