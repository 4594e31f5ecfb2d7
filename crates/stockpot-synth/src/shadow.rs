//! What stands in the light: shadow maps, and how open each place of a head is to its surroundings.
//!
//! A map is a picture of the scene as a far light sees it; a place is lit as far as nothing in the
//! map is nearer to the light (Williams 1978), averaged over neighbouring cells for a soft edge
//! (Reeves, Salesin and Cook 1987). Knows nothing of colours.

use rayon::prelude::*;

use crate::raster;
use crate::vec3::{Vec3, add, cross, dot, scale, sub, unit};

/// Half the width of what a map shows, in decimetres: head and shoulders.
const REACH_DM: f32 = 2.2;
/// Added to distances so that all are positive and perspective in the rasteriser is negligible.
const FAR_DM: f32 = 400.0;
/// How far a place is moved off its surface before it is looked up, so that it does not shade itself.
const LIFT_DM: f32 = 0.03;
/// Cells of a side when the openness of a head is measured.
const OPEN_SIDE: usize = 96;
/// Directions from which it is measured, spread evenly over the sphere.
const OPEN_DIRECTIONS: usize = 40;

/// The scene as one light sees it.
pub(crate) struct Shadow {
    towards: Vec3,
    right: Vec3,
    up: Vec3,
    centre: Vec3,
    side: usize,
    nearest: Vec<f32>,
}

impl Shadow {
    /// A map of `side` cells a side of triangles over `points`, for a light in the direction
    /// `towards` (unit length), around `centre`.
    pub(crate) fn new(
        points: &[Vec3],
        triangles: impl Iterator<Item = [u32; 3]>,
        towards: Vec3,
        centre: Vec3,
        side: usize,
    ) -> Self {
        let aside = if towards[1].abs() < 0.9 {
            [0.0, 1.0, 0.0]
        } else {
            [1.0, 0.0, 0.0]
        };
        let right = unit(cross(aside, towards));
        let mut shadow = Self {
            towards,
            right,
            up: cross(towards, right),
            centre,
            side,
            nearest: vec![f32::INFINITY; side * side],
        };
        let places: Vec<Vec3> = points.iter().map(|p| shadow.place(*p)).collect();
        let rows = 0..side;
        let mut nearest = std::mem::take(&mut shadow.nearest);
        for corners in triangles {
            let corners = corners.map(|i| places[i as usize]);
            raster::cover(corners, side, &rows, 1.0, |x, y, depth, _| {
                let cell = &mut nearest[y * side + x];
                *cell = cell.min(depth);
            });
        }
        shadow.nearest = nearest;
        shadow
    }

    /// Cell and distance of a point.
    fn place(&self, point: Vec3) -> Vec3 {
        let from = sub(point, self.centre);
        let cell = |v: f32| (0.5 + 0.5 * v / REACH_DM) * self.side as f32;
        [
            cell(dot(from, self.right)),
            cell(dot(from, self.up)),
            FAR_DM - dot(from, self.towards),
        ]
    }

    /// Share of the light that reaches a point whose surface looks along `normal`.
    pub(crate) fn lit(&self, point: Vec3, normal: Vec3) -> f32 {
        let [x, y, far] = self.place(add(point, scale(normal, LIFT_DM)));
        let (x, y) = (x - 2.0, y - 2.0);
        let end = self.side as f32 - 3.0;
        if !(0.0..end).contains(&x) || !(0.0..end).contains(&y) {
            return 1.0;
        }
        let (column, row) = (x as usize, y as usize);
        // Three cells wide, sliding smoothly over four.
        let weights = |part: f32| [1.0 - part, 1.0, 1.0, part];
        let (wx, wy) = (weights(x - column as f32), weights(y - row as f32));
        let first = row * self.side + column;
        let limit = far - LIFT_DM;
        // By columns, so that the four of a row are added at once.
        let mut columns = [0.0; 4];
        for (row, wy) in wy.into_iter().enumerate() {
            let cells = &self.nearest[first + row * self.side..][..4];
            for (column, nearest) in columns.iter_mut().zip(cells) {
                *column += if *nearest >= limit { wy } else { 0.0 };
            }
        }
        let sum: f32 = columns.iter().zip(wx).map(|(column, wx)| column * wx).sum();
        sum / 9.0
    }
}

/// How open each point is to its surroundings, 0 to 1: the share of the directions over its surface,
/// weighted by their cosines, in which nothing stands (ambient occlusion). Space: y up, any handedness
/// in which `normals` look outwards.
pub(crate) fn openness(
    points: &[Vec3],
    normals: &[Vec3],
    triangles: &[[u32; 3]],
    centre: Vec3,
) -> Vec<f32> {
    let maps: Vec<Shadow> = (0..OPEN_DIRECTIONS)
        .into_par_iter()
        .map(|i| {
            // A spiral with equal areas between its points.
            let height = 1.0 - (2 * i + 1) as f32 / OPEN_DIRECTIONS as f32;
            let round = i as f32 * 2.399_963;
            let wide = (1.0 - height * height).sqrt();
            let towards = [wide * round.cos(), height, wide * round.sin()];
            Shadow::new(
                points,
                triangles.iter().copied(),
                towards,
                centre,
                OPEN_SIDE,
            )
        })
        .collect();
    points
        .par_iter()
        .zip(normals)
        .map(|(point, normal)| {
            let (mut open, mut all) = (0.0, 0.0);
            for map in &maps {
                let weight = dot(*normal, map.towards);
                if weight > 0.0 {
                    all += weight;
                    open += weight * map.lit(*point, *normal);
                }
            }
            if all > 0.0 { open / all } else { 1.0 }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A square of half width `half` at height `y`, seen from above and below.
    fn square(half: f32, y: f32) -> [Vec3; 4] {
        [
            [-half, y, -half],
            [half, y, -half],
            [half, y, half],
            [-half, y, half],
        ]
    }

    const TWO: [[u32; 3]; 4] = [[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]];

    #[test]
    fn a_roof_throws_a_shadow_with_a_soft_edge() {
        let points = [square(1.5, 0.0), square(0.5, 1.0)].concat();
        let up = [0.0, 1.0, 0.0];
        let map = Shadow::new(&points, TWO.into_iter(), up, [0.0; 3], 128);
        assert_eq!(map.lit([0.0, 0.0, 0.0], up), 0.0);
        assert_eq!(map.lit([1.0, 0.0, 0.2], up), 1.0);
        assert_eq!(map.lit([0.0, 1.0, 0.0], up), 1.0);
        let edge = map.lit([0.5, 0.0, 0.0], up);
        assert!(edge > 0.1 && edge < 0.9, "{edge}");
        // Outside the map there is light.
        assert_eq!(map.lit([9.0, 0.0, 0.0], up), 1.0);
    }

    #[test]
    fn what_lies_under_a_roof_is_less_open() {
        let points = [square(1.5, 0.0), square(0.8, 0.3)].concat();
        let normals = vec![[0.0, 1.0, 0.0]; 8];
        let mut with_middle = points.clone();
        with_middle.push([0.0, 0.0, 0.0]);
        let mut all = normals;
        all.push([0.0, 1.0, 0.0]);
        let open = openness(&with_middle, &all, &TWO, [0.0; 3]);
        assert!(open[8] < 0.3, "{}", open[8]);
        assert!(open[4] > 0.95, "{}", open[4]);
    }
}
