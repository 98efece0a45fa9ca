//! sshd_config(5).

use super::{Unrepresentable, Written, one_line};

const SSHD: &str = "sshd_config";

/// A text of the user as one argument.
pub fn argument(text: &str) -> Written {
    one_line(SSHD, text)?;
    if text.contains(['"', '\'', '\\']) {
        return Err(Unrepresentable::new(SSHD, "a quotation mark or backslash"));
    }
    let plain = !text.is_empty() && !text.contains([' ', '#', '=']);
    Ok(if plain { text.to_owned() } else { format!("\"{text}\"") })
}

/// A whole line of the user: a keyword and its arguments. `Match` is refused, because what follows would fall under it.
pub fn line(text: &str) -> Written<&str> {
    one_line(SSHD, text)?;
    let keyword = text.trim_start().split([' ', '\t', '=']).next().unwrap_or_default().to_ascii_lowercase();
    match keyword.as_str() {
        "" => Err(Unrepresentable::new(SSHD, "an empty line here")),
        "match" | "include" => Err(Unrepresentable::new(SSHD, "\"Match\" or \"Include\" here")),
        _ => Ok(text),
    }
}

/// Lines of keyword and arguments.
pub fn write(lines: &[(String, String)]) -> String {
    let mut out = String::new();
    for (keyword, argument) in lines {
        out.push_str(&format!("{keyword} {argument}\n"));
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_or_refused() {
        assert_eq!(argument("two words").unwrap(), "\"two words\"");
        assert_eq!(argument("plain").unwrap(), "plain");
        assert!(argument("a\"b").is_err());
        assert!(argument("a\nPermitRootLogin yes").is_err());
        assert!(line("Match User x").is_err());
        assert!(line("UseDNS no").is_ok());
    }
}
