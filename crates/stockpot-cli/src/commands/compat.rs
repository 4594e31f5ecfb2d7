//! `stockpot library passport|check|stitch|matrix|refit`: from the parsed command to the job. The
//! calibration faces come from the renderer, which only the measuring half of the program knows.

use std::process::ExitCode;

use stockpot_eval::calibration::{FACES, Renderer};
use stockpot_jobs::compat::{check, matrix, passport, refit, stitch};

use super::Session;
use crate::args::CompatCommand;
use crate::environment;
use crate::failure::Failure;

/// Who draws the calibration faces, and where they are kept.
pub(super) fn renderer() -> Result<Renderer, Failure> {
    let cache_dir = environment::default_cache_dir().ok_or_else(|| {
        Failure::usage("No home folder is known, so there is no place for the calibration faces")
            .with_hint("set HOME or XDG_CACHE_HOME to a folder")
    })?;
    Ok(Renderer {
        cache_dir,
        faces: FACES,
    })
}

pub(super) fn run(session: &Session<'_>, command: CompatCommand) -> Result<ExitCode, Failure> {
    let faces = renderer()?;
    match command {
        CompatCommand::Passport { encoder } => {
            session.job(|ctx| passport::run(ctx, &faces, encoder.as_deref()))
        }
        CompatCommand::Check { decoder, encoder } => {
            let settings = check::Settings { decoder, encoder };
            session.job(|ctx| check::run(ctx, &faces, &settings))
        }
        CompatCommand::Stitch { name, to } => {
            let settings = stitch::Settings { person: name, to };
            session.job(|ctx| stitch::run(ctx, &faces, &settings))
        }
        CompatCommand::Matrix { out } => {
            let settings = matrix::Settings { page: out };
            session.job(|ctx| matrix::run(ctx, &faces, &settings))
        }
        CompatCommand::Refit {
            name,
            steps,
            minutes,
            batch,
            accept_faces,
        } => {
            let settings = refit::Settings {
                person: name,
                steps,
                minutes,
                batch: batch.map(|n| n as usize),
                accept_faces,
            };
            session.job(|ctx| refit::run(ctx, &settings))
        }
    }
}
