//! Growing on faces drawn with a few strokes: what moves, what does not, and who is told.

use stockpot_library::{Allowed, CANDIDATE, ConsentChange};
use stockpot_train::log::Line;

use super::*;
use crate::compat::tests::{Heard, Strokes, library, name, train};
use crate::context::now_secs;
use crate::error::JobErrorKind;
use crate::library::care::{Gc, gc};

const PRESET: &str = "comb-s-64";
const STEPS: u64 = 4;

fn wish(persons: &[&str]) -> Settings {
    Settings {
        persons: persons.iter().map(|p| name(p)).collect(),
        steps: Some(STEPS),
        batch: Some(2),
        precision: Some(Precision::F32),
        more: json!({
            "evaluate_every": 0, "preview_every": 0, "save_every": 2, "workers": 1,
            "report_every": 1, "ssim_share": 0.0, "distil_faces": 4,
        }),
        ..Settings::default()
    }
}

fn grown(ctx: &Context, settings: &Settings) -> Result<Reply, JobError> {
    run(ctx, &Strokes(12), settings)
}

/// A library with anna and ben trained a little, and others with faces only.
fn young(dir: &std::path::Path, others: &[&str]) -> (Context, Heard) {
    let persons: Vec<&str> = ["anna", "ben"].iter().chain(others).copied().collect();
    let (ctx, heard) = library(dir, &persons);
    train(&ctx, &["anna", "ben"], PRESET, 6, true).unwrap();
    (ctx, heard)
}

fn decoder(
    ctx: &Context,
    person: &str,
) -> stockpot_library::Stored<stockpot_library::DecoderStateRecord> {
    let library = ctx.library().unwrap();
    library.current_decoder(&name(person)).unwrap().unwrap()
}

/// The weights of a file alone: what stands before them names the run, in any order.
fn numbers(bytes: &[u8]) -> Vec<u8> {
    bytes[bytes.len() - 400_000..].to_vec()
}

#[test]
fn somebody_new_comes_in_and_everybody_is_taken_along() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, heard) = young(dir.path(), &["carl"]);
    let told = heard.lock().unwrap().join("\n");
    assert!(told.contains("kept to rehearse"), "{told}");
    let before = [decoder(&ctx, "anna"), decoder(&ctx, "ben")];
    let settings = Settings {
        // Whether a few steps are good for anybody is not what is tested here.
        allow_wear: true,
        ..wish(&["carl"])
    };
    let reply = grown(&ctx, &settings).unwrap();
    assert!(reply.released);
    assert_eq!(reply.rehearsed, [name("anna"), name("ben")]);
    let parts: Vec<_> = reply
        .persons
        .iter()
        .map(|r| (r.person.as_str(), r.part))
        .collect();
    let wanted = [
        ("anna", Part::Rehearsed),
        ("ben", Part::Rehearsed),
        ("carl", Part::New),
    ];
    assert_eq!(parts, wanted);
    assert!(
        reply.report.ends_with("carl new: released"),
        "{}",
        reply.report
    );
    let library = ctx.library().unwrap();
    let encoder = library.current_encoder().unwrap().unwrap();
    assert_eq!(encoder.hash.short(), reply.encoder);
    for (row, before) in reply.persons.iter().zip(&before) {
        let now = decoder(&ctx, row.person.as_str());
        assert_eq!(now.record.encoder_state, encoder.hash, "{}", row.person);
        let stitched = row.way == Way::Stitched;
        assert_eq!(now.record.stitched_from.is_some(), stitched);
        assert_eq!(now.record.object == before.record.object, !stitched);
        assert_eq!(now.record.parent, Some(before.hash));
        // What was measured at the gate is what the library says.
        assert_eq!(now.record.metrics["heldout_mae"], row.now_for_tests());
    }
    // The new encoder has a passport, the new person kept faces, and the page a picture.
    let passports = library.passports().unwrap();
    assert!(
        passports
            .iter()
            .any(|p| p.record.encoder_state == encoder.hash)
    );
    let kept = library.rehearsals().unwrap();
    assert!(
        kept.iter()
            .any(|set| set.record.person == name("carl") && set.record.faces > 5)
    );
    let page = std::fs::read_to_string(&reply.page).unwrap();
    assert!(page.contains("data:image/png") && page.contains("carl"));
    assert!(page.contains("all others are drawn by a model."));
    let json = std::fs::read(reply.page.with_extension("json")).unwrap();
    let json: Value = serde_json::from_slice(&json).unwrap();
    assert_eq!(json["released"], true);
    // Being held is seen in the metrics, and is nothing at the first step.
    let metrics = library
        .run_dir(&reply.run.parse().unwrap())
        .join("metrics.jsonl");
    let text = std::fs::read_to_string(metrics).unwrap();
    let held: Vec<f64> = text
        .lines()
        .filter_map(|line| match serde_json::from_str(line).unwrap() {
            Line::Train { distillation, .. } => Some(distillation.unwrap()),
            _ => None,
        })
        .collect();
    assert!(
        held.len() == STEPS as usize && held[0] < 1e-3 && held[3] > held[0],
        "{held:?}"
    );
    // Once released it is done.
    let again = Settings {
        resume: Some(reply.run.parse().unwrap()),
        ..Settings::default()
    };
    let error = grown(&ctx, &again).unwrap_err();
    assert!(error.message.contains("was released"), "{}", error.message);
    kept_faces_go_once_their_consent_has_run_out(&ctx, &library);
    assert!(crate::library::verify(&ctx).unwrap().sound);
}

