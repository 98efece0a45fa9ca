//! What is wrong with a document by itself, all of it in one run, before any host is spoken to.

use std::collections::{BTreeMap, BTreeSet};

use contract::document::{HostDesired, HostItem};
use contract::{Finding, PLACEHOLDER_START, Pointer};

/// Trees of the kernel, of devices and of Nix, where no file can be placed.
const FORBIDDEN: [&str; 5] = ["/proc/", "/sys/", "/dev/", "/nix/store/", "/var/lib/plumbline/owned/"];

/// Everything that is wrong with a document.
pub(crate) fn lint(desired: &HostDesired) -> Vec<Finding> {
    let mut lint = Lint { desired, findings: Vec::new(), paths: BTreeMap::new() };
    lint.names();
    let mut ids: BTreeMap<&str, Pointer> = BTreeMap::new();
    for (index, item) in desired.items.iter().enumerate() {
        let at = Pointer::root().join("items").join(index);
        if let Some(first) = ids.get(item.id.as_str()) {
            let finding =
                Finding::error("duplicate-id", at.join("id"), format!("two items are called \"{}\"", item.id));
            lint.findings.push(finding.related(first.clone()).fix("give each item a name of its own"));
        } else {
            ids.insert(&item.id, at.join("id"));
        }
        lint.item(item, &at);
    }
    lint.findings
}

struct Lint<'a> {
    desired: &'a HostDesired,
    findings: Vec<Finding>,
    paths: BTreeMap<String, Pointer>,
}

fn is_word(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 63
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte))
        && !text.starts_with(['.', '-'])
}

