//! Merge patches (RFC 7396), with which a person changes structured files.
//!
//! A patch that changes nothing looks like one that works, so that a path which the format does not have, or which takes
//! away what is not there, is an error with the nearest name that there is.

use contract::{Finding, Pointer};
use serde_json::{Map, Value};

use super::HostBuilder;

/// The names that a format knows at a place; `*` in the place stands for any name.
type Known = (&'static [&'static str], Names);

/// Which names there may be.
#[derive(Debug, Clone, Copy)]
enum Names {
    /// These, and in Compose files `x-*`.
    These(&'static [&'static str]),
    /// Those that are there already, and new ones that have one of these keys, without which they would be nothing.
    OrWith(&'static [&'static str]),
}

/// A format in which patches are known.
#[derive(Debug, Clone, Copy)]
pub(super) struct Format {
    what: &'static str,
    known: &'static [Known],
}

/// Prometheus' configuration (prometheus.io/docs/prometheus/latest/configuration/configuration).
pub(super) const PROMETHEUS: Format = Format {
    what: "Prometheus' configuration",
    known: &[
        (
            &[],
            Names::These(&[
                "alerting",
                "global",
                "otlp",
                "remote_read",
                "remote_write",
                "rule_files",
                "runtime",
                "scrape_config_files",
                "scrape_configs",
                "storage",
                "tracing",
            ]),
        ),
        (
            &["global"],
            Names::These(&[
                "always_scrape_classic_histograms",
                "body_size_limit",
                "convert_classic_histograms_to_nhcb",
                "evaluation_interval",
                "external_labels",
                "keep_dropped_targets",
                "label_limit",
                "label_name_length_limit",
                "label_value_length_limit",
                "metric_name_escaping_scheme",
                "metric_name_validation_scheme",
                "query_log_file",
                "rule_query_offset",
                "sample_limit",
                "scrape_failure_log_file",
                "scrape_interval",
                "scrape_native_histograms",
                "scrape_protocols",
                "scrape_timeout",
                "target_limit",
            ]),
        ),
        (&["alerting"], Names::These(&["alert_relabel_configs", "alertmanagers"])),
        (&["storage"], Names::These(&["exemplars", "tsdb"])),
    ],
};

/// A Compose file (github.com/compose-spec/compose-spec, schema/compose-spec.json).
pub(super) const COMPOSE: Format = Format {
    what: "the Compose file",
    known: &[
        (
            &[],
            Names::These(&[
                "configs", "include", "models", "name", "networks", "secrets", "services", "version", "volumes",
            ]),
        ),
        (&["services"], Names::OrWith(&["image", "build", "extends"])),
        (
            &["services", "*"],
            Names::These(&[
                "annotations",
                "attach",
                "blkio_config",
                "build",
                "cap_add",
                "cap_drop",
                "cgroup",
                "cgroup_parent",
                "command",
                "configs",
                "container_name",
                "cpu_count",
                "cpu_percent",
                "cpu_period",
                "cpu_quota",
                "cpu_rt_period",
                "cpu_rt_runtime",
                "cpu_shares",
                "cpus",
                "cpuset",
                "credential_spec",
                "depends_on",
                "deploy",
                "develop",
                "device_cgroup_rules",
                "devices",
                "dns",
                "dns_opt",
                "dns_search",
                "domainname",
                "entrypoint",
                "env_file",
                "environment",
                "expose",
                "extends",
                "external_links",
                "extra_hosts",
                "gpus",
                "group_add",
                "healthcheck",
                "hostname",
                "image",
                "init",
                "ipc",
                "isolation",
                "label_file",
                "labels",
                "links",
                "logging",
                "mac_address",
                "mem_limit",
                "mem_reservation",
                "mem_swappiness",
                "memswap_limit",
                "models",
                "network_mode",
                "networks",
                "oom_kill_disable",
                "oom_score_adj",
                "pid",
                "pids_limit",
                "platform",
                "ports",
                "post_start",
                "pre_stop",
                "privileged",
                "profiles",
                "provider",
                "pull_policy",
                "pull_refresh_after",
                "read_only",
                "restart",
                "runtime",
                "scale",
                "secrets",
                "security_opt",
                "shm_size",
                "stdin_open",
                "stop_grace_period",
                "stop_signal",
                "storage_opt",
                "sysctls",
                "tmpfs",
                "tty",
                "ulimits",
                "use_api_socket",
                "user",
                "userns_mode",
                "uts",
                "volumes",
                "volumes_from",
                "working_dir",
            ]),
        ),
    ],
};

