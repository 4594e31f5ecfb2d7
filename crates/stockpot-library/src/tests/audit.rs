//! The log of uses: what is in it, that tampering is found, and what a kill leaves.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::bundle::{export, import};
use super::crash::{failing_disk, open_lazily};
use super::*;
use crate::{AuditFinding, Deed, Error, Mended, Selection, Sharing, Used, hash_of_file};

fn deeds(library: &Library) -> Vec<Deed> {
    let report = library.audit().unwrap();
    assert!(report.is_sound(), "{:?}", report.findings);
    report.lines.iter().map(|line| line.what).collect()
}

fn swap(library: &Library, person: &str, file: &Path) -> crate::Result<()> {
    let consent = library.consent_for(&name(person), &to(Use::Swap))?;
    let used = Used {
        deed: Deed::Swap,
        consents: vec![&consent],
        encoder: None,
        decoders: Vec::new(),
        output: Some(crate::hash_of(b"video")),
        file: Some(file),
    };
    library.log_use(&used, NOW)
}

/// A library with a log of nine lines.
fn used() -> (TempDir, Library) {
    let (dir, library) = with_persons(&["anna", "ben"]);
    let commit = run_of(&library, &["anna", "ben"], 1);
    writer(&library).commit_run(commit).unwrap();
    for n in 0..4 {
        swap(&library, "anna", &dir.path().join(format!("{n}.mp4"))).unwrap();
    }
    writer(&library)
        .set_sharing(&name("ben"), Sharing::Forbidden, "ben", NOW)
        .unwrap();
    (dir, library)
}

fn log_of(library: &Library) -> Vec<u8> {
    std::fs::read(library.layout.audit_log()).unwrap()
}

fn told(library: &Library) -> Vec<AuditFinding> {
    library.audit().unwrap().findings
}

#[test]
fn every_use_is_a_line() {
    let (dir, library) = with_persons(&["anna", "ben"]);
    let commit = run_of(&library, &["anna"], 1);
    let run = commit.run.clone();
    let committed = writer(&library).commit_run(commit).unwrap();
    swap(&library, "anna", Path::new("/videos/a.mp4")).unwrap();
    let file = dir.path().join("anna.bundle");
    export(&library, &Selection::Person(name("anna")), &file).unwrap();
    import(&library, &file, Some("carl")).unwrap();
    let withdrawn = writer(&library)
        .withdraw_consent(&name("ben"), "ben", "", NOW)
        .unwrap();
    writer(&library).remove_person(&name("ben"), NOW).unwrap();
    let wanted = [
        Deed::Begun,
        Deed::Consent,
        Deed::Consent,
        Deed::Train,
        Deed::Swap,
        Deed::Export,
        Deed::Import,
        Deed::Withdraw,
        Deed::Remove,
    ];
    assert_eq!(deeds(&library), wanted);
    let lines = library.audit().unwrap().lines;
    let numbers: Vec<u64> = lines.iter().map(|line| line.n).collect();
    assert_eq!(numbers, (1..=9).collect::<Vec<u64>>());
    let consent = library.consent_on_record(&name("anna")).unwrap().hash;
    let train = &lines[3];
    assert_eq!(train.persons, ["anna"]);
    assert_eq!(train.consents, [consent]);
    assert_eq!(train.encoder, Some(committed.encoder));
    assert_eq!(train.decoders, [committed.decoders[&name("anna")]]);
    assert_eq!(train.run, Some(run));
    let swapped = &lines[4];
    assert_eq!(swapped.file.as_deref(), Some("a.mp4"));
    assert_eq!(swapped.output, Some(crate::hash_of(b"video")));
    let exported = &lines[5];
    assert_eq!(exported.file.as_deref(), Some("anna.bundle"));
    assert_eq!(exported.output, Some(hash_of_file(&file).unwrap()));
    assert_eq!(lines[6].persons, ["carl"]);
    assert_eq!(lines[7].consents, [withdrawn.hash]);
    // The name is not in the file: only the hash of the record is.
    let text = String::from_utf8(log_of(&library)).unwrap();
    assert!(!text.contains("\"ben\"") && text.contains("anna.bundle"));
    assert_clean(&library);
}

