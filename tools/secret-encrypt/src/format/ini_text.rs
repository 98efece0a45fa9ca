//! INI as go-ini reads it, which is what sops uses: where every section, key, value and comment stands in the text.
//!
//! What is said here follows gopkg.in/ini.v1 1.67.3 (parser.go) with `AllowNonUniqueSections` and nothing else set: `=` and `:`
//! both end a key, `#` and `;` begin a comment also behind a value, a backslash at the end of a line joins the next one, and
//! three double quotes or backquotes hold a value over several lines.

use std::collections::{HashMap, HashSet};
use std::ops::Range;

use super::Style;
use crate::Error;

/// The section of keys that stand before the first header.
pub(super) const DEFAULT: &str = "DEFAULT";

/// A text taken apart.
pub(super) struct Ini {
    /// The sections in order; the implicit first one only where it has keys.
    pub(super) sections: Vec<Section>,
    /// Comments behind the last key, which go-ini does not read.
    pub(super) trailing: Vec<Piece>,
}

/// A section.
pub(super) struct Section {
    pub(super) name: String,
    /// How many sections of this name stand before it.
    pub(super) number: usize,
    /// Where its header line begins; of the implicit section where its first key does.
    pub(super) start: usize,
    /// Behind its header or its last key, with the line break.
    pub(super) end: usize,
    /// Where a comment behind the header goes.
    pub(super) anchor: usize,
    pub(super) comment: Vec<Piece>,
    pub(super) keys: Vec<Key>,
}

impl Section {
    /// Its key in pointers. Several of one name are told apart by a number.
    pub(super) fn in_pointer(&self) -> String {
        if self.number == 0 { self.name.clone() } else { format!("{}#{}", self.name, self.number + 1) }
    }
}

/// A key and its value.
pub(super) struct Key {
    pub(super) name: String,
    /// Where its line begins.
    pub(super) start: usize,
    /// Behind its line, or the last of its lines.
    pub(super) end: usize,
    pub(super) value: String,
    /// Where a comment behind the value goes.
    pub(super) anchor: usize,
    /// The value as it is written, with its quotes.
    pub(super) span: Range<usize>,
    pub(super) style: Style,
    pub(super) comment: Vec<Piece>,
    /// A comment behind closing quotes on their own line, which go-ini does not read.
    pub(super) unread: Option<Range<usize>>,
}

/// One line of a comment, or a comment behind a value or header.
pub(super) struct Piece {
    /// From its mark to the end of its line, without the line break.
    pub(super) range: Range<usize>,
    /// It stands behind something on the same line.
    pub(super) inline: bool,
}

/// Reads a text.
///
/// # Errors
/// Where go-ini would fail, and for keys that stand twice, of which go-ini keeps the last.
pub(super) fn parse(text: &str) -> Result<Ini, Error> {
    let mut breaks = text.bytes().zip(text.bytes().skip(1).chain([0]));
    if let Some(at) = breaks.position(|(byte, next)| byte == b'\r' && next != b'\n') {
        let line = Some(text[..at].matches('\n').count() as u64 + 1);
        return Err(Error::Syntax { message: "a carriage return stands without a line feed".into(), line });
    }
    let mut reader = Reader { text, at: bom(text), start: 0 };
    let mut sections: Vec<Section> = Vec::new();
    let mut pending: Vec<Piece> = Vec::new();
    let mut numbers: HashMap<String, usize> = HashMap::new();
    let mut seen: HashSet<String> = HashSet::new();
    let mut count = 1;
    while let Some(line) = reader.line() {
        let begin = line.start + (text[line.clone()].len() - text[line.clone()].trim_start().len());
        let body = &text[begin..line.end];
        match body.as_bytes().first() {
            None => {}
            Some(b'#' | b';') => pending.push(Piece { range: begin..begin + without_break(body).len(), inline: false }),
            Some(b'[') => {
                let close = body.rfind(']').ok_or_else(|| reader.wrong("a section has no closing bracket"))?;
                let name = &body[1..close];
                if name.is_empty() {
                    return Err(reader.wrong("a section has no name"));
                }
                let anchor = begin + close + 1;
                let inline = reader.inline(anchor..line.end)?;
                pending.extend(inline.map(|range| Piece { range, inline: true }));
                let number = numbers.entry(name.to_owned()).or_default();
                sections.push(Section {
                    name: name.to_owned(),
                    number: *number,
                    start: line.start,
                    end: line.end,
                    anchor,
                    comment: std::mem::take(&mut pending),
                    keys: Vec::new(),
                });
                *number += 1;
                seen.clear();
                count = 1;
            }
            Some(_) => {
                let (mut name, offset) = key_name(body).map_err(|message| reader.wrong(message))?;
                if name == "-" {
                    name = format!("#{count}");
                    count += 1;
                }
                if !seen.insert(name.clone()) {
                    return Err(reader.wrong(&format!("the key \"{name}\" stands twice in its section")));
                }
                let read = reader.value(begin + offset..line.end)?;
                pending.extend(read.inline.map(|range| Piece { range, inline: true }));
                if sections.is_empty() {
                    numbers.insert(DEFAULT.into(), 1);
                    sections.push(Section {
                        name: DEFAULT.into(),
                        number: 0,
                        start: line.start,
                        end: line.start,
                        anchor: line.start,
                        comment: Vec::new(),
                        keys: Vec::new(),
                    });
                }
                if let Some(section) = sections.last_mut() {
                    section.end = reader.at;
                    section.keys.push(Key {
                        name,
                        start: line.start,
                        end: reader.at,
                        // Where there is no value, blanks before the comment are the comment's.
                        anchor: if read.span.is_empty() { begin + offset } else { read.span.end },
                        value: read.value,
                        span: read.span,
                        style: read.style,
                        comment: std::mem::take(&mut pending),
                        unread: read.unread,
                    });
                }
            }
        }
    }
    Ok(Ini { sections, trailing: pending })
}

