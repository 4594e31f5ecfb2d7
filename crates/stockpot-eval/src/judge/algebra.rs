//! The little linear algebra that the judge is trained with, beside the model engine's Cholesky factor:
//! the eigenvectors of a small symmetric matrix. Knows no pictures.

/// Eigenvalues, largest first, each with its unit eigenvector, of a symmetric matrix `[side, side]`,
/// by Jacobi's rotations (Golub and Van Loan, Matrix Computations, 8.5).
pub fn eigen(mut a: Vec<f64>, side: usize) -> Vec<(f64, Vec<f64>)> {
    let mut vectors = vec![0.0; side * side];
    for i in 0..side {
        vectors[i * side + i] = 1.0;
    }
    let total: f64 = a.iter().map(|v| v * v).sum();
    for _ in 0..60 {
        let off: f64 = (0..side * side)
            .filter(|i| i / side != i % side)
            .map(|i| a[i] * a[i])
            .sum();
        if off <= 1e-22 * total {
            break;
        }
        for p in 0..side {
            for q in p + 1..side {
                let apq = a[p * side + q];
                if apq == 0.0 {
                    continue;
                }
                let theta = (a[q * side + q] - a[p * side + p]) / (2.0 * apq);
                let t = theta.signum() / (theta.abs() + (theta * theta + 1.0).sqrt());
                let t = if theta == 0.0 { 1.0 } else { t };
                let c = 1.0 / (t * t + 1.0).sqrt();
                let s = t * c;
                for k in 0..side {
                    let (x, y) = (a[k * side + p], a[k * side + q]);
                    a[k * side + p] = c * x - s * y;
                    a[k * side + q] = s * x + c * y;
                }
                for k in 0..side {
                    let (x, y) = (a[p * side + k], a[q * side + k]);
                    a[p * side + k] = c * x - s * y;
                    a[q * side + k] = s * x + c * y;
                    let (x, y) = (vectors[p * side + k], vectors[q * side + k]);
                    vectors[p * side + k] = c * x - s * y;
                    vectors[q * side + k] = s * x + c * y;
                }
            }
        }
    }
    let mut out: Vec<(f64, Vec<f64>)> = (0..side)
        .map(|i| (a[i * side + i], vectors[i * side..][..side].to_vec()))
        .collect();
    out.sort_by(|x, y| y.0.total_cmp(&x.0));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpot_core::rng::Rng;
    use stockpot_model::algebra::dot;

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
    fn eigenvectors_by_hand_and_back_together() {
        // (2 1; 1 2) has 3 along (1, 1) and 1 along (1, -1).
        let two = eigen(vec![2.0, 1.0, 1.0, 2.0], 2);
        assert!((two[0].0 - 3.0).abs() < 1e-12 && (two[1].0 - 1.0).abs() < 1e-12);
        assert!((two[0].1[0] - two[0].1[1]).abs() < 1e-12);
        let side = 30;
        let a = definite(side);
        let pairs = eigen(a.clone(), side);
        assert!(pairs.windows(2).all(|w| w[0].0 >= w[1].0));
        for i in 0..side * side {
            let back: f64 = pairs
                .iter()
                .map(|(value, v)| value * v[i / side] * v[i % side])
                .sum();
            assert!((back - a[i]).abs() < 1e-8);
        }
    }
}
