//! A source of packages: a deb822 file, its key, and its priority.

use contract::Exit;
use contract::document::AptRepository;

use super::{Kind, View};
use crate::engine::apply::Apply;
use crate::engine::entry::Entry;
use crate::engine::process::Process;
use crate::fault::{Fault, Outcome};

pub(super) struct AptRepositoryKind<'a>(pub(super) &'a AptRepository);

impl AptRepositoryKind<'_> {
    /// The key must be the one that the document pins. gpgv's own tool is asked, where it is there.
    fn check_key(&self) -> Outcome<()> {
        let plain = |text: &str| text.replace([' ', ':'], "").to_ascii_uppercase();
        let shown = Process::new(["gpg", "--batch", "--no-keyring", "--show-keys", "--with-colons"])
            .env("GNUPGHOME", "/nonexistent")
            .input(self.0.signed_by.as_bytes())
            .run();
        let shown = match shown {
            Err(fault) if fault.code() == "program_missing" => {
                return Err(Fault::new(
                    Exit::Unavailable,
                    "gpg_missing",
                    "the host has no gpg to check the key of the repository with",
                )
                .hint("add the package gpg to an item before this one"));
            }
            other => other?,
        };
        let found: Vec<String> = shown
            .stdout
            .lines()
            .filter(|line| line.starts_with("fpr:"))
            .filter_map(|line| line.split(':').nth(9).map(plain))
            .collect();
        let wanted = plain(&self.0.key_fingerprint);
        if found.first() == Some(&wanted) {
            return Ok(());
        }
        let found = found.first().cloned().unwrap_or_else(|| "none".into());
        Err(Fault::new(
            Exit::Refused,
            "wrong_key",
            format!("the key of the repository {} is {found} and not {wanted}", self.0.name),
        )
        .hint("compare with what the vendor publishes; if the key was changed there, change key_fingerprint"))
    }
}

impl Kind for AptRepositoryKind<'_> {
    fn label(&self) -> &'static str {
        "apt_repository"
    }

    fn name(&self) -> String {
        self.0.name.clone()
    }

    fn entries(&self, _view: View<'_>) -> Outcome<Vec<Entry>> {
        let repository = self.0;
        let key = format!("/etc/apt/keyrings/{}.asc", repository.name);
        let mut source =
            format!("Types: deb\nURIs: {}\nSuites: {}\n", repository.uris.join(" "), repository.suites.join(" "));
        if !repository.components.is_empty() {
            source.push_str(&format!("Components: {}\n", repository.components.join(" ")));
        }
        source.push_str(&format!("Signed-By: {key}\n"));
        let mut entries = vec![
            Entry::file(&key, repository.signed_by.clone().into_bytes(), 0o644),
            Entry::file(&format!("/etc/apt/sources.list.d/{}.sources", repository.name), source.into_bytes(), 0o644),
        ];
        if let Some(priority) = repository.priority {
            // apt pins by the host of the address; a file: repository has the empty one.
            let hosts = repository.uris.iter().map(|uri| {
                let rest = uri.split_once("://").map_or("", |(_, rest)| rest);
                let host = rest.split('/').next().unwrap_or_default();
                // Without user and port, as apt names the site of a package.
                let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
                host.rsplit_once(':').filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit())).map_or(host, |(host, _)| host).to_owned()
            });
            let text: Vec<String> =
                hosts.map(|host| format!("Package: *\nPin: origin \"{host}\"\nPin-Priority: {priority}\n")).collect();
            let path = format!("/etc/apt/preferences.d/{}", repository.name);
            entries.push(Entry::file(&path, text.join("\n").into_bytes(), 0o644));
        }
        Ok(entries)
    }

    fn converge(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        if !apply.host.sandbox {
            self.check_key()?;
        }
        for entry in self.entries(apply.view())? {
            apply.place(&entry)?;
        }
        apply.lists_are_stale = true;
        apply.barrier()
    }
}
