//! File systems of fstab(5): one line there, and the mount itself. systemd makes its units from the same line, so that
//! `RequiresMountsFor=` of other units finds it.

use std::path::PathBuf;

use contract::document::{Mount, Op, Original, OwnedThing, SavedOriginal};
use contract::{Exit, FileMode};

use super::{Kind, Thing, View};
use crate::engine::apply::Apply;
use crate::engine::entry::{Access, Content, Difference, Entry, Node};
use crate::engine::hash::sha256;
use crate::engine::host::Host;
use crate::engine::owned::{absent, existed, keep, original_bytes};
use crate::engine::process::Process;
use crate::engine::tree::Live;
use crate::engine::undo::Undo;
use crate::engine::units::systemctl;
use crate::fault::{Fault, Outcome};

const FSTAB: &str = "/etc/fstab";

pub(super) struct MountKind<'a>(pub(super) &'a Mount);

/// What is mounted at a path.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Mounted {
    fstype: String,
    source: String,
}

impl MountKind<'_> {
    fn has(&self, option: &str) -> bool {
        self.0.options.iter().any(|given| given == option)
    }

    /// The line of fstab. A disk that is missing must not keep the host from booting, or nobody gets in to mend it: the
    /// units that need it wait for it all the same.
    fn line(&self) -> String {
        let mut options = self.0.options.clone();
        if options.is_empty() {
            options.push("defaults".into());
        }
        if !self.has("nofail") && !self.has("noauto") {
            options.push("nofail".into());
        }
        let checked = ["ext2", "ext3", "ext4", "f2fs", "vfat"].contains(&self.0.fstype.as_str());
        let pass = if checked && !self.has("bind") { 2 } else { 0 };
        let Mount { device, path, fstype, .. } = self.0;
        format!("{} {} {} {} 0 {pass}", escape(device), escape(path), escape(fstype), escape(&options.join(",")))
    }

    fn fstab(&self, host: &Host) -> Outcome<Entry> {
        fstab(host, &with_line(&host.text(FSTAB), &self.0.path, Some(&self.line())))
    }

    /// The device node that is named, directly or by a tag; none for remote shares and such.
    fn node(&self) -> Option<PathBuf> {
        match self.0.device.split_once('=') {
            Some((kind @ ("UUID" | "LABEL" | "PARTUUID" | "PARTLABEL" | "ID"), value)) => {
                Some(PathBuf::from(format!("/dev/disk/by-{}/{value}", kind.to_ascii_lowercase())))
            }
            _ => Some(PathBuf::from(&self.0.device)).filter(|path| path.starts_with("/dev/")),
        }
    }

    /// Whether what is mounted is not what shall be.
    fn is_other(&self, live: &Mounted) -> bool {
        let wanted = self.0;
        if live.fstype == "autofs" || self.has("bind") || self.has("rbind") {
            return false;
        }
        let family = |name: &str| name.trim_end_matches(|last: char| last.is_ascii_digit()).to_owned();
        let same_type = wanted.fstype == "auto" || family(&wanted.fstype) == family(&live.fstype);
        let device = self.node().and_then(|node| std::fs::canonicalize(node).ok());
        // A device that is not there (yet) cannot be compared.
        let same_device = device.is_none_or(|device| {
            std::fs::canonicalize(&live.source).map_or(live.source == device.to_string_lossy(), |live| live == device)
        });
        !same_type || !same_device
    }

    /// Turns an automount on instead of the mount, where the options say so and systemd is there to do it.
    fn mount(&self, host: &Host) -> Outcome<()> {
        if self.has("x-systemd.automount") && host.has_systemd() {
            return systemctl(None, &["start", "--", &unit_name(&self.0.path, "automount")]).succeed().map(drop);
        }
        mount(&self.0.path)
    }
}

