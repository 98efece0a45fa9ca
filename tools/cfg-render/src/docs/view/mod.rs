//! What is looked at: each view makes a diagram of the fleet as it takes effect.

mod backup;
mod dependencies;
mod dns;
mod network;
mod reach;
mod request;
mod secrets;
mod zones;

use std::fmt;
use std::str::FromStr;

use super::{Diagram, Kind, UnknownService};
use crate::fleet::{Fleet, Port, Run, Service};

/// What is looked at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum View {
    /// Hosts, what runs on them, and the networks between them.
    Network,
    /// What needs what, and what fails with what.
    Dependencies,
    /// What may be reached from where.
    Zones,
    /// Which secret goes from which file to which host and service.
    Secrets,
    /// What is backed up, when and where to.
    Backup,
    /// Which name leads where.
    Dns,
    /// The way of a request to the service of this name.
    Request(String),
}

impl View {
    /// The views that look at the whole fleet.
    pub const ALL: [View; 6] = [View::Network, View::Dependencies, View::Zones, View::Secrets, View::Backup, View::Dns];
}

impl fmt::Display for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            View::Network => "network",
            View::Dependencies => "dependencies",
            View::Zones => "zones",
            View::Secrets => "secrets",
            View::Backup => "backup",
            View::Dns => "dns",
            View::Request(service) => return write!(f, "request:{service}"),
        })
    }
}

impl FromStr for View {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if let Some(service) = text.strip_prefix("request:").filter(|service| !service.is_empty()) {
            return Ok(View::Request(service.to_owned()));
        }
        let found = View::ALL.into_iter().find(|view| view.to_string() == text);
        found.ok_or_else(|| {
            "a view is one of network, dependencies, zones, secrets, backup, dns, request:SERVICE".into()
        })
    }
}

/// Makes the diagram of a view. The fleet is the resolved one.
///
/// # Errors
/// The service of `request:SERVICE` is not there.
pub fn draw_view(fleet: &Fleet, view: &View) -> Result<Diagram, UnknownService> {
    Ok(match view {
        View::Network => network::draw(fleet),
        View::Dependencies => dependencies::draw(fleet),
        View::Zones => zones::draw(fleet),
        View::Secrets => secrets::draw(fleet),
        View::Backup => backup::draw(fleet),
        View::Dns => dns::draw(fleet),
        View::Request(service) => return request::draw(fleet, service),
    })
}

/// What a service is drawn as.
fn kind_of(service: &Service) -> Kind {
    if service.is_external() { Kind::External } else { Kind::Service }
}

/// `:3000`, or the first ports of several.
fn ports_of(service: &Service) -> String {
    let mut ports: Vec<&Port> = service.ports.values().filter(|port| port.publish).collect();
    ports.sort_by_key(|port| port.port);
    let more = if ports.len() > 3 { " …" } else { "" };
    let list: Vec<String> = ports.iter().take(3).map(|port| format!(":{}", port.port)).collect();
    format!("{}{more}", list.join(" "))
}

/// How a service runs, in a word.
fn how(service: &Service) -> &str {
    match &service.run {
        Run::Static(_) => "static files",
        Run::Systemd(_) => "systemd",
        Run::Package(_) => "package",
        Run::Container(_) => "container",
        Run::Containers(_) => "containers",
        Run::Compose(_) => "compose",
        Run::Nixos(_) => "NixOS module",
        Run::HomeManager(_) => "Home Manager",
        Run::External(_) => "external",
    }
}

fn joined(parts: &[&str]) -> String {
    parts.iter().filter(|part| !part.is_empty()).copied().collect::<Vec<_>>().join(" · ")
}

/// `a, b and 3 more`.
fn some_of<S: AsRef<str>>(names: &[S], most: usize) -> String {
    let list = names.iter().take(most).map(AsRef::as_ref).collect::<Vec<&str>>().join(", ");
    if names.len() > most { format!("{list} and {} more", names.len() - most) } else { list }
}

fn plural(count: usize, one: &str) -> String {
    if count == 1 { format!("1 {one}") } else { format!("{count} {one}s") }
}
