//! Convolution of each channel by itself.
//!
//! Where the stride is 1 and the window lies inside the row, neighbouring pixels are neighbouring
//! numbers: a stretch of a row is computed as one long run of lanes, with the weights repeated
//! channel after channel. Only borders and larger strides go pixel by pixel.

use std::ops::Range;

use stockpot_kernels::vectorise;

use super::{Dims, Window};

/// Lanes of a stretch that are computed together: four of the widest registers.
const RUN: usize = 64;
/// Channels of one pixel that are computed together.
const BLOCK: usize = 16;

/// A depthwise convolution with its weights.
#[derive(Debug, Clone)]
pub(crate) struct Depthwise {
    channels: usize,
    /// For each tap the channels' weights, continued from the first channel for [`RUN`] more.
    weights: Vec<f32>,
    /// The channels' biases, continued likewise.
    bias: Vec<f32>,
}

impl Depthwise {
    /// Takes weights as `[kernel height, kernel width, channels]`.
    pub(crate) fn new(channels: usize, weights: &[f32], bias: &[f32]) -> Self {
        let length = channels + RUN;
        let repeat =
            |row: &[f32]| -> Vec<f32> { row.iter().cycle().take(length).copied().collect() };
        Self {
            channels,
            weights: weights.chunks_exact(channels).flat_map(repeat).collect(),
            bias: repeat(bias),
        }
    }

    pub(crate) fn forward(&self, x: &[f32], size: Dims, window: Window, y: &mut [f32], out: Dims) {
        vectorise(|| self.rows(x, size, window, y, out));
    }

    #[inline(always)]
    fn rows(&self, x: &[f32], size: Dims, window: Window, y: &mut [f32], out: Dims) {
        let c = self.channels;
        let inside = inside(size, window, out);
        for (oy, row) in y.chunks_exact_mut(out.width * c).enumerate() {
            let (rows, y0) = window.taps(0, oy, size.height);
            let lines = Lines {
                x: &x[y0 * size.width * c..],
                row: size.width * c,
                kernel_rows: rows,
                kernel_width: window.kernel[1],
            };
            let is_run = window.stride[1] == 1 && inside.len() * c >= RUN;
            for ox in 0..out.width {
                if is_run && inside.contains(&ox) {
                    continue;
                }
                let (columns, x0) = window.taps(1, ox, size.width);
                self.pixel(&lines, columns, x0 * c, &mut row[ox * c..][..c]);
            }
            if is_run {
                let first = (inside.start - window.pad[1]) * c;
                self.run(&lines, first, &mut row[inside.start * c..inside.end * c]);
            }
        }
    }

    /// A stretch of pixels whose windows lie inside the row; at least [`RUN`] lanes.
    #[inline(always)]
    fn run(&self, lines: &Lines<'_>, first: usize, y: &mut [f32]) {
        let mut at = 0;
        loop {
            let channel = at % self.channels;
            let mut sum = [0.0f32; RUN];
            sum.copy_from_slice(&self.bias[channel..channel + RUN]);
            for (j, ky) in lines.kernel_rows.clone().enumerate() {
                for kx in 0..lines.kernel_width {
                    let from = j * lines.row + first + kx * self.channels + at;
                    let with = (ky * lines.kernel_width + kx) * (self.channels + RUN) + channel;
                    add_product(
                        &mut sum,
                        &lines.x[from..from + RUN],
                        &self.weights[with..with + RUN],
                    );
                }
            }
            y[at..at + RUN].copy_from_slice(&sum);
            if at + RUN == y.len() {
                return;
            }
            // The last block overlaps the one before it instead of being shorter.
            at = (at + RUN).min(y.len() - RUN);
        }
    }

    /// One pixel, whose window may reach outside.
    #[inline(always)]
    fn pixel(&self, lines: &Lines<'_>, columns: Range<usize>, first: usize, y: &mut [f32]) {
        let mut at = 0;
        while at + BLOCK <= self.channels {
            self.block::<BLOCK>(lines, columns.clone(), first, at, y);
            at += BLOCK;
        }
        while at < self.channels {
            let lanes = self.channels - at;
            if lanes >= 4 {
                self.block::<4>(lines, columns.clone(), first, at, y);
                at += 4;
            } else {
                self.block::<1>(lines, columns.clone(), first, at, y);
                at += 1;
            }
        }
    }

