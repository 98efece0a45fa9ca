use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    KeyPair, NameConstraints, date_time_ymd,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};

use crate::server::{free_port, serve};
use crate::tool::{Output, Process, has, run};

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

/// A certificate that openssl made (see pem/README).
fn pem(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/pem").join(name)
}

/// openssl as a server, with these arguments.
fn openssl(arguments: &[&str]) -> Option<(Process, u16)> {
    if !has("openssl", "apt-get install -y openssl") {
        return None;
    }
    let port = free_port();
    let mut command = Command::new("openssl");
    command.args(["s_server", "-accept", &format!("127.0.0.1:{port}"), "-www"]).args(arguments);
    let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    for _ in 0..100 {
        if std::net::TcpStream::connect(("127.0.0.1", port)).is_ok() {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    Some((Process(child), port))
}

#[test]
fn what_rcgen_cannot_make() {
    let ca = std::fs::read_to_string(pem("ca.pem")).unwrap();
    for (name, expected) in [("rsa1024", "tls_weak_key"), ("sha1", "tls_weak_key")] {
        let (cert, key) = (pem(&format!("{name}.pem")), pem(&format!("{name}.key")));
        let arguments =
            ["-cert", cert.to_str().unwrap(), "-key", key.to_str().unwrap(), "-cipher", "DEFAULT@SECLEVEL=0"];
        let Some((_server, port)) = openssl(&arguments) else { return };
        let output = look(port, &ca, json!({}));
        assert_eq!(output.check("x")["reason"], expected, "{name}: {}", output.stdout);
        // Which certificate it is, and until when, is told all the same.
        assert_eq!(output.check("x")["certificate"]["names"][0], NAME, "{name}");
        assert_eq!(output.check("x")["certificate"]["verified"].as_bool().unwrap(), name == "rsa1024");
    }
}

#[test]
fn versions_that_are_too_old() {
    let (cert, key) = (pem("sha1.pem"), pem("sha1.key"));
    let arguments =
        ["-cert", cert.to_str().unwrap(), "-key", key.to_str().unwrap(), "-tls1_1", "-cipher", "DEFAULT@SECLEVEL=0"];
    let Some((_server, port)) = openssl(&arguments) else { return };
    let output = look(port, &std::fs::read_to_string(pem("ca.pem")).unwrap(), json!({}));
    assert_eq!(output.check("x")["reason"], "tls_version", "{}", output.stdout);
}

/// A server that takes only clients with a certificate of this authority, with what it heard from each.
fn mutual_server(
    chain: Vec<CertificateDer<'static>>,
    key: &KeyPair,
    clients: &CertificateDer<'static>,
) -> (u16, Arc<Mutex<Vec<bool>>>) {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(clients.clone()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier =
        rustls::server::WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(&provider)).build();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier.unwrap())
        .with_single_cert(chain, PrivateKeyDer::Pkcs8(key.serialize_der().into()))
        .unwrap();
    let config = Arc::new(config);
    let shown = Arc::new(Mutex::new(Vec::new()));
    let kept = Arc::clone(&shown);
    let port = serve(move |stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let heard = stream.read(&mut [0; 2048]).is_ok_and(|read| read > 0);
        kept.lock().unwrap().push(stream.conn.peer_certificates().is_some());
        if heard {
            let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
        }
    });
    (port, shown)
}

