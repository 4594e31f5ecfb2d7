//! The first pass over a video: every face of every frame, smoothed over its shot, and which of
//! them are the wanted person.
//!
//! Extraction and swapping both begin here and then read the video a second time: smoothing over a
//! shot and choosing a person need to know the whole clip. What is kept per face is its
//! landmarks (6 KB) and a few embeddings per track.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::{Path, PathBuf};

use stockpot_core::FaceLandmarks;
use stockpot_core::picture;
use stockpot_faces::identity::{self, Reason, Selection, TrackIdentity};
use stockpot_faces::smooth::{SmoothSettings, smooth_track};
use stockpot_faces::{Embedding, FaceModels, FaceTracker, Roi, TrackId, TrackSettings};
use stockpot_media::{FramePixels, MediaInfo, SourceKind, VideoFrame};

use crate::context::Context;
use crate::error::JobError;
use crate::frames::FramesAhead;

/// A face is recognised in every so many frames of its track, beginning with the first.
const EMBED_EVERY: usize = 15;
/// At most so many embeddings per track: enough for a stable mean.
const MAX_EMBEDDINGS: usize = 24;
/// Two embeddings of one person are nearer than this (the threshold of dlib's author).
pub(crate) const SAME_PERSON: f32 = stockpot_faces::embed::SAME_PERSON;

/// One face of one frame.
#[derive(Debug, Clone)]
pub struct FoundFace {
    /// Frame number in the source.
    pub frame: u64,
    /// The track it belongs to.
    pub track: TrackId,
    /// Smoothed landmarks in frame pixels.
    pub landmarks: FaceLandmarks,
    /// How sure the landmark network is (a logit).
    pub score: f32,
    /// How sharp it is at one fixed size, whatever its size in the frame.
    pub sharpness: f32,
    /// Its embedding, in the frames where one was made.
    pub embedding: Option<Embedding>,
}

/// All faces of a stretch of a source.
#[derive(Debug)]
pub struct Analysis {
    /// What is in the source.
    pub info: MediaInfo,
    /// Frames looked at.
    pub frames: u64,
    /// Frames with at least one face.
    pub frames_with_face: u64,
    /// All faces, by frame and track.
    pub faces: Vec<FoundFace>,
    /// What is known of each track's identity.
    pub identities: Vec<TrackIdentity>,
}

impl Analysis {
    /// The faces of some tracks by frame number; of several in one frame, the largest.
    pub(crate) fn by_frame(&self, tracks: &[TrackId]) -> BTreeMap<u64, &FoundFace> {
        let mut out: BTreeMap<u64, &FoundFace> = BTreeMap::new();
        for face in self.faces.iter().filter(|f| tracks.contains(&f.track)) {
            let size = |f: &FoundFace| f.landmarks.eye_distance_px();
            match out.get(&face.frame) {
                Some(other) if size(other) >= size(face) => {}
                _ => {
                    out.insert(face.frame, face);
                }
            }
        }
        out
    }

    /// The person seen in most frames, or with references the person that looks like them.
    pub(crate) fn choose(&self, references: &[Embedding]) -> Selection {
        if references.is_empty() {
            identity::largest_person(&self.identities)
        } else {
            identity::by_reference(references, &self.identities, SAME_PERSON)
        }
    }
}

/// Looks through a source.
///
/// # Errors
/// If the source cannot be read, or the user stopped the job.
pub fn run(
    ctx: &Context,
    models: &FaceModels,
    input: &Path,
    range: Range<u64>,
) -> Result<Analysis, JobError> {
    let mut source = FramesAhead::open(&ctx.opener(), input, range.clone())?;
    let info = source.info().clone();
    let total = info
        .video
        .frame_count
        .map_or(0, |n| n.min(range.end).saturating_sub(range.start));
    ctx.phase("find faces", total);
    // Pictures of a folder need not follow each other: each is looked at by itself.
    let settings = if info.kind == SourceKind::Video {
        TrackSettings::default()
    } else {
        TrackSettings {
            detect_every: 1,
            ..TrackSettings::default()
        }
    };
    let mut pass = Pass {
        tracker: FaceTracker::new(models, settings),
        embedder: models.embedder.clone(),
        faces: Vec::new(),
        seen: BTreeMap::new(),
    };
    let (mut frames, mut with_face) = (0, 0);
    loop {
        let next = source.next();
        // Before anything else: what was passed over at the end comes with the last answer.
        for warning in source.take_warnings() {
            ctx.warn(warning.to_string());
        }
        let Some(frame) = next? else { break };
        ctx.check_cancel()?;
        with_face += u64::from(pass.look(&frame)?);
        frames += 1;
        ctx.step(frames);
    }
    let identities = pass
        .seen
        .into_iter()
        .map(|(track, (frames, embeddings))| TrackIdentity {
            track,
            frames,
            embeddings,
        })
        .collect();
    let faces = smooth(pass.faces, &info)?;
    Ok(Analysis {
        info,
        frames,
        frames_with_face: with_face,
        faces,
        identities,
    })
}