impl Kind for MountKind<'_> {
    fn label(&self) -> &'static str {
        "mount"
    }

    fn name(&self) -> String {
        self.0.path.clone()
    }

    fn needs_system(&self) -> bool {
        true
    }

    fn things(&self, _view: View<'_>) -> Outcome<Vec<Thing>> {
        Ok(vec![Thing { kind: "mount", name: self.0.path.clone() }])
    }

    fn observe(&self, view: View<'_>) -> Outcome<Difference> {
        let mut found = self.fstab(view.host)?.compare(view.host)?;
        if found.op.is_some() {
            found.why = vec![FSTAB.into()];
        }
        let live = mounted(view.host, &self.0.path);
        match &live {
            None if !self.has("noauto") => found.why.push("not mounted".into()),
            Some(live) if self.is_other(live) => found.why.push(format!("{} is mounted there", live.source)),
            _ => {}
        }
        let known = live.is_some() || line_of(&view.host.text(FSTAB), &self.0.path).is_some();
        found.op = (!found.why.is_empty()).then_some(if known { Op::Update } else { Op::Create });
        found.observed.push_str(&format!("\n{live:?}"));
        Ok(found)
    }

    fn converge(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        let path = &self.0.path;
        // Files with credentials are in place then, and so is what this directory is in.
        apply.barrier()?;
        if let Some(node) = self.node().filter(|node| !self.has("noauto") && !node.exists()) {
            // Before what is mounted now is taken away for it.
            let message = format!("the host has no device {}", node.display());
            return Err(Fault::new(Exit::Unavailable, "no_device", message)
                .place(path)
                .hint("`lsblk --fs` on the host shows its devices, labels and UUIDs"));
        }
        self.remember(apply)?;
        apply.save_owned()?;
        let live = mounted(apply.host, path);
        let replaced = live.as_ref().is_some_and(|live| self.is_other(live));
        let stays = live.is_some() && !replaced;
        let changes = self.fstab(apply.host)?.compare(apply.host)?.op.is_some();
        if live.is_some() && (replaced || changes) {
            apply.run.note(&Undo::Mount { path: path.clone(), mounted: true })?;
            apply.run.sync()?;
        }
        if replaced {
            unmount(path)?;
        }
        // The mount point itself, as a directory of root's where there is none.
        apply.make_parents(&format!("{path}/-"))?;
        apply.place_unowned(&self.fstab(apply.host)?)?;
        apply.barrier()?;
        apply.manager_is_stale |= changes;
        apply.reload_manager()?;
        if stays && changes {
            return Process::new(["mount", "-o", "remount", "--", path]).succeed().map(drop).map_err(|fault| {
                fault.place(path).hint(
                    "some options need the file system to be taken away first: umount it by hand, or undo the change",
                )
            });
        }
        if !stays && !self.has("noauto") {
            apply.run.note(&Undo::Mount { path: path.clone(), mounted: false })?;
            apply.run.sync()?;
            self.mount(apply.host)?;
        }
        Ok(())
    }

    fn remember(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        let line = self.line();
        let original = match line_of(&apply.host.text(FSTAB), &self.0.path) {
            None => absent(),
            Some(old) if old == line => existed(),
            // A line of somebody else's comes back when we leave.
            Some(old) => {
                let sha256 = keep(apply.host, old.as_bytes())?;
                let saved = SavedOriginal { sha256, mode: FileMode::new(0o644), uid: 0, gid: 0 };
                Original { saved: Some(saved), ..Original::default() }
            }
        };
        apply.own("mount", &self.0.path, Some(sha256(line.as_bytes())), false, original);
        Ok(())
    }
}

/// The whole file with this text. Its mode and owner stay: somebody may have taken it from others for what it holds.
fn fstab(host: &Host, text: &str) -> Outcome<Entry> {
    let access = match host.tree.look(FSTAB)? {
        Live::File(live) => Access { mode: live.mode, owner: live.uid.to_string(), group: live.gid.to_string() },
        _ => Access::root(0o644),
    };
    let content = Content::new(text.as_bytes());
    let node = Node::File { content, access, validate: Vec::new(), keep_existing: false };
    Ok(Entry { path: FSTAB.into(), node })
}

/// What has to be done to a mount that is no longer declared.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Leaving {
    /// The line is ours still.
    Ours {
        /// What was there before us is given back.
        back: bool,
        /// What was observed.
        observed: String,
    },
    /// Others changed the line.
    Changed,
    /// The line is gone, or was there before us.
    Gone,
}

/// Looks at a mount that is no longer declared.
pub fn leaving(host: &Host, thing: &OwnedThing) -> Leaving {
    match line_of(&host.text(FSTAB), &thing.name) {
        Some(_) if thing.original.existed.is_some() => Leaving::Gone,
        Some(line) if Some(sha256(line.as_bytes())) == thing.sha256 => Leaving::Ours {
            back: thing.original.saved.is_some(),
            observed: format!("{line} {:?}", mounted(host, &thing.name)),
        },
        Some(_) => Leaving::Changed,
        None => Leaving::Gone,
    }
}

