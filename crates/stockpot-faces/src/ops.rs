//! The operators of the face networks on channels-last `f32`, one picture at a time.
//!
//! Plain loops whose innermost dimension is the channels, so that the compiler vectorises them (for the best instructions of the
//! processor: see [`vectorise`]).
//! Lengths are the caller's promise: [`crate::tflite`] and [`crate::embed`] check every shape
//! before they plan a step. Knows nothing of files and models.

mod conv;
mod depthwise;

use stockpot_kernels::vectorise;

pub(crate) use conv::Conv;
pub(crate) use depthwise::Depthwise;

/// Height, width and channels of an activation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Dims {
    pub(crate) height: usize,
    pub(crate) width: usize,
    pub(crate) channels: usize,
}

impl Dims {
    pub(crate) const fn new(height: usize, width: usize, channels: usize) -> Self {
        Self {
            height,
            width,
            channels,
        }
    }

    pub(crate) const fn len(self) -> usize {
        self.height * self.width * self.channels
    }
}

/// How a window walks over a picture. Arrays are down, across.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Window {
    pub(crate) kernel: [usize; 2],
    pub(crate) stride: [usize; 2],
    /// Zeros before the first row and column.
    pub(crate) pad: [usize; 2],
}

impl Window {
    /// The rows (or columns, by `axis`) of the kernel that meet the picture at output `at`, and
    /// the picture's row that the first of them meets.
    fn taps(&self, axis: usize, at: usize, size: usize) -> (std::ops::Range<usize>, usize) {
        let start = at * self.stride[axis];
        let first = self.pad[axis].saturating_sub(start).min(self.kernel[axis]);
        let end = (size + self.pad[axis])
            .saturating_sub(start)
            .min(self.kernel[axis])
            .max(first);
        (first..end, (start + first).saturating_sub(self.pad[axis]))
    }
}

/// A function of the result of an operator.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Act {
    None,
    Relu,
    Relu6,
    /// Negative numbers times this factor, one per channel.
    Prelu(Vec<f32>),
}

impl Act {
    pub(crate) fn apply(&self, y: &mut [f32]) {
        vectorise(|| self.apply_inline(y));
    }

    #[inline(always)]
    fn apply_inline(&self, y: &mut [f32]) {
        match self {
            Self::None => {}
            Self::Relu => y.iter_mut().for_each(|v| *v = v.max(0.0)),
            Self::Relu6 => y.iter_mut().for_each(|v| *v = v.clamp(0.0, 6.0)),
            Self::Prelu(slope) => {
                for pixel in y.chunks_exact_mut(slope.len().max(1)) {
                    for (v, a) in pixel.iter_mut().zip(slope) {
                        *v = v.max(0.0) + a * v.min(0.0);
                    }
                }
            }
        }
    }
}

/// The largest number of each window; what lies outside the picture does not count.
pub(crate) fn max_pool(x: &[f32], size: Dims, window: Window, y: &mut [f32], out: Dims) {
    vectorise(|| pool(x, size, window, y, out, f32::NEG_INFINITY, f32::max));
}

/// The mean of each window; what lies outside the picture does not count.
pub(crate) fn average_pool(x: &[f32], size: Dims, window: Window, y: &mut [f32], out: Dims) {
    vectorise(|| pool(x, size, window, y, out, 0.0, |a, b| a + b));
    for oy in 0..out.height {
        let rows = window.taps(0, oy, size.height).0.len();
        for ox in 0..out.width {
            let columns = window.taps(1, ox, size.width).0.len();
            let scale = 1.0 / (rows * columns).max(1) as f32;
            y[(oy * out.width + ox) * size.channels..][..size.channels]
                .iter_mut()
                .for_each(|v| *v *= scale);
        }
    }
}

#[inline(always)]
fn pool(
    x: &[f32],
    size: Dims,
    window: Window,
    y: &mut [f32],
    out: Dims,
    start: f32,
    join: impl Fn(f32, f32) -> f32,
) {
    let c = size.channels;
    for oy in 0..out.height {
        let (rows, y0) = window.taps(0, oy, size.height);
        for ox in 0..out.width {
            let (columns, x0) = window.taps(1, ox, size.width);
            let pixel = &mut y[(oy * out.width + ox) * c..][..c];
            pixel.fill(start);
            for j in 0..rows.len() {
                for i in 0..columns.len() {
                    let from = &x[((y0 + j) * size.width + x0 + i) * c..][..c];
                    for (p, v) in pixel.iter_mut().zip(from) {
                        *p = join(*p, *v);
                    }
                }
            }
        }
    }
}

/// `y = a + b`.
pub(crate) fn add(a: &[f32], b: &[f32], y: &mut [f32]) {
    vectorise(|| {
        for ((y, a), b) in y.iter_mut().zip(a).zip(b) {
            *y = a + b;
        }
    });
}

