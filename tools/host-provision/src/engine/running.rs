//! What runs on a host: what a first draft of a fleet is made from.
//!
//! Everything is only looked at. What looks like a secret in a command is left out, because facts are kept in files.

mod sites;

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::Path;
use std::time::Duration;

use contract::document::{ContainerFacts, CronFacts, DatabaseFacts, PortFacts, RunningFacts, UnitFacts};

use super::host::Host;
use super::process::{Process, is_there};

/// Looks at the host. What cannot be seen is named in `unseen`, never left out silently.
pub fn running(host: &Host) -> RunningFacts {
    let mut facts = RunningFacts::default();
    facts.packages = packages(&mut facts.unseen);
    if host.has_systemd() {
        facts.units = units(host, &mut facts.unseen);
    } else {
        facts.unseen.push("units: systemd does not run here".into());
    }
    facts.ports = ports();
    facts.sites = sites::of(host);
    facts.databases = databases(host, &mut facts.unseen);
    facts.cron = cron(host);
    facts.containers = containers(&mut facts.unseen);
    facts
}

fn said(argv: &[&str]) -> Result<String, String> {
    match Process::new(argv).timeout(Duration::from_secs(30)).run() {
        Ok(ended) if ended.good() => Ok(ended.stdout),
        Ok(ended) => Err(ended.last_words()),
        Err(fault) => Err(fault.into_object().message),
    }
}

