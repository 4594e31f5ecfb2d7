//! Hair of the head, made by code: roots sown on the scalp, locks that grow from them as ribbons of
//! strands along the way in which they are combed. Knows nothing of cameras and lights.

use stockpot_core::rng::Rng;

use crate::assets::{Class, HeadData};
use crate::paint::noise;
use crate::person::{Look, above_hairline};
use crate::scene::{Bind, Part, SKULL, Surface, face_middle, head_share};
use crate::strand::Strand;
use crate::vec3::{Vec3, add, cross, dot, mix, scale, smooth, sub, unit};

/// Cells of the map of the skull's radius: down from the crown, then round.
const CELLS: (usize, usize) = (18, 24);

/// How hair is worn.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum HairKind {
    /// No hair.
    Bald,
    /// A ring round a bald crown.
    Ring,
    /// Shorn to a few millimetres.
    Buzz,
    /// Short, with a parting at one side.
    SideParted,
    /// Round and curly.
    Curly,
    /// To the chin, with a fringe.
    Bob,
    /// Behind the shoulders, straight or wavy.
    Long,
    /// Combed back into a knot.
    Bun,
}

impl HairKind {
    /// All kinds.
    pub const ALL: [Self; 8] = [
        Self::Bald,
        Self::Ring,
        Self::Buzz,
        Self::SideParted,
        Self::Curly,
        Self::Bob,
        Self::Long,
        Self::Bun,
    ];

    /// What the person of `seed` wears; sex 1 is male, origin 0 African, age 0 (young) to 1.
    pub(crate) fn of(seed: u64, origin: usize, sex: usize, age: f32) -> Self {
        let mut rng = Rng::stream(seed, "hair kind", 0);
        // Shares in the order of `ALL`; the numbers are ours.
        let mut shares = if sex == 1 {
            [0.7, 0.3 + 3.0 * age, 2.0, 4.0, 0.7, 0.0, 0.4, 0.2]
        } else {
            [0.12, 0.0, 0.4, 0.8, 0.8, 2.2, 3.2, 1.8]
        };
        if origin == 0 {
            shares[2] *= 1.6;
            shares[3] *= 0.15;
            shares[4] *= 5.0;
        }
        let mut at = rng.unit() * shares.iter().sum::<f32>();
        for (kind, share) in Self::ALL.into_iter().zip(shares) {
            if at < share {
                return kind;
            }
            at -= share;
        }
        Self::SideParted
    }

    /// How far the scalp lies under the first strands, in decimetres.
    pub(crate) fn root_depth_dm(self) -> f32 {
        match self {
            Self::Bald | Self::Ring => 0.0,
            Self::Buzz => 0.015,
            Self::Curly => 0.1,
            _ => 0.03,
        }
    }
}

/// How far a place of the base mesh lies inside the hairy scalp, in decimetres; negative off it.
pub(crate) fn on_scalp(rest: Vec3, look: &Look) -> f32 {
    let inside = above_hairline(rest, look.hairline);
    match look.hair_kind {
        HairKind::Bald => -1.0,
        HairKind::Ring => {
            // The bald crown reaches lower in front.
            let rim = 7.75 - 0.35 * smooth(0.2, 1.0, rest[2]);
            inside.min(rim - rest[1])
        }
        _ => inside,
    }
}

/// How much of the skin is hidden by painted roots at a place of the base mesh, 0 to 1.
pub(crate) fn roots(rest: Vec3, look: &Look) -> f32 {
    let inside = on_scalp(rest, look);
    if inside <= -0.08 {
        return 0.0;
    }
    let full = match look.hair_kind {
        HairKind::Buzz => 0.8,
        HairKind::Ring => 0.7,
        _ => 0.97,
    };
    // Neither the streaks nor the edge reach farther than this.
    if inside >= 0.25 {
        return full;
    }
    // Fine hairs: streaks along the way in which hair grows, thinning out over a centimetre.
    let round = rest[0].atan2(rest[2] - 0.3);
    let streak = noise(
        [round * 70.0, rest[1] * 12.0, rest[2] * 12.0],
        look.noise_seed ^ 13,
    );
    let edge = 0.1 * (noise(scale(rest, 6.0), look.noise_seed ^ 12) - 0.5);
    full * smooth(0.0, 0.13, inside + edge - 0.02 + 0.1 * (streak - 0.5))
}

