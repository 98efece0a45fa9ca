//! The documents as text for people.

use std::collections::BTreeMap;

use cli::Style;
use contract::document::{
    BackupSources, DnsDesired, HealthChecks, HostDesired, HostItem, HostsInventory, PgDesired, SecretsManifest, Stage,
};
use contract::{Findings, Level};

pub(super) fn findings(findings: &Findings, style: Style) -> String {
    let mut text = String::new();
    for finding in &findings.findings {
        let level = match finding.level {
            Level::Error => style.red("error"),
            Level::Warning => style.yellow("warning"),
            Level::Note => style.dim("note"),
        };
        text.push_str(&format!(
            "{level}: {}{}: {} [{}]\n",
            finding.file.as_ref().map(|file| format!("{file}: ")).unwrap_or_default(),
            visible(place(finding.pointer.as_str())),
            visible(&finding.message),
            finding.code
        ));
        for related in &finding.related {
            text.push_str(&format!("  see:  {}\n", place(related.as_str())));
        }
        if let Some(fix) = &finding.fix {
            text.push_str(&format!("  hint: {}\n", visible(fix)));
        }
    }
    let [errors, warnings, notes] = [Level::Error, Level::Warning, Level::Note].map(|level| count(findings, level));
    text.push_str(&format!("Check: {errors}, {warnings}, {notes}.\n"));
    text
}

/// How many findings there are of a level, with its word.
pub(super) fn count(findings: &Findings, level: Level) -> String {
    let word = match level {
        Level::Error => "error",
        Level::Warning => "warning",
        Level::Note => "note",
    };
    match findings.count(level) {
        1 => format!("1 {word}"),
        count => format!("{count} {word}s"),
    }
}

/// A text of the fleet on a terminal: what controls it is shown and does nothing.
fn visible(text: &str) -> String {
    let escaped = |c: char| if c.is_control() { c.escape_default().to_string() } else { c.to_string() };
    text.chars().map(escaped).collect()
}

fn place(pointer: &str) -> &str {
    if pointer.is_empty() { "/" } else { pointer }
}

/// Cells in aligned columns.
fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        rows.iter().filter_map(|row| row.get(column)).map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<_> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let cells = row.iter().enumerate().map(|(column, cell)| {
            let pad = widths[column].saturating_sub(cell.chars().count());
            format!("{cell}{}", " ".repeat(pad))
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        text.push_str(&format!("  {}\n", line.trim_end()));
    }
    text
}

pub(super) fn inventory(inventory: &HostsInventory, style: Style) -> String {
    let mut text = format!("{}\n", style.bold("Hosts"));
    let rows: Vec<_> = inventory
        .hosts
        .iter()
        .map(|host| {
            let ways: Vec<_> =
                host.addresses.iter().map(|way| format!("{}@{}:{}", way.user, way.address, way.port)).collect();
            vec![host.name.clone(), host.os.clone(), host.arch.as_str().to_owned(), ways.join(", then ")]
        })
        .collect();
    text.push_str(&table(&rows));
    if !inventory.databases.is_empty() {
        text.push_str(&format!("{}\n", style.bold("Databases")));
        let rows: Vec<_> = inventory
            .databases
            .iter()
            .map(|(name, database)| {
                vec![name.clone(), format!("managed from {}", database.run_on.as_deref().unwrap_or("the controller"))]
            })
            .collect();
        text.push_str(&table(&rows));
    }
    text.push_str(&format!("Inventory: {} hosts, {} databases.\n", inventory.hosts.len(), inventory.databases.len()));
    text
}

pub(super) fn host(desired: &HostDesired, style: Style) -> String {
    let mut text = format!("{}\n", style.bold(&format!("Host {}", desired.host)));
    if let Some(access) = &desired.access {
        let ports: Vec<_> = access.ssh_ports.iter().map(ToString::to_string).collect();
        let from = if access.networks.is_empty() { "anywhere".into() } else { access.networks.join(", ") };
        text.push_str(&format!(
            "  log in as {} on port {} from {from}\n",
            access.login_users.join(", "),
            ports.join(", ")
        ));
    }
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (stage, name) in [(Stage::Base, "base"), (Stage::Data, "data"), (Stage::Services, "services")] {
        let items: Vec<_> = desired.items.iter().filter(|item| item.stage == stage).collect();
        if items.is_empty() {
            continue;
        }
        text.push_str(&format!("\n{} {}\n", style.bold("Stage"), style.bold(name)));
        for item in items {
            let (kind, what, more) = describe(item);
            *counts.entry(kind).or_default() += 1;
            // What is longer than most does not push all others aside.
            let more = if more.is_empty() { String::new() } else { format!("{more} ") };
            let reason = style.dim(&format!("(for {})", reason(item)));
            text.push_str(&format!("  {kind:<9}  {what:<46}  {more}{reason}\n"));
        }
    }
    let counts: Vec<_> = counts.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
    text.push_str(&format!("\n{}: {} items ({}).\n", desired.host, desired.items.len(), counts.join(", ")));
    text
}

