//! Chores of the repository. `cargo xtask ci` runs all that CI runs, cheapest first;
//! [`deps`] guards which crate may use which, [`tidy`] looks at every tracked file, [`sealed`] at who
//! may name one on a user's disk.
//!
//! Knows nothing of our own crates: it must build in seconds and work while they do not compile.

mod ci;
mod deps;
mod sealed;
mod tidy;

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const HELP: &str = "\
Usage: cargo xtask COMMAND

  check-deps   which crate may use which: the table in xtask/src/deps.rs
  tidy         module docs, file lengths, machine paths and registry hosts in tracked files
  ci           all that CI runs, cheapest first";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let command = match arguments.as_slice() {
        [one] => one.as_str(),
        _ => "",
    };
    let root = root();
    let done = match command {
        "check-deps" => deps::check(&root).map_err(report),
        "tidy" => tidy::check(&root).map_err(report),
        "ci" => ci::run(&root).map_err(|message| report(vec![message])),
        "help" | "--help" | "-h" => {
            println!("{HELP}");
            Ok(())
        }
        _ => {
            eprintln!("{HELP}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(()) => ExitCode::FAILURE,
    }
}

fn report(faults: Vec<String>) {
    for fault in &faults {
        eprintln!("error: {fault}");
    }
}

/// The top of the working tree: the folder above this package.
fn root() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// What a program printed, or why it could not be run.
fn output_of(root: &Path, program: &str, arguments: &[&str]) -> Result<String, String> {
    let line = || format!("`{program} {}`", arguments.join(" "));
    let output = Command::new(program)
        .args(arguments)
        .current_dir(root)
        .output()
        .map_err(|e| format!("{} could not be started: {e}", line()))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        return Err(format!("{} failed: {}", line(), said.trim()));
    }
    String::from_utf8(output.stdout).map_err(|_| format!("{} printed no UTF-8", line()))
}

/// The cargo that runs us, so that toolchain overrides hold.
fn cargo() -> String {
    std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned())
}
