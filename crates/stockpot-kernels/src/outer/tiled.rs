//! Weight gradients by way of [`crate::tiles`].
//!
//! Output gradients become left tiles (a row is a channel of the output, its cells are positions);
//! for each tap and 32 input channels the inputs that the positions meet are copied into a panel,
//! zeros where the tap leaves the picture. The sums come out transposed and are turned on their way
//! into the gradient.
#![expect(
    unsafe_code,
    reason = "raw pointers of the innermost loops, functions for other processors"
)]

use std::arch::x86_64::*;
use std::cell::RefCell;
use std::ops::Range;

use rayon::prelude::*;

use super::{CeilingDivision, Laid, Line, OuterProducts, PARTS, SMALL_MATRIX, Shared, Slabs};
use super::{cut, pictures_of, sum_stretches};
use crate::aligned::Aligned;
use crate::gather::Gather;
use crate::isa::Isa;
use crate::pack::x86::transposed;
use crate::precision::{INTERLEAVED, Pair};
use crate::tiles::{CELLS, SIDE, SUMS, Sums, Tiles};

/// Cells of the depth (positions of two pictures) of a slab, where a line is not longer.
const DEPTH: usize = 512;
/// Input channels of a part, where the kernel has a stride and where not, and output channels: what
/// a part lays out stays in a second cache of 2 MiB.
const CHANNELS: [usize; 2] = [64, 128];
const COLUMNS: usize = 512;

/// What a thread lays out, kept so that its memory is warm.
struct Scratch {
    inputs: Aligned<Pair>,
    left: Aligned<Pair>,
    right: Aligned<Pair>,
}

thread_local! {
    static SCRATCH: RefCell<Scratch> = const {
        RefCell::new(Scratch {
            inputs: Aligned::new(),
            left: Aligned::new(),
            right: Aligned::new(),
        })
    };
}

/// Slabs, input channels and output channels of a task; both begin at multiples of [`SUMS`].
#[derive(Clone)]
struct Part {
    slabs: Range<usize>,
    channels: Range<usize>,
    columns: Range<usize>,
}

/// The positions of a slab.
struct Slab {
    groups: Range<usize>,
    lines: Range<usize>,
    /// Input rows that the lines touch.
    rows: Range<usize>,
    /// Tiles that the positions fill, the last perhaps not wholly.
    blocks: usize,
}

impl Slabs {
    /// Slabs of about [`DEPTH`] positions.
    fn tiled(g: &Gather) -> Self {
        let groups = g.batch.div_ceil(Pair::PICTURES);
        let positions = g.grid_h * g.grid_w;
        let groups_each = (DEPTH / positions).clamp(1, groups);
        let lines_each = match positions <= DEPTH {
            true => g.grid_h,
            false => (DEPTH / g.grid_w).clamp(1, g.grid_h),
        };
        let per_group = g.grid_h.div_ceil(lines_each);
        Self {
            groups,
            groups_each,
            lines_each,
            chunk_lines: lines_each,
            per_group,
            count: groups.div_ceil(groups_each) * per_group,
        }
    }
}

impl<'a> OuterProducts<'a> {
    /// As [`OuterProducts::new`], for [`OuterProducts::add_tiled_to`].
    pub(crate) fn tiled(gathers: &'a [Gather], input: &'a [f32], grad_output: &'a [f32]) -> Self {
        Self {
            isa: Isa::Amx,
            gathers,
            input,
            grad_output,
            slabs: Slabs::tiled(&gathers[0]),
        }
    }

    /// Adds the gradients, `[gather, tap, in_c, out_c]`, on all threads.
    pub(crate) fn add_tiled_to(&self, grad: &mut [f32]) {
        let g = &self.gathers[0];
        let (len, slabs) = (grad.len(), self.slabs.count);
        let whole = Part {
            slabs: 0..slabs,
            channels: 0..g.in_c,
            columns: 0..g.out_c,
        };
        if len <= SMALL_MATRIX && slabs >= PARTS {
            sum_stretches(grad, PARTS, |i, sums| {
                let part = Part {
                    slabs: cut(slabs, PARTS, i),
                    ..whole.clone()
                };
                self.run_tiled(&part, Shared(sums.as_mut_ptr()));
            });
            return;
        }
        let (mut channels, mut columns) = (CHANNELS[usize::from(g.stride == 1)], COLUMNS);
        let parts = |channels, columns| g.in_c.div_ceil(channels) * g.out_c.div_ceil(columns);
        while parts(channels, columns) < PARTS && columns > 4 * SUMS {
            columns /= 2;
        }
        while parts(channels, columns) < PARTS && channels > SUMS {
            channels /= 2;
        }
        let shared = Shared(grad.as_mut_ptr());
        let across = g.out_c.div_ceil(columns);
        let all = (0..parts(channels, columns)).into_par_iter();
        all.for_each(|i| {
            let (c, n) = (i / across * channels, i % across * columns);
            let part = Part {
                channels: c..g.in_c.min(c + channels),
                columns: n..g.out_c.min(n + columns),
                ..whole.clone()
            };
            self.run_tiled(&part, shared);
        });
    }

