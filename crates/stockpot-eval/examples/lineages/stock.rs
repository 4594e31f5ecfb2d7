//! What training two new persons makes of the shipped stock: how well they are redrawn, and how well
//! each is drawn from what the other plays.

use std::path::Path;

use stockpot_jobs::train;

use crate::people::{Lesson, State, drawn, library, mae, playing, trained_with};

/// The network that has a shipped stock.
const PRESET: &str = "comb-s-96";
/// Times that the training is stopped and measured.
const STOPS: u64 = 4;

/// Measures in new folders: the encoder trained along, and left as it is.
pub(crate) fn run(models: &str, folder: &Path, steps: u64, seed: u64) {
    for freeze in [false, true] {
        let own = folder.join(if freeze { "frozen" } else { "trained" });
        let (ctx, head) = library(models, &own, seed, &["a", "b"]);
        let [a, b] = ["a", "b"].map(|who| playing(&head, seed, who, PRESET));
        let copied = [mae(&a.rgb, 3, &b), mae(&b.rgb, 3, &a)];
        println!("frozen {freeze}: not swapped {copied:.4?}");
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
                "frozen {freeze}, {} steps: redrawn {own:.4?}, swapped {swapped:.4?}",
                stop * (steps / STOPS)
            );
        }
    }
}
