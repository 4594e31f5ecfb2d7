//! `stock make`: the recipe of the stock that is shipped, from nothing but the renderer.
//!
//! Groups of made-up people play the same moments. In half of the samples the wanted picture shows
//! another person of the group playing what is seen, so that the codes lose who it was; the rest
//! redraw the person seen. The learning rate stays up until a last stretch in which it falls to
//! nothing: what was made before that stretch can always be trained further. Start with [`make`].
//!
//! This is the one place where pictures from the renderer teach a network that users get; who is
//! measured in SwapBench or shown in the demo is drawn from other random streams.

mod strangers;

use std::collections::BTreeMap;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Instant;

use rayon::prelude::*;
use serde::Serialize;
use stockpot_core::{Progress, Rng, picture};
use stockpot_faceset::{PairSampler, SampleOut, SamplerSettings};
use stockpot_jobs::{Context, JobError};
use stockpot_model::{Family, Plan, Stock, Trunk};
use stockpot_train::checkpoint::{self, CheckpointWriter};
use stockpot_train::loss::Comparison;
use stockpot_train::metrics::score_faces;
use stockpot_train::pretrain::Pretrainer;
use stockpot_train::{FaceBatch, TrainSettings};

use crate::bench::cannot;
use crate::sets::head_data;
use strangers::{GROUP, HELD_OUT, MOMENTS, Strangers};

/// Numbers of an identity.
const IDENTITY: usize = 128;
/// Learning rate after the warm-up, and steps of the warm-up.
const RATE: (f64, u64) = (1e-3, 300);
/// The share of all steps at the end over which the rate falls.
const FALL: f64 = 0.25;
/// Largest norm of a gradient.
const CLIP: f64 = 1.0;
/// How often another person is asked for than the one seen.
const SWAPPED: f32 = 0.5;
/// Steps between measurements and between checkpoints.
const EVERY: u64 = 250;
/// Faces measured, in one batch.
const MEASURED: usize = 48;

/// What to make.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The network, such as `comb-s-96`.
    pub preset: String,
    /// Made-up people to learn from; rounded up to whole groups.
    pub people: usize,
    /// Steps in all. A folder that has fewer is trained further.
    pub steps: u64,
    /// Faces in a step.
    pub batch: usize,
    /// A stock to start from, instead of fresh weights; one of another resolution is resized.
    pub from: Option<PathBuf>,
    /// A folder of photographed skins and hair for them; all are drawn by code without.
    pub assets: Option<PathBuf>,
    /// Where faces and checkpoints are kept.
    pub work: PathBuf,
    /// The file to write.
    pub out: PathBuf,
}

/// How well faces of moments that were never learned are drawn, over the face: mean absolute
/// difference, 0 to 1, and SSIM.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Score {
    /// Steps made.
    pub step: u64,
    /// The person seen, difference.
    pub same: f64,
    /// The person seen, SSIM.
    pub same_ssim: f64,
    /// Another person, against that person truly playing it.
    pub swapped: f64,
    /// Another person, SSIM.
    pub swapped_ssim: f64,
    /// What not swapping at all would have given.
    pub copied: f64,
}

/// What was made.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// The file.
    pub stock: PathBuf,
    /// Its length.
    pub bytes: usize,
    /// The last measurement.
    pub score: Score,
    /// Seconds of this run.
    pub seconds: f64,
}

/// Draws strangers, learns from them, writes the stock. Goes on where the folder `work` stands.
///
/// # Errors
/// If the head data are missing, files cannot be read or written, or the user stopped.
pub fn make(ctx: &Context, settings: &Settings) -> Result<Reply, JobError> {
    let start = Instant::now();
    let family: Family = settings.preset.parse()?;
    let trunk = Trunk::new(family, IDENTITY).ok_or_else(|| {
        JobError::usage(format!("{family} has no trunk"))
            .with_hint("take a comb network, such as comb-s-96")
    })?;
    let head = head_data(ctx, settings.assets.as_deref())?;
    let work = &settings.work;
    std::fs::create_dir_all(work).map_err(|e| cannot("make the folder", work, &e))?;
    let strangers = Strangers::open(ctx, &head, family, settings.people, work)?;
    let folder = work.join(family.to_string());
    let mut trainer = begin(ctx, settings, trunk, strangers.people, &folder)?;
    let mixer = Mixer {
        sampler: PairSampler::new(strangers.cache.clone(), SamplerSettings::default())?,
        strangers,
        seed: ctx.seed,
        side: family.resolution() as usize,
    };
    let mut writer = CheckpointWriter::open(
        &folder,
        1,
        trainer.meta().clone(),
        trainer.state().position.step,
    )?;
    ctx.progress.send(Progress::Phase {
        name: "learn",
        total: settings.steps,
    });
    let mut score = None;
    let mut window = (0.0, 0u32);
    while trainer.state().position.step < settings.steps {
        let step = trainer.state().position.step;
        if ctx.cancel.is_cancelled() {
            writer.save(trainer.state().clone().into())?;
            writer.wait()?;
            return Err(JobError::cancelled(
                "Stopped; the same command goes on from here",
            ));
        }
        let batch = trainer.meta().settings.batch;
        let (faces, people) = mixer.batch(trainer.state().position.batch, batch)?;
        let loss = trainer.step(&faces, &people, rate(step + 1, settings.steps))?;
        window = (window.0 + loss.total, window.1 + 1);
        let step = step + 1;
        if step.is_multiple_of(EVERY) || step == settings.steps {
            let found = mixer.measure(&trainer)?;
            note(&folder, &found, window.0 / f64::from(window.1), start)?;
            window = (0.0, 0);
            score = Some(found);
            writer.save(trainer.state().clone().into())?;
        }
        ctx.progress.send(Progress::Step {
            done: step,
            note: format!("loss {:.4}", loss.total),
        });
    }
    writer.wait()?;
    let score = match score {
        Some(score) => score,
        None => mixer.measure(&trainer)?,
    };
    let bytes = export(ctx, settings, &trainer, &score)?;
    picture::write_whole(&settings.out, &bytes).map_err(|e| cannot("write", &settings.out, &e))?;
    Ok(Reply {
        stock: settings.out.clone(),
        bytes: bytes.len(),
        score,
        seconds: start.elapsed().as_secs_f64(),
    })
}

