//! The framed pipe between the worker and its parent: `docs/formats/media-pipe.md`.
//!
//! Knows bytes only, neither processes nor libav. The reading side trusts nothing: every length is
//! checked before memory is taken for it.

use std::io::{self, Read, Write};

use stockpot_core::{Rgb8, Rgb16, Size, TimeBase, Timestamp};

use crate::probe::MAX_PIXELS;
use crate::{Error, FramePixels, MediaInfo, VideoFrame, Warning};

/// First bytes of every message.
const MAGIC: [u8; 4] = *b"SPMP";
/// Both ends are the same binary, so there is one version at a time; a mismatch is an error.
const VERSION: u16 = 1;
/// Magic, version, kind, payload length.
const HEADER_BYTES: usize = 16;
/// Index, ticks, duration, time base, size, depth, reserved.
const FRAME_HEADER_BYTES: usize = 48;
/// Most bytes of JSON in a message.
const MAX_JSON_BYTES: u64 = 1 << 20;
/// Stands for "no duration".
const NO_DURATION: i64 = i64::MIN;

const KIND_INFO: u16 = 1;
const KIND_FRAME: u16 = 2;
const KIND_WARNING: u16 = 3;
const KIND_ERROR: u16 = 4;
const KIND_END: u16 = 5;

/// What the worker says.
#[derive(Debug, PartialEq)]
pub(crate) enum Message {
    /// What is in the file: the first message.
    Info(Box<MediaInfo>),
    /// A frame.
    Frame(VideoFrame),
    /// Something was done, but not as asked.
    Warning(Warning),
    /// The end, in failure.
    Error(Error),
    /// The end, in success. A stream without it was cut.
    End,
}

/// Why a message cannot be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// The other end is gone.
    Closed,
    /// Bytes that are no message.
    Malformed(String),
}

/// Writes one message and flushes it.
pub(crate) fn write(to: &mut impl Write, message: &Message) -> io::Result<()> {
    match message {
        Message::Info(info) => write_json(to, KIND_INFO, info),
        Message::Warning(warning) => write_json(to, KIND_WARNING, warning),
        Message::Error(error) => write_json(to, KIND_ERROR, error),
        Message::End => to.write_all(&header(KIND_END, 0)),
        Message::Frame(frame) => write_frame(to, frame),
    }?;
    to.flush()
}

fn header(kind: u16, payload_bytes: u64) -> [u8; HEADER_BYTES] {
    let mut bytes = [0; HEADER_BYTES];
    bytes[..4].copy_from_slice(&MAGIC);
    bytes[4..6].copy_from_slice(&VERSION.to_le_bytes());
    bytes[6..8].copy_from_slice(&kind.to_le_bytes());
    bytes[8..].copy_from_slice(&payload_bytes.to_le_bytes());
    bytes
}

fn write_json(to: &mut impl Write, kind: u16, value: &impl serde::Serialize) -> io::Result<()> {
    let json = serde_json::to_vec(value).map_err(io::Error::other)?;
    if json.len() as u64 > MAX_JSON_BYTES {
        return Err(io::Error::other("a message is longer than a megabyte"));
    }
    to.write_all(&header(kind, json.len() as u64))?;
    to.write_all(&json)
}

