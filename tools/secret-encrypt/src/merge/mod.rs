//! Two states of one encrypted file that came from a third, as one: values by key, recipients by name.

mod lines;
mod tree;

use contract::Pointer;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use crate::Error;
use crate::creation_rules::CreationRule;
use crate::document::{OpenDocument, SopsDocument};
use crate::format::Format;
use crate::keys::Identities;

pub(crate) use tree::{Conflict, Favor};

/// What came of a merge.
pub(crate) struct Merged {
    /// The new text; `None` if it is ours as it stands.
    pub bytes: Option<Zeroizing<Vec<u8>>>,
    /// Values that are different from ours now.
    pub updated: Vec<Pointer>,
    /// Values that ours did not have.
    pub added: Vec<Pointer>,
    /// Values that ours has no longer.
    pub removed: Vec<Pointer>,
    /// What both sides changed differently; ours is kept there.
    pub conflicts: Vec<Conflict>,
}

impl Merged {
    fn with(bytes: Option<Zeroizing<Vec<u8>>>) -> Self {
        let none = Vec::new;
        Self { bytes, updated: none(), added: none(), removed: none(), conflicts: Vec::new() }
    }
}

/// Merges. An empty base is that of a file that both sides added.
///
/// # Errors
/// Where a side is no SOPS file or cannot be opened.
pub(crate) fn merge(
    format: &'static dyn Format,
    base: &[u8],
    ours: &[u8],
    theirs: &[u8],
    favor: Favor,
    identities: impl FnOnce() -> Result<Identities, Error>,
) -> Result<Merged, Error> {
    // Whoever holds no key can still merge what one side alone touched.
    if ours == theirs || base == theirs {
        return Ok(Merged::with(None));
    }
    if base == ours {
        return Ok(Merged::with(Some(Zeroizing::new(theirs.to_vec()))));
    }
    let identities = identities()?;
    let open = |bytes: &[u8]| SopsDocument::parse(format, bytes.to_vec())?.open(&identities);
    let base = if base.trim_ascii().is_empty() { None } else { Some(open(base)?) };
    let sides = Sides { base, ours: open(ours)?, theirs: open(theirs)? };
    sides.merge(format, favor)
}

struct Sides {
    base: Option<OpenDocument>,
    ours: OpenDocument,
    theirs: OpenDocument,
}

/// One side or the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Ours,
    Theirs,
}

impl Sides {
    fn merge(self, format: &'static dyn Format, favor: Favor) -> Result<Merged, Error> {
        let block = || Conflict::new(Pointer::root().join("sops"), "both sides changed the sops block (keys or rules)");
        let Some(primary) = self.primary() else {
            return Ok(Merged { conflicts: vec![block()], ..Merged::with(None) });
        };
        let json = |document: &OpenDocument| -> Result<Json, Error> {
            let plain = document.plaintext()?;
            // What has no places inside is one value.
            Ok(match format.read_json(&plain) {
                Ok(json) => json,
                Err(_) => Json::Array(plain.iter().map(|byte| Json::from(*byte)).collect()),
            })
        };
        let base = self.base.as_ref().map(json).transpose()?;
        let (ours, theirs) = (json(&self.ours)?, json(&self.theirs)?);
        let outcome = tree::merge(base.as_ref(), &ours, &theirs, favor);
        let (document, other, own) = match primary {
            Side::Ours => (&self.ours, &self.theirs, &ours),
            Side::Theirs => (&self.theirs, &self.ours, &theirs),
        };
        let reuse = document.same_key(other).then_some(other);
        let as_it_stands = || Zeroizing::new(document.document.bytes.clone());
        let mut bytes = match self.by_lines(format, &outcome, document, reuse)? {
            Some(merged) => merged,
            None => {
                let changes = tree::changes(own, &outcome.tree);
                if changes.puts.iter().any(|(pointer, _)| pointer.as_str().is_empty()) {
                    // The file as a whole (binary, several documents) is one value, which both sides changed.
                    let conflicts = vec![Conflict::new(Pointer::root(), tree::BOTH)];
                    return Ok(Merged { conflicts, ..Merged::with(None) });
                }
                document.edited_beside(&changes.puts, &changes.removes, reuse)?.unwrap_or_else(as_it_stands)
            }
        };
        if let Some(recipients) = self.recipients().filter(|recipients| *recipients != names(document)) {
            let rule = CreationRule::of(recipients.iter().map(|text| text.parse()).collect::<Result<_, _>>()?);
            let reopened = SopsDocument::parse(format, bytes.to_vec())?.open_with(document.key())?;
            bytes = reopened.rekeyed(&rule, false)?.unwrap_or(bytes);
        }
        let bytes = (*bytes != self.ours.document.bytes).then_some(bytes);
        let seen = tree::changes(&ours, &outcome.tree);
        let (mut added, mut updated) = (Vec::new(), Vec::new());
        for (pointer, _) in seen.puts {
            if ours.pointer(pointer.as_str()).is_some() { updated.push(pointer) } else { added.push(pointer) }
        }
        Ok(Merged { bytes, updated, added, removed: seen.removes, conflicts: outcome.conflicts })
    }

