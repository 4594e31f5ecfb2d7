//! The colour of a place on a person. Places are those of the base mesh, so paint lies right on
//! every identity and moves with every expression. Knows nothing of cameras and lights.

use crate::assets::Class;
use crate::face_hair::Beard;
use crate::hair;
use crate::person::{Garment, Look, below_neckline};
use crate::vec3::{Vec3, add, dot, far, mix, scale, smooth, sub, unit};

/// Colour (linear light), gloss and class of one place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    pub(crate) colour: Vec3,
    /// Strength of the highlight.
    pub(crate) gloss: f32,
    /// Sharpness of the highlight (exponent).
    pub(crate) sharpness: i32,
    /// Share of light that reaches the place.
    pub(crate) open: f32,
    /// How fast the surface rises on the base mesh, along each axis: what its normal leans away from.
    pub(crate) slope: Vec3,
    pub(crate) class: Class,
}

/// Upper and lower border of the lips over the distance from the middle, read off the base mesh.
const LIPS: [(f32, f32, f32); 7] = [
    (0.0, 6.68, 6.537),
    (0.05, 6.694, 6.535),
    (0.12, 6.687, 6.54),
    (0.18, 6.668, 6.545),
    (0.235, 6.64, 6.562),
    (0.262, 6.618, 6.592),
    (0.275, 6.606, 6.606),
];
/// Middle line of the brow: distance from the middle of the face and height, from inner to outer.
const BROW: [(f32, f32); 4] = [(0.11, 7.50), (0.27, 7.555), (0.39, 7.55), (0.5, 7.47)];

/// Middle of the opening of the eye on the base mesh and its half axes, as [`BROW`].
const LID: ([f32; 2], [f32; 2]) = ([0.315, 7.288], [0.125, 0.052]);

fn hash(x: i32, y: i32, z: i32, seed: u32) -> f32 {
    let mut h = seed ^ (x as u32).wrapping_mul(0x8da6_b343);
    h ^= (y as u32).wrapping_mul(0xd816_3841) ^ (z as u32).wrapping_mul(0xcb1a_b31f);
    h = (h ^ (h >> 15)).wrapping_mul(0x2c1b_3c6d);
    h = (h ^ (h >> 12)).wrapping_mul(0x297a_2d39);
    (h >> 8) as f32 / (1u32 << 24) as f32
}

/// Smooth noise, 0 to 1, with one value per unit of space.
pub(crate) fn noise(p: Vec3, seed: u32) -> f32 {
    // The next whole number below, without a call into the mathematics library.
    let cell = p.map(|v| v as i32 - i32::from(v < 0.0));
    let t: Vec3 = std::array::from_fn(|i| {
        let f = p[i] - cell[i] as f32;
        f * f * (3.0 - 2.0 * f)
    });
    let [x, y, z] = cell;
    let line = |y: i32, z: i32| {
        let (a, b) = (hash(x, y, z, seed), hash(x + 1, y, z, seed));
        a + (b - a) * t[0]
    };
    let plane = |z: i32| {
        let (a, b) = (line(y, z), line(y + 1, z));
        a + (b - a) * t[1]
    };
    let (a, b) = (plane(z), plane(z + 1));
    a + (b - a) * t[2]
}

/// As [`noise`], with how fast it grows along each axis.
pub(crate) fn noise_with_slope(p: Vec3, seed: u32) -> (f32, Vec3) {
    let cell = p.map(|v| v as i32 - i32::from(v < 0.0));
    let far: Vec3 = std::array::from_fn(|i| p[i] - cell[i] as f32);
    let t = far.map(|f| f * f * (3.0 - 2.0 * f));
    let dt = far.map(|f| 6.0 * f * (1.0 - f));
    let corner = |x: i32, y: i32, z: i32| hash(cell[0] + x, cell[1] + y, cell[2] + z, seed);
    let blend = |a: f32, b: f32, t: f32| a + (b - a) * t;
    // Values and slopes along x on the four edges, then along y on the two faces.
    let edge = |y: i32, z: i32| {
        let (a, b) = (corner(0, y, z), corner(1, y, z));
        (blend(a, b, t[0]), (b - a) * dt[0])
    };
    let face = |z: i32| {
        let ((a, ax), (b, bx)) = (edge(0, z), edge(1, z));
        (blend(a, b, t[1]), blend(ax, bx, t[1]), (b - a) * dt[1])
    };
    let ((a, ax, ay), (b, bx, by)) = (face(0), face(1));
    let slope = [blend(ax, bx, t[2]), blend(ay, by, t[2]), (b - a) * dt[2]];
    (blend(a, b, t[2]), slope)
}

