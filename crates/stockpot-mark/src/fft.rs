//! The discrete Fourier transform of squares and rectangles whose sides are powers of two.
//!
//! Radix 2 (Cooley and Tukey 1965), forward sign `exp(-i...)`, no scaling. A library would bring a
//! dozen crates for what the detector needs once per clip.

use rayon::prelude::*;

/// A complex number.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(crate) struct Complex {
    pub(crate) re: f32,
    pub(crate) im: f32,
}

impl Complex {
    pub(crate) const fn new(re: f32, im: f32) -> Self {
        Self { re, im }
    }

    /// On the unit circle, at `turns` of a full turn.
    pub(crate) fn at_turns(turns: f64) -> Self {
        let (sin, cos) = (std::f64::consts::TAU * turns).sin_cos();
        Self::new(cos as f32, sin as f32)
    }

    pub(crate) fn conj(self) -> Self {
        Self::new(self.re, -self.im)
    }

    pub(crate) fn times(self, other: Self) -> Self {
        Self::new(
            self.re * other.re - self.im * other.im,
            self.re * other.im + self.im * other.re,
        )
    }

    pub(crate) fn scaled(self, by: f32) -> Self {
        Self::new(self.re * by, self.im * by)
    }

    pub(crate) fn power(self) -> f32 {
        self.re * self.re + self.im * self.im
    }
}

/// Transforms of one length.
pub(crate) struct Fft {
    /// Half a turn, in `length / 2` steps.
    twiddles: Vec<Complex>,
    length: usize,
}

impl Fft {
    /// Of this length, a power of two.
    pub(crate) fn new(length: usize) -> Self {
        debug_assert!(length.is_power_of_two());
        Self {
            twiddles: (0..length / 2)
                .map(|i| Complex::at_turns(-(i as f64) / length as f64))
                .collect(),
            length,
        }
    }

    /// In place.
    ///
    /// # Shapes
    /// `data` has this transform's length.
    pub(crate) fn forward(&self, data: &mut [Complex]) {
        let n = self.length;
        debug_assert_eq!(data.len(), n);
        let mut j = 0;
        for i in 1..n {
            let mut bit = n >> 1;
            while j & bit != 0 {
                j ^= bit;
                bit >>= 1;
            }
            j |= bit;
            if i < j {
                data.swap(i, j);
            }
        }
        let mut half = 1;
        while half < n {
            let stride = n / (2 * half);
            for block in data.chunks_exact_mut(2 * half) {
                let (low, high) = block.split_at_mut(half);
                for ((a, b), w) in low
                    .iter_mut()
                    .zip(high)
                    .zip(self.twiddles.iter().step_by(stride))
                {
                    let turned = b.times(*w);
                    *b = Complex::new(a.re - turned.re, a.im - turned.im);
                    *a = Complex::new(a.re + turned.re, a.im + turned.im);
                }
            }
            half *= 2;
        }
    }
}

/// The transform of a rectangle, **transposed**: the value at column frequency `k` and row
/// frequency `l` lies at `k * height + l`.
///
/// # Shapes
/// `data` is `width` x `height`, row by row; both are powers of two.
pub(crate) fn forward_2d(mut data: Vec<Complex>, width: usize, height: usize) -> Vec<Complex> {
    let rows = Fft::new(width);
    data.par_chunks_exact_mut(width)
        .for_each(|row| rows.forward(row));
    let mut turned = transposed(&data, width, height);
    let columns = Fft::new(height);
    turned
        .par_chunks_exact_mut(height)
        .for_each(|column| columns.forward(column));
    turned
}

fn transposed(data: &[Complex], width: usize, height: usize) -> Vec<Complex> {
    const TILE: usize = 16;
    let mut out = vec![Complex::default(); data.len()];
    out.par_chunks_mut(height * TILE.min(width))
        .enumerate()
        .for_each(|(band, out)| {
            let left = band * TILE.min(width);
            for top in (0..height).step_by(TILE) {
                for (x, column) in out.chunks_exact_mut(height).enumerate() {
                    for y in top..height.min(top + TILE) {
                        column[y] = data[y * width + left + x];
                    }
                }
            }
        });
    out
}

#[cfg(test)]
mod tests {
    use stockpot_core::Rng;

    use super::*;

    #[test]
    fn it_is_the_transform_by_its_definition() {
        let (width, height) = (16, 8);
        let mut rng = Rng::stream(1, "fft test", 0);
        let data: Vec<Complex> = (0..width * height)
            .map(|_| Complex::new(rng.normal(), rng.normal()))
            .collect();
        let fast = forward_2d(data.clone(), width, height);
        for k in 0..width {
            for l in 0..height {
                let (mut re, mut im) = (0.0, 0.0);
                for y in 0..height {
                    for x in 0..width {
                        let turns =
                            -((k * x) as f64 / width as f64 + (l * y) as f64 / height as f64);
                        let term = data[y * width + x].times(Complex::at_turns(turns));
                        re += term.re;
                        im += term.im;
                    }
                }
                let found = fast[k * height + l];
                assert!((found.re - re).abs() < 1e-4 && (found.im - im).abs() < 1e-4);
            }
        }
    }
}
