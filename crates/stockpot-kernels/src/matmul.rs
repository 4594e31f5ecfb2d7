//! The implicit matrix product: gathered input rows times a packed matrix, written to the output
//! pixels of the gather, with bias and rectifier fused into the store.
//!
//! Activations are read in place through pointers (no im2col; only [`crate::rows`] copies where a
//! run of taps crosses the border). The depth is cut into slices whose
//! panel stays in the second cache; inside a slice the panel is reused over a block of rows.
#![expect(
    unsafe_code,
    reason = "disjoint tiles of one output are written from several threads"
)]

#[cfg(target_arch = "x86_64")]
mod tiled;

use std::ops::Range;

use rayon::prelude::*;

use crate::fold::{Fold, MOST_COLUMNS};
use crate::gather::Gather;
use crate::isa::{Isa, vectorise};
use crate::micro::{self, ForwardTile};
use crate::pack::{PackedMatrix, padded_depth, panel_width, stored_width};
use crate::precision::{Input, Pair, Precision};
use crate::rows::{Border, Runs, Stretch, Window};

/// Depth of a slice in cells: 32 columns x 1536 x 4 bytes = 192 KiB of a 1 MiB second cache.
const SLICE_DEPTH: usize = 1536;
/// Tiles of rows that reuse a panel before the next panel is fetched.
const BLOCK_TILES: usize = 16;
/// The same where products go through matrix registers: [`tiled::DEPTH`] cells of each are 512 KiB
/// of a 2 MiB second cache.
const TILED_ROWS: usize = 256;
/// Up to so many blocks they are made larger.
const FEW_BLOCKS: usize = 4;

/// What happens to a sum on its way to memory.
#[derive(Debug, Clone, Copy)]
pub struct Epilogue<'a> {
    /// Added to each column.
    pub bias: Option<&'a [f32]>,
    /// `max(v, slope * v)`: 1.0 for none, 0.0 for ReLU, 0.1 for the leaky rectifier of 2018.
    pub slope: f32,
    /// Add to what the output holds instead of replacing it.
    pub add: bool,
}

impl Epilogue<'_> {
    /// Store the sums as they are.
    pub const NONE: Epilogue<'static> = Epilogue {
        bias: None,
        slope: 1.0,
        add: false,
    };
}

/// Positions that share a panel, of `rows` in all.
fn block_rows<T: Input>(isa: Isa, rows: usize) -> usize {
    if T::in_tiles(isa) {
        return TILED_ROWS;
    }
    let tile = micro::tile_rows(isa);
    let usual = tile * BLOCK_TILES;
    if rows > FEW_BLOCKS * usual {
        return usual;
    }
    // Deep layers: little to read and many weights, which every block fetches from afar.
    let blocks = rows.div_ceil(2 * usual).max(1);
    rows.div_ceil(blocks).next_multiple_of(tile)
}

/// A pointer that tasks share; each writes its own rows and columns only.
#[derive(Clone, Copy)]
struct Shared(*mut f32);
// SAFETY: tasks of one product write disjoint (row block, panel range) rectangles.
unsafe impl Send for Shared {}
// SAFETY: as above; nothing is read but what the same task wrote before.
unsafe impl Sync for Shared {}
impl Shared {
    fn at(self, offset: usize) -> *mut f32 {
        self.0.wrapping_add(offset)
    }
}

/// One stretch of the depth: runs of taps `taps` and channels `channels` of each.
#[derive(Clone)]
struct Slice {
    taps: Range<usize>,
    channels: Range<usize>,
}

fn slices(taps: usize, channels: usize) -> Vec<Slice> {
    let mut out = Vec::new();
    if channels > SLICE_DEPTH {
        for tap in 0..taps {
            for first in (0..channels).step_by(SLICE_DEPTH) {
                let channels = first..channels.min(first + SLICE_DEPTH);
                out.push(Slice {
                    taps: tap..tap + 1,
                    channels,
                });
            }
        }
    } else {
        let per_slice = (SLICE_DEPTH / channels.max(1)).max(1);
        for first in (0..taps).step_by(per_slice) {
            out.push(Slice {
                taps: first..taps.min(first + per_slice),
                channels: 0..channels,
            });
        }
    }
    out
}

