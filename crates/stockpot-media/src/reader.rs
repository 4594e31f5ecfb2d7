//! Frames out of a video file, in this process.
//!
//! One frame is always decoded ahead, because a frame lasts until the next one. Frames before the
//! wanted range are decoded and dropped: seeking would save time, but not every file seeks to the
//! right frame, and the frame numbers must be those of the whole file.

use std::ops::Range;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::codec::{self, threading};
use ffmpeg_next::{Dictionary, Packet, decoder, format, frame};
use stockpot_core::Timestamp;

use crate::completeness::Completeness;
use crate::convert::{ToRgb, Trouble};
use crate::probe::{MAX_PIXELS, Opened};
use crate::{Error, FramePixels, MediaInfo, VideoFrame, Warning, colours, ffi};

/// More decoding threads gain little on the sizes people film, and take memory each.
const MAX_THREADS: usize = 4;

/// After so many damaged pieces, reading stops.
const MAX_DAMAGED: usize = 10_000;
/// Of so many warnings we tell.
const MAX_WARNINGS: usize = 100;

/// A video file, being decoded.
pub(crate) struct VideoReader {
    input: format::context::Input,
    decoder: decoder::Video,
    info: MediaInfo,
    completeness: Completeness,
    warnings: Vec<Warning>,
    converter: Option<ToRgb>,
    range: Range<u64>,
    next_index: u64,
    /// Decoded, not yet handed out.
    ahead: Option<Decoded>,
    /// Number and time of the newest decoded frame.
    decoded: u64,
    last_ticks: Option<i64>,
    /// Decoding time of the last packet given to the decoder.
    last_dts: Option<i64>,
    /// Time of the first frame.
    start_ticks: Option<i64>,
    stage: Stage,
    /// Pieces that could not be read or decoded.
    damaged: usize,
    warned: usize,
    /// Why decoding stopped, to be told after the frames before it.
    failure: Option<Error>,
}

/// A decoded frame with a time that is later than that of the frame before.
struct Decoded {
    frame: frame::Video,
    ticks: i64,
}

#[derive(PartialEq)]
enum Stage {
    Packets,
    Draining,
    Done,
}

impl VideoReader {
    /// Starts decoding the frames whose index is in `range`.
    pub(crate) fn new(opened: Opened, range: Range<u64>) -> Result<Self, Error> {
        let Opened {
            mut input,
            info,
            completeness,
            warnings,
        } = opened;
        for mut stream in input.streams_mut() {
            if stream.index() != info.video.stream {
                ffi::discard(&mut stream);
            }
        }
        let decoder = open_decoder(&input, &info)?;
        Ok(Self {
            input,
            decoder,
            info,
            completeness,
            warnings,
            converter: None,
            range,
            next_index: 0,
            ahead: None,
            decoded: 0,
            last_ticks: None,
            last_dts: None,
            start_ticks: None,
            stage: Stage::Packets,
            damaged: 0,
            warned: 0,
            failure: None,
        })
    }

    pub(crate) fn info(&self) -> &MediaInfo {
        &self.info
    }

    pub(crate) fn take_warnings(&mut self) -> Vec<Warning> {
        std::mem::take(&mut self.warnings)
    }

    pub(crate) fn next(&mut self) -> Result<Option<VideoFrame>, Error> {
        while self.next_index < self.range.end {
            let current = match self.ahead.take() {
                Some(decoded) => Some(decoded),
                None => self.decode(),
            };
            let Some(current) = current else {
                return match self.failure.take() {
                    Some(error) => Err(error),
                    None => Ok(None),
                };
            };
            self.ahead = self.decode();
            let index = self.next_index;
            self.next_index += 1;
            if index >= self.range.start {
                return self.hand_out(index, &current).map(Some);
            }
        }
        Ok(None)
    }

