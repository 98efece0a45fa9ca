//! Make DNS zones equal to what is declared.

mod declared_zone;
mod error;
mod lint;
mod live_zone;
mod name;
mod name_servers;
mod provider;
mod rdata;
mod record_type;
mod registry;
mod rrset;
mod text;
mod token;
mod verb;
mod wire;
mod workers;
mod zone_apply;
mod zone_file;
mod zone_plan;

use cli::Tool;
use contract::SchemaId;

pub use verb::{Verb, run};

/// The program.
pub static TOOL: Tool = Tool {
    name: "dns-sync",
    version: env!("CARGO_PKG_VERSION"),
    about: "Make DNS zones equal to what is declared",
    examples: "
dns-sync check dns.json                                   problems of the document, without a network
dns-sync plan dns.json --output text                      what an apply would change
dns-sync plan dns.json > plan.json && dns-sync apply plan.json   exactly what was shown
dns-sync plan dns.json --check                            exit 1 where zones have drifted
dns-sync verify dns.json --wait 2m                        ask every authoritative server
dns-sync dump example.org dns.json                        the zone as it is, as a document",
    documents: &[
        SchemaId::DNS_DESIRED,
        SchemaId::DNS_PLAN,
        SchemaId::DNS_RESULT,
        SchemaId::DNS_VERIFY,
        SchemaId::FINDINGS,
    ],
    reports: &["inverse"],
};
