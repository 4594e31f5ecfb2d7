//! What is known of a source before its first frame is decoded. Plain values, sent over the pipe.

use std::fmt;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};
use stockpot_core::{ColourTags, Size, TimeBase};

use crate::Orientation;

/// A source of frames and the tracks beside them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MediaInfo {
    /// Where it is.
    pub path: PathBuf,
    /// Video, folder of pictures, or one picture.
    pub kind: SourceKind,
    /// libav's name of the container (`mov,mp4,m4a,3gp,3g2,mj2`), or `pictures`.
    pub container: String,
    /// The video stream that frames come from.
    pub video: VideoInfo,
    /// Every other stream, in the file's order.
    pub tracks: Vec<Track>,
}

/// What a source is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SourceKind {
    /// A file that libav reads.
    Video,
    /// A folder of PNG and JPEG files in natural order.
    PictureFolder,
    /// One PNG or JPEG file.
    Picture,
}

/// The video stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct VideoInfo {
    /// Stream number in the file.
    pub stream: usize,
    /// libav's name of the codec, or `picture`.
    pub codec: String,
    /// libav's name of the pixel format, as stored.
    pub pixel_format: String,
    /// Upright size, as frames are handed out. In a folder, that of the first picture.
    pub size: Size,
    /// How the stored picture is turned to become upright.
    pub orientation: Orientation,
    /// Width to height of a stored pixel, (1, 1) if square or unknown.
    pub pixel_aspect: (i32, i32),
    /// Bits a channel, as stored. Above 8, frames come as 16 bits.
    pub bit_depth: u8,
    /// Colour tags as the file has them.
    pub colour: ColourTags,
    /// Average rate over the whole stream, if the file tells.
    pub frame_rate: Option<FrameRate>,
    /// Whether every frame is shown for the same time, as far as the file tells.
    pub is_constant_rate: bool,
    /// Unit of every frame time.
    pub time_base: TimeBase,
    /// Length in ticks of `time_base`, if the file tells.
    pub duration_ticks: Option<i64>,
    /// Number of frames, if the file tells. A promise of the container, not a count.
    pub frame_count: Option<u64>,
}

/// Frames a second, as a fraction.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FrameRate {
    /// Frames.
    pub num: i32,
    /// Seconds, greater than zero.
    pub den: i32,
}

/// A stream beside the video.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Track {
    /// Stream number in the file.
    pub stream: usize,
    /// What it is.
    pub kind: TrackKind,
    /// libav's name of the codec.
    pub codec: String,
    /// ISO 639 code, if the file tells.
    pub language: Option<String>,
    /// Its title, if it has one.
    pub title: Option<String>,
    /// Whether players choose it by themselves.
    pub default: bool,
}

/// What a track holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum TrackKind {
    /// Sound.
    Audio,
    /// Subtitles.
    Subtitle,
    /// A second video or a cover picture.
    Video,
    /// A file inside the file, such as a font.
    Attachment,
    /// Anything else, such as timecode or camera data.
    Data,
}

impl VideoInfo {
    /// Length in seconds, for people.
    pub fn duration_secs(&self) -> Option<f64> {
        let base = self.time_base;
        self.duration_ticks
            .map(|ticks| stockpot_core::Timestamp { ticks, base }.secs())
    }
}

impl FrameRate {
    /// Frames a second, for people.
    pub fn fps(self) -> f64 {
        f64::from(self.num) / f64::from(self.den.max(1))
    }
}

impl fmt::Display for TrackKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Audio => "audio",
            Self::Subtitle => "subtitles",
            Self::Video => "video",
            Self::Attachment => "attachment",
            Self::Data => "data",
        })
    }
}
