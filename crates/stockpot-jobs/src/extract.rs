//! `extract`: the faces of one person out of videos, picture folders or pictures into a faceset.

use std::path::{Path, PathBuf};

use rayon::prelude::*;
use serde::Serialize;
use stockpot_core::{PersonName, Rgb8};
use stockpot_faces::TrackId;
use stockpot_faceset::{
    FacesetWriter, NewFace, Reason, SourceInfo, WriterSettings, cut_crop, quality,
};
use stockpot_library::{Deed, Use, Used};
use stockpot_media::{ALL_FRAMES, FramePixels, VideoFrame};

use crate::analyse::{self, Analysis, FoundFace, no_face};
use crate::context::Context;
use crate::error::{JobError, io};
use crate::frames::FramesAhead;
use crate::models::load;
use crate::space;

/// Frames whose crops are cut together.
const GROUP: usize = 8;
/// Room for the faces of about a minute; how many there are is known only at the end.
const LEAST_ROOM_BYTES: u64 = 64 << 20;
/// Crops with fewer pixels than this between the eyes teach a network nothing.
const MIN_EYE_DISTANCE_PX: f64 = 16.0;

/// What to extract.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Videos, folders of pictures, pictures.
    pub inputs: Vec<PathBuf>,
    /// Whose faces.
    pub person: PersonName,
    /// Pictures of the wanted person; without any, the person seen in most frames is taken.
    pub like: Vec<PathBuf>,
    /// Largest side of a stored crop in pixels, 64 to 2048. Default 512.
    pub max_side: u32,
    /// Takes one frame of so many, 1 or more. Default 1.
    pub every: u32,
}

/// What was extracted.
#[derive(Debug, Clone, Serialize)]
pub struct Reply {
    /// Whose faces.
    pub person: PersonName,
    /// The folder of crops.
    pub faceset: PathBuf,
    /// One entry per input.
    pub sources: Vec<SourceReply>,
    /// What to do next.
    pub next: String,
}

/// One input.
#[derive(Debug, Clone, Serialize)]
pub struct SourceReply {
    /// Which.
    pub input: PathBuf,
    /// Frames looked at.
    pub frames: u64,
    /// Frames with any face.
    pub frames_with_face: u64,
    /// Faces for training.
    pub training_faces: usize,
    /// Faces held out to measure with.
    pub held_out_faces: usize,
    /// Faces next to a held-out stretch, used for neither.
    pub unused_faces: usize,
    /// Faces not used, with why in the report.
    pub rejected_faces: usize,
    /// Frames per second, both passes.
    pub frames_per_sec: f64,
}

/// Extracts faces of a person who is in the library.
///
/// # Errors
/// If the person is unknown or without consent, a source cannot be read or shows no face, or the
/// disk is full. Sources done before an error stay in the faceset.
pub fn run(ctx: &Context, settings: &Settings) -> Result<Reply, JobError> {
    let library = ctx.library()?;
    let consent = ctx.consent(&library, &settings.person, Use::Extract)?;
    space::need(library.root(), LEAST_ROOM_BYTES, "the faces")?;
    let models = load(ctx)?;
    let references = analyse::references(&models, &settings.like)?;
    let folder = library.facesets_dir(&settings.person);
    let mut sources = Vec::new();
    for input in &settings.inputs {
        let start = std::time::Instant::now();
        let analysis = analyse::run(ctx, &models, input, ALL_FRAMES)?;
        if analysis.faces.is_empty() {
            return Err(no_face(analysis.frames, input));
        }
        let selection = analysis.choose(&references);
        analyse::explain(ctx, &selection);
        let wanted: Vec<TrackId> = selection.kept.iter().map(|v| v.track).collect();
        if wanted.is_empty() {
            return Err(JobError::failed(format!(
                "No face in {} looks like the reference",
                input.display()
            ))
            .with_hint("leave --like out to take the person seen most, or give another picture"));
        }
        let summary = write_crops(ctx, settings, &folder, input, &analysis, &wanted)?;
        sources.push(SourceReply {
            input: input.clone(),
            frames: analysis.frames,
            frames_with_face: analysis.frames_with_face,
            training_faces: summary.train,
            held_out_faces: summary.held_out,
            unused_faces: summary.unused,
            rejected_faces: summary.rejected,
            frames_per_sec: analysis.frames as f64 / start.elapsed().as_secs_f64().max(1e-9),
        });
    }
    let used = Used {
        deed: Deed::Extract,
        consents: vec![&consent],
        encoder: None,
        decoders: Vec::new(),
        output: None,
        file: None,
    };
    ctx.log_use(&library, &used);
    Ok(Reply {
        next: format!("stockpot faces report {}", settings.person),
        person: settings.person.clone(),
        faceset: folder,
        sources,
    })
}

