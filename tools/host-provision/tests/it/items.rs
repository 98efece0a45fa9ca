//! Items that need more than a file: mounts, images, repositories, units of users. On a host of the lab.

use std::io::{Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Value, json};

use crate::lab::Lab;
use crate::{desired, status};

fn digest(letter: char) -> String {
    format!("registry.example/app@sha256:{}", letter.to_string().repeat(64))
}

#[test]
fn mounts_and_what_lies_in_them() {
    let Some(lab) = Lab::boot() else { return };
    let document = |mount: Value| {
        desired(
            "lab1",
            &json!([
                {"id": "g", "stage": "base", "group": {"name": "media"}},
                {"id": "m", "stage": "base", "mount": mount},
                {"id": "d", "stage": "base", "directory": {"path": "/srv/media", "mode": "2775", "group": "media"}},
                {"id": "f", "file": {"path": "/srv/media/list", "content": "films\n", "group": "media"}},
                {"id": "s", "file": {"path": "/etc/systemd/system/player.service",
                    "content": "[Unit]\nRequiresMountsFor=/srv/media\n[Service]\nExecStart=/bin/sleep 1000\n"}},
                {"id": "u", "unit": {"name": "player.service", "state": "started"}}
            ]),
        )
    };
    let first = document(json!({"path": "/srv/media", "device": "tmpfs", "fstype": "tmpfs", "options": ["size=8m"]}));
    let plan = lab.call(&["plan"], &first.to_string()).expect(0).json();
    assert!(plan.to_string().contains("tmpfs /srv/media tmpfs size=8m,nofail 0 0"), "{plan}");
    lab.apply(&plan).expect(0);
    assert_eq!(
        lab.exec("findmnt -nro FSTYPE,SIZE /srv/media; stat -c '%G %a' /srv/media; touch /srv/media/new; stat -c %G /srv/media/new; systemctl is-active player"),
        "tmpfs 8M\nmedia 2775\nmedia\nactive"
    );
    assert_eq!(lab.apply(&first).expect(0).json()["changed"], false);
    // systemd knows the mount: what needs it goes with it, and both come back.
    assert_eq!(lab.exec("systemctl stop srv-media.mount; systemctl is-active player; ls -A /srv/media"), "inactive");
    lab.call(&["plan", "--check"], &first.to_string()).expect(1);
    lab.apply(&first).expect(0);
    assert_eq!(lab.exec("systemctl is-active player; cat /srv/media/list"), "active\nfilms");

    // Other options are set while it is in use; by hand everything goes back.
    let larger = document(json!({"path": "/srv/media", "device": "tmpfs", "fstype": "tmpfs", "options": ["size=16m"]}));
    lab.apply(&larger).expect(0);
    assert_eq!(lab.exec("findmnt -nro SIZE /srv/media; cat /srv/media/list"), "16M\nfilms");
    lab.call(&["rollback", "lab1"], "").expect(0);
    assert_eq!(lab.exec("findmnt -nro SIZE /srv/media; grep -c size=8m /etc/fstab"), "8M\n1");

    // What cannot be mounted, and what is in use, leave the old one as it was.
    let broken = document(json!({"path": "/srv/media", "device": "/dev/no-such-disk", "fstype": "ext4"}));
    let failed = lab.apply(&broken).expect(69).json();
    assert_eq!(failed["error"]["code"], "no_device", "{failed}");
    assert_eq!(
        lab.exec("findmnt -nro SIZE /srv/media; cat /srv/media/list; grep -c no-such-disk /etc/fstab"),
        "8M\nfilms\n0"
    );
    let unknown = document(json!({"path": "/srv/media", "device": "nothing", "fstype": "nosuchfs"}));
    let failed = lab.apply(&unknown).json();
    assert_eq!(failed["outcome"], "rolled_back", "{failed}");
    assert_eq!(
        lab.exec("findmnt -nro FSTYPE,SIZE /srv/media; grep -c nosuchfs /etc/fstab; systemctl is-active player"),
        "tmpfs 8M\n0\nactive"
    );
    let literal =
        document(json!({"path": "/srv/media", "device": "//nas/x", "fstype": "cifs", "options": ["password=geheim"]}));
    let refused = lab.call(&["plan"], &literal.to_string()).expect(65);
    assert!(
        refused.stderr.contains("/items/1/mount/options/0") && !refused.stderr.contains("geheim"),
        "{}",
        refused.stderr
    );

    // Not declared any more: units first, then the mount; the line of somebody else is untouched.
    lab.exec("echo 'tmpfs /srv/other tmpfs noauto 0 0' >>/etc/fstab; chmod 600 /etc/fstab");
    let gone = lab.apply(&desired("lab1", &json!([]))).expect(0).json();
    assert_eq!(status(&gone, "/srv/media"), "done", "{gone}");
    assert_eq!(
        lab.exec("findmnt -nro SIZE /srv/media; grep -v '^#' /etc/fstab; systemctl is-active player"),
        "tmpfs /srv/other tmpfs noauto 0 0\ninactive"
    );
    // A line that was there before us comes back.
    let taken = |device: &str| {
        desired(
            "lab1",
            &json!([{"id": "m", "mount": {"path": "/srv/other", "device": device, "fstype": "none", "options": ["bind"]}}]),
        )
    };
    // The file that was taken from others stays so.
    assert_eq!(lab.exec("stat -c %a /etc/fstab"), "600");
    lab.exec("mkdir -p /srv/source; echo x >/srv/source/x");
    lab.apply(&taken("/srv/source")).expect(0);
    assert_eq!(lab.exec("cat /srv/other/x"), "x");
    lab.apply(&desired("lab1", &json!([]))).expect(0);
    assert_eq!(lab.exec("grep -v '^#' /etc/fstab; ls /srv/other"), "tmpfs /srv/other tmpfs noauto 0 0");
}

