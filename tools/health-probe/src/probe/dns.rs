//! `dns`: a question to a server, and the set of values in the answer.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use contract::document::DnsCheck;
use hickory_proto::op::{Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket};

use super::{Dial, Preparing, quoted};
use crate::net::{Endpoint, classify, resolve};
use crate::observation::{Problem, Step, Trace, Verdict, ms_since};
use crate::reason::Reason;

/// How long a lost packet is waited for before the question is asked again.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// A question.
#[derive(Debug)]
pub(crate) struct Probe {
    name: Name,
    record_type: RecordType,
    server: Option<Endpoint>,
    contains: BTreeSet<String>,
    exact: bool,
    absent: bool,
    same_at: Vec<Endpoint>,
}

impl Probe {
    pub(super) fn prepare(check: &DnsCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        let name = Name::from_utf8(&check.name)
            .map_err(|_| preparing.wrong("name", "bad-name", "this is no name of DNS"))
            .ok();
        let record_type = check.record_type.to_ascii_uppercase().parse();
        let record_type: Option<RecordType> = record_type
            .map_err(|_| {
                preparing.wrong("type", "bad-type", "this is no type of DNS records, such as A, AAAA, MX or TXT");
            })
            .ok();
        let server = match &check.server {
            Some(text) => Some(preparing.endpoint("server", &with_port(text))?),
            None => None,
        };
        let same_at: Option<Vec<Endpoint>> =
            check.same_at.iter().map(|text| preparing.endpoint("same_at", &with_port(text))).collect();
        if !check.same_at.is_empty() && check.server.is_none() {
            preparing.wrong("same_at", "contradiction", "the same as what? name the first server as server");
        }
        if check.absent && (check.exact || !check.contains.is_empty()) {
            preparing.wrong("absent", "contradiction", "what must not exist has no values");
        }
        let (mut name, record_type) = (name?, record_type?);
        name.set_fqdn(true);
        let contains = check.contains.iter().map(|value| normal(value, record_type)).collect();
        Some(Self { name, record_type, server, contains, exact: check.exact, absent: check.absent, same_at: same_at? })
    }

    pub(super) fn target(&self) -> String {
        let name = self.name.to_utf8();
        let name = name.trim_end_matches('.');
        let at = self.server.as_ref().map_or(String::new(), |server| format!(" at {server}"));
        format!("{name} {}{at}", self.record_type)
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        self.server.as_ref()
    }

    pub(super) async fn look(&self, dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        let server = match &self.server {
            Some(server) => resolve(server, dial, trace).await?.first().copied(),
            None => of_system(),
        };
        let server = server.ok_or_else(|| Problem::error(Reason::Unsupported, "this machine names no DNS server"))?;
        trace.address = Some(server.to_string());
        trace.step = Step::Resolve;
        let started = Instant::now();
        let answer = self.ask(server).await?;
        trace.phases.processing = Some(ms_since(started));
        // What DNSSEC proved is told, and never changes the verdict: the server may lie about it.
        trace.figures.insert("authenticated".into(), f64::from(u8::from(answer.metadata.authentic_data)));
        let words = self.judge(&answer, server)?;
        if self.same_at.is_empty() {
            return Ok(words);
        }
        self.compare(&self.values(&answer), server, dial, trace).await?;
        Ok(format!("{words}, the same at {} servers", self.same_at.len() + 1))
    }

    /// Every further server must say the same.
    async fn compare(
        &self,
        first: &BTreeSet<String>,
        server: SocketAddr,
        dial: &Dial<'_>,
        trace: &mut Trace,
    ) -> Result<(), Problem> {
        let list = |values: &BTreeSet<String>| match values.len() {
            0 => "nothing".to_owned(),
            _ => quoted(&values.iter().cloned().collect::<Vec<_>>().join(", "), &[]).trim_matches('"').to_owned(),
        };
        for other in &self.same_at {
            let address = resolve(other, dial, trace).await?.first().copied();
            let Some(address) = address else { continue };
            trace.step = Step::Resolve;
            let answer = self.ask(address).await?;
            let code = answer.metadata.response_code;
            if !matches!(code, ResponseCode::NoError | ResponseCode::NXDomain) {
                return Err(Problem::fail(Reason::DnsServfail, format!("{other} answers with {code}")));
            }
            let values = self.values(&answer);
            if values != *first {
                let message = format!("{server} says {}, but {other} says {}", list(first), list(&values));
                return Err(Problem::fail(Reason::DnsMismatch, message));
            }
        }
        Ok(())
    }

    fn values(&self, answer: &Message) -> BTreeSet<String> {
        let records = answer.answers.iter().filter(|record| record.record_type() == self.record_type);
        records.map(|record| shown(&record.data, self.record_type)).collect()
    }

    async fn ask(&self, server: SocketAddr) -> Result<Message, Problem> {
        let peer = server.to_string();
        let mut message = Message::query();
        message.metadata.recursion_desired = true;
        message.metadata.authentic_data = true;
        message.add_query(Query::query(self.name.clone(), self.record_type));
        let question =
            message.to_vec().map_err(|_| Problem::error(Reason::Internal, "the question cannot be written"))?;
        let answer = over_udp(server, &question, message.metadata.id).await.map_err(|error| classify(&peer, &error))?;
        if !answer.metadata.truncation {
            return Ok(answer);
        }
        over_tcp(server, &question).await.map_err(|error| classify(&peer, &error))
    }

