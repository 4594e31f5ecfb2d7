//! How far a picture is from the truth inside a mask. Pure functions of numbers.
//!
//! Everything works on square patches, RGB 0 to 1, `[side, side, 3]`, with a mask 0 to 1,
//! `[side, side]`; [`Window`] cuts such patches out of frames. MAE, PSNR and SSIM are those of
//! [`stockpot_train::metrics`]; the others are written here. Start with [`score`].

use stockpot_core::image::{Gray8, Rgb8};
use stockpot_train::Error;
use stockpot_train::loss::Comparison;
use stockpot_train::metrics::score_faces;

/// Luminance of gamma-encoded RGB (ITU-R BT.601), as in the metrics of training.
const LUMINANCE: [f32; 3] = [0.299, 0.587, 0.114];
/// How far from the mask's edge a pixel still lies on the seam, in pixels.
const SEAM_PX: usize = 2;
/// Margin of a [`Window`] around the mask: half of SSIM's window of 11 px, so that every pixel
/// of the mask has a whole window.
const MARGIN_PX: i64 = 5;
/// The smallest side that SSIM can be computed on.
const LEAST_SIDE: i64 = 11;

/// What two patches are compared by.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Score {
    /// Mean absolute difference inside the mask, 0 to 1.
    pub mae: f64,
    /// Structural similarity of the luminance inside the mask, at most 1.
    pub ssim: f64,
    /// Peak signal-to-noise ratio inside the mask, dB, at most 100.
    pub psnr_db: f64,
    /// Energy of fine detail over that of the truth: below 1 is blurred, above 1 is noisy.
    pub detail: f64,
}

/// Compares a patch with the truth.
///
/// # Shapes
/// `prediction` and `target`: `[side, side, 3]`; `mask`: `[side, side]`.
///
/// # Errors
/// If the slices do not fit each other, or `side` is below 11.
pub fn score(
    side: usize,
    prediction: &[f32],
    target: &[f32],
    mask: &[f32],
) -> Result<Score, Error> {
    let found = score_faces(&Comparison {
        side,
        channels: 3,
        prediction,
        target,
        mask,
        weight: &[],
    })?;
    Ok(Score {
        mae: found.mae,
        ssim: found.ssim,
        psnr_db: found.psnr_db,
        detail: detail_ratio(side, prediction, target, mask),
    })
}

/// The mean of some scores; all zero for none.
pub fn mean(scores: &[Score]) -> Score {
    let n = scores.len().max(1) as f64;
    let of = |value: fn(&Score) -> f64| scores.iter().map(value).sum::<f64>() / n;
    Score {
        mae: of(|s| s.mae),
        ssim: of(|s| s.ssim),
        psnr_db: of(|s| s.psnr_db),
        detail: of(|s| s.detail),
    }
}

fn luminance(pixel: &[f32]) -> f32 {
    LUMINANCE.iter().zip(pixel).map(|(w, v)| w * v).sum()
}

/// Mean square of the Laplacian (four neighbours) of the luminance, weighted with the mask; the
/// outermost pixels are left out. 0 for an empty mask.
pub fn detail_energy(side: usize, rgb: &[f32], mask: &[f32]) -> f64 {
    let plane: Vec<f32> = rgb.chunks_exact(3).map(luminance).collect();
    let (mut sum, mut weight) = (0.0f64, 0.0f64);
    for y in 1..side.saturating_sub(1) {
        for x in 1..side - 1 {
            let i = y * side + x;
            let around = plane[i - 1] + plane[i + 1] + plane[i - side] + plane[i + side];
            let laplacian = f64::from(4.0 * plane[i] - around);
            sum += f64::from(mask[i]) * laplacian * laplacian;
            weight += f64::from(mask[i]);
        }
    }
    if weight == 0.0 { 0.0 } else { sum / weight }
}

/// Energy of detail of a patch over that of the truth; NaN if the truth has none.
pub fn detail_ratio(side: usize, prediction: &[f32], target: &[f32], mask: &[f32]) -> f64 {
    detail_energy(side, prediction, mask) / detail_energy(side, target, mask)
}

