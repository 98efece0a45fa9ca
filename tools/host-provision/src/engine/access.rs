//! The owner's way in: what may cut it, and how the old way is held open until the new one is proven.

use contract::document::Access;
use contract::places;

use super::handlers::{SOCKET, restart_socket, socket_listens};
use super::host::{Host, write_durably};
use super::process::Process;
use super::run::Run;
use super::undo::{Before, Undo};
use super::units::{UnitKey, show, systemctl};
use crate::fault::{Fault, Outcome};

/// Sorts before every other drop-in; says which ports stay open until the proof.
const DROP_IN: &str = "/etc/ssh/sshd_config.d/00--plumbline-transition.conf";

/// The same for sshd that is started by its socket; sorts after every other drop-in, because each adds ports.
const SOCKET_DROP_IN: &str = "/etc/systemd/system/ssh.socket.d/zzz-plumbline-transition.conf";

/// Paths that decide who gets in.
const RISKY_PATHS: [&str; 15] = [
    "/etc/ssh/",
    "/etc/nftables",
    "/etc/iptables",
    "/etc/ufw",
    "/etc/sudoers",
    "/etc/doas",
    "/etc/pam.d/",
    "/etc/security/",
    "/etc/network/",
    "/etc/netplan/",
    "/etc/systemd/network/",
    "/etc/resolv.conf",
    "/etc/fail2ban/",
    "/etc/hosts.",
    "/etc/systemd/system/ssh",
];

/// Units of the same.
const RISKY_UNITS: [&str; 11] = [
    "ssh",
    "sshd",
    "nftables",
    "iptables",
    "ufw",
    "firewalld",
    "networking",
    "systemd-networkd",
    "fail2ban",
    "tailscaled",
    "wg-quick@",
];

/// Whether a change could cut the owner off.
pub fn is_risky(kind: &str, name: &str, access: Option<&Access>) -> bool {
    match kind {
        "file" | "symlink" | "directory" => {
            RISKY_PATHS.iter().any(|path| name.starts_with(path)) || name.ends_with("/.ssh/authorized_keys")
        }
        "authorized_keys" | "authorized_key" | "nixos" => true,
        // Homes with keys, programs and configuration may be hidden by it.
        "mount" => {
            ["/", "/home", "/root", "/etc", "/usr", "/var", "/boot"].contains(&name) || name.starts_with("/home/")
        }
        "unit" => {
            let stem = name.split(['.', ' ']).next().unwrap_or_default();
            RISKY_UNITS.iter().any(|unit| stem == *unit || (unit.ends_with('@') && stem.starts_with(unit)))
        }
        "user" => name == "root" || access.is_some_and(|access| access.login_users.iter().any(|user| user == name)),
        "packages" => name.split(' ').any(|word| {
            let word = word.split('=').next().unwrap_or_default();
            matches!(word, "-openssh-server" | "-sudo" | "-nftables" | "ufw" | "firewalld" | "-systemd")
        }),
        _ => false,
    }
}

/// Ports on which sshd listens, from its own mouth, or from that of the socket that starts it.
pub fn sshd_ports() -> Vec<u16> {
    let mut ports: Vec<u16> = if socket_listens() {
        let shown = Process::new(["systemctl", "show", "--property=Listen", SOCKET]).run();
        let text = shown.map(|ended| ended.stdout).unwrap_or_default();
        // `Listen=[::]:22 (Stream)`, or `0.0.0.0:22 (Stream)`.
        text.lines().filter_map(|line| line.split(' ').next()?.rsplit_once(':')?.1.parse().ok()).collect()
    } else {
        let Ok(ended) = Process::new(["sshd", "-T"]).run() else { return Vec::new() };
        ended.stdout.lines().filter_map(|line| line.strip_prefix("port ")?.trim().parse().ok()).collect()
    };
    ports.sort_unstable();
    ports.dedup();
    ports
}

/// A change of the ports by which the owner comes in.
#[derive(Debug, Clone, Default)]
pub struct Transition {
    /// Ports that will be gone and are held open until the proof.
    pub hold: Vec<u16>,
    /// Ports of which one must answer.
    pub prove_by: Vec<u16>,
    /// What a person should know.
    pub warnings: Vec<String>,
    held: bool,
}

impl Transition {
    /// What has to be held open.
    pub fn prepare(host: &Host, access: Option<&Access>, came_by: Option<u16>) -> Self {
        let mut old = sshd_ports();
        old.extend(came_by);
        old.sort_unstable();
        old.dedup();
        let wanted = access.map(|access| access.ssh_ports.clone()).unwrap_or_default();
        if wanted.is_empty() {
            return Self { prove_by: came_by.into_iter().collect(), ..Self::default() };
        }
        let hold = old.into_iter().filter(|port| !wanted.contains(port)).collect();
        let mut transition = Self { hold, prove_by: wanted, ..Self::default() };
        if !transition.hold.is_empty()
            && !socket_listens()
            && !host.text("/etc/ssh/sshd_config").contains("sshd_config.d/")
        {
            transition.warnings.push(
                "sshd_config does not include sshd_config.d: the old port cannot be held open during the move".into(),
            );
            transition.hold.clear();
        }
        transition
    }

