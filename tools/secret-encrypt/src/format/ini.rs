//! INI, kept as its author formatted it: values stand in their quotes, a comment of several lines is one encrypted comment.
//!
//! To sops all comments before a key or header, and the one behind it, are one text. It is encrypted as one, because of
//! several it would decrypt the first only. What go-ini does not keep of it (blank lines, indentation, that a line stood
//! behind the value) goes into that text in lines that begin with a blank, which no other line of it can.

use std::ops::Range;

use contract::Pointer;
use serde_json::{Map, Value as Json};
use zeroize::Zeroizing;

use super::ini_text::{self, DEFAULT, Ini, Key, Piece, Section, quote, write_key, write_value};
use super::{Block, Comments, Format, Layout, Parsed, Put, Side, Slot, Style, splice, text_of};
use crate::Error;
use crate::sops::{EncText, Metadata, Value, flatten, unflatten};

/// The section of the block.
const BLOCK: &str = "sops";

/// INI files.
pub(super) struct IniFormat;

impl Format for IniFormat {
    fn name(&self) -> &'static str {
        "ini"
    }

    fn matches(&self, file_name: &str) -> bool {
        file_name.ends_with(".ini")
    }

    fn parse(&self, bytes: &[u8], _: Side) -> Result<Parsed, Error> {
        parse(text_of(bytes)?)
    }

    fn render(
        &self,
        bytes: &[u8],
        parsed: &Parsed,
        puts: &[(usize, Put)],
        block: &Block,
    ) -> Result<Zeroizing<Vec<u8>>, Error> {
        let text = text_of(bytes)?;
        let mut edits = Vec::with_capacity(puts.len() + 4);
        for (index, put) in puts {
            let slot = &parsed.slots[*index];
            let tail = parsed.layout.tails.get(*index).cloned().flatten();
            match put {
                // A comment that stands behind a header alone gets a line of its own: the header ends at the last bracket of its
                // line, and an encrypted comment has one.
                Put::Enc(enc) if slot.is_comment() && slot.span.is_empty() && begins_line(text, slot.span.start) => {
                    edits.push((slot.span.clone(), Zeroizing::new(format!("; {enc}\n"))));
                    edits.extend(tail.map(|range| (range, Zeroizing::default())));
                }
                Put::Enc(enc) => {
                    edits.push((slot.span.clone(), Zeroizing::new(quote(enc, slot.style))));
                    edits.extend(tail.map(|range| (range, Zeroizing::default())));
                }
                Put::Plain(value) if slot.is_comment() => {
                    let (own, behind) = comment_lines(text, slot, value, tail.is_some());
                    let alone = own.is_empty() && !behind.is_empty() && value.bytes.starts_with(BEHIND_HEADER);
                    edits.push((if alone { whole_line(text, &slot.span) } else { slot.span.clone() }, own));
                    edits.extend(tail.map(|range| (range, behind)));
                }
                Put::Plain(value) => {
                    let new = value
                        .as_text()
                        .ok_or_else(|| Error::Unsupported("a value is no text and cannot stand in INI".into()))?;
                    edits.push((slot.span.clone(), Zeroizing::new(write_value(new, slot.style)?)));
                }
            }
        }
        match block {
            Block::Remove => {
                edits.extend(parsed.layout.blocks.iter().map(|range| (range.clone(), Zeroizing::default())));
            }
            Block::Stamp(metadata) => {
                for (key, range) in &parsed.layout.stamps {
                    let value = metadata.raw.get(*key).and_then(Json::as_str).unwrap_or_default();
                    edits.push((range.clone(), Zeroizing::new(write_value(value, Style::Plain)?)));
                }
            }
            Block::Write(metadata) => {
                let body = block_text(metadata)?;
                match parsed.layout.blocks.first() {
                    Some(old) => {
                        // The line break or blank line before it stays as it is.
                        let lead = text[old.clone()].len() - text[old.clone()].trim_start_matches(['\r', '\n']).len();
                        let ends = text[old.clone()].ends_with('\n');
                        let body = if ends { body.as_str() } else { body.trim_end() };
                        edits.push((old.start + lead..old.end, Zeroizing::new(body.to_owned())));
                    }
                    None => {
                        let at = parsed.layout.insert_at;
                        edits.push((at..at, Zeroizing::new(new_block(&text[..at], &body))));
                    }
                }
            }
        }
        Ok(splice(text, edits))
    }

    fn put(&self, bytes: &[u8], pointer: &Pointer, value: &Json) -> Result<Zeroizing<Vec<u8>>, Error> {
        let keys: Vec<String> = pointer.keys().collect();
        match (keys.as_slice(), value) {
            ([_], Json::Object(members)) => {
                let mut out = Zeroizing::new(bytes.to_vec());
                for (key, value) in members {
                    out = self.put(&out, &pointer.join(key), value)?;
                }
                Ok(out)
            }
            (_, Json::Object(_) | Json::Array(_)) => {
                Err(Error::Unsupported("INI holds sections of keys with text, nothing deeper".into()))
            }
            ([section, key], _) => put_key(text_of(bytes)?, section, key, value, pointer),
            _ => Err(Error::NoSuchValue { pointer: pointer.clone(), near: None }),
        }
    }

    fn remove(&self, bytes: &[u8], pointer: &Pointer) -> Result<Zeroizing<Vec<u8>>, Error> {
        let text = text_of(bytes)?;
        let ini = ini_text::parse(text)?;
        let keys: Vec<String> = pointer.keys().collect();
        let nowhere = || Error::NoSuchValue { pointer: pointer.clone(), near: None };
        let name = keys.first().filter(|name| *name != BLOCK).ok_or_else(nowhere)?;
        let section = ini.sections.iter().find(|section| section_key(section) == *name).ok_or_else(nowhere)?;
        let range = match keys.as_slice() {
            [_] => {
                let first = section.comment.iter().find(|piece| !piece.inline);
                let start = first.map_or(section.start, |piece| line_start(text, piece.range.start));
                // The blank line before a section goes with it.
                let blank = text[..start].ends_with("\n\n");
                start - usize::from(blank)..section.end
            }
            [_, key] => {
                let key = section.keys.iter().find(|found| found.name == *key).ok_or_else(nowhere)?;
                // Its line alone, as in every other format: sops too keeps a comment of which the key goes.
                key.start..key.end
            }
            _ => return Err(nowhere()),
        };
        Ok(splice(text, vec![(range, Zeroizing::default())]))
    }

    /// The comment above a key, which stays, and the one behind its value, which goes, are one encrypted text.
    fn removes_in_clear(&self) -> bool {
        true
    }

    fn write_new(&self, json: &Json) -> Result<Zeroizing<Vec<u8>>, Error> {
        let mut bytes = Zeroizing::new(Vec::new());
        let members = || json.as_object().into_iter().flatten();
        for (key, value) in members().filter(|(_, value)| !value.is_object()) {
            bytes = self.put(&bytes, &Pointer::root().join(DEFAULT).join(key), value)?;
        }
        for (key, value) in members().filter(|(_, value)| value.is_object()) {
            bytes = self.put(&bytes, &Pointer::root().join(key), value)?;
        }
        Ok(bytes)
    }

    fn read_json(&self, bytes: &[u8]) -> Result<Json, Error> {
        let ini = ini_text::parse(text_of(bytes)?)?;
        let mut out = Map::new();
        for section in &ini.sections {
            let keys = section.keys.iter().map(|key| (key.name.clone(), Json::String(key.value.clone())));
            out.insert(section_key(section), Json::Object(keys.collect()));
        }
        Ok(Json::Object(out))
    }
}

