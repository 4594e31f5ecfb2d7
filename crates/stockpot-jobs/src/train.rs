//! `train`: trains the shared encoder and the decoders of some persons, and commits the result.
//!
//! A run starts from what the library has: its encoder and these persons' decoders as they are; a
//! person without a decoder starts from the best measured match. It ends by committing new states,
//! also when the user stops it; a run that was killed leaves checkpoints to go on from.
//! In reading order: [`settings`](mod@settings) merges what was asked for, [`start`](mod@start) finds
//! the starting states, [`data`] the faces, [`commit`] stores the result.

pub(crate) mod commit;
mod data;
mod device;
mod feed;
mod freeze;
mod identity;
mod likeness;
mod lite;
mod outlook;
mod reuse;
pub(crate) mod run_file;
mod settings;
mod size;
mod start;

use std::collections::BTreeMap;
use std::collections::btree_map::Entry;
use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use stockpot_core::{Area, PersonName};
use stockpot_faceset::SamplerSettings;
use stockpot_library::{Consented, DecoderForm, Library, RunId, Use};
use stockpot_model::{Family, Network};
use stockpot_train::checkpoint::latest_good;
use stockpot_train::run::Probe;
pub use stockpot_train::settings::Precision;
use stockpot_train::{
    RunIo, RunOutcome, StoppedBy, TrainSettings, TrainSpec, Trainer, run as run_training,
};

use crate::consent::erase_expired;
use crate::context::{Context, now_secs};
use crate::decoder;
use crate::error::JobError;
use crate::grow::{Growth, keep};
use crate::space;
pub use device::Device;
pub use likeness::Likeness;
pub use lite::Form;
pub use reuse::Other;
use run_file::RunFile;

/// Where the trainer keeps checkpoints inside a run's folder.
const CHECKPOINTS: &str = "checkpoints";

/// What to train.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Who; empty when a run is resumed.
    pub persons: Vec<PersonName>,
    /// Stop after so many steps in all.
    pub steps: Option<u64>,
    /// Stop after so many minutes of training in all. Default 30 if nothing else ends the run.
    pub minutes: Option<f64>,
    /// Stop at a plateau; with a limit above, at what comes first.
    pub until_plateau: bool,
    /// The network; that of the library, or `comb-s-96` in a new one.
    pub preset: Option<String>,
    /// The part of the face; that of the library, or the whole face in a new one.
    pub area: Option<Area>,
    /// Faces of each person in a step. Default 16; a resumed run keeps its own.
    pub batch: Option<usize>,
    /// Find the largest batch that fits the memory and is not slower, instead of `batch`.
    pub batch_auto: bool,
    /// Number format of the products. Default: `auto`, or what the resumed run has.
    pub precision: Option<Precision>,
    /// Where steps are made.
    pub device: Device,
    /// How much of their decoders is the persons' own.
    pub form: Form,
    /// Fresh weights instead of the library's.
    pub from_scratch: bool,
    /// Train although faces look like somebody else's.
    pub accept_faces: bool,
    /// A run to go on with.
    pub resume: Option<RunId>,
    /// More settings by name, as `TrainSettings` has them; an object or null. What has a field of
    /// its own above and is given there and here is refused unless both say the same; so are `seed`
    /// and `batch` of a resumed run.
    pub more: serde_json::Value,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// The run.
    pub run: String,
    /// Steps made in all.
    pub steps: u64,
    /// Faces of each person in a step.
    pub batch: usize,
    /// Why it ended: `steps`, `minutes`, `plateau` or `cancelled`.
    pub stopped_by: &'static str,
    /// Minutes of training in all.
    pub minutes: f64,
    /// One entry per person.
    pub persons: Vec<PersonReply>,
    /// The committed encoder state.
    pub encoder: String,
    /// Where the time went, in percent.
    pub shares: Vec<Share>,
    /// What more steps would bring, in words.
    pub outlook: Vec<String>,
    /// What would make the next run quicker.
    pub advice: Vec<String>,
    /// Memory that the run was forecast to take, in bytes.
    pub memory_forecast_bytes: u64,
    /// The most that this program has taken, in bytes, where the system tells: with the prepared
    /// faces, and whatever else it did before.
    pub memory_peak_bytes: Option<u64>,
    /// Metrics, previews and checkpoints.
    pub folder: PathBuf,
    /// Whom held-out faces look like when they are drawn as somebody else.
    pub likeness: Vec<Likeness>,
    /// Persons whose decoders belong to an earlier encoder and still use that, and how they would do
    /// under this one.
    pub others: Vec<Other>,
    /// Which parts can be used again for what, in words.
    pub reuse: Vec<String>,
    /// What to do next.
    pub next: String,
}

