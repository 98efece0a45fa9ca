//! Options of a module, as several parts set them.

use std::collections::BTreeMap;

use super::Nix;
use super::write::ends_line;

/// Options of a module by path; what two parts say about one option is put together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Options(BTreeMap<String, Nix>);

impl Options {
    /// Sets an option. Attribute sets are merged, lists and texts of lines are appended, anything else is replaced.
    pub fn set<S: AsRef<str>>(&mut self, path: &[S], value: Nix) {
        let Some((last, rest)) = path.split_last() else { return };
        let mut place = &mut self.0;
        for key in rest {
            let next = place.entry(key.as_ref().to_owned()).or_insert_with(|| Nix::Set(BTreeMap::new()));
            if !matches!(next, Nix::Set(_)) {
                *next = Nix::Set(BTreeMap::new());
            }
            let Nix::Set(next) = next else { return };
            place = next;
        }
        match place.get_mut(last.as_ref()) {
            Some(old) => merge(old, value),
            None => {
                place.insert(last.as_ref().to_owned(), value);
            }
        }
    }

    /// Whether nothing is set.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The body of a module.
    pub fn into_value(self) -> Nix {
        Nix::Set(self.0)
    }
}

fn merge(old: &mut Nix, new: Nix) {
    match (old, new) {
        (Nix::Set(old), Nix::Set(new)) => {
            for (key, value) in new {
                match old.get_mut(&key) {
                    Some(known) => merge(known, value),
                    None => {
                        old.insert(key, value);
                    }
                }
            }
        }
        (Nix::List(old), Nix::List(new)) => {
            for value in new {
                if !old.contains(&value) {
                    old.push(value);
                }
            }
        }
        (Nix::Text(old), Nix::Text(new)) if ends_line(old) && ends_line(&new) => old.extend(new),
        (old, new) => *old = new,
    }
}
