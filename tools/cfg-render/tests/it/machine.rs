//! A machine for one test: namespaces for mounts, processes and the network, in which the files of a host lie at their own
//! places and its programs listen on their own ports. Nothing of it is left when it is dropped.

use std::fs;
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::Value;

use crate::run::{is_root, peer, say};

/// A machine for one test.
pub(crate) struct Machine {
    holder: Child,
    /// Its first process, as this machine numbers it.
    pid: String,
    /// A folder that both see at the same place.
    pub(crate) folder: tempfile::TempDir,
}

impl Drop for Machine {
    fn drop(&mut self) {
        // With its first process all others of it end.
        let _ = self.holder.kill();
        let _ = self.holder.wait();
    }
}

/// What a machine begins with: its own loopback, and its own copy of everything that is written.
const BEGIN: &str = r#"
set -eu
mount -t tmpfs tmpfs /mnt
for place in etc var usr opt srv root home; do
  mkdir -p "/mnt/$place.new" "/mnt/$place.work"
  mount -t overlay overlay -o "lowerdir=/$place,upperdir=/mnt/$place.new,workdir=/mnt/$place.work" "/$place"
done
mount -t tmpfs tmpfs /run
mkdir -p /run/secrets/rendered /run/sshd /run/credentials
ip link set lo up
"#;

