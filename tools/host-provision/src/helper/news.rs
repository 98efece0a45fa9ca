//! What a file gained, told by the kernel instead of looked for.

use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// Tells when a file grows.
pub(super) struct News {
    #[cfg(target_os = "linux")]
    inotify: Option<std::os::fd::OwnedFd>,
}

impl News {
    /// Of this file. Without the kernel's help it tells nothing, and one has to look.
    #[cfg(target_os = "linux")]
    pub(super) fn of(path: &Path) -> Self {
        use rustix::fs::inotify::{CreateFlags, WatchFlags, add_watch, init};
        let inotify = init(CreateFlags::NONBLOCK | CreateFlags::CLOEXEC)
            .and_then(|inotify| add_watch(&inotify, path, WatchFlags::MODIFY).map(|_| inotify));
        Self { inotify: inotify.ok() }
    }

    /// As on Linux where it does not help.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn of(_path: &Path) -> Self {
        Self {}
    }

    /// Readable when there is news; none where one has to look.
    #[cfg(target_os = "linux")]
    pub(super) fn bell(&self) -> Option<BorrowedFd<'_>> {
        self.inotify.as_ref().map(AsFd::as_fd)
    }

    /// As on Linux where it does not help.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn bell(&self) -> Option<BorrowedFd<'_>> {
        None
    }

    /// Forgets what was told so far. Before the file is read, so that nothing is missed.
    pub(super) fn hush(&self) {
        let mut buffer = [0_u8; 4096];
        // Nothing to read is as good.
        while let Some(Ok(1..)) = self.bell().map(|bell| rustix::io::read(bell, &mut buffer)) {}
    }
}
