//! Client authentication of PostgreSQL (pg_hba.conf).

use ipnet::IpNet;

use super::{Unrepresentable, Written, one_line};

const HBA: &str = "pg_hba.conf";

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// `local`, `host`, `hostssl` or `hostnossl`.
    pub kind: &'static str,
    /// Which database.
    pub database: Who,
    /// Which role.
    pub role: Who,
    /// From where; none for `local`.
    pub address: Option<IpNet>,
    /// How.
    pub method: &'static str,
}

/// A database or role.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Who {
    /// Any.
    All,
    /// This one.
    Name(String),
}

/// The text of rules, in columns.
pub fn write(rules: &[Rule]) -> Written {
    let mut out = String::new();
    for rule in rules {
        let database = name(&rule.database)?;
        let role = name(&rule.role)?;
        let address = rule.address.map(|address| address.to_string()).unwrap_or_default();
        out.push_str(&format!("{:<8} {database:<20} {role:<20} {address:<24} {}\n", rule.kind, rule.method));
    }
    Ok(out)
}

/// Quoted, so that `all`, `replication` and `+group` lose their meaning.
fn name(who: &Who) -> Written {
    let Who::Name(name) = who else { return Ok("all".into()) };
    one_line(HBA, name)?;
    if name.starts_with('/') {
        return Err(Unrepresentable::new(HBA, "a name that begins with a slash, which marks an expression"));
    }
    Ok(format!("\"{}\"", name.replace('"', "\"\"")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_are_quoted() {
        let rule = Rule {
            kind: "host",
            database: Who::Name("all".into()),
            role: Who::Name("a\"b".into()),
            address: Some("10.0.0.0/8".parse().unwrap()),
            method: "scram-sha-256",
        };
        let text = write(&[rule]).unwrap();
        let words: Vec<_> = text.split_whitespace().collect();
        assert_eq!(words, ["host", "\"all\"", "\"a\"\"b\"", "10.0.0.0/8", "scram-sha-256"]);
        assert!(name(&Who::Name("a\nb".into())).is_err());
        assert!(name(&Who::Name("/x".into())).is_err());
    }
}