/// A face of the second pass with its crop cut.
struct Cut {
    picture: stockpot_faceset::CropPicture,
    crop: Rgb8,
    face_from_frame: stockpot_core::Affine<stockpot_core::Face, stockpot_core::Frame>,
}

/// The second pass: cuts and stores the wanted faces.
fn write_crops(
    ctx: &Context,
    settings: &Settings,
    folder: &Path,
    input: &Path,
    analysis: &Analysis,
    wanted: &[TrackId],
) -> Result<stockpot_faceset::WriteSummary, JobError> {
    let writer_settings = WriterSettings {
        crop_side: settings.max_side,
        split_seed: ctx.seed,
        ..WriterSettings::default()
    };
    let source = source_info(input)?;
    let mut writer = FacesetWriter::begin(folder, &settings.person, &source, &writer_settings)?;
    let faces = analysis.by_frame(wanted);
    ctx.phase("cut faces", analysis.frames);
    let mut duplicates = quality::DuplicateFilter::new(quality::LikenessLimits::default());
    let mut frames = FramesAhead::open(&ctx.opener(), input, ALL_FRAMES)?;
    let mut done = 0;
    loop {
        let mut group: Vec<(VideoFrame, &FoundFace)> = Vec::with_capacity(GROUP);
        let mut more = true;
        while more && group.len() < GROUP {
            match frames.next()? {
                Some(frame) => {
                    done += 1;
                    if frame.index % u64::from(settings.every.max(1)) == 0
                        && let Some(face) = faces.get(&frame.index)
                    {
                        group.push((frame, *face));
                    }
                }
                None => more = false,
            }
        }
        ctx.check_cancel()?;
        let cuts: Vec<Result<Cut, JobError>> = group
            .par_iter()
            .map(|(frame, face)| cut(frame, face, &writer_settings))
            .collect();
        for ((frame, face), cut) in group.iter().zip(cuts) {
            add(&mut writer, &mut duplicates, frame, face, cut?)?;
        }
        ctx.step(done);
        if !more {
            break;
        }
    }
    Ok(writer.finish()?)
}

fn cut(frame: &VideoFrame, face: &FoundFace, settings: &WriterSettings) -> Result<Cut, JobError> {
    let face_from_frame = face.landmarks.face_from_frame().map_err(|e| {
        JobError::failed(format!(
            "The face of frame {} cannot be aligned: {e}",
            frame.index
        ))
    })?;
    let (picture, crop) = match &frame.pixels {
        FramePixels::Rgb8(pixels) => cut_crop(pixels, &face_from_frame, settings)?,
        FramePixels::Rgb16(pixels) => cut_crop(&pixels.to_rgb8(), &face_from_frame, settings)?,
    };
    Ok(Cut {
        picture,
        crop,
        face_from_frame,
    })
}

fn add(
    writer: &mut FacesetWriter,
    duplicates: &mut quality::DuplicateFilter,
    frame: &VideoFrame,
    face: &FoundFace,
    cut: Cut,
) -> Result<(), JobError> {
    let look = quality::Look::new(&face.landmarks.mapped(&cut.face_from_frame), &cut.crop);
    let small = face.landmarks.eye_distance_px() < MIN_EYE_DISTANCE_PX;
    let rejected = if small {
        Some(Reason::TooSmall)
    } else if duplicates.is_duplicate(face.track.0, look) {
        Some(Reason::Duplicate)
    } else {
        None
    };
    writer.add(NewFace {
        frame_index: frame.index,
        time: frame.pts,
        face_from_frame: cut.face_from_frame,
        landmarks: &face.landmarks,
        pose: face.landmarks.pose(),
        sharpness: face.sharpness,
        score: face.score,
        track: face.track.0,
        embedding: face.embedding.as_ref().map(|e| &e.0[..]),
        rejected,
        crop: Some(cut.picture),
    })?;
    Ok(())
}

fn source_info(input: &Path) -> Result<SourceInfo, JobError> {
    let read = |e: std::io::Error| io("look at the input", input, &e);
    let meta = std::fs::metadata(input).map_err(read)?;
    let mut bytes = meta.len();
    if meta.is_dir() {
        bytes = 0;
        for entry in std::fs::read_dir(input).map_err(read)? {
            let meta = entry.and_then(|e| e.metadata()).map_err(read)?;
            bytes += if meta.is_file() { meta.len() } else { 0 };
        }
    }
    // `..` and `/` have no name of their own; their full path has.
    let named = match input.file_name() {
        Some(name) => name.to_string_lossy().into_owned(),
        None => input.display().to_string(),
    };
    Ok(SourceInfo { name: named, bytes })
}
