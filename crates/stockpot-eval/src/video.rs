//! Compares a swapped clip, whoever made it, with the truth, frame by frame.
//!
//! The face is found in the truth by our own tracker; what is compared lies inside its outline.
//! All clips are decoded in a child process: nobody vouches for them. Start with [`run`].

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Serialize;
use stockpot_convert::face_oval;
use stockpot_core::face::fill_polygon;
use stockpot_core::image::{Rgb8, Size};
use stockpot_core::{FaceLandmarks, Progress};
use stockpot_faces::{Embedder, FaceModels, identity};
use stockpot_jobs::{Context, JobError, analyse};
use stockpot_media::{ALL_FRAMES, FrameSource, Opener};

use crate::measure::{self, Score, Window};

/// Frames in which faces are recognised, spread over the clip.
const RECOGNISED: u64 = 24;
/// What the clip before the swap is called.
const SOURCE: &str = "source";

/// What to compare.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The swapped clip.
    pub result: PathBuf,
    /// What it should look like.
    pub truth: PathBuf,
    /// The clip before the swap: what copying would have given.
    pub source: Option<PathBuf>,
}

/// How far the clips are from the truth.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// Frames of each clip.
    pub frames: u64,
    /// Frames in whose truth a face was found: only these are compared.
    pub compared_frames: u64,
    /// The result, and the source if one was given.
    pub clips: Vec<ClipReply>,
}

/// One clip against the truth, inside the face. Means over frames.
#[derive(Debug, Clone, Serialize)]
pub struct ClipReply {
    /// `result`, or `source` for the clip before the swap.
    pub clip: &'static str,
    /// Mean absolute difference, 0 to 1.
    pub difference: f64,
    /// Structural similarity of the luminance, at most 1.
    pub ssim: f64,
    /// Peak signal-to-noise ratio.
    pub psnr_db: f64,
    /// Energy of fine detail over that of the truth.
    pub detail: f64,
    /// Mean absolute difference of what changes from frame to frame, in levels of 255; nothing
    /// where no two frames follow each other.
    pub flicker_levels: Option<f64>,
    /// Median distance of dlib's identities to the truth in the same frame; below 0.6 is one person.
    pub identity_to_truth: Option<f64>,
    /// The same to the source.
    pub identity_to_source: Option<f64>,
}

/// Compares.
///
/// # Errors
/// If a clip cannot be read, they differ in size or number of frames, the truth shows no face,
/// models are missing, or the user stopped.
pub fn run(ctx: &Context, settings: &Settings) -> Result<Reply, JobError> {
    let opener = Opener::Worker(ctx.worker_exe.clone());
    let mut others = vec![Clip::open(&opener, "result", &settings.result)?];
    if let Some(source) = &settings.source {
        others.push(Clip::open(&opener, SOURCE, source)?);
    }
    let mut truth = Clip::open(&opener, "truth", &settings.truth)?;
    for other in &others {
        same_size(other, &truth)?;
    }
    let models = FaceModels::load(&ctx.models_dir)?;
    let faces = faces_of(ctx, &models, &settings.truth)?;
    let step = (faces.len() as u64).div_ceil(RECOGNISED).max(1);
    let mut embedder = models.embedder.clone();
    ctx.progress.send(Progress::Phase {
        name: "compare",
        total: faces.keys().last().map_or(0, |l| l + 1),
    });
    let (mut frame, mut compared) = (0u64, 0u64);
    // The truth of the frame before, if a face was found in it.
    let mut before: Option<Rgb8> = None;
    loop {
        if ctx.cancel.is_cancelled() {
            return Err(JobError::cancelled(
                "Stopped before the clips were compared",
            ));
        }
        let right = truth.next()?;
        let shown = others
            .iter_mut()
            .map(Clip::next)
            .collect::<Result<Vec<Option<Rgb8>>, JobError>>()?;
        if shown.iter().any(|s| s.is_some() != right.is_some()) {
            return Err(different_lengths(&mut others, &mut truth)?);
        }
        let Some(right) = right else { break };
        let shown: Vec<Rgb8> = shown.into_iter().flatten().collect();
        let landmarks = faces.get(&frame);
        if let Some(landmarks) = landmarks {
            let truths = (&right, before.as_ref());
            for (other, picture) in others.iter_mut().zip(&shown) {
                other.compare(picture, truths, landmarks)?;
            }
            if compared.is_multiple_of(step) {
                recognise(&mut embedder, &mut others, &shown, &right, landmarks)?;
            }
            compared += 1;
        }
        for (other, picture) in others.iter_mut().zip(shown) {
            other.before = Some(picture);
        }
        before = landmarks.map(|_| right);
        frame += 1;
        ctx.progress.send(Progress::Step {
            done: frame,
            note: String::new(),
        });
    }
    Ok(Reply {
        frames: frame,
        compared_frames: compared,
        clips: others.iter().map(Clip::reply).collect(),
    })
}

