//! The small passes around the products: rectifier backward with bias gradient, RMS norm, sigmoid,
//! rearrangements of pixels.

use rayon::prelude::*;

use crate::isa::vectorise;

/// Rows of a fixed stretch, so that sums do not depend on the number of threads.
const STRETCH: usize = 4096;

/// Backward of `y = max(v, slope * v)` in place, and the bias gradient.
///
/// `grad[i] *= slope` wherever `output[i] <= 0`; then the columns of `grad` (rows of `channels`)
/// are added to `bias_grad` (when there is one).
///
/// # Panics
/// If lengths do not fit: a bug of the caller.
pub fn leaky_backward(
    output: &[f32],
    slope: f32,
    grad: &mut [f32],
    channels: usize,
    bias_grad: Option<&mut [f32]>,
) {
    assert_eq!(output.len(), grad.len());
    let len = STRETCH * channels;
    let sums: Vec<Vec<f32>> = grad
        .par_chunks_mut(len)
        .zip(output.par_chunks(len))
        .map(|(grad, output)| {
            vectorise(
                #[inline(always)]
                || {
                    let mut sum = vec![0.0f32; channels];
                    for (g, y) in grad
                        .chunks_exact_mut(channels)
                        .zip(output.chunks_exact(channels))
                    {
                        for ((g, y), s) in g.iter_mut().zip(y).zip(&mut sum) {
                            let factor = if *y > 0.0 { 1.0 } else { slope };
                            *g *= factor;
                            *s += *g;
                        }
                    }
                    sum
                },
            )
        })
        .collect();
    if let Some(bias_grad) = bias_grad {
        assert_eq!(bias_grad.len(), channels);
        for sum in sums {
            bias_grad.iter_mut().zip(sum).for_each(|(b, s)| *b += s);
        }
    }
}

/// Adds the columns of `grad` (rows of `channels`) to `sums`: the bias gradient of a layer without
/// rectifier.
///
/// # Panics
/// If `sums` has another length than `channels`: a bug of the caller.
pub fn add_columns(grad: &[f32], channels: usize, sums: &mut [f32]) {
    assert_eq!(sums.len(), channels);
    let parts: Vec<Vec<f32>> = grad
        .par_chunks(STRETCH * channels.max(1))
        .map(|grad| {
            vectorise(
                #[inline(always)]
                || {
                    let mut sum = vec![0.0f32; channels];
                    for row in grad.chunks_exact(channels) {
                        sum.iter_mut().zip(row).for_each(|(s, g)| *s += g);
                    }
                    sum
                },
            )
        })
        .collect();
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(s, p)| *s += p);
    }
}

/// RMS norm without gain: `y = x / sqrt(mean(x²) + eps)` over each row (Zhang and Sennrich 2019).
/// Returns nothing but `y`; the inverse root is found again from `x` in the backward pass.
pub fn rms_norm(x: &[f32], row: usize, y: &mut [f32]) {
    let rows = x.par_chunks_exact(row).zip(y.par_chunks_exact_mut(row));
    rows.for_each(|(x, y)| {
        let inverse = inverse_rms(x);
        y.iter_mut().zip(x).for_each(|(y, x)| *y = x * inverse);
    });
}

/// Gradient of [`rms_norm`] with respect to `x`.
pub fn rms_norm_backward(x: &[f32], grad_y: &[f32], row: usize, grad_x: &mut [f32]) {
    let rows = x.par_chunks_exact(row).zip(grad_y.par_chunks_exact(row));
    rows.zip(grad_x.par_chunks_exact_mut(row))
        .for_each(|((x, gy), gx)| {
            let r = inverse_rms(x);
            let k = r * r * r * dot(x, gy) / row as f32;
            for ((gx, gy), x) in gx.iter_mut().zip(gy).zip(x) {
                *gx = r * gy - k * x;
            }
        });
}

fn inverse_rms(x: &[f32]) -> f32 {
    const EPS: f32 = 1e-6;
    let mean = dot(x, x) / x.len() as f32;
    1.0 / (mean + EPS).sqrt()
}

