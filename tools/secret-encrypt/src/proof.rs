//! What is read again before it is written: nothing leaves the program that would not come back, and an edit changes what it
//! names and nothing else. Formats splice texts; that they did it well is proven here, for every document and not for some.

use contract::Pointer;
use serde_json::Value as Json;
use zeroize::Zeroizing;

use crate::Error;
use crate::format::{Block, Format, Parsed, Put, Side, Slot, Style, value_of};
use crate::sops::{Cipher, Kind, Value, open};

/// Whether what was encrypted, and was read as `read`, would be decrypted to the same values.
///
/// # Errors
/// [`Error::RoundTrip`] where it would not.
pub(crate) fn comes_back(
    format: &dyn Format,
    plain: &[u8],
    parsed: &Parsed,
    puts: &[(usize, Put)],
    (text, read): (&[u8], &Parsed),
) -> Result<(), Error> {
    if format.name() == "binary" {
        return Ok(());
    }
    let clear = puts.iter().map(|(index, _)| (*index, Put::Plain(parsed.slots[*index].value.clone())));
    let clear: Vec<_> = clear.collect();
    // Nearly always it is the same text, which needs no third look.
    if format.spliced(text, read, &clear, &Block::Remove).is_ok_and(|back| *back == *plain) {
        return Ok(());
    }
    let back = format.render(text, read, &clear, &Block::Remove)?;
    let again = format.parse(&back, Side::Plain).map_err(|_| Error::RoundTrip(None))?;
    // A number of JSON that is whole may be written in another way, and be of the other kind then.
    let kind =
        |value: &Value| if format.name() == "json" && value.kind == Kind::Int { Kind::Float } else { value.kind };
    let agree = |wanted: &Value, found: &Value| wanted.bytes == found.bytes && kind(wanted) == kind(found);
    same(values(&parsed.slots), values(&again.slots), agree)?;
    // What a comment of INI is depends on the quotes of the value before it.
    if format.name() != "ini" && comments(parsed) != comments(&again) {
        return Err(Error::RoundTrip(None));
    }
    Ok(())
}

/// Whether an encrypted text opens with its key, has its values at the places where `parsed` has them, and can be decrypted.
///
/// # Errors
/// [`Error::RoundTrip`] where it does not.
pub(crate) fn opens(format: &dyn Format, parsed: &Parsed, text: &[u8], cipher: &Cipher) -> Result<(), Error> {
    let broken = |_| Error::RoundTrip(None);
    let read = format.parse(text, Side::Sealed).map_err(broken)?;
    let block = read.metadata.as_ref().ok_or(Error::RoundTrip(None))?;
    let opened = open(&read, block, cipher).map_err(broken)?;
    // The MAC says that the values are those which were sealed, and in the same order.
    let places = |parsed: &Parsed| {
        let slots = parsed.slots.iter().filter(|slot| is_value(slot));
        slots.map(|slot| slot.pointer.clone()).collect::<Vec<_>>()
    };
    if places(&read) != places(parsed) {
        return Err(Error::RoundTrip(None));
    }
    if format.name() == "binary" {
        return Ok(());
    }
    let clear = opened.values.iter().enumerate();
    let clear: Vec<_> = clear.filter_map(|(index, value)| Some((index, Put::Plain(value.clone()?)))).collect();
    let plain = match format.render(text, &read, &clear, &Block::Remove) {
        Ok(plain) => format.parse(&plain, Side::Sealed).map_err(broken)?,
        // Another program encrypted what the format cannot hold in clear; each value can still be had alone.
        Err(Error::Unsupported(_)) => return Ok(()),
        Err(error) => return Err(error),
    };
    let slots = read.slots.iter().zip(&opened.values).filter(|(slot, _)| is_value(slot));
    let wanted = slots.map(|(slot, value)| (&slot.pointer, value.as_ref().unwrap_or(&slot.value)));
    // Another program may have encrypted what a format holds as text, or whole, as another kind.
    same(wanted, values(&plain.slots), |wanted, found| wanted.for_programs() == found.for_programs())
}

/// The text with a value (any JSON) at a pointer, and nothing else changed.
///
/// # Errors
/// Where the format or the place cannot hold it.
pub(crate) fn put(
    format: &dyn Format,
    bytes: &[u8],
    pointer: &Pointer,
    json: &Json,
) -> Result<Zeroizing<Vec<u8>>, Error> {
    if let ("ini", Json::Object(members)) = (format.name(), json) {
        // A section goes on having what else it has.
        let whole = Zeroizing::new(bytes.to_vec());
        return members.iter().try_fold(whole, |bytes, (key, value)| put(format, &bytes, &pointer.join(key), value));
    }
    let changed = format.put(bytes, pointer, json)?;
    if format.name() == "binary" {
        return Ok(changed);
    }
    let no_place = || Error::NoPlace { pointer: pointer.clone() };
    let before = format.parse(bytes, Side::Sealed)?;
    let after = format.parse(&changed, Side::Sealed).map_err(|_| no_place())?;
    // "-" stands for the element behind the last.
    let place = match pointer.as_str().strip_suffix("/-") {
        Some(list) => Pointer::parse(list).join(elements(&before, list)),
        None => pointer.clone(),
    };
    let inside = |slot: &&Slot| is_below(&slot.pointer, &place) || is_below(&slot.pointer, pointer);
    // Where there was nothing, a collection may be now.
    let makes_way = |slot: &&Slot| slot.value.kind == Kind::Null && is_below(pointer, &slot.pointer);
    let others = |parsed: &Parsed| {
        let slots = parsed.slots.iter().filter(|slot| is_value(slot) && !inside(slot) && !makes_way(slot));
        slots.map(|slot| (slot.pointer.clone(), slot.value.clone())).collect::<Vec<_>>()
    };
    let mut wanted = Vec::new();
    leaves(json, &place, &mut wanted);
    let found: Vec<&Slot> = after.slots.iter().filter(|slot| is_value(slot)).filter(inside).collect();
    let is_there = |(at, json): &(Pointer, &Json)| {
        let slot = found.iter().find(|slot| slot.pointer == *at || place != *pointer && slot.pointer == *pointer);
        slot.is_some_and(|slot| holds(&slot.value, json))
    };
    let same_block =
        before.metadata.as_ref().map(|block| &block.raw) == after.metadata.as_ref().map(|block| &block.raw);
    if !same_block || others(&before) != others(&after) || found.len() != wanted.len() || !wanted.iter().all(is_there) {
        return Err(no_place());
    }
    // Comments in a collection go with it. In INI it depends on the quotes of a value what behind it is a comment.
    let is_one_value = !before.slots.iter().any(|slot| is_value(slot) && inside(&slot) && slot.pointer != place);
    if is_one_value && format.name() != "ini" && comments(&before) != comments(&after) {
        return Err(no_place());
    }
    Ok(changed)
}

