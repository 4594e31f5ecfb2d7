//! What a thread of this processor can multiply and add in registers: the ceiling that any product
//! of `f32` is measured against. Start with [`multiply_adds`]; whoever calls it holds the clock.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "calling functions compiled for other processors than the oldest"
    )
)]

mod bf16;

use std::hint::black_box;

pub use bf16::multiply_adds_bf16;

use crate::isa::Isa;

/// Sums in flight: a multiply-add takes about four cycles and two begin in each, so that eight are
/// the least; twelve hide what else goes on, and still fit the sixteen registers of the older sets.
const CHAINS: usize = 12;
/// Numbers of a chain: one register.
const WIDE: usize = 16;
const MEDIUM: usize = 8;

/// Makes `rounds` rounds of multiply-adds that need no memory, and returns how many products and
/// sums that were.
pub fn multiply_adds(rounds: usize) -> u64 {
    // What cannot be known while compiling cannot be left out.
    let factor = black_box(0.999f32);
    black_box(run(rounds, factor));
    let lanes = match Isa::best() {
        Isa::Amx | Isa::Avx512 => WIDE,
        Isa::Avx2 | Isa::Neon | Isa::Portable => MEDIUM,
    };
    (2 * CHAINS * lanes) as u64 * rounds as u64
}

fn run(rounds: usize, factor: f32) -> f32 {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn wide(rounds: usize, factor: f32) -> f32 {
            chains::<WIDE, _>(rounds, factor, fused)
        }
        #[target_feature(enable = "avx2,fma")]
        fn medium(rounds: usize, factor: f32) -> f32 {
            chains::<MEDIUM, _>(rounds, factor, fused)
        }
        match Isa::best() {
            // SAFETY: `Isa::best` returns a set only after the processor reported its features.
            Isa::Amx | Isa::Avx512 => return unsafe { wide(rounds, factor) },
            // SAFETY: as above.
            Isa::Avx2 => return unsafe { medium(rounds, factor) },
            Isa::Neon | Isa::Portable => {}
        }
    }
    // All of its kind fuse.
    #[cfg(target_arch = "aarch64")]
    {
        chains::<MEDIUM, _>(rounds, factor, fused)
    }
    #[cfg(not(target_arch = "aarch64"))]
    plain(rounds, factor)
}

/// Every number of every chain becomes `factor` times itself plus 0.001, `rounds` times from one.
/// Chains are values of their own and not rows of one array: only so do they stay in registers.
#[inline(always)]
fn chains<const LANES: usize, F: Fn(f32, f32) -> f32>(rounds: usize, factor: f32, once: F) -> f32 {
    let one = black_box([1.0f32; LANES]);
    let step = |chain: [f32; LANES]| chain.map(|v| once(v, factor));
    let (mut a, mut b, mut c, mut d, mut e, mut f) = (one, one, one, one, one, one);
    let (mut g, mut h, mut i, mut j, mut k, mut l) = (one, one, one, one, one, one);
    for _ in 0..rounds {
        (a, b, c, d, e, f) = (step(a), step(b), step(c), step(d), step(e), step(f));
        (g, h, i, j, k, l) = (step(g), step(h), step(i), step(j), step(k), step(l));
    }
    let all: [[f32; LANES]; CHAINS] = [a, b, c, d, e, f, g, h, i, j, k, l];
    all.iter().flatten().sum()
}

#[cfg(any(target_arch = "x86_64", target_arch = "aarch64"))]
#[inline(always)]
fn fused(value: f32, factor: f32) -> f32 {
    value.mul_add(factor, 0.001)
}

/// The same where no set has a fused instruction: its emulation would measure a library.
#[cfg(any(not(target_arch = "aarch64"), test))]
fn plain(rounds: usize, factor: f32) -> f32 {
    chains::<MEDIUM, _>(rounds, factor, |value, factor| value * factor + 0.001)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_compute_what_they_claim() {
        // 0.5 (0.5 (0.5 · 1 + 0.001) + 0.001) + 0.001
        let wanted = 0.125 + 0.001 * 1.75;
        let numbers = |operations: u64| operations as f64 / 2.0;
        for (found, count) in [
            (run(3, 0.5), numbers(multiply_adds(1))),
            (plain(3, 0.5), (CHAINS * MEDIUM) as f64),
        ] {
            let each = f64::from(found) / count;
            assert!((each - wanted).abs() < 1e-5, "{each}");
        }
        assert_eq!(multiply_adds(10), 10 * multiply_adds(1));
    }
}
