//! Round trips, torn and altered files, fallbacks, what is kept.

use std::path::Path;
use std::sync::Arc;

use stockpot_core::Rng;

use super::*;
use crate::error::Error;
use crate::loss::LossValue;
use crate::state::Window;

fn meta() -> CheckpointMeta {
    let parents = [("encoder".to_owned(), ContentHash([7; 32]))].into();
    let settings = TrainSettings {
        batch: 3,
        ..TrainSettings::default()
    };
    CheckpointMeta {
        family: "comb-s-96".into(),
        settings,
        parents,
        lite: Default::default(),
    }
}

fn state(step: u64) -> TrainState {
    let mut rng = Rng::stream(step, "state", 0);
    let mut numbers = |n: usize| (0..n).map(|_| rng.normal()).collect::<Vec<f32>>();
    let (a, b) = ("anna".parse().unwrap(), "ben".parse().unwrap());
    let mut state = TrainState::new(numbers(300), vec![(a, numbers(20_000)), (b, numbers(17))]);
    state.encoder.first = numbers(300);
    state.persons[0].1.second[3] = f32::from_bits(0x7fc0_1234);
    state.position.step = step;
    state.position.batch = step + 2;
    state.position.trained_secs = 0.1 + 0.2;
    let loss = LossValue {
        total: 0.3,
        l1: 1.0 / 3.0,
        ssim: 0.1,
        mask: 0.0,
    };
    state.position.window = Window {
        distillation: Some(0.25),
        steps: 1,
        losses: vec![loss],
        gradient_norm: 0.7,
    };
    state
}

fn bytes_of(step: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(&mut bytes, &meta(), &state(step)).unwrap();
    bytes
}

/// Equality of bits: NaN differs from itself.
fn same(a: &TrainState, b: &TrainState) -> bool {
    let bits = |s: &TrainState| -> Vec<(String, Vec<u32>)> {
        let arrays = s.arrays();
        arrays
            .map(|(n, d)| (n, d.iter().map(|v| v.to_bits()).collect()))
            .collect()
    };
    a.position == b.position && bits(a) == bits(b)
}

fn broken(path: &Path) -> bool {
    matches!(read(path), Err(Error::BrokenCheckpoint { .. }))
}

#[test]
fn what_is_written_is_read_to_the_bit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    std::fs::write(&path, bytes_of(12)).unwrap();
    let found = read(&path).unwrap();
    assert_eq!(found.meta, meta());
    assert!(same(&found.state, &state(12)));
}

#[test]
fn torn_and_altered_files_are_refused_wherever_they_are_hit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let whole = bytes_of(12);
    let mut rng = Rng::stream(1, "tear", 0);
    let mut cuts: Vec<usize> = (0..60).map(|_| rng.below(whole.len())).collect();
    cuts.extend([0, 1, 8, 12, 15, 16, 17, whole.len() - 1]);
    for cut in cuts {
        std::fs::write(&path, &whole[..cut]).unwrap();
        assert!(broken(&path), "cut at {cut}");
    }
    for _ in 0..60 {
        let mut bytes = whole.clone();
        let at = rng.below(bytes.len());
        bytes[at] ^= 1 << rng.below(8);
        std::fs::write(&path, &bytes).unwrap();
        let newer = matches!(read(&path), Err(Error::NewerCheckpoint { .. }));
        assert!(
            newer && (8..12).contains(&at) || broken(&path),
            "bit at {at}"
        );
    }
    let mut longer = whole.clone();
    longer.push(0);
    std::fs::write(&path, &longer).unwrap();
    assert!(broken(&path));
}

#[test]
fn lies_in_the_header_allocate_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a");
    let file = |version: u32, length: u32, header: &[u8]| {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(version.to_le_bytes());
        bytes.extend(length.to_le_bytes());
        bytes.extend(header);
        bytes.extend(blake3::hash(header).as_bytes());
        bytes
    };
    let header = |numbers: u64| {
        let json = serde_json::json!({
            "family": "x", "settings": {}, "parents": {}, "persons": [],
            "position": crate::state::Position::default(),
            "arrays": [{"name": "encoder/weights", "numbers": numbers}],
        });
        serde_json::to_vec(&json).unwrap()
    };
    let honest = |header: &[u8]| file(1, header.len() as u32, header);
    for bytes in [
        file(1, u32::MAX, b"{}"),
        file(0, 2, b"{}"),
        honest(b"{}"),
        honest(b"[1, 2"),
        honest(&header(u64::MAX)),
        honest(&header(u64::MAX / 4)),
        honest(&header(1 << 40)),
        honest(&header(0)),
        b"not a checkpoint, but a text of some length".to_vec(),
    ] {
        std::fs::write(&path, &bytes).unwrap();
        assert!(broken(&path), "{:?}", &bytes[..40]);
    }
    std::fs::write(&path, file(3, 2, b"{}")).unwrap();
    assert!(matches!(
        read(&path),
        Err(Error::NewerCheckpoint { found: 3, .. })
    ));
    assert!(matches!(latest_good(folder.path()), Ok(None)));
}

