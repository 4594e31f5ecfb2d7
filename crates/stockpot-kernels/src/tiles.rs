//! Products of `bf16` in the processor's matrix registers ([`crate::Isa::Amx`]).
//!
//! A tile register holds 16 rows of 64 bytes. One instruction multiplies 16 rows of 16 pairs by 16
//! rows (pairs of the depth) of 16 columns and adds to 16 x 16 sums in `f32`: 512 times what a lane
//! of `f32` does, so that what counts here is where the operands come from. Both are laid out for it:
//! *left tiles* of 1 KiB one after the other, and panels as [`crate::pack`] makes them.
//!
//! Stable Rust has no intrinsics for these registers yet, hence inline assembly; every block
//! leaves nothing in them. The compiler itself never touches them.
#![expect(
    unsafe_code,
    reason = "instructions without intrinsics, raw pointers of the innermost loops"
)]

use std::arch::asm;
use std::marker::PhantomData;

use crate::precision::Pair;

/// Rows of a tile, and cells of each.
pub(crate) const SIDE: usize = 16;
/// Cells of a tile.
pub(crate) const CELLS: usize = SIDE * SIDE;
/// Rows and columns of [`Sums`].
pub(crate) const SUMS: usize = 2 * SIDE;

/// Two by two tiles of sums.
#[repr(C, align(64))]
pub(crate) struct Sums(pub(crate) [[f32; SUMS]; SUMS]);

impl Sums {
    pub(crate) const fn new() -> Self {
        Self([[0.0; SUMS]; SUMS])
    }
}

/// The tile registers of this thread, set to 16 rows of 64 bytes each until dropped.
pub(crate) struct Tiles {
    /// Of this thread only.
    own: PhantomData<*const ()>,
}

/// What `ldtilecfg` reads (Intel's manual, volume 2A).
#[repr(C, align(64))]
struct Config {
    palette: u8,
    start_row: u8,
    reserved: [u8; 14],
    row_bytes: [u16; 16],
    rows: [u8; 16],
}

impl Tiles {
    /// # Safety
    /// [`crate::Isa::Amx`] is available.
    pub(crate) unsafe fn begin() -> Self {
        let mut config = Config {
            palette: 1,
            start_row: 0,
            reserved: [0; 14],
            row_bytes: [0; 16],
            rows: [0; 16],
        };
        config.row_bytes[..8].fill(64);
        config.rows[..8].fill(SIDE as u8);
        // SAFETY: the processor has the instruction; it reads the 64 bytes of `config`.
        unsafe {
            asm!("ldtilecfg [{}]", in(reg) &config, options(nostack, readonly));
        }
        Self { own: PhantomData }
    }

    /// `sums = left * right` for one or two rows of tiles by one or two columns of them.
    ///
    /// `left`: `blocks` tiles, one after the other, for each row of tiles; null for a second row
    /// that is not wanted (its sums are not touched). `right`: `16 * blocks` rows of `width` cells,
    /// 16 or 32.
    ///
    /// # Safety
    /// The pointers lead to that much.
    pub(crate) unsafe fn multiply(
        &self,
        left: [*const Pair; 2],
        right: *const Pair,
        width: usize,
        blocks: usize,
        sums: &mut Sums,
    ) {
        debug_assert!(width == SIDE || width == SUMS);
        if blocks == 0 {
            *sums = Sums::new();
            return;
        }
        // SAFETY: the caller's promise; `sums` has two by two tiles of room.
        unsafe {
            match (left[1].is_null(), width == SIDE) {
                (false, false) => two_by_two(left, right, blocks, sums),
                (false, true) => two_by_one(left, right, blocks, sums),
                (true, false) => one_by_two(left, right, blocks, sums),
                (true, true) => one_by_one(left, right, blocks, sums),
            }
        }
    }
}

