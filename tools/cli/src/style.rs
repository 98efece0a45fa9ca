//! Colours for text that people read. Without colour every method gives its argument back.

/// Whether text may carry colours, and the few that the tools use.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Style {
    /// ANSI sequences are allowed.
    pub color: bool,
}

impl Style {
    /// Text without colours.
    pub const PLAIN: Style = Style { color: false };

    /// Good, made, up.
    pub fn green(self, text: &str) -> String {
        self.wrap("32", text)
    }

    /// Bad, taken away, down.
    pub fn red(self, text: &str) -> String {
        self.wrap("31", text)
    }

    /// Changed, doubtful, degraded.
    pub fn yellow(self, text: &str) -> String {
        self.wrap("33", text)
    }

    /// A name to look at.
    pub fn bold(self, text: &str) -> String {
        self.wrap("1", text)
    }

    /// Less important.
    pub fn dim(self, text: &str) -> String {
        self.wrap("2", text)
    }

    fn wrap(self, code: &str, text: &str) -> String {
        if self.color { format!("\u{1b}[{code}m{text}\u{1b}[0m") } else { text.to_owned() }
    }
}
