#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::*;

fn zone() -> Name {
    Name::absolute("example.org").unwrap()
}

fn canonical(record_type: &str, text: &str) -> String {
    let record_type: RecordType = record_type.parse().unwrap();
    let rdata = Rdata::parse(record_type, text, &zone());
    assert!(rdata.is_ok(), "{record_type} {text}: {rdata:?}");
    rdata.unwrap().to_text(record_type)
}

#[test]
fn every_type_has_one_text() {
    let cases = [
        ("A", "192.0.2.1", "192.0.2.1"),
        ("AAAA", "2001:DB8:0::1", "2001:db8::1"),
        ("CNAME", "WWW", "www.example.org."),
        ("NS", "@", "example.org."),
        ("MX", "10 Mail.Example.COM.", "10 mail.example.com."),
        ("MX", "0 .", "0 ."),
        ("TXT", "\"a\" b \"c d\"", "\"abc d\""),
        ("TXT", "\"\"", "\"\""),
        ("TXT", "\"q\\\"\\\\\\009\"", "\"q\\\"\\\\\\009\""),
        ("SRV", "0 5 443 sip", "0 5 443 sip.example.org."),
        ("CAA", "0 ISSUE \"ca.example; x=y\"", "0 issue \"ca.example; x=y\""),
        ("CAA", "128 iodef mailto:a@b", "128 iodef \"mailto:a@b\""),
        ("SSHFP", "4 2 ABCD ef01", "4 2 abcdef01"),
        ("TLSA", "3 1 1 00FF", "3 1 1 00ff"),
        ("DS", "60485 5 1 2BB183", "60485 5 1 2bb183"),
        (
            "HTTPS",
            "1 . port=8443 alpn=\"h2,h3\" ipv4hint=192.0.2.1,192.0.2.2",
            "1 . alpn=h2,h3 port=8443 ipv4hint=192.0.2.1,192.0.2.2",
        ),
        ("HTTPS", "0 cdn", "0 cdn.example.org."),
        (
            "SVCB",
            "1 foo.example. mandatory=port,alpn alpn=h2 port=53 no-default-alpn key667=\"hel\\210lo\"",
            "1 foo.example. mandatory=alpn,port alpn=h2 no-default-alpn port=53 key667=\"hel\\210lo\"",
        ),
        ("SVCB", "16 foo alpn=\"f\\\\\\\\oo\\\\,bar,h2\"", "16 foo.example.org. alpn=\"f\\\\\\\\oo\\\\,bar,h2\""),
        ("NAPTR", "100 50 \"s\" \"z3950+I2L\" \"\" _z._tcp", "100 50 \"s\" \"z3950+I2L\" \"\" _z._tcp.example.org."),
        ("URI", "10 1 \"https://example.org/\"", "10 1 \"https://example.org/\""),
        ("HINFO", "PC \"Linux\"", "\"PC\" \"Linux\""),
        ("RP", "a.b .", "a.b.example.org. ."),
        ("LOC", "51 30 12.748 N 0 7 39.612 W 0", "51 30 12.748 N 0 7 39.612 W 0.00m 1.00m 10000.00m 10.00m"),
        ("LOC", "32 S 116 E -10m 30m", "32 0 0.000 S 116 0 0.000 E -10.00m 30.00m 10000.00m 10.00m"),
        ("OPENPGPKEY", "AQID BA==", "AQIDBA=="),
        ("TYPE65280", "\\# 3 AB cdEF", "\\# 3 abcdef"),
        ("TYPE65280", "\\# 0", "\\# 0"),
        ("A", "\\# 4 c0000201", "192.0.2.1"),
        ("SOA", "ns Hostmaster 7 1h 15m 1w 5M", "ns.example.org. hostmaster.example.org. 7 3600 900 604800 300"),
    ];
    for (record_type, text, wanted) in cases {
        assert_eq!(canonical(record_type, text), wanted, "{record_type} {text}");
        // The text of the canonical form means the same.
        assert_eq!(canonical(record_type, wanted), wanted);
    }
}

