//! A whole NixOS system: its flake placed, built on the host, activated, and made the boot default once access is proven.

use std::time::Duration;

use contract::Exit;
use contract::document::{Nixos, NixosFile, NixosSwitch, Op};
use serde::{Deserialize, Serialize};

use super::{Kind, Thing, View};
use crate::engine::apply::Apply;
use crate::engine::entry::{Access, Content, Difference, Entry, Node};
use crate::engine::hash::sha256;
use crate::engine::host::Host;
use crate::engine::owned::absent;
use crate::engine::process::Process;
use crate::engine::run::Run;
use crate::engine::undo::Undo;
use crate::fault::{Fault, Outcome};

/// What runs.
const CURRENT: &str = "/run/current-system";
/// What boots.
const PROFILE: &str = "/nix/var/nix/profiles/system";
/// The copy that is built: the files of the item and nothing else, because Nix copies all of a flake into its store,
/// which everybody may read.
const STAGED: &str = "/var/lib/plumbline/nixos/flake";
/// What was built from what.
const STATE: &str = "/var/lib/plumbline/nixos/state.json";
/// How long a build may take.
const BUILD: Duration = Duration::from_secs(4 * 3600);

pub(super) struct NixosKind<'a>(pub(super) &'a Nixos);

#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
struct State {
    /// Hash of the files, or the locked reference of a flake.
    source: String,
    /// The store path that was built from it.
    system: String,
}

fn nix(args: &[&str]) -> Process {
    let mut argv = vec!["nix", "--extra-experimental-features", "nix-command flakes"];
    argv.extend(args);
    Process::new(argv).timeout(BUILD)
}

fn target(host: &Host, link: &str) -> String {
    std::fs::canonicalize(host.tree.real(link)).map(|path| path.to_string_lossy().into_owned()).unwrap_or_default()
}

/// The generation that boots: the number in `system-43-link`.
fn generation() -> Option<String> {
    let link = std::fs::read_link(PROFILE).ok()?;
    let name = link.file_name()?.to_str()?.to_owned();
    Some(name.strip_prefix("system-")?.strip_suffix("-link")?.to_owned())
}

/// The way to a system of a flake, its attribute quoted because a name may have dots.
fn installable(flake: &str, attr: &str) -> String {
    format!("{flake}#nixosConfigurations.\"{attr}\".config.system.build.toplevel")
}

