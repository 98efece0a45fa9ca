//! Parameters of SVCB and HTTPS records (RFC 9460 sections 2.1, 2.2 and 7; RFC 9461 dohpath; RFC 9540 ohttp).

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, Ipv6Addr};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::RdataError;
use crate::token::{Token, quote, unescaped};

/// Keys with a name, by their number.
const KEYS: [&str; 9] =
    ["mandatory", "alpn", "no-default-alpn", "port", "ipv4hint", "ech", "ipv6hint", "dohpath", "ohttp"];

/// Reads parameters in text and appends them in the order of their keys.
pub(super) fn parse(tokens: &[Token<'_>], wire: &mut Vec<u8>) -> Result<(), RdataError> {
    let mut params: BTreeMap<u16, Vec<u8>> = BTreeMap::new();
    for token in tokens {
        let (key, value) = match token.text.split_once('=') {
            Some((key, value)) => (key, value),
            None => (token.text, ""),
        };
        let key = key_number(key).ok_or(RdataError::Wrong { what: "a key", kind: "service parameter" })?;
        let value = value.strip_prefix('"').and_then(|value| value.strip_suffix('"')).unwrap_or(value);
        let bytes = unescaped(value).ok_or(RdataError::Wrong { what: "a service parameter", kind: "string" })?;
        let bytes = value_of(key, &bytes)?;
        if params.insert(key, bytes).is_some() {
            return Err(RdataError::Other("a service parameter is given twice"));
        }
    }
    for (key, value) in params {
        wire.extend(key.to_be_bytes());
        wire.extend(u16::try_from(value.len()).map_err(|_| RdataError::TooLong)?.to_be_bytes());
        wire.extend(value);
    }
    Ok(())
}

fn key_number(text: &str) -> Option<u16> {
    let named = KEYS.iter().position(|key| *key == text).map(|number| number as u16);
    named.or_else(|| text.strip_prefix("key")?.parse().ok().filter(|number| *number != u16::MAX))
}

fn key_name(number: u16) -> String {
    KEYS.get(usize::from(number)).map_or_else(|| format!("key{number}"), |key| (*key).to_owned())
}

fn value_of(key: u16, value: &[u8]) -> Result<Vec<u8>, RdataError> {
    let wrong = |kind| RdataError::Wrong { what: "a service parameter", kind };
    let text = || std::str::from_utf8(value).map_err(|_| wrong("text"));
    Ok(match key {
        0 => {
            let mut keys: Vec<u16> = text()?
                .split(',')
                .map(|key| key_number(key).ok_or_else(|| wrong("list of keys")))
                .collect::<Result<_, _>>()?;
            keys.sort_unstable();
            keys.iter().flat_map(|key| key.to_be_bytes()).collect()
        }
        1 => {
            let mut bytes = Vec::new();
            for id in comma_list(value) {
                if id.is_empty() || id.len() > 255 {
                    return Err(wrong("list of protocols"));
                }
                bytes.push(id.len() as u8);
                bytes.extend(id);
            }
            bytes
        }
        2 | 8 if value.is_empty() => Vec::new(),
        2 | 8 => return Err(wrong("parameter without a value")),
        3 => text()?.parse::<u16>().map_err(|_| wrong("port"))?.to_be_bytes().to_vec(),
        4 => {
            let addresses = text()?.split(',').map(str::parse::<Ipv4Addr>).collect::<Result<Vec<_>, _>>();
            addresses.map_err(|_| wrong("list of IPv4 addresses"))?.iter().flat_map(Ipv4Addr::octets).collect()
        }
        5 => STANDARD.decode(value).map_err(|_| wrong("base64"))?,
        6 => {
            let addresses = text()?.split(',').map(str::parse::<Ipv6Addr>).collect::<Result<Vec<_>, _>>();
            addresses.map_err(|_| wrong("list of IPv6 addresses"))?.iter().flat_map(Ipv6Addr::octets).collect()
        }
        _ => value.to_vec(),
    })
}

/// Splits at commas that no backslash escapes (RFC 9460 appendix A.1).
fn comma_list(value: &[u8]) -> Vec<Vec<u8>> {
    let mut items = vec![Vec::new()];
    let mut bytes = value.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b',' => items.push(Vec::new()),
            b'\\' => {
                if let (Some(item), Some(next)) = (items.last_mut(), bytes.next()) {
                    item.push(*next);
                }
            }
            other => {
                if let Some(item) = items.last_mut() {
                    item.push(*other);
                }
            }
        }
    }
    items
}

