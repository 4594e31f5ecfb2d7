//! Whole trainings on a device against the CPU's: on Burn's own CPU back end everywhere, on any other
//! device by `STOCKPOT_TEST_DEVICE=vulkan cargo test -p stockpot-device --features vulkan`.
#![cfg(feature = "burn")]
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

use std::collections::BTreeMap;

use stockpot_core::{PersonName, Rng};
use stockpot_device::{Back, Choice, open};
use stockpot_model::{Family, Network, Params};
use stockpot_train::settings::Precision;
use stockpot_train::{Batch, FaceBatch, LitePersons, TrainSettings, TrainSpec, Trainer};

const BATCH: usize = 2;

fn choice() -> Option<Choice> {
    match std::env::var("STOCKPOT_TEST_DEVICE") {
        Ok(text) => Some(text.parse().unwrap()),
        Err(_) => Back::Flex.is_built().then_some(Choice {
            back: Back::Flex,
            number: 0,
        }),
    }
}

fn name(text: &str) -> PersonName {
    text.parse().unwrap()
}

/// The smallest network of 2018.
fn network() -> Network {
    Network::new(Family::classic(3, 64, 16).unwrap())
}

fn trainer(network: &Network, change: impl FnOnce(&mut TrainSettings)) -> Trainer {
    let mut settings = TrainSettings {
        batch: BATCH,
        warm_up_steps: 0,
        precision: Precision::F32,
        ..TrainSettings::default()
    };
    change(&mut settings);
    let params = |graph: &stockpot_model::Graph, seed| Params::init(graph.layout.clone(), seed);
    Trainer::new(TrainSpec {
        network: network.clone(),
        encoder: params(network.encoder(), 1),
        persons: vec![
            (name("anna"), params(network.decoder(), 2)),
            (name("ben"), params(network.decoder(), 3)),
        ],
        lite: LitePersons::new(),
        settings,
        parents: BTreeMap::new(),
    })
    .unwrap()
}

fn batch(number: u64, side: usize) -> Batch {
    let mut rng = Rng::stream(number, "faces", 0);
    let mut faces = FaceBatch::default();
    for _ in 0..2 * BATCH {
        let (cx, cy) = (rng.range(0.3, 0.7), rng.range(0.3, 0.7));
        for i in 0..side * side {
            let (x, y) = (
                (i % side) as f32 / side as f32,
                (i / side) as f32 / side as f32,
            );
            let blob = (-((x - cx).powi(2) + (y - cy).powi(2)) * 12.0).exp();
            faces
                .target
                .extend([0.1 + 0.8 * blob, 0.5 * blob, 0.3 + 0.2 * x]);
            faces.mask.push(if blob > 0.4 { 1.0 } else { 0.0 });
            faces.weight.push(if blob > 0.9 { 3.0 } else { 1.0 });
        }
    }
    faces.input.clone_from(&faces.target);
    Batch {
        number,
        faces,
        ..Batch::default()
    }
}

/// The largest difference of two buffers against the largest change that training made.
fn apart(a: &[f32], b: &[f32], start: &[f32]) -> f32 {
    let most = |x: &[f32], y: &[f32]| {
        let pairs = x.iter().zip(y);
        pairs.fold(0.0f32, |m, (x, y)| m.max((x - y).abs()))
    };
    most(a, b) / most(a, start).max(1e-6)
}

fn compare(change: impl Fn(&mut TrainSettings), steps: u64) {
    let Some(choice) = choice() else {
        eprintln!("left out: no device was asked for and `flex` is not built in");
        return;
    };
    let network = network();
    let (mut here, mut there) = (trainer(&network, &change), trainer(&network, &change));
    there.run_on(open(&choice, &network).unwrap()).unwrap();
    let start = here.state().clone();
    for number in 0..steps {
        let batch = batch(number, here.side());
        let wanted = here.step(&batch, &|| 0.0).unwrap();
        let found = there.step(&batch, &|| 0.0).unwrap();
        for (a, b) in wanted.losses.iter().zip(&found.losses) {
            for (a, b) in [
                (a.total, b.total),
                (a.l1, b.l1),
                (a.ssim, b.ssim),
                (a.mask, b.mask),
            ] {
                assert!((a - b).abs() < 1e-4, "step {number}: {a} {b}");
            }
        }
        let (a, b) = (wanted.gradient_norm, found.gradient_norm);
        assert!((a - b).abs() < 1e-3 * a, "step {number}: norms {a} {b}");
    }
    let shown = batch(77, here.side()).faces.input;
    let (a, b) = (
        here.draw(&name("ben"), &shown).unwrap(),
        there.draw(&name("ben"), &shown).unwrap(),
    );
    assert!(a.iter().zip(&b).all(|(a, b)| (a - b).abs() < 1e-3));
    there.settle().unwrap();
    let slots = |s: &stockpot_train::state::TrainState| {
        let persons = s.persons.iter().map(|(_, slots)| slots.clone());
        let mut all = vec![s.encoder.clone()];
        all.extend(persons);
        all
    };
    let all = slots(here.state()).into_iter().zip(slots(there.state()));
    for ((a, b), s) in all.zip(slots(&start)) {
        // Adam turns the sign of the smallest gradient into a whole step, so single weights may part;
        // together they must not.
        let differing = |x: &[f32], y: &[f32], s: &[f32]| {
            let most = x
                .iter()
                .zip(s)
                .fold(1e-9f32, |m, (x, s)| m.max((x - s).abs()));
            let far = x
                .iter()
                .zip(y)
                .filter(|(x, y)| (*x - *y).abs() > 0.02 * most);
            far.count() as f64 / x.len() as f64
        };
        assert!(differing(&a.weights, &b.weights, &s.weights) < 0.01);
        assert!(differing(&a.ema, &b.ema, &s.ema) < 0.01);
        assert!(apart(&a.first, &b.first, &s.first) < 0.02);
        assert!(apart(&a.second, &b.second, &s.second) < 0.02);
    }
}

#[test]
fn a_training_on_a_device_equals_that_on_the_cpu() {
    compare(|_| {}, 3);
}

#[test]
fn clipping_freezing_and_holding_equal_those_on_the_cpu() {
    compare(
        |s| {
            s.clip_norm = 0.05;
            s.freeze_persons = vec![name("anna")];
        },
        2,
    );
    compare(|s| s.freeze_encoder = true, 2);
}
