//! Merge patches (RFC 7396), with which a person changes structured files.
//!
//! A patch that changes nothing looks like one that works, so that a path which the format does not have, or which takes
//! away what is not there, is an error with the nearest name that there is.

mod known;

use contract::{Finding, Pointer};
use serde_json::{Map, Value};

use super::HostBuilder;
pub(super) use known::{COMPOSE, PROMETHEUS, TRAEFIK};
use known::{Format, Known, Place};

/// Applies the patch that stands at this place, all of it or, with findings, nothing.
pub(super) fn apply(
    builder: &mut HostBuilder<'_, '_>,
    target: &mut Value,
    patch: &Value,
    format: &'static Format,
    at: &Pointer,
) {
    let mut found = Vec::new();
    if patch.is_object() {
        Search { format, found: &mut found }.patch(Some(target), patch, format.top(), &mut Vec::new(), at);
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
struct Search<'a> {
    format: &'static Format,
    found: &'a mut Vec<Finding>,
}

impl Search<'_> {
    fn patch(&mut self, target: Option<&Value>, patch: &Value, place: Place, path: &mut Vec<String>, at: &Pointer) {
        let Value::Object(patch) = patch else { return self.value(patch, place, path, at) };
        let target = target.and_then(Value::as_object);
        for (key, value) in patch {
            let at = at.join(key);
            let inner = target.and_then(|target| target.get(key));
            let known = match self.format.name(place, key) {
                _ if value.is_null() => inner.is_some().then_some(Place::Free),
                Known::Yes(place) => Some(place),
                Known::OrWith(place, needed) => {
                    (inner.is_some() || needed.iter().any(|need| value.get(need).is_some())).then_some(place)
                }
                Known::No => None,
            };
            path.push(key.clone());
            match known {
                Some(place) => self.patch(inner, value, place, path, &at),
                None => self.report(target, value.is_null(), place, path, at),
            }
            path.pop();
        }
    }

    /// What is put in whole: a list, whose elements the patch does not reach into.
    fn value(&mut self, value: &Value, place: Place, path: &mut Vec<String>, at: &Pointer) {
        match value {
            Value::Array(elements) => {
                for (index, element) in elements.iter().enumerate() {
                    path.push(index.to_string());
                    self.value(element, place, path, &at.join(index.to_string()));
                    path.pop();
                }
            }
            Value::Object(object) => {
                for (key, value) in object {
                    let at = at.join(key);
                    path.push(key.clone());
                    match self.format.name(place, key) {
                        Known::Yes(place) | Known::OrWith(place, _) => self.value(value, place, path, &at),
                        Known::No => self.report(None, false, place, path, at),
                    }
                    path.pop();
                }
            }
            _ => {}
        }
    }

    fn report(
        &mut self,
        target: Option<&Map<String, Value>>,
        removal: bool,
        place: Place,
        path: &[String],
        at: Pointer,
    ) {
        let what = self.format.what;
        let whole = path.join(".");
        let message = if removal {
            format!("{what} has no {whole} that could be taken away")
        } else {
            format!("{what} has no {whole} that this could change")
        };
        let there = target.into_iter().flat_map(Map::keys).map(String::as_str);
        let mut near: Vec<&str> = there.collect();
        if let (Place::Names(names), false) = (place, removal) {
            near.extend(names.known.keys());
        }
        let fix = match (path.last().and_then(|key| cli::did_you_mean(key, near.iter().copied())), path) {
            (Some(near), _) => format!("did you mean \"{near}\"?"),
            (None, [.., outer, _]) if near.is_empty() && !removal => format!("{outer} takes no keys: take it out"),
            (None, _) if near.is_empty() => "take it out".into(),
            (None, _) => format!("there is {}", near.iter().take(12).copied().collect::<Vec<_>>().join(", ")),
        };
        self.found.push(Finding::error("override-target-missing", at, message).fix(fix));
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
        let find = |target: Value, patch: Value, format: &'static Format| {
            let mut found = Vec::new();
            let at = Pointer::root().join("extra");
            Search { format, found: &mut found }.patch(Some(&target), &patch, format.top(), &mut Vec::new(), &at);
            found.into_iter().map(|finding| finding.pointer.to_string()).collect::<Vec<_>>()
        };
        let compose = json!({"services": {"web": {"image": "x", "environment": {"A": "1"}}}});
        for good in [
            json!({"services": {"web": {"mem_limit": "1g", "environment": {"B": "2", "A": null}}}}),
            json!({"services": {"side": {"image": "y"}}, "x-own": 1}),
        ] {
            assert_eq!(find(compose.clone(), good, &COMPOSE), Vec::<String>::new());
        }
        for (bad, at) in [
            (json!({"service": {}}), "/extra/service"),
            (json!({"services": {"webb": {"mem_limit": "1g"}}}), "/extra/services/webb"),
            (json!({"services": {"web": {"memory": "1g"}}}), "/extra/services/web/memory"),
            (json!({"services": {"web": {"mem_limit": {"hard": "1g"}}}}), "/extra/services/web/mem_limit/hard"),
            (
                json!({"services": {"web": {"deploy": {"resources": {"limits": {"cpu": "1"}}}}}}),
                "/extra/services/web/deploy/resources/limits/cpu",
            ),
            (
                json!({"services": {"web": {"volumes": [{"type": "tmpfs", "target": "/t", "tmpfs": {"sise": 1}}]}}}),
                "/extra/services/web/volumes/0/tmpfs/sise",
            ),
            (json!({"services": {"web": {"environment": {"C": null}}}}), "/extra/services/web/environment/C"),
        ] {
            assert_eq!(find(compose.clone(), bad, &COMPOSE), [at]);
        }
        assert_eq!(
            find(json!({"global": {}}), json!({"global": {"scrape_intervall": "9s"}}), &PROMETHEUS),
            ["/extra/global/scrape_intervall"]
        );
        assert_eq!(
            find(
                json!({"http": {"routers": {"a": {}}}}),
                json!({"http": {"routers": {"b": {"priority": 1}}}}),
                &TRAEFIK
            ),
            ["/extra/http/routers/b"]
        );
    }
}