/// Whether a reference names one revision for ever.
fn is_pinned(flake: &str) -> bool {
    flake.split(['?', '&', '/']).any(|word| {
        let word = word.strip_prefix("rev=").unwrap_or(word);
        word.len() == 40 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

impl NixosKind<'_> {
    fn hash_of(file: &NixosFile) -> String {
        match (&file.content, &file.sha256) {
            (Some(text), _) => sha256(text.as_bytes()),
            (None, Some(hash)) => hash.clone(),
            (None, None) => String::new(),
        }
    }

    /// What the system is built from, as it is now: the same source gives the same system.
    fn source(&self) -> Outcome<String> {
        let Some(flake) = &self.0.flake else {
            let lines: Vec<String> =
                self.0.files.iter().map(|(path, file)| format!("{path}\0{}\n", Self::hash_of(file))).collect();
            return Ok(format!("{} {}", self.0.attr, sha256(lines.concat().as_bytes())));
        };
        if is_pinned(flake) {
            return Ok(flake.clone());
        }
        let asked = nix(&["flake", "metadata", "--json", "--refresh", "--no-update-lock-file", flake]).succeed()?;
        let metadata: serde_json::Value = serde_json::from_str(&asked.stdout).unwrap_or_default();
        match metadata.get("url").and_then(serde_json::Value::as_str) {
            Some(url) => Ok(url.to_owned()),
            None => {
                Err(Fault::new(Exit::Unavailable, "no_revision", "nix does not say which revision the flake is at")
                    .place(flake))
            }
        }
    }

    fn state(host: &Host) -> State {
        serde_json::from_str(&host.text(STATE)).unwrap_or_default()
    }

    /// Copies the files of the item to where they are built.
    fn stage(&self, host: &Host) -> Outcome<()> {
        let real = host.tree.real(STAGED);
        let failed = |error: std::io::Error| Fault::io("stage the flake", STAGED, &error);
        if real.exists() {
            std::fs::remove_dir_all(&real).map_err(failed)?;
        }
        host.tree.make_state_directory(STAGED, 0o700)?;
        for path in self.0.files.keys() {
            let bytes = host.tree.read(&format!("{}/{path}", self.0.directory))?.unwrap_or_default();
            let place = real.join(path);
            place.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
            std::fs::write(&place, bytes).map_err(failed)?;
        }
        Ok(())
    }

    fn build(&self, source: &str, host: &Host) -> Outcome<String> {
        let flake = if self.0.flake.is_some() {
            source.to_owned()
        } else {
            self.stage(host)?;
            format!("path:{STAGED}")
        };
        let wanted = installable(&flake, &self.0.attr);
        let built = nix(&["build", "--no-link", "--print-out-paths", "--no-update-lock-file", &wanted])
            .succeed()
            .map_err(|fault| fault.hint("the system that runs is untouched; correct the configuration"))?;
        match built.stdout.lines().last().map(str::trim) {
            Some(path) if path.starts_with("/nix/store/") => Ok(path.to_owned()),
            _ => Err(Fault::new(Exit::Unavailable, "no_system", "nix built no system").cause(built.last_words())),
        }
    }
}

impl Kind for NixosKind<'_> {
    fn label(&self) -> &'static str {
        "nixos"
    }

    fn name(&self) -> String {
        self.0.attr.clone()
    }

    fn left_out(&self) -> Option<&'static str> {
        Some("the files of the flake are placed; no system is built")
    }

    fn entries(&self, view: View<'_>) -> Outcome<Vec<Entry>> {
        let access = Access { mode: 0o644, owner: "root".into(), group: "root".into() };
        let entry = |(path, file): (&String, &NixosFile)| {
            let content = match (&file.content, &file.sha256) {
                (Some(text), _) => Content::new(text.as_bytes()),
                (None, Some(hash)) => Content { sha256: hash.clone(), bytes: view.blobs.get(hash) },
                (None, None) => {
                    return Err(Fault::new(Exit::BadDocument, "no_content", "the file has no content").place(path));
                }
            };
            let node = Node::File { content, access: access.clone(), validate: Vec::new(), keep_existing: false };
            Ok(Entry { path: format!("{}/{path}", self.0.directory), node })
        };
        self.0.files.iter().map(entry).collect()
    }

    fn things(&self, view: View<'_>) -> Outcome<Vec<Thing>> {
        let mut things: Vec<Thing> =
            self.entries(view)?.into_iter().map(|entry| Thing { kind: entry.kind(), name: entry.path }).collect();
        things.push(Thing { kind: "nixos", name: self.0.attr.clone() });
        Ok(things)
    }

    fn observe(&self, view: View<'_>) -> Outcome<Difference> {
        let mut all = Difference::default();
        for entry in self.entries(view)? {
            all.merge(entry.compare(view.host)?);
        }
        if view.host.sandbox {
            return Ok(all);
        }
        if !view.host.exists("/etc/NIXOS") {
            return Err(Fault::new(Exit::Unavailable, "not_nixos", "the host does not run NixOS")
                .hint("install it first: host-provision install"));
        }
        let (running, boot) = (target(view.host, CURRENT), target(view.host, PROFILE));
        let state = Self::state(view.host);
        let source = self.source()?;
        let mut why = Vec::new();
        if state.source != source {
            why.push("configuration".to_owned());
        } else if self.0.switch != NixosSwitch::Boot && running != state.system {
            why.push("running system".into());
        }
        if state.source == source && boot != state.system {
            why.push("boot default".into());
        }
        let observed = format!("nixos {running} {boot} {} {source}", state.source);
        let op = (!why.is_empty()).then_some(Op::Update);
        all.merge(Difference { op, why, observed, ..Difference::default() });
        all.op = all.op.map(|_| Op::Update);
        Ok(all)
    }

    fn converge(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        for entry in self.entries(apply.view())? {
            apply.place(&entry)?;
        }
        apply.own("nixos", &self.0.attr, None, true, absent());
        apply.barrier()?;
        if apply.host.sandbox {
            return Ok(());
        }
        let source = self.source()?;
        let system = self.build(&source, apply.host)?;
        let (running, boot) = (target(apply.host, CURRENT), target(apply.host, PROFILE));
        apply.run.back_up_state(apply.host, STATE)?;
        apply.run.note(&Undo::Nixos { running, boot })?;
        apply.run.sync()?;
        match self.0.switch {
            NixosSwitch::TestThenBoot => {
                // Until access is proven a reboot leads back to the system from before.
                apply.run.record.boot = Some(system.clone());
                apply.run.save()?;
                switch_to(&system, "test")?;
            }
            NixosSwitch::Switch => {
                set_profile(&system)?;
                switch_to(&system, "switch")?;
            }
            NixosSwitch::Boot => {
                set_profile(&system)?;
                switch_to(&system, "boot")?;
            }
        }
        let state = serde_json::to_vec(&State { source, system }).unwrap_or_default();
        apply.host.write_state(STATE, &state)?;
        apply.host.forget_packages();
        Ok(())
    }

    fn remember(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        for entry in self.entries(apply.view())? {
            apply.remember(&entry)?;
        }
        apply.own("nixos", &self.0.attr, None, true, absent());
        Ok(())
    }
}

