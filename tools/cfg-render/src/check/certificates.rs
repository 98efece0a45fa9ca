//! Certificates that can be had.

use contract::{Finding, Pointer};

use super::context::{Context, place};
use super::dns::zone_of;
use crate::fleet::{AcmeChallenge, Edge, PUBLIC, ProxyServer, ResolvedRoute, TlsMode, is_special_use};

/// `cert-impossible`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    for route in context.routes {
        let Edge::Host(edge) = route.edge else {
            tunnel(route, found);
            continue;
        };
        let Some(host) = context.hosts().get(edge) else { continue };
        let usual = ProxyServer::default();
        let proxy = host.proxy.as_ref().unwrap_or(&usual);
        for name in &route.names {
            let judge = Judge { context, route, edge, proxy, name: &name.name, found };
            judge.judge(&name.tls);
        }
    }
}

fn tunnel(route: &ResolvedRoute<'_>, found: &mut Vec<Finding>) {
    if let Some(tls) = route.route.tls.as_ref().filter(|tls| **tls != TlsMode::Tunnel) {
        let message = format!("TLS of a tunnel ends at its provider, so that \"{}\" can have no effect", tls.as_str());
        found.push(Finding::error("cert-impossible", route.place.join("tls"), message).fix("take \"tls\" out"));
    }
}

/// One name at one edge.
struct Judge<'a, 'f> {
    context: &'a Context<'a>,
    route: &'a ResolvedRoute<'a>,
    edge: &'a str,
    proxy: &'a ProxyServer,
    name: &'a str,
    found: &'f mut Vec<Finding>,
}

impl Judge<'_, '_> {
    fn judge(mut self, tls: &TlsMode) {
        let challenge = self.proxy.acme.as_ref().map(|acme| acme.challenge).unwrap_or_default();
        match tls {
            TlsMode::Acme if challenge == AcmeChallenge::Dns01 => self.by_dns(),
            TlsMode::Acme => self.by_request(challenge),
            TlsMode::AcmeDns => self.by_dns(),
            TlsMode::OnDemand => self.on_demand(),
            TlsMode::Internal => self.internal(),
            TlsMode::Tunnel => {
                self.impossible(
                    "there is no tunnel that TLS could end at".into(),
                    "add \"tunnel\", or take \"tls\" out",
                );
            }
            TlsMode::Files(_) | TlsMode::None => {}
        }
    }

    fn impossible(&mut self, why: String, fix: &str) {
        let at: Pointer = match self.route.route.tls {
            Some(_) => self.route.place.join("tls"),
            None => self.route.place.clone(),
        };
        let message = format!("{} cannot get a certificate: {why}", self.name);
        self.found.push(Finding::error("cert-impossible", at, message).fix(fix));
    }

    /// Whether a public authority, or one of the user's own, certifies the name at all.
    fn certified(&mut self) -> bool {
        let own = self.proxy.acme.as_ref().is_some_and(|acme| acme.directory.is_some());
        if is_special_use(self.name) && !own {
            self.impossible("no public authority certifies names like it".into(), "use \"tls\": \"internal\"");
            return false;
        }
        true
    }

    fn by_request(&mut self, challenge: AcmeChallenge) {
        if !self.certified() {
            return;
        }
        let own = self.proxy.acme.as_ref().is_some_and(|acme| acme.directory.is_some());
        let (number, word, port) = match challenge {
            AcmeChallenge::TlsAlpn01 => (443, "tls-alpn-01", self.proxy.https_port),
            _ => (80, "http-01", self.proxy.http_port),
        };
        if self.name.starts_with("*.") {
            let why = format!("a wildcard cannot be proven by {word}");
            self.impossible(why, "use \"tls\": \"acme-dns\", or \"on-demand\" with Caddy");
        } else if port != number {
            let why = format!("{word} asks on port {number}, and the proxy of host {} listens on {port}", self.edge);
            self.impossible(why, "use \"tls\": \"acme-dns\"");
        } else if !own && !self.route.is_public() {
            let why = format!("{word} comes from the internet, which the entry does not let in");
            self.impossible(why, "use \"tls\": \"acme-dns\" or \"internal\"");
        } else if !own && !self.context.on_network(self.edge, PUBLIC) {
            let why = format!("{word} comes from the internet, where host {} has no address", self.edge);
            self.impossible(why, "use \"tls\": \"acme-dns\", or name an edge with \"via\"");
        }
    }

    fn by_dns(&mut self) {
        if !self.certified() {
            return;
        }
        let named = self.proxy.acme.as_ref().and_then(|acme| acme.provider.as_deref());
        let token = self.proxy.acme.as_ref().is_some_and(|acme| acme.token.is_some());
        let zone = zone_of(self.context, self.name);
        if named.is_none() && !token && zone.is_none() {
            let why = "dns-01 changes its zone, and the fleet has no provider for it".into();
            self.impossible(why, "add the zone to \"dns\", or name a provider in the proxy's \"acme\"");
        }
    }

    fn on_demand(&mut self) {
        if self.proxy.on_demand.is_none() {
            let why = "without somebody to ask, anyone could have certificates made for any name".into();
            self.impossible(why, "add \"on_demand\": {\"ask\": \"http://127.0.0.1:...\"} to the host's proxy");
        }
        if !self.route.is_public() {
            let why = "the authority comes from the internet, which the entry does not let in".into();
            self.impossible(why, "use \"tls\": \"internal\"");
        }
    }

    fn internal(&mut self) {
        let domains = &self.context.fleet.certificates.domains;
        let plain = self.name.trim_start_matches("*.");
        let inside = |domain: &String| {
            let domain = domain.trim_start_matches('.').to_lowercase();
            plain == domain || plain.ends_with(&format!(".{domain}"))
        };
        if !domains.is_empty() && !domains.iter().any(inside) {
            let message = format!("{} is outside of what the internal CA may certify", self.name);
            self.found.push(
                Finding::error("cert-impossible", self.route.place.clone(), message)
                    .related(place([&"certificates", &"domains"]))
                    .fix("add its domain to \"certificates\": {\"domains\": [...]}"),
            );
        }
    }
}
