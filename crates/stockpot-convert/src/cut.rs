//! A network's input from a frame: the face's square, upright, at the network's resolution.
//!
//! The same grid as in training: pixel centres at +0.5 on both sides, no half-pixel shift. When the
//! frame is finer than the network, every pixel averages a grid of samples. Start at [`cut()`].

use stockpot_core::image::Image;

use crate::error::Error;
use crate::placement::{Depth, Placement, check_frame, check_len};

/// Frame pixels between two samples of one average. A bilinear sample reaches over two pixels, so
/// at 1.5 no pixel of the frame is left out in a turned grid.
const SAMPLE_STEP_PX: f64 = 1.5;
/// At most this many samples along one side of a network pixel (a face of 24 frame pixels per
/// network pixel); beyond it, samples are spread thinner.
const MAX_GRID: usize = 16;

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
    let size = check_frame(frame)?;
    let frame_from_net = placement.frame_from_net()?;
    check_len("cut", placement, placement.rgb_len(), out.len())?;

    let m = frame_from_net.rows();
    let side = placement.resolution as usize;
    let grid = ((frame_from_net.mean_scale() / SAMPLE_STEP_PX).ceil() as usize).clamp(1, MAX_GRID);
    // Samples of one pixel, relative to its top left corner, in frame pixels.
    let offsets: Vec<(f32, f32)> = (0..grid * grid)
        .map(|k| {
            let px = ((k % grid) as f64 + 0.5) / grid as f64;
            let py = ((k / grid) as f64 + 0.5) / grid as f64;
            ((m[0] * px + m[1] * py) as f32, (m[3] * px + m[4] * py) as f32)
        })
        .collect();
    let norm = 1.0 / (offsets.len() as f32 * T::WHITE);
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    for (y, row) in out.chunks_exact_mut(side * 3).enumerate() {
        // Sample positions count from the centre of the first pixel, so that their whole part is
        // the index of the upper left neighbour.
        let start_x = m[1] * y as f64 + m[2] - 0.5;
        let start_y = m[4] * y as f64 + m[5] - 0.5;
        let inside = [(0.0, 0.0), (0.0, 1.0), (side as f64, 0.0), (side as f64, 1.0)]
            .iter()
            .all(|(i, j)| {
                let x = start_x + m[0] * i + m[1] * j;
                let y = start_y + m[3] * i + m[4] * j;
                (0.01..width - 1.01).contains(&x) && (0.01..height - 1.01).contains(&y)
            });
        for (x, pixel) in row.chunks_exact_mut(3).enumerate() {
            let base_x = (start_x + m[0] * x as f64) as f32;
            let base_y = (start_y + m[3] * x as f64) as f32;
            let mut sum = [0.0f32; 3];
            for (dx, dy) in &offsets {
                let value = if inside {
                    sample_inside(frame, base_x + dx, base_y + dy)
                } else {
                    sample_clamped(frame, base_x + dx, base_y + dy)
                };
                for c in 0..3 {
                    sum[c] += value[c];
                }
            }
            for c in 0..3 {
                pixel[c] = sum[c] * norm;
            }
        }
    }
    Ok(())
}

/// Bilinear at `(x, y)` counted from the first pixel's centre; all four neighbours exist.
#[inline]
fn sample_inside<T: Depth>(frame: &Image<T, 3>, x: f32, y: f32) -> [f32; 3] {
    let (xi, yi) = (x as usize, y as usize);
    let (ax, ay) = (x - xi as f32, y - yi as f32);
    let stride = frame.size().width as usize * 3;
    let at = yi * stride + xi * 3;
    let top = &frame.data()[at..at + 6];
    let bottom = &frame.data()[at + stride..at + stride + 6];
    std::array::from_fn(|c| {
        let t = top[c].to_f32() + (top[c + 3].to_f32() - top[c].to_f32()) * ax;
        let b = bottom[c].to_f32() + (bottom[c + 3].to_f32() - bottom[c].to_f32()) * ax;
        t + (b - t) * ay
    })
}

/// As [`sample_inside`] anywhere; the border is repeated.
fn sample_clamped<T: Depth>(frame: &Image<T, 3>, x: f32, y: f32) -> [f32; 3] {
    let size = frame.size();
    let (last_x, last_y) = (size.width as usize - 1, size.height as usize - 1);
    let (x, y) = (x.clamp(0.0, last_x as f32), y.clamp(0.0, last_y as f32));
    let (xl, yt) = ((x as usize).min(last_x), (y as usize).min(last_y));
    let (xr, yb) = ((xl + 1).min(last_x), (yt + 1).min(last_y));
    let (ax, ay) = (x - xl as f32, y - yt as f32);
    let stride = size.width as usize * 3;
    let data = frame.data();
    let read = |x: usize, y: usize, c: usize| data[y * stride + x * 3 + c].to_f32();
    std::array::from_fn(|c| {
        let t = read(xl, yt, c) + (read(xr, yt, c) - read(xl, yt, c)) * ax;
        let b = read(xl, yb, c) + (read(xr, yb, c) - read(xl, yb, c)) * ax;
        t + (b - t) * ay
    })
}
