//! What other programs stand on: edges, tunnels, brokers, agents.

use super::{Depth, Expect, Profile};

pub(super) const PROFILES: &[Profile] = &[
    Profile::http(
        "caddy",
        "/config/",
        Depth::Ready,
        "caddyserver.com/docs/api: the admin endpoint (localhost:2019) answers with its active configuration",
    ),
    Profile::http(
        "cloudflared",
        "/ready",
        Depth::Deep,
        "cloudflare/cloudflared metrics/readiness.go: on the metrics port; 200 with at least one connection to the edge, else 503",
    ),
    Profile::http(
        "cockpit",
        "/ping",
        Depth::Shallow,
        "cockpit-project/cockpit src/ws/cockpithandlers.c: answers without a login, also without TLS",
    )
    .expect(&[Expect::Text("/service", "cockpit")]),
    Profile::http(
        "traefik",
        "/ping",
        Depth::Shallow,
        "traefik/traefik pkg/ping/ping.go: must be enabled; 503 while it ends",
    )
    .expect(&[Expect::Contains("OK")]),
    Profile::http(
        "acme",
        "/directory",
        Depth::Shallow,
        "RFC 8555 section 7.1.1: the directory of a certificate authority names where to get a nonce",
    )
    .expect(&[Expect::Present("/newNonce")]),
    Profile::tcp(
        "mosquitto",
        "MQTT 3.1.1 section 3.2: an accepted CONNECT is answered with CONNACK and code 0, a refused one with 1 to 5",
    )
    .talk("\x10\x18\x00\x04MQTT\x04\x02\x00\x3c\x00\x0chealth-probe", "^\\x20\\x02\\x00[\\x00\\x04\\x05]"),
    Profile::tcp("s3", "TCP only: what an object store says to a stranger differs between providers"),
    Profile::tcp(
        "tailscaled",
        "TCP only, for a port behind the tunnel; of the daemon itself look at the unit tailscaled.service",
    ),
];
