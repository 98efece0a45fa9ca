//! Loki 3: where logs are kept (grafana.com/docs/loki/latest/configure).

use contract::document::{Handler, Stage, TemplateEscape};
use contract::{Pointer, placeholder};
use serde_json::{Value, json};

use super::role::{Role, listen};
use crate::fleet::{Bucket, Loki, Run};
use crate::format::yaml;
use crate::host::{HostBuilder, containers};
use crate::model::Model;

const FILE: &str = "/etc/loki/config.yml";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let Some(spec) = &model.fleet.monitoring.loki else { return };
    let Some(service) = model.service(&spec.service).filter(|service| service.host.iter().any(|own| *own == host.name))
    else {
        return;
    };
    let from = [Pointer::root().join("monitoring").join("loki"), Model::service_at(&spec.service)];
    let Some(unit) = model.unit_of(&spec.service, service) else { return };
    let (address, port) = listen(model, host, service, Role::Loki);
    let bucket = spec.bucket.as_ref().and_then(|name| Some((name.as_str(), model.fleet.buckets.get(name)?)));
    // In its own image its data is in /loki, from the package in /var/lib/loki.
    let contained = !matches!(service.run, Run::Package(_));
    let document = config(spec, &address, port, if contained { "/loki" } else { "/var/lib/loki" }, bucket);
    let text = builder.header("#", &from) + &yaml::write(&document);
    builder.directory(Stage::Services, "/etc/loki", 0o755, "root", "root", &from);
    if bucket.is_some() {
        let template = builder.template("loki.yml".into(), text, TemplateEscape::Json);
        // Its image runs as this number, which needs no name on the host.
        template.owner = if contained { containers::user_in(service, "10001") } else { "loki".into() };
        template.link = Some(FILE.into());
        template.units = vec![unit.clone()];
        builder.wait_for_secrets(Stage::Services, &unit, &from);
    } else {
        builder.file(Stage::Services, FILE, text, &from).notify(Handler::restart(&unit)).add(builder);
    }
}

/// Loki's configuration; with a bucket it holds placeholders of secrets.
pub(crate) fn config(spec: &Loki, address: &str, port: u16, data: &str, bucket: Option<(&str, &Bucket)>) -> Value {
    let (store, storage) = match bucket {
        Some((name, bucket)) => {
            let secret =
                |secret: &Option<contract::SecretRef>| secret.as_ref().map(|secret| placeholder(&secret.secret));
            let mut s3 = json!({
                "bucketnames": bucket.name.as_deref().unwrap_or(name),
                "s3forcepathstyle": true
            });
            if let Value::Object(s3) = &mut s3 {
                for (key, value) in [
                    ("endpoint", bucket.endpoint.clone()),
                    ("region", bucket.region.clone()),
                    ("access_key_id", secret(&bucket.access_key)),
                    ("secret_access_key", secret(&bucket.secret_key)),
                ] {
                    s3.extend(value.map(|value| (key.to_owned(), json!(value))));
                }
            }
            ("s3", json!({"s3": s3}))
        }
        None => ("filesystem", json!({"filesystem": {"directory": format!("{data}/chunks")}})),
    };
    let mut server = json!({"http_listen_port": port, "grpc_listen_address": "127.0.0.1", "log_level": "warn"});
    if let (Value::Object(server), false) = (&mut server, address.is_empty()) {
        server.insert("http_listen_address".into(), json!(address));
    }
    json!({
        "auth_enabled": false,
        "server": server,
        "common": {
            "path_prefix": data,
            "replication_factor": 1,
            "instance_addr": "127.0.0.1",
            "ring": {"kvstore": {"store": "inmemory"}},
            "storage": storage
        },
        "schema_config": {"configs": [{
            // Never "today": what was written under one schema is read by it for ever.
            "from": spec.schema_from,
            "store": "tsdb",
            "object_store": store,
            "schema": "v13",
            "index": {"prefix": "index_", "period": "24h"}
        }]},
        "limits_config": {"retention_period": format!("{}h", (spec.retention.as_secs() / 3600).max(24))},
        "compactor": {
            "working_directory": format!("{data}/compactor"),
            "retention_enabled": true,
            // Without a place for requests to delete, retention does not start.
            "delete_request_store": store
        },
        "analytics": {"reporting_enabled": false}
    })
}
