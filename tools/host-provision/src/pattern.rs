//! Patterns of OpenSSH: `*` stands for any text, `?` for one letter (ssh_config(5), PATTERNS).

/// Whether a pattern fits a text. The time grows with one times the other at most, whatever the pattern.
pub(crate) fn fits(pattern: &str, text: &str) -> bool {
    let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
    let (mut at, mut read) = (0, 0);
    // Where the last star stands, and up to where it reaches so far.
    let mut star = None;
    while read < text.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, read));
                at += 1;
            }
            Some(byte) if *byte == b'?' || *byte == text[read] => {
                at += 1;
                read += 1;
            }
            // Only the last star can be made to take more: what fits behind an earlier one fits behind it as well.
            _ => match &mut star {
                Some((stars, reach)) => {
                    *reach += 1;
                    (at, read) = (*stars + 1, *reach);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::fits;

    /// What the manual says, word for word; its time doubles with each star.
    fn slow(pattern: &[u8], text: &[u8]) -> bool {
        match (pattern.split_first(), text.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=text.len()).any(|skip| slow(rest, &text[skip..])),
            (Some((b'?', rest)), Some((_, text))) => slow(rest, text),
            (Some((byte, rest)), Some((first, text))) => byte == first && slow(rest, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn it_is_what_the_manual_says(pattern in "[ab?*]{0,8}", text in "[ab?*]{0,8}") {
            prop_assert_eq!(fits(&pattern, &text), slow(pattern.as_bytes(), text.as_bytes()));
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time() {
        assert!(!fits(&"*a".repeat(60), &format!("{}b", "a".repeat(4000))));
    }
}
