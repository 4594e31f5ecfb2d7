//! Faces kept for rehearsal: only by consent, bounded, erasable, and never in an export unasked.

use super::bundle::import;
use super::crash::stop_and_repeat;
use super::*;
use crate::{
    Allowed, CANDIDATE, ConsentChange, Error, GcOptions, NewRehearsal, RehearsalFaces, Selection,
    Stored,
};

fn set(library: &Library, person: &str, mark: u64) -> NewRehearsal {
    NewRehearsal {
        consent: library
            .consent_for(&name(person), &to(Use::Rehearsal))
            .unwrap(),
        bytes: format!("faces of {person}, set {mark}").into_bytes(),
        faces: 10 + mark,
        area: "face".into(),
        resolution: 96,
        run: library.new_run_id(NOW, mark).unwrap(),
        now_secs: NOW + mark,
    }
}

fn keep(library: &Library, person: &str, mark: u64) -> Stored<crate::RehearsalRecord> {
    let set = set(library, person, mark);
    writer(library).put_rehearsal(set).unwrap()
}

fn counts(library: &Library) -> Vec<(String, u64)> {
    let sets = library.rehearsals().unwrap().into_iter();
    sets.map(|s| (s.record.person.to_string(), s.record.faces))
        .collect()
}

fn allow(library: &Library, uses: &[Allowed]) {
    let change = ConsentChange {
        uses: Some(uses.iter().copied().collect()),
        entered_by: "the tests".into(),
        ..ConsentChange::default()
    };
    writer(library)
        .change_consent(&name("anna"), change, NOW + 50)
        .unwrap();
}

#[test]
fn the_newest_set_counts_and_the_older_ones_are_collected() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    let first = keep(&library, "anna", 1);
    assert_eq!(keep(&library, "anna", 1), first, "the same again is one");
    let second = keep(&library, "anna", 2);
    keep(&library, "ben", 3);
    let wanted = [("anna".to_owned(), 12), ("ben".to_owned(), 13)];
    assert_eq!(counts(&library), wanted);
    assert_clean(&library);
    let read = library.rehearsal_faces(&second.record, None, NOW).unwrap();
    assert_eq!(read, b"faces of anna, set 2");
    let options = GcOptions {
        keep_states: 1,
        keep_days: 0,
        now_secs: NOW + 100,
    };
    let collect = || {
        let quiet = |_: Progress| {};
        let writer = writer(&library);
        writer
            .collect(&options, &quiet, &CancelToken::new())
            .unwrap()
    };
    assert_eq!(collect().objects, 1);
    assert!(library.get_object(&first.record.object).is_err());
    assert_eq!(counts(&library), wanted);
    // Who was taken out keeps none.
    writer(&library).remove_person(&name("ben"), NOW).unwrap();
    assert_eq!(collect().objects, 1);
    assert_sound(&library);
}

#[test]
fn nobody_keeps_or_reads_faces_without_a_consent_for_it() {
    let (_dir, library) = with_persons(&["anna"]);
    let kept = keep(&library, "anna", 1).record;
    let before = set(&library, "anna", 2);
    allow(&library, &[Allowed::Train, Allowed::Swap]);
    assert!(counts(&library).is_empty(), "they go with the consent");
    assert!(library.get_object(&kept.object).is_err());
    assert_clean(&library);
    // A consent that was handed out before, or for another use, does not help.
    let error = writer(&library).put_rehearsal(before.clone()).unwrap_err();
    assert!(matches!(error, Error::ConsentOutOfScope { .. }), "{error}");
    let train = NewRehearsal {
        consent: library.consent_for(&name("anna"), &to(Use::Train)).unwrap(),
        ..before.clone()
    };
    let error = writer(&library).put_rehearsal(train).unwrap_err();
    assert!(matches!(error, Error::ConsentOutOfScope { .. }), "{error}");
    // Rehearsal alone does not let anybody train with them.
    allow(&library, &[Allowed::Rehearsal]);
    let kept = keep(&library, "anna", 4).record;
    let error = library.rehearsal_faces(&kept, None, NOW).unwrap_err();
    assert!(matches!(error, Error::ConsentOutOfScope { .. }), "{error}");
    allow(&library, &[Allowed::Train, Allowed::Rehearsal]);
    assert!(library.rehearsal_faces(&kept, None, NOW + 60).is_ok());
    for (faces, bytes) in [(0, &b"x"[..]), (5000, b"x"), (3, b"")] {
        let bad = NewRehearsal {
            faces,
            bytes: bytes.to_vec(),
            ..set(&library, "anna", 5)
        };
        let error = writer(&library).put_rehearsal(bad).unwrap_err();
        assert!(matches!(error, Error::BadCommit { .. }), "{error}");
    }
    // Withdrawn.
    writer(&library)
        .withdraw_consent(&name("anna"), "the tests", "", NOW + 70)
        .unwrap();
    assert!(counts(&library).is_empty());
    assert!(library.get_object(&kept.object).is_err());
    assert_clean(&library);
}

#[test]
fn faces_of_a_consent_that_ran_out_are_found() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    keep(&library, "anna", 1);
    keep(&library, "ben", 2);
    let change = ConsentChange {
        until_secs: Some(Some(NOW + 100)),
        entered_by: "the tests".into(),
        ..ConsentChange::default()
    };
    writer(&library)
        .change_consent(&name("anna"), change, NOW)
        .unwrap();
    assert!(library.expired_rehearsals(NOW + 99).unwrap().is_empty());
    assert_eq!(
        library.expired_rehearsals(NOW + 100).unwrap(),
        [(name("anna"), 11)]
    );
}

