//! Lite persons in a library: made, trained on, stopped, given away, promoted, erased.

use stockpot_core::ContentHash;
use stockpot_library::{DecoderForm, DecoderStateRecord, Library, Stored};
use stockpot_model::{Network, Params};

use super::current_decoder;
use super::tests::{library, name, training};
use crate::context::Context;
use crate::library::care::{Gc, gc};
use crate::library::share::{Import, RehearsalFaces, Selection, export, import};
use crate::library::verify;
use crate::train::Form;
use crate::{decoder, init, person, promote, train};

/// The network that has a shipped stock.
const PRESET: &str = "comb-s-96";

fn lesson(persons: &[&str], steps: u64, form: Form) -> train::Settings {
    train::Settings {
        batch: Some(2),
        form,
        ..training(persons, PRESET, steps, false)
    }
}

fn state(library: &Library, who: &str) -> Stored<DecoderStateRecord> {
    current_decoder(library, &name(who)).unwrap()
}

fn weights(library: &Library, who: &str) -> Params {
    let network = Network::new(PRESET.parse().unwrap());
    decoder::load(library, &network, &state(library, who).record).unwrap()
}

fn is_sound(ctx: &Context) -> bool {
    verify(ctx).unwrap().sound
}

#[test]
fn a_lite_person_lives_in_a_library_like_any_other() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = library(dir.path(), &["anna", "ben", "cara"]);
    let first = train::run(&ctx, &lesson(&["anna", "ben"], 2, Form::Auto)).unwrap();
    for person in &first.persons {
        assert_eq!(person.form, "lite");
        assert!(person.started_from.ends_with(", lite"), "{person:?}");
    }
    let store = ctx.library().unwrap();
    let anna = state(&store, "anna").record;
    let ben = state(&store, "ben").record;
    assert_eq!(anna.form, DecoderForm::Lite);
    let base: ContentHash = anna.attachments[decoder::BASE];
    assert_eq!(ben.attachments[decoder::BASE], base);
    let bytes = store.get_object(&anna.object).unwrap().len();
    assert!(bytes < 1_050_000, "{bytes}");
    assert!(is_sound(&ctx));

    // A run that was stopped goes on, and what was lite stays lite.
    let on = train::Settings {
        persons: Vec::new(),
        preset: None,
        batch: None,
        steps: Some(3),
        resume: Some(first.run.parse().unwrap()),
        ..train::Settings::default()
    };
    let second = train::run(&ctx, &on).unwrap();
    assert_eq!(second.steps, 3);
    assert_eq!(
        state(&store, "anna").record.attachments[decoder::BASE],
        base
    );
    let before = weights(&store, "anna");
    let again = train::run(&ctx, &lesson(&["anna"], 1, Form::Auto)).unwrap();
    assert_eq!(again.persons[0].form, "lite");
    assert_ne!(weights(&store, "anna"), before);

    // Frozen, they stay the same object on the same base.
    let frozen = train::Settings {
        more: serde_json::json!({
            "freeze_persons": ["ben"], "workers": 1, "evaluate_every": 0, "preview_every": 0,
        }),
        ..lesson(&["anna", "ben"], 1, Form::Auto)
    };
    let object = state(&store, "ben").record.object;
    train::run(&ctx, &frozen).unwrap();
    let kept = state(&store, "ben").record;
    assert_eq!((kept.object, kept.form), (object, DecoderForm::Lite));
    assert_eq!(kept.attachments[decoder::BASE], base);

    // Somebody new finds the base that the library's encoder still speaks to.
    let new = train::run(&ctx, &lesson(&["cara"], 1, Form::Lite)).unwrap();
    assert_eq!(new.persons[0].form, "lite");
    assert_eq!(
        state(&store, "cara").record.attachments[decoder::BASE],
        base
    );

    // Nothing that is needed is collected.
    let collected = gc(
        &ctx,
        &Gc {
            keep_states: 1,
            keep_days: 0,
            dry_run: false,
        },
    );
    assert!(collected.unwrap().freed_objects > 0);
    assert!(is_sound(&ctx));

    // Given away, they draw the same elsewhere.
    let file = dir.path().join("anna.bundle");
    export(
        &ctx,
        &Selection::Person(name("anna")),
        RehearsalFaces::LeftOut,
        &file,
    )
    .unwrap();
    let elsewhere = Context {
        library_dir: dir.path().join("elsewhere"),
        ..ctx.clone()
    };
    init::run(&elsewhere, &init::Settings {}).unwrap();
    let settings = Import {
        file,
        rename: None,
        dry_run: false,
    };
    import(&elsewhere, &settings).unwrap();
    let theirs = elsewhere.library().unwrap();
    assert!(weights(&theirs, "anna") == weights(&store, "anna"));
    assert!(is_sound(&elsewhere));

    // Erasing one leaves the base to the others.
    let ben = weights(&store, "ben");
    person::erase(&ctx, &name("anna")).unwrap();
    assert!(weights(&store, "ben") == ben && is_sound(&ctx));
}

