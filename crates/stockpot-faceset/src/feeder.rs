//! Whole batches, made ahead of the training step by worker threads and handed out in order.
//!
//! Batch `k` holds, for every person, samples `k * B .. (k + 1) * B` of that person's sampler: it is
//! the same for any number of workers. At most a set number of batches is ever in memory.

mod work;

use std::collections::BTreeMap;
use std::sync::{Arc, Condvar, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::error::Error;
use crate::sampler::{SampleOut, Sampler};
pub use work::FeederWork;
use work::{Sums, Watch};

/// One step's worth of samples of every person.
///
/// # Shapes
/// With `P` persons, `B` samples each and resolution `R`: `input` and `target` `[P, B, R, R, 3]`,
/// `mask` and `weight` `[P, B, R, R]`, all 0 to 1 (but `weight`), row by row.
#[derive(Debug, Clone, PartialEq)]
pub struct Batch {
    /// Number of the batch from the start of the run.
    pub number: u64,
    /// Persons in it.
    pub persons: usize,
    /// Samples of each person.
    pub samples: usize,
    /// Width and height of a sample in pixels.
    pub resolution: u32,
    /// Disturbed faces.
    pub input: Vec<f32>,
    /// Faces as they are to come out.
    pub target: Vec<f32>,
    /// Outline of the target's face.
    pub mask: Vec<f32>,
    /// What each pixel counts.
    pub weight: Vec<f32>,
}

impl Batch {
    /// A batch of zeros.
    pub fn new(number: u64, persons: usize, samples: usize, resolution: u32) -> Self {
        let plane = persons * samples * resolution as usize * resolution as usize;
        Self {
            number,
            persons,
            samples,
            resolution,
            input: vec![0.0; 3 * plane],
            target: vec![0.0; 3 * plane],
            mask: vec![0.0; plane],
            weight: vec![0.0; plane],
        }
    }

    /// The place of one sample (`person` and `sample` must be inside).
    pub fn sample_mut(&mut self, person: usize, sample: usize) -> SampleOut<'_> {
        let plane = self.resolution as usize * self.resolution as usize;
        let at = person * self.samples + sample;
        SampleOut {
            input: &mut self.input[at * 3 * plane..][..3 * plane],
            target: &mut self.target[at * 3 * plane..][..3 * plane],
            mask: &mut self.mask[at * plane..][..plane],
            weight: &mut self.weight[at * plane..][..plane],
        }
    }
}

/// How batches are made.
#[derive(Debug, Clone, PartialEq)]
pub struct FeederSettings {
    /// Samples of each person in a batch, at least 1.
    pub samples: usize,
    /// Worker threads. 0 makes each batch when it is asked for, on the thread that asks.
    pub workers: usize,
    /// Batches to be ready ahead of the step, at least 1. Two cover the usual unevenness. With as
    /// many workers or more there is one more batch than workers: each makes whole ones.
    pub ahead: usize,
    /// Number of the first batch: 0, or where a resumed run goes on.
    pub first: u64,
    /// After so many batches the same ones come again; 0 for never.
    pub cycle: u64,
}

/// Hands out batches in order.
#[derive(Debug)]
pub struct Feeder {
    shared: Arc<Shared>,
    workers: Vec<JoinHandle<()>>,
    waited: Duration,
}

#[derive(Debug)]
struct Shared {
    samplers: Vec<Arc<Sampler>>,
    samples: usize,
    cycle: u64,
    sums: Sums,
    state: Mutex<State>,
    /// Told when a batch is ready or a worker has died.
    ready: Condvar,
    /// Told when there is room for another batch, or work is over.
    room: Condvar,
}

#[derive(Debug)]
struct State {
    /// Batches to be ready ahead of the step.
    ahead: u64,
    /// The next batch to begin.
    to_make: u64,
    /// The next batch to hand out.
    to_take: u64,
    done: BTreeMap<u64, Batch>,
    /// Buffers given back.
    spare: Vec<Batch>,
    is_over: bool,
    has_failed: bool,
}

impl Feeder {
    /// Starts making batches for these persons, in this order.
    ///
    /// # Errors
    /// [`Error::BadSetting`] if there is no person, the resolutions differ, or `samples` or `ahead`
    /// is 0; [`Error::Io`] if a thread cannot be started.
    pub fn new(samplers: Vec<Arc<Sampler>>, settings: &FeederSettings) -> Result<Self, Error> {
        let bad = |name, value: String, accepted| {
            Err(Error::BadSetting {
                name,
                value,
                accepted,
            })
        };
        let Some(first) = samplers.first() else {
            return bad("persons", "none".into(), "at least one person");
        };
        if let Some(other) = samplers
            .iter()
            .find(|s| s.resolution() != first.resolution())
        {
            return bad(
                "resolution",
                other.resolution().to_string(),
                "one resolution for all persons",
            );
        }
        if settings.samples == 0 || settings.ahead == 0 {
            let name = if settings.samples == 0 {
                "samples"
            } else {
                "ahead"
            };
            return bad(name, "0".into(), "1 or more");
        }
        let shared = Arc::new(Shared {
            samplers,
            samples: settings.samples,
            cycle: settings.cycle,
            sums: Sums::default(),
            state: Mutex::new(State {
                ahead: settings.ahead as u64,
                to_make: settings.first,
                to_take: settings.first,
                done: BTreeMap::new(),
                spare: Vec::new(),
                is_over: false,
                has_failed: false,
            }),
            ready: Condvar::new(),
            room: Condvar::new(),
        });
        // Made first, so that a thread that cannot be started stops the others through `drop`.
        let mut feeder = Self {
            shared,
            workers: Vec::new(),
            waited: Duration::ZERO,
        };
        for _ in 0..settings.workers {
            feeder.add_worker()?;
        }
        Ok(feeder)
    }