/// Warm-up, constant, and at the end a straight fall to nothing.
fn rate(step: u64, steps: u64) -> f64 {
    let warm = (step as f64 / RATE.1 as f64).min(1.0);
    let left = (steps - step.min(steps) + 1) as f64;
    let fall = (left / (FALL * steps as f64).max(1.0)).min(1.0);
    RATE.0 * warm * fall
}

fn begin(
    ctx: &Context,
    settings: &Settings,
    trunk: Trunk,
    people: usize,
    folder: &Path,
) -> Result<Pretrainer, JobError> {
    if let Some(found) = checkpoint::latest_good(folder)? {
        return Ok(Pretrainer::resume(trunk, found.checkpoint)?);
    }
    let training = TrainSettings {
        seed: ctx.seed,
        batch: settings.batch,
        clip_norm: CLIP,
        ..TrainSettings::default()
    };
    let Some(path) = &settings.from else {
        return Ok(Pretrainer::new(trunk, people, training)?);
    };
    let bytes = std::fs::read(path).map_err(|e| cannot("read", path, &e))?;
    let stock = Stock::from_bytes(&bytes)?;
    let stock = stock.resized(trunk.network().family())?;
    // People it does not know yet start from the mean.
    let mut identities = stock.identities.clone();
    let mean = stock.mean_identity();
    identities.truncate(people * mean.len());
    while identities.len() < people * mean.len() {
        identities.extend_from_slice(&mean);
    }
    Ok(Pretrainer::from_weights(
        stock.trunk,
        stock.encoder.data,
        stock.decoder.data,
        identities,
        training,
    )?)
}

/// Makes batches of strangers and measures on their held-out moments.
struct Mixer {
    sampler: PairSampler,
    strangers: Strangers,
    seed: u64,
    side: usize,
}

impl Mixer {
    /// Batch `number`: faces, and whom to draw them as.
    fn batch(&self, number: u64, count: usize) -> Result<(FaceBatch, Vec<u32>), JobError> {
        let groups = self.strangers.people / GROUP;
        let chosen: Vec<(u64, usize, usize, usize)> = (0..count as u64)
            .map(|i| {
                let place = number * count as u64 + i;
                let mut rng = Rng::stream(self.seed, "stock samples", place);
                let group = rng.below(groups) * GROUP;
                let moment = rng.below(MOMENTS - HELD_OUT);
                let seen = rng.below(GROUP);
                let other = (seen + 1 + rng.below(GROUP - 1)) % GROUP;
                let drawn = if rng.chance(SWAPPED) { other } else { seen };
                (place, group + seen, group + drawn, moment)
            })
            .collect();
        let mut faces = buffers(count, self.side);
        let pixels = self.side * self.side;
        let outs = faces.input.par_chunks_exact_mut(3 * pixels);
        let outs = outs.zip(faces.target.par_chunks_exact_mut(3 * pixels));
        let masks = faces.mask.par_chunks_exact_mut(pixels);
        let masks = masks.zip(faces.weight.par_chunks_exact_mut(pixels));
        let both = outs.zip(masks).zip(&chosen);
        both.try_for_each(|(((input, target), (mask, weight)), chosen)| {
            let (place, seen, drawn, moment) = *chosen;
            let pair = (
                self.strangers.face(seen, moment),
                self.strangers.face(drawn, moment),
            );
            let mut rng = Rng::stream(self.seed, "stock disturbances", place);
            let out = SampleOut {
                input,
                target,
                mask,
                weight,
            };
            self.sampler.sample_into(pair, &mut rng, out)
        })?;
        let people = chosen.iter().map(|(_, _, drawn, _)| *drawn as u32);
        Ok((faces, people.collect()))
    }

