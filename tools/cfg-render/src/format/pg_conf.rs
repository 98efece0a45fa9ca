//! Settings of a PostgreSQL server (postgresql.conf).

use super::{Unrepresentable, Written, one_line};

const CONF: &str = "postgresql.conf";

/// One setting, its value quoted (the server takes numbers and truth values in quotes, too).
pub fn line(name: &str, value: &str) -> Written {
    let good = !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_' || c == '.');
    if !good {
        return Err(Unrepresentable::new(CONF, "such a name of a setting"));
    }
    one_line(CONF, value)?;
    Ok(format!("{name} = '{}'\n", value.replace('\\', "\\\\").replace('\'', "''")))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_are_quoted() {
        assert_eq!(line("a.b", "it's \\").unwrap(), "a.b = 'it''s \\\\'\n");
        assert!(line("a b", "").is_err());
        assert!(line("a", "x\ny").is_err());
    }
}
