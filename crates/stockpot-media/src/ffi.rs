//! The few things of libav that `ffmpeg-next` has no safe call for. All `unsafe` of this crate.
//!
//! Every function here is safe to call with any value of its Rust types; the pointers behind them
//! live in wrappers of `ffmpeg-next`, which own them. Numbers that may come from a file (codes of
//! colours, formats) are read and written as plain integers, never as Rust enums.

#![expect(unsafe_code, reason = "libav is C; each block says why it is sound")]

use std::ffi::{CStr, CString};
use std::ptr::{addr_of, addr_of_mut, null_mut};
use std::sync::Once;

use ffmpeg_next as ffmpeg;
use ffmpeg_next::ffi as sys;
use ffmpeg_next::software::scaling;
use ffmpeg_next::{Stream, StreamMut, codec, format, frame};
use stockpot_core::ColourTags;
use sys::AVPacketSideDataType as SideData;

use crate::yuv::Plane;

/// No single allocation of libav may be larger: a frame of 16384x4096 at 16 bits fits.
const MAX_ALLOC_BYTES: usize = 1 << 30;

/// Quiets libav (engines print nothing) and bounds its allocations. Cheap, may be called often.
pub(crate) fn init() {
    // The wrapper fills its table of messages here; without it every libav error is an empty text.
    // It writes a global without a lock, so it must run once only.
    static MESSAGES: Once = Once::new();
    MESSAGES.call_once(ffmpeg::util::error::register_all);
    ffmpeg::log::set_level(ffmpeg::log::Level::Quiet);
    // SAFETY: stores one number; documented to be callable at any time.
    unsafe { sys::av_max_alloc(MAX_ALLOC_BYTES) };
}

/// What the codec parameters of a stream say that `ffmpeg-next` does not pass on.
pub(crate) struct VideoParameters {
    pub(crate) width: u32,
    pub(crate) height: u32,
    pub(crate) format: format::Pixel,
    pub(crate) colour: ColourTags,
    pub(crate) pixel_aspect: (i32, i32),
}

/// Reads the video parameters of `stream`; `None` if its pixel format is not known.
pub(crate) fn video_parameters(stream: &Stream) -> Option<VideoParameters> {
    // SAFETY: an AVStream always has codec parameters, alive as long as the stream. Enum fields are
    // read through integer pointers of the same size (bindgen makes them `repr(u32)`/`repr(i32)`).
    let (width, height, format, codes, range, sar) = unsafe {
        let p = (*stream.as_ptr()).codecpar;
        (
            (*p).width,
            (*p).height,
            (*p).format,
            [
                addr_of!((*p).color_primaries).cast::<i32>().read(),
                addr_of!((*p).color_trc).cast::<i32>().read(),
                addr_of!((*p).color_space).cast::<i32>().read(),
            ],
            addr_of!((*p).color_range).cast::<i32>().read(),
            (*p).sample_aspect_ratio,
        )
    };
    let format = pixel_format(format)?;
    let code = |v: i32| u8::try_from(v).unwrap_or(ColourTags::UNSPECIFIED.matrix);
    Some(VideoParameters {
        width: u32::try_from(width).ok()?,
        height: u32::try_from(height).ok()?,
        format,
        colour: ColourTags {
            primaries: code(codes[0]),
            transfer: code(codes[1]),
            matrix: code(codes[2]),
            full_range: match range {
                1 => Some(false),
                2 => Some(true),
                _ => None,
            },
        },
        pixel_aspect: if sar.num > 0 && sar.den > 0 {
            (sar.num, sar.den)
        } else {
            (1, 1)
        },
    })
}

/// The pixel format of this number, if the installed libav has it.
fn pixel_format(number: i32) -> Option<format::Pixel> {
    let known = sys::AVPixelFormat::AV_PIX_FMT_NB as i32;
    if !(0..known).contains(&number) {
        return None;
    }
    // SAFETY: the enum was generated from the headers of the libav we link; its values from 0 up to
    // AV_PIX_FMT_NB are without gaps, and `number` is among them.
    Some(unsafe { std::mem::transmute::<i32, sys::AVPixelFormat>(number) }.into())
}

