//! Names and texts in SQL. Every one that reaches a statement goes through here.

/// Bytes that PostgreSQL keeps of a name; it cuts longer ones silently, so that two of them may become one.
const LONGEST: usize = 63;

/// A name as a quoted identifier.
pub(crate) fn ident(name: &str) -> String {
    postgres_protocol::escape::escape_identifier(name)
}

/// A text as a literal. Holds for both values of `standard_conforming_strings`.
pub(crate) fn literal(text: &str) -> String {
    let literal = postgres_protocol::escape::escape_literal(text);
    // It begins with a blank where a backslash is inside.
    literal.trim_start().to_owned()
}

/// Why a name cannot be that of an object.
pub(crate) fn name_problem(name: &str) -> Option<&'static str> {
    if name.is_empty() {
        Some("a name is empty")
    } else if name.contains('\0') {
        Some("a name holds a NUL character, which PostgreSQL cannot store")
    } else if name.len() > LONGEST {
        Some("a name is longer than 63 bytes; PostgreSQL would cut it silently")
    } else {
        None
    }
}

/// Why a name cannot be that of a role.
pub(crate) fn role_name_problem(name: &str) -> Option<&'static str> {
    name_problem(name).or_else(|| {
        if name.starts_with("pg_") {
            Some("names of roles that begin with pg_ belong to PostgreSQL")
        } else if ["public", "none"].contains(&name) {
            Some("PostgreSQL reserves this name")
        } else {
            None
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn hostile_names_stay_names() {
        assert_eq!(ident("a\"; DROP DATABASE x; --"), "\"a\"\"; DROP DATABASE x; --\"");
        assert_eq!(literal("it's"), "'it''s'");
        assert_eq!(literal(r"a\'b"), r"E'a\\''b'");
    }

    #[test]
    fn names_that_the_server_would_change_are_refused() {
        assert!(name_problem("").is_some());
        assert!(name_problem(&"é".repeat(32)).is_some());
        assert!(name_problem(&"é".repeat(31)).is_none());
        assert!(role_name_problem("pg_app").is_some());
        assert!(role_name_problem("public").is_some());
        assert!(role_name_problem("Public").is_none());
    }

    proptest! {
        #[test]
        fn an_identifier_reads_back(name in "\\PC{1,40}") {
            let quoted = ident(&name);
            let inner = &quoted[1..quoted.len() - 1];
            prop_assert_eq!(inner.replace("\"\"", "\""), name);
            prop_assert!(!inner.replace("\"\"", "").contains('"'));
        }
    }
}
