//! A network's input from a frame: the face's square, upright, at the network's resolution.
//!
//! The same grid as in training: pixel centres at +0.5 on both sides, no half-pixel shift. When the
//! frame is finer than the network, the part of the frame under the face is first shrunk by a whole
//! factor (each of its pixels read once, in order), and the turned grid then averages a few samples of
//! that. Start at [`cut()`].

use stockpot_core::image::Image;
use stockpot_core::space::{Affine, Frame, Net};

use crate::error::Error;
use crate::placement::{Colour, Depth, Placement, add_scaled, check_frame, check_len, mix, scaled};

/// Distance of two samples of one average, in pixels of what is sampled. A bilinear sample reaches
/// over two pixels, so at 1.5 none is left out in a turned grid.
const SAMPLE_STEP_PX: f64 = 1.5;
/// Pixels of the shrunk frame per network pixel that are aimed at: fewer would blur, and would let the
/// cells' own fixed grid be seen when a face moves.
const CELLS_PER_PIXEL: f64 = 2.0;

/// Writes the face's square as the network sees it into `out`.
///
/// # Shapes
/// `out`: `[resolution, resolution, 3]`, RGB, 0.0 to 1.0, rows first. Where the square reaches
/// beyond the frame, the frame's border is repeated.
///
/// # Errors
/// [`Error::EmptyFrame`], [`Error::Transform`], [`Error::Resolution`], or [`Error::Length`].
pub fn cut<T: Depth>(
    frame: &Image<T, 3>,
    placement: &Placement,
    out: &mut [f32],
) -> Result<(), Error> {
    check_frame(frame)?;
    let frame_from_net = placement.frame_from_net()?;
    check_len("cut", placement, placement.rgb_len(), out.len())?;

    let side = placement.resolution as usize;
    let step = frame_from_net.mean_scale();
    let factor = ((step / CELLS_PER_PIXEL).round() as i64).max(1);
    let cells = Cells::under(frame, &frame_from_net, side, factor);
    // From the network's pixels to cells, counted from the centre of the first cell.
    let per_cell = 1.0 / factor as f64;
    let m = frame_from_net.rows().map(|v| v * per_cell);
    let shift_x = cells.left as f64 * per_cell + 0.5;
    let shift_y = cells.top as f64 * per_cell + 0.5;

    let grid = ((step * per_cell / SAMPLE_STEP_PX).ceil() as usize).max(1);
    // Samples of one pixel, relative to its top left corner.
    let offsets: Vec<(f32, f32)> = (0..grid * grid)
        .map(|k| {
            let px = ((k % grid) as f64 + 0.5) / grid as f64;
            let py = ((k / grid) as f64 + 0.5) / grid as f64;
            (
                (m[0] * px + m[1] * py) as f32,
                (m[3] * px + m[4] * py) as f32,
            )
        })
        .collect();
    let norm = 1.0 / (offsets.len() as f32 * T::WHITE);
    for (y, row) in out.chunks_exact_mut(side * 3).enumerate() {
        let start_x = (m[1] * y as f64 + m[2] - shift_x) as f32;
        let start_y = (m[4] * y as f64 + m[5] - shift_y) as f32;
        let (step_x, step_y) = (m[0] as f32, m[3] as f32);
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let (base_x, base_y) = (start_x + step_x * x as f32, start_y + step_y * x as f32);
            let mut sum = [0.0f32; 3];
            for (dx, dy) in &offsets {
                sum = add_scaled(sum, cells.at(base_x + dx, base_y + dy), 1.0);
            }
            pixel.copy_from_slice(&scaled(sum, norm));
        }
    }
    Ok(())
}

/// Part of a frame, averaged over squares of some pixels.
struct Cells {
    /// Frame pixel at which the first cell starts; may lie up to one cell before the frame.
    left: i64,
    top: i64,
    columns: usize,
    rows: usize,
    data: Vec<Colour>,
}

impl Cells {
    /// Cells of `factor` frame pixels over what a network of `side` sees of the frame, and one more
    /// all around. Cells that reach beyond the frame repeat its border.
    fn under<T: Depth>(
        frame: &Image<T, 3>,
        frame_from_net: &Affine<Frame, Net>,
        side: usize,
        factor: i64,
    ) -> Self {
        let m = frame_from_net.rows();
        let range = |a: f64, b: f64, start: f64, length: u32| {
            let s = side as f64;
            let (low, high) = (
                (a * s).min(0.0) + (b * s).min(0.0),
                (a * s).max(0.0) + (b * s).max(0.0),
            );
            let length = i64::from(length);
            // `as` saturates, and the clamp keeps at least one cell of the border.
            let first = ((start + low).floor() as i64).clamp(0, length - 1) - factor;
            let last = ((start + high).ceil() as i64).clamp(1, length) + factor;
            (first, ((last - first + factor - 1) / factor) as usize)
        };
        let size = frame.size();
        let (left, columns) = range(m[0], m[1], m[2], size.width);
        let (top, rows) = range(m[3], m[4], m[5], size.height);
        let (width, height) = (i64::from(size.width), i64::from(size.height));

        // Frame columns that are read, and how the cells lie over them.
        let from = left.clamp(0, width - 1) as usize;
        let to = (left + columns as i64 * factor).clamp(from as i64 + 1, width) as usize;
        let norm = 1.0 / (factor * factor) as f32;
        let mut sums = vec![0.0f32; (to - from) * 3];
        let mut data = Vec::with_capacity(columns * rows);
        for row in 0..rows as i64 {
            sums.fill(0.0);
            for j in 0..factor {
                let y = (top + row * factor + j).clamp(0, height - 1) as u32;
                let line = &frame.row(y)[from * 3..to * 3];
                for (sum, v) in sums.iter_mut().zip(line) {
                    *sum += v.read();
                }
            }
            for column in 0..columns as i64 {
                let first = left + column * factor;
                let mut cell = [0.0f32; 3];
                for x in first..first + factor {
                    let x = (x.clamp(from as i64, to as i64 - 1) as usize - from) * 3;
                    for c in 0..3 {
                        cell[c] += sums[x + c];
                    }
                }
                data.push(scaled(cell, norm));
            }
        }
        Self {
            left,
            top,
            columns,
            rows,
            data,
        }
    }

    /// Bilinear at `(x, y)` counted from the first cell's centre; the border is repeated.
    #[inline]
    fn at(&self, x: f32, y: f32) -> Colour {
        // There are at least three cells a side: one under the face and one all around.
        let x = x.clamp(0.0, self.columns as f32 - 1.001);
        let y = y.clamp(0.0, self.rows as f32 - 1.001);
        let (xi, yi) = (x as i32, y as i32);
        let (ax, ay) = (x - xi as f32, y - yi as f32);
        let at = yi as usize * self.columns + xi as usize;
        let (top, bottom) = (&self.data[at..at + 2], &self.data[at + self.columns..][..2]);
        mix(mix(top[0], top[1], ax), mix(bottom[0], bottom[1], ax), ay)
    }
}
