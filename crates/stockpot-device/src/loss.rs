//! The training loss in Burn's tensors: the same definition as `stockpot_train::loss`, which says
//! where it comes from; gradients come from Burn.
//!
//! A window moves over a picture as a product with a banded matrix, once along the rows and once along
//! the columns: on a card that is faster than a convolution of one channel.

use burn_tensor::module::avg_pool2d;
use burn_tensor::ops::AvgPoolOptions;
use burn_tensor::{Device, Tensor, TensorData};
use stockpot_train::loss::{LossWeights, MASK_MARGIN, STABILISERS, TAPS, window_taps};

/// What stays the same from step to step for one picture size.
pub(crate) struct Comparer {
    weights: LossWeights,
    /// Finest first.
    scales: Vec<Scale>,
}

struct Scale {
    share: f64,
    /// `[side, side - 10]`: a row times this is the row seen through the window.
    band: Tensor<2>,
}

/// A batch of faces of one person as the loss sees them; `[faces, channels, side, side]`.
pub(crate) struct Faces {
    /// What was drawn: 3 or 4 channels.
    pub(crate) prediction: Tensor<4>,
    /// What should have been: 3 channels.
    pub(crate) target: Tensor<4>,
    /// Where the face is: 1 channel.
    pub(crate) mask: Tensor<4>,
    /// What each pixel counts: 1 channel; none for 1 everywhere.
    pub(crate) weight: Option<Tensor<4>>,
}

/// The loss and its parts, as [`stockpot_train::loss::LossValue`] names them; one number each.
pub(crate) struct Parts {
    pub(crate) total: Tensor<1>,
    pub(crate) l1: Tensor<1>,
    pub(crate) ssim: Tensor<1>,
    pub(crate) mask: Option<Tensor<1>>,
}

impl Comparer {
    pub(crate) fn new(weights: LossWeights, side: usize, device: &Device) -> Self {
        let scales = weights.scales_of(side).into_iter();
        let scales = scales.map(|(side, share)| Scale {
            share,
            band: band(side, device),
        });
        Self {
            weights,
            scales: scales.collect(),
        }
    }

    /// Whether it weighs as `weights` say.
    pub(crate) fn weighs(&self, weights: &LossWeights) -> bool {
        self.weights == *weights
    }

    pub(crate) fn compare(&self, faces: Faces) -> Parts {
        let [n, channels, ..] = faces.prediction.dims();
        let LossWeights {
            ssim_share,
            background,
            mask,
            ..
        } = self.weights;
        let mut weight = faces.mask.clone() * (1.0 - background) + background;
        if let Some(factor) = faces.weight {
            weight = weight * factor;
        }
        let rgb = faces.prediction.clone().narrow(1, 0, 3);
        let apart = (rgb.clone() - faces.target.clone()).abs() * weight.clone();
        let (sum, _) = divisor(weight.clone());
        let l1 = (per_picture(apart) / (sum * 3.0)).mean();
        let ssim = (self.structure(rgb, faces.target, weight) * -1.0 + 1.0).mean();
        let mut total = ssim.clone() * ssim_share + l1.clone() * (1.0 - ssim_share);
        let mut masked = None;
        if channels == 4 {
            let drawn = faces.prediction.narrow(1, 3, 1).reshape([n as i64, -1]);
            let loss = mask_loss(drawn, faces.mask.reshape([n as i64, -1]));
            total = total + loss.clone() * mask;
            masked = Some(loss);
        }
        Parts {
            total,
            l1,
            ssim,
            mask: masked,
        }
    }