impl Lint<'_> {
    fn error(&mut self, code: &str, at: Pointer, message: impl Into<String>, fix: &str) {
        self.findings.push(Finding::error(code, at, message).fix(fix));
    }

    fn names(&mut self) {
        for (key, value) in [("host", &self.desired.host), ("owner", &self.desired.owner)] {
            if !is_word(value) {
                let at = Pointer::root().join(key);
                self.error("bad-name", at, format!("\"{value}\" is no name"), "use letters, digits, dots and dashes");
            }
        }
        if let Some(access) = &self.desired.access {
            let at = Pointer::root().join("access");
            if access.ssh_ports.is_empty() {
                self.error(
                    "no-ssh-port",
                    at.join("ssh_ports"),
                    "no port is left to log in by",
                    "list the ports of sshd",
                );
            }
            if access.login_users.is_empty() {
                self.error(
                    "no-login-user",
                    at.join("login_users"),
                    "no user is left to log in as",
                    "list the users who log in",
                );
            }
        }
    }

    fn item(&mut self, item: &HostItem, at: &Pointer) {
        let kinds = kinds_of(item);
        if kinds.len() != 1 {
            let message = if kinds.is_empty() {
                "the item does not say what it is".to_owned()
            } else {
                format!("the item is several things at once: {}", kinds.join(", "))
            };
            self.error("item-kind", at.clone(), message, "give it exactly one of the keys that name a kind");
        }
        self.nixos(item, at);
        for (index, handler) in item.notify.iter().enumerate() {
            self.handler(&handler.0, &at.join("notify").join(index));
        }
        if let Some(file) = &item.file {
            let at = at.join("file");
            self.path(&file.path, &at.join("path"));
            let sources = [file.content.is_some(), file.content_base64.is_some(), file.source.is_some()];
            if sources.iter().filter(|given| **given).count() != 1 {
                let fix = "give exactly one of content, content_base64 and source";
                self.error("file-content", at.clone(), "where the bytes of the file come from is not clear", fix);
            }
            if file.content.as_ref().is_some_and(|text| text.contains(PLACEHOLDER_START)) {
                let fix = "make it a template of the secrets manifest, and a symlink to /run/secrets/rendered";
                self.error("placeholder", at.join("content"), "a placeholder of a secret is in a plain file", fix);
            }
            if let Some(set) = file.set.as_ref().filter(|set| !self.desired.sets.contains_key(*set)) {
                self.error(
                    "unknown-set",
                    at.join("set"),
                    format!("there is no set \"{set}\""),
                    "declare it under sets",
                );
            }
            if !file.validate.is_empty() && !file.validate.iter().any(|arg| arg.contains("%s")) {
                self.error(
                    "validate-path",
                    at.join("validate"),
                    "the validator does not get the file",
                    "write %s where its path goes",
                );
            }
        }
        if let Some(directory) = &item.directory {
            self.path(&directory.path, &at.join("directory").join("path"));
        }
        if let Some(link) = &item.symlink {
            self.path(&link.path, &at.join("symlink").join("path"));
            if link.target.is_empty() || link.target.contains('\0') {
                self.error(
                    "bad-target",
                    at.join("symlink").join("target"),
                    "the link points nowhere",
                    "name its target",
                );
            }
        }
        if let Some(mount) = &item.mount {
            let at = at.join("mount");
            self.plain_path(&mount.path, &at.join("path"));
            for (key, value) in [("device", &mount.device), ("fstype", &mount.fstype)] {
                if value.is_empty() || value.starts_with('-') || value.contains(['\0', '\n']) {
                    self.error("bad-mount", at.join(key), format!("\"{value}\" cannot stand in fstab"), "see fstab(5)");
                }
            }
            for (index, option) in mount.options.iter().enumerate() {
                let at = at.join("options").join(index);
                let word = option.split('=').next().unwrap_or_default();
                if matches!(word, "password" | "pass" | "password2") {
                    let fix = "use credentials=FILE, and let the file be a template of the secrets manifest";
                    self.error("mount-password", at, "a password would stand readable for all in fstab", fix);
                } else if option.is_empty() || option.contains(['\0', '\n', ',']) {
                    self.error(
                        "bad-mount",
                        at,
                        format!("\"{option}\" is no option"),
                        "give each option a place of its own",
                    );
                }
            }
        }
        if let Some(image) = &item.image {
            let reference = &image.reference;
            let good = |byte: u8| byte.is_ascii_alphanumeric() || b"./:_-@+".contains(&byte);
            let digest_is_whole = reference.split_once('@').is_none_or(|(_, digest)| {
                let hex = digest.strip_prefix("sha256:").unwrap_or_default();
                hex.len() == 64 && hex.bytes().all(|byte| byte.is_ascii_hexdigit())
            });
            if reference.is_empty() || reference.starts_with('-') || !reference.bytes().all(good) || !digest_is_whole {
                let at = at.join("image").join("reference");
                let message = format!("\"{reference}\" is no reference of an image");
                self.error("bad-image", at, message, "write REGISTRY/NAME@sha256:DIGEST, or REGISTRY/NAME:TAG");
            }
        }
        if let Some(scope) = item.unit.as_ref().and_then(|unit| unit.scope.as_ref()) {
            let user = scope.strip_prefix("user:").unwrap_or_default();
            if scope != "system" && !is_word(user) {
                let at = at.join("unit").join("scope");
                self.error("bad-scope", at, format!("\"{scope}\" is no scope"), "write system, or user:NAME");
            }
        }
        if let Some(tool) = &item.tool {
            self.path(&tool.path, &at.join("tool").join("path"));
        }
        if let Some(command) = &item.command {
            let at = at.join("command");
            if command.argv.is_empty() {
                self.error(
                    "empty-command",
                    at.join("argv"),
                    "the command has no program",
                    "name the program and its arguments",
                );
            }
            let knows = command.creates.is_some()
                || command.removes.is_some()
                || !command.unless.is_empty()
                || !command.onlyif.is_empty();
            if !knows && !command.notified_only {
                let fix = "add creates, removes, unless or onlyif, or notified_only";
                self.error("unconditional-command", at, "the command would run at every apply", fix);
            }
        }
        for (name, key) in names_of(item) {
            if !is_word(name) && !name.contains(['@', ':']) || name.starts_with('-') {
                let message = format!("\"{name}\" is no name");
                self.error("bad-name", at.join(key).join("name"), message, "use letters, digits, dots and dashes");
            }
        }
        if let Some(packages) = &item.packages {
            for (key, names) in [("present", &packages.present), ("absent", &packages.absent)] {
                for (index, name) in names.iter().enumerate() {
                    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.:=~_".contains(&byte);
                    if name.is_empty() || name.starts_with('-') || name.ends_with('-') || !name.bytes().all(good) {
                        let at = at.join("packages").join(key).join(index);
                        self.error(
                            "bad-package",
                            at,
                            format!("\"{name}\" is no package"),
                            "write NAME or NAME=VERSION",
                        );
                    }
                }
            }
        }
        if let Some(keys) = &item.authorized_keys
            && keys.exclusive
            && keys.keys.is_empty()
        {
            let fix = "list at least one key, or take the item out";
            self.error("no-key", at.join("authorized_keys").join("keys"), "nobody could log in any more", fix);
        }
    }

    /// A flake is its files and a lock; what else a NixOS host is stands in its configuration.
    fn nixos(&mut self, item: &HostItem, at: &Pointer) {
        if let Some(nixos) = &item.nixos {
            let at = at.join("nixos");
            if !is_word(&nixos.attr) {
                self.error(
                    "bad-name",
                    at.join("attr"),
                    format!("\"{}\" is no name", nixos.attr),
                    "name the configuration",
                );
            }
            match &nixos.flake {
                Some(flake) if flake.starts_with('-') || flake.contains(['#', ' ']) || !nixos.files.is_empty() => {
                    let fix = "give either a reference without #, or files";
                    self.error("bad-flake", at.join("flake"), "where the flake comes from is not clear", fix);
                }
                Some(_) => {}
                None => {
                    if !nixos.files.contains_key("flake.nix") {
                        self.error("no-flake", at.join("files"), "the flake has no flake.nix", "add it to the files");
                    }
                    if !nixos.files.contains_key("flake.lock") {
                        let fix = "make one with `host-provision lock`, commit it, and list it under files";
                        self.error(
                            "no-flake-lock",
                            at.join("files"),
                            "the flake has no flake.lock: what is built would change by itself",
                            fix,
                        );
                    }
                }
            }
            for (path, file) in &nixos.files {
                let at = at.join("files").join(path);
                if path.split('/').any(|name| matches!(name, "" | "." | ".." | ".git")) || path.contains('\0') {
                    self.error(
                        "bad-path",
                        at.clone(),
                        format!("\"{path}\" is no plain path below the flake"),
                        "write it as a/b",
                    );
                }
                if file.content.is_some() == file.source.is_some() {
                    let fix = "give exactly one of content and source";
                    self.error("file-content", at.clone(), "where the bytes of the file come from is not clear", fix);
                }
                if file.content.as_ref().is_some_and(|text| crate::private_key::is_one(text.as_bytes())) {
                    let fix = "make it a secret: everybody on the host may read what Nix builds from";
                    self.error("private-key", at, format!("{path} is a private key"), fix);
                }
            }
        } else if self.desired.items.iter().any(|item| item.nixos.is_some()) {
            let kinds = kinds_of(item);
            let of_system =
                ["packages", "apt_repository", "user", "group", "unit", "hostname", "timezone", "locale", "mount"];
            if let Some(kind) = kinds.iter().find(|kind| of_system.contains(kind)) {
                let message = format!("{kind} is a matter of the NixOS configuration on this host");
                self.error("not-on-nixos", at.join(kind), message, "declare it in a module of the flake");
            }
        }
    }

    fn handler(&mut self, handler: &str, at: &Pointer) {
        let known = match handler.split_once(':') {
            None => handler == "secrets",
            Some(("reload" | "restart", unit)) => !unit.is_empty() && !unit.starts_with('-'),
            Some(("run", id)) => {
                let is_it = |item: &&HostItem| item.id == id;
                match self.desired.items.iter().find(is_it) {
                    Some(item) if item.command.is_some() => true,
                    Some(_) => {
                        self.error(
                            "unknown-handler",
                            at.clone(),
                            format!("the item \"{id}\" is no command"),
                            "name a command item",
                        );
                        return;
                    }
                    None => {
                        let ids = self.desired.items.iter().map(|item| item.id.as_str());
                        let fix = cli::did_you_mean(id, ids)
                            .map_or_else(|| "add it".to_owned(), |near| format!("did you mean \"{near}\"?"));
                        self.error("unknown-handler", at.clone(), format!("there is no item \"{id}\""), &fix);
                        return;
                    }
                }
            }
            Some(_) => false,
        };
        if !known {
            let fix = "write reload:UNIT, restart:UNIT, run:ITEM or secrets";
            self.error("unknown-handler", at.clone(), format!("\"{handler}\" is no handler"), fix);
        }
    }

    /// A path that this item alone places.
    fn path(&mut self, path: &str, at: &Pointer) {
        if !self.plain_path(path, at) {
            return;
        }
        let plain = path.trim_end_matches('/').to_owned();
        if let Some(first) = self.paths.insert(plain, at.clone()) {
            let finding = Finding::error("duplicate-path", at.clone(), format!("two items place {path}"));
            self.findings.push(finding.related(first).fix("let one of them do it"));
        }
    }

    /// An absolute path without tricks, where something can be.
    fn plain_path(&mut self, path: &str, at: &Pointer) -> bool {
        let plain = path.trim_end_matches('/').to_owned();
        let names: Vec<&str> = plain.split('/').skip(1).collect();
        if !path.starts_with('/')
            || plain.is_empty()
            || path.contains('\0')
            || names.iter().any(|name| matches!(*name, "" | "." | ".."))
        {
            self.error(
                "bad-path",
                at.clone(),
                format!("\"{path}\" is no absolute, plain path"),
                "write it as /a/b, without . and ..",
            );
            return false;
        }
        if FORBIDDEN.iter().any(|tree| format!("{plain}/").starts_with(tree)) {
            self.error("forbidden-path", at.clone(), format!("nothing can be placed at {path}"), "choose another path");
        }
        true
    }
}

