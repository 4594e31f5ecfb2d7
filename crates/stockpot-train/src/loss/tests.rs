//! The loss against a plain reference in 64 bits, numbers worked by hand, and poison.

use stockpot_core::Rng;

use super::*;

const WEIGHTS: LossWeights = LossWeights {
    ssim_share: 0.84,
    scales: ScaleWeights::Wang,
    background: 0.1,
    mask: 0.5,
};

struct Case {
    side: usize,
    channels: usize,
    prediction: Vec<f32>,
    target: Vec<f32>,
    mask: Vec<f32>,
    weight: Vec<f32>,
}

impl Case {
    fn random(side: usize, channels: usize, images: usize) -> Self {
        let mut rng = Rng::stream(3, "loss", (side * 10 + channels) as u64);
        let n = images * side * side;
        let mut many = |count: usize, low: f32, high: f32| -> Vec<f32> {
            (0..count).map(|_| rng.range(low, high)).collect()
        };
        Self {
            side,
            channels,
            prediction: many(n * channels, 0.05, 0.95),
            target: many(n * 3, 0.0, 1.0),
            mask: many(n, 0.0, 1.0),
            weight: many(n, 0.5, 3.0),
        }
    }

    fn comparison(&self) -> Comparison<'_> {
        Comparison {
            side: self.side,
            channels: self.channels,
            prediction: &self.prediction,
            target: &self.target,
            mask: &self.mask,
            weight: &self.weight,
        }
    }

    fn loss(&self, lanes: usize, weights: &LossWeights) -> (LossValue, Vec<f32>) {
        let mut scratch = LossScratch::new(self.side, lanes).unwrap();
        let mut gradient = vec![7.0; self.prediction.len()];
        let value = face_loss(&mut scratch, weights, &self.comparison(), &mut gradient).unwrap();
        (value, gradient)
    }
}

/// The loss by its definition: no separable blur, no planes, 64 bits.
fn reference(case: &Case, prediction: &[f64], weights: &LossWeights) -> f64 {
    let (n, channels) = (case.side, case.channels);
    let pixels = n * n;
    let images = case.mask.len() / pixels;
    let background = f64::from(weights.background);
    let share = f64::from(weights.ssim_share);
    let mut total = 0.0;
    for image in 0..images {
        let weight: Vec<f64> = (image * pixels..(image + 1) * pixels)
            .map(|i| {
                let mask = f64::from(case.mask[i]);
                (background + (1.0 - background) * mask) * f64::from(case.weight[i])
            })
            .collect();
        let weight_sum: f64 = weight.iter().sum();
        for channel in 0..3 {
            let x: Vec<f64> = (0..pixels)
                .map(|i| prediction[(image * pixels + i) * channels + channel])
                .collect();
            let y: Vec<f64> = (0..pixels)
                .map(|i| f64::from(case.target[(image * pixels + i) * 3 + channel]))
                .collect();
            let l1: f64 = (0..pixels)
                .map(|i| weight[i] * (x[i] - y[i]).abs())
                .sum::<f64>()
                / weight_sum;
            let structure = 1.0 - reference_ms_ssim(x, y, weight.clone(), n, weights.scales);
            total += (share * structure + (1.0 - share) * l1) / 3.0;
        }
        if channels == 4 {
            let sum: f64 = (image * pixels..(image + 1) * pixels)
                .map(|i| {
                    let (p, t) = (prediction[i * 4 + 3], f64::from(case.mask[i]));
                    -(t * p.ln() + (1.0 - t) * (1.0 - p).ln()) + (p - t).powi(2)
                })
                .sum();
            total += f64::from(weights.mask) * sum / pixels as f64;
        }
    }
    total / images as f64
}