/// The same in a plane, at half the cost.
pub(crate) fn noise_2d(p: [f32; 2], seed: u32) -> f32 {
    let [x, y] = p.map(|v| v as i32 - i32::from(v < 0.0));
    let soft = |f: f32| f * f * (3.0 - 2.0 * f);
    let (tx, ty) = (soft(p[0] - x as f32), soft(p[1] - y as f32));
    let line = |y: i32| {
        let (a, b) = (hash(x, y, 0, seed), hash(x + 1, y, 0, seed));
        a + (b - a) * tx
    };
    let (a, b) = (line(y), line(y + 1));
    a + (b - a) * ty
}

/// Where `rest` lies on the base mesh decides what it is. `photo` is the colour of the bare skin there,
/// if it is photographed; `detail` is how much of pores and fine lines a pixel is small enough to
/// show, 0 to 1.
pub(crate) fn body(rest: Vec3, look: &Look, photo: Option<Vec3>, detail: f32) -> Paint {
    let seed = look.noise_seed;
    let neck = below_neckline(rest);
    if neck > 0.0 {
        return cloth(rest, neck, look);
    }
    let cover = hair::roots(rest, look);
    if cover <= 0.0 {
        return skin(rest, look, photo, detail);
    }
    let bare = if cover > 0.6 {
        // Nobody sees what the skin is like under hair.
        Paint {
            colour: photo.unwrap_or(look.skin),
            gloss: 0.04,
            sharpness: 18,
            open: 1.0,
            slope: [0.0; 3],
            class: Class::Skin,
        }
    } else {
        skin(rest, look, photo, detail)
    };
    let round = rest[0].atan2(rest[2] - 0.3);
    let strand = noise([round * 60.0, rest[1] * 9.0, rest[2] * 9.0], seed ^ 2);
    Paint {
        colour: mix(bare.colour, scale(look.hair, 0.4 + 0.7 * strand), cover),
        gloss: bare.gloss * (1.0 - cover),
        class: if cover > 0.5 { Class::Hair } else { bare.class },
        ..bare
    }
}

/// What is worn, `neck` decimetres below the neckline.
fn cloth(rest: Vec3, neck: f32, look: &Look) -> Paint {
    let seed = look.noise_seed;
    let weave = 0.9 + 0.2 * noise(scale(rest, 40.0), seed);
    let mut hem = 0.7 + 0.3 * smooth(0.02, 0.05, neck);
    // Folds run down from the shoulders.
    let (_, fold) = noise_with_slope([rest[0] * 4.0, rest[1] * 1.3, rest[2] * 4.0], seed ^ 14);
    let x = rest[0].abs();
    let before = rest[2] > 0.2;
    let mut colour = look.garment;
    let mut edge = |off: f32| hem *= 0.6 + 0.4 * smooth(0.0, 0.025, off.abs());
    match look.cut {
        Garment::Plain => {}
        Garment::Striped(other) => {
            let at = (neck * 5.5).fract();
            colour = mix(colour, other, smooth(0.45, 0.5, at) * smooth(1.0, 0.95, at));
        }
        Garment::Jacket(other) => {
            // The shirt shows in a wedge between the lapels, which lie on the jacket.
            let opening = 0.42 - 0.32 * neck;
            if before && x < opening {
                colour = other;
            } else if before && x < opening + 0.3 - 0.1 * neck {
                colour = scale(colour, 0.8);
            }
            if before {
                edge(x - opening);
                edge(x - opening - 0.3 + 0.1 * neck);
            }
        }
        Garment::Shirt(other) => {
            let button = before && far(rest[0] - 0.03, ((neck * 2.2).fract() - 0.5) / 2.2) < 0.028;
            if button {
                colour = other;
            }
            if neck < 0.17 {
                edge(neck - 0.16);
            } else if before {
                edge(rest[0] + 0.07);
            }
        }
    }
    Paint {
        colour: scale(colour, weave * hem),
        gloss: 0.01,
        sharpness: 8,
        open: 1.0,
        slope: scale(fold, 0.28),
        class: Class::Garment,
    }
}

