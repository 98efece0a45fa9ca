//! What the values of settings are: texts with placeholders where secrets belong.

use contract::{SecretName, placeholder, placeholders};

use super::{HostView, Model};
use crate::fleet::{DatabaseAuth, Reference, Value};

/// A value as it goes into a file: a text, in which `@@secret:NAME@@` stands for the value of a secret.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Resolved {
    /// The text.
    pub text: String,
    /// Secrets in it are parts of a URL.
    pub url: bool,
    /// The fleet has no such thing, or we cannot write it yet; in words for a person.
    pub problem: Option<String>,
}

impl Resolved {
    fn text(text: impl Into<String>) -> Self {
        Self { text: text.into(), ..Self::default() }
    }

    fn problem(problem: impl Into<String>) -> Self {
        Self { problem: Some(problem.into()), ..Self::default() }
    }

    /// The secrets in it.
    pub fn secrets(&self) -> Vec<SecretName> {
        placeholders(&self.text).filter_map(|(_, name)| name.parse().ok()).collect()
    }

    /// Whether there are secrets in it.
    pub fn is_secret(&self) -> bool {
        placeholders(&self.text).next().is_some()
    }
}

impl Model<'_> {
    /// What a value is on a host, used by the service of this name.
    pub fn resolve_value(&self, host: &HostView, service: &str, value: &Value) -> Resolved {
        match value {
            Value::Text(text) => Resolved::text(text),
            Value::Reference(reference) => self.resolve_reference(host, service, reference),
        }
    }

    fn resolve_reference(&self, host: &HostView, service: &str, reference: &Reference) -> Resolved {
        let attr = reference.attr.as_deref();
        if let Some(name) = &reference.secret {
            return Resolved::text(placeholder(name));
        }
        if let Some(template) = &reference.template {
            return Resolved::text(template);
        }
        if let Some(name) = &reference.service {
            return self.service_attr(host, name, attr, reference.port.as_deref());
        }
        if let Some(name) = &reference.database {
            return self.database_attr(host, service, name, attr);
        }
        if let Some(name) = &reference.bucket {
            let Some(bucket) = self.fleet.buckets.get(name) else {
                return Resolved::problem(format!("there is no bucket \"{name}\""));
            };
            let secret =
                |secret: &Option<contract::SecretRef>| secret.as_ref().map(|secret| placeholder(&secret.secret));
            let bucket_name = bucket.name.as_deref().unwrap_or(name);
            let found = match attr {
                Some("endpoint") => bucket.endpoint.clone(),
                Some("region") => bucket.region.clone(),
                Some("name") | None => Some(bucket_name.to_owned()),
                Some("url") => {
                    bucket.endpoint.as_ref().map(|endpoint| format!("{}/{bucket_name}", endpoint.trim_end_matches('/')))
                }
                Some("access_key") => secret(&bucket.access_key),
                Some("secret_key") => secret(&bucket.secret_key),
                Some(_) => None,
            };
            return found
                .map_or_else(|| Resolved::problem(format!("the bucket \"{name}\" does not say that")), Resolved::text);
        }
        if let Some(name) = &reference.mailer {
            let Some(mailer) = self.fleet.mailers.get(name) else {
                return Resolved::problem(format!("there is no mailer \"{name}\""));
            };
            let found = match attr {
                Some("host") => Some(mailer.host.clone()),
                Some("port") => Some(mailer.port.to_string()),
                Some("user") => mailer.user.clone(),
                Some("password") => mailer.password.as_ref().map(|secret| placeholder(&secret.secret)),
                Some("from") => Some(mailer.from.clone()),
                _ => None,
            };
            return found
                .map_or_else(|| Resolved::problem(format!("the mailer \"{name}\" does not say that")), Resolved::text);
        }
        if let Some(name) = &reference.host {
            let Some(target) = self.host(name) else {
                return Resolved::problem(format!("there is no host \"{name}\""));
            };
            let found = match attr {
                Some("name") | None => Some(target.name.clone()),
                Some("hostname") => Some(target.hostname().to_owned()),
                Some("fqdn") => self.domain_of(target).map(|domain| format!("{}.{domain}", target.hostname())),
                Some("address") => match &reference.network {
                    Some(network) => target.address(network),
                    None => self.address_between(Some(host), target, crate::fleet::ANY),
                }
                .map(|address| address.to_string()),
                Some(_) => None,
            };
            return found
                .map_or_else(|| Resolved::problem(format!("the host \"{name}\" has no such thing")), Resolved::text);
        }
        if let Some(name) = &reference.sso {
            let client = self.oidc_client(service).filter(|client| client.provider == name);
            let found = client.and_then(|client| client.attribute(attr));
            return found.map_or_else(
                || Resolved::problem(format!("the service \"{service}\" has no such thing of \"{name}\"")),
                Resolved::text,
            );
        }
        Resolved::problem("it names nothing")
    }

    fn service_attr(&self, host: &HostView, name: &str, attr: Option<&str>, port: Option<&str>) -> Resolved {
        let Some(service) = self.service(name) else {
            return Resolved::problem(format!("there is no service \"{name}\""));
        };
        let public = || self.public_address(name);
        let address = || {
            let (_, port) = service.port(port)?;
            let target = self
                .hosts_of(service)
                .find(|target| target.name == host.name)
                .or_else(|| self.hosts_of(service).next())?;
            self.address_between(Some(host), target, &port.bind)
        };
        let found = match attr {
            Some("url") | None => public().map(|(_, url)| url).or_else(|| {
                if let crate::fleet::Run::External(external) = &service.run { external.url.clone() } else { None }
            }),
            Some("name") => public().map(|(name, _)| name),
            Some("host" | "address") => address().map(|address| address.to_string()),
            Some("port") => service.port(port).map(|(_, port)| port.port.to_string()),
            Some(_) => None,
        };
        found.map_or_else(
            || Resolved::problem(format!("the service \"{name}\" has no such thing from here")),
            Resolved::text,
        )
    }

    /// Name and address of a service's first proxy entry.
    pub fn public_address(&self, service: &str) -> Option<(String, String)> {
        let route = self.fleet.routes_of(service).into_iter().next()?;
        let name = route.names.first()?;
        let (scheme, usual) = if name.tls == crate::fleet::TlsMode::None { ("http", 80) } else { ("https", 443) };
        let port = match route.edge {
            crate::fleet::Edge::Host(edge) => {
                let proxy = self.host(edge)?.proxy();
                if usual == 80 { proxy.http_port } else { proxy.https_port }
            }
            crate::fleet::Edge::Tunnel(_) => usual,
        };
        let port = if port == usual { String::new() } else { format!(":{port}") };
        let path = route.route.path.as_deref().unwrap_or("");
        Some((name.name.clone(), format!("{scheme}://{}{port}{path}", name.name)))
    }

    fn database_attr(&self, host: &HostView, service: &str, name: &str, attr: Option<&str>) -> Resolved {
        let databases =
            self.fleet.services.get(service).map(|service| service.databases.as_slice()).unwrap_or_default();
        let found = databases.iter().find(|database| database.name_or(service) == name || databases.len() == 1);
        let Some((database, cluster)) = found.and_then(|database| Some((database, self.cluster_of(database)?))) else {
            return Resolved::problem(format!("the service \"{service}\" has no database \"{name}\""));
        };
        let peer = database.auth() == DatabaseAuth::Peer;
        let (port, networks) = cluster.entrance(database);
        let server = match (&cluster.spec.external, cluster.spec.host.as_deref().and_then(|name| self.host(name))) {
            (Some(external), _) => Some(external.address.clone()),
            (None, Some(target)) if target.name == host.name => {
                Some(if peer { "/run/postgresql".to_owned() } else { "127.0.0.1".to_owned() })
            }
            (None, Some(target)) => {
                let network = self.networks_between(host, target, networks).into_iter().next();
                network.and_then(|network| target.address(network)).map(|address| address.to_string())
            }
            (None, None) => None,
        };
        let Some(server) = server else {
            return Resolved::problem(format!("the cluster \"{}\" is not reachable from here", cluster.name));
        };
        let user = database.owner_or(service);
        let database_name = database.name_or(service);
        let password = database.password.as_ref().map(|secret| placeholder(&secret.secret));
        match attr {
            Some("host") => Resolved::text(server),
            Some("port") => Resolved::text(port.to_string()),
            Some("name") => Resolved::text(database_name),
            Some("user") => Resolved::text(user),
            Some("password") => {
                password.map_or_else(|| Resolved::problem("the database has no password"), Resolved::text)
            }
            Some("url") | None => {
                let (user, database_name) = (percent(&user), percent(&database_name));
                let login = password.map_or_else(|| user.clone(), |password| format!("{user}:{password}"));
                let text = if server.starts_with('/') {
                    format!("postgresql://{login}@/{database_name}?host={}&port={port}", percent(&server))
                } else {
                    let server = if server.contains(':') { format!("[{server}]") } else { server };
                    format!("postgresql://{login}@{server}:{port}/{database_name}")
                };
                Resolved { text, url: true, problem: None }
            }
            Some(other) => Resolved::problem(format!("a database has no \"{other}\"")),
        }
    }
}

/// Percent-encodes everything but unreserved characters (RFC 3986 section 2.3).
fn percent(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            byte => format!("%{byte:02X}"),
        })
        .collect()
}