/// A source without any face.
pub(crate) fn no_face(frames: u64, input: &Path) -> JobError {
    JobError::failed(format!(
        "No face found in the {frames} frames of {}",
        input.display()
    ))
    .with_hint("look whether the face is at least 60 pixels wide and turned to the camera")
}

struct Pass {
    tracker: FaceTracker,
    embedder: stockpot_faces::Embedder,
    faces: Vec<FoundFace>,
    seen: BTreeMap<TrackId, (usize, Vec<Embedding>)>,
}

impl Pass {
    /// Finds the faces of one frame; says whether there is one.
    fn look(&mut self, frame: &VideoFrame) -> Result<bool, JobError> {
        let shrunk;
        let pixels = match &frame.pixels {
            FramePixels::Rgb8(pixels) => pixels,
            FramePixels::Rgb16(pixels) => {
                shrunk = pixels.to_rgb8();
                &shrunk
            }
        };
        let found = self.tracker.push(pixels)?;
        let any = !found.faces.is_empty();
        for face in found.faces {
            let (count, embeddings) = self.seen.entry(face.track).or_default();
            let due = *count % EMBED_EVERY == 0 && embeddings.len() < MAX_EMBEDDINGS;
            let embedding = match due {
                true => Some(self.embedder.embed(pixels, &face.landmarks)?),
                false => None,
            };
            embeddings.extend(embedding);
            *count += 1;
            self.faces.push(FoundFace {
                frame: frame.index,
                track: face.track,
                landmarks: face.landmarks,
                score: face.score,
                sharpness: face.quality.sharpness,
                embedding,
            });
        }
        Ok(any)
    }
}

/// Smooths the landmarks of each track of a video; pictures stay as they are.
fn smooth(mut faces: Vec<FoundFace>, info: &MediaInfo) -> Result<Vec<FoundFace>, JobError> {
    if info.kind != SourceKind::Video {
        return Ok(faces);
    }
    let mut tracks: BTreeMap<TrackId, Vec<usize>> = BTreeMap::new();
    for (i, face) in faces.iter().enumerate() {
        tracks.entry(face.track).or_default().push(i);
    }
    for places in tracks.values() {
        let track: Vec<(u64, FaceLandmarks)> = places
            .iter()
            .map(|i| (faces[*i].frame, faces[*i].landmarks.clone()))
            .collect();
        let smoothed = smooth_track(&track, SmoothSettings::default())?;
        for (i, landmarks) in places.iter().zip(smoothed) {
            faces[*i].landmarks = landmarks;
        }
    }
    Ok(faces)
}

/// Embeddings of the largest face of each reference picture.
///
/// # Errors
/// If a picture cannot be read or shows no face.
pub(crate) fn references(
    models: &FaceModels,
    pictures: &[PathBuf],
) -> Result<Vec<Embedding>, JobError> {
    let mut detector = models.detector.clone();
    let mut landmarker = models.landmarker.clone();
    let mut embedder = models.embedder.clone();
    let mut out = Vec::new();
    for path in pictures {
        let frame = picture::load(path)?;
        let area = |d: &stockpot_faces::Detection| {
            (d.bounds[2] - d.bounds[0]) * (d.bounds[3] - d.bounds[1])
        };
        let largest = detector
            .detect(&frame, TrackSettings::default().min_detection_score)
            .into_iter()
            .max_by(|a, b| area(a).total_cmp(&area(b)))
            .ok_or_else(|| {
                JobError::failed(format!("No face found in {}", path.display()))
                    .with_hint("give a picture in which the face is large and seen from the front")
            })?;
        let mesh = landmarker.look(&frame, &Roi::from_detection(&largest))?;
        out.push(embedder.embed(&frame, &mesh.landmarks)?);
    }
    Ok(out)
}

/// What was decided about each track, in words for the user.
pub(crate) fn explain(ctx: &Context, selection: &Selection) {
    let rejected: Vec<_> = selection
        .rejected
        .iter()
        .filter(|v| v.reason == Reason::OtherPerson)
        .collect();
    if !rejected.is_empty() {
        let frames: usize = rejected.iter().map(|v| v.frames).sum();
        ctx.info(format!(
            "{} track(s) with {frames} faces look like somebody else and are left out",
            rejected.len()
        ));
    }
    let unknown: usize = selection
        .rejected
        .iter()
        .filter(|v| v.reason == Reason::NothingToCompare)
        .map(|v| v.frames)
        .sum();
    if unknown > 0 {
        ctx.info(format!(
            "{unknown} faces could not be compared with anybody and are left out"
        ));
    }
}
