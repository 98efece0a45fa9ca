//! Host name, time zone and locale: files, and a word to the kernel.

use contract::Exit;
use contract::document::{Hostname, Locale, Timezone};

use super::{Kind, View};
use crate::engine::apply::Apply;
use crate::engine::entry::{Difference, Entry, Node};
use crate::engine::process::Process;
use crate::engine::undo::Undo;
use crate::fault::{Fault, Outcome};

pub(super) struct HostnameKind<'a>(pub(super) &'a Hostname);

fn kernel_name() -> String {
    rustix::system::uname().nodename().to_string_lossy().into_owned()
}

impl Kind for HostnameKind<'_> {
    fn label(&self) -> &'static str {
        "hostname"
    }

    fn name(&self) -> String {
        self.0.name.clone()
    }

    fn entries(&self, view: View<'_>) -> Outcome<Vec<Entry>> {
        let name = &self.0.name;
        let mut entries = vec![Entry::file("/etc/hostname", format!("{name}\n").into_bytes(), 0o644)];
        // Debian's own line, without which sudo waits for a name server.
        let hosts = view.host.text("/etc/hosts");
        if !hosts.is_empty() {
            let line = format!("127.0.1.1 {name}");
            let names_it = |old: &str| old.split_whitespace().skip(1).any(|word| word == name);
            if !hosts.lines().any(|old| !old.trim_start().starts_with('#') && names_it(old)) {
                let mut lines: Vec<&str> = hosts.lines().collect();
                match lines.iter().position(|old| old.split_whitespace().next() == Some("127.0.1.1")) {
                    Some(at) => lines[at] = &line,
                    None => lines.push(&line),
                }
                entries.push(Entry::file("/etc/hosts", (lines.join("\n") + "\n").into_bytes(), 0o644));
            }
        }
        Ok(entries)
    }

    /// The name of a host is never given back: it would be another host then.
    fn things(&self, _view: View<'_>) -> Outcome<Vec<super::Thing>> {
        Ok(Vec::new())
    }

    fn observe(&self, view: View<'_>) -> Outcome<Difference> {
        let mut all = Difference::default();
        for entry in self.entries(view)? {
            all.merge(entry.compare(view.host)?);
        }
        if !view.host.sandbox && kernel_name() != self.0.name {
            let live = Difference {
                op: Some(contract::document::Op::Update),
                why: vec!["kernel".into()],
                ..Difference::default()
            };
            all.merge(Difference { observed: kernel_name(), ..live });
        }
        Ok(all)
    }

    fn converge(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        for entry in self.entries(apply.view())? {
            apply.place_unowned(&entry)?;
        }
        if !apply.host.sandbox && kernel_name() != self.0.name {
            apply.run.note(&Undo::Hostname { name: kernel_name() })?;
            set_kernel_name(&self.0.name)?;
        }
        Ok(())
    }

    fn remember(&self, _apply: &mut Apply<'_>) -> Outcome<()> {
        Ok(())
    }
}

/// Tells the kernel the host's name.
pub(crate) fn set_kernel_name(name: &str) -> Outcome<()> {
    rustix::system::sethostname(name.as_bytes()).map_err(|error| Fault::errno("set the host name", name, error))
}

pub(super) struct TimezoneKind<'a>(pub(super) &'a Timezone);

impl Kind for TimezoneKind<'_> {
    fn label(&self) -> &'static str {
        "timezone"
    }

    fn name(&self) -> String {
        self.0.name.clone()
    }

    fn entries(&self, view: View<'_>) -> Outcome<Vec<Entry>> {
        let name = &self.0.name;
        let zone = format!("/usr/share/zoneinfo/{name}");
        if !view.host.sandbox && view.host.exists("/usr/share/zoneinfo") && !view.host.exists(&zone) {
            return Err(Fault::new(
                Exit::BadDocument,
                "unknown_timezone",
                format!("the host knows no time zone {name}"),
            )
            .hint("names are those of the IANA database, such as Europe/Berlin"));
        }
        let mut entries = vec![Entry { path: "/etc/localtime".into(), node: Node::Symlink(zone) }];
        if view.host.exists("/etc/timezone") {
            entries.push(Entry::file("/etc/timezone", format!("{name}\n").into_bytes(), 0o644));
        }
        Ok(entries)
    }
}

pub(super) struct LocaleKind<'a>(pub(super) &'a Locale);

impl LocaleKind<'_> {
    fn is_builtin(&self) -> bool {
        matches!(self.0.lang.as_str(), "C" | "POSIX" | "C.UTF-8" | "C.utf8")
    }

    fn is_generated(&self, view: View<'_>) -> bool {
        if self.is_builtin() || view.host.sandbox {
            return true;
        }
        let plain = |name: &str| name.to_ascii_lowercase().replace('-', "");
        Process::new(["locale", "-a"])
            .run()
            .is_ok_and(|ended| ended.stdout.lines().any(|line| plain(line) == plain(&self.0.lang)))
    }
}

impl Kind for LocaleKind<'_> {
    fn label(&self) -> &'static str {
        "locale"
    }

    fn name(&self) -> String {
        self.0.lang.clone()
    }

    fn entries(&self, view: View<'_>) -> Outcome<Vec<Entry>> {
        // Debian 12 and Ubuntu read /etc/default/locale; where that is a link, /etc/locale.conf is the file (Debian 13).
        let path = if view.host.exists("/etc/locale.conf") { "/etc/locale.conf" } else { "/etc/default/locale" };
        let old = view.host.text(path);
        let others = old.lines().filter(|line| !line.starts_with("LANG="));
        let lines: Vec<String> =
            std::iter::once(format!("LANG={}", self.0.lang)).chain(others.map(str::to_owned)).collect();
        let mut entries = vec![Entry::file(path, (lines.join("\n") + "\n").into_bytes(), 0o644)];
        let list = view.host.text("/etc/locale.gen");
        if !self.is_builtin() && !list.is_empty() {
            let charset = self.0.lang.rsplit_once('.').map_or("UTF-8", |(_, charset)| charset);
            let wanted = format!("{} {charset}", self.0.lang);
            if !list.lines().any(|line| line.trim() == wanted) {
                entries.push(Entry::file(
                    "/etc/locale.gen",
                    format!("{}\n{wanted}\n", list.trim_end()).into_bytes(),
                    0o644,
                ));
            }
        }
        Ok(entries)
    }

    fn things(&self, _view: View<'_>) -> Outcome<Vec<super::Thing>> {
        Ok(Vec::new())
    }

    fn observe(&self, view: View<'_>) -> Outcome<Difference> {
        let mut all = Difference::default();
        for entry in self.entries(view)? {
            all.merge(entry.compare(view.host)?);
        }
        if !self.is_generated(view) {
            all.merge(Difference {
                op: Some(contract::document::Op::Update),
                why: vec!["not generated".into()],
                observed: "not generated".into(),
                ..Difference::default()
            });
        }
        Ok(all)
    }

    fn converge(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        for entry in self.entries(apply.view())? {
            apply.place_unowned(&entry)?;
        }
        if !self.is_generated(apply.view()) {
            apply.barrier()?;
            Process::new(["locale-gen"]).succeed().map_err(|fault| {
                fault.hint("the package \"locales\" brings locale-gen and the definitions of locales")
            })?;
        }
        Ok(())
    }

    fn remember(&self, _apply: &mut Apply<'_>) -> Outcome<()> {
        Ok(())
    }
}
