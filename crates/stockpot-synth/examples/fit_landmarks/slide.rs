//! The second table: how FaceMesh's points slide from their places with the shape of a face.

use std::collections::BTreeSet;

use rayon::prelude::*;
use stockpot_core::face::{LANDMARKS, LEFT_EYE, LIPS, RIGHT_EYE};

use crate::INNER_LIPS;

/// Points whose places the slide is read from: as far from each other as can be.
const INPUTS: usize = 150;
/// Strength of the ridge, in squared eye distances; found on strangers held out: 0.03 and 1 do
/// hardly worse.
const RIDGE: f64 = 0.1;
/// Stored numbers are multiples of one over this.
const STEPS_OF_ONE: f64 = 8192.0;
/// Outer corners of the eyes.
const CORNERS: [usize; 2] = [33, 263];
/// Rows around the eyes beyond those of the models' lids: the whole rim of the opening.
const LIDS: [usize; 32] = [
    33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246, 362, 382, 381,
    380, 374, 373, 390, 249, 263, 466, 388, 387, 386, 385, 384, 398,
];
const TIP_OF_NOSE: usize = 1;

/// One face: of each point where it lies on the skin and where FaceMesh found it.
#[derive(Clone)]
pub(crate) struct Face {
    pub(crate) person: u64,
    pub(crate) places: Vec<[f32; 2]>,
    pub(crate) found: Vec<[f32; 2]>,
}

impl Face {
    /// The same with the eyes level, their outer corners 1 apart and their middle at 0.
    fn upright(&self) -> Self {
        let [left, right] = CORNERS.map(|i| self.places[i]);
        let across = [right[0] - left[0], right[1] - left[1]];
        let squared = across[0] * across[0] + across[1] * across[1];
        let centre = [(left[0] + right[0]) / 2.0, (left[1] + right[1]) / 2.0];
        let turned = |p: &[f32; 2]| {
            let [x, y] = [p[0] - centre[0], p[1] - centre[1]];
            let turned = [x * across[0] + y * across[1], y * across[0] - x * across[1]];
            turned.map(|v| v / squared)
        };
        Self {
            person: self.person,
            places: self.places.iter().map(turned).collect(),
            found: self.found.iter().map(turned).collect(),
        }
    }

    fn mirrored(&self, partner: &[usize]) -> Self {
        let other = |points: &[[f32; 2]]| {
            partner
                .iter()
                .map(|i| [-points[*i][0], points[*i][1]])
                .collect()
        };
        Self {
            person: self.person,
            places: other(&self.places),
            found: other(&self.found),
        }
    }
}

/// A linear map from the places of inputs to the slide of outputs: constant first.
struct Map {
    rows: Vec<[Vec<f64>; 2]>,
}

/// Fits the slide and gives the bytes of the table; says how well strangers held out fare.
///
/// # Errors
/// When the frames do not determine the slide, or a number is too large to be stored.
pub(crate) fn table(faces: &[Face], partner: &[usize]) -> Result<Vec<u8>, String> {
    let upright: Vec<Face> = faces.iter().map(Face::upright).collect();
    let inputs = spread(&upright, partner);
    let known: Vec<usize> = LEFT_EYE.into_iter().chain(RIGHT_EYE).chain(LIPS).collect();
    let stays = |i: &usize| known.contains(i) || LIDS.contains(i) || INNER_LIPS.contains(i);
    let outputs: Vec<usize> = (0..LANDMARKS)
        .filter(|i| *i <= partner[*i] && !stays(i))
        .collect();
    let is_held_out = |face: &Face| face.person.is_multiple_of(5);
    let learned = upright.iter().filter(|f| !is_held_out(f));
    let map = fit(learned, partner, &inputs, &outputs)?;
    let (mut before, mut after, mut n) = (0.0, 0.0, 0.0);
    for face in upright.iter().filter(|f| is_held_out(f)) {
        for (output, rows) in outputs.iter().zip(&map.rows) {
            let seen = row(face, &inputs);
            let off = slide_of(face, *output);
            let left: [f64; 2] = std::array::from_fn(|k| off[k] - product(&rows[k], &seen));
            before += off[0].hypot(off[1]);
            after += left[0].hypot(left[1]);
            n += 1.0;
        }
    }
    println!(
        "slide on strangers held out, points that slide: {:.2} % of the outer eye distance without, {:.2} % with",
        100.0 * before / n,
        100.0 * after / n
    );
    let map = fit(upright.iter(), partner, &inputs, &outputs)?;
    let mut words = vec![inputs.len() as i16, outputs.len() as i16];
    for input in &inputs {
        let other = inputs.iter().position(|i| *i == partner[*input]);
        words.push(*input as i16);
        words.push(other.ok_or("an input without its mirrored one")? as i16);
    }
    for output in &outputs {
        words.extend([*output as i16, partner[*output] as i16]);
    }
    for weight in map.rows.iter().flatten().flatten() {
        let steps = (weight * STEPS_OF_ONE).round();
        if steps.abs() > f64::from(i16::MAX) {
            return Err(format!("a weight of {weight} is too large"));
        }
        words.push(steps as i16);
    }
    Ok(words.iter().flat_map(|w| w.to_le_bytes()).collect())
}