/// What an item is there for, in the fleet's words: services by name, else the key of the host.
fn reason(item: &HostItem) -> String {
    let mut names: Vec<String> = Vec::new();
    for place in &item.from {
        let keys: Vec<_> = place.keys().collect();
        let name = match keys.as_slice() {
            [first, name, ..] if first == "services" || first == "databases" => name.clone(),
            [first, _, key, ..] if first == "hosts" => key.clone(),
            [first, _, key, ..] if first == "defaults" => key.clone(),
            [first, ..] if first == "hosts" => "the host".into(),
            [first, ..] => first.clone(),
            [] => continue,
        };
        if !names.contains(&name) {
            names.push(name);
        }
    }
    let more = names.len().saturating_sub(4);
    names.truncate(4);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{more}", names.join(", "))
}

/// Kind of an item, what it is, and what else to know.
fn describe(item: &HostItem) -> (&'static str, String, String) {
    let notify = item.notify.iter().map(|handler| handler.0.as_str()).collect::<Vec<_>>().join(", ");
    if let Some(file) = &item.file {
        let mut more = format!("{} {}", file.mode, file.owner);
        if let Some(source) = &file.source {
            more.push_str(&format!(", from {source}"));
        }
        if let Some(set) = &file.set {
            more.push_str(&format!(", checked with set {set}"));
        } else if let Some(program) = file.validate.first() {
            more.push_str(&format!(", checked by {}", program.rsplit('/').next().unwrap_or(program)));
        }
        if !notify.is_empty() {
            more.push_str(&format!(", then {notify}"));
        }
        return ("file", file.path.clone(), more);
    }
    if let Some(packages) = &item.packages {
        let mut what = packages.present.join(" ");
        for absent in &packages.absent {
            what.push_str(&format!(" -{absent}"));
        }
        return ("packages", what, String::new());
    }
    if let Some(unit) = &item.unit {
        let state = match (unit.masked, unit.enabled, unit.state) {
            (true, _, _) => "masked".to_owned(),
            (_, enabled, state) => {
                let words = [
                    enabled.map(|on| if on { "enabled" } else { "disabled" }),
                    state.map(
                        |state| if state == contract::document::UnitState::Started { "started" } else { "stopped" },
                    ),
                ];
                words.into_iter().flatten().collect::<Vec<_>>().join(", ")
            }
        };
        return ("unit", unit.name.clone(), state);
    }
    if let Some(directory) = &item.directory {
        let data = if directory.data { ", data" } else { "" };
        return ("directory", directory.path.clone(), format!("{} {}{data}", directory.mode, directory.owner));
    }
    if let Some(user) = &item.user {
        return ("user", user.name.clone(), user.groups.join(", "));
    }
    if let Some(keys) = &item.authorized_keys {
        return ("keys", keys.user.clone(), format!("{} keys", keys.keys.len()));
    }
    if let Some(symlink) = &item.symlink {
        return ("symlink", symlink.path.clone(), format!("to {}", symlink.target));
    }
    if let Some(tool) = &item.tool {
        return ("tool", tool.name.clone(), tool.path.clone());
    }
    if let Some(group) = &item.group {
        return ("group", group.name.clone(), String::new());
    }
    if let Some(hostname) = &item.hostname {
        return ("hostname", hostname.name.clone(), String::new());
    }
    if let Some(timezone) = &item.timezone {
        return ("timezone", timezone.name.clone(), String::new());
    }
    if let Some(locale) = &item.locale {
        return ("locale", locale.lang.clone(), String::new());
    }
    ("other", item.id.clone(), String::new())
}

pub(super) fn dns(desired: &DnsDesired, style: Style) -> String {
    let mut text = String::new();
    let mut count = 0;
    for zone in &desired.zones {
        text.push_str(&format!("{} (at {})\n", style.bold(&zone.name), zone.provider));
        let mut rows = Vec::new();
        for record in &zone.records {
            count += 1;
            let value = serde_json::to_value(record).unwrap_or_default();
            let data =
                value.as_object().into_iter().flatten().filter(|(key, _)| key.chars().all(|c| c.is_ascii_uppercase()));
            for (kind, value) in data {
                let values = match value.as_array() {
                    Some(values) => values
                        .iter()
                        .map(|value| value.as_str().map_or_else(|| value.to_string(), str::to_owned))
                        .collect::<Vec<_>>()
                        .join(", "),
                    None => value.as_str().map_or_else(|| value.to_string(), str::to_owned),
                };
                rows.push(vec![record.name.clone(), kind.clone(), values]);
            }
        }
        text.push_str(&table(&rows));
    }
    text.push_str(&format!("Names: {} zones, {count} records.\n", desired.zones.len()));
    text
}

