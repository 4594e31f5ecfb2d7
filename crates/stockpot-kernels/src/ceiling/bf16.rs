//! The same ceiling for `bf16`: products of pairs, summed in `f32`, in registers only.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "calling functions compiled for other processors than the oldest"
    )
)]

#[cfg(target_arch = "x86_64")]
use crate::isa::Isa;
use crate::isa::multiplies_bf16;

/// Makes `rounds` rounds of multiply-adds of `bf16` pairs that need no memory, and returns how many
/// products and sums that were; `None` if this processor does not multiply `bf16` by itself.
pub fn multiply_adds_bf16(rounds: usize) -> Option<u64> {
    if !multiplies_bf16() {
        return None;
    }
    #[cfg(target_arch = "x86_64")]
    {
        if Isa::best() == Isa::Amx {
            // SAFETY: the set is there.
            let each = unsafe { crate::tiles::in_registers(rounds) };
            return Some(each as u64 * rounds as u64);
        }
        // SAFETY: `multiplies_bf16` is true only after the processor reported these features.
        let sum = unsafe { x86::run(rounds, std::hint::black_box(0x3f00_3f00)) };
        std::hint::black_box(sum);
        Some((2 * x86::CHAINS * x86::PRODUCTS) as u64 * rounds as u64)
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        let _ = rounds;
        None
    }
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::*;

    /// Sums in flight, as for `f32`.
    pub(super) const CHAINS: usize = 12;
    /// Products of one instruction.
    pub(super) const PRODUCTS: usize = 32;

    /// Every one of the sums grows by two products of `pair` with itself, `rounds` times from zero.
    /// `pair` is two `bf16` in 32 bits.
    #[target_feature(enable = "avx512bf16,avx512f")]
    pub(super) fn run(rounds: usize, pair: i32) -> f32 {
        let bits = _mm512_set1_epi32(pair);
        // SAFETY: registers of the same size, any bits are valid in both.
        let pairs = unsafe { std::mem::transmute::<__m512i, __m512bh>(bits) };
        // What could be known to be equal would be computed once for all.
        let [a, b, c, d, e, f, g, h, i, j, k, l] =
            std::hint::black_box([0.0f32; CHAINS]).map(|v| _mm512_set1_ps(v));
        let step = |sum| _mm512_dpbf16_ps(sum, pairs, pairs);
        let (mut a, mut b, mut c, mut d, mut e, mut f) = (a, b, c, d, e, f);
        let (mut g, mut h, mut i, mut j, mut k, mut l) = (g, h, i, j, k, l);
        for _ in 0..rounds {
            (a, b, c, d, e, f) = (step(a), step(b), step(c), step(d), step(e), step(f));
            (g, h, i, j, k, l) = (step(g), step(h), step(i), step(j), step(k), step(l));
        }
        let all: [__m512; CHAINS] = [a, b, c, d, e, f, g, h, i, j, k, l];
        all.into_iter().map(|sum| _mm512_reduce_add_ps(sum)).sum()
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        #[test]
        fn chains_compute_what_they_claim() {
            if !crate::isa::multiplies_bf16() {
                eprintln!("skipped: this processor does not multiply bf16");
                return;
            }
            // Two halves: each of 16 lanes of 12 chains gains 0.25 twice a round.
            // SAFETY: the processor multiplies bf16, as was just asked.
            let found = unsafe { run(3, 0x3f00_3f00) };
            assert_eq!(found, 12.0 * 16.0 * 3.0 * 0.5);
            let each = match crate::Isa::best() {
                // Four products of 16 x 16 sums over 32 numbers.
                crate::Isa::Amx => 4 * 2 * 16 * 16 * 32,
                _ => 2 * 12 * 32,
            };
            assert_eq!(super::super::multiply_adds_bf16(10), Some(10 * each));
        }
    }
}
