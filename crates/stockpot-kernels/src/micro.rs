//! The innermost loops: a tile of rows x one panel of columns held in registers.
//!
//! Two shapes: [`forward_tile`] reads its rows through pointers (no packing of activations), and
//! [`outer_tile`] sums outer products for weight gradients.
#![expect(
    unsafe_code,
    reason = "SIMD intrinsics and raw pointers of the innermost loops"
)]

use crate::isa::Isa;

/// Rows of a forward tile on each instruction set, so that the accumulators fill the registers.
pub(crate) const fn tile_rows(isa: Isa) -> usize {
    match isa {
        Isa::Avx512 => 12,
        Isa::Avx2 => 6,
        Isa::Portable => 4,
    }
}

/// The most rows of any tile.
pub(crate) const MAX_TILE_ROWS: usize = 12;

/// One tile of a forward product.
#[derive(Clone, Copy)]
pub(crate) struct ForwardTile {
    /// `(taps + 1) * tile_rows` pointers to at least `channels` numbers each (tap-major); the last
    /// `tile_rows` of them are what is read next, and only fetched into the cache.
    pub inputs: *const *const f32,
    pub taps: usize,
    /// First channel of this slice of the depth, and how many.
    pub first_channel: usize,
    pub channels: usize,
    /// `taps` runs of `channels` rows, `tap_stride` numbers apart; a row is as wide as
    /// [`crate::pack::stored_width`] says for `columns`.
    pub panel: *const f32,
    pub tap_stride: usize,
    /// `rows` pointers to at least `columns` numbers each.
    pub outputs: *const *mut f32,
    pub rows: usize,
    pub columns: usize,
    /// Add to what the output holds (a later slice of the depth, or a gradient that accumulates).
    pub add: bool,
    /// The bias of the panel's columns (at least `columns` numbers), or null.
    pub bias: *const f32,
    /// Leaky rectifier `max(v, slope * v)` after the bias; 1.0 changes nothing.
    pub slope: f32,
}

/// # Safety
/// All pointers of `tile` are valid as its fields say, `isa` is available, `rows` is at most
/// `tile_rows(isa)`, and all `tile_rows(isa)` input pointers are readable (rows beyond `rows` may
/// repeat another).
pub(crate) unsafe fn forward_tile(isa: Isa, tile: &ForwardTile) {
    // SAFETY: the caller's promises are passed on.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if tile.columns <= 16 => x86::forward_512::<12, 1>(tile),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => x86::forward_512::<12, 2>(tile),
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => x86::forward_256(tile),
            _ => portable::forward(tile),
        }
    }
}

/// One tile of a weight gradient: `dw[r][n] += sum_m x[m][r] * dy[m][n]`.
#[derive(Clone, Copy)]
pub(crate) struct OuterTile {
    /// `count` pairs of pointers: at least `rows` inputs, at least `columns` output gradients.
    pub pairs: *const (*const f32, *const f32),
    pub count: usize,
    /// Numbers to skip behind both pointers of a pair.
    pub first_row: usize,
    pub first_column: usize,
    pub rows: usize,
    pub columns: usize,
    /// The gradient's first element and the numbers from one row to the next.
    pub grad: *mut f32,
    pub grad_stride: usize,
}

/// # Safety
/// All pointers of `tile` are valid as its fields say, `isa` is available, `rows` is at most 12 and
/// `columns` at most the panel width.
pub(crate) unsafe fn outer_tile(isa: Isa, tile: &OuterTile) {
    // SAFETY: the caller's promises are passed on; each arm handles exactly `rows` rows.
    unsafe {
        match isa {
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 if tile.columns <= 16 => match tile.rows {
                12 => x86::outer_512::<12, 1>(tile),
                8 => x86::outer_512::<8, 1>(tile),
                4 => x86::outer_512::<4, 1>(tile),
                3 => x86::outer_512::<3, 1>(tile),
                _ => one_by_one(tile, |t| x86::outer_512::<1, 1>(t)),
            },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx512 => match tile.rows {
                12 => x86::outer_512::<12, 2>(tile),
                8 => x86::outer_512::<8, 2>(tile),
                4 => x86::outer_512::<4, 2>(tile),
                3 => x86::outer_512::<3, 2>(tile),
                _ => one_by_one(tile, |t| x86::outer_512::<1, 2>(t)),
            },
            #[cfg(target_arch = "x86_64")]
            Isa::Avx2 => match tile.rows {
                12 => one_by_six(tile),
                6 => x86::outer_256::<6>(tile),
                4 => x86::outer_256::<4>(tile),
                3 => x86::outer_256::<3>(tile),
                _ => one_by_one(tile, |t| x86::outer_256::<1>(t)),
            },
            _ => portable::outer(tile),
        }
    }
}

fn one_by_one(tile: &OuterTile, run: impl Fn(&OuterTile)) {
    for r in 0..tile.rows {
        let grad = tile.grad.wrapping_add(r * tile.grad_stride);
        run(&OuterTile {
            first_row: tile.first_row + r,
            rows: 1,
            grad,
            ..*tile
        });
    }
}

