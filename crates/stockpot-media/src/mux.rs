//! Joining the encoded video with the source's other tracks, packet by packet.
//!
//! The second and last step of writing a video ([`crate::VideoWriter`] is the first). It parses the
//! source again, so it runs in the worker for untrusted files. Nothing is decoded: sound and
//! subtitles are copied bit for bit. What the container cannot hold is told, not dropped silently.

use std::ffi::CStr;
use std::path::{Path, PathBuf};

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::context::{Input, Output};
use ffmpeg_next::format::stream::Disposition;
use ffmpeg_next::{Dictionary, Packet, Rational, Rescale, codec, encoder, format};
use serde::{Deserialize, Serialize};
use stockpot_core::TimeBase;

use crate::info::TrackKind;
use crate::settings::Extent;
use crate::{Error, Warning, ffi, probe};

/// What to join into what.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Plan {
    /// Our own encoded video: a QuickTime file whose first frame is at zero.
    pub(crate) video: PathBuf,
    /// Where the other tracks are, if it is a file with tracks.
    pub(crate) source: Option<PathBuf>,
    /// The source's video stream, which `video` replaces.
    pub(crate) source_stream: usize,
    /// Where to write; replaced if it is there.
    pub(crate) output: PathBuf,
    pub(crate) container: Container,
    /// Unit of `first` and `end`: the source's.
    pub(crate) base: TimeBase,
    /// Time of the first frame in the source.
    pub(crate) first: i64,
    /// Time at which the last frame ends.
    pub(crate) end: i64,
    pub(crate) extent: Extent,
    /// Whether the frames are stored as in the source, so that its display matrix holds.
    pub(crate) keep_matrix: bool,
}

/// Containers we write.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Container {
    Mp4,
    QuickTime,
    Matroska,
}

impl Container {
    /// By the ending of `path`.
    pub(crate) fn of(path: &Path) -> Result<Self, Error> {
        let ending = path.extension().unwrap_or_default().to_string_lossy();
        match ending.to_ascii_lowercase().as_str() {
            "mp4" | "m4v" => Ok(Self::Mp4),
            "mov" => Ok(Self::QuickTime),
            "mkv" => Ok(Self::Matroska),
            _ => Err(Error::UnsupportedOutput {
                ending: ending.into_owned(),
                path: path.into(),
            }),
        }
    }

    /// libav's name of the muxer.
    pub(crate) fn muxer(self) -> &'static str {
        match self {
            Self::Mp4 => "mp4",
            Self::QuickTime => "mov",
            Self::Matroska => "matroska",
        }
    }

    /// Whether it has a display matrix and a time base for each track (ISO base media).
    pub(crate) fn is_iso(self) -> bool {
        self != Self::Matroska
    }
}

/// Tags that describe the old file rather than the work in it.
const STALE_FILE_TAGS: [&CStr; 4] = [
    c"major_brand",
    c"minor_version",
    c"compatible_brands",
    c"encoder",
];
/// Counts and sizes that Matroska writers note beside a stream.
const STALE_VIDEO_TAGS: [&CStr; 8] = [
    c"encoder",
    c"BPS",
    c"DURATION",
    c"NUMBER_OF_FRAMES",
    c"NUMBER_OF_BYTES",
    c"_STATISTICS_WRITING_APP",
    c"_STATISTICS_WRITING_DATE_UTC",
    c"_STATISTICS_TAGS",
];

/// Writes `plan.output`.
///
/// # Errors
/// [`Error`] if a file cannot be read or written; the output is then incomplete.
pub(crate) fn run(plan: &Plan) -> Result<Vec<Warning>, Error> {
    let source = plan
        .source
        .as_deref()
        .map(|path| probe::open_input(path, &[]))
        .transpose()?;
    let video = Video::open(plan)?;
    let url = ffi::file_url(&plan.output).ok_or_else(|| Error::NameNotUtf8 {
        path: plan.output.clone(),
    })?;
    let output = format::output_as(&url, plan.container.muxer())
        .map_err(|e| write_error("create", &plan.output, e))?;
    let mut muxer = Muxer {
        plan,
        output,
        tracks: Vec::new(),
        video_out: 0,
        warnings: Vec::new(),
    };
    muxer.add_streams(&video, source.as_ref())?;
    muxer.write_header(source.as_ref())?;
    muxer.write_packets(video, source)?;
    muxer
        .output
        .write_trailer()
        .map_err(|e| write_error("write", &plan.output, e))?;
    Ok(muxer.warnings)
}

