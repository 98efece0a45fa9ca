//! Single sign-on: the settings of programs that sign people on themselves, and the blueprints from which Authentik makes
//! its side of each (docs.goauthentik.io/customize/blueprints).

use std::borrow::Cow;
use std::collections::BTreeSet;

use contract::document::{Stage, TemplateEscape};
use contract::{Finding, placeholder, places};
use serde_json::{Value as Json, json};

use super::{HostBuilder, containers};
use crate::fleet::{Auth, Reference, Run, Service, SsoKind, Value};
use crate::format::yaml;
use crate::model::{Model, is_program};

/// Where blueprints appear in Authentik's containers.
const INSIDE: &str = "/blueprints/plumbline";

/// A service with the settings of its single sign-on, where its program's are known.
pub(crate) fn fitted<'s>(model: &Model<'_>, name: &str, service: &'s Service) -> Cow<'s, Service> {
    let Some(client) = model.oidc_client(name) else { return Cow::Borrowed(service) };
    let mut fitted = service.clone();
    let of = |attr: &str| {
        Value::from(Reference {
            sso: Some(client.provider.to_owned()),
            attr: Some(attr.to_owned()),
            ..Reference::default()
        })
    };
    let mut set = |variable: &str, value: Value| {
        fitted.env.entry(variable.to_owned()).or_insert(value);
    };
    let grafana = is_program(service, "grafana/grafana")
        || model.fleet.monitoring.grafana.as_ref().is_some_and(|role| role.service == name);
    let scopes = service.sso.as_ref().map(|sso| sso.scopes.clone()).filter(|scopes| !scopes.is_empty());
    let scopes = scopes.unwrap_or_else(|| ["openid", "profile", "email"].map(str::to_owned).to_vec()).join(" ");
    if grafana {
        set("GF_AUTH_GENERIC_OAUTH_ENABLED", Value::text("true"));
        set("GF_AUTH_GENERIC_OAUTH_NAME", Value::text(client.provider));
        set("GF_AUTH_GENERIC_OAUTH_CLIENT_ID", of("client_id"));
        if client.client_secret.is_some() {
            set("GF_AUTH_GENERIC_OAUTH_CLIENT_SECRET", of("client_secret"));
        }
        set("GF_AUTH_GENERIC_OAUTH_SCOPES", Value::text(scopes));
        set("GF_AUTH_GENERIC_OAUTH_AUTH_URL", of("auth_url"));
        set("GF_AUTH_GENERIC_OAUTH_TOKEN_URL", of("token_url"));
        set("GF_AUTH_GENERIC_OAUTH_API_URL", of("userinfo_url"));
        set("GF_AUTH_SIGNOUT_REDIRECT_URL", of("logout_url"));
        set("GF_AUTH_GENERIC_OAUTH_USE_PKCE", Value::text("true"));
    } else if is_program(service, "outlinewiki/outline") {
        set("OIDC_CLIENT_ID", of("client_id"));
        if client.client_secret.is_some() {
            set("OIDC_CLIENT_SECRET", of("client_secret"));
        }
        set("OIDC_AUTH_URI", of("auth_url"));
        set("OIDC_TOKEN_URI", of("token_url"));
        set("OIDC_USERINFO_URI", of("userinfo_url"));
        set("OIDC_LOGOUT_URI", of("logout_url"));
        set("OIDC_DISPLAY_NAME", Value::text(client.provider));
        set("OIDC_SCOPES", Value::text(scopes));
    } else if is_program(service, "miniflux/miniflux") {
        set("OAUTH2_PROVIDER", Value::text("oidc"));
        set("OAUTH2_CLIENT_ID", of("client_id"));
        if client.client_secret.is_some() {
            set("OAUTH2_CLIENT_SECRET", of("client_secret"));
        }
        // It adds the well-known path itself.
        set("OAUTH2_OIDC_DISCOVERY_ENDPOINT", of("issuer"));
        if let Some(redirect) = client.redirects.first() {
            set("OAUTH2_REDIRECT_URL", Value::text(redirect));
        }
    } else if is_program(service, "oauth2-proxy/oauth2-proxy") {
        set("OAUTH2_PROXY_PROVIDER", Value::text("oidc"));
        set("OAUTH2_PROXY_CLIENT_ID", of("client_id"));
        if client.client_secret.is_some() {
            set("OAUTH2_PROXY_CLIENT_SECRET", of("client_secret"));
        }
        set("OAUTH2_PROXY_OIDC_ISSUER_URL", of("issuer"));
        set("OAUTH2_PROXY_SCOPE", Value::text(scopes));
        set("OAUTH2_PROXY_CODE_CHALLENGE_METHOD", Value::text("S256"));
        if let Some(redirect) = client.redirects.first() {
            set("OAUTH2_PROXY_REDIRECT_URL", Value::text(redirect));
        }
        if let Some(sso) = service.sso.as_ref().filter(|sso| !sso.groups.is_empty()) {
            set("OAUTH2_PROXY_ALLOWED_GROUPS", Value::text(sso.groups.join(",")));
        }
    }
    Cow::Owned(fitted)
}

