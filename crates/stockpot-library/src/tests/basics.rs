//! Making, opening, persons, consent, names.

use super::*;
use crate::{ConsentBasis, Error, Shown};

#[test]
fn a_new_library_is_empty_and_sound() {
    let (_dir, library) = fresh();
    let again = Library::open(library.root()).unwrap();
    assert_eq!(again.current_encoder().unwrap(), None);
    assert_eq!(again.family().unwrap(), None);
    assert_eq!(again.persons().unwrap(), []);
    assert_eq!(again.status().unwrap().persons, []);
    assert_eq!(again.created_by(), crate::SOFTWARE);
    assert_clean(&again);
    let twice = Library::init(library.root(), &InitOptions::default()).unwrap_err();
    assert!(matches!(twice, Error::AlreadyALibrary { .. }), "{twice}");
}

#[test]
fn a_folder_with_other_things_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("holiday.mp4"), b"x").unwrap();
    let refused = Library::init(dir.path(), &InitOptions::default()).unwrap_err();
    assert!(matches!(refused, Error::FolderNotEmpty { .. }), "{refused}");
    let refused = Library::open(dir.path()).unwrap_err();
    assert!(matches!(refused, Error::NotALibrary { .. }), "{refused}");
    assert!(refused.hint().unwrap().contains("`stockpot init`"));
    let file = Library::open(&dir.path().join("holiday.mp4")).unwrap_err();
    assert!(matches!(file, Error::NotALibrary { .. }), "{file}");
}

#[test]
fn a_library_whose_file_is_lost_is_not_made_anew_over_its_contents() {
    let (_dir, library) = with_persons(&["anna"]);
    std::fs::remove_file(library.root().join("stockpot.json")).unwrap();
    let refused = Library::init(library.root(), &InitOptions::default()).unwrap_err();
    assert!(matches!(refused, Error::FolderNotEmpty { .. }), "{refused}");
}

