//! Video in and out, checked against the `ffmpeg` and `ffprobe` programs on clips made here.
//!
//! The worker is this crate's example `media_worker`, which `cargo test` builds beside the tests.

mod damage;
mod support;

use std::path::Path;
use std::process::Command;

use stockpot_core::{Rgb8, Size, TimeBase, picture};
use stockpot_media::{
    ALL_FRAMES, Error, Extent, FramePixels, Opener, Orientation, OutputCodec, OutputSettings,
    Preset, SourceKind, TrackKind, VideoWriter, Warning, open_direct, open_isolated, probe,
    probe_isolated,
};
use support::{
    audio_md5, convert, ffmpeg, first_frame, frame_values, frames, probe_packets, probe_stream,
    quick, scratch, worker,
};

/// Five seconds at a variable frame rate in units of 1/90000 s, with sound.
const VFR: &[&str] = &[
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=160x90:rate=60:duration=5",
    "-f",
    "lavfi",
    "-i",
    "sine=duration=5",
    "-vf",
    "select='not(mod(n,2))*lt(t,2)+gte(t,2)*lt(t,3)*not(mod(n,3))+gte(t,3)*not(mod(n*7+n*n,5))'",
    "-vsync",
    "vfr",
    "-video_track_timescale",
    "90000",
    "-c:v",
    "libx264",
    "-preset",
    "veryfast",
    "-c:a",
    "aac",
];

/// One second at 25 a second, 8 bits.
const PLAIN: &[&str] = &[
    "-f",
    "lavfi",
    "-i",
    "testsrc2=size=160x90:rate=25:duration=1",
    "-c:v",
    "libx264",
    "-preset",
    "veryfast",
    "-pix_fmt",
    "yuv420p",
];

// ---- four errors that libav makes silently: duration, rotation, level, colour

#[test]
fn the_last_frame_keeps_its_duration() {
    let Some(dir) = scratch() else { return };
    let clip = dir.make("plain.mp4", PLAIN);
    let vfr = dir.make("vfr.mp4", VFR);
    let number = |p: &Path, name: &str| -> i64 {
        let line = probe_stream(p, "v:0", name);
        line.trim().split_once('=').unwrap().1.parse().unwrap()
    };
    let out = dir.path("out.mp4");
    convert(&clip, &out, &quick(), &Opener::Here, ALL_FRAMES);
    for name in ["duration_ts", "nb_frames", "start_pts"] {
        assert_eq!(number(&out, name), number(&clip, name), "{name}");
    }
    // With a variable rate the source's own length is a difference of decoding times; what counts
    // is the end of the last frame, which is one sixtieth of a second (1500 ticks) long.
    convert(&vfr, &out, &quick(), &Opener::Here, ALL_FRAMES);
    let last = frames(&vfr).pop().unwrap();
    assert_eq!(last.duration_ticks, Some(1500));
    assert_eq!(number(&out, "duration_ts"), last.pts.ticks + 1500);
    assert_eq!(frames(&out).pop().unwrap().duration_ticks, Some(1500));
}

#[test]
fn rotation_survives_and_frames_are_upright() {
    let Some(dir) = scratch() else { return };
    // Stored: left half red, right half blue. A player turns it clockwise: red on top.
    let flat = dir.make(
        "flat.mp4",
        &[
            "-f",
            "lavfi",
            "-i",
            "color=red:size=32x48:duration=0.2",
            "-f",
            "lavfi",
            "-i",
            "color=blue:size=32x48:duration=0.2",
            "-filter_complex",
            "hstack",
            "-c:v",
            "libx264",
            "-pix_fmt",
            "yuv420p",
        ],
    );
    let turned = dir.path("turned.mp4");
    ffmpeg(&[
        "-i",
        flat.to_str().unwrap(),
        "-c",
        "copy",
        "-metadata:s:v",
        "rotate=270",
        turned.to_str().unwrap(),
    ]);
    let matrix = |p: &Path| probe_stream(p, "v:0", "side_data=displaymatrix,rotation");
    assert!(
        matrix(&turned).contains("rotation"),
        "the test clip has no rotation"
    );

    let info = probe(&turned).unwrap();
    assert_eq!(info.video.size, Size::new(48, 64));
    assert_eq!(
        info.video.orientation,
        Orientation {
            quarter_turns: 1,
            mirrored: false
        }
    );
    let upright = first_frame(&turned);
    let is_red_above_blue = |picture: &Rgb8| {
        let (top, bottom) = (picture.pixel(24, 4), picture.pixel(24, 60));
        top[0] > 200 && top[2] < 60 && bottom[2] > 200 && bottom[0] < 60
    };
    assert!(is_red_above_blue(&upright));

    let out = dir.path("out.mp4");
    convert(&turned, &out, &quick(), &Opener::Here, ALL_FRAMES);
    assert_eq!(matrix(&out), matrix(&turned));
    assert_eq!(
        probe_stream(&out, "v:0", "width,height"),
        "width=64\nheight=48\n"
    );
    assert!(is_red_above_blue(&first_frame(&out)));

    // Matroska has no matrix: upright pixels instead.
    let out = dir.path("out.mkv");
    convert(&turned, &out, &quick(), &Opener::Here, ALL_FRAMES);
    assert_eq!(
        probe_stream(&out, "v:0", "width,height"),
        "width=48\nheight=64\n"
    );
    assert!(is_red_above_blue(&first_frame(&out)));
}

