//! What a person takes from the photographs: a skin and hair that fit, and how they are put on.
//!
//! Drawn from random streams of their own, so that the shape and the procedural look of a seed are the
//! same with and without photographs. Knows nothing of cameras and light.

use std::sync::Arc;

use stockpot_core::rng::Rng;

use crate::assets::{Class, HeadData};
use crate::hair::HairKind;
use crate::mhclo;
use crate::person::{Look, above_hairline};
use crate::photos::{Age, MeshFile, Photos, SkinFile, area_of};
use crate::scene::{Bind, Part, Surface, face_middle, head_share};
use crate::texture::{Texture, brightness};
use crate::vec3::{Vec3, cross, dot, mix, scale, smooth, sub};

/// Share of those for whom there is a fitting photograph that take it. Ours: some stay as they are,
/// so that there is more to see.
const SKIN_SHARE: f32 = 0.8;
const HAIR_SHARE: f32 = 0.7;
/// Skins farther than this from a person's tone (natural logarithm of the brightness) do not fit.
const FAR_TONE: f32 = 0.6;
/// How far a skin is tinted to the person's own tone, 0 not at all to 1.
const TINTED: f32 = 0.6;
/// Triangles that are covered less than this on average throw no shadow.
const SPARSE: f32 = 0.6;

/// A photographed skin on a person.
#[derive(Debug, Clone)]
pub(crate) struct PhotoSkin {
    texture: Arc<Texture>,
    /// By which its colours are multiplied.
    tint: Vec3,
    texels_per_dm: f32,
    /// What the scalp is laid over with, and how much: the shorn hair of the photograph has not the
    /// colour of hair that is drawn by code.
    scalp: (Vec3, f32),
}

impl PhotoSkin {
    /// Colour in linear light at a place of the texture plane, for pixels of `pixel_dm` decimetres.
    pub(crate) fn colour(&self, uv: [f32; 2], pixel_dm: f32) -> Vec3 {
        let level = (self.texels_per_dm * pixel_dm).max(1e-6).log2();
        let colour = self.texture.sample(uv, level);
        std::array::from_fn(|k| colour[k] * self.tint[k])
    }

    /// `colour` at a place of the base mesh with the person's own scalp.
    pub(crate) fn with_scalp(&self, colour: Vec3, rest: Vec3) -> Vec3 {
        let (own, share) = self.scalp;
        if share == 0.0 {
            return colour;
        }
        // Shorn hair begins some way before the hairline of the base mesh.
        let on = smooth(-0.3, 0.0, above_hairline(rest, 0.0));
        mix(colour, own, share * on)
    }
}

/// A picture of hairs on a mesh.
#[derive(Debug, Clone)]
pub(crate) struct Laid {
    texture: Arc<Texture>,
    /// Colour of the hairs in linear light, which the picture gets.
    colour: Vec3,
    /// Mean brightness of the picture.
    brightness: f32,
    texels_per_dm: f32,
    /// Strength of the highlight along the hairs.
    pub(crate) gloss: f32,
    /// Whether hairs go every way and not along the picture.
    pub(crate) curly: bool,
    /// Whether light is kept from what is behind.
    pub(crate) throws_shadow: bool,
}

impl Laid {
    fn level(&self, pixel_dm: f32) -> f32 {
        (self.texels_per_dm * pixel_dm).max(1e-6).log2()
    }

    /// Share of a sample at `uv` that is covered; samples are half a pixel wide.
    pub(crate) fn cover(&self, uv: [f32; 2], pixel_dm: f32) -> f32 {
        self.texture.alpha(uv, self.level(0.5 * pixel_dm))
    }

    /// Colour at `uv`: light and dark from the picture, the hue for the most part the person's.
    pub(crate) fn colour(&self, uv: [f32; 2], pixel_dm: f32) -> Vec3 {
        let own = self.texture.sample(uv, self.level(pixel_dm));
        // At their borders pictures are black; nothing on a head is so much darker than the rest.
        let light = (brightness(own) / self.brightness.max(1e-3)).clamp(0.3, 3.0);
        scale(self.colour, 0.25 + 0.75 * light)
    }
}

