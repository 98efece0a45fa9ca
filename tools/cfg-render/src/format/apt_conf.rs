//! apt's configuration (apt.conf(5)), whose strings have no escapes.

use super::{Unrepresentable, Written, one_line};

const APT: &str = "apt.conf";

/// One setting.
pub fn line(name: &str, value: &str) -> Written {
    Ok(format!("{name} \"{}\";\n", text(value)?))
}

/// A list; an empty one clears what other files put into it.
pub fn list<S: AsRef<str>>(name: &str, values: &[S]) -> Written {
    let mut out = format!("#clear {name};\n{name} {{\n");
    for value in values {
        out.push_str(&format!("    \"{}\";\n", text(value.as_ref())?));
    }
    out.push_str("};\n");
    Ok(out)
}

fn text(value: &str) -> Written<&str> {
    one_line(APT, value)?;
    if value.contains(['"', '\\']) {
        Err(Unrepresentable::new(APT, "a quotation mark or backslash"))
    } else {
        Ok(value)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn strings_have_no_escapes() {
        assert_eq!(line("A::B", "1").unwrap(), "A::B \"1\";\n");
        assert!(line("A", "x\"y").is_err());
        assert_eq!(list("A", &["x"]).unwrap(), "#clear A;\nA {\n    \"x\";\n};\n");
    }
}
