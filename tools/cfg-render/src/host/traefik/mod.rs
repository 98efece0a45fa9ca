//! Traefik v3 as the reverse proxy, in a container on the host's network: a static file, and one dynamic file a site
//! (doc.traefik.io; the published JSON schemas). It gets its certificates itself.

pub(crate) mod dynamic_file;
pub(crate) mod static_file;

use std::collections::BTreeSet;

use contract::document::{Group, HostItem, Stage};
use contract::{Pointer, places};
use serde_json::Value;

use super::{HostBuilder, acme, certificates, containers};
use crate::fleet::{AcmeChallenge, Container, Run, Service, TlsMode, Value as Setting};
use crate::format::yaml;
use crate::model::Site;

const FOLDER: &str = "/etc/traefik";
const STATE: &str = "/var/lib/traefik";
const UNIT: &str = "traefik.service";
/// Names of the sources of certificates.
const ACME: &str = "acme";
const ACME_DNS: &str = "acme-dns";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let sites = model.sites(host);
    if sites.is_empty() && host.spec.proxy.is_none() {
        return;
    }
    let proxy = host.proxy();
    let at = host.at("proxy");
    // `check` refuses a Traefik without an image: Debian and Ubuntu have no package of it.
    let Some(image) = proxy.image.clone() else { return };
    let mut from: BTreeSet<Pointer> = sites.iter().flat_map(Site::from).collect();
    from.insert(at.clone());
    let from: Vec<_> = from.into_iter().collect();
    let base = [at.clone()];
    // A group of its own: keys of sites are readable for it, whatever runs it.
    builder.push(HostItem {
        id: "group:traefik".into(),
        stage: Stage::Base,
        from: base.to_vec(),
        group: Some(Group { name: "traefik".into(), gid: None, system: true }),
        ..HostItem::default()
    });
    for (path, mode) in [(FOLDER.to_owned(), 0o755), (format!("{FOLDER}/dynamic"), 0o755), (STATE.to_owned(), 0o700)] {
        builder.directory(Stage::Services, &path, mode, "root", "root", &base);
        if let Some(directory) = builder.item_mut(&format!("directory:{path}")).and_then(|item| item.directory.as_mut())
        {
            directory.data = path == STATE;
        }
    }
    let document = static_file::write(builder, &proxy, sites);
    let text = builder.header("#", &from) + &yaml::write(&document);
    // Only the dynamic files are read again by a running Traefik.
    let restart = contract::document::Handler::restart(UNIT);
    builder.file(Stage::Services, &format!("{FOLDER}/traefik.yaml"), text, &from).notify(restart).add(builder);
    let shared = dynamic_file::shared(&proxy);
    let text = builder.header("#", &base) + &yaml::write(&shared);
    builder.file(Stage::Services, &format!("{FOLDER}/dynamic/00-plumbline.yaml"), text, &base).add(builder);
    for site in sites {
        let Some(mut document) = dynamic_file::site(builder, &proxy, site) else { continue };
        let from = site.from();
        escape_templates(&mut document);
        let text = builder.header("#", &from) + &yaml::write(&document);
        let path = format!("{FOLDER}/dynamic/{}.yaml", crate::model::file_name(site.name()));
        builder.file(Stage::Services, &path, text, &from).add(builder);
        if let Some(certificate) = site.certificate.as_ref().filter(|certificate| !certificate.store.stand_in) {
            certificates::add(builder, certificate, UNIT);
        }
    }
    if let Some(ca) = proxy.acme.as_ref().and_then(|acme| acme.ca.as_ref()) {
        certificates::add_authority(builder, UNIT, ca, &[at.join("acme").join("ca")]);
    }
    let service = service(builder, &image, sites);
    let runtime = containers::runtime(builder);
    containers::one(builder, &runtime, "traefik", &service, &at);
}

/// Traefik as a service of the fleet would be, so that it runs as those do.
fn service(builder: &mut HostBuilder<'_, '_>, image: &str, sites: &[Site<'_>]) -> Service {
    let host = builder.host;
    let acme = host.proxy().acme.unwrap_or_default();
    let at = host.at("proxy").join("acme");
    let volumes = [
        format!("{FOLDER}:{FOLDER}:ro"),
        format!("{STATE}:{STATE}"),
        "/var/lib/plumbline/tls:/var/lib/plumbline/tls:ro".into(),
        "/run/secrets:/run/secrets:ro".into(),
        "/run/secrets.d:/run/secrets.d:ro".into(),
    ];
    let mut container = Container {
        image: image.to_owned(),
        command: vec![format!("--configFile={FOLDER}/traefik.yaml")],
        volumes: volumes.iter().filter_map(|volume| volume.parse().ok()).collect(),
        host_network: true,
        read_only: true,
        tmpfs: vec!["/tmp".into()],
        capabilities: vec!["NET_BIND_SERVICE".into(), "DAC_OVERRIDE".into()],
        ..Container::default()
    };
    let by_dns = |site: &&Site<'_>| {
        site.tls == TlsMode::AcmeDns || (site.tls == TlsMode::Acme && acme.challenge == AcmeChallenge::Dns01)
    };
    if let Some(site) = sites.iter().find(by_dns)
        && let Some(proof) = acme::proof(builder, &acme, &site.names, &at)
    {
        for (variable, value) in proof.clear {
            container.env.insert(variable.into(), Setting::text(value));
        }
        // Its own way to read a token from a file, so that the environment holds none.
        let path = format!("{}/{}", places::SECRETS, proof.token);
        container.env.insert(format!("{}_FILE", proof.variable), Setting::text(path));
        builder.wait_for_secrets(Stage::Services, UNIT, &[at]);
    }
    let mut service = Service::new(&host.name, Run::Container(container));
    service.description = Some("Reverse proxy (Traefik)".into());
    service
}

/// The file provider reads its files as Go templates first.
fn escape_templates(value: &mut Value) {
    match value {
        Value::String(text) if text.contains("{{") => *text = text.replace("{{", "{{`{{`}}"),
        Value::Array(items) => items.iter_mut().for_each(escape_templates),
        Value::Object(map) => map.values_mut().for_each(escape_templates),
        _ => {}
    }
}
