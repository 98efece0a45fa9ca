//! The SOPS format itself: encrypted values, the MAC, metadata, and which values are covered. Knows no file format.

mod cipher;
mod crypt_rule;
mod enc_text;
mod metadata;
mod seal;
mod shamir;
mod value;

pub(crate) use cipher::{Cipher, DataKey, overwrite_stack};
pub(crate) use crypt_rule::CryptRule;
pub(crate) use enc_text::EncText;
pub(crate) use metadata::{Metadata, flatten, unflatten};
pub(crate) use seal::additional;
pub(crate) use seal::{Opened, Reuse, SealedSlot, open, seal, status};
pub(crate) use value::{Kind, Value};