/// Distance from the middle of the skull to its surface in every direction.
struct Skull {
    middle: Vec3,
    radius: Vec<f32>,
}

impl Skull {
    fn new(data: &HeadData, neutral: &[Vec3]) -> Self {
        let mut skull = Self {
            middle: SKULL,
            radius: vec![0.0; (CELLS.0 + 1) * CELLS.1],
        };
        let skin = data.triangles.iter().filter(|t| t.class == Class::Skin);
        for triangle in skin {
            let [a, b, c] = triangle.corners.map(|i| i as usize);
            if data.rest[a][1] < 6.3 {
                continue;
            }
            for step in 0..10 {
                let (u, v) = (step % 4, step / 4);
                let (u, v) = (u as f32 / 4.0, v as f32 / 4.0 * (1.0 - u as f32 / 4.0));
                let p = add(
                    scale(neutral[a], 1.0 - u - v),
                    add(scale(neutral[b], u), scale(neutral[c], v)),
                );
                let away = sub(p, SKULL);
                let far = dot(away, away).sqrt();
                let (row, column) = Self::cell(away);
                let at = (row.round() as usize).min(CELLS.0) * CELLS.1
                    + (column.round() as usize) % CELLS.1;
                skull.radius[at] = skull.radius[at].max(far);
            }
        }
        // A cell that no sample met takes the mean of the usual skull.
        for r in skull.radius.iter_mut().filter(|r| **r < 0.3) {
            *r = 0.9;
        }
        skull
    }

    fn cell(away: Vec3) -> (f32, f32) {
        let down = away[0].hypot(away[2]).atan2(away[1]);
        let round = away[0].atan2(away[2]);
        (
            down / std::f32::consts::PI * CELLS.0 as f32,
            (round / std::f32::consts::TAU).rem_euclid(1.0) * CELLS.1 as f32,
        )
    }

    fn radius(&self, p: Vec3) -> f32 {
        let (row, column) = Self::cell(sub(p, self.middle));
        let (r, c) = (row.floor() as usize, column.floor() as usize);
        let (tr, tc) = (row - row.floor(), column - column.floor());
        let at = |r: usize, c: usize| self.radius[r.min(CELLS.0) * CELLS.1 + c % CELLS.1];
        let top = at(r, c) * (1.0 - tc) + at(r, c + 1) * tc;
        let low = at(r + 1, c) * (1.0 - tc) + at(r + 1, c + 1) * tc;
        top * (1.0 - tr) + low * tr
    }

    /// `p` moved out so that it is at least `off` above the surface.
    fn outside(&self, p: Vec3, off: f32) -> Vec3 {
        let away = sub(p, self.middle);
        let (far, least) = (dot(away, away).sqrt(), self.radius(p) + off);
        // Below the chin there is the neck, which is no part of the skull.
        if far >= least || p[1] < 6.6 {
            p
        } else {
            add(self.middle, scale(unit(away), least))
        }
    }
}

/// Places sown evenly over the scalp of the neutral head, each with its place on the base mesh.
fn sow(data: &HeadData, neutral: &[Vec3], look: &Look, n: usize, rng: &mut Rng) -> Vec<[Vec3; 2]> {
    let mut sum = 0.0;
    let mut sums = Vec::new();
    for (index, triangle) in data.triangles.iter().enumerate() {
        let [a, b, c] = triangle.corners.map(|i| data.rest[i as usize]);
        let middle = scale(add(add(a, b), c), 1.0 / 3.0);
        if triangle.class == Class::Skin && on_scalp(middle, look) > -0.1 {
            let area = cross(sub(b, a), sub(c, a));
            sum += dot(area, area).sqrt();
            sums.push((sum, index));
        }
    }
    let mut out = Vec::with_capacity(n);
    for i in 0..n * 2 {
        // Even steps along the sum of areas spread roots better than free throws.
        let at = (i as f32 + rng.unit()) / (n * 2) as f32 * sum;
        let which = sums.partition_point(|s| s.0 < at);
        let (mut u, mut v) = (rng.unit(), rng.unit());
        let keep = rng.chance(0.5);
        let Some((_, index)) = sums.get(which).filter(|_| keep) else {
            continue;
        };
        if u + v > 1.0 {
            (u, v) = (1.0 - u, 1.0 - v);
        }
        let corners = data.triangles[*index].corners.map(|i| i as usize);
        let [neutral, rest] = [neutral, &data.rest].map(|all| {
            let [a, b, c] = corners.map(|i| all[i]);
            add(scale(a, 1.0 - u - v), add(scale(b, u), scale(c, v)))
        });
        if on_scalp(rest, look) > 0.02 {
            out.push([neutral, rest]);
        }
    }
    out
}