/// Mean absolute difference of the gradients (forward differences in x and y, all colours) of a
/// patch and the truth on the seam: the pixels within 2 px of the mask's edge at one half. What a
/// visible edge of a pasted face adds. NaN if the mask has no edge.
pub fn seam_error(side: usize, prediction: &[f32], target: &[f32], mask: &[f32]) -> f64 {
    let seam = seam_of(side, mask);
    let (mut sum, mut count) = (0.0f64, 0u64);
    for y in 0..side.saturating_sub(1) {
        for x in 0..side - 1 {
            let i = y * side + x;
            if !seam[i] {
                continue;
            }
            for next in [i + 1, i + side] {
                for c in 0..3 {
                    let step = |all: &[f32]| all[next * 3 + c] - all[i * 3 + c];
                    sum += f64::from((step(prediction) - step(target)).abs());
                    count += 1;
                }
            }
        }
    }
    sum / count as f64
}

/// The pixels within [`SEAM_PX`] of a pixel on the other side of the mask's edge.
fn seam_of(side: usize, mask: &[f32]) -> Vec<bool> {
    let inside = |x: usize, y: usize| mask[y * side + x] >= 0.5;
    let mut seam = vec![false; side * side];
    for y in 0..side {
        for x in 0..side {
            let rows = y.saturating_sub(SEAM_PX)..=(y + SEAM_PX).min(side - 1);
            let mine = inside(x, y);
            seam[y * side + x] = rows.into_iter().any(|v| {
                let columns = x.saturating_sub(SEAM_PX)..=(x + SEAM_PX).min(side - 1);
                columns.into_iter().any(|u| inside(u, v) != mine)
            });
        }
    }
    seam
}

/// Mean absolute difference between what changed from one frame to the next and what should have
/// changed, inside the mask, 0 to 1. Each pair is the earlier and the later patch, cut by one window.
pub fn flicker(prediction: [&[f32]; 2], target: [&[f32]; 2], mask: &[f32]) -> f64 {
    let (mut sum, mut weight) = (0.0f64, 0.0f64);
    for (i, m) in mask.iter().enumerate() {
        for c in i * 3..i * 3 + 3 {
            let changed = |pair: [&[f32]; 2]| pair[1][c] - pair[0][c];
            sum += f64::from(*m) * f64::from((changed(prediction) - changed(target)).abs());
        }
        weight += 3.0 * f64::from(*m);
    }
    if weight == 0.0 { 0.0 } else { sum / weight }
}

/// A patch with the mean and spread of each colour moved to those of another, both taken inside the
/// mask (Reinhard, Ashikhmin, Gooch and Shirley 2001, on encoded RGB instead of their colour space).
pub fn with_colours_of(patch: &[f32], other: &[f32], mask: &[f32]) -> Vec<f32> {
    let (from, to) = (colours(patch, mask), colours(other, mask));
    let mut out = patch.to_vec();
    for pixel in out.chunks_exact_mut(3) {
        for (c, value) in pixel.iter_mut().enumerate() {
            let stretch = to[c].1 / from[c].1.max(1e-6);
            *value = ((*value - from[c].0) * stretch + to[c].0).clamp(0.0, 1.0);
        }
    }
    out
}

/// Mean and standard deviation of each colour inside the mask.
fn colours(patch: &[f32], mask: &[f32]) -> [(f32, f32); 3] {
    let weight: f64 = mask.iter().map(|m| f64::from(*m)).sum::<f64>().max(1e-9);
    std::array::from_fn(|c| {
        let values = || patch.iter().skip(c).step_by(3).zip(mask);
        let mean = values()
            .map(|(v, m)| f64::from(*m) * f64::from(*v))
            .sum::<f64>()
            / weight;
        let square = values()
            .map(|(v, m)| f64::from(*m) * (f64::from(*v) - mean).powi(2))
            .sum::<f64>();
        (mean as f32, (square / weight).sqrt() as f32)
    })
}

