//! A new video out of pictures and sound that we made ourselves: no source stands behind it.
//!
//! The same encoder, muxer and part files as [`crate::VideoWriter`], which is told that the
//! other tracks come from a sound file of our own. Start with [`ClipWriter`].

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::context::Output;
use ffmpeg_next::{ChannelLayout, Packet, Rational, codec, encoder, format, frame};
use stockpot_core::image::{Rgb8, Size};
use stockpot_core::{ColourTags, TimeBase, Timestamp, Unsealed};

use crate::info::{FrameRate, MediaInfo, SourceKind, VideoInfo};
use crate::mux::{Container, write_error};
use crate::writer::part_file;
use crate::{
    Error, FramePixels, Opener, Orientation, OutputSettings, VideoFrame, VideoWriter, Written, ffi,
};

/// Stands for a source that has no video stream.
const NO_STREAM: usize = usize::MAX;
/// Bits a second of the sound: speech in one channel is clear at half of it.
const SOUND_BITS_PER_SEC: usize = 96_000;

/// A video being made from nothing.
pub struct ClipWriter {
    video: VideoWriter,
    sound: Option<Sound>,
    base: TimeBase,
    frames: u64,
}

impl ClipWriter {
    /// Begins the video `path` (mp4, m4v, mov or mkv) with `rate` frames a second, and a sound track
    /// of one channel if `sound_rate` gives its samples a second.
    ///
    /// # Errors
    /// [`Error`] for another ending, a setting out of range, a folder that cannot be written, or an
    /// encoder that is not installed.
    pub fn create(
        path: &Path,
        size: Size,
        rate: FrameRate,
        sound_rate: Option<u32>,
        settings: &OutputSettings,
    ) -> Result<Self, Error> {
        ffi::init();
        let base = TimeBase {
            num: rate.den,
            den: rate.num,
        };
        let sound = sound_rate
            .map(|hertz| Sound::create(path, hertz))
            .transpose()?;
        let (source, kind) = match &sound {
            Some(sound) => (sound.part.path().to_owned(), SourceKind::Video),
            None => (PathBuf::new(), SourceKind::PictureFolder),
        };
        let info = MediaInfo {
            path: source,
            kind,
            container: "made here".into(),
            video: VideoInfo {
                stream: NO_STREAM,
                codec: "picture".into(),
                pixel_format: "rgb24".into(),
                size,
                orientation: Orientation::UPRIGHT,
                pixel_aspect: (1, 1),
                bit_depth: 8,
                // BT.709, limited range, as for any new video.
                colour: ColourTags {
                    primaries: 1,
                    transfer: 1,
                    matrix: 1,
                    full_range: Some(false),
                },
                frame_rate: Some(rate),
                is_constant_rate: true,
                time_base: base,
                duration_ticks: None,
                frame_count: None,
            },
            tracks: Vec::new(),
        };
        Ok(Self {
            video: VideoWriter::create(path, &info, settings, &Opener::Here)?,
            sound,
            base,
            frames: 0,
        })
    }

    /// Adds a picture.
    ///
    /// # Errors
    /// [`Error::WrongFrame`] for another size, [`Error::DiskFull`], or an encoder's.
    pub fn write(&mut self, picture: Rgb8) -> Result<(), Error> {
        let frame = VideoFrame {
            index: self.frames,
            pts: Timestamp {
                ticks: self.frames as i64,
                base: self.base,
            },
            duration_ticks: Some(1),
            pixels: FramePixels::Rgb8(picture),
        };
        self.frames += 1;
        self.video.write(frame)
    }

    /// Adds sound, −1 to 1. Nothing happens without a sound track.
    ///
    /// # Errors
    /// [`Error::DiskFull`], or an encoder's.
    pub fn write_sound(&mut self, samples: &[f32]) -> Result<(), Error> {
        match &mut self.sound {
            Some(sound) => sound.write(samples),
            None => Ok(()),
        }
    }

    /// Ends the video and hands it out without a name.
    ///
    /// # Errors
    /// [`Error::NoFrames`], [`Error::DiskFull`]; nothing then is left of it.
    pub fn finish(self) -> Result<Written, Error> {
        // The file must live until the video is joined with it.
        let _part = self.sound.map(Sound::finish).transpose()?;
        self.video.finish()
    }
}

/// A sound file beside the video, taken away when that is done.
struct Sound {
    part: Unsealed,
    output: Output,
    encoder: encoder::Audio,
    hertz: u32,
    /// Samples that do not fill a packet yet.
    waiting: Vec<f32>,
    sent: i64,
}

impl Sound {
    fn create(target: &Path, hertz: u32) -> Result<Self, Error> {
        let part = part_file(target, ".sound.part")?;
        let path = part.path();
        let refused = |e: ffmpeg::Error| Error::Codec {
            action: "start the encoder aac".into(),
            reason: e.to_string(),
            path: path.into(),
        };
        let found = encoder::find(codec::Id::AAC).ok_or_else(|| Error::EncoderMissing {
            encoder: "aac".into(),
        })?;
        let mut context = codec::Context::new_with_codec(found)
            .encoder()
            .audio()
            .map_err(refused)?;
        let rate = i32::try_from(hertz).unwrap_or(i32::MAX);
        context.set_rate(rate);
        context.set_channel_layout(ChannelLayout::MONO);
        context.set_format(format::Sample::F32(format::sample::Type::Planar));
        context.set_bit_rate(SOUND_BITS_PER_SEC);
        context.set_time_base(Rational::new(1, rate));
        context.set_flags(codec::Flags::GLOBAL_HEADER);
        let encoder = context.open_as(found).map_err(refused)?;
        let url = ffi::file_url(path).ok_or_else(|| Error::NameNotUtf8 { path: path.into() })?;
        let failed = |e: ffmpeg::Error| write_error("write", path, e);
        let mut output = format::output_as(&url, Container::Mp4.muxer()).map_err(failed)?;
        let mut stream = output.add_stream_with(&encoder).map_err(failed)?;
        stream.set_time_base(Rational::new(1, rate));
        output.write_header().map_err(failed)?;
        Ok(Self {
            part,
            output,
            encoder,
            hertz,
            waiting: Vec::new(),
            sent: 0,
        })
    }

