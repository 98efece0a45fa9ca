//! The same targets, looked at by blackbox_exporter, by the monitoring plugins, and by us: where they are right we agree, and where
//! we do not, the manual says so.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, date_time_ymd};
use serde_json::{Value, json};

use crate::edge::{Authority, authority_of, config_of, leaf_of, serve_tls, submission_of};
use crate::server::{answer, free_port, head, http, serve};
use crate::tool::{Process, has, run};

const NAME: &str = "www.example.org";
const PLUGINS: &str = "/usr/lib/nagios/plugins";

/// blackbox_exporter with modules for these tests.
struct Blackbox {
    _process: Process,
    _directory: tempfile::TempDir,
    port: u16,
}

impl Blackbox {
    fn start(ca: &str) -> Option<Self> {
        if !has("prometheus-blackbox-exporter", "apt-get install -y prometheus-blackbox-exporter") {
            return None;
        }
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("ca.pem");
        std::fs::write(&file, ca).unwrap();
        let http = "preferred_ip_protocol: ip4";
        let config = format!(
            "modules:\n  http: {{prober: http, timeout: 2s, http: {{{http}}}}}\n  \
             body: {{prober: http, timeout: 2s, http: {{{http}, fail_if_body_not_matches_regexp: ['healthy']}}}}\n  \
             tls: {{prober: http, timeout: 2s, http: {{{http}, tls_config: {{ca_file: '{}', server_name: {NAME}}}}}}}\n  \
             tcp: {{prober: tcp, timeout: 2s, tcp: {{preferred_ip_protocol: ip4}}}}\n  \
             ssh: {{prober: tcp, timeout: 2s, tcp: {{preferred_ip_protocol: ip4, query_response: [{{expect: '^SSH-2.0-'}}]}}}}\n",
            file.display()
        );
        let path = directory.path().join("blackbox.yml");
        std::fs::write(&path, config).unwrap();
        let port = free_port();
        let mut command = Command::new("prometheus-blackbox-exporter");
        command.arg(format!("--config.file={}", path.display())).arg(format!("--web.listen-address=127.0.0.1:{port}"));
        let process =
            Process(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
        let started = Self { _process: process, _directory: directory, port };
        let ready = json!([{"id": "blackbox", "http": {"url": format!("http://127.0.0.1:{port}/-/healthy")}}]);
        assert_eq!(run(&["run", "--wait", "20s", "--interval", "50ms"], ready).code, 0);
        Some(started)
    }

    /// The metrics of one probe.
    fn probe(&self, module: &str, target: &str) -> String {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port)).unwrap();
        let request = format!("GET /probe?module={module}&target={target} HTTP/1.0\r\nHost: blackbox\r\n\r\n");
        stream.write_all(request.as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        said
    }

    fn says(&self, module: &str, target: &str) -> bool {
        let said = self.probe(module, target);
        assert!(said.contains("\nprobe_success "), "{module} {target}: {said}");
        said.contains("\nprobe_success 1")
    }
}

/// Whether a plugin says OK.
fn plugin(name: &str, args: &[&str]) -> bool {
    let path = Path::new(PLUGINS).join(name);
    let output = Command::new(path).args(args).output().unwrap();
    let code = output.status.code().unwrap();
    assert!(code < 3, "{name} {args:?}: {}", String::from_utf8_lossy(&output.stdout));
    code == 0
}

fn plugins() -> bool {
    has("/usr/lib/nagios/plugins/check_http", "apt-get install -y monitoring-plugins-basic")
}

/// What we say of a check.
fn ours(kind: Value) -> Value {
    let mut check = json!({"id": "x", "timeout": "2s"});
    check.as_object_mut().unwrap().extend(kind.as_object().unwrap().clone());
    run(&["run", "--no-second-look"], json!([check])).check("x")
}

fn is_up(kind: Value) -> bool {
    ours(kind)["state"] == "up"
}