/// One person of a run.
#[derive(Debug, Clone, Serialize)]
pub struct PersonReply {
    /// Who.
    pub person: PersonName,
    /// What the decoder started from.
    pub started_from: String,
    /// Similarity of held-out faces and their reconstruction, 0 to 1.
    pub held_out_ssim: Option<f64>,
    /// Mean difference of held-out faces and their reconstruction, 0 to 1.
    pub held_out_mae: Option<f64>,
    /// The committed decoder state.
    pub decoder: String,
    /// `full` or `lite`.
    pub form: String,
}

/// A share of the run's time.
#[derive(Debug, Clone, Serialize)]
pub struct Share {
    /// On what.
    pub part: &'static str,
    /// How much.
    pub percent: f64,
}

/// Trains and commits.
///
/// # Errors
/// If a person is unknown, without consent or without faces; if settings do not fit the library;
/// if the run fails (its checkpoints stay); if somebody else committed meanwhile (the states stay).
pub fn run(ctx: &Context, settings: &Settings) -> Result<Reply, JobError> {
    let library = ctx.library()?;
    erase_expired(ctx, &library)?;
    let mut begun = match &settings.resume {
        Some(run) => resume(ctx, &library, run, settings, None)?,
        None => begin(ctx, &library, settings, None)?,
    };
    let (outcome, likeness) = learn(ctx, &library, &mut begun)?;
    let Begun {
        mut file,
        trainer,
        consents,
        ..
    } = begun;
    let folder = library.run_dir(&file.run);
    if outcome.steps == file.committed_at_step {
        return Err(nothing_new(&file, outcome.stopped_by));
    }
    let report = commit::commit(ctx, &library, &mut file, &trainer, &outcome, consents)?;
    keep::after_run(ctx, &library, &file, &file.persons);
    let (network, chosen) = (Network::new(file.family), &trainer.meta().settings);
    let (_, forecast) = size::needed(&network, chosen, file.persons.len());
    let batch = chosen.batch;
    let others = reuse::others(ctx, &library, &report, outcome.trained_secs);
    let lite = |person: &PersonName| match trainer.lite(person) {
        Some(_) => DecoderForm::Lite,
        None => DecoderForm::Full,
    };
    let mut reply = reply(file, outcome, &report, folder, (batch, forecast), lite);
    let trained: Vec<PersonName> = reply.persons.iter().map(|p| p.person.clone()).collect();
    reply.reuse = reuse::words(&report, &trained, &others);
    reply.others = others;
    reply.likeness = likeness;
    Ok(reply)
}

