//! From a face's numbers to what was played: kernel ridge regression (Saunders, Gammerman and Vovk
//! 1998) over a few blocks of numbers. Knows no pictures.

use rayon::prelude::*;
use stockpot_model::algebra::Cholesky;

use super::features::{Block, Features};

/// What is tried for the weight of the penalty; the one best on held-out strangers is taken.
const PENALTIES: [f64; 4] = [0.001, 0.01, 0.1, 1.0];
/// The kernel is `exp(-d² / (WIDTH * mean d²))`.
const WIDTH: f64 = 2.0;
/// Every so manieth stranger is held out to choose the penalty.
const HOLD_OUT: usize = 5;

/// Which blocks count how much.
pub type Recipe = &'static [(Block, f32)];

/// A trained regressor.
#[derive(Debug, Clone)]
pub struct Ridge {
    recipe: Recipe,
    /// Per block the factor on its squared distance.
    scales: Vec<f64>,
    /// Targets' means, then per target a weight per sample.
    means: Vec<f64>,
    weights: Vec<Vec<f64>>,
    /// The penalty that was chosen.
    pub penalty: f64,
}

fn square_distance(a: &[f32], b: &[f32]) -> f64 {
    let mut sums = [0.0f32; 8];
    let (a8, b8) = (a.chunks_exact(8), b.chunks_exact(8));
    let rest: f32 = a8
        .remainder()
        .iter()
        .zip(b8.remainder())
        .map(|(x, y)| (x - y) * (x - y))
        .sum();
    for (x, y) in a8.zip(b8) {
        for k in 0..8 {
            sums[k] += (x[k] - y[k]) * (x[k] - y[k]);
        }
    }
    f64::from(sums.iter().sum::<f32>() + rest)
}

fn kernel(recipe: Recipe, scales: &[f64], a: &Features, b: &Features) -> f64 {
    let distance: f64 = recipe
        .iter()
        .zip(scales)
        .map(|((block, _), scale)| scale * square_distance(a.block(*block), b.block(*block)))
        .sum();
    (-distance / WIDTH).exp()
}

impl Ridge {
    /// Learns `targets` (one list per sample, all of one length) of `samples`, the `i`-th by person
    /// `people[i]`. `None` if there is too little to learn from.
    pub fn train(
        recipe: Recipe,
        samples: &[&Features],
        people: &[usize],
        targets: &[Vec<f64>],
    ) -> Option<Self> {
        let n = samples.len();
        let width = targets.first()?.len();
        let share: f32 = recipe.iter().map(|r| r.1).sum();
        let scales: Vec<f64> = recipe
            .iter()
            .map(|(block, weight)| {
                // Neighbours in the list may be one person: compare over half of the list.
                let pairs = (0..n).map(|i| (i, (i + n / 2) % n));
                let sum: f64 = pairs
                    .map(|(i, j)| {
                        square_distance(samples[i].block(*block), samples[j].block(*block))
                    })
                    .sum();
                f64::from(weight / share) * n as f64 / sum.max(1e-12)
            })
            .collect();
        let gram: Vec<Vec<f64>> = (0..n)
            .into_par_iter()
            .map(|i| {
                (0..=i)
                    .map(|j| kernel(recipe, &scales, samples[i], samples[j]))
                    .collect()
            })
            .collect();
        let at = |i: usize, j: usize| gram[i.max(j)][i.min(j)];
        let fit = |chosen: &[usize], penalty: f64| -> Option<(Vec<f64>, Vec<Vec<f64>>)> {
            let m = chosen.len();
            let mut matrix = vec![0.0; m * m];
            for (r, i) in chosen.iter().enumerate() {
                for (c, j) in chosen[..=r].iter().enumerate() {
                    matrix[r * m + c] = at(*i, *j);
                    matrix[c * m + r] = at(*i, *j);
                }
                matrix[r * m + r] += penalty;
            }
            let factor = Cholesky::new(matrix, m)?;
            let mean = |t: usize| chosen.iter().map(|i| targets[*i][t]).sum::<f64>() / m as f64;
            let means: Vec<f64> = (0..width).map(mean).collect();
            let weights = (0..width)
                .map(|t| {
                    let mut b: Vec<f64> =
                        chosen.iter().map(|i| targets[*i][t] - means[t]).collect();
                    factor.solve(&mut b);
                    b
                })
                .collect();
            Some((means, weights))
        };
        let all: Vec<usize> = (0..n).collect();
        let (held, kept): (Vec<usize>, Vec<usize>) = all
            .iter()
            .partition(|i| people[**i].is_multiple_of(HOLD_OUT));
        if kept.is_empty() || held.is_empty() {
            return None;
        }
        let mut best = (f64::INFINITY, PENALTIES[0]);
        for penalty in PENALTIES {
            let (means, weights) = fit(&kept, penalty)?;
            let error: f64 = held
                .par_iter()
                .map(|i| {
                    let kernels: Vec<f64> = kept.iter().map(|j| at(*i, *j)).collect();
                    (0..width)
                        .map(|t| (answer(means[t], &weights[t], &kernels) - targets[*i][t]).powi(2))
                        .sum::<f64>()
                })
                .collect::<Vec<f64>>()
                .iter()
                .sum();
            if error < best.0 {
                best = (error, penalty);
            }
        }
        let (means, weights) = fit(&all, best.1)?;
        Some(Self {
            recipe,
            scales,
            means,
            weights,
            penalty: best.1,
        })
    }

    /// The targets of a face; `samples` are those of [`Ridge::train`].
    pub fn ask(&self, samples: &[&Features], face: &Features) -> Vec<f64> {
        let kernels: Vec<f64> = samples
            .iter()
            .map(|s| kernel(self.recipe, &self.scales, s, face))
            .collect();
        let answers = self.means.iter().zip(&self.weights);
        answers
            .map(|(mean, weights)| answer(*mean, weights, &kernels))
            .collect()
    }
}

fn answer(mean: f64, weights: &[f64], kernels: &[f64]) -> f64 {
    mean + weights.iter().zip(kernels).map(|(w, k)| w * k).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpot_core::rng::Rng;

    fn face(x: f32, y: f32) -> Features {
        Features {
            blocks: [vec![], vec![], vec![], vec![], vec![x, y]],
        }
    }

    #[test]
    fn a_bent_surface_is_learned_from_strangers() {
        let mut rng = Rng::stream(1, "ridge", 0);
        let truth = |f: &Features| {
            let (x, y) = (
                f64::from(f.block(Block::Shape)[0]),
                f64::from(f.block(Block::Shape)[1]),
            );
            vec![3.0 + x * x - y, (2.0 * x).sin()]
        };
        let mut faces = |n: usize| -> Vec<Features> {
            (0..n)
                .map(|_| face(rng.range(-1.0, 1.0), rng.range(-1.0, 1.0)))
                .collect()
        };
        let (samples, others) = (faces(200), faces(50));
        let people: Vec<usize> = (0..200).map(|i| i / 4).collect();
        let targets: Vec<Vec<f64>> = samples.iter().map(truth).collect();
        let list: Vec<&Features> = samples.iter().collect();
        let ridge = Ridge::train(&[(Block::Shape, 1.0)], &list, &people, &targets).unwrap();
        for face in &others {
            for (found, wanted) in ridge.ask(&list, face).iter().zip(truth(face)) {
                assert!((found - wanted).abs() < 0.05, "{found} {wanted}");
            }
        }
    }

    #[test]
    fn nothing_is_learned_from_nothing() {
        assert!(Ridge::train(&[(Block::Shape, 1.0)], &[], &[], &[]).is_none());
    }
}
