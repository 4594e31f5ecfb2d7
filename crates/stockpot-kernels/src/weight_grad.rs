//! Weight gradients: the transposed product `dw[tap, c, n] += sum over positions of x * dy`.
//!
//! Wide layers are the business of [`crate::outer`]. Narrow ones in `f32` are done here, in place:
//! at a position the input channels of adjacent taps (see [`crate::rows`]) or the output gradients
//! of neighbouring pixels (see [`crate::fold`]) are contiguous. Positions are taken in blocks that
//! stay in the second cache. Small matrices are summed per stretch of positions and added up in a
//! fixed order; large ones are split by weights. The split depends on shapes only, never on the
//! number of threads.
#![expect(
    unsafe_code,
    reason = "disjoint parts of one gradient are written from several threads"
)]

use rayon::prelude::*;

use crate::fold::Fold;
use crate::gather::Gather;
use crate::isa::Isa;
use crate::micro::{self, Cell, OuterTile};
use crate::outer::OuterProducts;
use crate::pack::panel_width;
use crate::precision::{Pair, Precision};
use crate::rows::{Border, Runs, Stretch};

/// Positions of a block.
const BLOCK_ROWS: usize = 256;
/// Gradients up to this many numbers are summed by stretches of positions.
const SMALL_MATRIX: usize = 1 << 18;
/// Fixed number of stretches or parts.
const PARTS: usize = 8;

struct Shared(*mut f32);
// SAFETY: parts write disjoint rows of the gradient.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}
impl Shared {
    fn at(&self, offset: usize) -> *mut f32 {
        self.0.wrapping_add(offset)
    }
}

/// Adds the weight gradient of a gather to `grad`, on this processor's best instruction set.
///
/// # Shapes
/// `input`: `[batch, in_h, in_w, in_c]`; `grad_output`: `[batch, out_h, out_w, out_c]`;
/// `grad`: `[taps, in_c, out_c]`.
///
/// # Panics
/// If a slice does not fit the gather: that is a bug of the caller.
pub fn weight_grad(gather: &Gather, input: &[f32], grad_output: &[f32], grad: &mut [f32]) {
    let isa = Isa::best();
    weight_grad_in(isa, Precision::F32, gather, input, grad_output, grad);
}

/// [`weight_grad`] on a given instruction set (which must be available), with both inputs rounded
/// to `precision`; sums are `f32`.
///
/// # Panics
/// As [`weight_grad`].
pub fn weight_grad_in(
    isa: Isa,
    precision: Precision,
    gather: &Gather,
    input: &[f32],
    grad_output: &[f32],
    grad: &mut [f32],
) {
    let gathers = std::slice::from_ref(gather);
    weight_grads_in(isa, precision, gathers, input, grad_output, grad);
}

/// [`weight_grad_in`] of several gathers at once, which differ in nothing but their taps (equally
/// many) and in where they put their outputs: the phases of an up-sampling convolution.
///
/// # Shapes
/// `grad`: `[gather, taps, in_c, out_c]`.
///
/// # Panics
/// As [`weight_grad`], or if the gathers differ in more.
pub fn weight_grads_in(
    isa: Isa,
    precision: Precision,
    gathers: &[Gather],
    input: &[f32],
    grad_output: &[f32],
    grad: &mut [f32],
) {
    assert!(
        Isa::available().contains(&isa),
        "this processor has no {}",
        isa.name()
    );
    let Some(first) = gathers.first() else {
        return;
    };
    for gather in gathers {
        let alike = Gather {
            taps: gather.taps.clone(),
            out_origin: gather.out_origin,
            ..first.clone()
        };
        assert_eq!(*gather, alike, "gathers of one weight gradient");
        assert_eq!(gather.taps.len(), first.taps.len(), "taps of {gather:?}");
        gather.assert_output_fits();
    }
    assert_eq!(input.len(), first.input_len(), "input of {first:?}");
    assert_eq!(
        grad_output.len(),
        first.output_len(),
        "output gradient of {first:?}"
    );
    let each = first.depth() * first.out_c;
    assert_eq!(
        grad.len(),
        gathers.len() * each,
        "weight gradient of {first:?}"
    );
    if first.rows() == 0 || grad.is_empty() {
        return;
    }
    match precision {
        #[cfg(target_arch = "x86_64")]
        Precision::Bf16 if isa == Isa::Amx => {
            OuterProducts::tiled(gathers, input, grad_output).add_tiled_to(grad);
        }
        Precision::Bf16 => {
            OuterProducts::new::<Pair>(isa, gathers, input, grad_output).add_to::<Pair>(grad);
        }
        Precision::F32 if is_narrow(first, isa) => {
            for (gather, grad) in gathers.iter().zip(grad.chunks_exact_mut(each)) {
                in_place(isa, gather, input, grad_output, grad);
            }
        }
        Precision::F32 => {
            OuterProducts::new::<f32>(isa, gathers, input, grad_output).add_to::<f32>(grad);
        }
    }
}

/// Whether so few channels are read or written that they are better joined with those of the
/// neighbouring pixels than copied into tiles and panels of their own.
fn is_narrow(gather: &Gather, isa: Isa) -> bool {
    Runs::<f32>::new(gather).is_joined() || Fold::of(gather, isa).is_some()
}

