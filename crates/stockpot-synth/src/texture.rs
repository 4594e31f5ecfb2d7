//! A picture laid on a surface: sampled in linear light, from smaller copies where it is far away.
//!
//! Places are those of Wavefront meshes: u to the right, v up, the picture from 0 to 1, repeated
//! beyond. Knows nothing of meshes and light.

use std::sync::LazyLock;

use stockpot_core::image::{Rgba8, unit_to_u8};

use crate::vec3::{Vec3, add, scale};

/// Smaller copies kept of a picture, each of half the sides.
const SMALLER: usize = 6;

/// A picture and its smaller copies. Colours are stored as they were filmed (sRGB), to save memory.
#[derive(Debug)]
pub(crate) struct Texture {
    levels: Vec<Rgba8>,
}

/// Linear light of each stored value (IEC 61966-2-1).
static LINEAR: LazyLock<[f32; 256]> = LazyLock::new(|| {
    std::array::from_fn(|i| {
        let v = i as f32 / 255.0;
        if v <= 0.04045 {
            v / 12.92
        } else {
            ((v + 0.055) / 1.055).powf(2.4)
        }
    })
});

/// The inverse of [`LINEAR`].
fn stored(linear: f32) -> u8 {
    unit_to_u8(if linear <= 0.003_130_8 {
        linear * 12.92
    } else {
        1.055 * linear.powf(1.0 / 2.4) - 0.055
    })
}

impl Texture {
    /// `picture` with its smaller copies.
    pub(crate) fn new(picture: Rgba8) -> Self {
        let mut levels = vec![picture];
        while levels.len() <= SMALLER {
            let size = levels[levels.len() - 1].size();
            if size.width < 2 || size.height < 2 {
                break;
            }
            levels.push(halved(&levels[levels.len() - 1]));
        }
        Self { levels }
    }

    /// Width and height of the picture.
    pub(crate) fn sides(&self) -> [f32; 2] {
        let size = self.levels[0].size();
        [size.width as f32, size.height as f32]
    }

    /// Colour in linear light at `uv` for a pixel that is two to the power of `level` texels wide.
    pub(crate) fn sample(&self, uv: [f32; 2], level: f32) -> Vec3 {
        let level = level.clamp(0.0, (self.levels.len() - 1) as f32);
        let (low, t) = (level as usize, level.fract());
        let mut sum = gather(&self.levels[low], uv, 1.0 - t);
        if t > 0.0 {
            let other = gather(&self.levels[low + 1], uv, t);
            sum = (add(sum.0, other.0), sum.1 + other.1);
        }
        scale(sum.0, 1.0 / sum.1.max(1e-6))
    }

    /// Cover alone, from the nearest level.
    pub(crate) fn alpha(&self, uv: [f32; 2], level: f32) -> f32 {
        let level = level.round().clamp(0.0, (self.levels.len() - 1) as f32);
        let picture = &self.levels[level as usize];
        let corners = corners(picture, uv);
        let covered = corners.map(|(x, y, share)| f32::from(picture.pixel(x, y)[3]) * share);
        covered.iter().sum::<f32>() / 255.0
    }

    /// Mean brightness of what covers more than half, in linear light; 0 if nothing does.
    pub(crate) fn brightness(&self) -> f32 {
        let picture = &self.levels[self.levels.len().min(4) - 1];
        let texels = picture.data().chunks_exact(4).filter(|t| t[3] > 127);
        let (sum, n) = texels.fold((0.0, 0.0f32), |(sum, n), t| {
            (sum + brightness(linear(t)), n + 1.0)
        });
        sum / n.max(1.0)
    }
}

/// Brightness of a colour in linear light (Rec. 709).
pub(crate) fn brightness(colour: Vec3) -> f32 {
    0.2126 * colour[0] + 0.7152 * colour[1] + 0.0722 * colour[2]
}

fn linear(texel: &[u8]) -> Vec3 {
    [0, 1, 2].map(|k| LINEAR[usize::from(texel[k])])
}

