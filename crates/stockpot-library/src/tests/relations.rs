//! How encoder states are related, and their passports.

use super::*;
use crate::{Error, Kinship, NewPassport, Record};

/// Commits a run from the state `parent`, or from scratch.
fn grow(
    library: &Library,
    parent: Option<stockpot_core::ContentHash>,
    mark: u64,
) -> stockpot_core::ContentHash {
    let mut commit = run_of(library, &["anna"], mark);
    let EncoderChoice::New(state) = &mut commit.encoder else {
        panic!("a run trains its encoder");
    };
    state.parent = parent;
    writer(library).commit_run(commit).unwrap().encoder
}

#[test]
fn ancestors_make_kin() {
    let (_dir, library) = with_persons(&["anna"]);
    let first = grow(&library, None, 1);
    let second = grow(&library, Some(first), 2);
    let third = grow(&library, Some(second), 3);
    let branch = grow(&library, Some(first), 4);
    let stranger = grow(&library, None, 5);
    let child = grow(&library, Some(stranger), 6);
    let is = |a, b| library.kinship(&a, &b).unwrap();
    assert_eq!(is(third, third), Kinship::Same);
    let kin = |ancestor| Kinship::Kin { ancestor };
    assert_eq!(is(first, third), kin(first));
    assert_eq!(is(third, second), kin(second));
    assert_eq!(is(third, branch), kin(first));
    let foreign = Kinship::Foreign {
        first_root: first,
        second_root: stranger,
    };
    assert_eq!(is(third, child), foreign);
    let object = library.encoder_state(&first).unwrap().record.object;
    assert!(library.kinship(&first, &object).is_err());
}

#[test]
fn a_passport_lies_beside_its_state() {
    let (_dir, library) = with_persons(&["anna"]);
    let state = grow(&library, None, 1);
    let faces = crate::hash_of(b"faces");
    let new = |encoder_state, now_secs| NewPassport {
        encoder_state,
        bytes: b"codes".to_vec(),
        faces,
        count: 3,
        now_secs,
    };
    let stored = writer(&library).put_passport(new(state, NOW)).unwrap();
    let later = writer(&library).put_passport(new(state, NOW + 5)).unwrap();
    let all = library.passports().unwrap();
    assert_eq!(all, [stored.clone(), later]);
    let Record::Passport(record) = library.record(&stored.hash).unwrap() else {
        panic!("not a passport");
    };
    assert_eq!(library.get_object(&record.object).unwrap(), b"codes");
    assert_eq!(library.record(&stored.hash).unwrap().parents(), [state]);
    assert_clean(&library);
    let nothing = writer(&library).put_passport(new(faces, NOW));
    assert!(matches!(nothing, Err(Error::MissingRecord { .. })));
}

#[test]
fn a_stitched_decoder_names_both_encoders() {
    let (_dir, library) = with_persons(&["anna"]);
    let home = grow(&library, None, 1);
    let guest = grow(&library, None, 2);
    let mut commit = run_of(&library, &["anna"], 3);
    commit.encoder = EncoderChoice::Kept(guest);
    commit.decoders[0].stitched_from = Some(home);
    let report = writer(&library).commit_run(commit.clone()).unwrap();
    let state = report.decoders[&name("anna")];
    let record = library.decoder_state(&state).unwrap().record;
    assert_eq!(record.encoder_state, guest);
    assert_eq!(record.stitched_from, Some(home));
    let parents = library.record(&state).unwrap().parents();
    assert!(parents.contains(&home) && parents.contains(&guest));
    assert_clean(&library);
    commit.decoders[0].stitched_from = Some(crate::hash_of(b"nothing"));
    commit.expected = library.starting_point(&[name("anna")]).unwrap();
    assert!(writer(&library).commit_run(commit).is_err());
}
