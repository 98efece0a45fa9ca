//! A proxy between us and a server (RFC 9110, sections 7.7 and 9.3.6). None is used unless the check asks for one: a probe that went
//! another way than it says would prove nothing.

use std::net::IpAddr;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::url::Url;
use crate::net::{Endpoint, Stream, classify};
use crate::observation::Problem;
use crate::reason::Reason;

/// The longest head of an answer to CONNECT.
const LARGEST_HEAD: usize = 16 * 1024;

/// What a check says about proxies.
#[derive(Debug)]
pub(super) enum Choice {
    /// What the environment says.
    Environment,
    /// This one.
    Fixed(Endpoint),
}

/// A proxy to use for one request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Proxy {
    /// Where it is.
    pub endpoint: Endpoint,
    /// The value of Proxy-Authorization, from a URL of the environment.
    pub login: Option<String>,
}

impl Choice {
    /// Reads the key of a check.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        if text == "env" {
            return Ok(Choice::Environment);
        }
        let url = Url::parse(text, "http", "https")?;
        if url.secure {
            return Err("a proxy is spoken to in clear: expected http://HOST:PORT".into());
        }
        Ok(Choice::Fixed(url.endpoint))
    }

    /// The proxy for a URL, if there is one.
    ///
    /// # Errors
    /// The environment names one that cannot be used. Never says its password.
    pub(super) fn of(&self, url: &Url, variable: impl Fn(&str) -> Option<String>) -> Result<Option<Proxy>, Problem> {
        match self {
            Choice::Fixed(endpoint) => Ok(Some(Proxy { endpoint: endpoint.clone(), login: None })),
            Choice::Environment => {
                let get = |name: &str| {
                    let value = variable(name).or_else(|| variable(&name.to_ascii_uppercase()));
                    value.filter(|value| !value.is_empty())
                };
                let name = if url.secure { "https_proxy" } else { "http_proxy" };
                let Some(text) = get(name).or_else(|| get("all_proxy")) else { return Ok(None) };
                if get("no_proxy").is_some_and(|list| is_excepted(&url.endpoint, &list)) {
                    return Ok(None);
                }
                from_environment(&text).map(Some).ok_or_else(|| {
                    let message = format!("{name} is no URL of a proxy such as http://proxy.example.org:3128");
                    Problem::error(Reason::Unsupported, message)
                })
            }
        }
    }
}

fn from_environment(text: &str) -> Option<Proxy> {
    let rest = text.strip_prefix("http://").or_else(|| (!text.contains("://")).then_some(text))?;
    let rest = rest.trim_end_matches('/');
    let (login, place) = match rest.rsplit_once('@') {
        Some((login, place)) => (Some(format!("Basic {}", STANDARD.encode(decoded(login)))), place),
        None => (None, rest),
    };
    let url = Url::parse(&format!("http://{place}"), "http", "https").ok()?;
    Some(Proxy { endpoint: url.endpoint, login })
}