/// The key of a section in pointers. Several of one name are told apart by a number.
fn section_key(section: &Section) -> String {
    if section.number == 0 { section.name.clone() } else { format!("{}#{}", section.name, section.number + 1) }
}

/// How a comment begins that stood behind a header, and had a line of its own only while it was encrypted.
const BEHIND_HEADER: &[u8] = b"  \n\t";

fn begins_line(text: &str, at: usize) -> bool {
    line_start(text, at) == at || at == bom(text)
}

/// The line of a span with its line break.
fn whole_line(text: &str, span: &Range<usize>) -> Range<usize> {
    line_start(text, span.start).max(bom(text))..text[span.end..].find('\n').map_or(text.len(), |at| span.end + at + 1)
}

fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

fn put_key(text: &str, name: &str, key: &str, value: &Json, pointer: &Pointer) -> Result<Zeroizing<Vec<u8>>, Error> {
    if name == BLOCK {
        return Err(Error::NoSuchValue { pointer: pointer.clone(), near: None });
    }
    let ini = ini_text::parse(text)?;
    let value = super::value_of(value).unwrap_or_else(Value::null);
    let raw = match value.as_text() {
        Some("True") if value.kind == crate::sops::Kind::Bool => "true",
        Some("False") if value.kind == crate::sops::Kind::Bool => "false",
        other => other.unwrap_or_default(),
    };
    let section = ini.sections.iter().find(|section| section_key(section) == name);
    if let Some(found) = section.and_then(|section| section.keys.iter().find(|found| found.name == key)) {
        let mut written = Zeroizing::new(write_value(raw, found.style)?);
        // A key without a value may end in its equals sign.
        let before = &text[..found.span.start];
        if found.value.is_empty() && [" =", " :", ":"].iter().any(|end| before.ends_with(end)) {
            written.insert(0, ' ');
        }
        return Ok(splice(text, vec![(found.span.clone(), written)]));
    }
    let unfit = |what: &str| Error::Unsupported(format!("INI cannot hold a {what} of this name"));
    let written = Zeroizing::new(write_value(raw, Style::Plain)?);
    let key = write_key(key).ok_or_else(|| unfit("key"))?;
    let equals = equals_of(text, &ini, section);
    let line = Zeroizing::new(format!("{key}{equals}{}", &*written));
    let (at, new) = match section {
        Some(section) => (section.end, format!("{}\n", &*line)),
        None if name == DEFAULT => {
            // Only before every header is a key in no section.
            let first = ini.sections.first().map(|section| {
                let comment = section.comment.iter().find(|piece| !piece.inline);
                comment.map_or(section.start, |piece| line_start(text, piece.range.start))
            });
            (first.unwrap_or(bom(text)), format!("{}\n\n", &*line))
        }
        None => {
            if name.is_empty() || name.contains('\n') || name.contains(']') && name.contains(['#', ';']) {
                return Err(unfit("section"));
            }
            let at =
                ini.sections.iter().rfind(|section| section.name != BLOCK).map_or(bom(text), |section| section.end);
            let blank = if at == bom(text) { "" } else { "\n" };
            (at, format!("{blank}[{name}]\n{}\n", &*line))
        }
    };
    let mut new = Zeroizing::new(new);
    if at > bom(text) && !text[..at].ends_with('\n') {
        // No line break at the end before, none after.
        let body = Zeroizing::new(new.trim_end_matches('\n').to_owned());
        *new = format!("\n{}", &*body);
    } else if at == text.len() && name == DEFAULT && section.is_none() {
        new.pop();
    }
    Ok(splice(text, vec![(at..at, new)]))
}