#[test]
fn a_fine_time_base_does_not_raise_the_level() {
    let Some(dir) = scratch() else { return };
    let source = dir.make("vfr.mp4", VFR);
    assert!(probe_stream(&source, "v:0", "time_base").contains("1/90000"));
    for codec in [OutputCodec::H264, OutputCodec::Hevc] {
        let out = dir.path("out.mp4");
        let settings = OutputSettings { codec, ..quick() };
        convert(&source, &out, &settings, &Opener::Here, ALL_FRAMES);
        let level: i32 = probe_stream(&out, "v:0", "level")
            .trim()
            .trim_start_matches("level=")
            .parse()
            .unwrap();
        // 160x90 at under 60 a second: H.264 level 1.1 to 1.3; HEVC (in thirtieths) level 2.
        let most = if codec == OutputCodec::H264 { 13 } else { 63 };
        assert!(level <= most, "{codec:?} level {level}");
    }
}

/// Readers find a packet's duration from the stream's own header; x264 given a fine time base writes
/// none that they believe.
#[test]
fn a_constant_rate_gives_every_packet_its_duration() {
    let Some(dir) = scratch() else { return };
    let clip = [
        "-f",
        "lavfi",
        "-i",
        "testsrc2=size=160x90:rate=25:duration=1",
    ];
    let fine = ["-video_track_timescale", "90000", "-pix_fmt", "yuv420p"];
    let source = dir.make("fine.mp4", &[&clip[..], &fine[..]].concat());
    assert!(probe(&source).unwrap().video.is_constant_rate);
    for codec in [OutputCodec::H264, OutputCodec::Hevc] {
        let out = dir.path("out.mp4");
        let settings = OutputSettings { codec, ..quick() };
        convert(&source, &out, &settings, &Opener::Here, ALL_FRAMES);
        let sorted = |path| {
            let mut packets = probe_packets(path, "v:0", "pts,duration");
            packets.sort();
            packets
        };
        assert_eq!(sorted(&source).len(), 25);
        assert_eq!(sorted(&out), sorted(&source), "{codec:?}");
    }
}

#[test]
fn colour_tags_and_ten_bits_survive() {
    let Some(dir) = scratch() else { return };
    let source = dir.make("pq.mp4", &[
        "-f", "lavfi", "-i", "gradients=size=256x64:rate=25:duration=0.2:c0=black:c1=white:x0=0:y0=0:x1=255:y1=0:speed=0.00001,format=gbrp10",
        "-vf", "scale=out_color_matrix=bt2020,format=yuv420p10le",
        "-c:v", "libx265", "-preset", "veryfast", "-x265-params", "log-level=none", "-crf", "4",
        "-color_primaries", "bt2020", "-color_trc", "smpte2084", "-colorspace", "bt2020nc", "-color_range", "tv",
    ]);
    let info = probe(&source).unwrap();
    assert_eq!(
        (info.video.bit_depth, info.video.codec.as_str()),
        (10, "hevc")
    );
    let colour = info.video.colour;
    assert_eq!(
        (
            colour.primaries,
            colour.transfer,
            colour.matrix,
            colour.full_range
        ),
        (9, 16, 9, Some(false))
    );
    assert!(matches!(frames(&source)[0].pixels, FramePixels::Rgb16(_)));

    for codec in [OutputCodec::Auto, OutputCodec::H264] {
        let out = dir.path("out.mp4");
        let settings = OutputSettings {
            codec,
            crf: Some(4),
            ..quick()
        };
        convert(&source, &out, &settings, &Opener::Here, ALL_FRAMES);
        let tags = |p: &Path| {
            probe_stream(
                p,
                "v:0",
                "pix_fmt,color_range,color_space,color_transfer,color_primaries",
            )
        };
        assert_eq!(tags(&out), tags(&source), "{codec:?}");
        let name = if codec == OutputCodec::Auto {
            "hevc"
        } else {
            "h264"
        };
        assert_eq!(
            probe_stream(&out, "v:0", "codec_name"),
            format!("codec_name={name}\n")
        );
        // Ten bits are more than 256 steps only if none were lost on the way.
        let [before, after] = [&source, &out].map(|p| {
            let FramePixels::Rgb16(picture) = frames(p).swap_remove(0).pixels else {
                panic!("8 bits")
            };
            let worst: Vec<u16> = picture.row(32).iter().step_by(3).copied().collect();
            worst
        });
        let distinct = |row: &[u16]| row.iter().collect::<std::collections::BTreeSet<_>>().len();
        assert!(distinct(&after) > 100, "{}", distinct(&after));
        for (x, (a, b)) in before.iter().zip(&after).enumerate() {
            // 64 of 65536 is one step of ten bits.
            assert!(
                a.abs_diff(*b) < 64 * 6,
                "{codec:?} column {x}: {a} became {b}"
            );
        }
    }
}

