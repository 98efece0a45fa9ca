//! A zone as it shall be: the records of a `dns.desired/v1` in canonical form, with everything that is wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{Ipv4Addr, Ipv6Addr};

use contract::document::{DnsDesired, DnsRecord, DnsZone, RecordPhase, ZoneMode};
use contract::{Finding, Pointer};

use crate::name::Name;
use crate::provider::DEFAULT_TTL;
use crate::rdata::{Rdata, RdataError};
use crate::record_type::RecordType;
use crate::registry::Registry;
use crate::rrset::{Key, Rrset};

/// A zone as it shall be.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredZone {
    /// Its name.
    pub(crate) name: Name,
    /// Which provider keeps it.
    pub(crate) provider: String,
    /// What it may lose to us.
    pub(crate) mode: ZoneMode,
    /// Whether the NS records at the apex are ours.
    pub(crate) manage_apex_ns: bool,
    /// What is left alone.
    pub(crate) ignore: Vec<Ignore>,
    /// Its record sets.
    pub(crate) sets: BTreeMap<Key, DeclaredSet>,
}

/// A record set as it shall be.
#[derive(Debug, Clone)]
pub(crate) struct DeclaredSet {
    /// TTL and values.
    pub(crate) set: Rrset,
    /// When it may be written.
    pub(crate) phase: RecordPhase,
    /// Places in the fleet that made it.
    pub(crate) from: Vec<Pointer>,
    /// Where it stands in the document.
    pub(crate) pointer: Pointer,
}

/// Names and types to leave alone.
#[derive(Debug, Clone)]
pub(crate) struct Ignore {
    /// Relative to the zone; `*` stands for any run of characters.
    pattern: String,
    record_type: Option<RecordType>,
}

impl Ignore {
    fn matches(&self, relative: &str, record_type: RecordType) -> bool {
        self.record_type.is_none_or(|wanted| wanted == record_type)
            && glob(self.pattern.as_bytes(), relative.as_bytes())
    }
}

/// Whether a text fits a pattern in which `*` stands for any run of characters.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut at, mut in_text) = (0, 0);
    let mut star: Option<(usize, usize)> = None;
    while in_text < text.len() {
        if pattern.get(at) == Some(&b'*') {
            star = Some((at, in_text));
            at += 1;
        } else if pattern.get(at) == text.get(in_text) {
            at += 1;
            in_text += 1;
        } else if let Some((star_at, from)) = star {
            star = Some((star_at, from + 1));
            at = star_at + 1;
            in_text = from + 1;
        } else {
            return false;
        }
    }
    pattern[at..].iter().all(|byte| *byte == b'*')
}

impl DeclaredZone {
    /// Why a set is left alone whatever is declared, if it is.
    pub(crate) fn ignored(&self, key: &Key) -> Option<&'static str> {
        // DNS-01 challenges come and go at any moment (RFC 8555 section 8.4).
        if key.record_type == RecordType::TXT && key.name.labels().next() == Some(b"_acme-challenge") {
            return Some("a challenge of ACME");
        }
        let relative = key.name.relative(&self.name);
        self.ignore.iter().any(|ignore| ignore.matches(&relative, key.record_type)).then_some("ignored")
    }

    /// Whether a set is never planned: SOA, what signers make, and the apex's NS unless they are managed.
    pub(crate) fn is_protected(&self, key: &Key) -> bool {
        key.record_type.is_server_made() || (self.is_apex_ns(key) && !self.manage_apex_ns)
    }

    /// Whether a set is the name servers of the zone itself.
    pub(crate) fn is_apex_ns(&self, key: &Key) -> bool {
        key.record_type == RecordType::NS && key.name == self.name
    }
}

/// Reads every zone of a document. What is wrong goes into `findings`; what can be read is given back all the same.
pub(crate) fn declare(desired: &DnsDesired, findings: &mut Vec<Finding>) -> Vec<DeclaredZone> {
    let mut names = BTreeMap::new();
    let mut zones = Vec::new();
    for (index, zone) in desired.zones.iter().enumerate() {
        let pointer = Pointer::root().join("zones").join(index);
        if zone.provider.is_empty() || !desired.providers.contains_key(&zone.provider) {
            let mut finding = Finding::error(
                "unknown-provider",
                pointer.join("provider"),
                format!("no provider is called \"{}\"", zone.provider),
            );
            if let Some(near) = cli::did_you_mean(&zone.provider, desired.providers.keys().map(String::as_str)) {
                finding = finding.fix(format!("did you mean \"{near}\"?"));
            }
            findings.push(finding);
        }
        let name = match Name::absolute(&zone.name) {
            Ok(name) if name != Name::root() => name,
            Ok(_) => {
                findings.push(Finding::error("bad-name", pointer.join("name"), "the root is not managed"));
                continue;
            }
            Err(error) => {
                findings.push(Finding::error("bad-name", pointer.join("name"), error.to_string()));
                continue;
            }
        };
        if let Some(first) = names.insert(name.clone(), pointer.clone()) {
            findings.push(
                Finding::error("duplicate-zone", pointer.clone(), format!("the zone {name} is declared twice"))
                    .related(first)
                    .fix("put all records of a zone into one entry"),
            );
            continue;
        }
        zones.push(Reader { zone: &name, findings, pointer }.zone(zone));
    }
    zones
}

