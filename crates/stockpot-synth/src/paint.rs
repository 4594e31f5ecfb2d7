//! The colour of a place on a person. Places are those of the base mesh, so paint lies right on
//! every identity and moves with every expression. Knows nothing of cameras and lights.

use crate::assets::Class;
use crate::hair;
use crate::person::{Look, below_neckline};
use crate::vec3::{Vec3, dot, mix, scale, smooth, sub, turned, unit};

/// Colour (linear light), gloss and class of one place.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    pub(crate) colour: Vec3,
    /// Strength of the highlight.
    pub(crate) gloss: f32,
    /// Sharpness of the highlight (exponent).
    pub(crate) sharpness: f32,
    /// Share of light that reaches the place.
    pub(crate) open: f32,
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
/// if it is photographed.
pub(crate) fn body(rest: Vec3, look: &Look, photo: Option<Vec3>) -> Paint {
    let seed = look.noise_seed;
    let neck = below_neckline(rest);
    if neck > 0.0 {
        let weave = 0.9 + 0.2 * noise(scale(rest, 40.0), seed);
        let hem = 0.7 + 0.3 * smooth(0.02, 0.05, neck);
        return Paint {
            colour: scale(look.garment, weave * hem),
            gloss: 0.01,
            sharpness: 8.0,
            open: 1.0,
            class: Class::Garment,
        };
    }
    let fine = noise(scale(rest, 55.0), seed ^ 1);
    let cover = hair::roots(rest, look);
    if cover <= 0.0 {
        return skin(rest, look, photo, fine);
    }
    let bare = if cover > 0.6 {
        // Nobody sees what the skin is like under hair.
        Paint {
            colour: photo.unwrap_or(look.skin),
            gloss: 0.04,
            sharpness: 18.0,
            open: 1.0,
            class: Class::Skin,
        }
    } else {
        skin(rest, look, photo, fine)
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

fn skin(rest: Vec3, look: &Look, photo: Option<Vec3>, fine: f32) -> Paint {
    let seed = look.noise_seed;
    let [x, y, z] = [rest[0].abs(), rest[1], rest[2]];
    let front = smooth(0.9, 1.2, z);
    let blotch = noise(scale(rest, 3.5), seed ^ 3) - 0.5;
    let middle = noise(scale(rest, 14.0), seed ^ 4) - 0.5;
    let shade = 1.0 + 0.16 * blotch + 0.1 * middle + 0.08 * (fine - 0.5);
    let mut colour = scale(look.skin, shade);
    // Blood under the cheeks, the tip of the nose and the ears; a cooler beard and eye region.
    let near = |cx: f32, cy: f32, r: f32| smooth(r, 0.0, (x - cx).hypot(y - cy));
    let red = front * (0.5 * near(0.42, 6.95, 0.32) + 0.6 * near(0.0, 6.95, 0.16))
        + 0.5 * smooth(0.72, 0.8, x) * smooth(6.6, 6.9, y);
    colour = mix(
        colour,
        [colour[0] * 1.06, colour[1] * 0.72, colour[2] * 0.7],
        red.min(1.0),
    );
    // A photograph has its own blood, shade and lips, but less detail than skin that is made.
    if let Some(photo) = photo {
        colour = scale(photo, 1.0 + 0.1 * (fine - 0.5) + 0.06 * middle);
    }
    let socket = front * smooth(0.2, 0.05, ((x - 0.31) * 0.9).hypot(y - 7.26));
    if photo.is_none() {
        colour = scale(colour, 1.0 - 0.16 * socket);
    }
    if look.stubble > 0.0 {
        let beard = smooth(6.85, 6.6, y + 0.25 * (0.5 - x).max(0.0))
            * smooth(6.0, 6.25, y)
            * smooth(0.5, 0.9, z);
        if beard > 0.0 {
            let grain = noise(scale(rest, 90.0), seed ^ 5);
            colour = mix(
                colour,
                scale(look.skin, 0.3),
                beard * look.stubble * (0.35 + 0.6 * grain) * 0.75,
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
        let dark = smooth(
            mole[2],
            mole[2] * 0.5,
            (rest[0] - mole[0]).hypot(y - mole[1]),
        ) * front;
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
    let brow_colour = std::array::from_fn(|k| (0.7 * look.hair[k]).min(0.4 * look.skin[k]));
    colour = mix(colour, brow_colour, 0.9 * brow);
    // The lid's edge carries the lashes.
    let rim = ((x - 0.315) / 0.125).hypot((y - 7.288) / 0.052);
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
        sharpness: if lip > 0.5 { 40.0 } else { 18.0 },
        open: 1.0,
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

fn brow_cover(rest: Vec3, look: &Look) -> f32 {
    let x = rest[0].abs();
    if rest[2] < 0.8 || !(BROW[0].0..BROW[3].0).contains(&x) {
        return 0.0;
    }
    let after = BROW.iter().position(|p| p.0 > x).unwrap_or(3).max(1);
    let (a, b) = (BROW[after - 1], BROW[after]);
    let t = (x - a.0) / (b.0 - a.0);
    let off = (rest[1] - a.1 - (b.1 - a.1) * t).abs();
    let along = (x - BROW[0].0) / (BROW[3].0 - BROW[0].0);
    let half = look.brow_thickness * (1.0 - 0.75 * along * along) * smooth(0.0, 0.12, along + 0.05);
    let strokes = noise(
        [(x - rest[1]) * 75.0, (x + rest[1]) * 22.0, 0.0],
        look.noise_seed ^ 8,
    );
    smooth(half, half * 0.45, off) * (0.45 + 0.75 * strokes).min(1.0)
}

/// An eyeball; `direction` is that from its centre to the place, `gaze_rad` its turn.
pub(crate) fn eye(direction: Vec3, gaze_rad: [f32; 2], look: &Look) -> Paint {
    let ahead = turned([0.0, 0.0, 1.0], [gaze_rad[0], gaze_rad[1], 0.0]);
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
        sharpness: 220.0,
        open,
        class: Class::Eyes,
    }
}

/// Teeth, tongue and the inside of the mouth: the deeper, the darker.
pub(crate) fn mouth(rest: Vec3, class: Class, look: &Look) -> Paint {
    let colour = if class == Class::Teeth {
        let gap = (rest[0].abs() * 13.0).fract();
        let gap = smooth(0.0, 0.08, gap.min(1.0 - gap));
        scale([0.62, 0.56, 0.46], 0.72 + 0.28 * gap)
    } else {
        let rough = 0.8 + 0.4 * noise(scale(rest, 30.0), look.noise_seed ^ 11);
        scale([0.26, 0.07, 0.06], rough)
    };
    let open = match class {
        // Real shadow does the most; deep in the throat there is none of the light that maps know.
        Class::Teeth => 0.45 + 0.55 * smooth(1.15, 1.5, rest[2]),
        _ => 0.15 + 0.7 * smooth(1.0, 1.5, rest[2]),
    };
    Paint {
        colour,
        gloss: 0.25,
        sharpness: 50.0,
        open,
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
    fn lips_lie_where_they_are() {
        assert!(lip_cover(0.0, 6.64) > 0.99);
        assert!(lip_cover(0.1, 6.57) > 0.99);
        assert_eq!(lip_cover(0.0, 6.8), 0.0);
        assert_eq!(lip_cover(0.4, 6.6), 0.0);
    }
}
