//! Grants: the words of SQL for what the document says, and which of them are missing.

use std::collections::BTreeSet;

use contract::document::{Op, PgDefaultPrivilege};
use contract::document::{PgDatabase, PgGrant, PgObject};

use crate::change::{Change, Phase};
use crate::inside::Inside;
use crate::observed::{Acl, Observed};
use crate::quote::ident;

/// The kind of object of a grant, in the letters of `acldefault`.
pub(crate) fn kind_of(object: &PgObject) -> &'static str {
    if object.database.is_some() {
        "d"
    } else if object.schema.is_some() {
        "n"
    } else if object.all_sequences_in.is_some() {
        "S"
    } else if object.all_functions_in.is_some() {
        "f"
    } else {
        "r"
    }
}

/// The kind of object of a default privilege.
pub(crate) fn default_kind(on: &str) -> Option<&'static str> {
    Some(match on {
        "tables" => "r",
        "sequences" => "S",
        "functions" => "f",
        "types" => "T",
        _ => return None,
    })
}

/// Privileges that a kind of object can give in any version; the server says which of them it has.
pub(crate) fn known_privileges(kind: &str) -> &'static [&'static str] {
    match kind {
        "d" => &["ALL", "CONNECT", "CREATE", "TEMPORARY"],
        "n" => &["ALL", "CREATE", "USAGE"],
        "S" => &["ALL", "SELECT", "UPDATE", "USAGE"],
        "f" => &["ALL", "EXECUTE"],
        "T" => &["ALL", "USAGE"],
        _ => &["ALL", "DELETE", "INSERT", "MAINTAIN", "REFERENCES", "SELECT", "TRIGGER", "TRUNCATE", "UPDATE"],
    }
}

/// What a grant is on, as a name and in SQL.
fn object_of(object: &PgObject, database: &str) -> (String, String) {
    if let Some(schema) = &object.schema {
        (format!("schema/{schema}"), format!("SCHEMA {}", ident(schema)))
    } else if let Some(table) = &object.table {
        let (schema, name) = table.split_once('.').unwrap_or(("public", table));
        (format!("table/{table}"), format!("TABLE {}.{}", ident(schema), ident(name)))
    } else if let Some(schema) = &object.all_tables_in {
        (format!("all-tables/{schema}"), format!("ALL TABLES IN SCHEMA {}", ident(schema)))
    } else if let Some(schema) = &object.all_sequences_in {
        (format!("all-sequences/{schema}"), format!("ALL SEQUENCES IN SCHEMA {}", ident(schema)))
    } else if let Some(schema) = &object.all_functions_in {
        (format!("all-functions/{schema}"), format!("ALL FUNCTIONS IN SCHEMA {}", ident(schema)))
    } else {
        ("database".into(), format!("DATABASE {}", ident(database)))
    }
}

/// `public` stands for everybody and is no name.
fn grantee(to: &str) -> String {
    if to == "public" { "PUBLIC".into() } else { ident(to) }
}

/// The privileges of a grant, `ALL` spelt out as this server has it.
fn expanded(kind: &str, privileges: &[String], observed: &Observed) -> BTreeSet<String> {
    let all = || observed.privileges.get(kind).cloned().unwrap_or_default();
    privileges.iter().flat_map(|p| if p == "ALL" { all() } else { vec![p.clone()] }).collect()
}

fn has(acl: &[Acl], to: &str, privilege: &str) -> bool {
    acl.iter().any(|entry| entry.to == to && entry.privilege == privilege)
}

