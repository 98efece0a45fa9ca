//! Bring hosts to a declared state over SSH, locally or into a sandbox, and never lock the owner out.
//!
//! The controller (`verb`, `target`) finds hosts, proves who they are and talks to them; the engine does the work on the
//! host. Between them go the frames of `wire`. The second binary of this package, the helper, is the engine behind those
//! frames; it is shipped to a host once for each of its versions.
//!
//! Invariants: nothing on a host is changed before the way back is durable; nothing that could cut the owner off stays
//! without a proof over a new connection; no host is spoken to whose key is not known.

pub mod blobs;
pub mod engine;
pub mod fault;
pub mod helper;
pub mod lockout;
mod pattern;
pub mod sshd_settings;
pub mod wire;

// What follows is the controller's alone. Without it the helper needs no C compiler.
#[cfg(feature = "controller")]
pub mod bootstrap;
#[cfg(feature = "controller")]
pub mod controller;
#[cfg(feature = "controller")]
mod lint;
#[cfg(feature = "controller")]
pub mod nixos;
#[cfg(feature = "controller")]
mod private_key;
#[cfg(feature = "controller")]
pub mod pull;
#[cfg(feature = "controller")]
pub mod rollout;
#[cfg(feature = "controller")]
pub mod target;
#[cfg(feature = "controller")]
pub mod text;
#[cfg(feature = "controller")]
mod tool_call;
#[cfg(feature = "controller")]
pub mod verb;
#[cfg(feature = "controller")]
pub mod work;

#[cfg(feature = "controller")]
use cli::Tool;
#[cfg(feature = "controller")]
use contract::SchemaId;

#[cfg(feature = "controller")]
pub use verb::{Verb, run};

/// The program.
#[cfg(feature = "controller")]
pub static TOOL: Tool = Tool {
    name: "host-provision",
    version: env!("CARGO_PKG_VERSION"),
    about: "Bring hosts to a declared state over SSH, locally or into a sandbox, and never lock the owner out",
    examples: "\
host-provision keyscan ssh://root@192.0.2.10             # the keys of a new host, to be compared and pinned
cfg-render host --host web1 < fleet.json | host-provision plan --hosts inventory.json
host-provision apply web1.plan.json --hosts inventory.json   # exactly what was planned
cfg-render host --all < fleet.json | host-provision apply --hosts inventory.json --in-order --gate ./healthy
host-provision plan desired.json --target sandbox:/tmp/web1  # files in a directory, nothing run
host-provision run web1 --hosts inventory.json -- backup-plan run",
    documents: &[
        SchemaId::HOSTS_INVENTORY,
        SchemaId::HOST_DESIRED,
        SchemaId::HOST_PLAN,
        SchemaId::HOST_RESULT,
        SchemaId::HOST_FACTS,
        SchemaId::HOST_OWNED,
        SchemaId::SECRETS_RESULT,
    ],
    reports: &[],
};
