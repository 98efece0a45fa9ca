//! What a host runs to be watched, besides the exporters that Debian packages: cAdvisor, Alloy, the Zabbix agent.

use std::net::IpAddr;

use contract::document::{Handler, HostItem, Stage, User};
use contract::{Finding, Pointer};

use super::role::{Role, reached};
use crate::fleet::{Agent, Container, LOCAL, Port, Run, Service};
use crate::format::alloy::{self, Block, Item, text};
use crate::host::{HostBuilder, containers};
use crate::model::ZabbixServer;

/// Arguments of cAdvisor: what it looks at by itself costs a tenth of a processor.
pub(crate) const CADVISOR: [&str; 3] =
    ["--docker_only=true", "--housekeeping_interval=30s", "--store_container_labels=false"];

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let host = builder.host;
    let Some(agents) = &host.spec.agents else { return };
    if let Some(spec) = &agents.cadvisor {
        cadvisor(builder, spec, &host.at("agents").join("cadvisor"));
    }
    if let Some(spec) = &agents.alloy {
        add_alloy(builder, spec, &host.at("agents").join("alloy"));
    }
    if let Some(spec) = &agents.zabbix_agent {
        zabbix(builder, spec, &host.at("agents").join("zabbix_agent"));
    }
}

/// Where an agent listens: its own network, that of the monitoring, or loopback.
fn bind(builder: &HostBuilder<'_, '_>, spec: &Agent) -> String {
    let network = spec.bind.clone().or_else(|| builder.model.fleet.monitoring.network.clone());
    network.filter(|network| builder.host.address(network).is_some()).unwrap_or_else(|| LOCAL.into())
}

pub(crate) fn address(builder: &HostBuilder<'_, '_>, spec: &Agent) -> IpAddr {
    builder.host.bind_address(&bind(builder, spec)).unwrap_or(IpAddr::from([127, 0, 0, 1]))
}

fn mounts(container: &mut Container, volumes: &[&str]) {
    container.volumes.extend(volumes.iter().filter_map(|volume| volume.parse().ok()));
}

fn cadvisor(builder: &mut HostBuilder<'_, '_>, spec: &Agent, at: &Pointer) {
    let Some(image) = &spec.image else {
        let finding = Finding::error("unsupported-feature", at.clone(), "cAdvisor is no package of Debian or Ubuntu");
        builder.findings.push(finding.fix("add \"image\": \"gcr.io/cadvisor/cadvisor:v0.52.1\""));
        return;
    };
    let mut container = Container {
        image: image.clone(),
        command: CADVISOR.iter().map(|word| (*word).to_owned()).chain(spec.arguments.iter().cloned()).collect(),
        privileged: true,
        devices: vec!["/dev/kmsg".into()],
        ..Container::default()
    };
    mounts(
        &mut container,
        &[
            "/:/rootfs:ro",
            "/var/run:/var/run:ro",
            "/sys:/sys:ro",
            "/var/lib/docker:/var/lib/docker:ro",
            "/dev/disk:/dev/disk:ro",
        ],
    );
    let mut service = Service::new(&builder.host.name, Run::Container(container));
    service.description = Some("Metrics of containers (cAdvisor)".into());
    let mut port = Port::local(spec.port.unwrap_or(8080));
    port.container_port = Some(8080);
    port.bind = bind(builder, spec);
    service.ports.insert("http".into(), port);
    let runtime = containers::runtime(builder);
    containers::one(builder, &runtime, "cadvisor", &service, at);
}

/// Which logs of containers are read from the engine, besides those in the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum EngineLogs {
    /// None: what containers say is in the journal.
    None,
    /// Those of every container of Docker.
    All,
    /// Those of Compose projects: other containers write into the journal.
    Projects,
}

/// Alloy's configuration for a host; none, with a finding, where its lines would reach nobody. `units` are those whose
/// service has another name than they.
pub(crate) fn alloy_config(
    builder: &mut HostBuilder<'_, '_>,
    logs: EngineLogs,
    units: &[(String, Vec<String>)],
    at: &Pointer,
) -> Option<String> {
    let model = builder.model;
    let from = [at.clone(), Pointer::root().join("monitoring").join("loki")];
    let Some(loki) = &model.fleet.monitoring.loki else {
        let finding = Finding::error("unknown-ref", at.clone(), "there is no Loki to which logs could go");
        builder.findings.push(finding.fix("add \"loki\" to \"monitoring\", with the service that it is"));
        return None;
    };
    let Some(target) = reached(model, builder.host, &loki.service, Role::Loki) else {
        let message = format!("host \"{}\" does not reach Loki", builder.host.name);
        let finding = Finding::error("unreachable-upstream", at.clone(), message);
        builder.findings.push(finding.fix("bind Loki's port to a network that both hosts share"));
        return None;
    };
    Some(builder.header("//", &from) + &alloy::write(&pipeline(&builder.host.name, &target, logs, units)))
}