/// Numbers of one person's way of wearing the hair.
struct Cut {
    kind: HairKind,
    /// Where the parting is, in decimetres from the middle.
    parting: f32,
    wave: f32,
    volume: f32,
    length: f32,
    phase: f32,
}

/// Where a lock at `p` is combed, how far it goes and how far it stands off.
fn comb(cut: &Cut, root: Vec3, rest: Vec3, out: Vec3, rng: &mut Rng) -> (Vec3, f32, f32) {
    let side = if root[0] > cut.parting { 1.0 } else { -1.0 };
    let top = smooth(7.75, 8.15, rest[1]);
    let front = smooth(0.55, 1.0, rest[2]);
    let jitter = [rng.normal() * 0.12, rng.normal() * 0.1, rng.normal() * 0.12];
    let own = rng.range(0.85, 1.15);
    let (way, length, off) = match cut.kind {
        HairKind::Bald | HairKind::Ring | HairKind::Buzz => ([0.0, -1.0, -0.35], 0.14, 0.01),
        HairKind::SideParted => {
            let up = [side * 1.0, 0.25, -0.5 + 0.25 * front];
            let down = [side * 0.1, -1.0, -0.45];
            let length = 0.2 + (0.3 + 0.35 * cut.length) * top;
            (mix(down, up, top), length, 0.02 + cut.volume * 0.15 * top)
        }
        HairKind::Curly => (add(out, scale(jitter, 3.0)), 0.3, 0.0),
        HairKind::Bob => {
            if front > 0.25 && rest[0].abs() < 0.5 && rest[1] > 7.7 {
                ([0.25 * rest[0], -0.55, 1.0], 0.62, 0.06)
            } else {
                let out = [rest[0] * 1.2, -0.7, 0.25 * (rest[2] - 0.2)];
                (
                    out,
                    1.25 + 0.55 * smooth(6.9, 8.4, rest[1]),
                    0.05 + 0.1 * cut.volume,
                )
            }
        }
        HairKind::Long => {
            let lay = [side * 1.0, -0.2, -0.75];
            let length = 1.7 + 0.9 * cut.length + 0.5 * smooth(7.0, 8.3, rest[1]);
            (lay, length, 0.04 + 0.1 * cut.volume)
        }
        HairKind::Bun => {
            let to = sub(BUN, root);
            (unit(to), dot(to, to).sqrt() * 1.12, 0.015)
        }
    };
    (add(way, jitter), length * own, off)
}

/// Where the knot of a bun sits.
const BUN: Vec3 = [0.0, 7.95, -0.68];

