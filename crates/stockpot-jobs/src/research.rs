//! `swap --sealed-research`: beside a sealed output, what somebody needs who learns to find swaps:
//! for every frame the exact mask, where the face was put, by which parameters, and the seal.
//!
//! No swapped pixel is written here, and the output is sealed, marked and says so as any other. The
//! shape of the folder is written down in `docs/formats/research.md`. Start with [`Research::begin`].

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use serde::Serialize;
use stockpot_convert::{ColourFix, ColourMatch, ConvertSettings, FacePatch, MaskMode, paste};
use stockpot_core::picture::{gray_to_png, write_whole};
use stockpot_core::{ContentHash, Gray8, Rgb8};
use stockpot_faces::TrackId;
use stockpot_media::VideoFrame;
use stockpot_provenance::{Basis, Inspector, Verdict, VisibleLabel};

use crate::context::Context;
use crate::error::{JobError, io};
use crate::marking;
use crate::sealing::Words;

/// Version of the folder's shape.
const VERSION: u32 = 1;
/// One line a frame.
const LINES: &str = "frames.jsonl";
/// Masks, by the input's frame number.
const MASKS: &str = "masks";

/// The first line: the job.
#[derive(Serialize)]
struct Job<'a> {
    kind: &'static str,
    version: u32,
    software: String,
    seal: String,
    source: String,
    output: String,
    frame_size: [u32; 2],
    family: &'a str,
    encoder: ContentHash,
    decoder: ContentHash,
    consent: ContentHash,
    basis: Basis,
    mark: Option<String>,
    label: Option<&'a VisibleLabel>,
    blend: Blending,
}

/// How faces are put back: the convert settings, as they are.
#[derive(Serialize)]
struct Blending {
    mask: &'static str,
    oval_grow_percent: f32,
    erode_percent: f32,
    feather_percent: f32,
    colour_match: &'static str,
    colour_strength: f32,
    colour_window: u32,
    colour_sigma_frames: f32,
    sharpen: f32,
}

/// A line: one frame.
#[derive(Debug, Serialize)]
pub(crate) struct FrameLine {
    kind: &'static str,
    /// Of the input, from 0.
    frame: u64,
    /// Of the output, from 0.
    output: u64,
    secs: f64,
    seal: String,
    marked: bool,
    face: Option<FaceLine>,
}

/// What was put into a frame.
#[derive(Debug, Serialize)]
struct FaceLine {
    track: u32,
    /// Greyscale, the size of the frame: 255 where the new face hides the filmed one.
    mask: String,
    /// Left, top, right and bottom (both exclusive) of what was changed; none if nothing was.
    changed: Option<[u32; 4]>,
    /// Rows of the affine transform from frame to face.
    face_from_frame: [f64; 6],
    area: stockpot_core::Area,
    resolution: u32,
    gain: Gain,
}

/// What the decoder's colours were multiplied by: in the middle of the network's square, and at the
/// middle of its right and lower edge; the logarithm is linear between.
#[derive(Debug, Serialize)]
struct Gain {
    middle: [f32; 3],
    right: [f32; 3],
    bottom: [f32; 3],
}

/// The last line: a file without it is not whole.
#[derive(Serialize)]
struct End {
    kind: &'static str,
    frames: u64,
    faces: u64,
    /// What `inspect` says of the sealed output; of a folder, of the worst of its pictures.
    verdict: Verdict,
}

/// A folder that is being filled.
pub(crate) struct Research {
    folder: PathBuf,
    lines: BufWriter<File>,
    settings: ConvertSettings,
    seal: String,
    first: u64,
    frames: u64,
    faces: u64,
}

/// Whether a folder can be filled, before any work is put into it.
///
/// # Errors
/// If there is something in it.
pub(crate) fn check(folder: &Path) -> Result<(), JobError> {
    let taken = match std::fs::read_dir(folder) {
        Ok(mut entries) => entries.next().is_some(),
        Err(_) => folder.exists(),
    };
    match taken {
        true => Err(JobError::usage(format!(
            "There is something in the folder for research {}",
            folder.display()
        ))
        .with_hint("name a new folder")),
        false => Ok(()),
    }
}