/// Trains until something stops it; what was learned is in the run's checkpoints. Also says whom
/// faces looked like at the end.
pub(crate) fn learn(
    ctx: &Context,
    library: &Library,
    begun: &mut Begun,
) -> Result<(RunOutcome, Vec<Likeness>), JobError> {
    let Begun {
        file,
        trainer,
        data,
        ..
    } = begun;
    let folder = library.run_dir(&file.run);
    let position = trainer.state().position.batch;
    let chosen = &trainer.meta().settings;
    let mut feed = data.feed(chosen, trainer.code_len(), position)?;
    let mut preview = data.preview(file)?;
    let mut likeness = data.likeness.take();
    let start = Instant::now();
    let outcome = run_training(
        trainer,
        RunIo {
            folder: &folder,
            feed: &mut feed,
            held_out: data.held_out(),
            preview: Some(&mut preview),
            probe: likeness.as_mut().map(|p| p as &mut dyn Probe),
            progress: &*ctx.progress,
            cancel: &ctx.cancel,
            clock: &|| start.elapsed().as_secs_f64(),
            unix_secs: now_secs() as f64,
        },
    )
    .map_err(|e| {
        let error = JobError::from(e);
        match error.hint {
            Some(_) => error,
            None => error.with_hint(format!(
                "go on with `stockpot {} --resume {}`",
                file.command(),
                file.run
            )),
        }
    })?;
    if outcome.steps == 0 {
        return Err(JobError::cancelled(
            "Stopped before the first step; nothing was changed",
        ));
    }
    let likeness = likeness.map(|probe| probe.last).unwrap_or_default();
    Ok((outcome, likeness))
}

/// A run that went on and made no step: what it has learned is in the library already.
fn nothing_new(file: &RunFile, stopped_by: StoppedBy) -> JobError {
    let steps = file.committed_at_step;
    if stopped_by == StoppedBy::Cancelled {
        return JobError::cancelled(format!(
            "Stopped before another step; the {steps} so far are in the library"
        ));
    }
    JobError::usage(format!(
        "Run {} has made its {steps} steps, and they are in the library",
        file.run
    ))
    .with_hint(format!(
        "let it go on with `stockpot train --resume {} --steps {}`",
        file.run,
        steps.saturating_mul(2)
    ))
}

fn reply(
    file: RunFile,
    outcome: RunOutcome,
    report: &stockpot_library::CommitReport,
    folder: PathBuf,
    (batch, memory_forecast_bytes): (usize, u64),
    form: impl Fn(&PersonName) -> DecoderForm,
) -> Reply {
    let stopped = outcome.stopped_by == StoppedBy::Cancelled;
    let persons = file.persons.iter().map(|name| {
        let found = outcome
            .evaluations
            .iter()
            .find(|(n, _)| n == name)
            .map(|(_, e)| e);
        PersonReply {
            person: name.clone(),
            started_from: file.started_from.get(name).cloned().unwrap_or_default(),
            held_out_ssim: found.map(|e| e.score.ssim),
            held_out_mae: found.map(|e| e.score.mae),
            // Who was frozen beside a frozen encoder keeps the state they had.
            decoder: report
                .decoders
                .get(name)
                .or(file.expected.decoders.get(name).and_then(Option::as_ref))
                .map(|h| h.short())
                .unwrap_or_default(),
            form: form(name).to_string(),
        }
    });
    let total = outcome.shares.total().max(1e-9);
    Reply {
        run: file.run.to_string(),
        steps: outcome.steps,
        stopped_by: outcome.stopped_by.as_str(),
        minutes: outcome.trained_secs / 60.0,
        persons: persons.collect(),
        encoder: report.encoder.short(),
        shares: outcome
            .shares
            .named()
            .into_iter()
            .map(|(part, secs)| Share {
                part,
                percent: 100.0 * secs / total,
            })
            .collect(),
        batch,
        memory_forecast_bytes,
        memory_peak_bytes: crate::memory::peak(),
        outlook: outlook::words(&outcome),
        advice: outcome.advice.into_iter().map(|a| a.text).collect(),
        folder,
        others: Vec::new(),
        likeness: Vec::new(),
        reuse: Vec::new(),
        next: if stopped {
            format!("stockpot train --resume {}", file.run)
        } else {
            "stockpot swap INPUT --to NAME -o OUTPUT --preview 9".into()
        },
    }
}

/// A run ready to go.
pub(crate) struct Begun {
    pub(crate) file: RunFile,
    pub(crate) trainer: Trainer,
    data: data::Data,
    pub(crate) consents: Vec<Consented>,
}

