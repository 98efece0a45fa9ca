//! Code, passwords, mail, networks of one's own.

use super::{Depth, Expect, Profile};

pub(super) const PROFILES: &[Profile] = &[
    Profile::http(
        "forgejo",
        "/api/healthz",
        Depth::Deep,
        "go-gitea/gitea routers/web/healthcheck/check.go: pings database and cache, 424 where one fails, and names it",
    )
    .expect(&[Expect::Text("/status", "pass")]),
    Profile::http(
        "gitea",
        "/api/healthz",
        Depth::Deep,
        "go-gitea/gitea routers/web/healthcheck/check.go: pings database and cache, 424 where one fails, and names it",
    )
    .expect(&[Expect::Text("/status", "pass")]),
    Profile::http(
        "headscale",
        "/health",
        Depth::Deep,
        "juanfont/headscale hscontrol/handlers.go: pings the database, 500 where that fails",
    )
    .expect(&[Expect::Text("/status", "pass")]),
    Profile::http(
        "radicle-httpd",
        "/api/v1",
        Depth::Ready,
        "radicle-dev/radicle-explorer crates/radicle-httpd/src/api/v1.rs: says what it is, for which node",
    )
    .expect(&[Expect::Text("/service", "radicle-httpd")]),
    Profile::tcp("radicle-node", "TCP only: a node speaks first to nobody, and then in Noise"),
    Profile::http(
        "stalwart",
        "/healthz/ready",
        Depth::Deep,
        "stalwartlabs/stalwart crates/http/src/request.rs: 503 without its data store; /healthz/live is always 200",
    ),
    Profile::http(
        "vaultwarden",
        "/alive",
        Depth::Deep,
        "dani-garcia/vaultwarden src/api/web.rs: takes a connection to its database first, then answers the time",
    ),
];
