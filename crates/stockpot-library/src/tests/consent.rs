//! What a consent allows, how it changes, and that an edited one is found.

use serde_json::{Value, json};
use stockpot_core::ContentHash;

use super::bundle::{export, import, plan};
use super::*;
use crate::objects::hash_of;
use crate::record::Record;
use crate::refs::{Change, Expect, RefName};
use crate::signing::Keys;
use crate::{
    Allowed, ConsentChange, ConsentRecord, Error, FindingKind, Selection, Sharing, end_of_day,
};

fn change() -> ConsentChange {
    ConsentChange {
        entered_by: "the tests".into(),
        ..ConsentChange::default()
    }
}

/// Whether a person's consent covers a use, or the error's name.
fn answer(library: &Library, person: &str, purpose: &Purpose) -> &'static str {
    match library.consent_for(&name(person), purpose) {
        Ok(_) => "yes",
        Err(Error::NoConsent { .. }) => "none",
        Err(Error::ConsentWithdrawn { .. }) => "withdrawn",
        Err(Error::ConsentExpired { .. }) => "expired",
        Err(Error::ConsentOutOfScope { .. }) => "scope",
        Err(Error::ConsentOtherProject { .. }) => "project",
        Err(Error::SharingForbidden { .. }) => "sharing",
        Err(Error::ConsentNotVouched { .. }) => "not vouched",
        Err(Error::DamagedRecord { .. }) => "damaged",
        Err(other) => panic!("{other}"),
    }
}

const USES: [Use; 5] = [
    Use::Extract,
    Use::Train,
    Use::Rehearsal,
    Use::Swap,
    Use::Share,
];

fn answers(library: &Library, person: &str) -> [&'static str; 5] {
    USES.map(|what| answer(library, person, &to(what)))
}

/// Makes another record the current consent, as somebody with an editor would.
fn point_to(library: &Library, person: &str, record: ContentHash) {
    let change = Change {
        name: RefName::Consent(name(person)),
        expect: Expect::Any,
        new: Some(record),
    };
    crate::refs::transact(&library.disk, &library.layout, &[change]).unwrap();
}

/// Puts bytes among the records, under the name that they hash to.
fn smuggle(library: &Library, bytes: &[u8]) -> ContentHash {
    let hash = hash_of(bytes);
    let path = library.layout.record(&hash);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    hash
}

fn bytes_of(library: &Library, hash: &ContentHash) -> Value {
    serde_json::from_slice(&std::fs::read(library.layout.record(hash)).unwrap()).unwrap()
}

#[test]
fn terms_decide_and_the_answer_says_which() {
    let (_dir, library) = with_persons(&["anna"]);
    assert_eq!(answers(&library, "anna"), ["yes"; 5]);
    let set = |change: ConsentChange| {
        writer(&library)
            .change_consent(&name("anna"), change, NOW)
            .unwrap();
    };
    let only = |one| Some([one].into());
    set(ConsentChange {
        uses: only(Allowed::Train),
        ..change()
    });
    let train = ["yes", "yes", "scope", "scope", "yes"];
    assert_eq!(answers(&library, "anna"), train);
    set(ConsentChange {
        uses: only(Allowed::Swap),
        sharing: Some(Sharing::Forbidden),
        ..change()
    });
    let swap = ["yes", "scope", "scope", "yes", "sharing"];
    assert_eq!(answers(&library, "anna"), swap);
    set(ConsentChange {
        uses: only(Allowed::Rehearsal),
        ..change()
    });
    let keep = ["scope", "scope", "yes", "scope", "sharing"];
    assert_eq!(answers(&library, "anna"), keep);
    set(ConsentChange {
        uses: Some(Allowed::all()),
        sharing: Some(Sharing::Allowed),
        projects: Some(vec!["Film X".into(), "Advert".into()]),
        ..change()
    });
    assert_eq!(answers(&library, "anna"), ["project"; 5]);
    let asked = |project: &str| Purpose {
        project: Some(project.into()),
        ..to(Use::Swap)
    };
    assert_eq!(answer(&library, "anna", &asked("film x ")), "yes");
    assert_eq!(answer(&library, "anna", &asked("Film Y")), "project");
    let error = library
        .consent_for(&name("anna"), &asked("Film Y"))
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("`Film X`, `Advert`") && text.contains("`Film Y`"),
        "{text}"
    );
    assert!(error.hint().unwrap().contains("--project"));
    // It holds until the end of the day, to the second.
    let end = end_of_day("2026-03-01").unwrap();
    set(ConsentChange {
        projects: Some(Vec::new()),
        until_secs: Some(Some(end)),
        ..change()
    });
    assert_eq!(
        answer(&library, "anna", &Purpose::of(Use::Train, end - 1)),
        "yes"
    );
    for what in USES {
        assert_eq!(answer(&library, "anna", &Purpose::of(what, end)), "expired");
    }
    let late = Purpose::of(Use::Swap, end);
    let error = library.consent_for(&name("anna"), &late).unwrap_err();
    assert!(
        error
            .hint()
            .unwrap()
            .contains("person consent anna --until")
    );
    set(ConsentChange {
        until_secs: Some(None),
        ..change()
    });
    assert_eq!(answer(&library, "anna", &late), "yes");
    assert_clean(&library);
}

