//! What the fuzz targets of tests/fuzz call: whole round trips, which stop at the first thing that does not come back.
#![allow(clippy::panic, reason = "stopping is how a target says that it found something")]

use contract::Pointer;
use serde_json::Value as Json;

use crate::Error;
use crate::document::SopsDocument;
use crate::format::{Block, Format, Parsed, Put, Side, Slot, Style, format_named};
use crate::proof::{comes_back, put, remove};
use crate::sops::{Cipher, CryptRule, DataKey, EncText, Metadata, Opened, Reuse, SealedSlot, Value, open, seal};

/// What is put into texts: not to be written without quotes.
const NEW: &str = "new # \"value\"";

/// A text of a format in clear: if it can be encrypted at all, it has to come back, byte for byte where formatting is kept, and
/// a second encryption has to give the same ciphertexts.
pub fn document(format: &str, bytes: &[u8]) {
    let Some(format) = format_named(format) else { panic!("no format {format}") };
    // The same bytes as an encrypted file: whatever they are, an answer and no more.
    if let Ok(parsed) = format.parse(bytes, Side::Sealed)
        && let Some(metadata) = &parsed.metadata
    {
        let key = DataKey::from_bytes(&[7; 32]).map(Cipher::new);
        let _ = key.map(|cipher| open(&parsed, metadata, &cipher).is_ok());
        let _ = metadata.groups();
        let _ = format.render(bytes, &parsed, &[], &Block::Remove);
    }
    let Ok(plain) = format.parse(bytes, Side::Plain) else { return };
    if plain.metadata.is_some() {
        return;
    }
    match round_trip(format, bytes) {
        Ok(()) => {}
        // Refusals that say what they refuse.
        Err(
            Error::Alias { .. }
            | Error::LooksEncrypted { .. }
            | Error::Unsupported(_)
            | Error::Syntax { .. }
            | Error::BadMetadata(_),
        ) => {}
        // What would not read back is refused before anything is written; what people usually write may not be.
        Err(Error::RoundTrip(_)) if is_odd(format, bytes) => {}
        Err(error) => panic!("{}: {error}", error.code()),
    }
}

fn round_trip(format: &'static dyn Format, bytes: &[u8]) -> Result<(), Error> {
    let plain = format.parse(bytes, Side::Plain)?;
    let Some(cipher) = DataKey::from_bytes(&[7; 32]).map(Cipher::new) else { return Ok(()) };
    let rule = CryptRule::usual();
    let sealed = seal(&plain, &rule, false, &cipher, Reuse::default(), false)?;
    let mut metadata = Metadata::new(&rule, false);
    metadata.set_mac(cipher.encrypt_mac(&sealed.mac, "2020-01-01T00:00:00Z")?, "2020-01-01T00:00:00Z".into());
    let encs = sealed.slots.into_iter().enumerate().filter_map(|(index, slot)| match slot {
        SealedSlot::Enc(text) => Some((index, Put::Enc(text))),
        SealedSlot::Keep => None,
    });
    let encs: Vec<_> = encs.collect();
    let (text, read) = format.render_and_read(bytes, &plain, &encs, &Block::Write(&metadata))?;
    comes_back(format, bytes, &plain, &encs, (&text, &read))?;
    // From here on nothing may fail: what was written has to be what is read.
    let fail = |error: Error| -> ! { panic!("{}: {error}\n{}", error.code(), String::from_utf8_lossy(&text)) };
    let read = format.parse(&text, Side::Sealed).unwrap_or_else(|error| fail(error));
    let Some(block) = &read.metadata else { panic!("the block is lost\n{}", String::from_utf8_lossy(&text)) };
    let opened = open(&read, block, &cipher).unwrap_or_else(|error| fail(error));
    assert_eq!(opened.mac, sealed.mac, "another MAC");
    let puts: Vec<_> = opened
        .values
        .iter()
        .enumerate()
        .filter_map(|(index, value)| Some((index, Put::Plain(value.clone()?))))
        .collect();
    let back = format.render(&text, &read, &puts, &Block::Remove).unwrap_or_else(|error| fail(error));
    let again = format.parse(&back, Side::Plain).unwrap_or_else(|error| fail(error));
    let values = |parsed: &Parsed| {
        let slots = parsed.slots.iter().filter(|slot| !slot.is_comment());
        slots.map(|slot| (slot.pointer.clone(), slot.value.bytes.to_vec())).collect::<Vec<_>>()
    };
    assert_eq!(values(&again), values(&plain), "other values\n{}", String::from_utf8_lossy(&text));
    if keeps_bytes(format, &plain) {
        assert!(*back == *bytes, "other bytes\n{}\n{}", String::from_utf8_lossy(&text), String::from_utf8_lossy(&back));
    }
    // The same MAC and time leave everything as it is; a block that is written anew, as for other recipients, leaves the document.
    let stamped = format.render(&text, &read, &[], &Block::Stamp(block)).unwrap_or_else(|error| fail(error));
    assert!(*stamped == *text, "a stamp changes more than itself");
    let rewritten = format.render(&text, &read, &[], &Block::Write(block)).unwrap_or_else(|error| fail(error));
    let reread = format.parse(&rewritten, Side::Sealed).unwrap_or_else(|error| fail(error));
    let same = format.render(&rewritten, &reread, &puts, &Block::Remove).unwrap_or_else(|error| fail(error));
    assert!(*same == *back, "a new block changes the document\n{}", String::from_utf8_lossy(&rewritten));
    edits(format, bytes, &plain);
    sealed_edits(format, &text, &opened);
    let reuse = Reuse::of(&read, &opened);
    let second = seal(&plain, &rule, false, &cipher, reuse, false)?;
    let fresh = second.slots.iter().zip(&read.slots).filter(|(slot, _)| matches!(slot, SealedSlot::Enc(_)));
    for (slot, old) in fresh {
        let SealedSlot::Enc(new) = slot else { continue };
        assert!(old.enc_text().as_ref() == Some(new), "a ciphertext is not used again: {new}");
    }
    Ok(())
}

