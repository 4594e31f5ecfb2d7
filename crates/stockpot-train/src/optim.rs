//! Adam with warm-up, schedule and a running mean of the weights, over flat buffers.
//!
//! Pure arithmetic on slices in one pass; knows nothing of networks or files. Start with
//! [`update`]. Work is split at fixed places and every sum has a fixed order, so results do not
//! depend on the number of threads.

use rayon::prelude::*;
use serde::{Deserialize, Serialize};
use stockpot_kernels::vectorise;

use crate::ssim;

/// Numbers per piece of parallel work: 5 buffers x 128 KiB stay inside a core's second cache.
const CHUNK: usize = 1 << 15;

/// How the learning rate falls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It does not.
    Constant,
    /// Half a cosine from the first to the last rate over the horizon, then constant.
    Cosine,
    /// Halved every horizon, never below the last rate: needs no known end.
    Decay,
}

/// The learning rate as a function of the step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct LearningRate {
    /// Rate after the warm-up.
    pub first: f64,
    /// Lowest rate.
    pub last: f64,
    /// Shape of the way between them.
    pub schedule: Schedule,
    /// Steps of the cosine, or half-life of the decay.
    pub horizon_steps: u64,
    /// Steps over which the rate rises from near zero in a straight line.
    pub warm_up_steps: u64,
}

impl LearningRate {
    /// Rate of step `step`, the first step being 1.
    pub fn at(&self, step: u64) -> f64 {
        let step = step.max(1);
        let warm_up = match self.warm_up_steps {
            0 => 1.0,
            steps => (step as f64 / steps as f64).min(1.0),
        };
        let done = step.saturating_sub(1).saturating_sub(self.warm_up_steps) as f64;
        let way = done / self.horizon_steps.max(1) as f64;
        let rate = match self.schedule {
            Schedule::Constant => self.first,
            Schedule::Cosine => {
                let height = 0.5 + 0.5 * (std::f64::consts::PI * way.min(1.0)).cos();
                self.last + (self.first - self.last) * height
            }
            Schedule::Decay => (self.first * (-way).exp2()).max(self.last),
        };
        warm_up * rate
    }
}

/// One step's numbers of Adam (Kingma and Ba 2015), ready for the loop.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamStep {
    /// Decay of the first moment.
    pub beta1: f32,
    /// Decay of the second moment.
    pub beta2: f32,
    /// Keeps the division finite.
    pub epsilon: f32,
    /// Learning rate with the first moment's bias correction.
    pub rate: f32,
    /// 1 / (second moment's bias correction).
    pub second_factor: f32,
    /// Factor on every gradient (clipping).
    pub gradient_factor: f32,
    /// Weight of the newest value in the running mean.
    pub ema_new: f32,
}

/// What [`AdamStep::new`] is made from.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct AdamSettings {
    /// Decay of the first moment, 0 to below 1.
    pub beta1: f64,
    /// Decay of the second moment, 0 to below 1.
    pub beta2: f64,
    /// Keeps the division finite.
    pub epsilon: f64,
    /// Decay of the running mean of weights, 0 to below 1.
    pub ema_decay: f64,
}

impl AdamStep {
    /// Numbers of step `step` (the first is 1) at learning rate `rate`, gradients multiplied by
    /// `gradient_factor`.
    ///
    /// The running mean's decay rises with the step as `(1 + step) / (10 + step)`, so that a
    /// young mean is not dominated by the random start.
    pub fn new(settings: &AdamSettings, step: u64, rate: f64, gradient_factor: f64) -> Self {
        let step = step.max(1) as f64;
        let decay = settings.ema_decay.min((1.0 + step) / (10.0 + step));
        Self {
            beta1: settings.beta1 as f32,
            beta2: settings.beta2 as f32,
            epsilon: settings.epsilon as f32,
            rate: (rate / (1.0 - settings.beta1.powf(step))) as f32,
            second_factor: (1.0 / (1.0 - settings.beta2.powf(step))) as f32,
            gradient_factor: gradient_factor as f32,
            ema_new: (1.0 - decay) as f32,
        }
    }
}

/// The weights of one network half and what the optimiser remembers of them; all of one length.
#[derive(Debug, Default, PartialEq)]
pub struct Slots {
    /// The weights being trained.
    pub weights: Vec<f32>,
    /// Running mean of gradients.
    pub first: Vec<f32>,
    /// Running mean of squared gradients.
    pub second: Vec<f32>,
    /// Running mean of the weights: what is evaluated and saved for use.
    pub ema: Vec<f32>,
}

impl Slots {
    /// A fresh optimiser on these weights.
    pub fn new(weights: Vec<f32>) -> Self {
        let n = weights.len();
        Self {
            ema: weights.clone(),
            weights,
            first: vec![0.0; n],
            second: vec![0.0; n],
        }
    }

    /// The four buffers, by the names they have in a checkpoint.
    pub(crate) fn named(&self) -> [(&'static str, &Vec<f32>); 4] {
        [
            ("weights", &self.weights),
            ("first", &self.first),
            ("second", &self.second),
            ("ema", &self.ema),
        ]
    }
}

// By hand, because the derived `clone_from` would not keep the buffers' memory.
impl Clone for Slots {
    fn clone(&self) -> Self {
        Self {
            weights: self.weights.clone(),
            first: self.first.clone(),
            second: self.second.clone(),
            ema: self.ema.clone(),
        }
    }

