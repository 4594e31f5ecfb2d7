//! `stockpot bench`: how fast this machine could be at most, and how near stockpot comes to that.
//!
//! Measures first what the processor and the memory can do ([`ceilings`]), then each layer alone
//! ([`layers`]), whole training steps, feeding and saving ([`steps`]), and videos from end to end
//! ([`video`]). Every figure is a median with the lowest and the highest of several rounds. Start
//! with [`run`].

pub mod ceilings;
pub mod layers;
mod page;
mod picture;
pub mod steps;
mod text;
pub mod video;

use std::path::PathBuf;
use std::time::Instant;

use serde::Serialize;
use stockpot_core::{Progress, picture as pictures};
use stockpot_jobs::{Context, JobError, JobErrorKind};
use stockpot_model::Family;
use stockpot_train::settings::Precision;

use crate::bench::{cannot, machine, make_folder};
use ceilings::Ceilings;
use layers::Layer;
use steps::{Feeding, Looking, Step};
use video::Video;

/// What to measure.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Fewer networks, sizes and rounds: about two minutes on 2 cores instead of about fifteen.
    pub quick: bool,
    /// So little that it only shows that everything runs.
    pub tiny: bool,
    /// Where `bench.json` and `bench.html` go; nowhere without.
    pub out: Option<PathBuf>,
    /// The command as typed, for the record.
    pub command: String,
}

/// The middle of some rounds and how far they lie apart.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct Sample {
    /// The middle one (of an even number the upper of the two).
    pub median: f64,
    /// The lowest.
    pub low: f64,
    /// The highest.
    pub high: f64,
}

impl Sample {
    /// Of at least one value; zeros of none.
    pub fn of(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |i: usize| values.get(i).copied().unwrap_or_default();
        Self {
            median: at(values.len() / 2),
            low: at(0),
            high: at(values.len().saturating_sub(1)),
        }
    }

    /// What amount per second is of these seconds.
    pub fn rate(self, amount: f64) -> Self {
        Self {
            median: amount / self.median,
            low: amount / self.high,
            high: amount / self.low,
        }
    }
}

/// What the bench found.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// The version of this program.
    pub stockpot: &'static str,
    /// The machine, in words.
    pub machine: String,
    /// The command as typed.
    pub command: String,
    /// Whether this was the short form.
    pub quick: bool,
    /// How many programs wanted a core in the minute before the bench began, where the system tells.
    /// More than about 0.5 means that others were at work and the figures are too low.
    pub load_before: Option<f64>,
    /// What the machine can do at most.
    pub ceilings: Ceilings,
    /// Each layer alone.
    pub layers: Vec<Layer>,
    /// Whole training steps.
    pub steps: Vec<Step>,
    /// What saving, measuring and drawing cost a training.
    pub looking: Vec<Looking>,
    /// Making batches alone.
    pub feeding: Vec<Feeding>,
    /// Videos from end to end.
    pub video: Option<Video>,
    /// What could not be measured, and why.
    pub not_measured: Vec<String>,
    /// How long everything took.
    pub seconds: f64,
    /// The page, if one was written.
    pub page: Option<PathBuf>,
}

impl Reply {
    /// The tables for people.
    pub fn text(&self) -> String {
        text::text(self)
    }
}

/// How much is measured.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    /// Networks whose layers are measured one by one.
    pub(crate) layer_families: Vec<Family>,
    /// Networks whose steps are measured.
    pub(crate) families: Vec<Family>,
    /// Faces of each person in a step.
    pub(crate) batches: Vec<usize>,
    /// Number formats; `auto` is settled.
    pub(crate) precisions: Vec<Precision>,
    /// Rounds of everything short.
    pub(crate) rounds: usize,
    /// Seconds of a short measurement.
    pub(crate) secs: f64,
    /// Numbers in each buffer for the memory's speed; three are used.
    pub(crate) memory_numbers: usize,
    /// Frames of the rendered clips.
    pub(crate) frames: u32,
}