/// Marks of documents that nobody writes by accident, and that may be refused.
fn is_odd(format: &dyn Format, bytes: &[u8]) -> bool {
    let marks: &[&str] = match format.name() {
        "yaml" => &["\t", "{", "[", "&", "*", "? ", "!"],
        "ini" => &["`", "\"\"\"", "\\"],
        _ => &[],
    };
    let text = String::from_utf8_lossy(bytes);
    marks.iter().any(|mark| text.contains(mark))
}

/// What is put into a text in clear, or taken away, is the only thing that changes.
fn edits(format: &dyn Format, bytes: &[u8], plain: &Parsed) {
    // In INI, whether a comment behind a value is a part of the one above depends on the quotes of the value.
    let comments = |parsed: &Parsed| {
        let comments = parsed.slots.iter().filter(|slot| slot.is_comment());
        let mut letters: Vec<u8> = comments.flat_map(|slot| slot.value.bytes.to_vec()).collect();
        letters.retain(u8::is_ascii_alphanumeric);
        letters.sort_unstable();
        String::from_utf8(letters)
    };
    let values = |parsed: &Parsed, without: &Pointer| {
        let others = parsed.slots.iter().filter(|slot| !slot.is_comment() && slot.pointer != *without);
        others.map(|slot| (slot.path.clone(), slot.value.bytes.to_vec())).collect::<Vec<_>>()
    };
    for slot in plain.slots.iter().filter(|slot| !slot.is_comment() && !slot.fixed).take(8) {
        let pointer = &slot.pointer;
        if let Ok(text) = put(format, bytes, pointer, &Json::from(NEW)) {
            let shown = String::from_utf8_lossy(&text);
            let Ok(read) = format.parse(&text, Side::Sealed) else { panic!("put at {pointer} breaks it\n{shown}") };
            let found = read.slots.iter().find(|slot| !slot.is_comment() && slot.pointer == *pointer);
            assert!(found.is_some_and(|slot| slot.value.as_text() == Some(NEW)), "{pointer}\n{shown}");
            assert_eq!(values(&read, pointer), values(plain, pointer), "put at {pointer}\n{shown}");
            assert_eq!(comments(&read), comments(plain), "a comment is lost by a put at {pointer}\n{shown}");
        }
        if let Ok(text) = remove(format, bytes, pointer) {
            // Elements behind it move up, so that the pointer of one may be that of another now.
            let count = |parsed: &Parsed| parsed.slots.iter().filter(|slot| !slot.is_comment()).count();
            let shown = String::from_utf8_lossy(&text);
            let Ok(read) = format.parse(&text, Side::Sealed) else { panic!("removal at {pointer} breaks it\n{shown}") };
            assert_eq!(count(&read) + 1, count(plain), "removal at {pointer}\n{shown}");
        }
    }
}

