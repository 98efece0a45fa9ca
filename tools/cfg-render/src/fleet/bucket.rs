//! A bucket of object storage.

use contract::SecretRef;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A bucket of object storage (S3). It is made elsewhere; what the fleet needs to know of it stands here.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bucket {
    /// What it is for, such as `application data`, `certificates` or `terraform state`.
    pub purpose: String,
    /// Name of the bucket; its name here if not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Address of the storage, such as `https://s3.fr-par.scw.cloud`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
    /// Region.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// Access key id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub access_key: Option<SecretRef>,
    /// Secret access key.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_key: Option<SecretRef>,
}
