//! What CI runs, in the order of cost. Start with [`STEPS`].

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use crate::{cargo, deps, tidy};

/// Name and cargo arguments of each step. The build step is apart from the test step so that the
/// face models can be installed by the freshly built program before the tests that want them.
const STEPS: [(&str, &[&str]); 7] = [
    ("formatting", &["fmt", "--all", "--check"]),
    (
        "lints",
        &[
            "clippy",
            "--workspace",
            "--all-targets",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
    ),
    (
        "building the tests",
        &["test", "--workspace", "--locked", "--no-run"],
    ),
    (
        "face models",
        &[
            "run",
            "--quiet",
            "--locked",
            "--package",
            "stockpot-cli",
            "--",
            "models",
            "install",
        ],
    ),
    ("tests", &["test", "--workspace", "--locked"]),
    // What a card would run, on the CPU: `docs/decisions/0015-cards-through-burn.md`.
    (
        "lints of the device crate",
        &[
            "clippy",
            "--package=stockpot-device",
            "--all-targets",
            "--features=flex",
            "--locked",
            "--",
            "-D",
            "warnings",
        ],
    ),
    (
        "tests of the device crate",
        &[
            "test",
            "--package=stockpot-device",
            "--features=flex",
            "--locked",
        ],
    ),
];

/// Runs everything, stopping at the first step that fails.
pub(crate) fn run(root: &Path) -> Result<(), String> {
    timed("directions", || {
        deps::check(root).map_err(|f| f.join("\nerror: "))
    })?;
    timed("tidiness", || {
        tidy::check(root).map_err(|f| f.join("\nerror: "))
    })?;
    for (name, arguments) in STEPS {
        timed(name, || {
            let status = Command::new(cargo())
                .args(arguments)
                .current_dir(root)
                .status()
                .map_err(|e| format!("cargo could not be started: {e}"))?;
            if status.success() {
                Ok(())
            } else {
                Err(format!("`cargo {}` failed", arguments.join(" ")))
            }
        })?;
    }
    Ok(())
}

fn timed(name: &str, step: impl FnOnce() -> Result<(), String>) -> Result<(), String> {
    eprintln!("ci: {name}");
    let start = Instant::now();
    step()?;
    eprintln!("ci: {name}: {:.1} s", start.elapsed().as_secs_f64());
    Ok(())
}