    fn run_tiled(&self, part: &Part, grad: Shared) {
        let g = &self.gathers[0];
        SCRATCH.with_borrow_mut(|scratch| {
            for index in part.slabs.clone() {
                let (groups, lines) = self.slabs.slab(index, g.grid_h);
                let positions = groups.len() * lines.len() * g.grid_w;
                let slab = Slab {
                    rows: self.rows(&lines),
                    blocks: positions.div_ceil(SIDE),
                    groups,
                    lines,
                };
                self.lay_inputs(&slab, part, &mut scratch.inputs);
                self.lay_left(&slab, part, &mut scratch.left);
                self.tiled_products(&slab, part, scratch, grad);
            }
        });
    }

    /// The part's input channels, 16 to a tile: `[tile, group, row, column, channel]`.
    fn lay_inputs(&self, slab: &Slab, part: &Part, inputs: &mut Aligned<Pair>) {
        let g = &self.gathers[0];
        let tile_stride = self.tile_stride(slab);
        let len = part.channels.len().div_ceil(SIDE) * tile_stride;
        if inputs.len() < len {
            inputs.resize(len);
        }
        for (i, group) in slab.groups.clone().enumerate() {
            for (at, y) in slab.rows.clone().enumerate() {
                let start = |picture: usize| {
                    let pixel = (picture * g.in_h + y) * g.in_w;
                    self.input[pixel * g.in_c + part.channels.start..].as_ptr()
                };
                let to = (i * slab.rows.len() + at) * g.in_w * SIDE;
                let line = Line {
                    pictures: pictures_of::<Pair>(g.batch, group, start),
                    pixels: g.in_w,
                    stride: g.in_c,
                    numbers: part.channels.len(),
                    part: SIDE,
                    to: inputs[to..].as_mut_ptr(),
                    part_stride: tile_stride,
                };
                // SAFETY: the part's channels of each of the row's pixels; `inputs` has room for
                // every tile of every row of every group.
                unsafe { Pair::lay_out(self.isa, &line) };
            }
        }
    }

    fn tile_stride(&self, slab: &Slab) -> usize {
        slab.groups.len() * slab.rows.len() * self.gathers[0].in_w * SIDE
    }

    /// The part's output gradients, 16 channels and 16 positions to a tile:
    /// `[gather, channel / 16, position / 16, channel, position]`.
    fn lay_left(&self, slab: &Slab, part: &Part, left: &mut Aligned<Pair>) {
        let g = &self.gathers[0];
        let tiles = part.columns.len().div_ceil(SIDE);
        let len = self.gathers.len() * tiles * slab.blocks * CELLS;
        if left.len() < len {
            left.resize(len);
        }
        let none = self.grad_output.as_ptr();
        let mut pixels = Vec::with_capacity(slab.blocks * SIDE);
        for (k, gather) in self.gathers.iter().enumerate() {
            pixels.clear();
            for group in slab.groups.clone() {
                for gy in slab.lines.clone() {
                    let start = |picture: usize| {
                        let at = gather.output_at((picture, gy, 0)) + part.columns.start;
                        self.grad_output[at..].as_ptr()
                    };
                    let pictures = pictures_of::<Pair>(g.batch, group, start);
                    let there = pictures.map(|p| !p.is_null());
                    let step = gather.out_step * g.out_c;
                    pixels.extend((0..g.grid_w).map(|gx| Pixel {
                        from: pictures.map(|p| match p.is_null() {
                            true => none,
                            false => p.wrapping_add(gx * step),
                        }),
                        there,
                    }));
                }
            }
            let nothing = Pixel {
                from: [none; 2],
                there: [false; 2],
            };
            pixels.resize(slab.blocks * SIDE, nothing);
            let (blocks, _) = pixels.as_chunks::<SIDE>();
            for (b, pixels) in blocks.iter().enumerate() {
                for tile in 0..tiles {
                    let first = tile * SIDE;
                    let columns = (part.columns.len() - first).min(SIDE);
                    let to = ((k * tiles + tile) * slab.blocks + b) * CELLS;
                    // SAFETY: the grid's outputs lie inside the output (`assert_output_fits`), the
                    // part's columns inside their pixels; the processor has the instructions.
                    unsafe { lay_tile(pixels, first, columns, &mut left[to..][..CELLS]) };
                }
            }
        }
    }

