//! Certificates as files: what a proxy finds at the final path, whoever made it.

use contract::Pointer;
use contract::document::{Handler, Stage};

use super::HostBuilder;
use crate::model::Certificate;

/// Where the certificate of the internal CA lies on hosts that verify others by it.
pub(crate) const CA: &str = "/var/lib/plumbline/tls/ca.pem";

/// Where the certificate lies by which a proxy of its own ACME client knows the authority's server.
pub(crate) const AUTHORITY: &str = "/var/lib/plumbline/tls/acme-authority.pem";

/// The certificate of an ACME authority's own server, for a proxy that asks there itself.
pub(super) fn add_authority(builder: &mut HostBuilder<'_, '_>, unit: &str, source: &str, from: &[Pointer]) {
    builder.directory(Stage::Services, "/var/lib/plumbline/tls", 0o755, "root", "root", from);
    builder
        .file(Stage::Services, AUTHORITY, String::new(), from)
        .source(source)
        .notify(Handler::restart(unit))
        .add(builder);
}

/// Chain as a file, key as a secret with a link. Where ACME gets another later, this one stands in until then.
pub(super) fn add(builder: &mut HostBuilder<'_, '_>, certificate: &Certificate, unit: &str) {
    let from = &certificate.from;
    let store = &certificate.store;
    if let Some((directory, _)) = store.chain.rsplit_once('/') {
        if let Some((parent, _)) = directory.rsplit_once('/') {
            builder.directory(Stage::Services, parent, 0o755, "root", "root", from);
        }
        builder.directory(Stage::Services, directory, 0o755, "root", "root", from);
    }
    builder
        .file(Stage::Services, &store.chain, String::new(), from)
        .source(&store.source)
        .notify(Handler::reload(unit))
        .add(builder);
    builder.wait_for_secrets(Stage::Services, unit, from);
}

/// The certificate of the internal CA, for a proxy that verifies what is behind it.
pub(super) fn add_ca(builder: &mut HostBuilder<'_, '_>, unit: &str, from: &[Pointer]) {
    let source = builder.model.fleet.certificates.certificate.clone();
    builder.directory(Stage::Services, "/var/lib/plumbline/tls", 0o755, "root", "root", from);
    builder.file(Stage::Services, CA, String::new(), from).source(&source).notify(Handler::reload(unit)).add(builder);
}
