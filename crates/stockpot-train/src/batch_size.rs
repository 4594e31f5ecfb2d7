//! The largest batch that fits the memory and is not slower per face, found by a few timed steps.
//!
//! The steps are made by trainers of their own on faces of noise and are thrown away: a run of the
//! size found equals one that was given it. Start with [`find`].

use std::collections::BTreeMap;

use serde::Serialize;
use stockpot_core::{CancelToken, PersonName, Rng};
use stockpot_model::{Network, Params};

use crate::batch::{Batch, FaceBatch};
use crate::error::Error;
use crate::settings::TrainSettings;
use crate::trainer::{Clock, TrainSpec, Trainer};

/// Sizes that are tried, smallest first. Below, steps are too noisy for the usual learning rate;
/// above, a training makes too few of them.
pub const TRIED: [usize; 5] = [4, 8, 16, 32, 64];
/// Timed steps of each size, after one that finds its memory fresh.
const TIMED: u64 = 2;
/// A size counts as not slower up to this much more time a face: what repeated steps differ by.
const TOLERANCE: f64 = 1.02;
/// Seconds for all trials together, as far as they can be foreseen.
const MOST_SECS: f64 = 40.0;

/// What one size took.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Trial {
    /// Faces of each person in a step.
    pub batch: usize,
    /// Seconds for one face: those of the quickest step over all its faces.
    pub secs_per_face: f64,
}

/// Why no larger size was tried.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Limit {
    /// It would not fit the memory.
    Memory,
    /// Trying it would take too long.
    Time,
    /// There is none to try.
    Largest,
}

/// The size, and what it was chosen from.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Found {
    /// Faces of each person in a step.
    pub batch: usize,
    /// All sizes tried, smallest first.
    pub trials: Vec<Trial>,
    /// Why no larger one was.
    pub limit: Limit,
}

/// Tries sizes for a training of these persons from these weights. `fits` says whether the memory
/// is enough for a size; the smallest is tried in any case.
///
/// # Errors
/// [`Error::Persons`] or [`Error::Shape`] as [`Trainer::new`]; [`Error::Cancelled`].
pub fn find(
    (network, encoder): (&Network, &Params),
    persons: &[(PersonName, Params)],
    settings: &TrainSettings,
    fits: &dyn Fn(usize) -> bool,
    clock: Clock<'_>,
    cancel: &CancelToken,
) -> Result<Found, Error> {
    let begun = clock();
    let mut trials: Vec<Trial> = Vec::new();
    let mut limit = Limit::Largest;
    for batch in TRIED {
        if let Some(last) = trials.last() {
            let step = last.secs_per_face * (batch * persons.len()) as f64;
            if !fits(batch) {
                limit = Limit::Memory;
                break;
            }
            if clock() - begun + (1 + TIMED) as f64 * step > MOST_SECS {
                limit = Limit::Time;
                break;
            }
        }
        let spec = TrainSpec {
            network: network.clone(),
            encoder: encoder.clone(),
            persons: persons.to_vec(),
            lite: Default::default(),
            settings: TrainSettings {
                batch,
                ..settings.clone()
            },
            parents: BTreeMap::new(),
        };
        let secs = quickest_step(Trainer::new(spec)?, clock, cancel)?;
        trials.push(Trial {
            batch,
            secs_per_face: secs / (batch * persons.len()) as f64,
        });
    }
    Ok(Found {
        batch: choose(&trials),
        trials,
        limit,
    })
}

/// Seconds of the quickest of a few steps.
fn quickest_step(
    mut trainer: Trainer,
    clock: Clock<'_>,
    cancel: &CancelToken,
) -> Result<f64, Error> {
    let faces = trainer.persons().count() * trainer.meta().settings.batch;
    let mut batch = Batch {
        number: 0,
        faces: noise(faces, trainer.side()),
        ..Batch::default()
    };
    let mut best = f64::INFINITY;
    for number in 0..=TIMED {
        if cancel.is_cancelled() {
            return Err(Error::Cancelled);
        }
        batch.number = number;
        let start = clock();
        trainer.step(&batch, clock)?;
        if number > 0 {
            best = best.min(clock() - start);
        }
    }
    Ok(best)
}

/// The largest size that takes a face no longer than the quickest does.
fn choose(trials: &[Trial]) -> usize {
    let best = trials.iter().map(|t| t.secs_per_face);
    let best = best.fold(f64::INFINITY, f64::min);
    let good = trials
        .iter()
        .filter(|t| t.secs_per_face <= TOLERANCE * best);
    good.map(|t| t.batch).max().unwrap_or(TRIED[0])
}

/// Faces that no person has: time does not depend on what is on a picture.
fn noise(faces: usize, side: usize) -> FaceBatch {
    let mut rng = Rng::stream(0, "faces of a trial", 0);
    let pixels = faces * side * side;
    let mut many = |n: usize| (0..n).map(|_| rng.unit()).collect::<Vec<f32>>();
    FaceBatch {
        input: many(3 * pixels),
        target: many(3 * pixels),
        mask: many(pixels),
        weight: vec![1.0; pixels],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::trainer::tests::{name, still};

    #[test]
    fn the_largest_that_is_not_slower_is_chosen() {
        let trials = |all: &[(usize, f64)]| -> Vec<Trial> {
            let trial = |(batch, secs_per_face): &(usize, f64)| Trial {
                batch: *batch,
                secs_per_face: *secs_per_face,
            };
            all.iter().map(trial).collect()
        };
        assert_eq!(
            choose(&trials(&[(4, 1.3), (8, 1.1), (16, 1.0), (32, 1.01)])),
            32
        );
        assert_eq!(
            choose(&trials(&[(4, 1.3), (8, 1.0), (16, 1.1), (32, 1.3)])),
            8
        );
        assert_eq!(choose(&trials(&[(4, 1.0)])), 4);
    }

    #[test]
    fn memory_time_and_the_user_end_the_trials() {
        let network = Network::new("classic-2x16d32".parse().unwrap());
        let (encoder, decoder) = (network.init_encoder(1), network.init_decoder(1));
        let persons = [(name("anna"), decoder.clone()), (name("ben"), decoder)];
        let try_with = |fits: &dyn Fn(usize) -> bool, clock: Clock<'_>, cancel: &CancelToken| {
            let settings = TrainSettings::default();
            find(
                (&network, &encoder),
                &persons,
                &settings,
                fits,
                clock,
                cancel,
            )
        };
        let go_on = CancelToken::new();
        let small = try_with(&|batch| batch <= 8, &still, &go_on).unwrap();
        assert_eq!((small.batch, small.limit), (8, Limit::Memory));
        let tight = try_with(&|_| false, &still, &go_on).unwrap();
        assert_eq!((tight.batch, tight.trials.len()), (4, 1));
        let ticks = std::cell::Cell::new(0.0);
        let slow = || {
            ticks.set(ticks.get() + 1.0);
            ticks.get()
        };
        let short = try_with(&|_| true, &slow, &go_on).unwrap();
        assert_eq!((short.trials.len(), short.limit), (1, Limit::Time));
        let stop = CancelToken::new();
        stop.cancel();
        let stopped = try_with(&|_| true, &still, &stop);
        assert!(matches!(stopped, Err(Error::Cancelled)));
    }
}