/// Lines that a face gets with age: how fast the skin rises there, along the height and to the side.
fn wrinkles([x, y, _]: Vec3, front: f32, look: &Look) -> [f32; 2] {
    let depth = smooth(0.08, 0.6, look.age) * front;
    if depth <= 0.0 {
        return [0.0; 2];
    }
    let brow = smooth(7.62, 7.7, y) * smooth(8.0, 7.88, y) * smooth(0.5, 0.3, x);
    let mut lines = 0.0;
    if brow > 0.0 {
        let wave = 0.9 * noise_2d([x * 5.0, 3.5], look.noise_seed ^ 15);
        lines = brow * (75.0 * y + wave).cos();
    }
    // Crow's feet spread from the outer corner of the eye.
    let (dx, dy) = (x - 0.46, y - 7.27);
    let feet = smooth(0.0, 0.04, dx) * smooth(0.2, 0.1, dx) * smooth(0.14, 0.08, dy.abs());
    let mut spread = 0.0;
    if feet > 0.0 {
        spread = feet * (12.0 * dy.atan2(dx + 0.02)).cos();
    }
    // The fold from the wing of the nose to the corner of the mouth.
    let fold = smooth(6.55, 6.65, y) * smooth(6.95, 6.88, y);
    let mut groove = 0.0;
    if fold > 0.0 {
        let line = 0.2 + 0.5 * (6.92 - y);
        let off = (x - line) / 0.04;
        groove = fold * off * (-off * off).exp();
    }
    [depth * (0.32 * lines + 0.3 * spread), depth * 0.9 * groove]
}

