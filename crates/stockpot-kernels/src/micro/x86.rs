//! The loops for x86-64, in AVX-512 and AVX2.
#![expect(
    unsafe_code,
    reason = "SIMD intrinsics and raw pointers of the innermost loops"
)]

use std::arch::x86_64::*;

use super::{ForwardTile, OuterTile};
use crate::precision::Pair;

fn mask16(columns: usize, register: usize) -> __mmask16 {
    let left = columns.saturating_sub(register * 16).min(16);
    if left == 16 { !0 } else { (1u16 << left) - 1 }
}

/// Cache lines of each row's next run that are asked for in advance; the processor follows
/// longer ones by itself.
const FETCH_LINES: usize = 4;

/// The kernels of one kind of cell. Both kinds are 32 bits wide; registers of cells are moved as
/// `f32`, which changes no bit.
macro_rules! kernels_512 {
    ($features:literal, $cell:ty, $forward:ident, $outer:ident, $multiply_add:ident) => {
        /// `ROWS` x `16 REGS` accumulators.
        ///
        /// # Safety
        /// As [`super::forward_tile`]; the panel is `16 REGS` columns wide.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $forward<const ROWS: usize, const REGS: usize>(
            tile: &ForwardTile<$cell>,
        ) {
            // SAFETY: pointers hold what `ForwardTile` says; columns are masked on the way out.
            unsafe {
                let mut acc = [[_mm512_setzero_ps(); REGS]; ROWS];
                for t in 0..tile.taps {
                    let rows: [*const $cell; ROWS] = std::array::from_fn(|r| {
                        (*tile.inputs.add(t * ROWS + r)).add(tile.first_channel)
                    });
                    for r in 0..ROWS {
                        let next = *tile.inputs.add((t + 1) * ROWS + r);
                        let next = next.wrapping_add(tile.first_channel);
                        for line in 0..FETCH_LINES.min(tile.channels.div_ceil(16)) {
                            _mm_prefetch::<_MM_HINT_T0>(next.wrapping_add(16 * line).cast());
                        }
                    }
                    let mut b = tile.panel.add(t * tile.tap_stride);
                    for c in 0..tile.channels {
                        let cols: [__m512; REGS] =
                            std::array::from_fn(|j| _mm512_loadu_ps(b.add(16 * j).cast()));
                        b = b.add(16 * REGS);
                        for r in 0..ROWS {
                            let a = _mm512_set1_ps(*rows[r].add(c).cast::<f32>());
                            for j in 0..REGS {
                                acc[r][j] = $multiply_add(acc[r][j], a, cols[j]);
                            }
                        }
                    }
                }
                let slope = _mm512_set1_ps(tile.slope);
                for j in 0..REGS {
                    let mask = mask16(tile.columns, j);
                    let bias = if tile.bias.is_null() {
                        _mm512_setzero_ps()
                    } else {
                        _mm512_maskz_loadu_ps(mask, tile.bias.add(16 * j))
                    };
                    // Unrolled with a test rather than cut short, so that sums stay in registers.
                    for (r, row) in acc.iter().enumerate() {
                        if r >= tile.rows {
                            continue;
                        }
                        let out = (*tile.outputs.add(r)).wrapping_add(16 * j);
                        let mut v = _mm512_add_ps(row[j], bias);
                        if tile.add {
                            v = _mm512_add_ps(v, _mm512_maskz_loadu_ps(mask, out));
                        }
                        v = _mm512_max_ps(v, _mm512_mul_ps(v, slope));
                        _mm512_mask_storeu_ps(out, mask, v);
                    }
                }
            }
        }

        /// # Safety
        /// As [`super::outer_tile`] with exactly `ROWS` rows.
        #[target_feature(enable = $features)]
        pub(super) unsafe fn $outer<const ROWS: usize, const REGS: usize>(tile: &OuterTile<$cell>) {
            // SAFETY: pointers hold what `OuterTile` says; columns are masked.
            unsafe {
                let masks: [__mmask16; REGS] = std::array::from_fn(|j| mask16(tile.columns, j));
                let mut acc = [[_mm512_setzero_ps(); REGS]; ROWS];
                for p in 0..tile.count {
                    let (x, dy) = *tile.pairs.add(p);
                    let x = x.add(tile.first_row);
                    let dy = dy.wrapping_add(tile.first_column);
                    let cols: [__m512; REGS] = std::array::from_fn(|j| {
                        _mm512_maskz_loadu_ps(masks[j], dy.wrapping_add(16 * j).cast())
                    });
                    for (r, sums) in acc.iter_mut().enumerate() {
                        let a = _mm512_set1_ps(*x.add(r).cast::<f32>());
                        for j in 0..REGS {
                            sums[j] = $multiply_add(sums[j], a, cols[j]);
                        }
                    }
                }
                for (r, row) in acc.iter().enumerate() {
                    for j in 0..REGS {
                        let out = tile.grad.wrapping_add(r * tile.grad_stride + 16 * j);
                        let old = _mm512_maskz_loadu_ps(masks[j], out);
                        _mm512_mask_storeu_ps(out, masks[j], _mm512_add_ps(old, row[j]));
                    }
                }
            }
        }
    };
}

