//! The stitch: from one encoder's codes to another's by an affine map, so that a decoder of one
//! lineage can be used with the encoder of another.
//!
//! Codes are linear and nothing rectifies them, so two encoders trained for the same duty differ by
//! nearly a change of basis. Ridge regression (Hoerl and Kennard 1970) in closed form finds it from
//! the codes of both encoders for the same faces; [`fold_stitch`] then multiplies it into the first
//! dense layer behind the code, so that what comes out is an ordinary network again.
//!
//! Knows no files and no faces. Start with [`fit`].

use std::sync::Arc;

use rayon::prelude::*;

use crate::algebra::{Cholesky, dot};
use crate::error::Error;
use crate::family::Kind;
use crate::graph::{Graph, Op};
use crate::network::Network;
use crate::params::Params;

/// What is tried for the penalty, as shares of the mean variance of a code's numbers; the one that
/// is best on held-out faces is taken.
const PENALTIES: [f64; 6] = [1e-6, 1e-4, 1e-3, 1e-2, 1e-1, 1.0];
/// One of so many faces is held out to choose the penalty: the last stretch, because faces of one
/// stranger lie together.
const HOLD_OUT: usize = 5;
/// Fewest faces that a map is fitted on.
const FEWEST: usize = 10;

/// Codes of one encoder, a row per face.
#[derive(Debug, Clone, PartialEq)]
pub struct Codes {
    width: usize,
    values: Vec<f32>,
}

impl Codes {
    /// Rows of `width` numbers; `None` if they do not come out even or there are none.
    pub fn new(width: usize, values: Vec<f32>) -> Option<Self> {
        let fits = width > 0 && !values.is_empty() && values.len().is_multiple_of(width);
        fits.then_some(Self { width, values })
    }

    /// Numbers of a code.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Faces.
    pub fn faces(&self) -> usize {
        self.values.len() / self.width
    }

    /// `[faces, width]`.
    pub fn values(&self) -> &[f32] {
        &self.values
    }

    fn columns(&self, rows: std::ops::Range<usize>, means: &[f64]) -> Vec<Vec<f64>> {
        let part = &self.values[rows.start * self.width..rows.end * self.width];
        (0..self.width)
            .into_par_iter()
            .map(|k| {
                let column = part.iter().skip(k).step_by(self.width);
                column.map(|v| f64::from(*v) - means[k]).collect()
            })
            .collect()
    }

    fn means(&self, faces: usize) -> Vec<f64> {
        let mut sums = vec![0.0; self.width];
        for row in self.values.chunks_exact(self.width).take(faces) {
            let pairs = sums.iter_mut().zip(row);
            pairs.for_each(|(s, v)| *s += f64::from(*v));
        }
        sums.iter().map(|s| s / faces as f64).collect()
    }
}

/// `code · weight + bias`.
#[derive(Debug, Clone, PartialEq)]
pub struct AffineMap {
    from: usize,
    to: usize,
    /// `[from, to]`.
    weight: Vec<f32>,
    /// `[to]`.
    bias: Vec<f32>,
}

impl AffineMap {
    /// Codes in the other space.
    ///
    /// # Errors
    /// [`Error::Stitch`] if they are of another width.
    pub fn apply(&self, codes: &Codes) -> Result<Codes, Error> {
        if codes.width != self.from {
            return Err(Error::Stitch {
                reason: format!(
                    "codes have {} numbers, the map wants {}",
                    codes.width, self.from
                ),
            });
        }
        let values = codes
            .values
            .par_chunks_exact(self.from)
            .flat_map_iter(|code| {
                let mut out = self.bias.clone();
                add_product(&mut out, code, &self.weight);
                out
            });
        Ok(Codes {
            width: self.to,
            values: values.collect(),
        })
    }
}

/// `out += row · matrix`, for a matrix `[row.len(), out.len()]`.
fn add_product(out: &mut [f32], row: &[f32], matrix: &[f32]) {
    for (factor, line) in row.iter().zip(matrix.chunks_exact(out.len())) {
        let pairs = out.iter_mut().zip(line);
        pairs.for_each(|(o, m)| *o += factor * m);
    }
}

/// A fitted map and how good it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Fit {
    /// The map, fitted on all faces.
    pub map: AffineMap,
    /// The penalty that was chosen, as a share of the mean variance of a code's numbers.
    pub penalty: f64,
    /// Share of the other codes' variance that the map explains on faces held out while the penalty
    /// was chosen, at most 1.
    pub explained: f64,
}

