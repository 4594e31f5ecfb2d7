//! A drawn face with made-up landmarks, for tests: no picture of a person is needed.

use std::path::Path;

use stockpot_core::face::{LANDMARKS, LEFT_EYE, LIPS, OVAL, RIGHT_EYE};
use stockpot_core::image::Size;
use stockpot_core::space::{Affine, Face, Frame, Point};
use stockpot_core::{FaceLandmarks, PersonName, Pose, Rgb8, TimeBase, Timestamp};

use crate::record::{Reason, SourceInfo};
use crate::settings::WriterSettings;
use crate::writer::{FacesetWriter, NewFace, WriteSummary, cut_crop};

pub(crate) const FRAME: Size = Size::new(320, 240);

/// A face upright in the middle of a frame, 60 px to the unit.
pub(crate) fn face_from_frame() -> Affine<Face, Frame> {
    Affine::scale_then_shift(1.0 / 60.0, -160.0 / 60.0 + 0.49, -120.0 / 60.0 + 0.42)
}

/// Where the landmarks of the drawn face lie, in face units.
pub(crate) fn landmarks_in_face() -> Vec<Point<Face>> {
    let mut points = vec![Point::new(0.49, 0.5); LANDMARKS];
    let mut ring = |indices: &[usize], centre: (f64, f64), radius: (f64, f64)| {
        for (i, index) in indices.iter().enumerate() {
            let angle = i as f64 / indices.len() as f64 * std::f64::consts::TAU;
            let (sin, cos) = angle.sin_cos();
            points[*index] = Point::new(centre.0 + radius.0 * sin, centre.1 - radius.1 * cos);
        }
    };
    ring(&OVAL, (0.49, 0.42), (0.6, 0.75));
    ring(&LEFT_EYE, (0.2256, 0.2163), (0.1, 0.05));
    ring(&RIGHT_EYE, (0.755, 0.2163), (0.1, 0.05));
    ring(&LIPS, (0.49, 0.78), (0.22, 0.09));
    points
}

pub(crate) fn landmarks() -> FaceLandmarks {
    let frame_from_face = face_from_frame().inverse().unwrap();
    let points = landmarks_in_face()
        .into_iter()
        .map(|p| frame_from_face.apply(p))
        .map(|p| [p.x as f32, p.y as f32, 0.0])
        .collect();
    FaceLandmarks::new(points).unwrap()
}

/// A frame with gradients and a pattern that depends on `number`.
pub(crate) fn frame(number: u32) -> Rgb8 {
    let mut frame = Rgb8::new(FRAME);
    for y in 0..FRAME.height {
        for x in 0..FRAME.width {
            let wave = ((x * 7 + number * 13) as f32 / 40.0).sin() * ((y * 5) as f32 / 30.0).cos();
            frame.set_pixel(
                x,
                y,
                [
                    (x * 255 / 319) as u8,
                    (y * 255 / 239) as u8,
                    (wave * 90.0 + 128.0) as u8,
                ],
            );
        }
    }
    frame
}

pub(crate) fn name(text: &str) -> PersonName {
    text.parse().unwrap()
}

pub(crate) fn source(name: &str) -> SourceInfo {
    SourceInfo {
        name: name.into(),
        bytes: 1000,
    }
}

/// A writer of small crops for person `anna`.
pub(crate) fn writer(folder: &Path, source: &SourceInfo) -> FacesetWriter {
    FacesetWriter::begin(folder, &name("anna"), source, &WriterSettings::default()).unwrap()
}

/// Adds the drawn face of frame `number` (25 frames a second).
pub(crate) fn add(writer: &mut FacesetWriter, number: u32, rejected: Option<Reason>) {
    let (crop, _) = cut_crop(
        &frame(number),
        &face_from_frame(),
        &WriterSettings::default(),
    )
    .unwrap();
    let mut embedding = [0.1; 128];
    embedding[0] = number as f32 * 0.01;
    writer
        .add(NewFace {
            frame_index: u64::from(number),
            time: Timestamp {
                ticks: i64::from(number),
                base: TimeBase { num: 1, den: 25 },
            },
            face_from_frame: face_from_frame(),
            landmarks: &landmarks(),
            pose: Pose {
                yaw_rad: number as f32 * 0.01 - 0.2,
                pitch_rad: 0.05,
                roll_rad: 0.0,
            },
            sharpness: (50.0 + number as f32) / 1000.0,
            score: 0.9,
            track: 1,
            embedding: Some(&embedding),
            rejected,
            crop: Some(crop),
        })
        .unwrap();
}

/// A faceset of `count` frames of one source.
pub(crate) fn faceset(folder: &Path, count: u32) -> WriteSummary {
    let mut writer = writer(folder, &source("clip.mp4"));
    for number in 0..count {
        add(&mut writer, number, None);
    }
    writer.finish().unwrap()
}
