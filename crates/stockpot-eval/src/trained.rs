//! Persons entered, trained and read back, all by the product's own jobs, for measuring.

use std::sync::Arc;

use stockpot_core::{Area, PersonName};
use stockpot_faceset::{Batch, FaceCache, Faceset, HeldOut, SamplerSettings, Split};
use stockpot_jobs::person::{self, ConsentFrom};
use stockpot_jobs::{Context, JobError, decoder, train as training};
use stockpot_model::{Family, Network, Params, Plan, weights_file};
use stockpot_train::log::Line;

use crate::bench::cannot;

/// The network that is trained: the default, which has a shipped stock.
const PRESET: &str = "comb-s-96";
/// The same where the number of steps is not known.
const AVERAGED_STEPS: f64 = 20.0;
/// Learning rates from fresh weights and from the stock, which smaller steps disturb less.
const RATES: [f64; 2] = [1e-3, 5e-4];
/// Measurements during a training.
const CURVE: u64 = 20;
/// Faces that go through a network together.
const GROUP: usize = 8;
/// Steps over which the weights that are measured are averaged, as a share of all steps.
const AVERAGED: f64 = 0.05;

/// Enters a person into the library of `ctx`.
pub(crate) fn enter(
    ctx: &Context,
    name: &PersonName,
    consent: ConsentFrom,
) -> Result<(), JobError> {
    let settings = person::Add {
        name: name.clone(),
        consent,
        entered_by: "stockpot eval".into(),
        note: "for one evaluation, in a library that goes with it".into(),
        terms: person::Terms::default(),
    };
    person::add(ctx, &settings).map(|_| ())
}

/// A training.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lesson {
    /// How many; with `minutes` at most.
    pub(crate) steps: u64,
    /// Stop after so long.
    pub(crate) minutes: Option<f64>,
    /// Faces of each person in a step.
    pub(crate) batch: usize,
    /// From fresh weights instead of the shipped stock.
    pub(crate) from_scratch: bool,
    /// How much of the decoders is the persons' own.
    pub(crate) form: training::Form,
}

/// How well the product's own held-out faces were redrawn on the way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point {
    pub(crate) step: u64,
    /// Seconds of training until then, taking all steps for equally long.
    pub(crate) seconds: f64,
    /// Mean difference over the persons, 0 to 1.
    pub(crate) mae: f64,
    /// Mean structural similarity inside the mask, at most 1.
    pub(crate) ssim: f64,
}

/// What a training did.
#[derive(Debug)]
pub(crate) struct Taught {
    pub(crate) steps: u64,
    pub(crate) curve: Vec<Point>,
}

/// Trains the persons in a library that has no states yet.
pub(crate) fn train(
    ctx: &Context,
    persons: &[PersonName],
    lesson: Lesson,
) -> Result<Taught, JobError> {
    let steps = lesson.steps;
    let (averaged, every) = match lesson.minutes {
        None => ((AVERAGED * steps as f64).max(2.0), (steps / CURVE).max(1)),
        // Nobody knows how many steps there will be.
        Some(_) => (AVERAGED_STEPS, 0),
    };
    let settings = training::Settings {
        persons: persons.to_vec(),
        steps: Some(steps),
        minutes: lesson.minutes,
        preset: Some(PRESET.into()),
        batch: Some(lesson.batch),
        from_scratch: lesson.from_scratch,
        form: lesson.form,
        // A known, short length: the rate falls along a cosine.
        more: serde_json::json!({
            "schedule": "cosine",
            "schedule_steps": steps,
            "learning_rate": RATES[usize::from(!lesson.from_scratch)],
            "ema_decay": 1.0 - 1.0 / averaged,
            "evaluate_every": every,
            "preview_every": 0,
            "save_every": steps.max(1),
        }),
        ..training::Settings::default()
    };
    let reply = training::run(ctx, &settings)?;
    match reply.stopped_by {
        "cancelled" => Err(JobError::cancelled("Stopped while training")),
        _ => Ok(Taught {
            steps: reply.steps,
            curve: curve(&reply)?,
        }),
    }
}

pub(crate) fn curve(reply: &training::Reply) -> Result<Vec<Point>, JobError> {
    let path = reply.folder.join("metrics.jsonl");
    let text = std::fs::read_to_string(&path).map_err(|e| cannot("read", &path, &e))?;
    let mut points = Vec::new();
    for line in text.lines() {
        let line: Line = serde_json::from_str(line)
            .map_err(|e| JobError::failed(format!("Cannot read {}: {e}", path.display())))?;
        if let Line::Evaluation { step, scores, .. } = line {
            let count = scores.len().max(1) as f64;
            points.push(Point {
                step,
                seconds: 60.0 * reply.minutes * step as f64 / reply.steps.max(1) as f64,
                mae: scores.values().map(|s| s.mae).sum::<f64>() / count,
                ssim: scores.values().map(|s| s.ssim).sum::<f64>() / count,
            });
        }
    }
    Ok(points)
}

