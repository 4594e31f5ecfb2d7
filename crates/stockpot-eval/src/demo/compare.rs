//! The swapped clip against the truth: B truly playing what A played.

use std::path::{Path, PathBuf};

use serde::Serialize;
use stockpot_convert::Placement;
use stockpot_core::image::{Gray8, Rgb8, Size};
use stockpot_core::{Area, FaceLandmarks, picture};
use stockpot_faces::{Embedding, FaceModels};
use stockpot_jobs::analyse::{self, Analysis};
use stockpot_jobs::{Context, JobError};
use stockpot_media::{ALL_FRAMES, ClipWriter, FrameRate, OutputSettings};
use stockpot_model::Family;
use stockpot_provenance::{Origin, SealId, SourceType, Statement};
use stockpot_synth::Drawn;

use super::voice::HERTZ;
use crate::measure::{self, Score, Window};
use crate::sets::{self, frames_of};
use crate::tracks::composite::{TrueShot, perfectly_drawn};
use crate::tracks::t1_t2::difference;

/// Stills on the page.
const STILLS: usize = 4;
/// Quality of the stills, as JPEG counts it.
const STILL_QUALITY: u8 = 88;

/// What the renderer knows of a frame.
pub(super) struct Truth {
    rgb: Rgb8,
    classes: Gray8,
    sound: Vec<f32>,
}

impl Truth {
    pub(super) fn of(drawn: Drawn, sound: Vec<f32>) -> Self {
        Self {
            rgb: drawn.rgb,
            classes: drawn.classes,
            sound,
        }
    }
}

/// The swap against the truth, inside the face of the person who is drawn. Each figure has its toy:
/// not swapping at all.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Figures {
    /// Frames compared.
    pub frames: usize,
    /// Frames of the clip in which no face was found to compare.
    pub without_face: usize,
    /// Mean absolute difference, of 255.
    pub difference: f64,
    /// The same if nothing had been swapped.
    pub difference_unswapped: f64,
    /// The same if the decoder had drawn B's true face: what remains is the place, size and colour of
    /// A's head, which a swap keeps.
    pub difference_perfect: f64,
    /// Structural similarity of the luminance, at most 1.
    pub ssim: f64,
    /// The same if nothing had been swapped.
    pub ssim_unswapped: f64,
    /// The same if the decoder had drawn B's true face.
    pub ssim_perfect: f64,
    /// Share of the unswapped difference that the swap took away: 1 is the truth, 0 is no better
    /// than not swapping. Nothing where there was no difference to take away.
    pub gain: Option<f64>,
    /// Peak signal-to-noise ratio, dB.
    pub psnr_db: f64,
    /// The same if nothing had been swapped.
    pub psnr_db_unswapped: f64,
    /// The same if the decoder had drawn B's true face.
    pub psnr_db_perfect: f64,
    /// Fine detail, as a share of the truth's.
    pub detail: f64,
    /// Distance of dlib's identity network to B; the same person is below 0.6. Nothing where it was
    /// not found.
    pub identity_distance: Option<f64>,
    /// The same if nothing had been swapped.
    pub identity_distance_unswapped: Option<f64>,
}

/// What the page shows.
pub(super) struct Compared {
    pub(super) figures: Figures,
    /// Rows of A, A as B, B truly, difference, as JPEG.
    pub(super) stills: Vec<[Vec<u8>; 4]>,
}

/// The name of the clip that shows all four.
const SIDE_BY_SIDE: &str = "side-by-side.mp4";

/// What is told of something that shows the swap among other things.
fn put_together(seen: Vec<PathBuf>, about: &str) -> Statement {
    Statement {
        seal: SealId::fresh(),
        origin: Origin::Created(seen),
        source_type: Some(SourceType::CompositeWithTrained),
        about: about.into(),
        swaps: Vec::new(),
        mark: None,
        label: None,
        research: false,
    }
}