/// Full disks and missing rights from libav's error codes.
pub(crate) fn write_error(action: &str, path: &Path, error: ffmpeg::Error) -> Error {
    match error {
        ffmpeg::Error::Other { errno } => {
            Error::io(action, path, &std::io::Error::from_raw_os_error(errno))
        }
        e => Error::Codec {
            action: format!("{action} the file"),
            reason: e.to_string(),
            path: path.into(),
        },
    }
}

/// Our encoded video, with the times the packets are to have.
struct Video {
    input: Input,
    /// Unit of the packets' times: one over the denominator of the source's time base.
    base: Rational,
    /// To be added to every time.
    shift: i64,
    /// Times of showing before `shift`, sorted, to tell how long each frame lasts.
    shown: Vec<i64>,
    /// End of the last frame before `shift`.
    end: i64,
}

impl Video {
    fn open(plan: &Plan) -> Result<Self, Error> {
        // Without its edit list the times are those of the file's own clock, free of rounding.
        let open = || probe::open_input(&plan.video, &[("ignore_editlist", "1")]);
        let mut scan = open()?;
        let mut shown = Vec::new();
        let mut packet = Packet::empty();
        while packet.read(&mut scan).is_ok() {
            shown.extend(packet.pts());
        }
        shown.sort_unstable();
        let input = open()?;
        let broken = || Error::Codec {
            action: "read back the encoded video".into(),
            reason: "it has no frames".into(),
            path: plan.video.clone(),
        };
        let base = input.stream(0).ok_or_else(broken)?.time_base();
        let start = *shown.first().ok_or_else(broken)?;
        let ticks = |v: i64| v * i64::from(plan.base.num);
        let wanted_start = match plan.extent {
            Extent::Whole | Extent::Part => ticks(plan.first),
            Extent::Clip => 0,
        };
        Ok(Self {
            input,
            base,
            shift: wanted_start - start,
            shown,
            end: start + ticks(plan.end - plan.first),
        })
    }

    fn next(&mut self) -> Option<Packet> {
        let mut packet = Packet::empty();
        // Written by ourselves a moment ago and read whole just before.
        packet.read(&mut self.input).ok()?;
        if let Some(pts) = packet.pts() {
            // libav before 6 loses the durations in its encoders; and in this container they would
            // be distances between decoding times anyway.
            let after = self.shown.partition_point(|t| *t <= pts);
            let until = self.shown.get(after).copied().unwrap_or(self.end);
            packet.set_duration(until - pts);
        }
        packet.set_pts(packet.pts().map(|t| t + self.shift));
        packet.set_dts(packet.dts().map(|t| t + self.shift));
        Some(packet)
    }
}

/// A track that is copied.
struct Copied {
    source: usize,
    target: usize,
    base: Rational,
    /// Taken from every time.
    shift: i64,
    refused: u64,
}

struct Muxer<'a> {
    plan: &'a Plan,
    output: Output,
    tracks: Vec<Copied>,
    video_out: usize,
    warnings: Vec<Warning>,
}