#[test]
fn versions_and_unknown_fields() {
    let (_dir, library) = fresh();
    let path = library.root().join("stockpot.json");
    let text = std::fs::read_to_string(&path).unwrap();
    let open = |text: &str| {
        std::fs::write(&path, text).unwrap();
        Library::open(library.root())
    };
    // The same version with a field from later: fine.
    open(&text.replacen('{', r#"{"colour":"red","#, 1)).unwrap();
    // A newer version, whatever else it says: refused with what to do.
    let newer = open(r#"{"format":"stockpot-library","version":2,"all":"different"}"#).unwrap_err();
    assert!(
        matches!(
            newer,
            Error::NewerFormat {
                found: 2,
                known: 1,
                ..
            }
        ),
        "{newer}"
    );
    assert!(newer.hint().unwrap().contains("newer stockpot"));
    for bad in [
        "",
        "{",
        "[]",
        r#"{"format":"stockpot-library","version":0}"#,
        r#"{"format":"stockpot-library","version":-1}"#,
        r#"{"format":"stockpot-library","version":1}"#,
        r#"{"format":"something","version":1}"#,
        &" ".repeat(70_000),
    ] {
        let error = open(bad).unwrap_err();
        assert!(
            matches!(error, Error::DamagedLibraryFile { .. }),
            "{bad:.60}: {error}"
        );
    }
    open(&text).unwrap();
}

#[test]
fn persons_come_with_consent_and_go() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    let evidence = Consent {
        source: ConsentSource::File {
            name: "signed.pdf".into(),
            bytes: b"I agree".to_vec(),
        },
        entered_by: "Carla".into(),
        note: "until 2027".into(),
        terms: Terms::default(),
    };
    let carla = name("carla");
    let stored = writer(&library).add_person(&carla, evidence, NOW).unwrap();
    let ConsentBasis::File { object, .. } = &stored.record.basis else {
        panic!("{stored:?}");
    };
    assert_eq!(library.get_object(object).unwrap(), b"I agree");
    let consented = library.consent_on_record(&carla).unwrap();
    assert_eq!(consented.record.person, carla);
    assert_eq!(consented.hash, stored.hash);
    assert_eq!(consented.record.basis.to_string(), "file signed.pdf");
    let names: Vec<String> = library
        .persons()
        .unwrap()
        .iter()
        .map(|p| format!("{} {}", p.name, p.consent.as_ref().unwrap().basis))
        .collect();
    assert_eq!(
        names,
        ["anna synthetic", "ben synthetic", "carla file signed.pdf"]
    );
    let shown = library.show("carla").unwrap();
    let Shown::Person(detail) = shown else {
        panic!("{shown:?}");
    };
    assert_eq!(detail.consent.unwrap().record.note, "until 2027");

    let report = writer(&library).remove_person(&carla, NOW).unwrap();
    assert_eq!(report.kept_consent, Some(stored.hash));
    let gone = library.consent_on_record(&carla).unwrap_err();
    assert!(matches!(gone, Error::NoSuchPerson { .. }), "{gone}");
    assert!(gone.to_string().contains("anna, ben"), "{gone}");
    assert_eq!(
        gone.hint().unwrap(),
        "`stockpot person add carla --consent FILE|self|synthetic`"
    );
    library.get_object(object).unwrap();
    assert_clean(&library);
    // And may come back.
    writer(&library)
        .add_person(&carla, synthetic(), NOW)
        .unwrap();
    library.consent_on_record(&carla).unwrap();
}

#[test]
fn names_are_taken_once_and_not_in_another_case() {
    let (_dir, library) = with_persons(&["anna"]);
    let add = |who: &str, consent| writer(&library).add_person(&name(who), consent, NOW);
    let error = add("anna", synthetic()).unwrap_err();
    assert!(matches!(error, Error::PersonExists { .. }), "{error}");
    let error = add("Anna", synthetic()).unwrap_err();
    assert!(matches!(error, Error::NameTooClose { .. }), "{error}");
    let nobody = Consent {
        entered_by: "  ".into(),
        ..synthetic()
    };
    let error = add("ben", nobody).unwrap_err();
    assert!(matches!(error, Error::BadConsent { .. }), "{error}");
    let outside = Consent {
        source: ConsentSource::File {
            name: "../x".into(),
            bytes: vec![1],
        },
        ..synthetic()
    };
    assert!(add("ben", outside).is_err());
}

#[test]
fn a_person_without_consent_is_refused_and_can_be_given_one() {
    let (_dir, library) = with_persons(&["anna"]);
    let anna = name("anna");
    let path = library.root().join("refs/persons/anna/consent");
    for damage in [None, Some("{}")] {
        match damage {
            None => std::fs::remove_file(&path).unwrap(),
            Some(text) => std::fs::write(&path, text).unwrap(),
        }
        let error = library.consent_on_record(&anna).unwrap_err();
        if damage.is_none() {
            assert!(matches!(error, Error::NoConsent { .. }), "{error}");
            assert!(error.hint().unwrap().contains("person add anna --consent"));
        }
        assert_eq!(library.status().unwrap().persons[0].consent, None);
        writer(&library)
            .add_person(&anna, synthetic(), NOW)
            .unwrap();
        library.consent_on_record(&anna).unwrap();
    }
}

#[test]
fn another_persons_consent_is_none() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    let refs = library.root().join("refs/persons");
    std::fs::copy(refs.join("anna/consent"), refs.join("ben/consent")).unwrap();
    let error = library.consent_on_record(&name("ben")).unwrap_err();
    assert!(matches!(error, Error::DamagedRef { .. }), "{error}");
    assert!(!verify(&library).is_sound());
}

#[test]
fn hashes_are_found_by_their_beginning() {
    let (_dir, library) = with_persons(&["anna"]);
    // Two objects whose hashes share four digits: one pair among some 300 is to be expected.
    let mut seen = std::collections::HashMap::new();
    let (first, second) = (0u32..)
        .find_map(|i| {
            let prefix = crate::objects::hash_of(&i.to_le_bytes()).to_string()[..4].to_owned();
            seen.insert(prefix, i).map(|earlier| (earlier, i))
        })
        .unwrap();
    let writer = writer(&library);
    let one = writer.put_object(&first.to_le_bytes()).unwrap();
    writer.put_object(&second.to_le_bytes()).unwrap();
    let four = &one.to_string()[..4];
    let error = library.show(four).unwrap_err();
    assert!(
        matches!(&error, Error::Ambiguous { matches, .. } if matches.len() == 2),
        "{error}"
    );
    let Shown::Object {
        hash,
        size_bytes,
        used_by,
    } = library.show(&one.to_string()).unwrap()
    else {
        panic!("not an object");
    };
    assert_eq!((hash, size_bytes, used_by), (one, 4, vec![]));
    for nothing in [
        "",
        "abc",
        "nobody",
        "../..",
        "é",
        &"0".repeat(64),
        &"0".repeat(65),
    ] {
        let error = library.show(nothing).unwrap_err();
        assert!(
            matches!(error, Error::NotFound { .. }),
            "{nothing}: {error}"
        );
    }
}

#[test]
fn run_names_are_given_once() {
    let (_dir, library) = fresh();
    let first = library.new_run_id(NOW, 1).unwrap();
    let second = library.new_run_id(NOW, 1).unwrap();
    let later = library.new_run_id(NOW + 1, 1).unwrap();
    assert_ne!(first, second);
    assert!(first < later && second < later);
    assert!(first.as_str().starts_with("20260101-000000-"), "{first}");
    assert!(library.run_dir(&first).is_dir());
}
