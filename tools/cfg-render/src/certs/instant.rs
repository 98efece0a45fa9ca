//! A moment, in whole seconds: certificates know no smaller ones.

use std::fmt;
use std::str::FromStr;

use contract::Duration;

use super::CertsError;

/// Seconds since 1970 (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Instant(pub i64);

impl Instant {
    /// The clock of this machine.
    pub fn now() -> Self {
        Self(jiff::Timestamp::now().as_second())
    }

    /// This much later.
    #[must_use]
    pub fn after(self, duration: Duration) -> Self {
        Self(self.0.saturating_add_unsigned(duration.as_secs()))
    }

    /// This much earlier.
    #[must_use]
    pub fn before(self, duration: Duration) -> Self {
        Self(self.0.saturating_sub_unsigned(duration.as_secs()))
    }
}

impl FromStr for Instant {
    type Err = CertsError;

    fn from_str(text: &str) -> Result<Self, CertsError> {
        let time = text.parse::<jiff::Timestamp>().map_err(|_| CertsError::BadTime(text.to_owned()))?;
        Ok(Self(time.as_second()))
    }
}

impl fmt::Display for Instant {
    /// The day: nobody plans certificates by the hour.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match jiff::Timestamp::from_second(self.0) {
            Ok(time) => f.write_str(time.to_string().get(..10).unwrap_or_default()),
            Err(_) => write!(f, "second {}", self.0),
        }
    }
}
