//! Who a face is: linear discriminant analysis (Fisher 1936, Rao 1948) over strangers. Two looks at
//! one person lie in one direction, whatever they play. Knows no pictures.

use rayon::prelude::*;

use stockpot_model::algebra::Cholesky;

use super::algebra::eigen;
use super::features::{Block, Features};

/// What counts for identity: what lies inside of any mask.
const BLOCKS: [Block; 2] = [Block::Inner, Block::Shape];
/// Added to the spread within persons, as a part of its mean.
const PENALTY: f64 = 0.3;
/// Directions that are kept.
const KEPT: usize = 48;

/// A trained judge of identity.
#[derive(Debug, Clone)]
pub struct Identity {
    means: Vec<f64>,
    scales: Vec<f64>,
    /// Rows `[KEPT, features]`.
    directions: Vec<Vec<f64>>,
}

fn numbers(face: &Features) -> Vec<f64> {
    let all = BLOCKS.iter().flat_map(|b| face.block(*b));
    all.map(|v| f64::from(*v)).collect()
}

impl Identity {
    /// Learns from `samples`, the `i`-th of person `people[i]` (from 0, none left out). `None` if
    /// there is too little to learn from.
    pub fn train(samples: &[&Features], people: &[usize]) -> Option<Self> {
        let n = samples.len();
        let mut rows: Vec<Vec<f64>> = samples.iter().map(|f| numbers(f)).collect();
        let width = rows.first()?.len();
        let means: Vec<f64> = (0..width)
            .map(|k| rows.iter().map(|r| r[k]).sum::<f64>() / n as f64)
            .collect();
        let scales: Vec<f64> = (0..width)
            .map(|k| {
                let square: f64 = rows.iter().map(|r| (r[k] - means[k]).powi(2)).sum();
                1.0 / ((square / n as f64).sqrt() + 1e-3)
            })
            .collect();
        for row in &mut rows {
            for (k, v) in row.iter_mut().enumerate() {
                *v = (*v - means[k]) * scales[k];
            }
        }
        let persons = people.iter().max()? + 1;
        let mut centres = vec![vec![0.0; width]; persons];
        let mut counts = vec![0.0f64; persons];
        for (row, person) in rows.iter().zip(people) {
            counts[*person] += 1.0;
            for (sum, v) in centres[*person].iter_mut().zip(row) {
                *sum += v;
            }
        }
        for (centre, count) in centres.iter_mut().zip(&counts) {
            centre.iter_mut().for_each(|v| *v /= count.max(1.0));
        }
        for (row, person) in rows.iter_mut().zip(people) {
            for (v, centre) in row.iter_mut().zip(&centres[*person]) {
                *v -= centre;
            }
        }
        // Columns of what is left, so that each entry of the spread is one product of two rows.
        let columns: Vec<Vec<f64>> = (0..width)
            .map(|k| rows.iter().map(|r| r[k]).collect())
            .collect();
        let mut within: Vec<f64> = (0..width * width)
            .into_par_iter()
            .map(|i| {
                let pair = columns[i / width].iter().zip(&columns[i % width]);
                pair.map(|(a, b)| a * b).sum::<f64>() / n as f64
            })
            .collect();
        let mean = (0..width).map(|k| within[k * width + k]).sum::<f64>() / width as f64;
        for k in 0..width {
            within[k * width + k] += PENALTY * mean + 1e-9;
        }
        let factor = Cholesky::new(within, width)?;
        let white: Vec<Vec<f64>> = centres
            .into_iter()
            .map(|mut centre| {
                factor.forward(&mut centre);
                centre
            })
            .collect();
        // The directions in which persons differ, from the small matrix between persons.
        let between: Vec<f64> = (0..persons * persons)
            .into_par_iter()
            .map(|i| {
                let pair = white[i / persons].iter().zip(&white[i % persons]);
                pair.map(|(a, b)| a * b).sum()
            })
            .collect();
        // Means of so few looks differ this much by chance alone.
        let chance = persons as f64 / n as f64;
        let directions = eigen(between, persons)
            .into_iter()
            .take(KEPT.min(persons - 1))
            .map(|(value, vector)| (value, vector, worth(value / persons as f64, chance)))
            .filter(|(value, _, worth)| *value > 1e-9 && *worth > 0.0)
            .map(|(value, vector, worth)| {
                let mut direction = vec![0.0; width];
                for (row, part) in white.iter().zip(&vector) {
                    for (sum, v) in direction.iter_mut().zip(row) {
                        *sum += worth * part * v / value.sqrt();
                    }
                }
                // Rows of a map from features: the whitening taken along.
                factor.backward(&mut direction);
                direction
            })
            .collect();
        Some(Self {
            means,
            scales,
            directions,
        })
    }