/// The keys of an item that name a kind.
pub(crate) fn kinds_of(item: &HostItem) -> Vec<&'static str> {
    let kinds = [
        ("hostname", item.hostname.is_some()),
        ("timezone", item.timezone.is_some()),
        ("locale", item.locale.is_some()),
        ("apt_repository", item.apt_repository.is_some()),
        ("packages", item.packages.is_some()),
        ("group", item.group.is_some()),
        ("user", item.user.is_some()),
        ("authorized_keys", item.authorized_keys.is_some()),
        ("directory", item.directory.is_some()),
        ("file", item.file.is_some()),
        ("symlink", item.symlink.is_some()),
        ("mount", item.mount.is_some()),
        ("tool", item.tool.is_some()),
        ("image", item.image.is_some()),
        ("command", item.command.is_some()),
        ("unit", item.unit.is_some()),
        ("nixos", item.nixos.is_some()),
    ];
    kinds.into_iter().filter(|(_, there)| *there).map(|(kind, _)| kind).collect()
}

/// Names that become arguments of programs or parts of paths.
fn names_of(item: &HostItem) -> BTreeSet<(&str, &'static str)> {
    let names = [
        item.hostname.as_ref().map(|it| (it.name.as_str(), "hostname")),
        item.apt_repository.as_ref().map(|it| (it.name.as_str(), "apt_repository")),
        item.group.as_ref().map(|it| (it.name.as_str(), "group")),
        item.user.as_ref().map(|it| (it.name.as_str(), "user")),
        item.unit.as_ref().map(|it| (it.name.as_str(), "unit")),
        item.tool.as_ref().map(|it| (it.name.as_str(), "tool")),
    ];
    names.into_iter().flatten().collect()
}