/// The faces of the person seen most in the truth, by frame.
fn faces_of(
    ctx: &Context,
    models: &FaceModels,
    truth: &Path,
) -> Result<BTreeMap<u64, FaceLandmarks>, JobError> {
    let analysis = analyse::run(ctx, models, truth, ALL_FRAMES)?;
    let main = identity::largest_person(&analysis.identities);
    let wanted = |track| main.kept.iter().any(|v| v.track == track);
    let mut out: BTreeMap<u64, FaceLandmarks> = BTreeMap::new();
    for face in analysis.faces.into_iter().filter(|f| wanted(f.track)) {
        let size = face.landmarks.eye_distance_px();
        match out.get(&face.frame) {
            Some(other) if other.eye_distance_px() >= size => {}
            _ => {
                out.insert(face.frame, face.landmarks);
            }
        }
    }
    if out.is_empty() {
        return Err(JobError::failed(format!(
            "No face found in the {} frames of the truth {}",
            analysis.frames,
            truth.display()
        )));
    }
    Ok(out)
}

fn same_size(a: &Clip, b: &Clip) -> Result<(), JobError> {
    if a.size == b.size {
        return Ok(());
    }
    Err(JobError::usage(format!(
        "The {} is {} pixels, the {} {}: only clips of one size can be compared\n  {}\n  {}",
        a.name,
        a.size,
        b.name,
        b.size,
        a.path.display(),
        b.path.display()
    ))
    .with_hint("scale one of them, such as with ffmpeg, and compare again"))
}

/// Clips of different lengths; reads all to their ends to say how long they are.
fn different_lengths(others: &mut [Clip], truth: &mut Clip) -> Result<JobError, JobError> {
    let mut words = Vec::new();
    for clip in others.iter_mut().chain([truth]) {
        while clip.next()?.is_some() {}
        words.push(format!("the {} has {}", clip.name, clip.frames));
    }
    Ok(JobError::usage(format!(
        "Only clips of the same number of frames can be compared: {}",
        words.join(", ")
    ))
    .with_hint("frame N of one is compared with frame N of the other: cut them alike"))
}

/// Who is seen in each clip, by distances to the truth and to the source.
fn recognise(
    embedder: &mut Embedder,
    clips: &mut [Clip],
    shown: &[Rgb8],
    truth: &Rgb8,
    landmarks: &FaceLandmarks,
) -> Result<(), JobError> {
    let mut seen = Vec::with_capacity(shown.len());
    for picture in shown {
        seen.push(embedder.embed(picture, landmarks)?);
    }
    let right = embedder.embed(truth, landmarks)?;
    let source = seen.get(1).copied();
    for (clip, found) in clips.iter_mut().zip(seen) {
        clip.to_truth.push(f64::from(found.distance(&right)));
        if clip.name != SOURCE
            && let Some(source) = source
        {
            clip.to_source.push(f64::from(found.distance(&source)));
        }
    }
    Ok(())
}

/// A clip being read, and what was found so far.
struct Clip {
    name: &'static str,
    path: PathBuf,
    size: Size,
    frames: u64,
    source: FrameSource,
    before: Option<Rgb8>,
    scores: Vec<Score>,
    flicker: Vec<f64>,
    to_truth: Vec<f64>,
    to_source: Vec<f64>,
}

impl Clip {
    fn open(opener: &Opener, name: &'static str, path: &Path) -> Result<Self, JobError> {
        let source = opener.open(path, ALL_FRAMES)?;
        Ok(Self {
            name,
            path: path.into(),
            size: source.info().video.size,
            frames: 0,
            source,
            before: None,
            scores: Vec::new(),
            flicker: Vec::new(),
            to_truth: Vec::new(),
            to_source: Vec::new(),
        })
    }

    fn next(&mut self) -> Result<Option<Rgb8>, JobError> {
        let Some(frame) = self.source.next_frame()? else {
            return Ok(None);
        };
        self.frames += 1;
        Ok(Some(frame.pixels.to_rgb8()))
    }

    /// Compares a frame with the truth, and its change with the truth's change since the frame before.
    fn compare(
        &mut self,
        picture: &Rgb8,
        (truth, truth_before): (&Rgb8, Option<&Rgb8>),
        landmarks: &FaceLandmarks,
    ) -> Result<(), JobError> {
        let mask = fill_polygon(truth.size(), &face_oval(landmarks));
        // A face wholly outside of the frame leaves nothing to compare.
        let Some(window) = Window::around(&mask) else {
            return Ok(());
        };
        let weights = window.gray(&mask);
        let (shown, right) = (window.rgb(picture), window.rgb(truth));
        self.scores
            .push(measure::score(window.side, &shown, &right, &weights)?);
        if let (Some(before), Some(truth_before)) = (&self.before, truth_before) {
            let (earlier, right_earlier) = (window.rgb(before), window.rgb(truth_before));
            let found = measure::flicker([&earlier, &shown], [&right_earlier, &right], &weights);
            self.flicker.push(255.0 * found);
        }
        Ok(())
    }

    fn reply(&self) -> ClipReply {
        let mean = measure::mean(&self.scores);
        let flicker = self.flicker.iter().sum::<f64>() / self.flicker.len() as f64;
        ClipReply {
            clip: self.name,
            difference: mean.mae,
            ssim: mean.ssim,
            psnr_db: mean.psnr_db,
            detail: mean.detail,
            flicker_levels: flicker.is_finite().then_some(flicker),
            identity_to_truth: median(&self.to_truth),
            identity_to_source: median(&self.to_source),
        }
    }
}

fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted.get(sorted.len() / 2).copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
    }
}