/// What a person took.
#[derive(Debug, Clone, Default)]
pub(crate) struct Worn {
    pub(crate) skin: Option<PhotoSkin>,
    hair: Option<Arc<MeshFile>>,
}

impl Worn {
    /// What the person of `seed` takes; sex 1 is male, age 0 (young) to 1. `look` takes on the tone of
    /// the skin.
    pub(crate) fn new(photos: &Photos, seed: u64, sex: usize, age: f32, look: &mut Look) -> Self {
        let mut rng = Rng::stream(seed, "photographed skin", 0);
        let weights = photos.skins.iter().map(|s| fit(s, sex, age, look));
        let skin = one_of(&photos.skins, weights, SKIN_SHARE, &mut rng);
        let mut skin = skin.map(|file| {
            let jitter = rng.range(0.94, 1.06);
            let own = [rng.range(0.98, 1.02), 1.0, rng.range(0.97, 1.03)];
            let tint: Vec3 = std::array::from_fn(|k| {
                let towards = look.skin[k] / file.tone[k].max(1e-3);
                towards.powf(TINTED).clamp(0.55, 1.5) * jitter * own[k]
            });
            look.skin = std::array::from_fn(|k| file.tone[k] * tint[k]);
            PhotoSkin {
                texture: file.texture.clone(),
                tint,
                texels_per_dm: file.texels_per_dm,
                scalp: (std::array::from_fn(|k| file.forehead[k] * tint[k]), 1.0),
            }
        });
        let mut rng = Rng::stream(seed, "photographed hair", 0);
        let weights = photos.hairs.iter().map(|h| suits(h, look.hair_kind, sex));
        let hair = one_of(&photos.hairs, weights, HAIR_SHARE, &mut rng).cloned();
        if let Some(skin) = &mut skin {
            match look.hair_kind {
                _ if hair.is_some() => skin.scalp.1 = 0.0,
                HairKind::Bald => skin.scalp.1 = 0.0,
                HairKind::Buzz => skin.scalp = (look.hair, 0.65),
                _ => {}
            }
        }
        Self { skin, hair }
    }

    /// Whether the hair is a photograph's.
    pub(crate) fn has_hair(&self) -> bool {
        self.hair.is_some()
    }

    /// Hair over the `neutral` head, helpers included.
    pub(crate) fn parts(&self, data: &HeadData, neutral: &[Vec3], look: &Look) -> Vec<Part> {
        match &self.hair {
            Some(hair) => hair_parts(hair, data, neutral, look).into(),
            None => Vec::new(),
        }
    }
}

/// One of `all` by `weights`, for a `share` of those for whom any fits.
fn one_of<'a, T>(
    all: &'a [T],
    weights: impl Iterator<Item = f32>,
    share: f32,
    rng: &mut Rng,
) -> Option<&'a T> {
    let weights: Vec<f32> = weights.collect();
    let (taken, mut at) = (rng.chance(share), rng.unit() * weights.iter().sum::<f32>());
    let fitting = all.iter().zip(&weights).filter(|(_, w)| **w > 0.0);
    let mut last = None;
    for (one, weight) in fitting {
        last = Some(one);
        if at < *weight {
            break;
        }
        at -= weight;
    }
    last.filter(|_| taken)
}

/// How well a skin fits a person, 0 if not at all.
fn fit(skin: &SkinFile, sex: usize, age: f32, look: &Look) -> f32 {
    let off = (brightness(look.skin) / brightness(skin.tone).max(1e-3)).ln();
    if skin.sex != sex || off.abs() > FAR_TONE {
        return 0.0;
    }
    let close = |x: f32, wide: f32| (-(x / wide).powi(2)).exp();
    let usual = match skin.age {
        Some(Age::Young) => 0.0,
        Some(Age::Middle) => 0.25,
        Some(Age::Old) => 0.55,
        None => age,
    };
    close(off, 0.5) * close(age - usual, 0.2)
}

