//! Named lists of addresses that a host turns away, in a table of their own: what people and programs put into a list stays
//! when the rules are loaded again.

use std::fmt::Write as _;

use super::HostBuilder;
use crate::format::nftables::identifier;

/// The table, with its family.
pub(crate) const TABLE: &str = "inet plumbline_lists";

/// The text that follows the host's own table; empty without lists.
pub(crate) fn write(builder: &HostBuilder<'_, '_>) -> String {
    let firewall = builder.host.spec.firewall.clone().unwrap_or_default();
    if firewall.block.is_empty() {
        return String::new();
    }
    let mut sets = String::new();
    let mut rules = String::new();
    let mut elements = String::new();
    for (name, ranges) in &firewall.block {
        for (family, kind, v4) in [("ip", "ipv4_addr", true), ("ip6", "ipv6_addr", false)] {
            let set = identifier("block", name) + if v4 { "_4" } else { "_6" };
            // Writing to a string does not fail.
            let _ = writeln!(sets, "\tset {set} {{\n\t\ttype {kind}\n\t\tflags interval\n\t\tauto-merge\n\t}}");
            let _ = writeln!(rules, "\t\t{family} saddr @{set} counter drop");
            let own: Vec<_> =
                ranges.iter().filter(|range| range.0.addr().is_ipv4() == v4).map(ToString::to_string).collect();
            if !own.is_empty() {
                let _ = writeln!(elements, "add element {TABLE} {set} {{ {} }}", own.join(", "));
            }
        }
    }
    format!(
        "\n# Lists: add to one with `nft add element {TABLE} block_NAME_4 {{ 192.0.2.1 }}`. They are not emptied here.\n\
         table {TABLE} {{\n{sets}\tchain listed {{\n\t\ttype filter hook prerouting priority filter; policy accept;\n\t}}\n}}\n\
         flush chain {TABLE} listed\n\
         table {TABLE} {{\n\tchain listed {{\n{rules}\t}}\n}}\n{elements}"
    )
}
