//! Which triangle is seen where: perspective, depth test, one sample in the middle of each cell.
//!
//! A picture is cut into bands of rows that can be worked on at once. Knows nothing of colours.
//! Space: camera at the origin, x right, y up, z away from the camera.

use std::ops::Range;

use crate::vec3::Vec3;

/// What a sample sees.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    /// Index of the triangle, `u32::MAX` for none.
    pub(crate) triangle: u32,
    /// Distance along the view axis in decimetres.
    pub(crate) depth: f32,
    /// Shares of the corners, corrected for perspective.
    pub(crate) shares: [f32; 3],
}

/// No triangle.
pub(crate) const NOTHING: Seen = Seen {
    triangle: u32::MAX,
    depth: f32::INFINITY,
    shares: [0.0; 3],
};

/// Cells of a row that are all tried.
const FEW: usize = 6;

/// Where a point of camera space lies in a picture of `size`: x, y in pixels and depth.
pub(crate) fn project(p: Vec3, focal: f32, size: [f32; 2]) -> Vec3 {
    let z = p[2].max(1e-3);
    [
        0.5 * size[0] + focal * p[0] / z,
        0.5 * size[1] - focal * p[1] / z,
        p[2],
    ]
}

/// Cells of `size` along an axis whose middles lie between the least and the most of `corners`.
fn span(corners: [f32; 3], size: usize) -> Range<usize> {
    let [a, b, c] = corners;
    // Casts, because rounding would call into the mathematics library.
    let least = (a.min(b).min(c) - 0.5).clamp(0.0, 65535.0);
    let first = least as i32;
    let first = first + i32::from((first as f32) < least);
    let most = (a.max(b).max(c) - 0.5).min(65535.0);
    let end = if most >= 0.0 { most as i32 + 1 } else { 0 };
    first as usize..size.min(end as usize)
}

/// Twice the area of a triangle of the picture: negative if its corners go round clockwise, y down.
pub(crate) fn area([a, b, c]: [Vec3; 3]) -> f32 {
    (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1])
}

/// The numbers of the triangles that touch each band of `rows` rows, in order.
pub(crate) fn bands(
    places: &[Vec3],
    triangles: impl Iterator<Item = (u32, [u32; 3])>,
    size: [usize; 2],
    rows: usize,
) -> Vec<Vec<u32>> {
    let mut bands = vec![Vec::new(); size[1].div_ceil(rows)];
    for (number, corners) in triangles {
        let [a, b, c] = corners.map(|i| places[i as usize]);
        let (xs, ys) = (
            span([a[0], b[0], c[0]], size[0]),
            span([a[1], b[1], c[1]], size[1]),
        );
        if !xs.is_empty() && !ys.is_empty() {
            for band in &mut bands[ys.start / rows..=(ys.end - 1) / rows] {
                band.push(number);
            }
        }
    }
    bands
}

/// Calls `found` with the x, y of each cell in `rows` that the triangle covers and what is seen there.
/// Nothing for triangles nearer than `near` and such without area.
pub(crate) fn cover(
    corners: [Vec3; 3],
    wide: usize,
    rows: &Range<usize>,
    near: f32,
    mut found: impl FnMut(usize, usize, f32, [f32; 3]),
) {
    let [a, b, c] = corners;
    let area = area(corners);
    if a[2].min(b[2]).min(c[2]) < near || area.abs() < 1e-9 || !area.is_finite() {
        return;
    }
    let ys = span([a[1], b[1], c[1]], rows.end);
    let xs = span([a[0], b[0], c[0]], wide);
    let inverse = 1.0 / area;
    let (du, dv) = ((b[1] - c[1]) * inverse, (c[1] - a[1]) * inverse);
    let slopes = [du, dv, -du - dv];
    // Finding where a row begins costs more than trying a few cells.
    let is_wide = xs.len() > FEW;
    let reaches = slopes.map(|slope| if is_wide { -1.0 / slope } else { 0.0 });
    let near = [a[2], b[2], c[2]].map(f32::recip);
    for y in ys.start.max(rows.start)..ys.end {
        let (px, py) = (xs.start as f32 + 0.5, y as f32 + 0.5);
        let u0 = ((b[0] - px) * (c[1] - py) - (c[0] - px) * (b[1] - py)) * inverse;
        let v0 = ((c[0] - px) * (a[1] - py) - (a[0] - px) * (c[1] - py)) * inverse;
        // Long thin triangles leave most of their box empty: only what each edge lets through is looked
        // at, and one cell more at either end against rounding.
        let (mut first, mut last) = (0.0f32, (xs.len() as f32) - 1.0);
        if is_wide {
            let values = [u0, v0, 1.0 - u0 - v0];
            for ((value, slope), reach) in values.into_iter().zip(slopes).zip(reaches) {
                if slope > 0.0 {
                    first = first.max(value * reach);
                } else if slope < 0.0 {
                    last = last.min(value * reach);
                } else if value < 0.0 {
                    last = -2.0;
                }
            }
        }
        let end = xs.start + (last + 2.0).max(0.0) as usize;
        for x in (xs.start + (first - 1.0).max(0.0) as usize)..end.min(xs.end) {
            let step = (x - xs.start) as f32;
            let (u, v) = (u0 + du * step, v0 + dv * step);
            let w = 1.0 - u - v;
            if u < 0.0 || v < 0.0 || w < 0.0 {
                continue;
            }
            let shares = [u * near[0], v * near[1], w * near[2]];
            let depth = 1.0 / (shares[0] + shares[1] + shares[2]);
            found(x, y, depth, shares.map(|s| s * depth));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn visible(places: &[Vec3], triangles: &[[u32; 3]]) -> Vec<Seen> {
        let mut seen = vec![NOTHING; 64];
        for (number, corners) in (0u32..).zip(triangles) {
            let corners = corners.map(|i| places[i as usize]);
            cover(corners, 8, &(0..8), 0.1, |x, y, depth, shares| {
                if depth < seen[y * 8 + x].depth {
                    seen[y * 8 + x] = Seen {
                        triangle: number,
                        depth,
                        shares,
                    };
                }
            });
        }
        seen
    }

    #[test]
    fn the_nearer_triangle_is_seen() {
        let places = [
            [0.0, 0.0, 2.0],
            [8.0, 0.0, 2.0],
            [0.0, 8.0, 2.0],
            [0.0, 0.0, 1.0],
            [4.0, 0.0, 1.0],
            [0.0, 4.0, 1.0],
        ];
        let triangles = [[0, 1, 2], [3, 4, 5]];
        let seen = visible(&places, &triangles);
        assert_eq!(seen[0].triangle, 1);
        assert_eq!(seen[5].triangle, 0);
        assert_eq!(seen[63].triangle, u32::MAX);
        assert!((seen[5].depth - 2.0).abs() < 1e-6);
        let sum: f32 = seen[9].shares.iter().sum();
        assert!((sum - 1.0).abs() < 1e-5);
        let bands = bands(&places, (0..).zip(triangles), [8, 8], 4);
        assert_eq!(bands, [vec![0, 1], vec![0]]);
    }

    #[test]
    fn odd_triangles_draw_nothing_and_do_not_fail() {
        let places = [[f32::NAN, 0.0, 1.0], [1e30, 0.0, 1.0], [0.0, 9.0, -1.0]];
        assert!(
            visible(&places, &[[0, 1, 2]])
                .iter()
                .all(|s| s.triangle == u32::MAX)
        );
    }
}
