//! Logins over SSH that belong to services: a user and a section of sshd's configuration each, in the service's own module.

use super::builder::NixosBuilder;
use super::services::module;
use crate::format::nix::Nix;
use crate::host::logins::logins;

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    for login in logins(&mut builder.shared) {
        let file = module(login.service);
        let from = [login.at.clone()];
        let user = login.spec.user.as_str();
        let service = builder.model.service(login.service);
        let own = service.filter(|service| service.user.as_deref() == Some(user));
        let group = own.and_then(|service| service.group.clone()).unwrap_or_else(|| user.to_owned());
        if !builder.host.spec.groups.contains_key(&group) {
            builder.set(&file, &["users", "groups", &group], Nix::set::<&str>([]), &from);
        }
        for (key, value) in [
            ("isSystemUser", Nix::Bool(true)),
            ("group", Nix::text(group)),
            ("home", Nix::text(login.home())),
            // sshd runs every command through it, the forced one too.
            ("shell", Nix::text("/bin/sh")),
        ] {
            builder.set(&file, &["users", "users", user, key], value, &from);
        }
        // Sections reach to the end or to the next one: last of all, and closed.
        let text = Nix::Call("lib.mkAfter", vec![Nix::text(login.section + "Match all\n")]);
        builder.set(&file, &["services", "openssh", "extraConfig"], text, &from);
    }
}