/// Takes a mount away that is no longer declared; a line that was there before us comes back.
///
/// # Errors
/// 69 where the file system is in use, and those of the system.
pub fn take_away(apply: &mut Apply<'_>, thing: &OwnedThing) -> Outcome<()> {
    let path = &thing.name;
    apply.barrier()?;
    let was = mounted(apply.host, path).is_some();
    if was {
        apply.run.note(&Undo::Mount { path: path.clone(), mounted: true })?;
        apply.run.sync()?;
        unmount(path)?;
    }
    let old = match &thing.original.saved {
        Some(saved) => Some(String::from_utf8_lossy(&original_bytes(apply.host, &saved.sha256)?).into_owned()),
        None => None,
    };
    let text = with_line(&apply.host.text(FSTAB), path, old.as_deref());
    apply.place_unowned(&fstab(apply.host, &text)?)?;
    apply.barrier()?;
    apply.manager_is_stale = true;
    apply.reload_manager()?;
    if was && old.is_some_and(|line| !line.contains("noauto")) {
        apply.run.note(&Undo::Mount { path: path.clone(), mounted: false })?;
        apply.run.sync()?;
        mount(path)?;
    }
    Ok(())
}

/// Brings a mount back to what it was, after its line of fstab is back.
///
/// # Errors
/// 69 where the system refuses.
pub fn restore(host: &Host, path: &str, before: bool) -> Outcome<()> {
    match (before, mounted(host, path)) {
        (true, None) => mount(path),
        (false, Some(_)) => unmount(path),
        // With the options of the old line; what cannot be remounted (a bind) has none.
        (true, Some(_)) => Process::new(["mount", "-o", "remount", "--", path]).run().map(drop),
        (false, None) => Ok(()),
    }
}

fn mount(path: &str) -> Outcome<()> {
    Process::new(["mount", "--", path]).succeed().map(drop).map_err(|fault| {
        fault.place(path).hint("check device, type and options; the program that mounts this type may be in a package of its own (nfs-common, cifs-utils)")
    })
}

fn unmount(path: &str) -> Outcome<()> {
    Process::new(["umount", "--", path]).succeed().map(drop).map_err(|fault| {
        fault
            .place(path)
            .hint("stop what uses the file system first: declare its unit as stopped, or take its items out as well")
    })
}

/// What is mounted at a path, from the kernel's own mouth (proc_pid_mountinfo(5)); the topmost one counts.
fn mounted(host: &Host, path: &str) -> Option<Mounted> {
    let table = host.text("/proc/self/mountinfo");
    let wanted = path.trim_end_matches('/');
    table.lines().rev().find_map(|line| {
        let (left, right) = line.split_once(" - ")?;
        if unescape(left.split(' ').nth(4)?) != wanted {
            return None;
        }
        let mut words = right.split(' ');
        Some(Mounted { fstype: words.next()?.to_owned(), source: unescape(words.next()?) })
    })
}

/// The mount point that a line of fstab(5) names.
fn point_of(line: &str) -> Option<String> {
    let line = line.trim();
    if line.starts_with('#') {
        return None;
    }
    let point = unescape(line.split_whitespace().nth(1)?);
    Some(if point == "/" { point } else { point.trim_end_matches('/').to_owned() })
}

fn is_for(line: &str, path: &str) -> bool {
    point_of(line).is_some_and(|point| point == path.trim_end_matches('/'))
}

fn line_of(fstab: &str, path: &str) -> Option<String> {
    fstab.lines().find(|line| is_for(line, path)).map(str::to_owned)
}

/// The text with this line for a mount point, or with none.
fn with_line(fstab: &str, path: &str, line: Option<&str>) -> String {
    let mut lines: Vec<&str> = Vec::new();
    let mut placed = false;
    for old in fstab.lines() {
        if !is_for(old, path) {
            lines.push(old);
        } else if !placed {
            lines.extend(line);
            placed = true;
        }
    }
    if !placed {
        lines.extend(line);
    }
    lines.iter().flat_map(|line| [*line, "\n"]).collect()
}

