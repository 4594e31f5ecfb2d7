//! Layers as gathers: convolution forward, input gradient, weight gradient, and the up-sampling
//! convolution taken apart into phases.

use rayon::prelude::*;

use crate::gather::Gather;
use crate::isa::{Isa, vectorise};
use crate::matmul::{Epilogue, matmul};
use crate::pack::{PackSource, PackedMatrix};
use crate::precision::Precision;
use crate::weight_grad::weight_grads_in;

/// What follows a linear layer, fused into its store.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Activation {
    /// Nothing.
    None,
    /// `max(v, 0)`.
    Relu,
    /// `max(v, slope * v)`, slope in 0..1.
    LeakyRelu(f32),
}

impl Activation {
    /// The factor on negative values.
    pub fn slope(self) -> f32 {
        match self {
            Self::None => 1.0,
            Self::Relu => 0.0,
            Self::LeakyRelu(slope) => slope,
        }
    }
}

/// A square-kernel convolution layer. Weights are `[kernel, kernel, in_c, out_c]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvShape {
    /// Pictures.
    pub batch: usize,
    /// Rows of the input.
    pub in_h: usize,
    /// Columns of the input.
    pub in_w: usize,
    /// Channels of the input.
    pub in_c: usize,
    /// Channels of the output.
    pub out_c: usize,
    /// Side of the kernel.
    pub kernel: usize,
    /// Input pixels from one output pixel to the next.
    pub stride: usize,
}

impl ConvShape {
    /// Rows of the output under "same" padding.
    pub fn out_h(&self) -> usize {
        self.in_h.div_ceil(self.stride)
    }

    /// Columns of the output under "same" padding.
    pub fn out_w(&self) -> usize {
        self.in_w.div_ceil(self.stride)
    }

    /// Zeros before the first row and column under "same" padding as TensorFlow defines it: the
    /// odd one goes behind (a 5x5 kernel with stride 2 on an even size has 1 before and 2 after).
    pub fn pad_before(&self) -> [usize; 2] {
        let pad = |size: usize| {
            let out = size.div_ceil(self.stride);
            ((out - 1) * self.stride + self.kernel).saturating_sub(size) / 2
        };
        [pad(self.in_h), pad(self.in_w)]
    }

    /// Numbers in the weights.
    pub fn weight_len(&self) -> usize {
        self.kernel * self.kernel * self.in_c * self.out_c
    }

    /// The forward gather.
    pub fn forward(&self) -> Gather {
        let [py, px] = self.pad_before();
        let taps = (0..self.kernel * self.kernel)
            .map(|t| {
                let (ky, kx) = (t / self.kernel, t % self.kernel);
                [ky as i32 - py as i32, kx as i32 - px as i32]
            })
            .collect();
        Gather {
            batch: self.batch,
            in_h: self.in_h,
            in_w: self.in_w,
            in_c: self.in_c,
            grid_h: self.out_h(),
            grid_w: self.out_w(),
            stride: self.stride,
            taps,
            out_h: self.out_h(),
            out_w: self.out_w(),
            out_c: self.out_c,
            out_origin: [0, 0],
            out_step: 1,
        }
    }

    /// Packs the weights for [`ConvShape::forward`].
    pub fn pack_forward(&self, weights: &[f32], into: &mut PackedMatrix) {
        let tap = self.in_c * self.out_c;
        let offsets: Vec<usize> = (0..self.kernel * self.kernel).map(|t| t * tap).collect();
        into.pack(&PackSource {
            weights,
            tap_offsets: &offsets,
            channels: self.in_c,
            channel_stride: self.out_c,
            columns: self.out_c,
            column_stride: 1,
        });
    }

