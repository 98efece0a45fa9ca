//! NixOS: programs that record exactly what they were asked stand in for nix, nixos-anywhere, docker and
//! switch-to-configuration; the host around them, its sshd and its disks of files are real.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

use crate::bootstrap::script;
use crate::lab::Lab;
use crate::{Ran, desired, run};

/// Makes a lab host look like NixOS, generation 3 of which runs.
const NIXOS: &str = r#"
mkdir -p /nix/store/aaa-old/bin /nix/store/bbb-new/bin /nix/var/nix/profiles
for s in aaa-old bbb-new; do cat >/nix/store/$s/bin/switch-to-configuration <<EOF
#!/bin/sh
echo "$s \$@" >>/var/log/asked
[ "\$1" != test ] && [ "\$1" != switch ] || ln -sfn /nix/store/$s /run/current-system
if [ -e /etc/bad-$s ]; then [ "\$1" = boot ] || systemctl stop ssh; else systemctl start ssh; fi
exit \$(cat /etc/exit-$s 2>/dev/null || echo 0)
EOF
chmod 755 /nix/store/$s/bin/switch-to-configuration; done
ln -sfn /nix/store/aaa-old /nix/var/nix/profiles/system-3-link
ln -sfn system-3-link /nix/var/nix/profiles/system
ln -sfn /nix/store/aaa-old /run/current-system
cat >/usr/local/bin/nix <<'EOF'
#!/bin/sh
echo "nix $*" >>/var/log/asked
case "$*" in
*" build "*) find /var/lib/plumbline/nixos/flake -type f -printf 'staged %P\n' 2>/dev/null | sort >>/var/log/asked
  [ ! -e /etc/no-build ] || { echo 'error: attribute missing' >&2; exit 1; }
  echo /nix/store/bbb-new;;
*"flake metadata"*)
  if [ -e /etc/cut-off ] && [ "$(readlink /run/current-system)" = /nix/store/bbb-new ]; then echo 'error: unable to download' >&2; exit 1; fi
  echo '{"url": "git+https://git.example/fleet?rev=0123456789abcdef0123456789abcdef01234567"}';;
esac
EOF
cat >/usr/local/bin/nix-env <<'EOF'
#!/bin/sh
echo "nix-env $*" >>/var/log/asked
n=$(readlink /nix/var/nix/profiles/system | tr -dc 0-9); n=$((n + 1))
for last in "$@"; do :; done
ln -sfn "$last" /nix/var/nix/profiles/system-$n-link
ln -sfn system-$n-link /nix/var/nix/profiles/system
EOF
chmod 755 /usr/local/bin/nix /usr/local/bin/nix-env
touch /etc/NIXOS
"#;

fn document(version: &str) -> Value {
    let mut document = desired(
        "lab1",
        &json!([{"id": "system", "nixos": {"attr": "vps-x86", "files": {
        "flake.nix": {"content": format!("{{ outputs = _: {{ }}; }} # {version}\n")},
        "flake.lock": {"source": "flake.lock"},
        "modules/own.nix": {"source": "modules/own.nix"}}}}]),
    );
    document["access"] = json!({"ssh_ports": [22], "login_users": ["root"]});
    document
}

fn base() -> tempfile::TempDir {
    let base = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(base.path().join("modules")).unwrap();
    std::fs::create_dir_all(base.path().join("secrets")).unwrap();
    std::fs::write(base.path().join("flake.lock"), "{\"nodes\":{\"root\":{}},\"root\":\"root\",\"version\":7}")
        .unwrap();
    std::fs::write(base.path().join("modules/own.nix"), "{ }\n").unwrap();
    std::fs::write(base.path().join("secrets/age-key.txt"), concat!("AGE-SECRET", "-KEY-1TEST\n")).unwrap();
    base
}

fn apply(host: &Lab, base: &Path, document: &Value) -> Ran {
    host.apply_with(document, &["--base", base.to_str().unwrap()])
}