impl Plan {
    fn of(settings: &Settings) -> Result<Self, JobError> {
        let best = Precision::Auto.settle()?;
        let all: Vec<Family> = Family::COMB.into_iter().chain([Family::CLASSIC]).collect();
        let mut precisions = vec![best];
        Ok(if settings.tiny {
            Self {
                layer_families: vec![Family::COMB[0]],
                families: vec![Family::COMB[0]],
                batches: vec![2],
                precisions,
                rounds: 1,
                secs: 0.005,
                memory_numbers: 1 << 16,
                frames: 12,
            }
        } else if settings.quick {
            Self {
                layer_families: vec![Family::DEFAULT],
                families: all,
                batches: vec![16],
                precisions,
                rounds: 3,
                secs: 0.05,
                memory_numbers: 1 << 25,
                frames: 24,
            }
        } else {
            if best != Precision::F32 {
                precisions.push(Precision::F32);
            }
            Self {
                layer_families: all.clone(),
                families: all,
                batches: vec![4, 16, 64],
                precisions,
                rounds: 5,
                secs: 0.1,
                memory_numbers: 1 << 26,
                frames: 90,
            }
        })
    }
}

/// Runs the bench.
///
/// # Errors
/// If the output cannot be written or the user stopped. What cannot be measured here is listed in
/// the reply instead.
pub fn run(ctx: &Context, settings: &Settings) -> Result<Reply, JobError> {
    let start = Instant::now();
    make_folder(settings.out.as_deref())?;
    let load_before = load();
    let plan = Plan::of(settings)?;
    let mut not_measured = Vec::new();
    let ceilings = ceilings::measure(ctx, &plan)?;
    let mut layers = layers::measure(ctx, &plan)?;
    let (mut steps, looking) = steps::measure(ctx, &plan)?;
    let (video, feeding) = match video::measure(ctx, &plan) {
        Ok((video, feeding)) => (Some(video), feeding),
        Err(e) if e.kind == JobErrorKind::Cancelled => return Err(e),
        Err(e) => {
            let hint = e.hint.as_deref().map(|h| format!(" ({h})"));
            not_measured.push(format!(
                "extraction, swapping and feeding: {e}{}",
                hint.unwrap_or_default()
            ));
            (None, Vec::new())
        }
    };
    let ceilings = ceilings.with(ceilings::measure(ctx, &plan)?);
    layers.iter_mut().for_each(|l| l.judge(&ceilings));
    steps.iter_mut().for_each(|s| s.judge(&ceilings));
    let feeding = steps::beside(feeding, &steps);
    if ceilings.bf16_all.is_none() {
        not_measured.push("bf16: this processor does not multiply it by itself".into());
    }
    let reply = Reply {
        stockpot: env!("CARGO_PKG_VERSION"),
        machine: machine(ctx),
        command: settings.command.clone(),
        quick: settings.quick,
        load_before,
        ceilings,
        layers,
        steps,
        looking,
        feeding,
        video,
        not_measured,
        seconds: start.elapsed().as_secs_f64(),
        page: settings.out.as_ref().map(|out| out.join("bench.html")),
    };
    if let Some(out) = &settings.out {
        let json = serde_json::to_vec_pretty(&reply)
            .map_err(|e| JobError::failed(format!("The result cannot be written as JSON: {e}")))?;
        for (name, bytes) in [
            ("bench.json", json),
            ("bench.html", page::html(&reply).into_bytes()),
        ] {
            let path = out.join(name);
            pictures::write_whole(&path, &bytes).map_err(|e| cannot("write", &path, &e))?;
        }
    }
    Ok(reply)
}

/// A phase of the bench and its parts.
pub(crate) struct Watch<'a> {
    ctx: &'a Context,
    done: u64,
}

impl<'a> Watch<'a> {
    pub(crate) fn begin(ctx: &'a Context, name: &'static str, total: usize) -> Self {
        ctx.progress.send(Progress::Phase {
            name,
            total: total as u64,
        });
        Self { ctx, done: 0 }
    }

    /// Counts a part; an error if the user asked to stop.
    pub(crate) fn tick(&mut self, note: &str) -> Result<(), JobError> {
        self.done += 1;
        self.ctx.progress.send(Progress::Step {
            done: self.done,
            note: note.to_owned(),
        });
        match self.ctx.cancel.is_cancelled() {
            true => Err(JobError::cancelled("Stopped before the bench was done")),
            false => Ok(()),
        }
    }
}

/// Seconds that `work` takes, over and over for at least `secs` seconds and three times.
pub(crate) fn timed(secs: f64, mut work: impl FnMut()) -> Sample {
    let (begun, mut found) = (Instant::now(), Vec::new());
    while found.len() < 3 || begun.elapsed().as_secs_f64() < secs {
        let start = Instant::now();
        work();
        found.push(start.elapsed().as_secs_f64());
    }
    Sample::of(found)
}

