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
use crate::fleet::Operation;

const FOLDER: &str = "/usr/local/lib/plumbline/operations";

/// An operation as it is on this host.
struct Here<'f> {
    name: &'f str,
    spec: &'f Operation,
    at: Pointer,
    text: String,
}

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let operations = here(builder);
    if operations.is_empty() {
        return;
    }
    let from: Vec<_> = operations.iter().map(|operation| operation.at.clone()).collect();
    builder.packages(Stage::Base, &["sudo"], &from[0]);
    builder.directory(Stage::Services, FOLDER, 0o755, "root", "root", &from);
    let mut by_user: BTreeMap<&str, Vec<&Here<'_>>> = BTreeMap::new();
    for operation in &operations {
        let path = format!("{FOLDER}/{}", operation.name);
        let text = format!("#!/bin/sh\n{}{}", builder.header("#", std::slice::from_ref(&operation.at)), operation.text);
        builder
            .file(Stage::Services, &path, text, std::slice::from_ref(&operation.at))
            .mode(0o755)
            .validate(&["/bin/sh", "-n", "%s"])
            .add(builder);
        for user in &operation.spec.users {
            by_user.entry(user).or_default().push(operation);
        }
    }
    let mut sudoers = builder.header("#", &from);
    for (user, operations) in &by_user {
        if !is_plain(user) {
            let message = "sudoers cannot hold such a login name";
            builder.findings.push(Finding::error("unrepresentable", operations[0].at.join("users"), message));
            continue;
        }
        for operation in operations {
            // Without parameters not one argument is let through.
            let arguments = if operation.spec.parameters.is_empty() { " \"\"" } else { "" };
            sudoers.push_str(&format!("{user} ALL=(root) NOPASSWD: {FOLDER}/{}{arguments}\n", operation.name));
        }
        let from: Vec<_> = operations.iter().map(|operation| operation.at.clone()).collect();
        let text = format!(
            "#!/bin/sh\n{}{}",
            builder.header("#", &from),
            wrapper::dispatcher(FOLDER, user, operations.iter().map(|operation| operation.name))
        );
        builder
            .file(Stage::Services, &format!("{FOLDER}/dispatch-{user}"), text, &from)
            .mode(0o755)
            .validate(&["/bin/sh", "-n", "%s"])
            .add(builder);
        let tools: Vec<_> = operations.iter().map(|operation| tool(operation)).collect();
        let text = serde_json::to_string_pretty(&json!({"tools": tools})).unwrap_or_default() + "\n";
        builder.file(Stage::Services, &format!("{FOLDER}/tools-{user}.json"), text, &from).add(builder);
    }
    builder
        .file(Stage::Services, "/etc/sudoers.d/51-plumbline-operations", sudoers, &from)
        .mode(0o440)
        .validate(&["/usr/sbin/visudo", "-c", "-f", "%s"])
        .add(builder);
    force(builder, &by_user.keys().copied().collect(), &from);
}

/// The operations of this host, each with its wrapper.
fn here<'f>(builder: &mut HostBuilder<'_, 'f>) -> Vec<Here<'f>> {
    let model = builder.model;
    let mut found = Vec::new();
    for (name, spec) in &model.fleet.operations {
        let target = spec.restart.as_ref().or(spec.status.as_ref()).or(spec.logs.as_ref());
        let service = target.and_then(|name| Some((name, model.service(name)?)));
        let mine = match (&spec.host, service) {
            (Some(host), _) => *host == builder.host.name,
            (None, Some((_, service))) => service.host.iter().any(|host| *host == builder.host.name),
            (None, None) => false,
        };
        if !mine {
            continue;
        }
        let at = Pointer::root().join("operations").join(name);
        let unit = service.and_then(|(name, service)| model.unit_of(name, service));
        match wrapper::write(name, spec, unit.as_deref()) {
            Ok(text) => found.push(Here { name, spec, at, text }),
            Err(problem) => {
                builder.findings.push(Finding::error("bad-operation", at, problem).fix("see operations in the schema"));
            }
        }
    }
    found
}

/// sshd runs the dispatcher for these users, whatever they ask for. Not for those who administer the host: they would be
/// locked out.
fn force(builder: &mut HostBuilder<'_, '_>, users: &BTreeSet<&str>, from: &[Pointer]) {
    let host = builder.host;
    let admin = |user: &str| {
        user == "root" || user == host.ssh().user || host.spec.users.get(user).is_some_and(|user| user.admin)
    };
    let forced: Vec<_> =
        users.iter().filter(|user| host.spec.users.contains_key(**user) && is_plain(user) && !admin(user)).collect();
    if forced.is_empty() {
        return;
    }
    let mut text = builder.header("#", from);
    for user in forced {
        text.push_str(&format!(
            "Match User {user}\n    ForceCommand {FOLDER}/dispatch-{user}\n    DisableForwarding yes\n    PermitTTY no\n    PermitUserRC no\n"
        ));
    }
    builder
        .file(Stage::Services, "/etc/ssh/sshd_config.d/01-plumbline-operations.conf", text, from)
        .set("sshd")
        .notify(Handler::reload("ssh.service"))
        .add(builder);
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
