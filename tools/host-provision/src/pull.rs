//! Pull mode: a host that brings itself to its document again and again, by a timer of its own. Nothing new runs there:
//! the timer starts this very program with `--target local`.

use std::path::PathBuf;

use base64::Engine as _;
use cli::{Failure, Input, Session};
use contract::document::{
    Arch, Directory, File, Handler, HostDesired, HostItem, Nixos, Stage, ToolLink, Unit, UnitState,
};
use contract::{Duration, Exit, FileMode, SchemaId, places};

use crate::nixos::PullModule;

/// Where the programs and documents of pull mode lie on a host.
const PLACE: &str = "/var/lib/plumbline/pull";

/// Arguments of pull.
#[derive(Debug, Clone, clap::Args)]
pub struct PullArgs {
    #[command(flatten)]
    input: Input,
    /// Where files named by "source" lie; they are taken into the document
    #[arg(long, value_name = "DIR", default_value = ".")]
    base: PathBuf,
    /// How often the host brings itself to the document
    #[arg(long, value_name = "DURATION", default_value = "1h")]
    every: Duration,
    /// The host's processor
    #[arg(long, value_name = "ARCH", default_value = "x86_64")]
    arch: String,
    /// For a NixOS host: print the module with the timer, which goes into its configuration, instead of the document
    #[arg(long)]
    module: bool,
}