fn reference_ms_ssim(
    mut x: Vec<f64>,
    mut y: Vec<f64>,
    mut weight: Vec<f64>,
    mut n: usize,
    scales: ScaleWeights,
) -> f64 {
    let count = std::iter::successors(Some(n), |s| Some(s / 2))
        .take_while(|s| *s >= 11)
        .count();
    let count = count.min(5);
    let shares: Vec<f64> = match scales {
        ScaleWeights::Wang => WANG_SCALES[..count].to_vec(),
        ScaleWeights::Even => vec![1.0; count],
    };
    let mut score = 0.0;
    for (scale, share) in shares.iter().enumerate() {
        let mean = reference_mean_ssim(&x, &y, &weight, n, scale + 1 == count);
        score += share / shares.iter().sum::<f64>() * mean;
        let half = n / 2;
        let pool = |p: &[f64]| -> Vec<f64> {
            (0..half * half)
                .map(|i| {
                    let at = (i / half) * 2 * n + (i % half) * 2;
                    (p[at] + p[at + 1] + p[at + n] + p[at + n + 1]) / 4.0
                })
                .collect()
        };
        (x, y, weight) = (pool(&x), pool(&y), pool(&weight));
        n = half;
    }
    score
}

fn reference_mean_ssim(x: &[f64], y: &[f64], weight: &[f64], n: usize, full: bool) -> f64 {
    let tap = |k: usize| (-(k as f64 - 5.0).powi(2) / (2.0 * 1.5 * 1.5)).exp();
    let norm: f64 = (0..11).map(tap).sum();
    let (mut sum, mut weights) = (0.0, 0.0);
    for top in 0..=n - 11 {
        for left in 0..=n - 11 {
            let (mut mx, mut my, mut xx, mut yy, mut xy) = (0.0, 0.0, 0.0, 0.0, 0.0);
            for i in 0..121 {
                let g = tap(i / 11) * tap(i % 11) / (norm * norm);
                let at = (top + i / 11) * n + left + i % 11;
                mx += g * x[at];
                my += g * y[at];
                xx += g * x[at] * x[at];
                yy += g * y[at] * y[at];
                xy += g * x[at] * y[at];
            }
            let (c1, c2) = (1e-4, 9e-4);
            let structure = (2.0 * (xy - mx * my) + c2) / (xx - mx * mx + yy - my * my + c2);
            let luminance = (2.0 * mx * my + c1) / (mx * mx + my * my + c1);
            let w = weight[(top + 5) * n + left + 5];
            sum += w * if full {
                luminance * structure
            } else {
                structure
            };
            weights += w;
        }
    }
    sum / weights
}

fn check_against_reference(case: &Case, weights: &LossWeights) {
    let (value, gradient) = case.loss(2, weights);
    let exact: Vec<f64> = case.prediction.iter().map(|v| f64::from(*v)).collect();
    let wanted = reference(case, &exact, weights);
    assert!(
        (value.total - wanted).abs() < 2e-5,
        "{} against {wanted}",
        value.total
    );
    let largest = gradient.iter().fold(0.0f32, |a, b| a.max(b.abs()));
    let mut rng = Rng::stream(5, "probe", 0);
    for _ in 0..25 {
        let i = rng.below(exact.len());
        let step = 1e-5;
        let at = |shift: f64| {
            let mut moved = exact.clone();
            moved[i] += shift;
            reference(case, &moved, weights)
        };
        let slope = (at(step) - at(-step)) / (2.0 * step);
        let error = (f64::from(gradient[i]) - slope).abs();
        assert!(
            error < 1e-3 * f64::from(largest),
            "number {i}: {} against {slope}, largest {largest}",
            gradient[i]
        );
    }
}

#[test]
fn gradient_is_the_slope_of_the_definition() {
    check_against_reference(&Case::random(24, 4, 2), &WEIGHTS);
    check_against_reference(&Case::random(23, 3, 1), &WEIGHTS);
    let even = LossWeights {
        scales: ScaleWeights::Even,
        ssim_share: 1.0,
        ..WEIGHTS
    };
    check_against_reference(&Case::random(16, 4, 1), &even);
}

#[test]
fn scales_follow_the_resolution() {
    let scales = |side| LossScratch::new(side, 1).unwrap().scales();
    assert_eq!(
        [11, 21, 22, 64, 96, 128, 256, 1024].map(scales),
        [1, 1, 2, 3, 4, 4, 5, 5]
    );
    assert!(LossScratch::new(10, 1).is_err());
}

