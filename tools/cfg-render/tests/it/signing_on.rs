//! A person signs on to a real program (Miniflux) that the fleet tells where: through the rendered nginx with TLS of the
//! fleet's own authority, by a stand-in issuer of OpenID Connect that checks what it is sent and signs what it says.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpListener;
use std::sync::{Arc, Mutex};
use std::time::{SystemTime, UNIX_EPOCH};

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD as BASE64};
use rcgen::{PublicKeyData, SigningKey};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::every_proxy::nginx;
use crate::machine::Machine;
use crate::run::{built_peer, document, peer};

const ISSUER: &str = "https://id.sso.test";
const SECRET: &str = "s3cretOfTheClient";

/// The issuer (OpenID Connect Core 1.0; RFC 7636 for the proof of who asked).
struct Issuer {
    key: rcgen::KeyPair,
    /// Codes that were given out, with the challenge of whoever asked and where they go.
    codes: Mutex<BTreeMap<String, (String, String)>>,
    /// What was refused, in words.
    refused: Mutex<Vec<String>>,
}

impl Issuer {
    fn listen() -> (u16, Arc<Self>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let issuer = Arc::new(Self { key, codes: Mutex::default(), refused: Mutex::default() });
        let own = Arc::clone(&issuer);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut reader = BufReader::new(&stream);
                let mut head = String::new();
                while reader.read_line(&mut head).is_ok_and(|read| read > 2) {}
                let lower = head.to_ascii_lowercase();
                let length = lower.lines().find_map(|line| line.strip_prefix("content-length: ")?.parse().ok());
                let mut body = vec![0; length.unwrap_or(0)];
                let _ = reader.read_exact(&mut body);
                let _ = (&stream).write_all(own.answer(&head, &String::from_utf8_lossy(&body)).as_bytes());
            }
        });
        (port, issuer)
    }

    fn answer(&self, head: &str, body: &str) -> String {
        let target = head.split(' ').nth(1).unwrap_or_default();
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let page = |value: Value| page("200 OK", "Content-Type: application/json\r\n", &value.to_string());
        match path {
            "/.well-known/openid-configuration" => page(json!({
                "issuer": ISSUER, "authorization_endpoint": format!("{ISSUER}/authorize"), "token_endpoint": format!("{ISSUER}/token"),
                "jwks_uri": format!("{ISSUER}/keys"), "userinfo_endpoint": format!("{ISSUER}/userinfo"), "response_types_supported": ["code"],
                "subject_types_supported": ["public"], "id_token_signing_alg_values_supported": ["ES256"], "code_challenge_methods_supported": ["S256"]
            })),
            "/keys" => {
                // An uncompressed point: 4, then both coordinates.
                let point = self.key.der_bytes();
                let (x, y) = (BASE64.encode(&point[1..33]), BASE64.encode(&point[33..65]));
                page(
                    json!({"keys": [{"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": "one", "x": x, "y": y}]}),
                )
            }
            "/authorize" => self.authorize(&form(query)),
            "/token" => self.token(head, &form(body)),
            "/userinfo" if head.to_ascii_lowercase().contains("authorization: bearer access-of-ann") => page(
                json!({"sub": "ann-1", "preferred_username": "ann", "name": "Ann", "email": "ann@sso.test", "profile": "ann"}),
            ),
            _ => self.refuse(&format!("{path}: unknown or not allowed")),
        }
    }

    fn refuse(&self, why: &str) -> String {
        self.refused.lock().unwrap().push(why.to_owned());
        page(
            "400 Bad Request",
            "Content-Type: application/json\r\n",
            &json!({"error": "invalid_request", "error_description": why}).to_string(),
        )
    }

    fn authorize(&self, asked: &BTreeMap<String, String>) -> String {
        let of = |key: &str| asked.get(key).map(String::as_str).unwrap_or_default();
        let redirect = of("redirect_uri");
        if of("client_id") != "feeds" || redirect != "https://feeds.sso.test/oauth2/oidc/callback" {
            return self.refuse(&format!("client {} to {redirect}", of("client_id")));
        }
        if of("response_type") != "code" || !of("scope").contains("openid") || of("state").len() < 8 {
            return self.refuse("no code, no openid, or no state");
        }
        if of("code_challenge_method") != "S256" {
            return self.refuse("no proof of who asks (PKCE)");
        }
        let code = format!("code-{}", self.codes.lock().unwrap().len());
        self.codes.lock().unwrap().insert(code.clone(), (of("code_challenge").into(), redirect.into()));
        page("302 Found", &format!("Location: {redirect}?code={code}&state={}\r\n", of("state")), "")
    }

    fn token(&self, head: &str, asked: &BTreeMap<String, String>) -> String {
        let of = |key: &str| asked.get(key).map(String::as_str).unwrap_or_default();
        let basic = head
            .lines()
            .find_map(|line| line.split_once(": ").filter(|(key, _)| key.eq_ignore_ascii_case("authorization")));
        let basic = basic.and_then(|(_, value)| STANDARD.decode(value.strip_prefix("Basic ")?.trim()).ok());
        let given = basic.map_or_else(
            || format!("{}:{}", of("client_id"), of("client_secret")),
            |bytes| String::from_utf8(bytes).unwrap(),
        );
        if given != format!("feeds:{SECRET}") {
            return self.refuse("the client has another secret").replace("400 Bad Request", "401 Unauthorized");
        }
        // A code is good once.
        let Some((challenge, redirect)) = self.codes.lock().unwrap().remove(of("code")) else {
            return self.refuse("no such code");
        };
        if BASE64.encode(Sha256::digest(of("code_verifier"))) != challenge || of("redirect_uri") != redirect {
            return self.refuse("another has asked for this code");
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let header = json!({"alg": "ES256", "kid": "one", "typ": "JWT"});
        let claims = json!({"iss": ISSUER, "sub": "ann-1", "aud": "feeds", "iat": now, "exp": now + 300, "email": "ann@sso.test", "preferred_username": "ann"});
        let signed = format!("{}.{}", BASE64.encode(header.to_string()), BASE64.encode(claims.to_string()));
        let id_token =
            format!("{signed}.{}", BASE64.encode(plain_signature(&self.key.sign(signed.as_bytes()).unwrap())));
        let tokens =
            json!({"access_token": "access-of-ann", "token_type": "Bearer", "expires_in": 300, "id_token": id_token});
        page("200 OK", "Content-Type: application/json\r\n", &tokens.to_string())
    }
}

