//! What is wrong with a document, as far as that can be told without a server.

use std::collections::{BTreeMap, BTreeSet};

use contract::document::{PgDatabase, PgDesired, PgGrant, PgObject, PgRole, PgTls};
use contract::{Finding, Pointer};

use crate::connection::is_loopback;
use crate::quote::{name_problem, role_name_problem};
use crate::{grants, hba, setting};

/// All findings of a document.
pub(crate) fn check(desired: &PgDesired) -> Vec<Finding> {
    let mut findings = Vec::new();
    cluster(desired, &mut findings);
    let names = desired.roles.iter().map(|role| role.name.as_str());
    duplicates(names, &Pointer::root().join("roles"), "role", &mut findings);
    let names = desired.databases.iter().map(|database| database.name.as_str());
    duplicates(names, &Pointer::root().join("databases"), "database", &mut findings);
    for (index, role) in desired.roles.iter().enumerate() {
        check_role(desired, role, &Pointer::root().join("roles").join(index), &mut findings);
    }
    for (index, database) in desired.databases.iter().enumerate() {
        check_database(database, &Pointer::root().join("databases").join(index), &mut findings);
    }
    if let Some(hba) = &desired.hba {
        findings.extend(hba::check(hba, desired));
    }
    findings
}

/// Roles that the document names and that neither it nor the cluster has.
pub(crate) fn against_cluster<'a>(desired: &'a PgDesired, there: impl Iterator<Item = &'a str>) -> Vec<Finding> {
    let known: BTreeSet<&str> = desired.roles.iter().map(|role| role.name.as_str()).chain(there).collect();
    let mut findings = Vec::new();
    let mut need = |name: &str, at: Pointer| {
        if !known.contains(name) && name != "public" {
            let mut finding = Finding::error("unknown-role", at, format!("there is no role \"{name}\""));
            finding.fix = Some(match cli::did_you_mean(name, known.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None => "declare it in `roles`".into(),
            });
            findings.push(finding);
        }
    };
    for (r, role) in desired.roles.iter().enumerate() {
        let at = Pointer::root().join("roles").join(r).join("member_of");
        for (m, membership) in role.member_of.iter().enumerate() {
            need(&membership.role, at.join(m).join("role"));
        }
    }
    for (d, database) in desired.databases.iter().enumerate() {
        let at = Pointer::root().join("databases").join(d);
        if let Some(owner) = &database.owner {
            need(owner, at.join("owner"));
        }
        for (s, schema) in database.schemas.iter().enumerate() {
            if let Some(owner) = &schema.owner {
                need(owner, at.join("schemas").join(s).join("owner"));
            }
        }
        for (g, grant) in database.grants.iter().enumerate() {
            need(&grant.to, at.join("grants").join(g).join("to"));
        }
        for (p, default) in database.default_privileges.iter().enumerate() {
            let at = at.join("default_privileges").join(p);
            need(&default.for_role, at.join("for"));
            need(&default.to, at.join("to"));
        }
    }
    findings
}

fn cluster(desired: &PgDesired, findings: &mut Vec<Finding>) {
    let at = Pointer::root().join("cluster");
    if desired.owner.is_empty() {
        findings.push(Finding::error("owner-empty", Pointer::root().join("owner"), "the owner has no name"));
    }
    let both = desired.cluster.socket.is_some() && desired.cluster.tcp.is_some();
    let none = desired.cluster.socket.is_none() && desired.cluster.tcp.is_none();
    if both || none {
        let what = if both { "both `socket` and `tcp` are given" } else { "neither `socket` nor `tcp` is given" };
        findings.push(
            Finding::error("cluster-place", at.clone(), what).fix("say with exactly one of them where the cluster is"),
        );
    }
    if let Some(socket) = &desired.cluster.socket
        && !socket.directory.starts_with('/')
    {
        let at = at.join("socket").join("directory");
        findings.push(Finding::error("path-relative", at, "the directory of the socket is not absolute"));
    }
    if let Some(tcp) = &desired.cluster.tcp
        && tcp.tls == PgTls::Disable
        && !is_loopback(&tcp.host)
    {
        findings.push(
            Finding::error(
                "tls-disabled",
                at.join("tcp").join("tls"),
                "without TLS a password and all data would cross the network in the clear",
            )
            .fix("use verify-full, or connect over the socket or through a tunnel to loopback"),
        );
    }
}

