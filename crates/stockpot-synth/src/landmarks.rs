//! Where the named places of a face lie in a drawn frame.
//!
//! Knows the base mesh and where its vertices were projected to, nothing of pixels.

use stockpot_core::space::{Frame, Point};

use crate::assets::{Class, HeadData};
use crate::vec3::Vec3;

/// Named places of the face: index in MediaPipe FaceMesh and where it lies on the base mesh
/// (x to the right of the picture, y up, in decimetres). Taken as the foremost vertex nearby.
pub(crate) const LANDMARKS: [(u16, f32, f32); 17] = [
    (33, -0.434, 7.283),
    (133, -0.204, 7.275),
    (362, 0.204, 7.275),
    (263, 0.434, 7.283),
    (159, -0.32, 7.331),
    (145, -0.31, 7.242),
    (386, 0.32, 7.331),
    (374, 0.31, 7.242),
    (1, 0.0, 6.938),
    (168, 0.0, 7.29),
    (2, 0.0, 6.795),
    (61, -0.274, 6.609),
    (291, 0.274, 6.609),
    (0, 0.0, 6.683),
    (17, 0.0, 6.53),
    (152, 0.0, 6.177),
    (10, 0.0, 8.014),
];

/// One exact landmark.
#[derive(Debug, Clone, Copy)]
pub struct Landmark {
    /// Its index in MediaPipe FaceMesh.
    pub facemesh: u16,
    /// Where the mesh has it in the picture, seen or not.
    pub place: Point<Frame>,
}

/// Landmarks of a frame whose base mesh lies at `places` (pixels of the picture); none for
/// [`HeadData::stand_in`].
pub(crate) fn landmarks(data: &HeadData, places: &[Vec3]) -> Vec<Landmark> {
    if data.units.is_empty() {
        return Vec::new();
    }
    let skin = data.triangles.iter().filter(|t| t.class == Class::Skin);
    let skin: Vec<usize> = skin.flat_map(|t| t.corners).map(|i| i as usize).collect();
    let scored = |x: f32, y: f32| {
        let cost = |i: usize| {
            let rest = data.rest[i];
            (rest[0] - x).hypot(rest[1] - y) - 0.1 * rest[2]
        };
        skin.iter()
            .copied()
            .min_by(|a, b| cost(*a).total_cmp(&cost(*b)))
    };
    let all = LANDMARKS.iter().filter_map(|(facemesh, x, y)| {
        let place = places[scored(*x, *y)?];
        Some(Landmark {
            facemesh: *facemesh,
            place: Point::new(f64::from(place[0]), f64::from(place[1])),
        })
    });
    all.collect()
}
