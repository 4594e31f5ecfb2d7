//! Landmarks of a shot without jitter and without delay.
//!
//! The face's place, size and turn are smoothed strongly; what the face does in its own space
//! (blinks, speech) lightly. Both use a Savitzky-Golay filter (1964): a parabola is fitted to each
//! window and read in its middle, so that nothing lags and steady or accelerated motion passes
//! unchanged. Windows never reach over a gap in the frames, beyond a track, or over a jump of the whole
//! face (a cut within a shot): those stay sharp.

use stockpot_core::face::FaceLandmarks;
use stockpot_core::space::{Affine, Face, Frame, Point};

use crate::Error;

/// How much to smooth. A radius is in frames on each side of the window.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct SmoothSettings {
    /// For place, size and turn of the face. 4 keeps a nod of 4 Hz at 25 frames/s; 0 leaves them.
    pub alignment_radius: usize,
    /// For the landmarks in face space. 2 keeps 83 % of a blink of 4 frames; 0 leaves them.
    pub shape_radius: usize,
}

impl Default for SmoothSettings {
    fn default() -> Self {
        Self {
            alignment_radius: 4,
            shape_radius: 2,
        }
    }
}

/// The smoothed landmarks of one track, in the order given.
///
/// `track` holds frame number and landmarks in rising order; where numbers are not consecutive, or
/// the whole face jumps, a new stretch begins, which is smoothed by itself.
///
/// # Errors
/// [`Error::BadFace`] if a face's anchors coincide, [`Error::BadInput`] if frames do not rise.
pub fn smooth_track(
    track: &[(u64, FaceLandmarks)],
    settings: SmoothSettings,
) -> Result<Vec<FaceLandmarks>, Error> {
    if let Some(pair) = track.windows(2).find(|p| p[0].0 >= p[1].0) {
        return Err(Error::BadInput {
            what: "the frames of a track",
            wanted: "in rising order".to_owned(),
            found: format!("{} before {}", pair[0].0, pair[1].0),
        });
    }
    let mut smoothed = Vec::with_capacity(track.len());
    for stretch in track.chunk_by(|a, b| a.0 + 1 == b.0) {
        let mut rest = stretch;
        let mut before = 0;
        for jump in jumps(stretch) {
            let (first, second) = rest.split_at(jump - before);
            smooth_stretch(first, settings, &mut smoothed)?;
            (rest, before) = (second, jump);
        }
        smooth_stretch(rest, settings, &mut smoothed)?;
    }
    Ok(smoothed)
}

/// A mean move of all landmarks above this share of the eye distance may be a jump...
const JUMP: f64 = 0.04;
/// ...if it is this many times the usual move of the frames around it.
const JUMP_OVER_USUAL: f64 = 4.0;
/// Frames on each side whose moves are the usual ones.
const AROUND: usize = 4;

/// Positions at which the whole face is suddenly elsewhere. Blinks and speech move too few points
/// to count, and a head that starts to turn keeps moving, which makes the move usual.
fn jumps(stretch: &[(u64, FaceLandmarks)]) -> Vec<usize> {
    let moves: Vec<f64> = stretch
        .windows(2)
        .map(|pair| {
            let (a, b) = (&pair[0].1, &pair[1].1);
            let pairs = a.points().iter().zip(b.points());
            let sum: f32 = pairs.map(|(a, b)| (a[0] - b[0]).hypot(a[1] - b[1])).sum();
            f64::from(sum) / a.points().len() as f64 / a.eye_distance_px().max(1.0)
        })
        .collect();
    let is_jump = |at: usize| {
        let from = at.saturating_sub(AROUND);
        let end = (at + AROUND + 1).min(moves.len());
        let mut around: Vec<f64> = (from..end).filter(|i| *i != at).map(|i| moves[i]).collect();
        around.sort_by(f64::total_cmp);
        // Without neighbours nothing is known to be unusual.
        let usual = around.get(around.len() / 2).copied().unwrap_or(f64::MAX);
        moves[at] > JUMP && moves[at] > JUMP_OVER_USUAL * usual
    };
    // Move `i` leads to position `i + 1`.
    (0..moves.len())
        .filter(|i| is_jump(*i))
        .map(|i| i + 1)
        .collect()
}