kernels_512!(
    "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma",
    f32,
    forward_512,
    outer_512,
    multiply_add
);
kernels_512!(
    "avx512bf16,avx512f,avx512bw,avx512dq,avx512vl,avx2,fma",
    Pair,
    forward_512_pairs,
    outer_512_pairs,
    multiply_add_pairs
);

#[target_feature(enable = "avx512f")]
#[inline]
fn multiply_add(sum: __m512, a: __m512, b: __m512) -> __m512 {
    _mm512_fmadd_ps(a, b, sum)
}

#[target_feature(enable = "avx512bf16,avx512f")]
#[inline]
fn multiply_add_pairs(sum: __m512, a: __m512, b: __m512) -> __m512 {
    // Spelt out twice: by way of an array they would go through memory.
    // SAFETY: registers of the same size, any bits are valid in both.
    let (a, b) = unsafe {
        (
            std::mem::transmute::<__m512, __m512bh>(a),
            std::mem::transmute::<__m512, __m512bh>(b),
        )
    };
    _mm512_dpbf16_ps(sum, a, b)
}

fn mask8(columns: usize, register: usize) -> [i32; 8] {
    std::array::from_fn(|i| if register * 8 + i < columns { -1 } else { 0 })
}

/// 6 x 16 accumulators.
///
/// # Safety
/// As [`super::forward_tile`]; the panel is 16 columns wide.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn forward_256(tile: &ForwardTile<f32>) {
    const ROWS: usize = 6;
    // SAFETY: pointers hold what `ForwardTile` says; columns are masked on the way out.
    unsafe {
        let mut acc = [[_mm256_setzero_ps(); 2]; ROWS];
        for t in 0..tile.taps {
            let rows: [*const f32; ROWS] =
                std::array::from_fn(|r| (*tile.inputs.add(t * ROWS + r)).add(tile.first_channel));
            let mut b = tile.panel.add(t * tile.tap_stride);
            for c in 0..tile.channels {
                let (b0, b1) = (_mm256_loadu_ps(b), _mm256_loadu_ps(b.add(8)));
                b = b.add(16);
                for r in 0..ROWS {
                    let a = _mm256_set1_ps(*rows[r].add(c));
                    acc[r][0] = _mm256_fmadd_ps(a, b0, acc[r][0]);
                    acc[r][1] = _mm256_fmadd_ps(a, b1, acc[r][1]);
                }
            }
        }
        let slope = _mm256_set1_ps(tile.slope);
        for j in 0..2 {
            let mask = mask8(tile.columns, j);
            let mask = _mm256_loadu_si256(mask.as_ptr().cast());
            let bias = if tile.bias.is_null() {
                _mm256_setzero_ps()
            } else {
                _mm256_maskload_ps(tile.bias.wrapping_add(8 * j), mask)
            };
            for (r, row) in acc.iter().enumerate().take(tile.rows) {
                let out = (*tile.outputs.add(r)).wrapping_add(8 * j);
                let mut v = _mm256_add_ps(row[j], bias);
                if tile.add {
                    v = _mm256_add_ps(v, _mm256_maskload_ps(out, mask));
                }
                v = _mm256_max_ps(v, _mm256_mul_ps(v, slope));
                _mm256_maskstore_ps(out, mask, v);
            }
        }
    }
}

/// # Safety
/// As [`super::outer_tile`] with exactly `ROWS` rows.
#[target_feature(enable = "avx2,fma")]
pub(super) unsafe fn outer_256<const ROWS: usize>(tile: &OuterTile<f32>) {
    // SAFETY: pointers hold what `OuterTile` says; columns are masked.
    unsafe {
        let (m0, m1) = (mask8(tile.columns, 0), mask8(tile.columns, 1));
        let masks = [
            _mm256_loadu_si256(m0.as_ptr().cast()),
            _mm256_loadu_si256(m1.as_ptr().cast()),
        ];
        let mut acc = [[_mm256_setzero_ps(); 2]; ROWS];
        for p in 0..tile.count {
            let (x, dy) = *tile.pairs.add(p);
            let x = x.add(tile.first_row);
            let dy = dy.wrapping_add(tile.first_column);
            let d0 = _mm256_maskload_ps(dy, masks[0]);
            let d1 = _mm256_maskload_ps(dy.wrapping_add(8), masks[1]);
            for (r, sums) in acc.iter_mut().enumerate() {
                let a = _mm256_set1_ps(*x.add(r));
                sums[0] = _mm256_fmadd_ps(a, d0, sums[0]);
                sums[1] = _mm256_fmadd_ps(a, d1, sums[1]);
            }
        }
        for (r, row) in acc.iter().enumerate() {
            for j in 0..2 {
                let out = tile.grad.wrapping_add(r * tile.grad_stride + 8 * j);
                let old = _mm256_maskload_ps(out, masks[j]);
                _mm256_maskstore_ps(out, masks[j], _mm256_add_ps(old, row[j]));
            }
        }
    }
}