impl PullArgs {
    /// Prints what has to be applied once so that the host goes on by itself.
    ///
    /// # Errors
    /// 65 for a document that cannot be carried to the host, 66 for files that cannot be read.
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let raw = session.read_raw(&self.input, &[SchemaId::HOST_DESIRED])?;
        let read = raw.read::<HostDesired>()?;
        let mut desired = read.document;
        // The host would refuse it later, where nobody looks.
        let findings = crate::lint::lint(&desired);
        if !findings.is_empty() {
            return Err(read.source.failure(findings));
        }
        let Some(arch) = Arch::from_uname(&self.arch) else {
            return Err(Failure::new(Exit::Usage, "usage", "the processor is one of x86_64, aarch64 and armv7"));
        };
        if self.every.as_secs() < 60 {
            return Err(Failure::new(Exit::Usage, "usage", "more often than once a minute is no use"));
        }
        let module = PullModule { owner: &desired.owner, every: self.every, place: PLACE };
        let is_nixos = desired.items.iter().any(|item| item.nixos.is_some());
        if self.module {
            if !is_nixos {
                return Err(Failure::new(Exit::BadDocument, "no_nixos_item", "the document is not of a NixOS host")
                    .hint("elsewhere the timer is part of what pull prints without --module"));
            }
            return session.print_bytes(module.text().as_bytes()).map(|()| Exit::Done);
        }
        for item in &mut desired.items {
            if let Some(file) = &mut item.file {
                self.take_along(file)?;
            }
            if let Some(nixos) = &mut item.nixos {
                self.take_flake_along(nixos)?;
                for warning in module.missing_in(nixos) {
                    session.warn(&warning);
                }
            }
        }
        let document = self.document(&desired, arch);
        session.print(&document, |document, _| {
            let lines: Vec<String> = document.items.iter().map(|item| item.id.clone()).collect();
            format!("{}: {}\n", document.host, lines.join(", "))
        })?;
        Ok(Exit::Done)
    }

    fn read(&self, source: &str) -> Result<Vec<u8>, Failure> {
        crate::work::read_source(&self.base, source).map_err(|refusal| refusal.into_failure(&self.base, source))
    }

    /// The host has no controller's files: their bytes become part of the document.
    fn take_along(&self, file: &mut File) -> Result<(), Failure> {
        if let Some(source) = file.source.take() {
            let bytes = self.read(&source)?;
            file.content_base64 = Some(base64::engine::general_purpose::STANDARD.encode(bytes));
            file.sha256 = None;
        }
        Ok(())
    }

    fn take_flake_along(&self, nixos: &mut Nixos) -> Result<(), Failure> {
        for (path, file) in &mut nixos.files {
            let Some(source) = file.source.take() else { continue };
            let text = String::from_utf8(self.read(&source)?).map_err(|_| {
                Failure::new(
                    Exit::BadDocument,
                    "not_text",
                    format!("{source} is no text, and cannot go along in a document"),
                )
                .place(path)
                .hint("keep the flake in git and let the host fetch it: nixos.flake")
            })?;
            file.content = Some(text);
            file.sha256 = None;
        }
        Ok(())
    }

    fn document(&self, desired: &HostDesired, arch: Arch) -> HostDesired {
        let value = serde_json::to_value(desired).unwrap_or_default();
        let text = cli::canonical_json(SchemaId::HOST_DESIRED, &value, false);
        let own = format!("{PLACE}/{}.json", desired.owner);
        let name = format!("{}pull-{}", places::UNIT_PREFIX, desired.owner);
        let service = format!(
            "[Unit]\nDescription=Bring this host to the document of {owner}\nAfter=network-online.target\nWants=network-online.target\n\n\
             [Service]\nType=oneshot\nEnvironment={variable}={PLACE}/lib\n\
             ExecStart={PLACE}/lib/host-provision apply --target local --output json {own}\n",
            owner = desired.owner,
            variable = places::LIB_VARIABLE,
        );
        let every = self.every.as_secs();
        let timer = format!(
            "[Unit]\nDescription=Bring this host to the document of {owner} now and then\n\n\
             [Timer]\nOnActiveSec={every}\nOnUnitActiveSec={every}\nRandomizedDelaySec={delay}\n\n[Install]\nWantedBy=timers.target\n",
            owner = desired.owner,
            delay = every / 10,
        );
        let tool = |id: &str, name: &str, path: String| HostItem {
            id: id.into(),
            stage: Stage::Base,
            tool: Some(ToolLink { name: name.into(), path }),
            ..HostItem::default()
        };
        let unit_path = |kind: &str| format!("/etc/systemd/system/{name}.{kind}");
        let mut items = vec![
            HostItem {
                id: "directory".into(),
                stage: Stage::Base,
                directory: Some(Directory {
                    path: PLACE.into(),
                    mode: FileMode::new(0o700),
                    owner: "root".into(),
                    group: "root".into(),
                    data: false,
                }),
                ..HostItem::default()
            },
            tool("program", "host-provision", format!("{PLACE}/lib/host-provision")),
            tool("helper", "host-provision-helper", format!("{PLACE}/lib/{}/host-provision-helper", arch.as_str())),
            file("document", own, text, 0o600, &[]),
        ];
        // On NixOS the units are part of the system; here it is only asked that they are there.
        let is_nixos = desired.items.iter().any(|item| item.nixos.is_some());
        if !is_nixos {
            let restart = [Handler::restart(&format!("{name}.timer"))];
            items.push(file("service", unit_path("service"), service, 0o644, &[]));
            items.push(file("timer", unit_path("timer"), timer, 0o644, &restart));
        }
        items.push(HostItem {
            id: "start".into(),
            unit: Some(Unit {
                name: format!("{name}.timer"),
                enabled: (!is_nixos).then_some(true),
                state: Some(UnitState::Started),
                ..Unit::default()
            }),
            ..HostItem::default()
        });
        HostDesired {
            host: desired.host.clone(),
            owner: format!("pull-{}", desired.owner),
            items,
            ..HostDesired::default()
        }
    }
}

fn file(id: &str, path: String, content: String, mode: u32, notify: &[Handler]) -> HostItem {
    HostItem {
        id: id.into(),
        notify: notify.to_vec(),
        file: Some(File {
            path,
            mode: FileMode::new(mode),
            owner: "root".into(),
            group: "root".into(),
            content: Some(content),
            content_base64: None,
            source: None,
            sha256: None,
            validate: Vec::new(),
            set: None,
            keep_existing: false,
        }),
        ..HostItem::default()
    }
}