/// Zeros around: `before` counts rows, columns and channels before the first.
pub(crate) fn pad(x: &[f32], size: Dims, before: [usize; 3], y: &mut [f32], out: Dims) {
    y.fill(0.0);
    let c = size.channels;
    for row in 0..size.height {
        for column in 0..size.width {
            let from = &x[(row * size.width + column) * c..][..c];
            let at =
                ((row + before[0]) * out.width + column + before[1]) * out.channels + before[2];
            y[at..at + c].copy_from_slice(from);
        }
    }
}

/// How [`resize`] maps pixels, in the words of TFLite.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ResizeMode {
    pub(crate) align_corners: bool,
    pub(crate) half_pixel_centers: bool,
}

impl ResizeMode {
    /// The two source rows (or columns) of output `at`, and the share of the second.
    fn at(self, at: usize, size: usize, out: usize) -> (usize, usize, f32) {
        let scale = if self.align_corners && out > 1 {
            (size - 1) as f32 / (out - 1) as f32
        } else {
            size as f32 / out as f32
        };
        let place = if self.half_pixel_centers {
            (at as f32 + 0.5) * scale - 0.5
        } else {
            at as f32 * scale
        };
        let low = (place.floor().max(0.0) as usize).min(size - 1);
        let high = (place.ceil().max(0.0) as usize).min(size - 1);
        (low, high, place - low as f32)
    }
}

/// Bilinear, as TFLite's `RESIZE_BILINEAR`.
pub(crate) fn resize(x: &[f32], size: Dims, mode: ResizeMode, y: &mut [f32], out: Dims) {
    vectorise(|| resize_inline(x, size, mode, y, out));
}

#[inline(always)]
fn resize_inline(x: &[f32], size: Dims, mode: ResizeMode, y: &mut [f32], out: Dims) {
    let c = size.channels;
    for oy in 0..out.height {
        let (top, bottom, ay) = mode.at(oy, size.height, out.height);
        for ox in 0..out.width {
            let (left, right, ax) = mode.at(ox, size.width, out.width);
            let from = |row: usize, column: usize| &x[(row * size.width + column) * c..][..c];
            let (tl, tr) = (from(top, left), from(top, right));
            let (bl, br) = (from(bottom, left), from(bottom, right));
            let pixel = &mut y[(oy * out.width + ox) * c..][..c];
            for k in 0..c {
                let upper = tl[k] + (tr[k] - tl[k]) * ax;
                let lower = bl[k] + (br[k] - bl[k]) * ax;
                pixel[k] = upper + (lower - upper) * ay;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: Window = Window {
        kernel: [2, 2],
        stride: [2, 2],
        pad: [0, 0],
    };

    #[test]
    fn pools_by_hand() {
        let x: Vec<f32> = (0..16).map(|v| v as f32).collect();
        let (size, out) = (Dims::new(4, 4, 1), Dims::new(2, 2, 1));
        let mut y = vec![0.0; 4];
        max_pool(&x, size, ONE, &mut y, out);
        assert_eq!(y, [5.0, 7.0, 13.0, 15.0]);
        average_pool(&x, size, ONE, &mut y, out);
        assert_eq!(y, [2.5, 4.5, 10.5, 12.5]);
        // A window of 3 with padding 1: outside pixels do not count.
        let three = Window {
            kernel: [3, 3],
            stride: [4, 4],
            pad: [1, 1],
        };
        let mut corner = vec![0.0; 1];
        average_pool(&x, size, three, &mut corner, Dims::new(1, 1, 1));
        assert_eq!(corner, [(0.0 + 1.0 + 4.0 + 5.0) / 4.0]);
    }

    #[test]
    fn resize_doubles_with_half_pixel_centres() {
        let mode = ResizeMode {
            align_corners: false,
            half_pixel_centers: true,
        };
        let mut y = vec![0.0; 4];
        let (size, out) = (Dims::new(1, 2, 1), Dims::new(1, 4, 1));
        resize(&[0.0, 4.0], size, mode, &mut y, out);
        assert_eq!(y, [0.0, 1.0, 3.0, 4.0]);
    }

    #[test]
    fn pad_and_activations() {
        let mut y = vec![9.0; 8];
        pad(
            &[1.0, 2.0],
            Dims::new(1, 2, 1),
            [1, 0, 1],
            &mut y,
            Dims::new(2, 2, 2),
        );
        assert_eq!(y, [0.0, 0.0, 0.0, 0.0, 0.0, 1.0, 0.0, 2.0]);
        let mut v = vec![-2.0, -2.0, 3.0, 9.0];
        Act::Prelu(vec![0.5, 0.25]).apply(&mut v);
        assert_eq!(v, [-1.0, -0.5, 3.0, 9.0]);
        Act::Relu6.apply(&mut v);
        assert_eq!(v, [0.0, 0.0, 3.0, 6.0]);
    }
}