/// The load of the last minute, by Linux.
fn load() -> Option<f64> {
    // `.ok()`: other systems have no such file.
    let text = std::fs::read_to_string("/proc/loadavg").ok()?;
    text.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    #[test]
    fn samples_are_medians_with_their_ends() {
        let found = Sample::of(vec![3.0, 1.0, 2.0, 9.0, 4.0]);
        let wanted = Sample {
            median: 3.0,
            low: 1.0,
            high: 9.0,
        };
        assert_eq!(found, wanted);
        let rate = found.rate(18.0);
        assert_eq!((rate.median, rate.low, rate.high), (6.0, 2.0, 18.0));
        assert_eq!(Sample::of(Vec::new()), Sample::default());
        assert!(timed(0.0, || ()).high >= 0.0);
    }

    #[test]
    fn the_better_of_two_measurements_is_the_ceiling() {
        let first = sample().ceilings;
        let (better, worse) = (Sample::of(vec![470.0, 520.0]), Sample::of(vec![100.0]));
        let second = Ceilings {
            f32_all: better,
            memory_all: worse,
            ..first
        };
        let both = first.with(second);
        assert_eq!((both.gflops(false), both.f32_all.low), (520.0, 414.0));
        assert_eq!(both.memory(), 100.0);
        assert!((both.gflops(true) - 990.0).abs() < 1e-9);
        let mut step = sample().steps.remove(0);
        step.judge(&both);
        assert!((step.share - 350.0 / 990.0).abs() < 1e-9);
        let mut layer = sample().layers.remove(0);
        layer.judge(&first);
        // 30 operations a byte: 22 GB/s allow 660 GFLOP/s, less than the 990 of the products.
        assert!((layer.forward.share - 300.0 / 660.0).abs() < 1e-9);
    }

    pub(crate) fn sample() -> Reply {
        let at = |median: f64| Sample {
            median,
            low: 0.9 * median,
            high: 1.1 * median,
        };
        let layer = |name: &str, intensity| Layer {
            family: Family::DEFAULT,
            name: name.into(),
            precision: Precision::Bf16,
            faces: 32,
            share_of_step: 0.25,
            forward: layers::Way {
                gflops: at(300.0),
                intensity,
                share: 0.4,
            },
            backward: layers::Way {
                gflops: at(200.0),
                intensity: 0.8 * intensity,
                share: 0.3,
            },
        };
        Reply {
            stockpot: "0.0.0",
            machine: "a machine".into(),
            command: "stockpot bench <b>".into(),
            quick: true,
            load_before: Some(2.5),
            ceilings: Ceilings {
                threads: 2,
                f32_one: at(230.0),
                f32_all: at(460.0),
                bf16_one: Some(at(450.0)),
                bf16_all: Some(at(900.0)),
                memory_one: at(12.0),
                memory_all: at(20.0),
            },
            layers: vec![layer("encoder.stem", 30.0), layer("decoder.up1", 300.0)],
            steps: vec![Step {
                family: Family::DEFAULT,
                batch: 16,
                precision: Precision::Bf16,
                step_secs: at(0.8),
                faces_per_sec: at(40.0),
                gflops: at(350.0),
                share: 0.39,
                parts: vec![("forward", 0.3), ("backward", 0.6)],
            }],
            looking: vec![Looking {
                family: Family::DEFAULT,
                batch: 16,
                step_secs: 0.8,
                copy_secs: at(0.05),
                write_secs: at(0.6),
                write_core_secs: at(0.2),
                save_share: 0.002,
                evaluation_secs: at(0.5),
                evaluation_share: 0.003,
                preview_secs: at(0.1),
                preview_share: 0.001,
            }],
            feeding: vec![Feeding {
                family: Family::DEFAULT,
                resolution: 96,
                faces_per_sec_of_core: at(5000.0),
                step_faces_per_sec: Some(40.0),
                cores_for_step: Some(0.008),
            }],
            video: Some(Video {
                width: 1920,
                height: 1080,
                frames: 24,
                extract_frames_per_sec: at(20.0),
                swap_frames_per_sec: at(10.0),
                preset: Family::DEFAULT,
            }),
            not_measured: vec!["a <thing>: why".into()],
            seconds: 100.0,
            page: None,
        }
    }
}
