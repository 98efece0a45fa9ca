//! `secrets.manifest`: which secrets a host or the controller gets.

use contract::document::SecretsManifest;

use crate::host::{manifest, render};
use crate::model::{CA_KEY, HostView, Model};

/// The manifest of a host: the same that lies on it.
pub fn host_secrets(model: &Model<'_>, host: &HostView) -> SecretsManifest {
    manifest(model, Some(&host.name), render(model, host).templates)
}

/// The manifest of the controller: tokens of providers, roles that manage external clusters. Not the CA's key, so that no
/// program holds it that does not sign.
pub fn controller_secrets(model: &Model<'_>) -> SecretsManifest {
    let mut manifest = manifest(model, None, Vec::new());
    manifest.secrets.retain(|secret| secret.name.as_str() != CA_KEY);
    manifest
}

/// The manifest of whoever renews certificates: the CA's key and nothing else.
pub fn authority_secrets(model: &Model<'_>) -> SecretsManifest {
    let mut manifest = manifest(model, None, Vec::new());
    manifest.secrets.retain(|secret| secret.name.as_str() == CA_KEY);
    manifest
}
