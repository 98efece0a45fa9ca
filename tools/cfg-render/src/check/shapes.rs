//! Objects of which exactly one key names the kind, and keys that must be there.

use contract::document::{BackupDump, DnsProvider, DnsRecord, Generator, HttpHeader};
use contract::{Finding, Pointer};
use serde::Serialize;

use super::context::{Context, place};
use crate::fleet::{CheckSpec, Cluster, Mailer, Operation, Reference, Run, Service, UserFile, Value};

/// `one-of`, `missing-key`, `bad-mailer`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let fleet = context.fleet;
    for (name, host) in &fleet.hosts {
        let at = place([&"hosts", name]);
        if host.os.is_none() {
            let message = format!("host {name} does not say which system it runs");
            found.push(Finding::error("missing-key", at.clone(), message).fix("add \"os\": \"debian-12\""));
        }
        checks(&host.health, &at.join("health"), found);
        for (path, file) in &host.files {
            user_file(file, &at.join("files").join(path), found);
        }
        for (timer_name, timer) in &host.timers {
            values(timer.env.values(), timer.env.keys(), &at.join("timers").join(timer_name).join("env"), found);
        }
    }
    for (name, service) in &fleet.services {
        of_service(name, service, found);
    }
    for (name, cluster) in &fleet.databases {
        of_cluster(cluster, &place([&"databases", name]), found);
    }
    for (name, mailer) in &fleet.mailers {
        of_mailer(mailer, &place([&"mailers", name]), found);
    }
    for (name, operation) in &fleet.operations {
        of_operation(operation, place([&"operations", name]), found);
    }
    for (name, provider) in &fleet.dns.providers {
        of_provider(provider, place([&"dns", &"providers", name]), found);
    }
    for (name, zone) in &fleet.dns.zones {
        let at = place([&"dns", &"zones", name]);
        records(&zone.records, &at, found);
        for (network, view) in &zone.views {
            records(&view.records, &at.join("views").join(network), found);
        }
    }
    for (name, secret) in &fleet.secrets {
        if let Some(generator) = &secret.generator {
            of_generator(generator, place([&"secrets", name, &"generator"]), found);
        }
    }
}

/// Complains unless exactly one of the keys is given.
fn one_of(at: Pointer, what: &str, keys: &[(&str, bool)], found: &mut Vec<Finding>) {
    let given: Vec<&str> = keys.iter().filter(|(_, given)| *given).map(|(key, _)| *key).collect();
    if given.len() == 1 {
        return;
    }
    let all: Vec<&str> = keys.iter().map(|(key, _)| *key).collect();
    let message = if given.is_empty() {
        format!("{what} does not say of what kind it is")
    } else {
        format!("{what} is of several kinds at once: {}", given.join(", "))
    };
    found.push(Finding::error("one-of", at, message).fix(format!("give exactly one of {}", all.join(", "))));
}

fn of_service(name: &str, service: &Service, found: &mut Vec<Finding>) {
    let at = place([&"services", &name]);
    if service.host.is_empty() && !service.is_external() {
        let message = format!("service {name} does not say on which host it runs");
        found.push(
            Finding::error("missing-key", at.clone(), message)
                .fix("add \"host\", or \"run\": {\"external\": {}} if it is not ours"),
        );
    }
    checks(&service.health, &at.join("health"), found);
    values(service.env.values(), service.env.keys(), &at.join("env"), found);
    for (path, file) in &service.files {
        user_file(file, &at.join("files").join(path), found);
    }
    for (container_name, container) in service.run.containers() {
        let at = match &service.run {
            Run::Containers(_) => at.join("run").join("containers").join(container_name),
            _ => at.join("run").join("container"),
        };
        if container.image.is_empty() {
            let message = format!("container {container_name} of service {name} names no image");
            found.push(Finding::error("missing-key", at.clone(), message).fix("add \"image\": \"registry/name:tag\""));
        }
        values(container.env.values(), container.env.keys(), &at.join("env"), found);
    }
    for (key, empty) in [
        ("exec", matches!(&service.run, Run::Systemd(run) if run.exec.is_empty())),
        ("containers", matches!(&service.run, Run::Containers(containers) if containers.is_empty())),
        ("root", matches!(&service.run, Run::Static(site) if site.root.is_empty())),
    ] {
        if empty {
            let message = format!("\"{key}\" of service {name} is empty");
            found.push(
                Finding::error("missing-key", at.join("run").join(service.run.kind()), message).fix("fill it in"),
            );
        }
    }
    if let Some(backup) = &service.backup {
        for (index, dump) in backup.dumps.iter().enumerate() {
            of_dump(dump, at.join("backup").join("dumps").join(index), found);
        }
    }
}

