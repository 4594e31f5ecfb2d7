//! The 468 points of a face: MediaPipe's FaceMesh on a square around it.
//!
//! Where to look next follows from a detection or from the landmarks of the frame before.

use stockpot_core::face::{FaceLandmarks, LANDMARKS};
use stockpot_core::image::{GrayF32, Image, Rgb8, Size};
use stockpot_core::space::{Affine, Frame, Net, Point};

use crate::Error;
use crate::detect::{Detection, expect_shapes};
use crate::quality::sharpness;
use crate::sample::{Border, Normalise, fill_square, is_empty};
use crate::tflite::Network;

/// Side of the network's input in pixels.
const SIDE: usize = 192;
/// The square is this much larger than the face; MediaPipe's value.
const MARGIN: f64 = 1.5;
/// Outer corner of the eye on the left of the picture.
const LEFT_EYE_CORNER: usize = 33;
/// Outer corner of the eye on the right of the picture.
const RIGHT_EYE_CORNER: usize = 263;

/// The square of a frame that the landmark network looks at.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Roi {
    /// Its centre.
    pub centre: Point<Frame>,
    /// Its side in frame pixels.
    pub side: f64,
    /// Its turn, clockwise in the picture.
    pub angle_rad: f64,
}

impl Roi {
    /// Around a detection: 1.5 times its longer side, the eyes level.
    pub fn from_detection(detection: &Detection) -> Self {
        let [left, top, right, bottom] = detection.bounds;
        Self {
            centre: Point::new((left + right) / 2.0, (top + bottom) / 2.0),
            side: MARGIN * (right - left).max(bottom - top),
            angle_rad: angle(detection.points[0], detection.points[1]),
        }
    }

    /// Around a known face: 1.5 times its extent along its own axes, the eyes level.
    pub fn from_landmarks(landmarks: &FaceLandmarks) -> Self {
        let angle_rad = angle(
            landmarks.point(LEFT_EYE_CORNER),
            landmarks.point(RIGHT_EYE_CORNER),
        );
        let (sin, cos) = angle_rad.sin_cos();
        let start = [f64::MAX, f64::MAX, f64::MIN, f64::MIN];
        let [left, top, right, bottom] = landmarks.points().iter().fold(start, |b, p| {
            let (px, py) = (f64::from(p[0]), f64::from(p[1]));
            let (x, y) = (cos * px + sin * py, cos * py - sin * px);
            [b[0].min(x), b[1].min(y), b[2].max(x), b[3].max(y)]
        });
        let (x, y) = ((left + right) / 2.0, (top + bottom) / 2.0);
        Self {
            centre: Point::new(cos * x - sin * y, sin * x + cos * y),
            side: MARGIN * (right - left).max(bottom - top),
            angle_rad,
        }
    }

    /// Whether two squares are so much alike that looking again would change nothing.
    pub(crate) fn is_close_to(&self, other: &Self) -> bool {
        let ratio = self.side / other.side;
        self.centre.distance(other.centre) < 0.1 * other.side
            && (0.87..1.15).contains(&ratio)
            && (self.angle_rad - other.angle_rad).sin().abs() < 0.2
    }

    fn frame_from_net(&self) -> Affine<Frame, Net> {
        let scale = self.side / SIDE as f64;
        let (sin, cos) = self.angle_rad.sin_cos();
        let (a, b) = (scale * cos, scale * sin);
        let half = SIDE as f64 / 2.0;
        Affine::from_rows([
            a,
            -b,
            self.centre.x - a * half + b * half,
            b,
            a,
            self.centre.y - b * half - a * half,
        ])
    }
}

fn angle(left: Point<Frame>, right: Point<Frame>) -> f64 {
    (right.y - left.y).atan2(right.x - left.x)
}

/// What the landmark network says about a square.
#[derive(Debug, Clone, PartialEq)]
pub struct Mesh {
    /// The points in frame pixels.
    pub landmarks: FaceLandmarks,
    /// How sure it is that this is a face, as a logit: 18 to 43 on faces, about -10 on noise.
    pub logit: f32,
    /// [`sharpness`] of the face at about 128 px.
    pub sharpness: f32,
}

/// The landmark network. Cloning shares the weights.
#[derive(Debug, Clone)]
pub struct Landmarker {
    network: Network,
}

impl Landmarker {
    /// Takes the network of `face_landmark.tflite`.
    ///
    /// # Errors
    /// [`Error::UnsupportedModel`] if inputs and outputs are not those of that file.
    pub fn new(network: Network) -> Result<Self, Error> {
        expect_shapes(
            &network,
            &[1, SIDE, SIDE, 3],
            &[&[1, 1, 1, 3 * LANDMARKS], &[1, 1, 1, 1]],
        )?;
        Ok(Self { network })
    }

