//! Compile a fleet document into every configuration file and every document of the other tools.

pub mod check;
pub mod fleet;