/// Fields of fstab(5) are separated by blanks, which are written as octal numbers inside one.
fn escape(field: &str) -> String {
    field.replace('\\', "\\134").replace(' ', "\\040").replace('\t', "\\011").replace('\n', "\\012")
}

fn unescape(field: &str) -> String {
    let bytes = field.as_bytes();
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        let octal = bytes.get(at + 1..at + 4).filter(|_| bytes[at] == b'\\');
        let value = octal.and_then(|digits| u8::from_str_radix(std::str::from_utf8(digits).ok()?, 8).ok());
        match value {
            Some(value) => {
                out.push(value);
                at += 4;
            }
            None => {
                out.push(bytes[at]);
                at += 1;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// The unit that systemd makes for a path (systemd.unit(5), "String Escaping for Inclusion in Unit Names").
fn unit_name(path: &str, suffix: &str) -> String {
    let trimmed = path.trim_matches('/');
    if trimmed.is_empty() {
        return format!("-.{suffix}");
    }
    let mut name = String::new();
    for (index, byte) in trimmed.bytes().enumerate() {
        match byte {
            b'/' => name.push('-'),
            b'.' if index == 0 => name.push_str("\\x2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b':' | b'_' | b'.' => name.push(byte as char),
            _ => name.push_str(&format!("\\x{byte:02x}")),
        }
    }
    format!("{name}.{suffix}")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use proptest::prelude::*;

    use super::*;

    fn item(options: &[&str]) -> Mount {
        Mount {
            path: "/srv/my data".into(),
            device: "LABEL=big disk".into(),
            fstype: "ext4".into(),
            options: options.iter().map(|option| (*option).to_owned()).collect(),
        }
    }

    #[test]
    fn a_missing_disk_never_keeps_the_host_from_booting() {
        let line = |options: &[&str]| MountKind(&item(options)).line();
        assert_eq!(line(&[]), "LABEL=big\\040disk /srv/my\\040data ext4 defaults,nofail 0 2");
        assert_eq!(line(&["ro", "nofail"]), "LABEL=big\\040disk /srv/my\\040data ext4 ro,nofail 0 2");
        assert_eq!(line(&["bind", "noauto"]), "LABEL=big\\040disk /srv/my\\040data ext4 bind,noauto 0 0");
    }

    #[test]
    fn only_the_line_of_the_mount_point_changes() {
        let fstab = "# /srv/data is ours\nUUID=1 / ext4 errors=remount-ro 0 1\nold /srv/data nfs ro 0 0\n";
        let new = with_line(fstab, "/srv/data", Some("new /srv/data nfs rw 0 0"));
        assert_eq!(new, fstab.replace("old /srv/data nfs ro", "new /srv/data nfs rw"));
        assert_eq!(with_line(&new, "/srv/data", Some("old /srv/data nfs ro 0 0")), fstab);
        assert_eq!(with_line("", "/a", Some("x /a y z 0 0")), "x /a y z 0 0\n");
        assert_eq!(with_line("x /a/ y z 0 0\n", "/a", None), "");
        assert_eq!(line_of(fstab, "/srv"), None);
    }

    #[test]
    fn units_as_systemd_escape_names_them() {
        assert_eq!(unit_name("/srv/my-data", "mount"), "srv-my\\x2ddata.mount");
        assert_eq!(unit_name("/.x/y z", "automount"), "\\x2ex-y\\x20z.automount");
    }

    proptest! {
        #[test]
        fn fields_come_back(text in "\\PC{0,20}") {
            prop_assert_eq!(unescape(&escape(&text)), text);
        }

        #[test]
        fn other_lines_stay(fstab in "(#?[a-z/]{1,6} /[a-z]{1,3} ext4 ro 0 0\n){0,6}", path in "/[a-z]{1,3}") {
            let line = format!("dev {path} ext4 rw 0 0");
            let with = with_line(&fstab, &path, Some(&line));
            prop_assert_eq!(line_of(&with, &path), Some(line.clone()));
            prop_assert_eq!(with_line(&with, &path, Some(&line)), with.clone());
            let others = |text: &str| text.lines().filter(|line| !is_for(line, &path)).map(str::to_owned).collect::<Vec<_>>();
            prop_assert_eq!(others(&with), others(&fstab));
            prop_assert_eq!(others(&with_line(&with, &path, None)), others(&fstab));
        }
    }
}
