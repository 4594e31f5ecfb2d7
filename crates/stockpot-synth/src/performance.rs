//! What is played: pose, expression, gaze, blink, speech-like mouth and light over time, from one
//! seed. Knows nothing of persons.

use stockpot_core::rng::Rng;

use crate::assets::FACE_UNITS;
use crate::vec3::{Vec3, smooth, unit};

/// A performance; [`Performance::at`] is smooth in time but for the start of a blink.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Performance {
    /// The seed, which is the performance.
    pub seed: u64,
}

/// One instant of a performance.
#[derive(Debug, Clone, PartialEq)]
pub struct Moment {
    /// Weights of [`FACE_UNITS`], 0 to 1.
    pub units: [f32; 52],
    /// Yaw, pitch and roll of the head in radians; positive yaw looks to the right of the picture,
    /// positive pitch down.
    pub turn_rad: [f32; 3],
    /// Yaw and pitch of the eyes against the head, in radians, signs as above.
    pub gaze_rad: [f32; 2],
    /// Two lights: direction towards each (unit length) and its colour in linear light.
    pub lights: [(Vec3, Vec3); 2],
    /// Light from everywhere, linear.
    pub ambient: Vec3,
    /// What is behind the person.
    pub backdrop: Backdrop,
    /// Where the camera stands.
    pub camera: Camera,
    /// What is before the face, if anything.
    pub occluder: Option<Occluder>,
}

/// What is behind the person.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Backdrop {
    /// Its main colour, linear.
    pub colour: Vec3,
    /// Its pattern, which is still while a performance lasts.
    pub seed: u64,
}

/// A perspective camera that looks along the view axis at the middle of the head.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Camera {
    /// Decimetres from the camera to the middle of the head.
    pub distance_dm: f32,
    /// Height of what the picture shows at that distance, in decimetres: small values come close.
    pub view_dm: f32,
    /// How far the head is from the middle of the picture, right and up, in decimetres.
    pub shift_dm: [f32; 2],
}

impl Camera {
    /// A head and shoulders portrait.
    pub const PORTRAIT: Self = Self {
        distance_dm: 11.0,
        view_dm: 3.3,
        shift_dm: [0.0, 0.0],
    };
}

/// Something that hides a part of the face.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Occluder {
    /// What it is.
    pub kind: OccluderKind,
    /// Its colour, linear.
    pub colour: Vec3,
    /// Where its middle is against the middle of the face, right and up, in decimetres. Glasses sit
    /// where glasses sit.
    pub place_dm: [f32; 2],
    /// How it is turned in the picture's plane, in radians.
    pub turn_rad: f32,
}

/// What hides a part of the face.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum OccluderKind {
    /// A shape like a hand with fingers.
    Hand,
    /// Glasses, which move with the head.
    Glasses,
    /// A microphone on a stick.
    Microphone,
}

impl Moment {
    /// A still face, straight ahead, in even light.
    pub fn neutral() -> Self {
        Self {
            units: [0.0; 52],
            turn_rad: [0.0; 3],
            gaze_rad: [0.0; 2],
            lights: [
                (unit([-0.5, 0.6, 0.8]), [0.8; 3]),
                (unit([0.8, 0.2, 0.5]), [0.3; 3]),
            ],
            ambient: [0.3; 3],
            backdrop: Backdrop {
                colour: [0.2, 0.22, 0.25],
                seed: 0,
            },
            camera: Camera::PORTRAIT,
            occluder: None,
        }
    }
}

/// A smooth walk in 0 to 1 that takes `step_secs` from one value to the next.
fn walk(seed: u64, purpose: &str, time_secs: f32, step_secs: f32) -> f32 {
    let at = (time_secs / step_secs).max(0.0);
    let index = at.floor();
    let value = |i: f32| Rng::stream(seed, purpose, i as u64).unit();
    let (a, b) = (value(index), value(index + 1.0));
    a + (b - a) * smooth(0.0, 1.0, at - index)
}

