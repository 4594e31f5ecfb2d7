//! The canonical face: which points align a face, where they go, and which square a network sees.
//!
//! **Face space** is the frame of the 2018 tools, so that their models stay comparable: a
//! similarity takes five anchors of the face to fixed places, and the unit square `[0, 1]²` runs
//! from the brows to just under the lower lip (what the 64 px networks of 2018 saw). One unit is
//! about 119 mm on an adult. A whole face is larger: chin near `y = 1.18`, hairline near `y = -0.4`.
//! The anchor places follow from the mean face of those tools (eye centres 84.7 px apart in a
//! 256 px crop with a border of 48 px).
//!
//! Landmarks are the 468 points of MediaPipe FaceMesh; "left" and "right" in names of this module
//! are as seen in the picture, not the person's own.

use crate::image::{Gray8, Size};
use crate::space::{Affine, Crop, Face, Frame, Net, Point, Singular};

/// Number of landmarks of one face (MediaPipe FaceMesh).
pub const LANDMARKS: usize = 468;

/// Side of the stored wide crop in face units.
pub const CROP_SIDE: f64 = 2.5;
/// Centre of every training area and of the stored crop, in face units.
pub const AREA_CENTRE: (f64, f64) = (0.4903, 0.42);

/// Outline of the face from forehead to chin, in order.
pub const OVAL: [usize; 36] = [
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152,
    148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
];
/// Rim of the eye on the left of the picture, in order.
pub const LEFT_EYE: [usize; 16] = [
    33, 7, 163, 144, 145, 153, 154, 155, 133, 173, 157, 158, 159, 160, 161, 246,
];
/// Rim of the eye on the right of the picture, in order.
pub const RIGHT_EYE: [usize; 16] = [
    263, 249, 390, 373, 374, 380, 381, 382, 362, 398, 384, 385, 386, 387, 388, 466,
];
/// Outer rim of the lips, in order.
pub const LIPS: [usize; 20] = [
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 409, 270, 269, 267, 0, 37, 39, 40, 185,
];
/// Tip of the nose.
pub const NOSE_TIP: usize = 1;
/// Corner of the mouth on the left of the picture.
pub const LEFT_MOUTH_CORNER: usize = 61;
/// Corner of the mouth on the right of the picture.
pub const RIGHT_MOUTH_CORNER: usize = 291;

/// Corners of the eye on the left of the picture.
const LEFT_EYE_CORNERS: [usize; 2] = [33, 133];
/// Corners of the eye on the right of the picture.
const RIGHT_EYE_CORNERS: [usize; 2] = [362, 263];
/// Middle of the forehead.
const FOREHEAD: [usize; 2] = [10, 151];
/// Bridge of the nose, between the eyes and just below.
const NOSE_BRIDGE: [usize; 3] = [6, 197, 195];
/// What [`FOREHEAD`] to [`NOSE_BRIDGE`] leans when the face is level: -15.2 degrees (the nose is
/// nearer to the camera). Measured on MediaPipe's canonical face mesh, which thereby defines what
/// level is. Other lines over bone (forehead to nose base or root) and a rigid fit of the whole
/// canonical mesh give medians within 4 degrees of this on two real and two rendered clips.
const NEUTRAL_PITCH_RAD: f64 = -0.2655;

/// Where the anchors lie in face space, in the order left eye, right eye, nose tip, left and right
/// mouth corner; the last number is the weight in the fit. The eyes weigh most because the mouth
/// moves with speech and the nose with the head's turn.
const ANCHORS: [(f64, f64, f64); 5] = [
    (0.2256, 0.2163, 1.0),
    (0.7550, 0.2163, 1.0),
    (0.4903, 0.5156, 0.25),
    (0.2544, 0.7800, 0.75),
    (0.7263, 0.7800, 0.75),
];

/// The square of face space that a network is trained on. Chosen at training time: the stored
/// crops are wide enough for all of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Area {
    /// Brows to lower lip, as in 2018: side 1.0 around (0.5, 0.5).
    Narrow,
    /// The whole face from hairline to under the chin: side 1.75. The default.
    Face,
    /// Face with hair and neck: side 2.5, all that is stored.
    Head,
}

impl Area {
    /// Side of the square in face units.
    pub const fn side(self) -> f64 {
        match self {
            Self::Narrow => 1.0,
            Self::Face => 1.75,
            Self::Head => CROP_SIDE,
        }
    }

    /// Centre of the square in face space.
    pub const fn centre(self) -> Point<Face> {
        match self {
            Self::Narrow => Point::new(0.5, 0.5),
            Self::Face | Self::Head => Point::new(AREA_CENTRE.0, AREA_CENTRE.1),
        }
    }

