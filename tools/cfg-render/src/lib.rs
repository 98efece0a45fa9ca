//! Compile a fleet document into every configuration file and every document of the other tools.
//!
//! The ways of a fleet through here: `fleet` is what was written, `check` says what is wrong with it, `model` is what it
//! means, `format` are the languages of configuration files. `host` makes the files of a host, `derive` the documents of
//! the other tools, `docs` the drawings. Only `certs` has effects; everything else is a pure function of the fleet.

pub mod certs;
pub mod check;
pub mod derive;
pub mod docs;
pub mod fleet;
pub mod format;
pub mod host;
mod memory;
pub mod model;
pub mod nixos;
mod verb;

use cli::Tool;
use contract::SchemaId;

pub use verb::{Verb, run};

/// The program.
pub static TOOL: Tool = Tool {
    name: "cfg-render",
    version: env!("CARGO_PKG_VERSION"),
    about: "Compile a fleet document into every configuration file and every document of the other tools",
    examples: "\
cfg-render check fleet.json                                 what is wrong with it, all at once
cfg-render host --host web1 --output text fleet.json        everything on a host, for people
cfg-render host --host web1 fleet.json | host-provision plan --target ssh://root@192.0.2.10
cfg-render host --all --out . fleet.json                    the flake of all NixOS hosts, for git
cfg-render explain web1:/etc/nginx/nginx.conf fleet.json    which lines of the fleet made it
cfg-render explain --service forgejo fleet.json             what would go with it
cfg-render diff --against render.jsonl --check fleet.json   what changed since an earlier render
cfg-render dns fleet.json | dns-sync plan --phase all
cfg-render secrets --all fleet.json | secret-encrypt create --missing --base .
cfg-render docs --format svg --view network fleet.json > network.svg",
    documents: &[
        SchemaId::FLEET,
        SchemaId::FINDINGS,
        SchemaId::HOSTS_INVENTORY,
        SchemaId::HOST_DESIRED,
        SchemaId::HOST_FACTS,
        SchemaId::DNS_DESIRED,
        SchemaId::PG_DESIRED,
        SchemaId::BACKUP_SOURCES,
        SchemaId::HEALTH_CHECKS,
        SchemaId::SECRETS_MANIFEST,
    ],
    reports: &[],
};
