//! What is behind a person: smooth pictures by seed that stay still while a performance lasts.
//!
//! Out of focus, as behind a portrait, so that everything has soft edges. Knows nothing of persons.

use stockpot_core::Rng;

use crate::performance::Backdrop;
use crate::vec3::{Vec3, add, far, mix, scale, smooth};

/// Kinds of [`Sketch`].
const KINDS: usize = 5;

/// Pixels between two places at which a backdrop is worked out; between them it is smooth enough.
const STEP: usize = 4;

/// A backdrop, ready to be asked for every pixel.
pub(crate) struct Scenery {
    wide: usize,
    grid: Vec<Vec3>,
}

impl Scenery {
    /// The backdrop of a picture of `size` pixels.
    pub(crate) fn new(backdrop: &Backdrop, size: [usize; 2]) -> Self {
        let sketch = Sketch::new(backdrop);
        let wide = size[0] / STEP + 2;
        let grid = (0..wide * (size[1] / STEP + 2)).map(|i| {
            let at = [i % wide, i / wide].map(|v| (v * STEP) as f32);
            sketch.colour(at, size.map(|s| s as f32))
        });
        Self {
            wide,
            grid: grid.collect(),
        }
    }

    /// Colour in linear light of the pixel `at`.
    pub(crate) fn colour(&self, at: [usize; 2]) -> Vec3 {
        let [x, y] = at.map(|v| (v % STEP) as f32 / STEP as f32);
        let first = at[1] / STEP * self.wide + at[0] / STEP;
        let row = |i: usize| mix(self.grid[i], self.grid[i + 1], x);
        mix(row(first), row(first + self.wide), y)
    }
}

/// What a seed decides.
struct Sketch {
    kind: usize,
    colour: Vec3,
    tint: Vec3,
    slope: [f32; 2],
    /// Middle, half width, half height or radius, and colour of soft shapes.
    shapes: Vec<([f32; 4], Vec3)>,
}

impl Sketch {
    fn new(backdrop: &Backdrop) -> Self {
        let mut rng = Rng::stream(backdrop.seed, "backdrop", 0);
        let kind = if backdrop.seed == 0 {
            0
        } else {
            rng.below(KINDS)
        };
        let colour = backdrop.colour;
        let mut near = |most: f32| -> Vec3 {
            std::array::from_fn(|k| (colour[k] * rng.range(1.0 / most, most)).min(0.9))
        };
        let tint = near(1.8);
        let colours: Vec<Vec3> = (0..12).map(|_| near(2.5)).collect();
        let mut rng = Rng::stream(backdrop.seed, "backdrop", 1);
        let count = [0, 12, 3, 9, 7][kind];
        let shapes = colours[..count].iter().map(|colour| {
            let shape = match kind {
                // Lamps out of focus.
                1 => [
                    rng.range(-0.6, 0.6),
                    rng.range(-0.5, 0.3),
                    rng.range(0.03, 0.12),
                    0.0,
                ],
                // Panes of a window.
                2 => [
                    rng.range(-0.7, 0.7),
                    rng.range(-0.4, -0.1),
                    rng.range(0.12, 0.22),
                    rng.range(0.2, 0.35),
                ],
                // Books, doors and pictures of a room.
                3 => [
                    rng.range(-0.7, 0.7),
                    rng.range(-0.5, 0.5),
                    rng.range(0.05, 0.2),
                    rng.range(0.05, 0.3),
                ],
                // Bushes and trees.
                _ => [
                    rng.range(-0.7, 0.7),
                    rng.range(-0.1, 0.45),
                    rng.range(0.12, 0.3),
                    0.0,
                ],
            };
            let bright = [1.0, 2.2, 2.6, 1.0, 1.0][kind];
            (shape, scale(*colour, bright).map(|v| v.min(1.2)))
        });
        Self {
            kind,
            colour,
            tint,
            shapes: shapes.collect(),
            slope: [rng.range(-0.5, 0.5), rng.range(-0.5, 0.5)],
        }
    }

    /// Colour in linear light at `at` of a picture of `size` pixels.
    fn colour(&self, at: [f32; 2], size: [f32; 2]) -> Vec3 {
        let [x, y] = std::array::from_fn(|i| (at[i] + 0.5 - 0.5 * size[i]) / size[1]);
        let lit = 1.0 + self.slope[0] * x + self.slope[1] * y - 0.4 * far(x, y + 0.05);
        let mut out = scale(self.colour, lit.max(0.2));
        if self.kind == 4 {
            // Sky over ground.
            let sky = add(scale(self.colour, 0.8), [0.12, 0.16, 0.22]);
            let ground = [self.tint[0] * 0.7, self.tint[1] * 0.85, self.tint[2] * 0.5];
            out = mix(sky, ground, smooth(-0.05, 0.35, y));
        }
        for ([cx, cy, wide, high], colour) in &self.shapes {
            let cover = if *high == 0.0 {
                let blur = if self.kind == 1 { 0.25 } else { 0.6 };
                let off = far(x - cx, y - cy) / wide;
                smooth(1.0 + blur, 1.0 - blur, off)
            } else {
                let edge = |v: f32, half: f32| smooth(0.04, -0.04, v.abs() - half);
                edge(x - cx, *wide) * edge(y - cy, *high)
            };
            let share = if self.kind == 4 { 0.8 } else { 0.65 };
            out = mix(out, *colour, share * cover);
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_comes_is_smooth_and_stays_in_bounds() {
        let mut seen = [false; KINDS];
        for seed in 0..60 {
            let colour = [0.2, 0.3, 0.25];
            let backdrop = Backdrop { colour, seed };
            seen[Sketch::new(&backdrop).kind] = true;
            let scenery = Scenery::new(&backdrop, [200, 120]);
            let mut before: Option<Vec3> = None;
            for x in 0..200 {
                let now = scenery.colour([x, 60]);
                assert!(now.iter().all(|v| (0.0..2.0).contains(v)), "{now:?}");
                if let Some(before) = before {
                    let step = (0..3)
                        .map(|k| (now[k] - before[k]).abs())
                        .fold(0.0, f32::max);
                    assert!(step < 0.3, "seed {seed}: a hard edge of {step}");
                }
                before = Some(now);
            }
        }
        assert_eq!(seen, [true; KINDS]);
    }
}
