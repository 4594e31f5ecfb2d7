//! The face's mask: for now the hull of the face oval, forehead to chin.

use stockpot_core::face::{FaceLandmarks, OVAL, fill_polygon};
use stockpot_core::image::{Gray8, Size};
use stockpot_core::space::{Affine, Frame, Point};

/// The inside of the face oval, 255 on 0, anti-aliased, in a picture of `size` that
/// `to_from_frame` maps frame pixels to (a crop, a network's input, or the frame itself).
pub fn oval_mask<To>(
    landmarks: &FaceLandmarks,
    to_from_frame: &Affine<To, Frame>,
    size: Size,
) -> Gray8 {
    let corners = OVAL.map(|i| to_from_frame.apply(landmarks.point(i)));
    fill_polygon(size, &convex_hull(corners.to_vec()))
}

/// Corners of the convex hull in order (Andrew's monotone chain, 1979). A hull, because a turned
/// head folds the oval over itself and an even-odd fill would leave a hole there.
fn convex_hull<S>(mut points: Vec<Point<S>>) -> Vec<Point<S>> {
    points.sort_by(|a, b| a.x.total_cmp(&b.x).then(a.y.total_cmp(&b.y)));
    let turn = |o: &Point<S>, a: &Point<S>, b: &Point<S>| {
        (a.x - o.x) * (b.y - o.y) - (a.y - o.y) * (b.x - o.x)
    };
    let mut hull: Vec<Point<S>> = Vec::with_capacity(points.len() + 1);
    let backwards = points.iter().rev();
    for (start, side) in [
        (0, points.iter().collect::<Vec<_>>()),
        (1, backwards.collect()),
    ] {
        let floor = if start == 0 { 0 } else { hull.len() };
        for p in side {
            while hull.len() >= floor + 2
                && turn(&hull[hull.len() - 2], &hull[hull.len() - 1], p) <= 0.0
            {
                hull.pop();
            }
            hull.push(*p);
        }
        // The last of one side is the first of the other.
        hull.pop();
    }
    hull
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpot_core::face::LANDMARKS;

    #[test]
    fn hull_leaves_out_inner_points() {
        let points = [
            (0.0, 0.0),
            (4.0, 0.0),
            (2.0, 1.0),
            (4.0, 4.0),
            (0.0, 4.0),
            (1.0, 2.0),
        ];
        let hull = convex_hull(points.map(|(x, y)| Point::<Frame>::new(x, y)).to_vec());
        assert_eq!(hull.len(), 4);
        assert!(hull.iter().all(|p| p.x % 4.0 == 0.0 && p.y % 4.0 == 0.0));
        assert!(convex_hull::<Frame>(Vec::new()).is_empty());
    }

    #[test]
    fn a_round_face_fills_its_circle() {
        let mut points = vec![[32.0f32, 32.0, 0.0]; LANDMARKS];
        for (i, index) in OVAL.iter().enumerate() {
            let t = std::f32::consts::TAU * i as f32 / OVAL.len() as f32;
            points[*index] = [32.0 + 20.0 * t.sin(), 32.0 - 20.0 * t.cos(), 0.0];
        }
        let face = FaceLandmarks::new(points).unwrap();
        let half = Affine::<Frame, Frame>::scale_then_shift(0.5, 0.0, 0.0);
        let mask = oval_mask(&face, &half, Size::square(32));
        let area: f64 = mask.data().iter().map(|v| f64::from(*v) / 255.0).sum();
        // A polygon of 36 corners in a circle of radius 10: 18 * 100 * sin(10 degrees).
        assert!((area - 312.6).abs() < 2.0, "{area}");
        assert_eq!(mask.pixel(16, 16), [255]);
        assert_eq!(mask.pixel(1, 1), [0]);
    }
}
