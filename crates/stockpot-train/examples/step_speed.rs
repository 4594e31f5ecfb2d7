//! How long a training step takes here, phase by phase, and what the loss and the saving cost.
//!
//! `cargo run -p stockpot-train --example step_speed -- comb-s-96 16 5`
//! (network, faces per person, steps; two persons, random pictures)

use std::collections::BTreeMap;
use std::time::Instant;

use stockpot_core::Rng;
use stockpot_model::Network;
use stockpot_train::{Batch, FaceBatch, TrainSettings, TrainSpec, Trainer, checkpoint};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let network = Network::new(words.next().as_deref().unwrap_or("comb-s-96").parse()?);
    let faces: usize = words.next().as_deref().unwrap_or("16").parse()?;
    let steps: u64 = words.next().as_deref().unwrap_or("5").parse()?;
    let settings = TrainSettings {
        batch: faces,
        ..TrainSettings::default()
    };
    let persons = vec![
        ("anna".parse()?, network.init_decoder(1)),
        ("ben".parse()?, network.init_decoder(1)),
    ];
    let encoder = network.init_encoder(1);
    let side = network.family().resolution() as usize;
    println!("{}: {faces} + {faces} faces a step", network.family());
    let parents = BTreeMap::new();
    let mut trainer = Trainer::new(TrainSpec {
        network,
        encoder,
        persons,
        settings,
        parents,
    })?;
    let start = Instant::now();
    let clock = || start.elapsed().as_secs_f64();
    for number in 0..steps {
        let batch = Batch {
            number,
            faces: noise(2 * faces, side, number),
        };
        let begun = clock();
        let report = trainer.step(&batch, &clock)?;
        let ms = |secs: f64| (1e3 * secs).round();
        let s = report.secs;
        println!(
            "step {:>2}: {:>5} ms = forward {} + loss {} + backward {} + update {}; {:.1} faces/s, norm {:.3}",
            report.step,
            ms(clock() - begun),
            ms(s.forward),
            ms(s.loss),
            ms(s.backward),
            ms(s.update),
            2.0 * faces as f64 / (clock() - begun),
            report.gradient_norm,
        );
    }
    let begun = clock();
    trainer.snapshot();
    trainer.snapshot();
    let again = clock();
    let state = trainer.snapshot();
    println!(
        "snapshot: first two {:.3} s, then {:.3} s",
        again - begun,
        clock() - again
    );
    let mut sink = std::io::sink();
    let begun = clock();
    checkpoint::write(&mut sink, trainer.meta(), &state)?;
    println!(
        "checkpoint converted and hashed (in the background): {:.3} s",
        clock() - begun
    );
    Ok(())
}

fn noise(faces: usize, side: usize, seed: u64) -> FaceBatch {
    let mut rng = Rng::stream(seed, "noise", 0);
    let mut many = |n: usize| (0..n).map(|_| rng.unit()).collect::<Vec<f32>>();
    let pixels = faces * side * side;
    FaceBatch {
        input: many(3 * pixels),
        target: many(3 * pixels),
        mask: many(pixels),
        weight: Vec::new(),
    }
}
