//! Between libav's frames and our pictures: YUV to RGB and back, by the stream's matrix and range.

use ffmpeg_next as ffmpeg;
use ffmpeg_next::format::Pixel;
use ffmpeg_next::frame;
use ffmpeg_next::software::scaling::Flags;
use stockpot_core::{Rgb8, Rgb16, Size};

use crate::ffi::{self, Scaler, YuvKind};
use crate::yuv::{self, Coefficients};
use crate::{FramePixels, colours};

/// Rounded, not cut off, and with chroma interpolated: see [`crate::yuv`], which does the same for
/// the usual format in a fraction of the time.
const TO_RGB_FLAGS: Flags = Flags::BILINEAR
    .union(Flags::ACCURATE_RND)
    .union(Flags::FULL_CHR_H_INT);
/// Also for encoding.
const FROM_RGB_FLAGS: Flags = Flags::BILINEAR.union(Flags::ACCURATE_RND);

/// 16 bits a channel in the machine's byte order.
const RGB48: Pixel = if cfg!(target_endian = "little") {
    Pixel::RGB48LE
} else {
    Pixel::RGB48BE
};

/// Why a conversion cannot be done.
pub(crate) enum Trouble {
    /// The frame is not of the size and format of the frames before it.
    Changed,
    /// libswscale refuses, or memory ran out.
    Refused(String),
}

/// From decoded frames to pictures as they are stored (not yet upright).
pub(crate) struct ToRgb {
    scaler: Scaler,
    target: frame::Video,
    size: Size,
    format: Pixel,
    deep: bool,
    coefficients: Coefficients,
}

impl ToRgb {
    /// For frames like `first`.
    pub(crate) fn new(first: &frame::Video, yuv: YuvKind) -> Result<Self, Trouble> {
        let format = first.format();
        let (depth, rgb) = ffi::format_depth(format)
            .ok_or_else(|| Trouble::Refused("unknown pixel format".into()))?;
        let deep = depth > 8;
        let size = Size::new(first.width(), first.height());
        let to = if deep { RGB48 } else { Pixel::RGB24 };
        let scaler = Scaler::new(
            (format, (!rgb).then_some(yuv)),
            (to, None),
            size.width,
            size.height,
            TO_RGB_FLAGS,
        )
        .map_err(|e| Trouble::Refused(e.to_string()))?;
        let target = alloc(to, size)?;
        Ok(Self {
            scaler,
            target,
            size,
            format,
            deep,
            coefficients: colours::coefficients(yuv),
        })
    }

    /// The frame as a picture.
    pub(crate) fn convert(&mut self, frame: &frame::Video) -> Result<FramePixels, Trouble> {
        let wrong = |e: stockpot_core::image::WrongLength| Trouble::Refused(e.to_string());
        if (frame.width(), frame.height()) != (self.size.width, self.size.height)
            || frame.format() != self.format
        {
            return Err(Trouble::Changed);
        }
        if let Some(planes) = ffi::planes_420(frame) {
            let data = yuv::to_rgb(self.size, planes, self.coefficients);
            let picture = Rgb8::from_vec(self.size, data).map_err(wrong)?;
            return Ok(FramePixels::Rgb8(picture));
        }
        self.scaler
            .run(frame, &mut self.target)
            .map_err(|e| match e {
                ffmpeg::Error::InputChanged => Trouble::Changed,
                e => Trouble::Refused(e.to_string()),
            })?;
        let numbers = self.size.width as usize * 3;
        let stride = self.target.stride(0);
        let rows = self.target.data(0).chunks_exact(stride);
        let rows = rows.take(self.size.height as usize);
        if self.deep {
            let mut data = Vec::with_capacity(self.size.pixels() * 3);
            for row in rows {
                let pairs = row[..numbers * 2].chunks_exact(2);
                data.extend(pairs.map(|b| u16::from_ne_bytes([b[0], b[1]])));
            }
            Ok(FramePixels::Rgb16(
                Rgb16::from_vec(self.size, data).map_err(wrong)?,
            ))
        } else {
            let mut data = Vec::with_capacity(self.size.pixels() * 3);
            for row in rows {
                data.extend_from_slice(&row[..numbers]);
            }
            Ok(FramePixels::Rgb8(
                Rgb8::from_vec(self.size, data).map_err(wrong)?,
            ))
        }
    }
}

/// From pictures (as they are to be stored) to frames for an encoder. A padded size repeats the
/// last column and row.
pub(crate) struct FromRgb {
    scaler: Scaler,
    source: frame::Video,
    to: Pixel,
    size: Size,
    padded: Size,
    deep: bool,
}

impl FromRgb {
    /// For pictures of `size` with 8 or (`deep`) 16 bits, into `to` of the next even size.
    pub(crate) fn new(size: Size, deep: bool, to: Pixel, yuv: YuvKind) -> Result<Self, Trouble> {
        let padded = even(size);
        let from = if deep { RGB48 } else { Pixel::RGB24 };
        let scaler = Scaler::new(
            (from, None),
            (to, Some(yuv)),
            padded.width,
            padded.height,
            FROM_RGB_FLAGS,
        )
        .map_err(|e| Trouble::Refused(e.to_string()))?;
        Ok(Self {
            scaler,
            source: alloc(from, padded)?,
            to,
            size,
            padded,
            deep,
        })
    }

    /// The picture as a frame with memory of its own. `Changed` if its size or depth is another.
    pub(crate) fn convert(&mut self, pixels: &FramePixels) -> Result<frame::Video, Trouble> {
        if pixels.size() != self.size {
            return Err(Trouble::Changed);
        }
        let stride = self.source.stride(0);
        let rows = self.source.data_mut(0).chunks_exact_mut(stride);
        let rows = rows.take(self.padded.height as usize);
        let last = self.size.height - 1;
        match (pixels, self.deep) {
            (FramePixels::Rgb8(picture), false) => {
                for (y, row) in (0u32..).zip(rows) {
                    let source = picture.row(y.min(last));
                    row[..source.len()].copy_from_slice(source);
                    repeat_last(row, source.len(), 3, self.padded.width as usize * 3);
                }
            }
            (FramePixels::Rgb16(picture), true) => {
                for (y, row) in (0u32..).zip(rows) {
                    let source = picture.row(y.min(last));
                    for (to, v) in row.chunks_exact_mut(2).zip(source) {
                        to.copy_from_slice(&v.to_ne_bytes());
                    }
                    repeat_last(row, source.len() * 2, 6, self.padded.width as usize * 6);
                }
            }
            _ => return Err(Trouble::Changed),
        }
        // A new one for each: the encoder keeps references for its look-ahead.
        let mut frame = alloc(self.to, self.padded)?;
        self.scaler
            .run(&self.source, &mut frame)
            .map_err(|e| Trouble::Refused(e.to_string()))?;
        Ok(frame)
    }
}

/// Fills `row[from..to]` with copies of the pixel of `bytes` bytes before it.
fn repeat_last(row: &mut [u8], from: usize, bytes: usize, to: usize) {
    if to > from {
        row.copy_within(from - bytes..from, from);
    }
}

/// The next even size: what 4:2:0 chroma needs.
pub(crate) fn even(size: Size) -> Size {
    Size::new(
        size.width.next_multiple_of(2),
        size.height.next_multiple_of(2),
    )
}

fn alloc(format: Pixel, size: Size) -> Result<frame::Video, Trouble> {
    ffi::alloc_frame(format, size.width, size.height)
        .ok_or_else(|| Trouble::Refused(format!("not enough memory for a frame of {size}")))
}