/// The length of a byte order mark.
pub(super) fn bom(text: &str) -> usize {
    if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }
}

fn without_break(line: &str) -> &str {
    line.strip_suffix('\n').unwrap_or(line)
}

/// The name of a key and where its value begins.
fn key_name(line: &str) -> Result<(String, usize), &'static str> {
    const NO_DELIMITER: &str = "a line has no equals sign and no colon";
    let quote = match line.as_bytes() {
        [b'"', b'"', b'"', ..] if line.len() > 6 => "\"\"\"",
        [b'"', ..] => "\"",
        [b'`', ..] => "`",
        _ => "",
    };
    if quote.is_empty() {
        return match line.find(['=', ':']) {
            None => Err(NO_DELIMITER),
            Some(0) => Err("a key has no name"),
            Some(end) => Ok((line[..end].trim().to_owned(), end + 1)),
        };
    }
    let close = line[quote.len()..].find(quote).ok_or("a key has no closing quote")? + quote.len();
    let behind = close + quote.len();
    let delimiter = line[behind..].find(['=', ':']).ok_or(NO_DELIMITER)?;
    let name = line[quote.len()..close].trim();
    if name.is_empty() {
        return Err("a key has no name");
    }
    Ok((name.to_owned(), behind + delimiter + 1))
}

/// A value and what follows it.
struct ReadValue {
    value: String,
    span: Range<usize>,
    style: Style,
    inline: Option<Range<usize>>,
    unread: Option<Range<usize>>,
}

struct Reader<'a> {
    text: &'a str,
    /// Where the next line begins.
    at: usize,
    /// Where the line that was read last begins.
    start: usize,
}

