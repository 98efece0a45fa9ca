//! restic's language of exclude patterns, so that a plan can tell what they hit before anything runs.
//!
//! A port of the rules of restic's `internal/filter/filter.go` and of Go's `filepath.Match`: patterns are matched against
//! absolute paths, component by component; a relative one matches at any depth, and everything below a match is matched too;
//! `**` stands for any number of components; the last pattern of a list that has something to say wins, `!` takes back.

use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// One pattern.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pattern {
    /// It takes back what earlier ones excluded.
    negated: bool,
    parts: Vec<Vec<u8>>,
}

/// A list of patterns, in order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Patterns(Vec<Pattern>);

impl Pattern {
    /// Reads a pattern; `None` for an empty one, which restic ignores.
    ///
    /// # Errors
    /// What is malformed; restic would refuse to start.
    pub(crate) fn parse(text: &str) -> Result<Option<Self>, String> {
        let (negated, text) = match text.strip_prefix('!') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if text.is_empty() {
            return Ok(None);
        }
        let parts = components(clean(text).as_bytes());
        for part in &parts {
            // restic's own test of validity: match every part against itself.
            if is_pattern(part) && match_part(part, part).is_none() {
                return Err(format!("the part \"{}\" is malformed", String::from_utf8_lossy(part)));
            }
        }
        Ok(Some(Self { negated, parts }))
    }

    /// Whether it is anchored at the root of the file system.
    pub(crate) fn is_absolute(&self) -> bool {
        self.parts.first().is_some_and(|part| part == b"/")
    }

    /// The leading components that hold no wildcard, unescaped.
    pub(crate) fn literal_start(&self) -> Vec<Vec<u8>> {
        let literal =
            |part: &&Vec<u8>| *part != b"**" && !part.iter().any(|byte| b"*?[".contains(byte)) || is_escaped_only(part);
        self.parts.iter().take_while(literal).map(|part| unescaped(part)).collect()
    }

    fn matches(&self, path: &[Vec<u8>]) -> bool {
        matches(&self.parts, path)
    }
}

impl Patterns {
    /// A list from its texts.
    ///
    /// # Errors
    /// The first malformed one and why.
    pub(crate) fn parse<'a>(texts: impl IntoIterator<Item = &'a str>) -> Result<Self, (String, String)> {
        let mut patterns = Vec::new();
        for text in texts {
            let parsed = Pattern::parse(text).map_err(|why| (text.to_owned(), why))?;
            patterns.extend(parsed);
        }
        Ok(Self(patterns))
    }

    /// Whether a path is excluded.
    pub(crate) fn exclude(&self, path: &Path) -> bool {
        if self.0.is_empty() {
            return false;
        }
        let path = components(path.as_os_str().as_bytes());
        self.0.iter().fold(false, |excluded, pattern| match (excluded, pattern.negated) {
            // What would not change the answer need not be matched.
            (true, false) | (false, true) => excluded,
            (_, negated) => {
                if pattern.matches(&path) {
                    !negated
                } else {
                    excluded
                }
            }
        })
    }
}

/// A path as a pattern that matches only it.
pub(crate) fn escape(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for character in path.chars() {
        if ['\\', '*', '?', '['].contains(&character) {
            text.push('\\');
        }
        text.push(character);
    }
    text
}

/// A pattern as a line of an exclude file: restic trims lines, takes `#` for a comment and expands `$VAR` there.
pub(crate) fn as_line(pattern: &str) -> String {
    let mut line = pattern.replace('$', "$$");
    if line.starts_with('#') {
        line.replace_range(..1, "[#]");
    }
    if let Some(last) = line.chars().last().filter(|c| c.is_whitespace()) {
        line.truncate(line.len() - last.len_utf8());
        line.push_str(&format!("[{last}]"));
    }
    if let Some(first) = line.chars().next().filter(|c| c.is_whitespace()) {
        line.replace_range(..first.len_utf8(), &format!("[{first}]"));
    }
    line
}

/// Go's `filepath.Clean`.
pub(crate) fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            ".." if rooted => {}
            part => parts.push(part),
        }
    }
    let joined = parts.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".into(),
        (false, false) => joined,
    }
}

/// Components; the root is one of its own.
fn components(path: &[u8]) -> Vec<Vec<u8>> {
    let mut parts = Vec::new();
    if path.first() == Some(&b'/') {
        parts.push(b"/".to_vec());
    }
    parts.extend(path.split(|byte| *byte == b'/').filter(|part| !part.is_empty()).map(<[u8]>::to_vec));
    parts
}