impl Muxer<'_> {
    /// The source's streams in their order, the video replaced by ours.
    fn add_streams(&mut self, video: &Video, source: Option<&Input>) -> Result<(), Error> {
        let Some(source) = source else {
            return self.add_video(video, None);
        };
        if source.stream(self.plan.source_stream).is_none() {
            self.add_video(video, None)?;
        }
        for stream in source.streams() {
            if stream.index() == self.plan.source_stream {
                self.add_video(video, Some(&stream))?;
            } else {
                self.add_copy(&stream)?;
            }
        }
        Ok(())
    }

    fn add_video(&mut self, video: &Video, like: Option<&ffmpeg::Stream>) -> Result<(), Error> {
        let memory = |path: &Path| Error::Codec {
            action: "add the video track".into(),
            reason: "not enough memory".into(),
            path: path.into(),
        };
        let encoded = video
            .input
            .stream(0)
            .ok_or_else(|| memory(&self.plan.video))?;
        let mut stream = self
            .output
            .add_stream(encoder::find(codec::Id::None))
            .map_err(|e| write_error("write", &self.plan.output, e))?;
        ffi::copy_stream(&encoded, &mut stream, &STALE_VIDEO_TAGS);
        if encoded.parameters().id() == codec::Id::HEVC && self.plan.container.is_iso() {
            // Apple's players do not open libav's default, hev1.
            ffi::set_codec_tag(&mut stream, *b"hvc1");
        }
        stream.set_time_base(video.base);
        if let Some(like) = like {
            ffi::copy_stream_tags(like, &mut stream, &STALE_VIDEO_TAGS);
            stream.set_avg_frame_rate(like.avg_frame_rate());
            if !ffi::copy_picture_side_data(like, &mut stream, self.plan.keep_matrix) {
                return Err(memory(&self.plan.output));
            }
        }
        self.video_out = stream.index();
        Ok(())
    }

    fn add_copy(&mut self, source: &ffmpeg::Stream) -> Result<(), Error> {
        let parameters = source.parameters();
        let kind = probe::track_kind(parameters.medium());
        let id = parameters.id();
        let reason = match kind {
            TrackKind::Video if source.disposition().contains(Disposition::ATTACHED_PIC) => {
                Some("cover pictures are not carried over".to_owned())
            }
            TrackKind::Video => Some("only one video track is written".to_owned()),
            TrackKind::Data => Some("data tracks are not carried over".to_owned()),
            TrackKind::Audio | TrackKind::Subtitle | TrackKind::Attachment => {
                let holds = ffi::container_holds(&self.output, id);
                let holds =
                    holds && (kind != TrackKind::Attachment || !self.plan.container.is_iso());
                (!holds).then(|| format!("{} cannot hold it", self.plan.container.muxer()))
            }
        };
        if let Some(reason) = reason {
            self.warnings.push(Warning::TrackDropped {
                track: source.index(),
                kind,
                codec: id.name().to_owned(),
                reason,
            });
            return Ok(());
        }
        let mut stream = self
            .output
            .add_stream(encoder::find(codec::Id::None))
            .map_err(|e| write_error("write", &self.plan.output, e))?;
        ffi::copy_stream(source, &mut stream, &[]);
        let base = source.time_base();
        stream.set_time_base(base);
        let shift = match self.plan.extent {
            Extent::Whole | Extent::Part => 0,
            Extent::Clip => self.plan.first.rescale(rational(self.plan.base), base),
        };
        self.tracks.push(Copied {
            source: source.index(),
            target: stream.index(),
            base,
            shift,
            refused: 0,
        });
        Ok(())
    }

    fn write_header(&mut self, source: Option<&Input>) -> Result<(), Error> {
        if let Some(source) = source {
            ffi::copy_file_tags(source, &mut self.output, &STALE_FILE_TAGS);
            if self.plan.extent == Extent::Whole {
                self.copy_chapters(source)?;
            }
        }
        let mut options = Dictionary::new();
        if self.plan.container.is_iso() {
            let scale = self.plan.base.den;
            options.set("video_track_timescale", &scale.to_string());
            options.set("movie_timescale", &self.movie_timescale().to_string());
        } else if i64::from(self.plan.base.num) * 1000 % i64::from(self.plan.base.den) != 0 {
            self.warnings.push(Warning::TimesRounded {
                container: self.plan.container.muxer().to_owned(),
            });
        }
        self.output
            .write_header_with(options)
            .map(|_unused_options| ())
            .map_err(|e| write_error("write", &self.plan.output, e))
    }

    /// A clock in which the start of every track is a whole number: without it, starts are rounded
    /// to milliseconds.
    fn movie_timescale(&self) -> i64 {
        let video = i64::from(self.plan.base.den);
        let bases = self.tracks.iter().map(|t| i64::from(t.base.denominator()));
        let common = bases.fold(video, |a, b| (a / gcd(a, b)).saturating_mul(b));
        if common <= i64::from(i32::MAX) {
            common
        } else {
            video
        }
    }

    fn copy_chapters(&mut self, source: &Input) -> Result<(), Error> {
        for chapter in source.chapters() {
            let title = ffi::chapter_title(&chapter).unwrap_or_default();
            self.output
                .add_chapter(
                    chapter.id(),
                    chapter.time_base(),
                    chapter.start(),
                    chapter.end(),
                    title,
                )
                .map_err(|e| write_error("write", &self.plan.output, e))?;
        }
        Ok(())
    }

    /// Feeds both sides in the order of their times; the muxer's own queue does the fine sorting.
    fn write_packets(&mut self, mut video: Video, source: Option<Input>) -> Result<(), Error> {
        let mut source = source.map(|input| Tracks::new(input, self.plan.source_stream));
        let mut next_video = video.next();
        let mut next_track = self.next_copied(source.as_mut());
        loop {
            let take_video = match (&next_video, &next_track) {
                (Some(v), Some((at, t))) => secs(v, video.base) <= secs(t, self.tracks[*at].base),
                (Some(_), None) => true,
                (None, Some(_)) => false,
                (None, None) => break,
            };
            if take_video {
                if let Some(packet) = next_video.take() {
                    self.write(packet, video.base, self.video_out)
                        .map_err(|e| write_error("write", &self.plan.output, e))?;
                }
                next_video = video.next();
            } else {
                if let Some((at, packet)) = next_track.take() {
                    self.write_copied(at, packet)?;
                }
                next_track = self.next_copied(source.as_mut());
            }
        }
        if let Some(error) = source.and_then(|s| s.failure) {
            return Err(Error::Codec {
                action: "copy the other tracks to the end".into(),
                reason: error.to_string(),
                path: self.plan.source.clone().unwrap_or_default(),
            });
        }
        let refused = self.tracks.iter().filter(|t| t.refused > 0);
        self.warnings
            .extend(refused.map(|t| Warning::PacketsDropped {
                track: t.source,
                packets: t.refused,
            }));
        Ok(())
    }

    /// The next packet of a copied track inside the extent, its times moved.
    fn next_copied(&mut self, source: Option<&mut Tracks>) -> Option<(usize, Packet)> {
        let source = source?;
        while let Some(mut packet) = source.next() {
            let stream = packet.stream();
            let Some(at) = self.tracks.iter().position(|t| t.source == stream) else {
                continue;
            };
            let track = &mut self.tracks[at];
            let Some(pts) = packet.pts().or(packet.dts()) else {
                track.refused += 1;
                continue;
            };
            if self.plan.extent != Extent::Whole && !within(self.plan, pts, track.base) {
                continue;
            }
            packet.set_dts(packet.dts().or(Some(pts)).map(|t| t - track.shift));
            packet.set_pts(Some(pts - track.shift));
            return Some((at, packet));
        }
        None
    }

    fn write_copied(&mut self, at: usize, packet: Packet) -> Result<(), Error> {
        let (base, target) = (self.tracks[at].base, self.tracks[at].target);
        match self.write(packet, base, target) {
            Ok(()) => Ok(()),
            // Times that run backwards, or nothing in it.
            Err(
                ffmpeg::Error::InvalidData
                | ffmpeg::Error::Other {
                    errno: ffmpeg::error::EINVAL,
                },
            ) => {
                self.tracks[at].refused += 1;
                Ok(())
            }
            Err(e) => Err(write_error("write", &self.plan.output, e)),
        }
    }

    fn write(
        &mut self,
        mut packet: Packet,
        base: Rational,
        target: usize,
    ) -> Result<(), ffmpeg::Error> {
        // The muxer may have chosen another base than asked for.
        let stream = self.output.stream(target).ok_or(ffmpeg::Error::Bug)?;
        packet.rescale_ts(base, stream.time_base());
        packet.set_stream(target);
        packet.set_position(-1);
        packet.write_interleaved(&mut self.output)
    }
}

