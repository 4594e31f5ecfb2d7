//! Frames in, swapped frames out: the network over groups of frames, colours smoothed over each
//! track, faces pasted. No files, no videos: [`crate::swap`] brings the frames and takes them.

use std::collections::{BTreeMap, VecDeque};

use rayon::prelude::*;
use stockpot_convert::{
    ColourFix, ColourSmoother, ColourStats, ConvertSettings, FacePatch, Placement, cut, face_oval,
    measure, paste,
};
use stockpot_core::{Area, Frame, Point};
use stockpot_faces::TrackId;
use stockpot_media::{FramePixels, VideoFrame};
use stockpot_model::{Network, Params, Plan};
use stockpot_train::settings::Precision;

use crate::analyse::FoundFace;
use crate::error::JobError;
use crate::research::{FrameLine, Research};

/// Frames that go through the network together.
pub(crate) const GROUP: usize = 8;

/// Encoder and one person's decoder, loaded for conversion.
pub(crate) struct Pair {
    encoder: Plan,
    decoder: Plan,
    area: Area,
    resolution: u32,
    has_mask: bool,
    shift_px: f64,
}

impl Pair {
    /// `precision` is a settled one.
    pub(crate) fn new(
        network: &Network,
        area: Area,
        precision: Precision,
        encoder: &Params,
        decoder: &Params,
    ) -> Self {
        let mut plans = [network.encoder(), network.decoder()]
            .map(|graph| Plan::inference_in(graph.clone(), GROUP, precision.of_products()));
        plans[0].load(encoder);
        plans[1].load(decoder);
        let [encoder, decoder] = plans;
        let family = network.family();
        Self {
            encoder,
            decoder,
            area,
            resolution: family.resolution(),
            has_mask: family.has_mask(),
            shift_px: 0.0,
        }
    }

    /// What it draws lies so many of its pixels too far to the right and down, and is put back.
    #[must_use]
    pub(crate) fn drawn_off(self, shift_px: f64) -> Self {
        Self { shift_px, ..self }
    }

    /// The square of the face that is drawn.
    pub(crate) fn area(&self) -> Area {
        self.area
    }

    /// Runs up to [`GROUP`] inputs `[R, R, 3]` and hands out RGB and mask of each.
    fn run(&mut self, inputs: &[Vec<f32>]) -> Vec<(Vec<f32>, Vec<f32>)> {
        let pixels = (self.resolution * self.resolution) as usize;
        let mut batch = vec![0.0; GROUP * pixels * 3];
        for (to, from) in batch.chunks_exact_mut(pixels * 3).zip(inputs) {
            to.copy_from_slice(from);
        }
        let codes = self.encoder.forward(&batch);
        let output = self.decoder.forward(codes);
        let channels = output.len() / (GROUP * pixels);
        output
            .chunks_exact(pixels * channels)
            .take(inputs.len())
            .map(|face| {
                let rgb = face
                    .chunks_exact(channels)
                    .flat_map(|p| [p[0], p[1], p[2]])
                    .collect();
                let mask = match self.has_mask {
                    true => face.chunks_exact(channels).map(|p| p[3]).collect(),
                    false => vec![1.0; pixels],
                };
                (rgb, mask)
            })
            .collect()
    }
}

/// The face of a waiting frame.
struct Work {
    track: TrackId,
    placement: Placement,
    oval: Vec<Point<Frame>>,
    rgb: Vec<f32>,
    mask: Vec<f32>,
    stats: Option<ColourStats>,
}

impl Work {
    fn patch(&self) -> FacePatch<'_> {
        FacePatch {
            placement: self.placement,
            rgb: &self.rgb,
            mask: &self.mask,
            oval: Some(&self.oval),
        }
    }
}

/// Swaps one person's face in a stream of frames.
pub(crate) struct Swapper<'a> {
    pair: Pair,
    faces: BTreeMap<u64, &'a FoundFace>,
    settings: ConvertSettings,
    smoother: ColourSmoother,
    /// The track that the smoother is working on.
    track: Option<TrackId>,
    waiting: VecDeque<(VideoFrame, Option<Work>)>,
    swapped: u64,
    bad_values: u64,
    research: Option<Research>,
}

impl<'a> Swapper<'a> {
    pub(crate) fn new(
        pair: Pair,
        faces: BTreeMap<u64, &'a FoundFace>,
        settings: ConvertSettings,
    ) -> Result<Self, JobError> {
        let smoother = ColourSmoother::new(&settings)?;
        Ok(Self {
            pair,
            faces,
            settings,
            smoother,
            track: None,
            waiting: VecDeque::new(),
            swapped: 0,
            bad_values: 0,
            research: None,
        })
    }

