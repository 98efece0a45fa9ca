//! `dump`: a zone as it is.

use clap::Args;
use cli::{Failure, Input, Session, did_you_mean};
use contract::document::{Caa, DnsDesired, DnsRecord, DnsZone, Mx, OtherRecord, RecordPhase, Srv, Sshfp, Tlsa};
use contract::{Exit, Pointer};

use super::{Reach, of_zone};
use crate::live_zone::LiveZone;
use crate::name::Name;
use crate::provider::{Surroundings, open};
use crate::record_type::RecordType;
use crate::registry::Registry;
use crate::rrset::{Key, Rrset};
use crate::zone_file;

/// Print a zone as it is.
#[derive(Debug, Clone, Args)]
pub struct Dump {
    /// The zone; with --output text, and on a terminal, it is printed as a zone file
    #[arg(value_name = "ZONE")]
    zone: String,
    #[command(flatten)]
    input: Input,
    /// Which provider of the document keeps it, where the document does not list the zone
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    #[command(flatten)]
    reach: Reach,
}

impl Dump {
    pub(super) fn run(self, session: &Session) -> Result<Exit, Failure> {
        let sourced = session.read::<DnsDesired>(&self.input)?;
        let desired = sourced.document;
        let usage = |message: String| Failure::new(Exit::Usage, "usage", message);
        let name = Name::absolute(&self.zone).map_err(|error| usage(error.to_string()))?;
        let listed = desired.zones.iter().find(|zone| Name::absolute(&zone.name).ok().as_ref() == Some(&name));
        let only = || desired.providers.keys().next().filter(|_| desired.providers.len() == 1).cloned();
        let provider_name = self.provider.clone().or_else(|| listed.map(|zone| zone.provider.clone())).or_else(only);
        let provider_name = provider_name.ok_or_else(|| {
            usage(format!("the document has no zone \"{}\"", self.zone)).hint("name its provider with --provider")
        })?;
        let Some(provider) = desired.providers.get(&provider_name) else {
            let failure = Failure::new(
                Exit::BadDocument,
                "unknown_provider",
                format!("no provider is called \"{provider_name}\""),
            );
            let failure = failure.at(Pointer::root().join("providers"));
            let near = did_you_mean(&provider_name, desired.providers.keys().map(String::as_str));
            return Err(match near {
                Some(near) => failure.hint(format!("did you mean \"{near}\"?")),
                None => failure,
            });
        };
        let surroundings = Surroundings {
            base: self.reach.base.clone(),
            secrets: self.reach.secrets.clone(),
            timeout: self.reach.timeout.to_std(),
        };
        let live = open(&provider_name, provider, &surroundings)
            .and_then(|provider| provider.read(&name))
            .map_err(|error| of_zone(&name, error))?;
        let zone = DnsZone {
            name: name.without_dot(),
            provider: provider_name.clone(),
            records: records(&live),
            ..listed.cloned().unwrap_or_default()
        };
        let document = DnsDesired {
            owner: desired.owner.clone(),
            providers: [(provider_name.clone(), provider.clone())].into(),
            zones: vec![zone],
            ..DnsDesired::default()
        };
        session.print(&document, |_, _| zone_file::write(&live))?;
        Ok(Exit::Done)
    }
}

fn records(live: &LiveZone) -> Vec<DnsRecord> {
    let left_out = |key: &Key| {
        key.record_type.is_server_made()
            || (key.record_type == RecordType::NS && key.name == live.name)
            || Registry::is_reserved(&live.name, &key.name)
    };
    let sets = live.sets.iter().filter(|(key, _)| !left_out(key));
    sets.map(|(key, set)| record(&live.name, key, &set.rrset())).collect()
}