// ---- times and tracks

#[test]
fn variable_times_and_sound_are_identical() {
    let Some(dir) = scratch() else { return };
    let source = dir.make("vfr.mp4", VFR);
    for (name, opener) in [
        ("here.mp4", Opener::Here),
        ("worker.mp4", Opener::Worker(worker())),
    ] {
        let out = dir.path(name);
        let written = convert(&source, &out, &quick(), &opener, ALL_FRAMES);
        assert_eq!(written.warnings, []);
        let times = |p: &Path| {
            let mut pts: Vec<i64> = probe_packets(p, "v", "pts")
                .iter()
                .map(|l| l.parse().unwrap())
                .collect();
            pts.sort_unstable();
            pts
        };
        assert!(times(&source).len() > 120);
        assert_eq!(times(&out), times(&source));
        assert_eq!(audio_md5(&out), audio_md5(&source));
        let sound = |p: &Path| probe_packets(p, "a", "pts,dts,duration,size");
        assert_eq!(sound(&out), sound(&source));
        assert!(!dir.path(&format!("{name}.part")).exists());
        assert!(!dir.path(&format!("{name}.video.part")).exists());
    }
}

#[test]
fn every_sound_and_subtitle_track_is_copied_or_named() {
    let Some(dir) = scratch() else { return };
    let text = dir.path("text.srt");
    std::fs::write(
        &text,
        "1\n00:00:00,100 --> 00:00:00,400\nHello\n\n2\n00:00:00,600 --> 00:00:00,900\nStock\n",
    )
    .unwrap();
    let inputs = |subtitles: &'static str| {
        vec![
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=64x64:rate=25:duration=1",
            "-f",
            "lavfi",
            "-i",
            "sine=440:duration=1",
            "-f",
            "lavfi",
            "-i",
            "sine=880:duration=1.2",
            "-i",
            text.to_str().unwrap(),
            "-map",
            "0",
            "-map",
            "1",
            "-map",
            "2",
            "-map",
            "3",
            "-c:v",
            "libx264",
            "-preset",
            "ultrafast",
            "-c:a",
            "aac",
            "-c:s",
            subtitles,
            "-metadata:s:a:0",
            "language=eng",
            "-metadata:s:a:1",
            "language=fra",
            "-metadata",
            "title=Soup",
        ]
    };
    let mp4 = dir.make("in.mp4", &inputs("mov_text"));
    let mkv = dir.make("in.mkv", &inputs("srt"));
    let kinds: Vec<TrackKind> = probe(&mkv).unwrap().tracks.iter().map(|t| t.kind).collect();
    assert_eq!(
        kinds,
        [TrackKind::Audio, TrackKind::Audio, TrackKind::Subtitle]
    );

    for (source, name) in [(&mp4, "out.mp4"), (&mkv, "out.mkv")] {
        let out = dir.path(name);
        let written = convert(
            source,
            &out,
            &quick(),
            &Opener::Worker(worker()),
            ALL_FRAMES,
        );
        assert_eq!(written.warnings, []);
        for stream in ["a:0", "a:1", "s:0"] {
            let bytes = |p: &Path| probe_packets(p, stream, "pts,size,data_hash");
            assert!(!bytes(source).is_empty());
            assert_eq!(bytes(&out), bytes(source), "{name} {stream}");
        }
        let languages: Vec<_> = probe(&out)
            .unwrap()
            .tracks
            .iter()
            .map(|t| t.language.clone())
            .collect();
        assert_eq!(languages[..2], [Some("eng".into()), Some("fra".into())]);
        let title = support::ffprobe(&[
            "-show_entries",
            "format_tags=title",
            "-of",
            "csv",
            out.to_str().unwrap(),
        ]);
        assert_eq!(title.trim(), "format,Soup");
    }

    // Subtitles as text do not fit into mp4: said, and everything else is there.
    let out = dir.path("fewer.mp4");
    let written = convert(&mkv, &out, &quick(), &Opener::Here, ALL_FRAMES);
    assert!(
        matches!(
            &written.warnings[..],
            [Warning::TrackDropped {
                track: 3,
                kind: TrackKind::Subtitle,
                ..
            }]
        ),
        "{:?}",
        written.warnings
    );
    assert_eq!(audio_md5(&out), audio_md5(&mkv));
}