/// The ridge regression of `to` on `from`, both for the same faces in the same order.
///
/// # Errors
/// [`Error::Stitch`] if there are too few faces, not the same number, or numbers that are not finite.
pub fn fit(from: &Codes, to: &Codes) -> Result<Fit, Error> {
    let bad = |reason: String| Err(Error::Stitch { reason });
    let faces = from.faces();
    if faces != to.faces() {
        return bad(format!("{faces} codes against {}", to.faces()));
    }
    if faces < FEWEST {
        return bad(format!("{faces} faces, at least {FEWEST} are wanted"));
    }
    if !from.values.iter().chain(&to.values).all(|v| v.is_finite()) {
        return bad("some codes are not finite".into());
    }
    let kept = faces - faces / HOLD_OUT;
    // The held-out faces are centred as the others are: the map's bias is theirs.
    let (means, goal_means) = (from.means(kept), to.means(kept));
    let held = Problem::new(
        from.columns(kept..faces, &means),
        to.columns(kept..faces, &goal_means),
    );
    let most = Problem::new(
        from.columns(0..kept, &means),
        to.columns(0..kept, &goal_means),
    );
    let mut best: Option<(f64, f64)> = None;
    for penalty in PENALTIES {
        let Some(weight) = most.solve(penalty) else {
            continue;
        };
        let left = held.left_over(&weight);
        if best.is_none_or(|(least, _)| left < least) {
            best = Some((left, penalty));
        }
    }
    let Some((left, penalty)) = best else {
        return bad("the codes hold no information".into());
    };
    let (means, goal_means) = (from.means(faces), to.means(faces));
    let all = Problem::new(
        from.columns(0..faces, &means),
        to.columns(0..faces, &goal_means),
    );
    let Some(weight) = all.solve(penalty) else {
        return bad("the codes hold no information".into());
    };
    let bias = weight
        .iter()
        .zip(&goal_means)
        .map(|(column, goal)| (goal - dot(column, &means)) as f32);
    Ok(Fit {
        penalty,
        explained: 1.0 - left / held.goal_squares().max(f64::MIN_POSITIVE),
        map: AffineMap {
            from: from.width,
            to: to.width,
            bias: bias.collect(),
            weight: (0..from.width)
                .flat_map(|i| weight.iter().map(move |column| column[i] as f32))
                .collect(),
        },
    })
}

/// Centred codes of some faces, by columns, and their products.
struct Problem {
    from: Vec<Vec<f64>>,
    to: Vec<Vec<f64>>,
    /// `fromᵀ from`, full.
    gram: Vec<f64>,
    /// A row per column of `to`: its products with those of `from`.
    right: Vec<Vec<f64>>,
}

impl Problem {
    fn new(from: Vec<Vec<f64>>, to: Vec<Vec<f64>>) -> Self {
        let products = |columns: &[Vec<f64>]| -> Vec<Vec<f64>> {
            let rows = columns.par_iter();
            rows.map(|a| from.iter().map(|b| dot(a, b)).collect())
                .collect()
        };
        let (gram, right) = (products(&from).concat(), products(&to));
        Self {
            from,
            to,
            gram,
            right,
        }
    }

    /// A column of weights per column of `to`; `None` if nothing varies.
    fn solve(&self, penalty: f64) -> Option<Vec<Vec<f64>>> {
        let side = self.from.len();
        let mut gram = self.gram.clone();
        let trace: f64 = (0..side).map(|i| gram[i * side + i]).sum();
        for i in 0..side {
            gram[i * side + i] += penalty * trace / side as f64;
        }
        let factor = Cholesky::new(gram, side)?;
        let solved = self.right.par_iter().map(|right| {
            let mut weights = right.clone();
            factor.solve(&mut weights);
            weights
        });
        Some(solved.collect())
    }

    fn goal_squares(&self) -> f64 {
        self.to.iter().map(|column| dot(column, column)).sum()
    }

    /// The sum of squares that these weights leave: `|y|² - 2 w·Xᵀy + wᵀ XᵀX w`, column by column.
    fn left_over(&self, weight: &[Vec<f64>]) -> f64 {
        let side = self.from.len();
        let columns = weight.par_iter().zip(&self.right).zip(&self.to);
        let left: Vec<f64> = columns
            .map(|((w, right), goal)| {
                let rows = self.gram.chunks_exact(side).zip(w);
                let square: f64 = rows.map(|(row, factor)| factor * dot(row, w)).sum();
                dot(goal, goal) - 2.0 * dot(w, right) + square
            })
            .collect();
        left.iter().sum()
    }
}