/// Compares, and writes the four clips side by side into `side-by-side.mp4` beside them.
pub(super) fn run(
    ctx: &Context,
    models: &FaceModels,
    clips: &[PathBuf; 2],
    swapped: &Path,
    shown: [Vec<Truth>; 2],
    family: Family,
) -> Result<Compared, JobError> {
    let sealer = ctx.sealer()?;
    let seen = analyse::run(ctx, models, &clips[1], ALL_FRAMES)?;
    let played = analyse::run(ctx, models, &clips[0], ALL_FRAMES)?;
    let filmed = identity(&played);
    let made = identity(&analyse::run(ctx, models, swapped, ALL_FRAMES)?);
    let wanted = identity(&seen);
    let swapped_frames = frames_of(swapped)?;
    let [a, b] = shown;
    if swapped_frames.len() != a.len() {
        return Err(JobError::failed(format!(
            "The swapped video has {} frames, the filmed one {}",
            swapped_frames.len(),
            a.len()
        )));
    }
    let fps = seen
        .info
        .video
        .frame_rate
        .unwrap_or(FrameRate { num: 25, den: 1 });
    let mut board = Board::create(&swapped.with_file_name(SIDE_BY_SIDE), &a, fps)?;
    let (mut swap_scores, mut copy_scores, mut stills) = (Vec::new(), Vec::new(), Vec::new());
    super::phase(ctx, "measure", a.len());
    for (index, ((a, b), made)) in a.iter().zip(&b).zip(&swapped_frames).enumerate() {
        let mask = face_mask(&seen, index, b);
        let seam = difference(made, &b.rgb, mask.clone());
        if let Some(mask) = &mask
            && let Some(window) = Window::around(mask)
        {
            let (weights, truth) = (window.gray(mask), window.rgb(&b.rgb));
            let score =
                |frame: &Rgb8| measure::score(window.side, &window.rgb(frame), &truth, &weights);
            swap_scores.push(score(made)?);
            copy_scores.push(score(&a.rgb)?);
        }
        let cells = [&a.rgb, made, &b.rgb, &seam];
        board.write(cells, &a.sound)?;
        if (0..STILLS).any(|n| index == (2 * n + 1) * swapped_frames.len() / (2 * STILLS)) {
            let title = format!("frame {index} of {}", SIDE_BY_SIDE);
            let told = put_together(
                vec![swapped.to_owned()],
                "A frame of a clip in which a trained network drew a face",
            );
            let plain = |cell| picture::to_jpeg(cell, STILL_QUALITY);
            // In a page, and all the same a swap that can be taken out of it.
            let sealed = sealer.seal_jpeg(made, STILL_QUALITY, &title, &told)?;
            stills.push([plain(&a.rgb)?, sealed, plain(&b.rgb)?, plain(&seam)?]);
        }
    }
    let clip = board.clip.finish()?;
    let parts = vec![clips[0].clone(), swapped.to_owned(), clips[1].clone()];
    let statement = put_together(
        parts,
        "A rendered clip, the same with a face that a trained network drew, the truth and the \
         difference, side by side",
    );
    sealer.seal(clip.part, &clip.target, &statement)?;
    let perfect = perfect(&played, &seen, [&a, &b], family)?;
    let (swap, copy) = (measure::mean(&swap_scores), measure::mean(&copy_scores));
    let distance = |one: &Option<Embedding>| {
        let (one, wanted) = (one.as_ref()?, wanted.as_ref()?);
        Some(f64::from(one.distance(wanted)))
    };
    let levels = |score: &Score| 255.0 * score.mae;
    Ok(Compared {
        figures: Figures {
            frames: swap_scores.len(),
            without_face: swapped_frames.len() - swap_scores.len(),
            difference: levels(&swap),
            difference_unswapped: levels(&copy),
            difference_perfect: levels(&perfect),
            ssim: swap.ssim,
            ssim_unswapped: copy.ssim,
            ssim_perfect: perfect.ssim,
            gain: (copy.mae > 0.0).then(|| 1.0 - swap.mae / copy.mae),
            psnr_db: swap.psnr_db,
            psnr_db_unswapped: copy.psnr_db,
            psnr_db_perfect: perfect.psnr_db,
            detail: swap.detail,
            identity_distance: distance(&made),
            identity_distance_unswapped: distance(&filmed),
        },
        stills,
    })
}

/// What the swap would score if the decoder drew B's true face.
fn perfect(
    played: &Analysis,
    seen: &Analysis,
    [a, b]: [&[Truth]; 2],
    family: Family,
) -> Result<Score, JobError> {
    let placement = |landmarks: &FaceLandmarks| {
        Some(Placement {
            face_from_frame: landmarks.face_from_frame().ok()?,
            // What the demo trains.
            area: Area::Face,
            resolution: family.resolution(),
        })
    };
    let mut shots = Vec::new();
    for (index, (a, b)) in a.iter().zip(b).enumerate() {
        let (Some(there), Some(own)) = (face(played, index), face(seen, index)) else {
            continue;
        };
        let (Some(to), Some(from)) = (placement(there), placement(own)) else {
            continue;
        };
        let mask = sets::face_mask(own, &b.classes);
        shots.extend(TrueShot::new(&a.rgb, (there, to), &b.rgb, (&mask, from))?);
    }
    Ok(measure::mean(&perfectly_drawn(&shots)?))
}

/// The largest face of a frame.
fn face(seen: &Analysis, index: usize) -> Option<&FaceLandmarks> {
    let here = seen.faces.iter().filter(|f| f.frame == index as u64);
    let size = |f: &&analyse::FoundFace| f.landmarks.eye_distance_px();
    let face = here.max_by(|a, b| size(a).total_cmp(&size(b)))?;
    Some(&face.landmarks)
}

/// Where the face of the person who is drawn truly is: by class, inside the tracked outline.
fn face_mask(seen: &Analysis, index: usize, truth: &Truth) -> Option<Gray8> {
    Some(sets::face_mask(face(seen, index)?, &truth.classes))
}

/// The mean identity of whoever is seen longest.
fn identity(seen: &Analysis) -> Option<Embedding> {
    let longest = seen.identities.iter().max_by_key(|t| t.frames)?;
    Embedding::mean(&longest.embeddings)
}

/// Four clips in one: two rows of two.
struct Board {
    clip: ClipWriter,
    cell: Size,
}

impl Board {
    fn create(path: &Path, frames: &[Truth], fps: FrameRate) -> Result<Self, JobError> {
        let cell = frames.first().map_or(Size::square(16), |t| t.rgb.size());
        let size = Size::new(2 * cell.width, 2 * cell.height);
        let settings = OutputSettings {
            // Seen in a page that must stay small.
            crf: Some(23),
            ..OutputSettings::default()
        };
        Ok(Self {
            clip: ClipWriter::create(path, size, fps, Some(HERTZ), &settings)?,
            cell,
        })
    }

    fn write(&mut self, cells: [&Rgb8; 4], sound: &[f32]) -> Result<(), JobError> {
        let Size { width, height } = self.cell;
        let mut board = Rgb8::new(Size::new(2 * width, 2 * height));
        for (n, cell) in (0u32..).zip(cells) {
            board.paste(cell, n % 2 * width, n / 2 * height);
        }
        self.clip.write(board)?;
        self.clip.write_sound(sound)?;
        Ok(())
    }
}
