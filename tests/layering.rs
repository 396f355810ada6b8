//! The engine's layers point down (STYLE 2): words ← mechanisms ← decisions ← assembly, and no cycles.

use crate::support::root;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

/// Lowest first. A module may use those of lower layers; within a layer only where [`WITHIN`] says.
const LAYERS: [&[&str]; 4] = [
    &["clock", "condition", "mail", "metrics", "secret"],
    &["render", "resolve", "retry", "sandbox", "shaping", "sign", "smtp", "store", "sts", "warmup"],
    &["gate", "route", "settle", "standing", "probe", "throttle", "tlsrpt", "queue"],
    &["control", "plan", "report", "run"],
];

/// Words build on words; policies are found by the DNS; rules look at MX hosts; the embedded MX speaks of
/// rates as rules do; a shard routes and settles; a run is planned.
const WITHIN: [(&str, &str); 18] = [
    ("mail", "clock"),
    ("condition", "clock"),
    ("run", "control"),
    ("metrics", "condition"),
    ("metrics", "mail"),
    ("secret", "mail"),
    ("sandbox", "shaping"),
    ("smtp", "shaping"),
    ("shaping", "resolve"),
    ("sts", "resolve"),
    ("probe", "route"),
    ("probe", "standing"),
    ("queue", "route"),
    ("queue", "settle"),
    ("queue", "standing"),
    ("queue", "throttle"),
    ("queue", "tlsrpt"),
    ("run", "plan"),
];

fn uses(folder: &Path, module: &str, found: &mut BTreeMap<String, BTreeSet<String>>) {
    let mut files = vec![folder.join(format!("{module}.rs")), folder.join(module)];
    while let Some(path) = files.pop() {
        if path.is_dir() {
            files.extend(std::fs::read_dir(path).expect("a folder").map(|entry| entry.expect("an entry").path()));
        } else if let Ok(text) = std::fs::read_to_string(&path) {
            let code = text.split("#[cfg(test)]").next().unwrap_or_default();
            for name in code.split("crate::").skip(1) {
                let name: String = name.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
                if name != module && !name.is_empty() {
                    found.entry(module.to_owned()).or_default().insert(name);
                }
            }
        }
    }
}

#[test]
fn layers_point_down() {
    let source = root().join("engine/src");
    let listed: BTreeSet<_> = LAYERS.iter().flat_map(|layer| layer.iter().copied()).collect();
    let lib = std::fs::read_to_string(source.join("lib.rs")).expect("there");
    let modules: Vec<_> = lib.lines().filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';')).collect();
    assert_eq!(modules.iter().copied().collect::<BTreeSet<_>>(), listed, "lib.rs and the layers differ");
    let layer = |module: &str| LAYERS.iter().position(|layer| layer.contains(&module));
    let mut found = BTreeMap::new();
    for module in &modules {
        uses(&source, module, &mut found);
    }
    assert!(found.len() > 8, "hardly anything uses anything: is the search broken?");
    for (module, used) in &found {
        for name in used {
            let down = layer(module) > layer(name);
            let within = layer(module) == layer(name) && WITHIN.contains(&(module.as_str(), name.as_str()));
            assert!(layer(name).is_some() && (down || within), "{module} must not use {name}");
        }
    }
}

#[test]
fn the_loader_knows_nothing_of_the_engine() {
    let manifest = std::fs::read_to_string(root().join("loader/Cargo.toml")).expect("there");
    assert!(!manifest.contains("engine"));
}
