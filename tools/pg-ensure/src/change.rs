//! One change that is planned, with all that carries it out.

use contract::Pointer;
use contract::document::{Op, PgChange};
use serde::Serialize;
use sha2::{Digest, Sha256};

/// When in an apply a change is made, and in which transaction.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Phase {
    /// Roles, passwords, memberships: all in one transaction.
    Roles,
    /// `CREATE DATABASE`, which cannot be in a transaction.
    CreateDatabase,
    /// Owners, limits and grants of databases: all in one transaction.
    Databases,
    /// Inside one database: all in one transaction of that database.
    Inside(String),
    /// `DROP DATABASE` of orphans, with consent.
    DropDatabase,
    /// `DROP ROLE` of orphans, with consent.
    DropRole,
}

/// A statement, and how it is shown if it holds a verifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Statement {
    /// What the server is sent.
    pub sql: String,
    /// What a person and the plan see instead.
    pub shown: Option<String>,
}

/// A change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Change {
    /// What it is on.
    pub id: String,
    /// What is done.
    pub op: Op,
    /// What is different.
    pub why: String,
    /// When it is made.
    pub phase: Phase,
    /// The database that it needs, where it is not the one of `phase`.
    pub needs: Option<String>,
    /// The statements, in order.
    pub statements: Vec<Statement>,
    /// What was observed.
    pub fingerprint: String,
    /// Places in the fleet.
    pub from: Vec<Pointer>,
    /// What is remembered as made by the owner: kind and name.
    pub makes: Option<(String, String)>,
    /// What is forgotten because it is gone: kind and name.
    pub forgets: Option<(String, String)>,
}

impl Statement {
    /// A statement that anybody may see.
    pub(crate) fn open(sql: impl Into<String>) -> Self {
        Self { sql: sql.into(), shown: None }
    }

    /// A statement that holds a verifier.
    pub(crate) fn closed(sql: impl Into<String>, shown: impl Into<String>) -> Self {
        Self { sql: sql.into(), shown: Some(shown.into()) }
    }
}

impl Change {
    /// A change without its statements.
    pub(crate) fn new(id: String, op: Op, why: impl Into<String>, phase: Phase, observed: &impl Serialize) -> Self {
        Self {
            id,
            op,
            why: why.into(),
            phase,
            needs: None,
            statements: Vec::new(),
            fingerprint: fingerprint(observed),
            from: Vec::new(),
            makes: None,
            forgets: None,
        }
    }

    /// The same with one more statement.
    pub(crate) fn sql(mut self, sql: impl Into<String>) -> Self {
        self.statements.push(Statement::open(sql));
        self
    }

    /// The same with one more statement that holds a verifier.
    pub(crate) fn closed_sql(mut self, sql: impl Into<String>, shown: impl Into<String>) -> Self {
        self.statements.push(Statement::closed(sql, shown));
        self
    }

    /// The same with its places in the fleet.
    pub(crate) fn from(mut self, from: &[Pointer]) -> Self {
        self.from = from.to_vec();
        self
    }

    /// The same, needing that a database is there.
    pub(crate) fn needs(mut self, database: &str) -> Self {
        self.needs = Some(database.into());
        self
    }

    /// The same, remembered as made by the owner.
    pub(crate) fn makes(mut self, kind: &str, name: &str) -> Self {
        self.makes = Some((kind.into(), name.into()));
        self
    }

    /// The same, forgotten once done.
    pub(crate) fn forgets(mut self, kind: &str, name: &str) -> Self {
        self.forgets = Some((kind.into(), name.into()));
        self
    }

    /// As it stands in a plan.
    pub(crate) fn published(&self) -> PgChange {
        let shown: Vec<_> =
            self.statements.iter().map(|s| format!("{};", s.shown.as_deref().unwrap_or(&s.sql))).collect();
        PgChange {
            id: self.id.clone(),
            op: self.op,
            why: self.why.clone(),
            sql: shown.join("\n"),
            fingerprint: self.fingerprint.clone(),
            from: self.from.clone(),
        }
    }
}

/// A hash over what was observed of one thing. Verifiers may go into it: their random salt keeps it from telling anything.
pub(crate) fn fingerprint(observed: &impl Serialize) -> String {
    let bytes = serde_json::to_vec(observed).unwrap_or_default();
    Sha256::digest(bytes).iter().take(16).fold(String::new(), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}
