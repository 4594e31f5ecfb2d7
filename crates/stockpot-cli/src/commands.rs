//! From a parsed command to a job's settings, and from its reply to what is printed.
//!
//! Start with [`run`]; there is one arm per command and no decision about the work itself.

mod compat;
mod grow;
mod inspect;
mod library;
mod person;

use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use serde::Serialize;
use stockpot_core::CancelToken;
use stockpot_eval::bench::{self, Effort};
use stockpot_eval::{clips, demo, race, speed, stock, video};
use stockpot_jobs::context::OwnCertificate;
use stockpot_jobs::{self as jobs, Context};

use crate::args::{
    BatchSize, BenchArgs, Cli, Colours, Command, DemoArgs, EvalArgs, EvalCommand, ExtractArgs,
    FaceOrder, FacesCommand, Flatten, Freeze, LegacyArgs, LegacyCommand, ModelsCommand, SpeedArgs,
    Start, StockCommand, SwapArgs, TrainArgs, Until,
};
use crate::console::Console;
use crate::environment;
use crate::failure::Failure;
use crate::interrupt;
use crate::progress::Reporter;

/// Does what was typed, prints the result and says how the program ends.
pub(crate) fn run(cli: Cli, console: &Console) -> Result<ExitCode, Failure> {
    let reporter = Arc::new(Reporter::new(console.clone()));
    let session = Session {
        ctx: context(&cli, reporter.clone(), console)?,
        console,
        reporter,
    };
    match cli.command {
        Command::Init => session.job(|ctx| jobs::init::run(ctx, &jobs::init::Settings {})),
        Command::Person(command) => person::run(&session, command),
        Command::Extract(args) => extract(&session, args),
        Command::Faces(command) => faces(&session, command),
        Command::Train(args) => train(&session, args),
        Command::Grow(args) => grow::run(&session, args),
        Command::Swap(args) => swap(&session, args),
        Command::Inspect(args) => inspect::run(&session, args),
        Command::Eval(args) => eval(&session, args),
        Command::Bench(args) => bench_speed(&session, args),
        Command::Demo(args) => demo(&session, args),
        Command::Stock(command) => make_stock(&session, command),
        Command::Library(command) => library::run(&session, command),
        Command::Export(args) => library::export_model(&session, args),
        Command::Legacy(command) => legacy(&session, command),
        Command::Models(command) => models(&session, command),
        Command::Doctor => session.job(|ctx| Ok(jobs::doctor::run(ctx))),
    }
}

/// What every command works with.
struct Session<'a> {
    ctx: Context,
    console: &'a Console,
    reporter: Arc<Reporter>,
}

impl Session<'_> {
    /// Runs a job that is done once it has replied, and prints the reply.
    fn job<R: Serialize>(
        &self,
        job: impl FnOnce(&Context) -> Result<R, Failure>,
    ) -> Result<ExitCode, Failure> {
        self.reply(job).map(|_| ExitCode::SUCCESS)
    }

    /// Runs a measurement, whose reply is printed as a table.
    fn measured(
        &self,
        job: impl FnOnce(&Context) -> Result<bench::Reply, Failure>,
    ) -> Result<bench::Reply, Failure> {
        let reply = job(&self.ctx);
        self.reporter.finish();
        reply
    }

    /// Runs a job, prints its reply and gives it back.
    fn reply<R: Serialize>(
        &self,
        job: impl FnOnce(&Context) -> Result<R, Failure>,
    ) -> Result<R, Failure> {
        let reply = job(&self.ctx);
        self.reporter.finish();
        let reply = reply?;
        self.console.result(&reply)?;
        Ok(reply)
    }
}

