//! Status codes of HTTP: which are good, and what others mean.

use contract::document::StatusRange;

/// Good status codes; from 200 to 299 where none are named.
#[derive(Debug, Default)]
pub(super) struct Statuses(Vec<(u16, u16)>);

impl Statuses {
    /// Reads what a check says.
    ///
    /// # Errors
    /// Something that is no status, and what is wrong with it.
    pub(super) fn of(ranges: &[StatusRange]) -> Result<Self, String> {
        ranges.iter().map(range).collect::<Result<_, _>>().map(Self)
    }

    /// These codes are good.
    pub(super) fn exactly(codes: &[u16]) -> Self {
        Self(codes.iter().map(|code| (*code, *code)).collect())
    }

    /// Nothing is named.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// A code is named, alone or within a range.
    pub(super) fn names(&self, status: u16) -> bool {
        self.0.iter().any(|(from, to)| (*from..=*to).contains(&status))
    }

    /// A code is good.
    pub(super) fn takes(&self, status: u16) -> bool {
        if self.is_empty() { (200..300).contains(&status) } else { self.names(status) }
    }

    /// As a person reads it.
    pub(super) fn words(&self) -> String {
        let one = |(from, to): &(u16, u16)| if from == to { from.to_string() } else { format!("{from}-{to}") };
        self.0.iter().map(one).collect::<Vec<_>>().join(" or ")
    }
}

fn range(range: &StatusRange) -> Result<(u16, u16), String> {
    let good = |status: u16| (100..600).contains(&status);
    match range {
        StatusRange::Code(code) if good(*code) => Ok((*code, *code)),
        StatusRange::Code(code) => Err(format!("{code} is no status of HTTP")),
        StatusRange::Range(text) => {
            let wrong = || "expected a status (200), a range (\"300-302\") or a class (\"2xx\")".to_owned();
            if let Some(class) = text.strip_suffix("xx") {
                let class: u16 = class.parse().ok().filter(|class| (1..6).contains(class)).ok_or_else(wrong)?;
                return Ok((class * 100, class * 100 + 99));
            }
            let (from, to) = text.split_once('-').unwrap_or((text, text));
            let (from, to) = (from.trim().parse().map_err(|_| wrong())?, to.trim().parse().map_err(|_| wrong())?);
            if good(from) && good(to) && from <= to { Ok((from, to)) } else { Err(wrong()) }
        }
    }
}

/// What a status says about something behind the server that sent it.
pub(super) fn meaning(status: u16) -> Option<&'static str> {
    match status {
        502 | 504 | 520..=524 => Some("said by a proxy whose backend does not answer"),
        525 | 526 => Some("said by a proxy that cannot speak TLS with its backend"),
        530 => Some("said by a proxy that cannot find its backend"),
        _ => None,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    fn of(ranges: &[&str]) -> Result<Statuses, String> {
        let ranges: Vec<_> = ranges.iter().map(|text| StatusRange::Range((*text).to_owned())).collect();
        Statuses::of(&ranges)
    }

    /// The table of blackbox_exporter's TestHTTPStatusCodes, in our words.
    #[test]
    fn codes_ranges_and_classes() {
        for (named, status, good) in [
            (&[][..], 200, true),
            (&[], 201, true),
            (&[], 299, true),
            (&[], 300, false),
            (&[], 404, false),
            (&["404"], 200, false),
            (&["200", "404"], 404, true),
            (&["300-302"], 301, true),
            (&["300-302"], 303, false),
            (&["2xx", "401"], 401, true),
            (&["5xx"], 599, true),
        ] {
            assert_eq!(of(named).unwrap().takes(status), good, "{named:?} {status}");
        }
        for wrong in ["99", "600", "302-300", "6xx", "xx", "2x", "", "200-", "a-b"] {
            assert!(of(&[wrong]).is_err(), "{wrong}");
        }
        assert!(Statuses::of(&[StatusRange::Code(99)]).is_err());
        assert_eq!(of(&["300-302", "2xx", "401"]).unwrap().words(), "300-302 or 200-299 or 401");
    }
}
