//! Programs that were sent and stay.

use std::io::Write;

use contract::places;

use crate::engine::Host;
use crate::engine::programs::programs;
use crate::fault::{Fault, Outcome};

/// Puts a program where units and runs find it: in a directory named by its hash, so that it never changes.
pub(crate) fn keep_tool(host: &Host, name: &str, hash: &str, bytes: &[u8]) -> Outcome<()> {
    use std::os::unix::fs::PermissionsExt;
    host.tree.make_state_directory(places::STATE, 0o711)?;
    host.tree.make_state_directory(programs(), 0o755)?;
    let directory = host.tree.make_state_directory(&format!("{}/{hash}", programs()), 0o755)?;
    let path = directory.join(name);
    let temporary = directory.join(format!(".{name}.{}", std::process::id()));
    (|| {
        let mut file = std::fs::File::create(&temporary)?;
        file.write_all(bytes)?;
        file.set_permissions(std::fs::Permissions::from_mode(0o755))?;
        file.sync_all()?;
        std::fs::rename(&temporary, &path)
    })()
    .map_err(|error| Fault::io("keep the tool", path.display(), &error))
}
