//! The structural similarity of two planes and its gradient: what [`crate::loss`] and
//! [`crate::metrics`] share.
//!
//! Loops are plain and are compiled for the processor's widest registers by
//! [`stockpot_kernels::vectorise`], which is why they are all inlined. Knows planes of `f32` and a weight per pixel; knows nothing of channels, batches or masks.
//! Start with [`Level::compare`].
//!
//! The index is that of Wang, Bovik, Sheikh and Simoncelli 2004 ("Image quality assessment: from
//! error visibility to structural similarity"): an 11 x 11 Gaussian window of sigma 1.5, constants
//! `(0.01 L)²` and `(0.03 L)²` with `L = 1`, evaluated only where the window fits inside the
//! picture, and averaged with the weight of the window's centre pixel.

use stockpot_kernels::vectorise;

/// Width of the window in pixels.
pub const TAPS: usize = 11;
/// Standard deviation of the window in pixels.
pub(crate) const SIGMA: f64 = 1.5;
/// Stabilises the comparison of means.
pub(crate) const C1: f32 = 0.01 * 0.01;
/// Stabilises the comparison of variances.
pub(crate) const C2: f32 = 0.03 * 0.03;
/// What stabilises the comparison of means and that of variances.
pub const STABILISERS: [f32; 2] = [C1, C2];

/// The window's [`TAPS`] weights; they sum to one.
pub fn window_taps() -> [f32; TAPS] {
    let Window(half) = Window::gaussian();
    std::array::from_fn(|k| half[k.min(TAPS - 1 - k)])
}

/// Pixels lost at each border.
const REACH: usize = TAPS / 2;
/// Partial sums kept side by side, so that the compiler may use vector registers without
/// changing the order of additions between machines.
const LANES: usize = 16;

/// The one-dimensional window: five outer taps and the centre (it is symmetric).
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window([f32; REACH + 1]);

impl Window {
    pub(crate) fn gaussian() -> Self {
        let raw: [f64; REACH + 1] = std::array::from_fn(|k| {
            let distance = (REACH - k) as f64;
            (-distance * distance / (2.0 * SIGMA * SIGMA)).exp()
        });
        let sum = 2.0 * raw[..REACH].iter().sum::<f64>() + raw[REACH];
        Self(raw.map(|v| (v / sum) as f32))
    }

    /// `out[i] = Σ window[k] · taps[k][i]`. All taps are at least as long as `out`.
    #[inline(always)]
    fn apply(&self, taps: [&[f32]; TAPS], out: &mut [f32]) {
        let n = out.len();
        let [a0, a1, a2, a3, a4, a5, a6, a7, a8, a9, a10] = taps.map(|t| &t[..n]);
        let w = self.0;
        for i in 0..n {
            out[i] = w[5] * a5[i]
                + w[4] * (a4[i] + a6[i])
                + w[3] * (a3[i] + a7[i])
                + w[2] * (a2[i] + a8[i])
                + w[1] * (a1[i] + a9[i])
                + w[0] * (a0[i] + a10[i]);
        }
    }

    /// Along a row: `out` is shorter than `row` by `TAPS - 1`.
    #[inline(always)]
    fn along(&self, row: &[f32], out: &mut [f32]) {
        self.apply(std::array::from_fn(|k| &row[k..]), out);
    }

    /// Across rows `y .. y + TAPS` of a plane `width` wide.
    #[inline(always)]
    fn across(&self, plane: &[f32], width: usize, y: usize, out: &mut [f32]) {
        self.apply(
            std::array::from_fn(|k| &plane[(y + k) * width..][..width]),
            out,
        );
    }
}

/// Which part of the index a scale contributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// Contrast and structure: the finer scales of a multi-scale index.
    Structure,
    /// Luminance, contrast and structure: the plain index, and the coarsest scale.
    Full,
}

