//! Save then load is the same; no bytes make the reader panic.

use proptest::collection::{btree_map, vec};
use proptest::option;
use proptest::prelude::*;
use stockpot_core::ContentHash;

use super::*;
use crate::record::parse;
use crate::{
    AbsenceReason, AbsenceRecord, DecoderStateRecord, EncoderStateRecord, Record, RunRecord,
    StatesNamed,
};

fn hash() -> impl Strategy<Value = ContentHash> {
    any::<[u8; 32]>().prop_map(ContentHash)
}

fn metrics() -> impl Strategy<Value = Metrics> {
    let finite = any::<f64>().prop_filter("finite", |x| x.is_finite());
    btree_map(any::<String>(), finite, 0..4)
}

fn person() -> impl Strategy<Value = PersonName> {
    "[a-zA-Z0-9][a-zA-Z0-9_-]{0,63}".prop_map(|s| s.parse().unwrap())
}

fn states() -> impl Strategy<Value = StatesNamed> {
    (option::of(hash()), btree_map(person(), hash(), 0..3))
        .prop_map(|(encoder, decoders)| StatesNamed { encoder, decoders })
}

fn encoder_state() -> impl Strategy<Value = EncoderStateRecord> {
    (
        hash(),
        option::of(hash()),
        any::<(String, u64, u64, String)>(),
        metrics(),
        btree_map(any::<String>(), hash(), 0..3),
    )
        .prop_map(
            |(object, parent, (family, steps, created_secs, software), metrics, attachments)| {
                EncoderStateRecord {
                    object,
                    parent,
                    family,
                    run: "20260101-000000-abcdef".parse().unwrap(),
                    steps,
                    metrics,
                    attachments,
                    created_secs,
                    software,
                }
            },
        )
}

fn record() -> impl Strategy<Value = Record> {
    let decoder = (encoder_state(), person(), hash(), any::<bool>()).prop_map(
        |(e, person, encoder_state, lite)| {
            Record::DecoderState(DecoderStateRecord {
                person,
                object: e.object,
                encoder_state,
                parent: e.parent,
                stitched_from: lite.then_some(encoder_state),
                consent: lite.then_some(e.object),
                form: if lite {
                    DecoderForm::Lite
                } else {
                    DecoderForm::Full
                },
                family: e.family,
                run: e.run,
                steps: e.steps,
                metrics: e.metrics,
                attachments: e.attachments,
                created_secs: e.created_secs,
                software: e.software,
            })
        },
    );
    let run = (
        states(),
        states(),
        vec(person(), 0..3),
        metrics(),
        any::<(u64, u64, u64, String)>(),
    )
        .prop_map(
            |(started_from, results, persons, metrics, (seed, began, created, note))| {
                Record::Run(RunRecord {
                    run: "20260101-000000-abcdef".parse().unwrap(),
                    persons,
                    started_from,
                    results,
                    settings_json: serde_json::json!({ "note": note, "seed": seed }).to_string(),
                    seed,
                    metrics,
                    began_secs: began,
                    created_secs: created,
                    software: "s".into(),
                })
            },
        );
    let absence = (
        btree_map(hash(), any::<u64>(), 0..4),
        prop::collection::btree_set(hash(), 0..4),
        option::of(person()),
        any::<u64>(),
    )
        .prop_map(|(objects, records, erased_as, created_secs)| {
            Record::Absence(AbsenceRecord {
                reason: AbsenceReason::Erased,
                objects,
                records,
                erased_as,
                created_secs,
                software: "s".into(),
            })
        });
    prop_oneof![
        encoder_state().prop_map(Record::EncoderState),
        decoder,
        run,
        absence
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    #[test]
    fn a_record_reads_back_as_it_was_written(record in record()) {
        let bytes = record.to_bytes().unwrap();
        let (envelope, again) = parse(&bytes).unwrap();
        prop_assert_eq!(envelope.parents, record.parents());
        prop_assert_eq!(envelope.objects, record.objects());
        prop_assert_eq!(again.to_bytes().unwrap(), bytes);
        prop_assert_eq!(again, record);
    }

    #[test]
    fn a_changed_record_is_read_or_refused(record in record(), edits in vec(any::<(prop::sample::Index, u8)>(), 1..6)) {
        let mut bytes = record.to_bytes().unwrap();
        for (at, byte) in edits {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        let _ = parse(&bytes); // must return
    }

    #[test]
    fn any_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..400)) {
        let _ = parse(&bytes); // must return
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, ..ProptestConfig::default() })]

    #[test]
    fn an_object_reads_back_as_it_was_written(bytes in vec(any::<u8>(), 0..5000)) {
        let (_dir, library) = fresh();
        let writer = writer(&library);
        let hash = writer.put_object(&bytes).unwrap();
        prop_assert_eq!(writer.put_object(&bytes).unwrap(), hash);
        prop_assert_eq!(hash, crate::objects::hash_of(&bytes));
        prop_assert_eq!(library.get_object(&hash).unwrap(), bytes);
        assert_clean(&library);
    }

    #[test]
    fn any_ref_and_journal_bytes_are_read_or_refused(bytes in vec(any::<u8>(), 0..200)) {
        let (_dir, library) = with_persons(&["anna"]);
        std::fs::write(library.layout.journal(), &bytes).unwrap();
        std::fs::write(library.root().join("refs/encoder"), &bytes).unwrap();
        prop_assert!(library.current_encoder().is_err());
        prop_assert!(!verify(&library).is_sound());
        drop(writer(&library));
        prop_assert_eq!(library.persons().unwrap().len(), 1);
    }
}
