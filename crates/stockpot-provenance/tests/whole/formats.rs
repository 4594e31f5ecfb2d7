//! Every kind of output, sealed and read back.

use std::path::Path;

use stockpot_core::Size;
use stockpot_media::OutputCodec;
use stockpot_provenance::{Error, Holder, Known, Sealer, Verdict};

use crate::tools::{Room, noise, rendered, swapped};

#[test]
fn every_format_says_what_it_is() {
    let room = Room::new();
    let source = room.path("source.png");
    std::fs::write(
        &source,
        stockpot_core::picture::to_png(&noise(Size::square(32), 9)).unwrap(),
    )
    .unwrap();
    let statement = swapped(&source);
    for name in ["a.png", "b.jpg", "c.JPEG"] {
        room.picture(name, 40, &statement);
    }
    for name in ["d.mp4", "e.mov", "f.m4v", "g.mkv"] {
        room.video(name, 15, &statement);
    }
    let (part, target) = room.unsealed("h.mp4", 15, OutputCodec::Hevc);
    room.sealer.seal(part, &target, &statement).unwrap();
    for name in [
        "a.png", "b.jpg", "c.JPEG", "d.mp4", "e.mov", "f.m4v", "g.mkv", "h.mp4",
    ] {
        let report = room.inspect(name);
        assert_eq!(report.verdict, Verdict::Whole, "{name}: {report:#?}");
        assert_eq!(report.faults, [], "{name}");
        assert_eq!(report.remarks, [], "{name}");
        let beside = name.ends_with("mkv");
        let holder = if beside {
            Holder::Beside
        } else {
            Holder::Inside
        };
        assert_eq!(report.holder, Some(holder), "{name}");
        let credentials = report.credentials.unwrap();
        assert_eq!(credentials.title.as_deref(), Some(name));
        assert!(credentials.software.unwrap().starts_with("stockpot "));
        assert_eq!(credentials.signer.unwrap().known, Known::Own, "{name}");
        let actions: Vec<_> = credentials
            .actions
            .iter()
            .map(|a| a.action.as_str())
            .collect();
        assert_eq!(actions, ["c2pa.opened", "c2pa.edited"], "{name}");
        assert_eq!(
            credentials.actions[1].source_type.as_deref(),
            Some("compositeWithTrainedAlgorithmicMedia")
        );
        let parent = &credentials.ingredients[0];
        assert_eq!(credentials.ingredients.len(), 1);
        assert_eq!(parent.title.as_deref(), Some("source.png"));
        assert_eq!(
            (parent.relation.as_str(), parent.verdict),
            ("parentOf", Verdict::None)
        );
        let note = credentials.swap.unwrap();
        assert_eq!(note.seal, statement.seal);
        assert_eq!(note.swaps, statement.swaps);
        assert_eq!(note.source_sha256.unwrap().len(), 64);
    }
    // Nothing is left of the part files.
    assert_eq!(
        room.names(),
        [
            "a.png",
            "b.jpg",
            "c.JPEG",
            "d.mp4",
            "e.mov",
            "f.m4v",
            "g.c2pa",
            "g.mkv",
            "h.mp4",
            "source.png"
        ]
    );
}

#[test]
fn what_is_rendered_says_so() {
    let room = Room::new();
    let sealed = room.video("a.mp4", 3, &rendered());
    assert!(sealed.added_bytes > 0);
    let credentials = room.inspect("a.mp4").credentials.unwrap();
    assert_eq!(credentials.actions.len(), 1);
    assert_eq!(credentials.actions[0].action, "c2pa.created");
    assert_eq!(
        credentials.actions[0].source_type.as_deref(),
        Some("algorithmicMedia")
    );
    assert!(credentials.ingredients.is_empty());
}

#[test]
fn the_sources_own_credentials_are_kept() {
    let room = Room::new();
    let ways = [
        ("a.png", "b.png"),
        ("c.mp4", "d.mp4"),
        ("e.jpg", "f.png"),
        // Credentials beside their file.
        ("g.mkv", "h.mkv"),
        ("i.mkv", "j.mp4"),
    ];
    for (source, output) in ways {
        let of = |source: &str| swapped(&room.path(source));
        let seal = |name: &str, statement: &_| match name.split_once('.') {
            Some((_, "mp4" | "mkv")) => room.video(name, 3, statement),
            _ => room.picture(name, 24, statement),
        };
        seal(source, &rendered());
        let sealed = seal(output, &of(source));
        assert!(sealed.unread.is_empty());
        let report = room.inspect(output);
        assert_eq!(report.verdict, Verdict::Whole, "{report:#?}");
        assert_eq!(report.remarks, [], "{source}");
        let parent = report.credentials.unwrap().ingredients.remove(0);
        assert_eq!(parent.verdict, Verdict::Whole, "{source}");
        assert_eq!(parent.title.as_deref(), Some(source));
        assert_eq!(parent.relation, "parentOf");

        // A source that somebody changed stays a source that somebody changed.
        let path = room.path(source);
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.len() - 40;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes).unwrap();
        assert_eq!(room.inspect(source).verdict, Verdict::Broken);
        seal(output, &of(source));
        let report = room.inspect(output);
        assert_eq!(report.verdict, Verdict::Whole, "{report:#?}");
        assert_eq!(report.remarks, [], "{source}");
        let parent = report.credentials.unwrap().ingredients.remove(0);
        assert_eq!(parent.verdict, Verdict::Broken, "{source}");
    }
}

