//! A decoded face back into its frame: colour corrected, enlarged, blended inside of a soft mask.
//!
//! Only pixels under the mask are computed, and only pixels whose mask is above zero are written,
//! so everything else keeps its bits. Enlarging is Catmull-Rom (Keys 1981, a = -1/2): a patch of 64
//! to 128 pixels on a face of 300 is visibly crisper than bilinear. Start at [`paste()`].

use stockpot_core::image::Image;
use stockpot_core::space::{Affine, Frame, Net};

use crate::colour::ColourFix;
use crate::error::Error;
use crate::mask::{BlendMask, Flaws, blend_mask};
use crate::placement::{Colour, Depth, FacePatch, add_scaled, check_frame, scaled};
use crate::settings::{Blend, ConvertSettings};

/// Repeated pixels around the packed patch, so that the cubic needs no bounds logic.
const BORDER: usize = 2;
/// Patch pixels per frame pixel from which on several samples are averaged.
const SHRINK_FROM: f64 = 1.5;
/// At most this many samples along one side of a frame pixel.
const MAX_GRID: usize = 8;

/// What [`paste()`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct PasteReport {
    /// Frame pixels with a mask above zero. Zero means that the frame is unchanged.
    pub pixels: usize,
    /// Left, top, right, bottom (exclusive) of those pixels.
    pub bounds: Option<[u32; 4]>,
    /// Patch pixels that were not finite and therefore left out, with some pixels around them.
    /// More than zero means that the network is broken.
    pub bad_values: usize,
}

/// Puts a face into `frame`, in place.
///
/// # Errors
/// [`Error::Setting`], [`Error::NoOval`], [`Error::EmptyFrame`], [`Error::Transform`],
/// [`Error::Resolution`] or [`Error::Length`]; the frame is unchanged then.
pub fn paste<T: Depth>(
    frame: &mut Image<T, 3>,
    patch: &FacePatch,
    fix: &ColourFix,
    settings: &ConvertSettings,
) -> Result<PasteReport, Error> {
    settings.validate()?;
    patch.check()?;
    check_frame(frame)?;
    let net_from_frame = patch.placement.net_from_frame()?;
    // Refuses singular transforms that the forward direction cannot see.
    patch.placement.frame_from_net()?;
    let flaws = Flaws::of(patch);
    let mask = blend_mask(patch, &flaws, settings)?;
    let packed = Packed::new(patch, &flaws, fix, settings);
    let mut report = match settings.blend {
        Blend::Feather => blend_in(frame, &packed, &mask, &net_from_frame),
    };
    report.bad_values = flaws.count;
    Ok(report)
}

/// The patch ready for interpolation: colour corrected, sharpened, with a border.
struct Packed {
    side: usize,
    stride: usize,
    data: Vec<Colour>,
}

impl Packed {
    fn new(patch: &FacePatch, flaws: &Flaws, fix: &ColourFix, settings: &ConvertSettings) -> Self {
        let side = patch.placement.resolution as usize;
        let at = |i: usize| (i as f32 + 0.5) / side as f32 * 2.0 - 1.0;
        let strength = settings.colour_strength;
        // The exponential of a plane is a product: one factor per column, one per row.
        let planes = fix.planes(settings.colour_match);
        let level: [f32; 3] =
            std::array::from_fn(|c| (strength * planes[c][0] - fix.bounded_wobble(c)).exp());
        let along = |k: usize| -> Vec<[f32; 3]> {
            (0..side)
                .map(|i| std::array::from_fn(|c| (strength * planes[c][k] * at(i)).exp()))
                .collect()
        };
        let (columns, rows) = (along(1), along(2));
        let mut plain = vec![[0.0; 3]; side * side];
        for (i, (out, rgb)) in plain.iter_mut().zip(patch.rgb.chunks_exact(3)).enumerate() {
            if flaws.is_bad(i) {
                continue;
            }
            let (column, row) = (&columns[i % side], &rows[i / side]);
            for c in 0..3 {
                out[c] = rgb[c].clamp(0.0, 1.0) * level[c] * column[c] * row[c];
            }
        }
        if settings.sharpen > 0.0 {
            plain = sharpen(&plain, side, settings.sharpen);
        }

        let stride = side + 2 * BORDER;
        let inside = |i: usize| i.saturating_sub(BORDER).min(side - 1);
        let data = (0..stride * stride)
            .map(|i| plain[inside(i / stride) * side + inside(i % stride)])
            .collect();
        Self { side, stride, data }
    }

