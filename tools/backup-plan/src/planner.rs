//! From sources and a look at the host to the plan.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;

use contract::document::{BackupPlan, BackupRoot, BackupService, BackupSources};
use contract::{Finding, Pointer};
use sha2::{Digest, Sha256};

use crate::check::is_inside;
use crate::pattern::{Patterns, as_line, clean, escape};
use crate::survey::{Problem, Tree, Walk, root_problem, tagged_parent, uncovered, walk};

mod steps;

/// What `plan` is asked for besides the sources.
#[derive(Debug, Clone)]
pub(crate) struct Options {
    /// Directory for state.
    pub state: String,
    /// Count files and bytes.
    pub sizes: bool,
    /// Directories whose children should all be covered.
    pub coverage: Vec<PathBuf>,
    /// Consents as `CODE:PATH`.
    pub allow: Vec<String>,
}

/// A plan, or the problems of the host that stand against it.
pub(crate) fn plan(
    sources: &BackupSources,
    findings: Vec<Finding>,
    options: &Options,
) -> Result<BackupPlan, Vec<Problem>> {
    let mut findings = findings;
    let sources = &across_layers(sources, &mut findings);
    let mut problems = Vec::new();
    let mut roots = claimed(sources, &mut problems);
    roots.entry(sources.staging.clone()).or_default().insert("backup".into());
    let tops = fold(roots);
    let scoped = scoped_excludes(sources);
    // Texts were checked before; a pattern that does not parse is not in here.
    let patterns = Patterns::parse(scoped.iter().map(String::as_str)).unwrap_or_default();
    for path in tops.keys() {
        excluded_root(path, &patterns, &mut problems);
    }
    if sources.policy.exclude_caches {
        for path in tops.keys() {
            if let Some(parent) = tagged_parent(path) {
                problems.push(Problem {
                    code: "root-in-cache",
                    path: path.clone(),
                    message: format!(
                        "{} is tagged as a cache, and restic before 0.19 leaves out what is in it",
                        parent.display()
                    ),
                    fix: "remove its CACHEDIR.TAG, or set exclude_caches to false".into(),
                });
            }
        }
    }
    repositories_inside(sources, &tops, &mut problems);
    dump_sources(sources, &mut problems);
    let how = Walk {
        excludes: &patterns,
        one_file_system: sources.policy.one_file_system,
        exclude_caches: sources.policy.exclude_caches,
        sizes: options.sizes,
    };
    let mut found = Vec::new();
    for (path, owners) in &tops {
        let staging = *path == sources.staging;
        // What lies in the staging directory is different at every run, so that it would make two plans differ.
        let tree = if staging { Tree::default() } else { walk(path, how) };
        live_databases(sources, &tree, &mut problems);
        if !tree.unreadable.is_empty() {
            let message = format!("{} cannot be read, and {} more", tree.unreadable[0], tree.unreadable.len() - 1);
            findings.push(Finding::warning("unreadable", place_of(sources, path), message));
        }
        let counted = options.sizes && !staging;
        found.push(BackupRoot {
            path: path.clone(),
            owners: owners.iter().cloned().collect(),
            optional: is_optional(sources, path),
            files: counted.then_some(tree.files),
            bytes: counted.then_some(tree.bytes),
        });
    }
    problems.sort();
    problems.dedup();
    let (allowed, refused): (Vec<_>, Vec<_>) =
        problems.into_iter().partition(|problem| options.allow.contains(&format!("{}:{}", problem.code, problem.path)));
    if !refused.is_empty() {
        return Err(refused);
    }
    findings.extend(allowed.into_iter().map(|problem| {
        let at = place_of(sources, &problem.path);
        Finding::warning(problem.code, at, format!("{}: {}", problem.path, problem.message)).fix(problem.fix)
    }));
    let covered: Vec<&str> =
        tops.keys().map(String::as_str).chain(sources.omit.iter().map(|omission| omission.path.as_str())).collect();
    let mut omit = sources.omit.clone();
    omit.sort_by(|a, b| a.path.cmp(&b.path));
    let mut plan = BackupPlan {
        host: sources.host.clone(),
        plan: sources.plan.clone(),
        digest: String::new(),
        staging: sources.staging.clone(),
        state: options.state.clone(),
        roots: found,
        excludes: scoped.iter().map(|pattern| as_line(pattern)).collect(),
        omit,
        steps: steps::steps(sources, &options.state),
        repositories: sources.repositories.clone(),
        policy: sources.policy.clone(),
        uncovered: options.coverage.iter().flat_map(|place| uncovered(place, &covered)).collect(),
        findings: contract::Findings::new(findings).findings,
    };
    plan.digest = digest(&plan);
    Ok(plan)
}

