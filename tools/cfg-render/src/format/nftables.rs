//! nftables rules (nft(8)), as one table of ours that is replaced in a single transaction.

use std::fmt::Write as _;

use super::{Unrepresentable, Written, one_line};

const NFT: &str = "an nftables comment";

/// A named set with its elements.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Set {
    /// Its name.
    pub name: String,
    /// Type of its elements: `inet_service`, `ipv4_addr`, `ipv6_addr`.
    pub kind: &'static str,
    /// Whether elements are ranges.
    pub interval: bool,
    /// Whether rules put elements in, which leave again after a minute.
    pub dynamic: bool,
    /// The elements.
    pub elements: Vec<String>,
}

/// A chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chain {
    /// Its name.
    pub name: String,
    /// Where it is hooked in, such as `type filter hook input priority filter; policy drop;`.
    pub hook: String,
    /// Its rules, in order.
    pub rules: Vec<Rule>,
}

/// A rule: a statement, and a comment for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The statement.
    pub statement: String,
    /// The comment.
    pub comment: Option<String>,
}

impl Rule {
    /// A rule without a comment.
    pub fn new(statement: impl Into<String>) -> Self {
        Self { statement: statement.into(), comment: None }
    }

    /// The same with a comment, which comes from [`comment`] or is a plain text of ours.
    #[must_use]
    pub fn comment(mut self, comment: impl Into<String>) -> Self {
        self.comment = Some(comment.into());
        self
    }
}

/// A text of the user as a comment: at most 128 bytes, no quotes (the language has no escapes).
pub fn comment(text: &str) -> Written<&str> {
    one_line(NFT, text)?;
    if text.contains('"') {
        return Err(Unrepresentable::new(NFT, "a quotation mark"));
    }
    if text.len() > 127 {
        return Err(Unrepresentable::new(NFT, "more than 127 bytes"));
    }
    if text.ends_with('\\') { Err(Unrepresentable::new(NFT, "a backslash at the end")) } else { Ok(text) }
}

/// The text that replaces the table. Never a `flush ruleset`: other tables belong to others.
pub fn write(table: &str, sets: &[Set], chains: &[Chain]) -> String {
    format!("table {table}\ndelete table {table}\n\ntable {table} {{\n{}}}\n", body(sets, chains))
}

/// What stands in a table.
pub fn body(sets: &[Set], chains: &[Chain]) -> String {
    let mut out = String::new();
    for set in sets {
        let _ = writeln!(out, "\tset {} {{\n\t\ttype {}", set.name, set.kind);
        if set.dynamic {
            out.push_str("\t\tsize 65535\n\t\tflags dynamic,timeout\n\t\ttimeout 1m\n");
        }
        if set.interval {
            out.push_str("\t\tflags interval\n\t\tauto-merge\n");
        }
        if !set.elements.is_empty() {
            let _ = writeln!(out, "\t\telements = {{ {} }}", set.elements.join(", "));
        }
        out.push_str("\t}\n\n");
    }
    for (index, chain) in chains.iter().enumerate() {
        if index > 0 {
            out.push('\n');
        }
        let _ = writeln!(out, "\tchain {} {{\n\t\t{}", chain.name, chain.hook);
        for rule in &chain.rules {
            out.push_str("\t\t");
            out.push_str(&rule.statement);
            if let Some(comment) = &rule.comment {
                let _ = write!(out, " comment \"{comment}\"");
            }
            out.push('\n');
        }
        out.push_str("\t}\n");
    }
    out
}

/// `80` or `{ 80, 443 }`.
pub fn one_or_set<T: std::fmt::Display>(items: &[T]) -> String {
    match items {
        [one] => one.to_string(),
        many => {
            let texts: Vec<_> = many.iter().map(ToString::to_string).collect();
            format!("{{ {} }}", texts.join(", "))
        }
    }
}

/// A name of ours from a name of the user: words of the language must not stand alone as names.
pub fn identifier(prefix: &str, name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
    format!("{prefix}_{name}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn comments_have_no_escapes() {
        assert_eq!(comment("a 'b' #c").unwrap(), "a 'b' #c");
        for text in ["say \"hi\"", "two\nlines", "ends\\", &"x".repeat(128)] {
            assert!(comment(text).is_err());
        }
    }

    #[test]
    fn names_are_no_keywords() {
        assert_eq!(identifier("net", "fwd"), "net_fwd");
        assert_eq!(identifier("net", "my-lan"), "net_my_lan");
        assert_eq!(one_or_set(&[80]), "80");
        assert_eq!(one_or_set(&[80, 443]), "{ 80, 443 }");
    }
}
