//! The training loss of a batch of faces and its gradient, in one pass.
//!
//! A pure function of prediction, target, mask and weight. Knows nothing of networks or persons.
//! Start with [`face_loss`].
//!
//! ```text
//! loss  = share · (1 − MS-SSIM) + (1 − share) · L1 + mask_weight · (BCE + MSE of the mask)
//! weight of a pixel = (background + (1 − background) · mask) · weight
//! ```
//! * **share** 0.84 is the mix of Zhao, Gallo, Frosio and Kautz 2017 ("Loss functions for image
//!   restoration with neural networks"), who found MS-SSIM + L1 better than L2 with one network.
//! * **L1** is the weighted mean over pixels and the three colours.
//! * **MS-SSIM** is built on halved pictures as by Wang, Simoncelli and Bovik 2003: contrast and
//!   structure at every scale, luminance at the coarsest; as many scales as keep at least 11 px,
//!   at most five. Two scales are joined by a weighted *sum*, not by the paper's product: near
//!   a perfect picture both have the same derivative (the logarithm's first order), but where
//!   an untrained network gives a structure below zero the product has no real root and its
//!   gradient vanishes or explodes, while the sum's is bounded everywhere.
//! * **mask** loss on the fourth channel is the plain mean over pixels.
//!
//! Each image is independent and has its own slot for its numbers, which are added in order, so
//! the result does not depend on the number of threads. A value that is not finite makes the
//! loss not finite; nothing panics.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};

use stockpot_kernels::vectorise;

use crate::error::Error;
use crate::ssim::{self, Level, Part, Window};
pub use crate::ssim::{STABILISERS, TAPS, window_taps};

/// Exponents of the five scales, finest first (Wang, Simoncelli and Bovik 2003, section 3.2).
pub const WANG_SCALES: [f64; 5] = [0.0448, 0.2856, 0.3001, 0.2363, 0.1333];
/// Predictions of the mask are kept this far from 0 and 1 inside the logarithms: the smallest
/// round number that `1 − x` still shows in 32 bits.
pub const MASK_MARGIN: f32 = 1e-6;

/// How much each scale of MS-SSIM counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ScaleWeights {
    /// The measured exponents of the paper, made to sum to one over the scales there are: the
    /// eye's weights, which hardly count the finest scale.
    Wang,
    /// All scales alike: more weight on fine detail.
    Even,
}

/// What counts how much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LossWeights {
    /// Share of `1 − MS-SSIM`, 0 to 1; the rest is L1.
    pub ssim_share: f32,
    /// How the scales of MS-SSIM are weighted.
    pub scales: ScaleWeights,
    /// Weight of pixels outside the face mask, 0 to 1.
    pub background: f32,
    /// Weight of the mask loss, 0 or more.
    pub mask: f32,
}

impl LossWeights {
    /// The side of every scale of MS-SSIM and what it counts, finest first; the shares sum to one.
    pub fn scales_of(&self, side: usize) -> Vec<(usize, f64)> {
        let sides: Vec<usize> = scale_sides(side).collect();
        let shares = scale_shares(self.scales, sides.len());
        sides.into_iter().zip(shares).collect()
    }
}

/// The sides of the scales: each half of the one before, as long as the window fits.
fn scale_sides(side: usize) -> impl Iterator<Item = usize> {
    let sides = std::iter::successors(Some(side), |s| Some(s / 2));
    let fitting = sides.take_while(|s| *s >= ssim::TAPS);
    fitting.take(WANG_SCALES.len())
}

/// A batch of predictions and what they should have been.
#[derive(Debug, Clone, Copy)]
pub struct Comparison<'a> {
    /// Width and height in pixels.
    pub side: usize,
    /// 3 (RGB) or 4 (RGB and mask).
    pub channels: usize,
    /// `[images, side, side, channels]`, 0 to 1.
    pub prediction: &'a [f32],
    /// `[images, side, side, 3]`, 0 to 1.
    pub target: &'a [f32],
    /// `[images, side, side]`, 0 to 1: where the face is.
    pub mask: &'a [f32],
    /// `[images, side, side]`, 0 or more: what each pixel counts (eyes and mouth more than 1).
    /// Empty means 1 everywhere.
    pub weight: &'a [f32],
}