/// The sources with a policy that works on this host. On overlayfs a file can have another device number than its directory
/// (Linux, Documentation/filesystems/overlayfs.rst, "Inode properties"), so that restic's `--one-file-system` would leave
/// out every file and still call it a backup.
fn across_layers(sources: &BackupSources, findings: &mut Vec<Finding>) -> BackupSources {
    let mut sources = sources.clone();
    let layered = |path: &String| rustix::fs::statfs(path).is_ok_and(|fs| fs.f_type == OVERLAYFS_MAGIC);
    let paths = sources.services.iter().flat_map(|service| &service.paths);
    if sources.policy.one_file_system && paths.chain([&sources.staging]).any(layered) {
        sources.policy.one_file_system = false;
        let message = "on an overlay file system files cannot be told from those of another one, so mounts inside the paths are backed up too";
        findings.push(
            Finding::warning("overlay", Pointer::parse("/policy/one_file_system"), message)
                .fix("set one_file_system to false, and omit what is mounted there"),
        );
    }
    sources
}

/// `OVERLAYFS_SUPER_MAGIC` of linux/magic.h.
const OVERLAYFS_MAGIC: i64 = 0x794c_7630;

/// A hash over what a plan does: not over sizes, remarks or what nobody claims.
pub(crate) fn digest(plan: &BackupPlan) -> String {
    let mut plan = plan.clone();
    plan.digest.clear();
    plan.findings.clear();
    plan.uncovered.clear();
    for root in &mut plan.roots {
        (root.files, root.bytes) = (None, None);
    }
    let bytes = serde_json::to_vec(&plan).unwrap_or_default();
    Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
        text.push_str(&format!("{byte:02x}"));
        text
    })
}

/// Every path that is there, with its owners.
fn claimed(sources: &BackupSources, problems: &mut Vec<Problem>) -> BTreeMap<String, BTreeSet<String>> {
    let mut roots: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for service in &sources.services {
        for path in &service.paths {
            problems.extend(root_problem(path, service.optional));
            // An optional path that is missing stays in the plan: the service may come later.
            roots.entry(path.clone()).or_default().insert(service.name.clone());
        }
    }
    roots
}

/// Whether nobody insists on a root.
fn is_optional(sources: &BackupSources, path: &str) -> bool {
    let mut owners = sources.services.iter().filter(|service| service.paths.iter().any(|p| p == path)).peekable();
    owners.peek().is_some() && owners.all(|service| service.optional)
}

/// Roots inside others are part of those; their owners are named there.
fn fold(roots: BTreeMap<String, BTreeSet<String>>) -> BTreeMap<String, BTreeSet<String>> {
    let mut tops: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut all: Vec<_> = roots.into_iter().collect();
    // A parent is shorter than what is in it.
    all.sort_by_key(|(path, _)| path.len());
    for (path, owners) in all {
        match tops.iter_mut().find(|(top, _)| is_inside(&path, top)) {
            Some((_, known)) => known.extend(owners),
            None => {
                tops.insert(path, owners);
            }
        }
    }
    tops
}

/// Every pattern of every service, held inside that service's paths: restic matches each against every path.
fn scoped_excludes(sources: &BackupSources) -> Vec<String> {
    let mut scoped = Vec::new();
    for service in &sources.services {
        for pattern in &service.exclude {
            scoped.extend(scope(service, pattern));
        }
    }
    for omission in &sources.omit {
        scoped.push(escape(&omission.path));
    }
    // The order of one service's patterns matters (`!`), that of different services does not; repetitions do no harm.
    let mut seen = BTreeSet::new();
    let negated = scoped.iter().any(|pattern| pattern.starts_with('!'));
    scoped.retain(|pattern| negated || seen.insert(pattern.clone()));
    scoped
}

