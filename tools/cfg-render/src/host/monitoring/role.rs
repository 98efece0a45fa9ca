//! A service that watches the fleet gets what its role needs: files of ours in its container, the host's network, so that
//! loopback is the host's, and its settings.

use std::borrow::Cow;
use std::net::IpAddr;

use crate::fleet::{ANY, Container, Run, Service, Value};
use crate::host::HostBuilder;
use crate::model::{HostView, Model};

/// What a service watches with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// Prometheus.
    Prometheus,
    /// Alertmanager.
    Alertmanager,
    /// Grafana.
    Grafana,
    /// Loki.
    Loki,
}

impl Role {
    /// The role of a service.
    pub(crate) fn of(model: &Model<'_>, name: &str) -> Option<Self> {
        let monitoring = &model.fleet.monitoring;
        let roles = [
            (Role::Prometheus, monitoring.prometheus.as_ref().map(|role| &role.service)),
            (Role::Alertmanager, monitoring.alertmanager.as_ref().map(|role| &role.service)),
            (Role::Grafana, monitoring.grafana.as_ref().map(|role| &role.service)),
            (Role::Loki, monitoring.loki.as_ref().map(|role| &role.service)),
        ];
        roles.into_iter().find(|(_, service)| service.is_some_and(|service| service == name)).map(|(role, _)| role)
    }

    /// User and group inside the program's own image.
    const fn user(self) -> &'static str {
        match self {
            Role::Prometheus | Role::Alertmanager => "65534:65534",
            Role::Grafana => "472:0",
            Role::Loki => "10001:10001",
        }
    }

    /// Folders of the host that its container sees at the same place.
    const fn folders(self) -> &'static [&'static str] {
        match self {
            Role::Prometheus | Role::Alertmanager => &["/etc/prometheus"],
            Role::Grafana => &["/etc/grafana/provisioning", "/etc/grafana/dashboards"],
            Role::Loki => &["/etc/loki"],
        }
    }

    /// Port where the service names none.
    pub(super) const fn usual_port(self) -> u16 {
        match self {
            Role::Prometheus => 9090,
            Role::Alertmanager => 9093,
            Role::Grafana => 3000,
            Role::Loki => 3100,
        }
    }
}

/// Address and port on which a service of a role listens; an empty address is every one.
pub(crate) fn listen(model: &Model<'_>, host: &HostView, service: &Service, role: Role) -> (String, u16) {
    let Some((_, port)) = service.port(None) else { return ("127.0.0.1".into(), role.usual_port()) };
    let address = match (model.listen_address(host, port), port.bind.as_str()) {
        (Some(address), _) => address.to_string(),
        (None, ANY) => String::new(),
        (None, _) => IpAddr::from([127, 0, 0, 1]).to_string(),
    };
    (address, port.port)
}

/// `address:port` of a service of a role as the given host reaches it.
pub(super) fn reached(model: &Model<'_>, from: &HostView, name: &str, role: Role) -> Option<String> {
    let service = model.service(name)?;
    let target =
        model.hosts_of(service).find(|host| host.name == from.name).or_else(|| model.hosts_of(service).next())?;
    let bind = service.port(None).map_or(crate::fleet::LOCAL, |(_, port)| port.bind.as_str());
    let port = service.port(None).map_or(role.usual_port(), |(_, port)| port.port);
    let address = model.address_between(Some(from), target, bind)?;
    Some(std::net::SocketAddr::new(address, port).to_string())
}

