//! Which instructions this processor has, found once at run time.
#![cfg_attr(
    target_arch = "x86_64",
    expect(
        unsafe_code,
        reason = "calling functions compiled for other processors than the oldest"
    )
)]

use std::sync::OnceLock;

/// The instruction sets we have code paths for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Isa {
    /// x86-64 with AVX-512 F, BW, DQ and VL (Zen 4, Sapphire Rapids and later).
    Avx512,
    /// x86-64 with AVX2 and FMA (since about 2013).
    Avx2,
    /// 64-bit ARM, all of which has it.
    Neon,
    /// Anything else: loops that the compiler vectorises as it can.
    Portable,
}

impl Isa {
    /// The best set that this processor has.
    pub fn best() -> Self {
        static BEST: OnceLock<Isa> = OnceLock::new();
        *BEST.get_or_init(|| Self::available()[0])
    }

    /// All sets that this processor can run, best first. Never empty.
    pub fn available() -> Vec<Self> {
        let mut found = Vec::new();
        #[cfg(target_arch = "x86_64")]
        {
            if is_x86_feature_detected!("avx512f")
                && is_x86_feature_detected!("avx512bw")
                && is_x86_feature_detected!("avx512dq")
                && is_x86_feature_detected!("avx512vl")
                && is_x86_feature_detected!("fma")
            {
                found.push(Self::Avx512);
            }
            if is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma") {
                found.push(Self::Avx2);
            }
        }
        #[cfg(target_arch = "aarch64")]
        if std::arch::is_aarch64_feature_detected!("neon") {
            found.push(Self::Neon);
        }
        found.push(Self::Portable);
        found
    }

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Avx512 => "AVX-512",
            Self::Avx2 => "AVX2+FMA",
            Self::Neon => "NEON",
            Self::Portable => "portable",
        }
    }
}

/// Whether this processor multiplies `bf16` by itself (AVX-512 BF16: Zen 4, Cooper Lake, Sapphire
/// Rapids and later). Elsewhere [`crate::Precision::Bf16`] is emulated, for tests and not for use.
pub fn multiplies_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        static FOUND: OnceLock<bool> = OnceLock::new();
        *FOUND.get_or_init(|| Isa::best() == Isa::Avx512 && is_x86_feature_detected!("avx512bf16"))
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Runs `work` compiled for the best instruction set here, so that plain loops inside it are
/// vectorised with wide registers. `work` should be small and `#[inline]`-able.
///
/// Contraction to fused multiply-add is *not* allowed to the compiler by this: results of plain
/// `a * b + c` are the same on every set.
pub fn vectorise<R>(work: impl FnOnce() -> R) -> R {
    #[cfg(target_arch = "x86_64")]
    {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx2,fma")]
        fn wide<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        #[target_feature(enable = "avx2,fma")]
        fn medium<R>(work: impl FnOnce() -> R) -> R {
            work()
        }
        match Isa::best() {
            // SAFETY: `Isa::best` returns a set only after the processor reported its features.
            Isa::Avx512 => return unsafe { wide(work) },
            // SAFETY: as above.
            Isa::Avx2 => return unsafe { medium(work) },
            // Here for other processors; nothing to enable.
            Isa::Neon | Isa::Portable => {}
        }
    }
    work()
}
