//! The innermost loops: a tile of rows x one panel of columns held in registers.
//!
//! Two shapes: [`Cell::forward`] reads its rows through pointers (no packing of activations), and
//! [`Cell::outer`] sums outer products for weight gradients. Both come for cells of one `f32` and
//! for cells of two `bf16` (see [`crate::precision`]).
#![expect(
    unsafe_code,
    reason = "raw pointers of the innermost loops, functions for other processors"
)]

use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::multiplies_bf16;
use crate::precision::Pair;

#[cfg(target_arch = "aarch64")]
mod neon;
mod portable;
#[cfg(target_arch = "x86_64")]
mod x86;

/// Rows of a forward tile on each instruction set, so that the accumulators fill the registers.
pub(crate) const fn tile_rows(isa: Isa) -> usize {
    match isa {
        Isa::Amx | Isa::Avx512 => 12,
        Isa::Avx2 => 6,
        Isa::Neon => 12,
        Isa::Portable => 4,
    }
}

/// The most rows of any tile.
pub(crate) const MAX_TILE_ROWS: usize = 12;

/// One tile of a forward product.
#[derive(Clone, Copy)]
pub(crate) struct ForwardTile<T> {
    /// `(taps + 1) * tile_rows` pointers to at least `channels` numbers each (tap-major); the last
    /// `tile_rows` of them are what is read next, and only fetched into the cache.
    pub inputs: *const *const T,
    pub taps: usize,
    /// First channel of this slice of the depth, and how many.
    pub first_channel: usize,
    pub channels: usize,
    /// `taps` runs of `channels` rows, `tap_stride` numbers apart; a row is as wide as
    /// [`crate::pack::stored_width`] says for `columns`.
    pub panel: *const T,
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

/// One tile of a weight gradient: `dw[r][n] += sum_m x[m][r] * dy[m][n]`.
#[derive(Clone, Copy)]
pub(crate) struct OuterTile<T> {
    /// `count` pairs of pointers: at least `rows` inputs, at least `columns` output gradients.
    pub pairs: *const (*const T, *const T),
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

/// What a product multiplies at a time: one `f32`, or two `bf16` whose products are added.
pub(crate) trait Cell: Copy + Default + Send + Sync + 'static {
    /// All bits zero.
    const ZERO: Self;
    /// Panels are padded with zeros to a multiple of this many rows.
    const DEPTH_UNIT: usize;

    /// `sum + a * b`, over both numbers of a pair.
    fn multiply_add(sum: f32, a: Self, b: Self) -> f32;

    /// # Safety
    /// All pointers of `tile` are valid as its fields say, `isa` is available, `rows` is at most
    /// `tile_rows(isa)`, and all `tile_rows(isa)` input pointers are readable (rows beyond `rows`
    /// may repeat another).
    unsafe fn forward(isa: Isa, tile: &ForwardTile<Self>);

    /// # Safety
    /// All pointers of `tile` are valid as its fields say, `isa` is available, `rows` is at most
    /// [`MAX_TILE_ROWS`] and `columns` at most the panel width.
    unsafe fn outer(isa: Isa, tile: &OuterTile<Self>);
}

impl Cell for f32 {
    const ZERO: Self = 0.0;
    const DEPTH_UNIT: usize = 1;

    #[inline(always)]
    fn multiply_add(sum: f32, a: Self, b: Self) -> f32 {
        sum + a * b
    }

    unsafe fn forward(isa: Isa, tile: &ForwardTile<Self>) {
        // SAFETY: the caller's promises are passed on.
        unsafe {
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Amx | Isa::Avx512 if tile.columns <= 16 => x86::forward_512::<12, 1>(tile),
                #[cfg(target_arch = "x86_64")]
                Isa::Amx | Isa::Avx512 => x86::forward_512::<12, 2>(tile),
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => x86::forward_256(tile),
                #[cfg(target_arch = "aarch64")]
                Isa::Neon => neon::forward(tile),
                _ => portable::forward::<f32, 4, 8>(tile),
            }
        }
    }

    unsafe fn outer(isa: Isa, tile: &OuterTile<Self>) {
        // SAFETY: the caller's promises are passed on; each arm handles exactly `rows` rows.
        unsafe {
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Amx | Isa::Avx512 if tile.columns <= 16 => match tile.rows {
                    12 => x86::outer_512::<12, 1>(tile),
                    8 => x86::outer_512::<8, 1>(tile),
                    4 => x86::outer_512::<4, 1>(tile),
                    3 => x86::outer_512::<3, 1>(tile),
                    _ => in_parts(tile, 1, |t| x86::outer_512::<1, 1>(t)),
                },
                #[cfg(target_arch = "x86_64")]
                Isa::Amx | Isa::Avx512 => match tile.rows {
                    12 => x86::outer_512::<12, 2>(tile),
                    8 => x86::outer_512::<8, 2>(tile),
                    4 => x86::outer_512::<4, 2>(tile),
                    3 => x86::outer_512::<3, 2>(tile),
                    _ => in_parts(tile, 1, |t| x86::outer_512::<1, 2>(t)),
                },
                #[cfg(target_arch = "x86_64")]
                Isa::Avx2 => match tile.rows {
                    12 => in_parts(tile, 6, |t| x86::outer_256::<6>(t)),
                    8 | 4 => in_parts(tile, 4, |t| x86::outer_256::<4>(t)),
                    3 => x86::outer_256::<3>(tile),
                    _ => in_parts(tile, 1, |t| x86::outer_256::<1>(t)),
                },
                #[cfg(target_arch = "aarch64")]
                Isa::Neon => match tile.rows {
                    12 => neon::outer::<12>(tile),
                    8 => neon::outer::<8>(tile),
                    4 => neon::outer::<4>(tile),
                    3 => neon::outer::<3>(tile),
                    _ => in_parts(tile, 1, |t| neon::outer::<1>(t)),
                },
                _ => portable::outer::<f32, 8>(tile),
            }
        }
    }
}

