//! What JSON says, in Nix, and expressions that a user wrote.

use std::collections::BTreeMap;

use serde_json::Value;

use super::{NIX, Nix};
use crate::format::{Unrepresentable, Written};

/// Deepest nesting of values of the user.
const DEEPEST: usize = 64;

pub(super) fn from_json(value: &Value, depth: usize) -> Written<Nix> {
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
