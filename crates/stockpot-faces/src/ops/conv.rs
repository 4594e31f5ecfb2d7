//! Full convolution: the one operator that costs most of the time, on `stockpot-kernels`.

use stockpot_kernels::{Activation, ConvGeometry, PackedConv};

use super::{Dims, Window};

/// A convolution with its weights.
#[derive(Debug, Clone)]
pub(crate) struct Conv {
    packed: PackedConv,
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
        let packed = PackedConv::new(kernel[0], kernel[1], channels, out_channels, hwio);
        Self { packed, bias }
    }

    pub(crate) fn out_channels(&self) -> usize {
        self.packed.out_c()
    }

    /// `y = relu?(conv(x) + bias)`. Both strides of the window are the same.
    pub(crate) fn forward(
        &self,
        x: &[f32],
        size: Dims,
        window: Window,
        relu: bool,
        y: &mut [f32],
        out: Dims,
    ) {
        let geometry = ConvGeometry {
            batch: 1,
            in_h: size.height,
            in_w: size.width,
            stride: window.stride[0],
            pad_top: window.pad[0],
            pad_left: window.pad[1],
            out_h: out.height,
            out_w: out.width,
        };
        let activation = if relu {
            Activation::Relu
        } else {
            Activation::None
        };
        self.packed
            .forward(&geometry, x, Some(&self.bias), activation, y);
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
            conv.forward(&x, size, window, false, &mut y, out);
            for (a, b) in y.iter().zip(&wanted) {
                assert!((a - b).abs() < 1e-4, "{kernel:?} {stride:?}: {a} {b}");
            }
            conv.forward(&x, size, window, true, &mut y, out);
            for (a, b) in y.iter().zip(&wanted) {
                assert!((a - b.max(0.0)).abs() < 1e-4);
            }
        }
    }
}
