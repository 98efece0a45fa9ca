//! A PostgreSQL server of our own in a temporary directory, ended with the test.

use std::os::unix::fs::chown;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::tool::{Ran, run};

const INSTALL: &str = "apt-get install -y postgresql-15";

pub(crate) struct Cluster {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) bin: PathBuf,
    ids: (u32, u32),
    server: Option<Child>,
}

fn missing(what: &str) -> Option<Cluster> {
    assert!(std::env::var_os("PLUMBLINE_REQUIRE_PEERS").is_none(), "{what} is needed (install: {INSTALL})");
    eprintln!("skipped: {what} (install: {INSTALL})");
    None
}

/// Where PostgreSQL's programs are: the newest, or `PLUMBLINE_PG_BIN`.
fn programs() -> Option<PathBuf> {
    if let Some(given) = std::env::var_os("PLUMBLINE_PG_BIN") {
        return Some(given.into());
    }
    let mut found: Vec<_> = std::fs::read_dir("/usr/lib/postgresql")
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path().join("bin")))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop()
}

fn ids_of(user: &str) -> Option<(u32, u32)> {
    let text = std::fs::read_to_string("/etc/passwd").ok()?;
    let line = text.lines().find(|line| line.starts_with(&format!("{user}:")))?;
    let mut fields = line.split(':').skip(2);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

impl Cluster {
    /// A running server whose socket lets only `postgres` in as itself, or none where it cannot be had.
    pub(crate) fn start(settings: &[&str]) -> Option<Self> {
        if std::fs::metadata("/proc/self").map(|m| std::os::unix::fs::MetadataExt::uid(&m)).ok() != Some(0) {
            return missing("root, to run a server as postgres");
        }
        let (Some(bin), Some(ids)) = (programs(), ids_of("postgres")) else { return missing("PostgreSQL") };
        let directory = tempfile::Builder::new().prefix("pg-").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
        let data = directory.path().join("data");
        for path in [&data, &directory.path().join("socket")] {
            std::fs::create_dir(path).unwrap();
            chown(path, Some(ids.0), Some(ids.1)).unwrap();
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut cluster = Self { directory, port, bin, ids, server: None };
        let made = cluster
            .command("initdb")
            .args(["--auth-local=peer", "--auth-host=scram-sha-256", "--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status()
            .unwrap();
        assert!(made.success());
        let log = std::fs::File::create(cluster.directory.path().join("log")).unwrap();
        let mut server = cluster.command("postgres");
        server.arg("-D").arg(&data).args(["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1", "-c"]);
        server.arg(format!("port={port}")).arg("-c");
        server.arg(format!("unix_socket_directories={}", cluster.socket().display()));
        for setting in settings {
            server.arg("-c").arg(setting);
        }
        cluster.server = Some(server.stderr(log).spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(30);
        while cluster.try_sql("postgres", "SELECT 1").is_none() {
            assert!(Instant::now() < until, "{}", cluster.log());
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(cluster)
    }

    pub(crate) fn socket(&self) -> PathBuf {
        self.directory.path().join("socket")
    }

    pub(crate) fn log(&self) -> String {
        String::from_utf8_lossy(&std::fs::read(self.directory.path().join("log")).unwrap()).into_owned()
    }

    /// One of PostgreSQL's programs, run as the user postgres.
    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.uid(self.ids.0).gid(self.ids.1).current_dir(self.directory.path()).env_clear();
        command
    }

    fn try_sql(&self, database: &str, sql: &str) -> Option<String> {
        let mut psql = self.command("psql");
        psql.args(["-X", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-h"]).arg(self.socket());
        let output = psql.args(["-p", &self.port.to_string(), "-d", database, "-c", sql]).output().unwrap();
        output.status.success().then(|| String::from_utf8(output.stdout).unwrap().trim().to_owned())
    }

    /// What psql says to a query, as the superuser.
    #[track_caller]
    pub(crate) fn sql(&self, database: &str, sql: &str) -> String {
        self.try_sql(database, sql).unwrap_or_else(|| panic!("{sql}\n{}", self.log()))
    }

    /// Whether a role gets in over TCP with a password.
    pub(crate) fn login(&self, role: &str, password: &str, database: &str) -> bool {
        let mut psql = self.command("psql");
        psql.env("PGPASSWORD", password).args(["-X", "-h", "127.0.0.1", "-p", &self.port.to_string()]);
        psql.args(["-U", role, "-d", database, "-c", "SELECT 1"]).output().unwrap().status.success()
    }

    /// A document for this cluster through its socket.
    pub(crate) fn desired(&self, rest: &str) -> String {
        format!(
            r#"{{"schema":"pg.desired/v1","owner":"fleet","cluster":{{"name":"main","socket":{{"directory":"{}","port":{}}}}},{rest}}}"#,
            self.socket().display(),
            self.port
        )
    }

    pub(crate) fn secrets(&self) -> PathBuf {
        let directory = self.directory.path().join("secrets");
        if !directory.exists() {
            std::fs::create_dir(&directory).unwrap();
            std::fs::set_permissions(&directory, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        }
        directory
    }

    pub(crate) fn secret(&self, name: &str, value: &[u8]) {
        crate::tool::put_secret(&self.secrets(), name, value);
    }

    /// Runs the program with this cluster's secrets.
    pub(crate) fn run(&self, args: &[&str], stdin: &str) -> Ran {
        let secrets = self.secrets();
        let mut all = args.to_vec();
        all.extend(["--secrets-dir", secrets.to_str().unwrap()]);
        run(&all, stdin)
    }

    /// Applies a document, then asserts that a second plan is empty.
    #[track_caller]
    pub(crate) fn converge(&self, desired: &str) -> serde_json::Value {
        let applied = self.run(&["apply"], desired).ends(0).json();
        let again = self.run(&["plan", "--check"], desired);
        assert_eq!(again.code, 0, "a second plan is not empty: {again:#?}");
        applied
    }

    pub(crate) fn has_tls(&self) -> bool {
        self.sql("postgres", "SELECT setting FROM pg_config() WHERE name = 'CONFIGURE'").contains("openssl")
    }

    pub(crate) fn data(&self) -> PathBuf {
        self.directory.path().join("data")
    }

    pub(crate) fn pid(&self) -> Option<i32> {
        self.server.as_ref().and_then(|server| i32::try_from(server.id()).ok())
    }

    pub(crate) fn path(&self) -> &Path {
        self.directory.path()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let Some(mut server) = self.server.take() else { return };
        if let Some(pid) = i32::try_from(server.id()).ok().and_then(rustix::process::Pid::from_raw) {
            // QUIT is an immediate shutdown, in which the postmaster takes its children with it.
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = server.wait();
    }
}