#[test]
fn an_update_is_tried_before_it_boots() {
    let Some(host) = Lab::boot() else { return };
    let base = base();
    host.exec(NIXOS);
    host.exec("mkdir -p /etc/nixos && echo key >/etc/nixos/age-key.txt");
    let result = apply(&host, base.path(), &document("one")).expect(0).json();
    assert!(result["access_proof"].is_string(), "{result}");
    let change = result["changes"].as_array().unwrap().iter().find(|change| change["kind"] == "nixos").unwrap();
    assert_eq!(change["message"], "generation 3 -> 4: /nix/store/bbb-new", "{result}");
    let features = "--extra-experimental-features nix-command flakes";
    assert_eq!(
        host.exec("cat /var/log/asked"),
        format!(
            "nix {features} build --no-link --print-out-paths --no-update-lock-file path:/var/lib/plumbline/nixos/flake#nixosConfigurations.\"vps-x86\".config.system.build.toplevel\n\
             staged flake.lock\nstaged flake.nix\nstaged modules/own.nix\n\
             bbb-new test\nnix-env --profile /nix/var/nix/profiles/system --set /nix/store/bbb-new\nbbb-new boot"
        )
    );
    assert_eq!(host.exec("cat /etc/nixos/modules/own.nix; stat -c %a /var/lib/plumbline/nixos/flake"), "{ }\n700");
    // Nothing to build a second time.
    assert_eq!(apply(&host, base.path(), &document("one")).expect(0).json()["changed"], false);
    // Somebody went back by hand: seen, and brought forward again.
    host.exec("ln -sfn /nix/store/aaa-old /run/current-system");
    let plan =
        host.call(&["plan", "--base", base.path().to_str().unwrap()], &document("one").to_string()).expect(0).json();
    assert_eq!(
        (plan["changes"][0]["why"][0].as_str(), plan["guarded"].as_bool()),
        (Some("running system"), Some(true)),
        "{plan}"
    );
    // A configuration that does not evaluate leaves everything as it is.
    host.exec("ln -sfn /nix/store/bbb-new /run/current-system; touch /etc/no-build; >/var/log/asked");
    let failed = apply(&host, base.path(), &document("two")).expect(69).json();
    assert_eq!(failed["outcome"], "rolled_back", "{failed}");
    assert!(failed["error"]["causes"].to_string().contains("attribute missing"), "{failed}");
    assert!(host.exec("cat /etc/nixos/flake.nix").contains("# one"));
    assert!(!host.exec("cat /var/log/asked").contains("test"));
}

#[test]
fn a_system_that_locks_the_owner_out_goes_back() {
    let Some(host) = Lab::boot() else { return };
    let base = base();
    host.exec(NIXOS);
    host.exec("touch /etc/bad-bbb-new");
    let words = ["apply", "--confirm-timeout", "3s", "--base", base.path().to_str().unwrap()];
    let failed = host.call(&words, &document("one").to_string()).expect(3).json();
    assert_eq!(failed["outcome"], "rolled_back", "{failed}");
    assert!(host.logs_in(22));
    // Never the boot default, so that a reset would have led back too.
    assert!(!host.exec("cat /var/log/asked").contains("nix-env"));
    assert_eq!(host.exec("readlink /run/current-system /nix/var/nix/profiles/system; grep -c 'aaa-old test' /var/log/asked; ls /etc/nixos"), "/nix/store/aaa-old\nsystem-3-link\n1");
    // Units that fail (4), and an activation that needs a reboot (100).
    for (code, word) in [("4", "units failed"), ("100", "reboot")] {
        host.exec(&format!("rm -f /etc/bad-bbb-new; echo {code} >/etc/exit-bbb-new"));
        let failed = apply(&host, base.path(), &document("one")).expect(69).json();
        let error = failed["error"].to_string();
        assert!(error.contains(word) && failed["outcome"] == "rolled_back", "{failed}");
        assert_eq!(host.exec("readlink /run/current-system"), "/nix/store/aaa-old");
    }
}

#[test]
fn a_flake_that_the_host_fetches_itself() {
    let Some(host) = Lab::boot() else { return };
    host.exec(NIXOS);
    let mut document = desired(
        "lab1",
        &json!([{"id": "system", "nixos": {"attr": "web", "flake": "git+https://git.example/fleet?ref=main"}}]),
    );
    document["access"] = json!({"ssh_ports": [22], "login_users": ["root"]});
    host.apply(&document).expect(0);
    let asked = host.exec("cat /var/log/asked");
    assert!(
        asked.contains("flake metadata --json --refresh --no-update-lock-file git+https://git.example/fleet?ref=main"),
        "{asked}"
    );
    // Built is what was looked at, not what the branch is by then.
    assert!(
        asked.contains(
            "git+https://git.example/fleet?rev=0123456789abcdef0123456789abcdef01234567#nixosConfigurations.\"web\""
        ),
        "{asked}"
    );
    assert_eq!(host.apply(&document).expect(0).json()["changed"], false);
    // With a revision nothing has to be asked.
    host.exec(">/var/log/asked");
    let pinned = document.to_string().replace("ref=main", "rev=0123456789abcdef0123456789abcdef01234567");
    assert_eq!(host.call(&["apply"], &pinned).expect(0).json()["changed"], false);
    assert_eq!(host.exec("cat /var/log/asked"), "");
}

