//! From the text of a zone file to its records.

use crate::live_zone::{LiveValue, LiveZone};
use crate::name::Name;
use crate::rdata::{Rdata, seconds};
use crate::record_type::RecordType;
use crate::rrset::Key;
use crate::token::{Entry, Lexer, Token, TokenError};

/// What is wrong with a zone file, and on which line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub(crate) struct ZoneFileError {
    pub(crate) line: usize,
    pub(crate) what: String,
}

impl From<TokenError> for ZoneFileError {
    fn from(error: TokenError) -> Self {
        Self { line: error.line, what: error.what.into() }
    }
}

/// The largest TTL (RFC 2181 section 8).
const LARGEST_TTL: u32 = i32::MAX as u32;

/// What holds from one entry to the next.
struct State {
    origin: Name,
    owner: Option<Name>,
    default_ttl: Option<u32>,
    last_ttl: Option<u32>,
}

/// Reads the records of a zone.
///
/// # Errors
/// The first thing that is wrong: syntax, a record out of the zone, `$INCLUDE` and `$GENERATE`.
pub(crate) fn parse(text: &str, zone: &Name) -> Result<LiveZone, ZoneFileError> {
    let mut live = LiveZone::empty(zone.clone());
    let mut state = State { origin: zone.clone(), owner: None, default_ttl: None, last_ttl: None };
    let mut lexer = Lexer::new(text.strip_prefix('\u{feff}').unwrap_or(text));
    while let Some(entry) = lexer.entry()? {
        let at_line = |what: String| ZoneFileError { line: entry.line, what };
        let first = entry.tokens[0];
        if first.text.starts_with('$') && !first.quoted && !entry.indented {
            directive(&entry.tokens, &mut state).map_err(at_line)?;
        } else {
            record(&entry, zone, &mut state, &mut live).map_err(at_line)?;
        }
    }
    Ok(live)
}

fn directive(tokens: &[Token<'_>], state: &mut State) -> Result<(), String> {
    match (tokens[0].text.to_ascii_uppercase().as_str(), &tokens[1..]) {
        ("$ORIGIN", [origin]) => {
            state.origin = Name::parse(origin.text, &state.origin).map_err(|error| error.to_string())?;
            Ok(())
        }
        ("$TTL", [ttl]) => {
            state.default_ttl = Some(ttl_of(ttl.text).ok_or("the TTL is no number of seconds")?);
            Ok(())
        }
        ("$INCLUDE", _) => Err("$INCLUDE is not followed: put the records into this file".into()),
        ("$GENERATE", _) => Err("$GENERATE is an extension of one server: write the records out".into()),
        ("$ORIGIN" | "$TTL", _) => Err("the directive takes one value".into()),
        _ => Err("the directive is not known".into()),
    }
}

fn ttl_of(text: &str) -> Option<u32> {
    seconds(text).filter(|ttl| *ttl <= LARGEST_TTL)
}

fn record(entry: &Entry<'_>, zone: &Name, state: &mut State, live: &mut LiveZone) -> Result<(), String> {
    let mut tokens = &entry.tokens[..];
    if !entry.indented {
        let owner = Name::parse(tokens[0].text, &state.origin).map_err(|error| error.to_string())?;
        state.owner = Some(owner);
        tokens = &tokens[1..];
    }
    let owner = state.owner.clone().ok_or("the first record has no owner")?;
    let (mut ttl, mut class) = (None, false);
    while let Some(token) = tokens.first() {
        if !class && token.text.eq_ignore_ascii_case("IN") {
            class = true;
        } else if !class && ["CH", "HS", "CS"].iter().any(|other| token.text.eq_ignore_ascii_case(other)) {
            return Err("only the class IN is supported".into());
        } else if ttl.is_none() && token.text.starts_with(|first: char| first.is_ascii_digit()) {
            ttl = Some(ttl_of(token.text).ok_or("the TTL is no number of seconds")?);
        } else {
            break;
        }
        tokens = &tokens[1..];
    }
    let (record_type, rdata) = tokens.split_first().ok_or("the type is missing")?;
    let record_type: RecordType = record_type.text.parse().map_err(|()| {
        let near = cli::did_you_mean(&record_type.text.to_ascii_uppercase(), RecordType::mnemonics())
            .map(|near| format!(", did you mean {near}?"))
            .unwrap_or_default();
        format!("\"{}\" is no type{near}", record_type.text.escape_debug())
    })?;
    if record_type.is_meta() {
        return Err(format!("{record_type} is no type of records in a zone"));
    }
    if !owner.is_in(zone) {
        return Err(format!("{owner} is not in the zone {zone}"));
    }
    let value = Rdata::from_tokens(record_type, rdata, &state.origin).map_err(|error| error.to_string())?;
    // The minimum of the SOA stands in where the file gives no TTL at all, as in BIND.
    let minimum = || {
        let wire = value.wire();
        let last = wire.get(wire.len().checked_sub(4)?..)?;
        (record_type == RecordType::SOA).then(|| last.try_into().ok().map(u32::from_be_bytes))?
    };
    let ttl = ttl.or(state.default_ttl).or(state.last_ttl).or_else(minimum).ok_or("the record has no TTL")?;
    state.last_ttl = Some(ttl);
    let key = Key::new(owner, record_type);
    if record_type == RecordType::SOA && (key.name != *zone || live.sets.contains_key(&key)) {
        return Err("a zone has one SOA record, at its own name".into());
    }
    live.insert(key, ttl, LiveValue { value, stored: None });
    Ok(())
}
