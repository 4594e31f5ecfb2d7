//! Does a swap show the person wanted, or still the one filmed? Beside the loss, which cannot tell:
//! held-out faces are drawn as somebody else, and dlib's network says whom they look like.

use std::sync::Arc;

use serde::Serialize;
use stockpot_core::image::unit_to_u8;
use stockpot_core::{FaceLandmarks, PersonName, Rgb8, Size};
use stockpot_faces::{Embedder, Embedding, FaceModels};
use stockpot_faceset::{FaceCache, Faceset, HeldOut, SamplerSettings, Split, ops};
use stockpot_train::Trainer;
use stockpot_train::run::{BoxError, Probe};

use crate::context::Context;
use crate::error::JobError;

/// Faces of a person that are drawn.
const FACES: usize = 6;
/// Persons whose faces are drawn, the first of a run.
const PERSONS: usize = 4;

/// How much the faces of one person, drawn as another, look like either: medians of dlib's
/// distance, 0 the same, about 0.6 and more somebody else.
#[derive(Debug, Clone, Serialize)]
pub struct Likeness {
    /// Whose held-out faces.
    pub filmed: PersonName,
    /// Whose decoder.
    pub drawn_as: PersonName,
    /// Distance to the median identity of the person drawn.
    pub to_drawn: f64,
    /// Distance to the median identity of the person filmed.
    pub to_filmed: f64,
}

/// Faces to draw, and whom they may look like.
struct Case {
    filmed: (PersonName, Embedding),
    drawn_as: (PersonName, Embedding),
    input: Vec<f32>,
    landmarks: Vec<FaceLandmarks>,
}

/// Measures while a run goes on.
pub(super) struct LikenessProbe {
    embedder: Embedder,
    cases: Vec<Case>,
    pub(super) last: Vec<Likeness>,
}

/// A person with faces prepared and, if it is known, an identity.
pub(super) struct Known {
    faceset: Faceset,
    cache: Arc<FaceCache>,
    identity: Option<Embedding>,
}

impl Known {
    pub(super) fn new(faceset: Faceset, cache: Arc<FaceCache>) -> Self {
        let identity = ops::median_embedding(&faceset).and_then(|m| m.try_into().ok());
        Self {
            faceset,
            cache,
            identity: identity.map(Embedding),
        }
    }

    fn person(&self) -> &PersonName {
        self.cache.person()
    }
}

/// What measures a run's likeness; `None` where it cannot be, or for one person alone.
pub(super) fn probe(
    ctx: &Context,
    known: &[Known],
    sampler: &SamplerSettings,
) -> Result<Option<LikenessProbe>, JobError> {
    if known.iter().filter(|k| k.identity.is_some()).count() < 2 {
        return Ok(None);
    }
    match FaceModels::load(&ctx.models_dir) {
        Ok(models) => {
            let probe = LikenessProbe::new(models.embedder, known, sampler)?;
            Ok((!probe.cases.is_empty()).then_some(probe))
        }
        Err(e) => {
            ctx.info(format!("Whom swapped faces look like is not measured: {e}"));
            Ok(None)
        }
    }
}

impl LikenessProbe {
    /// Everybody drawn as the next one. Who has no held-out faces or no identity is left out.
    fn new(
        embedder: Embedder,
        known: &[Known],
        sampler: &SamplerSettings,
    ) -> Result<Self, JobError> {
        let mut cases = Vec::new();
        let round = known.iter().cycle().skip(1);
        for (filmed, drawn_as) in known.iter().zip(round).take(PERSONS) {
            let (Some(is), Some(wanted)) = (filmed.identity, drawn_as.identity) else {
                continue;
            };
            let held_out = filmed.cache.count(Split::HeldOut) > 0;
            if filmed.person() == drawn_as.person() || !held_out {
                continue;
            }
            let (input, landmarks) = faces(filmed, sampler)?;
            cases.push(Case {
                filmed: (filmed.person().clone(), is),
                drawn_as: (drawn_as.person().clone(), wanted),
                input,
                landmarks,
            });
        }
        Ok(Self {
            embedder,
            cases,
            last: Vec::new(),
        })
    }
}

/// Some held-out faces, `[FACES, side, side, 3]`, and their landmarks in pixels of those.
fn faces(
    of: &Known,
    sampler: &SamplerSettings,
) -> Result<(Vec<f32>, Vec<FaceLandmarks>), JobError> {
    let held_out = HeldOut::new(of.cache.clone(), Split::HeldOut, sampler)?;
    let count = FACES.min(held_out.len());
    let map = of.cache.area().net_from_face(of.cache.resolution());
    let (mut input, mut landmarks) = (Vec::new(), Vec::new());
    for i in 0..count {
        let index = (2 * i + 1) * held_out.len() / (2 * count);
        input.extend(held_out.batch(index, 1)?.input);
        let record = &of.faceset.records()[of.cache.record_of(held_out.face_of(index))];
        let points = (0..record.landmarks.len()).map(|l| {
            let at = map.apply(record.landmark(l));
            [at.x as f32, at.y as f32, 0.0]
        });
        let found = FaceLandmarks::new(points.collect());
        landmarks.push(found.map_err(|e| JobError::failed(e.to_string()))?);
    }
    Ok((input, landmarks))
}

impl Probe for LikenessProbe {
    fn measure(&mut self, trainer: &mut Trainer) -> Result<Vec<(String, f64)>, BoxError> {
        let (side, channels) = (trainer.side(), trainer.channels());
        self.last.clear();
        for case in &self.cases {
            let drawn = trainer.draw(&case.drawn_as.0, &case.input)?;
            let (mut to_drawn, mut to_filmed) = (Vec::new(), Vec::new());
            let pictures = drawn.chunks_exact(side * side * channels);
            for (picture, landmarks) in pictures.zip(&case.landmarks) {
                let rgb = picture
                    .chunks_exact(channels)
                    .flat_map(|p| [p[0], p[1], p[2]].map(unit_to_u8));
                let picture = Rgb8::from_vec(Size::square(side as u32), rgb.collect())?;
                let found = self.embedder.embed(&picture, landmarks)?;
                to_drawn.push(f64::from(found.distance(&case.drawn_as.1)));
                to_filmed.push(f64::from(found.distance(&case.filmed.1)));
            }
            self.last.push(Likeness {
                filmed: case.filmed.0.clone(),
                drawn_as: case.drawn_as.0.clone(),
                to_drawn: median(&mut to_drawn),
                to_filmed: median(&mut to_filmed),
            });
        }
        let named = |l: &Likeness| {
            let to = |whom: &str| format!("likeness/{}-as-{}/to-{whom}", l.filmed, l.drawn_as);
            [(to("drawn"), l.to_drawn), (to("filmed"), l.to_filmed)]
        };
        Ok(self.last.iter().flat_map(named).collect())
    }
}

/// The middle of some numbers, at least one.
fn median(values: &mut [f64]) -> f64 {
    let middle = values.len() / 2;
    *values.select_nth_unstable_by(middle, f64::total_cmp).1
}
