//! T11, speed: how quickly this machine trains and converts, against what it could do at most and
//! what plain loops would do. Timings never fail anything.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::time::Instant;

use stockpot_core::Rng;
use stockpot_jobs::JobError;
use stockpot_kernels::ceiling::{multiply_adds, multiply_adds_bf16};
use stockpot_model::{Family, Network};
use stockpot_train::{Batch, FaceBatch, TrainSettings, TrainSpec, Trainer};

use super::Findings;
use crate::bench::World;
use crate::outcome::{Better, Measure, Toy};

/// Rounds of the measurement of the ceiling: a tenth of a second or so.
const ROUNDS: usize = 30_000_000;
/// Side of the matrices that plain loops multiply.
const PLAIN: usize = 192;

/// Measures.
///
/// # Errors
/// If a training cannot be set up, or the user stopped.
pub fn speed(world: &mut World) -> Result<Findings, JobError> {
    let steps = world.effort.pick(1, 5, 9);
    let batch = world.effort.pick(2, 16, 16);
    let peak = Spread::of(5, || Ok(peak_gflops(multiply_adds)))?;
    // Asked with no round: whether there is such an instruction.
    let pairs = match multiply_adds_bf16(0) {
        Some(_) => {
            let once = || peak_gflops(|rounds| multiply_adds_bf16(rounds).unwrap_or(0));
            Some(Spread::of(5, || Ok(once()))?)
        }
        None => None,
    };
    let plain = Spread::of(3, || Ok(plain_gflops()))?;
    let mut notes = vec![format!(
        "ceiling {} GFLOP/s of f32 products and sums in registers of all threads",
        peak.words(0)
    )];
    match &pairs {
        Some(pairs) => notes.push(format!("of bf16 pairs {}", pairs.words(0))),
        None => notes.push("bf16 is no instruction of this processor".into()),
    }
    let mut measures = Vec::new();
    for family in [Family::COMB[0], Family::DEFAULT, Family::CLASSIC] {
        let trained = train_rate(world, family, batch, steps)?;
        let network = Network::new(family);
        let madds = network.encoder().multiply_adds() + network.decoder().multiply_adds();
        // Forward, and backward to the input and to the weights; a product and a sum each.
        let gflop = 6.0 * madds as f64 / 1e9;
        // Against the ceiling of the numbers that it multiplies.
        let (unit, ceiling) = match &pairs {
            Some(pairs) if trained.precision == "bf16" => ("% of the bf16 ceiling", pairs),
            _ => ("% of the f32 ceiling", &peak),
        };
        measures.push(
            Measure::new(
                format!("training {family}"),
                "faces/s",
                trained.rate.median,
                Better::Higher,
            )
            .with_toys(vec![Toy {
                name: "plain loops",
                value: plain.median / gflop,
            }]),
        );
        measures.push(
            Measure::new(
                format!("training {family}, {}", trained.precision),
                unit,
                100.0 * trained.rate.median * gflop / ceiling.median,
                Better::Higher,
            )
            .with_toys(vec![Toy {
                name: "plain loops",
                value: 100.0 * plain.median / ceiling.median,
            }])
            .with_goal(60.0),
        );
        notes.push(format!(
            "{family} {} faces/s, {:.0} GFLOP/s",
            trained.rate.words(1),
            trained.rate.median * gflop
        ));
    }
    match world.made_pair() {
        Some(_) => {
            let rates = Spread::of(3, || world.swap_rate(0))?;
            notes.push(format!("swap job {} frames/s", rates.words(1)));
            measures.push(Measure::new(
                "converting 256 px video, both passes",
                "frames/s",
                rates.median,
                Better::Higher,
            ));
        }
        None => notes.push("converting is measured together with T1 or T2".into()),
    }
    match peak_memory_mib() {
        Some(mib) => measures.push(Measure::new(
            "most memory of this evaluation",
            "MiB",
            mib,
            Better::Lower,
        )),
        None => notes.push("this system does not tell how much memory was used".into()),
    }
    Ok(Findings {
        measures,
        note: format!("medians, with least and most: {}", notes.join("; ")),
    })
}

/// Several measurements of one thing.
struct Spread {
    least: f64,
    median: f64,
    most: f64,
}

impl Spread {
    fn of(
        times: usize,
        mut measure: impl FnMut() -> Result<f64, JobError>,
    ) -> Result<Self, JobError> {
        let values = (0..times.max(1)).map(|_| measure());
        Ok(Self::from(values.collect::<Result<Vec<f64>, _>>()?))
    }