#[test]
fn a_flake_is_checked_before_anything_is_asked() {
    let base = base();
    let plan = |document: &Value| {
        run(
            &["plan", "--target", "ssh://root@127.0.0.1:1", "--base", base.path().to_str().unwrap()],
            &document.to_string(),
        )
    };
    plan(&document("one")).expect(75);
    let with = |change: &dyn Fn(&mut Value)| {
        let mut document = document("one");
        change(&mut document["items"][0]["nixos"]);
        plan(&document).expect(65).stderr
    };
    let lock = with(&|nixos| drop(nixos["files"].as_object_mut().unwrap().remove("flake.lock")));
    assert!(lock.contains("host-provision lock"), "{lock}");
    type Change<'a> = &'a dyn Fn(&mut Value);
    let cases: [(Change<'_>, &str); 5] = [
        (&|nixos| nixos["files"]["secrets/age-key.txt"] = json!({"source": "secrets/age-key.txt"}), "private key"),
        (&|nixos| nixos["files"]["k"] = json!({"content": concat!("AGE-SECRET", "-KEY-1TEST")}), "private key"),
        (&|nixos| nixos["files"]["../x"] = json!({"content": ""}), "plain path"),
        (&|nixos| nixos["files"][".git/config"] = json!({"content": ""}), "plain path"),
        (&|nixos| nixos["flake"] = json!("git+https://x"), "not clear"),
    ];
    for (change, word) in cases {
        let said = with(change);
        assert!(said.contains(word), "{said}");
    }
    let mut both = document("one");
    both["items"].as_array_mut().unwrap().push(json!({"id": "p", "packages": {"present": ["jq"]}}));
    assert!(plan(&both).expect(65).stderr.contains("NixOS configuration"));
    // A sandbox holds the files and says that nothing was built.
    let sandbox = tempfile::tempdir().unwrap();
    let target = format!("sandbox:{}", sandbox.path().display());
    let done =
        run(&["apply", "--target", &target, "--base", base.path().to_str().unwrap()], &document("one").to_string())
            .expect(0)
            .json();
    assert!(sandbox.path().join("etc/nixos/flake.lock").exists());
    assert!(done["changes"].to_string().contains("no system is built"), "{done}");
}

/// A directory of programs to stand in for those of this machine, and a call that finds only them and a few more.
struct Tools(tempfile::TempDir);

impl Tools {
    fn new() -> Self {
        let tools = Self(tempfile::tempdir().unwrap());
        for program in ["sh", "ssh-keygen", "cat", "find", "sort", "sed", "env", "cp", "chmod"] {
            let path =
                ["/usr/bin", "/bin"].iter().map(|place| Path::new(place).join(program)).find(|path| path.exists());
            std::os::unix::fs::symlink(path.unwrap(), tools.0.path().join(program)).unwrap();
        }
        tools
    }

    fn call(&self, args: &[&str], document: &Value, state: &Path) -> Output {
        use std::io::Write;
        let mut child = crate::controller()
            .args(args)
            .env_clear()
            .env("PLUMBLINE_LIB", crate::library())
            .env("PATH", self.0.path())
            .env("HOME", "/nonexistent")
            .env("STATE_DIR", state)
            .env("TMPDIR", self.0.path())
            .env("SECRET_ENCRYPT", self.0.path().join("secret-encrypt"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(document.to_string().as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }
}

#[track_caller]
fn expect(output: &Output, code: i32) -> String {
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(code), "{}\n{said}", String::from_utf8_lossy(&output.stdout));
    said
}

#[test]
fn locks_are_made_where_nix_is() {
    let base = base();
    let state = tempfile::tempdir().unwrap();
    let directory = base.path().to_str().unwrap();
    let lock = base.path().join("flake.lock");
    // No nix and no container.
    let none = Tools::new();
    let said = expect(&none.call(&["lock", "--base", directory], &document("one"), state.path()), 69);
    assert!(said.contains("docker"), "{said}");
    // A local nix sees the declared files and nothing else.
    let local = Tools::new();
    let log = local.0.path().join("asked");
    script(
        local.0.path(),
        "nix",
        &format!(
            "[ \"$1\" = --version ] && exit 0\necho \"$@\" >>{log}\nd=$(echo \"$*\" | sed 's/.*path://')\nfind $d -type f -printf '%P %m\\n' | sort >>{log}\necho '{{\"locked\":1}}' >$d/flake.lock",
            log = log.display()
        ),
    );
    std::fs::remove_file(&lock).unwrap();
    let made = local.call(&["lock", "--base", directory], &document("one"), state.path());
    let said = expect(&made, 0);
    assert!(said.contains("commit it"), "{said}");
    assert_eq!(std::fs::read_to_string(&lock).unwrap(), "{\"locked\":1}\n");
    let asked = std::fs::read_to_string(&log).unwrap();
    assert!(asked.contains("flake lock path:") && asked.ends_with("flake.nix 644\nmodules/own.nix 644\n"), "{asked}");
    // What is locked stays; with --update it is locked anew.
    std::fs::write(&log, "").unwrap();
    expect(&local.call(&["lock", "--base", directory], &document("one"), state.path()), 0);
    assert!(std::fs::read_to_string(&log).unwrap().contains("flake.lock 644"));
    std::fs::write(&log, "").unwrap();
    expect(&local.call(&["lock", "--base", directory, "--update"], &document("one"), state.path()), 0);
    assert!(!std::fs::read_to_string(&log).unwrap().contains("flake.lock 644"));
    // A container gets the staged flake alone, to write to.
    let container = Tools::new();
    let log = container.0.path().join("asked");
    script(container.0.path(), "docker", &format!("[ \"$1\" = --version ] && exit 0\necho \"$@\" >>{}", log.display()));
    expect(
        &container.call(&["lock", "--base", directory, "--image", "nixos/nix:test"], &document("one"), state.path()),
        0,
    );
    let asked = std::fs::read_to_string(&log).unwrap();
    assert!(
        asked.starts_with("run --rm -i -v ")
            && asked.ends_with(
                ":/flake nixos/nix:test nix --extra-experimental-features nix-command flakes flake lock path:/flake\n"
            ),
        "{asked}"
    );
    assert!(!asked.contains(directory), "the fleet's own directory is mounted: {asked}");
    // Nothing of it is left.
    let left = std::fs::read_dir(container.0.path())
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with("plumbline-"))
        .count();
    assert_eq!(left, 0);
}

#[test]
fn an_installation_knows_its_host_before_the_first_boot() {
    let Some(mut host) = Lab::boot() else { return };
    let base = base();
    let state = tempfile::tempdir().unwrap();
    let tools = Tools::new();
    let here = tools.0.path().to_owned();
    host.exec("printf '#!/bin/sh\\necho vda 20000000000 disk QEMU\\necho vdb 1000000000 disk\\n' >/usr/local/bin/lsblk; chmod 755 /usr/local/bin/lsblk");
    let old_key = host.host()["host_key"].clone();
    host.write_inventory(&[22], &old_key);
    std::fs::write(here.join("nixos.sh"), NIXOS).unwrap();
    // The container: says which disks, records what it sees, and "installs".
    let lab = crate::lab::program();
    script(
        &here,
        "docker",
        &format!(
            r#"
[ "$1" = --version ] && exit 0
echo "docker $*" >>{here}/asked
case "$*" in
*" eval "*) echo '["/dev/vda"]';;
*"nixos-anywhere"*)
  for word in "$@"; do case $word in
    *:/work:ro) find "${{word%:/work:ro}}" -printf 'work %m %P\n' | sort >>{here}/asked;;
    *:/extra-files:ro) e=${{word%:/extra-files:ro}}; find "$e" -printf 'extra %m %P\n' | sort >>{here}/asked;;
  esac; done
  export PATH=/usr/sbin:/usr/bin:/sbin:/bin
  {lab} --lab {name} exec 1 -- sh -c 'cat >/etc/ssh/ssh_host_ed25519_key; rm -f /etc/ssh/ssh_host_[re]*sa*; systemctl restart ssh' <$e/etc/ssh/ssh_host_ed25519_key
  {lab} --lab {name} exec 1 -- sh <{here}/nixos.sh;;
esac
"#,
            here = here.display(),
            lab = lab.display(),
            name = host.name
        ),
    );
    let age = here.join("age.txt");
    std::fs::write(&age, concat!("AGE-SECRET", "-KEY-1TEST\n")).unwrap();
    std::fs::write(here.join("manifest.json"), "{}").unwrap();
    script(&here, "secret-encrypt", &format!("echo \"$@\" >>{}/proved", here.display()));
    let key = host.document["key"].as_str().unwrap().to_owned();
    let inventory = host.inventory.path().to_str().unwrap().to_owned();
    let manifest = here.join("manifest.json");
    let common = [
        "install",
        "--hosts",
        &inventory,
        "-i",
        &key,
        "--base",
        base.path().to_str().unwrap(),
        "--wait",
        "20s",
        "--image",
        "nixos/nix:test",
        "--age-key",
        age.to_str().unwrap(),
        "--manifest",
        manifest.to_str().unwrap(),
    ];
    let call = |more: &[&str]| {
        let args: Vec<&str> = common.iter().chain(more).copied().collect();
        tools.call(&args, &document("one"), state.path())
    };
    // Disks are named first.
    let refused = call(&[]);
    let said = expect(&refused, 76);
    assert!(said.contains("/dev/vda (20 GB QEMU)") && said.contains("--allow wipe:/dev/vda"), "{said}");
    expect(&call(&["--allow", "wipe:/dev/vdb"]), 76);
    assert!(!std::fs::read_to_string(here.join("asked")).unwrap().contains("nixos-anywhere"));
    assert!(host.logs_in(22), "still the old host");
    std::fs::write(here.join("asked"), "").unwrap();
    let done = call(&["--allow", "wipe:/dev/vda"]);
    let said = expect(&done, 0);
    let result: Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!((result["outcome"].as_str(), result["changed"].as_bool()), (Some("done"), Some(true)), "{result}");
    assert!(std::fs::read_to_string(here.join("proved")).unwrap().contains("--can-open"));
    let asked = std::fs::read_to_string(here.join("asked")).unwrap();
    let address = host.address();
    for line in [
        &*format!(
            "nixos/nix:test nix --extra-experimental-features nix-command flakes run github:nix-community/nixos-anywhere/1.13.0 -- --flake path:/work#vps-x86 \
            --target-host root@{address} --ssh-port 22 --post-kexec-ssh-port 22 -i /key --extra-files /extra-files --build-on remote --phases kexec,disko,install,reboot"
        ),
        "work 644 flake.lock",
        "work 644 flake.nix",
        "work 755 modules",
        "work 644 modules/own.nix",
        "extra 755 ",
        "extra 755 etc",
        "extra 755 etc/ssh",
        "extra 600 etc/ssh/ssh_host_ed25519_key",
        "extra 644 etc/ssh/ssh_host_ed25519_key.pub",
        "extra 755 var",
        "extra 755 var/lib",
        "extra 700 var/lib/sops-nix",
        "extra 600 var/lib/sops-nix/key.txt",
    ] {
        assert!(asked.contains(line), "{line}\nis not in\n{asked}");
    }
    assert_eq!(asked.matches("work ").count() - 1, 4 + asked.matches("path:/work ").count(), "{asked}");
    assert!(!asked.contains(base.path().to_str().unwrap()), "the fleet's directory is mounted");
    // It ends with an update and a smaller store.
    let log = host.exec("cat /var/log/asked");
    assert!(log.contains("bbb-new boot") && log.ends_with("store optimise"), "{log}");
    // Its new identity is known to later calls, and is what the person is told to commit.
    let remembered: Value =
        serde_json::from_slice(&std::fs::read(state.path().join("hosts/lab1.json")).unwrap()).unwrap();
    assert!(said.contains(remembered["host_keys"][0].as_str().unwrap()), "{said}");
    let found = tools.call(&["facts", "lab1", "--hosts", &inventory, "-i", &key], &json!({}), state.path());
    expect(&found, 0);
    let nothing = tempfile::tempdir().unwrap();
    let stranger = tools.call(&["facts", "lab1", "--hosts", &inventory, "-i", &key], &json!({}), nothing.path());
    expect(&stranger, 77);
}

