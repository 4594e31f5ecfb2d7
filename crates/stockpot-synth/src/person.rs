//! Who is drawn: the shape of a head and the colours of a person, all from one seed.
//!
//! Knows nothing of performances: any person can play any of them.

use stockpot_core::rng::Rng;

use crate::assets::{Axis, Class, HeadData};
use crate::face_hair::{self, Beard};
use crate::hair::{self, HairKind};
use crate::parse::Move;
use crate::scene::Part;
use crate::vec3::{Vec3, add, mix, scale, smooth, sub, unit};
use crate::worn::Worn;

/// Standard deviation of the weight of an axis; 1 is the most that its makers meant.
const STRENGTH: f32 = 0.38;
/// The same for asymmetries, of which everybody has a little.
const ASYMMETRY: f32 = 0.15;

/// A person who does not exist. The same seed and data give the same person.
#[derive(Debug, Clone)]
pub struct Person {
    /// The seed, which is the identity.
    pub seed: u64,
    pub(crate) neutral: Vec<Vec3>,
    /// How open each vertex is to its surroundings, 0 to 1.
    pub(crate) open: Vec<f32>,
    pub(crate) look: Look,
    /// What it takes from photographs.
    pub(crate) worn: Worn,
    /// What is drawn besides the base mesh.
    pub(crate) parts: Vec<Part>,
}

/// What is worn, with a second colour in linear light.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Garment {
    /// One colour.
    Plain,
    /// Stripes all round.
    Striped(Vec3),
    /// A jacket, open over a shirt.
    Jacket(Vec3),
    /// A shirt with a collar and a row of buttons.
    Shirt(Vec3),
}

impl Garment {
    fn of(seed: u64) -> Self {
        let mut rng = Rng::stream(seed, "garment", 0);
        let kind = rng.below(4);
        let pale = rng.range(0.35, 0.7);
        let other = std::array::from_fn(|_| pale * rng.range(0.8, 1.1));
        match kind {
            0 => Self::Plain,
            1 => Self::Striped(other),
            2 => Self::Jacket(other),
            _ => Self::Shirt(scale(other, 0.3)),
        }
    }
}

/// Colours (linear light, 0 to 1) and habits of hair.
#[derive(Debug, Clone)]
pub(crate) struct Look {
    pub(crate) noise_seed: u32,
    pub(crate) skin: Vec3,
    pub(crate) lips: Vec3,
    pub(crate) iris: Vec3,
    pub(crate) hair: Vec3,
    pub(crate) garment: Vec3,
    pub(crate) cut: Garment,
    /// 0 (young) to 1.
    pub(crate) age: f32,
    pub(crate) beard: Beard,
    pub(crate) stubble: f32,
    pub(crate) freckles: f32,
    pub(crate) brow_thickness: f32,
    /// Height of the hairline above the usual, in decimetres.
    pub(crate) hairline: f32,
    pub(crate) moles: [Vec3; 2],
    pub(crate) hair_kind: HairKind,
}

impl Person {
    /// The person of `seed`.
    pub fn new(data: &HeadData, seed: u64) -> Self {
        let mut rng = Rng::stream(seed, "person shape", 0);
        let mut neutral = data.rest.clone();
        neutral.extend(&data.helpers);
        let origin = rng.below(3);
        let second = rng.below(3);
        let share = rng.range(0.75, 1.15);
        let sex = rng.below(2);
        let age = rng.range(0.0, 1.0).powi(3) * 0.7;
        for (index, moves) in data.macros.iter().enumerate() {
            let (of_origin, of_sex, old) = (index / 4, (index / 2) % 2, index % 2 == 1);
            let mut weight = 0.0;
            if of_sex == sex {
                weight += if of_origin == origin { share } else { 0.0 };
                weight += if of_origin == second {
                    1.0 - share
                } else {
                    0.0
                };
                weight *= if old { age } else { 1.0 - age };
            }
            apply(&mut neutral, moves, weight);
        }
        let both = |axes: &[Axis], strength: f32, rng: &mut Rng, out: &mut [Vec3]| {
            for axis in axes {
                let weight = (rng.normal() * strength).clamp(-1.0, 1.0);
                let moves = if weight < 0.0 {
                    &axis.minus
                } else {
                    &axis.plus
                };
                apply(out, moves, weight.abs());
            }
        };
        both(&data.axes, STRENGTH, &mut rng, &mut neutral);
        both(&data.asymmetries, ASYMMETRY, &mut rng, &mut neutral);
        let mut look = Look::new(seed, origin, sex, age);
        let photos = data.photos.as_ref();
        let worn = photos.map(|p| Worn::new(p, seed, sex, age, &mut look));
        let worn = worn.unwrap_or_default();
        wear(data, &look, worn.has_hair(), &mut neutral);
        let mut parts = worn.parts(data, &neutral, &look);
        neutral.truncate(data.rest.len());
        if !worn.has_hair() {
            parts.extend(hair::parts(data, &neutral, &look, seed));
        }
        parts.extend(face_hair::parts(data, &neutral, &look, seed));
        let open = crate::scene::openness(data, &neutral);
        Self {
            seed,
            neutral,
            open,
            look,
            worn,
            parts,
        }
    }
}

