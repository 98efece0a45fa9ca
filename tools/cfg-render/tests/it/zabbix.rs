//! Zabbix from Debian's packages: the real server on a real PostgreSQL with the tables that our script puts there, and its web
//! interface under a real Apache, each with our files.

use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::run::{absent, cfg_render, document, files, files_of, full_tier, is_root, peer, say};

const INSTALL: &str =
    "apt-get install --no-install-recommends zabbix-server-pgsql zabbix-frontend-php php-pgsql libapache2-mod-php8.2";

fn fleet(postgres: u16, server: u16, web: u16) -> Value {
    json!({
        "schema": "fleet/v1", "name": "watch",
        "networks": {"lan": {"cidrs": ["10.1.0.0/16"]}},
        "defaults": {"host": {"os": "debian-12", "ssh": {"from": ["lan"], "keys": ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBV82WXasmTMJfOwvTZZOwwQ7OSKMPbfopAyMXYBakWv me"]}}},
        "hosts": {
            "mon": {"addresses": {"lan": ["10.1.0.1"]}, "timezone": "Europe/Berlin"},
            "app": {"addresses": {"lan": ["10.1.0.2"]}}
        },
        "databases": {"main": {"host": "mon", "port": postgres}},
        "services": {
            "zabbix-server": {"host": "mon", "run": {"package": {"packages": ["zabbix-server-pgsql"]}}, "ports": {"server": {"port": server, "bind": "local"}},
                "databases": [{"cluster": "main", "name": "zabbix", "owner": "zabbix", "auth": "scram", "password": {"secret": "zabbix-db"}}], "backup": {"none": "a test"}},
            "zabbix-web": {"host": "mon", "run": {"package": {"packages": ["zabbix-frontend-php"]}}, "ports": {"http": {"port": web}}, "backup": {"none": "a test"}}
        },
        "monitoring": {"network": "lan", "zabbix": {"web": "zabbix-web"}},
        "secrets": {"zabbix-db": {}}
    })
}

fn of<'a>(all: &'a [(String, String)], path: &str) -> &'a str {
    &all.iter().find(|(known, _)| known == path).unwrap_or_else(|| panic!("{path}")).1
}

#[test]
fn what_the_server_and_its_interface_are_told() {
    let whole = fleet(5432, 10051, 8090);
    let desired = document(&["host", "--host", "mon"], &whole);
    let all = files_of(&desired);
    let unit = of(&all, "/etc/systemd/system/zabbix-server.service.d/30-plumbline-database.conf");
    for line in [
        "Environment=PGHOST=127.0.0.1",
        "ExecStartPre=/usr/local/lib/plumbline/zabbix-schema",
        "EnvironmentFile=/run/secrets/rendered/zabbix-server.database.env",
    ] {
        assert!(unit.contains(line), "{line}: {unit}");
    }
    assert_eq!(of(&all, "/etc/apache2/ports.conf").lines().last().unwrap(), "Listen 127.0.0.1:8090");
    let interface = of(&all, "/etc/zabbix/zabbix.conf.php");
    assert!(interface.contains("$ZBX_SERVER_NAME = 'watch';"), "{interface}");
    assert!(!interface.contains("@@secret:"), "{interface}");
    let units: Vec<&str> =
        desired["items"].as_array().unwrap().iter().filter_map(|item| item["unit"]["name"].as_str()).collect();
    assert!(units.contains(&"zabbix-server.service") && units.contains(&"apache2.service"), "{units:?}");
    let manifest = document(&["secrets", "--host", "mon"], &whole);
    let template =
        |name: &str| manifest["templates"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap().clone();
    let server = template("zabbix_server.conf");
    assert_eq!(
        (&server["owner"], &server["link"]),
        (&json!("zabbix"), &json!("/etc/zabbix/zabbix_server.conf.d/plumbline.conf"))
    );
    assert!(
        server["text"]
            .as_str()
            .unwrap()
            .ends_with("ListenPort=10051\nListenIP=127.0.0.1\nDBPassword=@@secret:zabbix-db@@\n"),
        "{server}"
    );
    assert_eq!(template("zabbix-web.password")["owner"], "www-data");
    // Over the socket the system's user is proof enough, and nothing is secret; the interface cannot log in so.
    let mut peer = whole.clone();
    peer["services"]["zabbix-server"]["databases"] =
        json!([{"cluster": "main", "name": "zabbix", "owner": "zabbix", "auth": "peer"}]);
    peer["services"].as_object_mut().unwrap().remove("zabbix-web");
    peer["monitoring"]["zabbix"] = json!({});
    let text = of(&files(&peer, "mon"), "/etc/zabbix/zabbix_server.conf.d/plumbline.conf").to_owned();
    assert!(text.contains("DBHost=\n") && !text.contains("DBPassword"), "{text}");
    let high = cfg_render(&["host", "--host", "mon"], &fleet(5432, 40000, 8090).to_string());
    assert_eq!(high.status.code(), Some(65));
    assert!(String::from_utf8_lossy(&high.stderr).contains("take a port from 1024 to 32767"), "{high:?}");
    // Agents report to the server, whose port is open to them alone.
    let mut bound = whole.clone();
    bound["services"]["zabbix-server"]["ports"]["server"]["bind"] = json!("lan");
    bound["hosts"]["app"]["agents"] = json!({"zabbix_agent": {}});
    let rules = of(&files(&bound, "mon"), "/etc/nftables.conf").to_owned();
    assert!(rules.contains("10.1.0.2") && rules.contains("10051"), "{rules}");
}

struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // All of them end their own children when they are interrupted; PostgreSQL does not wait for its clients then.
        let pid = rustix::process::Pid::from_child(&self.0);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::INT);
        for _ in 0..100 {
            if self.0.try_wait().unwrap().is_some() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A file that is taken away at the end, where it was not there before.
struct Removed(&'static Path, bool);

impl Drop for Removed {
    fn drop(&mut self) {
        if self.1 {
            let _ = fs::remove_file(self.0);
        }
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// Zabbix takes no port above 32767, where those that the kernel gives begin.
fn low_port() -> u16 {
    let start = 20_000 + u16::try_from(std::process::id() % 10_000).unwrap();
    (start..32_767).find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap()
}

fn until<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + Duration::from_secs(90);
    loop {
        if let Some(found) = ask() {
            return found;
        }
        assert!(Instant::now() < end, "{what}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

fn put(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::write(&path, text).unwrap();
    path.to_str().unwrap().to_owned()
}

/// Full tier: it fills a database with 60 MB of templates.
#[test]
fn the_real_server_starts_and_its_interface_logs_in() {
    if !full_tier() {
        return;
    }
    let Some(postgres) = peer("postgres", "apt-get install postgresql-15") else { return };
    let here = [
        "/usr/sbin/zabbix_server",
        "/usr/sbin/apache2",
        "/usr/lib/apache2/modules/libphp8.2.so",
        "/usr/share/zabbix/index.php",
    ];
    if !here.iter().all(|path| Path::new(path).exists()) {
        absent("zabbix_server", INSTALL, true);
        return;
    }
    if !is_root() {
        eprintln!("skipped: a private cluster is made as the user postgres (run as root)");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let (pg_port, server_port, web_port) = (free_port(), low_port(), free_port());
    let whole = fleet(pg_port, server_port, web_port);
    let all = files(&whole, "mon");
    let manifest = document(&["secrets", "--host", "mon"], &whole);
    let filled = |name: &str| {
        let template = manifest["templates"].as_array().unwrap().iter().find(|one| one["name"] == name).unwrap();
        template["text"].as_str().unwrap().replace("@@secret:zabbix-db@@", "pa55word")
    };

    // PostgreSQL with the role and database that pg-ensure makes.
    let data = folder.path().join("pg");
    fs::create_dir(&data).unwrap();
    assert!(say(Command::new("chown").arg("postgres:").arg(&data)).0);
    let as_postgres = |program: &Path| {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(program).current_dir("/");
        command
    };
    let (good, said) = say(as_postgres(&postgres.with_file_name("initdb")).args(["-A", "trust", "-D"]).arg(&data));
    assert!(good, "{said}");
    fs::write(data.join("pg_hba.conf"), "local all postgres peer\nhost all all 127.0.0.1/32 scram-sha-256\n").unwrap();
    let _postgres = Ended(
        // Without runuser between, which keeps signals to itself.
        Command::new("setpriv")
            .args(["--reuid=postgres", "--regid=postgres", "--clear-groups"])
            .arg(&postgres)
            .current_dir("/")
            .arg("-D")
            .arg(&data)
            .args(["-p", &pg_port.to_string(), "-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-k"])
            .arg(&data)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    let sql = "CREATE ROLE zabbix LOGIN PASSWORD 'pa55word'";
    let psql = |sql: &str| {
        say(as_postgres(Path::new("/usr/bin/psql")).arg("-h").arg(&data).args(["-p", &pg_port.to_string(), "-Xc", sql]))
    };
    until("PostgreSQL does not come up", || psql(sql).0.then_some(()));
    assert!(psql("CREATE DATABASE zabbix OWNER zabbix").0);

    // The script before the server's start: twice, and the second time it has nothing to do.
    let drop_in = of(&all, "/etc/systemd/system/zabbix-server.service.d/30-plumbline-database.conf");
    let mut environment: Vec<(String, String)> = drop_in
        .lines()
        .filter_map(|line| line.strip_prefix("Environment=")?.split_once('='))
        .map(|(key, value)| (key.to_owned(), value.to_owned()))
        .collect();
    environment.push(("PGPASSWORD".into(), "pa55word".into()));
    let script = put(folder.path(), "schema", of(&all, "/usr/local/lib/plumbline/zabbix-schema"));
    let run = || say(Command::new("/bin/sh").arg(&script).envs(environment.iter().cloned()));
    let (good, said) = run();
    assert!(good, "{said}");
    let started = Instant::now();
    let (good, said) = run();
    assert!(good && said.is_empty() && started.elapsed() < Duration::from_secs(5), "{said}");

    // The server reads the distribution's file, which reads ours.
    let log = folder.path().join("server.log");
    let own = put(folder.path(), "conf.d/plumbline.conf", &filled("zabbix_server.conf"));
    let main = fs::read_to_string("/etc/zabbix/zabbix_server.conf").unwrap();
    let main: String =
        main.lines().filter(|line| !line.starts_with("Include=")).map(|line| line.to_owned() + "\n").collect();
    let main = main
        .replace("LogFile=/var/log/zabbix-server/zabbix_server.log", &format!("LogFile={}", log.display()))
        .replace(
            "PidFile=/run/zabbix/zabbix_server.pid",
            &format!("PidFile={}", folder.path().join("server.pid").display()),
        );
    let main = put(
        folder.path(),
        "zabbix_server.conf",
        &format!("{main}Include={own}\nSocketDir={}\n", folder.path().display()),
    );
    assert!(say(Command::new("chown").args(["-R", "zabbix:"]).arg(folder.path().join("conf.d"))).0);
    fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
    let _server = Ended(
        Command::new("setpriv")
            .args([
                "--reuid=zabbix",
                "--regid=zabbix",
                "--clear-groups",
                "/usr/sbin/zabbix_server",
                "--foreground",
                "-c",
                &main,
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap(),
    );
    until("the server does not start", || {
        let text = fs::read_to_string(&log).unwrap_or_default();
        (text.contains("server #0 started [main process]") && TcpStream::connect(("127.0.0.1", server_port)).is_ok())
            .then_some(())
    });

    // Apache with our site. The interface reads its settings at a fixed place, which a namespace of mounts gives it.
    let modules = ["mpm_prefork", "authz_core", "dir", "mime"]
        .map(|name| format!("LoadModule {name}_module /usr/lib/apache2/modules/mod_{name}.so\n"))
        .concat();
    let root = folder.path().display();
    let conf = format!(
        "{modules}LoadModule php_module /usr/lib/apache2/modules/libphp8.2.so\nServerRoot {root}\nServerName localhost\nErrorLog {root}/apache.log\nPidFile {root}/apache.pid\n\
         User www-data\nGroup www-data\nTypesConfig /etc/mime.types\nDirectoryIndex index.php\n<FilesMatch \"\\.php$\">\n    SetHandler application/x-httpd-php\n</FilesMatch>\n{}{}",
        of(&all, "/etc/apache2/ports.conf"),
        of(&all, "/etc/apache2/sites-available/000-default.conf")
    );
    let conf = put(folder.path(), "apache.conf", &conf);
    let settings = put(
        folder.path(),
        "zabbix.conf.php",
        &of(&all, "/etc/zabbix/zabbix.conf.php").replace("/run/secrets/rendered", folder.path().to_str().unwrap()),
    );
    put(folder.path(), "zabbix-web.password", &filled("zabbix-web.password"));
    let mounted = format!(
        "mount --make-rprivate / && touch /etc/zabbix/zabbix.conf.php && mount --bind {settings} /etc/zabbix/zabbix.conf.php && exec /usr/sbin/apache2 -DFOREGROUND -f {conf}"
    );
    // The place must be there to be covered.
    let place: &'static Path = Path::new("/etc/zabbix/zabbix.conf.php");
    let _empty = Removed(place, !place.exists());
    let (good, said) =
        say(Command::new("/usr/sbin/apache2").env("APACHE_LOG_DIR", folder.path()).args(["-t", "-f", &conf]));
    assert!(good && said.contains("Syntax OK"), "{said}");
    {
        let _apache = Ended(
            Command::new("unshare")
                .args(["--mount", "--", "sh", "-c", &mounted])
                // It ends its whole group of processes when it ends, which must not be that of the tests.
                .process_group(0)
                .env("APACHE_LOG_DIR", folder.path())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap(),
        );
        let ask = |request: String| -> Option<String> {
            let mut stream = TcpStream::connect(("127.0.0.1", web_port)).ok()?;
            stream.write_all(request.as_bytes()).ok()?;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).ok()?;
            Some(String::from_utf8_lossy(&answer).into_owned())
        };
        let get = |path: &str| ask(format!("GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n"));
        let page = until("the interface does not answer", || get("/index.php"));
        assert!(page.starts_with("HTTP/1.1 200") && page.contains("Zabbix"), "{page}");
        // The interface speaks to the server's database with the password in RAM: its API lets the first user in.
        let body = json!({"jsonrpc": "2.0", "method": "user.login", "params": {"username": "Admin", "password": "zabbix"}, "id": 1}).to_string();
        let post = format!(
            "POST /api_jsonrpc.php HTTP/1.0\r\nHost: localhost\r\nContent-Type: application/json-rpc\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let answer = ask(post).unwrap();
        assert!(answer.contains("\"result\":\""), "{answer}");
        let denied = get("/include/config.inc.php").unwrap();
        assert!(denied.starts_with("HTTP/1.1 403"), "{denied}");
    }
}
