//! Values as text.

use super::{NIX, Nix, Part};
use crate::format::{Unrepresentable, Written};

/// Words that cannot be attribute names without quotes.
const KEYWORDS: [&str; 9] = ["assert", "else", "if", "in", "inherit", "let", "or", "rec", "then"];

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
    push_attribute(out, key);
    let mut value = value;
    while let Nix::Set(set) = value {
        let (Some((key, inner)), 1) = (set.first_key_value(), set.len()) else { break };
        check(key)?;
        out.push('.');
        push_attribute(out, key);
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
    let start = out.len();
    out.push_str("[ ");
    let fits = |out: &str| out.len() - start < 100 && !out[start..].contains('\n');
    for value in list {
        write_value(out, value, depth + 1, true)?;
        out.push(' ');
        if !fits(out) {
            break;
        }
    }
    if fits(out) {
        out.push(']');
        return Ok(());
    }
    // Too long for a line of its own: one element a line.
    out.truncate(start);
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
    let mut out = String::new();
    push_attribute(&mut out, name);
    out
}

fn push_attribute(out: &mut String, name: &str) {
    let mut chars = name.chars();
    let plain = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '\''))
        && !KEYWORDS.contains(&name)
        && name != "with";
    if plain {
        out.push_str(name);
        return;
    }
    out.push('"');
    quoted(out, name, false);
    out.push('"');
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
    if !text.bytes().any(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t' | b'$')) {
        out.push_str(text);
        return;
    }
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
                for line in text.replace("${", "''${").split_inclusive('\n') {
                    if at_start && line != "\n" {
                        indent(out, depth + 1);
                    }
                    at_start = line.ends_with('\n');
                    out.push_str(line);
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

/// Whether a text ends its last line.
pub(super) fn ends_line(parts: &[Part]) -> bool {
    matches!(parts.last(), Some(Part::Plain(text)) if text.ends_with('\n'))
}
