//! Network inputs and thumbnails out of frames.
//!
//! Like [`stockpot_core::warp`], but straight into a network's buffer, with its normalisation, and
//! with a limit on the samples per pixel: a network of 192 px does not need all of a 4K frame.

use stockpot_core::image::Rgb8;
use stockpot_core::space::{Affine, Frame, Net};
use stockpot_kernels::vectorise;

/// At most this many samples across and down for each pixel of a network.
const MAX_GRID: usize = 4;

/// What lies outside the frame.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Border {
    /// The nearest pixel of the frame.
    Replicate,
    /// Black.
    Black,
}

/// How 0..255 becomes a network's number: `value * scale - offset[channel]`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Normalise {
    pub(crate) scale: f32,
    pub(crate) offset: [f32; 3],
}

/// Fills `out` (`side * side * 3` numbers) with the frame as seen through `frame_from_net`.
///
/// Samples that lie more than a pixel apart are read without blending: their mean is smooth.
pub(crate) fn fill_square(
    frame: &Rgb8,
    side: usize,
    frame_from_net: &Affine<Frame, Net>,
    border: Border,
    normalise: Normalise,
    out: &mut [f32],
) {
    let step = frame_from_net.mean_scale();
    let grid = if step <= 1.5 {
        1
    } else {
        (step.round() as usize).min(MAX_GRID)
    };
    let job = Job {
        frame,
        m: frame_from_net.rows().map(|v| v as f32),
        grid,
        border,
        normalise,
    };
    let rows = out.chunks_exact_mut(side * 3).take(side);
    if step > 1.5 * grid as f64 {
        vectorise(|| job.fill(rows, |x, y, sum| nearest(frame, x, y, sum)));
    } else {
        vectorise(|| job.fill(rows, |x, y, sum| bilinear(frame, x, y, sum)));
    }
}

struct Job<'a> {
    frame: &'a Rgb8,
    m: [f32; 6],
    grid: usize,
    border: Border,
    normalise: Normalise,
}

impl Job<'_> {
    #[inline(always)]
    fn fill<'o>(
        &self,
        rows: impl Iterator<Item = &'o mut [f32]>,
        sample: impl Fn(f32, f32, &mut [f32; 3]),
    ) {
        let (m, grid) = (self.m, self.grid);
        let scale = self.normalise.scale / (grid * grid) as f32;
        let share = 1.0 / grid as f32;
        let size = self.frame.size();
        let (width, height) = (size.width as f32, size.height as f32);
        for (y, row) in rows.enumerate() {
            for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
                let mut sum = [0.0f32; 3];
                for j in 0..grid {
                    let py = y as f32 + (j as f32 + 0.5) * share;
                    for i in 0..grid {
                        let px = x as f32 + (i as f32 + 0.5) * share;
                        let sx = m[0] * px + m[1] * py + m[2];
                        let sy = m[3] * px + m[4] * py + m[5];
                        let is_inside = sx >= 0.0 && sy >= 0.0 && sx <= width && sy <= height;
                        if is_inside || self.border == Border::Replicate {
                            sample(sx, sy, &mut sum);
                        }
                    }
                }
                for c in 0..3 {
                    pixel[c] = sum[c] * scale - self.normalise.offset[c];
                }
            }
        }
    }
}

/// Adds the colour of the pixel that holds `(x, y)`, or of the nearest one.
#[inline(always)]
fn nearest(frame: &Rgb8, x: f32, y: f32, sum: &mut [f32; 3]) {
    let size = frame.size();
    // The conversion saturates, so that far away or not a number is only a border pixel.
    let column = (x as u32).min(size.width - 1) as usize;
    let row = (y as u32).min(size.height - 1) as usize;
    let pixel = &frame.data()[(row * size.width as usize + column) * 3..][..3];
    for c in 0..3 {
        sum[c] += f32::from(pixel[c]);
    }
}

/// Adds the colour at `(x, y)`; pixel centres at +0.5, borders replicated.
#[inline(always)]
fn bilinear(frame: &Rgb8, x: f32, y: f32, sum: &mut [f32; 3]) {
    let (width, height) = (frame.size().width as i32, frame.size().height as i32);
    let (fx, fy) = (x - 0.5, y - 0.5);
    let (x0, y0) = (fx.floor(), fy.floor());
    let (ax, ay) = (fx - x0, fy - y0);
    // The conversion saturates, as in `nearest`.
    let (x0, y0) = (x0 as i32, y0 as i32);
    let left = x0.clamp(0, width - 1) as usize;
    let right = x0.saturating_add(1).clamp(0, width - 1) as usize;
    let top = y0.clamp(0, height - 1) as usize;
    let bottom = y0.saturating_add(1).clamp(0, height - 1) as usize;
    let stride = width as usize * 3;
    let data = frame.data();
    let (upper, lower) = (
        &data[top * stride..][..stride],
        &data[bottom * stride..][..stride],
    );
    let (tl, tr) = (&upper[left * 3..][..3], &upper[right * 3..][..3]);
    let (bl, br) = (&lower[left * 3..][..3], &lower[right * 3..][..3]);
    for c in 0..3 {
        let t = f32::from(tl[c]) + (f32::from(tr[c]) - f32::from(tl[c])) * ax;
        let b = f32::from(bl[c]) + (f32::from(br[c]) - f32::from(bl[c])) * ax;
        sum[c] += t + (b - t) * ay;
    }
}

