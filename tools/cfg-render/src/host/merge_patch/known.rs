//! The names that formats know, at every depth.
//!
//! They stand in one table for each format, of which each line is a place: `place: name name=place *=place!a|b`. A name
//! without a place holds no names of its own, `=?` is free, `*` is any name; after `!` are those of which a new one
//! needs at least one, without which it would be nothing. A line that begins with a blank goes on with the one before.
//! Lists are looked through: their elements have the names.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// A format in which patches are known.
pub(in crate::host) struct Format {
    pub(super) what: &'static str,
    /// How names begin that are the user's own at every place.
    pub(super) own: Option<&'static str>,
    table: LazyLock<BTreeMap<&'static str, Names>>,
}

/// The names at a place.
#[derive(Debug, Default)]
pub(super) struct Names {
    pub(super) known: BTreeMap<&'static str, Inner>,
    any: Option<(Inner, Vec<&'static str>)>,
}

/// What is known of the value of a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Inner {
    None,
    Free,
    Place(&'static str),
}

/// What may stand at a place.
#[derive(Debug, Clone, Copy)]
pub(super) enum Place {
    /// Anything.
    Free,
    /// No object.
    Value,
    /// These names.
    Names(&'static Names),
}

/// What a place says of a name.
pub(super) enum Known {
    Yes(Place),
    /// Only if it is there already, or has one of these.
    OrWith(Place, &'static [&'static str]),
    No,
}

/// Prometheus' configuration.
pub(in crate::host) static PROMETHEUS: Format = Format {
    what: "Prometheus' configuration",
    own: None,
    table: LazyLock::new(|| read(include_str!("prometheus.keys"))),
};

/// A Compose file.
pub(in crate::host) static COMPOSE: Format =
    Format { what: "the Compose file", own: Some("x-"), table: LazyLock::new(|| read(include_str!("compose.keys"))) };

/// Traefik's dynamic configuration.
pub(in crate::host) static TRAEFIK: Format = Format {
    what: "Traefik's dynamic configuration",
    own: None,
    table: LazyLock::new(|| read(include_str!("traefik.keys"))),
};

impl Format {
    /// The whole document, which is the first line of the table.
    pub(super) fn top(&'static self) -> Place {
        self.place(Inner::Place(""))
    }

    fn place(&'static self, inner: Inner) -> Place {
        match inner {
            Inner::None => Place::Value,
            Inner::Free => Place::Free,
            // A place without a line would let everything through; a test sees that there is none.
            Inner::Place(name) => self.table.get(name).map_or(Place::Free, Place::Names),
        }
    }

    /// What a place says of a name.
    pub(super) fn name(&'static self, place: Place, name: &str) -> Known {
        let names = match place {
            Place::Free => return Known::Yes(Place::Free),
            _ if self.own.is_some_and(|own| name.starts_with(own)) => return Known::Yes(Place::Free),
            Place::Value => return Known::No,
            Place::Names(names) => names,
        };
        match (names.known.get(name), &names.any) {
            (Some(inner), _) => Known::Yes(self.place(*inner)),
            (None, Some((inner, needed))) if needed.is_empty() => Known::Yes(self.place(*inner)),
            (None, Some((inner, needed))) => Known::OrWith(self.place(*inner), needed),
            (None, None) => Known::No,
        }
    }
}

fn read(table: &'static str) -> BTreeMap<&'static str, Names> {
    let mut all: BTreeMap<&'static str, Names> = BTreeMap::new();
    let mut at = None;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let (place, names) = match line.split_once(": ") {
            Some((place, names)) if !line.starts_with(' ') => (Some(place), names),
            _ => (None, line),
        };
        if let Some(place) = place {
            // The first is the document itself.
            at = Some(if all.is_empty() { "" } else { place });
        }
        let names = names.split_whitespace().map(read_name);
        let here = all.entry(at.unwrap_or_default()).or_default();
        for (name, inner, needed) in names {
            if name == "*" {
                here.any = Some((inner, needed));
            } else {
                here.known.insert(name, inner);
            }
        }
    }
    all
}

fn read_name(text: &'static str) -> (&'static str, Inner, Vec<&'static str>) {
    let (text, needed) = match text.split_once('!') {
        Some((text, needed)) => (text, needed.split('|').collect()),
        None => (text, Vec::new()),
    };
    match text.split_once('=') {
        None => (text, Inner::None, needed),
        Some((name, "?")) => (name, Inner::Free, needed),
        Some((name, place)) => (name, Inner::Place(place), needed),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_of_the_tables_is_there_and_each_is_reached() {
        for format in [&PROMETHEUS, &COMPOSE, &TRAEFIK] {
            let mut reached = std::collections::BTreeSet::from([""]);
            for (place, names) in format.table.iter() {
                for inner in names.known.values().chain(names.any.iter().map(|(inner, _)| inner)) {
                    if let Inner::Place(name) = inner {
                        assert!(format.table.contains_key(name), "{}: {place} leads to {name}", format.what);
                        reached.insert(name);
                    }
                }
            }
            assert_eq!(reached, format.table.keys().copied().collect(), "{}", format.what);
        }
    }
}
