//! One binary for all tests of cfg-render from outside: fast to link, run in parallel.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr)]

mod acme;
mod adopt;
mod certs;
mod check;
mod containers;
mod docs;
mod documents;
mod edge;
mod fleet;
mod formats;
mod live;
mod matrix;
mod model;
mod monitoring;
mod names;
mod newer_nginx;
mod nixos;
mod operations;
mod pgbouncer;
mod rich;
mod run;
mod seeds;
mod single_sign_on;
mod traefik;
mod verbs;
