//! Which crate may use which. Arrows go one way: doors → jobs → engines → core; and every outside
//! dependency has a home. Start with [`OURS`] and [`HOMES`].
//!
//! Reads `cargo tree`, because it knows what features and targets switch on. Development
//! dependencies are free: they never reach a user.

use std::collections::BTreeMap;
use std::path::Path;

use crate::{cargo, output_of};

/// Our crates, each with those of ours that it may use. A new crate needs a row here and a reason
/// in `ARCHITECTURE.md`.
const OURS: [(&str, &[&str]); 17] = [
    ("stockpot-core", &[]),
    ("stockpot-media", &["stockpot-core"]),
    ("stockpot-kernels", &["stockpot-core"]),
    ("stockpot-faces", &["stockpot-core", "stockpot-kernels"]),
    ("stockpot-faceset", &["stockpot-core"]),
    ("stockpot-model", &["stockpot-core", "stockpot-kernels"]),
    (
        "stockpot-train",
        &["stockpot-core", "stockpot-kernels", "stockpot-model"],
    ),
    ("stockpot-device", &["stockpot-model", "stockpot-train"]),
    ("stockpot-library", &["stockpot-core"]),
    ("stockpot-convert", &["stockpot-core"]),
    ("stockpot-mark", &["stockpot-core"]),
    ("stockpot-provenance", &["stockpot-core"]),
    ("stockpot-synth", &["stockpot-core"]),
    (
        "stockpot-jobs",
        &[
            "stockpot-core",
            "stockpot-media",
            "stockpot-kernels",
            "stockpot-faces",
            "stockpot-faceset",
            "stockpot-model",
            "stockpot-train",
            "stockpot-device",
            "stockpot-library",
            "stockpot-convert",
            "stockpot-provenance",
            "stockpot-mark",
        ],
    ),
    (
        "stockpot-eval",
        &[
            "stockpot-core",
            "stockpot-media",
            "stockpot-kernels",
            "stockpot-faces",
            "stockpot-faceset",
            "stockpot-model",
            "stockpot-train",
            "stockpot-library",
            "stockpot-convert",
            "stockpot-provenance",
            "stockpot-mark",
            "stockpot-synth",
            "stockpot-jobs",
        ],
    ),
    (
        "stockpot-cli",
        &["stockpot-core", "stockpot-jobs", "stockpot-eval"],
    ),
    ("xtask", &[]),
];

/// Outside dependencies that every crate may use: plain vocabulary whose types are no lock-in.
const GENERAL: [&str; 5] = ["rayon", "serde", "serde_json", "tempfile", "thiserror"];

/// Every other outside dependency with the crates that are its home.
const HOMES: [(&str, &[&str]); 21] = [
    ("burn-tensor", &["stockpot-device"]),
    ("blake3", &["stockpot-library", "stockpot-train"]),
    ("c2pa", &["stockpot-provenance"]),
    ("clap", &["stockpot-cli"]),
    ("ctrlc", &["stockpot-cli"]),
    ("ed25519-dalek", &["stockpot-library"]),
    ("ffmpeg-next", &["stockpot-media"]),
    (
        "flate2",
        &["stockpot-faces", "stockpot-model", "stockpot-synth"],
    ),
    ("getrandom", &["stockpot-library"]),
    ("hdf5-pure", &["stockpot-library"]),
    ("image", &["stockpot-core"]),
    ("indicatif", &["stockpot-cli"]),
    ("libc", &["stockpot-kernels"]),
    ("memmap2", &["stockpot-faceset"]),
    ("rcgen", &["stockpot-provenance"]),
    ("rustix", &["stockpot-library"]),
    ("safetensors", &["stockpot-model"]),
    ("sha2", &["stockpot-faces"]),
    ("tar", &["stockpot-faces"]),
    ("ureq", &["stockpot-provenance"]),
    ("zip", &["stockpot-faces", "stockpot-synth"]),
];

