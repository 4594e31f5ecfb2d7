//! Every file of a library damaged in turn: what can be mended is, what is lost is told, and what is
//! whole is not touched.

use std::path::PathBuf;
use std::sync::atomic::Ordering;

use super::crash::{failing_disk, open_lazily};
use super::*;
use crate::{Mended, RepairReport};

fn repair(library: &Library) -> crate::Result<RepairReport> {
    library
        .writer(NOW, Duration::from_secs(1))?
        .repair(NOW, &|_: Progress| {}, &CancelToken::new())
}

fn with_runs(runs: u64) -> (TempDir, Library) {
    let (dir, library) = with_persons(&["anna", "ben"]);
    for mark in 1..=runs {
        let commit = run_of(&library, &["anna", "ben"], mark);
        writer(&library).commit_run(commit).unwrap();
    }
    (dir, library)
}

/// Files that are as before, by their bytes.
fn same_files(before: &Path, after: &Path, but: &Path) {
    for path in files_below(before) {
        let inner = path.strip_prefix(before).unwrap();
        let immutable = inner.starts_with("objects") || inner.starts_with("records");
        if immutable && inner != but {
            let now = std::fs::read(after.join(inner)).unwrap();
            assert_eq!(now, std::fs::read(&path).unwrap(), "{}", inner.display());
        }
    }
}

#[test]
fn any_one_damaged_file_is_mended_or_told() {
    let (dir, library) = with_runs(2);
    let root = library.root().to_path_buf();
    let files: Vec<PathBuf> = ["objects", "records", "refs"]
        .iter()
        .flat_map(|folder| files_below(&root.join(folder)))
        .collect();
    let mut done = 0;
    for path in files {
        let inner = path.strip_prefix(&root).unwrap().to_path_buf();
        let good = std::fs::read(&path).unwrap();
        for damage in ["flipped", "cut", "gone"] {
            let copy = dir.path().join("copy");
            copy_folder(&root, &copy);
            let at = copy.join(&inner);
            match damage {
                "flipped" => {
                    let mut bytes = good.clone();
                    let middle = bytes.len() / 2;
                    bytes[middle] ^= 1;
                    std::fs::write(&at, bytes).unwrap();
                }
                "cut" => std::fs::write(&at, &good[..good.len() / 2]).unwrap(),
                _ => std::fs::remove_file(&at).unwrap(),
            }
            let what = format!("{} {damage}", inner.display());
            let broken = open_lazily(&copy);
            let was_sound = verify(&broken).is_sound();
            let report = repair(&broken).unwrap();
            assert!(
                report.after.is_sound(),
                "{what}: {:#?}",
                report.after.findings
            );
            assert_eq!(
                was_sound,
                report.mended.is_empty() && report.lost.is_empty(),
                "{what}: {report:#?}"
            );
            same_files(&root, &copy, &inner);
            // Once more changes nothing.
            let again = repair(&broken).unwrap();
            assert_eq!((again.mended, again.lost), (vec![], vec![]), "{what}");
            // Work goes on, with whoever still has a consent.
            let able: Vec<PersonName> = broken
                .persons()
                .unwrap()
                .into_iter()
                .map(|p| p.name)
                .filter(|p| broken.consent_on_record(p).is_ok())
                .collect();
            let able: Vec<&str> = able.iter().map(PersonName::as_str).collect();
            assert!(!able.is_empty(), "{what}");
            let next = run_of(&broken, &able, 3);
            writer(&broken).commit_run(next).unwrap();
            assert!(verify(&broken).is_sound(), "{what}");
            std::fs::remove_dir_all(&copy).unwrap();
            done += 1;
        }
    }
    assert!(done > 60, "{done}");
}

#[test]
fn a_lost_state_gives_way_to_the_one_before() {
    let (_dir, library) = with_runs(2);
    let anna = name("anna");
    let current = library.current_decoder(&anna).unwrap().unwrap();
    let before = current.record.parent.unwrap();
    std::fs::write(library.layout.object(&current.record.object), b"bad").unwrap();
    let report = repair(&library).unwrap();
    assert_eq!(report.mended.len(), 2, "{report:#?}");
    assert_eq!(
        report.mended[1],
        Mended::RefMoved {
            ref_name: "persons/anna/decoder".into(),
            from: Some(current.hash),
            to: before,
        }
    );
    assert_eq!(report.lost.len(), 1);
    assert!(report.lost[0].contains("weights of the decoder of `anna`"));
    assert_eq!(
        library.current_decoder(&anna).unwrap().unwrap().hash,
        before
    );
    // The right bytes are taken back.
    let weights = b"anna of run 2";
    writer(&library).put_object(weights).unwrap();
    assert_eq!(library.get_object(&current.record.object).unwrap(), weights);
}