fn grow(skull: &Skull, cut: &Cut, [root, rest]: [Vec3; 2], rng: &mut Rng) -> Vec<Vec3> {
    let out = unit(sub(root, skull.middle));
    let (way, length, off) = comb(cut, root, rest, out, rng);
    let steps = match cut.kind {
        HairKind::Long | HairKind::Bob => 9,
        HairKind::Curly => 6,
        HairKind::Bun => 7,
        HairKind::SideParted => 5,
        _ => 2,
    };
    let side = if root[0] > cut.parting { 1.0 } else { -1.0 };
    let layer = rng.range(0.2, 1.0);
    let phase = cut.phase + rng.range(-0.6, 0.6);
    let spiral = rng.range(0.0, std::f32::consts::TAU);
    let mut line = vec![root];
    let mut p = root;
    let mut heading = unit(way);
    for step in 1..=steps {
        let t = step as f32 / steps as f32;
        let normal = unit(sub(p, skull.middle));
        if cut.kind == HairKind::Curly {
            // A curl: round and round about the way out of the scalp.
            let a = unit(cross(normal, [0.3, 0.2, 0.9]));
            let b = cross(normal, a);
            let turn = spiral + t * 8.0;
            let rise = (0.12 + 0.4 * cut.volume) * layer;
            let round = add(scale(a, turn.cos()), scale(b, turn.sin()));
            let grown = add(root, scale(out, rise * t.powf(0.6)));
            line.push(add(grown, scale(round, 0.07)));
            continue;
        }
        let falls = matches!(cut.kind, HairKind::Long | HairKind::Bob);
        if cut.kind == HairKind::Bun {
            heading = unit(sub(BUN, p));
        } else if falls && rest[2] > 0.6 && cut.kind == HairKind::Long && p[1] > 7.3 {
            heading = unit(mix(heading, [0.55 * side, -0.45, -0.75], 0.35));
        } else if falls {
            heading = unit(mix(heading, [0.0, -1.0, -0.05], 0.45));
        }
        // The way follows the skull while it lies on it.
        let lies = heading;
        let inwards = dot(lies, normal);
        let lies = if p[1] > 7.3 {
            sub(lies, scale(normal, inwards))
        } else {
            lies
        };
        p = add(p, scale(unit(lies), length / steps as f32));
        let stand = off * layer * smooth(0.0, 0.35, t) + 0.02;
        p = skull.outside(p, stand);
        if falls {
            p = clear_of_face(p, layer);
            let sway = cut.wave * 0.06 * smooth(0.25, 0.6, t) * (t * 15.0 + phase).sin();
            line.push(add(
                p,
                [sway * normal[2].abs(), 0.0, sway * normal[0].abs()],
            ));
        } else {
            line.push(p);
        }
    }
    line
}

/// Long hair hangs beside the face and behind the shoulders; a fringe ends above the eyes.
fn clear_of_face(p: Vec3, layer: f32) -> Vec3 {
    let mut p = p;
    if p[2] > 0.75 && p[0].abs() < 0.72 && p[1] < 7.55 {
        p[0] = p[0].signum() * 0.74;
        p[2] = p[2].min(0.95);
    }
    if p[2] > 0.9 && p[0].abs() < 0.66 && p[1] < 7.62 {
        p[1] = 7.62;
    }
    if p[1] < 6.6 && p[2] < 0.75 {
        // The neck and the top of the back.
        let back = -0.35 - 0.25 * smooth(6.2, 5.4, p[1]) - 0.1 * layer;
        if p[0].abs() < 0.5 {
            p[2] = p[2].min(back);
        } else {
            p[2] = p[2].min(mix([0.35; 3], [back; 3], smooth(6.5, 5.7, p[1]))[0]);
        }
    }
    p
}

