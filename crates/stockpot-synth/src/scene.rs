//! What is drawn besides the base mesh: parts with their own surfaces, and everything posed at once.
//!
//! [`Part`] is the seam between those who make shapes (hair, brows, lashes, glasses, clothes, hands)
//! and the renderer: makers fill parts, [`pose`] moves them with the person. Knows nothing of pixels.

use rayon::prelude::*;

use crate::assets::{Class, HeadData};
use crate::performance::Moment;
use crate::person::{Person, apply};
use crate::shadow::{self, Shadow};
use crate::strand::Strand;
use crate::vec3::{Turn, Vec3, add, cross, dot, mix, scale, smooth, sub, unit};
use crate::worn::Laid;

/// A mesh of its own on or before a person.
#[derive(Debug, Clone)]
pub(crate) struct Part {
    /// Places in the person's neutral head space: decimetres, y up, z to the viewer.
    pub(crate) points: Vec<Vec3>,
    /// Corners of triangles; both sides of each are drawn.
    pub(crate) triangles: Vec<[u32; 3]>,
    /// One per point. For strands: u across the card, v from root (0) to tip (1).
    pub(crate) uv: Vec<[f32; 2]>,
    /// What it moves with.
    pub(crate) bind: Bind,
    /// How it looks.
    pub(crate) surface: Surface,
    /// What it counts as.
    pub(crate) class: Class,
}

/// What a part moves with.
#[derive(Debug, Clone)]
pub(crate) enum Bind {
    /// Turns with the head.
    Head,
    /// Stays where it is.
    Body,
    /// Share of the head's turn for each point, 0 to 1.
    Shares(Vec<f32>),
    /// Goes with the skin under it; what grows on a face is too short to throw shadows.
    Skin(Vec<Hold>),
}

/// A place of the base mesh that a point goes with.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Hold {
    pub(crate) corners: [u32; 3],
    pub(crate) shares: Vec3,
}

impl Hold {
    /// The mean of what its corners have.
    fn mean(&self, of: impl Fn(usize) -> Vec3) -> Vec3 {
        let corners = self.corners.iter().zip(self.shares);
        corners.fold([0.0; 3], |sum, (corner, share)| {
            add(sum, scale(of(*corner as usize), share))
        })
    }
}

/// How a part looks.
#[derive(Debug, Clone)]
pub(crate) enum Surface {
    /// Many thin strands on a card, see [`Strand`].
    Strand(Strand),
    /// A photograph of hairs, see [`Laid`].
    Laid(Laid),
    /// One colour (linear light), strength and exponent of the highlight.
    Plain {
        colour: Vec3,
        gloss: f32,
        sharpness: i32,
    },
    /// Seen through: `alpha` of `colour` is laid over what is behind, highlights are added in full.
    Glass { colour: Vec3, alpha: f32 },
}

impl Surface {
    /// Whether samples must be asked for their cover.
    pub(crate) fn is_thin(&self) -> bool {
        !matches!(self, Self::Plain { .. })
    }

    /// Whether light is kept from what is behind.
    pub(crate) fn throws_shadow(&self) -> bool {
        match self {
            Self::Glass { .. } => false,
            Self::Laid(laid) => laid.throws_shadow,
            Self::Strand(_) | Self::Plain { .. } => true,
        }
    }

    /// Share of a sample at `uv` that is covered, in a picture whose pixels are `pixel_dm` wide.
    pub(crate) fn cover(&self, uv: [f32; 2], pixel_dm: f32) -> f32 {
        match self {
            Self::Strand(strand) => strand.cover(uv),
            Self::Laid(laid) => laid.cover(uv, pixel_dm),
            Self::Plain { .. } => 1.0,
            Self::Glass { alpha, .. } => *alpha,
        }
    }
}

/// A triangle of a posed scene; `part` is 0 for the base mesh, else the part's number plus 1.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facet {
    pub(crate) corners: [u32; 3],
    pub(crate) part: u16,
    /// Its class in the base mesh or that of the part.
    pub(crate) class: Class,
}

/// Everything in its pose, in camera space.
pub(crate) struct Posed<'a> {
    /// Points of the base mesh, then those of the parts.
    pub(crate) points: Vec<Vec3>,
    pub(crate) normals: Vec<Vec3>,
    /// Of points that belong to parts, the first being number `base`.
    pub(crate) uv: Vec<[f32; 2]>,
    pub(crate) base: usize,
    pub(crate) facets: Vec<Facet>,
    pub(crate) parts: Vec<&'a Part>,
    /// Of the same points: direction in which strands grow there, zero without any.
    pub(crate) along: Vec<Vec3>,
    /// Middle of the skull.
    pub(crate) skull: Vec3,
    /// Middle of each eyeball on the base mesh at rest.
    pub(crate) eyes: [Vec3; 2],
}