/// `%40` and the like.
fn decoded(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        let digits = tail.get(..2).filter(|_| *first == b'%').and_then(|digits| std::str::from_utf8(digits).ok());
        match digits.and_then(|digits| u8::from_str_radix(digits, 16).ok()) {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    bytes
}

/// Whether a list excepts a host: `*`, names with all that ends in them, addresses, networks.
fn is_excepted(endpoint: &Endpoint, list: &str) -> bool {
    let host = endpoint.host.as_str();
    list.split([',', ' ']).map(str::trim).filter(|entry| !entry.is_empty()).any(|entry| {
        let entry = entry.to_ascii_lowercase();
        let (name, port) = match entry.rsplit_once(':') {
            Some((name, port)) if !name.contains(':') => (name.to_owned(), port.parse::<u16>().ok()),
            _ => (entry.clone(), None),
        };
        if port.is_some_and(|port| port != endpoint.port) {
            return false;
        }
        let name = name.trim_start_matches("*.").trim_start_matches('.');
        name == "*"
            || name == host
            || host.strip_suffix(name).is_some_and(|rest| rest.ends_with('.') && !name.is_empty())
            || is_in_network(host, name)
    })
}

fn is_in_network(host: &str, network: &str) -> bool {
    let bits = |address: IpAddr| match address {
        IpAddr::V4(v4) => (u128::from(v4.to_bits()) << 96, 32),
        IpAddr::V6(v6) => (v6.to_bits(), 128),
    };
    let parsed = network.split_once('/').and_then(|(address, length)| {
        Some((host.parse::<IpAddr>().ok()?, address.parse::<IpAddr>().ok()?, length.parse::<u32>().ok()?))
    });
    parsed.is_some_and(|(host, network, length)| {
        let ((host, width), (network, of_network)) = (bits(host), bits(network));
        width == of_network && length <= width && (length == 0 || (host ^ network) >> (128 - length) == 0)
    })
}

/// Asks a proxy for a way through to a server.
///
/// # Errors
/// The proxy does not give one.
pub(super) async fn tunnel<S: Stream>(
    stream: &mut S,
    to: &Endpoint,
    login: Option<&[u8]>,
    peer: &str,
) -> Result<(), Problem> {
    let broken = |error: std::io::Error| classify(peer, &error);
    let mut request = format!("CONNECT {to} HTTP/1.1\r\nHost: {to}\r\n").into_bytes();
    if let Some(login) = login {
        request.extend_from_slice(b"Proxy-Authorization: ");
        request.extend_from_slice(login);
        request.extend_from_slice(b"\r\n");
    }
    request.extend_from_slice(b"\r\n");
    stream.write_all(&request).await.map_err(broken)?;
    stream.flush().await.map_err(broken)?;
    let mut heard = Vec::new();
    // Byte by byte: what follows the head is no more the proxy's.
    while !heard.ends_with(b"\r\n\r\n") {
        let mut byte = [0; 1];
        if heard.len() >= LARGEST_HEAD || stream.read(&mut byte).await.map_err(broken)? == 0 {
            return Err(Problem::fail(Reason::ProxyFailed, format!("the proxy {peer} does not answer with HTTP")));
        }
        heard.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&heard);
    let status: Option<u16> = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    match status {
        Some(200..=299) => Ok(()),
        Some(407) => Err(Problem::fail(Reason::AuthFailed, format!("the proxy {peer} asks for a login"))),
        Some(status) => Err(Problem::fail(
            Reason::ProxyFailed,
            format!("the proxy {peer} does not connect to {to}: status {status}"),
        )),
        None => Err(Problem::fail(Reason::ProxyFailed, format!("the proxy {peer} does not answer with HTTP"))),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(url: &str, variables: &[(&str, &str)]) -> Option<Proxy> {
        let url = Url::parse(url, "http", "https").unwrap();
        let get = |name: &str| variables.iter().find(|(own, _)| *own == name).map(|(_, value)| (*value).to_owned());
        Choice::Environment.of(&url, get).unwrap()
    }

    #[test]
    fn the_environment_is_read_as_curl_reads_it() {
        let proxy = of("https://a.org/", &[("HTTPS_PROXY", "http://ann:p%40ss@proxy:3128/")]).unwrap();
        assert_eq!(proxy.endpoint.to_string(), "proxy:3128");
        assert_eq!(proxy.login.as_deref(), Some("Basic YW5uOnBAc3M="));
        assert_eq!(of("http://a.org/", &[("https_proxy", "http://proxy:3128")]), None);
        assert!(of("http://a.org/", &[("all_proxy", "proxy:3128")]).is_some());
    }

    #[test]
    fn exceptions_are_names_and_networks() {
        for (host, list, excepted) in [
            ("a.org", "a.org", true),
            ("www.a.org", "a.org", true),
            ("ba.org", "a.org", false),
            ("www.a.org", "x,.a.org", true),
            ("10.1.2.3", "10.0.0.0/8", true),
            ("11.1.2.3", "10.0.0.0/8", false),
            ("a.org", "*", true),
            ("a.org", "a.org:8080", false),
            ("2001:db8::1", "2001:db8::/32", true),
        ] {
            assert_eq!(is_excepted(&Endpoint::new(host, 80), list), excepted, "{host} {list}");
        }
    }
}
