//! What healthy means for programs that are often run: where to ask, and what the answer must be.
//!
//! A profile is chosen by name, never by port. It fills in only what the check itself does not say.

mod table;

pub(crate) use table::PROFILES;

/// What healthy means for one program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Its name, as in `"profile": "grafana"`.
    pub name: &'static str,
    /// Where to ask, if the URL ends at the host.
    pub path: &'static str,
    /// Good statuses; 200 to 299 if empty.
    pub status: &'static [u16],
    /// What must be true of the body.
    pub expect: &'static [Expect],
    /// What the answer proves.
    pub depth: Depth,
    /// Where these facts were read; none where they are common knowledge that nobody compared with the program yet.
    pub source: Option<&'static str>,
}

/// What must be true of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// This text is in it.
    Contains(&'static str),
    /// The JSON value here is this text.
    Text(&'static str, &'static str),
    /// The JSON value here is this flag.
    Flag(&'static str, bool),
    /// There is a JSON value here.
    Present(&'static str),
}

/// What a good answer proves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Depth {
    /// The program asks its own database, cache or disk before it answers.
    Deep,
    /// The program has finished starting.
    Ready,
    /// The program answers; what it needs may be dead.
    Shallow,
}

impl Profile {
    /// The profile of this name.
    pub(crate) fn find(name: &str) -> Option<&'static Profile> {
        PROFILES.iter().find(|profile| profile.name == name)
    }

    /// Every name.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        PROFILES.iter().map(|profile| profile.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_sorted_and_found() {
        let names: Vec<_> = Profile::names().collect();
        assert!(names.is_sorted_by(|a, b| a < b), "{names:?}");
        assert_eq!(Profile::find("grafana").map(|profile| profile.path), Some("/api/health"));
        assert!(PROFILES.iter().all(|profile| profile.path.starts_with('/')));
    }
}
