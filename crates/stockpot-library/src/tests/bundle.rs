//! One file out of a library and into another: what travels, what is refused, what a stop leaves.

use std::path::PathBuf;

use super::crash::stop_and_repeat;
use super::*;
use crate::{
    BundleKind, EncoderImport, Error, ImportOptions, ImportReport, NewPassport, PersonImport,
    Result, Selection, Sharing,
};

pub(super) fn export(library: &Library, what: &Selection, file: &Path) -> Result<crate::Exported> {
    library.export(
        (what, crate::RehearsalFaces::LeftOut),
        file,
        &super::to(Use::Share),
        &|_: Progress| {},
        &CancelToken::new(),
    )
}

pub(super) fn import(library: &Library, file: &Path, rename: Option<&str>) -> Result<ImportReport> {
    let options = options(rename);
    library.writer(NOW, Duration::from_secs(1))?.import(
        file,
        &options,
        &|_: Progress| {},
        &CancelToken::new(),
    )
}

pub(super) fn plan(library: &Library, file: &Path, rename: Option<&str>) -> Result<ImportReport> {
    library.plan_import(
        file,
        &options(rename),
        &|_: Progress| {},
        &CancelToken::new(),
    )
}

fn options(rename: Option<&str>) -> ImportOptions {
    ImportOptions {
        rename: rename.map(name),
        now_secs: NOW,
    }
}

pub(super) fn commit(library: &Library, persons: &[&str], mark: u64) {
    let mut commit = run_of(library, persons, mark);
    if let EncoderChoice::New(state) = &mut commit.encoder {
        let optimiser = format!("optimiser of {mark}").into_bytes();
        state.attachments.insert("optimiser".into(), optimiser);
    }
    let report = writer(library).commit_run(commit).unwrap();
    let passport = NewPassport {
        encoder_state: report.encoder,
        bytes: format!("passport of {mark}").into_bytes(),
        faces: crate::objects::hash_of(b"faces"),
        count: 1000,
        now_secs: NOW + mark,
    };
    writer(library).put_passport(passport).unwrap();
}

/// A library of anna, who signed a paper, and ben, after two runs; and a file of hers.
pub(super) fn with_file(what: &Selection) -> (TempDir, Library, PathBuf) {
    let (dir, library) = with_persons(&["ben"]);
    let consent = Consent {
        source: ConsentSource::File {
            name: "signed.pdf".into(),
            bytes: b"I agree".to_vec(),
        },
        ..synthetic()
    };
    let anna = name("anna");
    writer(&library).add_person(&anna, consent, NOW).unwrap();
    writer(&library)
        .set_sharing(&anna, Sharing::Allowed, "the tests", NOW)
        .unwrap();
    commit(&library, &["anna", "ben"], 1);
    commit(&library, &["anna"], 2);
    let file = dir.path().join("out.bundle");
    export(&library, what, &file).unwrap();
    (dir, library, file)
}

fn anna() -> Selection {
    Selection::Person(name("anna"))
}

