//! One binary for all tests of cfg-render from outside: fast to link, run in parallel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod certs;
mod check;
mod containers;
mod docs;
mod documents;
mod fleet;
mod formats;
mod live;
mod model;
mod newer_nginx;
mod rich;
mod run;
mod seeds;
