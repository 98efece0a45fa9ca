//! What is wrong with a document of sources, as far as that can be told without looking at the host.

use std::collections::BTreeMap;

use contract::document::{BackupDump, BackupService, BackupSources};
use contract::{Finding, Pointer};

use crate::pattern::{Pattern, clean};

/// Places that hold no data, or that of all.
const NEVER: [&str; 5] = ["/proc", "/sys", "/dev", "/run", "/"];

/// All findings of a document.
pub(crate) fn check(sources: &BackupSources) -> Vec<Finding> {
    let mut findings = Vec::new();
    let root = Pointer::root();
    for (key, name) in [("host", &sources.host), ("plan", &sources.plan)] {
        if !is_id(name) {
            findings.push(
                Finding::error("bad-name", root.join(key), format!("\"{}\" is no name here", name.escape_debug()))
                    .fix("letters, digits, dots, dashes and underscores; it becomes a tag in the repository"),
            );
        }
    }
    check_path(&sources.staging, &root.join("staging"), &mut findings);
    let names = sources.services.iter().map(|service| service.name.as_str());
    duplicates(names, &root.join("services"), "name", "service", &mut findings);
    let ids = sources.repositories.iter().map(|repository| repository.id.as_str());
    duplicates(ids, &root.join("repositories"), "id", "repository", &mut findings);
    for (index, service) in sources.services.iter().enumerate() {
        check_service(service, &root.join("services").join(index), &mut findings);
    }
    check_dump_ids(sources, &mut findings);
    check_claims(sources, &mut findings);
    check_repositories(sources, &mut findings);
    findings
}

/// A name that can be a tag, a file name and an argument.
fn is_id(name: &str) -> bool {
    !name.is_empty()
        && !name.starts_with(['-', '.'])
        && name.bytes().all(|b| b.is_ascii_alphanumeric() || b".-_".contains(&b))
}

fn check_path(path: &str, at: &Pointer, findings: &mut Vec<Finding>) {
    let problem = if !path.starts_with('/') {
        Some("the path is not absolute")
    } else if path.contains(['\n', '\0']) {
        Some("the path holds a line break or a NUL character")
    } else if clean(path) != path {
        Some("the path is not in its shortest form")
    } else if NEVER.contains(&path) || NEVER[..4].iter().any(|never| is_inside(path, never)) {
        Some("this place holds no data of a service")
    } else {
        None
    };
    if let Some(problem) = problem {
        let mut finding = Finding::error("bad-path", at.clone(), problem);
        if path.starts_with('/') && clean(path) != path {
            finding = finding.fix(format!("write {}", clean(path)));
        }
        findings.push(finding);
    }
}

/// Whether a path is another one or inside it.
pub(crate) fn is_inside(path: &str, outer: &str) -> bool {
    path == outer || path.strip_prefix(outer).is_some_and(|rest| rest.starts_with('/') || outer == "/")
}

fn duplicates<'a>(
    names: impl Iterator<Item = &'a str>,
    at: &Pointer,
    key: &str,
    what: &str,
    findings: &mut Vec<Finding>,
) {
    let mut seen = BTreeMap::new();
    for (index, name) in names.enumerate() {
        let at_name = at.join(index).join(key);
        if !is_id(name) {
            findings.push(Finding::error(
                "bad-name",
                at_name.clone(),
                format!("\"{}\" is no name here", name.escape_debug()),
            ));
        }
        if let Some(first) = seen.insert(name, index) {
            let finding = Finding::error("duplicate-name", at_name, format!("there are two {what} entries \"{name}\""));
            findings.push(finding.related(at.join(first).join(key)));
        }
    }
}