/// An engine that keeps images as files and records what it was asked; real ones are not in the lab.
const ENGINE: &str = r#"#!/bin/sh
S=/srv/engine; mkdir -p $S/images $S/running
[ "$1" != run ] || echo $$ >"$S/running/$(echo "$2" | tr '/:@' '___')"
echo "$*" >>$S/log
name() { echo "$S/images/$(echo "$1" | tr '/:@' '___')"; }
case "$1 $2" in
  "image inspect") [ -e "$(name "$3")" ] || { echo "Error: No such image: $3" >&2; exit 1; }; cat "$(name "$3")" ;;
  "pull --quiet") [ ! -e $S/broken ] || { echo "registry does not answer" >&2; exit 1; }
    printf '[{"Id":"sha256:%s","RepoDigests":["%s"]}]' "$(echo "$3" | sha256sum | cut -c1-64)" "$3" >"$(name "$3")" ;;
  "image rm")
    pid=$(cat "$(name "$3" | sed s,images,running,)" 2>/dev/null || echo 0)
    if [ "$pid" -gt 0 ] && kill -0 "$pid" 2>/dev/null; then echo "in use: $3" >>$S/log; exit 1; fi
    rm "$(name "$3")" ;;
  "buildx imagetools") cat $S/remote 2>/dev/null ;;
  "tag "*) from=$(name "$2"); [ -e "$from" ] || from=$(grep -l "$2" $S/images/* | head -n 1); cp "$from" "$(name "$3")" ;;
  "run "*) exec sleep 1000 ;;
esac
"#;

#[test]
fn images_are_there_before_units_change() {
    let Some(lab) = Lab::boot() else { return };
    let engine = json!({"id": "engine", "stage": "base", "file": {"path": "/usr/local/bin/docker", "mode": "0755", "content": ENGINE}});
    let document = |reference: &str| {
        desired(
            "lab1",
            &json!([
                engine,
                {"id": "image", "image": {"engine": "docker", "reference": reference}},
                {"id": "file", "notify": ["restart:app.service"], "file": {"path": "/etc/systemd/system/app.service",
                    "content": format!("[Service]\nExecStart=/usr/local/bin/docker run {reference}\n")}},
                {"id": "unit", "unit": {"name": "app.service", "state": "started"}}
            ]),
        )
    };
    let log = || {
        let text = lab.exec("grep -v inspect /srv/engine/log; : >/srv/engine/log");
        text.replace(&digest('a'), "A").replace(&digest('b'), "B").replace(&digest('c'), "C")
    };
    lab.apply(&document(&digest('a'))).expect(0);
    assert_eq!(log(), "pull --quiet A\nrun A");
    assert_eq!(lab.apply(&document(&digest('a'))).expect(0).json()["changed"], false);

    lab.apply(&document(&digest('b'))).expect(0);
    assert_eq!(log(), "pull --quiet B\nrun B");
    assert_eq!(lab.apply(&document(&digest('b'))).expect(0).json()["changed"], false);
    lab.call(&["plan", "--check"], &document(&digest('b')).to_string()).expect(0);
    // The old digest runs again although no registry answers.
    lab.exec("touch /srv/engine/broken");
    lab.call(&["rollback", "lab1"], "").expect(0);
    // A simple unit counts as started before its program has written a word, so that the lines come in any order. What
    // counts: when the new image went nothing ran from it any more, which the engine would have refused.
    let both = log();
    let mut both: Vec<&str> = both.lines().collect();
    both.sort_unstable();
    assert_eq!(both, ["image rm B", "run A"]);
    assert_eq!(lab.exec("ls /srv/engine/images | grep -c sha256_b"), "0");
    // A pull that fails changes nothing that runs.
    let failed = lab.apply(&document(&digest('c'))).json();
    assert_eq!(failed["error"]["code"], "pull_failed", "{failed}");
    assert_eq!(lab.exec("systemctl is-active app; grep -c sha256:a /etc/systemd/system/app.service"), "active\n1");
    lab.exec("rm /srv/engine/broken");
    lab.apply(&document(&digest('b'))).expect(0);
    // Two back is taken away, one back is kept.
    lab.apply(&document(&digest('c'))).expect(0);
    assert_eq!(log(), "pull --quiet C\nimage rm C\npull --quiet B\nrun B\npull --quiet C\nimage rm A\nrun C");
    lab.call(&["plan", "--check"], &document(&digest('c')).to_string()).expect(0);

    // A tag is what the registry says it is, and goes back to what it was.
    lab.exec("echo sha256:1111111111111111111111111111111111111111111111111111111111111111 >/srv/engine/remote");
    let tagged = desired(
        "lab1",
        &json!([engine, {"id": "image", "image": {"engine": "docker", "reference": "registry.example/other:1"}}]),
    );
    lab.apply(&tagged).expect(0);
    let id = || lab.exec("cut -c1-30 /srv/engine/images/registry.example_other_1");
    let first = id();
    lab.call(&["plan", "--check"], &tagged.to_string()).expect(0);
    lab.exec("echo sha256:2222222222222222222222222222222222222222222222222222222222222222 >/srv/engine/remote");
    lab.apply(&tagged).expect(0);
    assert_ne!(id(), first);
    lab.call(&["rollback", "lab1"], "").expect(0);
    assert_eq!(id(), first);
    // Nothing declared any more: nothing of ours is left.
    lab.apply(&desired("lab1", &json!([engine]))).expect(0);
    assert_eq!(lab.exec("ls /srv/engine/images | grep -c sha256_[abc]"), "0");
    let wrong = desired("lab1", &json!([{"id": "image", "image": {"engine": "docker", "reference": "a@sha256:00"}}]));
    let refused = lab.call(&["plan"], &wrong.to_string()).expect(65);
    assert!(refused.stderr.contains("/items/0/image/reference"), "{}", refused.stderr);
}

/// An image of one empty layer, as files of a registry (the distribution API is a tree of them); returns its digest.
fn image_in(registry: &Path, text: &str) -> String {
    let sum = |bytes: &[u8]| host_provision::engine::sha256(bytes);
    let blob = |bytes: &[u8], directory: &str| {
        let directory = registry.join("v2/app").join(directory);
        std::fs::create_dir_all(&directory).unwrap();
        std::fs::write(directory.join(format!("sha256:{}", sum(bytes))), bytes).unwrap();
        json!({"digest": format!("sha256:{}", sum(bytes)), "size": bytes.len()})
    };
    let layer = vec![0_u8; 1024];
    let config = json!({"architecture": "amd64", "os": "linux", "config": {"Labels": {"text": text}},
        "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{}", sum(&layer))]}})
    .to_string();
    let kind = |mut descriptor: Value, kind: &str| {
        descriptor["mediaType"] = format!("application/vnd.oci.image.{kind}").into();
        descriptor
    };
    let manifest = json!({"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
        "config": kind(blob(config.as_bytes(), "blobs"), "config.v1+json"),
        "layers": [kind(blob(&layer, "blobs"), "layer.v1.tar")]});
    std::fs::write(registry.join("v2/index"), "{}").unwrap();
    blob(manifest.to_string().as_bytes(), "manifests")["digest"].as_str().unwrap().to_owned()
}

/// The same with a real engine and a registry, as far as the lab carries it: it pulls, but runs nothing.
#[test]
fn images_of_podman() {
    if !crate::full_tier() {
        return;
    }
    let Some(lab) = Lab::boot() else { return };
    let registry = tempfile::tempdir().unwrap();
    let (first, second) = (image_in(registry.path(), "one"), image_in(registry.path(), "two"));
    let controller = lab.document["controller"].as_str().unwrap().to_owned();
    let port = serve(registry.path().to_owned(), &controller);
    let document = |digest: &str| {
        desired(
            "lab1",
            &json!([
                {"id": "p", "stage": "base", "packages": {"present": ["podman"]}},
                // The lab's disk is an overlay, on which another one cannot lie.
                {"id": "s", "stage": "base", "file": {"path": "/etc/containers/storage.conf",
                    "content": "[storage]\ndriver = \"vfs\"\nrunroot = \"/run/containers/storage\"\ngraphroot = \"/var/lib/containers/storage\"\n"}},
                {"id": "r", "stage": "base", "file": {"path": "/etc/containers/registries.conf.d/lab.conf",
                    "content": format!("[[registry]]\nlocation = \"{controller}:{port}\"\ninsecure = true\n")}},
                {"id": "i", "image": {"engine": "podman", "reference": format!("{controller}:{port}/app@{digest}")}}
            ]),
        )
    };
    if lab.exec("apt-get -qq update && apt-get -s -qq install podman >/dev/null && echo there").is_empty() {
        eprintln!("skipped: podman (install: the lab needs its way out)");
        return;
    }
    lab.apply(&document(&first)).expect(0);
    assert_eq!(lab.exec("podman images --format '{{.Digest}}'"), first);
    assert_eq!(lab.apply(&document(&first)).expect(0).json()["changed"], false);
    lab.apply(&document(&second)).expect(0);
    lab.call(&["plan", "--check"], &document(&second).to_string()).expect(0);
    assert_eq!(lab.exec("podman images --format '{{.Digest}}' | sort"), {
        let mut both = [first.clone(), second.clone()];
        both.sort();
        both.join("\n")
    });
    lab.call(&["rollback", "lab1"], "").expect(0);
    assert_eq!(lab.exec("podman images --format '{{.Digest}}'"), first);
    let missing = lab.apply(&document(&format!("sha256:{}", "0".repeat(64)))).json();
    assert_eq!(missing["error"]["code"], "pull_failed", "{missing}");
    lab.apply(&desired("lab1", &json!([]))).expect(0);
    assert_eq!(
        lab.exec("command -v podman >/dev/null && ls /etc/containers/registries.conf.d/lab.conf 2>/dev/null"),
        ""
    );
}

#[test]
fn units_of_users_and_the_clock_and_language_of_the_host() {
    let Some(lab) = Lab::boot() else { return };
    let document = |text: &str| {
        desired(
            "lab1",
            &json!([
                {"id": "z", "stage": "base", "timezone": {"name": "Europe/Berlin"}},
                {"id": "h", "stage": "base", "hostname": {"name": "renamed"}},
                {"id": "u", "stage": "base", "user": {"name": "app", "linger": true}},
                {"id": "f", "notify": ["restart:hello.service"], "file": {"path": "/etc/systemd/user/hello.service", "content":
                    format!("[Service]\nEnvironment=TEXT={text}\nExecStart=/bin/sleep 1000\n[Install]\nWantedBy=default.target\n")}},
                {"id": "s", "unit": {"name": "hello.service", "scope": "user:app", "enabled": true, "state": "started"}}
            ]),
        )
    };
    let user = |command: &str| {
        lab.exec(&format!("setpriv --reuid=app --regid=app --init-groups env XDG_RUNTIME_DIR=/run/user/$(id -u app) systemctl --user {command}"))
    };
    lab.apply(&document("one")).expect(0);
    assert_eq!(user("is-active hello; date +%Z; hostname; hostname -f").lines().next(), Some("active"));
    assert_eq!(
        lab.exec("hostname; cat /etc/hostname; cat /etc/timezone; loginctl show-user app -P Linger"),
        "renamed\nrenamed\nEurope/Berlin\nyes"
    );
    assert!(["CET", "CEST"].contains(&lab.exec("date +%Z").as_str()));
    assert_eq!(lab.apply(&document("one")).expect(0).json()["changed"], false);
    let pid = user("show -P MainPID hello");
    let result = lab.apply(&document("two")).expect(0).json();
    assert_eq!(status(&result, "restart:hello.service"), "done", "{result}");
    assert_ne!(user("show -P MainPID hello"), pid);
    assert_eq!(user("show -P Environment hello"), "TEXT=two");
    // It runs without a login after a reboot.
    crate::lab::lab(&["--lab", &lab.name, "kill", "1"]);
    crate::lab::lab(&["--lab", &lab.name, "boot", "1"]);
    for _ in 0..100 {
        if user("is-active hello") == "active" {
            break;
        }
        std::thread::sleep(std::time::Duration::from_millis(100));
    }
    assert_eq!(user("is-active hello"), "active");
    assert_eq!(lab.apply(&document("two")).expect(0).json()["changed"], false);
    // Gone with its file; the zone from before is back, the name stays.
    lab.apply(&desired("lab1", &json!([]))).expect(0);
    assert_eq!(user("is-active hello"), "inactive");
    assert_eq!(lab.exec("ls /etc/systemd/user/hello.service 2>/dev/null; hostname; date +%Z"), "renamed\nUTC");
    let unknown = desired("lab1", &json!([{"id": "z", "timezone": {"name": "Europe/Nowhere"}}]));
    let refused = lab.call(&["plan"], &unknown.to_string()).expect(65);
    assert!(refused.stderr.contains("Europe/Nowhere") && refused.stderr.contains("/items/0"), "{}", refused.stderr);
    let missing = desired("lab1", &json!([{"id": "l", "locale": {"lang": "de_DE.UTF-8"}}]));
    let failed = lab.apply(&missing).json();
    assert!(failed["error"]["hint"].as_str().unwrap_or_default().contains("locales"), "{failed}");
}

#[test]
fn a_key_that_is_a_secret_lets_its_user_in() {
    let Some(lab) = Lab::boot() else { return };
    let home = tempfile::tempdir().unwrap();
    let key = home.path().join("key");
    let made = Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
    assert!(made.success());
    let public = std::fs::read_to_string(home.path().join("key.pub")).unwrap();
    // Stands in for secret-encrypt: what it does needs the user, and happens before sshd hears of the file.
    let script = format!(
        "#!/bin/sh\nset -e\numask 077\nmkdir -p /run/secrets/rendered\nchmod 751 /run/secrets /run/secrets/rendered\nf=/run/secrets/rendered/authorized_keys.ops\necho '{}' >$f\nchown ops:ops $f\nchmod 400 $f\n",
        public.trim()
    );
    let document = |mode: &str| {
        let mut document = desired(
            "lab1",
            &json!([
                {"id": "u", "stage": "base", "user": {"name": "ops"}},
                {"id": "su", "stage": "base", "file": {"path": "/etc/sudoers.d/ops", "mode": "0440", "content": "ops ALL=(ALL) NOPASSWD: ALL\n"}},
                {"id": "sshd", "stage": "base", "notify": ["reload:ssh.service"], "file": {"path": "/etc/ssh/sshd_config.d/00-keys.conf",
                    "content": "AuthorizedKeysFile .ssh/authorized_keys /run/secrets/rendered/authorized_keys.%u\n"}},
                {"id": "tool", "stage": "base", "file": {"path": "/usr/local/bin/materialise", "mode": "0755", "content": script.replace("chmod 400", &format!("chmod {mode}"))}, "notify": ["secrets"]},
                {"id": "unit", "stage": "base", "notify": ["secrets"], "file": {"path": "/etc/systemd/system/plumbline-secrets.service",
                    "content": "[Service]\nType=oneshot\nRemainAfterExit=yes\nExecStart=/usr/local/bin/materialise\n"}}
            ]),
        );
        document["access"] = json!({"ssh_ports": [22], "login_users": ["ops"]});
        document
    };
    // A key that nobody logged in with yet is no way in: somebody has to say so.
    lab.apply(&document("400")).expect(76);
    let apply = |mode: &str| lab.apply_with(&document(mode), &["--allow", "lockout:key/ops"]).expect(0).json();
    apply("400");
    let inventory = lab.inventory.path().to_str().unwrap();
    let target = format!("ssh://ops@{}:22", lab.address());
    let log_in = || {
        crate::run(
            &[
                "facts",
                "lab1",
                "--hosts",
                inventory,
                "--target",
                &target,
                "-i",
                key.to_str().unwrap(),
                "--become",
                "sudo",
            ],
            "",
        )
    };
    log_in().expect(0);
    assert_eq!(apply("400")["changed"], false);
    // With a mode that sshd does not accept it is no way in, although it is there.
    apply("666");
    log_in().expect(77);
    apply("400");
    log_in().expect(0);
}

/// A key of its own, and a repository that it signs, with one package.
struct Repository {
    directory: tempfile::TempDir,
}

impl Repository {
    fn make() -> Option<Self> {
        if ["gpg", "dpkg-deb"].iter().any(|program| Command::new(program).arg("--version").output().is_err()) {
            eprintln!("skipped: a signed repository (install: gnupg dpkg)");
            return None;
        }
        let repository = Self { directory: tempfile::tempdir().unwrap() };
        repository.gpg(&["--quick-generate-key", "--passphrase", "", "repo@example", "ed25519", "sign", "never"], b"");
        let package = repository.path().join("package/DEBIAN");
        std::fs::create_dir_all(&package).unwrap();
        std::fs::write(
            package.join("control"),
            "Package: plumb-hello\nVersion: 1.0\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDescription: a test\n",
        )
        .unwrap();
        let served = repository.path().join("served/dists/stable/main/binary-amd64");
        std::fs::create_dir_all(&served).unwrap();
        let deb = repository.path().join("served/hello.deb");
        let built = Command::new("dpkg-deb")
            .args(["--root-owner-group", "-Znone", "-b"])
            .arg(repository.path().join("package"))
            .arg(&deb)
            .output()
            .unwrap();
        assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
        let sum = |bytes: &[u8]| host_provision::engine::sha256(bytes);
        let bytes = std::fs::read(&deb).unwrap();
        let packages = format!(
            "{}Filename: hello.deb\nSize: {}\nSHA256: {}\n",
            std::fs::read_to_string(package.join("control")).unwrap(),
            bytes.len(),
            sum(&bytes)
        );
        std::fs::write(served.join("Packages"), &packages).unwrap();
        let release = format!(
            "Origin: Example\nSuite: stable\nCodename: stable\nArchitectures: amd64\nComponents: main\nDate: Sat, 01 Jan 2022 00:00:00 UTC\nSHA256:\n {} {} main/binary-amd64/Packages\n",
            sum(packages.as_bytes()),
            packages.len()
        );
        let signed = repository.gpg(&["--clearsign"], release.as_bytes());
        std::fs::write(repository.path().join("served/dists/stable/InRelease"), signed).unwrap();
        Some(repository)
    }

    fn path(&self) -> &Path {
        self.directory.path()
    }

    fn gpg(&self, args: &[&str], input: &[u8]) -> Vec<u8> {
        let mut child = Command::new("gpg")
            .args([
                "--homedir",
                self.path().to_str().unwrap(),
                "--batch",
                "--quiet",
                "--no-tty",
                "--pinentry-mode",
                "loopback",
            ])
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        output.stdout
    }

    fn key(&self) -> (String, String) {
        let text = String::from_utf8(self.gpg(&["--export", "--armor"], b"")).unwrap();
        let listed = String::from_utf8(self.gpg(&["--list-keys", "--with-colons"], b"")).unwrap();
        let print = listed.lines().find(|line| line.starts_with("fpr:")).unwrap().split(':').nth(9).unwrap().to_owned();
        (text, print)
    }
}

impl Drop for Repository {
    fn drop(&mut self) {
        // The agent that gpg started for this directory.
        let _ = Command::new("gpgconf").args(["--homedir", self.path().to_str().unwrap(), "--kill", "all"]).output();
    }
}

/// Serves files of a directory to the lab; ends with the test.
fn serve(directory: std::path::PathBuf, address: &str) -> u16 {
    let listener = std::net::TcpListener::bind((address, 0)).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Ok(mut stream) = stream else { continue };
            let mut request = Vec::new();
            let mut byte = [0_u8; 1];
            while !request.ends_with(b"\r\n\r\n") && stream.read(&mut byte).unwrap_or(0) == 1 {
                request.push(byte[0]);
            }
            let line = String::from_utf8_lossy(&request).into_owned();
            let path = line.split(' ').nth(1).unwrap_or("/").trim_start_matches('/').to_owned();
            let path = if path == "v2/" { "v2/index".to_owned() } else { path };
            let kind = if path.contains("/manifests/") {
                "application/vnd.oci.image.manifest.v1+json"
            } else {
                "application/octet-stream"
            };
            let head = |code: &str, length: usize| {
                format!(
                    "HTTP/1.1 {code}\r\nContent-Type: {kind}\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                )
            };
            let answer = match std::fs::read(directory.join(&path)) {
                Ok(bytes) => [head("200 OK", bytes.len()).into_bytes(), bytes].concat(),
                Err(_) => head("404 Not Found", 0).into_bytes(),
            };
            let _ = stream.write_all(&answer);
        }
    });
    port
}

#[test]
fn a_repository_by_its_pinned_key() {
    let Some(lab) = Lab::boot() else { return };
    let (Some(repository), Some(other)) = (Repository::make(), Repository::make()) else { return };
    let controller = lab.document["controller"].as_str().unwrap().to_owned();
    let port = serve(repository.path().join("served"), &controller);
    // Only this repository: the others are not what is tested.
    lab.exec("mv /etc/apt/sources.list /etc/apt/sources.list.off; rm -f /var/lib/apt/lists/*InRelease /var/lib/apt/lists/*Packages*");
    let (key, print) = repository.key();
    let document = |key: &str, print: &str| {
        desired(
            "lab1",
            &json!([
                {"id": "r", "stage": "base", "apt_repository": {"name": "example", "uris": [format!("http://{controller}:{port}")], "suites": ["stable"],
                    "components": ["main"], "signed_by": key, "key_fingerprint": print, "priority": 900}},
                {"id": "p", "stage": "base", "packages": {"present": ["plumb-hello"]}}
            ]),
        )
    };
    // Another key than the pinned one, and a second one beside it, are refused before anything is touched.
    let (wrong, wrong_print) = other.key();
    let refused = lab.call(&["plan"], &document(&wrong, &print).to_string()).expect(76);
    assert!(refused.stderr.contains(&print) && refused.stderr.contains(&wrong_print), "{}", refused.stderr);
    let refused = lab.call(&["plan"], &document(&format!("{key}\n{wrong}"), &print).to_string()).expect(76);
    assert!(refused.stderr.contains("2 keys"), "{}", refused.stderr);
    // A repository that somebody else signed installs nothing and leaves nothing.
    let failed = lab.apply(&document(&wrong, &wrong_print)).expect(3).json();
    assert_eq!(failed["error"]["code"], "bad_signature", "{failed}");
    assert_eq!(lab.exec("find /etc/apt -name '*example*'; dpkg-query -W plumb-hello 2>/dev/null"), "");

    let spaced: String = print
        .chars()
        .enumerate()
        .flat_map(|(at, letter)| (at % 4 == 0 && at > 0).then_some(' ').into_iter().chain([letter]))
        .collect();
    lab.apply(&document(&key, &spaced)).expect(0);
    assert_eq!(
        lab.exec("dpkg-query -W -f='${Version}' plumb-hello; apt-cache policy plumb-hello | grep -c '900 http'"),
        "1.01"
    );
    assert_eq!(lab.apply(&document(&key, &spaced)).expect(0).json()["changed"], false);
    // No longer declared: source, key and priority go, the package stays.
    lab.apply(&desired("lab1", &json!([]))).expect(0);
    assert_eq!(
        lab.exec(
            "ls /etc/apt/sources.list.d /etc/apt/keyrings | grep -c example; dpkg-query -W -f='${Version}' plumb-hello"
        ),
        "0\n1.0"
    );
}
