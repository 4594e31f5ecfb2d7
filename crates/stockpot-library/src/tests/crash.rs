//! Stopping at every single step of every change, as a kill does, and failing at every single
//! step, as a full or broken disk does.

use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use stockpot_core::ContentHash;

use super::*;
use crate::disk::{Disk, Step};
use crate::{FindingKind, Result, StartingPoint};

/// A disk that refuses step number `stop_at` and, if `for_good`, everything after it.
pub(super) fn failing_disk(stop_at: usize, for_good: bool) -> (Disk, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let inner = count.clone();
    let disk = Disk {
        gate: Some(Arc::new(move |_, _| {
            let step = inner.fetch_add(1, Ordering::SeqCst);
            if step == stop_at || (for_good && step > stop_at) {
                Err(io::Error::from(io::ErrorKind::StorageFull))
            } else {
                Ok(())
            }
        })),
        lazy: true,
    };
    (disk, count)
}

/// A kill leaves what was written with the system, flushed or not: no need to wait for the disk.
pub(super) fn open_lazily(dir: &Path) -> Library {
    let disk = Disk {
        gate: None,
        lazy: true,
    };
    Library::open_on(disk, dir).unwrap()
}

/// What readers see of the current states and persons.
#[derive(Debug, PartialEq)]
struct Seen {
    current: StartingPoint,
    persons: Vec<String>,
}

fn seen(library: &Library) -> Seen {
    let persons = library.persons().unwrap();
    let names: Vec<PersonName> = persons.iter().map(|p| p.name.clone()).collect();
    Seen {
        current: library.starting_point(&names).unwrap(),
        persons: persons
            .iter()
            .map(|p| format!("{} {:?}", p.name, p.consent.as_ref().map(|c| &c.basis)))
            .collect(),
    }
}

/// Runs `change` on copies of `library`, stopped at every step in turn. Afterwards readers see all
/// or nothing of it, at once and after the next writer; the library verifies; and the change can
/// be made (again, if it had happened: then it may be refused, but harms nothing).
fn stop_everywhere(library: &Library, change: &dyn Fn(&Library) -> Result<()>) {
    let before = seen(library);
    let done = tempfile::tempdir().unwrap();
    copy_folder(library.root(), done.path());
    let done = Library::open(done.path()).unwrap();
    change(&done).unwrap();
    let after = seen(&done);
    assert_ne!(before, after, "a change that changes nothing tests nothing");

    for for_good in [true, false] {
        let mut happened_at = None;
        for stop_at in 0.. {
            let dir = tempfile::tempdir().unwrap();
            copy_folder(library.root(), dir.path());
            let (disk, count) = failing_disk(stop_at, for_good);
            let result = change(&Library::open_on(disk, dir.path()).unwrap());
            if count.load(Ordering::SeqCst) <= stop_at {
                result.unwrap();
                assert!(happened_at.is_some() && stop_at > 10, "stopped nowhere");
                break;
            }
            let what = format!("step {stop_at}, for good: {for_good}, {result:?}");

            let library = open_lazily(dir.path());
            let now = seen(&library);
            assert!(now == before || now == after, "{what}: {now:#?}");
            let happened = now == after;
            if for_good {
                // A commit that was there never goes away by stopping later.
                assert!(happened || happened_at.is_none(), "{what}");
            } else {
                // Who still lives is told the truth, and has cleaned up.
                assert_eq!(result.is_ok(), happened, "{what}");
                let leftover = |f: &crate::Finding| f.kind == FindingKind::Leftover;
                assert!(!verify(&library).findings.iter().any(leftover), "{what}");
            }
            if happened && happened_at.is_none() {
                happened_at = Some(stop_at);
            }
            assert_sound(&library);

            drop(writer(&library));
            assert_eq!(seen(&library), now, "{what}: the next writer changed it");
            assert!(
                verify(&library)
                    .findings
                    .iter()
                    .all(|f| f.kind == FindingKind::Leftover),
                "{what}"
            );
            let again = change(&library);
            assert!(again.is_ok() || happened, "{what}: {again:?}");
            assert_eq!(seen(&library), after, "{what}");
        }
    }
}

