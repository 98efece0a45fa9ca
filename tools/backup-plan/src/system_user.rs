//! System users by name.

use crate::error::Error;

/// uid and gid of a user. Only /etc/passwd is read: a static program has no other sources.
///
/// # Errors
/// Where there is no such user.
pub(crate) fn ids_of(user: &str) -> Result<(u32, u32), Error> {
    let text = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    text.lines()
        .find_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            let (uid, gid) = (fields.nth(1)?, fields.next()?);
            if name == user || uid == user { Some((uid.parse().ok()?, gid.parse().ok()?)) } else { None }
        })
        .ok_or_else(|| Error::NoUser { user: user.into() })
}
