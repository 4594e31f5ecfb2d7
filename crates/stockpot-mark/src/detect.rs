//! Looks for a mark in a picture or in the frames of a clip.
//!
//! What may be the mark is summed over the frames: the mark lies in the same place in all of them,
//! the picture mostly does not. Frames may be missing, doubled or out of order. Start with
//! [`Detector`]; the search itself is in `search`.

use rayon::prelude::*;
use stockpot_core::{Image, Size};

use crate::embed::Depth;
use crate::residual::{self, Plane};
use crate::{Error, MarkId, search};

/// Shortest side of a picture that is searched, in px.
pub const MIN_SEARCHED_PX: u32 = 64;
/// Longest side of a picture that is searched, in px.
pub const MAX_SEARCHED_PX: u32 = 16_384;
/// Larger pictures are made smaller by a whole factor before the search.
const LONGEST_PX: u32 = 2048;

/// What was found in a picture or a clip.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Verdict {
    /// The mark, if there is one whose checksum is right.
    pub found: Option<Found>,
    /// Frames looked at.
    pub frames: u64,
}

/// A mark.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Found {
    /// The id that it carries.
    pub id: MarkId,
    /// How clearly it stands out: the correlation of all its waves with what was seen, in standard
    /// deviations of what chance gives. About 8 at the limit of reading, 22 at most. A word about
    /// how much happened to the picture; what makes the mark sure is its checksum.
    pub score: f32,
    /// Frames that were summed for it.
    pub frames: u64,
    /// Width of a tile as found over its width in the marked frame, in per cent: 50 after halving.
    /// Frames with a shorter side above 1440 px have tiles of twice the width and count double.
    pub scale_percent: f32,
    /// Whether the picture was mirrored.
    pub mirrored: bool,
}

/// Looks for one mark in frames of one size.
///
/// # Example
/// ```
/// use stockpot_core::{Rgb8, Size};
/// use stockpot_mark::Detector;
///
/// let mut detector = Detector::new();
/// detector.push(&Rgb8::new(Size::new(640, 480)))?;
/// assert_eq!(detector.finish().found, None);
/// # Ok::<(), stockpot_mark::Error>(())
/// ```
#[derive(Default)]
pub struct Detector {
    sum: Option<(Size, Plane)>,
    frames: u64,
}

impl Detector {
    /// That has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a frame: 8 or 16 bits a channel, RGB, gamma-encoded, full range. Takes about 4 bytes a
    /// pixel for as long as the detector lives.
    ///
    /// # Errors
    /// [`Error::TooSmallToSearch`], [`Error::TooLarge`], or [`Error::SizeChanged`] if it is not of
    /// the first frame's size. The frame is left out then, and the detector can be used further.
    pub fn push<T: Depth>(&mut self, frame: &Image<T, 3>) -> Result<(), Error> {
        let size = frame.size();
        if size.width.min(size.height) < MIN_SEARCHED_PX {
            return Err(Error::TooSmallToSearch {
                size,
                min_px: MIN_SEARCHED_PX,
            });
        }
        if size.width.max(size.height) > MAX_SEARCHED_PX {
            return Err(Error::TooLarge {
                size,
                max_px: MAX_SEARCHED_PX,
            });
        }
        match &mut self.sum {
            None => {
                let factor = residual::factor(size, LONGEST_PX);
                self.sum = Some((size, residual::of(frame, factor)));
            }
            Some((wanted, _)) if *wanted != size => {
                return Err(Error::SizeChanged {
                    wanted: *wanted,
                    found: size,
                });
            }
            Some((_, sum)) => {
                let factor = residual::factor(size, LONGEST_PX);
                let more = residual::of(frame, factor);
                sum.data
                    .par_iter_mut()
                    .zip(&more.data)
                    .for_each(|(sum, more)| *sum += more);
            }
        }
        self.frames += 1;
        Ok(())
    }

    /// Frames added so far.
    pub fn frames(&self) -> u64 {
        self.frames
    }

    /// Searches what was added. Takes seconds for a large picture.
    pub fn finish(self) -> Verdict {
        let frames = self.frames;
        let found = self.sum.and_then(|(size, sum)| {
            let factor = residual::factor(size, LONGEST_PX);
            let hit = search::search(&sum)?;
            Some(Found {
                id: hit.id,
                score: hit.score,
                frames,
                scale_percent: hit.period_px * factor as f32 / search::TILE_PX * 100.0,
                mirrored: hit.mirrored,
            })
        });
        Verdict { found, frames }
    }
}
