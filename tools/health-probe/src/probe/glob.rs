//! `*` and `?` in the parts of a path.

use std::path::{Path, PathBuf};

/// The most files that are looked at.
const MOST: usize = 10_000;

/// Whether a path holds signs that stand for others.
pub(super) fn is_pattern(path: &str) -> bool {
    path.contains(['*', '?'])
}

/// Every file whose path fits, in no order.
///
/// # Errors
/// A directory on the way cannot be read, for another reason than that it is not there.
pub(super) fn find(pattern: &str) -> std::io::Result<Vec<PathBuf>> {
    let mut found = vec![PathBuf::from("/")];
    for part in pattern.split('/').filter(|part| !part.is_empty()) {
        let mut next = Vec::new();
        for directory in found {
            if is_pattern(part) {
                next.extend(entries(&directory, part)?);
            } else {
                next.push(directory.join(part));
            }
        }
        next.truncate(MOST);
        found = next;
    }
    found.retain(|path| path.exists());
    Ok(found)
}

fn entries(directory: &Path, pattern: &str) -> std::io::Result<Vec<PathBuf>> {
    let read = match std::fs::read_dir(directory) {
        Ok(read) => read,
        Err(error) if matches!(error.kind(), std::io::ErrorKind::NotFound | std::io::ErrorKind::NotADirectory) => {
            return Ok(Vec::new());
        }
        Err(error) => return Err(error),
    };
    let fits = read.flatten().filter(|entry| entry.file_name().to_str().is_some_and(|name| fits(pattern, name)));
    Ok(fits.map(|entry| entry.path()).collect())
}

/// As a shell does it: a name that begins with a dot must be asked for.
fn fits(pattern: &str, name: &str) -> bool {
    if name.starts_with('.') && !pattern.starts_with('.') {
        return false;
    }
    let (pattern, name): (Vec<char>, Vec<char>) = (pattern.chars().collect(), name.chars().collect());
    let (mut at, mut in_name) = (0, 0);
    // Where the last star stood, and how much of the name it took so far.
    let mut star: Option<(usize, usize)> = None;
    while in_name < name.len() {
        match pattern.get(at) {
            Some('*') => {
                star = Some((at, in_name));
                at += 1;
            }
            Some(sign) if *sign == '?' || *sign == name[in_name] => {
                at += 1;
                in_name += 1;
            }
            _ => match star {
                Some((of_pattern, taken)) => {
                    star = Some((of_pattern, taken + 1));
                    at = of_pattern + 1;
                    in_name = taken + 1;
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|sign| *sign == '*')
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn stars_and_question_marks() {
        for (pattern, name, good) in [
            ("*.tar", "a.tar", true),
            ("*.tar", ".tar", false),
            ("a*b*c", "axxbyyc", true),
            ("a*b*c", "axxbyy", false),
            ("?.x", "ä.x", true),
            ("?", "", false),
            ("*", "", true),
            ("**", "abc", true),
        ] {
            assert_eq!(fits(pattern, name), good, "{pattern} {name}");
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_regular_expression(pattern in "[ab*?]{0,6}", name in "[ab]{0,6}") {
            let expression = pattern.replace('*', ".*").replace('?', ".");
            let regex = regex::Regex::new(&format!("^{expression}$")).ok();
            prop_assert_eq!(regex.map(|regex| regex.is_match(&name)), Some(fits(&pattern, &name)));
        }
    }
}
