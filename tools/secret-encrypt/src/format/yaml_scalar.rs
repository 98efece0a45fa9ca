//! What a YAML scalar is, and how a value is written. Resolution equals that of go-yaml v3, which sops uses, because values
//! in clear enter the MAC in their canonical form.

use std::fmt::Write as _;
use std::sync::LazyLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use granit_parser::ScalarStyle;
use regex::Regex;
use zeroize::Zeroizing;

use super::Style;
use super::yaml_tree::Tag;
use crate::Error;
use crate::sops::{Kind, Value};

#[allow(clippy::unwrap_used, reason = "constant expressions, compiled by a test")]
static TIME: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r"^([0-9]{4})-([0-9]{1,2})-([0-9]{1,2})(?:([Tt])([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(\.[0-9]+)?(Z|[+-][0-9]{2}:[0-9]{2})| ([0-9]{1,2}):([0-9]{1,2}):([0-9]{1,2})(\.[0-9]+)?)?$")
        .unwrap()
});

/// The value of a scalar.
///
/// # Errors
/// For what sops refuses: a number that fits no signed 64 bits but unsigned ones, a tag that does not fit.
pub(super) fn resolve(text: &str, style: ScalarStyle, tag: Option<Tag>) -> Result<Value, Error> {
    let misfit = || Error::Unsupported("a tag does not fit its value".into());
    match tag {
        None if style == ScalarStyle::Plain => resolve_plain(text),
        None | Some(Tag::Str | Tag::Other) => Ok(Value::text(text)),
        Some(Tag::Binary) => {
            let compact: Zeroizing<String> = Zeroizing::new(text.split_whitespace().collect());
            STANDARD.decode(compact.as_bytes()).map(|bytes| Value::new(Kind::Str, bytes)).map_err(|_| misfit())
        }
        Some(tag) => {
            let value = resolve_plain(text)?;
            match (tag, value.kind) {
                (Tag::Int, Kind::Int) | (Tag::Float, Kind::Float) | (Tag::Bool, Kind::Bool) => Ok(value),
                (Tag::Null, Kind::Null) | (Tag::Time, Kind::Time) => Ok(value),
                (Tag::Float, Kind::Int) => {
                    value.as_text().and_then(|text| text.parse().ok()).map(Value::float).ok_or_else(misfit)
                }
                _ => Err(misfit()),
            }
        }
    }
}

fn resolve_plain(text: &str) -> Result<Value, Error> {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Ok(Value::null()),
        "true" | "True" | "TRUE" => return Ok(Value::bool(true)),
        "false" | "False" | "FALSE" => return Ok(Value::bool(false)),
        ".nan" | ".NaN" | ".NAN" => return Ok(Value::float(f64::NAN)),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Ok(Value::float(f64::INFINITY)),
        "-.inf" | "-.Inf" | "-.INF" => return Ok(Value::float(f64::NEG_INFINITY)),
        _ => {}
    }
    match text.as_bytes().first() {
        Some(b'.') => Ok(float(text).map_or_else(|| Value::text(text), Value::float)),
        Some(b'0'..=b'9' | b'+' | b'-') => {
            if let Some(time) = time(text) {
                return Ok(Value::new(Kind::Time, time));
            }
            let plain = text.replace('_', "");
            match go_integer(&plain) {
                Some(Ok(int)) => return Ok(Value::int(int)),
                Some(Err(())) => {
                    return Err(Error::Unsupported(
                        "a number is larger than 64 bits with sign can hold; put it into quotes".into(),
                    ));
                }
                None => {}
            }
            if let Some(number) = float(&plain) {
                return Ok(Value::float(number));
            }
            Ok(Value::text(text))
        }
        _ => Ok(Value::text(text)),
    }
}

/// A number as go-yaml has it: `^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$`.
fn float(text: &str) -> Option<f64> {
    let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
    let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
    let whole = digits(unsigned);
    let mut rest = &unsigned[whole..];
    if let Some(fraction) = rest.strip_prefix('.') {
        let count = digits(fraction);
        if whole + count == 0 {
            return None;
        }
        rest = &fraction[count..];
    } else if whole == 0 {
        return None;
    }
    if let Some(exponent) = rest.strip_prefix(['e', 'E']) {
        let exponent = exponent.strip_prefix(['-', '+']).unwrap_or(exponent);
        let count = digits(exponent);
        rest = if count == 0 { "x" } else { &exponent[count..] };
    }
    // Too large for 64 bits is no number for Go, while Rust makes it infinite.
    if rest.is_empty() { text.parse::<f64>().ok().filter(|number| number.is_finite()) } else { None }
}

