//! How fast samples can be made on this machine: draws a small faceset, caches it, and measures
//! one thread, the feeder, and the cache itself.
//!
//! `cargo run --release -p stockpot-faceset --example feed_rate -- [RESOLUTION] [WORKERS]`

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use stockpot_core::face::{LANDMARKS, LEFT_EYE, LIPS, OVAL, RIGHT_EYE};
use stockpot_core::space::{Affine, Face, Frame, Point};
use stockpot_core::{
    Area, CancelToken, FaceLandmarks, PersonName, Pose, Progress, Rgb8, Size, TimeBase, Timestamp,
};
use stockpot_faceset::{
    Batch, FaceCache, Faceset, FacesetWriter, Feeder, FeederSettings, NewFace, Sampler,
    SamplerSettings, SourceInfo, Split, WriterSettings, cut_crop,
};

const FACES: u32 = 200;
const BATCH: usize = 16;

fn main() -> Result<(), Box<dyn Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<u32>());
    let resolution = numbers.next().transpose()?.unwrap_or(96);
    let workers = numbers.next().transpose()?.unwrap_or(2);
    let dir = tempfile::tempdir()?;
    let person: PersonName = "drawn".parse()?;
    let folder = dir.path().join("drawn");

    let start = Instant::now();
    write_faces(&folder, &person)?;
    println!(
        "write     {:8.0} faces/s (frame to 512 px crop and record, one thread cuts)",
        rate(FACES, start)
    );

    let start = Instant::now();
    let faceset = Faceset::open(&folder)?;
    println!("open      {:8.0} records/s", rate(FACES, start));

    let start = Instant::now();
    let quiet = |_: Progress| {};
    let cache_folder = dir.path().join("cache");
    let (cache, report) = FaceCache::open_or_build(
        &faceset,
        Area::Face,
        resolution,
        &cache_folder,
        &quiet,
        &CancelToken::new(),
    )?;
    println!(
        "cache     {:8.0} faces/s, {} KB a face",
        rate(FACES, start),
        report.bytes / 1000 / cache.len() as u64
    );

    let cache = Arc::new(cache);
    let settings = SamplerSettings::default();
    let sampler = Sampler::new(Arc::clone(&cache), Split::Train, settings.clone(), 1)?;
    let mut one = Batch::new(0, 1, 1, resolution);
    let count = 4000;
    for round in 0..3 {
        let start = Instant::now();
        for n in 0..count {
            sampler.sample_into(u64::from(round * count + n), one.sample_mut(0, 0))?;
        }
        println!(
            "sample    {:8.0} samples/s on one thread at {resolution} px",
            rate(count, start)
        );
    }

    let other = Sampler::new(cache, Split::Train, settings, 2)?;
    let feeder_settings = FeederSettings {
        samples: BATCH,
        workers: workers as usize,
        ahead: 4,
        first: 0,
        cycle: 0,
    };
    let mut feeder = Feeder::new(vec![Arc::new(sampler), Arc::new(other)], &feeder_settings)?;
    let start = Instant::now();
    let batches = 200;
    for _ in 0..batches {
        let batch = feeder.next_batch()?;
        feeder.give_back(batch);
    }
    let samples = batches * 2 * BATCH as u32;
    println!(
        "feed      {:8.0} samples/s with {workers} workers",
        rate(samples, start)
    );
    Ok(())
}

fn rate(count: u32, start: Instant) -> f64 {
    f64::from(count) / start.elapsed().as_secs_f64()
}

fn write_faces(folder: &std::path::Path, person: &PersonName) -> Result<(), Box<dyn Error>> {
    let settings = WriterSettings::default();
    let source = SourceInfo {
        name: "drawn.mp4".into(),
        bytes: 1,
    };
    let mut writer = FacesetWriter::begin(folder, person, &source, &settings)?;
    // 240 px to the face unit in a frame of 1280 x 720.
    let face_from_frame = Affine::<Face, Frame>::scale_then_shift(
        1.0 / 240.0,
        -640.0 / 240.0 + 0.49,
        -360.0 / 240.0 + 0.42,
    );
    let landmarks = landmarks(&face_from_frame)?;
    let frame = frame();
    for number in 0..FACES {
        let (crop, _) = cut_crop(&frame, &face_from_frame, &settings)?;
        writer.add(NewFace {
            frame_index: u64::from(number),
            time: Timestamp {
                ticks: i64::from(number),
                base: TimeBase { num: 1, den: 25 },
            },
            face_from_frame,
            landmarks: &landmarks,
            pose: Pose {
                yaw_rad: number as f32 * 0.005 - 0.5,
                ..Pose::default()
            },
            sharpness: 0.05,
            score: 0.9,
            track: 1,
            embedding: Some(&[0.1; 128]),
            rejected: None,
            crop: Some(crop),
        })?;
    }
    writer.finish()?;
    Ok(())
}

fn frame() -> Rgb8 {
    let mut frame = Rgb8::new(Size::new(1280, 720));
    for y in 0..720 {
        for x in 0..1280 {
            let wave = (x as f32 / 9.0).sin() * (y as f32 / 7.0).cos() * 90.0 + 128.0;
            frame.set_pixel(x, y, [(x / 6) as u8, (y / 3) as u8, wave as u8]);
        }
    }
    frame
}

/// Outline, eyes and mouth as ellipses; all other points in the middle.
fn landmarks(face_from_frame: &Affine<Face, Frame>) -> Result<FaceLandmarks, Box<dyn Error>> {
    let frame_from_face = face_from_frame.inverse()?;
    let mut points = vec![[0.0f32; 3]; LANDMARKS];
    let mut put = |index: usize, x: f64, y: f64| {
        let p = frame_from_face.apply(Point::new(x, y));
        points[index] = [p.x as f32, p.y as f32, 0.0];
    };
    (0..LANDMARKS).for_each(|i| put(i, 0.49, 0.5));
    let rings: [(&[usize], [f64; 4]); 4] = [
        (&OVAL, [0.49, 0.42, 0.6, 0.75]),
        (&LEFT_EYE, [0.2256, 0.2163, 0.1, 0.05]),
        (&RIGHT_EYE, [0.755, 0.2163, 0.1, 0.05]),
        (&LIPS, [0.49, 0.78, 0.22, 0.09]),
    ];
    for (ring, [x, y, rx, ry]) in rings {
        for (i, index) in ring.iter().enumerate() {
            let angle = i as f64 / ring.len() as f64 * std::f64::consts::TAU;
            put(*index, x + rx * angle.sin(), y - ry * angle.cos());
        }
    }
    Ok(FaceLandmarks::new(points)?)
}