#[test]
fn what_is_no_value_is_refused() {
    let cases = [
        ("A", "192.0.2.01"),
        ("A", "192.0.2.1 x"),
        ("AAAA", "192.0.2.1"),
        ("MX", "mail"),
        ("MX", "10"),
        ("CAA", "0 is-sue x"),
        ("SSHFP", "4 2 abc"),
        ("SSHFP", "4 2"),
        ("TLSA", "3 1 1 xy"),
        ("HTTPS", "1 . port=70000"),
        ("HTTPS", "1 . port=1 port=2"),
        ("HTTPS", "1 . nonsense=1"),
        ("HTTPS", "1 . no-default-alpn=1"),
        ("TYPE65280", "abc"),
        ("TYPE65280", "\\# 2 ab"),
        ("A", "\\# 3 c00002"),
        ("LOC", "91 N 0 E 0"),
        ("TXT", ""),
        ("HINFO", "\"a\""),
    ];
    for (record_type, text) in cases {
        let number: RecordType = record_type.parse().unwrap();
        assert!(Rdata::parse(number, text, &zone()).is_err(), "{record_type} {text}");
    }
}

#[test]
fn long_texts_are_split_by_bytes_and_compared_whole() {
    for length in [0, 254, 255, 256, 509, 510, 511, 764, 765, 766, 4096] {
        let text = vec![b'x'; length];
        let rdata = Rdata::text(&text).unwrap();
        assert_eq!(rdata.wire().len(), length + length.div_ceil(255).max(1));
        let again = Rdata::parse(RecordType::TXT, &rdata.to_text(RecordType::TXT), &zone()).unwrap();
        assert_eq!(again, rdata);
    }
    let stored = b"\x01a\x02bc";
    let (value, kept) = Rdata::from_message(RecordType::TXT, stored, 0, stored.len()).unwrap();
    assert_eq!(value, Rdata::text(b"abc").unwrap());
    assert_eq!(kept.as_deref(), Some(&stored[..]));
}

#[test]
fn the_stored_form_keeps_its_case() {
    let stored = b"\x00\x0a\x04MAIL\x07Example\x03COM\x00";
    let (value, kept) = Rdata::from_message(RecordType::MX, stored, 0, stored.len()).unwrap();
    assert_eq!(value.to_text(RecordType::MX), "10 mail.example.com.");
    assert_eq!(kept.as_deref(), Some(&stored[..]));
    assert_eq!(value.target(RecordType::MX), Some(Name::absolute("mail.example.com").unwrap()));
}

fn any_type() -> impl Strategy<Value = RecordType> {
    let known: Vec<RecordType> = RecordType::mnemonics().map(|text| text.parse().unwrap()).collect();
    prop_oneof![4 => prop::sample::select(known), 1 => any::<u16>().prop_map(RecordType)]
}

proptest! {
    #[test]
    fn wire_text_wire(record_type in any_type(), bytes in prop::collection::vec(any::<u8>(), 0..80)) {
        let (value, _) = Rdata::from_message(record_type, &bytes, 0, bytes.len()).unwrap();
        let text = value.to_text(record_type);
        let again = Rdata::parse(record_type, &text, &zone());
        // What is no value of its type prints in the generic form, which says so when it is read.
        if text.starts_with("\\#") {
            prop_assert!(again.is_err() || again.unwrap() == value);
        } else {
            prop_assert_eq!(again.unwrap(), value, "{}", text);
        }
    }

    #[test]
    fn structured_wire_text_wire(
        numbers in prop::collection::vec(any::<u16>(), 3),
        label in prop::collection::vec(any::<u8>(), 1..20),
        strings in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..255), 1..4),
    ) {
        let mut name = vec![label.len() as u8];
        name.extend(&label);
        name.push(0);
        let mut wire: Vec<u8> = numbers.iter().flat_map(|number| number.to_be_bytes()).collect();
        wire.extend(&name);
        let (value, _) = Rdata::from_message(RecordType::SRV, &wire, 0, wire.len()).unwrap();
        prop_assert_eq!(Rdata::parse(RecordType::SRV, &value.to_text(RecordType::SRV), &zone()).unwrap(), value);
        let mut wire = Vec::new();
        for string in &strings {
            wire.push(string.len() as u8);
            wire.extend(string);
        }
        let (value, _) = Rdata::from_message(RecordType::TXT, &wire, 0, wire.len()).unwrap();
        prop_assert_eq!(&value, &Rdata::text(&strings.concat()).unwrap());
        prop_assert_eq!(Rdata::parse(RecordType::TXT, &value.to_text(RecordType::TXT), &zone()).unwrap(), value);
    }

    #[test]
    fn no_text_panics(record_type in any_type(), text in "[\\PC]{0,60}") {
        let _ = Rdata::parse(record_type, &text, &zone());
    }
}