#[test]
fn http_and_tcp_are_judged_alike() {
    let Some(blackbox) = Blackbox::start("") else { return };
    if !plugins() {
        return;
    }
    let silent = serve(|mut stream| {
        let _ = stream.read(&mut [0; 4096]);
        std::thread::sleep(std::time::Duration::from_secs(4));
    });
    let closes = serve(|mut stream| drop(head(&mut stream)));
    let garbage = serve(|mut stream| {
        head(&mut stream);
        let _ = stream.write_all(b"this is no HTTP\r\n\r\n");
    });
    let moved = serve(|mut stream| {
        let text = if head(&mut stream).starts_with("GET / ") {
            answer("302 Found", "").replace("Content-Length", "Location: /there\r\nContent-Length")
        } else {
            answer("200 OK", "fine")
        };
        let _ = stream.write_all(text.as_bytes());
    });
    let circle = serve(|mut stream| {
        head(&mut stream);
        let _ = stream
            .write_all(answer("302 Found", "").replace("Content-Length", "Location: /\r\nContent-Length").as_bytes());
    });
    let cases: [(&str, u16, bool); 9] = [
        ("200", http(answer("200 OK", "fine")), true),
        ("404", http(answer("404 Not Found", "")), false),
        ("500", http(answer("500 Internal Server Error", "")), false),
        ("503", http(answer("503 Service Unavailable", "")), false),
        ("refused", free_port(), false),
        ("silent", silent, false),
        ("closes", closes, false),
        ("garbage", garbage, false),
        ("moved", moved, true),
    ];
    for (case, port, good) in cases {
        let url = format!("http://127.0.0.1:{port}/");
        assert_eq!(is_up(json!({"http": {"url": url, "redirects": 5}})), good, "ours: {case}");
        assert_eq!(blackbox.says("http", &url), good, "blackbox_exporter: {case}");
        let port = port.to_string();
        let args = ["-I", "127.0.0.1", "-p", &port, "-u", "/", "-f", "follow", "-t", "2"];
        assert_eq!(plugin("check_http", &args), good, "check_http: {case}");
    }
    let url = format!("http://127.0.0.1:{circle}/");
    assert!(!is_up(json!({"http": {"url": url, "redirects": 10}})) && !blackbox.says("http", &url));
    for (body, good) in [("all is healthy", true), ("all is ill", false)] {
        let port = http(answer("200 OK", body));
        let url = format!("http://127.0.0.1:{port}/");
        assert_eq!(is_up(json!({"http": {"url": url, "body": [{"contains": "healthy"}]}})), good);
        assert_eq!(blackbox.says("body", &url), good);
        assert_eq!(
            plugin("check_http", &["-I", "127.0.0.1", "-p", &port.to_string(), "-u", "/", "-s", "healthy"]),
            good
        );
    }
    let ssh = serve(|mut stream| {
        let _ = stream.write_all(b"SSH-2.0-OpenSSH_9.2p1\r\n");
        let _ = stream.read(&mut [0; 256]);
    });
    let other = serve(|mut stream| {
        let _ = stream.write_all(b"220 mail\r\n");
        let _ = stream.read(&mut [0; 256]);
    });
    for (port, good) in [(ssh, true), (free_port(), false)] {
        let address = format!("127.0.0.1:{port}");
        assert_eq!(is_up(json!({"tcp": {"address": address}})), good);
        assert_eq!(blackbox.says("tcp", &address), good);
        assert_eq!(plugin("check_tcp", &["-H", "127.0.0.1", "-p", &port.to_string(), "-t", "2"]), good);
    }
    for (port, good) in [(ssh, true), (other, false), (free_port(), false)] {
        let address = format!("127.0.0.1:{port}");
        assert_eq!(is_up(json!({"ssh": {"address": address}})), good, "{address}");
        assert_eq!(blackbox.says("ssh", &address), good);
        assert_eq!(plugin("check_ssh", &["-H", "127.0.0.1", "-p", &port.to_string(), "-t", "2"]), good);
    }
}

/// An HTTPS server whose certificate is made by `change`.
fn secure(issuer: &Authority, names: &[&str], change: impl Fn(&mut CertificateParams)) -> u16 {
    let mut params = leaf_of(names);
    change(&mut params);
    serve_tls(config_of(issuer, params), |_| answer("200 OK", "fine"))
}

