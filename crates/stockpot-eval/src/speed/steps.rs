//! Whole training steps on faces of noise, and what saving, measuring and drawing cost beside them.

use std::collections::BTreeMap;
use std::time::Instant;

use serde::Serialize;
use stockpot_core::Rng;
use stockpot_jobs::{Context, JobError};
use stockpot_model::{Family, Network};
use stockpot_train::checkpoint;
use stockpot_train::log::Shares;
use stockpot_train::settings::Precision;
use stockpot_train::{Batch, FaceBatch, TrainSettings, TrainSpec, Trainer};

use super::ceilings::Ceilings;
use super::{Plan, Sample, Watch};
use crate::bench::cannot;

/// Persons of a step.
const PERSONS: [&str; 2] = ["a", "b"];
/// Steps between two saves for which the cost of saving is told.
const SAVE_EVERY: f64 = 32.0;
/// Held-out faces of a person and rows of a preview, as the training job has them.
const HELD_OUT: usize = 48;
const PREVIEW: usize = 4;

/// A training step of two persons.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Step {
    /// The network.
    pub family: Family,
    /// Faces of each person.
    pub batch: usize,
    /// The number format of its products.
    pub precision: Precision,
    /// Seconds.
    pub step_secs: Sample,
    /// Faces of both persons together.
    pub faces_per_sec: Sample,
    /// Products and sums of forward and backward, in 10⁹ a second.
    pub gflops: Sample,
    /// Of the products' ceiling, 0 to 1.
    pub share: f64,
    /// Shares of the step's time, by phase.
    pub parts: Vec<(&'static str, f64)>,
}

impl Step {
    /// Sets it beside the ceilings.
    pub(super) fn judge(&mut self, ceilings: &Ceilings) {
        self.share = self.gflops.median / ceilings.gflops(self.precision == Precision::Bf16);
    }
}

/// What is done beside the steps, at the default batch.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Looking {
    /// The network.
    pub family: Family,
    /// Faces of each person in a step.
    pub batch: usize,
    /// Seconds of a step.
    pub step_secs: f64,
    /// Seconds to copy the state, for which the step waits.
    pub copy_secs: Sample,
    /// Seconds to write and flush the copy, in the background.
    pub write_secs: Sample,
    /// Seconds of a core's time of that, which the step has to do without; by the clock where the
    /// system does not tell.
    pub write_core_secs: Sample,
    /// What both cost a training that saves every 32 steps and uses all cores, 0 to 1.
    pub save_share: f64,
    /// Seconds to measure the held-out faces of both persons.
    pub evaluation_secs: Sample,
    /// What that costs at the default interval, 0 to 1.
    pub evaluation_share: f64,
    /// Seconds to draw the faces of a preview.
    pub preview_secs: Sample,
    /// What that costs at the default interval, 0 to 1.
    pub preview_share: f64,
}

/// Making batches alone.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Feeding {
    /// The network that the faces are for.
    pub family: Family,
    /// Side of a face in pixels.
    pub resolution: u32,
    /// Faces that one worker makes in a second of a core's time.
    pub faces_per_sec_of_core: Sample,
    /// Faces that the quickest measured step of this network learns in a second.
    pub step_faces_per_sec: Option<f64>,
    /// Cores that are busy to keep up with it.
    pub cores_for_step: Option<f64>,
}

/// Measures steps, and for each network at the middle batch what is done beside them.
pub(super) fn measure(ctx: &Context, plan: &Plan) -> Result<(Vec<Step>, Vec<Looking>), JobError> {
    let total = plan.families.len() * plan.batches.len() * plan.precisions.len();
    let mut watch = Watch::begin(ctx, "measure steps", total);
    let (mut steps, mut looking) = (Vec::new(), Vec::new());
    let usual = plan.batches[plan.batches.len() / 2];
    for family in &plan.families {
        for precision in &plan.precisions {
            for batch in &plan.batches {
                let mut bench = Bench::new(*family, *batch, *precision)?;
                let step = bench.steps(plan.rounds)?;
                if *batch == usual && Some(precision) == plan.precisions.first() {
                    looking.push(bench.looking(step.step_secs.median, plan.rounds)?);
                }
                let note = format!("{family}, {batch} faces each");
                steps.push(step);
                watch.tick(&note)?;
            }
        }
    }
    Ok((steps, looking))
}

/// Sets what feeding can do beside what the quickest step of the same network wants.
pub(super) fn beside(mut feeding: Vec<Feeding>, steps: &[Step]) -> Vec<Feeding> {
    for feed in &mut feeding {
        let same = steps.iter().filter(|s| s.family == feed.family);
        feed.step_faces_per_sec = same.map(|s| s.faces_per_sec.median).max_by(f64::total_cmp);
        feed.cores_for_step = feed
            .step_faces_per_sec
            .map(|wanted| wanted / feed.faces_per_sec_of_core.median);
    }
    feeding
}

struct Bench {
    trainer: Trainer,
    batch: Batch,
    faces: usize,
    gflop: f64,
    family: Family,
    start: Instant,
}