/// One scale of two planes with everything needed to compare them: no call allocates.
#[derive(Debug)]
pub(crate) struct Level {
    side: usize,
    /// Prediction, `side²`.
    pub(crate) x: Vec<f32>,
    /// Target, `side²`.
    pub(crate) y: Vec<f32>,
    /// Weight per pixel, `side²`.
    pub(crate) weight: Vec<f32>,
    /// Derivative with respect to `x`, `side²`.
    pub(crate) gradient: Vec<f32>,
    /// Sum of the weights of all window centres.
    weight_sum: f64,
    /// Mean of x, of y, of x² + y², of x·y, blurred along rows: 4 planes, `inner` wide, `side` high.
    along: Vec<f32>,
    /// Derivatives with respect to the three blurred moments: 3 planes, `side + 10` wide with
    /// zero borders left and right, `inner` high.
    moments: Vec<f32>,
    /// The same blurred along rows: 3 planes, `side` wide, `side + 10` high with zero borders
    /// above and below.
    back: Vec<f32>,
    /// Short rows: two products, then four means and one score.
    rows: Vec<f32>,
}

impl Level {
    /// Room for planes of `side` x `side`; `side` is at least [`TAPS`].
    pub(crate) fn new(side: usize) -> Self {
        let inner = side + 1 - TAPS;
        let padded = side + TAPS - 1;
        Self {
            side,
            x: vec![0.0; side * side],
            y: vec![0.0; side * side],
            weight: vec![0.0; side * side],
            gradient: vec![0.0; side * side],
            weight_sum: 0.0,
            along: vec![0.0; 4 * inner * side],
            moments: vec![0.0; 3 * padded * inner],
            back: vec![0.0; 3 * side * padded],
            rows: vec![0.0; 7 * side],
        }
    }

    pub(crate) fn side(&self) -> usize {
        self.side
    }

    /// To be called once `weight` is filled, before [`Self::compare`].
    pub(crate) fn sum_weights(&mut self) {
        let (n, inner) = (self.side, self.side + 1 - TAPS);
        self.weight_sum = (0..inner)
            .map(|y| sum(&self.weight[(y + REACH) * n + REACH..][..inner]))
            .sum();
    }

    /// The weighted mean of the index over all places where the window fits, and
    /// `gradient = slope · d mean / d x` if a slope is given. Zero weights everywhere give a mean
    /// of one: nothing was asked.
    pub(crate) fn compare(&mut self, window: Window, part: Part, slope: Option<f32>) -> f64 {
        if self.weight_sum == 0.0 {
            self.gradient.fill(0.0);
            return 1.0;
        }
        let scale = slope.unwrap_or(0.0) / self.weight_sum as f32;
        let total = vectorise(|| {
            self.blur_rows(window);
            let total = match part {
                Part::Structure => self.score::<false>(window, scale),
                Part::Full => self.score::<true>(window, scale),
            };
            if slope.is_some() {
                self.pull_back(window);
            }
            total
        });
        total / self.weight_sum
    }

    #[inline(always)]
    fn blur_rows(&mut self, window: Window) {
        let (n, inner) = (self.side, self.side + 1 - TAPS);
        let (first, rest) = self.along.split_at_mut(inner * n);
        let (second, rest) = rest.split_at_mut(inner * n);
        let (third, fourth) = rest.split_at_mut(inner * n);
        let (squares, products) = self.rows[..2 * n].split_at_mut(n);
        for row in 0..n {
            let x = &self.x[row * n..][..n];
            let y = &self.y[row * n..][..n];
            for i in 0..n {
                squares[i] = x[i] * x[i] + y[i] * y[i];
                products[i] = x[i] * y[i];
            }
            let at = row * inner..(row + 1) * inner;
            window.along(x, &mut first[at.clone()]);
            window.along(y, &mut second[at.clone()]);
            window.along(squares, &mut third[at.clone()]);
            window.along(products, &mut fourth[at]);
        }
    }

