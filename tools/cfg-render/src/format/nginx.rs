//! nginx configuration (nginx.org/en/docs, `ngx_conf_file.c`): written from a tree, read into the same tree.

use super::{Unrepresentable, Written};

const NGINX: &str = "an nginx configuration";

/// A directive: a name, arguments, and a body where it is a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Directive {
    /// Its name.
    pub name: String,
    /// Its arguments, as nginx will see them after unquoting.
    pub args: Vec<String>,
    /// The directives inside, for a block.
    pub body: Option<Vec<Directive>>,
}

impl Directive {
    /// A simple directive. Arguments are text that may hold nginx variables.
    pub fn new<const N: usize>(name: &str, args: [&str; N]) -> Self {
        Self { name: name.into(), args: args.iter().map(|arg| (*arg).to_owned()).collect(), body: None }
    }

    /// A block.
    pub fn block<const N: usize>(name: &str, args: [&str; N], body: Vec<Directive>) -> Self {
        Self { body: Some(body), ..Self::new(name, args) }
    }
}

/// A text of the user as an argument in which nginx must find no variable: `$` cannot be written there.
pub fn literal(text: &str) -> Written<&str> {
    if text.contains('$') {
        return Err(Unrepresentable::new(NGINX, "a \"$\" here"));
    }
    if text.contains('\0') { Err(Unrepresentable::new(NGINX, "a NUL character")) } else { Ok(text) }
}

/// A text of the user as an argument in which nginx does look for variables. `$` has no escape; it is written as a variable
/// of that value, which [`DOLLAR`] defines.
pub fn interpolated(text: &str) -> Written {
    if text.contains('\0') {
        return Err(Unrepresentable::new(NGINX, "a NUL character"));
    }
    Ok(text.replace('$', "${dollar}"))
}

/// Defines the variable that stands for a dollar sign, for `http`.
pub fn dollar() -> Directive {
    Directive::block("geo", ["$dollar"], vec![Directive::new("default", ["$"])])
}

/// The text of directives, indented by four spaces a level.
pub fn write(directives: &[Directive]) -> String {
    let mut out = String::new();
    for directive in directives {
        write_one(&mut out, directive, 0);
    }
    out
}

fn write_one(out: &mut String, directive: &Directive, depth: usize) {
    indent(out, depth);
    quote(out, &directive.name);
    for arg in &directive.args {
        out.push(' ');
        quote(out, arg);
    }
    let Some(body) = &directive.body else {
        out.push_str(";\n");
        return;
    };
    if body.is_empty() {
        out.push_str(" {}\n");
        return;
    }
    out.push_str(" {\n");
    for inner in body {
        write_one(out, inner, depth + 1);
    }
    indent(out, depth);
    out.push_str("}\n");
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("    ", depth));
}

/// Quotes where nginx' reader would otherwise split or change the text.
fn quote(out: &mut String, text: &str) {
    if is_plain(text) {
        out.push_str(text);
        return;
    }
    out.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            c => out.push(c),
        }
    }
    out.push('"');
}

/// Whether nginx reads the text as it is.
fn is_plain(text: &str) -> bool {
    let usual = |byte: u8| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b';' | b'{' | b'}' | b'\\' | b'#');
    if !text.is_empty() && text.bytes().all(usual) {
        return true;
    }
    // Braces are only safe unquoted as those of a variable, which the reader keeps as it is.
    let mut bare = String::new();
    let mut rest = text;
    while let Some((before, behind)) = rest.split_once("${") {
        let Some((name, behind)) = behind.split_once('}') else { return false };
        if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return false;
        }
        bare.push_str(before);
        rest = behind;
    }
    bare.push_str(rest);
    !text.is_empty() && !bare.chars().any(|c| c.is_whitespace() || c.is_control() || "\"';{}\\#".contains(c))
}

/// Reads directives, for text of the user inside generated files. Braces must balance.
///
/// # Errors
/// What is wrong, in words for a person.
pub fn read(text: &str) -> Result<Vec<Directive>, &'static str> {
    let mut tokens = Tokens { chars: text.chars().peekable() };
    let directives = read_body(&mut tokens, 0)?;
    Ok(directives)
}