    /// Notes from now on what is done to each frame.
    pub(crate) fn note_for(&mut self, research: Option<Research>) {
        self.research = research;
    }

    /// What was noted.
    pub(crate) fn take_research(&mut self) -> Option<Research> {
        self.research.take()
    }

    /// Frames with a face put in so far.
    pub(crate) fn swapped(&self) -> u64 {
        self.swapped
    }

    /// Values of the network's output that were not finite; more than zero means damaged weights.
    pub(crate) fn bad_values(&self) -> u64 {
        self.bad_values
    }

    /// Takes up to [`GROUP`] frames in order and returns those that are done, in order.
    pub(crate) fn push(&mut self, frames: Vec<VideoFrame>) -> Result<Vec<VideoFrame>, JobError> {
        let work = self.look(&frames)?;
        let mut ready = Vec::new();
        for (frame, work) in frames.into_iter().zip(work) {
            let index = frame.index;
            let track = work.as_ref().map(|w| w.track);
            if track.is_some() && track != self.track {
                self.end_track(&mut ready);
                self.track = track;
            }
            let stats = work.as_ref().and_then(|w| w.stats);
            self.waiting.push_back((frame, work));
            if self.track.is_some() {
                let fixes = self.smoother.push(index, stats)?;
                self.take(fixes, &mut ready);
            } else {
                self.take(vec![(index, ColourFix::NONE)], &mut ready);
            }
        }
        self.paste(ready)
    }

    /// The last frames.
    pub(crate) fn finish(&mut self) -> Result<Vec<VideoFrame>, JobError> {
        let mut ready = Vec::new();
        self.end_track(&mut ready);
        self.paste(ready)
    }

    fn end_track(&mut self, ready: &mut Vec<Ready>) {
        let fixes = self.smoother.finish();
        self.take(fixes, ready);
    }

    fn take(&mut self, fixes: Vec<(u64, ColourFix)>, ready: &mut Vec<Ready>) {
        for (_, fix) in fixes {
            if let Some((frame, work)) = self.waiting.pop_front() {
                ready.push(Ready { frame, work, fix });
            }
        }
    }

    /// Cuts, encodes, decodes and measures the faces of a group.
    fn look(&mut self, frames: &[VideoFrame]) -> Result<Vec<Option<Work>>, JobError> {
        let (area, resolution) = (self.pair.area, self.pair.resolution);
        let found: Vec<Option<&FoundFace>> = frames
            .iter()
            .map(|f| self.faces.get(&f.index).copied())
            .collect();
        let inputs: Vec<Option<(Placement, Vec<f32>)>> = frames
            .par_iter()
            .zip(&found)
            .map(|(frame, face)| {
                let Some(face) = face else { return Ok(None) };
                let Ok(face_from_frame) = face.landmarks.face_from_frame() else {
                    // Landmarks in one point: there is nothing to put a face on.
                    return Ok(None);
                };
                let placement = Placement {
                    face_from_frame,
                    area,
                    resolution,
                };
                let mut input = vec![0.0; placement.rgb_len()];
                match &frame.pixels {
                    FramePixels::Rgb8(pixels) => cut(pixels, &placement, &mut input)?,
                    FramePixels::Rgb16(pixels) => cut(pixels, &placement, &mut input)?,
                }
                Ok(Some((placement, input)))
            })
            .collect::<Result<_, JobError>>()?;
        let batch: Vec<Vec<f32>> = inputs
            .iter()
            .flatten()
            .map(|(_, input)| input.clone())
            .collect();
        let mut outputs = match batch.is_empty() {
            true => Vec::new(),
            false => self.pair.run(&batch),
        }
        .into_iter();
        let mut work: Vec<Option<Work>> = Vec::with_capacity(frames.len());
        for (input, face) in inputs.into_iter().zip(&found) {
            work.push(match (input, face) {
                (Some((placement, _)), Some(face)) => outputs.next().map(|(rgb, mask)| Work {
                    track: face.track,
                    placement: placement.shifted_back(self.pair.shift_px),
                    oval: face_oval(&face.landmarks),
                    rgb,
                    mask,
                    stats: None,
                }),
                _ => None,
            });
        }
        work.par_iter_mut()
            .zip(frames)
            .try_for_each(|(work, frame)| {
                let Some(work) = work else { return Ok(()) };
                let stats = match &frame.pixels {
                    FramePixels::Rgb8(pixels) => measure(pixels, &work.patch(), &self.settings)?,
                    FramePixels::Rgb16(pixels) => measure(pixels, &work.patch(), &self.settings)?,
                };
                work.stats = stats;
                Ok::<(), JobError>(())
            })?;
        Ok(work)
    }

