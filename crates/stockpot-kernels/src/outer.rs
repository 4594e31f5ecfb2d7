//! Weight gradients as outer products of operands that are laid out for them first.
//!
//! A cell of a product joins the same place of neighbouring *pictures* (two for `bf16`, one for
//! `f32`), so that one copy of the input serves every tap of the kernel and every phase of an
//! up-sampling convolution: a tap only shifts pointers, and where it leaves the picture it is left
//! out. Input channels lie in tiles, output gradients in panels, both as the innermost loop reads
//! them: one after the other.
//!
//! Positions are taken in *slabs* whose copies stay in the second cache, and within a slab in
//! chunks whose tile stays in the first. Start with [`OuterProducts::add_to`].
#![expect(
    unsafe_code,
    reason = "disjoint parts of one gradient are written from several threads"
)]

use std::cell::{Cell, RefCell};
use std::ops::Range;
use std::thread::LocalKey;

use rayon::prelude::*;

use crate::aligned::Aligned;
use crate::gather::Gather;
use crate::isa::Isa;
use crate::micro::{self, MAX_TILE_ROWS, OuterTile};
use crate::pack::panel_width;
use crate::precision::Pair;

/// Positions of a chunk: 192 x 12 channels x 4 bytes are 9 KiB of a 32 KiB first cache.
const CHUNK: usize = 192;
/// Cells of a slab: 384 KiB of a 1 MiB second cache.
const SLAB_CELLS: usize = 96 << 10;
/// Gradients up to this many numbers are summed by stretches of positions, larger ones are
/// shared out by input channels.
const SMALL_MATRIX: usize = 1 << 18;
/// Fixed number of stretches or parts.
const PARTS: usize = 8;

/// Pixels of a line on their way into tiles or panels.
#[derive(Clone, Copy)]
pub(crate) struct Line<T> {
    /// The first pixel in each picture of a cell; null for a picture that is not there.
    pub pictures: [*const f32; 2],
    /// Pixels, and the numbers from one to the next.
    pub pixels: usize,
    pub stride: usize,
    /// Numbers of a pixel, and the width of the parts they are cut into.
    pub numbers: usize,
    pub part: usize,
    /// The first pixel's place in the first part; its neighbour is `part` cells on, the next part
    /// `part_stride`.
    pub to: *mut T,
    pub part_stride: usize,
}

/// Cells that can be laid out.
pub(crate) trait Laid: micro::Cell {
    /// Pictures that share a cell, at most two.
    const PICTURES: usize;

    /// Memory of this thread that is kept from call to call: input cells, gradient cells.
    fn scratch() -> &'static LocalKey<RefCell<[Aligned<Self>; 2]>>;

    /// Copies a line.
    ///
    /// # Safety
    /// The pointers lead to as much as the fields say; `isa` is available.
    unsafe fn lay_out(isa: Isa, line: &Line<Self>);
}

#[derive(Clone, Copy)]
struct Shared(*mut f32);
// SAFETY: parts write disjoint rows of the gradient.
unsafe impl Send for Shared {}
// SAFETY: as above.
unsafe impl Sync for Shared {}

/// The weight gradients of gathers that visit the same input: a convolution, or the phases of an
/// up-sampling one.
#[derive(Clone, Copy)]
pub(crate) struct OuterProducts<'a> {
    isa: Isa,
    gathers: &'a [Gather],
    input: &'a [f32],
    grad_output: &'a [f32],
    slabs: Slabs,
}

/// How positions are cut up; depends on shapes only.
#[derive(Clone, Copy)]
struct Slabs {
    /// Cells over the batch: groups of pictures.
    groups: usize,
    /// Groups of a slab; more than one only if a slab has all lines of each.
    groups_each: usize,
    /// Lines of a slab, and of a chunk of it.
    lines_each: usize,
    chunk_lines: usize,
    /// Slabs of a group (of `groups_each` groups).
    per_group: usize,
    count: usize,
}

impl Slabs {
    fn of(g: &Gather, gathers: usize, pictures: usize) -> Self {
        let groups = g.batch.div_ceil(pictures);
        let positions = g.grid_h * g.grid_w;
        if positions <= CHUNK {
            let groups_each = (CHUNK / positions).min(groups);
            return Self {
                groups,
                groups_each,
                lines_each: g.grid_h,
                chunk_lines: g.grid_h,
                per_group: 1,
                count: groups.div_ceil(groups_each),
            };
        }
        let chunks = g.grid_h.div_ceil((CHUNK / g.grid_w).max(1));
        let chunk_lines = g.grid_h.div_ceil(chunks);
        let line_cells = g.stride * g.in_w * g.in_c + gathers * g.grid_w * g.out_c;
        let chunks_each = (SLAB_CELLS / (line_cells * chunk_lines)).max(1);
        let lines_each = (chunks_each * chunk_lines).min(g.grid_h);
        let per_group = g.grid_h.div_ceil(lines_each);
        Self {
            groups,
            groups_each: 1,
            lines_each,
            chunk_lines,
            per_group,
            count: groups * per_group,
        }
    }

