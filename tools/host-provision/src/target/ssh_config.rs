//! What the user's own configuration of ssh asks for that only the system's ssh can do.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use contract::document::InventoryAddress;

use super::SshHost;
use super::host_key::KnownHosts;

fn home() -> Option<PathBuf> {
    std::env::var_os("HOME").map(PathBuf::from)
}

/// The home that ssh itself goes by, which is not that of the environment.
fn home_of_account() -> Option<PathBuf> {
    let uid = rustix::process::geteuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").ok()?;
    passwd.lines().find_map(|line| {
        let fields: Vec<&str> = line.split(':').collect();
        (fields.get(2)?.parse() == Ok(uid)).then(|| PathBuf::from(fields.get(5).copied().unwrap_or_default()))
    })
}

/// Options that let ssh go by `HOME` as everything else does, where that is another place.
pub(super) fn elsewhere() -> Vec<String> {
    let (Some(home), Some(account)) = (home(), home_of_account()) else { return Vec::new() };
    if home == account {
        return Vec::new();
    }
    let ssh = home.join(".ssh");
    let mut options = Vec::new();
    let config = ssh.join("config");
    if config.is_file() {
        options.extend(["-F".to_owned(), config.display().to_string()]);
    }
    options.extend(["-o".to_owned(), format!("UserKnownHostsFile={}", ssh.join("known_hosts").display())]);
    options
}

/// Why the system's ssh has to be used for a way to a host; `None` where the built-in transport can do it.
pub(super) fn needs_openssh(host: &SshHost, way: &InventoryAddress, known: &KnownHosts) -> Option<&'static str> {
    if host.via.is_some() {
        return Some("the host is behind another one");
    }
    if host.identities.iter().any(|key| has_certificate(key)) {
        return Some("the key has a certificate");
    }
    if host.identities.iter().any(|key| is_hardware_key(key)) {
        return Some("the key is in a hardware token");
    }
    let nothing_pinned = host.keys.pinned().is_empty() && host.keys.fingerprint().is_none();
    if nothing_pinned && known.has_authority(&way.address, way.port) {
        return Some("known_hosts has a certificate authority for the host");
    }
    // The default keys of ssh, and what the configuration says. Without one there is nothing to ask for.
    let ssh = home()?.join(".ssh");
    if host.identities.is_empty()
        && ["id_ed25519", "id_ecdsa", "id_rsa"].iter().any(|key| has_certificate(&ssh.join(key)))
    {
        return Some("the key has a certificate");
    }
    if !ssh.join("config").is_file() {
        return None;
    }
    let told = super::child("ssh")
        .args(elsewhere())
        .args(["-G", "-p", &way.port.to_string(), "--", &format!("{}@{}", way.user, way.address)])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .output()
        .ok()?;
    judge(&String::from_utf8_lossy(&told.stdout), host.identities.is_empty())
}

/// Reads what `ssh -G` prints.
fn judge(text: &str, own_identities: bool) -> Option<&'static str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(' ')?;
        match key {
            "proxyjump" | "proxycommand" if value != "none" => Some("~/.ssh/config has a proxy for the host"),
            "certificatefile" if value != "none" => Some("~/.ssh/config has a certificate for the host"),
            "identityfile" if own_identities => {
                let path = match value.strip_prefix("~/") {
                    Some(rest) => home()?.join(rest),
                    None => PathBuf::from(value),
                };
                let is_default = path.file_name().is_some_and(|name| name == "id_ed25519_sk" || name == "id_ecdsa_sk");
                // ssh lists its defaults whether they are there or not.
                if has_certificate(&path) {
                    Some("the key has a certificate")
                } else if is_hardware_key(&path) && (path.is_file() || !is_default) {
                    Some("the key is in a hardware token")
                } else {
                    None
                }
            }
            _ => None,
        }
    })
}

/// ssh takes a certificate that lies beside a key.
fn has_certificate(key: &Path) -> bool {
    let mut name = key.as_os_str().to_owned();
    name.push("-cert.pub");
    Path::new(&name).is_file()
}

fn is_hardware_key(key: &Path) -> bool {
    let mut name = key.as_os_str().to_owned();
    name.push(".pub");
    std::fs::read_to_string(name).is_ok_and(|text| text.starts_with("sk-"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_only_the_systems_ssh_can_do() {
        assert_eq!(judge("host a\nproxyjump none\nidentityfile ~/.ssh/id_rsa\n", true), None);
        assert!(judge("user root\nproxyjump bastion\n", true).is_some());
        assert!(judge("proxycommand nc %h %p\n", false).is_some());
        assert!(judge("certificatefile ~/.ssh/x-cert.pub\n", false).is_some());
    }
}
