//! `inspect`: what files say of themselves, and whether that can be believed.

use std::path::{Path, PathBuf};

use serde::Serialize;
pub use stockpot_provenance::{
    ActionNote, Basis, Fault, Holder, Known, Report, Swap, SwapNote, Verdict,
};
use stockpot_provenance::{Inspector, Sealer};

use crate::context::Context;
use crate::error::{JobError, io};

/// What to look at.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Files, and folders of pictures or videos.
    pub files: Vec<PathBuf>,
}

/// What was found.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// The worst of all: broken before none before whole.
    pub verdict: Verdict,
    /// One report a file, in the order of the arguments; files of a folder by name.
    pub files: Vec<Report>,
}

/// Inspects.
///
/// # Errors
/// If a file or folder cannot be read, a folder holds nothing that could be sealed, or the user
/// stopped. A file that is nonsense is no error: its report says so.
pub fn run(ctx: &Context, settings: &Settings) -> Result<Reply, JobError> {
    let inspector = Inspector::new(&ctx.identity_dir)?;
    let mut paths = Vec::new();
    for path in &settings.files {
        match path.is_dir() {
            true => paths.extend(outputs_in(path)?),
            false => paths.push(path.clone()),
        }
    }
    ctx.phase("inspect", paths.len() as u64);
    let mut files = Vec::with_capacity(paths.len());
    for path in paths {
        ctx.check_cancel()?;
        files.push(inspector.inspect(&path)?);
        ctx.step(files.len() as u64);
    }
    let any = |wanted| files.iter().any(|r: &Report| r.verdict == wanted);
    let verdict = match (any(Verdict::Broken), any(Verdict::None)) {
        (true, _) => Verdict::Broken,
        (false, true) => Verdict::None,
        (false, false) => Verdict::Whole,
    };
    Ok(Reply { verdict, files })
}

/// The pictures and videos of a folder, by name.
fn outputs_in(folder: &Path) -> Result<Vec<PathBuf>, JobError> {
    let failed = |e| io("read the folder", folder, &e);
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if path.is_file() && Sealer::can_hold(&path) {
            paths.push(path);
        }
    }
    if paths.is_empty() {
        return Err(JobError::failed(format!(
            "There is no picture or video in the folder {}",
            folder.display()
        ))
        .with_hint("name the files themselves to look at others"));
    }
    paths.sort();
    Ok(paths)
}
