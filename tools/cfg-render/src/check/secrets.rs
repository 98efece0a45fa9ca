//! Secrets: none in clear, each for somebody who can read it.

use std::collections::{BTreeMap, BTreeSet};

use contract::{Finding, Pointer};
use serde_json::Value as Json;

use super::context::{Context, place};
use crate::fleet::{Holder, SecretBackend};

/// `plaintext-secret`, `secret-backend-missing`, `bad-reference`, `unused-secret`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    let document = serde_json::to_value(context.written).unwrap_or_default();
    walk(&document, Way { up: None, key: None, index: 0 }, found);
    backends(context, found);
    let used: BTreeSet<&str> = context.uses.iter().map(|used| used.secret.as_str()).collect();
    for (name, secret) in &context.fleet.secrets {
        let at = place([&"secrets", name]);
        if let Some(reference) = &secret.reference {
            if !["op://", "scw:"].iter().any(|prefix| reference.starts_with(prefix)) {
                let message = "no secret manager has references of this form";
                found.push(
                    Finding::error("bad-reference", at.join("reference"), message)
                        .fix("write op://VAULT/ITEM/FIELD or scw:NAME"),
                );
            }
            if secret.generator.is_some() {
                let message = format!("secret {name} is kept elsewhere and made here");
                found.push(
                    Finding::error("bad-reference", at.clone(), message).fix("take \"generator\" or \"reference\" out"),
                );
            }
        }
        if !used.contains(name.as_str()) {
            let message = format!("nothing uses secret {name}, so that no host gets it");
            found.push(
                Finding::warning("unused-secret", at, message).fix("mention it where it is used, or take it out"),
            );
        }
    }
}

/// A host that shall get a secret and cannot decrypt one.
fn backends(context: &Context<'_>, found: &mut Vec<Finding>) {
    let mut first: BTreeMap<&str, &Pointer> = BTreeMap::new();
    for used in &context.uses {
        if let Holder::Host(host) = &used.holder {
            first.entry(host).or_insert(&used.place);
        }
    }
    for (name, used) in first {
        let Some(host) = context.hosts().get(name) else { continue };
        let backend = host.secrets.as_ref().map_or(SecretBackend::Sops, |secrets| secrets.backend);
        let nixos = host.os.as_ref().is_some_and(crate::fleet::Os::is_nixos);
        let at = place([&"hosts", &name, &"secrets", &"backend"]);
        if backend == SecretBackend::None {
            let message = format!("host {name} takes no secrets, and something on it needs one");
            found.push(
                Finding::error("secret-backend-missing", at, message)
                    .related(used.clone())
                    .fix("take \"backend\": \"none\" out, or the secret"),
            );
        } else if backend == SecretBackend::Agenix && !nixos {
            let message = format!("agenix is for NixOS, which host {name} does not run");
            found.push(Finding::error("secret-backend-missing", at, message).related(used.clone()).fix("use \"sops\""));
        }
    }
}

/// A place on the way down, written out only where something is found.
#[derive(Clone, Copy)]
struct Way<'a> {
    up: Option<&'a Way<'a>>,
    key: Option<&'a str>,
    index: usize,
}

impl Way<'_> {
    fn place(&self) -> Pointer {
        let Some(up) = self.up else { return Pointer::root() };
        self.key.map_or_else(|| up.place().join(self.index), |key| up.place().join(key))
    }

    /// Whether this is the value of an environment variable or of an option of a module.
    fn is_environment(&self) -> bool {
        if self.up.is_some_and(|up| up.key == Some("env")) {
            return true;
        }
        let mut way = self;
        while let Some(up) = way.up {
            if up.key == Some("nixos") && way.key == Some("options") {
                return true;
            }
            way = up;
        }
        false
    }

    /// The nearest key.
    fn name(&self) -> &str {
        self.key.or_else(|| self.up.map(Way::name)).unwrap_or_default()
    }
}