fn is_pattern(part: &[u8]) -> bool {
    part.iter().any(|byte| b"\\[]*?".contains(byte))
}

fn is_escaped_only(part: &[u8]) -> bool {
    let mut bytes = part.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => {
                bytes.next();
            }
            b'*' | b'?' | b'[' => return false,
            _ => {}
        }
    }
    part != b"**"
}

fn unescaped(part: &[u8]) -> Vec<u8> {
    let mut text = Vec::new();
    let mut bytes = part.iter();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => text.extend(bytes.next()),
            byte => text.push(*byte),
        }
    }
    text
}

/// Whether any run of components equals the pattern; an absolute pattern only the run at the start.
fn matches(pattern: &[Vec<u8>], path: &[Vec<u8>]) -> bool {
    if let Some(position) = pattern.iter().position(|part| part == b"**") {
        // `**` is tried as none, one, two ... components of `*`.
        // A path that is too short for the other parts is not tried at all, also where a second `**` could be nothing.
        let Some(most) = (path.len() + 1).checked_sub(pattern.len()) else { return false };
        return (0..=most).any(|count| {
            let mut expanded = pattern[..position].to_vec();
            expanded.extend(std::iter::repeat_n(b"*".to_vec(), count));
            expanded.extend_from_slice(&pattern[position + 1..]);
            matches(&expanded, path)
        });
    }
    if pattern.is_empty() || pattern.len() > path.len() {
        return pattern.is_empty();
    }
    let last = if pattern[0] == b"/" { 0 } else { path.len() - pattern.len() };
    (0..=last).any(|start| {
        pattern.iter().zip(&path[start..]).all(|(part, component)| {
            if is_pattern(part) { match_part(part, component) == Some(true) } else { part == component }
        })
    })
}

/// Go's `filepath.Match` of one component; `None` where the pattern is malformed.
fn match_part(pattern: &[u8], name: &[u8]) -> Option<bool> {
    let (pattern, name) = (decode(pattern), decode(name));
    go_match(&pattern, &name)
}

/// Go matches characters, and takes a byte that is no UTF-8 for U+FFFD.
fn decode(bytes: &[u8]) -> Vec<char> {
    let mut characters = Vec::new();
    for chunk in OsStr::from_bytes(bytes).as_bytes().utf8_chunks() {
        characters.extend(chunk.valid().chars());
        characters.extend(std::iter::repeat_n('\u{fffd}', chunk.invalid().len()));
    }
    characters
}

fn go_match(mut pattern: &[char], mut name: &[char]) -> Option<bool> {
    'pattern: while !pattern.is_empty() {
        let (star, chunk, rest) = scan_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Some(!name.contains(&'/'));
        }
        let (after, ok) = match_chunk(chunk, name)?;
        if ok && (after.is_empty() || !pattern.is_empty()) {
            name = after;
            continue;
        }
        if star {
            let mut at = 0;
            while at < name.len() && name[at] != '/' {
                let (after, ok) = match_chunk(chunk, &name[at + 1..])?;
                if ok {
                    if pattern.is_empty() && !after.is_empty() {
                        at += 1;
                        continue;
                    }
                    name = after;
                    continue 'pattern;
                }
                at += 1;
            }
        }
        // The rest is still looked at, so that a malformed pattern is one whatever the name is.
        while !pattern.is_empty() {
            let (_, chunk, rest) = scan_chunk(pattern);
            pattern = rest;
            match_chunk(chunk, &[])?;
        }
        return Some(false);
    }
    Some(name.is_empty())
}

/// Leading stars, the chunk up to the next star, the rest.
fn scan_chunk(pattern: &[char]) -> (bool, &[char], &[char]) {
    let stars = pattern.iter().take_while(|c| **c == '*').count();
    let pattern = &pattern[stars..];
    let (mut in_range, mut at) = (false, 0);
    while at < pattern.len() {
        match pattern[at] {
            '\\' if at + 1 < pattern.len() => at += 1,
            '[' => in_range = true,
            ']' => in_range = false,
            '*' if !in_range => break,
            _ => {}
        }
        at += 1;
    }
    (stars > 0, &pattern[..at], &pattern[at..])
}