#[test]
fn erasing_a_person_erases_their_faces() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    let kept = keep(&library, "anna", 1).record;
    keep(&library, "ben", 2);
    writer(&library).erase_person(&name("anna"), NOW).unwrap();
    assert!(library.get_object(&kept.object).is_err());
    assert_eq!(counts(&library), [("ben".to_owned(), 12)]);
    assert_clean(&library);
}

#[test]
fn a_stop_while_faces_are_erased_is_gone_on_with() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    keep(&library, "anna", 1);
    keep(&library, "anna", 2);
    keep(&library, "ben", 3);
    stop_and_repeat(
        &library,
        &|library| {
            let writer = library.writer(NOW, Duration::from_secs(1))?;
            writer.erase_rehearsal(&name("anna"), NOW).map(drop)
        },
        &|library, what| {
            let sets = library.rehearsals().unwrap();
            let bens = &sets.last().unwrap().record;
            assert_eq!((bens.person.as_str(), bens.faces), ("ben", 13), "{what}");
            assert!(library.rehearsal_faces(bens, None, NOW).is_ok(), "{what}");
        },
    );
    let erased = writer(&library)
        .erase_rehearsal(&name("anna"), NOW)
        .unwrap();
    assert_eq!(erased.sets, 2);
    assert_eq!(erased.bytes, 2 * "faces of anna, set 1".len() as u64);
    assert_eq!(counts(&library), [("ben".to_owned(), 13)]);
    assert_clean(&library);
}

#[test]
fn faces_travel_only_where_that_was_asked_for() {
    let (dir, library) = with_persons(&["anna", "ben"]);
    writer(&library)
        .commit_run(run_of(&library, &["anna", "ben"], 1))
        .unwrap();
    keep(&library, "anna", 1);
    keep(&library, "ben", 2);
    let exports = [
        (
            Selection::Person(name("anna")),
            RehearsalFaces::LeftOut,
            0,
            11,
        ),
        (
            Selection::Person(name("anna")),
            RehearsalFaces::GoAlong,
            11,
            0,
        ),
        (Selection::All, RehearsalFaces::LeftOut, 0, 23),
        (Selection::All, RehearsalFaces::GoAlong, 23, 0),
    ];
    for (number, (what, faces, along, left)) in exports.into_iter().enumerate() {
        let file = dir.path().join(format!("{number}.bundle"));
        let quiet = |_: Progress| {};
        let report = library
            .export(
                (&what, faces),
                &file,
                &to(Use::Share),
                &quiet,
                &CancelToken::new(),
            )
            .unwrap();
        assert_eq!(
            (report.rehearsal_faces, report.rehearsal_left_out),
            (along, left)
        );
        let bytes = std::fs::read(&file).unwrap();
        let has = |text: &[u8]| bytes.windows(text.len()).any(|w| w == text);
        assert_eq!(has(b"faces of anna"), along > 0);
        let (_other, there) = fresh();
        import(&there, &file, None).unwrap();
        assert_eq!(counts(&there).iter().map(|(_, n)| n).sum::<u64>(), along);
        assert_clean(&there);
    }
    // Under another name they are that person's.
    let (_other, there) = fresh();
    import(&there, &dir.path().join("1.bundle"), Some("guest")).unwrap();
    assert_eq!(counts(&there), [("guest".to_owned(), 11)]);
    let set = &there.rehearsals().unwrap()[0].record;
    assert!(there.rehearsal_faces(set, None, NOW).is_ok());
    assert_clean(&there);
}

#[test]
fn a_candidate_is_kept_and_nothing_moves() {
    let (_dir, library) = with_persons(&["anna"]);
    writer(&library)
        .commit_run(run_of(&library, &["anna"], 1))
        .unwrap();
    let before = library.starting_point(&[name("anna")]).unwrap();
    let commit = run_of(&library, &["anna"], 2);
    let report = writer(&library).keep_candidate(commit.clone()).unwrap();
    assert_eq!(library.starting_point(&[name("anna")]).unwrap(), before);
    let state = library.encoder_state(&report.encoder).unwrap().record;
    assert_eq!(state.metrics.get(CANDIDATE), Some(&1.0));
    assert_eq!(
        library.get_object(&state.object).unwrap(),
        b"encoder of run 2"
    );
    let decoder = library
        .decoder_state(&report.decoders[&name("anna")])
        .unwrap();
    assert_eq!(decoder.record.encoder_state, report.encoder);
    assert_clean(&library);
    // A repair of a lost ref takes the state that the library had.
    std::fs::remove_file(library.root().join("refs/encoder")).unwrap();
    std::fs::write(library.root().join("refs/encoder"), "x").unwrap();
    writer(&library)
        .repair(NOW, &|_: Progress| {}, &CancelToken::new())
        .unwrap();
    assert_eq!(library.starting_point(&[name("anna")]).unwrap(), before);
    // The same run can still be released.
    writer(&library).commit_run(commit).unwrap();
    let released = library.current_encoder().unwrap().unwrap();
    assert_ne!(released.hash, before.encoder.unwrap());
    assert!(!released.record.metrics.contains_key(CANDIDATE));
    assert_clean(&library);
}