/// Packets of the source but for its video, damaged ones skipped.
struct Tracks {
    input: Input,
    damaged: usize,
    failure: Option<ffmpeg::Error>,
}

/// After so many damaged pieces the source is given up.
const MAX_DAMAGED: usize = 10_000;

impl Tracks {
    fn new(mut input: Input, video: usize) -> Self {
        if let Some(mut stream) = input.stream_mut(video) {
            ffi::discard(&mut stream);
        }
        Self {
            input,
            damaged: 0,
            failure: None,
        }
    }

    fn next(&mut self) -> Option<Packet> {
        loop {
            let mut packet = Packet::empty();
            match packet.read(&mut self.input) {
                Ok(()) => return Some(packet),
                Err(ffmpeg::Error::Eof) => return None,
                Err(ffmpeg::Error::InvalidData) if self.damaged < MAX_DAMAGED => self.damaged += 1,
                Err(e) => {
                    self.failure = Some(e);
                    return None;
                }
            }
        }
    }
}

fn rational(base: TimeBase) -> Rational {
    Rational::new(base.num, base.den)
}

/// For choosing which side to read next; nothing is computed from it.
fn secs(packet: &Packet, base: Rational) -> f64 {
    packet.dts().or(packet.pts()).unwrap_or(0) as f64 * f64::from(base)
}

/// Whether a packet of this time begins between the first frame and the end of the last.
fn within(plan: &Plan, pts: i64, base: Rational) -> bool {
    // Cross-multiplied, so that nothing is rounded.
    let track = i128::from(pts) * i128::from(base.numerator()) * i128::from(plan.base.den);
    let frame =
        |ticks: i64| i128::from(ticks) * i128::from(plan.base.num) * i128::from(base.denominator());
    (frame(plan.first)..frame(plan.end)).contains(&track)
}

fn gcd(a: i64, b: i64) -> i64 {
    if b == 0 { a.max(1) } else { gcd(b, a % b) }
}