/// What training left in the library.
#[derive(Debug)]
pub(crate) struct Trained {
    pub(crate) family: Family,
    pub(crate) area: Area,
    pub(crate) encoder: Params,
    /// In the order of the persons asked for.
    pub(crate) decoders: Vec<Params>,
    /// What each of them takes in the library, bytes; what lite persons share is not counted.
    pub(crate) bytes: Vec<u64>,
}

/// Reads the current states of some persons.
pub(crate) fn load(ctx: &Context, persons: &[PersonName]) -> Result<Trained, JobError> {
    let library = ctx.library()?;
    let lost = || JobError::failed("The trained states are not in the library: this is a bug");
    let family: Family = library.family()?.ok_or_else(lost)?.parse()?;
    let network = Network::new(family);
    let encoder = library.current_encoder()?.ok_or_else(lost)?;
    let bytes = library.get_object(&encoder.record.object)?;
    let encoder = weights_file::from_bytes(family, network.encoder_layout(), &bytes)?;
    let (mut decoders, mut sizes) = (Vec::new(), Vec::new());
    for name in persons {
        let state = library.current_decoder(name)?.ok_or_else(lost)?;
        decoders.push(decoder::load(&library, &network, &state.record)?);
        sizes.push(library.get_object(&state.record.object)?.len() as u64);
    }
    Ok(Trained {
        family,
        // What a new library trains.
        area: Area::Face,
        encoder,
        decoders,
        bytes: sizes,
    })
}

/// What a decoder drew, `[R, R, 3]`, and its mask, `[R, R]`.
pub(crate) type DrawnFace = (Vec<f32>, Vec<f32>);

/// Draws faces with a decoder.
///
/// # Shapes
/// Each input is `[R, R, 3]`; each output `[R, R, 3]` and its mask `[R, R]`, all ones for a network
/// without masks.
pub(crate) fn draw(
    family: Family,
    encoder: &Params,
    decoder: &Params,
    inputs: &[Vec<f32>],
) -> Vec<DrawnFace> {
    let network = Network::new(family);
    let mut plans =
        [network.encoder(), network.decoder()].map(|graph| Plan::inference(graph.clone(), GROUP));
    plans[0].load(encoder);
    plans[1].load(decoder);
    let [mut encoder, mut decoder] = plans;
    let pixels = (family.resolution() * family.resolution()) as usize;
    let mut out = Vec::with_capacity(inputs.len());
    for group in inputs.chunks(GROUP) {
        let mut batch = vec![0.0; GROUP * pixels * 3];
        for (to, from) in batch.chunks_exact_mut(pixels * 3).zip(group) {
            to.copy_from_slice(from);
        }
        let drawn = decoder.forward(encoder.forward(&batch));
        let channels = drawn.len() / (GROUP * pixels);
        let faces = drawn.chunks_exact(pixels * channels).take(group.len());
        out.extend(faces.map(|face| {
            let points = || face.chunks_exact(channels);
            let mask = points().map(|p| p.get(3).copied().unwrap_or(1.0));
            let rgb = points().flat_map(|p| [p[0], p[1], p[2]]);
            (rgb.collect(), mask.collect())
        }));
    }
    out
}

/// All faces of a person's faceset that are for training or held out, as the network sees them.
pub(crate) fn faces(
    ctx: &Context,
    name: &PersonName,
    (family, area): (Family, Area),
    split: Split,
) -> Result<Batch, JobError> {
    let library = ctx.library()?;
    let faceset = Faceset::open(&library.facesets_dir(name))?;
    let (cache, _) = FaceCache::open_or_build(
        &faceset,
        area,
        family.resolution(),
        &library.cache_dir(),
        &*ctx.progress,
        &ctx.cancel,
    )?;
    let all = HeldOut::new(Arc::new(cache), split, &SamplerSettings::default())?;
    Ok(all.batch(0, all.len())?)
}

/// The mean of a person's training faces, `[R, R, 3]`.
pub(crate) fn mean_face(
    ctx: &Context,
    name: &PersonName,
    seen: (Family, Area),
) -> Result<Vec<f32>, JobError> {
    let all = faces(ctx, name, seen, Split::Train)?;
    let pixels = (seen.0.resolution() * seen.0.resolution()) as usize;
    let count = all.target.len() / (pixels * 3);
    let mut mean = vec![0.0f64; pixels * 3];
    for face in all.target.chunks_exact(pixels * 3) {
        for (sum, value) in mean.iter_mut().zip(face) {
            *sum += f64::from(*value);
        }
    }
    Ok(mean.iter().map(|s| (s / count as f64) as f32).collect())
}
