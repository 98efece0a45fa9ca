//! What runs at home: automation, speech, language models, dashboards.

use super::{Depth, Expect, Profile};

/// A question in the Wyoming protocol, and the beginning of its answer.
const DESCRIBE: (&str, &str) = ("{\"type\":\"describe\"}\n", "\"type\": ?\"info\"");
const WYOMING: &str = "rhasspy/wyoming wyoming/info.py: who is asked to describe itself answers with an info event";

pub(super) const PROFILES: &[Profile] = &[
    Profile::http(
        "backrest",
        "/",
        Depth::Shallow,
        "garethgeorge/backrest cmd/backrest/backrest.go, webui/index.html: the page needs no login, everything else does",
    )
    .expect(&[Expect::Contains("Backrest")]),
    Profile::http(
        "home-assistant",
        "/manifest.json",
        Depth::Ready,
        "home-assistant/core homeassistant/components/frontend/__init__.py (ManifestJSONView): no login; there once the frontend is set up",
    )
    .expect(&[Expect::Present("/name")]),
    Profile::http(
        "homepage",
        "/api/healthcheck",
        Depth::Shallow,
        "gethomepage/homepage src/pages/api/healthcheck.js: `up`",
    )
    .expect(&[Expect::Contains("up")]),
    Profile::http(
        "litellm",
        "/health/readiness",
        Depth::Deep,
        "BerriAI/litellm docs/my-website/docs/proxy/health.md: names its database; /health/liveliness is shallow, /health asks (and pays) the models",
    )
    .expect(&[Expect::Present("/status")]),
    Profile::websocket(
        "matter-server",
        "/ws",
        "home-assistant-libs/python-matter-server matter_server/server/client_handler.py: the first message says what fabric it holds",
    ),
    Profile::http(
        "ollama",
        "/api/version",
        Depth::Shallow,
        "ollama/ollama server/routes.go: its version, whatever its models do",
    )
    .expect(&[Expect::Present("/version")]),
    Profile::http(
        "openclaw",
        "/ready",
        Depth::Ready,
        "openclaw/openclaw src/gateway/server-http.ts: 503 until ready, and to this machine it names what fails; /health is always 200",
    )
    .expect(&[Expect::Flag("/ready", true)]),
    Profile::http(
        "otbr",
        "/node/state",
        Depth::Deep,
        "openthread/ot-br-posix src/rest/openapi.yaml: its role; disabled or detached is no network",
    )
    .expect(&[Expect::Lacks("disabled"), Expect::Lacks("detached")]),
    Profile::http(
        "picoclaw",
        "/ready",
        Depth::Deep,
        "sipeed/picoclaw pkg/health/server.go: 503 and the checks that fail; /health is always 200",
    )
    .expect(&[Expect::Text("/status", "ready")]),
    Profile::tcp("piper", WYOMING).talk(DESCRIBE.0, DESCRIBE.1),
    Profile::tcp("whisper", WYOMING).talk(DESCRIBE.0, DESCRIBE.1),
    Profile::http(
        "zigbee2mqtt",
        "/",
        Depth::Shallow,
        "Koenkk/zigbee2mqtt lib/extension/frontend.ts: files of the page; the bridge itself says how it is over MQTT only",
    ),
    Profile::tcp("mcp", "TCP only: a server of the Model Context Protocol wants a session, often over SSH"),
];
