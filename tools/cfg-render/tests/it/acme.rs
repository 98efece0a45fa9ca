//! The ACME client of a host without one in its server: a real certificate from a real ACME server (Pebble), by HTTP.

use std::fs;
use std::net::{TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::edge::{free_port, place, start};
use crate::run::{built_peer, document, files, is_root, peer, say};

const NAME: &str = "www.acme.example.org";

fn fleet(directory: &str) -> Value {
    json!({
        "schema": "fleet/v1", "name": "acme", "domain": "acme.example.org", "email": "ops@acme.example.org",
        "hosts": {"web": {"os": "debian-12", "addresses": {"public": ["192.0.2.1"]},
            "ssh": {"keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]},
            "proxy": {"acme": {"directory": directory, "ca": "pebble.pem"}}}},
        "services": {"site": {"host": "web", "run": {"static": {"root": "/srv/acme"}}, "proxy": [{"names": [NAME, "acme.example.org"]}], "backup": {"none": "a test"}}}
    })
}

#[test]
fn every_consumer_can_read_the_keys_that_its_configuration_names() {
    let fleet = fleet("https://acme.example/dir");
    let desired = document(&["host", "--host", "web"], &fleet);
    let items = desired["items"].as_array().unwrap();
    let item = |id: &str| items.iter().find(|item| item["id"] == id).unwrap_or_else(|| panic!("{id}"));
    assert_eq!(item("user:www-data")["user"]["groups"], json!(["acme"]));
    assert_eq!(item("directory:/var/lib/acme/.lego")["directory"]["mode"], "0700");
    let stand_in = &item(&format!("command:acme-stand-in-{NAME}"))["command"];
    assert_eq!(stand_in["creates"], format!("/var/lib/acme/{NAME}/fullchain.pem"));
    let files = files(&fleet, "web");
    let of = |path: &str| files.iter().find(|(known, _)| known == path).unwrap_or_else(|| panic!("{path}")).1.clone();
    let site = of(&format!("/etc/nginx/plumbline.d/{NAME}.conf"));
    assert!(site.contains(&format!("ssl_certificate_key /var/lib/acme/{NAME}/key.pem;")), "{site}");
    let unit = of(&format!("/etc/systemd/system/acme-{NAME}.service"));
    assert!(
        unit.contains("User=acme") && unit.contains("ExecStartPost=+/usr/local/lib/plumbline/acme reload"),
        "{unit}"
    );
    assert!(of(&format!("/etc/systemd/system/acme-{NAME}.timer")).contains("Persistent=yes"));
}

#[test]
fn the_token_of_a_dns_provider_reaches_the_client_as_a_file() {
    let mut fleet = fleet("https://acme.example/dir");
    fleet["hosts"]["web"]["proxy"]["acme"] = json!({"challenge": "dns-01"});
    fleet["dns"] = json!({"providers": {"own": {"rfc2136": {"server": "192.0.2.53:53", "tsig": {"name": "acme", "secret": {"secret": "tsig"}}}}},
        "zones": {"acme.example.org": {}}});
    fleet["secrets"] = json!({"tsig": {}});
    let files = files(&fleet, "web");
    let path = format!("/etc/systemd/system/acme-{NAME}.service");
    let unit = &files.iter().find(|(known, _)| *known == path).unwrap().1;
    for part in [
        "--dns rfc2136",
        "Environment=RFC2136_NAMESERVER=192.0.2.53:53",
        "Environment=RFC2136_TSIG_ALGORITHM=hmac-sha256.",
        "LoadCredential=token:/run/secrets/tsig",
        &format!("Environment=RFC2136_TSIG_SECRET_FILE=/run/credentials/acme-{NAME}.service/token"),
    ] {
        assert!(unit.contains(part), "{part}\n{unit}");
    }
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A name server that says 127.0.0.1 to every question for an address.
fn name_server() -> u16 {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    std::thread::spawn(move || {
        let mut buffer = [0; 1500];
        while let Ok((length, from)) = socket.recv_from(&mut buffer) {
            let query = &buffer[..length];
            let Some(end) =
                query.get(12..).and_then(|rest| rest.iter().position(|byte| *byte == 0)).map(|end| 12 + end + 5)
            else {
                continue;
            };
            let is_a = query.get(end - 4..end - 2) == Some(&[0, 1]);
            let mut answer = query[..2].to_vec();
            answer.extend([0x81, 0x80, 0, 1, 0, u8::from(is_a), 0, 0, 0, 0]);
            answer.extend(&query[12..end]);
            if is_a {
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 1, 0, 4, 127, 0, 0, 1]);
            }
            let _ = socket.send_to(&answer, from);
        }
    });
    port
}

#[test]
fn a_certificate_is_got_served_and_not_got_twice() {
    let Some(nginx) = peer("nginx", "apt-get install nginx-light=1.22.1-9+deb12u10") else { return };
    if peer("lego", "apt-get install lego=4.9.1-1").is_none() {
        return;
    }
    let Some(pebble) = built_peer("pebble") else { return };
    if !is_root() {
        eprintln!("skipped: the rendered nginx changes to www-data (run as root)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().to_str().unwrap().to_owned();
    let (http, https, api, management) = (free_port(), free_port(), free_port(), free_port());
    let directory = format!("https://localhost:{api}/dir");
    let fleet = fleet(&directory);
    let conf = place(&fleet, "web", folder.path());
    // An authority asks on port 80, which the fleet insists on; this one asks where others do not already listen.
    for path in [conf.clone(), folder.path().join(format!("etc/nginx/plumbline.d/{NAME}.conf"))] {
        let mut text = fs::read_to_string(&path).unwrap();
        for (port, other) in [(80, http), (443, https)] {
            for address in ["", "[::]:"] {
                text = text.replace(&format!("listen {address}{port}"), &format!("listen {address}{other}"));
            }
        }
        fs::write(&path, text).unwrap();
    }
    // What stands in until there is a certificate.
    let home = folder.path().join("acme");
    fs::create_dir_all(home.join(NAME)).unwrap();
    fs::create_dir_all(home.join("acme-challenge")).unwrap();
    fs::create_dir_all(home.join(".lego")).unwrap();
    let made = rcgen::generate_simple_self_signed([NAME.to_owned()]).unwrap();
    fs::write(home.join(NAME).join("fullchain.pem"), made.cert.pem()).unwrap();
    fs::write(home.join(NAME).join("key.pem"), made.signing_key.serialize_pem()).unwrap();
    let server = start(&nginx, &conf, ("127.0.0.1", http));
    let own = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(folder.path().join("pebble.pem"), own.cert.pem()).unwrap();
    fs::write(folder.path().join("pebble.key"), own.signing_key.serialize_pem()).unwrap();
    let config = json!({"pebble": {"listenAddress": format!("127.0.0.1:{api}"), "managementListenAddress": format!("127.0.0.1:{management}"),
        "certificate": format!("{root}/pebble.pem"), "privateKey": format!("{root}/pebble.key"), "httpPort": http, "tlsPort": https, "ocspResponderURL": ""}});
    fs::write(folder.path().join("pebble.json"), config.to_string()).unwrap();
    let mut command = Command::new(pebble);
    command.args(["-config", &format!("{root}/pebble.json"), "-dnsserver", &format!("127.0.0.1:{}", name_server())]);
    // The client and its files are tested, not yet the proof over port 80.
    command.env("PEBBLE_VA_ALWAYS_VALID", "1").env("PEBBLE_VA_NOSLEEP", "1").env("PEBBLE_WFE_NONCEREJECT", "0");
    let _pebble = Ended(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap());
    let begun = Instant::now();
    while TcpStream::connect(("127.0.0.1", api)).is_err() {
        assert!(begun.elapsed() < Duration::from_secs(20), "pebble does not listen");
        std::thread::sleep(Duration::from_millis(50));
    }
    // The unit's own command line, with its places inside the folder.
    let all = files(&fleet, "web");
    let of = |path: &str| all.iter().find(|(known, _)| known == path).unwrap().1.clone();
    fs::write(folder.path().join("acme.sh"), of("/usr/local/lib/plumbline/acme")).unwrap();
    let unit = of(&format!("/etc/systemd/system/acme-{NAME}.service"));
    let exec = unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/local/lib/plumbline/acme ")).unwrap();
    let get = || {
        let words = exec.split(' ').map(|word| word.replace("/var/lib/acme", home.to_str().unwrap()));
        // In the group of the web server, as both are in one on a host.
        let mut sh = Command::new("setpriv");
        sh.args(["--regid=www-data", "--clear-groups", "sh"]).arg(folder.path().join("acme.sh")).args(words);
        say(sh.env("ACME_HOME", &home).env("LEGO_CA_CERTIFICATES", format!("{root}/pebble.pem")))
    };
    let (good, said) = get();
    assert!(good, "{said}");
    let chain = fs::read_to_string(home.join(NAME).join("fullchain.pem")).unwrap();
    assert!(chain.matches("BEGIN CERTIFICATE").count() >= 2, "{chain}");
    assert!(home.join(NAME).join("changed").exists());
    server.reload();
    let begun = Instant::now();
    loop {
        let (_, shown) = say(Command::new("openssl").args([
            "s_client",
            "-connect",
            &format!("127.0.0.1:{https}"),
            "-servername",
            NAME,
        ]));
        if shown.contains("Pebble Intermediate CA") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "{shown}");
        std::thread::sleep(Duration::from_millis(100));
    }
    // Not due: nothing is asked for, nothing changes.
    fs::remove_file(home.join(NAME).join("changed")).unwrap();
    let (good, said) = get();
    assert!(good, "{said}");
    assert_eq!(fs::read_to_string(home.join(NAME).join("fullchain.pem")).unwrap(), chain);
    assert!(!home.join(NAME).join("changed").exists());
    let mode =
        std::os::unix::fs::PermissionsExt::mode(&fs::metadata(home.join(NAME).join("key.pem")).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o640, "for the group, and no others");
}
