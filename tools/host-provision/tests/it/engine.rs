//! The engine in a directory: any documents, any interruption.

use std::cell::Cell;
use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use contract::FileMode;
use contract::Outcome;
use contract::document::{Directory, File, HostDesired, HostItem, HostResult, Symlink};
use host_provision::blobs::Blobs;
use host_provision::engine::apply::{Terms, apply};
use host_provision::engine::lock::Lock;
use host_provision::engine::owned::Owned;
use host_provision::engine::plan::{Planned, plan};
use host_provision::engine::rollback::{Manner, roll_back};
use host_provision::engine::run::{Record, Run, Stand, new_id};
use host_provision::engine::{Host, View};
use host_provision::wire::{ApplyOptions, Work};
use proptest::prelude::*;

/// Names that may be files, directories or links in different documents.
const NAMES: [&str; 6] = ["/a", "/b", "/c", "/d/x", "/d/y", "/e/f/g"];

fn item(name: &str, kind: u8, content: u8, mode: u8) -> HostItem {
    let modes = [0o644, 0o600, 0o755];
    let mode = FileMode::new(modes[usize::from(mode) % 3]);
    // Each name is always of one kind: what changes its kind is refused.
    let mut item = HostItem { id: name.replace('/', "_"), ..HostItem::default() };
    match (kind % 4, name) {
        (_, "/c") => item.symlink = Some(Symlink { path: name.into(), target: format!("to{content}") }),
        (_, "/e/f/g") => {
            item.directory = Some(Directory {
                path: name.into(),
                mode: FileMode::new(0o755),
                owner: "root".into(),
                group: "root".into(),
                data: false,
            });
        }
        _ => {
            item.file = Some(File {
                path: name.into(),
                mode,
                owner: "root".into(),
                group: "root".into(),
                content: Some(format!("content {content}\n")),
                content_base64: None,
                source: None,
                sha256: None,
                validate: Vec::new(),
                set: None,
                keep_existing: false,
            });
        }
    }
    item
}

fn any_document() -> impl Strategy<Value = HostDesired> {
    prop::collection::btree_map(0..NAMES.len(), (any::<u8>(), 0_u8..3, any::<u8>()), 0..NAMES.len()).prop_map(|names| {
        let items =
            names.into_iter().map(|(name, (kind, content, mode))| item(NAMES[name], kind, content, mode)).collect();
        HostDesired { host: "h".into(), owner: "fleet".into(), items, ..HostDesired::default() }
    })
}

fn look(host: &Host, work: &Work) -> (Planned, Owned) {
    let owned = Owned::load(host, "fleet").unwrap();
    (plan(View { host, work, blobs: &Blobs::default() }, &owned).unwrap(), owned)
}

fn work(desired: &HostDesired) -> Work {
    Work { desired: desired.clone(), allow: vec!["deletes:99".into()], tools: BTreeMap::new(), login: None }
}

/// Applies, stopping before the change with this number.
fn converge(host: &Host, desired: &HostDesired, stop_at: u32) -> (HostResult, Option<Run>) {
    let work = work(desired);
    let (planned, owned) = look(host, &work);
    let record = Record {
        id: format!("{}-{}", new_id(), Run::all(host).len()),
        host: "h".into(),
        owner: "fleet".into(),
        stand: Stand::Applying,
        guarded: false,
        armed: false,
        window: 0,
        ports: Vec::new(),
        transition: Vec::new(),
        handlers: Vec::new(),
        result: None,
        listener: None,
        boot: None,
    };
    let mut run = Run::begin(host, record).unwrap();
    let options = ApplyOptions::default();
    let count = Cell::new(0);
    let stop = || {
        count.set(count.get() + 1);
        count.get() > stop_at
    };
    let terms = Terms { options: &options, stop: &stop, helper: None };
    let result = apply(host, &work, &Blobs::default(), terms, planned, owned, &mut run);
    run.finish(Stand::Done, result.clone()).unwrap();
    (result, Some(run))
}

/// Everything below a directory but our own state: path, kind, mode, content.
fn snapshot(base: &Path) -> BTreeMap<String, String> {
    fn walk(base: &Path, directory: &Path, found: &mut BTreeMap<String, String>) {
        for entry in std::fs::read_dir(directory).unwrap().flatten() {
            let path = entry.path();
            let name = path.strip_prefix(base).unwrap().to_string_lossy().into_owned();
            if name == "var" || name == "run" {
                continue;
            }
            let data = std::fs::symlink_metadata(&path).unwrap();
            let mode = data.permissions().mode() & 0o7777;
            if data.is_symlink() {
                found.insert(name, format!("link {}", std::fs::read_link(&path).unwrap().display()));
            } else if data.is_dir() {
                found.insert(name, format!("directory {mode:o}"));
                walk(base, &path, found);
            } else {
                found.insert(name, format!("file {mode:o} {}", std::fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(base, base, &mut found);
    found
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if crate::full_tier() { 256 } else { 32 }))]

    #[test]
    fn one_apply_converges_and_what_is_foreign_stays(first in any_document(), second in any_document()) {
        let base = tempfile::tempdir().unwrap();
        std::fs::create_dir(base.path().join("d")).unwrap();
        std::fs::write(base.path().join("d/foreign"), "foreign").unwrap();
        std::fs::write(base.path().join("a"), "was here").unwrap();
        let before = snapshot(base.path());
        for desired in [&first, &second] {
            let host = Host::sandbox(base.path());
            let (result, _) = converge(&host, desired, u32::MAX);
            prop_assert_eq!(result.outcome, Outcome::Done);
            let (again, _) = look(&Host::sandbox(base.path()), &work(desired));
            prop_assert!(again.is_empty(), "{:?}", again.plan.changes);
        }
        let now = snapshot(base.path());
        prop_assert_eq!(&now["d/foreign"], &before["d/foreign"]);
        prop_assert!(!now.keys().any(|name| name.contains(".plumbline")), "{:?}", now);
        // Nothing declared any more: what was there before us is there again; at most directories on the way are left.
        converge(&Host::sandbox(base.path()), &HostDesired { host: "h".into(), owner: "fleet".into(), ..HostDesired::default() }, u32::MAX);
        let mut after = snapshot(base.path());
        after.retain(|name, _| name != "e" && name != "e/f");
        prop_assert_eq!(after, before);
    }

    #[test]
    fn an_interrupted_apply_goes_back_to_what_was(first in any_document(), second in any_document(), stop_at in 0_u32..6) {
        let base = tempfile::tempdir().unwrap();
        converge(&Host::sandbox(base.path()), &first, u32::MAX);
        let before = snapshot(base.path());
        let owned = std::fs::read(base.path().join("var/lib/plumbline/owned/fleet.json")).ok();
        let host = Host::sandbox(base.path());
        let (_, run) = converge(&host, &second, stop_at);
        let _lock = Lock::take(&host, "test", Duration::ZERO).unwrap();
        let mut run = run.unwrap();
        let result = roll_back(&host, &mut run, &work(&second), None, Manner::Force).unwrap();
        prop_assert_eq!(result.outcome, Outcome::RolledBack);
        prop_assert_eq!(snapshot(base.path()), before);
        prop_assert_eq!(std::fs::read(base.path().join("var/lib/plumbline/owned/fleet.json")).ok(), owned);
        // And from there the second document is reached all the same.
        let (result, _) = converge(&Host::sandbox(base.path()), &second, u32::MAX);
        prop_assert_eq!(result.outcome, Outcome::Done);
        let (again, _) = look(&Host::sandbox(base.path()), &work(&second));
        prop_assert!(again.is_empty());
    }
}