fn write_frame(to: &mut impl Write, frame: &VideoFrame) -> io::Result<()> {
    let size = frame.pixels.size();
    let depth: u32 = match frame.pixels {
        FramePixels::Rgb8(_) => 8,
        FramePixels::Rgb16(_) => 16,
    };
    let pixel_bytes = size.pixels() * 3 * depth as usize / 8;
    let mut head = Vec::with_capacity(HEADER_BYTES + FRAME_HEADER_BYTES);
    head.extend(header(
        KIND_FRAME,
        (FRAME_HEADER_BYTES + pixel_bytes) as u64,
    ));
    head.extend(frame.index.to_le_bytes());
    head.extend(frame.pts.ticks.to_le_bytes());
    head.extend(frame.duration_ticks.unwrap_or(NO_DURATION).to_le_bytes());
    head.extend(frame.pts.base.num.to_le_bytes());
    head.extend(frame.pts.base.den.to_le_bytes());
    for number in [size.width, size.height, depth, 0] {
        head.extend(number.to_le_bytes());
    }
    to.write_all(&head)?;
    match &frame.pixels {
        FramePixels::Rgb8(picture) => to.write_all(picture.data()),
        FramePixels::Rgb16(picture) => {
            // In pieces, so that the copy stays in the cache.
            let mut bytes = Vec::new();
            for piece in picture.data().chunks(1 << 15) {
                bytes.clear();
                bytes.extend(piece.iter().flat_map(|v| v.to_le_bytes()));
                to.write_all(&bytes)?;
            }
            Ok(())
        }
    }
}

/// Reads one message.
pub(crate) fn read(from: &mut impl Read) -> Result<Message, ReadError> {
    let head: [u8; HEADER_BYTES] = read_array(from)?;
    if head[..4] != MAGIC {
        return Err(malformed("it does not begin with SPMP"));
    }
    let version = u16::from_le_bytes([head[4], head[5]]);
    if version != VERSION {
        return Err(malformed(&format!("version {version}, wanted {VERSION}")));
    }
    let kind = u16::from_le_bytes([head[6], head[7]]);
    let length = u64_at(&head, 8);
    match kind {
        KIND_INFO => read_json(from, length).map(Message::Info),
        KIND_WARNING => read_json(from, length).map(Message::Warning),
        KIND_ERROR => read_json(from, length).map(Message::Error),
        KIND_FRAME => read_frame(from, length).map(Message::Frame),
        KIND_END if length == 0 => Ok(Message::End),
        kind => Err(malformed(&format!("kind {kind} with {length} bytes"))),
    }
}

fn read_json<T: serde::de::DeserializeOwned>(
    from: &mut impl Read,
    length: u64,
) -> Result<T, ReadError> {
    if length > MAX_JSON_BYTES {
        return Err(malformed(&format!("{length} bytes of text")));
    }
    let bytes = read_bytes(from, length as usize)?;
    serde_json::from_slice(&bytes).map_err(|e| malformed(&e.to_string()))
}

fn read_frame(from: &mut impl Read, length: u64) -> Result<VideoFrame, ReadError> {
    if length < FRAME_HEADER_BYTES as u64 {
        return Err(malformed(&format!("a frame of {length} bytes")));
    }
    let head: [u8; FRAME_HEADER_BYTES] = read_array(from)?;
    let number =
        |at: usize| u32::from_le_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
    let (num, den) = (number(24) as i32, number(28) as i32);
    let (size, depth) = (Size::new(number(32), number(36)), number(40));
    if num <= 0 || den <= 0 {
        return Err(malformed(&format!("a time base of {num}/{den}")));
    }
    let max_side = stockpot_core::picture::MAX_SIDE;
    let sides = 1..=max_side;
    if !sides.contains(&size.width)
        || !sides.contains(&size.height)
        || size.pixels() > MAX_PIXELS
        || ![8, 16].contains(&depth)
    {
        return Err(malformed(&format!("a frame of {size} with {depth} bits")));
    }
    let pixel_bytes = size.pixels() * 3 * depth as usize / 8;
    if length != (FRAME_HEADER_BYTES + pixel_bytes) as u64 {
        return Err(malformed(&format!(
            "{length} bytes for {size} at {depth} bits"
        )));
    }
    let bytes = read_bytes(from, pixel_bytes)?;
    let wrong = |e: stockpot_core::image::WrongLength| malformed(&e.to_string());
    let pixels = if depth == 8 {
        FramePixels::Rgb8(Rgb8::from_vec(size, bytes).map_err(wrong)?)
    } else {
        let pairs = bytes.chunks_exact(2);
        let numbers = pairs.map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        FramePixels::Rgb16(Rgb16::from_vec(size, numbers).map_err(wrong)?)
    };
    let duration = u64_at(&head, 16) as i64;
    Ok(VideoFrame {
        index: u64_at(&head, 0),
        pts: Timestamp {
            ticks: u64_at(&head, 8) as i64,
            base: TimeBase { num, den },
        },
        duration_ticks: (duration != NO_DURATION).then_some(duration),
        pixels,
    })
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    let mut eight = [0; 8];
    eight.copy_from_slice(&bytes[at..at + 8]);
    u64::from_le_bytes(eight)
}

