//! The helper for other processors, run by qemu in a directory that stands in for a host.

use std::io::{Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use contract::FileMode;
use contract::document::{File, HostDesired, HostItem};
use host_provision::wire::{ApplyOptions, Frame, Reply, Request, Work, parse, read_frame, write_json};

use crate::full_tier;

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// A program for a processor, built by the script that users build it with; `None` where that cannot be done here.
fn built(arch: &str, program: &str) -> Option<PathBuf> {
    let script = root().join("tools/host-provision/build-for-hosts");
    let output = Command::new(script).args([arch, "--", program]).env("PROFILE", "dev").output().unwrap();
    if output.status.success() {
        return Some(PathBuf::from(String::from_utf8_lossy(&output.stdout).lines().last()?));
    }
    eprintln!(
        "skipped: {program} for {arch} ({})",
        String::from_utf8_lossy(&output.stderr).lines().last().unwrap_or_default()
    );
    let required = std::env::var_os("PLUMBLINE_REQUIRE_PEERS").is_some_and(|value| value == "1");
    assert!(!required, "{program} for {arch} is required: {}", String::from_utf8_lossy(&output.stderr));
    None
}

fn executable(path: &Path, bytes: &[u8]) {
    std::fs::write(path, bytes).unwrap();
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

struct Emulated {
    child: Child,
    input: ChildStdin,
    output: ChildStdout,
}

impl Emulated {
    fn start(host: &Path) -> Self {
        let mut child = Command::new("chroot")
            .arg(host)
            .args(["/qemu", "/helper", "serve"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        Self { child, input, output }
    }

    fn ask(&mut self, request: &Request) -> Reply {
        write_json(&mut self.input, request).unwrap();
        loop {
            match read_frame(&mut self.output).unwrap() {
                Frame::Good(_, payload) => match parse(&payload).unwrap() {
                    Reply::Started { .. } | Reply::Progress(_) | Reply::Alive => {}
                    reply => return reply,
                },
                other => panic!("{other:?}"),
            }
        }
    }
}

impl Drop for Emulated {
    fn drop(&mut self) {
        let _ = self.input.flush();
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn converges(arch: &str, qemu: &str) {
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: the helper for {arch} (install: run as root)");
        return;
    }
    let Ok(emulator) = std::fs::read(qemu) else {
        eprintln!("skipped: the helper for {arch} (install: qemu-user-static)");
        return;
    };
    let (Some(helper), Ok(busybox)) = (built(arch, "host-provision-helper"), std::fs::read("/bin/busybox")) else {
        return;
    };
    let host = tempfile::tempdir().unwrap();
    let host = host.path();
    for directory in ["bin", "dev", "etc", "proc", "run", "var/lib", "tmp"] {
        std::fs::create_dir_all(host.join(directory)).unwrap();
    }
    std::fs::write(host.join("etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n").unwrap();
    std::fs::write(host.join("etc/group"), "root:x:0:\n").unwrap();
    executable(&host.join("qemu"), &emulator);
    executable(&host.join("helper"), &std::fs::read(helper).unwrap());
    executable(&host.join("bin/sh"), &busybox);
    std::fs::write(host.join("dev/null"), "").unwrap();
    // The worker that outlives the connection needs the emulator as well: of `sh -c SCRIPT sh HELPER AFTER ARGS...` what
    // the script would do with a helper that can be run.
    executable(
        &host.join("bin/setsid"),
        b"#!/bin/sh\nshift 4; h=$1; a=$2; shift 2\n{ /qemu $h \"$@\"; /qemu $h $a; } &\n",
    );
    let file = File {
        path: "/etc/made".into(),
        mode: FileMode::new(0o640),
        owner: "root".into(),
        group: "root".into(),
        content: Some("from afar\n".into()),
        content_base64: None,
        source: None,
        sha256: None,
        validate: Vec::new(),
        set: None,
        keep_existing: false,
    };
    let item = HostItem { id: "a".into(), file: Some(file), ..HostItem::default() };
    let desired = HostDesired { host: "h".into(), owner: "fleet".into(), items: vec![item], ..HostDesired::default() };
    let work = Work { desired, ..Work::default() };
    let mut emulated = Emulated::start(host);
    match emulated.ask(&Request::Plan(Box::new(work.clone()))) {
        Reply::Plan(plan) => assert_eq!(plan.summary.create, 1),
        other => panic!("{other:?}"),
    }
    match emulated.ask(&Request::Apply(Box::new(work.clone()), ApplyOptions::default())) {
        Reply::Result(result) => assert!(result.changed, "{result:?}"),
        other => panic!("{other:?}"),
    }
    assert_eq!(std::fs::read_to_string(host.join("etc/made")).unwrap(), "from afar\n");
    let mode = std::fs::metadata(host.join("etc/made")).unwrap().permissions().mode();
    assert_eq!(mode & 0o7777, 0o640);
    match emulated.ask(&Request::Apply(Box::new(work), ApplyOptions::default())) {
        Reply::Result(result) => assert!(!result.changed, "{result:?}"),
        other => panic!("{other:?}"),
    }
    let mut rest = Vec::new();
    drop(emulated);
    let _ = std::fs::File::open(host.join("etc/made")).unwrap().read_to_end(&mut rest);
}

#[test]
fn the_helper_of_aarch64_converges() {
    if full_tier() {
        converges("aarch64", "/usr/bin/qemu-aarch64-static");
    }
}

#[test]
fn the_helper_of_armv7_converges() {
    if full_tier() {
        converges("armv7", "/usr/bin/qemu-arm-static");
    }
}

/// Programs with cryptography in C, which a cross compiler builds: Debian's where it is installed, else zig.
#[test]
fn programs_with_cryptography_for_aarch64() {
    let qemu = Path::new("/usr/bin/qemu-aarch64-static");
    if !full_tier() {
        return;
    }
    if !qemu.exists() {
        eprintln!("skipped: programs for aarch64 (install: qemu-user-static)");
        return;
    }
    for program in ["pg-ensure", "health-probe"] {
        let Some(path) = built("aarch64", program) else { continue };
        let said = Command::new(qemu).arg(&path).arg("--version").output().unwrap();
        assert!(said.status.success() && said.stdout.starts_with(program.as_bytes()), "{said:?}");
    }
}
