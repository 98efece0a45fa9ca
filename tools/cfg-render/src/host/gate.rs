//! The single sign-on provider that a proxy asks at each request.

use contract::{Finding, Pointer};

use super::HostBuilder;
use crate::fleet::{ForwardAuth, ProxyKind, SsoKind};

/// A provider as a proxy of this host reaches it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Gate {
    /// Which program it is.
    pub(crate) kind: SsoKind,
    /// `address:port` of the service that answers.
    pub(crate) address: String,
    /// Where people are sent to log in.
    pub(crate) portal: String,
    path: Option<String>,
}

impl Gate {
    /// The path that is asked.
    pub(crate) fn path(&self, proxy: ProxyKind) -> &str {
        if let Some(path) = &self.path {
            return path;
        }
        match (self.kind, proxy) {
            (SsoKind::Authelia, ProxyKind::Nginx) => "/api/authz/auth-request",
            (SsoKind::Authelia, _) => "/api/authz/forward-auth",
            (_, ProxyKind::Nginx) => "/outpost.goauthentik.io/auth/nginx",
            (_, ProxyKind::Caddy) => "/outpost.goauthentik.io/auth/caddy",
            (_, ProxyKind::Traefik) => "/outpost.goauthentik.io/auth/traefik",
        }
    }

    /// Headers of its answer that the service gets, and that no client may send.
    pub(crate) fn headers(&self) -> &'static [&'static str] {
        match self.kind {
            SsoKind::Authentik => &[
                "X-Authentik-Username",
                "X-Authentik-Groups",
                "X-Authentik-Email",
                "X-Authentik-Name",
                "X-Authentik-Uid",
            ],
            SsoKind::Authelia => &["Remote-User", "Remote-Groups", "Remote-Email", "Remote-Name"],
            SsoKind::Keycloak | SsoKind::Kanidm | SsoKind::Other => &["Remote-User"],
        }
    }
}

impl HostBuilder<'_, '_> {
    /// The provider of an entry. `None`, with a finding, where the entry must not be served: open is worse than closed.
    pub(crate) fn gate(&mut self, forward: &ForwardAuth, at: &Pointer) -> Option<Gate> {
        let spec = self.model.fleet.sso.get(&forward.provider)?;
        if matches!(spec.kind, SsoKind::Keycloak | SsoKind::Kanidm | SsoKind::Other) && spec.forward_path.is_none() {
            let at = Pointer::root().join("sso").join(&forward.provider);
            let message = "this provider has no answer of its own for proxies";
            let finding = Finding::error("unsupported-feature", at, message);
            self.findings.push(finding.fix("name the path that answers 200 or 401 in \"forward_path\""));
            return None;
        }
        if !forward.groups.is_empty() && spec.kind != SsoKind::Authentik {
            let message = "who is in which group is asked of Authentik only";
            let finding = Finding::error("unsupported-feature", at.join("forward").join("groups"), message);
            self.findings
                .push(finding.fix("write the rule into the provider's own configuration, and take \"groups\" out"));
            return None;
        }
        let service = self.model.service(&spec.service)?;
        let (_, port) = service.port(None)?;
        let here = self.host;
        let mut targets = self.model.hosts_of(service);
        let target = targets.find(|target| target.name == here.name).or_else(|| self.model.hosts_of(service).next());
        let address = target.and_then(|target| self.model.address_between(Some(here), target, &port.bind));
        let Some(address) = address else {
            let message = format!("the proxy of host \"{}\" does not reach \"{}\"", here.name, spec.service);
            let finding = Finding::error("unreachable-upstream", at.clone(), message);
            self.findings.push(finding.fix("bind its port to a network that both hosts share"));
            return None;
        };
        let public = self.model.public_address(&spec.service).map(|(_, url)| url);
        let portal = spec.url.clone().or(public).unwrap_or_default();
        Some(Gate {
            kind: spec.kind,
            address: std::net::SocketAddr::new(address, port.port).to_string(),
            portal: portal.trim_end_matches('/').to_owned(),
            path: spec.forward_path.clone(),
        })
    }
}