/// `output[pixel(row)] = epilogue(sum over taps and channels of input * matrix)`, in the matrix's
/// precision: the input is rounded to it on the way.
///
/// # Shapes
/// `input`: `[batch, in_h, in_w, in_c]`; `matrix`: `[taps * in_c, out_c]`;
/// `output`: `[batch, out_h, out_w, out_c]`, of which only the gather's pixels are written.
///
/// # Panics
/// If a slice or the matrix does not fit the gather: that is a bug of the caller.
pub fn matmul(
    gather: &Gather,
    input: &[f32],
    matrix: &PackedMatrix,
    epilogue: Epilogue<'_>,
    output: &mut [f32],
) {
    matmul_all(&[(gather, matrix)], input, epilogue, output);
}

/// [`matmul()`] of several gathers that visit the same grid of the same input, each with its own
/// taps, matrix and place of the output: the phases of an up-sampling convolution, or of the input
/// gradient of one with a stride. What they read is looked up and rounded once.
///
/// # Panics
/// As [`matmul()`], or if the gathers differ in more.
pub fn matmul_all(
    products: &[(&Gather, &PackedMatrix)],
    input: &[f32],
    epilogue: Epilogue<'_>,
    output: &mut [f32],
) {
    let Some((first, main)) = products.first().copied() else {
        return;
    };
    assert_eq!(input.len(), first.input_len(), "input of {first:?}");
    assert_eq!(output.len(), first.output_len(), "output of {first:?}");
    for (gather, matrix) in products.iter().copied() {
        let alike = Gather {
            taps: gather.taps.clone(),
            out_origin: gather.out_origin,
            ..first.clone()
        };
        assert_eq!(*gather, alike, "gathers of one product");
        assert_eq!(matrix.depth, gather.depth(), "matrix depth of {gather:?}");
        assert_eq!(matrix.columns, gather.out_c, "matrix columns of {gather:?}");
        assert!(matrix.isa == main.isa && matrix.precision == main.precision);
        gather.assert_output_fits();
    }
    assert!(
        epilogue.bias.is_none_or(|b| b.len() == first.out_c),
        "bias of {first:?}"
    );
    if first.rows() == 0 || first.out_c == 0 {
        return;
    }
    let output = Shared(output.as_mut_ptr());
    let gathers: Vec<&Gather> = products.iter().map(|p| p.0).collect();
    match main.precision {
        Precision::F32 => {
            let panels: Vec<&[f32]> = products.iter().map(|p| &*p.1.panels).collect();
            product(&gathers, input, main.isa, &panels, epilogue, output);
        }
        Precision::Bf16 => {
            let panels: Vec<&[Pair]> = products.iter().map(|p| &*p.1.pairs).collect();
            product(&gathers, input, main.isa, &panels, epilogue, output);
        }
    }
}

fn product<T: Input>(
    gathers: &[&Gather],
    input: &[f32],
    isa: Isa,
    panels: &[&[T]],
    epilogue: Epilogue<'_>,
    output: Shared,
) {
    let channels = gathers[0].in_c;
    // From here on channels of the input are counted in cells.
    let in_cells = |gather: &&Gather| Gather {
        in_c: T::cells(channels),
        ..(*gather).clone()
    };
    let cells: Vec<Gather> = gathers.iter().map(in_cells).collect();
    let job = |gather, panels, epilogue| {
        let runs = Runs::new(gather);
        Job {
            gather,
            input,
            channels,
            isa,
            panels,
            epilogue,
            slices: slices(runs.len(), runs.channels()),
            runs,
        }
    };
    let fold = match &cells[..] {
        [only] => Fold::of(only, isa),
        _ => None,
    };
    if let Some(fold) = fold {
        let panels = fold.panels(&cells[0], isa, panels[0]);
        let inner = job(&fold.inner, &panels, Epilogue::NONE);
        return inner.share_out_folded(&fold, &cells[0], epilogue, output);
    }
    let parts = cells.iter().zip(panels);
    let jobs: Vec<_> = parts.map(|(g, panels)| job(g, panels, epilogue)).collect();
    share_out(&jobs, output);
}

