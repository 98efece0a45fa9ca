//! How Caddy proves names by DNS: with a module of the provider, which its build must have.

use contract::document::Stage;
use contract::{Finding, Pointer, places};

use super::UNIT;
use crate::fleet::Acme;
use crate::format::caddyfile::{Line, word};
use crate::format::systemd::UnitFile;
use crate::host::{HostBuilder, acme};

/// Where systemd hands the token to Caddy, which reads it when it needs it.
const TOKEN: &str = "{file./run/credentials/caddy.service/dns-token}";

/// The proof of a site's names, as a line of its `tls`. `None`, with a finding, where this Caddy has none.
pub(super) fn proof(
    builder: &mut HostBuilder<'_, '_>,
    settings: &Acme,
    modules: &[String],
    names: &[String],
    at: &Pointer,
) -> Option<Line> {
    let proof = acme::proof(builder, settings, names, at)?;
    let module = format!("dns.providers.{}", proof.lego);
    let mut refuse = |message: String, fix: String| {
        builder.findings.push(Finding::error("unsupported-feature", at.clone(), message).fix(fix));
    };
    if !modules.contains(&module) {
        let fix = format!(
            "add \"{module}\" to proxy.modules if your build has it (github.com/caddy-dns/{}), use http-01, or nginx",
            proof.lego
        );
        refuse(format!("this Caddy has no module \"{module}\""), fix);
        return None;
    }
    if builder.host.proxy_version() < (2, 8, 0) {
        let message = "Caddy reads a token from a file since 2.8".to_owned();
        refuse(message, "say which version the build has in proxy.version".into());
        return None;
    }
    let clear = |name: &str| {
        proof.clear.iter().find(|(variable, _)| *variable == name).map(|(_, value)| value.clone()).unwrap_or_default()
    };
    // What each module reads from a Caddyfile stands in its own README.
    let line = match proof.lego {
        "cloudflare" => Line::new("dns cloudflare").with(TOKEN),
        "desec" => Line::new("dns desec").body(vec![Line::new("token").with(TOKEN)]),
        "rfc2136" => {
            let mut body = Vec::new();
            for (key, value) in [
                ("key_name", clear("RFC2136_TSIG_KEY")),
                ("key_alg", clear("RFC2136_TSIG_ALGORITHM").trim_end_matches('.').to_owned()),
                ("server", clear("RFC2136_NAMESERVER")),
            ] {
                let value = builder.fit(word(&value), at)?;
                body.push(Line::new(key).with(value));
            }
            body.push(Line::new("key").with(TOKEN));
            Line::new("dns rfc2136").body(body)
        }
        other => {
            let message = format!("what Caddy's module for \"{other}\" reads is not known here");
            refuse(message, "use http-01, nginx, or one of cloudflare, desec, rfc2136".into());
            return None;
        }
    };
    let from = [at.clone()];
    let unit =
        UnitFile::new().set("Service", "LoadCredential", format!("dns-token:{}/{}", places::SECRETS, proof.token));
    let text = builder.header("#", &from) + &unit.write();
    // Several sites have the same one; with two tokens the second is refused as a clash of files.
    builder
        .file(Stage::Services, &format!("/etc/systemd/system/{UNIT}.d/20-plumbline-dns.conf"), text, &from)
        .add(builder);
    builder.wait_for_secrets(Stage::Services, UNIT, &from);
    Some(line)
}
