//! Unit files (systemd.syntax(7), systemd.unit(5), systemd.exec(5)).

use super::{Unrepresentable, Written, one_line};

const UNIT: &str = "a unit file";

/// A unit file: sections in order, each with its settings in order. A key may stand several times.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct UnitFile {
    /// Names, and the lines of each as they are written.
    sections: Vec<(String, String)>,
}

impl UnitFile {
    /// An empty file.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a setting. The value is one of ours, or comes from [`text`], [`exec`], [`environment`].
    #[must_use]
    pub fn set(mut self, section: &str, key: &str, value: impl AsRef<str>) -> Self {
        self.push(section, key, value);
        self
    }

    /// A service that needs no right and no file of others.
    #[must_use]
    pub fn without_rights(mut self) -> Self {
        for (key, value) in [
            ("NoNewPrivileges", "yes"),
            ("ProtectSystem", "strict"),
            ("ProtectHome", "yes"),
            ("PrivateTmp", "yes"),
            ("PrivateDevices", "yes"),
            ("CapabilityBoundingSet", ""),
        ] {
            self.push("Service", key, value);
        }
        self
    }

    /// Adds a setting.
    pub fn push(&mut self, section: &str, key: &str, value: impl AsRef<str>) {
        let at = self.sections.iter().position(|(name, _)| name == section).unwrap_or_else(|| {
            self.sections.push((section.to_owned(), String::with_capacity(256)));
            self.sections.len() - 1
        });
        if let Some((_, lines)) = self.sections.get_mut(at) {
            for part in [key, "=", value.as_ref(), "\n"] {
                lines.push_str(part);
            }
        }
    }

    /// Adds a section of its own, also where there is one of this name already (`[Route]` of systemd.network(5)).
    pub fn section(&mut self, section: &str, settings: &[(&str, &str)]) {
        let lines: Vec<String> = settings.iter().map(|(key, value)| format!("{key}={value}\n")).collect();
        self.sections.push((section.to_owned(), lines.concat()));
    }

    /// Puts a setting of the user in the place of ours.
    pub fn replace(&mut self, section: &str, key: &str, values: &[String]) {
        if let Some((_, lines)) = self.sections.iter_mut().find(|(name, _)| name == section) {
            let ours = |line: &&str| line.split_once('=').is_none_or(|(name, _)| name != key);
            *lines = lines.split_inclusive('\n').filter(ours).collect();
        }
        for value in values {
            self.push(section, key, value);
        }
    }

    /// The text of the file.
    pub fn write(&self) -> String {
        let size = self.sections.iter().map(|(name, lines)| name.len() + lines.len() + 4).sum();
        let mut out = String::with_capacity(size);
        for (index, (section, lines)) in self.sections.iter().enumerate() {
            if index > 0 {
                out.push('\n');
            }
            for part in ["[", section, "]\n", lines] {
                out.push_str(part);
            }
        }
        out
    }
}

/// A text such as a description: specifiers are escaped.
pub fn text(text: &str) -> Written {
    one_line(UNIT, text)?;
    if text.ends_with('\\') {
        return Err(Unrepresentable::new(UNIT, "a backslash at the end of a line"));
    }
    if text.trim() != text {
        return Err(Unrepresentable::new(UNIT, "white space at the ends of a text"));
    }
    Ok(text.replace('%', "%%"))
}

/// A command line: every argument reaches the program as it is. The program must be an absolute path.
pub fn exec<S: AsRef<str>>(argv: &[S]) -> Written {
    let Some(program) = argv.first() else {
        return Err(Unrepresentable::new(UNIT, "an empty command line"));
    };
    if !program.as_ref().starts_with('/') {
        return Err(Unrepresentable::new(UNIT, "a program without its absolute path"));
    }
    words(argv)
}

/// Words of a line that ends up in a command line (`Exec=` and other keys of a quadlet).
pub fn words<S: AsRef<str>>(words: &[S]) -> Written {
    let mut line = String::with_capacity(words.iter().map(|word| word.as_ref().len() + 1).sum());
    for word in words {
        if !line.is_empty() {
            line.push(' ');
        }
        push_quoted(&mut line, word.as_ref(), true)?;
    }
    Ok(line)
}

/// An assignment for `Environment=`.
pub fn environment(name: &str, value: &str) -> Written {
    let good =
        name.chars().enumerate().all(|(i, c)| c == '_' || c.is_ascii_alphabetic() || (i > 0 && c.is_ascii_digit()));
    if name.is_empty() || !good {
        return Err(Unrepresentable::new(UNIT, "such a name of a variable"));
    }
    quoted(&format!("{name}={value}"), false)
}

/// A path as a single value (`WorkingDirectory=`, `EnvironmentFile=`).
pub fn path(path: &str) -> Written {
    if !path.starts_with('/') {
        return Err(Unrepresentable::new(UNIT, "a path that is not absolute"));
    }
    text(path)
}

/// A path as one of several values in a line (`ReadWritePaths=`).
pub fn path_word(path: &str) -> Written {
    if !path.starts_with('/') {
        return Err(Unrepresentable::new(UNIT, "a path that is not absolute"));
    }
    quoted(path, false)
}

fn quoted(text: &str, command_line: bool) -> Written {
    let mut out = String::with_capacity(text.len());
    push_quoted(&mut out, text, command_line)?;
    Ok(out)
}

fn push_quoted(out: &mut String, text: &str, command_line: bool) -> Written<()> {
    let plain = |byte: u8| {
        byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'.' | b'_' | b'-' | b'=' | b':' | b',' | b'@' | b'+')
    };
    // What marks a command line (`-`, `@`, `!`) stands before the program only, which begins with a slash.
    if !text.is_empty() && text.bytes().all(plain) {
        out.push_str(text);
        return Ok(());
    }
    if text.contains('\0') {
        return Err(Unrepresentable::new(UNIT, "a NUL character"));
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '%' => out.push_str("%%"),
            '$' if command_line => out.push_str("$$"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() && (c as u32) < 0x80 => out.push_str(&format!("\\x{:02x}", c as u32)),
            c => out.push(c),
        }
    }
    out.push('"');
    Ok(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn arguments_are_quoted_and_specifiers_escaped() {
        assert_eq!(
            exec(&["/bin/x", "a b", "100%", "$HOME", "c\"d\\"]).unwrap(),
            "/bin/x \"a b\" \"100%%\" \"$$HOME\" \"c\\\"d\\\\\""
        );
        assert!(exec(&["x"]).is_err());
        assert!(exec::<&str>(&[]).is_err());
        assert_eq!(environment("A", "b c$d%").unwrap(), "\"A=b c$d%%\"");
        assert!(environment("A B", "").is_err());
        assert_eq!(text("50% off").unwrap(), "50%% off");
        assert!(text("ends\\").is_err());
        assert!(text("two\nlines").is_err());
    }

    #[test]
    fn a_setting_of_the_user_replaces_ours() {
        let mut unit = UnitFile::new().set("Unit", "Description", "x").set("Service", "Restart", "always");
        unit.replace("Service", "Restart", &["no".into()]);
        assert_eq!(unit.write(), "[Unit]\nDescription=x\n\n[Service]\nRestart=no\n");
    }
}