#[test]
fn a_person_travels_with_consent_decoder_and_encoder() {
    let (_dir, from, file) = with_file(&anna());
    let (_other, to) = fresh();
    let planned = plan(&to, &file, None).unwrap();
    assert_eq!(to.persons().unwrap().len(), 0, "a plan changes nothing");
    let report = import(&to, &file, None).unwrap();
    assert_eq!(report, planned);
    assert_eq!(report.kind, BundleKind::Person);
    assert_eq!(report.persons[0].outcome, PersonImport::New);
    let here = |library: &Library| library.current_decoder(&name("anna")).unwrap().unwrap();
    assert_eq!(here(&to), here(&from));
    let decoder = here(&to).record;
    assert_eq!(to.get_object(&decoder.object).unwrap(), b"anna of run 2");
    let encoder = to.encoder_state(&decoder.encoder_state).unwrap();
    assert_eq!(report.encoder, Some(EncoderImport::Current(encoder.hash)));
    assert_eq!(to.current_encoder().unwrap().unwrap(), encoder);
    let optimiser = to.get_object(&encoder.record.attachments["optimiser"]);
    assert_eq!(optimiser.unwrap(), b"optimiser of 2");
    // Its passport, and no other.
    let passports = to.passports().unwrap();
    assert_eq!(passports.len(), 1);
    let passport = to.get_object(&passports[0].record.object);
    assert_eq!(passport.unwrap(), b"passport of 2");
    // The paper came along; nothing of ben did.
    let evidence = crate::objects::hash_of(b"I agree");
    assert_eq!(to.get_object(&evidence).unwrap(), b"I agree");
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(3).any(|w| w == b"ben"));
    // Old states came as records without weights, and are no damage.
    assert_clean(&to);
    let log = to.log().unwrap();
    assert_eq!((log.rows.len(), log.unreadable.len()), (4, 0));
    let old = decoder.parent.unwrap();
    let old = to.decoder_state(&old).unwrap().record.object;
    assert!(matches!(to.get_object(&old), Err(Error::Absent { .. })));
    // Once more: nothing to do. And she can be trained and exported here.
    let again = import(&to, &file, None).unwrap();
    assert_eq!(again.persons[0].outcome, PersonImport::Same);
    assert_eq!((again.new_objects, again.new_records), (0, 0));
    commit(&to, &["anna"], 3);
    assert_clean(&to);
    export(&to, &anna(), &to.root().join("cache/again")).unwrap();
}

#[test]
fn an_encoder_and_a_whole_library_travel() {
    let (dir, from, file) = with_file(&Selection::Encoder);
    let (_other, to) = with_persons(&["carl"]);
    let report = import(&to, &file, None).unwrap();
    let encoder = from.current_encoder().unwrap().unwrap();
    assert_eq!(report.encoder, Some(EncoderImport::Current(encoder.hash)));
    assert_eq!(to.current_encoder().unwrap().unwrap(), encoder);
    assert_clean(&to);
    commit(&to, &["carl"], 7);
    // A library with an encoder of its own keeps it.
    let own = to.current_encoder().unwrap().unwrap();
    let all = dir.path().join("all.bundle");
    let exported = export(&from, &Selection::All, &all).unwrap();
    assert_eq!(exported.bytes, std::fs::metadata(&all).unwrap().len());
    assert_eq!(exported.persons.len(), 2);
    let report = import(&to, &all, None).unwrap();
    assert_eq!(report.encoder, Some(EncoderImport::Kept(encoder.hash)));
    assert_eq!(to.current_encoder().unwrap().unwrap(), own);
    assert_eq!(to.persons().unwrap().len(), 3);
    assert_eq!(to.log().unwrap().rows.len(), 5 + 2);
    assert_clean(&to);
    let bens = |library: &Library| library.current_decoder(&name("ben")).unwrap();
    assert_eq!(bens(&to), bens(&from));
    // Into an empty one: the same library, with its runs.
    let (_third, empty) = fresh();
    import(&empty, &all, None).unwrap();
    assert_eq!(empty.log().unwrap(), from.log().unwrap());
    assert_eq!(
        empty.status().unwrap().persons,
        from.status().unwrap().persons
    );
    assert_clean(&empty);
}

