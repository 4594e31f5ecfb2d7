//! A lite person: what one face adds to a base decoder that many share.
//!
//! Every weight matrix `W0` of the base becomes `W = W0 · diag(1 + g) + D · U` with a thin `D`
//! (*down*), a flat `U` (*up*) and a gain for each output; every bias is the person's own, and so are
//! the last two doublings and the head, where fine detail is drawn. [`Lite::fold`] makes the ordinary
//! decoder of it, so nothing else has to know; [`Lite::project`] takes the gradient of that back.
//!
//! `U` and `g` start at zero: at first a person is exactly the base with their own biases and last
//! stages. Low rank by two factors is that of LoRA (Hu et al. 2021, arXiv 2106.09685).
//! Knows nothing of files: those are in [`crate::lite_file`]. Start with [`Lite`].

use std::ops::Range;
use std::sync::Arc;

use rayon::prelude::*;
use stockpot_core::Rng;
use stockpot_kernels::{Epilogue, Gather, PackSource, PackedMatrix, matmul, weight_grad};

use crate::family::{Family, Kind};
use crate::network::Network;
use crate::params::{Init, Layout, ParamSpec, Params};

/// Numbers between a matrix's inputs and outputs. 16 keeps a person near 1 MB at 128 px.
pub const RANK: usize = 16;
/// The highest rank that is built or read: far above any use.
pub const MOST_RANK: usize = 256;
/// Doublings at the end that a person owns whole.
const PRIVATE_DOUBLINGS: usize = 2;
/// Rows of a matrix that one task sums gains over.
const ROWS: usize = 64;

/// How one array of the decoder is made.
#[derive(Debug, Clone, PartialEq)]
enum Part {
    /// The person's own: copied.
    Private {
        full: Range<usize>,
        lite: Range<usize>,
    },
    /// The base's matrix `[rows, columns]` with gains and a product of low rank.
    Shared {
        full: Range<usize>,
        rows: usize,
        columns: usize,
        down: Range<usize>,
        up: Range<usize>,
        gain: Range<usize>,
    },
}

/// The arrays of lite persons of one decoder and rank, and how they fold.
#[derive(Debug, Clone, PartialEq)]
pub struct Lite {
    rank: usize,
    full: Arc<Layout>,
    layout: Arc<Layout>,
    parts: Vec<Part>,
}

impl Lite {
    /// Lite persons of a family; none for a family without a trunk, or for a rank outside 1 to
    /// [`MOST_RANK`].
    pub fn new(family: Family, rank: usize) -> Option<Self> {
        let Kind::Comb(_) = family.kind() else {
            return None;
        };
        let full = Network::new(family).decoder_layout().clone();
        let doublings = full.specs().iter().filter_map(|s| stage(&s.name)).max()?;
        let shared = |name: &str| match stage(name) {
            Some(stage) => stage + PRIVATE_DOUBLINGS <= doublings,
            None => !name.starts_with("decoder.head."),
        };
        Self::of_layout(full, rank, shared)
    }

    /// Lite persons of any decoder: `shared` says of which weights the base stays. Every weight is
    /// named `….weight`, every bias is the person's.
    pub fn of_layout(
        full: Arc<Layout>,
        rank: usize,
        shared: impl Fn(&str) -> bool,
    ) -> Option<Self> {
        if !(1..=MOST_RANK).contains(&rank) {
            return None;
        }
        let mut layout = Layout::default();
        let mut parts = Vec::with_capacity(full.specs().len());
        for spec in full.specs() {
            let stem = spec.name.strip_suffix(".weight");
            let part = match (stem, spec.shape.as_slice()) {
                (Some(stem), [.., _, columns]) if shared(&spec.name) => {
                    let (columns, rows) = (*columns, spec.len() / *columns);
                    let mut array = |what: &str, shape: Vec<usize>| {
                        let index = layout.push(format!("{stem}.{what}"), shape, Init::Zero);
                        layout.specs()[index].range()
                    };
                    Part::Shared {
                        full: spec.range(),
                        rows,
                        columns,
                        down: array("down", vec![rows, rank]),
                        up: array("up", vec![rank, columns]),
                        gain: array("gain", vec![columns]),
                    }
                }
                _ => {
                    let ParamSpec { name, shape, .. } = spec.clone();
                    let index = layout.push(name, shape, Init::Zero);
                    Part::Private {
                        full: spec.range(),
                        lite: layout.specs()[index].range(),
                    }
                }
            };
            parts.push(part);
        }
        Some(Self {
            rank,
            full,
            layout: Arc::new(layout),
            parts,
        })
    }