    #[inline(always)]
    fn block<const N: usize>(
        &self,
        lines: &Lines<'_>,
        columns: Range<usize>,
        first: usize,
        at: usize,
        y: &mut [f32],
    ) {
        let mut sum = [0.0f32; N];
        sum.copy_from_slice(&self.bias[at..at + N]);
        for (j, ky) in lines.kernel_rows.clone().enumerate() {
            for (i, kx) in columns.clone().enumerate() {
                let from = j * lines.row + first + i * self.channels + at;
                let with = (ky * lines.kernel_width + kx) * (self.channels + RUN) + at;
                add_product(
                    &mut sum,
                    &lines.x[from..from + N],
                    &self.weights[with..with + N],
                );
            }
        }
        y[at..at + N].copy_from_slice(&sum);
    }
}

/// The rows of the picture under the window of one output row.
struct Lines<'a> {
    /// From the first of them on.
    x: &'a [f32],
    /// Numbers in a row.
    row: usize,
    /// The kernel's rows that meet them.
    kernel_rows: Range<usize>,
    kernel_width: usize,
}

#[inline(always)]
fn add_product<const N: usize>(sum: &mut [f32; N], x: &[f32], w: &[f32]) {
    for k in 0..N {
        sum[k] += x[k] * w[k];
    }
}

/// Output columns whose windows lie wholly inside the picture; stride 1.
fn inside(size: Dims, window: Window, out: Dims) -> Range<usize> {
    let first = window.pad[1].min(out.width);
    let end = (size.width + window.pad[1] + 1).saturating_sub(window.kernel[1]);
    first..end.clamp(first, out.width.max(first))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn apply(
        x: &[f32],
        size: Dims,
        w: &[f32],
        bias: &[f32],
        window: Window,
        out: Dims,
    ) -> Vec<f32> {
        let mut y = vec![f32::NAN; out.len()];
        Depthwise::new(size.channels, w, bias).forward(x, size, window, &mut y, out);
        y
    }

    #[test]
    fn by_hand() {
        // 3x3 ones over a 3x3 picture of two channels, "same": sums of the neighbourhood.
        let x: Vec<f32> = (0..9).flat_map(|v| [v as f32, 1.0]).collect();
        let window = Window {
            kernel: [3, 3],
            stride: [1, 1],
            pad: [1, 1],
        };
        let size = Dims::new(3, 3, 2);
        let y = apply(&x, size, &[1.0; 18], &[0.5, 0.0], window, size);
        assert_eq!(y[..2], [0.0 + 1.0 + 3.0 + 4.0 + 0.5, 4.0]);
        assert_eq!(y[8..10], [36.5, 9.0]);
        assert_eq!(y[16..], [4.0 + 5.0 + 7.0 + 8.0 + 0.5, 4.0]);
    }

    #[test]
    fn agrees_with_the_definition() {
        let mut rng = stockpot_core::Rng::stream(1, "depthwise", 0);
        for c in [1, 3, 8, 12, 16, 21, 36, 64] {
            for (stride, pad, size, out) in [
                (1, 1, (6, 37), (6, 37)),
                (1, 0, (5, 40), (3, 38)),
                (2, 0, (9, 8), (4, 4)),
                (2, 1, (5, 7), (3, 4)),
                (1, 1, (2, 2), (2, 2)),
            ] {
                let (size, out) = (Dims::new(size.0, size.1, c), Dims::new(out.0, out.1, c));
                let window = Window {
                    kernel: [3, 3],
                    stride: [stride; 2],
                    pad: [pad; 2],
                };
                let x: Vec<f32> = (0..size.len()).map(|_| rng.normal()).collect();
                let w: Vec<f32> = (0..9 * c).map(|_| rng.normal()).collect();
                let bias: Vec<f32> = (0..c).map(|_| rng.normal()).collect();
                let y = apply(&x, size, &w, &bias, window, out);
                for (at, found) in y.iter().enumerate() {
                    let (k, ox, oy) = (at % c, at / c % out.width, at / c / out.width);
                    let mut wanted = bias[k];
                    for tap in 0..9 {
                        let iy = (oy * stride + tap / 3).wrapping_sub(pad);
                        let ix = (ox * stride + tap % 3).wrapping_sub(pad);
                        if iy < size.height && ix < size.width {
                            wanted += x[(iy * size.width + ix) * c + k] * w[tap * c + k];
                        }
                    }
                    assert!((found - wanted).abs() < 1e-4, "{c} {stride} {pad}: {at}");
                }
            }
        }
    }
}