/// Bits of the deepest channel, and whether the format is RGB rather than YUV or gray.
pub(crate) fn format_depth(format: format::Pixel) -> Option<(u8, bool)> {
    let descriptor = format.descriptor()?;
    // SAFETY: the descriptor points into a static table of libavutil.
    let (components, count, flags) = unsafe {
        let d = descriptor.as_ptr();
        ((*d).comp, usize::from((*d).nb_components), (*d).flags)
    };
    let depth = components.iter().take(count).map(|c| c.depth).max()?;
    let rgb = flags & u64::from(sys::AV_PIX_FMT_FLAG_RGB as u32) != 0
        || flags & u64::from(sys::AV_PIX_FMT_FLAG_PAL as u32) != 0;
    Some((u8::try_from(depth).ok()?, rgb))
}

/// A value of a stream's metadata, with what is not UTF-8 replaced.
pub(crate) fn metadata(stream: &Stream, key: &CStr) -> Option<String> {
    // SAFETY: the dictionary may be null, which av_dict_get accepts; an entry's value is a
    // NUL-terminated string owned by the dictionary, copied before this returns.
    unsafe {
        let entry = sys::av_dict_get((*stream.as_ptr()).metadata, key.as_ptr(), null_mut(), 0);
        (!entry.is_null()).then(|| {
            CStr::from_ptr((*entry).value)
                .to_string_lossy()
                .into_owned()
        })
    }
}

/// The display matrix of a stream. In libav before 6.1 it is side data of the stream.
pub(crate) fn display_matrix(stream: &Stream) -> Option<[i32; 9]> {
    let mut bytes = 0usize;
    // SAFETY: returns null or a buffer of `bytes` bytes owned by the stream; read only when it is
    // long enough, without assuming alignment.
    unsafe {
        let data = sys::av_stream_get_side_data(
            stream.as_ptr(),
            SideData::AV_PKT_DATA_DISPLAYMATRIX,
            &mut bytes,
        );
        if data.is_null() || bytes < size_of::<[i32; 9]>() {
            return None;
        }
        Some(data.cast::<[i32; 9]>().read_unaligned())
    }
}

/// Copies what describes the shown picture (HDR light levels, 3D, 360 degrees, and the display
/// matrix if `with_matrix`) from one stream to another. `false` if memory ran out.
pub(crate) fn copy_picture_side_data(from: &Stream, to: &mut StreamMut, with_matrix: bool) -> bool {
    let kinds = [
        SideData::AV_PKT_DATA_MASTERING_DISPLAY_METADATA,
        SideData::AV_PKT_DATA_CONTENT_LIGHT_LEVEL,
        SideData::AV_PKT_DATA_STEREO3D,
        SideData::AV_PKT_DATA_SPHERICAL,
        SideData::AV_PKT_DATA_DISPLAYMATRIX,
    ];
    let kinds = if with_matrix { &kinds[..] } else { &kinds[..4] };
    kinds.iter().all(|kind| copy_side_data(from, to, *kind))
}

fn copy_side_data(from: &Stream, to: &mut StreamMut, kind: SideData) -> bool {
    let mut bytes = 0usize;
    // SAFETY: source and destination are separate buffers of `bytes` bytes, owned by two streams
    // that are both alive; null is handled on both sides.
    unsafe {
        let source = sys::av_stream_get_side_data(from.as_ptr(), kind, &mut bytes);
        if source.is_null() {
            return true;
        }
        let target = sys::av_stream_new_side_data(to.as_mut_ptr(), kind, bytes);
        if target.is_null() {
            return false;
        }
        std::ptr::copy_nonoverlapping(source, target, bytes);
    }
    true
}

/// Copies codec parameters, metadata but for the keys in `without`, and disposition from one
/// stream to another. The codec tag is cleared, so that the container chooses its own.
pub(crate) fn copy_stream(from: &Stream, to: &mut StreamMut, without: &[&CStr]) {
    to.set_parameters(from.parameters());
    // SAFETY: both streams are alive and have codec parameters.
    unsafe {
        (*(*to.as_mut_ptr()).codecpar).codec_tag = 0;
    }
    copy_stream_tags(from, to, without);
}

