//! The pattern: which waves of the tile carry what.
//!
//! The mark is a square tile that repeats over the frame, a sum of waves with whole numbers of
//! periods per tile, in a ring of middle frequencies. A quarter of the waves have phases that are
//! the same in every mark: by them the detector finds the tile again. The others carry two signs
//! each, of their cosine and of their sine. Everything here is public and fixed, so that whoever
//! has the program can look for the mark; it is written down in `docs/formats/mark.md`.

use stockpot_core::Rng;

use crate::code::CODE_BITS;
use crate::fft::{Complex, forward_2d};

/// Waves per tile side: the ring of frequencies, from its inner to its outer radius. With a tile of
/// 128 px these are wave lengths of 32 to 9 px: long enough for halving and strong compression,
/// short enough to be hidden by what is in the picture. A ring of 6 to 20 was tried: its power is
/// spread over twice the waves, and half as many single pictures got through H.264 at crf 28.
pub(crate) const INNER: f32 = 4.0;
pub(crate) const OUTER: f32 = 14.0;
/// One of so many waves has a fixed phase.
const SYNC_SHARE: usize = 4;
/// Half-rings of this width share one estimate of signal and noise.
pub(crate) const RINGS: usize = (OUTER - INNER) as usize + 1;
/// Seed of everything random here, part of the format.
const SEED: u64 = 0x73_74_6f_63_6b_70_6f_74;

/// One wave of the tile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Wave {
    /// Periods per tile to the right, 1 or more.
    pub(crate) k: i32,
    /// Periods per tile downwards, not 0.
    pub(crate) l: i32,
    /// Index of its ring, below [`RINGS`].
    pub(crate) ring: usize,
    /// What it carries.
    pub(crate) load: Load,
}

/// What a wave carries.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Load {
    /// Nothing: this phase.
    Sync(Complex),
    /// Two code bits, as the signs of its cosine and its sine, each flipped by a fixed sign.
    Data([Slot; 2]),
}

/// The place of a code bit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Slot {
    /// Which code bit.
    pub(crate) bit: usize,
    /// +1 or -1, so that ids of many zeros make no different pattern.
    pub(crate) sign: f32,
}

/// All waves, in the order of `k`, then `l`.
pub(crate) fn waves() -> Vec<Wave> {
    let reach = OUTER as i32;
    let mut waves = Vec::new();
    for k in 1..=reach {
        for l in (-reach..=reach).filter(|l| *l != 0) {
            let radius = ((k * k + l * l) as f32).sqrt();
            if (INNER..=OUTER).contains(&radius) {
                waves.push(Wave {
                    k,
                    l,
                    ring: ((radius - INNER).round() as usize).min(RINGS - 1),
                    load: Load::Sync(Complex::default()),
                });
            }
        }
    }
    // Shuffled, then by ring: what is dealt out in this order lies everywhere at every frequency.
    let mut rng = Rng::stream(SEED, "mark waves", 0);
    let mut order: Vec<usize> = (0..waves.len()).collect();
    shuffle(&mut order, &mut rng);
    order.sort_by_key(|at| waves[*at].ring);
    let mut bits: Vec<usize> = (0..CODE_BITS).collect();
    shuffle(&mut bits, &mut rng);
    let mut dealt = bits.iter().cycle();
    for (n, at) in order.into_iter().enumerate() {
        waves[at].load = if n % SYNC_SHARE == 0 {
            Load::Sync(Complex::at_turns(f64::from(rng.unit())))
        } else {
            Load::Data([(); 2].map(|()| Slot {
                bit: dealt.next().copied().unwrap_or_default(),
                sign: if rng.chance(0.5) { 1.0 } else { -1.0 },
            }))
        };
    }
    waves
}

impl Wave {
    /// Its phase and amplitude 1, in a mark of this code.
    pub(crate) fn value(&self, code: &[f32; CODE_BITS]) -> Complex {
        match &self.load {
            Load::Sync(phase) => *phase,
            Load::Data([re, im]) => Complex::new(re.sign * code[re.bit], im.sign * code[im.bit])
                .scaled(std::f32::consts::FRAC_1_SQRT_2),
        }
    }
}

/// The tile of a code, row by row, with a mean of 0 and a root mean square of about 1; the few
/// values beyond `most` are cut to it, because they would be seen first.
pub(crate) fn tile(code: &[f32; CODE_BITS], side: usize, most: f32) -> Vec<f32> {
    let waves = waves();
    let mut spectrum = vec![Complex::default(); side * side];
    for wave in &waves {
        // The conjugate makes the forward transform an inverse one: only the real part is used.
        let (k, l) = (wave.k as usize, wave.l.rem_euclid(side as i32) as usize);
        spectrum[l * side + k] = wave.value(code).conj();
    }
    let by = (2.0 / waves.len() as f32).sqrt();
    let turned = forward_2d(spectrum, side, side);
    let mut tile = vec![0.0; side * side];
    for (y, row) in tile.chunks_exact_mut(side).enumerate() {
        for (x, value) in row.iter_mut().enumerate() {
            *value = (turned[x * side + y].re * by).clamp(-most, most);
        }
    }
    tile
}

fn shuffle(items: &mut [usize], rng: &mut Rng) {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.below(i + 1));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MarkId, code};

    #[test]
    fn every_code_bit_has_a_place_and_half_of_them_two() {
        let waves = waves();
        let mut places = vec![Vec::new(); CODE_BITS];
        let mut sync = 0;
        for wave in &waves {
            match wave.load {
                Load::Sync(phase) => {
                    sync += 1;
                    assert!((phase.power() - 1.0).abs() < 1e-5);
                }
                Load::Data(slots) => slots.iter().for_each(|s| places[s.bit].push(wave.ring)),
            }
        }
        assert_eq!(sync, waves.len().div_ceil(SYNC_SHARE));
        assert!(places.iter().all(|rings| !rings.is_empty()));
        let twice = places.iter().filter(|rings| rings.len() > 1).count();
        assert!(
            twice > CODE_BITS * 2 / 5,
            "{twice} in {} waves",
            waves.len()
        );
    }

    #[test]
    fn the_tile_is_the_sum_of_its_waves() {
        let code = code::encode(MarkId::new([1, 2, 3, 4, 5, 6]));
        let side = 128;
        let tile = tile(&code, side, 100.0);
        let waves = waves();
        let by = (2.0 / waves.len() as f64).sqrt();
        for (x, y) in [(0, 0), (3, 99), (127, 64)] {
            let sum: f64 = waves
                .iter()
                .map(|w| {
                    let turns = f64::from(w.k * x + w.l * y) / side as f64;
                    f64::from(w.value(&code).times(Complex::at_turns(turns)).re) * by
                })
                .sum();
            assert!((sum - f64::from(tile[(y * 128 + x) as usize])).abs() < 1e-3);
        }
        let square: f32 = tile.iter().map(|v| v * v).sum::<f32>() / tile.len() as f32;
        assert!((square - 1.0).abs() < 1e-3, "{square}");
    }
}
