//! What every reverse proxy does as an edge, done by each as it is rendered: nginx, Caddy of Debian and as it is now, Traefik.
//! They listen on ports 80 and 443 of a machine of their own.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::edge::{ask, serve};
use crate::machine::Machine;
use crate::run::{built_peer, document, peer};

const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me";
/// `pw` by bcrypt with few rounds.
const USERS: &str =
    "ann:$2b$05$abcdefghijklmnopqrstuuHIrMEWpUCQe2YqFR3sXwQ75u4od..9q\nbob:$apr1$abcdefgh$0123456789abcdefghijkl\n";
/// `ann:pw` and `ann:no`.
const RIGHT: &str = "Authorization: Basic YW5uOnB3\r\n";
const WRONG: &str = "Authorization: Basic YW5uOm5v\r\n";

/// A reverse proxy that is there.
pub(crate) struct Server {
    program: PathBuf,
    /// What the fleet says about it.
    proxy: Value,
}

pub(crate) fn nginx() -> Option<Server> {
    let program = peer("nginx", "apt-get install nginx-light=1.22.1-9+deb12u10")?;
    Some(Server { program, proxy: json!({}) })
}

pub(crate) fn old_caddy() -> Option<Server> {
    let program = peer("caddy", "apt-get install caddy=2.6.2-5")?;
    Some(Server { program, proxy: json!({"kind": "caddy"}) })
}

pub(crate) fn caddy() -> Option<Server> {
    Some(Server { program: built_peer("caddy")?, proxy: json!({"kind": "caddy", "version": "2.11.9"}) })
}

pub(crate) fn traefik() -> Option<Server> {
    let proxy = json!({"kind": "traefik", "image": "docker.io/library/traefik:v3.7.9"});
    Some(Server { program: built_peer("traefik")?, proxy })
}

impl Server {
    /// A build of Caddy with a module.
    pub(crate) fn caddy_with(program: PathBuf, module: &str) -> Self {
        Self { program, proxy: json!({"kind": "caddy", "version": "2.11.9", "modules": [module]}) }
    }

    /// The proxy of a host, with these settings besides.
    pub(crate) fn with(&self, more: Value) -> Value {
        let mut proxy = self.proxy.clone();
        let more = more.as_object().cloned().unwrap_or_default();
        proxy.as_object_mut().unwrap().extend(more);
        proxy
    }

    pub(crate) fn kind(&self) -> &str {
        self.proxy["kind"].as_str().unwrap_or("nginx")
    }

    /// Puts a host's files into a machine and starts its proxy as its unit would.
    pub(crate) fn start(&self, machine: &Machine, fleet: &Value, secrets: &[(&str, &str)]) {
        let desired = document(&["host", "--host", "web"], fleet);
        machine.must("rm -rf /etc/nginx/sites-enabled /etc/nginx/plumbline.d /etc/traefik; mkdir -p /var/log/nginx");
        // What a package brings along.
        machine.must("ip addr show dev lo | grep -q 192.0.2.1 || ip addr add 192.0.2.1/24 dev lo");
        machine.place(&desired, |_, text| text);
        if !secrets.is_empty() {
            machine.materialize(&desired, secrets);
        }
        leaves(machine);
        self.run(machine);
        machine.wait_for_port(80, &[self.kind()]);
    }

    /// Starts the program itself.
    pub(crate) fn run(&self, machine: &Machine) {
        let program = self.program.to_str().unwrap();
        let mut command = machine.command("env");
        match self.kind() {
            "nginx" => command.args([program, "-g", "daemon off;"]),
            "caddy" => {
                for credential in machine.values_of_drop_in("caddy.service", "LoadCredential") {
                    let (id, path) = credential.split_once(':').unwrap();
                    let folder = "/run/credentials/caddy.service";
                    machine.must(&format!(
                        "mkdir -p {folder}; cp {path} {folder}/{id}; chown -R caddy {folder}; chmod 400 {folder}/{id}"
                    ));
                }
                for mut step in machine.drop_in("caddy.service", "ExecStartPre") {
                    let (good, said) = crate::run::say(&mut step);
                    assert!(good, "{said}");
                }
                // As the package's unit has it: the user of its own, and ports below 1024.
                command.args(["HOME=/var/lib/caddy", "XDG_DATA_HOME=/var/lib/caddy/.local/share", "setpriv"]);
                command.args(["--reuid=caddy", "--regid=caddy", "--init-groups"]);
                command.args(["--inh-caps=+net_bind_service", "--ambient-caps=+net_bind_service"]);
                machine.must(&format!(
                    "mkdir -p /var/lib/caddy && chown caddy: /var/lib/caddy && {{ [ {program} -ef /usr/bin/caddy ] || ln -sfn {program} /usr/bin/caddy; }}"
                ));
                command.args([program, "run", "--adapter", "caddyfile", "--config", "/etc/caddy/Caddyfile"])
            }
            _ => command.args([program, "--configFile=/etc/traefik/traefik.yaml"]),
        };
        machine.start(self.kind(), &mut command);
    }
}

