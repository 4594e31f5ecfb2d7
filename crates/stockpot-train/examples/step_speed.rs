//! How long a whole training step takes here, phase by phase, and what saving costs.
//!
//! `cargo run --release -p stockpot-train --example step_speed -- comb-s-96 16 auto 5`
//! (network, faces per person, precision, rounds; two persons, random pictures made beforehand).
//! Further words: `--json` prints the seconds of each round instead; `--frozen` leaves the encoder
//! as it is; `--kept` does so, too, and has its codes from the first round; `--lite` makes both lite.
//! Medians, and the spread from the quickest round to the slowest; the first step, which finds
//! fresh memory, counts for nothing.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;

use stockpot_core::{ContentHash, PersonName, Rng};
use stockpot_model::{Lite, Network, lite};
use stockpot_train::log::Shares;
use stockpot_train::{Batch, FaceBatch, LitePerson, TrainSettings, TrainSpec, Trainer, checkpoint};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let network = Network::new(words.next().as_deref().unwrap_or("comb-s-96").parse()?);
    let faces: usize = words.next().as_deref().unwrap_or("16").parse()?;
    let precision = words.next().unwrap_or("auto".into());
    let rounds: u64 = words.next().as_deref().unwrap_or("5").parse()?;
    let flags: Vec<String> = words.collect();
    let has = |flag: &str| flags.iter().any(|f| f == flag);
    let chosen = serde_json::json!({
        "batch": faces,
        "precision": precision,
        "freeze_encoder": has("--frozen") || has("--kept"),
    });
    let settings = TrainSettings::resolve(&[chosen])?;
    let names: [PersonName; 2] = ["anna".parse()?, "ben".parse()?];
    let base = Arc::new(network.init_decoder(1));
    let own = Lite::new(network.family(), lite::RANK).filter(|_| has("--lite"));
    let own = own.map(|lite| LitePerson {
        lite: Arc::new(lite),
        base: base.clone(),
        base_hash: ContentHash([0; 32]),
    });
    let start = own.as_ref().and_then(|own| own.lite.start(&base, 1));
    let start = start.unwrap_or_else(|| (*base).clone());
    let persons = names.clone().map(|name| (name, start.clone())).into();
    let lite = names
        .into_iter()
        .filter_map(|name| Some((name, own.clone()?)));
    let lite = lite.collect();
    let encoder = network.init_encoder(1);
    let side = network.family().resolution() as usize;
    let madds = network.encoder().multiply_adds() + network.decoder().multiply_adds();
    let gflop = 6.0 * madds as f64 * 2.0 * faces as f64 / 1e9;
    let family = network.family();
    let parents = BTreeMap::new();
    let mut trainer = Trainer::new(TrainSpec {
        network,
        encoder,
        persons,
        lite,
        settings,
        parents,
    })?;
    let start = Instant::now();
    let clock = || start.elapsed().as_secs_f64();
    let batches: Vec<Batch> = (0..=rounds)
        .map(|number| Batch {
            number,
            content: has("--kept").then_some(0),
            faces: noise(2 * faces, side, number),
        })
        .collect();
    let mut rows: Vec<(f64, Shares)> = Vec::new();
    for batch in &batches {
        let begun = clock();
        let report = trainer.step(batch, &clock)?;
        rows.push((clock() - begun, report.secs));
    }
    rows.remove(0);
    if has("--json") {
        let secs: Vec<f64> = rows.iter().map(|r| r.0).collect();
        let what = format!(
            "stockpot {:?}, {} threads",
            trainer.meta().settings.precision,
            rayon::current_num_threads()
        );
        println!("{}", serde_json::json!({"what": what, "secs": secs}));
        return Ok(());
    }
    let of = |pick: &dyn Fn(&(f64, Shares)) -> f64| {
        let mut values: Vec<f64> = rows.iter().map(pick).collect();
        values.sort_by(f64::total_cmp);
        values
    };
    let all = of(&|r| r.0);
    let (best, median, worst) = (all[0], all[all.len() / 2], all[all.len() - 1]);
    println!(
        "{family} {faces}+{faces} {:?}, {} threads: {:.2} pairs/s (best {:.2}, worst {:.2}), step {:.0} ms, {:.0} GFLOP/s",
        trainer.meta().settings.precision,
        rayon::current_num_threads(),
        faces as f64 / median,
        faces as f64 / best,
        faces as f64 / worst,
        1e3 * median,
        gflop / median,
    );
    let part = |name: &str, pick: &dyn Fn(&Shares) -> f64| {
        let values = of(&|r| pick(&r.1));
        let middle = values[values.len() / 2];
        println!(
            "  {name:<9} {:6.1} ms {:5.1} %  ({:.1} to {:.1})",
            1e3 * middle,
            100.0 * middle / median,
            1e3 * values[0],
            1e3 * values[values.len() - 1]
        );
    };
    part("forward", &|s| s.forward);
    part("loss", &|s| s.loss);
    part("backward", &|s| s.backward);
    part("update", &|s| s.update);
    let begun = clock();
    trainer.snapshot()?;
    let again = clock();
    let state = trainer.snapshot()?;
    println!(
        "snapshot: first {:.3} s, then {:.3} s",
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