fn skin(rest: Vec3, look: &Look, photo: Option<Vec3>, detail: f32) -> Paint {
    let seed = look.noise_seed;
    let [x, y, z] = [rest[0].abs(), rest[1], rest[2]];
    let front = smooth(0.9, 1.2, z);
    let blotch = noise(scale(rest, 3.5), seed ^ 3) - 0.5;
    let (middle, uneven) = noise_with_slope(scale(rest, 14.0), seed ^ 4);
    let middle = middle - 0.5;
    let mut slope = scale(uneven, 0.045);
    let mut fine = 0.0;
    if detail > 0.0 {
        let (pores, rough) = noise_with_slope(scale(rest, 55.0), seed ^ 1);
        fine = detail * (pores - 0.5);
        slope = add(slope, scale(rough, 0.11 * detail));
    }
    let [up, aside] = wrinkles([x, y, z], front, look);
    slope = add(slope, [aside * rest[0].signum(), up, 0.0]);
    let shade = 1.0 + 0.16 * blotch + 0.1 * middle + 0.08 * fine;
    // Blood lies in patches: some are redder, some more sallow.
    let flush = 0.025 * uneven[1];
    let tint = [1.0 + flush, 1.0 - 0.8 * flush, 1.0 - flush];
    let mut colour = std::array::from_fn(|k| look.skin[k] * shade * tint[k]);
    // Blood under the cheeks, the tip of the nose and the ears; a cooler beard and eye region.
    let near = |cx: f32, cy: f32, r: f32| smooth(r, 0.0, far(x - cx, y - cy));
    let red = front * (0.5 * near(0.42, 6.95, 0.32) + 0.6 * near(0.0, 6.95, 0.16))
        + 0.5 * smooth(0.72, 0.8, x) * smooth(6.6, 6.9, y);
    colour = mix(
        colour,
        [colour[0] * 1.06, colour[1] * 0.72, colour[2] * 0.7],
        red.min(1.0),
    );
    // A photograph has its own blood, shade and lips, but less detail than skin that is made.
    if let Some(photo) = photo {
        colour = scale(photo, 1.0 + 0.1 * fine + 0.06 * middle);
    }
    let socket = front * smooth(0.2, 0.05, far((x - 0.31) * 0.9, y - 7.26));
    if photo.is_none() {
        colour = scale(colour, 1.0 - 0.16 * socket);
    }
    let stubble = match look.beard {
        Beard::None => look.stubble,
        // Roots darken the skin under a beard.
        Beard::Moustache | Beard::Goatee => look.stubble.max(0.25),
        Beard::Full => look.stubble.max(1.0),
    };
    if stubble > 0.0 {
        let beard = smooth(6.85, 6.6, y + 0.25 * (0.5 - x).max(0.0))
            * smooth(6.0, 6.25, y)
            * smooth(0.5, 0.9, z);
        if beard > 0.0 {
            let grain = noise(scale(rest, 90.0), seed ^ 5);
            colour = mix(
                colour,
                scale(look.skin, 0.3),
                beard * stubble * (0.35 + 0.6 * grain) * 0.75,
            );
        }
    }
    let freckled = look.freckles * front * near(0.2, 7.0, 0.55);
    if freckled > 0.0 {
        let spots = noise(scale(rest, 30.0), seed ^ 6);
        colour = mix(
            colour,
            [colour[0] * 0.6, colour[1] * 0.42, colour[2] * 0.3],
            freckled * smooth(0.66, 0.8, spots),
        );
    }
    for mole in look.moles {
        let dark = smooth(mole[2], mole[2] * 0.5, far(rest[0] - mole[0], y - mole[1])) * front;
        colour = mix(colour, scale(look.skin, 0.3), 0.8 * dark);
    }
    let (lip, brow) = (
        lip_cover(x, y) * smooth(1.15, 1.3, z),
        brow_cover(rest, look),
    );
    if lip > 0.0 {
        let lines = 0.85 + 0.3 * noise([rest[0] * 70.0, y * 8.0, 0.0], seed ^ 7);
        let own = if photo.is_some() { 0.35 } else { 1.0 };
        colour = mix(colour, scale(look.lips, lines), own * lip);
    }
    colour = mix(colour, brow_colour(look), 0.7 * brow);
    // The lid's edge carries the lashes.
    let rim = far((x - LID.0[0]) / LID.1[0], (y - LID.0[1]) / LID.1[1]);
    let upper = smooth(-0.01, 0.02, y - 7.285);
    let lash = smooth(1.3, 1.05, rim) * front * (0.25 + 0.6 * upper);
    colour = mix(colour, [0.012, 0.009, 0.008], lash);
    let class = match () {
        () if lip > 0.5 => Class::Lips,
        () if brow > 0.4 => Class::Brows,
        () => Class::Skin,
    };
    let oil = 0.045 + 0.05 * near(0.0, 7.0, 0.25) * front + 0.03 * middle;
    Paint {
        colour,
        gloss: if lip > 0.5 { 0.12 } else { oil },
        sharpness: if lip > 0.5 { 40 } else { 18 },
        open: 1.0,
        slope,
        class,
    }
}

/// 1 on the red of the lips, 0 off it, `x` being the distance from the middle.
fn lip_cover(x: f32, y: f32) -> f32 {
    let Some(after) = LIPS.iter().position(|p| p.0 > x) else {
        return 0.0;
    };
    let (a, b) = (LIPS[after.max(1) - 1], LIPS[after.max(1)]);
    let t = (x - a.0) / (b.0 - a.0);
    let (top, bottom) = (a.1 + (b.1 - a.1) * t, a.2 + (b.2 - a.2) * t);
    smooth(-0.012, 0.008, top - y) * smooth(-0.012, 0.008, y - bottom)
}

/// Colour of brows in linear light.
pub(crate) fn brow_colour(look: &Look) -> Vec3 {
    std::array::from_fn(|k| (0.7 * look.hair[k]).min(0.4 * look.skin[k]))
}

/// The middle line of a brow on the base mesh, `along` it from 0 (at the nose) to 1: distance from
/// the middle of the face, height, and half its thickness there.
pub(crate) fn brow_line(along: f32, look: &Look) -> (f32, f32, f32) {
    let x = BROW[0].0 + along * (BROW[3].0 - BROW[0].0);
    let after = BROW.iter().position(|p| p.0 > x).unwrap_or(3).max(1);
    let (a, b) = (BROW[after - 1], BROW[after]);
    let t = (x - a.0) / (b.0 - a.0);
    let half = look.brow_thickness * (1.0 - 0.75 * along * along) * smooth(0.0, 0.12, along + 0.05);
    (x, a.1 + (b.1 - a.1) * t, half)
}

