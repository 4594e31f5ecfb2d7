//! Video and pictures, in and out: probe, decode, encode, carry the other tracks over.
//!
//! The only room that knows codecs, and the only home of libav: none of its types show in a
//! public signature. It knows nothing of faces, networks or libraries.
//!
//! Start with [`Opener`], which opens a source either here or, for files nobody vouches for, in a
//! child process; then [`FrameSource`] (frames out of it) [`VideoWriter`] (frames into a file)
//! and [`ClipWriter`] (a file from nothing).
//!
//! Two rules hold everywhere. Frames are handed out **upright**: the rotation of a phone video is
//! applied on decode, and taken back on encode where the container can carry the tag
//! ([`VideoWriter`]). Times are the source's own integer ticks, never a frame number over a rate.

mod clip;
mod colours;
mod completeness;
mod convert;
mod error;
mod ffi;
mod frame;
mod info;
mod isolated;
mod mux;
mod orientation;
mod pictures;
mod pipe;
mod probe;
mod reader;
mod settings;
mod source;
pub mod worker;
mod writer;
mod yuv;

pub use clip::ClipWriter;
pub use error::{Error, Warning};
pub use frame::{FramePixels, VideoFrame};
pub use info::{FrameRate, MediaInfo, SourceKind, Track, TrackKind, VideoInfo};
pub use orientation::Orientation;
pub use pictures::pictures_in;
pub use settings::{Extent, OutputCodec, OutputSettings, Preset};
pub use source::{
    ALL_FRAMES, FrameSource, Opener, open_direct, open_isolated, probe, probe_isolated,
};
pub use writer::{VideoWriter, Written};