/// Points far from each other, with their mirrored ones.
fn spread(faces: &[Face], partner: &[usize]) -> Vec<usize> {
    let n = faces.len() as f32;
    let mean = |i: usize, k: usize| faces.iter().map(|f| f.places[i][k]).sum::<f32>() / n;
    let mean: Vec<[f32; 2]> = (0..LANDMARKS).map(|i| [mean(i, 0), mean(i, 1)]).collect();
    let apart = |a: usize, b: usize| (mean[a][0] - mean[b][0]).hypot(mean[a][1] - mean[b][1]);
    let mut chosen: BTreeSet<usize> = [TIP_OF_NOSE, CORNERS[0], CORNERS[1]].into();
    while chosen.len() < INPUTS {
        let lonely = |i: &usize| {
            chosen
                .iter()
                .map(|c| apart(*i, *c))
                .fold(f32::MAX, f32::min)
        };
        let Some(next) = (0..LANDMARKS).max_by(|a, b| lonely(a).total_cmp(&lonely(b))) else {
            break;
        };
        chosen.extend([next, partner[next]]);
    }
    chosen.into_iter().collect()
}

fn row(face: &Face, inputs: &[usize]) -> Vec<f64> {
    let places = inputs.iter().flat_map(|i| face.places[*i]);
    std::iter::once(1.0).chain(places.map(f64::from)).collect()
}

fn slide_of(face: &Face, point: usize) -> [f64; 2] {
    std::array::from_fn(|k| f64::from(face.found[point][k] - face.places[point][k]))
}

fn product(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

/// Ridge regression over faces and their mirror images; the constant is not held back.
fn fit<'a>(
    faces: impl Iterator<Item = &'a Face>,
    partner: &[usize],
    inputs: &[usize],
    outputs: &[usize],
) -> Result<Map, String> {
    let both: Vec<Face> = faces
        .flat_map(|f| [f.clone(), f.mirrored(partner)])
        .collect();
    let seen: Vec<Vec<f64>> = both.iter().map(|f| row(f, inputs)).collect();
    let width = 1 + 2 * inputs.len();
    let matrix = (0..width).into_par_iter().map(|a| {
        let line = |b: usize| seen.iter().map(|r| r[a] * r[b]).sum::<f64>();
        let mut line: Vec<f64> = (0..width).map(line).collect();
        line[a] += if a > 0 { RIDGE } else { 0.0 };
        line
    });
    let lower = cholesky(matrix.collect()).ok_or("the frames do not determine the slide")?;
    let rows = outputs.par_iter().map(|output| {
        let of_axis = |k: usize| {
            let right = (0..width).map(|a| {
                let pairs = both.iter().zip(&seen);
                pairs.map(|(f, r)| r[a] * slide_of(f, *output)[k]).sum()
            });
            solve(&lower, right.collect())
        };
        [of_axis(0), of_axis(1)]
    });
    Ok(Map {
        rows: rows.collect(),
    })
}

/// Lower triangle whose product with its transpose is the matrix; none if it is not definite.
fn cholesky(mut matrix: Vec<Vec<f64>>) -> Option<Vec<Vec<f64>>> {
    for i in 0..matrix.len() {
        for j in 0..=i {
            let left = matrix[i][j] - product(&matrix[i][..j], &matrix[j][..j]);
            if i == j {
                matrix[i][i] = (left > 0.0).then(|| left.sqrt())?;
            } else {
                matrix[i][j] = left / matrix[j][j];
            }
        }
    }
    Some(matrix)
}

/// The solution of the system whose triangle this is.
fn solve(lower: &[Vec<f64>], mut right: Vec<f64>) -> Vec<f64> {
    for i in 0..right.len() {
        right[i] = (right[i] - product(&lower[i][..i], &right[..i])) / lower[i][i];
    }
    for i in (0..right.len()).rev() {
        let below: f64 = (i + 1..right.len()).map(|j| lower[j][i] * right[j]).sum();
        right[i] = (right[i] - below) / lower[i][i];
    }
    right
}
