//! Tailscale: its daemon, and how the host joins its network (tailscale.com/kb/1241/tailscale-up).

use contract::document::{Handler, Stage};
use contract::{Finding, Pointer, places};

use super::HostBuilder;
use crate::format::env::{self, Dialect};
use crate::format::systemd::{self, UnitFile};

const UNIT: &str = "plumbline-tailscale.service";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let mine = model.fleet.networks.iter().filter(|(name, _)| host.address(name).is_some());
    let mut overlays = mine.filter_map(|(name, network)| Some((name, network.tailscale.as_ref()?)));
    let Some((name, spec)) = overlays.next() else { return };
    let at = Pointer::root().join("networks").join(name).join("tailscale");
    if let Some((other, _)) = overlays.next() {
        let other = Pointer::root().join("networks").join(other).join("tailscale");
        let message = format!("host \"{}\" is in two overlays, and one Tailscale serves one", host.name);
        builder
            .findings
            .push(Finding::error("unsupported-feature", other, message).fix("take the host out of one of them"));
        return;
    }
    let from = [at.clone()];
    let known = |uri: &String| uri.contains("tailscale");
    if !host.spec.apt_repositories.iter().any(|repository| repository.uris.iter().any(known)) {
        let message =
            format!("Tailscale is no package of {}, and host \"{}\" names no source of it", host.os, host.name);
        let finding = Finding::warning("no-package-source", at.clone(), message);
        builder.findings.push(finding.fix("add pkgs.tailscale.com to \"apt_repositories\" of the host"));
    }
    builder.packages(Stage::Base, &["tailscale"], &at);
    let port = spec.port.unwrap_or(41641).to_string();
    let lines = env::line(Dialect::Systemd, "PORT", &port)
        .and_then(|line| Ok(line + &env::line(Dialect::Systemd, "FLAGS", "")?));
    let Some(lines) = builder.fit(lines, &at) else { return };
    let text = builder.header("#", &from) + &lines;
    builder
        .file(Stage::Base, "/etc/default/tailscaled", text, &from)
        .notify(Handler::restart("tailscaled.service"))
        .add(builder);
    builder.unit(Stage::Base, "tailscaled.service", &from);
    let mut argv = vec!["/usr/bin/tailscale".to_owned(), "up".into(), format!("--hostname={}", host.hostname())];
    // An overlay must not change how the host resolves names.
    argv.extend(["--accept-dns=false".into(), "--timeout=60s".into()]);
    if let Some(server) = &spec.login_server {
        argv.push(format!("--login-server={server}"));
    }
    if let Some(key) = &spec.auth_key {
        argv.push(format!("--auth-key=file:{}/{}", places::SECRETS, key.secret));
        builder.wait_for_secrets(Stage::Base, UNIT, &from);
    }
    if !spec.tags.is_empty() {
        argv.push(format!("--advertise-tags={}", spec.tags.join(",")));
    }
    // Servers that listen on the host's address there may start before it is there.
    let mut kernel = String::from("net.ipv4.ip_nonlocal_bind = 1\nnet.ipv6.ip_nonlocal_bind = 1\n");
    if let Some(routes) = spec.routes.get(&host.name) {
        let routes: Vec<_> = routes.iter().map(ToString::to_string).collect();
        argv.push(format!("--advertise-routes={}", routes.join(",")));
        kernel.push_str("net.ipv4.ip_forward = 1\nnet.ipv6.conf.all.forwarding = 1\n");
    }
    let text = builder.header("#", &from) + &kernel;
    builder
        .file(Stage::Base, "/etc/sysctl.d/61-plumbline-tailscale.conf", text, &from)
        .notify(Handler::restart("systemd-sysctl.service"))
        .add(builder);
    let Some(exec) = builder.fit(systemd::exec(&argv), &at) else { return };
    // Asked again at each start: where nothing is new, nothing happens.
    let unit = UnitFile::new()
        .set("Unit", "Description", format!("This host in the network {name}"))
        .set("Unit", "Requires", "tailscaled.service")
        .set("Unit", "Wants", "network-online.target")
        .set("Unit", "After", "tailscaled.service network-online.target")
        .set("Service", "Type", "oneshot")
        .set("Service", "RemainAfterExit", "yes")
        .set("Service", "ExecStart", exec)
        .set("Service", "Restart", "on-failure")
        .set("Service", "RestartSec", "30s")
        .set("Install", "WantedBy", "multi-user.target");
    let text = builder.header("#", &from) + &unit.write();
    builder
        .file(Stage::Base, &format!("/etc/systemd/system/{UNIT}"), text, &from)
        .notify(Handler::restart(UNIT))
        .add(builder);
    builder.unit(Stage::Base, UNIT, &from);
}
