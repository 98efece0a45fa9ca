//! `disk`: free space and inodes, counted as df(1) counts them.

use contract::document::DiskCheck;
use rustix::fs::{StatVfs, statvfs};

use super::mount::mounted;
use super::{Dial, Preparing};
use crate::net::Endpoint;
use crate::observation::{Problem, Step, Trace, Verdict};
use crate::reason::Reason;

/// A file system of this machine.
#[derive(Debug)]
pub(crate) struct Probe {
    path: String,
    warn_percent: u8,
    fail_percent: u8,
    warn_free: Option<u64>,
    fail_free: Option<u64>,
    mount: bool,
}

impl Probe {
    pub(super) fn prepare(check: &DiskCheck, preparing: &mut Preparing<'_>) -> Option<Self> {
        if !check.path.starts_with('/') {
            preparing.wrong("path", "bad-path", "expected an absolute path");
            return None;
        }
        if check.fail_percent > 100 || check.warn_percent > check.fail_percent {
            preparing.wrong("warn_percent", "bad-percent", "expected warn_percent <= fail_percent <= 100");
        }
        if let (Some(warn), Some(fail)) = (check.warn_free, check.fail_free)
            && warn < fail
        {
            preparing.wrong("warn_free", "contradiction", "it would never warn: fail_free comes first");
        }
        Some(Self {
            path: check.path.clone(),
            warn_percent: check.warn_percent,
            fail_percent: check.fail_percent,
            warn_free: check.warn_free,
            fail_free: check.fail_free,
            mount: check.mount,
        })
    }

    pub(super) fn target(&self) -> String {
        self.path.clone()
    }

    pub(super) fn endpoint(&self) -> Option<&Endpoint> {
        None
    }

    pub(super) async fn look(&self, _dial: &Dial<'_>, trace: &mut Trace) -> Verdict {
        trace.step = Step::Answer;
        if self.mount && mounted(&self.path)?.is_none() {
            return Err(Problem::fail(Reason::MountMissing, format!("nothing is mounted at {}", self.path)));
        }
        let path = self.path.clone();
        // A dead network file system holds whoever asks; the thread is left behind.
        let stat = tokio::task::spawn_blocking(move || statvfs(path)).await;
        let stat = match stat {
            Ok(Ok(stat)) => stat,
            Ok(Err(rustix::io::Errno::NOENT)) => {
                return Err(Problem::fail(Reason::Missing, format!("{} does not exist", self.path)));
            }
            Ok(Err(rustix::io::Errno::ACCESS)) => {
                return Err(Problem::error(Reason::Permission, format!("we may not look at {}", self.path)));
            }
            _ => return Err(Problem::error(Reason::Unsupported, format!("{} cannot be looked at", self.path))),
        };
        let space = space_percent(&stat);
        trace.figures.insert("used_percent".into(), f64::from(space));
        trace.figures.insert("free_bytes".into(), stat.f_bavail.saturating_mul(stat.f_frsize) as f64);
        let free = stat.f_bavail.saturating_mul(stat.f_frsize);
        self.judge("space", Reason::DiskSpace, space)?;
        self.judge_free(free)?;
        // File systems without a fixed number of inodes (btrfs, zfs) say 0.
        if stat.f_files > 0 {
            let inodes = percent(stat.f_files.saturating_sub(stat.f_ffree), stat.f_files);
            trace.figures.insert("inodes_percent".into(), f64::from(inodes));
            self.judge("inodes", Reason::DiskInodes, inodes)?;
        }
        Ok(format!("{space} % used"))
    }

    fn judge_free(&self, free: u64) -> Result<(), Problem> {
        let less = |limit: Option<u64>| limit.filter(|limit| free < *limit);
        let message =
            |limit: u64| format!("{} has {} MiB free, wanted {}", self.path, free >> 20, limit.div_ceil(1 << 20));
        if let Some(limit) = less(self.fail_free) {
            return Err(Problem::fail(Reason::DiskSpace, message(limit)));
        }
        less(self.warn_free).map_or(Ok(()), |limit| Err(Problem::warn(Reason::DiskSpace, message(limit))))
    }

    fn judge(&self, of_what: &str, reason: Reason, used: u8) -> Result<(), Problem> {
        let message = format!("{used} % of the {of_what} of {} is used", self.path);
        if used >= self.fail_percent {
            Err(Problem::fail(reason, message))
        } else if used >= self.warn_percent {
            Err(Problem::warn(reason, message))
        } else {
            Ok(())
        }
    }
}

/// What is reserved for root counts neither as used nor as free, as in df.
fn space_percent(stat: &StatVfs) -> u8 {
    let used = stat.f_blocks.saturating_sub(stat.f_bfree);
    percent(used, used.saturating_add(stat.f_bavail))
}

fn percent(part: u64, whole: u64) -> u8 {
    if whole == 0 {
        return 0;
    }
    (u128::from(part) * 100).div_ceil(u128::from(whole)).min(100) as u8
}

#[cfg(test)]
mod tests {
    #[test]
    fn rounds_up_as_df_does() {
        assert_eq!(super::percent(1, 1000), 1);
        assert_eq!(super::percent(0, 10), 0);
        assert_eq!(super::percent(u64::MAX, u64::MAX), 100);
        assert_eq!(super::percent(0, 0), 0);
    }
}
