//! What is wrong or doubtful in a declared zone as a whole.

use std::collections::{BTreeMap, BTreeSet};

use contract::document::DnsDesired;
use contract::{Finding, Pointer};

use crate::declared_zone::{DeclaredSet, DeclaredZone, declare};
use crate::error::DnsError;
use crate::name::Name;
use crate::provider::{is_supported, kind_of};
use crate::record_type::RecordType;
use crate::rrset::Key;

/// The longest chain of CNAMEs that is followed.
const LONGEST_CHAIN: usize = 16;

/// Reads a document and looks at all of it. `Err` is for what this build cannot do at all.
pub(crate) fn examine(desired: &DnsDesired) -> Result<(Vec<DeclaredZone>, Vec<Finding>), DnsError> {
    for (name, provider) in &desired.providers {
        if let Some(kind) = kind_of(provider).filter(|kind| !is_supported(kind)) {
            return Err(DnsError::UnsupportedProvider { provider: name.clone(), kind });
        }
    }
    if !desired.tunnels.is_empty() {
        return Err(DnsError::UnsupportedPart { what: "tunnels" });
    }
    if !desired.access.is_empty() {
        return Err(DnsError::UnsupportedPart { what: "Access applications" });
    }
    let mut findings = Vec::new();
    owner(&desired.owner, &mut findings);
    providers(desired, &mut findings);
    let zones = declare(desired, &mut findings);
    for zone in &zones {
        coexistence(zone, &mut findings);
        targets(zone, &mut findings);
        mail(zone, &mut findings);
        services(zone, &mut findings);
    }
    Ok((zones, findings))
}

/// The owner stands in a TXT record between other things.
fn owner(owner: &str, findings: &mut Vec<Finding>) {
    let good = (1..=63).contains(&owner.len())
        && owner.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte));
    if !good {
        let pointer = Pointer::root().join("owner");
        findings.push(Finding::error(
            "bad-owner",
            pointer,
            "an owner is 1 to 63 letters, digits, dots, dashes and underscores",
        ));
    }
}

fn providers(desired: &DnsDesired, findings: &mut Vec<Finding>) {
    for (name, provider) in &desired.providers {
        let pointer = Pointer::root().join("providers").join(name);
        if kind_of(provider).is_none() {
            let finding = Finding::error("provider-kind", pointer.clone(), "a provider names exactly one kind");
            findings.push(finding.fix("add one key such as \"rfc2136\""));
        }
        if let Some(rfc2136) = &provider.rfc2136 {
            let pointer = pointer.join("rfc2136");
            if crate::provider::address(&rfc2136.server).is_none() {
                let message = "the server is no address with a port, such as 192.0.2.53:53 or [2001:db8::53]:53";
                findings.push(Finding::error("bad-address", pointer.join("server"), message));
            }
            if let Err(error) = Name::absolute(&rfc2136.tsig.name) {
                findings.push(Finding::error("bad-name", pointer.join("tsig").join("name"), error.to_string()));
            }
        }
    }
}

/// A CNAME stands alone at its name, which is not the zone's own, and has one value (RFC 1034 section 3.6.2).
fn coexistence(zone: &DeclaredZone, findings: &mut Vec<Finding>) {
    let cnames = || zone.sets.iter().filter(|(key, _)| key.record_type == RecordType::CNAME);
    for (key, set) in cnames() {
        if key.name == zone.name {
            let finding = Finding::error("cname-at-apex", set.pointer.clone(), "the zone's own name cannot be a CNAME");
            findings.push(finding.fix("give the addresses as A and AAAA"));
        }
        if set.set.values.len() > 1 {
            findings.push(Finding::error(
                "several-cnames",
                set.pointer.clone(),
                format!("{} has several CNAMEs", key.name),
            ));
        }
        let others =
            zone.sets.iter().filter(|(other, _)| other.name == key.name && other.record_type != RecordType::CNAME);
        for (other, other_set) in others.take(1) {
            let message = format!("{} has a CNAME and {} records", key.name, other.record_type);
            let finding = Finding::error("cname-not-alone", set.pointer.clone(), message);
            findings.push(finding.related(other_set.pointer.clone()).fix("keep one of them"));
        }
        chain(zone, key, set, findings);
    }
}

