//! Commits, what is current, the tree of states.

use super::*;
use crate::{Error, LogState, Record, Shown};

#[test]
fn a_run_becomes_current_as_a_whole() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    let mut commit = run_of(&library, &["anna", "ben"], 1);
    commit.decoders[0]
        .state
        .attachments
        .insert("optimiser".into(), b"moments".to_vec());
    let report = writer(&library).commit_run(commit.clone()).unwrap();
    assert!(report.encoder_is_new);
    assert_eq!(report.unsettled, None);
    assert_eq!(report.trained_with_another, []);
    let encoder = library.current_encoder().unwrap().unwrap();
    assert_eq!(encoder.hash, report.encoder);
    assert_eq!(
        library.get_object(&encoder.record.object).unwrap(),
        b"encoder of run 1"
    );
    let anna = library.current_decoder(&name("anna")).unwrap().unwrap();
    assert_eq!(anna.record.encoder_state, encoder.hash);
    assert_eq!(anna.record.person, name("anna"));
    assert_eq!(
        library
            .get_object(&anna.record.attachments["optimiser"])
            .unwrap(),
        b"moments"
    );
    assert_eq!(library.family().unwrap().as_deref(), Some("comb-s-64"));
    let Shown::Record { record, .. } = library.show(commit.run.as_str()).unwrap() else {
        panic!("not a record");
    };
    let Record::Run(run) = *record else {
        panic!("not a run");
    };
    assert_eq!(run.results.encoder, Some(encoder.hash));
    assert_eq!(run.settings_json, r#"{"steps":100}"#);
    assert_eq!(run.started_from.encoder, None);
    assert_clean(&library);
}

#[test]
fn training_a_and_c_after_a_and_b_leaves_b_on_the_older_encoder() {
    let (_dir, library) = with_persons(&["anna", "ben", "carla"]);
    let first = run_of(&library, &["anna", "ben"], 1);
    let first = writer(&library).commit_run(first).unwrap();
    let second = run_of(&library, &["anna", "carla"], 2);
    let second = writer(&library).commit_run(second).unwrap();
    assert_eq!(second.trained_with_another, [name("ben")]);
    let encoder = library.current_encoder().unwrap().unwrap();
    assert_eq!(encoder.record.parent, Some(first.encoder));
    let status = library.status().unwrap();
    let fits: Vec<(String, bool, u64)> = status
        .persons
        .iter()
        .map(|p| {
            let decoder = p.decoder.as_ref().unwrap();
            (
                p.name.to_string(),
                decoder.with_current_encoder,
                decoder.steps,
            )
        })
        .collect();
    assert_eq!(
        fits,
        [
            ("anna".to_string(), true, 200),
            ("ben".to_string(), false, 100),
            ("carla".to_string(), true, 200)
        ]
    );
    assert_eq!(status.encoder.unwrap().hash, second.encoder);
    let anna = library.current_decoder(&name("anna")).unwrap().unwrap();
    assert_eq!(anna.record.parent, Some(first.decoders[&name("anna")]));
}

#[test]
fn a_frozen_encoder_stays_and_one_kept_state_can_be_made_current() {
    let (_dir, library) = with_persons(&["anna"]);
    let first = run_of(&library, &["anna"], 1);
    let first = writer(&library).commit_run(first).unwrap();
    let mut frozen = run_of(&library, &["anna"], 2);
    frozen.encoder = EncoderChoice::Kept(first.encoder);
    let frozen = writer(&library).commit_run(frozen).unwrap();
    assert!(!frozen.encoder_is_new);
    assert_eq!(frozen.encoder, first.encoder);
    assert_eq!(
        library.current_encoder().unwrap().unwrap().hash,
        first.encoder
    );
    let anna = name("anna");
    let (old, new) = (first.decoders[&anna], frozen.decoders[&anna]);
    let writer = writer(&library);
    let error = writer.update_decoder(&anna, Some(old), old).unwrap_err();
    assert!(matches!(error, Error::Conflict { .. }), "{error}");
    writer.update_decoder(&anna, Some(new), old).unwrap();
    assert_eq!(library.current_decoder(&anna).unwrap().unwrap().hash, old);
    let error = writer.update_encoder(Some(first.encoder), old).unwrap_err();
    assert!(matches!(error, Error::WrongKind { .. }), "{error}");
    // A damaged ref can be set right, and only by who says that there is none.
    std::fs::write(library.root().join("refs/encoder"), "x").unwrap();
    assert!(library.current_encoder().is_err());
    assert!(library.status().unwrap().problems[0].contains("damaged"));
    assert!(writer.update_encoder(Some(old), first.encoder).is_err());
    writer.update_encoder(None, first.encoder).unwrap();
    assert_clean(&library);
}

