//! Pull mode: a host that brings itself to its document again and again, by a timer of its own. Nothing new runs there:
//! the timer starts this very program with `--target local`.

use std::path::PathBuf;

use base64::Engine as _;
use cli::{Failure, Input, Session};
use contract::document::{Arch, Directory, File, Handler, HostDesired, HostItem, Stage, ToolLink, Unit, UnitState};
use contract::{Duration, Exit, FileMode, SchemaId, places};

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
}

impl PullArgs {
    /// Prints what has to be applied once so that the host goes on by itself.
    ///
    /// # Errors
    /// 65 for a document that cannot be carried to the host, 66 for files that cannot be read.
    pub fn run(self, session: &Session) -> Result<Exit, Failure> {
        let raw = session.read_raw(&self.input, &[SchemaId::HOST_DESIRED])?;
        let mut desired = raw.read::<HostDesired>()?.document;
        let Some(arch) = Arch::from_uname(&self.arch) else {
            return Err(Failure::new(Exit::Usage, "usage", "the processor is one of x86_64, aarch64 and armv7"));
        };
        if self.every.as_secs() < 60 {
            return Err(Failure::new(Exit::Usage, "usage", "more often than once a minute is no use"));
        }
        if desired.items.iter().any(|item| item.nixos.is_some()) {
            return Err(Failure::new(
                Exit::BadDocument,
                "not_on_nixos",
                "on NixOS timers belong into the configuration",
            )
            .hint("declare a systemd timer there that runs `host-provision apply --target local` with this document"));
        }
        for file in desired.items.iter_mut().filter_map(|item| item.file.as_mut()) {
            if let Some(source) = file.source.take() {
                let bytes = crate::work::read_source(&self.base, &source)
                    .map_err(|refusal| refusal.into_failure(&self.base, &source))?;
                file.content_base64 = Some(base64::engine::general_purpose::STANDARD.encode(bytes));
                file.sha256 = None;
            }
        }
        let document = self.document(&desired, arch);
        session.print(&document, |document, _| {
            let lines: Vec<String> = document.items.iter().map(|item| item.id.clone()).collect();
            format!("{}: {}\n", document.host, lines.join(", "))
        })?;
        Ok(Exit::Done)
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
        let items = vec![
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
            file("service", unit_path("service"), service, 0o644, &[]),
            file("timer", unit_path("timer"), timer, 0o644, &[Handler::restart(&format!("{name}.timer"))]),
            HostItem {
                id: "start".into(),
                unit: Some(Unit {
                    name: format!("{name}.timer"),
                    enabled: Some(true),
                    state: Some(UnitState::Started),
                    ..Unit::default()
                }),
                ..HostItem::default()
            },
        ];
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
