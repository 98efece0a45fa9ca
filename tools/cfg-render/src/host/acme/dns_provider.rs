//! How lego proves names by DNS: its name for a provider, and the variables that it reads (go-acme.github.io/lego/dns).

use contract::document::DnsProvider;
use contract::{Finding, Pointer, SecretName};

use crate::fleet::Acme;
use crate::host::HostBuilder;

/// How names are proven by DNS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::host) struct Proof {
    /// What lego calls the provider; Traefik, which is built on it, calls it the same.
    pub(in crate::host) lego: &'static str,
    /// Variables for all to see.
    pub(in crate::host) clear: Vec<(&'static str, String)>,
    /// The variable of the token; with `_FILE` behind it the name of a file.
    pub(in crate::host) variable: &'static str,
    /// The secret with the token.
    pub(in crate::host) token: SecretName,
}

/// The proof for names: by the provider that the proxy names, or that of the first name's zone, or the only one.
pub(in crate::host) fn proof(
    builder: &mut HostBuilder<'_, '_>,
    acme: &Acme,
    names: &[String],
    at: &Pointer,
) -> Option<Proof> {
    let fleet = builder.model.fleet;
    let provider = fleet.acme_provider(Some(acme), names.first().map_or("", String::as_str));
    let found = provider.and_then(|name| fleet.dns.providers.get(name)).and_then(variables);
    let Some(mut proof) = found else {
        let message = "no provider of dns.providers proves these names by DNS";
        let finding = Finding::error("cert-impossible", at.join("provider"), message);
        builder.findings.push(finding.fix("name a provider with an interface (not a zone file) in \"acme.provider\""));
        return None;
    };
    if let Some(token) = &acme.token {
        proof.token = token.secret.clone();
    }
    Some(proof)
}

fn variables(provider: &DnsProvider) -> Option<Proof> {
    let one = |lego, variable, token: &contract::SecretRef| Proof {
        lego,
        clear: Vec::new(),
        variable,
        token: token.secret.clone(),
    };
    if let Some(cloudflare) = &provider.cloudflare {
        return Some(one("cloudflare", "CF_DNS_API_TOKEN", &cloudflare.token));
    }
    if let Some(hetzner) = &provider.hetzner {
        return Some(one("hetzner", "HETZNER_API_KEY", &hetzner.token));
    }
    if let Some(desec) = &provider.desec {
        return Some(one("desec", "DESEC_TOKEN", &desec.token));
    }
    if let Some(scaleway) = &provider.scaleway {
        return Some(one("scaleway", "SCALEWAY_API_TOKEN", &scaleway.token));
    }
    if let Some(powerdns) = &provider.powerdns {
        let mut proof = one("pdns", "PDNS_API_KEY", &powerdns.key);
        proof.clear = vec![("PDNS_API_URL", powerdns.url.clone())];
        return Some(proof);
    }
    let update = provider.rfc2136.as_ref()?;
    let mut proof = one("rfc2136", "RFC2136_TSIG_SECRET", &update.tsig.secret);
    let algorithm = serde_json::to_value(update.tsig.algorithm).ok()?;
    proof.clear = vec![
        ("RFC2136_NAMESERVER", update.server.clone()),
        ("RFC2136_TSIG_KEY", format!("{}.", update.tsig.name.trim_end_matches('.'))),
        ("RFC2136_TSIG_ALGORITHM", format!("{}.", algorithm.as_str()?.trim_end_matches('.'))),
    ];
    Some(proof)
}
