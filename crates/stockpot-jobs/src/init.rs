//! `init`: makes a library.

use std::path::PathBuf;

use serde::Serialize;
use stockpot_library::{InitOptions, Library};

use crate::context::{Context, now_secs};
use crate::error::JobError;

/// Nothing to choose: the family of networks is that of the first training.
#[derive(Debug, Clone, Default)]
pub struct Settings {}

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// The library folder.
    pub library: PathBuf,
    /// What to do next.
    pub next: &'static str,
}

/// Makes an empty library in the context's folder.
///
/// # Errors
/// If the folder is a library already, holds other things, or cannot be written.
pub fn run(ctx: &Context, _settings: &Settings) -> Result<Reply, JobError> {
    let options = InitOptions {
        family: None,
        now_secs: now_secs(),
    };
    let library = Library::init(&ctx.library_dir, &options)?;
    Ok(Reply {
        library: library.root().into(),
        next: "stockpot person add NAME --consent FILE|self|synthetic",
    })
}