    /// Sums weight x index, and leaves in `moments` the derivatives of `scale x` that sum with
    /// respect to mean of x, mean of x² + y², mean of x·y.
    #[inline(always)]
    fn score<const FULL: bool>(&mut self, window: Window, scale: f32) -> f64 {
        let (n, inner) = (self.side, self.side + 1 - TAPS);
        let (padded, plane) = (n + TAPS - 1, inner * n);
        let (mean_x, rest) = self.rows.split_at_mut(n);
        let (mean_y, rest) = rest.split_at_mut(n);
        let (squares, rest) = rest.split_at_mut(n);
        let (products, rest) = rest.split_at_mut(n);
        let (mean_x, mean_y) = (&mut mean_x[..inner], &mut mean_y[..inner]);
        let (squares, products) = (&mut squares[..inner], &mut products[..inner]);
        let scores = &mut rest[..inner];
        let (by_mean, rest) = self.moments.split_at_mut(padded * inner);
        let (by_squares, by_products) = rest.split_at_mut(padded * inner);
        let mut total = 0.0;
        for row in 0..inner {
            window.across(&self.along[..plane], inner, row, mean_x);
            window.across(&self.along[plane..2 * plane], inner, row, mean_y);
            window.across(&self.along[2 * plane..3 * plane], inner, row, squares);
            window.across(&self.along[3 * plane..], inner, row, products);
            let weight = &self.weight[(row + REACH) * n + REACH..][..inner];
            let at = row * padded + TAPS - 1;
            let by_mean = &mut by_mean[at..][..inner];
            let by_squares = &mut by_squares[at..][..inner];
            let by_products = &mut by_products[at..][..inner];
            for i in 0..inner {
                let (mx, my) = (mean_x[i], mean_y[i]);
                let means = mx * mx + my * my;
                let inverse = 1.0 / (squares[i] - means + C2);
                let structure = (2.0 * (products[i] - mx * my) + C2) * inverse;
                let slope = scale * weight[i];
                // d structure / d mean of x; the other two follow the definition directly.
                let structure_by_mean = 2.0 * (structure * mx - my) * inverse;
                if FULL {
                    let inverse_means = 1.0 / (means + C1);
                    let luminance = (2.0 * mx * my + C1) * inverse_means;
                    let luminance_by_mean = 2.0 * (my - luminance * mx) * inverse_means;
                    scores[i] = luminance * structure;
                    by_mean[i] =
                        slope * (luminance * structure_by_mean + structure * luminance_by_mean);
                    by_squares[i] = -slope * luminance * structure * inverse;
                    by_products[i] = slope * luminance * 2.0 * inverse;
                } else {
                    scores[i] = structure;
                    by_mean[i] = slope * structure_by_mean;
                    by_squares[i] = -slope * structure * inverse;
                    by_products[i] = slope * 2.0 * inverse;
                }
            }
            total += dot(weight, scores);
        }
        total
    }

    /// Turns derivatives by moments into derivatives by pixels. The window is symmetric, so its
    /// transpose is the same blur over a plane with a zero border.
    #[inline(always)]
    fn pull_back(&mut self, window: Window) {
        let (n, inner) = (self.side, self.side + 1 - TAPS);
        let padded = n + TAPS - 1;
        for plane in 0..3 {
            let moments = &self.moments[plane * padded * inner..][..padded * inner];
            let back = &mut self.back[plane * n * padded..][..n * padded];
            for row in 0..inner {
                let out = &mut back[(row + TAPS - 1) * n..][..n];
                window.along(&moments[row * padded..][..padded], out);
            }
        }
        let (mean, rest) = self.rows.split_at_mut(n);
        let (squares, rest) = rest.split_at_mut(n);
        let products = &mut rest[..n];
        let size = n * padded;
        for row in 0..n {
            window.across(&self.back[..size], n, row, mean);
            window.across(&self.back[size..2 * size], n, row, squares);
            window.across(&self.back[2 * size..], n, row, products);
            let x = &self.x[row * n..][..n];
            let y = &self.y[row * n..][..n];
            let out = &mut self.gradient[row * n..][..n];
            for i in 0..n {
                out[i] = mean[i] + 2.0 * x[i] * squares[i] + y[i] * products[i];
            }
        }
    }
}

