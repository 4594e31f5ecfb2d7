//! How much of the patch each place takes: the decoder's mask, the outline of the face, and a soft
//! edge that lies wholly inside of both.
//!
//! Masks are made on a square grid over the network's area, turned with the face. So the edge of
//! the frame never softens a face that leaves it, and the edge of the area always does. The grid is
//! only as fine as the soft edge needs. Start at [`blend_mask`].

use stockpot_core::face::fill_polygon;
use stockpot_core::image::Size;
use stockpot_core::space::{Net, Point};

use crate::error::Error;
use crate::placement::FacePatch;
use crate::settings::ConvertSettings;

/// Decoder masks are soft all over; below the first value it is background, above the second
/// face, and the contour at one half stays where it is.
const LEVELS: (f32, f32) = (0.2, 0.8);
/// Grid pixels across the soft edge: enough that linear interpolation between them is not seen.
const EDGE_STEPS: f64 = 5.0;
/// Smallest and largest side of the grid; bounds time and memory.
const GRID_SIDES: (f64, f64) = (16.0, 512.0);

/// A mask on a square grid, with a border of one empty pixel all around.
pub(crate) struct BlendMask {
    /// Side of the grid without the border.
    pub(crate) side: usize,
    /// `(side + 2)²` numbers, 0.0 to 1.0.
    data: Vec<f32>,
    /// Left, top, right, bottom of all that is above zero, in grid pixels without the border;
    /// `None` if nothing is.
    pub(crate) bounds: Option<[f32; 4]>,
}

impl BlendMask {
    fn new(side: usize, plane: &[f32]) -> Self {
        let stride = side + 2;
        let mut data = vec![0.0; stride * stride];
        let mut bounds: Option<[f32; 4]> = None;
        for (y, row) in plane.chunks_exact(side).enumerate() {
            data[(y + 1) * stride + 1..][..side].copy_from_slice(row);
            let first = row.iter().position(|v| *v > 0.0);
            let last = row.iter().rposition(|v| *v > 0.0);
            if let (Some(first), Some(last)) = (first, last) {
                let b = bounds.get_or_insert([f32::MAX, y as f32 - 0.5, 0.0, 0.0]);
                // A grid value reaches to its neighbours' centres.
                b[0] = b[0].min(first as f32 - 0.5);
                b[2] = b[2].max(last as f32 + 1.5);
                b[3] = y as f32 + 1.5;
            }
        }
        Self { side, data, bounds }
    }

    /// The mask at `(x, y)` in grid pixels (centres at +0.5), bilinear, zero outside.
    #[inline(always)]
    pub(crate) fn at(&self, x: f32, y: f32) -> f32 {
        let limit = self.side as f32 + 0.999;
        let (x, y) = ((x + 0.5).clamp(0.0, limit), (y + 0.5).clamp(0.0, limit));
        // Through i32, because a single instruction does that.
        let (xi, yi) = (x as i32, y as i32);
        let (ax, ay) = (x - xi as f32, y - yi as f32);
        let stride = self.side + 2;
        let at = yi as usize * stride + xi as usize;
        let (top, bottom) = (&self.data[at..at + 2], &self.data[at + stride..][..2]);
        let t = top[0] + (top[1] - top[0]) * ax;
        let b = bottom[0] + (bottom[1] - bottom[0]) * ax;
        t + (b - t) * ay
    }
}

/// Which pixels of a patch cannot be used.
pub(crate) struct Flaws {
    /// Pixels with a colour or mask value that is not finite.
    pub(crate) count: usize,
    bad: Vec<bool>,
}

impl Flaws {
    pub(crate) fn of(patch: &FacePatch) -> Self {
        let bad: Vec<bool> = patch
            .rgb
            .chunks_exact(3)
            .zip(patch.mask)
            .map(|(rgb, mask)| !(rgb.iter().all(|v| v.is_finite()) && mask.is_finite()))
            .collect();
        Self {
            count: bad.iter().filter(|b| **b).count(),
            bad,
        }
    }

    pub(crate) fn is_bad(&self, pixel: usize) -> bool {
        self.bad[pixel]
    }

    /// 0.0 within `radius` pixels of a bad one, else 1.0; `[side, side]`.
    fn usable(&self, side: usize, radius: usize) -> Vec<f32> {
        let mut usable = vec![1.0; side * side];
        for (i, _) in self.bad.iter().enumerate().filter(|(_, b)| **b) {
            let (x, y) = (i % side, i / side);
            let columns = x.saturating_sub(radius)..(x + radius + 1).min(side);
            for row in y.saturating_sub(radius)..(y + radius + 1).min(side) {
                usable[row * side..][columns.clone()].fill(0.0);
            }
        }
        usable
    }
}

