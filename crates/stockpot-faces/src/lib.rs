//! Find faces: detect, landmark, track, smooth, recognise, mask.
//!
//! The only home of third-party face models and of the reader that runs them. Knows pictures in
//! memory and a folder of model files; knows nothing of videos, libraries or environment
//! variables. Start with [`FaceModels::load`], then [`FaceTracker`]; after a shot,
//! [`smooth::smooth_track`] and [`identity`].

pub mod detect;
pub mod embed;
mod error;
pub mod identity;
pub mod landmark;
pub mod mask;
pub mod models;
mod ops;
pub mod quality;
mod sample;
pub mod smooth;
pub mod tflite;
pub mod track;

pub use detect::{Detection, Detector};
pub use embed::{Embedder, Embedding};
pub use error::Error;
pub use landmark::{Landmarker, Mesh, Roi};
pub use mask::oval_mask;
pub use models::FaceModels;
pub use quality::{FaceQuality, sharpness};
pub use track::{FaceTracker, TrackId, TrackSettings, TrackedFace, TrackedFrame};