    /// The gathers of the input gradient, one for each stride phase, each with the kernel taps
    /// (`ky * kernel + kx`) it uses. Phases that no kernel tap reaches are left out: the caller
    /// clears the gradient first.
    pub fn input_grad(&self) -> Vec<(Gather, Vec<usize>)> {
        let [py, px] = self.pad_before();
        // Last kernel tap first, so that offsets ascend: adjacent ones can be read as one.
        let phase_taps = |phase: usize, pad: usize| -> Vec<(usize, i32)> {
            (0..self.kernel)
                .rev()
                .filter(|k| (phase + pad) % self.stride == k % self.stride)
                .map(|k| {
                    (
                        k,
                        (phase as i32 + pad as i32 - k as i32) / self.stride as i32,
                    )
                })
                .collect()
        };
        let mut out = Vec::new();
        for ry in 0..self.stride.min(self.in_h) {
            for rx in 0..self.stride.min(self.in_w) {
                let (ys, xs) = (phase_taps(ry, py), phase_taps(rx, px));
                let mut taps = Vec::new();
                let mut kernel_taps = Vec::new();
                for (ky, dy) in &ys {
                    for (kx, dx) in &xs {
                        taps.push([*dy, *dx]);
                        kernel_taps.push(ky * self.kernel + kx);
                    }
                }
                if taps.is_empty() {
                    continue;
                }
                let gather = Gather {
                    batch: self.batch,
                    in_h: self.out_h(),
                    in_w: self.out_w(),
                    in_c: self.out_c,
                    grid_h: (self.in_h - ry).div_ceil(self.stride),
                    grid_w: (self.in_w - rx).div_ceil(self.stride),
                    stride: 1,
                    taps,
                    out_h: self.in_h,
                    out_w: self.in_w,
                    out_c: self.in_c,
                    out_origin: [ry, rx],
                    out_step: self.stride,
                };
                out.push((gather, kernel_taps));
            }
        }
        out
    }

    /// Packs the weights for one gather of [`ConvShape::input_grad`].
    pub fn pack_input_grad(&self, weights: &[f32], taps: &[usize], into: &mut PackedMatrix) {
        let tap = self.in_c * self.out_c;
        let offsets: Vec<usize> = taps.iter().map(|t| t * tap).collect();
        into.pack(&PackSource {
            weights,
            tap_offsets: &offsets,
            channels: self.out_c,
            channel_stride: 1,
            columns: self.in_c,
            column_stride: self.out_c,
        });
    }
}

/// Nearest-neighbour doubling followed by a 3x3 "same" convolution, computed as four 2x2
/// convolutions at the low resolution: the same function with 16 instead of 36 multiplications
/// per input pixel and channel pair. Weights are `[3, 3, in_c, out_c]`.
///
/// Output row `2i + p` sees the up-sampled rows `2i + p - 1 ..= 2i + p + 1`, which are input rows
/// `i + p - 1` and `i + p`: of the three kernel rows, phase 0 gives `{0}` and `{1, 2}` to them,
/// phase 1 `{0, 1}` and `{2}`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UpConvShape {
    /// Pictures.
    pub batch: usize,
    /// Rows of the input; the output has twice as many.
    pub in_h: usize,
    /// Columns of the input; the output has twice as many.
    pub in_w: usize,
    /// Channels of the input.
    pub in_c: usize,
    /// Channels of the output.
    pub out_c: usize,
}

/// Kernel rows (or columns) that phase `p` sums into its tap `a`.
const PHASE_ROWS: [[&[usize]; 2]; 2] = [[&[0], &[1, 2]], [&[0, 1], &[2]]];

/// Whether tap `phase_tap` (`4 * phase + tap`) sums kernel tap `3 * ky + kx`.
fn linked(phase_tap: usize, kernel_tap: usize) -> bool {
    let (phase, tap) = (phase_tap / 4, phase_tap % 4);
    PHASE_ROWS[phase / 2][tap / 2].contains(&(kernel_tap / 3))
        && PHASE_ROWS[phase % 2][tap % 2].contains(&(kernel_tap % 3))
}

fn add(to: &mut [f32], from: &[f32]) {
    vectorise(
        #[inline(always)]
        || to.iter_mut().zip(from).for_each(|(t, f)| *t += f),
    );
}

impl UpConvShape {
    /// Numbers in the 3x3 weights.
    pub fn weight_len(&self) -> usize {
        9 * self.in_c * self.out_c
    }