pub(super) fn postgres(desired: &PgDesired, style: Style) -> String {
    let mut text = format!("{}\n", style.bold(&format!("Cluster {}", desired.cluster.name)));
    let rows: Vec<_> = desired
        .roles
        .iter()
        .map(|role| {
            let login = match (&role.password, &role.os_user) {
                (Some(password), _) => format!("password from {}", password.secret),
                (None, Some(user)) => format!("as system user {user}"),
                (None, None) => String::new(),
            };
            vec!["role".into(), role.name.clone(), login]
        })
        .chain(desired.databases.iter().map(|database| {
            vec![
                "database".into(),
                database.name.clone(),
                database.owner.as_ref().map_or_else(String::new, |owner| format!("owned by {owner}")),
            ]
        }))
        .collect();
    text.push_str(&table(&rows));
    text.push_str(&format!(
        "{}: {} roles, {} databases.\n",
        desired.cluster.name,
        desired.roles.len(),
        desired.databases.len()
    ));
    text
}

pub(super) fn backup(sources: &BackupSources, style: Style) -> String {
    let mut text = format!("{}\n", style.bold(&format!("Backup of {}", sources.host)));
    let mut rows = Vec::new();
    for service in &sources.services {
        rows.extend(service.paths.iter().map(|path| vec![service.name.clone(), path.clone()]));
        rows.extend(service.dumps.iter().map(|dump| vec![service.name.clone(), format!("dump {}", dump.id)]));
    }
    rows.extend(
        sources.omit.iter().map(|omission| vec!["left out".into(), format!("{} ({})", omission.path, omission.reason)]),
    );
    text.push_str(&table(&rows));
    for repository in &sources.repositories {
        text.push_str(&format!("  to {} ({}), {}\n", repository.uri, repository.id, sources.policy.schedule));
    }
    text.push_str(&format!(
        "Backup: {} sources, {} repositories.\n",
        sources.services.len(),
        sources.repositories.len()
    ));
    text
}

pub(super) fn health(checks: &HealthChecks, style: Style) -> String {
    let mut text =
        format!("{}\n", style.bold(&format!("Seen from {}", checks.vantage.as_deref().unwrap_or("anywhere"))));
    let rows: Vec<_> = checks
        .checks
        .iter()
        .map(|check| {
            let needs =
                if check.needs.is_empty() { String::new() } else { format!("needs {}", check.needs.join(", ")) };
            vec![check.id.clone(), what_is_checked(check), needs]
        })
        .collect();
    text.push_str(&table(&rows));
    text.push_str(&format!("Health: {} checks.\n", checks.checks.len()));
    text
}

fn what_is_checked(check: &contract::document::HealthCheck) -> String {
    if let Some(http) = &check.http {
        return http.url.clone();
    }
    if let Some(tcp) = &check.tcp {
        return format!("{} {}", tcp.address, if tcp.closed { "is closed" } else { "is open" });
    }
    if let Some(ssh) = &check.ssh {
        return format!("ssh {}", ssh.address);
    }
    if let Some(unit) = &check.unit {
        return unit.name.clone();
    }
    if let Some(postgres) = &check.postgres {
        return format!("postgres {} as {}", postgres.address, postgres.user);
    }
    if let Some(disk) = &check.disk {
        return format!("space on {}", disk.path);
    }
    String::new()
}

pub(super) fn secrets(manifest: &SecretsManifest, style: Style) -> String {
    let of = manifest.host.as_deref().map_or_else(|| "the controller".to_owned(), |host| format!("host {host}"));
    let mut text = format!("{}\n", style.bold(&format!("Secrets of {of}")));
    let rows: Vec<_> = manifest
        .secrets
        .iter()
        .map(|secret| {
            let mut more = format!("{} {}:{}", secret.mode, secret.owner, secret.group);
            if let Some(link) = &secret.link {
                more.push_str(&format!(", linked from {link}"));
            }
            vec![secret.name.to_string(), format!("{}{}", secret.file, secret.pointer), more]
        })
        .chain(manifest.templates.iter().map(|template| {
            vec![
                template.name.clone(),
                "template".into(),
                format!("{} {}:{}", template.mode, template.owner, template.group),
            ]
        }))
        .collect();
    text.push_str(&table(&rows));
    text.push_str(&format!("Secrets: {} values, {} templates.\n", manifest.secrets.len(), manifest.templates.len()));
    text
}
