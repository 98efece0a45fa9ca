//! SSH keys that may log in as a user.

use contract::document::AuthorizedKeys;

use super::{Kind, Thing, View};
use crate::engine::apply::Apply;
use crate::engine::entry::{Access, Content, Difference, Entry, Node};
use crate::engine::hash::sha256;
use crate::engine::host::Host;
use crate::engine::owned::{absent, existed};
use crate::fault::Outcome;
use crate::wire::Work;

pub(super) struct AuthorizedKeysKind<'a>(pub(super) &'a AuthorizedKeys);

/// What makes a line of authorized_keys(5) the key that it is: its type and its base64, without options and comment.
pub fn key_of(line: &str) -> Option<String> {
    let line = line.trim();
    if line.is_empty() || line.starts_with('#') {
        return None;
    }
    // Options come first and may hold blanks in quotes, so the type is looked for by its form.
    let words: Vec<&str> = line.split_whitespace().collect();
    let is_type = |word: &str| {
        ["ssh-", "ecdsa-", "sk-"].iter().any(|prefix| word.starts_with(prefix)) && !word.contains(['=', '"', ','])
    };
    // Every key's base64 begins with the length of its type's name.
    let pair = words.windows(2).find(|pair| is_type(pair[0]) && pair[1].starts_with("AAAA"))?;
    Some(pair.join(" "))
}

/// The home of a user, also of one that an item of the same document makes.
pub fn home_of(host: &Host, work: &Work, user: &str) -> String {
    if let Some(account) = host.accounts().user(user).filter(|_| !host.sandbox) {
        return account.home.clone();
    }
    // The user is made by an item of the same document.
    let declared = work.desired.items.iter().filter_map(|item| item.user.as_ref()).find(|item| item.name == user);
    declared.and_then(|item| item.home.clone()).unwrap_or_else(|| match user {
        "root" => "/root".into(),
        _ => format!("/home/{user}"),
    })
}

impl AuthorizedKeysKind<'_> {
    fn path(&self, view: View<'_>) -> String {
        format!("{}/.ssh/authorized_keys", home_of(view.host, view.work, &self.0.user))
    }

    fn thing(&self, key: &str) -> String {
        format!("{}/{}", self.0.user, &sha256(key.as_bytes())[..16])
    }
}

impl Kind for AuthorizedKeysKind<'_> {
    fn label(&self) -> &'static str {
        "authorized_keys"
    }

    fn name(&self) -> String {
        self.0.user.clone()
    }

    fn entries(&self, view: View<'_>) -> Outcome<Vec<Entry>> {
        let path = self.path(view);
        let user = self.0.user.clone();
        let accounts = view.host.accounts();
        let group =
            accounts.user(&user).and_then(|account| accounts.group_name(account.gid)).unwrap_or(&user).to_owned();
        let group = if view.host.sandbox { user.clone() } else { group };
        let access = |mode| Access { mode, owner: user.clone(), group: group.clone() };
        let old = match view.host.tree.read(&path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned(),
            Err(fault) => return Err(fault),
        };
        let wanted: Vec<String> = self.0.keys.iter().filter_map(|line| key_of(line)).collect();
        let mut lines: Vec<String> = Vec::new();
        if !self.0.exclusive {
            let kept = |line: &&str| key_of(line).is_none_or(|key| !wanted.contains(&key));
            lines.extend(old.lines().filter(kept).map(str::to_owned));
        }
        lines.extend(self.0.keys.iter().map(|line| line.trim().to_owned()));
        // The order of the file stays where its lines are the same: nothing to write then.
        let mut before: Vec<&str> = old.lines().collect();
        let mut after: Vec<&str> = lines.iter().map(String::as_str).collect();
        before.sort_unstable();
        after.sort_unstable();
        let text = if before == after { old.clone() } else { lines.join("\n") + "\n" };
        let file = Node::File {
            content: Content::new(text.into_bytes()),
            access: access(0o600),
            validate: Vec::new(),
            keep_existing: false,
        };
        let directory = path.trim_end_matches("/authorized_keys").to_owned();
        Ok(vec![
            Entry { path: directory, node: Node::Directory { access: access(0o700), data: false } },
            Entry { path, node: file },
        ])
    }

    fn things(&self, _view: View<'_>) -> Outcome<Vec<Thing>> {
        let keys = self.0.keys.iter().filter_map(|line| key_of(line));
        Ok(keys.map(|key| Thing { kind: "authorized_key", name: self.thing(&key) }).collect())
    }

    fn observe(&self, view: View<'_>) -> Outcome<Difference> {
        let mut all = Difference::default();
        for entry in self.entries(view)? {
            all.merge(entry.compare(view.host)?);
        }
        Ok(all)
    }

    fn converge(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        // The home of a user made just now is known only after that.
        apply.barrier()?;
        self.remember(apply)?;
        for entry in self.entries(apply.view())? {
            apply.place_unowned(&entry)?;
        }
        apply.barrier()
    }

    fn remember(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        let old = apply.host.tree.read(&self.path(apply.view()))?.unwrap_or_default();
        let old: Vec<String> = String::from_utf8_lossy(&old).lines().filter_map(key_of).collect();
        for key in self.0.keys.iter().filter_map(|line| key_of(line)) {
            // A key that was there before us stays when we leave.
            let original = if old.contains(&key) { existed() } else { absent() };
            apply.own("authorized_key", &self.thing(&key), None, false, original);
        }
        Ok(())
    }
}

/// The authorized_keys file without one key of ours; `None` where it is not there any more.
///
/// # Errors
/// Those of the system.
pub fn remove_key(host: &Host, thing: &str) -> Outcome<Option<Entry>> {
    let Some((user, hash)) = thing.rsplit_once('/') else { return Ok(None) };
    let accounts = host.accounts();
    let home = match accounts.user(user).filter(|_| !host.sandbox) {
        Some(account) => account.home.clone(),
        None if user == "root" => "/root".into(),
        None => format!("/home/{user}"),
    };
    let path = format!("{home}/.ssh/authorized_keys");
    let Some(bytes) = host.tree.read(&path)? else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let is_it = |line: &&str| key_of(line).is_some_and(|key| sha256(key.as_bytes())[..16] == *hash);
    if !text.lines().any(|line| is_it(&line)) {
        return Ok(None);
    }
    let left: String = text.lines().filter(|line| !is_it(line)).flat_map(|line| [line, "\n"]).collect();
    let group = accounts.user(user).and_then(|account| accounts.group_name(account.gid)).unwrap_or(user).to_owned();
    let access = Access { mode: 0o600, owner: user.into(), group };
    let node =
        Node::File { content: Content::new(left.into_bytes()), access, validate: Vec::new(), keep_existing: false };
    Ok(Some(Entry { path, node }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_its_type_and_base64() {
        let key = Some("ssh-ed25519 AAAA".to_owned());
        assert_eq!(key_of("ssh-ed25519 AAAA me@here"), key);
        assert_eq!(key_of("  from=\"10.0.0.0/8\",command=\"a ssh-x b\" ssh-ed25519 AAAA"), key);
        assert_eq!(key_of("# ssh-ed25519 AAAA"), None);
        assert_eq!(key_of("ssh-ed25519"), None);
    }
}