#[test]
fn the_newest_whole_one_is_found_and_the_torn_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let path = |step| folder.path().join(checkpoint_name(step));
    assert!(
        latest_good(&folder.path().join("nowhere"))
            .unwrap()
            .is_none()
    );
    std::fs::write(path(30), &bytes_of(30)[..100]).unwrap();
    assert!(matches!(
        latest_good(folder.path()),
        Err(Error::NoGoodCheckpoint { broken: 1, .. })
    ));
    std::fs::write(path(10), bytes_of(10)).unwrap();
    std::fs::write(path(20), bytes_of(20)).unwrap();
    let found = latest_good(folder.path()).unwrap().unwrap();
    assert_eq!((found.path, found.broken.len()), (path(20), 1));
    assert!(same(&found.checkpoint.state, &state(20)));
    // Going on from there: the torn future is set aside.
    let writer = CheckpointWriter::open(folder.path(), 3, meta(), 20).unwrap();
    assert_eq!(writer.latest(), Some(path(20).as_path()));
    assert_eq!(latest_good(folder.path()).unwrap().unwrap().broken.len(), 0);
    assert!(folder.path().join("ckpt-000000030.stock.aside").exists());
}

#[test]
fn the_first_and_the_last_are_kept_and_leftovers_removed() {
    let folder = tempfile::tempdir().unwrap();
    let leftover = folder.path().join(".ckpt-000000005.stock.1.part");
    std::fs::write(&leftover, b"half").unwrap();
    std::fs::write(folder.path().join("notes.txt"), b"mine").unwrap();
    let mut writer = CheckpointWriter::open(folder.path(), 2, meta(), 0).unwrap();
    assert!(!leftover.exists());
    for step in [0, 10, 20, 30, 40] {
        writer.save(Arc::new(state(step))).unwrap();
    }
    writer.wait().unwrap();
    let steps: Vec<u64> = list(folder.path())
        .unwrap()
        .iter()
        .map(|(s, _)| *s)
        .collect();
    assert_eq!(steps, [0, 30, 40]);
    assert!(writer.latest().unwrap().ends_with(checkpoint_name(40)));
    assert!(folder.path().join("notes.txt").exists());
}

#[test]
fn a_writer_killed_at_any_byte_leaves_the_earlier_ones() {
    // What a killed writer can leave: its part file cut anywhere (never renamed), or, on a disk
    // that reorders, a renamed file cut anywhere.
    let folder = tempfile::tempdir().unwrap();
    let whole = bytes_of(20);
    std::fs::write(folder.path().join(checkpoint_name(10)), bytes_of(10)).unwrap();
    let mut rng = Rng::stream(2, "kill", 0);
    for round in 0..40 {
        let cut = &whole[..rng.below(whole.len())];
        let part = folder.path().join(".ckpt-000000020.stock.77.part");
        let renamed = folder.path().join(checkpoint_name(20));
        std::fs::write(if round % 2 == 0 { part } else { renamed }, cut).unwrap();
        let found = latest_good(folder.path()).unwrap().unwrap();
        assert_eq!(found.checkpoint.state.position.step, 10);
        let mut writer = CheckpointWriter::open(folder.path(), 3, meta(), 10).unwrap();
        writer.save(Arc::new(state(10))).unwrap();
        writer.wait().unwrap();
    }
}

#[test]
fn a_folder_that_cannot_be_written_is_an_error_of_the_next_call() {
    let folder = tempfile::tempdir().unwrap();
    let mut writer = CheckpointWriter::open(folder.path(), 2, meta(), 0).unwrap();
    std::fs::remove_dir_all(folder.path()).unwrap();
    writer.save(Arc::new(state(1))).unwrap();
    let error = writer.wait().unwrap_err();
    assert!(
        error.to_string().starts_with("Cannot write the checkpoint"),
        "{error}"
    );
    assert_eq!(writer.latest(), None);
}
