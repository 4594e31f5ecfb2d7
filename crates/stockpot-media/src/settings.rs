//! How an output is written. Plain values; the doors fill them in.

use serde::{Deserialize, Serialize};

use crate::Error;

/// How a video is encoded and what comes with it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutputSettings {
    /// Which codec. Default: by the source's depth.
    pub codec: OutputCodec,
    /// Quality: 0 (lossless or nearly) to 51 (worst), smaller is better and larger on disk.
    /// Default 16 for H.264 and 18 for HEVC: differences from the source are not seen in motion.
    pub crf: Option<u8>,
    /// Time spent for a smaller file. Default [`Preset::Veryfast`]: the network is the slow part,
    /// and at these qualities a slower preset saves disk, not faces.
    pub preset: Preset,
    /// Whether the whole source was converted. Default [`Extent::Whole`].
    pub extent: Extent,
}

impl Default for OutputSettings {
    fn default() -> Self {
        Self {
            codec: OutputCodec::Auto,
            crf: None,
            preset: Preset::Veryfast,
            extent: Extent::Whole,
        }
    }
}

/// The codec of an output.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OutputCodec {
    /// H.264 for 8-bit sources, HEVC for deeper ones (few players decode 10-bit H.264).
    Auto,
    /// H.264: plays everywhere. High 10 profile for sources deeper than 8 bits.
    H264,
    /// HEVC: smaller, slower. Main 10 profile for sources deeper than 8 bits.
    Hevc,
}

/// Presets of x264 and x265, fastest first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names are those of x264 and x265")]
pub enum Preset {
    Ultrafast,
    Superfast,
    Veryfast,
    Faster,
    Fast,
    Medium,
    Slow,
    Slower,
    Veryslow,
}

/// Whether an output covers its whole source, which decides what happens to the other tracks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Extent {
    /// All of it: every packet of every track, every time as in the source.
    Whole,
    /// A stretch of frames. Of the other tracks, the packets that begin within it (a packet is
    /// some 20 ms of sound); chapters are left out. Times stay those of the source: for pieces
    /// that are put together again.
    Part,
    /// As [`Extent::Part`], but all times are moved so that the first frame is at zero: for a clip
    /// that is watched by itself.
    Clip,
}

impl Preset {
    /// The name x264 and x265 know.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ultrafast => "ultrafast",
            Self::Superfast => "superfast",
            Self::Veryfast => "veryfast",
            Self::Faster => "faster",
            Self::Fast => "fast",
            Self::Medium => "medium",
            Self::Slow => "slow",
            Self::Slower => "slower",
            Self::Veryslow => "veryslow",
        }
    }
}

impl OutputSettings {
    /// Checks the ranges.
    pub(crate) fn validate(&self) -> Result<(), Error> {
        match self.crf {
            Some(crf) if crf > 51 => Err(Error::BadSetting {
                name: "crf".into(),
                value: crf.to_string(),
                accepted: "0 to 51".into(),
            }),
            _ => Ok(()),
        }
    }
}