/// Halves a plane: each pixel is the mean of 2 x 2; an odd last row and column is left out.
#[inline(always)]
pub(crate) fn halve(fine: &[f32], side: usize, coarse: &mut [f32]) {
    let half = side / 2;
    for y in 0..half {
        let upper = &fine[2 * y * side..][..2 * half];
        let lower = &fine[(2 * y + 1) * side..][..2 * half];
        let pairs = upper.chunks_exact(2).zip(lower.chunks_exact(2));
        for (out, (u, l)) in coarse[y * half..][..half].iter_mut().zip(pairs) {
            *out = 0.25 * ((u[0] + u[1]) + (l[0] + l[1]));
        }
    }
}

/// Adds the transpose of [`halve`] of `coarse` to `fine`.
#[inline(always)]
pub(crate) fn add_doubled(coarse: &[f32], side: usize, fine: &mut [f32]) {
    let half = side / 2;
    for y in 0..2 * half {
        let from = &coarse[(y / 2) * half..][..half];
        let to = fine[y * side..][..2 * half].chunks_exact_mut(2);
        for (out, v) in to.zip(from) {
            out[0] += 0.25 * v;
            out[1] += 0.25 * v;
        }
    }
}

/// Sum in a fixed order.
#[inline(always)]
pub(crate) fn sum(values: &[f32]) -> f64 {
    let mut lanes = [0.0f32; LANES];
    let chunks = values.chunks_exact(LANES);
    let rest: f64 = chunks.remainder().iter().map(|v| f64::from(*v)).sum();
    for chunk in chunks {
        for (lane, v) in lanes.iter_mut().zip(chunk) {
            *lane += v;
        }
    }
    rest + lanes.iter().map(|v| f64::from(*v)).sum::<f64>()
}

/// Sum of products in a fixed order.
#[inline(always)]
pub(crate) fn dot(a: &[f32], b: &[f32]) -> f64 {
    let mut lanes = [0.0f32; LANES];
    let (chunks_a, chunks_b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest = chunks_a.remainder().iter().zip(chunks_b.remainder());
    let rest: f64 = rest.map(|(a, b)| f64::from(a * b)).sum();
    for (a, b) in chunks_a.zip(chunks_b) {
        for i in 0..LANES {
            lanes[i] += a[i] * b[i];
        }
    }
    rest + lanes.iter().map(|v| f64::from(*v)).sum::<f64>()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn window_sums_to_one_and_has_the_known_taps() {
        let Window(w) = Window::gaussian();
        assert!((2.0 * w[..5].iter().sum::<f32>() + w[5] - 1.0).abs() < 1e-6);
        // 0.266011… is the centre tap that every published implementation shows.
        assert!((w[5] - 0.266_011_7).abs() < 1e-6 && (w[0] - 0.001_028_4).abs() < 1e-6);
    }

    #[test]
    fn equal_planes_score_one_and_flat_planes_follow_the_formula() {
        let mut level = Level::new(13);
        level.weight.fill(1.0);
        level.sum_weights();
        level.x.fill(0.5);
        level.y.fill(0.5);
        let score = level.compare(Window::gaussian(), Part::Full, None);
        assert!((score - 1.0).abs() < 1e-5);
        // Flat 0.2 against 0.4: (2·0.08 + 0.0001) / (0.04 + 0.16 + 0.0001) = 0.1601 / 0.2001.
        level.x.fill(0.2);
        level.y.fill(0.4);
        let score = level.compare(Window::gaussian(), Part::Full, None);
        assert!((score - 0.1601 / 0.2001).abs() < 1e-3, "{score}");
    }

    #[test]
    fn halving_and_its_transpose_agree() {
        let fine: Vec<f32> = (0..25).map(|i| i as f32).collect();
        let mut coarse = [0.0; 4];
        halve(&fine, 5, &mut coarse);
        assert_eq!(coarse, [3.0, 5.0, 13.0, 15.0]);
        let mut up = vec![0.0; 25];
        add_doubled(&[4.0, 0.0, 0.0, 8.0], 5, &mut up);
        assert_eq!(
            (up[0], up[6], up[12], up[18], up[24]),
            (1.0, 1.0, 2.0, 2.0, 0.0)
        );
    }
}