    /// Lets sshd keep the old ports beside the new ones; `true` if it has to be told.
    ///
    /// # Errors
    /// Those of the system.
    pub fn hold_sshd(&mut self, host: &Host, run: &mut Run) -> Outcome<bool> {
        if self.hold.is_empty() || self.held {
            return Ok(false);
        }
        let missing: Vec<u16> = {
            let ports = sshd_ports();
            self.hold.iter().copied().filter(|port| !ports.contains(port)).collect()
        };
        if missing.is_empty() {
            // The files of this stage do not move the port.
            return Ok(false);
        }
        if socket_listens() {
            run.note(&Undo::Path { path: SOCKET_DROP_IN.into(), before: Before::Absent, after: None })?;
            run.sync()?;
            let shown = Process::new(["systemctl", "show", "--property=BindIPv6Only", SOCKET]).run();
            // One form listens for both kinds of addresses, unless the unit says that IPv6 goes by itself.
            let apart = shown.is_ok_and(|ended| ended.stdout.trim().ends_with("ipv6-only"));
            let line = |port: &u16| {
                if apart {
                    format!("ListenStream=0.0.0.0:{port}\nListenStream=[::]:{port}\n")
                } else {
                    format!("ListenStream={port}\n")
                }
            };
            let lines: String = missing.iter().map(line).collect();
            let text =
                format!("# The old way in, until the new one is proven. Taken away by itself.\n[Socket]\n{lines}");
            let real = host.tree.real(SOCKET_DROP_IN);
            real.parent()
                .map_or(Ok(()), std::fs::create_dir_all)
                .and_then(|()| write_durably(&real, text.as_bytes()))
                .map_err(|error| Fault::io("write", SOCKET_DROP_IN, &error))?;
            systemctl(None, &["daemon-reload"]).succeed()?;
            self.held = true;
            return Ok(true);
        }
        run.note(&Undo::Path { path: DROP_IN.into(), before: Before::Absent, after: None })?;
        run.sync()?;
        write_drop_in(host, &missing)?;
        // A `Port` line takes sshd's default away: then the new ports have to be said as well.
        let lost: Vec<u16> = self.prove_by.iter().copied().filter(|port| !sshd_ports().contains(port)).collect();
        if !lost.is_empty() {
            write_drop_in(host, &[missing, lost].concat())?;
        }
        self.held = true;
        Ok(true)
    }

    /// Lets the firewall of ours keep the old ports.
    ///
    /// # Errors
    /// 69 where nft refuses.
    pub fn hold_firewall(&self, host: &Host) -> Outcome<()> {
        if self.hold.is_empty() || host.sandbox {
            return Ok(());
        }
        change_set("add", &self.hold)
    }

    /// What a person should know at the end.
    pub fn look_after(&mut self, host: &Host) {
        if !self.prove_by.is_empty() && !host.sandbox && host.exists("/usr/bin/docker") {
            self.warnings.push("ports that docker publishes are not filtered by the input chain of nftables".into());
        }
    }
}

/// The unit by which sshd listens now.
pub fn listener() -> Option<String> {
    let units = [SOCKET, "ssh.service", "sshd.service"].map(UnitKey::system);
    let found = show(&units).unwrap_or_default();
    let active = units.iter().zip(found).find(|(_, status)| status.is_active());
    active.map(|(key, _)| key.name.clone())
}

/// Lets sshd listen as it did before, whatever became of its units meanwhile.
///
/// # Errors
/// 69 where systemd refuses.
pub fn restore_listener(unit: &str) -> Outcome<()> {
    if listener().as_deref() == Some(unit) {
        return Ok(());
    }
    if unit == SOCKET {
        return restart_socket().succeed().map(drop);
    }
    // A socket in the place of the service would be in its way.
    let _ = systemctl(None, &["stop", SOCKET]).run();
    let ended = UnitKey::system(unit).start(&["start"])?;
    if ended.good() { Ok(()) } else { Err(super::units::failed(&format!("start {unit}"), &ended)) }
}

fn write_drop_in(host: &Host, ports: &[u16]) -> Outcome<()> {
    let mut text = "# The old way in, until the new one is proven. Taken away by itself.\n".to_owned();
    for port in ports {
        text.push_str(&format!("Port {port}\n"));
    }
    write_durably(&host.tree.real(DROP_IN), text.as_bytes()).map_err(|error| Fault::io("write", DROP_IN, &error))
}

