//! How the host is logged in to: sshd, and what must keep working.

use contract::Pointer;
use contract::document::{Access, Handler, Stage};

use super::HostBuilder;
use crate::fleet::{OsFamily, RootLogin};
use crate::format::{sshd, systemd::UnitFile};

/// The drop-in sorts first, because the first value of a keyword wins (sshd_config(5)).
const DROP_IN: &str = "/etc/ssh/sshd_config.d/00-plumbline.conf";

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let host = builder.host;
    let ssh = host.ssh();
    let mut from = vec![host.at("ssh")];
    builder.access = Some(Access {
        ssh_ports: vec![ssh.port],
        login_users: vec![ssh.user.clone()],
        networks: builder.model.ranges(&ssh.from).iter().map(ToString::to_string).collect(),
    });
    let mut lines: Vec<(String, String)> = vec![("Port".into(), ssh.port.to_string())];
    let mut set = |keyword: &str, argument: &str| lines.push((keyword.into(), argument.into()));
    set("PermitRootLogin", if ssh.root == RootLogin::No { "no" } else { "prohibit-password" });
    set("PubkeyAuthentication", "yes");
    set("PasswordAuthentication", "no");
    set("KbdInteractiveAuthentication", "no");
    set("MaxAuthTries", "4");
    set("LoginGraceTime", "30");
    set("X11Forwarding", "no");
    let secret_keys = builder.templates.iter().any(|template| template.name.starts_with("authorized_keys."));
    if secret_keys {
        set(
            "AuthorizedKeysFile",
            ".ssh/authorized_keys .ssh/authorized_keys2 /run/secrets/rendered/authorized_keys.%u",
        );
    }
    if let Some(extra) = &host.spec.extra {
        for (index, line) in extra.sshd.iter().enumerate() {
            let at = host.at("extra").join("sshd").join(index);
            let Some(line) = builder.fit(sshd::line(line), &at).map(str::to_owned) else { continue };
            let (keyword, argument) = line.trim().split_once([' ', '\t', '=']).unwrap_or((line.trim(), ""));
            // A keyword of the user stands in the place of ours.
            if !keyword.eq_ignore_ascii_case("port") {
                lines.retain(|(ours, _)| !ours.eq_ignore_ascii_case(keyword));
            }
            lines.push((keyword.to_owned(), argument.trim().to_owned()));
            from.push(at);
        }
    }
    builder.packages(Stage::Base, &["openssh-server"], &from[0]);
    builder.check_set("sshd", &[&["/usr/sbin/sshd", "-t"]]);
    let text = builder.header("#", &from) + &sshd::write(&lines);
    let file = builder.file(Stage::Base, DROP_IN, text, &from).set("sshd").notify(Handler::reload("ssh.service"));
    if uses_socket(builder) {
        file.notify(Handler::restart("ssh.socket")).add(builder);
        socket(builder, ssh.port, &from);
    } else {
        file.add(builder);
    }
}

/// Ubuntu starts sshd by its socket since 22.10.
fn uses_socket(builder: &HostBuilder<'_, '_>) -> bool {
    let os = &builder.host.os;
    os.family == OsFamily::Ubuntu && !matches!(os.release.as_str(), "20.04" | "22.04")
}

fn socket(builder: &mut HostBuilder<'_, '_>, port: u16, from: &[Pointer]) {
    // The empty assignment takes away the ports of the unit itself. One socket for both families: a second one for IPv4
    // alone would find its port taken, and nobody would listen at all.
    let unit = UnitFile::new().set("Socket", "ListenStream", "").set("Socket", "ListenStream", port.to_string()).set(
        "Socket",
        "BindIPv6Only",
        "both",
    );
    let text = builder.header("#", from) + &unit.write();
    builder
        .file(Stage::Base, "/etc/systemd/system/ssh.socket.d/zz-plumbline.conf", text, from)
        .notify(Handler::restart("ssh.socket"))
        .add(builder);
}
