//! A URL, and where a redirect leads from it.

use hyper::Uri;

use crate::net::Endpoint;

/// A URL, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Url {
    /// TLS is spoken.
    pub secure: bool,
    /// Host and port.
    pub endpoint: Endpoint,
    /// Path and query.
    pub path: String,
}

impl Url {
    /// A URL of one of two schemes (in clear, with TLS), without a fragment and without a login.
    ///
    /// # Errors
    /// What is wrong with it, without repeating it: it may hold a password.
    pub(super) fn parse(text: &str, clear: &str, secure: &str) -> Result<Self, String> {
        let uri: Uri = text.parse().map_err(|_| "it is no URL".to_owned())?;
        let scheme = uri.scheme_str().unwrap_or_default();
        let secured = scheme == secure;
        if !secured && scheme != clear {
            return Err(format!("expected a URL that begins with {clear}:// or {secure}://"));
        }
        let authority = uri.authority().ok_or("the URL names no host")?;
        if authority.as_str().contains('@') {
            return Err("the URL holds a login; give a header with a secret_value instead".into());
        }
        let port = uri.port_u16().unwrap_or(if secured { 443 } else { 80 });
        let path = uri.path_and_query().map_or("/", |path| path.as_str());
        let path = if path.is_empty() { "/" } else { path };
        let endpoint = Endpoint::new(uri.host().unwrap_or_default(), port);
        // A round through its own parser: a host that is only dots is none, and nobody listens on port 0.
        if endpoint.to_string().parse::<Endpoint>().is_err() {
            return Err("the URL names no host that can be looked up".into());
        }
        Ok(Self { secure: secured, endpoint, path: path.into() })
    }

    /// Host, and port where it is not the usual one, as the Host header has it.
    pub(super) fn authority(&self) -> String {
        let usual = if self.secure { 443 } else { 80 };
        let full = self.endpoint.to_string();
        if self.endpoint.port == usual {
            full.rsplit_once(':').map_or(full.clone(), |(host, _)| host.to_owned())
        } else {
            full
        }
    }

    /// The URL, fit for a report: values of its query are left out, because keys of programs are put there.
    pub(super) fn shown(&self, clear: &str, secure: &str) -> String {
        let scheme = if self.secure { secure } else { clear };
        let path = match self.path.split_once('?') {
            Some((path, query)) => {
                let keys: Vec<_> = query
                    .split('&')
                    .map(|pair| pair.split_once('=').map_or(pair.to_owned(), |(key, _)| format!("{key}=...")))
                    .collect();
                format!("{path}?{}", keys.join("&"))
            }
            None => self.path.clone(),
        };
        format!("{scheme}://{}{path}", self.authority())
    }

    /// Where a Location header leads from here.
    pub(super) fn follow(&self, location: &str) -> Option<Self> {
        let location = location.split('#').next().unwrap_or_default();
        if location.starts_with("http://") || location.starts_with("https://") {
            return Self::parse(location, "http", "https").ok();
        }
        if let Some(rest) = location.strip_prefix("//") {
            let scheme = if self.secure { "https" } else { "http" };
            return Self::parse(&format!("{scheme}://{rest}"), "http", "https").ok();
        }
        let base = self.path.split('?').next().unwrap_or("/");
        let path = if location.starts_with('/') {
            location.to_owned()
        } else if location.starts_with('?') || location.is_empty() {
            format!("{base}{location}")
        } else {
            format!("{}/{location}", base.rsplit_once('/').map_or("", |(directory, _)| directory))
        };
        // A round through the parser, so that nothing odd gets into the next request.
        let path = path.parse::<Uri>().ok()?.to_string();
        Some(Self { path, ..self.clone() })
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn url(text: &str) -> Url {
        Url::parse(text, "http", "https").unwrap()
    }

    #[test]
    fn urls_are_read_and_shown_without_values_of_the_query() {
        assert_eq!(url("https://Example.org").shown("http", "https"), "https://example.org/");
        assert_eq!(url("http://[::1]:81/a?token=x&b").shown("http", "https"), "http://[::1]:81/a?token=...&b");
        let error = Url::parse("https://user:hunter2@example.org/", "http", "https").unwrap_err();
        assert!(!error.contains("hunter2"), "{error}");
        for wrong in ["file:///etc/passwd", "http://./", "http://a:0/", "http://", "http://a b/"] {
            assert!(Url::parse(wrong, "http", "https").is_err(), "{wrong}");
        }
    }

    proptest! {
        #[test]
        fn no_url_panics_and_none_with_a_login_is_read(text in "[a-z:/@?#%\\[\\]. 0-9]{0,40}") {
            for text in [text.clone(), format!("http://{text}"), format!("https://a{text}")] {
                if let Ok(url) = Url::parse(&text, "http", "https") {
                    prop_assert!(!url.authority().contains('@'));
                    // What is shown reads back as the same place.
                    let again = Url::parse(&url.shown("http", "https"), "http", "https");
                    prop_assert_eq!(again.ok().map(|again| again.endpoint), Some(url.endpoint.clone()));
                    let _ = url.follow(&text);
                }
            }
        }

        #[test]
        fn a_location_leads_somewhere_or_nowhere(location in "\\PC{0,40}") {
            let from = Url::parse("https://a.org/x/y?z", "http", "https").unwrap();
            if let Some(next) = from.follow(&location) {
                prop_assert!(next.path.starts_with('/') && !next.path.contains([' ', '\r', '\n']));
            }
        }
    }

    #[test]
    fn locations_are_followed_from_where_they_stand() {
        let from = url("https://a.org/x/y?z=1");
        let follow = |location: &str| from.follow(location).map(|url| url.shown("http", "https")).unwrap_or_default();
        assert_eq!(follow("/login"), "https://a.org/login");
        assert_eq!(follow("login"), "https://a.org/x/login");
        assert_eq!(follow("//b.org/c"), "https://b.org/c");
        assert_eq!(follow("http://a.org/"), "http://a.org/");
        assert_eq!(follow("?q"), "https://a.org/x/y?q");
        assert_eq!(follow("javascript:alert(1)"), "https://a.org/x/javascript:alert(1)");
    }
}
