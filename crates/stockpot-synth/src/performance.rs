//! What is played: pose, expression, gaze, blink, speech-like mouth and light over time, from one
//! seed. Knows nothing of persons.

use stockpot_core::rng::Rng;

use crate::assets::FACE_UNITS;
use crate::vec3::{Vec3, smooth, unit};

/// A performance; [`Performance::at`] is smooth in time, though blinks and jumps of the eyes are quick.
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

/// Shapes of a speaking mouth: jaw, pucker, funnel, upper lip up, lower lip down, stretch.
const VISEMES: [[f32; 6]; 7] = [
    [0.0, 0.0, 0.0, 0.0, 0.0, 0.0],
    [0.62, 0.0, 0.1, 0.2, 0.35, 0.1],
    [0.3, 0.0, 0.0, 0.25, 0.4, 0.5],
    [0.34, 0.25, 0.65, 0.1, 0.2, 0.0],
    [0.16, 0.75, 0.3, 0.0, 0.1, 0.0],
    [0.14, 0.0, 0.0, 0.3, 0.45, 0.25],
    [0.42, 0.0, 0.25, 0.15, 0.3, 0.2],
];
/// How long one of them lasts: five in a second, as in calm speech.
const VISEME_SECS: f32 = 0.2;

impl Performance {
    /// The instant `time_secs` after the start.
    pub fn at(self, time_secs: f32) -> Moment {
        let mut moment = Moment::neutral();
        self.act(time_secs, &mut moment);
        self.look(time_secs, &mut moment);
        self.stage(time_secs, &mut moment);
        moment
    }

    /// How loud the voice is, 0 to 1: it follows the mouth.
    pub fn loudness(self, time_secs: f32) -> f32 {
        let [jaw, pucker, ..] = self.mouth(time_secs);
        (1.6 * jaw + 0.4 * pucker).min(1.0)
    }

    /// The same performance with something before the face.
    pub fn with_occluder(self, kind: OccluderKind) -> Played {
        Played {
            performance: self,
            kind,
        }
    }

    fn walk(self, purpose: &str, time_secs: f32, step_secs: f32) -> f32 {
        walk(self.seed, purpose, time_secs, step_secs)
    }

    fn swing(self, purpose: &str, time_secs: f32, step_secs: f32) -> f32 {
        2.0 * self.walk(purpose, time_secs, step_secs) - 1.0
    }

    /// What of a walk is over `from`, stretched to 0 to 1.
    fn over(self, purpose: &str, time_secs: f32, step_secs: f32, from: f32) -> f32 {
        (self.walk(purpose, time_secs, step_secs) - from).max(0.0) / (1.0 - from)
    }

    /// The speaking mouth: one shape glides into the next, with pauses.
    fn mouth(self, time_secs: f32) -> [f32; 6] {
        let at = (time_secs / VISEME_SECS).max(0.0);
        let index = at.floor();
        let shape = |i: f32| -> [f32; 6] {
            let mut rng = Rng::stream(self.seed, "viseme", i as u64);
            let talks = self.walk("talking", i * VISEME_SECS, 1.7) > 0.38;
            let kind = if talks { rng.below(VISEMES.len()) } else { 0 };
            let strength = rng.range(0.6, 1.1);
            VISEMES[kind].map(|v| v * strength)
        };
        let (from, to) = (shape(index), shape(index + 1.0));
        let t = smooth(0.1, 0.9, at - index);
        std::array::from_fn(|k| from[k] + (to[k] - from[k]) * t)
    }

    /// How far the lids are shut by blinks, which come every two to six seconds and last a fifth of
    /// one.
    fn blink(self, time_secs: f32) -> f32 {
        const EVERY_SECS: f32 = 4.0;
        let near = (time_secs / EVERY_SECS).floor().max(0.0);
        let mut shut = 0.0f32;
        for number in [near - 1.0, near, near + 1.0]
            .into_iter()
            .filter(|n| *n >= 0.0)
        {
            let mut rng = Rng::stream(self.seed, "blink", number as u64);
            let start = (number + rng.range(0.0, 0.7)) * EVERY_SECS;
            let since = time_secs - start;
            shut = shut.max(smooth(0.0, 0.07, since) * smooth(0.24, 0.11, since));
        }
        shut
    }

