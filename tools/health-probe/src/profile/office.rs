//! Sign-on, documents, and what people work with.

use super::{Depth, Expect, Profile};

pub(super) const PROFILES: &[Profile] = &[
    Profile::http(
        "authentik",
        "/-/health/ready/",
        Depth::Deep,
        "goauthentik/authentik authentik/root/monitoring.py: asks SQL and Redis, 503 where one fails; 204 in older versions",
    )
    .status(&[200, 204]),
    Profile::http(
        "decidim",
        "/",
        Depth::Deep,
        "decidim/decidim decidim-core/lib/decidim/middleware/current_organization.rb: every request looks for its host in the database; other names are sent on",
    )
    .status(&[200, 301, 302, 303]),
    Profile::http(
        "espocrm",
        "/",
        Depth::Shallow,
        "espocrm/espocrm html/main.html: the page of the client, whose foot names it; no question to the database",
    )
    .expect(&[Expect::Contains("EspoCRM")]),
    Profile::http(
        "leantime",
        "/auth/login",
        Depth::Deep,
        "leantime/leantime app/Core/Middleware/Installed.php: asks the database first, and leads to /install where it is empty; AuthCheck.php: no login needed",
    ),
    Profile::http(
        "n8n",
        "/healthz/readiness",
        Depth::Deep,
        "n8n-io/n8n packages/cli/src/abstract-server.ts: 503 without its database; /healthz is 200 even then",
    ),
    Profile::http(
        "nextcloud",
        "/status.php",
        Depth::Ready,
        "nextcloud/server status.php: maintenance is a 200 as well",
    )
    .expect(&[
        Expect::Flag("/installed", true),
        Expect::Flag("/maintenance", false),
        Expect::Flag("/needsDbUpgrade", false),
    ]),
    Profile::http(
        "onlyoffice",
        "/healthcheck",
        Depth::Deep,
        "ONLYOFFICE/server DocService/sources/DocsCoServer.js: asks database, cache, queue and storage; `true` or `false`, both with status 200",
    )
    .expect(&[Expect::Contains("true")]),
    Profile::http(
        "outline",
        "/_health",
        Depth::Deep,
        "outline/outline server/index.ts: asks SQL and Redis, 500 where one fails; counts in its rate limit",
    )
    .expect(&[Expect::Contains("OK")]),
    Profile::tcp("wobbler", "TCP only: it is not published, so nobody can say what healthy means"),
];