    fn hand_out(&mut self, index: u64, current: &Decoded) -> Result<VideoFrame, Error> {
        let duration_ticks = match &self.ahead {
            Some(next) => Some(next.ticks - current.ticks),
            None => Some(current.frame.packet().duration)
                .filter(|d| *d > 0)
                .or_else(|| self.until_end(current.ticks)),
        };
        let pixels = self.convert(index, &current.frame)?;
        Ok(VideoFrame {
            index,
            pts: Timestamp {
                ticks: current.ticks,
                base: self.info.video.time_base,
            },
            duration_ticks,
            pixels,
        })
    }

    /// From `ticks` to the end of the stream, if the container tells and the file is whole.
    fn until_end(&self, ticks: i64) -> Option<i64> {
        let length = self.info.video.duration_ticks?;
        let start = self.start_ticks?;
        let left = start.checked_add(length)?.checked_sub(ticks)?;
        (left > 0 && self.completeness == Completeness::Whole).then_some(left)
    }

    fn convert(&mut self, index: u64, frame: &frame::Video) -> Result<FramePixels, Error> {
        let video = &self.info.video;
        let path = &self.info.path;
        let explain = |trouble| match trouble {
            Trouble::Changed => Error::ChangedMidway {
                index,
                path: path.clone(),
            },
            Trouble::Refused(reason) => Error::Codec {
                action: format!("convert the colours of frame {index}"),
                reason,
                path: path.clone(),
            },
        };
        let stored = video.orientation.inverse().turn_size(video.size);
        if (frame.width(), frame.height()) != (stored.width, stored.height) {
            return Err(explain(Trouble::Changed));
        }
        let converter = match &mut self.converter {
            Some(converter) => converter,
            empty => {
                let yuv = colours::yuv_kind(video.colour, stored.height);
                empty.insert(ToRgb::new(frame, yuv).map_err(explain)?)
            }
        };
        Ok(match converter.convert(frame).map_err(explain)? {
            FramePixels::Rgb8(picture) => FramePixels::Rgb8(video.orientation.turn(picture)),
            FramePixels::Rgb16(picture) => FramePixels::Rgb16(video.orientation.turn(picture)),
        })
    }

    /// The next frame in the order of showing; `None` at the end or when `failure` is set.
    fn decode(&mut self) -> Option<Decoded> {
        while self.stage != Stage::Done {
            let mut frame = frame::Video::empty();
            match self.decoder.receive_frame(&mut frame) {
                Ok(()) if self.is_beyond_the_cut(&frame) => {}
                Ok(()) => return Some(self.time(frame)),
                Err(ffmpeg::Error::Eof) => self.end(),
                Err(ffmpeg::Error::Other {
                    errno: ffmpeg::error::EAGAIN,
                }) => self.feed(),
                Err(e) if self.damaged < MAX_DAMAGED => self.warn_packet(&e),
                Err(_) => self.end(),
            }
        }
        None
    }

    /// Whether frames before this one may be among those that a cut file lacks. A missing packet
    /// comes after the last one read, and no frame is shown before it is decoded: so everything up
    /// to the last decoding time is there.
    fn is_beyond_the_cut(&self, frame: &frame::Video) -> bool {
        self.stage == Stage::Draining
            && self.completeness != Completeness::Whole
            && matches!((frame.timestamp(), self.last_dts), (Some(t), Some(dts)) if t > dts)
    }

    /// Gives the decoder its next packet.
    fn feed(&mut self) {
        let mut packet = Packet::empty();
        match packet.read(&mut self.input) {
            Ok(()) if packet.stream() != self.info.video.stream => {}
            // The cut piece of a file that ends too early.
            Ok(()) if packet.is_corrupt() && self.completeness != Completeness::Whole => {}
            Ok(()) => {
                self.last_dts = packet.dts().or(self.last_dts);
                if let Err(e) = self.decoder.send_packet(&packet) {
                    self.warn_packet(&e);
                }
            }
            Err(ffmpeg::Error::Eof) => self.drain(),
            // libav finds its way back after damaged bytes.
            Err(e @ ffmpeg::Error::InvalidData) if self.damaged < MAX_DAMAGED => {
                self.warn_packet(&e);
            }
            Err(e) => {
                if self.completeness == Completeness::Whole {
                    self.failure = Some(Error::Codec {
                        action: format!("read on after {} frames", self.decoded),
                        reason: e.to_string(),
                        path: self.info.path.clone(),
                    });
                }
                self.drain();
            }
        }
    }

