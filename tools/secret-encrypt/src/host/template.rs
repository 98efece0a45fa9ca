//! Filling `@@secret:NAME@@` in templates, escaped for the form that the template is in.

use contract::document::{ManifestTemplate, TemplateEscape};
use contract::{SecretName, placeholders};
use zeroize::Zeroizing;

/// The filled text, or what is wrong with it. Values are never altered to fit: a value that a form cannot hold is an error.
///
/// # Errors
/// One message a problem, naming secrets and never values.
pub(crate) fn fill<'v>(
    template: &ManifestTemplate,
    value: impl Fn(&SecretName) -> Option<&'v [u8]>,
) -> Result<Zeroizing<Vec<u8>>, Vec<String>> {
    let mut problems = Vec::new();
    let mut parts: Vec<(std::ops::Range<usize>, Zeroizing<Vec<u8>>)> = Vec::new();
    for (range, name) in placeholders(&template.text) {
        let filled = match name.parse::<SecretName>() {
            Err(reason) => Err(format!("a placeholder names no secret: {reason}")),
            Ok(name) => match value(&name) {
                None => Err(format!("the manifest has no secret {name}")),
                Some(bytes) => escape(bytes, template.escape).map_err(|reason| format!("the secret {name} {reason}")),
            },
        };
        match filled {
            Ok(bytes) => parts.push((range, bytes)),
            Err(problem) => problems.push(problem),
        }
    }
    if !problems.is_empty() {
        return Err(problems);
    }
    let length = template.text.len() + parts.iter().map(|(_, bytes)| bytes.len()).sum::<usize>();
    let mut out = Zeroizing::new(Vec::with_capacity(length));
    let mut at = 0;
    for (range, bytes) in &parts {
        out.extend_from_slice(&template.text.as_bytes()[at..range.start]);
        out.extend_from_slice(bytes);
        at = range.end;
    }
    out.extend_from_slice(&template.text.as_bytes()[at..]);
    Ok(out)
}

fn escape(bytes: &[u8], form: TemplateEscape) -> Result<Zeroizing<Vec<u8>>, &'static str> {
    // One newline at the end, as editors and generators leave it, is no part of a value inside a line.
    let bytes = if form == TemplateEscape::None { bytes } else { bytes.strip_suffix(b"\n").unwrap_or(bytes) };
    let text = || std::str::from_utf8(bytes).map_err(|_| "is no text, which this form cannot hold");
    let mut out = Zeroizing::new(Vec::with_capacity(bytes.len() * 3 + 2));
    match form {
        TemplateEscape::None => out.extend_from_slice(bytes),
        TemplateEscape::Json => {
            let quoted = Zeroizing::new(serde_json::to_string(text()?).map_err(|_| "cannot be written as JSON")?);
            out.extend_from_slice(&quoted.as_bytes()[1..quoted.len() - 1]);
        }
        TemplateEscape::ComposeEnv => {
            // Compose knows one escape inside single quotes, for the quote itself; line breaks may stand.
            for c in text()?.chars() {
                match c {
                    '\0' | '\r' => return Err("holds a character that a Compose .env file cannot hold"),
                    '\'' => out.extend_from_slice(b"\\'"),
                    c => push(&mut out, c),
                }
            }
            if text()?.ends_with('\\') || text()?.contains("\\'") {
                return Err("holds a backslash before a quote, which a Compose .env file cannot hold");
            }
        }
        TemplateEscape::RawEnv => {
            if text()?.contains(['\n', '\r', '\0']) {
                return Err("has more than one line, which an env file without quotes cannot hold");
            }
            out.extend_from_slice(bytes);
        }
        TemplateEscape::SystemdEnv => {
            for c in text()?.chars() {
                match c {
                    '\0' => return Err("holds a zero byte, which an EnvironmentFile cannot hold"),
                    // systemd.exec(5): inside double quotes these take a backslash.
                    '"' | '\\' | '`' | '$' => {
                        out.push(b'\\');
                        push(&mut out, c);
                    }
                    c => push(&mut out, c),
                }
            }
        }
        TemplateEscape::Url => {
            for byte in bytes {
                if byte.is_ascii_alphanumeric() || b"-._~".contains(byte) {
                    out.push(*byte);
                } else {
                    out.push(b'%');
                    out.extend([byte >> 4, byte & 15].map(|digit| b"0123456789ABCDEF"[usize::from(digit)]));
                }
            }
        }
    }
    Ok(out)
}

fn push(out: &mut Vec<u8>, c: char) {
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn filled(value: &str, form: TemplateEscape) -> Result<String, Vec<String>> {
        let template = ManifestTemplate {
            name: "x".into(),
            text: "a=@@secret:pw@@;".into(),
            owner: "root".into(),
            group: "root".into(),
            mode: contract::FileMode::new(0o400),
            link: None,
            units: vec![],
            reload_units: vec![],
            escape: form,
        };
        let value = value.as_bytes().to_vec();
        fill(&template, |name| (name.as_str() == "pw").then_some(value.as_slice()))
            .map(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
    }

    #[test]
    fn each_form() {
        use TemplateEscape as Form;
        assert_eq!(filled("x\n", Form::None).unwrap(), "a=x\n;");
        assert_eq!(filled("a\"b\\\n", Form::Json).unwrap(), "a=a\\\"b\\\\;");
        assert_eq!(filled("p:/@ é", Form::Url).unwrap(), "a=p%3A%2F%40%20%C3%A9;");
        assert_eq!(filled("a$b\"", Form::SystemdEnv).unwrap(), "a=a\\$b\\\";");
        assert_eq!(filled("it's", Form::ComposeEnv).unwrap(), "a=it\\'s;");
        assert!(filled("a\nb", Form::RawEnv).is_err());
        assert!(!filled("canary\nb", Form::RawEnv).unwrap_err()[0].contains("canary"));
    }
}