/// What real nix makes of the module of pull mode; `None` where it is not installed.
fn evaluated(module: &str) -> Option<Value> {
    let there = Command::new("nix-instantiate").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        eprintln!("skipped: nix itself (install: apt-get install nix-bin)");
        return None;
    }
    let here = tempfile::tempdir().unwrap();
    let path = here.path().join("pull.nix");
    std::fs::write(&path, module).unwrap();
    let expression = format!(
        "import {} {{ lib.mkForce = value: {{ forced = value; }}; pkgs.gitMinimal = \"git\"; }}",
        path.display()
    );
    let output = Command::new("nix-instantiate")
        .args(["--eval", "--strict", "--json", "--expr", &expression])
        .env("HOME", here.path())
        .output()
        .unwrap();
    assert!(output.status.success(), "{}\n{module}", String::from_utf8_lossy(&output.stderr));
    Some(serde_json::from_slice(&output.stdout).unwrap())
}

/// The units of the module as NixOS writes them.
fn units_of(module: &Value, name: &str) -> (String, String) {
    let lines = |section: &Value| -> String {
        let line = |(key, value): (&String, &Value)| match value {
            Value::String(text) => format!("{key}={text}\n"),
            other => format!("{key}={other}\n"),
        };
        section.as_object().into_iter().flatten().map(line).collect()
    };
    let (service, timer) = (&module["systemd"]["services"][name], &module["systemd"]["timers"][name]);
    let environment: Vec<String> = service["environment"]
        .as_object()
        .unwrap()
        .iter()
        .map(|(key, value)| format!("Environment={key}={}\n", value.as_str().unwrap()))
        .collect();
    let service = format!(
        "[Unit]\n{}[Service]\n{}{}",
        lines(&service["unitConfig"]),
        environment.concat(),
        lines(&service["serviceConfig"])
    );
    (service, format!("[Timer]\n{}", lines(&timer["timerConfig"])))
}

