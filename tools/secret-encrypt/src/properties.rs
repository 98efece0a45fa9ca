//! Any document, any rule, any recipients: what is encrypted comes back byte for byte, and a second encryption writes nothing.
#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::sync::LazyLock;

use proptest::prelude::*;

use crate::creation_rules::CreationRule;
use crate::document::{SopsDocument, encrypt_new};
use crate::format::format_named;
use crate::keys::{Identities, Recipient, SshPrivateKey, openssh_private_key};
use crate::sops::CryptRule;

/// Recipients of each kind, with the text of the identity that opens them.
static KEYS: LazyLock<Vec<(Recipient, String)>> = LazyLock::new(|| {
    let mut keys = Vec::new();
    for _ in 0..2 {
        let (recipient, text) = Identities::generate();
        keys.push((recipient.parse().unwrap(), text.to_string()));
    }
    let (recipient, text) = Identities::generate_hybrid().unwrap();
    keys.push((recipient.parse().unwrap(), text.to_string()));
    let ssh = SshPrivateKey::from_seed([9; 32]);
    let text = openssh_private_key(&ssh, 1).to_string();
    let mut identities = Identities::default();
    identities.add("ssh", &text).unwrap();
    keys.push((identities.recipients()[0].parse().unwrap(), text));
    keys
});

/// Groups of recipients, and which of the keys are at hand to open them.
fn recipients() -> impl Strategy<Value = (Vec<Vec<usize>>, usize)> {
    prop_oneof![
        3 => prop::sample::subsequence(vec![0, 1, 2, 3], 1..=3).prop_map(|chosen| (vec![chosen], 1)),
        1 => (2..=3_usize).prop_map(|needed| (vec![vec![0, 2], vec![1], vec![3]], needed)),
    ]
}

fn rule() -> impl Strategy<Value = (CryptRule, bool)> {
    let rules = vec![
        ("unencrypted_suffix", "_unencrypted"),
        ("encrypted_suffix", "_x"),
        ("unencrypted_regex", "^(k1|m)"),
        ("encrypted_regex", "k[0-4]|x"),
        ("unencrypted_comment_regex", "leave"),
        ("encrypted_comment_regex", "seal"),
    ];
    let rules = prop::sample::select(rules).prop_map(|(key, value)| CryptRule::new(key, value).unwrap());
    (rules, any::<bool>())
}

fn word() -> impl Strategy<Value = String> {
    "[a-z][a-zé 0-9#;'\"`=:\\[\\]{},&*!|>%@/_.-]{0,14}[a-z]"
}

fn comment() -> impl Strategy<Value = Option<String>> {
    prop::option::of(prop_oneof!["[a-z :;#=]{0,8}[a-z]", Just(" seal this".to_owned()), Just("leave".to_owned())])
}

fn yaml() -> impl Strategy<Value = String> {
    let scalar = prop_oneof![
        "[a-z][a-z0-9/.@+-]{0,14}[a-z]",
        word().prop_map(|text| format!("\"{}\"", text.replace('"', "\\\""))),
        word().prop_map(|text| format!("'{}'", text.replace('\'', "''"))),
        any::<i32>().prop_map(|number| number.to_string()),
        Just("1.5".to_owned()),
        Just("true".to_owned()),
        Just("null".to_owned()),
        Just("\"\"".to_owned()),
        Just("|\n    one\n\n      two # no comment\n".trim_end().to_owned()),
    ];
    let entry = (scalar, comment(), comment(), 0..4_u8, any::<bool>());
    prop::collection::vec(entry, 1..10).prop_map(|entries| {
        let mut out = String::new();
        for (at, (scalar, above, behind, shape, blank)) in entries.into_iter().enumerate() {
            if blank {
                out.push('\n');
            }
            if let Some(above) = above {
                out.push_str(&format!("#{above}\n"));
            }
            let behind = behind.filter(|_| !scalar.starts_with('|')).map_or(String::new(), |text| format!(" #{text}"));
            match shape {
                0 => out.push_str(&format!("m{at}:\n  k{at}_x: {scalar}{behind}\n")),
                1 if !scalar.starts_with('|') => out.push_str(&format!("l{at}:\n  - {scalar}{behind}\n  - k: last\n")),
                2 => out.push_str(&format!("k{at}_unencrypted: {scalar}{behind}\n")),
                _ => out.push_str(&format!("k{at}: {scalar}{behind}\n")),
            }
        }
        out
    })
}

fn json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        word().prop_map(serde_json::Value::from),
        any::<i32>().prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
        Just(serde_json::json!("")),
        Just(serde_json::json!(2.5)),
        Just(serde_json::json!("ü\n\t\"\\🦀")),
    ];
    let tree = leaf.prop_recursive(3, 24, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(serde_json::Value::from),
            prop::collection::btree_map("[km][0-9](_x)?", inner, 0..4)
                .prop_map(|map| serde_json::Value::Object(map.into_iter().collect())),
        ]
    });
    (prop::collection::btree_map("[a-z]{1,6}(_x|_unencrypted)?", tree, 0..6), any::<bool>()).prop_map(
        |(map, pretty)| {
            let json = serde_json::Value::Object(map.into_iter().filter(|(key, _)| key != "sops").collect());
            if pretty { serde_json::to_string_pretty(&json).unwrap() + "\n" } else { json.to_string() }
        },
    )
}

