//! Units of NixOS' modules that are not called after the module.

/// Module and unit: the one that answers, where there are several.
/// Source: the modules of nixpkgs, release 25.11.
const UNITS: [(&str, &str); 8] = [
    // Started by its first visitor.
    ("services.cockpit", "cockpit.socket"),
    ("services.immich", "immich-server.service"),
    ("services.openthread-border-router", "otbr-agent.service"),
    ("services.paperless", "paperless-web.service"),
    ("services.radicle", "radicle-node.service"),
    ("services.radicle.httpd", "radicle-httpd.service"),
    ("services.zabbixServer", "zabbix-server.service"),
    ("services.zabbixWeb", "httpd.service"),
];

/// The unit of a module that has another name.
pub(super) fn of_module(module: &str) -> Option<String> {
    UNITS.iter().find(|(known, _)| *known == module).map(|(_, unit)| (*unit).to_owned())
}
