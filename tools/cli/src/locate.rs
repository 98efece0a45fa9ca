//! From a JSON Pointer to a line and a column, so that an editor can jump to an error.

use contract::Pointer;

/// Line and column (both from 1, the column in characters) of the value that a pointer names in a JSON text. Where the
/// pointer goes deeper than the text, the deepest value on its way is named.
pub(crate) fn locate(text: &str, pointer: &Pointer) -> (u64, u64) {
    let mut scanner = Scanner { bytes: text.as_bytes(), at: 0 };
    scanner.blank();
    for key in pointer.keys() {
        let before = scanner.at;
        if !scanner.enter(&key) {
            scanner.at = before;
            break;
        }
    }
    let before = text.get(..scanner.at).unwrap_or(text);
    let line = before.matches('\n').count() as u64 + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() as u64 + 1;
    (line, column)
}

/// Walks a text that is known to be JSON, so it checks nothing.
struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> u8 {
        self.bytes.get(self.at).copied().unwrap_or(0)
    }

    fn blank(&mut self) {
        while matches!(self.peek(), b' ' | b'\t' | b'\n' | b'\r') {
            self.at += 1;
        }
    }

    /// Moves to the value of `key` in the object or array that begins here.
    fn enter(&mut self, key: &str) -> bool {
        match self.peek() {
            b'{' => self.enter_object(key),
            b'[' => key.parse().is_ok_and(|index| self.enter_array(index)),
            _ => false,
        }
    }

    fn enter_object(&mut self, key: &str) -> bool {
        self.at += 1;
        loop {
            self.blank();
            if self.peek() != b'"' {
                return false;
            }
            let start = self.at;
            self.string();
            let name: Option<String> = serde_json::from_slice(self.bytes.get(start..self.at).unwrap_or_default()).ok();
            self.blank();
            self.at += 1;
            self.blank();
            if name.as_deref() == Some(key) {
                return true;
            }
            self.value();
            self.blank();
            if self.peek() != b',' {
                return false;
            }
            self.at += 1;
        }
    }

    fn enter_array(&mut self, index: usize) -> bool {
        self.at += 1;
        for _ in 0..index {
            self.blank();
            self.value();
            self.blank();
            if self.peek() != b',' {
                return false;
            }
            self.at += 1;
        }
        self.blank();
        !matches!(self.peek(), b']' | 0)
    }

    fn string(&mut self) {
        self.at += 1;
        loop {
            match self.peek() {
                b'\\' => self.at += 2,
                b'"' => {
                    self.at += 1;
                    return;
                }
                _ if self.at >= self.bytes.len() => return,
                _ => self.at += 1,
            }
        }
    }

    /// Skips a whole value.
    fn value(&mut self) {
        let mut depth = 0_usize;
        loop {
            match self.peek() {
                b'"' => self.string(),
                b'{' | b'[' => {
                    depth += 1;
                    self.at += 1;
                }
                b'}' | b']' if depth > 0 => {
                    depth -= 1;
                    self.at += 1;
                }
                _ if self.at >= self.bytes.len() => return,
                b',' | b'}' | b']' if depth == 0 => return,
                _ => {
                    self.at += 1;
                    continue;
                }
            }
            if depth == 0 {
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_values() {
        let text = "{\n  \"a\": [1, {\"b\\\"c\": \"x,]}\", \"ttl\": 5}],\n  \"é\": true, \"z\": 1\n}";
        let at = |pointer: &str| locate(text, &Pointer::parse(pointer));
        assert_eq!(at(""), (1, 1));
        assert_eq!(at("/a"), (2, 8));
        assert_eq!(at("/a/0"), (2, 9));
        assert_eq!(at("/a/1/ttl"), (2, 36));
        assert_eq!(at("/z"), (3, 19));
        assert_eq!(at("/a/7/x"), (2, 8));
        assert_eq!(at("/a/1/nope"), (2, 12));
        for cut in 0..text.len() {
            if let Some(part) = text.get(..cut) {
                let _ = locate(part, &Pointer::parse("/a/1/ttl"));
            }
        }
    }
}