fn kept_faces_go_once_their_consent_has_run_out(ctx: &Context, library: &Library) {
    let over = ConsentChange {
        until_secs: Some(Some(now_secs() - 10)),
        entered_by: "the tests".into(),
        ..ConsentChange::default()
    };
    let writer = library.writer(now_secs(), PATIENCE).unwrap();
    writer
        .change_consent(&name("carl"), over, now_secs() - 100)
        .unwrap();
    drop(writer);
    let keeps = |library: &Library| {
        let sets = library.rehearsals().unwrap();
        sets.iter().any(|set| set.record.person == name("carl"))
    };
    let mut collecting = Gc {
        keep_states: 5,
        keep_days: 30,
        dry_run: true,
    };
    gc(ctx, &collecting).unwrap();
    assert!(keeps(library), "a dry run changes nothing");
    collecting.dry_run = false;
    gc(ctx, &collecting).unwrap();
    assert!(!keeps(library));
}

#[test]
fn who_would_wear_stops_the_release_and_nothing_moves() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = young(dir.path(), &["carl"]);
    // A few steps far too large, held by next to nothing.
    let mut settings = wish(&["carl"]);
    settings.more["learning_rate"] = json!(0.02);
    settings.more["distil_weight"] = json!(1e-9);
    settings.more["distil_crops_weight"] = json!(0.0);
    let people = [name("anna"), name("ben"), name("carl")];
    let library = ctx.library().unwrap();
    let before = library.starting_point(&people).unwrap();
    let reply = grown(&ctx, &settings).unwrap();
    assert!(!reply.released && !reply.verdict.passed, "{}", reply.report);
    assert!(reply.report.ends_with("not released"), "{}", reply.report);
    assert!(!reply.verdict.reasons.is_empty());
    assert_eq!(
        library.starting_point(&people).unwrap(),
        before,
        "nothing moved"
    );
    let candidate = library.find_record(&reply.encoder).unwrap();
    let candidate = library.encoder_state(&candidate).unwrap().record;
    assert_eq!(candidate.metrics.get(CANDIDATE), Some(&1.0));
    assert!(crate::library::verify(&ctx).unwrap().sound);
    // `train` does not go on with it; the same run can be released as it is, without another step.
    let run_id: RunId = reply.run.parse().unwrap();
    let other = train::Settings {
        resume: Some(run_id.clone()),
        ..train::Settings::default()
    };
    let error = train::run(&ctx, &other).unwrap_err();
    assert!(error.hint.unwrap().contains("stockpot grow --resume"));
    let release = Settings {
        resume: Some(run_id),
        allow_wear: true,
        ..Settings::default()
    };
    // Who cannot be measured any more stays with what they have.
    let bens = decoder(&ctx, "ben");
    std::fs::remove_dir_all(library.facesets_dir(&name("ben"))).unwrap();
    let released = grown(&ctx, &release).unwrap();
    assert_eq!(decoder(&ctx, "ben"), bens);
    assert!(released.not_measured[0].starts_with("ben: no held-out faces"));
    assert!(released.released);
    assert_eq!(released.against_the_gate, !released.verdict.passed);
    assert_eq!(released.steps, reply.steps);
    let encoder = library.current_encoder().unwrap().unwrap().record;
    let weights = |object| numbers(&library.get_object(object).unwrap());
    assert!(weights(&encoder.object) == weights(&candidate.object));
    assert!(!encoder.metrics.contains_key(CANDIDATE));
    assert_eq!(decoder(&ctx, "carl").record.metrics.len(), 3);
    assert!(crate::library::verify(&ctx).unwrap().sound);
}