#[test]
fn certificates_of_ours_are_shown_to_good_servers_only() {
    let (servers, clients) = (root(), root());
    let key = KeyPair::generate().unwrap();
    let leaf = params(&[NAME]).signed_by(&key, &servers).unwrap();
    let (port, shown) = mutual_server(vec![leaf.der().clone()], &key, clients.der());
    let secrets = tempfile::tempdir().unwrap();
    let own_key = KeyPair::generate().unwrap();
    let mut own = params(&["probe"]);
    own.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let own = own.signed_by(&own_key, &clients).unwrap();
    let write = |name: &str, text: String| {
        use std::os::unix::fs::PermissionsExt;
        let path = secrets.path().join(name);
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o400)).unwrap();
    };
    write("both", own.pem() + &own_key.serialize_pem());
    write("key", own_key.serialize_pem());
    write("other", KeyPair::generate().unwrap().serialize_pem());
    let look = |ca: &str, client: Value| {
        let mut expect = json!({ "ca": ca });
        if !client.is_null() {
            expect["client"] = client;
        }
        let checks = json!([
            {"id": "tls", "tls": {"address": format!("{NAME}:{port}"), "expect": expect}},
            {"id": "http", "http": {"url": format!("https://{NAME}:{port}/"), "tls": expect}}
        ]);
        let resolve = format!("{NAME}:{port}:127.0.0.1");
        let directory = secrets.path().to_str().unwrap();
        run(&["run", "--no-second-look", "--secrets-dir", directory, "--resolve", &resolve], checks)
    };
    let good = look(&servers.pem(), json!({"key": {"secret": "both"}}));
    assert_eq!((good.check("http")["state"].as_str(), good.code), (Some("up"), 0), "{}", good.stdout);
    let apart = look(&servers.pem(), json!({"certificate": own.pem(), "key": {"secret": "key"}}));
    assert_eq!(apart.code, 0, "{}", apart.stdout);
    // Without one, both kinds say what the server asks for.
    let none = look(&servers.pem(), Value::Null);
    assert_eq!(none.check("tls")["reason"], "tls_client_cert_required", "{}", none.stdout);
    assert_eq!(none.check("http")["reason"], "tls_client_cert_required", "{}", none.stdout);
    // A server that is not the one we mean sees neither certificate nor signature.
    shown.lock().unwrap().clear();
    let stranger = look(&root().pem(), json!({"key": {"secret": "both"}}));
    assert_eq!(stranger.check("http")["reason"], "tls_untrusted", "{}", stranger.stdout);
    assert!(stranger.check("http")["certificate"]["expires_at"].is_string());
    assert!(shown.lock().unwrap().iter().all(|shown| !shown));
    // A key that does not fit says nothing about the server.
    let unfit = look(&servers.pem(), json!({"certificate": own.pem(), "key": {"secret": "other"}}));
    assert_eq!(
        (unfit.check("tls")["state"].as_str(), unfit.check("tls")["reason"].as_str()),
        (Some("unknown"), Some("secret_missing"))
    );
    let clear = json!([{"id": "x", "tls": {"address": "a:1", "expect":
        {"client": {"certificate": own_key.serialize_pem(), "key": {"secret": "key"}}}}}]);
    let output = run(&["check"], clear);
    assert!(output.stdout.contains("stands here in clear") && !output.stdout.contains("PRIVATE KEY-----\n"));
}

#[test]
fn names_that_are_asked_for_and_names_that_are_verified() {
    // A server that knows one name, and ends the handshake with the alert for any other.
    let root = root();
    let key = KeyPair::generate().unwrap();
    let leaf = params(&[NAME]).signed_by(&key, &root).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let certified = rustls::sign::CertifiedKey::from_der(
        vec![leaf.der().clone()],
        PrivateKeyDer::Pkcs8(key.serialize_der().into()),
        &provider,
    );
    let mut names = rustls::server::ResolvesServerCertUsingSni::new();
    names.add(NAME, certified.unwrap()).unwrap();
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(names));
    let config = Arc::new(config);
    let port = serve(move |stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let _ = rustls::StreamOwned::new(connection, stream).read(&mut [0; 16]);
    });
    let seen = |expect: Value| {
        let mut expect = expect;
        expect["ca"] = json!(root.pem());
        let checks = json!([{"id": "x", "tls": {"address": format!("127.0.0.1:{port}"), "expect": expect}}]);
        let check = run(&["run", "--no-second-look"], checks).check("x");
        check["reason"].as_str().unwrap_or("good").to_owned()
    };
    assert_eq!(seen(json!({"server_name": NAME})), "good");
    assert_eq!(seen(json!({"server_name": NAME, "sni": NAME})), "good");
    // An address is never asked for by name (RFC 6066, section 3).
    for none in [json!({}), json!({"server_name": NAME, "sni": ""})] {
        assert!(["tls_unrecognized_name", "tls_handshake"].contains(&seen(none).as_str()));
    }
    assert_eq!(seen(json!({"sni": NAME})), "tls_wrong_host", "asked for by name, verified by address");
}