fn page(status: &str, lines: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{lines}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// The fields of a query or form.
fn form(text: &str) -> BTreeMap<String, String> {
    let plain = |text: &str| {
        let bytes = text.replace('+', " ").into_bytes();
        let mut out = Vec::new();
        let mut rest = bytes.as_slice();
        while let [first, tail @ ..] = rest {
            match tail.get(..2).and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 16).ok()) {
                Some(byte) if *first == b'%' => {
                    out.push(byte);
                    rest = &tail[2..];
                }
                _ => {
                    out.push(*first);
                    rest = tail;
                }
            }
        }
        String::from_utf8(out).unwrap()
    };
    text.split('&').filter_map(|pair| pair.split_once('=')).map(|(key, value)| (plain(key), plain(value))).collect()
}

/// The two numbers of a signature side by side, as JSON Web Tokens have them (RFC 7518, section 3.4), from DER.
fn plain_signature(der: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = &der[2..];
    for _ in 0..2 {
        let length = usize::from(rest[1]);
        let number = &rest[2..2 + length];
        let number = &number[number.len().saturating_sub(32)..];
        out.extend(std::iter::repeat_n(0, 32 - number.len()));
        out.extend(number);
        rest = &rest[2 + length..];
    }
    out
}

fn fleet(port: u16) -> Value {
    json!({
        "schema": "fleet/v1", "name": "sso", "domain": "sso.test",
        "hosts": {"web": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"]},
            "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}}},
        "databases": {"main": {"host": "web"}},
        "sso": {"gate": {"service": "id", "kind": "other"}},
        "secrets": {"feeds-oidc": {}},
        "services": {
            "id": {"host": "web", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": port}, "proxy": [{"names": ["id.sso.test"]}], "backup": {"none": "a test"}},
            "feeds": {"host": "web", "run": {"systemd": {"exec": ["/usr/bin/miniflux"]}}, "ports": {"http": 8080}, "proxy": [{"names": ["feeds.sso.test"]}],
                "databases": [{"cluster": "main", "name": "feeds", "owner": "feeds"}],
                "sso": {"provider": "gate", "client_secret": {"secret": "feeds-oidc"}},
                "env": {"DATABASE_URL": {"database": "feeds", "attr": "url"}, "RUN_MIGRATIONS": "1", "LISTEN_ADDR": "127.0.0.1:8080",
                    "BASE_URL": "https://feeds.sso.test", "OAUTH2_USER_CREATION": "1"},
                "backup": {"none": "a test"}}
        }
    })
}

/// Certificates of a fleet's own authority, which the machine trusts. Each lies where the first of its pair says, for the
/// name that is the second.
pub(crate) fn certify(machine: &Machine, names: &[(&str, &str)]) {
    let key = rcgen::KeyPair::generate().unwrap();
    let mut ca = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    ca.distinguished_name.push(rcgen::DnType::CommonName, "the authority of this test");
    ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let pem = ca.self_signed(&key).unwrap().pem();
    machine.write("/run/ca.pem", pem.as_bytes(), "644", "root:root");
    machine.write("/var/lib/plumbline/tls/ca.pem", pem.as_bytes(), "644", "root:root");
    machine.must("cat /run/ca.pem >>/etc/ssl/certs/ca-certificates.crt");
    let issuer = rcgen::Issuer::new(ca, key);
    for (folder, name) in names {
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(vec![(*name).to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let folder = format!("/var/lib/plumbline/tls/{folder}");
        machine.write(&format!("{folder}/fullchain.pem"), leaf.pem().as_bytes(), "644", "root:root");
        machine.write(&format!("{folder}/key.pem"), key.serialize_pem().as_bytes(), "640", "root:root");
    }
}

#[test]
fn a_person_signs_on_to_a_real_program() {
    let Some(server) = nginx() else { return };
    let Some(miniflux) = built_peer("miniflux") else { return };
    let Some(postgres) = peer("postgres", "apt-get install postgresql-15") else { return };
    let Some(machine) = Machine::new() else { return };
    let (port, issuer) = machine.inside(Issuer::listen);
    let fleet = fleet(port);
    machine.must("ip addr add 192.0.2.1/24 dev lo; printf '192.0.2.1 id.sso.test feeds.sso.test\\n' >>/etc/hosts");
    certify(&machine, &[("id.sso.test", "id.sso.test"), ("feeds.sso.test", "feeds.sso.test")]);
    server.start(&machine, &fleet, &[("feeds-oidc", SECRET)]);
    machine.wait_for_port(443, &["nginx"]);
    let bin = postgres.parent().unwrap().display();
    machine.must(&format!("mkdir -p /run/postgresql /var/pg && chown postgres: /run/postgresql /var/pg && cd / && setpriv --reuid=postgres --regid=postgres --init-groups {bin}/initdb -D /var/pg -A peer >/dev/null"));
    let mut command = machine.command("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--init-groups"]);
    machine.start(
        "postgres",
        command.arg(&postgres).args(["-D", "/var/pg", "-k", "/run/postgresql", "-c", "listen_addresses="]),
    );
    machine.wait_for("setpriv --reuid=postgres --regid=postgres --init-groups psql -h /run/postgresql -c 'create role feeds login' -c 'create database feeds owner feeds' postgres", &["postgres"]);
    machine.must(&format!("install -m 755 {} /usr/bin/miniflux", miniflux.display()));
    for mut command in machine.unit("feeds.service", "ExecStart") {
        machine.start("miniflux", &mut command);
    }
    machine.wait_for_port(8080, &["miniflux", "postgres"]);
    let curl =
        "curl -sSL --max-time 30 --cacert /run/ca.pem -c /run/jar -b /run/jar -w ' %{http_code} %{url_effective}'";
    let stranger = machine.must(&format!("{curl} https://feeds.sso.test/unread"));
    assert!(stranger.contains("/login") || stranger.ends_with("https://feeds.sso.test/"), "{stranger}");
    let page = machine.must(&format!("{curl} https://feeds.sso.test/oauth2/oidc/redirect"));
    let refused = issuer.refused.lock().unwrap().join("\n");
    assert!(refused.is_empty(), "{refused}\n{}", machine.log("miniflux"));
    assert!(page.contains(" 200 https://feeds.sso.test/"), "{page}\n{}", machine.log("miniflux"));
    // The page is that of whom the issuer said it is.
    let own = machine.must(&format!("{curl} https://feeds.sso.test/settings"));
    assert!(own.contains("Logged in as ann") && own.ends_with(" 200 https://feeds.sso.test/settings"), "{own}");
    // An answer that nobody asked for, with a code that would be good, opens nothing.
    machine.must("rm -f /run/jar");
    let forged =
        machine.must(&format!("{curl} 'https://feeds.sso.test/oauth2/oidc/callback?code=code-0&state=forged12345'"));
    assert!(!forged.contains("Logged in as"), "{forged}");
    let after = machine.must(&format!("{curl} https://feeds.sso.test/settings"));
    assert!(!after.contains("Logged in as"), "{after}");
}

#[test]
fn the_program_learns_everything_from_the_fleet() {
    let files = crate::run::files(&fleet(9000), "web");
    let unit = &files.iter().find(|(path, _)| path == "/etc/systemd/system/feeds.service").unwrap().1;
    for part in [
        "OAUTH2_PROVIDER=oidc",
        "OAUTH2_CLIENT_ID=feeds",
        "OAUTH2_OIDC_DISCOVERY_ENDPOINT=https://id.sso.test",
        "OAUTH2_REDIRECT_URL=https://feeds.sso.test/oauth2/oidc/callback",
    ] {
        assert!(unit.contains(part), "{part}\n{unit}");
    }
    assert!(!unit.contains("OAUTH2_CLIENT_SECRET="), "{unit}");
    let manifest = document(&["secrets", "--host", "web"], &fleet(9000));
    let text = manifest.to_string();
    assert!(text.contains("OAUTH2_CLIENT_SECRET=") && text.contains("@@secret:feeds-oidc@@"), "{text}");
}
