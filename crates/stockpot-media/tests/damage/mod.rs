//! The worker, and what happens to files that are broken, cut short or cannot be written.

use super::*;

#[test]
fn the_worker_gives_the_same_frames() {
    let Some(dir) = scratch() else { return };
    let source = dir.make("vfr.mp4", VFR);
    assert_eq!(
        probe_isolated(&worker(), &source).unwrap(),
        probe(&source).unwrap()
    );
    let all = frames(&source);
    for range in [ALL_FRAMES, 40..45, 0..0, 100_000..100_001] {
        let here: Vec<_> = open_direct(&source, range.clone())
            .unwrap()
            .map(Result::unwrap)
            .collect();
        let there: Vec<_> = open_isolated(&worker(), &source, range.clone())
            .unwrap()
            .map(Result::unwrap)
            .collect();
        assert!(here == there, "{range:?}");
        let expected: Vec<_> = all
            .iter()
            .filter(|f| range.contains(&f.index))
            .cloned()
            .collect();
        assert!(here == expected, "{range:?}");
    }
}

#[test]
fn a_dead_worker_is_an_error_not_a_hang() {
    let Some(dir) = scratch() else { return };
    let source = dir.make("vfr.mp4", VFR);
    let mut frames = open_isolated(&worker(), &source, ALL_FRAMES).unwrap();
    for _ in 0..3 {
        frames.next_frame().unwrap().unwrap();
    }
    let id = frames.worker_id().unwrap().to_string();
    assert!(
        Command::new("kill")
            .args(["-9", &id])
            .status()
            .unwrap()
            .success()
    );
    let error = frames.find_map(Result::err).unwrap();
    assert!(
        matches!(&error, Error::WorkerDied { how, last_good: Some(last), .. } if how.contains("signal 9") && *last >= 2),
        "{error}"
    );
    assert!(error.hint().is_some());
    assert!(frames.next_frame().unwrap().is_none());

    let missing = open_isolated(Path::new("/no/such/program"), &source, ALL_FRAMES)
        .err()
        .unwrap();
    assert!(matches!(missing, Error::WorkerStart { .. }));
    // A program that is no worker.
    let wrong = probe_isolated(Path::new("/bin/echo"), &source).unwrap_err();
    assert!(matches!(wrong, Error::Pipe { .. }), "{wrong}");
}

// ---- bad input

#[test]
fn bad_sources_are_named() {
    let Some(dir) = scratch() else { return };
    let write = |name: &str, bytes: &[u8]| {
        let path = dir.path(name);
        std::fs::write(&path, bytes).unwrap();
        path
    };
    let text = write(
        "text.mp4",
        b"This is a shopping list, not a video.\nLeeks, carrots, celery.\n",
    );
    let empty = write("empty.mp4", b"");
    let playlist = write(
        "list.mp4",
        b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n/etc/passwd\n#EXT-X-ENDLIST\n",
    );
    let sound = dir.make("sound.m4a", &["-f", "lavfi", "-i", "sine=duration=0.2"]);
    let plain = dir.make("plain.mp4", PLAIN);
    let bytes = std::fs::read(&plain).unwrap();
    let no_index = write("no_index.mp4", &bytes[..bytes.len() / 2]);
    let folder = dir.path("empty");
    std::fs::create_dir(&folder).unwrap();

    for opener in [Opener::Here, Opener::Worker(worker())] {
        let error = |p: &Path| {
            let error = opener.probe(p).unwrap_err();
            assert!(error.hint().is_some(), "no hint: {error}");
            assert!(
                error.to_string().contains(p.to_str().unwrap()),
                "no path: {error}"
            );
            assert_eq!(opener.open(p, ALL_FRAMES).err().unwrap(), error);
            error
        };
        assert!(matches!(
            error(&dir.path("missing.mp4")),
            Error::NotFound { .. }
        ));
        assert!(matches!(error(&text), Error::NotMedia { .. }));
        assert!(matches!(error(&empty), Error::NotMedia { .. }));
        assert!(matches!(
            error(&playlist),
            Error::NotMedia { .. } | Error::RefusedFormat { .. }
        ));
        assert!(matches!(error(&sound), Error::NoVideo { .. }));
        assert!(matches!(error(&no_index), Error::IndexMissing { .. }));
        assert!(matches!(
            error(&folder),
            Error::NoPictures { pictures: 0, .. }
        ));
    }
}