#[test]
fn a_stretch_of_frames_takes_its_sound_along() {
    let Some(dir) = scratch() else { return };
    let source = dir.make("vfr.mp4", VFR);
    let all = frames(&source);
    for extent in [Extent::Part, Extent::Clip] {
        let out = dir.path("out.mp4");
        let settings = OutputSettings { extent, ..quick() };
        convert(&source, &out, &settings, &Opener::Here, 30..61);
        let zero = if extent == Extent::Clip {
            all[30].pts.ticks
        } else {
            0
        };
        let expected: Vec<i64> = all[30..61].iter().map(|f| f.pts.ticks - zero).collect();
        let found: Vec<i64> = frames(&out).iter().map(|f| f.pts.ticks).collect();
        assert_eq!(found, expected, "{extent:?}");
        // The packets of the source that begin between frame 30 and the end of frame 60.
        let (from, to) = (all[30].pts.secs(), all[61].pts.secs());
        let expected: Vec<String> = probe_packets(&source, "a", "pts_time,data_hash")
            .into_iter()
            .filter_map(|l| {
                let (time, hash) = l.split_once(',').unwrap();
                let time: f64 = time.parse().unwrap();
                (time >= from && time < to).then(|| hash.to_owned())
            })
            .collect();
        assert!(expected.len() > 10);
        assert_eq!(
            probe_packets(&out, "a", "data_hash"),
            expected,
            "{extent:?}"
        );
        let first_sound: f64 = probe_packets(&out, "a", "pts_time")[0].parse().unwrap();
        let first_picture = frames(&out)[0].pts.secs();
        assert!(
            (first_sound - first_picture).abs() < 0.03,
            "{first_sound} {first_picture}"
        );
    }
}

#[test]
fn an_odd_size_is_padded_and_said() {
    let Some(dir) = scratch() else { return };
    let source = dir.make(
        "odd.mkv",
        &[
            "-f",
            "lavfi",
            "-i",
            "testsrc2=size=66x48:rate=25:duration=0.2,format=yuv444p,crop=65:47:0:0:exact=1",
            "-c:v",
            "ffv1",
            "-pix_fmt",
            "yuv444p",
        ],
    );
    let out = dir.path("out.mp4");
    let written = convert(&source, &out, &quick(), &Opener::Here, ALL_FRAMES);
    let (from, to) = (Size::new(65, 47), Size::new(66, 48));
    assert!(
        written
            .warnings
            .contains(&Warning::PaddedToEven { from, to })
    );
    assert!(written.warnings.contains(&Warning::ChromaReduced {
        pixel_format: "yuv444p".into()
    }));
    let (before, after) = (first_frame(&source), first_frame(&out));
    assert_eq!(after.size(), to);
    // The repeated column looks like the one beside it.
    let far = |a: [u8; 3], b: [u8; 3]| a.iter().zip(b).map(|(a, b)| a.abs_diff(b)).max().unwrap();
    for y in 0..47 {
        assert!(far(after.pixel(65, y), after.pixel(64, y)) < 40, "row {y}");
    }
    assert!(far(before.pixel(3, 3), after.pixel(3, 3)) < 40);
}

// ---- colours