/// The four texels round a place and their shares.
fn corners(picture: &Rgba8, uv: [f32; 2]) -> [(u32, u32, f32); 4] {
    let size = picture.size();
    let along = |at: f32, side: u32| {
        // The middle of the first texel lies half a texel inside.
        let at = (at - at.floor()) * side as f32 - 0.5;
        let low = at.floor();
        let first = if low < 0.0 { side - 1 } else { low as u32 };
        let first = first.min(side - 1);
        (first, (first + 1) % side, at - low)
    };
    let (x0, x1, tx) = along(uv[0], size.width);
    let (y0, y1, ty) = along(1.0 - uv[1], size.height);
    [
        (x0, y0, (1.0 - tx) * (1.0 - ty)),
        (x1, y0, tx * (1.0 - ty)),
        (x0, y1, (1.0 - tx) * ty),
        (x1, y1, tx * ty),
    ]
}

/// Sum of colours, each by its cover and share, and sum of covers, both times `weight`.
fn gather(picture: &Rgba8, uv: [f32; 2], weight: f32) -> (Vec3, f32) {
    let mut sum = ([0.0; 3], 0.0);
    for (x, y, share) in corners(picture, uv) {
        let texel = picture.pixel(x, y);
        let share = share * weight * f32::from(texel[3]) / 255.0;
        sum = (add(sum.0, scale(linear(&texel), share)), sum.1 + share);
    }
    sum
}

/// Every two by two texels as one; what is not covered has no say in the colour.
fn halved(picture: &Rgba8) -> Rgba8 {
    let size = picture.size();
    let mut out = Rgba8::new(stockpot_core::image::Size::new(
        size.width / 2,
        size.height / 2,
    ));
    for y in 0..size.height / 2 {
        for x in 0..size.width / 2 {
            let (mut colour, mut alpha) = ([0.0; 3], 0.0f32);
            for (dx, dy) in [(0, 0), (1, 0), (0, 1), (1, 1)] {
                let texel = picture.pixel(2 * x + dx, 2 * y + dy);
                let cover = f32::from(texel[3]) / 255.0;
                // A trace of the colour is kept where nothing is covered: no black seams.
                colour = add(colour, scale(linear(&texel), cover + 1e-4));
                alpha += cover;
            }
            let [r, g, b] = scale(colour, 1.0 / (alpha + 4e-4)).map(stored);
            out.set_pixel(x, y, [r, g, b, unit_to_u8(alpha / 4.0)]);
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpot_core::image::Size;

    fn checks() -> Texture {
        let mut picture = Rgba8::new(Size::square(8));
        for y in 0..8 {
            for x in 0..8 {
                let v = if (x + y) % 2 == 0 { 255 } else { 0 };
                picture.set_pixel(x, y, [v, 255, 0, if x < 4 { 255 } else { 0 }]);
            }
        }
        Texture::new(picture)
    }

    #[test]
    fn light_is_mixed_and_not_its_encoding() {
        let texture = checks();
        assert_eq!(texture.levels.len(), 4);
        let at = texture.sample([0.25, 0.5], 0.0);
        assert!((at[0] - 0.5).abs() < 1e-3, "{at:?}");
        let far = texture.sample([0.2, 0.3], 1.0);
        assert!((far[0] - 0.5).abs() < 5e-3, "{far:?}");
        assert!((far[1] - 1.0).abs() < 1e-3);
    }

    #[test]
    fn what_is_not_covered_has_no_colour() {
        let texture = checks();
        let edge = texture.sample([0.5, 0.5], 2.0);
        assert!((edge[1] - 1.0).abs() < 0.01, "{edge:?}");
        assert!((texture.alpha([0.5, 0.5], 2.0) - 0.5).abs() < 0.01);
        assert!((texture.alpha([0.25, 0.5], 0.0) - 1.0).abs() < 1e-6);
        assert_eq!(texture.alpha([0.75, 0.5], 0.0), 0.0);
    }

    #[test]
    fn up_is_up_and_odd_places_are_inside() {
        let mut picture = Rgba8::new(Size::new(1, 2));
        picture.set_pixel(0, 0, [255, 255, 255, 255]);
        picture.set_pixel(0, 1, [0, 0, 0, 255]);
        let texture = Texture::new(picture);
        assert!(texture.sample([0.5, 0.75], 0.0)[0] > 0.99);
        assert!(texture.sample([0.5, 0.25], 9.0)[0] < 0.01);
        for at in [-7.3, 0.0, 1.0, 1e9] {
            let colour = texture.sample([at, at], at);
            assert!((0.0..=1.0).contains(&colour[0]), "{at} {colour:?}");
            assert!((texture.alpha([at, at], at) - 1.0).abs() < 1e-3);
        }
        assert!((texture.brightness() - 0.5).abs() < 1e-3);
    }
}
