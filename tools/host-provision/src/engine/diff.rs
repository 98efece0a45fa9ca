//! Unified diffs of texts. Of the crate only the one algorithm is used: its way for all of them would be an eighth of the
//! helper, which goes to every host.

use std::fmt::Write;

use similar::algorithms::{Capture, Compact, Replace, myers};
use similar::udiff::UnifiedHunkHeader;
use similar::{DiffOp, group_diff_ops};

/// The largest text of which a diff is shown, in bytes.
const LARGEST: usize = 256 * 1024;

/// Lines around a change that are shown too.
const CONTEXT: usize = 3;

/// A unified diff of two texts; `None` where one is no text or is too large.
pub(super) fn unified(path: &str, before: &[u8], after: &[u8]) -> Option<String> {
    if before.len() > LARGEST || after.len() > LARGEST || before.contains(&0) || after.contains(&0) {
        return None;
    }
    let old: Vec<&str> = std::str::from_utf8(before).ok()?.split_inclusive('\n').collect();
    let new: Vec<&str> = std::str::from_utf8(after).ok()?.split_inclusive('\n').collect();
    let mut found = Compact::new(Replace::new(Capture::new()), &*old, &*new);
    myers::diff(&mut found, &*old, 0..old.len(), &*new, 0..new.len()).ok()?;
    let mut text = String::new();
    for hunk in group_diff_ops(found.into_inner().into_inner().into_ops(), CONTEXT) {
        if text.is_empty() {
            text = format!("--- {path}\n+++ {path}\n");
        }
        let _ = writeln!(text, "{}", UnifiedHunkHeader::new(&hunk));
        for part in hunk {
            if let DiffOp::Equal { .. } = part {
                push(&mut text, ' ', &old[part.old_range()]);
            } else {
                push(&mut text, '-', &old[part.old_range()]);
                push(&mut text, '+', &new[part.new_range()]);
            }
        }
    }
    (!text.is_empty()).then_some(text)
}

fn push(text: &mut String, sign: char, lines: &[&str]) {
    for line in lines {
        text.push(sign);
        text.push_str(line);
        if !line.ends_with('\n') {
            text.push_str("\n\\ No newline at end of file\n");
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    #[test]
    fn texts_and_what_is_none() {
        let text = "--- /f\n+++ /f\n@@ -1,2 +1,2 @@\n one\n-two\n+three\n\\ No newline at end of file\n";
        assert_eq!(unified("/f", b"one\ntwo\n", b"one\nthree").unwrap(), text);
        assert_eq!(unified("/f", b"", b"one\n").unwrap(), "--- /f\n+++ /f\n@@ -0,0 +1 @@\n+one\n");
        assert_eq!(unified("/f", b"same\n", b"same\n"), None);
        assert_eq!(unified("/f", b"a\0", b"b\n"), None);
        assert_eq!(unified("/f", b"\xff", b"b\n"), None);
    }

    proptest! {
        #[test]
        fn as_the_crate_writes_it(old in "([abc ]{0,2}\n){0,30}[ab]?", new in "([abc ]{0,2}\n){0,30}[ab]?") {
            let diff = similar::TextDiff::from_lines(&old, &new);
            let text = diff.unified_diff().context_radius(CONTEXT).header("/f", "/f").to_string();
            prop_assert_eq!(unified("/f", old.as_bytes(), new.as_bytes()).unwrap_or_default(), text);
        }
    }
}
