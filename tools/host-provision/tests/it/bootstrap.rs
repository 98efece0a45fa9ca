//! First contact with a fresh server, by password and by key.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::lab::Lab;

/// A program that does what a script says.
pub(crate) fn script(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    path
}

/// A new SSH key pair.
pub(crate) fn key_pair(directory: &Path, name: &str) -> PathBuf {
    let path = directory.join(name);
    let status = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&path).status().unwrap();
    assert!(status.success());
    path
}

fn call(directory: &Path, args: &[&str], environment: &[(&str, &str)]) -> Output {
    crate::controller()
        .args(args)
        .env_remove("SSH_AUTH_SOCK")
        .env("HOME", "/nonexistent")
        .env("STATE_DIR", directory.join("state"))
        .envs(environment.iter().copied())
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

#[track_caller]
fn expect(output: &Output, code: i32) -> Value {
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{}\n{said}", String::from_utf8_lossy(&output.stdout));
    serde_json::from_slice(&output.stdout).unwrap_or_default()
}

#[test]
fn from_a_password_to_a_key() {
    let Some(mut host) = Lab::boot() else { return };
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    let mine = key_pair(here, "mine");
    let mine = mine.to_str().unwrap();
    // A server as a provider hands it over: a password, no key, cloud-init that complains a little.
    host.exec("echo 'root:first light' | chpasswd; rm /root/.ssh/authorized_keys; printf 'PermitRootLogin yes\\nPasswordAuthentication yes\\n' >/etc/ssh/sshd_config.d/50-cloud-init.conf; systemctl reload ssh; printf '#!/bin/sh\\nsleep 1\\ntouch /run/waited\\nexit 2\\n' >/usr/bin/cloud-init; chmod 755 /usr/bin/cloud-init");
    let real = host.host()["host_key"].clone();
    // The fleet knows the server that was there before, at another address.
    let stale = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGMEqbYl1h5vxqr0CBo3oDSq9ipkTCxUsqMGuiAZxBQh";
    host.write_inventory(&[2222, 22], &json!(stale));
    let hosts = std::fs::read_to_string(host.inventory.path()).unwrap().replace(host.address(), "192.0.2.1");
    std::fs::write(host.inventory.path(), hosts).unwrap();
    let inventory = host.inventory.path().to_str().unwrap().to_owned();
    let address = host.address().to_owned();
    let base = ["bootstrap", "lab1", "--hosts", &inventory, "-i", mine, "--address", &address, "--wait", "20s"];
    let with = |more: &[&str], environment: &[(&str, &str)]| {
        let args: Vec<&str> = base.iter().chain(more).copied().collect();
        call(here, &args, environment)
    };
    // Another identity than the fleet's is refused, here too, unless somebody says so.
    expect(&with(&[], &[("SSHPASS", "first light")]), 77);
    // The age key must open everything; the server is not even asked before.
    let age = here.join("age.key");
    std::fs::write(&age, concat!("AGE-SECRET", "-KEY-1TEST\n")).unwrap();
    std::fs::write(here.join("manifest.json"), "{}").unwrap();
    let asked = here.join("asked");
    let refusing = script(
        here,
        "refusing",
        &format!(
            "echo \"$@\" >{}; echo '{{\"schema\":\"findings/v1\",\"findings\":[{{\"file\":\"secrets/lab1.yaml\",\"message\":\"no identity opens it\"}}]}}'; exit 1",
            asked.display()
        ),
    );
    let manifest = here.join("manifest.json");
    let age_flags = ["--accept-new", "--age-key", age.to_str().unwrap(), "--manifest", manifest.to_str().unwrap()];
    let refused = with(&age_flags, &[("SSHPASS", "first light"), ("SECRET_ENCRYPT", refusing.to_str().unwrap())]);
    expect(&refused, 76);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(said.contains("secrets/lab1.yaml: no identity opens it"), "{said}");
    let words = std::fs::read_to_string(&asked).unwrap();
    assert!(
        words.contains("check") && words.contains("--can-open") && words.contains(age.to_str().unwrap()),
        "{words}"
    );
    assert_eq!(host.exec("ls -A /root/.ssh /var/lib/plumbline 2>/dev/null; ls /run/waited 2>/dev/null"), "/root/.ssh:");
    // A wrong password.
    let good = script(here, "good", "exit 0");
    let good = ("SECRET_ENCRYPT", good.to_str().unwrap());
    expect(&with(&age_flags, &[("SSHPASS", "wrong"), good]), 77);
    // And the right one.
    let done = with(&age_flags, &[("SSHPASS", "first light"), good]);
    let facts = expect(&done, 0);
    assert_eq!(facts["os_id"], "debian");
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert!(said.contains("recoverable errors") && said.contains(real.as_str().unwrap()), "{said}");
    assert!(!said.contains("first light") && !said.contains("SECRET"), "{said}");
    assert_eq!(host.exec("stat -c '%U %a' /var/lib/plumbline/age.key /root/.ssh/authorized_keys; cat /var/lib/plumbline/age.key; ls /run/waited; ls -A /var/lib/plumbline | grep '^\\.'"),
        format!("root 400\nroot 600\n{}\n/run/waited", concat!("AGE-SECRET", "-KEY-1TEST")));
    // Later calls find it where it is now, as who it is now, by the key alone.
    let found = call(here, &["facts", "lab1", "--hosts", &inventory, "-i", mine], &[]);
    expect(&found, 0);
    // Once the fleet has a key of its own again, that one counts.
    host.write_inventory(
        &[22],
        &json!("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA"),
    );
    expect(&call(here, &["facts", "lab1", "--hosts", &inventory, "-i", mine], &[]), 77);
    host.write_inventory(&[22], &real);
    // A second time changes nothing; another age key needs a consent.
    let authorized = host.exec("sha256sum /root/.ssh/authorized_keys");
    expect(&with(&age_flags, &[good]), 0);
    assert_eq!(host.exec("sha256sum /root/.ssh/authorized_keys"), authorized);
    std::fs::write(&age, concat!("AGE-SECRET", "-KEY-1OTHER\n")).unwrap();
    let other = with(&age_flags, &[good]);
    expect(&other, 76);
    assert!(String::from_utf8_lossy(&other.stderr).contains("--allow replace:age-key"));
    let replaced: Vec<&str> = age_flags.iter().chain(&["--allow", "replace:age-key"]).copied().collect();
    expect(&with(&replaced, &[good]), 0);
    assert_eq!(host.exec("cat /var/lib/plumbline/age.key"), concat!("AGE-SECRET", "-KEY-1OTHER"));
}

#[test]
fn a_cloud_user_with_a_key() {
    let Some(host) = Lab::boot() else { return };
    let directory = tempfile::tempdir().unwrap();
    let here = directory.path();
    host.exec("useradd -m -s /bin/bash debian; mv /root/.ssh /home/debian/; chown -R debian:debian /home/debian/.ssh; echo 'debian ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/90-cloud-init-users; printf '#!/bin/sh\\nexit 1\\n' >/usr/bin/cloud-init; chmod 755 /usr/bin/cloud-init");
    let key = host.document["key"].as_str().unwrap();
    let inventory = host.inventory.path().to_str().unwrap();
    let target = format!("ssh://debian@{}:22", host.address());
    let second = key_pair(here, "second");
    let public = second.with_extension("pub");
    let args = [
        "bootstrap",
        "lab1",
        "--hosts",
        inventory,
        "-i",
        key,
        "--target",
        &target,
        "--become",
        "sudo",
        "--authorize",
        public.to_str().unwrap(),
        "--password-file",
        "/dev/null",
    ];
    let failed = call(here, &args, &[]);
    expect(&failed, 69);
    assert!(
        String::from_utf8_lossy(&failed.stderr).contains("cloud-init"),
        "{}",
        String::from_utf8_lossy(&failed.stderr)
    );
    host.exec("rm /usr/bin/cloud-init");
    expect(&call(here, &args, &[]), 0);
    let by_second = [
        "facts",
        "lab1",
        "--hosts",
        inventory,
        "-i",
        second.to_str().unwrap(),
        "--target",
        &target,
        "--become",
        "sudo",
    ];
    expect(&call(here, &by_second, &[]), 0);
    // A private key is never sent in the place of a public one.
    let mistaken: Vec<&str> = args
        .iter()
        .map(|word| if *word == public.to_str().unwrap() { second.to_str().unwrap() } else { word })
        .collect();
    expect(&call(here, &mistaken, &[]), 76);
}
