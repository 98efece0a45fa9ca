//! Profiles against the programs themselves, where Debian has them: when they run, and when they are gone.

use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};

use crate::server::free_port;
use crate::tool::{has, run};

/// A program that ends with the test, and its children with it.
struct Family(Child);

impl Drop for Family {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", "--", &format!("-{}", self.0.id())]).status();
        let _ = self.0.wait();
    }
}

fn start(command: &mut Command, directory: &Path) -> Family {
    command.current_dir(directory).env("HOME", directory).process_group(0);
    Family(command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap())
}

/// A program under way, and the check that looks at it.
struct Running {
    process: Family,
    check: Value,
}

/// Starts a program in a directory of its own.
type Start = fn(&Path) -> Running;

fn caddy(directory: &Path) -> Running {
    let port = free_port();
    std::fs::write(directory.join("Caddyfile"), format!("{{\nadmin 127.0.0.1:{port}\n}}\n")).unwrap();
    let mut command = Command::new("caddy");
    command.args(["run", "--adapter", "caddyfile", "--config", "Caddyfile"]);
    let check = json!({"id": "caddy", "profile": "caddy", "http": {"url": format!("http://127.0.0.1:{port}/")}});
    Running { process: start(&mut command, directory), check }
}

fn prometheus(directory: &Path) -> Running {
    let port = free_port();
    std::fs::write(directory.join("prometheus.yml"), "scrape_configs: []\n").unwrap();
    let mut command = Command::new("prometheus");
    command.args(["--config.file=prometheus.yml", "--storage.tsdb.path=data"]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let check =
        json!({"id": "prometheus", "profile": "prometheus", "http": {"url": format!("http://127.0.0.1:{port}/")}});
    Running { process: start(&mut command, directory), check }
}

fn alertmanager(directory: &Path) -> Running {
    let port = free_port();
    std::fs::write(directory.join("alertmanager.yml"), "route: {receiver: x}\nreceivers: [{name: x}]\n").unwrap();
    let mut command = Command::new("prometheus-alertmanager");
    command.args(["--config.file=alertmanager.yml", "--storage.path=alerts", "--cluster.listen-address="]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let check =
        json!({"id": "alertmanager", "profile": "alertmanager", "http": {"url": format!("http://127.0.0.1:{port}/")}});
    Running { process: start(&mut command, directory), check }
}

fn node_exporter(directory: &Path) -> Running {
    let port = free_port();
    let mut command = Command::new("prometheus-node-exporter");
    command.args(["--collector.disable-defaults", "--collector.loadavg"]);
    command.arg(format!("--web.listen-address=127.0.0.1:{port}"));
    let check = json!({"id": "node_exporter", "profile": "node_exporter", "http": {"url": format!("http://127.0.0.1:{port}/")}});
    Running { process: start(&mut command, directory), check }
}

fn transmission(directory: &Path) -> Running {
    let (port, peers) = (free_port(), free_port());
    let mut command = Command::new("transmission-daemon");
    command.args(["-f", "-g", "transmission", "-r", "127.0.0.1", "--no-portmap", "--no-dht", "--no-lpd"]);
    command.args(["-p", &port.to_string(), "-P", &peers.to_string()]);
    let check =
        json!({"id": "transmission", "profile": "transmission", "http": {"url": format!("http://127.0.0.1:{port}/")}});
    Running { process: start(&mut command, directory), check }
}

fn cockpit(directory: &Path) -> Running {
    let port = free_port();
    let mut command = Command::new("/usr/lib/cockpit/cockpit-ws");
    command.args(["--no-tls", "-a", "127.0.0.1", "-p", &port.to_string()]);
    let check = json!({"id": "cockpit", "profile": "cockpit", "http": {"url": format!("http://127.0.0.1:{port}/")}});
    Running { process: start(&mut command, directory), check }
}

fn mosquitto(directory: &Path) -> Running {
    let port = free_port();
    std::fs::write(directory.join("mosquitto.conf"), format!("listener {port} 127.0.0.1\nallow_anonymous false\n"))
        .unwrap();
    let mut command = Command::new("/usr/sbin/mosquitto");
    command.args(["-c", "mosquitto.conf"]);
    // It asks for a login: it lives.
    let check = json!({"id": "mosquitto", "profile": "mosquitto", "tcp": {"address": format!("127.0.0.1:{port}")}});
    Running { process: start(&mut command, directory), check }
}

fn zabbix_agent(directory: &Path) -> Running {
    // It takes no port above 32767, which is where the free ones are.
    let first = 20_000 + std::process::id() as u16 % 12_000;
    let port = (first..32_767).find(|port| std::net::TcpListener::bind(("127.0.0.1", *port)).is_ok()).unwrap();
    let log = directory.join("zabbix.log");
    let config = format!(
        "Server=127.0.0.1\nStartAgents=1\nListenIP=127.0.0.1\nListenPort={port}\nAllowRoot=1\nLogFile={}\nPidFile={}\n",
        log.display(),
        directory.join("zabbix.pid").display()
    );
    std::fs::write(directory.join("zabbix.conf"), config).unwrap();
    let mut command = Command::new("/usr/sbin/zabbix_agentd");
    command.args(["-f", "-c", directory.join("zabbix.conf").to_str().unwrap()]);
    let check =
        json!({"id": "zabbix-agent", "profile": "zabbix-agent", "tcp": {"address": format!("127.0.0.1:{port}")}});
    Running { process: start(&mut command, directory), check }
}

#[test]
fn programs_of_debian_are_what_their_profiles_say() {
    let programs: [(&str, &str, Start); 8] = [
        ("caddy", "caddy", caddy),
        ("prometheus", "prometheus", prometheus),
        ("prometheus-alertmanager", "prometheus-alertmanager", alertmanager),
        ("prometheus-node-exporter", "prometheus-node-exporter", node_exporter),
        ("transmission-daemon", "transmission-daemon", transmission),
        ("/usr/lib/cockpit/cockpit-ws", "cockpit-ws", cockpit),
        ("/usr/sbin/mosquitto", "mosquitto", mosquitto),
        ("/usr/sbin/zabbix_agentd", "zabbix-agent", zabbix_agent),
    ];
    let directory = tempfile::tempdir().unwrap();
    let mut running = Vec::new();
    for (program, package, start) in programs {
        if has(program, &format!("apt-get install -y {package}")) {
            let own = directory.path().join(package);
            std::fs::create_dir(&own).unwrap();
            running.push(start(&own));
        }
    }
    if running.is_empty() {
        return;
    }
    let checks: Vec<Value> = running.iter().map(|one| one.check.clone()).collect();
    // All of them start at once, on a machine that may have other things to do.
    let output = run(&["run", "--wait", "60s", "--interval", "200ms"], json!(checks));
    assert_eq!(output.code, 0, "{}", output.stdout);
    for one in running {
        drop(one.process);
    }
    let output = run(&["run", "--no-second-look"], json!(checks));
    for check in output.json()["checks"].as_array().unwrap() {
        assert_eq!(check["state"], "down", "{check}");
    }
}

/// The library on which Piper, Whisper and their like are built, as a server of it.
#[test]
fn speech_is_asked_in_the_wyoming_protocol() {
    let Some(home) = crate::tool::peer("wyoming", "wyoming") else { return };
    let script = "
import asyncio, sys
from wyoming.server import AsyncServer, AsyncEventHandler
from wyoming.info import Describe, Info
class Handler(AsyncEventHandler):
    async def handle_event(self, event):
        if Describe.is_type(event.type):
            await self.write_event(Info().event())
        return True
asyncio.run(AsyncServer.from_uri(sys.argv[1]).run(Handler))
";
    let directory = tempfile::tempdir().unwrap();
    let port = free_port();
    let mut command = Command::new(home.join("bin/python3"));
    command.args(["-c", script, &format!("tcp://127.0.0.1:{port}")]);
    let _server = start(&mut command, directory.path());
    let checks = json!([{"id": "piper", "profile": "piper", "tcp": {"address": format!("127.0.0.1:{port}")}}]);
    let output = run(&["run", "--wait", "30s", "--interval", "200ms"], checks);
    assert_eq!(output.code, 0, "{}", output.stdout);
    assert_eq!(output.check("piper")["message"], "connected, and it says what it must");
}
