//! The loops for 64-bit ARM.
#![expect(
    unsafe_code,
    reason = "SIMD intrinsics and raw pointers of the innermost loops"
)]

use std::arch::aarch64::*;

use super::{ForwardTile, OuterTile};

/// Numbers of a register, and registers of a row: 12 x 2 sums, 2 of a column and one of a row
/// leave five of the 32 registers free.
const LANES: usize = 4;
const REGS: usize = 2;
const WIDTH: usize = LANES * REGS;

/// The first `count` numbers from `from`, zeros behind.
///
/// # Safety
/// `count` numbers can be read.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn load(from: *const f32, count: usize) -> [float32x4_t; REGS] {
    // SAFETY: the caller's promise; fewer than a row go through memory of our own.
    unsafe {
        if count >= WIDTH {
            return [vld1q_f32(from), vld1q_f32(from.add(LANES))];
        }
        let mut row = [0.0f32; WIDTH];
        std::ptr::copy_nonoverlapping(from, row.as_mut_ptr(), count);
        [vld1q_f32(row.as_ptr()), vld1q_f32(row.as_ptr().add(LANES))]
    }
}

/// Stores the first `count` numbers.
///
/// # Safety
/// `count` numbers can be written.
#[target_feature(enable = "neon")]
#[inline]
unsafe fn store(to: *mut f32, count: usize, numbers: [float32x4_t; REGS]) {
    // SAFETY: the caller's promise; fewer than a row go through memory of our own.
    unsafe {
        if count >= WIDTH {
            vst1q_f32(to, numbers[0]);
            vst1q_f32(to.add(LANES), numbers[1]);
            return;
        }
        let mut row = [0.0f32; WIDTH];
        vst1q_f32(row.as_mut_ptr(), numbers[0]);
        vst1q_f32(row.as_mut_ptr().add(LANES), numbers[1]);
        std::ptr::copy_nonoverlapping(row.as_ptr(), to, count);
    }
}

/// 12 x 8 accumulators.
///
/// # Safety
/// As [`super::Cell::forward`]; the panel is 8 columns wide.
#[target_feature(enable = "neon")]
pub(super) unsafe fn forward(tile: &ForwardTile<f32>) {
    const ROWS: usize = 12;
    // SAFETY: pointers hold what `ForwardTile` says; columns are counted on the way out.
    unsafe {
        let mut acc = [[vdupq_n_f32(0.0); REGS]; ROWS];
        for t in 0..tile.taps {
            let rows: [*const f32; ROWS] =
                std::array::from_fn(|r| (*tile.inputs.add(t * ROWS + r)).add(tile.first_channel));
            let mut panel = tile.panel.add(t * tile.tap_stride);
            for c in 0..tile.channels {
                let columns = [vld1q_f32(panel), vld1q_f32(panel.add(LANES))];
                panel = panel.add(WIDTH);
                for r in 0..ROWS {
                    let a = vld1q_dup_f32(rows[r].add(c));
                    for j in 0..REGS {
                        acc[r][j] = vfmaq_f32(acc[r][j], a, columns[j]);
                    }
                }
            }
        }
        let slope = vdupq_n_f32(tile.slope);
        let bias = if tile.bias.is_null() {
            [vdupq_n_f32(0.0); REGS]
        } else {
            load(tile.bias, tile.columns)
        };
        for (r, row) in acc.iter().enumerate().take(tile.rows) {
            let out = *tile.outputs.add(r);
            let mut v = [vaddq_f32(row[0], bias[0]), vaddq_f32(row[1], bias[1])];
            if tile.add {
                let old = load(out, tile.columns);
                v = [vaddq_f32(v[0], old[0]), vaddq_f32(v[1], old[1])];
            }
            // As elsewhere the second where the comparison is false, so that poison comes through.
            let leaked = v.map(|v| {
                let leaked = vmulq_f32(v, slope);
                vbslq_f32(vcgtq_f32(v, leaked), v, leaked)
            });
            store(out, tile.columns, leaked);
        }
    }
}

/// # Safety
/// As [`super::Cell::outer`] with exactly `ROWS` rows.
#[target_feature(enable = "neon")]
pub(super) unsafe fn outer<const ROWS: usize>(tile: &OuterTile<f32>) {
    // SAFETY: pointers hold what `OuterTile` says; columns are counted.
    unsafe {
        let mut acc = [[vdupq_n_f32(0.0); REGS]; ROWS];
        for p in 0..tile.count {
            let (x, dy) = *tile.pairs.add(p);
            let x = x.add(tile.first_row);
            let columns = load(dy.add(tile.first_column), tile.columns);
            for (r, sums) in acc.iter_mut().enumerate() {
                let a = vld1q_dup_f32(x.add(r));
                for j in 0..REGS {
                    sums[j] = vfmaq_f32(sums[j], a, columns[j]);
                }
            }
        }
        for (r, row) in acc.iter().enumerate() {
            let out = tile.grad.wrapping_add(r * tile.grad_stride);
            let old = load(out, tile.columns);
            let sums = [vaddq_f32(old[0], row[0]), vaddq_f32(old[1], row[1])];
            store(out, tile.columns, sums);
        }
    }
}
