//! A source of packages: a deb822 file, its key, and its priority.

use contract::Exit;
use contract::document::AptRepository;

use super::openpgp::fingerprints;
use super::{Kind, View};
use crate::engine::apply::Apply;
use crate::engine::entry::{Difference, Entry};
use crate::fault::{Fault, Outcome};

pub(super) struct AptRepositoryKind<'a>(pub(super) &'a AptRepository);

impl AptRepositoryKind<'_> {
    /// The key must be the one that the document pins, and no other may come with it: all of them would be trusted.
    fn check_key(&self) -> Outcome<()> {
        let repository = self.0;
        let wanted = repository.key_fingerprint.replace([' ', ':'], "").to_ascii_uppercase();
        let refuse = |code: &str, message: String| Fault::new(Exit::Refused, code, message);
        let Some(found) = fingerprints(&repository.signed_by) else {
            let message = format!("what signs the repository {} is no armoured OpenPGP key", repository.name);
            return Err(Fault::new(Exit::BadDocument, "bad_key", message)
                .hint("export it with gpg --export --armor FINGERPRINT"));
        };
        match &found[..] {
            [one] if *one == wanted => Ok(()),
            [one] => Err(refuse(
                "wrong_key",
                format!("the key of the repository {} is {one} and not {wanted}", repository.name),
            )
            .hint("compare with what the vendor publishes; if the key was changed there, change key_fingerprint")),
            several => Err(refuse(
                "several_keys",
                format!("the repository {} comes with {} keys, and one is pinned", repository.name, several.len()),
            )
            .hint(format!("export the pinned one alone: gpg --export --armor {wanted}"))),
        }
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
                host.rsplit_once(':')
                    .filter(|(_, port)| port.bytes().all(|byte| byte.is_ascii_digit()))
                    .map_or(host, |(host, _)| host)
                    .to_owned()
            });
            let text: Vec<String> =
                hosts.map(|host| format!("Package: *\nPin: origin \"{host}\"\nPin-Priority: {priority}\n")).collect();
            let path = format!("/etc/apt/preferences.d/{}", repository.name);
            entries.push(Entry::file(&path, text.join("\n").into_bytes(), 0o644));
        }
        Ok(entries)
    }

    fn observe(&self, view: View<'_>) -> Outcome<Difference> {
        self.check_key()?;
        let mut all = Difference::default();
        for entry in self.entries(view)? {
            all.merge(entry.compare(view.host)?);
        }
        Ok(all)
    }

    fn converge(&self, apply: &mut Apply<'_>) -> Outcome<()> {
        for entry in self.entries(apply.view())? {
            apply.place(&entry)?;
        }
        apply.lists_are_stale = true;
        apply.barrier()
    }
}
