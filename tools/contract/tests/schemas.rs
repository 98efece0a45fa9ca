//! The checked-in schemas are those of the types. `UPDATE_SCHEMAS=1 cargo test -p contract` (`just schemas`) rewrites them.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::path::Path;

use contract::document::*;
use contract::{Document, ErrorObject, Findings, SCHEMAS, SchemaId, published_schema, schema_of};

fn fresh<D: Document>(stale: &mut Vec<SchemaId>) {
    let text = serde_json::to_string_pretty(&schema_of::<D>()).unwrap() + "\n";
    if published_schema(D::ID.as_str()) != Some(text.as_str()) {
        if std::env::var_os("UPDATE_SCHEMAS").is_some() {
            let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas").join(D::ID.file_name());
            std::fs::write(path, text).unwrap();
        } else {
            stale.push(D::ID);
        }
    }
}

#[test]
fn schemas_are_fresh() {
    let mut stale = Vec::new();
    fresh::<HostsInventory>(&mut stale);
    fresh::<HostDesired>(&mut stale);
    fresh::<HostPlan>(&mut stale);
    fresh::<HostResult>(&mut stale);
    fresh::<HostFacts>(&mut stale);
    fresh::<HostOwned>(&mut stale);
    fresh::<SecretsManifest>(&mut stale);
    fresh::<SecretsResult>(&mut stale);
    fresh::<DnsDesired>(&mut stale);
    fresh::<DnsPlan>(&mut stale);
    fresh::<DnsResult>(&mut stale);
    fresh::<DnsVerify>(&mut stale);
    fresh::<PgDesired>(&mut stale);
    fresh::<PgPlan>(&mut stale);
    fresh::<PgResult>(&mut stale);
    fresh::<PgUpgrade>(&mut stale);
    fresh::<BackupSources>(&mut stale);
    fresh::<BackupPlan>(&mut stale);
    fresh::<BackupResult>(&mut stale);
    fresh::<BackupVerdict>(&mut stale);
    fresh::<BackupProof>(&mut stale);
    fresh::<HealthChecks>(&mut stale);
    fresh::<HealthReport>(&mut stale);
    fresh::<Findings>(&mut stale);
    fresh::<ErrorObject>(&mut stale);
    assert!(stale.is_empty(), "stale schemas, run `just schemas`: {stale:?}");
}

#[test]
fn every_file_is_published_under_its_name() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("schemas");
    let mut files: Vec<_> =
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    let mut names: Vec<_> = SCHEMAS.iter().map(|id| id.file_name()).collect();
    files.sort();
    names.sort();
    assert_eq!(files, names);
}