#[test]
fn a_cut_video_gives_its_good_frames_and_then_an_error() {
    let Some(dir) = scratch() else { return };
    let mut args = PLAIN.to_vec();
    args.extend(["-movflags", "+faststart"]);
    for name in ["front.mp4", "whole.mkv"] {
        let whole = dir.make(name, &args);
        let all = frames(&whole);
        let bytes = std::fs::read(&whole).unwrap();
        let cut = dir.path(&format!("cut-{name}"));
        std::fs::write(&cut, &bytes[..bytes.len() * 2 / 3]).unwrap();
        for opener in [Opener::Here, Opener::Worker(worker())] {
            let found: Vec<_> = opener.open(&cut, ALL_FRAMES).unwrap().collect();
            let (last, good) = found.split_last().unwrap();
            assert!(
                good.len() > 5 && good.len() < all.len(),
                "{name}: {}",
                good.len()
            );
            for (good, whole) in good.iter().zip(&all) {
                let good = good.as_ref().unwrap();
                assert_eq!((good.index, good.pts), (whole.index, whole.pts));
            }
            let last_good = Some(good.len() as u64 - 1);
            assert_eq!(
                last.as_ref().unwrap_err(),
                &Error::Truncated {
                    last_good,
                    path: cut.clone()
                }
            );
            // A range that ends before the damage is whole.
            assert!(opener.open(&cut, 0..3).unwrap().all(|f| f.is_ok()));
        }
    }
}

#[test]
fn outputs_that_cannot_be_are_named_and_leave_nothing() {
    let Some(dir) = scratch() else { return };
    let source = dir.make("plain.mp4", PLAIN);
    let info = probe(&source).unwrap();
    let create = |path: &Path, settings: &OutputSettings| {
        VideoWriter::create(path, &info, settings, &Opener::Here).map(drop)
    };
    let error = create(&dir.path("no/such/folder/out.mp4"), &quick()).unwrap_err();
    assert!(
        matches!(&error, Error::Io { action, .. } if action == "create"),
        "{error}"
    );
    assert!(error.hint().is_some());
    assert!(matches!(
        create(&dir.path("out.avi"), &quick()),
        Err(Error::UnsupportedOutput { .. })
    ));
    assert!(matches!(
        create(&source, &quick()),
        Err(Error::BadSetting { .. })
    ));
    let settings = OutputSettings {
        crf: Some(99),
        ..quick()
    };
    assert!(matches!(
        create(&dir.path("out.mp4"), &settings),
        Err(Error::BadSetting { .. })
    ));

    // Dropped, or finished without a frame: no trace.
    let target = dir.path("dropped.mp4");
    let mut writer = VideoWriter::create(&target, &info, &quick(), &Opener::Here).unwrap();
    let mut all = frames(&source);
    let early = all.remove(0);
    writer.write(all.remove(0)).unwrap();
    assert!(matches!(writer.write(early), Err(Error::WrongFrame { .. })));
    drop(writer);
    let writer = VideoWriter::create(&target, &info, &quick(), &Opener::Here).unwrap();
    assert!(matches!(writer.finish(), Err(Error::NoFrames { .. })));
    assert_eq!(dir.names(), ["plain.mp4"]);
}

#[test]
fn a_full_disk_is_said_and_leaves_nothing() {
    let Some(dir) = scratch() else { return };
    let source = dir.make("plain.mp4", PLAIN);
    for (suffix, opener) in [
        (".video.part", Opener::Here),
        (".part", Opener::Here),
        (".part", Opener::Worker(worker())),
    ] {
        // A part file on the device that is always full.
        let target = dir.path("out.mp4");
        std::os::unix::fs::symlink("/dev/full", dir.path(&format!("out.mp4{suffix}"))).unwrap();
        let settings = OutputSettings {
            preset: Preset::Ultrafast,
            ..OutputSettings::default()
        };
        let result = support::try_convert(&source, &target, &settings, &opener, ALL_FRAMES);
        let error = result.unwrap_err();
        assert!(matches!(error, Error::DiskFull { .. }), "{suffix}: {error}");
        assert!(error.hint().is_some());
        assert_eq!(dir.names(), ["plain.mp4"], "{suffix}");
    }
}

#[test]
fn damage_in_the_middle_is_reported_and_the_rest_goes_on() {
    let Some(dir) = scratch() else { return };
    let source = dir.make("vfr.mp4", VFR);
    let mut bytes = std::fs::read(&source).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle..middle + 3000].fill(0x55);
    let damaged = dir.path("damaged.mp4");
    std::fs::write(&damaged, bytes).unwrap();
    let mut reader = open_isolated(&worker(), &damaged, ALL_FRAMES).unwrap();
    let count = reader.by_ref().map(Result::unwrap).count();
    let warnings = reader.take_warnings();
    assert!(!warnings.is_empty());
    assert!(count + 60 > frames(&source).len(), "{count} frames");
    assert_eq!(frame_values(&damaged, 0), frame_values(&source, 0));
}