/// Runs `change` on copies of `library`, stopped at every step in turn; `check` then looks at what is
/// left, and the change, made again, must come to its end. Gives the number of stops.
pub(super) fn stop_and_repeat(
    library: &Library,
    change: &dyn Fn(&Library) -> Result<()>,
    check: &dyn Fn(&Library, &str),
) -> usize {
    let mut stops = 0;
    for for_good in [true, false] {
        for stop_at in 0.. {
            let dir = tempfile::tempdir().unwrap();
            copy_folder(library.root(), dir.path());
            let (disk, count) = failing_disk(stop_at, for_good);
            let result = change(&Library::open_on(disk, dir.path()).unwrap());
            let what = format!("step {stop_at}, for good: {for_good}, {result:?}");
            let stopped = count.load(Ordering::SeqCst) > stop_at;
            assert!(stopped || result.is_ok(), "{what}");
            let library = open_lazily(dir.path());
            assert_sound(&library);
            check(&library, &what);
            if !stopped {
                assert!(stop_at > 3, "stopped nowhere");
                break;
            }
            stops += 1;
            change(&library).unwrap();
            check(&library, &what);
            assert_sound(&library);
        }
    }
    stops
}

#[test]
fn a_commit_happens_as_a_whole_or_not_at_all() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    let first = run_of(&library, &["anna", "ben"], 1);
    writer(&library).commit_run(first).unwrap();
    let commit = run_of(&library, &["anna", "ben"], 2);
    stop_everywhere(&library, &|library| {
        library
            .writer(NOW, Duration::from_secs(1))?
            .commit_run(commit.clone())
            .map(drop)
    });
}

/// A run that trained Anna alone, with the encoder that `encoder` says.
fn anna_alone(library: &Library, encoder: impl Fn(ContentHash) -> EncoderChoice) -> RunCommit {
    let mut commit = run_of(library, &["anna"], 3);
    let current = library.current_encoder().unwrap().unwrap();
    commit.encoder = encoder(current.hash);
    commit
}

#[test]
fn a_refit_happens_as_a_whole_or_not_at_all() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    let first = run_of(&library, &["anna", "ben"], 1);
    writer(&library).commit_run(first).unwrap();
    // Anna is worn: the encoder went on without her.
    let second = run_of(&library, &["ben"], 2);
    writer(&library).commit_run(second).unwrap();
    let refit = anna_alone(&library, EncoderChoice::Kept);
    stop_everywhere(&library, &|library| {
        library
            .writer(NOW, Duration::from_secs(1))?
            .commit_run(refit.clone())
            .map(drop)
    });
}

#[test]
fn a_stitch_happens_as_a_whole_or_not_at_all() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    let first = run_of(&library, &["anna", "ben"], 1);
    writer(&library).commit_run(first).unwrap();
    let own = library.current_decoder(&name("anna")).unwrap().unwrap();
    // As with the network of 2018: the halves meet in a state beside the current one.
    let mut stitch = anna_alone(&library, |current| {
        EncoderChoice::Beside(NewState {
            bytes: b"an encoder that ends in a stitch".to_vec(),
            parent: Some(current),
            steps: 0,
            metrics: Metrics::new(),
            attachments: BTreeMap::new(),
        })
    });
    stitch.decoders[0].stitched_from = Some(own.record.encoder_state);
    stop_everywhere(&library, &|library| {
        library
            .writer(NOW, Duration::from_secs(1))?
            .commit_run(stitch.clone())
            .map(drop)
    });
}