/// A place on the edge of the lids of the base mesh, `out` times its distance from the middle of the
/// eye: distance from the middle of the face and height. Angle 0 is the outer corner.
pub(crate) fn lid_rim(angle_rad: f32, out: f32) -> (f32, f32) {
    let (sin, cos) = angle_rad.sin_cos();
    (
        LID.0[0] + out * LID.1[0] * cos,
        LID.0[1] + out * LID.1[1] * sin,
    )
}

fn brow_cover(rest: Vec3, look: &Look) -> f32 {
    let x = rest[0].abs();
    if rest[2] < 0.8 || !(BROW[0].0..BROW[3].0).contains(&x) {
        return 0.0;
    }
    let along = (x - BROW[0].0) / (BROW[3].0 - BROW[0].0);
    let (_, middle, half) = brow_line(along, look);
    let off = (rest[1] - middle).abs();
    if off >= half {
        return 0.0;
    }
    let strokes = noise(
        [(x - rest[1]) * 75.0, (x + rest[1]) * 22.0, 0.0],
        look.noise_seed ^ 8,
    );
    smooth(half, half * 0.45, off) * (0.45 + 0.75 * strokes).min(1.0)
}

/// An eyeball; `direction` is that from its centre to the place, `ahead` that in which it looks.
pub(crate) fn eye(direction: Vec3, ahead: Vec3, look: &Look) -> Paint {
    let angle = dot(direction, ahead).clamp(-1.0, 1.0).acos();
    let across = sub(direction, scale(ahead, dot(direction, ahead)));
    let round = across[1].atan2(across[0]);
    let veins = noise(scale(direction, 9.0), look.noise_seed ^ 9);
    let white = mix(
        [0.62, 0.56, 0.52],
        [0.5, 0.36, 0.33],
        0.4 * veins + smooth(0.5, 1.1, angle) * 0.4,
    );
    let rays = noise(
        [round.cos() * 9.0, round.sin() * 9.0, angle * 6.0],
        look.noise_seed ^ 10,
    );
    let iris = scale(
        look.iris,
        (0.55 + 0.9 * rays) * (1.0 - 0.6 * smooth(0.36, 0.44, angle)),
    );
    let colour = mix(iris, white, smooth(0.43, 0.48, angle));
    let colour = mix([0.004; 3], colour, smooth(0.155, 0.185, angle));
    // The upper lid shades the ball.
    let open = 0.35 + 0.65 * smooth(0.3, -0.1, direction[1]);
    Paint {
        colour,
        gloss: 0.9,
        sharpness: 220,
        open,
        slope: [0.0; 3],
        class: Class::Eyes,
    }
}

/// Borders of the teeth of half a row, from the middle along the arch: upper and lower, in
/// decimetres. Usual widths of crowns (8.5, 6.5, 7.5, 7, 7 mm above; 5.4, 5.9, 7, 7, 7 below).
const TEETH: [[f32; 5]; 2] = [
    [0.085, 0.15, 0.225, 0.295, 0.365],
    [0.054, 0.113, 0.183, 0.253, 0.323],
];