fn checks(checks: &[CheckSpec], at: &Pointer, found: &mut Vec<Finding>) {
    for (index, check) in checks.iter().enumerate() {
        let at = at.join(index);
        let kinds = [
            ("http", check.http.is_some()),
            ("tcp", check.tcp.is_some()),
            ("tls", check.tls.is_some()),
            ("redis", check.redis.is_some()),
            ("websocket", check.websocket.is_some()),
            ("mail", check.mail.is_some()),
            ("dns", check.dns.is_some()),
            ("unit", check.unit.is_some()),
            ("disk", check.disk.is_some()),
            ("mount", check.mount.is_some()),
            ("freshness", check.freshness.is_some()),
            ("exec", check.exec.is_some()),
        ];
        one_of(at.clone(), "the check", &kinds, found);
        let headers = check.http.iter().flat_map(|http| http.headers.iter().enumerate());
        for (index, HttpHeader { value, secret_value, .. }) in headers {
            let kinds = [("value", value.is_some()), ("secret_value", secret_value.is_some())];
            one_of(at.join("http").join("headers").join(index), "the header", &kinds, found);
        }
    }
}

fn values<'a>(
    values: impl Iterator<Item = &'a Value>,
    keys: impl Iterator<Item = &'a String>,
    at: &Pointer,
    found: &mut Vec<Finding>,
) {
    for (key, value) in keys.zip(values) {
        let Value::Reference(reference) = value else { continue };
        let at = at.join(key);
        let Reference { secret, template, service, database, bucket, mailer, sso, host, attr, .. } = &**reference;
        let kinds = [
            ("secret", secret.is_some()),
            ("template", template.is_some()),
            ("service", service.is_some()),
            ("database", database.is_some()),
            ("bucket", bucket.is_some()),
            ("mailer", mailer.is_some()),
            ("sso", sso.is_some()),
            ("host", host.is_some()),
        ];
        one_of(at.clone(), "the value", &kinds, found);
        let allowed: &[&str] = match kinds.iter().find(|(_, given)| *given).map(|(kind, _)| *kind) {
            Some("service") => &["url", "name", "host", "address", "port"],
            Some("database") => &["url", "host", "port", "name", "user", "password"],
            Some("bucket") => &["url", "endpoint", "region", "name", "access_key", "secret_key"],
            Some("mailer") => &["host", "port", "user", "password", "from"],
            Some("sso") => &["issuer", "client_id", "client_secret"],
            Some("host") => &["name", "hostname", "fqdn", "address"],
            _ => continue,
        };
        match attr.as_deref() {
            Some(attr) if allowed.contains(&attr) => {}
            Some(attr) => {
                let message = format!("\"{attr}\" is nothing that can be asked here");
                let fix = cli::did_you_mean(attr, allowed.iter().copied()).map_or_else(
                    || format!("use one of {}", allowed.join(", ")),
                    |near| format!("did you mean \"{near}\"?"),
                );
                found.push(Finding::error("unknown-ref", at.join("attr"), message).fix(fix));
            }
            None => {
                let fix = format!("add \"attr\", one of {}", allowed.join(", "));
                found.push(Finding::error("missing-key", at, "the value does not say which attribute").fix(fix));
            }
        }
    }
}

fn user_file(file: &UserFile, at: &Pointer, found: &mut Vec<Finding>) {
    let UserFile { content, template, source, .. } = file;
    let kinds = [("content", content.is_some()), ("template", template.is_some()), ("source", source.is_some())];
    one_of(at.clone(), "the file", &kinds, found);
}