fn consents(
    ctx: &Context,
    library: &Library,
    persons: &[PersonName],
) -> Result<Vec<Consented>, JobError> {
    persons
        .iter()
        .map(|person| ctx.consent(library, person, Use::Train))
        .collect()
}

/// A new run. Everything that can be wrong is looked at before its folder is made.
pub(crate) fn begin(
    ctx: &Context,
    library: &Library,
    settings: &Settings,
    growth: Option<&Growth>,
) -> Result<Begun, JobError> {
    if settings.persons.is_empty() {
        return Err(JobError::usage("Name at least one person to train"));
    }
    let consents = consents(ctx, library, &settings.persons)?;
    let family = family(library, settings)?;
    let mut train = settings::of_new_run(ctx.seed, settings)?;
    // Whose kept faces take part has no say in who they are, and may have no faceset any more.
    let kept = |person: &&PersonName| growth.is_some_and(|g| g.kept.contains_key(*person));
    let learning: Vec<PersonName> = settings
        .persons
        .iter()
        .filter(|p| !kept(p))
        .cloned()
        .collect();
    let identities = identity::check(ctx, library, &learning, settings.accept_faces)?;
    let network = Network::new(family);
    let sampler = SamplerSettings::default();
    let mut start = start::find(ctx, library, &network, settings, &sampler)?;
    freeze::check(&train, settings, &mut start)?;
    let faces = data::Faces {
        persons: &settings.persons,
        family,
        area: start.area,
        sampler: &sampler,
        rehearsed: growth.map(|g| &g.kept),
        seed: ctx.seed,
    };
    let data = data::Data::open(ctx, library, &faces)?;
    refuse_endless(&train, &data)?;
    let nature = device::Nature {
        lite: !start.lite.is_empty(),
        grows: growth.is_some(),
    };
    let device = device::choose(ctx, settings, &nature, &network, &mut train)?;
    if settings.batch_auto {
        let weights = size::Weights {
            network: &network,
            encoder: &start.encoder,
            decoders: &start.whole_decoders(),
        };
        train.batch = size::find_batch(ctx, &weights, &train)?;
    }
    make_room(
        ctx,
        library,
        &network,
        &train,
        &data,
        settings.persons.len(),
    )?;
    let began = now_secs();
    let file = RunFile {
        version: run_file::VERSION,
        run: library.new_run_id(began, ctx.seed)?,
        persons: settings.persons.clone(),
        family,
        area: start.area,
        began_secs: began,
        expected: start.expected,
        encoder_steps: start.encoder_steps,
        decoder_steps: start.decoder_steps,
        committed_at_step: 0,
        started_from: start.started_from,
        sampler,
        identities,
        grow: growth.map(|g| g.file.clone()),
    };
    file.save(library)?;
    let parents = match settings.from_scratch {
        true => Default::default(),
        false => start::parents(&file),
    };
    let mut trainer = Trainer::new(TrainSpec {
        network,
        encoder: start.encoder,
        persons: start.decoders,
        lite: start.lite,
        settings: train,
        parents,
    })?;
    if let Some(growth) = growth {
        trainer.keep_near(growth.distillation())?;
    }
    if let Some(device) = device {
        trainer.run_on(device)?;
    }
    Ok(Begun {
        file,
        trainer,
        data,
        consents,
    })
}

/// Nobody waits for a plateau that cannot be seen.
fn refuse_endless(train: &TrainSettings, data: &data::Data) -> Result<(), JobError> {
    let limited = train.steps > 0 || train.minutes > 0.0;
    let measured = train.evaluate_every > 0 && !data.held_out().is_empty();
    if train.until_plateau && !limited && !measured {
        return Err(JobError::usage(
            "Nothing would end this training: without held-out faces that are measured no plateau shows",
        )
        .with_hint("give --steps or --minutes too"));
    }
    Ok(())
}

