//! Flipped bytes, missing files, files that are none of ours, records from anywhere.

use stockpot_core::ContentHash;

use super::*;
use crate::{Error, FindingKind, MAX_RECORD_BYTES, objects};

/// Stores a record file as it is, under its right name.
fn plant_record(library: &Library, bytes: &[u8]) -> ContentHash {
    let hash = objects::hash_of(bytes);
    let path = library.layout.record(&hash);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
    hash
}

#[test]
fn every_flipped_byte_is_found() {
    let (_dir, library) = with_persons(&["a"]);
    let commit = run_of(&library, &["a"], 1);
    writer(&library).commit_run(commit).unwrap();
    assert_clean(&library);
    let mut flips = 0;
    for folder in ["objects", "records", "refs"] {
        for path in files_below(&library.root().join(folder)) {
            let good = std::fs::read(&path).unwrap();
            for at in 0..good.len() {
                let mut bad = good.clone();
                bad[at] ^= 1;
                std::fs::write(&path, &bad).unwrap();
                let report = verify(&library);
                let told = report
                    .findings
                    .iter()
                    .any(|f| f.path == path && f.is_damage());
                assert!(told, "byte {at} of {}: {report:?}", path.display());
                flips += 1;
            }
            std::fs::write(&path, &good).unwrap();
        }
    }
    assert!(flips > 1000, "{flips}");
    assert_clean(&library);
}

#[test]
fn damage_is_noticed_on_reading() {
    let (_dir, library) = with_persons(&["anna"]);
    let hash = writer(&library).put_object(b"weights").unwrap();
    let path = library.layout.object(&hash);
    std::fs::write(&path, b"wEights").unwrap();
    let error = library.get_object(&hash).unwrap_err();
    assert!(matches!(error, Error::DamagedObject { .. }), "{error}");
    assert!(error.hint().unwrap().contains("stockpot library verify"));
    // Half an object is mended by putting it again.
    std::fs::write(&path, b"wei").unwrap();
    writer(&library).put_object(b"weights").unwrap();
    assert_eq!(library.get_object(&hash).unwrap(), b"weights");
    let error = objects::get(&library.layout, &hash, 6).unwrap_err();
    assert!(
        matches!(
            error,
            Error::TooLarge {
                found_bytes: 7,
                limit_bytes: 6,
                ..
            }
        ),
        "{error}"
    );
    std::fs::remove_file(&path).unwrap();
    let error = library.get_object(&hash).unwrap_err();
    assert!(matches!(error, Error::MissingObject { .. }), "{error}");

    let consent = library.consent_on_record(&name("anna")).unwrap().hash;
    let path = library.layout.record(&consent);
    let text = std::fs::read_to_string(&path).unwrap();
    std::fs::write(&path, text.replace("synthetic", "self")).unwrap();
    let error = library.consent_on_record(&name("anna")).unwrap_err();
    assert!(matches!(error, Error::DamagedRecord { .. }), "{error}");
    let status = library.status().unwrap();
    assert_eq!(status.persons[0].consent, None);
    assert!(status.persons[0].problems[0].contains("damaged"));
    std::fs::remove_file(&path).unwrap();
    let error = library.consent_on_record(&name("anna")).unwrap_err();
    assert!(matches!(error, Error::MissingRecord { .. }), "{error}");
}

#[test]
fn missing_and_wrong_things_are_found() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    let commit = run_of(&library, &["anna", "ben"], 1);
    let report = writer(&library).commit_run(commit).unwrap();
    let anna = report.decoders[&name("anna")];
    let object = library.decoder_state(&anna).unwrap().record.object;
    let check = |wanted: &dyn Fn(&FindingKind) -> bool| {
        let findings = verify(&library).findings;
        assert!(findings.iter().any(|f| wanted(&f.kind)), "{findings:#?}");
    };
    let lose = |path: std::path::PathBuf, wanted: &dyn Fn(&FindingKind) -> bool| {
        let bytes = std::fs::read(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        check(wanted);
        std::fs::write(&path, bytes).unwrap();
        assert_clean(&library);
    };
    lose(library.layout.object(&object), &|k| {
        *k == FindingKind::MissingObject { object }
    });
    lose(library.layout.record(&report.encoder), &|k| {
        *k == FindingKind::MissingParent {
            parent: report.encoder,
        }
    });
    lose(library.layout.record(&anna), &|k| {
        *k == FindingKind::DanglingRef { record: anna }
    });
    // A ref that is whole but names another person's state: only a bug or a hand could write it.
    let ben = report.decoders[&name("ben")];
    let writer = writer(&library);
    let change = crate::refs::Change {
        name: crate::refs::RefName::Decoder(name("anna")),
        expect: crate::refs::Expect::Any,
        new: Some(ben),
    };
    writer.transact(&[change]).unwrap();
    check(&|k| matches!(k, FindingKind::WrongRef { .. }));
    writer
        .update_decoder(&name("anna"), Some(ben), anna)
        .unwrap();
    assert!(
        writer
            .update_decoder(&name("anna"), Some(anna), ben)
            .is_err()
    );
    assert_clean(&library);
}

