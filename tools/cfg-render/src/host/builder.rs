//! Collects the items of a host.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use contract::document::{
    Access, Directory, File, FileSet, Handler, HostDesired, HostItem, ManifestTemplate, Packages, Stage,
    TemplateEscape, Unit, UnitState,
};
use contract::{FileMode, Finding, Level, Pointer};

use super::{OWNER, Rendered};
use crate::format::{Written, header};
use crate::model::{HostView, Model};

/// Collects the items of a host.
pub(crate) struct HostBuilder<'m, 'f> {
    pub(crate) model: &'m Model<'f>,
    pub(crate) host: &'m HostView,
    /// Boxed, because an item is large and passes through many hands.
    #[expect(clippy::vec_box, reason = "an item is large, and all are moved when they are sorted")]
    items: Vec<Box<HostItem>>,
    /// Where in `items` an id stands. Hashed, because ids are long and begin alike.
    places: HashMap<String, usize>,
    /// Where those items come from that were added more than once, by their place in `items`.
    joined: BTreeMap<usize, BTreeSet<Pointer>>,
    packages: BTreeMap<Stage, PackageSet>,
    pub(crate) absent: Vec<String>,
    pub(crate) sets: BTreeMap<String, FileSet>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) access: Option<Access>,
    /// Templates to be filled with secrets.
    pub(crate) templates: Vec<ManifestTemplate>,
    /// Units that must not start before secrets are there, with the stage of their drop-in.
    pub(crate) waiting: BTreeMap<String, (Stage, BTreeSet<Pointer>)>,
}

#[derive(Default)]
struct PackageSet {
    names: BTreeSet<String>,
    hold: BTreeSet<String>,
    from: BTreeSet<Pointer>,
}

impl<'m, 'f> HostBuilder<'m, 'f> {
    pub(crate) fn new(model: &'m Model<'f>, host: &'m HostView) -> Self {
        Self {
            model,
            host,
            items: Vec::new(),
            places: HashMap::new(),
            joined: BTreeMap::new(),
            packages: BTreeMap::new(),
            absent: Vec::new(),
            sets: BTreeMap::new(),
            findings: Vec::new(),
            access: None,
            templates: Vec::new(),
            waiting: BTreeMap::new(),
        }
    }

    /// Adds an item. One of the same id that comes from elsewhere in the fleet is reported, one that is equal is joined.
    pub(crate) fn push(&mut self, item: HostItem) {
        self.push_boxed(Box::new(item));
    }

    fn push_boxed(&mut self, mut item: Box<HostItem>) {
        let place = self.places.get(&item.id).copied();
        if let Some((place, known)) = place.and_then(|place| Some((place, self.items.get_mut(place)?))) {
            // Two are the same wherever they come from.
            let (first, more) = (std::mem::take(&mut known.from), std::mem::take(&mut item.from));
            let same = **known == *item;
            (known.from, item.from) = (first, more);
            if same {
                // A site a certificate, a certificate a directory: a set, because there are hundreds.
                let from = self.joined.entry(place).or_insert_with(|| known.from.iter().cloned().collect());
                from.extend(item.from);
            } else {
                let at = item.from.first().cloned().unwrap_or_else(|| self.host.pointer());
                let mut finding = Finding::error(
                    "file-clash",
                    at,
                    format!("{} is declared twice on host \"{}\" and differs", item.id, self.host.name),
                )
                .fix("take one of them away, or give one another path");
                let first = self.joined.get(&place).map_or(known.from.first(), BTreeSet::first);
                finding.related.extend(first.cloned());
                self.findings.push(finding);
            }
            return;
        }
        self.places.insert(item.id.clone(), self.items.len());
        self.items.push(item);
    }

    /// The item of this id.
    pub(crate) fn item_mut(&mut self, id: &str) -> Option<&mut HostItem> {
        self.places.get(id).and_then(|place| self.items.get_mut(*place)).map(Box::as_mut)
    }

    /// Packages of the distribution.
    pub(crate) fn packages<S: AsRef<str>>(&mut self, stage: Stage, names: &[S], from: &Pointer) {
        let set = self.packages.entry(stage).or_default();
        set.names.extend(names.iter().map(|name| name.as_ref().to_owned()));
        set.from.insert(from.clone());
    }

    /// A unit that its package would start before its configuration is there.
    pub(crate) fn hold(&mut self, stage: Stage, unit: &str) {
        self.packages.entry(stage).or_default().hold.insert(unit.to_owned());
    }

