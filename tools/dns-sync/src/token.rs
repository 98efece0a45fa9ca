//! The words of zone files and of RDATA in text (RFC 1035 section 5.1).

use crate::name::unescape;

/// One word. Its text still carries its escapes, because names need to know them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Token<'a> {
    /// The text, without the quotes around it.
    pub(crate) text: &'a str,
    /// Whether it stood in quotes.
    pub(crate) quoted: bool,
}

/// One entry of a zone file: a record or a directive, over one line or, in parentheses, several.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Entry<'a> {
    /// The line on which it begins, from 1.
    pub(crate) line: usize,
    /// Whether it begins with a blank, so that the owner is that of the entry before.
    pub(crate) indented: bool,
    /// Its words; at least one.
    pub(crate) tokens: Vec<Token<'a>>,
}

/// What is wrong with a text, and on which line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub(crate) struct TokenError {
    pub(crate) line: usize,
    pub(crate) what: &'static str,
}

impl Token<'_> {
    /// The bytes that it means, escapes resolved; `None` for a wrong escape.
    pub(crate) fn bytes(&self) -> Option<Vec<u8>> {
        unescaped(self.text)
    }
}

/// The bytes that a text with escapes means; `None` for a wrong escape.
pub(crate) fn unescaped(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'\\' { unescape(&mut rest)? } else { byte });
    }
    Some(bytes)
}

/// A byte string in quotes, everything outside printable ASCII as `\DDD`.
pub(crate) fn quote(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 2);
    text.push('"');
    for byte in bytes {
        match byte {
            b'"' | b'\\' => {
                text.push('\\');
                text.push(char::from(*byte));
            }
            0x20..=0x7e => text.push(char::from(*byte)),
            other => text.push_str(&format!("\\{other:03}")),
        }
    }
    text.push('"');
    text
}

/// The words of one RDATA in text.
///
/// # Errors
/// What is wrong with the text, a second line included.
pub(crate) fn words(text: &str) -> Result<Vec<Token<'_>>, TokenError> {
    let mut lexer = Lexer::new(text);
    let entry = lexer.entry()?.ok_or(TokenError { line: 1, what: "the value is empty" })?;
    match lexer.entry()? {
        Some(_) => Err(TokenError { line: 1, what: "the value goes over several lines" }),
        None => Ok(entry.tokens),
    }
}

/// Splits a zone file into entries.
pub(crate) struct Lexer<'a> {
    text: &'a str,
    at: usize,
    line: usize,
}

