//! The invisible mark: into every frame that a swap writes, and out of any file.
//!
//! It carries the number of the seal, so that credentials that were stripped off can be found
//! again. Knows nothing of faces or networks. Start with [`Marking`]; [`look`] reads.

use std::path::Path;

use rayon::prelude::*;
use serde::Serialize;
use stockpot_core::{Rgb8, Size};
use stockpot_mark::{Detector, MIN_MARKED_PX, MarkId, Marker};
use stockpot_media::{FramePixels, VideoFrame};
use stockpot_provenance::{Mark, SealId};

use crate::context::Context;
use crate::error::JobError;

/// The name of the way the mark is written, as it stands in credentials (`docs/formats/mark.md`).
const ALGORITHM: &str = "org.stockpot.mark.1";
/// Frames of a video that are searched: three seconds of film add up to more than a reading needs.
const FRAMES_SEARCHED: u64 = 72;

/// Marks frames with the number of a seal.
pub(crate) struct Marking {
    marker: Marker,
}

impl Marking {
    pub(crate) fn new(seal: SealId) -> Self {
        Self {
            marker: Marker::new(MarkId::new(seal.bytes())),
        }
    }

    /// Marks all of these that are large enough, in parallel.
    pub(crate) fn frames(&self, frames: &mut [VideoFrame]) -> Result<(), JobError> {
        frames.par_iter_mut().try_for_each(|frame| {
            if fits(frame.pixels.size()) {
                match &mut frame.pixels {
                    FramePixels::Rgb8(pixels) => self.marker.apply(pixels)?,
                    FramePixels::Rgb16(pixels) => self.marker.apply(pixels)?,
                }
            }
            Ok(())
        })
    }

    /// Marks a picture that is large enough.
    pub(crate) fn picture(&self, picture: &mut Rgb8) -> Result<(), JobError> {
        if fits(picture.size()) {
            self.marker.apply(picture)?;
        }
        Ok(())
    }
}

/// Whether a frame of this size can carry the mark.
pub(crate) fn fits(size: Size) -> bool {
    size.width.min(size.height) >= MIN_MARKED_PX
}

/// What credentials say of the mark in frames of this size; nothing where they are too small.
pub(crate) fn told(seal: SealId, size: Size) -> Option<Mark> {
    fits(size).then(|| Mark {
        algorithm: ALGORITHM.into(),
        value: seal.to_string(),
    })
}

/// What the user is told where frames of this size carry no mark.
pub(crate) fn remark(size: Size) -> Option<String> {
    (!fits(size)).then(|| {
        format!(
            "Frames of {size} are too small for the invisible mark, which needs {MIN_MARKED_PX} px a \
             side; the credentials say that there is none"
        )
    })
}

/// A mark that was found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MarkNote {
    /// The number of the seal that it carries: 12 hexadecimal digits.
    pub seal: String,
    /// Frames that were searched together.
    pub frames: u64,
    /// How clearly it stands out, in standard deviations of chance: about 8 at the limit of
    /// reading, 22 at most.
    pub score: f32,
    /// Size of what was found against what was marked, in per cent: 50 after halving.
    pub scale_percent: f32,
    /// Whether the picture was mirrored since.
    pub mirrored: bool,
}

/// Looks for a mark in the first seconds of a video, or in a picture.
///
/// # Errors
/// If the file cannot be decoded, its frames are too small or too large to be searched, or the user
/// stopped.
pub(crate) fn look(ctx: &Context, path: &Path) -> Result<Option<MarkNote>, JobError> {
    let mut source = ctx.opener().open(path, 0..FRAMES_SEARCHED)?;
    let mut detector = Detector::new();
    while let Some(frame) = source.next_frame()? {
        ctx.check_cancel()?;
        match &frame.pixels {
            FramePixels::Rgb8(pixels) => detector.push(pixels)?,
            FramePixels::Rgb16(pixels) => detector.push(pixels)?,
        }
    }
    Ok(detector.finish().found.map(|found| MarkNote {
        seal: found.id.to_string(),
        frames: found.frames,
        score: found.score,
        scale_percent: found.scale_percent,
        mirrored: found.mirrored,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_name_a_mark_only_where_there_is_one() {
        let seal = SealId::new([1, 2, 3, 4, 5, 0xff]);
        let (small, large) = (Size::new(640, 127), Size::new(128, 640));
        assert_eq!(told(seal, small), None);
        assert!(remark(small).is_some_and(|r| r.contains("640x127")));
        assert_eq!(told(seal, large).map(|m| m.value), Some(seal.to_string()));
        assert_eq!(remark(large), None);
        // What cannot carry it stays as it is; what can is changed.
        let marking = Marking::new(seal);
        for (size, changed) in [(small, false), (large, true)] {
            let plain = Rgb8::from_vec(size, vec![120; size.pixels() * 3]).unwrap();
            let mut marked = plain.clone();
            marking.picture(&mut marked).unwrap();
            assert_eq!(marked != plain, changed, "{size}");
        }
    }
}