#[test]
fn a_consent_that_forbids_it_is_obeyed() {
    let (dir, library, _) = with_file(&anna());
    let (anna, ben) = (name("anna"), name("ben"));
    let before = library.consent_on_record(&anna).unwrap();
    writer(&library)
        .set_sharing(&anna, Sharing::Forbidden, "anna herself", NOW + 1)
        .unwrap();
    let file = dir.path().join("b");
    let error = export(&library, &Selection::Person(anna.clone()), &file).unwrap_err();
    assert!(matches!(error, Error::SharingForbidden { .. }), "{error}");
    assert!(error.to_string().contains("forbids"), "{error}");
    assert!(error.hint().unwrap().contains("person sharing anna"));
    assert!(!file.exists());
    // The ground and its evidence are as they were.
    let now = library.consent_on_record(&anna).unwrap();
    assert_eq!(now.record.basis, before.record.basis);
    assert_ne!(now.hash, before.hash);
    // The others go; she is named.
    let exported = export(&library, &Selection::All, &file).unwrap();
    assert_eq!(exported.persons, [ben]);
    assert_eq!(exported.left_out.len(), 1);
    assert_eq!(exported.left_out[0].0, anna);
    let bytes = std::fs::read(&file).unwrap();
    assert!(!bytes.windows(4).any(|w| w == b"anna"));
    let (_other, to) = fresh();
    import(&to, &file, None).unwrap();
    assert_clean(&to);
    // What somebody signed may not go before it is entered that it may.
    let carl = name("carl");
    let consent = Consent {
        source: ConsentSource::File {
            name: "c.pdf".into(),
            bytes: b"yes".to_vec(),
        },
        ..synthetic()
    };
    writer(&library).add_person(&carl, consent, NOW).unwrap();
    let error = export(&library, &Selection::Person(carl), &file).unwrap_err();
    assert!(matches!(error, Error::FileTaken { .. }), "{error}");
    let file = dir.path().join("c");
    let error = export(&library, &Selection::Person(name("carl")), &file).unwrap_err();
    assert!(error.to_string().contains("nobody has entered"), "{error}");
}

#[test]
fn the_same_name_with_another_consent_is_a_conflict() {
    let (_dir, _from, file) = with_file(&anna());
    let (_other, to) = with_persons(&["anna"]);
    commit(&to, &["anna"], 9);
    let before = to.status().unwrap();
    let planned = plan(&to, &file, None).unwrap();
    assert_eq!(planned.conflicts.len(), 1);
    let error = import(&to, &file, None).unwrap_err();
    let Error::ImportConflict { conflicts } = &error else {
        panic!("{error}");
    };
    assert!(conflicts[0].contains("synthetic") && conflicts[0].contains("signed.pdf"));
    assert!(error.hint().unwrap().contains("--as"));
    assert_eq!(to.status().unwrap(), before);
    assert_clean(&to);
    // Under another name both live here, and nothing of the stranger is called anna.
    let report = import(&to, &file, Some("anna-k")).unwrap();
    assert_eq!(report.persons[0].name, name("anna-k"));
    assert_eq!(report.persons[0].was, name("anna"));
    assert_clean(&to);
    let rows = to.log().unwrap().rows;
    let of = |person: &str| {
        let person = name(person);
        let is = |state: &crate::LogState| matches!(state, crate::LogState::Decoder { person: p, .. } if *p == person);
        rows.iter().filter(|r| is(&r.state)).count()
    };
    assert_eq!((of("anna"), of("anna-k")), (1, 2));
    let decoder = to.current_decoder(&name("anna-k")).unwrap().unwrap();
    assert_eq!(
        to.get_object(&decoder.record.object).unwrap(),
        b"anna of run 2"
    );
    to.consent_on_record(&name("anna-k")).unwrap();
    assert_eq!(to.status().unwrap().persons[0], before.persons[0]);
    // The same file under the same other name: nothing new.
    let again = import(&to, &file, Some("anna-k")).unwrap();
    assert_eq!(again.persons[0].outcome, PersonImport::Same);
    assert_eq!((again.new_objects, again.new_records), (0, 0));
    let error = plan(&to, &file, Some("ANNA-K")).unwrap();
    assert!(error.conflicts[0].contains("upper and lower case"));
}