/// What is left of the name after a chunk, and whether the chunk matched; `None` where it is malformed.
fn match_chunk<'a>(mut chunk: &[char], mut name: &'a [char]) -> Option<(&'a [char], bool)> {
    let mut failed = false;
    while !chunk.is_empty() {
        failed |= name.is_empty();
        match chunk[0] {
            '[' => {
                let character = if failed { '\0' } else { name[0] };
                if !failed {
                    name = &name[1..];
                }
                chunk = &chunk[1..];
                let negated = chunk.first() == Some(&'^');
                if negated {
                    chunk = &chunk[1..];
                }
                let (mut found, mut ranges) = (false, 0);
                loop {
                    if chunk.first() == Some(&']') && ranges > 0 {
                        chunk = &chunk[1..];
                        break;
                    }
                    let (low, rest) = get_escaped(chunk)?;
                    chunk = rest;
                    let mut high = low;
                    if chunk.first() == Some(&'-') {
                        let (end, rest) = get_escaped(&chunk[1..])?;
                        high = end;
                        chunk = rest;
                    }
                    found |= (low..=high).contains(&character);
                    ranges += 1;
                }
                failed |= found == negated;
            }
            '?' => {
                if !failed {
                    failed = name[0] == '/';
                    name = &name[1..];
                }
                chunk = &chunk[1..];
            }
            other => {
                let mut wanted = other;
                if other == '\\' {
                    chunk = &chunk[1..];
                    wanted = *chunk.first()?;
                }
                if !failed {
                    failed = wanted != name[0];
                    name = &name[1..];
                }
                chunk = &chunk[1..];
            }
        }
    }
    if failed { Some((&[], false)) } else { Some((name, true)) }
}

/// One character of a range, which may be escaped; more of the range must follow.
fn get_escaped(chunk: &[char]) -> Option<(char, &[char])> {
    let mut chunk = chunk;
    if chunk.is_empty() || chunk[0] == '-' || chunk[0] == ']' {
        return None;
    }
    if chunk[0] == '\\' {
        chunk = &chunk[1..];
    }
    let (first, rest) = chunk.split_first()?;
    if rest.is_empty() { None } else { Some((*first, rest)) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn hits(patterns: &[&str], path: &str) -> bool {
        Patterns::parse(patterns.iter().copied()).unwrap().exclude(Path::new(path))
    }

    #[test]
    fn patterns_as_restic_reads_them() {
        for (pattern, path, expected) in [
            ("*.log", "/srv/a/x.log", true),
            ("*.log", "/srv/a.log/x", true),
            ("/bin", "/bin/bash", true),
            ("/bin", "/usr/bin/x", false),
            ("foo", "/a/foo/b", true),
            ("foo/bar", "/a/foo/bar/c", true),
            ("foo/bar", "/a/foo/x/bar", false),
            ("/a/**/z", "/a/z", true),
            ("/a/**/z", "/a/b/c/z/y", true),
            ("/a/**/*.log", "/a/b.log", true),
            ("/a/**", "/a", true),
            ("a[b-d]e", "/ace", true),
            ("a[^b-d]e", "/ace", false),
            ("a\\*", "/a*", true),
            ("a\\*", "/ab", false),
            ("?", "/é", true),
            ("*", "/.hidden", true),
            ("/foo///bar/", "/foo/bar/x", true),
            ("/foo/../bar", "/bar", true),
        ] {
            assert_eq!(hits(&[pattern], path), expected, "{pattern} on {path}");
        }
        assert!(!hits(&["*.log", "!keep.log"], "/a/keep.log"));
        assert!(hits(&["!keep.log", "*.log"], "/a/keep.log"));
    }

    #[test]
    fn malformed_patterns_are_refused() {
        for pattern in ["x[", "[.-]", "a\\", "[]a]", "[a-]"] {
            assert!(Pattern::parse(pattern).is_err(), "{pattern}");
        }
        assert_eq!(Pattern::parse(""), Ok(None));
        assert_eq!(Pattern::parse("!"), Ok(None));
    }

    #[test]
    fn escaped_paths_match_themselves_only() {
        for path in ["/a*b", "/x[1]", "/q?", "/b\\s", "/plain"] {
            assert!(hits(&[&escape(path)], path), "{path}");
        }
        assert!(!hits(&[&escape("/a*b")], "/axb"));
        assert_eq!(as_line("#a "), "[#]a[ ]");
        assert_eq!(as_line("/a$b"), "/a$$b");
    }
}
