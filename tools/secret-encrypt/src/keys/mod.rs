//! Who can read a file: recipients (public) and identities (private), of age and of SSH.

mod armor;
mod identity;
mod identity_search;
mod recipient;
mod ssh_key;

pub(crate) use identity::{Identities, is_private_key};
pub(crate) use identity_search::IdentityFlags;
pub(crate) use recipient::Recipient;
pub(crate) use ssh_key::{SshPrivateKey, converted_recipient, openssh_private_key};
