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

use crate::gather::Gather;
use crate::isa::Isa;
use crate::micro::{self, OuterTile};
use crate::pack::panel_width;

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
    let rows = gather.rows();
    if rows == 0 || grad.is_empty() {
        return;
    }
    let job = Job {
        isa,
        gather,
        input,
        grad_output,
    };
    if grad.len() <= SMALL_MATRIX && rows >= 2 * BLOCK_ROWS {
        let per_part = rows.div_ceil(PARTS).next_multiple_of(BLOCK_ROWS);
        let parts = rows.div_ceil(per_part);
        let mut partial = vec![0.0f32; grad.len() * (parts - 1)];
        let (first, others) = (&mut *grad, &mut partial);
        let tail = others.par_chunks_mut(first.len().max(1)).enumerate();
        rayon::join(
            || {
                job.run(
                    0..per_part.min(rows),
                    0..gather.depth(),
                    &Shared(first.as_mut_ptr()),
                )
            },
            || {
                tail.for_each(|(p, part)| {
                    let start = (p + 1) * per_part;
                    let end = rows.min(start + per_part);
                    job.run(start..end, 0..gather.depth(), &Shared(part.as_mut_ptr()));
                });
            },
        );
        for part in partial.chunks_exact(grad.len()) {
            for (sum, v) in grad.iter_mut().zip(part) {
                *sum += v;
            }
        }
    } else {
        let depth = gather.depth();
        let per_part = depth.div_ceil(PARTS).next_multiple_of(micro::MAX_TILE_ROWS);
        let shared = Shared(grad.as_mut_ptr());
        (0..depth.div_ceil(per_part)).into_par_iter().for_each(|p| {
            let part = p * per_part..depth.min((p + 1) * per_part);
            job.run(0..rows, part, &shared);
        });
    }
}

struct Job<'a> {
    isa: Isa,
    gather: &'a Gather,
    input: &'a [f32],
    grad_output: &'a [f32],
}

impl Job<'_> {
    /// Sums positions `rows` into gradient rows `depth` (a row is one channel of one tap).
    fn run(&self, rows: std::ops::Range<usize>, depth: std::ops::Range<usize>, grad: &Shared) {
        let g = self.gather;
        let mut pairs = Vec::with_capacity(BLOCK_ROWS);
        for first in rows.clone().step_by(BLOCK_ROWS) {
            let block = first..rows.end.min(first + BLOCK_ROWS);
            for (t, tap) in g.taps.iter().enumerate() {
                let channels = depth.start.max(t * g.in_c)..depth.end.min((t + 1) * g.in_c);
                if channels.is_empty() {
                    continue;
                }
                pairs.clear();
                for row in block.clone() {
                    let at = g.position(row);
                    if let Some(offset) = g.input_at(at, *tap) {
                        let x = &self.input[offset..offset + g.in_c];
                        let dy = &self.grad_output[g.output_at(at)..][..g.out_c];
                        pairs.push((x.as_ptr(), dy.as_ptr()));
                    }
                }
                let start = channels.start - t * g.in_c;
                self.tap(&pairs, t, start..start + channels.len(), grad);
            }
        }
    }

    fn tap(
        &self,
        pairs: &[(*const f32, *const f32)],
        tap: usize,
        channels: std::ops::Range<usize>,
        grad: &Shared,
    ) {
        let g = self.gather;
        let width = panel_width(self.isa);
        let mut c = channels.start;
        while c < channels.end {
            let left = channels.end - c;
            let rows = [12, 8, 4, 3]
                .into_iter()
                .find(|n| *n <= left)
                .unwrap_or(left);
            for column in (0..g.out_c).step_by(width) {
                let tile = OuterTile {
                    pairs: pairs.as_ptr(),
                    count: pairs.len(),
                    first_row: c,
                    first_column: column,
                    rows,
                    columns: width.min(g.out_c - column),
                    grad: grad.at((tap * g.in_c + c) * g.out_c + column),
                    grad_stride: g.out_c,
                };
                // SAFETY: each pair points to `in_c` and `out_c` readable numbers, the tile stays
                // inside the gradient, and no other part has these rows of it.
                unsafe { micro::outer_tile(self.isa, &tile) };
            }
            c += rows;
        }
    }
}