/// Whether hair is worn like this, by the tags of its file.
fn suits(hair: &MeshFile, kind: HairKind, sex: usize) -> f32 {
    let has = |tag: &str| hair.tags.iter().any(|t| t == tag);
    let other = ["male", "female"][sex];
    if has(other) {
        return 0.0;
    }
    let tied = ["ponytail", "braid"].iter().any(|n| hair.name.contains(n));
    let fits = match kind {
        HairKind::Bald | HairKind::Ring | HairKind::Buzz => false,
        HairKind::SideParted => has("short") && !has("bob") && !has("afro"),
        HairKind::Curly => has("afro"),
        HairKind::Bob => has("bob"),
        HairKind::Long => has("long") && !tied,
        HairKind::Bun => tied,
    };
    f32::from(u8::from(fits))
}

/// Texels a decimetre of a mesh with these `points`.
fn density(mesh: &MeshFile, points: &[Vec3]) -> f32 {
    let (mut plane, mut world) = (0.0f32, 0.0f32);
    for triangle in &mesh.triangles {
        let [a, b, c] = triangle.map(|i| points[i as usize]);
        let area = cross(sub(b, a), sub(c, a));
        world += dot(area, area).sqrt();
        plane += area_of(triangle.map(|i| mesh.uv[i as usize]));
    }
    let [wide, high] = mesh.texture.sides();
    (plane * wide * high / world.max(1e-6)).sqrt()
}

/// The dense part of the hair, which throws shadows, and the rest.
fn hair_parts(hair: &MeshFile, data: &HeadData, neutral: &[Vec3], look: &Look) -> [Part; 2] {
    let stretch = mhclo::stretch(&hair.rulers, neutral);
    let points = mhclo::fitted(&hair.leans, neutral, stretch);
    // What hangs below the head comes to rest on the shoulders. Shares are those of the base mesh.
    let raised = sub(face_middle(data, neutral), face_middle(data, &data.rest));
    let shares = |p: &Vec3| head_share(sub(*p, raised));
    let shares: Vec<f32> = points.iter().map(shares).collect();
    let laid = Laid {
        texels_per_dm: density(hair, &points),
        texture: hair.texture.clone(),
        colour: mix(look.hair, scale(look.hair, 1.15), 0.5),
        brightness: hair.brightness,
        gloss: 0.05,
        curly: hair.tags.iter().any(|t| t == "afro"),
        throws_shadow: true,
    };
    let (mut dense, mut sparse) = (Vec::new(), Vec::new());
    for triangle in &hair.triangles {
        let [a, b, c] = triangle.map(|i| hair.uv[i as usize]);
        let (mut sum, mut most) = (0.0, 0.0f32);
        const PLACES: [Vec3; 7] = [
            [0.34, 0.33, 0.33],
            [0.6, 0.2, 0.2],
            [0.2, 0.6, 0.2],
            [0.2, 0.2, 0.6],
            [0.8, 0.1, 0.1],
            [0.1, 0.8, 0.1],
            [0.1, 0.1, 0.8],
        ];
        for [u, v, w] in PLACES {
            let uv = [0, 1].map(|k| a[k] * u + b[k] * v + c[k] * w);
            let alpha = hair.texture.alpha(uv, 1.0);
            sum += alpha;
            most = most.max(alpha);
        }
        match () {
            () if sum > SPARSE * PLACES.len() as f32 => dense.push(*triangle),
            () if most > 0.0 => sparse.push(*triangle),
            () => {}
        }
    }
    let part = |triangles: Vec<[u32; 3]>, throws_shadow: bool| Part {
        points: points.clone(),
        triangles,
        uv: hair.uv.clone(),
        bind: Bind::Shares(shares.clone()),
        surface: Surface::Laid(Laid {
            throws_shadow,
            ..laid.clone()
        }),
        class: Class::Hair,
    };
    [part(dense, true), part(sparse, false)]
}
