//! `grow`: trains new or known persons and the encoder, and releases the new encoder state only if
//! nobody loses by it.
//!
//! An ordinary training with two things beside it: the encoder is held near its previous state, and
//! earlier persons are rehearsed with their kept faces. At its end everybody is measured; if that is
//! good enough, the new encoder state becomes the current one and everybody is taken along to it, each
//! the better way. If not, nothing moves, and what was learned is kept as a candidate. Start with
//! [`run`].

mod gate;
pub(crate) mod keep;
mod page;
mod rehearse;
mod release;

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde::Serialize;
use serde_json::{Map, Value, json};
use stockpot_core::{PersonName, picture};
use stockpot_library::{Library, RunId, Use};
use stockpot_model::Params;
use stockpot_train::{RunOutcome, StoppedBy};

use crate::compat::CalibrationSource;
use crate::compat::passport::{Drawn, Passports};
use crate::consent::erase_expired;
use crate::context::Context;
use crate::error::{JobError, io};
use crate::person::PATIENCE;
use crate::train::commit::{Prepared, note, prepare};
use crate::train::run_file::RunFile;
use crate::train::{self, Begun, Precision};
pub use gate::{Part, Row, Verdict, Way};
use rehearse::names;
pub(crate) use rehearse::{GrowFile, Growth};

/// What drifting away from the previous state's codes counts, on calibration faces and on the faces
/// that are learnt, and the share of that at the end of a run of known length (decision 12).
const DISTIL: (f64, f64, f64) = (1.0, 0.25, 0.3);
/// Learning rate of an encoder that knows people already: half of that from scratch.
const LEARNING_RATE: f64 = 5e-4;
/// Steps over which the weights that are measured and released are averaged, as a share of all.
const AVERAGED: f64 = 0.05;

/// What to grow.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Who is trained, new or known; empty when a run is resumed.
    pub persons: Vec<PersonName>,
    /// Stop after so many steps in all.
    pub steps: Option<u64>,
    /// Stop after so many minutes of training in all. Default 30 if no steps are given.
    pub minutes: Option<f64>,
    /// Faces of each person in a step. Default 16; a resumed run keeps its own.
    pub batch: Option<usize>,
    /// Number format of the products. Default: `auto`, or what the resumed run has.
    pub precision: Option<Precision>,
    /// Release the new encoder state whoever wears.
    pub allow_wear: bool,
    /// Train although faces look like somebody else's.
    pub accept_faces: bool,
    /// A run to go on with, or whose candidate to release.
    pub resume: Option<RunId>,
    /// More settings of the training by name; an object or null.
    pub more: Value,
}

/// What came of it.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// In words: who gained and lost, and whether the new state was released.
    pub report: String,
    /// Whether the new encoder state is the current one.
    pub released: bool,
    /// Whether that was against the gate.
    pub against_the_gate: bool,
    /// What the gate says.
    pub verdict: Verdict,
    /// One entry per person who was measured.
    pub persons: Vec<Row>,
    /// Persons who stay with the encoder state they have, and why.
    pub not_measured: Vec<String>,
    /// Whose kept faces took part.
    pub rehearsed: Vec<PersonName>,
    /// The run.
    pub run: String,
    /// Steps made in all.
    pub steps: u64,
    /// Why it ended: `steps` or `minutes`.
    pub stopped_by: &'static str,
    /// Minutes of training in all.
    pub minutes: f64,
    /// The encoder state before.
    pub previous: String,
    /// The new one, or the candidate for it.
    pub encoder: String,
    /// The report as a page with pictures; as JSON beside it.
    pub page: PathBuf,
    /// What to do next.
    pub next: String,
}

/// Trains, measures everybody and releases the new encoder state, or keeps it as a candidate.
///
/// # Errors
/// As a training; if the library has no encoder yet or its code lies inside of it; if the calibration
/// faces cannot be drawn; if the user stops it (the run can be gone on with).
pub fn run(
    ctx: &Context,
    source: &dyn CalibrationSource,
    settings: &Settings,
) -> Result<Reply, JobError> {
    let library = ctx.library()?;
    refuse_own_freeze(&settings.more)?;
    let mut drawn = Drawn::new(source);
    let (growth, mut begun) = match &settings.resume {
        None => begin(ctx, &library, &mut drawn, settings)?,
        Some(run) => resume(ctx, &library, &mut drawn, run, settings)?,
    };
    let (outcome, _) = train::learn(ctx, &library, &mut begun)?;
    if outcome.stopped_by == StoppedBy::Cancelled {
        return Err(JobError::cancelled(format!(
            "Stopped after {} steps, before anything was released",
            outcome.steps
        ))
        .with_hint(format!(
            "go on with `stockpot grow --resume {}`",
            begun.file.run
        )));
    }
    finish(
        ctx, &library, &mut drawn, &growth, begun, &outcome, settings,
    )
}

