//! Secrets: none in clear, each for somebody who can read it.

use std::collections::{BTreeMap, BTreeSet};

use contract::{Finding, Pointer};

use super::context::{Context, place};
use crate::fleet::{Holder, SecretBackend, Step, visit_texts};

/// `plaintext-secret`, `secret-backend-missing`, `bad-reference`, `unused-secret`.
pub(crate) fn check(context: &Context<'_>, found: &mut Vec<Finding>) {
    visit_texts(context.written, |way, text| judge(way, text, found));
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
    for used in context.uses {
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

/// The place of a text.
fn place_of(way: &[Step]) -> Pointer {
    way.iter().fold(Pointer::root(), |at, step| at.join(step))
}

/// Whether this is the value of an environment variable or of an option of a module.
fn is_environment(way: &[Step]) -> bool {
    let parent = way.len().checked_sub(2).and_then(|at| way.get(at));
    parent.and_then(Step::key) == Some("env")
        || way.windows(2).any(|pair| (pair[0].key(), pair[1].key()) == (Some("nixos"), Some("options")))
}

/// The nearest key.
fn name_of(way: &[Step]) -> &str {
    way.iter().rev().find_map(Step::key).unwrap_or_default()
}

/// Looks at a text of the document. The message never repeats it.
fn judge(way: &[Step], text: &str, found: &mut Vec<Finding>) {
    // A reference to a secret, also where it is the option of a module. A value that is no name is judged as a text.
    if matches!(way.last(), Some(Step::Key(key, 1)) if key == "secret") && is_name(text) {
        return;
    }
    let fix = "put the value into a SOPS file, and write {\"secret\": \"NAME\"} here";
    if let Some(what) = looks_like(text) {
        found.push(Finding::error("plaintext-secret", place_of(way), format!("this looks like {what}")).fix(fix));
    } else if is_environment(way) {
        let name = name_of(way);
        if means_secret(name) && !is_harmless(text) {
            let message = format!("the name {name} says that this is a secret, and it is in clear");
            found.push(Finding::error("plaintext-secret", place_of(way), message).fix(fix));
        } else if is_random(text) {
            let message = "this looks as random as a secret";
            found.push(Finding::warning("plaintext-secret", place_of(way), message).fix(fix));
        }
    }
}

fn is_name(text: &str) -> bool {
    text.parse::<contract::SecretName>().is_ok()
}

const ADDRESS: &str = "an address with a password in it";

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
    // Nothing shorter has one of these forms, and most texts of a fleet are short.
    if text.len() < 16 {
        return password_in_address(text).then_some(ADDRESS);
    }
    if text.contains("-----BEGIN ") && text.contains("PRIVATE KEY-----") {
        return Some("a private key");
    }
    let form = |word: &str| {
        prefixes
            .iter()
            .find(|(prefix, _)| word.starts_with(prefix) && word.len() >= prefix.len() + 12)
            .map(|(_, what)| *what)
    };
    let found = text.split(char::is_whitespace).filter(|word| word.len() >= 16).find_map(form);
    found.or_else(|| password_in_address(text).then_some(ADDRESS))
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
