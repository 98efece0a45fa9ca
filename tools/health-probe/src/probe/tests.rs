#![allow(clippy::unwrap_used, clippy::panic)]

use proptest::prelude::*;
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

fn context() -> Context {
    Context {
        resolve: HashMap::new(),
        trusts: Trusts::new(Vec::new()),
        secrets: SecretStore::default(),
        allow_exec: false,
        now: None,
        units: Units::default(),
        turns: Turns::default(),
    }
}

fn prepared(check: serde_json::Value) -> Prepared {
    let check: HealthCheck = serde_json::from_value(check).unwrap();
    let (defaults, mut findings) = (HealthDefaults::default(), Vec::new());
    let usual_tls = Arc::new(TlsPlan::default());
    let mut preparing = Preparing {
        at: Pointer::root(),
        defaults: &defaults,
        profile: None,
        findings: &mut findings,
        usual_tls: &usual_tls,
    };
    let probe = Probe::prepare(&check, &mut preparing).unwrap();
    assert!(findings.is_empty(), "{findings:?}");
    Prepared {
        probe,
        timeout: Duration::from_millis(500),
        warn_above: None,
        fail_above: None,
        addresses: AddressPolicy::Any,
        retries: Retries { most: 0, patient: false },
        after_needs: false,
    }
}

/// What each kind sees of a server that says this and closes.
fn seen(said: Vec<u8>) -> Vec<(String, Observation)> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let server = async {
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.write_all(&said).await;
                let _ = stream.shutdown().await;
                let _ = tokio::time::timeout(Duration::from_millis(20), stream.read(&mut [0; 4096])).await;
            }
        };
        let checks = [
            json!({"id": "http", "http": {"url": format!("http://{address}/"), "body": [{"json": {"pointer": "/a"}}]}}),
            json!({"id": "tunnel", "http": {"url": "https://a.org/", "proxy": format!("http://{address}")}}),
            json!({"id": "tcp", "tcp": {"address": address, "banner": "^ready"}}),
            json!({"id": "tls", "tls": {"address": address}}),
            json!({"id": "redis", "redis": {"address": address}}),
            json!({"id": "postgres", "postgres": {"address": address, "query": "select 1"}}),
            json!({"id": "websocket", "websocket": {"url": format!("ws://{address}/"), "first_message": true}}),
            json!({"id": "ssh", "ssh": {"address": address, "host_key": "SHA256:47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU"}}),
            json!({"id": "smtp", "mail": {"address": address, "protocol": "smtp", "starttls": true}}),
            json!({"id": "imap", "mail": {"address": address, "protocol": "imap", "starttls": true}}),
            json!({"id": "pop3", "mail": {"address": address, "protocol": "pop3", "starttls": true}}),
            json!({"id": "zabbix", "zabbix": {"address": address}}),
        ];
        let look = async {
            let mut seen = Vec::new();
            for check in checks {
                let id = check["id"].as_str().unwrap().to_owned();
                seen.push((id, prepared(check).look(&context(), false).await));
            }
            seen
        };
        tokio::select! {
            () = server => unreachable!("a server does not end"),
            seen = look => seen,
        }
    })
}

/// What servers begin with, so that a parser gets past its first test.
const BEGINNINGS: [&[u8]; 16] = [
    b"",
    b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
    b"HTTP/1.1 101 X\r\nSec-WebSocket-Accept: x\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: ",
    b"SSH-2.0-x\r\n",
    b"SSH-2.0-x\r\n\x00\x00\x00\x40\x04\x14",
    b"220-a\r\n220 b\r\n250-STARTTLS\r\n250 x\r\n220 go\r\n",
    b"* OK x\r\na1 OK go\r\n",
    b"+OK x\r\n+OK go\r\n",
    b"ZBXD\x01\x04\0\0\0\0\0\0\0",
    b"R\0\0\0\x08\0\0\0\0Z\0\0\0\x05I",
    b"R\0\0\0\x17\0\0\0\x0aSCRAM-SHA-256\0\0",
    b"E\0\0\0\x10C57P03\0M",
    b"\x16\x03\x03\0\x40\x02\0\0",
    b"-",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn nothing_that_a_server_says_is_healthy_or_our_bug(
        beginning in 0..BEGINNINGS.len(),
        rest in prop::collection::vec(any::<u8>(), 0..200),
    ) {
        for (id, seen) in seen([BEGINNINGS[beginning], &rest].concat()) {
            prop_assert_ne!(seen.reason, Some(Reason::Internal), "{}: {}", id, seen.message);
            prop_assert!(seen.reason != Some(Reason::Timeout), "{} hangs: {}", id, seen.message);
            prop_assert_ne!(seen.raw, RawResult::Pass, "{}: {}", id, seen.message);
            prop_assert!(!seen.message.chars().any(char::is_control), "{}: {:?}", id, seen.message);
        }
    }
}

#[test]
fn whose_turn_it_is() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let turns = Turns::default();
        let started = Instant::now();
        turns.wait_for("a").await;
        turns.wait_for("b").await;
        assert!(started.elapsed() < Duration::from_millis(500), "hosts do not wait for each other");
        turns.wait_for("a").await;
        assert!(started.elapsed() >= Duration::from_millis(990));
    });
}