fn read_body(tokens: &mut Tokens<'_>, depth: usize) -> Result<Vec<Directive>, &'static str> {
    if depth > 16 {
        return Err("blocks are nested too deeply");
    }
    let mut directives = Vec::new();
    let mut words: Vec<String> = Vec::new();
    loop {
        match tokens.next()? {
            Token::Word(word) => words.push(word),
            Token::End if words.is_empty() => return Err("a semicolon without a directive"),
            Token::Open if words.is_empty() => return Err("a brace without a directive"),
            Token::End => {
                let name = words.remove(0);
                directives.push(Directive { name, args: std::mem::take(&mut words), body: None });
            }
            Token::Open => {
                let name = words.remove(0);
                let body = read_body(tokens, depth + 1)?;
                directives.push(Directive { name, args: std::mem::take(&mut words), body: Some(body) });
            }
            Token::Close if depth == 0 => return Err("a closing brace without an opening one"),
            Token::Eof if depth > 0 => return Err("an opening brace without a closing one"),
            Token::Close | Token::Eof if !words.is_empty() => return Err("a directive without its semicolon"),
            Token::Close | Token::Eof => return Ok(directives),
        }
    }
}

enum Token {
    Word(String),
    End,
    Open,
    Close,
    Eof,
}

struct Tokens<'a> {
    chars: std::iter::Peekable<std::str::Chars<'a>>,
}

impl Tokens<'_> {
    fn next(&mut self) -> Result<Token, &'static str> {
        loop {
            match self.chars.peek() {
                None => return Ok(Token::Eof),
                Some(c) if c.is_ascii_whitespace() => {
                    self.chars.next();
                }
                Some('#') => while self.chars.next().is_some_and(|c| c != '\n') {},
                Some(_) => break,
            }
        }
        match self.chars.peek().copied() {
            Some(';') => Ok(self.take(Token::End)),
            Some('{') => Ok(self.take(Token::Open)),
            Some('}') => Ok(self.take(Token::Close)),
            Some(mark @ ('"' | '\'')) => self.quoted(mark),
            _ => Ok(self.bare()),
        }
    }

    fn take(&mut self, token: Token) -> Token {
        self.chars.next();
        token
    }

    fn quoted(&mut self, mark: char) -> Result<Token, &'static str> {
        self.chars.next();
        let mut word = String::new();
        loop {
            match self.chars.next().ok_or("a quote without its end")? {
                c if c == mark => break,
                '\\' => word.push_str(&unescape(self.chars.next().ok_or("a quote without its end")?)),
                c => word.push(c),
            }
        }
        match self.chars.peek() {
            None | Some(';' | '{' | ')') => Ok(Token::Word(word)),
            Some(c) if c.is_ascii_whitespace() => Ok(Token::Word(word)),
            Some(_) => Err("text right behind a closing quote"),
        }
    }

    fn bare(&mut self) -> Token {
        let mut word = String::new();
        let mut variable = false;
        while let Some(&c) = self.chars.peek() {
            if c == '{' && word.ends_with('$') {
                variable = true;
            } else if variable && c == '}' {
                variable = false;
            } else if c.is_ascii_whitespace() || c == ';' || c == '{' {
                break;
            }
            self.chars.next();
            if c == '\\' {
                word.push_str(&self.chars.next().map_or_else(|| "\\".to_owned(), unescape));
            } else {
                word.push(c);
            }
        }
        Token::Word(word)
    }
}

fn unescape(c: char) -> String {
    match c {
        '"' | '\'' | '\\' => c.to_string(),
        't' => "\t".into(),
        'r' => "\r".into(),
        'n' => "\n".into(),
        c => format!("\\{c}"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn writes_a_tree() {
        let tree = [Directive::block(
            "server",
            [],
            vec![
                Directive::new("listen", ["443", "ssl"]),
                Directive::new("add_header", ["X-Text", "a \"b\" c; d"]),
                Directive::new("return", ["301", "https://example.org$request_uri"]),
                Directive::block("types", [], vec![]),
            ],
        )];
        let text = write(&tree);
        assert_eq!(
            text,
            "server {\n    listen 443 ssl;\n    add_header X-Text \"a \\\"b\\\" c; d\";\n    return 301 https://example.org$request_uri;\n    types {}\n}\n"
        );
        assert_eq!(read(&text).unwrap(), tree);
    }

    #[test]
    fn refuses_what_is_not_balanced() {
        for text in ["a {", "}", "a b", "a \"b", ";", "{ a; }", "a { b } c;"] {
            assert!(read(text).is_err(), "{text}");
        }
        assert_eq!(read("# only a comment\n").unwrap(), []);
    }

    #[test]
    fn a_dollar_is_written_as_a_variable_or_refused() {
        assert!(literal("a$b").is_err());
        assert_eq!(interpolated("a$b").unwrap(), "a${dollar}b");
        assert_eq!(write(&[Directive::new("x", ["a${dollar}b"])]), "x a${dollar}b;\n");
    }

    proptest! {
        #[test]
        fn every_argument_comes_back(arg in "[^\0]*", other in "[ -~]{0,20}", braces in "[${}a;]{0,9}") {
            let tree = vec![Directive { name: "x".into(), args: vec![arg, other, braces], body: None }];
            prop_assert_eq!(read(&write(&tree)).unwrap(), tree);
        }
    }
}