    fn paste(&mut self, mut ready: Vec<Ready>) -> Result<Vec<VideoFrame>, JobError> {
        let settings = &self.settings;
        if let Some(research) = &mut self.research {
            let notes: Vec<FrameLine> = ready
                .par_iter()
                .map(|r| {
                    let patch = r.work.as_ref().map(|work| (work.track, work.patch()));
                    let face = patch.as_ref().map(|(track, patch)| (*track, patch));
                    research.note(&r.frame, face, &r.fix)
                })
                .collect::<Result<_, _>>()?;
            research.append(&notes)?;
        }
        let reports: Vec<Option<usize>> = ready
            .par_iter_mut()
            .map(|r| {
                let Some(work) = &r.work else { return Ok(None) };
                let report = match &mut r.frame.pixels {
                    FramePixels::Rgb8(pixels) => paste(pixels, &work.patch(), &r.fix, settings)?,
                    FramePixels::Rgb16(pixels) => paste(pixels, &work.patch(), &r.fix, settings)?,
                };
                Ok(Some(report.bad_values))
            })
            .collect::<Result<_, JobError>>()?;
        for bad in reports.into_iter().flatten() {
            self.swapped += 1;
            self.bad_values += bad as u64;
        }
        Ok(ready.into_iter().map(|r| r.frame).collect())
    }
}

/// A frame whose colours are known.
struct Ready {
    frame: VideoFrame,
    work: Option<Work>,
    fix: ColourFix,
}

#[cfg(test)]
mod tests {
    use stockpot_core::Rng;
    use stockpot_model::Family;

    use super::*;
    use crate::stock;

    /// Blobs of colour about as large as eyes and mouths.
    fn picture(side: usize, number: u64) -> Vec<f32> {
        let mut random = Rng::stream(7, "blobs", number);
        let blobs: Vec<[f32; 6]> = (0..12)
            .map(|_| std::array::from_fn(|_| random.unit()))
            .collect();
        let mut picture = Vec::with_capacity(3 * side * side);
        for at in 0..side * side {
            let place = [at % side, at / side].map(|v| v as f32 / side as f32);
            let mut colour = [0.5; 3];
            for blob in &blobs {
                let far = (place[0] - blob[0]).powi(2) + (place[1] - blob[1]).powi(2);
                let weight = (-far / 0.01).exp();
                (0..3).for_each(|c| colour[c] += weight * (blob[3 + c] - colour[c]));
            }
            picture.extend(colour);
        }
        picture
    }

    /// The shipped networks draw the same face in 16 bits, to the eye.
    #[test]
    fn what_bf16_rounds_does_not_show() {
        for family in [Family::COMB[1], Family::COMB[2]] {
            let stock = stock::shipped(family).unwrap().unwrap();
            let network = Network::new(family);
            let decoder = stock.person(&stock.mean_identity()).unwrap();
            let side = family.resolution() as usize;
            let inputs: Vec<Vec<f32>> = (0..3).map(|n| picture(side, n)).collect();
            let [exact, rounded] = [Precision::F32, Precision::Bf16].map(|precision| {
                let mut pair = Pair::new(&network, Area::Face, precision, &stock.encoder, &decoder);
                pair.run(&inputs)
            });
            for ((rgb, mask), (rgb_16, mask_16)) in exact.iter().zip(&rounded) {
                let off = |a: &[f32], b: &[f32]| {
                    let levels: Vec<f32> = a
                        .iter()
                        .zip(b)
                        .map(|(a, b)| 255.0 * (a - b).abs())
                        .collect();
                    let most = levels.iter().copied().fold(0.0, f32::max);
                    (levels.iter().sum::<f32>() / levels.len() as f32, most)
                };
                let colours = off(rgb, rgb_16);
                assert!(colours.0 > 0.0, "the two are one");
                assert!(colours.0 < 1.0 && colours.1 < 12.0, "{family}: {colours:?}");
                let masks = off(mask, mask_16);
                assert!(masks.0 < 1.0, "{family}: {masks:?}");
            }
        }
    }
}
