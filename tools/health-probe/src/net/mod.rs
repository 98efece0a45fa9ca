//! The network beneath the probes: addresses, connections with their phases, TLS with its verdict.

mod certificate;
mod connection;
mod endpoint;
mod failure;
mod tls;
mod trust;

pub(crate) use connection::{AnyStream, Stream, connect, open, resolve};
pub(crate) use endpoint::Endpoint;
pub(crate) use failure::classify;
pub(crate) use tls::{TlsPlan, handshake};
pub(crate) use trust::{Trusts, certificates};