fn of_cluster(cluster: &Cluster, at: &Pointer, found: &mut Vec<Finding>) {
    let kinds = [("host", cluster.host.is_some()), ("external", cluster.external.is_some())];
    one_of(at.clone(), "the cluster", &kinds, found);
    if cluster.external.is_some() && cluster.admin.is_none() {
        let message = "a cluster that is not on a host of the fleet can only be managed with a role over the network";
        found.push(
            Finding::error("missing-key", at.clone(), message)
                .fix("add \"admin\": {\"user\": \"...\", \"password\": {\"secret\": \"...\"}}"),
        );
    }
}

/// A sender is one address, alone or as `NAME <ADDRESS>`: most programs do not start with anything else.
fn of_mailer(mailer: &Mailer, at: &Pointer, found: &mut Vec<Finding>) {
    let from = mailer.from.trim();
    let address = from.strip_suffix('>').and_then(|from| Some(from.rsplit_once('<')?.1)).unwrap_or(from);
    let good = address.split_once('@').is_some_and(|(name, domain)| {
        !name.is_empty() && super::is_hostname(domain) && !name.contains([' ', ',', '<', '>', '"'])
    });
    if !good {
        let message = format!("\"{}\" is no sender: one address is expected", mailer.from);
        let fix = "write ops@example.org, or Name <ops@example.org>";
        found.push(Finding::error("bad-mailer", at.join("from"), message).fix(fix));
    }
    if mailer.port == 0 {
        let fix = "465 with \"tls\": \"implicit\", else 587";
        found.push(Finding::error("bad-mailer", at.join("port"), "a port is a number from 1 to 65535").fix(fix));
    }
}

fn of_operation(operation: &Operation, at: Pointer, found: &mut Vec<Finding>) {
    let kinds = [
        ("restart", operation.restart.is_some()),
        ("status", operation.status.is_some()),
        ("logs", operation.logs.is_some()),
        ("command", !operation.command.is_empty()),
    ];
    one_of(at.clone(), "the operation", &kinds, found);
    if !operation.command.is_empty() && operation.host.is_none() {
        let message = "the operation does not say on which host it is";
        found.push(Finding::error("missing-key", at, message).fix("add \"host\""));
    }
}

fn of_provider(provider: &DnsProvider, at: Pointer, found: &mut Vec<Finding>) {
    one_key(at, "the provider", provider, &[], "rfc2136, zonefile, cloudflare, powerdns, ...", found);
}

fn records(records: &[DnsRecord], at: &Pointer, found: &mut Vec<Finding>) {
    for (index, record) in records.iter().enumerate() {
        let at = at.join("records").join(index);
        let common = ["name", "ttl", "proxied", "comment", "when", "from"];
        one_key(at, "the record", record, &common, "A, AAAA, CNAME, MX, TXT, ...", found);
    }
}

fn of_dump(dump: &BackupDump, at: Pointer, found: &mut Vec<Finding>) {
    one_key(at, "the dump", dump, &["id"], "postgres, sqlite, command", found);
}

fn of_generator(generator: &Generator, at: Pointer, found: &mut Vec<Finding>) {
    one_key(at, "the generator", generator, &[], "password, hex, base64, uuid, ...", found);
}

/// The same for types of the contract, whose kinds may grow: every key but the common ones names a kind.
fn one_key(at: Pointer, what: &str, item: &impl Serialize, common: &[&str], kinds: &str, found: &mut Vec<Finding>) {
    let given = kinds_of(item, common);
    if given.len() != 1 {
        let message = if given.is_empty() {
            format!("{what} does not say of what kind it is")
        } else {
            format!("{what} is of several kinds at once: {}", given.join(", "))
        };
        found.push(Finding::error("one-of", at, message).fix(format!("give exactly one of {kinds}")));
    }
}

/// The keys of an item that name its kind.
pub(crate) fn kinds_of(item: &impl Serialize, common: &[&str]) -> Vec<String> {
    let item = serde_json::to_value(item).unwrap_or_default();
    let keys = item.as_object().into_iter().flat_map(|object| object.keys());
    keys.filter(|key| !common.contains(&key.as_str())).cloned().collect()
}