#[test]
fn a_person_comes_as_a_whole_or_not_at_all() {
    let (_dir, library) = with_persons(&["anna"]);
    let consent = Consent {
        source: ConsentSource::File {
            name: "signed.pdf".into(),
            bytes: b"I agree".to_vec(),
        },
        ..synthetic()
    };
    stop_everywhere(&library, &|library| {
        library
            .writer(NOW, Duration::from_secs(1))?
            .add_person(&name("ben"), consent.clone(), NOW)
            .map(drop)
    });
}

#[test]
fn a_person_goes_as_a_whole_or_not_at_all() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    let first = run_of(&library, &["anna", "ben"], 1);
    writer(&library).commit_run(first).unwrap();
    stop_everywhere(&library, &|library| {
        library
            .writer(NOW, Duration::from_secs(1))?
            .remove_person(&name("ben"), NOW)
            .map(drop)
    });
}

#[test]
fn an_interrupted_init_can_be_done_again() {
    for stop_at in 0.. {
        let dir = tempfile::tempdir().unwrap();
        let (disk, count) = failing_disk(stop_at, true);
        let result = Library::init_on(disk, dir.path(), &InitOptions::default());
        if count.load(Ordering::SeqCst) <= stop_at {
            result.unwrap();
            assert!(stop_at > 10);
            break;
        }
        if Library::open(dir.path()).is_err() {
            Library::init(dir.path(), &InitOptions::default()).unwrap();
        }
        assert_sound(&Library::open(dir.path()).unwrap());
    }
}

#[test]
fn everything_is_flushed_before_the_refs_move() {
    let (_dir, library) = with_persons(&["anna"]);
    let commit = run_of(&library, &["anna"], 1);
    let trace: Arc<Mutex<Vec<(Step, PathBuf)>>> = Arc::default();
    let inner = trace.clone();
    let disk = Disk {
        gate: Some(Arc::new(move |step, path| {
            inner.lock().unwrap().push((step, path.to_path_buf()));
            Ok(())
        })),
        lazy: false,
    };
    let traced = Library::open_on(disk, library.root()).unwrap();
    writer(&traced).commit_run(commit).unwrap();
    let trace = trace.lock().unwrap().clone();
    let journal = library.layout.journal();
    let renames: Vec<usize> = (0..trace.len())
        .filter(|i| trace[*i].0 == Step::Rename)
        .collect();
    for i in renames {
        // The file is flushed before it gets its name, the folder right after.
        assert_eq!(trace[i - 1].0, Step::SyncFile, "{:?}", trace[i]);
        let folder = trace[i].1.parent().unwrap().to_path_buf();
        assert_eq!(trace[i + 1], (Step::SyncFolder, folder));
    }
    let position =
        |wanted: &dyn Fn(&(Step, PathBuf)) -> bool| trace.iter().position(wanted).unwrap();
    let intent = position(&|(step, path)| *step == Step::Rename && *path == journal);
    let last_content = trace
        .iter()
        .rposition(|(_, path)| {
            let content = [library.layout.objects(), library.layout.records()];
            content.iter().any(|folder| path.starts_with(folder))
        })
        .unwrap();
    let first_ref =
        position(&|(step, path)| *step == Step::Rename && path.ends_with("refs/encoder"));
    let removed = position(&|(step, path)| *step == Step::Remove && *path == journal);
    assert!(last_content < intent && intent + 1 < first_ref && first_ref < removed);
}

#[test]
fn a_damaged_intent_is_put_aside_and_told() {
    let (_dir, library) = with_persons(&["anna"]);
    let before = seen(&library);
    std::fs::write(
        library.layout.journal(),
        br#"{"version":1,"changes":[{"ref":"enc"#,
    )
    .unwrap();
    assert_eq!(seen(&library), before);
    assert!(!verify(&library).is_sound());
    let first = run_of(&library, &["anna"], 1);
    writer(&library).commit_run(first).unwrap();
    let findings = verify(&library).findings;
    assert_eq!(findings.len(), 1);
    assert!(matches!(
        findings[0].kind,
        FindingKind::DamagedJournal { .. }
    ));
    assert_eq!(findings[0].path, library.layout.damaged_journal());
}