#[test]
fn colours_follow_the_matrix_and_range() {
    let Some(dir) = scratch() else { return };
    // Y, U, V as stored (8 bits), and what ITU-R BT.601, BT.709 and full range make of them:
    // R = 1.164 (Y-16) + 1.793 (V-128) for BT.709, 1.596 for BT.601;
    // B = 1.164 (Y-16) + 2.112 (U-128) for BT.709, 2.017 for BT.601; full range: Y + 1.402 (V-128).
    let cases = [
        ("smpte170m", "tv", [100u8, 110, 160], [149, 79, 61]),
        ("bt709", "tv", [100, 110, 160], [155, 85, 60]),
        ("smpte170m", "pc", [100, 110, 160], [145, 83, 68]),
        ("unspecified", "tv", [100, 110, 160], [149, 79, 61]),
    ];
    for (matrix, range, [y, u, v], expected) in cases {
        let format = "format=yuv420p";
        let draw = format!("nullsrc=size=64x64:duration=0.04,{format},geq=lum={y}:cb={u}:cr={v}");
        let mut args = vec![
            "-f",
            "lavfi",
            "-i",
            &draw,
            "-c:v",
            "libx264",
            "-qp",
            "0",
            "-color_range",
            range,
        ];
        if matrix != "unspecified" {
            args.extend(["-colorspace", matrix]);
        }
        let clip = dir.make("solid.mkv", &args);
        let found = first_frame(&clip).pixel(32, 32);
        for c in 0..3 {
            assert!(
                found[c].abs_diff(expected[c]) <= 2,
                "{matrix} {range}: {found:?}, wanted {expected:?}"
            );
        }
    }
}

#[test]
fn grey_steps_survive_there_and_back_without_drift() {
    let Some(dir) = scratch() else { return };
    let folder = dir.path("ramp");
    std::fs::create_dir(&folder).unwrap();
    let mut ramp = Rgb8::new(Size::new(512, 32));
    for y in 0..32 {
        for x in 0..512 {
            ramp.set_pixel(x, y, [(x / 2) as u8; 3]);
        }
    }
    picture::save(&ramp, &folder.join("ramp.png")).unwrap();
    let out = dir.path("ramp.mp4");
    let settings = OutputSettings {
        crf: Some(0),
        ..quick()
    };
    convert(&folder, &out, &settings, &Opener::Here, ALL_FRAMES);
    let after = first_frame(&out);
    let mut sum = 0i32;
    for x in 0..512 {
        for c in 0..3 {
            let difference = i32::from(after.pixel(x, 16)[c]) - (x / 2) as i32;
            assert!(
                difference.abs() <= 2,
                "column {x}, channel {c}: {difference}"
            );
            sum += difference;
        }
    }
    let mean = f64::from(sum) / 1536.0;
    assert!(mean.abs() < 0.5, "mean drift {mean}");
}

// ---- pictures

#[test]
fn a_folder_of_pictures_is_a_source_and_a_broken_one_is_skipped() {
    let Some(dir) = scratch() else { return };
    let folder = dir.path("pictures");
    std::fs::create_dir(&folder).unwrap();
    for n in [1u8, 2, 9, 10] {
        let grey = Rgb8::from_vec(Size::new(16, 16), vec![n * 20; 768]).unwrap();
        picture::save(&grey, &folder.join(format!("p{n}.png"))).unwrap();
    }
    std::fs::write(folder.join("p3.jpg"), b"not a picture").unwrap();
    std::fs::write(folder.join("notes.txt"), b"not meant").unwrap();

    let info = probe(&folder).unwrap();
    assert_eq!(info.kind, SourceKind::PictureFolder);
    assert_eq!(info.video.frame_count, Some(5));
    assert_eq!(info.video.time_base, TimeBase { num: 1, den: 25 });
    for opener in [Opener::Here, Opener::Worker(worker())] {
        let mut source = opener.open(&folder, ALL_FRAMES).unwrap();
        let found: Vec<_> = source.by_ref().map(Result::unwrap).collect();
        let seen: Vec<_> = found
            .iter()
            .map(|f| (f.index, f.pts.ticks, f.pixels.to_rgb8().pixel(0, 0)[0]))
            .collect();
        assert_eq!(seen, [(0, 0, 20), (1, 1, 40), (3, 3, 180), (4, 4, 200)]);
        let warnings = source.take_warnings();
        assert!(
            matches!(&warnings[..], [Warning::SkippedPicture { index: 2, reason }] if reason.contains("p3.jpg"))
        );
    }
    let one = folder.join("p9.png");
    assert_eq!(probe(&one).unwrap().kind, SourceKind::Picture);
    assert_eq!(frames(&one).len(), 1);

    let out = dir.path("out.mp4");
    assert_eq!(
        convert(&folder, &out, &quick(), &Opener::Here, ALL_FRAMES).frames,
        4
    );
    assert_eq!(
        frames(&out).iter().map(|f| f.pts.ticks).collect::<Vec<_>>(),
        [0, 1, 3, 4]
    );
}
