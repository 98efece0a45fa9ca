//! What a fleet comes to on each host: what its proxy serves, and which secrets it gets.

use std::collections::BTreeSet;

use cfg_render::fleet::{Edge, Fleet, Holder};
use cfg_render::model::Model;
use serde_json::json;

use crate::fleet::fleet;
use crate::run;

const FLEETS: [&str; 6] = ["first", "seed-000", "seed-001", "seed-002", "seed-003", "seed-004"];

fn load(name: &str) -> Fleet {
    fleet(run::fleet(&format!("{name}.json")))
}

/// The names of a host's proxy, each with where its TLS comes from.
fn served(fleet: &Fleet, host: &str) -> BTreeSet<(String, String)> {
    let resolved = fleet.resolved();
    let model = Model::new(fleet, &resolved);
    let sites = model.sites(model.host(host).unwrap()).iter();
    sites.flat_map(|site| site.names.iter().map(|name| (name.clone(), site.tls.as_str().to_owned()))).collect()
}

fn secrets(fleet: &Fleet, host: Option<&str>) -> BTreeSet<String> {
    let resolved = fleet.resolved();
    let model = Model::new(fleet, &resolved);
    model.secrets_of(host).keys().map(ToString::to_string).collect()
}

fn set<const N: usize>(pairs: [(&str, &str); N]) -> BTreeSet<(String, String)> {
    pairs.into_iter().map(|(a, b)| (a.to_owned(), b.to_owned())).collect()
}

#[test]
fn the_proxy_behind_an_edge_speaks_what_the_edge_expects() {
    let seed = load("seed-002");
    let edge = [("git.alienzj.org", "acme"), ("headscale.alienzj.org", "acme"), ("vault.alienzj.org", "acme")];
    assert_eq!(served(&seed, "vps-pacman"), set(edge));
    // Both have the same public name as the edge: a certificate by ACME would be asked for twice, and by a host that the
    // internet does not reach.
    assert_eq!(served(&seed, "lab-matrix"), set([("git.alienzj.org", "none")]));
    assert_eq!(served(&seed, "id3-eniac"), set([("vault.alienzj.org", "internal")]));
    let resolved = seed.resolved();
    let model = Model::new(&seed, &resolved);
    let leaves = model.internal_certificates();
    let leaf = leaves.iter().find(|leaf| leaf.host == "id3-eniac").unwrap();
    assert_eq!((leaf.names.as_slice(), leaf.store.stand_in), (["vault.alienzj.org".to_owned()].as_slice(), false));
}

#[test]
fn every_host_gets_every_secret_that_something_on_it_mentions() {
    for name in FLEETS {
        let written = load(name);
        let resolved = written.resolved();
        for holder in resolved.hosts.keys().map(Some).chain([None]) {
            let given = secrets(&written, holder.map(String::as_str));
            let given: BTreeSet<_> =
                given.into_iter().filter(|name| resolved.secrets.keys().any(|known| known.as_str() == name)).collect();
            let used = resolved.secret_uses().into_iter().filter(|used| match &used.holder {
                Holder::Host(host) => Some(host) == holder,
                Holder::Controller => holder.is_none(),
            });
            assert_eq!(given, used.map(|used| used.secret.to_string()).collect(), "{name}: secrets of {holder:?}");
        }
    }
    // By hand, from the texts: what a tunnel, a mailer, a bucket, a proxy and the monitoring bring along.
    let has = |name: &str, host: &str, wanted: &[&str]| {
        let given = secrets(&load(name), Some(host));
        let missing: Vec<_> = wanted.iter().filter(|secret| !given.contains(**secret)).collect();
        assert!(missing.is_empty(), "{name}: {host} lacks {missing:?}");
    };
    has("seed-002", "vps-pacman", &["cloudflare-acme"]);
    has("seed-002", "lab-matrix", &["forgejo-smtp-pass", "vaultwarden-db", "headscale-db"]);
    has("seed-003", "nixos", &["cloudflare-tunnel", "restic-password"]);
    has("seed-004", "tools-prod", &["s3-access-key", "s3-secret-key", "smtp-password", "decidim-oidc-secret"]);
    has("seed-004", "management", &["grafana-admin-password", "grafana-oidc-secret", "pg-admin-password"]);
    has("seed-004", "authentik-prod", &["authentik-secret-key", "smtp-password", "s3-secret-key"]);
    assert!(!secrets(&load("seed-002"), Some("vps-pacman")).contains("forgejo-smtp-pass"));
}

#[test]
fn the_token_of_a_metric_goes_to_whoever_asks_for_it() {
    let fleet = fleet(json!({
        "schema": "fleet/v1", "name": "x",
        "networks": {"lan": {"cidrs": ["10.0.0.0/24"]}},
        "hosts": {
            "a": {"os": "debian-12", "addresses": {"lan": ["10.0.0.1"]}},
            "b": {"os": "debian-12", "addresses": {"lan": ["10.0.0.2"]}}
        },
        "services": {
            "prometheus": {"host": "a", "run": {"package": {"packages": ["prometheus"]}}, "ports": {"http": 9090}},
            "app": {"host": "b", "run": {"systemd": {"exec": ["/bin/true"]}}, "ports": {"http": {"port": 80, "bind": "lan"}},
                "metrics": [{"bearer": {"secret": "token"}}]}
        },
        "monitoring": {"network": "lan", "prometheus": {}},
        "secrets": {"token": {}}
    }));
    let resolved = fleet.resolved();
    let model = Model::new(&fleet, &resolved);
    let uses = model.secrets_of(Some("a"));
    let token = uses.iter().find(|(name, _)| name.as_str() == "token").unwrap().1;
    assert_eq!(token.owner.as_deref(), Some("prometheus"));
}

#[test]
fn every_name_is_served_where_its_edge_is() {
    for name in FLEETS {
        let written = load(name);
        let resolved = written.resolved();
        for route in resolved.routes() {
            let Edge::Host(edge) = route.edge else { continue };
            let served = served(&written, edge);
            for name in route.names {
                assert!(served.iter().any(|(known, _)| *known == name.name), "{edge}: {}", name.name);
            }
        }
    }
}
