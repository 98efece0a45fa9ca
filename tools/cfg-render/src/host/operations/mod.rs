//! Commands that agents may run: a dispatcher that sshd forces on their users, one wrapper a command, what sudo lets them
//! run, and a list of the commands that programs can read (the tools of the Model Context Protocol).
//!
//! Invariants: no shell ever reads what a client sent; a wrapper checks its arguments again as root, whoever calls it;
//! nothing but the wrappers may be run.

mod wrapper;

use std::collections::{BTreeMap, BTreeSet};

use contract::document::{Handler, Stage};
use contract::{Finding, Pointer};
use serde_json::{Map, Value, json};

use super::HostBuilder;
use crate::fleet::{Operation, Service};
use crate::model::{HostView, Model};

/// Where scripts lie and programs are, which differs between systems.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Layout {
    /// Folder of the scripts.
    folder: &'static str,
    /// Folder of the programs that they run.
    bin: &'static str,
    /// Where their shell looks.
    path: &'static str,
}

const DEBIAN: Layout =
    Layout { folder: "/usr/local/lib/plumbline/operations", bin: "/usr/bin", path: "/usr/sbin:/usr/bin:/sbin:/bin" };

/// NixOS has no `/usr/bin`, and only its wrappers become root.
pub(crate) const NIXOS: Layout = Layout {
    folder: "/etc/plumbline/operations",
    bin: "/run/current-system/sw/bin",
    path: "/run/wrappers/bin:/run/current-system/sw/bin",
};

/// A file that operations need.
#[derive(Debug, Clone)]
pub(crate) struct OperationFile {
    /// Absolute path.
    pub(crate) path: String,
    /// Its text.
    pub(crate) text: String,
    /// It is run; a shell can check it.
    pub(crate) script: bool,
    /// What made it.
    pub(crate) from: Vec<Pointer>,
}

/// What a host has for its operations.
#[derive(Debug, Clone, Default)]
pub(crate) struct Operations {
    /// Wrappers, dispatchers and lists of tools.
    pub(crate) files: Vec<OperationFile>,
    /// Rules of sudo, one a line.
    pub(crate) sudoers: String,
    /// Blocks of sshd's configuration; empty where nobody is confined.
    pub(crate) sshd: String,
    /// What made all of it.
    pub(crate) from: Vec<Pointer>,
}

/// An operation as it is on this host.
struct Here<'f> {
    name: &'f str,
    spec: &'f Operation,
    at: Pointer,
    /// The operation, and the service that it is about.
    from: Vec<Pointer>,
    text: String,
}

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let Some(all) = operations(builder, DEBIAN) else { return };
    let from = all.from;
    builder.packages(Stage::Base, &["sudo"], &from[0]);
    builder.directory(Stage::Services, DEBIAN.folder, 0o755, "root", "root", &from);
    for file in all.files {
        let mut item = builder.file(Stage::Services, &file.path, file.text, &file.from);
        if file.script {
            item = item.mode(0o755).validate(&["/bin/sh", "-n", "%s"]);
        }
        item.add(builder);
    }
    let text = builder.header("#", &from) + &all.sudoers;
    builder
        .file(Stage::Services, "/etc/sudoers.d/51-plumbline-operations", text, &from)
        .mode(0o440)
        .validate(&["/usr/sbin/visudo", "-c", "-f", "%s"])
        .add(builder);
    if !all.sshd.is_empty() {
        let text = builder.header("#", &from) + &all.sshd;
        builder
            .file(Stage::Services, "/etc/ssh/sshd_config.d/01-plumbline-operations.conf", text, &from)
            .set("sshd")
            .notify(Handler::reload("ssh.service"))
            .add(builder);
    }
}

/// What a host of either system has for its operations; none where it has no operation.
pub(crate) fn operations(builder: &mut HostBuilder<'_, '_>, layout: Layout) -> Option<Operations> {
    let found = here(builder, layout);
    if found.is_empty() {
        return None;
    }
    let places = |operations: &[&Here<'_>]| -> Vec<Pointer> {
        operations.iter().flat_map(|operation| operation.from.iter().cloned()).collect()
    };
    let mut all = Operations { from: places(&found.iter().collect::<Vec<_>>()), ..Operations::default() };
    let mut by_user: BTreeMap<&str, Vec<&Here<'_>>> = BTreeMap::new();
    for operation in &found {
        let from = operation.from.clone();
        let text = format!("#!/bin/sh\n{}{}", builder.header("#", &from), operation.text);
        let path = format!("{}/{}", layout.folder, operation.name);
        all.files.push(OperationFile { path, text, script: true, from });
        for user in &operation.spec.users {
            by_user.entry(user).or_default().push(operation);
        }
    }
    for (user, operations) in &by_user {
        if !is_plain(user) {
            let message = "sudoers cannot hold such a login name";
            builder.findings.push(Finding::error("unrepresentable", operations[0].at.join("users"), message));
            continue;
        }
        for operation in operations {
            // Without parameters not one argument is let through.
            let arguments = if operation.spec.parameters.is_empty() { " \"\"" } else { "" };
            all.sudoers
                .push_str(&format!("{user} ALL=(root) NOPASSWD: {}/{}{arguments}\n", layout.folder, operation.name));
        }
        let from = places(operations);
        let names = operations.iter().map(|operation| operation.name);
        let text = format!("#!/bin/sh\n{}{}", builder.header("#", &from), wrapper::dispatcher(layout, user, names));
        let path = format!("{}/dispatch-{user}", layout.folder);
        all.files.push(OperationFile { path, text, script: true, from: from.clone() });
        let tools: Vec<_> = operations.iter().map(|operation| tool(operation)).collect();
        let text = serde_json::to_string_pretty(&json!({"tools": tools})).unwrap_or_default() + "\n";
        let path = format!("{}/tools-{user}.json", layout.folder);
        all.files.push(OperationFile { path, text, script: false, from });
    }
    all.sshd = forced(builder, layout, &by_user.keys().copied().collect());
    Some(all)
}