/// The mask that [`crate::paste()`] blends with.
pub(crate) fn blend_mask(
    patch: &FacePatch,
    flaws: &Flaws,
    settings: &ConvertSettings,
) -> Result<BlendMask, Error> {
    let place = &patch.placement;
    let (side_px, face_px) = (place.area_side_px(), place.face_width_px());
    let feather_px = (f64::from(settings.feather_percent) / 100.0 * face_px).max(1.0);
    let erode_px = f64::from(settings.erode_percent) / 100.0 * face_px;
    let pixel_px = (feather_px / EDGE_STEPS).max(1.0);
    let side = (side_px / pixel_px)
        .ceil()
        .clamp(GRID_SIDES.0, GRID_SIDES.1) as usize;
    let per_px = side as f64 / side_px;

    let mut plane = raw_mask(patch, settings, side)?;
    soften_inward(
        &mut plane,
        side,
        (erode_px * per_px) as f32,
        (feather_px * per_px) as f32,
    );
    if flaws.count > 0 {
        // What is read beside a place: 2 pixels by the cubic, 1 by sharpening, 1 by this mask's
        // own interpolation, a grid pixel, and half a frame pixel when the patch is shrunk.
        let net = f64::from(place.resolution);
        let reach = 4.0 + (net / side as f64).ceil() + (net / side_px / 2.0).ceil();
        let usable = flaws.usable(net as usize, reach as usize);
        resample(&usable, net as usize, &mut plane, side);
    }
    Ok(BlendMask::new(side, &plane))
}

/// Decoder mask and outline as the settings ask, hard-edged, on a grid of `side` over the area.
pub(crate) fn raw_mask(
    patch: &FacePatch,
    settings: &ConvertSettings,
    side: usize,
) -> Result<Vec<f32>, Error> {
    let mut plane = vec![1.0f32; side * side];
    if settings.mask.uses_decoder() {
        let levelled: Vec<f32> = patch.mask.iter().map(|v| level(*v)).collect();
        resample(
            &levelled,
            patch.placement.resolution as usize,
            &mut plane,
            side,
        );
    }
    if settings.mask.uses_oval() {
        let oval = patch.oval.filter(|o| o.len() > 2).ok_or(Error::NoOval {
            mode: settings.mask.name(),
        })?;
        let grid_from_frame = patch.placement.grid_from_frame(side as u32)?;
        let points: Vec<Point<Net>> = oval.iter().map(|p| grid_from_frame.apply(*p)).collect();
        let grown = grow(&points, 1.0 + f64::from(settings.oval_grow_percent) / 100.0);
        let filled = fill_polygon(Size::square(side as u32), &grown);
        for (v, cover) in plane.iter_mut().zip(filled.data()) {
            *v *= f32::from(*cover) / 255.0;
        }
    }
    Ok(plane)
}

/// A decoder's mask value, stretched between [`LEVELS`]; not a number is background.
fn level(v: f32) -> f32 {
    if v.is_nan() {
        return 0.0;
    }
    ((v - LEVELS.0) / (LEVELS.1 - LEVELS.0)).clamp(0.0, 1.0)
}

fn grow(points: &[Point<Net>], factor: f64) -> Vec<Point<Net>> {
    let n = points.len() as f64;
    let x = points.iter().map(|p| p.x).sum::<f64>() / n;
    let y = points.iter().map(|p| p.y).sum::<f64>() / n;
    points
        .iter()
        .map(|p| Point::new(x + (p.x - x) * factor, y + (p.y - y) * factor))
        .collect()
}

/// Multiplies `target` (`[to, to]`) by `source` (`[from, from]`) over the same square, bilinear.
fn resample(source: &[f32], from: usize, target: &mut [f32], to: usize) {
    let scale = from as f32 / to as f32;
    let taps: Vec<(usize, usize, f32)> = (0..to)
        .map(|i| {
            let p = ((i as f32 + 0.5) * scale - 0.5).clamp(0.0, from as f32 - 1.0);
            let low = (p as usize).min(from - 1);
            (low, (low + 1).min(from - 1), p - low as f32)
        })
        .collect();
    for (row, (top, bottom, ay)) in target.chunks_exact_mut(to).zip(&taps) {
        let (top, bottom) = (
            &source[top * from..][..from],
            &source[bottom * from..][..from],
        );
        for (v, (l, r, ax)) in row.iter_mut().zip(&taps) {
            let t = top[*l] + (top[*r] - top[*l]) * ax;
            let b = bottom[*l] + (bottom[*r] - bottom[*l]) * ax;
            *v *= t + (b - t) * ay;
        }
    }
}