#[test]
fn show_and_log_draw_what_is_left() {
    let (_dir, library) = with_runs(2);
    let rows = library.log().unwrap().rows;
    let anna = library.show_person(&name("anna")).unwrap();
    assert_eq!(anna.problems, Vec::<String>::new());
    // The first encoder state's record, one decoder's weights, a consent.
    std::fs::remove_file(library.layout.record(&rows[0].hash)).unwrap();
    let decoder = anna.decoder.unwrap();
    std::fs::remove_file(library.layout.object(&decoder.record.object)).unwrap();
    std::fs::write(library.layout.record(&anna.consent.unwrap().hash), b"{}").unwrap();
    let log = library.log().unwrap();
    assert_eq!((log.rows.len(), log.unreadable.len()), (rows.len() - 1, 1));
    let row = log.rows.iter().find(|r| r.hash == decoder.hash).unwrap();
    assert_eq!(row.weights, crate::Weights::Missing);
    let anna = library.show_person(&name("anna")).unwrap();
    assert_eq!(anna.decoder.unwrap(), decoder);
    assert_eq!(anna.consent, None);
    assert!(anna.problems[0].contains("damaged"), "{:?}", anna.problems);
    assert!(matches!(
        library.show("anna").unwrap(),
        crate::Shown::Person(_)
    ));
    repair(&library).unwrap();
    let lost = crate::Weights::Absent(crate::AbsenceReason::Lost);
    let log = library.log().unwrap();
    let row = log.rows.iter().find(|r| r.hash == decoder.hash).unwrap();
    assert_eq!(row.weights, lost);
}

#[test]
fn leftovers_go_and_strangers_stay() {
    let (_dir, library) = with_runs(1);
    let root = library.root();
    let torn = root.join("objects/half.12.part");
    let mine = root.join("objects/readme.txt");
    std::fs::write(&torn, b"12345").unwrap();
    std::fs::write(&mine, b"mine").unwrap();
    std::fs::write(root.join("lock"), br#"{"pid":4000000,"since_secs":5}"#).unwrap();
    std::fs::write(library.layout.damaged_journal(), b"{").unwrap();
    let report = repair(&library).unwrap();
    let removed = Mended::LeftoverRemoved {
        path: torn.clone(),
        bytes: 5,
    };
    assert_eq!(report.mended, [removed, Mended::JournalRemoved]);
    assert_eq!(report.left_by.unwrap().pid, 4_000_000);
    assert!(!torn.exists() && mine.exists());
    assert!(report.after.is_sound());
}

#[test]
fn the_librarys_own_file_is_written_anew() {
    let (_dir, library) = with_runs(1);
    let file = library.root().join("stockpot.json");
    for damage in [Some(b"{".as_slice()), None] {
        match damage {
            Some(bytes) => std::fs::write(&file, bytes).unwrap(),
            None => std::fs::remove_file(&file).unwrap(),
        }
        assert!(Library::open(library.root()).is_err());
        let mended = Library::mend_file(library.root(), NOW).unwrap();
        assert_eq!(mended.family().unwrap().as_deref(), Some("comb-s-64"));
        assert!(verify(&Library::open(library.root()).unwrap()).is_sound());
    }
    let empty = tempfile::tempdir().unwrap();
    let error = Library::mend_file(empty.path(), NOW).unwrap_err();
    assert!(matches!(error, crate::Error::NotALibrary { .. }), "{error}");
}

#[test]
fn a_repair_stopped_at_any_step_can_be_made_again() {
    let (_dir, library) = with_runs(2);
    let root = library.root();
    let anna = library.current_decoder(&name("anna")).unwrap().unwrap();
    std::fs::write(library.layout.object(&anna.record.object), b"bad").unwrap();
    std::fs::write(root.join("refs/encoder"), b"{}").unwrap();
    std::fs::write(root.join("objects/half.12.part"), b"12345").unwrap();
    std::fs::write(library.layout.damaged_journal(), b"{").unwrap();
    let first = library.log().unwrap().rows[0].hash;
    std::fs::write(library.layout.record(&first), b"{}").unwrap();
    let done = tempfile::tempdir().unwrap();
    copy_folder(root, done.path());
    let done = open_lazily(done.path());
    assert!(repair(&done).unwrap().after.is_sound());
    let wanted = done.status().unwrap();
    for for_good in [true, false] {
        for stop_at in 0.. {
            let dir = tempfile::tempdir().unwrap();
            copy_folder(root, dir.path());
            let (disk, count) = failing_disk(stop_at, for_good);
            let result = repair(&Library::open_on(disk, dir.path()).unwrap());
            let stopped = count.load(Ordering::SeqCst) > stop_at;
            assert!(stopped || result.is_ok(), "step {stop_at}");
            let library = open_lazily(dir.path());
            let report = repair(&library).unwrap();
            assert!(report.after.is_sound(), "step {stop_at}: {report:#?}");
            assert_eq!(library.status().unwrap(), wanted, "step {stop_at}");
            if !stopped {
                assert!(stop_at > 15, "{stop_at}");
                break;
            }
        }
    }
}
