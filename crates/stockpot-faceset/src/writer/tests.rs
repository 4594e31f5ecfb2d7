use stockpot_core::face::{Area, LANDMARKS};

use super::*;
use crate::drawn;
use crate::faceset::{Faceset, OpenNote};

fn crops(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .filter(|n| n.ends_with(".jpg"))
        .collect();
    names.sort();
    names
}

#[test]
fn what_is_written_is_read_again() {
    let dir = tempfile::tempdir().unwrap();
    let folder = dir.path().join("anna");
    let mut writer = drawn::writer(&folder, &drawn::source("my clip.mp4"));
    for n in 0..50 {
        drawn::add(&mut writer, n, (n % 10 == 3).then_some(Reason::Blurred));
    }
    let summary = writer.finish().unwrap();
    assert_eq!(summary.rejected, 5);
    assert_eq!(summary.train + summary.held_out + summary.unused, 45);
    assert!(summary.held_out >= 2);

    let set = Faceset::open(&folder).unwrap();
    assert_eq!(set.records().len(), 50);
    assert_eq!(set.kept().count(), 45);
    assert_eq!(set.count(Split::HeldOut), summary.held_out);
    assert!(set.notes().is_empty());
    assert_eq!(set.sources()[0].info, drawn::source("my clip.mp4"));
    let record = &set.records()[7];
    assert_eq!(record.file.as_deref(), Some("my_clip-000007-t1.jpg"));
    assert_eq!(
        set.records()[13].file.as_deref(),
        Some("rejected/my_clip-000013-t1.jpg")
    );
    assert_eq!(
        (record.frame_index, record.time.ticks, record.time.base.den),
        (7, 7, 25)
    );
    assert_eq!(record.face_from_frame, drawn::face_from_frame());
    assert_eq!(record.landmarks.len(), LANDMARKS);
    for (i, wanted) in drawn::landmarks_in_face().iter().enumerate() {
        assert!(
            record.landmark(i).distance(*wanted) < 1.5e-4,
            "landmark {i}"
        );
    }
    assert_eq!(record.embedding.as_ref().unwrap()[0], 0.07);
    assert_eq!(record.sharpness, 0.057);
    let crop = set.load_crop(record).unwrap().unwrap();
    // 60 px to the unit, 2.5 units, enlarged by at most 1.25: 187, made even.
    assert_eq!(crop.size(), Size::square(186));
}

#[test]
fn crop_shows_the_head_area_of_the_frame() {
    let (picture, crop) = cut_crop(
        &drawn::frame(0),
        &drawn::face_from_frame(),
        &WriterSettings::default(),
    )
    .unwrap();
    assert_eq!((picture.side(), crop.size()), (186, Size::square(186)));
    // The centre of the area, seen in the frame: red is x * 255 / 319, green is y * 255 / 239.
    let centre = drawn::face_from_frame()
        .inverse()
        .unwrap()
        .apply(Area::Head.centre());
    let [r, g, _] = crop.pixel(93, 93);
    assert!((f64::from(r) - (centre.x - 0.5) * 255.0 / 319.0).abs() < 2.0);
    assert!((f64::from(g) - (centre.y - 0.5) * 255.0 / 239.0).abs() < 2.0);
    let large = WriterSettings {
        crop_side: 64,
        ..WriterSettings::default()
    };
    assert_eq!(
        cut_crop(&drawn::frame(0), &drawn::face_from_frame(), &large)
            .unwrap()
            .0
            .side(),
        64
    );
    let singular = Affine::from_rows([0.0; 6]);
    assert!(cut_crop(&drawn::frame(0), &singular, &large).is_err());
}

#[test]
fn extracting_again_replaces_only_that_source() {
    let dir = tempfile::tempdir().unwrap();
    let (a, b) = (drawn::source("a.mp4"), drawn::source("b.mp4"));
    for (source, count) in [(&a, 10), (&b, 6), (&a, 4)] {
        let mut writer = drawn::writer(dir.path(), source);
        (0..count).for_each(|n| drawn::add(&mut writer, n, None));
        let summary = writer.finish().unwrap();
        assert_eq!(summary.replaced, if count == 4 { 10 } else { 0 });
    }
    let set = Faceset::open(dir.path()).unwrap();
    let of = |name: &str| {
        set.records()
            .iter()
            .filter(|r| set.sources()[r.source].info.name == name)
            .count()
    };
    assert_eq!((of("a.mp4"), of("b.mp4")), (4, 6));
    assert_eq!(crops(dir.path()).len(), 10);
    for record in set.records() {
        assert!(set.load_crop(record).unwrap().is_some());
    }
    // The same name with another length is another source, and its crops get other names.
    let other = SourceInfo { bytes: 7, ..a };
    let mut writer = drawn::writer(dir.path(), &other);
    drawn::add(&mut writer, 0, None);
    writer.finish().unwrap();
    assert_eq!(Faceset::open(dir.path()).unwrap().sources().len(), 3);
}

