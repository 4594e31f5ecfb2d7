//! Random numbers that depend on a seed, a purpose and an index, and on nothing else.
//!
//! Every random choice of a run draws from its own stream, named by what it is for, so that
//! adding a choice somewhere never changes another, and any item can be made again by itself.

/// A small generator: xoshiro256++ (Blackman and Vigna 2019), seeded through SplitMix64.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rng {
    state: [u64; 4],
}

fn split_mix(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut z = *state;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

impl Rng {
    /// The stream number `index` of `purpose` under `seed`.
    pub fn stream(seed: u64, purpose: &str, index: u64) -> Self {
        let mut mix = seed;
        for byte in purpose.bytes() {
            mix ^= u64::from(byte);
            mix = split_mix(&mut mix);
        }
        mix ^= index;
        Self {
            state: std::array::from_fn(|_| split_mix(&mut mix)),
        }
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let s = &mut self.state;
        let result = s[0].wrapping_add(s[3]).rotate_left(23).wrapping_add(s[0]);
        let t = s[1] << 17;
        s[2] ^= s[0];
        s[3] ^= s[1];
        s[1] ^= s[2];
        s[0] ^= s[3];
        s[2] ^= t;
        s[3] = s[3].rotate_left(45);
        result
    }

    /// Uniform in `[0, 1)`.
    pub fn unit(&mut self) -> f32 {
        (self.next_u64() >> 40) as f32 / (1u64 << 24) as f32
    }

    /// Uniform in `[low, high)`.
    pub fn range(&mut self, low: f32, high: f32) -> f32 {
        low + (high - low) * self.unit()
    }

    /// Uniform in `0..n` (`n` of zero gives zero).
    pub fn below(&mut self, n: usize) -> usize {
        ((u128::from(self.next_u64()) * n as u128) >> 64) as usize
    }

    /// True with this probability.
    pub fn chance(&mut self, probability: f32) -> bool {
        self.unit() < probability
    }

    /// Standard normal (Box and Muller 1958).
    pub fn normal(&mut self) -> f32 {
        let radius = (-2.0 * (1.0 - self.unit()).ln()).sqrt();
        radius * (std::f32::consts::TAU * self.unit()).cos()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn streams_differ_and_repeat() {
        let draw = |seed, purpose, index| Rng::stream(seed, purpose, index).next_u64();
        assert_eq!(draw(1, "warp", 2), draw(1, "warp", 2));
        let all = [
            draw(1, "warp", 2),
            draw(2, "warp", 2),
            draw(1, "flip", 2),
            draw(1, "warp", 3),
        ];
        for (i, a) in all.iter().enumerate() {
            assert!(all[i + 1..].iter().all(|b| a != b));
        }
    }

    #[test]
    fn moments_are_right() {
        let mut rng = Rng::stream(7, "test", 0);
        let n = 20_000;
        let (mut sum, mut square, mut unit) = (0.0f64, 0.0f64, 0.0f64);
        for _ in 0..n {
            let v = f64::from(rng.normal());
            sum += v;
            square += v * v;
            unit += f64::from(rng.unit());
        }
        assert!((sum / n as f64).abs() < 0.03);
        assert!((square / n as f64 - 1.0).abs() < 0.05);
        assert!((unit / n as f64 - 0.5).abs() < 0.01);
        assert!((0..1000).all(|_| rng.below(3) < 3));
    }
}
