//! `stockpot grow`: from the parsed command to the job, and its reply's exit code.

use std::process::ExitCode;

use stockpot_jobs::grow;

use super::{Session, compat};
use crate::args::GrowArgs;
use crate::failure::Failure;

pub(super) fn run(session: &Session<'_>, args: GrowArgs) -> Result<ExitCode, Failure> {
    let resume = match args.resume {
        Some(id) => Some(id.parse().map_err(|e| {
            Failure::usage(format!("{e}"))
                .with_hint("the folders under `runs` in the library are named by their ids")
        })?),
        None => None,
    };
    let settings = grow::Settings {
        persons: args.names,
        steps: args.steps,
        minutes: args.minutes,
        batch: args.batch.map(|faces| faces as usize),
        precision: args.precision.map(Into::into),
        allow_wear: args.allow_wear,
        accept_faces: args.accept_faces,
        resume,
        more: match args.settings.is_empty() {
            true => serde_json::Value::Null,
            false => args.settings.into_iter().collect(),
        },
    };
    let faces = compat::renderer()?;
    let reply = session.reply(|ctx| grow::run(ctx, &faces, &settings))?;
    if reply.released {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::failed(format!(
        "The new encoder state was not released: {}",
        reply.verdict.reasons.join("; ")
    ))
    .with_hint(format!(
        "nothing was lost, everything is as it was before; {}",
        reply.next
    )))
}
