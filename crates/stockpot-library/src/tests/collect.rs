//! Making room: what goes, what stays, and that a stop in between harms nothing.

use stockpot_core::ContentHash;

use super::crash::stop_and_repeat;
use super::*;
use crate::{Error, GcOptions, GcReport, LogState};

const DAY: u64 = 24 * 60 * 60;

/// Runs of one second after another, as `run_of` dates them.
fn with_runs(persons: &[&str], runs: u64) -> (TempDir, Library) {
    let (dir, library) = with_persons(persons);
    for mark in 1..=runs {
        let commit = run_of(&library, persons, mark);
        writer(&library).commit_run(commit).unwrap();
    }
    (dir, library)
}

fn options(keep_states: u32, keep_days: u32) -> GcOptions {
    GcOptions {
        keep_states,
        keep_days,
        now_secs: NOW + 40 * DAY,
    }
}

fn collect(library: &Library, options: &GcOptions) -> crate::Result<GcReport> {
    library.writer(NOW, Duration::from_secs(1))?.collect(
        options,
        &|_: Progress| {},
        &CancelToken::new(),
    )
}

/// The tree, whether or not the weights are there.
fn tree(library: &Library) -> Vec<crate::LogRow> {
    let mut rows = library.log().unwrap().rows;
    for row in &mut rows {
        row.weights = crate::Weights::Here;
    }
    rows
}

/// The states that have their weights, encoder states first.
fn whole_states(library: &Library) -> (Vec<ContentHash>, Vec<ContentHash>) {
    let mut encoders = Vec::new();
    let mut decoders = Vec::new();
    for row in library.log().unwrap().rows {
        let object = match row.state {
            LogState::Encoder => library.encoder_state(&row.hash).unwrap().record.object,
            LogState::Decoder { .. } => library.decoder_state(&row.hash).unwrap().record.object,
        };
        if library.get_object(&object).is_ok() {
            match row.state {
                LogState::Encoder => encoders.push(row.hash),
                LogState::Decoder { .. } => decoders.push(row.hash),
            }
        }
    }
    (encoders, decoders)
}

#[test]
fn old_weights_go_and_records_stay() {
    let (_dir, library) = with_runs(&["anna", "ben"], 6);
    let status = library.status().unwrap();
    let log = tree(&library);
    let usual = GcOptions::usual(NOW + 40 * DAY);
    let planned = library.plan_collect(&usual).unwrap();
    assert_eq!(whole_states(&library).0.len(), 6, "a plan changes nothing");
    let report = collect(&library, &usual).unwrap();
    assert_eq!(report, planned);
    // Three of six encoder states and of twice six decoder states.
    assert_eq!(report.states.len(), 9);
    assert_eq!(report.objects, 9);
    assert_eq!(report.unnamed, 0);
    let oldest = "encoder of run 1".len() + "anna of run 1".len() + "ben of run 1".len();
    assert_eq!(report.bytes, 3 * oldest as u64);
    let (encoders, decoders) = whole_states(&library);
    assert_eq!((encoders.len(), decoders.len()), (3, 6));
    assert_eq!(library.status().unwrap(), status);
    assert_eq!(tree(&library), log);
    assert_clean(&library);
    // What went is told as such.
    let collected = crate::Weights::Absent(crate::AbsenceReason::Collected);
    let rows = library.log().unwrap().rows;
    assert_eq!(rows.iter().filter(|r| r.weights == collected).count(), 9);
    let gone = report.states.iter().find(|s| s.person.is_none()).unwrap();
    let object = library.encoder_state(&gone.record).unwrap().record.object;
    let error = library.get_object(&object).unwrap_err();
    assert!(matches!(error, Error::Absent { .. }), "{error}");
    assert!(error.to_string().contains("collected"), "{error}");
    // Nothing is left to do.
    let again = collect(&library, &usual).unwrap();
    assert_eq!((again.objects, again.states.len()), (0, 0));
}

#[test]
fn what_a_stitched_decoder_came_from_stays() {
    let (_dir, library) = with_runs(&["anna", "ben"], 1);
    let trained = library.current_decoder(&name("anna")).unwrap().unwrap();
    let home = trained.record.encoder_state;
    // Ben goes on in another lineage, and anna is stitched to it: twice, the second time from the
    // first stitch, as nobody does today.
    let mut commit = run_of(&library, &["ben"], 2);
    let EncoderChoice::New(state) = &mut commit.encoder else {
        panic!("a run trains its encoder");
    };
    state.parent = None;
    let guest = writer(&library).commit_run(commit).unwrap().encoder;
    for mark in [3, 4] {
        let mut stitch = run_of(&library, &["anna"], mark);
        stitch.encoder = EncoderChoice::Kept(guest);
        stitch.decoders[0].stitched_from = Some(home);
        writer(&library).commit_run(stitch).unwrap();
    }
    for mark in 5..=9 {
        let commit = run_of(&library, &["ben"], mark);
        writer(&library).commit_run(commit).unwrap();
    }
    collect(&library, &options(0, 0)).unwrap();
    let (encoders, decoders) = whole_states(&library);
    assert!(decoders.contains(&trained.hash), "what was last trained");
    assert!(
        encoders.contains(&home),
        "and the encoder it was trained with"
    );
    assert!(encoders.contains(&guest));
    // Current: one encoder, ben, anna; beside them guest, home, the first stitch and the trained one.
    assert_eq!((encoders.len(), decoders.len()), (3, 4));
    assert_clean(&library);
    // Once it is trained again, nothing holds the old line.
    let commit = run_of(&library, &["anna", "ben"], 10);
    writer(&library).commit_run(commit).unwrap();
    collect(&library, &options(0, 0)).unwrap();
    let (encoders, decoders) = whole_states(&library);
    assert_eq!((encoders.len(), decoders.len()), (1, 2));
}

