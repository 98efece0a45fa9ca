//! Settings of roles and databases (`ALTER ... SET name TO value`).

use crate::quote::{ident, literal};

/// Parameters whose value is a list of names; the server keeps each element quoted (guc_tables.c, `GUC_LIST_QUOTE`).
const LISTS: [&str; 6] = [
    "search_path",
    "temp_tablespaces",
    "session_preload_libraries",
    "shared_preload_libraries",
    "local_preload_libraries",
    "unix_socket_directories",
];

/// Whether a text can be the name of a parameter: dotted identifiers.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty()
        && name.split('.').all(|part| {
            let mut bytes = part.bytes();
            bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
                && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'$')
        })
}

/// `SET name TO value`, for a list element by element.
pub(crate) fn clause(name: &str, value: &str) -> String {
    let name: Vec<_> = name.split('.').map(ident).collect();
    let value = if is_list(&name.join(".").replace('"', "")) {
        elements(value).iter().map(|element| literal(element)).collect::<Vec<_>>().join(", ")
    } else {
        literal(value)
    };
    format!("SET {} TO {}", name.join("."), if value.is_empty() { "''" } else { &value })
}

/// Whether a stored value says the same as a wanted one.
pub(crate) fn same(name: &str, stored: &str, wanted: &str) -> bool {
    if is_list(name) { elements(stored) == elements(wanted) } else { stored == wanted }
}

fn is_list(name: &str) -> bool {
    LISTS.iter().any(|list| list.eq_ignore_ascii_case(name))
}

/// The elements of a list; quotes around one are taken off.
fn elements(value: &str) -> Vec<String> {
    let mut elements = Vec::new();
    let mut element = String::new();
    let (mut quoted, mut seen) = (false, false);
    let mut chars = value.chars().peekable();
    while let Some(character) = chars.next() {
        match character {
            '"' if quoted && chars.peek() == Some(&'"') => {
                element.push('"');
                chars.next();
            }
            '"' => {
                quoted = !quoted;
                seen = true;
            }
            ',' if !quoted => {
                elements.push(std::mem::take(&mut element));
                seen = false;
            }
            c if c.is_whitespace() && !quoted => {}
            c => element.push(c),
        }
    }
    if seen || !element.is_empty() || !elements.is_empty() {
        elements.push(element);
    }
    elements
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_set_element_by_element() {
        assert_eq!(clause("search_path", "\"$user\", public"), "SET \"search_path\" TO '$user', 'public'");
        assert_eq!(clause("statement_timeout", "30s"), "SET \"statement_timeout\" TO '30s'");
        assert_eq!(clause("app.name", "it's"), "SET \"app\".\"name\" TO 'it''s'");
        assert_eq!(clause("search_path", ""), "SET \"search_path\" TO ''");
        assert!(same("search_path", "\"$user\", public", "\"$user\",public"));
        assert!(!same("search_path", "a, b", "b, a"));
        assert!(is_name("app.name") && !is_name("a b") && !is_name("a.") && !is_name(""));
    }
}