    /// MS-SSIM of every picture and colour: `[pictures, 3]`.
    fn structure(&self, mut x: Tensor<4>, mut y: Tensor<4>, mut weight: Tensor<4>) -> Tensor<2> {
        let mut score: Option<Tensor<2>> = None;
        for (i, scale) in self.scales.iter().enumerate() {
            let is_last = i + 1 == self.scales.len();
            let part = index(scale, x.clone(), y.clone(), weight.clone(), is_last) * scale.share;
            score = Some(match score {
                Some(sum) => sum + part,
                None => part,
            });
            if !is_last {
                x = halved(x);
                y = halved(y);
                weight = halved(weight);
            }
        }
        let [n, ..] = x.dims();
        score.unwrap_or_else(|| Tensor::ones([n, 3], &x.device()))
    }
}

/// The weighted mean of the index of every picture and colour at one scale; with the luminance at the
/// coarsest.
fn index(scale: &Scale, x: Tensor<4>, y: Tensor<4>, weight: Tensor<4>, full: bool) -> Tensor<2> {
    let [n, colours, side, _] = x.dims();
    let inner = side + 1 - TAPS;
    let squares = x.clone().square() + y.clone().square();
    let products = x.clone() * y.clone();
    let moments = blurred(Tensor::cat(vec![x, y, squares, products], 0), &scale.band);
    let moment = |k: usize| moments.clone().narrow(0, k * n, n);
    let (mx, my, squares, products) = (moment(0), moment(1), moment(2), moment(3));
    let means = mx.clone().square() + my.clone().square();
    let product = mx * my;
    let [c1, c2] = STABILISERS;
    let mut score = ((products - product.clone()) * 2.0 + c2) / (squares - means.clone() + c2);
    if full {
        score = score * ((product * 2.0 + c1) / (means + c1));
    }
    // Blurred planes lie on their side, see `blurred`; so must the weights of the windows' centres.
    let reach = TAPS / 2;
    let centres = weight.narrow(2, reach, inner).narrow(3, reach, inner);
    let centres = centres.swap_dims(2, 3);
    let (sum, is_nothing) = divisor(centres.clone());
    let score = (score * centres).reshape([n, colours, inner * inner]);
    let score: Tensor<2> = score.sum_dim(2).squeeze_dim(2);
    // Where nothing counts, nothing was asked: 1.
    score / sum + is_nothing
}

/// Sums over all but the first dimension: `[pictures, 1]`.
fn per_picture(x: Tensor<4>) -> Tensor<2> {
    let n = x.dims()[0];
    x.reshape([n as i64, -1]).sum_dim(1)
}

/// The sum of each picture's weights to divide by, 1 in the place of 0; and 1 where it was 0, else 0.
fn divisor(weights: Tensor<4>) -> (Tensor<2>, Tensor<2>) {
    let sum = per_picture(weights);
    let is_nothing = sum.clone().equal_scalar(0.0).float();
    (sum + is_nothing.clone(), is_nothing)
}

/// Planes seen through the window, rows and columns swapped.
fn blurred(x: Tensor<4>, band: &Tensor<2>) -> Tensor<4> {
    let [n, c, h, w] = x.dims();
    let inner = band.dims()[1];
    let along = x.reshape([n * c * h, w]).matmul(band.clone());
    let along = along.reshape([n * c, h, inner]).swap_dims(1, 2);
    let across = along.reshape([n * c * inner, h]).matmul(band.clone());
    across.reshape([n, c, inner, inner])
}

fn band(side: usize, device: &Device) -> Tensor<2> {
    let inner = side + 1 - TAPS;
    let mut data = vec![0.0f32; side * inner];
    for column in 0..inner {
        for (k, tap) in window_taps().into_iter().enumerate() {
            data[(column + k) * inner + column] = tap;
        }
    }
    Tensor::from_data(TensorData::new(data, [side, inner]), device)
}

/// Each pixel the mean of 2 x 2; an odd last row and column is left out.
fn halved(x: Tensor<4>) -> Tensor<4> {
    avg_pool2d(
        x,
        AvgPoolOptions {
            kernel_size: [2; 2],
            stride: [2; 2],
            padding: [(0, 0); 2],
            count_include_pad: true,
            ceil_mode: false,
        },
    )
}