#[test]
fn an_interrupted_extraction_loses_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let source = drawn::source("clip.mp4");
    let mut writer = drawn::writer(dir.path(), &source);
    (0..40).for_each(|n| drawn::add(&mut writer, n, None));
    drop(writer);
    // The first batch of 32 was flushed.
    let set = Faceset::open(dir.path()).unwrap();
    assert_eq!(set.records().len(), 32);
    let note = OpenNote::Unfinished {
        source: "clip.mp4".into(),
        records: 32,
    };
    assert_eq!(set.notes(), [note]);
    assert!(set.count(Split::HeldOut) > 0);

    let mut writer = drawn::writer(dir.path(), &source);
    (0..8).for_each(|n| drawn::add(&mut writer, n, None));
    assert_eq!(writer.finish().unwrap().replaced, 32);
    // A second extraction that dies leaves the finished one in force.
    let mut writer = drawn::writer(dir.path(), &source);
    (0..20).for_each(|n| drawn::add(&mut writer, n, None));
    writer.flush().unwrap();
    drop(writer);
    let set = Faceset::open(dir.path()).unwrap();
    assert_eq!(set.records().len(), 8);
    assert!(set.notes().is_empty());
    // And the next one clears its remains away.
    drawn::writer(dir.path(), &source).finish().unwrap();
    assert_eq!(Faceset::open(dir.path()).unwrap().records().len(), 0);
    assert!(crops(dir.path()).is_empty());
}

#[test]
fn a_torn_last_line_is_dropped_and_reported() {
    let dir = tempfile::tempdir().unwrap();
    drawn::faceset(dir.path(), 6);
    let path = dir.path().join("index.jsonl");
    let mut bytes = std::fs::read(&path).unwrap();
    bytes.truncate(bytes.len() - 100);
    std::fs::write(&path, &bytes).unwrap();
    let set = Faceset::open(dir.path()).unwrap();
    assert_eq!(set.records().len(), 5);
    assert!(matches!(set.notes(), [OpenNote::TornLine { bytes }] if *bytes > 1000));
    // Writing on does not glue the next line to it.
    let mut writer = drawn::writer(dir.path(), &drawn::source("next.mp4"));
    drawn::add(&mut writer, 0, None);
    writer.finish().unwrap();
    let set = Faceset::open(dir.path()).unwrap();
    assert_eq!((set.records().len(), set.notes().len()), (6, 0));
}

#[test]
fn bad_indexes_are_refused_with_the_reason() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("index.jsonl");
    let check = |content: &str, wanted: &str| {
        std::fs::write(&path, content).unwrap();
        let error = Faceset::open(dir.path()).unwrap_err();
        assert!(error.to_string().contains(wanted), "{error}");
        assert!(error.hint().is_some(), "{error}");
    };
    assert!(matches!(
        Faceset::open(dir.path()),
        Err(Error::Missing { .. })
    ));
    check("", "first line is missing");
    check("hello\n", "no JSON");
    check("{\"format\":\"other\",\"version\":1}\n", "does not say");
    let header = "{\"format\":\"stockpot-faceset\",\"version\":1,\"person\":\"anna\"}\n";
    let newer = header.replace(":1,", ":9,\"more\":2,");
    check(&newer, "format version 9, this program reads up to 1");
    check(&header.replace("anna", "../x"), "cannot be a person's name");
    check(&format!("{header}{{\"face\":{{}}}}\n"), "Line 2");
    check(
        &format!("{header}{}\n", "x".repeat(80_000)),
        "65536 bytes in one line",
    );
    let source = "{\"source\":{\"take\":1,\"name\":\"a\",\"bytes\":1,\"prefix\":\"a\",\"split_seed\":0,\"done\":true}}\n";
    check(&format!("{header}{source}{source}"), "there twice");
    let face = |file: &str, count: usize, take: u32| {
        format!(
            "{header}{source}{{\"face\":{{\"take\":{take},\"file\":\"{file}\",\"frame\":0,\"ticks\":0,\"base\":[1,25],\
             \"track\":0,\"sharpness\":1,\"score\":1,\"pose\":[0,0,0],\"face_from_frame\":[1,0,0,0,1,0],\
             \"landmarks\":{:?}}}}}\n",
            vec![0; count]
        )
    };
    check(&face("../../etc/passwd", 936, 1), "could leave the folder");
    check(&face("a.jpg", 12, 1), "468 landmarks");
    check(&face("a.jpg", 936, 2), "take 2, which is not there");
    std::fs::write(&path, face("a.jpg", 936, 1)).unwrap();
    assert_eq!(Faceset::open(dir.path()).unwrap().records().len(), 1);
}

#[test]
fn faces_that_cannot_be_stored_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let mut writer = drawn::writer(dir.path(), &drawn::source("a"));
    let landmarks = drawn::landmarks();
    let mut check = |sharpness: f32, rejected, wanted: &str| {
        let face = NewFace {
            frame_index: 1,
            time: Timestamp {
                ticks: 0,
                base: stockpot_core::TimeBase { num: 1, den: 1 },
            },
            face_from_frame: drawn::face_from_frame(),
            landmarks: &landmarks,
            pose: Pose::default(),
            sharpness,
            score: 1.0,
            track: sharpness as u32,
            embedding: None,
            rejected,
            crop: None,
        };
        match writer.add(face) {
            Ok(()) => assert_eq!(wanted, ""),
            Err(error) => assert!(error.to_string().contains(wanted), "{error}"),
        }
    };
    check(f32::NAN, Some(Reason::Blurred), "not finite");
    check(2.0, None, "no file");
    check(3.0, Some(Reason::TooSmall), "");
    check(3.0, Some(Reason::TooSmall), "already has a face");
}

#[test]
fn one_writer_at_a_time_and_one_person_a_folder() {
    let dir = tempfile::tempdir().unwrap();
    let (source, settings) = (drawn::source("a"), WriterSettings::default());
    let first = drawn::writer(dir.path(), &source);
    let begin = |who: &str| FacesetWriter::begin(dir.path(), &drawn::name(who), &source, &settings);
    assert!(matches!(begin("anna"), Err(Error::Busy { .. })));
    drop(first);
    assert!(
        begin("bert")
            .unwrap_err()
            .to_string()
            .contains("belongs to `anna`")
    );
    assert!(begin("anna").is_ok());
}