fn lines(text: &str) -> impl Iterator<Item = &str> {
    text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn packages(unseen: &mut Vec<String>) -> Vec<String> {
    if !is_there("apt-mark") {
        return Vec::new();
    }
    match said(&["apt-mark", "showmanual"]) {
        Ok(text) => lines(&text).map(str::to_owned).collect(),
        Err(why) => {
            unseen.push(format!("packages: {why}"));
            Vec::new()
        }
    }
}

fn units(host: &Host, unseen: &mut Vec<String>) -> Vec<UnitFacts> {
    let argv = [
        "systemctl",
        "list-unit-files",
        "--type=service,timer",
        "--state=enabled",
        "--no-legend",
        "--plain",
        "--no-pager",
    ];
    let listed = match said(&argv) {
        Ok(listed) => listed,
        Err(why) => {
            unseen.push(format!("units: {why}"));
            return Vec::new();
        }
    };
    let names = lines(&listed).filter_map(|line| line.split_whitespace().next());
    // Those of the system itself say nothing about what a host is for, and a template is no unit.
    let names =
        names.filter(|name| !name.contains('@') && !name.starts_with("systemd-") && !name.starts_with("plumbline-"));
    names.map(|name| unit(host, name)).collect()
}

fn unit(host: &Host, name: &str) -> UnitFacts {
    let written = format!("/etc/systemd/system/{name}");
    // A link there is how a unit of a package is given another name.
    let own = std::fs::symlink_metadata(host.tree.real(&written)).is_ok_and(|found| found.is_file());
    let places = ["/etc/systemd/system", "/usr/lib/systemd/system", "/lib/systemd/system"];
    let text = places.iter().map(|place| host.text(&format!("{place}/{name}"))).find(|text| !text.is_empty());
    let value = |key: &str| {
        let value = text.as_deref()?.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(without_secrets(value.trim().trim_start_matches(['-', '@', '+', '!', ':'])))
    };
    UnitFacts {
        name: name.to_owned(),
        own,
        exec: value("ExecStart"),
        calendar: value("OnCalendar").filter(|_| Path::new(name).extension().is_some_and(|end| end == "timer")),
    }
}

/// What listens, from the kernel's tables, with the programs behind.
fn ports() -> Vec<PortFacts> {
    let programs = programs();
    let mut found = BTreeSet::new();
    for (table, proto, listening) in
        [("tcp", "tcp", "0A"), ("tcp6", "tcp", "0A"), ("udp", "udp", "07"), ("udp6", "udp", "07")]
    {
        let text = std::fs::read_to_string(format!("/proc/net/{table}")).unwrap_or_default();
        for line in text.lines().skip(1) {
            let fields: Vec<&str> = line.split_whitespace().collect();
            let [_, local, _, state, _, _, _, _, _, inode, ..] = fields.as_slice() else { continue };
            let Some((address, port)) = (*state == listening).then(|| socket(local)).flatten() else { continue };
            let program = programs.get(*inode).cloned();
            found.insert(PortFacts {
                proto: proto.into(),
                port,
                address: address.to_string(),
                program: program.as_ref().map(|(program, _)| program.clone()),
                unit: program.and_then(|(_, unit)| unit),
            });
        }
    }
    found.into_iter().collect()
}

/// An address and a port as the kernel writes them: words of four bytes, in the order of this machine.
fn socket(text: &str) -> Option<(IpAddr, u16)> {
    let (address, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let words = address.as_bytes().chunks(8).map(|word| u32::from_str_radix(std::str::from_utf8(word).ok()?, 16).ok());
    let words: Vec<[u8; 4]> = words.collect::<Option<Vec<u32>>>()?.into_iter().map(u32::to_ne_bytes).collect();
    let bytes = words.concat();
    let address = match bytes.len() {
        4 => IpAddr::V4(Ipv4Addr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => IpAddr::V6(Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => return None,
    };
    Some((address, port))
}

/// Name and unit of the programs that hold sockets, by the number of the socket.
fn programs() -> BTreeMap<String, (String, Option<String>)> {
    let mut all = BTreeMap::new();
    let entries = std::fs::read_dir("/proc").into_iter().flatten().flatten();
    for process in entries.filter(|entry| entry.file_name().to_string_lossy().bytes().all(|byte| byte.is_ascii_digit()))
    {
        let at = process.path();
        let Ok(open) = std::fs::read_dir(at.join("fd")) else { continue };
        let links = open.flatten().filter_map(|entry| std::fs::read_link(entry.path()).ok());
        let sockets: Vec<String> = links
            .filter_map(|link| Some(link.to_str()?.strip_prefix("socket:[")?.strip_suffix(']')?.to_owned()))
            .collect();
        if sockets.is_empty() {
            continue;
        }
        let name = std::fs::read_to_string(at.join("comm")).unwrap_or_default().trim().to_owned();
        let groups = std::fs::read_to_string(at.join("cgroup")).unwrap_or_default();
        let unit = groups.lines().flat_map(|line| line.rsplit('/')).find(|part| part.ends_with(".service"));
        for socket in sockets {
            all.insert(socket, (name.clone(), unit.map(str::to_owned)));
        }
    }
    all
}

fn files_in(host: &Host, directory: &str) -> Vec<String> {
    let entries = std::fs::read_dir(host.tree.real(directory)).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries.filter_map(|entry| entry.file_name().into_string().ok()).collect();
    names.retain(|name| !name.starts_with('.') && !name.ends_with('~') && !name.ends_with(".dpkg-old"));
    names.sort();
    names.into_iter().map(|name| format!("{directory}/{name}")).collect()
}

/// Databases of every PostgreSQL cluster whose socket lies where Debian puts it.
fn databases(host: &Host, unseen: &mut Vec<String>) -> Vec<DatabaseFacts> {
    let sockets = files_of_sockets(host);
    if sockets.is_empty() || !is_there("psql") {
        return Vec::new();
    }
    const QUERY: &str = "select current_setting('server_version_num')::int / 10000, datname, pg_get_userbyid(datdba) from pg_database where not datistemplate order by 2";
    let mut found = Vec::new();
    for port in sockets {
        let number = port.to_string();
        let psql = ["psql", "-XAtqF", "\t", "-h", "/run/postgresql", "-p", &number, "-d", "postgres", "-c", QUERY];
        let argv: Vec<&str> = ["runuser", "-u", "postgres", "--"].into_iter().chain(psql).collect();
        match said(&argv) {
            Ok(text) => found.extend(text.lines().filter_map(|line| {
                let [version, name, owner] = line.split('\t').collect::<Vec<_>>().try_into().ok()?;
                let engine = "postgresql".to_owned();
                (name != "postgres").then_some(())?;
                Some(DatabaseFacts {
                    engine,
                    version: version.parse().ok()?,
                    port,
                    name: name.into(),
                    owner: owner.into(),
                })
            })),
            Err(why) => unseen.push(format!("databases on port {port}: {why}")),
        }
    }
    found
}

fn files_of_sockets(host: &Host) -> Vec<u16> {
    let entries = std::fs::read_dir(host.tree.real("/run/postgresql")).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut ports: Vec<u16> = names.filter_map(|name| name.strip_prefix(".s.PGSQL.")?.parse().ok()).collect();
    ports.sort_unstable();
    ports
}

fn cron(host: &Host) -> Vec<CronFacts> {
    let mut found = cron_jobs(&host.text("/etc/crontab"), "/etc/crontab", None);
    for file in files_in(host, "/etc/cron.d") {
        found.extend(cron_jobs(&host.text(&file), &file, None));
    }
    for file in files_in(host, "/var/spool/cron/crontabs") {
        let user = file.rsplit('/').next().unwrap_or_default().to_owned();
        found.extend(cron_jobs(&host.text(&file), &file, Some(&user)));
    }
    for every in ["hourly", "daily", "weekly", "monthly"] {
        for file in files_in(host, &format!("/etc/cron.{every}")) {
            let (user, schedule) = ("root".to_owned(), format!("@{every}"));
            found.push(CronFacts { command: file.clone(), file, user, schedule });
        }
    }
    found
}

/// The jobs of a table of cron; in the system's own tables the user stands before the command.
fn cron_jobs(text: &str, file: &str, user: Option<&str>) -> Vec<CronFacts> {
    let job = |line: &str| {
        let count = if line.starts_with('@') { 1 } else { 5 };
        let mut words = line.split_whitespace();
        let schedule: Vec<&str> = words.by_ref().take(count).collect();
        // `NAME = value` sets a variable, which may be a secret.
        if schedule.len() < count || schedule[0].contains('=') || schedule.get(1) == Some(&"=") {
            return None;
        }
        let user = match user {
            Some(user) => user.to_owned(),
            None => words.next()?.to_owned(),
        };
        let command: Vec<&str> = words.collect();
        let command = without_secrets(&command.join(" "));
        (!command.is_empty()).then(|| CronFacts { file: file.into(), user, schedule: schedule.join(" "), command })
    };
    // What Debian's own table runs stands in the folders that are looked at anyway.
    lines(text)
        .filter(|line| !line.contains("run-parts") && !line.contains("/usr/sbin/anacron"))
        .filter_map(job)
        .collect()
}

fn containers(unseen: &mut Vec<String>) -> Vec<ContainerFacts> {
    let mut found = Vec::new();
    for engine in ["docker", "podman"] {
        if !is_there(engine) {
            continue;
        }
        const FORMAT: &str = "{{.Names}}\t{{.Image}}\t{{.Ports}}\t{{.Label \"com.docker.compose.project\"}}";
        match said(&[engine, "ps", "--no-trunc", "--format", FORMAT]) {
            Ok(text) => found.extend(text.lines().filter_map(|line| {
                let [name, image, ports, project] = line.split('\t').collect::<Vec<_>>().try_into().ok()?;
                let ports = ports.split(", ").filter(|port| port.contains("->")).map(str::to_owned).collect();
                let project = Some(project.to_owned()).filter(|project| !project.is_empty() && project != "<no value>");
                Some(ContainerFacts { engine: engine.into(), name: name.into(), image: image.into(), ports, project })
            })),
            Err(why) => unseen.push(format!("containers of {engine}: {why}")),
        }
    }
    found
}

/// A command without what looks like a secret: values of options and variables with a telling name, passwords in addresses.
fn without_secrets(text: &str) -> String {
    let telling = |name: &str| {
        let name = name.to_ascii_lowercase();
        ["pass", "secret", "token", "key", "credential", "auth"].iter().any(|word| name.contains(word))
    };
    let mut hide_next = false;
    let mut login_next = false;
    let mysql = ["mysql", "mariadb"].iter().any(|program| text.contains(program));
    let words = text.split(' ').map(|word| {
        let login = std::mem::replace(&mut login_next, word == "-u" || word == "--user") && word.contains(':');
        if (std::mem::take(&mut hide_next) && !word.starts_with('-')) || login {
            return "[left out]".to_owned();
        }
        // Its password is part of the option.
        if mysql && word.len() > 2 && word.starts_with("-p") {
            return "-p[left out]".to_owned();
        }
        match word.split_once('=') {
            // The name of a file is no secret.
            Some((name, value)) if telling(name) && !value.starts_with('/') => format!("{name}=[left out]"),
            Some(_) => without_login(word),
            None => {
                hide_next = word.starts_with('-') && telling(word) && !word.ends_with("-file");
                without_login(word)
            }
        }
    });
    words.collect::<Vec<_>>().join(" ")
}

/// An address without the password in it.
fn without_login(word: &str) -> String {
    let Some((scheme, rest)) = word.split_once("://") else { return word.to_owned() };
    let authority = rest.split('/').next().unwrap_or_default();
    match authority.rsplit_once('@') {
        Some((login, _)) if login.contains(':') => {
            let user = login.split(':').next().unwrap_or_default();
            format!("{scheme}://{user}:[left out]@{}", &rest[login.len() + 1..])
        }
        _ => word.to_owned(),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn cron_is_read_without_its_variables() {
        let text = "SHELL=/bin/sh\nRESTIC_PASSWORD=hunter2\nMAILTO = x\n*/5 * * * * root /usr/local/bin/job --now\n@daily backup restic -r sftp:h:/r backup /srv\n17 * * * * root cd / && run-parts /etc/cron.hourly\nbroken\n";
        let found = cron_jobs(text, "f", None);
        let brief: Vec<(&str, &str, &str)> =
            found.iter().map(|job| (job.user.as_str(), job.schedule.as_str(), job.command.as_str())).collect();
        assert_eq!(
            brief,
            [
                ("root", "*/5 * * * *", "/usr/local/bin/job --now"),
                ("backup", "@daily", "restic -r sftp:h:/r backup /srv")
            ]
        );
        assert_eq!(cron_jobs("0 3 * * * /home/a/x.sh\n", "f", Some("ann"))[0].user, "ann");
    }

    #[test]
    fn secrets_in_commands_are_left_out() {
        for (text, expected) in [
            ("curl -u x --password geheim http://h", "curl -u x --password [left out] http://h"),
            ("curl -u x:geheim http://h", "curl -u [left out] http://h"),
            ("mysqldump -uroot -pgeheim db", "mysqldump -uroot -p[left out] db"),
            ("DB_PASSWORD=geheim run", "DB_PASSWORD=[left out] run"),
            ("run --password-file /etc/p --api-key=geheim", "run --password-file /etc/p --api-key=[left out]"),
            ("run --key=/etc/ssl/key.pem", "run --key=/etc/ssl/key.pem"),
            ("pg_dump postgres://u:geheim@h:5432/db", "pg_dump postgres://u:[left out]@h:5432/db"),
            ("restic --repo rest:https://u:geheim@h/x", "restic --repo rest:https://u:[left out]@h/x"),
        ] {
            assert_eq!(without_secrets(text), expected);
        }
    }

    #[test]
    fn sockets_of_the_kernel_are_read() {
        assert_eq!(socket("0100007F:1538"), Some(("127.0.0.1".parse().unwrap(), 5432)));
        assert_eq!(socket("00000000000000000000000001000000:0016"), Some(("::1".parse().unwrap(), 22)));
        assert_eq!(socket("x:y"), None);
    }
}
