//! Containers of services. With Docker each service is one Compose project and one unit; with Podman each container is a
//! quadlet, and one unit stands for all of them.
//!
//! Invariants: nothing starts before the secrets are there, also at boot, so that no engine starts containers by itself;
//! images are on the host before anything stops; a port is published on loopback unless the fleet says otherwise.

mod compose;
mod engine;
mod environment;
mod quadlet;

use contract::Pointer;
use contract::document::{Engine, HostItem, Image, Stage};

use super::HostBuilder;
use crate::fleet::{Container, Run, Service};
use crate::model::Model;

pub(super) use engine::{Runtime, runtime};

/// A service of our own making (a proxy, an agent) that runs as those of the fleet do.
pub(super) fn one(builder: &mut HostBuilder<'_, '_>, runtime: &Runtime, name: &str, service: &Service, at: &Pointer) {
    match runtime {
        Runtime::Docker { .. } => compose::add(builder, runtime, name, service, at),
        Runtime::Podman => quadlet::add(builder, name, service, at),
    }
}

/// Where a service's Compose file, `.env` file and relative volumes lie.
pub(super) fn directory(builder: &HostBuilder<'_, '_>, service: &str) -> String {
    let parent = builder.host.spec.containers.as_ref().map_or("/opt", |engine| engine.directory.as_str());
    format!("{}/{service}", parent.trim_end_matches('/'))
}

/// The number of the user that a service's containers run as: what its first one says, or the usual one of its image.
pub(super) fn user_in(service: &Service, usual: &str) -> String {
    let containers = service.run.containers();
    let written = containers.iter().find_map(|(_, container)| container.user.as_ref());
    let number = written.and_then(|user| user.split(':').next()).filter(|user| user.parse::<u32>().is_ok());
    number.unwrap_or(usual).to_owned()
}

/// Whether containers run on a host.
pub(super) fn used(builder: &HostBuilder<'_, '_>) -> bool {
    let (model, host) = (builder.model, builder.host);
    let contained = |run: &Run| !run.containers().is_empty() || matches!(run, Run::Compose(_));
    let mut services = model.services_on(&host.name);
    host.spec.containers.is_some() || services.any(|(_, service)| contained(&service.run))
}

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let services: Vec<_> = model.services_on(&host.name).collect();
    if !used(builder) {
        return;
    }
    let Some(runtime) = engine::add(builder) else { return };
    for (name, service) in services {
        let at = Model::service_at(name);
        match (&service.run, &runtime) {
            (Run::Container(_) | Run::Containers(_), _) => {
                let service = super::services::as_it_runs(builder, name, service);
                one(builder, &runtime, name, &service, &at);
            }
            (Run::Compose(run), Runtime::Docker { .. }) => {
                compose::add_file_of_the_user(builder, &runtime, name, service, run, &at);
            }
            (Run::Compose(_), Runtime::Podman) => {
                builder.missing(at.join("run").join("compose"), "a Compose file of your own with Podman");
            }
            _ => {}
        }
    }
}

/// The image of a container, on the host before a unit that uses it changes.
fn image(builder: &mut HostBuilder<'_, '_>, engine: Engine, reference: &str, at: &Pointer) {
    let id = format!("image:{reference}");
    if let Some(known) = builder.item_mut(&id) {
        if !known.from.contains(at) {
            known.from.push(at.clone());
            known.from.sort();
        }
        return;
    }
    builder.push(HostItem {
        id,
        stage: Stage::Services,
        from: vec![at.clone()],
        image: Some(Image { engine, reference: reference.to_owned() }),
        ..HostItem::default()
    });
}

/// Directories on the host that a container sees and that lie below its service's own: they hold data.
fn volumes(
    builder: &mut HostBuilder<'_, '_>,
    directory: &str,
    container: &Container,
    at: &Pointer,
) -> Vec<(String, String, bool)> {
    let mut all = Vec::new();
    for (index, volume) in container.volumes.iter().enumerate() {
        let source = match volume.source.strip_prefix("./") {
            Some(relative) => format!("{directory}/{relative}"),
            None => volume.source.clone(),
        };
        let below = source.starts_with(&format!("{directory}/")) && !source.contains("/../");
        // What has a name with an ending may be a file that somebody else puts there.
        let file = source.rsplit('/').next().is_some_and(|name| name.contains('.') && !name.starts_with('.'));
        let declared = builder.item_mut(&format!("directory:{source}")).is_some()
            || builder.item_mut(&format!("file:{source}")).is_some();
        if below && !file && !declared {
            let from = [at.join("volumes").join(index)];
            builder.directory(Stage::Services, &source, 0o755, "root", "root", &from);
            let item = builder.item_mut(&format!("directory:{source}"));
            if let Some(directory) = item.and_then(|item| item.directory.as_mut()) {
                directory.data = true;
            }
        }
        all.push((source, volume.target.clone(), volume.read_only));
    }
    all
}