/// The length of a byte order mark.
fn bom(text: &str) -> usize {
    if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 }
}

/// How the file writes its equals signs.
fn equals_of(text: &str, ini: &Ini, section: Option<&Section>) -> String {
    let mut keys = section.into_iter().chain(ini.sections.iter().rev()).filter(|section| section.name != BLOCK);
    let first = keys.find_map(|section| section.keys.first());
    let Some(key) = first else { return " = ".into() };
    let line = &text[key.start..key.span.start];
    let tight = !line.trim_end().trim_end_matches(['=', ':']).ends_with([' ', '\t']);
    match (tight, line.trim_end().ends_with(':')) {
        (true, false) => "=".into(),
        (true, true) => ": ".into(),
        (false, true) => " : ".into(),
        (false, false) => " = ".into(),
    }
}

/// The block: keys in order, aligned as go-ini does.
fn block_text(metadata: &Metadata) -> Result<String, Error> {
    let mut pairs = flatten(&metadata.raw);
    pairs.sort();
    let width = pairs.iter().map(|(key, _)| key.len()).max().unwrap_or_default();
    let mut out = format!("[{BLOCK}]\n");
    for (key, value) in &pairs {
        out.push_str(&format!("{key:width$} = {}\n", write_value(value, Style::Plain)?));
    }
    Ok(out)
}

/// A first block with the line breaks around it that its removal takes away again.
fn new_block(before: &str, body: &str) -> String {
    if before.is_empty() || before == "\u{feff}" {
        return body.into();
    }
    if before.ends_with('\n') {
        return format!("\n{body}");
    }
    format!("\n\n{}", body.trim_end())
}