/// What is put where, and what is taken away.
type Edit<'a> = (&'a [(Pointer, Json)], &'a [Pointer]);

/// The same in an encrypted file, as `set` and `unset` do it.
fn sealed_edits(format: &'static dyn Format, text: &[u8], opened: &Opened) {
    let read = || {
        let document = SopsDocument::parse(format, text.to_vec()).ok()?;
        document.open_with(DataKey::from_bytes(&[7; 32])?).ok()
    };
    let Some(document) = read() else { panic!("it does not open\n{}", String::from_utf8_lossy(text)) };
    let values: Vec<_> = document.document.parsed.slots.iter().zip(&opened.values).collect();
    for (slot, _) in values.iter().filter(|(slot, _)| !slot.is_comment() && !slot.fixed).take(3) {
        let edits: [Edit; 2] =
            [(&[(slot.pointer.clone(), Json::from(NEW))], &[]), (&[], std::slice::from_ref(&slot.pointer))];
        for (puts, removes) in edits {
            let Ok(Some(edited)) = document.edited(puts, removes) else { continue };
            let shown = String::from_utf8_lossy(&edited).into_owned();
            let again = SopsDocument::parse(format, edited.to_vec()).ok();
            let again = again.and_then(|document| document.open_with(DataKey::from_bytes(&[7; 32])?).ok());
            let Some(again) = again else { panic!("an edit at {} does not open\n{shown}", slot.pointer) };
            let plain = again.plaintext().unwrap_or_else(|error| panic!("{}: {error}\n{shown}", error.code()));
            assert!(
                format.parse(&plain, Side::Sealed).is_ok(),
                "an edit at {} is not decrypted\n{shown}",
                slot.pointer
            );
            let count =
                again.opened.values.iter().zip(&again.document.parsed.slots).filter(|(_, slot)| !slot.is_comment());
            let before = values.iter().filter(|(slot, _)| !slot.is_comment()).count();
            assert_eq!(count.count() + removes.len(), before, "an edit at {}\n{shown}", slot.pointer);
            // Where nothing is written anew, the ciphertext stays.
            let kept = |(other, _): &&(&Slot, &Option<Value>)| !other.is_comment() && other.pointer != slot.pointer;
            for (other, _) in values.iter().filter(kept) {
                if let (Some(enc), false) = (other.enc_text(), format.name() == "ini") {
                    // Over several lines, or in other quotes, it is the same.
                    assert!(
                        again.document.parsed.slots.iter().any(|new| new.enc_text().as_ref() == Some(&enc)),
                        "another ciphertext\n{shown}"
                    );
                }
            }
        }
    }
}

/// Whether a document comes back byte for byte. YAML and JSON have spellings of one value (numbers, escapes, folded text), and in
/// INI a value that ends in a backslash needs quotes where no comment follows it.
fn keeps_bytes(format: &dyn Format, plain: &Parsed) -> bool {
    let backslash = |slot: &Slot| slot.style == Style::Plain && slot.value.bytes.ends_with(b"\\");
    format.name() == "dotenv" || format.name() == "ini" && !plain.slots.iter().any(backslash)
}

/// The text of an encrypted value: whatever it is, an answer; what is read is written the same.
pub fn enc_text(text: &str) {
    let Some(enc) = EncText::parse(text) else { return };
    let written = enc.to_string();
    assert_eq!(EncText::parse(&written).as_ref(), Some(&enc), "{written}");
}

