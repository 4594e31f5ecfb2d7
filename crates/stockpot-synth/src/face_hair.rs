//! Brows, lashes and beards: short strands that grow on the face and move with its skin.
//!
//! Hairs are laid on the base mesh seen from the front and carried to the person's head, so they
//! lie right on every identity. Knows nothing of cameras and lights.

use stockpot_core::rng::Rng;

use crate::assets::{Class, HeadData};
use crate::paint;
use crate::person::Look;
use crate::scene::{Bind, Hold, Part, Surface};
use crate::strand::Strand;
use crate::vec3::{Vec3, add, cross, dot, mix, scale, smooth, sub, unit};

/// What grows round the mouth.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Beard {
    /// Nothing beyond stubble.
    None,
    /// On the upper lip.
    Moustache,
    /// On chin and upper lip.
    Goatee,
    /// From ear to ear.
    Full,
}

impl Beard {
    /// What the person of `seed` wears; sex 1 is male.
    pub(crate) fn of(seed: u64, sex: usize) -> Self {
        let at = Rng::stream(seed, "beard", 0).unit();
        // Shares of men; the numbers are ours.
        match at {
            _ if sex == 0 => Self::None,
            ..0.72 => Self::None,
            0.72..0.8 => Self::Moustache,
            0.8..0.9 => Self::Goatee,
            _ => Self::Full,
        }
    }

    /// Whether it covers a place of the base mesh seen from the front; rims are soft by `jitter`.
    fn covers(self, [x, y, z]: Vec3, jitter: f32) -> bool {
        let x = x.abs();
        // Nothing grows on the lobes of the ears.
        if x > 0.7 {
            return false;
        }
        // Clear of the lips by some millimetres.
        let mouth = (x / (0.32 + jitter)).hypot((y - 6.612) / (0.105 + 0.3 * jitter)) < 1.0;
        let upper = x < 0.3 + jitter && y > 6.69 && y < 6.8 - 0.1 * x + 0.3 * jitter;
        // The cheek's line falls from the ear to the corner of the mouth.
        let line = 6.62 + 0.55 * (x - 0.3).max(0.0);
        let cheek = y < line + jitter;
        // Above the neck: the rim runs from the angle of the jaw to under the chin.
        let low = y > 6.58 - 0.48 * (z - 0.3);
        match self {
            Self::None => false,
            Self::Moustache => upper && !mouth,
            Self::Goatee => (upper || (cheek && low && x < 0.27 + jitter)) && !mouth,
            Self::Full => (upper || (cheek && low)) && !mouth,
        }
    }
}

/// A place on the face.
struct Place {
    /// On the person's neutral head.
    at: Vec3,
    normal: Vec3,
    rest: Vec3,
    hold: Hold,
}

/// The skin that is seen from the front on the base mesh.
struct Front<'a> {
    data: &'a HeadData,
    neutral: &'a [Vec3],
    /// By cells of the front, row by row: the triangles that reach into each.
    cells: Vec<Vec<[u32; 3]>>,
}

/// Lowest corner of the cells, their side in decimetres, and how many there are each way.
const CELLS: ([f32; 2], f32, [usize; 2]) = ([-1.0, 5.7], 0.05, [40, 54]);

impl<'a> Front<'a> {
    fn new(data: &'a HeadData, neutral: &'a [Vec3]) -> Self {
        let seen = data.triangles.iter().filter(|t| {
            let [a, b, c] = t.corners.map(|i| data.rest[i as usize]);
            let away = cross(sub(b, a), sub(c, a));
            t.class == Class::Skin && a[2] > 0.4 && a[1] > 5.8 && away[2].abs() > 1e-9
        });
        let mut cells = vec![Vec::new(); CELLS.2[0] * CELLS.2[1]];
        for triangle in seen {
            let places = triangle.corners.map(|i| data.rest[i as usize]);
            let [columns, rows] = [0, 1].map(|k| {
                let at = places.map(|p| Self::cell(p[k], k));
                at.into_iter().min().unwrap_or(0)..=at.into_iter().max().unwrap_or(0)
            });
            for row in rows {
                for column in columns.clone() {
                    cells[row * CELLS.2[0] + column].push(triangle.corners);
                }
            }
        }
        Self {
            data,
            neutral,
            cells,
        }
    }

