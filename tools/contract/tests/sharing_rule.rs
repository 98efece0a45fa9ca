//! What may depend on what (ARCHITECTURE.md), read from `cargo metadata` and the tree.

#![allow(clippy::unwrap_used, clippy::expect_used, missing_docs)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};

const TOOLS: [&str; 7] =
    ["backup-plan", "cfg-render", "dns-sync", "health-probe", "host-provision", "pg-ensure", "secret-encrypt"];

/// Crates of one job and the tools whose job it is.
const DOMAIN: [(&str, &[&str]); 7] = [
    ("age", &["secret-encrypt"]),
    ("ssh2", &["host-provision"]),
    ("rcgen", &["cfg-render"]),
    ("tokio-postgres", &["pg-ensure"]),
    ("walkdir", &["backup-plan"]),
    ("hickory-resolver", &["dns-sync", "health-probe"]),
    ("hickory-proto", &["dns-sync", "health-probe"]),
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().unwrap()
}

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).no_deps().exec().unwrap()
}

/// What each crate of the workspace needs to be built (not for its tests).
fn dependencies() -> BTreeMap<String, BTreeSet<String>> {
    let packages = metadata().packages;
    let of = |package: &cargo_metadata::Package| {
        let normal = package.dependencies.iter().filter(|dependency| dependency.kind != DependencyKind::Development);
        normal.map(|dependency| dependency.name.clone()).collect()
    };
    packages.iter().map(|package| (package.name.to_string(), of(package))).collect()
}

#[test]
fn no_tool_depends_on_a_tool() {
    for (name, needs) in dependencies() {
        let tools: Vec<_> = needs.iter().filter(|need| TOOLS.contains(&need.as_str())).collect();
        assert!(tools.is_empty(), "{name} depends on {tools:?}");
    }
}

#[test]
fn the_two_shared_crates_stand_on_little() {
    let needs = dependencies();
    let names = |text: &str| text.split(' ').map(String::from).collect::<BTreeSet<_>>();
    assert_eq!(needs["contract"], names("schemars serde serde_json"));
    assert!(needs["cli"].contains("contract"));
    for tool in TOOLS {
        assert!(needs[tool].contains("contract") && needs[tool].contains("cli"), "{tool} stands on contract and cli");
    }
}

#[test]
fn a_domain_crate_has_one_home() {
    for (name, needs) in dependencies() {
        for (domain, homes) in DOMAIN {
            assert!(
                !needs.contains(domain) || homes.contains(&name.as_str()),
                "{name} depends on {domain}, which belongs to {homes:?}"
            );
        }
    }
}

#[test]
fn no_version_stands_outside_the_workspace() {
    for package in metadata().packages {
        let text = std::fs::read_to_string(&package.manifest_path).unwrap();
        let own = text.lines().filter(|line| line.contains("version = \"") || line.contains("= \"^")).count();
        assert_eq!(own, 0, "{} gives a version of its own", package.manifest_path);
    }
}

fn files(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn doors_are_small_and_files_hold_one_noun() {
    let mut found = Vec::new();
    for tool in TOOLS.iter().chain(&["contract", "cli"]) {
        files(&root().join("tools").join(tool).join("src"), &mut found);
    }
    for path in found.iter().filter(|path| path.extension().is_some_and(|extension| extension == "rs")) {
        let lines = std::fs::read_to_string(path).unwrap().lines().count();
        let stem = path.file_stem().unwrap().to_str().unwrap();
        let limit = if stem == "main" { 15 } else { 600 };
        assert!(lines <= limit, "{} has {lines} lines: split it by noun", path.display());
        assert!(
            !["util", "utils", "common", "core", "helpers", "misc"].contains(&stem),
            "{} is named after nothing",
            path.display()
        );
    }
}