    /// Where the eyes rest: they jump, then hold, never longer than half a second or so.
    fn fixation(self, time_secs: f32) -> [f32; 2] {
        const HOLD_SECS: f32 = 0.55;
        let at = (time_secs / HOLD_SECS).max(0.0);
        let index = at.floor();
        let place = |i: f32| -> [f32; 2] {
            let mut rng = Rng::stream(self.seed, "gaze", i as u64);
            // Two of three times at the camera's side of things.
            let wide = if rng.chance(0.66) { 0.12 } else { 0.42 };
            [rng.range(-wide, wide), rng.range(-0.45 * wide, 0.45 * wide)]
        };
        let (from, to) = (place(index - 1.0), place(index));
        let t = smooth(0.0, 0.05, (at - index) * HOLD_SECS);
        std::array::from_fn(|k| from[k] + (to[k] - from[k]) * t)
    }

    fn act(self, time_secs: f32, moment: &mut Moment) {
        let over = |purpose: &str, step, from| self.over(purpose, time_secs, step, from);
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
        let [jaw, pucker, funnel, upper, lower, stretch] = self.mouth(time_secs);
        let smile = over("smile", 1.9, 0.45);
        let gape = over("gape", 2.6, 0.85);
        set("eyeBlink", self.blink(time_secs));
        set("eyeWide", 0.7 * over("wide", 1.7, 0.7));
        set("eyeSquint", 0.5 * over("squint", 1.9, 0.65) + 0.25 * smile);
        set("mouthSmile", 0.85 * smile);
        set("cheekSquint", 0.5 * smile);
        set("mouthDimple", 0.3 * smile);
        set("jawOpen", jaw + 0.6 * gape);
        set("mouthPucker", pucker * (1.0 - smile));
        set("mouthFunnel", funnel * (1.0 - 0.5 * smile));
        set("mouthUpperUp", upper + 0.3 * smile * jaw);
        set("mouthLowerDown", lower);
        set("mouthStretch", stretch + 0.3 * over("stretch", 2.2, 0.75));
        set("mouthFrown", 0.6 * over("frown", 2.1, 0.7) * (1.0 - smile));
        set("mouthPress", 0.5 * over("press", 2.3, 0.75) * (1.0 - jaw));
        set("browInnerUp", 0.8 * over("brow up", 1.3, 0.55));
        set("browOuterUp", 0.8 * over("brow out", 1.5, 0.6));
        set("browDown", 0.8 * over("brow down", 1.6, 0.62));
        set("noseSneer", 0.5 * over("sneer", 2.3, 0.78));
        set("cheekPuff", 0.5 * over("puff", 3.1, 0.86));
    }

    fn look(self, time_secs: f32, moment: &mut Moment) {
        let swing = |purpose: &str, step| self.swing(purpose, time_secs, step);
        moment.turn_rad = [
            0.5 * swing("yaw", 1.6) + 0.14 * swing("yaw quick", 0.5),
            0.2 * swing("pitch", 1.3) + 0.05 * swing("nod", 0.45),
            0.13 * swing("roll", 1.7),
        ];
        let [x, y] = self.fixation(time_secs);
        // Eyes lead the head and come part of the way back when it turns.
        moment.gaze_rad = [x - 0.35 * moment.turn_rad[0], y - 0.3 * moment.turn_rad[1]];
    }

    /// Light, camera and backdrop, which stay for a performance; some lights dim and brighten slowly.
    fn stage(self, time_secs: f32, moment: &mut Moment) {
        let mut rng = Rng::stream(self.seed, "light", 0);
        let warm = rng.range(-0.16, 0.16);
        let power = rng.range(0.55, 1.05);
        let tint = |warm: f32, k: f32| [k * (1.0 + warm), k, k * (1.0 - warm)];
        let changes = if rng.chance(0.25) { 0.25 } else { 0.0 };
        let power = power * (1.0 + changes * self.swing("dimming", time_secs, 2.5));
        let round = rng.range(-1.1, 1.1);
        moment.lights[0] = (unit([round, rng.range(0.15, 0.95), 0.9]), tint(warm, power));
        // The fill comes from the other side, now and then as a rim from behind.
        let from_behind = rng.chance(0.3);
        let depth = if from_behind { -0.6 } else { 0.5 };
        moment.lights[1] = (
            unit([
                -round.signum() * rng.range(0.5, 1.1),
                rng.range(0.0, 0.5),
                depth,
            ]),
            tint(rng.range(-0.2, 0.2), rng.range(0.12, 0.45)),
        );
        moment.ambient = tint(0.5 * warm, rng.range(0.2, 0.42));
        let grey = rng.range(0.06, 0.4);
        moment.backdrop = Backdrop {
            colour: std::array::from_fn(|_| grey * rng.range(0.75, 1.25)),
            seed: self.seed | 1,
        };
        let mut rng = Rng::stream(self.seed, "camera", 0);
        moment.camera = Camera {
            distance_dm: rng.range(8.0, 16.0),
            view_dm: rng.range(2.8, 4.0),
            shift_dm: [rng.range(-0.35, 0.35), rng.range(-0.2, 0.15)],
        };
    }
}

