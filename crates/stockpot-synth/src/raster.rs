//! Which triangle is seen where: perspective, depth test, one sample in the middle of each cell.
//!
//! Knows nothing of colours. Space: camera at the origin, x right, y up, z away from the camera.

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

const NOTHING: Seen = Seen {
    triangle: u32::MAX,
    depth: f32::INFINITY,
    shares: [0.0; 3],
};

/// Where a point of camera space lies in a picture of `size`: x, y in pixels and depth.
pub(crate) fn project(p: Vec3, focal: f32, size: [f32; 2]) -> Vec3 {
    let z = p[2].max(1e-3);
    [
        0.5 * size[0] + focal * p[0] / z,
        0.5 * size[1] - focal * p[1] / z,
        p[2],
    ]
}

/// Draws all triangles over projected `places`; those that reach behind `near` are left out.
pub(crate) fn visible(
    places: &[Vec3],
    triangles: impl Iterator<Item = [u32; 3]>,
    size: [usize; 2],
    near: f32,
) -> Vec<Seen> {
    let mut samples = vec![NOTHING; size[0] * size[1]];
    for (index, corners) in triangles.enumerate() {
        let [a, b, c] = corners.map(|i| places[i as usize]);
        let area = (b[0] - a[0]) * (c[1] - a[1]) - (c[0] - a[0]) * (b[1] - a[1]);
        if a[2].min(b[2]).min(c[2]) < near || area.abs() < 1e-9 || !area.is_finite() {
            continue;
        }
        let first =
            |axis: usize| (a[axis].min(b[axis]).min(c[axis]) - 0.5).ceil().max(0.0) as usize;
        let end = |axis: usize| {
            let last = (a[axis].max(b[axis]).max(c[axis]) - 0.5).floor() + 1.0;
            last.clamp(0.0, size[axis] as f32) as usize
        };
        for y in first(1)..end(1) {
            let py = y as f32 + 0.5;
            for x in first(0)..end(0) {
                let px = x as f32 + 0.5;
                let u = ((b[0] - px) * (c[1] - py) - (c[0] - px) * (b[1] - py)) / area;
                let v = ((c[0] - px) * (a[1] - py) - (a[0] - px) * (c[1] - py)) / area;
                let w = 1.0 - u - v;
                if u < 0.0 || v < 0.0 || w < 0.0 {
                    continue;
                }
                let depth = 1.0 / (u / a[2] + v / b[2] + w / c[2]);
                let sample = &mut samples[y * size[0] + x];
                if depth < sample.depth {
                    *sample = Seen {
                        triangle: index as u32,
                        depth,
                        shares: [u / a[2] * depth, v / b[2] * depth, w / c[2] * depth],
                    };
                }
            }
        }
    }
    samples
}

#[cfg(test)]
mod tests {
    use super::*;

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
        let seen = visible(&places, [[0, 1, 2], [3, 4, 5]].into_iter(), [8, 8], 0.1);
        assert_eq!(seen[0].triangle, 1);
        assert_eq!(seen[5].triangle, 0);
        assert_eq!(seen[63].triangle, u32::MAX);
        assert!((seen[5].depth - 2.0).abs() < 1e-6);
        let sum: f32 = seen[9].shares.iter().sum();
        assert!((sum - 1.0).abs() < 1e-5);
    }

    #[test]
    fn odd_triangles_draw_nothing_and_do_not_fail() {
        let places = [[f32::NAN, 0.0, 1.0], [1e30, 0.0, 1.0], [0.0, 9.0, -1.0]];
        assert!(
            visible(&places, [[0, 1, 2]].into_iter(), [8, 8], 0.1)
                .iter()
                .all(|s| s.triangle == u32::MAX)
        );
    }
}