/// Takes `erode` pixels off the mask and ramps smoothly from 0 to 1 over the next `feather` pixels
/// inward; outside of the square counts as empty.
///
/// Two box averages as wide as `erode + feather` give, `d` pixels inside of a straight edge,
/// `1 - (1 - d / width)² / 2`, from which `d` follows. Widths are fractional, so a face that slowly
/// comes nearer never makes the edge jump.
pub(crate) fn soften_inward(plane: &mut [f32], side: usize, erode: f32, feather: f32) {
    let width = (erode + feather).clamp(1.0, side as f32);
    let mut turned = vec![0.0; plane.len()];
    for _ in 0..2 {
        box_average_turned(plane, &mut turned, side, width);
        box_average_turned(&turned, plane, side, width);
    }
    let start = (erode / width).min(0.99);
    for v in plane.iter_mut() {
        let depth = 1.0 - (2.0 - 2.0 * *v).clamp(0.0, 1.0).sqrt();
        let t = ((depth - start) / (1.0 - start)).clamp(0.0, 1.0);
        let alpha = t * t * (3.0 - 2.0 * t);
        // Less than a hundredth of an 8-bit step is rounding of the running sums, not mask.
        *v = if alpha < 4e-5 { 0.0 } else { alpha };
    }
}

/// Averages along rows over `width` pixels (1.0 or more, fractions at the ends) and writes rows as
/// columns.
fn box_average_turned(from: &[f32], to: &mut [f32], side: usize, width: f32) {
    let half = (width - 1.0) / 2.0;
    let whole = half as usize;
    let part = half - whole as f32;
    let norm = 1.0 / width;
    // One empty pixel more than `whole` on both sides holds the fractions.
    let mut padded = vec![0.0f32; side + 2 * whole + 2];
    for y in 0..side {
        padded[whole + 1..][..side].copy_from_slice(&from[y * side..][..side]);
        let mut sum: f32 = padded[1..=2 * whole + 1].iter().sum();
        for x in 0..side {
            let (before, after) = (padded[x], padded[x + 2 * whole + 2]);
            to[x * side + y] = (sum + part * (before + after)) * norm;
            sum += after - padded[x + 1];
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Columns 8 and later of 32 are mask.
    fn half_plane() -> Vec<f32> {
        (0..32 * 32)
            .map(|i| f32::from(u8::from(i % 32 >= 8)))
            .collect()
    }

    #[test]
    fn the_ramp_starts_at_the_edge_and_has_the_width_asked_for() {
        let mut plane = half_plane();
        soften_inward(&mut plane, 32, 0.0, 6.0);
        let row = &plane[16 * 32..][..32];
        assert!(row[..8].iter().all(|v| *v == 0.0), "{row:?}");
        // Column 8 is half a pixel inside: smoothstep(0.5 / 6) = 0.0197; column 10 lies at 2.5 / 6.
        assert!((row[8] - 0.0197).abs() < 0.015, "{row:?}");
        assert!((row[10] - 0.376).abs() < 0.03, "{row:?}");
        assert!(row[14] > 0.999, "{row:?}");
        assert!(row[..16].windows(2).all(|w| w[0] <= w[1]), "{row:?}");
    }

    #[test]
    fn erosion_moves_the_ramp_by_fractions() {
        let level_at_12 = |erode: f32| {
            let mut plane = half_plane();
            soften_inward(&mut plane, 32, erode, 4.0);
            plane[16 * 32 + 11]
        };
        let levels = [0.0, 0.4, 0.8, 1.2, 1.6].map(level_at_12);
        assert!(levels.windows(2).all(|w| w[0] > w[1]), "{levels:?}");
        // 3.5 pixels inside, 1.6 taken off: smoothstep(1.9 / 4) = 0.463.
        assert!((levels[4] - 0.463).abs() < 0.05, "{levels:?}");
    }

    #[test]
    fn resampling_keeps_a_ramp_in_place() {
        let source: Vec<f32> = (0..64).map(|i| (i % 8) as f32 + 0.5).collect();
        let mut target = vec![1.0; 16 * 16];
        resample(&source, 8, &mut target, 16);
        for x in 2..14 {
            assert!((target[5 * 16 + x] - (x as f32 + 0.5) / 2.0).abs() < 1e-5);
        }
    }

    #[test]
    fn bad_pixels_spread_by_the_radius() {
        let flaws = Flaws {
            count: 1,
            bad: (0..64).map(|i| i == 9).collect(),
        };
        let usable = flaws.usable(8, 2);
        assert_eq!(usable.iter().filter(|v| **v == 0.0).count(), 16);
        assert_eq!((usable[3 * 8 + 3], usable[4]), (0.0, 1.0));
    }
}
