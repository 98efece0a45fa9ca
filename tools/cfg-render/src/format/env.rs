//! Files of environment variables, of which there are three dialects. A consumer reads only its own.

use super::{Unrepresentable, Written};

/// Which dialect.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// systemd's `EnvironmentFile=` (systemd.exec(5)): double quotes.
    Systemd,
    /// Docker Compose's `.env`: single quotes.
    Compose,
    /// `docker run --env-file`, `podman --env-file` and quadlets: the rest of the line as it is.
    Raw,
}

impl Dialect {
    /// How the value of a secret is written into a template of this dialect.
    pub const fn escape(self) -> contract::document::TemplateEscape {
        use contract::document::TemplateEscape;
        match self {
            Dialect::Systemd => TemplateEscape::SystemdEnv,
            Dialect::Compose => TemplateEscape::ComposeEnv,
            Dialect::Raw => TemplateEscape::RawEnv,
        }
    }

    const fn format(self) -> &'static str {
        match self {
            Dialect::Systemd => "an environment file of systemd",
            Dialect::Compose => "a Compose environment file",
            Dialect::Raw => "a raw environment file",
        }
    }
}

/// One line: a variable and its value.
pub fn line(dialect: Dialect, name: &str, value: &str) -> Written {
    let format = dialect.format();
    let good =
        name.chars().enumerate().all(|(i, c)| c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit()));
    if name.is_empty() || !good {
        return Err(Unrepresentable::new(format, "such a name of a variable"));
    }
    if value.contains('\0') {
        return Err(Unrepresentable::new(format, "a NUL character"));
    }
    let value = match dialect {
        Dialect::Systemd => {
            // The reader drops other control characters with the whole line.
            if value.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
                return Err(Unrepresentable::new(format, "a control character"));
            }
            let mut out = String::from("\"");
            for c in value.chars() {
                if matches!(c, '"' | '\\' | '`' | '$') {
                    out.push('\\');
                }
                out.push(c);
            }
            out.push('"');
            out
        }
        Dialect::Compose => {
            if value.contains('\\') && value.contains('\'') {
                return Err(Unrepresentable::new(format, "a backslash together with a single quote"));
            }
            if value.ends_with('\\') {
                return Err(Unrepresentable::new(format, "a backslash at the end"));
            }
            format!("'{}'", value.replace('\'', "\\'"))
        }
        Dialect::Raw => {
            if value.contains(['\n', '\r']) {
                return Err(Unrepresentable::new(format, "a line end"));
            }
            value.to_owned()
        }
    };
    Ok(format!("{name}={value}\n"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// systemd's reader of double-quoted values (`parse_env_file_internal`).
    fn read_systemd(line: &str) -> String {
        let inner = line.strip_prefix("K=\"").unwrap().strip_suffix("\"\n").unwrap();
        let mut out = String::new();
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => match chars.next().unwrap() {
                    c @ ('"' | '\\' | '`' | '$') => out.push(c),
                    '\n' => {}
                    c => out.extend(['\\', c]),
                },
                '"' => unreachable!("the value ends early"),
                c => out.push(c),
            }
        }
        out
    }

    proptest! {
        #[test]
        fn systemd_reads_the_same_value(value in any::<String>()) {
            if let Ok(line) = line(Dialect::Systemd, "K", &value) {
                prop_assert_eq!(read_systemd(&line), value);
            }
        }

        #[test]
        fn a_raw_value_is_one_line(value in any::<String>()) {
            if let Ok(line) = line(Dialect::Raw, "K", &value) {
                prop_assert_eq!(line.lines().count(), 1);
            }
        }
    }

    #[test]
    fn names_and_values_that_do_not_fit_are_refused() {
        assert!(line(Dialect::Raw, "A B", "").is_err());
        assert!(line(Dialect::Raw, "1A", "").is_err());
        assert!(line(Dialect::Raw, "A", "x\ny").is_err());
        assert_eq!(line(Dialect::Compose, "A", "it's $x").unwrap(), "A='it\\'s $x'\n");
    }
}