fn check_service(service: &BackupService, at: &Pointer, findings: &mut Vec<Finding>) {
    for (index, path) in service.paths.iter().enumerate() {
        check_path(path, &at.join("paths").join(index), findings);
    }
    for (index, text) in service.exclude.iter().enumerate() {
        let at = at.join("exclude").join(index);
        if text.contains(['\n', '\r', '\0']) {
            findings.push(Finding::error("bad-pattern", at, "a pattern cannot hold a line break"));
            continue;
        }
        match Pattern::parse(text) {
            Err(why) => findings.push(Finding::error("bad-pattern", at, format!("{why}; restic would not start"))),
            Ok(None) => findings.push(Finding::warning("empty-pattern", at, "an empty pattern does nothing")),
            Ok(Some(pattern)) if pattern.is_absolute() => check_absolute(service, &pattern, at, findings),
            Ok(Some(_)) if service.paths.is_empty() => {
                findings.push(Finding::warning("empty-pattern", at, "the service has no paths that it could hold in"));
            }
            Ok(Some(_)) => {}
        }
    }
    for (index, dump) in service.dumps.iter().enumerate() {
        check_dump(dump, &at.join("dumps").join(index), findings);
    }
    if let Some(quiesce) = &service.quiesce {
        let at = at.join("quiesce");
        for (key, lines) in [("stop", &quiesce.stop), ("start", &quiesce.start)] {
            for (index, line) in lines.iter().enumerate() {
                if line.first().is_none_or(String::is_empty) {
                    findings.push(Finding::error(
                        "empty-command",
                        at.join(key).join(index),
                        "a command has no program",
                    ));
                }
            }
        }
        if quiesce.start.is_empty() && !quiesce.stop.is_empty() {
            findings.push(
                Finding::error("never-started", at.join("start"), "what is stopped would never be started again")
                    .fix("give the command lines that start it"),
            );
        }
    }
}

/// An absolute pattern must stay inside the service's own paths, and must not hit one of them as a whole.
fn check_absolute(service: &BackupService, pattern: &Pattern, at: Pointer, findings: &mut Vec<Finding>) {
    let start = pattern.literal_start();
    let inside = service.paths.iter().any(|path| {
        let parts = std::iter::once(b"/".to_vec())
            .chain(path.split('/').filter(|part| !part.is_empty()).map(|part| part.as_bytes().to_vec()));
        let parts: Vec<_> = parts.collect();
        start.len() >= parts.len() && start[..parts.len()] == parts[..]
    });
    if !inside {
        findings.push(
            Finding::error("exclude-crosses-owner", at, "the pattern reaches outside of the service's own paths")
                .fix("begin it with one of the service's paths, or write it without a leading /"),
        );
    }
}

fn check_dump(dump: &BackupDump, at: &Pointer, findings: &mut Vec<Finding>) {
    let kinds =
        usize::from(dump.postgres.is_some()) + usize::from(dump.sqlite.is_some()) + usize::from(dump.command.is_some());
    if kinds != 1 {
        findings.push(
            Finding::error("dump-kind", at.clone(), "a dump is of exactly one kind")
                .fix("give one of postgres, sqlite, command"),
        );
    }
    if !is_id(&dump.id) {
        findings.push(Finding::error(
            "bad-name",
            at.join("id"),
            "the id becomes a file name: letters, digits, dots, dashes, underscores",
        ));
    }
    if let Some(postgres) = &dump.postgres {
        let at = at.join("postgres");
        for (key, text) in [("host", &postgres.host), ("user", &postgres.user)] {
            if text.is_empty() || text.contains(['\n', '\0']) {
                findings.push(Finding::error("bad-name", at.join(key), "it is empty or holds a line break"));
            }
        }
        if postgres.database.as_ref().is_some_and(|database| database.is_empty() || database.contains('\0')) {
            findings.push(Finding::error("bad-name", at.join("database"), "the database has no name"));
        }
        if postgres.password.is_none() && !postgres.host.starts_with('/') {
            findings.push(Finding::warning("no-password", at, "a server on the network is asked without a password"));
        }
    }
    if let Some(sqlite) = &dump.sqlite {
        check_path(&sqlite.path, &at.join("sqlite").join("path"), findings);
    }
    if dump.command.as_ref().is_some_and(|command| command.argv.first().is_none_or(String::is_empty)) {
        findings.push(Finding::error("empty-command", at.join("command").join("argv"), "the command has no program"));
    }
}