    /// Numbers in the phase weights: 4 phases x 4 taps.
    pub fn phase_len(&self) -> usize {
        16 * self.in_c * self.out_c
    }

    /// Phase weights `[phase, tap, in_c, out_c]` from 3x3 weights.
    pub fn phases_from_weights(&self, weights: &[f32], phases: &mut [f32]) {
        let tap = self.in_c * self.out_c;
        let parts = phases.par_chunks_exact_mut(tap.max(1)).enumerate();
        parts.for_each(|(phase_tap, to)| {
            to.fill(0.0);
            for kernel_tap in 0..9 {
                if linked(phase_tap, kernel_tap) {
                    add(to, &weights[kernel_tap * tap..][..tap]);
                }
            }
        });
    }

    /// Adds phase-weight gradients onto the 3x3 weight gradient: the adjoint of the above.
    pub fn fold_grad(&self, phase_grad: &[f32], grad: &mut [f32]) {
        let tap = self.in_c * self.out_c;
        let parts = grad.par_chunks_exact_mut(tap.max(1)).enumerate();
        parts.for_each(|(kernel_tap, to)| {
            for phase_tap in 0..16 {
                if linked(phase_tap, kernel_tap) {
                    add(to, &phase_grad[phase_tap * tap..][..tap]);
                }
            }
        });
    }

    /// The forward gather of phase `0..4` (`2 * row phase + column phase`).
    pub fn forward(&self, phase: usize) -> Gather {
        let (p, q) = (phase / 2, phase % 2);
        let taps = (0..4)
            .map(|t| [p as i32 - 1 + (t / 2), q as i32 - 1 + (t % 2)])
            .collect();
        Gather {
            batch: self.batch,
            in_h: self.in_h,
            in_w: self.in_w,
            in_c: self.in_c,
            grid_h: self.in_h,
            grid_w: self.in_w,
            stride: 1,
            taps,
            out_h: 2 * self.in_h,
            out_w: 2 * self.in_w,
            out_c: self.out_c,
            out_origin: [p, q],
            out_step: 2,
        }
    }

    /// Packs one phase of the phase weights for [`UpConvShape::forward`].
    pub fn pack_forward(&self, phases: &[f32], phase: usize, into: &mut PackedMatrix) {
        let tap = self.in_c * self.out_c;
        let offsets: Vec<usize> = (0..4).map(|t| (phase * 4 + t) * tap).collect();
        into.pack(&PackSource {
            weights: phases,
            tap_offsets: &offsets,
            channels: self.in_c,
            channel_stride: self.out_c,
            columns: self.out_c,
            column_stride: 1,
        });
    }

    /// The gather of the input gradient: a 4x4 neighbourhood of the output gradient, stride 2.
    /// Phase `p`, tap `a` reads output row `2i + 2 - 2a - p`.
    pub fn input_grad(&self) -> Gather {
        let offset = |phase: usize, tap: usize| 2 - 2 * tap as i32 - phase as i32;
        let taps = (0..16)
            .map(|t| {
                let (phase, tap) = (t / 4, t % 4);
                [offset(phase / 2, tap / 2), offset(phase % 2, tap % 2)]
            })
            .collect();
        Gather {
            batch: self.batch,
            in_h: 2 * self.in_h,
            in_w: 2 * self.in_w,
            in_c: self.out_c,
            grid_h: self.in_h,
            grid_w: self.in_w,
            stride: 2,
            taps,
            out_h: self.in_h,
            out_w: self.in_w,
            out_c: self.in_c,
            out_origin: [0, 0],
            out_step: 1,
        }
    }

    /// Packs the phase weights for [`UpConvShape::input_grad`].
    pub fn pack_input_grad(&self, phases: &[f32], into: &mut PackedMatrix) {
        let tap = self.in_c * self.out_c;
        let offsets: Vec<usize> = (0..16).map(|t| t * tap).collect();
        into.pack(&PackSource {
            weights: phases,
            tap_offsets: &offsets,
            channels: self.out_c,
            channel_stride: 1,
            columns: self.in_c,
            column_stride: self.out_c,
        });
    }

