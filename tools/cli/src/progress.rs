//! Progress of long work: a bar on a terminal, nothing elsewhere.

/// Work that is under way. Shows itself only on a terminal, only without `--quiet`, and only after a second.
pub struct Progress {
    #[cfg(feature = "progress")]
    bar: Option<indicatif::ProgressBar>,
}

impl Progress {
    #[cfg(feature = "progress")]
    pub(crate) fn new(visible: bool, total: u64, what: &str) -> Self {
        let bar = visible.then(|| {
            let bar =
                indicatif::ProgressBar::with_draw_target(Some(total), indicatif::ProgressDrawTarget::stderr_with_hz(8));
            if let Ok(style) = indicatif::ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {wide_msg}") {
                bar.set_style(style);
            }
            bar.set_prefix(what.to_owned());
            bar
        });
        Self { bar }
    }

    #[cfg(not(feature = "progress"))]
    pub(crate) fn new(_visible: bool, _total: u64, _what: &str) -> Self {
        Self {}
    }

    /// One more step is done.
    #[cfg_attr(not(feature = "progress"), allow(clippy::unused_self))]
    pub fn step(&self, now: &str) {
        #[cfg(feature = "progress")]
        if let Some(bar) = self.bar.as_ref() {
            bar.set_message(now.to_owned());
            bar.inc(1);
        }
        #[cfg(not(feature = "progress"))]
        let _ = now;
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        #[cfg(feature = "progress")]
        if let Some(bar) = self.bar.take() {
            bar.finish_and_clear();
        }
    }
}