fn begin(
    ctx: &Context,
    library: &Library,
    drawn: &mut Drawn<'_>,
    settings: &Settings,
) -> Result<(Growth, Begun), JobError> {
    if settings.persons.is_empty() {
        return Err(JobError::usage("Name at least one person to train"));
    }
    for person in &settings.persons {
        ctx.consent(library, person, Use::Train)?;
    }
    erase_expired(ctx, library)?;
    let growth = Growth::new(ctx, library, drawn, &settings.persons)?;
    let rehearsed: Vec<PersonName> = growth.kept.keys().cloned().collect();
    match rehearsed.is_empty() {
        true => ctx.info("Nobody is rehearsed; calibration faces alone hold the encoder"),
        false => ctx.info(format!("Rehearsed: {}", names(&rehearsed))),
    }
    let wish = train::Settings {
        persons: settings.persons.iter().chain(&rehearsed).cloned().collect(),
        steps: settings.steps,
        minutes: settings.minutes,
        batch: settings.batch,
        precision: settings.precision,
        more: more(settings, &rehearsed)?,
        accept_faces: settings.accept_faces,
        ..train::Settings::default()
    };
    let begun = train::begin(ctx, library, &wish, Some(&growth))?;
    Ok((growth, begun))
}

/// What is frozen is not for the user to say: the gate measures by it.
fn refuse_own_freeze(asked: &Value) -> Result<(), JobError> {
    let own = ["freeze_persons", "freeze_encoder"];
    match own.into_iter().find(|key| asked.get(key).is_some()) {
        None => Ok(()),
        Some(key) => Err(
            JobError::usage(format!("`{key}` is decided by the growth itself"))
                .with_hint("to train with a part frozen there is `stockpot train --freeze`"),
        ),
    }
}

/// The usual settings of a growth, overlaid by what was asked for.
fn more(settings: &Settings, rehearsed: &[PersonName]) -> Result<Value, JobError> {
    let (calibration, crops, end) = DISTIL;
    let mut all = Map::new();
    let usual = json!({
        "freeze_persons": rehearsed,
        "distil_weight": calibration,
        "distil_crops_weight": crops,
        "learning_rate": LEARNING_RATE,
    });
    let known_length = settings.steps.map(|steps| {
        json!({
            "distil_end": end,
            "schedule": "cosine",
            "schedule_steps": steps,
            "warm_up_steps": (steps / 10).min(100),
            "ema_decay": 1.0 - 1.0 / (AVERAGED * steps as f64).max(2.0),
        })
    });
    let asked = match &settings.more {
        Value::Null => None,
        Value::Object(asked) => Some(asked.clone()),
        other => return Err(JobError::usage(format!("{other} is no table of settings"))),
    };
    let asked = asked.unwrap_or_default();
    for layer in [Some(usual), known_length].into_iter().flatten() {
        if let Value::Object(layer) = layer {
            all.extend(layer);
        }
    }
    all.extend(asked);
    Ok(Value::Object(all))
}

fn resume(
    ctx: &Context,
    library: &Library,
    drawn: &mut Drawn<'_>,
    run: &RunId,
    settings: &Settings,
) -> Result<(Growth, Begun), JobError> {
    let file = RunFile::load(library, run)?;
    let Some(grow) = &file.grow else {
        return Err(
            JobError::usage(format!("Run {run} was begun by `stockpot train`"))
                .with_hint(format!("go on with `stockpot train --resume {run}`")),
        );
    };
    refuse_released(&file)?;
    let growth = Growth::again(ctx, library, drawn, grow)?;
    let wish = train::Settings {
        steps: settings.steps,
        minutes: settings.minutes,
        batch: settings.batch,
        precision: settings.precision,
        more: settings.more.clone(),
        ..train::Settings::default()
    };
    let begun = train::resume(ctx, library, run, &wish, Some(&growth))?;
    // It may have been killed between its commit and the note of it.
    refuse_released(&begun.file)?;
    Ok((growth, begun))
}

fn refuse_released(file: &RunFile) -> Result<(), JobError> {
    if file.committed_at_step == 0 {
        return Ok(());
    }
    Err(JobError::usage(format!(
        "Run {} was released after {} steps",
        file.run, file.committed_at_step
    ))
    .with_hint("begin another: it starts from what was released"))
}

