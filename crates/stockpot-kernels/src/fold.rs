//! Products with few columns, folded: the kernel's horizontal taps become columns.
//!
//! Three output channels would use three lanes of sixteen. Instead the sums of every horizontal
//! tap are kept apart as columns of their own (a 5x5 kernel with 3 channels: 15 columns over the
//! 5 vertical taps), and neighbouring pixels' columns are added up afterwards. The same in the
//! other direction for weight gradients: the output gradients of neighbouring pixels are laid side
//! by side. The number of multiplications per lane falls by the width of the kernel.

use crate::aligned::Aligned;
use crate::gather::Gather;
use crate::isa::Isa;
use crate::micro::Cell;
use crate::pack::{padded_depth, panel_width, panels_len, stored_width};
use crate::rows::kernel_rows;

/// The most columns that are folded. Eight numbers are moved at a time, so not above eight.
pub(crate) const MOST_COLUMNS: usize = 8;

/// A folded gather.
#[derive(Debug)]
pub(crate) struct Fold {
    /// Horizontal taps.
    pub taps: usize,
    /// Offset of the first one.
    pub first: isize,
    /// The vertical product: one position for every input column of each grid row, `taps * out_c`
    /// columns.
    pub inner: Gather,
}

impl Fold {
    /// The folded form of a gather if it has one and that is less work.
    pub(crate) fn of(gather: &Gather, isa: Isa) -> Option<Self> {
        if gather.stride != 1 || gather.out_c > MOST_COLUMNS || gather.in_c < MOST_COLUMNS {
            return None;
        }
        let (taps, rows) = kernel_rows(gather)?;
        let first = rows[0][1];
        if rows.iter().any(|row| row[1] != first) {
            return None;
        }
        let lanes = match isa {
            Isa::Amx | Isa::Avx512 | Isa::Avx2 => 16,
            Isa::Neon | Isa::Portable => 8,
        };
        let columns = taps * gather.out_c;
        if columns.div_ceil(lanes) >= taps * gather.out_c.div_ceil(lanes) {
            return None;
        }
        let inner = Gather {
            grid_w: gather.in_w,
            taps: rows.iter().map(|row| [row[0], 0]).collect(),
            out_h: gather.grid_h,
            out_w: gather.in_w,
            out_c: columns,
            out_origin: [0, 0],
            out_step: 1,
            ..gather.clone()
        };
        Some(Self {
            taps,
            first: first as isize,
            inner,
        })
    }

    /// The panels of the folded product.
    pub(crate) fn panels<T: Cell>(&self, gather: &Gather, isa: Isa, unfolded: &[T]) -> Aligned<T> {
        let (depth, columns) = (padded_depth::<T>(self.inner.depth()), self.inner.out_c);
        let width = panel_width(isa);
        let mut panels = Aligned::zeros(panels_len::<T>(isa, depth, columns));
        // At most eight columns: all in the first panel of every instruction set.
        let from_width = stored_width(isa, gather.out_c);
        let taps = unfolded.chunks_exact(from_width * gather.in_c);
        // What follows the last tap is padding.
        for (tap, rows) in taps.enumerate().take(gather.taps.len()) {
            let first_row = tap / self.taps * gather.in_c;
            for n in 0..gather.out_c {
                let column = tap % self.taps * gather.out_c + n;
                let panel = column / width * width;
                let to_width = stored_width(isa, columns - panel);
                let start = panel * depth + first_row * to_width + column - panel;
                for (c, row) in rows.chunks_exact(from_width).enumerate() {
                    panels[start + c * to_width] = row[n];
                }
            }
        }
        panels
    }

    /// Adds up one grid row: `sums` are the folded columns of its `in_w` input pixels, followed by
    /// at least [`MOST_COLUMNS`] numbers of no meaning; `store` gets the grid column and its sums.
    #[inline(always)]
    pub(crate) fn add_up(
        &self,
        gather: &Gather,
        sums: &[f32],
        mut store: impl FnMut(usize, [f32; MOST_COLUMNS]),
    ) {
        let columns = self.inner.out_c;
        for gx in 0..gather.grid_w {
            let mut total = [0.0f32; MOST_COLUMNS];
            let x = gx as isize + self.first;
            for tap in 0..self.taps {
                let x = x + tap as isize;
                if x >= 0 && x < gather.in_w as isize {
                    let part = &sums[x as usize * columns + tap * gather.out_c..][..MOST_COLUMNS];
                    for (t, p) in total.iter_mut().zip(part) {
                        *t += p;
                    }
                }
            }
            store(gx, total);
        }
    }

    /// Lays out the output gradients that each inner position `rows` meets, one after the other.
    pub(crate) fn spread(
        &self,
        gather: &Gather,
        rows: std::ops::Range<usize>,
        grad_output: &[f32],
        into: &mut Vec<f32>,
    ) {
        let (columns, out_c) = (self.inner.out_c, gather.out_c);
        into.clear();
        into.resize(rows.len() * columns + MOST_COLUMNS, 0.0);
        let (mut picture, mut gy, mut x) = self.inner.position(rows.start);
        for at in 0..rows.len() {
            let line = gather.output_at((picture, gy, 0));
            for tap in 0..self.taps {
                let gx = x as isize - self.first - tap as isize;
                let to = &mut into[at * columns + tap * out_c..][..MOST_COLUMNS];
                if gx < 0 || gx >= gather.grid_w as isize {
                    to.fill(0.0);
                    continue;
                }
                // Eight at a time: what lies beyond `out_c` is overwritten by what follows.
                let from = &grad_output[line + gx as usize * gather.out_step * out_c..];
                match from.get(..MOST_COLUMNS) {
                    Some(from) => to.copy_from_slice(from),
                    None => to[..out_c].copy_from_slice(&from[..out_c]),
                }
            }
            x += 1;
            if x == self.inner.grid_w {
                (gy, x) = (gy + 1, 0);
                if gy == self.inner.grid_h {
                    (picture, gy) = (picture + 1, 0);
                }
            }
        }
    }

    /// Adds a gradient of the folded matrix onto one of the gather's.
    pub(crate) fn unfold_grad(&self, gather: &Gather, folded: &[f32], grad: &mut [f32]) {
        for (d, row) in grad.chunks_exact_mut(gather.out_c).enumerate() {
            let (tap, c) = (d / gather.in_c, d % gather.in_c);
            let inner_row = tap / self.taps * gather.in_c + c;
            let at = inner_row * self.inner.out_c + tap % self.taps * gather.out_c;
            for (sum, v) in row.iter_mut().zip(&folded[at..]) {
                *sum += v;
            }
        }
    }
}
