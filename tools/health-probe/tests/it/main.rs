//! Tests of the program from outside: the built binary, real sockets, real peers where they are installed.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::print_stderr, missing_docs, unreachable_pub)]

mod documents;
mod edge;
mod formats;
mod graph;
mod hostile;
mod hostile_report;
mod http;
mod kinds;
mod live;
mod manual;
mod peers;
mod profiles;
mod programs;
mod secrets;
mod seeds;
mod server;
mod state;
mod tls;
mod tool;
mod vantage;
mod verdicts;
mod wait;