/// A tooth or the gum around it.
fn tooth(rest: Vec3, look: &Look) -> Vec3 {
    let [x, y, z] = [rest[0].abs(), rest[1], rest[2]];
    let upper = y > 6.715 || (y > 6.6 && z > 1.43) || (y > 6.62 + 0.35 * (1.43 - z).max(0.0));
    // Along the arch: across in front, then backwards.
    let along = x.min(0.12)
        + (x - 0.12)
            .max(0.0)
            .hypot((1.44 - z).max(0.0) * smooth(0.1, 0.16, x));
    let borders = TEETH[usize::from(!upper)];
    let number = borders
        .iter()
        .position(|b| along < *b)
        .unwrap_or(borders.len());
    let from = number.checked_sub(1).map_or(0.0, |i| borders[i]);
    let to = borders.get(number).copied().unwrap_or(from + 0.09);
    let across = ((along - from) / (to - from)).clamp(0.0, 1.0);
    let side = i32::from(rest[0] > 0.0) + 2 * i32::from(upper);
    let own = hash(number as i32, side, 0, look.noise_seed ^ 17);
    // Height over the neck of the tooth; the gum rises between two teeth.
    let arch = 4.0 * across * (1.0 - across);
    let neck = if upper {
        6.712 + 0.3 * (x - 0.1).max(0.0) - y
    } else {
        y - 6.5 - 0.3 * (x - 0.1).max(0.0)
    };
    let crown = smooth(-0.012, 0.012, neck + 0.022 * arch - 0.008);
    let gap = across.min(1.0 - across) * (to - from);
    // Crowns are round: gaps widen towards the edge that bites.
    let open = 0.004 + 0.006 * smooth(0.07, 0.11, neck) + 0.002 * own;
    let shade = 0.25 + 0.75 * smooth(0.2 * open, 2.0 * open, gap);
    let enamel = scale(
        [0.64, 0.58, 0.47],
        (0.88 + 0.14 * own) * shade * (0.85 + 0.15 * arch),
    );
    let yellow = [1.0, 0.97 - 0.04 * look.age, 0.92 - 0.2 * look.age];
    let enamel = std::array::from_fn(|k| enamel[k] * yellow[k]);
    mix([0.3, 0.085, 0.08], enamel, crown)
}

/// Teeth, tongue and the inside of the mouth: the deeper, the darker.
pub(crate) fn mouth(rest: Vec3, class: Class, look: &Look) -> Paint {
    let colour = if class == Class::Teeth {
        tooth(rest, look)
    } else {
        let rough = 0.8 + 0.4 * noise(scale(rest, 30.0), look.noise_seed ^ 11);
        scale([0.24, 0.06, 0.055], rough)
    };
    let open = match class {
        // Real shadow does the most; deep in the throat there is none of the light that maps know.
        Class::Teeth => 0.12 + 0.88 * smooth(1.1, 1.48, rest[2]),
        _ => 0.05 + 0.7 * smooth(0.95, 1.5, rest[2]).powi(2),
    };
    Paint {
        colour,
        gloss: 0.25,
        sharpness: 50,
        open,
        slope: [0.0; 3],
        class,
    }
}

/// Direction from the centre of the eyeball on the side of `rest`.
pub(crate) fn eye_direction(rest: Vec3, centres: &[Vec3; 2]) -> Vec3 {
    unit(sub(rest, centres[usize::from(rest[0] > 0.0)]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_is_smooth_and_repeats() {
        let p = [1.3, -2.7, 0.4];
        assert_eq!(noise(p, 3).to_bits(), noise(p, 3).to_bits());
        assert!((noise(p, 3) - noise([1.3001, -2.7, 0.4], 3)).abs() < 1e-3);
        assert!((0..500).all(|i| (0.0..=1.0).contains(&noise([i as f32 * 0.37, 0.2, -1.5], 9))));
        let q = [-1.3, 2.7];
        assert!((noise_2d(q, 3) - noise_2d([-1.3001, 2.7], 3)).abs() < 1e-3);
        assert!(
            (0..500).all(|i| (0.0..=1.0).contains(&noise_2d([i as f32 * 0.37 - 90.0, 0.2], 9)))
        );
    }

    #[test]
    fn slopes_are_those_of_the_noise() {
        for i in 0..200 {
            let p = [
                i as f32 * 0.37 - 9.0,
                i as f32 * 0.11,
                3.0 - i as f32 * 0.23,
            ];
            let (value, slope) = noise_with_slope(p, 5);
            assert!((value - noise(p, 5)).abs() < 1e-6);
            for k in 0..3 {
                let moved = |by: f32| {
                    let mut q = p;
                    q[k] += by;
                    noise(q, 5)
                };
                let rise = (moved(1e-3) - moved(-1e-3)) / 2e-3;
                assert!((rise - slope[k]).abs() < 2e-2, "{p:?} {k} {rise} {slope:?}");
            }
        }
    }

    #[test]
    fn lips_lie_where_they_are() {
        assert!(lip_cover(0.0, 6.64) > 0.99);
        assert!(lip_cover(0.1, 6.57) > 0.99);
        assert_eq!(lip_cover(0.0, 6.8), 0.0);
        assert_eq!(lip_cover(0.4, 6.6), 0.0);
    }
}