/// The loss and its parts, each the mean over images, parts not yet multiplied by their weights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct LossValue {
    /// What the optimiser minimises.
    pub total: f64,
    /// Weighted mean absolute difference.
    pub l1: f64,
    /// `1 − MS-SSIM`.
    pub ssim: f64,
    /// BCE + MSE of the mask; 0 for three channels.
    pub mask: f64,
}

impl LossValue {
    /// Part by part.
    pub(crate) fn add(&mut self, other: &Self, factor: f64) {
        self.total += factor * other.total;
        self.l1 += factor * other.l1;
        self.ssim += factor * other.ssim;
        self.mask += factor * other.mask;
    }
}

/// Working memory of [`face_loss`] for one picture size; reused from step to step.
#[derive(Debug)]
pub struct LossScratch {
    window: Window,
    side: usize,
    lanes: Vec<Vec<Level>>,
    values: Vec<LossValue>,
}

impl LossScratch {
    /// Room for `lanes` images at once, of `side` x `side` pixels. More lanes than threads cost
    /// memory only (about 75 bytes a pixel each).
    ///
    /// # Errors
    /// [`Error::PictureTooSmall`] below 11 px, the width of the window.
    pub fn new(side: usize, lanes: usize) -> Result<Self, Error> {
        if side < ssim::TAPS {
            return Err(Error::PictureTooSmall {
                side,
                least: ssim::TAPS,
            });
        }
        let levels = || scale_sides(side).map(Level::new).collect();
        Ok(Self {
            window: Window::gaussian(),
            side,
            lanes: (0..lanes.max(1)).map(|_| levels()).collect(),
            values: Vec::new(),
        })
    }

    /// How many scales MS-SSIM has at this size.
    pub fn scales(&self) -> usize {
        self.lanes[0].len()
    }
}

/// The mean loss over all images; `gradient` (shaped like the prediction) is overwritten with its
/// derivative.
///
/// # Errors
/// [`Error::Shape`] if a slice does not fit the others or the scratch.
pub fn face_loss(
    scratch: &mut LossScratch,
    weights: &LossWeights,
    faces: &Comparison<'_>,
    gradient: &mut [f32],
) -> Result<LossValue, Error> {
    let images = check(scratch.side, faces, gradient.len())?;
    if images == 0 {
        return Ok(LossValue::default());
    }
    let pixels = faces.side * faces.side;
    let shares = scale_shares(weights.scales, scratch.scales());
    let per_lane = images.div_ceil(scratch.lanes.len());
    scratch.values.clear();
    scratch.values.resize(images, LossValue::default());
    let window = scratch.window;
    let job = ImageJob {
        window,
        weights,
        shares: &shares,
        images,
    };
    scratch
        .lanes
        .par_iter_mut()
        .zip(scratch.values.par_chunks_mut(per_lane))
        .zip(gradient.par_chunks_mut(per_lane * pixels * faces.channels))
        .enumerate()
        .for_each(|(lane, ((levels, values), gradient))| {
            let gradients = gradient.chunks_exact_mut(pixels * faces.channels);
            for (i, (value, gradient)) in values.iter_mut().zip(gradients).enumerate() {
                let image = image_of(faces, lane * per_lane + i, pixels);
                *value = vectorise(|| job.run(levels, &image, gradient));
            }
        });
    let mut mean = LossValue::default();
    for value in &scratch.values {
        mean.add(value, 1.0 / images as f64);
    }
    Ok(mean)
}

