//! Zone files (RFC 1035 section 5, RFC 2308 section 4, RFC 3597).

mod parser;
mod writer;

pub(crate) use parser::parse;
pub(crate) use writer::write;

#[cfg(test)]
mod tests;
