//! Batches for the trainer, made ahead of its step by as many workers as that takes.

use std::sync::Arc;
use std::time::{Duration, Instant};

use stockpot_faceset::{Batch as FacesetBatch, Feeder, FeederSettings, FeederWork, Sampler};
use stockpot_train::meter::MOST_WAITING;
use stockpot_train::run::BoxError;
use stockpot_train::{Batch, FaceBatch, Feed, FeedWork};

use crate::error::JobError;

/// Batches ready ahead of the step.
const AHEAD: usize = 3;
/// Batches after which it is looked at whether another worker is needed.
const LOOK_EVERY: u64 = 8;

/// Moves a faceset batch's buffers into the trainer's form, which has the same layout.
pub(super) fn moved(batch: FacesetBatch) -> FaceBatch {
    FaceBatch {
        input: batch.input,
        target: batch.target,
        mask: batch.mask,
        weight: batch.weight,
    }
}

/// Brings the feeder's batches into the trainer's form, and the empty buffers back.
pub(super) struct FeederFeed {
    feeder: Feeder,
    persons: usize,
    samples: usize,
    resolution: u32,
    cycle: u64,
    cores: usize,
    /// Where the number of workers follows the need.
    grows: bool,
    /// Since it was last looked at whether it is enough.
    since: Since,
}

struct Since {
    start: Instant,
    batches: u64,
    work: FeederWork,
}

impl Since {
    fn now(feeder: &Feeder) -> Self {
        Self {
            start: Instant::now(),
            batches: 0,
            work: feeder.work(),
        }
    }
}

impl FeederFeed {
    /// Batches of `samples` faces of each person from number `first` on, the same again after
    /// `cycle` of them (0: never), made by `workers` threads; 0 begins with one and adds more while
    /// the step waits for them and cores are left.
    pub(super) fn new(
        samplers: Vec<Arc<Sampler>>,
        samples: usize,
        workers: usize,
        (first, cycle): (u64, u64),
    ) -> Result<Self, JobError> {
        let settings = FeederSettings {
            samples,
            workers: workers.max(1),
            ahead: AHEAD,
            first,
            cycle,
        };
        let (persons, resolution) = (
            samplers.len(),
            samplers.first().map_or(0, |s| s.resolution()),
        );
        let feeder = Feeder::new(samplers, &settings)?;
        Ok(Self {
            since: Since::now(&feeder),
            feeder,
            persons,
            samples,
            resolution,
            cycle,
            // Not known on every system; then the threads that compute are taken for the cores.
            cores: std::thread::available_parallelism()
                .map_or_else(|_| rayon::current_num_threads(), usize::from),
            grows: workers == 0,
        })
    }

    fn look(&mut self) -> Result<(), JobError> {
        self.since.batches += 1;
        if !self.grows || self.since.batches < LOOK_EVERY {
            return Ok(());
        }
        let last = std::mem::replace(&mut self.since, Since::now(&self.feeder));
        let made = (last.work, self.since.work);
        let waited = self.feeder.take_waited();
        if is_short((last.start.elapsed(), waited), made, LOOK_EVERY, self.cores) {
            self.feeder.add_worker()?;
        }
        Ok(())
    }
}

/// Whether another worker would shorten the waiting: the workers cannot keep up with the step, by
/// the time that a batch takes them on a core and a step takes without waiting.
fn is_short(
    (passed, waited): (Duration, Duration),
    (before, after): (FeederWork, FeederWork),
    steps: u64,
    cores: usize,
) -> bool {
    let batches = after.batches.saturating_sub(before.batches);
    if batches == 0 || after.workers >= cores {
        return false;
    }
    let batch = (after.busy.saturating_sub(before.busy)).as_secs_f64() / batches as f64;
    let step = passed.saturating_sub(waited).as_secs_f64() / steps as f64;
    waited.as_secs_f64() > MOST_WAITING * passed.as_secs_f64()
        && batch > step * after.workers as f64
}

impl Feed for FeederFeed {
    fn next(&mut self, number: u64) -> Result<Batch, BoxError> {
        let batch = self.feeder.next_batch()?;
        if batch.number != number {
            return Err(format!("batch {} came when {number} was due", batch.number).into());
        }
        self.look()?;
        Ok(Batch {
            number,
            content: number.checked_rem(self.cycle),
            faces: moved(batch),
        })
    }

    fn give_back(&mut self, batch: Batch) {
        self.feeder.give_back(FacesetBatch {
            number: batch.number,
            persons: self.persons,
            samples: self.samples,
            resolution: self.resolution,
            input: batch.faces.input,
            target: batch.faces.target,
            mask: batch.faces.mask,
            weight: batch.faces.weight,
        });
    }

    fn work(&self) -> Option<FeedWork> {
        let work = self.feeder.work();
        Some(FeedWork {
            workers: work.workers,
            cores: self.cores,
            batches: work.batches,
            busy_secs: work.busy.as_secs_f64(),
            spent_secs: work.spent.as_secs_f64(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_is_added_only_where_it_helps() {
        let work = |workers, batches, busy_ms| FeederWork {
            workers,
            batches,
            busy: Duration::from_millis(busy_ms),
            spent: Duration::from_millis(2 * busy_ms),
        };
        let ms = Duration::from_millis;
        let short = |waited, workers, busy: u64, cores| {
            // Eight steps in 800 ms.
            let made = (work(workers, 10, 500), work(workers, 18, 500 + busy));
            is_short((ms(800), ms(waited)), made, 8, cores)
        };
        // 70 ms a step without waiting, 100 ms a batch.
        assert!(short(240, 1, 800, 16));
        assert!(!short(240, 2, 800, 16), "two workers make one in 50 ms");
        assert!(!short(240, 1, 800, 1), "no core is left");
        assert!(!short(10, 1, 800, 16), "hardly any waiting");
        assert!(
            !short(240, 1, 400, 16),
            "50 ms a batch: something else is slow"
        );
    }
}