fn duplicates<'a>(names: impl Iterator<Item = &'a str>, at: &Pointer, what: &str, findings: &mut Vec<Finding>) {
    let mut seen = BTreeMap::new();
    for (index, name) in names.enumerate() {
        if let Some(first) = seen.insert(name, index) {
            let finding = Finding::error(
                "duplicate-name",
                at.join(index).join("name"),
                format!("the {what} \"{name}\" is declared twice"),
            );
            findings.push(finding.related(at.join(first).join("name")).fix("join the two entries"));
        }
    }
}

fn bad_name(problem: Option<&str>, at: Pointer, findings: &mut Vec<Finding>) {
    if let Some(problem) = problem {
        findings.push(Finding::error("bad-name", at, problem));
    }
}

fn check_settings(settings: &BTreeMap<String, String>, at: &Pointer, findings: &mut Vec<Finding>) {
    for (name, value) in settings {
        if !setting::is_name(name) {
            findings.push(Finding::error(
                "bad-setting",
                at.join(name),
                format!("\"{name}\" is no name of a parameter"),
            ));
        }
        if value.contains('\0') {
            findings.push(Finding::error("bad-setting", at.join(name), "the value holds a NUL character"));
        }
    }
}

fn check_role(desired: &PgDesired, role: &PgRole, at: &Pointer, findings: &mut Vec<Finding>) {
    bad_name(role_name_problem(&role.name), at.join("name"), findings);
    if role.password.is_some() && role.login != Some(true) {
        findings.push(
            Finding::warning("password-without-login", at.clone(), "a role with a password that may not log in")
                .fix("add \"login\": true"),
        );
    }
    if role.connection_limit.is_some_and(|limit| limit < -1) {
        findings.push(Finding::error("bad-limit", at.join("connection_limit"), "the limit is below -1 (no limit)"));
    }
    check_settings(&role.settings, &at.join("settings"), findings);
    for (index, membership) in role.member_of.iter().enumerate() {
        let at = at.join("member_of").join(index).join("role");
        bad_name(name_problem(&membership.role), at.clone(), findings);
        if membership.role == role.name {
            findings.push(Finding::error("member-of-itself", at, "a role cannot be a member of itself"));
        } else if reaches(desired, &membership.role, &role.name, 0) {
            findings.push(Finding::error(
                "member-loop",
                at,
                format!("\"{}\" is itself a member of \"{}\"", membership.role, role.name),
            ));
        }
    }
}

/// Whether `from` is declared to be a member of `to`, directly or through others.
fn reaches(desired: &PgDesired, from: &str, to: &str, depth: usize) -> bool {
    depth <= desired.roles.len()
        && desired
            .roles
            .iter()
            .filter(|role| role.name == from)
            .any(|role| role.member_of.iter().any(|m| m.role == to || reaches(desired, &m.role, to, depth + 1)))
}