#[test]
fn unverified_is_said_and_still_expires() {
    let root = root();
    let key = KeyPair::generate().unwrap();
    let leaf = params(&["other.example.net"]).signed_by(&key, &root).unwrap();
    let output = look(tls_server(vec![leaf.der().clone()], &key), &root.pem(), json!({}));
    assert_eq!(output.check("x")["reason"], "tls_wrong_host");
    let port = tls_server(vec![leaf.der().clone()], &key);
    let look = |args: &[&str]| {
        let checks =
            json!([{"id": "x", "tls": {"address": format!("127.0.0.1:{port}"), "expect": {"insecure": true}}}]);
        let args: Vec<&str> = ["run", "--no-second-look"].iter().chain(args).copied().collect();
        run(&args, checks).check("x")
    };
    let check = look(&[]);
    assert_eq!((check["state"].as_str(), check["certificate"]["verified"].as_bool()), (Some("up"), Some(false)));
    assert_eq!(look(&["--now", "4099-01-01T00:00:00Z"])["reason"], "tls_expired");
}

#[test]
fn thresholds_go_by_the_life_of_the_certificate() {
    let root = root();
    let key = KeyPair::generate().unwrap();
    let ninety = |days: u64| {
        let mut params = params(&[NAME]);
        params.not_before = date_time_ymd(2030, 1, 1);
        params.not_after = params.not_before + std::time::Duration::from_secs(days * 86_400);
        let leaf = params.signed_by(&key, &root).unwrap();
        tls_server(vec![leaf.der().clone()], &key)
    };
    let seen = |port: u16, now: &str| {
        let checks = json!([{"id": "x", "tls": {"address": format!("{NAME}:{port}"), "expect": {"ca": root.pem()}}}]);
        let resolve = format!("{NAME}:{port}:127.0.0.1");
        let check = run(&["run", "--no-second-look", "--resolve", &resolve, "--now", now], checks).check("x");
        check["state"].as_str().unwrap().to_owned()
    };
    // 90 days: warned about 21 days before the end, down 7 days before it.
    let long = ninety(90);
    assert_eq!(seen(long, "2030-03-09T00:00:00Z"), "up");
    assert_eq!(seen(long, "2030-03-12T00:00:00Z"), "degraded");
    assert_eq!(seen(long, "2030-03-25T12:00:00Z"), "down");
    // Six days: a quarter and a twelfth of that.
    let short = ninety(6);
    assert_eq!(seen(short, "2030-01-02T00:00:00Z"), "up");
    assert_eq!(seen(short, "2030-01-06T00:00:00Z"), "degraded");
    assert_eq!(seen(short, "2030-01-06T18:00:00Z"), "down");
}

#[test]
fn an_old_root_that_is_sent_along_does_not_count() {
    let root = root();
    let mut old = authority("an old root");
    (old.not_before, old.not_after) = (date_time_ymd(2000, 1, 1), date_time_ymd(2021, 1, 1));
    let old = CertifiedIssuer::self_signed(old, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let leaf = params(&[NAME]).signed_by(&key, &root).unwrap();
    let output = look(tls_server(vec![leaf.der().clone(), old.der().clone()], &key), &root.pem(), json!({}));
    let certificate = output.check("x")["certificate"].clone();
    assert_eq!(output.check("x")["state"], "up", "{certificate}");
    assert_eq!(certificate["chain_expires_at"], certificate["expires_at"]);
    assert_eq!(certificate["sent_expires_at"], "2021-01-01T00:00:00Z");
}
