//! Frames into a video file, with the source's timing, colour tags, rotation and other tracks.
//!
//! Two steps. While frames come, they are encoded into `NAME.video.part` beside the output. At the
//! end [`crate::mux`] joins that with the source's other tracks into `NAME.part`, which is handed out
//! and gets its name where it is sealed. Both part files vanish when they are dropped. The price is the encoded video twice on disk
//! for a moment; what it buys is that the source is parsed in the worker only, and that a track can
//! be cut to the frames that were really written.
//!
//! Rotation: where the container has a display matrix (mp4, mov), the pixels are turned back and
//! the source's matrix is written, so that the output replaces its source in any edit. Elsewhere
//! (mkv) the pixels are written upright. Players show the same either way.

use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::format::context::Output;
use ffmpeg_next::{Dictionary, Packet, Rational, codec, encoder, format};
use stockpot_core::{Size, TimeBase, Unsealed};

use crate::convert::{self, FromRgb, Trouble};
use crate::info::{FrameRate, SourceKind};
use crate::mux::{self, Container, Plan, write_error};
use crate::settings::{OutputCodec, OutputSettings};
use crate::{
    Error, FramePixels, MediaInfo, Opener, Orientation, VideoFrame, Warning, colours, ffi,
    isolated, probe,
};

/// For sources that do not tell their rate. Only the level in the stream's header depends on it.
const UNKNOWN_RATE: FrameRate = FrameRate { num: 25, den: 1 };

/// A video being written.
pub struct VideoWriter {
    target: PathBuf,
    part: Unsealed,
    video_part: Unsealed,
    source: MediaInfo,
    settings: OutputSettings,
    opener: Opener,
    container: Container,
    stored_as: Orientation,
    encoding: Encoding,
    warnings: Vec<Warning>,
    span: Option<Span>,
}

/// A whole video that has no name yet: `stockpot-provenance` gives it one.
#[derive(Debug)]
pub struct Written {
    /// The video, for now.
    pub part: Unsealed,
    /// Where it is to stand.
    pub target: PathBuf,
    /// Frames in it.
    pub frames: u64,
    /// What is not as in the source.
    pub warnings: Vec<Warning>,
}

/// Times of the frames so far, in the source's ticks.
#[derive(Clone, Copy)]
struct Span {
    first: i64,
    last: i64,
    last_duration: Option<i64>,
    frames: u64,
}

impl VideoWriter {
    /// Begins the video `path` (mp4, m4v, mov or mkv) out of frames of `source`, whose other tracks
    /// are copied. The source is parsed again by `opener` when the video is finished.
    ///
    /// # Errors
    /// [`Error`] for another ending, a setting out of range, a folder that cannot be written, or an
    /// encoder that is not installed.
    pub fn create(
        path: &Path,
        source: &MediaInfo,
        settings: &OutputSettings,
        opener: &Opener,
    ) -> Result<Self, Error> {
        settings.validate()?;
        let container = Container::of(path)?;
        probe::check_size(&source.path, source.video.size)?;
        check_base(source.video.time_base)?;
        if is_same_file(path, &source.path) {
            return Err(Error::BadSetting {
                name: "output".into(),
                value: path.display().to_string(),
                accepted: "any name but the source's own".into(),
            });
        }
        ffi::init();
        let stored_as = if container.is_iso() {
            source.video.orientation
        } else {
            Orientation::UPRIGHT
        };
        let video_part = part_file(path, ".video.part")?;
        let part = part_file(path, ".part")?;
        let mut warnings = Vec::new();
        let encoding = Encoding::open(
            video_part.path(),
            source,
            settings,
            stored_as,
            &mut warnings,
        )?;
        Ok(Self {
            target: path.into(),
            part,
            video_part,
            source: source.clone(),
            settings: settings.clone(),
            opener: opener.clone(),
            container,
            stored_as,
            encoding,
            warnings,
            span: None,
        })
    }