fn scope(service: &BackupService, pattern: &str) -> Vec<String> {
    let (mark, body) = match pattern.strip_prefix('!') {
        Some(rest) => ("!", rest),
        None => ("", pattern),
    };
    if body.is_empty() {
        return Vec::new();
    }
    if body.starts_with('/') {
        return vec![format!("{mark}{}", clean(body))];
    }
    let body = clean(body);
    // Two `**` in a row would not match directly below the root.
    let deep = if body.starts_with("**/") { "" } else { "**/" };
    service.paths.iter().map(|path| format!("{mark}{}/{deep}{body}", escape(path))).collect()
}

/// A root that is itself hit by a pattern: restic before 0.19 leaves it out, later ones do not.
fn excluded_root(path: &str, patterns: &Patterns, problems: &mut Vec<Problem>) {
    if patterns.exclude(std::path::Path::new(path)) {
        problems.push(Problem {
            code: "root-excluded",
            path: path.into(),
            message: "a pattern or an omission leaves it out as a whole".into(),
            fix: "narrow the pattern, or take the path out".into(),
        });
    }
}

/// A repository inside of what is backed up into it grows without end.
fn repositories_inside(
    sources: &BackupSources,
    tops: &BTreeMap<String, BTreeSet<String>>,
    problems: &mut Vec<Problem>,
) {
    for repository in sources.repositories.iter().filter(|repository| repository.uri.starts_with('/')) {
        let place = clean(&repository.uri);
        let omitted = sources.omit.iter().any(|omission| is_inside(&place, &omission.path));
        if let Some(root) = tops.keys().find(|root| is_inside(&place, root)).filter(|_| !omitted) {
            problems.push(Problem {
                code: "repository-inside-root",
                path: place.clone(),
                message: format!("the repository {} lies inside of {root}, which is backed up into it", repository.id),
                fix: "move it, or leave it out in `omit`".into(),
            });
        }
    }
}

fn dump_sources(sources: &BackupSources, problems: &mut Vec<Problem>) {
    let dumps = sources.services.iter().filter(|service| !service.optional).flat_map(|service| &service.dumps);
    for path in dumps.filter_map(|dump| dump.sqlite.as_ref()).map(|sqlite| &sqlite.path) {
        if !std::path::Path::new(path).is_file() {
            problems.push(Problem {
                code: "dump-source-missing",
                path: path.clone(),
                message: "the database file is not there; sqlite3 would make an empty one and dump that".into(),
                fix: "correct the path, or say \"optional\": true".into(),
            });
        }
    }
}

/// Files under a running database are no backup.
fn live_databases(sources: &BackupSources, tree: &Tree, problems: &mut Vec<Problem>) {
    for cluster in &tree.clusters {
        problems.push(Problem {
            code: "live-database",
            path: cluster.display().to_string(),
            message: "it is the data directory of a PostgreSQL cluster; copies of its files are no backup".into(),
            fix: "declare a postgres dump of its databases, and leave the directory out in `exclude` or `omit`".into(),
        });
    }
    for database in &tree.sqlite {
        let path = database.display().to_string();
        let handled = sources.services.iter().any(|service| {
            let dumped = service.dumps.iter().filter_map(|d| d.sqlite.as_ref()).any(|sqlite| sqlite.path == path);
            dumped || (service.quiesce.is_some() && service.paths.iter().any(|root| is_inside(&path, root)))
        });
        if !handled {
            problems.push(Problem {
                code: "live-database",
                path,
                message: "it is an SQLite database in use; a copy of the file without its log is no backup".into(),
                fix: "declare an sqlite dump of it, or quiesce its service".into(),
            });
        }
    }
}

/// Where in the document a path was declared.
fn place_of(sources: &BackupSources, path: &str) -> Pointer {
    let services = Pointer::root().join("services");
    for (s, service) in sources.services.iter().enumerate() {
        if let Some(p) = service.paths.iter().position(|root| is_inside(path, root)) {
            return services.join(s).join("paths").join(p);
        }
    }
    services
}