/// Sum of products in sixteen lanes, which are added in order: the same on every machine.
fn dot(a: &[f32], b: &[f32]) -> f32 {
    let mut lanes = [0.0f32; 16];
    let (whole_a, rest_a) = a.as_chunks::<16>();
    let (whole_b, rest_b) = b.as_chunks::<16>();
    vectorise(
        #[inline(always)]
        || {
            for (a, b) in whole_a.iter().zip(whole_b) {
                for ((lane, a), b) in lanes.iter_mut().zip(a).zip(b) {
                    *lane += a * b;
                }
            }
        },
    );
    let rest: f32 = rest_a.iter().zip(rest_b).map(|(a, b)| a * b).sum();
    lanes.iter().sum::<f32>() + rest
}

/// Logistic function in place.
pub fn sigmoid(values: &mut [f32]) {
    values.par_chunks_mut(STRETCH).for_each(|part| {
        part.iter_mut().for_each(|v| *v = 1.0 / (1.0 + (-*v).exp()));
    });
}

/// Gradient of [`sigmoid`] in place, from its output.
pub fn sigmoid_backward(output: &[f32], grad: &mut [f32]) {
    assert_eq!(output.len(), grad.len());
    let parts = grad.par_chunks_mut(STRETCH).zip(output.par_chunks(STRETCH));
    parts.for_each(|(grad, output)| {
        let pairs = grad.iter_mut().zip(output);
        pairs.for_each(|(g, y)| *g *= y * (1.0 - y));
    });
}

/// 2x2 blocks of pixels become channels: `[b, 2h, 2w, c]` to `[b, h, w, 4c]`, block position
/// slowest (`(row * 2 + column) * c + channel`).
///
/// # Panics
/// If lengths do not fit: a bug of the caller.
pub fn space_to_depth(x: &[f32], batch: usize, h: usize, w: usize, c: usize, y: &mut [f32]) {
    assert_shuffle(x, batch * h * w * c, y);
    let row = (4 * w * c).max(1);
    let rows = y.par_chunks_exact_mut(row).zip(x.par_chunks_exact(row));
    rows.for_each(|(deep, fine)| {
        let (upper, lower) = fine.split_at(row / 2);
        let pairs = upper.chunks_exact(2 * c).zip(lower.chunks_exact(2 * c));
        for (deep, (upper, lower)) in deep.chunks_exact_mut(4 * c).zip(pairs) {
            deep[..2 * c].copy_from_slice(upper);
            deep[2 * c..].copy_from_slice(lower);
        }
    });
}

/// The way back, `[b, h, w, 4c]` to `[b, 2h, 2w, c]`: the pixel shuffle of 2018 (block position
/// slowest, as TensorFlow's `depth_to_space`). Also the gradient of [`space_to_depth`].
///
/// # Panics
/// If lengths do not fit: a bug of the caller.
pub fn depth_to_space(x: &[f32], batch: usize, h: usize, w: usize, c: usize, y: &mut [f32]) {
    assert_shuffle(x, batch * h * w * c, y);
    let row = (4 * w * c).max(1);
    let rows = y.par_chunks_exact_mut(row).zip(x.par_chunks_exact(row));
    rows.for_each(|(fine, deep)| {
        let (upper, lower) = fine.split_at_mut(row / 2);
        let pairs = upper
            .chunks_exact_mut(2 * c)
            .zip(lower.chunks_exact_mut(2 * c));
        for (deep, (upper, lower)) in deep.chunks_exact(4 * c).zip(pairs) {
            upper.copy_from_slice(&deep[..2 * c]);
            lower.copy_from_slice(&deep[2 * c..]);
        }
    });
}

/// `quarter` is a quarter of the numbers on either side. A row of the deep picture is as long as
/// the two rows of the fine one that it holds, so rows pair up.
fn assert_shuffle(x: &[f32], quarter: usize, y: &[f32]) {
    assert_eq!(x.len(), 4 * quarter, "pixels to be shuffled");
    assert_eq!(y.len(), 4 * quarter, "shuffled pixels");
}
