//! How much memory a training was forecast to take, how much it took, and whether that stays so.
//!
//! `cargo run --release -p stockpot-train --example memory -- comb-s-96 16 auto 2 10`
//! (network, faces per person, precision, persons, steps; Linux only). With `flat` as a sixth word
//! it prints the memory in use at ten points of the way.

use std::collections::BTreeMap;
use std::time::Instant;

use stockpot_core::{PersonName, Rng};
use stockpot_model::Network;
use stockpot_train::forecast::forecast;
use stockpot_train::{Batch, FaceBatch, TrainSettings, TrainSpec, Trainer};

/// Held-out faces of each person.
const HELD_OUT: usize = 48;
/// Steps between copies of the state.
const SNAPSHOT_EVERY: u64 = 8;
/// Batches made ahead, which the feeder would keep.
const AHEAD: u64 = 5;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let network = Network::new(words.next().as_deref().unwrap_or("comb-s-96").parse()?);
    let faces: usize = words.next().as_deref().unwrap_or("16").parse()?;
    let precision = words.next().unwrap_or("auto".into());
    let count: usize = words.next().as_deref().unwrap_or("2").parse()?;
    let steps: u64 = words.next().as_deref().unwrap_or("10").parse()?;
    let flat = words.next().as_deref() == Some("flat");
    let chosen = serde_json::json!({"batch": faces, "precision": precision});
    let mut settings = TrainSettings::resolve(&[chosen])?;
    settings.precision = settings.precision.settle()?;
    let family = network.family();
    let side = family.resolution() as usize;
    let forecast = forecast(&network, &settings, count, HELD_OUT);
    let before = kib("VmRSS:")?;
    let persons: Vec<(PersonName, _)> = (0..count)
        .map(|i| Ok((format!("p{i}").parse()?, network.init_decoder(1))))
        .collect::<Result<_, Box<dyn std::error::Error>>>()?;
    let encoder = network.init_encoder(1);
    let what = format!("{family} {count} x {faces} {:?}", settings.precision);
    let mut trainer = Trainer::new(TrainSpec {
        network,
        encoder,
        persons,
        lite: Default::default(),
        settings,
        parents: BTreeMap::new(),
    })?;
    let ready: Vec<FaceBatch> = (0..AHEAD).map(|i| noise(count * faces, side, i)).collect();
    let held_out: Vec<FaceBatch> = (0..count as u64)
        .map(|i| noise(HELD_OUT, side, 100 + i))
        .collect();
    let start = Instant::now();
    let clock = || start.elapsed().as_secs_f64();
    let mut batch = Batch::default();
    for number in 0..steps {
        batch.number = number;
        batch.faces.clone_from(&ready[(number % AHEAD) as usize]);
        trainer.step(&batch, &clock)?;
        if number % SNAPSHOT_EVERY == 1 || number + 1 == steps {
            trainer.snapshot()?;
        }
        if number == steps / 2 {
            let names: Vec<PersonName> = trainer.persons().cloned().collect();
            for (name, faces) in names.iter().zip(&held_out) {
                trainer.evaluate(name, faces)?;
            }
        }
        if flat && (number + 1).is_multiple_of((steps / 10).max(1)) {
            println!(
                "step {:6}: {:8.1} MB in use, peak {:8.1} MB",
                number + 1,
                kib("VmRSS:")? as f64 / 1e3 * 1.024,
                kib("VmHWM:")? as f64 / 1e3 * 1.024
            );
        }
    }
    let took = (kib("VmHWM:")? - before) as f64 * 1024.0;
    let told = forecast.total_bytes() as f64;
    println!(
        "{what}: forecast {}; took {:.2} GB, {:+.1} % of the forecast",
        forecast.words(),
        took / 1e9,
        100.0 * (took / told - 1.0)
    );
    Ok(())
}

/// A field of this process's memory in KiB.
fn kib(field: &str) -> Result<u64, Box<dyn std::error::Error>> {
    let text = std::fs::read_to_string("/proc/self/status")?;
    let line = text.lines().find_map(|l| l.strip_prefix(field));
    let number = line.and_then(|l| l.split_whitespace().next());
    Ok(number.ok_or("no such field")?.parse()?)
}

fn noise(faces: usize, side: usize, seed: u64) -> FaceBatch {
    let mut rng = Rng::stream(seed, "noise", 0);
    let mut many = |n: usize| (0..n).map(|_| rng.unit()).collect::<Vec<f32>>();
    let pixels = faces * side * side;
    FaceBatch {
        input: many(3 * pixels),
        target: many(3 * pixels),
        mask: many(pixels),
        weight: many(pixels),
    }
}