impl Drop for Tiles {
    fn drop(&mut self) {
        // Switching threads is quicker while the registers are not in use.
        // SAFETY: `begin` promised that the processor has the instruction.
        unsafe {
            asm!("tilerelease", options(nostack, nomem));
        }
    }
}

/// Assembly that may use every tile register.
macro_rules! tiles {
    ($($line:literal),* ; $($operands:tt)*) => {
        asm!(
            $($line),*,
            $($operands)*
            out("tmm0") _, out("tmm1") _, out("tmm2") _, out("tmm3") _,
            out("tmm4") _, out("tmm5") _, out("tmm6") _, out("tmm7") _,
            options(nostack),
        )
    };
}

/// A product in one shape: what is cleared, what a step loads and multiplies, how far it goes on in the
/// right operand, and what is stored.
macro_rules! product {
    (
        $(#[$about:meta])* $name:ident,
        clear: [$($clear:literal),*],
        step: [$($step:literal),*],
        go_on: $go_on:literal,
        store: [$($store:literal),*]
    ) => {
        $(#[$about])*
        ///
        /// # Safety
        /// As [`Tiles::multiply`]; `blocks` is not 0.
        unsafe fn $name(
            left: [*const Pair; 2],
            right: *const Pair,
            blocks: usize,
            sums: &mut Sums,
        ) {
            // SAFETY: the caller's promise; a second pointer that no step reads may be null.
            unsafe {
                tiles!(
                    $($clear,)*
                    "2:",
                    $($step,)*
                    "add {a}, 1024",
                    "add {b}, 1024",
                    $go_on,
                    "dec {n}",
                    "jnz 2b",
                    $($store),*;
                    a = inout(reg) left[0] => _,
                    b = inout(reg) left[1] => _,
                    r = inout(reg) right => _,
                    n = inout(reg) blocks => _,
                    to = in(reg) sums,
                    s64 = in(reg) 64usize,
                    s128 = in(reg) 128usize,
                );
            }
        }
    };
}

product!(
    /// Two rows of tiles by 32 columns.
    two_by_two,
    clear: ["tilezero tmm0", "tilezero tmm1", "tilezero tmm2", "tilezero tmm3"],
    step: [
        "tileloadd tmm4, [{a} + {s64}]",
        "tileloadd tmm6, [{r} + {s128}]",
        "tileloadd tmm7, [{r} + {s128} + 64]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tileloadd tmm5, [{b} + {s64}]",
        "tdpbf16ps tmm1, tmm4, tmm7",
        "tdpbf16ps tmm2, tmm5, tmm6",
        "tdpbf16ps tmm3, tmm5, tmm7"
    ],
    go_on: "add {r}, 2048",
    store: [
        "tilestored [{to} + {s128}], tmm0",
        "tilestored [{to} + {s128} + 64], tmm1",
        "tilestored [{to} + {s128} + 2048], tmm2",
        "tilestored [{to} + {s128} + 2112], tmm3"
    ]
);

product!(
    /// Two rows of tiles by 16 columns.
    two_by_one,
    clear: ["tilezero tmm0", "tilezero tmm2"],
    step: [
        "tileloadd tmm4, [{a} + {s64}]",
        "tileloadd tmm6, [{r} + {s64}]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tileloadd tmm5, [{b} + {s64}]",
        "tdpbf16ps tmm2, tmm5, tmm6"
    ],
    go_on: "add {r}, 1024",
    store: [
        "tilestored [{to} + {s128}], tmm0",
        "tilestored [{to} + {s128} + 2048], tmm2"
    ]
);

product!(
    /// One row of tiles by 32 columns.
    one_by_two,
    clear: ["tilezero tmm0", "tilezero tmm1"],
    step: [
        "tileloadd tmm4, [{a} + {s64}]",
        "tileloadd tmm6, [{r} + {s128}]",
        "tileloadd tmm7, [{r} + {s128} + 64]",
        "tdpbf16ps tmm0, tmm4, tmm6",
        "tdpbf16ps tmm1, tmm4, tmm7"
    ],
    go_on: "add {r}, 2048",
    store: [
        "tilestored [{to} + {s128}], tmm0",
        "tilestored [{to} + {s128} + 64], tmm1"
    ]
);

product!(
    /// One row of tiles by 16 columns.
    one_by_one,
    clear: ["tilezero tmm0"],
    step: [
        "tileloadd tmm4, [{a} + {s64}]",
        "tileloadd tmm6, [{r} + {s64}]",
        "tdpbf16ps tmm0, tmm4, tmm6"
    ],
    go_on: "add {r}, 1024",
    store: ["tilestored [{to} + {s128}], tmm0"]
);

/// `rounds` rounds of four products that need no memory, for [`crate::ceiling`]; returns the
/// products and sums of a round.
///
/// # Safety
/// [`crate::Isa::Amx`] is available.
pub(crate) unsafe fn in_registers(rounds: usize) -> usize {
    const PRODUCTS: usize = 4;
    // SAFETY: the caller's promise.
    let tiles = unsafe { Tiles::begin() };
    // SAFETY: as above; no memory is touched.
    unsafe {
        tiles!(
            "tilezero tmm0",
            "tilezero tmm1",
            "tilezero tmm2",
            "tilezero tmm3",
            "tilezero tmm4",
            "tilezero tmm5",
            "tilezero tmm6",
            "tilezero tmm7",
            "test {n}, {n}",
            "jz 3f",
            "2:",
            "tdpbf16ps tmm0, tmm4, tmm6",
            "tdpbf16ps tmm1, tmm4, tmm7",
            "tdpbf16ps tmm2, tmm5, tmm6",
            "tdpbf16ps tmm3, tmm5, tmm7",
            "dec {n}",
            "jnz 2b",
            "3:";
            n = inout(reg) rounds => _,
        );
    }
    drop(tiles);
    2 * PRODUCTS * SIDE * SIDE * 2 * SIDE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Isa;

    #[test]
    fn tiles_multiply_in_all_shapes() {
        if !Isa::available().contains(&Isa::Amx) {
            eprintln!("not run: this processor has no matrix registers");
            return;
        }
        // Whole numbers, so that sums are exact in any order.
        let cell = |i: usize| Pair::new((i % 7) as f32 - 3.0, (i % 5) as f32 - 2.0);
        let blocks = 3;
        let left: Vec<Pair> = (0..2 * blocks * CELLS).map(cell).collect();
        for width in [SIDE, SUMS] {
            let right: Vec<Pair> = (0..blocks * SIDE * width).map(|i| cell(i + 3)).collect();
            for rows in [1, 2] {
                let mut sums = Sums([[-1.0; SUMS]; SUMS]);
                let second = match rows {
                    1 => std::ptr::null(),
                    _ => left[blocks * CELLS..].as_ptr(),
                };
                // SAFETY: the processor has the registers; both operands are as long as said.
                unsafe {
                    let tiles = Tiles::begin();
                    tiles.multiply(
                        [left.as_ptr(), second],
                        right.as_ptr(),
                        width,
                        blocks,
                        &mut sums,
                    );
                }
                for (r, row) in sums.0.iter().enumerate() {
                    for (n, found) in row.iter().enumerate() {
                        let wanted = if r < rows * SIDE && n < width {
                            let tiles = &left[r / SIDE * blocks * CELLS..];
                            (0..blocks * SIDE).fold(0.0, |sum, k| {
                                let a = tiles[k / SIDE * CELLS + r % SIDE * SIDE + k % SIDE];
                                let ([a0, a1], [b0, b1]) =
                                    (a.numbers(), right[k * width + n].numbers());
                                sum + a0 * b0 + a1 * b1
                            })
                        } else {
                            -1.0
                        };
                        assert_eq!(*found, wanted, "{rows} rows of tiles, {width}: {r} {n}");
                    }
                }
            }
        }
    }
}