    fn drain(&mut self) {
        self.stage = Stage::Draining;
        if self.decoder.send_eof().is_err() {
            // It was told before; nothing more will come.
            self.end();
        }
    }

    fn end(&mut self) {
        self.stage = Stage::Done;
        let cut = self.completeness != Completeness::Whole;
        if self.failure.is_none() && (cut || self.decoded == 0) {
            self.failure = Some(Error::Truncated {
                last_good: self.decoded.checked_sub(1),
                path: self.info.path.clone(),
            });
        }
    }

    fn warn_packet(&mut self, error: &ffmpeg::Error) {
        self.damaged += 1;
        self.warn(Warning::DamagedPacket {
            before: self.decoded,
            reason: error.to_string(),
        });
    }

    /// Remembers a warning; of thousands of the same kind, the first hundred tell the story.
    fn warn(&mut self, warning: Warning) {
        if self.warned < MAX_WARNINGS {
            self.warned += 1;
            self.warnings.push(warning);
        }
    }

    /// Gives the frame its number and a time later than the one before.
    fn time(&mut self, frame: frame::Video) -> Decoded {
        let index = self.decoded;
        self.decoded += 1;
        if frame.is_corrupt() || frame.has_decode_errors() {
            self.warn(Warning::DamagedFrame { index });
        }
        let known = frame.timestamp().or_else(|| frame.pts());
        let ticks = match (known, self.last_ticks) {
            (Some(ticks), None) => ticks,
            (Some(ticks), Some(last)) if ticks > last => ticks,
            (None, None) => 0,
            (Some(_), Some(last)) => {
                self.warn(Warning::TimeRepaired { index });
                last.saturating_add(1)
            }
            (None, Some(last)) => {
                self.warn(Warning::TimeRepaired { index });
                last.saturating_add(self.usual_ticks())
            }
        };
        self.last_ticks = Some(ticks);
        self.start_ticks = self.start_ticks.or(self.last_ticks);
        Decoded { frame, ticks }
    }

    /// How long a frame lasts at the stream's average rate.
    fn usual_ticks(&self) -> i64 {
        let base = self.info.video.time_base;
        self.info.video.frame_rate.map_or(1, |rate| {
            let ticks = i64::from(base.den) * i64::from(rate.den);
            (ticks / (i64::from(base.num) * i64::from(rate.num)).max(1)).max(1)
        })
    }
}

fn open_decoder(input: &format::context::Input, info: &MediaInfo) -> Result<decoder::Video, Error> {
    let refused = |e: ffmpeg::Error| Error::Codec {
        action: format!("start the {} decoder", info.video.codec),
        reason: e.to_string(),
        path: info.path.clone(),
    };
    let unsupported = || Error::UnsupportedCodec {
        codec: info.video.codec.clone(),
        path: info.path.clone(),
    };
    let stream = input
        .stream(info.video.stream)
        .ok_or_else(|| Error::NoVideo {
            path: info.path.clone(),
        })?;
    let mut context = codec::Context::from_parameters(stream.parameters()).map_err(refused)?;
    context.set_threading(threading::Config {
        kind: threading::Type::Frame,
        count: std::thread::available_parallelism().map_or(1, |n| n.get().min(MAX_THREADS)),
        ..Default::default()
    });
    let decoder = decoder::find(context.id()).ok_or_else(unsupported)?;
    let mut options = Dictionary::new();
    options.set("max_pixels", &MAX_PIXELS.to_string());
    context
        .decoder()
        .open_as_with(decoder, options)
        .and_then(decoder::Opened::video)
        .map_err(refused)
}
