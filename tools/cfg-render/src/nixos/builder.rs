//! Collects the modules of a NixOS host.

use std::collections::{BTreeMap, BTreeSet};

use contract::document::{Access, ManifestTemplate};
use contract::{Finding, Pointer, SecretName};

use super::tree::Tree;
use crate::format::nix::{self, Nix, Options};
use crate::host::HostBuilder;
use crate::model::{HostView, Model};

/// A module: what it sets, and what made it.
#[derive(Debug, Clone, Default)]
pub(super) struct Module {
    options: Options,
    imports: Vec<Nix>,
    from: BTreeSet<Pointer>,
    /// It is a function of the flake's inputs first.
    inputs: bool,
    /// Text of the user behind ours.
    snippet: Option<String>,
}

/// Collects the modules of a NixOS host.
pub(super) struct NixosBuilder<'m, 'f> {
    pub(super) model: &'m Model<'f>,
    pub(super) host: &'m HostView,
    /// What is shared with hosts that are made file by file: findings, templates, and the writers of proxies' languages.
    pub(super) shared: HostBuilder<'m, 'f>,
    /// By file name below `hosts/HOST`.
    modules: BTreeMap<String, Module>,
    pub(super) tree: Tree,
    pub(super) access: Option<Access>,
    /// Rules of the firewall that are there already, with their module.
    pub(super) rules: BTreeSet<(String, String)>,
    /// Tools that the host needs, and what asks for them.
    pub(super) tools: BTreeMap<String, Pointer>,
    /// Templates whose names do not say whose they are: the module that they belong to, and what made them.
    pub(super) template_owners: BTreeMap<String, (String, Vec<Pointer>)>,
}

impl<'m, 'f> NixosBuilder<'m, 'f> {
    pub(super) fn new(model: &'m Model<'f>, host: &'m HostView) -> Self {
        Self {
            model,
            host,
            shared: HostBuilder::new(model, host),
            modules: BTreeMap::new(),
            tree: Tree::default(),
            access: None,
            rules: BTreeSet::new(),
            tools: BTreeMap::new(),
            template_owners: BTreeMap::new(),
        }
    }

    /// Sets an option, in the module of this name, because of these places.
    pub(super) fn set<S: AsRef<str>>(&mut self, module: &str, path: &[S], value: Nix, from: &[Pointer]) {
        let module = self.modules.entry(module.to_owned()).or_default();
        module.options.set(path, value);
        module.from.extend(from.iter().cloned());
    }

    /// A module holds something because of another place, too.
    pub(super) fn also_from(&mut self, module: &str, from: &Pointer) {
        self.modules.entry(module.to_owned()).or_default().from.insert(from.clone());
    }

    /// Sets an option by its path in one text, which holds no name of the user.
    pub(super) fn option(&mut self, module: &str, path: &str, value: Nix, from: &Pointer) {
        let path: Vec<&str> = path.split('.').collect();
        self.set(module, &path, value, std::slice::from_ref(from));
    }

    /// The module may use the flake's inputs in its values.
    pub(super) fn uses_inputs(&mut self, module: &str) {
        self.modules.entry(module.to_owned()).or_default().inputs = true;
    }

    /// A module of the user as text, beside ours.
    pub(super) fn snippet(&mut self, module: &str, text: &str, at: &Pointer) {
        if !nix::is_balanced(text) {
            self.shared.findings.push(
                Finding::error("bad-snippet", at.clone(), "not Nix: brackets, quotes or comments do not balance")
                    .fix("write one module: an attribute set, or a function that returns one"),
            );
            return;
        }
        let module = self.modules.entry(module.to_owned()).or_default();
        module.snippet = Some(text.trim().to_owned());
        module.from.insert(at.clone());
    }

    /// What JSON says, in Nix; a finding where it cannot be said.
    pub(super) fn json(&mut self, value: &serde_json::Value, at: &Pointer) -> Option<Nix> {
        self.shared.fit(Nix::from_json(&self.paths_of_secrets(value)), at)
    }