    /// Starts one more worker. The batches stay what they are.
    ///
    /// # Errors
    /// [`Error::Io`] if the thread cannot be started.
    pub fn add_worker(&mut self) -> Result<(), Error> {
        let shared = Arc::clone(&self.shared);
        let thread = std::thread::Builder::new()
            .name(format!("feeder-{}", self.workers.len()))
            .spawn(move || shared.work())
            .map_err(Error::io(
                "start a thread for",
                std::path::Path::new("the feeder"),
            ))?;
        self.workers.push(thread);
        let mut state = self.shared.lock();
        state.ahead = state.ahead.max(self.workers.len() as u64 + 1);
        drop(state);
        self.shared.room.notify_all();
        Ok(())
    }

    /// What making batches has cost so far.
    pub fn work(&self) -> FeederWork {
        self.shared.sums.read(self.workers.len())
    }

    /// The next batch; waits until it is ready.
    ///
    /// # Errors
    /// [`Error::Worker`] if a worker died.
    pub fn next_batch(&mut self) -> Result<Batch, Error> {
        let start = Instant::now();
        let batch = if self.workers.is_empty() {
            self.make_here()
        } else {
            self.take()
        };
        self.waited += start.elapsed();
        batch
    }

    /// Gives a batch back, so that its buffers are used again instead of new ones.
    pub fn give_back(&self, batch: Batch) {
        let mut state = self.shared.lock();
        if state.spare.len() as u64 <= state.ahead {
            state.spare.push(batch);
        }
    }

    /// Time the caller has spent in [`Self::next_batch`] since this was last asked.
    pub fn take_waited(&mut self) -> Duration {
        std::mem::take(&mut self.waited)
    }

    fn take(&mut self) -> Result<Batch, Error> {
        let mut state = self.shared.lock();
        loop {
            let wanted = state.to_take;
            if let Some(batch) = state.done.remove(&wanted) {
                state.to_take += 1;
                drop(state);
                self.shared.room.notify_all();
                return Ok(batch);
            }
            if state.has_failed {
                return Err(Error::Worker);
            }
            state = self
                .shared
                .ready
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }

    fn make_here(&mut self) -> Result<Batch, Error> {
        let mut state = self.shared.lock();
        let number = state.to_take;
        state.to_take += 1;
        let spare = state.spare.pop();
        drop(state);
        self.shared.make(number, spare)
    }
}

impl Drop for Feeder {
    fn drop(&mut self) {
        self.shared.lock().is_over = true;
        self.shared.room.notify_all();
        for worker in self.workers.drain(..) {
            // A worker that panicked has said so through `has_failed`; nothing is left to report.
            let _ = worker.join();
        }
    }
}

impl Shared {
    /// The state. A panicking worker leaves it whole (it changes it in single steps), so a poisoned
    /// lock is used on.
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Samples in a batch, over all persons.
    fn places(&self) -> usize {
        self.samplers.len() * self.samples
    }

    fn blank(&self, number: u64, spare: Option<Batch>) -> Batch {
        let resolution = self.samplers.first().map_or(0, |s| s.resolution());
        let persons = self.samplers.len();
        let fits =
            |b: &Batch| (b.persons, b.samples, b.resolution) == (persons, self.samples, resolution);
        match spare.filter(fits) {
            Some(batch) => Batch { number, ..batch },
            None => Batch::new(number, persons, self.samples, resolution),
        }
    }

    /// Makes a whole batch on this thread.
    fn make(&self, number: u64, spare: Option<Batch>) -> Result<Batch, Error> {
        let watch = Watch::start();
        let mut batch = self.blank(number, spare);
        for at in 0..self.places() {
            self.fill(&mut batch, at)?;
        }
        watch.stop(&self.sums);
        Ok(batch)
    }

    /// Makes the sample at place `at` of the batch.
    fn fill(&self, batch: &mut Batch, at: usize) -> Result<(), Error> {
        let (person, sample) = (at / self.samples, at % self.samples);
        // Nothing remains of a division by 0: the number itself then.
        let content = batch.number.checked_rem(self.cycle).unwrap_or(batch.number);
        let n = content * self.samples as u64 + sample as u64;
        self.samplers[person].sample_into(n, batch.sample_mut(person, sample))
    }

    /// A worker's life: claim a number, make the batch, put it down.
    fn work(&self) {
        let mut alarm = Alarm {
            shared: self,
            is_armed: true,
        };
        while let Some((number, spare)) = self.claim() {
            let Ok(batch) = self.make(number, spare) else {
                return; // the alarm tells the consumer
            };
            self.lock().done.insert(number, batch);
            self.ready.notify_all();
        }
        alarm.is_armed = false;
    }

    /// The next number to make, once there is room for it; `None` when work is over.
    fn claim(&self) -> Option<(u64, Option<Batch>)> {
        let mut state = self.lock();
        loop {
            if state.is_over {
                return None;
            }
            if state.to_make < state.to_take + state.ahead {
                let number = state.to_make;
                state.to_make += 1;
                return Some((number, state.spare.pop()));
            }
            state = self
                .room
                .wait(state)
                .unwrap_or_else(std::sync::PoisonError::into_inner);
        }
    }
}

/// Tells the consumer when a worker ends without having been asked to.
struct Alarm<'a> {
    shared: &'a Shared,
    is_armed: bool,
}

impl Drop for Alarm<'_> {
    fn drop(&mut self) {
        if self.is_armed {
            self.shared.lock().has_failed = true;
            self.shared.ready.notify_all();
        }
    }
}

#[cfg(test)]
mod tests;
