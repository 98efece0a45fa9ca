//! What the tools made in a cluster, remembered in the cluster.
//!
//! It is a table, `plumbline.owned`, in the maintenance database: a person can look at it with `SELECT`, it is carried along
//! by pg_dumpall and pg_upgrade, it needs no superuser, and it is written in the transaction that makes a role. Comments
//! belong to the people who write them; security labels need a provider; settings (`ALTER ROLE ... SET plumbline.owner`) need
//! a superuser and show up in every session; object ids do not survive a dump.

use serde::Deserialize;

use crate::connection::Connection;
use crate::error::Error;
use crate::quote::literal;

/// One thing that was made for an owner.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub(crate) struct Owned {
    /// Who declared it.
    pub owner: String,
    /// `role`, `database` or `grant`.
    pub kind: String,
    /// Its name.
    pub name: String,
}

/// Makes the table; only its maker and superusers may see it.
pub(crate) const CREATE: &str = "\
CREATE SCHEMA IF NOT EXISTS plumbline;
CREATE TABLE IF NOT EXISTS plumbline.owned (
 owner text NOT NULL, kind text NOT NULL, name text NOT NULL, PRIMARY KEY (kind, name));
COMMENT ON TABLE plumbline.owned IS 'what pg.desired documents made in this cluster, so that it can be told from what others made'";

/// Reads all of it.
///
/// # Errors
/// What the server says.
pub(crate) async fn read(work: &Connection) -> Result<Vec<Owned>, Error> {
    let sql = "SELECT coalesce(jsonb_agg(to_jsonb(o) ORDER BY kind, name), '[]')::text FROM plumbline.owned o";
    work.json("reading what is owned", sql).await
}

/// The statement that remembers one thing.
pub(crate) fn remember(owner: &str, kind: &str, name: &str) -> String {
    format!(
        "INSERT INTO plumbline.owned (owner, kind, name) VALUES ({}, {}, {}) \
         ON CONFLICT (kind, name) DO UPDATE SET owner = excluded.owner",
        literal(owner),
        literal(kind),
        literal(name)
    )
}

/// The statement that forgets one thing.
pub(crate) fn forget(kind: &str, name: &str) -> String {
    format!("DELETE FROM plumbline.owned WHERE kind = {} AND name = {}", literal(kind), literal(name))
}