/// Copies metadata but for the keys in `without`, and disposition.
pub(crate) fn copy_stream_tags(from: &Stream, to: &mut StreamMut, without: &[&CStr]) {
    // SAFETY: both streams are alive; av_dict_copy and av_dict_set with a null value accept a null
    // dictionary and only touch the destination.
    unsafe {
        let target = to.as_mut_ptr();
        (*target).disposition = (*from.as_ptr()).disposition;
        sys::av_dict_copy(
            addr_of_mut!((*target).metadata),
            (*from.as_ptr()).metadata,
            0,
        );
        for key in without {
            sys::av_dict_set(
                addr_of_mut!((*target).metadata),
                key.as_ptr(),
                std::ptr::null(),
                0,
            );
        }
    }
}

/// Copies the file's metadata but for the keys in `without`.
pub(crate) fn copy_file_tags(
    from: &format::context::Input,
    to: &mut format::context::Output,
    without: &[&CStr],
) {
    // SAFETY: both contexts are alive; see `copy_stream_tags`.
    unsafe {
        let target = to.as_mut_ptr();
        sys::av_dict_copy(
            addr_of_mut!((*target).metadata),
            (*from.as_ptr()).metadata,
            0,
        );
        for key in without {
            sys::av_dict_set(
                addr_of_mut!((*target).metadata),
                key.as_ptr(),
                std::ptr::null(),
                0,
            );
        }
    }
}

/// Sets the four-letter tag by which containers name a codec.
pub(crate) fn set_codec_tag(stream: &mut StreamMut, tag: [u8; 4]) {
    // SAFETY: an AVStream always has codec parameters.
    unsafe { (*(*stream.as_mut_ptr()).codecpar).codec_tag = u32::from_le_bytes(tag) };
}

/// Tells the demuxer to skip every packet of this stream.
pub(crate) fn discard(stream: &mut StreamMut) {
    // SAFETY: the stream is alive; a plain field.
    unsafe { (*stream.as_mut_ptr()).discard = sys::AVDiscard::AVDISCARD_ALL };
}

/// Whether the output's container can hold a codec.
pub(crate) fn container_holds(output: &format::context::Output, id: codec::Id) -> bool {
    // SAFETY: the output's format is a static table entry; 1 means yes.
    unsafe { sys::avformat_query_codec((*output.as_ptr()).oformat, id.into(), 0) == 1 }
}

/// Gives an encoder the colour description it is to write.
pub(crate) fn set_colour(encoder: &mut codec::encoder::video::Video, tags: ColourTags) {
    let range = match tags.full_range {
        None => 0,
        Some(false) => 1,
        Some(true) => 2,
    };
    // SAFETY: the context is alive and not shared. The fields are C enums of integer size; they are
    // written as integers, because the numbers come from a file.
    unsafe {
        let c = encoder.as_mut_ptr();
        let set = |field: *mut i32, code: u8| field.write(i32::from(code));
        set(addr_of_mut!((*c).color_primaries).cast(), tags.primaries);
        set(addr_of_mut!((*c).color_trc).cast(), tags.transfer);
        set(addr_of_mut!((*c).colorspace).cast(), tags.matrix);
        set(addr_of_mut!((*c).color_range).cast(), range);
    }
}

/// A frame with memory of its own; `None` if there is not enough.
pub(crate) fn alloc_frame(format: format::Pixel, width: u32, height: u32) -> Option<frame::Video> {
    let frame = frame::Video::new(format, width, height);
    // SAFETY: reads the first plane pointer of a frame that is alive.
    let empty = unsafe { frame.is_empty() };
    (!empty).then_some(frame)
}

