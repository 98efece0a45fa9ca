//! What is wrong with a tree, as far as it can be seen without any key.

mod git;
mod one_file;
mod sops_nix;

pub(crate) use one_file::Looks;
