//! Usual paths, such as `/opt/app/.env`, that link to a secret or a filled template.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};

use contract::{Exit, places};

use super::generation::make_directory;
use crate::Error;

/// Refuses links at whose path something else lies.
///
/// # Errors
/// 76 with the path.
pub(crate) fn refuse_others(root: &Path, links: &[(String, String)]) -> Result<(), Error> {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    for (path, _) in links {
        let place = below(path);
        let ours = fs::read_link(&place).is_ok_and(|target| is_ours(&target));
        if !ours && fs::symlink_metadata(&place).is_ok() {
            return Err(Error::Refused {
                code: "in_the_way",
                message: "something that is no link of ours lies where a secret's usual path belongs".into(),
                place: path.clone(),
                hint: "move it away, or take the link out of the manifest".into(),
            });
        }
    }
    Ok(())
}

/// Makes each link (path on the host, what it points to), where `refuse_others` found nothing. `known` is the file that
/// remembers the links, so that those no longer wanted are removed.
///
/// # Errors
/// Where a link cannot be made.
pub(crate) fn place_links(root: &Path, known: &Path, links: &[(String, String)]) -> Result<bool, Error> {
    let below = |path: &str| root.join(path.trim_start_matches('/'));
    let mut changed = false;
    for old in fs::read_to_string(known).unwrap_or_default().lines() {
        let gone = !links.iter().any(|(path, _)| path == old);
        if gone && fs::read_link(below(old)).is_ok_and(|target| is_ours(&target)) {
            changed |= fs::remove_file(below(old)).is_ok();
        }
    }
    for (path, target) in links {
        let place = below(path);
        if fs::read_link(&place).is_ok_and(|old| old == Path::new(target)) {
            continue;
        }
        let failed = |error| Error::io(Exit::CannotCreate, "make the link", path, error);
        if let Some(parent) = place.parent()
            && !parent.is_dir()
        {
            make_directory(parent, 0o755)?;
        }
        let temporary: PathBuf = place.with_file_name(format!(".plumbline-link.{}", std::process::id()));
        let _ = fs::remove_file(&temporary);
        symlink(target, &temporary).map_err(failed)?;
        fs::rename(&temporary, &place).map_err(failed)?;
        changed = true;
    }
    let list = links.iter().fold(String::new(), |list, (path, _)| list + path + "\n");
    if let Some(parent) = known.parent() {
        make_directory(parent, 0o755)?;
    }
    crate::files::write(known, list.as_bytes(), 0o644)?;
    Ok(changed)
}

fn is_ours(target: &Path) -> bool {
    target.starts_with(places::SECRETS) || target.starts_with(super::manifest::FOR_USERS)
}
