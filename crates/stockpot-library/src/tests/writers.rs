//! Several at once: the lock, compare-and-swap, readers beside a writer.

use std::sync::atomic::{AtomicBool, Ordering};

use super::*;
use crate::{Error, LockHolder};

#[test]
fn the_second_writer_learns_who_is_at_work() {
    let (_dir, library) = fresh();
    let first = library.writer(NOW, Duration::ZERO).unwrap();
    assert_eq!(first.left_by(), None);
    let other = Library::open(library.root()).unwrap();
    let error = other.writer(NOW, Duration::from_millis(30)).unwrap_err();
    let Error::Locked { holder, .. } = &error else {
        panic!("{error}");
    };
    let us = LockHolder {
        pid: std::process::id(),
        since_secs: NOW,
    };
    assert_eq!(*holder, Some(us));
    assert!(error.to_string().contains(&us.pid.to_string()), "{error}");
    drop(first);
    let second = other.writer(NOW, Duration::ZERO).unwrap();
    assert_eq!(second.left_by(), None);
}

#[test]
fn a_dead_writers_lock_is_no_lock() {
    let (_dir, library) = fresh();
    let dead = r#"{"pid":4000000,"since_secs":5}"#;
    std::fs::write(library.root().join("lock"), dead).unwrap();
    let writer = library.writer(NOW, Duration::ZERO).unwrap();
    let left = LockHolder {
        pid: 4_000_000,
        since_secs: 5,
    };
    assert_eq!(writer.left_by(), Some(left));
    drop(writer);
    std::fs::write(library.root().join("lock"), [0xff; 1000]).unwrap();
    assert_eq!(library.writer(NOW, Duration::ZERO).unwrap().left_by(), None);
}

#[test]
fn of_runs_from_the_same_start_one_is_current_and_the_others_are_kept() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    let commits: Vec<RunCommit> = (1..=4)
        .map(|mark| run_of(&library, &["anna", "ben"], mark))
        .collect();
    let results: Vec<_> = std::thread::scope(|scope| {
        let commit = |commit: RunCommit| {
            let library = Library::open(library.root()).unwrap();
            scope.spawn(move || writer(&library).commit_run(commit))
        };
        let threads: Vec<_> = commits.into_iter().map(commit).collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let won: Vec<_> = results.iter().filter_map(|r| r.as_ref().ok()).collect();
    assert_eq!(won.len(), 1, "{results:?}");
    assert_eq!(
        library.current_encoder().unwrap().unwrap().hash,
        won[0].encoder
    );
    for lost in results.iter().filter_map(|r| r.as_ref().err()) {
        let Error::Conflict { moved, kept } = lost else {
            panic!("{lost}");
        };
        assert_eq!(moved.len(), 3, "{lost}");
        assert_eq!(kept.len(), 3, "{lost}");
        for state in kept {
            let (_, hash) = state.split_once(' ').unwrap();
            library.record(&hash.parse().unwrap()).unwrap();
            assert!(lost.to_string().contains(hash));
        }
    }
    assert_eq!(library.log().unwrap().rows.len(), 12);
    assert_clean(&library);
}

#[test]
fn readers_see_one_run_at_a_time() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    let first = run_of(&library, &["anna", "ben"], 1);
    writer(&library).commit_run(first).unwrap();
    let stop = AtomicBool::new(false);
    let names = [name("anna"), name("ben")];
    let read = || {
        let mut changes = 0;
        let mut last = None;
        while !stop.load(Ordering::SeqCst) {
            // Everything is replaced by every run, so all must come from the same one.
            let point = library.starting_point(&names).unwrap();
            let encoder = library.encoder_state(&point.encoder.unwrap()).unwrap();
            for hash in point.decoders.values() {
                let decoder = library.decoder_state(&hash.unwrap()).unwrap();
                assert_eq!(decoder.record.run, encoder.record.run);
                assert_eq!(decoder.record.encoder_state, encoder.hash);
            }
            changes += usize::from(last != Some(encoder.hash));
            last = Some(encoder.hash);
        }
        changes
    };
    std::thread::scope(|scope| {
        let readers = [scope.spawn(read), scope.spawn(read)];
        for mark in 2..40 {
            let commit = run_of(&library, &["anna", "ben"], mark);
            writer(&library).commit_run(commit).unwrap();
        }
        stop.store(true, Ordering::SeqCst);
        for reader in readers {
            assert!(reader.join().unwrap() > 1, "the reader saw no change");
        }
    });
    assert_clean(&library);
}
