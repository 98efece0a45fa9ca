//! Who can read a file: recipients (public) and identities (private), of age and of SSH.

#[cfg(test)]
mod age_vectors;
mod armor;
mod hybrid;
mod identity;
mod identity_search;
mod locked;
mod prompt;
mod recipient;
mod ssh_key;
mod x_wing;

pub(crate) use identity::{Identities, is_private_key};
pub(crate) use identity_search::IdentityFlags;
pub(crate) use recipient::{Recipient, mixing_warning};
pub(crate) use ssh_key::{SshPrivateKey, converted_recipient, openssh_private_key};
