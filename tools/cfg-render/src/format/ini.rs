//! fail2ban's configuration (jail.conf(5)): sections of keys, read by Python's ConfigParser with interpolation.

use super::{Unrepresentable, Written, one_line};

const INI: &str = "a fail2ban configuration";

/// A section: its name and its settings.
pub type Section = (String, Vec<(String, String)>);

/// A text of the user as a value: `%` is escaped, what would begin a comment or a tag is refused.
pub fn value(text: &str) -> Written {
    one_line(INI, text)?;
    if text.trim() != text {
        return Err(Unrepresentable::new(INI, "white space at the ends of a value"));
    }
    if text.contains('<') || text.contains('>') {
        return Err(Unrepresentable::new(INI, "\"<\" or \">\", which mark its own variables"));
    }
    if text.starts_with(['#', ';']) || text.contains(" ;") || text.contains(" #") {
        return Err(Unrepresentable::new(INI, "what looks like a comment"));
    }
    Ok(text.replace('%', "%%"))
}

/// A name of the user as the name of a section.
pub fn section_name(text: &str) -> Written<&str> {
    let good = !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "-_".contains(c));
    if good { Ok(text) } else { Err(Unrepresentable::new(INI, "such a name of a jail")) }
}

/// The text of the file.
pub fn write(sections: &[Section]) -> String {
    let mut out = String::new();
    for (index, (name, settings)) in sections.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        out.push_str(&format!("[{name}]\n"));
        for (key, value) in settings {
            out.push_str(&format!("{key} = {value}\n"));
        }
    }
    out
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn values_survive_or_are_refused() {
        assert_eq!(value("50%").unwrap(), "50%%");
        for text in ["a\nb", "<ip>", "# x", "a ; b", " a"] {
            assert!(value(text).is_err(), "{text}");
        }
        assert!(section_name("a]b").is_err());
        let text = write(&[("DEFAULT".into(), vec![("bantime".into(), "600".into())]), ("sshd".into(), vec![])]);
        assert_eq!(text, "[DEFAULT]\nbantime = 600\n\n[sshd]\n");
    }
}