    /// Face space to the pixels of a network of `resolution` x `resolution`.
    pub fn net_from_face(self, resolution: u32) -> Affine<Net, Face> {
        square_from_face(self.centre(), self.side(), resolution)
    }
}

/// Face space to the pixels of a stored wide crop of `size` x `size`.
pub fn crop_from_face(size: u32) -> Affine<Crop, Face> {
    square_from_face(Area::Head.centre(), CROP_SIDE, size)
}

fn square_from_face<To>(centre: Point<Face>, side: f64, pixels: u32) -> Affine<To, Face> {
    let scale = f64::from(pixels) / side;
    let left = centre.x - side / 2.0;
    let top = centre.y - side / 2.0;
    Affine::scale_then_shift(scale, -left * scale, -top * scale)
}

/// The 468 points of one face in frame pixels. `z` is depth in the same unit, smaller is nearer.
#[derive(Debug, Clone, PartialEq)]
pub struct FaceLandmarks {
    points: Vec<[f32; 3]>,
}

/// A set of landmarks that cannot be one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadLandmarks {
    /// Not 468 points.
    #[error("A face has {LANDMARKS} landmarks, found {0}")]
    Count(usize),
    /// Not a number, or infinite.
    #[error("A landmark is not a finite number")]
    NotFinite,
}

impl FaceLandmarks {
    /// Takes 468 finite points `[x, y, z]` in frame pixels.
    ///
    /// # Errors
    /// [`BadLandmarks`] for another count or a number that is not finite.
    pub fn new(points: Vec<[f32; 3]>) -> Result<Self, BadLandmarks> {
        if points.len() != LANDMARKS {
            return Err(BadLandmarks::Count(points.len()));
        }
        if points.iter().flatten().any(|v| !v.is_finite()) {
            return Err(BadLandmarks::NotFinite);
        }
        Ok(Self { points })
    }

    /// All points.
    pub fn points(&self) -> &[[f32; 3]] {
        &self.points
    }

    /// Point `index` (below 468) in the picture plane.
    pub fn point(&self, index: usize) -> Point<Frame> {
        let [x, y, _] = self.points[index];
        Point::new(f64::from(x), f64::from(y))
    }

    /// Mean of some points in the picture plane.
    pub fn mean(&self, indices: &[usize]) -> Point<Frame> {
        let n = indices.len().max(1) as f64;
        let (x, y) = indices
            .iter()
            .map(|i| self.point(*i))
            .fold((0.0, 0.0), |a, p| (a.0 + p.x, a.1 + p.y));
        Point::new(x / n, y / n)
    }

    /// Distance between the eye centres in frame pixels.
    pub fn eye_distance_px(&self) -> f64 {
        self.mean(&LEFT_EYE).distance(self.mean(&RIGHT_EYE))
    }

    /// The similarity that aligns this face.
    ///
    /// # Errors
    /// [`Singular`] if all anchors coincide.
    pub fn face_from_frame(&self) -> Result<Affine<Face, Frame>, Singular> {
        let from = [
            self.mean(&LEFT_EYE),
            self.mean(&RIGHT_EYE),
            self.point(NOSE_TIP),
            self.point(LEFT_MOUTH_CORNER),
            self.point(RIGHT_MOUTH_CORNER),
        ];
        let to = ANCHORS.map(|(x, y, _)| Point::new(x, y));
        Affine::fit_similarity(&from, &to, &ANCHORS.map(|a| a.2))
    }

    /// Turn of the head towards the camera, from the mesh's own depth: the head nods by the pitch,
    /// then turns by the yaw, then leans by the roll. Only bone counts, not the jaw: the corners
    /// of the eyes give the way across, forehead and bridge of the nose the way down. That way is
    /// not upright on a level face: see `NEUTRAL_PITCH_RAD`. All zero if these points coincide.
    ///
    /// The mesh is seen from the camera, so a lens below the face reads as looking up. People
    /// differ by a few degrees in the slope from forehead to nose, which no mesh can tell from a
    /// nod.
    pub fn pose(&self) -> Pose {
        let across = self.way(&LEFT_EYE_CORNERS, &RIGHT_EYE_CORNERS);
        let away = cross(across, self.way(&FOREHEAD, &NOSE_BRIDGE));
        let down = cross(away, across);
        let (length, width) = (norm(away), norm(across));
        if length == 0.0 {
            return Pose::default();
        }
        // `down` is as long as `away` times `across`; both have the cosine of the yaw in their
        // depth, which drops out of the ratio.
        let pitch = (down[2] / width).atan2(away[2]) - NEUTRAL_PITCH_RAD;
        Pose {
            yaw_rad: across[2].atan2(across[0].hypot(across[1])) as f32,
            pitch_rad: wrapped(pitch) as f32,
            roll_rad: across[1].atan2(across[0]) as f32,
        }
    }

