//! What colour a place of a posed scene has in the light of its moment.
//!
//! Start with [`Shader::shade`]. Knows nothing of pixels.

use crate::assets::{Class, HeadData};
use crate::paint::{self, Paint};
use crate::performance::Moment;
use crate::person::Person;
use crate::scene::{Posed, Surface};
use crate::shadow::Shadow;
use crate::vec3::{Turn, Vec3, add, dot, scale, sub, unit};

/// A place of a triangle: the triangle and the shares of its corners. Of a mean over several places,
/// shares are those in the whole and sum to one over all of them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spot {
    pub(crate) triangle: u32,
    pub(crate) shares: [f32; 3],
}

/// Colour in linear light and what it belongs to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Shaded {
    pub(crate) colour: Vec3,
    pub(crate) class: Class,
}

/// A scene with its light.
pub(crate) struct Shader<'a> {
    pub(crate) data: &'a HeadData,
    pub(crate) person: &'a Person,
    pub(crate) moment: &'a Moment,
    pub(crate) posed: &'a Posed<'a>,
    /// One for each light.
    pub(crate) shadows: Vec<Shadow>,
    /// Width of a pixel where the face is, in decimetres.
    pub(crate) pixel_dm: f32,
    /// How the head is turned.
    pub(crate) turn: Turn,
    /// The direction in which the eyes of an unturned head look.
    pub(crate) gaze: Vec3,
    /// How much of pores and fine lines a pixel is small enough to show, 0 to 1.
    pub(crate) detail: f32,
}

/// A place that light falls on.
#[derive(Clone, Copy)]
struct Site {
    point: Vec3,
    view: Vec3,
    /// How open it is to its surroundings.
    open: f32,
}

/// Light at a place, by which paint is multiplied, and what shines.
struct Light {
    light: Vec3,
    shine: Vec3,
}

fn blend(values: &[Vec3], corners: [u32; 3], shares: [f32; 3]) -> Vec3 {
    let [a, b, c] = corners.map(|i| values[i as usize]);
    std::array::from_fn(|k| a[k] * shares[0] + b[k] * shares[1] + c[k] * shares[2])
}

