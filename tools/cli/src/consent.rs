//! The one grammar of consent: `--allow WHAT:NAME`, such as `--allow drop:database/old`.

use std::fmt;
use std::str::FromStr;

use clap::Args;

/// A person's consent to one dangerous thing, by name.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Consent {
    /// What is allowed, such as `drop` or `takeover`.
    pub what: String,
    /// To what, such as `database/old`.
    pub name: String,
}

impl FromStr for Consent {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
            Some((what, name)) if !what.is_empty() && !name.is_empty() => {
                Ok(Self { what: what.into(), name: name.into() })
            }
            _ => Err("expected WHAT:NAME, such as drop:database/old".into()),
        }
    }
}

impl fmt::Display for Consent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.what, self.name)
    }
}

/// Every consent of a command line.
#[derive(Debug, Clone, Default, Args)]
pub struct Consents {
    /// Allow one dangerous thing by name, such as drop:database/old (may be repeated)
    #[arg(long = "allow", value_name = "WHAT:NAME")]
    pub allow: Vec<Consent>,
}

impl Consents {
    /// Whether this very thing is allowed.
    pub fn allows(&self, what: &str, name: &str) -> bool {
        self.allow.iter().any(|consent| consent.what == what && consent.name == name)
    }

    /// The values behind every `WHAT:`, for consents that name a number such as `deletes:40`.
    pub fn values<'a>(&'a self, what: &'a str) -> impl Iterator<Item = &'a str> {
        self.allow.iter().filter(move |consent| consent.what == what).map(|consent| consent.name.as_str())
    }
}