fn check(side: usize, faces: &Comparison<'_>, gradient: usize) -> Result<usize, Error> {
    let shape = |what, wanted, found| {
        if wanted == found {
            Ok(())
        } else {
            Err(Error::Shape {
                what,
                wanted,
                found,
            })
        }
    };
    shape("side of the loss's pictures", side, faces.side)?;
    if faces.channels != 3 && faces.channels != 4 {
        return Err(Error::Shape {
            what: "channels",
            wanted: 4,
            found: faces.channels,
        });
    }
    let pixels = side * side;
    let images = faces.prediction.len() / (pixels * faces.channels);
    shape(
        "prediction",
        images * pixels * faces.channels,
        faces.prediction.len(),
    )?;
    shape("gradient", faces.prediction.len(), gradient)?;
    shape("target", images * pixels * 3, faces.target.len())?;
    shape("mask", images * pixels, faces.mask.len())?;
    if !faces.weight.is_empty() {
        shape("weight", images * pixels, faces.weight.len())?;
    }
    Ok(images)
}

fn scale_shares(weights: ScaleWeights, scales: usize) -> Vec<f64> {
    let raw = |scale: usize| match weights {
        ScaleWeights::Wang => WANG_SCALES[scale],
        ScaleWeights::Even => 1.0,
    };
    let sum: f64 = (0..scales).map(raw).sum();
    (0..scales).map(|s| raw(s) / sum).collect()
}

fn image_of<'a>(faces: &Comparison<'a>, index: usize, pixels: usize) -> Comparison<'a> {
    let part = |all: &'a [f32], each: usize| &all[index * each..][..each];
    Comparison {
        prediction: part(faces.prediction, pixels * faces.channels),
        target: part(faces.target, pixels * 3),
        mask: part(faces.mask, pixels),
        weight: if faces.weight.is_empty() {
            &[]
        } else {
            part(faces.weight, pixels)
        },
        ..*faces
    }
}

/// What is the same for every image of a call.
struct ImageJob<'a> {
    window: Window,
    weights: &'a LossWeights,
    shares: &'a [f64],
    images: usize,
}

impl ImageJob<'_> {
    #[inline(always)]
    fn run(&self, levels: &mut [Level], image: &Comparison<'_>, out: &mut [f32]) -> LossValue {
        let weights = self.weights;
        let weight_sum = fill_weights(levels, weights.background, image);
        let share = f64::from(weights.ssim_share);
        let mut value = LossValue::default();
        for channel in 0..3 {
            fill_planes(levels, image, channel);
            let l1_slope = (1.0 - share) / (3.0 * self.images as f64 * weight_sum);
            let score = self.structure(levels);
            value.ssim += (1.0 - score) / 3.0;
            let l1 = add_l1(&mut levels[0], l1_slope as f32);
            value.l1 += l1 / (3.0 * weight_sum);
            let pixels = out.chunks_exact_mut(image.channels);
            for (pixel, slope) in pixels.zip(&levels[0].gradient) {
                pixel[channel] = *slope;
            }
        }
        if image.channels == 4 {
            let slope = f64::from(weights.mask) / (image.mask.len() * self.images) as f64;
            value.mask = mask_loss(image, slope as f32, out) / image.mask.len() as f64;
        }
        value.total =
            share * value.ssim + (1.0 - share) * value.l1 + f64::from(weights.mask) * value.mask;
        value
    }

    /// MS-SSIM of the planes in `levels`; leaves its part of the loss's derivative in the
    /// finest level's gradient.
    fn structure(&self, levels: &mut [Level]) -> f64 {
        let last = levels.len() - 1;
        let slope = -f64::from(self.weights.ssim_share) / (3.0 * self.images as f64);
        let mut score = 0.0;
        for (i, (level, share)) in levels.iter_mut().zip(self.shares).enumerate() {
            let part = if i == last {
                Part::Full
            } else {
                Part::Structure
            };
            score += share * level.compare(self.window, part, Some((slope * share) as f32));
        }
        for i in (0..last).rev() {
            let (fine, coarse) = levels.split_at_mut(i + 1);
            let side = fine[i].side();
            ssim::add_doubled(&coarse[0].gradient, side, &mut fine[i].gradient);
        }
        score
    }
}

