//! The vocabulary that every room of stockpot speaks: spaces and transforms, pictures, landmarks,
//! colour and time, ids, random numbers, progress.
//!
//! Pure values in, values out; only [`picture`] touches files, because pictures on disk are the
//! one codec that several rooms need, and [`unsealed`], which every output passes through. Knows nothing of networks, videos or libraries.
//! Start with [`space`] (where points live) and [`image`] (what pixels are).

pub mod colour;
pub mod event;
pub mod face;
pub mod html;
pub mod id;
pub mod image;
pub mod picture;
pub mod rng;
pub mod space;
pub mod time;
pub mod unsealed;
pub mod warp;

pub use colour::ColourTags;
pub use event::{CancelToken, Progress, ProgressSink};
pub use face::{Area, FaceLandmarks, Pose};
pub use id::{ContentHash, PersonName};
pub use image::{Gray8, GrayF32, Image, Rgb8, Rgb16, RgbF32, Size};
pub use rng::Rng;
pub use space::{Affine, Face, Frame, Net, Point, Space};
pub use time::{TimeBase, Timestamp};
pub use unsealed::Unsealed;
