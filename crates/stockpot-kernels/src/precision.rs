//! Numbers of the products: `f32`, or pairs of `bf16` whose products are summed in `f32`.
//!
//! A `bf16` is the upper half of an `f32`, rounded to the nearest, ties to even; numbers below
//! the smallest normal one become zero, as the processor's own instructions do it. Processors
//! multiply two of them a lane and step, so they are kept as [`Pair`]s: neighbouring channels for
//! [`crate::matmul()`], neighbouring positions for weight gradients.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "functions compiled for processors with bf16 instructions"
    )
)]

use std::cell::RefCell;
use std::ops::Range;

use crate::aligned::Aligned;
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::multiplies_bf16;
use crate::micro::Cell;

/// What the inputs of a product are rounded to. Sums are `f32` always.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Precision {
    /// Not rounded.
    #[default]
    F32,
    /// Rounded to `bf16`: 8 bits of precision, the range of `f32`. Faster on processors for which
    /// [`crate::isa::gains_from_bf16`] holds, many times slower where
    /// [`crate::isa::multiplies_bf16`] does not.
    Bf16,
}

/// Two `bf16`, the first in the lower half.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[repr(transparent)]
pub(crate) struct Pair(u32);

impl Pair {
    pub(crate) const ZERO: Self = Self(0);

    #[inline(always)]
    pub(crate) fn new(first: f32, second: f32) -> Self {
        Self(u32::from(round(first)) | u32::from(round(second)) << 16)
    }

    #[inline(always)]
    pub(crate) fn numbers(self) -> [f32; 2] {
        [
            f32::from_bits(self.0 << 16),
            f32::from_bits(self.0 & 0xffff_0000),
        ]
    }
}

/// The upper half of `value` after rounding to the nearest, ties to even.
#[inline(always)]
fn round(value: f32) -> u16 {
    let bits = value.to_bits();
    if value.is_nan() {
        // The highest bit of the fraction keeps it a NaN when the lower half goes.
        return (bits >> 16) as u16 | 0x40;
    }
    if bits & 0x7f80_0000 == 0 {
        return (bits >> 16) as u16 & 0x8000;
    }
    ((bits + 0x7fff + (bits >> 16 & 1)) >> 16) as u16
}

/// A kind of cell with the way to make it from numbers.
pub(crate) trait Input: Cell {
    /// Cells that a pixel of `channels` numbers takes.
    fn cells(channels: usize) -> usize;

    /// Calls `work` with at least pixels `pixels` of `input` as cells, and the pixel they start
    /// at. It must not call this again.
    fn with_window(
        input: &[f32],
        channels: usize,
        pixels: Range<usize>,
        work: impl FnOnce((&[Self], usize)),
    );

    /// Whether products of these cells go through matrix registers.
    fn in_tiles(isa: Isa) -> bool;
}

impl Input for f32 {
    fn cells(channels: usize) -> usize {
        channels
    }

    fn with_window(
        input: &[f32],
        _channels: usize,
        _pixels: Range<usize>,
        work: impl FnOnce((&[Self], usize)),
    ) {
        work((input, 0));
    }

    fn in_tiles(_isa: Isa) -> bool {
        false
    }
}

impl Input for Pair {
    fn cells(channels: usize) -> usize {
        channels.div_ceil(2)
    }

    fn with_window(
        input: &[f32],
        channels: usize,
        pixels: Range<usize>,
        work: impl FnOnce((&[Self], usize)),
    ) {
        let len = pixels.len() * channels.div_ceil(2);
        let input = &input[pixels.start * channels..pixels.end * channels];
        WINDOW.with_borrow_mut(|scratch| {
            if scratch.len() < len {
                scratch.resize(len);
            }
            let scratch = &mut scratch[..len];
            if channels.is_multiple_of(2) {
                pair_up(input, scratch);
            } else {
                let cells = scratch.chunks_exact_mut(channels.div_ceil(2));
                for (pixel, cells) in input.chunks_exact(channels).zip(cells) {
                    pair_up(pixel, cells);
                }
            }
            work((scratch, pixels.start));
        });
    }

    fn in_tiles(isa: Isa) -> bool {
        isa == Isa::Amx
    }
}

thread_local! {
    /// Rounded input of the block that this thread works on; kept, so that its memory is warm.
    static WINDOW: RefCell<Aligned<Pair>> = const { RefCell::new(Aligned::new()) };
}

/// Neighbours as pairs; an odd last number is paired with zero.
fn pair_up(numbers: &[f32], pairs: &mut [Pair]) {
    assert_eq!(numbers.len().div_ceil(2), pairs.len());
    #[cfg(target_arch = "x86_64")]
    let done = if multiplies_bf16() {
        // SAFETY: the processor has the instructions.
        unsafe { x86::pair_up(numbers, pairs) }
    } else {
        0
    };
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    let rest = numbers[2 * done..].chunks(2);
    for (pair, both) in pairs[done..].iter_mut().zip(rest) {
        *pair = Pair::new(both[0], both.get(1).copied().unwrap_or(0.0));
    }
}

