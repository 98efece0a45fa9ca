//! The one table of exit codes, the same in every tool (names after sysexits(3), which systemd knows too).

/// How a program ended. The same code means the same thing in all tools.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Exit {
    /// Done, nothing to do, or plan printed.
    Done = 0,
    /// The question was answered "no"; the document on stdout is complete.
    No = 1,
    /// The command line is wrong.
    Usage = 2,
    /// An apply changed something and did not end well; `outcome` in its result says how.
    Partial = 3,
    /// The document on stdin or in a file is bad.
    BadDocument = 65,
    /// An input file cannot be read.
    Unreadable = 66,
    /// A needed program or service is not there.
    Unavailable = 69,
    /// A bug of ours.
    Bug = 70,
    /// An output file cannot be created.
    CannotCreate = 73,
    /// Reading or writing failed.
    Io = 74,
    /// Try again: timeout, lock, rate limit, stale plan.
    TryAgain = 75,
    /// Refused by a safety rule; the message names the consent.
    Refused = 76,
    /// Permission or authentication.
    Permission = 77,
    /// The environment is not set up.
    NotSetUp = 78,
    /// Ended by SIGINT.
    Interrupted = 130,
    /// Ended by SIGTERM.
    Terminated = 143,
}

impl Exit {
    /// Every code with its meaning, in order, as printed by `--help`.
    pub const TABLE: [(Exit, &'static str); 16] = [
        (Exit::Done, "done, nothing to do, or plan printed"),
        (Exit::No, "the question was answered \"no\" (drift with --check, unhealthy, findings of check)"),
        (Exit::Usage, "usage"),
        (Exit::Partial, "an apply changed something and did not end well (see outcome in its result)"),
        (Exit::BadDocument, "bad document"),
        (Exit::Unreadable, "unreadable input file"),
        (Exit::Unavailable, "a needed program or service is not there"),
        (Exit::Bug, "our bug"),
        (Exit::CannotCreate, "cannot create the output"),
        (Exit::Io, "input/output error"),
        (Exit::TryAgain, "try again (timeout, lock, rate limit, stale plan)"),
        (Exit::Refused, "refused by a safety rule (the message names the consent)"),
        (Exit::Permission, "permission or authentication"),
        (Exit::NotSetUp, "environment not set up"),
        (Exit::Interrupted, "interrupted (SIGINT)"),
        (Exit::Terminated, "terminated (SIGTERM)"),
    ];

    /// The number that the process ends with.
    pub const fn code(self) -> u8 {
        self as u8
    }

    /// The exit that a number stands for; `None` for a code outside the table, which always means failure.
    pub fn from_code(code: u8) -> Option<Exit> {
        Self::TABLE.iter().map(|(exit, _)| *exit).find(|exit| exit.code() == code)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_of_the_table_reads_back() {
        for (exit, meaning) in Exit::TABLE {
            assert_eq!(Exit::from_code(exit.code()), Some(exit));
            assert!(!meaning.is_empty());
        }
        assert_eq!(Exit::from_code(99), None);
    }
}