/// Weight planes of all scales; returns the sum at the finest.
#[inline(always)]
fn fill_weights(levels: &mut [Level], background: f32, image: &Comparison<'_>) -> f64 {
    let finest = &mut levels[0].weight;
    for (weight, mask) in finest.iter_mut().zip(image.mask) {
        *weight = background + (1.0 - background) * mask;
    }
    if !image.weight.is_empty() {
        for (weight, factor) in finest.iter_mut().zip(image.weight) {
            *weight *= factor;
        }
    }
    let total = ssim::sum(finest);
    for i in 0..levels.len() {
        let (fine, coarse) = levels.split_at_mut(i + 1);
        fine[i].sum_weights();
        if let Some(next) = coarse.first_mut() {
            ssim::halve(&fine[i].weight, fine[i].side(), &mut next.weight);
        }
    }
    // A face that weighs nothing has no loss; one instead of zero keeps 0 / 0 away.
    if total == 0.0 { 1.0 } else { total }
}

#[inline(always)]
fn fill_planes(levels: &mut [Level], image: &Comparison<'_>, channel: usize) {
    let finest = &mut levels[0];
    let prediction = image.prediction.chunks_exact(image.channels);
    for (plane, pixel) in finest.x.iter_mut().zip(prediction) {
        *plane = pixel[channel];
    }
    for (plane, pixel) in finest.y.iter_mut().zip(image.target.chunks_exact(3)) {
        *plane = pixel[channel];
    }
    for i in 1..levels.len() {
        let (fine, coarse) = levels.split_at_mut(i);
        let (fine, coarse) = (&fine[i - 1], &mut coarse[0]);
        ssim::halve(&fine.x, fine.side(), &mut coarse.x);
        ssim::halve(&fine.y, fine.side(), &mut coarse.y);
    }
}

/// Σ weight · |x − y|; adds `slope` times its derivative to the level's gradient.
#[inline(always)]
fn add_l1(level: &mut Level, slope: f32) -> f64 {
    let side = level.side();
    let rows = level.x.chunks_exact(side).zip(level.y.chunks_exact(side));
    let rest = level
        .weight
        .chunks_exact(side)
        .zip(level.gradient.chunks_exact_mut(side));
    let mut total = 0.0;
    for ((x, y), (weight, gradient)) in rows.zip(rest) {
        let mut lanes = [0.0f32; 16];
        for (i, ((x, y), (w, g))) in x.iter().zip(y).zip(weight.iter().zip(gradient)).enumerate() {
            let difference = x - y;
            lanes[i % 16] += w * difference.abs();
            let sign = f32::from(i8::from(difference > 0.0) - i8::from(difference < 0.0));
            *g += slope * w * sign;
        }
        total += ssim::sum(&lanes);
    }
    total
}

/// Σ BCE + MSE of channel 4; overwrites its gradient with `slope` times the derivative.
#[inline(always)]
fn mask_loss(image: &Comparison<'_>, slope: f32, out: &mut [f32]) -> f64 {
    let mut total = 0.0;
    let pixels = image
        .prediction
        .chunks_exact(4)
        .zip(out.chunks_exact_mut(4));
    for ((pixel, out), &wanted) in pixels.zip(image.mask) {
        let found = pixel[3];
        let safe = found.clamp(MASK_MARGIN, 1.0 - MASK_MARGIN);
        let entropy = -(wanted * safe.ln() + (1.0 - wanted) * (1.0 - safe).ln());
        let difference = found - wanted;
        total += f64::from(entropy + difference * difference);
        out[3] = slope * ((safe - wanted) / (safe * (1.0 - safe)) + 2.0 * difference);
    }
    total
}

#[cfg(test)]
mod tests;
