//! Real kills: another process commits run after run and is killed at random moments.

#![expect(
    clippy::unwrap_used,
    reason = "helpers of an integration test are test code, which clippy does not see"
)]

mod killed;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use stockpot_core::{CancelToken, PersonName, Progress, Rng};
use stockpot_library::{
    Consent, ConsentSource, DecoderForm, EncoderChoice, InitOptions, Library, NewDecoder, NewState,
    Purpose, RunCommit, Terms, Use,
};

/// Tells this test program, started by itself, where the library is that it shall work on.
const CHILD_DIR: &str = "STOCKPOT_TEST_KILLED_CHILD_DIR";

fn names() -> [PersonName; 2] {
    ["anna", "ben"].map(|n| n.parse().unwrap())
}

fn commit_one(library: &Library, mark: u64) {
    try_commit(library, mark).unwrap();
}

fn try_commit(library: &Library, mark: u64) -> stockpot_library::Result<()> {
    let expected = library.starting_point(&names()).unwrap();
    let state = |what: &str, parent| NewState {
        bytes: format!("{what} {mark} ").repeat(2000).into_bytes(),
        parent,
        steps: mark,
        ..NewState::default()
    };
    let commit = RunCommit {
        run: library.new_run_id(mark, mark).unwrap(),
        family: "comb-s-64".into(),
        encoder: EncoderChoice::New(state("encoder", expected.encoder)),
        decoders: names()
            .iter()
            .map(|person| NewDecoder {
                consent: library
                    .consent_for(person, &Purpose::of(Use::Train, mark))
                    .unwrap(),
                stitched_from: None,
                form: DecoderForm::Full,
                state: state(person.as_str(), expected.decoders[person]),
            })
            .collect(),
        expected,
        settings_json: "{}".into(),
        seed: mark,
        metrics: BTreeMap::new(),
        began_secs: mark,
        now_secs: mark,
    };
    let writer = library.writer(mark, Duration::from_secs(10))?;
    writer.commit_run(commit).map(drop)
}

/// Steps of the current encoder; checks that all that is current comes from one run.
fn check(dir: &Path) -> u64 {
    let library = Library::open(dir).unwrap();
    let report = library
        .verify(&|_: Progress| {}, &CancelToken::new())
        .unwrap();
    assert!(report.is_sound(), "{:#?}", report.findings);
    let encoder = library.current_encoder().unwrap().unwrap();
    for person in names() {
        let decoder = library.current_decoder(&person).unwrap().unwrap();
        assert_eq!(decoder.record.encoder_state, encoder.hash);
        library.get_object(&decoder.record.object).unwrap();
    }
    encoder.record.steps
}

/// Steps of the current encoder, read while the other process is at work.
fn current_steps(dir: &Path) -> u64 {
    let encoder = Library::open(dir).unwrap().current_encoder().unwrap();
    encoder.unwrap().record.steps
}

#[test]
fn killed_child() {
    let Some(dir) = std::env::var_os(CHILD_DIR).map(PathBuf::from) else {
        eprintln!("nothing to do: this is the child of `a_killed_writer_harms_nothing`");
        return;
    };
    for mark in check(&dir) + 1.. {
        commit_one(&Library::open(&dir).unwrap(), mark);
    }
}

#[test]
fn a_killed_writer_harms_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("stock");
    let library = Library::init(&dir, &InitOptions::default()).unwrap();
    for person in names() {
        let consent = Consent {
            source: ConsentSource::Synthetic,
            entered_by: "the tests".into(),
            note: String::new(),
            terms: Terms::default(),
        };
        let writer = library.writer(0, Duration::ZERO).unwrap();
        writer.add_person(&person, consent, 0).unwrap();
    }
    commit_one(&library, 1);
    let mut rng = Rng::stream(1, "kill", 0);
    let mut steps = check(&dir);
    for round in 0..20 {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "killed_child"])
            .env(CHILD_DIR, &dir)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        // A busy machine may take long to start the child: wait until it is at work.
        let began = Instant::now();
        while current_steps(&dir) == steps && began.elapsed() < Duration::from_secs(60) {
            std::thread::sleep(Duration::from_millis(2));
        }
        std::thread::sleep(Duration::from_micros(rng.below(60_000) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        let now = check(&dir);
        assert!(now > steps, "round {round}: {steps} before, {now} now");
        steps = now;
    }
    // The dead writer's lock is in nobody's way.
    commit_one(&library, steps + 1);
    assert_eq!(check(&dir), steps + 1);
}