    /// A file for all to read. Further keys are set on what is returned.
    #[allow(clippy::unused_self, reason = "reads like its siblings, which add to the host")]
    pub(crate) fn file(&self, stage: Stage, path: &str, content: String, from: &[Pointer]) -> FileItem {
        FileItem {
            item: Box::new(HostItem {
                id: format!("file:{path}"),
                stage,
                from: unique(from),
                file: Some(File {
                    path: path.into(),
                    mode: FileMode::new(0o644),
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
            }),
        }
    }

    /// The head of a file that is made from these places.
    pub(crate) fn header<'p>(&self, mark: &str, from: impl IntoIterator<Item = &'p Pointer>) -> String {
        let mut short: Vec<&str> = from.into_iter().map(shorten).collect();
        short.sort_unstable();
        short.dedup();
        header(mark, &self.model.fleet.name, &short)
    }

    /// A directory.
    pub(crate) fn directory(
        &mut self,
        stage: Stage,
        path: &str,
        mode: u32,
        owner: &str,
        group: &str,
        from: &[Pointer],
    ) {
        self.push(HostItem {
            id: format!("directory:{path}"),
            stage,
            from: unique(from),
            directory: Some(Directory {
                path: path.into(),
                mode: FileMode::new(mode),
                owner: owner.into(),
                group: group.into(),
                data: false,
            }),
            ..HostItem::default()
        });
    }

    /// A unit that runs and is started at boot.
    pub(crate) fn unit(&mut self, stage: Stage, name: &str, from: &[Pointer]) {
        self.push(HostItem {
            id: format!("unit:{name}"),
            stage,
            from: unique(from),
            unit: Some(Unit {
                name: name.into(),
                enabled: Some(true),
                state: Some(UnitState::Started),
                ..Unit::default()
            }),
            ..HostItem::default()
        });
    }

    /// A unit waits for the secrets.
    pub(crate) fn wait_for_secrets(&mut self, stage: Stage, unit: &str, from: &[Pointer]) {
        let entry = self.waiting.entry(unit.to_owned()).or_insert_with(|| (stage, BTreeSet::new()));
        entry.1.extend(from.iter().cloned());
    }

    /// Programs that check a set of files as a whole.
    pub(crate) fn check_set(&mut self, name: &str, check: &[&[&str]]) {
        let check = check.iter().map(|argv| argv.iter().map(|word| (*word).to_owned()).collect()).collect();
        self.sets.insert(name.into(), FileSet { check });
    }

    /// The result of a writer, or `None` and a finding at the place of the text.
    pub(crate) fn fit<T>(&mut self, written: Written<T>, at: &Pointer) -> Option<T> {
        match written {
            Ok(value) => Some(value),
            Err(error) => {
                self.findings.push(
                    Finding::error("unrepresentable", at.clone(), error.to_string())
                        .fix("write it in another way; nothing is left out silently"),
                );
                None
            }
        }
    }

    /// The same with a place that is only made for a finding, where there are very many.
    pub(crate) fn fit_at<T>(&mut self, written: Written<T>, at: impl FnOnce() -> Pointer) -> Option<T> {
        if written.is_ok() { written.ok() } else { self.fit(written, &at()) }
    }

    /// Says that something is not rendered yet.
    pub(crate) fn missing(&mut self, at: Pointer, what: &str) {
        self.findings.push(
            Finding::warning(
                "not-rendered-yet",
                at,
                format!("{what} is not rendered yet and is left out of host \"{}\"", self.host.name),
            )
            .fix("set it up by hand for now; nothing else depends on it silently"),
        );
    }

    /// A text with placeholders, filled by the secrets unit.
    pub(crate) fn template(&mut self, name: String, text: String, escape: TemplateEscape) -> &mut ManifestTemplate {
        self.templates.push(ManifestTemplate {
            name,
            text,
            owner: "root".into(),
            group: "root".into(),
            mode: FileMode::new(0o400),
            link: None,
            units: Vec::new(),
            reload_units: Vec::new(),
            escape,
        });
        let last = self.templates.len() - 1;
        &mut self.templates[last]
    }

    /// The document. Items are ordered by stage and kind, so that users are there before their files.
    pub(crate) fn finish(mut self) -> Rendered {
        let stages = std::mem::take(&mut self.packages);
        for (stage, set) in stages {
            let absent = if stage == Stage::Base { std::mem::take(&mut self.absent) } else { Vec::new() };
            let item = HostItem {
                id: format!("packages:{}", stage_word(stage)),
                stage,
                from: set.from.into_iter().collect(),
                packages: Some(Packages {
                    present: set.names.into_iter().collect(),
                    absent,
                    hold_units: set.hold.into_iter().collect(),
                }),
                ..HostItem::default()
            };
            self.push(item);
        }
        for (place, from) in std::mem::take(&mut self.joined) {
            if let Some(item) = self.items.get_mut(place) {
                item.from = from.into_iter().collect();
            }
        }
        for item in &self.items {
            let content = item.file.as_ref().and_then(|file| file.content.as_deref()).unwrap_or_default();
            if contract::placeholders(content).next().is_some() {
                let at = item.from.first().cloned().unwrap_or_else(|| self.host.pointer());
                self.findings.push(
                    Finding::error(
                        "placeholder-in-file",
                        at,
                        format!("{} would hold a placeholder of a secret in clear", item.id),
                    )
                    .fix("use \"template\" for a file with secrets"),
                );
            }
        }
        self.items.sort_by_cached_key(|item| (item.stage, rank(item)));
        self.findings.sort_by(|a, b| (a.level, &a.pointer, &a.message).cmp(&(b.level, &b.pointer, &b.message)));
        self.findings.dedup();
        debug_assert!(self.findings.iter().all(|finding| finding.level != Level::Note || !finding.message.is_empty()));
        let desired = HostDesired {
            host: self.host.name.clone(),
            owner: OWNER.into(),
            partial: false,
            access: self.access,
            sets: self.sets,
            items: self.items.into_iter().map(|item| *item).collect(),
        };
        Rendered { desired, findings: self.findings, templates: self.templates, tree: None }
    }
}

/// A file that is not yet among the items.
#[must_use]
pub(crate) struct FileItem {
    item: Box<HostItem>,
}

impl FileItem {
    fn edit(mut self, change: impl FnOnce(&mut File)) -> Self {
        if let Some(file) = &mut self.item.file {
            change(file);
        }
        self
    }