#[test]
fn a_change_keeps_what_it_does_not_name_and_the_old_record() {
    let (_dir, library) = with_persons(&["anna"]);
    let first = library.consent_on_record(&name("anna")).unwrap();
    let set = |change: ConsentChange| writer(&library).change_consent(&name("anna"), change, NOW);
    let second = set(ConsentChange {
        source: Some(ConsentSource::File {
            name: "anna.pdf".into(),
            bytes: b"yes".to_vec(),
        }),
        agreed_by: Some("Anna A.".into()),
        projects: Some(vec!["X".into()]),
        until_secs: Some(Some(NOW + 10)),
        note: Some("by post".into()),
        ..change()
    })
    .unwrap();
    let third = set(ConsentChange {
        uses: Some([Allowed::Swap].into()),
        ..change()
    })
    .unwrap();
    let kept = ConsentRecord {
        uses: [Allowed::Swap].into(),
        original: Some(second.hash),
        signed: third.record.signed.clone(),
        ..second.record.clone()
    };
    assert_eq!(third.record, kept);
    let history = library.consent_history(&third.record);
    assert_eq!(history, [second, first]);
    let empty = ConsentChange::default();
    assert!(matches!(set(empty), Err(Error::BadConsent { .. })));
    let nameless = ConsentChange {
        projects: Some(vec![" ".into()]),
        ..change()
    };
    assert!(matches!(set(nameless), Err(Error::BadConsent { .. })));
    assert_clean(&library);
}

