//! Whole models: agreement with other runtimes, faces in pictures, bad bytes.
//!
//! Tests that need the installed models look for them in `$STOCKPOT_MODELS`, else in the user's
//! data folder, and say why when they cannot run.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "helpers of tests are tests"
)]

mod agreement;
mod bad_bytes;
mod faces;
mod made_model;

use std::path::{Path, PathBuf};

use stockpot_core::image::Rgb8;
use stockpot_faces::{Error, FaceModels};

/// The folder of the installed models.
fn models_dir() -> Option<PathBuf> {
    let set = |name: &str| std::env::var_os(name).map(PathBuf::from);
    let data = || set("XDG_DATA_HOME").or_else(|| set("HOME").map(|h| h.join(".local/share")));
    set("STOCKPOT_MODELS").or_else(|| data().map(|d| d.join("stockpot/models")))
}

/// The installed models; `None`, after saying why, if they are not there.
fn models() -> Option<FaceModels> {
    let dir = models_dir()?;
    match FaceModels::load(&dir) {
        Ok(models) => Some(models),
        Err(error @ Error::ModelMissing { .. }) => {
            eprintln!("skipped: {error} (run `stockpot models install`)");
            None
        }
        Err(error) => panic!("{error}"),
    }
}

fn data(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/data")
        .join(name)
}

fn picture(name: &str) -> Rgb8 {
    stockpot_core::picture::load(&data(name)).unwrap()
}