    /// Groups and lines of slab `index`.
    fn slab(&self, index: usize, grid_h: usize) -> (Range<usize>, Range<usize>) {
        let first = index / self.per_group * self.groups_each;
        let line = index % self.per_group * self.lines_each;
        (
            first..self.groups.min(first + self.groups_each),
            line..grid_h.min(line + self.lines_each),
        )
    }
}

/// Slab `range` of a task, tiles of input channels.
struct Part {
    slabs: Range<usize>,
    tiles: Range<usize>,
}

/// Where the laid out operands of a slab are.
struct Operands<T> {
    groups: Range<usize>,
    lines: Range<usize>,
    /// Input rows that the lines touch.
    rows: Range<usize>,
    inputs: *const T,
    /// Cells from one tile to the next.
    tile_stride: usize,
    grads: *const T,
    /// Cells from one panel to the next.
    panel_stride: usize,
    /// Cells from one gather's panels to the next one's.
    gather_stride: usize,
}

impl<'a> OuterProducts<'a> {
    /// Operands that fit `gathers`, which all have positions, channels and columns and differ in
    /// nothing but where their (equally many) taps and their outputs are.
    pub(crate) fn new<T: Laid>(
        isa: Isa,
        gathers: &'a [Gather],
        input: &'a [f32],
        grad_output: &'a [f32],
    ) -> Self {
        Self {
            isa,
            gathers,
            input,
            grad_output,
            slabs: Slabs::of(&gathers[0], gathers.len(), T::PICTURES),
        }
    }

    /// Adds the gradients, `[gather, tap, in_c, out_c]`, on all threads.
    pub(crate) fn add_to<T: Laid>(&self, grad: &mut [f32]) {
        let tiles = self.gathers[0].in_c.div_ceil(MAX_TILE_ROWS);
        let (len, slabs) = (grad.len(), self.slabs.count);
        if len <= SMALL_MATRIX && slabs >= PARTS.min(tiles) {
            let parts = PARTS.min(slabs);
            sum_stretches(grad, parts, |i, sums| {
                let part = Part {
                    slabs: cut(slabs, parts, i),
                    tiles: 0..tiles,
                };
                self.run::<T>(&part, Shared(sums.as_mut_ptr()));
            });
        } else {
            let parts = PARTS.min(tiles);
            let shared = Shared(grad.as_mut_ptr());
            (0..parts).into_par_iter().for_each(|i| {
                let part = Part {
                    slabs: 0..slabs,
                    tiles: cut(tiles, parts, i),
                };
                self.run::<T>(&part, shared);
            });
        }
    }

    fn run<T: Laid>(&self, part: &Part, grad: Shared) {
        T::scratch().with_borrow_mut(|[inputs, grads]| {
            let mut pairs = Vec::with_capacity(2 * CHUNK);
            for index in part.slabs.clone() {
                let (groups, lines) = self.slabs.slab(index, self.gathers[0].grid_h);
                let operands = self.lay_out(groups, lines, part, inputs, grads);
                for first in operands.lines.clone().step_by(self.slabs.chunk_lines) {
                    let end = operands.lines.end.min(first + self.slabs.chunk_lines);
                    self.products(&operands, first..end, part, &mut pairs, grad);
                }
            }
        });
    }

