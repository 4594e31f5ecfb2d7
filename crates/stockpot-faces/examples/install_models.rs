//! Installs the face models into a folder: `install_models DIR [PACKAGE…]`.
//!
//! What `stockpot models install` does, for those who work on this crate alone.

use std::path::PathBuf;

use stockpot_core::event::{CancelToken, Progress};
use stockpot_faces::models::{InstallOptions, install, verify};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1).map(PathBuf::from);
    let dir = arguments
        .next()
        .ok_or("usage: install_models DIR [PACKAGE…]")?;
    let options = InstallOptions {
        from_files: arguments.collect(),
        again: false,
    };
    let progress = |p: Progress| eprintln!("{p:?}");
    install(&dir, &options, &progress, &CancelToken::new())?;
    for (file, path, state) in verify(&dir)? {
        println!(
            "{state:?} {} ({}): {}",
            file.name,
            file.package,
            path.display()
        );
    }
    Ok(())
}
