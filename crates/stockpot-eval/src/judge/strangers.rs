//! The people the judge learns from: nobody of them is ever tested. Draws them, finds them by the
//! ordinary path, and keeps what was truly played beside what is seen.

use rayon::prelude::*;
use stockpot_core::face::FaceLandmarks;
use stockpot_core::image::{Rgb8, Size};
use stockpot_core::rng::Rng;
use stockpot_core::warp::resize;
use stockpot_faces::{Detection, FaceModels, Roi, TrackSettings};
use stockpot_synth::assets::{FACE_UNITS, HeadData};
use stockpot_synth::{Moment, Person, draw};

use super::Error;
use super::features::{self, Features};
use crate::sets::{Cast, Group, Use};

/// What was played, as the judge is asked for it.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Played(pub [f32; Played::COUNT]);

impl Played {
    /// How many numbers.
    pub const COUNT: usize = 8;
    /// Their names, in order.
    pub const NAMES: [&str; Self::COUNT] = [
        "yaw", "pitch", "roll", "gaze x", "gaze y", "lids", "mouth", "smile",
    ];

    /// Reads a moment: angles in radians, the others from 0 to 1 (lids 1 is open).
    pub fn of(moment: &Moment) -> Self {
        let unit = |name: &str| {
            let at = FACE_UNITS.iter().position(|u| *u == name);
            at.map_or(0.0, |i| moment.units[i])
        };
        let both = |left: &str, right: &str| 0.5 * (unit(left) + unit(right));
        let [yaw, pitch, roll] = moment.turn_rad;
        Self([
            yaw,
            pitch,
            roll,
            moment.gaze_rad[0],
            moment.gaze_rad[1],
            1.0 - both("eyeBlinkLeft", "eyeBlinkRight"),
            unit("jawOpen"),
            both("mouthSmileLeft", "mouthSmileRight"),
        ])
    }
}

/// One look at a stranger.
#[derive(Debug, Clone)]
pub struct Sample {
    /// Number of the stranger, from 0.
    pub person: usize,
    /// What is seen.
    pub features: Features,
    /// What was played.
    pub played: Played,
}

/// How many of them, how large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Crowd {
    /// Strangers.
    pub people: usize,
    /// Pictures of each.
    pub each: usize,
    /// Side of the drawn picture.
    pub side: u32,
}

/// Finds the largest face of a picture as extraction does; nothing if there is none.
///
/// # Errors
/// Those of the face models.
pub fn find_face(models: &mut FaceModels, frame: &Rgb8) -> Result<Option<FaceLandmarks>, Error> {
    let Some(found) = largest(models, frame) else {
        return Ok(None);
    };
    let mesh = models
        .landmarker
        .look_closer(frame, &Roi::from_detection(&found), 3)?;
    Ok((mesh.logit > 0.0).then_some(mesh.landmarks))
}

/// The largest face the detector finds.
pub fn largest(models: &mut FaceModels, frame: &Rgb8) -> Option<Detection> {
    let area = |b: &[f64; 4]| (b[2] - b[0]) * (b[3] - b[1]);
    let min_score = TrackSettings::default().min_detection_score;
    let all = models.detector.detect(frame, min_score).into_iter();
    all.max_by(|a, b| area(&a.bounds).total_cmp(&area(&b.bounds)))
}

/// A moment for learning: a performance's, often with an eye, a mouth or a smile that performances
/// show rarely, so that all of their range is learned.
fn moment(cast: Cast, place: u64) -> Moment {
    let mut rng = Rng::stream(cast.seed, "judge moment", place);
    let performance = cast.performance(Use::Strangers, rng.next_u64());
    let mut moment = performance.at(rng.range(0.0, 20.0));
    let mut widen = |name: &str, chance: f32| {
        let (change, value) = (rng.chance(chance), rng.unit());
        if change {
            for (unit, weight) in FACE_UNITS.iter().zip(&mut moment.units) {
                if unit
                    .strip_prefix(name)
                    .is_some_and(|end| ["", "Left", "Right"].contains(&end))
                {
                    *weight = value;
                }
            }
        }
    };
    widen("eyeBlink", 0.4);
    widen("jawOpen", 0.3);
    widen("mouthSmile", 0.3);
    moment
}

/// Draws a crowd and looks at it. Pictures in which no face is found are left out.
///
/// Half of the pictures are shrunk and enlarged again, by up to a half: a swap is less sharp than a
/// drawing, and how sharp a face is must tell nothing.
///
/// # Errors
/// Those of drawing and of the face models.
pub fn meet(
    data: &HeadData,
    models: &FaceModels,
    cast: Cast,
    crowd: Crowd,
) -> Result<Vec<Sample>, Error> {
    let people: Vec<Vec<Sample>> = (0..crowd.people)
        .into_par_iter()
        .map_init(
            || models.clone(),
            |models, index| {
                let person = Person::new(data, cast.person(Group::Strangers, index as u64));
                let mut samples = Vec::new();
                for k in 0..crowd.each {
                    let place = (index * crowd.each + k) as u64;
                    let moment = moment(cast, place);
                    let drawn = draw(data, &person, &moment, Size::square(crowd.side))?;
                    let mut rng = Rng::stream(cast.seed, "judge blur", place);
                    let frame = blurred(&drawn.rgb, &mut rng);
                    let Some(landmarks) = find_face(models, &frame)? else {
                        continue;
                    };
                    samples.push(Sample {
                        person: index,
                        features: features::read(&frame, &landmarks)?,
                        played: Played::of(&moment),
                    });
                }
                Ok::<_, Error>(samples)
            },
        )
        .collect::<Result<_, _>>()?;
    Ok(people.into_iter().flatten().collect())
}

fn blurred(frame: &Rgb8, rng: &mut Rng) -> Rgb8 {
    if rng.chance(0.5) {
        return frame.clone();
    }
    let scale = rng.range(0.5, 1.0);
    let side = |s: u32| ((s as f32 * scale) as u32).max(16);
    let size = frame.size();
    let small = resize(frame, Size::new(side(size.width), side(size.height)));
    resize(&small, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_played_is_read_from_the_moment() {
        let mut moment = Moment::neutral();
        moment.turn_rad = [0.1, 0.2, 0.3];
        moment.gaze_rad = [0.4, 0.5];
        for (unit, weight) in FACE_UNITS.iter().zip(&mut moment.units) {
            *weight = match *unit {
                "eyeBlinkLeft" => 0.5,
                "jawOpen" => 0.25,
                "mouthSmileRight" => 1.0,
                _ => 0.0,
            };
        }
        let wanted = [0.1, 0.2, 0.3, 0.4, 0.5, 0.75, 0.25, 0.5];
        assert_eq!(Played::of(&moment).0, wanted);
    }

    #[test]
    fn lessons_repeat_and_reach_far() {
        let cast = Cast { seed: 1 };
        assert_eq!(moment(cast, 7), moment(cast, 7));
        assert_ne!(moment(cast, 7), moment(cast, 8));
        let shut = (0..300)
            .filter(|i| Played::of(&moment(cast, *i)).0[5] < 0.4)
            .count();
        assert!((30..150).contains(&shut), "{shut}");
    }
}
