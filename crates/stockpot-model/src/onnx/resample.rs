//! Pictures on another grid as products of matrices: an upright square in another upright square
//! needs one small matrix for its rows and one for its columns, and nothing but `MatMul`.

/// From pixels of one line to pixels of another: output pixel `i` shows the place
/// `start + (i + 0.5) * step` of the input, both with pixel centres at +0.5.
#[derive(Debug, Clone, Copy)]
pub(super) struct Line {
    pub(super) from: usize,
    pub(super) to: usize,
    pub(super) start: f64,
    pub(super) step: f64,
}

impl Line {
    /// `[to, from]`, rows first. The kernel is Keys' cubic (1981, a = -0.5), stretched where the
    /// output is coarser; beyond the ends the last pixel is repeated.
    pub(super) fn matrix(self) -> Vec<f32> {
        let mut out = Vec::with_capacity(self.from * self.to);
        let stretch = self.step.abs().max(1.0);
        let reach = (2.0 * stretch).ceil() as i64 + 1;
        for i in 0..self.to {
            let place = self.start + (i as f64 + 0.5) * self.step;
            let middle = place.floor() as i64;
            let mut row = vec![0.0f64; self.from];
            for j in middle - reach..=middle + reach {
                let weight = cubic((j as f64 + 0.5 - place) / stretch);
                let inside = j.clamp(0, self.from as i64 - 1) as usize;
                row[inside] += weight;
            }
            let sum: f64 = row.iter().sum();
            out.extend(row.iter().map(|w| (w / sum) as f32));
        }
        out
    }

    /// How much of each output pixel lies on the input, 0 to 1.
    pub(super) fn cover(self) -> Vec<f32> {
        let pixel = |i: usize| {
            let begin = self.start + i as f64 * self.step;
            let end = (begin + self.step).min(self.from as f64);
            ((end - begin.max(0.0)) / self.step).max(0.0) as f32
        };
        (0..self.to).map(pixel).collect()
    }
}

/// `[rows, columns]` transposed.
pub(super) fn transposed(matrix: &[f32], columns: usize) -> Vec<f32> {
    let rows = matrix.len() / columns.max(1);
    let mut out = Vec::with_capacity(matrix.len());
    for column in 0..columns {
        out.extend((0..rows).map(|row| matrix[row * columns + column]));
    }
    out
}

fn cubic(x: f64) -> f64 {
    let x = x.abs();
    if x < 1.0 {
        1.5 * x * x * x - 2.5 * x * x + 1.0
    } else if x < 2.0 {
        -0.5 * x * x * x + 2.5 * x * x - 4.0 * x + 2.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn through(line: Line, input: &[f32]) -> Vec<f32> {
        let matrix = line.matrix();
        matrix
            .chunks_exact(line.from)
            .map(|row| row.iter().zip(input).map(|(a, b)| a * b).sum())
            .collect()
    }

    #[test]
    fn the_same_grid_changes_nothing() {
        let line = Line {
            from: 9,
            to: 9,
            start: 0.0,
            step: 1.0,
        };
        let input: Vec<f32> = (0..9).map(|i| (i as f32 * 1.7).sin()).collect();
        for (a, b) in through(line, &input).iter().zip(&input) {
            assert!((a - b).abs() < 1e-6);
        }
        assert_eq!(line.cover(), vec![1.0; 9]);
    }

    #[test]
    fn a_slope_stays_a_slope_and_a_plane_a_plane() {
        for (start, step) in [(4.0, 0.6), (3.0, 1.1), (-6.0, 2.3)] {
            let line = Line {
                from: 40,
                to: 12,
                start,
                step,
            };
            let slope: Vec<f32> = (0..40).map(|i| i as f32 + 0.5).collect();
            for (i, found) in through(line, &slope).iter().enumerate() {
                let place = start + (i as f64 + 0.5) * step;
                if (5.0..35.0).contains(&place) {
                    // The cubic is exact on a slope only where it is not stretched.
                    let limit = if step > 1.0 { 0.03 } else { 1e-4 };
                    assert!((f64::from(*found) - place).abs() < limit, "{place} {found}");
                }
            }
            for found in through(line, &[0.25; 40]) {
                assert!((found - 0.25).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn cover_counts_what_lies_on_the_input() {
        let line = Line {
            from: 4,
            to: 4,
            start: -1.5,
            step: 2.0,
        };
        assert_eq!(line.cover(), [0.25, 1.0, 0.75, 0.0]);
    }

    #[test]
    fn transposing_swaps() {
        assert_eq!(
            transposed(&[1.0, 2.0, 3.0, 4.0, 5.0, 6.0], 3),
            [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]
        );
    }
}