/// A leaf for each name whose certificate is a file, readable for whoever serves it.
fn leaves(machine: &Machine) {
    for folder in machine.must("ls -d /var/lib/plumbline/tls/*/ 2>/dev/null || true").lines() {
        let name = folder.trim_end_matches('/').rsplit('/').next().unwrap();
        if machine.sh(&format!("test -e {folder}/key.pem")).0 {
            continue;
        }
        let made = rcgen::generate_simple_self_signed([name.replace("_wildcard", "*")]).unwrap();
        machine.write(&format!("{folder}fullchain.pem"), made.cert.pem().as_bytes(), "644", "root:root");
        machine.write(&format!("{folder}key.pem"), made.signing_key.serialize_pem().as_bytes(), "644", "root:root");
    }
}

fn echo(head: &str) -> String {
    let own = "Referrer-Policy: unsafe-url\r\nX-Content-Type-Options: nosniff\r\nX-Own: kept";
    format!("HTTP/1.1 200 OK\r\n{own}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{head}", head.len())
}

/// A provider of single sign-on that knows one cookie.
fn provider(head: &str) -> String {
    let known = head.lines().any(|line| line.eq_ignore_ascii_case("cookie: session=good"));
    if !head.starts_with("GET /outpost.goauthentik.io/auth/") {
        return echo(head);
    }
    let denied = if head.starts_with("GET /outpost.goauthentik.io/auth/nginx") {
        "HTTP/1.1 401 Unauthorized\r\n"
    } else {
        "HTTP/1.1 302 Found\r\nLocation: /outpost.goauthentik.io/start\r\n"
    };
    let status = if known { "HTTP/1.1 200 OK\r\nX-Authentik-Username: ann\r\n" } else { denied };
    format!("{status}Content-Length: 0\r\nConnection: close\r\n\r\n")
}

/// It switches protocols and says something after a while of silence, and what it has heard until then.
fn websocket() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut head = Vec::new();
                let mut byte = [0];
                while !head.ends_with(b"\r\n\r\n") && stream.read(&mut byte).is_ok_and(|read| read == 1) {
                    head.push(byte[0]);
                }
                let text = String::from_utf8_lossy(&head).to_ascii_lowercase();
                let key = text.contains("upgrade: websocket") && text.contains("sec-websocket-key:");
                let status = if key { "101 Switching Protocols" } else { "400 Bad Request" };
                // The answer to the key of RFC 6455, section 1.3.
                let _ = write!(
                    stream,
                    "HTTP/1.1 {status}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n"
                );
                std::thread::sleep(Duration::from_secs(3));
                let _ = stream.write_all(b"\x81\x02hi");
                let mut heard = [0; 16];
                let read = stream.read(&mut heard).unwrap_or(0);
                let _ = stream.write_all(&heard[..read]);
            });
        }
    });
    port
}

fn fleet(proxy: Value, app: u16, provider: u16, socket: u16) -> Value {
    let service = |port: u16, routes: Value| json!({"host": "web", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": port}, "backup": {"none": "a test"}, "proxy": routes});
    let plain = |name: &str, more: Value| {
        let mut route =
            json!({"names": [format!("{name}.edge.test")], "tls": "none", "accept_risk": ["public-plaintext"]});
        route.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap());
        route
    };
    let mut gate = service(provider, json!([]));
    gate.as_object_mut().unwrap().remove("proxy");
    json!({
        "schema": "fleet/v1", "name": "edge", "domain": "edge.test",
        "networks": {"lan": {"cidrs": ["10.9.0.0/24"]}},
        "hosts": {"web": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"], "lan": ["10.9.0.1"]}, "ssh": {"keys": [KEY]},
            "containers": {"engine": "docker"}, "proxy": proxy}},
        "sso": {"gate": {"service": "authentik"}},
        "secrets": {"users": {}},
        "services": {
            "authentik": gate,
            "app": service(app, json!([
                plain("app", json!({"auth": {"forward": {"provider": "gate", "except": ["/open"]}}})),
                plain("free", json!({})),
                plain("door", json!({"auth": {"basic": {"users": {"secret": "users"}, "realm": "a \"door\""}}})),
                plain("inside", json!({"from": ["lan"]})),
                {"names": ["secure.edge.test"], "tls": "internal"}
            ])),
            "live": service(socket, json!([plain("live", json!({}))]))
        }
    })
}