impl Research {
    /// Makes the folder and writes the first line.
    pub(crate) fn begin(
        folder: &Path,
        output: &Path,
        words: &Words,
        settings: &ConvertSettings,
    ) -> Result<Self, JobError> {
        let masks = folder.join(MASKS);
        std::fs::create_dir_all(&masks).map_err(|e| io("make the folder", &masks, &e))?;
        let path = folder.join(LINES);
        let file = File::create_new(&path).map_err(|e| io("create", &path, &e))?;
        let seal = words.seal.to_string();
        let mut research = Self {
            folder: folder.to_owned(),
            lines: BufWriter::new(file),
            settings: settings.clone(),
            seal: seal.clone(),
            first: words.first,
            frames: 0,
            faces: 0,
        };
        let name = |path: &Path| {
            let name = path.file_name().unwrap_or(path.as_os_str());
            name.to_string_lossy().into_owned()
        };
        let size = words.frame_size;
        let drawn = &words.drawn;
        research.line(&Job {
            kind: "job",
            version: VERSION,
            software: format!("stockpot {}", env!("CARGO_PKG_VERSION")),
            seal,
            source: name(&words.input),
            output: name(output),
            frame_size: [size.width, size.height],
            family: &drawn.model.family,
            encoder: drawn.model.encoder,
            decoder: drawn.model.decoder,
            consent: drawn.consent,
            basis: drawn.basis,
            mark: marking::told(words.seal, size).map(|mark| mark.algorithm),
            label: words.label.as_ref(),
            blend: Blending {
                mask: match settings.mask {
                    MaskMode::Decoder => "decoder",
                    MaskMode::Oval => "oval",
                    MaskMode::Both => "both",
                },
                oval_grow_percent: settings.oval_grow_percent,
                erode_percent: settings.erode_percent,
                feather_percent: settings.feather_percent,
                colour_match: match settings.colour_match {
                    ColourMatch::Keep => "keep",
                    ColourMatch::Light => "light",
                    ColourMatch::Skin => "skin",
                },
                colour_strength: settings.colour_strength,
                colour_window: settings.colour_window,
                colour_sigma_frames: settings.colour_sigma_frames,
                sharpen: settings.sharpen,
            },
        })?;
        Ok(research)
    }