#[test]
fn a_host_follows_its_flake() {
    let follows = desired(
        "lab1",
        &json!([{"id": "system", "nixos": {"attr": "web", "flake": "git+https://git.example/fleet?ref=main"}}]),
    );
    let module = run(&["pull", "--module", "--every", "1h"], &follows.to_string()).expect(0).stdout;
    let Some(module) = evaluated(&module) else { return };
    let name = "plumbline-pull-fleet";
    assert_eq!(module["system"]["autoUpgrade"]["enable"]["forced"], false);
    assert_eq!(module["environment"]["systemPackages"][0], "git");
    assert_eq!(module["systemd"]["services"][name]["restartIfChanged"], false);
    assert_eq!(module["systemd"]["timers"][name]["wantedBy"][0], "timers.target");

    // A configuration whose files are here is looked at: has it the timer?
    let base = base();
    let directory = base.path().to_str().unwrap();
    let pull = |document: &Value| run(&["pull", "--base", directory], &document.to_string()).expect(0);
    let without = pull(&document("one"));
    assert!(without.stderr.contains("pull --module"), "{}", without.stderr);
    let text = run(&["pull", "--module"], &document("one").to_string()).expect(0).stdout;
    std::fs::write(base.path().join("modules/own.nix"), text).unwrap();
    let with = pull(&document("one"));
    assert_eq!(with.stderr, "");
    // What lay beside the fleet goes along, because the host has none of it.
    let carried =
        with.json()["items"].as_array().unwrap().iter().find(|item| item["id"] == "document").unwrap().clone();
    assert!(carried["file"]["content"].as_str().unwrap().contains("X-StopOnRemoval"), "{carried}");
    let plain = desired("lab1", &json!([{"id": "a", "file": {"path": "/etc/a", "content": "a"}}]));
    assert!(run(&["pull", "--module"], &plain.to_string()).expect(65).stderr.contains("without --module"));
    let mut unlocked = document("one");
    unlocked["items"][0]["nixos"]["files"].as_object_mut().unwrap().remove("flake.lock");
    run(&["pull", "--base", directory], &unlocked.to_string()).expect(65);

    let Some(host) = Lab::boot() else { return };
    host.exec(NIXOS);
    let pull = run(&["pull", "--every", "1h"], &follows.to_string()).expect(0).json();
    // The system does not have the timer yet: said, and nothing stays.
    let early = host.apply(&pull);
    assert!(early.code != 0 && early.stderr.contains("pull --module"), "{} {}", early.code, early.stderr);
    assert_eq!(host.exec("ls /var/lib/plumbline/pull 2>/dev/null"), "");
    let (service, timer) = units_of(&module, name);
    for (kind, text) in [("service", service), ("timer", timer)] {
        host.exec(&format!("cat >/etc/systemd/system/{name}.{kind} <<'EOF'\n{text}EOF"));
    }
    host.exec(&format!("systemctl daemon-reload; systemctl start {name}.timer {name}.service"));
    assert_eq!(host.exec("cat /var/log/asked 2>/dev/null"), "", "without a document it does nothing");
    host.apply(&pull).expect(0);
    assert_eq!(host.apply(&pull).expect(0).json()["changed"], false);

    // The timer's service: fetched, built, tried, and the boot default once the host still reaches its flake.
    let asked =
        || host.exec("grep -v 'nix-env' /var/log/asked | sed 's/--extra-experimental-features nix-command flakes //'");
    host.exec(&format!("systemctl start {name}.service"));
    let first = asked();
    let mut words: Vec<&str> = first.lines().map(|line| line.split(' ').nth(1).unwrap_or_default()).collect();
    words.dedup();
    assert_eq!(words, ["flake", "build", "test", "flake", "boot"], "{first}");
    assert_eq!(host.exec("readlink -f /run/current-system /nix/var/nix/profiles/system | uniq"), "/nix/store/bbb-new");
    // The next time there is nothing new.
    host.exec(&format!(">/var/log/asked; systemctl start {name}.service"));
    assert!(!asked().contains("build"), "{}", asked());

    // A system from which the host cannot fetch any more goes back by itself, and the unit says that it failed.
    host.exec("rm -rf /run/current-system /var/lib/plumbline/nixos/state.json; ln -sfn /nix/store/aaa-old /run/current-system; ln -sfn system-3-link /nix/var/nix/profiles/system; touch /etc/cut-off");
    host.exec(&format!(
        "sed -i 's/--target local/--target local --confirm-timeout 5s/' /etc/systemd/system/{name}.service; systemctl daemon-reload; systemctl start {name}.service"
    ));
    assert_eq!(
        host.exec("readlink -f /run/current-system /nix/var/nix/profiles/system | uniq"),
        "/nix/store/aaa-old",
        "{}",
        host.exec(&format!("journalctl -u {name} --no-pager | tail -n 30"))
    );
    assert_eq!(host.exec(&format!("systemctl is-failed {name}.service")), "failed");
    let said = host.exec(&format!("journalctl -u {name} --no-pager"));
    assert!(said.contains("cannot fetch its flake"), "{said}");
}