/// A set with the key of its type, or in zone-file text where that cannot hold it.
fn record(zone: &Name, key: &Key, set: &Rrset) -> DnsRecord {
    let mut record = DnsRecord {
        name: key.name.relative(zone),
        ttl: Some(set.ttl),
        when: RecordPhase::After,
        ..DnsRecord::default()
    };
    let texts: Vec<String> = set.values.iter().map(|value| value.to_text(key.record_type)).collect();
    let words: Vec<Vec<&str>> = texts.iter().map(|text| text.split(' ').collect()).collect();
    if fill(&mut record, key.record_type, set, &texts, &words).is_none() {
        record.other = Some(OtherRecord { record_type: key.record_type.to_string(), values: texts });
    }
    record
}

fn fill(
    record: &mut DnsRecord,
    record_type: RecordType,
    set: &Rrset,
    texts: &[String],
    words: &[Vec<&str>],
) -> Option<()> {
    let all = || texts.to_vec();
    match record_type {
        RecordType::A => record.a = Some(texts.iter().map(|text| text.parse().ok()).collect::<Option<_>>()?),
        RecordType::AAAA => record.aaaa = Some(texts.iter().map(|text| text.parse().ok()).collect::<Option<_>>()?),
        RecordType::CNAME => record.cname = Some(texts.first()?.clone()),
        RecordType::NS => record.ns = Some(all()),
        RecordType::PTR => record.ptr = Some(all()),
        RecordType::HTTPS => record.https = Some(all()),
        RecordType::SVCB => record.svcb = Some(all()),
        RecordType::TXT => {
            record.txt = Some(set.values.iter().map(|value| joined(value.wire())).collect::<Option<_>>()?);
        }
        RecordType::MX => {
            let make = |words: &Vec<&str>| match words[..] {
                [preference, exchange] => Some(Mx { preference: preference.parse().ok()?, exchange: exchange.into() }),
                _ => None,
            };
            record.mx = Some(words.iter().map(make).collect::<Option<_>>()?);
        }
        RecordType::SRV => {
            let make = |words: &Vec<&str>| match words[..] {
                [priority, weight, port, target] => Some(Srv {
                    priority: priority.parse().ok()?,
                    weight: weight.parse().ok()?,
                    port: port.parse().ok()?,
                    target: target.into(),
                }),
                _ => None,
            };
            record.srv = Some(words.iter().map(make).collect::<Option<_>>()?);
        }
        RecordType::SSHFP => {
            let make = |words: &Vec<&str>| match words[..] {
                [algorithm, hash, fingerprint] => Some(Sshfp {
                    algorithm: algorithm.parse().ok()?,
                    hash: hash.parse().ok()?,
                    fingerprint: fingerprint.into(),
                }),
                _ => None,
            };
            record.sshfp = Some(words.iter().map(make).collect::<Option<_>>()?);
        }
        RecordType::TLSA => {
            let make = |words: &Vec<&str>| match words[..] {
                [usage, selector, matching, data] => Some(Tlsa {
                    usage: usage.parse().ok()?,
                    selector: selector.parse().ok()?,
                    matching: matching.parse().ok()?,
                    data: data.into(),
                }),
                _ => None,
            };
            record.tlsa = Some(words.iter().map(make).collect::<Option<_>>()?);
        }
        RecordType::CAA => {
            let make = |wire: &[u8]| {
                let (flags, rest) = wire.split_first()?;
                let (length, rest) = rest.split_first()?;
                let (tag, value) = rest.split_at_checked(usize::from(*length))?;
                let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).ok();
                Some(Caa { flags: *flags, tag: text(tag)?, value: text(value)? })
            };
            record.caa = Some(set.values.iter().map(|value| make(value.wire())).collect::<Option<_>>()?);
        }
        _ => return None,
    }
    Some(())
}

/// The strings of a TXT as one text; `None` where that is no UTF-8.
fn joined(wire: &[u8]) -> Option<String> {
    let mut bytes = Vec::new();
    let mut rest = wire;
    while let Some((length, tail)) = rest.split_first() {
        bytes.extend_from_slice(tail.get(..usize::from(*length))?);
        rest = &tail[usize::from(*length)..];
    }
    String::from_utf8(bytes).ok()
}