/// Go's `strconv.ParseInt(text, 0, 64)` with the octal form of YAML 1.2; `Err` for what fits only without sign.
fn go_integer(text: &str) -> Option<Result<i64, ()>> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, &text[1..]),
        b'+' => (false, &text[1..]),
        _ => (false, text),
    };
    let prefixed = |prefixes: [&str; 2]| prefixes.iter().find_map(|prefix| digits.strip_prefix(prefix));
    let (digits, radix) = if let Some(rest) = prefixed(["0x", "0X"]) {
        (rest, 16)
    } else if let Some(rest) = prefixed(["0o", "0O"]) {
        (rest, 8)
    } else if let Some(rest) = prefixed(["0b", "0B"]) {
        (rest, 2)
    } else if digits.len() > 1 && digits.starts_with('0') {
        (&digits[1..], 8)
    } else {
        (digits, 10)
    };
    if digits.is_empty() || !digits.bytes().all(|byte| (byte as char).is_digit(radix)) {
        return None;
    }
    let magnitude = i128::from(u64::from_str_radix(digits, radix).ok()?);
    let number = if negative { -magnitude } else { magnitude };
    match i64::try_from(number) {
        Ok(int) => Some(Ok(int)),
        // A negative number this large is no integer for Go and becomes a float.
        Err(_) if negative => None,
        Err(_) => Some(Err(())),
    }
}

/// A point in time in the form that enters the MAC (RFC 3339 with as many digits of the second as there are).
fn time(text: &str) -> Option<String> {
    // Most numbers are told from it by this, without the expression.
    if text.as_bytes().get(4) != Some(&b'-') {
        return None;
    }
    let parts = TIME.captures(text)?;
    let number = |at: usize| parts.get(at).map_or(Some(0), |part| part.as_str().parse::<i16>().ok());
    let date = jiff::civil::Date::new(number(1)?, number(2)? as i8, number(3)? as i8).ok()?;
    let with_t = parts.get(4).is_some();
    let base = if with_t { 5 } else { 10 };
    let time = jiff::civil::Time::new(number(base)? as i8, number(base + 1)? as i8, number(base + 2)? as i8, 0).ok()?;
    let fraction = parts.get(if with_t { 8 } else { 13 }).map_or("", |part| part.as_str());
    let fraction =
        fraction.get(..fraction.len().min(10)).unwrap_or_default().trim_end_matches('0').trim_end_matches('.');
    let zone = match parts.get(9).map_or("Z", |part| part.as_str()) {
        "+00:00" | "-00:00" => "Z",
        zone => zone,
    };
    Some(format!("{date}T{time}{fraction}{zone}"))
}

/// The text of a value in a document. `column` is the indentation of block content, or `None` where a block cannot stand.
pub(super) fn write(value: &Value, style: Style, column: Option<usize>) -> Zeroizing<String> {
    let in_flow = matches!(style, Style::PlainInFlow | Style::SingleInFlow | Style::DoubleInFlow);
    let Some(text) = value.as_text() else {
        // Bytes that are no text: the one form that YAML has for them.
        return Zeroizing::new(format!("!!binary {}", STANDARD.encode(&*value.bytes)));
    };
    let column = column.filter(|_| !in_flow);
    Zeroizing::new(match value.kind {
        Kind::Null => "null".into(),
        Kind::Bool => text.to_lowercase(),
        Kind::Int | Kind::Time => text.into(),
        Kind::Float => match text {
            "NaN" => ".nan".into(),
            "+Inf" => ".inf".into(),
            "-Inf" => "-.inf".into(),
            _ if text.contains('.') => text.into(),
            _ => format!("{text}.0"),
        },
        Kind::Comment => format!("#{}", text.replace(['\n', '\r'], " ")),
        Kind::Str | Kind::Bytes => match style {
            Style::Double | Style::DoubleInFlow => double(text),
            Style::Tagged if is_old_boolean(text) => text.into(),
            Style::Tagged if is_plain_shape(text, false) => format!("!!str {text}"),
            Style::Single => single(text).unwrap_or_else(|| double(text)),
            Style::SingleInFlow if !is_plain(text, true) => single(text).unwrap_or_else(|| double(text)),
            Style::Literal(_) => literal(text, column, "|").unwrap_or_else(|| double(text)),
            Style::Folded if !text.trim_end_matches('\n').contains('\n') => {
                literal(text, column, ">").unwrap_or_else(|| double(text))
            }
            Style::Folded => literal(text, column, "|").unwrap_or_else(|| double(text)),
            _ if is_plain(text, in_flow) && !is_old_boolean(text) => text.into(),
            _ if text.contains('\n') => literal(text, column, "|").unwrap_or_else(|| double(text)),
            _ => double(text),
        },
    })
}

