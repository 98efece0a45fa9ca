use std::io::{Read, Write};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyPair, NameConstraints, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::server::serve;
use crate::tool::{Output, run};

const NAME: &str = "www.example.org";

fn params(names: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name.push(DnType::CommonName, names.first().copied().unwrap_or("no name"));
    params
}

fn authority(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params
}

fn root() -> CertifiedIssuer<'static, KeyPair> {
    CertifiedIssuer::self_signed(authority("test root"), KeyPair::generate().unwrap()).unwrap()
}

/// A TLS server with this chain; it answers every request with 200.
fn tls_server(chain: Vec<CertificateDer<'static>>, key: &KeyPair) -> u16 {
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let config = Arc::new(config);
    serve(move |stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut buffer = [0; 2048];
        if stream.read(&mut buffer).is_ok_and(|read| read > 0) {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    })
}

fn look(port: u16, ca: &str, more: Value) -> Output {
    let mut expect = json!({"ca": ca});
    expect.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    let checks = json!([
        {"id": "x", "tls": {"address": format!("{NAME}:{port}"), "expect": expect}},
        {"id": "http", "http": {"url": format!("https://{NAME}:{port}/"), "tls": expect}}
    ]);
    run(&["run", "--no-second-look", "--resolve", &format!("{NAME}:{port}:127.0.0.1")], checks)
}

/// The reason and whether the chain was told, which must agree between the two kinds.
fn reason(port: u16, ca: &str, more: Value) -> String {
    let output = look(port, ca, more);
    let (tls, http) = (output.check("x"), output.check("http"));
    assert_eq!(tls["reason"], http["reason"], "{}", output.stdout);
    assert_eq!(http["http_status"].is_null(), http["state"] == "down", "nothing is sent before the verdict");
    assert!(tls["certificate"]["expires_at"].is_string(), "{}", output.stdout);
    tls["reason"].as_str().unwrap_or("good").to_owned()
}

#[test]
fn every_verdict_on_a_certificate() {
    let root = root();
    let ca = root.pem();
    let signed = |params: CertificateParams| {
        let key = KeyPair::generate().unwrap();
        let leaf = params.signed_by(&key, &root).unwrap();
        reason(tls_server(vec![leaf.der().clone()], &key), &ca, json!({}))
    };
    assert_eq!(signed(params(&[NAME])), "good");
    assert_eq!(signed(params(&["*.example.org"])), "good");
    assert_eq!(signed(params(&["other.example.net"])), "tls_wrong_host");
    assert_eq!(signed(params(&[])), "tls_wrong_host");
    let mut expired = params(&[NAME]);
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    assert_eq!(signed(expired), "tls_expired");
    let mut early = params(&[NAME]);
    (early.not_before, early.not_after) = (date_time_ymd(3000, 1, 1), date_time_ymd(3001, 1, 1));
    assert_eq!(signed(early), "tls_not_yet_valid");
    let mut client = params(&[NAME]);
    client.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    assert_eq!(signed(client), "tls_purpose");
}

#[test]
fn intermediates_expired_missing_and_constrained() {
    let root = root();
    let chain = |change: &dyn Fn(&mut CertificateParams), send: bool| {
        let mut middle = authority("test intermediate");
        change(&mut middle);
        let middle = CertifiedIssuer::signed_by(middle, KeyPair::generate().unwrap(), &root).unwrap();
        let key = KeyPair::generate().unwrap();
        let leaf = params(&[NAME]).signed_by(&key, &middle).unwrap();
        let mut chain = vec![leaf.der().clone()];
        if send {
            chain.push(middle.der().clone());
        }
        reason(tls_server(chain, &key), &root.pem(), json!({}))
    };
    assert_eq!(chain(&|_| {}, true), "good");
    assert_eq!(chain(&|_| {}, false), "tls_incomplete_chain");
    let expired = |middle: &mut CertificateParams| {
        (middle.not_before, middle.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    };
    assert_eq!(chain(&expired, true), "tls_expired");
    let constrained = |middle: &mut CertificateParams| {
        let permitted_subtrees = vec![GeneralSubtree::DnsName("internal.example".into())];
        middle.name_constraints = Some(NameConstraints { permitted_subtrees, excluded_subtrees: Vec::new() });
    };
    assert_eq!(chain(&constrained, true), "tls_name_constraint");
}

#[test]
fn self_signed_is_trusted_only_when_given_or_pinned() {
    let (stranger, other) = (root(), root());
    let key = KeyPair::generate().unwrap();
    // As `openssl req -x509` makes them: an authority that is used as a leaf.
    let mut own = params(&[NAME]);
    own.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let own = own.self_signed(&key).unwrap();
    let port = tls_server(vec![own.der().clone()], &key);
    assert_eq!(reason(port, &own.pem(), json!({})), "good");
    assert_eq!(reason(port, &other.pem(), json!({})), "tls_untrusted");
    let output = look(port, &other.pem(), json!({}));
    let pin = output.check("x")["certificate"]["sha256"].as_str().unwrap().to_owned();
    assert_eq!(reason(port, &stranger.pem(), json!({"pin_sha256": pin})), "good");
    assert_eq!(reason(port, &own.pem(), json!({"pin_sha256": "0".repeat(64)})), "tls_untrusted");
}

#[test]
fn time_left_warns_and_fails() {
    let root = root();
    let key = KeyPair::generate().unwrap();
    let leaf = params(&[NAME]).signed_by(&key, &root).unwrap();
    let port = tls_server(vec![leaf.der().clone()], &key);
    let output = look(port, &root.pem(), json!({"warn_before": "5000000d"}));
    assert_eq!((output.code, output.check("x")["state"].as_str().unwrap()), (0, "degraded"));
    assert_eq!(output.check("http")["http_status"], 200);
    assert_eq!(
        reason(port, &root.pem(), json!({"warn_before": "5000000d", "fail_before": "5000000d"})),
        "tls_expiring"
    );
}

#[test]
fn what_is_no_tls() {
    let plain = serve(|mut stream| {
        let _ = stream.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n");
        let _ = stream.read(&mut [0; 4096]);
    });
    let checks = json!([{"id": "x", "tls": {"address": format!("127.0.0.1:{plain}")}}]);
    let output = run(&["run", "--no-second-look"], checks);
    assert_eq!(output.check("x")["state"], "down");
    assert!(
        ["tls_handshake", "connect_reset"].contains(&output.check("x")["reason"].as_str().unwrap()),
        "{}",
        output.stdout
    );
}

#[test]
fn a_certificate_of_an_expired_leaf_is_not_hidden_by_a_dead_need() {
    let root = root();
    let key = KeyPair::generate().unwrap();
    let mut expired = params(&[NAME]);
    (expired.not_before, expired.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    let leaf = expired.signed_by(&key, &root).unwrap();
    let port = tls_server(vec![leaf.der().clone()], &key);
    let checks = json!([
        {"id": "db", "tcp": {"address": "127.0.0.1:1"}},
        {"id": "www", "needs": ["db"], "tls": {"address": format!("{NAME}:{port}"), "expect": {"ca": root.pem()}}}
    ]);
    let output = run(&["run", "--no-second-look", "--resolve", &format!("{NAME}:{port}:127.0.0.1")], checks);
    assert_eq!(output.json()["root_causes"].as_array().unwrap().len(), 2);
    assert_eq!(output.check("www")["reason"], "tls_expired");
}
