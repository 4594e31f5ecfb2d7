//! Lines of pixels copied into tiles and panels.
#![expect(
    unsafe_code,
    reason = "raw pointers of the innermost loops, functions for other processors"
)]

use std::cell::RefCell;
use std::thread::LocalKey;

use super::{Laid, Line, NUMBERS, PAIRS};
use crate::aligned::Aligned;
use crate::isa::Isa;
#[cfg(target_arch = "x86_64")]
use crate::isa::multiplies_bf16;
use crate::precision::Pair;

impl Laid for f32 {
    const PICTURES: usize = 1;

    fn scratch() -> &'static LocalKey<RefCell<[Aligned<Self>; 2]>> {
        &NUMBERS
    }

    unsafe fn lay_out(isa: Isa, line: &Line<Self>) {
        // SAFETY: the caller's promises are passed on.
        unsafe {
            match isa {
                #[cfg(target_arch = "x86_64")]
                Isa::Amx | Isa::Avx512 => x86::numbers(line),
                _ => plainly(line, |first, _| first),
            }
        }
    }
}

impl Laid for Pair {
    const PICTURES: usize = 2;

    fn scratch() -> &'static LocalKey<RefCell<[Aligned<Self>; 2]>> {
        &PAIRS
    }

    unsafe fn lay_out(_isa: Isa, line: &Line<Self>) {
        // SAFETY: the caller's promises are passed on; the processor has the instructions.
        unsafe {
            #[cfg(target_arch = "x86_64")]
            if multiplies_bf16() {
                return x86::pairs(line);
            }
            plainly(line, Pair::new);
        }
    }
}

/// # Safety
/// As [`Laid::lay_out`].
unsafe fn plainly<T: Copy>(line: &Line<T>, join: impl Fn(f32, f32) -> T) {
    let [first, second] = line.pictures;
    for p in 0..line.pixels {
        for n in 0..line.numbers {
            let from = p * line.stride + n;
            let to = n / line.part * line.part_stride + p * line.part + n % line.part;
            // SAFETY: a number of a pixel, and its place in its part.
            unsafe {
                let number = |picture: *const f32| match picture.is_null() {
                    true => 0.0,
                    false => *picture.add(from),
                };
                *line.to.add(to) = join(number(first), number(second));
            }
        }
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    use super::Line;
    use crate::precision::{INTERLEAVED, Pair};

    /// # Safety
    /// As [`super::Laid::lay_out`].
    #[target_feature(enable = "avx512bf16,avx512f,avx512bw")]
    pub(super) unsafe fn pairs(line: &Line<Pair>) {
        // SAFETY: 64 bytes are read.
        let places = unsafe { _mm512_loadu_si512(INTERLEAVED.as_ptr().cast()) };
        // SAFETY: the caller's promise; what is masked out is not touched.
        unsafe {
            each_register(line, |masks, from, to| {
                let a = _mm512_maskz_loadu_ps(masks[0], from[0]);
                let b = _mm512_maskz_loadu_ps(masks[1], from[1]);
                let both: __m512i = std::mem::transmute(_mm512_cvtne2ps_pbh(b, a));
                let mixed = _mm512_permutexvar_epi16(places, both);
                _mm512_mask_storeu_epi32(to.cast(), masks[0], mixed);
            });
        }
    }

    /// # Safety
    /// As [`super::Laid::lay_out`].
    #[target_feature(enable = "avx512f")]
    pub(super) unsafe fn numbers(line: &Line<f32>) {
        // SAFETY: the caller's promise; what is masked out is not touched.
        unsafe {
            each_register(line, |masks, from, to| {
                let numbers = _mm512_maskz_loadu_ps(masks[0], from[0]);
                _mm512_mask_storeu_ps(to, masks[0], numbers);
            });
        }
    }

    /// Calls `copy(masks of both pictures, from, to)` for each register of each part.
    ///
    /// # Safety
    /// As [`super::Laid::lay_out`].
    #[inline(always)]
    unsafe fn each_register<T>(
        line: &Line<T>,
        copy: impl Fn([__mmask16; 2], [*const f32; 2], *mut T),
    ) {
        let there: [__mmask16; 2] = line.pictures.map(|p| if p.is_null() { 0 } else { !0 });
        for p in 0..line.pixels {
            let from = line.pictures.map(|x| x.wrapping_add(p * line.stride));
            let mut to = line.to.wrapping_add(p * line.part);
            let mut n = 0;
            while n < line.numbers {
                let end = line.numbers.min(n + line.part);
                let mut at = n;
                while at < end {
                    let lanes = (end - at).min(16);
                    let mask = (0xffff_u32 >> (16 - lanes)) as __mmask16;
                    let from = from.map(|x| x.wrapping_add(at));
                    copy(there.map(|t| t & mask), from, to.wrapping_add(at - n));
                    at += 16;
                }
                n += line.part;
                to = to.wrapping_add(line.part_stride);
            }
        }
    }
}
