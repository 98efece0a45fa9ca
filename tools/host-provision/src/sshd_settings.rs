//! What the files of a document say to sshd, read as sshd_config(5) describes: the first value of a keyword wins, Match
//! blocks go before, and some keywords add up.

use contract::Pointer;
use contract::document::HostDesired;

use crate::pattern::fits;

/// Settings, in the order in which sshd reads them.
#[derive(Debug, Clone, Default)]
pub struct SshdSettings(Vec<Line>);

#[derive(Debug, Clone)]
struct Line {
    keyword: String,
    words: Vec<String>,
    /// The criteria of the Match block that it stands in.
    block: Option<Vec<String>>,
    at: Pointer,
}

/// The words behind a keyword, and where the document says them.
pub type Setting<'a> = (&'a [String], &'a Pointer);

impl SshdSettings {
    /// From the files of a document below /etc/ssh.
    pub fn declared(desired: &HostDesired) -> Self {
        let mut files: Vec<(&str, &str, Pointer)> = Vec::new();
        for (index, item) in desired.items.iter().enumerate() {
            let Some(file) = &item.file else { continue };
            let Some(text) = &file.content else { continue };
            let is_drop_in =
                file.path.starts_with("/etc/ssh/sshd_config.d/") && file.path.rsplit('.').next() == Some("conf");
            if is_drop_in || file.path == "/etc/ssh/sshd_config" {
                let at = Pointer::root().join("items").join(index).join("file").join("content");
                files.push((&file.path, text, at));
            }
        }
        // Drop-ins are included at the top of the main file, in the order of their names.
        files.sort_by_key(|(path, _, _)| (*path == "/etc/ssh/sshd_config", (*path).to_owned()));
        let mut lines = Vec::new();
        for (_, text, at) in files {
            read(text, &at, &mut lines);
        }
        Self(lines)
    }

    /// Every line of a keyword outside of Match blocks.
    pub fn all(&self, keyword: &str) -> Vec<(&[String], Pointer)> {
        let lines = self.0.iter().filter(|line| line.keyword == keyword && line.block.is_none());
        lines.map(|line| (line.words.as_slice(), line.at.clone())).collect()
    }

    /// The value that counts for a user.
    pub fn of_user(&self, user: &str, keyword: &str) -> Option<Setting<'_>> {
        let lines = || self.0.iter().filter(|line| line.keyword == keyword);
        let matched = lines().find(|line| line.block.as_ref().is_some_and(|block| may_match(block, user)));
        matched.or_else(|| lines().find(|line| line.block.is_none())).map(|line| (line.words.as_slice(), &line.at))
    }

    /// Every line of a keyword that adds up, as far as it is for a user.
    pub fn all_of_user(&self, user: &str, keyword: &str) -> Vec<Setting<'_>> {
        let lines = self.0.iter().filter(|line| line.keyword == keyword);
        lines
            .filter(|line| line.block.as_ref().is_none_or(|block| may_match(block, user)))
            .map(|line| (line.words.as_slice(), &line.at))
            .collect()
    }
}

fn read(text: &str, at: &Pointer, lines: &mut Vec<Line>) {
    let mut block: Option<Vec<String>> = None;
    for line in text.lines() {
        let line = line.trim();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (keyword, rest) = line.split_once([' ', '\t', '=']).unwrap_or((line, ""));
        let words: Vec<String> = rest
            .trim_start_matches([' ', '\t', '='])
            .split_whitespace()
            .take_while(|word| !word.starts_with('#'))
            .map(|word| word.trim_matches('"').to_owned())
            .collect();
        let keyword = keyword.to_ascii_lowercase();
        if keyword == "match" {
            block = Some(words);
        } else {
            lines.push(Line { keyword, words, block: block.clone(), at: at.clone() });
        }
    }
}

/// Whether a Match block may be for a user; what it asks besides is not known here.
fn may_match(criteria: &[String], user: &str) -> bool {
    criteria.windows(2).all(|pair| {
        !pair[0].eq_ignore_ascii_case("user")
            || list_matches(&pair[1].split(',').map(str::to_owned).collect::<Vec<_>>(), user)
    })
}

/// Whether a list of patterns (ssh_config(5), PATTERNS) names a text: one fits, and none with `!` does.
pub fn list_matches(patterns: &[String], text: &str) -> bool {
    let mut named = false;
    for pattern in patterns {
        match pattern.strip_prefix('!') {
            Some(pattern) if fits(pattern, text) => return false,
            Some(_) => {}
            None => named |= fits(pattern, text),
        }
    }
    named
}

#[cfg(test)]
mod tests {
    use contract::document::{File, HostItem};

    use super::*;

    fn settings(files: &[(&str, &str)]) -> SshdSettings {
        let item = |(path, text): &(&str, &str)| HostItem {
            file: Some(File {
                path: (*path).into(),
                mode: contract::FileMode::new(0o600),
                owner: "root".into(),
                group: "root".into(),
                content: Some((*text).into()),
                content_base64: None,
                source: None,
                sha256: None,
                validate: Vec::new(),
                set: None,
                keep_existing: false,
            }),
            ..HostItem::default()
        };
        SshdSettings::declared(&HostDesired { items: files.iter().map(item).collect(), ..HostDesired::default() })
    }

    #[test]
    fn the_first_value_wins_and_blocks_go_before() {
        let text = "PermitRootLogin no\nMatch User ops,!root Address 10.0.0.0/8\n PubkeyAuthentication no\nMatch all\n X11Forwarding no\n";
        let all = settings(&[
            ("/etc/ssh/sshd_config", "PermitRootLogin yes\nPort 22\n"),
            ("/etc/ssh/sshd_config.d/20-b.conf", text),
            ("/etc/ssh/sshd_config.d/10-a.conf", "Port=2222 # new\npubkeyauthentication \"yes\"\n"),
        ]);
        let value = |user, keyword| all.of_user(user, keyword).map(|(words, _)| words[0].clone());
        assert_eq!(value("root", "permitrootlogin").as_deref(), Some("no"));
        assert_eq!(value("ops", "pubkeyauthentication").as_deref(), Some("no"));
        assert_eq!(value("root", "pubkeyauthentication").as_deref(), Some("yes"));
        assert_eq!(all.all("port").len(), 2);
        assert_eq!(all.all("port")[0].0, ["2222"]);
    }

    #[test]
    fn patterns() {
        let list = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
        assert!(list_matches(&list(&["o?s", "x"]), "ops"));
        assert!(list_matches(&list(&["*"]), ""));
        assert!(!list_matches(&list(&["*", "!ops"]), "ops"));
        assert!(!list_matches(&list(&["op"]), "ops"));
    }
}