/// Words that are truth values for readers of YAML 1.1. Sops puts them into quotes, and so do we.
pub(super) fn is_old_boolean(text: &str) -> bool {
    const WORDS: [&str; 6] = ["y", "yes", "on", "n", "no", "off"];
    text.len() <= 3 && WORDS.iter().any(|word| text.eq_ignore_ascii_case(word))
}

/// Whether a text can stand without quotes and is the same text then.
pub(super) fn is_plain(text: &str, in_flow: bool) -> bool {
    is_plain_shape(text, in_flow) && matches!(resolve_plain(text), Ok(value) if value.kind == Kind::Str)
}

/// Whether a text can stand without quotes, as whatever it is then.
fn is_plain_shape(text: &str, in_flow: bool) -> bool {
    let mut chars = text.chars();
    let Some(first) = chars.next() else { return false };
    let second = chars.next();
    let indicator = "-?:,[]{}#&*!|>'\"%@`";
    let starts_well = !indicator.contains(first)
        || ("-?:".contains(first) && second.is_some_and(|c| !(c.is_whitespace() || in_flow && ",[]{}".contains(c))));
    starts_well
        && !first.is_whitespace()
        && !text.ends_with([' ', '\t', ':'])
        && !text.contains(": ")
        && !text.contains(":\t")
        && !text.contains(" #")
        && !text.contains("\t#")
        && !text.chars().any(is_special)
        && !text.starts_with("---")
        && !text.starts_with("...")
        && !text.starts_with("<<")
        && !(in_flow && text.contains([',', '[', ']', '{', '}', '?']))
        && !(in_flow
            && text.contains(':')
            && text.split(':').skip(1).any(|rest| rest.is_empty() || rest.starts_with([',', ']', '}'])))
}

/// Characters that only double quotes can hold: controls, and what one reader takes for a line break and another does not.
fn is_special(c: char) -> bool {
    (c.is_control() && c != '\t') || matches!(c, '\u{85}' | '\u{2028}' | '\u{2029}' | '\u{feff}')
}

fn single(text: &str) -> Option<String> {
    (!text.chars().any(is_special)).then(|| format!("'{}'", text.replace('\'', "''")))
}

fn double(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            '\0' => out.push_str("\\0"),
            c if is_special(c) && (c as u32) < 0x100 => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if is_special(c) => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A block scalar, if one can hold the text. Ends without the newline of its last line, which stands in the document.
fn literal(text: &str, column: Option<usize>, mark: &str) -> Option<String> {
    let column = column?;
    let body = text.trim_end_matches('\n');
    let first = body.trim_start_matches('\n');
    let holds = !body.is_empty()
        && !first.starts_with([' ', '\t'])
        && !text.chars().any(|c| c != '\n' && is_special(c))
        && !body.ends_with([' ', '\t']);
    if !holds {
        return None;
    }
    let kept = text.len() - body.len();
    let chomp = match kept {
        0 => "-",
        1 => "",
        _ => "+",
    };
    let indent = " ".repeat(column);
    let mut out = format!("{mark}{chomp}");
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.push_str(&indent);
            out.push_str(line);
        }
    }
    out.extend(std::iter::repeat_n('\n', kept.saturating_sub(1)));
    Some(out)
}

