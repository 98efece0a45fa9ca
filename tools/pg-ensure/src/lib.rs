//! Make PostgreSQL roles, databases and grants equal to what is declared.
//!
//! A verb makes a [`job::Job`] (the desired state with the values of its secrets) and has it done, either in this process or,
//! where it was started as root and the cluster is behind a socket, by a child with the uid of the cluster's owner
//! ([`as_user`]). The job observes ([`observed`]), compares ([`planner`]) and, for an apply, changes ([`apply`]).
//!
//! Invariants: the server is sent verifiers and never passwords; a plan holds neither; every name in a statement went through
//! [`quote`]; what the owner did not make is never dropped.

mod apply;
mod as_user;
mod change;
mod check;
mod connection;
mod dump;
mod error;
mod grants;
mod hba;
mod inside;
mod job;
mod observed;
mod owned;
mod planner;
mod quote;
mod setting;
mod text;
mod tls;
mod verb;
mod verifier;

use cli::Tool;
use contract::SchemaId;

pub use verb::{Verb, run};

/// The program.
pub static TOOL: Tool = Tool {
    name: "pg-ensure",
    version: env!("CARGO_PKG_VERSION"),
    about: "Make PostgreSQL roles, databases and grants equal to what is declared",
    examples: "\
pg-ensure check < cluster.json                    what is wrong with the document, without a server
pg-ensure plan < cluster.json > plan.json         what would change; the plan holds no secret
pg-ensure plan --check cluster.json               exit 1 if anything differs
pg-ensure apply plan.json                         exactly that plan, or 75 if the cluster has moved
pg-ensure apply cluster.json --allow drop:database/old
pg-ensure dump --socket /run/postgresql           what the cluster holds, as a document",
    documents: &[
        SchemaId::PG_DESIRED,
        SchemaId::PG_PLAN,
        SchemaId::PG_RESULT,
        SchemaId::PG_UPGRADE,
        SchemaId::FINDINGS,
    ],
    reports: &[],
};