/// A decrypted comment as lines, and what of it stands behind the value.
fn comment_lines(text: &str, slot: &Slot, value: &Value, has_tail: bool) -> (Zeroizing<String>, Zeroizing<String>) {
    let comment = value.as_text().unwrap_or_default();
    let mut behind = Zeroizing::default();
    if !has_tail {
        return (Zeroizing::new(comment.replace('\n', " ")), behind);
    }
    let line = &text[line_start(text, slot.span.start)..];
    let indent = &line[..line.len() - line.trim_start().len()];
    let mut own = Zeroizing::new(String::with_capacity(comment.len() * 2));
    let several = comment.contains('\n');
    for (index, line) in comment.split('\n').enumerate() {
        match (index, line.as_bytes().first()) {
            (0, _) if several && (line == " " || line == "  ") => {}
            (0, _) => own.push_str(line),
            (_, Some(b'\t')) => line[1..].clone_into(&mut behind),
            (_, Some(b' ')) => {
                own.push('\n');
                own.push_str(&line[1..]);
            }
            (_, Some(b'#' | b';')) => {
                own.push('\n');
                own.push_str(indent);
                own.push_str(line);
            }
            (_, None) => own.push('\n'),
            (_, Some(_)) => {
                own.push('\n');
                own.push_str(indent);
                own.push_str("; ");
                own.push_str(line);
            }
        }
    }
    (own, behind)
}

/// The text of a comment without its mark, as sops takes it off.
fn unmarked(comment: &str) -> &str {
    match comment.as_bytes().first() {
        Some(b';') => comment.trim_start_matches([';', ' ']),
        Some(b'#') => comment.trim_start_matches(['#', ' ']),
        _ => comment,
    }
}

fn parse(text: &str) -> Result<Parsed, Error> {
    let ini = ini_text::parse(text)?;
    let mut walk = Walk {
        text,
        parsed: Parsed { slots: Vec::new(), metadata: None, layout: Layout::default() },
        sections: Vec::new(),
        current: 0,
    };
    for section in ini.sections.iter().filter(|section| section.name != BLOCK) {
        walk.sections.push(vec![section.name.clone()]);
    }
    for section in &ini.sections {
        walk.section(section)?;
        walk.current += usize::from(section.name != BLOCK);
    }
    walk.current = walk.sections.len().saturating_sub(1);
    let last = ini.sections.iter().rfind(|section| section.name != BLOCK);
    walk.parsed.layout.insert_at = last.map_or(bom(text), |section| section.end);
    // These no other program reads, and so they may belong to the file itself, whatever its last section is.
    walk.comment(&ini.trailing, &[], None, Comments::default(), None);
    Ok(walk.parsed)
}

struct Walk<'a> {
    text: &'a str,
    parsed: Parsed,
    /// The path of each section: a comment that was moved may have been encrypted under another.
    sections: Vec<Vec<String>>,
    /// Which of them the walk is in.
    current: usize,
}

