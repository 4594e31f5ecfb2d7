//! Trainings that would ruin a decoder, and what stops them.

use std::collections::BTreeMap;

use stockpot_core::PersonName;

use super::*;
use crate::compat::tests::{SMALL, faceset, library, name, training};

fn run_of(ctx: &Context, settings: &Settings) -> Result<Reply, String> {
    run(ctx, settings).map_err(|e| e.message)
}

/// Faces of `who` in place of those that the person has.
fn replace_faces(ctx: &Context, person: &str, videos: &[(&str, u64)]) {
    let library = ctx.library().unwrap();
    let folder = library.facesets_dir(&name(person));
    std::fs::remove_dir_all(&folder).unwrap();
    for (video, who) in videos {
        faceset(&folder, &name(person), video, *who, 40);
    }
    // The prepared faces are those of the old ones.
    if library.cache_dir().exists() {
        std::fs::remove_dir_all(library.cache_dir()).unwrap();
    }
}

#[test]
fn somebody_elses_faces_are_refused_unless_accepted() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, heard) = library(dir.path(), &["anna", "ben"]);
    let first = training(&["anna", "ben"], SMALL, 2, true);
    run_of(&ctx, &first).unwrap();
    let state = |person: &str| {
        let library = ctx.library().unwrap();
        library.current_decoder(&name(person)).unwrap().unwrap()
    };
    let before = state("anna");
    assert!(before.record.attachments.contains_key(identity::ATTACHMENT));

    // Ben's video went to Anna.
    replace_faces(&ctx, "anna", &[("other.mp4", 1)]);
    let again = training(&["anna"], SMALL, 2, false);
    let refused = run_of(&ctx, &again).unwrap_err();
    assert!(
        refused.contains("look like somebody else than the decoder of anna"),
        "{refused}"
    );
    assert_eq!(state("anna").hash, before.hash);
    let accepted = Settings {
        accept_faces: true,
        ..again
    };
    run_of(&ctx, &accepted).unwrap();
    assert!(
        heard
            .lock()
            .unwrap()
            .iter()
            .any(|w| w.contains("as asked for"))
    );
    // From now on that is who Anna is.
    run_of(&ctx, &training(&["anna"], SMALL, 2, false)).unwrap();
    // Two persons with one face: said, not refused.
    heard.lock().unwrap().clear();
    run_of(&ctx, &training(&["anna", "ben"], SMALL, 2, false)).unwrap();
    assert!(
        heard
            .lock()
            .unwrap()
            .iter()
            .any(|w| w.contains("look like one person"))
    );
}

#[test]
fn two_people_in_one_faceset_are_refused_from_the_first_training_on() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = library(dir.path(), &["anna"]);
    replace_faces(&ctx, "anna", &[("anna.mp4", 0), ("ben.mp4", 1)]);
    let refused = run_of(&ctx, &training(&["anna"], SMALL, 2, true)).unwrap_err();
    assert!(
        refused.contains(".mp4 look like somebody else"),
        "{refused}"
    );
    replace_faces(&ctx, "anna", &[("anna.mp4", 0), ("more.mp4", 0)]);
    run_of(&ctx, &training(&["anna"], SMALL, 2, true)).unwrap();
}

#[test]
fn a_run_goes_until_a_plateau_and_says_what_more_would_bring() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = library(dir.path(), &["anna"]);
    // So small a rate that nothing is learned: the flattest of curves.
    let mut settings = training(&["anna"], SMALL, 0, true);
    settings.steps = None;
    settings.until_plateau = true;
    settings.more["learning_rate"] = serde_json::json!(1e-12);
    settings.more["learning_rate_end"] = serde_json::json!(0.0);
    settings.more["save_every"] = serde_json::json!(50);
    settings.more["evaluate_every"] = serde_json::json!(1);
    let reply = run(&ctx, &settings).unwrap();
    assert_eq!(reply.stopped_by, "plateau");
    assert!(reply.steps < 20, "{}", reply.steps);
    let [outlook] = &reply.outlook[..] else {
        panic!("{:?}", reply.outlook);
    };
    assert!(outlook.ends_with("hardly worth it"), "{outlook}");
}

#[test]
fn nobody_waits_for_a_plateau_that_cannot_be_seen() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = library(dir.path(), &["anna"]);
    let mut settings = training(&["anna"], SMALL, 0, true);
    settings.steps = None;
    settings.until_plateau = true;
    settings.more["save_every"] = serde_json::json!(50);
    let refused = run(&ctx, &settings).unwrap_err();
    assert!(refused.message.contains("Nothing would end"), "{refused}");
    settings.steps = Some(2);
    assert_eq!(run(&ctx, &settings).unwrap().stopped_by, "steps");
}

#[test]
fn an_older_run_file_has_no_identities() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = library(dir.path(), &["anna"]);
    let reply = run(&ctx, &training(&["anna"], SMALL, 2, true)).unwrap();
    let path = reply.folder.join("run.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let mut file: serde_json::Value = serde_json::from_str(&text).unwrap();
    let known = file.as_object_mut().unwrap().remove("identities");
    assert_eq!(known.unwrap()["anna"].as_array().unwrap().len(), 128);
    std::fs::write(&path, file.to_string()).unwrap();
    let run = reply.run.parse().unwrap();
    let file = RunFile::load(&ctx.library().unwrap(), &run).unwrap();
    assert_eq!(file.identities, BTreeMap::<PersonName, Vec<f32>>::new());
}