/// Debian's own nix, where it is installed: what we write is what it reads.
#[test]
fn real_nix_locks_and_evaluates() {
    let there = Command::new("nix").arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status();
    if !there.is_ok_and(|status| status.success()) {
        eprintln!("skipped: nix itself (install: apt-get install nix-bin)");
        return;
    }
    let base = base();
    std::fs::remove_file(base.path().join("flake.lock")).unwrap();
    let directory = base.path().to_str().unwrap();
    let flake = |disk: &str| {
        let mut document = document("one");
        document["items"][0]["nixos"]["files"]["flake.nix"]["content"] = json!(format!(
            "{{ outputs = {{ self }}: {{ nixosConfigurations.\"vps-x86\".config = {{ disko.devices.disk.main.device = {disk}; own = import ./modules/own.nix; }}; }}; }}\n"
        ));
        document
    };
    let call = |args: &[&str], document: &Value| {
        use std::io::Write;
        let mut child = crate::controller()
            .args(args)
            .env("HOME", base.path())
            .env_remove("STATE_DIR")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(document.to_string().as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    };
    expect(&call(&["lock", "--nix", "local", "--base", directory], &flake("\"/dev/vda\"")), 0);
    let lock = std::fs::read_to_string(base.path().join("flake.lock")).unwrap();
    assert!(lock.contains("\"version\": 7"), "{lock}");
    // The disks are read before the host is asked, which is not there.
    let key = crate::bootstrap::key_pair(base.path(), "key");
    let install = [
        "install",
        "--nix",
        "local",
        "--base",
        directory,
        "-i",
        key.to_str().unwrap(),
        "--target",
        "ssh://root@127.0.0.1:1",
        "--allow",
        "wipe:/dev/vda",
    ];
    expect(&call(&install, &flake("\"/dev/vda\"")), 75);
    let said = expect(&call(&install, &flake("throw \"no disk\"")), 69);
    assert!(said.contains("no disk"), "{said}");
}
