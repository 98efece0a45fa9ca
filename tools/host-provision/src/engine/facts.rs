//! What a host is.

use std::net::IpAddr;

use contract::Exit;
use contract::document::{Arch, HostFacts};
use contract::places;

use super::host::Host;
use crate::fault::{Fault, Outcome};

/// Looks at the host.
///
/// # Errors
/// 69 for a processor that the tools do not know.
pub fn facts(host: &Host) -> Outcome<HostFacts> {
    let uname = rustix::system::uname();
    let machine = uname.machine().to_string_lossy().into_owned();
    let arch = Arch::from_uname(&machine).ok_or_else(|| {
        Fault::new(Exit::Unavailable, "unknown_arch", format!("the tools do not run on {machine} processors"))
    })?;
    let release = host.text("/etc/os-release");
    let field = |name: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
        line.map(|value| value.trim_matches('"').to_owned())
    };
    let memory = host.text("/proc/meminfo");
    let kib: u64 = memory
        .lines()
        .find_map(|line| line.strip_prefix("MemTotal:")?.split_whitespace().next()?.parse().ok())
        .unwrap_or_default();
    let state = host.tree.real(places::STATE);
    let state = if state.exists() { state } else { host.tree.real("/") };
    let space = rustix::fs::statvfs(&state).map_err(|error| Fault::errno("examine", places::STATE, error))?;
    Ok(HostFacts {
        hostname: uname.nodename().to_string_lossy().into_owned(),
        os_id: field("ID").unwrap_or_else(|| "linux".into()),
        os_version: field("VERSION_ID"),
        arch,
        kernel: uname.release().to_string_lossy().into_owned(),
        init: host.text("/proc/1/comm").trim().to_owned(),
        addresses: addresses(),
        ssh_ports: super::access::sshd_ports(),
        memory_bytes: kib * 1024,
        free_bytes: space.f_bavail * space.f_frsize,
        running: None,
    })
}

/// Addresses of the interfaces but loopback and link-local ones.
fn addresses() -> Vec<String> {
    let mut found: Vec<IpAddr> = Vec::new();
    let six = std::fs::read_to_string("/proc/net/if_inet6").unwrap_or_default();
    for line in six.lines() {
        let fields: Vec<&str> = line.split_whitespace().collect();
        let (Some(Ok(bits)), Some(&scope)) = (fields.first().map(|hex| u128::from_str_radix(hex, 16)), fields.get(3))
        else {
            continue;
        };
        if scope == "00" {
            found.push(IpAddr::from(bits.to_be_bytes()));
        }
    }
    // The kernel's table of local routes lists every address of its own.
    let trie = std::fs::read_to_string("/proc/net/fib_trie").unwrap_or_default();
    let mut last = None;
    for line in trie.lines() {
        let line = line.trim();
        if let Some(rest) = line.strip_prefix("|-- ") {
            last = rest.parse::<IpAddr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            found.extend(last.filter(|address| !address.is_loopback()));
        }
    }
    found.sort();
    found.dedup();
    found.iter().map(ToString::to_string).collect()
}
