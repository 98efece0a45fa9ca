//! Many questions to one authoritative server: over UDP, several at a time, and over TCP what does not fit.

use std::collections::{HashMap, VecDeque};
use std::net::{SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use super::{Connection, Message, Opcode, Rcode, Writer};
use crate::error::DnsError;
use crate::rdata::Rdata;
use crate::rrset::{Key, Rrset};

/// Questions under way at a time.
const WINDOW: usize = 32;
/// How often a question is sent before the server counts as silent.
const TRIES: u32 = 3;

/// What a server says about one set.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Answer {
    /// It is authoritative for the name.
    pub(crate) authoritative: bool,
    /// How the question ended.
    pub(crate) rcode: Rcode,
    /// The set; `None` where there is none.
    pub(crate) set: Option<Rrset>,
}

fn question(id: u16, key: &Key) -> Vec<u8> {
    let mut writer = Writer::new(id, Opcode::Query, &key.name, key.record_type);
    writer.edns();
    writer.finish()
}

fn answer(message: &Message<'_>, key: &Key) -> Answer {
    let mut ttl = None;
    let mut values = Vec::new();
    for record in message.answers().filter(|record| record.record_type == key.record_type && record.name == key.name) {
        let value = Rdata::from_message(record.record_type, message.bytes, record.rdata_at, record.rdata_length);
        values.extend(value.map(|(value, _)| value));
        ttl.get_or_insert(record.ttl);
    }
    let set = ttl.map(|ttl| Rrset::new(ttl, values));
    Answer { authoritative: message.authoritative, rcode: message.rcode, set }
}

/// Asks a server about every set; the answers are in the order of the keys.
///
/// # Errors
/// A server that cannot be reached or does not answer one of the questions.
pub(crate) fn ask(server: SocketAddr, keys: &[Key], timeout: Duration) -> Result<Vec<Answer>, DnsError> {
    let broken = |cause| DnsError::Broken { server, cause };
    let unspecified: SocketAddr = if server.is_ipv4() { ([0; 4], 0).into() } else { ([0_u16; 8], 0).into() };
    let socket = UdpSocket::bind(unspecified)
        .and_then(|socket| socket.connect(server).map(|()| socket))
        .map_err(|cause| DnsError::Connect { server, cause })?;
    let patience = (timeout / TRIES).min(Duration::from_secs(2)).max(Duration::from_millis(50));
    let mut answers: Vec<Option<Answer>> = vec![None; keys.len()];
    let mut waiting: VecDeque<(usize, u32)> = (0..keys.len()).map(|index| (index, 0)).collect();
    let mut under_way: HashMap<u16, (usize, u32, Instant)> = HashMap::new();
    let mut truncated = Vec::new();
    let mut buffer = vec![0; 65_535];
    while !waiting.is_empty() || !under_way.is_empty() {
        while under_way.len() < WINDOW {
            let Some((index, tries)) = waiting.pop_front() else { break };
            let id = index as u16;
            if under_way.contains_key(&id) {
                waiting.push_front((index, tries));
                break;
            }
            // A refused datagram shows as an error of a later call; the question is then sent again like a lost one.
            let _ = socket.send(&question(id, &keys[index]));
            under_way.insert(id, (index, tries + 1, Instant::now()));
        }
        let oldest = under_way.values().map(|(_, _, since)| *since).min().unwrap_or_else(Instant::now);
        let left = patience.saturating_sub(oldest.elapsed()).max(Duration::from_millis(1));
        socket.set_read_timeout(Some(left)).map_err(broken)?;
        if let Ok(length) = socket.recv(&mut buffer) {
            let message = Message::parse(&buffer[..length]).filter(|message| message.response);
            let known = message.and_then(|message| Some((under_way.remove(&message.id)?.0, message)));
            match known {
                Some((index, message)) if message.truncated => truncated.push(index),
                Some((index, message)) => answers[index] = Some(answer(&message, &keys[index])),
                None => {}
            }
        }
        let late: Vec<u16> =
            under_way.iter().filter(|(_, (.., since))| since.elapsed() >= patience).map(|(id, _)| *id).collect();
        for id in late {
            if let Some((index, tries, _)) = under_way.remove(&id) {
                if tries >= TRIES {
                    return Err(DnsError::Timeout { server });
                }
                waiting.push_back((index, tries));
            }
        }
    }
    if !truncated.is_empty() {
        let mut connection = Connection::open(server, timeout)?;
        for index in truncated {
            connection.send(&question(index as u16, &keys[index]))?;
            let bytes = connection.receive()?;
            let message = Message::parse(&bytes).filter(|message| message.id == index as u16);
            let message = message.ok_or(DnsError::Protocol { server, what: "it cannot be read" })?;
            answers[index] = Some(answer(&message, &keys[index]));
        }
    }
    answers.into_iter().collect::<Option<_>>().ok_or(DnsError::Timeout { server })
}