/// How far two encoders' codes vary alike, number by number, without any map: 1 if they do so exactly,
/// about 0 for codes of another basis, less if they vary against each other. A shift of the mean
/// does not count: it is what training moves first, and says nothing of kinship. `None` if they
/// cannot be compared.
///
/// It is `2 a·b / (|a|² + |b|²)` over all faces, with the means taken off: a correlation that also
/// falls where one varies more than the other.
pub fn agreement(own: &Codes, other: &Codes) -> Option<f64> {
    if own.width != other.width || own.faces() != other.faces() {
        return None;
    }
    let means = [own, other].map(|codes| codes.means(codes.faces()));
    let (mut products, mut squares) = (0.0, 0.0);
    let rows = own.values.chunks_exact(own.width);
    for (a, b) in rows.zip(other.values.chunks_exact(own.width)) {
        for k in 0..own.width {
            let (a, b) = (f64::from(a[k]) - means[0][k], f64::from(b[k]) - means[1][k]);
            products += a * b;
            squares += a * a + b * b;
        }
    }
    (squares > 0.0).then(|| 2.0 * products / squares)
}

/// Both halves of a network.
#[derive(Debug, Clone, PartialEq)]
pub struct Halves {
    /// The shared half.
    pub encoder: Params,
    /// A person's half.
    pub decoder: Params,
}

/// Makes `home`'s decoder read the codes of the encoder `guest` through a map from `guest`'s codes to
/// those of `home`'s encoder.
///
/// A comb decoder begins with the dense layer behind the code: it takes in the map, and the encoder
/// of the result is `guest` as it is. In the network of 2018 that layer still belongs to the
/// encoder: there the result has `guest`'s encoder up to the code and `home`'s behind it.
///
/// # Errors
/// [`Error::Stitch`] if anything is of another network.
pub fn fold_stitch(
    network: &Network,
    guest: &Params,
    home: &Halves,
    map: &AffineMap,
) -> Result<Halves, Error> {
    let misfit = |what: &str| Error::Stitch {
        reason: format!("{what} does not fit {}", network.family()),
    };
    let code = network.code_graph().output_shape().len();
    if map.from != code || map.to != code {
        return Err(misfit("the map"));
    }
    if guest.layout() != network.encoder_layout() || home.encoder.layout() != guest.layout() {
        return Err(misfit("an encoder"));
    }
    if home.decoder.layout() != network.decoder_layout() {
        return Err(misfit("the decoder"));
    }
    let mut out = Halves {
        encoder: guest.clone(),
        decoder: home.decoder.clone(),
    };
    match network.family().kind() {
        Kind::Comb(_) => fold_into(&mut out.decoder, "decoder.seed", map),
        Kind::Classic { .. } => {
            let tail = ["encoder.dense2", "encoder.up512"];
            for spec in guest.layout().specs() {
                if tail.iter().any(|layer| spec.name.starts_with(layer)) {
                    let own = &home.encoder.data[spec.range()];
                    out.encoder.data[spec.range()].copy_from_slice(own);
                }
            }
            fold_into(&mut out.encoder, tail[0], map)
        }
    }
    .ok_or_else(|| misfit("the first layer behind the code"))?;
    Ok(out)
}

/// `weight := map.weight · weight`, `bias += map.bias · weight`.
fn fold_into(params: &mut Params, layer: &str, map: &AffineMap) -> Option<()> {
    let range = |end: &str| {
        let name = format!("{layer}.{end}");
        let spec = params.layout().specs().iter().find(|s| s.name == name)?;
        Some(spec.range())
    };
    let (weights, biases) = (range("weight")?, range("bias")?);
    let old = params.data[weights.clone()].to_vec();
    let width = biases.len();
    if old.len() != map.to * width {
        return None;
    }
    let rows = params.data[weights].par_chunks_exact_mut(width);
    rows.zip(map.weight.par_chunks_exact(map.to))
        .for_each(|(out, row)| {
            out.fill(0.0);
            add_product(out, row, &old);
        });
    add_product(&mut params.data[biases], &map.bias, &old);
    Some(())
}

/// The part of an encoder's graph up to its code: all of it, but for networks of 2018, whose code is
/// what their first dense layer gives.
pub(crate) fn up_to_code(encoder: &Arc<Graph>) -> Arc<Graph> {
    let first = |node: &crate::graph::Node| matches!(node.op, Op::Dense { .. });
    match encoder.nodes.iter().position(first) {
        Some(at) if at + 1 < encoder.nodes.len() => Arc::new(Graph {
            nodes: encoder.nodes[..=at].to_vec(),
            layout: encoder.layout.clone(),
        }),
        _ => encoder.clone(),
    }
}

#[cfg(test)]
#[path = "stitch_tests.rs"]
mod tests;
