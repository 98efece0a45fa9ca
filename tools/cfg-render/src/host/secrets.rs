//! Secrets of the host: its SOPS files, the manifest, and the unit that puts values into RAM before anything needs them.

use std::collections::{BTreeMap, BTreeSet};

use contract::document::{
    Document as _, Handler, HostItem, ManifestSecret, ManifestTemplate, SecretsManifest, Stage, ToolLink,
};
use contract::{FileMode, Pointer, places};

use super::HostBuilder;
use crate::fleet::{AgeKey, SecretBackend};
use crate::format::systemd::{self, UnitFile};
use crate::model::{Model, SecretUse};

const TOOL: &str = "/usr/local/lib/plumbline/secret-encrypt";

/// The manifest of a host, or of the controller.
pub(crate) fn manifest(model: &Model<'_>, host: Option<&str>, templates: Vec<ManifestTemplate>) -> SecretsManifest {
    let secrets = model.secrets_of(host).iter().map(|(name, found)| {
        let file = model.secret_file(name);
        ManifestSecret {
            name: name.clone(),
            file: file.file,
            pointer: file.pointer,
            owner: found.owner.clone().unwrap_or_else(|| "root".into()),
            group: found.group.clone().unwrap_or_else(|| "root".into()),
            mode: found.mode.unwrap_or(FileMode::new(0o400)),
            link: found.link.clone(),
            units: found.units.iter().cloned().collect(),
            reload_units: found.reload_units.iter().cloned().collect(),
            needed_for_users: found.needed_for_users,
            generator: file.generator,
            reference: file.reference,
        }
    });
    let mut templates = templates;
    templates.sort_by(|a, b| a.name.cmp(&b.name));
    SecretsManifest { host: host.map(str::to_owned), secrets: secrets.collect(), templates }
}

pub(super) fn add(builder: &mut HostBuilder<'_, '_>) {
    let (model, host) = (builder.model, builder.host);
    let uses = model.secrets_of(Some(&host.name));
    let spec = host.spec.secrets.clone().unwrap_or_default();
    if (uses.is_empty() && builder.templates.is_empty()) || spec.backend == SecretBackend::None {
        return;
    }
    let mut from: BTreeSet<Pointer> = uses.values().flat_map(SecretUse::places).cloned().collect();
    from.insert(host.at("secrets"));
    let from: Vec<_> = from.into_iter().collect();
    let mut files: BTreeMap<String, BTreeSet<Pointer>> = BTreeMap::new();
    for (name, found) in uses {
        files.entry(model.secret_file(name).file).or_default().extend(found.places().cloned());
    }
    builder.directory(Stage::Base, places::SECRET_FILES, 0o700, "root", "root", &from);
    for directory in
        files.keys().filter_map(|file| file.rsplit_once('/')).map(|(directory, _)| directory).collect::<BTreeSet<_>>()
    {
        let path = format!("{}/{directory}", places::SECRET_FILES);
        builder.directory(Stage::Base, &path, 0o700, "root", "root", &from);
    }
    for (file, from) in files {
        let from: Vec<_> = from.into_iter().collect();
        let path = format!("{}/{file}", places::SECRET_FILES);
        builder
            .file(Stage::Base, &path, String::new(), &from)
            .source(&file)
            .mode(0o600)
            .notify(Handler::secrets())
            .add(builder);
    }
    let document = manifest(model, Some(&host.name), builder.templates.clone());
    // A manifest holds nothing that JSON cannot.
    let text = cli::canonical(SecretsManifest::ID, &document, false).unwrap_or_default();
    // As bytes, because its templates hold placeholders, which no text of a file may: only secret-encrypt fills them.
    builder
        .file(Stage::Base, places::SECRETS_MANIFEST, String::new(), &from)
        .bytes(text.as_bytes())
        .mode(0o600)
        .notify(Handler::secrets())
        .add(builder);
    builder.push(HostItem {
        id: "tool:secret-encrypt".into(),
        stage: Stage::Base,
        from: from.clone(),
        tool: Some(ToolLink { name: "secret-encrypt".into(), path: TOOL.into() }),
        ..HostItem::default()
    });
    unit(builder, &spec.key, &from);
    let waiting = std::mem::take(&mut builder.waiting);
    for (unit, (stage, from)) in waiting {
        let from: Vec<_> = from.into_iter().collect();
        let drop_in =
            UnitFile::new().set("Unit", "Requires", places::SECRETS_UNIT).set("Unit", "After", places::SECRETS_UNIT);
        let text = builder.header("#", &from) + &drop_in.write();
        builder
            .file(stage, &format!("/etc/systemd/system/{unit}.d/10-plumbline-secrets.conf"), text, &from)
            .add(builder);
    }
}

fn unit(builder: &mut HostBuilder<'_, '_>, key: &AgeKey, from: &[Pointer]) {
    let at = builder.host.at("secrets");
    let mut argv = vec![TOOL.to_owned(), "--output".into(), "json".into(), "materialize".into()];
    if let AgeKey::File(file) = key {
        argv.extend(["--identity".into(), file.path.clone()]);
    }
    argv.push(places::SECRETS_MANIFEST.into());
    let Some(exec) = builder.fit(systemd::exec(&argv), &at.join("key")) else { return };
    let unit = UnitFile::new()
        .set("Unit", "Description", "Secrets of this host in RAM")
        .set("Unit", "ConditionPathExists", places::SECRETS_MANIFEST)
        .set("Unit", "After", "local-fs.target systemd-tmpfiles-setup.service")
        .set("Service", "Type", "oneshot")
        .set("Service", "RemainAfterExit", "yes")
        .set("Service", "UMask", "0077")
        .set("Service", "ExecStart", exec)
        // What changed is read from there by whoever applied a change.
        .set("Service", "StandardOutput", format!("truncate:{}", places::SECRETS_RESULT))
        .set("Install", "WantedBy", "multi-user.target");
    let text = builder.header("#", from) + &unit.write();
    let path = format!("/etc/systemd/system/{}", places::SECRETS_UNIT);
    builder.file(Stage::Base, &path, text, from).notify(Handler::secrets()).add(builder);
    let tmpfiles = builder.header("#", from) + &format!("d {} 0755 root root -\n", places::RUN);
    builder.file(Stage::Base, "/etc/tmpfiles.d/plumbline.conf", tmpfiles, from).add(builder);
    builder.unit(Stage::Base, places::SECRETS_UNIT, from);
}