    /// Of at least one value.
    fn from(mut values: Vec<f64>) -> Self {
        values.sort_by(f64::total_cmp);
        let at = |i: usize| values.get(i).copied().unwrap_or(f64::NAN);
        Self {
            least: at(0),
            median: at(values.len() / 2),
            most: at(values.len().saturating_sub(1)),
        }
    }

    fn words(&self, digits: usize) -> String {
        let Self {
            least,
            median,
            most,
        } = self;
        format!("{median:.digits$} ({least:.digits$} to {most:.digits$})")
    }
}

struct Trained {
    /// Faces of all persons a second.
    rate: Spread,
    precision: String,
}

/// Trains two persons on noise at the default settings: arithmetic does not care what it shows.
fn train_rate(
    world: &World,
    family: Family,
    batch: usize,
    steps: u64,
) -> Result<Trained, JobError> {
    let network = Network::new(family);
    let settings = TrainSettings::resolve(&[serde_json::json!({ "batch": batch })])?;
    let name = |text: &str| {
        text.parse()
            .map_err(|e| JobError::failed(format!("A name cannot be used: {e}")))
    };
    let persons = vec![
        (name("a")?, network.init_decoder(1)),
        (name("b")?, network.init_decoder(1)),
    ];
    let side = family.resolution() as usize;
    let mut trainer = Trainer::new(TrainSpec {
        encoder: network.init_encoder(1),
        network,
        persons,
        lite: Default::default(),
        settings,
        parents: BTreeMap::new(),
    })?;
    let precision = format!("{:?}", trainer.meta().settings.precision).to_lowercase();
    let start = Instant::now();
    let clock = || start.elapsed().as_secs_f64();
    let mut rates = Vec::new();
    for number in 0..=steps {
        world.check_cancel()?;
        let faces = Batch {
            number,
            faces: noise(2 * batch, side, number),
            ..Batch::default()
        };
        let begun = clock();
        trainer.step(&faces, &clock)?;
        // The first step finds fresh memory and counts for nothing.
        if number > 0 {
            rates.push(2.0 * batch as f64 / (clock() - begun));
        }
    }
    Ok(Trained {
        rate: Spread::from(rates),
        precision,
    })
}

fn noise(faces: usize, side: usize, seed: u64) -> FaceBatch {
    let mut rng = Rng::stream(seed, "speed", 0);
    let mut many = |n: usize| (0..n).map(|_| rng.unit()).collect::<Vec<f32>>();
    let pixels = faces * side * side;
    FaceBatch {
        input: many(3 * pixels),
        target: many(3 * pixels),
        mask: many(pixels),
        weight: Vec::new(),
    }
}

/// What all threads together do of `work` in registers, without any memory: the ceiling of whatever
/// multiplies such numbers. In 10^9 operations a second, a product and a sum counting as two.
fn peak_gflops(work: impl Fn(usize) -> u64 + Sync) -> f64 {
    let start = Instant::now();
    let done = rayon::broadcast(|_| work(ROUNDS));
    done.iter().sum::<u64>() as f64 / start.elapsed().as_secs_f64() / 1e9
}

/// What three plain loops over two matrices reach on one thread, in 10^9 operations a second.
fn plain_gflops() -> f64 {
    let mut rng = Rng::stream(0, "plain loops", 0);
    let mut matrix = || (0..PLAIN * PLAIN).map(|_| rng.unit()).collect::<Vec<f32>>();
    let (a, b) = (black_box(matrix()), black_box(matrix()));
    let mut c = vec![0.0f32; PLAIN * PLAIN];
    let start = Instant::now();
    for y in 0..PLAIN {
        for x in 0..PLAIN {
            let mut sum = 0.0;
            for k in 0..PLAIN {
                sum += a[y * PLAIN + k] * b[k * PLAIN + x];
            }
            c[y * PLAIN + x] = sum;
        }
    }
    let secs = start.elapsed().as_secs_f64();
    black_box(c);
    (2 * PLAIN.pow(3)) as f64 / secs / 1e9
}

/// The most memory this process has held, where the Linux kernel tells.
fn peak_memory_mib() -> Option<f64> {
    // `.ok()`: other systems have no such file, and the track then says so.
    let text = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = text.lines().find(|l| l.starts_with("VmHWM:"))?;
    let kib: f64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib / 1024.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spreads_are_least_median_and_most() {
        let spread = Spread::from(vec![3.0, 1.0, 10.0]);
        assert_eq!(spread.words(0), "3 (1 to 10)");
        assert!(Spread::from(Vec::new()).median.is_nan());
    }
}
