//! Weight gradients: the transposed product `dw[tap, c, n] += sum over positions of x * dy`.
//!
//! Neither side is packed: at a position the input channels and the output gradients are
//! contiguous already. Positions are taken in blocks that stay in the second cache. Small matrices
//! are summed per stretch of positions and added up in a fixed order; large ones are split by
//! weights. The split depends on shapes only, never on the number of threads.
#![expect(
    unsafe_code,
    reason = "disjoint parts of one gradient are written from several threads"
)]

use rayon::prelude::*;

use crate::fold::Fold;
use crate::gather::Gather;
use crate::isa::Isa;
use crate::micro::{self, Cell, OuterTile};
use crate::pack::panel_width;
use crate::precision::{Pair, Precision, interleave, interleave_rows};
use crate::rows::{Border, Runs, Stretch};

/// Positions of a block.
const BLOCK_ROWS: usize = 256;
/// Gradients up to this many numbers are summed by stretches of positions.
const SMALL_MATRIX: usize = 1 << 18;
/// From this many output channels on, the same channels of a block's positions lie so far apart
/// that they fight for few cache sets, and are copied together first.
const SCATTERED: usize = 1024;
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
    weight_grad_for(Isa::best(), gather, input, grad_output, grad);
}

/// [`weight_grad`] on a given instruction set (which must be available).
///
/// # Panics
/// As [`weight_grad`].
pub fn weight_grad_for(
    isa: Isa,
    gather: &Gather,
    input: &[f32],
    grad_output: &[f32],
    grad: &mut [f32],
) {
    weight_grad_in(isa, Precision::F32, gather, input, grad_output, grad);
}

/// [`weight_grad_for`] with both inputs rounded to `precision`; sums are `f32`.
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
    assert!(
        Isa::available().contains(&isa),
        "this processor has no {}",
        isa.name()
    );
    assert_eq!(input.len(), gather.input_len(), "input of {gather:?}");
    assert_eq!(
        grad_output.len(),
        gather.output_len(),
        "output gradient of {gather:?}"
    );
    assert_eq!(
        grad.len(),
        gather.depth() * gather.out_c,
        "weight gradient of {gather:?}"
    );
    gather.assert_output_fits();
    if gather.rows() == 0 || grad.is_empty() {
        return;
    }
    match Fold::of(gather, isa) {
        Some(fold) => {
            let job = Job {
                isa,
                precision,
                gather: &fold.inner,
                runs: Runs::new(&fold.inner),
                input,
                grad_output,
                fold: Some((&fold, gather)),
            };
            let mut folded = vec![0.0; fold.inner.depth() * fold.inner.out_c];
            job.share_out(&mut folded);
            fold.unfold_grad(gather, &folded, grad);
        }
        None => {
            let job = Job {
                isa,
                precision,
                gather,
                runs: Runs::new(gather),
                input,
                grad_output,
                fold: None,
            };
            job.share_out(grad);
        }
    }
}

struct Job<'a> {
    isa: Isa,
    precision: Precision,
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
        let scattered = out_c >= SCATTERED;
        let width = if scattered {
            panel_width(self.isa)
        } else {
            out_c
        };
        let mut pairs = Vec::with_capacity(BLOCK_ROWS);
        let mut grads = Vec::new();
        let mut halves = Halves::default();
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
            let count = stretch.starts.len();
            match self.precision {
                Precision::Bf16 => halves.take_grads(count, out_c, width, dy),
                Precision::F32 if scattered => lay_out_grads(count, out_c, width, dy, &mut grads),
                Precision::F32 => {}
            }
            for run in 0..self.runs.len() {
                let channels = depth.start.max(run * len)..depth.end.min((run + 1) * len);
                if channels.is_empty() {
                    continue;
                }
                pairs.clear();
                border.clear();
                let mut inputs = [self.runs.zeros(); BLOCK_ROWS];
                let window = (self.input, 0);
                self.runs
                    .each_input(window, &stretch, run, &mut border, |i, x| {
                        inputs[i] = x;
                        i
                    });
                border.settle(|i, copy| inputs[i] = copy);
                let inputs = &inputs[..stretch.starts.len()];
                let first = channels.start - run * len;
                let part = first..first + channels.len();
                match self.precision {
                    Precision::F32 => {
                        let reads = inputs.iter().enumerate();
                        let inside = reads.filter(|(_, x)| **x != self.runs.zeros());
                        if scattered {
                            let grad = |i: usize| grads[i * width..].as_ptr();
                            pairs.extend(inside.map(|(i, x)| (*x, grad(i))));
                        } else {
                            pairs.extend(inside.map(|(i, x)| (*x, dy(i).as_ptr())));
                        }
                        let operands = Operands {
                            pairs: &pairs,
                            first_channel: 0,
                            in_panels: scattered.then_some(count),
                        };
                        self.tiles(&operands, run * len, part, grad);
                    }
                    Precision::Bf16 => {
                        // SAFETY: inputs are what `Runs` gave for `len` channels, and the border
                        // has not been changed since it was settled.
                        unsafe { halves.take_inputs(inputs, self.runs.zeros(), part.clone()) };
                        let operands = Operands {
                            pairs: &halves.pairs,
                            first_channel: part.start,
                            in_panels: scattered.then_some(count.div_ceil(2)),
                        };
                        self.tiles(&operands, run * len, part, grad);
                    }
                }
            }
        }
    }

    /// Adds the products of `operands` to gradient rows `first_row + channels`.
    fn tiles<T: Cell>(
        &self,
        operands: &Operands<'_, T>,
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
                    pairs: operands.pairs.as_ptr(),
                    count: operands.pairs.len(),
                    first_row: c - operands.first_channel,
                    first_column: operands.in_panels.map_or(column, |count| column * count),
                    rows,
                    columns: width.min(out_c - column),
                    grad: grad.at((first_row + c) * out_c + column),
                    grad_stride: out_c,
                };
                // SAFETY: each pair points to the inputs of `channels` and to `out_c` readable
                // cells, or to its place in the first panel, from which the offset leads to its
                // place in this one; the tile stays inside the gradient, and no other part has
                // these rows of it.
                unsafe { T::outer(self.isa, &tile) };
            }
            c += rows;
        }
    }
}