/// Looks whether the run fits, and reads the prepared faces into memory if they do as well.
fn make_room(
    ctx: &Context,
    library: &Library,
    network: &Network,
    settings: &TrainSettings,
    data: &data::Data,
    persons: usize,
) -> Result<(), JobError> {
    space::need(
        library.root(),
        size::disk_bytes(network, persons),
        "two checkpoints and the new states",
    )?;
    if size::check(ctx, network, settings, persons, data.bytes())? {
        data.preload()?;
    }
    Ok(())
}

fn family(library: &Library, settings: &Settings) -> Result<Family, JobError> {
    let wanted = settings
        .preset
        .as_deref()
        .map(str::parse::<Family>)
        .transpose()?;
    let has = library.family()?.map(|f| f.parse::<Family>()).transpose()?;
    match (wanted, has) {
        (Some(wanted), Some(has)) if wanted != has => Err(JobError::usage(format!(
            "This library holds {has} networks, {wanted} was asked for"
        ))
        .with_hint("leave --preset out, or make another library for another network")),
        (wanted, has) => Ok(has.or(wanted).unwrap_or(Family::DEFAULT)),
    }
}

/// A run that was stopped or killed.
pub(crate) fn resume(
    ctx: &Context,
    library: &Library,
    run: &RunId,
    settings: &Settings,
    growth: Option<&Growth>,
) -> Result<Begun, JobError> {
    let mut file = RunFile::load(library, run)?;
    if file.grow.is_some() != growth.is_some() {
        let command = file.command();
        return Err(
            JobError::usage(format!("Run {run} was begun by `stockpot {command}`"))
                .with_hint(format!("go on with `stockpot {command} --resume {run}`")),
        );
    }
    file.catch_up(library)?;
    // Asked for again, so that a consent taken back while the run was away stops it.
    let consents = consents(ctx, library, &file.persons)?;
    let folder = library.run_dir(run);
    let found = latest_good(&folder.join(CHECKPOINTS))?.ok_or_else(|| {
        JobError::failed(format!("Run {run} was stopped before its first checkpoint"))
            .with_hint("start it again without --resume; nothing is lost")
    })?;
    for broken in &found.broken {
        ctx.warn(format!("A checkpoint is damaged and passed over: {broken}"));
    }
    let mut checkpoint = found.checkpoint;
    let (mut train, changes) = settings::of_resumed_run(&checkpoint.meta.settings, settings)?;
    for change in changes {
        ctx.info(format!("Goes on with {change}"));
    }
    let network = Network::new(file.family);
    let nature = device::Nature {
        lite: !checkpoint.meta.lite.is_empty(),
        grows: growth.is_some(),
    };
    let device = device::choose(ctx, settings, &nature, &network, &mut train)?;
    checkpoint.meta.settings = train;
    let faces = data::Faces {
        persons: &file.persons,
        family: file.family,
        area: file.area,
        sampler: &file.sampler,
        rehearsed: growth.map(|g| &g.kept),
        // The run's own, not the command line's: it made the batches so far.
        seed: checkpoint.meta.settings.seed,
    };
    let data = data::Data::open(ctx, library, &faces)?;
    let train = &checkpoint.meta.settings;
    refuse_endless(train, &data)?;
    make_room(ctx, library, &network, train, &data, file.persons.len())?;
    let mut bases = BTreeMap::new();
    for mark in checkpoint.meta.lite.values() {
        if let Entry::Vacant(free) = bases.entry(mark.base) {
            free.insert(decoder::find_base(library, &network, &mark.base)?);
        }
    }
    let mut trainer = Trainer::resume_on(&network, checkpoint, &bases)?;
    if let Some(growth) = growth {
        trainer.keep_near(growth.distillation())?;
    }
    if let Some(device) = device {
        trainer.run_on(device)?;
    }
    Ok(Begun {
        file,
        trainer,
        data,
        consents,
    })
}

#[cfg(test)]
mod tests;