    /// From the mean of some points to the mean of others, with depth.
    fn way(&self, from: &[usize], to: &[usize]) -> [f64; 3] {
        let mean = |indices: &[usize], axis: usize| {
            let sum: f64 = indices
                .iter()
                .map(|i| f64::from(self.points[*i][axis]))
                .sum();
            sum / indices.len() as f64
        };
        [0, 1, 2].map(|axis| mean(to, axis) - mean(from, axis))
    }

    /// Left, top, right and bottom of all points, in frame pixels.
    pub fn bounds(&self) -> [f32; 4] {
        self.points
            .iter()
            .fold([f32::MAX, f32::MAX, f32::MIN, f32::MIN], |b, p| {
                [
                    b[0].min(p[0]),
                    b[1].min(p[1]),
                    b[2].max(p[0]),
                    b[3].max(p[1]),
                ]
            })
    }

    /// Every point moved by `map` in the plane; depth is scaled with it.
    pub fn mapped<To>(&self, map: &Affine<To, Frame>) -> Vec<Point<To>> {
        (0..LANDMARKS).map(|i| map.apply(self.point(i))).collect()
    }
}

/// Turn of the head in radians; all zero looks straight into the camera.
#[derive(Debug, Clone, Copy, PartialEq, Default, serde::Serialize, serde::Deserialize)]
pub struct Pose {
    /// Positive when the right side of the picture is farther away: looking to the right of it.
    pub yaw_rad: f32,
    /// Positive when the chin is farther away than the forehead: looking down.
    pub pitch_rad: f32,
    /// Positive when the head leans clockwise in the picture.
    pub roll_rad: f32,
}

fn cross(a: [f64; 3], b: [f64; 3]) -> [f64; 3] {
    [
        a[1] * b[2] - a[2] * b[1],
        a[2] * b[0] - a[0] * b[2],
        a[0] * b[1] - a[1] * b[0],
    ]
}

fn norm(a: [f64; 3]) -> f64 {
    a[0].hypot(a[1]).hypot(a[2])
}

/// The same angle from -pi to pi.
fn wrapped(angle_rad: f64) -> f64 {
    let (sin, cos) = angle_rad.sin_cos();
    sin.atan2(cos)
}

