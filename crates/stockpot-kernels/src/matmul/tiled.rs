//! The product by way of [`crate::tiles`].
//!
//! A block of positions is copied into left tiles, a stretch of the depth at a time, and multiplied
//! by all panels of the task: where taps overlap, a number is copied as often as it is read, which
//! costs less than the tiles' wait for rows all over the memory would.
#![expect(
    unsafe_code,
    reason = "raw pointers of the innermost loops, functions for other processors"
)]

use std::arch::x86_64::*;
use std::cell::RefCell;
use std::ops::Range;

use super::{Job, Shared};
use crate::aligned::Aligned;
use crate::pack::{padded_depth, panel_width, stored_width};
use crate::precision::{Input, Pair};
use crate::rows::{Border, Stretch, Window};
use crate::tiles::{CELLS, SIDE, SUMS, Sums, Tiles};

/// Cells of the depth that are multiplied before sums go to memory.
const DEPTH: usize = 512;

thread_local! {
    /// Left tiles of this thread, kept so that their memory is warm.
    static LEFT: RefCell<Aligned<Pair>> = const { RefCell::new(Aligned::new()) };
}

impl<T: Input> Job<'_, T> {
    pub(super) fn run_tiled(
        &self,
        window: Window<'_, T>,
        stretch: &Stretch,
        panels: Range<usize>,
        output: Shared,
    ) {
        let mut border = Border::new();
        let inputs = self.input_pointers(window, stretch, SIDE, &mut border);
        let rows = Rows {
            inputs: inputs.as_ptr().cast(),
            tiles: stretch.starts.len().div_ceil(SIDE),
            runs: self.runs.len(),
            run_len: self.runs.channels(),
        };
        let depth = self.gather.depth();
        let padded = padded_depth::<Pair>(depth);
        LEFT.with_borrow_mut(|left| {
            let len = rows.tiles * DEPTH.min(padded) * SIDE;
            if left.len() < len {
                left.resize(len);
            }
            for first in (0..depth).step_by(DEPTH) {
                let end = depth.min(first + DEPTH);
                // SAFETY: `T` is `Pair`, as only those are multiplied in tiles, and the input
                // pointers are those of `Runs` (the border is settled and not changed since).
                unsafe { rows.copy(first..end, left) };
                self.multiply(first..end, left, stretch, panels.clone(), output);
            }
        });
    }

    /// Stores or adds the product over cells `part` of the depth.
    fn multiply(
        &self,
        part: Range<usize>,
        left: &[Pair],
        stretch: &Stretch,
        panels: Range<usize>,
        output: Shared,
    ) {
        let depth = self.gather.depth();
        let padded = padded_depth::<Pair>(depth);
        let blocks = part.len().div_ceil(SIDE);
        let (starts, last) = (&stretch.starts, part.end == depth);
        // SAFETY: whoever made the job had the instruction set.
        let tiles = unsafe { Tiles::begin() };
        let mut sums = Sums::new();
        for panel in panels {
            let column = panel * panel_width(self.isa);
            let columns = panel_width(self.isa).min(self.gather.out_c - column);
            let width = stored_width(self.isa, columns);
            let right = &self.panels[column * padded + part.start * width..];
            let right = right[..blocks * SIDE * width].as_ptr().cast();
            let bias = match self.epilogue.bias {
                Some(bias) if last => bias[column..].as_ptr(),
                _ => std::ptr::null(),
            };
            for (i, rows) in starts.chunks(2 * SIDE).enumerate() {
                let tile = |i: usize| left[i * blocks * CELLS..][..blocks * CELLS].as_ptr();
                let second = match rows.len() > SIDE {
                    true => tile(2 * i + 1),
                    false => std::ptr::null(),
                };
                // SAFETY: both operands were cut to their lengths just now. Output offsets lie
                // inside `output` (`assert_output_fits`), and no other task has these rows and
                // columns.
                unsafe {
                    tiles.multiply([tile(2 * i), second], right, width, blocks, &mut sums);
                    let store = Store {
                        columns,
                        add: part.start > 0 || self.epilogue.add,
                        bias,
                        slope: if last { self.epilogue.slope } else { 1.0 },
                    };
                    let rows = rows.iter().map(|row| output.at(row.output + column));
                    store.run(&sums, rows);
                }
            }
        }
    }
}