/// The service as it runs: with what its role needs.
pub(in crate::host) fn fitted<'s>(
    builder: &HostBuilder<'_, '_>,
    name: &str,
    service: Cow<'s, Service>,
) -> Cow<'s, Service> {
    let model = builder.model;
    let Some(role) = Role::of(model, name) else { return service };
    let (address, port) = listen(model, builder.host, &service, role);
    let mut fitted = service.into_owned();
    if role == Role::Grafana {
        grafana_settings(builder, name, &mut fitted, &address, port);
    }
    if let Run::Container(container) = &mut fitted.run {
        container.host_network = true;
        container.user.get_or_insert_with(|| role.user().to_owned());
        for folder in role.folders() {
            if let Ok(volume) = format!("{folder}:{folder}:ro").parse() {
                container.volumes.push(volume);
            }
        }
        if container.command.is_empty() {
            container.command = command(builder, role, container, &format!("{address}:{port}"));
        }
        if role == Role::Prometheus {
            let tokens = model.scrapes().iter().filter_map(|scrape| scrape.bearer.clone());
            container.secrets.extend(tokens);
        }
        if let (Role::Alertmanager, Some(spec)) = (role, &model.fleet.monitoring.alertmanager) {
            let mailer = spec.mailer.as_ref().and_then(|name| model.fleet.mailers.get(name));
            container
                .secrets
                .extend(mailer.and_then(|mailer| mailer.password.as_ref()).map(|secret| secret.secret.clone()));
            if spec.webhook.is_some() {
                // The whole file is a filled template then, to which the link in the folder leads.
                container.volumes.extend(
                    "/run/secrets/rendered/alertmanager.yml:/run/secrets/rendered/alertmanager.yml:ro".parse().ok(),
                );
            }
        }
        if role == Role::Loki && model.fleet.monitoring.loki.as_ref().is_some_and(|loki| loki.bucket.is_some()) {
            container.volumes.extend("/run/secrets/rendered/loki.yml:/run/secrets/rendered/loki.yml:ro".parse().ok());
        }
    }
    Cow::Owned(fitted)
}

/// Arguments of the program in its own image, which stand in the place of the image's.
fn command(builder: &HostBuilder<'_, '_>, role: Role, container: &Container, listen: &str) -> Vec<String> {
    let monitoring = &builder.model.fleet.monitoring;
    match role {
        Role::Prometheus => {
            let data = container.volumes.iter().find(|volume| volume.target == "/prometheus");
            let path = data.map_or("/prometheus", |volume| volume.target.as_str());
            let retention = monitoring.prometheus.as_ref().map_or(15 * 86_400, |spec| spec.retention.as_secs());
            vec![
                "--config.file=/etc/prometheus/prometheus.yml".into(),
                format!("--storage.tsdb.path={path}"),
                format!("--storage.tsdb.retention.time={retention}s"),
                format!("--web.listen-address={listen}"),
            ]
        }
        Role::Alertmanager => vec![
            "--config.file=/etc/prometheus/alertmanager.yml".into(),
            "--storage.path=/alertmanager".into(),
            format!("--web.listen-address={listen}"),
            // One alone has nobody to talk to.
            "--cluster.listen-address=".into(),
        ],
        Role::Loki => vec!["-config.file=/etc/loki/config.yml".into()],
        Role::Grafana => Vec::new(),
    }
}

fn grafana_settings(builder: &HostBuilder<'_, '_>, name: &str, service: &mut Service, address: &str, port: u16) {
    let mut set = |variable: &str, value: Value| {
        service.env.entry(variable.to_owned()).or_insert(value);
    };
    set("GF_SERVER_HTTP_ADDR", Value::text(address));
    set("GF_SERVER_HTTP_PORT", Value::text(port.to_string()));
    set("GF_ANALYTICS_REPORTING_ENABLED", Value::text("false"));
    set("GF_ANALYTICS_CHECK_FOR_UPDATES", Value::text("false"));
    set("GF_USERS_ALLOW_SIGN_UP", Value::text("false"));
    if let Some((_, url)) = builder.model.public_address(name) {
        set("GF_SERVER_ROOT_URL", Value::text(url));
        set("GF_SECURITY_COOKIE_SECURE", Value::text("true"));
    }
    let spec = builder.model.fleet.monitoring.grafana.as_ref();
    if let Some(password) = spec.and_then(|spec| spec.admin_password.as_ref()) {
        set("GF_SECURITY_ADMIN_PASSWORD", Value::secret(password.secret.clone()));
    }
}
