//! Finding the addresses of a name and connecting to one of them.

use std::io;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use contract::document::AddressPolicy;
use futures_util::stream::{FuturesUnordered, StreamExt};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, lookup_host};

use super::{Endpoint, TlsPlan, classify, handshake};
use crate::observation::{Problem, Step, Trace, ms_since};
use crate::probe::Dial;
use crate::reason::Reason;

/// Anything that bytes go through: TCP, TLS, a socket of the machine.
pub(crate) trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}

impl<T: AsyncRead + AsyncWrite + Unpin + Send> Stream for T {}

/// Any stream, where its kind does not matter.
pub(crate) type AnyStream = Box<dyn Stream>;

/// How long addresses that were tried first are still waited for once another has answered, to tell whether they are dead.
const GRACE: Duration = Duration::from_millis(500);

/// How long one address is waited for before the next is tried beside it (RFC 8305, section 8).
const STAGGER: Duration = Duration::from_millis(250);

/// The addresses of an endpoint, in the order in which they are tried: IPv6 first, then in turn (RFC 8305, section 4).
///
/// # Errors
/// The name does not exist or cannot be looked up now.
pub(crate) async fn resolve(
    endpoint: &Endpoint,
    dial: &Dial<'_>,
    trace: &mut Trace,
) -> Result<Vec<SocketAddr>, Problem> {
    if let Some(pinned) = dial.pinned {
        return Ok(vec![pinned]);
    }
    if let Some(address) = endpoint.literal()
        && !dial.context.resolve.contains_key(endpoint)
    {
        return Ok(vec![address]);
    }
    trace.step = Step::Resolve;
    let mut found: Vec<SocketAddr> = match dial.context.resolve.get(endpoint) {
        Some(given) => given.iter().map(|address| SocketAddr::new(*address, endpoint.port)).collect(),
        None => {
            let started = Instant::now();
            let found = lookup_host((endpoint.host.as_str(), endpoint.port)).await;
            trace.phases.resolve = Some(ms_since(started));
            found.map_err(|error| lookup_failed(&endpoint.host, &error))?.collect()
        }
    };
    match dial.addresses {
        AddressPolicy::V4 => found.retain(SocketAddr::is_ipv4),
        AddressPolicy::V6 => found.retain(SocketAddr::is_ipv6),
        AddressPolicy::Any | AddressPolicy::Each | AddressPolicy::Both => {}
    }
    let lacks = |family: &str| {
        Problem::fail(Reason::DnsNxdomain, format!("the name {} has no {family} address", endpoint.host))
    };
    match dial.addresses {
        AddressPolicy::V4 | AddressPolicy::Both if !found.iter().any(SocketAddr::is_ipv4) => return Err(lacks("IPv4")),
        AddressPolicy::V6 | AddressPolicy::Both if !found.iter().any(SocketAddr::is_ipv6) => return Err(lacks("IPv6")),
        _ if found.is_empty() => return Err(lacks("usable")),
        _ => {}
    }
    found.sort_unstable();
    found.dedup();
    let (mut v6, mut v4): (Vec<_>, Vec<_>) = found.into_iter().partition(SocketAddr::is_ipv6);
    let mut ordered = Vec::with_capacity(v6.len() + v4.len());
    v6.reverse();
    v4.reverse();
    while !(v6.is_empty() && v4.is_empty()) {
        ordered.extend(v6.pop());
        ordered.extend(v4.pop());
    }
    if dial.addresses == AddressPolicy::Both {
        // One of each family: the first two, because they alternate.
        ordered.truncate(2);
    }
    Ok(ordered)
}

/// The resolver of the system says why only in words; a failure for now must not be called a missing name.
fn lookup_failed(host: &str, error: &io::Error) -> Problem {
    let text = error.to_string().to_ascii_lowercase();
    if text.contains("try again") || text.contains("temporary") || text.contains("non-recoverable") {
        Problem::fail(Reason::DnsServfail, format!("the name {host} cannot be looked up now"))
    } else {
        Problem::fail(Reason::DnsNxdomain, format!("the name {host} does not exist"))
    }
}

