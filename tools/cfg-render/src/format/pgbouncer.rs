//! PgBouncer's configuration (pgbouncer.ini(5)): sections of keys; a database is a connection string.

use super::{Unrepresentable, Written, one_line};

const INI: &str = "pgbouncer.ini";

/// A setting. Quotes mean nothing outside of connection strings, and white space around a value is lost.
pub fn setting(key: &str, value: &str) -> Written {
    one_line(INI, value)?;
    if key.is_empty() || !key.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '_') {
        return Err(Unrepresentable::new(INI, "such a name of a setting"));
    }
    if value.trim() != value {
        return Err(Unrepresentable::new(INI, "white space at the ends of a value"));
    }
    Ok(format!("{key} = {value}\n"))
}

/// A database and where it is: keys and values of a connection string.
pub fn database(name: &str, keys: &[(&str, String)]) -> Written {
    // Version 1.18 has no quotes around names; "*" means every other database, "pgbouncer" its own console.
    let good = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "_-.".contains(c));
    if !good || name == "pgbouncer" {
        return Err(Unrepresentable::new(INI, "such a name of a database"));
    }
    let mut line = format!("{name} =");
    for (key, value) in keys {
        one_line(INI, value)?;
        line.push_str(&format!(" {key}='{}'", value.replace('\'', "''")));
    }
    Ok(line + "\n")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn names_and_values_survive_or_are_refused() {
        assert_eq!(database("app-x", &[("dbname", "it's".into())]).unwrap(), "app-x = dbname='it''s'\n");
        for name in ["*", "a b", "pgbouncer", "", "ä", "a=b"] {
            assert!(database(name, &[]).is_err(), "{name}");
        }
        assert!(database("a", &[("dbname", "x\ny".into())]).is_err());
        assert_eq!(setting("pool_mode", "session").unwrap(), "pool_mode = session\n");
        for (key, value) in [("a b", "x"), ("a", " x"), ("a", "x\n[users]"), ("", "x"), ("%include", "x")] {
            assert!(setting(key, value).is_err(), "{key} {value}");
        }
    }
}
