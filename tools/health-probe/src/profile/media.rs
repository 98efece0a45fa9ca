//! Media: indexers, downloads, players.

use super::{Depth, Expect, Profile};

/// Radarr, Sonarr and Prowlarr stand on the same ground.
const PING: &str = "Prowlarr/Prowlarr src/Prowlarr.Http/Ping/PingController.cs: reads its settings from the database, 500 and \"Error\" where that fails";

pub(super) const PROFILES: &[Profile] = &[
    Profile::http(
        "flaresolverr",
        "/health",
        Depth::Shallow,
        "FlareSolverr/FlareSolverr src/flaresolverr.py: the status is ok, whatever its browser does",
    )
    .expect(&[Expect::Text("/status", "ok")]),
    Profile::http(
        "jackett",
        "/UI/Login",
        Depth::Ready,
        "Jackett/Jackett src/Jackett.Server/Controllers/UIController.cs: who has no cookie is sent to get one",
    )
    .status(&[200, 302]),
    Profile::http(
        "jellyfin",
        "/health",
        Depth::Deep,
        "jellyfin/jellyfin Jellyfin.Server/HealthChecks/DbContextFactoryHealthCheck.cs: connects to its database; 503 and Unhealthy, or Degraded while it starts",
    )
    .expect(&[Expect::Contains("Healthy"), Expect::Lacks("Unhealthy")]),
    Profile::http("prowlarr", "/ping", Depth::Deep, PING).expect(&[Expect::Text("/status", "OK")]),
    Profile::http("radarr", "/ping", Depth::Deep, PING).expect(&[Expect::Text("/status", "OK")]),
    Profile::http("sonarr", "/ping", Depth::Deep, PING).expect(&[Expect::Text("/status", "OK")]),
    Profile::http(
        "transmission",
        "/transmission/rpc",
        Depth::Ready,
        "transmission/transmission libtransmission/rpc-server.cc: 409 with a session id to whoever has none; 401 where a login is set",
    )
    .status(&[200, 401, 409]),
];