    /// Adds a frame: upright, of the source's size and depth, later than the one before.
    ///
    /// # Errors
    /// [`Error::WrongFrame`] if it is none of the source, [`Error::DiskFull`], or an encoder's.
    pub fn write(&mut self, frame: VideoFrame) -> Result<(), Error> {
        let ticks = frame.pts.ticks;
        self.check(&frame)?;
        let first = self.span.map_or(ticks, |s| s.first);
        let back = self.stored_as.inverse();
        let pixels = match frame.pixels {
            FramePixels::Rgb8(picture) => FramePixels::Rgb8(back.turn(picture)),
            FramePixels::Rgb16(picture) => FramePixels::Rgb16(back.turn(picture)),
        };
        self.encoding.encode(frame.index, &pixels, ticks - first)?;
        self.span = Some(Span {
            first,
            last: ticks,
            last_duration: frame.duration_ticks,
            frames: self.span.map_or(0, |s| s.frames) + 1,
        });
        Ok(())
    }

    fn check(&self, frame: &VideoFrame) -> Result<(), Error> {
        let wrong = |wanted: String, found: String| Error::WrongFrame {
            index: frame.index,
            wanted,
            found,
        };
        let video = &self.source.video;
        if frame.pixels.size() != video.size {
            let (wanted, found) = (video.size, frame.pixels.size());
            return Err(wrong(wanted.to_string(), found.to_string()));
        }
        let bits = match frame.pixels {
            FramePixels::Rgb8(_) => 8,
            FramePixels::Rgb16(_) => 16,
        };
        let wanted_bits = if video.bit_depth > 8 { 16 } else { 8 };
        if bits != wanted_bits {
            return Err(wrong(format!("{wanted_bits} bits"), format!("{bits} bits")));
        }
        if frame.pts.base != video.time_base {
            let show = |b: TimeBase| format!("a time base of {}/{}", b.num, b.den);
            return Err(wrong(show(video.time_base), show(frame.pts.base)));
        }
        match self.span {
            Some(span) if frame.pts.ticks <= span.last => Err(wrong(
                format!("a time after {} ticks", span.last),
                format!("{} ticks", frame.pts.ticks),
            )),
            _ => Ok(()),
        }
    }

    /// Ends the video, adds the other tracks, and hands it out without a name.
    ///
    /// # Errors
    /// [`Error::NoFrames`], [`Error::DiskFull`], or what happens when the source is read again.
    /// Nothing then is left of it.
    pub fn finish(self) -> Result<Written, Error> {
        let Self {
            target,
            part,
            video_part,
            source,
            settings,
            opener,
            container,
            stored_as,
            encoding,
            mut warnings,
            span,
        } = self;
        let Some(span) = span else {
            return Err(Error::NoFrames { path: target });
        };
        let usual = encoding.usual_ticks;
        encoding.finish()?;
        let plan = Plan {
            video: video_part.path().to_owned(),
            source: (source.kind == SourceKind::Video).then(|| source.path.clone()),
            source_stream: source.video.stream,
            output: part.path().to_owned(),
            container,
            base: source.video.time_base,
            first: span.first,
            end: span.last + span.last_duration.unwrap_or(usual),
            extent: settings.extent,
            keep_matrix: container.is_iso() && stored_as == source.video.orientation,
        };
        warnings.extend(match &opener {
            Opener::Here => mux::run(&plan)?,
            Opener::Worker(program) => isolated::mux(program, &plan)?,
        });
        drop(video_part);
        Ok(Written {
            part,
            target,
            frames: span.frames,
            warnings,
        })
    }
}

/// The encoder and the file its packets go to.
struct Encoding {
    output: Output,
    encoder: encoder::Video,
    converter: FromRgb,
    path: PathBuf,
    base: Rational,
    /// How long a frame lasts at the average rate.
    usual_ticks: i64,
}

/// Which encoder, and the pixel format it is given.
struct Choice {
    encoder: &'static str,
    format: Pixel,
    default_crf: u8,
}

