//! The Nix language (nix.dev/manual/nix/latest/language): written from a tree of values.
//!
//! Two forms of strings exist. The indented one (`''`) reads well but has rules of its own about white space and quotes, so it
//! is taken only where none of them bites; every other text goes into the quoted form.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{Unrepresentable, Written};

const NIX: &str = "the Nix language";
/// Words that cannot be attribute names without quotes.
const KEYWORDS: [&str; 9] = ["assert", "else", "if", "in", "inherit", "let", "or", "rec", "then"];
/// Deepest nesting of values of the user.
const DEEPEST: usize = 64;

/// A value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Nix {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// A number.
    Number(serde_json::Number),
    /// A text, with expressions inside it.
    Text(Vec<Part>),
    /// A file beside the one that is written, such as `./disk.nix` or `../../secrets/web1.yaml`.
    Path(String),
    /// An expression of ours.
    Expression(String),
    /// A function, applied to values.
    Call(&'static str, Vec<Nix>),
    /// A list.
    List(Vec<Nix>),
    /// An attribute set.
    Set(BTreeMap<String, Nix>),
}

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Part {
    /// As it is.
    Plain(String),
    /// The value of an expression of ours.
    Expression(String),
}

impl Nix {
    /// A text as it is.
    pub fn text(text: impl Into<String>) -> Self {
        Nix::Text(vec![Part::Plain(text.into())])
    }

    /// A whole number.
    pub fn number(number: impl Into<u64>) -> Self {
        Nix::Number(number.into().into())
    }

    /// An expression of ours, such as `pkgs.hello`.
    pub fn expression(text: impl Into<String>) -> Self {
        Nix::Expression(text.into())
    }

    /// A list of texts.
    pub fn texts<S: AsRef<str>>(texts: impl IntoIterator<Item = S>) -> Self {
        Nix::List(texts.into_iter().map(|text| Nix::text(text.as_ref())).collect())
    }

    /// An attribute set.
    pub fn set<K: Into<String>>(keys: impl IntoIterator<Item = (K, Nix)>) -> Self {
        Nix::Set(keys.into_iter().map(|(key, value)| (key.into(), value)).collect())
    }

    /// A package of nixpkgs by its attribute path.
    pub fn package(path: &str) -> Self {
        let mut text = String::from("pkgs");
        for part in path.split('.') {
            text.push('.');
            text.push_str(&attribute(part));
        }
        Nix::Expression(text)
    }

    /// What JSON says, in Nix. A key `$nix` alone in an object holds an expression: `{"$nix": "pkgs.hello"}`.
    ///
    /// # Errors
    /// An expression whose brackets or quotes do not balance, and what Nix has no way to write.
    pub fn from_json(value: &Value) -> Written<Self> {
        from_json(value, 0)
    }

    /// Whether it is an attribute set without attributes, or a list without elements.
    pub fn is_empty(&self) -> bool {
        match self {
            Nix::List(list) => list.is_empty(),
            Nix::Set(set) => set.is_empty(),
            _ => false,
        }
    }
}

fn from_json(value: &Value, depth: usize) -> Written<Nix> {
    if depth > DEEPEST {
        return Err(Unrepresentable::new(NIX, "values that are nested so deeply"));
    }
    Ok(match value {
        Value::Null => Nix::Null,
        Value::Bool(value) => Nix::Bool(*value),
        Value::Number(number) => {
            if number.is_u64() && number.as_i64().is_none() {
                return Err(Unrepresentable::new(NIX, "a whole number of more than 63 bits"));
            }
            Nix::Number(number.clone())
        }
        Value::String(text) => Nix::text(text),
        Value::Array(list) => {
            Nix::List(list.iter().map(|value| from_json(value, depth + 1)).collect::<Result<_, _>>()?)
        }
        Value::Object(keys) => {
            if let (Some(Value::String(text)), 1) = (keys.get("$nix"), keys.len()) {
                return expression_of_the_user(text);
            }
            let mut set = BTreeMap::new();
            for (key, value) in keys {
                set.insert(key.clone(), from_json(value, depth + 1)?);
            }
            Nix::Set(set)
        }
    })
}