/// Authentik's containers see the blueprints.
pub(crate) fn with_blueprints<'s>(model: &Model<'_>, name: &str, service: Cow<'s, Service>) -> Cow<'s, Service> {
    if !is_authentik(model, name) || blueprints_of(model, name).is_empty() {
        return service;
    }
    let mut fitted = service.into_owned();
    let mount =
        |file: &str| format!("{}/{file}:{INSIDE}/{file}:ro", places::RENDERED).parse::<crate::fleet::Volume>().ok();
    let files: Vec<_> = blueprints_of(model, name).into_iter().filter_map(|(file, _, _)| mount(&file)).collect();
    match &mut fitted.run {
        Run::Container(container) => container.volumes.extend(files),
        Run::Containers(containers) => {
            for container in containers.values_mut().filter(|container| container.image.contains("authentik")) {
                container.volumes.extend(files.iter().cloned());
            }
        }
        _ => {}
    }
    Cow::Owned(fitted)
}

fn is_authentik(model: &Model<'_>, service: &str) -> bool {
    model.fleet.sso.values().any(|spec| spec.kind == SsoKind::Authentik && spec.service == service)
}

/// Places of the fleet from which the blueprints of a service are made.
pub(crate) fn places(model: &Model<'_>, name: &str) -> Vec<contract::Pointer> {
    if !is_authentik(model, name) {
        return Vec::new();
    }
    blueprints_of(model, name).into_iter().flat_map(|(_, _, from)| from).collect()
}

/// Blueprints of the providers that a service is: file, text, and where they come from.
fn blueprints_of(model: &Model<'_>, service: &str) -> Vec<(String, Json, Vec<contract::Pointer>)> {
    let mut all = Vec::new();
    for (name, _) in model.services() {
        let mine = model.oidc_client(name).filter(|client| {
            client.kind == SsoKind::Authentik
                && model.fleet.sso.get(client.provider).is_some_and(|spec| spec.service == service)
        });
        if mine.is_some() {
            let at = Model::service_at(name).join("sso");
            all.push((format!("authentik-{name}.yaml"), oidc(model, name), vec![at]));
        }
    }
    let (document, from) = forward(model, service);
    if !from.is_empty() {
        all.push(("authentik-proxies.yaml".into(), document, from));
    }
    all
}

/// The blueprints of a host's Authentik: filled on the host, because they hold the secrets of clients.
pub(crate) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    for (name, service) in model.services_on(&host.name) {
        if !is_authentik(model, name) {
            continue;
        }
        let unit = model.unit_of(name, service).unwrap_or_default();
        for (file, document, from) in blueprints_of(model, name) {
            let text = builder.header("#", &from) + &yaml::write(&document);
            let template = builder.template(file, text, TemplateEscape::Json);
            // Authentik's images run as this number, which needs no name on the host.
            template.owner = containers::user_in(service, "1000");
            template.units = vec![unit.clone()];
            builder.wait_for_secrets(Stage::Services, &unit, &from);
        }
        if !service.run.containers().is_empty() {
            continue;
        }
        let at = Model::service_at(name).join("run");
        builder.missing(at, "the way in which this Authentik finds its blueprints");
    }
    for (name, _) in model.services_on(&host.name) {
        let Some(client) = model.oidc_client(name) else { continue };
        if client.redirects.is_empty() && client.kind == SsoKind::Authentik {
            let at = Model::service_at(name).join("sso").join("redirect_uris");
            let message = format!("where may people be sent back to after they have logged in for \"{name}\"?");
            builder
                .findings
                .push(Finding::warning("no-redirect", at, message).fix("add the address that the program documents"));
        }
    }
}

fn find(model: &str, key: &str, value: &str) -> Json {
    json!({"!Find": [model, [key, value]]})
}