#[test]
fn what_is_current_or_young_stays_whatever_is_asked() {
    let (_dir, library) = with_runs(&["anna", "ben"], 3);
    // Ben's decoder stays behind, with the encoder state that it was trained with.
    let bens = library.current_decoder(&name("ben")).unwrap().unwrap();
    for mark in 4..=6 {
        let commit = run_of(&library, &["anna"], mark);
        writer(&library).commit_run(commit).unwrap();
    }
    let young = collect(&library, &options(0, 41)).unwrap();
    assert_eq!(young.objects, 0);
    collect(&library, &options(0, 0)).unwrap();
    let (encoders, decoders) = whole_states(&library);
    let current = library.current_encoder().unwrap().unwrap().hash;
    assert_eq!(encoders, [bens.record.encoder_state, current]);
    assert_eq!(decoders.len(), 2);
    assert!(decoders.contains(&bens.hash));
    assert_clean(&library);
    // A run goes on from what is left.
    let commit = run_of(&library, &["anna", "ben"], 7);
    writer(&library).commit_run(commit).unwrap();
    assert_clean(&library);
}

#[test]
fn who_was_taken_out_keeps_only_what_is_young() {
    let (_dir, library) = with_runs(&["anna", "ben"], 2);
    writer(&library).remove_person(&name("ben"), NOW).unwrap();
    assert_eq!(collect(&library, &options(3, 41)).unwrap().objects, 0);
    let report = collect(&library, &options(3, 30)).unwrap();
    assert_eq!(report.states.len(), 2);
    assert!(report.states.iter().all(|s| s.person == Some(name("ben"))));
    assert_clean(&library);
}

#[test]
fn objects_that_nothing_names_go_and_evidence_stays() {
    let (_dir, library) = with_runs(&["anna"], 1);
    let consent = Consent {
        source: ConsentSource::File {
            name: "signed.pdf".into(),
            bytes: b"I agree".to_vec(),
        },
        ..synthetic()
    };
    let ben = name("ben");
    writer(&library).add_person(&ben, consent, NOW).unwrap();
    writer(&library).remove_person(&ben, NOW).unwrap();
    let stray = writer(&library)
        .put_object(b"of a commit that died")
        .unwrap();
    let report = collect(&library, &options(0, 0)).unwrap();
    assert_eq!((report.unnamed, report.unnamed_bytes), (1, 21));
    assert_eq!(report.objects, 1);
    assert!(library.get_object(&stray).is_err());
    let evidence = crate::objects::hash_of(b"I agree");
    assert_eq!(library.get_object(&evidence).unwrap(), b"I agree");
    assert_clean(&library);
}

#[test]
fn a_library_that_is_not_whole_is_left_alone() {
    let (_dir, library) = with_runs(&["anna"], 5);
    let refused = |why: &str| {
        let before = files_below(&library.root().join("objects"));
        let error = collect(&library, &options(0, 0)).unwrap_err();
        assert!(matches!(error, Error::NotWhole { .. }), "{error}");
        assert!(error.to_string().contains(why), "{error}");
        assert!(error.hint().unwrap().contains("repair"));
        assert_eq!(files_below(&library.root().join("objects")), before);
    };
    let encoder = library.root().join("refs/encoder");
    let good = std::fs::read(&encoder).unwrap();
    std::fs::write(&encoder, b"{}").unwrap();
    refused("ref `encoder`");
    std::fs::write(&encoder, good).unwrap();
    let first = library.log().unwrap().rows[0].hash;
    let path = library.layout.record(&first);
    let good = std::fs::read(&path).unwrap();
    std::fs::write(&path, b"{}").unwrap();
    refused("damaged");
    std::fs::write(&path, good).unwrap();
    let current = library.current_encoder().unwrap().unwrap().hash;
    let path = library.layout.record(&current);
    let good = std::fs::read(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    refused("missing");
    std::fs::write(&path, good).unwrap();
    assert!(collect(&library, &options(0, 0)).unwrap().objects > 0);
    // A current state needs its weights, whatever was written down.
    let current = library.encoder_state(&current).unwrap().record.object;
    writer(&library)
        .put_absence(
            crate::AbsenceReason::Collected,
            &BTreeMap::from([(current, 1)]),
            &std::collections::BTreeSet::new(),
            None,
            NOW,
        )
        .unwrap();
    assert_clean(&library);
    std::fs::remove_file(library.layout.object(&current)).unwrap();
    assert!(!verify(&library).is_sound());
}

#[test]
fn a_stop_at_any_step_harms_nothing() {
    let (_dir, library) = with_runs(&["anna", "ben"], 3);
    writer(&library).put_object(b"stray").unwrap();
    let status = library.status().unwrap();
    let log = tree(&library);
    let stops = stop_and_repeat(
        &library,
        &|library| collect(library, &options(1, 0)).map(drop),
        &|library, what| {
            assert_eq!(library.status().unwrap(), status, "{what}");
            assert_eq!(tree(library), log, "{what}");
            let (encoders, decoders) = whole_states(library);
            assert!(!encoders.is_empty() && decoders.len() >= 2, "{what}");
        },
    );
    assert!(stops > 20, "{stops}");
}