/// A patch blurred with a Gaussian of `sigma_px`, edges repeated.
pub fn blurred(side: usize, patch: &[f32], sigma_px: f32) -> Vec<f32> {
    let reach = (3.0 * sigma_px).ceil() as i64;
    let taps: Vec<f32> = (-reach..=reach)
        .map(|k| (-(k * k) as f32 / (2.0 * sigma_px * sigma_px)).exp())
        .collect();
    let total: f32 = taps.iter().sum();
    let last = side as i64 - 1;
    let pass = |from: &[f32], along_x: bool| -> Vec<f32> {
        let mut out = vec![0.0; from.len()];
        for y in 0..side {
            for x in 0..side {
                for (k, tap) in (-reach..=reach).zip(&taps) {
                    let (u, v) = match along_x {
                        true => ((x as i64 + k).clamp(0, last) as usize, y),
                        false => (x, (y as i64 + k).clamp(0, last) as usize),
                    };
                    for c in 0..3 {
                        out[(y * side + x) * 3 + c] += tap / total * from[(v * side + u) * 3 + c];
                    }
                }
            }
        }
        out
    };
    pass(&pass(patch, true), false)
}

/// A square of a frame around a mask. What lies outside the frame repeats its edge and has no mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Window {
    left: i64,
    top: i64,
    /// Width and height in pixels, at least 11.
    pub side: usize,
}

impl Window {
    /// The smallest square with a margin of 5 px around all that is above zero in the mask; nothing
    /// for an empty mask.
    pub fn around(mask: &Gray8) -> Option<Self> {
        let (mut low, mut high) = ([i64::MAX; 2], [i64::MIN; 2]);
        let width = mask.size().width as usize;
        for (i, _) in mask.data().iter().enumerate().filter(|(_, m)| **m > 0) {
            for (k, at) in [(i % width) as i64, (i / width) as i64]
                .into_iter()
                .enumerate()
            {
                low[k] = low[k].min(at);
                high[k] = high[k].max(at);
            }
        }
        if low[0] > high[0] {
            return None;
        }
        let wide = (high[0] - low[0]).max(high[1] - low[1]) + 1 + 2 * MARGIN_PX;
        let side = wide.max(LEAST_SIDE);
        let start = |k: usize| (low[k] + high[k] + 1 - side).div_euclid(2);
        Some(Self {
            left: start(0),
            top: start(1),
            side: side as usize,
        })
    }

    /// The patch of a frame, `[side, side, 3]`.
    pub fn rgb(&self, frame: &Rgb8) -> Vec<f32> {
        let size = frame.size();
        let inside = |at: i64, limit: u32| at.clamp(0, i64::from(limit) - 1) as u32;
        self.places()
            .flat_map(|(x, y)| frame.pixel(inside(x, size.width), inside(y, size.height)))
            .map(|v| f32::from(v) / 255.0)
            .collect()
    }

    /// The patch of a mask, `[side, side]`.
    pub fn gray(&self, mask: &Gray8) -> Vec<f32> {
        let size = mask.size();
        let at = |(x, y): (i64, i64)| match (u32::try_from(x), u32::try_from(y)) {
            (Ok(x), Ok(y)) if x < size.width && y < size.height => {
                f32::from(mask.pixel(x, y)[0]) / 255.0
            }
            _ => 0.0,
        };
        self.places().map(at).collect()
    }

    fn places(&self) -> impl Iterator<Item = (i64, i64)> {
        let Self { left, top, side } = *self;
        let side = side as i64;
        (0..side).flat_map(move |y| (0..side).map(move |x| (left + x, top + y)))
    }
}

#[cfg(test)]
mod tests {
    use stockpot_core::image::Size;

    use super::*;

    const SIDE: usize = 12;

    fn flat(value: f32) -> Vec<f32> {
        vec![value; SIDE * SIDE * 3]
    }

    fn whole() -> Vec<f32> {
        vec![1.0; SIDE * SIDE]
    }

    /// Grey 0.5 with columns going up and down by 0.1.
    fn striped() -> Vec<f32> {
        let value = |i: usize| if (i / 3).is_multiple_of(2) { 0.6 } else { 0.4 };
        (0..SIDE * SIDE * 3).map(value).collect()
    }

    #[test]
    fn differences_count_only_inside_the_mask() {
        let mut off = flat(0.5);
        off[..SIDE * 3].fill(0.9);
        let mut mask = whole();
        assert!((score(SIDE, &off, &flat(0.5), &mask).unwrap().mae - 0.4 / 12.0).abs() < 1e-6);
        mask[..SIDE].fill(0.0);
        let rest = score(SIDE, &off, &flat(0.5), &mask).unwrap();
        assert!(rest.mae < 1e-9 && rest.psnr_db == 100.0);
        assert!(score(10, &off, &flat(0.5), &mask).is_err());
    }