/// The corpus of tests/fuzz and mutations of it, without instrumentation: what a fuzzer found once is tried in every run.
/// `FUZZ_SECONDS` makes it longer.
#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::panic)]
    use std::path::Path;
    use std::time::{Duration, Instant};

    /// What makes each format turn another way.
    const TOKENS: [&str; 30] = [
        "\n", "\r\n", " ", "  ", "\t", ":", ": ", "- ", "#", " #", "; ", "|\n", ">-\n", "|2\n", "\"", "'", "`",
        "\"\"\"", "=", "[", "]", "{", "}", ",", "&a ", "*a", "!!str ", "---\n", "sops", "\\",
    ];

    /// How many inputs are tried where no time is given.
    const INPUTS: usize = 500;

    struct Dice(u64);

    impl Dice {
        fn below(&mut self, limit: usize) -> usize {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            (self.0 % limit.max(1) as u64) as usize
        }
    }

    fn mutate(bytes: &mut Vec<u8>, others: &[Vec<u8>], dice: &mut Dice) {
        for _ in 0..=dice.below(4) {
            let at = dice.below(bytes.len() + 1);
            let to = (at + dice.below(12)).min(bytes.len());
            match dice.below(6) {
                0 => drop(bytes.drain(at..to)),
                1 => {
                    let part = bytes[at..to].to_vec();
                    let place = dice.below(bytes.len() + 1);
                    bytes.splice(place..place, part);
                }
                2 => {
                    let other = &others[dice.below(others.len())];
                    let from = dice.below(other.len() + 1);
                    let part = other[from..(from + dice.below(40)).min(other.len())].to_vec();
                    bytes.splice(at..at, part);
                }
                3 if at < bytes.len() => bytes[at] = b' ' + dice.below(95) as u8,
                _ => drop(bytes.splice(at..at, TOKENS[dice.below(TOKENS.len())].bytes())),
            }
        }
    }

    fn run(target: &str, call: impl Fn(&[u8])) {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fuzz/corpus").join(target);
        let mut corpus: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        corpus.sort();
        let corpus: Vec<Vec<u8>> = corpus.iter().map(|path| std::fs::read(path).unwrap()).collect();
        let check = |bytes: Vec<u8>| {
            let fails = |bytes: &[u8]| std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| call(bytes))).is_err();
            if fails(&bytes) {
                std::panic::set_hook(Box::new(|_| {}));
                let bytes = shortened(bytes, fails);
                drop(std::panic::take_hook());
                panic!("{target} fails for {:?}", String::from_utf8_lossy(&bytes));
            }
        };
        corpus.iter().cloned().for_each(check);
        // Without a time it is always the same inputs, so that a test is red everywhere or nowhere.
        let seconds = std::env::var("FUZZ_SECONDS").ok().and_then(|text| text.parse().ok());
        let mut left = seconds.map_or(INPUTS, |_| usize::MAX);
        let seed = std::env::var("FUZZ_SEED").ok().and_then(|text| text.parse().ok()).unwrap_or(0x9e37_79b9_7f4a_7c15);
        let (begun, mut dice) = (Instant::now(), Dice(seed));
        while left > 0 && begun.elapsed() < Duration::from_secs(seconds.unwrap_or(u64::MAX)) {
            left -= 1;
            let mut bytes = corpus[dice.below(corpus.len())].clone();
            mutate(&mut bytes, &corpus, &mut dice);
            check(bytes);
        }
    }

    /// An input without what it fails without as well.
    fn shortened(mut bytes: Vec<u8>, fails: impl Fn(&[u8]) -> bool) -> Vec<u8> {
        for length in [64, 16, 4, 1, 1, 1] {
            let mut at = 0;
            while at < bytes.len() {
                let mut fewer = bytes.clone();
                fewer.drain(at..(at + length).min(bytes.len()));
                if fails(&fewer) { bytes = fewer } else { at += length }
            }
        }
        bytes
    }

    #[test]
    fn yaml() {
        run("secrets-yaml", |bytes| super::document("yaml", bytes));
    }

    #[test]
    fn json() {
        run("secrets-json", |bytes| super::document("json", bytes));
    }

    #[test]
    fn dotenv() {
        run("secrets-dotenv", |bytes| super::document("dotenv", bytes));
    }

    #[test]
    fn ini() {
        run("secrets-ini", |bytes| super::document("ini", bytes));
    }

    #[test]
    fn enc() {
        run("secrets-enc", |bytes| super::enc_text(&String::from_utf8_lossy(bytes)));
    }
}