#[test]
fn lines_changed_removed_moved_added_or_cut_off_are_found() {
    let (_dir, library) = used();
    assert_clean(&library);
    let path = library.layout.audit_log();
    let seal_path = library.layout.audit_seal();
    let (good, seal) = (log_of(&library), std::fs::read(&seal_path).unwrap());
    let lines: Vec<&[u8]> = good.split_inclusive(|b| *b == b'\n').collect();
    assert_eq!(lines.len(), 9);
    let found = |bytes: &[u8], what: &str| {
        std::fs::write(&path, bytes).unwrap();
        let report = library.audit().unwrap();
        assert!(!report.is_sound(), "{what}");
        assert!(!verify(&library).is_sound(), "{what}");
        report.findings
    };
    for gone in 0..lines.len() {
        let mut left = lines.clone();
        left.remove(gone);
        let n = gone as u64 + 1;
        let findings = found(&left.concat(), "a line removed");
        assert_eq!(findings, [AuditFinding::Missing(n, n)]);
    }
    for keep in 1..lines.len() {
        let n = keep as u64 + 1;
        let findings = found(&lines[..keep].concat(), "cut off");
        assert_eq!(findings, [AuditFinding::Missing(n, 9)]);
    }
    for at in 1..lines.len() {
        let mut moved = lines.clone();
        moved.swap(at - 1, at);
        found(&moved.concat(), "two lines swapped");
        let mut twice = lines.clone();
        twice.insert(at, lines[at - 1]);
        found(&twice.concat(), "a line twice");
    }
    // Somebody's own line, with hashes that fit, at the end.
    let (_other, others) = used();
    let theirs = log_of(&others);
    let last = theirs.split_inclusive(|b| *b == b'\n').next_back().unwrap();
    let findings = found(&[&good[..], last].concat(), "a foreign line");
    assert_eq!(findings, [AuditFinding::NotOurs(10)]);
    found(&theirs, "another library's log");
    // A name taken out of a line, which nothing but an erasure may do.
    let text = String::from_utf8(good.clone()).unwrap();
    let at = text.find(",\"file\":{").unwrap();
    let end = at + text[at..].find('}').unwrap() + 1;
    let bare = format!("{}{}", &text[..at], &text[end..]);
    let findings = found(bare.as_bytes(), "a name taken out");
    assert_eq!(findings, [AuditFinding::FileTakenOut(5)]);
    // Every ninth byte.
    for at in (0..good.len()).step_by(9) {
        let mut bytes = good.clone();
        bytes[at] ^= 1;
        found(&bytes, &format!("byte {at}"));
    }
    // Half a line where a whole one was sealed is no stop of a program.
    found(&good[..good.len() - 20], "half of a sealed line");
    std::fs::write(&path, &good).unwrap();
    for at in 0..seal.len() {
        let mut bytes = seal.clone();
        bytes[at] ^= 1;
        std::fs::write(&seal_path, bytes).unwrap();
        assert_eq!(told(&library), [AuditFinding::SealChanged], "byte {at}");
    }
    std::fs::remove_file(&seal_path).unwrap();
    assert_eq!(told(&library), [AuditFinding::SealMissing]);
    // With the seal taken away the next line does not hide it.
    std::fs::write(&path, lines[..7].concat()).unwrap();
    swap(&library, "anna", Path::new("x")).unwrap();
    let report = library.audit().unwrap();
    let resealed = report.lines.iter().find(|l| l.what == Deed::Resealed);
    assert!(resealed.unwrap().note.as_ref().unwrap().contains("seal"));
    std::fs::remove_file(&path).unwrap();
    assert_eq!(told(&library), [AuditFinding::LogMissing]);
    std::fs::remove_file(&seal_path).unwrap();
    assert_eq!(told(&library), [AuditFinding::LogMissing]);
    swap(&library, "anna", Path::new("x")).unwrap();
    assert_eq!(library.audit().unwrap().lines[0].what, Deed::Resealed);
}

