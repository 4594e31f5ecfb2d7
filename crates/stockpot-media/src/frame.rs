//! A frame: upright pixels and the source's own time.

use stockpot_core::{Rgb8, Rgb16, Size, Timestamp};

/// One frame of a source.
#[derive(Debug, Clone, PartialEq)]
pub struct VideoFrame {
    /// Its place in the source, counted in the order of showing, from 0. Frames that cannot be
    /// decoded have no number in a video, and leave a gap in a folder of pictures.
    pub index: u64,
    /// When it is shown, in the source's own ticks.
    pub pts: Timestamp,
    /// How long it is shown, in ticks of `pts.base`: until the next frame; for the last one, what
    /// the container says; `None` if it does not.
    pub duration_ticks: Option<i64>,
    /// Upright pixels.
    pub pixels: FramePixels,
}

/// Pixels of a frame: gamma-encoded as in the source, RGB, full range.
#[derive(Debug, Clone, PartialEq)]
pub enum FramePixels {
    /// From sources of up to 8 bits a channel.
    Rgb8(Rgb8),
    /// From deeper sources, spread over all 16 bits.
    Rgb16(Rgb16),
}

impl FramePixels {
    /// Width and height.
    pub fn size(&self) -> Size {
        match self {
            Self::Rgb8(picture) => picture.size(),
            Self::Rgb16(picture) => picture.size(),
        }
    }

    /// In 8 bits, for everything that only looks (finding faces, previews).
    pub fn to_rgb8(&self) -> Rgb8 {
        match self {
            Self::Rgb8(picture) => picture.clone(),
            Self::Rgb16(picture) => picture.to_rgb8(),
        }
    }
}
