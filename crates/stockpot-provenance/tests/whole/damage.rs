//! Files that somebody has been at: every changed byte is found, and nothing crashes.

use stockpot_core::Rng;
use stockpot_provenance::{FaultKind, Verdict};

use crate::tools::{Room, rendered, swapped};

/// Bytes changed in each file; `STOCKPOT_TEST_FLIPS=2000` for a thorough look.
fn flips() -> u64 {
    let told = std::env::var("STOCKPOT_TEST_FLIPS").ok();
    told.map_or(150, |n| n.parse().unwrap())
}

#[test]
fn a_changed_byte_is_found() {
    let room = Room::new();
    room.picture("a.png", 24, &rendered());
    room.picture("b.jpg", 48, &rendered());
    room.video("c.mp4", 6, &rendered());
    room.video("d.mov", 6, &rendered());
    room.video("e.mkv", 6, &rendered());
    for name in ["a.png", "b.jpg", "c.mp4", "d.mov", "e.mkv"] {
        let whole = std::fs::read(room.path(name)).unwrap();
        let mut rng = Rng::stream(11, "flips", whole.len() as u64);
        let (mut broken, mut none, mut missed) = (0, 0, Vec::new());
        for _ in 0..flips() {
            let at = (rng.next_u64() % whole.len() as u64) as usize;
            let change = (rng.next_u64() % 255) as u8 + 1;
            let mut bytes = whole.clone();
            bytes[at] ^= change;
            std::fs::write(room.path(name), &bytes).unwrap();
            match room.inspect(name).verdict {
                Verdict::Broken => broken += 1,
                Verdict::None => none += 1,
                Verdict::Whole => missed.push((at, change)),
            }
        }
        println!(
            "{name}: {} bytes, {broken} found broken, {none} without credentials, {} missed",
            whole.len(),
            missed.len()
        );
        assert_eq!(missed, [], "{name}");
        std::fs::write(room.path(name), &whole).unwrap();
        assert_eq!(room.inspect(name).verdict, Verdict::Whole);
    }
}

#[test]
fn a_changed_byte_has_a_sentence() {
    let room = Room::new();
    room.picture("a.png", 24, &rendered());
    room.picture("b.jpg", 48, &rendered());
    room.video("c.mp4", 6, &rendered());
    for (name, code, behind) in [
        ("a.png", "assertion.dataHash.mismatch", &b"IDAT"[..]),
        // The start of the picture itself: its head has 12 bytes for three channels.
        ("b.jpg", "assertion.dataHash.mismatch", b"\xff\xda"),
        ("c.mp4", "assertion.bmffHash.mismatch", b"mdat"),
    ] {
        assert_eq!(room.inspect(name).remarks, [], "{name}");
        let mut bytes = std::fs::read(room.path(name)).unwrap();
        let there = bytes.windows(behind.len()).rposition(|w| w == behind);
        bytes[there.unwrap() + behind.len() + 30] ^= 0x11;
        std::fs::write(room.path(name), &bytes).unwrap();
        let report = room.inspect(name);
        assert_eq!(report.verdict, Verdict::Broken, "{name}");
        let fault = report.faults.iter().find(|f| f.code == code);
        let fault = fault.unwrap_or_else(|| panic!("{name}: {:?}", report.faults));
        assert_eq!(fault.kind, FaultKind::ContentChanged, "{name}");
        assert_eq!(fault.sentence, "The file was changed after it was signed.");
    }
    // Of changed credentials the sentence is another.
    room.picture("d.png", 24, &rendered());
    let mut bytes = std::fs::read(room.path("d.png")).unwrap();
    let said = b"Rendered by a test";
    let there = bytes.windows(said.len()).position(|w| w == said).unwrap();
    bytes[there] = b'S';
    std::fs::write(room.path("d.png"), &bytes).unwrap();
    let report = room.inspect("d.png");
    let kinds: Vec<_> = report.faults.iter().map(|f| f.kind).collect();
    assert!(
        kinds.contains(&FaultKind::CredentialsChanged),
        "{report:#?}"
    );
    assert!(!kinds.contains(&FaultKind::ContentChanged), "{report:#?}");
    // Where the credentials of the source were changed, it is said of the source.
    room.picture("e.png", 24, &rendered());
    room.picture("f.png", 24, &swapped(&room.path("e.png")));
    let mut bytes = std::fs::read(room.path("f.png")).unwrap();
    let there = bytes.windows(said.len()).position(|w| w == said).unwrap();
    bytes[there] = b'S';
    std::fs::write(room.path("f.png"), &bytes).unwrap();
    let report = room.inspect("f.png");
    assert_eq!(report.verdict, Verdict::Broken);
    let of_source = |f: &&stockpot_provenance::Fault| f.kind == FaultKind::Ingredient;
    let fault = report.faults.iter().find(of_source);
    let fault = fault.unwrap_or_else(|| panic!("{:?}", report.faults));
    assert!(
        fault.sentence.contains("something the file was made from"),
        "{fault:?}"
    );
}

#[test]
fn a_changed_label_is_found() {
    let room = Room::new();
    room.video("a.mov", 3, &rendered());
    let whole = std::fs::read(room.path("a.mov")).unwrap();
    // The store's own description, which nobody signs and other readers hardly look at.
    let at = whole.windows(4).position(|w| w == b"jumd").unwrap();
    for at in at..at + 26 {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        std::fs::write(room.path("a.mov"), &bytes).unwrap();
        assert_ne!(room.inspect("a.mov").verdict, Verdict::Whole, "{at}");
    }
}

#[test]
fn nonsense_is_an_answer() {
    let room = Room::new();
    room.picture("a.png", 24, &rendered());
    room.picture("b.jpg", 48, &rendered());
    room.video("c.mp4", 4, &rendered());
    room.video("d.mkv", 4, &rendered());
    let sidecar = std::fs::read(room.path("d.c2pa")).unwrap();
    let mut tried = 0;
    for name in ["a.png", "b.jpg", "c.mp4", "d.c2pa"] {
        let whole = std::fs::read(room.path(name)).unwrap();
        let mut rng = Rng::stream(12, "nonsense", whole.len() as u64);
        for round in 0..flips() * 2 {
            let mut bytes = whole.clone();
            let place =
                |rng: &mut Rng, length: usize| (rng.next_u64() % length.max(1) as u64) as usize;
            match round % 4 {
                0 => bytes.truncate(place(&mut rng, whole.len())),
                1 => {
                    for _ in 0..16 {
                        let at = place(&mut rng, whole.len());
                        bytes[at] = rng.next_u64() as u8;
                    }
                }
                2 => {
                    let (from, to) = (place(&mut rng, whole.len()), place(&mut rng, whole.len()));
                    bytes.drain(from.min(to)..from.max(to));
                }
                _ => {
                    // Lengths stand in four bytes: one of them gets very large.
                    let at = place(&mut rng, whole.len() - 4);
                    bytes[at..at + 4].copy_from_slice(&[0xff, 0xff, 0xff, 0xf0]);
                }
            }
            std::fs::write(room.path(name), &bytes).unwrap();
            let asked = if name == "d.c2pa" { "d.mkv" } else { name };
            let verdict = room.inspect(asked).verdict;
            assert!(
                verdict != Verdict::Whole || bytes == whole,
                "{name} round {round}"
            );
            tried += 1;
        }
    }
    println!("{tried} broken files, no crash");
    std::fs::write(room.path("d.c2pa"), sidecar).unwrap();
    assert_eq!(room.inspect("d.mkv").verdict, Verdict::Whole);
}