impl Reader<'_> {
    fn wrong(&self, message: &str) -> Error {
        let line = self.text[..self.start].matches('\n').count() as u64 + 1;
        Error::Syntax { message: format!("no INI: {message}"), line: Some(line) }
    }

    /// The next line with its line break.
    fn line(&mut self) -> Option<Range<usize>> {
        if self.at >= self.text.len() {
            return None;
        }
        self.start = self.at;
        self.at = self.text[self.start..].find('\n').map_or(self.text.len(), |at| self.start + at + 1);
        Some(self.start..self.at)
    }

    /// The comment in what follows a header or closing quotes. Anything else there go-ini would lose without a word.
    fn inline(&self, range: Range<usize>) -> Result<Option<Range<usize>>, Error> {
        let rest = &self.text[range.clone()];
        let blank = rest.len() - rest.trim_start().len();
        match rest.as_bytes().get(blank) {
            None => Ok(None),
            Some(b'#' | b';') => Ok(Some(range.start + blank..range.start + without_break(rest).len())),
            Some(_) => Err(self.wrong("text follows a closing bracket or quote")),
        }
    }

    /// Reads the value that begins in the rest of a line.
    fn value(&mut self, rest: Range<usize>) -> Result<ReadValue, Error> {
        let text = self.text;
        let raw = &text[rest.clone()];
        let start = rest.start + (raw.len() - raw.trim_start().len());
        let line = &text[start.min(rest.end)..rest.end];
        let plain = |value: &str, span, inline| ReadValue {
            value: value.to_owned(),
            span,
            style: Style::Plain,
            inline,
            unread: None,
        };
        if line.is_empty() {
            // Behind one blank, where there is one.
            let at = rest.start + usize::from(raw.starts_with([' ', '\t']));
            return Ok(plain("", at..at, None));
        }
        if line == "\"\"\"" {
            // At the end of the file go-ini takes these for the value itself, and anywhere else for the begin of one.
            return Err(self.wrong("a value has no closing quote"));
        }
        let quoted = match line.as_bytes() {
            [b'"', b'"', b'"', _, ..] => Some(("\"\"\"", Style::Triple)),
            [b'`', ..] => Some(("`", Style::Back)),
            _ => None,
        };
        if let Some((quote, style)) = quoted {
            return self.quoted(start, line, quote, style);
        }
        let trimmed = line.trim();
        if let Some(first) = trimmed.strip_suffix('\\') {
            let mut value = first.to_owned();
            let mut end = start + trimmed.len();
            while let Some(next) = self.line() {
                let part = text[next.clone()].trim();
                if part.is_empty() {
                    break;
                }
                end = next.start + text[next].trim_end().len();
                value.push_str(part);
                if !value.ends_with('\\') {
                    break;
                }
                value.pop();
            }
            return Ok(ReadValue { value, span: start..end, style: Style::Continued, inline: None, unread: None });
        }
        let mut body = trimmed;
        let mut inline = None;
        if let Some(at) = trimmed.find(['#', ';']) {
            inline = Some(start + at..start + without_break(line).len());
            body = trimmed[..at].trim_end();
        }
        let span = start..start + body.len();
        let surrounded = |quote: char| {
            body.len() >= 2
                && body.starts_with(quote)
                && body.ends_with(quote)
                && body[1..].find(quote) == Some(body.len() - 2)
        };
        if body.is_empty() {
            let at = rest.start + usize::from(raw.starts_with([' ', '\t']));
            return Ok(plain("", at..at, inline));
        }
        for (quote, style) in [('\'', Style::Single), ('"', Style::Double)] {
            if surrounded(quote) {
                let value = body[1..body.len() - 1].to_owned();
                return Ok(ReadValue { value, span, style, inline, unread: None });
            }
        }
        Ok(plain(body, span, inline))
    }

    fn quoted(&mut self, start: usize, line: &str, quote: &str, style: Style) -> Result<ReadValue, Error> {
        let length = quote.len();
        if let Some(at) = line[length..].rfind(quote) {
            let end = start + length + at + length;
            let value = line[length..length + at].to_owned();
            let unread = self.inline(end..start + line.len())?;
            return Ok(ReadValue { value, span: start..end, style, inline: None, unread });
        }
        let mut value = line[length..].to_owned();
        while let Some(next) = self.line() {
            let body = &self.text[next.clone()];
            match body.rfind(quote) {
                Some(at) => {
                    value.push_str(&body[..at]);
                    let end = next.start + at + length;
                    let inline = self.inline(end..next.end)?;
                    return Ok(ReadValue { value, span: start..end, style, inline, unread: None });
                }
                None => value.push_str(body),
            }
        }
        Err(self.wrong("a value has no closing quote"))
    }
}

/// A value as it is written: as it was, where that reads back the same, else in the first form that does.
///
/// # Errors
/// Where INI has no form for it.
pub(super) fn write_value(value: &str, style: Style) -> Result<String, Error> {
    write_before(value, style, "")
}

/// As [`write_value`], where the line goes on with a comment: quotes in the comment must not be taken for those of the value.
///
/// # Errors
/// As [`write_value`].
pub(super) fn write_before(value: &str, style: Style, comment: &str) -> Result<String, Error> {
    if value.is_empty() {
        return Ok(String::new());
    }
    // Inside these, other readers than go-ini agree on what a value is.
    let usual = if value.contains(['\n', '`']) {
        Style::Triple
    } else if value.contains(['#', ';']) {
        Style::Back
    } else if value.trim().len() != value.len() {
        Style::Double
    } else {
        Style::Plain
    };
    let forms = [style, usual, Style::Plain, Style::Double, Style::Back, Style::Triple, Style::Single];
    let found = forms.into_iter().map(|style| quote(value, style)).find(|written| reads_as(written, value, comment));
    found.ok_or_else(|| {
        Error::Unsupported(
            "a value holds quotes, line breaks or marks of comments in a way that INI has no form for".into(),
        )
    })
}

