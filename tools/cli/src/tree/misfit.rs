//! What does not fit a type, with its place.

use std::fmt;

use contract::Pointer;
use serde::de::{self, Expected, Unexpected};

/// What does not fit, and where.
#[derive(Debug)]
pub(crate) struct Misfit(Box<Inner>);

#[derive(Debug)]
struct Inner {
    /// The keys that lead there, the innermost first.
    path: Vec<String>,
    error: serde_json::Error,
}

impl Misfit {
    /// The place of what does not fit.
    pub(crate) fn pointer(&self) -> Pointer {
        self.0.path.iter().rev().fold(Pointer::root(), |place, key| place.join(key))
    }

    #[cold]
    pub(super) fn below(mut self, key: impl Into<String>) -> Self {
        self.0.path.push(key.into());
        self
    }
}

impl From<serde_json::Error> for Misfit {
    #[cold]
    fn from(error: serde_json::Error) -> Self {
        Self(Box::new(Inner { path: Vec::new(), error }))
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.error.fmt(f)
    }
}

impl std::error::Error for Misfit {}

impl de::Error for Misfit {
    #[cold]
    fn custom<T: fmt::Display>(message: T) -> Self {
        serde_json::Error::custom(message).into()
    }

    // serde_json knows what JSON calls things: `null` and not "unit value".
    #[cold]
    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        serde_json::Error::invalid_type(found, expected).into()
    }

    #[cold]
    fn invalid_value(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        serde_json::Error::invalid_value(found, expected).into()
    }
}
