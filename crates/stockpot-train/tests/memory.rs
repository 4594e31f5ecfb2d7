//! The forecast of memory against what the system measures. Alone in its process: the peak is the
//! process's.

#![cfg(target_os = "linux")]
#![expect(
    clippy::unwrap_used,
    reason = "helpers of tests are tests too, clippy only knows functions marked as such"
)]

use std::collections::BTreeMap;

use stockpot_core::Rng;
use stockpot_model::Network;
use stockpot_train::forecast::forecast;
use stockpot_train::settings::Precision;
use stockpot_train::{Batch, FaceBatch, TrainSettings, TrainSpec, Trainer};

const FACES: usize = 8;
const HELD_OUT: usize = 16;
/// How far the peak may be from the forecast, as a share of it.
const BOUND: f64 = 0.1;

#[test]
fn the_forecast_is_what_a_training_takes() {
    let network = Network::new("comb-s-64".parse().unwrap());
    let settings = TrainSettings {
        batch: FACES,
        precision: Precision::F32,
        ..TrainSettings::default()
    };
    let told = forecast(&network, &settings, 2, HELD_OUT).total_bytes() as f64;
    let before = kib("VmRSS:");
    let persons = ["anna", "ben"].map(|n| (n.parse().unwrap(), network.init_decoder(1)));
    let names = persons.clone().map(|(name, _)| name);
    let encoder = network.init_encoder(1);
    let mut trainer = Trainer::new(TrainSpec {
        network,
        encoder,
        persons: persons.into(),
        lite: Default::default(),
        settings,
        parents: BTreeMap::new(),
    })
    .unwrap();
    // As many batches and held-out faces as a run holds.
    let mut ready: Vec<Batch> = (0..5).map(|n| batch(n, 2 * FACES)).collect();
    let held_out = [0, 1].map(|n| batch(n, HELD_OUT).faces);
    for (number, batch) in ready.iter_mut().enumerate().take(3) {
        batch.number = number as u64;
        trainer.step(batch, &|| 0.0).unwrap();
        trainer.snapshot().unwrap();
    }
    for (name, faces) in names.iter().zip(&held_out) {
        trainer.evaluate(name, faces).unwrap();
    }
    let took = (kib("VmHWM:") - before) * 1024.0;
    let off = took / told - 1.0;
    assert!(
        off.abs() < BOUND,
        "forecast {told} bytes, took {took}: {off:+.3}"
    );
}

fn kib(field: &str) -> f64 {
    let text = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = text.lines().find_map(|l| l.strip_prefix(field)).unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

fn batch(number: u64, faces: usize) -> Batch {
    let mut rng = Rng::stream(number, "noise", 0);
    let mut many = |n: usize| (0..n).map(|_| rng.unit()).collect::<Vec<f32>>();
    let pixels = faces * 64 * 64;
    let faces = FaceBatch {
        input: many(3 * pixels),
        target: many(3 * pixels),
        mask: many(pixels),
        weight: many(pixels),
    };
    Batch {
        number,
        faces,
        ..Batch::default()
    }
}