/// Adds or deletes ports of the set `ssh_ports`, where the table is there.
fn change_set(verb: &str, ports: &[u16]) -> Outcome<()> {
    let listed = Process::new(format!("nft list set {} {}", places::NFT_TABLE, places::NFT_SSH_PORTS).split(' ')).run();
    // Another firewall, or none: nothing of ours to open.
    let Ok(listed) = listed else { return Ok(()) };
    if !listed.good() {
        return Ok(());
    }
    for port in ports {
        let line = format!("nft {verb} element {} {} {{ {port} }}", places::NFT_TABLE, places::NFT_SSH_PORTS);
        let ended = Process::new(line.split(' ')).run()?;
        // A set that is made anew does not know the port any more.
        if !ended.good() && verb == "add" {
            return Err(Fault::new(
                contract::Exit::Unavailable,
                "nft_failed",
                format!("the port {port} cannot be held open"),
            )
            .place("nft")
            .cause(ended.last_words()));
        }
    }
    Ok(())
}

/// Closes the old ways in, after the new one was proven.
///
/// # Errors
/// 69 where sshd or nft refuse.
pub fn close_transition(host: &Host, ports: &[u16]) -> Outcome<()> {
    for path in [DROP_IN, SOCKET_DROP_IN] {
        match std::fs::remove_file(host.tree.real(path)) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(Fault::io("take away", path, &error));
            }
            _ => {}
        }
    }
    Process::new(["sshd", "-t"]).succeed()?;
    if socket_listens() {
        systemctl(None, &["daemon-reload"]).succeed()?;
        restart_socket().succeed()?;
    } else {
        systemctl(None, &["reload", "ssh.service"]).succeed()?;
    }
    change_set("delete", ports)
}

/// The listing of every table of nftables, by name.
fn tables() -> Option<Vec<(String, String)>> {
    let listed = Process::new(["nft", "list", "tables"]).run().ok()?;
    let names = listed.stdout.lines().filter_map(|line| line.strip_prefix("table "));
    names
        .map(|name| {
            let line = format!("nft --stateless list table {name}");
            Some((name.to_owned(), Process::new(line.split(' ')).run().ok()?.stdout))
        })
        .collect()
}

/// Saves the ruleset; `None` where there is no nftables.
///
/// # Errors
/// Those of the system.
pub fn save_firewall(host: &Host, run: &mut Run) -> Outcome<Option<String>> {
    if host.sandbox {
        return Ok(None);
    }
    let Some(tables) = tables() else { return Ok(None) };
    let (name, path) = run.backup_name();
    write_durably(&path, &serde_json::to_vec(&tables).unwrap_or_default())
        .map_err(|error| Fault::io("back up", "the firewall", &error))?;
    Ok(Some(name))
}

/// Brings tables back that are different from before, and leaves the others (bans of fail2ban) alone.
///
/// # Errors
/// 69 where nft refuses.
pub fn restore_firewall(run: &Run, backup: &str) -> Outcome<()> {
    let before: Vec<(String, String)> = serde_json::from_slice(&run.backup(backup)?).unwrap_or_default();
    let now = tables().unwrap_or_default();
    let mut script = String::new();
    for (name, listing) in &now {
        if !before.contains(&(name.clone(), listing.clone())) {
            script.push_str(&format!("delete table {name}\n"));
        }
    }
    for (name, listing) in &before {
        if !now.contains(&(name.clone(), listing.clone())) {
            script.push_str(listing);
            script.push('\n');
        }
    }
    if script.is_empty() {
        return Ok(());
    }
    // One transaction: the kernel takes all of it or nothing.
    Process::new(["nft", "-f", "-"]).input(script).succeed().map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_can_cut_the_owner_off() {
        let access = Access { login_users: vec!["ops".into()], ..Access::default() };
        for (kind, name) in [
            ("file", "/etc/ssh/sshd_config.d/00-x.conf"),
            ("file", "/etc/nftables.conf"),
            ("file", "/etc/sudoers.d/ops"),
            ("unit", "ssh.service"),
            ("unit", "wg-quick@wg0.service"),
            ("user", "ops"),
            ("authorized_keys", "app"),
            ("packages", "curl -openssh-server"),
        ] {
            assert!(is_risky(kind, name, Some(&access)), "{kind} {name}");
        }
        for (kind, name) in [
            ("file", "/etc/nginx/nginx.conf"),
            ("unit", "nginx.service"),
            ("user", "app"),
            ("packages", "nftables openssh-server"),
        ] {
            assert!(!is_risky(kind, name, Some(&access)), "{kind} {name}");
        }
    }
}
