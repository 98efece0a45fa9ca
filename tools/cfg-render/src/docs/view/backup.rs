//! What is backed up, when and where to.

use super::{joined, plural, some_of};
use crate::docs::{Diagram, Kind, Line, Meanings, Node};
use crate::fleet::{BackupTool, Fleet};

pub(super) fn draw(fleet: &Fleet) -> Diagram {
    let mut diagram = Diagram::new(
        format!("{}: backup", fleet.name),
        "what each host backs up, by which plan, and into which repositories",
    )
    .meaning(Meanings { kinds: &[(Kind::External, "left out"), (Kind::Storage, "repository")], ..Meanings::default() });
    if fleet.backups.plans.is_empty() && fleet.backups.repositories.is_empty() {
        return diagram;
    }
    for name in fleet.hosts.keys() {
        let node = host_node(fleet, name);
        diagram.node(format!("host:{name}"), node);
    }
    for (name, plan) in &fleet.backups.plans {
        let kept = &plan.policy.retention;
        let kept: Vec<String> = [
            (kept.last, "last"),
            (kept.hourly, "hourly"),
            (kept.daily, "daily"),
            (kept.weekly, "weekly"),
            (kept.monthly, "monthly"),
            (kept.yearly, "yearly"),
        ]
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, word)| format!("{count} {word}"))
        .collect();
        let node = Node::new(Kind::Paper, format!("plan {name}"))
            .line(plan.policy.schedule.clone())
            .line(joined(&[
                match plan.tool {
                    BackupTool::Systemd => "restic by systemd",
                    BackupTool::Backrest => "Backrest",
                },
                &kept.join(", "),
            ]))
            .line(format!("restore proven every {}", plan.policy.drill_every));
        diagram.node(format!("plan:{name}"), node);
    }
    for (name, repository) in &fleet.backups.repositories {
        let words =
            [if repository.offsite { "off site" } else { "" }, if repository.append_only { "append-only" } else { "" }];
        let node = Node::new(Kind::Storage, name).line(repository.uri.clone()).line(joined(&words));
        diagram.node(format!("repository:{name}"), node);
    }
    for name in fleet.hosts.keys() {
        let plan = fleet.backup_plan_of(name).and_then(|plan| diagram.find(&format!("plan:{plan}")));
        if let (Some(from), Some(to)) = (diagram.find(&format!("host:{name}")), plan) {
            diagram.edge(from, to, "", Line::Solid);
        }
    }
    for name in fleet.backups.plans.keys() {
        for repository in fleet.repositories_of(name) {
            if let (Some(from), Some(to)) =
                (diagram.find(&format!("plan:{name}")), diagram.find(&format!("repository:{repository}")))
            {
                diagram.edge(from, to, "", Line::Solid);
            }
        }
    }
    notes(fleet, &mut diagram);
    diagram
}

fn host_node(fleet: &Fleet, name: &str) -> Node {
    let spec = fleet.hosts.get(name).and_then(|host| host.backup.as_ref());
    let mut node = Node::new(Kind::Host, name);
    if let Some(reason) = spec.and_then(|spec| spec.none.as_ref()) {
        return node.line(format!("not backed up: {reason}"));
    }
    if let Some(paths) = spec.map(|spec| &spec.paths).filter(|paths| !paths.is_empty()) {
        node.part(Kind::Host, "the host itself", some_of(paths, 2));
    }
    for (service_name, service) in fleet
        .services
        .iter()
        .filter(|(_, service)| service.host.iter().any(|host| host == name) && !service.is_external())
    {
        let backup = service.backup.clone().unwrap_or_default();
        let dumps = service.databases.iter().filter(|database| database.dump).count() + backup.dumps.len();
        let dumps = if dumps > 0 { plural(dumps, "dump") } else { String::new() };
        let line = match (&backup.none, backup.paths.is_empty() && dumps.is_empty()) {
            (Some(_), _) => "left out on purpose".to_owned(),
            (None, true) => "nothing".to_owned(),
            (None, false) => joined(&[&some_of(&backup.paths, 1), &dumps]),
        };
        let kind = if backup.none.is_some() || line == "nothing" { Kind::External } else { Kind::Service };
        node.part(kind, service_name, line);
    }
    for cluster in fleet
        .databases
        .iter()
        .filter(|(_, cluster)| cluster.host.as_deref() == Some(name) && !cluster.databases.is_empty())
    {
        node.part(Kind::Database, cluster.0, plural(cluster.1.databases.len(), "dump"));
    }
    node
}

/// What is left out, and why.
fn notes(fleet: &Fleet, diagram: &mut Diagram) {
    for (name, service) in &fleet.services {
        let Some(backup) = &service.backup else { continue };
        if let Some(reason) = &backup.none {
            diagram.notes.push(format!("{name} is left out: {reason}"));
        }
        for omission in &backup.omit {
            diagram.notes.push(format!("{name} leaves out {}: {}", omission.path, omission.reason));
        }
    }
}
