//! No swapped picture or video gets a name but where it is sealed.
//!
//! The types see to it that a video's writer hands out a part file that removes itself
//! (`stockpot_core::Unsealed`). What they cannot see is somebody who renames or copies that file, or
//! writes pixels by themselves. So every call that puts a file on disk is listed here by file, with
//! what it writes. Start with [`MAY_WRITE`].

/// Calls that make, name or copy a file.
const CALLS: [&str; 10] = [
    "fs::rename(",
    "fs::copy(",
    "fs::hard_link(",
    "fs::write(",
    "File::create(",
    "File::create_new(",
    ".persist(",
    ".create_new(",
    "write_whole(",
    "picture::save(",
];

/// Files and folders with such calls outside of tests, and what they write. None of it is an output
/// of a swap, a preview or the demo, but for the first two.
const MAY_WRITE: &[(&str, &str)] = &[
    ("crates/stockpot-provenance/src/seal.rs", "sealed outputs"),
    (
        "crates/stockpot-core/src/unsealed.rs",
        "part files that remove themselves",
    ),
    (
        "crates/stockpot-provenance/src/identity.rs",
        "keys and certificates",
    ),
    ("crates/stockpot-core/src/picture.rs", "the call itself"),
    ("crates/stockpot-library/src/", "the library's own files"),
    (
        "crates/stockpot-faceset/src/",
        "crops of filmed faces, caches, pages about them",
    ),
    ("crates/stockpot-faces/src/", "the models of others"),
    (
        "crates/stockpot-train/src/",
        "checkpoints, logs and previews of runs, in the library",
    ),
    ("crates/stockpot-jobs/src/legacy.rs", "settings"),
    (
        "crates/stockpot-jobs/src/disclosure.rs",
        "sheets about outputs, without any pixel of them",
    ),
    (
        "crates/stockpot-jobs/src/inspect/page.rs",
        "a page about a file, whose small picture is sealed",
    ),
    (
        "crates/stockpot-jobs/src/research.rs",
        "masks and numbers beside a sealed output, without any pixel of it",
    ),
    (
        "crates/stockpot-jobs/src/train/run_file.rs",
        "settings of runs",
    ),
    (
        "crates/stockpot-jobs/src/compat/wear.rs",
        "measures of wear",
    ),
    (
        "crates/stockpot-jobs/src/export.rs",
        "networks in the formats of others",
    ),
    (
        "crates/stockpot-jobs/src/compat/matrix.rs",
        "a page of measures",
    ),
    (
        "crates/stockpot-jobs/src/grow.rs",
        "a page of measures and their data",
    ),
    (
        "crates/stockpot-eval/src/demo.rs",
        "the demo's page, whose swapped stills are sealed",
    ),
    ("crates/stockpot-eval/src/bench.rs", "measures"),
    (
        "crates/stockpot-eval/src/calibration.rs",
        "rendered faces in a cache",
    ),
    (
        "crates/stockpot-eval/src/sets.rs",
        "rendered clips in a temporary folder",
    ),
    ("crates/stockpot-eval/src/speed.rs", "measures"),
    (
        "crates/stockpot-eval/src/speed/steps.rs",
        "a log that is measured",
    ),
    (
        "crates/stockpot-eval/src/tracks/t3.rs",
        "facesets of made-up people in a temporary folder",
    ),
    (
        "crates/stockpot-eval/src/tracks/t12.rs",
        "copies of rendered files with a changed byte, in a temporary folder",
    ),
    ("crates/stockpot-eval/src/stock.rs", "the shipped stock"),
];

/// Calls of the file `name` that are not listed.
pub(crate) fn faults_in(name: &str, text: &str) -> Vec<String> {
    let program = name.starts_with("crates/") && name.contains("/src/") && name.ends_with(".rs");
    let tests = name.ends_with("/tests.rs") || name.contains("/tests/");
    let listed = MAY_WRITE.iter().any(|(may, _)| name.starts_with(may));
    if !program || tests || listed {
        return Vec::new();
    }
    text.lines()
        .enumerate()
        // Modules of tests stand at the end of a file.
        .take_while(|(_, line)| line.trim() != "#[cfg(test)]")
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .filter(|(_, line)| CALLS.iter().any(|call| line.contains(call)))
        .map(|(number, _)| {
            format!(
                "A file is written where only sealed outputs may be: hand it to \
                 stockpot-provenance, or say in xtask/src/sealed.rs what it is: {name}:{}",
                number + 1
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_names_a_file_is_found() {
        let rename = "//! A.\nfn f() {\n    std::fs::rename(a, b)?;\n}\n";
        let found = faults_in("crates/stockpot-jobs/src/swap.rs", rename);
        assert_eq!(found.len(), 1);
        assert!(
            found[0].ends_with("crates/stockpot-jobs/src/swap.rs:3"),
            "{found:?}"
        );
        for call in CALLS {
            let text = format!("    let x = {call}a);\n");
            assert_eq!(
                faults_in("crates/stockpot-jobs/src/sink.rs", &text).len(),
                1,
                "{call}"
            );
        }
    }

    #[test]
    fn listed_files_tests_and_comments_may() {
        let rename = "std::fs::rename(a, b)\n";
        for name in [
            MAY_WRITE[0].0,
            "crates/stockpot-library/src/disk.rs",
            "crates/stockpot-jobs/tests/sealed.rs",
            "crates/stockpot-jobs/src/train/tests.rs",
            "docs/a.md",
        ] {
            assert_eq!(faults_in(name, rename), [""; 0], "{name}");
        }
        let quiet = format!("// {rename}\n#[cfg(test)]\nmod tests {{ {rename} }}\n");
        assert_eq!(
            faults_in("crates/stockpot-jobs/src/sink.rs", &quiet),
            [""; 0]
        );
    }
}
