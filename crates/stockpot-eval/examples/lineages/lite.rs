//! Lite and full persons from the shipped stock, at equal steps: from few faces and from many, with the
//! encoder trained along and left as it is; and how large their decoders are.

use std::path::Path;

use stockpot_jobs::train;

use crate::people::{Lesson, State, drawn, library_of, mae, name, playing, trained_with};

/// The network that has a shipped stock.
const PRESET: &str = "comb-s-96";
/// Times that the training is stopped and measured.
const STOPS: u64 = 2;
/// Faces of each person: twenty photos, and films.
const FACES: [u64; 3] = [20, 200, 600];
/// Moments of a film; fewer faces are spread over all of it.
const MOMENTS: u64 = 200;

/// Measures in new folders what `wanted` is part of: `20 faces`, `frozen true, Lite`, or everything.
pub(crate) fn run(models: &str, folder: &Path, (steps, seed): (u64, u64), wanted: &str) {
    for faces in FACES {
        for freeze in [false, true] {
            for form in [train::Form::Full, train::Form::Lite] {
                let words = format!("{faces} faces, frozen {freeze}, {form:?}");
                if !words.contains(wanted) {
                    continue;
                }
                let own = folder.join(format!("{faces}-{freeze}-{form:?}"));
                measure(models, &own, (faces, freeze, form), (steps, seed), &words);
            }
        }
    }
}

fn measure(
    models: &str,
    folder: &Path,
    (faces, freeze, form): (u64, bool, train::Form),
    (steps, seed): (u64, u64),
    words: &str,
) {
    let moments: Vec<u64> = (0..faces).map(|i| i * MOMENTS.max(faces) / faces).collect();
    let (ctx, head) = library_of(models, folder, seed, &["a", "b"], &moments);
    let [a, b] = ["a", "b"].map(|who| playing(&head, seed, who, PRESET));
    for stop in 1..=STOPS {
        let lesson = Lesson {
            seed: STOPS * seed + stop,
            persons: ["a", "b"],
            steps: steps / STOPS,
            from_scratch: false,
            evaluations: 0,
        };
        let settings = train::Settings {
            batch: Some(8),
            preset: Some(PRESET.into()),
            // The form is chosen once; later parts keep it.
            form: if stop == 1 { form } else { train::Form::Auto },
            more: serde_json::json!({
                "ema_decay": 0.98, "learning_rate": 5e-4, "freeze_encoder": freeze,
                "warm_up_steps": 20,
                "evaluate_every": 0, "preview_every": 0, "save_every": 1000,
            }),
            ..train::Settings::default()
        };
        let reply = trained_with(&ctx, &lesson, settings);
        let state = |hash| State {
            library: &ctx,
            hash,
        };
        let draw = |decoder: usize, input| {
            let decoder = state(&reply.persons[decoder].decoder);
            drawn(state(&reply.encoder), decoder, input)
        };
        let own = [mae(&draw(0, &a), 4, &a), mae(&draw(1, &b), 4, &b)];
        let swapped = [mae(&draw(1, &a), 4, &b), mae(&draw(0, &b), 4, &a)];
        println!(
            "{words}, {} steps: redrawn {own:.4?}, swapped {swapped:.4?}",
            stop * (steps / STOPS)
        );
    }
    let library = ctx.library().unwrap();
    let state = library.current_decoder(&name("a")).unwrap().unwrap();
    let bytes = library.get_object(&state.record.object).unwrap().len();
    println!("{words}: a decoder of {bytes} bytes");
}