fn read_array<const N: usize>(from: &mut impl Read) -> Result<[u8; N], ReadError> {
    let mut bytes = [0; N];
    from.read_exact(&mut bytes).map_err(|_| ReadError::Closed)?;
    Ok(bytes)
}

/// Reads without clearing the memory first.
fn read_bytes(from: &mut impl Read, length: usize) -> Result<Vec<u8>, ReadError> {
    let mut bytes = Vec::with_capacity(length);
    match from.take(length as u64).read_to_end(&mut bytes) {
        Ok(read) if read == length => Ok(bytes),
        // A pipe fails only when the other end is gone.
        _ => Err(ReadError::Closed),
    }
}

fn malformed(reason: &str) -> ReadError {
    ReadError::Malformed(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(pixels: FramePixels) -> VideoFrame {
        VideoFrame {
            index: 7,
            pts: Timestamp {
                ticks: -3,
                base: TimeBase {
                    num: 1,
                    den: 90_000,
                },
            },
            duration_ticks: None,
            pixels,
        }
    }

    #[test]
    fn messages_survive_the_pipe() {
        let size = Size::new(2, 1);
        let messages = [
            Message::Frame(frame(FramePixels::Rgb8(
                Rgb8::from_vec(size, vec![1, 2, 3, 4, 5, 255]).unwrap(),
            ))),
            Message::Frame(frame(FramePixels::Rgb16(
                Rgb16::from_vec(size, vec![1, 2, 3, 4, 5, 65535]).unwrap(),
            ))),
            Message::Warning(Warning::DamagedFrame { index: 3 }),
            Message::Error(Error::NoVideo {
                path: "x.mp4".into(),
            }),
            Message::End,
        ];
        let mut bytes = Vec::new();
        for message in &messages {
            write(&mut bytes, message).unwrap();
        }
        let mut from = &bytes[..];
        for message in &messages {
            assert_eq!(&read(&mut from).unwrap(), message);
        }
        assert!(matches!(read(&mut from), Err(ReadError::Closed)));
    }

    #[test]
    fn a_lying_header_takes_no_memory() {
        let mut bytes = Vec::new();
        let pixels = FramePixels::Rgb8(Rgb8::new(Size::new(4, 4)));
        write(&mut bytes, &Message::Frame(frame(pixels))).unwrap();
        let broken = |at: usize, value: &[u8]| {
            let mut bytes = bytes.clone();
            bytes[at..at + value.len()].copy_from_slice(value);
            read(&mut &bytes[..])
        };
        let huge = u32::MAX.to_le_bytes();
        let cases = [
            broken(0, b"XXXX"),
            broken(4, &[9, 0]),
            broken(6, &[99, 0]),
            broken(8, &[0xff; 8]),
            broken(HEADER_BYTES + 28, &[0; 4]),
            broken(HEADER_BYTES + 32, &huge),
            broken(HEADER_BYTES + 36, &[0; 4]),
            broken(HEADER_BYTES + 36, &5u32.to_le_bytes()),
            broken(HEADER_BYTES + 40, &10u32.to_le_bytes()),
        ];
        for case in cases {
            assert!(matches!(case, Err(ReadError::Malformed(_))), "{case:?}");
        }
        for cut in [3, HEADER_BYTES + 4, bytes.len() - 1] {
            assert!(matches!(read(&mut &bytes[..cut]), Err(ReadError::Closed)));
        }
    }
}