/// Whether the frame has pixels at all.
pub(crate) fn is_empty(frame: &Rgb8) -> bool {
    frame.size().pixels() == 0
}

/// The map of a whole frame into a square of `side` pixels, centred, its shape kept.
pub(crate) fn letterbox(frame: &Rgb8, side: usize) -> Affine<Frame, Net> {
    let (w, h) = (
        f64::from(frame.size().width),
        f64::from(frame.size().height),
    );
    let scale = w.max(h) / side as f64;
    let half = side as f64 / 2.0;
    Affine::scale_then_shift(scale, w / 2.0 - half * scale, h / 2.0 - half * scale)
}

/// Cells of a [`Thumb`] along each side.
const THUMB: usize = 32;
/// Samples per cell along each side.
const THUMB_GRID: usize = 4;

/// A tiny luminance picture to tell cuts by.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Thumb {
    cells: Vec<f32>,
}

impl Thumb {
    /// Of a frame that is not empty.
    pub(crate) fn new(frame: &Rgb8) -> Self {
        let (w, h) = (frame.size().width as usize, frame.size().height as usize);
        let samples = THUMB * THUMB_GRID;
        let mut cells = vec![0.0; THUMB * THUMB];
        for j in 0..samples {
            let row = frame.row((((2 * j + 1) * h) / (2 * samples)) as u32);
            for i in 0..samples {
                let pixel = &row[((2 * i + 1) * w) / (2 * samples) * 3..][..3];
                let luma = 0.299 * f32::from(pixel[0])
                    + 0.587 * f32::from(pixel[1])
                    + 0.114 * f32::from(pixel[2]);
                cells[j / THUMB_GRID * THUMB + i / THUMB_GRID] += luma;
            }
        }
        let norm = 1.0 / (255.0 * (THUMB_GRID * THUMB_GRID) as f32);
        cells.iter_mut().for_each(|v| *v *= norm);
        Self { cells }
    }

    /// Mean absolute difference, 0 to 1.
    pub(crate) fn difference(&self, other: &Self) -> f32 {
        let sum: f32 = self
            .cells
            .iter()
            .zip(&other.cells)
            .map(|(a, b)| (a - b).abs())
            .sum();
        sum / self.cells.len() as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpot_core::image::Size;
    use stockpot_core::space::Point;

    const PLAIN: Normalise = Normalise {
        scale: 1.0,
        offset: [0.0; 3],
    };

    fn ramp(w: u32, h: u32) -> Rgb8 {
        let mut image = Rgb8::new(Size::new(w, h));
        for y in 0..h {
            for x in 0..w {
                image.set_pixel(x, y, [x as u8, y as u8, 7]);
            }
        }
        image
    }

    #[test]
    fn letterbox_centres_and_blackens() {
        let frame = ramp(40, 20);
        let map = letterbox(&frame, 10);
        assert_eq!(map.apply(Point::new(0.0, 2.5)), Point::new(0.0, 0.0));
        assert_eq!(map.apply(Point::new(10.0, 7.5)), Point::new(40.0, 20.0));
        let mut out = vec![9.0; 300];
        fill_square(&frame, 10, &map, Border::Black, PLAIN, &mut out);
        assert_eq!(out[..3], [0.0; 3]);
        // Net pixel (4, 5): frame square [16, 20) x [10, 14), mean of the ramps 17.5 and 11.5.
        assert_eq!(out[(5 * 10 + 4) * 3..][..3], [17.5, 11.5, 7.0]);
    }

    #[test]
    fn strange_maps_do_not_panic() {
        let frame = ramp(3, 2);
        let mut out = vec![0.0; 48];
        for bad in [f64::NAN, f64::INFINITY, 1e30, -1e30] {
            let map = Affine::from_rows([bad, 0.0, bad, 0.0, bad, 0.0]);
            fill_square(&frame, 4, &map, Border::Replicate, PLAIN, &mut out);
            fill_square(&frame, 4, &map, Border::Black, PLAIN, &mut out);
        }
    }

    #[test]
    fn thumbs_tell_pictures_apart() {
        let (a, b) = (
            Thumb::new(&ramp(64, 48)),
            Thumb::new(&Rgb8::new(Size::new(1, 1))),
        );
        assert_eq!(a.difference(&a), 0.0);
        // Luminance of the ramp: 0.299 * 31.5 + 0.587 * 23.5 + 0.114 * 7, over 255.
        assert!(
            (a.difference(&b) - 0.0942).abs() < 0.001,
            "{}",
            a.difference(&b)
        );
    }
}