#[test]
fn who_withdraws_is_not_used_and_has_to_agree_anew() {
    let (dir, library) = with_persons(&["anna", "ben"]);
    let commit = run_of(&library, &["anna", "ben"], 1);
    writer(&library).commit_run(commit).unwrap();
    // A run that is under way.
    let running = run_of(&library, &["anna", "ben"], 2);
    let before = library.status().unwrap();
    let withdraw = || writer(&library).withdraw_consent(&name("anna"), "anna", "by mail", NOW + 5);
    let stored = withdraw().unwrap();
    assert_eq!(stored.record.withdrawn_secs, Some(NOW + 5));
    assert_eq!(stored.record.note, "by mail");
    assert_eq!(withdraw().unwrap(), stored);
    assert_eq!(answers(&library, "anna"), ["withdrawn"; 5]);
    assert_eq!(answers(&library, "ben"), ["yes"; 5]);
    let error = writer(&library).commit_run(running).unwrap_err();
    assert!(matches!(error, Error::ConsentWithdrawn { .. }), "{error}");
    let hint = error.hint().unwrap();
    assert!(hint.contains("person remove anna --erase"), "{hint}");
    assert!(error.to_string().contains("2026-01-01"), "{error}");
    assert_eq!(library.status().unwrap().persons, before.persons);
    let file = dir.path().join("a");
    let error = export(&library, &Selection::Person(name("anna")), &file).unwrap_err();
    assert!(matches!(error, Error::ConsentWithdrawn { .. }), "{error}");
    let all = export(&library, &Selection::All, &file).unwrap();
    assert_eq!(all.persons, [name("ben")]);
    assert!(all.left_out[0].1.contains("withdrawn"));
    // Not by an oversight.
    let set = |change| writer(&library).change_consent(&name("anna"), change, NOW + 6);
    let longer = ConsentChange {
        until_secs: Some(None),
        ..change()
    };
    assert!(matches!(set(longer), Err(Error::ConsentWithdrawn { .. })));
    let sharing = writer(&library).set_sharing(&name("anna"), Sharing::Allowed, "x", NOW + 6);
    assert!(matches!(sharing, Err(Error::ConsentWithdrawn { .. })));
    let again = set(ConsentChange {
        source: Some(ConsentSource::OwnFace),
        ..change()
    });
    assert_eq!(again.unwrap().record.withdrawn_secs, None);
    assert_eq!(answers(&library, "anna"), ["yes"; 5]);
    assert_clean(&library);
}

/// A library as older software left it: no key, no log, consents without a signature.
fn older() -> (TempDir, Library, ContentHash) {
    let (dir, library) = with_persons(&["anna"]);
    let signed = library.consent_on_record(&name("anna")).unwrap();
    let mut old = signed.record;
    old.signed = None;
    let record = Record::Consent(old);
    let bytes = record.to_bytes().unwrap();
    let mut file: Value = serde_json::from_slice(&bytes).unwrap();
    assert_eq!(file["version"], 1);
    file["body"].as_object_mut().unwrap().remove("uses");
    let old = smuggle(&library, file.to_string().as_bytes());
    point_to(&library, "anna", old);
    std::fs::remove_file(library.layout.record(&signed.hash)).unwrap();
    for path in [
        "keys/library.key",
        "keys/library.pub",
        "audit.jsonl",
        "audit.seal",
    ] {
        std::fs::remove_file(library.root().join(path)).unwrap();
    }
    (dir, library, old)
}

#[test]
fn unsigned_records_of_older_software_hold_and_are_bound_by_the_log() {
    let (_dir, library, old) = older();
    assert_clean(&library);
    assert_eq!(answers(&library, "anna"), ["yes"; 5]);
    let consent = library.consent_on_record(&name("anna")).unwrap();
    assert_eq!((consent.hash, consent.record.signed), (old, None));
    // The first line says what was there when the log began.
    let commit = run_of(&library, &["anna"], 1);
    writer(&library).commit_run(commit).unwrap();
    let report = library.audit().unwrap();
    assert!(report.is_sound());
    assert_eq!(report.lines[0].consents, [old]);
    assert_eq!(answers(&library, "anna"), ["yes"; 5]);
    assert_clean(&library);
    // From now on another unsigned record is nobody's word.
    let mut file = bytes_of(&library, &old);
    file["body"]["entered_by"] = json!("somebody");
    let other = smuggle(&library, file.to_string().as_bytes());
    point_to(&library, "anna", other);
    assert_eq!(answers(&library, "anna"), ["not vouched"; 5]);
    assert!(!verify(&library).is_sound());
    // A change makes it a signed one.
    let new = ConsentChange {
        source: Some(ConsentSource::Synthetic),
        ..change()
    };
    let stored = writer(&library)
        .change_consent(&name("anna"), new, NOW + 1)
        .unwrap();
    assert!(stored.record.signed.is_some());
    assert_sound(&library);
}