/// `pairs[i] = (first[i], second[i])`.
pub(crate) fn interleave(first: &[f32], second: &[f32], pairs: &mut [Pair]) {
    assert!(first.len() == pairs.len() && second.len() == pairs.len());
    #[cfg(target_arch = "x86_64")]
    let done = if multiplies_bf16() {
        // SAFETY: the processor has the instructions.
        unsafe { x86::interleave(first, second, pairs) }
    } else {
        0
    };
    #[cfg(not(target_arch = "x86_64"))]
    let done = 0;
    let rest = first[done..].iter().zip(&second[done..]);
    for (pair, (first, second)) in pairs[done..].iter_mut().zip(rest) {
        *pair = Pair::new(*first, *second);
    }
}

/// Which of 32 numbers goes where so that two halves are interleaved: element `2i` from place `i`,
/// element `2i + 1` from place `16 + i`.
#[cfg(target_arch = "x86_64")]
pub(crate) const INTERLEAVED: [u16; 32] = {
    let mut places = [0; 32];
    let mut i = 0;
    while i < 32 {
        places[i] = (i / 2 + i % 2 * 16) as u16;
        i += 1;
    }
    places
};

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::{INTERLEAVED, Pair};

    /// The pairs of the whole registers in `numbers`; returns how many it made.
    #[target_feature(enable = "avx512bf16,avx512f,avx512bw")]
    pub(super) fn pair_up(numbers: &[f32], pairs: &mut [Pair]) -> usize {
        let count = numbers.len() / 2;
        let (whole, rest) = pairs[..count].as_chunks_mut::<16>();
        let parts = numbers.chunks_exact(32);
        for (from, to) in parts.zip(whole) {
            // SAFETY: 32 numbers are read and 16 pairs of four bytes written.
            unsafe {
                let low = _mm512_loadu_ps(from.as_ptr());
                let high = _mm512_loadu_ps(from.as_ptr().add(16));
                let both: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(high, low));
                _mm512_storeu_si512(to.as_mut_ptr().cast(), both);
            }
        }
        count - rest.len()
    }

    /// All of [`super::interleave`].
    #[target_feature(enable = "avx512bf16,avx512f,avx512bw")]
    #[inline]
    pub(super) fn interleave(a: &[f32], b: &[f32], pairs: &mut [Pair]) -> usize {
        // SAFETY: 64 bytes are read.
        let places = unsafe { _mm512_loadu_si512(INTERLEAVED.as_ptr().cast()) };
        let all = pairs.len();
        let (whole, rest) = pairs.as_chunks_mut::<16>();
        let sides = a.chunks_exact(16).zip(b.chunks_exact(16));
        for ((a, b), to) in sides.zip(&mut *whole) {
            // SAFETY: 16 numbers are read from each side and 16 pairs of four bytes written.
            unsafe {
                let (a, b) = (_mm512_loadu_ps(a.as_ptr()), _mm512_loadu_ps(b.as_ptr()));
                let both: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(b, a));
                let mixed = _mm512_permutexvar_epi16(places, both);
                _mm512_storeu_si512(to.as_mut_ptr().cast(), mixed);
            }
        }
        if rest.is_empty() {
            return all;
        }
        let done = all - rest.len();
        let mask = (1 << rest.len()) - 1;
        // SAFETY: the mask leaves out what lies beyond the three, which are equally long.
        unsafe {
            let a = _mm512_maskz_loadu_ps(mask, a[done..].as_ptr());
            let b = _mm512_maskz_loadu_ps(mask, b[done..].as_ptr());
            let both: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(b, a));
            let mixed = _mm512_permutexvar_epi16(places, both);
            _mm512_mask_storeu_epi32(rest.as_mut_ptr().cast(), mask, mixed);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rounds_to_nearest_even_on_every_path() {
        // 1 + 2^-8 is a tie (down to even), 1 + 3 * 2^-8 another (up to even).
        assert_eq!(round(1.0 + 2f32.powi(-8)), 0x3f80);
        assert_eq!(round(1.0 + 3.0 * 2f32.powi(-8)), 0x3f82);
        assert_eq!(round(-f32::MIN_POSITIVE / 2.0), 0x8000);
        let special = [f32::INFINITY, f32::NEG_INFINITY, f32::MAX, 0.0, -0.0, 1e-40];
        let mut numbers: Vec<f32> = special.to_vec();
        numbers.extend((0..97).map(|i| ((i * 7919 % 101) as f32 - 50.0) * 0.013));
        let mut pairs = vec![Pair::ZERO; numbers.len().div_ceil(2)];
        pair_up(&numbers, &mut pairs);
        for (both, pair) in numbers.chunks(2).zip(&pairs) {
            assert_eq!(*pair, Pair::new(both[0], *both.get(1).unwrap_or(&0.0)));
        }
        let reversed: Vec<f32> = numbers.iter().rev().copied().collect();
        let mut pairs = vec![Pair::ZERO; numbers.len()];
        interleave(&numbers, &reversed, &mut pairs);
        for ((a, b), pair) in numbers.iter().zip(&reversed).zip(&pairs) {
            assert_eq!(*pair, Pair::new(*a, *b));
        }
        assert!(Pair::new(f32::NAN, 0.0).numbers()[0].is_nan());
    }
}
