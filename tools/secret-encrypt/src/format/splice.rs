//! Putting values and the `sops` block into a text: the part that is the same in every format made of lines and words.

use std::ops::Range;

use serde_json::Value as Json;
use zeroize::Zeroizing;

use super::{Block, Layout, Parsed, Put, Text, text_of};
use crate::Error;
use crate::sops::Metadata;

/// A range of a text and what comes in its place.
pub(super) type Edit = (Range<usize>, Zeroizing<String>);

/// What each format does in its own way.
pub(super) trait Splice {
    /// Puts something into a slot.
    fn put_slot(
        &self,
        text: &str,
        parsed: &Parsed,
        index: usize,
        put: &Put,
        edits: &mut Vec<Edit>,
    ) -> Result<(), Error>;

    /// A new MAC or time (`key` says which) as it is written in the place of the old one.
    fn stamp(&self, key: &str, value: &str, old: &str) -> Result<String, Error>;

    /// Writes the block, in the place of the one that is there or for the first time.
    fn write_block(&self, text: &str, parsed: &Parsed, metadata: &Metadata, edits: &mut Vec<Edit>)
    -> Result<(), Error>;
}

/// The text with some slots replaced and the block changed.
pub(super) fn rendered(
    own: &impl Splice,
    bytes: &[u8],
    parsed: &Parsed,
    puts: &[(usize, Put)],
    block: &Block,
) -> Result<Text, Error> {
    let text = text_of(bytes)?;
    let mut edits = Vec::with_capacity(puts.len() + 4);
    for (index, put) in puts {
        own.put_slot(text, parsed, *index, put, &mut edits)?;
    }
    match block {
        Block::Remove => remove_blocks(&parsed.layout, &mut edits),
        Block::Write(metadata) => own.write_block(text, parsed, metadata, &mut edits)?,
        Block::Stamp(metadata) => {
            for (key, range) in &parsed.layout.stamps {
                let value = metadata.raw.get(*key).and_then(Json::as_str).unwrap_or_default();
                let new = own.stamp(key, value, &text[range.clone()])?;
                edits.push((range.clone(), Zeroizing::new(new)));
            }
        }
    }
    Ok(splice(text, edits))
}

/// Takes the block away, with everything that would be left over without it.
pub(super) fn remove_blocks(layout: &Layout, edits: &mut Vec<Edit>) {
    edits.extend(layout.blocks.iter().map(|range| (range.clone(), Zeroizing::new(layout.rest.to_owned()))));
}

/// A block of lines in the place of an old one. The line breaks before the old one and behind it stay as they are.
pub(super) fn replace_lines(text: &str, old: Range<usize>, new: &str) -> Edit {
    let lead = text[old.clone()].len() - text[old.clone()].trim_start_matches(['\r', '\n']).len();
    let new = if text[old.clone()].ends_with('\n') { new } else { new.trim_end() };
    (old.start + lead..old.end, Zeroizing::new(new.to_owned()))
}

/// Replaces ranges of a text. They are given in any order and do not overlap.
pub(super) fn splice(text: &str, mut edits: Vec<Edit>) -> Zeroizing<Vec<u8>> {
    edits.sort_by_key(|(range, _)| (range.start, range.end));
    let grown: usize = edits.iter().map(|(_, new)| new.len()).sum();
    // One allocation: a buffer that grows leaves copies of secrets behind.
    let mut out = Zeroizing::new(Vec::with_capacity(text.len() + grown));
    let mut at = 0;
    for (range, new) in &edits {
        out.extend_from_slice(text.get(at..range.start).unwrap_or_default().as_bytes());
        out.extend_from_slice(new.as_bytes());
        at = at.max(range.end);
    }
    out.extend_from_slice(text.get(at..).unwrap_or_default().as_bytes());
    out
}

/// Where the line of a place begins.
pub(super) fn line_start(text: &str, at: usize) -> usize {
    text[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// Behind the line break of the line of a place.
pub(super) fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline + 1)
}