    /// The text merged line by line, which also keeps the comments of both sides, if it means what the merge of values means.
    fn by_lines(
        &self,
        format: &'static dyn Format,
        outcome: &tree::Outcome,
        document: &OpenDocument,
        reuse: Option<&OpenDocument>,
    ) -> Result<Option<Zeroizing<Vec<u8>>>, Error> {
        if !outcome.conflicts.is_empty() {
            return Ok(None);
        }
        let base = self.base.as_ref().map(OpenDocument::plaintext).transpose()?.unwrap_or_default();
        let Some(text) = lines::merge(&base, &self.ours.plaintext()?, &self.theirs.plaintext()?) else {
            return Ok(None);
        };
        match format.read_json(&text) {
            Ok(json) if json == outcome.tree => {
                let replaced = document.replaced_beside(&text, reuse)?;
                Ok(Some(replaced.unwrap_or_else(|| Zeroizing::new(document.document.bytes.clone()))))
            }
            _ => Ok(None),
        }
    }

    /// Whose data key and rule the result has: those of the side that changed them. `None` if both did.
    fn primary(&self) -> Option<Side> {
        let shape = |document: &OpenDocument| {
            let mut raw = document.document.metadata.raw.clone();
            for key in ["age", "mac", "lastmodified", "version"] {
                raw.remove(key);
            }
            raw.retain(|_, value| !matches!(value, Json::Null) && !value.as_array().is_some_and(Vec::is_empty));
            raw
        };
        let mut wanted = Vec::new();
        let base = self.base.as_ref();
        if shape(&self.ours) != shape(&self.theirs) {
            match base {
                Some(base) if shape(base) == shape(&self.ours) => wanted.push(Side::Theirs),
                Some(base) if shape(base) == shape(&self.theirs) => wanted.push(Side::Ours),
                _ => return None,
            }
        }
        if !self.ours.same_key(&self.theirs) && base.is_some_and(|base| base.same_key(&self.ours)) {
            wanted.push(Side::Theirs);
        } else if !self.ours.same_key(&self.theirs) {
            wanted.push(Side::Ours);
        }
        wanted.dedup();
        match wanted.as_slice() {
            [] => Some(Side::Ours),
            [side] => Some(*side),
            _ => None,
        }
    }

    /// Who can read the result: ours, with whom theirs added and without whom theirs took away. `None` where there are key
    /// groups, which are kept as they are, and where nobody would be left.
    fn recipients(&self) -> Option<Vec<String>> {
        let all = [self.base.as_ref(), Some(&self.ours), Some(&self.theirs)];
        if all.into_iter().flatten().any(|document| document.document.metadata.groups().len() > 1) {
            return None;
        }
        let (base, ours, theirs) =
            (self.base.as_ref().map(names).unwrap_or_default(), names(&self.ours), names(&self.theirs));
        let kept = ours.iter().filter(|name| theirs.contains(name) || !base.contains(name));
        let added = theirs.iter().filter(|name| !ours.contains(name) && !base.contains(name));
        Some(kept.chain(added).cloned().collect::<Vec<_>>()).filter(|recipients| !recipients.is_empty())
    }
}

/// Its age recipients.
fn names(document: &OpenDocument) -> Vec<String> {
    document.document.metadata.recipients()
}