/// All of it, in one machine.
fn behaves(server: &Server) {
    let Some(machine) = Machine::new() else { return };
    let (app, gate, socket) = machine.inside(|| (serve(echo), serve(provider), websocket()));
    let fleet = fleet(server.with(json!({})), app, gate, socket);
    server.start(&machine, &fleet, &[("users", USERS)]);
    machine.wait_for_port(443, &[server.kind()]);
    let ask =
        |name: &str, path: &str, lines: &str| machine.inside(|| ask(80, &format!("{name}.edge.test"), path, lines));
    // Its files may be read after its ports are open.
    let begun = Instant::now();
    while !ask("free", "/", "").starts_with("HTTP/1.1 200 ") {
        assert!(begun.elapsed() < Duration::from_secs(10), "{}", machine.log(server.kind()));
        std::thread::sleep(Duration::from_millis(50));
    }
    // What a client says about itself reaches nobody.
    let forged = "X-Forwarded-For: 203.0.113.66\r\nX-Real-IP: 203.0.113.66\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: evil.test\r\nX-Authentik-Username: root\r\n";
    let seen = ask("free", "/x", forged);
    let lower = seen.to_ascii_lowercase();
    assert!(lower.contains("x-forwarded-for: 127.0.0.1\r\n") && lower.contains("x-real-ip: 127.0.0.1\r\n"), "{seen}");
    assert!(lower.contains("x-forwarded-proto: http\r\n") && lower.contains("host: free.edge.test\r\n"), "{seen}");
    assert!(!seen.contains("203.0.113.66") && !seen.contains("evil.test"), "{seen}");
    // Headers of every answer, in the place of the service's own; HSTS only where there is TLS.
    for (name, count) in
        [("x-content-type-options:", 1), ("referrer-policy:", 1), ("unsafe-url", 0), ("x-own: kept", 1)]
    {
        assert_eq!(lower.matches(name).count(), count, "{name} {seen}");
    }
    assert!(
        lower.contains("x-content-type-options: nosniff") && lower.contains("referrer-policy: strict-origin"),
        "{seen}"
    );
    assert!(!lower.contains("strict-transport-security"), "{seen}");
    let secure =
        machine.must("curl -sSik --max-time 10 --resolve secure.edge.test:443:127.0.0.1 https://secure.edge.test/");
    let secure = secure.to_ascii_lowercase();
    assert!(
        secure.contains("strict-transport-security: max-age=63072000") && secure.contains("x-forwarded-proto: https"),
        "{secure}"
    );
    let moved = ask("secure", "/a?b=c", "");
    assert!(moved.starts_with("HTTP/1.1 30") && moved.contains("https://secure.edge.test/a?b=c"), "{moved}");
    // Names that are not here: no certificate, and no page.
    let unknown = machine.inside(|| crate::edge::ask(80, "unknown.test", "/", ""));
    assert!(
        if server.kind() == "traefik" { unknown.starts_with("HTTP/1.1 404 ") } else { unknown.is_empty() },
        "{unknown}"
    );
    let (_, handshake) = machine.sh("openssl s_client -connect 127.0.0.1:443 -servername unknown.test </dev/null 2>&1");
    assert!(!handshake.contains("BEGIN CERTIFICATE"), "{handshake}");
    // The login is asked first, and says who it is.
    let closed = ask("app", "/secret", forged);
    assert!(closed.starts_with("HTTP/1.1 302 ") && !closed.contains("GET /secret"), "{closed}");
    let open = ask("app", "/secret", &format!("{forged}Cookie: session=good\r\n"));
    let lower = open.to_ascii_lowercase();
    assert!(open.contains("GET /secret ") && lower.contains("x-authentik-username: ann\r\n"), "{open}");
    assert!(!lower.contains("username: root"), "{open}");
    let except = ask("app", "/open/page", forged);
    assert!(except.contains("GET /open/page ") && !except.to_ascii_lowercase().contains("username: root"), "{except}");
    // Passwords.
    for (lines, status) in [("", "401"), (WRONG, "401"), (RIGHT, "200"), ("Authorization: Basic Ym9iOnB3\r\n", "401")] {
        let answer = ask("door", "/", lines);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{lines}{answer}\n{}", machine.log(server.kind()));
        assert!(status == "200" || answer.contains("realm="), "{answer}");
    }
    if server.kind() == "caddy" {
        // A reload reads the passwords again: ann has gone, eve has come.
        machine.write("/run/secrets/users", USERS.replace("ann:", "eve:").as_bytes(), "440", "root:caddy");
        for mut step in machine.drop_in("caddy.service", "ExecReload") {
            let (good, said) = crate::run::say(&mut step);
            assert!(good, "{said}");
        }
        let status = |lines: &str| ask("door", "/", lines).split(' ').nth(1).unwrap_or_default().to_owned();
        assert_eq!((status(RIGHT), status("Authorization: Basic ZXZlOnB3\r\n")), ("401".into(), "200".into()));
        let (_, said) = machine.sh("/usr/local/lib/plumbline/caddy-passwords users");
        assert!(said.contains("secret users, line 2: no bcrypt hash") && !said.contains("apr1"), "{said}");
    }
    // Who may not come is turned away, also with another address in its mouth.
    let outside = machine.must("curl -s -o /dev/null -w '%{http_code}' --max-time 10 --interface 192.0.2.1 -H 'Host: inside.edge.test' -H 'X-Forwarded-For: 10.9.0.5' http://192.0.2.1/");
    assert_eq!(outside, "403");
    machine.must("ip addr add 10.9.0.5/24 dev lo");
    let inside = machine.must("curl -s -o /dev/null -w '%{http_code}' --max-time 10 --interface 10.9.0.5 -H 'Host: inside.edge.test' http://192.0.2.1/");
    assert_eq!(inside, "200");
    // A WebSocket that is silent for a while is alive after it, both ways.
    machine.inside(|| {
        let mut stream = TcpStream::connect(("127.0.0.1", 80)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
            .write_all(b"GET /live HTTP/1.1\r\nHost: live.edge.test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
            .unwrap();
        let mut got = Vec::new();
        let mut buffer = [0; 1024];
        for end in [b"\x81\x02hi".as_slice(), b"\x81\x82abcdJK"] {
            while !got.ends_with(end) {
                let read = stream.read(&mut buffer).unwrap();
                assert!(read > 0, "closed: {}", String::from_utf8_lossy(&got));
                got.extend_from_slice(&buffer[..read]);
            }
            let _ = stream.write_all(b"\x81\x82abcdJK");
        }
        assert!(got.starts_with(b"HTTP/1.1 101 "));
    });
}

#[test]
fn nginx_behaves_as_an_edge() {
    if let Some(server) = nginx() {
        behaves(&server);
    }
}

#[test]
fn caddy_of_debian_behaves_as_an_edge() {
    if let Some(server) = old_caddy() {
        behaves(&server);
    }
}

#[test]
fn caddy_as_it_is_now_behaves_as_an_edge() {
    if let Some(server) = caddy() {
        behaves(&server);
    }
}

#[test]
fn traefik_behaves_as_an_edge() {
    if let Some(server) = traefik() {
        behaves(&server);
    }
}

/// Of sixty requests at one moment, one and the burst pass.
fn limits(server: &Server) {
    let Some(machine) = Machine::new() else { return };
    let app = machine.inside(|| serve(|_| "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".into()));
    let fleet = json!({
        "schema": "fleet/v1", "name": "limit", "domain": "limit.test",
        "hosts": {"web": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"]}, "ssh": {"keys": [KEY]},
            "containers": {"engine": "docker"}, "proxy": server.with(json!({}))}},
        "services": {"app": {"host": "web", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": app}, "backup": {"none": "a test"},
            "proxy": [{"names": ["app.limit.test"], "tls": "none", "accept_risk": ["public-plaintext"], "limits": {"rate": "10r/s", "burst": 20}},
                {"names": ["ready.limit.test"], "tls": "none", "accept_risk": ["public-plaintext"]}]}}
    });
    server.start(&machine, &fleet, &[]);
    machine.inside(|| {
        let begun = Instant::now();
        while !ask(80, "ready.limit.test", "/", "").starts_with("HTTP/1.1 200 ") {
            assert!(begun.elapsed() < Duration::from_secs(10), "{}", machine.log(server.kind()));
            std::thread::sleep(Duration::from_millis(50));
        }
        let mut streams: Vec<_> = (0..60).map(|_| TcpStream::connect(("127.0.0.1", 80)).unwrap()).collect();
        let begun = Instant::now();
        for stream in &mut streams {
            stream.write_all(b"GET / HTTP/1.1\r\nHost: app.limit.test\r\nConnection: close\r\n\r\n").unwrap();
        }
        let mut passed = 0;
        for stream in &mut streams {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).unwrap();
            assert!(answer.starts_with("HTTP/1.1 200 ") || answer.starts_with("HTTP/1.1 429 "), "{answer}");
            passed += usize::from(answer.starts_with("HTTP/1.1 200 "));
        }
        // One more may pass for every tenth of a second that a busy machine took.
        let late = usize::try_from(begun.elapsed().as_millis() / 100).unwrap();
        assert!((21..=21 + late).contains(&passed), "{passed} passed in {:?}", begun.elapsed());
    });
}

