//! The faces a stock learns from: groups of made-up people who all play the same moments.
//!
//! Stored as an ordinary faceset, aligned by the renderer's exact landmarks. Start with
//! [`Strangers::open`].

use std::path::Path;
use std::sync::Arc;

use rayon::prelude::*;
use stockpot_core::image::Size;
use stockpot_core::time::{TimeBase, Timestamp};
use stockpot_core::{Area, FaceLandmarks, PersonName, Pose, Progress, Rng};
use stockpot_faceset::{
    FaceCache, Faceset, FacesetWriter, NewFace, SourceInfo, WriterSettings, cut_crop,
};
use stockpot_jobs::{Context, JobError};
use stockpot_model::Family;
use stockpot_synth::assets::HeadData;
use stockpot_synth::{Moment, OccluderKind, Performance, Person, Sensor, draw};

/// People of a group: each moment is seen played by all of them.
pub(super) const GROUP: usize = 8;
/// Moments of a group.
pub(super) const MOMENTS: usize = 40;
/// The last moments of a group are never learned from.
pub(super) const HELD_OUT: usize = 2;
/// Side of a drawn frame in pixels: a face fills about 128 of them.
const FRAME: u32 = 256;
/// How often something is held or worn in front of the face.
const OCCLUDED: f32 = 0.08;
/// How often the camera is a poor one.
const POOR_CAMERA: f32 = 0.4;

/// All of them, ready to be sampled.
pub(super) struct Strangers {
    pub(super) cache: Arc<FaceCache>,
    pub(super) people: usize,
    /// Index into the cache by person and moment.
    places: Vec<u32>,
}

impl Strangers {
    /// The faces in `folder`, drawn first if they are not there. The seed decides who they are.
    pub(super) fn open(
        ctx: &Context,
        head: &HeadData,
        family: Family,
        people: usize,
        folder: &Path,
    ) -> Result<Self, JobError> {
        let people = people.next_multiple_of(GROUP);
        let name: PersonName = "strangers"
            .parse()
            .map_err(|e| JobError::failed(format!("A name cannot be used: {e}")))?;
        let faces = folder.join("faces");
        let source = SourceInfo {
            name: format!(
                "{people} strangers of seed {}{}",
                ctx.seed,
                head.photos().map_or("", |_| ", photographed")
            ),
            bytes: people as u64,
        };
        let known = faces.exists() && {
            let faceset = Faceset::open(&faces)?;
            let sources = faceset.sources();
            if let Some(other) = sources.iter().find(|s| s.info != source) {
                return Err(JobError::usage(format!(
                    "There are other people in {}: {}",
                    faces.display(),
                    other.info.name
                ))
                .with_hint("say another folder with `--work DIR`"));
            }
            !sources.is_empty()
        };
        if !known {
            film(ctx, head, people, &faces, &name, &source)?;
        }
        let faceset = Faceset::open(&faces)?;
        let (cache, _) = FaceCache::open_or_build(
            &faceset,
            Area::Face,
            family.resolution(),
            &folder.join("cache"),
            &*ctx.progress,
            &ctx.cancel,
        )?;
        let mut places = vec![u32::MAX; people * MOMENTS];
        for at in 0..cache.len() {
            let number = faceset.records()[cache.record_of(at)].frame_index as usize;
            if let Some(place) = places.get_mut(number) {
                *place = at as u32;
            }
        }
        if places.contains(&u32::MAX) {
            return Err(JobError::failed("Some of the strangers' faces are missing")
                .with_hint(format!("delete {} and begin again", folder.display())));
        }
        Ok(Self {
            cache: Arc::new(cache),
            people,
            places,
        })
    }

    /// The face of a person at a moment of their group.
    pub(super) fn face(&self, person: usize, moment: usize) -> usize {
        self.places[person * MOMENTS + moment] as usize
    }
}