/// Fills a polygon (in pixels, any number of corners, even-odd rule) with 255 on 0, anti-aliased by
/// 4 x 4 samples per pixel.
pub fn fill_polygon<S>(size: Size, corners: &[Point<S>]) -> Gray8 {
    const SUB: usize = 4;
    let mut mask = Gray8::new(size);
    let width = size.width as usize;
    let mut cover = vec![0u8; width];
    let mut crossings = Vec::new();
    for y in 0..size.height {
        cover.fill(0);
        for j in 0..SUB {
            let sy = f64::from(y) + (j as f64 + 0.5) / SUB as f64;
            crossings.clear();
            for (i, a) in corners.iter().enumerate() {
                let b = &corners[(i + 1) % corners.len()];
                if (a.y <= sy) != (b.y <= sy) {
                    crossings.push(a.x + (sy - a.y) / (b.y - a.y) * (b.x - a.x));
                }
            }
            crossings.sort_by(f64::total_cmp);
            for pair in crossings.chunks_exact(2) {
                // Sample k covers [k, k + 1) / SUB; its centre decides.
                let limit = (width * SUB) as f64;
                let first = (pair[0] * SUB as f64 - 0.5).ceil().clamp(0.0, limit) as usize;
                let end = (pair[1] * SUB as f64 - 0.5).ceil().clamp(0.0, limit) as usize;
                for k in first..end {
                    cover[k / SUB] += 1;
                }
            }
        }
        for (out, n) in mask.row_mut(y).iter_mut().zip(&cover) {
            *out = (usize::from(*n) * 255 / (SUB * SUB)) as u8;
        }
    }
    mask
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_map_their_corners_to_the_net() {
        for area in [Area::Narrow, Area::Face, Area::Head] {
            let net = area.net_from_face(96);
            let centre = net.apply(area.centre());
            assert!(centre.distance(Point::new(48.0, 48.0)) < 1e-9);
            let back = net.inverse().unwrap();
            let (a, b) = (
                back.apply(Point::new(0.0, 0.0)),
                back.apply(Point::new(96.0, 0.0)),
            );
            assert!((a.distance(b) - area.side()).abs() < 1e-9);
        }
    }

    #[test]
    fn polygon_area_and_place() {
        let square = [(2.0, 2.0), (6.0, 2.0), (6.0, 5.0), (2.0, 5.0)];
        let corners = square.map(|(x, y)| Point::<Frame>::new(x, y));
        let mask = fill_polygon(Size::new(8, 8), &corners);
        let sum: u32 = mask.data().iter().map(|v| u32::from(*v)).sum();
        assert_eq!(sum, 12 * 255);
        assert_eq!(mask.pixel(2, 2), [255]);
        assert_eq!(mask.pixel(1, 2), [0]);
        assert_eq!(mask.pixel(6, 4), [0]);
    }

    #[test]
    fn polygons_outside_or_empty_fill_nothing() {
        let far = [(90.0, 2.0), (99.0, 2.0), (99.0, 5.0)].map(|(x, y)| Point::<Frame>::new(x, y));
        assert!(
            fill_polygon(Size::new(8, 8), &far)
                .data()
                .iter()
                .all(|v| *v == 0)
        );
        assert!(
            fill_polygon::<Frame>(Size::new(8, 8), &[])
                .data()
                .iter()
                .all(|v| *v == 0)
        );
    }

    #[test]
    fn landmarks_are_checked() {
        assert_eq!(
            FaceLandmarks::new(vec![[0.0; 3]; 5]),
            Err(BadLandmarks::Count(5))
        );
        let mut points = vec![[0.0; 3]; LANDMARKS];
        points[3][1] = f32::NAN;
        assert_eq!(FaceLandmarks::new(points), Err(BadLandmarks::NotFinite));
        let flat = FaceLandmarks::new(vec![[1.0; 3]; LANDMARKS]).unwrap();
        assert!(flat.face_from_frame().is_err());
    }

    /// A level face in centimetres, right, down and away from the camera.
    fn level_face() -> Vec<[f64; 3]> {
        let mut points = vec![[0.0, 0.0, 0.0]; LANDMARKS];
        for (index, place) in [
            (33, [-4.4, -2.7, -3.2]),
            (133, [-1.9, -2.6, -3.8]),
            (362, [1.9, -2.6, -3.8]),
            (263, [4.4, -2.7, -3.2]),
            (10, [0.0, -8.3, -4.5]),
            (151, [0.0, -6.5, -5.0]),
            (6, [0.0, -2.5, -5.8]),
            (197, [0.0, -1.7, -6.3]),
            (195, [0.0, -1.1, -6.8]),
            (152, [0.0, 9.4, -4.3]),
        ] {
            points[index] = place;
        }
        points
    }

    /// Nods by `pitch`, turns by `yaw`, leans by `roll` (degrees), then moves into a frame.
    fn turned(points: &[[f64; 3]], yaw: f64, pitch: f64, roll: f64) -> FaceLandmarks {
        let [(sy, cy), (sp, cp), (sr, cr)] =
            [yaw, pitch, roll].map(|a: f64| a.to_radians().sin_cos());
        let turn = |[x, y, z]: &[f64; 3]| {
            let (y, z) = (cp * y - sp * z, sp * y + cp * z);
            let (x, z) = (cy * x - sy * z, sy * x + cy * z);
            let (x, y) = (cr * x - sr * y, sr * x + cr * y);
            [
                (x * 17.0 + 400.0) as f32,
                (y * 17.0 + 300.0) as f32,
                (z * 17.0) as f32,
            ]
        };
        FaceLandmarks::new(points.iter().map(turn).collect()).unwrap()
    }

    #[test]
    fn the_pose_is_how_far_the_head_was_turned() {
        let mut points = level_face();
        for yaw in [-70.0, -30.0, 0.0, 10.0, 50.0] {
            for pitch in [-40.0, -15.0, 0.0, 20.0, 45.0] {
                for roll in [-60.0, 0.0, 25.0] {
                    let pose = turned(&points, yaw, pitch, roll).pose();
                    for (found, wanted) in [
                        (pose.yaw_rad, yaw),
                        (pose.pitch_rad, pitch),
                        (pose.roll_rad, roll),
                    ] {
                        let off = f64::from(found).to_degrees() - wanted;
                        assert!(off.abs() < 2.0, "{yaw} {pitch} {roll}: {pose:?}");
                    }
                }
            }
        }
        let closed = turned(&points, 10.0, 5.0, 0.0).pose();
        points[152] = [0.0, 11.5, -2.0];
        assert_eq!(
            turned(&points, 10.0, 5.0, 0.0).pose(),
            closed,
            "an open mouth is no nod"
        );
    }

    #[test]
    fn signs_of_the_pose() {
        let points = level_face();
        let right = turned(&points, 30.0, 0.0, 0.0);
        assert!(right.points()[263][2] > right.points()[33][2] && right.pose().yaw_rad > 0.5);
        let down = turned(&points, 0.0, 30.0, 0.0);
        assert!(down.points()[152][2] > down.points()[10][2] && down.pose().pitch_rad > 0.5);
        let flat = FaceLandmarks::new(vec![[1.0; 3]; LANDMARKS]).unwrap();
        assert_eq!(flat.pose(), Pose::default(), "no face, no pose");
    }
}
