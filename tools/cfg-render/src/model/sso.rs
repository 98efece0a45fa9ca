//! Single sign-on that services do themselves (OpenID Connect), as their providers answer it.

use contract::{SecretName, placeholder};

use super::Model;
use crate::fleet::{Run, Service, SsoKind};

/// A service as a client of its provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OidcClient<'f> {
    /// The provider's name in the fleet.
    pub provider: &'f str,
    /// Which program it is.
    pub kind: SsoKind,
    /// The client's id.
    pub client_id: String,
    /// The client's secret; none for a public client.
    pub client_secret: Option<SecretName>,
    /// Who signs tokens.
    pub issuer: String,
    /// Where people log in.
    pub authorize: String,
    /// Where codes are changed into tokens.
    pub token: String,
    /// Who somebody is.
    pub userinfo: String,
    /// Where people log out.
    pub logout: String,
    /// Addresses to which the provider may send people back.
    pub redirects: Vec<String>,
}

impl OidcClient<'_> {
    /// An attribute by the name that `{"sso": ..., "attr": ...}` has for it.
    pub fn attribute(&self, name: Option<&str>) -> Option<String> {
        match name {
            Some("issuer") | None => Some(self.issuer.clone()),
            Some("client_id") => Some(self.client_id.clone()),
            Some("client_secret") => self.client_secret.as_ref().map(placeholder),
            Some("auth_url") => Some(self.authorize.clone()),
            Some("token_url") => Some(self.token.clone()),
            Some("userinfo_url") => Some(self.userinfo.clone()),
            Some("logout_url") => Some(self.logout.clone()),
            Some(_) => None,
        }
    }
}

/// Programs whose own address for the way back is known, by the end of their image's name. `PROVIDER` stands for the
/// provider's name in the fleet.
const WAYS_BACK: [(&str, &str); 6] = [
    ("grafana/grafana", "/login/generic_oauth"),
    ("outlinewiki/outline", "/auth/oidc.callback"),
    ("nextcloud", "/apps/user_oidc/code"),
    ("miniflux/miniflux", "/oauth2/oidc/callback"),
    ("oauth2-proxy/oauth2-proxy", "/oauth2/callback"),
    ("forgejo/forgejo", "/user/oauth2/PROVIDER/callback"),
];

/// NixOS modules of the same programs.
const MODULES: [(&str, &str); 4] = [
    ("services.grafana", "grafana/grafana"),
    ("services.outline", "outlinewiki/outline"),
    ("services.nextcloud", "nextcloud"),
    ("services.forgejo", "forgejo/forgejo"),
];

/// Whether a service is the program of this image: in one of its containers, as a package, a module, or a unit of ours.
pub fn is_program(service: &Service, image: &str) -> bool {
    let (owner, own) = image.rsplit_once('/').unwrap_or((image, image));
    // An image is called after its owner where its own name says nothing.
    let names = if own == "server" { [owner, owner] } else { [own, image] };
    match &service.run {
        Run::Systemd(run) => {
            let program = run.exec.first().and_then(|path| path.rsplit('/').next());
            program.is_some_and(|program| names.contains(&program))
        }
        Run::Package(run) => run.packages.iter().any(|package| names.contains(&package.as_str())),
        Run::Nixos(run) => MODULES.contains(&(run.module.as_str(), image)),
        _ => service.run.containers().iter().any(|(_, container)| same_image(&container.image, image)),
    }
}

fn same_image(written: &str, end: &str) -> bool {
    let name = written.split('@').next().unwrap_or_default();
    let name = name.rsplit_once(':').filter(|(_, tag)| !tag.contains('/')).map_or(name, |(name, _)| name);
    name == end || name.ends_with(&format!("/{end}")) || end.strip_prefix("library/") == Some(name)
}

impl<'f> Model<'f> {
    /// What a service is to its provider.
    pub fn oidc_client(&self, name: &str) -> Option<OidcClient<'f>> {
        let service = self.service(name)?;
        let sso = service.sso.as_ref()?;
        let (provider, spec) = self.fleet.sso.get_key_value(&sso.provider)?;
        let base = spec.url.clone().or_else(|| self.public_address(&spec.service).map(|(_, url)| url))?;
        let base = base.trim_end_matches('/');
        let client_id = sso.client_id.clone().unwrap_or_else(|| name.to_owned());
        let own = self.public_address(name).map(|(_, url)| url.trim_end_matches('/').to_owned());
        let mut redirects = sso.redirect_uris.clone();
        let way = WAYS_BACK.iter().find(|(image, _)| is_program(service, image));
        if let (true, Some((_, path)), Some(own)) = (redirects.is_empty(), way, &own) {
            redirects.push(format!("{own}{}", path.replace("PROVIDER", provider)));
        }
        let at = |path: &str| format!("{base}{path}");
        let (issuer, authorize, token, userinfo, logout) = match spec.kind {
            SsoKind::Authentik => (
                at(&format!("/application/o/{name}/")),
                at("/application/o/authorize/"),
                at("/application/o/token/"),
                at("/application/o/userinfo/"),
                at(&format!("/application/o/{name}/end-session/")),
            ),
            SsoKind::Authelia => (
                base.to_owned(),
                at("/api/oidc/authorization"),
                at("/api/oidc/token"),
                at("/api/oidc/userinfo"),
                at("/logout"),
            ),
            // The base address names the realm.
            SsoKind::Keycloak => (
                base.to_owned(),
                at("/protocol/openid-connect/auth"),
                at("/protocol/openid-connect/token"),
                at("/protocol/openid-connect/userinfo"),
                at("/protocol/openid-connect/logout"),
            ),
            SsoKind::Kanidm => (
                at(&format!("/oauth2/openid/{client_id}")),
                at("/ui/oauth2"),
                at("/oauth2/token"),
                at(&format!("/oauth2/openid/{client_id}/userinfo")),
                at("/ui/logout"),
            ),
            // What its discovery document says is not known here.
            SsoKind::Other => (base.to_owned(), at("/authorize"), at("/token"), at("/userinfo"), at("/logout")),
        };
        Some(OidcClient {
            provider,
            kind: spec.kind,
            client_id,
            client_secret: sso.client_secret.as_ref().map(|secret| secret.secret.clone()),
            issuer,
            authorize,
            token,
            userinfo,
            logout,
            redirects,
        })
    }
}
