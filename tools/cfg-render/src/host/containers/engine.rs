//! The container engine of a host: its packages, and how a Compose project is run with it.

use contract::Finding;
use contract::document::{Engine, Stage};

use crate::fleet::OsFamily;
use crate::host::HostBuilder;

/// How containers run here.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::host) enum Runtime {
    /// Docker, with the words that a Compose command begins with.
    Docker {
        /// `docker compose`, or the program of its own that Debian 12 has.
        compose: Vec<String>,
        /// Whether it can wait until containers are healthy.
        waits: bool,
    },
    /// Podman with quadlets.
    Podman,
}

/// What runs containers on a host: Docker unless the fleet says otherwise.
pub(in crate::host) fn runtime(builder: &HostBuilder<'_, '_>) -> Runtime {
    let engine = builder.host.spec.containers.as_ref().map_or(Engine::Docker, |engine| engine.engine);
    if engine == Engine::Podman {
        return Runtime::Podman;
    }
    let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
    if of_docker(builder) || !is_old(builder) {
        Runtime::Docker { compose: words(&["/usr/bin/docker", "compose"]), waits: true }
    } else {
        Runtime::Docker { compose: words(&["/usr/bin/docker-compose"]), waits: false }
    }
}

/// Docker's own packages, from a source that the fleet names.
fn of_docker(builder: &HostBuilder<'_, '_>) -> bool {
    let repositories = &builder.host.spec.apt_repositories;
    repositories.iter().any(|repository| repository.uris.iter().any(|uri| uri.contains("download.docker.com")))
}

/// Releases whose own Compose is the first one, written in Python.
fn is_old(builder: &HostBuilder<'_, '_>) -> bool {
    let os = &builder.host.os;
    os.family == OsFamily::Debian && matches!(os.release.as_str(), "11" | "12")
}

/// Installs the engine.
pub(super) fn add(builder: &mut HostBuilder<'_, '_>) -> Option<Runtime> {
    let host = builder.host;
    let at = host.at("containers");
    let runtime = runtime(builder);
    match &runtime {
        Runtime::Docker { .. } => {
            let packages: &[&str] = if of_docker(builder) {
                &["docker-ce", "docker-ce-cli", "containerd.io", "docker-compose-plugin"]
            } else if host.os.family == OsFamily::Ubuntu {
                &["docker.io", "docker-compose-v2"]
            } else {
                &["docker.io", "docker-compose"]
            };
            builder.packages(Stage::Services, packages, &at);
            builder.unit(Stage::Services, "docker.service", &[at]);
        }
        Runtime::Podman => {
            // Quadlets came with Podman 4.4; Debian 12 has 4.3, Ubuntu 22.04 has 3.4.
            let old = is_old(builder) || (host.os.family == OsFamily::Ubuntu && host.os.release == "22.04");
            if old {
                let message = format!("Podman of {} has no quadlets, which came with 4.4", host.os);
                let finding = Finding::error("unsupported-feature", at, message);
                builder.findings.push(finding.fix("use Debian 13 or Ubuntu 24.04, or \"engine\": \"docker\""));
                return None;
            }
            builder.packages(Stage::Services, &["podman"], &at);
        }
    }
    Some(runtime)
}