    /// Catmull-Rom at `(x, y)` in patch pixels (centres at +0.5), border repeated.
    #[inline(always)]
    fn at(&self, x: f32, y: f32) -> Colour {
        let limit = self.side as f32;
        // Counted in the packed grid; at least 1.5, so truncation is rounding down.
        let x = x.clamp(0.0, limit) + (BORDER as f32 - 0.5);
        let y = y.clamp(0.0, limit) + (BORDER as f32 - 0.5);
        let (xi, yi) = (x as i32, y as i32);
        let (wx, wy) = (catmull_rom(x - xi as f32), catmull_rom(y - yi as f32));
        let first = (yi as usize - 1) * self.stride + xi as usize - 1;
        let line = |j: usize| {
            let row = &self.data[first + j * self.stride..][..4];
            let half = add_scaled(scaled(row[0], wx[0]), row[1], wx[1]);
            add_scaled(add_scaled(half, row[2], wx[2]), row[3], wx[3])
        };
        let half = add_scaled(scaled(line(0), wy[0]), line(1), wy[1]);
        add_scaled(add_scaled(half, line(2), wy[2]), line(3), wy[3])
    }
}

/// Weights of the pixels at -1, 0, 1 and 2 for a place `t` (0 to 1) behind pixel 0.
#[inline(always)]
fn catmull_rom(t: f32) -> [f32; 4] {
    [
        ((1.0 - 0.5 * t) * t - 0.5) * t,
        (1.5 * t - 2.5) * t * t + 1.0,
        ((2.0 - 1.5 * t) * t + 0.5) * t,
        (0.5 * t - 0.5) * t * t,
    ]
}

/// Unsharp mask with the binomial kernel 1-2-1 in both directions.
fn sharpen(plain: &[Colour], side: usize, amount: f32) -> Vec<Colour> {
    let blur = |from: &[Colour], step: usize, position: fn(usize, usize) -> usize| {
        let mut to = from.to_vec();
        for (i, out) in to.iter_mut().enumerate() {
            let p = position(i, side);
            let before = if p > 0 { i - step } else { i };
            let after = if p + 1 < side { i + step } else { i };
            for c in 0..3 {
                out[c] = 0.25 * (from[before][c] + from[after][c]) + 0.5 * from[i][c];
            }
        }
        to
    };
    let rows = blur(plain, 1, |i, side| i % side);
    let mut out = blur(&rows, side, |i, side| i / side);
    for (blurred, sharp) in out.iter_mut().zip(plain) {
        for c in 0..3 {
            blurred[c] = (sharp[c] + amount * (sharp[c] - blurred[c])).max(0.0);
        }
    }
    out
}

/// Blends row by row, inside the rectangle that the mask covers.
fn blend_in<T: Depth>(
    frame: &mut Image<T, 3>,
    packed: &Packed,
    mask: &BlendMask,
    net_from_frame: &Affine<Net, Frame>,
) -> PasteReport {
    let mut report = PasteReport::default();
    let Some([left, top, right, bottom]) = mask.bounds else {
        return report;
    };
    let m = net_from_frame.rows();
    let grid = sample_grid(net_from_frame);
    let to_mask = mask.side as f64 / packed.side as f64;
    let in_net = |v: f32| f64::from(v) / to_mask;
    let size = frame.size();
    let mut bounds = [u32::MAX, u32::MAX, 0, 0];
    for y in 0..size.height {
        let centre_y = f64::from(y) + 0.5;
        // In this row the patch's place is `slope * (x + 0.5) + start`.
        let (start_u, start_v) = (m[1] * centre_y + m[2], m[4] * centre_y + m[5]);
        let mut span = (0.5, f64::from(size.width) - 0.5);
        clip(&mut span, m[0], start_u, in_net(left), in_net(right));
        clip(&mut span, m[3], start_v, in_net(top), in_net(bottom));
        if span.0 > span.1 {
            continue;
        }
        let first = (span.0 - 0.5).ceil().max(0.0) as usize;
        let end = ((span.1 - 0.5).floor() as usize + 1).min(size.width as usize);
        // Counted from the span's first pixel, f32 is exact to about a thousandth of a pixel.
        let origin = first as f64 + 0.5;
        let (u0, v0) = (
            (start_u + m[0] * origin) as f32,
            (start_v + m[3] * origin) as f32,
        );
        let (du, dv) = (m[0] as f32, m[3] as f32);
        let row = frame.row_mut(y);
        // How many, the first, and the one after the last.
        let mut written = (0, usize::MAX, 0);
        for x in first..end {
            let i = (x - first) as f32;
            let (u, v) = (u0 + du * i, v0 + dv * i);
            let alpha = mask.at(u * to_mask as f32, v * to_mask as f32);
            if alpha <= 0.0 {
                continue;
            }
            let colour = if grid.is_empty() {
                packed.at(u, v)
            } else {
                averaged(packed, &grid, u, v)
            };
            for (value, new) in row[x * 3..][..3].iter_mut().zip(colour) {
                let old = value.read();
                *value = T::write(old + alpha * (new * T::WHITE - old));
            }
            written = (written.0 + 1, written.1.min(x), x + 1);
        }
        if written.0 > 0 {
            report.pixels += written.0;
            bounds = [
                bounds[0].min(written.1 as u32),
                bounds[1].min(y),
                bounds[2].max(written.2 as u32),
                y + 1,
            ];
        }
    }
    report.bounds = (report.pixels > 0).then_some(bounds);
    report
}

