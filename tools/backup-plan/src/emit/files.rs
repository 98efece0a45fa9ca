//! restic's input files.

use std::collections::BTreeSet;
use std::path::Path;

use contract::document::BackupPlan;

use crate::error::Error;
use crate::state::{lists, make_private};

/// Writes `roots.raw` (for `--files-from-raw`), `excludes.txt` (for `--exclude-file`) and `env.keys` (names only).
///
/// # Errors
/// Those of the system.
pub(crate) fn write(plan: &BackupPlan, directory: &Path) -> Result<(), Error> {
    make_private(directory)?;
    let (roots, excludes) = lists(plan);
    let mut keys = BTreeSet::from(["RESTIC_PASSWORD_FILE".to_owned()]);
    keys.extend(plan.repositories.iter().flat_map(|repository| repository.env.keys().cloned()));
    let keys: String = keys.into_iter().collect::<Vec<_>>().join("\n") + "\n";
    for (name, bytes) in [("roots.raw", roots.as_slice()), ("excludes.txt", &excludes), ("env.keys", keys.as_bytes())] {
        let path = directory.join(name);
        cli::write_atomically(&path, bytes, 0o600).map_err(|error| Error::files("write", &path, &error))?;
    }
    Ok(())
}
