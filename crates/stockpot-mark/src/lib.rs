//! An invisible mark in the pixels of every output, and its detector.
//!
//! The mark carries the id of a seal, 48 bits, so that content credentials that were stripped off
//! can be found again. It needs no download, no original and no secret: whoever has this crate can
//! look for it, and whoever wants to can remove it. It says where a picture comes from; it proves
//! nothing (that is what the signature in the credentials is for).
//!
//! [`Marker`] adds a tile of middle-frequency luminance that repeats over the frame, stronger where
//! the picture is busy. [`Detector`] finds the tile again in a picture or a clip that was
//! compressed, scaled (0.4 to 1.6), cropped, mirrored, bordered or re-timed. Turning it by some
//! degrees is not undone, and an even black frame carries nothing.
//!
//! # False alarms
//! A verdict needs a checksum of 24 bits to be right. A search makes 11 readings at most, and each
//! passes by chance with 2^-24 whatever the picture is like, so a picture or clip without a mark
//! gives one with a probability of 11 / 2^24 = 6.6e-7 at most. The same bound holds for a wrong id
//! in a marked picture.
//!
//! Pure: values in, values out; no files, clocks or globals. Results do not depend on the number
//! of threads. What the numbers mean is written in `docs/formats/mark.md`; what the mark withstands
//! is measured by the example `mark_strength`.

mod code;
mod detect;
mod embed;
mod error;
mod fft;
mod id;
mod layout;
mod residual;
mod search;

pub use detect::{Detector, Found, MAX_SEARCHED_PX, MIN_SEARCHED_PX, Verdict};
pub use embed::{Depth, MIN_MARKED_PX, Marker};
pub use error::Error;
pub use id::MarkId;
