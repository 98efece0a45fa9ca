//! The documents that travel between programs. One file a document, named after its schema id.
//!
//! A document's type does not carry the `schema` key: the reader checks and removes it, the writer puts it first.
//! Documents that carry instructions reject unknown keys; what tools report is read leniently within a major.
//! Shapes are externally tagged structs, never flattened or untagged, so that every error keeps its place.

mod backup_plan;
mod backup_proof;
mod backup_result;
mod backup_sources;
mod backup_verdict;
mod dns_desired;
mod dns_plan;
mod dns_result;
mod dns_verify;
mod health_checks;
mod health_http_check;
mod health_local_checks;
mod health_report;
mod host_desired;
mod host_facts;
mod host_nixos;
mod host_owned;
mod host_plan;
mod host_result;
mod hosts_inventory;
mod pg_desired;
mod pg_plan;
mod pg_result;
mod pg_upgrade;
mod secrets_manifest;
mod secrets_result;
mod summary;

use schemars::JsonSchema;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::SchemaId;

pub use backup_plan::*;
pub use backup_proof::*;
pub use backup_result::*;
pub use backup_sources::*;
pub use backup_verdict::*;
pub use dns_desired::*;
pub use dns_plan::*;
pub use dns_result::*;
pub use dns_verify::*;
pub use health_checks::*;
pub use health_http_check::*;
pub use health_local_checks::*;
pub use health_report::*;
pub use host_desired::*;
pub use host_facts::*;
pub use host_nixos::*;
pub use host_owned::*;
pub use host_plan::*;
pub use host_result::*;
pub use hosts_inventory::*;
pub use pg_desired::*;
pub use pg_plan::*;
pub use pg_result::*;
pub use pg_upgrade::*;
pub use secrets_manifest::*;
pub use secrets_result::*;
pub use summary::*;

/// A kind of document.
pub trait Document: Serialize + DeserializeOwned + JsonSchema {
    /// Its schema id.
    const ID: SchemaId;
}
