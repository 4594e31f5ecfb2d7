//! Measures what happens when persons are trained one after the other, or apart, on made-up people.
//!
//! `cargo run --release -p stockpot-eval --example lineages -- WHAT MODELS FOLDER STEPS SEED`: `WHAT`
//! is `interchange` (two lineages and the stitch between them), `story` (the claims of 2018), `grown`
//! (people added one by one, in several ways), `stock` (new persons from the shipped stock) or `lite`
//! (the same as lite and as full persons, from few faces and from many), `MODELS` holds the head data, `FOLDER` takes a folder `WHAT-SEED` (which must be new) and the
//! cache of the calibration faces.

#![expect(
    clippy::unwrap_used,
    reason = "a measurement that cannot go on has nothing to clean up"
)]

mod grown;
mod interchange;
mod lite;
mod people;
mod stock;
mod story;

use std::path::Path;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let (arguments, wanted) = arguments.split_at(arguments.len().min(5));
    let [what, models, folder, steps, seed] = arguments else {
        eprintln!("wanted: interchange|story|grown|stock|lite MODELS FOLDER STEPS SEED");
        std::process::exit(2);
    };
    let (steps, seed): (u64, u64) = (steps.parse().unwrap(), seed.parse().unwrap());
    let folder = Path::new(folder);
    let own = folder.join(format!("{what}-{seed}"));
    let cache = folder.join("cache");
    match what.as_str() {
        "interchange" => interchange::run(models, &own, &cache, steps, seed),
        "story" => story::run(models, &own, &cache, steps, seed),
        "grown" => grown::run(models, &own, &cache, steps, seed),
        "stock" => stock::run(models, &own, steps, seed),
        "lite" => {
            let wanted = wanted.first().map_or("", String::as_str);
            lite::run(models, &own, (steps, seed), wanted);
        }
        other => {
            eprintln!(
                "there is no measurement `{other}`: take interchange, story, grown, stock or lite"
            );
            std::process::exit(2);
        }
    }
}