impl Person {
    /// Colour of the skin in linear light, 0 to 1, red, green and blue.
    pub fn skin(&self) -> [f32; 3] {
        self.look.skin
    }

    /// How unlike two heads are at rest: mean distance of their points in decimetres when both are
    /// laid on each other.
    pub fn unlikeness(&self, other: &Self) -> f32 {
        let n = self.neutral.len().max(1) as f32;
        let pairs = || self.neutral.iter().zip(&other.neutral);
        let offset = pairs().fold([0.0; 3], |sum, (a, b)| add(sum, sub(*b, *a)));
        let offset = scale(offset, 1.0 / n);
        let far = pairs().map(|(a, b)| {
            let d = sub(sub(*b, *a), offset);
            d[0].hypot(d[1]).hypot(d[2])
        });
        far.sum::<f32>() / n
    }

    /// What grows round the mouth.
    pub fn beard(&self) -> Beard {
        self.look.beard
    }

    /// How the hair is worn.
    pub fn hair(&self) -> HairKind {
        self.look.hair_kind
    }
}

pub(crate) fn apply(vertices: &mut [Vec3], moves: &[Move], weight: f32) {
    if weight != 0.0 {
        for (index, by) in moves {
            vertices[*index] = add(vertices[*index], scale(*by, weight));
        }
    }
}

/// Moves the scalp out by the thickness of its hair's roots, which photographed hair has not, and the
/// shoulders by that of the cloth.
fn wear(data: &HeadData, look: &Look, photographed: bool, vertices: &mut [Vec3]) {
    let depth_dm = match photographed {
        true => 0.0,
        false => look.hair_kind.root_depth_dm(),
    };
    let mut used = vec![false; vertices.len()];
    for triangle in data.triangles.iter().filter(|t| t.class == Class::Skin) {
        triangle
            .corners
            .iter()
            .for_each(|i| used[*i as usize] = true);
    }
    for ((rest, out), _) in data.rest.iter().zip(vertices).zip(used).filter(|v| v.1) {
        let inside = smooth(0.0, 0.2, hair::on_scalp(*rest, look));
        let away = unit(sub(*rest, [0.0, 7.45, 0.4]));
        *out = add(*out, scale(away, inside * depth_dm));
        let cloth = below_neckline(*rest);
        let outwards = unit([rest[0], 0.3, rest[2] - 0.2]);
        *out = add(*out, scale(outwards, 0.09 * smooth(-0.01, 0.05, cloth)));
    }
}

/// How far a place of the base mesh lies above the hairline, in decimetres; ears and face are below.
pub(crate) fn above_hairline(rest: Vec3, raised: f32) -> f32 {
    /// Angle from the front in degrees and height of the hairline there, read off the base mesh.
    const LINE: [(f32, f32); 8] = [
        (0.0, 8.02),
        (35.0, 8.02),
        (58.0, 7.82),
        (72.0, 7.55),
        (84.0, 7.12),
        (105.0, 7.2),
        (125.0, 6.75),
        (180.0, 6.5),
    ];
    let angle = rest[0].abs().atan2(rest[2] - 0.35).to_degrees();
    let after = LINE
        .iter()
        .position(|p| p.0 >= angle)
        .unwrap_or(LINE.len() - 1)
        .max(1);
    let (a, b) = (LINE[after - 1], LINE[after]);
    let height = a.1 + (b.1 - a.1) * ((angle - a.0) / (b.0 - a.0)).clamp(0.0, 1.0);
    let ear = rest[0].abs() > 0.745 && rest[1] < 7.42;
    let raised = raised * smooth(90.0, 40.0, angle);
    if ear { -1.0 } else { rest[1] - height - raised }
}