/// Middle of the skull on the base mesh.
pub(crate) const SKULL: Vec3 = [0.0, 7.5, 0.35];

/// Share of the head's turn that a place of the base mesh takes part in: none at the shoulders.
pub(crate) fn head_share(rest: Vec3) -> f32 {
    smooth(5.5, 6.35, rest[1] + 0.45 * (rest[2] - 0.3))
}

/// The place between the eyes, by which everything is laid out, on a head with these `points`.
pub(crate) fn face_middle(data: &HeadData, points: &[Vec3]) -> Vec3 {
    let eyes = eye_centres(data, points);
    scale(add(eyes[0], eyes[1]), 0.5)
}

/// Poses `person`, its parts and the `held` parts of the moment.
pub(crate) fn pose<'a>(
    data: &HeadData,
    person: &'a Person,
    held: &'a [Part],
    moment: &Moment,
) -> Posed<'a> {
    let middle = face_middle(data, &person.neutral);
    let target = [0.0, middle[1] - 0.22, middle[2] - 0.7];
    let pivot = [0.0, middle[1] - 0.75, middle[2] - 1.0];
    let turn = Turn::new(moment.turn_rad);
    let placed = |point: Vec3, share: f32| {
        let head = add(turn.of(sub(point, pivot)), pivot);
        let p = sub(mix(point, head, share), target);
        let [right, up] = moment.camera.shift_dm;
        [p[0] + right, p[1] + up, moment.camera.distance_dm - p[2]]
    };
    let mut moved = person.neutral.clone();
    for (moves, weight) in data.units.iter().zip(moment.units) {
        apply(&mut moved, moves, weight);
    }
    let base = moved.len();
    let shares = data.rest.iter().map(|rest| head_share(*rest));
    let mut points: Vec<Vec3> = moved
        .iter()
        .zip(shares)
        .map(|(p, s)| placed(*p, s))
        .collect();
    let mut uv = Vec::new();
    let mut facets: Vec<Facet> = data
        .triangles
        .iter()
        .map(|t| Facet {
            corners: t.corners,
            part: 0,
            class: t.class,
        })
        .collect();
    let parts: Vec<&Part> = person.parts.iter().chain(held).collect();
    for (number, part) in (1u16..).zip(&parts) {
        let first = points.len() as u32;
        for (i, point) in part.points.iter().enumerate() {
            points.push(match &part.bind {
                Bind::Head => placed(*point, 1.0),
                Bind::Body => placed(*point, 0.0),
                Bind::Shares(shares) => placed(*point, shares.get(i).copied().unwrap_or(0.0)),
                Bind::Skin(holds) => match holds.get(i) {
                    Some(hold) => {
                        let by = hold.mean(|k| sub(moved[k], person.neutral[k]));
                        let share = hold.mean(|k| [head_share(data.rest[k]); 3])[0];
                        placed(add(*point, by), share)
                    }
                    None => placed(*point, 1.0),
                },
            });
            uv.push(part.uv.get(i).copied().unwrap_or([0.5; 2]));
        }
        facets.extend(part.triangles.iter().map(|t| Facet {
            corners: t.map(|c| c + first),
            part: number,
            class: part.class,
        }));
    }
    let mut normals = vec![[0.0; 3]; points.len()];
    for facet in &facets {
        let normal = outwards(facet.corners.map(|i| points[i as usize]));
        for corner in facet.corners {
            normals[corner as usize] = add(normals[corner as usize], normal);
        }
    }
    let mut along = vec![[0.0; 3]; points.len() - base];
    for facet in facets.iter().filter(|f| f.part > 0) {
        let corners = facet.corners.map(|i| i as usize);
        let way = growth(corners.map(|i| points[i]), corners.map(|i| uv[i - base]));
        for corner in corners {
            along[corner - base] = add(along[corner - base], way);
        }
    }
    let raised = sub(middle, face_middle(data, &data.rest));
    Posed {
        skull: placed(add(SKULL, raised), 1.0),
        along,
        points,
        normals: normals.into_iter().map(unit).collect(),
        uv,
        base,
        facets,
        parts,
        eyes: eye_centres(data, &data.rest),
    }
}

