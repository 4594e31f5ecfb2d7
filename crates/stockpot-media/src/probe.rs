//! Opening a file with libav and saying what is in it. Runs in the worker for untrusted files.

use std::path::Path;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::stream::Disposition;
use ffmpeg_next::{Dictionary, Rational, Stream, decoder, format, media};
use stockpot_core::{Size, TimeBase};

use crate::completeness::{self, Completeness};
use crate::info::{FrameRate, MediaInfo, SourceKind, Track, TrackKind, VideoInfo};
use crate::{Error, Orientation, Warning, ffi, pictures};

/// More pixels in a frame are refused; 8192 x 8192.
pub(crate) const MAX_PIXELS: usize = 1 << 26;

/// Playlists open other files by themselves; the others draw pictures from text.
const REFUSED_FORMATS: [&str; 9] = [
    "hls",
    "dash",
    "concat",
    "applehttp",
    "rtsp",
    "sdp",
    "tty",
    "lavfi",
    "imf",
];

/// An opened video file.
pub(crate) struct Opened {
    pub(crate) input: format::context::Input,
    pub(crate) info: MediaInfo,
    pub(crate) completeness: Completeness,
    pub(crate) warnings: Vec<Warning>,
}

/// What is in the file or folder at `path`.
pub(crate) fn probe_here(path: &Path) -> Result<MediaInfo, Error> {
    if pictures::is_picture_source(path)? {
        Ok(pictures::Pictures::open(path)?.info().clone())
    } else {
        Ok(open_video(path)?.info)
    }
}

/// Opens a video file.
pub(crate) fn open_video(path: &Path) -> Result<Opened, Error> {
    let completeness = completeness::check(path).map_err(|e| Error::io("read", path, &e))?;
    if let Completeness::CutShort {
        missing_bytes,
        index_seen: false,
    } = completeness
    {
        return Err(Error::IndexMissing {
            missing_bytes,
            path: path.into(),
        });
    }
    let input = open_input(path, &[])?;
    let mut warnings = Vec::new();
    let info = describe(path, &input, &mut warnings)?;
    Ok(Opened {
        input,
        info,
        completeness,
        warnings,
    })
}

/// Opens the container and lets libav look into its streams.
pub(crate) fn open_input(
    path: &Path,
    options: &[(&str, &str)],
) -> Result<format::context::Input, Error> {
    ffi::init();
    let url = ffi::file_url(path).ok_or_else(|| Error::NameNotUtf8 { path: path.into() })?;
    let mut dictionary: Dictionary = options.iter().collect();
    // A file may name other addresses; none of them is to be opened.
    dictionary.set("protocol_whitelist", "file");
    let input = format::input_with_dictionary(&url, dictionary).map_err(|e| match e {
        ffmpeg::Error::Other { errno } => {
            Error::io("read", path, &std::io::Error::from_raw_os_error(errno))
        }
        e => Error::NotMedia {
            reason: e.to_string(),
            path: path.into(),
        },
    })?;
    let name = input.format().name().to_owned();
    if name.split(',').any(|n| REFUSED_FORMATS.contains(&n)) {
        return Err(Error::RefusedFormat {
            format: name,
            path: path.into(),
        });
    }
    Ok(input)
}

fn describe(
    path: &Path,
    input: &format::context::Input,
    warnings: &mut Vec<Warning>,
) -> Result<MediaInfo, Error> {
    let video = input
        .streams()
        .best(media::Type::Video)
        .filter(|s| !s.disposition().contains(Disposition::ATTACHED_PIC))
        .ok_or_else(|| Error::NoVideo { path: path.into() })?;
    let stream = video.index();
    Ok(MediaInfo {
        path: path.into(),
        kind: SourceKind::Video,
        container: input.format().name().to_owned(),
        video: describe_video(path, input, &video, warnings)?,
        tracks: input
            .streams()
            .filter(|s| s.index() != stream)
            .map(|s| describe_track(&s))
            .collect(),
    })
}