/// The operations of this host, each with its wrapper.
fn here<'f>(builder: &mut HostBuilder<'_, 'f>, layout: Layout) -> Vec<Here<'f>> {
    let (model, host) = (builder.model, builder.host);
    let mut found = Vec::new();
    for (name, spec) in &model.fleet.operations {
        if !is_here(model, host, spec) {
            continue;
        }
        let service = service(model, spec);
        let at = Pointer::root().join("operations").join(name);
        let units = service.map(|(name, service)| model.units_on(host, name, service)).unwrap_or_default();
        let units: Vec<String> = units.into_iter().map(|(_, unit)| unit).collect();
        match wrapper::write(name, spec, &units, layout) {
            Ok(text) => {
                let from = [at.clone()].into_iter().chain(service.map(|(name, _)| Model::service_at(name))).collect();
                found.push(Here { name, spec, at, from, text });
            }
            Err(problem) => {
                builder.findings.push(Finding::error("bad-operation", at, problem).fix("see operations in the schema"));
            }
        }
    }
    found
}

/// sshd runs the dispatcher for these users, whatever they ask for.
fn forced(builder: &HostBuilder<'_, '_>, layout: Layout, users: &BTreeSet<&str>) -> String {
    let mut text = String::new();
    for user in users.iter().filter(|user| is_confined(builder.host, user)) {
        text.push_str(&format!(
            "Match User {user}\n    ForceCommand {}/dispatch-{user}\n    DisableForwarding yes\n    PermitTTY no\n    PermitUserRC no\n",
            layout.folder
        ));
    }
    text
}

/// Whether a user of operations can do nothing else over SSH. Not those who administer the host: they would be locked out.
fn is_confined(host: &HostView, user: &str) -> bool {
    let Some(spec) = host.spec.users.get(user) else { return false };
    is_plain(user) && user != "root" && user != host.ssh().user && !spec.admin
}

/// The login shell of a user who runs operations of this host and nothing else: sshd runs the dispatcher through it, and the
/// one of a system user would refuse that. With the operation that says so.
pub(crate) fn shell<'f>(model: &Model<'f>, host: &HostView, user: &str) -> Option<(&'static str, Pointer)> {
    if !is_confined(host, user) || !host.spec.users.get(user)?.system {
        return None;
    }
    let named = |spec: &'f Operation| spec.users.iter().any(|name| name == user) && is_here(model, host, spec);
    let (operation, _) = model.fleet.operations.iter().find(|(_, spec)| named(spec))?;
    Some(("/bin/sh", Pointer::root().join("operations").join(operation)))
}

/// Whether an operation is one of this host.
fn is_here<'f>(model: &Model<'f>, host: &HostView, spec: &'f Operation) -> bool {
    let service = service(model, spec);
    match (&spec.host, service) {
        (Some(on), _) => *on == host.name,
        (None, Some((_, service))) => service.host.iter().any(|on| *on == host.name),
        (None, None) => false,
    }
}

/// The service that an operation is about.
fn service<'f>(model: &Model<'f>, spec: &'f Operation) -> Option<(&'f String, &'f Service)> {
    let name = spec.restart.as_ref().or(spec.status.as_ref()).or(spec.logs.as_ref())?;
    Some((name, model.service(name)?))
}

/// A tool as the Model Context Protocol lists it.
fn tool(operation: &Here<'_>) -> Value {
    let mut properties = Map::new();
    for parameter in &operation.spec.parameters {
        let mut schema = json!({"type": "string", "maxLength": wrapper::LONGEST});
        if let Value::Object(schema) = &mut schema {
            if let Some(description) = &parameter.description {
                schema.insert("description".into(), json!(description));
            }
            if !parameter.values.is_empty() {
                schema.insert("enum".into(), json!(parameter.values));
            }
            if let Some(pattern) = &parameter.pattern {
                schema.insert("pattern".into(), json!(format!("^({pattern})$")));
            }
        }
        properties.insert(parameter.name.clone(), schema);
    }
    let required: Vec<_> = operation.spec.parameters.iter().map(|parameter| &parameter.name).collect();
    json!({
        "name": operation.name,
        "description": operation.spec.description.as_deref().unwrap_or(operation.name),
        "inputSchema": {"type": "object", "properties": properties, "required": required, "additionalProperties": false}
    })
}

/// A login name that sudoers and sshd take literally.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "_-".contains(c))
}