    fn clone_from(&mut self, other: &Self) {
        self.weights.clone_from(&other.weights);
        self.first.clone_from(&other.first);
        self.second.clone_from(&other.second);
        self.ema.clone_from(&other.ema);
    }
}

/// One Adam step over all numbers; `gradients` are left at zero for the next backward pass. Only
/// as many numbers as the shortest buffer has are touched.
pub fn update(step: &AdamStep, slots: &mut Slots, gradients: &mut [f32]) {
    slots
        .weights
        .par_chunks_mut(CHUNK)
        .zip(slots.first.par_chunks_mut(CHUNK))
        .zip(slots.second.par_chunks_mut(CHUNK))
        .zip(slots.ema.par_chunks_mut(CHUNK))
        .zip(gradients.par_chunks_mut(CHUNK))
        .for_each(|((((weights, first), second), ema), gradients)| {
            vectorise(|| update_chunk(step, weights, first, second, ema, gradients));
        });
}

#[inline(always)]
fn update_chunk(
    step: &AdamStep,
    weights: &mut [f32],
    first: &mut [f32],
    second: &mut [f32],
    ema: &mut [f32],
    gradients: &mut [f32],
) {
    let n = weights.len();
    let (first, second) = (&mut first[..n], &mut second[..n]);
    let (ema, gradients) = (&mut ema[..n], &mut gradients[..n]);
    let (new1, new2) = (1.0 - step.beta1, 1.0 - step.beta2);
    for i in 0..n {
        let g = gradients[i] * step.gradient_factor;
        gradients[i] = 0.0;
        let m = step.beta1 * first[i] + new1 * g;
        let v = step.beta2 * second[i] + new2 * (g * g);
        first[i] = m;
        second[i] = v;
        let w = weights[i] - step.rate * m / ((v * step.second_factor).sqrt() + step.epsilon);
        weights[i] = w;
        ema[i] += step.ema_new * (w - ema[i]);
    }
}

/// Sum of squares in a fixed order; not finite if any number is not (or is astronomically large).
pub fn squared_norm(values: &[f32]) -> f64 {
    let parts: Vec<f64> = values
        .par_chunks(CHUNK)
        .map(|c| vectorise(|| ssim::dot(c, c)))
        .collect();
    parts.iter().sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADAM: AdamSettings = AdamSettings {
        beta1: 0.9,
        beta2: 0.99,
        epsilon: 1e-8,
        ema_decay: 0.999,
    };

    #[test]
    fn two_steps_worked_by_hand() {
        let mut slots = Slots::new(vec![1.0, -2.0]);
        let mut gradients = vec![0.5, -4.0];
        update(
            &AdamStep::new(&ADAM, 1, 0.1, 1.0),
            &mut slots,
            &mut gradients,
        );
        // With bias correction the first step is the rate, whatever the gradient's size.
        assert!((slots.weights[0] - 0.9).abs() < 1e-6 && (slots.weights[1] + 1.9).abs() < 1e-6);
        assert_eq!(gradients, [0.0, 0.0]);
        // Decay of the mean at step 1: 2/11, so 9/11 of the way to the new weight.
        assert!((slots.ema[0] - (1.0 - 0.1 * 9.0 / 11.0)).abs() < 1e-6);
        gradients.copy_from_slice(&[-0.5, 0.0]);
        update(
            &AdamStep::new(&ADAM, 2, 0.1, 1.0),
            &mut slots,
            &mut gradients,
        );
        // m = 0.9·0.05 − 0.1·0.5 = −0.005, corrected by 0.19; v = 0.25·0.0199, corrected by 0.0199.
        let wanted = 0.9 + 0.1 * (0.005 / 0.19) / 0.5;
        assert!((f64::from(slots.weights[0]) - wanted).abs() < 1e-6);
    }

    #[test]
    fn schedule_and_warm_up() {
        let rate = |schedule, step| {
            let plan = LearningRate {
                first: 1e-3,
                last: 1e-4,
                schedule,
                horizon_steps: 100,
                warm_up_steps: 10,
            };
            plan.at(step)
        };
        let close = |a: f64, b: f64| assert!((a - b).abs() < 1e-12, "{a} {b}");
        close(rate(Schedule::Constant, 1), 1e-4);
        close(rate(Schedule::Constant, 10), 1e-3);
        close(rate(Schedule::Constant, 9999), 1e-3);
        close(rate(Schedule::Cosine, 11), 1e-3);
        close(rate(Schedule::Cosine, 61), 5.5e-4);
        close(rate(Schedule::Cosine, 999), 1e-4);
        close(rate(Schedule::Decay, 111), 5e-4);
        close(rate(Schedule::Decay, 9999), 1e-4);
    }

    #[test]
    fn threads_do_not_change_a_bit_and_poison_shows() {
        let n = 3 * CHUNK + 7;
        let values: Vec<f32> = (0..n).map(|i| (i as f32 * 0.37).sin()).collect();
        let go = |threads| {
            let pool = rayon::ThreadPoolBuilder::new()
                .num_threads(threads)
                .build()
                .unwrap();
            pool.install(|| {
                let mut slots = Slots::new(values.clone());
                let mut gradients = values.clone();
                update(
                    &AdamStep::new(&ADAM, 3, 0.01, 0.5),
                    &mut slots,
                    &mut gradients,
                );
                (slots, squared_norm(&values))
            })
        };
        assert_eq!(go(1), go(3));
        let mut poisoned = values.clone();
        poisoned[n - 1] = f32::NAN;
        assert!(!squared_norm(&poisoned).is_finite());
        poisoned[n - 1] = f32::NEG_INFINITY;
        assert!(!squared_norm(&poisoned).is_finite());
        assert!((squared_norm(&[3.0, 4.0]) - 25.0).abs() < 1e-9);
    }
}
