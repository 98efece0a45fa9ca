#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;
use crate::live_zone::{LiveValue, LiveZone};
use crate::name::Name;
use crate::rdata::Rdata;
use crate::record_type::RecordType;
use crate::rrset::Key;

fn zone() -> Name {
    Name::absolute("example.org").unwrap()
}

#[test]
fn a_file_as_people_write_it() {
    let text = r#"
$TTL 1h ; the default
@   IN SOA ns hostmaster (
        2026112101 ; serial
        3h 15m 1w 300 )
    NS  ns
ns  60 A 192.0.2.53
    IN 90 AAAA 2001:db8::53
$ORIGIN sub
www IN CNAME example.org.
*   TXT "semi;colon" "and (paren)"
caf\233 5 A 192.0.2.9
generic TYPE65280 \# 3 abcdef
generic A \# 4 c0000207
"#;
    let live = parse(text, &zone()).unwrap();
    assert_eq!(live.serial(), Some(2_026_112_101));
    let written = write(&live);
    let wanted = "\
example.org.\t3600\tIN\tSOA\tns.example.org. hostmaster.example.org. 2026112101 10800 900 604800 300
example.org.\t3600\tIN\tNS\tns.example.org.
ns.example.org.\t60\tIN\tA\t192.0.2.53
ns.example.org.\t90\tIN\tAAAA\t2001:db8::53
*.sub.example.org.\t3600\tIN\tTXT\t\"semi;colonand (paren)\"
caf\\233.sub.example.org.\t5\tIN\tA\t192.0.2.9
generic.sub.example.org.\t3600\tIN\tA\t192.0.2.7
generic.sub.example.org.\t3600\tIN\tTYPE65280\t\\# 3 abcdef
www.sub.example.org.\t3600\tIN\tCNAME\texample.org.
";
    assert_eq!(written, wanted);
    assert_eq!(write(&parse(&written, &zone()).unwrap()), written);
}

#[test]
fn mistakes_name_their_line() {
    let cases = [
        ("@ 60 A 192.0.2.1\nwww 60 AA 192.0.2.1\n", 2, "no type, did you mean A"),
        ("\n\nwww.example.com. 60 A 192.0.2.1", 3, "not in the zone"),
        ("@ A 192.0.2.1", 1, "no TTL"),
        (" 60 A 192.0.2.1", 1, "no owner"),
        ("@ 60 CH A 192.0.2.1", 1, "class"),
        ("@ 60 A (\n192.0.2.1", 2, "not closed"),
        ("$INCLUDE other", 1, "$INCLUDE"),
        ("$TTL x", 1, "TTL"),
        ("@ 60 AXFR x", 1, "no type of records"),
        ("@ 60 IN", 1, "type is missing"),
    ];
    for (text, line, what) in cases {
        let error = parse(text, &zone()).unwrap_err();
        assert_eq!(error.line, line, "{text}");
        assert!(error.what.contains(what), "{text}: {error}");
    }
}

fn any_set() -> impl Strategy<Value = (Vec<u8>, RecordType, u32, Vec<u8>)> {
    let types = prop::sample::select(vec![
        RecordType::A,
        RecordType::AAAA,
        RecordType::TXT,
        RecordType::MX,
        RecordType::CAA,
        RecordType::HTTPS,
        RecordType(65280),
    ]);
    let label = prop::collection::vec(any::<u8>(), 1..12);
    (label, types, 0..1_000_000_u32, prop::collection::vec(any::<u8>(), 0..40))
}

/// A value of a type from random bytes.
fn value(record_type: RecordType, seed: &[u8]) -> Rdata {
    let byte = |at: usize| seed.get(at).copied().unwrap_or(7);
    match record_type {
        RecordType::A => Rdata::bounded((0..4).map(byte).collect()),
        RecordType::AAAA => Rdata::bounded((0..16).map(byte).collect()),
        RecordType::TXT => Rdata::text(seed),
        RecordType::MX => Rdata::bounded(vec![byte(0), byte(1), 1, byte(2).to_ascii_lowercase(), 0]),
        RecordType::CAA => Rdata::bounded([&[byte(0), 1, b'x'], seed].concat()),
        RecordType::HTTPS => {
            Rdata::bounded([&[0, 1, 0, 0, 3, 0, 2, byte(0), byte(1), 1, 0, 0, seed.len() as u8], seed].concat())
        }
        _ => Rdata::bounded(seed.to_vec()),
    }
    .unwrap()
}

proptest! {
    #[test]
    fn what_is_written_reads_back(sets in prop::collection::vec(any_set(), 0..20)) {
        let mut live = LiveZone::empty(zone());
        for (label, record_type, ttl, seed) in sets {
            let mut wire = vec![label.len() as u8];
            wire.extend(&label);
            wire.extend(zone().wire());
            let key = Key::new(Name::from_message(&wire, 0).unwrap().0, record_type);
            let ttl = live.sets.get(&key).map_or(ttl, |set| set.ttl);
            live.insert(key, ttl, LiveValue { value: value(record_type, &seed), stored: None });
        }
        let text = write(&live);
        let again = parse(&text, &zone());
        prop_assert_eq!(again.as_ref(), Ok(&live), "{}", text);
    }

    #[test]
    fn no_text_panics(text in "[\\PC\n\t ]{0,120}") {
        let _ = parse(&text, &zone());
    }

    #[test]
    fn no_likely_text_panics(words in prop::collection::vec(prop::sample::select(vec![
        "@", "a", "60", "1h", "IN", "A", "TXT", "SOA", "LOC", "HTTPS", "\\#", "(", ")", "\"", ";", "\n", " ", "$TTL", "$ORIGIN",
        "192.0.2.1", "alpn=\"", "\\", "\\300", ".", "4", "abcd", "TYPE0", "N",
    ]), 0..40)) {
        let _ = parse(&words.join(" "), &zone());
    }
}