impl Cell for Pair {
    const ZERO: Self = Pair::ZERO;
    /// The depth of a tile of [`Isa::Amx`].
    const DEPTH_UNIT: usize = 16;

    #[inline(always)]
    fn multiply_add(sum: f32, a: Self, b: Self) -> f32 {
        let ([a0, a1], [b0, b1]) = (a.numbers(), b.numbers());
        sum + a1 * b1 + a0 * b0
    }

    unsafe fn forward(isa: Isa, tile: &ForwardTile<Self>) {
        // SAFETY: the caller's promises are passed on; the emulations have the tile rows and the
        // stored width of their instruction set.
        unsafe {
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Amx | Isa::Avx512 if multiplies_bf16() => match tile.columns {
                    ..=16 => x86::forward_512_pairs::<12, 1>(tile),
                    _ => x86::forward_512_pairs::<12, 2>(tile),
                },
                Isa::Amx | Isa::Avx512 if tile.columns <= 16 => {
                    portable::forward::<Pair, 12, 16>(tile)
                }
                Isa::Amx | Isa::Avx512 => portable::forward::<Pair, 12, 32>(tile),
                Isa::Avx2 => portable::forward::<Pair, 6, 16>(tile),
                Isa::Neon => portable::forward::<Pair, 12, 8>(tile),
                Isa::Portable => portable::forward::<Pair, 4, 8>(tile),
            }
        }
    }

    unsafe fn outer(isa: Isa, tile: &OuterTile<Self>) {
        // SAFETY: the caller's promises are passed on; each arm handles exactly `rows` rows.
        unsafe {
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Amx | Isa::Avx512 if multiplies_bf16() && tile.columns <= 16 => {
                    match tile.rows {
                        12 => x86::outer_512_pairs::<12, 1>(tile),
                        8 => x86::outer_512_pairs::<8, 1>(tile),
                        4 => x86::outer_512_pairs::<4, 1>(tile),
                        3 => x86::outer_512_pairs::<3, 1>(tile),
                        _ => in_parts(tile, 1, |t| x86::outer_512_pairs::<1, 1>(t)),
                    }
                }
                #[cfg(target_arch = "x86_64")]
                Isa::Amx | Isa::Avx512 if multiplies_bf16() => match tile.rows {
                    12 => x86::outer_512_pairs::<12, 2>(tile),
                    8 => x86::outer_512_pairs::<8, 2>(tile),
                    4 => x86::outer_512_pairs::<4, 2>(tile),
                    3 => x86::outer_512_pairs::<3, 2>(tile),
                    _ => in_parts(tile, 1, |t| x86::outer_512_pairs::<1, 2>(t)),
                },
                _ => portable::outer::<Pair, 32>(tile),
            }
        }
    }
}

/// Runs a tile `rows` rows at a time (of which its rows are a multiple).
#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
fn in_parts<T: Copy>(tile: &OuterTile<T>, rows: usize, run: impl Fn(&OuterTile<T>)) {
    for first in (0..tile.rows).step_by(rows) {
        let grad = tile.grad.wrapping_add(first * tile.grad_stride);
        run(&OuterTile {
            first_row: tile.first_row + first,
            rows,
            grad,
            ..*tile
        });
    }
}

#[cfg(all(test, target_arch = "x86_64"))]
mod tests {
    use super::*;

    /// Processors with AVX-512 but without its `bf16` instructions use the emulation in the same
    /// shapes, which the tests of whole products cannot reach where the instructions are there.
    #[test]
    fn bf16_tiles_are_emulated_for_avx512() {
        if !multiplies_bf16() {
            eprintln!("not run: this processor has no bf16 instructions to compare with");
            return;
        }
        // Whole numbers, so that sums are exact in any order.
        let cell = |i: usize| Pair::new((i % 7) as f32 - 3.0, (i % 5) as f32 - 2.0);
        let (rows, channels) = (12, 9);
        let inputs: Vec<Pair> = (0..rows * channels).map(cell).collect();
        let pointers: Vec<*const Pair> = (0..2 * rows)
            .map(|r| inputs[r % rows * channels..].as_ptr())
            .collect();
        for columns in [5, 16, 29] {
            let width = crate::pack::stored_width(Isa::Avx512, columns);
            let panel: Vec<Pair> = (0..channels * width).map(|i| cell(i * 3)).collect();
            let run = |kernel: &dyn Fn(&ForwardTile<Pair>)| {
                let mut found = vec![0.0f32; rows * columns];
                let outputs: Vec<*mut f32> = found
                    .chunks_exact_mut(columns)
                    .map(|row| row.as_mut_ptr())
                    .collect();
                kernel(&ForwardTile {
                    inputs: pointers.as_ptr(),
                    taps: 1,
                    first_channel: 0,
                    channels,
                    panel: panel.as_ptr(),
                    tap_stride: 0,
                    outputs: outputs.as_ptr(),
                    rows,
                    columns,
                    add: false,
                    bias: std::ptr::null(),
                    slope: 1.0,
                });
                found
            };
            // SAFETY: one run of `channels` cells for each row, a panel of the stored width,
            // outputs of `columns` numbers.
            let wanted = run(&|tile| unsafe { Pair::forward(Isa::Avx512, tile) });
            let found = run(&|tile| unsafe {
                match width {
                    16 => portable::forward::<Pair, 12, 16>(tile),
                    _ => portable::forward::<Pair, 12, 32>(tile),
                }
            });
            assert_eq!(found, wanted, "{columns} columns");
            assert!(found.iter().any(|v| *v != 0.0));
        }
    }
}