    /// A unit vector: faces of one person point alike.
    pub fn of(&self, face: &Features) -> Vec<f64> {
        let mut row = numbers(face);
        for (k, v) in row.iter_mut().enumerate() {
            *v = (*v - self.means[k]) * self.scales[k];
        }
        let raw = self.directions.iter().map(|d| dot(d, &row)).collect();
        unit(raw)
    }
}

/// How much a direction counts in which means of persons spread by `between`, of that `chance` from
/// the spread of 1 within persons: its share of what is seen in one look (as in Wiener's filter).
fn worth(between: f64, chance: f64) -> f64 {
    let real = (between - chance).max(0.0);
    (real / (real + 1.0)).sqrt()
}

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(x, y)| x * y).sum()
}

/// The vector at length 1; zeros stay zeros.
fn unit(v: Vec<f64>) -> Vec<f64> {
    let length = dot(&v, &v).sqrt().max(1e-12);
    v.into_iter().map(|x| x / length).collect()
}

/// The direction of some unit vectors together.
pub fn together(all: &[Vec<f64>]) -> Vec<f64> {
    let width = all.first().map_or(0, Vec::len);
    unit((0..width).map(|k| all.iter().map(|v| v[k]).sum()).collect())
}

/// Which of `gallery` is nearest to `face` (the first on a tie); nothing if there is none.
pub fn nearest(gallery: &[Vec<f64>], face: &[f64]) -> Option<usize> {
    (0..gallery.len()).fold(None, |best: Option<usize>, i| match best {
        Some(b) if dot(&gallery[b], face) >= dot(&gallery[i], face) => Some(b),
        _ => Some(i),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpot_core::rng::Rng;

    /// 20 numbers: the first three are the person, the others noise that is five times as large.
    fn face(person: u64, look: u64) -> Features {
        let mut who = Rng::stream(person, "who", 0);
        let mut how = Rng::stream(person, "how", look);
        let inner = (0..20)
            .map(|k| match k < 3 {
                true => who.normal() + 0.1 * how.normal(),
                false => 5.0 * how.normal(),
            })
            .collect();
        Features {
            blocks: [vec![], inner, vec![], vec![], vec![]],
        }
    }

    #[test]
    fn persons_are_told_apart_by_what_stays() {
        let faces: Vec<Features> = (0..320).map(|i| face(i / 8, i % 8)).collect();
        let people: Vec<usize> = (0..320).map(|i| i / 8).collect();
        let judge = Identity::train(&faces.iter().collect::<Vec<_>>(), &people).unwrap();
        let gallery: Vec<Vec<f64>> = (1000..1010)
            .map(|p| together(&[judge.of(&face(p, 0)), judge.of(&face(p, 1))]))
            .collect();
        let right = (0..100u64)
            .filter(|i| {
                nearest(&gallery, &judge.of(&face(1000 + i % 10, 5 + i))) == Some((i % 10) as usize)
            })
            .count();
        assert!(right >= 90, "{right} of 100");
    }

    #[test]
    fn nearest_is_the_largest_product() {
        let gallery = [vec![1.0, 0.0], vec![0.6, 0.8], vec![0.6, 0.8]];
        assert_eq!(nearest(&gallery, &[0.0, 1.0]), Some(1));
        assert_eq!(nearest(&gallery, &[1.0, 0.1]), Some(0));
        assert_eq!(nearest(&[], &[1.0]), None);
        let half = together(&[vec![2.0, 0.0], vec![0.0, 2.0]]);
        assert!((half[0] - 0.5f64.sqrt()).abs() < 1e-12);
        assert_eq!(worth(0.2, 0.25), 0.0);
        assert_eq!(worth(3.1, 0.1), 0.75f64.sqrt());
    }
}