/// An expression of the user stands in brackets, so that it cannot take what follows with it.
fn expression_of_the_user(text: &str) -> Written<Nix> {
    if is_balanced(text) {
        Ok(Nix::Expression(format!("({})", text.trim())))
    } else {
        Err(Unrepresentable::new(NIX, "an expression whose brackets, quotes or comments do not balance"))
    }
}

/// Whether brackets and strings of a text balance. Interpolations inside strings count as text of the string, whose brackets
/// must balance too; a comment must not reach the end, where a bracket of ours follows.
pub fn is_balanced(text: &str) -> bool {
    let mut open = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '(' | '[' | '{' => open.push(c),
            ')' if open.pop() != Some('(') => return false,
            ']' if open.pop() != Some('[') => return false,
            '}' if open.pop() != Some('{') => return false,
            '"' => loop {
                match chars.next() {
                    Some('\\') => {
                        chars.next();
                    }
                    Some('"') => break,
                    Some(_) => {}
                    None => return false,
                }
            },
            '\'' if chars.peek() == Some(&'\'') => {
                chars.next();
                if !skip_indented(&mut chars) {
                    return false;
                }
            }
            '#' if !chars.by_ref().any(|c| c == '\n') => return false,
            '/' if chars.peek() == Some(&'*') => {
                let mut last = ' ';
                if !chars.by_ref().skip(1).any(|c| std::mem::replace(&mut last, c) == '*' && c == '/') {
                    return false;
                }
            }
            _ => {}
        }
    }
    open.is_empty() && !text.trim().is_empty()
}

/// Goes behind the end of an indented string.
fn skip_indented(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) -> bool {
    while let Some(c) = chars.next() {
        if c == '\'' && chars.peek() == Some(&'\'') {
            chars.next();
            match chars.peek() {
                // `'''`, `''$` and `''\` are escapes.
                Some('\'' | '$') => {
                    chars.next();
                }
                Some('\\') => {
                    chars.next();
                    chars.next();
                }
                _ => return true,
            }
        }
    }
    false
}

/// Options of a module by path; what two parts say about one option is put together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options(BTreeMap<String, Nix>);