#[test]
fn a_decoder_moves_on_along_its_own_line_only() {
    let (dir, from, first) = with_file(&anna());
    let (_other, to) = fresh();
    import(&to, &first, None).unwrap();
    let here = |library: &Library| {
        library
            .current_decoder(&name("anna"))
            .unwrap()
            .unwrap()
            .hash
    };
    commit(&from, &["anna"], 3);
    let later = dir.path().join("later");
    export(&from, &anna(), &later).unwrap();
    let report = import(&to, &later, None).unwrap();
    assert_eq!(
        report.persons[0].outcome,
        PersonImport::Decoder(here(&from))
    );
    assert_eq!(here(&to), here(&from));
    assert!(matches!(report.encoder, Some(EncoderImport::Kept(_))));
    // The older file does not take it back.
    let report = import(&to, &first, None).unwrap();
    assert_eq!(report.persons[0].outcome, PersonImport::NewerHere);
    assert_eq!(here(&to), here(&from));
    // Both go on by themselves: two lines of one person.
    commit(&from, &["anna"], 4);
    commit(&to, &["anna"], 5);
    let fork = dir.path().join("fork");
    export(&from, &anna(), &fork).unwrap();
    let error = import(&to, &fork, None).unwrap_err();
    assert!(matches!(error, Error::ImportConflict { .. }), "{error}");
    assert!(error.to_string().contains("neither comes from the other"));
    assert_clean(&to);
}

#[test]
fn another_family_or_several_persons_under_one_name_are_refused() {
    let (_dir, _from, file) = with_file(&Selection::All);
    let (_other, to) = fresh();
    let error = import(&to, &file, Some("x")).unwrap_err();
    assert!(matches!(error, Error::NotOnePerson { found: 2 }), "{error}");
    let dir = tempfile::tempdir().unwrap();
    let options = InitOptions {
        family: Some("comb-s-96".into()),
        now_secs: NOW,
    };
    let other = Library::init(&dir.path().join("stock"), &options).unwrap();
    let error = import(&other, &file, None).unwrap_err();
    assert!(matches!(error, Error::OtherFamily { .. }), "{error}");
    let (_empty, empty) = fresh();
    let error = export(&empty, &Selection::Encoder, &dir.path().join("x")).unwrap_err();
    assert!(matches!(error, Error::NothingToExport { .. }), "{error}");
}

#[test]
fn an_import_stopped_at_any_step_leaves_all_or_nothing() {
    let (_dir, _from, file) = with_file(&anna());
    let (_other, to) = with_persons(&["carl"]);
    commit(&to, &["carl"], 9);
    let before = to.status().unwrap();
    // A copy: another library would have another key, and so other hashes of what it signs.
    let done = tempfile::tempdir().unwrap();
    copy_folder(to.root(), done.path());
    let done = Library::open(done.path()).unwrap();
    import(&done, &file, None).unwrap();
    let after = done.status().unwrap();
    let stops = stop_and_repeat(
        &to,
        &|library| import(library, &file, None).map(drop),
        &|library, what| {
            let now = library.status().unwrap();
            let before = now.persons == before.persons && now.encoder == before.encoder;
            assert!(before || now.persons == after.persons, "{what}: {now:#?}");
        },
    );
    assert!(stops > 60, "{stops}");
}

#[test]
fn an_export_stopped_at_any_step_leaves_no_file() {
    let (_dir, from, whole) = with_file(&Selection::All);
    let whole = std::fs::read(whole).unwrap();
    let stops = stop_and_repeat(
        &from,
        &|library| {
            let file = library.root().join("cache/out.bundle");
            match export(library, &Selection::All, &file) {
                Err(Error::FileTaken { .. }) => Ok(()),
                other => other.map(drop),
            }
        },
        &|library, what| {
            let file = library.root().join("cache/out.bundle");
            if let Ok(bytes) = std::fs::read(file) {
                assert!(bytes == whole, "{what}");
            }
        },
    );
    assert!(stops > 40, "{stops}");
}

#[test]
fn a_damaged_object_is_not_exported() {
    let (dir, from, _) = with_file(&anna());
    let decoder = from.current_decoder(&name("anna")).unwrap().unwrap();
    let path = from.layout.object(&decoder.record.object);
    std::fs::write(&path, b"anna of run 3").unwrap();
    let file = dir.path().join("b");
    let error = export(&from, &anna(), &file).unwrap_err();
    assert!(matches!(error, Error::DamagedObject { .. }), "{error}");
    std::fs::remove_file(&path).unwrap();
    let error = export(&from, &anna(), &file).unwrap_err();
    assert!(matches!(error, Error::MissingObject { .. }), "{error}");
    assert!(!file.exists());
}
