//! Erasing a person: nothing of them is left, the others are whole, and a stop in between is gone on
//! with.

use super::crash::stop_and_repeat;
use super::*;
use crate::Error;

/// Anna, who signed, and ben after two runs, with the files that jobs leave; a third run is anna's
/// alone and was never committed.
fn with_traces() -> (TempDir, Library) {
    let (dir, library) = with_persons(&["ben"]);
    let consent = Consent {
        source: ConsentSource::File {
            name: "signed-by-anna.pdf".into(),
            bytes: b"I, anna, agree".to_vec(),
        },
        ..synthetic()
    };
    writer(&library)
        .add_person(&name("anna"), consent, NOW)
        .unwrap();
    let put = |path: &str, text: &str| {
        let path = library.root().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    for mark in 1..=2 {
        let mut commit = run_of(&library, &["anna", "ben"], mark);
        commit.settings_json = r#"{"of":["anna"],"anna":{"steps":1.5}}"#.into();
        let rehearsal = format!("anna's faces {mark}").into_bytes();
        let anna = &mut commit.decoders[0].state;
        anna.attachments.insert("rehearsal".into(), rehearsal);
        let run = commit.run.clone();
        writer(&library).commit_run(commit).unwrap();
        put(
            &format!("runs/{run}/run.json"),
            r#"{"persons":["anna","ben"]}"#,
        );
        put(&format!("runs/{run}/previews/1.png"), "anna's face");
        put(&format!("runs/{run}/checkpoints/1.stock"), "decoder/anna");
        put(
            &format!("runs/{run}/metrics.jsonl"),
            "{\"kind\":\"train\",\"persons\":{\"anna\":{\"total\":0.25},\"ben\":{\"total\":0.5}}}\n\
             {\"kind\":\"evaluation\",\"probes\":{\"likeness/anna-as-ben/to-drawn\":0.4}}\n{\"torn",
        );
    }
    put("runs/uncommitted/run.json", r#"{"persons":["anna"]}"#);
    put("runs/uncommitted/events/1", "decoder/anna");
    put("runs/bens/run.json", r#"{"persons":["ben"]}"#);
    // A growth of others that was not released, and looked at everybody.
    put("runs/grown/run.json", r#"{"persons":["ben"]}"#);
    put("runs/grown/gate.html", "the picture of somebody");
    put(
        "runs/grown/gate.json",
        r#"{"persons":[{"person":"ben"},{"person":"anna"}],"not_measured":[]}"#,
    );
    put("runs/bens/gate.html", "ben's face");
    put(
        "runs/bens/gate.json",
        r#"{"persons":[{"person":"ben"}],"not_measured":["cleo: no decoder yet"]}"#,
    );
    put("facesets/anna/index.jsonl", "anna");
    put("facesets/anna/rejected/1.jpg", "anna's face");
    put("facesets/ben/index.jsonl", "ben");
    put("cache/anna-face-64.faces", "anna's faces");
    put("cache/ben-face-64.faces", "ben's faces");
    (dir, library)
}

/// Files that have the name in their path or their bytes.
fn files_with(library: &Library, word: &str) -> Vec<std::path::PathBuf> {
    let has = |bytes: &[u8]| bytes.windows(word.len()).any(|w| w == word.as_bytes());
    files_below(library.root())
        .into_iter()
        .filter(|path| {
            let inner = path.strip_prefix(library.root()).unwrap();
            inner.to_string_lossy().contains(word) || has(&std::fs::read(path).unwrap())
        })
        .collect()
}

#[test]
fn nothing_of_an_erased_person_is_left() {
    let (_dir, library) = with_traces();
    assert!(files_with(&library, "anna").len() > 15);
    let bens = library.current_decoder(&name("ben")).unwrap();
    let encoder = library.current_encoder().unwrap();
    let report = writer(&library).erase_person(&name("anna"), NOW).unwrap();
    assert_eq!(
        files_with(&library, "anna"),
        Vec::<std::path::PathBuf>::new()
    );
    assert_eq!(report.decoder_states, 2);
    // Weights and rehearsal of two states, and the paper.
    assert_eq!(report.objects, 5);
    assert_eq!(report.runs.len(), 2);
    assert_eq!(report.files, 2 + 1 + 2 * 3 + 2 + 2);
    assert_eq!(report.receipts.len(), 1);
    assert!(report.bytes > 100);
    assert_clean(&library);
    // The others have everything, and go on.
    assert_eq!(library.current_decoder(&name("ben")).unwrap(), bens);
    assert_eq!(library.current_encoder().unwrap(), encoder);
    assert!(library.root().join("facesets/ben/index.jsonl").exists());
    assert!(library.root().join("cache/ben-face-64.faces").exists());
    assert!(library.root().join("runs/bens/run.json").exists());
    assert!(library.root().join("runs/bens/gate.html").exists());
    assert!(library.root().join("runs/grown/run.json").exists());
    assert!(!library.root().join("runs/grown/gate.html").exists());
    let next = run_of(&library, &["ben"], 3);
    writer(&library).commit_run(next).unwrap();
    // Runs keep their hashes and say `erased-…`.
    let Ok(crate::Shown::Record { record, .. }) = library.show(report.runs[0].as_str()) else {
        panic!("the run is gone");
    };
    let crate::Record::Run(run) = *record else {
        panic!("not a run");
    };
    assert_eq!(run.persons[0], report.erased_as);
    assert!(run.results.decoders.contains_key(&report.erased_as));
    assert!(run.settings_json.contains(report.erased_as.as_str()));
    let metrics = library.run_dir(&report.runs[0]).join("metrics.jsonl");
    let metrics = std::fs::read_to_string(metrics).unwrap();
    assert!(metrics.contains(report.erased_as.as_str()) && metrics.contains("\"ben\""));
    assert!(!metrics.contains("torn"));
    // Who is gone is gone; the name is free.
    let error = writer(&library)
        .erase_person(&name("anna"), NOW)
        .unwrap_err();
    assert!(matches!(error, Error::NoSuchPerson { .. }), "{error}");
    writer(&library)
        .add_person(&name("anna"), synthetic(), NOW)
        .unwrap();
    assert_clean(&library);
}

#[test]
fn who_was_taken_out_can_still_be_erased() {
    let (_dir, library) = with_traces();
    writer(&library).remove_person(&name("anna"), NOW).unwrap();
    writer(&library).erase_person(&name("anna"), NOW).unwrap();
    assert_eq!(
        files_with(&library, "anna"),
        Vec::<std::path::PathBuf>::new()
    );
    assert_clean(&library);
    let error = writer(&library)
        .erase_person(&name("carl"), NOW)
        .unwrap_err();
    assert!(matches!(error, Error::NoSuchPerson { .. }), "{error}");
}

#[test]
fn what_others_need_stays() {
    let (_dir, library) = with_persons(&["anna", "ben"]);
    // A decoder that began as anna's, with the same bytes.
    let mut commit = run_of(&library, &["anna", "ben"], 1);
    commit.decoders[1].state.bytes = commit.decoders[0].state.bytes.clone();
    writer(&library).commit_run(commit).unwrap();
    let anna = library.current_decoder(&name("anna")).unwrap().unwrap();
    let mut commit = run_of(&library, &["ben"], 2);
    commit.decoders[0].state.parent = Some(anna.hash);
    writer(&library).commit_run(commit).unwrap();
    let report = writer(&library).erase_person(&name("anna"), NOW).unwrap();
    assert_eq!(report.objects, 0);
    assert!(library.get_object(&anna.record.object).is_ok());
    assert_clean(&library);
}

#[test]
fn an_erasure_stopped_at_any_step_is_gone_on_with() {
    let (_dir, library) = with_traces();
    let bens = library.current_decoder(&name("ben")).unwrap();
    let erase = |library: &Library| {
        let writer = library.writer(NOW, Duration::from_secs(1))?;
        match writer.erase_person(&name("anna"), NOW) {
            // The last step was left out: only its flush.
            Err(Error::NoSuchPerson { .. }) => Ok(()),
            other => other.map(drop),
        }
    };
    let stops = stop_and_repeat(&library, &erase, &|library, what| {
        assert_eq!(
            library.current_decoder(&name("ben")).unwrap(),
            bens,
            "{what}"
        );
    });
    assert!(stops > 60, "{stops}");
    // The repeated call leaves nothing either.
    for stop_at in [10, 25, 40, 55] {
        let dir = tempfile::tempdir().unwrap();
        copy_folder(library.root(), dir.path());
        let (disk, _) = super::crash::failing_disk(stop_at, true);
        assert!(erase(&Library::open_on(disk, dir.path()).unwrap()).is_err());
        let copy = super::crash::open_lazily(dir.path());
        erase(&copy).unwrap();
        assert_eq!(files_with(&copy, "anna"), Vec::<std::path::PathBuf>::new());
        let receipts = copy.layout.records();
        let receipts = files_below(&receipts)
            .into_iter()
            .filter(|p| std::fs::read_to_string(p).unwrap().contains("\"erased\""))
            .count();
        assert_eq!(receipts, 1, "stopped at {stop_at}");
    }
}