fn in_place(isa: Isa, gather: &Gather, input: &[f32], grad_output: &[f32], grad: &mut [f32]) {
    let fold = Fold::of(gather, isa);
    let inner = fold.as_ref().map_or(gather, |fold| &fold.inner);
    let job = Job {
        isa,
        gather: inner,
        runs: Runs::new(inner),
        input,
        grad_output,
        fold: fold.as_ref().map(|fold| (fold, gather)),
    };
    match &fold {
        Some(fold) => {
            let mut folded = vec![0.0; inner.depth() * inner.out_c];
            job.share_out(&mut folded);
            fold.unfold_grad(gather, &folded, grad);
        }
        None => job.share_out(grad),
    }
}

struct Job<'a> {
    isa: Isa,
    gather: &'a Gather,
    runs: Runs<'a, f32>,
    input: &'a [f32],
    grad_output: &'a [f32],
    /// When `gather` is a folded one: how, and the one it was made of, whose output gradients are
    /// in `grad_output`.
    fold: Option<(&'a Fold, &'a Gather)>,
}

impl Job<'_> {
    /// Adds all positions to `grad`, on all threads.
    fn share_out(&self, grad: &mut [f32]) {
        let (rows, depth) = (self.gather.rows(), self.gather.depth());
        if grad.len() <= SMALL_MATRIX && rows >= 2 * BLOCK_ROWS {
            let per_part = rows.div_ceil(PARTS).next_multiple_of(BLOCK_ROWS);
            let parts = rows.div_ceil(per_part);
            let mut partial = vec![0.0f32; grad.len() * (parts - 1)];
            let (first, others) = (&mut *grad, &mut partial);
            let tail = others.par_chunks_mut(first.len().max(1)).enumerate();
            rayon::join(
                || {
                    let first = Shared(first.as_mut_ptr());
                    self.run(0..per_part.min(rows), 0..depth, &first)
                },
                || {
                    tail.for_each(|(p, part)| {
                        let start = (p + 1) * per_part;
                        let end = rows.min(start + per_part);
                        self.run(start..end, 0..depth, &Shared(part.as_mut_ptr()));
                    });
                },
            );
            for part in partial.chunks_exact(grad.len()) {
                for (sum, v) in grad.iter_mut().zip(part) {
                    *sum += v;
                }
            }
        } else {
            let per_part = depth.div_ceil(PARTS).next_multiple_of(micro::MAX_TILE_ROWS);
            let shared = Shared(grad.as_mut_ptr());
            (0..depth.div_ceil(per_part)).into_par_iter().for_each(|p| {
                let part = p * per_part..depth.min((p + 1) * per_part);
                self.run(0..rows, part, &shared);
            });
        }
    }

    /// Sums positions `rows` into gradient rows `depth` (a row is one channel of one tap).
    fn run(&self, rows: std::ops::Range<usize>, depth: std::ops::Range<usize>, grad: &Shared) {
        let (len, out_c) = (self.runs.channels(), self.gather.out_c);
        let mut pairs = Vec::with_capacity(BLOCK_ROWS);
        let mut border = Border::new();
        let mut spread = Vec::new();
        for first in rows.clone().step_by(BLOCK_ROWS) {
            let block = first..rows.end.min(first + BLOCK_ROWS);
            let stretch = Stretch::new(self.gather, block.clone());
            if let Some((fold, unfolded)) = self.fold {
                fold.spread(unfolded, block, self.grad_output, &mut spread);
            }
            let dy = |i: usize| match self.fold {
                Some(_) => &spread[i * out_c..][..out_c],
                None => &self.grad_output[stretch.starts[i].output..][..out_c],
            };
            for run in 0..self.runs.len() {
                let channels = depth.start.max(run * len)..depth.end.min((run + 1) * len);
                if channels.is_empty() {
                    continue;
                }
                border.clear();
                let mut inputs = [self.runs.zeros(); BLOCK_ROWS];
                let window = (self.input, 0);
                self.runs
                    .each_input(window, &stretch, run, &mut border, |range, x, step| {
                        for (i, input) in inputs[range.clone()].iter_mut().enumerate() {
                            *input = x.wrapping_add(i * step);
                        }
                        range.start
                    });
                border.settle(|i, copy| inputs[i] = copy);
                let reads = inputs[..stretch.starts.len()].iter().enumerate();
                let inside = reads.filter(|(_, x)| **x != self.runs.zeros());
                pairs.clear();
                pairs.extend(inside.map(|(i, x)| (*x, dy(i).as_ptr())));
                let first = channels.start - run * len;
                self.tiles(&pairs, run * len, first..first + channels.len(), grad);
            }
        }
    }

    /// Adds the products of `pairs` to gradient rows `first_row + channels`.
    fn tiles(
        &self,
        pairs: &[(*const f32, *const f32)],
        first_row: usize,
        channels: std::ops::Range<usize>,
        grad: &Shared,
    ) {
        let out_c = self.gather.out_c;
        let width = panel_width(self.isa);
        let mut c = channels.start;
        while c < channels.end {
            let left = channels.end - c;
            let rows = [12, 8, 4, 3]
                .into_iter()
                .find(|n| *n <= left)
                .unwrap_or(left);
            for column in (0..out_c).step_by(width) {
                let tile = OuterTile {
                    pairs: pairs.as_ptr(),
                    count: pairs.len(),
                    first_row: c,
                    first_column: column,
                    rows,
                    columns: width.min(out_c - column),
                    grad: grad.at((first_row + c) * out_c + column),
                    grad_stride: out_c,
                };
                // SAFETY: each pair points to the inputs of a run and to `out_c` readable
                // numbers; the tile stays inside the gradient, and no other part has these rows
                // of it.
                unsafe { f32::outer(self.isa, &tile) };
            }
            c += rows;
        }
    }
}