    fn judge(&self, answer: &Message, server: SocketAddr) -> Verdict {
        let name = self.name.to_utf8();
        let name = name.trim_end_matches('.');
        let kind = self.record_type;
        match answer.metadata.response_code {
            ResponseCode::NoError => {}
            ResponseCode::NXDomain if self.absent => return Ok("the name does not exist, as it must be".into()),
            ResponseCode::NXDomain => {
                return Err(Problem::fail(Reason::DnsNxdomain, format!("{server} says that {name} does not exist")));
            }
            code => return Err(Problem::fail(Reason::DnsServfail, format!("{server} answers with {code}"))),
        }
        let values = self.values(answer);
        let list = |values: &mut dyn Iterator<Item = &String>| {
            values.map(|value| quoted(value, &[]).trim_matches('"').to_owned()).collect::<Vec<_>>().join(", ")
        };
        if self.absent {
            return if values.is_empty() {
                Ok(format!("no {kind} records, as it must be"))
            } else {
                let found = list(&mut values.iter());
                Err(Problem::fail(Reason::DnsMismatch, format!("{name} has {kind} records, but must not: {found}")))
            };
        }
        if values.is_empty() {
            return Err(Problem::fail(Reason::DnsMismatch, format!("{server} has no {kind} records for {name}")));
        }
        let missing = list(&mut self.contains.difference(&values));
        let found = list(&mut values.iter());
        if !missing.is_empty() {
            let message = format!("{name} {kind} at {server} lacks {missing}; it is {found}");
            return Err(Problem::fail(Reason::DnsMismatch, message));
        }
        if self.exact && values.len() > self.contains.len() {
            let more = list(&mut values.difference(&self.contains));
            return Err(Problem::fail(Reason::DnsMismatch, format!("{name} {kind} at {server} also has {more}")));
        }
        Ok(found)
    }
}

/// `address`, `address:port` or `[address]:port`.
fn with_port(text: &str) -> String {
    match text.parse::<IpAddr>() {
        Ok(IpAddr::V6(_)) => format!("[{text}]:53"),
        Ok(IpAddr::V4(_)) => format!("{text}:53"),
        Err(_) if text.contains(':') => text.to_owned(),
        Err(_) => format!("{text}:53"),
    }
}

/// The first server that the system asks.
fn of_system() -> Option<SocketAddr> {
    let (config, _) = hickory_resolver::system_conf::read_system_conf().ok()?;
    config.name_servers.first().map(|server| SocketAddr::new(server.ip, 53))
}

async fn over_udp(server: SocketAddr, question: &[u8], id: u16) -> std::io::Result<Message> {
    let own: SocketAddr = if server.is_ipv4() { ([0, 0, 0, 0], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(own).await?;
    socket.connect(server).await?;
    let mut buffer = vec![0; 4096];
    // The timeout of the check ends this.
    loop {
        socket.send(question).await?;
        let heard = tokio::time::timeout(AGAIN_AFTER, async {
            loop {
                let length = socket.recv(&mut buffer).await?;
                // Anything that is not the answer to this question may be a forgery.
                if let Ok(answer) = Message::from_vec(&buffer[..length])
                    && answer.metadata.id == id
                    && answer.metadata.message_type == MessageType::Response
                {
                    return Ok(answer);
                }
            }
        });
        if let Ok(answer) = heard.await {
            return answer;
        }
    }
}

async fn over_tcp(server: SocketAddr, question: &[u8]) -> std::io::Result<Message> {
    let mut stream = TcpStream::connect(server).await?;
    let mut request = (question.len() as u16).to_be_bytes().to_vec();
    request.extend_from_slice(question);
    stream.write_all(&request).await?;
    let mut answer = vec![0; usize::from(stream.read_u16().await?)];
    stream.read_exact(&mut answer).await?;
    Message::from_vec(&answer).map_err(|_| std::io::Error::from(std::io::ErrorKind::UnexpectedEof))
}

/// The value of a record as a person writes it.
fn shown(data: &RData, kind: RecordType) -> String {
    match data {
        RData::TXT(text) => {
            let bytes: Vec<u8> = text.txt_data.iter().flat_map(|part| part.iter().copied()).collect();
            String::from_utf8_lossy(&bytes).into_owned()
        }
        RData::SOA(soa) => soa.serial.to_string(),
        data => normal(&data.to_string(), kind),
    }
}

/// Names in lower case without the dot at their end; texts without the quotes around them.
fn normal(value: &str, kind: RecordType) -> String {
    if kind == RecordType::TXT {
        let inner = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
        return inner.unwrap_or(value).to_owned();
    }
    if let Ok(address) = value.parse::<IpAddr>() {
        return address.to_string();
    }
    if kind == RecordType::CAA {
        return value.to_owned();
    }
    value.split_whitespace().map(|word| word.trim_end_matches('.').to_ascii_lowercase()).collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_compared_as_people_write_them() {
        assert_eq!(normal("10 Mail.Example.org.", RecordType::MX), "10 mail.example.org");
        assert_eq!(normal("\"v=spf1 -all\"", RecordType::TXT), "v=spf1 -all");
        assert_eq!(normal("2001:DB8:0::1", RecordType::AAAA), "2001:db8::1");
    }
}