impl Choice {
    fn of(codec: OutputCodec, depth: u8) -> Self {
        let deep = depth > 8;
        let format = if deep {
            Pixel::YUV420P10LE
        } else {
            Pixel::YUV420P
        };
        match (codec, deep) {
            (OutputCodec::H264, _) | (OutputCodec::Auto, false) => Self {
                encoder: "libx264",
                format,
                default_crf: 16,
            },
            (OutputCodec::Hevc, _) | (OutputCodec::Auto, true) => Self {
                encoder: "libx265",
                format,
                default_crf: 18,
            },
        }
    }
}

impl Encoding {
    fn open(
        path: &Path,
        source: &MediaInfo,
        settings: &OutputSettings,
        stored_as: Orientation,
        warnings: &mut Vec<Warning>,
    ) -> Result<Self, Error> {
        let video = &source.video;
        let choice = Choice::of(settings.codec, video.bit_depth);
        let stored = stored_as.inverse().turn_size(video.size);
        let padded = convert::even(stored);
        tell_changes(source, stored, padded, warnings);
        let refused = |e: ffmpeg::Error| Error::Codec {
            action: format!("start the encoder {}", choice.encoder),
            reason: e.to_string(),
            path: path.into(),
        };
        let found = encoder::find_by_name(choice.encoder).ok_or_else(|| Error::EncoderMissing {
            encoder: choice.encoder.into(),
        })?;
        let base = Rational::new(video.time_base.num, video.time_base.den);
        let rate = video.frame_rate.unwrap_or(UNKNOWN_RATE);
        let colour = colours::output_tags(video.colour, stored.height);
        let mut context = codec::Context::new_with_codec(found)
            .encoder()
            .video()
            .map_err(refused)?;
        context.set_width(padded.width);
        context.set_height(padded.height);
        context.set_format(choice.format);
        context.set_time_base(base);
        // Without it x264 takes one over the time base for the rate and writes a level that
        // hardware decoders refuse.
        context.set_frame_rate(Some(Rational::new(rate.num, rate.den)));
        context.set_aspect_ratio(stored_aspect(
            video.pixel_aspect,
            video.orientation,
            stored_as,
        ));
        context.set_flags(codec::Flags::GLOBAL_HEADER);
        ffi::set_colour(&mut context, colour);
        let options = encoder_options(&choice, settings, video.is_constant_rate);
        let encoder = context.open_as_with(found, options).map_err(refused)?;
        let output = open_intermediate(path, &encoder, base)?;
        let yuv = colours::yuv_kind(colour, stored.height);
        let converter = FromRgb::new(stored, video.bit_depth > 8, choice.format, yuv)
            .map_err(|trouble| trouble_error(trouble, 0, path))?;
        let ticks = i64::from(base.denominator()) * i64::from(rate.den);
        let per_tick = i64::from(base.numerator()) * i64::from(rate.num);
        Ok(Self {
            output,
            encoder,
            converter,
            path: path.into(),
            base,
            usual_ticks: (ticks / per_tick.max(1)).max(1),
        })
    }

    fn encode(&mut self, index: u64, pixels: &FramePixels, ticks: i64) -> Result<(), Error> {
        let mut frame = self
            .converter
            .convert(pixels)
            .map_err(|trouble| trouble_error(trouble, index, &self.path))?;
        frame.set_pts(Some(ticks));
        self.encoder.send_frame(&frame).map_err(|e| Error::Codec {
            action: format!("encode frame {index}"),
            reason: e.to_string(),
            path: self.path.clone(),
        })?;
        self.store_packets()
    }

    fn finish(mut self) -> Result<(), Error> {
        self.encoder.send_eof().map_err(|e| Error::Codec {
            action: "end the video".into(),
            reason: e.to_string(),
            path: self.path.clone(),
        })?;
        self.store_packets()?;
        self.output
            .write_trailer()
            .map_err(|e| write_error("write", &self.path, e))
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
                Err(e) => {
                    return Err(Error::Codec {
                        action: "encode".into(),
                        reason: e.to_string(),
                        path: self.path.clone(),
                    });
                }
            }
            let stream = self.output.stream(0).map(|s| s.time_base());
            packet.rescale_ts(self.base, stream.unwrap_or(self.base));
            packet.set_stream(0);
            packet
                .write_interleaved(&mut self.output)
                .map_err(|e| write_error("write", &self.path, e))?;
        }
    }
}