fn check_dump_ids(sources: &BackupSources, findings: &mut Vec<Finding>) {
    let mut seen = BTreeMap::new();
    for (s, service) in sources.services.iter().enumerate() {
        for (d, dump) in service.dumps.iter().enumerate() {
            let at = Pointer::root().join("services").join(s).join("dumps").join(d).join("id");
            if let Some(first) = seen.insert(dump.id.as_str(), at.clone()) {
                let finding = Finding::error("duplicate-name", at, format!("there are two dumps \"{}\"", dump.id));
                findings.push(finding.related(first));
            }
        }
    }
}

/// Omissions against claims, and one path with several owners.
fn check_claims(sources: &BackupSources, findings: &mut Vec<Finding>) {
    let mut owners: BTreeMap<&str, (String, Pointer)> = BTreeMap::new();
    for (s, service) in sources.services.iter().enumerate() {
        for (p, path) in service.paths.iter().enumerate() {
            let at = Pointer::root().join("services").join(s).join("paths").join(p);
            if let Some((other, first)) = owners.insert(path, (service.name.clone(), at.clone())) {
                let message = format!("{path} is declared by {other} too");
                findings.push(Finding::warning("shared-path", at.clone(), message).related(first));
            }
            if is_inside(path, &sources.staging) || is_inside(&sources.staging, path) {
                findings.push(Finding::error(
                    "staging-claimed",
                    at.clone(),
                    "the path and the directory for dumps overlap",
                ));
            }
            for (o, omission) in sources.omit.iter().enumerate() {
                if is_inside(path, &omission.path) {
                    let related = Pointer::root().join("omit").join(o).join("path");
                    let message = format!("{path} is declared here and left out there");
                    findings.push(Finding::error("omit-against-claim", at.clone(), message).related(related));
                }
            }
        }
    }
    for (o, omission) in sources.omit.iter().enumerate() {
        let at = Pointer::root().join("omit").join(o);
        check_path(&omission.path, &at.join("path"), findings);
        if omission.reason.trim().is_empty() {
            findings.push(Finding::error("no-reason", at.join("reason"), "leaving something out needs a reason"));
        }
    }
}

fn check_repositories(sources: &BackupSources, findings: &mut Vec<Finding>) {
    let at = Pointer::root().join("repositories");
    if sources.repositories.is_empty() {
        findings.push(Finding::error("no-repository", at.clone(), "there is nowhere to back up to"));
    }
    for (index, repository) in sources.repositories.iter().enumerate() {
        let at = at.join(index);
        if repository.uri.is_empty() || repository.uri.starts_with('-') || repository.uri.contains(['\n', '\0']) {
            findings.push(Finding::error("bad-uri", at.join("uri"), "this is no address of a repository"));
        }
        let authority = repository.uri.split_once("://").map(|(_, rest)| rest.split('/').next().unwrap_or_default());
        if authority.and_then(|authority| authority.split_once('@')).is_some_and(|(user, _)| user.contains(':')) {
            findings.push(
                Finding::error(
                    "secret-in-uri",
                    at.join("uri"),
                    "the address holds a password, which every process could see",
                )
                .fix("take it out and give RESTIC_REST_USERNAME and RESTIC_REST_PASSWORD in `env`"),
            );
        }
        for name in repository.env.keys() {
            let good = name.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
            if !good || name.starts_with("LD_") || name == "PATH" || name == "RESTIC_PASSWORD" {
                findings.push(Finding::error(
                    "bad-variable",
                    at.join("env").join(name),
                    "this variable is not for restic's backend",
                ));
            }
        }
        let retention = &sources.policy.retention;
        let counts =
            [retention.last, retention.hourly, retention.daily, retention.weekly, retention.monthly, retention.yearly];
        if index == 0 && counts.iter().all(|count| *count == 0) {
            let at = Pointer::root().join("policy").join("retention");
            findings.push(Finding::error(
                "empty-retention",
                at,
                "nothing would be kept, which restic takes for everything",
            ));
        }
    }
    if sources.repositories.len() == 1 {
        findings.push(Finding::warning("single-copy", at.clone(), "there is one repository only"));
    }
    if !sources.repositories.is_empty() && !sources.repositories.iter().any(|repository| repository.offsite) {
        findings.push(Finding::warning("no-offsite", at, "no repository is in another place than the host"));
    }
}