    #[test]
    fn detail_is_the_energy_of_the_laplacian() {
        // A stripe differs by 0.2 from both its neighbours in x and from none in y: (0.4)².
        let energy = detail_energy(SIDE, &striped(), &whole());
        assert!((energy - 0.16).abs() < 1e-6, "{energy}");
        assert_eq!(detail_energy(SIDE, &flat(0.3), &whole()), 0.0);
        assert_eq!(
            detail_energy(SIDE, &striped(), &vec![0.0; SIDE * SIDE]),
            0.0
        );
        let half: Vec<f32> = striped().iter().map(|v| 0.5 + (v - 0.5) / 2.0).collect();
        let ratio = detail_ratio(SIDE, &half, &striped(), &whole());
        assert!((ratio - 0.25).abs() < 1e-5, "{ratio}");
        assert!(detail_ratio(SIDE, &half, &flat(0.5), &whole()).is_infinite());
    }

    #[test]
    fn a_seam_is_an_edge_where_none_should_be() {
        let mask: Vec<f32> = (0..SIDE * SIDE)
            .map(|i| if i % SIDE < 6 { 1.0 } else { 0.0 })
            .collect();
        // 0.2 brighter inside: one step of 0.2 between columns 5 and 6. The seam is columns 4 to
        // 7, so that of its four steps in x one is off, and of those in y none.
        let pasted: Vec<f32> = (0..SIDE * SIDE * 3)
            .map(|i| if (i / 3) % SIDE < 6 { 0.7 } else { 0.5 })
            .collect();
        let found = seam_error(SIDE, &pasted, &flat(0.5), &mask);
        assert!((found - 0.2 / 8.0).abs() < 1e-6, "{found}");
        assert_eq!(seam_error(SIDE, &flat(0.7), &flat(0.5), &mask), 0.0);
        assert!(seam_error(SIDE, &pasted, &flat(0.5), &whole()).is_nan());
    }

    #[test]
    fn flicker_is_what_should_not_have_changed() {
        let (a, b) = (flat(0.5), flat(0.6));
        let found = flicker([&a, &b], [&a, &a], &whole());
        assert!((found - 0.1).abs() < 1e-6);
        // The same change as in the truth is none, even if the level is off.
        assert!(flicker([&a, &b], [&flat(0.2), &flat(0.3)], &whole()) < 1e-6);
        assert_eq!(flicker([&a, &b], [&a, &a], &vec![0.0; SIDE * SIDE]), 0.0);
    }

    #[test]
    fn colours_are_moved_to_those_of_another() {
        let other: Vec<f32> = striped().iter().map(|v| 0.3 + (v - 0.5) * 2.0).collect();
        let moved = with_colours_of(&striped(), &other, &whole());
        for (found, wanted) in moved.iter().zip(&other) {
            assert!((found - wanted).abs() < 1e-5, "{found} {wanted}");
        }
    }

    #[test]
    fn blur_keeps_the_mean_and_takes_detail() {
        let soft = blurred(SIDE, &striped(), 1.5);
        assert!(detail_ratio(SIDE, &soft, &striped(), &whole()) < 0.01);
        let mean = soft.iter().sum::<f32>() / soft.len() as f32;
        assert!((mean - 0.5).abs() < 0.01);
        let same = blurred(SIDE, &flat(0.4), 2.0);
        assert!(same.iter().all(|v| (v - 0.4).abs() < 1e-5));
    }

    #[test]
    fn windows_hold_the_mask_and_repeat_the_frame() {
        let mut mask = Gray8::new(Size::new(40, 30));
        assert_eq!(Window::around(&mask), None);
        mask.set_pixel(1, 2, [255]);
        mask.set_pixel(20, 12, [128]);
        let window = Window::around(&mask).unwrap();
        assert_eq!((window.left, window.side), (-4, 30));
        let patch = window.gray(&mask);
        assert!((patch.iter().sum::<f32>() - 1.0 - 128.0 / 255.0).abs() < 1e-5);
        let mut frame = Rgb8::new(Size::new(40, 30));
        frame.set_pixel(0, 0, [255, 0, 0]);
        let rgb = window.rgb(&frame);
        assert_eq!(rgb.len(), 30 * 30 * 3);
        assert_eq!(rgb[0], 1.0, "left of the frame its edge is repeated");
    }
}
