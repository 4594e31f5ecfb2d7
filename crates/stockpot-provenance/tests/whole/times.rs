//! Time stamps: asked for, checked, shown, and missed.

use std::path::Path;
use std::time::{Duration, Instant};

use stockpot_core::{Rng, Size};
use stockpot_media::OutputCodec;
use stockpot_provenance::{
    Error, Identity, Inspector, Known, Report, Sealer, TimeAuthority, TimeNote, Verdict,
};

use crate::authority::{Authority, For, Manner};
use crate::tools::{Room, noise, rendered};

fn stamped(room: &Room, authority: &Authority) -> Result<Sealer, Error> {
    let service = TimeAuthority::new(&authority.address).unwrap();
    room.sealer.clone().stamped_by(service)
}

fn time_of(report: &Report) -> (Option<String>, Option<TimeNote>) {
    let signer = report.credentials.clone().unwrap().signer.unwrap();
    (signer.time, signer.time_by)
}

/// An inspector that knows the authority's root.
fn knowing(room: &Room, authority: &Authority) -> Inspector {
    let folder = room.identity();
    std::fs::create_dir_all(folder.join("trusted")).unwrap();
    std::fs::write(folder.join("trusted/time.pem"), &authority.root).unwrap();
    Inspector::new(&folder).unwrap()
}

#[test]
fn every_format_holds_a_stamp_and_tells_whose_it_is() {
    let (mut room, authority) = (Room::new(), Authority::new(For::TimeStamps));
    room.picture("none.png", 24, &rendered());
    assert_eq!(time_of(&room.inspect("none.png")), (None, None));
    room.sealer = stamped(&room, &authority).unwrap();
    assert_eq!(authority.asked(), 1, "once before the work");
    room.picture("a.png", 24, &rendered());
    room.picture("b.jpg", 48, &rendered());
    room.video("c.mp4", 4, &rendered());
    room.video("d.mov", 4, &rendered());
    room.video("e.mkv", 4, &rendered());
    assert_eq!(authority.asked(), 6, "once for every output");
    let knowing = knowing(&room, &authority);
    for name in ["a.png", "b.jpg", "c.mp4", "d.mov", "e.mkv"] {
        let report = room.inspect(name);
        assert_eq!(report.verdict, Verdict::Whole, "{name}: {report:#?}");
        let (time, by) = time_of(&report);
        assert!(time.unwrap().starts_with("20"), "{name}");
        let by = by.unwrap();
        assert_eq!(by.name.as_deref(), Some("Clock of the test"), "{name}");
        assert_eq!(by.known, Known::Unknown, "{name}");
        let report = knowing.inspect(&room.path(name)).unwrap();
        assert_eq!(report.verdict, Verdict::Whole, "{name}: {report:#?}");
        assert_eq!(time_of(&report).1.unwrap().known, Known::Listed, "{name}");
        let signer = report.credentials.unwrap().signer.unwrap();
        assert_eq!(signer.known, Known::Own, "{name}");
    }
    let added = |name: &str| std::fs::metadata(room.path(name)).unwrap().len();
    println!("a stamp adds {} bytes", added("a.png") - added("none.png"));
    assert!(added("a.png") - added("none.png") < 16_384);
}

#[test]
fn what_is_no_stamp_is_refused_before_the_work() {
    let (room, authority) = (Room::new(), Authority::new(For::TimeStamps));
    for (manner, says) in [
        (Manner::OtherNonce, "another question"),
        (Manner::OtherImprint, "does not fit what was sent"),
        (Manner::BadSignature, "no good time stamp"),
        (Manner::Rejects, "status 2: rejection"),
        (Manner::Endless, "more than 49152 bytes"),
        (Manner::Page, "text/html"),
        (Manner::Busy, "503"),
        (Manner::Moved, "302"),
        (Manner::Garbage, "no good time stamp"),
    ] {
        let before = authority.asked();
        authority.becomes(&[manner]);
        let error = match stamped(&room, &authority) {
            Ok(_) => panic!("{manner:?} was taken for a stamp"),
            Err(error) => error,
        };
        let Error::NoTimeStamp { reason, address } = &error else {
            panic!("{manner:?}: {error}");
        };
        assert!(reason.contains(says), "{manner:?}: {reason}");
        assert_eq!(address, &authority.address);
        assert!(error.hint().unwrap().contains("--time-stamp none"));
        assert_eq!(authority.asked(), before + 1, "{manner:?}: no second try");
    }
    let unfit = Authority::new(For::Mail);
    let Err(error) = stamped(&room, &unfit) else {
        panic!("a certificate for mail was taken");
    };
    assert!(
        error.to_string().contains("not one for time stamps"),
        "{error}"
    );
}

#[test]
fn nobody_there_is_told_at_once() {
    // A port that was free a moment ago.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}/", listener.local_addr().unwrap());
    drop(listener);
    let room = Room::new();
    let began = Instant::now();
    let service = TimeAuthority::new(&address).unwrap();
    let error = room.sealer.clone().stamped_by(service).unwrap_err();
    assert!(matches!(error, Error::NoTimeStamp { .. }), "{error}");
    assert!(error.to_string().contains("not reached"), "{error}");
    assert!(began.elapsed() < Duration::from_secs(5));
}