impl Shader<'_> {
    /// Place on a card of the spot.
    pub(crate) fn uv(&self, spot: Spot) -> [f32; 2] {
        let facet = self.posed.facets[spot.triangle as usize];
        let corners = facet
            .corners
            .map(|i| self.posed.uv[i as usize - self.posed.base]);
        std::array::from_fn(|k| (0..3).map(|i| corners[i][k] * spot.shares[i]).sum())
    }

    /// Colour of the mean of `spots`, which lie close together on one surface and are at least one; the
    /// shares of all sum to one.
    pub(crate) fn shade(&self, spots: &[Spot]) -> Shaded {
        let posed = self.posed;
        let corners = |s: &Spot| posed.facets[s.triangle as usize].corners;
        let mean = |values: &[Vec3], from: u32| {
            let each = spots
                .iter()
                .map(|s| blend(values, corners(s).map(|i| i - from), s.shares));
            each.fold([0.0; 3], add)
        };
        let normal = unit(mean(&posed.normals, 0));
        let point = mean(&posed.points, 0);
        let view = unit(scale(point, -1.0));
        let mut site = Site {
            point,
            view,
            open: 1.0,
        };
        let facet = posed.facets[spots[0].triangle as usize];
        let Some(part) = (facet.part as usize)
            .checked_sub(1)
            .map(|number| posed.parts[number])
        else {
            let rest = mean(&self.data.rest, 0);
            // Vertices are measured with the mouth shut: what is in it knows by itself how deep it lies.
            if !matches!(facet.class, Class::Mouth | Class::Teeth) {
                let open = spots.iter().map(|s| {
                    let [a, b, c] = corners(s).map(|i| self.person.open[i as usize]);
                    a * s.shares[0] + b * s.shares[1] + c * s.shares[2]
                });
                site.open = open.sum();
            }
            return self.base(facet.class, rest, self.photo(spots), normal, site);
        };
        let paint = |colour, gloss, sharpness| Paint {
            colour,
            gloss,
            sharpness,
            open: 1.0,
            slope: [0.0; 3],
            class: part.class,
        };
        let colour = match &part.surface {
            Surface::Strand(strand) => {
                let paint = paint(strand.colour(self.uv_of(spots)), strand.gloss, 20);
                let along = mean(&posed.along, posed.base as u32);
                // Cards lie every way; together they are round like the head they cover.
                let round = unit(sub(point, posed.skull));
                let normal = unit(add(scale(facing(normal, view), 0.4), round));
                self.fibre(paint, unit(along), normal, site)
            }
            Surface::Laid(laid) => {
                let uv = self.uv_of(spots);
                let paint = paint(laid.colour(uv, self.pixel_dm), laid.gloss, 20);
                let along = mean(&posed.along, posed.base as u32);
                let round = unit(sub(point, posed.skull));
                let normal = unit(add(scale(facing(normal, view), 0.4), round));
                if laid.curly {
                    self.lit(
                        Paint {
                            gloss: 0.01,
                            ..paint
                        },
                        normal,
                        site,
                    )
                } else {
                    self.fibre(paint, unit(along), normal, site)
                }
            }
            Surface::Plain {
                colour,
                gloss,
                sharpness,
            } => self.lit(paint(*colour, *gloss, *sharpness), normal, site),
            Surface::Glass { colour, alpha } => {
                let normal = facing(normal, view);
                let Light { light, shine } = self.light(&paint(*colour, 0.8, 300), normal, site);
                // What a pane mirrors of its surroundings: little straight on, all at the edge.
                let mirrored = 0.04 + 0.96 * (1.0 - dot(normal, view).max(0.0)).powi(5);
                // What it mirrors counts in full although it is laid over by its share.
                let full = alpha.max(0.05).recip();
                std::array::from_fn(|k| {
                    colour[k] * light[k] + full * (shine[k] + mirrored * self.moment.ambient[k])
                })
            }
        };
        Shaded {
            colour,
            class: part.class,
        }
    }

    /// Place on their cards of the mean of `spots`.
    fn uv_of(&self, spots: &[Spot]) -> [f32; 2] {
        spots.iter().fold([0.0; 2], |[u, v], spot| {
            let [more, higher] = self.uv(*spot);
            [u + more, v + higher]
        })
    }

    /// What a photograph says about `spots` of the base mesh, if the person has one.
    fn photo(&self, spots: &[Spot]) -> Option<Vec3> {
        let skin = self.person.worn.skin.as_ref()?;
        let first = self.data.triangles.get(spots[0].triangle as usize)?;
        if first.class != Class::Skin {
            return None;
        }
        let place = |s: &Spot| -> ([f32; 2], f32) {
            let texture = self.data.texture[s.triangle as usize];
            let part: f32 = s.shares.iter().sum();
            let at = |k: usize| (0..3).map(|i| texture[i][k] * s.shares[i]).sum::<f32>() / part;
            (std::array::from_fn(at), part)
        };
        // Spots beyond a seam of the photograph lie far away in it.
        let (first, _) = place(&spots[0]);
        let (mut sum, mut all) = ([0.0; 2], 0.0);
        for (at, part) in spots.iter().map(place) {
            if (at[0] - first[0]).abs().max((at[1] - first[1]).abs()) < 0.02 {
                sum = [sum[0] + part * at[0], sum[1] + part * at[1]];
                all += part;
            }
        }
        Some(skin.colour(sum.map(|v| v / all), self.pixel_dm))
    }

    /// The base mesh.
    fn base(
        &self,
        class: Class,
        rest: Vec3,
        photo: Option<Vec3>,
        normal: Vec3,
        site: Site,
    ) -> Shaded {
        let look = &self.person.look;
        let mut normal = normal;
        let paint = match class {
            Class::Skin => {
                let skin = self.person.worn.skin.as_ref();
                let photo = photo.zip(skin).map(|(p, skin)| skin.with_scalp(p, rest));
                let paint = paint::body(rest, look, photo, self.detail);
                // The slope turns with the head; across the surface only.
                let slope = self.turn.of(paint.slope);
                let slope = [slope[0], slope[1], -slope[2]];
                let across = sub(slope, scale(normal, dot(slope, normal)));
                normal = unit(sub(normal, across));
                paint
            }
            Class::Eyes => {
                let direction = paint::eye_direction(rest, &self.posed.eyes);
                let turned = self.turn.of(direction);
                normal = [turned[0], turned[1], -turned[2]];
                paint::eye(direction, self.gaze, look)
            }
            class => paint::mouth(rest, class, look),
        };
        Shaded {
            colour: self.lit(paint, normal, site),
            class: paint.class,
        }
    }

    fn lit(&self, paint: Paint, normal: Vec3, site: Site) -> Vec3 {
        let Light { light, shine } = self.light(&paint, facing(normal, site.view), site);
        scale(
            std::array::from_fn(|k| paint.colour[k] * light[k] + shine[k]),
            paint.open,
        )
    }

    fn light(&self, paint: &Paint, normal: Vec3, site: Site) -> Light {
        let view = site.view;
        // Light goes round corners in skin, red farthest.
        let is_skin = matches!(paint.class, Class::Skin | Class::Lips | Class::Brows);
        let wrap = if is_skin {
            [0.38, 0.18, 0.09]
        } else {
            [0.15; 3]
        };
        let mut light = self.ambient(normal, site.open);
        let mut shine = [0.0; 3];
        for ((towards, colour), shadow) in self.moment.lights.iter().zip(&self.shadows) {
            let towards = [towards[0], towards[1], -towards[2]];
            let facing = dot(normal, towards);
            if facing <= -wrap[0] {
                continue;
            }
            // A lamp has a size: deep in a hollow only a part of it is seen.
            let reached = shadow.lit(site.point, normal) * (0.4 + 0.6 * site.open);
            let colour = scale(*colour, reached);
            for k in 0..3 {
                light[k] += colour[k] * ((facing + wrap[k]) / (1.0 + wrap[k])).max(0.0);
            }
            if facing > 0.0 {
                let half = dot(normal, unit(add(towards, view))).max(0.0);
                let mut lobe = half.powi(paint.sharpness);
                if is_skin {
                    // A film of oil over a rough surface: a narrow highlight in a broad one.
                    let narrow = lobe * lobe * lobe;
                    lobe = 0.75 * lobe + 0.9 * narrow;
                }
                shine = add(shine, scale(colour, paint.gloss * lobe));
            }
        }
        Light { light, shine }
    }

    /// Light from everywhere: the sky gives more than the ground, which gives its warm part back.
    fn ambient(&self, normal: Vec3, open: f32) -> Vec3 {
        let up = 0.5 + 0.5 * normal[1];
        let ground = [0.62, 0.55, 0.5];
        std::array::from_fn(|k| {
            self.moment.ambient[k] * open * (ground[k] + (1.05 - ground[k]) * up)
        })
    }

    /// Light on strands after Kajiya and Kay 1989: what matters is the angle to the strand; the
    /// normal of the card only says which side of the head it is on.
    fn fibre(&self, paint: Paint, along: Vec3, normal: Vec3, site: Site) -> Vec3 {
        let view = site.view;
        let normal = facing(normal, view);
        let mut light = self.ambient(normal, 1.0);
        let mut shine = [0.0; 3];
        let sine = |cosine: f32| (1.0 - cosine * cosine).max(0.0).sqrt();
        for ((towards, colour), shadow) in self.moment.lights.iter().zip(&self.shadows) {
            let towards = [towards[0], towards[1], -towards[2]];
            let side = (dot(normal, towards) + 0.4) / 1.4;
            if side <= 0.0 {
                continue;
            }
            // Hair lets through some of the light that other hair catches.
            let colour = scale(*colour, 0.3 + 0.7 * shadow.lit(site.point, towards));
            let across = sine(dot(along, towards));
            light = add(light, scale(colour, side * (0.3 + 0.7 * across)));
            let half = sine(dot(along, unit(add(towards, view))));
            shine = add(
                shine,
                scale(colour, side * paint.gloss * half.powi(paint.sharpness)),
            );
        }
        std::array::from_fn(|k| paint.colour[k] * light[k] + shine[k])
    }
}

fn facing(normal: Vec3, view: Vec3) -> Vec3 {
    if dot(normal, view) < 0.0 {
        scale(normal, -1.0)
    } else {
        normal
    }
}