/// The hair of a person over the `neutral` head.
pub(crate) fn parts(data: &HeadData, neutral: &[Vec3], look: &Look, seed: u64) -> Vec<Part> {
    // Heads are of different heights above the ground; hair is combed where the base mesh has its head.
    let raised = sub(face_middle(data, neutral), face_middle(data, &data.rest));
    let neutral: Vec<Vec3> = neutral.iter().map(|p| sub(*p, raised)).collect();
    let neutral = neutral.as_slice();
    let kind = look.hair_kind;
    let mut rng = Rng::stream(seed, "hair", 0);
    let cut = Cut {
        kind,
        parting: match kind {
            HairKind::SideParted => 0.32 * if rng.chance(0.6) { 1.0 } else { -1.0 },
            _ => rng.range(-0.12, 0.12),
        },
        wave: if rng.chance(0.5) {
            rng.range(0.4, 1.2)
        } else {
            0.0
        },
        volume: rng.unit(),
        length: rng.unit(),
        phase: rng.range(0.0, 6.0),
    };
    // Locks, half their width in decimetres and strands across each.
    let (locks, half, strands) = match kind {
        HairKind::Bald => return Vec::new(),
        HairKind::Ring => (500, 0.03, 5.0),
        HairKind::Buzz => (900, 0.02, 4.0),
        HairKind::SideParted => (560, 0.055, 6.0),
        HairKind::Curly => (480, 0.05, 3.0),
        HairKind::Bob => (320, 0.085, 8.0),
        HairKind::Long => (320, 0.09, 8.0),
        HairKind::Bun => (400, 0.07, 8.0),
    };
    let skull = Skull::new(data, neutral);
    let surface = Surface::Strand(Strand {
        root: scale(look.hair, 0.7),
        tip: add(scale(look.hair, 1.15), [0.008, 0.005, 0.003]),
        count: strands,
        density: 0.95,
        gloss: 0.05,
        seed: look.noise_seed,
    });
    let mut part = Part::new(Bind::Head, surface, Class::Hair);
    for (lane, at) in sow(data, neutral, look, locks, &mut rng)
        .into_iter()
        .enumerate()
    {
        let line = grow(&skull, &cut, at, &mut rng);
        let outwards: Vec<Vec3> = line
            .iter()
            .map(|p| {
                let away = sub(*p, skull.middle);
                // Below the skull the hair faces away from the neck.
                unit([away[0], away[1].max(-0.2), away[2]])
            })
            .collect();
        let wide = half * rng.range(0.7, 1.25);
        part.ribbon(&line, &outwards, wide, lane as f32);
    }
    if kind == HairKind::Bun {
        let size = rng.range(0.26, 0.36);
        part.ball(
            add(BUN, [0.0, 0.02, -0.6 * size]),
            [size, size * 0.9, size * 0.8],
        );
    }
    // What hangs below the head comes to rest on the shoulders.
    part.bind = Bind::Shares(part.points.iter().map(|p| head_share(*p)).collect());
    for point in &mut part.points {
        *point = add(*point, raised);
    }
    vec![part]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Moment, Person, draw};
    use stockpot_core::image::Size;

    #[test]
    fn every_kind_is_worn_and_small_enough() {
        let data = HeadData::stand_in();
        let mut met = Vec::new();
        for seed in 0..96 {
            let person = Person::new(&data, seed);
            let kind = person.hair();
            if met.contains(&kind) {
                continue;
            }
            met.push(kind);
            let again = Person::new(&data, seed);
            for (part, same) in person.parts.iter().zip(&again.parts) {
                assert_eq!(part.points, same.points);
                assert!(
                    part.triangles.len() < 9000,
                    "{kind:?} {}",
                    part.triangles.len()
                );
                let bounded = |p: &Vec3| p.iter().all(|v| v.is_finite() && v.abs() < 12.0);
                assert!(part.points.iter().all(bounded));
            }
            let has_hair = person.parts.iter().any(|p| p.class == Class::Hair);
            assert_eq!(!has_hair, kind == HairKind::Bald);
        }
        assert_eq!(met.len(), HairKind::ALL.len(), "{met:?}");
    }

    /// With the package: the middle of each eye is seen in the neutral pose whatever is worn.
    #[test]
    fn hair_leaves_the_eyes_free() {
        let Some(data) = crate::assets::installed() else {
            return;
        };
        for seed in 0..64 {
            let person = Person::new(&data, seed);
            let frame = draw(&data, &person, &Moment::neutral(), Size::square(96)).unwrap();
            for (outer, inner) in [(33, 133), (263, 362)] {
                let of = |index: u16| {
                    let mark = frame.landmarks.iter().find(|l| l.facemesh == index);
                    mark.unwrap().place
                };
                let (a, b) = (of(outer), of(inner));
                let (x, y) = ((a.x + b.x) / 2.0, (a.y + b.y) / 2.0);
                let class = frame.classes.pixel(x as u32, y as u32);
                assert_ne!(
                    class,
                    [Class::Hair as u8],
                    "seed {seed} {:?}",
                    person.hair()
                );
            }
        }
    }
}
