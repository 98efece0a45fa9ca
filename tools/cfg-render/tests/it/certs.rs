//! The internal CA from outside: what openssl says about it, when leaves are renewed, and where keys go.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::run::peer;

const NOW: &str = "2026-01-01T00:00:00Z";

fn fleet() -> Value {
    json!({
        "schema": "fleet/v1",
        "name": "home",
        "domain": "home.test",
        "hosts": {
            "web1": { "os": "debian-12", "addresses": { "public": ["192.0.2.1"] }, "ssh": { "keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv"] } }
        },
        "services": {
            "site": {
                "host": "web1",
                "run": { "static": { "root": "/srv/site" } },
                "proxy": [{ "names": ["www.home.test", "home.test"], "tls": "internal" }, { "names": ["*.apps.home.test"], "tls": "internal" }]
            }
        }
    })
}

struct Home(TempDir);

impl Home {
    fn new(fleet: &Value) -> Self {
        let home = Self(tempfile::tempdir().unwrap());
        home.write(fleet);
        home
    }

    fn write(&self, fleet: &Value) {
        fs::write(self.path("fleet.json"), fleet.to_string()).unwrap();
    }

    fn path(&self, file: &str) -> std::path::PathBuf {
        self.0.path().join(file)
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_cfg-render"));
        command
            .arg("certs")
            .args(args)
            .arg(self.path("fleet.json"))
            .env_remove("CREDENTIALS_DIRECTORY")
            .stdin(Stdio::null());
        command
    }

    fn certs(&self, args: &[&str]) -> Output {
        self.command(args).output().unwrap()
    }

    /// Runs a verb that must succeed, puts the CA's key where the next one finds it, and gives the requests back.
    fn made(&self, args: &[&str]) -> Vec<Value> {
        let keys = self.path("keys");
        let keys_text = keys.display().to_string();
        let output = self.certs(&[args, &["--secrets-dir", &keys_text]].concat());
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let text = String::from_utf8(output.stdout).unwrap();
        let requests: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        for request in requests.iter().filter(|request| request["file"] == "secrets/ca.yaml") {
            use std::os::unix::fs::OpenOptionsExt;
            fs::create_dir_all(&keys).unwrap();
            let _ = fs::remove_file(keys.join("ca-key"));
            let mut file =
                fs::OpenOptions::new().write(true).create_new(true).mode(0o600).open(keys.join("ca-key")).unwrap();
            std::io::Write::write_all(&mut file, request["set"]["/ca-key"].as_str().unwrap().as_bytes()).unwrap();
            // As secret-encrypt would: from now on the key is there.
            fs::create_dir_all(self.path("secrets")).unwrap();
            fs::write(self.path("secrets/ca.yaml"), "encrypted").unwrap();
        }
        requests
    }

    fn findings(&self, now: &str) -> (i32, Vec<(String, String)>) {
        let output = self.certs(&["check", "--now", now]);
        let document: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let findings = document["findings"].as_array().unwrap().iter();
        (
            output.status.code().unwrap(),
            findings.map(|finding| (text(&finding["level"]), text(&finding["code"]))).collect(),
        )
    }

    fn certificates(&self) -> Vec<String> {
        ["ca.pem", "tls/web1/www.home.test.pem", "tls/web1/_wildcard.apps.home.test.pem"]
            .iter()
            .map(|file| fs::read_to_string(self.path(file)).unwrap_or_default())
            .collect()
    }
}

fn verify(openssl: &Path, ca: &Path, leaf: &Path, now: &str) -> (bool, String) {
    let output = Command::new(openssl)
        .args(["verify", "-x509_strict", "-attime", now, "-CAfile"])
        .args([ca, leaf])
        .output()
        .unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&text).into_owned())
}

/// 2026-01-02 in seconds.
const NEXT_DAY: &str = "1767312000";