#[test]
fn leftovers_and_strangers_are_told_and_in_nobodys_way() {
    let (_dir, library) = with_persons(&["anna"]);
    let root = library.root();
    let shard = files_below(&root.join("records"))[0]
        .parent()
        .unwrap()
        .to_path_buf();
    let leftovers = [
        root.join("stockpot.json.12.part"),
        root.join("refs/encoder.12.part"),
        root.join("refs/.commit.12.part"),
        root.join("refs/persons/anna/decoder.12.part"),
        shard.join("half.12.part"),
        root.join("objects/half.12.part"),
    ];
    let strangers = [
        root.join("objects/readme.txt"),
        shard.join("readme.txt"),
        root.join("refs/HEAD"),
        root.join("refs/persons/not a name"),
        root.join("refs/persons/anna/notes"),
    ];
    for path in leftovers.iter().chain(&strangers) {
        std::fs::write(path, "half").unwrap();
    }
    let report = verify(&library);
    assert!(report.is_sound(), "{report:#?}");
    let of = |kind: FindingKind| report.findings.iter().filter(move |f| f.kind == kind);
    assert_eq!(of(FindingKind::Leftover).count(), leftovers.len());
    assert_eq!(of(FindingKind::Stranger).count(), strangers.len());
    assert_eq!(library.persons().unwrap().len(), 1);
    let commit = run_of(&library, &["anna"], 1);
    writer(&library).commit_run(commit).unwrap();
}

/// Anna's consent as older software wrote it: with a signature every change would be told as one.
fn unsigned(library: &Library) -> String {
    let mut consent = library.consent_on_record(&name("anna")).unwrap().record;
    consent.signed = None;
    String::from_utf8(crate::Record::Consent(consent).to_bytes().unwrap()).unwrap()
}

#[test]
fn records_from_a_newer_stockpot_are_kept_and_named() {
    let (_dir, library) = with_persons(&["anna"]);
    let text = unsigned(&library);
    // A field from later in a known version: read as if it were not there.
    let more = plant_record(
        &library,
        text.replacen("\"body\": {", "\"body\": {\"later\": [1],", 1)
            .as_bytes(),
    );
    assert!(library.record(&more).is_ok());
    for newer in [
        text.replacen("\"version\": 1", "\"version\": 3", 1),
        text.replacen("\"kind\": \"consent\"", "\"kind\": \"seal\"", 1),
    ] {
        let hash = plant_record(&library, newer.as_bytes());
        let error = library.record(&hash).unwrap_err();
        assert!(matches!(error, Error::NewerRecord { .. }), "{error}");
        let report = verify(&library);
        assert!(report.is_sound(), "{report:#?}");
        let told = |f: &crate::Finding| matches!(f.kind, FindingKind::NewerRecord { .. });
        assert_eq!(report.findings.iter().filter(|f| told(f)).count(), 1);
        assert_eq!(library.log().unwrap().unreadable.len(), 1);
        std::fs::remove_file(library.layout.record(&hash)).unwrap();
    }
    // But what a newer record needs must be there.
    let needy =
        format!(r#"{{"kind":"seal","version":1,"parents":[],"objects":["{more}"],"body":7}}"#);
    plant_record(&library, needy.as_bytes());
    assert!(!verify(&library).is_sound());
}

#[test]
fn records_that_are_none_are_errors() {
    let (_dir, library) = with_persons(&["anna"]);
    let text = unsigned(&library);
    let mut bad: Vec<String> = [
        "",
        "null",
        "[]",
        "{}",
        "\"x\"",
        "1e999",
        r#"{"kind":"consent","version":1,"parents":[],"objects":[],"body":null}"#,
        r#"{"kind":"consent","version":0,"parents":[],"objects":[],"body":null}"#,
        r#"{"kind":"consent","version":99999999999,"parents":[],"objects":[],"body":null}"#,
        r#"{"kind":7,"version":1,"parents":[],"objects":[],"body":null}"#,
        r#"{"kind":"run","version":1,"parents":["zz"],"objects":[],"body":null}"#,
    ]
    .map(String::from)
    .to_vec();
    bad.push("[".repeat(100_000));
    bad.push(text.replace("\"anna\"", "\"../anna\""));
    bad.push(text.replace("\"anna\"", "7"));
    bad.push(text.replace("synthetic", "hearsay"));
    bad.push(" ".repeat(MAX_RECORD_BYTES as usize + 1));
    bad.push(format!("{text}x"));
    for cut in 1..text.trim_end().len() {
        bad.push(text[..cut].into());
    }
    for bytes in bad {
        let hash = plant_record(&library, bytes.as_bytes());
        let error = library.record(&hash).unwrap_err();
        assert!(
            matches!(error, Error::DamagedRecord { .. }),
            "{bytes:.60}: {error}"
        );
        std::fs::remove_file(library.layout.record(&hash)).unwrap();
    }
    // An envelope that hides what its body needs would let a collector throw it away.
    let object = writer(&library).put_object(b"evidence").unwrap();
    let hiding = text.replace(
        "\"kind\": \"synthetic\"",
        &format!("\"kind\": \"file\", \"name\": \"x\", \"object\": \"{object}\""),
    );
    let hash = plant_record(&library, hiding.as_bytes());
    let error = library.record(&hash).unwrap_err();
    assert!(error.to_string().contains("leave out"), "{error}");
}
