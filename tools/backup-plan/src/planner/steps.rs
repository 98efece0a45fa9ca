//! The commands of a run, in order.

use contract::Duration;
use contract::document::{BackupDump, BackupRepository, BackupRetention, BackupSources, BackupStep, PostgresDump};

/// The longest that one dump may take.
const DUMP: Duration = Duration::from_secs(6 * 3600);
/// The longest that one backup, check or prune may take.
const ENGINE: Duration = Duration::from_secs(24 * 3600);
/// The longest that starting or stopping a service may take.
const SERVICE: Duration = Duration::from_secs(10 * 60);

fn step(id: String, kind: &str, argv: Vec<String>, timeout: Duration) -> BackupStep {
    BackupStep {
        id,
        kind: kind.into(),
        repository: None,
        argv,
        user: None,
        stdout: None,
        expect: None,
        file: None,
        password: None,
        timeout,
    }
}

fn words<const N: usize>(words: [&str; N]) -> Vec<String> {
    words.map(str::to_owned).into()
}

/// All steps of a plan.
pub(super) fn steps(sources: &BackupSources, state: &str) -> Vec<BackupStep> {
    let mut steps = Vec::new();
    for dump in sources.services.iter().flat_map(|service| &service.dumps) {
        steps.extend(dump_steps(dump, &sources.staging));
    }
    for service in &sources.services {
        let Some(quiesce) = &service.quiesce else { continue };
        for (index, line) in quiesce.stop.iter().enumerate() {
            steps.push(step(format!("quiesce/{}/{index}", service.name), "quiesce", line.clone(), SERVICE));
        }
    }
    for repository in &sources.repositories {
        steps.push(backup(sources, repository, state));
    }
    // The last that was stopped is started first.
    for service in sources.services.iter().rev() {
        let Some(quiesce) = &service.quiesce else { continue };
        for (index, line) in quiesce.start.iter().enumerate() {
            steps.push(step(format!("resume/{}/{index}", service.name), "resume", line.clone(), SERVICE));
        }
    }
    for repository in sources.repositories.iter().filter(|repository| !repository.append_only) {
        steps.push(forget(sources, repository));
    }
    for repository in &sources.repositories {
        steps.push(on(repository, "check", &["check"]));
    }
    for repository in sources.repositories.iter().filter(|repository| !repository.append_only) {
        steps.push(on(repository, "prune", &["prune"]));
    }
    steps
}

fn on(repository: &BackupRepository, kind: &str, command: &[&str]) -> BackupStep {
    let mut argv = words(["restic", "-r", &repository.uri]);
    argv.extend(command.iter().map(|word| (*word).to_owned()));
    let mut step = step(format!("{kind}/{}", repository.id), kind, argv, ENGINE);
    step.repository = Some(repository.id.clone());
    step
}

fn backup(sources: &BackupSources, repository: &BackupRepository, state: &str) -> BackupStep {
    let roots = format!("{state}/roots.raw");
    let excludes = format!("{state}/excludes.txt");
    let tags = [format!("plan:{}", sources.plan), format!("created-by:{}", sources.host)];
    let mut command = vec!["backup", "--json", "--host", &sources.host, "--tag", &tags[0], "--tag", &tags[1]];
    command.extend(["--files-from-raw", &roots, "--exclude-file", &excludes]);
    if sources.policy.exclude_caches {
        command.push("--exclude-caches");
    }
    if sources.policy.one_file_system {
        command.push("--one-file-system");
    }
    let mut step = on(repository, "backup", &command);
    // While it runs, services are down: for no longer than the one that may be down the shortest.
    let services = sources.services.iter().filter_map(|service| service.quiesce.as_ref());
    if let Some(longest) = services.filter(|quiesce| !quiesce.stop.is_empty()).map(|quiesce| quiesce.max).min() {
        let share = longest.as_millis() / sources.repositories.len().max(1) as u64;
        step.timeout = step.timeout.min(Duration::from_millis(share.max(1000)));
    }
    step
}

