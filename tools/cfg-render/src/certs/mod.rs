//! The internal certificate authority: its key, the leaves of the fleet and their renewal.
//!
//! What is public lies as PEM files beside the fleet, in git: the CA's certificate (`certificates.certificate`, `ca.pem`)
//! and one chain a site and host (`tls/HOST/NAME.pem`), which hosts get as `file` items with `source`. What is private
//! never touches the disk in clear: it leaves through a pipe, as requests that `secret-encrypt set --many` takes, and ends
//! in SOPS files: the CA's key in `certificates.key_file` at `/ca-key`, for administrators only, and a leaf's key in its
//! host's file at `/tls-HOST-NAME`.
//!
//! Invariants: a leaf that the CA's name constraints (RFC 5280, section 4.2.1.10) do not cover is never issued; a key is
//! printed before the certificate that belongs to it is written, so that a broken pipe leaves no certificate without a key.

mod authority;
mod error;
mod instant;
mod judgement;
mod key_request;
mod leaf;
mod public_files;
mod seen;
mod wanted;
mod work;

pub use authority::{Authority, covers};
pub use error::CertsError;
pub use instant::Instant;
pub use judgement::{Judgement, judge_authority, judge_leaf};
pub use key_request::KeyRequest;
pub use public_files::PublicFiles;
pub use seen::Seen;
pub use wanted::{Wanted, WantedAuthority};
pub use work::{Certs, Work};
