//! Commands that agents may run: the scripts of other hosts, with the programs where NixOS has them.

use contract::Pointer;

use super::builder::NixosBuilder;
use crate::format::nix::Nix;
use crate::host::operations;

const MODULE: &str = "operations";

pub(super) fn add(builder: &mut NixosBuilder<'_, '_>) {
    let Some(all) = operations::operations(&mut builder.shared, operations::NIXOS) else { return };
    for file in all.files {
        let Some(name) = file.path.strip_prefix("/etc/") else { continue };
        let mut keys = vec![("text", Nix::text(&file.text))];
        if file.script {
            // With a mode it is a file of root's own instead of a link, as sudo wants it.
            keys.push(("mode", Nix::text("0755")));
        }
        builder.set(MODULE, &["environment", "etc", name], Nix::set(keys), &file.from);
    }
    let set = |builder: &mut NixosBuilder<'_, '_>, path: &[&str], value: Nix, from: &[Pointer]| {
        builder.set(MODULE, path, value, from);
    };
    set(builder, &["security", "sudo", "extraConfig"], Nix::text(&all.sudoers), &all.from);
    if !all.sshd.is_empty() {
        // Blocks reach to the end or to the next one: last of all, and closed.
        let text = Nix::Call("lib.mkAfter", vec![Nix::text(all.sshd + "Match all\n")]);
        set(builder, &["services", "openssh", "extraConfig"], text, &all.from);
    }
}