    /// Adds the phase-weight gradient (`[phase, tap, in_c, out_c]`).
    pub fn phase_grad(&self, input: &[f32], grad_output: &[f32], phase_grad: &mut [f32]) {
        self.phase_grad_in(Precision::F32, input, grad_output, phase_grad);
    }

    /// [`UpConvShape::phase_grad`] with both inputs rounded to `precision`.
    pub fn phase_grad_in(
        &self,
        precision: Precision,
        input: &[f32],
        grad_output: &[f32],
        phase_grad: &mut [f32],
    ) {
        let phases: [Gather; 4] = std::array::from_fn(|phase| self.forward(phase));
        weight_grads_in(
            Isa::best(),
            precision,
            &phases,
            input,
            grad_output,
            phase_grad,
        );
    }
}

/// Sizes and padding of an inference convolution whose padding is given, not derived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvGeometry {
    /// Pictures.
    pub batch: usize,
    /// Rows of the input.
    pub in_h: usize,
    /// Columns of the input.
    pub in_w: usize,
    /// Input pixels from one output pixel to the next.
    pub stride: usize,
    /// Zero rows above the input.
    pub pad_top: usize,
    /// Zero columns left of the input.
    pub pad_left: usize,
    /// Rows of the output.
    pub out_h: usize,
    /// Columns of the output.
    pub out_w: usize,
}

/// Convolution weights packed once, for inference. Cheap to share, never changed.
#[derive(Debug, Clone)]
pub struct PackedConv {
    kernel_h: usize,
    kernel_w: usize,
    in_c: usize,
    matrix: PackedMatrix,
}

impl PackedConv {
    /// Packs weights `[kernel_h, kernel_w, in_c, out_c]`.
    ///
    /// # Panics
    /// If `weights` has another length: a bug of the caller.
    pub fn new(
        kernel_h: usize,
        kernel_w: usize,
        in_c: usize,
        out_c: usize,
        weights: &[f32],
    ) -> Self {
        assert_eq!(
            weights.len(),
            kernel_h * kernel_w * in_c * out_c,
            "convolution weights"
        );
        let offsets: Vec<usize> = (0..kernel_h * kernel_w).map(|t| t * in_c * out_c).collect();
        let mut matrix = PackedMatrix::empty();
        matrix.pack(&PackSource {
            weights,
            tap_offsets: &offsets,
            channels: in_c,
            channel_stride: out_c,
            columns: out_c,
            column_stride: 1,
        });
        Self {
            kernel_h,
            kernel_w,
            in_c,
            matrix,
        }
    }

    /// Channels of the output.
    pub fn out_c(&self) -> usize {
        self.matrix.columns()
    }

    /// The convolution with bias and activation.
    ///
    /// # Shapes
    /// `x`: `[batch, in_h, in_w, in_c]`; `y`: `[batch, out_h, out_w, out_c]`.
    ///
    /// # Panics
    /// If a slice does not fit: a bug of the caller.
    pub fn forward(
        &self,
        geometry: &ConvGeometry,
        x: &[f32],
        bias: Option<&[f32]>,
        activation: Activation,
        y: &mut [f32],
    ) {
        let taps = (0..self.kernel_h * self.kernel_w)
            .map(|t| {
                let (ky, kx) = (t / self.kernel_w, t % self.kernel_w);
                [
                    ky as i32 - geometry.pad_top as i32,
                    kx as i32 - geometry.pad_left as i32,
                ]
            })
            .collect();
        let gather = Gather {
            batch: geometry.batch,
            in_h: geometry.in_h,
            in_w: geometry.in_w,
            in_c: self.in_c,
            grid_h: geometry.out_h,
            grid_w: geometry.out_w,
            stride: geometry.stride,
            taps,
            out_h: geometry.out_h,
            out_w: geometry.out_w,
            out_c: self.out_c(),
            out_origin: [0, 0],
            out_step: 1,
        };
        let epilogue = Epilogue {
            bias,
            slope: activation.slope(),
            add: false,
        };
        matmul(&gather, x, &self.matrix, epilogue, y);
    }
}