impl Bench {
    fn new(family: Family, batch: usize, precision: Precision) -> Result<Self, JobError> {
        let network = Network::new(family);
        let name = |n: &str| {
            n.parse()
                .map_err(|e| JobError::failed(format!("A name cannot be used: {e}")))
        };
        let decoder = network.init_decoder(1);
        let persons = PERSONS
            .iter()
            .map(|n| Ok((name(n)?, decoder.clone())))
            .collect::<Result<Vec<_>, JobError>>()?;
        let faces = PERSONS.len() * batch;
        let madds = network.encoder().multiply_adds() + network.decoder().multiply_adds();
        Ok(Self {
            // Forward, gradient of the weights and gradient of the inputs, two operations each.
            gflop: 6.0 * madds as f64 * faces as f64 / 1e9,
            batch: Batch {
                number: 0,
                faces: noise(faces, family.resolution() as usize),
                ..Batch::default()
            },
            trainer: Trainer::new(TrainSpec {
                encoder: network.init_encoder(1),
                persons,
                lite: Default::default(),
                settings: TrainSettings {
                    batch,
                    precision,
                    ..TrainSettings::default()
                },
                network,
                parents: BTreeMap::new(),
            })?,
            faces,
            family,
            start: Instant::now(),
        })
    }

    fn steps(&mut self, rounds: usize) -> Result<Step, JobError> {
        let (mut secs, mut all) = (Vec::new(), Vec::new());
        for round in 0..=rounds as u64 {
            self.batch.number = round;
            let begun = self.start.elapsed().as_secs_f64();
            let clock = || self.start.elapsed().as_secs_f64();
            let report = self.trainer.step(&self.batch, &clock)?;
            // The first finds fresh memory.
            if round > 0 {
                secs.push(clock() - begun);
                all.push(report.secs);
            }
        }
        let step_secs = Sample::of(secs);
        let settings = &self.trainer.meta().settings;
        let part = |name: &str| {
            let of = |s: &Shares| {
                s.named()
                    .iter()
                    .find(|(n, _)| *n == name)
                    .map_or(0.0, |p| p.1)
            };
            Sample::of(all.iter().map(of).collect()).median / step_secs.median
        };
        Ok(Step {
            family: self.family,
            batch: settings.batch,
            precision: settings.precision,
            faces_per_sec: step_secs.rate(self.faces as f64),
            gflops: step_secs.rate(self.gflop),
            share: 0.0,
            parts: ["forward", "loss", "backward", "update"]
                .map(|name| (name, part(name)))
                .into(),
            step_secs,
        })
    }

    fn looking(&mut self, step_secs: f64, rounds: usize) -> Result<Looking, JobError> {
        // The first finds fresh memory.
        self.trainer.snapshot()?;
        let (mut copies, mut writes, mut cores) = (Vec::new(), Vec::new(), Vec::new());
        let folder = tempfile::tempdir()
            .map_err(|e| JobError::failed(format!("Cannot make a folder to work in: {e}")))?;
        for _ in 0..rounds {
            let begun = Instant::now();
            let state = self.trainer.snapshot()?;
            copies.push(begun.elapsed().as_secs_f64());
            let (begun, core) = (Instant::now(), core_secs());
            let path = folder.path().join("checkpoint");
            let failed = |e: std::io::Error| cannot("write", &path, &e);
            let file = std::fs::File::create(&path).map_err(failed)?;
            let mut file = std::io::BufWriter::with_capacity(1 << 20, file);
            checkpoint::write(&mut file, self.trainer.meta(), &state).map_err(failed)?;
            let file = file.into_inner().map_err(|e| failed(e.into_error()))?;
            file.sync_all().map_err(failed)?;
            let secs = begun.elapsed().as_secs_f64();
            writes.push(secs);
            cores.push(core_secs().zip(core).map_or(secs, |(now, then)| now - then));
        }
        let side = self.trainer.side();
        let (held_out, shown) = (noise(HELD_OUT, side), noise(PREVIEW, side));
        let names: Vec<_> = self.trainer.persons().cloned().collect();
        let (mut evaluations, mut previews) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            let begun = Instant::now();
            for name in &names {
                self.trainer.evaluate(name, &held_out)?;
            }
            evaluations.push(begun.elapsed().as_secs_f64());
            let begun = Instant::now();
            // Everybody's faces, drawn as everybody.
            for name in names.iter().chain(&names) {
                self.trainer.draw(name, &shown.input)?;
            }
            previews.push(begun.elapsed().as_secs_f64());
        }
        let usual = TrainSettings::default();
        let share = |secs: f64, every: f64| secs / (secs + every * step_secs);
        let (copy_secs, evaluation_secs) = (Sample::of(copies), Sample::of(evaluations));
        let (preview_secs, write_core_secs) = (Sample::of(previews), Sample::of(cores));
        let saving =
            copy_secs.median + write_core_secs.median / rayon::current_num_threads() as f64;
        Ok(Looking {
            family: self.family,
            batch: self.trainer.meta().settings.batch,
            step_secs,
            copy_secs,
            write_secs: Sample::of(writes),
            write_core_secs,
            save_share: share(saving, SAVE_EVERY),
            evaluation_secs,
            evaluation_share: share(evaluation_secs.median, usual.evaluate_every as f64),
            preview_secs,
            preview_share: share(preview_secs.median, usual.preview_every as f64),
        })
    }
}

/// Seconds that this thread has had a core for, by Linux's scheduler.
fn core_secs() -> Option<f64> {
    // `.ok()`: other systems have no such file.
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let ns: f64 = text.split_whitespace().next()?.parse().ok()?;
    Some(ns / 1e9)
}

/// Faces of noise: time does not depend on what is on a picture.
fn noise(faces: usize, side: usize) -> FaceBatch {
    let mut rng = Rng::stream(0, "faces of a bench", 0);
    let pixels = faces * side * side;
    let mut many = |n: usize| (0..n).map(|_| rng.unit()).collect::<Vec<f32>>();
    FaceBatch {
        input: many(3 * pixels),
        target: many(3 * pixels),
        mask: many(pixels),
        weight: vec![1.0; pixels],
    }
}