#[test]
fn of_sixty_requests_traefik_lets_twenty_one_pass() {
    if let Some(server) = traefik() {
        limits(&server);
    }
}

#[test]
fn of_sixty_requests_caddy_with_its_module_lets_twenty_one_pass() {
    let Some(program) = built_peer("caddy-limits") else { return };
    limits(&Server::caddy_with(program, "http.handlers.rate_limit"));
}

/// Behind a trusted proxy a client is who that one saw, and neither the proxy nor what the client says.
fn believes_only_the_trusted(server: &Server) {
    let Some(machine) = Machine::new() else { return };
    let app = machine.inside(|| serve(echo));
    let fleet = json!({
        "schema": "fleet/v1", "name": "behind", "domain": "behind.test", "networks": {"lan": {"cidrs": ["10.9.0.0/24"]}},
        "hosts": {"web": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"], "lan": ["10.9.0.1"]}, "ssh": {"keys": [KEY]},
            "containers": {"engine": "docker"}, "proxy": server.with(json!({"real_ip_from": ["192.0.2.7"]}))}},
        "services": {"app": {"host": "web", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": app}, "backup": {"none": "a test"},
            "proxy": [{"names": ["inside.behind.test"], "from": ["lan"], "tls": "none"},
                {"names": ["all.behind.test"], "tls": "none", "accept_risk": ["public-plaintext"]}]}}
    });
    server.start(&machine, &fleet, &[]);
    machine.must("ip addr add 192.0.2.7/24 dev lo; ip addr add 192.0.2.9/24 dev lo");
    machine.wait_for("curl -sf -o /dev/null -H 'Host: all.behind.test' http://192.0.2.1/", &[server.kind()]);
    let get = |from: &str, name: &str, chain: &str| {
        machine.must(&format!("curl -s --max-time 10 -w ' %{{http_code}}' --interface {from} -H 'Host: {name}.behind.test' -H 'X-Forwarded-For: {chain}' http://192.0.2.1/"))
    };
    assert!(get("192.0.2.7", "inside", "10.9.0.5").ends_with(" 200"));
    // The client wrote the first; the trusted proxy saw the second.
    assert!(get("192.0.2.7", "inside", "10.9.0.5, 203.0.113.5").ends_with(" 403"));
    // A stranger is not believed.
    assert!(get("192.0.2.9", "inside", "10.9.0.5").ends_with(" 403"));
    let seen = get("192.0.2.9", "all", "203.0.113.66").to_ascii_lowercase();
    assert!(seen.contains("x-real-ip: 192.0.2.9\r\n") && !seen.contains("203.0.113.66"), "{seen}");
    let seen = get("192.0.2.7", "all", "203.0.113.5").to_ascii_lowercase();
    assert!(seen.contains("x-forwarded-for: 203.0.113.5"), "{seen}");
}