fn smooth_stretch(
    stretch: &[(u64, FaceLandmarks)],
    settings: SmoothSettings,
    out: &mut Vec<FaceLandmarks>,
) -> Result<(), Error> {
    let mut places = Vec::with_capacity(stretch.len());
    let mut shapes = Vec::with_capacity(stretch.len());
    for (_, landmarks) in stretch {
        let face_from_frame = landmarks.face_from_frame()?;
        places.push(Place::new(&face_from_frame.inverse()?));
        shapes.push(in_face_space(landmarks, &face_from_frame));
    }
    unwrap_angles(&mut places);
    for at in 0..stretch.len() {
        let place = {
            let (from, weights) = window(at, stretch.len(), settings.alignment_radius);
            let mut mean = [0.0; 4];
            for (weight, place) in weights.iter().zip(&places[from..]) {
                for (m, v) in mean.iter_mut().zip(place.0) {
                    *m += weight * v;
                }
            }
            Place(mean).frame_from_face()
        };
        let (from, weights) = window(at, stretch.len(), settings.shape_radius);
        let depth = place.mean_scale();
        let points = (0..shapes[at].len()).map(|i| {
            let mut mean = [0.0; 3];
            for (weight, shape) in weights.iter().zip(&shapes[from..]) {
                for (m, v) in mean.iter_mut().zip(shape[i]) {
                    *m += weight * v;
                }
            }
            let p = place.apply(Point::new(mean[0], mean[1]));
            [p.x as f32, p.y as f32, (mean[2] * depth) as f32]
        });
        out.push(FaceLandmarks::new(points.collect())?);
    }
    Ok(())
}

/// Place of the face's middle in the frame, logarithm of its size, and turn.
#[derive(Debug, Clone, Copy)]
struct Place([f64; 4]);

/// The point of face space whose path is smoothed: between the eyes and the mouth, so that
/// smoothing the turn does not swing the face around a far corner.
const MIDDLE: (f64, f64) = (0.5, 0.45);

impl Place {
    fn new(frame_from_face: &Affine<Frame, Face>) -> Self {
        let middle = frame_from_face.apply(Point::new(MIDDLE.0, MIDDLE.1));
        let [a, _, _, b, _, _] = frame_from_face.rows();
        Self([middle.x, middle.y, a.hypot(b).ln(), b.atan2(a)])
    }

    fn frame_from_face(self) -> Affine<Frame, Face> {
        let [x, y, log_scale, angle] = self.0;
        let (a, b) = (log_scale.exp() * angle.cos(), log_scale.exp() * angle.sin());
        let (mx, my) = MIDDLE;
        Affine::from_rows([a, -b, x - a * mx + b * my, b, a, y - b * mx - a * my])
    }
}

fn in_face_space(
    landmarks: &FaceLandmarks,
    face_from_frame: &Affine<Face, Frame>,
) -> Vec<[f64; 3]> {
    let scale = face_from_frame.mean_scale();
    landmarks
        .points()
        .iter()
        .map(|[x, y, z]| {
            let p = face_from_frame.apply(Point::new(f64::from(*x), f64::from(*y)));
            [p.x, p.y, f64::from(*z) * scale]
        })
        .collect()
}

/// Turns become continuous: no jump by a whole turn from frame to frame.
fn unwrap_angles(places: &mut [Place]) {
    for i in 1..places.len() {
        let turn = std::f64::consts::TAU;
        let jump = places[i].0[3] - places[i - 1].0[3];
        places[i].0[3] -= turn * (jump / turn).round();
    }
}

