//! Measures what happens when persons are trained one after the other, or apart, on made-up people.
//!
//! `cargo run --release -p stockpot-eval --example lineages -- WHAT MODELS FOLDER STEPS SEED`: `WHAT`
//! is `interchange` (two lineages and the stitch between them), `story` (the claims of 2018) or `stock`
//! (new persons from the shipped stock), `MODELS` holds the head data, `FOLDER` takes a folder `WHAT-SEED` (which must be new) and the
//! cache of the calibration faces.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on has nothing to clean up"
)]

mod interchange;
mod people;
mod stock;
mod story;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [what, models, folder, steps, seed] = arguments.as_slice() else {
        eprintln!("wanted: interchange|story MODELS FOLDER STEPS SEED");
        std::process::exit(2);
    };
    let (steps, seed): (u64, u64) = (steps.parse().unwrap(), seed.parse().unwrap());
    let folder = Path::new(folder);
    let own = folder.join(format!("{what}-{seed}"));
    let cache = folder.join("cache");
    match what.as_str() {
        "interchange" => interchange::run(models, &own, &cache, steps, seed),
        "story" => story::run(models, &own, &cache, steps, seed),
        "stock" => stock::run(models, &own, steps, seed),
        other => {
            eprintln!("there is no measurement `{other}`: take interchange, story or stock");
            std::process::exit(2);
        }
    }
}