#[test]
fn nginx_believes_only_the_trusted() {
    if let Some(server) = nginx() {
        believes_only_the_trusted(&server);
    }
}

#[test]
fn caddy_believes_only_the_trusted() {
    if let Some(server) = caddy() {
        believes_only_the_trusted(&server);
    }
}

#[test]
fn traefik_believes_only_the_trusted() {
    if let Some(server) = traefik() {
        believes_only_the_trusted(&server);
    }
}

/// PHP behind a socket, with a site beside its scripts.
fn speaks_to_php(server: &Server) {
    let Some(fpm) = peer("php-fpm8.2", "apt-get install php8.2-fpm") else { return };
    let Some(machine) = Machine::new() else { return };
    let fleet = json!({
        "schema": "fleet/v1", "name": "php", "domain": "php.test",
        "hosts": {"web": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"]}, "ssh": {"keys": [KEY]}, "proxy": server.with(json!({}))}},
        "services": {"wiki": {"host": "web", "run": {"package": {"packages": ["php8.2-fpm"], "unit": "php8.2-fpm.service"}}, "backup": {"none": "a test"},
            "proxy": [{"names": ["wiki.php.test"], "tls": "none", "accept_risk": ["public-plaintext"], "scheme": "fastcgi",
                "fastcgi": {"root": "/srv/wiki", "socket": "/run/php/wiki.sock"}}]}}
    });
    let script = "<?php header('Content-Type: text/plain'); echo $_SERVER['SCRIPT_NAME'], '|', $_SERVER['PATH_INFO'] ?? '', '|', $_SERVER['QUERY_STRING'], '|', $_SERVER['REMOTE_ADDR'], '|', $_SERVER['HTTP_X_FORWARDED_FOR'] ?? '', '|', $_SERVER['HTTP_PROXY'] ?? '', '|', $_SERVER['HTTP_HOST'];";
    machine.write("/srv/wiki/index.php", script.as_bytes(), "644", "root:root");
    machine.write("/srv/wiki/style.css", b"body {}\n", "644", "root:root");
    machine.write("/srv/wiki/.secret", b"hidden\n", "644", "root:root");
    machine.write("/srv/wiki/upload.txt", script.as_bytes(), "644", "root:root");
    let user = if server.kind() == "nginx" { "www-data" } else { "caddy" };
    machine.must(&format!("id {user} >/dev/null 2>&1 || useradd --system {user}; mkdir -p /run/php"));
    let pool = format!(
        "[global]\nerror_log = /run/php/log\n[wiki]\nuser = www-data\ngroup = www-data\nlisten = /run/php/wiki.sock\nlisten.owner = {user}\npm = static\npm.max_children = 1\n"
    );
    machine.write("/run/php/fpm.conf", pool.as_bytes(), "644", "root:root");
    machine.start(
        "php",
        machine.command(fpm.to_str().unwrap()).args(["--nodaemonize", "--fpm-config", "/run/php/fpm.conf"]),
    );
    machine.wait_for("test -S /run/php/wiki.sock", &["php"]);
    server.start(&machine, &fleet, &[]);
    let ask = |path: &str, lines: &str| machine.inside(|| ask(80, "wiki.php.test", path, lines));
    let forged = "X-Forwarded-For: 203.0.113.66\r\nProxy: evil.test:1\r\n";
    let page = ask("/some/page?a=b", forged);
    assert!(
        page.contains("/index.php||a=b|127.0.0.1|") && page.contains("|wiki.php.test"),
        "{page}\n{}",
        machine.log("php")
    );
    assert!(!page.contains("203.0.113.66") && !page.contains("evil.test"), "{page}");
    assert!(ask("/index.php/more", "").contains("/index.php|/more||"), "{}", ask("/index.php/more", ""));
    assert!(ask("/style.css", "").ends_with("body {}\n"));
    // What is no script is never run, and what is not there is not looked for further up.
    assert!(!ask("/upload.txt/x.php", "").contains("upload.txt|"));
    assert!(ask("/upload.txt", "").contains("<?php"));
    if server.kind() == "nginx" {
        assert!(ask("/.secret", "").starts_with("HTTP/1.1 403 "));
    }
}

#[test]
fn nginx_speaks_to_php() {
    if let Some(server) = nginx() {
        speaks_to_php(&server);
    }
}

#[test]
fn caddy_speaks_to_php() {
    if let Some(server) = caddy() {
        speaks_to_php(&server);
    }
}

/// A service that speaks HTTP/2 without TLS and answers with a trailer (RFC 9113), by hand: it says the same to everybody, so
/// that it need not understand what it is asked.
fn trailers() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let frame = |kind: u8, flags: u8, stream: u32, body: &[u8]| {
        let mut bytes = u32::try_from(body.len()).unwrap().to_be_bytes()[1..].to_vec();
        bytes.extend([kind, flags]);
        bytes.extend(stream.to_be_bytes());
        bytes.extend(body);
        bytes
    };
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut preface = [0; 24];
                let _ = stream.read_exact(&mut preface);
                let _ = stream.write_all(&frame(4, 0, 0, &[]));
                let mut head = [0; 9];
                while stream.read_exact(&mut head).is_ok() {
                    let length = (usize::from(head[0]) << 16) | (usize::from(head[1]) << 8) | usize::from(head[2]);
                    let (kind, flags, id) =
                        (head[3], head[4], u32::from_be_bytes([head[5] & 0x7f, head[6], head[7], head[8]]));
                    let mut body = vec![0; length];
                    let _ = stream.read_exact(&mut body);
                    let answer = match kind {
                        // Settings and pings are acknowledged.
                        4 | 6 if flags & 1 == 0 => frame(kind, 1, 0, if kind == 6 { &body } else { &[] }),
                        // The end of a request: ":status 200" of the static table, a message, and a literal header at the end.
                        0 | 1 if flags & 1 == 1 => {
                            let mut answer = frame(1, 4, id, &[0x88]);
                            answer.extend(frame(0, 0, id, b"\0\0\0\0\x05hello"));
                            answer.extend(frame(1, 5, id, b"\x00\x0bgrpc-status\x017"));
                            answer
                        }
                        _ => continue,
                    };
                    let _ = stream.write_all(&answer);
                }
            });
        }
    });
    port
}