#[test]
fn numbers_worked_by_hand() {
    // Flat 0.7 against 0.5 inside half a mask: L1 is 0.2 whatever the weights are.
    let n = 16 * 16;
    let mut case = Case::random(16, 4, 1);
    case.prediction = [0.7, 0.7, 0.7, 0.5].repeat(n);
    case.target = vec![0.5; n * 3];
    case.mask = (0..n).map(|i| if i < n / 2 { 1.0 } else { 0.0 }).collect();
    case.weight = Vec::new();
    let only_l1 = LossWeights {
        ssim_share: 0.0,
        mask: 0.0,
        ..WEIGHTS
    };
    let (value, gradient) = case.loss(1, &only_l1);
    assert!((value.l1 - 0.2).abs() < 1e-6 && (value.total - 0.2).abs() < 1e-6);
    // Inside: 1 / (3 · 128 · 1.1); outside a tenth of it.
    let inside = 1.0 / (3.0 * 128.0 * 1.1);
    assert!((gradient[0] - inside).abs() < 1e-8);
    assert!((gradient[4 * (n - 1)] - 0.1 * inside).abs() < 1e-8);
    // A mask of one half everywhere: BCE = ln 2, MSE = 0.25.
    assert!((value.mask - (2f64.ln() + 0.25)).abs() < 1e-6);
    // A perfect picture costs nothing but the mask.
    case.prediction = [0.5, 0.5, 0.5, 0.5].repeat(n);
    let (value, _) = case.loss(1, &WEIGHTS);
    assert!(value.ssim.abs() < 1e-4 && value.l1 == 0.0);
}

#[test]
fn lanes_do_not_change_a_bit() {
    let case = Case::random(22, 4, 5);
    let one = case.loss(1, &WEIGHTS);
    for lanes in [2, 3, 4, 9] {
        assert_eq!(one, case.loss(lanes, &WEIGHTS));
    }
}

#[test]
fn poison_makes_the_loss_not_finite_and_never_panics() {
    for poison in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for what in 0..4 {
            let mut case = Case::random(16, 4, 2);
            match what {
                0 => case.prediction[40] = poison,
                1 => case.prediction[43] = poison,
                2 => case.target[500] = poison,
                _ => case.mask[300] = poison,
            }
            let (value, _) = case.loss(2, &WEIGHTS);
            // An infinite mask prediction is infinitely far away in MSE.
            assert!(!value.total.is_finite(), "{poison} in {what}: {value:?}");
        }
    }
}

#[test]
fn a_face_that_weighs_nothing_and_an_empty_batch_are_no_trouble() {
    let mut case = Case::random(16, 3, 1);
    case.weight.fill(0.0);
    let (value, gradient) = case.loss(1, &WEIGHTS);
    assert_eq!((value.l1, value.ssim), (0.0, 0.0));
    assert!(gradient.iter().all(|g| *g == 0.0));
    case.prediction.clear();
    case.target.clear();
    case.mask.clear();
    case.weight.clear();
    assert_eq!(case.loss(1, &WEIGHTS).0, LossValue::default());
    let mut scratch = LossScratch::new(16, 1).unwrap();
    let wrong = Case::random(15, 3, 1);
    let mut gradient = vec![0.0; wrong.prediction.len()];
    let error = face_loss(&mut scratch, &WEIGHTS, &wrong.comparison(), &mut gradient);
    assert!(matches!(error, Err(Error::Shape { .. })));
}

/// Not an assertion on a busy machine's clock but a figure to read: `cargo test -p stockpot-train
/// loss_speed -- --nocapture`.
#[test]
fn loss_speed_of_32_images_at_96_px() {
    let case = Case::random(96, 4, 32);
    let mut scratch = LossScratch::new(96, 4).unwrap();
    let mut gradient = vec![0.0; case.prediction.len()];
    let mut best = f64::INFINITY;
    for _ in 0..4 {
        let start = std::time::Instant::now();
        face_loss(&mut scratch, &WEIGHTS, &case.comparison(), &mut gradient).unwrap();
        best = best.min(start.elapsed().as_secs_f64());
    }
    println!(
        "loss and gradient of 32 images at 96 px: {:.1} ms",
        best * 1e3
    );
    assert!(best < 5.0);
}