const ROUTER: Names = Names::OrWith(&["rule"]);

/// Traefik's dynamic configuration (json.schemastore.org/traefik-v3-file-provider.json).
pub(super) const TRAEFIK: Format = Format {
    what: "Traefik's dynamic configuration",
    known: &[
        (&[], Names::These(&["http", "tcp", "tls", "udp"])),
        (&["http"], Names::These(&["middlewares", "routers", "serversTransports", "services"])),
        (&["http", "routers"], ROUTER),
        (
            &["http", "routers", "*"],
            Names::These(&[
                "entryPoints",
                "middlewares",
                "observability",
                "parentRefs",
                "priority",
                "rule",
                "ruleSyntax",
                "service",
                "tls",
            ]),
        ),
        (
            &["http", "services"],
            Names::OrWith(&["loadBalancer", "weighted", "mirroring", "failover", "highestRandomWeight"]),
        ),
        (
            &["http", "services", "*"],
            Names::These(&["failover", "highestRandomWeight", "loadBalancer", "mirroring", "weighted"]),
        ),
        (
            &["http", "services", "*", "loadBalancer"],
            Names::These(&[
                "healthCheck",
                "passHostHeader",
                "passiveHealthCheck",
                "responseForwarding",
                "servers",
                "serversTransport",
                "sticky",
                "strategy",
            ]),
        ),
        (
            &["http", "middlewares", "*"],
            Names::These(&[
                "addPrefix",
                "basicAuth",
                "buffering",
                "chain",
                "circuitBreaker",
                "compress",
                "contentType",
                "digestAuth",
                "encodedCharacters",
                "errors",
                "forwardAuth",
                "grpcWeb",
                "headers",
                "inFlightReq",
                "ipAllowList",
                "ipWhiteList",
                "passTLSClientCert",
                "plugin",
                "rateLimit",
                "redirectRegex",
                "redirectScheme",
                "replacePath",
                "replacePathRegex",
                "retry",
                "stripPrefix",
                "stripPrefixRegex",
            ]),
        ),
        (&["tcp"], Names::These(&["middlewares", "routers", "serversTransports", "services"])),
        (&["tcp", "routers"], ROUTER),
        (&["udp"], Names::These(&["routers", "services"])),
        (&["tls"], Names::These(&["certificates", "options", "stores"])),
    ],
};

/// Applies the patch that stands at this place, all of it or, with findings, nothing.
pub(super) fn apply(
    builder: &mut HostBuilder<'_, '_>,
    target: &mut Value,
    patch: &Value,
    format: Format,
    at: &Pointer,
) {
    let mut found = Vec::new();
    if patch.is_object() {
        unknown(target, patch, format, &mut Vec::new(), at, &mut found);
    } else {
        let message = format!("a merge patch on {} is an object", format.what);
        found.push(Finding::error("override-target-missing", at.clone(), message).fix("name the keys to change"));
    }
    if found.is_empty() {
        merge(target, patch);
    }
    builder.findings.append(&mut found);
}

/// Finds the paths of a patch that the format does not have, and removals of what is not there.
fn unknown(
    target: &Value,
    patch: &Value,
    format: Format,
    path: &mut Vec<String>,
    at: &Pointer,
    found: &mut Vec<Finding>,
) {
    let Value::Object(patch) = patch else { return };
    let names = format.known.iter().find(|(place, _)| {
        place.len() == path.len() && place.iter().zip(path.iter()).all(|(known, own)| *known == "*" || known == own)
    });
    let there: Vec<&str> = target.as_object().into_iter().flat_map(Map::keys).map(String::as_str).collect();
    for (key, value) in patch {
        let at = at.join(key);
        let inner = target.get(key);
        let (known, near): (bool, Vec<&str>) = match names.map(|(_, names)| *names) {
            _ if value.is_null() => (inner.is_some(), there.clone()),
            Some(Names::These(names)) => (names.contains(&key.as_str()) || key.starts_with("x-"), names.to_vec()),
            Some(Names::OrWith(needed)) => {
                (inner.is_some() || needed.iter().any(|need| value.get(need).is_some()), there.clone())
            }
            None => (true, Vec::new()),
        };
        if !known {
            let whole = path.iter().map(String::as_str).chain([key.as_str()]).collect::<Vec<_>>().join(".");
            let message = if value.is_null() {
                format!("{} has no {whole} that could be taken away", format.what)
            } else {
                format!("{} has no {whole} that this could change", format.what)
            };
            let fix = match cli::did_you_mean(key, near.iter().copied()) {
                Some(near) => format!("did you mean \"{near}\"?"),
                None if near.is_empty() => "take it out".into(),
                None => format!("there is {}", near.iter().take(12).copied().collect::<Vec<_>>().join(", ")),
            };
            found.push(Finding::error("override-target-missing", at, message).fix(fix));
            continue;
        }
        path.push(key.clone());
        unknown(inner.unwrap_or(&Value::Null), value, format, path, &at, found);
        path.pop();
    }
}