#[test]
fn a_sidecar_belongs_to_its_file() {
    let room = Room::new();
    room.video("a.mkv", 3, &rendered());
    assert_eq!(room.inspect("a.mkv").verdict, Verdict::Whole);
    // Written anew, both are replaced.
    room.video("a.mkv", 4, &rendered());
    assert_eq!(room.inspect("a.mkv").verdict, Verdict::Whole);
    // Of another file's credentials nothing is overwritten.
    std::fs::rename(room.path("a.mkv"), room.path("b.avi")).unwrap();
    let taken = Sealer::check(&room.path("a.mkv"));
    assert!(
        matches!(taken, Err(Error::SidecarTaken { .. })),
        "{taken:?}"
    );
    std::fs::rename(room.path("b.avi"), room.path("a.mkv")).unwrap();
    let mut bytes = std::fs::read(room.path("a.mkv")).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(room.path("a.mkv"), bytes).unwrap();
    assert_eq!(room.inspect("a.mkv").verdict, Verdict::Broken);
    std::fs::write(room.path("a.c2pa"), "no credentials").unwrap();
    assert_eq!(room.inspect("a.mkv").verdict, Verdict::Broken);
    std::fs::remove_file(room.path("a.c2pa")).unwrap();
    assert_eq!(room.inspect("a.mkv").verdict, Verdict::None);
}

#[test]
fn what_cannot_be_sealed_leaves_nothing() {
    let room = Room::new();
    let picture = noise(Size::square(8), 1);
    for name in ["a.bmp", "a.webp", "a", "a.mp4"] {
        let refused = room
            .sealer
            .seal_picture(&picture, &room.path(name), &rendered());
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::CannotHold { .. }), "{name}: {error}");
        assert!(error.hint().is_some());
    }
    // The source is gone.
    let statement = swapped(&room.path("none.png"));
    let refused = room
        .sealer
        .seal_picture(&picture, &room.path("a.png"), &statement);
    assert!(
        matches!(refused, Err(Error::Credentials { .. })),
        "{refused:?}"
    );
    let nowhere = room.path("none").join("a.png");
    let refused = room.sealer.seal_picture(&picture, &nowhere, &rendered());
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    assert!(room.names().is_empty(), "{:?}", room.names());
}

#[test]
fn files_without_credentials_say_nothing() {
    let room = Room::new();
    let png = stockpot_core::picture::to_png(&noise(Size::square(8), 1)).unwrap();
    let (part, _) = room.unsealed("x.mp4", 3, OutputCodec::Auto);
    let video = std::fs::read(part.path()).unwrap();
    for (name, bytes) in [
        ("a.png", &png[..]),
        ("b.mp4", &video),
        ("c.txt", b"text"),
        ("d.mkv", b""),
    ] {
        std::fs::write(room.path(name), bytes).unwrap();
        let report = room.inspect(name);
        assert_eq!(report.verdict, Verdict::None, "{report:#?}");
        assert_eq!(report.credentials, None);
    }
    assert!(matches!(
        room.inspector.inspect(Path::new("none.png")),
        Err(Error::Io { .. })
    ));
    assert!(matches!(
        room.inspector.inspect(&room.path("")),
        Err(Error::Io { .. })
    ));
}

#[test]
fn a_still_of_a_page_is_sealed() {
    let room = Room::new();
    let picture = noise(Size::square(16), 2);
    let bytes = room
        .sealer
        .seal_jpeg(&picture, 88, "frame 3", &rendered())
        .unwrap();
    std::fs::write(room.path("still.jpg"), &bytes).unwrap();
    assert_eq!(room.inspect("still.jpg").verdict, Verdict::Whole);
    assert_eq!(
        stockpot_core::picture::load(&room.path("still.jpg"))
            .unwrap()
            .size(),
        picture.size()
    );
}
