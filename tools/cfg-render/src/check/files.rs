//! Paths, each with one owner.

use std::collections::BTreeMap;

use contract::{Finding, Pointer};

use super::context::{Context, place};
use crate::fleet::Run;

/// `file-clash`, `bad-path`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let mut owners: BTreeMap<(&str, &str), (String, Pointer)> = BTreeMap::new();
    let mut own = |host, path, what: String, at: Pointer, found: &mut Vec<Finding>| match owners.get(&(host, path)) {
        Some((other, first)) => {
            let message = format!("{path} on host {host} belongs to {other} and to {what}");
            found.push(
                Finding::error("file-clash", at, message)
                    .related(first.clone())
                    .fix("let one of them own it, or use another path"),
            );
        }
        None => {
            owners.insert((host, path), (what, at));
        }
    };
    for (name, host) in context.hosts() {
        let at = place([&"hosts", name]);
        let files = host
            .files
            .keys()
            .map(|path| (path, "files"))
            .chain(host.directories.keys().map(|path| (path, "directories")));
        for (path, key) in files {
            let at = at.join(key).join(path);
            absolute(path, &at, found);
            own(name.as_str(), path.as_str(), format!("host {name}"), at, found);
        }
        for (index, path) in host.backup.iter().flat_map(|backup| backup.paths.iter().enumerate()) {
            absolute(path, &at.join("backup").join("paths").join(index), found);
        }
    }
    for (name, service) in &context.fleet.services {
        let at = place([&"services", name]);
        let files = service.files.keys().map(|path| (path, "files"));
        let directories = service.directories.keys().map(|path| (path, "directories"));
        let mut paths: Vec<(&str, Pointer)> =
            files.chain(directories).map(|(path, key)| (path.as_str(), at.join(key).join(path))).collect();
        paths.extend(service.env_file.iter().map(|path| (path.as_str(), at.join("env_file"))));
        for (path, at) in paths {
            absolute(path, &at, found);
            for host in &service.host {
                own(host.as_str(), path, format!("service {name}"), at.clone(), found);
            }
        }
        if let Some(backup) = &service.backup {
            for (index, path) in backup.paths.iter().enumerate() {
                absolute(path, &at.join("backup").join("paths").join(index), found);
            }
            for (index, omission) in backup.omit.iter().enumerate() {
                absolute(&omission.path, &at.join("backup").join("omit").join(index).join("path"), found);
            }
        }
        if let Run::Static(site) = &service.run {
            absolute(&site.root, &at.join("run").join("static").join("root"), found);
        }
    }
}

fn absolute(path: &str, at: &Pointer, found: &mut Vec<Finding>) {
    let strange = path.contains(['\n', '\r', '\0']);
    let climbs = path.split('/').any(|part| part == ".." || part == ".");
    let relative = !path.starts_with('/');
    if strange || climbs || relative || path.contains("//") {
        let message = "expected an absolute path without . and .. in it";
        found.push(Finding::error("bad-path", at.clone(), message).fix("write it as /var/lib/name"));
    }
}