impl Walk<'_> {
    fn section(&mut self, section: &Section) -> Result<(), Error> {
        let path = vec![section.name.clone()];
        if section.name == BLOCK {
            // Comments before the block belong to nobody; people left them there.
            self.comment(&section.comment, &[], None, Comments::default(), None);
            return self.block(section);
        }
        let pointer = Pointer::root().join(section_key(section));
        if section.keys.is_empty() {
            self.parsed.layout.collections.push((pointer.clone(), "a section"));
        }
        let mut active =
            self.comment(&section.comment, &path, Some(section.anchor), Comments::default(), Some(section.start));
        for key in &section.keys {
            self.push(
                Slot {
                    pointer: pointer.join(&key.name),
                    path: vec![section.name.clone(), key.name.clone()],
                    elsewhere: Vec::new(),
                    comments: std::mem::take(&mut active),
                    value: Value::text(&key.value),
                    span: key.span.clone(),
                    style: key.style,
                    always: false,
                    fixed: false,
                },
                None,
            );
            // To sops the comment of a key stands behind it, and so is in force for the next one.
            active = self.comment(&key.comment, &path, Some(key.anchor), Comments::default(), None);
            if let Some(range) = &key.unread {
                let piece = Piece { range: range.clone(), inline: true };
                self.comment(&[piece], &path, None, active.clone(), None);
            }
        }
        Ok(())
    }

    fn push(&mut self, slot: Slot, tail: Option<Range<usize>>) {
        self.parsed.slots.push(slot);
        self.parsed.layout.tails.push(tail);
    }

    /// Makes the slots of a comment; the texts that are in force behind it.
    fn comment(
        &mut self,
        pieces: &[Piece],
        path: &[String],
        anchor: Option<usize>,
        mut active: Comments,
        header: Option<usize>,
    ) -> Comments {
        let text = self.text;
        let raw = |piece: &Piece| &text[piece.range.clone()];
        if let ([piece], Some(anchor), Some(start)) = (pieces, anchor, header)
            && piece.inline
        {
            let stop = piece.range.start + raw(piece).trim_end().len();
            let own = format!("  \n\t{}", &text[anchor..stop]);
            self.comment_slot(own, start..start, path, &mut active, Some(anchor..stop));
            return active;
        }
        let encrypted = pieces.iter().any(|piece| EncText::parse(unmarked(raw(piece))).is_some());
        let lines = pieces.iter().filter(|piece| !piece.inline).count();
        if encrypted || lines == 0 {
            // Another program, or a person, put more beside it: each is a comment of its own.
            let alone = !pieces.iter().any(|piece| piece.inline);
            for piece in pieces {
                let raw = raw(piece).trim_end();
                let end = piece.range.start + raw.len();
                let own = unmarked(raw);
                let tail = anchor.filter(|_| alone).unwrap_or(end);
                let tail = (!piece.inline).then_some(tail..tail);
                self.comment_slot(own.to_owned(), end - own.len()..end, path, &mut active, tail);
            }
            return active;
        }
        let indent = |piece: &Piece| &text[line_start(text, piece.range.start)..piece.range.start];
        let first = &pieces[0];
        let head = unmarked(raw(first));
        let start = first.range.end - head.len();
        let mut own = head.to_owned();
        let mut end = start + head.trim_end().len();
        let own_lines = || pieces.iter().filter(|piece| !piece.inline);
        for (previous, piece) in own_lines().zip(own_lines().skip(1)) {
            // Blank lines between, with what blanks they have.
            let between = &text[previous.range.end..line_start(text, piece.range.start)];
            for blank in between.split_terminator('\n').skip(1) {
                own.push_str("\n ");
                own.push_str(blank);
            }
            own.push('\n');
            if indent(piece) != indent(first) {
                own.push(' ');
                own.push_str(indent(piece));
            }
            own.push_str(raw(piece));
            end = piece.range.start + raw(piece).trim_end().len();
        }
        own.truncate(own.trim_end().len());
        let mut tail = anchor.map_or(end..end, |at| at..at);
        if let Some(piece) = pieces.iter().find(|piece| piece.inline) {
            let from = anchor.unwrap_or(piece.range.start);
            tail = from..piece.range.start + raw(piece).trim_end().len();
            own.push_str("\n\t");
            own.push_str(&text[tail.clone()]);
        }
        if own.starts_with('\n') {
            // A first line without text: go-ini cannot write a comment that begins with a line break.
            own.insert(0, ' ');
        }
        self.comment_slot(own, start..end, path, &mut active, Some(tail));
        active
    }

    fn comment_slot(
        &mut self,
        own: String,
        span: Range<usize>,
        path: &[String],
        active: &mut Comments,
        tail: Option<Range<usize>>,
    ) {
        active.push(&own);
        // Where a person moved it from, most likely; only an encrypted one can have come from elsewhere.
        let near = self.current.saturating_sub(1)..(self.current + 2).min(self.sections.len());
        let near = self.sections.get(near).filter(|_| EncText::is_meant(&own)).unwrap_or_default();
        let near = near.iter().filter(|other| other.as_slice() != path);
        let elsewhere = near.cloned().chain((!path.is_empty()).then(Vec::new)).collect();
        let pointer = path.iter().fold(Pointer::root(), |pointer, key| pointer.join(key));
        let value = Value::comment(&own);
        self.push(
            Slot {
                pointer,
                path: path.to_vec(),
                elsewhere,
                comments: active.clone(),
                value,
                span,
                style: Style::Comment,
                always: false,
                fixed: false,
            },
            tail,
        );
    }

    fn block(&mut self, section: &Section) -> Result<(), Error> {
        if self.parsed.metadata.is_some() {
            return Err(Error::BadMetadata("it stands twice".into()));
        }
        let text = self.text;
        let mut start = section.start;
        // Without a line break at the end of the file both before the block are ours.
        let open = section.end == text.len() && !text.ends_with('\n');
        for _ in 0..=usize::from(open) {
            if text[..start].ends_with("\n\n") || (start < section.start || open) && text[..start].ends_with('\n') {
                start -= 1;
            }
        }
        self.parsed.layout.blocks.push(start..section.end);
        let mut pairs = Vec::new();
        for Key { name, value, span, .. } in &section.keys {
            if let Some(stamp) = ["mac", "lastmodified"].into_iter().find(|stamp| stamp == name) {
                self.parsed.layout.stamps.push((stamp, span.clone()));
            }
            pairs.push((name.clone(), value.clone()));
        }
        let raw = unflatten(&pairs).ok_or_else(|| Error::BadMetadata("its keys contradict each other".into()))?;
        self.parsed.metadata = Some(Metadata { raw });
        Ok(())
    }
}