/// # Safety
/// `output` holds the output of `gather`, whose grid row `line` nobody else writes.
#[inline(always)]
unsafe fn store_line(
    fold: &Fold,
    gather: &Gather,
    line: usize,
    sums: &[f32],
    epilogue: &Epilogue<'_>,
    output: Shared,
) {
    let mut bias = [0.0f32; MOST_COLUMNS];
    if let Some(given) = epilogue.bias {
        bias[..gather.out_c].copy_from_slice(given);
    }
    let start = gather.output_at((line / gather.grid_h, line % gather.grid_h, 0));
    let step = gather.out_step * gather.out_c;
    fold.add_up(gather, sums, |gx, mut total| {
        let out = output.at(start + gx * step);
        // SAFETY: `assert_output_fits` checked that the pixels of the grid lie inside the output.
        let out = unsafe { std::slice::from_raw_parts_mut(out, gather.out_c) };
        for (t, b) in total.iter_mut().zip(&bias) {
            *t += b;
        }
        if epilogue.add {
            for (t, o) in total.iter_mut().zip(&*out) {
                *t += o;
            }
        }
        for t in &mut total {
            let leaked = *t * epilogue.slope;
            *t = if *t > leaked { *t } else { leaked };
        }
        for (o, t) in out.iter_mut().zip(&total) {
            *o = *t;
        }
    });
}

struct Job<'a, T> {
    gather: &'a Gather,
    input: &'a [f32],
    /// Channels of `input` in numbers.
    channels: usize,
    isa: Isa,
    runs: Runs<'a, T>,
    panels: &'a [T],
    epilogue: Epilogue<'a>,
    slices: Vec<Slice>,
}

