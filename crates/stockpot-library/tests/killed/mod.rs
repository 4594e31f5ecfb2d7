//! Kills at random times over everything that changes a library: commit, export, import, erase, gc; and
//! two processes that commit at once.
//!
//! `STOCKPOT_TEST_KILLS=200` kills that often; the default is small, so that the suite stays quick.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use stockpot_core::{CancelToken, Progress, Rng};
use stockpot_library::{
    Consent, ConsentSource, Error, GcOptions, ImportOptions, InitOptions, Library, Purpose,
    RehearsalFaces, Selection, Terms, Use,
};

use super::{check, commit_one, names};

/// Tells this test program, started by itself, the folder that it shall work in.
const WORKER_DIR: &str = "STOCKPOT_TEST_KILLED_WORKER_DIR";
/// The same for one of two that commit at once.
const RACER_DIR: &str = "STOCKPOT_TEST_RACER_DIR";
const KILLS: &str = "STOCKPOT_TEST_KILLS";
const PATIENCE: Duration = Duration::from_secs(60);

fn quiet(_: Progress) {}

fn share(now_secs: u64) -> Purpose {
    Purpose::of(Use::Share, now_secs)
}

fn start(test: &str, variable: &str, dir: &Path) -> Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", test])
        .env(variable, dir)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

fn fresh(dir: &Path) -> Library {
    let library = Library::init(dir, &InitOptions::default()).unwrap();
    for person in names() {
        let consent = Consent {
            source: ConsentSource::Synthetic,
            entered_by: "the tests".into(),
            note: String::new(),
            terms: Terms::default(),
        };
        let writer = library.writer(0, PATIENCE).unwrap();
        writer.add_person(&person, consent, 0).unwrap();
    }
    library
}

/// What the worker does, over and over; what it is at stands in the file `at`.
fn work(dir: &Path) {
    let library = Library::open(&dir.join("stock")).unwrap();
    let at = |what: &str| std::fs::write(dir.join("at"), what).unwrap();
    let cancel = CancelToken::new();
    let guest: stockpot_core::PersonName = "guest".parse().unwrap();
    let start = library.current_encoder().unwrap().unwrap().record.steps;
    for mark in start + 1.. {
        at("commit");
        commit_one(&library, mark);
        at("export");
        let file = dir.join("out.bundle");
        if file.exists() {
            std::fs::remove_file(&file).unwrap();
        }
        library
            .export(
                (&Selection::All, RehearsalFaces::GoAlong),
                &file,
                &share(mark),
                &quiet,
                &cancel,
            )
            .unwrap();
        at("import");
        let options = ImportOptions {
            rename: Some(guest.clone()),
            now_secs: mark,
        };
        let bundle = dir.join("guest.bundle");
        let writer = library.writer(mark, PATIENCE).unwrap();
        writer.import(&bundle, &options, &quiet, &cancel).unwrap();
        at("erase");
        writer.erase_person(&guest, mark).unwrap();
        at("gc");
        let options = GcOptions {
            keep_states: 1,
            keep_days: 0,
            now_secs: mark + 10,
        };
        writer.collect(&options, &quiet, &cancel).unwrap();
    }
}

#[test]
fn killed_worker() {
    match std::env::var_os(WORKER_DIR).map(PathBuf::from) {
        Some(dir) => work(&dir),
        None => eprintln!("nothing to do: this is the child of `kills_at_any_time_harm_nothing`"),
    }
}

#[test]
fn kills_at_any_time_harm_nothing() {
    let kills = std::env::var(KILLS).map_or(12, |text| text.parse().unwrap());
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let guests = fresh(&dir.join("guests"));
    commit_one(&guests, 1);
    let whom = Selection::Person(names()[0].clone());
    let bundle = dir.join("guest.bundle");
    let cancel = CancelToken::new();
    guests
        .export(
            (&whom, RehearsalFaces::LeftOut),
            &bundle,
            &share(0),
            &quiet,
            &cancel,
        )
        .unwrap();
    let stock = dir.join("stock");
    commit_one(&fresh(&stock), 1);
    let mut rng = Rng::stream(2, "kill", 0);
    let mut killed_at: BTreeMap<String, u32> = BTreeMap::new();
    let mut files = 0;
    let began = Instant::now();
    let mut steps = check(&stock);
    for round in 0..kills {
        let _ = std::fs::remove_file(dir.join("at"));
        let mut child = start("killed::killed_worker", WORKER_DIR, dir);
        let waiting = Instant::now();
        while !dir.join("at").exists() && waiting.elapsed() < PATIENCE {
            std::thread::sleep(Duration::from_millis(1));
        }
        std::thread::sleep(Duration::from_micros(rng.below(400_000) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        let at = std::fs::read_to_string(dir.join("at")).unwrap();
        let now = check(&stock);
        assert!(
            now >= steps,
            "round {round}, {at}: {steps} before, {now} now"
        );
        steps = now;
        // A file is there whole or not at all.
        let out = dir.join("out.bundle");
        if out.exists() {
            let plan = ImportOptions::default();
            guests.plan_import(&out, &plan, &quiet, &cancel).unwrap();
            files += 1;
        }
        *killed_at.entry(at).or_default() += 1;
    }
    eprintln!(
        "{kills} kills in {:.0} s: {killed_at:?}; {steps} commits, {files} whole exports met",
        began.elapsed().as_secs_f64()
    );
    // Everything works as before.
    let library = Library::open(&stock).unwrap();
    commit_one(&library, steps + 1);
    let writer = library.writer(0, PATIENCE).unwrap();
    let report = writer.repair(0, &quiet, &cancel).unwrap();
    assert!(
        report.after.findings.is_empty(),
        "{:#?}",
        report.after.findings
    );
    assert_eq!(report.lost, Vec::<String>::new());
    assert_eq!(check(&stock), steps + 1);
}

#[test]
fn racer() {
    let Some(dir) = std::env::var_os(RACER_DIR).map(PathBuf::from) else {
        eprintln!("nothing to do: this is the child of `two_processes_commit_at_once`");
        return;
    };
    let library = Library::open(&dir).unwrap();
    for turn in 0..10 {
        let mark = u64::from(std::process::id()) * 100 + turn;
        // Who comes second starts again from what is current.
        while let Err(error) = super::try_commit(&library, mark) {
            assert!(matches!(error, Error::Conflict { .. }), "{error}");
        }
    }
}

#[test]
fn two_processes_commit_at_once() {
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path().join("stock");
    let library = fresh(&dir);
    commit_one(&library, 1);
    let racers = [(); 2].map(|()| start("killed::racer", RACER_DIR, &dir));
    for mut racer in racers {
        assert!(racer.wait().unwrap().success());
    }
    check(&dir);
    // Nobody's commit was lost: the line of current states has all of them.
    let mut at = library.current_encoder().unwrap();
    let mut line = 0;
    while let Some(state) = at {
        line += 1;
        at = state
            .record
            .parent
            .map(|hash| library.encoder_state(&hash).unwrap());
    }
    assert_eq!(line, 1 + 2 * 10);
}