    pub(crate) fn mode(self, mode: u32) -> Self {
        self.edit(|file| file.mode = FileMode::new(mode))
    }

    pub(crate) fn owner(self, owner: &str, group: &str) -> Self {
        self.edit(|file| {
            file.owner = owner.into();
            file.group = group.into();
        })
    }

    pub(crate) fn validate(self, argv: &[&str]) -> Self {
        self.edit(|file| file.validate = argv.iter().map(|word| (*word).to_owned()).collect())
    }

    pub(crate) fn set(self, set: &str) -> Self {
        self.edit(|file| file.set = Some(set.into()))
    }

    /// The bytes come from a file on the controller.
    pub(crate) fn source(self, source: &str) -> Self {
        self.edit(|file| {
            file.content = None;
            file.source = Some(source.into());
        })
    }

    /// The bytes as such, where they are no text for people.
    pub(crate) fn bytes(self, bytes: &[u8]) -> Self {
        use base64::Engine as _;
        self.edit(|file| {
            file.content = None;
            file.content_base64 = Some(base64::engine::general_purpose::STANDARD.encode(bytes));
        })
    }

    pub(crate) fn keep_existing(self) -> Self {
        self.edit(|file| file.keep_existing = true)
    }

    pub(crate) fn notify(mut self, handler: Handler) -> Self {
        self.item.notify.push(handler);
        self
    }

    pub(crate) fn add(self, builder: &mut HostBuilder<'_, '_>) {
        builder.push_boxed(self.item);
    }

    /// The item itself, to stand in the place of another.
    pub(crate) fn into_item(self) -> HostItem {
        *self.item
    }
}

/// What comes first within a stage.
fn rank(item: &HostItem) -> u8 {
    let kinds = [
        item.apt_repository.is_some(),
        item.packages.is_some(),
        item.hostname.is_some(),
        item.timezone.is_some(),
        item.locale.is_some(),
        item.group.is_some(),
        item.user.is_some(),
        item.authorized_keys.is_some(),
        item.mount.is_some(),
        item.directory.is_some(),
        item.tool.is_some(),
        item.file.is_some(),
        item.symlink.is_some(),
        item.image.is_some(),
        item.command.is_some(),
        item.unit.is_some(),
    ];
    kinds.iter().position(|is| *is).unwrap_or(kinds.len()) as u8
}

fn stage_word(stage: Stage) -> &'static str {
    match stage {
        Stage::Base => "base",
        Stage::Data => "data",
        Stage::Services => "services",
    }
}

fn unique(from: &[Pointer]) -> Vec<Pointer> {
    // Most of what is made comes from one place, and lists of many are mostly in order.
    if from.is_sorted_by(|a, b| a < b) {
        return from.to_vec();
    }
    let mut all: Vec<&Pointer> = from.iter().collect();
    all.sort_unstable();
    all.dedup();
    all.into_iter().cloned().collect()
}

/// `/services/x/proxy/0` as `/services/x`: enough for a person who looks at a file on a host.
fn shorten(pointer: &Pointer) -> &str {
    let text = pointer.as_str();
    let last = if text.starts_with("/hosts/") { 3 } else { 2 };
    let mut slashes = text.bytes().enumerate().filter(|(_, byte)| *byte == b'/');
    slashes.nth(last).map_or(text, |(index, _)| &text[..index])
}
