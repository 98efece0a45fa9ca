//! Certificates by ACME for servers that have no client of their own (nginx): lego of Debian, one unit and one timer a
//! certificate. Until there is one, a leaf of the internal CA stands in.

mod dns_provider;

use contract::document::{Command, Group, Handler, HostItem, Stage, Unit, UnitState, User};
use contract::{Finding, Pointer, places};

pub(super) use self::dns_provider::proof;
use super::HostBuilder;
use crate::fleet::{Acme, AcmeChallenge, TlsMode};
use crate::format::systemd::{self, UnitFile};
use crate::model::{Certificate, Site};

const SCRIPT: &str = "/usr/local/lib/plumbline/acme";
/// The directory of files that prove names by HTTP.
pub(super) const WEBROOT: &str = "/var/lib/acme/acme-challenge";
const LETS_ENCRYPT: &str = "https://acme-v02.api.letsencrypt.org/directory";
/// A certificate with less left is renewed.
const RENEW_DAYS: &str = "30";

/// The clients of a host's certificates. `unit` serves them, as a worker of `group`.
pub(super) fn add(builder: &mut HostBuilder<'_, '_>, unit: &str, worker: &str, sites: &[Site<'_>]) {
    let host = builder.host;
    let acme = host.proxy().acme.unwrap_or_default();
    let mut from = vec![host.at("proxy")];
    let mut wanted = Vec::new();
    for site in sites.iter().filter(|site| matches!(site.tls, TlsMode::Acme | TlsMode::AcmeDns)) {
        if let Some(certificate) = &site.certificate {
            from.extend(certificate.from.iter().cloned());
            wanted.push((site, certificate));
        }
    }
    if wanted.is_empty() {
        return;
    }
    base(builder, worker, &acme, &from);
    for (site, certificate) in wanted {
        client(builder, &acme, unit, site, certificate);
    }
}

/// What all clients share: the program, its user, its directories.
fn base(builder: &mut HostBuilder<'_, '_>, worker: &str, acme: &Acme, from: &[Pointer]) {
    builder.packages(Stage::Base, &["lego"], &from[0]);
    builder.push(HostItem {
        id: "group:acme".into(),
        stage: Stage::Base,
        from: from.to_vec(),
        group: Some(Group { name: "acme".into(), gid: None, system: true }),
        ..HostItem::default()
    });
    builder.push(HostItem {
        id: "user:acme".into(),
        stage: Stage::Base,
        from: from.to_vec(),
        user: Some(User {
            name: "acme".into(),
            system: true,
            group: Some("acme".into()),
            home: Some("/var/lib/acme".into()),
            shell: Some("/usr/sbin/nologin".into()),
            ..User::default()
        }),
        ..HostItem::default()
    });
    // Whoever serves certificates can read them.
    builder.push(HostItem {
        id: format!("user:{worker}"),
        stage: Stage::Base,
        from: from.to_vec(),
        user: Some(User { name: worker.into(), system: true, groups: vec!["acme".into()], ..User::default() }),
        ..HostItem::default()
    });
    builder.directory(Stage::Base, "/var/lib/acme", 0o755, "root", "root", from);
    builder.directory(Stage::Base, "/var/lib/acme/.lego", 0o700, "acme", "acme", from);
    builder.directory(Stage::Base, WEBROOT, 0o755, "acme", "acme", from);
    builder.file(Stage::Base, SCRIPT, include_str!("acme.sh").into(), from).mode(0o755).add(builder);
    if let Some(ca) = &acme.ca {
        builder.file(Stage::Base, "/var/lib/acme/directory-ca.pem", String::new(), from).source(ca).add(builder);
    }
}

fn client(builder: &mut HostBuilder<'_, '_>, acme: &Acme, unit: &str, site: &Site<'_>, certificate: &Certificate) {
    let from = &certificate.from;
    let at = builder.host.at("proxy").join("acme");
    let name = crate::model::file_name(site.name());
    let Some(stand_in) = builder.fit(systemd::exec(&[SCRIPT, "stand-in", &name]), &at).map(|_| &name) else { return };
    builder.push(HostItem {
        id: format!("command:acme-stand-in-{name}"),
        stage: Stage::Base,
        from: from.clone(),
        command: Some(Command {
            argv: vec![SCRIPT.into(), "stand-in".into(), stand_in.clone()],
            creates: Some(format!("/var/lib/acme/{name}/fullchain.pem")),
            ..Command::default()
        }),
        ..HostItem::default()
    });
    let unit_name = format!("acme-{name}.service");
    let Some(email) = acme.email.clone().or_else(|| builder.model.fleet.email.clone()) else {
        let finding = Finding::error("acme-without-email", at, "an ACME server wants a contact");
        builder.findings.push(finding.fix("add \"email\" to the fleet"));
        return;
    };
    let directory = acme.directory.as_deref().unwrap_or(LETS_ENCRYPT);
    let mut lego: Vec<String> =
        ["--accept-tos", "--path", "/var/lib/acme/.lego", "--server", directory, "--email", &email]
            .map(str::to_owned)
            .to_vec();
    for name in &certificate.names {
        lego.extend(["--domains".into(), name.clone()]);
    }
    let mut service = UnitFile::new()
        .set("Unit", "Description", format!("Certificate of {name} by ACME"))
        .set("Unit", "Wants", "network-online.target")
        .set("Unit", "After", format!("network-online.target {unit}"))
        .set("Service", "Type", "oneshot")
        .set("Service", "User", "acme")
        .set("Service", "Group", "acme")
        .set("Service", "UMask", "0027")
        .set("Service", "NoNewPrivileges", "yes")
        .set("Service", "ProtectSystem", "strict")
        .set("Service", "ProtectHome", "yes")
        .set("Service", "PrivateTmp", "yes")
        .set("Service", "PrivateDevices", "yes")
        .set("Service", "ReadWritePaths", "/var/lib/acme")
        .set("Service", "TimeoutStartSec", "10min");
    if acme.ca.is_some() {
        service.push("Service", "Environment", "LEGO_CA_CERTIFICATES=/var/lib/acme/directory-ca.pem");
    }
    let by_dns = site.tls == TlsMode::AcmeDns || acme.challenge == AcmeChallenge::Dns01;
    if by_dns {
        let Some(proof) = proof(builder, acme, &certificate.names, &at) else { return };
        lego.extend(["--dns".into(), proof.lego.into()]);
        for (variable, value) in &proof.clear {
            let Some(assignment) = builder.fit(systemd::environment(variable, value), &at) else { return };
            service.push("Service", "Environment", assignment);
        }
        // systemd hands the token to the unit's user; nobody else on the host reads it.
        service.push("Service", "LoadCredential", format!("token:{}/{}", places::SECRETS, proof.token));
        service.push("Service", "Environment", format!("{}_FILE=/run/credentials/{unit_name}/token", proof.variable));
        builder.wait_for_secrets(Stage::Services, &unit_name, from);
    } else if acme.challenge == AcmeChallenge::TlsAlpn01 {
        let finding = Finding::error("unsupported-feature", at, "the client beside nginx cannot answer on port 443");
        builder.findings.push(finding.fix("use http-01 or dns-01"));
        return;
    } else {
        lego.extend(["--http".into(), "--http.webroot".into(), WEBROOT.into()]);
    }
    let get: Vec<String> =
        [SCRIPT, "get", &name, RENEW_DAYS].iter().map(|word| (*word).to_owned()).chain(lego).collect();
    let (Some(get), Some(reload)) =
        (builder.fit(systemd::exec(&get), &at), builder.fit(systemd::exec(&[SCRIPT, "reload", &name, unit]), &at))
    else {
        return;
    };
    service.push("Service", "ExecStart", get);
    // With the rights of the system: the client's own user may reload nothing.
    service.push("Service", "ExecStartPost", format!("+{reload}"));
    let text = builder.header("#", from) + &service.write();
    builder.file(Stage::Services, &format!("/etc/systemd/system/{unit_name}"), text, from).add(builder);
    let timer = UnitFile::new()
        .set("Unit", "Description", format!("Renewal of the certificate of {name}"))
        .set("Timer", "OnActiveSec", "15s")
        .set("Timer", "OnCalendar", "*-*-* 00/12:00:00")
        .set("Timer", "RandomizedDelaySec", "1h")
        .set("Timer", "FixedRandomDelay", "yes")
        .set("Timer", "Persistent", "yes")
        .set("Install", "WantedBy", "timers.target");
    let timer_name = format!("acme-{name}.timer");
    let text = builder.header("#", from) + &timer.write();
    builder
        .file(Stage::Services, &format!("/etc/systemd/system/{timer_name}"), text, from)
        .notify(Handler::restart(&timer_name))
        .add(builder);
    builder.push(HostItem {
        id: format!("unit:{timer_name}"),
        stage: Stage::Services,
        from: from.clone(),
        unit: Some(Unit { name: timer_name, enabled: Some(true), state: Some(UnitState::Started), ..Unit::default() }),
        ..HostItem::default()
    });
}
