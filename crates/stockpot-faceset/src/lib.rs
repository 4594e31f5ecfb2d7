//! Aligned faces of one person on disk, and the batches a trainer learns from.
//!
//! The way through: [`FacesetWriter`] puts crops and their records into a folder a person can look
//! at, [`Faceset`] reads them back, [`FaceCache`] decodes them once to training size into a
//! memory-mapped file, [`Sampler`] draws augmented samples from it, and [`Feeder`] keeps whole
//! batches ready ahead of the training step. [`quality`], [`ops`] and [`report`] look after a faceset.
//!
//! Knows nothing of videos, detectors, networks or libraries: a folder and a person's name are
//! passed in. The formats are described in `docs/formats/faceset.md`.

mod augment;
mod cache;
#[cfg(test)]
mod drawn;
mod error;
mod faceset;
mod feeder;
mod hash;
mod index;
pub mod ops;
pub mod quality;
mod record;
pub mod report;
mod resample;
mod sampler;
mod settings;
mod sheet;
mod split;
mod writer;

pub use cache::{CacheBuild, CachedFace, FaceCache, MOST_KEPT, Skipped};
pub use error::Error;
pub use faceset::{Faceset, OpenNote, Source};
pub use feeder::{Batch, Feeder, FeederSettings, FeederWork};
pub use record::{EMBEDDING, FaceRecord, Reason, SourceInfo, Split};
pub use sampler::{HeldOut, PairSampler, SampleOut, Sampler};
pub use settings::{SamplerSettings, WriterSettings};
pub use sheet::contact_sheet;
pub use split::split_by_time;
pub use writer::{CropPicture, FacesetWriter, NewFace, WriteSummary, cut_crop};
