//! Who may import whom. A crate exists because it forbids a dependency; this is where that is checked.

use std::collections::{BTreeMap, BTreeSet};

use cargo_metadata::{DependencyKind, MetadataCommand};

/// What a crate of ours may use of ours, outside of its tests.
const MAY_USE: [(&str, &[&str]); 13] = [
    ("pushroll-domain", &[]),
    ("pushroll-engine", &["pushroll-domain"]),
    ("pushroll-store-embedded", &["pushroll-domain"]),
    ("pushroll-store-postgres", &["pushroll-domain"]),
    ("pushroll-store-suite", &["pushroll-domain"]),
    ("pushroll-providers", &["pushroll-domain"]),
    ("pushroll-webhook", &["pushroll-domain"]),
    ("pushroll-http-api", &["pushroll-domain", "pushroll-engine"]),
    // It shares no code with the clients that are tested against it: it would share their faults.
    ("pushroll-simulator", &[]),
    ("pushroll", EVERYTHING),
    ("pushroll-testkit", EVERYTHING),
    // It starts a database and speaks to it by the database's own programs.
    ("pushroll-testkit-postgres", &[]),
    ("pushroll-bench", EVERYTHING),
];

const EVERYTHING: &[&str] = &["*"];

/// Libraries that only these crates of ours may use, outside of their tests.
const CONFINED: [(&str, &[&str]); 8] = [
    ("rocksdb", &["pushroll-store-embedded"]),
    ("tokio-postgres", &["pushroll-store-postgres"]),
    ("h2", &["pushroll-providers", "pushroll-simulator"]),
    ("p12-keystore", &["pushroll-providers", "pushroll-simulator"]),
    ("hickory-resolver", &["pushroll-webhook"]),
    ("anyhow", &["pushroll", "pushroll-simulator", "pushroll-testkit", "pushroll-bench"]),
    ("figment", &["pushroll"]),
    ("opentelemetry-proto", &["pushroll"]),
];

/// What these crates must not use at all.
const FORBIDDEN: [(&str, &[&str]); 2] = [
    (
        "pushroll-domain",
        &["tokio", "hyper", "http", "axum", "rocksdb", "tokio-postgres", "metrics"],
    ),
    ("pushroll-engine", &["hyper", "http", "axum", "rocksdb", "tokio-postgres", "serde_json"]),
];

/// For each crate of ours what it uses directly, outside of its tests.
fn uses() -> BTreeMap<String, BTreeSet<String>> {
    let manifest = concat!(env!("CARGO_MANIFEST_DIR"), "/../../Cargo.toml");
    let metadata = MetadataCommand::new()
        .manifest_path(manifest)
        .no_deps()
        .other_options(["--offline".to_owned()])
        .exec()
        .unwrap();
    let crates = metadata.packages.into_iter().map(|package| {
        let normal = package.dependencies.into_iter().filter(|d| d.kind == DependencyKind::Normal);
        (package.name.to_string(), normal.map(|d| d.name).collect())
    });
    crates.collect()
}

#[test]
fn a_crate_uses_only_the_crates_of_ours_that_it_may_use() {
    let may_use = BTreeMap::from(MAY_USE);
    for (name, used) in uses() {
        let allowed = may_use.get(name.as_str());
        let allowed = allowed.unwrap_or_else(|| panic!("{name} has no rule: give it one"));
        let ours = used.iter().filter(|used| used.starts_with("pushroll"));
        for used in ours {
            let may = *allowed == EVERYTHING || allowed.contains(&used.as_str());
            assert!(may, "{name} must not use {used}");
        }
    }
}

#[test]
fn heavy_libraries_stay_in_the_crates_that_isolate_them() {
    for (name, used) in uses() {
        for (library, confined_to) in CONFINED {
            let may = !used.contains(library) || confined_to.contains(&name.as_str());
            assert!(may, "{name} must not use {library}");
        }
    }
}

#[test]
fn domain_and_engine_know_neither_http_nor_a_database() {
    let uses = uses();
    for (name, forbidden) in FORBIDDEN {
        for library in forbidden {
            assert!(!uses[name].contains(*library), "{name} must not use {library}");
        }
    }
}