#[test]
fn a_growth_that_was_stopped_goes_on_to_the_bit() {
    let dir = tempfile::tempdir().unwrap();
    let weights = |stop: bool| {
        let folder = dir.path().join(if stop { "stopped" } else { "whole" });
        std::fs::create_dir_all(&folder).unwrap();
        let (ctx, _) = young(&folder, &["carl"]);
        let settings = Settings {
            allow_wear: true,
            ..wish(&["carl"])
        };
        let reply = match stop {
            false => grown(&ctx, &settings).unwrap(),
            true => {
                let cancel = ctx.cancel.clone();
                let impatient = Context {
                    progress: std::sync::Arc::new(move |p: stockpot_core::Progress| {
                        if matches!(p, stockpot_core::Progress::Step { done: 2, note } if note.contains("carl"))
                        {
                            cancel.cancel();
                        }
                    }),
                    ..ctx.clone()
                };
                let error = grown(&impatient, &settings).unwrap_err();
                assert_eq!(error.kind, JobErrorKind::Cancelled);
                let hint = error.hint.unwrap();
                let run = hint
                    .split_whitespace()
                    .last()
                    .unwrap()
                    .trim_end_matches('`');
                let again = Settings {
                    resume: Some(run.parse().unwrap()),
                    allow_wear: true,
                    ..Settings::default()
                };
                let fresh = Context {
                    cancel: stockpot_core::CancelToken::new(),
                    ..ctx.clone()
                };
                grown(&fresh, &again).unwrap()
            }
        };
        assert_eq!(reply.steps, STEPS);
        let library = ctx.library().unwrap();
        let encoder = library.current_encoder().unwrap().unwrap().record;
        numbers(&library.get_object(&encoder.object).unwrap())
    };
    assert!(weights(false) == weights(true));
}

#[test]
fn nobody_is_rehearsed_against_their_consent_and_others_come_through_the_stitch_or_stay() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, heard) = young(dir.path(), &["carl"]);
    let library = ctx.library().unwrap();
    let writer = library.writer(now_secs(), PATIENCE).unwrap();
    let change = ConsentChange {
        uses: Some([Allowed::Train, Allowed::Swap].into()),
        entered_by: "the tests".into(),
        ..ConsentChange::default()
    };
    writer
        .change_consent(&name("anna"), change, now_secs())
        .unwrap();
    writer
        .withdraw_consent(&name("ben"), "the tests", "", now_secs())
        .unwrap();
    drop(writer);
    let bens = decoder(&ctx, "ben");
    let settings = Settings {
        allow_wear: true,
        ..wish(&["carl"])
    };
    let reply = grown(&ctx, &settings).unwrap();
    assert!(reply.rehearsed.is_empty());
    assert!(
        heard
            .lock()
            .unwrap()
            .join("\n")
            .contains("Nobody is rehearsed")
    );
    let anna = &reply.persons[0];
    assert_eq!((anna.person.as_str(), anna.part), ("anna", Part::Absent));
    assert!(anna.stitched.is_some());
    assert_eq!(
        decoder(&ctx, "anna").record.encoder_state.short(),
        reply.encoder
    );
    assert_eq!(reply.not_measured.len(), 1);
    assert!(
        reply.not_measured[0].contains("withdrawn"),
        "{:?}",
        reply.not_measured
    );
    assert_eq!(
        decoder(&ctx, "ben"),
        bens,
        "who may not be trained is left alone"
    );
    assert!(crate::library::verify(&ctx).unwrap().sound);
}

#[test]
fn what_cannot_grow_is_refused_with_what_helps() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = library(dir.path(), &["anna"]);
    let error = grown(&ctx, &wish(&["anna"])).unwrap_err();
    assert!(error.message.contains("no encoder"), "{}", error.message);
    assert!(error.hint.unwrap().contains("stockpot train anna"));
    assert!(grown(&ctx, &wish(&[])).is_err());
    train(&ctx, &["anna"], "classic-2x16d32", 2, true).unwrap();
    let error = grown(&ctx, &wish(&["anna"])).unwrap_err();
    assert!(error.message.contains("cannot grow"), "{}", error.message);
    let mut twice = wish(&["anna"]);
    twice.more["freeze_persons"] = json!(["anna"]);
    let mut resumed = wish(&[]);
    resumed.more = twice.more.clone();
    resumed.resume = Some("20261123-120000-abcdef".parse().unwrap());
    for wish in [&twice, &resumed] {
        let error = grown(&ctx, wish).unwrap_err();
        assert!(
            error.message.contains("freeze_persons"),
            "{}",
            error.message
        );
    }
    // What was asked for counts more than what is usual.
    let mut asked = wish(&["anna"]);
    asked.more["distil_weight"] = json!(7.0);
    let all = more(&asked, &[name("ben")]).unwrap();
    assert_eq!(
        (all["distil_weight"].as_f64(), &all["freeze_persons"]),
        (Some(7.0), &json!(["ben"]))
    );
}