    /// `{"secret": "NAME"}` stands for the path at which the host finds the value.
    fn paths_of_secrets(&self, value: &serde_json::Value) -> serde_json::Value {
        use serde_json::Value;
        match value {
            Value::Object(keys) => match (keys.get("secret"), keys.len()) {
                (Some(Value::String(name)), 1)
                    if name.parse().is_ok_and(|name: SecretName| self.model.fleet.secrets.contains_key(&name)) =>
                {
                    Value::String(super::secrets::path(name))
                }
                _ => keys.iter().map(|(key, value)| (key.clone(), self.paths_of_secrets(value))).collect(),
            },
            Value::Array(list) => list.iter().map(|value| self.paths_of_secrets(value)).collect(),
            other => other.clone(),
        }
    }

    /// The path of a module's file in the flake.
    pub(super) fn path_of(&self, module: &str) -> String {
        format!("hosts/{}/{module}.nix", self.host.name)
    }

    /// A file of the flake's root, as a path in a module of this name.
    pub(super) fn from_root(module: &str, file: &str) -> Nix {
        let up = "../".repeat(2 + module.matches('/').count());
        Nix::Path(format!("{up}{file}"))
    }

    /// The flake's files, what a person should know, and the templates that were asked for.
    pub(super) fn finish(mut self) -> (Tree, Vec<Finding>, Vec<ManifestTemplate>) {
        let names: Vec<String> = self.modules.keys().cloned().collect();
        let host_at = self.host.pointer();
        let from_modules: BTreeSet<Pointer> = self.modules.values().flat_map(|module| module.from.clone()).collect();
        for (name, module) in std::mem::take(&mut self.modules) {
            let (text, from) = self.module_text(module);
            if let Some(text) = self.shared.fit(text, &host_at) {
                self.tree.text(&self.path_of(&name), text, from);
            }
        }
        // The module that has all others: what the flake builds, and what a flake of the user imports.
        let mut all = Module { from: from_modules, inputs: true, ..Module::default() };
        for name in &names {
            let path = Nix::Path(format!("./{name}.nix"));
            all.imports.push(if self.takes_inputs(name) {
                Nix::Call("import", vec![path, Nix::expression("inputs")])
            } else {
                path
            });
        }
        for (index, name) in self.host.spec.nixos.iter().flat_map(|nixos| nixos.modules.iter()).enumerate() {
            let at = self.host.at("nixos").join("modules").join(index);
            let path = self.relative(name);
            self.tree.source(&path, name, &at);
            all.imports.push(Nix::Path(format!("../../{path}")));
            all.from.insert(at);
        }
        let (text, from) = self.module_text(all);
        if let Some(text) = self.shared.fit(text, &host_at) {
            self.tree.text(&self.path_of("default"), text, from);
        }
        let mut findings = self.shared.findings;
        findings.sort_by(|a, b| (a.level, &a.pointer, &a.message).cmp(&(b.level, &b.pointer, &b.message)));
        findings.dedup();
        (self.tree, findings, self.shared.templates)
    }

    fn takes_inputs(&self, module: &str) -> bool {
        let text = self.tree.entries.get(&self.path_of(module)).and_then(|entry| entry.file.content.as_deref());
        // What a module begins with behind its head.
        text.is_some_and(|text| text.lines().find(|line| !line.starts_with('#')) == Some("inputs:"))
    }

    /// A file of the user as it lies in the flake: below the user's own flake, where there is one, relative to that.
    pub(super) fn relative(&self, file: &str) -> String {
        let own = self.host.spec.nixos.as_ref().and_then(|nixos| nixos.flake.as_deref());
        let file = file.trim_start_matches("./");
        let inside = own.and_then(|own| file.strip_prefix(own.trim_start_matches("./").trim_end_matches('/')));
        inside.map_or(file, |inside| inside.trim_start_matches('/')).to_owned()
    }

    /// The text of a module, and what made it.
    fn module_text(&self, module: Module) -> (crate::format::Written, BTreeSet<Pointer>) {
        let mut text = self.shared.header("#", &module.from);
        let mut imports = module.imports;
        if let Some(snippet) = module.snippet {
            imports.push(Nix::expression(format!("({snippet}\n  )")));
        }
        let mut options = module.options;
        if !imports.is_empty() {
            options.set(&["imports"], Nix::List(imports));
        }
        if module.inputs {
            text.push_str("inputs:\n");
        }
        text.push_str("{ config, lib, pkgs, ... }:\n\n");
        let text = nix::write(&options.into_value()).map(|written| text + &written);
        (text, module.from)
    }
}
