//! Weights rearranged for the matrix product: panels of a few columns, all depths of a panel
//! contiguous, the last panel padded with zeros.

use rayon::prelude::*;

use crate::isa::Isa;
use crate::micro::Cell;
use crate::precision::{Pair, Precision, interleave};

/// Columns of a panel on each instruction set: two registers of sixteen, two of eight, or eight.
pub(crate) const fn panel_width(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 32,
        Isa::Avx2 => 16,
        Isa::Portable => 8,
    }
}

/// Columns that a panel holds in memory when `columns_left` are left for it. The last panel is narrower where
/// one register is enough.
pub(crate) const fn stored_width(isa: Isa, columns_left: usize) -> usize {
    match isa {
        Isa::Avx512 if columns_left <= 16 => 16,
        _ => panel_width(isa),
    }
}

/// Length of all panels of a matrix.
pub(crate) fn panels_len(isa: Isa, depth: usize, columns: usize) -> usize {
    let before = columns.saturating_sub(1) / panel_width(isa) * panel_width(isa);
    depth * (before + stored_width(isa, columns - before))
}

/// Where element `(tap, channel, column)` of a matrix lies in a weight slice:
/// `tap_offsets[tap] + channel * channel_stride + column * column_stride`.
#[derive(Debug, Clone)]
pub struct PackSource<'a> {
    /// The weights.
    pub weights: &'a [f32],
    /// Start of each tap.
    pub tap_offsets: &'a [usize],
    /// Channels a tap reads.
    pub channels: usize,
    /// Numbers from one channel to the next.
    pub channel_stride: usize,
    /// Columns (output channels).
    pub columns: usize,
    /// Numbers from one column to the next; this or `channel_stride` is 1.
    pub column_stride: usize,
}

/// A packed matrix of `depth` x `columns`, reusable without new memory.
#[derive(Debug, Clone)]
pub struct PackedMatrix {
    pub(crate) isa: Isa,
    pub(crate) precision: Precision,
    pub(crate) depth: usize,
    pub(crate) columns: usize,
    /// The panels in [`Precision::F32`].
    pub(crate) panels: Vec<f32>,
    /// The panels in [`Precision::Bf16`]: two channels of a tap in a cell, an odd last one paired
    /// with zero.
    pub(crate) pairs: Vec<Pair>,
}

impl PackedMatrix {
    /// An empty matrix for this processor's best instruction set.
    pub fn empty() -> Self {
        Self::empty_for(Isa::best())
    }

    /// An empty matrix for this processor's best instruction set, rounded to `precision`.
    pub fn empty_in(precision: Precision) -> Self {
        Self {
            precision,
            ..Self::empty()
        }
    }

    /// The same matrix, empty and rounded to `precision`: its products round their inputs too.
    pub fn rounded_to(self, precision: Precision) -> Self {
        Self {
            precision,
            ..Self::empty_for(self.isa)
        }
    }

    /// What this matrix and the inputs of its products are rounded to.
    pub fn precision(&self) -> Precision {
        self.precision
    }

    /// An empty matrix for a given instruction set (which must be available).
    pub fn empty_for(isa: Isa) -> Self {
        assert!(
            Isa::available().contains(&isa),
            "this processor has no {}",
            isa.name()
        );
        Self {
            isa,
            precision: Precision::F32,
            depth: 0,
            columns: 0,
            panels: Vec::new(),
            pairs: Vec::new(),
        }
    }

    /// Rows of the matrix.
    pub fn depth(&self) -> usize {
        self.depth
    }

    /// Columns of the matrix.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Fills the matrix from `source`, keeping the memory it has.
    ///
    /// # Panics
    /// If an element of `source` lies outside its weights.
    pub fn pack(&mut self, source: &PackSource<'_>) {
        self.depth = source.tap_offsets.len() * source.channels;
        self.columns = source.columns;
        let isa = self.isa;
        match self.precision {
            Precision::F32 => {
                each_tap(isa, source, source.channels, &mut self.panels, pack_tap);
            }
            Precision::Bf16 => {
                let cells = source.channels.div_ceil(2);
                each_tap(isa, source, cells, &mut self.pairs, pack_tap_in_pairs);
            }
        }
    }
}

/// Sizes the panels and has `pack` fill each tap of each: `(cells, source, first number, valid
/// columns, stored columns)`.
fn each_tap<T: Cell>(
    isa: Isa,
    source: &PackSource<'_>,
    cells: usize,
    panels: &mut Vec<T>,
    pack: impl Fn(&mut [T], &PackSource<'_>, usize, usize, usize) + Sync,
) {
    let width = panel_width(isa);
    let depth = source.tap_offsets.len() * cells;
    panels.resize(panels_len(isa, depth, source.columns), T::ZERO);
    if depth == 0 {
        return;
    }
    let panels = panels.par_chunks_mut(depth * width).enumerate();
    panels.for_each(|(p, panel)| {
        let first = p * width;
        let valid = width.min(source.columns - first);
        let width = stored_width(isa, valid);
        for (rows, base) in panel
            .chunks_exact_mut(cells * width)
            .zip(source.tap_offsets)
        {
            let at = base + first * source.column_stride;
            pack(rows, source, at, valid, width);
        }
    });
}

fn pack_tap_in_pairs(
    cells: &mut [Pair],
    source: &PackSource<'_>,
    base: usize,
    valid: usize,
    width: usize,
) {
    let mut rows = vec![0.0; cells.len() * 2];
    let filled = source.channels * width;
    pack_tap(&mut rows[..filled], source, base, valid, width);
    for (both, cells) in rows
        .chunks_exact(2 * width)
        .zip(cells.chunks_exact_mut(width))
    {
        interleave(&both[..width], &both[width..], cells);
    }
}

fn pack_tap(rows: &mut [f32], source: &PackSource<'_>, base: usize, valid: usize, width: usize) {
    if source.column_stride == 1 {
        for (c, row) in rows.chunks_exact_mut(width).enumerate() {
            let from = &source.weights[base + c * source.channel_stride..][..valid];
            row[..valid].copy_from_slice(from);
            row[valid..].fill(0.0);
        }
        return;
    }
    // Transposed: walk along the contiguous channels of each column, sixteen rows at a time so
    // that the written lines stay in the first cache.
    const BLOCK: usize = 16;
    for (block, rows) in rows.chunks_mut(width * BLOCK).enumerate() {
        let first = block * BLOCK;
        let count = rows.len() / width;
        for column in 0..valid {
            let at = base + column * source.column_stride + first * source.channel_stride;
            for k in 0..count {
                rows[k * width + column] = source.weights[at + k * source.channel_stride];
            }
        }
        for row in rows.chunks_exact_mut(width) {
            row[valid..].fill(0.0);
        }
    }
}