#[test]
fn promoting_changes_the_form_and_not_a_bit() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = library(dir.path(), &["anna"]);
    train::run(&ctx, &lesson(&["anna"], 1, Form::Lite)).unwrap();
    let store = ctx.library().unwrap();
    let (lite, before) = (state(&store, "anna"), weights(&store, "anna"));
    let reply = promote::run(&ctx, &name("anna")).unwrap();
    let full = state(&store, "anna");
    assert!(reply.bytes > 8 * reply.bytes_before);
    assert_eq!(full.record.form, DecoderForm::Full);
    assert_eq!(full.record.parent, Some(lite.hash));
    assert_eq!(full.record.encoder_state, lite.record.encoder_state);
    assert_eq!(full.record.steps, lite.record.steps);
    // Who it is goes along, what it was added to does not.
    let kept: Vec<&String> = full.record.attachments.keys().collect();
    assert_eq!(kept, ["identity"]);
    assert!(weights(&store, "anna") == before && is_sound(&ctx));
    let again = promote::run(&ctx, &name("anna")).unwrap_err();
    assert!(again.message.contains("full already"));
    // What was promoted learns on with all of it, and is not made small again.
    let on = train::run(&ctx, &lesson(&["anna"], 1, Form::Auto)).unwrap();
    assert_eq!(on.persons[0].form, "full");
    let refused = train::run(&ctx, &lesson(&["anna"], 1, Form::Lite)).unwrap_err();
    assert!(refused.message.contains("full decoder"));
}

#[test]
fn who_has_no_base_cannot_be_lite() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = library(dir.path(), &["anna", "ben"]);
    // No stock is shipped for this network.
    let small = |persons: &[&str], form| train::Settings {
        form,
        ..training(persons, "classic-2x16d32", 1, false)
    };
    let refused = train::run(&ctx, &small(&["anna"], Form::Lite)).unwrap_err();
    assert!(refused.message.contains("cannot be lite") && refused.hint.is_some());
    // Left to itself a run takes a full decoder, and so does somebody new after it.
    let reply = train::run(&ctx, &small(&["anna"], Form::Auto)).unwrap();
    assert_eq!(reply.persons[0].form, "full");
    let reply = train::run(&ctx, &small(&["ben"], Form::Auto)).unwrap();
    assert_eq!(reply.persons[0].form, "full");
}

/// `--person full` for somebody lite: folded at the start of a training.
#[test]
fn a_training_can_promote() {
    let dir = tempfile::tempdir().unwrap();
    let (ctx, _) = library(dir.path(), &["anna"]);
    train::run(&ctx, &lesson(&["anna"], 1, Form::Auto)).unwrap();
    let lite = state(&ctx.library().unwrap(), "anna");
    assert_eq!(lite.record.form, DecoderForm::Lite);
    let reply = train::run(&ctx, &lesson(&["anna"], 1, Form::Full)).unwrap();
    assert_eq!(reply.persons[0].form, "full");
    let full = state(&ctx.library().unwrap(), "anna").record;
    assert_eq!(
        (full.form, full.parent),
        (DecoderForm::Full, Some(lite.hash))
    );
}
