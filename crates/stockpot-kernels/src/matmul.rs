//! The implicit matrix product: gathered input rows times a packed matrix, written to the output
//! pixels of the gather, with bias and rectifier fused into the store.
//!
//! Activations are read in place through pointers (no im2col). The depth is cut into slices whose
//! panel stays in the second cache; inside a slice the panel is reused over a block of rows.
#![expect(
    unsafe_code,
    reason = "disjoint tiles of one output are written from several threads"
)]

use rayon::prelude::*;

use crate::gather::Gather;
use crate::micro::{self, ForwardTile};
use crate::pack::{PackedMatrix, panel_width};

/// Depth of a slice: 32 columns x 1536 x 4 bytes = 192 KiB of a 1 MiB second cache.
const SLICE_DEPTH: usize = 1536;
/// Tiles of rows that reuse a panel before the next panel is fetched.
const BLOCK_TILES: usize = 16;

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

/// One stretch of the depth: taps `taps` and channels `channels` of each.
#[derive(Clone)]
struct Slice {
    taps: std::ops::Range<usize>,
    channels: std::ops::Range<usize>,
}

fn slices(gather: &Gather) -> Vec<Slice> {
    let (taps, channels) = (gather.taps.len(), gather.in_c);
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

/// `output[pixel(row)] = epilogue(sum over taps and channels of input * matrix)`.
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
    assert_eq!(input.len(), gather.input_len(), "input of {gather:?}");
    assert_eq!(output.len(), gather.output_len(), "output of {gather:?}");
    assert_eq!(matrix.depth, gather.depth(), "matrix depth of {gather:?}");
    assert_eq!(matrix.columns, gather.out_c, "matrix columns of {gather:?}");
    assert!(
        epilogue.bias.is_none_or(|b| b.len() == gather.out_c),
        "bias of {gather:?}"
    );
    gather.assert_output_fits();
    if gather.rows() == 0 || gather.out_c == 0 {
        return;
    }
    let zeros = vec![0.0f32; gather.in_c];
    let job = Job {
        gather,
        input,
        matrix,
        epilogue,
        slices: slices(gather),
        zeros: &zeros,
    };
    let tile_rows = micro::tile_rows(matrix.isa);
    let tiles = gather.rows().div_ceil(tile_rows);
    let blocks = tiles.div_ceil(BLOCK_TILES);
    let panels = gather.out_c.div_ceil(panel_width(matrix.isa));
    // Few rows: share the panels out as well, so that all threads have work.
    let groups = if blocks >= 8 {
        1
    } else {
        panels.min(8usize.div_ceil(blocks))
    };
    let per_group = panels.div_ceil(groups);
    let shared = Shared(output.as_mut_ptr());
    (0..blocks * groups).into_par_iter().for_each(|task| {
        let (block, group) = (task / groups, task % groups);
        let tiles = block * BLOCK_TILES..tiles.min((block + 1) * BLOCK_TILES);
        let panels = (group * per_group).min(panels)..panels.min((group + 1) * per_group);
        job.run(tiles, panels, shared);
    });
}

struct Job<'a> {
    gather: &'a Gather,
    input: &'a [f32],
    matrix: &'a PackedMatrix,
    epilogue: Epilogue<'a>,
    slices: Vec<Slice>,
    zeros: &'a [f32],
}

impl Job<'_> {
    fn run(&self, tiles: std::ops::Range<usize>, panels: std::ops::Range<usize>, output: Shared) {
        let isa = self.matrix.isa;
        let (rows_per_tile, width) = (micro::tile_rows(isa), panel_width(isa));
        let taps = self.gather.taps.len();
        let inputs = self.input_pointers(&tiles, rows_per_tile);
        let starts = self.output_offsets(&tiles, rows_per_tile);
        let last_slice = self.slices.len() - 1;
        for (s, slice) in self.slices.iter().enumerate() {
            for panel in panels.clone() {
                let column = panel * width;
                let columns = width.min(self.gather.out_c - column);
                let depth = slice.taps.start * self.gather.in_c + slice.channels.start;
                let start = (panel * self.matrix.depth + depth) * width;
                let bias = match self.epilogue.bias {
                    Some(bias) if s == last_slice => bias[column..].as_ptr(),
                    _ => std::ptr::null(),
                };
                for (i, tile) in tiles.clone().enumerate() {
                    let first_row = tile * rows_per_tile;
                    let rows = rows_per_tile.min(self.gather.rows() - first_row);
                    let mut outputs = [std::ptr::null_mut(); micro::MAX_TILE_ROWS];
                    for (r, out) in outputs.iter_mut().enumerate().take(rows) {
                        *out = output.at(starts[i * rows_per_tile + r] + column);
                    }
                    let tile = ForwardTile {
                        inputs: inputs[(i * taps + slice.taps.start) * rows_per_tile..].as_ptr(),
                        taps: slice.taps.len(),
                        first_channel: slice.channels.start,
                        channels: slice.channels.len(),
                        panel: self.matrix.panels[start..].as_ptr(),
                        tap_stride: self.gather.in_c * width,
                        outputs: outputs.as_ptr(),
                        rows,
                        columns,
                        add: s > 0 || self.epilogue.add,
                        bias,
                        slope: if s == last_slice {
                            self.epilogue.slope
                        } else {
                            1.0
                        },
                    };
                    // SAFETY: input pointers come from bounds-checked offsets (or the zero row),
                    // the panel holds `depth * width` numbers from `start` on, output offsets lie
                    // inside `output` (`assert_output_fits`), and no other task has these
                    // rows and columns.
                    unsafe { micro::forward_tile(isa, &tile) };
                }
            }
        }
    }

    /// Tile-major, tap-major pointers to the input pixel of each row.
    fn input_pointers(
        &self,
        tiles: &std::ops::Range<usize>,
        rows_per_tile: usize,
    ) -> Vec<*const f32> {
        let taps = &self.gather.taps;
        let rows = self.gather.rows();
        let mut pointers = Vec::with_capacity(tiles.len() * taps.len() * rows_per_tile);
        for tile in tiles.clone() {
            for tap in taps {
                for r in 0..rows_per_tile {
                    let row = (tile * rows_per_tile + r).min(rows - 1);
                    let at = self.gather.input_at(self.gather.position(row), *tap);
                    let pixel = match at {
                        Some(offset) => &self.input[offset..offset + self.gather.in_c],
                        None => self.zeros,
                    };
                    pointers.push(pixel.as_ptr());
                }
            }
        }
        pointers
    }

    fn output_offsets(&self, tiles: &std::ops::Range<usize>, rows_per_tile: usize) -> Vec<usize> {
        let rows = self.gather.rows();
        (tiles.start * rows_per_tile..tiles.end * rows_per_tile)
            .map(|row| {
                self.gather
                    .output_at(self.gather.position(row.min(rows - 1)))
            })
            .collect()
    }
}
