//! The little linear algebra that fits are made with: a Cholesky factor in f64, and solving with it.
//! Knows no networks. Start with [`Cholesky`].

use rayon::prelude::*;

/// Columns that are finished together: a block of rows of this length stays in the cache.
const BLOCK: usize = 64;

/// A lower triangular factor `L` with `L Lᵀ = A`.
#[derive(Debug, Clone, PartialEq)]
pub struct Cholesky {
    side: usize,
    /// Rows of `L`, full length.
    rows: Vec<f64>,
}

/// The sum of products, always added in the same order.
pub fn dot(a: &[f64], b: &[f64]) -> f64 {
    // Four sums, so that additions need not wait for each other; the order is fixed.
    let mut sums = [0.0; 4];
    let (a4, b4) = (a.chunks_exact(4), b.chunks_exact(4));
    let rest: f64 = a4
        .remainder()
        .iter()
        .zip(b4.remainder())
        .map(|(x, y)| x * y)
        .sum();
    for (x, y) in a4.zip(b4) {
        for k in 0..4 {
            sums[k] += x[k] * y[k];
        }
    }
    sums[0] + sums[1] + sums[2] + sums[3] + rest
}

impl Cholesky {
    /// Factors a symmetric matrix `[side, side]`; `None` if it is not positive definite.
    pub fn new(mut rows: Vec<f64>, side: usize) -> Option<Self> {
        if rows.len() != side * side {
            return None;
        }
        for first in (0..side).step_by(BLOCK) {
            let end = (first + BLOCK).min(side);
            // What earlier columns take away is already gone; now the block's own triangle.
            for j in first..end {
                let (above, below) = rows.split_at_mut(j * side);
                let own = &mut below[..side];
                for k in first..j {
                    let other = &above[k * side..][..side];
                    own[k] = (own[k] - dot(&own[first..k], &other[first..k])) / other[k];
                }
                let rest = own[j] - dot(&own[first..j], &own[first..j]);
                if rest.is_nan() || rest <= 0.0 {
                    return None;
                }
                own[j] = rest.sqrt();
                own[j + 1..].fill(0.0);
            }
            let (done, below) = rows.split_at_mut(end * side);
            let block = &done[first * side..];
            below.par_chunks_exact_mut(side).for_each(|own| {
                for k in first..end {
                    let other = &block[(k - first) * side..][..side];
                    own[k] = (own[k] - dot(&own[first..k], &other[first..k])) / other[k];
                }
            });
            let columns: Vec<f64> = below
                .chunks_exact(side)
                .flat_map(|row| row[first..end].iter().copied())
                .collect();
            let width = end - first;
            below
                .par_chunks_exact_mut(side)
                .enumerate()
                .for_each(|(i, row)| {
                    let own = &columns[i * width..][..width];
                    for (value, other) in row[end..=end + i]
                        .iter_mut()
                        .zip(columns.chunks_exact(width))
                    {
                        *value -= dot(own, other);
                    }
                });
        }
        Some(Self { side, rows })
    }

    /// `L⁻¹ b`, in place.
    pub fn forward(&self, b: &mut [f64]) {
        for i in 0..self.side {
            let row = &self.rows[i * self.side..][..=i];
            b[i] = (b[i] - dot(&row[..i], &b[..i])) / row[i];
        }
    }

    /// `A⁻¹ b`, in place.
    pub fn solve(&self, b: &mut [f64]) {
        self.forward(b);
        self.backward(b);
    }

    /// `(Lᵀ)⁻¹ b`, in place.
    pub fn backward(&self, b: &mut [f64]) {
        for i in (0..self.side).rev() {
            let row = &self.rows[i * self.side..][..=i];
            b[i] /= row[i];
            let value = b[i];
            for (target, factor) in b[..i].iter_mut().zip(row) {
                *target -= value * factor;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpot_core::rng::Rng;

    /// `B Bᵀ + I` for a random `B`.
    fn definite(side: usize) -> Vec<f64> {
        let mut rng = Rng::stream(1, "definite", side as u64);
        let b: Vec<f64> = (0..side * side).map(|_| f64::from(rng.normal())).collect();
        let mut a = vec![0.0; side * side];
        for i in 0..side {
            for j in 0..side {
                a[i * side + j] = dot(&b[i * side..][..side], &b[j * side..][..side])
                    + f64::from(u8::from(i == j));
            }
        }
        a
    }

    #[test]
    fn two_equations_by_hand() {
        // 4x + 2y = 10, 2x + 3y = 9: x = 1.5, y = 2.
        let factor = Cholesky::new(vec![4.0, 2.0, 2.0, 3.0], 2).unwrap();
        assert_eq!(factor.rows[..3], [2.0, 0.0, 1.0]);
        let mut b = [10.0, 9.0];
        factor.solve(&mut b);
        assert!((b[0] - 1.5).abs() < 1e-12 && (b[1] - 2.0).abs() < 1e-12);
    }

    #[test]
    fn solutions_fit_over_several_blocks() {
        for side in [1, 63, 64, 65, 150] {
            let a = definite(side);
            let factor = Cholesky::new(a.clone(), side).unwrap();
            let truth: Vec<f64> = (0..side).map(|i| i as f64 / 7.0 - 1.0).collect();
            let mut b: Vec<f64> = (0..side)
                .map(|i| dot(&a[i * side..][..side], &truth))
                .collect();
            factor.solve(&mut b);
            for (found, wanted) in b.iter().zip(&truth) {
                assert!((found - wanted).abs() < 1e-7, "{side}: {found} {wanted}");
            }
        }
    }

    #[test]
    fn what_is_not_definite_is_refused() {
        assert_eq!(Cholesky::new(vec![1.0, 2.0, 2.0, 1.0], 2), None);
        assert_eq!(Cholesky::new(vec![f64::NAN], 1), None);
        assert_eq!(Cholesky::new(vec![1.0; 3], 2), None);
    }
}