    /// Draws held-out moments as the person seen and as another.
    fn measure(&self, trainer: &Pretrainer) -> Result<Score, JobError> {
        let plain = PairSampler::new(self.strangers.cache.clone(), SamplerSettings::plain())?;
        let bug = || JobError::failed("The stock's lengths do not fit: this is a bug");
        let (encoder, trunk, identities) = trainer.stock().ok_or_else(bug)?;
        let graphs = trainer.trunk();
        let mut see = Plan::inference(graphs.network().encoder().clone(), MEASURED);
        see.load(&encoder);
        let mut draw = Plan::inference(graphs.graph().clone(), MEASURED);
        draw.load(&trunk);
        let mut found = Vec::new();
        let pixels = self.side * self.side;
        for step in [0, 1] {
            let mut faces = buffers(MEASURED, self.side);
            let mut told = Vec::new();
            for i in 0..MEASURED {
                let seen = i * self.strangers.people / MEASURED;
                let moment = MOMENTS - HELD_OUT + i % HELD_OUT;
                let drawn = seen / GROUP * GROUP + (seen + step) % GROUP;
                let pair = (
                    self.strangers.face(seen, moment),
                    self.strangers.face(drawn, moment),
                );
                let out = SampleOut {
                    input: &mut faces.input[i * 3 * pixels..][..3 * pixels],
                    target: &mut faces.target[i * 3 * pixels..][..3 * pixels],
                    mask: &mut faces.mask[i * pixels..][..pixels],
                    weight: &mut faces.weight[i * pixels..][..pixels],
                };
                plain.sample_into(pair, &mut Rng::stream(0, "plain", 0), out)?;
                told.push(&identities[drawn * IDENTITY..][..IDENTITY]);
            }
            let codes = see.forward(&faces.input);
            let each = codes.len() / MEASURED;
            let inputs = codes.chunks_exact(each).zip(told);
            let inputs: Vec<f32> = inputs
                .flat_map(|(c, t)| c.iter().chain(t).copied())
                .collect();
            let compare = |prediction: &[f32], channels| {
                score_faces(&Comparison {
                    side: self.side,
                    channels,
                    prediction,
                    target: &faces.target,
                    mask: &faces.mask,
                    weight: &[],
                })
            };
            found.push((
                compare(draw.forward(&inputs), 4)?,
                compare(&faces.input, 3)?,
            ));
        }
        let [(same, _), (swapped, copied)] = found[..] else {
            return Err(bug());
        };
        Ok(Score {
            step: trainer.state().position.step,
            same: same.mae,
            same_ssim: same.ssim,
            swapped: swapped.mae,
            swapped_ssim: swapped.ssim,
            copied: copied.mae,
        })
    }
}

fn buffers(count: usize, side: usize) -> FaceBatch {
    let plane = vec![0.0; count * side * side];
    let colours = vec![0.0; 3 * plane.len()];
    FaceBatch {
        input: colours.clone(),
        target: colours,
        mask: plane.clone(),
        weight: plane,
    }
}

/// One line of JSON per measurement.
fn note(folder: &Path, score: &Score, loss: f64, start: Instant) -> Result<(), JobError> {
    let path = folder.join("scores.jsonl");
    let line = serde_json::json!({
        "loss": loss,
        "seconds": start.elapsed().as_secs_f64(),
        "score": score,
    });
    let mut file = OpenOptions::new()
        .create(true)
        .append(true)
        .open(&path)
        .map_err(|e| cannot("write", &path, &e))?;
    writeln!(file, "{line}").map_err(|e| cannot("write", &path, &e))
}

fn export(
    ctx: &Context,
    settings: &Settings,
    trainer: &Pretrainer,
    score: &Score,
) -> Result<Vec<u8>, JobError> {
    let bug = || JobError::failed("The stock's lengths do not fit: this is a bug");
    let (encoder, decoder, identities) = trainer.stock().ok_or_else(bug)?;
    let mut card = BTreeMap::new();
    let mut say = |key: &str, value: String| card.insert(key.to_owned(), value);
    say("made_by", format!("stockpot {}", env!("CARGO_PKG_VERSION")));
    say(
        "people",
        format!("{} made-up people, seed {}", trainer.people(), ctx.seed),
    );
    say("steps", score.step.to_string());
    say("batch", trainer.meta().settings.batch.to_string());
    say(
        "score",
        serde_json::to_string(score).map_err(|e| JobError::failed(e.to_string()))?,
    );
    if let Some(from) = &settings.from {
        let name = from.file_name().unwrap_or_default();
        say("started_from", name.to_string_lossy().into_owned());
    }
    let stock = Stock {
        trunk: trainer.trunk().clone(),
        encoder,
        decoder,
        identities: identities.to_vec(),
        card,
    };

    Ok(stock.to_bytes()?)
}
