//! Client authentication: `pg_hba.conf` and `pg_ident.conf` from the document. Pure; placing them is not done here.

use std::collections::BTreeSet;

use contract::document::{PgDesired, PgHba, PgHbaProfile, PgRole};
use contract::{Finding, Pointer};

/// The name of the map in pg_ident.conf.
const MAP: &str = "plumbline";
/// Methods that ask for nothing or for a password in the clear.
const UNSAFE: [&str; 2] = ["trust", "password"];
const TYPES: [&str; 5] = ["local", "host", "hostssl", "hostnossl", "hostgssenc"];

/// What is wrong with the access rules.
pub(crate) fn check(hba: &PgHba, desired: &PgDesired) -> Vec<Finding> {
    let at = Pointer::root().join("hba");
    let mut findings = Vec::new();
    let accepts_trust = hba.accept_risk.iter().any(|risk| risk == "trust");
    if hba.profile == PgHbaProfile::DeclaredTrust && !accepts_trust {
        findings.push(
            Finding::error(
                "trust",
                at.join("profile"),
                "with this profile every process on this host, and every machine in `networks`, may become any declared role",
            )
            .fix("use peer-scram, or add \"accept_risk\": [\"trust\"]"),
        );
    }
    for (index, network) in hba.networks.iter().enumerate() {
        if !is_network(network) {
            let at = at.join("networks").join(index);
            findings.push(
                Finding::error("bad-network", at, format!("\"{network}\" is no network"))
                    .fix("write it as 192.0.2.0/24"),
            );
        }
    }
    for (index, rule) in hba.extra.iter().enumerate() {
        let at = at.join("extra").join(index);
        if !TYPES.contains(&rule.kind.as_str()) {
            findings.push(Finding::error("bad-rule", at.join("type"), format!("\"{}\" is no type of rule", rule.kind)));
        }
        if (rule.kind == "local") == rule.address.is_some() {
            findings.push(Finding::error(
                "bad-rule",
                at.join("address"),
                "`local` has no address, all others have one",
            ));
        }
        if let Some(address) = rule.address.as_ref().filter(|address| !is_network(address) && *address != "all") {
            findings.push(Finding::error("bad-network", at.join("address"), format!("\"{address}\" is no network")));
        }
        if UNSAFE.contains(&rule.method.as_str()) && !accepts_trust {
            findings.push(
                Finding::error("trust", at.join("method"), format!("the method {} is not safe", rule.method))
                    .fix("use scram-sha-256 or peer, or add \"accept_risk\": [\"trust\"]"),
            );
        }
        if !rule.method.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-') || rule.method.is_empty() {
            findings.push(Finding::error("bad-rule", at.join("method"), "this is no name of a method"));
        }
        for (key, name) in [("database", &rule.database), ("role", &rule.role)] {
            if !fits(name) {
                findings.push(unfit(at.join(key), name));
            }
        }
    }
    for (index, role) in desired.roles.iter().enumerate() {
        let at = Pointer::root().join("roles").join(index);
        if !fits(&role.name) {
            findings.push(unfit(at.join("name"), &role.name));
        }
        if let Some(user) = role.os_user.as_ref().filter(|user| !fits(user) || user.contains(['"', '\\'])) {
            findings.push(unfit(at.join("os_user"), user));
        }
    }
    for (index, database) in desired.databases.iter().enumerate() {
        if !fits(&database.name) {
            findings.push(unfit(Pointer::root().join("databases").join(index).join("name"), &database.name));
        }
    }
    findings
}

/// From 16 on a name that begins with a slash is a regular expression even in quotes, and before it is not.
fn fits(name: &str) -> bool {
    !name.is_empty() && !name.starts_with('/') && !name.contains(['\n', '\r', '\0'])
}

fn unfit(at: Pointer, name: &str) -> Finding {
    Finding::error("bad-name", at, format!("\"{}\" cannot be written in pg_hba.conf", name.escape_debug()))
        .fix("names there are not empty, do not begin with a slash and have no line breaks")
}

fn is_network(text: &str) -> bool {
    let Some((address, bits)) = text.split_once('/') else { return false };
    let Ok(bits) = bits.parse::<u8>() else { return false };
    address.parse().is_ok_and(|address: std::net::IpAddr| bits <= if address.is_ipv4() { 32 } else { 128 })
}

/// A name in quotes, in which words such as `all` or `+group` lose their meaning.
fn quoted(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}

