//! Places on the globe (RFC 1876).

use super::RdataError;
use crate::token::Token;

const WRONG: RdataError =
    RdataError::Wrong { what: "the location", kind: "latitude, longitude and altitude (RFC 1876)" };

/// The equator and the prime meridian, in thousandths of a second of arc.
const ORIGIN: i64 = 1 << 31;
/// Altitude 0 is 100 km above this, in centimetres.
const SEA_LEVEL: i64 = 10_000_000;

/// Reads `51 30 12.748 N 0 7 39.612 W 0.00m 1m 10000m 10m`.
pub(super) fn parse(tokens: &[Token<'_>]) -> Result<Vec<u8>, RdataError> {
    let mut words = tokens.iter().map(|token| token.text);
    let latitude = angle(&mut words, 'N', 'S', 90)?;
    let longitude = angle(&mut words, 'E', 'W', 180)?;
    let altitude = centimetres(words.next().ok_or(WRONG)?)? + SEA_LEVEL;
    let mut wire = vec![0];
    for default in [100, 1_000_000, 1000] {
        wire.push(match words.next() {
            Some(word) => size(centimetres(word)?)?,
            None => size(default)?,
        });
    }
    if words.next().is_some() {
        return Err(RdataError::Trailing);
    }
    for number in [latitude, longitude, altitude] {
        wire.extend(u32::try_from(number).map_err(|_| WRONG)?.to_be_bytes());
    }
    Ok(wire)
}

fn angle<'a>(words: &mut impl Iterator<Item = &'a str>, plus: char, minus: char, most: i64) -> Result<i64, RdataError> {
    let mut sum = 0;
    for (place, limit) in [(3_600_000, most), (60_000, 59), (1000, 59)] {
        let word = words.next().ok_or(WRONG)?;
        if let Some(sign) = sign(word, plus, minus) {
            return Ok(ORIGIN + sign * sum);
        }
        let thousandths = decimal(word, 3)?;
        let whole = place == 1000 || thousandths % 1000 == 0;
        if !whole || thousandths / 1000 > limit || word.starts_with('-') {
            return Err(WRONG);
        }
        sum += thousandths * (place / 1000);
    }
    if sum > most * 3_600_000 {
        return Err(WRONG);
    }
    let sign = sign(words.next().ok_or(WRONG)?, plus, minus).ok_or(WRONG)?;
    Ok(ORIGIN + sign * sum)
}

fn sign(word: &str, plus: char, minus: char) -> Option<i64> {
    let mut chars = word.chars();
    let letter = chars.next()?.to_ascii_uppercase();
    match chars.next() {
        None if letter == plus => Some(1),
        None if letter == minus => Some(-1),
        _ => None,
    }
}

/// A decimal number times 10^`places`; more places are refused.
fn decimal(word: &str, places: usize) -> Result<i64, RdataError> {
    let (negative, word) = word.strip_prefix('-').map_or((false, word), |rest| (true, rest));
    let (whole, fraction) = word.split_once('.').unwrap_or((word, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || whole.len() > 10 || fraction.len() > places || !digits(whole) || !digits(fraction) {
        return Err(WRONG);
    }
    let number: i64 = format!("{whole}{fraction:0<places$}").parse().map_err(|_| WRONG)?;
    Ok(if negative { -number } else { number })
}

fn centimetres(word: &str) -> Result<i64, RdataError> {
    decimal(word.strip_suffix('m').unwrap_or(word), 2)
}

/// A size as one digit and a power of ten, which is all that the wire holds.
fn size(centimetres: i64) -> Result<u8, RdataError> {
    let (mut digit, mut power) = (centimetres, 0);
    while digit > 9 {
        digit /= 10;
        power += 1;
    }
    if digit < 0 || power > 9 { Err(WRONG) } else { Ok((digit as u8) << 4 | power) }
}

/// The text of sixteen bytes; `None` for another version or a number out of range.
pub(super) fn text(bytes: &[u8]) -> Option<String> {
    let [0, sizes @ .., _, _, _, _, _, _, _, _, _, _, _, _] = bytes else { return None };
    let number = |at: usize| Some(i64::from(u32::from_be_bytes(bytes.get(at..at + 4)?.try_into().ok()?)));
    let latitude = angle_text(number(4)? - ORIGIN, 'N', 'S', 90)?;
    let longitude = angle_text(number(8)? - ORIGIN, 'E', 'W', 180)?;
    let mut text = format!("{latitude} {longitude} {}", metres(number(12)? - SEA_LEVEL));
    for size in sizes {
        let (digit, power) = (size >> 4, size & 15);
        if digit > 9 || power > 9 || digit == 0 && power > 0 {
            return None;
        }
        text.push(' ');
        text.push_str(&metres(i64::from(digit) * 10_i64.pow(power.into())));
    }
    Some(text)
}

fn angle_text(thousandths: i64, plus: char, minus: char, most: i64) -> Option<String> {
    let letter = if thousandths < 0 { minus } else { plus };
    let rest = thousandths.abs();
    let (degrees, minutes, seconds) = (rest / 3_600_000, rest / 60_000 % 60, rest % 60_000);
    (rest <= most * 3_600_000).then(|| format!("{degrees} {minutes} {}.{:03} {letter}", seconds / 1000, seconds % 1000))
}

fn metres(centimetres: i64) -> String {
    let sign = if centimetres < 0 { "-" } else { "" };
    let rest = centimetres.abs();
    format!("{sign}{}.{:02}m", rest / 100, rest % 100)
}