#[test]
fn openssl_accepts_leaves_and_refuses_what_is_outside() {
    let Some(openssl) = peer("openssl", "apt-get install openssl") else { return };
    let home = Home::new(&fleet());
    let requests = home.made(&["renew", "--now", NOW]);
    let files: Vec<&str> = requests.iter().map(|request| request["file"].as_str().unwrap()).collect();
    assert_eq!(files, ["secrets/ca.yaml", "secrets/web1.yaml"]);
    let keys: Vec<&String> = requests[1]["set"].as_object().unwrap().keys().collect();
    assert_eq!(keys, ["/tls-web1-any-apps-home-test", "/tls-web1-www-home-test"]);
    for leaf in ["tls/web1/www.home.test.pem", "tls/web1/_wildcard.apps.home.test.pem"] {
        let (good, text) = verify(&openssl, &home.path("ca.pem"), &home.path(leaf), NEXT_DAY);
        assert!(good, "{text}");
    }
    let key = requests[1]["set"]["/tls-web1-www-home-test"].as_str().unwrap();
    fs::write(home.path("leaf.key"), key).unwrap();
    let public =
        |args: &[&str], file: &str| Command::new(&openssl).args(args).arg(home.path(file)).output().unwrap().stdout;
    let of_key = public(&["pkey", "-pubout", "-in"], "leaf.key");
    assert!(!of_key.is_empty());
    assert_eq!(of_key, public(&["x509", "-noout", "-pubkey", "-in"], "tls/web1/www.home.test.pem"));

    // Whoever has the key and ignores the limits makes a leaf that nobody accepts.
    let key = home.path("keys/ca-key");
    for (name, extension) in
        [("outside", "subjectAltName=DNS:www.bank.example"), ("address", "subjectAltName=IP:192.0.2.1")]
    {
        let extensions = home.path(&format!("{name}.ext"));
        fs::write(&extensions, format!("{extension}\nbasicConstraints=critical,CA:FALSE\nsubjectKeyIdentifier=hash\nauthorityKeyIdentifier=keyid\n")).unwrap();
        let (request, leaf) = (home.path("outside.csr"), home.path("outside.pem"));
        let made = Command::new(&openssl)
            .args(["req", "-new", "-subj", "/O=x", "-key"])
            .args([&home.path("leaf.key"), Path::new("-out"), &request])
            .status()
            .unwrap();
        assert!(made.success());
        let signed = Command::new(&openssl)
            .args(["x509", "-req", "-days", "30", "-set_serial", "7", "-in"])
            .args([&request, Path::new("-CA"), &home.path("ca.pem"), Path::new("-CAkey"), &key])
            .args([Path::new("-extfile"), &extensions, Path::new("-out"), &leaf])
            .stderr(Stdio::null())
            .status()
            .unwrap();
        assert!(signed.success());
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 60;
        let (good, text) = verify(&openssl, &home.path("ca.pem"), &leaf, &now.to_string());
        assert!(!good && text.contains("subtree violation"), "{name}: {text}");
    }
}

#[test]
fn leaves_are_renewed_at_two_thirds_of_their_life() {
    let home = Home::new(&fleet());
    assert_eq!(home.findings(NOW).0, 1);
    home.made(&["ca", "--now", NOW]);
    assert_eq!(home.made(&["renew", "--now", NOW]).len(), 1);
    assert_eq!(home.findings(NOW), (0, vec![]));
    let before = home.certificates();

    // Day 119 of 180: nothing. Day 121: both, by the same CA.
    assert!(home.made(&["renew", "--now", "2026-04-30T00:00:00Z"]).is_empty());
    assert_eq!(home.certificates(), before);
    let due = ("note".to_owned(), "certificate-due".to_owned());
    assert_eq!(home.findings("2026-05-02T00:00:00Z"), (0, vec![due.clone(), due]));
    let soon = ("warning".to_owned(), "certificate-expires".to_owned());
    assert_eq!(home.findings("2026-06-01T00:00:00Z"), (0, vec![soon.clone(), soon]));
    let gone = ("error".to_owned(), "certificate-expired".to_owned());
    assert_eq!(home.findings("2026-07-01T00:00:00Z"), (1, vec![gone.clone(), gone]));
    assert_eq!(home.made(&["renew", "--now", "2026-05-02T00:00:00Z"])[0]["set"].as_object().unwrap().len(), 2);
    let after = home.certificates();
    assert_eq!(after[0], before[0]);
    assert!(after[1] != before[1] && after[2] != before[2]);
    assert_eq!(home.findings("2026-05-02T00:00:00Z"), (0, vec![]));
}

