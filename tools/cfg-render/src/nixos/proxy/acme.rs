//! Certificates by ACME: NixOS' own client (lego), for nginx, and for Caddy where the proof is by DNS, which Caddy itself does
//! only with a module built in.

use contract::document::DnsProvider;
use contract::{Finding, Pointer};

use super::super::builder::NixosBuilder;
use super::super::secrets;
use crate::fleet::{Acme, AcmeChallenge, ProxyKind, TlsMode};
use crate::format::nix::Nix;
use crate::model::Site;

/// The certificate of a site, for the members of a group.
pub(super) fn certificate(
    builder: &mut NixosBuilder<'_, '_>,
    module: &str,
    site: &Site<'_>,
    kind: ProxyKind,
) -> Option<()> {
    let host = builder.host;
    let acme = host.proxy().acme.unwrap_or_default();
    let from = site.from();
    let at = from.first().cloned()?;
    // Without a name to certify there is no account.
    let shared: Vec<Pointer> = [host.at("proxy")].into_iter().chain(from.iter().cloned()).collect();
    let email = acme.email.clone().or_else(|| builder.model.fleet.email.clone());
    let Some(email) = email else {
        builder.shared.findings.push(
            Finding::error(
                "missing-key",
                super::super::place(&["email"]),
                "an ACME account needs the address of a person",
            )
            .related(at)
            .fix("give the fleet an email"),
        );
        return None;
    };
    builder.set(super::MODULE, &["security", "acme", "acceptTerms"], Nix::Bool(true), &shared);
    builder.set(super::MODULE, &["security", "acme", "defaults", "email"], Nix::text(email), &shared);
    if let Some(directory) = &acme.directory {
        builder.set(super::MODULE, &["security", "acme", "defaults", "server"], Nix::text(directory), &shared);
    }
    let name = kind.as_str();
    let mut keys = vec![("group", Nix::text(name)), ("reloadServices", Nix::texts([format!("{name}.service")]))];
    let others: Vec<&String> = site.names.iter().skip(1).collect();
    if !others.is_empty() {
        keys.push(("extraDomainNames", Nix::texts(others)));
    }
    if by_dns(&acme, site) {
        let (name, provider) = provider(builder, &acme, site.name(), &at)?;
        let (lego, variable, secret) = lego(builder, &acme, provider, &name, &at)?;
        keys.push(("dnsProvider", Nix::text(lego)));
        keys.push(("credentialFiles", Nix::set([(variable, Nix::text(secrets::path(&secret)))])));
        // A wildcard is proven at the name below it.
        if site.name().starts_with("*.") {
            keys.push(("domain", Nix::text(site.name())));
        }
    }
    builder.set(module, &["security", "acme", "certs", &certificate_name(site)], Nix::set(keys), &from);
    Some(())
}

/// Whether the names are proven by DNS.
pub(super) fn by_dns(acme: &Acme, site: &Site<'_>) -> bool {
    site.tls == TlsMode::AcmeDns || (site.tls == TlsMode::Acme && acme.challenge == AcmeChallenge::Dns01)
}

/// What the certificate of a site is called, which is also its directory below `/var/lib/acme`.
pub(super) fn certificate_name(site: &Site<'_>) -> String {
    crate::model::file_name(site.name())
}

/// The DNS provider of the names: the one that the proxy names, else that of the zone.
fn provider<'f>(
    builder: &mut NixosBuilder<'_, 'f>,
    acme: &Acme,
    name: &str,
    at: &Pointer,
) -> Option<(String, &'f DnsProvider)> {
    let dns = &builder.model.fleet.dns;
    let zone = dns
        .zones
        .iter()
        .filter(|(zone, _)| name == zone.as_str() || name.ends_with(&format!(".{zone}")))
        .max_by_key(|(zone, _)| zone.len());
    let wanted = acme.provider.clone().or_else(|| zone.and_then(|(_, zone)| zone.provider.clone()));
    let found = match wanted {
        Some(wanted) => dns.providers.get_key_value(&wanted),
        None => dns.providers.iter().next().filter(|_| dns.providers.len() == 1),
    };
    if found.is_none() {
        builder.shared.findings.push(
            Finding::error("cert-impossible", at.clone(), format!("no DNS provider is known for the proof of {name}"))
                .fix("name one of dns.providers in proxy.acme.provider"),
        );
    }
    found.map(|(name, provider)| (name.clone(), provider))
}

/// lego's name of a provider, the variable that holds the path of its token, and the secret.
fn lego(
    builder: &mut NixosBuilder<'_, '_>,
    acme: &Acme,
    provider: &DnsProvider,
    name: &str,
    at: &Pointer,
) -> Option<(&'static str, &'static str, String)> {
    let own = acme.token.as_ref().map(|token| token.secret.as_str().to_owned());
    let pick = |usual: &contract::SecretRef| own.clone().unwrap_or_else(|| usual.secret.as_str().to_owned());
    if let Some(cloudflare) = &provider.cloudflare {
        return Some(("cloudflare", "CLOUDFLARE_DNS_API_TOKEN_FILE", pick(&cloudflare.token)));
    }
    if let Some(hetzner) = &provider.hetzner {
        return Some(("hetzner", "HETZNER_API_KEY_FILE", pick(&hetzner.token)));
    }
    if let Some(desec) = &provider.desec {
        return Some(("desec", "DESEC_TOKEN_FILE", pick(&desec.token)));
    }
    if let Some(scaleway) = &provider.scaleway {
        return Some(("scaleway", "SCW_SECRET_KEY_FILE", pick(&scaleway.token)));
    }
    builder.shared.findings.push(
        Finding::error(
            "unsupported-feature",
            at.clone(),
            format!("the DNS provider \"{name}\" is not one that lego can use from here"),
        )
        .fix("take a provider of the kinds cloudflare, hetzner, desec or scaleway for dns-01, or http-01"),
    );
    None
}