/// Mean of binary cross-entropy and squared difference; `[faces, pixels]`.
fn mask_loss(found: Tensor<2>, wanted: Tensor<2>) -> Tensor<1> {
    // What is cut off still pulls, as on the CPU.
    let kept = found.clone().clamp(MASK_MARGIN, 1.0 - MASK_MARGIN);
    let safe = found.clone() + (kept - found.clone()).detach();
    let against = |v: Tensor<2>| v * -1.0 + 1.0;
    let entropy =
        wanted.clone() * safe.clone().log() + against(wanted.clone()) * against(safe).log();
    ((found - wanted).square() - entropy).mean()
}

#[cfg(test)]
#[cfg(feature = "flex")]
mod tests {
    use stockpot_train::loss::{Comparison, LossScratch, ScaleWeights, face_loss};

    use super::*;

    fn check(side: usize, channels: usize, weighted: bool, scales: ScaleWeights) {
        let faces = 3;
        let wave = |len: usize, f: f32| -> Vec<f32> {
            (0..len)
                .map(|i| 0.5 + 0.45 * (i as f32 * f).sin())
                .collect()
        };
        let pixels = faces * side * side;
        let prediction = wave(pixels * channels, 0.37);
        let target = wave(pixels * 3, 0.05);
        let mut mask: Vec<f32> = wave(pixels, 0.013).iter().map(|v| v.round()).collect();
        // The last face counts nowhere.
        mask[2 * side * side..].fill(0.0);
        let weight = if weighted { wave(pixels, 0.3) } else { vec![] };
        let weights = LossWeights {
            ssim_share: 0.84,
            scales,
            background: 0.0,
            mask: 0.1,
        };
        let mut scratch = LossScratch::new(side, 2).unwrap();
        let mut slope = vec![0.0; prediction.len()];
        let comparison = Comparison {
            side,
            channels,
            prediction: &prediction,
            target: &target,
            mask: &mask,
            weight: &weight,
        };
        let wanted = face_loss(&mut scratch, &weights, &comparison, &mut slope).unwrap();

        let device = Device::flex().autodiff();
        let tensor = |data: &[f32], c: usize| {
            let data = TensorData::new(data.to_vec(), [faces, side, side, c]);
            Tensor::<4>::from_data(data, &device)
        };
        let leaf = tensor(&prediction, channels).require_grad();
        let turn = |x: Tensor<4>| x.permute([0, 3, 1, 2]);
        let found = Comparer::new(weights, side, &device).compare(Faces {
            prediction: turn(leaf.clone()),
            target: turn(tensor(&target, 3)),
            mask: turn(tensor(&mask, 1)),
            weight: weighted.then(|| turn(tensor(&weight, 1))),
        });
        let mut grads = found.total.backward();
        let number = |t: Tensor<1>| f64::from(t.into_scalar::<f32>());
        let close = |what: &str, a: f64, b: f64| {
            assert!((a - b).abs() < 2e-5, "{what} at {side} px: {a} {b}");
        };
        close("L1", wanted.l1, number(found.l1));
        close("MS-SSIM", wanted.ssim, number(found.ssim));
        assert_eq!(found.mask.is_some(), channels == 4);
        close("mask", wanted.mask, found.mask.map_or(0.0, number));
        close("total", wanted.total, number(found.total));
        let found = leaf.grad_remove(&mut grads).unwrap();
        let found = found.try_into_vec_as::<f32>().unwrap();
        let size = slope.iter().fold(0.0f32, |m, v| m.max(v.abs()));
        for (i, (a, b)) in slope.iter().zip(&found).enumerate() {
            assert!((a - b).abs() < 1e-3 * size, "{i}: {a} {b}, of {size}");
        }
    }

    #[test]
    fn value_and_gradient_equal_those_of_the_cpu() {
        check(32, 3, false, ScaleWeights::Wang);
        check(47, 4, true, ScaleWeights::Even);
    }
}