/// HTTP/2 without TLS up to the service, with its trailers, as gRPC needs it.
fn speaks_http_2(server: &Server) {
    let Some(backend) = peer("nginx", "apt-get install nginx-light=1.22.1-9+deb12u10") else { return };
    let Some(machine) = Machine::new() else { return };
    let conf = "pid /run/backend.pid; error_log stderr; events {} http { access_log off; server { listen 127.0.0.1:9001 http2; location / { default_type application/grpc; return 200 \"$server_protocol $http_x_forwarded_for $http_x_real_ip $host\\n\"; } } }";
    machine.write("/run/backend.conf", conf.as_bytes(), "644", "root:root");
    machine.start(
        "backend",
        machine.command(backend.to_str().unwrap()).args(["-c", "/run/backend.conf", "-g", "daemon off;"]),
    );
    let raw = machine.inside(trailers);
    let fleet = json!({
        "schema": "fleet/v1", "name": "rpc", "domain": "rpc.test",
        "hosts": {"web": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"]}, "ssh": {"keys": [KEY]}, "containers": {"engine": "docker"}, "proxy": server.with(json!({}))}},
        "services": {"rpc": {"host": "web", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": 9001, "raw": raw}, "backup": {"none": "a test"},
            "proxy": [{"names": ["rpc.rpc.test"], "tls": "internal", "scheme": "h2c", "port": "http"}, {"names": ["raw.rpc.test"], "tls": "internal", "scheme": "h2c", "port": "raw"}]}}
    });
    server.start(&machine, &fleet, &[]);
    let said = machine.wait_for("curl -sSk --http2 -v -f --max-time 10 --resolve rpc.rpc.test:443:127.0.0.1 -H 'X-Forwarded-For: 203.0.113.66' -H 'TE: trailers' -X POST --data-binary x https://rpc.rpc.test/a.B/C 2>&1", &[server.kind(), "backend"]);
    assert!(said.contains("HTTP/2.0 127.0.0.1 127.0.0.1 rpc.rpc.test"), "{said}");
    let said = machine.must("curl -sSk --http2 -v -f --max-time 10 --resolve raw.rpc.test:443:127.0.0.1 -H 'Content-Type: application/grpc' -H 'TE: trailers' -X POST --data-binary x https://raw.rpc.test/a.B/C 2>&1 | tr -d '\\0'");
    assert!(said.contains("hello") && said.to_ascii_lowercase().contains("grpc-status: 7"), "{said}");
}

#[test]
fn nginx_speaks_http_2_to_services() {
    if let Some(server) = nginx() {
        speaks_http_2(&server);
    }
}

#[test]
fn caddy_speaks_http_2_to_services() {
    if let Some(server) = caddy() {
        speaks_http_2(&server);
    }
}

#[test]
fn traefik_speaks_http_2_to_services() {
    if let Some(server) = traefik() {
        speaks_http_2(&server);
    }
}

/// The proxy of the host behind must show the name that was asked for, by the fleet's own authority.
fn verifies_what_is_behind(server: &Server) {
    let Some(nginx) = nginx() else { return };
    let Some(machine) = Machine::new() else { return };
    let app = machine.inside(|| serve(echo));
    let fleet = json!({
        "schema": "fleet/v1", "name": "twice", "domain": "twice.test", "networks": {"lan": {"cidrs": ["10.9.0.0/24"]}},
        "hosts": {
            "web": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"], "lan": ["10.9.0.1"]}, "ssh": {"keys": [KEY]},
                "containers": {"engine": "docker"}, "proxy": server.with(json!({}))},
            "back": {"os": "debian-12", "addresses": {"lan": ["10.9.0.2"]}, "ssh": {"keys": [KEY], "from": ["lan"]},
                "proxy": {"http_port": 8080, "https_port": 8443, "listen": ["lan"], "real_ip_from": ["web"]}}
        },
        "services": {"app": {"host": "back", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": app}, "backup": {"none": "a test"},
            "proxy": [{"names": ["app.twice.test"], "via": "web", "tls": "none", "accept_risk": ["public-plaintext"],
                "backend": {"through": "proxy", "tls": "internal"}}]}}
    });
    machine.must("ip addr add 10.9.0.1/24 dev lo; ip addr add 10.9.0.2/24 dev lo; rm -rf /etc/nginx/sites-enabled; mkdir -p /var/log/nginx");
    machine.place(&document(&["host", "--host", "back"], &fleet), |_, text| text);
    crate::signing_on::certify(&machine, &[("app.twice.test", "app.twice.test"), ("spare", "other.twice.test")]);
    machine.must("nginx -t");
    machine.must("mkdir /etc/nginx.back && cp -a /etc/nginx/. /etc/nginx.back && sed -i s,/etc/nginx/plumbline.d,/etc/nginx.back/plumbline.d, /etc/nginx.back/nginx.conf");
    let mut command = machine.command(nginx.program.to_str().unwrap());
    machine.start("back", command.args(["-c", "/etc/nginx.back/nginx.conf", "-g", "daemon off;"]));
    machine.wait_for_port(8443, &["back"]);
    server.start(&machine, &fleet, &[]);
    machine.must("install -m 644 /run/ca.pem /var/lib/plumbline/tls/ca.pem");
    let answer = machine.wait_for(
        "curl -sf --max-time 10 -H 'Host: app.twice.test' -H 'X-Forwarded-For: 203.0.113.66' http://192.0.2.1/x",
        &[server.kind(), "back"],
    );
    assert!(answer.contains("GET /x ") && !answer.contains("203.0.113.66"), "{answer}");
    let pid = machine.must("pgrep -f nginx.back | head -n 1");
    machine.must(&format!(
        "cp -a /var/lib/plumbline/tls/spare/. /var/lib/plumbline/tls/app.twice.test/; kill -HUP {}",
        pid.trim()
    ));
    machine.wait_for("openssl s_client -connect 10.9.0.2:8443 -servername app.twice.test </dev/null 2>/dev/null | openssl x509 -noout -ext subjectAltName | grep -q other", &["back"]);
    // The same authority, another name.
    machine.wait_for("curl -s -o /dev/null -w '%{http_code}' --max-time 10 -H 'Host: app.twice.test' http://192.0.2.1/x | grep -q '^50'", &[server.kind(), "back"]);
}

