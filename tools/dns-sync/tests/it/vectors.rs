//! Zone files of other projects, where they are at hand.

use std::path::{Path, PathBuf};

use serde_json::json;
use tempfile::TempDir;

use crate::program::{desired, run};

/// The folder with the vectors; `None` where it is not there.
fn folder() -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../shared/vectors");
    let folder = std::env::var_os("PLUMBLINE_VECTORS").map_or(beside, PathBuf::from).join("dns");
    if !folder.is_dir() {
        eprintln!("skipped: zone files of other projects (install: set PLUMBLINE_VECTORS)");
        return None;
    }
    Some(folder)
}

/// Every zone file is read, written and read again without a difference, and what is refused is refused for a reason that is
/// known.
#[test]
fn zone_files_of_other_projects() {
    let Some(folder) = folder() else { return };
    let mut read = 0;
    let mut refused = Vec::new();
    // Readable, but nothing that may be declared.
    let mut doubtful = Vec::new();
    let mut paths: Vec<PathBuf> = ["dnscontrol", "octodns"]
        .iter()
        .flat_map(|project| std::fs::read_dir(folder.join(project)).into_iter().flatten())
        .map(|entry| entry.unwrap().path())
        .collect();
    paths.sort();
    for path in paths {
        let file = path.file_name().unwrap().to_str().unwrap().to_owned();
        let project = path.parent().unwrap().file_name().unwrap().to_str().unwrap().to_owned();
        let name = match project.as_str() {
            "dnscontrol" => {
                file.rsplit_once('_').unwrap().1.split('!').next().unwrap().trim_end_matches(".zone").to_owned()
            }
            _ => file.trim_end_matches(".tst").trim_end_matches('.').to_owned(),
        };
        let directory = TempDir::new().unwrap();
        let mut text = std::fs::read_to_string(&path).unwrap();
        // DNSControl's files leave the SOA record to the server.
        if !text.contains("SOA") {
            text = format!("$TTL 300\n@ IN SOA ns.invalid. h.invalid. 1 2 3 4 5\n{text}");
        }
        let place = directory.path().join(format!("{name}.zone"));
        std::fs::write(&place, &text).unwrap();
        let document = desired(&json!({"zonefile": {"directory": "."}}), "whole-zone", json!([]));
        let document = document.replace("example.org", &name);
        let first = run(directory.path(), &["dump", &name, "--output", "text"], &document);
        if first.code != 0 {
            refused.push(format!("{project}/{file}: {}", first.stderr));
            continue;
        }
        std::fs::write(&place, &first.stdout).unwrap();
        let again = run(directory.path(), &["dump", &name, "--output", "text"], &document);
        assert_eq!(again.expect(0).stdout, first.stdout, "{project}/{file}");
        // The zone declared by its own dump leaves nothing to do.
        let dump = run(directory.path(), &["dump", &name], &document).expect(0).stdout.clone();
        let plan = run(directory.path(), &["plan"], &dump);
        if plan.code == 65 {
            doubtful.push(format!("{project}/{file}: {}", plan.stderr));
        } else {
            let plan = plan.json(0);
            assert_eq!(crate::program::counts(&plan), (0, 0, 0), "{project}/{file}");
        }
        read += 1;
    }
    eprintln!("{read} zone files read; refused: {refused:#?}; not to be declared: {doubtful:#?}");
    assert!(read >= 50, "{read}");
}
