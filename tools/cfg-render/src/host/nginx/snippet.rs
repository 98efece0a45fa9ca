//! Text of the user inside nginx' configuration.

use contract::{Finding, Pointer};

use crate::format::nginx::{self, Directive};
use crate::host::HostBuilder;

/// Directives that may stand several times in a block; of all others the user's stands in the place of ours.
const REPEATED: [&str; 16] = [
    "add_header",
    "allow",
    "auth_request_set",
    "deny",
    "error_page",
    "if",
    "include",
    "limit_req",
    "limit_req_zone",
    "listen",
    "location",
    "map",
    "proxy_set_header",
    "rewrite",
    "server",
    "set_real_ip_from",
];

/// Puts lines of the user into a block.
pub(crate) fn merge(builder: &mut HostBuilder<'_, '_>, block: &mut Vec<Directive>, lines: &[String], at: &Pointer) {
    for (index, line) in lines.iter().enumerate() {
        let line = line.trim();
        let text = if line.ends_with(';') || line.ends_with('}') { line.to_owned() } else { format!("{line};") };
        match nginx::read(&text) {
            Ok(directives) => {
                for directive in directives {
                    if !REPEATED.contains(&directive.name.as_str()) {
                        block.retain(|ours| ours.name != directive.name);
                    }
                    block.push(directive);
                }
            }
            Err(problem) => {
                builder.findings.push(Finding::error("bad-snippet", at.join(index), format!("not nginx: {problem}")));
            }
        }
    }
}
