//! References instead of values: recognised, checked for form, and resolved through the program of their provider.

mod catalogue;
mod provider;
mod reference;

pub(crate) use catalogue::{Catalogue, leaves};
pub(crate) use provider::{Declared, Providers};
pub(crate) use reference::{Reference, is_reference};