    /// The rank of the products.
    pub fn rank(&self) -> usize {
        self.rank
    }

    /// The person's arrays: `….down` `[rows, rank]`, `….up` `[rank, out]`, `….gain` `[out]` for each
    /// shared weight; biases and private weights under their own names.
    pub fn layout(&self) -> &Arc<Layout> {
        &self.layout
    }

    /// The arrays of the decoder that a person folds into.
    pub fn full_layout(&self) -> &Arc<Layout> {
        &self.full
    }

    /// A person who is exactly `decoder`, which may differ from the base in biases and private
    /// weights only. `None` if it is of another layout.
    pub fn start(&self, decoder: &Params, seed: u64) -> Option<Params> {
        if decoder.layout() != &self.full {
            return None;
        }
        let mut data = vec![0.0; self.layout.len()];
        for (number, part) in self.parts.iter().enumerate() {
            match part {
                Part::Private { full, lite } => {
                    data[lite.clone()].copy_from_slice(&decoder.data[full.clone()]);
                }
                Part::Shared { rows, down, .. } => {
                    let mut rng = Rng::stream(seed, "lite person", number as u64);
                    let sigma = 1.0 / (*rows as f32).sqrt();
                    let down = data[down.clone()].iter_mut();
                    down.for_each(|v| *v = sigma * rng.normal());
                }
            }
        }
        Params::from_data(self.layout.clone(), data)
    }

    /// The ordinary decoder; `None` if a length does not fit.
    pub fn folded(&self, base: &Params, person: &Params) -> Option<Params> {
        if base.layout() != &self.full || person.layout() != &self.layout {
            return None;
        }
        let mut out = vec![0.0; self.full.len()];
        self.fold(&base.data, &person.data, &mut out);
        Params::from_data(self.full.clone(), out)
    }

    /// Writes the ordinary decoder into `out`.
    ///
    /// # Shapes
    /// `base` and `out`: as [`Self::full_layout`]; `person`: as [`Self::layout`].
    ///
    /// # Panics
    /// If a length does not fit: a bug of the caller.
    pub fn fold(&self, base: &[f32], person: &[f32], out: &mut [f32]) {
        self.check(base.len(), person.len(), out.len());
        let mut packed = PackedMatrix::empty();
        for part in &self.parts {
            match part {
                Part::Private { full, lite } => {
                    out[full.clone()].copy_from_slice(&person[lite.clone()]);
                }
                Part::Shared {
                    full,
                    rows,
                    columns,
                    down,
                    up,
                    gain,
                } => {
                    let (out, base) = (&mut out[full.clone()], &base[full.clone()]);
                    let gain = &person[gain.clone()];
                    out.par_chunks_mut(ROWS * columns)
                        .zip(base.par_chunks(ROWS * columns))
                        .for_each(|(out, base)| scale(out, base, gain));
                    packed.pack(&PackSource {
                        weights: &person[up.clone()],
                        tap_offsets: &[0],
                        channels: self.rank,
                        channel_stride: *columns,
                        columns: *columns,
                        column_stride: 1,
                    });
                    let product = Gather::dense(*rows, self.rank, *columns);
                    matmul(&product, &person[down.clone()], &packed, ADD, out);
                }
            }
        }
    }