fn add_alloy(builder: &mut HostBuilder<'_, '_>, spec: &Agent, at: &Pointer) {
    let from = [at.clone(), Pointer::root().join("monitoring").join("loki")];
    let docker =
        containers::used(builder) && matches!(containers::runtime(builder), containers::Runtime::Docker { .. });
    let logs = if docker { EngineLogs::All } else { EngineLogs::None };
    let Some(text) = alloy_config(builder, logs, &[], at) else { return };
    let listen = std::net::SocketAddr::new(address(builder, spec), spec.port.unwrap_or(12345)).to_string();
    builder.directory(Stage::Services, "/etc/alloy", 0o755, "root", "root", &from);
    builder
        .file(Stage::Services, "/etc/alloy/config.alloy", text, &from)
        .notify(Handler::restart("alloy.service"))
        .add(builder);
    let Some(image) = &spec.image else {
        packaged_alloy(builder, spec, &listen, docker, at);
        return;
    };
    let mut container = Container {
        image: image.clone(),
        command: ["run", "/etc/alloy/config.alloy", "--storage.path=/var/lib/alloy/data", "--disable-reporting"]
            .iter()
            .map(|word| (*word).to_owned())
            .chain([format!("--server.http.listen-addr={listen}")])
            .chain(spec.arguments.iter().cloned())
            .collect(),
        user: Some("0:0".into()),
        host_network: true,
        ..Container::default()
    };
    builder.directory(Stage::Services, "/var/lib/alloy", 0o700, "root", "root", &from);
    mounts(
        &mut container,
        &[
            "/etc/alloy:/etc/alloy:ro",
            "/var/lib/alloy:/var/lib/alloy/data",
            "/var/log/journal:/var/log/journal:ro",
            "/run/log/journal:/run/log/journal:ro",
            "/etc/machine-id:/etc/machine-id:ro",
        ],
    );
    if docker {
        mounts(&mut container, &["/var/run/docker.sock:/var/run/docker.sock:ro"]);
    }
    let mut service = Service::new(&builder.host.name, Run::Container(container));
    service.description = Some("Logs to Loki (Alloy)".into());
    let runtime = containers::runtime(builder);
    containers::one(builder, &runtime, "alloy", &service, at);
}

/// From Grafana's own repository, which the fleet names in `apt_repositories`.
fn packaged_alloy(builder: &mut HostBuilder<'_, '_>, spec: &Agent, listen: &str, docker: bool, at: &Pointer) {
    let from = [at.clone()];
    builder.packages(Stage::Services, &["alloy"], at);
    builder.hold(Stage::Services, "alloy.service");
    let mut groups = vec!["adm".to_owned(), "systemd-journal".into()];
    if docker {
        groups.push("docker".into());
    }
    builder.push(HostItem {
        id: "user:alloy".into(),
        stage: Stage::Services,
        from: from.to_vec(),
        user: Some(User { name: "alloy".into(), system: true, groups, ..User::default() }),
        ..HostItem::default()
    });
    let mut arguments = vec![format!("--server.http.listen-addr={listen}"), "--disable-reporting".into()];
    arguments.extend(spec.arguments.iter().cloned());
    let line = crate::format::env::line(crate::format::env::Dialect::Systemd, "CUSTOM_ARGS", &arguments.join(" "));
    let Some(line) = builder.fit(line, at) else { return };
    let text =
        builder.header("#", &from) + "CONFIG_FILE=\"/etc/alloy/config.alloy\"\n" + &line + "RESTART_ON_UPGRADE=true\n";
    builder
        .file(Stage::Services, "/etc/default/alloy", text, &from)
        .notify(Handler::restart("alloy.service"))
        .add(builder);
    builder.unit(Stage::Services, "alloy.service", &from);
}