/// Looks at every text of the document. The message never repeats the value.
fn walk(value: &Json, way: Way<'_>, found: &mut Vec<Finding>) {
    match value {
        Json::String(text) => {
            let fix = "put the value into a SOPS file, and write {\"secret\": \"NAME\"} here";
            if let Some(what) = looks_like(text) {
                found.push(Finding::error("plaintext-secret", way.place(), format!("this looks like {what}")).fix(fix));
            } else if way.is_environment() {
                if means_secret(way.name()) && !is_harmless(text) {
                    let message = format!("the name {} says that this is a secret, and it is in clear", way.name());
                    found.push(Finding::error("plaintext-secret", way.place(), message).fix(fix));
                } else if is_random(text) {
                    let message = "this looks as random as a secret";
                    found.push(Finding::warning("plaintext-secret", way.place(), message).fix(fix));
                }
            }
        }
        Json::Array(items) => {
            for (index, item) in items.iter().enumerate() {
                walk(item, Way { up: Some(&way), key: None, index }, found);
            }
        }
        // A reference to a secret, also where it is the option of a module. A value that is no name is judged as a text.
        Json::Object(keys) if keys.len() == 1 && keys.get("secret").and_then(Json::as_str).is_some_and(is_name) => {}
        Json::Object(object) => {
            for (key, item) in object {
                walk(item, Way { up: Some(&way), key: Some(key), index: 0 }, found);
            }
        }
        _ => {}
    }
}

fn is_name(text: &str) -> bool {
    text.parse::<contract::SecretName>().is_ok()
}

/// Forms that only secrets have.
fn looks_like(text: &str) -> Option<&'static str> {
    let prefixes = [
        ("AGE-SECRET-KEY-1", "an age identity"),
        ("AKIA", "an AWS access key"),
        ("ghp_", "a GitHub token"),
        ("github_pat_", "a GitHub token"),
        ("glpat-", "a GitLab token"),
        ("xoxb-", "a Slack token"),
        ("sk_live_", "a Stripe key"),
        ("tskey-", "a Tailscale key"),
    ];
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    let word =
        |prefix: &str| text.split_whitespace().any(|word| word.starts_with(prefix) && word.len() >= prefix.len() + 12);
    if let Some((_, what)) = prefixes.iter().find(|(prefix, _)| word(prefix)) {
        return Some(what);
    }
    password_in_address(text).then_some("an address with a password in it")
}

/// `scheme://user:password@host`.
fn password_in_address(text: &str) -> bool {
    text.split_once("://").is_some_and(|(_, rest)| {
        let authority = rest.split(['/', '?', '#', ' ']).next().unwrap_or_default();
        let login = authority.rsplit_once('@').map_or("", |(login, _)| login);
        login.split_once(':').is_some_and(|(_, password)| {
            let stands_for_one =
                password.starts_with(contract::PLACEHOLDER_START) || password.starts_with(['$', '{', '<']);
            !password.is_empty() && !stands_for_one
        })
    })
}

/// Names of variables whose values are secrets.
fn means_secret(key: &str) -> bool {
    let key = key.to_lowercase().replace(['-', '.'], "_");
    let words: Vec<&str> = key.split('_').collect();
    let last_two = words.iter().rev().take(2).rev().copied().collect::<Vec<_>>().join("_");
    let last = words.last().copied().unwrap_or_default();
    ["password", "passwd", "passphrase", "secret", "token", "apikey", "credentials", "pwd"].contains(&last)
        || ["api_key", "secret_key", "private_key", "access_key", "encryption_key", "signing_key", "master_key"]
            .contains(&last_two.as_str())
}

/// Values that are no secrets whatever their name: empty ones, numbers, switches, paths, addresses.
fn is_harmless(text: &str) -> bool {
    text.is_empty()
        || text.parse::<f64>().is_ok()
        || ["true", "false", "yes", "no", "on", "off", "none", "null"].contains(&text.to_lowercase().as_str())
        || text.starts_with(['/', '$', '{'])
        || text.starts_with("http://")
        || text.starts_with("https://")
        || text.contains(contract::PLACEHOLDER_START)
}

/// A long word without spaces whose letters are spread like those of random bytes.
fn is_random(text: &str) -> bool {
    let plain = text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+/=_-".contains(&b));
    if !plain || text.len() < 24 || text.starts_with('/') {
        return false;
    }
    let digits = text.bytes().filter(u8::is_ascii_digit).count();
    let letters = text.bytes().filter(u8::is_ascii_alphabetic).count();
    let mut counts = [0_u32; 256];
    for byte in text.bytes() {
        counts[usize::from(byte)] += 1;
    }
    let length = text.len() as f64;
    let bits: f64 =
        counts.iter().filter(|count| **count > 0).map(|count| f64::from(*count) / length).map(|p| -p * p.log2()).sum();
    digits >= 4 && letters >= 4 && bits > 3.2
}