/// Connects to the first address that answers, and notes those that did not.
///
/// # Errors
/// No address answers.
pub(crate) async fn connect(endpoint: &Endpoint, dial: &Dial<'_>, trace: &mut Trace) -> Result<TcpStream, Problem> {
    let addresses = resolve(endpoint, dial, trace).await?;
    trace.step = Step::Connect;
    trace.address = addresses.first().map(ToString::to_string);
    trace.phases.connect = None;
    let started = Instant::now();
    // A silent peer must leave time to say so, and for the next address.
    let limit = dial.timeout.mul_f64(0.4);
    let connected = tokio::time::timeout(limit, race(&addresses, started + limit, trace)).await;
    trace.phases.connect.get_or_insert_with(|| ms_since(started));
    let (stream, address) = match connected {
        Ok(result) => result?,
        Err(_) => {
            let more = if addresses.len() > 1 { format!(" (and {} more)", addresses.len() - 1) } else { String::new() };
            let peer = addresses.first().map(ToString::to_string).unwrap_or_default();
            return Err(Problem::fail(
                Reason::ConnectTimeout,
                format!("{peer}{more} does not answer within {} ms", limit.as_millis()),
            ));
        }
    };
    trace.address = Some(address.to_string());
    // Probes say little at a time; it should leave at once.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

async fn race(
    addresses: &[SocketAddr],
    deadline: Instant,
    trace: &mut Trace,
) -> Result<(TcpStream, SocketAddr), Problem> {
    let started = Instant::now();
    let mut waiting = addresses.iter().copied();
    let mut ended: Vec<SocketAddr> = Vec::new();
    let mut running = FuturesUnordered::new();
    let attempt = |address| async move { (address, TcpStream::connect(address).await) };
    let mut first_error: Option<Problem> = None;
    if let Some(address) = waiting.next() {
        running.push(attempt(address));
    }
    loop {
        let next_is_due = tokio::time::sleep(STAGGER);
        tokio::select! {
            Some((address, result)) = running.next() => match result {
                Ok(stream) => {
                    trace.phases.connect = Some(ms_since(started));
                    ended.push(address);
                    let begun = &addresses[..addresses.len() - waiting.len()];
                    let pending: Vec<SocketAddr> = begun.iter().copied().filter(|one| !ended.contains(one)).collect();
                    // Never so long that the connection that is there would be lost to the deadline.
                    let grace = GRACE.min(deadline.saturating_duration_since(Instant::now()) / 2);
                    trace.dead_addresses.extend(silent(&pending, running, grace).await);
                    return Ok((stream, address));
                }
                Err(error) => {
                    ended.push(address);
                    if !is_ours(&error) {
                        trace.dead_addresses.push(address.to_string());
                    }
                    first_error.get_or_insert_with(|| classify(&address.to_string(), &error));
                    if let Some(address) = waiting.next() {
                        running.push(attempt(address));
                    } else if running.is_empty() {
                        break;
                    }
                }
            },
            () = next_is_due, if waiting.len() > 0 => {
                running.extend(waiting.next().map(attempt));
            }
        }
    }
    Err(first_error.unwrap_or_else(|| Problem::error(Reason::Internal, "there is no address to connect to")))
}

/// Those of the addresses under way that do not answer either, now that another has: half of a name that is dead must not
/// hide behind the other half.
async fn silent<F>(pending: &[SocketAddr], mut running: FuturesUnordered<F>, grace: Duration) -> Vec<String>
where
    F: Future<Output = (SocketAddr, io::Result<TcpStream>)>,
{
    let mut dead: Vec<SocketAddr> = pending.to_vec();
    let waited = async {
        while let Some((address, result)) = running.next().await {
            if result.as_ref().map_or_else(is_ours, |_| true) {
                dead.retain(|one| *one != address);
            }
        }
    };
    let _ = tokio::time::timeout(grace, waited).await;
    dead.iter().map(ToString::to_string).collect()
}

/// A machine without IPv6 says so at once; that is no fault of the peer.
fn is_ours(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::NetworkUnreachable | io::ErrorKind::AddrNotAvailable)
}

/// Connects, and speaks TLS where there is a plan for it. The second value is a warning about the certificate.
///
/// # Errors
/// No address answers, or the handshake or the certificate is not good.
pub(crate) async fn open(
    endpoint: &Endpoint,
    tls: Option<&TlsPlan>,
    dial: &Dial<'_>,
    trace: &mut Trace,
) -> Result<(AnyStream, Option<Problem>), Problem> {
    let stream = connect(endpoint, dial, trace).await?;
    let Some(plan) = tls else { return Ok((Box::new(stream), None)) };
    let (stream, warning) = handshake(stream, &endpoint.host, plan, dial, trace).await?;
    Ok((Box::new(stream), warning))
}