impl Performance {
    /// The instant `time_secs` after the start.
    pub fn at(self, time_secs: f32) -> Moment {
        let w = |purpose: &str, step: f32| walk(self.seed, purpose, time_secs, step);
        let swing = |purpose: &str, step: f32| 2.0 * w(purpose, step) - 1.0;
        let over =
            |purpose: &str, step: f32, from: f32| (w(purpose, step) - from).max(0.0) / (1.0 - from);
        let mut moment = Moment::neutral();
        let smile = 0.9 * over("smile", 1.3, 0.45);
        let speech = over("speech", 2.5, 0.3);
        let blink_at = time_secs + 2.0 * w("blink", 1e9);
        let phase = (blink_at % 2.9) / 0.28;
        let blink = smooth(0.0, 0.4, phase) * smooth(1.0, 0.55, phase);
        let mut set = |name: &str, value: f32| {
            for (unit, weight) in FACE_UNITS.iter().zip(&mut moment.units) {
                if unit
                    .strip_prefix(name)
                    .is_some_and(|end| ["", "Left", "Right"].contains(&end))
                {
                    *weight = value.clamp(0.0, 1.0);
                }
            }
        };
        set("eyeBlink", blink);
        set("mouthSmile", smile);
        set("cheekSquint", 0.5 * smile);
        set(
            "jawOpen",
            0.5 * speech * w("jaw", 0.16).powi(2) + 0.5 * over("gape", 2.1, 0.75),
        );
        set("mouthPucker", 0.6 * speech * over("pucker", 0.3, 0.5));
        set("mouthFunnel", 0.5 * speech * over("funnel", 0.24, 0.6));
        set("mouthUpperUp", 0.4 * over("lip", 0.9, 0.6));
        set("mouthFrown", 0.7 * over("frown", 1.7, 0.7));
        set("browInnerUp", 0.8 * over("brow up", 1.1, 0.5));
        set("browDown", 0.8 * over("brow down", 1.4, 0.6));
        set("noseSneer", 0.5 * over("sneer", 1.9, 0.75));
        moment.turn_rad = [
            0.6 * swing("yaw", 1.4),
            0.22 * swing("pitch", 1.2),
            0.14 * swing("roll", 1.6),
        ];
        moment.gaze_rad = [0.3 * swing("gaze x", 0.8), 0.14 * swing("gaze y", 0.9)];
        let mut rng = Rng::stream(self.seed, "light", 0);
        let warm = rng.range(-0.12, 0.12);
        let power = rng.range(0.6, 1.0);
        let tint = |k: f32| [k * (1.0 + warm), k, k * (1.0 - warm)];
        moment.lights[0] = (
            unit([rng.range(-1.0, 1.0), rng.range(0.1, 0.9), 0.8]),
            tint(power),
        );
        moment.lights[1] = (
            unit([rng.range(-1.0, 1.0), 0.2, 0.4]),
            tint(rng.range(0.1, 0.4)),
        );
        moment.ambient = tint(rng.range(0.18, 0.4));
        let grey = rng.range(0.08, 0.4);
        moment.backdrop = Backdrop {
            colour: std::array::from_fn(|_| grey * rng.range(0.75, 1.25)),
            seed: self.seed,
        };
        moment
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn performances_repeat_differ_and_stay_in_bounds() {
        let one = Performance { seed: 4 };
        assert_eq!(one.at(1.23), one.at(1.23));
        assert_ne!(one.at(1.23), Performance { seed: 5 }.at(1.23));
        for step in 0..200 {
            let (a, b) = (
                one.at(step as f32 * 0.04),
                one.at(step as f32 * 0.04 + 0.001),
            );
            assert!(a.units.iter().all(|w| (0.0..=1.0).contains(w)));
            assert!((a.turn_rad[0] - b.turn_rad[0]).abs() < 0.01);
        }
    }
}
