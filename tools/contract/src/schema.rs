//! Schema ids and the published JSON Schemas (draft 2020-12), which lie in `schemas/`.

use std::fmt;

use schemars::generate::SchemaSettings;
use serde_json::{Map, Value, json};

use crate::Document;

/// The id of a kind of document: `<noun>.<kind>/v<major>`. It names the job, not the program.
///
/// It carries its published schema, so that a program holds the schemas of its own documents and no others: all of them
/// together are half a megabyte.
#[derive(Clone, Copy)]
pub struct SchemaId {
    id: &'static str,
    schema: &'static str,
}

impl SchemaId {
    /// The text of the id, as it stands behind `"schema"`.
    pub const fn as_str(self) -> &'static str {
        self.id
    }

    /// The published JSON Schema of the document.
    pub const fn schema(self) -> &'static str {
        self.schema
    }

    /// Whether a person means it: by its full id (`host.plan/v1`) or without the version (`host.plan`).
    pub fn is_called(self, name: &str) -> bool {
        self.id == name || self.id.rsplit_once('/').is_some_and(|(noun, _)| noun == name)
    }

    /// The name of its file in `schemas/`: `host.desired/v1` lies in `host.desired.v1.json`.
    pub fn file_name(self) -> String {
        format!("{}.json", self.id.replace('/', "."))
    }
}

impl PartialEq for SchemaId {
    fn eq(&self, other: &Self) -> bool {
        self.id == other.id
    }
}

impl Eq for SchemaId {}

impl fmt::Debug for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

impl fmt::Display for SchemaId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.id)
    }
}

macro_rules! schema_ids {
    ($($(#[$doc:meta])* $name:ident = $id:literal in $file:literal;)*) => {
        impl SchemaId {
            $(
                $(#[$doc])*
                pub const $name: SchemaId = SchemaId { id: $id, schema: include_str!(concat!("../schemas/", $file)) };
            )*

            /// The texts of all ids. Unlike [`SCHEMAS`] it brings no schema into a program.
            pub const NAMES: &[&str] = &[$($id),*];
        }

        /// Every published document.
        pub const SCHEMAS: &[SchemaId] = &[$(SchemaId::$name),*];
    };
}

schema_ids! {
    /// The document that people write; only `cfg-render` reads it.
    FLEET = "fleet/v1" in "fleet.v1.json";
    /// Where hosts are and how to reach them.
    HOSTS_INVENTORY = "hosts.inventory/v1" in "hosts.inventory.v1.json";
    /// What a host shall be.
    HOST_DESIRED = "host.desired/v1" in "host.desired.v1.json";
    /// What an apply would change on a host.
    HOST_PLAN = "host.plan/v1" in "host.plan.v1.json";
    /// What an apply did on a host.
    HOST_RESULT = "host.result/v1" in "host.result.v1.json";
    /// What a host is.
    HOST_FACTS = "host.facts/v1" in "host.facts.v1.json";
    /// What an owner placed on a host.
    HOST_OWNED = "host.owned/v1" in "host.owned.v1.json";
    /// Which secrets a host gets, and the templates to fill.
    SECRETS_MANIFEST = "secrets.manifest/v1" in "secrets.manifest.v1.json";
    /// What was written, changed or materialised.
    SECRETS_RESULT = "secrets.result/v1" in "secrets.result.v1.json";
    /// What zones shall hold.
    DNS_DESIRED = "dns.desired/v1" in "dns.desired.v1.json";
    /// What an apply would change in zones.
    DNS_PLAN = "dns.plan/v1" in "dns.plan.v1.json";
    /// What an apply did in zones.
    DNS_RESULT = "dns.result/v1" in "dns.result.v1.json";
    /// What the authoritative servers answer.
    DNS_VERIFY = "dns.verify/v1" in "dns.verify.v1.json";
    /// What a PostgreSQL cluster shall hold.
    PG_DESIRED = "pg.desired/v1" in "pg.desired.v1.json";
    /// What an apply would change in a cluster.
    PG_PLAN = "pg.plan/v1" in "pg.plan.v1.json";
    /// What an apply did in a cluster.
    PG_RESULT = "pg.result/v1" in "pg.result.v1.json";
    /// The state of a major upgrade.
    PG_UPGRADE = "pg.upgrade/v1" in "pg.upgrade.v1.json";
    /// What services declare to be backed up.
    BACKUP_SOURCES = "backup.sources/v1" in "backup.sources.v1.json";
    /// The one verified plan of a host's backups.
    BACKUP_PLAN = "backup.plan/v1" in "backup.plan.v1.json";
    /// What a backup run did.
    BACKUP_RESULT = "backup.result/v1" in "backup.result.v1.json";
    /// Whether the backups are as the plan says.
    BACKUP_VERDICT = "backup.verdict/v1" in "backup.verdict.v1.json";
    /// That a restore worked, and of what.
    BACKUP_PROOF = "backup.proof/v1" in "backup.proof.v1.json";
    /// What to probe, and what depends on what.
    HEALTH_CHECKS = "health.checks/v1" in "health.checks.v1.json";
    /// What is healthy, what is not, and why.
    HEALTH_REPORT = "health.report/v1" in "health.report.v1.json";
    /// What a `check` verb found.
    FINDINGS = "findings/v1" in "findings.v1.json";
    /// One error on stderr.
    ERROR = "error/v1" in "error.v1.json";
}

/// The published schema of a kind of document, by its full id (`host.plan/v1`) or without the version (`host.plan`).
pub fn published_schema(kind: &str) -> Option<&'static str> {
    SCHEMAS.iter().find(|id| id.is_called(kind)).map(|id| id.schema())
}

/// The JSON Schema of a document, made from its type. `schemas/` holds what this prints; a test keeps the two equal.
pub fn schema_of<D: Document>() -> Value {
    let schema = SchemaSettings::draft2020_12().into_generator().into_root_schema_for::<D>();
    let mut schema = serde_json::to_value(schema).unwrap_or_default();
    open_to_extensions(&mut schema);
    if let Some(root) = schema.as_object_mut() {
        root.insert("$id".into(), json!(format!("urn:plumbline:{}", D::ID.as_str().replace('/', ":"))));
        root.insert("title".into(), json!(D::ID.as_str()));
        let properties = root.entry("properties").or_insert_with(|| json!({}));
        if let Some(properties) = properties.as_object_mut() {
            properties.insert(
                "schema".into(),
                json!({ "const": D::ID.as_str(), "description": "The kind of this document." }),
            );
            properties.insert("$schema".into(), json!({ "type": "string", "description": "For editors; ignored." }));
        }
        let required = root.entry("required").or_insert_with(|| json!([]));
        if let Some(required) = required.as_array_mut() {
            required.insert(0, json!("schema"));
        }
    }
    schema
}

/// Lets every object carry `x-*` keys and the person's comment `//`, which all readers ignore.
fn open_to_extensions(schema: &mut Value) {
    match schema {
        Value::Object(object) => {
            if object.get("additionalProperties") == Some(&Value::Bool(false)) {
                let patterns = object.entry("patternProperties").or_insert_with(|| Value::Object(Map::new()));
                if let Some(patterns) = patterns.as_object_mut() {
                    patterns.insert("^(x-.*|//)$".into(), json!(true));
                }
            }
            object.values_mut().for_each(open_to_extensions);
        }
        Value::Array(array) => array.iter_mut().for_each(open_to_extensions),
        _ => {}
    }
}