#[test]
fn caddy_of_debian_verifies_what_is_behind() {
    if let Some(server) = old_caddy() {
        verifies_what_is_behind(&server);
    }
}

#[test]
fn caddy_as_it_is_now_verifies_what_is_behind() {
    if let Some(server) = caddy() {
        verifies_what_is_behind(&server);
    }
}

#[test]
fn traefik_verifies_what_is_behind() {
    if let Some(server) = traefik() {
        verifies_what_is_behind(&server);
    }
}

/// A service on two hosts shares the requests of an edge, and goes on where one of them is gone.
fn shares_requests(server: &Server) {
    let Some(machine) = Machine::new() else { return };
    machine.must("ip addr add 10.9.0.1/24 dev lo; ip addr add 10.9.0.2/24 dev lo; ip addr add 10.9.0.3/24 dev lo");
    let answer = |name: &'static str| {
        let mut command = machine.command("python3");
        let program = format!(
            "import http.server as h\nclass A(h.BaseHTTPRequestHandler):\n def do_GET(self):\n  self.send_response(200); self.end_headers(); self.wfile.write(b'{name} ')\nh.HTTPServer(('10.9.0.{}', 8000), A).serve_forever()",
            if name == "one" { 2 } else { 3 }
        );
        machine.start(name, command.args(["-c", &program]));
    };
    answer("one");
    answer("two");
    let back = |address: &str| json!({"os": "debian-12", "addresses": {"lan": [address]}, "ssh": {"keys": [KEY], "from": ["lan"]}});
    let fleet = json!({
        "schema": "fleet/v1", "name": "many", "domain": "many.test", "networks": {"lan": {"cidrs": ["10.9.0.0/24"]}},
        "hosts": {
            "web": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"], "lan": ["10.9.0.1"]}, "ssh": {"keys": [KEY]},
                "containers": {"engine": "docker"}, "proxy": server.with(json!({}))},
            "one": back("10.9.0.2"), "two": back("10.9.0.3"),
        },
        "services": {"app": {"host": ["one", "two"], "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": {"port": 8000, "bind": "lan"}},
            "backup": {"none": "a test"}, "proxy": [{"names": ["app.many.test"], "via": "web", "tls": "none", "accept_risk": ["public-plaintext"]}]}}
    });
    let found = crate::run::cfg_render(&["check", "--output", "json"], &fleet.to_string());
    assert!(
        !String::from_utf8_lossy(&found.stdout).contains("not-rendered-yet"),
        "{}",
        String::from_utf8_lossy(&found.stdout)
    );
    server.start(&machine, &fleet, &[]);
    let ask = "curl -sf --max-time 10 -H 'Host: app.many.test' http://192.0.2.1/";
    machine.wait_for(ask, &[server.kind(), "one", "two"]);
    let many = format!("for i in $(seq 20); do {ask} || echo lost; done");
    // Each process of a proxy counts for itself.
    let said = machine.must(&many);
    let (one, two) = (said.matches("one").count(), said.matches("two").count());
    assert!(one >= 5 && two >= 5 && one + two == 20, "{said}");
    machine.must("kill $(pgrep -f '10.9.0[.]2')");
    let said = machine.must(&many);
    assert_eq!(said.matches("two").count(), 20, "{said}");
    answer("one");
    machine.wait_for(&format!("{ask} | grep one"), &[server.kind(), "one"]);
}

#[test]
fn nginx_shares_requests_among_hosts() {
    if let Some(server) = nginx() {
        shares_requests(&server);
    }
}

#[test]
fn caddy_of_debian_shares_requests_among_hosts() {
    if let Some(server) = old_caddy() {
        shares_requests(&server);
    }
}

#[test]
fn caddy_as_it_is_now_shares_requests_among_hosts() {
    if let Some(server) = caddy() {
        shares_requests(&server);
    }
}

#[test]
fn traefik_shares_requests_among_hosts() {
    if let Some(server) = traefik() {
        shares_requests(&server);
    }
}