impl Machine {
    /// A new machine; `None`, with a word, where there can be none.
    pub(crate) fn new() -> Option<Self> {
        for (program, package) in [("unshare", "util-linux"), ("ip", "iproute2"), ("setpriv", "util-linux")] {
            peer(program, &format!("apt-get install {package}"))?;
        }
        if !is_root() {
            eprintln!("skipped: namespaces are made by root");
            return None;
        }
        let folder = tempfile::Builder::new().permissions(fs::Permissions::from_mode(0o755)).tempdir().unwrap();
        let holder = Command::new("unshare")
            .args(["--mount", "--net", "--pid", "--kill-child", "--mount-proc", "sleep", "infinity"])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .spawn()
            .unwrap();
        let id = holder.id();
        let mut machine = Self { holder, pid: String::new(), folder };
        let begun = Instant::now();
        while machine.pid.is_empty() {
            assert!(begun.elapsed() < Duration::from_secs(10), "no namespaces");
            let child = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
            // Before it is `sleep` it is still on its way into the namespaces.
            let child = child.trim();
            let name = fs::read_to_string(format!("/proc/{child}/comm")).unwrap_or_default();
            if !child.is_empty() && name.trim() == "sleep" {
                child.clone_into(&mut machine.pid);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        let (good, said) = machine.sh(BEGIN);
        assert!(good, "{said}");
        Some(machine)
    }

    /// A program in the machine.
    pub(crate) fn command(&self, program: &str) -> Command {
        let mut command = Command::new("nsenter");
        command.args(["--target", &self.pid, "--mount", "--net", "--pid", "--wd=/", program]);
        command.stdin(Stdio::null());
        command
    }

    /// Runs a script in the machine and returns whether it ended well, and everything that it said.
    pub(crate) fn sh(&self, script: &str) -> (bool, String) {
        say(self.command("sh").args(["-c", script]))
    }

    /// The same, which must end well.
    pub(crate) fn must(&self, script: &str) -> String {
        let (good, said) = self.sh(script);
        assert!(good, "{script}\n{said}");
        said
    }

    /// Runs something of the test's own in the machine's network: what it connects to and listens on is there.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> T + Send) -> T {
        let network = fs::File::open(format!("/proc/{}/ns/net", self.pid)).unwrap();
        std::thread::scope(|scope| {
            let thread = scope.spawn(move || {
                let kind = rustix::thread::LinkNameSpaceType::Network;
                rustix::thread::move_into_link_name_space(network.as_fd(), Some(kind)).unwrap();
                work()
            });
            thread.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Starts a program that goes on. What it says goes into `NAME.log` of the folder.
    pub(crate) fn start(&self, name: &str, command: &mut Command) {
        let log = fs::File::create(self.folder.path().join(format!("{name}.log"))).unwrap();
        // It ends with the machine, whose namespace of processes it is in.
        let mut child = command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap();
        std::thread::spawn(move || child.wait());
    }

    /// What a started program has said.
    pub(crate) fn log(&self, name: &str) -> String {
        fs::read_to_string(self.folder.path().join(format!("{name}.log"))).unwrap_or_default()
    }

    /// Waits until a script ends well.
    pub(crate) fn wait_for(&self, script: &str, programs: &[&str]) -> String {
        let begun = Instant::now();
        loop {
            let (good, said) = self.sh(script);
            if good {
                return said;
            }
            if begun.elapsed() > Duration::from_secs(30) {
                let logs: Vec<_> = programs.iter().map(|name| format!("\n--- {name}\n{}", self.log(name))).collect();
                let logs = logs.concat();
                panic!("{script}\n{said}{logs}");
            }
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Waits until something listens on a port.
    pub(crate) fn wait_for_port(&self, port: u16, programs: &[&str]) {
        self.wait_for(&format!("ss -Hltn 'sport = :{port}' | grep -q ."), programs);
    }

    /// Writes a file.
    pub(crate) fn write(&self, path: &str, content: &[u8], mode: &str, owner: &str) {
        let from = self.folder.path().join("written");
        fs::write(&from, content).unwrap();
        let from = from.display();
        self.must(&format!(
            "mkdir -p \"$(dirname '{path}')\" && cp '{from}' '{path}' && chown {owner} '{path}' && chmod {mode} '{path}'"
        ));
    }

    /// Puts the groups, users, directories, files and links of a host's document to their places. Files are given to
    /// `change` first.
    pub(crate) fn place(&self, desired: &Value, change: impl Fn(&str, String) -> String) {
        for item in desired["items"].as_array().unwrap() {
            let word = |kind: &str, key: &str| item[kind][key].as_str().unwrap_or_default().to_owned();
            if item.get("group").is_some() {
                self.must(&format!("groupadd -f --system {}", word("group", "name")));
            } else if let Some(user) = item.get("user") {
                let name = word("user", "name");
                let of = |flag: &str, key: &str| match user[key].as_str() {
                    Some(value) => format!("{flag} {value} "),
                    None => String::new(),
                };
                let groups: Vec<_> =
                    user["groups"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
                let more = if groups.is_empty() { String::new() } else { format!("-a -G {}", groups.join(",")) };
                let settings = of("-g", "group") + &of("-d", "home") + &of("-s", "shell");
                self.must(&format!("id -u {name} >/dev/null 2>&1 || useradd --system {settings}{name}; usermod {settings}{more} {name} 2>/dev/null || usermod {more} {name}"));
            } else if item.get("directory").is_some() {
                let (path, owner) = (word("directory", "path"), word("directory", "owner"));
                let (group, mode) = (word("directory", "group"), word("directory", "mode"));
                self.must(&format!("mkdir -p '{path}' && chown {owner}:{group} '{path}' && chmod {mode} '{path}'"));
            } else if item.get("file").is_some_and(|file| file["source"].is_null()) {
                let (path, owner) = (word("file", "path"), word("file", "owner"));
                let (group, mode) = (word("file", "group"), word("file", "mode"));
                let bytes = match item["file"]["content"].as_str() {
                    Some(text) => change(&path, text.to_owned()).into_bytes(),
                    None => base64::engine::general_purpose::STANDARD.decode(word("file", "content_base64")).unwrap(),
                };
                self.write(&path, &bytes, &mode, &format!("{owner}:{group}"));
            } else if item.get("symlink").is_some() {
                let (path, target) = (word("symlink", "path"), word("symlink", "target"));
                self.must(&format!("mkdir -p \"$(dirname '{path}')\" && ln -sfn '{target}' '{path}'"));
            } else if let Some(keys) = item.get("authorized_keys") {
                let user = keys["user"].as_str().unwrap();
                let lines: Vec<_> = keys["keys"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
                let lines = lines.join("\n") + "\n";
                let home = self.must(&format!("getent passwd {user} | cut -d: -f6"));
                let path = format!("{}/.ssh/authorized_keys", home.trim());
                self.write(&path, lines.as_bytes(), "600", &format!("{user}:"));
            }
        }
    }

    /// What secret-encrypt does from the manifest: secrets with these values, and templates filled with them. The values of
    /// tests are letters and digits, which no format escapes.
    pub(crate) fn materialize(&self, desired: &Value, values: &[(&str, &str)]) {
        let items = desired["items"].as_array().unwrap();
        let manifest = items.iter().find_map(|item| {
            let file = item.get("file").filter(|file| file["path"] == "/var/lib/plumbline/secrets/manifest.json")?;
            let bytes = base64::engine::general_purpose::STANDARD.decode(file["content_base64"].as_str()?).unwrap();
            Some(serde_json::from_slice::<Value>(&bytes).unwrap())
        });
        let manifest = manifest.expect("no manifest of secrets");
        let of = |value: &Value, key: &str| value[key].as_str().unwrap().to_owned();
        for secret in manifest["secrets"].as_array().unwrap() {
            let name = of(secret, "name");
            let Some((_, value)) = values.iter().find(|(known, _)| *known == name) else { continue };
            let path = format!("/run/secrets/{name}");
            let owner = format!("{}:{}", of(secret, "owner"), of(secret, "group"));
            self.write(&path, value.as_bytes(), &of(secret, "mode"), &owner);
            if let Some(link) = secret["link"].as_str() {
                self.must(&format!("mkdir -p \"$(dirname '{link}')\" && ln -sfn '{path}' '{link}'"));
            }
        }
        for template in manifest["templates"].as_array().into_iter().flatten() {
            let mut text = of(template, "text");
            for (name, value) in values {
                text = text.replace(&format!("@@secret:{name}@@"), value);
            }
            let path = format!("/run/secrets/rendered/{}", of(template, "name"));
            let owner = format!("{}:{}", of(template, "owner"), of(template, "group"));
            self.write(&path, text.as_bytes(), &of(template, "mode"), &owner);
            if let Some(link) = template["link"].as_str() {
                self.must(&format!("mkdir -p \"$(dirname '{link}')\" && ln -sfn '{path}' '{link}'"));
            }
        }
    }

    /// Values of a key in the drop-ins of a package's unit.
    pub(crate) fn values_of_drop_in(&self, unit: &str, key: &str) -> Vec<String> {
        let text = self.must(&format!("cat /etc/systemd/system/{unit}.d/*.conf 2>/dev/null || true"));
        let lines = text.lines().filter_map(|line| line.strip_prefix(&format!("{key}=")));
        lines.filter(|line| !line.is_empty()).map(str::to_owned).collect()
    }

    /// Commands of a drop-in for a package's unit, as root.
    pub(crate) fn drop_in(&self, unit: &str, key: &str) -> Vec<Command> {
        let lines = self.values_of_drop_in(unit, key);
        lines
            .iter()
            .map(|line| {
                let mut command = self.command("sh");
                command.args(["-c", line.trim_start_matches('+')]);
                command
            })
            .collect()
    }

    /// The program of a unit as systemd would start it: its user and groups, its credentials, its environment. Of what else
    /// a unit can say nothing is done, but the unit's own sandbox is not what these tests look at.
    pub(crate) fn unit(&self, name: &str, key: &str) -> Vec<Command> {
        let text = self.must(&format!("cat /etc/systemd/system/{name}"));
        let values = |key: &str| {
            text.lines().filter_map(|line| line.strip_prefix(&format!("{key}="))).map(str::to_owned).collect::<Vec<_>>()
        };
        let user = values("User").pop();
        let folder = format!("/run/credentials/{name}");
        for credential in values("LoadCredential") {
            let (id, path) = credential.split_once(':').unwrap();
            let owner = user.as_deref().unwrap_or("root");
            self.must(&format!(
                "mkdir -p {folder} && cp {path} {folder}/{id} && chown -R {owner} {folder} && chmod 0400 {folder}/{id}"
            ));
        }
        // A percent sign is written twice in a unit, where one begins a specifier.
        let mut environment: Vec<String> =
            values("Environment").iter().map(|assignment| assignment.replace("%%", "%")).collect();
        for file in values("EnvironmentFile") {
            let text = self.must(&format!("cat '{file}'"));
            let lines = text.lines().filter(|line| line.contains('=') && !line.starts_with('#'));
            environment.extend(lines.map(|line| line.replace('"', "")));
        }
        let umask = values("UMask").pop().unwrap_or_else(|| "0022".into());
        values(key)
            .into_iter()
            .map(|line| {
                // "+" stands for the rights of the system.
                let (line, whole) = line.strip_prefix('+').map_or((line.as_str(), false), |line| (line, true));
                let mut command = self.command("sh");
                command.args(["-c", "umask $0; exec \"$@\"", &umask, "env"]);
                command.args(environment.iter().map(|assignment| assignment.trim_matches('"')));
                if let (Some(user), false) = (&user, whole) {
                    command.args(["setpriv", &format!("--reuid={user}"), &format!("--regid={user}"), "--init-groups"]);
                }
                command.args(words(line));
                command
            })
            .collect()
    }

    /// A place of the folder that the machine sees too.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Runs as a user of the machine; whether it ended well, and what it said.
    pub(crate) fn run_as(&self, user: &str, script: &str) -> (bool, String) {
        let mut command = self.command("setpriv");
        command.args([&format!("--reuid={user}"), &format!("--regid={user}"), "--init-groups", "sh", "-c", script]);
        say(&mut command)
    }
}

/// The words of a line of ours in a unit: quoted where they must be, with two signs for one where systemd would read them.
fn words(line: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quoted = false;
    let mut signs = line.chars();
    while let Some(sign) = signs.next() {
        match sign {
            '"' => quoted = !quoted,
            '\\' => words.last_mut().unwrap().extend(signs.next()),
            ' ' if !quoted => words.push(String::new()),
            sign => words.last_mut().unwrap().push(sign),
        }
    }
    words.iter().map(|word| word.replace("$$", "$").replace("%%", "%")).collect()
}