impl Options {
    /// Sets an option. Attribute sets are merged, lists and texts of lines are appended, anything else is replaced.
    pub fn set<S: AsRef<str>>(&mut self, path: &[S], value: Nix) {
        let Some((last, rest)) = path.split_last() else { return };
        let mut place = &mut self.0;
        for key in rest {
            let next = place.entry(key.as_ref().to_owned()).or_insert_with(|| Nix::Set(BTreeMap::new()));
            if !matches!(next, Nix::Set(_)) {
                *next = Nix::Set(BTreeMap::new());
            }
            let Nix::Set(next) = next else { return };
            place = next;
        }
        match place.get_mut(last.as_ref()) {
            Some(old) => merge(old, value),
            None => {
                place.insert(last.as_ref().to_owned(), value);
            }
        }
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The body of a module.
    pub fn into_value(self) -> Nix {
        Nix::Set(self.0)
    }
}

fn merge(old: &mut Nix, new: Nix) {
    match (old, new) {
        (Nix::Set(old), Nix::Set(new)) => {
            for (key, value) in new {
                match old.get_mut(&key) {
                    Some(known) => merge(known, value),
                    None => {
                        old.insert(key, value);
                    }
                }
            }
        }
        (Nix::List(old), Nix::List(new)) => {
            for value in new {
                if !old.contains(&value) {
                    old.push(value);
                }
            }
        }
        (Nix::Text(old), Nix::Text(new)) if ends_line(old) && ends_line(&new) => old.extend(new),
        (old, new) => *old = new,
    }
}

fn ends_line(parts: &[Part]) -> bool {
    matches!(parts.last(), Some(Part::Plain(text)) if text.ends_with('\n'))
}

/// The text of a value, as `nixfmt` would nearly have it.
///
/// # Errors
/// A NUL character, which no string of Nix holds.
pub fn write(value: &Nix) -> Written {
    let mut out = String::new();
    write_value(&mut out, value, 0, false)?;
    out.push('\n');
    Ok(out)
}

fn write_value(out: &mut String, value: &Nix, depth: usize, argument: bool) -> Written<()> {
    match value {
        Nix::Null => out.push_str("null"),
        Nix::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
        Nix::Number(number) => out.push_str(&number_text(number, argument)),
        Nix::Text(parts) => write_text(out, parts, depth)?,
        Nix::Path(path) => out.push_str(&path_text(path)?),
        Nix::Expression(text) => {
            let bare = !argument || text.starts_with('(') || !text.contains(char::is_whitespace);
            out.push_str(&if bare { text.clone() } else { format!("({text})") });
        }
        Nix::Call(function, arguments) => {
            if argument {
                out.push('(');
            }
            out.push_str(function);
            for value in arguments {
                out.push(' ');
                write_value(out, value, depth, true)?;
            }
            if argument {
                out.push(')');
            }
        }
        Nix::List(list) => write_list(out, list, depth)?,
        Nix::Set(set) => {
            if set.is_empty() {
                out.push_str("{ }");
                return Ok(());
            }
            out.push_str("{\n");
            for (key, value) in set {
                indent(out, depth + 1);
                write_attribute(out, key, value, depth + 1)?;
            }
            indent(out, depth);
            out.push('}');
        }
    }
    Ok(())
}

/// `a.b.c = value;` where `a` and `b` have nothing else.
fn write_attribute(out: &mut String, key: &str, value: &Nix, depth: usize) -> Written<()> {
    check(key)?;
    out.push_str(&attribute(key));
    let mut value = value;
    while let Nix::Set(set) = value {
        let (Some((key, inner)), 1) = (set.first_key_value(), set.len()) else { break };
        check(key)?;
        out.push('.');
        out.push_str(&attribute(key));
        value = inner;
    }
    out.push_str(" = ");
    write_value(out, value, depth, false)?;
    out.push_str(";\n");
    Ok(())
}

fn write_list(out: &mut String, list: &[Nix], depth: usize) -> Written<()> {
    if list.is_empty() {
        out.push_str("[ ]");
        return Ok(());
    }
    let mut line = String::from("[ ");
    for value in list {
        write_value(&mut line, value, depth + 1, true)?;
        line.push(' ');
    }
    line.push(']');
    if line.len() <= 100 && !line.contains('\n') {
        out.push_str(&line);
        return Ok(());
    }
    out.push_str("[\n");
    for value in list {
        indent(out, depth + 1);
        write_value(out, value, depth + 1, true)?;
        out.push('\n');
    }
    indent(out, depth);
    out.push(']');
    Ok(())
}

fn indent(out: &mut String, depth: usize) {
    out.extend(std::iter::repeat_n("  ", depth));
}

fn number_text(number: &serde_json::Number, argument: bool) -> String {
    let text = match (number.as_i64(), number.as_f64()) {
        // The minus is an operator, and the number without it is one too many.
        (Some(i64::MIN), _) => return "(-9223372036854775807 - 1)".into(),
        (Some(number), _) => number.to_string(),
        (None, Some(number)) => {
            let text = format!("{number:?}");
            // A number with an exponent still needs a point.
            match text.split_once('e') {
                Some((digits, exponent)) if !digits.contains('.') => format!("{digits}.0e{exponent}"),
                _ => text,
            }
        }
        (None, None) => number.to_string(),
    };
    if argument && text.starts_with('-') { format!("({text})") } else { text }
}

/// A path as a literal, or joined from a text where it has characters that no literal has.
fn path_text(path: &str) -> Written {
    let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "._-+/".contains(c)) && !path.ends_with('/');
    if plain {
        return Ok(path.to_owned());
    }
    let mut text = String::new();
    write_quoted(&mut text, &[Part::Plain(format!("/{}", path.trim_start_matches("./")))])?;
    Ok(format!("(./. + {text})"))
}

/// An attribute's name, in quotes where it needs them.
pub fn attribute(name: &str) -> String {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || "_-'".contains(c))
        && !KEYWORDS.contains(&name)
        && name != "with";
    if plain {
        return name.to_owned();
    }
    let mut out = String::from("\"");
    quoted(&mut out, name, false);
    out.push('"');
    out
}

fn check(text: &str) -> Written<()> {
    if text.contains('\0') { Err(Unrepresentable::new(NIX, "a NUL character")) } else { Ok(()) }
}