/// Follows a CNAME inside the zone.
fn chain(zone: &DeclaredZone, key: &Key, set: &DeclaredSet, findings: &mut Vec<Finding>) {
    let mut seen = BTreeSet::from([key.name.clone()]);
    let mut at = set.set.values.first().and_then(|value| value.target(RecordType::CNAME));
    while let Some(name) = at.filter(|_| seen.len() <= LONGEST_CHAIN) {
        if !seen.insert(name.clone()) {
            let message = format!("{} leads back to itself through CNAMEs", key.name);
            findings.push(Finding::error("cname-loop", set.pointer.clone(), message));
            return;
        }
        let next = zone.sets.get(&Key::new(name, RecordType::CNAME));
        at = next.and_then(|set| set.set.values.first()?.target(RecordType::CNAME));
    }
}

/// Names inside the zone that records point at.
fn targets(zone: &DeclaredZone, findings: &mut Vec<Finding>) {
    let names: BTreeMap<&Name, bool> = zone.sets.keys().fold(BTreeMap::new(), |mut names, key| {
        *names.entry(&key.name).or_default() |= key.record_type == RecordType::CNAME;
        names
    });
    let covered = |name: &Name| {
        std::iter::successors(name.parent(), Name::parent)
            .take_while(|parent| parent.is_in(&zone.name))
            .any(|parent| parent.child("*").is_ok_and(|wildcard| names.contains_key(&wildcard)))
    };
    for (key, set) in &zone.sets {
        for target in set.set.values.iter().filter_map(|value| value.target(key.record_type)) {
            let must_be_host = matches!(key.record_type, RecordType::MX | RecordType::NS | RecordType::SRV);
            if must_be_host && names.get(&target) == Some(&true) {
                let message = format!("{} {} points at {target}, which is a CNAME", key.name, key.record_type);
                let finding = Finding::warning("target-is-cname", set.pointer.clone(), message);
                findings.push(finding.fix("point at the host itself (RFC 2181 section 10.3)"));
            }
            let known = names.contains_key(&target) || covered(&target) || !target.is_in(&zone.name);
            if !known && key.record_type != RecordType::PTR {
                let message = format!("{} {} points at {target}, which is not declared", key.name, key.record_type);
                let finding = Finding::warning("dangling-target", set.pointer.clone(), message);
                findings.push(finding.fix("declare it, or add the final dot if it lies in another zone"));
            }
        }
    }
}

/// A null MX stands alone (RFC 7505 section 3).
fn mail(zone: &DeclaredZone, findings: &mut Vec<Finding>) {
    for (key, set) in zone.sets.iter().filter(|(key, _)| key.record_type == RecordType::MX) {
        let null = |value: &crate::rdata::Rdata| value.target(RecordType::MX) == Some(Name::root());
        if set.set.values.len() > 1 && set.set.values.iter().any(null) {
            let message = format!("{} says that it takes no mail and names mail servers", key.name);
            findings.push(Finding::error("null-mx-not-alone", set.pointer.clone(), message));
        }
    }
}

/// SRV and TLSA records stand at `_service._protocol` (RFC 2782, RFC 6698 section 3).
fn services(zone: &DeclaredZone, findings: &mut Vec<Finding>) {
    for (key, set) in &zone.sets {
        let underscored = key.name.labels().take(2).filter(|label| label.first() == Some(&b'_')).count() == 2;
        let service = matches!(key.record_type, RecordType::SRV | RecordType::TLSA);
        if service && !underscored && !key.name.is_wildcard() {
            let message = format!("{} {} does not stand at two labels that begin with _", key.name, key.record_type);
            findings.push(Finding::warning("service-name", set.pointer.clone(), message));
        }
    }
}