/// How far a place of the base mesh lies below the neckline, in decimetres.
pub(crate) fn below_neckline(rest: Vec3) -> f32 {
    5.84 - 0.12 * rest[2] - rest[1]
}

impl Look {
    fn new(seed: u64, origin: usize, sex: usize, age: f32) -> Self {
        let mut rng = Rng::stream(seed, "person look", 0);
        let (dark, light) = [
            ([0.05, 0.023, 0.012], [0.24, 0.12, 0.066]),
            ([0.33, 0.18, 0.1], [0.66, 0.46, 0.33]),
            ([0.4, 0.22, 0.13], [0.78, 0.55, 0.45]),
        ][origin];
        let skin = mix(dark, light, rng.unit());
        let lips = mix(
            [skin[0] * 0.8, skin[1] * 0.5, skin[2] * 0.55],
            [0.42, 0.06, 0.08],
            rng.range(0.0, if sex == 0 { 0.8 } else { 0.15 }),
        );
        let browns = [[0.07, 0.03, 0.012], [0.12, 0.06, 0.02]];
        let all = [
            browns[0],
            browns[1],
            [0.12, 0.2, 0.32],
            [0.12, 0.19, 0.1],
            [0.2, 0.22, 0.23],
        ];
        let iris = all[rng.below(if origin == 2 { 5 } else { 2 })];
        let hairs = [
            [0.008, 0.006, 0.005],
            [0.02, 0.012, 0.008],
            [0.05, 0.026, 0.014],
            [0.1, 0.05, 0.022],
            [0.28, 0.17, 0.07],
            [0.16, 0.05, 0.02],
        ];
        let hair = hairs[rng.below(if origin == 2 { 6 } else { 2 })];
        let hair = mix(hair, [0.35, 0.34, 0.33], smooth(0.25, 0.7, age));
        Self {
            hair_kind: HairKind::of(seed, origin, sex, age),
            noise_seed: rng.next_u64() as u32,
            skin,
            lips,
            iris,
            hair,
            garment: std::array::from_fn(|_| rng.range(0.02, 0.5)),
            cut: Garment::of(seed),
            age,
            beard: Beard::of(seed, sex),
            stubble: if sex == 1 { rng.range(0.0, 0.5) } else { 0.0 },
            freckles: if origin == 2 && rng.chance(0.35) {
                rng.range(0.2, 0.6)
            } else {
                0.0
            },
            brow_thickness: rng.range(0.022, if sex == 1 { 0.062 } else { 0.046 }),
            hairline: rng.range(-0.08, 0.1) + if sex == 1 { 0.15 * age } else { 0.0 },
            moles: std::array::from_fn(|_| {
                [
                    rng.range(-0.6, 0.6),
                    rng.range(6.3, 7.9),
                    rng.range(0.01, 0.018),
                ]
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hairline_leaves_face_and_ears_free() {
        assert!(above_hairline([0.0, 8.4, 0.4], 0.0) > 0.2);
        assert!(above_hairline([0.0, 7.3, -0.6], 0.0) > 0.2);
        assert!(above_hairline([0.0, 7.0, 1.6], 0.0) < -0.5);
        assert!(above_hairline([0.82, 7.1, 0.3], 0.0) < 0.0);
        assert!(below_neckline([1.0, 5.0, 0.3]) > 0.0);
        assert!(below_neckline([0.0, 6.2, 1.4]) < 0.0);
    }

    #[test]
    fn a_seed_is_a_person() {
        let data = HeadData::stand_in();
        let (a, b) = (Person::new(&data, 1), Person::new(&data, 1));
        assert_eq!(a.neutral, b.neutral);
        assert_eq!(a.look.skin, b.look.skin);
        assert_ne!(a.look.skin, Person::new(&data, 2).look.skin);
        assert_eq!(a.unlikeness(&b), 0.0);
        let mut raised = b.clone();
        for point in &mut raised.neutral {
            point[1] += 2.0;
        }
        assert!(a.unlikeness(&raised) < 1e-4);
        raised.neutral[0][0] += 10.0;
        assert!(a.unlikeness(&raised) > 1e-3);
    }
}