/// Grouped by host and tags: by paths, as is restic's way, every service that joins would freeze all older snapshots.
fn forget(sources: &BackupSources, repository: &BackupRepository) -> BackupStep {
    let tag = format!("plan:{}", sources.plan);
    let mut command = vec!["forget", "--json", "--host", &sources.host, "--tag", &tag, "--group-by", "host,tags"];
    let BackupRetention { last, hourly, daily, weekly, monthly, yearly } = sources.policy.retention;
    let kept = [
        ("--keep-last", last),
        ("--keep-hourly", hourly),
        ("--keep-daily", daily),
        ("--keep-weekly", weekly),
        ("--keep-monthly", monthly),
        ("--keep-yearly", yearly),
    ];
    let kept: Vec<_> = kept.into_iter().filter(|(_, n)| *n > 0).map(|(flag, n)| (flag, n.to_string())).collect();
    for (flag, count) in &kept {
        command.extend([*flag, count.as_str()]);
    }
    on(repository, "forget", &command)
}

/// A dump goes to `<file>.part`; once that was read to its end, it takes the place of the previous one.
fn dump_steps(dump: &BackupDump, staging: &str) -> Vec<BackupStep> {
    let id = &dump.id;
    let (suffix, mut make, mut verify) = if let Some(postgres) = &dump.postgres {
        postgres_steps(id, postgres)
    } else if let Some(sqlite) = &dump.sqlite {
        let verify = words(["sqlite3", "-batch", "-readonly", "PART", "PRAGMA integrity_check"]);
        let part = format!("{staging}/{id}.sqlite.part").replace('\'', "''");
        let sql = format!("VACUUM INTO '{part}'");
        let make =
            step(format!("dump/{id}"), "dump", words(["sqlite3", "-batch", "-readonly", &sqlite.path, &sql]), DUMP);
        let mut verify = step(format!("verify/{id}"), "verify", verify, DUMP);
        verify.expect = Some("ok".into());
        ("sqlite", make, verify)
    } else {
        let command = dump.command.clone().unwrap_or_default();
        let mut make = step(format!("dump/{id}"), "dump", command.argv, DUMP);
        make.user = command.user;
        make.stdout = Some(String::new());
        // Nothing is known of its format but that it is not empty.
        ("out", make, step(format!("verify/{id}"), "verify", words(["test", "-s", "PART"]), SERVICE))
    };
    let file = format!("{staging}/{id}.{suffix}");
    let part = format!("{file}.part");
    if make.stdout.is_some() {
        make.stdout = Some(part.clone());
    }
    for argument in &mut verify.argv {
        if argument == "PART" {
            argument.clone_from(&part);
        }
    }
    verify.file = Some(file);
    vec![make, verify]
}

fn postgres_steps(id: &str, postgres: &PostgresDump) -> (&'static str, BackupStep, BackupStep) {
    let port = postgres.port.to_string();
    let place = ["-h", &postgres.host, "-p", &port, "-U", &postgres.user, "--no-password"];
    let (suffix, mut argv, verify) = match &postgres.database {
        Some(database) => {
            let mut argv = words(["pg_dump", "-Fc"]);
            argv.extend(place.map(str::to_owned));
            // As an option's value, in which a name with `=` would be taken for a connection string unless it is one.
            argv.extend(["-d".to_owned(), format!("dbname='{}'", database.replace('\\', "\\\\").replace('\'', "\\'"))]);
            // A listing reads the table of contents only; this reads every byte.
            ("dump", argv, words(["pg_restore", "-f", "/dev/null", "PART"]))
        }
        None => {
            let mut argv = words(["pg_dumpall", "--globals-only"]);
            argv.extend(place.map(str::to_owned));
            ("sql", argv, words(["grep", "-q", "^-- PostgreSQL database cluster dump complete", "PART"]))
        }
    };
    argv.shrink_to_fit();
    let mut make = step(format!("dump/{id}"), "dump", argv, DUMP);
    make.stdout = Some(String::new());
    make.password.clone_from(&postgres.password);
    if postgres.host.starts_with('/') {
        make.user = Some(postgres.user.clone());
    }
    (suffix, make, step(format!("verify/{id}"), "verify", verify, DUMP))
}
