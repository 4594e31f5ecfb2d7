//! People added one by one to a young lineage: naively, held by distillation alone, by
//! rehearsal alone, and by both, as `grow` does it. What that does to those who were there before, and
//! what the newcomers pay for it.
//!
//! Errors are mean differences from the truth over the face, on moments that nobody learned from.

use std::path::Path;
use std::time::Instant;

use stockpot_eval::calibration::{FACES, Renderer};
use stockpot_jobs::{Context, grow, train};

use crate::people::{FRESH, Faces, Lesson, State, drawn, library, mae, name, playing, trained};

/// Faces of each person in a step.
const BATCH: usize = 8;
/// Who is added, one after the other.
const NEWCOMERS: [&str; 2] = ["c", "d"];
/// Weights of the distillation on calibration faces and on what is learnt, the share of them that is
/// left at the end, and whether earlier persons are rehearsed.
type Held = (f64, f64, f64, bool);
/// The ways; none holds nothing.
const WAYS: [(&str, Option<Held>); 6] = [
    ("naively", None),
    ("distillation 1", Some((1.0, 0.25, 0.3, false))),
    ("rehearsal", Some((1e-9, 0.0, 1.0, true))),
    ("rehearsal and 0.3", Some((0.3, 0.1, 0.3, true))),
    ("rehearsal and 1", Some((1.0, 0.25, 0.3, true))),
    ("rehearsal and 4", Some((4.0, 1.0, 0.3, true))),
];

struct Truth(Vec<(&'static str, Faces)>);

impl Truth {
    fn error(&self, ctx: &Context, who: &str) -> f64 {
        let library = ctx.library().unwrap();
        let state = library.current_decoder(&name(who)).unwrap().unwrap();
        let encoder = library.current_encoder().unwrap().unwrap().hash.to_string();
        let decoder = state.hash.to_string();
        let hash = |hash| State { library: ctx, hash };
        let (_, faces) = self.0.iter().find(|(n, _)| *n == who).unwrap();
        mae(&drawn(hash(&encoder), hash(&decoder), faces), 4, faces)
    }
}

/// Measures in a new `folder`.
pub(crate) fn run(models: &str, folder: &Path, cache: &Path, steps: u64, seed: u64) {
    let (ctx, head) = library(models, &folder.join("young"), seed, &["a", "b", "c", "d"]);
    let truth = ["a", "b", "c", "d"].map(|who| (who, playing(&head, seed, who, FRESH)));
    let truth = Truth(truth.into());
    let lesson = Lesson {
        seed,
        persons: ["a", "b"],
        steps: 2 * steps,
        from_scratch: true,
        evaluations: 0,
    };
    trained(&ctx, &lesson);
    let renderer = Renderer {
        cache_dir: cache.to_path_buf(),
        faces: FACES,
    };
    for (number, (way, held)) in WAYS.into_iter().enumerate() {
        let own = Context {
            library_dir: folder.join(format!("way-{number}")),
            ..ctx.clone()
        };
        copy(&ctx.library_dir, &own.library_dir);
        let begun = Instant::now();
        let mut earlier: Vec<(&str, f64)> = ["a", "b"].map(|w| (w, truth.error(&own, w))).into();
        let (mut joined, mut reports) = (Vec::new(), Vec::new());
        for who in NEWCOMERS {
            match held {
                None => naively(&own, who, steps),
                Some(held) => reports.push(grown(&own, &renderer, who, steps, held)),
            }
            let error = truth.error(&own, who);
            joined.push(error);
            earlier.push((who, error));
        }
        earlier.pop();
        let changes: Vec<f64> = earlier
            .iter()
            .map(|(who, before)| 100.0 * (truth.error(&own, who) / before - 1.0))
            .collect();
        let worst = changes.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let mean = changes.iter().sum::<f64>() / changes.len() as f64;
        println!(
            "{way}: {} {changes:+.1?} %, worst {worst:+.1} %, mean {mean:+.1} %; newcomers when they came \
             {joined:.4?}; {:.0} s",
            earlier
                .iter()
                .map(|(who, _)| *who)
                .collect::<Vec<_>>()
                .join(" "),
            begun.elapsed().as_secs_f64()
        );
        for report in reports {
            println!("    {report}");
        }
    }
}

fn settings(steps: u64) -> serde_json::Value {
    serde_json::json!({ "evaluate_every": 0, "preview_every": 0, "save_every": steps })
}

fn naively(ctx: &Context, who: &str, steps: u64) {
    let mut more = settings(steps);
    more["schedule"] = "cosine".into();
    more["schedule_steps"] = steps.into();
    more["warm_up_steps"] = (steps / 10).min(100).into();
    more["ema_decay"] = (1.0 - 1.0 / (0.05 * steps as f64).max(2.0)).into();
    more["learning_rate"] = 5e-4.into();
    let settings = train::Settings {
        persons: vec![name(who)],
        steps: Some(steps),
        batch: Some(BATCH),
        more,
        ..train::Settings::default()
    };
    train::run(ctx, &settings).unwrap();
}

fn grown(
    ctx: &Context,
    renderer: &Renderer,
    who: &str,
    steps: u64,
    (calibration, crops, end, rehearse): Held,
) -> String {
    let mut more = settings(steps);
    more["distil_weight"] = calibration.into();
    more["distil_crops_weight"] = crops.into();
    more["distil_end"] = end.into();
    if !rehearse {
        let library = ctx.library().unwrap();
        let writer = library
            .writer(1_800_000_000, std::time::Duration::from_secs(5))
            .unwrap();
        for set in library.rehearsals().unwrap() {
            writer
                .erase_rehearsal(&set.record.person, 1_800_000_000)
                .unwrap();
        }
    }
    let settings = grow::Settings {
        persons: vec![name(who)],
        steps: Some(steps),
        batch: Some(BATCH),
        allow_wear: true,
        more,
        ..grow::Settings::default()
    };
    let reply = grow::run(ctx, renderer, &settings).unwrap();
    let row = |r: &grow::Row| {
        format!(
            "{} {:.4?} -> {:.4} / {:.4?}",
            r.person, r.before, r.direct, r.stitched
        )
    };
    let rows: Vec<String> = reply.persons.iter().map(row).collect();
    format!("{} [{}]", reply.report, rows.join(", "))
}

fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let (path, target) = (entry.path(), to.join(entry.file_name()));
        if path.is_dir() {
            copy(&path, &target);
        } else {
            std::fs::copy(&path, &target).unwrap();
        }
    }
}
