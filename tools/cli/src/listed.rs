//! A document with one long list, read element by element: ten thousand checks need not lie in memory as a tree of JSON.

use contract::{Document, Exit};
use serde::de::{self, DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use crate::Failure;
use crate::source::{RawDocument, Source};
use crate::tree::{Entry, Tree};

/// A document whose long list is empty here, and given out element by element.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed<D> {
    /// All but the list.
    pub document: D,
    /// Its text.
    pub source: Source,
    list: &'static str,
}

impl<D: Document> Listed<D> {
    pub(crate) fn read(name: &str, text: String, list: &'static str) -> Result<Self, Failure> {
        let head = walk(&text, list, &mut |_| true).and_then(|mut head| {
            head.strip_extensions();
            (head.remove("schema")? == Tree::Text(D::ID.as_str().into())).then_some(head)
        });
        match head.and_then(|head| head.read().ok()) {
            Some(document) => Ok(Self { document, source: Source::new(name, text), list }),
            None => Err(what_is_wrong::<D>(name, &text)),
        }
    }

    /// Gives every element of the list, in order.
    ///
    /// # Errors
    /// 65 with the place of the first thing that does not fit.
    pub fn each<T: DeserializeOwned>(&self, mut take: impl FnMut(T)) -> Result<(), Failure> {
        let mut good = true;
        let walked = walk(self.source.text(), self.list, &mut |mut element| {
            element.strip_comments();
            match element.read() {
                Ok(element) => take(element),
                Err(_) => good = false,
            }
            good
        });
        if good && walked.is_some() {
            return Ok(());
        }
        Err(what_is_wrong::<D>(self.source.name(), self.source.text()))
    }
}

/// The usual reader says what is wrong, at the cost of the whole tree.
fn what_is_wrong<D: Document>(name: &str, text: &str) -> Failure {
    let read = RawDocument::parse_one(name, text.to_owned(), &[D::ID]).and_then(RawDocument::read::<D>);
    match read {
        Err(failure) => failure,
        Ok(_) => Failure::new(Exit::Bug, "listed", "a document is good as a whole, but not in its parts").place(name),
    }
}

/// The one object of a text, with `list` left empty and its elements given to `each` until that says no.
fn walk(text: &str, list: &str, each: &mut dyn FnMut(Tree) -> bool) -> Option<Tree> {
    let mut deserializer = serde_json::Deserializer::from_str(text);
    let value = Root { list, each }.deserialize(&mut deserializer).ok()?;
    deserializer.end().ok()?;
    Some(value)
}

struct Root<'a> {
    list: &'a str,
    each: &'a mut dyn FnMut(Tree) -> bool,
}

impl<'de> DeserializeSeed<'de> for Root<'_> {
    type Value = Tree;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Tree, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Root<'_> {
    type Value = Tree;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Tree, A::Error> {
        let mut object: Vec<Entry> = Vec::new();
        while let Some(key) = map.next_key::<Box<str>>()? {
            if object.iter().any(|(known, _)| *known == key) {
                return Err(de::Error::custom("a key stands twice"));
            }
            let value = if *key == *self.list {
                map.next_value_seed(Elements(&mut *self.each))?;
                Tree::List(Box::default())
            } else {
                map.next_value()?
            };
            object.push((key, value));
        }
        Ok(Tree::Object(object.into()))
    }
}

struct Elements<'a>(&'a mut dyn FnMut(Tree) -> bool);

impl<'de> DeserializeSeed<'de> for Elements<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = ();

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element()? {
            if !(self.0)(element) {
                return Err(de::Error::custom("not wanted"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use contract::document::{HealthCheck, HealthChecks};

    use super::*;

    fn read(text: &str) -> Result<(HealthChecks, Vec<HealthCheck>), Failure> {
        let listed = Listed::<HealthChecks>::read("x.json", text.to_owned(), "checks")?;
        let mut elements = Vec::new();
        listed.each(|element| elements.push(element))?;
        Ok((listed.document, elements))
    }

    #[test]
    fn parts_are_what_the_whole_is() {
        let text = r#"{"checks":[{"//":"why","id":"a","node":{}},{"id":"b","x-y":1,"node":{}}],
            "defaults":{"timeout":"1s"},"schema":"health.checks/v1","$schema":"s","vantage":"here"}"#;
        let (mut document, checks) = read(text).unwrap();
        document.checks = checks;
        let whole = RawDocument::parse_one("x.json", text.to_owned(), &[HealthChecks::ID]).unwrap();
        assert_eq!(document, whole.read::<HealthChecks>().unwrap().document);
    }

    #[test]
    fn errors_are_those_of_the_whole() {
        for text in [
            "",
            "[]",
            "{\"checks\":[]}",
            r#"{"schema":"findings/v1","checks":[]}"#,
            r#"{"schema":"health.checks/v1"}"#,
            r#"{"schema":"health.checks/v1","checks":5}"#,
            r#"{"schema":"health.checks/v1","checks":[{"id":"a","id":"b"}]}"#,
            r#"{"schema":"health.checks/v1","checks":[{"id":"a"},{"idd":"b"}]}"#,
            r#"{"schema":"health.checks/v1","checks":[{"id":"a","tcp":{"address":5}}]}"#,
            r#"{"schema":"health.checks/v1","checks":[],"checks":[]}"#,
            r#"{"schema":"health.checks/v1","checks":[]} {}"#,
            r#"{"schema":"health.checks/v1","checks":[{"id":"a""#,
        ] {
            let parts = read(text).map(drop).unwrap_err();
            let whole = RawDocument::parse_one("x.json", text.to_owned(), &[HealthChecks::ID])
                .and_then(RawDocument::read::<HealthChecks>)
                .unwrap_err();
            assert_eq!(format!("{parts:?}"), format!("{whole:?}"), "{text}");
        }
    }
}