fn set_profile(system: &str) -> Outcome<()> {
    Process::new(["nix-env", "--profile", PROFILE, "--set", system]).succeed().map(drop)
}

/// Activates a system. Its exits: 4 some units failed, 100 a reboot is needed.
fn switch_to(system: &str, how: &str) -> Outcome<()> {
    let ended = Process::new([&*format!("{system}/bin/switch-to-configuration"), how])
        .timeout(Duration::from_secs(1800))
        .run()?;
    let fault = |code: &str, message: &str| {
        Err(Fault::new(Exit::Unavailable, code, message).place(system).cause(ended.last_words()))
    };
    match ended.code {
        0 => Ok(()),
        4 => fault("units_failed", "the system was activated, but some of its units failed"),
        100 => fault("needs_reboot", "the system cannot be activated without a reboot")
            .map_err(|fault: Fault| fault.hint("set \"switch\": \"boot\" and reboot the host")),
        _ => fault("switch_failed", &format!("the system could not be activated ({how})")),
    }
}

/// Asks for the flake once more, on the system that was just activated. One that never moves needs not be asked for.
///
/// # Errors
/// 75 where it cannot be fetched.
pub fn still_fetches(nixos: &Nixos) -> Outcome<()> {
    let Some(flake) = nixos.flake.as_ref().filter(|flake| !is_pinned(flake)) else { return Ok(()) };
    let asked = nix(&["flake", "metadata", "--json", "--refresh", "--no-update-lock-file", flake])
        .timeout(Duration::from_secs(30))
        .run()?;
    if asked.good() {
        return Ok(());
    }
    let message = "with the new system the host cannot fetch its flake any more";
    Err(Fault::new(Exit::TryAgain, "flake_unreachable", message).place(flake).cause(asked.last_words()))
}

/// Access is proven: the activated system becomes the one that boots. Says which generation it is.
///
/// # Errors
/// 69 where nix or the boot loader refuse.
pub fn make_boot_default(run: &mut Run) -> Outcome<Option<String>> {
    let Some(system) = run.record.boot.clone() else { return Ok(None) };
    let before = generation();
    set_profile(&system)?;
    switch_to(&system, "boot")?;
    run.record.boot = None;
    run.save()?;
    let name = |generation: Option<String>| generation.unwrap_or_else(|| "none".into());
    Ok(Some(format!("generation {} -> {}: {system}", name(before), name(generation()))))
}

/// Puts back what ran and what booted before.
///
/// # Errors
/// 69 where the old system cannot be activated.
pub fn restore_system(running: &str, boot: &str) -> Outcome<()> {
    let host = Host::machine();
    if !running.is_empty() && target(&host, CURRENT) != running {
        switch_to(running, "test")?;
    }
    restore_boot(boot)
}

/// Puts back what booted before.
///
/// # Errors
/// As [`restore_system`].
pub fn restore_boot(boot: &str) -> Outcome<()> {
    let host = Host::machine();
    if boot.is_empty() || target(&host, PROFILE) == boot {
        return Ok(());
    }
    set_profile(boot)?;
    switch_to(boot, "boot")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn references_that_never_move() {
        let rev = "0123456789abcdef0123456789abcdef01234567";
        assert!(is_pinned(&format!("git+https://git.example/fleet?ref=main&rev={rev}")));
        assert!(is_pinned(&format!("github:owner/fleet/{rev}")));
        assert!(!is_pinned("git+https://git.example/fleet?ref=main"));
        assert_eq!(installable("path:/x", "a.b"), "path:/x#nixosConfigurations.\"a.b\".config.system.build.toplevel");
    }
}
