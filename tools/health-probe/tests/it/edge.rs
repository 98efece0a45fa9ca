//! Servers that speak TLS: an edge of several names, and mail submission.

use std::io::{BufRead, BufReader, Read, Write};
use std::sync::Arc;

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use rustls::pki_types::PrivateKeyDer;

use crate::server::serve;

pub type Authority = CertifiedIssuer<'static, KeyPair>;

/// A certificate authority: its PEM, and itself.
pub fn authority_of(name: &str) -> (String, Authority) {
    let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    (issuer.pem(), issuer)
}

/// How a server with a certificate for these names speaks TLS.
pub fn config_of(issuer: &Authority, params: CertificateParams) -> Arc<rustls::ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let leaf = params.signed_by(&key, issuer).unwrap();
    let key = PrivateKeyDer::Pkcs8(key.serialize_der().into());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(config.with_no_client_auth().with_single_cert(vec![leaf.der().clone()], key).unwrap())
}

/// A certificate for these names.
pub fn leaf_of(names: &[&str]) -> CertificateParams {
    CertificateParams::new(names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap()
}

/// An HTTPS server that answers as `backend` says for the name that is asked for.
pub fn server_of(issuer: &Authority, names: &[&str], backend: impl Fn(&str) -> String + Send + Sync + 'static) -> u16 {
    serve_tls(config_of(issuer, leaf_of(names)), backend)
}

/// The same with a certificate of any kind.
pub fn serve_tls(config: Arc<rustls::ServerConfig>, backend: impl Fn(&str) -> String + Send + Sync + 'static) -> u16 {
    serve(move |stream| {
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut head = Vec::new();
        let mut buffer = [0; 2048];
        while !head.windows(4).any(|four| four == b"\r\n\r\n") {
            match stream.read(&mut buffer) {
                Ok(read) if read > 0 => head.extend_from_slice(&buffer[..read]),
                _ => return,
            }
        }
        let head = String::from_utf8_lossy(&head).into_owned();
        let host = head.lines().find_map(|line| line.strip_prefix("Host: ").or(line.strip_prefix("host: ")));
        let host = host.unwrap_or_default().split(':').next().unwrap_or_default();
        let _ = stream.write_all(backend(host).as_bytes());
        stream.conn.send_close_notify();
        let _ = stream.flush();
    })
}

/// A mail submission server that wants STARTTLS.
pub fn submission_of(issuer: &Authority, name: &str) -> u16 {
    let config = config_of(issuer, leaf_of(&[name]));
    serve(move |mut stream| {
        let _ = stream.write_all(b"220 mail.example.org ESMTP\r\n");
        let mut lines = BufReader::new(stream.try_clone().unwrap());
        loop {
            let mut line = String::new();
            if lines.read_line(&mut line).is_ok_and(|read| read == 0) {
                return;
            }
            if line.starts_with("EHLO") {
                let _ = stream.write_all(b"250-mail.example.org\r\n250-SIZE 1000\r\n250 STARTTLS\r\n");
            } else if line.starts_with("STARTTLS") {
                let _ = stream.write_all(b"220 go ahead\r\n");
                break;
            } else {
                let _ = stream.write_all(b"502 no\r\n");
            }
        }
        let connection = rustls::ServerConnection::new(Arc::clone(&config)).unwrap();
        let mut stream = rustls::StreamOwned::new(connection, stream);
        let mut buffer = [0; 512];
        while let Ok(read) = stream.read(&mut buffer) {
            if read == 0 || stream.write_all(b"250 mail.example.org\r\n").is_err() {
                return;
            }
        }
    })
}