#[test]
fn an_output_without_its_stamp_is_none() {
    let (room, authority) = (Room::new(), Authority::new(For::TimeStamps));
    let sealer = stamped(&room, &authority).unwrap();
    authority.becomes(&[Manner::Rejects]);
    let picture = noise(Size::square(24), 1);
    let lost = sealer.seal_picture(&picture, &room.path("a.png"), &rendered());
    let error = lost.unwrap_err();
    assert!(matches!(error, Error::TimeStampLost { .. }), "{error}");
    assert!(error.to_string().contains("rejection"), "{error}");
    assert!(error.hint().unwrap().contains("--time-stamp none"));
    let (part, target) = room.unsealed("b.mkv", 3, OutputCodec::Auto);
    let lost = sealer.seal(part, &target, &rendered());
    assert!(matches!(lost, Err(Error::TimeStampLost { .. })), "{lost:?}");
    assert_eq!(room.names(), [""; 0]);
    // What passes by itself is waited for.
    let before = authority.asked();
    authority.becomes(&[Manner::Busy, Manner::Good]);
    sealer
        .seal_picture(&picture, &room.path("a.png"), &rendered())
        .unwrap();
    assert_eq!(authority.asked(), before + 2);
    assert!(time_of(&room.inspect("a.png")).0.is_some());
}

#[test]
fn a_changed_stamp_is_found() {
    let (mut room, authority) = (Room::new(), Authority::new(For::TimeStamps));
    room.sealer = stamped(&room, &authority).unwrap();
    room.picture("a.png", 24, &rendered());
    let path = room.path("a.png");
    let whole = std::fs::read(&path).unwrap();
    let place = |word: &[u8]| whole.windows(word.len()).position(|w| w == word).unwrap();
    let verdict = |bytes: &[u8]| {
        std::fs::write(&path, with_sums(bytes)).unwrap();
        room.inspect("a.png")
    };
    assert_eq!(verdict(&whole).verdict, Verdict::Whole);
    // The time that the authority signed.
    let stamp = place(b"tstTokens");
    let time = whole[stamp..].windows(4).position(|w| w == b"\x18\x0f20");
    let time = stamp + time.unwrap() + 2;
    for at in time..time + 14 {
        let mut bytes = whole.clone();
        bytes[at] ^= 1;
        let report = verdict(&bytes);
        assert_eq!(report.verdict, Verdict::Broken, "{at}");
        assert_eq!(report.faults[0].code, "stockpot.time.mismatch", "{at}");
        assert_eq!(time_of(&report), (None, None));
    }
    // Any byte of it: the certificates that it brings along are not under its signature.
    let begin = stamp;
    let end = place(b"\xf6\x58\x40");
    let mut rng = Rng::stream(13, "stamp", 0);
    let (mut tried, mut missed) = (0, 0);
    for _ in 0..200 {
        let at = begin + (rng.next_u64() % (end - begin) as u64) as usize;
        let mut bytes = whole.clone();
        bytes[at] ^= (rng.next_u64() % 255) as u8 + 1;
        tried += 1;
        missed += u32::from(verdict(&bytes).verdict == Verdict::Whole);
    }
    println!("{missed} of {tried} changes in the stamp and its padding passed unseen");
    assert!(missed < tried / 4, "{missed} of {tried}");
}

#[test]
fn a_stamp_of_another_file_is_none() {
    let (mut room, authority) = (Room::new(), Authority::new(For::TimeStamps));
    room.sealer = stamped(&room, &authority).unwrap();
    room.picture("a.png", 24, &rendered());
    room.picture("b.png", 24, &rendered());
    let [a, b] = ["a.png", "b.png"].map(|n| std::fs::read(room.path(n)).unwrap());
    // Everything between the name of the stamp and the signature, padding included.
    let part = |bytes: &[u8]| {
        let place = |word: &[u8]| bytes.windows(word.len()).position(|w| w == word).unwrap();
        place(b"tstTokens")..place(b"\xf6\x58\x40")
    };
    assert_eq!(part(&a).len(), part(&b).len(), "padded to one size");
    let mut swapped = a.clone();
    swapped[part(&a)].copy_from_slice(&b[part(&b)]);
    std::fs::write(room.path("a.png"), with_sums(&swapped)).unwrap();
    let report = room.inspect("a.png");
    assert_eq!(report.verdict, Verdict::Broken);
    assert_eq!(report.faults[0].code, "stockpot.time.mismatch");
}

#[test]
fn a_stamp_outlives_nothing_it_should_not() {
    // Taken off, the file says what it would have said without.
    let (mut room, authority) = (Room::new(), Authority::new(For::TimeStamps));
    room.sealer = stamped(&room, &authority).unwrap();
    let plain = Sealer::new(Identity::open(&room.identity(), None).unwrap());
    let picture = noise(Size::square(24), 1);
    plain
        .seal_picture(&picture, Path::new(&room.path("p.png")), &rendered())
        .unwrap();
    assert_eq!(
        authority.asked(),
        1,
        "a sealer without an authority asks nobody"
    );
    assert_eq!(time_of(&room.inspect("p.png")), (None, None));
}

/// A PNG with its checksums put right (W3C PNG, "CRC algorithm").
fn with_sums(png: &[u8]) -> Vec<u8> {
    let mut out = png.to_vec();
    let mut at = 8;
    while at + 12 <= out.len() {
        let length = u32::from_be_bytes(out[at..at + 4].try_into().unwrap()) as usize;
        let end = at + 8 + length;
        let mut crc = u32::MAX;
        for byte in &out[at + 4..end] {
            crc ^= u32::from(*byte);
            for _ in 0..8 {
                crc = if crc & 1 == 1 {
                    crc >> 1 ^ 0xedb8_8320
                } else {
                    crc >> 1
                };
            }
        }
        out[end..end + 4].copy_from_slice(&(!crc).to_be_bytes());
        at = end + 4;
    }
    out
}