fn flows() -> [(&'static str, Json); 2] {
    let flow = |slug: &str| find("authentik_flows.flow", "slug", slug);
    [
        ("authorization_flow", flow("default-provider-authorization-implicit-consent")),
        ("invalidation_flow", flow("default-provider-invalidation-flow")),
    ]
}

fn application(name: &str, title: &str, provider: &str, url: Option<String>) -> Json {
    let mut attrs = json!({"name": title, "provider": {"!KeyOf": provider}, "policy_engine_mode": "any"});
    if let (Json::Object(attrs), Some(url)) = (&mut attrs, url) {
        attrs.insert("meta_launch_url".into(), json!(url));
    }
    json!({"model": "authentik_core.application", "id": format!("app-{name}"), "identifiers": {"slug": name}, "attrs": attrs})
}

fn bindings(name: &str, groups: &BTreeSet<&String>) -> Vec<Json> {
    let bind = |(order, group): (usize, &&String)| {
        json!({
            "model": "authentik_policies.policybinding",
            "identifiers": {"target": {"!KeyOf": format!("app-{name}")}, "group": find("authentik_core.group", "name", group)},
            "attrs": {"order": order}
        })
    };
    groups.iter().enumerate().map(bind).collect()
}

/// Groups are there before anything refers to them; who is in them is Authentik's to say.
fn groups_of(groups: &BTreeSet<&String>) -> Vec<Json> {
    groups
        .iter()
        .map(|group| json!({"model": "authentik_core.group", "identifiers": {"name": group}, "state": "created"}))
        .collect()
}

fn oidc(model: &Model<'_>, name: &str) -> Json {
    let (Some(client), Some(service)) = (model.oidc_client(name), model.service(name)) else { return Json::Null };
    let sso = service.sso.as_ref();
    let scopes = sso.map(|sso| sso.scopes.clone()).filter(|scopes| !scopes.is_empty());
    let scopes = scopes.unwrap_or_else(|| ["openid", "profile", "email"].map(str::to_owned).to_vec());
    let redirects: Vec<_> = client.redirects.iter().map(|url| json!({"matching_mode": "strict", "url": url})).collect();
    let mut attrs = json!({
        "client_type": if client.client_secret.is_some() { "confidential" } else { "public" },
        "client_id": client.client_id,
        "redirect_uris": redirects,
        "signing_key": find("authentik_crypto.certificatekeypair", "name", "authentik Self-signed Certificate"),
        "property_mappings": scopes.iter().map(|scope| find("authentik_providers_oauth2.scopemapping", "scope_name", scope)).collect::<Vec<_>>()
    });
    if let Json::Object(attrs) = &mut attrs {
        attrs.extend(flows().map(|(key, flow)| (key.to_owned(), flow)));
        attrs.extend(
            client.client_secret.as_ref().map(|secret| ("client_secret".to_owned(), json!(placeholder(secret)))),
        );
    }
    let groups: BTreeSet<&String> = sso.into_iter().flat_map(|sso| &sso.groups).collect();
    let title = service.dashboard.as_ref().and_then(|tile| tile.name.clone()).unwrap_or_else(|| name.to_owned());
    let mut entries = groups_of(&groups);
    entries.push(json!({"model": "authentik_providers_oauth2.oauth2provider", "id": "provider", "identifiers": {"name": name}, "attrs": attrs}));
    entries.push(application(name, &title, "provider", model.public_address(name).map(|(_, url)| url)));
    entries.extend(bindings(name, &groups));
    json!({"version": 1, "metadata": {"name": format!("{} {name}", model.fleet.name)}, "entries": entries})
}

/// Names whose proxies ask Authentik at each request: its outpost is told all of them at once.
fn forward(model: &Model<'_>, service: &str) -> (Json, Vec<contract::Pointer>) {
    let mut entries = Vec::new();
    let mut providers = Vec::new();
    let mut from = Vec::new();
    for route in model.routes() {
        let Auth::Forward(login) = &route.route.auth else { continue };
        let mine = model.fleet.sso.get(&login.provider);
        if mine.is_none_or(|spec| spec.kind != SsoKind::Authentik || spec.service != service) {
            continue;
        }
        for name in &route.names {
            let slug: String = format!("{}-{}", route.service, name.name)
                .chars()
                .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
                .collect();
            let provider = format!("provider-{slug}");
            if providers.contains(&json!({"!KeyOf": provider})) {
                continue;
            }
            let url = format!("https://{}", name.name);
            let mut attrs = json!({"mode": "forward_single", "external_host": url});
            if let Json::Object(attrs) = &mut attrs {
                attrs.extend(flows().map(|(key, flow)| (key.to_owned(), flow)));
            }
            let groups: BTreeSet<&String> = login.groups.iter().collect();
            entries.extend(groups_of(&groups));
            entries.push(json!({"model": "authentik_providers_proxy.proxyprovider", "id": provider, "identifiers": {"name": slug}, "attrs": attrs}));
            entries.push(application(&slug, &name.name, &provider, Some(url)));
            entries.extend(bindings(&slug, &groups));
            providers.push(json!({"!KeyOf": provider}));
        }
        from.push(route.place.clone());
    }
    entries.push(json!({
        "model": "authentik_outposts.outpost",
        "identifiers": {"managed": "goauthentik.io/outposts/embedded"},
        "attrs": {"providers": providers}
    }));
    (json!({"version": 1, "metadata": {"name": format!("{} proxies", model.fleet.name)}, "entries": entries}), from)
}