/// Warns of everything that cannot be as in the source.
fn tell_changes(source: &MediaInfo, stored: Size, padded: Size, warnings: &mut Vec<Warning>) {
    let video = &source.video;
    if padded != stored {
        warnings.push(Warning::PaddedToEven {
            from: stored,
            to: padded,
        });
    }
    if video.bit_depth > 10 {
        warnings.push(Warning::DepthReduced {
            from: video.bit_depth,
            to: 10,
        });
    }
    let fine = ["422", "444", "440", "411"];
    if fine.iter().any(|f| video.pixel_format.contains(f)) {
        warnings.push(Warning::ChromaReduced {
            pixel_format: video.pixel_format.clone(),
        });
    }
    if source.kind == SourceKind::Video && video.colour.matrix == 0 {
        warnings.push(Warning::MatrixTagChanged);
    }
}

/// Width to height of a pixel as it is stored now: turned if upright pixels are stored instead of
/// the source's.
fn stored_aspect(aspect: (i32, i32), source: Orientation, stored_as: Orientation) -> Rational {
    if (source.quarter_turns + stored_as.quarter_turns) % 2 == 1 {
        Rational::new(aspect.1, aspect.0)
    } else {
        Rational::new(aspect.0, aspect.1)
    }
}

fn encoder_options<'a>(
    choice: &Choice,
    settings: &OutputSettings,
    is_constant_rate: bool,
) -> Dictionary<'a> {
    let mut options = Dictionary::new();
    options.set("preset", settings.preset.name());
    let crf = settings.crf.unwrap_or(choice.default_crf);
    options.set("crf", &crf.to_string());
    if choice.encoder == "libx264" && is_constant_rate {
        // Else the stream's own header gives one over the time base for the rate, and readers that
        // take a packet's duration from there (ffprobe does) find none.
        options.set("x264-params", "force-cfr=1");
    }
    if choice.encoder == "libx265" {
        // It writes to stderr by itself.
        options.set("x265-params", "log-level=none");
    }
    options
}

/// A QuickTime file with only the video in it, in the source's unit of time.
fn open_intermediate(
    path: &Path,
    encoder: &encoder::video::Encoder,
    base: Rational,
) -> Result<Output, Error> {
    let failed = |e: ffmpeg::Error| write_error("write", path, e);
    let url = ffi::file_url(path).ok_or_else(|| Error::NameNotUtf8 { path: path.into() })?;
    let mut output = format::output_as(&url, Container::QuickTime.muxer()).map_err(failed)?;
    let mut stream = output.add_stream_with(encoder).map_err(failed)?;
    stream.set_time_base(base);
    let mut options = Dictionary::new();
    options.set("video_track_timescale", &base.denominator().to_string());
    output
        .write_header_with(options)
        .map(|_unused_options| ())
        .map_err(failed)?;
    Ok(output)
}

fn trouble_error(trouble: Trouble, index: u64, path: &Path) -> Error {
    Error::Codec {
        action: format!("convert the colours of frame {index}"),
        reason: match trouble {
            Trouble::Changed => "its size or depth is another".into(),
            Trouble::Refused(reason) => reason,
        },
        path: path.into(),
    }
}

fn check_base(base: TimeBase) -> Result<(), Error> {
    if base.num > 0 && base.den > 0 {
        return Ok(());
    }
    Err(Error::BadSetting {
        name: "time base".into(),
        value: format!("{}/{}", base.num, base.den),
        accepted: "a positive fraction".into(),
    })
}

fn is_same_file(a: &Path, b: &Path) -> bool {
    // A path that does not exist yet is not the source.
    matches!((a.canonicalize(), b.canonicalize()), (Ok(a), Ok(b)) if a == b)
}

/// A file beside the output that is removed when it is dropped, made now so that a folder that cannot
/// be written is told in clear words.
pub(crate) fn part_file(target: &Path, suffix: &str) -> Result<Unsealed, Error> {
    Unsealed::create(target, suffix).map_err(|e| Error::io("create", target, &e))
}
