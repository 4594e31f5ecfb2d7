//! The tests of the whole library, and the small libraries they work on.

mod audit;
mod basics;
mod bundle;
mod bundle_bytes;
mod collect;
mod consent;
mod crash;
mod damage;
mod erase;
mod full_disk;
mod fuzz;
mod lineage;
mod properties;
mod rehearsal;
mod relations;
mod repair;
mod writers;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use stockpot_core::{CancelToken, PersonName, Progress};
use tempfile::TempDir;

use crate::disk::Disk;
use crate::{
    Consent, ConsentSource, DecoderForm, EncoderChoice, InitOptions, Library, Metrics, NewDecoder,
    NewState, Purpose, RunCommit, Terms, Use, VerifyReport, Writer,
};

/// 2026-01-01 00:00:00 UTC.
pub(crate) const NOW: u64 = 1_767_225_600;

pub(crate) fn name(text: &str) -> PersonName {
    text.parse().unwrap()
}

pub(crate) fn fresh() -> (TempDir, Library) {
    let dir = tempfile::tempdir().unwrap();
    let options = InitOptions {
        family: None,
        now_secs: NOW,
    };
    // Nobody cuts the power in these tests; waiting for the disk would take most of their time.
    let disk = Disk {
        gate: None,
        lazy: true,
    };
    let library = Library::init_on(disk, &dir.path().join("stock"), &options).unwrap();
    (dir, library)
}

/// A library with these rendered persons.
pub(crate) fn with_persons(names: &[&str]) -> (TempDir, Library) {
    let (dir, library) = fresh();
    for person in names {
        writer(&library)
            .add_person(&name(person), synthetic(), NOW)
            .unwrap();
    }
    (dir, library)
}

pub(crate) fn writer(library: &Library) -> Writer<'_> {
    library.writer(NOW, Duration::from_secs(10)).unwrap()
}

/// A use that names no project, at the time of the tests.
pub(crate) fn to(what: Use) -> Purpose {
    Purpose::of(what, NOW)
}

pub(crate) fn synthetic() -> Consent {
    Consent {
        source: ConsentSource::Synthetic,
        entered_by: "the tests".into(),
        note: String::new(),
        terms: Terms::default(),
    }
}

/// What a run would commit that starts from what is current now. `mark` makes its bytes its own.
pub(crate) fn run_of(library: &Library, persons: &[&str], mark: u64) -> RunCommit {
    let persons: Vec<PersonName> = persons.iter().map(|p| name(p)).collect();
    let expected = library.starting_point(&persons).unwrap();
    let state = |what: &str, parent| NewState {
        bytes: format!("{what} of run {mark}").into_bytes(),
        parent,
        steps: 100 * mark,
        metrics: Metrics::from([("heldout_ssim".into(), 0.8)]),
        attachments: BTreeMap::new(),
    };
    let decoders = persons
        .iter()
        .map(|person| NewDecoder {
            consent: library
                .consent_for(person, &Purpose::of(Use::Train, NOW))
                .unwrap(),
            stitched_from: None,
            form: DecoderForm::Full,
            state: state(person.as_str(), expected.decoders[person]),
        })
        .collect();
    RunCommit {
        run: library.new_run_id(NOW + mark, mark).unwrap(),
        family: "comb-s-64".into(),
        encoder: EncoderChoice::New(state("encoder", expected.encoder)),
        decoders,
        expected,
        settings_json: r#"{"steps":100}"#.into(),
        seed: mark,
        metrics: Metrics::new(),
        began_secs: NOW,
        now_secs: NOW + mark,
    }
}

pub(crate) fn verify(library: &Library) -> VerifyReport {
    library
        .verify(&|_: Progress| {}, &CancelToken::new())
        .unwrap()
}

#[track_caller]
pub(crate) fn assert_sound(library: &Library) {
    let report = verify(library);
    assert!(report.is_sound(), "{:#?}", report.findings);
}

#[track_caller]
pub(crate) fn assert_clean(library: &Library) {
    let report = verify(library);
    assert_eq!(report.findings, []);
}

/// Copies a folder with everything in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let target = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).unwrap();
        }
    }
}

/// All files below a folder.
pub(crate) fn files_below(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut out = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            out.extend(files_below(&path));
        } else {
            out.push(path);
        }
    }
    out.sort();
    out
}