/// From the journal and from containers to Loki, each line with the service that said it.
fn pipeline(host: &str, loki: &str, logs: EngineLogs, units: &[(String, Vec<String>)]) -> Vec<Block> {
    let receiver = || Item::Raw("[loki.write.fleet.receiver]".into());
    let rule = |source: &str, regex: Option<&str>, target: &str| {
        let mut items = vec![("source_labels", Item::List(vec![source.to_owned()]))];
        if let Some(regex) = regex {
            items.push(("regex", text(regex)));
            items.push(("replacement", text("$1")));
        }
        items.push(("target_label", text(target)));
        Block::new("rule", None, items)
    };
    let named = |service: &str, units: &[String]| {
        let units: Vec<String> = units.iter().map(|unit| unit.replace('.', "\\.")).collect();
        Block::new(
            "rule",
            None,
            vec![
                ("source_labels", Item::List(vec!["__journal__systemd_unit".into()])),
                ("regex", text(units.join("|"))),
                ("replacement", text(service)),
                ("target_label", text("service")),
            ],
        )
    };
    let mut journal = vec![
        rule("__journal__systemd_unit", Some("(.+?)(?:\\.service|\\.scope|\\.timer|\\.socket)?"), "service"),
        rule("__journal__systemd_unit", None, "unit"),
        rule("__journal_priority_keyword", None, "level"),
    ];
    // Later rules stand above earlier ones.
    journal.extend(units.iter().map(|(service, units)| named(service, units)));
    let mut blocks = vec![
        Block::new("logging", None, vec![("level", text("warn"))]),
        Block::new(
            "loki.write",
            Some("fleet"),
            vec![("external_labels", Item::Map(vec![("host".into(), host.to_owned())]))],
        )
        .inside(vec![Block::new(
            "endpoint",
            None,
            vec![("url", text(format!("http://{loki}/loki/api/v1/push")))],
        )]),
        Block::new("loki.relabel", Some("journal"), vec![("forward_to", Item::Raw("[]".into()))]).inside(journal),
        Block::new(
            "loki.source.journal",
            Some("journal"),
            vec![
                ("forward_to", receiver()),
                ("relabel_rules", Item::Raw("loki.relabel.journal.rules".into())),
                ("max_age", text("12h")),
                ("labels", Item::Map(vec![("job".into(), "journal".into())])),
            ],
        ),
    ];
    if logs != EngineLogs::None {
        let socket = "unix:///var/run/docker.sock";
        let project = "__meta_docker_container_label_com_docker_compose_project";
        let mut containers =
            vec![rule(project, None, "service"), rule("__meta_docker_container_name", Some("/(.*)"), "container")];
        if logs == EngineLogs::Projects {
            let source = Item::List(vec![project.to_owned()]);
            containers.insert(
                0,
                Block::new(
                    "rule",
                    None,
                    vec![("source_labels", source), ("regex", text(".+")), ("action", text("keep"))],
                ),
            );
        }
        blocks.push(Block::new("discovery.docker", Some("containers"), vec![("host", text(socket))]));
        blocks.push(
            Block::new(
                "discovery.relabel",
                Some("containers"),
                vec![("targets", Item::Raw("discovery.docker.containers.targets".into()))],
            )
            .inside(containers),
        );
        blocks.push(Block::new(
            "loki.source.docker",
            Some("containers"),
            vec![
                ("host", text(socket)),
                ("targets", Item::Raw("discovery.relabel.containers.output".into())),
                ("forward_to", receiver()),
                ("labels", Item::Map(vec![("job".into(), "containers".into())])),
            ],
        ));
    }
    blocks
}

/// The server to which the host's agent reports; a finding where there is none, or no way to it.
pub(crate) fn zabbix_server(builder: &mut HostBuilder<'_, '_>, at: &Pointer) -> Option<ZabbixServer> {
    let found = builder.model.zabbix_server(builder.host);
    if found.is_none() {
        builder.findings.push(if builder.model.fleet.monitoring.zabbix.is_none() {
            Finding::error("unknown-ref", at.clone(), "there is no Zabbix server to which it could report")
                .fix("add \"zabbix\" to \"monitoring\", with the service that is its server")
        } else {
            let message = format!("host \"{}\" does not reach the Zabbix server", builder.host.name);
            Finding::error("unreachable-upstream", at.clone(), message)
                .fix("bind its port to a network that both hosts share")
        });
    }
    found
}

fn zabbix(builder: &mut HostBuilder<'_, '_>, spec: &Agent, at: &Pointer) {
    let host = builder.host;
    if spec.image.is_some() {
        builder.missing(at.join("image"), "the Zabbix agent in a container");
        return;
    }
    let Some(server) = zabbix_server(builder, at) else { return };
    super::zabbix::port_that_it_takes(builder, spec.port.unwrap_or(10050), at);
    let from = [at.clone()];
    let lines = [
        ("Server", server.asks.join(",")),
        ("ServerActive", server.address.to_string()),
        ("Hostname", host.name.clone()),
        ("ListenIP", address(builder, spec).to_string()),
        ("ListenPort", spec.port.unwrap_or(10050).to_string()),
    ];
    let mut text = builder.header("#", &from);
    for (key, value) in lines {
        text.push_str(&format!("{key}={value}\n"));
    }
    builder.packages(Stage::Services, &["zabbix-agent"], at);
    builder.hold(Stage::Services, "zabbix-agent.service");
    builder
        .file(Stage::Services, "/etc/zabbix/zabbix_agentd.conf.d/plumbline.conf", text, &from)
        .notify(Handler::restart("zabbix-agent.service"))
        .add(builder);
    builder.unit(Stage::Services, "zabbix-agent.service", &from);
}