#[test]
fn an_edited_record_is_found_whatever_was_edited() {
    let (_dir, library) = with_persons(&["anna"]);
    let stored = writer(&library)
        .change_consent(
            &name("anna"),
            ConsentChange {
                source: Some(ConsentSource::File {
                    name: "anna.pdf".into(),
                    bytes: b"yes".to_vec(),
                }),
                agreed_by: Some("Anna A.".into()),
                sharing: Some(Sharing::Forbidden),
                projects: Some(vec!["X".into()]),
                until_secs: Some(Some(NOW + 10)),
                ..change()
            },
            NOW,
        )
        .unwrap();
    let good = bytes_of(&library, &stored.hash);
    let edits: [(&str, Value); 14] = [
        ("agreed_by", json!("Somebody")),
        ("entered_by", json!("Somebody")),
        ("note", json!("!")),
        ("uses", json!([])),
        ("projects", json!(["X", "Y"])),
        ("projects", Value::Null),
        ("until_secs", json!(NOW + 1000)),
        ("until_secs", Value::Null),
        ("sharing", json!("allowed")),
        ("original", Value::Null),
        ("created_secs", json!(1)),
        ("software", json!("x")),
        ("unknown", json!(1)),
        ("basis", json!({"kind": "self"})),
    ];
    let found = |bytes: &[u8]| {
        let hash = smuggle(&library, bytes);
        point_to(&library, "anna", hash);
        let answers = answers(&library, "anna");
        assert!(
            answers == ["damaged"; 5] || answers == ["not vouched"; 5],
            "{answers:?}"
        );
        assert!(!verify(&library).is_sound());
        std::fs::remove_file(library.layout.record(&hash)).unwrap();
        answers[0]
    };
    for (field, value) in edits {
        let mut file = good.clone();
        match value {
            Value::Null => drop(file["body"].as_object_mut().unwrap().remove(field)),
            value => file["body"][field] = value,
        }
        assert_ne!(file, good, "{field}");
        assert_eq!(found(file.to_string().as_bytes()), "damaged", "{field}");
    }
    // Without its signature; as an older record; with another key.
    let mut file = good.clone();
    file["body"].as_object_mut().unwrap().remove("signed");
    assert_eq!(found(file.to_string().as_bytes()), "damaged");
    file["version"] = json!(1);
    assert_eq!(found(file.to_string().as_bytes()), "not vouched");
    let forged = stored
        .record
        .clone()
        .signed_with(&Keys::random().unwrap())
        .unwrap();
    let forged = Record::Consent(forged).to_bytes().unwrap();
    assert_eq!(found(&forged), "not vouched");
    point_to(&library, "anna", stored.hash);
    assert_clean(&library);
}

#[test]
fn an_old_consent_put_back_after_a_withdrawal_is_found() {
    let (_dir, library) = with_persons(&["anna"]);
    let first = library.consent_on_record(&name("anna")).unwrap().hash;
    let withdrawn = writer(&library)
        .withdraw_consent(&name("anna"), "anna", "", NOW)
        .unwrap();
    point_to(&library, "anna", first);
    assert_eq!(answers(&library, "anna"), ["not vouched"; 5]);
    let finding = verify(&library).findings;
    assert!(
        matches!(finding[0].kind, FindingKind::ConsentNotVouched { record } if record == first),
        "{finding:?}"
    );
    point_to(&library, "anna", withdrawn.hash);
    assert_clean(&library);
    // A repair does not bring it back either.
    let path = library.layout.record(&withdrawn.hash);
    std::fs::write(path, b"{}").unwrap();
    let quiet = |_: Progress| {};
    writer(&library)
        .repair(NOW, &quiet, &CancelToken::new())
        .unwrap();
    assert_eq!(answers(&library, "anna"), ["none"; 5]);
    assert_sound(&library);
}