/// Which privileges of a grant are missing, and what was observed of it.
fn missing(grant: &PgGrant, database: &PgDatabase, inside: &Inside, observed: &Observed) -> (Vec<String>, Vec<String>) {
    let kind = kind_of(&grant.on);
    let wanted = expanded(kind, &grant.privileges, observed);
    let acl_misses = |acl: &[Acl]| -> Vec<String> {
        wanted.iter().filter(|privilege| !has(acl, &grant.to, privilege)).cloned().collect()
    };
    let missing = if grant.on.database.is_some() {
        acl_misses(observed.databases.get(&database.name).map_or(&[], |found| &found.acl))
    } else if let Some(schema) = &grant.on.schema {
        acl_misses(inside.schemas.get(schema).map_or(&[], |found| &found.acl))
    } else if let Some(table) = &grant.on.table {
        acl_misses(inside.tables.get(table).map_or(&[], |acl| acl.as_slice()))
    } else {
        let on = &grant.on;
        let schema = on.all_tables_in.as_ref().or(on.all_sequences_in.as_ref()).or(on.all_functions_in.as_ref());
        let Some(objects) = inside.objects.iter().find(|o| Some(&o.schema) == schema && o.kind == kind) else {
            return (Vec::new(), Vec::new());
        };
        let count = |privilege: &String| {
            let found = objects.granted.iter().find(|(to, p, _)| *to == grant.to && p == privilege);
            found.map_or(0, |(_, _, count)| *count)
        };
        wanted.iter().filter(|privilege| count(privilege) < objects.total).cloned().collect()
    };
    let found = wanted.iter().filter(|privilege| !missing.contains(privilege)).cloned().collect();
    (missing, found)
}

/// The changes that a database's grants need.
pub(crate) fn plan(database: &PgDatabase, inside: &Inside, observed: &Observed, unchanged: &mut u64) -> Vec<Change> {
    let mut changes = Vec::new();
    for grant in &database.grants {
        let (missing, found) = missing(grant, database, inside, observed);
        let (name, object) = object_of(&grant.on, &database.name);
        if missing.is_empty() {
            *unchanged += 1;
            continue;
        }
        let phase = if grant.on.database.is_some() { Phase::Databases } else { Phase::Inside(database.name.clone()) };
        let id = format!("database/{}/grant/{}/{name}", database.name, grant.to);
        let list = missing.join(", ");
        changes.push(
            Change::new(id, Op::Create, format!("{} lacks {list}", grant.to), phase, &(&found, &missing))
                .sql(format!("GRANT {list} ON {object} TO {}", grantee(&grant.to)))
                .needs(&database.name)
                .from(&database.from),
        );
    }
    for default in &database.default_privileges {
        match plan_default(default, database, inside, observed) {
            Some(change) => changes.push(change),
            None => *unchanged += 1,
        }
    }
    changes
}

fn plan_default(
    default: &PgDefaultPrivilege,
    database: &PgDatabase,
    inside: &Inside,
    observed: &Observed,
) -> Option<Change> {
    let kind = default_kind(&default.on)?;
    let found: BTreeSet<String> = inside
        .defaults
        .iter()
        .filter(|found| {
            found.maker == default.for_role
                && found.schema.as_ref().is_none_or(|schema| *schema == default.in_schema)
                && found.kind == kind
                && found.to == default.to
        })
        .map(|found| found.privilege.clone())
        .collect();
    let wanted = expanded(kind, &default.privileges, observed);
    let missing: Vec<_> = wanted.difference(&found).cloned().collect();
    if missing.is_empty() {
        return None;
    }
    let list = missing.join(", ");
    let id = format!(
        "database/{}/default/{}/{}/{}/{}",
        database.name, default.for_role, default.in_schema, default.on, default.to
    );
    let sql = format!(
        "ALTER DEFAULT PRIVILEGES FOR ROLE {} IN SCHEMA {} GRANT {list} ON {} TO {}",
        ident(&default.for_role),
        ident(&default.in_schema),
        default.on.to_uppercase(),
        grantee(&default.to)
    );
    let phase = Phase::Inside(database.name.clone());
    let change = Change::new(id, Op::Create, format!("{} lacks {list}", default.to), phase, &(&found, &missing));
    Some(change.sql(sql).needs(&database.name).from(&database.from))
}