#[cfg(target_arch = "x86_64")]
unsafe fn one_by_six(tile: &OuterTile) {
    for half in 0..2 {
        let grad = tile.grad.wrapping_add(half * 6 * tile.grad_stride);
        let part = OuterTile {
            first_row: tile.first_row + half * 6,
            rows: 6,
            grad,
            ..*tile
        };
        // SAFETY: half of a valid tile.
        unsafe { x86::outer_256::<6>(&part) };
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{ForwardTile, OuterTile};

    fn mask16(columns: usize, register: usize) -> __mmask16 {
        let left = columns.saturating_sub(register * 16).min(16);
        if left == 16 { !0 } else { (1u16 << left) - 1 }
    }

    /// Cache lines of each row's next run that are asked for in advance; the processor follows
    /// longer ones by itself.
    const FETCH_LINES: usize = 4;

    /// `ROWS` x `16 REGS` accumulators.
    ///
    /// # Safety
    /// As [`super::forward_tile`]; the panel is `16 REGS` columns wide.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    pub(super) unsafe fn forward_512<const ROWS: usize, const REGS: usize>(tile: &ForwardTile) {
        // SAFETY: pointers hold what `ForwardTile` says; columns are masked on the way out.
        unsafe {
            let mut acc = [[_mm512_setzero_ps(); REGS]; ROWS];
            for t in 0..tile.taps {
                let rows: [*const f32; ROWS] = std::array::from_fn(|r| {
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
                        std::array::from_fn(|j| _mm512_loadu_ps(b.add(16 * j)));
                    b = b.add(16 * REGS);
                    for r in 0..ROWS {
                        let a = _mm512_set1_ps(*rows[r].add(c));
                        for j in 0..REGS {
                            acc[r][j] = _mm512_fmadd_ps(a, cols[j], acc[r][j]);
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
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
    pub(super) unsafe fn outer_512<const ROWS: usize, const REGS: usize>(tile: &OuterTile) {
        // SAFETY: pointers hold what `OuterTile` says; columns are masked.
        unsafe {
            let masks: [__mmask16; REGS] = std::array::from_fn(|j| mask16(tile.columns, j));
            let mut acc = [[_mm512_setzero_ps(); REGS]; ROWS];
            for p in 0..tile.count {
                let (x, dy) = *tile.pairs.add(p);
                let x = x.add(tile.first_row);
                let dy = dy.wrapping_add(tile.first_column);
                let cols: [__m512; REGS] = std::array::from_fn(|j| {
                    _mm512_maskz_loadu_ps(masks[j], dy.wrapping_add(16 * j))
                });
                for (r, sums) in acc.iter_mut().enumerate() {
                    let a = _mm512_set1_ps(*x.add(r));
                    for j in 0..REGS {
                        sums[j] = _mm512_fmadd_ps(a, cols[j], sums[j]);
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

    fn mask8(columns: usize, register: usize) -> [i32; 8] {
        std::array::from_fn(|i| if register * 8 + i < columns { -1 } else { 0 })
    }

    /// 6 x 16 accumulators.
    ///
    /// # Safety
    /// As [`super::forward_tile`]; the panel is 16 columns wide.
    #[target_feature(enable = "avx2,fma")]
    pub(super) unsafe fn forward_256(tile: &ForwardTile) {
        const ROWS: usize = 6;
        // SAFETY: pointers hold what `ForwardTile` says; columns are masked on the way out.
        unsafe {
            let mut acc = [[_mm256_setzero_ps(); 2]; ROWS];
            for t in 0..tile.taps {
                let rows: [*const f32; ROWS] = std::array::from_fn(|r| {
                    (*tile.inputs.add(t * ROWS + r)).add(tile.first_channel)
                });
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
    pub(super) unsafe fn outer_256<const ROWS: usize>(tile: &OuterTile) {
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
}

mod portable {
    use super::{ForwardTile, OuterTile};

    const ROWS: usize = 4;
    const COLS: usize = 8;

    /// # Safety
    /// As [`super::forward_tile`]; the panel is 8 columns wide.
    pub(super) unsafe fn forward(tile: &ForwardTile) {
        let mut acc = [[0.0f32; COLS]; ROWS];
        // SAFETY: pointers hold what `ForwardTile` says; only valid rows and columns are written.
        unsafe {
            for t in 0..tile.taps {
                let rows: [*const f32; ROWS] = std::array::from_fn(|r| {
                    (*tile.inputs.add(t * ROWS + r)).add(tile.first_channel)
                });
                let panel = tile.panel.add(t * tile.tap_stride);
                for c in 0..tile.channels {
                    let b: [f32; COLS] = std::array::from_fn(|j| *panel.add(c * COLS + j));
                    for r in 0..ROWS {
                        let a = *rows[r].add(c);
                        for j in 0..COLS {
                            acc[r][j] += a * b[j];
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
    /// As [`super::outer_tile`].
    pub(super) unsafe fn outer(tile: &OuterTile) {
        let mut acc = [[0.0f32; COLS]; super::MAX_TILE_ROWS];
        // SAFETY: pointers hold what `OuterTile` says; only valid rows and columns are touched.
        unsafe {
            for p in 0..tile.count {
                let (x, dy) = *tile.pairs.add(p);
                for (r, row) in acc.iter_mut().enumerate().take(tile.rows) {
                    let a = *x.add(tile.first_row + r);
                    for (j, sum) in row.iter_mut().enumerate().take(tile.columns) {
                        *sum += a * *dy.add(tile.first_column + j);
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
}