    /// Copies what a slab reads: the part's input channels and all output gradients.
    fn lay_out<T: Laid>(
        &self,
        groups: Range<usize>,
        lines: Range<usize>,
        part: &Part,
        inputs: &mut Aligned<T>,
        grads: &mut Aligned<T>,
    ) -> Operands<T> {
        let g = &self.gathers[0];
        let rows = self.rows(&lines);
        let first_channel = part.tiles.start * MAX_TILE_ROWS;
        let channels = g.in_c.min(part.tiles.end * MAX_TILE_ROWS) - first_channel;
        let tile_stride = groups.len() * rows.len() * g.in_w * MAX_TILE_ROWS;
        let len = part.tiles.len() * tile_stride;
        inputs.resize(inputs.len().max(len));
        let width = panel_width(self.isa);
        let panel_stride = groups.len() * lines.len() * g.grid_w * width;
        let gather_stride = g.out_c.div_ceil(width) * panel_stride;
        let len = self.gathers.len() * gather_stride;
        grads.resize(grads.len().max(len));
        for (i, group) in groups.clone().enumerate() {
            for (at, y) in rows.clone().enumerate() {
                let start = |picture: usize| {
                    let pixel = (picture * g.in_h + y) * g.in_w;
                    self.input[pixel * g.in_c + first_channel..].as_ptr()
                };
                let to = (i * rows.len() + at) * g.in_w * MAX_TILE_ROWS;
                let line = Line {
                    pictures: pictures_of::<T>(g.batch, group, start),
                    pixels: g.in_w,
                    stride: g.in_c,
                    numbers: channels,
                    part: MAX_TILE_ROWS,
                    to: inputs[to..].as_mut_ptr(),
                    part_stride: tile_stride,
                };
                // SAFETY: `channels` numbers of each of the row's pixels; `inputs` has room for
                // every tile of every row of every group.
                unsafe { T::lay_out(self.isa, &line) };
            }
            for (k, gather) in self.gathers.iter().enumerate() {
                for (at, gy) in lines.clone().enumerate() {
                    let start = |picture: usize| {
                        self.grad_output[gather.output_at((picture, gy, 0))..].as_ptr()
                    };
                    let place = (i * lines.len() + at) * g.grid_w * width;
                    let line = Line {
                        pictures: pictures_of::<T>(g.batch, group, start),
                        pixels: g.grid_w,
                        stride: gather.out_step * g.out_c,
                        numbers: g.out_c,
                        part: width,
                        to: grads[k * gather_stride + place..].as_mut_ptr(),
                        part_stride: panel_stride,
                    };
                    // SAFETY: the grid's outputs lie inside the output (`assert_output_fits`);
                    // `grads` has room for every panel of every line of every group.
                    unsafe { T::lay_out(self.isa, &line) };
                }
            }
        }
        Operands {
            groups,
            lines,
            rows,
            inputs: inputs.as_ptr(),
            tile_stride,
            grads: grads.as_ptr(),
            panel_stride,
            gather_stride,
        }
    }

    /// Input rows that grid lines reach.
    fn rows(&self, lines: &Range<usize>) -> Range<usize> {
        let g = &self.gathers[0];
        let offsets = self.gathers.iter().flat_map(|g| &g.taps).map(|tap| tap[0]);
        let (low, high) = offsets.fold((i32::MAX, i32::MIN), |(low, high), dy| {
            (low.min(dy), high.max(dy))
        });
        let row = |line: usize, dy: i32| {
            let y = (line * g.stride) as isize + dy as isize;
            y.clamp(0, g.in_h as isize) as usize
        };
        row(lines.start, low)..row(lines.end - 1, high.saturating_add(1))
    }

    /// Adds the products of lines `chunk` of a slab.
    fn products<T: Laid>(
        &self,
        from: &Operands<T>,
        chunk: Range<usize>,
        part: &Part,
        pairs: &mut Vec<(*const T, *const T)>,
        grad: Shared,
    ) {
        let mut first_row = 0;
        for (k, gather) in self.gathers.iter().enumerate() {
            for tap in &gather.taps {
                self.meet(from, &chunk, k, *tap, pairs);
                if !pairs.is_empty() {
                    self.tiles(from, part, pairs, first_row, grad);
                }
                first_row += gather.in_c;
            }
        }
    }

    /// Pointers to the input and the output gradient of every position of a chunk whose tap lies
    /// inside the picture: in the first tile and the first panel.
    fn meet<T: Laid>(
        &self,
        from: &Operands<T>,
        chunk: &Range<usize>,
        k: usize,
        [dy, dx]: [i32; 2],
        pairs: &mut Vec<(*const T, *const T)>,
    ) {
        let g = &self.gathers[k];
        let width = panel_width(self.isa);
        pairs.clear();
        // Grid columns whose input column lies inside.
        let (dx, stride) = (dx as isize, g.stride as isize);
        let first = (-dx).max(0).div_ceil_by(stride) as usize;
        let end = (g.in_w as isize - dx).max(0).div_ceil_by(stride) as usize;
        let columns = first..end.min(g.grid_w);
        if columns.is_empty() {
            return;
        }
        for i in 0..from.groups.len() {
            for gy in chunk.clone() {
                let y = (gy * g.stride) as isize + dy as isize;
                if y < 0 || y >= g.in_h as isize {
                    continue;
                }
                let row = i * from.rows.len() + y as usize - from.rows.start;
                let x = (columns.start * g.stride) as isize + dx;
                let line = i * from.lines.len() + gy - from.lines.start;
                let input = (row * g.in_w + x as usize) * MAX_TILE_ROWS;
                let output = (line * g.grid_w + columns.start) * width + k * from.gather_stride;
                // Inside both buffers, as the row, the column and the line are.
                let mut input = from.inputs.wrapping_add(input);
                let mut output = from.grads.wrapping_add(output);
                pairs.extend(columns.clone().map(|_| {
                    let pair = (input, output);
                    input = input.wrapping_add(g.stride * MAX_TILE_ROWS);
                    output = output.wrapping_add(width);
                    pair
                }));
            }
        }
    }