    /// Adds what a slab contributes.
    fn tiled_products(&self, slab: &Slab, part: &Part, scratch: &mut Scratch, grad: Shared) {
        let g = &self.gathers[0];
        let Scratch {
            inputs,
            left,
            right,
        } = scratch;
        let len = slab.blocks * SIDE * SUMS;
        if right.len() < len {
            right.resize(len);
        }
        // SAFETY: these products are made for no other instruction set.
        let tiles = unsafe { Tiles::begin() };
        let mut sums = Sums::new();
        let left_tiles = part.columns.len().div_ceil(SIDE);
        let mut row = 0;
        for (k, gather) in self.gathers.iter().enumerate() {
            let left = &left[k * left_tiles * slab.blocks * CELLS..];
            let left =
                |tile: usize| left[tile * slab.blocks * CELLS..][..slab.blocks * CELLS].as_ptr();
            for tap in &gather.taps {
                for first in part.channels.clone().step_by(SUMS) {
                    let channels = (part.channels.end - first).min(SUMS);
                    let width = channels.next_multiple_of(SIDE);
                    let from = (first - part.channels.start) / SIDE;
                    if !self.lay_right(slab, *tap, from, width, inputs, right) {
                        continue;
                    }
                    let right = right[..slab.blocks * SIDE * width].as_ptr();
                    for tile in (0..left_tiles).step_by(2) {
                        let second = match tile + 1 < left_tiles {
                            true => left(tile + 1),
                            false => std::ptr::null(),
                        };
                        let column = tile * SIDE;
                        let columns = (part.columns.len() - column).min(SUMS);
                        let at = (row + first) * g.out_c + part.columns.start + column;
                        // SAFETY: both operands were cut to their lengths just now; the rectangle
                        // stays inside the gradient, and no other part has it.
                        unsafe {
                            tiles.multiply(
                                [left(tile), second],
                                right,
                                width,
                                slab.blocks,
                                &mut sums,
                            );
                            add_turned(
                                &sums,
                                [channels, columns],
                                grad.0.wrapping_add(at),
                                g.out_c,
                            );
                        }
                    }
                }
                row += g.in_c;
            }
        }
    }

    /// Copies what the positions meet at a tap, `width` channels from input tile `tile` on; returns
    /// false, having done no harm, if that is nothing.
    fn lay_right(
        &self,
        slab: &Slab,
        [dy, dx]: [i32; 2],
        tile: usize,
        width: usize,
        inputs: &[Pair],
        right: &mut [Pair],
    ) -> bool {
        let g = &self.gathers[0];
        // Grid columns whose input column lies inside.
        let (dx, stride) = (dx as isize, g.stride as isize);
        let first = (-dx).max(0).div_ceil_by(stride) as usize;
        let end = (g.in_w as isize - dx).max(0).div_ceil_by(stride) as usize;
        let columns = first.min(g.grid_w)..end.min(g.grid_w);
        let mut met = false;
        let lines = slab.lines.len();
        let positions = slab.groups.len() * lines * g.grid_w;
        let (filled, rest) = right[..slab.blocks * SIDE * width].split_at_mut(positions * width);
        for (i, group) in filled
            .chunks_exact_mut(lines * g.grid_w * width)
            .enumerate()
        {
            for (gy, to) in slab
                .lines
                .clone()
                .zip(group.chunks_exact_mut(g.grid_w * width))
            {
                let y = (gy * g.stride) as isize + dy as isize;
                if y < 0 || y >= g.in_h as isize || columns.is_empty() {
                    to.fill(Pair::ZERO);
                    continue;
                }
                met = true;
                let row = i * slab.rows.len() + y as usize - slab.rows.start;
                let x = ((columns.start * g.stride) as isize + dx) as usize;
                let from = (row * g.in_w + x) * SIDE;
                to[..columns.start * width].fill(Pair::ZERO);
                to[columns.end * width..].fill(Pair::ZERO);
                let to = &mut to[columns.start * width..columns.end * width];
                let step = g.stride * SIDE;
                let tile_stride = self.tile_stride(slab);
                let last = (columns.len() - 1) * step + SIDE;
                let from: [&[Pair]; 2] = std::array::from_fn(|t| match t * SIDE < width {
                    true => &inputs[(tile + t) * tile_stride + from..][..last],
                    false => &[],
                });
                // SAFETY: both tiles were cut to what is read; the processor has the instructions.
                unsafe { copy_line(from, step, width, to) };
            }
        }
        // Positions that fill up the last tile.
        rest.fill(Pair::ZERO);
        met
    }
}