/// The text without what is at a pointer, and nothing else gone.
///
/// # Errors
/// Where nothing is there, or it cannot be taken away alone.
pub(crate) fn remove(format: &dyn Format, bytes: &[u8], pointer: &Pointer) -> Result<Zeroizing<Vec<u8>>, Error> {
    let changed = format.remove(bytes, pointer)?;
    if format.name() == "binary" {
        return Ok(changed);
    }
    let not_alone = || Error::NotAlone { pointer: pointer.clone() };
    let before = format.parse(bytes, Side::Sealed)?;
    let after = format.parse(&changed, Side::Sealed).map_err(|_| not_alone())?;
    // Elements behind it move up: what is compared is the way to each without the numbers.
    let kept = before.slots.iter().filter(|slot| is_value(slot) && !is_below(&slot.pointer, pointer));
    let left = after.slots.iter().filter(|slot| is_value(slot));
    let same_block =
        before.metadata.as_ref().map(|block| &block.raw) == after.metadata.as_ref().map(|block| &block.raw);
    if !same_block || !kept.map(|slot| (&slot.path, &slot.value)).eq(left.map(|slot| (&slot.path, &slot.value))) {
        return Err(not_alone());
    }
    Ok(changed)
}

/// Whether it is no comment, nor the element of a list that another program made of one.
fn is_value(slot: &Slot) -> bool {
    !matches!(slot.style, Style::Comment | Style::CommentElement)
}

/// What all comments say, whatever lines they stand on.
fn comments(parsed: &Parsed) -> Zeroizing<Vec<u8>> {
    let comments = parsed.slots.iter().filter(|slot| slot.style == Style::Comment);
    let bytes = comments.flat_map(|slot| slot.value.bytes.iter().copied());
    Zeroizing::new(bytes.filter(|byte| !byte.is_ascii_whitespace()).collect())
}

fn values(slots: &[Slot]) -> impl Iterator<Item = (&Pointer, &Value)> {
    slots.iter().filter(|slot| is_value(slot)).map(|slot| (&slot.pointer, &slot.value))
}

/// The first place where two documents differ is the one to name.
fn same<'a>(
    wanted: impl Iterator<Item = (&'a Pointer, &'a Value)>,
    mut found: impl Iterator<Item = (&'a Pointer, &'a Value)>,
    agree: impl Fn(&Value, &Value) -> bool,
) -> Result<(), Error> {
    for (pointer, value) in wanted {
        if found.next().is_none_or(|(other, found)| other != pointer || !agree(value, found)) {
            return Err(Error::RoundTrip(Some(pointer.clone())));
        }
    }
    found.next().map_or(Ok(()), |(pointer, _)| Err(Error::RoundTrip(Some(pointer.clone()))))
}

/// Whether a place is another one or inside it.
fn is_below(pointer: &Pointer, other: &Pointer) -> bool {
    pointer.as_str().strip_prefix(other.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// How many elements a list has.
fn elements(parsed: &Parsed, list: &str) -> usize {
    let slots = parsed.slots.iter().filter(|slot| is_value(slot)).map(|slot| slot.pointer.as_str());
    let empty = parsed.layout.collections.iter().map(|(pointer, _)| pointer.as_str());
    let inside = slots.chain(empty).filter_map(|pointer| pointer.strip_prefix(list)?.strip_prefix('/'));
    let indexes = inside.filter_map(|rest| rest.split('/').next()?.parse::<usize>().ok());
    indexes.max().map_or(0, |last| last + 1)
}

/// The scalars of a JSON value and where they are.
fn leaves<'a>(json: &'a Json, pointer: &Pointer, found: &mut Vec<(Pointer, &'a Json)>) {
    match json {
        Json::Object(map) => map.iter().for_each(|(key, value)| leaves(value, &pointer.join(key), found)),
        Json::Array(list) => {
            list.iter().enumerate().for_each(|(index, value)| leaves(value, &pointer.join(index), found));
        }
        scalar => found.push((pointer.clone(), scalar)),
    }
}

/// Whether a value is what was to be put. Where a format knows text only, numbers and words are text there.
fn holds(value: &Value, json: &Json) -> bool {
    match json {
        Json::String(text) => value.as_text() == Some(text),
        other => value.kind == Kind::Str || value_of(other).is_some_and(|wanted| wanted.kind == value.kind),
    }
}
