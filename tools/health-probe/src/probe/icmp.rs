//! `icmp`: echo requests (RFC 792, RFC 4443), through a datagram socket where the system allows one, else a raw one.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use contract::document::IcmpCheck;
use rustix::net::{AddressFamily, SocketFlags, SocketType, ipproto};
use tokio::net::UdpSocket;

use super::{Dial, Preparing};
use crate::net::{Endpoint, classify, resolve};
use crate::observation::{Problem, Step, Trace, Verdict, ms_since};
use crate::reason::Reason;

/// How many requests are sent; one answer is enough.
const REQUESTS: u16 = 3;
/// Time between two requests.
const PAUSE: Duration = Duration::from_millis(200);

/// A machine.
#[derive(Debug)]
pub(crate) struct Probe {
    /// With a port of 1, which is never used.
    endpoint: Endpoint,
}

impl Probe {
    pub(super) fn prepare(check: &IcmpCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        let text = if check.host.contains(':') { format!("[{}]:1", check.host) } else { format!("{}:1", check.host) };
        match text.parse() {
            Ok(endpoint) => Some(Self { endpoint }),
            Err(_) => {
                preparing.wrong("host", "bad-address", "expected a name or an address, without a port");
                None
            }
        }
    }

    pub(super) fn target(&self) -> String {
        self.endpoint.host.clone()
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        Some(&self.endpoint)
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        let address = resolve(&self.endpoint, dial, trace).await?.first().copied();
        let address = address.ok_or_else(|| Problem::fail(Reason::DnsNxdomain, "there is no address"))?;
        let peer = address.ip().to_string();
        trace.address = Some(peer.clone());
        trace.step = Step::Connect;
        let echo = Echo::open(address)?;
        let started = Instant::now();
        // A third of the time for each, so that the last answer can still come.
        let each = (dial.timeout / u32::from(REQUESTS + 1)).max(PAUSE);
        let mut lost = 0_u16;
        let mut first = None;
        for sequence in 1..=REQUESTS {
            echo.send(sequence).await.map_err(|error| classify(&peer, &error))?;
            let sent = Instant::now();
            match tokio::time::timeout(each, echo.hear()).await {
                Ok(Ok(())) => {
                    first.get_or_insert(ms_since(sent));
                    tokio::time::sleep(PAUSE.saturating_sub(sent.elapsed()).min(PAUSE)).await;
                }
                Ok(Err(error)) => return Err(classify(&peer, &error)),
                Err(_) => lost += 1,
            }
        }
        trace.phases.processing = first;
        let loss = f64::from(lost) * 100.0 / f64::from(REQUESTS);
        trace.figures.insert("loss_percent".into(), loss.round());
        match first {
            Some(ms) => Ok(format!("{ms} ms, {} % lost", loss.round())),
            None => Err(Problem::fail(
                Reason::ConnectTimeout,
                format!("{peer} did not answer {REQUESTS} echo requests in {} ms", started.elapsed().as_millis()),
            )),
        }
    }
}

/// A socket for echo requests to one address.
struct Echo {
    /// Not UDP, but the same calls to the kernel: send and receive on a connected socket.
    socket: UdpSocket,
    raw: bool,
    v6: bool,
    id: u16,
}

impl Echo {
    fn open(address: SocketAddr) -> Result<Self, Problem> {
        let v6 = address.is_ipv6();
        let family = if v6 { AddressFamily::INET6 } else { AddressFamily::INET };
        let protocol = if v6 { ipproto::ICMPV6 } else { ipproto::ICMP };
        let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
        let open = |kind| rustix::net::socket_with(family, kind, flags, Some(protocol));
        let (socket, raw) = match open(SocketType::DGRAM) {
            Ok(socket) => (socket, false),
            Err(_) => (open(SocketType::RAW).map_err(|_| not_allowed())?, true),
        };
        let address = SocketAddr::new(address.ip(), 0);
        rustix::net::connect(&socket, &address).map_err(|error| classify(&address.ip().to_string(), &error.into()))?;
        let socket = UdpSocket::from_std(socket.into())
            .map_err(|_| Problem::error(Reason::Internal, "the socket cannot be used"))?;
        // Several checks in one process must not take each other's answers; the kernel sets its own number on datagrams.
        let id = (std::process::id() as u16) ^ (std::ptr::from_ref(&socket) as usize >> 4) as u16;
        Ok(Self { socket, raw, v6, id })
    }

    async fn send(&self, sequence: u16) -> std::io::Result<()> {
        let mut packet = vec![if self.v6 { 128 } else { 8 }, 0, 0, 0];
        packet.extend_from_slice(&self.id.to_be_bytes());
        packet.extend_from_slice(&sequence.to_be_bytes());
        packet.extend_from_slice(b"health-probe");
        if !self.v6 {
            // The kernel does this itself for ICMPv6.
            let sum = checksum(&packet).to_be_bytes();
            packet[2..4].copy_from_slice(&sum);
        }
        self.socket.send(&packet).await.map(drop)
    }

    /// Waits for any answer to one of our requests.
    async fn hear(&self) -> std::io::Result<()> {
        let mut buffer = [0_u8; 512];
        loop {
            let length = self.socket.recv(&mut buffer).await?;
            if self.is_answer(&buffer[..length]) {
                return Ok(());
            }
        }
    }

    fn is_answer(&self, packet: &[u8]) -> bool {
        // A raw IPv4 socket hands out the IP header as well.
        let skip =
            if self.raw && !self.v6 { packet.first().map_or(0, |first| usize::from(first & 0x0f) * 4) } else { 0 };
        let Some([kind, _, _, _, id @ .., _, _]) = packet.get(skip..skip + 8) else { return false };
        let ours = !self.raw || *id == self.id.to_be_bytes();
        *kind == if self.v6 { 129 } else { 0 } && ours
    }
}

fn not_allowed() -> Problem {
    Problem::error(
        Reason::Permission,
        "we may not send echo requests; set net.ipv4.ping_group_range to include our group, or give CAP_NET_RAW",
    )
}

/// The Internet checksum (RFC 1071).
fn checksum(packet: &[u8]) -> u16 {
    let mut sum: u32 =
        packet.chunks(2).map(|pair| u32::from(pair[0]) << 8 | u32::from(*pair.get(1).unwrap_or(&0))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !(sum as u16)
}

#[cfg(test)]
mod tests {
    #[test]
    fn a_packet_with_its_checksum_sums_up_to_nothing() {
        let mut packet = vec![8, 0, 0, 0, 1, 2, 0, 1, b'x'];
        let sum = super::checksum(&packet).to_be_bytes();
        packet[2..4].copy_from_slice(&sum);
        assert_eq!(super::checksum(&packet), 0);
    }
}
