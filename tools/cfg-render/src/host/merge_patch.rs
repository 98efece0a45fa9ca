//! Merge patches (RFC 7396), with which a person changes structured files.
//!
//! A patch that changes nothing looks like one that works, so that a path which the format does not have, or which takes
//! away what is not there, is an error with the nearest name that there is.

mod known;

use contract::{Finding, Pointer};
use serde_json::{Map, Value};

use super::HostBuilder;
use known::Names;
pub(super) use known::{COMPOSE, Format, PROMETHEUS, TRAEFIK};

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