#[test]
fn a_log_that_was_cut_goes_on_and_stays_found() {
    let (_dir, library) = used();
    let good = log_of(&library);
    let lines: Vec<&[u8]> = good.split_inclusive(|b| *b == b'\n').collect();
    std::fs::write(library.layout.audit_log(), lines[..6].concat()).unwrap();
    swap(&library, "anna", Path::new("x")).unwrap();
    swap(&library, "anna", Path::new("y")).unwrap();
    assert_eq!(told(&library), [AuditFinding::Missing(7, 9)]);
    assert_eq!(library.audit().unwrap().lines.last().unwrap().n, 11);
}

#[test]
fn a_kill_while_a_line_is_written_is_not_tampering() {
    let (dir, library) = used();
    let before = library.audit().unwrap().lines.len();
    let (mut torn, mut unsealed) = (0, 0);
    for for_good in [true, false] {
        for stop_at in 0.. {
            let copy = tempfile::tempdir().unwrap();
            copy_folder(library.root(), copy.path());
            let (disk, count) = failing_disk(stop_at, for_good);
            let stopped = Library::open_on(disk, copy.path()).unwrap();
            let result = swap(&stopped, "anna", &dir.path().join("z"));
            let what = format!("step {stop_at}, for good: {for_good}, {result:?}");
            let done = count.load(Ordering::SeqCst) <= stop_at;
            let library = open_lazily(copy.path());
            let found = told(&library);
            torn += usize::from(found.contains(&AuditFinding::Torn));
            unsealed += usize::from(found.contains(&AuditFinding::NotSealed(10)));
            assert!(found.iter().all(|f| !f.is_damage()), "{what}: {found:?}");
            assert_sound(&library);
            let kept = library.audit().unwrap().lines.len();
            assert!(kept == before || kept == before + 1, "{what}");
            // The next one puts it right: a repair, or simply the next line.
            if stop_at % 2 == 0 && !found.is_empty() {
                let quiet = |_: Progress| {};
                let report = writer(&library)
                    .repair(NOW, &quiet, &CancelToken::new())
                    .unwrap();
                assert!(report.mended.contains(&Mended::LogSettled), "{what}");
            } else {
                swap(&library, "anna", &dir.path().join("z")).unwrap();
                assert_eq!(library.audit().unwrap().lines.len(), kept + 1, "{what}");
            }
            assert_eq!(told(&library), [], "{what}");
            if done {
                result.unwrap();
                break;
            }
        }
    }
    assert!(torn > 0 && unsealed > 0, "{torn} {unsealed}");
}

#[test]
fn the_first_line_and_the_key_come_together_or_are_made_up_for() {
    let (_dir, library) = fresh();
    for stop_at in 0.. {
        let copy = tempfile::tempdir().unwrap();
        copy_folder(library.root(), copy.path());
        let count = Arc::new(AtomicUsize::new(0));
        let inner = count.clone();
        let gate = move |_, _: &Path| match inner.fetch_add(1, Ordering::SeqCst) >= stop_at {
            true => Err(io::Error::from(io::ErrorKind::StorageFull)),
            false => Ok(()),
        };
        let disk = Disk {
            gate: Some(Arc::new(gate)),
            lazy: true,
        };
        let stopped = Library::open_on(disk, copy.path()).unwrap();
        let _ = writer(&stopped).add_person(&name("anna"), synthetic(), NOW);
        let library = open_lazily(copy.path());
        assert_sound(&library);
        if !library.persons().unwrap().is_empty() {
            library.consent_for(&name("anna"), &to(Use::Swap)).unwrap();
        } else {
            writer(&library)
                .add_person(&name("anna"), synthetic(), NOW)
                .unwrap();
        }
        drop(writer(&library));
        let leftover = |f: &crate::Finding| f.kind == crate::FindingKind::Leftover;
        assert!(verify(&library).findings.iter().all(leftover), "{stop_at}");
        library.consent_for(&name("anna"), &to(Use::Swap)).unwrap();
        if count.load(Ordering::SeqCst) <= stop_at {
            break;
        }
    }
}

