//! Decoders across lineages: two lineages, two made-up people each, trained apart; every decoder
//! under both encoders, as it is and through a stitch, and one swap against the truth.

use std::path::Path;
use std::time::Instant;

use stockpot_eval::calibration::{FACES, Renderer};
use stockpot_jobs::compat::{matrix, passport, stitch};

use crate::people::{FRESH, Lesson, State, drawn, library, mae, name, playing, trained};

/// Measures in a new `folder`.
pub(crate) fn run(models: &str, folder: &Path, cache: &Path, steps: u64, seed: u64) {
    let (ctx, head) = library(models, folder, seed, &["a", "b", "c", "d"]);
    let lesson = |seed, persons| Lesson {
        seed,
        persons,
        steps,
        from_scratch: true,
        evaluations: 0,
    };
    let x = trained(&ctx, &lesson(2 * seed, ["a", "b"]));
    let y = trained(&ctx, &lesson(2 * seed + 1, ["c", "d"]));
    let faces = Renderer {
        cache_dir: cache.to_path_buf(),
        faces: FACES,
    };
    let begun = Instant::now();
    let passports = passport::run(&ctx, &faces, None).unwrap().passports;
    println!(
        "faces and passports in {:.1} s",
        begun.elapsed().as_secs_f64()
    );
    for row in &passports {
        println!("{}", serde_json::to_string(row).unwrap());
    }
    let page = folder.join("matrix.html");
    let reply = matrix::run(&ctx, &faces, &matrix::Settings { page }).unwrap();
    for cell in &reply.cells {
        println!("{}", serde_json::to_string(cell).unwrap());
    }
    // Person a in c's frames: the lineage that knows a, then the other one.
    let decoder_of_a = &x.persons[0].decoder;
    let (input, truth) = (
        playing(&head, seed, "c", FRESH),
        playing(&head, seed, "a", FRESH),
    );
    let state = |hash| State {
        library: &ctx,
        hash,
    };
    let native = mae(
        &drawn(state(&x.encoder), state(decoder_of_a), &input),
        4,
        &truth,
    );
    let crossed = mae(
        &drawn(state(&y.encoder), state(decoder_of_a), &input),
        4,
        &truth,
    );
    let settings = stitch::Settings {
        person: name("a"),
        to: y.encoder.clone(),
    };
    let reply = stitch::run(&ctx, &faces, &settings).unwrap();
    println!("{}", serde_json::to_string(&reply).unwrap());
    let stitched = mae(
        &drawn(state(&y.encoder), state(&reply.decoder), &input),
        4,
        &truth,
    );
    println!(
        "swap of c to a, mean difference from the truth over the face: no swap {:.4}, native {native:.4}, crossed {crossed:.4}, stitched {stitched:.4} ({:.3} times native)",
        mae(&input.rgb, 3, &truth),
        stitched / native
    );
}