#[test]
fn what_must_not_be_committed_is_refused_before_anything_is_stored() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    let first = run_of(&library, &["anna"], 1);
    writer(&library).commit_run(first).unwrap();
    let stored = files_below(&library.root().join("objects"));
    let refuse = |change: &dyn Fn(&mut RunCommit)| {
        let mut commit = run_of(&library, &["anna"], 2);
        change(&mut commit);
        writer(&library).commit_run(commit).unwrap_err()
    };
    let other = refuse(&|c| c.family = "comb-m-128".into());
    assert!(matches!(other, Error::OtherFamily { .. }), "{other}");
    let twice = refuse(&|c| c.decoders.push(c.decoders[0].clone()));
    assert!(matches!(twice, Error::BadCommit { .. }), "{twice}");
    let unknown = refuse(&|c| c.expected.decoders.clear());
    assert!(matches!(unknown, Error::BadCommit { .. }), "{unknown}");
    let orphan = refuse(&|c| c.decoders[0].state.parent = Some(crate::objects::hash_of(b"?")));
    assert!(matches!(orphan, Error::MissingRecord { .. }), "{orphan}");
    let no_number = refuse(&|c| {
        c.decoders[0].state.metrics.insert("loss".into(), f64::NAN);
    });
    assert!(
        no_number.to_string().contains("`loss` is NaN"),
        "{no_number}"
    );
    let no_json = refuse(&|c| c.settings_json = "{".into());
    assert!(no_json.to_string().contains("not JSON"), "{no_json}");
    let removed = run_of(&library, &["ben"], 3);
    writer(&library).remove_person(&name("ben"), NOW).unwrap();
    let removed = writer(&library).commit_run(removed).unwrap_err();
    assert!(matches!(removed, Error::NoSuchPerson { .. }), "{removed}");
    assert_eq!(files_below(&library.root().join("objects")), stored);
    assert_clean(&library);
}

#[test]
fn the_log_draws_branches_beside_the_line() {
    let (_dir, library) = with_persons(&["anna"]);
    let mut hashes = Vec::new();
    for mark in 1..=3 {
        let commit = run_of(&library, &["anna"], mark);
        hashes.push(writer(&library).commit_run(commit).unwrap().encoder);
    }
    // A branch from the first state, and one from scratch.
    for (mark, parent) in [(4, Some(hashes[0])), (5, None)] {
        let mut commit = run_of(&library, &["anna"], mark);
        if let EncoderChoice::New(state) = &mut commit.encoder {
            state.parent = parent;
        }
        hashes.push(writer(&library).commit_run(commit).unwrap().encoder);
    }
    let log = library.log().unwrap();
    assert_eq!(log.unreadable, [] as [String; 0]);
    let encoders: Vec<(usize, usize, bool)> = log
        .rows
        .iter()
        .filter(|row| row.state == LogState::Encoder)
        .map(|row| {
            let which = hashes.iter().position(|h| *h == row.hash).unwrap() + 1;
            (which, row.line, row.current)
        })
        .collect();
    assert_eq!(
        encoders,
        [
            (1, 0, false),
            (4, 1, false),
            (2, 0, false),
            (3, 0, false),
            (5, 0, true)
        ]
    );
    assert_eq!(log.rows.len(), 10);
    for pair in log.rows.chunks(2) {
        let LogState::Decoder { encoder_state, .. } = &pair[1].state else {
            panic!("{:?}", pair[1]);
        };
        assert_eq!(*encoder_state, pair[0].hash);
    }
    // A state whose parent is gone is a root, and the rest still shows.
    std::fs::remove_file(library.layout.record(&hashes[0])).unwrap();
    assert_eq!(library.log().unwrap().rows.len(), 9);
    assert!(!verify(&library).is_sound());
}

#[test]
fn a_chain_of_any_length_is_drawn() {
    // 20 000 states would overflow a stack that recursed.
    use crate::log::in_tree_order;
    let hash = |i: u32| crate::objects::hash_of(&i.to_le_bytes());
    let rows = (0..20_000u32)
        .map(|i| crate::LogRow {
            hash: hash(i),
            state: LogState::Encoder,
            parent: i.checked_sub(1).map(hash),
            line: 9,
            current: false,
            run: "r".parse().unwrap(),
            weights: crate::Weights::Here,
            steps: 0,
            metrics: Metrics::new(),
            created_secs: 0,
        })
        .collect();
    let rows = in_tree_order(rows, Vec::new());
    assert_eq!(rows.len(), 20_000);
    assert!(rows.iter().all(|row| row.line == 0));
    assert_eq!(rows[19_999].hash, hash(19_999));
}