/// Offsets in patch pixels of the samples that one frame pixel averages; empty if one is enough.
fn sample_grid(net_from_frame: &Affine<Net, Frame>) -> Vec<(f32, f32)> {
    let step = net_from_frame.mean_scale();
    if step <= SHRINK_FROM {
        return Vec::new();
    }
    let n = (step.ceil() as usize).min(MAX_GRID);
    let m = net_from_frame.rows();
    let at = |k: usize| (k as f64 + 0.5) / n as f64 - 0.5;
    (0..n * n)
        .map(|k| {
            let (x, y) = (at(k % n), at(k / n));
            ((m[0] * x + m[1] * y) as f32, (m[3] * x + m[4] * y) as f32)
        })
        .collect()
}

fn averaged(packed: &Packed, grid: &[(f32, f32)], u: f32, v: f32) -> Colour {
    let mut sum = [0.0f32; 3];
    for (du, dv) in grid {
        sum = add_scaled(sum, packed.at(u + du, v + dv), 1.0);
    }
    scaled(sum, 1.0 / grid.len() as f32)
}

/// Narrows `span` to the places `p` where `slope * p + start` lies in `low..=high`.
fn clip(span: &mut (f64, f64), slope: f64, start: f64, low: f64, high: f64) {
    if slope.abs() < 1e-12 {
        if !(low..=high).contains(&start) {
            *span = (1.0, 0.0);
        }
        return;
    }
    let (a, b) = ((low - start) / slope, (high - start) / slope);
    *span = (span.0.max(a.min(b)), span.1.min(a.max(b)));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn catmull_rom_keeps_pixels_lines_and_parabolas() {
        assert_eq!(catmull_rom(0.0), [0.0, 1.0, 0.0, 0.0]);
        for t in [0.1f32, 0.5, 0.9] {
            let w = catmull_rom(t);
            let sum = |f: fn(f32) -> f32| -> f32 {
                w.iter()
                    .zip([-1.0, 0.0, 1.0, 2.0])
                    .map(|(w, x)| w * f(x))
                    .sum()
            };
            assert!((sum(|_| 1.0) - 1.0).abs() < 1e-6);
            assert!((sum(|x| x) - t).abs() < 1e-6);
            assert!((sum(|x| x * x) - t * t).abs() < 1e-6);
        }
        // At one half: (-1, 9, 9, -1) / 16.
        assert_eq!(catmull_rom(0.5), [-0.0625, 0.5625, 0.5625, -0.0625]);
    }

    #[test]
    fn clipping_finds_the_interval() {
        let mut span = (0.5, 9.5);
        clip(&mut span, 2.0, -4.0, 0.0, 6.0);
        assert_eq!(span, (2.0, 5.0));
        clip(&mut span, -1.0, 4.5, 0.0, 1.0);
        assert_eq!(span, (3.5, 4.5));
        clip(&mut span, 0.0, 3.0, 0.0, 1.0);
        assert!(span.0 > span.1);
    }

    #[test]
    fn sharpening_keeps_flat_and_raises_a_dot() {
        let mut plain = vec![[0.4f32; 3]; 25];
        assert!(
            sharpen(&plain, 5, 1.0)
                .iter()
                .flatten()
                .all(|v| (v - 0.4).abs() < 1e-6)
        );
        plain[12] = [0.8; 3];
        // The blurred dot is 0.4 + 0.4 / 4 = 0.5, so 0.8 becomes 0.8 + (0.8 - 0.5).
        assert!((sharpen(&plain, 5, 1.0)[12][0] - 1.1).abs() < 1e-6);
    }
}