/// Whether this behind an equals sign is read as the value and nothing else but the comment.
pub(super) fn reads_as(written: &str, value: &str, comment: &str) -> bool {
    let line = format!("{written}{comment}\n");
    let mut reader = Reader { text: &line, at: line.find('\n').map_or(0, |at| at + 1), start: 0 };
    let read = reader.value(0..reader.at);
    read.is_ok_and(|read| {
        let alone = read.inline.is_none() && read.unread.is_none();
        read.value == value && read.span == (0..written.len()) && (alone || !comment.is_empty())
    })
}

/// A text in the quotes of a style.
pub(super) fn quote(text: &str, style: Style) -> String {
    match style {
        Style::Triple => format!("\"\"\"{text}\"\"\""),
        Style::Back => format!("`{text}`"),
        Style::Double => format!("\"{text}\""),
        Style::Single => format!("'{text}'"),
        _ => text.to_owned(),
    }
}

/// The name of a new key as it is written; `None` if there is no form for it.
pub(super) fn write_key(name: &str) -> Option<String> {
    let written = if name.contains(['"', '=', ':']) {
        format!("`{name}`")
    } else if name.contains('`') {
        format!("\"\"\"{name}\"\"\"")
    } else {
        name.to_owned()
    };
    let line = format!("{written} = x\n");
    let alone = !name.contains('\n')
        && name != "-"
        && !written.starts_with(['#', ';', '['])
        && !written.starts_with(char::is_whitespace);
    (alone && key_name(&line).is_ok_and(|(read, _)| read == name)).then_some(written)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use proptest::prelude::*;

    use super::*;

    fn values(text: &str) -> Vec<(String, String, String)> {
        let ini = parse(text).unwrap();
        ini.sections
            .iter()
            .flat_map(|section| {
                section.keys.iter().map(|key| (section.name.clone(), key.name.clone(), key.value.clone()))
            })
            .collect()
    }

    #[test]
    fn values_as_go_ini_reads_them() {
        let text = "a=1\nb : two words  \n\"q = k\" = 'single' ; note\nc = \"a\"b\"\nd = `x#y;z`\ne = a#b\nf = one \\\n   two \\\n three\n\
            g = \"\"\"first\n  second\"\"\" # end\nh=\n[s t] # about\n- = x\n- = y\ni = \"\"\nj = 'a\n";
        let expected = [
            ("DEFAULT", "a", "1"),
            ("DEFAULT", "b", "two words"),
            ("DEFAULT", "q = k", "single"),
            ("DEFAULT", "c", "\"a\"b\""),
            ("DEFAULT", "d", "x#y;z"),
            ("DEFAULT", "e", "a"),
            ("DEFAULT", "f", "one two three"),
            ("DEFAULT", "g", "first\n  second"),
            ("DEFAULT", "h", ""),
            ("s t", "#1", "x"),
            ("s t", "#2", "y"),
            ("s t", "i", ""),
            ("s t", "j", "'a"),
        ];
        let expected: Vec<_> = expected.map(|(a, b, c)| (a.to_owned(), b.to_owned(), c.to_owned())).into();
        assert_eq!(values(text), expected);
        for bad in ["x\n", "=1\n", "[a\n", "[]\n", "a = `x\n", "\"a = 1\n", "a=1\na=2\n", "[a] b\n", "a = `b` c\n"] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    proptest! {
        #[test]
        fn a_written_value_reads_back(value in "[a-z'\"`#;\\\\\n =:]{0,12}", style in 0..5_usize) {
            let style = [Style::Plain, Style::Double, Style::Single, Style::Back, Style::Triple][style];
            if let Ok(written) = write_value(&value, style) {
                prop_assert_eq!(&values(&format!("k = {written}\nl = x\n"))[0].2, &value);
            }
        }

        #[test]
        fn no_text_panics(text in "[a-c'\"`#;\\\\\n =:\\[\\]-]{0,40}") {
            if let Ok(ini) = parse(&text) {
                for key in ini.sections.iter().flat_map(|section| &section.keys) {
                    prop_assert!(text.get(key.span.clone()).is_some() && key.span.end <= key.end);
                }
            }
        }
    }
}