fn dotenv() -> impl Strategy<Value = String> {
    let line = prop_oneof![
        4 => (word(), any::<bool>()).prop_map(|(value, suffix)| format!("{}={value}", if suffix { "_x" } else { "" })),
        1 => comment().prop_map(|text| format!("#{}", text.unwrap_or_default())),
        1 => Just(String::new()),
    ];
    (prop::collection::vec(line, 1..10), any::<bool>()).prop_map(|(lines, end)| {
        let lines = lines.into_iter().enumerate();
        let lines = lines
            .map(|(at, line)| if line.contains('=') && !line.starts_with('#') { format!("k{at}{line}") } else { line });
        let text = lines.collect::<Vec<_>>().join("\n");
        if end { text + "\n" } else { text }
    })
}

fn ini() -> impl Strategy<Value = String> {
    let mark = prop::sample::select(vec![";", "#", "; ", "## "]);
    let line = prop_oneof![
        4 => (word(), prop::sample::select(vec![" = ", "=", ": ", "  =  "]), comment()).prop_map(|(value, equals, behind)| {
            // Three quotes end what stands between three quotes: what goes on behind them is no INI, and refused.
            let value = if value.contains('`') && value.contains("\"\"\"") { value.replace('"', "'") } else { value };
            let value = if value.contains('`') { format!("\"\"\"{value}\nmore\"\"\"") } else if value.contains([';', '#']) { format!("`{value}`") } else { value };
            format!("K{equals}{value}{}", behind.filter(|_| !value.ends_with(['"', '`'])).map_or(String::new(), |text| format!(" ;{text}")))
        }),
        2 => (mark, comment()).prop_map(|(mark, text)| format!("{mark}{}", text.unwrap_or_default())),
        1 => Just("  ; indented".to_owned()),
        1 => Just(String::new()),
        1 => "[a-z]{1,5}(_x|_unencrypted)?".prop_map(|name| format!("S{name}")),
    ];
    (prop::collection::vec(line, 1..14), any::<bool>()).prop_map(|(lines, end)| {
        let lines = lines.into_iter().enumerate().map(|(at, line)| match line.as_bytes().first() {
            Some(b'K') => format!("k{at}{}", &line[1..]),
            Some(b'S') => format!("[{}]", &line[1..]),
            _ => line,
        });
        let text = lines.collect::<Vec<_>>().join("\n");
        if end { text + "\n" } else { text }
    })
}

fn document() -> impl Strategy<Value = (&'static str, Vec<u8>)> {
    prop_oneof![
        3 => yaml().prop_map(|text| ("yaml", text.into_bytes())),
        2 => json().prop_map(|text| ("json", text.into_bytes())),
        2 => dotenv().prop_map(|text| ("dotenv", text.into_bytes())),
        3 => ini().prop_map(|text| ("ini", text.into_bytes())),
        1 => prop::collection::vec(any::<u8>(), 0..80).prop_map(|bytes| ("binary", bytes)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 192, ..ProptestConfig::default() })]
    #[test]
    fn everything_comes_back((name, plain) in document(), (crypt, mac_only_encrypted) in rule(), (groups, needed) in recipients()) {
        let format = format_named(name).unwrap();
        let text = String::from_utf8_lossy(&plain).into_owned();
        let chosen = |at: &usize| KEYS[*at].0.clone();
        let mut rule = CreationRule::of(Vec::new());
        rule.groups = groups.iter().map(|group| group.iter().map(chosen).collect()).collect();
        rule.threshold = (groups.len() > 1).then_some(needed);
        rule.crypt = crypt;
        rule.mac_only_encrypted = mac_only_encrypted;
        let sealed = encrypt_new(format, &plain, &rule).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        let shown = String::from_utf8_lossy(&sealed).into_owned();
        // One key of as many groups as are needed.
        let mut identities = Identities::default();
        for group in groups.iter().take(needed) {
            identities.add("test", &KEYS[group[0]].1).unwrap();
        }
        let document = SopsDocument::parse(format, sealed.to_vec()).map_err(|error| TestCaseError::fail(format!("{error}\n{shown}")))?;
        let opened = document.open(&identities).map_err(|error| TestCaseError::fail(format!("{error:?}\n{text}\n{shown}")))?;
        prop_assert_eq!(&*opened.plaintext().unwrap(), &plain, "{}\n{}", text, shown);
        let again = opened.replaced(&plain).map_err(|error| TestCaseError::fail(format!("{error}\n{text}")))?;
        prop_assert!(again.is_none(), "a second encryption wrote\n{}\n{}", shown, String::from_utf8_lossy(&again.unwrap_or_default()));
    }
}
