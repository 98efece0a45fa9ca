//! Texts of JSON in their one form.

/// A text in quotes (RFC 8259 section 7). Inline, as what calls it a million times is: then it is compiled with the tool that writes
/// so much, for speed, and not with this crate, whose profile is for size.
#[inline]
pub(crate) fn push_text(out: &mut String, text: &str) {
    out.push('"');
    let mut rest = text;
    while let Some(at) = first_escaped(rest.as_bytes()) {
        out.push_str(&rest[..at]);
        match rest.as_bytes()[at] {
            b'"' => out.push_str("\\\""),
            b'\\' => out.push_str("\\\\"),
            b'\n' => out.push_str("\\n"),
            b'\r' => out.push_str("\\r"),
            b'\t' => out.push_str("\\t"),
            0x08 => out.push_str("\\b"),
            0x0c => out.push_str("\\f"),
            byte => out.push_str(&format!("\\u{byte:04x}")),
        }
        rest = &rest[at + 1..];
    }
    out.push_str(rest);
    out.push('"');
}

/// The first byte that a JSON text holds only in another form. Eight are looked at together: most texts are long and have few.
#[inline]
fn first_escaped(bytes: &[u8]) -> Option<usize> {
    /// A byte in each place of eight.
    const fn each(byte: u8) -> u64 {
        u64::from_le_bytes([byte; 8])
    }
    let (eights, rest) = bytes.as_chunks::<8>();
    for (index, eight) in eights.iter().enumerate() {
        let word = u64::from_le_bytes(*eight);
        // Subtracting borrows from the high bit of a place only where its byte is the smaller one, or one before it was, so that
        // the first that is marked is right; the letters beyond ASCII, which have that bit themselves, are none of them.
        let below = |word: u64, limit: u64| word.wrapping_sub(limit) & !word;
        let found = below(word, each(0x20)) | below(word ^ each(b'"'), each(1)) | below(word ^ each(b'\\'), each(1));
        let found = found & each(0x80);
        if found != 0 {
            return Some(index * 8 + found.trailing_zeros() as usize / 8);
        }
    }
    let escaped = |byte: &u8| *byte < 0x20 || *byte == b'"' || *byte == b'\\';
    rest.iter().position(escaped).map(|place| eights.len() * 8 + place)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::push_text;

    fn pushed(text: &str) -> String {
        let mut out = String::new();
        push_text(&mut out, text);
        out
    }

    proptest! {
        #[test]
        fn a_text_is_what_serde_json_writes(text in "\\PC*|[ -~\\x00-\\x1f]*|[a\"\\\\é\\x7f\\x1f ]{0,40}") {
            prop_assert_eq!(pushed(&text), serde_json::to_string(&text).unwrap());
        }
    }

    #[test]
    fn each_byte_is_found_at_each_place() {
        for length in 0..20 {
            for at in 0..length {
                for letter in (0..=0xff).filter_map(char::from_u32) {
                    for other in ['x', 'é', '!'] {
                        let text: String = (0..length).map(|place| if place == at { letter } else { other }).collect();
                        assert_eq!(pushed(&text), serde_json::to_string(&text).unwrap());
                    }
                }
            }
        }
    }
}