/// First frame and weights of the window of frame `at` of `len`: the least-squares parabola over
/// the frames within `radius`, read at `at`. Near an end the window has only what is there, and
/// the parabola is read off its middle, which smooths less and still does not shift.
fn window(at: usize, len: usize, radius: usize) -> (usize, Vec<f64>) {
    let first = at.saturating_sub(radius);
    let last = (at + radius).min(len - 1);
    let n = last - first + 1;
    let place = |i: usize| (first + i) as f64 - at as f64;
    // Fewer than four frames: a parabola goes through all of them, nothing is smoothed.
    if n < 4 {
        let weights = (0..n).map(|i| if first + i == at { 1.0 } else { 0.0 });
        return (first, weights.collect());
    }
    // Moments of the places; the weights are the first row of the inverse normal matrix times
    // (1, t, t^2), by cofactors.
    let mut s = [0.0f64; 5];
    for i in 0..n {
        let t = place(i);
        let mut power = 1.0;
        for moment in &mut s {
            *moment += power;
            power *= t;
        }
    }
    let c0 = s[2] * s[4] - s[3] * s[3];
    let c1 = s[2] * s[3] - s[1] * s[4];
    let c2 = s[1] * s[3] - s[2] * s[2];
    let det = s[0] * c0 + s[1] * c1 + s[2] * c2;
    let weights = (0..n).map(|i| {
        let t = place(i);
        (c0 + c1 * t + c2 * t * t) / det
    });
    (first, weights.collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use stockpot_core::Rng;
    use stockpot_core::face::{
        LANDMARKS, LEFT_EYE, LEFT_MOUTH_CORNER, NOSE_TIP, RIGHT_EYE, RIGHT_MOUTH_CORNER,
    };

    /// A made-up face at `(x, y)`, `size` pixels per unit, turned by `angle`; `lid` moves one point.
    fn face(x: f64, y: f64, size: f64, angle: f64, lid: f64) -> FaceLandmarks {
        let mut rng = Rng::stream(1, "face", 0);
        let mut shape: Vec<[f64; 3]> = (0..LANDMARKS)
            .map(|_| [rng.unit(), rng.unit(), rng.unit()].map(f64::from))
            .collect();
        LEFT_EYE.iter().for_each(|i| shape[*i] = [0.25, 0.25, 0.0]);
        RIGHT_EYE.iter().for_each(|i| shape[*i] = [0.75, 0.25, 0.0]);
        shape[NOSE_TIP] = [0.5, 0.5, 0.1];
        shape[LEFT_MOUTH_CORNER] = [0.3, 0.8, 0.0];
        shape[RIGHT_MOUTH_CORNER] = [0.7, 0.8, 0.0];
        shape[152][1] += lid;
        let (sin, cos) = angle.sin_cos();
        let points = shape.iter().map(|[u, v, w]| {
            let place = [
                x + size * (cos * u - sin * v),
                y + size * (sin * u + cos * v),
            ];
            [place[0] as f32, place[1] as f32, (w * size) as f32]
        });
        FaceLandmarks::new(points.collect()).unwrap()
    }

    fn noisy(clean: &FaceLandmarks, shift: f32, shape: f32, rng: &mut Rng) -> FaceLandmarks {
        let (dx, dy) = (shift * rng.normal(), shift * rng.normal());
        let points = clean.points().iter().map(|[x, y, z]| {
            let (nx, ny) = (shape * rng.normal(), shape * rng.normal());
            [x + dx + nx, y + dy + ny, *z]
        });
        FaceLandmarks::new(points.collect()).unwrap()
    }

    fn largest_error(a: &FaceLandmarks, b: &FaceLandmarks) -> f32 {
        let pairs = a.points().iter().zip(b.points());
        pairs
            .flat_map(|(a, b)| (0..3).map(move |i| (a[i] - b[i]).abs()))
            .fold(0.0, f32::max)
    }

    /// Mean square distance over all points and frames, leaving out both ends.
    fn noise(found: &[FaceLandmarks], clean: &[FaceLandmarks]) -> f64 {
        let inner = 5..found.len() - 5;
        let squares = inner.flat_map(|t| {
            let pairs = found[t].points().iter().zip(clean[t].points());
            pairs.map(|(a, b)| f64::from((a[0] - b[0]).powi(2) + (a[1] - b[1]).powi(2)))
        });
        let all: Vec<f64> = squares.collect();
        all.iter().sum::<f64>() / all.len() as f64
    }

    #[test]
    fn weights_are_those_of_savitzky_and_golay() {
        let (first, weights) = window(5, 11, 2);
        assert_eq!(first, 3);
        let table = [-3.0, 12.0, 17.0, 12.0, -3.0].map(|v| v / 35.0);
        for (a, b) in weights.iter().zip(table) {
            assert!((a - b).abs() < 1e-12);
        }
        for at in 0..11 {
            let (first, weights) = window(at, 11, 4);
            let moment = |k: i32| -> f64 {
                let places = weights.iter().enumerate();
                places
                    .map(|(i, w)| w * ((first + i) as f64 - at as f64).powi(k))
                    .sum()
            };
            assert!((moment(0) - 1.0).abs() < 1e-9);
            assert!(moment(1).abs() < 1e-9 && moment(2).abs() < 1e-8);
            let gain: f64 = weights.iter().map(|w| w * w).sum();
            assert!(gain <= 1.0 + 1e-9);
        }
    }

    #[test]
    fn steady_motion_is_not_shifted_anywhere() {
        // Moving, growing and turning through the +-pi seam; log size and turn are linear in time.
        let clean: Vec<_> = (0..30)
            .map(|t| {
                let t = f64::from(t);
                face(
                    100.0 + 7.0 * t,
                    300.0 - 3.0 * t,
                    90.0 * (0.01 * t).exp(),
                    3.0 + 0.02 * t,
                    0.0,
                )
            })
            .collect();
        // The middle of the face, not its corner, moves on a line: allow for the small arc.
        let track: Vec<_> = (0u64..).zip(clean.iter().cloned()).collect();
        let smoothed = smooth_track(&track, SmoothSettings::default()).unwrap();
        for (t, (s, c)) in smoothed.iter().zip(&clean).enumerate() {
            assert!(
                largest_error(s, c) < 0.05,
                "frame {t}: {}",
                largest_error(s, c)
            );
        }
    }

    #[test]
    fn jitter_of_place_and_shape_goes_down() {
        let clean = vec![face(200.0, 150.0, 120.0, 0.1, 0.0); 120];
        let mut rng = Rng::stream(3, "noise", 0);
        let ratio = |shift: f32, shape: f32, rng: &mut Rng| {
            let jittery: Vec<_> = clean.iter().map(|c| noisy(c, shift, shape, rng)).collect();
            let track: Vec<_> = (0u64..).zip(jittery.iter().cloned()).collect();
            let smoothed = smooth_track(&track, SmoothSettings::default()).unwrap();
            noise(&smoothed, &clean) / noise(&jittery, &clean)
        };
        // A parabola over 9 frames leaves 0.255 of the variance, over 5 frames 0.486.
        let place = ratio(1.5, 0.0, &mut rng);
        assert!((0.15..0.36).contains(&place), "{place}");
        let shape = ratio(0.0, 1.0, &mut rng);
        assert!((0.40..0.56).contains(&shape), "{shape}");
    }

    #[test]
    fn a_cut_is_not_blurred() {
        let (a, b) = (
            face(100.0, 100.0, 80.0, 0.0, 0.0),
            face(400.0, 250.0, 150.0, 0.3, 0.1),
        );
        let frames = (0..10).chain(12..22);
        let track: Vec<_> = frames
            .map(|t| (t, if t < 11 { a.clone() } else { b.clone() }))
            .collect();
        let smoothed = smooth_track(&track, SmoothSettings::default()).unwrap();
        for ((_, raw), s) in track.iter().zip(&smoothed) {
            assert!(largest_error(raw, s) < 0.01);
        }
    }

    #[test]
    fn a_jump_within_a_shot_is_not_blurred() {
        let at = |t: u64| {
            if t < 9 {
                100.0 + t as f64
            } else {
                118.0 + t as f64
            }
        };
        let track: Vec<_> = (0..20)
            .map(|t| (t, face(at(t), 100.0, 100.0, 0.0, 0.0)))
            .collect();
        assert_eq!(jumps(&track), [9]);
        let smoothed = smooth_track(&track, SmoothSettings::default()).unwrap();
        for ((t, raw), s) in track.iter().zip(&smoothed) {
            assert!(largest_error(raw, s) < 0.01, "frame {t}");
        }
    }

    #[test]
    fn a_blink_stays() {
        let lid = [
            0.0, 0.0, 0.0, 0.0, 0.0, 0.5, 1.0, 0.5, 0.0, 0.0, 0.0, 0.0, 0.0,
        ];
        let track: Vec<_> = (0u64..)
            .zip(lid.map(|l| face(100.0, 100.0, 100.0, 0.0, 0.1 * l)))
            .collect();
        let smoothed = smooth_track(&track, SmoothSettings::default()).unwrap();
        let rest = f64::from(track[0].1.points()[152][1]);
        let depth = |t: usize| (f64::from(smoothed[t].points()[152][1]) - rest) / 10.0;
        let strongest = (0..13).max_by(|a, b| depth(*a).total_cmp(&depth(*b)));
        assert_eq!(strongest, Some(6));
        // (17 + 2 * 12 * 0.5) / 35
        assert!((depth(6) - 0.829).abs() < 0.01, "{}", depth(6));
    }

    #[test]
    fn short_tracks_and_bad_order() {
        let one = face(10.0, 10.0, 50.0, 0.0, 0.0);
        let settings = SmoothSettings::default();
        assert!(smooth_track(&[], settings).unwrap().is_empty());
        let track = [(4, one.clone()), (5, one.clone())];
        let smoothed = smooth_track(&track, settings).unwrap();
        assert!(largest_error(&smoothed[0], &one) < 1e-3);
        assert!(smooth_track(&[(5, one.clone()), (5, one)], settings).is_err());
    }
}
