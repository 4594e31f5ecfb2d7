//! What the machine can do at most: products in registers, and numbers to and from memory.
//!
//! Whatever else runs on the machine can only make these figures lower, so the highest round is the
//! ceiling; they are taken at the beginning of the bench and again at its end.

use std::hint::black_box;
use std::time::Instant;

use rayon::prelude::*;
use serde::Serialize;
use stockpot_jobs::{Context, JobError};
use stockpot_kernels::ceiling::{multiply_adds, multiply_adds_bf16};
use stockpot_kernels::vectorise;

use super::{Plan, Sample, Watch};

/// The limits of this machine.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Ceilings {
    /// Threads that work at once.
    pub threads: usize,
    /// Products and sums of `f32` in registers, one thread, in 10⁹ a second.
    pub f32_one: Sample,
    /// All threads.
    pub f32_all: Sample,
    /// Of `bf16` pairs, summed in `f32`; none where the processor lacks that.
    pub bf16_one: Option<Sample>,
    /// All threads.
    pub bf16_all: Option<Sample>,
    /// Memory, one thread, in 10⁹ bytes a second: `a = b + s c` over buffers far beyond the caches,
    /// 12 bytes a number (what is written is read first by most processors, and not counted).
    pub memory_one: Sample,
    /// All threads.
    pub memory_all: Sample,
}

impl Ceilings {
    /// The products' ceiling of all threads for a number format, in 10⁹ a second.
    pub fn gflops(&self, bf16: bool) -> f64 {
        match self.bf16_all.filter(|_| bf16) {
            Some(all) => all.high,
            None => self.f32_all.high,
        }
    }

    /// The memory's ceiling of all threads, in 10⁹ bytes a second.
    pub fn memory(&self) -> f64 {
        self.memory_all.high
    }

    /// Both measurements taken together: the median of the better one, the ends of both.
    pub(super) fn with(self, other: Self) -> Self {
        let both = |a: Sample, b: Sample| Sample {
            median: a.median.max(b.median),
            low: a.low.min(b.low),
            high: a.high.max(b.high),
        };
        Self {
            threads: self.threads,
            f32_one: both(self.f32_one, other.f32_one),
            f32_all: both(self.f32_all, other.f32_all),
            bf16_one: self.bf16_one.zip(other.bf16_one).map(|(a, b)| both(a, b)),
            bf16_all: self.bf16_all.zip(other.bf16_all).map(|(a, b)| both(a, b)),
            memory_one: both(self.memory_one, other.memory_one),
            memory_all: both(self.memory_all, other.memory_all),
        }
    }
}

/// Numbers of a thread's part.
const PART: usize = 1 << 16;

/// Measures.
pub(super) fn measure(ctx: &Context, plan: &Plan) -> Result<Ceilings, JobError> {
    let mut watch = Watch::begin(ctx, "measure the machine", 6);
    let threads = rayon::current_num_threads();
    let mut registers = |name: &str, work: &(dyn Fn(usize) -> u64 + Sync), threads: usize| {
        let found = rate(plan, work, threads);
        watch.tick(name).map(|()| found)
    };
    let f32_one = registers("f32", &multiply_adds, 1)?;
    let f32_all = registers("f32", &multiply_adds, threads)?;
    // Asked with no round: whether there is such an instruction.
    let (mut bf16_one, mut bf16_all) = (None, None);
    if multiply_adds_bf16(0).is_some() {
        let work = |rounds| multiply_adds_bf16(rounds).unwrap_or(0);
        bf16_one = Some(registers("bf16", &work, 1)?);
        bf16_all = Some(registers("bf16", &work, threads)?);
    }
    let mut buffers = Buffers::new(plan.memory_numbers);
    let memory_one = buffers.rate(plan, false);
    watch.tick("memory")?;
    let memory_all = buffers.rate(plan, true);
    watch.tick("memory")?;
    Ok(Ceilings {
        threads,
        f32_one,
        f32_all,
        bf16_one,
        bf16_all,
        memory_one,
        memory_all,
    })
}

/// 10⁹ operations a second of `threads` threads at once.
fn rate(plan: &Plan, work: &(dyn Fn(usize) -> u64 + Sync), threads: usize) -> Sample {
    // As many rounds as fill the time, found by doubling.
    let mut rounds = 1 << 12;
    loop {
        let start = Instant::now();
        black_box(work(rounds));
        if start.elapsed().as_secs_f64() > plan.secs || rounds > 1 << 30 {
            break;
        }
        rounds *= 2;
    }
    let once = || {
        let start = Instant::now();
        let done: u64 = match threads {
            1 => work(rounds),
            _ => rayon::broadcast(|_| work(rounds)).iter().sum(),
        };
        done as f64 / start.elapsed().as_secs_f64() / 1e9
    };
    Sample::of((0..2 * plan.rounds + 1).map(|_| once()).collect())
}

struct Buffers {
    a: Vec<f32>,
    b: Vec<f32>,
    c: Vec<f32>,
}

impl Buffers {
    fn new(numbers: usize) -> Self {
        // Not zeros: fresh zeros may be one page seen many times.
        Self {
            a: vec![1.0; numbers],
            b: vec![2.0; numbers],
            c: vec![3.0; numbers],
        }
    }

    fn rate(&mut self, plan: &Plan, all: bool) -> Sample {
        let Self { a, b, c } = self;
        let bytes = (12 * a.len()) as f64;
        let factor = black_box(0.5f32);
        let part = |(a, (b, c)): (&mut [f32], (&[f32], &[f32]))| {
            vectorise(|| {
                for (a, (b, c)) in a.iter_mut().zip(b.iter().zip(c)) {
                    *a = *b + factor * *c;
                }
            });
        };
        let mut found = Vec::new();
        for _ in 0..2 * plan.rounds + 1 {
            let start = Instant::now();
            if all {
                a.par_chunks_mut(PART)
                    .zip(b.par_chunks(PART).zip(c.par_chunks(PART)))
                    .for_each(part);
            } else {
                a.chunks_mut(PART)
                    .zip(b.chunks(PART).zip(c.chunks(PART)))
                    .for_each(part);
            }
            found.push(bytes / start.elapsed().as_secs_f64() / 1e9);
        }
        black_box(&*a);
        Sample::of(found)
    }
}