    /// Looks at one square of a frame. Whether there is a face is in [`Mesh::logit`].
    ///
    /// # Errors
    /// [`Error::BadInput`] for an empty frame or square.
    pub fn look(&mut self, frame: &Rgb8, roi: &Roi) -> Result<Mesh, Error> {
        if is_empty(frame) || !(roi.side > 0.0 && roi.side.is_finite()) {
            return Err(Error::BadInput {
                what: "the square to look at",
                wanted: "larger than nothing, in a frame with pixels".to_owned(),
                found: format!("side {} in {}", roi.side, frame.size()),
            });
        }
        let frame_from_net = roi.frame_from_net();
        let normalise = Normalise {
            scale: 1.0 / 255.0,
            offset: [0.0; 3],
        };
        let input = self.network.input_mut();
        fill_square(
            frame,
            SIDE,
            &frame_from_net,
            Border::Replicate,
            normalise,
            input,
        );
        let sharpness = sharpness(&luma_of_face(input));
        self.network.run();
        let depth = roi.side / SIDE as f64;
        let points = self.network.output(0).chunks_exact(3).map(|p| {
            let place = frame_from_net.apply(Point::new(f64::from(p[0]), f64::from(p[1])));
            [
                place.x as f32,
                place.y as f32,
                (f64::from(p[2]) * depth) as f32,
            ]
        });
        Ok(Mesh {
            landmarks: FaceLandmarks::new(points.collect())?,
            logit: self.network.output(1)[0],
            sharpness,
        })
    }

    /// Looks, and looks again where the landmarks say the face is, until the square fits it or
    /// `looks` are used up.
    ///
    /// # Errors
    /// As [`Landmarker::look`].
    pub fn look_closer(&mut self, frame: &Rgb8, roi: &Roi, looks: usize) -> Result<Mesh, Error> {
        let mut used = *roi;
        let mut mesh = self.look(frame, &used)?;
        for _ in 1..looks {
            let better = Roi::from_landmarks(&mesh.landmarks);
            if better.is_close_to(&used) || mesh.logit < 0.0 {
                break;
            }
            used = better;
            mesh = self.look(frame, &used)?;
        }
        Ok(mesh)
    }

    /// The network itself, for comparisons with other runtimes.
    pub const fn network_mut(&mut self) -> &mut Network {
        &mut self.network
    }
}

/// Luminance of the middle of the input, where the face is.
fn luma_of_face(input: &[f32]) -> GrayF32 {
    let edge = SIDE / 6;
    let side = SIDE - 2 * edge;
    let mut luma = Image::new(Size::square(side as u32));
    for y in 0..side {
        let from = &input[((y + edge) * SIDE + edge) * 3..][..side * 3];
        for (v, p) in luma.row_mut(y as u32).iter_mut().zip(from.chunks_exact(3)) {
            *v = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
        }
    }
    luma
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A made-up face: points on an ellipse, turned by `angle`, the eye corners level with it.
    fn ellipse(angle: f64, cx: f64, cy: f64) -> FaceLandmarks {
        let (sin, cos) = angle.sin_cos();
        let points = (0..LANDMARKS)
            .map(|i| {
                let t = std::f64::consts::TAU * i as f64 / LANDMARKS as f64;
                let (mut x, mut y) = (30.0 * t.cos(), 40.0 * t.sin());
                if i == LEFT_EYE_CORNER || i == RIGHT_EYE_CORNER {
                    (x, y) = (if i == LEFT_EYE_CORNER { -9.0 } else { 9.0 }, -10.0);
                }
                let place = [cx + cos * x - sin * y, cy + sin * x + cos * y, 0.0];
                place.map(|v| v as f32)
            })
            .collect();
        FaceLandmarks::new(points).unwrap()
    }

    #[test]
    fn the_square_turns_with_the_face() {
        for angle in [0.0, 0.6, -2.5] {
            let roi = Roi::from_landmarks(&ellipse(angle, 100.0, 60.0));
            assert!((roi.angle_rad - angle).abs() < 1e-4);
            assert!(roi.centre.distance(Point::new(100.0, 60.0)) < 0.1);
            assert!((roi.side - 120.0).abs() < 0.1);
            let map = roi.frame_from_net();
            let middle = map.apply(Point::new(96.0, 96.0));
            assert!(middle.distance(roi.centre) < 1e-9);
            assert!((map.mean_scale() - roi.side / 192.0).abs() < 1e-9);
            assert!(roi.is_close_to(&roi));
        }
    }
}
