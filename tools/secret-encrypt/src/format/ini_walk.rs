//! The walk over an INI text that finds every value and comment, its place and its path.
//!
//! To sops all comments before a key or header, and the one behind it, are one text. It is encrypted as one, because of
//! several it would decrypt the first only. What go-ini does not keep of it (blank lines, indentation, that a line stood
//! behind the value) goes into that text in lines that begin with a blank, which no other line of it can.

use std::ops::Range;

use contract::Pointer;
use zeroize::Zeroizing;

use super::ini::BLOCK;
use super::ini_text::{self, Key, Piece, Section, bom};
use super::splice::line_start;
use super::{Comments, Layout, Parsed, Slot, Style};
use crate::Error;
use crate::sops::{EncText, Metadata, Value, unflatten};

/// How a comment begins that stood behind a header, and had a line of its own only while it was encrypted.
pub(super) const BEHIND_HEADER: &[u8] = b"  \n\t";

/// The text of a comment without its mark, as sops takes it off.
fn unmarked(comment: &str) -> &str {
    match comment.as_bytes().first() {
        Some(b';') => comment.trim_start_matches([';', ' ']),
        Some(b'#') => comment.trim_start_matches(['#', ' ']),
        _ => comment,
    }
}

/// Every value, comment and the block of an INI text.
pub(super) fn parse(text: &str) -> Result<Parsed, Error> {
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
        let pointer = Pointer::root().join(section.in_pointer());
        if section.keys.is_empty() {
            self.parsed.layout.collections.push((pointer.clone(), "a section"));
        }
        let mut active =
            self.comment(&section.comment, &path, Some(section.anchor), Comments::default(), Some(section.start));
        for key in &section.keys {
            self.push(
                Slot {
                    comments: std::mem::take(&mut active),
                    style: key.style,
                    ..Slot::new(
                        pointer.join(&key.name),
                        vec![section.name.clone(), key.name.clone()],
                        Value::text(&key.value),
                        key.span.clone(),
                    )
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

    /// Makes the slots of a comment; the texts that are in force behind it. `anchor` is where what stands behind a value or
    /// header goes, `header` where the line of the header begins.
    fn comment(
        &mut self,
        pieces: &[Piece],
        path: &[String],
        anchor: Option<usize>,
        mut active: Comments,
        header: Option<usize>,
    ) -> Comments {
        let raw = |piece: &Piece| &self.text[piece.range.clone()];
        let encrypted = pieces.iter().any(|piece| EncText::parse(unmarked(raw(piece))).is_some());
        match (pieces, anchor, header) {
            ([piece], Some(anchor), Some(start)) if piece.inline => {
                let stop = piece.range.start + raw(piece).trim_end().len();
                let own = format!("  \n\t{}", &self.text[anchor..stop]);
                self.comment_slot(own, start..start, path, &mut active, Some(anchor..stop));
            }
            _ if encrypted || pieces.iter().all(|piece| piece.inline) => {
                self.comments_apart(pieces, path, anchor, &mut active);
            }
            _ => self.comment_of_lines(pieces, path, anchor, &mut active),
        }
        active
    }

    /// Another program, or a person, put more beside an encrypted comment: each piece is a comment of its own.
    fn comments_apart(&mut self, pieces: &[Piece], path: &[String], anchor: Option<usize>, active: &mut Comments) {
        let alone = !pieces.iter().any(|piece| piece.inline);
        for piece in pieces {
            let raw = self.text[piece.range.clone()].trim_end();
            let end = piece.range.start + raw.len();
            let own = unmarked(raw);
            let tail = anchor.filter(|_| alone).unwrap_or(end);
            let tail = (!piece.inline).then_some(tail..tail);
            self.comment_slot(own.to_owned(), end - own.len()..end, path, active, tail);
        }
    }

    /// Lines of their own, and what stands behind the value or header: one text, with all that go-ini would not keep of it.
    fn comment_of_lines(&mut self, pieces: &[Piece], path: &[String], anchor: Option<usize>, active: &mut Comments) {
        let text = self.text;
        let raw = |piece: &Piece| &text[piece.range.clone()];
        let solid_end = |piece: &Piece| piece.range.start + raw(piece).trim_end().len();
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
            end = solid_end(piece);
        }
        own.truncate(own.trim_end().len());
        let mut tail = anchor.map_or(end..end, |at| at..at);
        if let Some(piece) = pieces.iter().find(|piece| piece.inline) {
            tail = anchor.unwrap_or(piece.range.start)..solid_end(piece);
            own.push_str("\n\t");
            own.push_str(&text[tail.clone()]);
        }
        if own.starts_with('\n') {
            // A first line without text: go-ini cannot write a comment that begins with a line break.
            own.insert(0, ' ');
        }
        self.comment_slot(own, start..end, path, active, Some(tail));
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
                elsewhere,
                comments: active.clone(),
                style: Style::Comment,
                ..Slot::new(pointer, path.to_vec(), value, span)
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

/// A decrypted comment as lines, and what of it stands behind the value.
pub(super) fn comment_lines(
    text: &str,
    slot: &Slot,
    value: &Value,
    has_tail: bool,
) -> (Zeroizing<String>, Zeroizing<String>) {
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