/// RFC 7396, section 2.
fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    if let Value::Object(object) = target {
        for (key, value) in patch {
            if value.is_null() {
                object.remove(key);
            } else {
                merge(object.entry(key.clone()).or_insert(Value::Null), value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_examples_of_the_rfc() {
        // RFC 7396, appendix A.
        for (target, patch, result) in [
            (json!({"a": "b"}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "b"}), json!({"b": "c"}), json!({"a": "b", "b": "c"})),
            (json!({"a": "b"}), json!({"a": null}), json!({})),
            (json!({"a": "b", "b": "c"}), json!({"a": null}), json!({"b": "c"})),
            (json!({"a": ["b"]}), json!({"a": "c"}), json!({"a": "c"})),
            (json!({"a": "c"}), json!({"a": ["b"]}), json!({"a": ["b"]})),
            (json!({"a": {"b": "c"}}), json!({"a": {"b": "d", "c": null}}), json!({"a": {"b": "d"}})),
            (json!({"a": [{"b": "c"}]}), json!({"a": [1]}), json!({"a": [1]})),
            (json!(["a", "b"]), json!(["c", "d"]), json!(["c", "d"])),
            (json!({"a": "b"}), json!(["c"]), json!(["c"])),
            (json!({"a": "foo"}), json!(null), json!(null)),
            (json!({"a": "foo"}), json!("bar"), json!("bar")),
            (json!({"e": null}), json!({"a": 1}), json!({"e": null, "a": 1})),
            (json!([1, 2]), json!({"a": "b", "c": null}), json!({"a": "b"})),
            (json!({}), json!({"a": {"bb": {"ccc": null}}}), json!({"a": {"bb": {}}})),
        ] {
            let mut value = target.clone();
            merge(&mut value, &patch);
            assert_eq!(value, result, "{target} with {patch}");
        }
    }

    #[test]
    fn what_the_format_does_not_have_is_found() {
        let find = |target: Value, patch: Value, format| {
            let mut found = Vec::new();
            unknown(&target, &patch, format, &mut Vec::new(), &Pointer::root().join("extra"), &mut found);
            found.into_iter().map(|finding| finding.pointer.to_string()).collect::<Vec<_>>()
        };
        let compose = json!({"services": {"web": {"image": "x", "environment": {"A": "1"}}}});
        for good in [
            json!({"services": {"web": {"mem_limit": "1g", "environment": {"B": "2", "A": null}}}}),
            json!({"services": {"side": {"image": "y"}}, "x-own": 1}),
        ] {
            assert_eq!(find(compose.clone(), good, COMPOSE), Vec::<String>::new());
        }
        for (bad, at) in [
            (json!({"service": {}}), "/extra/service"),
            (json!({"services": {"webb": {"mem_limit": "1g"}}}), "/extra/services/webb"),
            (json!({"services": {"web": {"memory": "1g"}}}), "/extra/services/web/memory"),
            (json!({"services": {"web": {"environment": {"C": null}}}}), "/extra/services/web/environment/C"),
        ] {
            assert_eq!(find(compose.clone(), bad, COMPOSE), [at]);
        }
        assert_eq!(
            find(json!({"global": {}}), json!({"global": {"scrape_intervall": "9s"}}), PROMETHEUS),
            ["/extra/global/scrape_intervall"]
        );
        assert_eq!(
            find(
                json!({"http": {"routers": {"a": {}}}}),
                json!({"http": {"routers": {"b": {"priority": 1}}}}),
                TRAEFIK
            ),
            ["/extra/http/routers/b"]
        );
    }
}