/// Runs jobs over the same positions, on all threads.
fn share_out<T: Input>(jobs: &[Job<'_, T>], output: Shared) {
    let (gather, isa) = (jobs[0].gather, jobs[0].isa);
    let rows = gather.rows();
    let block_rows = block_rows::<T>(isa, rows);
    let blocks = rows.div_ceil(block_rows);
    let panels = gather.out_c.div_ceil(panel_width(isa));
    // Few rows: share the panels out as well, so that all threads have work.
    let groups = if blocks >= 8 {
        1
    } else {
        panels.min(8usize.div_ceil(blocks))
    };
    let per_group = panels.div_ceil(groups);
    (0..blocks * groups).into_par_iter().for_each(|task| {
        let (block, group) = (task / groups, task % groups);
        let rows = block * block_rows..rows.min((block + 1) * block_rows);
        let panels = (group * per_group).min(panels)..panels.min((group + 1) * per_group);
        run(jobs, rows, panels, output);
    });
}

/// Runs jobs over positions `rows` and columns of `panels`.
fn run<T: Input>(jobs: &[Job<'_, T>], rows: Range<usize>, panels: Range<usize>, output: Shared) {
    let job = &jobs[0];
    let stretch = Stretch::new(job.gather, rows);
    let pixels = jobs.iter().map(|job| job.runs.pixels(&stretch));
    let pixels = pixels.reduce(|a, b| a.start.min(b.start)..a.end.max(b.end));
    let start = |job: &Job<'_, T>| job.gather.output_at((0, 0, 0));
    T::with_window(
        job.input,
        job.channels,
        pixels.unwrap_or_default(),
        |window| {
            for other in jobs {
                // The stretch names the first gather's outputs.
                let output = output.at(start(other)).wrapping_sub(start(job));
                other.run(window, &stretch, panels.clone(), Shared(output));
            }
        },
    );
}

impl<T: Input> Job<'_, T> {
    /// The product of few columns by way of [`Fold`], of which this is the inner one: a stretch
    /// of grid rows at a time goes through it into a buffer of the task, and from there, added
    /// up, to the output of `gather`.
    fn share_out_folded(
        &self,
        fold: &Fold,
        gather: &Gather,
        epilogue: Epilogue<'_>,
        output: Shared,
    ) {
        let panels = self.gather.out_c.div_ceil(panel_width(self.isa));
        let block_rows = block_rows::<T>(self.isa, self.gather.rows());
        let lines = gather.batch * gather.grid_h;
        let lines_per_task = (block_rows / gather.in_w).max(1);
        let line_len = gather.in_w * self.gather.out_c;
        let tasks = (0..lines.div_ceil(lines_per_task)).into_par_iter();
        tasks.for_each(|task| {
            let lines = task * lines_per_task..lines.min((task + 1) * lines_per_task);
            let mut sums = vec![0.0f32; lines.len() * line_len + MOST_COLUMNS];
            let rows = lines.start * gather.in_w..lines.end * gather.in_w;
            // The buffer stands for the part of the inner output that starts at `lines.start`.
            let start = sums.as_mut_ptr().wrapping_sub(lines.start * line_len);
            run(std::slice::from_ref(self), rows, 0..panels, Shared(start));
            for line in lines.clone() {
                let sums = &sums[(line - lines.start) * line_len..];
                // SAFETY: `output` holds the gather's output (asserted by `matmul`), and each
                // grid row belongs to one task.
                vectorise(
                    #[inline(always)]
                    || unsafe { store_line(fold, gather, line, sums, &epilogue, output) },
                );
            }
        });
    }

    fn run(&self, window: Window<'_, T>, stretch: &Stretch, panels: Range<usize>, output: Shared) {
        let isa = self.isa;
        #[cfg(target_arch = "x86_64")]
        if T::in_tiles(isa) {
            return self.run_tiled(window, stretch, panels, output);
        }
        let (rows_per_tile, width) = (micro::tile_rows(isa), panel_width(isa));
        let (runs, run_len) = (self.runs.len(), self.runs.channels());
        let starts = &stretch.starts;
        let mut border = Border::new();
        let inputs = self.input_pointers(window, stretch, rows_per_tile, &mut border);
        let last_slice = self.slices.len() - 1;
        for (s, slice) in self.slices.iter().enumerate() {
            for panel in panels.clone() {
                let column = panel * width;
                let columns = width.min(self.gather.out_c - column);
                let depth = slice.taps.start * run_len + slice.channels.start;
                let width = stored_width(isa, columns);
                let start = column * padded_depth::<T>(self.gather.depth()) + depth * width;
                let bias = match self.epilogue.bias {
                    Some(bias) if s == last_slice => bias[column..].as_ptr(),
                    _ => std::ptr::null(),
                };
                for (i, rows) in starts.chunks(rows_per_tile).enumerate() {
                    let mut outputs = [std::ptr::null_mut(); micro::MAX_TILE_ROWS];
                    for (out, row) in outputs.iter_mut().zip(rows) {
                        *out = output.at(row.output + column);
                    }
                    let tile = ForwardTile {
                        inputs: inputs[(i * runs + slice.taps.start) * rows_per_tile..].as_ptr(),
                        taps: slice.taps.len(),
                        first_channel: slice.channels.start,
                        channels: slice.channels.len(),
                        panel: self.panels[start..].as_ptr(),
                        tap_stride: run_len * width,
                        outputs: outputs.as_ptr(),
                        rows: rows.len(),
                        columns,
                        add: s > 0 || self.epilogue.add,
                        bias,
                        slope: if s == last_slice {
                            self.epilogue.slope
                        } else {
                            1.0
                        },
                    };
                    // SAFETY: input pointers are those of `Runs` (the border is settled and not
                    // changed since), the panel goes on from `start` for the slice,
                    // output offsets lie inside `output` (`assert_output_fits`), and no other
                    // task has these rows and columns.
                    unsafe { T::forward(isa, &tile) };
                }
            }
        }
    }

    /// Tile-major, run-major pointers to the input of each row; the last tile is filled up with
    /// zero rows.
    fn input_pointers(
        &self,
        window: Window<'_, T>,
        stretch: &Stretch,
        rows_per_tile: usize,
        border: &mut Border<T>,
    ) -> Vec<*const T> {
        let rows = stretch.starts.len();
        let tile_len = self.runs.len() * rows_per_tile;
        // One run more than there is: the kernel asks for the next run's input ahead of time.
        let len = rows.div_ceil(rows_per_tile) * tile_len + rows_per_tile;
        let mut pointers = vec![self.runs.zeros(); len];
        for run in 0..self.runs.len() {
            let offset = run * rows_per_tile;
            self.runs
                .each_input(window, stretch, run, border, |range, input, step| {
                    let place =
                        |i: usize| i / rows_per_tile * tile_len + offset + i % rows_per_tile;
                    let mut at = range.start;
                    while at < range.end {
                        // As many as the tile has left.
                        let count = (rows_per_tile - at % rows_per_tile).min(range.end - at);
                        let first = input.wrapping_add((at - range.start) * step);
                        let into = &mut pointers[place(at)..][..count];
                        for (i, pointer) in into.iter_mut().enumerate() {
                            *pointer = first.wrapping_add(i * step);
                        }
                        at += count;
                    }
                    place(range.start)
                });
        }
        border.settle(|place, copy| pointers[place] = copy);
        pointers
    }
}
