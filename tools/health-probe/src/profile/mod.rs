//! What healthy means for programs that are often run: where to ask, and what the answer must be.
//!
//! A profile is chosen by name, never by port. It fills in only what the check itself does not say. Each names where its
//! facts stand; `PROFILES.md` beside the manual is printed from this table.

mod atproto;
mod base;
mod code;
mod home;
mod media;
mod metrics;
mod office;

#[cfg(test)]
mod tests;

/// Every profile, by group.
const GROUPS: &[(&str, &[Profile])] = &[
    ("Edges, databases, hosts", base::PROFILES),
    ("Metrics, logs, alerts", metrics::PROFILES),
    ("Sign-on, documents, work", office::PROFILES),
    ("Code, passwords, mail", code::PROFILES),
    ("At home", home::PROFILES),
    ("Media", media::PROFILES),
    ("AT Protocol", atproto::PROFILES),
];

/// What healthy means for one program.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Profile {
    /// Its name, as in `"profile": "grafana"`.
    pub name: &'static str,
    /// The kind of check that it is for.
    pub kind: Kind,
    /// Where to ask, if the URL ends at the host.
    pub path: &'static str,
    /// Good statuses; 200 to 299 if empty.
    pub status: &'static [u16],
    /// What must be true of the body.
    pub expect: &'static [Expect],
    /// What is said to a TCP port, and a regular expression for what it must answer.
    pub talk: Option<Talk>,
    /// What the answer proves.
    pub depth: Depth,
    /// Where these facts were read.
    pub source: &'static str,
}

/// The kind of check that a profile is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// An HTTP request.
    Http,
    /// A WebSocket whose first message must arrive.
    WebSocket,
    /// A TCP connection.
    Tcp,
}

/// A few words with a TCP port.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Talk {
    /// What is said.
    pub send: &'static str,
    /// A regular expression for what must be answered.
    pub banner: &'static str,
}

/// What must be true of a body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Expect {
    /// This text is in it.
    Contains(&'static str),
    /// This text is not in it.
    Lacks(&'static str),
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
    const fn of(kind: Kind, name: &'static str, path: &'static str, depth: Depth, source: &'static str) -> Self {
        Self { name, kind, path, status: &[], expect: &[], talk: None, depth, source }
    }

    /// A program that is asked over HTTP.
    const fn http(name: &'static str, path: &'static str, depth: Depth, source: &'static str) -> Self {
        Self { status: &[200], ..Self::of(Kind::Http, name, path, depth, source) }
    }

    /// A program whose first message over a WebSocket shows that it works.
    const fn websocket(name: &'static str, path: &'static str, source: &'static str) -> Self {
        Self::of(Kind::WebSocket, name, path, Depth::Deep, source)
    }

    /// A program of which a connection is all that a stranger gets.
    const fn tcp(name: &'static str, source: &'static str) -> Self {
        Self::of(Kind::Tcp, name, "/", Depth::Shallow, source)
    }

    /// Other good statuses.
    const fn status(self, status: &'static [u16]) -> Self {
        Self { status, ..self }
    }

    /// What must be true of the body.
    const fn expect(self, expect: &'static [Expect]) -> Self {
        Self { expect, ..self }
    }

    /// What is said, and what must be answered.
    const fn talk(self, send: &'static str, banner: &'static str) -> Self {
        Self { talk: Some(Talk { send, banner }), ..self }
    }

    /// Every profile.
    pub(crate) fn all() -> impl Iterator<Item = &'static Profile> {
        GROUPS.iter().flat_map(|(_, profiles)| profiles.iter())
    }

    /// The profile of this name.
    pub(crate) fn find(name: &str) -> Option<&'static Profile> {
        Self::all().find(|profile| profile.name == name)
    }

    /// Every name.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        Self::all().map(|profile| profile.name)
    }
}

impl Kind {
    /// The key of the check that it is for.
    pub(crate) fn key(self) -> &'static str {
        match self {
            Kind::Http => "http",
            Kind::WebSocket => "websocket",
            Kind::Tcp => "tcp",
        }
    }
}