    fn write(&mut self, samples: &[f32]) -> Result<(), Error> {
        self.waiting.extend_from_slice(samples);
        let size = (self.encoder.frame_size() as usize).max(1);
        let whole = self.waiting.len() / size * size;
        let rest = self.waiting.split_off(whole);
        let full = std::mem::replace(&mut self.waiting, rest);
        full.chunks_exact(size).try_for_each(|s| self.encode(s))
    }

    fn encode(&mut self, samples: &[f32]) -> Result<(), Error> {
        let format = format::Sample::F32(format::sample::Type::Planar);
        let mut block = frame::Audio::new(format, samples.len(), ChannelLayout::MONO);
        block.set_rate(self.hertz);
        block.set_pts(Some(self.sent));
        block.plane_mut::<f32>(0).copy_from_slice(samples);
        self.sent += samples.len() as i64;
        self.encoder
            .send_frame(&block)
            .map_err(|e| self.failed("encode the sound", e))?;
        self.store_packets()
    }

    fn failed(&self, action: &str, e: ffmpeg::Error) -> Error {
        Error::Codec {
            action: action.into(),
            reason: e.to_string(),
            path: self.part.path().into(),
        }
    }

    fn store_packets(&mut self) -> Result<(), Error> {
        loop {
            let mut packet = Packet::empty();
            match self.encoder.receive_packet(&mut packet) {
                Ok(()) => {}
                Err(
                    ffmpeg::Error::Eof
                    | ffmpeg::Error::Other {
                        errno: ffmpeg::error::EAGAIN,
                    },
                ) => return Ok(()),
                Err(e) => return Err(self.failed("encode the sound", e)),
            }
            let base = Rational::new(1, i32::try_from(self.hertz).unwrap_or(i32::MAX));
            let stream = self.output.stream(0).map(|s| s.time_base());
            packet.rescale_ts(base, stream.unwrap_or(base));
            packet.set_stream(0);
            packet
                .write_interleaved(&mut self.output)
                .map_err(|e| write_error("write", self.part.path(), e))?;
        }
    }

    /// Gives the whole file back, which is removed when dropped.
    fn finish(mut self) -> Result<Unsealed, Error> {
        let rest = std::mem::take(&mut self.waiting);
        if !rest.is_empty() {
            self.encode(&rest)?;
        }
        self.encoder
            .send_eof()
            .map_err(|e| self.failed("end the sound", e))?;
        self.store_packets()?;
        self.output
            .write_trailer()
            .map_err(|e| write_error("write", self.part.path(), e))?;
        Ok(self.part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{ALL_FRAMES, TrackKind};

    #[test]
    fn a_clip_is_made_with_and_without_sound() {
        let dir = tempfile::tempdir().unwrap();
        let rate = FrameRate { num: 25, den: 1 };
        for hertz in [None, Some(24_000)] {
            let path = dir.path().join("clip.mp4");
            let size = Size::new(64, 48);
            let settings = OutputSettings::default();
            let mut clip = ClipWriter::create(&path, size, rate, hertz, &settings).unwrap();
            for frame in 0..30u8 {
                let grey = vec![frame * 8; size.pixels() * 3];
                clip.write(Rgb8::from_vec(size, grey).unwrap()).unwrap();
                let tone = |i: u32| 0.3 * (i as f32 * 0.1).sin();
                clip.write_sound(&(0..960).map(tone).collect::<Vec<_>>())
                    .unwrap();
            }
            let written = clip.finish().unwrap();
            assert_eq!(written.frames, 30);
            let made = written.part.path();
            let info = Opener::Here.probe(made).unwrap();
            assert_eq!(info.video.size, size);
            assert_eq!(info.video.colour.matrix, 1);
            assert_eq!(info.tracks.len(), usize::from(hertz.is_some()));
            assert!(info.tracks.iter().all(|t| t.kind == TrackKind::Audio));
            let frames = Opener::Here.open(made, ALL_FRAMES).unwrap();
            let frames: Vec<VideoFrame> = frames.map(Result::unwrap).collect();
            assert_eq!(frames.len(), 30);
            let FramePixels::Rgb8(last) = &frames[29].pixels else {
                unreachable!("8 bits were written");
            };
            assert!(last.pixel(20, 20)[0].abs_diff(232) < 4);
            // Nothing but the clip is left.
            assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
        }
    }

    #[test]
    fn a_clip_that_is_given_up_leaves_nothing() {
        let dir = tempfile::tempdir().unwrap();
        let rate = FrameRate { num: 25, den: 1 };
        let settings = OutputSettings::default();
        let path = dir.path().join("clip.mp4");
        let size = Size::square(32);
        let clip = ClipWriter::create(&path, size, rate, Some(16_000), &settings).unwrap();
        drop(clip);
        let clip = ClipWriter::create(&path, size, rate, Some(16_000), &settings).unwrap();
        assert!(matches!(clip.finish(), Err(Error::NoFrames { .. })));
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0);
    }
}
