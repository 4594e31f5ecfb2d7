//! Scaling a stored crop without turning it: the same picture as `stockpot_core::warp::warp_affine`
//! gives, several times as fast, because the two axes can be done one after the other.
//!
//! The sameness matters: faces are trained on what comes out here, and swapped on what comes out
//! there.

use stockpot_core::Rgb8;
use stockpot_core::image::Size;

/// Above this many source pixels to the target pixel the core averages; below it takes points.
const AVERAGE_ABOVE: f64 = 1.5;

/// The square of `side` x `side` target pixels, each `step` source pixels wide, whose upper left
/// corner lies at `start` (x, y) in the source. Beyond the source its border is repeated. An
/// empty source gives a black result.
pub(crate) fn scaled(source: &Rgb8, side: u32, step: f64, start: (f64, f64)) -> Rgb8 {
    let mut out = Rgb8::new(Size::square(side));
    let size = source.size();
    if size.pixels() == 0 || side == 0 {
        return out;
    }
    let across = taps(side, step, start.0, size.width as usize);
    let down = taps(side, step, start.1, size.height as usize);
    let stride = side as usize * 3;
    let first = down.iter().map(|t| t.first).min().unwrap_or(0);
    let end = down
        .iter()
        .map(|t| t.first + t.weights.len())
        .max()
        .unwrap_or(0);
    let mut narrow = vec![0.0f32; (end - first) * stride];
    for (y, row) in (first..end).zip(narrow.chunks_exact_mut(stride)) {
        let source = source.row(y as u32);
        for (out, tap) in row.chunks_exact_mut(3).zip(&across) {
            let pixels = source[tap.first * 3..].chunks_exact(3);
            let (mut r, mut g, mut b) = (0.0, 0.0, 0.0);
            for (pixel, w) in pixels.zip(&tap.weights) {
                r += f32::from(pixel[0]) * w;
                g += f32::from(pixel[1]) * w;
                b += f32::from(pixel[2]) * w;
            }
            out.copy_from_slice(&[r, g, b]);
        }
    }
    let mut sum = vec![0.0f32; stride];
    for (y, tap) in (0..side).zip(&down) {
        sum.fill(0.5); // rounds
        let rows = narrow[(tap.first - first) * stride..].chunks_exact(stride);
        for (row, w) in rows.zip(&tap.weights) {
            for (s, v) in sum.iter_mut().zip(row) {
                *s += v * w;
            }
        }
        for (out, s) in out.row_mut(y).iter_mut().zip(&sum) {
            *out = *s as u8;
        }
    }
    out
}

/// The source pixels that one target pixel is made of, along one axis.
struct Taps {
    first: usize,
    weights: Vec<f32>,
}

fn taps(side: u32, step: f64, start: f64, length: usize) -> Vec<Taps> {
    (0..side)
        .map(|i| taps_at(start + (f64::from(i) + 0.5) * step, step, length))
        .collect()
}

/// Linear interpolation between pixel centres around `centre`, averaged over `step` pixels.
fn taps_at(centre: f64, step: f64, length: usize) -> Taps {
    let half = if step > AVERAGE_ABOVE {
        step / 2.0
    } else {
        0.0
    };
    let last = length as i64 - 1;
    let inside = |index: f64| (index as i64).clamp(0, last) as usize;
    let (low, high) = ((centre - half - 1.5).floor(), (centre + half + 0.5).ceil());
    let first = inside(low);
    let mut weights = vec![0.0; inside(high) - first + 1];
    // Pixels beyond the border count for the border.
    for index in low as i64..=high as i64 {
        let off = index as f64 + 0.5 - centre;
        let weight = if half > 0.0 {
            (tent_below(off + half) - tent_below(off - half)) / step
        } else {
            (1.0 - off.abs()).max(0.0)
        };
        weights[index.clamp(0, last) as usize - first] += weight as f32;
    }
    Taps { first, weights }
}

/// The area of a tent of height 1 and half width 1 to the left of `x`.
fn tent_below(x: f64) -> f64 {
    let x = x.clamp(-1.0, 1.0);
    if x < 0.0 {
        (x + 1.0) * (x + 1.0) / 2.0
    } else {
        1.0 - (1.0 - x) * (1.0 - x) / 2.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::drawn;
    use stockpot_core::space::Affine;
    use stockpot_core::warp;

    #[test]
    fn agrees_with_the_core() {
        let source = drawn::frame(3);
        for (side, step, start) in [
            (60, 3.57, 7.3),
            (64, 2.1, -9.0),
            (80, 1.2, 30.5),
            (50, 0.7, 100.0),
            (16, 14.0, 2.0),
        ] {
            let map = Affine::<(), ()>::scale_then_shift(step, start, start);
            let wanted = warp::warp_affine(&source, Size::square(side), &map);
            let found = scaled(&source, side, step, (start, start));
            let pairs = wanted.data().iter().zip(found.data());
            let off: Vec<u32> = pairs.map(|(a, b)| u32::from(a.abs_diff(*b))).collect();
            let mean = f64::from(off.iter().sum::<u32>()) / off.len() as f64;
            let worst = off.iter().max().unwrap();
            assert!(
                mean < 0.7 && *worst <= 4,
                "step {step}: mean {mean}, worst {worst}"
            );
        }
    }

    #[test]
    fn a_plain_copy_is_exact_and_weights_sum_to_one() {
        let source = drawn::frame(1);
        let copy = scaled(&source, 100, 1.0, (20.0, 20.0));
        assert!((0..100).all(|y| copy.row(y) == &source.row(y + 20)[60..360]));
        for (centre, step) in [
            (5.0, 3.3),
            (-40.0, 2.0),
            (0.2, 1.0),
            (99.9, 7.7),
            (500.0, 4.0),
        ] {
            let sum: f32 = taps_at(centre, step, 100).weights.iter().sum();
            assert!((sum - 1.0).abs() < 1e-5, "{centre} {step}: {sum}");
        }
    }

    #[test]
    fn a_column_is_averaged_by_hand() {
        // Step 2 at centre 3: the box from 2 to 4 over linear interpolation between centres 1.5,
        // 2.5, 3.5 and 4.5 gives 1/16, 7/16, 7/16 and 1/16.
        let tap = taps_at(3.0, 2.0, 10);
        let start = 1 - tap.first;
        for (k, wanted) in [0.0625, 0.4375, 0.4375, 0.0625].into_iter().enumerate() {
            assert!((tap.weights[start + k] - wanted).abs() < 1e-6);
        }
    }
}