/// What an outer product of a block reads.
struct Operands<'a, T> {
    /// Input and output gradient of each position, or pair of positions.
    pairs: &'a [(*const T, *const T)],
    /// The channel that inputs start at.
    first_channel: usize,
    /// Set where the output gradients lie panel by panel (a panel's columns of every position,
    /// then the next panel's): the number of positions. Otherwise all columns of a position are
    /// neighbours.
    in_panels: Option<usize>,
}

/// Copies output gradients panel by panel.
fn lay_out_grads<'a>(
    count: usize,
    out_c: usize,
    width: usize,
    dy: impl Fn(usize) -> &'a [f32],
    grads: &mut Vec<f32>,
) {
    grads.resize(count * out_c.next_multiple_of(width), 0.0);
    for i in 0..count {
        for (panel, columns) in dy(i).chunks(width).enumerate() {
            grads[(panel * count + i) * width..][..columns.len()].copy_from_slice(columns);
        }
    }
}

/// Neighbouring positions of a block side by side, rounded: what a `bf16` outer product reads.
#[derive(Default)]
struct Halves {
    inputs: Vec<Pair>,
    grads: Vec<Pair>,
    width: usize,
    pairs: Vec<(*const Pair, *const Pair)>,
    /// Inputs of the pairs of positions that have any.
    rows: Vec<[*const f32; 2]>,
    /// Which pairs of the block they are.
    places: Vec<usize>,
}

impl Halves {
    /// The output gradients `dy(0)`, `dy(1)`, ... of `count` positions, `out_c` numbers each, in
    /// panels of `width` columns.
    fn take_grads<'a>(
        &mut self,
        count: usize,
        out_c: usize,
        width: usize,
        dy: impl Fn(usize) -> &'a [f32],
    ) {
        self.width = width;
        let both = count.div_ceil(2);
        self.grads
            .resize(both * out_c.next_multiple_of(width), Pair::ZERO);
        let zeros = if count % 2 == 1 {
            vec![0.0; out_c]
        } else {
            Vec::new()
        };
        let row = |i: usize| {
            let first = dy(2 * i);
            let second = if 2 * i + 1 < count {
                dy(2 * i + 1)
            } else {
                &zeros
            };
            [&first[..out_c], &second[..out_c]]
        };
        if width == out_c {
            let rows = (0..both).map(|i| row(i).map(<[f32]>::as_ptr));
            // SAFETY: the pointers are those of slices of `out_c` numbers.
            unsafe { interleave_rows(rows, out_c, &mut self.grads) };
            return;
        }
        for i in 0..both {
            let [first, second] = row(i);
            let panels = first.chunks(width).zip(second.chunks(width));
            for (panel, (first, second)) in panels.enumerate() {
                let cells = &mut self.grads[(panel * both + i) * width..][..first.len()];
                interleave(first, second, cells);
            }
        }
    }

    /// Channels `channels` of the inputs; pairs of two `zeros` are left out.
    ///
    /// # Safety
    /// Every pointer leads to at least `channels.end` numbers.
    unsafe fn take_inputs(
        &mut self,
        inputs: &[*const f32],
        zeros: *const f32,
        channels: std::ops::Range<usize>,
    ) {
        let len = channels.len();
        self.inputs
            .resize(inputs.len().div_ceil(2) * len, Pair::ZERO);
        self.rows.clear();
        self.places.clear();
        for (i, both) in inputs.chunks(2).enumerate() {
            let both = [both[0], both.get(1).copied().unwrap_or(zeros)];
            if both != [zeros; 2] {
                self.rows.push(both.map(|x| x.wrapping_add(channels.start)));
                self.places.push(i);
            }
        }
        // SAFETY: the caller's promise.
        unsafe { interleave_rows(self.rows.iter().copied(), len, &mut self.inputs) };
        self.pairs.clear();
        let inputs = self.inputs.chunks_exact(len);
        let pairs = inputs.zip(&self.places);
        self.pairs.extend(pairs.map(|(cells, place)| {
            let grads = &self.grads[place * self.width..];
            (cells.as_ptr(), grads.as_ptr())
        }));
    }
}