/// Pointers to what the rows of a product read.
struct Rows {
    /// Tile-major, run-major, as [`Job::input_pointers`] makes them.
    inputs: *const *const Pair,
    tiles: usize,
    runs: usize,
    run_len: usize,
}

impl Rows {
    /// Copies cells `part` of the depth of every row into left tiles; a last tile's cells beyond
    /// are zeros.
    ///
    /// # Safety
    /// The pointers are valid, AVX-512 is available, and `left` has room.
    #[target_feature(enable = "avx512f")]
    unsafe fn copy(&self, part: Range<usize>, left: &mut [Pair]) {
        let blocks = part.len().div_ceil(SIDE);
        assert!(left.len() >= self.tiles * blocks * CELLS);
        for tile in 0..self.tiles {
            let to = left[tile * blocks * CELLS..].as_mut_ptr();
            if !part.len().is_multiple_of(SIDE) {
                // SAFETY: the last of the tiles that there is room for.
                unsafe { to.add((blocks - 1) * CELLS).write_bytes(0, CELLS) };
            }
            let mut at = part.start;
            while at < part.end {
                let (run, cell) = (at / self.run_len, at % self.run_len);
                let end = part.end.min(at + self.run_len - cell);
                // SAFETY: a run of this tile; 16 pointers to `run_len` cells each.
                let from = unsafe { self.inputs.add((tile * self.runs + run) * SIDE) };
                let from: [*const Pair; SIDE] = std::array::from_fn(|r| {
                    // SAFETY: as above.
                    unsafe { (*from.add(r)).add(cell) }
                });
                let first = at;
                while at < end {
                    let place = at - part.start;
                    let count = (SIDE - place % SIDE).min(end - at);
                    // SAFETY: `place` lies inside the tiles; masks leave out what lies beyond
                    // the run and the row.
                    unsafe {
                        let to = to.add(place / SIDE * CELLS + place % SIDE);
                        if count == SIDE {
                            for (r, from) in from.iter().enumerate() {
                                let cells = _mm512_loadu_si512(from.add(at - first).cast());
                                _mm512_store_si512(to.add(r * SIDE).cast(), cells);
                            }
                        } else {
                            let mask = (1u32 << count) as u16 - 1;
                            for (r, from) in from.iter().enumerate() {
                                let from = from.add(at - first).cast();
                                let cells = _mm512_maskz_loadu_epi32(mask, from);
                                _mm512_mask_storeu_epi32(to.add(r * SIDE).cast(), mask, cells);
                            }
                        }
                    }
                    at += count;
                }
            }
        }
    }
}

/// What happens to sums on their way to memory; see [`crate::Epilogue`].
struct Store {
    columns: usize,
    add: bool,
    /// At least `columns` numbers, or null.
    bias: *const f32,
    slope: f32,
}

impl Store {
    /// # Safety
    /// `rows` lead to `columns` numbers each and are at most as many as the rows of `sums`;
    /// AVX-512 is available.
    #[target_feature(enable = "avx512f")]
    unsafe fn run(&self, sums: &Sums, rows: impl Iterator<Item = *mut f32>) {
        // No closures over registers, as in `pack::x86::transposed`.
        let masks = [0, SIDE].map(|first| {
            let lanes = self.columns.saturating_sub(first).min(SIDE);
            ((1u32 << lanes) - 1) as __mmask16
        });
        let mut bias = [_mm512_setzero_ps(); SUMS / SIDE];
        if !self.bias.is_null() {
            for (j, bias) in bias.iter_mut().enumerate() {
                let from = self.bias.wrapping_add(j * SIDE);
                // SAFETY: as many numbers as there are columns.
                *bias = unsafe { _mm512_maskz_loadu_ps(masks[j], from) };
            }
        }
        let slope = _mm512_set1_ps(self.slope);
        for (out, sums) in rows.zip(&sums.0) {
            for j in 0..SUMS / SIDE {
                let out = out.wrapping_add(j * SIDE);
                // SAFETY: the row of sums has 32 numbers; the mask leaves out columns that the
                // output does not have.
                unsafe {
                    let mut v = _mm512_add_ps(_mm512_load_ps(sums[j * SIDE..].as_ptr()), bias[j]);
                    if self.add {
                        v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(masks[j], out));
                    }
                    v = _mm512_max_ps(v, _mm512_mul_ps(v, slope));
                    _mm512_mask_storeu_ps(out, masks[j], v);
                }
            }
        }
    }
}