fn write_text(out: &mut String, parts: &[Part], depth: usize) -> Written<()> {
    if !fits_indented(parts) {
        return write_quoted(out, parts);
    }
    write_indented(out, parts, depth);
    Ok(())
}

fn write_quoted(out: &mut String, parts: &[Part]) -> Written<()> {
    out.push('"');
    for (index, part) in parts.iter().enumerate() {
        match part {
            Part::Plain(text) => {
                check(text)?;
                let before_expression = matches!(parts.get(index + 1), Some(Part::Expression(_)));
                quoted(out, text, before_expression);
            }
            Part::Expression(text) => {
                out.push_str("${");
                out.push_str(text);
                out.push('}');
            }
        }
    }
    out.push('"');
    Ok(())
}

/// The inside of a quoted string. `${` begins an expression, and `$${` does not, whatever was meant.
fn quoted(out: &mut String, text: &str, before_expression: bool) {
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '$' if matches!(chars.peek(), Some('{' | '$')) || (chars.peek().is_none() && before_expression) => {
                out.push_str("\\$");
            }
            c => out.push(c),
        }
    }
}

/// Whether a text means the same in the indented form: several lines, the first word of one of them at its beginning (or
/// their white space would be taken away), and no quote before what would become an escape.
fn fits_indented(parts: &[Part]) -> bool {
    if !ends_line(parts) {
        return false;
    }
    let mut text = String::new();
    for part in parts {
        match part {
            Part::Plain(plain) => text.push_str(plain),
            // What it becomes does not matter for the form, but a quote or a dollar sign before it does.
            Part::Expression(_) if text.ends_with(['\'', '$']) => return false,
            Part::Expression(_) => text.push('x'),
        }
    }
    let tame = text.chars().all(|c| !c.is_control() || c == '\n' || c == '\t');
    let lines = || text.lines().filter(|line| !line.is_empty());
    tame && !text.contains("'$")
        && !text.contains("$$")
        && !text.contains("''")
        && lines().any(|line| !line.starts_with([' ', '\t']))
        && lines().all(|line| !line.trim().is_empty() && !line.ends_with('\''))
}

fn write_indented(out: &mut String, parts: &[Part], depth: usize) {
    out.push_str("''\n");
    let mut at_start = true;
    for part in parts {
        match part {
            Part::Plain(text) => {
                for c in text.replace("${", "''${").chars() {
                    if at_start && c != '\n' {
                        indent(out, depth + 1);
                    }
                    at_start = c == '\n';
                    out.push(c);
                }
            }
            Part::Expression(text) => {
                if at_start {
                    indent(out, depth + 1);
                }
                at_start = false;
                out.push_str("${");
                out.push_str(text);
                out.push('}');
            }
        }
    }
    indent(out, depth);
    out.push_str("''");
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn sets_are_written_as_people_write_them() {
        let value =
            Nix::from_json(&json!({"services": {"openssh": {"enable": true}}, "a b": [1, -2, "x${y}"], "n": 1.5e300}))
                .unwrap();
        assert_eq!(
            write(&value).unwrap(),
            "{\n  \"a b\" = [ 1 (-2) \"x\\${y}\" ];\n  n = 1.5e300;\n  services.openssh.enable = true;\n}\n"
        );
    }

    #[test]
    fn lines_are_indented_where_that_is_safe() {
        assert_eq!(write(&Nix::text("a ${b}\n  c\n")).unwrap(), "''\n  a ''${b}\n    c\n''\n");
        for text in ["  all indented\n", "no end", "it's ''quoted''\n", "a\r\n", "'${x}\n", "$${x}\n", " \nx\n"] {
            assert!(write(&Nix::text(text)).unwrap().starts_with('"'), "{text:?}");
        }
    }

    #[test]
    fn expressions_of_the_user_balance() {
        for good in ["pkgs.hello", "{ a = ''}''; }", "x: \"}\" + x", "[ 1 /* ] */ ]", "''a '''b''"] {
            assert!(is_balanced(good), "{good}");
        }
        for bad in ["", "}", "{ a = 1; ", "\"", "a # b", "''", "/* x", "); evil = (1"] {
            assert!(!is_balanced(bad), "{bad}");
        }
    }
}