fn context(cli: &Cli, progress: Arc<Reporter>, console: &Console) -> Result<Context, Failure> {
    let models_dir = match &cli.global.models {
        Some(dir) => dir.clone(),
        None => environment::default_models_dir().ok_or_else(|| {
            Failure::usage("No home folder is known, so there is no place for the face models")
                .with_hint(format!("say `--models DIR` or set {}", environment::MODELS))
        })?,
    };
    let identity_dir = match &cli.global.identity {
        Some(dir) => dir.clone(),
        None => environment::default_identity_dir().ok_or_else(|| {
            Failure::usage("No home folder is known, so there is no place for the signing key")
                .with_hint(format!(
                    "say `--identity DIR` or set {}",
                    environment::IDENTITY
                ))
        })?,
    };
    let own = (&cli.global.certificate, &cli.global.key);
    let own_certificate = match own {
        (Some(certificate), Some(key)) => Some(OwnCertificate {
            certificate: certificate.clone(),
            key: key.clone(),
        }),
        _ => None,
    };
    let worker_exe = std::env::current_exe().map_err(|e| {
        Failure::failed(format!("The path of this program itself is not known: {e}"))
    })?;
    let cancel = CancelToken::new();
    interrupt::cancel_on_interrupt(&cancel, console);
    Ok(Context {
        library_dir: cli.global.library.clone(),
        models_dir,
        identity_dir,
        own_certificate,
        worker_exe,
        progress,
        cancel,
        seed: cli.global.seed,
        project: cli.global.project.clone(),
    })
}

fn extract(session: &Session<'_>, args: ExtractArgs) -> Result<ExitCode, Failure> {
    let settings = jobs::extract::Settings {
        inputs: args.inputs,
        person: args.person,
        like: args.like,
        max_side: args.max_side,
        every: args.every,
    };
    session.job(|ctx| jobs::extract::run(ctx, &settings))
}

/// What is frozen, by the training's own names.
fn frozen(what: &[Freeze]) -> Vec<(String, serde_json::Value)> {
    let persons: Vec<&str> = what
        .iter()
        .filter_map(|what| match what {
            Freeze::Person(name) => Some(name.as_str()),
            Freeze::Encoder => None,
        })
        .collect();
    let mut out = Vec::new();
    if what.contains(&Freeze::Encoder) {
        out.push(("freeze_encoder".to_owned(), true.into()));
    }
    if !persons.is_empty() {
        out.push(("freeze_persons".to_owned(), persons.into()));
    }
    out
}

fn train(session: &Session<'_>, args: TrainArgs) -> Result<ExitCode, Failure> {
    let resume = match args.resume {
        Some(id) => Some(id.parse().map_err(|e| {
            Failure::usage(format!("{e}"))
                .with_hint("the folders under `runs` in the library are named by their ids")
        })?),
        None => None,
    };
    let frozen = frozen(&args.freeze);
    let twice = |(name, _): &&(String, _)| args.settings.iter().any(|(other, _)| other == name);
    if let Some((name, _)) = frozen.iter().find(twice) {
        return Err(Failure::usage("What is frozen is said twice")
            .with_hint(format!("leave one of --freeze and --set {name} out")));
    }
    let settings = jobs::train::Settings {
        persons: args.names,
        steps: args.steps,
        minutes: args.minutes,
        until_plateau: args.until == Some(Until::Plateau),
        preset: args.preset,
        area: args.area.map(Into::into),
        batch: match args.batch {
            Some(BatchSize::Faces(faces)) => Some(faces),
            Some(BatchSize::Auto) | None => None,
        },
        batch_auto: args.batch == Some(BatchSize::Auto),
        precision: args.precision.map(Into::into),
        device: args.device.parse()?,
        form: args.person.into(),
        from_scratch: args.from == Start::Scratch,
        accept_faces: args.accept_faces,
        resume,
        more: args.settings.into_iter().chain(frozen).collect(),
    };
    let renderer = compat::renderer();
    let reply = session.reply(|ctx| {
        let reply = jobs::train::run(ctx, &settings)?;
        if let Ok(faces) = &renderer {
            jobs::compat::passport::after_training(ctx, faces, &reply);
        }
        Ok(reply)
    })?;
    // Stopped by the user, and all the same a result: what was learned is in the library.
    if reply.stopped_by == "cancelled" {
        return Ok(ExitCode::from(interrupt::STOPPED));
    }
    Ok(ExitCode::SUCCESS)
}

