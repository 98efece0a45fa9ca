//! The AT Protocol: servers of one's own, and the network's.

use super::{Depth, Expect, Profile};

pub(super) const PROFILES: &[Profile] = &[
    Profile::http(
        "appview",
        "/xrpc/_health",
        Depth::Deep,
        "bluesky-social/atproto packages/bsky/src/api/health.ts: pings its data plane, 503 where that fails",
    )
    .expect(&[Expect::Present("/version")]),
    Profile::http(
        "constellation",
        "/",
        Depth::Deep,
        "at-microcosm/microcosm-rs constellation/src/server/mod.rs (hello): reads figures from its store first, 500 where that fails",
    ),
    Profile::http(
        "did-web",
        "/.well-known/did.json",
        Depth::Shallow,
        "w3c-ccg.github.io/did-method-web: the document of did:web:HOST; a catch-all page is no JSON",
    )
    .expect(&[Expect::Present("/id")]),
    Profile::websocket(
        "firehose",
        "/xrpc/com.atproto.sync.subscribeRepos",
        "atproto.com/specs/sync: the first event of a busy relay comes at once",
    ),
    Profile::http(
        "indigo-relay",
        "/xrpc/_health",
        Depth::Deep,
        "bluesky-social/indigo cmd/relay/handlers.go: asks its database, 500 and \"error\" where that fails",
    )
    .expect(&[Expect::Text("/status", "ok")]),
    Profile::websocket(
        "jetstream",
        "/subscribe",
        "bluesky-social/jetstream README: the first event proves that the flow reaches it",
    ),
    Profile::http(
        "knot",
        "/",
        Depth::Shallow,
        "tangled.org core knotserver/router.go: says that it is a knot server",
    )
    .expect(&[Expect::Contains("knot server")]),
    Profile::http(
        "lycan",
        "/.well-known/did.json",
        Depth::Shallow,
        "atproto.com/specs/xrpc, service proxying: clients reach it as did:web:HOST#lycan, so its document must be there",
    )
    .expect(&[Expect::Present("/id")]),
    Profile::http(
        "pds",
        "/xrpc/_health",
        Depth::Deep,
        "bluesky-social/atproto packages/pds/src/basic-routes.ts: runs SELECT 1, 503 where that fails",
    )
    .expect(&[Expect::Present("/version"), Expect::Lacks("\"error\"")]),
    Profile::http(
        "plc",
        "/_health",
        Depth::Deep,
        "did-method-plc/did-method-plc packages/server/src/routes.ts: asks its database, 503 where that fails",
    )
    .expect(&[Expect::Present("/version")]),
    Profile::http(
        "quickdid",
        "/xrpc/com.atproto.identity.resolveHandle",
        Depth::Shallow,
        "atproto.com/specs/xrpc: a question without its handle is refused with 400 and an error, which asks nobody else",
    )
    .status(&[400])
    .expect(&[Expect::Present("/error")]),
    Profile::http(
        "slingshot",
        "/",
        Depth::Shallow,
        "at-microcosm/microcosm-rs slingshot/static/index.html: its page; no question to its cache",
    )
    .expect(&[Expect::Contains("Slingshot")]),
    Profile::http(
        "spacedust",
        "/",
        Depth::Shallow,
        "at-microcosm/microcosm-rs spacedust/static/index.html: its page; no question to its consumer",
    )
    .expect(&[Expect::Contains("Spacedust")]),
    Profile::http(
        "spindle",
        "/",
        Depth::Shallow,
        "tangled.org core spindle/server.go, spindle/motd: says that it is a spindle server",
    )
    .expect(&[Expect::Contains("spindle server")]),
];