    /// Adds a tap's products for the part's channels to gradient rows `first_row + channel`.
    fn tiles<T: Laid>(
        &self,
        from: &Operands<T>,
        part: &Part,
        pairs: &[(*const T, *const T)],
        first_row: usize,
        grad: Shared,
    ) {
        let (in_c, out_c) = (self.gathers[0].in_c, self.gathers[0].out_c);
        let width = panel_width(self.isa);
        for (at, tile) in part.tiles.clone().enumerate() {
            let mut c = tile * MAX_TILE_ROWS;
            let end = in_c.min(c + MAX_TILE_ROWS);
            while c < end {
                let left = end - c;
                let rows = [12, 8, 4, 3].into_iter().find(|n| *n <= left);
                let rows = rows.unwrap_or(left);
                for (panel, column) in (0..out_c).step_by(width).enumerate() {
                    let row = (first_row + c) * out_c + column;
                    let tile = OuterTile {
                        pairs: pairs.as_ptr(),
                        count: pairs.len(),
                        first_row: at * from.tile_stride + c - tile * MAX_TILE_ROWS,
                        first_column: panel * from.panel_stride,
                        rows,
                        columns: width.min(out_c - column),
                        grad: grad.0.wrapping_add(row),
                        grad_stride: out_c,
                    };
                    // SAFETY: pairs lead into the first tile and panel, and the offsets from there
                    // to this one's; the tile stays inside the gradient, and no other part has
                    // these rows of it.
                    unsafe { T::outer(self.isa, &tile) };
                }
                c += rows;
            }
        }
    }
}

/// Piece `i` of `parts` about equal ones.
fn cut(all: usize, parts: usize, i: usize) -> Range<usize> {
    i * all / parts..(i + 1) * all / parts
}

/// Adds the sums of `parts` stretches to the gradient, on all threads: `stretch(i, sums)` adds those of
/// stretch `i`.
fn sum_stretches(grad: &mut [f32], parts: usize, stretch: impl Fn(usize, &mut [f32]) + Sync) {
    let len = grad.len();
    // Taken, not borrowed: while this thread waits it may begin another such product.
    let mut partial = PARTIAL.take();
    partial.resize(partial.len().max(len * (parts - 1)), 0.0);
    let used = &mut partial[..len * (parts - 1)];
    let others = used.par_chunks_mut(len).enumerate();
    rayon::join(
        || stretch(0, grad),
        || {
            others.for_each(|(i, sums)| {
                sums.fill(0.0);
                stretch(i + 1, sums);
            });
        },
    );
    add_parts(grad, used);
    PARTIAL.set(partial);
}

/// Each number's parts in order, whoever adds them up.
fn add_parts(grad: &mut [f32], parts: &[f32]) {
    const PIECE: usize = 1 << 13;
    let len = grad.len();
    let pieces = grad.par_chunks_mut(PIECE).enumerate();
    pieces.for_each(|(i, piece)| {
        for part in parts.chunks_exact(len) {
            let part = &part[i * PIECE..];
            piece.iter_mut().zip(part).for_each(|(sum, v)| *sum += v);
        }
    });
}

/// Where the pictures of a group start; null for one that is not there.
fn pictures_of<T: Laid>(
    batch: usize,
    group: usize,
    start: impl Fn(usize) -> *const f32,
) -> [*const f32; 2] {
    std::array::from_fn(|i| {
        let picture = group * T::PICTURES + i;
        if i < T::PICTURES && picture < batch {
            start(picture)
        } else {
            std::ptr::null()
        }
    })
}

/// Division that rounds up.
trait CeilingDivision {
    fn div_ceil_by(self, divisor: isize) -> isize;
}

impl CeilingDivision for isize {
    /// For numbers that are not negative.
    fn div_ceil_by(self, divisor: isize) -> isize {
        (self + divisor - 1) / divisor
    }
}

thread_local! {
    /// Sums of stretches, kept so that their memory is warm.
    static PARTIAL: Cell<Vec<f32>> = const { Cell::new(Vec::new()) };
    static NUMBERS: RefCell<[Aligned<f32>; 2]> =
        const { RefCell::new([Aligned::new(), Aligned::new()]) };
    static PAIRS: RefCell<[Aligned<Pair>; 2]> =
        const { RefCell::new([Aligned::new(), Aligned::new()]) };
}

mod lines;
#[cfg(target_arch = "x86_64")]
mod tiled;