#[test]
fn consent_travels_with_the_key_of_the_library_that_signed_it() {
    let (dir, from) = with_persons(&["anna"]);
    let until = Some(Some(NOW + 1000));
    let stored = writer(&from)
        .change_consent(
            &name("anna"),
            ConsentChange {
                until_secs: until,
                ..change()
            },
            NOW,
        )
        .unwrap();
    let commit = run_of(&from, &["anna"], 1);
    writer(&from).commit_run(commit).unwrap();
    let file = dir.path().join("anna.bundle");
    export(&from, &Selection::Person(name("anna")), &file).unwrap();
    let (_other, library) = with_persons(&["ben"]);
    let planned = plan(&library, &file, None).unwrap();
    assert_eq!(planned.persons[0].consent, stored.record);
    import(&library, &file, None).unwrap();
    let here = library.consent_on_record(&name("anna")).unwrap();
    assert_eq!(here, stored);
    let key = here.record.signed.unwrap().key;
    assert_eq!(Some(key), from.public_key().unwrap());
    assert_ne!(Some(key), library.public_key().unwrap());
    assert_eq!(answers(&library, "anna"), ["yes"; 5]);
    assert_eq!(
        answer(&library, "anna", &Purpose::of(Use::Swap, NOW + 1000)),
        "expired"
    );
    assert_clean(&library);
    // Under another name this library signs, and says who did before.
    import(&library, &file, Some("anna-k")).unwrap();
    let renamed = library.consent_on_record(&name("anna-k")).unwrap();
    // The decoder state names the consent that allowed it, also under the new name.
    let allowed = |who: &str| {
        let state = library.current_decoder(&name(who)).unwrap().unwrap();
        state.record.consent
    };
    assert_eq!(allowed("anna"), Some(stored.hash));
    assert_eq!(allowed("anna-k"), Some(renamed.hash));
    let renamed = renamed.record;
    assert_eq!(
        renamed.signed.unwrap().key,
        library.public_key().unwrap().unwrap()
    );
    assert_eq!(renamed.original_key, Some(key));
    assert_eq!(renamed.until_secs, until.flatten());
    import(&library, &file, Some("anna-k")).unwrap();
    assert_clean(&library);
    // Taken over by hand, without an import, it is nobody's word here.
    let (_third, bare) = with_persons(&["anna"]);
    let bytes = std::fs::read(from.layout.record(&stored.hash)).unwrap();
    let hash = smuggle(&bare, &bytes);
    point_to(&bare, "anna", hash);
    assert_eq!(answers(&bare, "anna"), ["not vouched"; 5]);
}

#[test]
fn without_its_key_a_library_reads_and_says_what_is_missing() {
    let (_dir, library) = with_persons(&["anna"]);
    let secret = library.layout.secret_key();
    let kept = std::fs::read(&secret).unwrap();
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        let mode = || std::fs::metadata(&secret).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(), 0o600);
        std::fs::set_permissions(&secret, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(verify(&library).findings[0].kind, FindingKind::KeyOpen);
        assert_sound(&library);
        let quiet = |_: Progress| {};
        writer(&library)
            .repair(NOW, &quiet, &CancelToken::new())
            .unwrap();
        assert_eq!(mode(), 0o600);
        assert_clean(&library);
    }
    std::fs::remove_file(&secret).unwrap();
    assert_eq!(answers(&library, "anna"), ["yes"; 5]);
    let error = writer(&library)
        .set_sharing(&name("anna"), Sharing::Forbidden, "x", NOW)
        .unwrap_err();
    assert!(matches!(error, Error::MissingKey { .. }), "{error}");
    assert!(!verify(&library).is_sound());
    // Another library's key does not do.
    let (_other, others) = with_persons(&["ben"]);
    std::fs::copy(others.layout.secret_key(), &secret).unwrap();
    let error = writer(&library)
        .set_sharing(&name("anna"), Sharing::Forbidden, "x", NOW)
        .unwrap_err();
    assert!(matches!(error, Error::DamagedKey { .. }), "{error}");
    std::fs::write(&secret, &kept).unwrap();
    writer(&library)
        .set_sharing(&name("anna"), Sharing::Forbidden, "x", NOW)
        .unwrap();
}