/// What is played at a moment of a group.
fn moment(seed: u64, group: usize, number: usize) -> Moment {
    let place = (group * MOMENTS + number) as u64;
    let mut rng = Rng::stream(seed, "stock moments", place);
    let performance = Performance {
        seed: rng.next_u64(),
    };
    let time = rng.range(0.0, 20.0);
    if !rng.chance(OCCLUDED) {
        return performance.at(time);
    }
    let kinds = [
        OccluderKind::Hand,
        OccluderKind::Glasses,
        OccluderKind::Microphone,
    ];
    performance
        .with_occluder(kinds[rng.below(kinds.len())])
        .at(time)
}

/// The camera of a moment: mostly a clean one.
fn sensor(seed: u64, place: u64) -> Sensor {
    let mut rng = Rng::stream(seed, "stock cameras", place);
    if !rng.chance(POOR_CAMERA) {
        return Sensor::NONE;
    }
    Sensor {
        noise_levels: rng.range(0.0, 6.0),
        blur_px: rng.range(0.0, 1.2),
        jpeg_quality: rng.chance(0.5).then(|| 50 + rng.below(45) as u8),
    }
}

fn film(
    ctx: &Context,
    head: &HeadData,
    people: usize,
    folder: &Path,
    name: &PersonName,
    source: &SourceInfo,
) -> Result<(), JobError> {
    let settings = WriterSettings {
        crop_side: FRAME,
        ..WriterSettings::default()
    };
    // No time passes, so the faceset holds nothing out and drops nothing: that is done here by moment.
    let time = Timestamp {
        ticks: 0,
        base: TimeBase { num: 1, den: 1 },
    };
    let mut writer = FacesetWriter::begin(folder, name, source, &settings)?;
    ctx.progress.send(Progress::Phase {
        name: "draw strangers",
        total: (people * MOMENTS) as u64,
    });
    for person in 0..people {
        if ctx.cancel.is_cancelled() {
            return Err(JobError::cancelled("Stopped while drawing strangers"));
        }
        let seed = Rng::stream(ctx.seed, "stock people", person as u64).next_u64();
        let who = Person::new(head, seed);
        let drawn = (0..MOMENTS).into_par_iter().map(|number| {
            let moment = moment(ctx.seed, person / GROUP, number);
            let place = (person * MOMENTS + number) as u64;
            let mut drawn = draw(head, &who, &moment, Size::square(FRAME))
                .map_err(|e| JobError::failed(format!("A face cannot be drawn: {e}")))?;
            sensor(ctx.seed, place)
                .apply(&mut drawn.rgb, ctx.seed, place)
                .map_err(|e| JobError::failed(e.to_string()))?;
            drawn.landmarks.sort_by_key(|l| l.facemesh);
            let points = drawn.landmarks.iter();
            let points = points.map(|l| [l.place.x as f32, l.place.y as f32, 0.0]);
            let landmarks = FaceLandmarks::new(points.collect())
                .map_err(|e| JobError::failed(e.to_string()))?;
            let aligned = landmarks
                .face_from_frame()
                .map_err(|e| JobError::failed(e.to_string()))?;
            let (crop, _) = cut_crop(&drawn.rgb, &aligned, &settings)?;
            let [yaw_rad, pitch_rad, roll_rad] = moment.turn_rad;
            let pose = Pose {
                yaw_rad,
                pitch_rad,
                roll_rad,
            };
            Ok((place, aligned, landmarks, pose, crop))
        });
        for (place, face_from_frame, landmarks, pose, crop) in
            drawn.collect::<Result<Vec<_>, JobError>>()?
        {
            writer.add(NewFace {
                frame_index: place,
                time,
                face_from_frame,
                landmarks: &landmarks,
                pose,
                sharpness: 1.0,
                score: 1.0,
                track: 0,
                embedding: None,
                rejected: None,
                crop: Some(crop),
            })?;
        }
        ctx.progress.send(Progress::Step {
            done: ((person + 1) * MOMENTS) as u64,
            note: String::new(),
        });
    }
    writer.finish()?;
    Ok(())
}
