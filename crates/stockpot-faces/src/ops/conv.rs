//! Full convolution: the one operator that costs most of the time, on `stockpot-kernels`.

use stockpot_kernels::{Activation, ConvGeometry, PackedConv};

use super::{Dims, Window};

/// Below this many input channels a window is copied out before it is multiplied: the kernels walk
/// channels innermost, and three are too few.
const FEW_CHANNELS: usize = 8;

/// A convolution with its weights.
#[derive(Debug, Clone)]
pub(crate) struct Conv {
    /// With few channels packed as 1x1 over whole windows.
    packed: PackedConv,
    is_copied: bool,
    bias: Vec<f32>,
}

impl Conv {
    /// Takes weights as `[kernel height, kernel width, input channels, output channels]`.
    pub(crate) fn new(
        kernel: [usize; 2],
        channels: usize,
        out_channels: usize,
        hwio: &[f32],
        bias: Vec<f32>,
    ) -> Self {
        let is_copied = channels < FEW_CHANNELS && kernel != [1, 1];
        let packed = if is_copied {
            PackedConv::new(1, 1, kernel[0] * kernel[1] * channels, out_channels, hwio)
        } else {
            PackedConv::new(kernel[0], kernel[1], channels, out_channels, hwio)
        };
        Self {
            packed,
            is_copied,
            bias,
        }
    }

    pub(crate) fn out_channels(&self) -> usize {
        self.packed.out_c()
    }

    /// Numbers that [`Conv::forward`] keeps in its scratch buffer.
    pub(crate) const fn scratch_len(kernel: [usize; 2], channels: usize, out: Dims) -> usize {
        if channels < FEW_CHANNELS {
            out.height * out.width * kernel[0] * kernel[1] * channels
        } else {
            0
        }
    }

    /// `y = relu?(conv(x) + bias)`. Both strides of the window are the same. `scratch` is kept by
    /// the caller, so that it is allocated once.
    #[expect(
        clippy::too_many_arguments,
        reason = "what every operator takes, and two more"
    )]
    pub(crate) fn forward(
        &self,
        x: &[f32],
        size: Dims,
        window: Window,
        relu: bool,
        y: &mut [f32],
        out: Dims,
        scratch: &mut Vec<f32>,
    ) {
        let activation = if relu {
            Activation::Relu
        } else {
            Activation::None
        };
        let mut geometry = ConvGeometry {
            batch: 1,
            in_h: size.height,
            in_w: size.width,
            stride: window.stride[0],
            pad_top: window.pad[0],
            pad_left: window.pad[1],
            out_h: out.height,
            out_w: out.width,
        };
        let mut x = x;
        if self.is_copied {
            copy_windows(x, size, window, out, scratch);
            x = scratch;
            geometry = ConvGeometry {
                in_h: out.height,
                in_w: out.width,
                stride: 1,
                pad_top: 0,
                pad_left: 0,
                ..geometry
            };
        }
        self.packed
            .forward(&geometry, x, Some(&self.bias), activation, y);
    }
}

/// The numbers under the window of every output pixel, one after the other; zeros outside.
fn copy_windows(x: &[f32], size: Dims, window: Window, out: Dims, scratch: &mut Vec<f32>) {
    let c = size.channels;
    let run = window.kernel[1] * c;
    scratch.resize(out.height * out.width * window.kernel[0] * run, 0.0);
    let pixels = scratch.chunks_exact_mut(window.kernel[0] * run);
    for (at, pixel) in pixels.enumerate() {
        let (oy, ox) = (at / out.width, at % out.width);
        let (rows, y0) = window.taps(0, oy, size.height);
        let (columns, x0) = window.taps(1, ox, size.width);
        let is_inside = rows.len() == window.kernel[0] && columns.len() == window.kernel[1];
        if !is_inside {
            pixel.fill(0.0);
        }
        for (j, ky) in rows.enumerate() {
            let from = &x[((y0 + j) * size.width + x0) * c..][..columns.len() * c];
            pixel[ky * run + columns.start * c..][..from.len()].copy_from_slice(from);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Straight from the definition.
    fn naive(
        x: &[f32],
        size: Dims,
        hwio: &[f32],
        bias: &[f32],
        window: Window,
        out: Dims,
    ) -> Vec<f32> {
        let mut y = vec![0.0; out.len()];
        for oy in 0..out.height {
            for ox in 0..out.width {
                for o in 0..out.channels {
                    let mut sum = f64::from(bias[o]);
                    for ky in 0..window.kernel[0] {
                        for kx in 0..window.kernel[1] {
                            let iy = (oy * window.stride[0] + ky).wrapping_sub(window.pad[0]);
                            let ix = (ox * window.stride[1] + kx).wrapping_sub(window.pad[1]);
                            if iy >= size.height || ix >= size.width {
                                continue;
                            }
                            for i in 0..size.channels {
                                let v = x[(iy * size.width + ix) * size.channels + i];
                                let tap = (ky * window.kernel[1] + kx) * size.channels + i;
                                sum += f64::from(v) * f64::from(hwio[tap * out.channels + o]);
                            }
                        }
                    }
                    y[(oy * out.width + ox) * out.channels + o] = sum as f32;
                }
            }
        }
        y
    }

    #[test]
    fn agrees_with_the_definition() {
        let noise = |n: usize, seed: u64| {
            let mut rng = stockpot_core::Rng::stream(seed, "conv", 0);
            (0..n).map(|_| rng.normal()).collect::<Vec<_>>()
        };
        for (kernel, stride, pad, size, out) in [
            (
                [1, 1],
                [1, 1],
                [0, 0],
                Dims::new(3, 5, 6),
                Dims::new(3, 5, 11),
            ),
            (
                [3, 3],
                [1, 1],
                [1, 1],
                Dims::new(6, 7, 3),
                Dims::new(6, 7, 8),
            ),
            (
                [3, 3],
                [2, 2],
                [0, 0],
                Dims::new(8, 8, 4),
                Dims::new(4, 4, 9),
            ),
            (
                [3, 3],
                [2, 2],
                [0, 0],
                Dims::new(9, 8, 4),
                Dims::new(4, 3, 1),
            ),
            (
                [7, 7],
                [2, 2],
                [0, 0],
                Dims::new(15, 15, 3),
                Dims::new(5, 5, 16),
            ),
            (
                [1, 1],
                [2, 2],
                [0, 0],
                Dims::new(5, 5, 2),
                Dims::new(3, 3, 3),
            ),
        ] {
            let x = noise(size.len(), 1);
            let w = noise(kernel[0] * kernel[1] * size.channels * out.channels, 2);
            let bias = noise(out.channels, 3);
            let window = Window {
                kernel,
                stride,
                pad,
            };
            let wanted = naive(&x, size, &w, &bias, window, out);
            let conv = Conv::new(kernel, size.channels, out.channels, &w, bias);
            let mut y = vec![0.0; out.len()];
            let mut scratch = Vec::new();
            conv.forward(&x, size, window, false, &mut y, out, &mut scratch);
            for (a, b) in y.iter().zip(&wanted) {
                assert!((a - b).abs() < 1e-4, "{kernel:?} {stride:?}: {a} {b}");
            }
            conv.forward(&x, size, window, true, &mut y, out, &mut scratch);
            for (a, b) in y.iter().zip(&wanted) {
                assert!((a - b.max(0.0)).abs() < 1e-4);
            }
        }
    }
}
