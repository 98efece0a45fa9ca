//! `secrets.manifest`: which secrets a host or the controller gets.

use contract::document::SecretsManifest;

use crate::host::{manifest, render};
use crate::model::{HostView, Model};

/// The manifest of a host: the same that lies on it.
pub fn host_secrets(model: &Model<'_>, host: &HostView) -> SecretsManifest {
    manifest(model, Some(&host.name), render(model, host).templates)
}

/// The manifest of the controller: tokens of providers, roles that manage external clusters, the CA's key.
pub fn controller_secrets(model: &Model<'_>) -> SecretsManifest {
    manifest(model, None, Vec::new())
}
