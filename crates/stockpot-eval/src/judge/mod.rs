//! The judge of T8: who is seen, and what is played, learned from drawn strangers only.
//!
//! It reads a face the way the product does (detector, FaceMesh, alignment), so the truth and a swap
//! are cut alike, and it never sees a person who is tested: strangers are a group of their own
//! ([`crate::sets::Group::Strangers`]). Everything follows from the seed, whatever the number of threads.
//! Classical means were taken because they are trained in seconds and have no runs that go wrong:
//! edge histograms, discriminant analysis, kernel ridge regression. Start with [`Judge`].

pub mod algebra;
pub mod features;
pub mod identity;
pub mod ridge;
pub mod strangers;

use stockpot_core::face::FaceLandmarks;
use stockpot_core::image::Rgb8;
use stockpot_core::space::Singular;
use stockpot_faces::FaceModels;
use stockpot_synth::assets::HeadData;

use features::{Block, Features};
use identity::Identity;
use ridge::{Recipe, Ridge};
use stockpot_jobs::JobError;
pub use strangers::{Crowd, Played, find_face};

use crate::sets::Cast;

/// What can go wrong while judging.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// A stranger could not be drawn.
    #[error(transparent)]
    Draw(#[from] stockpot_synth::Error),
    /// A face model failed.
    #[error(transparent)]
    Faces(#[from] stockpot_faces::Error),
    /// Landmarks that cannot be aligned.
    #[error(transparent)]
    Landmarks(#[from] Singular),
    /// Too few strangers with a face that was found.
    #[error(
        "The judge needs faces of at least 10 strangers to learn from, found {faces} faces of {people}"
    )]
    TooFew {
        /// Faces that were found.
        faces: usize,
        /// Strangers they are of.
        people: usize,
    },
}

impl From<Error> for JobError {
    fn from(error: Error) -> Self {
        match error {
            Error::Faces(e) => e.into(),
            other => Self::failed(format!("The judge cannot judge: {other}")),
        }
    }
}

/// Which numbers of [`Played`] are learned together, and from what.
const LESSONS: [(&[usize], Recipe); 4] = [
    (&[0, 1, 2], &[(Block::Shape, 1.0), (Block::Whole, 0.5)]),
    (&[3, 4], &[(Block::Eyes, 1.0), (Block::Shape, 0.2)]),
    (&[5], &[(Block::Eyes, 1.0), (Block::Shape, 0.4)]),
    (
        &[6, 7],
        &[
            (Block::Mouth, 1.0),
            (Block::Shape, 1.0),
            (Block::Inner, 0.5),
            (Block::Whole, 0.5),
        ],
    ),
];

/// What the judge says of a face.
#[derive(Debug, Clone, PartialEq)]
pub struct Verdict {
    /// Who: a unit vector, see [`identity::nearest`].
    pub identity: Vec<f64>,
    /// What is played.
    pub played: Played,
}

/// A trained judge.
#[derive(Debug, Clone)]
pub struct Judge {
    samples: Vec<Features>,
    identity: Identity,
    lessons: Vec<Ridge>,
}

impl Judge {
    /// The crowd it usually learns from.
    pub const CROWD: Crowd = Crowd {
        people: 120,
        each: 12,
        side: 176,
    };

    /// Draws strangers and learns from them.
    ///
    /// # Errors
    /// Those of drawing and of the face models; [`Error::TooFew`].
    pub fn train(
        data: &HeadData,
        models: &FaceModels,
        cast: Cast,
        crowd: Crowd,
    ) -> Result<Self, Error> {
        let samples = strangers::meet(data, models, cast, crowd)?;
        Self::learn(&samples)
    }

    /// Learns from samples.
    ///
    /// # Errors
    /// [`Error::TooFew`].
    pub fn learn(samples: &[strangers::Sample]) -> Result<Self, Error> {
        let people: Vec<usize> = samples.iter().map(|s| s.person).collect();
        let features: Vec<&Features> = samples.iter().map(|s| &s.features).collect();
        let mut met = people.clone();
        met.dedup();
        let too_few = || Error::TooFew {
            faces: samples.len(),
            people: met.len(),
        };
        if met.len() < 10 {
            return Err(too_few());
        }
        let lessons = LESSONS.iter().map(|(which, recipe)| {
            let targets: Vec<Vec<f64>> = samples
                .iter()
                .map(|s| which.iter().map(|i| f64::from(s.played.0[*i])).collect())
                .collect();
            Ridge::train(recipe, &features, &people, &targets).ok_or_else(too_few)
        });
        Ok(Self {
            lessons: lessons.collect::<Result<_, _>>()?,
            identity: Identity::train(&features, &people).ok_or_else(too_few)?,
            samples: samples.iter().map(|s| s.features.clone()).collect(),
        })
    }

    /// Looks at a face.
    ///
    /// # Errors
    /// [`Error::Landmarks`] if it cannot be aligned.
    pub fn look(&self, frame: &Rgb8, landmarks: &FaceLandmarks) -> Result<Verdict, Error> {
        Ok(self.judge(&features::read(frame, landmarks)?))
    }

    /// Judges a face that was read.
    pub fn judge(&self, face: &Features) -> Verdict {
        let samples: Vec<&Features> = self.samples.iter().collect();
        let mut played = Played([0.0; Played::COUNT]);
        for ((which, _), lesson) in LESSONS.iter().zip(&self.lessons) {
            for (i, value) in which.iter().zip(lesson.ask(&samples, face)) {
                played.0[*i] = value as f32;
            }
        }
        Verdict {
            identity: self.identity.of(face),
            played,
        }
    }
}