fn faces(session: &Session<'_>, command: FacesCommand) -> Result<ExitCode, Failure> {
    match command {
        FacesCommand::List { name } => {
            session.job(|ctx| jobs::faces::list(ctx, &name, jobs::faces::SortKey::Time))
        }
        FacesCommand::Sort { name, by } => {
            let order = match by {
                FaceOrder::Time => jobs::faces::SortKey::Time,
                FaceOrder::Similarity => jobs::faces::SortKey::Similarity,
                FaceOrder::Sharpness => jobs::faces::SortKey::Sharpness,
                FaceOrder::Yaw => jobs::faces::SortKey::Yaw,
                FaceOrder::Pitch => jobs::faces::SortKey::Pitch,
            };
            session.job(|ctx| jobs::faces::list(ctx, &name, order))
        }
        FacesCommand::Prune {
            name,
            duplicates,
            blur_below,
            far_from_median,
            dry_run,
        } => {
            let settings = jobs::faces::Prune {
                person: name,
                blur_below,
                far_from_median,
                duplicates,
                dry_run,
            };
            session.job(|ctx| jobs::faces::prune(ctx, &settings))
        }
        FacesCommand::Report { name, output } => {
            session.job(|ctx| jobs::faces::report(ctx, &name, output))
        }
    }
}

fn swap(session: &Session<'_>, args: SwapArgs) -> Result<ExitCode, Failure> {
    let wanted = match (args.from, args.face) {
        (Some(person), _) => jobs::swap::Wanted::Person(person),
        (None, Some(nth)) => jobs::swap::Wanted::Nth(nth),
        (None, None) => jobs::swap::Wanted::Main,
    };
    let usual = jobs::swap::ConvertSettings::default();
    let convert = jobs::swap::ConvertSettings {
        mask: args.mask.into(),
        colour_match: args.colour_match.into(),
        feather_percent: args.feather.unwrap_or(usual.feather_percent),
        colour_strength: args.colour.unwrap_or(usual.colour_strength),
        sharpen: args.sharpen.unwrap_or(usual.sharpen),
        ..usual
    };
    let settings = jobs::swap::Settings {
        input: args.input,
        to: args.to,
        wanted,
        output: args.output,
        preview: args.preview,
        frames: args.frames.map(|range| (range.first, range.last)),
        crf: args.crf,
        encoder: args.encoder,
        precision: args.precision.into(),
        convert,
        openness: args.openness.settings(),
    };
    session.job(|ctx| jobs::swap::run(ctx, &settings))
}

fn demo(session: &Session<'_>, args: DemoArgs) -> Result<ExitCode, Failure> {
    let settings = demo::Settings {
        out: args.out,
        minutes: args.minutes,
        tiny: args.tiny,
        assets: args.assets,
        command: environment::command_line(),
    };
    session.job(|ctx| demo::run(ctx, &settings))
}

fn eval(session: &Session<'_>, args: EvalArgs) -> Result<ExitCode, Failure> {
    let reply = match args.command {
        Some(EvalCommand::Video {
            result,
            truth,
            source,
        }) => {
            let settings = video::Settings {
                result,
                truth,
                source,
            };
            return session.job(|ctx| video::run(ctx, &settings));
        }
        Some(EvalCommand::Clips {
            clips,
            consent,
            bench,
        }) => {
            let settings = clips::Settings {
                clips,
                consent: consent.into(),
                bench: bench_settings(bench, 1, Vec::new(), None),
            };
            session.measured(|ctx| clips::run(ctx, &settings))?
        }
        Some(EvalCommand::Race {
            clips,
            consent,
            minutes,
            only,
            bench,
        }) => {
            let settings = race::Settings {
                minutes,
                entrants: only,
                clips,
                consent: consent.map_or(stockpot_jobs::person::ConsentFrom::Synthetic, Into::into),
                bench: bench_settings(bench, 1, Vec::new(), None),
            };
            session.measured(|ctx| race::run(ctx, &settings))?
        }
        None => {
            let settings = bench_settings(args.bench, args.seeds, args.tracks, args.assets);
            session.measured(|ctx| bench::run(ctx, &settings))?
        }
    };
    session.console.result_as(&reply, &reply.text())?;
    if reply.failed.is_empty() {
        return Ok(ExitCode::SUCCESS);
    }
    Err(Failure::failed(format!(
        "Not measured: {}; their lines say why",
        reply.failed.join(", ")
    )))
}