#[test]
fn a_repair_puts_a_damaged_log_aside_and_says_so() {
    let (_dir, library) = used();
    let mut bytes = log_of(&library);
    bytes[700] ^= 1;
    std::fs::write(library.layout.audit_log(), &bytes).unwrap();
    let quiet = |_: Progress| {};
    let repair = || {
        writer(&library)
            .repair(NOW, &quiet, &CancelToken::new())
            .unwrap()
    };
    let report = repair();
    let aside = library.root().join("audit.jsonl.damaged");
    let path = Some(aside.clone());
    assert_eq!(report.mended, [Mended::LogBegunAnew { path }]);
    assert_eq!(std::fs::read(&aside).unwrap(), bytes);
    let lines = library.audit().unwrap().lines;
    assert_eq!(lines.len(), 1);
    assert_eq!(lines[0].what, Deed::Repaired);
    assert!(lines[0].note.as_ref().unwrap().contains("Line 2"));
    assert_eq!(lines[0].persons, ["anna", "ben"]);
    assert_eq!(lines[0].consents.len(), 2);
    assert_clean(&library);
    assert_eq!(repair().mended, []);
    swap(&library, "anna", Path::new("x")).unwrap();
    assert_clean(&library);
}

#[test]
fn many_can_log_at_once() {
    let (_dir, library) = with_persons(&["anna"]);
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let library = &library;
            scope.spawn(move || {
                for n in 0..15 {
                    let file = format!("{thread}-{n}.mp4");
                    swap(library, "anna", Path::new(&file)).unwrap();
                }
            });
        }
    });
    assert_eq!(deeds(&library).len(), 2 + 60);
    assert_clean(&library);
}

#[test]
fn erasing_leaves_the_log_whole_and_nobodys_name_in_it() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    swap(&library, "anna", Path::new("secret-clip.mp4")).unwrap();
    swap(&library, "ben", Path::new("as-Anna-says.mp4")).unwrap();
    swap(&library, "ben", Path::new("bens.mp4")).unwrap();
    let report = writer(&library).erase_person(&name("anna"), NOW).unwrap();
    let text = String::from_utf8(log_of(&library)).unwrap();
    for word in ["anna", "Anna", "secret"] {
        assert!(!text.contains(word), "{text}");
    }
    assert!(text.contains("bens.mp4"));
    assert_clean(&library);
    let lines = library.audit().unwrap().lines;
    let last = lines.last().unwrap();
    assert_eq!(last.what, Deed::Erase);
    assert_eq!(last.persons, [report.erased_as.to_string()]);
    assert_eq!(lines[3].persons, last.persons);
    assert_eq!(lines[5].file.as_deref(), Some("bens.mp4"));
}

#[test]
fn a_library_that_may_not_be_written_says_so() {
    let (_dir, library) = with_persons(&["anna"]);
    let gate = |_, _: &Path| Err(io::Error::from(io::ErrorKind::ReadOnlyFilesystem));
    let disk = Disk {
        gate: Some(Arc::new(gate)),
        lazy: true,
    };
    let read_only = Library::open_on(disk, library.root()).unwrap();
    let error = swap(&read_only, "anna", Path::new("x")).unwrap_err();
    assert!(matches!(error, Error::NotAllowed { .. }), "{error}");
    assert_clean(&library);
}