    /// Writes the mask of a frame that a face is put into, and words its line. Can be called for
    /// several frames at once.
    pub(crate) fn note(
        &self,
        frame: &VideoFrame,
        face: Option<(TrackId, &FacePatch<'_>)>,
        fix: &ColourFix,
    ) -> Result<FrameLine, JobError> {
        let size = frame.pixels.size();
        let face = face
            .map(|(track, patch)| {
                let (mask, changed) = exact_mask(patch, size, &self.settings)?;
                let name = format!("{MASKS}/{:06}.png", frame.index);
                let path = self.folder.join(&name);
                let png = gray_to_png(&mask)?;
                write_whole(&path, &png).map_err(|e| io("write the mask", &path, &e))?;
                let gain = |u, v| std::array::from_fn(|c| fix.gain(c, u, v, &self.settings));
                Ok::<_, JobError>(FaceLine {
                    track: track.0,
                    mask: name,
                    changed,
                    face_from_frame: patch.placement.face_from_frame.rows(),
                    area: patch.placement.area,
                    resolution: patch.placement.resolution,
                    gain: Gain {
                        middle: gain(0.0, 0.0),
                        right: gain(1.0, 0.0),
                        bottom: gain(0.0, 1.0),
                    },
                })
            })
            .transpose()?;
        Ok(FrameLine {
            kind: "frame",
            frame: frame.index,
            output: frame.index.saturating_sub(self.first),
            secs: frame.pts.secs(),
            seal: self.seal.clone(),
            marked: marking::fits(size),
            face,
        })
    }

    /// Writes lines, in the order of the frames.
    pub(crate) fn append(&mut self, lines: &[FrameLine]) -> Result<(), JobError> {
        for line in lines {
            self.frames += 1;
            self.faces += u64::from(line.face.is_some());
            self.line(line)?;
        }
        Ok(())
    }

    /// Writes the last line, with what the sealed output says.
    pub(crate) fn finish(mut self, ctx: &Context, output: &Path) -> Result<(), JobError> {
        let inspector = Inspector::new(&ctx.identity_dir)?;
        let files = match output.is_dir() {
            true => stockpot_media::pictures_in(output)?,
            false => vec![output.to_owned()],
        };
        let mut verdict = Verdict::Whole;
        for file in files {
            let report = inspector.inspect(&file)?;
            // A folder may hold pictures of other swaps.
            let note = report.credentials.as_ref().and_then(|c| c.swap.as_ref());
            let other = note.is_some_and(|note| note.seal.to_string() != self.seal);
            if report.verdict != Verdict::Whole && !(output.is_dir() && other) {
                verdict = report.verdict;
            }
        }
        let end = End {
            kind: "end",
            frames: self.frames,
            faces: self.faces,
            verdict,
        };
        self.line(&end)?;
        let path = self.folder.join(LINES);
        self.lines.flush().map_err(|e| io("write", &path, &e))
    }

    fn line(&mut self, line: &impl Serialize) -> Result<(), JobError> {
        let path = self.folder.join(LINES);
        let text = serde_json::to_string(line)
            .map_err(|e| JobError::failed(format!("A line cannot be worded: {e}")))?;
        writeln!(self.lines, "{text}").map_err(|e| io("write", &path, &e))
    }
}

/// How much of each pixel of a frame the new face takes, 255 for all, and the box of those above 0:
/// a white face put onto black, by the same code and the same settings.
fn exact_mask(
    patch: &FacePatch<'_>,
    size: stockpot_core::Size,
    settings: &ConvertSettings,
) -> Result<(Gray8, Option<[u32; 4]>), JobError> {
    // What is no number is left out of the mask, so it must stay none.
    let white: Vec<f32> = patch
        .rgb
        .iter()
        .map(|v| if v.is_finite() { 1.0 } else { *v })
        .collect();
    let plain = ConvertSettings {
        colour_match: ColourMatch::Keep,
        sharpen: 0.0,
        ..settings.clone()
    };
    let mut black = Rgb8::new(size);
    let report = paste(
        &mut black,
        &FacePatch {
            rgb: &white,
            ..*patch
        },
        &ColourFix::NONE,
        &plain,
    )?;
    let mut mask = Gray8::new(size);
    for (to, from) in mask.data_mut().iter_mut().zip(black.data().chunks_exact(3)) {
        *to = from[0];
    }
    Ok((mask, report.bounds))
}

#[cfg(test)]
mod tests {
    use stockpot_convert::Placement;
    use stockpot_core::{Affine, Area, Size};

    use super::*;

    #[test]
    fn a_mask_is_what_the_pasted_face_hides() {
        let placement = Placement {
            face_from_frame: Affine::scale_then_shift(1.0 / 60.0, -1.0, -1.0),
            area: Area::Narrow,
            resolution: 16,
        };
        let settings = ConvertSettings {
            mask: MaskMode::Decoder,
            colour_match: ColourMatch::Keep,
            ..ConvertSettings::default()
        };
        let rgb = vec![0.8; placement.rgb_len()];
        let mask = vec![1.0; placement.mask_len()];
        let size = Size::square(200);
        let patch = FacePatch {
            placement,
            rgb: &rgb,
            mask: &mask,
            oval: None,
        };
        let (exact, changed) = exact_mask(&patch, size, &settings).unwrap();
        let mut frame = Rgb8::from_vec(size, vec![40; size.pixels() * 3]).unwrap();
        paste(&mut frame, &patch, &ColourFix::NONE, &settings).unwrap();
        // 40 under the mask's share of nothing, 204 under all of it, and what lies between.
        let mut half = 0;
        for (mask, pixel) in exact.data().iter().zip(frame.data().chunks_exact(3)) {
            let share = f32::from(*mask) / 255.0;
            let wanted = 40.0 + share * (204.0 - 40.0);
            assert!(
                (f32::from(pixel[0]) - wanted).abs() < 1.5,
                "{mask} {pixel:?}"
            );
            half += usize::from((60..200).contains(mask));
        }
        assert!(half > 50 && changed.is_some(), "{half} {changed:?}");
        // A damaged network leaves holes, here as there.
        let mut damaged = rgb.clone();
        damaged[3 * (8 * 16 + 8)] = f32::NAN;
        let broken = FacePatch {
            rgb: &damaged,
            ..patch
        };
        let (holes, _) = exact_mask(&broken, size, &settings).unwrap();
        let sum = |m: &Gray8| m.data().iter().map(|v| u64::from(*v)).sum::<u64>();
        assert!(sum(&holes) < sum(&exact));
    }
}
