//! Caddyfile (caddyserver.com/docs/caddyfile/concepts, `caddyconfig/caddyfile/lexer.go` of 2.6). Output is a fixed point of
//! `caddy fmt`.

use super::{Unrepresentable, Written, one_line};

const CADDY: &str = "a Caddyfile";

/// A line, and the lines inside its braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// The words, already quoted by [`word`] or plain words of ours.
    pub words: Vec<String>,
    /// What is inside, for a block.
    pub body: Option<Vec<Line>>,
}

impl Line {
    /// A line of plain words of ours.
    pub fn new(text: &str) -> Self {
        Self { words: vec![text.to_owned()], body: None }
    }

    /// The same with a word behind it.
    #[must_use]
    pub fn with(mut self, word: impl Into<String>) -> Self {
        self.words.push(word.into());
        self
    }

    /// The same with lines inside.
    #[must_use]
    pub fn body(mut self, body: Vec<Line>) -> Self {
        self.body = Some(body);
        self
    }
}

/// A text of the user as one word that Caddy leaves as it is.
pub fn word(text: &str) -> Written {
    one_line(CADDY, text)?;
    // `{$NAME}` is replaced when the file is read, `{name}` when it is used.
    if text.contains('{') {
        return Err(Unrepresentable::new(CADDY, "an opening brace here"));
    }
    let plain = !text.is_empty() && !text.chars().any(|c| c.is_whitespace() || "\"`\\#{}<".contains(c));
    if plain {
        return Ok(text.to_owned());
    }
    // Inside double quotes only \" is an escape, so that a backslash before a quote or at the end cannot be written.
    if !text.contains("\\\"") && !text.ends_with('\\') {
        return Ok(format!("\"{}\"", text.replace('"', "\\\"")));
    }
    if text.contains('`') {
        return Err(Unrepresentable::new(CADDY, "a backslash before a quote together with a backtick"));
    }
    Ok(format!("`{text}`"))
}

/// The text of a file: an empty line between blocks, tabs, as `caddy fmt` has it.
pub fn write(lines: &[Line]) -> String {
    let mut out = String::new();
    for (index, line) in lines.iter().enumerate() {
        if index > 0 && (line.body.is_some() || lines[index - 1].body.is_some()) {
            out.push('\n');
        }
        write_one(&mut out, line, 0);
    }
    out
}

fn write_one(out: &mut String, line: &Line, depth: usize) {
    let indent = "\t".repeat(depth);
    out.push_str(&indent);
    out.push_str(&line.words.join(" "));
    if let Some(body) = &line.body {
        out.push_str(if line.words.is_empty() { "{\n" } else { " {\n" });
        for inner in body {
            write_one(out, inner, depth + 1);
        }
        out.push_str(&indent);
        out.push('}');
    }
    out.push('\n');
}

/// Whether the braces of a line of the user balance, so that it can stand inside a block of ours.
pub fn is_balanced(text: &str) -> bool {
    let mut depth = 0_i32;
    let mut quote = None;
    let mut escaped = false;
    for c in text.chars() {
        match (quote, c) {
            (Some('"'), '\\') if !escaped => escaped = true,
            (Some(mark), c) => {
                if c == mark && !escaped {
                    quote = None;
                }
                escaped = false;
            }
            (None, '"' | '`') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') => depth -= 1,
            (None, _) => {}
        }
        if depth < 0 {
            return false;
        }
    }
    depth == 0 && quote.is_none()
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_as_the_lexer_wants() {
        for (text, written) in [
            ("plain", "plain"),
            ("", "\"\""),
            ("two words", "\"two words\""),
            ("say \"hi\"", "\"say \\\"hi\\\"\""),
            ("back\\slash x", "\"back\\slash x\""),
            ("ends with\\", "`ends with\\`"),
        ] {
            assert_eq!(word(text).unwrap(), written);
        }
        for text in ["{$HOME}", "a{b", "a\nb", "a\\\"`"] {
            assert!(word(text).is_err(), "{text}");
        }
    }

    #[test]
    fn blocks_are_laid_out() {
        let file = [
            Line { words: vec![], body: Some(vec![Line::new("admin off")]) },
            Line::new("example.org").body(vec![Line::new("respond").with(word("a b").unwrap())]),
        ];
        assert_eq!(write(&file), "{\n\tadmin off\n}\n\nexample.org {\n\trespond \"a b\"\n}\n");
    }

    #[test]
    fn braces_of_the_user_must_balance() {
        assert!(is_balanced("header { X \"}\" }"));
        assert!(!is_balanced("} evil {"));
        assert!(!is_balanced("respond \"open"));
    }
}