fn describe_video(
    path: &Path,
    input: &format::context::Input,
    stream: &Stream,
    warnings: &mut Vec<Warning>,
) -> Result<VideoInfo, Error> {
    let id = stream.parameters().id();
    let unsupported = || Error::UnsupportedCodec {
        codec: id.name().to_owned(),
        path: path.into(),
    };
    if decoder::find(id).is_none() {
        return Err(unsupported());
    }
    let parameters = ffi::video_parameters(stream).ok_or_else(|| Error::NotMedia {
        reason: format!("no picture of the {} stream can be decoded", id.name()),
        path: path.into(),
    })?;
    let (bit_depth, _) = ffi::format_depth(parameters.format).ok_or_else(unsupported)?;
    let stored = Size::new(parameters.width, parameters.height);
    check_size(path, stored)?;
    let orientation = match ffi::display_matrix(stream) {
        None => Orientation::UPRIGHT,
        Some(matrix) => Orientation::from_matrix(&matrix).unwrap_or_else(|| {
            warnings.push(Warning::OddRotation);
            Orientation::UPRIGHT
        }),
    };
    let time_base = stream.time_base();
    let positive = |v: i64| (v > 0).then_some(v);
    let duration_ticks = positive(stream.duration()).or_else(|| {
        // Matroska tells the length of the file only, in microseconds.
        let ticks_a_second = f64::from(time_base.denominator()) / f64::from(time_base.numerator());
        positive(input.duration()).map(|us| (us as f64 * 1e-6 * ticks_a_second).round() as i64)
    });
    Ok(VideoInfo {
        stream: stream.index(),
        codec: id.name().to_owned(),
        pixel_format: parameters
            .format
            .descriptor()
            .map_or_else(String::new, |d| d.name().to_owned()),
        size: orientation.turn_size(stored),
        orientation,
        pixel_aspect: parameters.pixel_aspect,
        bit_depth,
        colour: parameters.colour,
        frame_rate: rate(stream.avg_frame_rate()).or_else(|| rate(stream.rate())),
        is_constant_rate: rate(stream.avg_frame_rate())
            .is_some_and(|r| Some(r) == rate(stream.rate())),
        time_base: TimeBase {
            num: time_base.numerator(),
            den: time_base.denominator(),
        },
        duration_ticks,
        frame_count: positive(stream.frames()).map(i64::unsigned_abs),
    })
}

/// Refuses pictures that nobody can hold.
pub(crate) fn check_size(path: &Path, size: Size) -> Result<(), Error> {
    let max_side = stockpot_core::picture::MAX_SIDE;
    if size.width == 0 || size.height == 0 {
        return Err(Error::NotMedia {
            reason: "its pictures have no size".into(),
            path: path.into(),
        });
    }
    if size.width > max_side || size.height > max_side || size.pixels() > MAX_PIXELS {
        return Err(Error::TooLarge {
            size,
            path: path.into(),
        });
    }
    Ok(())
}

fn rate(rate: Rational) -> Option<FrameRate> {
    (rate.numerator() > 0 && rate.denominator() > 0).then(|| FrameRate {
        num: rate.numerator(),
        den: rate.denominator(),
    })
}

fn describe_track(stream: &Stream) -> Track {
    let parameters = stream.parameters();
    Track {
        stream: stream.index(),
        kind: track_kind(parameters.medium()),
        codec: parameters.id().name().to_owned(),
        language: ffi::metadata(stream, c"language"),
        title: ffi::metadata(stream, c"title"),
        default: stream.disposition().contains(Disposition::DEFAULT),
    }
}

/// What a medium is to us.
pub(crate) fn track_kind(medium: media::Type) -> TrackKind {
    match medium {
        media::Type::Audio => TrackKind::Audio,
        media::Type::Subtitle => TrackKind::Subtitle,
        media::Type::Video => TrackKind::Video,
        media::Type::Attachment => TrackKind::Attachment,
        media::Type::Data | media::Type::Unknown => TrackKind::Data,
    }
}