#[test]
fn other_names_make_one_new_leaf() {
    let home = Home::new(&fleet());
    home.made(&["renew", "--now", NOW]);
    let before = home.certificates();
    let mut fleet = fleet();
    fleet["services"]["site"]["proxy"][0]["names"] = json!(["www.home.test", "home.test", "new.home.test"]);
    home.write(&fleet);
    let made = home.made(&["renew", "--now", NOW]);
    assert_eq!(made[0]["set"].as_object().unwrap().len(), 1);
    let after = home.certificates();
    assert!(after[1] != before[1] && after[2] == before[2]);
    assert_eq!(home.made(&["renew", "--all", "--now", NOW])[0]["set"].as_object().unwrap().len(), 2);
}

#[test]
fn a_new_domain_is_refused_until_the_ca_has_a_new_certificate_for_its_key() {
    let home = Home::new(&fleet());
    home.made(&["renew", "--now", NOW]);
    let before = home.certificates();
    let mut fleet = fleet();
    fleet["services"]["site"]["proxy"]
        .as_array_mut()
        .unwrap()
        .push(json!({ "names": ["intra.corp.test"], "tls": "internal" }));
    home.write(&fleet);
    let keys = home.path("keys").display().to_string();
    let output = home.certs(&["renew", "--now", NOW, "--secrets-dir", &keys]);
    let error = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!((output.status.code(), output.stdout.len()), (Some(65), 0), "{error}");
    assert!(error.contains("/services/site/proxy/2") && error.contains("certs ca"), "{error}");
    assert_eq!(home.certificates(), before);

    assert!(home.made(&["ca", "--now", NOW]).is_empty(), "the key stays");
    assert_ne!(home.certificates()[0], before[0]);
    let made = home.made(&["renew", "--now", NOW]);
    assert_eq!(made[0]["set"].as_object().unwrap().len(), 1, "leaves of the same key stay good");
}

#[test]
fn keys_go_only_into_a_pipe() {
    let home = Home::new(&fleet());
    for verb in ["ca", "renew"] {
        for sink in [home.path("out"), "/dev/null".into()] {
            let output = home.command(&[verb]).stdout(File::create(&sink).unwrap()).output().unwrap();
            assert_eq!(output.status.code(), Some(76), "{verb} {}", sink.display());
        }
        let Some(script) = peer("script", "apt-get install bsdutils") else { continue };
        let line = format!("{} certs {verb} {}", env!("CARGO_BIN_EXE_cfg-render"), home.path("fleet.json").display());
        let output = Command::new(script).args(["-qec", &line, "/dev/null"]).stdin(Stdio::null()).output().unwrap();
        assert_eq!(output.status.code(), Some(76), "{verb} on a terminal");
    }
    assert!(!home.path("ca.pem").exists(), "nothing is made where its key cannot go");
    home.made(&["renew", "--now", NOW]);
    for entry in ["ca.pem", "tls/web1/www.home.test.pem"] {
        assert!(!fs::read_to_string(home.path(entry)).unwrap().contains("PRIVATE"), "{entry}");
    }
}

#[test]
fn a_ca_is_not_started_over_by_accident() {
    let home = Home::new(&fleet());
    home.made(&["ca", "--now", NOW]);
    let before = home.certificates();
    assert!(home.made(&["ca", "--now", NOW]).is_empty());
    assert_eq!(home.certificates(), before);
    fs::remove_file(home.path("ca.pem")).unwrap();
    for verb in ["ca", "renew"] {
        let nowhere = home.path("nowhere").display().to_string();
        let output = home.certs(&[verb, "--now", NOW, "--secrets-dir", &nowhere]);
        assert_eq!(output.status.code(), Some(76), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    }
    assert!(home.made(&["ca", "--now", NOW]).is_empty(), "with its key it only gets a certificate");
    assert_eq!(home.made(&["ca", "--now", NOW, "--allow", "replace:ca"]).len(), 1);
    let wrong = home.made(&["renew", "--now", NOW]);
    assert_eq!(wrong.len(), 1);
}

#[test]
fn files_stay_below_the_base_directory() {
    for bad in ["../ca.pem", "/tmp/ca.pem", "out/ca.pem"] {
        let mut fleet = fleet();
        fleet["certificates"] = json!({ "certificate": bad });
        let home = Home::new(&fleet);
        std::os::unix::fs::symlink("/tmp", home.path("out")).unwrap();
        let output = home.certs(&["ca", "--now", NOW]);
        assert_eq!(output.status.code(), Some(65), "{bad}: {}", String::from_utf8_lossy(&output.stderr));
    }
}