/// Checks the whole workspace; the error lists every forbidden arrow.
pub(crate) fn check(root: &Path) -> Result<(), Vec<String>> {
    let arguments = [
        "tree",
        "--workspace",
        "--locked",
        "--all-features",
        "--target=all",
        "--edges=normal,build",
        "--depth=1",
        "--prefix=depth",
        "--no-dedupe",
        "--format= {p}",
    ];
    let tree = output_of(root, &cargo(), &arguments).map_err(|e| vec![e])?;
    let faults = faults_in(&direct_dependencies(&tree));
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

/// Crate → what it uses directly, from lines such as `0 stockpot-cli v0.1.0 (…)` followed by
/// `1 clap v4.6.9`.
fn direct_dependencies(tree: &str) -> BTreeMap<String, Vec<String>> {
    let mut uses: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut current = String::new();
    for line in tree.lines() {
        let mut words = line.split_whitespace();
        let (Some(depth), Some(name)) = (words.next(), words.next()) else {
            continue;
        };
        if depth == "0" {
            current = name.to_owned();
            uses.entry(current.clone()).or_default();
        } else if let Some(list) = uses.get_mut(&current) {
            list.push(name.to_owned());
        }
    }
    uses
}

fn faults_in(uses: &BTreeMap<String, Vec<String>>) -> Vec<String> {
    let mut faults = Vec::new();
    for (name, dependencies) in uses {
        let Some((_, allowed)) = OURS.iter().find(|(row, _)| row == name) else {
            faults.push(format!(
                "Crate `{name}` has no row in the table of xtask/src/deps.rs"
            ));
            continue;
        };
        for dependency in dependencies {
            let dependency = dependency.as_str();
            if OURS.iter().any(|(row, _)| *row == dependency) {
                if !allowed.contains(&dependency) {
                    faults.push(format!(
                        "`{name}` must not use `{dependency}`; of ours it may use: {}",
                        list(allowed)
                    ));
                }
            } else if let Some(fault) = homeless(name, dependency) {
                faults.push(fault);
            }
        }
    }
    for (row, _) in OURS.iter().filter(|(row, _)| !uses.contains_key(*row)) {
        faults.push(format!(
            "The table of xtask/src/deps.rs has a row for `{row}`, which is no crate here"
        ));
    }
    faults
}

fn homeless(name: &str, dependency: &str) -> Option<String> {
    if GENERAL.contains(&dependency) {
        return None;
    }
    match HOMES.iter().find(|(row, _)| *row == dependency) {
        Some((_, homes)) if homes.contains(&name) => None,
        Some((_, homes)) => Some(format!(
            "`{name}` must not use `{dependency}`, whose home is {}",
            list(homes)
        )),
        None => Some(format!(
            "`{name}` uses `{dependency}`, which has no home in xtask/src/deps.rs"
        )),
    }
}

fn list(names: &[&str]) -> String {
    if names.is_empty() {
        "nothing".to_owned()
    } else {
        names.join(", ")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree in which every crate uses what it may, plus `extra` lines under one of them.
    fn tree_with(crate_name: &str, extra: &[&str]) -> String {
        let mut tree = String::new();
        for (name, allowed) in OURS {
            tree += &format!("0 {name} v0.1.0 (somewhere)\n");
            for dependency in allowed {
                tree += &format!("1 {dependency} v0.1.0 (somewhere) (*)\n");
            }
            if name == crate_name {
                for line in extra {
                    tree += &format!("1 {line} v9.9.9\n");
                }
            }
            tree += "\n";
        }
        tree
    }

    fn faults(crate_name: &str, extra: &[&str]) -> Vec<String> {
        faults_in(&direct_dependencies(&tree_with(crate_name, extra)))
    }

    #[test]
    fn what_the_table_allows_passes() {
        assert_eq!(faults("stockpot-media", &["ffmpeg-next", "serde"]), [""; 0]);
        assert_eq!(faults("stockpot-train", &["blake3"]), [""; 0]);
    }

    #[test]
    fn an_arrow_between_engines_is_refused() {
        let found = faults("stockpot-convert", &["stockpot-media"]);
        assert_eq!(
            found,
            ["`stockpot-convert` must not use `stockpot-media`; of ours it may use: stockpot-core"]
        );
        assert_eq!(faults("stockpot-core", &["stockpot-kernels"]).len(), 1);
        assert_eq!(faults("xtask", &["stockpot-core"]).len(), 1);
    }

    #[test]
    fn a_dependency_away_from_home_or_without_one_is_refused() {
        assert_eq!(
            faults("stockpot-jobs", &["image"]),
            ["`stockpot-jobs` must not use `image`, whose home is stockpot-core"]
        );
        assert_eq!(
            faults("stockpot-core", &["left-pad"]),
            ["`stockpot-core` uses `left-pad`, which has no home in xtask/src/deps.rs"]
        );
    }

    #[test]
    fn the_table_and_the_workspace_hold_the_same_crates() {
        let tree = tree_with("", &[]);
        let without = tree.replace("0 stockpot-convert v0.1.0", "0 stockpot-rogue v0.1.0");
        let found = faults_in(&direct_dependencies(&without));
        assert_eq!(found.len(), 2, "{found:?}");
        assert!(found[0].contains("stockpot-rogue"));
        assert!(found[1].contains("stockpot-convert"));
    }
}
