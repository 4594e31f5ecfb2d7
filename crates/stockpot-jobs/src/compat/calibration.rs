//! The calibration faces: made-up strangers on which encoder states are compared. Nobody's photos,
//! always the same ones, so that codes made today and next year belong to the same faces.
//!
//! Whoever can draw them implements [`CalibrationSource`]; the jobs only see pixels.

use stockpot_core::{Area, ContentHash};

use crate::context::Context;
use crate::error::JobError;

/// Aligned faces as an encoder sees them.
#[derive(Debug, Clone, PartialEq)]
pub struct CalibrationFaces {
    /// The square of the face that is shown.
    pub area: Area,
    /// Side in pixels.
    pub resolution: u32,
    /// `[faces, R, R, 3]`, RGB. Faces of one stranger lie together.
    pub rgb: Vec<u8>,
    /// The hash of `rgb`: what a passport calls these faces.
    pub hash: ContentHash,
}

impl CalibrationFaces {
    /// Names the faces by their pixels.
    ///
    /// # Errors
    /// If the pixels do not come out even, or there are none.
    pub fn new(area: Area, resolution: u32, rgb: Vec<u8>) -> Result<Self, JobError> {
        let each = 3 * (resolution as usize).pow(2);
        if each == 0 || rgb.is_empty() || !rgb.len().is_multiple_of(each) {
            return Err(JobError::failed(format!(
                "{} bytes are no faces of {resolution} px",
                rgb.len()
            )));
        }
        Ok(Self {
            area,
            resolution,
            hash: stockpot_library::hash_of(&rgb),
            rgb,
        })
    }

    /// How many.
    pub fn count(&self) -> usize {
        self.rgb.len() / self.face_len()
    }

    fn face_len(&self) -> usize {
        3 * (self.resolution as usize).pow(2)
    }

    /// Every `step`-th face as `[R, R, 3]`, 0 to 1.
    pub fn pictures(&self, step: usize) -> impl Iterator<Item = Vec<f32>> + '_ {
        let faces = self.rgb.chunks_exact(self.face_len()).step_by(step.max(1));
        faces.map(|face| face.iter().map(|v| f32::from(*v) / 255.0).collect())
    }
}

/// Draws the calibration faces, or has them already.
pub trait CalibrationSource: Send + Sync {
    /// The faces at a resolution; the same pixels at each call.
    ///
    /// # Errors
    /// If they cannot be drawn, with what is missing, or the user stopped.
    fn faces(
        &self,
        ctx: &Context,
        area: Area,
        resolution: u32,
    ) -> Result<CalibrationFaces, JobError>;

    /// Whether they are there without being drawn first, which takes minutes.
    ///
    /// # Errors
    /// As [`CalibrationSource::faces`].
    fn at_hand(&self, ctx: &Context, area: Area, resolution: u32) -> Result<bool, JobError>;
}
