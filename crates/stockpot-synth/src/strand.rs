//! Thin strands on a card: where they cover and what colour they are.
//!
//! Knows nothing of light and cameras. `u` goes across the card, from one whole number to
//! the next: each card of a part has a number of its own. `v` goes from root (0) to tip (1).

use crate::paint::noise_2d;
use crate::vec3::{Vec3, mix, scale, smooth};

/// Strands on a card.
#[derive(Debug, Clone)]
pub(crate) struct Strand {
    /// Colours at the root and at the tip, linear light.
    pub(crate) root: Vec3,
    pub(crate) tip: Vec3,
    /// Number of strands across the card.
    pub(crate) count: f32,
    /// Share of the card that is covered at the root, 0 to 1; it thins out to the tip.
    pub(crate) density: f32,
    /// Strength of the highlight along the strands.
    pub(crate) gloss: f32,
    pub(crate) seed: u32,
}

impl Strand {
    /// Share of a sample at `uv` that is covered, 0 to 1.
    pub(crate) fn cover(&self, uv: [f32; 2]) -> f32 {
        let [u, v] = uv;
        // Cards are numbered from 0; a cast needs no call into the mathematics library.
        let across = u - u as u32 as f32;
        let side = smooth(0.0, 0.15, across.min(1.0 - across));
        if side == 0.0 || v >= 1.0 {
            return 0.0;
        }
        let lock = noise_2d([u * self.count, v * 1.5], self.seed);
        // Strands end at different lengths, none of them before this.
        let whole = if v <= 0.3 {
            1.0
        } else {
            let end = 1.0 - 0.45 * noise_2d([u * self.count, 7.5], self.seed ^ 1);
            smooth(end, end - 0.25, v)
        };
        let open = 1.0 - self.density * side * whole;
        smooth(open - 0.2, open + 0.2, lock) * side * smooth(1.0, 0.9, v) * smooth(0.0, 0.06, v)
    }

    /// Colour at `uv`, linear light.
    pub(crate) fn colour(&self, [u, v]: [f32; 2]) -> Vec3 {
        let fine = noise_2d([u * self.count * 1.7, v * 2.0], self.seed ^ 2);
        scale(mix(self.root, self.tip, v), 0.55 + 0.9 * fine)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cards_have_no_hard_edges() {
        let strand = Strand {
            root: [0.1; 3],
            tip: [0.2; 3],
            count: 20.0,
            density: 0.9,
            gloss: 0.1,
            seed: 3,
        };
        for i in 0..50 {
            let t = i as f32 / 49.0;
            assert!(strand.cover([0.0, t]) < 0.01 && strand.cover([1.0, t]) < 0.01);
            assert!(strand.cover([t, 1.0]) < 0.01);
        }
        let all: f32 = (0..100)
            .map(|i| strand.cover([0.2 + 0.006 * i as f32, 0.3]))
            .sum();
        assert!(all > 50.0, "{all}");
    }
}
