//! Looks at every tracked file for what review should not have to find. Start with [`faults_in`].

use std::path::Path;

use crate::{output_of, sealed};

/// Longest Rust file, in lines. Past about 600 one looks for the seam; this is where it must be
/// found.
const MOST_LINES: usize = 700;

/// Beginnings of paths that exist on one machine only. In pieces, so that this file passes itself.
const MACHINE_PATHS: [&str; 2] = [concat!("/", "work/"), concat!("/", "root/")];

/// Hosts of package registries: packages are named by registry, name and version instead.
const REGISTRY_HOSTS: [&str; 8] = [
    concat!("static", ".crates.io"),
    concat!("index", ".crates.io"),
    concat!("pypi", ".org"),
    concat!("pythonhosted", ".org"),
    concat!("registry.npm", "js.org"),
    concat!("npm", "js.com"),
    concat!("deb.", "debian.org"),
    concat!("proxy.", "golang.org"),
];

/// Marks of unfinished work.
const UNFINISHED: [&str; 3] = [
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("XX", "X"),
];

/// Checks all tracked files; the error lists every fault with file and line.
pub(crate) fn check(root: &Path) -> Result<(), Vec<String>> {
    let names = output_of(root, "git", &["ls-files", "-z"]).map_err(|e| vec![e])?;
    let mut faults = Vec::new();
    for name in names.split('\0').filter(|name| !name.is_empty()) {
        let path = root.join(name);
        // A tracked link, or a file deleted but not yet committed, has nothing to read here.
        if !path.is_file() {
            continue;
        }
        match std::fs::read(&path) {
            // Pictures and the like are not text and are not looked into.
            Ok(bytes) => match std::str::from_utf8(&bytes) {
                Ok(text) if !text.contains('\0') => {
                    faults.extend(faults_in(name, text));
                    faults.extend(sealed::faults_in(name, text));
                }
                _ => {}
            },
            Err(e) => faults.push(format!("Cannot read a tracked file: {e}: {name}")),
        }
    }
    if faults.is_empty() {
        Ok(())
    } else {
        Err(faults)
    }
}

/// What is wrong with the file `name`, a path from the root of the repository.
fn faults_in(name: &str, text: &str) -> Vec<String> {
    let mut faults = Vec::new();
    let rust = name.ends_with(".rs");
    if rust {
        let lines = text.lines().count();
        if lines > MOST_LINES {
            faults.push(format!(
                "A file has {lines} lines, {MOST_LINES} are the most: {name}"
            ));
        }
        // A file of tests says by its name what it is for.
        let tests = name.ends_with("/tests.rs") || name.contains("/tests/");
        if name.contains("/src/") && !tests && !text.starts_with("//!") {
            faults.push(format!(
                "A module does not open with `//!` (what it is for, what it must not know, where to start): {name}"
            ));
        }
    }
    // Written by cargo, with hosts in it that are cargo's own.
    if name == "Cargo.lock" {
        return faults;
    }
    for (number, line) in text.lines().enumerate() {
        let at = format!("{name}:{}", number + 1);
        if MACHINE_PATHS.iter().any(|path| has_path(line, path)) {
            faults.push(format!("A path of one machine: {at}"));
        }
        if REGISTRY_HOSTS.iter().any(|host| line.contains(host)) {
            faults.push(format!("A registry's host name: {at}"));
        }
        if rust && UNFINISHED.iter().any(|mark| has_word(line, mark)) {
            faults.push(format!("A mark of unfinished work: {at}"));
        }
    }
    faults
}

/// Whether `path` stands in `line` as the start of an absolute path, not inside a longer one.
fn has_path(line: &str, path: &str) -> bool {
    let inside = |c: char| c.is_alphanumeric() || "._-~})*".contains(c);
    line.match_indices(path)
        .any(|(at, _)| !line[..at].chars().next_back().is_some_and(inside))
}

fn has_word(line: &str, word: &str) -> bool {
    let letter = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        !line[..at].chars().next_back().is_some_and(letter)
            && !line[at + word.len()..].chars().next().is_some_and(letter)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_module_passes() {
        let text = "//! Draws faces.\n\nfn main() {}\n";
        assert_eq!(faults_in("crates/a/src/lib.rs", text), [""; 0]);
        // Tests and examples need no module text.
        for name in ["crates/a/tests/all.rs", "crates/a/src/b/tests.rs"] {
            assert_eq!(faults_in(name, "fn main() {}\n"), [""; 0]);
        }
    }

    #[test]
    fn modules_without_text_and_long_files_are_found() {
        let found = faults_in("crates/a/src/lib.rs", "fn main() {}\n");
        assert_eq!(found.len(), 1);
        let long = format!("//! Long.\n{}", "\n".repeat(MOST_LINES));
        assert_eq!(
            faults_in("crates/a/src/lib.rs", &long),
            ["A file has 701 lines, 700 are the most: crates/a/src/lib.rs"]
        );
        assert_eq!(faults_in("notes.md", &long), [""; 0]);
    }

    #[test]
    fn machine_paths_are_found_where_they_begin_only() {
        let bad = format!("see {}main", MACHINE_PATHS[0]);
        assert_eq!(
            faults_in("a.md", &format!("fine\n{bad}\n")),
            ["A path of one machine: a.md:2"]
        );
        let longer = format!("see src{}main", MACHINE_PATHS[0]);
        assert_eq!(faults_in("a.md", &longer), [""; 0]);
    }

    #[test]
    fn hosts_and_unfinished_marks_are_found() {
        for host in REGISTRY_HOSTS {
            assert_eq!(faults_in("a.toml", &format!("u = \"{host}/x\"")).len(), 1);
            assert_eq!(faults_in("Cargo.lock", host), [""; 0]);
        }
        let text = format!("//! A.\n// {}: later\n", UNFINISHED[0]);
        assert_eq!(faults_in("crates/a/src/b.rs", &text).len(), 1);
        let word = format!("//! A.\n// {}S_LEFT\n", UNFINISHED[0]);
        assert_eq!(faults_in("crates/a/src/b.rs", &word), [""; 0]);
    }
}
