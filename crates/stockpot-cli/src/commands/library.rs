//! `stockpot library` and `stockpot export`: from the parsed command to the job, and its reply's exit
//! code.

use std::path::PathBuf;
use std::process::ExitCode;

use stockpot_jobs as jobs;

use super::Session;
use crate::args::{ExportArgs, ExportModelArgs, FormatName, LibraryCommand};
use crate::failure::Failure;

pub(super) fn run(session: &Session<'_>, command: LibraryCommand) -> Result<ExitCode, Failure> {
    match command {
        LibraryCommand::Status { measure } => {
            session.job(|ctx| jobs::library::status(ctx, measure))
        }
        LibraryCommand::Log => session.job(jobs::library::log),
        LibraryCommand::Show { id } => session.job(|ctx| jobs::library::show(ctx, &id)),
        LibraryCommand::Export(args) => {
            use jobs::library::share::{RehearsalFaces, export};
            let faces = match args.with_rehearsal {
                true => RehearsalFaces::GoAlong,
                false => RehearsalFaces::LeftOut,
            };
            let (what, file) = selection(args);
            session.job(|ctx| export(ctx, &what, faces, &file))
        }
        LibraryCommand::Import {
            file,
            rename,
            dry_run,
        } => {
            let settings = jobs::library::share::Import {
                file,
                rename,
                dry_run,
            };
            session.job(|ctx| jobs::library::share::import(ctx, &settings))
        }
        LibraryCommand::Repair => {
            let report = session.reply(jobs::library::care::repair)?;
            if report.sound {
                return Ok(ExitCode::SUCCESS);
            }
            Err(Failure::failed("The library is still not whole")
                .with_hint("`stockpot library verify` lists what is wrong"))
        }
        LibraryCommand::Gc {
            keep,
            days,
            dry_run,
        } => {
            let settings = jobs::library::care::Gc {
                keep_states: keep,
                keep_days: days,
                dry_run,
            };
            session.job(|ctx| jobs::library::care::gc(ctx, &settings))
        }
        LibraryCommand::Promote { name } => session.job(|ctx| jobs::promote::run(ctx, &name)),
        LibraryCommand::Compat(command) => super::compat::run(session, command),
        LibraryCommand::Audit { person } => {
            let report = session.reply(|ctx| jobs::library::audit::run(ctx, person.as_ref()))?;
            if report.sound {
                return Ok(ExitCode::SUCCESS);
            }
            Err(Failure::failed("The log of uses was changed, or parts of it are missing")
                .with_hint("compare it with a copy; `stockpot library repair` puts it aside and begins a new one that says so"))
        }
        LibraryCommand::Verify => {
            let report = session.reply(jobs::library::verify)?;
            if report.sound {
                return Ok(ExitCode::SUCCESS);
            }
            let damaged = report.findings.iter().filter(|f| f.damage).count();
            Err(Failure::failed(format!(
                "The library is damaged in {damaged} places, listed above"
            ))
            .with_hint("bring the files named above back from a copy, or let `stockpot library repair` mend what can be mended; what is not named is whole"))
        }
    }
}

fn selection(args: ExportArgs) -> (jobs::library::share::Selection, PathBuf) {
    use jobs::library::share::Selection;
    let what = match args.person {
        Some(name) => Selection::Person(name),
        None if args.encoder => Selection::Encoder,
        // The parser wants exactly one of the three.
        None => Selection::All,
    };
    (what, args.file)
}

pub(super) fn export_model(
    session: &Session<'_>,
    args: ExportModelArgs,
) -> Result<ExitCode, Failure> {
    use jobs::export::{Format, Settings, run};
    let settings = Settings {
        person: args.name,
        format: match args.format {
            FormatName::Onnx => Format::Onnx,
            FormatName::Dfm => Format::Dfm,
            FormatName::Safetensors => Format::Safetensors,
        },
        file: args.output,
    };
    session.job(|ctx| run(ctx, &settings))
}