/// The three planes of an 8-bit 4:2:0 frame, if it is one and its rows lie in order.
pub(crate) fn planes_420(frame: &frame::Video) -> Option<[Plane<'_>; 3]> {
    if !matches!(
        frame.format(),
        format::Pixel::YUV420P | format::Pixel::YUVJ420P
    ) {
        return None;
    }
    let (width, height) = (frame.width() as usize, frame.height() as usize);
    let plane = |at: usize, width: usize, rows: usize| {
        // SAFETY: the frame is alive and was filled by a decoder, which guarantees for this format
        // `rows` rows of `width` bytes, `linesize` bytes apart, in each of its three planes. The
        // slice ends with the last byte of the last row. A null plane, no rows, or rows that run
        // backwards (negative linesize) are refused before it is made.
        unsafe {
            let (data, stride) = ((*frame.as_ptr()).data[at], (*frame.as_ptr()).linesize[at]);
            let stride = usize::try_from(stride).ok().filter(|s| *s >= width)?;
            if data.is_null() || rows == 0 {
                return None;
            }
            let bytes = stride * (rows - 1) + width;
            Some(Plane {
                data: std::slice::from_raw_parts(data, bytes),
                stride,
                width,
            })
        }
    };
    let (half_width, half_rows) = (width.div_ceil(2), height.div_ceil(2));
    Some([
        plane(0, width, height)?,
        plane(1, half_width, half_rows)?,
        plane(2, half_width, half_rows)?,
    ])
}

/// A pixel format converter that may be moved between threads.
pub(crate) struct Scaler(scaling::Context);

// SAFETY: an SwsContext has no tie to the thread that made it, and this is its only owner.
unsafe impl Send for Scaler {}

/// The YUV side of a conversion.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct YuvKind {
    /// One of libswscale's `SWS_CS_*` numbers.
    pub(crate) coefficients: i32,
    /// Luminance uses 0..=255 instead of 16..=235.
    pub(crate) full_range: bool,
}

impl Scaler {
    /// A converter between two formats of the same size. Exactly one of the two may be YUV, as
    /// described by `yuv`; `None` on both sides means that both are RGB.
    pub(crate) fn new(
        from: (format::Pixel, Option<YuvKind>),
        to: (format::Pixel, Option<YuvKind>),
        width: u32,
        height: u32,
        flags: scaling::Flags,
    ) -> Result<Self, ffmpeg::Error> {
        let mut context = scaling::Context::get(from.0, width, height, to.0, width, height, flags)?;
        if from.1.is_some() || to.1.is_some() {
            let side = |kind: Option<YuvKind>| {
                // RGB is full range; its coefficients are not looked at.
                kind.map_or((sys::SWS_CS_DEFAULT, 1), |k| {
                    (k.coefficients, i32::from(k.full_range))
                })
            };
            let ((from_cs, from_full), (to_cs, to_full)) = (side(from.1), side(to.1));
            // SAFETY: the context is initialised; the tables are static; the rest are numbers
            // (brightness 0, contrast and saturation 1.0 in 16.16 fixed point).
            unsafe {
                sys::sws_setColorspaceDetails(
                    context.as_mut_ptr(),
                    sys::sws_getCoefficients(from_cs),
                    from_full,
                    sys::sws_getCoefficients(to_cs),
                    to_full,
                    0,
                    1 << 16,
                    1 << 16,
                );
            }
        }
        Ok(Self(context))
    }

    /// Converts `from` into `to`, whose memory is already there.
    pub(crate) fn run(
        &mut self,
        from: &frame::Video,
        to: &mut frame::Video,
    ) -> Result<(), ffmpeg::Error> {
        self.0.run(from, to)
    }
}

/// A path as libav wants it: `file:` in front, so that no name is taken for a protocol.
/// `None` if it is not UTF-8 or holds a NUL.
pub(crate) fn file_url(path: &std::path::Path) -> Option<String> {
    let url = format!("file:{}", path.to_str()?);
    CString::new(url.as_str()).is_ok().then_some(url)
}

/// A chapter's title, with what is not UTF-8 replaced.
pub(crate) fn chapter_title(chapter: &ffmpeg::Chapter) -> Option<String> {
    // SAFETY: as in `metadata`; the chapter is alive.
    unsafe {
        let tags = (*chapter.as_ptr()).metadata;
        let entry = sys::av_dict_get(tags, c"title".as_ptr(), null_mut(), 0);
        (!entry.is_null()).then(|| {
            CStr::from_ptr((*entry).value)
                .to_string_lossy()
                .into_owned()
        })
    }
}