fn finish(
    ctx: &Context,
    library: &Library,
    drawn: &mut Drawn<'_>,
    growth: &Growth,
    begun: Begun,
    outcome: &RunOutcome,
    settings: &Settings,
) -> Result<Reply, JobError> {
    let Begun {
        mut file,
        trainer,
        consents,
        ..
    } = begun;
    let lost = || JobError::failed("The trained weights do not fit their network: this is a bug");
    let encoder = trainer.encoder().ok_or_else(lost)?;
    let learning: Vec<PersonName> = file
        .persons
        .iter()
        .filter(|person| !growth.file.rehearsed.contains_key(*person))
        .cloned()
        .collect();
    let mut trained: BTreeMap<PersonName, Params> = BTreeMap::new();
    for person in &learning {
        trained.insert(person.clone(), trainer.decoder(person).ok_or_else(lost)?);
    }
    let measured = gate::Gate {
        ctx,
        library,
        drawn: &mut *drawn,
        growth,
        encoder: &encoder,
        trained: &trained,
    }
    .measure()?;
    let mut verdict = gate::verdict(&measured.rows);
    for person in &learning {
        let is_measured = measured.rows.iter().any(|row| row.person == *person);
        if !is_measured && library.current_decoder(person)?.is_some() {
            verdict.passed = false;
            verdict
                .reasons
                .push(format!("{person} was trained again and cannot be measured"));
        }
    }
    let released = verdict.passed || settings.allow_wear;
    let Prepared { mut commit, steps } = prepare(library, &file, &trainer, outcome, consents)?;
    let state = match released {
        true => {
            let whose = (file.area, &growth.file.rehearsed);
            release::take_along(ctx, library, &mut commit, &measured, whose)?;
            let writer = library.writer(commit.now_secs, PATIENCE)?;
            let report = writer.commit_run(commit)?;
            ctx.tell_unlogged(&writer);
            drop(writer);
            note(library, &mut file, steps, &report)?;
            keep::after_run(ctx, library, &file, &learning);
            // It is released; what is missing now can be made later.
            if let Err(e) = Passports::new(library).ensure(ctx, drawn, &report.encoder) {
                ctx.warn(format!(
                    "The new encoder state has no passport yet ({}): `stockpot library passport` makes it",
                    e.message
                ));
            }
            report.encoder
        }
        false => {
            let writer = library.writer(commit.now_secs, PATIENCE)?;
            let report = writer.keep_candidate(commit)?;
            ctx.tell_unlogged(&writer);
            drop(writer);
            if let Some(grow) = &mut file.grow {
                grow.candidate = Some((outcome.steps, report.encoder));
            }
            file.save(library)?;
            report.encoder
        }
    };
    let folder = library.run_dir(&file.run);
    let reply = Reply {
        report: gate::words(&measured.rows, released),
        released,
        against_the_gate: released && !verdict.passed,
        verdict,
        persons: measured.rows,
        not_measured: measured.left_out,
        rehearsed: growth.file.rehearsed.keys().cloned().collect(),
        run: file.run.to_string(),
        steps: outcome.steps,
        stopped_by: outcome.stopped_by.as_str(),
        minutes: outcome.trained_secs / 60.0,
        previous: growth.previous.hash.short(),
        encoder: state.short(),
        page: folder.join("gate.html"),
        next: next(&file, released, outcome.steps),
    };
    write(&reply)?;
    Ok(reply)
}

/// What the user can do next.
fn next(file: &RunFile, released: bool, steps: u64) -> String {
    let run = &file.run;
    match released {
        true => "stockpot swap INPUT --to NAME -o OUTPUT --preview 9".into(),
        false => format!(
            "stockpot grow --resume {run} --steps {} to train on, or stockpot grow --resume {run} --allow-wear to release it as it is",
            steps.saturating_mul(2)
        ),
    }
}

/// The report beside the run's other files, as JSON and as a page.
fn write(reply: &Reply) -> Result<(), JobError> {
    let json = serde_json::to_vec_pretty(reply)
        .map_err(|e| JobError::failed(format!("Cannot describe the report: {e}")))?;
    let html = page::html(reply)?;
    let beside = reply.page.with_extension("json");
    for (path, bytes) in [(&beside, json), (&reply.page, html.into_bytes())] {
        picture::write_whole(path, &bytes).map_err(|e| io("write the report", path, &e))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