/// The text of an encrypted value, in the quotes that its value had, so that decryption can put them back.
pub(super) fn write_enc(enc: &str, style: Style, column: usize) -> String {
    match style {
        Style::Plain | Style::Literal(true) | Style::Triple | Style::Back | Style::Continued => enc.into(),
        Style::Single | Style::PlainInFlow | Style::SingleInFlow => format!("'{enc}'"),
        Style::Double | Style::DoubleInFlow => format!("\"{enc}\""),
        Style::Tagged => format!("!!str {enc}"),
        Style::Literal(false) => format!("|-\n{}{enc}", " ".repeat(column)),
        Style::Folded => format!(">-\n{}{enc}", " ".repeat(column)),
        Style::Comment => format!("#{enc}"),
        Style::CommentElement => format!("#{enc}"),
    }
}

/// A string as a mapping key or as the value of metadata, where no style is given.
pub(super) fn write_text(text: &str, column: Option<usize>) -> String {
    if is_plain(text, false) && !is_old_boolean(text) {
        return text.into();
    }
    if text.contains('\n')
        && let Some(block) = literal(text, column, "|")
    {
        return block;
    }
    double(text)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn is(text: &str) -> (Kind, String) {
        let value = resolve(text, ScalarStyle::Plain, None).unwrap();
        (value.kind, value.as_text().unwrap().to_owned())
    }

    #[test]
    fn resolves_as_go_yaml_does() {
        for (text, number) in [
            ("8080", "8080"),
            ("0o17", "15"),
            ("0777", "511"),
            ("0x1F", "31"),
            ("0b101", "5"),
            ("1_000", "1000"),
            ("+1", "1"),
            ("-0", "0"),
        ] {
            assert_eq!(is(text), (Kind::Int, number.into()), "{text}");
        }
        for (text, number) in [
            ("089", "89"),
            ("1e3", "1000"),
            ("1.50", "1.5"),
            (".5", "0.5"),
            ("5.", "5"),
            ("-0.0", "-0"),
            ("1_0.5", "10.5"),
            (".inf", "+Inf"),
            (".nan", "NaN"),
            ("18446744073709551616", "18446744073709552000"),
        ] {
            assert_eq!(is(text), (Kind::Float, number.into()), "{text}");
        }
        for text in [
            "yes",
            "no",
            "on",
            "off",
            "y",
            "n",
            "12:30:45",
            "1:30",
            "1e500",
            "_1",
            "0b102",
            "1,000",
            "2026-13-45",
            "=",
            "tRue",
        ] {
            assert_eq!(is(text), (Kind::Str, text.into()), "{text}");
        }
        for (text, time) in [
            ("2001-12-14", "2001-12-14T00:00:00Z"),
            ("2001-1-2", "2001-01-02T00:00:00Z"),
            ("2001-12-14t21:59:43.10-05:00", "2001-12-14T21:59:43.1-05:00"),
            ("2001-12-14 21:59:43", "2001-12-14T21:59:43Z"),
        ] {
            assert_eq!(is(text), (Kind::Time, time.into()), "{text}");
        }
        assert!(resolve("9223372036854775808", ScalarStyle::Plain, None).is_err());
        let tagged = |text, tag| resolve(text, ScalarStyle::SingleQuoted, Some(tag)).unwrap();
        assert_eq!(tagged("7", Tag::Int), Value::int(7));
        assert_eq!(tagged("1", Tag::Float).as_text(), Some("1"));
        assert_eq!(tagged("aGk=", Tag::Binary), Value::text("hi"));
        assert_eq!(tagged("8080", Tag::Str), Value::text("8080"));
    }

    #[test]
    fn writes_what_reads_back() {
        assert_eq!(&*write(&Value::text("a: b"), Style::Plain, Some(2)), "\"a: b\"");
        assert_eq!(&*write(&Value::text("a\nb\n"), Style::Plain, Some(2)), "|\n  a\n  b");
        assert_eq!(&*write(&Value::text("it's"), Style::Single, None), "'it''s'");
        assert_eq!(&*write(&Value::float(2.0), Style::Plain, None), "2.0");
        assert_eq!(&*write(&Value::text("8080"), Style::Plain, None), "\"8080\"");
        assert!(is_plain("http://x:80/y#z", false));
        assert!(!is_plain("- x", false) && is_plain("-x", false));
    }
}
