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
mod every_proxy;
mod fleet;
mod formats;
mod live;
mod logins;
mod machine;
mod mail;
mod matrix;
mod model;
mod monitoring;
mod names;
mod network;
mod newer_nginx;
mod nixos;
mod operations;
mod pgbouncer;
mod rich;
mod run;
mod seeds;
mod signing_on;
mod single_sign_on;
mod traefik;
mod tunnels;
mod user_units;
mod verbs;
mod zabbix;