fn check_database(database: &PgDatabase, at: &Pointer, findings: &mut Vec<Finding>) {
    bad_name(name_problem(&database.name), at.join("name"), findings);
    if ["template0", "template1"].contains(&database.name.as_str()) {
        findings.push(Finding::error("template", at.join("name"), "the templates of the cluster are not managed"));
    }
    if let Some(owner) = &database.owner {
        bad_name(name_problem(owner), at.join("owner"), findings);
    }
    if database.connection_limit.is_some_and(|limit| limit < -1) {
        findings.push(Finding::error("bad-limit", at.join("connection_limit"), "the limit is below -1 (no limit)"));
    }
    if let Some(encoding) = &database.encoding
        && !encoding.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
    {
        findings.push(Finding::error("bad-encoding", at.join("encoding"), "this is no name of an encoding"));
    }
    check_settings(&database.settings, &at.join("settings"), findings);
    let names = database.extensions.iter().map(|extension| extension.name.as_str());
    duplicates(names, &at.join("extensions"), "extension", findings);
    let names = database.schemas.iter().map(|schema| schema.name.as_str());
    duplicates(names, &at.join("schemas"), "schema", findings);
    for (index, extension) in database.extensions.iter().enumerate() {
        bad_name(name_problem(&extension.name), at.join("extensions").join(index).join("name"), findings);
    }
    for (index, schema) in database.schemas.iter().enumerate() {
        let at = at.join("schemas").join(index).join("name");
        bad_name(name_problem(&schema.name), at.clone(), findings);
        if schema.name.starts_with("pg_") {
            findings.push(Finding::error("bad-name", at, "schemas that begin with pg_ belong to PostgreSQL"));
        }
    }
    for (index, grant) in database.grants.iter().enumerate() {
        check_grant(grant, &at.join("grants").join(index), findings);
    }
    for (index, default) in database.default_privileges.iter().enumerate() {
        let at = at.join("default_privileges").join(index);
        match grants::default_kind(&default.on) {
            Some(kind) => check_privileges(kind, &default.privileges, &at, findings),
            None => findings.push(
                Finding::error("bad-object", at.join("on"), format!("\"{}\" is no kind of object", default.on))
                    .fix("one of tables, sequences, functions, types"),
            ),
        }
    }
    if database.exact_grants {
        findings.push(
            Finding::error(
                "not-supported",
                at.join("exact_grants"),
                "taking away grants of others is not supported yet",
            )
            .fix("take exact_grants out, and revoke by hand what should not be there"),
        );
    }
}

fn check_grant(grant: &PgGrant, at: &Pointer, findings: &mut Vec<Finding>) {
    if grant.to != "public" {
        bad_name(name_problem(&grant.to), at.join("to"), findings);
    }
    let PgObject { database, schema, table, all_tables_in, all_sequences_in, all_functions_in } = &grant.on;
    let given = usize::from(database.is_some())
        + [schema, table, all_tables_in, all_sequences_in, all_functions_in].iter().filter(|o| o.is_some()).count();
    if given != 1 {
        findings.push(
            Finding::error("grant-object", at.join("on"), "a grant is on exactly one object")
                .fix("give one of database, schema, table, all_tables_in, all_sequences_in, all_functions_in"),
        );
        return;
    }
    if table.as_ref().is_some_and(|table| !table.contains('.')) {
        let at = at.join("on").join("table");
        findings.push(Finding::error("table-name", at, "the name of the schema is missing").fix("write schema.table"));
    }
    check_privileges(grants::kind_of(&grant.on), &grant.privileges, at, findings);
}

fn check_privileges(kind: &str, privileges: &[String], at: &Pointer, findings: &mut Vec<Finding>) {
    let at = at.join("privileges");
    if privileges.is_empty() {
        findings.push(Finding::error("no-privileges", at.clone(), "no privilege is named"));
    }
    for (index, privilege) in privileges.iter().enumerate() {
        let known = grants::known_privileges(kind);
        if !known.contains(&privilege.as_str()) {
            let mut finding = Finding::error(
                "unknown-privilege",
                at.join(index),
                format!("\"{privilege}\" is no privilege of this kind of object"),
            );
            finding.fix = Some(match cli::did_you_mean(&privilege.to_uppercase(), known.iter().copied()) {
                Some(near) => format!("did you mean {near}?"),
                None => format!("one of {}", known.join(", ")),
            });
            findings.push(finding);
        }
    }
}