/// Where an output gradient lies in both pictures, and which of them there are.
#[derive(Clone, Copy)]
struct Pixel {
    from: [*const f32; 2],
    there: [bool; 2],
}

/// A left tile of 16 pixels: `columns` channels from `first` on.
///
/// # Safety
/// What is there has these channels; the processor has the instructions.
#[target_feature(enable = "avx512bf16,avx512f,avx512bw")]
unsafe fn lay_tile(pixels: &[Pixel; SIDE], first: usize, columns: usize, to: &mut [Pair]) {
    assert!(to.len() == CELLS && columns <= SIDE);
    let mask = ((1u32 << columns) - 1) as __mmask16;
    // SAFETY: 64 bytes are read.
    let places = unsafe { _mm512_loadu_si512(INTERLEAVED.as_ptr().cast()) };
    // No closures, as in `transposed`.
    let mut rows = [_mm512_setzero_si512(); SIDE];
    for (pixel, row) in pixels.iter().zip(&mut rows) {
        let [a, b] = pixel.from;
        let masks = pixel.there.map(|there| if there { mask } else { 0 });
        // SAFETY: the caller's promise; what is masked out is not read. Registers of the same
        // size, any bits are valid in both.
        unsafe {
            let a = _mm512_maskz_loadu_ps(masks[0], a.wrapping_add(first));
            let b = _mm512_maskz_loadu_ps(masks[1], b.wrapping_add(first));
            let both = std::mem::transmute::<__m512bh, __m512i>(_mm512_cvtne2ps_pbh(b, a));
            *row = _mm512_permutexvar_epi16(places, both);
        }
    }
    for (row, to) in transposed(rows).iter().zip(to.chunks_exact_mut(SIDE)) {
        // SAFETY: 16 cells of four bytes.
        unsafe { _mm512_storeu_si512(to.as_mut_ptr().cast(), *row) };
    }
}

/// Copies cells of one or two tiles, `step` apart, side by side.
///
/// # Safety
/// Each of the `width / 16` tiles has 16 cells at every step that `to` has room for; the processor
/// has the instructions.
#[target_feature(enable = "avx512f")]
unsafe fn copy_line(from: [&[Pair]; 2], step: usize, width: usize, to: &mut [Pair]) {
    for (i, to) in to.chunks_exact_mut(width).enumerate() {
        for (from, to) in from.iter().zip(to.chunks_exact_mut(SIDE)) {
            // SAFETY: the caller's promise.
            unsafe {
                let cells = _mm512_loadu_si512(from.as_ptr().add(i * step).cast());
                _mm512_storeu_si512(to.as_mut_ptr().cast(), cells);
            }
        }
    }
}

/// `grad[c][n] += sums[n][c]` for the first `channels` and `columns`.
///
/// # Safety
/// `grad` leads to that many rows, `stride` apart; the processor has the instructions.
#[target_feature(enable = "avx512f")]
unsafe fn add_turned(sums: &Sums, [channels, columns]: [usize; 2], grad: *mut f32, stride: usize) {
    for n in (0..columns).step_by(SIDE) {
        let lanes = (columns - n).min(SIDE);
        let mask = ((1u32 << lanes) - 1) as __mmask16;
        for c in (0..channels).step_by(SIDE) {
            let mut rows = [_mm512_setzero_si512(); SIDE];
            for (i, row) in rows.iter_mut().enumerate() {
                // SAFETY: 16 of the 32 sums of a row.
                *row = unsafe { _mm512_load_si512(sums.0[n + i][c..][..SIDE].as_ptr().cast()) };
            }
            let turned = transposed(rows);
            // Unrolled with a test rather than cut short, so that sums stay in registers.
            for (i, row) in turned.into_iter().enumerate() {
                if c + i >= channels {
                    continue;
                }
                let to = grad.wrapping_add((c + i) * stride + n);
                // SAFETY: the caller's promise; columns that are not there are masked out.
                unsafe {
                    let old = _mm512_maskz_loadu_ps(mask, to);
                    let sum = _mm512_add_ps(old, _mm512_castsi512_ps(row));
                    _mm512_mask_storeu_ps(to, mask, sum);
                }
            }
        }
    }
}