fn bench_speed(session: &Session<'_>, args: SpeedArgs) -> Result<ExitCode, Failure> {
    let settings = speed::Settings {
        quick: args.quick,
        tiny: args.tiny,
        out: args.output,
        command: environment::command_line(),
    };
    let reply = speed::run(&session.ctx, &settings);
    session.reporter.finish();
    let reply = reply?;
    session.console.result_as(&reply, &reply.text())?;
    Ok(ExitCode::SUCCESS)
}

fn make_stock(session: &Session<'_>, command: StockCommand) -> Result<ExitCode, Failure> {
    let StockCommand::Make {
        preset,
        people,
        steps,
        batch,
        from,
        assets,
        work,
        output,
    } = command;
    session.job(|ctx| {
        let settings = stock::Settings {
            preset,
            people: people as usize,
            steps,
            batch: batch as usize,
            from,
            assets,
            work,
            out: output,
        };
        stock::make(ctx, &settings)
    })
}

fn bench_settings(
    args: BenchArgs,
    seeds: u32,
    tracks: Vec<String>,
    assets: Option<PathBuf>,
) -> bench::Settings {
    bench::Settings {
        effort: match (args.tiny, args.quick) {
            (true, _) => Effort::Tiny,
            (_, true) => Effort::Quick,
            _ => Effort::Full,
        },
        seeds,
        tracks,
        assets,
        out: args.output,
        command: environment::command_line(),
    }
}

fn legacy(session: &Session<'_>, command: LegacyCommand) -> Result<ExitCode, Failure> {
    let settings = |args: LegacyArgs| jobs::legacy::Settings {
        dir: args.dir,
        a: args.a,
        b: args.b,
    };
    match command {
        LegacyCommand::Import(args) => {
            let corrections = jobs::legacy::Corrections {
                rgb: args.colours == Colours::Rgb,
                channels_first: args.flatten == Flatten::ChannelsFirst,
                half_pixel: args.half_pixel,
            };
            let renderer = compat::renderer();
            let faces = match &renderer {
                Ok(faces) => Ok(faces as &dyn jobs::compat::CalibrationSource),
                Err(failure) => Err(failure.to_string()),
            };
            let folder = settings(args.folder);
            session.job(|ctx| jobs::legacy::import(ctx, faces, &folder, corrections))
        }
        LegacyCommand::Export(args) => {
            session.job(|ctx| jobs::legacy::export(ctx, &settings(args)))
        }
    }
}

fn models(session: &Session<'_>, command: ModelsCommand) -> Result<ExitCode, Failure> {
    match command {
        ModelsCommand::Install { files } => {
            let settings = jobs::models::Install { files };
            session.job(|ctx| jobs::models::install(ctx, &settings))
        }
        ModelsCommand::List => session.job(jobs::models::list),
        ModelsCommand::Verify => {
            let models = session.reply(jobs::models::list)?;
            let good = |model: &&jobs::models::ModelReply| model.state == jobs::models::INSTALLED;
            let bad = models.len() - models.iter().filter(good).count();
            if bad == 0 {
                return Ok(ExitCode::SUCCESS);
            }
            let message = format!(
                "Of {} face models {bad} are missing or damaged",
                models.len()
            );
            Err(Failure::failed(message).with_hint("`stockpot models install`"))
        }
    }
}