impl<'a> Lexer<'a> {
    /// A lexer at the beginning of a text.
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0, line: 1 }
    }

    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn error(&self, what: &'static str) -> TokenError {
        TokenError { line: self.line, what }
    }

    /// The next entry that has words.
    pub(crate) fn entry(&mut self) -> Result<Option<Entry<'a>>, TokenError> {
        loop {
            let line = self.line;
            let indented = matches!(self.peek(), Some(b' ' | b'\t'));
            let tokens = self.tokens()?;
            if !tokens.is_empty() {
                return Ok(Some(Entry { line, indented, tokens }));
            }
            if self.peek().is_none() {
                return Ok(None);
            }
        }
    }

    /// The words up to the end of the line that is not inside parentheses; the end of line is consumed.
    fn tokens(&mut self) -> Result<Vec<Token<'a>>, TokenError> {
        let mut tokens = Vec::new();
        let mut depth = 0_u32;
        while let Some(byte) = self.peek() {
            match byte {
                b'\n' => {
                    self.at += 1;
                    self.line += 1;
                    if depth == 0 {
                        return Ok(tokens);
                    }
                }
                b' ' | b'\t' | b'\r' => self.at += 1,
                b';' => {
                    while self.peek().is_some_and(|byte| byte != b'\n') {
                        self.at += 1;
                    }
                }
                b'(' => {
                    depth += 1;
                    self.at += 1;
                }
                b')' => {
                    depth =
                        depth.checked_sub(1).ok_or_else(|| self.error("a parenthesis closes that was not opened"))?;
                    self.at += 1;
                }
                b'"' => {
                    let start = self.at + 1;
                    self.quoted()?;
                    tokens.push(Token { text: &self.text[start..self.at - 1], quoted: true });
                }
                _ => tokens.push(self.bare()?),
            }
        }
        if depth > 0 { Err(self.error("a parenthesis is not closed")) } else { Ok(tokens) }
    }

    /// Moves behind the closing quote.
    fn quoted(&mut self) -> Result<(), TokenError> {
        self.at += 1;
        loop {
            match self.peek() {
                None => return Err(self.error("a quote is not closed")),
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\n') => {
                    self.line += 1;
                    self.at += 1;
                }
                Some(b'\\') => self.escape()?,
                Some(_) => self.at += 1,
            }
        }
    }

    fn escape(&mut self) -> Result<(), TokenError> {
        self.at += 1;
        match self.peek() {
            None | Some(b'\n') => Err(self.error("a backslash escapes nothing")),
            // One byte of a character is enough: the rest of it is no special byte.
            Some(_) => {
                self.at += 1;
                Ok(())
            }
        }
    }

    fn bare(&mut self) -> Result<Token<'a>, TokenError> {
        let start = self.at;
        while let Some(byte) = self.peek() {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'(' | b')' => break,
                // `key="value"` of service parameters is one word (RFC 9460 appendix A); elsewhere a quote begins a new one.
                b'"' if self.text.as_bytes().get(self.at - 1) == Some(&b'=') => self.quoted()?,
                b'"' => break,
                b'\\' => self.escape()?,
                _ => self.at += 1,
            }
        }
        Ok(Token { text: &self.text[start..self.at], quoted: false })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn words_of_all_kinds() {
        let texts = |text| -> Vec<(String, bool)> {
            words(text).unwrap().iter().map(|token| (token.text.to_owned(), token.quoted)).collect()
        };
        let bare = |text: &str| (text.to_owned(), false);
        let quoted = |text: &str| (text.to_owned(), true);
        assert_eq!(texts("10 mail ; remark"), [bare("10"), bare("mail")]);
        assert_eq!(texts("\"foo\"\"b\\\"r\" x"), [quoted("foo"), quoted("b\\\"r"), bare("x")]);
        assert_eq!(
            texts("1 . alpn=\"h2,h3\" port=53"),
            [bare("1"), bare("."), bare("alpn=\"h2,h3\""), bare("port=53")]
        );
        assert_eq!(texts("( 1\n 2 ) 3"), [bare("1"), bare("2"), bare("3")]);
        assert_eq!(words("\"open").unwrap_err().what, "a quote is not closed");
        assert_eq!(words("a )").unwrap_err().what, "a parenthesis closes that was not opened");
        assert!(words("a\nb").is_err());
        assert!(words(" ; nothing").is_err());
    }

    #[test]
    fn entries_know_their_line_and_indent() {
        let mut lexer = Lexer::new("; first\n\n@ IN SOA (\n a\n b )\n  NS ns\n");
        let entry = lexer.entry().unwrap().unwrap();
        assert_eq!((entry.line, entry.indented, entry.tokens.len()), (3, false, 5));
        let entry = lexer.entry().unwrap().unwrap();
        assert_eq!((entry.line, entry.indented), (6, true));
        assert_eq!(lexer.entry().unwrap(), None);
    }

    proptest! {
        #[test]
        fn any_bytes_survive_quoting(bytes in prop::collection::vec(any::<u8>(), 0..64)) {
            let text = quote(&bytes);
            prop_assert_eq!(words(&text).unwrap()[0].bytes().unwrap(), bytes);
        }

        #[test]
        fn no_text_panics(text in "[\\PC\n\t\"\\\\();=]{0,64}") {
            let mut lexer = Lexer::new(&text);
            while let Ok(Some(_)) = lexer.entry() {}
        }
    }
}