/// Reads one zone.
struct Reader<'a> {
    zone: &'a Name,
    findings: &'a mut Vec<Finding>,
    pointer: Pointer,
}

impl Reader<'_> {
    fn error(&mut self, code: &str, pointer: Pointer, message: impl Into<String>) {
        self.findings.push(Finding::error(code, pointer, message));
    }

    fn zone(&mut self, zone: &DnsZone) -> DeclaredZone {
        let mut ignore = Vec::new();
        for (index, rule) in zone.ignore.iter().enumerate() {
            let pointer = self.pointer.join("ignore").join(index);
            let record_type = match rule.record_type.as_deref().map(str::parse) {
                None => None,
                Some(Ok(record_type)) => Some(record_type),
                Some(Err(())) => {
                    self.unknown_type(rule.record_type.as_deref().unwrap_or_default(), pointer.join("type"));
                    continue;
                }
            };
            ignore.push(Ignore { pattern: rule.name.to_ascii_lowercase(), record_type });
        }
        let default_ttl = zone.default_ttl.unwrap_or(DEFAULT_TTL);
        self.ttl(default_ttl, &self.pointer.join("default_ttl"));
        let mut declared = DeclaredZone {
            name: self.zone.clone(),
            provider: zone.provider.clone(),
            mode: zone.mode,
            manage_apex_ns: zone.manage_apex_ns,
            ignore,
            sets: BTreeMap::new(),
        };
        // Each with the place and the TTL that was written, to find entries that contradict each other.
        let mut ttls: BTreeMap<Key, u32> = BTreeMap::new();
        for (index, record) in zone.records.iter().enumerate() {
            let pointer = self.pointer.join("records").join(index);
            if let Some(ttl) = record.ttl {
                self.ttl(ttl, &pointer.join("ttl"));
            }
            let Some((key, values, pointer)) = self.record(&declared, record, &pointer) else { continue };
            let set = declared.sets.entry(key.clone()).or_insert_with(|| DeclaredSet {
                set: Rrset::new(record.ttl.unwrap_or(default_ttl), Vec::new()),
                phase: record.when,
                from: Vec::new(),
                pointer: pointer.clone(),
            });
            if let Some(ttl) = record.ttl {
                if let Some(other) = ttls.insert(key.clone(), ttl).filter(|other| *other != ttl) {
                    let message =
                        format!("{} {} has the TTL {ttl} here and {other} elsewhere", key.name, key.record_type);
                    self.findings.push(
                        Finding::error("ttl-clash", pointer.clone(), message)
                            .related(set.pointer.clone())
                            .fix("all records of one name and type share one TTL (RFC 2181 section 5.2)"),
                    );
                }
                set.set.ttl = ttl;
            }
            let mut all: BTreeSet<Rdata> = set.set.values.drain(..).collect();
            for value in values {
                let text = value.to_text(key.record_type);
                if !all.insert(value) {
                    let message = format!("{} {} {text} is declared twice", key.name, key.record_type);
                    self.findings.push(Finding::warning("duplicate-value", pointer.clone(), message));
                }
            }
            set.set.values = all.into_iter().collect();
            set.phase = set.phase.min(record.when);
            set.from.extend(record.from.iter().cloned());
            set.from.sort_unstable();
            set.from.dedup();
        }
        declared
    }

    fn ttl(&mut self, ttl: u32, pointer: &Pointer) {
        if ttl > i32::MAX as u32 {
            self.error("bad-ttl", pointer.clone(), "a TTL is at most 2147483647 seconds (RFC 2181 section 8)");
        }
    }

    fn unknown_type(&mut self, text: &str, pointer: Pointer) {
        let mut finding = Finding::error("unknown-type", pointer, format!("\"{text}\" is no record type"));
        finding.fix = cli::did_you_mean(&text.to_ascii_uppercase(), RecordType::mnemonics())
            .map(|near| format!("did you mean {near}?"));
        self.findings.push(finding);
    }

    /// A name of the document. A text that holds the zone's name but no final dot would get it twice.
    fn name(&mut self, text: &str, pointer: &Pointer) -> Option<Name> {
        let name = match Name::parse(text, self.zone) {
            Ok(name) => name,
            Err(error) => {
                self.error("bad-name", pointer.clone(), error.to_string());
                return None;
            }
        };
        let doubled =
            Name::absolute(text).is_ok_and(|name| name.is_in(self.zone)) && !text.ends_with('.') && text != "@";
        if doubled {
            let zone = self.zone.without_dot();
            self.findings.push(
                Finding::error("name-without-dot", pointer.clone(), format!("\"{text}\" means {name}"))
                    .fix(format!("write \"{text}.\", or the name without {zone}")),
            );
            return None;
        }
        Some(name)
    }

    fn record(
        &mut self,
        declared: &DeclaredZone,
        record: &DnsRecord,
        pointer: &Pointer,
    ) -> Option<(Key, Vec<Rdata>, Pointer)> {
        let name = self.name(&record.name, &pointer.join("name"));
        let (record_type, pointer, values) = self.values(record, pointer)?;
        let key = Key::new(name?, record_type);
        if values.is_empty() {
            self.error("no-values", pointer.clone(), "the set has no values; leave it out to have it removed");
            return None;
        }
        let problem = if !key.name.is_in(self.zone) {
            Some(("out-of-zone", format!("{} is not in the zone {}", key.name, self.zone)))
        } else if Registry::is_reserved(self.zone, &key.name) {
            Some(("reserved-name", format!("{} holds the marks of ownership", key.name)))
        } else if declared.is_apex_ns(&key) && !declared.manage_apex_ns {
            Some((
                "apex-ns",
                "the NS records of the zone itself are its provider's; say \"manage_apex_ns\": true".into(),
            ))
        } else if key.record_type.is_server_made() || key.record_type.is_meta() {
            Some(("protected-type", format!("{} records are not written by hand", key.record_type)))
        } else if key.name.labels().skip(1).any(|label| label == b"*") {
            Some(("bad-wildcard", "only the leftmost label can be a wildcard (RFC 4592)".into()))
        } else {
            declared
                .ignored(&key)
                .map(|reason| ("declared-but-ignored", format!("{} {}: {reason}", key.name, key.record_type)))
        };
        if let Some((code, message)) = problem {
            self.error(code, pointer, message);
            return None;
        }
        Some((key, values, pointer))
    }

    /// Type and values of a record that names exactly one type.
    fn values(&mut self, record: &DnsRecord, pointer: &Pointer) -> Option<(RecordType, Pointer, Vec<Rdata>)> {
        let mut found: Vec<(RecordType, Pointer, Vec<Rdata>)> = Vec::new();
        let mut broken = false;
        macro_rules! values {
            ($field:expr, $key:literal, $record_type:expr, |$reader:ident, $value:ident, $at:ident| $make:expr) => {
                if let Some(list) = $field {
                    let base = pointer.join($key);
                    let mut values = Vec::new();
                    for (index, $value) in list.iter().enumerate() {
                        let $reader = &mut *self;
                        let $at = base.join(index);
                        match $make {
                            Some(value) => values.push(value),
                            None => broken = true,
                        }
                    }
                    found.push(($record_type, base, values));
                }
            };
        }
        values!(&record.a, "A", RecordType::A, |_r, value, _at| Rdata::bounded(Ipv4Addr::octets(value).to_vec()).ok());
        values!(&record.aaaa, "AAAA", RecordType::AAAA, |_r, value, _at| {
            Rdata::bounded(Ipv6Addr::octets(value).to_vec()).ok()
        });
        let one = |value: &Option<String>| value.as_ref().map(|value| [value.clone()]);
        values!(&one(&record.cname), "CNAME", RecordType::CNAME, |reader, value, at| reader.host(value, &at, &[]));
        values!(&record.ns, "NS", RecordType::NS, |reader, value, at| reader.host(value, &at, &[]));
        values!(&record.ptr, "PTR", RecordType::PTR, |reader, value, at| reader.host(value, &at, &[]));
        values!(&record.mx, "MX", RecordType::MX, |reader, value, at| {
            reader.host(&value.exchange, &at.join("exchange"), &value.preference.to_be_bytes())
        });
        values!(&record.srv, "SRV", RecordType::SRV, |reader, value, at| {
            let numbers = [value.priority, value.weight, value.port].map(u16::to_be_bytes).concat();
            reader.host(&value.target, &at.join("target"), &numbers)
        });
        values!(&record.txt, "TXT", RecordType::TXT, |reader, value, at| reader
            .checked(Rdata::text(value.as_bytes()), &at));
        values!(&record.caa, "CAA", RecordType::CAA, |reader, value, at| {
            let good = !value.tag.is_empty() && value.tag.bytes().all(|byte| byte.is_ascii_alphanumeric());
            let tag = value.tag.to_ascii_lowercase();
            let wire = [&[value.flags, value.tag.len() as u8], tag.as_bytes(), value.value.as_bytes()];
            let wrong = RdataError::Wrong { what: "the tag", kind: "word of letters and digits" };
            let made = if good && value.tag.len() < 256 { Rdata::bounded(wire.concat()) } else { Err(wrong) };
            reader.checked(made, &at)
        });
        values!(&record.sshfp, "SSHFP", RecordType::SSHFP, |reader, value, at| {
            let text = format!("{} {} {}", value.algorithm, value.hash, value.fingerprint);
            let length = match value.hash {
                1 => Some(20),
                2 => Some(32),
                _ => None,
            };
            reader.digest(RecordType::SSHFP, &text, 2, length, &at.join("fingerprint"))
        });
        values!(&record.tlsa, "TLSA", RecordType::TLSA, |reader, value, at| {
            let text = format!("{} {} {} {}", value.usage, value.selector, value.matching, value.data);
            let length = match value.matching {
                1 => Some(32),
                2 => Some(64),
                _ => None,
            };
            reader.digest(RecordType::TLSA, &text, 3, length, &at.join("data"))
        });
        values!(&record.https, "HTTPS", RecordType::HTTPS, |reader, value, at| reader.text(
            RecordType::HTTPS,
            value,
            &at
        ));
        values!(&record.svcb, "SVCB", RecordType::SVCB, |reader, value, at| reader.text(RecordType::SVCB, value, &at));
        if let Some(other) = &record.other {
            match other.record_type.parse::<RecordType>() {
                Ok(record_type) => values!(Some(&other.values), "OTHER", record_type, |reader, value, at| {
                    reader.text(record_type, value, &at)
                }),
                Err(()) => {
                    self.unknown_type(&other.record_type, pointer.join("OTHER").join("type"));
                    broken = true;
                }
            }
        }
        if record.alias.is_some() {
            let finding =
                Finding::error("no-alias", pointer.join("ALIAS"), "zone files and name servers have no ALIAS");
            self.findings.push(finding.fix("give the addresses as A and AAAA, or an HTTPS record with priority 0"));
            broken = true;
        }
        if record.proxied == Some(true) {
            self.error("no-proxy", pointer.join("proxied"), "only Cloudflare answers instead of the host");
            broken = true;
        }
        match found.len() {
            _ if broken => None,
            1 => found.pop(),
            0 => {
                let finding = Finding::error("no-type", pointer.clone(), "the record names no type");
                self.findings.push(finding.fix("add one key such as \"A\": [\"192.0.2.1\"]"));
                None
            }
            _ => {
                let types: Vec<String> = found.iter().map(|(record_type, ..)| record_type.to_string()).collect();
                let message = format!("the record names several types: {}", types.join(", "));
                self.findings
                    .push(Finding::error("several-types", pointer.clone(), message).fix("write one record a type"));
                None
            }
        }
    }

    fn checked(&mut self, value: Result<Rdata, RdataError>, pointer: &Pointer) -> Option<Rdata> {
        value.map_err(|error| self.error("bad-value", pointer.clone(), error.to_string())).ok()
    }

    fn text(&mut self, record_type: RecordType, text: &str, pointer: &Pointer) -> Option<Rdata> {
        self.checked(Rdata::parse(record_type, text, self.zone), pointer)
    }

    /// A host behind fixed fields.
    fn host(&mut self, host: &str, pointer: &Pointer, fields: &[u8]) -> Option<Rdata> {
        if host.parse::<std::net::IpAddr>().is_ok() {
            self.error("target-is-address", pointer.clone(), "a host name belongs here, not an address");
            return None;
        }
        let name = self.name(host, pointer)?;
        self.checked(Rdata::bounded([fields, name.wire()].concat()), pointer)
    }

    /// A digest of known length behind `skip` octets.
    fn digest(
        &mut self,
        record_type: RecordType,
        text: &str,
        skip: usize,
        length: Option<usize>,
        pointer: &Pointer,
    ) -> Option<Rdata> {
        let value = self.text(record_type, text, pointer)?;
        let given = value.wire().len() - skip;
        match length.filter(|length| *length != given) {
            Some(length) => {
                self.error(
                    "bad-digest",
                    pointer.clone(),
                    format!("the digest has {given} octets, its kind has {length}"),
                );
                None
            }
            None => Some(value),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns() {
        for (pattern, text, fits) in [
            ("*", "", true),
            ("_dnsauth*", "_dnsauth.www", true),
            ("*.lab", "a.b.lab", true),
            ("*.lab", "lab", false),
            ("a*c*e", "abcde", true),
            ("a*c*e", "abcdf", false),
            ("@", "@", true),
        ] {
            assert_eq!(glob(pattern.as_bytes(), text.as_bytes()), fits, "{pattern} {text}");
        }
    }
}