/// The parameters on the wire, in order; `None` where the bytes are no parameters.
fn split(bytes: &[u8]) -> Option<Vec<(u16, &[u8])>> {
    let mut params = Vec::new();
    let mut rest = bytes;
    while !rest.is_empty() {
        let key = u16::from_be_bytes(rest.get(..2)?.try_into().ok()?);
        let length = usize::from(u16::from_be_bytes(rest.get(2..4)?.try_into().ok()?));
        params.push((key, rest.get(4..4 + length)?));
        rest = &rest[4 + length..];
    }
    Some(params)
}

/// The same parameters in the order of their keys.
pub(super) fn canonical(bytes: &[u8]) -> Option<Vec<u8>> {
    let mut params = split(bytes)?;
    params.sort_by_key(|(key, _)| *key);
    let mut wire = Vec::with_capacity(bytes.len());
    for (key, value) in params {
        wire.extend(key.to_be_bytes());
        wire.extend((value.len() as u16).to_be_bytes());
        wire.extend_from_slice(value);
    }
    Some(wire)
}

/// The text of parameters on the wire; `None` where it would not read back as the same bytes.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let params = split(bytes)?;
    if !params.is_sorted_by(|(one, _), (next, _)| one < next) {
        return None;
    }
    let texts: Option<Vec<String>> = params.iter().map(|(key, value)| param_text(*key, value)).collect();
    texts.map(|texts| texts.join(" "))
}

fn param_text(key: u16, value: &[u8]) -> Option<String> {
    let name = key_name(key);
    let words = |words: Vec<String>| (!words.is_empty()).then(|| format!("{name}={}", words.join(",")));
    match key {
        0 => {
            let (keys, rest) = value.as_chunks::<2>();
            let keys: Vec<u16> = keys.iter().map(|key| u16::from_be_bytes(*key)).collect();
            let plain = rest.is_empty() && keys.is_sorted() && !keys.contains(&u16::MAX);
            words(keys.into_iter().map(key_name).collect()).filter(|_| plain)
        }
        1 => {
            let mut ids = Vec::new();
            let mut rest = value;
            while let Some((length, tail)) = rest.split_first() {
                let id = tail.get(..usize::from(*length)).filter(|id| !id.is_empty())?;
                let mut escaped = Vec::new();
                for byte in id {
                    if matches!(byte, b',' | b'\\') {
                        escaped.push(b'\\');
                    }
                    escaped.push(*byte);
                }
                ids.push(escaped);
                rest = &tail[id.len()..];
            }
            if ids.is_empty() {
                return None;
            }
            let list = ids.join(&b',');
            let simple = list.iter().all(|byte| byte.is_ascii_alphanumeric() || b"-._/,".contains(byte));
            let list = if simple { String::from_utf8(list).ok()? } else { quote(&list) };
            Some(format!("{name}={list}"))
        }
        2 | 8 => value.is_empty().then_some(name),
        3 => Some(format!("{name}={}", u16::from_be_bytes(value.try_into().ok()?))),
        4 => {
            let (addresses, rest) = value.as_chunks::<4>();
            words(addresses.iter().map(|octets| Ipv4Addr::from(*octets).to_string()).collect())
                .filter(|_| rest.is_empty())
        }
        5 => Some(format!("{name}={}", STANDARD.encode(value))),
        6 => {
            let (addresses, rest) = value.as_chunks::<16>();
            words(addresses.iter().map(|octets| Ipv6Addr::from(*octets).to_string()).collect())
                .filter(|_| rest.is_empty())
        }
        u16::MAX => None,
        _ if value.is_empty() => Some(name),
        _ => Some(format!("{name}={}", quote(value))),
    }
}