#[test]
fn certificates_are_judged_as_blackbox_exporter_does() {
    let (ca, issuer) = authority_of("test root");
    let (_, stranger) = authority_of("nobody knows it");
    let Some(blackbox) = Blackbox::start(&ca) else { return };
    let none = |_: &mut CertificateParams| {};
    let expired = |params: &mut CertificateParams| {
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
    };
    let early = |params: &mut CertificateParams| {
        (params.not_before, params.not_after) = (date_time_ymd(3000, 1, 1), date_time_ymd(3001, 1, 1));
    };
    let client =
        |params: &mut CertificateParams| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let cases: [(&str, u16, &str); 7] = [
        ("good", secure(&issuer, &[NAME], none), ""),
        ("wildcard", secure(&issuer, &["*.example.org"], none), ""),
        ("expired", secure(&issuer, &[NAME], expired), "tls_expired"),
        ("not yet valid", secure(&issuer, &[NAME], early), "tls_not_yet_valid"),
        ("wrong host", secure(&issuer, &["other.example.net"], none), "tls_wrong_host"),
        // Its issuer is not sent along, so that perhaps only that is missing.
        ("untrusted", secure(&stranger, &[NAME], none), "tls_incomplete_chain"),
        ("for clients", secure(&issuer, &[NAME], client), "tls_purpose"),
    ];
    let look = |port: u16| {
        ours(
            json!({"http": {"url": format!("https://{NAME}/"), "connect": format!("127.0.0.1:{port}"), "tls": {"ca": ca}}}),
        )
    };
    for (case, port, reason) in cases {
        let check = look(port);
        assert_eq!(check["reason"].as_str().unwrap_or_default(), reason, "ours: {case}: {check}");
        assert_eq!(
            blackbox.says("tls", &format!("https://127.0.0.1:{port}/")),
            reason.is_empty(),
            "blackbox_exporter: {case}"
        );
        // Where they are not enough: they forget when the certificate expires as soon as they refuse it (their issue 1119).
        let said = blackbox.probe("tls", &format!("https://127.0.0.1:{port}/"));
        assert_eq!(said.contains("\nprobe_ssl_earliest_cert_expiry"), reason.is_empty(), "{case}");
        assert!(check["certificate"]["expires_at"].is_string(), "{case}");
        if plugins() && !reason.is_empty() {
            // check_http -C sees that a certificate is too old, and nothing else.
            let (port, name) = (port.to_string(), NAME);
            let good = plugin("check_http", &["-S", "--sni", "-H", name, "-I", "127.0.0.1", "-p", &port, "-C", "0"]);
            assert_eq!(good, reason != "tls_expired", "check_http -C: {case}");
        }
    }
}

/// The list in the manual: what others call well, and we do not.
#[test]
fn where_others_are_wrong() {
    let Some(blackbox) = Blackbox::start("") else { return };
    if !plugins() {
        return;
    }
    // An app behind a single sign-on: it may be dead, and the login page is not it.
    let login = http(answer("200 OK", "<form>log in</form>"));
    let target = format!("http://localhost:{login}/login");
    let app = http(answer("302 Found", "").replace("Content-Length", &format!("Location: {target}\r\nContent-Length")));
    let url = format!("http://127.0.0.1:{app}/");
    assert!(blackbox.says("http", &url));
    assert!(plugin("check_http", &["-I", "127.0.0.1", "-p", &app.to_string(), "-u", "/", "-f", "follow"]));
    assert_eq!(ours(json!({"http": {"url": url, "redirects": 5}}))["reason"], "http_redirect_external");
    // A page that a proxy shows for whatever is asked.
    let page = http(answer("200 OK", "<h1>Welcome to nginx!</h1>"));
    let url = format!("http://127.0.0.1:{page}/");
    assert!(blackbox.says("http", &url));
    assert!(plugin("check_http", &["-I", "127.0.0.1", "-p", &page.to_string(), "-u", "/"]));
    assert_eq!(ours(json!({"profile": "pds", "http": {"url": url}}))["reason"], "body_not_json");
    // A health page that is good without its database: its own word, and the graph's.
    let report = run(
        &["run", "--no-second-look"],
        json!([
            {"id": "postgres", "tcp": {"address": "127.0.0.1:1"}},
            {"id": "n8n", "needs": ["postgres"], "http": {"url": format!("http://127.0.0.1:{page}/healthz")}}
        ]),
    );
    assert_eq!(
        (&report.check("n8n")["state"], &report.check("n8n")["contradiction"]),
        (&json!("degraded"), &json!(true))
    );
}

#[test]
fn mail_submission_is_judged_as_check_smtp_does() {
    if !plugins() {
        return;
    }
    let (ca, issuer) = authority_of("mail root");
    let port = submission_of(&issuer, "127.0.0.1");
    let clear = serve(|mut stream| {
        let _ = stream.write_all(b"220 mx ESMTP\r\n");
        while stream.read(&mut [0; 256]).is_ok_and(|read| read > 0) {
            let _ = stream.write_all(b"250-mx\r\n250 SIZE 1000\r\n");
        }
    });
    for (port, good) in [(port, true), (clear, false), (free_port(), false)] {
        let check = ours(
            json!({"mail": {"address": format!("127.0.0.1:{port}"), "protocol": "smtp", "starttls": true, "tls": {"ca": ca}}}),
        );
        assert_eq!(check["state"] == "up", good, "{check}");
        assert_eq!(plugin("check_smtp", &["-H", "127.0.0.1", "-p", &port.to_string(), "-S", "-t", "2"]), good);
    }
}
