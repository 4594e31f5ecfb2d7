//! Persons entered, trained and read back, all by the product's own jobs, for measuring.

use std::sync::Arc;

use stockpot_core::{Area, PersonName};
use stockpot_faceset::{Batch, FaceCache, Faceset, HeldOut, SamplerSettings, Split};
use stockpot_jobs::person::{self, ConsentFrom};
use stockpot_jobs::{Context, JobError, train as training};
use stockpot_model::{Family, Network, Params, Plan, weights_file};

/// The network that is trained.
const PRESET: &str = "comb-s-64";
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
    };
    person::add(ctx, &settings).map(|_| ())
}

/// Trains the persons from scratch.
pub(crate) fn train(
    ctx: &Context,
    persons: &[PersonName],
    steps: u64,
    batch: usize,
) -> Result<(), JobError> {
    let averaged = (AVERAGED * steps as f64).max(2.0);
    let settings = training::Settings {
        persons: persons.to_vec(),
        steps: Some(steps),
        preset: Some(PRESET.into()),
        batch: Some(batch),
        from_scratch: true,
        // A known, short length: the rate falls along a cosine.
        more: serde_json::json!({
            "schedule": "cosine",
            "schedule_steps": steps,
            "ema_decay": 1.0 - 1.0 / averaged,
            "evaluate_every": 0,
            "preview_every": 0,
            "save_every": steps.max(1),
        }),
        ..training::Settings::default()
    };
    match training::run(ctx, &settings)?.stopped_by {
        "cancelled" => Err(JobError::cancelled("Stopped while training")),
        _ => Ok(()),
    }
}

/// What training left in the library.
pub(crate) struct Trained {
    pub(crate) family: Family,
    pub(crate) area: Area,
    pub(crate) encoder: Params,
    /// In the order of the persons asked for.
    pub(crate) decoders: Vec<Params>,
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
    let mut decoders = Vec::new();
    for name in persons {
        let state = library.current_decoder(name)?.ok_or_else(lost)?;
        let bytes = library.get_object(&state.record.object)?;
        decoders.push(weights_file::from_bytes(
            family,
            network.decoder_layout(),
            &bytes,
        )?);
    }
    Ok(Trained {
        family,
        // What a new library trains.
        area: Area::Face,
        encoder,
        decoders,
    })
}

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
) -> Vec<(Vec<f32>, Vec<f32>)> {
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
