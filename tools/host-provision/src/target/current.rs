//! Where a disposable host is now and who it is, as `bootstrap` remembered it in the controller's state directory.

use std::path::PathBuf;

use cli::Failure;
use contract::document::InventoryHost;
use contract::{Exit, places};
use serde::{Deserialize, Serialize};

use super::{HostKeys, SshHost};

/// What is remembered of one host. Losing it loses no host: the fleet and `--address` say the same.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    /// Its address instead of the fleet's; none for a host that is where the fleet says.
    pub address: Option<String>,
    /// Its keys, each as `TYPE BASE64`.
    pub host_keys: Vec<String>,
    /// The keys that the fleet had for it then. Once the fleet has others, those count again.
    pub replaces: Vec<String>,
}

fn path_of(name: &str) -> Option<PathBuf> {
    let state = std::env::var_os(places::STATE_VARIABLE).filter(|state| !state.is_empty())?;
    let plain = !name.is_empty() && !name.contains('/') && !name.starts_with('.');
    plain.then(|| PathBuf::from(state).join("hosts").join(format!("{name}.json")))
}

impl Current {
    /// What is remembered of a host.
    pub fn of(name: &str) -> Option<Self> {
        serde_json::from_slice(&std::fs::read(path_of(name)?).ok()?).ok()
    }

    /// Remembers it. `false` where there is no state directory.
    ///
    /// # Errors
    /// 73 where it cannot be written.
    pub fn remember(&self, name: &str) -> Result<bool, Failure> {
        let Some(path) = path_of(name) else { return Ok(false) };
        let failed = |error: std::io::Error| Failure::io(Exit::CannotCreate, "write", path.display(), &error);
        path.parent().map_or(Ok(()), std::fs::create_dir_all).map_err(failed)?;
        let bytes = serde_json::to_vec_pretty(self).unwrap_or_default();
        cli::write_atomically(&path, &bytes, 0o600).map_err(failed)?;
        Ok(true)
    }

    /// Puts the address and the keys in the place of the inventory's.
    pub(super) fn apply(&self, known: &InventoryHost, host: &mut SshHost) -> Result<(), Failure> {
        if let Some(address) = &self.address {
            for way in &mut host.addresses {
                way.address.clone_from(address);
            }
            host.addresses.dedup();
        }
        self.apply_keys(known, host)
    }

    /// Puts the keys in the place of the inventory's, as long as those are the ones that were replaced.
    pub(super) fn apply_keys(&self, known: &InventoryHost, host: &mut SshHost) -> Result<(), Failure> {
        if known.host_keys == self.replaces && host.keys.fingerprint().is_none() {
            host.keys = HostKeys::new(&self.host_keys, None, host.keys.accepts_new())?;
        }
        Ok(())
    }
}
