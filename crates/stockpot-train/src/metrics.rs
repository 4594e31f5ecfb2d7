//! How good reconstructions of held-out faces are: SSIM, mean absolute error, PSNR.
//!
//! For reports, never for training. Pure functions; knows nothing of networks or persons. Start
//! with [`score_faces`].
//!
//! * **SSIM** is the index of [`crate::ssim`] on luminance (BT.601 weights on the gamma-encoded
//!   values, as in the paper's own program), one scale. `ssim` weights each window with the face
//!   mask at its centre; `ssim_whole` counts the whole picture alike.
//! * **MAE** and **PSNR** are over the face mask and the three colours.

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::loss::Comparison;
use crate::ssim::{self, Level, Part, Window};

/// Luminance of gamma-encoded RGB (ITU-R BT.601).
const LUMINANCE: [f32; 3] = [0.299, 0.587, 0.114];
/// A perfect picture has no noise; its PSNR is given as this many dB so that means stay finite.
pub const PSNR_CEILING_DB: f64 = 100.0;

/// Means over the faces compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct FaceScore {
    /// Structural similarity inside the face mask, at most 1.
    pub ssim: f64,
    /// Structural similarity of the whole picture, at most 1.
    pub ssim_whole: f64,
    /// Mean absolute difference inside the mask, 0 to 1.
    pub mae: f64,
    /// Peak signal-to-noise ratio inside the mask, dB.
    pub psnr_db: f64,
}

impl FaceScore {
    pub(crate) fn add(&mut self, other: &Self, factor: f64) {
        self.ssim += factor * other.ssim;
        self.ssim_whole += factor * other.ssim_whole;
        self.mae += factor * other.mae;
        self.psnr_db += factor * other.psnr_db;
    }
}

/// The mean score of all images. `weight` is not used.
///
/// # Errors
/// [`Error::Shape`] if the slices do not fit each other; [`Error::PictureTooSmall`] below 11 px.
pub fn score_faces(faces: &Comparison<'_>) -> Result<FaceScore, Error> {
    let (side, channels) = (faces.side, faces.channels);
    if side < ssim::TAPS {
        return Err(Error::PictureTooSmall {
            side,
            least: ssim::TAPS,
        });
    }
    let pixels = side * side;
    let images = faces.mask.len() / pixels;
    for (what, each, found) in [
        ("mask", 1, faces.mask.len()),
        ("prediction", channels, faces.prediction.len()),
        ("target", 3, faces.target.len()),
    ] {
        if images * pixels * each != found || channels < 3 {
            return Err(Error::Shape {
                what,
                wanted: images * pixels * each,
                found,
            });
        }
    }
    let mut level = Level::new(side);
    let mut mean = FaceScore::default();
    for i in 0..images {
        let prediction = &faces.prediction[i * pixels * channels..][..pixels * channels];
        let target = &faces.target[i * pixels * 3..][..pixels * 3];
        let mask = &faces.mask[i * pixels..][..pixels];
        let score = score_one(&mut level, channels, prediction, target, mask);
        mean.add(&score, 1.0 / images as f64);
    }
    Ok(mean)
}

fn score_one(
    level: &mut Level,
    channels: usize,
    prediction: &[f32],
    target: &[f32],
    mask: &[f32],
) -> FaceScore {
    let (mut absolute, mut squared, mut weight) = (0.0f64, 0.0f64, 0.0f64);
    let pixels = prediction
        .chunks_exact(channels)
        .zip(target.chunks_exact(3));
    for (i, ((x, y), m)) in pixels.zip(mask).enumerate() {
        let luminance = |p: &[f32]| LUMINANCE.iter().zip(p).map(|(w, v)| w * v).sum::<f32>();
        level.x[i] = luminance(x);
        level.y[i] = luminance(y);
        for (x, y) in x.iter().zip(y) {
            let difference = f64::from(x - y);
            absolute += f64::from(*m) * difference.abs();
            squared += f64::from(*m) * difference * difference;
        }
        weight += 3.0 * f64::from(*m);
    }
    let weight = if weight == 0.0 { 1.0 } else { weight };
    let window = Window::gaussian();
    let mut ssim_with = |weights: Option<&[f32]>| {
        match weights {
            Some(mask) => level.weight.copy_from_slice(mask),
            None => level.weight.fill(1.0),
        }
        level.sum_weights();
        level.compare(window, Part::Full, None)
    };
    FaceScore {
        ssim: ssim_with(Some(mask)),
        ssim_whole: ssim_with(None),
        mae: absolute / weight,
        psnr_db: psnr_db(squared / weight),
    }
}

/// Peak signal-to-noise ratio of a mean squared error against a peak of 1.
fn psnr_db(mean_square: f64) -> f64 {
    let found = -10.0 * mean_square.log10();
    // `min` would turn a NaN into the ceiling.
    if found > PSNR_CEILING_DB {
        PSNR_CEILING_DB
    } else {
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flat(side: usize, prediction: f32, target: f32, mask: f32) -> FaceScore {
        let n = side * side;
        let prediction = vec![prediction; n * 4];
        let target = vec![target; n * 3];
        let mask = vec![mask; n];
        score_faces(&Comparison {
            side,
            channels: 4,
            prediction: &prediction,
            target: &target,
            mask: &mask,
            weight: &[],
        })
        .unwrap()
    }

    #[test]
    fn flat_pictures_give_numbers_worked_by_hand() {
        let score = flat(16, 0.6, 0.5, 1.0);
        assert!((score.mae - 0.1).abs() < 1e-6);
        assert!((score.psnr_db - 20.0).abs() < 1e-4, "{}", score.psnr_db);
        // (2·0.3 + 0.0001) / (0.36 + 0.25 + 0.0001)
        assert!(
            (score.ssim - 0.6001 / 0.6101).abs() < 1e-3,
            "{}",
            score.ssim
        );
        let same = flat(16, 0.5, 0.5, 1.0);
        assert!((same.ssim - 1.0).abs() < 1e-4 && same.mae == 0.0);
        assert_eq!(same.psnr_db, PSNR_CEILING_DB);
    }

    #[test]
    fn an_empty_mask_and_poison_do_not_panic() {
        assert_eq!(flat(11, 0.1, 0.9, 0.0).mae, 0.0);
        let poisoned = flat(12, f32::NAN, 0.5, 1.0);
        assert!(poisoned.mae.is_nan() && poisoned.ssim.is_nan() && poisoned.psnr_db.is_nan());
    }
}
