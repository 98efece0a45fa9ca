//! What is done on a host, by the helper there or in this process for a sandbox. Nothing here knows of connections or
//! command lines.

pub mod access;
mod account_undo;
pub mod accounts;
pub mod apply;
pub mod batch;
pub mod entry;
pub mod facts;
mod giving_back;
pub mod guard;
mod handlers;
mod hash;
pub mod host;
pub mod item;
pub mod lock;
pub mod owned;
pub mod packages;
mod placing;
pub mod plan;
pub mod process;
mod random;
mod removal;
pub mod rollback;
pub mod run;
pub mod running;
pub mod tree;
pub mod units;
pub mod way_in;

pub use hash::{hex, sha256};
pub use host::Host;
pub use item::View;
