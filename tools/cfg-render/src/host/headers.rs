//! Headers that a proxy adds to answers.

use std::collections::BTreeMap;

use crate::fleet::{Header, ProxyServer};
use crate::model::Entry;

/// Headers added to the answers of an entry: defaults, the proxy's, the entry's own; an empty value takes one away. None
/// behind an edge, which adds them itself.
pub(super) fn of(proxy: &ProxyServer, entry: &Entry<'_>, tls: bool) -> Vec<(String, String)> {
    if entry.behind.is_some() {
        return Vec::new();
    }
    let mut all: BTreeMap<String, (String, String)> = BTreeMap::new();
    let mut set = |name: &str, value: &str| {
        all.insert(name.to_ascii_lowercase(), (name.to_owned(), value.to_owned()));
    };
    if proxy.security_headers.defaults {
        if tls {
            set("Strict-Transport-Security", "max-age=63072000");
        }
        set("X-Content-Type-Options", "nosniff");
        set("Referrer-Policy", "strict-origin-when-cross-origin");
    }
    let own: &[Header] = &entry.route.headers;
    for header in proxy.security_headers.set.iter().chain(own) {
        set(&header.name, &header.value);
    }
    all.into_values().filter(|(_, value)| !value.is_empty()).collect()
}