/// Cells of a side of the shadow maps: some 2 mm each for the main light, 3 mm for the other.
const SHADOW_SIDES: [usize; 2] = [208, 144];

/// What stands in each light of the moment.
pub(crate) fn shadows(posed: &Posed<'_>, moment: &Moment) -> Vec<Shadow> {
    let centre = [
        moment.camera.shift_dm[0],
        moment.camera.shift_dm[1] - 0.3,
        moment.camera.distance_dm,
    ];
    let solid = |facet: &&Facet| {
        let part = (facet.part as usize).checked_sub(1);
        // Eyeballs lie so close under their lids that these would always shade them.
        facet.class != Class::Eyes
            && part.is_none_or(|p| {
                let part = posed.parts[p];
                part.surface.throws_shadow() && !matches!(part.bind, Bind::Skin(_))
            })
    };
    let shadow = |towards: Vec3, side: usize| {
        let towards = [towards[0], towards[1], -towards[2]];
        // The head is closed: what of its surface is turned to the light stands in it first.
        let turned_to = |facet: &&Facet| {
            let corners = facet.corners.map(|i| posed.points[i as usize]);
            facet.part > 0 || dot(outwards(corners), towards) > 0.0
        };
        let solid = posed.facets.iter().filter(solid).filter(turned_to);
        Shadow::new(
            &posed.points,
            solid.map(|f| f.corners),
            towards,
            centre,
            side,
        )
    };
    moment
        .lights
        .par_iter()
        .zip(SHADOW_SIDES)
        .map(|((towards, _), side)| shadow(*towards, side))
        .collect()
}

/// How open each vertex of a person's head is to its surroundings, face at rest.
pub(crate) fn openness(data: &HeadData, neutral: &[Vec3]) -> Vec<f32> {
    let triangles: Vec<[u32; 3]> = data.triangles.iter().map(|t| t.corners).collect();
    let mut normals = vec![[0.0; 3]; neutral.len()];
    for triangle in &triangles {
        let [a, b, c] = triangle.map(|i| neutral[i as usize]);
        let normal = cross(sub(b, a), sub(c, a));
        for corner in triangle {
            normals[*corner as usize] = add(normals[*corner as usize], normal);
        }
    }
    let normals: Vec<Vec3> = normals.into_iter().map(unit).collect();
    let middle = face_middle(data, neutral);
    shadow::openness(neutral, &normals, &triangles, sub(middle, [0.0, 0.5, 0.7]))
}

/// Direction in which the second texture coordinate grows on a triangle, of the triangle's size.
fn growth([a, b, c]: [Vec3; 3], [ta, tb, tc]: [[f32; 2]; 3]) -> Vec3 {
    let (du1, dv1) = (tb[0] - ta[0], tb[1] - ta[1]);
    let (du2, dv2) = (tc[0] - ta[0], tc[1] - ta[1]);
    let sign = (du1 * dv2 - du2 * dv1).signum();
    scale(sub(scale(sub(c, a), du1), scale(sub(b, a), du2)), sign)
}

/// Normal of a triangle of camera space; the view axis is mirrored, so the product is turned round.
pub(crate) fn outwards([a, b, c]: [Vec3; 3]) -> Vec3 {
    cross(sub(c, a), sub(b, a))
}

/// Middle of each eyeball, that at negative x first; the middle of the head if there are none.
pub(crate) fn eye_centres(data: &HeadData, points: &[Vec3]) -> [Vec3; 2] {
    let mut sums = [([0.0; 3], 0.0f32); 2];
    for triangle in data.triangles.iter().filter(|t| t.class == Class::Eyes) {
        for corner in triangle.corners {
            let side = usize::from(data.rest[corner as usize][0] > 0.0);
            sums[side].0 = add(sums[side].0, points[corner as usize]);
            sums[side].1 += 1.0;
        }
    }
    sums.map(|(sum, n)| {
        if n > 0.0 {
            scale(sum, 1.0 / n)
        } else {
            [0.0, 7.3, 1.2]
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn strands_grow_from_root_to_tip() {
        let corners = [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 2.0, 0.0]];
        let up = unit(growth(corners, [[0.0, 0.0], [1.0, 0.0], [0.0, 1.0]]));
        assert_eq!(up, [0.0, 1.0, 0.0]);
        let down = unit(growth(corners, [[0.0, 1.0], [1.0, 1.0], [0.0, 0.0]]));
        assert_eq!(down, [0.0, -1.0, 0.0]);
    }
}