    /// Adds the gradient of a person's numbers to `out`, from the gradient of the ordinary decoder
    /// they fold into.
    ///
    /// # Shapes
    /// `base` and `gradient`: as [`Self::full_layout`]; `person` and `out`: as [`Self::layout`].
    ///
    /// # Panics
    /// If a length does not fit: a bug of the caller.
    pub fn project(&self, base: &[f32], person: &[f32], gradient: &[f32], out: &mut [f32]) {
        self.check(base.len(), person.len(), gradient.len());
        assert_eq!(out.len(), self.layout.len(), "gradient of a lite person");
        let mut packed = PackedMatrix::empty();
        for part in &self.parts {
            match part {
                Part::Private { full, lite } => {
                    let own = out[lite.clone()].iter_mut();
                    own.zip(&gradient[full.clone()]).for_each(|(o, g)| *o += g);
                }
                Part::Shared {
                    full,
                    rows,
                    columns,
                    down,
                    up,
                    gain,
                } => {
                    let (rows, columns) = (*rows, *columns);
                    let (base, gradient) = (&base[full.clone()], &gradient[full.clone()]);
                    add_column_products(base, gradient, &mut out[gain.clone()]);
                    // dU = Dᵀ dW.
                    let product = Gather::dense(rows, self.rank, columns);
                    let factor = &person[down.clone()];
                    weight_grad(&product, factor, gradient, &mut out[up.clone()]);
                    // dD = dW Uᵀ.
                    packed.pack(&PackSource {
                        weights: &person[up.clone()],
                        tap_offsets: &[0],
                        channels: columns,
                        channel_stride: 1,
                        columns: self.rank,
                        column_stride: columns,
                    });
                    let product = Gather::dense(rows, columns, self.rank);
                    matmul(&product, gradient, &packed, ADD, &mut out[down.clone()]);
                }
            }
        }
    }

    fn check(&self, base: usize, person: usize, full: usize) {
        assert_eq!(base, self.full.len(), "base of a lite person");
        assert_eq!(person, self.layout.len(), "numbers of a lite person");
        assert_eq!(full, self.full.len(), "decoder of a lite person");
    }
}

/// Sums are added to what is there.
const ADD: Epilogue<'static> = Epilogue {
    bias: None,
    slope: 1.0,
    add: true,
};

/// The doubling that a decoder's array belongs to, from 1.
fn stage(name: &str) -> Option<usize> {
    let layer = name.strip_prefix("decoder.")?.split('.').next()?;
    let number = layer
        .strip_prefix("up")
        .or_else(|| layer.strip_prefix("mix"))?;
    number.parse().ok()
}

/// Some rows of the base, each column by its gain.
fn scale(out: &mut [f32], base: &[f32], gain: &[f32]) {
    let rows = out.chunks_exact_mut(gain.len());
    for (out, base) in rows.zip(base.chunks_exact(gain.len())) {
        for ((out, base), gain) in out.iter_mut().zip(base).zip(gain) {
            *out = base * (1.0 + gain);
        }
    }
}

/// Adds to each column's sum the products of two matrices; in parts of fixed size, summed in order,
/// so the result does not depend on the number of threads.
fn add_column_products(a: &[f32], b: &[f32], sums: &mut [f32]) {
    let columns = sums.len();
    let parts: Vec<Vec<f32>> = a
        .par_chunks(ROWS * columns)
        .zip(b.par_chunks(ROWS * columns))
        .map(|(a, b)| {
            let mut part = vec![0.0; columns];
            for (a, b) in a.chunks_exact(columns).zip(b.chunks_exact(columns)) {
                for ((sum, a), b) in part.iter_mut().zip(a).zip(b) {
                    *sum += a * b;
                }
            }
            part
        })
        .collect();
    for part in parts {
        sums.iter_mut().zip(part).for_each(|(s, p)| *s += p);
    }
}

#[cfg(test)]
#[path = "lite_tests.rs"]
mod tests;
