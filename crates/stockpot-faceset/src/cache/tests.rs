use super::*;
use crate::drawn;

fn open(set: &Faceset, resolution: u32, folder: &Path) -> (FaceCache, CacheBuild) {
    let quiet = |_: Progress| {};
    FaceCache::open_or_build(
        set,
        Area::Face,
        resolution,
        folder,
        &quiet,
        &CancelToken::new(),
    )
    .unwrap()
}

#[test]
fn margins_are_whole_pixels_on_both_sides() {
    assert_eq!(
        [64, 96, 128, 160, 224].map(padded_side),
        [80, 120, 160, 200, 280]
    );
    assert!((8..=256).all(|half| padded_side(2 * half).is_multiple_of(2)));
}

#[test]
fn pixels_masks_and_table_are_right() {
    let dir = tempfile::tempdir().unwrap();
    drawn::faceset(dir.path(), 24);
    let set = Faceset::open(dir.path()).unwrap();
    let (cache, report) = open(&set, 64, &dir.path().join("cache"));
    assert!(report.was_built && report.skipped.is_empty());
    let usable = set.count(Split::Train) + set.count(Split::HeldOut);
    assert_eq!(cache.len(), usable);
    assert_eq!(cache.count(Split::HeldOut), set.count(Split::HeldOut));
    assert_eq!(report.bytes, (4096 + usable * (80 * 80 * 5 + 40)) as u64);
    let record = &set.records()[cache.record_of(3)];
    assert_eq!(cache.entries()[3].pose.yaw_rad, record.pose.yaw_rad);

    let face = cache.face(3);
    assert_eq!(
        (face.side, face.rgbm.len(), face.importance.len()),
        (80, 80 * 80 * 4, 80 * 80)
    );
    // Every pixel shows the place of the frame that the geometry says: red and green are the
    // frame's x and y (within JPEG and resampling).
    let frame_from_face = drawn::face_from_frame().inverse().unwrap();
    let face_from_net = Area::Face.net_from_face(64).inverse().unwrap();
    for (x, y) in [(10, 12), (40, 40), (70, 20), (33, 66)] {
        let net = stockpot_core::Point::new(f64::from(x) + 0.5 - 8.0, f64::from(y) + 0.5 - 8.0);
        let frame = frame_from_face.apply(face_from_net.apply(net));
        let pixel = &face.rgbm[(y as usize * 80 + x as usize) * 4..][..4];
        assert!(
            (f64::from(pixel[0]) - (frame.x - 0.5) * 255.0 / 319.0).abs() < 4.0,
            "{x} {y}"
        );
        assert!(
            (f64::from(pixel[1]) - (frame.y - 0.5) * 255.0 / 239.0).abs() < 4.0,
            "{x} {y}"
        );
    }
    // The middle is inside the mask, the corner is not; eyes and mouth are where they were drawn.
    let at = |x: f64, y: f64| {
        let net = Area::Face
            .net_from_face(64)
            .apply(stockpot_core::Point::new(x, y));
        (net.y + 8.0) as usize * 80 + (net.x + 8.0) as usize
    };
    assert_eq!(face.rgbm[at(0.49, 0.4) * 4 + 3], 255);
    assert_eq!(face.rgbm[3], 0);
    assert_eq!(face.importance[at(0.2256, 0.2163)], 0xf0);
    assert_eq!(face.importance[at(0.755, 0.2163)], 0xf0);
    assert_eq!(face.importance[at(0.49, 0.78)], 0x0f);
    assert_eq!(face.importance[at(0.49, 0.5)], 0);
    let mask_pixels = face
        .rgbm
        .iter()
        .skip(3)
        .step_by(4)
        .map(|m| f64::from(*m) / 255.0)
        .sum::<f64>();
    // An ellipse of 0.6 x 0.75 units at 64 / 1.75 px to the unit (drawn with 36 corners).
    let wanted = std::f64::consts::PI * 0.6 * 0.75 * (64.0f64 / 1.75).powi(2);
    assert!(
        (mask_pixels / wanted - 1.0).abs() < 0.02,
        "{mask_pixels} {wanted}"
    );
    // Red inside the mask averages to the frame's x at the middle of the face.
    let (mean, deviation) = cache.mean_colour();
    assert!(
        (mean[0] - 0.5).abs() < 0.02 && deviation[0] > 0.01,
        "{mean:?} {deviation:?}"
    );
}

#[test]
fn a_cache_is_used_again_until_something_changes() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("cache");
    drawn::faceset(dir.path(), 12);
    let set = Faceset::open(dir.path()).unwrap();
    assert!(open(&set, 32, &folder).1.was_built);
    assert!(!open(&set, 32, &folder).1.was_built);
    assert!(
        open(&set, 48, &folder).1.was_built,
        "another resolution is another file"
    );
    assert!(!open(&set, 32, &folder).1.was_built);

    let path = FaceCache::path(set.person(), Area::Face, 32, &folder);
    let whole = std::fs::read(&path).unwrap();
    for broken in [&whole[..whole.len() - 1], &whole[..100], b"", &[0; 9000]] {
        // Beside and renamed, as nothing may change a mapped file.
        std::fs::write(dir.path().join("x"), broken).unwrap();
        std::fs::rename(dir.path().join("x"), &path).unwrap();
        assert!(
            open(&set, 32, &folder).1.was_built,
            "{} bytes",
            broken.len()
        );
        assert_eq!(std::fs::read(&path).unwrap(), whole);
    }
    // A crop removed by hand: made again without it, and said so.
    let gone = set.records()[2].file.clone().unwrap();
    std::fs::remove_file(dir.path().join(&gone)).unwrap();
    let (cache, report) = open(&set, 32, &folder);
    assert!(report.was_built);
    assert_eq!(report.skipped[0].file, gone);
    assert_eq!(
        cache.len(),
        set.count(Split::Train) + set.count(Split::HeldOut) - 1
    );
    // More faces: made again.
    let mut writer = drawn::writer(dir.path(), &drawn::source("more.mp4"));
    drawn::add(&mut writer, 0, None);
    writer.finish().unwrap();
    assert!(
        open(&Faceset::open(dir.path()).unwrap(), 32, &folder)
            .1
            .was_built
    );
}

#[test]
fn odd_resolutions_and_cancelling() {
    let dir = tempfile::tempdir().unwrap();
    drawn::faceset(dir.path(), 3);
    let set = Faceset::open(dir.path()).unwrap();
    let (quiet, cancel) = (|_: Progress| {}, CancelToken::new());
    let build = |resolution, cancel: &CancelToken| {
        FaceCache::open_or_build(&set, Area::Face, resolution, dir.path(), &quiet, cancel)
    };
    for bad in [0, 14, 33, 514] {
        assert!(
            matches!(build(bad, &cancel), Err(Error::BadSetting { .. })),
            "{bad}"
        );
    }
    cancel.cancel();
    assert!(matches!(build(32, &cancel), Err(Error::Cancelled)));
    let left = std::fs::read_dir(dir.path()).unwrap().filter(|e| {
        e.as_ref()
            .unwrap()
            .file_name()
            .to_string_lossy()
            .ends_with(".part")
    });
    assert_eq!(left.count(), 0);
}
