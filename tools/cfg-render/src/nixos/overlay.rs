//! Overlays and tunnels: Tailscale (also with Headscale), and Cloudflare's connector.

use contract::Finding;

use super::builder::NixosBuilder;
use super::secrets;
use crate::fleet::{Edge, Tailscale, Tunnel, TunnelManagement};
use crate::format::nix::{Nix, Part};

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    for (name, network) in &model.fleet.networks {
        if let (Some(spec), true) = (&network.tailscale, host.address(name).is_some()) {
            tailscale(builder, name, network.interface(), spec);
        }
    }
    for (name, spec) in &model.fleet.tunnels {
        if spec.host == host.name {
            tunnel(builder, name, spec);
        }
    }
}

fn tailscale(builder: &mut NixosBuilder<'_, '_>, name: &str, interface: Option<&str>, spec: &Tailscale) {
    const MODULE: &str = "overlay";
    let at = super::place(&["networks", name, "tailscale"]);
    builder.option(MODULE, "services.tailscale.enable", Nix::Bool(true), &at);
    builder.option(MODULE, "services.tailscale.openFirewall", Nix::Bool(false), &at);
    if let Some(port) = spec.port {
        builder.option(MODULE, "services.tailscale.port", Nix::number(port), &at);
    }
    if let Some(interface) = interface.filter(|interface| *interface != "tailscale0") {
        builder.option(MODULE, "services.tailscale.interfaceName", Nix::text(interface), &at);
    }
    if let Some(key) = &spec.auth_key {
        let path = secrets::path(key.secret.as_str());
        builder.option(MODULE, "services.tailscale.authKeyFile", Nix::text(path), &at.join("auth_key"));
    }
    let mut up = Vec::new();
    up.extend(spec.login_server.as_ref().map(|server| format!("--login-server={server}")));
    if !spec.tags.is_empty() {
        up.push(format!("--advertise-tags={}", spec.tags.join(",")));
    }
    if !up.is_empty() {
        builder.option(MODULE, "services.tailscale.extraUpFlags", Nix::texts(up), &at);
    }
    // An overlay must not change how the host resolves names.
    let mut set = vec!["--accept-dns=false".to_owned()];
    if let Some(routes) = spec.routes.get(&builder.host.name) {
        let routes: Vec<String> = routes.iter().map(ToString::to_string).collect();
        set.push(format!("--advertise-routes={}", routes.join(",")));
        let at = at.join("routes").join(&builder.host.name);
        builder.option(MODULE, "services.tailscale.useRoutingFeatures", Nix::text("server"), &at);
    }
    builder.option(MODULE, "services.tailscale.extraSetFlags", Nix::texts(set), &at);
    // Servers that listen on the host's address there may start before it is there.
    for family in ["ipv4", "ipv6"] {
        let key = format!("net.{family}.ip_nonlocal_bind");
        if !builder.host.spec.sysctl.contains_key(&key) {
            let path = ["boot", "kernel", "sysctl", &key];
            builder.set(MODULE, &path, Nix::number(1_u8), std::slice::from_ref(&at));
        }
    }
    // What comes in over the overlay goes out over it again, which a strict filter of return paths does not see.
    builder.option("firewall", "networking.firewall.checkReversePath", Nix::text("loose"), &at);
}

fn tunnel(builder: &mut NixosBuilder<'_, '_>, name: &str, spec: &Tunnel) {
    let module = format!("tunnel-{name}");
    let at = super::place(&["tunnels", name]);
    let from = [at.clone()];
    let secret = secrets::path(spec.credentials.secret.as_str());
    if spec.managed == TunnelManagement::Remote {
        // The routes are at the provider, where dns-sync keeps them; the host has the connector and its token only.
        let start = Nix::Text(vec![
            Part::Expression("pkgs.cloudflared".into()),
            Part::Plain("/bin/cloudflared --no-autoupdate tunnel run --token-file %d/token".into()),
        ]);
        let config = Nix::set([
            ("ExecStart", start),
            ("Type", Nix::text("notify")),
            ("Restart", Nix::text("on-failure")),
            ("RestartSec", Nix::text("5s")),
            ("DynamicUser", Nix::Bool(true)),
            ("LoadCredential", Nix::text(format!("token:{secret}"))),
            ("ProtectSystem", Nix::text("strict")),
        ]);
        let value = Nix::set([
            ("description", Nix::text(format!("Tunnel {name}"))),
            ("wantedBy", Nix::texts(["multi-user.target"])),
            ("wants", Nix::texts(["network-online.target"])),
            ("after", Nix::texts(["network-online.target"])),
            ("serviceConfig", config),
        ]);
        builder.set(&module, &["systemd", "services", &format!("cloudflared-tunnel-{name}")], value, &from);
        return;
    }
    let Some(id) = &spec.id else {
        builder.shared.findings.push(
            Finding::error("missing-key", at.join("id"), "a tunnel that is managed on the host needs its id")
                .fix("give tunnels.NAME.id"),
        );
        return;
    };
    builder.option(&module, "services.cloudflared.enable", Nix::Bool(true), &at);
    let mut value = vec![("credentialsFile", Nix::text(secret)), ("default", Nix::text("http_status:404"))];
    let mut ingress: Vec<(String, Nix)> = Vec::new();
    let model = builder.model;
    for route in model.routes().iter().filter(|route| route.edge == Edge::Tunnel(name)) {
        let Some((_, port)) = route.port else { continue };
        let host = route.hosts.iter().find(|host| **host == builder.host.name).or(route.hosts.first());
        let Some(target) = host.and_then(|host| model.host(host)) else { continue };
        let Some(address) = model.address_between(Some(builder.host), target, &port.bind) else { continue };
        let target = format!("{}://{}", route.route.scheme.as_str(), std::net::SocketAddr::new(address, port.port));
        ingress.extend(route.names.iter().map(|name| (name.name.clone(), Nix::text(&target))));
        builder.set(
            &module,
            &["services", "cloudflared", "enable"],
            Nix::Bool(true),
            std::slice::from_ref(&route.place),
        );
    }
    value.push(("ingress", Nix::set(ingress)));
    builder.set(&module, &["services", "cloudflared", "tunnels", id], Nix::set(value), &from);
}