/// `all` and `replication` of a rule that a person wrote keep their meaning.
fn word(name: &str) -> String {
    if ["all", "replication", "sameuser", "samerole"].contains(&name) { name.into() } else { quoted(name) }
}

/// `pg_hba.conf`.
pub(crate) fn render(desired: &PgDesired) -> String {
    let hba = desired.hba.clone().unwrap_or_default();
    let owner = desired.cluster.socket.as_ref().map_or("postgres", |socket| socket.user.as_str());
    let trust = hba.profile == PgHbaProfile::DeclaredTrust;
    let mut rules: Vec<[String; 5]> = Vec::new();
    let mut rule = |kind: &str, database: String, role: String, address: &str, method: &str| {
        rules.push([kind.into(), database, role, address.into(), method.into()]);
    };
    for extra in &hba.extra {
        let address = extra.address.as_deref().unwrap_or_default();
        rule(&extra.kind, word(&extra.database), word(&extra.role), address, &extra.method);
    }
    // The superuser comes in over the socket only: over the network its password would be all that protects the host.
    rule("local", "all".into(), quoted(owner), "", "peer");
    rule("local", "replication".into(), quoted(owner), "", "peer");
    rule("host", "all".into(), quoted(owner), "all", "reject");
    for role in desired.roles.iter().filter(|role| role.login == Some(true)) {
        let databases = databases_of(desired, role);
        for database in &databases {
            let database = if *database == "all" { "all".into() } else { quoted(database) };
            let name = quoted(&role.name);
            if trust {
                rule("local", database.clone(), name.clone(), "", "trust");
            } else if let Some(user) = &role.os_user {
                let method = if *user == role.name { "peer".into() } else { format!("peer map={MAP}") };
                rule("local", database.clone(), name.clone(), "", &method);
            }
            for network in &hba.networks {
                let method = if trust { "trust" } else { "scram-sha-256" };
                rule("host", database.clone(), name.clone(), network, method);
            }
            if trust {
                rule("host", database.clone(), name.clone(), "127.0.0.1/32", "trust");
                rule("host", database.clone(), name.clone(), "::1/128", "trust");
            }
        }
    }
    rule("local", "all".into(), "all".into(), "", "scram-sha-256");
    rule("host", "all".into(), "all".into(), "127.0.0.1/32", "scram-sha-256");
    rule("host", "all".into(), "all".into(), "::1/128", "scram-sha-256");
    let header = ["# TYPE", "DATABASE", "USER", "ADDRESS", "METHOD"].map(String::from);
    let lines: Vec<_> = std::iter::once(header).chain(rules).collect();
    let width = |column: usize| lines.iter().map(|line| line[column].chars().count()).max().unwrap_or_default();
    let widths = [width(0), width(1), width(2), width(3)];
    let mut text = String::new();
    for line in lines {
        let mut row = String::new();
        for (cell, width) in line.iter().zip(widths) {
            row.push_str(cell);
            row.push_str(&" ".repeat(width + 2 - cell.chars().count()));
        }
        row.push_str(&line[4]);
        text.push_str(row.trim_end());
        text.push('\n');
    }
    text
}

/// `pg_ident.conf`: which system user may be which role.
pub(crate) fn render_ident(desired: &PgDesired) -> String {
    let mut text = String::from("# MAPNAME  SYSTEM-USERNAME  PG-USERNAME\n");
    for role in &desired.roles {
        if let Some(user) = role.os_user.as_ref().filter(|user| **user != role.name) {
            text.push_str(&format!("{MAP}  {}  {}\n", quoted(user), quoted(&role.name)));
        }
    }
    text
}

/// Databases that a role has to do with; all of them if the document names none.
fn databases_of<'a>(desired: &'a PgDesired, role: &PgRole) -> BTreeSet<&'a str> {
    let mut databases: BTreeSet<&str> = desired
        .databases
        .iter()
        .filter(|database| {
            database.owner.as_ref() == Some(&role.name)
                || database.grants.iter().any(|grant| grant.to == role.name)
                || database.default_privileges.iter().any(|default| default.to == role.name)
        })
        .map(|database| database.name.as_str())
        .collect();
    if databases.is_empty() {
        databases.insert("all");
    }
    databases
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn networks() {
        assert!(is_network("10.0.0.0/8") && is_network("fd7a:115c:a1e0::/48"));
        assert!(!is_network("10.0.0.0") && !is_network("10.0.0.0/33") && !is_network("x/8"));
    }
}
