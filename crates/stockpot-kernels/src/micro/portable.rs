//! The loops in plain Rust, for any processor and any kind of cell.
#![expect(unsafe_code, reason = "raw pointers of the innermost loops")]

use super::{Cell, ForwardTile, MAX_TILE_ROWS, OuterTile};

/// # Safety
/// As [`Cell::forward`]; tiles have `ROWS` rows and the panel is `COLS` columns wide.
#[inline(always)]
pub(super) unsafe fn forward<T: Cell, const ROWS: usize, const COLS: usize>(tile: &ForwardTile<T>) {
    let mut acc = [[0.0f32; COLS]; ROWS];
    // SAFETY: pointers hold what `ForwardTile` says; only valid rows and columns are written.
    unsafe {
        for t in 0..tile.taps {
            let rows: [*const T; ROWS] =
                std::array::from_fn(|r| (*tile.inputs.add(t * ROWS + r)).add(tile.first_channel));
            let panel = tile.panel.add(t * tile.tap_stride);
            for c in 0..tile.channels {
                let b: [T; COLS] = std::array::from_fn(|j| *panel.add(c * COLS + j));
                for r in 0..ROWS {
                    let a = *rows[r].add(c);
                    for j in 0..COLS {
                        acc[r][j] = T::multiply_add(acc[r][j], a, b[j]);
                    }
                }
            }
        }
        for (r, row) in acc.iter().enumerate().take(tile.rows) {
            let out = *tile.outputs.add(r);
            for (j, sum) in row.iter().enumerate().take(tile.columns) {
                let mut v = *sum;
                if !tile.bias.is_null() {
                    v += *tile.bias.add(j);
                }
                if tile.add {
                    v += *out.add(j);
                }
                let leaked = v * tile.slope;
                // As the SIMD maximum: the second operand where the comparison is false.
                *out.add(j) = if v > leaked { v } else { leaked };
            }
        }
    }
}

/// # Safety
/// As [`Cell::outer`]; at most `COLS` columns.
#[inline(always)]
pub(super) unsafe fn outer<T: Cell, const COLS: usize>(tile: &OuterTile<T>) {
    let mut acc = [[0.0f32; COLS]; MAX_TILE_ROWS];
    // SAFETY: pointers hold what `OuterTile` says; only valid rows and columns are touched.
    unsafe {
        for p in 0..tile.count {
            let (x, dy) = *tile.pairs.add(p);
            for (r, row) in acc.iter_mut().enumerate().take(tile.rows) {
                let a = *x.add(tile.first_row + r);
                for (j, sum) in row.iter_mut().enumerate().take(tile.columns) {
                    *sum = T::multiply_add(*sum, a, *dy.add(tile.first_column + j));
                }
            }
        }
        for (r, row) in acc.iter().enumerate().take(tile.rows) {
            for (j, sum) in row.iter().enumerate().take(tile.columns) {
                *tile.grad.add(r * tile.grad_stride + j) += *sum;
            }
        }
    }
}
