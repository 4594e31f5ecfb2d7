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
    /// x86-64 with all of [`Isa::Avx512`] and matrix registers for `bf16`, AMX (Sapphire Rapids and
    /// later), on Linux, where a process must ask for them. `f32` is the same as without.
    Amx,
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
                if is_x86_feature_detected!("avx512bf16") && amx::is_ours() {
                    found.push(Self::Amx);
                }
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

    /// Whether registers are 512 bits wide.
    pub(crate) const fn is_512(self) -> bool {
        matches!(self, Self::Amx | Self::Avx512)
    }

    /// The name used in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Amx => "AVX-512 and AMX",
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
        *FOUND.get_or_init(|| Isa::best().is_512() && is_x86_feature_detected!("avx512bf16"))
    }
    #[cfg(not(target_arch = "x86_64"))]
    {
        false
    }
}

/// Whether products of `bf16` are quicker here than those of `f32`: in matrix registers they are,
/// and with AMD's instructions (912 against 466 GFLOP/s on two cores of an EPYC); with Intel's
/// without matrix registers they are not (221 against 210).
pub fn gains_from_bf16() -> bool {
    #[cfg(target_arch = "x86_64")]
    {
        let is_intel = || {
            let id = std::arch::x86_64::__cpuid(0);
            let name = [id.ebx, id.edx, id.ecx].map(u32::to_le_bytes);
            name.as_flattened() == b"GenuineIntel"
        };
        Isa::best() == Isa::Amx || multiplies_bf16() && !is_intel()
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
            Isa::Amx | Isa::Avx512 => return unsafe { wide(work) },
            // SAFETY: as above.
            Isa::Avx2 => return unsafe { medium(work) },
            // Here for other processors; nothing to enable.
            Isa::Neon | Isa::Portable => {}
        }
    }
    work()
}

#[cfg(target_arch = "x86_64")]
mod amx {
    use std::sync::OnceLock;

    /// Whether processor and system let us use AMX with `bf16`. Asks the system for it, once.
    pub(super) fn is_ours() -> bool {
        static FOUND: OnceLock<bool> = OnceLock::new();
        *FOUND.get_or_init(|| is_there() && is_granted())
    }

    /// Leaf 7 of `cpuid`: bit 22 of EDX is AMX-BF16, bit 24 AMX-TILE (Intel's manual, volume 2A).
    fn is_there() -> bool {
        const WANTED: u32 = 1 << 22 | 1 << 24;
        let leaves = std::arch::x86_64::__cpuid(0).eax;
        leaves >= 7 && std::arch::x86_64::__cpuid_count(7, 0).edx & WANTED == WANTED
    }

    /// Linux gives the large registers only to processes that ask; all their threads have them
    /// from then on (`Documentation/arch/x86/xstate.rst` of the kernel).
    #[cfg(target_os = "linux")]
    fn is_granted() -> bool {
        const ARCH_REQ_XCOMP_PERM: libc::c_long = 0x1023;
        /// Number of the state component of the tiles.
        const XFEATURE_XTILEDATA: libc::c_long = 18;
        // SAFETY: the call takes two numbers and changes nothing but what this process may use.
        let answer = unsafe {
            libc::syscall(
                libc::SYS_arch_prctl,
                ARCH_REQ_XCOMP_PERM,
                XFEATURE_XTILEDATA,
            )
        };
        answer == 0
    }

    #[cfg(not(target_os = "linux"))]
    fn is_granted() -> bool {
        false
    }
}