/// A performance with something that comes before the face and goes again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Played {
    performance: Performance,
    kind: OccluderKind,
}

impl Played {
    /// The instant `time_secs` after the start.
    pub fn at(self, time_secs: f32) -> Moment {
        let mut moment = self.performance.at(time_secs);
        let seed = self.performance.seed;
        let mut rng = Rng::stream(seed, "occluder", 0);
        let colour = match self.kind {
            OccluderKind::Hand => {
                let tone = rng.range(0.12, 0.6);
                [tone, 0.62 * tone, 0.45 * tone]
            }
            _ => [rng.range(0.01, 0.12); 3],
        };
        let aside = if rng.chance(0.5) { 1.0 } else { -1.0 };
        // In for about half of the time.
        let out = 1.0 - smooth(0.35, 0.6, walk(seed, "occluder", time_secs, 1.2));
        moment.occluder = Some(Occluder {
            kind: self.kind,
            colour,
            place_dm: match self.kind {
                OccluderKind::Glasses => [0.0, 0.0],
                OccluderKind::Hand => [aside * (0.25 + 1.6 * out), rng.range(-0.5, 0.1)],
                OccluderKind::Microphone => [aside * 0.12, -0.55 - 1.5 * out],
            },
            turn_rad: aside * rng.range(0.1, 0.7),
        });
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
        for step in 0..400 {
            let at = step as f32 * 0.04;
            let (a, b) = (one.at(at), one.at(at + 0.001));
            assert!(a.units.iter().all(|w| (0.0..=1.0).contains(w)));
            assert!((a.turn_rad[0] - b.turn_rad[0]).abs() < 0.01);
            assert!((0.0..=1.0).contains(&one.loudness(at)));
        }
    }

    #[test]
    fn people_blink_talk_and_look_about() {
        let blink = FACE_UNITS
            .iter()
            .position(|u| *u == "eyeBlinkLeft")
            .unwrap();
        let jaw = FACE_UNITS.iter().position(|u| *u == "jawOpen").unwrap();
        let (mut shut, mut open, mut quiet, mut jumps) = (0, 0, 0, 0);
        let frames = 60 * 25;
        let mut before = Performance { seed: 9 }.at(0.0);
        for frame in 1..frames {
            let now = Performance { seed: 9 }.at(frame as f32 / 25.0);
            shut += u32::from(now.units[blink] > 0.5 && before.units[blink] <= 0.5);
            open += u32::from(now.units[jaw] > 0.25);
            quiet += u32::from(now.units[jaw] < 0.02);
            jumps += u32::from((now.gaze_rad[0] - before.gaze_rad[0]).abs() > 0.08);
            before = now;
        }
        assert!((10..=25).contains(&shut), "{shut} blinks in a minute");
        assert!(open > 200 && quiet > 200, "open {open}, quiet {quiet}");
        assert!(jumps > 15, "{jumps} jumps of the eyes");
    }

    #[test]
    fn what_covers_the_face_comes_and_goes() {
        let hand = Performance { seed: 3 }.with_occluder(OccluderKind::Hand);
        let places: Vec<f32> = (0..200)
            .map(|i| hand.at(i as f32 * 0.1).occluder.unwrap().place_dm[0].abs())
            .collect();
        assert!(places.iter().any(|x| *x < 0.4) && places.iter().any(|x| *x > 1.5));
    }
}
