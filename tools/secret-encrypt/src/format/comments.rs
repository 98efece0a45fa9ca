//! The comments that are in force at a value. A value shares the list of what encloses it: thousands of values below thousands
//! of comments are no more than both together.

use std::rc::Rc;

/// A list of comments, the last one first.
#[derive(Debug, Clone, Default)]
pub(crate) struct Comments(Option<Rc<Link>>);

#[derive(Debug)]
struct Link {
    text: String,
    before: Comments,
}

impl Comments {
    /// Adds one.
    pub(crate) fn push(&mut self, text: &str) {
        let before = Self(self.0.take());
        self.0 = Some(Rc::new(Link { text: text.to_owned(), before }));
    }

    /// All of them, the last one first.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        std::iter::successors(self.0.as_deref(), |link| link.before.0.as_deref()).map(|link| link.text.as_str())
    }
}

impl Drop for Comments {
    // Link by link: the default would go down a long list on the stack.
    fn drop(&mut self) {
        while let Some(mut link) = self.0.take().and_then(|link| Rc::try_unwrap(link).ok()) {
            self.0 = link.before.0.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_shared_and_dropped() {
        let mut list = Comments::default();
        (0..200_000).for_each(|at| list.push(&at.to_string()));
        let shared = list.clone();
        list.push("own");
        assert_eq!(list.iter().take(2).collect::<Vec<_>>(), ["own", "199999"]);
        assert_eq!(shared.iter().count(), 200_000);
        drop(list);
        assert_eq!(shared.iter().next(), Some("199999"));
    }
}
