//! DNS on the wire: messages, TSIG, and connections that block. No part of it retries or decides.

mod connection;
mod message;
mod questions;
mod rcode;
mod tsig;

pub(crate) use connection::Connection;
pub(crate) use message::{Class, Message, Opcode, ResourceRecord, Section, Writer, record_size};
pub(crate) use questions::ask;
pub(crate) use rcode::Rcode;
pub(crate) use tsig::{TsigError, TsigExchange, TsigKey};
