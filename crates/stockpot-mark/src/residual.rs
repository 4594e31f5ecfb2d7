//! What of a picture may be the mark: luminance without what is slow in it, evened out so that
//! hair counts no more than skin. Knows nothing of the pattern.

use rayon::prelude::*;
use stockpot_core::{Image, Size};

use crate::embed::Depth;

/// Half a window over which mean and variance are taken, in px.
const RADIUS: usize = 8;
/// Variance that counts as nothing: rounding and a little noise, in levels of 255 squared.
const CALM: f32 = 1.0;
/// Rows that are worked on together.
const BAND: usize = 32;

/// One number per pixel.
pub(crate) struct Plane {
    pub(crate) width: usize,
    pub(crate) height: usize,
    pub(crate) data: Vec<f32>,
}

/// By how much a picture of this size is made smaller before it is looked at.
pub(crate) fn factor(size: Size, longest_px: u32) -> u32 {
    size.width.max(size.height).div_ceil(longest_px).max(1)
}

/// The evened residual of a frame, made smaller by a whole factor.
pub(crate) fn of<T: Depth>(frame: &Image<T, 3>, factor: u32) -> Plane {
    let mut plane = luminance(frame, factor as usize);
    let (width, height) = (plane.width, plane.height);
    let mean = box_mean(&plane.data, width, height);
    plane
        .data
        .par_iter_mut()
        .zip(&mean)
        .for_each(|(value, mean)| *value -= mean);
    let squares: Vec<f32> = plane.data.par_iter().map(|v| v * v).collect();
    let variance = box_mean(&squares, width, height);
    plane
        .data
        .par_iter_mut()
        .zip(&variance)
        .for_each(|(value, variance)| {
            // Noise grows with the deviation, the mark's strength more slowly: the power lies
            // between evening out (1/2) and the weight of a mark of one strength (1).
            let v = variance.max(0.0) + CALM;
            *value /= v.sqrt() * v.sqrt().sqrt();
        });
    plane
}

/// In levels of 255, with the weights of BT.601; any would do.
fn luminance<T: Depth>(frame: &Image<T, 3>, factor: usize) -> Plane {
    let width = frame.size().width as usize / factor;
    let height = frame.size().height as usize / factor;
    let by = 1.0 / (T::LEVEL * (factor * factor) as f32);
    let mut data = vec![0.0; width * height];
    data.par_chunks_exact_mut(width.max(1))
        .enumerate()
        .for_each(|(y, row)| {
            for dy in 0..factor {
                let source = frame.row((y * factor + dy) as u32);
                for (value, pixels) in row.iter_mut().zip(source.chunks_exact(3 * factor)) {
                    for p in pixels.chunks_exact(3) {
                        *value +=
                            0.299 * p[0].to_f32() + 0.587 * p[1].to_f32() + 0.114 * p[2].to_f32();
                    }
                }
            }
            row.iter_mut().for_each(|v| *v *= by);
        });
    Plane {
        width,
        height,
        data,
    }
}

/// The mean over a window around each pixel, over fewer at the rim.
fn box_mean(data: &[f32], width: usize, height: usize) -> Vec<f32> {
    let mut across = vec![0.0; data.len()];
    across
        .par_chunks_exact_mut(width)
        .zip(data.par_chunks_exact(width))
        .for_each(|(out, row)| {
            let mut sum: f64 = row[..RADIUS.min(width)].iter().map(|v| f64::from(*v)).sum();
            for x in 0..width {
                if x + RADIUS < width {
                    sum += f64::from(row[x + RADIUS]);
                }
                if x > RADIUS {
                    sum -= f64::from(row[x - RADIUS - 1]);
                }
                let count = width.min(x + RADIUS + 1) - x.saturating_sub(RADIUS);
                out[x] = (sum / count as f64) as f32;
            }
        });
    let mut out = vec![0.0; data.len()];
    out.par_chunks_mut(width * BAND)
        .enumerate()
        .for_each(|(band, rows)| {
            // Each band sums afresh, so that the result does not depend on who works on what.
            let mut sums = vec![0.0f32; width];
            let add = |sums: &mut [f32], y: usize, sign: f32| {
                for (sum, v) in sums.iter_mut().zip(&across[y * width..(y + 1) * width]) {
                    *sum += sign * v;
                }
            };
            let top = band * BAND;
            for y in top.saturating_sub(RADIUS)..height.min(top + RADIUS) {
                add(&mut sums, y, 1.0);
            }
            for (i, row) in rows.chunks_exact_mut(width).enumerate() {
                let y = top + i;
                if y + RADIUS < height {
                    add(&mut sums, y + RADIUS, 1.0);
                }
                if i > 0 && y > RADIUS {
                    add(&mut sums, y - RADIUS - 1, -1.0);
                }
                let count = height.min(y + RADIUS + 1) - y.saturating_sub(RADIUS);
                let by = 1.0 / count as f32;
                for (out, sum) in row.iter_mut().zip(&sums) {
                    *out = sum * by;
                }
            }
        });
    out
}

#[cfg(test)]
mod tests {
    use stockpot_core::Rng;

    use super::*;

    #[test]
    fn the_box_mean_is_the_mean_of_the_box() {
        let (width, height) = (37, 75);
        let mut rng = Rng::stream(1, "box test", 0);
        let data: Vec<f32> = (0..width * height).map(|_| rng.normal()).collect();
        let fast = box_mean(&data, width, height);
        for y in 0..height {
            for x in 0..width {
                let (mut sum, mut count) = (0.0, 0);
                for v in y.saturating_sub(RADIUS)..height.min(y + RADIUS + 1) {
                    for u in x.saturating_sub(RADIUS)..width.min(x + RADIUS + 1) {
                        sum += data[v * width + u];
                        count += 1;
                    }
                }
                let found = fast[y * width + x];
                assert!((found - sum / count as f32).abs() < 1e-4, "{x} {y} {found}");
            }
        }
    }
}
