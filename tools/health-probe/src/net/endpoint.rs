//! `host:port`.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

/// A host, by name or address, and a port.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct Endpoint {
    /// Name in lower case, or address without brackets.
    pub host: String,
    /// Port.
    pub port: u16,
}

impl Endpoint {
    /// A host and a port.
    pub(crate) fn new(host: &str, port: u16) -> Self {
        let host = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
        Self { host: host.trim_end_matches('.').to_ascii_lowercase(), port }
    }

    /// The address, where the host is one.
    pub(crate) fn literal(&self) -> Option<SocketAddr> {
        self.host.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, self.port))
    }
}

impl FromStr for Endpoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || "expected host:port, such as db.example.org:5432 or [2001:db8::1]:443".to_string();
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let bracketed = host.starts_with('[') && host.ends_with(']');
        let port: u16 = port.parse().ok().filter(|port| *port > 0).ok_or_else(wrong)?;
        let endpoint = Self::new(host, port);
        let good = if endpoint.host.contains(':') {
            bracketed && endpoint.literal().is_some()
        } else {
            !endpoint.host.is_empty() && endpoint.host.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        };
        if good { Ok(endpoint) } else { Err(wrong()) }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn reads_and_prints() {
        for text in ["db.example.org:5432", "10.0.0.9:1", "[2001:db8::1]:443"] {
            assert_eq!(text.parse::<Endpoint>().unwrap().to_string(), text);
        }
        for text in ["db", "db:", "db:0", "db:70000", "2001:db8::1:443", ":80", "a b:1", "http://x:80"] {
            assert!(text.parse::<Endpoint>().is_err(), "{text}");
        }
    }
}
