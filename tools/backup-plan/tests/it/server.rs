//! A PostgreSQL server of our own, ended with the test.

use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::house::is_root;

const INSTALL: &str = "apt-get install -y postgresql-15";

pub(crate) struct Server {
    pub(crate) directory: tempfile::TempDir,
    pub(crate) port: u16,
    pub(crate) bin: PathBuf,
    ids: (u32, u32),
    child: Option<Child>,
}

impl Server {
    pub(crate) fn start() -> Option<Self> {
        let bin = PathBuf::from("/usr/lib/postgresql/15/bin");
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
        let line = passwd.lines().find(|line| line.starts_with("postgres:"));
        let (true, true, Some(line)) = (is_root(), bin.join("initdb").exists(), line) else {
            assert!(
                std::env::var_os("PLUMBLINE_REQUIRE_PEERS").is_none(),
                "root and PostgreSQL 15 are needed (install: {INSTALL})"
            );
            eprintln!("skipped: root and PostgreSQL 15 (install: {INSTALL})");
            return None;
        };
        let mut fields = line.split(':').skip(2).map(|field| field.parse().unwrap());
        let ids = (fields.next().unwrap(), fields.next().unwrap());
        let directory = tempfile::Builder::new().prefix("pg-").tempdir_in("/tmp").unwrap();
        std::fs::set_permissions(directory.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["data", "socket"] {
            std::fs::create_dir(directory.path().join(name)).unwrap();
            chown(directory.path().join(name), Some(ids.0), Some(ids.1)).unwrap();
        }
        let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut server = Self { directory, port, bin, ids, child: None };
        let data = server.directory.path().join("data");
        let made = server
            .command("initdb")
            .args(["--auth-local=peer", "--auth-host=scram-sha-256", "--locale=C.UTF-8", "--no-sync", "-D"])
            .arg(&data)
            .stdout(Stdio::null())
            .status();
        assert!(made.unwrap().success());
        let mut postgres = server.command("postgres");
        postgres.arg("-D").arg(&data).args(["-c", "fsync=off", "-c", "listen_addresses=127.0.0.1"]);
        postgres.args(["-c", &format!("port={port}"), "-c", &format!("unix_socket_directories={}", server.socket())]);
        server.child = Some(postgres.stderr(Stdio::null()).spawn().unwrap());
        let until = Instant::now() + Duration::from_secs(30);
        while !server.sql("postgres", "SELECT 1") {
            assert!(Instant::now() < until, "the server does not start");
            std::thread::sleep(Duration::from_millis(50));
        }
        Some(server)
    }

    pub(crate) fn socket(&self) -> String {
        self.directory.path().join("socket").to_str().unwrap().to_owned()
    }

    fn command(&self, program: &str) -> Command {
        let mut command = Command::new(self.bin.join(program));
        command.uid(self.ids.0).gid(self.ids.1).current_dir(self.directory.path()).env_clear();
        command
    }

    pub(crate) fn sql(&self, database: &str, sql: &str) -> bool {
        let mut psql = self.command("psql");
        psql.args([
            "-X",
            "-q",
            "-v",
            "ON_ERROR_STOP=1",
            "-h",
            &self.socket(),
            "-p",
            &self.port.to_string(),
            "-d",
            database,
            "-c",
            sql,
        ]);
        psql.stdout(Stdio::null()).stderr(Stdio::null()).status().unwrap().success()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        if let Some(pid) = i32::try_from(child.id()).ok().and_then(rustix::process::Pid::from_raw) {
            let _ = rustix::process::kill_process(pid, rustix::process::Signal::QUIT);
        }
        let _ = child.wait();
    }
}