    /// The row or column of cells at `value` along axis `k`; the last ones hold what lies beyond.
    fn cell(value: f32, k: usize) -> usize {
        let at = (value - CELLS.0[k]) / CELLS.1;
        (at.max(0.0) as usize).min(CELLS.2[k] - 1)
    }

    /// The foremost place at `x` and `y` of the base mesh.
    fn at(&self, x: f32, y: f32) -> Option<Place> {
        let mut best: Option<(f32, [u32; 3], Vec3)> = None;
        let cell = Self::cell(y, 1) * CELLS.2[0] + Self::cell(x, 0);
        for corners in &self.cells[cell] {
            let [a, b, c] = corners.map(|i| self.data.rest[i as usize]);
            let twice = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
            let v = ((x - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (y - a[1])) / twice;
            let w = ((b[0] - a[0]) * (y - a[1]) - (x - a[0]) * (b[1] - a[1])) / twice;
            let u = 1.0 - v - w;
            if !(u >= 0.0 && v >= 0.0 && w >= 0.0) {
                continue;
            }
            let z = u * a[2] + v * b[2] + w * c[2];
            if best.is_none_or(|(front, ..)| z > front) {
                best = Some((z, *corners, [u, v, w]));
            }
        }
        let (z, corners, shares) = best?;
        let [a, b, c] = corners.map(|i| self.neutral[i as usize]);
        let normal = unit(cross(sub(b, a), sub(c, a)));
        let [u, v, w] = shares;
        Some(Place {
            at: add(scale(a, u), add(scale(b, v), scale(c, w))),
            normal: if normal[2] < 0.0 {
                scale(normal, -1.0)
            } else {
                normal
            },
            rest: [x, y, z],
            hold: Hold { corners, shares },
        })
    }

    /// Lays a lock on the skin from `x`, `y` along `way` of the base mesh's front, `length` long,
    /// standing off more and more up to `off`.
    fn lay(
        &self,
        part: &mut Part,
        holds: &mut Vec<Hold>,
        [x, y]: [f32; 2],
        lock: &Lock,
        lane: f32,
    ) {
        const STEPS: usize = 2;
        let mut line = Vec::with_capacity(STEPS + 1);
        let mut normals = Vec::with_capacity(STEPS + 1);
        let mut held = Vec::with_capacity(STEPS + 1);
        for step in 0..=STEPS {
            let t = step as f32 / STEPS as f32;
            let far = lock.length * t;
            let Some(place) = self.at(x + lock.way[0] * far, y + lock.way[1] * far) else {
                break;
            };
            // Where the skin turns away a lock ends, or it would jump to what lies behind.
            let gap = line.last().map_or(0.0, |last| {
                let by = sub(place.at, *last);
                dot(by, by).sqrt()
            });
            if gap > 2.5 * lock.length / STEPS as f32 + lock.off {
                break;
            }
            let lift = 0.004 + lock.off * t;
            line.push(add(place.at, scale(place.normal, lift)));
            normals.push(place.normal);
            held.push(place.hold);
        }
        if line.len() < 2 {
            return;
        }
        let before = part.points.len();
        part.ribbon(&line, &normals, lock.half, lane);
        // A ribbon has its points in rows, one row for each of the line's.
        let each = (part.points.len() - before) / held.len();
        holds.extend(held.into_iter().flat_map(|h| std::iter::repeat_n(h, each)));
    }
}

/// How a lock lies.
struct Lock {
    way: [f32; 2],
    length: f32,
    /// Half its width.
    half: f32,
    off: f32,
}

fn unit_2d([x, y]: [f32; 2]) -> [f32; 2] {
    let length = x.hypot(y).max(1e-6);
    [x / length, y / length]
}

/// Brows, lashes and beard of a person over the `neutral` head.
pub(crate) fn parts(data: &HeadData, neutral: &[Vec3], look: &Look, seed: u64) -> Vec<Part> {
    let front = Front::new(data, neutral);
    let mut all = vec![brows(&front, look, seed), lashes(&front, look)];
    if look.beard != Beard::None {
        all.push(beard(&front, look, seed));
    }
    all.retain(|part| !part.triangles.is_empty());
    all
}

fn strands(root: Vec3, tip: Vec3, count: f32, density: f32, look: &Look) -> Surface {
    Surface::Strand(Strand {
        root,
        tip,
        count,
        density,
        gloss: 0.02,
        seed: look.noise_seed ^ 31,
    })
}

fn brows(front: &Front<'_>, look: &Look, seed: u64) -> Part {
    /// Locks of one brow.
    const LOCKS: usize = 64;
    let mut rng = Rng::stream(seed, "brows", 0);
    let colour = paint::brow_colour(look);
    let surface = strands(colour, colour, 4.0, 0.62, look);
    let mut part = Part::new(Bind::Head, surface, Class::Brows);
    let mut holds = Vec::new();
    for side in [-1.0, 1.0] {
        for i in 0..LOCKS {
            let along = (i as f32 + rng.unit()) / LOCKS as f32;
            let (x, y, half) = paint::brow_line(along, look);
            let y = y + half * rng.range(-0.75, 0.35);
            // From straight up at the nose to outwards and down at the temple.
            let way = mix([0.25, 1.0, 0.0], [1.0, 0.42, 0.0], smooth(0.0, 0.3, along));
            let way = mix(way, [1.0, -0.3, 0.0], smooth(0.4, 0.95, along));
            let way = unit_2d([way[0] + 0.12 * rng.normal(), way[1] + 0.12 * rng.normal()]);
            let lock = Lock {
                way: [side * way[0], way[1]],
                length: rng.range(0.06, 0.095) * (1.0 - 0.3 * along),
                half: 0.015,
                off: 0.01,
            };
            front.lay(&mut part, &mut holds, [side * x, y], &lock, i as f32);
        }
    }
    part.bind = Bind::Skin(holds);
    part
}

/// One card along the edge of each lid.
fn lashes(front: &Front<'_>, look: &Look) -> Part {
    /// Places along a lid.
    const STEPS: usize = 14;
    let dark = scale(mix(look.hair, [0.004; 3], 0.75), 0.5);
    let mut part = Part::new(
        Bind::Head,
        strands(dark, dark, 44.0, 0.85, look),
        Class::Skin,
    );
    let mut holds = Vec::new();
    // Lid from the inner to the outer corner: first and last angle, length in decimetres.
    for (lid, (from, to, length)) in [(165.0f32, 12.0f32, 0.085), (-150.0, -25.0, 0.03)]
        .into_iter()
        .enumerate()
    {
        for side in [-1.0, 1.0] {
            let first = part.points.len() as u32;
            let mut rows = 0;
            for step in 0..=STEPS {
                let t = step as f32 / STEPS as f32;
                let angle = (from + (to - from) * t).to_radians();
                let (x, y) = paint::lid_rim(angle, 1.03);
                let Some(place) = front.at(side * x, y) else {
                    continue;
                };
                let up = if lid == 0 { 0.75 } else { -0.6 };
                let out = 0.55 * (t - 0.35) * side;
                let way = unit(add(scale(place.normal, 0.8), [out, up, 0.5]));
                let grown = length * (0.55 + 0.45 * t) * smooth(-0.05, 0.2, t);
                let v = [0.0, 1.0];
                for v in v {
                    part.points.push(add(place.at, scale(way, v * grown)));
                    part.uv
                        .push([2.0 * lid as f32 + (side + 1.0) / 2.0 + 0.02 + 0.96 * t, v]);
                    holds.push(place.hold);
                }
                rows += 1;
            }
            for row in 1..rows {
                let at = first + 2 * (row - 1);
                part.triangles.push([at, at + 1, at + 2]);
                part.triangles.push([at + 1, at + 3, at + 2]);
            }
        }
    }
    part.bind = Bind::Skin(holds);
    part
}

fn beard(front: &Front<'_>, look: &Look, seed: u64) -> Part {
    let mut rng = Rng::stream(seed, "beard", 1);
    let (tries, length) = match look.beard {
        Beard::None => (0, 0.0),
        Beard::Moustache => (8_000, rng.range(0.06, 0.09)),
        Beard::Goatee => (9_000, rng.range(0.045, 0.085)),
        Beard::Full => (9_000, rng.range(0.045, 0.085)),
    };
    let colour = mix(look.hair, [0.03, 0.016, 0.01], 0.2);
    let surface = strands(scale(colour, 0.8), colour, 3.5, 0.7, look);
    let mut part = Part::new(Bind::Head, surface, Class::Skin);
    let mut holds = Vec::new();
    for lane in 0..tries {
        let (x, y) = (rng.range(-0.78, 0.78), rng.range(5.95, 7.0));
        let own = (rng.range(0.8, 1.2), 0.06 * rng.normal(), 0.2 * rng.normal());
        let Some(place) = front.at(x, y) else {
            continue;
        };
        if !look.beard.covers(place.rest, own.1.abs().min(0.05)) {
            continue;
        }
        let below_nose = y > 6.69;
        let way = if below_nose {
            [0.9 * x.signum() * smooth(0.0, 0.1, x.abs()) + own.2, -0.8]
        } else {
            [0.35 * x + own.2, -1.0]
        };
        let steep = dot(place.normal, [0.0, 0.0, 1.0]).max(0.25);
        let lock = Lock {
            way: unit_2d(way),
            length: length * own.0 * steep * if below_nose { 0.75 } else { 1.0 },
            half: 0.0165,
            off: 0.008 + 0.15 * length,
        };
        front.lay(&mut part, &mut holds, [x, y], &lock, lane as f32);
    }
    part.bind = Bind::Skin(holds);
    part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn beards_grow_round_the_mouth_not_on_it() {
        let (chin, lip, upper, cheek) = (
            [0.0, 6.35, 1.4],
            [0.0, 6.6, 1.5],
            [0.1, 6.74, 1.5],
            [0.5, 7.0, 1.1],
        );
        for beard in [Beard::Moustache, Beard::Goatee, Beard::Full] {
            assert!(
                !beard.covers(lip, 0.0) && !beard.covers(cheek, 0.0),
                "{beard:?}"
            );
            assert!(beard.covers(upper, 0.0), "{beard:?}");
            assert_eq!(beard.covers(chin, 0.0), beard != Beard::Moustache);
        }
        assert!(!Beard::None.covers(chin, 0.0));
        let worn: Vec<Beard> = (0..200).map(|seed| Beard::of(seed, 1)).collect();
        assert!(
            [Beard::None, Beard::Moustache, Beard::Goatee, Beard::Full]
                .iter()
                .all(|b| worn.contains(b))
        );
        assert!((0..200).all(|seed| Beard::of(seed, 0) == Beard::None));
    }

    /// With the package: every point of hair has a place on the skin that it goes with.
    #[test]
    fn hair_of_the_face_lies_on_it() {
        let Some(data) = crate::assets::installed() else {
            return;
        };
        let person = crate::Person::new(&data, 5);
        let mut bound = 0;
        for part in &person.parts {
            let Bind::Skin(holds) = &part.bind else {
                continue;
            };
            bound += 1;
            assert_eq!(holds.len(), part.points.len());
            for (point, hold) in part.points.iter().zip(holds) {
                let [a, b, c] = hold.corners.map(|i| person.neutral[i as usize]);
                let [u, v, w] = hold.shares;
                let skin = add(scale(a, u), add(scale(b, v), scale(c, w)));
                let off = sub(*point, skin);
                assert!(dot(off, off).sqrt() < 0.12);
            }
        }
        assert!(bound >= 2);
    }
}
